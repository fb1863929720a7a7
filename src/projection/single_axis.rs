//! Projection of a series with one tilt axis (φ = ψ = 0): every y-slice by itself, all with the same weights.
//!
//! A column `(x, z)` is seen at row `x' = x cos θ − z sin θ` and spread over the rows `⌊x'⌋` and `⌊x'⌋ + 1` with the
//! weights `1 − f` and `f`; along y a column and a row are vectors. Within a tile of columns the order of the columns
//! by x' does not depend on where the tile lies, so it is sorted once per tilt. Projecting a tile then walks through
//! its columns row by row: with `s = Σ v` and `q = Σ f v` over the columns of a row kept in registers, the row
//! gets `s − q` and the next one `q`. Per voxel and tilt that is one load, one addition and one multiply-add, and the
//! image is touched once per row instead of twice per column. The transpose gathers two rows per voxel and tilt and
//! keeps the sum over the tilts in registers.

use super::layout::{COLUMNS, Layout, MARGIN, TILE, Tile, cells};
use super::simd::{Kernel, Vector, floor};
use crate::model::{Matrix3, center_index};
use std::ops::Range;

/// Tilts whose weights the transpose works out at once; the rows they need for a tile fit the nearest cache.
const GROUP: usize = 16;

/// How one tilt sees a tile.
struct Tilt {
    /// x' per voxel along x and along z.
    step: [f64; 2],
    /// Smallest and largest x' of a whole tile's columns, from its first.
    reach: [f64; 2],
}

/// The columns of a tile by increasing x'.
struct Order {
    /// x' from the smallest one of a whole tile.
    offset: [f32; COLUMNS],
    /// Place of the column in the tile.
    column: [u16; COLUMNS],
}

/// The weights of all tilts.
pub(super) struct SingleAxis {
    tilts: Vec<Tilt>,
    /// `(shape of the tile, tilt)`: tiles at the volume's rim may be smaller.
    orders: Vec<Order>,
    /// `(column of a whole tile, tilt)` x' from the tile's smallest; tilts filled up to whole groups.
    offsets: Vec<f32>,
}

/// Where a tile is seen: the row of its smallest x', and the fraction.
struct Start {
    row: usize,
    fraction: f32,
}

impl SingleAxis {
    pub(super) fn new(layout: &Layout, rotations: &[Matrix3]) -> Self {
        let tilts: Vec<Tilt> = rotations
            .iter()
            .map(|r| {
                let step = [r[0][0], r[0][2]];
                let last = (TILE - 1) as f64;
                let reach = |pick: fn(f64, f64) -> f64| -> f64 {
                    step.iter().map(|s| pick(s * last, 0.0)).sum()
                };
                Tilt {
                    step,
                    reach: [reach(f64::min), reach(f64::max)],
                }
            })
            .collect();
        let offset = |tilt: &Tilt, (dx, dz): (usize, usize)| -> f32 {
            (tilt.step[0] * dx as f64 + tilt.step[1] * dz as f64 - tilt.reach[0]) as f32
        };
        let [nx, _, nz] = layout.volume_size;
        let mut orders = Vec::with_capacity(4 * tilts.len());
        for width in [TILE, nx % TILE] {
            for depth in [TILE, nz % TILE] {
                let tile = Tile {
                    at: [0, 0],
                    size: [width, depth],
                };
                for tilt in &tilts {
                    let mut sorted: Vec<(f32, u16)> = cells(&tile)
                        .map(|cell| offset(tilt, cell))
                        .zip(0..)
                        .collect();
                    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
                    let mut order = Order {
                        offset: [0.0; COLUMNS],
                        column: [0; COLUMNS],
                    };
                    for (place, (offset, column)) in sorted.into_iter().enumerate() {
                        order.offset[place] = offset;
                        order.column[place] = column;
                    }
                    orders.push(order);
                }
            }
        }
        let whole = Tile {
            at: [0, 0],
            size: [TILE, TILE],
        };
        let groups = tilts.len().next_multiple_of(GROUP);
        let mut offsets = vec![0.0; COLUMNS * groups];
        for (column, cell) in cells(&whole).enumerate() {
            for (at, tilt) in tilts.iter().enumerate() {
                offsets[column * groups + at] = offset(tilt, cell);
            }
        }
        Self {
            tilts,
            orders,
            offsets,
        }
    }

    fn order(&self, tile: &Tile, tilt: usize) -> &Order {
        let shape = 2 * usize::from(tile.size[0] < TILE) + usize::from(tile.size[1] < TILE);
        &self.orders[shape * self.tilts.len() + tilt]
    }

