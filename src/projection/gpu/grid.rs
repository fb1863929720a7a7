//! How volume and images are cut and lie on the device.

use crate::model::{EulerAngles, Matrix3, center_index};
use bytemuck::{Pod, Zeroable};
use ndarray::{Array3, ArrayView3};
use std::ops::Range;

/// Voxels along y that are worked on together.
const QUAD: usize = 4;
/// Slabs begin at a multiple of this where they can: a cache line.
const LINE: usize = 32;
/// Pixels in whose sum a part of a misfit is kept, as in `misfit.wgsl`.
pub(super) const MISFIT_PART: usize = 4096;
/// What stands for a pixel that is no number: `misfit.wgsl` finds by it what is to be left out.
const MASKED: f32 = 3e38;
/// Bytes that are brought back to the host at a time.
pub(super) const STAGING_BYTES: u64 = 32 << 20;

/// One tilt as the kernels see it: `common.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub(super) struct TiltData {
    across: [f32; 4],
    along: [f32; 4],
    plan: [u32; 4],
}

/// A slab and a part that see one another: `common.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub(super) struct PairData {
    size: [u32; 4],
    image: [u32; 4],
    middle: [u32; 4],
    range: [u32; 4],
    center: [f32; 4],
}

/// Sizes, and where everything lies.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    pub(super) volume_size: [usize; 3],
    pub(super) image_size: [usize; 2],
    pub(super) tilts: usize,
    pub(super) single_axis: bool,
    /// Stored y of the first voxel and of the first pixel: equal y of volume and image lie at equal places.
    volume_y: usize,
    image_y: usize,
    /// Stored y of a column.
    stored_y: usize,
    /// Stored y of a slab (the last may be shorter).
    slab_y: usize,
    /// Tilts of a part (the last may have fewer).
    part_tilts: usize,
}

impl Grid {
    /// Cut so that no buffer is larger than `binding_bytes`; `None` where even the smallest cut is.
    pub(super) fn new(
        volume_size: [usize; 3],
        image_size: [usize; 2],
        angles: &[EulerAngles],
        binding_bytes: u64,
    ) -> Option<Self> {
        let tilts = angles.len();
        let single_axis = angles.iter().all(|angle| angle.is_single_axis());
        let (volume_y, image_y, used) = if single_axis {
            let [volume, image] = [volume_size[1], image_size[1]].map(center_index);
            let (volume_y, image_y) = (image.saturating_sub(volume), volume.saturating_sub(image));
            let used = (volume_y + volume_size[1]).max(image_y + image_size[1]);
            (volume_y, image_y, used)
        } else {
            (0, 0, volume_size[1])
        };
        let mut grid = Self {
            volume_size,
            image_size,
            tilts,
            single_axis,
            volume_y,
            image_y,
            stored_y: used.next_multiple_of(QUAD),
            slab_y: 0,
            part_tilts: tilts,
        };
        let values = usize::try_from(binding_bytes / 4).unwrap_or(usize::MAX);
        let per_y = if single_axis {
            grid.columns().max(tilts * grid.rows())
        } else {
            grid.part_tilts = tilts.min(values / (grid.rows() * grid.row_len(0)).max(1));
            grid.columns()
        };
        let fits = values / per_y.max(1);
        let step = if fits >= LINE { LINE } else { QUAD };
        grid.slab_y = (fits / step * step).min(grid.stored_y);
        (grid.slab_y > 0 && grid.part_tilts > 0).then_some(grid)
    }

    /// Stored rows of an image: a row of zeros on either side.
    fn rows(&self) -> usize {
        self.image_size[0] + 2
    }

    /// Stored pixels of a row of a part.
    fn row_len(&self, part: usize) -> usize {
        if self.single_axis {
            self.slab(part).len()
        } else {
            self.image_size[1] + 2
        }
    }

    fn columns(&self) -> usize {
        self.volume_size[0] * self.volume_size[2]
    }

    /// Number of slabs of the volume.
    pub(super) fn slabs(&self) -> usize {
        self.stored_y.div_ceil(self.slab_y)
    }

