//! Strain: how the atoms of each grain stand off its best-fit lattice (Li et al., Pd@Pt, Figure 4).
//!
//! - Lattices: [`super::lattice`]. The reference of a grain is the ideal structure turned by the grain's best rotation (the
//!   orthogonal factor of its best linear map), with one lattice constant for all grains of a structure that are alike to
//!   3 % (hcp: a and c): the given one, or the mean of the fits; then the mean dilatation over these grains is zero, and the
//!   strain one between grains and places, not an absolute.
//! - Displacement `u = x − X` of each atom from its site X.
//! - Strain `ε = ½(∇u + ∇uᵀ)`, the slope of u as a function of X fitted linearly round every atom with Gaussian weights
//!   (σ 3.89 Å (PdPt), within 3σ, sites of the same grain only). Where sites lie evenly all round, that is the derivative of
//!   the Gaussian-smoothed displacement; unlike it, it stays exact for a uniform strain at surfaces and boundaries.
//! - Unsmoothed: Green–Lagrange strain `½(FᵀF − 1)` of the map F from the sites to the atoms of the nearest neighbours.
//!
//! All components are in the axes of the model.

mod smoothing;

use super::lattice::{FITS, Grain, Ideal, Structure, grains};
use super::summary::moments;
use super::{AnalyzeParams, Analyzed, Work};
use crate::numeric::neighbors::neighbors_within;
use nalgebra::{Matrix3, Vector3};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Instant;

type Point = [f64; 3];

/// Grains whose lattice constants differ by less than this factor have one reference.
const ALIKE: f64 = 1.03;
/// Ideal c/a of hcp, in units of √(8/3).
const COVERA: f64 = 1.632_993_161_855_452;

/// The components in the order of [`Strain::tensor`].
pub const COMPONENTS: [&str; 6] = ["xx", "yy", "zz", "xy", "xz", "yz"];

/// A grain's lattice.
#[derive(Debug, Clone, PartialEq)]
pub struct Lattice {
    /// Its structure.
    pub structure: Structure,
    /// Number of its atoms.
    pub atoms: usize,
    /// Its own best-fit lattice constant a (cubic, or in the hexagonal plane), Å.
    pub a: f64,
    /// Its own best-fit c of hcp, Å.
    pub c: Option<f64>,
    /// Constant a of the lattice that its strain is counted from, Å.
    pub reference_a: f64,
    /// Constant c of that lattice, Å.
    pub reference_c: Option<f64>,
    /// From the crystal's axes to the model's.
    pub rotation: [[f64; 3]; 3],
    /// Root mean square distance of its atoms from the reference lattice, Å.
    pub misfit: f64,
}

/// The strain of a model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Strain {
    /// The lattices, largest grains of the commonest structure first.
    pub lattices: Vec<Lattice>,
    /// Lattice of each atom.
    pub lattice_of: Vec<Option<u32>>,
    /// Displacement of each atom from its site, Å; NaN without a lattice.
    pub displacement: Vec<Point>,
    /// Smoothed strain: xx, yy, zz, xy, xz, yz; NaN without a lattice.
    pub tensor: Vec<[f64; 6]>,
    /// Unsmoothed Green–Lagrange strain of the atoms with a full shell of neighbours; NaN elsewhere.
    pub local: Vec<[f64; 6]>,
    /// The grains, which depend on neither the reference nor the smoothing.
    grown: Arc<Grown>,
}

/// Grains as they grew, with the best linear map from the ideal structure to the atoms of each.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Grown {
    grains: Vec<Grain>,
    maps: Vec<Option<Matrix3<f64>>>,
}

impl Grown {
    fn new(positions: &[Point], neighbors: &[Vec<u32>], given: Option<&[f64]>) -> Self {
        let grains = grains(positions, neighbors, given);
        let maps = grains.iter().map(|g| best_map(positions, g)).collect();
        Self { grains, maps }
    }
}

/// What is known of the strain from the analysis before.
pub(super) enum Known {
    /// Nothing.
    Nothing,
    /// The grains.
    Grains(Arc<Grown>),
    /// All of it.
    All(Box<Strain>),
}

