//! Projection for any geometry.
//!
//! A voxel is seen at `p = R₀·r` (row) and `q = R₁·r` (place in the row). Where the tilt axis lies nearly along y, one
//! voxel farther along y is seen almost one pixel farther in the row, so that a run of voxels and a run of pixels are
//! vectors, and the weights change linearly from lane to lane:
//!
//! - `p = p₀ + R₀₁ lane`: a run may cross from one pair of rows to the next, which a correction puts right: with
//!   `f = p − row` in (1, 2) and `c = f − 1`, the weights `1 − f, f` of two rows become `0, 1 − c, c` of three by adding
//!   `c, −2c, c`;
//! - `q = q₀ + R₁₁ lane`: two voxels share a pixel and two pixels a voxel, except where rounding `q` changes within
//!   the run, which is rare.
//!
//! Runs with more taps than that (and every run of a steeply rotated tilt) are summed up tap by tap with the weights
//! `max(0, 1 − |distance|)` in both directions. Forward, runs of pixels collect from the columns of a tile, which are
//! visited in the order of p as in `single_axis`; the transpose collects runs of voxels from the images.

mod adjoint;
mod forward;

pub(super) use adjoint::Adjoint;
pub(super) use forward::Forward;

use super::layout::{COLUMNS, Layout, MARGIN, TILE, Tile, cells};
use super::simd::Vector;
use crate::model::{Matrix3, center_index};
use std::ops::RangeInclusive;

/// Tilts whose weights the transpose works out at once.
const GROUP: usize = 16;
/// Smallest `R₁₁` of a tilt whose runs of pixels collect from runs of voxels.
const GENTLE: f64 = 0.7;
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
    /// Largest |q| of a whole tile's columns, from its first.
    spread: f64,
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
    /// `(column of a whole tile, tilt)` p from the tile's smallest and q from its first column; tilts filled up to
    /// whole groups.
    across: Vec<f32>,
    along: Vec<f32>,
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
                    spread: last * (rotation[1][0].abs() + rotation[1][2].abs()),
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
        let groups = tilts.len().next_multiple_of(GROUP);
        let mut across = vec![0.0; COLUMNS * groups];
        let mut along = across.clone();
        let whole = Tile {
            at: [0, 0],
            size: [TILE, TILE],
        };
        for (column, cell) in cells(&whole).enumerate() {
            for (at, tilt) in tilts.iter().enumerate() {
                [across[column * groups + at], along[column * groups + at]] = offset(tilt, cell);
            }
        }
        let steepest = |of: fn(&Tilt) -> f32| tilts.iter().map(of).fold(0.0, f32::max);
        let (slope, drift) = (steepest(|t| t.slope.abs()), steepest(|t| t.drift.abs()));
        let fits = |lanes: &usize| *lanes as f32 * slope < 0.6 && *lanes as f32 * drift < 0.05;
        let longest_run = [64, 32].into_iter().find(fits).unwrap_or(16);
        Self {
            tilts,
            orders,
            across,
            along,
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

    /// Lowest and highest p of the voxels of a tile that are seen in a run of `lanes` pixels. In a rotated tilt every
    /// column has other ones there, and there are more of them than pixels.
    #[inline(always)]
    fn sweep_of_pixels(&self, tilt: usize, p: f64, lanes: usize) -> [f64; 2] {
        let Tilt {
            rotation,
            reach,
            spread,
            ..
        } = &self.tilts[tilt];
        let slope = rotation[0][1].abs() / rotation[1][1];
        let [before, behind] = [spread + 2.0, lanes as f64 + spread + 2.0].map(|q| slope * q);
        let [low, high] = if rotation[0][1] < 0.0 {
            [behind, before]
        } else {
            [before, behind]
        };
        [p - low, p + reach[1] - reach[0] + high]
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
