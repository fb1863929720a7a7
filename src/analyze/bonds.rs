//! Bonds: by the neighbour cutoff, and by the faces of the Voronoi cells (topological).
//!
//! A topological bond is a face of at least 1 % of the cell's area ((Zr), one pass, from the cell's own side) to an atom
//! nearer than the cutoff. The Voronoi index ⟨n₃ n₄ n₅ n₆⟩ counts the faces with 3 to 6 edges of the cell made by these
//! neighbours alone, as the published indices do; faces with more edges are not counted.

use crate::model::Atoms;
use crate::model::geometry::distance;
use crate::numeric::hull::{Hull, face_corners};
use crate::numeric::voronoi::Faces;
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Neighbours nearer than a cutoff.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    /// The cutoff, Å.
    pub cutoff: f64,
    /// Indices of each atom's neighbours, ascending.
    pub of: Vec<Vec<u32>>,
}

/// Mean distance from each atom to its neighbours, Å; NaN for an atom without.
pub fn bonds(positions: &[[f64; 3]], neighbors: &[Vec<u32>]) -> Vec<f64> {
    positions
        .par_iter()
        .zip(neighbors)
        .map(|(&center, around)| {
            let sum: f64 = around
                .iter()
                .map(|&i| distance(center, positions[i as usize]))
                .sum();
            if around.is_empty() {
                f64::NAN
            } else {
                sum / around.len() as f64
            }
        })
        .collect()
}

/// Number, mean and standard deviation gathered one value at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moments {
    n: usize,
    mean: f64,
    square: f64,
}

impl Moments {
    /// Welford's update.
    fn add(&mut self, value: f64) {
        self.n += 1;
        let off = value - self.mean;
        self.mean += off / self.n as f64;
        self.square += off * (value - self.mean);
    }

    fn json(&self) -> Value {
        let sd = (self.square / self.n.max(1) as f64).sqrt();
        json!({ "mean": self.mean, "sd": sd, "n": self.n })
    }
}

/// Lengths of all bonds by the cutoff: mean, spread and number, all and by pair of species.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lengths {
    all: Moments,
    by_pair: BTreeMap<String, Moments>,
}

impl Lengths {
    /// Every bond once.
    #[must_use]
    pub fn of(atoms: &Atoms, neighbors: &[Vec<u32>]) -> Self {
        let kinds = atoms.species_names.len().max(1);
        let mut all = Moments::default();
        let mut pairs = vec![Moments::default(); kinds * kinds];
        for (a, around) in neighbors.iter().enumerate() {
            for b in around.iter().map(|&b| b as usize).filter(|&b| b > a) {
                let length = distance(atoms.positions[a], atoms.positions[b]);
                all.add(length);
                let (one, two) = (usize::from(atoms.species[a]), usize::from(atoms.species[b]));
                if let Some(pair) = pairs.get_mut(one.min(two) * kinds + one.max(two)) {
                    pair.add(length);
                }
            }
        }
        let mut by_pair = BTreeMap::new();
        for (at, moments) in pairs.into_iter().enumerate().filter(|(_, m)| m.n > 0) {
            let mut names = [at / kinds, at % kinds].map(|k| atoms.species_names[k].as_str());
            names.sort_unstable();
            by_pair.insert(names.join("-"), moments);
        }
        Self { all, by_pair }
    }

    /// `{"mean", "sd", "n", "by_pair": {"Pd-Pt": …}}`.
    #[must_use]
    pub fn json(&self) -> Value {
        let pairs = self.by_pair.iter();
        let by_pair: Map<String, Value> = pairs.map(|(name, m)| (name.clone(), m.json())).collect();
        let mut json = self.all.json();
        json["by_pair"] = Value::Object(by_pair);
        json
    }
}

/// Topological bonds of every atom.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Topology {
    /// Cutoff (Å) and share of the area that made them.
    pub made_with: [f64; 2],
    /// Faces of at least the share, however far their atoms; NaN where the cell is unbounded.
    pub faces: Vec<f64>,
    /// Bonds; NaN where the cell is unbounded.
    pub coordination: Vec<f64>,
    /// Mean length of the bonds, Å; NaN without any.
    pub length: Vec<f64>,
    /// ⟨n₃ n₄ n₅ n₆⟩; `None` where the bonds close no cell.
    pub index: Vec<Option<[u8; 4]>>,
}