/// What the analysis before knows: the grains hang on the cutoff and the grains of template matching alone.
pub(super) fn known(work: &Work<'_>) -> Known {
    let grain = |b: &&Analyzed| work.out.atoms.column("grain") == b.atoms.column("grain");
    let before = work.same(|_| ()).filter(grain);
    let Some((strain, before)) = before.and_then(|b| Some((b.strain.as_ref()?, b))) else {
        return Known::Nothing;
    };
    let scales = |p: &AnalyzeParams| (p.strain_sigma, p.strain_lattice);
    if scales(&before.params) == scales(&work.out.params) {
        Known::All(Box::new(strain.clone()))
    } else {
        Known::Grains(Arc::clone(&strain.grown))
    }
}

/// The strain, known already or found anew, and the seconds it took; `neighbors` are nearer than the cutoff.
pub(super) fn timed(
    positions: &[Point],
    neighbors: &[Vec<u32>],
    given: Option<&[f64]>,
    params: &AnalyzeParams,
    known: Known,
) -> (Strain, f64) {
    let started = Instant::now();
    let (constant, sigma) = (params.strain_lattice, params.strain_sigma);
    let grown = match known {
        Known::All(strain) => return (*strain, started.elapsed().as_secs_f64()),
        Known::Grains(grown) => grown,
        Known::Nothing => Arc::new(Grown::new(positions, neighbors, given)),
    };
    let found = of_grains(positions, neighbors, grown, constant, sigma);
    (found, started.elapsed().as_secs_f64())
}

/// Puts the strain into the outcome of [`super::analyze`]: columns `strain_xx` … `strain_yz`, `strain_volumetric`,
/// `displacement_x` … `_z` (Å) and `lattice` (number of the lattice, NaN without).
pub(super) fn part(work: &mut Work<'_>, found: Strain, seconds: f64) {
    let atoms = &mut work.out.atoms;
    if found.lattices.is_empty() {
        let text = "strain: no grain of at least 40 atoms on an fcc, hcp or bcc lattice";
        work.out.notes.push(text.to_owned());
    } else {
        for (k, name) in COMPONENTS.iter().enumerate() {
            let values = found.tensor.iter().map(|t| t[k]).collect();
            atoms.set_column(&format!("strain_{name}"), "", values);
        }
        let volumetric = found.tensor.iter().map(|t| t[0] + t[1] + t[2]).collect();
        atoms.set_column("strain_volumetric", "", volumetric);
        for (k, axis) in ["x", "y", "z"].iter().enumerate() {
            let values = found.displacement.iter().map(|u| u[k]).collect();
            atoms.set_column(&format!("displacement_{axis}"), "Å", values);
        }
        let number = |l: &Option<u32>| l.map_or(f64::NAN, f64::from);
        atoms.set_column("lattice", "", found.lattice_of.iter().map(number).collect());
        work.out.strain = Some(found);
    }
    work.out.seconds.push(("strain".to_owned(), seconds));
}

/// Finds the lattices and the strain. `cutoff` is the neighbour cutoff, Å; `given` are grain numbers to respect
/// (below 1: none); `constant` is the lattice constant a of the reference, Å, or the best fit; `sigma` that of the Gaussian, Å.
/// No atom has a strain where no lattice is found.
#[must_use]
pub fn strain(
    positions: &[Point],
    cutoff: f64,
    given: Option<&[f64]>,
    constant: Option<f64>,
    sigma: f64,
) -> Strain {
    let neighbors = neighbors_within(positions, cutoff);
    let grown = Arc::new(Grown::new(positions, &neighbors, given));
    of_grains(positions, &neighbors, grown, constant, sigma)
}

/// As [`strain`], of grains that have grown already.
fn of_grains(
    positions: &[Point],
    neighbors: &[Vec<u32>],
    grown: Arc<Grown>,
    constant: Option<f64>,
    sigma: f64,
) -> Strain {
    let n = positions.len();
    let mut found = Strain {
        lattice_of: vec![None; n],
        displacement: vec![[f64::NAN; 3]; n],
        tensor: vec![[f64::NAN; 6]; n],
        local: vec![[f64::NAN; 6]; n],
        ..Strain::default()
    };
    let mut fitted: Vec<Fitted<'_>> = grown
        .grains
        .iter()
        .zip(&grown.maps)
        .filter_map(|(grain, map)| {
            let map = (*map)?;
            let rotation = orthogonal_factor(&map)?;
            let own = stretched(grain.structure, &(rotation.transpose() * map));
            Some(Fitted {
                grain,
                rotation,
                own,
                reference: own,
            })
        })
        .collect();
    share_references(&mut fitted);
    for mut one in fitted {
        if let Some(a) = constant {
            // A given a keeps the measured c/a.
            let scale = a * one.grain.structure.nearest() / one.reference[0];
            one.reference = one.reference.map(|r| r * scale);
        }
        place(&mut found, positions, neighbors, &one, sigma);
    }
    found.grown = grown;
    found
}

