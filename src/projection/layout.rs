//! How volumes and images lie in memory while they are projected.
//!
//! y (along the tilt axis) is fastest. A volume is cut into *tiles* of `TILE × TILE` columns, so that what a kernel
//! works on at a time is one piece of memory that fits the nearest cache; for a single-axis series, whose y-slices
//! are independent, it is first cut along y into *slabs* of [`SLAB`] voxels, and so are the images:
//!
//! - volume `(slab, x, z, y)`, with x and z tile by tile: the columns of a tile follow one another;
//! - images `(slab, tilt, x, y)`, with [`MARGIN`] rows on either side for what falls beside the image.
//!
//! Without slabs (any other geometry) there is one that holds a whole column, with [`HALO`] zeros at both ends.
//! Pixels that do not exist and voxels that do not exist are zero at all times.

use super::aligned::Aligned;
use crate::model::center_index;
use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use std::ops::Range;

/// Edge of a tile of columns.
pub(super) const TILE: usize = 8;
/// Columns of a whole tile.
pub(super) const COLUMNS: usize = TILE * TILE;
/// Rows beside an image: a tile that touches the image projects to nothing farther out. Its diagonal is `7 √2 < 10`.
pub(super) const MARGIN: usize = 13;
/// Voxels of a slab along y.
pub(super) const SLAB: usize = 64;
/// Zeros at both ends of a column when there are no slabs.
pub(super) const HALO: usize = 16;
/// Columns and rows are filled up to a multiple of this: a cache line.
const LINE: usize = 16;

/// A volume in working layout. Elementwise work may treat it as a flat slice; zeros must stay zeros.
#[derive(Clone)]
pub struct WorkVolume(pub(super) Aligned);

/// Images in working layout. Elementwise work may treat them as a flat slice; zeros must stay zeros.
#[derive(Clone)]
pub struct WorkImages(pub(super) Aligned);

impl WorkVolume {
    /// All values, in working order.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// As [`Self::values`], to change.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl WorkImages {
    /// All values, in working order.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// As [`Self::values`], to change.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

/// Sizes, and where everything lies.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) volume_size: [usize; 3],
    pub(super) image_size: [usize; 2],
    pub(super) tilts: usize,
    /// Stored y of the first voxel and of the first pixel: equal y of volume and image lie at equal places.
    pub(super) volume_y: usize,
    pub(super) image_y: usize,
    /// Stored y of a column or row, and how many of them at either end are no more than zeros.
    pub(super) stored_y: usize,
    pub(super) halo: usize,
    /// Stored y of a slab (the last may be shorter).
    pub(super) slab_y: usize,
}

/// One tile of columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile {
    /// First column on x and z.
    pub(super) at: [usize; 2],
    /// Columns on x and z.
    pub(super) size: [usize; 2],
}

impl Tile {
    pub(super) fn columns(&self) -> usize {
        self.size[0] * self.size[1]
    }
}

impl Layout {
    pub(super) fn new(
        volume_size: [usize; 3],
        image_size: [usize; 2],
        tilts: usize,
        slabs: bool,
    ) -> Self {
        let halo = if slabs { 0 } else { HALO };
        let (volume, image) = (center_index(volume_size[1]), center_index(image_size[1]));
        let (volume_y, image_y) = (image.saturating_sub(volume), volume.saturating_sub(image));
        let used = (volume_y + volume_size[1]).max(image_y + image_size[1]);
        let stored_y = used.next_multiple_of(LINE) + 2 * halo;
        Self {
            volume_size,
            image_size,
            tilts,
            volume_y: volume_y + halo,
            image_y: image_y + halo,
            stored_y,
            halo,
            slab_y: if slabs { SLAB } else { stored_y },
        }
    }

    /// Rows of an image with its margins.
    pub(super) fn rows(&self) -> usize {
        self.image_size[0] + 2 * MARGIN
    }

    /// Columns of the volume.
    pub(super) fn columns(&self) -> usize {
        self.volume_size[0] * self.volume_size[2]
    }

    /// Values of all tilts per stored y.
    pub(super) fn all_rows(&self) -> usize {
        self.tilts * self.rows()
    }

