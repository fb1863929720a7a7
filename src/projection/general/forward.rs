//! Forward: runs of pixels collect what a tile's columns give them.

use super::super::layout::{COLUMNS, HALO, Layout, Tile};
use super::super::simd::{Kernel, Vector, floor};
use super::{
    GENTLE, General, Order, Place, Tilt, add_within, each_tap, hat, line, lines, load_within,
    neighbors, taps, touches, vectors,
};
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

/// What a run of pixels and a tile are to one another: a voxel of the first column, and where it is seen: at
/// `row + p` (the tile's smallest p), and q pixels behind the run's first.
#[derive(Clone, Copy)]
struct Base {
    row: isize,
    voxel: isize,
    p: f32,
    q: f32,
}

/// Weights of a tile's columns for a run of pixels.
struct Weights {
    /// Row, or −1 where two rows (three, with the correction) and two voxels per pixel do not do.
    row: [i32; COLUMNS + 1],
    /// First voxel, from the base's, for the columns that have a row.
    shift: [i32; COLUMNS],
    /// Weight of the first voxel and of the next row, for the first lane.
    along: [f32; COLUMNS],
    across: [f32; COLUMNS],
    /// Whether some lanes have crossed to the next pair of rows.
    crosses: [i32; COLUMNS],
}

impl Forward<'_> {
    /// What all tilts' runs of pixels at stored `y` get from a tile.
    #[inline(always)]
    fn runs<V: Vector, const N: usize>(&mut self, tile: &Tile, columns: &[f32], y: usize) {
        let (geometry, layout) = (self.geometry, self.layout);
        let stride = layout.stored_y;
        let lanes = N * V::WIDTH;
        for (at, index) in self.tilts.clone().enumerate() {
            let tilt = &geometry.tilts[index];
            let len = layout.rows() * stride;
            let image = &mut self.images[at * len..][..len];
            let r11 = tilt.rotation[1][1];
            if r11 < GENTLE {
                let [p, _] = geometry.seen(layout, tile, index, y as isize);
                if touches(layout, geometry.sweep(index, p, lanes)) {
                    spread_steep::<V, N>(geometry, layout, tile, index, columns, y, image);
                }
                continue;
            }
            // The voxels seen in the run begin `shift` behind its first pixel.
            let [_, q] = geometry.seen(layout, tile, index, y as isize);
            let shift = ((y as f64 - q) / r11).floor() as isize;
            let first = y as isize + shift;
            let [p, q] = geometry.seen(layout, tile, index, first);
            let [low, high] = geometry.sweep_of_pixels(index, p, lanes);
            if !touches(layout, [low, high]) {
                continue;
            }
            let order = geometry.order(tile, index);
            let base = Base {
                row: p.floor() as isize,
                voxel: first,
                p: (p - p.floor()) as f32,
                q: (q - y as f64) as f32,
            };
            // A steep run may reach far over the image's edge; a correction needs two rows more.
            if base.row < 0 || high + 3.0 > layout.rows() as f64 {
                let rows = layout.rows();
                for (k, &column) in order.column[..tile.columns()].iter().enumerate() {
                    let column = &columns[usize::from(column) * stride..][..stride];
                    collect_taps::<V, N>(tilt, order, base, k, column, y, rows, stride, image);
                }
                continue;
            }
            // The vectors of all columns lie within the columns.
            let inside = first >= 4 && first as usize + lanes + 5 <= stride;
            let weights = weigh(tilt, order, base, lanes, inside);
            collect::<V, N>(
                tilt,
                order,
                &weights,
                base,
                tile.columns(),
                columns,
                stride,
                y,
                image,
            );
        }
    }
}

