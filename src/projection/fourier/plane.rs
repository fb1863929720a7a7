//! One plane of the volume's Fourier transform: fast transforms along z and x that leave out what is only zeros, and
//! interpolation on the grid.
//!
//! The plane is `(kz, kx)` with kx fastest. Beyond its last column the first ones are repeated, so that a kernel's row
//! is one piece of memory; the transpose adds them back.

use super::kernel::{KaiserBessel, MOST, even_length};
use crate::model::center_index;
use crate::projection::simd::{Vector, parts, parts_mut};
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// Rows that are transposed at a time: a cache line of complex numbers.
const BLOCK: usize = 8;
/// Numbers of a complex cache line.
pub(super) const LINE: usize = 16;
/// Weights of a row, each twice: for the real and the imaginary part.
pub(super) const TWICE: usize = 2 * MOST;

/// Both directions of a fast transform; none is scaled.
pub(super) struct Transform {
    pub(super) len: usize,
    /// `exp(−2πi k x / n)`.
    pub(super) down: Arc<dyn Fft<f32>>,
    /// `exp(+2πi k x / n)`.
    pub(super) up: Arc<dyn Fft<f32>>,
}

impl Transform {
    pub(super) fn new(len: usize, planner: &mut FftPlanner<f32>) -> Self {
        Self {
            len,
            down: planner.plan_fft_forward(len),
            up: planner.plan_fft_inverse(len),
        }
    }

    /// Multiply-adds of one transform.
    pub(super) fn multiply_adds(&self) -> f64 {
        2.5 * self.len as f64 * (self.len as f64).log2()
    }

    /// Scratch that both need.
    pub(super) fn scratch(&self) -> usize {
        let down = self.down.get_inplace_scratch_len();
        down.max(self.up.get_inplace_scratch_len())
    }
}

/// An axis of the volume and its finer grid of frequencies.
pub(super) struct Axis {
    /// Voxels.
    pub(super) size: usize,
    /// Frequencies.
    pub(super) transform: Transform,
    /// `1 / φ̂` of each voxel.
    pub(super) correction: Vec<f32>,
}

impl Axis {
    pub(super) fn new(
        size: usize,
        oversampling: f64,
        kernel: &KaiserBessel,
        planner: &mut FftPlanner<f32>,
    ) -> Self {
        let len = Self::length(size, oversampling);
        let correction = (0..size)
            .map(|at| {
                let x = at as f64 - center_index(size) as f64;
                (1.0 / kernel.transform(x / len as f64)) as f32
            })
            .collect();
        Self {
            size,
            transform: Transform::new(len, planner),
            correction,
        }
    }

    /// Frequencies of the grid for so many voxels.
    pub(super) fn length(size: usize, oversampling: f64) -> usize {
        let wanted = (oversampling * size as f64).ceil() as usize;
        // Wide enough for a kernel and its repeated columns in objects of a few voxels.
        even_length(wanted.max(2 * MOST))
    }

    /// Place of a voxel on the grid: the center is at 0, what is before it at the end.
    #[inline(always)]
    pub(super) fn place(&self, voxel: usize) -> usize {
        let center = center_index(self.size);
        if voxel >= center {
            voxel - center
        } else {
            voxel + self.transform.len - center
        }
    }
}

/// Sizes and transforms of a plane.
pub(super) struct Plane {
    pub(super) x: Axis,
    pub(super) z: Axis,
}

/// Memory a plane's transforms need.
pub(super) struct PlaneScratch {
    rows: Vec<Complex32>,
    fft: Vec<Complex32>,
}

impl Plane {
    pub(super) fn new(
        [nx, nz]: [usize; 2],
        oversampling: f64,
        kernel: &KaiserBessel,
        planner: &mut FftPlanner<f32>,
    ) -> Self {
        Self {
            x: Axis::new(nx, oversampling, kernel, planner),
            z: Axis::new(nz, oversampling, kernel, planner),
        }
    }

