//! The linear projector: line integrals with linear interpolation, and their exact transpose.
//!
//! Every voxel is spread over the pixels nearest to where it is seen, with bilinear weights; the transpose gathers
//! from the same pixels with the same weights. The sum of an image is the sum of the voxels seen in it.
//!
//! A series with one tilt axis has its own kernels (`single_axis`); any other geometry is in `general`. Tasks write to
//! separate memory: no atomics, and the result does not depend on the number of threads. Nothing is allocated per
//! iteration.

use super::blur::ImageBlur;
use super::general::{self, General};
use super::layout::{COLUMNS, Layout, SLAB, TILE, Tile};
pub use super::layout::{WorkImages, WorkVolume};
use super::misfit;
pub use super::misfit::Misfit;
use super::simd::Instructions;
pub use super::simd::vector_name;
use super::single_axis::{self, SingleAxis};
use crate::model::EulerAngles;
use crate::monitor::{Monitor, Stopped};
use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use std::ops::Range;

/// Tasks per thread that a pass is cut into at least, so that no thread waits long for the last one.
const TASKS_PER_THREAD: usize = 4;
/// Tiles of one task of the transpose: what they need of the images overlaps.
const TILES_PER_TASK: usize = 8;

/// The geometry of a set of tilts, and the working layout of volume and images.
pub struct LinearProjector {
    layout: Layout,
    geometry: Geometry,
    instructions: Instructions,
}

enum Geometry {
    SingleAxis(SingleAxis),
    General(General),
}

impl LinearProjector {
    /// A projector from volumes of `volume_size` `(x, y, z)` to images of `image_size` `(x, y)`.
    #[must_use]
    pub fn new(volume_size: [usize; 3], image_size: [usize; 2], angles: &[EulerAngles]) -> Self {
        let single_axis = angles.iter().all(|angle| angle.is_single_axis());
        let layout = Layout::new(volume_size, image_size, angles.len(), single_axis);
        let rotations: Vec<_> = angles.iter().map(|a| a.detector_from_sample()).collect();
        let geometry = if single_axis {
            Geometry::SingleAxis(SingleAxis::new(&layout, &rotations))
        } else {
            Geometry::General(General::new(&layout, &rotations))
        };
        Self {
            layout,
            geometry,
            instructions: Instructions::best(),
        }
    }

    /// Multiply-adds that a projection and its transpose cannot do without: one per voxel and tilt each.
    #[must_use]
    pub fn multiply_adds(&self) -> f64 {
        let [nx, ny, nz] = self.layout.volume_size;
        2.0 * (nx * ny * nz) as f64 * self.layout.tilts as f64
    }

    /// Number of tilts.
    #[must_use]
    pub fn tilts(&self) -> usize {
        self.layout.tilts
    }

    /// A volume of zeros in working layout.
    #[must_use]
    pub fn new_volume(&self) -> WorkVolume {
        self.layout.new_volume()
    }

    /// A volume of ones in working layout.
    #[must_use]
    pub fn ones(&self) -> WorkVolume {
        self.layout.ones()
    }

    /// Images of zeros in working layout.
    #[must_use]
    pub fn new_images(&self) -> WorkImages {
        self.layout.new_images()
    }

    /// Brings a volume `(x, y, z)` to working layout.
    #[must_use]
    pub fn load_volume(&self, data: &Array3<f32>) -> WorkVolume {
        self.layout.load_volume(data)
    }

    /// Brings a volume back to `(x, y, z)`.
    #[must_use]
    pub fn store_volume(&self, work: &WorkVolume) -> Array3<f32> {
        self.layout.store_volume(work)
    }

    /// Brings images `(tilt, x, y)` to working layout.
    #[must_use]
    pub fn load_images(&self, data: &ArrayView3<f32>) -> WorkImages {
        self.layout.load_images(data)
    }

    /// Brings images back to `(tilt, x, y)`.
    #[must_use]
    pub fn store_images(&self, work: &WorkImages) -> Array3<f32> {
        self.layout.store_images(work)
    }

