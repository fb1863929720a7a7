//! The linear projector: line integrals with linear interpolation, and their exact transpose.
//!
//! Every voxel is spread over the pixels nearest to where it is seen, with bilinear weights; the transpose gathers
//! from the same pixels with the same weights. The sum of an image is the sum of the voxels seen in it.
//!
//! Volume and images are kept with y (the tilt axis) fastest. Along y, a voxel's image moves by almost exactly one
//! pixel per voxel, so a run of [`LANES`] voxels shares its weights across the axis and is one vector operation; where
//! it does not (steep φ or ψ) the run falls back to single voxels. Columns are visited in small blocks, so that what
//! a block projects to stays in the nearest cache for all tilts of a task. Tasks write to separate memory: no
//! atomics, and the result does not depend on the number of threads.

use crate::model::{EulerAngles, Matrix3, Volume, center_index};
use crate::monitor::{Monitor, Stopped};
use ndarray::Array3;
use rayon::prelude::*;

/// Voxels handled at once.
const LANES: usize = 16;
/// Edge of a block of columns.
const BLOCK: usize = 8;
/// Free rows and columns round an image, so that a run at the rim needs no test per voxel.
const MARGIN: usize = LANES + 2;
/// Tilts of one forward task: they share one pass over the volume.
const TILTS_PER_TASK: usize = 4;

/// The geometry of a set of tilts, and the working layout of volume and images.
pub struct LinearProjector {
    volume_size: [usize; 3],
    image_size: [usize; 2],
    /// Voxels along y, filled up to whole runs.
    padded_y: usize,
    rotations: Vec<Matrix3>,
}

/// A volume in working layout: `(x, z, y)`, y fastest and padded.
#[derive(Clone)]
pub struct WorkVolume(pub Vec<f32>);

/// Images in working layout: `(tilt, x, y)` with a margin all round.
#[derive(Clone)]
pub struct WorkImages(pub Vec<f32>);

impl LinearProjector {
    /// A projector from volumes of `volume_size` `(x, y, z)` to images of `image_size` `(x, y)`.
    #[must_use]
    pub fn new(volume_size: [usize; 3], image_size: [usize; 2], angles: &[EulerAngles]) -> Self {
        Self {
            volume_size,
            image_size,
            padded_y: volume_size[1].div_ceil(LANES) * LANES,
            rotations: angles.iter().map(|a| a.detector_from_sample()).collect(),
        }
    }

    /// Number of tilts.
    #[must_use]
    pub fn tilts(&self) -> usize {
        self.rotations.len()
    }

    fn image_stride(&self) -> usize {
        self.image_size[1] + 2 * MARGIN
    }

    fn image_len(&self) -> usize {
        (self.image_size[0] + 2 * MARGIN) * self.image_stride()
    }

    /// A volume of zeros in working layout.
    #[must_use]
    pub fn new_volume(&self) -> WorkVolume {
        WorkVolume(vec![
            0.0;
            self.volume_size[0]
                * self.volume_size[2]
                * self.padded_y
        ])
    }

    /// Images of zeros in working layout.
    #[must_use]
    pub fn new_images(&self) -> WorkImages {
        WorkImages(vec![0.0; self.tilts() * self.image_len()])
    }

    /// Brings a volume `(x, y, z)` to working layout.
    #[must_use]
    pub fn load_volume(&self, data: &Array3<f32>) -> WorkVolume {
        let [_, ny, nz] = self.volume_size;
        let mut work = self.new_volume();
        work.0
            .par_chunks_mut(nz * self.padded_y)
            .enumerate()
            .for_each(|(x, slab)| {
                for z in 0..nz {
                    for y in 0..ny {
                        slab[z * self.padded_y + y] = data[[x, y, z]];
                    }
                }
            });
        work
    }

    /// Brings a volume back to `(x, y, z)`.
    #[must_use]
    pub fn store_volume(&self, work: &WorkVolume) -> Array3<f32> {
        let [nx, ny, nz] = self.volume_size;
        let mut data = Array3::zeros((nx, ny, nz));
        let flat = data
            .as_slice_mut()
            .expect("a new array is in standard layout");
        flat.par_chunks_mut(ny * nz)
            .enumerate()
            .for_each(|(x, slab)| {
                for y in 0..ny {
                    for z in 0..nz {
                        slab[y * nz + z] = work.0[(x * nz + z) * self.padded_y + y];
                    }
                }
            });
        data
    }

