//! The ideal neighbourhoods: points, rotations, lattice constants.

use super::rotation::{Quaternion, product, rotate, superpose};
use crate::model::geometry::{cross, dot};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Most neighbours of a template.
pub const MOST: usize = 14;

/// A local structure; the numbers are those of the `ptm` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Structure {
    /// Not one of the others.
    #[value(skip)]
    Other = 0,
    /// Face-centred cubic: 12 neighbours.
    Fcc = 1,
    /// Hexagonal close-packed: 12 neighbours.
    Hcp = 2,
    /// Body-centred cubic: 8 and 6 neighbours.
    Bcc = 3,
    /// Icosahedron: 12 neighbours.
    Ico = 4,
    /// Simple cubic: 6 neighbours.
    Sc = 5,
}

impl Structure {
    /// Those with a template.
    pub const ALL: [Self; 5] = [Self::Fcc, Self::Hcp, Self::Bcc, Self::Ico, Self::Sc];

    /// Lower case, as in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Fcc => "fcc",
            Self::Hcp => "hcp",
            Self::Bcc => "bcc",
            Self::Ico => "ico",
            Self::Sc => "sc",
        }
    }

    /// Neighbours of the template; 0 without one.
    #[must_use]
    pub fn neighbors(self) -> usize {
        match self {
            Self::Other => 0,
            Self::Fcc | Self::Hcp | Self::Ico => 12,
            Self::Bcc => 14,
            Self::Sc => 6,
        }
    }

    /// The template; `None` for [`Structure::Other`].
    #[must_use]
    pub fn template(self) -> Option<&'static Template> {
        TEMPLATES.get((self as usize).wrapping_sub(1))
    }
}

/// An ideal neighbourhood around the origin.
#[derive(Debug)]
pub struct Template {
    /// The neighbours; their mean distance is 1. Cubic ones along ⟨100⟩, hcp with a along x and c along z, ico with
    /// two-fold axes along x, y, z.
    pub points: Vec<[f64; 3]>,
    /// `Σ |t|²`.
    pub norm: f64,
    /// Lattice constant in units of the mean neighbour distance: the cube's edge; for hcp a (c/a is ideal); for ico the
    /// distance from the centre to a corner.
    pub lattice: f64,
    /// Rotations of the crystal (for ico of the cluster). For hcp those of the lattice (622), which also exchange the
    /// two kinds of atoms.
    pub symmetry: Vec<Quaternion>,
    /// Rotations of the neighbourhood alone.
    pub(super) turns: Vec<Turn>,
}

/// Those of [`Structure::ALL`].
static TEMPLATES: LazyLock<Vec<Template>> =
    LazyLock::new(|| Structure::ALL.into_iter().map(Template::new).collect());

impl Template {
    fn new(structure: Structure) -> Self {
        let points = ideal(structure);
        let turns = turns(&points);
        let mut symmetry: Vec<Quaternion> = turns.iter().map(|turn| turn.rotation).collect();
        if structure == Structure::Hcp {
            // The two atoms of a cell differ by half a turn about c.
            let other = symmetry.clone();
            symmetry.extend(other.iter().map(|&q| product(q, [0.0, 0.0, 0.0, 1.0])));
        }
        Self {
            norm: points.iter().map(|&p| dot(p, p)).sum(),
            lattice: lattice(structure),
            points,
            symmetry,
            turns,
        }
    }
}

/// A rotation of a neighbourhood, and the point to which it takes each point.
#[derive(Debug)]
pub(super) struct Turn {
    rotation: Quaternion,
    pub(super) images: Vec<u8>,
}

