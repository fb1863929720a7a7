//! The slope of a grain's displacements, weighted by a Gaussian round every site.
//!
//! All sites of a lattice see the same sites round them, some of which may be empty. So the weights, and everything that
//! they multiply besides the displacements, are computed once for every offset; a table tells which atom stands at a site.

use super::{Ideal, components};
use crate::numeric::neighbors::CellList;
use nalgebra::{Matrix3, Vector3};
use rayon::prelude::*;

/// Where the Gaussian ends, in its standard deviations.
const REACH: f64 = 3.0;

/// Weighted sums over the sites round one: of 1, of x, of x xᵀ.
#[derive(Clone, Copy)]
struct Moments {
    total: f64,
    x: Vector3<f64>,
    xx: Matrix3<f64>,
}

impl Moments {
    const ZERO: Self = Self {
        total: 0.0,
        x: Vector3::new(0.0, 0.0, 0.0),
        xx: Matrix3::new(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    };

    fn add(&mut self, weight: f64, x: &Vector3<f64>) {
        let wx = x * weight;
        self.total += weight;
        self.x += wx;
        self.xx += wx * x.transpose();
    }

    /// The strain for the weighted sums of u and u xᵀ; NaN where the sites lie in a plane.
    fn slope(&self, u: &Vector3<f64>, ux: &Matrix3<f64>) -> [f64; 6] {
        let xx = self.xx - self.x * self.x.transpose() / self.total;
        let ux = ux - u * self.x.transpose() / self.total;
        let spread = xx.symmetric_eigenvalues().min() / self.total;
        // Sites in one plane, or a lone one: a lattice's planes are more than 0.5 Å apart.
        match xx.try_inverse().filter(|_| spread > 0.05) {
            Some(inverse) => components(&(ux * inverse)),
            None => [f64::NAN; 6],
        }
    }
}

/// A site round another: how far the table's entry lies, its weight w, its place x, and w x.
struct Offset {
    step: isize,
    weight: f64,
    x: Vector3<f64>,
    wx: Vector3<f64>,
}

/// Which atom stands at each site of a box that holds all of a grain, with room round it.
struct Table {
    low: [i32; 3],
    strides: [isize; 3],
    atom: Vec<u32>,
}

/// No atom.
const EMPTY: u32 = u32::MAX;

impl Table {
    /// `None` where the box is far larger than the grain.
    fn new(sites: &[[i32; 3]], room: [i32; 3]) -> Option<Self> {
        /// Entries that a table may always have, and how many for each atom.
        const ENTRIES: [f64; 2] = [4e6, 500.0];
        let (mut low, mut high) = (*sites.first()?, *sites.first()?);
        for site in sites {
            for k in 0..3 {
                low[k] = low[k].min(site[k]);
                high[k] = high[k].max(site[k]);
            }
        }
        let size: [f64; 3] = std::array::from_fn(|k| {
            f64::from(high[k]) - f64::from(low[k]) + 1.0 + 2.0 * f64::from(room[k])
        });
        if size.iter().product::<f64>() > ENTRIES[0].max(ENTRIES[1] * sites.len() as f64) {
            return None;
        }
        let [nx, ny, nz] = size.map(|n| n as usize);
        let mut table = Self {
            low: std::array::from_fn(|k| low[k] - room[k]),
            strides: [(ny * nz) as isize, nz as isize, 1],
            atom: vec![EMPTY; nx * ny * nz],
        };
        for (i, site) in sites.iter().enumerate() {
            let place = table.place(*site);
            table.atom[place] = i as u32;
        }
        Some(table)
    }

