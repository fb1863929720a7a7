//! Forward: the columns of a tile are summed up row by row, then spread.

use super::super::layout::{HALO, Layout, Tile};
use super::super::simd::{Kernel, Vector};
use super::sights::{ODD, Sights};
use super::{General, Order, Place, Tilt, add_within, each_tap, lines, touches, vectors};
use std::ops::Range;

/// Adds what a sheet of tiles projects to in some tilts.
pub(in super::super) struct Forward<'a> {
    pub(in super::super) geometry: &'a General,
    pub(in super::super) layout: &'a Layout,
    /// The sheet's columns.
    pub(in super::super) columns: &'a [f32],
    /// First column on x.
    pub(in super::super) x: usize,
    /// Images of `tilts`.
    pub(in super::super) images: &'a mut [f32],
    pub(in super::super) tilts: Range<usize>,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let layout = self.layout;
        let stride = layout.stored_y;
        let mut first = 0;
        for tile in layout.tiles(self.x) {
            let columns = &self.columns[first..][..tile.columns() * stride];
            first += columns.len();
            // Positivity leaves most of the volume exactly empty.
            if columns.iter().fold(0u32, |bits, v| bits | v.to_bits()) == 0 {
                continue;
            }
            let mut y = HALO;
            while y < stride - HALO {
                let vectors = vectors::<V>(self.geometry.longest_run.min(stride - HALO - y));
                match vectors {
                    4 => self.runs::<V, 4>(&tile, columns, y),
                    3 => self.runs::<V, 3>(&tile, columns, y),
                    2 => self.runs::<V, 2>(&tile, columns, y),
                    _ => self.runs::<V, 1>(&tile, columns, y),
                }
                y += vectors * V::WIDTH;
            }
        }
    }
}

impl Forward<'_> {
    /// Adds what the runs of voxels at stored `y` of a tile give to all tilts.
    #[inline(always)]
    fn runs<V: Vector, const N: usize>(&mut self, tile: &Tile, columns: &[f32], y: usize) {
        let (geometry, layout) = (self.geometry, self.layout);
        let lanes = N * V::WIDTH;
        let len = layout.rows() * layout.stored_y;
        for (index, image) in self.tilts.clone().zip(self.images.chunks_mut(len)) {
            let seen = geometry.seen(layout, tile, index, y as isize);
            if !touches(layout, geometry.sweep(index, seen[0], lanes)) {
                continue;
            }
            let (tilt, order) = (&geometry.tilts[index], geometry.order(tile, index));
            let place = Place::new(seen);
            let count = tile.columns();
            let sights = Sights::new(tilt, order, count, place, lanes, layout);
            let mut spread = Spread {
                tilt,
                order,
                sights: &sights,
                place,
                columns,
                y,
                stride: layout.stored_y,
                image,
            };
            spread.run::<V, N>(count);
        }
    }
}

/// The runs of voxels at stored `y` of a tile, and one tilt's image.
struct Spread<'a> {
    tilt: &'a Tilt,
    order: &'a Order,
    sights: &'a Sights,
    place: Place,
    columns: &'a [f32],
    y: usize,
    stride: usize,
    image: &'a mut [f32],
}

