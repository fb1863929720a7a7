//! The lattices of a model's grains, found by growth.
//!
//! 1. Every atom's 12 (fcc, hcp) or 14 (bcc) nearest neighbours are compared with the ideal ones: a pair of neighbours fixes
//!    a few rotations, each neighbour takes the nearest ideal vector, and a linear map is fitted; its relative misfit says how
//!    well ordered the atom is.
//! 2. From the best-ordered atoms of the commonest structure first, a grain grows breadth first: a neighbour joins at the
//!    lattice site predicted by the map of the atom it is reached from, if at least 7 of 10 of its own neighbours fit the
//!    lattice too (an atom of a twin plane has 9 of 12, the one behind it 6). Its map is fitted to its neighbours with the
//!    map it came from as prior, so that the lattice may bend.
//!
//! Sites are whole numbers in a basis of the ideal structure, hence exact over any distance. Given grains (a `grain` column)
//! bound the growth: an atom of another grain does not join.

use crate::model::geometry::distance_squared;
use nalgebra::{Matrix3, Vector3};
use rayon::prelude::*;
use std::collections::VecDeque;

type Point = [f64; 3];

/// Misfit of a neighbour from its ideal place, in nearest distances, up to which it fits.
pub const FITS: f64 = 0.25;
/// Share of an atom's neighbours that must fit.
const SHARE: f64 = 0.7;
/// Largest relative misfit of a seed's neighbours.
const SEED: f64 = 0.12;
/// Atoms of the smallest grain: fewer carry no gradient.
const SMALLEST: usize = 40;
/// Weight of the map an atom was reached with, in neighbours.
const PRIOR: f64 = 12.0;

/// A crystal structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Structure {
    /// Face-centred cubic.
    Fcc,
    /// Hexagonal close-packed.
    Hcp,
    /// Body-centred cubic.
    Bcc,
}

impl Structure {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fcc, Self::Hcp, Self::Bcc];

    /// Its name in the output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fcc => "fcc",
            Self::Hcp => "hcp",
            Self::Bcc => "bcc",
        }
    }

    /// Nearest distance in units of the lattice constant a.
    #[must_use]
    pub fn nearest(self) -> f64 {
        match self {
            Self::Fcc => 0.5f64.sqrt(),
            Self::Hcp => 1.0,
            Self::Bcc => 0.75f64.sqrt(),
        }
    }
}

/// An ideal structure with nearest distance 1.
pub struct Ideal {
    /// Which.
    pub structure: Structure,
    /// From whole numbers to space.
    pub basis: Matrix3<f64>,
    /// Neighbours (whole numbers and vectors) of the sites in even and in odd layers; these differ in hcp only.
    neighbors: [Vec<([i32; 3], Vector3<f64>)>; 2],
    /// Pairs of neighbours of an even site at the least angle, one for each rotation they may stand for.
    pairs: Vec<[usize; 2]>,
    /// Cosine of that angle.
    cosine: f64,
}