    /// Stored y of a slab.
    pub(super) fn slab(&self, slab: usize) -> Range<usize> {
        let start = slab * self.slab_y;
        start..(start + self.slab_y).min(self.stored_y)
    }

    /// Number of parts of the images.
    pub(super) fn parts(&self) -> usize {
        if self.single_axis {
            self.slabs()
        } else {
            self.tilts.div_ceil(self.part_tilts)
        }
    }

    /// Tilts of a part.
    pub(super) fn part(&self, part: usize) -> Range<usize> {
        if self.single_axis {
            return 0..self.tilts;
        }
        let start = part * self.part_tilts;
        start..(start + self.part_tilts).min(self.tilts)
    }

    /// The pairs of a slab and a part that see one another; each slab's parts and each part's slabs in order.
    pub(super) fn pairs(&self) -> Vec<(usize, usize)> {
        let slabs = 0..self.slabs();
        if self.single_axis {
            return slabs.map(|slab| (slab, slab)).collect();
        }
        slabs
            .flat_map(|slab| (0..self.parts()).map(move |part| (slab, part)))
            .collect()
    }

    /// Values of a slab of the volume.
    pub(super) fn slab_len(&self, slab: usize) -> usize {
        self.columns() * self.slab(slab).len()
    }

    /// Values of an image of a part.
    pub(super) fn image_len(&self, part: usize) -> usize {
        self.rows() * self.row_len(part)
    }

    /// Groups of pixels whose misfit is summed up.
    pub(super) fn misfit_groups(&self, part: usize) -> usize {
        self.image_len(part).div_ceil(MISFIT_PART)
    }

    /// Workgroups that a slab's transpose takes on z, x, y.
    pub(super) fn adjoint_groups(&self, slab: usize) -> [usize; 3] {
        let [nx, _, nz] = self.volume_size;
        [
            nz.div_ceil(8),
            nx.div_ceil(4),
            self.slab(slab).len().div_ceil(LINE),
        ]
    }

    /// Workgroups that a part takes on rows, tilts, y.
    pub(super) fn forward_groups(&self, part: usize) -> [usize; 3] {
        let y = if self.single_axis {
            self.row_len(part)
        } else {
            self.image_size[1]
        };
        [
            self.image_size[0].div_ceil(32),
            self.part(part).len(),
            y.div_ceil(LINE),
        ]
    }

    /// Tilts of a part for the kernels.
    pub(super) fn tilt_data(
        &self,
        part: usize,
        angles: &[EulerAngles],
        fitted: &[bool],
    ) -> Vec<TiltData> {
        self.part(part)
            .map(|tilt| tilt_data(&angles[tilt].detector_from_sample(), fitted[tilt]))
            .collect()
    }

    /// A pair for the kernels, of the transpose or of the projection.
    pub(super) fn pair_data(&self, slab: usize, part: usize, first: bool, last: bool) -> PairData {
        let ys = self.slab(slab);
        let [nx, ny, nz] = self.volume_size;
        let [rows, pixels] = self.image_size;
        let u = |n: usize| n as u32;
        let inside = |from: usize, count: usize| {
            let range = from.clamp(ys.start, ys.end)..(from + count).clamp(ys.start, ys.end);
            [u(range.start - ys.start), u(range.end - ys.start)]
        };
        let [voxel_from, voxel_to] = inside(self.volume_y, ny);
        let [pixel_from, pixel_to] = if self.single_axis {
            inside(self.image_y, pixels)
        } else {
            [0, u(pixels)]
        };
        let center = self.volume_size.map(|n| center_index(n) as f32);
        PairData {
            size: [u(nx), u(ys.len()), u(nz), u(self.part(part).len())],
            image: [u(self.rows()), u(self.row_len(part)), u(rows), u(pixels)],
            middle: [
                u(center_index(rows)),
                u(center_index(pixels)),
                u32::from(first),
                u32::from(last),
            ],
            range: [voxel_from, voxel_to, pixel_from, pixel_to],
            center: [center[0], center[1] - ys.start as f32, center[2], 0.0],
        }
    }

