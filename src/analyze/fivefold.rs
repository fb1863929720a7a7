//! Five-fold axes: pentagonal bipyramids of bonds, and the rows of atoms that they share (Li et al., Pd@Pt, Figure 5).
//!
//! A bonded pair whose common neighbours are five that form a ring of bonds (the 555 pairs of common neighbour analysis) are
//! the caps of a pentagonal bipyramid. Its lengths: α between the caps, β cap to ring, γ along the ring. Of the ideal one
//! (Johnson's J13, all edges equal) α/γ = √(4 − 1/sin² 36°) = 1.0515 and β/γ = 1.

use crate::model::geometry::{distance, dot, subtract};
use crate::numeric::surface::root;
use rayon::prelude::*;
use serde_json::{Value, json};

type Point = [f64; 3];

/// α/γ of the ideal bipyramid.
pub const IDEAL_ALPHA: f64 = 1.051_462_224_238_267;

/// A pentagonal bipyramid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bipyramid {
    /// The atoms at its tips, the smaller index first.
    pub caps: [u32; 2],
    /// The ring, in order round it from its smallest index.
    pub ring: [u32; 5],
    /// Distance of the caps, Å.
    pub alpha: f64,
    /// Mean distance from a cap to the ring, Å.
    pub beta: f64,
    /// Mean distance of neighbours in the ring, Å.
    pub gamma: f64,
}

/// A straight row of caps.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Its atoms, from one end to the other.
    pub atoms: Vec<u32>,
    /// Indices of its bipyramids.
    pub bipyramids: Vec<u32>,
    /// Unit vector from its first atom to its last.
    pub direction: Point,
    /// Middle of its atoms, Å.
    pub center: Point,
}

/// All five-fold surroundings of a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fivefold {
    /// The bipyramids, by their caps.
    pub bipyramids: Vec<Bipyramid>,
    /// The axes, longest first.
    pub axes: Vec<Axis>,
}

/// Fewest atoms of an axis: glass has single bipyramids everywhere, but no rows of them.
const FEWEST: usize = 4;
/// Cosine of the angle by which a row may turn at an atom.
const STRAIGHT: f64 = 0.94;

impl Fivefold {
    /// Finds the bipyramids among neighbours (ascending lists).
    #[must_use]
    pub fn new(positions: &[Point], neighbors: &[Vec<u32>]) -> Self {
        let bipyramids: Vec<Bipyramid> = (0..positions.len())
            .into_par_iter()
            .flat_map_iter(|a| {
                let later = neighbors[a].iter().filter(move |&&b| b as usize > a);
                later.filter_map(move |&b| bipyramid(positions, neighbors, a as u32, b))
            })
            .collect();
        let axes = axes(positions, &bipyramids);
        Self { bipyramids, axes }
    }

    /// The number of each atom's axis from 1; 0 without one.
    #[must_use]
    pub fn axis_of(&self, atoms: usize) -> Vec<f64> {
        let mut numbers = vec![0.0; atoms];
        for (number, axis) in self.axes.iter().enumerate().rev() {
            for &atom in &axis.atoms {
                numbers[atom as usize] = number as f64 + 1.0;
            }
        }
        numbers
    }

    /// The JSON of `fivefold`.
    #[must_use]
    pub fn json(&self) -> Value {
        let lengths = |chosen: &mut dyn Iterator<Item = &Bipyramid>| {
            let chosen: Vec<&Bipyramid> = chosen.collect();
            let column = |f: &dyn Fn(&Bipyramid) -> f64| {
                super::summary::moments(chosen.iter().map(|b| f(b)))
            };
            json!({
                "alpha_A": column(&|b| b.alpha), "beta_A": column(&|b| b.beta), "gamma_A": column(&|b| b.gamma),
                "alpha_over_gamma": column(&|b| b.alpha / b.gamma),
                "beta_over_gamma": column(&|b| b.beta / b.gamma),
            })
        };
        let axes: Vec<Value> = self
            .axes
            .iter()
            .map(|axis| {
                let mut own = axis
                    .bipyramids
                    .iter()
                    .map(|&b| &self.bipyramids[b as usize]);
                let mut entry = lengths(&mut own);
                entry["atoms"] = json!(axis.atoms.len());
                entry["direction"] = json!(axis.direction);
                entry["center_A"] = json!(axis.center);
                entry
            })
            .collect();
        json!({
            "bipyramids": self.bipyramids.len(), "ideal_alpha_over_gamma": IDEAL_ALPHA, "axes": axes,
        })
    }
}

/// The bipyramid on two caps, if their common neighbours are a ring of five.
fn bipyramid(positions: &[Point], neighbors: &[Vec<u32>], a: u32, b: u32) -> Option<Bipyramid> {
    let (one, two) = (&neighbors[a as usize], &neighbors[b as usize]);
    let mut common = one.iter().filter(|i| two.binary_search(i).is_ok());
    let mut ring = [0; 5];
    for place in &mut ring {
        *place = *common.next()?;
    }
    if common.next().is_some() {
        return None;
    }
    let bonded = |i: u32, j: u32| neighbors[i as usize].binary_search(&j).is_ok();
    // Every member has two neighbours in the ring, and going round meets all.
    let mut next = [[usize::MAX; 2]; 5];
    for i in 0..5 {
        let mut own = (0..5).filter(|&j| j != i && bonded(ring[i], ring[j]));
        next[i] = [own.next()?, own.next()?];
        if own.next().is_some() {
            return None;
        }
    }
    let mut order = [0usize; 5];
    let (mut last, mut at) = (0, next[0][0]);
    for place in &mut order[1..] {
        *place = at;
        let ahead = next[at];
        let onward = if ahead[0] == last { ahead[1] } else { ahead[0] };
        (last, at) = (at, onward);
    }
    if at != 0 || order[1..].contains(&0) {
        return None;
    }
    let ring = order.map(|k| ring[k]);
    let place = |i: u32| positions[i as usize];
    let beta = ring
        .iter()
        .map(|&r| distance(place(a), place(r)) + distance(place(b), place(r)))
        .sum::<f64>()
        / 10.0;
    let gamma = (0..5)
        .map(|k| distance(place(ring[k]), place(ring[(k + 1) % 5])))
        .sum::<f64>()
        / 5.0;
    Some(Bipyramid {
        caps: [a, b],
        ring,
        alpha: distance(place(a), place(b)),
        beta,
        gamma,
    })
}