    /// The rows of pixels (y fastest) of one image in working layout.
    pub fn rows<'a>(
        &'a self,
        images: &'a WorkImages,
        tilt: usize,
    ) -> impl Iterator<Item = &'a [f32]> {
        let image = &images.0[tilt * self.image_len()..][..self.image_len()];
        (0..self.image_size[0]).map(move |x| {
            &image[(x + MARGIN) * self.image_stride() + MARGIN..][..self.image_size[1]]
        })
    }

    /// As [`Self::rows`], to write; `act(tilt, x, row)` for every row, tilts in parallel.
    pub fn for_rows_mut(
        &self,
        images: &mut WorkImages,
        act: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        let (stride, size) = (self.image_stride(), self.image_size);
        images
            .0
            .par_chunks_mut(self.image_len())
            .enumerate()
            .for_each(|(tilt, image)| {
                // What fell beside the image was not measured.
                let (inside, outside) = image.split_at_mut((size[0] + MARGIN) * stride);
                outside.fill(0.0);
                let (above, inside) = inside.split_at_mut(MARGIN * stride);
                above.fill(0.0);
                for (x, row) in inside.chunks_mut(stride).enumerate() {
                    row[..MARGIN].fill(0.0);
                    row[MARGIN + size[1]..].fill(0.0);
                    act(tilt, x, &mut row[MARGIN..MARGIN + size[1]]);
                }
            });
    }

    /// Forward projection; overwrites `images`.
    ///
    /// # Errors
    /// A stop.
    pub fn forward(
        &self,
        volume: &WorkVolume,
        images: &mut WorkImages,
        monitor: &Monitor,
    ) -> Result<(), Stopped> {
        let len = self.image_len();
        images
            .0
            .par_chunks_mut(len * TILTS_PER_TASK)
            .zip(self.rotations.par_chunks(TILTS_PER_TASK))
            .try_for_each(|(images, rotations)| {
                images.fill(0.0);
                for x0 in (0..self.volume_size[0]).step_by(BLOCK) {
                    monitor.check()?;
                    dispatch(Forward {
                        projector: self,
                        volume: &volume.0,
                        images,
                        rotations,
                        x0,
                    });
                }
                Ok(())
            })
    }

    /// Transpose of [`Self::forward`]: overwrites `volume` with the sum over tilts. The margins of `images` must be zero.
    ///
    /// # Errors
    /// A stop.
    pub fn adjoint(
        &self,
        images: &WorkImages,
        volume: &mut WorkVolume,
        monitor: &Monitor,
    ) -> Result<(), Stopped> {
        let slab = self.volume_size[2] * self.padded_y;
        volume
            .0
            .par_chunks_mut(slab * BLOCK)
            .enumerate()
            .try_for_each(|(block, columns)| {
                monitor.check()?;
                columns.fill(0.0);
                dispatch(Adjoint {
                    projector: self,
                    images: &images.0,
                    columns,
                    x0: block * BLOCK,
                });
                Ok(())
            })
    }
}

/// Where the first voxel of a column is seen (in pixels of the image with its margin), and how it moves along y.
struct Line {
    start: [f64; 2],
    step: [f64; 2],
}

/// A run of voxels whose pixels are neighbours.
struct Run {
    /// First pixel.
    at: usize,
    /// Weight of the next row, for the first voxel, and its change per voxel.
    across: [f32; 2],
    /// Weight of the next pixel in the row, for the first voxel, and its change per voxel.
    along: [f32; 2],
}

impl LinearProjector {
    #[inline(always)]
    fn line(&self, r: &Matrix3, x: usize, z: usize) -> Line {
        let center = self.volume_size.map(|n| center_index(n) as f64);
        let d = [x as f64 - center[0], -center[1], z as f64 - center[2]];
        let start = [0, 1].map(|axis| {
            r[axis][0] * d[0]
                + r[axis][1] * d[1]
                + r[axis][2] * d[2]
                + center_index(self.image_size[axis]) as f64
                + MARGIN as f64
        });
        Line {
            start,
            step: [r[0][1], r[1][1]],
        }
    }