    /// One bit for each value of a slab: the voxel exists, and the support allows it.
    pub(super) fn allowed(&self, slab: usize, support: Option<&Array3<f32>>) -> Vec<u32> {
        let ys = self.slab(slab);
        let [nx, ny, nz] = self.volume_size;
        let count = self.slab_len(slab).div_ceil(32);
        if support.is_none() && self.voxels_in(&ys).count() == ys.len() {
            return vec![u32::MAX; count];
        }
        let mut words = vec![0u32; count];
        for x in 0..nx {
            for z in 0..nz {
                let column = (x * nz + z) * ys.len();
                for y in 0..ny {
                    let stored = y + self.volume_y;
                    if ys.contains(&stored) && support.is_none_or(|s| s[[x, y, z]] > 0.0) {
                        let at = column + stored - ys.start;
                        words[at / 32] |= 1 << (at % 32);
                    }
                }
            }
        }
        words
    }

    /// The sheets `x` of a slab, from a volume `(x, y, z)`.
    pub(super) fn load_sheets(
        &self,
        slab: usize,
        sheets: Range<usize>,
        data: &Array3<f32>,
    ) -> Vec<f32> {
        let ys = self.slab(slab);
        let nz = self.volume_size[2];
        let mut values = vec![0.0; sheets.len() * nz * ys.len()];
        for (sheet, x) in values.chunks_mut(nz * ys.len()).zip(sheets) {
            for (y, place) in self.voxels_in(&ys) {
                for z in 0..nz {
                    sheet[z * ys.len() + place] = data[[x, y, z]];
                }
            }
        }
        values
    }

    /// One sheet `(z, y)` of a slab into a plane `(y, z)` of a volume.
    pub(super) fn store_sheet(&self, slab: usize, sheet: &[f32], plane: &mut [f32]) {
        let ys = self.slab(slab);
        let nz = self.volume_size[2];
        for (y, place) in self.voxels_in(&ys) {
            for (z, voxel) in plane[y * nz..][..nz].iter_mut().enumerate() {
                *voxel = sheet[z * ys.len() + place];
            }
        }
    }

    /// Voxels of a slab: y, and the place in the slab.
    fn voxels_in(&self, ys: &Range<usize>) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (from, start) = (self.volume_y, ys.start);
        let stored =
            from.clamp(ys.start, ys.end)..(from + self.volume_size[1]).clamp(ys.start, ys.end);
        stored.map(move |stored| (stored - from, stored - start))
    }

    /// One image of a part, from images `(tilt, x, y)`; `tilt` counts from the part's first.
    pub(super) fn load_image(&self, part: usize, tilt: usize, data: &ArrayView3<f32>) -> Vec<f32> {
        let mut values = vec![0.0; self.image_len(part)];
        self.for_pixels(part, |stored, x, y| {
            let value = data[[self.part(part).start + tilt, x, y]];
            values[stored] = if value.is_finite() { value } else { MASKED };
        });
        values
    }

    /// Calls `act(place in the stored image, x, y)` for every pixel of a part's images.
    pub(super) fn for_pixels(&self, part: usize, mut act: impl FnMut(usize, usize, usize)) {
        let len = self.row_len(part);
        for x in 0..self.image_size[0] {
            let row = (x + 1) * len;
            if self.single_axis {
                let ys = self.slab(part);
                for stored in ys.clone() {
                    if (self.image_y..self.image_y + self.image_size[1]).contains(&stored) {
                        act(row + stored - ys.start, x, stored - self.image_y);
                    }
                }
            } else {
                for y in 0..self.image_size[1] {
                    act(row + 1 + y, x, y);
                }
            }
        }
    }

    /// Whether a gradient is summed up in several passes and must be kept in between.
    pub(super) fn sums_in_parts(&self) -> bool {
        !self.single_axis && self.parts() > 1
    }

    /// Place of the first pixel in a stored row of a part.
    pub(super) fn first_pixel(&self, part: usize) -> usize {
        if self.single_axis {
            self.image_y.saturating_sub(self.slab(part).start)
        } else {
            1
        }
    }

    /// Bytes on the device.
    pub(super) fn bytes(&self, accelerated: bool, smoothed: bool) -> u64 {
        let volume: usize = (0..self.slabs()).map(|slab| self.slab_len(slab)).sum();
        let images: usize = (0..self.parts())
            .map(|part| self.part(part).len() * self.image_len(part))
            .sum();
        let copies = 2 + usize::from(smoothed);
        let volumes = match (accelerated, self.sums_in_parts()) {
            (true, _) => 3,
            (false, true) => 2,
            (false, false) => 1,
        };
        4 * (volumes * volume + volume / 32 + copies * images) as u64 + 2 * STAGING_BYTES
    }
}