impl Spread<'_> {
    #[inline(always)]
    fn run<V: Vector, const N: usize>(&mut self, count: usize) {
        let none = [V::splat(0.0); N];
        // What the row before leaves to the next one, and where that is.
        let (mut carry, mut carry_at) = (none, None);
        let mut k = 0;
        while k < count {
            let at = self.sights.at[k];
            if at == ODD {
                self.odd::<V, N>(k);
                k += 1;
                continue;
            }
            let first = k;
            let mut sums = [none; 4];
            while self.sights.at[k] == at {
                self.collect(k, &mut sums);
                k += 1;
            }
            let here = at as usize;
            if carry_at != Some(here)
                && let Some(before) = carry_at
            {
                self.add(before, &carry);
                carry = none;
            }
            let (mut near, far) = self.rows(here, sums);
            for i in 0..N {
                near[i] = near[i].add(carry[i]);
            }
            self.add(here, &near);
            (carry, carry_at) = (far, Some(here + self.stride));
            if self.sights.any_crosses(first..k) {
                self.correct::<V, N>(here, first..k);
            }
        }
        if let Some(before) = carry_at {
            self.add(before, &carry);
        }
    }

    /// The run of voxels of the k-th column.
    #[inline(always)]
    fn voxels(&self, k: usize, lanes: usize) -> &[f32] {
        let column = usize::from(self.order.column[k]) * self.stride;
        &self.columns[column + self.y..][..lanes]
    }

    /// Adds a column's voxels h to `Σ h, Σ a h, Σ c h, Σ a c h`, with its weights for the first lane.
    #[inline(always)]
    fn collect<V: Vector, const N: usize>(&self, k: usize, sums: &mut [[V; N]; 4]) {
        let voxels = self.voxels(k, N * V::WIDTH);
        let along = V::splat(self.sights.along[k]);
        let across = V::splat(self.sights.across[k]);
        let product = V::splat(self.sights.product[k]);
        for i in 0..N {
            let voxels = V::load(voxels, i * V::WIDTH);
            sums[0][i] = sums[0][i].add(voxels);
            sums[1][i] = voxels.mul_add(along, sums[1][i]);
            sums[2][i] = voxels.mul_add(across, sums[2][i]);
            sums[3][i] = voxels.mul_add(product, sums[3][i]);
        }
    }

    /// What the sums give to this row and to the next one: with `a + drift l` and `c + slope l` at lane l, the
    /// weights of all columns change along the run in the same way.
    #[inline(always)]
    fn rows<V: Vector, const N: usize>(
        &mut self,
        at: usize,
        [all, mut along, mut across, mut both]: [[V; N]; 4],
    ) -> ([V; N], [V; N]) {
        let drift = lines::<V, N>(0.0, self.tilt.drift);
        let slope = lines::<V, N>(0.0, self.tilt.slope);
        let mut near = all;
        for i in 0..N {
            both[i] = along[i].mul_add(slope[i], both[i]);
            across[i] = all[i].mul_add(slope[i], across[i]);
            both[i] = across[i].mul_add(drift[i], both[i]);
            along[i] = all[i].mul_add(drift[i], along[i]);
            // From here on: what goes to the pixel, or to the next one, of this row, or of the next one.
            across[i] = across[i].sub(both[i]);
            near[i] = near[i].sub(along[i]).sub(across[i]);
            along[i] = along[i].sub(both[i]);
        }
        let near = self.moved(at, near, along);
        let far = self.moved(at + self.stride, across, both);
        (near, far)
    }

    /// `here` plus `next`, which belongs to the pixels after; the last of these is added to the image at once.
    #[inline(always)]
    fn moved<V: Vector, const N: usize>(
        &mut self,
        at: usize,
        mut here: [V; N],
        next: [V; N],
    ) -> [V; N] {
        let mut before = V::splat(0.0);
        for i in 0..N {
            here[i] = here[i].add(next[i].preceded_by(before));
            before = next[i];
        }
        self.image[at + N * V::WIDTH] += before.last();
        here
    }

    /// Adds to a run of pixels.
    #[inline(always)]
    fn add<V: Vector, const N: usize>(&mut self, at: usize, values: &[V; N]) {
        let pixels = &mut self.image[at..][..N * V::WIDTH];
        for i in 0..N {
            let sum = V::load(pixels, i * V::WIDTH).add(values[i]);
            sum.store(pixels, i * V::WIDTH);
        }
    }

    /// The correction of the columns that cross: with `o = max(0, c − 1)`, three rows get o h, −2 o h, o h more.
    #[inline(always)]
    fn correct<V: Vector, const N: usize>(&mut self, at: usize, columns: Range<usize>) {
        let none = [V::splat(0.0); N];
        let (mut all, mut next) = (none, none);
        for k in columns {
            if self.sights.crosses[k] == 0 {
                continue;
            }
            let voxels = self.voxels(k, N * V::WIDTH);
            let over = lines::<V, N>(self.sights.across[k] - 1.0, self.tilt.slope);
            let along = lines::<V, N>(self.sights.along[k], self.tilt.drift);
            for i in 0..N {
                let over = over[i].max(V::splat(0.0));
                let part = V::load(voxels, i * V::WIDTH).mul(over);
                all[i] = all[i].add(part);
                next[i] = part.mul_add(along[i], next[i]);
            }
        }
        for (row, factor) in [(0, 1.0), (1, -2.0), (2, 1.0)] {
            let at = at + row * self.stride;
            let factor = V::splat(factor);
            let (mut here, mut after) = (none, none);
            for i in 0..N {
                here[i] = all[i].sub(next[i]).mul(factor);
                after[i] = next[i].mul(factor);
            }
            let here = self.moved(at, here, after);
            self.add(at, &here);
        }
    }

    /// What the k-th column gives, tap by tap.
    #[inline(always)]
    fn odd<V: Vector, const N: usize>(&mut self, k: usize) {
        let rows = self.image.len() / self.stride;
        for first in (0..N * V::WIDTH).step_by(V::WIDTH) {
            let voxels = V::load(self.voxels(k, N * V::WIDTH), first);
            let place = self.place.of(self.tilt, self.order, k, first);
            each_tap::<V>(self.tilt, rows, place, |row, pixel, weight| {
                let row = &mut self.image[row * self.stride..][..self.stride];
                add_within(row, pixel, voxels.mul(weight));
            });
        }
    }
}