    /// Stored y of each slab.
    pub(super) fn slabs(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (stored, slab) = (self.stored_y, self.slab_y);
        (0..stored)
            .step_by(slab)
            .map(move |start| start..(start + slab).min(stored))
    }

    /// Stored y of slab `index`.
    pub(super) fn slab(&self, index: usize) -> Range<usize> {
        let start = index * self.slab_y;
        start..(start + self.slab_y).min(self.stored_y)
    }

    /// Columns on x of the sheet of tiles that begins at `x`.
    pub(super) fn sheet_width(&self, x: usize) -> usize {
        TILE.min(self.volume_size[0] - x)
    }

    /// Tiles of the sheet that begins at `x`, in the order they lie in memory.
    pub(super) fn tiles(&self, x: usize) -> impl Iterator<Item = Tile> + use<> {
        let (width, depth) = (self.sheet_width(x), self.volume_size[2]);
        (0..depth).step_by(TILE).map(move |z| Tile {
            at: [x, z],
            size: [width, TILE.min(depth - z)],
        })
    }

    /// Columns before the first of a tile.
    pub(super) fn columns_before(&self, tile: &Tile) -> usize {
        tile.at[0] * self.volume_size[2] + tile.at[1] * tile.size[0]
    }

    /// Stored y of the voxels that exist.
    pub(super) fn voxels(&self) -> Range<usize> {
        self.volume_y..self.volume_y + self.volume_size[1]
    }

    /// Pixels that exist in a slab, as places in the slab.
    pub(super) fn pixels_in(&self, slab: &Range<usize>) -> Range<usize> {
        common(&self.pixels(), slab)
    }

    /// Stored y of the pixels that exist.
    fn pixels(&self) -> Range<usize> {
        self.image_y..self.image_y + self.image_size[1]
    }

    pub(super) fn new_volume(&self) -> WorkVolume {
        WorkVolume(Aligned::zeros(self.columns() * self.stored_y))
    }

    pub(super) fn new_images(&self) -> WorkImages {
        WorkImages(Aligned::zeros(self.all_rows() * self.stored_y))
    }

    /// Calls `act(slab's y, tile, values)` for every tile, in parallel.
    fn for_tiles_mut(
        &self,
        volume: &mut WorkVolume,
        act: impl Fn(Range<usize>, Tile, &mut [f32]) + Sync,
    ) {
        let depth = self.volume_size[2];
        volume
            .0
            .par_chunks_mut((self.columns() * self.slab_y).max(1))
            .enumerate()
            .for_each(|(slab, values)| {
                let ys = self.slab(slab);
                values
                    .par_chunks_mut(TILE * depth * ys.len())
                    .enumerate()
                    .for_each(|(sheet, values)| {
                        let x = sheet * TILE;
                        let chunk = self.sheet_width(x) * TILE * ys.len();
                        for (tile, values) in self.tiles(x).zip(values.chunks_mut(chunk)) {
                            act(ys.clone(), tile, values);
                        }
                    });
            });
    }

    /// Voxels that exist in a slab, as places in the slab.
    fn voxels_in(&self, slab: &Range<usize>) -> Range<usize> {
        common(&self.voxels(), slab)
    }

    /// Brings a volume `(x, y, z)` to working layout.
    pub(super) fn load_volume(&self, data: &Array3<f32>) -> WorkVolume {
        let mut work = self.new_volume();
        self.for_tiles_mut(&mut work, |slab, tile, values| {
            for place in self.voxels_in(&slab) {
                let y = slab.start + place - self.volume_y;
                for (dx, dz) in cells(&tile) {
                    let column = dx * tile.size[1] + dz;
                    values[column * slab.len() + place] =
                        data[[tile.at[0] + dx, y, tile.at[1] + dz]];
                }
            }
        });
        work
    }

    /// A volume of ones in working layout.
    pub(super) fn ones(&self) -> WorkVolume {
        let mut work = self.new_volume();
        self.for_tiles_mut(&mut work, |slab, _, values| {
            let voxels = self.voxels_in(&slab);
            for column in values.chunks_mut(slab.len()) {
                column[voxels.clone()].fill(1.0);
            }
        });
        work
    }