/// A grain, its rotation and its stretches in the plane and along the axis, Å per ideal nearest distance.
struct Fitted<'a> {
    grain: &'a Grain,
    rotation: Matrix3<f64>,
    own: [f64; 2],
    reference: [f64; 2],
}

/// Gives each grain the mean stretches of the grains of its structure that are alike: those whose constants lie within
/// [`ALIKE`] of the smallest of the group. A metal and its oxide, both fcc, are no strained versions of each other.
fn share_references(fitted: &mut [Fitted<'_>]) {
    let mut order: Vec<usize> = (0..fitted.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&fitted[a], &fitted[b]);
        let kinds = a.grain.structure.cmp(&b.grain.structure);
        kinds.then(a.own[0].total_cmp(&b.own[0]))
    });
    let mut rest = &order[..];
    while let Some(&first) = rest.first() {
        let alike = |k: usize| {
            fitted[k].grain.structure == fitted[first].grain.structure
                && fitted[k].own[0] <= ALIKE * fitted[first].own[0]
        };
        let members = rest.iter().take_while(|&&k| alike(k)).count().max(1);
        let (group, after) = rest.split_at(members);
        let mass = |k: usize| fitted[k].grain.atoms.len() as f64;
        let total: f64 = group.iter().map(|&k| mass(k)).sum();
        let mean = [0, 1].map(|c| {
            let sum: f64 = group.iter().map(|&k| mass(k) * fitted[k].own[c]).sum();
            sum / total
        });
        group.iter().for_each(|&k| fitted[k].reference = mean);
        rest = after;
    }
}

/// Mean stretch in the plane and along the axis of hcp; in cubic structures both are the mean over all directions.
fn stretched(structure: Structure, stretch: &Matrix3<f64>) -> [f64; 2] {
    if structure == Structure::Hcp {
        [0.5 * (stretch[(0, 0)] + stretch[(1, 1)]), stretch[(2, 2)]]
    } else {
        [stretch.trace() / 3.0; 2]
    }
}

/// Displacements, strains and the record of one grain.
fn place(
    found: &mut Strain,
    positions: &[Point],
    neighbors: &[Vec<u32>],
    fitted: &Fitted<'_>,
    sigma: f64,
) {
    let Fitted {
        grain,
        rotation,
        own,
        reference,
    } = *fitted;
    let structure = grain.structure;
    let ideal = Ideal::new(structure);
    let [plane, axis] = reference;
    let lattice = rotation * Matrix3::from_diagonal(&Vector3::new(plane, plane, axis));
    let mut sites: Vec<Vector3<f64>> = grain
        .sites
        .iter()
        .map(|s| lattice * ideal.place(*s))
        .collect();
    let n = sites.len() as f64;
    let at = |i: usize| Vector3::from(positions[grain.atoms[i] as usize]);
    let origin = (0..sites.len())
        .map(|i| at(i) - sites[i])
        .sum::<Vector3<f64>>()
        / n;
    sites.iter_mut().for_each(|s| *s += origin);
    let moved: Vec<Vector3<f64>> = (0..sites.len()).map(|i| at(i) - sites[i]).collect();
    let number = found.lattices.len() as u32;
    for (i, &atom) in grain.atoms.iter().enumerate() {
        found.lattice_of[atom as usize] = Some(number);
        found.displacement[atom as usize] = moved[i].into();
    }
    let slopes = smoothing::smoothed_strain(&ideal, &grain.sites, &lattice, &moved, sigma);
    // The neighbours of sites in even and in odd layers.
    let ideals = [[0; 3], [0, 0, 1]].map(|site| -> Vec<Vector3<f64>> {
        let around = ideal.around(site).iter();
        around.map(|(_, v)| lattice * v).collect()
    });
    let local: Vec<[f64; 6]> = (grain.atoms.par_iter().zip(&grain.sites))
        .map(|(&atom, site)| {
            let ideals = &ideals[site[2].rem_euclid(2) as usize];
            let around = &neighbors[atom as usize];
            local_strain(positions, atom, around, ideals, FITS * plane).unwrap_or([f64::NAN; 6])
        })
        .collect();
    for ((&atom, tensor), local) in grain.atoms.iter().zip(slopes).zip(local) {
        found.tensor[atom as usize] = tensor;
        found.local[atom as usize] = local;
    }
    let constants = |s: [f64; 2]| (s[0] / structure.nearest(), s[1] * COVERA);
    let hexagonal = structure == Structure::Hcp;
    found.lattices.push(Lattice {
        structure,
        atoms: sites.len(),
        a: constants(own).0,
        c: hexagonal.then(|| constants(own).1),
        reference_a: constants(reference).0,
        reference_c: hexagonal.then(|| constants(reference).1),
        rotation: std::array::from_fn(|r| std::array::from_fn(|c| rotation[(r, c)])),
        misfit: (moved.iter().map(|u| u.norm_squared()).sum::<f64>() / n).sqrt(),
    });
}

