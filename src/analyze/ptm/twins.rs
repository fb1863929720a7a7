//! Coherent twin planes of fcc: single layers of hcp atoms with a grain on either side.
//!
//! An hcp atom of a twin plane has three neighbours of one fcc grain above its basal plane and three of another below;
//! in a stacking fault both sides are the same grain, or one side is hcp. The plane's normal is the mean of the c axes.

use super::rotation::{Quaternion, misorientation, product, rotate};
use super::{Grain, Match, Structure};
use crate::model::geometry::{dot, subtract};
use std::collections::BTreeMap;

/// A twin plane.
#[derive(Debug, Clone, PartialEq)]
pub struct Twin {
    /// The numbers of the grains on its sides, the larger one (the smaller number) first.
    pub grains: [u32; 2],
    /// Atoms in the plane.
    pub atoms: usize,
    /// Unit normal, from the first grain to the second.
    pub normal: [f64; 3],
    /// Mean position of its atoms, Å.
    pub center: [f64; 3],
    /// Angle between the lattices of the grains, radians; 60° for an ideal twin.
    pub misorientation: f64,
    /// Angle by which the grains miss the ideal twin (60° about ⟨111⟩, Σ3), radians.
    pub off_ideal: f64,
}

/// The angle of a grain between two of its twin planes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwinAngle {
    /// The grain's number.
    pub grain: u32,
    /// The planes, by index.
    pub planes: [usize; 2],
    /// On the grain's side, radians; acos(1/3) = 70.53° between {111} planes that form an edge of a tetrahedron.
    pub angle: f64,
}

/// Fewest atoms of a plane: one and its neighbours in the layer.
const LEAST: usize = 7;

/// The twin planes between `grains`; `numbers` are those of the atoms' grains (see [`super::grains`]).
///
/// The largest first; of two equally large ones that of the smaller grain numbers.
#[must_use]
pub fn twins(
    positions: &[[f64; 3]],
    matches: &[Match],
    structures: &[Structure],
    numbers: &[u32],
    grains: &[Grain],
) -> Vec<Twin> {
    // Of every pair of grains the atoms between them: number, sum of the axes, sum of the places.
    let mut sides: BTreeMap<[u32; 2], (usize, [f64; 3], [f64; 3])> = BTreeMap::new();
    for atom in 0..matches.len() {
        if structures[atom] == Structure::Hcp
            && let Some((pair, normal)) = sides_of(atom, positions, matches, structures, numbers)
        {
            let (atoms, axes, places) = sides.entry(pair).or_default();
            *atoms += 1;
            *axes = add(*axes, normal);
            *places = add(*places, positions[atom]);
        }
    }
    let mut found: Vec<Twin> = sides
        .into_iter()
        .filter(|(_, (atoms, ..))| *atoms >= LEAST)
        .filter_map(|(pair, (atoms, axes, places))| {
            let [a, b] = pair.map(|number| grains[number as usize - 1].orientation);
            let symmetry = &Structure::Fcc.template()?.symmetry;
            Some(Twin {
                grains: pair,
                atoms,
                normal: unit(axes)?,
                center: places.map(|v| v / atoms as f64),
                misorientation: misorientation(a, b, symmetry),
                off_ideal: off_ideal(a, b, symmetry),
            })
        })
        .collect();
    found.sort_by_key(|twin| std::cmp::Reverse(twin.atoms));
    found
}

/// The two fcc grains on the sides of an hcp atom's basal plane, and the c axis from the first to the second.
fn sides_of(
    atom: usize,
    positions: &[[f64; 3]],
    matches: &[Match],
    structures: &[Structure],
    numbers: &[u32],
) -> Option<([u32; 2], [f64; 3])> {
    let axis = rotate(matches[atom].orientation, [0.0, 0.0, 1.0]);
    let mut seen: [Option<u32>; 2] = [None; 2];
    for &other in matches[atom].neighbors() {
        let other = other as usize;
        let to = subtract(positions[other], positions[atom]);
        // In the layer the height is 0, in the next 0.82 of the distance.
        let height = dot(axis, to) / matches[atom].distance;
        if height.abs() < 0.41 || structures[other] != Structure::Fcc || numbers[other] == 0 {
            continue;
        }
        let side = &mut seen[usize::from(height > 0.0)];
        if side.is_some_and(|grain| grain != numbers[other]) {
            return None;
        }
        *side = Some(numbers[other]);
    }
    let [below, above] = [seen[0]?, seen[1]?];
    match below.cmp(&above) {
        std::cmp::Ordering::Less => Some(([below, above], axis)),
        std::cmp::Ordering::Greater => Some(([above, below], axis.map(|v| -v))),
        std::cmp::Ordering::Equal => None,
    }
}

/// Smallest angle to an ideal twin of the first orientation.
fn off_ideal(a: Quaternion, b: Quaternion, symmetry: &[Quaternion]) -> f64 {
    // 60° about each of the four ⟨111⟩; the opposite ones and −60° are the same by symmetry.
    let (half, third) = (0.75f64.sqrt(), 0.5 / 3f64.sqrt());
    [
        [1.0, 1.0, 1.0],
        [1.0, -1.0, -1.0],
        [-1.0, 1.0, -1.0],
        [-1.0, -1.0, 1.0],
    ]
    .map(|[x, y, z]| {
        let twin = product(a, [half, third * x, third * y, third * z]);
        misorientation(twin, b, symmetry)
    })
    .into_iter()
    .fold(f64::INFINITY, f64::min)
}

/// The angles between the twin planes of one grain, on its side, where the planes meet at an edge; those that are parallel
/// within 10° do not.
#[must_use]
pub fn twin_angles(twins: &[Twin]) -> Vec<TwinAngle> {
    let mut found = Vec::new();
    for (i, one) in twins.iter().enumerate() {
        for (j, two) in twins.iter().enumerate().skip(i + 1) {
            for grain in one.grains.into_iter().filter(|g| two.grains.contains(g)) {
                let outward = |twin: &Twin| {
                    let sign = if twin.grains[0] == grain { 1.0 } else { -1.0 };
                    twin.normal.map(|v| sign * v)
                };
                let angle =
                    std::f64::consts::PI - dot(outward(one), outward(two)).clamp(-1.0, 1.0).acos();
                let parallel = 10f64.to_radians();
                if (parallel..std::f64::consts::PI - parallel).contains(&angle) {
                    found.push(TwinAngle {
                        grain,
                        planes: [i, j],
                        angle,
                    });
                }
            }
        }
    }
    found
}

fn add(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn unit(v: [f64; 3]) -> Option<[f64; 3]> {
    let length = dot(v, v).sqrt();
    (length > 1e-9).then(|| v.map(|x| x / length))
}