    /// Where a tilt sees a tile; `None` if beside the image.
    #[inline(always)]
    fn start(&self, layout: &Layout, tile: &Tile, tilt: usize) -> Option<Start> {
        let Tilt { step, reach } = &self.tilts[tilt];
        let from =
            |axis: usize, at: usize| at as f64 - center_index(layout.volume_size[axis]) as f64;
        let first = step[0] * from(0, tile.at[0])
            + step[1] * from(2, tile.at[1])
            + (center_index(layout.image_size[0]) + MARGIN) as f64;
        let (low, high) = (first + reach[0], first + reach[1]);
        let image = [MARGIN, MARGIN + layout.image_size[0]].map(|x| x as f64);
        (high + 1.0 > image[0] && low < image[1]).then(|| Start {
            row: low as usize,
            fraction: (low - low.trunc()) as f32,
        })
    }
}

/// Adds what a sheet of tiles projects to in some tilts.
pub(super) struct Forward<'a> {
    pub(super) geometry: &'a SingleAxis,
    pub(super) layout: &'a Layout,
    /// The sheet's columns.
    pub(super) columns: &'a [f32],
    /// First column on x.
    pub(super) x: usize,
    /// Voxels along y of this slab.
    pub(super) depth: usize,
    /// Images of `tilts` in this slab.
    pub(super) images: &'a mut [f32],
    pub(super) tilts: Range<usize>,
}

/// Runs of at most four vectors in a slab: first y and vectors. Slabs are whole cache lines, so that there are three
/// only where vectors are cache lines and the run is the slab.
#[inline(always)]
fn runs<V: Vector>(depth: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..depth)
        .step_by(4 * V::WIDTH)
        .map(move |y| (y, ((depth - y) / V::WIDTH).min(4)))
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let layout = self.layout;
        let mut at = 0;
        for tile in layout.tiles(self.x) {
            let len = tile.columns() * self.depth;
            let columns = &self.columns[at..at + len];
            at += len;
            // Positivity leaves most of the volume exactly empty.
            if columns.iter().fold(0u32, |bits, v| bits | v.to_bits()) == 0 {
                continue;
            }
            for (y, vectors) in runs::<V>(self.depth) {
                match (vectors, vectors * V::WIDTH == self.depth) {
                    (4, true) => self.tile::<V, 4, true>(&tile, columns, y),
                    (4, false) => self.tile::<V, 4, false>(&tile, columns, y),
                    (3, true) => self.tile::<V, 3, true>(&tile, columns, y),
                    (2, true) => self.tile::<V, 2, true>(&tile, columns, y),
                    (2, false) => self.tile::<V, 2, false>(&tile, columns, y),
                    _ => self.tile::<V, 1, false>(&tile, columns, y),
                }
            }
        }
    }
}

impl Forward<'_> {
    /// Adds what a tile projects to; `WHOLE` where the run is the slab, so that the compiler knows its depth.
    #[inline(always)]
    fn tile<V: Vector, const N: usize, const WHOLE: bool>(
        &mut self,
        tile: &Tile,
        columns: &[f32],
        y: usize,
    ) {
        let (depth, y) = if WHOLE {
            (N * V::WIDTH, 0)
        } else {
            (self.depth, y)
        };
        let len = self.layout.rows() * depth;
        for (tilt, image) in self.tilts.clone().zip(self.images.chunks_mut(len)) {
            let Some(start) = self.geometry.start(self.layout, tile, tilt) else {
                continue;
            };
            let order = self.geometry.order(tile, tilt);
            let image = &mut image[start.row * depth + y..];
            let columns = &columns[..tile.columns() * depth];
            spread::<V, N>(
                image,
                columns,
                depth,
                y,
                start.fraction,
                order,
                tile.columns(),
            );
        }
    }
}

#[inline(always)]
fn spread<V: Vector, const N: usize>(
    image: &mut [f32],
    columns: &[f32],
    depth: usize,
    y: usize,
    fraction: f32,
    order: &Order,
    count: usize,
) {
    let mut rows = [i32::MAX; COLUMNS + 1];
    let mut weights = [0.0f32; COLUMNS];
    for k in 0..COLUMNS {
        let position = fraction + order.offset[k];
        let (whole, row) = floor(position);
        rows[k] = row;
        weights[k] = position - whole;
    }
    rows[count] = i32::MAX;
    let mut k = 0;
    let mut row = rows[0];
    let mut carry = [V::splat(0.0); N];
    while k < count {
        let mut sum = carry;
        let mut far = [V::splat(0.0); N];
        while rows[k] == row {
            let weight = V::splat(weights[k]);
            let column = &columns[usize::from(order.column[k]) * depth + y..][..N * V::WIDTH];
            for i in 0..N {
                let values = V::load(column, i * V::WIDTH);
                sum[i] = sum[i].add(values);
                far[i] = values.mul_add(weight, far[i]);
            }
            k += 1;
        }
        let target = &mut image[row as usize * depth..][..N * V::WIDTH];
        for i in 0..N {
            V::load(target, i * V::WIDTH)
                .add(sum[i].sub(far[i]))
                .store(target, i * V::WIDTH);
        }
        carry = far;
        row += 1;
    }
    let target = &mut image[row as usize * depth..][..N * V::WIDTH];
    for i in 0..N {
        V::load(target, i * V::WIDTH)
            .add(carry[i])
            .store(target, i * V::WIDTH);
    }
}