/// The linear map that takes a grain's sites to its atoms best, up to a shift.
fn best_map(positions: &[Point], grain: &Grain) -> Option<Matrix3<f64>> {
    let n = grain.atoms.len() as f64;
    let at = |i: usize| Vector3::from(positions[grain.atoms[i] as usize]);
    let ideal = Ideal::new(grain.structure);
    let site = |i: usize| ideal.place(grain.sites[i]);
    let all = 0..grain.atoms.len();
    let middle = all.clone().map(at).sum::<Vector3<f64>>() / n;
    let center = all.clone().map(site).sum::<Vector3<f64>>() / n;
    let (mut left, mut right) = (Matrix3::zeros(), Matrix3::zeros());
    for i in all {
        let (x, s) = (at(i) - middle, site(i) - center);
        left += x * s.transpose();
        right += s * s.transpose();
    }
    // A grain one plane thick has no map.
    let flat = right.symmetric_eigenvalues().min() < 1e-3 * n;
    Some(left * right.try_inverse().filter(|_| !flat)?)
}

/// The rotation R of `M = R U` with U symmetric and positive.
fn orthogonal_factor(map: &Matrix3<f64>) -> Option<Matrix3<f64>> {
    let svd = map.svd(true, true);
    let rotation = svd.u? * svd.v_t?;
    (rotation.determinant() > 0.0).then_some(rotation)
}

fn components(strain: &Matrix3<f64>) -> [f64; 6] {
    let even = |a: usize, b: usize| 0.5 * (strain[(a, b)] + strain[(b, a)]);
    [
        even(0, 0),
        even(1, 1),
        even(2, 2),
        even(0, 1),
        even(0, 2),
        even(1, 2),
    ]
}

/// Green–Lagrange strain of the linear map from the ideal neighbours to an atom's own, whichever grain they are in; `None`
/// unless every ideal neighbour has an atom of its own within `reach`.
fn local_strain(
    positions: &[Point],
    atom: u32,
    around: &[u32],
    ideals: &[Vector3<f64>],
    reach: f64,
) -> Option<[f64; 6]> {
    let own = Vector3::from(positions[atom as usize]);
    let mut taken = Vec::with_capacity(ideals.len());
    let n = (ideals.len() + 1) as f64;
    let (mut sum, mut ux, mut xx) = (Vector3::zeros(), Matrix3::zeros(), Matrix3::zeros());
    for ideal in ideals {
        let (near, to, off) = around
            .iter()
            .map(|&j| (j, Vector3::from(positions[j as usize]) - own))
            .map(|(j, v)| (j, v, (v - ideal).norm_squared()))
            .min_by(|a, b| a.2.total_cmp(&b.2))?;
        if off > reach * reach || taken.contains(&near) {
            return None;
        }
        taken.push(near);
        sum += to;
        ux += to * ideal.transpose();
        xx += ideal * ideal.transpose();
    }
    // The atom itself counts, and the ideal neighbours need not lie evenly round it (they do in all but hcp).
    let center = ideals.iter().sum::<Vector3<f64>>() / n;
    ux -= sum * center.transpose();
    xx -= center * center.transpose() * n;
    let map = ux * xx.try_inverse()?;
    Some(components(
        &((map.transpose() * map - Matrix3::identity()) * 0.5),
    ))
}