    /// Complex numbers from one row to the next.
    pub(super) fn stride(&self) -> usize {
        self.x.transform.len + MOST
    }

    /// Complex numbers of a plane.
    pub(super) fn len(&self) -> usize {
        self.z.transform.len * self.stride()
    }

    /// Multiply-adds of [`Self::down`] or [`Self::up`].
    pub(super) fn multiply_adds(&self) -> f64 {
        self.x.size as f64 * self.z.transform.multiply_adds()
            + self.z.transform.len as f64 * self.x.transform.multiply_adds()
    }

    pub(super) fn scratch(&self) -> PlaneScratch {
        let fft = self.x.transform.scratch().max(self.z.transform.scratch());
        PlaneScratch {
            rows: vec![Complex32::default(); self.x.size * self.z.transform.len],
            fft: vec![Complex32::default(); fft],
        }
    }

    /// Transforms `voxel(x, z)`; overwrites `plane`.
    pub(super) fn down(
        &self,
        voxel: impl Fn(usize, usize) -> Complex32,
        plane: &mut [Complex32],
        scratch: &mut PlaneScratch,
    ) {
        let (mz, mx, stride) = (self.z.transform.len, self.x.transform.len, self.stride());
        scratch.rows.fill(Complex32::default());
        for (x, row) in scratch.rows.chunks_mut(mz).enumerate() {
            for z in 0..self.z.size {
                let factor = self.x.correction[x] * self.z.correction[z];
                row[self.z.place(z)] = voxel(x, z) * factor;
            }
        }
        let down = &self.z.transform.down;
        down.process_with_scratch(&mut scratch.rows, &mut scratch.fft);
        for (block, lines) in plane.chunks_mut(BLOCK * stride).enumerate() {
            lines.fill(Complex32::default());
            let kz = block * BLOCK;
            for x in 0..self.x.size {
                let from = &scratch.rows[x * mz..][kz..mz.min(kz + BLOCK)];
                let to = self.x.place(x);
                for (line, value) in lines.chunks_mut(stride).zip(from) {
                    line[to] = *value;
                }
            }
            for line in lines.chunks_mut(stride) {
                let (line, repeated) = line.split_at_mut(mx);
                let down = &self.x.transform.down;
                down.process_with_scratch(line, &mut scratch.fft);
                repeated.copy_from_slice(&line[..MOST]);
            }
        }
    }

    /// The transpose of [`Self::down`] but for the sign of the frequencies: transforms `plane` (which is used up) into
    /// `rows` of the scratch memory, to be read by [`Self::voxel`].
    pub(super) fn up(&self, plane: &mut [Complex32], scratch: &mut PlaneScratch) {
        let (mz, mx, stride) = (self.z.transform.len, self.x.transform.len, self.stride());
        for (block, lines) in plane.chunks_mut(BLOCK * stride).enumerate() {
            for line in lines.chunks_mut(stride) {
                let (line, repeated) = line.split_at_mut(mx);
                for (value, more) in line.iter_mut().zip(repeated) {
                    *value += *more;
                }
                let up = &self.x.transform.up;
                up.process_with_scratch(line, &mut scratch.fft);
            }
            let kz = block * BLOCK;
            for x in 0..self.x.size {
                let to = &mut scratch.rows[x * mz..][kz..mz.min(kz + BLOCK)];
                let from = self.x.place(x);
                for (value, line) in to.iter_mut().zip(lines.chunks(stride)) {
                    *value = line[from];
                }
            }
        }
        let up = &self.z.transform.up;
        up.process_with_scratch(&mut scratch.rows, &mut scratch.fft);
    }

    /// What [`Self::up`] left of a voxel.
    #[inline(always)]
    pub(super) fn voxel(&self, scratch: &PlaneScratch, x: usize, z: usize) -> Complex32 {
        let factor = self.x.correction[x] * self.z.correction[z];
        scratch.rows[x * self.z.transform.len + self.z.place(z)] * factor
    }
}

