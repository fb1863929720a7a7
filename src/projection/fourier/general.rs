//! Central slices for any Euler angles: a non-uniform transform in three dimensions.
//!
//! Lines along y are transformed first, two real ones as one complex one, then planes `(kz, kx)`. Of the volume's
//! transform only ky ≥ 0 is kept, with as many planes beside either end as a kernel reaches over, and of an image's
//! only kq ≥ 0: a frequency below is the complex conjugate of the one above. The transpose spreads each block of
//! planes by itself, from a list of the frequencies that touch it, so that no two tasks write to the same memory.

use super::kernel::{KaiserBessel, MOST};
use super::plane::{self, Axis, Place, Plane, PlaneScratch, Sums, TWICE, Transform};
use super::single_axis::signed;
use super::{Pool, Sizes, period};
use crate::model::{Matrix3, center_index};
use crate::monitor::Stopped;
use crate::projection::simd::{Instructions, Kernel, Vector};
use rayon::prelude::*;
use rustfft::FftPlanner;
use rustfft::num_complex::Complex32;

/// Planes of a task of the transpose.
const BLOCK: usize = 8;
/// Columns along z whose lines are transformed at a time: complex numbers of a cache line.
const GROUP: usize = 8;

/// Asks whether to go on.
pub(super) type Check<'a> = &'a (dyn Fn() -> Result<(), Stopped> + Sync);

/// The transforms, and where the images' frequencies lie.
pub(super) struct General {
    sizes: Sizes,
    kernel: KaiserBessel,
    plane: Plane,
    y: Axis,
    /// Planes below ky = 0.
    below: usize,
    planes: usize,
    /// Of images: along x and along y.
    lines: [Transform; 2],
    /// Grid points per frequency along an image's x and y.
    steps: Vec<[[f64; 3]; 2]>,
    /// For each block of planes, the frequencies that touch it.
    runs: Vec<Vec<Run>>,
    works: Pool<Work>,
    pool: Pool<Scratch>,
}

/// Frequencies of one row that follow one another.
struct Run {
    /// `(tilt, frequency along y)`.
    row: u32,
    /// Frequencies along x: the first, and the one after the last.
    from: i32,
    to: i32,
}

/// What lies between two steps of a projection.
struct Work {
    /// The volume's transform, `(ky, kz, kx)`.
    planes: Vec<Complex32>,
    /// The lines' transforms, `(x, ky, z)`.
    columns: Vec<Complex32>,
    /// The images' transforms, `(tilt, frequency along y, along x)`.
    images: Vec<Complex32>,
}

struct Scratch {
    within: PlaneScratch,
    lines: Vec<Complex32>,
    fft: Vec<Complex32>,
    sheet: Vec<f32>,
}

/// A frequency's place on the grid, and its weights.
struct Spot {
    /// First plane, row and column.
    first: [usize; 3],
    planes: [f32; MOST],
    rows: [f32; MOST],
    columns: [f32; TWICE],
    /// Whether the volume's frequency is the conjugate one.
    conjugate: bool,
}

impl General {
    pub(super) fn new(sizes: &Sizes, oversampling: f64, rotations: &[Matrix3]) -> Self {
        let kernel = KaiserBessel::new(oversampling);
        let mut planner = FftPlanner::new();
        let [nx, ny, nz] = sizes.volume;
        let plane = Plane::new([nx, nz], oversampling, &kernel, &mut planner);
        let y = Axis::new(ny, oversampling, &kernel, &mut planner);
        let lines = [0, 1].map(|axis| {
            let len = period(sizes.volume, sizes.image[axis], axis, rotations);
            Transform::new(len, &mut planner)
        });
        let grid = [
            plane.x.transform.len,
            y.transform.len,
            plane.z.transform.len,
        ];
        let steps: Vec<[[f64; 3]; 2]> = rotations
            .iter()
            .map(|rotation| {
                [0, 1].map(|axis| {
                    let along = |at: usize| rotation[axis][at] * grid[at] as f64;
                    [0, 1, 2].map(|at| along(at) / lines[axis].len as f64)
                })
            })
            .collect();
        let below = kernel.width() / 2 + 1;
        let planes = below + y.transform.len / 2 + 1 + below;
        let mut this = Self {
            sizes: sizes.clone(),
            kernel,
            plane,
            y,
            below,
            planes,
            lines,
            steps,
            runs: Vec::new(),
            works: Pool::default(),
            pool: Pool::default(),
        };
        this.runs = this.find_runs();
        this
    }

