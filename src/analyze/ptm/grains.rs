//! Grains: connected atoms of one structure whose lattices are nearly parallel.

use super::rotation::{Quaternion, cos_half_misorientation, mean};
use super::{Match, Structure};

/// A grain.
#[derive(Debug, Clone, PartialEq)]
pub struct Grain {
    /// Of its atoms.
    pub structure: Structure,
    /// How many.
    pub atoms: usize,
    /// Mean orientation, `sample_from_crystal`; of the equivalent ones that which turns least.
    pub orientation: Quaternion,
    /// Mean lattice constant of its atoms, Å (see [`Match::lattice`]).
    pub lattice: f64,
}

/// Joins neighbours of one structure whose misorientation is below `misorientation` (radians).
///
/// Neighbours are the atoms of a match. A grain has at least as many atoms as one matched neighbourhood with its centre;
/// smaller ones are none. Returns the number of each atom's grain (0 none, 1 the largest, …) and the grains in that
/// order; of two equally large ones that with the first atom comes first.
#[must_use]
pub fn grains(
    matches: &[Match],
    structures: &[Structure],
    misorientation: f64,
) -> (Vec<u32>, Vec<Grain>) {
    let limit = (0.5 * misorientation).cos();
    let mut parent: Vec<u32> = (0..matches.len() as u32).collect();
    for (atom, own) in matches.iter().enumerate() {
        let structure = structures[atom];
        let Some(template) = structure.template() else {
            continue;
        };
        for &other in own.neighbors() {
            let there = &matches[other as usize];
            let (a, b) = (root(&mut parent, atom as u32), root(&mut parent, other));
            if a != b
                && structures[other as usize] == structure
                && cos_half_misorientation(own.orientation, there.orientation, &template.symmetry)
                    > limit
            {
                // The smaller index leads: the result does not depend on who joins whom.
                parent[a.max(b) as usize] = a.min(b);
            }
        }
    }
    number(matches, structures, &mut parent)
}

fn root(parent: &mut [u32], mut atom: u32) -> u32 {
    while parent[atom as usize] != atom {
        let above = parent[parent[atom as usize] as usize];
        parent[atom as usize] = above;
        atom = above;
    }
    atom
}

/// Numbers the joined sets by size.
fn number(
    matches: &[Match],
    structures: &[Structure],
    parent: &mut [u32],
) -> (Vec<u32>, Vec<Grain>) {
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); matches.len()];
    for atom in 0..matches.len() as u32 {
        members[root(parent, atom) as usize].push(atom);
    }
    let mut sets: Vec<(Structure, Vec<u32>)> = members
        .into_iter()
        .enumerate()
        .map(|(first, set)| (structures[first], set))
        .filter(|(structure, set)| {
            *structure != Structure::Other && set.len() > structure.neighbors()
        })
        .collect();
    // Stable: equal sizes stay in the order of their first atoms.
    sets.sort_by_key(|(_, set)| std::cmp::Reverse(set.len()));
    let mut numbers = vec![0; matches.len()];
    let mut found = Vec::new();
    for (structure, set) in sets {
        let Some(template) = structure.template() else {
            continue;
        };
        found.push(Grain {
            structure,
            atoms: set.len(),
            orientation: mean(
                set.iter().map(|&a| matches[a as usize].orientation),
                &template.symmetry,
            ),
            lattice: set
                .iter()
                .map(|&a| matches[a as usize].lattice())
                .sum::<f64>()
                / set.len() as f64,
        });
        for atom in set {
            numbers[atom as usize] = found.len() as u32;
        }
    }
    (numbers, found)
}