    /// The run that begins at voxel `y`, if its pixels are neighbours and inside the margin.
    #[inline(always)]
    fn run(&self, line: &Line, y: usize) -> Option<Run> {
        let last = (LANES - 1) as f64;
        let p = line.start[0] + line.step[0] * y as f64;
        let q = line.start[1] + line.step[1] * y as f64;
        let (row, column) = (p.floor(), q.floor());
        let same_row = (p + line.step[0] * last).floor() == row;
        let drift = line.step[1] - 1.0;
        let same_column = (q + drift * last).floor() == column;
        let inside = row >= 0.0
            && column >= 0.0
            && row + 1.0 < (self.image_size[0] + 2 * MARGIN) as f64
            && column + (LANES as f64) < self.image_stride() as f64;
        (same_row && same_column && inside).then(|| Run {
            at: row as usize * self.image_stride() + column as usize,
            across: [(p - row) as f32, line.step[0] as f32],
            along: [(q - column) as f32, drift as f32],
        })
    }

    #[inline(always)]
    fn forward_block(&self, volume: &[f32], image: &mut [f32], r: &Matrix3, x0: usize, z0: usize) {
        let [nx, _, nz] = self.volume_size;
        let stride = self.image_stride();
        for x in x0..(x0 + BLOCK).min(nx) {
            for z in z0..(z0 + BLOCK).min(nz) {
                let column = &volume[(x * nz + z) * self.padded_y..][..self.padded_y];
                let line = self.line(r, x, z);
                for (run, voxels) in column.as_chunks::<LANES>().0.iter().enumerate() {
                    // Positivity leaves most of the volume exactly empty.
                    if voxels.iter().fold(0u32, |bits, v| bits | v.to_bits()) == 0 {
                        continue;
                    }
                    match self.run(&line, run * LANES) {
                        Some(run) => spread(image, stride, &run, voxels),
                        None => self.spread_singly(image, &line, run * LANES, voxels),
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn adjoint_block(&self, columns: &mut [f32], image: &[f32], r: &Matrix3, x0: usize, z0: usize) {
        let [nx, _, nz] = self.volume_size;
        let stride = self.image_stride();
        for x in x0..(x0 + BLOCK).min(nx) {
            for z in z0..(z0 + BLOCK).min(nz) {
                let column = &mut columns[((x - x0) * nz + z) * self.padded_y..][..self.padded_y];
                let line = self.line(r, x, z);
                for (run, voxels) in column.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                    match self.run(&line, run * LANES) {
                        Some(run) => gather(image, stride, &run, voxels),
                        None => self.gather_singly(image, &line, run * LANES, voxels),
                    }
                }
            }
        }
    }

    /// The pixels of one voxel and their weights; those outside the margin are left out.
    fn taps(&self, line: &Line, y: usize) -> [Option<(usize, f32)>; 4] {
        let p = line.start[0] + line.step[0] * y as f64;
        let q = line.start[1] + line.step[1] * y as f64;
        let (row, column) = (p.floor(), q.floor());
        let (a, b) = ((p - row) as f32, (q - column) as f32);
        let (rows, stride) = (self.image_size[0] + 2 * MARGIN, self.image_stride());
        let corners = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)];
        let weights = [(1.0 - a) * (1.0 - b), (1.0 - a) * b, a * (1.0 - b), a * b];
        std::array::from_fn(|corner| {
            let (i, j) = (row + corners[corner].0, column + corners[corner].1);
            let inside = i >= 0.0 && j >= 0.0 && i < rows as f64 && j < stride as f64;
            inside.then(|| (i as usize * stride + j as usize, weights[corner]))
        })
    }

    #[cold]
    fn spread_singly(&self, image: &mut [f32], line: &Line, y: usize, voxels: &[f32; LANES]) {
        for (lane, &voxel) in voxels.iter().enumerate() {
            for (at, weight) in self.taps(line, y + lane).into_iter().flatten() {
                image[at] += weight * voxel;
            }
        }
    }

    #[cold]
    fn gather_singly(&self, image: &[f32], line: &Line, y: usize, voxels: &mut [f32; LANES]) {
        for (lane, voxel) in voxels.iter_mut().enumerate() {
            for (at, weight) in self.taps(line, y + lane).into_iter().flatten() {
                *voxel += weight * image[at];
            }
        }
    }
}

#[inline(always)]
fn lane_weights(run: &Run) -> ([f32; LANES], [f32; LANES]) {
    let across = std::array::from_fn(|lane| run.across[0] + run.across[1] * lane as f32);
    let along = std::array::from_fn(|lane| run.along[0] + run.along[1] * lane as f32);
    (across, along)
}

#[inline(always)]
fn add(target: &mut [f32], values: &[f32; LANES]) {
    let target: &mut [f32; LANES] = (&mut target[..LANES]).try_into().expect("a whole run");
    for lane in 0..LANES {
        target[lane] += values[lane];
    }
}

#[inline(always)]
fn spread(image: &mut [f32], stride: usize, run: &Run, voxels: &[f32; LANES]) {
    let (across, along) = lane_weights(run);
    let far: [f32; LANES] = std::array::from_fn(|lane| voxels[lane] * across[lane]);
    let near: [f32; LANES] = std::array::from_fn(|lane| voxels[lane] - far[lane]);
    let single = run.along == [0.0, 0.0];
    for (row, part) in [(run.at, near), (run.at + stride, far)] {
        if single {
            add(&mut image[row..], &part);
            continue;
        }
        let next: [f32; LANES] = std::array::from_fn(|lane| part[lane] * along[lane]);
        // Each pixel gets its own share and its neighbour's in one go: two overlapping stores would wait for one another.
        let both: [f32; LANES] = std::array::from_fn(|lane| {
            let before = if lane == 0 { 0.0 } else { next[lane - 1] };
            part[lane] - next[lane] + before
        });
        add(&mut image[row..], &both);
        image[row + LANES] += next[LANES - 1];
    }
}

#[inline(always)]
fn gather(image: &[f32], stride: usize, run: &Run, voxels: &mut [f32; LANES]) {
    let (across, along) = lane_weights(run);
    let single = run.along == [0.0, 0.0];
    let row = |at: usize| -> [f32; LANES] {
        let here: &[f32; LANES] = (&image[at..at + LANES]).try_into().expect("a whole run");
        if single {
            return *here;
        }
        let next: &[f32; LANES] = (&image[at + 1..at + 1 + LANES])
            .try_into()
            .expect("a whole run");
        std::array::from_fn(|lane| here[lane] + along[lane] * (next[lane] - here[lane]))
    };
    let (near, far) = (row(run.at), row(run.at + stride));
    for lane in 0..LANES {
        voxels[lane] += near[lane] + across[lane] * (far[lane] - near[lane]);
    }
}

/// Work to be compiled for the widest vectors. A trait instead of a closure: its method can be forced inline, and only
/// code inlined into a function is compiled for that function's instructions.
pub(crate) trait Kernel {
    /// Does the work; implementations are `#[inline(always)]`.
    fn run(self);
}

struct Forward<'a> {
    projector: &'a LinearProjector,
    volume: &'a [f32],
    images: &'a mut [f32],
    rotations: &'a [Matrix3],
    x0: usize,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run(self) {
        let len = self.projector.image_len();
        for z0 in (0..self.projector.volume_size[2]).step_by(BLOCK) {
            for (image, rotation) in self.images.chunks_mut(len).zip(self.rotations) {
                self.projector
                    .forward_block(self.volume, image, rotation, self.x0, z0);
            }
        }
    }
}

struct Adjoint<'a> {
    projector: &'a LinearProjector,
    images: &'a [f32],
    columns: &'a mut [f32],
    x0: usize,
}