    /// Frequencies of an image along y that are kept.
    fn half(&self) -> usize {
        self.lines[1].len / 2 + 1
    }

    /// Frequencies along x: from the lowest to after the highest.
    fn frequencies(&self) -> std::ops::Range<i32> {
        let half = (self.lines[0].len / 2) as i32;
        -half..half + 1
    }

    /// Multiply-adds of a projection and its transpose.
    pub(super) fn multiply_adds(&self) -> f64 {
        let [nx, _, nz] = self.sizes.volume;
        let half = self.y.transform.len / 2 + 1;
        let volume = (nx * nz / 2) as f64 * self.y.transform.multiply_adds()
            + half as f64 * self.plane.multiply_adds();
        let [x, y] = [&self.lines[0], &self.lines[1]].map(Transform::multiply_adds);
        let images = self.half() as f64 * x + (self.sizes.image[0] / 2) as f64 * y;
        let kernels = self.half() * self.lines[0].len * 2 * self.kernel.width().pow(3);
        2.0 * (volume + self.steps.len() as f64 * (images + kernels as f64))
    }

    fn work(&self) -> Work {
        let [nx, _, nz] = self.sizes.volume;
        let zeros = |len: usize| vec![Complex32::default(); len];
        Work {
            planes: zeros(self.planes * self.plane.len()),
            columns: zeros(nx * (self.y.transform.len / 2 + 1) * nz),
            images: zeros(self.steps.len() * self.half() * self.lines[0].len),
        }
    }

    fn scratch(&self) -> Scratch {
        let [_, ny, nz] = self.sizes.volume;
        let fft = [&self.y.transform, &self.lines[0], &self.lines[1]].map(Transform::scratch);
        Scratch {
            within: self.plane.scratch(),
            lines: vec![
                Complex32::default();
                (GROUP / 2 * self.y.transform.len).max(self.lines[1].len)
            ],
            fft: vec![Complex32::default(); fft.into_iter().max().unwrap_or(0)],
            sheet: vec![0.0; nz * ny],
        }
    }

    /// Where a frequency lies on the volume's grid along x, y, z; ky is brought to its half of the grid.
    #[inline(always)]
    fn grid_place(&self, tilt: usize, kp: i32, kq: i32) -> ([f64; 3], bool) {
        let [x, y] = &self.steps[tilt];
        let along = |axis: usize| f64::from(kp) * x[axis] + f64::from(kq) * y[axis];
        let len = self.y.transform.len as f64;
        let ky = along(1);
        let ky = ky - len * (ky / len).round();
        if ky < 0.0 {
            ([-along(0), -ky, -along(2)], true)
        } else {
            ([along(0), ky, along(2)], false)
        }
    }

    #[inline(always)]
    fn spot(&self, tilt: usize, kp: i32, kq: i32) -> Spot {
        let ([x, y, z], conjugate) = self.grid_place(tilt, kp, kq);
        let [(column, columns), (plane, planes), (row, rows)] = [x, y, z].map(|place| {
            let (first, into) = self.kernel.first(place);
            (first, self.kernel.weights(into))
        });
        let wrapped = |first: i64, len: usize| first.rem_euclid(len as i64) as usize;
        Spot {
            first: [
                (plane + self.below as i64) as usize,
                wrapped(row, self.plane.z.transform.len),
                wrapped(column, self.plane.x.transform.len),
            ],
            planes,
            rows,
            columns: std::array::from_fn(|lane| columns[lane / 2]),
            conjugate,
        }
    }