/// Adds what all tilts' images give to a tile.
pub(super) struct Adjoint<'a> {
    pub(super) geometry: &'a SingleAxis,
    pub(super) layout: &'a Layout,
    /// The slab's images.
    pub(super) images: &'a [f32],
    /// Voxels along y of this slab.
    pub(super) depth: usize,
    pub(super) tile: Tile,
    /// The tile's columns.
    pub(super) columns: &'a mut [f32],
}

impl Kernel for Adjoint<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        for first in (0..self.layout.tilts).step_by(GROUP) {
            for (y, vectors) in runs::<V>(self.depth) {
                match (vectors, vectors * V::WIDTH == self.depth) {
                    (4, true) => self.group::<V, 4, true>(first, y),
                    (4, false) => self.group::<V, 4, false>(first, y),
                    (3, true) => self.group::<V, 3, true>(first, y),
                    (2, true) => self.group::<V, 2, true>(first, y),
                    (2, false) => self.group::<V, 2, false>(first, y),
                    _ => self.group::<V, 1, false>(first, y),
                }
            }
        }
    }
}

impl Adjoint<'_> {
    /// Adds what the tilts from `first` on give; `WHOLE` as in [`Forward::tile`].
    #[inline(always)]
    fn group<V: Vector, const N: usize, const WHOLE: bool>(&mut self, first: usize, y: usize) {
        let (geometry, layout) = (self.geometry, self.layout);
        let (depth, y) = if WHOLE {
            (N * V::WIDTH, 0)
        } else {
            (self.depth, y)
        };
        let mut fractions = [0.0f32; GROUP];
        let mut bases = [0u32; GROUP];
        let mut seen = [0u8; GROUP];
        let mut count = 0;
        let group = GROUP.min(layout.tilts - first);
        for lane in 0..group {
            if let Some(start) = geometry.start(layout, &self.tile, first + lane) {
                fractions[lane] = start.fraction;
                bases[lane] = (lane * layout.rows() + start.row) as u32;
                seen[count] = lane as u8;
                count += 1;
            }
        }
        let images = &self.images[first * layout.rows() * depth + y..];
        let all = layout.tilts.next_multiple_of(GROUP);
        for ((dx, dz), column) in cells(&self.tile).zip(self.columns.chunks_mut(depth)) {
            let offsets = &geometry.offsets[(dx * TILE + dz) * all + first..][..GROUP];
            let mut weights = [0.0f32; GROUP];
            let mut rests = [0.0f32; GROUP];
            let mut places = [0u32; GROUP];
            for lane in 0..GROUP {
                let position = fractions[lane] + offsets[lane];
                let (whole, row) = floor(position);
                weights[lane] = position - whole;
                rests[lane] = 1.0 - weights[lane];
                places[lane] = (bases[lane] + row as u32) * depth as u32;
            }
            let column = &mut column[y..][..N * V::WIDTH];
            let mut sums = [[V::splat(0.0); N]; 2];
            for i in 0..N {
                sums[0][i] = V::load(column, i * V::WIDTH);
            }
            if count == group {
                for lane in 0..group {
                    let pair = &images[places[lane] as usize..][..depth + N * V::WIDTH];
                    gather(pair, depth, [rests[lane], weights[lane]], &mut sums);
                }
            } else {
                for &lane in &seen[..count] {
                    let lane = usize::from(lane) % GROUP;
                    let pair = &images[places[lane] as usize..][..depth + N * V::WIDTH];
                    gather(pair, depth, [rests[lane], weights[lane]], &mut sums);
                }
            }
            for i in 0..N {
                sums[0][i].add(sums[1][i]).store(column, i * V::WIDTH);
            }
        }
    }
}

/// Adds two rows to two sums.
#[inline(always)]
fn gather<V: Vector, const N: usize>(
    pair: &[f32],
    depth: usize,
    weights: [f32; 2],
    sums: &mut [[V; N]; 2],
) {
    let weights = [V::splat(weights[0]), V::splat(weights[1])];
    for i in 0..N {
        let (near, far) = (i * V::WIDTH, depth + i * V::WIDTH);
        sums[0][i] = V::load(pair, near).mul_add(weights[0], sums[0][i]);
        sums[1][i] = V::load(pair, far).mul_add(weights[1], sums[1][i]);
    }
}
