//! The transpose: runs of voxels collect what the images give them.

use super::super::layout::{Layout, TILE, Tile, cells};
use super::super::simd::{Kernel, Vector, floor};
use super::{
    GROUP, General, Place, Tilt, each_tap, lines, load_within, neighbors, touches, vectors,
};

/// Adds what all tilts' images give to a part of a tile's columns.
pub(in super::super) struct Adjoint<'a> {
    pub(in super::super) geometry: &'a General,
    pub(in super::super) layout: &'a Layout,
    /// All images.
    pub(in super::super) images: &'a [f32],
    /// First stored y and number of them.
    pub(in super::super) first: usize,
    pub(in super::super) depth: usize,
    pub(in super::super) tile: Tile,
    /// The part of the tile's columns.
    pub(in super::super) columns: &'a mut [f32],
}

impl Kernel for Adjoint<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        for group in (0..self.layout.tilts).step_by(GROUP) {
            let mut y = 0;
            while y < self.depth {
                let vectors = vectors::<V>(self.geometry.longest_run.min(self.depth - y));
                match vectors {
                    4 => self.runs::<V, 4>(group, y),
                    3 => self.runs::<V, 3>(group, y),
                    2 => self.runs::<V, 2>(group, y),
                    _ => self.runs::<V, 1>(group, y),
                }
                y += vectors * V::WIDTH;
            }
        }
    }
}

/// How the tilts of a group see a tile's smallest p and its first column.
struct Bases {
    row: [i32; GROUP],
    pixel: [i32; GROUP],
    p: [f32; GROUP],
    q: [f32; GROUP],
    slope: [f32; GROUP],
    drift: [f32; GROUP],
    /// Tilts that see anything.
    seen: [u8; GROUP],
    count: usize,
}

/// How the tilts of a group see a run of voxels of one column.
struct Sights {
    /// First pixel, from that of the group's first image.
    at: [i32; GROUP],
    /// Weight of the next row and of the next pixel, for the first lane.
    across: [f32; GROUP],
    along: [f32; GROUP],
    /// Whether two rows (three, with the correction) and two pixels per voxel do; whether the correction is needed.
    simple: [i32; GROUP],
    crosses: [i32; GROUP],
}

impl Adjoint<'_> {
    /// What the tilts from `group` on give to the runs of voxels at `y` of the part.
    #[inline(always)]
    fn runs<V: Vector, const N: usize>(&mut self, group: usize, y: usize) {
        let (geometry, layout) = (self.geometry, self.layout);
        let lanes = N * V::WIDTH;
        let bases = self.bases(group, y, lanes);
        if bases.count == 0 {
            return;
        }
        let (rows, stride) = (layout.rows(), layout.stored_y);
        let images = &self.images[group * rows * stride..];
        let all = layout.tilts.next_multiple_of(GROUP);
        let columns = self.columns.chunks_mut(self.depth);
        for ((dx, dz), column) in cells(&self.tile).zip(columns) {
            let at = (dx * TILE + dz) * all + group;
            let offsets = [
                &geometry.across[at..at + GROUP],
                &geometry.along[at..at + GROUP],
            ];
            let sights = sight(&bases, offsets, lanes, rows, stride);
            let column = &mut column[y..y + lanes];
            let mut sum = [V::splat(0.0); N];
            for i in 0..N {
                sum[i] = V::load(column, i * V::WIDTH);
            }
            for &lane in &bases.seen[..bases.count] {
                let lane = usize::from(lane) % GROUP;
                if sights.simple[lane] != 0 {
                    let step = [bases.slope[lane], bases.drift[lane]];
                    gather::<V, N>(images, stride, &sights, lane, step, &mut sum);
                } else {
                    let image = &images[lane * rows * stride..][..rows * stride];
                    let tilt = &geometry.tilts[group + lane];
                    let place = Place {
                        row: bases.row[lane] as isize,
                        pixel: bases.pixel[lane] as isize,
                        p: bases.p[lane] + offsets[0][lane],
                        q: bases.q[lane] + offsets[1][lane],
                    };
                    let more = gather_taps::<V, N>(tilt, image, stride, place);
                    for i in 0..N {
                        sum[i] = sum[i].add(more[i]);
                    }
                }
            }
            for i in 0..N {
                sum[i].store(column, i * V::WIDTH);
            }
        }
    }

    #[inline(always)]
    fn bases(&self, group: usize, y: usize, lanes: usize) -> Bases {
        let mut bases = Bases {
            row: [0; GROUP],
            pixel: [0; GROUP],
            p: [0.0; GROUP],
            q: [0.0; GROUP],
            slope: [0.0; GROUP],
            drift: [0.0; GROUP],
            seen: [0; GROUP],
            count: 0,
        };
        for lane in 0..GROUP.min(self.layout.tilts - group) {
            let index = group + lane;
            let stored = (self.first + y) as isize;
            let [p, q] = self.geometry.seen(self.layout, &self.tile, index, stored);
            if touches(self.layout, self.geometry.sweep(index, p, lanes)) {
                let place = Place::new([p, q]);
                let tilt = &self.geometry.tilts[index];
                bases.row[lane] = place.row as i32;
                bases.pixel[lane] = place.pixel as i32;
                bases.p[lane] = place.p;
                bases.q[lane] = place.q;
                bases.slope[lane] = tilt.slope;
                bases.drift[lane] = tilt.drift;
                bases.seen[bases.count] = lane as u8;
                bases.count += 1;
            }
        }
        bases
    }
}