#[inline(always)]
fn weigh(tilt: &Tilt, order: &Order, base: Base, lanes: usize, inside: bool) -> Weights {
    let mut weights = Weights {
        row: [i32::MAX; COLUMNS + 1],
        shift: [0; COLUMNS],
        along: [0.0; COLUMNS],
        across: [0.0; COLUMNS],
        crosses: [0; COLUMNS],
    };
    let (slope, drift) = (tilt.slope, tilt.drift);
    let step = 1.0 + drift;
    let inverse = 1.0 / step;
    let half = 0.5 * drift * lanes as f32;
    let way = slope * lanes as f32;
    let (down, up) = (way.min(0.0), way.max(0.0));
    // In every lane the first voxel is seen before the pixel, the next one behind it, and no other within reach.
    let last = drift * (lanes - 1) as f32;
    let nearest = if inside {
        -1.0 - 2.0 * drift - last
    } else {
        f32::INFINITY
    };
    for k in 0..COLUMNS {
        let q = base.q + order.along[k];
        let (shift, whole) = floor(-(q + half) * inverse);
        let distance = q + step * shift;
        let p = base.p + order.across[k] + slope * shift;
        let (row, index) = floor(p + down);
        let simple = (distance <= drift) & (distance >= nearest) & (p + up < row + 2.0);
        weights.row[k] = if simple { index } else { -1 };
        weights.shift[k] = whole;
        weights.along[k] = 1.0 + distance;
        weights.across[k] = p - row;
        weights.crosses[k] = i32::from(p + up > row + 1.0);
    }
    weights
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a kernel's inner loop")]
fn collect<V: Vector, const N: usize>(
    tilt: &Tilt,
    order: &Order,
    weights: &Weights,
    base: Base,
    count: usize,
    columns: &[f32],
    stride: usize,
    y: usize,
    image: &mut [f32],
) {
    let lanes = N * V::WIDTH;
    let rows = image.len() / stride;
    let both = V::splat(1.0 - tilt.drift);
    let slope = V::splat(tilt.slope);
    let zero = [V::splat(0.0); N];
    let mut row = 0;
    let mut k = 0;
    let mut carry = zero;
    loop {
        // Of the columns seen in this row: all they give, what the second voxels give, and what goes to the next row
        // as far as it does not change from lane to lane.
        let (mut sum, mut second, mut far) = (zero, zero, zero);
        while k < count && weights.row[k] <= row {
            let column = usize::from(order.column[k]) * stride;
            if weights.row[k] < row {
                let column = &columns[column..column + stride];
                collect_taps::<V, N>(tilt, order, base, k, column, y, rows, stride, image);
                k += 1;
                continue;
            }
            let at = column + (base.voxel + weights.shift[k] as isize) as usize;
            let voxels = &columns[at..at + lanes + 1];
            let across = V::splat(weights.across[k]);
            let [here, behind] = neighbors::<V, N>(voxels);
            let along = lines::<V, N>(weights.along[k], tilt.drift);
            let (mut first, mut next) = (zero, zero);
            for i in 0..N {
                first[i] = here[i].mul(along[i]);
                next[i] = behind[i].mul(both.sub(along[i]));
                let all = first[i].add(next[i]);
                sum[i] = sum[i].add(all);
                second[i] = second[i].add(next[i]);
                far[i] = all.mul_add(across, far[i]);
            }
            if weights.crosses[k] != 0 {
                let over = lines::<V, N>(weights.across[k] - 1.0, tilt.slope);
                let mut corrections = zero;
                for i in 0..N {
                    let none = V::splat(0.0);
                    let of_next = next[i].mul(over[i].add(slope).max(none));
                    corrections[i] = first[i].mul_add(over[i].max(none), of_next);
                }
                for (down, factor) in [(0, 1.0), (1, -2.0), (2, 1.0)] {
                    let target = (base.row as usize + row as usize + down) * stride + y;
                    let target = &mut image[target..target + lanes];
                    for i in 0..N {
                        let old = V::load(target, i * V::WIDTH);
                        corrections[i]
                            .mul_add(V::splat(factor), old)
                            .store(target, i * V::WIDTH);
                    }
                }
            }
            k += 1;
        }
        let at = (base.row as usize + row as usize) * stride + y;
        let target = &mut image[at..at + lanes];
        let ramp = lines::<V, N>(0.0, tilt.slope);
        for i in 0..N {
            let next = sum[i].mul_add(ramp[i], second[i].mul_add(slope, far[i]));
            let old = V::load(target, i * V::WIDTH);
            old.add(carry[i].add(sum[i].sub(next)))
                .store(target, i * V::WIDTH);
            carry[i] = next;
        }
        row += 1;
        if k >= count {
            break;
        }
    }
    let at = (base.row as usize + row as usize) * stride + y;
    let target = &mut image[at..at + lanes];
    for i in 0..N {
        V::load(target, i * V::WIDTH)
            .add(carry[i])
            .store(target, i * V::WIDTH);
    }
}

/// What one column gives to a run of pixels, tap by tap.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a kernel's inner loop")]
fn collect_taps<V: Vector, const N: usize>(
    tilt: &Tilt,
    order: &Order,
    base: Base,
    k: usize,
    column: &[f32],
    y: usize,
    rows: usize,
    stride: usize,
    image: &mut [f32],
) {
    let (slope, drift) = (tilt.slope, tilt.drift);
    let step = 1.0 + drift;
    for first in (0..N * V::WIDTH).step_by(V::WIDTH) {
        let q = drift * first as f32 + base.q + order.along[k];
        let last = drift * (V::WIDTH - 1) as f32;
        let from = ((-1.0 - q) / step).floor() as isize + 1;
        let to = ((1.0 - q - last) / step).ceil() as isize;
        for shift in from..to {
            let voxels = load_within::<V>(column, base.voxel + shift + first as isize);
            let along = hat(line::<V>(step * shift as f32 + q, drift));
            let part = voxels.mul(along);
            let along_y = (shift + first as isize) as f32;
            let p = slope * along_y + base.p + order.across[k];
            for down in taps(p, slope, V::WIDTH) {
                let row = base.row + down;
                if row < 0 || row as usize >= rows {
                    continue;
                }
                let across = hat(line::<V>(p - down as f32, slope));
                let at = row as usize * stride + y + first;
                let old = V::load(image, at);
                part.mul_add(across, old).store(image, at);
            }
        }
    }
}

/// Adds what a run of voxels of a tile projects to, tap by tap.
#[inline(always)]
fn spread_steep<V: Vector, const N: usize>(
    geometry: &General,
    layout: &Layout,
    tile: &Tile,
    index: usize,
    columns: &[f32],
    y: usize,
    image: &mut [f32],
) {
    let (tilt, order) = (&geometry.tilts[index], geometry.order(tile, index));
    let stride = layout.stored_y;
    for first in (y..y + N * V::WIDTH).step_by(V::WIDTH) {
        let [p, q] = geometry.seen(layout, tile, index, first as isize);
        for k in 0..tile.columns() {
            let voxels = V::load(columns, usize::from(order.column[k]) * stride + first);
            let place = Place::new([
                p + f64::from(order.across[k]),
                q + f64::from(order.along[k]),
            ]);
            each_tap::<V>(tilt, layout.rows(), place, |row, pixel, weight| {
                let row = &mut image[row * stride..][..stride];
                add_within(row, pixel, voxels.mul(weight));
            });
        }
    }
}