    /// The frequencies that touch each block of planes.
    fn find_runs(&self) -> Vec<Vec<Run>> {
        let blocks = self.planes.div_ceil(BLOCK);
        let mut runs: Vec<Vec<Run>> = (0..blocks).map(|_| Vec::new()).collect();
        for row in 0..self.steps.len() * self.half() {
            let (tilt, kq) = (row / self.half(), (row % self.half()) as i32);
            for kp in self.frequencies() {
                let ([_, ky, _], _) = self.grid_place(tilt, kp, kq);
                let first = (self.kernel.first(ky).0 + self.below as i64) as usize;
                let last = first + self.kernel.width() - 1;
                for runs in &mut runs[first / BLOCK..=last / BLOCK] {
                    match runs.last_mut() {
                        Some(run) if run.row as usize == row && run.to == kp => run.to += 1,
                        _ => runs.push(Run {
                            row: row as u32,
                            from: kp,
                            to: kp + 1,
                        }),
                    }
                }
            }
        }
        runs
    }

    /// Projects a volume `(x, z, y)`; `images` of `length` numbers each are `(tilt, x, y)`.
    pub(super) fn forward(
        &self,
        instructions: Instructions,
        volume: &[f32],
        images: &mut [f32],
        length: usize,
        check: Check,
    ) -> Result<(), Stopped> {
        self.works.with(
            || self.work(),
            |work| self.forward_with(work, instructions, volume, images, length, check),
        )
    }

    fn forward_with(
        &self,
        work: &mut Work,
        instructions: Instructions,
        volume: &[f32],
        images: &mut [f32],
        length: usize,
        check: Check,
    ) -> Result<(), Stopped> {
        self.columns_of(volume, &mut work.columns, check)?;
        let columns = &work.columns;
        work.planes
            .par_chunks_mut(self.plane.len())
            .enumerate()
            .try_for_each(|(at, plane)| {
                check()?;
                self.transform_plane(at, columns, plane);
                Ok(())
            })?;
        let planes = &work.planes;
        work.images
            .par_chunks_mut(self.lines[0].len)
            .enumerate()
            .try_for_each(|(row, line)| {
                check()?;
                instructions.run(Gather {
                    geometry: self,
                    planes,
                    row,
                    line,
                });
                self.pool.with(
                    || self.scratch(),
                    |scratch| {
                        let up = &self.lines[0].up;
                        up.process_with_scratch(line, &mut scratch.fft);
                    },
                );
                Ok(())
            })?;
        let spectra = &work.images;
        images
            .par_chunks_mut(length)
            .zip(spectra.par_chunks(self.half() * self.lines[0].len))
            .try_for_each(|(image, spectrum)| {
                check()?;
                self.pool
                    .with(|| self.scratch(), |s| self.image_of(spectrum, image, s));
                Ok(())
            })
    }

    /// The transpose of [`Self::forward`]: gives each sheet of the volume `(z, y)` to `take`, with its place.
    pub(super) fn adjoint(
        &self,
        instructions: Instructions,
        images: &[f32],
        length: usize,
        volume: &mut [f32],
        check: Check,
        take: impl Fn(usize, &mut [f32], &[f32]) + Sync,
    ) -> Result<(), Stopped> {
        self.works.with(
            || self.work(),
            |work| {
                self.spread_images(work, instructions, images, length, check)?;
                self.take_sheets(&work.planes, volume, check, take)
            },
        )
    }

    /// The volume's transform from the images: leaves `(x, z)` at each plane's beginning.
    fn spread_images(
        &self,
        work: &mut Work,
        instructions: Instructions,
        images: &[f32],
        length: usize,
        check: Check,
    ) -> Result<(), Stopped> {
        work.images
            .par_chunks_mut(self.half() * self.lines[0].len)
            .zip(images.par_chunks(length))
            .try_for_each(|(spectrum, image)| {
                check()?;
                self.pool
                    .with(|| self.scratch(), |s| self.spectrum_of(image, spectrum, s));
                Ok(())
            })?;
        let spectra = &work.images;
        work.planes
            .par_chunks_mut(BLOCK * self.plane.len())
            .zip(&self.runs)
            .enumerate()
            .try_for_each(|(block, (planes, runs))| {
                check()?;
                planes.fill(Complex32::default());
                instructions.run(Spread {
                    geometry: self,
                    planes,
                    block,
                    runs,
                    spectra,
                });
                for plane in planes.chunks_mut(self.plane.len()) {
                    check()?;
                    self.untransform_plane(plane);
                }
                Ok(())
            })
    }