    /// Tilts of one task of the forward projection.
    fn tilts_per_task(&self) -> usize {
        let slabs = self.layout.slabs().count();
        let wanted = (TASKS_PER_THREAD * rayon::current_num_threads()).div_ceil(slabs.max(1));
        self.layout.tilts.div_ceil(wanted.max(1)).max(1)
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
        let layout = &self.layout;
        let group = self.tilts_per_task();
        images
            .0
            .par_chunks_mut((layout.all_rows() * layout.slab_y).max(1))
            .enumerate()
            .try_for_each(|(slab, images)| {
                let ys = layout.slab(slab);
                let columns =
                    &volume.0[layout.columns() * ys.start..][..layout.columns() * ys.len()];
                images
                    .par_chunks_mut((layout.rows() * ys.len() * group).max(1))
                    .enumerate()
                    .try_for_each(|(task, images)| {
                        let first = task * group;
                        let tilts = first..(first + group).min(layout.tilts);
                        images.fill(0.0);
                        self.forward_task(columns, &ys, tilts, images, monitor)?;
                        layout.clear_outside(&ys, images);
                        Ok(())
                    })
            })
    }

    fn forward_task(
        &self,
        columns: &[f32],
        ys: &Range<usize>,
        tilts: Range<usize>,
        images: &mut [f32],
        monitor: &Monitor,
    ) -> Result<(), Stopped> {
        let layout = &self.layout;
        let sheet = (TILE * layout.volume_size[2] * ys.len()).max(1);
        for (index, columns) in columns.chunks(sheet).enumerate() {
            monitor.check()?;
            let x = index * TILE;
            match &self.geometry {
                Geometry::SingleAxis(geometry) => self.instructions.run(single_axis::Forward {
                    geometry,
                    layout,
                    columns,
                    x,
                    depth: ys.len(),
                    images,
                    tilts: tilts.clone(),
                }),
                Geometry::General(geometry) => self.instructions.run(general::Forward {
                    geometry,
                    layout,
                    columns,
                    x,
                    images,
                    tilts: tilts.clone(),
                }),
            }
        }
        Ok(())
    }

    /// Transpose of [`Self::forward`]: overwrites `volume` with the sum over tilts.
    ///
    /// # Errors
    /// A stop.
    pub fn adjoint(
        &self,
        images: &WorkImages,
        volume: &mut WorkVolume,
        monitor: &Monitor,
    ) -> Result<(), Stopped> {
        let check = || monitor.check();
        self.for_sums(images, volume, check, |_, voxels, sum| {
            voxels.copy_from_slice(sum);
        })
    }

    /// As [`Self::adjoint`], but `take(at, voxels, sum)` says what becomes of the voxels that begin at place `at` of
    /// the working order, without another pass over memory. What was taken cannot be given back: a stop that keeps
    /// is left to whoever checks next.
    ///
    /// # Errors
    /// That the work is abandoned; the volume is then of no use.
    pub fn adjoint_into(
        &self,
        images: &WorkImages,
        volume: &mut WorkVolume,
        monitor: &Monitor,
        take: impl Fn(usize, &mut [f32], &[f32]) + Sync,
    ) -> Result<(), Stopped> {
        let check = || match monitor.check() {
            Err(Stopped::Abandon) => Err(Stopped::Abandon),
            Err(Stopped::Keep) | Ok(()) => Ok(()),
        };
        self.for_sums(images, volume, check, take)
    }