/// Where a kernel lies on a plane's grid: its first row and column, and its weights.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) row: usize,
    pub(super) column: usize,
    /// One per row.
    pub(super) rows: &'a [f32],
    /// Two per column, zeros after them.
    pub(super) columns: &'a [f32; TWICE],
}

/// The sums of a row, before the columns are weighted: `CHUNKS` cache lines.
pub(super) type Sums<V, const CHUNKS: usize> = [[V; 4]; CHUNKS];

/// Adds a plane's rows times their weights times `factor` to `sums`.
#[inline(always)]
pub(super) fn gather<V: Vector, const CHUNKS: usize>(
    plane: &[Complex32],
    stride: usize,
    place: Place,
    factor: f32,
    sums: &mut Sums<V, CHUNKS>,
) {
    let grid = parts(plane);
    let mut at = place.row * stride;
    for &weight in place.rows {
        // Below the last row is the first again.
        if at >= plane.len() {
            at -= plane.len();
        }
        let line = &grid[2 * (at + place.column)..][..CHUNKS * LINE];
        let weight = V::splat(weight * factor);
        for chunk in 0..CHUNKS {
            for i in 0..LINE / V::WIDTH {
                let sum = &mut sums[chunk][i];
                *sum = V::load(line, chunk * LINE + i * V::WIDTH).mul_add(weight, *sum);
            }
        }
        at += stride;
    }
}

/// What [`gather`] summed up, the columns weighted.
#[inline(always)]
pub(super) fn total<V: Vector, const CHUNKS: usize>(
    sums: &Sums<V, CHUNKS>,
    columns: &[f32; TWICE],
) -> Complex32 {
    let mut lanes = [0.0f32; LINE];
    for i in 0..LINE / V::WIDTH {
        let mut sum = V::splat(0.0);
        for chunk in 0..CHUNKS {
            let weights = V::load(columns, chunk * LINE + i * V::WIDTH);
            sum = sums[chunk][i].mul_add(weights, sum);
        }
        sum.store(&mut lanes, i * V::WIDTH);
    }
    let mut half = [0.0f32; LINE / 2];
    for i in 0..LINE / 2 {
        half[i] = lanes[i] + lanes[i + LINE / 2];
    }
    Complex32::new(
        (half[0] + half[2]) + (half[4] + half[6]),
        (half[1] + half[3]) + (half[5] + half[7]),
    )
}

/// A value times the weights of the columns.
#[inline(always)]
pub(super) fn weighted(value: Complex32, columns: &[f32; TWICE]) -> [f32; TWICE] {
    let mut lanes = [0.0f32; TWICE];
    for (pair, weights) in lanes.chunks_exact_mut(2).zip(columns.chunks_exact(2)) {
        pair[0] = value.re * weights[0];
        pair[1] = value.im * weights[1];
    }
    lanes
}

/// The transpose of [`gather`]: adds a value, [`weighted`] for each column, to a plane's rows.
#[inline(always)]
pub(super) fn spread<V: Vector, const CHUNKS: usize>(
    plane: &mut [Complex32],
    stride: usize,
    place: Place,
    factor: f32,
    lanes: &[f32; TWICE],
) {
    let len = plane.len();
    let grid = parts_mut(plane);
    let mut at = place.row * stride;
    for &weight in place.rows {
        if at >= len {
            at -= len;
        }
        let line = &mut grid[2 * (at + place.column)..][..CHUNKS * LINE];
        let weight = V::splat(weight * factor);
        for i in 0..CHUNKS * LINE / V::WIDTH {
            let sum = V::load(line, i * V::WIDTH);
            V::load(lanes, i * V::WIDTH)
                .mul_add(weight, sum)
                .store(line, i * V::WIDTH);
        }
        at += stride;
    }
}