    /// Transforms back along y and gives each sheet to `take`.
    fn take_sheets(
        &self,
        planes: &[Complex32],
        volume: &mut [f32],
        check: Check,
        take: impl Fn(usize, &mut [f32], &[f32]) + Sync,
    ) -> Result<(), Stopped> {
        let [_, ny, nz] = self.sizes.volume;
        volume
            .par_chunks_mut(nz * ny)
            .enumerate()
            .try_for_each(|(x, voxels)| {
                check()?;
                self.pool.with(
                    || self.scratch(),
                    |scratch| {
                        self.sheet_of(planes, x, scratch);
                        take(x * nz * ny, voxels, &scratch.sheet);
                    },
                );
                Ok(())
            })
    }

    /// Transforms all lines along y.
    fn columns_of(
        &self,
        volume: &[f32],
        columns: &mut [Complex32],
        check: Check,
    ) -> Result<(), Stopped> {
        let [_, ny, nz] = self.sizes.volume;
        let my = self.y.transform.len;
        columns
            .par_chunks_mut((my / 2 + 1) * nz)
            .zip(volume.par_chunks(nz * ny))
            .try_for_each(|(columns, sheet)| {
                check()?;
                self.pool.with(
                    || self.scratch(),
                    |scratch| {
                        for first in (0..nz).step_by(GROUP) {
                            let count = GROUP.min(nz - first);
                            self.transform_lines(&sheet[first * ny..(first + count) * ny], scratch);
                            for ky in 0..=my / 2 {
                                let to = &mut columns[ky * nz + first..][..count];
                                let opposite = (my - ky) % my;
                                for (pair, line) in
                                    to.chunks_mut(2).zip(scratch.lines.chunks_exact(my))
                                {
                                    let halves = parted(line[ky], line[opposite]);
                                    pair.copy_from_slice(&halves[..pair.len()]);
                                }
                            }
                        }
                    },
                );
                Ok(())
            })
    }

    /// Transforms a few lines of `sheet` `(z, y)`, two as one.
    fn transform_lines(&self, sheet: &[f32], scratch: &mut Scratch) {
        let (ny, my) = (self.sizes.volume[1], self.y.transform.len);
        let pairs = sheet.chunks(2 * ny);
        let lines = &mut scratch.lines[..pairs.len() * my];
        lines.fill(Complex32::default());
        for (pair, line) in pairs.zip(lines.chunks_mut(my)) {
            for y in 0..ny {
                let second = pair.get(ny + y).copied().unwrap_or(0.0);
                line[self.y.place(y)] = Complex32::new(pair[y], second) * self.y.correction[y];
            }
        }
        let down = &self.y.transform.down;
        down.process_with_scratch(lines, &mut scratch.fft);
    }

    /// One plane of the volume's transform.
    fn transform_plane(&self, at: usize, columns: &[Complex32], plane: &mut [Complex32]) {
        let nz = self.sizes.volume[2];
        let my = self.y.transform.len;
        let sheet = (my / 2 + 1) * nz;
        // Beside either end are the conjugates of frequencies inside.
        let (ky, sign) = match at.checked_sub(self.below) {
            None => (self.below - at, -1.0),
            Some(ky) if ky > my / 2 => (my - ky, -1.0),
            Some(ky) => (ky, 1.0),
        };
        let voxel = |x: usize, z: usize| {
            let value = columns[x * sheet + ky * nz + z];
            Complex32::new(value.re, sign * value.im)
        };
        self.pool.with(
            || self.scratch(),
            |scratch| self.plane.down(voxel, plane, &mut scratch.within),
        );
    }

    /// The transpose of [`Self::transform_plane`] but for the conjugates: leaves `(x, z)` at the plane's beginning.
    fn untransform_plane(&self, plane: &mut [Complex32]) {
        let [nx, _, nz] = self.sizes.volume;
        self.pool.with(
            || self.scratch(),
            |scratch| {
                self.plane.up(plane, &mut scratch.within);
                for (at, value) in plane[..nx * nz].iter_mut().enumerate() {
                    *value = self.plane.voxel(&scratch.within, at / nz, at % nz);
                }
            },
        );
    }