/// Rows of caps that go straight on.
fn axes(positions: &[Point], bipyramids: &[Bipyramid]) -> Vec<Axis> {
    let place = |i: u32| positions[i as usize];
    // Two bipyramids with a common cap belong together when the other caps lie on opposite sides of it.
    let mut at_cap: Vec<Vec<u32>> = vec![Vec::new(); positions.len()];
    for (k, b) in bipyramids.iter().enumerate() {
        b.caps
            .iter()
            .for_each(|&c| at_cap[c as usize].push(k as u32));
    }
    let mut parent: Vec<u32> = (0..bipyramids.len() as u32).collect();
    for (cap, own) in at_cap.iter().enumerate() {
        let ends = |k: u32| {
            let [a, b] = bipyramids[k as usize].caps;
            let other = if a as usize == cap { b } else { a };
            subtract(place(other), positions[cap])
        };
        for (i, &one) in own.iter().enumerate() {
            for &two in &own[i + 1..] {
                let (u, v) = (ends(one), ends(two));
                if dot(u, v) < -STRAIGHT * (dot(u, u) * dot(v, v)).sqrt() {
                    let (a, b) = (root(&mut parent, one), root(&mut parent, two));
                    parent[a.max(b) as usize] = a.min(b);
                }
            }
        }
    }
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); bipyramids.len()];
    for k in 0..bipyramids.len() as u32 {
        rows[root(&mut parent, k) as usize].push(k);
    }
    let mut axes: Vec<Axis> = rows
        .into_iter()
        .filter_map(|row| {
            let mut atoms: Vec<u32> = row
                .iter()
                .flat_map(|&k| bipyramids[k as usize].caps)
                .collect();
            atoms.sort_unstable();
            atoms.dedup();
            if atoms.len() < FEWEST {
                return None;
            }
            let n = atoms.len() as f64;
            let center: Point =
                std::array::from_fn(|k| atoms.iter().map(|&i| place(i)[k]).sum::<f64>() / n);
            let far = |from: Point| {
                let apart = |i: &&u32| distance(place(**i), from);
                atoms
                    .iter()
                    .max_by(|a, b| apart(a).total_cmp(&apart(b)))
                    .map(|&i| place(i))
            };
            let first = far(center)?;
            let along = subtract(far(first)?, first);
            let length = dot(along, along).sqrt();
            let direction = along.map(|x| x / length);
            let height = |i: u32| dot(subtract(place(i), center), direction);
            atoms.sort_by(|&a, &b| height(a).total_cmp(&height(b)));
            Some(Axis {
                atoms,
                bipyramids: row,
                direction,
                center,
            })
        })
        .collect();
    // Stable: equal lengths stay in the order of their first bipyramids.
    axes.sort_by_key(|axis| std::cmp::Reverse(axis.atoms.len()));
    axes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::neighbors::neighbors_within;

    /// Decahedral rod: an axis of atoms one apart times `alpha`, with rings of five half way between.
    fn rod(alpha: f64, length: usize) -> Vec<Point> {
        let radius = 0.5 / (std::f64::consts::PI / 5.0).sin();
        let mut points = Vec::new();
        for k in 0..length {
            points.push([0.0, 0.0, alpha * k as f64]);
        }
        for k in 0..length - 1 {
            for j in 0..5 {
                let angle = std::f64::consts::TAU * f64::from(j) / 5.0;
                points.push([
                    radius * angle.cos(),
                    radius * angle.sin(),
                    alpha * (k as f64 + 0.5),
                ]);
            }
        }
        points
    }

    #[test]
    fn the_ideal_bipyramid_has_its_ratios() {
        let points = rod(IDEAL_ALPHA, 7);
        let found = Fivefold::new(&points, &neighbors_within(&points, 1.3));
        let caps = found.bipyramids.iter().filter(|b| b.caps[1] < 7).count();
        assert_eq!(caps, 6);
        for b in found.bipyramids.iter().filter(|b| b.caps[1] < 7) {
            assert!(
                (b.alpha / b.gamma - IDEAL_ALPHA).abs() < 1e-12
                    && (b.beta / b.gamma - 1.0).abs() < 1e-12
            );
        }
        let axis = &found.axes[0];
        assert_eq!(axis.atoms.len(), 7);
        assert!((axis.direction[2].abs() - 1.0).abs() < 1e-12);
        assert_eq!(found.axis_of(points.len())[..7], [1.0; 7]);
    }

    #[test]
    fn crystals_have_none() {
        let mut points = Vec::new();
        for i in -3..=3i32 {
            for j in -3..=3i32 {
                for k in (-3..=3i32).filter(|k| (i + j + k) % 2 == 0) {
                    points.push([i, j, k].map(f64::from));
                }
            }
        }
        let found = Fivefold::new(&points, &neighbors_within(&points, 1.7));
        assert!(found.bipyramids.is_empty() && found.axes.is_empty());
        assert_eq!(found.json()["bipyramids"], 0);
    }
}