    /// Brings a volume back to `(x, y, z)`.
    pub(super) fn store_volume(&self, work: &WorkVolume) -> Array3<f32> {
        let [nx, ny, nz] = self.volume_size;
        let mut data = Array3::zeros((nx, ny, nz));
        let flat = data
            .as_slice_mut()
            .expect("a new array is in standard layout");
        flat.par_chunks_mut((ny * nz).max(1))
            .enumerate()
            .for_each(|(x, plane)| {
                let (sheet, dx) = (x - x % TILE, x % TILE);
                for slab in self.slabs() {
                    for tile in self.tiles(sheet) {
                        let at = self.columns() * slab.start
                            + (self.columns_before(&tile) + dx * tile.size[1]) * slab.len();
                        let values = &work.0[at..at + tile.size[1] * slab.len()];
                        for place in self.voxels_in(&slab) {
                            let y = slab.start + place - self.volume_y;
                            let row = &mut plane[y * nz + tile.at[1]..][..tile.size[1]];
                            for (dz, voxel) in row.iter_mut().enumerate() {
                                *voxel = values[dz * slab.len() + place];
                            }
                        }
                    }
                }
            });
        data
    }

    /// Brings images `(tilt, x, y)` to working layout.
    pub(super) fn load_images(&self, data: &ArrayView3<f32>) -> WorkImages {
        let mut work = self.new_images();
        for slab in self.slabs() {
            let images =
                &mut work.0[self.all_rows() * slab.start..][..self.all_rows() * slab.len()];
            for (row, values) in images.chunks_mut(slab.len()).enumerate() {
                let (tilt, x) = (row / self.rows(), row % self.rows());
                if (MARGIN..MARGIN + self.image_size[0]).contains(&x) {
                    for place in common(&self.pixels(), &slab) {
                        values[place] = data[[tilt, x - MARGIN, slab.start + place - self.image_y]];
                    }
                }
            }
        }
        work
    }

    /// Brings images back to `(tilt, x, y)`.
    pub(super) fn store_images(&self, work: &WorkImages) -> Array3<f32> {
        let [nx, ny] = self.image_size;
        Array3::from_shape_fn((self.tilts, nx, ny), |(tilt, x, y)| {
            let stored = y + self.image_y;
            let slab = self.slab(stored / self.slab_y);
            let row = tilt * self.rows() + MARGIN + x;
            work.0[self.all_rows() * slab.start + row * slab.len() + stored - slab.start]
        })
    }

    /// Zeroes what is beside the images in some of a slab's images.
    pub(super) fn clear_outside(&self, slab: &Range<usize>, images: &mut [f32]) {
        let pixels = common(&self.pixels(), slab);
        for image in images.chunks_mut(self.rows() * slab.len()) {
            let (before, inside) = image.split_at_mut(MARGIN * slab.len());
            let (inside, after) = inside.split_at_mut(self.image_size[0] * slab.len());
            before.fill(0.0);
            after.fill(0.0);
            if pixels.len() < slab.len() {
                for row in inside.chunks_mut(slab.len()) {
                    row[..pixels.start].fill(0.0);
                    row[pixels.end..].fill(0.0);
                }
            }
        }
    }

    /// Zeroes the voxels that do not exist in some of a slab's columns.
    pub(super) fn clear_padding(&self, slab: &Range<usize>, columns: &mut [f32]) {
        let voxels = self.voxels_in(slab);
        if voxels.len() < slab.len() {
            for column in columns.chunks_mut(slab.len()) {
                column[..voxels.start].fill(0.0);
                column[voxels.end..].fill(0.0);
            }
        }
    }
}

/// The part of `range` that lies in `slab`, as places in the slab; empty at a place in the slab when there is none.
fn common(range: &Range<usize>, slab: &Range<usize>) -> Range<usize> {
    let start = range.start.clamp(slab.start, slab.end) - slab.start;
    let end = range.end.clamp(slab.start, slab.end) - slab.start;
    start..end
}

/// Offsets of a tile's columns, in the order they lie in memory.
pub(super) fn cells(tile: &Tile) -> impl Iterator<Item = (usize, usize)> + use<> {
    let [width, depth] = tile.size;
    (0..width).flat_map(move |dx| (0..depth).map(move |dz| (dx, dz)))
}