    /// The sheet `(z, y)` at x, from what [`Self::untransform_plane`] left.
    fn sheet_of(&self, planes: &[Complex32], x: usize, scratch: &mut Scratch) {
        let [_, ny, nz] = self.sizes.volume;
        let my = self.y.transform.len;
        for first in (0..nz).step_by(GROUP) {
            let count = GROUP.min(nz - first);
            let lines = &mut scratch.lines[..count.div_ceil(2) * my];
            lines.fill(Complex32::default());
            for (at, plane) in planes.chunks(self.plane.len()).enumerate() {
                let ky = (at + my - self.below) % my;
                let opposite = (my - ky) % my;
                let from = &plane[x * nz + first..][..count];
                for (pair, line) in from.chunks(2).zip(lines.chunks_mut(my)) {
                    let second = pair.get(1).copied().unwrap_or_default();
                    let (low, high) = joined(pair[0] * 0.5, second * 0.5);
                    line[ky] += low;
                    line[opposite] += high;
                }
            }
            let up = &self.y.transform.up;
            up.process_with_scratch(lines, &mut scratch.fft);
            let sheet = &mut scratch.sheet[first * ny..(first + count) * ny];
            for (pair, line) in sheet.chunks_mut(2 * ny).zip(lines.chunks(my)) {
                let (one, two) = pair.split_at_mut(ny);
                for y in 0..ny {
                    let value = line[self.y.place(y)] * self.y.correction[y];
                    one[y] = value.re;
                    if let Some(two) = two.get_mut(y) {
                        *two = value.im;
                    }
                }
            }
        }
    }

    /// Place of a pixel in its line: the center is at 0, what is before it at the end.
    fn pixel(&self, axis: usize, at: usize) -> usize {
        let len = self.lines[axis].len;
        (at + len - center_index(self.sizes.image[axis])) % len
    }

    fn scale(&self) -> f32 {
        1.0 / (self.lines[0].len * self.lines[1].len) as f32
    }

    /// An image from its transform along y, two rows as one.
    fn image_of(&self, spectrum: &[Complex32], image: &mut [f32], scratch: &mut Scratch) {
        let [px, py] = self.sizes.image;
        let (lx, ly) = (self.lines[0].len, self.lines[1].len);
        let line = &mut scratch.lines[..ly];
        for (pair, rows) in image[..px * py].chunks_mut(2 * py).enumerate() {
            let x = [2 * pair, (2 * pair + 1).min(px - 1)].map(|x| self.pixel(0, x));
            let at = |kq: usize| x.map(|x| spectrum[kq * lx + x]);
            let [one, two] = at(0);
            line[0] = Complex32::new(one.re, two.re);
            for kq in 1..=ly / 2 {
                let [one, two] = at(kq);
                (line[kq], line[ly - kq]) = joined(one, two);
            }
            let up = &self.lines[1].up;
            up.process_with_scratch(line, &mut scratch.fft);
            let (one, two) = rows.split_at_mut(py);
            for y in 0..py {
                let value = line[self.pixel(1, y)] * self.scale();
                one[y] = value.re;
                if let Some(two) = two.get_mut(y) {
                    *two = value.im;
                }
            }
        }
    }

    /// The transpose of [`Self::image_of`] and the transform along x.
    fn spectrum_of(&self, image: &[f32], spectrum: &mut [Complex32], scratch: &mut Scratch) {
        let [px, py] = self.sizes.image;
        let (lx, ly) = (self.lines[0].len, self.lines[1].len);
        spectrum.fill(Complex32::default());
        let line = &mut scratch.lines[..ly];
        for (pair, rows) in image[..px * py].chunks(2 * py).enumerate() {
            line.fill(Complex32::default());
            let (one, two) = rows.split_at(py);
            for y in 0..py {
                let second = two.get(y).copied().unwrap_or(0.0);
                line[self.pixel(1, y)] = Complex32::new(one[y], second) * self.scale();
            }
            let down = &self.lines[1].down;
            down.process_with_scratch(line, &mut scratch.fft);
            for kq in 0..=ly / 2 {
                // Those below zero are not kept: those above stand for them.
                let share = if kq == 0 { 1.0 } else { 2.0 };
                let halves = parted(line[kq], line[(ly - kq) % ly]);
                for (row, half) in halves.into_iter().enumerate().take(rows.len() / py) {
                    spectrum[kq * lx + self.pixel(0, 2 * pair + row)] = half * share;
                }
            }
        }
        let down = &self.lines[0].down;
        down.process_with_scratch(spectrum, &mut scratch.fft);
    }
}

