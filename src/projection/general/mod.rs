//! Projection for any geometry.
//!
//! A voxel is seen at `p = R₀·r` (row) and `q = R₁·r` (place in the row). Where the tilt axis lies nearly along y, one
//! voxel farther along y is seen almost one pixel farther in the row, so that a run of voxels is a vector and so is
//! the run of pixels it is seen in. With `c` and `a` the fractions of p and q, lane l has `c + slope l` and
//! `a + drift l`, where slope and drift are the same for every column: bilinear weights in them are a sum of four
//! terms, 1, a, c and a c, each times what depends on the lane alone. So the columns of a tile are visited in the order
//! of p as in `single_axis`, and per voxel and tilt
//!
//! - forward adds to `Σ h, Σ a h, Σ c h, Σ a c h` (one addition, three multiply-adds), and works out what that is for the
//!   pixels once per row;
//! - the transpose works out four terms of the pixels once per row, and adds their sum to the voxels.
//!
//! A run may cross from one pair of rows to the next, which a correction puts right: with `c` in (1, 2) and
//! `o = c − 1`, the weights `1 − c, c` of two rows become `0, 1 − o, o` of three by adding `o, −2o, o`.
//!
//! Runs with more taps than that (where rounding q changes within the run, at the rim of the image, and every run of a
//! steeply rotated tilt) are summed up tap by tap with the weights `max(0, 1 − |distance|)` in both directions.

mod adjoint;
mod forward;
mod sights;

pub(super) use adjoint::Adjoint;
pub(super) use forward::Forward;

use super::layout::{COLUMNS, Layout, MARGIN, TILE, Tile, cells};
use super::simd::Vector;
use crate::model::{Matrix3, center_index};
use std::ops::RangeInclusive;

/// 0, 1, 2, …
const RAMP: [f32; 16] = [
    0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
];

/// How one tilt sees the volume.
struct Tilt {
    rotation: Matrix3,
    /// Change of p and of `q − y` per voxel along y.
    slope: f32,
    drift: f32,
    /// Smallest and largest p of a whole tile's columns, from its first.
    reach: [f64; 2],
}

/// The columns of a tile by increasing p.
struct Order {
    /// p from the smallest one of a whole tile, and q from the first column.
    across: [f32; COLUMNS],
    along: [f32; COLUMNS],
    /// Place of the column in the tile.
    column: [u16; COLUMNS],
}

/// The geometry of all tilts.
pub(super) struct General {
    tilts: Vec<Tilt>,
    /// `(shape of the tile, tilt)`: tiles at the volume's rim may be smaller.
    orders: Vec<Order>,
    /// Lanes of a run; longer ones would often need more rows than two, or three pixels per voxel.
    longest_run: usize,
}

impl General {
    pub(super) fn new(layout: &Layout, rotations: &[Matrix3]) -> Self {
        let tilts: Vec<Tilt> = rotations
            .iter()
            .map(|&rotation| {
                let last = (TILE - 1) as f64;
                let reach = |pick: fn(f64, f64) -> f64| -> f64 {
                    [0, 2]
                        .iter()
                        .map(|&axis| pick(rotation[0][axis] * last, 0.0))
                        .sum()
                };
                Tilt {
                    rotation,
                    slope: rotation[0][1] as f32,
                    drift: (rotation[1][1] - 1.0) as f32,
                    reach: [reach(f64::min), reach(f64::max)],
                }
            })
            .collect();
        let offset = |tilt: &Tilt, (dx, dz): (usize, usize)| -> [f32; 2] {
            let r = &tilt.rotation;
            let along = |axis: usize| r[axis][0] * dx as f64 + r[axis][2] * dz as f64;
            [(along(0) - tilt.reach[0]) as f32, along(1) as f32]
        };
        let [nx, _, nz] = layout.volume_size;
        let mut orders = Vec::with_capacity(4 * tilts.len());
        for width in [TILE, nx % TILE] {
            for depth in [TILE, nz % TILE] {
                let tile = Tile {
                    at: [0, 0],
                    size: [width, depth],
                };
                orders.extend(tilts.iter().map(|tilt| {
                    let offsets = cells(&tile).map(|cell| offset(tilt, cell));
                    let mut sorted: Vec<([f32; 2], u16)> = offsets.zip(0..).collect();
                    sorted.sort_by(|a, b| a.0[0].total_cmp(&b.0[0]));
                    let mut order = Order {
                        across: [0.0; COLUMNS],
                        along: [0.0; COLUMNS],
                        column: [0; COLUMNS],
                    };
                    for (place, (offset, column)) in sorted.into_iter().enumerate() {
                        order.across[place] = offset[0];
                        order.along[place] = offset[1];
                        order.column[place] = column;
                    }
                    order
                }));
            }
        }
        let steepest = |of: fn(&Tilt) -> f32| tilts.iter().map(of).fold(0.0, f32::max);
        let (slope, drift) = (steepest(|t| t.slope.abs()), steepest(|t| t.drift.abs()));
        let fits = |lanes: &usize| *lanes as f32 * slope < 0.6 && *lanes as f32 * drift < 0.05;
        let longest_run = [64, 32].into_iter().find(fits).unwrap_or(16);
        Self {
            tilts,
            orders,
            longest_run,
        }
    }