    /// [`Self::adjoint_into`], stopped by `check`.
    fn for_sums(
        &self,
        images: &WorkImages,
        volume: &mut WorkVolume,
        check: impl Fn() -> Result<(), Stopped> + Sync,
        take: impl Fn(usize, &mut [f32], &[f32]) + Sync,
    ) -> Result<(), Stopped> {
        let layout = &self.layout;
        let depth = layout.volume_size[2];
        volume
            .0
            .par_chunks_mut((layout.columns() * layout.slab_y).max(1))
            .enumerate()
            .try_for_each(|(slab, volume)| {
                let ys = layout.slab(slab);
                let slab_at = layout.columns() * ys.start;
                let images =
                    &images.0[layout.all_rows() * ys.start..][..layout.all_rows() * ys.len()];
                volume
                    .par_chunks_mut(TILE * depth * ys.len())
                    .enumerate()
                    .try_for_each(|(sheet, volume)| {
                        let x = sheet * TILE;
                        let tile = layout.sheet_width(x) * TILE * ys.len();
                        volume
                            .par_chunks_mut(tile * TILES_PER_TASK)
                            .enumerate()
                            .try_for_each(|(task, volume)| {
                                check()?;
                                let tiles = layout.tiles(x).skip(task * TILES_PER_TASK);
                                for (tile, voxels) in tiles.zip(volume.chunks_mut(tile)) {
                                    let at = slab_at + layout.columns_before(&tile) * ys.len();
                                    self.adjoint_tile(images, &ys, tile, |first, sum| {
                                        let voxels = &mut voxels[first..first + sum.len()];
                                        take(at + first, voxels, sum);
                                    });
                                }
                                Ok(())
                            })
                    })
            })
    }

    /// Gives the sums of a tile's columns to `take`, with the place of the first in the tile.
    fn adjoint_tile(
        &self,
        images: &[f32],
        ys: &Range<usize>,
        tile: Tile,
        mut take: impl FnMut(usize, &[f32]),
    ) {
        let layout = &self.layout;
        let mut scratch = Scratch([0.0; COLUMNS * SLAB]);
        let end = ys.len() - layout.halo;
        for part in (layout.halo..end).step_by(SLAB) {
            let depth = SLAB.min(end - part);
            let columns = &mut scratch.0[..tile.columns() * depth];
            columns.fill(0.0);
            match &self.geometry {
                Geometry::SingleAxis(geometry) => self.instructions.run(single_axis::Adjoint {
                    geometry,
                    layout,
                    images,
                    depth,
                    tile,
                    columns,
                }),
                Geometry::General(geometry) => self.instructions.run(general::Adjoint {
                    geometry,
                    layout,
                    images,
                    first: part,
                    depth,
                    tile,
                    columns,
                }),
            }
            let columns = &mut scratch.0[..tile.columns() * depth];
            layout.clear_padding(&(ys.start + part..ys.start + part + depth), columns);
            if depth == ys.len() {
                take(0, columns);
            } else {
                for (column, sum) in columns.chunks(depth).enumerate() {
                    take(column * ys.len() + part, sum);
                }
            }
        }
    }

    /// Subtracts `measured` from `images` and says how far they were apart, tilt by tilt; then zeroes the tilts that
    /// are not `fitted`.
    pub fn subtract(
        &self,
        images: &mut WorkImages,
        measured: &WorkImages,
        fitted: &[bool],
    ) -> Vec<Misfit> {
        let slab = self.layout.all_rows() * self.layout.slab_y;
        misfit::subtract(self.instructions, images, measured, slab, fitted)
    }

    /// Smooths every image; `transposed`: the transpose of that.
    pub fn blur(&self, images: &mut WorkImages, blur: &ImageBlur, transposed: bool) {
        blur.apply(&self.layout, images, transposed);
    }

    /// Variance (px², x and y) by which spreading a voxel over the two pixels beside it widens it, mean over where it
    /// may fall between them: `∫ w(1 − w) dw`. With one tilt axis every voxel falls on a pixel of y.
    #[must_use]
    pub fn interpolation_variance(&self) -> [f64; 2] {
        interpolation_variance(matches!(self.geometry, Geometry::SingleAxis(_)))
    }

    /// Zeroes the images of the tilts that are not `kept`.
    pub fn keep(&self, images: &mut WorkImages, kept: &[bool]) {
        misfit::keep(images, self.layout.all_rows() * self.layout.slab_y, kept);
    }
}

/// [`LinearProjector::interpolation_variance`] of a series with one tilt axis, or any other.
#[must_use]
pub fn interpolation_variance(single_axis: bool) -> [f64; 2] {
    [1.0 / 6.0, if single_axis { 0.0 } else { 1.0 / 6.0 }]
}

/// Sums of a tile's columns, from the beginning of a cache line.
#[repr(align(64))]
struct Scratch([f32; COLUMNS * SLAB]);

#[cfg(test)]
mod tests;