/// The transforms A and B of two real lines from that of `a + i b` at a frequency and at its opposite.
#[inline(always)]
fn parted(here: Complex32, opposite: Complex32) -> [Complex32; 2] {
    let (sum, difference) = (here + opposite.conj(), here - opposite.conj());
    [
        sum * 0.5,
        Complex32::new(0.5 * difference.im, -0.5 * difference.re),
    ]
}

/// `A + i B` at a frequency, and at its opposite, where A and B are the complex conjugates.
#[inline(always)]
fn joined(a: Complex32, b: Complex32) -> (Complex32, Complex32) {
    (
        Complex32::new(a.re - b.im, a.im + b.re),
        Complex32::new(a.re + b.im, b.re - a.im),
    )
}

/// One row of an image's transform, from the volume's.
struct Gather<'a> {
    geometry: &'a General,
    planes: &'a [Complex32],
    row: usize,
    line: &'a mut [Complex32],
}

impl Gather<'_> {
    #[inline(always)]
    fn all<V: Vector, const CHUNKS: usize>(self) {
        let Self { geometry, .. } = self;
        let (stride, len) = (geometry.plane.stride(), geometry.plane.len());
        let (tilt, kq) = (self.row / geometry.half(), self.row % geometry.half());
        let width = geometry.kernel.width();
        let period = self.line.len();
        for (at, value) in self.line.iter_mut().enumerate() {
            let spot = geometry.spot(tilt, signed(at, period) as i32, kq as i32);
            let [first, row, column] = spot.first;
            let mut sums: Sums<V, CHUNKS> = [[V::splat(0.0); 4]; CHUNKS];
            let planes = self.planes[first * len..].chunks_exact(len);
            for (plane, &factor) in planes.zip(&spot.planes[..width]) {
                let place = Place {
                    row,
                    column,
                    rows: &spot.rows[..width],
                    columns: &spot.columns,
                };
                plane::gather(plane, stride, place, factor, &mut sums);
            }
            let sum = plane::total(&sums, &spot.columns);
            *value = if spot.conjugate { sum.conj() } else { sum };
        }
    }
}

impl Kernel for Gather<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        if 2 * self.geometry.kernel.width() <= plane::LINE {
            self.all::<V, 1>();
        } else {
            self.all::<V, 2>();
        }
    }
}

/// Adds what touches a block of planes.
struct Spread<'a> {
    geometry: &'a General,
    planes: &'a mut [Complex32],
    block: usize,
    runs: &'a [Run],
    spectra: &'a [Complex32],
}

impl Spread<'_> {
    #[inline(always)]
    fn all<V: Vector, const CHUNKS: usize>(self) {
        let Self { geometry, .. } = self;
        let (stride, len) = (geometry.plane.stride(), geometry.plane.len());
        let width = geometry.kernel.width();
        let period = geometry.lines[0].len;
        let first_plane = self.block * BLOCK;
        for run in self.runs {
            let row = run.row as usize;
            let (tilt, kq) = (row / geometry.half(), row % geometry.half());
            let line = &self.spectra[row * period..][..period];
            for kp in run.from..run.to {
                let value = line[kp.rem_euclid(period as i32) as usize];
                let spot = geometry.spot(tilt, kp, kq as i32);
                let value = if spot.conjugate { value.conj() } else { value };
                let lanes = plane::weighted(value, &spot.columns);
                let [first, row, column] = spot.first;
                // The part of the kernel that lies in this block.
                let skipped = first_plane.saturating_sub(first);
                let at = (first + skipped - first_plane) * len;
                let planes = self.planes[at..].chunks_exact_mut(len);
                for (plane, &factor) in planes.zip(&spot.planes[skipped..width]) {
                    let place = Place {
                        row,
                        column,
                        rows: &spot.rows[..width],
                        columns: &spot.columns,
                    };
                    plane::spread::<V, CHUNKS>(plane, stride, place, factor, &lanes);
                }
            }
        }
    }
}

impl Kernel for Spread<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        if 2 * self.geometry.kernel.width() <= plane::LINE {
            self.all::<V, 1>();
        } else {
            self.all::<V, 2>();
        }
    }
}