/// All proper rotations that take a set of points to itself.
fn turns(points: &[[f64; 3]]) -> Vec<Turn> {
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    let square = |a: [f64; 3]| dot(a, a);
    let p = points[0];
    let q = *points[1..]
        .iter()
        .find(|&&q| square(cross(p, q)) > 1e-6)
        .expect("a template spans space");
    let mut found = Vec::new();
    for &a in points.iter().filter(|&&a| near(square(a), square(p))) {
        for &b in points {
            if !near(square(b), square(q)) || !near(dot(a, b), dot(p, q)) {
                continue;
            }
            // Two vectors and their product fix the rotation.
            let mut s = [[0.0; 3]; 3];
            for (left, right) in [(p, a), (q, b), (cross(p, q), cross(a, b))] {
                correlate(&mut s, left, right);
            }
            let rotation = superpose(&s);
            let images: Option<Vec<u8>> = points
                .iter()
                .map(|&point| {
                    let image = rotate(rotation, point);
                    let to = |&o: &[f64; 3]| (0..3).all(|k| near(o[k], image[k]));
                    points.iter().position(to).map(|index| index as u8)
                })
                .collect();
            if let Some(images) = images {
                found.push(Turn { rotation, images });
            }
        }
    }
    found
}

/// Adds `left ⊗ right`.
pub fn correlate(s: &mut [[f64; 3]; 3], left: [f64; 3], right: [f64; 3]) {
    for (row, l) in s.iter_mut().zip(left) {
        for (v, r) in row.iter_mut().zip(right) {
            *v += l * r;
        }
    }
}

/// The neighbours of a structure, mean distance 1.
fn ideal(structure: Structure) -> Vec<[f64; 3]> {
    let golden = (1.0 + 5f64.sqrt()) / 2.0;
    let signs = [1.0, -1.0];
    let cyclic = |v: [f64; 3]| [v, [v[2], v[0], v[1]], [v[1], v[2], v[0]]];
    let mut points: Vec<[f64; 3]> = Vec::new();
    match structure {
        Structure::Other => {}
        Structure::Fcc | Structure::Ico => {
            let long = if structure == Structure::Fcc {
                1.0
            } else {
                golden
            };
            for a in signs {
                for b in signs {
                    points.extend(cyclic([0.0, a, long * b]));
                }
            }
        }
        Structure::Hcp => {
            for k in 0..6 {
                let angle = f64::from(k) * std::f64::consts::FRAC_PI_3;
                points.push([angle.cos(), angle.sin(), 0.0]);
            }
            for k in 0..3 {
                let angle = (0.5 + 2.0 * f64::from(k)) * std::f64::consts::FRAC_PI_3;
                let flat = 1.0 / 3f64.sqrt();
                let (x, y) = (flat * angle.cos(), flat * angle.sin());
                points.extend(signs.map(|sign| [x, y, sign * (2.0f64 / 3.0).sqrt()]));
            }
        }
        Structure::Bcc => {
            for a in signs {
                points.extend(cyclic([a, 0.0, 0.0]));
                for b in signs {
                    points.extend(signs.map(|c| [0.5 * a, 0.5 * b, 0.5 * c]));
                }
            }
        }
        Structure::Sc => {
            for a in signs {
                points.extend(cyclic([a, 0.0, 0.0]));
            }
        }
    }
    let mean = points.iter().map(|&p| dot(p, p).sqrt()).sum::<f64>() / points.len().max(1) as f64;
    points.iter().map(|p| p.map(|v| v / mean)).collect()
}

/// Lattice constant over the mean neighbour distance.
fn lattice(structure: Structure) -> f64 {
    match structure {
        Structure::Fcc => 2f64.sqrt(),
        // Eight neighbours at √3/2 and six at 1 cube edge.
        Structure::Bcc => 14.0 / (4.0 * 3f64.sqrt() + 6.0),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_have_the_symmetry_of_their_crystals() {
        let orders: Vec<usize> = Structure::ALL
            .iter()
            .map(|s| s.template().expect("a template").symmetry.len())
            .collect();
        assert_eq!(orders, [24, 12, 24, 60, 24]);
        for structure in Structure::ALL {
            let template = structure.template().expect("a template");
            assert_eq!(template.points.len(), structure.neighbors());
            let sum = template
                .points
                .iter()
                .fold([0.0; 3], |s, p| [s[0] + p[0], s[1] + p[1], s[2] + p[2]]);
            assert!(dot(sum, sum) < 1e-20, "the barycentre is the centre");
        }
        assert!(Structure::Other.template().is_none());
    }
}
