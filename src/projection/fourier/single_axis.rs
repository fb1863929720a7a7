//! Central slices of a series with one tilt axis (φ = ψ = 0): every y-slice by itself.
//!
//! Along y nothing has to be interpolated, so no transform is needed there at all: a y-slice and its projections
//! are a problem of two dimensions. The projector is real, so two slices go through it as one complex one. What a
//! kernel weights is the same for all slices and is worked out once.

use super::Pool;
use super::kernel::KaiserBessel;
use super::plane::{self, Place, Plane, PlaneScratch, Sums, TWICE, Transform};
use super::{Sizes, period};
use crate::model::{Matrix3, center_index};
use crate::projection::simd::{Instructions, Kernel, Vector};
use rustfft::FftPlanner;
use rustfft::num_complex::Complex32;

/// Where a frequency of an image lies on the plane's grid.
struct Point {
    row: u32,
    column: u32,
    /// Two per column, zeros after them.
    columns: [f32; TWICE],
}

/// All that is the same for all slices.
pub(super) struct SingleAxis {
    plane: Plane,
    line: Transform,
    width: usize,
    image: usize,
    tilts: usize,
    /// `(tilt, frequency)`.
    points: Vec<Point>,
    /// `(tilt, frequency, row)`.
    rows: Vec<f32>,
    pool: Pool<Scratch>,
}

struct Scratch {
    plane: Vec<Complex32>,
    within: PlaneScratch,
    /// `(tilt, frequency)`, or the images that belong to them.
    lines: Vec<Complex32>,
    fft: Vec<Complex32>,
    /// Two slices `(x, z, 2)`.
    slices: Vec<f32>,
}

impl SingleAxis {
    pub(super) fn new(sizes: &Sizes, oversampling: f64, rotations: &[Matrix3]) -> Self {
        let kernel = KaiserBessel::new(oversampling);
        let mut planner = FftPlanner::new();
        let [nx, _, nz] = sizes.volume;
        let plane = Plane::new([nx, nz], oversampling, &kernel, &mut planner);
        let image = sizes.image[0];
        let line = Transform::new(period(sizes.volume, image, 0, rotations), &mut planner);
        let grid = [plane.x.transform.len, plane.z.transform.len];
        let mut points = Vec::with_capacity(rotations.len() * line.len);
        let mut rows = Vec::with_capacity(rotations.len() * line.len * kernel.width());
        for rotation in rotations {
            for at in 0..line.len {
                let frequency = signed(at, line.len) as f64 / line.len as f64;
                let [column, row] = [(0, 0), (1, 2)].map(|(axis, along)| {
                    let place = frequency * rotation[0][along] * grid[axis] as f64;
                    let (first, into) = kernel.first(place);
                    (first.rem_euclid(grid[axis] as i64), kernel.weights(into))
                });
                points.push(Point {
                    row: row.0 as u32,
                    column: column.0 as u32,
                    columns: std::array::from_fn(|lane| column.1[lane / 2]),
                });
                rows.extend_from_slice(&row.1[..kernel.width()]);
            }
        }
        Self {
            plane,
            line,
            width: kernel.width(),
            image,
            tilts: rotations.len(),
            points,
            rows,
            pool: Pool::default(),
        }
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            plane: vec![Complex32::default(); self.plane.len()],
            within: self.plane.scratch(),
            lines: vec![Complex32::default(); self.tilts * self.line.len],
            fft: vec![Complex32::default(); self.line.scratch()],
            slices: vec![0.0; 2 * self.plane.x.size * self.plane.z.size],
        }
    }

    /// Multiply-adds of two slices, both directions.
    pub(super) fn multiply_adds(&self) -> f64 {
        let kernels = self.points.len() * 2 * self.width * (self.width + 1);
        let lines = self.tilts as f64 * self.line.multiply_adds();
        2.0 * (self.plane.multiply_adds() + lines + kernels as f64)
    }

    /// Projects two slices `(x, z, 2)`; `images` of `length` numbers each are `(tilt, x, 2)`.
    pub(super) fn forward(
        &self,
        instructions: Instructions,
        slices: &[f32],
        images: &mut [f32],
        length: usize,
    ) {
        let nz = self.plane.z.size;
        self.pool.with(
            || self.scratch(),
            |scratch| {
                let voxel = |x: usize, z: usize| {
                    let at = 2 * (x * nz + z);
                    Complex32::new(slices[at], slices[at + 1])
                };
                let within = &mut scratch.within;
                self.plane.down(voxel, &mut scratch.plane, within);
                instructions.run(Gather {
                    geometry: self,
                    plane: &scratch.plane,
                    lines: &mut scratch.lines,
                });
                let up = &self.line.up;
                up.process_with_scratch(&mut scratch.lines, &mut scratch.fft);
                let scale = 1.0 / self.line.len as f32;
                let lines = scratch.lines.chunks(self.line.len);
                for (line, image) in lines.zip(images.chunks_mut(length)) {
                    for (x, pair) in image.chunks_exact_mut(2).take(self.image).enumerate() {
                        let value = line[self.pixel(x)] * scale;
                        pair.copy_from_slice(&[value.re, value.im]);
                    }
                }
            },
        );
    }

    /// The transpose of [`Self::forward`]: gives the two slices to `take`, which may change them.
    pub(super) fn adjoint(
        &self,
        instructions: Instructions,
        images: &[f32],
        length: usize,
        take: impl FnOnce(&mut [f32]),
    ) {
        let nz = self.plane.z.size;
        self.pool.with(
            || self.scratch(),
            |scratch| {
                scratch.lines.fill(Complex32::default());
                let lines = scratch.lines.chunks_mut(self.line.len);
                let scale = 1.0 / self.line.len as f32;
                for (line, image) in lines.zip(images.chunks(length)) {
                    for (x, pair) in image.chunks_exact(2).take(self.image).enumerate() {
                        line[self.pixel(x)] = Complex32::new(pair[0], pair[1]) * scale;
                    }
                }
                let down = &self.line.down;
                down.process_with_scratch(&mut scratch.lines, &mut scratch.fft);
                scratch.plane.fill(Complex32::default());
                instructions.run(Spread {
                    geometry: self,
                    plane: &mut scratch.plane,
                    lines: &scratch.lines,
                });
                self.plane.up(&mut scratch.plane, &mut scratch.within);
                for (at, pair) in scratch.slices.chunks_exact_mut(2).enumerate() {
                    let value = self.plane.voxel(&scratch.within, at / nz, at % nz);
                    pair.copy_from_slice(&[value.re, value.im]);
                }
                take(&mut scratch.slices);
            },
        );
    }

    /// Place of a pixel in its line: the center is at 0, what is before it at the end.
    fn pixel(&self, x: usize) -> usize {
        (x + self.line.len - center_index(self.image)) % self.line.len
    }

    /// Every frequency: its place on the grid.
    #[inline(always)]
    fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let rows = self.rows.chunks_exact(self.width);
        self.points.iter().zip(rows).map(|(point, rows)| Place {
            row: point.row as usize,
            column: point.column as usize,
            rows,
            columns: &point.columns,
        })
    }
}