    fn order(&self, tile: &Tile, tilt: usize) -> &Order {
        let shape = 2 * usize::from(tile.size[0] < TILE) + usize::from(tile.size[1] < TILE);
        &self.orders[shape * self.tilts.len() + tilt]
    }

    /// Where the voxel at stored `y` of a tile's first column is seen: p (of the tile's smallest) and q, counted in
    /// stored rows and pixels.
    #[inline(always)]
    fn seen(&self, layout: &Layout, tile: &Tile, tilt: usize, y: isize) -> [f64; 2] {
        let Tilt {
            rotation: r, reach, ..
        } = &self.tilts[tilt];
        let center = layout.volume_size.map(|n| center_index(n) as f64);
        let d = [
            tile.at[0] as f64 - center[0],
            y as f64 - layout.volume_y as f64 - center[1],
            tile.at[1] as f64 - center[2],
        ];
        let before = [MARGIN, layout.image_y];
        let [p, q] = [0, 1].map(|axis| {
            r[axis][0] * d[0]
                + r[axis][1] * d[1]
                + r[axis][2] * d[2]
                + (center_index(layout.image_size[axis]) + before[axis]) as f64
        });
        [p + reach[0], q]
    }

    /// Lowest and highest p of a run of `lanes` voxels of a tile, whose smallest p begins at `p`.
    #[inline(always)]
    fn sweep(&self, tilt: usize, p: f64, lanes: usize) -> [f64; 2] {
        let Tilt {
            rotation, reach, ..
        } = &self.tilts[tilt];
        let way = rotation[0][1] * lanes as f64;
        [p + way.min(0.0), p + reach[1] - reach[0] + way.max(0.0)]
    }
}

/// Whether voxels seen from `low` to `high` touch the image.
#[inline(always)]
fn touches(layout: &Layout, [low, high]: [f64; 2]) -> bool {
    high + 1.0 > MARGIN as f64 && low - 1.0 < (MARGIN + layout.image_size[0]) as f64
}

/// Vectors of a run: what the registers hold, and no more than `lanes`.
#[inline(always)]
fn vectors<V: Vector>(lanes: usize) -> usize {
    match V::WIDTH {
        16 => (lanes / 16).clamp(1, 4),
        8 => 2,
        _ => 4,
    }
}

/// `max(0, 1 − |x|)`.
#[inline(always)]
fn hat<V: Vector>(x: V) -> V {
    let one = V::splat(1.0);
    one.sub(x).min(one.add(x)).max(V::splat(0.0))
}

/// `from + step · lane`.
#[inline(always)]
fn line<V: Vector>(from: f32, step: f32) -> V {
    V::load(&RAMP, 0).mul_add(V::splat(step), V::splat(from))
}