#[inline(always)]
fn sight(bases: &Bases, offsets: [&[f32]; 2], lanes: usize, rows: usize, stride: usize) -> Sights {
    let mut sights = Sights {
        at: [0; GROUP],
        across: [0.0; GROUP],
        along: [0.0; GROUP],
        simple: [0; GROUP],
        crosses: [0; GROUP],
    };
    let last = (lanes - 1) as f32;
    let (last_row, last_pixel) = (rows as i32 - 3, stride as i32 - lanes as i32 - 1);
    for lane in 0..GROUP {
        let p = bases.p[lane] + offsets[0][lane];
        let q = bases.q[lane] + offsets[1][lane];
        let way = bases.slope[lane] * last;
        let (row, whole_row) = floor(p + way.min(0.0));
        let (pixel, whole_pixel) = floor(q + bases.drift[lane] * last);
        let (across, along) = (p - row, q - pixel);
        let (row, pixel) = (bases.row[lane] + whole_row, bases.pixel[lane] + whole_pixel);
        let farthest = across + way.max(0.0);
        let inside = (row >= 0) & (row <= last_row) & (pixel >= 0) & (pixel <= last_pixel);
        sights.at[lane] = (lane as i32 * rows as i32 + row) * stride as i32 + pixel;
        sights.across[lane] = across;
        sights.along[lane] = along;
        sights.simple[lane] = i32::from(inside & (farthest < 2.0) & (along <= 1.0));
        sights.crosses[lane] = i32::from(farthest > 1.0);
    }
    sights
}

/// What one image gives to a run of voxels, from two rows (three where the run crosses) and two pixels per voxel.
#[inline(always)]
fn gather<V: Vector, const N: usize>(
    images: &[f32],
    stride: usize,
    sights: &Sights,
    lane: usize,
    [slope, drift]: [f32; 2],
    sum: &mut [V; N],
) {
    let pixels = N * V::WIDTH + 1;
    let rows = &images[sights.at[lane] as usize..][..2 * stride + pixels];
    let along = lines::<V, N>(sights.along[lane], drift);
    let near = between(&rows[..pixels], along);
    let far = between(&rows[stride..stride + pixels], along);
    let across = lines::<V, N>(sights.across[lane], slope);
    for i in 0..N {
        sum[i] = far[i].sub(near[i]).mul_add(across[i], sum[i].add(near[i]));
    }
    if sights.crosses[lane] != 0 {
        let third = between(&rows[2 * stride..], along);
        for i in 0..N {
            let over = across[i].sub(V::splat(1.0)).max(V::splat(0.0));
            let bend = near[i].sub(far[i]).add(third[i].sub(far[i]));
            sum[i] = bend.mul_add(over, sum[i]);
        }
    }
}

/// Between the pixels of a run and their neighbours behind.
#[inline(always)]
fn between<V: Vector, const N: usize>(row: &[f32], weights: [V; N]) -> [V; N] {
    let [mut here, next] = neighbors::<V, N>(row);
    for i in 0..N {
        here[i] = next[i].sub(here[i]).mul_add(weights[i], here[i]);
    }
    here
}

/// What one image gives to a run of voxels, tap by tap.
#[inline(always)]
fn gather_taps<V: Vector, const N: usize>(
    tilt: &Tilt,
    image: &[f32],
    stride: usize,
    place: Place,
) -> [V; N] {
    let mut sums = [V::splat(0.0); N];
    for i in 0..N {
        let mut sum = sums[i];
        let first = (i * V::WIDTH) as f32;
        let place = Place {
            pixel: place.pixel + (i * V::WIDTH) as isize,
            p: tilt.slope * first + place.p,
            q: tilt.drift * first + place.q,
            ..place
        };
        each_tap::<V>(tilt, image.len() / stride, place, |row, pixel, weight| {
            let pixels = load_within::<V>(&image[row * stride..][..stride], pixel);
            sum = pixels.mul_add(weight, sum);
        });
        sums[i] = sum;
    }
    sums
}