impl Ideal {
    /// Builds the tables of a structure.
    #[must_use]
    pub fn new(structure: Structure) -> Self {
        let (basis, even): (Matrix3<f64>, Vec<[i32; 3]>) = match structure {
            Structure::Fcc => {
                let all = whole(1, |v| v.iter().filter(|x| **x != 0).count() == 2);
                (Matrix3::identity() * 0.5f64.sqrt(), all)
            }
            Structure::Bcc => {
                let mut all = whole(1, |v| v.iter().all(|x| *x != 0));
                all.extend(whole(2, |v| {
                    v.iter().map(|x| x.abs()).sum::<i32>() == 2
                        && v.contains(&0)
                        && v.iter().any(|x| x.abs() == 2)
                }));
                (Matrix3::identity() / 3f64.sqrt(), all)
            }
            Structure::Hcp => {
                // Thirds of the two axes in the plane, and half of the third.
                let basis = Matrix3::from_columns(&[
                    Vector3::new(1.0, 0.0, 0.0) / 3.0,
                    Vector3::new(0.5, 0.75f64.sqrt(), 0.0) / 3.0,
                    Vector3::new(0.0, 0.0, (2.0f64 / 3.0).sqrt()),
                ]);
                let mut all = vec![
                    [3, 0, 0],
                    [0, 3, 0],
                    [-3, 3, 0],
                    [-3, 0, 0],
                    [0, -3, 0],
                    [3, -3, 0],
                ];
                for layer in [1, -1] {
                    all.extend([[1, 1, layer], [-2, 1, layer], [1, -2, layer]]);
                }
                (basis, all)
            }
        };
        let odd = even.iter().map(|v| match structure {
            Structure::Hcp if v[2] != 0 => [-v[0], -v[1], v[2]],
            _ => *v,
        });
        let vector = |v: [i32; 3]| (v, basis * Vector3::from(v.map(f64::from)));
        let mut ideal = Self {
            structure,
            basis,
            neighbors: [
                even.iter().copied().map(vector).collect(),
                odd.map(vector).collect(),
            ],
            pairs: Vec::new(),
            cosine: if structure == Structure::Bcc {
                1.0 / 3.0
            } else {
                0.5
            },
        };
        ideal.pairs = ideal.distinct_pairs();
        ideal
    }

    /// Number of neighbours of a site.
    #[must_use]
    pub fn shell(&self) -> usize {
        self.neighbors[0].len()
    }

    /// Place of a site in the crystal's axes.
    #[must_use]
    pub fn place(&self, site: [i32; 3]) -> Vector3<f64> {
        self.basis * Vector3::from(site.map(f64::from))
    }

    /// Neighbours of a site: whole numbers from it, and vectors.
    #[must_use]
    pub fn around(&self, site: [i32; 3]) -> &[([i32; 3], Vector3<f64>)] {
        &self.neighbors[site[2].rem_euclid(2) as usize]
    }

    /// Whether a step in whole numbers leads from a site in an even (0) or odd (1) layer to another site.
    #[must_use]
    pub fn joined(&self, layer: i32, step: [i32; 3]) -> bool {
        match self.structure {
            Structure::Fcc => (step[0] + step[1] + step[2]) % 2 == 0,
            Structure::Bcc => step.iter().all(|n| (n - step[0]) % 2 == 0),
            // In thirds: odd layers stand at (1, 1) of even ones.
            Structure::Hcp => {
                let turn = (layer + step[2]).rem_euclid(2) - layer;
                (step[0] - turn).rem_euclid(3) == 0 && (step[1] - turn).rem_euclid(3) == 0
            }
        }
    }

    /// Ordered pairs of nearest neighbours at the least angle that no rotation of the structure turns into each other.
    fn distinct_pairs(&self) -> Vec<[usize; 2]> {
        let all = &self.neighbors[0];
        let mut kept: Vec<([usize; 2], Matrix3<f64>)> = Vec::new();
        for a in 0..all.len() {
            for b in 0..all.len() {
                let (va, vb) = (all[a].1, all[b].1);
                let near = va.norm() < 1.01 && vb.norm() < 1.01;
                if !near || (va.dot(&vb) - self.cosine).abs() > 1e-6 {
                    continue;
                }
                let Some(own) = frame(va, vb) else { continue };
                let same = kept.iter().any(|(_, other)| {
                    let turn = own * other.transpose();
                    all.iter()
                        .all(|(_, v)| all.iter().any(|(_, w)| (turn * v - w).norm() < 1e-6))
                });
                if !same {
                    kept.push(([a, b], own));
                }
            }
        }
        kept.into_iter().map(|(pair, _)| pair).collect()
    }
}

/// Whole vectors with entries up to `most` that satisfy a rule.
fn whole(most: i32, rule: impl Fn(&[i32; 3]) -> bool) -> Vec<[i32; 3]> {
    let mut found = Vec::new();
    for x in -most..=most {
        for y in -most..=most {
            for z in -most..=most {
                if rule(&[x, y, z]) {
                    found.push([x, y, z]);
                }
            }
        }
    }
    found
}