/// A tilt for the kernels. The beam is nearest to the axis `a` with the largest `|R₂ₐ|`, so that the rest of the
/// rotation can be inverted; the innermost axis is y where it can be, for neighbours along y lie together in memory.
fn tilt_data(rotation: &Matrix3, fitted: bool) -> TiltData {
    let [across, along, beam] = rotation;
    let steepest = |of: &[f64; 3], axes: &[usize]| -> usize {
        let mut best = axes[0];
        for &axis in axes {
            if of[axis].abs() > of[best].abs() {
                best = axis;
            }
        }
        best
    };
    let a = steepest(beam, &[2, 0, 1]);
    let c = if a == 1 { 2 } else { 1 };
    let b = 3 - a - c;
    let lead = usize::from(along[c].abs() >= across[c].abs());
    let row = |row: &[f64; 3], last: f32| [row[0] as f32, row[1] as f32, row[2] as f32, last];
    TiltData {
        across: row(across, f32::from(u8::from(fitted))),
        along: row(along, 0.0),
        plan: [a, b, c, lead].map(|n| n as u32),
    }
}

/// Bytes that the iterations take on a device, with momentum, with a kernel in the loop.
#[must_use]
pub fn device_memory(
    volume_size: [usize; 3],
    image_size: [usize; 2],
    angles: &[EulerAngles],
    accelerated: bool,
    smoothed: bool,
) -> u64 {
    Grid::new(volume_size, image_size, angles, u64::MAX)
        .map_or(0, |grid| grid.bytes(accelerated, smoothed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_binding_cuts_volume_and_images_without_loss() {
        let (size, image) = ([7, 45, 6], [9, 50]);
        let tilted = [EulerAngles::from_tilt_deg(20.0); 5];
        let turned = [EulerAngles::from_deg(1.0, 20.0, -2.0); 5];
        for angles in [tilted, turned] {
            let whole = Grid::new(size, image, &angles, 1 << 30).unwrap();
            assert_eq!((whole.slabs(), whole.parts()), (1, 1));
            let grid = Grid::new(size, image, &angles, 2400).unwrap();
            assert!(grid.slabs() > 1 && grid.parts() > 1);
            let data = Array3::from_shape_fn(size, |(x, y, z)| (x * 1000 + y * 10 + z) as f32);
            let mut back = Array3::<f32>::zeros(size);
            let mut bits = 0;
            for slab in 0..grid.slabs() {
                assert!(4 * grid.slab_len(slab) <= 2400);
                let values = grid.load_sheets(slab, 0..7, &data);
                let sheet = values.len() / 7;
                let planes = back.as_slice_mut().unwrap().chunks_mut(45 * 6);
                for (plane, sheet) in planes.zip(values.chunks(sheet)) {
                    grid.store_sheet(slab, sheet, plane);
                }
                let words = grid.allowed(slab, None);
                // Where all exist, the last word may say so of more than there are.
                let ones: usize = words.iter().map(|w| w.count_ones() as usize).sum();
                bits += ones.min(grid.slab_len(slab));
            }
            assert_eq!(back, data);
            assert_eq!(bits, data.len());
            let mut pixels = 0;
            for part in 0..grid.parts() {
                grid.for_pixels(part, |_, _, _| pixels += grid.part(part).len());
            }
            assert_eq!(pixels, 5 * 9 * 50);
            assert!(Grid::new(size, image, &angles, 100).is_none());
        }
    }
}