/// `from + step · lane` for several vectors.
#[inline(always)]
fn lines<V: Vector, const N: usize>(from: f32, step: f32) -> [V; N] {
    let mut lines = [line::<V>(from, step); N];
    let width = V::splat(step * V::WIDTH as f32);
    for i in 1..N {
        lines[i] = lines[i - 1].add(width);
    }
    lines
}

/// `from[at..]`, zero where there is nothing.
#[inline(always)]
fn load_within<V: Vector>(from: &[f32], at: isize) -> V {
    if at >= 0 && at as usize + V::WIDTH <= from.len() {
        return V::load(from, at as usize);
    }
    let mut values = [0.0; 16];
    for (lane, value) in values.iter_mut().enumerate().take(V::WIDTH) {
        let place = at + lane as isize;
        if place >= 0 && (place as usize) < from.len() {
            *value = from[place as usize];
        }
    }
    V::load(&values, 0)
}

/// `to[at..] += values`, where there is something.
#[inline(always)]
fn add_within<V: Vector>(to: &mut [f32], at: isize, values: V) {
    if at >= 0 && at as usize + V::WIDTH <= to.len() {
        V::load(to, at as usize).add(values).store(to, at as usize);
        return;
    }
    let mut lanes = [0.0; 16];
    values.store(&mut lanes, 0);
    for (lane, value) in lanes.iter().enumerate().take(V::WIDTH) {
        let place = at + lane as isize;
        if place >= 0 && (place as usize) < to.len() {
            to[place as usize] += value;
        }
    }
}

/// Integers between which `from + step · lane` and one more lies, for `lanes` lanes.
#[inline(always)]
fn taps(from: f32, step: f32, lanes: usize) -> RangeInclusive<isize> {
    let to = from + step * (lanes - 1) as f32;
    from.min(to).floor() as isize..=from.max(to).floor() as isize + 1
}

/// Where a voxel is seen: at `row + p` and `pixel + q`.
#[derive(Clone, Copy)]
struct Place {
    row: isize,
    pixel: isize,
    p: f32,
    q: f32,
}

impl Place {
    fn new([p, q]: [f64; 2]) -> Self {
        Self {
            row: p.floor() as isize,
            pixel: q.floor() as isize,
            p: (p - p.floor()) as f32,
            q: (q - q.floor()) as f32,
        }
    }

    /// Of a tile's smallest p and first column: that of a lane of its k-th column.
    #[inline(always)]
    fn of(self, tilt: &Tilt, order: &Order, k: usize, lane: usize) -> Self {
        Self {
            pixel: self.pixel + lane as isize,
            p: tilt.slope * lane as f32 + self.p + order.across[k],
            q: tilt.drift * lane as f32 + self.q + order.along[k],
            ..self
        }
    }
}

/// Every tap of the `V::WIDTH` voxels that begin at a place: their row, their first pixel, and the weights.
#[inline(always)]
fn each_tap<V: Vector>(
    tilt: &Tilt,
    rows: usize,
    place: Place,
    mut act: impl FnMut(usize, isize, V),
) {
    for down in taps(place.p, tilt.slope, V::WIDTH) {
        let row = place.row + down;
        if row < 0 || row as usize >= rows {
            continue;
        }
        let across = hat(line::<V>(place.p - down as f32, tilt.slope));
        for right in taps(place.q, tilt.drift, V::WIDTH) {
            let along = hat(line::<V>(place.q - right as f32, tilt.drift));
            act(row as usize, place.pixel + right, across.mul(along));
        }
    }
}

/// The first vectors of a slice, and those that begin one later: a load that crosses cache lines costs more than to
/// shift what was loaded.
#[inline(always)]
fn neighbors<V: Vector, const N: usize>(from: &[f32]) -> [[V; N]; 2] {
    let mut here = [V::splat(0.0); N];
    for i in 0..N {
        here[i] = V::load(from, i * V::WIDTH);
    }
    let mut next = here;
    for i in 0..N - 1 {
        next[i] = here[i].followed_by(here[i + 1]);
    }
    next[N - 1] = V::load(from, (N - 1) * V::WIDTH + 1);
    [here, next]
}