/// Right-handed frame with its first axis along `a` and `b` in its first plane; `None` where they are parallel.
fn frame(a: Vector3<f64>, b: Vector3<f64>) -> Option<Matrix3<f64>> {
    let x = a.try_normalize(1e-9)?;
    let z = a.cross(&b).try_normalize(1e-9)?;
    Some(Matrix3::from_columns(&[x, z.cross(&x), z]))
}

/// The linear map that takes the second of each pair to the first, with `prior` as further evidence of a weight.
fn fit(
    pairs: &[(Vector3<f64>, Vector3<f64>)],
    prior: Option<(&Matrix3<f64>, f64)>,
) -> Option<Matrix3<f64>> {
    let (mut left, mut right) = (Matrix3::zeros(), Matrix3::zeros());
    for (to, from) in pairs {
        left += to * from.transpose();
        right += from * from.transpose();
    }
    if let Some((map, weight)) = prior {
        // So many ideal neighbours in all directions.
        left += map * (weight / 3.0);
        right += Matrix3::identity() * (weight / 3.0);
    }
    Some(left * right.try_inverse()?)
}

/// How an atom's surroundings compare with an ideal structure.
#[derive(Clone, Copy)]
struct Match {
    map: Matrix3<f64>,
    misfit: f64,
}

/// Best fit of an ideal structure to the vectors of an atom's nearest neighbours, nearest first.
fn compare(ideal: &Ideal, near: &[Vector3<f64>]) -> Option<Match> {
    let near = near.get(..ideal.shell())?;
    let ideals = &ideal.neighbors[0];
    let length = |v: &mut dyn Iterator<Item = f64>| v.sum::<f64>() / ideal.shell() as f64;
    let scale = length(&mut near.iter().map(|v| v.norm()))
        / length(&mut ideals.iter().map(|(_, v)| v.norm()));
    let first = near[0].normalize();
    let second = near[1..].iter().min_by(|a, b| {
        let off = |v: &Vector3<f64>| (v.normalize().dot(&first) - ideal.cosine).abs();
        off(a).total_cmp(&off(b))
    })?;
    let seen = frame(near[0], *second)?;
    let mut best: Option<Match> = None;
    for [a, b] in &ideal.pairs {
        let mut map = seen * frame(ideals[*a].1, ideals[*b].1)?.transpose() * scale;
        let mut misfit = f64::INFINITY;
        for _ in 0..2 {
            let Some(pairs) = assign(&map, near, ideals) else {
                misfit = f64::INFINITY;
                break;
            };
            map = fit(&pairs, None)?;
            let sum: f64 = pairs
                .iter()
                .map(|(to, from)| (to - map * from).norm_squared())
                .sum();
            // The map may not distort either: bcc is fcc stretched along an axis (Bain). For a small distortion the mean
            // square of (U − s)t over directions t is |MᵀM/s² − 1|²/12.
            let square = map.transpose() * map;
            let off = square / (square.trace() / 3.0) - Matrix3::identity();
            let scatter = sum / (pairs.len() as f64 * scale * scale);
            misfit = (scatter + off.norm_squared() / 12.0).sqrt();
        }
        if best.as_ref().is_none_or(|b| misfit < b.misfit) {
            best = Some(Match { map, misfit });
        }
    }
    best.filter(|m| m.misfit < SEED && m.map.determinant() > 0.0)
}

/// Each neighbour with the ideal one nearest to it; `None` where two want the same.
fn assign(
    map: &Matrix3<f64>,
    near: &[Vector3<f64>],
    ideals: &[([i32; 3], Vector3<f64>)],
) -> Option<Vec<(Vector3<f64>, Vector3<f64>)>> {
    let mut taken = 0u32;
    let placed: Vec<Vector3<f64>> = ideals.iter().map(|(_, v)| map * v).collect();
    near.iter()
        .map(|v| {
            let (k, _) = placed
                .iter()
                .enumerate()
                .map(|(k, p)| (k, (p - v).norm_squared()))
                .min_by(|a, b| a.1.total_cmp(&b.1))?;
            let free = taken & 1 << k == 0;
            taken |= 1 << k;
            free.then_some((*v, ideals[k].1))
        })
        .collect()
}

