//! Polyhedral template matching: which crystal an atom and its nearest neighbours look like, how much, and how it lies.
//!
//! P. M. Larsen, S. Schmidt, J. Schiøtz, Modelling Simul. Mater. Sci. Eng. 24, 055007 (2016). Of the 18 nearest atoms the
//! 6, 12 or 14 whose Voronoi faces cover most of the sphere around the atom are its neighbours. The graph of their convex
//! hull says which of them can stand for which point of a template (`graphs`); of these correspondences the one
//! with the smallest root mean square deviation is taken,
//!
//! `RMSD = min_{s,R} √(Σ_k |s(x_k − x̄) − R t_k|² / (n + 1)) = √((G_t − λ²/G_x)/(n + 1))`,
//!
//! over atom and n neighbours, with the template `t` (mean neighbour distance 1, so the RMSD has no unit), its sum of
//! squares `G_t`, that of the atoms about their barycentre `G_x`, and λ the largest eigenvalue of Horn's matrix; `1/s` is the
//! neighbour distance in Å. R takes the crystal's axes into the sample: `sample_from_crystal`.
//! About 15 µs of one core an atom. Nothing depends on the threshold but the names, so a slider costs no matching.

mod grains;
mod graphs;
mod rotation;
mod templates;
mod twins;

pub use grains::{Grain, grains};
pub use rotation::{Quaternion, misorientation, rotate};
pub use templates::{Structure, Template};
pub use twins::{Twin, TwinAngle, twin_angles, twins};

use crate::model::Atoms;
use crate::monitor::{Monitor, Stopped};
use crate::numeric::hull::{self, Hull, solid_angles};
use crate::numeric::neighbors::CellList;
use graphs::{correspondences, first_walk, triangles};
use rayon::prelude::*;
use rotation::{largest_overlap, superpose};
use templates::{MOST, correlate};

/// Nearest atoms that are looked at for neighbours.
const NEAREST: usize = 18;

/// The best template of an atom, however bad.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// The template; [`Structure::Other`] when the hull's graph is that of none.
    pub structure: Structure,
    /// Root mean square deviation in units of the mean neighbour distance; infinite without a template.
    pub rmsd: f64,
    /// The mean neighbour distance of the template laid over the atoms, Å.
    pub distance: f64,
    /// Takes the crystal's axes into the sample; of the equivalent ones that which turns least.
    pub orientation: Quaternion,
    neighbors: [u32; MOST],
}

impl Match {
    const NONE: Self = Self {
        structure: Structure::Other,
        rmsd: f64::INFINITY,
        distance: f64::NAN,
        orientation: [f64::NAN; 4],
        neighbors: [0; MOST],
    };

    /// The structure if it deviates by no more than `limit`.
    #[must_use]
    pub fn within(&self, limit: f64) -> Structure {
        if self.rmsd <= limit {
            self.structure
        } else {
            Structure::Other
        }
    }

    /// Indices of the atoms that stand for the template's points.
    #[must_use]
    pub fn neighbors(&self) -> &[u32] {
        &self.neighbors[..self.structure.neighbors()]
    }

    /// Local lattice constant, Å: of the cube, for hcp a (c/a ideal), for ico the radius; NaN without a template.
    #[must_use]
    pub fn lattice(&self) -> f64 {
        let template = self.structure.template();
        template.map_or(f64::NAN, |t| t.lattice * self.distance)
    }
}

/// The best of the `wanted` templates for every atom. `spacing` is a typical nearest distance, Å.
///
/// # Errors
/// When the user stops it.
pub fn match_templates(
    positions: &[[f64; 3]],
    wanted: &[Structure],
    spacing: f64,
    monitor: &Monitor,
) -> Result<Vec<Match>, Stopped> {
    // Holds 18 atoms of every wanted crystal, and a margin for noise.
    let radius = (1.9 * spacing).max(1e-6);
    let list = CellList::new(positions, radius);
    let near = Near {
        positions,
        list,
        radius,
    };
    let mut found = Vec::with_capacity(positions.len());
    let indices: Vec<u32> = (0..positions.len() as u32).collect();
    for some in indices.chunks(2048) {
        monitor.check()?;
        let matches = some
            .par_iter()
            .map_init(Scratch::default, |scratch, &atom| {
                near.gather(atom as usize, scratch);
                best_match(wanted, scratch)
            });
        found.par_extend(matches);
    }
    Ok(found)
}

/// The matched templates of a model, before a threshold names the structures.
#[derive(Debug, Clone, PartialEq)]
pub struct Matches {
    /// The structures that were looked for.
    pub wanted: Vec<Structure>,
    /// One for every atom.
    pub atoms: Vec<Match>,
}

