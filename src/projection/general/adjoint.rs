//! The transpose: the columns of a tile are given what the pixels around them make, row by row.

use super::super::layout::{Layout, Tile};
use super::super::simd::{Kernel, Vector};
use super::sights::{ODD, Sights};
use super::{
    General, Order, Place, Tilt, each_tap, lines, load_within, neighbors, touches, vectors,
};
use std::ops::Range;

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
        let mut y = 0;
        while y < self.depth {
            let vectors = vectors::<V>(self.geometry.longest_run.min(self.depth - y));
            match vectors {
                4 => self.runs::<V, 4>(y),
                3 => self.runs::<V, 3>(y),
                2 => self.runs::<V, 2>(y),
                _ => self.runs::<V, 1>(y),
            }
            y += vectors * V::WIDTH;
        }
    }
}

impl Adjoint<'_> {
    /// What all tilts give to the runs of voxels at `y` of the part.
    #[inline(always)]
    fn runs<V: Vector, const N: usize>(&mut self, y: usize) {
        let (geometry, layout) = (self.geometry, self.layout);
        let lanes = N * V::WIDTH;
        let len = layout.rows() * layout.stored_y;
        for (index, image) in self.images.chunks(len).enumerate() {
            let seen = geometry.seen(layout, &self.tile, index, (self.first + y) as isize);
            if !touches(layout, geometry.sweep(index, seen[0], lanes)) {
                continue;
            }
            let (tilt, order) = (&geometry.tilts[index], geometry.order(&self.tile, index));
            let place = Place::new(seen);
            let count = self.tile.columns();
            let sights = Sights::new(tilt, order, count, place, lanes, layout);
            let mut gather = Gather {
                tilt,
                order,
                sights: &sights,
                place,
                image,
                stride: layout.stored_y,
                columns: self.columns,
                y,
                depth: self.depth,
            };
            gather.run::<V, N>(count);
        }
    }
}

/// One tilt's image, and the runs of voxels at `y` of a tile.
struct Gather<'a> {
    tilt: &'a Tilt,
    order: &'a Order,
    sights: &'a Sights,
    place: Place,
    image: &'a [f32],
    stride: usize,
    columns: &'a mut [f32],
    y: usize,
    depth: usize,
}

impl Gather<'_> {
    #[inline(always)]
    fn run<V: Vector, const N: usize>(&mut self, count: usize) {
        let mut k = 0;
        while k < count {
            let at = self.sights.at[k];
            if at == ODD {
                self.odd::<V, N>(k);
                k += 1;
                continue;
            }
            let first = k;
            let terms = self.terms::<V, N>(at as usize);
            while self.sights.at[k] == at {
                self.give(k, &terms);
                k += 1;
            }
            if self.sights.any_crosses(first..k) {
                self.correct::<V, N>(at as usize, first..k);
            }
        }
    }

    /// The run of voxels of the k-th column.
    #[inline(always)]
    fn voxels(&mut self, k: usize, lanes: usize) -> &mut [f32] {
        let column = usize::from(self.order.column[k]) * self.depth;
        &mut self.columns[column + self.y..][..lanes]
    }

    /// A row from a pixel on, and from the next one on.
    #[inline(always)]
    fn row<V: Vector, const N: usize>(&self, at: usize) -> [[V; N]; 2] {
        neighbors(&self.image[at..][..N * V::WIDTH + 1])
    }

    /// What the pixels give to every column, to its a, its c and their product: bilinear interpolation at
    /// `a + drift l` and `c + slope l`, sorted by what changes from column to column.
    #[inline(always)]
    fn terms<V: Vector, const N: usize>(&self, at: usize) -> [[V; N]; 4] {
        let drift = lines::<V, N>(0.0, self.tilt.drift);
        let slope = lines::<V, N>(0.0, self.tilt.slope);
        let [mut all, mut along] = self.row::<V, N>(at);
        let [mut across, mut both] = self.row::<V, N>(at + self.stride);
        for i in 0..N {
            across[i] = across[i].sub(all[i]);
            both[i] = both[i].sub(along[i]).sub(across[i]);
            along[i] = along[i].sub(all[i]);
            all[i] = along[i].mul_add(drift[i], all[i]);
            across[i] = both[i].mul_add(drift[i], across[i]);
            all[i] = across[i].mul_add(slope[i], all[i]);
            along[i] = both[i].mul_add(slope[i], along[i]);
        }
        [all, along, across, both]
    }

    #[inline(always)]
    fn give<V: Vector, const N: usize>(&mut self, k: usize, terms: &[[V; N]; 4]) {
        let along = V::splat(self.sights.along[k]);
        let across = V::splat(self.sights.across[k]);
        let product = V::splat(self.sights.product[k]);
        let voxels = self.voxels(k, N * V::WIDTH);
        for i in 0..N {
            let mut sum = V::load(voxels, i * V::WIDTH).add(terms[0][i]);
            sum = terms[1][i].mul_add(along, sum);
            sum = terms[2][i].mul_add(across, sum);
            sum = terms[3][i].mul_add(product, sum);
            sum.store(voxels, i * V::WIDTH);
        }
    }

    /// The correction of the columns that cross: with `o = max(0, c − 1)`, o times what three rows give weighed
    /// with 1, −2, 1.
    #[inline(always)]
    fn correct<V: Vector, const N: usize>(&mut self, at: usize, columns: Range<usize>) {
        let [mut here, mut next] = self.row::<V, N>(at);
        let middle = self.row::<V, N>(at + self.stride);
        let last = self.row::<V, N>(at + 2 * self.stride);
        for i in 0..N {
            let bend = |first: V, row: usize| {
                let [middle, last] = [middle[row][i], last[row][i]];
                first.sub(middle).add(last.sub(middle))
            };
            here[i] = bend(here[i], 0);
            next[i] = bend(next[i], 1).sub(here[i]);
        }
        for k in columns {
            if self.sights.crosses[k] == 0 {
                continue;
            }
            let over = lines::<V, N>(self.sights.across[k] - 1.0, self.tilt.slope);
            let along = lines::<V, N>(self.sights.along[k], self.tilt.drift);
            let voxels = self.voxels(k, N * V::WIDTH);
            for i in 0..N {
                let over = over[i].max(V::splat(0.0));
                let bend = next[i].mul_add(along[i], here[i]);
                let sum = bend.mul_add(over, V::load(voxels, i * V::WIDTH));
                sum.store(voxels, i * V::WIDTH);
            }
        }
    }

    /// What the k-th column gets, tap by tap.
    #[inline(always)]
    fn odd<V: Vector, const N: usize>(&mut self, k: usize) {
        let (image, stride, tilt) = (self.image, self.stride, self.tilt);
        for first in (0..N * V::WIDTH).step_by(V::WIDTH) {
            let place = self.place.of(tilt, self.order, k, first);
            let voxels = self.voxels(k, N * V::WIDTH);
            let mut sum = V::load(voxels, first);
            each_tap::<V>(tilt, image.len() / stride, place, |row, pixel, weight| {
                let pixels = load_within::<V>(&image[row * stride..][..stride], pixel);
                sum = pixels.mul_add(weight, sum);
            });
            sum.store(voxels, first);
        }
    }
}