impl Kernel for Adjoint<'_> {
    #[inline(always)]
    fn run(self) {
        let len = self.projector.image_len();
        for z0 in (0..self.projector.volume_size[2]).step_by(BLOCK) {
            for (image, rotation) in self.images.chunks(len).zip(&self.projector.rotations) {
                self.projector
                    .adjoint_block(self.columns, image, rotation, self.x0, z0);
            }
        }
    }
}

/// Runs a kernel with the widest vectors this processor has: code inlined into these functions is compiled for them.
#[allow(unsafe_code)]
pub(crate) fn dispatch(kernel: impl Kernel) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx2,fma")]
        fn avx512(kernel: impl Kernel) {
            kernel.run();
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2(kernel: impl Kernel) {
            kernel.run();
        }
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
        {
            // SAFETY: the processor has just been asked for every feature the function is compiled for.
            return unsafe { avx512(kernel) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return unsafe { avx2(kernel) };
        }
    }
    kernel.run();
}

/// Name of the vector instructions [`dispatch`] chooses.
#[must_use]
pub fn vector_name() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
        {
            return "avx512";
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "avx2";
        }
    }
    if cfg!(target_arch = "aarch64") {
        "neon"
    } else {
        "scalar"
    }
}

/// Projects `volume` at `angles`: images of shape `(tilt, x, y)`.
///
/// # Errors
/// A stop.
pub fn forward(
    volume: &Volume,
    angles: &[EulerAngles],
    image_size: [usize; 2],
    monitor: &Monitor,
) -> Result<Array3<f32>, Stopped> {
    let projector = LinearProjector::new(volume.size(), image_size, angles);
    let mut images = projector.new_images();
    projector.forward(&projector.load_volume(&volume.data), &mut images, monitor)?;
    let mut data = Array3::zeros((angles.len(), image_size[0], image_size[1]));
    for (tilt, mut image) in data.outer_iter_mut().enumerate() {
        for (x, row) in projector.rows(&images, tilt).enumerate() {
            for (y, &value) in row.iter().enumerate() {
                image[[x, y]] = value;
            }
        }
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    fn random_volume(size: [usize; 3], seed: u64) -> Array3<f32> {
        let mut rng = StdRng::seed_from_u64(seed);
        Array3::from_shape_simple_fn(size, || rng.random::<f32>())
    }

    /// The definition, voxel by voxel, in double precision.
    fn naive(data: &Array3<f32>, angle: EulerAngles, size: [usize; 2]) -> Vec<f64> {
        let r = angle.detector_from_sample();
        let (nx, ny, nz) = data.dim();
        let mut image = vec![0.0; size[0] * size[1]];
        for ((x, y, z), &value) in data.indexed_iter() {
            let d = [
                x as f64 - (nx / 2) as f64,
                y as f64 - (ny / 2) as f64,
                z as f64 - (nz / 2) as f64,
            ];
            let seen = crate::model::geometry::apply(&r, d);
            let (p, q) = (
                seen[0] + (size[0] / 2) as f64,
                seen[1] + (size[1] / 2) as f64,
            );
            for (i, a) in [
                (p.floor(), 1.0 - p + p.floor()),
                (p.floor() + 1.0, p - p.floor()),
            ] {
                for (j, b) in [
                    (q.floor(), 1.0 - q + q.floor()),
                    (q.floor() + 1.0, q - q.floor()),
                ] {
                    if i >= 0.0 && j >= 0.0 && (i as usize) < size[0] && (j as usize) < size[1] {
                        image[i as usize * size[1] + j as usize] += a * b * f64::from(value);
                    }
                }
            }
        }
        image
    }

    const GEOMETRIES: [[f64; 3]; 5] = [
        [0.0, 0.0, 0.0],
        [0.0, 37.0, 0.0],
        [0.3, -71.0, 0.2],
        [20.0, 50.0, -33.0],
        [90.0, 10.0, 80.0],
    ];

    #[test]
    fn the_fast_projector_is_the_definition_for_any_geometry_and_size() {
        for (size, image) in [([13, 20, 9], [15, 20]), ([24, 17, 30], [11, 13])] {
            for [phi, theta, psi] in GEOMETRIES {
                let angle = EulerAngles::from_deg(phi, theta, psi);
                let volume = Volume::new(random_volume(size, 1), 1.0);
                let fast = forward(&volume, &[angle], image, &Monitor::silent()).unwrap();
                let slow = naive(&volume.data, angle, image);
                for (fast, slow) in fast.iter().zip(&slow) {
                    assert!(
                        (f64::from(*fast) - slow).abs() < 2e-4 * (1.0 + slow.abs()),
                        "{fast} {slow} {angle:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_adjoint_is_exact() {
        let angles: Vec<_> = GEOMETRIES
            .iter()
            .map(|a| EulerAngles::from_deg(a[0], a[1], a[2]))
            .collect();
        for (size, image) in [([31, 33, 30], [33, 33]), ([20, 15, 41], [18, 21])] {
            let projector = LinearProjector::new(size, image, &angles);
            let x = projector.load_volume(&random_volume(size, 2));
            let mut projected = projector.new_images();
            projector
                .forward(&x, &mut projected, &Monitor::silent())
                .unwrap();
            let mut y = projector.new_images();
            projector.for_rows_mut(&mut y, |tilt, x, row| {
                let mut rng = StdRng::seed_from_u64((tilt * 1000 + x) as u64);
                row.iter_mut().for_each(|v| *v = rng.random());
            });
            let mut back = projector.new_volume();
            projector
                .adjoint(&y, &mut back, &Monitor::silent())
                .unwrap();
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter()
                    .zip(b)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum()
            };
            // Rows of y are zero in the margin, so the margin of the projection does not count.
            let (left, right) = (dot(&projected.0, &y.0), dot(&x.0, &back.0));
            assert!((left - right).abs() < 1e-5 * left.abs(), "{left} {right}");
        }
    }
}