impl Matches {
    /// Matches the `wanted` structures; see [`match_templates`].
    ///
    /// # Errors
    /// When the user stops it.
    pub fn new(
        positions: &[[f64; 3]],
        wanted: Vec<Structure>,
        spacing: f64,
        monitor: &Monitor,
    ) -> Result<Self, Stopped> {
        let atoms = match_templates(positions, &wanted, spacing, monitor)?;
        Ok(Self { wanted, atoms })
    }

    /// What could not be looked for.
    pub fn notes(&self) -> Vec<String> {
        let atoms = self.atoms.len();
        let few: Vec<&str> = self
            .wanted
            .iter()
            .filter(|s| s.neighbors() >= atoms)
            .map(|s| s.name())
            .collect();
        let mut notes = Vec::new();
        if !few.is_empty() {
            notes.push(format!(
                "template matching: {atoms} atoms are too few for a neighbourhood of {}",
                few.join(", ")
            ));
        } else if self.atoms.iter().all(|m| m.structure == Structure::Other) {
            notes.push(
                "template matching: no atom has a template's neighbours around it".to_owned(),
            );
        }
        notes
    }

    /// Names the structures of RMSD up to `limit`, joins them to grains (`misorientation` in radians), finds the twin planes
    /// between these, and gives the atoms their columns.
    pub fn describe(
        &self,
        atoms: &mut Atoms,
        limit: f64,
        misorientation: f64,
    ) -> (Vec<Grain>, Vec<Twin>) {
        let structures: Vec<Structure> = self.atoms.iter().map(|m| m.within(limit)).collect();
        let (numbers, grains) = grains(&self.atoms, &structures, misorientation);
        let twins = twins(
            &atoms.positions,
            &self.atoms,
            &structures,
            &numbers,
            &grains,
        );
        let known = |value: &dyn Fn(&Match) -> f64| -> Vec<f64> {
            let named = self.atoms.iter().zip(&structures);
            named
                .map(|(m, s)| {
                    if *s == Structure::Other {
                        f64::NAN
                    } else {
                        value(m)
                    }
                })
                .collect()
        };
        let rmsd = self.atoms.iter().map(|m| m.rmsd);
        let finite = |v: f64| if v.is_finite() { v } else { f64::NAN };
        let columns = [
            (
                "ptm",
                "",
                structures.iter().map(|s| *s as u8 as f64).collect(),
            ),
            ("ptm_rmsd", "", rmsd.map(finite).collect()),
            ("lattice_A", "Å", known(&Match::lattice)),
            ("ptm_qw", "", known(&|m| m.orientation[0])),
            ("ptm_qx", "", known(&|m| m.orientation[1])),
            ("ptm_qy", "", known(&|m| m.orientation[2])),
            ("ptm_qz", "", known(&|m| m.orientation[3])),
            ("grain", "", numbers.into_iter().map(f64::from).collect()),
        ];
        for (name, unit, values) in columns {
            atoms.set_column(name, unit, values);
        }
        (grains, twins)
    }
}

/// Memory used again from atom to atom.
#[derive(Default)]
struct Scratch {
    near: Vec<(f64, u32)>,
    /// Neighbours from the atom, Å, and their indices; the nearest first, later the widest face first.
    places: Vec<[f64; 3]>,
    indices: Vec<u32>,
    hull: Hull,
}

struct Near<'a> {
    positions: &'a [[f64; 3]],
    list: CellList,
    radius: f64,
}

impl Near<'_> {
    /// The nearest atoms (fewer only when there are no more), nearest first.
    fn gather(&self, atom: usize, scratch: &mut Scratch) {
        let center = self.positions[atom];
        let most = NEAREST.min(self.positions.len() - 1);
        let mut radius = self.radius;
        loop {
            scratch.near.clear();
            let near = &mut scratch.near;
            self.list.for_each_within(center, radius, |index, d2| {
                if index != atom {
                    near.push((d2, index as u32));
                }
            });
            if near.len() >= most || !radius.is_finite() {
                break;
            }
            radius *= 1.5;
        }
        // Equal distances in the order of the atoms: nothing depends on the cells.
        let near = &mut scratch.near;
        let order = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if near.len() > most && most > 0 {
            near.select_nth_unstable_by(most - 1, order);
            near.truncate(most);
        }
        near.sort_unstable_by(order);
        // An atom at the same place has no direction.
        near.retain(|(d2, _)| *d2 > 0.0);
        scratch.indices.clear();
        scratch.indices.extend(near.iter().map(|n| n.1));
        scratch.places.clear();
        scratch.places.extend(near.iter().map(|n| {
            let p = self.positions[n.1 as usize];
            [p[0] - center[0], p[1] - center[1], p[2] - center[2]]
        }));
    }
}

