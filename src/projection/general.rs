//! Projection for any geometry: runs of voxels along y, whose image moves by almost one pixel per voxel.
//!
//! A run of [`LANES`] voxels shares its weights across the axis and is one vector operation; where it does not (steep
//! φ or ψ, or a run that crosses a row) single voxels are projected.

use super::layout::{Layout, MARGIN, Tile, cells};
use super::simd::{Kernel, Vector};
use crate::model::{Matrix3, center_index};
use std::ops::Range;

/// Voxels handled at once.
const LANES: usize = 16;

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

/// The rotations of all tilts.
pub(super) struct General {
    rotations: Vec<Matrix3>,
}

impl General {
    pub(super) fn new(rotations: Vec<Matrix3>) -> Self {
        Self { rotations }
    }
}

/// One image and how it is seen.
struct View<'a> {
    layout: &'a Layout,
    rotation: &'a Matrix3,
}

impl View<'_> {
    #[inline(always)]
    fn line(&self, x: usize, z: usize) -> Line {
        let r = self.rotation;
        let center = self.layout.volume_size.map(|n| center_index(n) as f64);
        let d = [
            x as f64 - center[0],
            -center[1] - self.layout.volume_y as f64,
            z as f64 - center[2],
        ];
        let before = [MARGIN, self.layout.image_y];
        let start = [0, 1].map(|axis| {
            r[axis][0] * d[0]
                + r[axis][1] * d[1]
                + r[axis][2] * d[2]
                + (center_index(self.layout.image_size[axis]) + before[axis]) as f64
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
            && row + 1.0 < self.layout.rows() as f64
            && column + (LANES as f64) < self.layout.stored_y as f64;
        (same_row && same_column && inside).then(|| Run {
            at: row as usize * self.layout.stored_y + column as usize,
            across: [(p - row) as f32, line.step[0] as f32],
            along: [(q - column) as f32, drift as f32],
        })
    }

    /// The pixels of one voxel and their weights; those outside the margin are left out.
    fn taps(&self, line: &Line, y: usize) -> [Option<(usize, f32)>; 4] {
        let p = line.start[0] + line.step[0] * y as f64;
        let q = line.start[1] + line.step[1] * y as f64;
        let (row, column) = (p.floor(), q.floor());
        let (a, b) = ((p - row) as f32, (q - column) as f32);
        let (rows, stride) = (self.layout.rows(), self.layout.stored_y);
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

/// Adds what a sheet of tiles projects to in some tilts.
pub(super) struct Forward<'a> {
    pub(super) geometry: &'a General,
    pub(super) layout: &'a Layout,
    /// The sheet's columns.
    pub(super) columns: &'a [f32],
    /// First column on x.
    pub(super) x: usize,
    /// Images of `tilts`.
    pub(super) images: &'a mut [f32],
    pub(super) tilts: Range<usize>,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let layout = self.layout;
        let stride = layout.stored_y;
        let rotations = &self.geometry.rotations[self.tilts];
        let mut first = 0;
        for tile in layout.tiles(self.x) {
            let columns = &self.columns[first..][..tile.columns() * stride];
            first += columns.len();
            let images = self.images.chunks_mut(layout.rows() * stride);
            for (image, rotation) in images.zip(rotations) {
                let view = View { layout, rotation };
                for ((dx, dz), column) in cells(&tile).zip(columns.chunks(stride)) {
                    let line = view.line(tile.at[0] + dx, tile.at[1] + dz);
                    for (run, voxels) in column.as_chunks::<LANES>().0.iter().enumerate() {
                        // Positivity leaves most of the volume exactly empty.
                        if voxels.iter().fold(0u32, |bits, v| bits | v.to_bits()) == 0 {
                            continue;
                        }
                        match view.run(&line, run * LANES) {
                            Some(run) => spread(image, stride, &run, voxels),
                            None => view.spread_singly(image, &line, run * LANES, voxels),
                        }
                    }
                }
            }
        }
    }
}

/// Adds what all tilts' images give to a part of a tile's columns.
pub(super) struct Adjoint<'a> {
    pub(super) geometry: &'a General,
    pub(super) layout: &'a Layout,
    /// All images.
    pub(super) images: &'a [f32],
    /// First stored y and number of them.
    pub(super) first: usize,
    pub(super) depth: usize,
    pub(super) tile: Tile,
    /// The part of the tile's columns.
    pub(super) columns: &'a mut [f32],
}

impl Kernel for Adjoint<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let layout = self.layout;
        let stride = layout.stored_y;
        let images = self.images.chunks(layout.rows() * stride);
        for (image, rotation) in images.zip(&self.geometry.rotations) {
            let view = View { layout, rotation };
            let columns = self.columns.chunks_mut(self.depth);
            for ((dx, dz), column) in cells(&self.tile).zip(columns) {
                let line = view.line(self.tile.at[0] + dx, self.tile.at[1] + dz);
                for (run, voxels) in column.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                    let y = self.first + run * LANES;
                    match view.run(&line, y) {
                        Some(run) => gather(image, stride, &run, voxels),
                        None => view.gather_singly(image, &line, y, voxels),
                    }
                }
            }
        }
    }
}