impl Strain {
    /// Mean, standard deviation and number of each component and of the trace over chosen atoms.
    fn statistics(&self, chosen: impl Fn(usize) -> bool) -> Value {
        let indices: Vec<usize> = (0..self.tensor.len()).filter(|&i| chosen(i)).collect();
        let mut map: Map<String, Value> = COMPONENTS
            .iter()
            .enumerate()
            .map(|(k, name)| {
                (
                    (*name).to_owned(),
                    moments(indices.iter().map(|&i| self.tensor[i][k])),
                )
            })
            .collect();
        let trace = |t: &[f64; 6]| t[0] + t[1] + t[2];
        map.insert(
            "volumetric".into(),
            moments(indices.iter().map(|&i| trace(&self.tensor[i]))),
        );
        Value::Object(map)
    }

    /// [`Self::local`] in the axes of each atom's crystal (the cubic ones, in an order that differs between grains).
    #[must_use]
    pub fn local_in_crystal(&self) -> Vec<[f64; 6]> {
        self.local
            .iter()
            .zip(&self.lattice_of)
            .map(|(t, lattice)| {
                let Some(lattice) = lattice else {
                    return [f64::NAN; 6];
                };
                let rotation = self.lattices[*lattice as usize].rotation;
                let turn = Matrix3::from_fn(|r, c| rotation[r][c]);
                let tensor = Matrix3::new(t[0], t[3], t[4], t[3], t[1], t[5], t[4], t[5], t[2]);
                components(&(turn.transpose() * tensor * turn))
            })
            .collect()
    }

    /// The JSON of `strain`: statistics of all atoms, by phase, by place in a core-shell particle, and by lattice.
    pub(super) fn json(&self, out: &Analyzed) -> Value {
        let mut json = Map::new();
        json.insert("sigma_A".into(), json!(out.params.strain_sigma));
        json.insert(
            "reference_given".into(),
            json!(out.params.strain_lattice.is_some()),
        );
        let on_lattice = self.lattice_of.iter().flatten().count();
        json.insert("atoms_on_lattices".into(), json!(on_lattice));
        json.insert("all".into(), self.statistics(|_| true));
        if let Some(phase) = out.atoms.column("phase") {
            let by = super::summary::phases(phase)
                .into_iter()
                .map(|(name, value)| (name, self.statistics(|i| phase[i] == value)))
                .collect::<Map<_, _>>();
            json.insert("by_phase".into(), Value::Object(by));
        }
        let thickness = out
            .core_shell
            .as_ref()
            .and_then(|c| Some((c, c.profiles.first()?.thickness?)));
        if let Some((found, thickness)) = thickness.filter(|(c, _)| !c.depth.is_empty()) {
            let half = 0.5 * thickness;
            let depth = &found.depth;
            json.insert(
                "by_depth".into(),
                json!({
                    "core": self.statistics(|i| depth[i] < -half),
                    "interface": self.statistics(|i| depth[i].abs() <= half),
                    "shell": self.statistics(|i| depth[i] > half),
                }),
            );
        }
        let lattices: Vec<Value> = self
            .lattices
            .iter()
            .enumerate()
            .map(|(k, l)| {
                json!({
                    "structure": l.structure.name(), "n": l.atoms, "a_A": l.a, "c_A": l.c,
                    "reference_a_A": l.reference_a, "reference_c_A": l.reference_c,
                    "rms_displacement_A": l.misfit, "rotation": l.rotation,
                    "strain": self.statistics(|i| self.lattice_of[i] == Some(k as u32)),
                })
            })
            .collect();
        json.insert("lattices".into(), json!(lattices));
        let local = |tensors: &[[f64; 6]]| -> Map<String, Value> {
            let column = |k: usize| moments(tensors.iter().map(|t| t[k]));
            COMPONENTS
                .iter()
                .enumerate()
                .map(|(k, name)| ((*name).to_owned(), column(k)))
                .collect()
        };
        json.insert(
            "unsmoothed_green_lagrange".into(),
            json!({ "model_axes": local(&self.local), "crystal_axes": local(&self.local_in_crystal()) }),
        );
        Value::Object(json)
    }
}

#[cfg(test)]
mod tests;