impl Topology {
    /// The bonds over faces of at least `share` of the cell's area to atoms nearer than `cutoff`, Å.
    #[must_use]
    pub fn new(positions: &[[f64; 3]], faces: &Faces, cutoff: f64, share: f64) -> Self {
        let made: Vec<(f64, f64, f64, Option<[u8; 4]>)> = (0..positions.len())
            .into_par_iter()
            .map_init(
                || (Vec::new(), Hull::default()),
                |(near, hull), atom| {
                    if !faces.is_bounded(atom) {
                        return (f64::NAN, f64::NAN, f64::NAN, None);
                    }
                    near.clear();
                    let (mut wide, mut sum) = (0usize, 0.0);
                    for face in faces.wide(atom, share) {
                        wide += 1;
                        if face.distance < cutoff {
                            sum += face.distance;
                            let to = positions[face.neighbor as usize];
                            let from = positions[atom];
                            near.push([to[0] - from[0], to[1] - from[1], to[2] - from[2]]);
                        }
                    }
                    let bonds = near.len();
                    let length = if bonds == 0 {
                        f64::NAN
                    } else {
                        sum / bonds as f64
                    };
                    (wide as f64, bonds as f64, length, index(near, hull))
                },
            )
            .collect();
        Self {
            made_with: [cutoff, share],
            faces: made.iter().map(|m| m.0).collect(),
            coordination: made.iter().map(|m| m.1).collect(),
            length: made.iter().map(|m| m.2).collect(),
            index: made.iter().map(|m| m.3).collect(),
        }
    }

    /// Share of five-edged faces of each atom; NaN without an index.
    #[must_use]
    pub fn fivefold(&self) -> Vec<f64> {
        self.index
            .iter()
            .map(|index| {
                index.map_or(f64::NAN, |n| {
                    let all: u32 = n.iter().map(|&n| u32::from(n)).sum();
                    f64::from(n[2]) / f64::from(all.max(1))
                })
            })
            .collect()
    }

    /// The indices among the chosen atoms and how many have each; the commonest first, equal ones by the index.
    #[must_use]
    pub fn indices(&self, chosen: impl Fn(usize) -> bool) -> Vec<([u8; 4], usize)> {
        let mut counts: BTreeMap<[u8; 4], usize> = BTreeMap::new();
        let all = self.index.iter().enumerate();
        for index in all.filter(|(i, _)| chosen(*i)).filter_map(|(_, n)| *n) {
            *counts.entry(index).or_default() += 1;
        }
        let mut counts: Vec<([u8; 4], usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        counts
    }
}

/// ⟨n₃ n₄ n₅ n₆⟩ of the cell that the neighbours at these places make round the origin.
fn index(near: &[[f64; 3]], hull: &mut Hull) -> Option<[u8; 4]> {
    let corners = face_corners(near, hull)?;
    let mut counts = [0; 4];
    for &n in &corners[..near.len()] {
        if (3..=6).contains(&n) {
            counts[usize::from(n) - 3] += 1;
        }
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::neighbors::neighbors_within;
    use crate::numeric::tessellation::delaunay;

    fn lattice(even: bool) -> Vec<[f64; 3]> {
        let mut points = Vec::new();
        for i in -4..=4i32 {
            for j in -4..=4i32 {
                for k in -4..=4i32 {
                    let parity = if even {
                        (i + j + k) % 2 == 0
                    } else {
                        i.rem_euclid(2) == j.rem_euclid(2) && j.rem_euclid(2) == k.rem_euclid(2)
                    };
                    if parity {
                        points.push([i, j, k].map(|n| 1.5 * f64::from(n)));
                    }
                }
            }
        }
        points
    }

    #[test]
    fn crystals_have_their_indices_and_coordination() {
        // fcc by its 12 rhombi; bcc by 6 squares and 8 hexagons.
        for (even, cutoff, expected, bonds) in [
            (true, 2.5, [0, 12, 0, 0], 12.0),
            (false, 3.5, [0, 6, 0, 8], 14.0),
        ] {
            let points = lattice(even);
            let faces = Faces::new(&points, &delaunay(&points).unwrap());
            let found = Topology::new(&points, &faces, cutoff, 0.01);
            let middle = points.iter().position(|p| *p == [0.0; 3]).unwrap();
            assert_eq!(found.index[middle], Some(expected));
            assert_eq!(found.coordination[middle], bonds);
            // Nothing nearer than the cutoff: no bond, no cell, but the faces are there.
            let none = Topology::new(&points, &faces, 1.0, 0.01);
            assert_eq!(
                (none.faces[middle], none.coordination[middle]),
                (bonds, 0.0)
            );
            assert!(none.index[middle].is_none() && none.length[middle].is_nan());
        }
    }

    #[test]
    fn lengths_are_told_by_pair() {
        let mut atoms =
            Atoms::from_positions(vec![[0.0; 3], [2.0, 0.0, 0.0], [5.0, 0.0, 0.0]], "Pt");
        atoms.species_names.push("Pd".to_owned());
        atoms.species[1] = 1;
        let json = Lengths::of(&atoms, &neighbors_within(&atoms.positions, 4.0)).json();
        assert_eq!(
            (json["n"].as_u64(), json["mean"].as_f64()),
            (Some(2), Some(2.5))
        );
        assert_eq!(json["by_pair"]["Pd-Pt"]["sd"], 0.5);
    }
}