fn best_match(wanted: &[Structure], scratch: &mut Scratch) -> Match {
    let mut best = Match::NONE;
    let mut overlap = [[0.0; 3]; 3];
    order_by_faces(scratch);
    let Scratch {
        places,
        indices,
        hull,
        ..
    } = scratch;
    hull.clear();
    for count in [6, 12, 14] {
        let tried = wanted.iter().any(|s| s.neighbors() == count);
        if !tried || places.len() < count {
            continue;
        }
        let places = &places[..count];
        hull.grow(places);
        if hull.corners() != (1u32 << count) - 1 {
            // A point inside the hull of few is inside that of more; but a few may still lie in one plane.
            if hull.facets().is_empty() {
                continue;
            }
            break;
        }
        if !hull.contains(places, [0.0; 3]) {
            continue;
        }
        let third = triangles(hull.facets().iter().map(|facet| facet.corners));
        let Some(walk) = first_walk(&third, count) else {
            continue;
        };
        let cloud = Cloud::new(places);
        for correspondence in correspondences(&walk) {
            let structure = correspondence.structure;
            let Some(template) = structure.template().filter(|_| wanted.contains(&structure))
            else {
                continue;
            };
            let order = &walk.order[..count];
            let (rmsd, distance, correlation) = cloud.fit(template, order, &correspondence.vertex);
            if rmsd < best.rmsd {
                let mut neighbors = [0; MOST];
                for (&place, &vertex) in order.iter().zip(&correspondence.vertex) {
                    neighbors[vertex as usize] = indices[place as usize];
                }
                overlap = correlation;
                best = Match {
                    structure,
                    rmsd,
                    distance,
                    neighbors,
                    ..Match::NONE
                };
            }
        }
    }
    // The rotation is made for the best one only.
    if let Some(template) = best.structure.template() {
        best.orientation = rotation::reduced(superpose(&overlap), &template.symmetry);
    }
    best
}

/// Sorts the neighbours: the widest Voronoi face first, equal ones by distance.
fn order_by_faces(scratch: &mut Scratch) {
    let Scratch {
        places,
        indices,
        hull,
        ..
    } = scratch;
    let reach = places
        .iter()
        .map(|p| p.iter().map(|v| v * v).sum::<f64>())
        .fold(0.0, f64::max)
        .sqrt();
    // The cell of a surface atom is open; far walls close it.
    let angles = solid_angles(places, 10.0 * reach, hull);
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&a, &b| angles[b].total_cmp(&angles[a]));
    *places = order.iter().map(|&i| places[i]).collect();
    *indices = order.iter().map(|&i| indices[i]).collect();
}

/// An atom (at the origin) and its neighbours about their barycentre.
struct Cloud {
    places: [[f64; 3]; MOST],
    /// `Σ |x − x̄|²`, the atom included.
    norm: f64,
}

impl Cloud {
    fn new(neighbors: &[[f64; 3]]) -> Self {
        let share = 1.0 / (neighbors.len() + 1) as f64;
        let center: [f64; 3] =
            std::array::from_fn(|k| share * neighbors.iter().map(|p| p[k]).sum::<f64>());
        let mut places = [[0.0; 3]; MOST];
        let mut norm = center.iter().map(|v| v * v).sum::<f64>();
        for (place, neighbor) in places.iter_mut().zip(neighbors) {
            *place = std::array::from_fn(|k| neighbor[k] - center[k]);
            norm += place.iter().map(|v| v * v).sum::<f64>();
        }
        Self { places, norm }
    }

    /// Lays the template over the neighbours; `order[k]` stands for the template's point `vertex[k]`. Returns the RMSD, the
    /// neighbour distance in Å, and the correlation that holds the rotation.
    fn fit(&self, template: &Template, order: &[u8], vertex: &[u8]) -> (f64, f64, [[f64; 3]; 3]) {
        // The template's centre is its origin: the atom itself adds nothing to the correlation.
        let mut s = [[0.0; 3]; 3];
        for (&place, &vertex) in order.iter().zip(vertex) {
            correlate(
                &mut s,
                template.points[vertex as usize],
                self.places[place as usize],
            );
        }
        let most = largest_overlap(&s, (template.norm * self.norm).sqrt());
        let left = template.norm - most * most / self.norm;
        let rmsd = (left.max(0.0) / (order.len() + 1) as f64).sqrt();
        (rmsd, self.norm / most, s)
    }
}

const _: () = assert!(NEAREST + 6 <= hull::MOST);

#[cfg(test)]
mod tests;