/// A grain: atoms on one lattice.
#[derive(Debug, Clone, PartialEq)]
pub struct Grain {
    /// Its structure.
    pub structure: Structure,
    /// Its atoms.
    pub atoms: Vec<u32>,
    /// Their sites, in the whole numbers of [`Ideal`].
    pub sites: Vec<[i32; 3]>,
}

/// Atoms and how they are joined.
struct Growth<'a> {
    positions: &'a [Point],
    neighbors: &'a [Vec<u32>],
    /// Given grain of each atom, if it is a large one.
    given: Vec<Option<i64>>,
    /// Which structure each atom's own neighbours are.
    own: &'a [Option<(usize, Match)>],
    /// Whether an atom has its grain.
    taken: Vec<bool>,
    /// Site in the grain that grows now.
    site: Vec<Option<[i32; 3]>>,
    map: Vec<Matrix3<f64>>,
}

impl Growth<'_> {
    fn vector(&self, from: u32, to: u32) -> Vector3<f64> {
        let (a, b) = (self.positions[from as usize], self.positions[to as usize]);
        Vector3::new(b[0] - a[0], b[1] - a[1], b[2] - a[2])
    }

    /// Whether two atoms may share a grain. Twin planes look like another structure and may be given as a grain of it; they
    /// belong to the lattice that they fit.
    fn together(&self, seed: u32, next: u32) -> bool {
        let structure = |atom: u32| self.own[atom as usize].map(|(structure, _)| structure);
        match (self.given[seed as usize], self.given[next as usize]) {
            (Some(a), Some(b)) if a != b => {
                structure(next).is_some_and(|own| Some(own) != structure(seed))
            }
            _ => true,
        }
    }

    /// The atoms of the grain of `seed`, in the order they joined.
    fn grow(&mut self, ideal: &Ideal, seed: u32, map: Matrix3<f64>) -> Vec<u32> {
        let mut atoms = vec![seed];
        let mut todo = VecDeque::from([seed]);
        self.site[seed as usize] = Some([0; 3]);
        self.map[seed as usize] = map;
        while let Some(at) = todo.pop_front() {
            let (site, map) = (
                self.site[at as usize].unwrap_or([0; 3]),
                self.map[at as usize],
            );
            let scale = map.determinant().cbrt();
            for (offset, ideal_vector) in ideal.around(site) {
                let place = map * ideal_vector;
                let nearest = self.neighbors[at as usize]
                    .iter()
                    .map(|&n| (n, (self.vector(at, n) - place).norm_squared()))
                    .min_by(|a, b| a.1.total_cmp(&b.1));
                let Some((next, off)) = nearest else { continue };
                let free = !self.taken[next as usize] && self.site[next as usize].is_none();
                if !free || off.sqrt() > FITS * scale || !self.together(seed, next) {
                    continue;
                }
                let target = std::array::from_fn(|k| site[k] + offset[k]);
                if let Some((own, fitting)) = self.join(ideal, next, target, &map) {
                    self.site[next as usize] = Some(target);
                    self.map[next as usize] = own;
                    atoms.push(next);
                    // Few neighbours, as at edges, say too little to lead on: a twin may lie behind.
                    if 2 * fitting > ideal.shell() {
                        todo.push_back(next);
                    }
                }
            }
        }
        atoms
    }

    /// The map of an atom at a site and how many of its neighbours fit the lattice, if enough do. A neighbour whose own site
    /// says otherwise does not fit.
    fn join(
        &self,
        ideal: &Ideal,
        atom: u32,
        site: [i32; 3],
        map: &Matrix3<f64>,
    ) -> Option<(Matrix3<f64>, usize)> {
        let scale = map.determinant().cbrt();
        let limit = (FITS * scale).powi(2);
        let around = &self.neighbors[atom as usize];
        let mut pairs = Vec::with_capacity(around.len());
        for &other in around {
            let v = self.vector(atom, other);
            let best = ideal
                .around(site)
                .iter()
                .map(|(offset, ideal)| (offset, ideal, (map * ideal - v).norm_squared()))
                .min_by(|a, b| a.2.total_cmp(&b.2))?;
            let place: [i32; 3] = std::array::from_fn(|k| site[k] + best.0[k]);
            if best.2 < limit && self.site[other as usize].is_none_or(|known| known == place) {
                pairs.push((v, *best.1));
            }
        }
        let enough = pairs.len() >= 3 && pairs.len() as f64 >= SHARE * around.len() as f64;
        let own = fit(&pairs, Some((map, PRIOR)))?;
        (enough && own.determinant() > 0.0).then_some((own, pairs.len()))
    }
}