    /// The entry of a site of the grain.
    fn place(&self, site: [i32; 3]) -> usize {
        let steps = (0..3).map(|k| (site[k] - self.low[k]) as isize * self.strides[k]);
        steps.sum::<isize>() as usize
    }
}

/// Symmetric part of the weighted local slope of the displacements `moved` of a grain, at every one of its `sites`, which
/// `lattice` (a turned and stretched crystal, Å) places; NaN where the sites within reach lie in a plane. σ in Å.
pub(super) fn smoothed_strain(
    ideal: &Ideal,
    sites: &[[i32; 3]],
    lattice: &Matrix3<f64>,
    moved: &[Vector3<f64>],
    sigma: f64,
) -> Vec<[f64; 6]> {
    let map = lattice * ideal.basis;
    let Some(inverse) = map.try_inverse() else {
        return vec![[f64::NAN; 6]; sites.len()];
    };
    // A ball of radius R reaches R times the length of a row of the inverse along each whole number.
    let room: [i32; 3] =
        std::array::from_fn(|k| (REACH * sigma * inverse.row(k).norm()).floor() as i32);
    let Some(table) = Table::new(sites, room) else {
        return one_by_one(sites, &map, moved, sigma);
    };
    // hcp has two kinds of sites, in even and in odd layers, with other sites round them.
    let offsets = [0, 1].map(|layer| offsets(ideal, layer, &map, room, sigma, &table));
    let full = [0, 1].map(|layer| {
        let mut sum = Moments::ZERO;
        let around: &Vec<Offset> = &offsets[layer];
        around.iter().for_each(|o| sum.add(o.weight, &o.x));
        sum
    });
    (0..sites.len())
        .into_par_iter()
        .map_init(Vec::new, |near: &mut Vec<(usize, u32)>, i| {
            let layer = sites[i][2].rem_euclid(2) as usize;
            let around = &offsets[layer];
            let home = table.place(sites[i]);
            near.clear();
            near.extend(around.iter().enumerate().filter_map(|(k, o)| {
                let atom = table.atom[home.wrapping_add_signed(o.step)];
                (atom != EMPTY).then_some((k, atom))
            }));
            let (mut total, mut u, mut ux) = (0.0, Vector3::zeros(), Matrix3::zeros());
            for &(k, atom) in &*near {
                let (o, m) = (&around[k], &moved[atom as usize]);
                total += o.weight;
                u += m * o.weight;
                ux += m * o.wx.transpose();
            }
            let moments = if near.len() == around.len() {
                full[layer]
            } else {
                let mut sum = Moments::ZERO;
                near.iter()
                    .for_each(|&(k, _)| sum.add(around[k].weight, &around[k].x));
                sum
            };
            // Relative to the atom itself, so that no digits are lost.
            u -= moved[i] * total;
            ux -= moved[i] * moments.x.transpose();
            moments.slope(&u, &ux)
        })
        .collect()
}

/// The sites within reach of one in an even (0) or odd (1) layer.
fn offsets(
    ideal: &Ideal,
    layer: i32,
    map: &Matrix3<f64>,
    room: [i32; 3],
    sigma: f64,
    table: &Table,
) -> Vec<Offset> {
    let limit = (REACH * sigma).powi(2);
    let mut found = Vec::new();
    for i in -room[0]..=room[0] {
        for j in -room[1]..=room[1] {
            for k in -room[2]..=room[2] {
                if !ideal.joined(layer, [i, j, k]) {
                    continue;
                }
                let x = map * Vector3::from([i, j, k].map(f64::from));
                let d2 = x.norm_squared();
                if d2 < limit {
                    let weight = (-0.5 * d2 / (sigma * sigma)).exp();
                    let step = [i, j, k]
                        .iter()
                        .zip(table.strides)
                        .map(|(&n, stride)| n as isize * stride)
                        .sum();
                    found.push(Offset {
                        step,
                        weight,
                        x,
                        wx: x * weight,
                    });
                }
            }
        }
    }
    found
}

/// As [`smoothed_strain`], pair by pair: for grains whose box is too large for a table, and to compare with.
fn one_by_one(
    sites: &[[i32; 3]],
    map: &Matrix3<f64>,
    moved: &[Vector3<f64>],
    sigma: f64,
) -> Vec<[f64; 6]> {
    let place = |site: &[i32; 3]| -> [f64; 3] { (map * Vector3::from(site.map(f64::from))).into() };
    let points: Vec<[f64; 3]> = sites.iter().map(place).collect();
    let list = CellList::new(&points, sigma);
    (0..sites.len())
        .into_par_iter()
        .map(|i| {
            let (mut moments, mut u, mut ux) = (Moments::ZERO, Vector3::zeros(), Matrix3::zeros());
            list.for_each_within(points[i], REACH * sigma, |j, d2| {
                let weight = (-0.5 * d2 / (sigma * sigma)).exp();
                let x = Vector3::from(points[j]) - Vector3::from(points[i]);
                let off = (moved[j] - moved[i]) * weight;
                moments.add(weight, &x);
                u += off;
                ux += off * x.transpose();
            });
            moments.slope(&u, &ux)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Structure;
    use super::*;

    #[test]
    fn the_table_gives_what_pairs_give() {
        for structure in Structure::ALL {
            let ideal = Ideal::new(structure);
            // A ball of sites with a bite out of it, grown from one.
            let mut sites = vec![[0; 3]];
            let mut at = 0;
            while at < sites.len() {
                for (step, _) in ideal.around(sites[at]) {
                    let next: [i32; 3] = std::array::from_fn(|k| sites[at][k] + step[k]);
                    let place = ideal.place(next);
                    if place.norm() < 6.0 && place[0] < 3.0 && !sites.contains(&next) {
                        sites.push(next);
                    }
                }
                at += 1;
            }
            assert!(sites.len() > 300, "{structure:?}: {}", sites.len());
            let lattice = Matrix3::new(2.7, 0.1, 0.0, -0.1, 2.7, 0.2, 0.0, -0.2, 2.7);
            let wave = |i: usize| {
                let x = lattice * ideal.place(sites[i]);
                Vector3::new(
                    (0.2 * x[1]).sin(),
                    0.1 * x[0] + 0.02 * x[2],
                    (0.3 * x[0]).cos(),
                ) * 0.3
            };
            let moved: Vec<Vector3<f64>> = (0..sites.len()).map(wave).collect();
            let map = lattice * ideal.basis;
            for sigma in [0.7, 3.89] {
                let fast = smoothed_strain(&ideal, &sites, &lattice, &moved, sigma);
                let slow = one_by_one(&sites, &map, &moved, sigma);
                for (fast, slow) in fast.iter().flatten().zip(slow.iter().flatten()) {
                    let same = (fast - slow).abs() < 1e-12 || fast.is_nan() && slow.is_nan();
                    assert!(same, "{structure:?}, {sigma}: {fast} {slow}");
                }
            }
        }
    }

    #[test]
    fn a_long_thin_grain_has_no_table() {
        let wire: Vec<[i32; 3]> = (0..60_000).map(|i| [i, i, i]).collect();
        assert!(Table::new(&wire, [5; 3]).is_none());
        assert!(Table::new(&wire[..50], [5; 3]).is_some());
    }
}