/// A place of a transform as a frequency: those beyond the middle are negative.
pub(super) fn signed(at: usize, len: usize) -> i64 {
    if at <= len / 2 {
        at as i64
    } else {
        at as i64 - len as i64
    }
}

struct Gather<'a> {
    geometry: &'a SingleAxis,
    plane: &'a [Complex32],
    lines: &'a mut [Complex32],
}

impl Gather<'_> {
    #[inline(always)]
    fn all<V: Vector, const CHUNKS: usize>(self) {
        let stride = self.geometry.plane.stride();
        for (value, place) in self.lines.iter_mut().zip(self.geometry.places()) {
            let mut sums: Sums<V, CHUNKS> = [[V::splat(0.0); 4]; CHUNKS];
            plane::gather(self.plane, stride, place, 1.0, &mut sums);
            *value = plane::total(&sums, place.columns);
        }
    }
}

impl Kernel for Gather<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        if 2 * self.geometry.width <= plane::LINE {
            self.all::<V, 1>();
        } else {
            self.all::<V, 2>();
        }
    }
}

struct Spread<'a> {
    geometry: &'a SingleAxis,
    plane: &'a mut [Complex32],
    lines: &'a [Complex32],
}

impl Spread<'_> {
    #[inline(always)]
    fn all<V: Vector, const CHUNKS: usize>(self) {
        let stride = self.geometry.plane.stride();
        for (&value, place) in self.lines.iter().zip(self.geometry.places()) {
            let lanes = plane::weighted(value, place.columns);
            plane::spread::<V, CHUNKS>(self.plane, stride, place, 1.0, &lanes);
        }
    }
}

impl Kernel for Spread<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        if 2 * self.geometry.width <= plane::LINE {
            self.all::<V, 1>();
        } else {
            self.all::<V, 2>();
        }
    }
}