/// Grain number of each atom, for grains that a lattice can be fitted to.
fn large_grains(given: Option<&[f64]>, atoms: usize) -> Vec<Option<i64>> {
    let number = |g: &f64| (*g >= 1.0).then_some(*g as i64);
    let mut sizes: std::collections::HashMap<i64, usize> = Default::default();
    given
        .into_iter()
        .flatten()
        .filter_map(number)
        .for_each(|g| *sizes.entry(g).or_default() += 1);
    given.map_or_else(
        || vec![None; atoms],
        |given| {
            given
                .iter()
                .map(|g| number(g).filter(|g| sizes[g] >= SMALLEST))
                .collect()
        },
    )
}

/// The grains of a model, those of the commonest structure first. `neighbors` reach as far as the first shell (fcc, hcp) or the second
/// (bcc); `given` are grain numbers from 1 to respect, of grains that are large enough for a lattice.
#[must_use]
pub fn grains(positions: &[Point], neighbors: &[Vec<u32>], given: Option<&[f64]>) -> Vec<Grain> {
    let ideals = Structure::ALL.map(Ideal::new);
    let found: Vec<Option<(usize, Match)>> = positions
        .par_iter()
        .zip(neighbors)
        .map(|(&center, around)| {
            let mut near: Vec<(f64, u32)> = around
                .iter()
                .map(|&n| (distance_squared(center, positions[n as usize]), n))
                .filter(|(d2, _)| *d2 > 0.0)
                .collect();
            near.sort_by(|a, b| a.0.total_cmp(&b.0));
            let near: Vec<Vector3<f64>> = near
                .iter()
                .take(14)
                .map(|&(_, n)| Vector3::from(positions[n as usize]) - Vector3::from(center))
                .collect();
            (0..ideals.len())
                .filter_map(|k| Some((k, compare(&ideals[k], &near)?)))
                .min_by(|a, b| a.1.misfit.total_cmp(&b.1.misfit))
        })
        .collect();
    let count = |k: usize| found.iter().flatten().filter(|(of, _)| *of == k).count();
    let mut order: Vec<usize> = (0..ideals.len()).collect();
    order.sort_by_key(|&k| std::cmp::Reverse(count(k)));
    let mut growth = Growth {
        positions,
        neighbors,
        given: large_grains(given, positions.len()),
        own: &found,
        taken: vec![false; positions.len()],
        site: vec![None; positions.len()],
        map: vec![Matrix3::identity(); positions.len()],
    };
    let mut grains = Vec::new();
    for k in order {
        let mut seeds: Vec<(f64, u32, Matrix3<f64>)> = found
            .iter()
            .enumerate()
            .filter_map(|(i, m)| {
                m.filter(|(of, _)| *of == k)
                    .map(|(_, m)| (m.misfit, i as u32, m.map))
            })
            .collect();
        seeds.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut tried = vec![false; positions.len()];
        for (_, seed, map) in seeds {
            if growth.taken[seed as usize] || tried[seed as usize] {
                continue;
            }
            let atoms = growth.grow(&ideals[k], seed, map);
            let large = atoms.len() >= SMALLEST;
            let mut sites = Vec::with_capacity(atoms.len());
            for &atom in &atoms {
                let site = growth.site[atom as usize].take().unwrap_or([0; 3]);
                sites.push(site);
                growth.taken[atom as usize] |= large;
                tried[atom as usize] = true;
            }
            if large {
                grains.push(Grain {
                    structure: ideals[k].structure,
                    atoms,
                    sites,
                });
            }
        }
    }
    grains
}
