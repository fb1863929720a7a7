//! A traced model against the truth: which atoms were found, which are false, and how far off the rest are.
//!
//! 1. The models may differ by a shift. It is first found by a vote: differences of all near pairs are counted in
//!    0.25 Å bins, and the fullest place wins. Unlike the difference of the two means this does not care about
//!    missing or false atoms.
//! 2. Pairs nearer than the cutoff are matched one to one, the nearest first.
//! 3. The mean difference of the matched pairs is removed and the matching repeated until nothing changes.
//!
//! RMSD is the square root of the sum of the three variances of the differences. Cost O(n log n).

use super::grid::Grid;
use crate::model::Atoms;
use crate::model::units::PM_PER_ANGSTROM;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::HashMap;

/// Widest shift (Å per axis, after both models are centered) the vote can find: beyond it lattice vectors compete.
const VOTE_REACH: f64 = 2.5;
/// Bin width of the vote, Å: a few times the usual error of a traced atom.
const VOTE_BIN: f64 = 0.25;
/// Rounds of matching and centering; five are usual.
const MAX_ROUNDS: usize = 100;

/// Parameters of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct CompareParams {
    /// Largest distance of a traced atom from its true one, Å
    #[arg(long, default_value_t = Self::default().cutoff)]
    pub cutoff: f64,
    /// Exchange x and y of the truth first (some published truths are stored that way)
    #[arg(long)]
    pub swap_xy: bool,
    /// Compare positions as they stand, without fitting a common shift
    #[arg(long)]
    pub no_shift: bool,
}

impl Default for CompareParams {
    fn default() -> Self {
        Self {
            cutoff: 1.0,
            swap_xy: false,
            no_shift: false,
        }
    }
}

/// A matched pair.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Index of the traced atom.
    pub traced: usize,
    /// Index of the true atom.
    pub truth: usize,
    /// Traced minus true position after the shift is removed, Å.
    pub difference: [f64; 3],
}

/// The outcome of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Matched over true atoms.
    pub recall: f64,
    /// Matched over traced atoms.
    pub precision: f64,
    /// Root mean square distance of the matched pairs, pm; NaN without pairs.
    pub rmsd_pm: f64,
    /// Root mean square difference along x, y and z, pm.
    pub rmsd_per_axis_pm: [f64; 3],
    /// The same along the missing wedge (z, the beam at zero tilt), pm.
    pub rmsd_in_wedge_pm: f64,
    /// The same across it: root mean square of x and y, per axis, pm.
    pub rmsd_out_of_wedge_pm: f64,
    /// Matched pairs, by truth index.
    pub pairs: Vec<Pair>,
    /// Indices of true atoms nobody found.
    pub missed: Vec<usize>,
    /// Indices of traced atoms that are none.
    pub false_atoms: Vec<usize>,
    /// Traced minus truth: the common shift that was removed, Å.
    pub shift: [f64; 3],
    /// Share of matched pairs whose species have the same name; `None` when the truth has one species only. Where no
    /// name of the traced model occurs in the truth (species told apart but not named), each stands for the one it
    /// meets most often.
    pub species_accuracy: Option<f64>,
}

impl Compared {
    /// Number of matched pairs.
    #[must_use]
    pub fn matched(&self) -> usize {
        self.pairs.len()
    }

    /// The JSON promised to scripts: `recall, precision, rmsd_pm, matched, missed, false, shift_A`, and more.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "recall": self.recall,
            "precision": self.precision,
            "rmsd_pm": self.rmsd_pm,
            "matched": self.matched(),
            "missed": self.missed.len(),
            "false": self.false_atoms.len(),
            "shift_A": self.shift,
            "rmsd_per_axis_pm": self.rmsd_per_axis_pm,
            "rmsd_in_wedge_pm": self.rmsd_in_wedge_pm,
            "rmsd_out_of_wedge_pm": self.rmsd_out_of_wedge_pm,
            "species_accuracy": self.species_accuracy,
        })
    }
}

/// Why two models cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A model cannot be used.
    #[error("{subject}: expected {expected}, found {found}")]
    BadInput {
        /// Which model.
        subject: &'static str,
        /// What is needed.
        expected: &'static str,
        /// What there is.
        found: String,
    },
    /// A parameter out of its range.
    #[error("{name} is {found}, expected {expected}")]
    BadParameter {
        /// Field name.
        name: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was given.
        found: f64,
    },
}

/// Compares `traced` with `truth`.
///
/// # Errors
/// A model without atoms or with positions that are no numbers; a cutoff outside 0 to 10 Å.
pub fn compare(
    traced: &Atoms,
    truth: &Atoms,
    params: &CompareParams,
) -> Result<Compared, CompareError> {
    if !(params.cutoff > 0.0 && params.cutoff <= 10.0) {
        return Err(CompareError::BadParameter {
            name: "cutoff",
            expected: "above 0, at most 10 Å",
            found: params.cutoff,
        });
    }
    for (subject, atoms) in [("traced model", traced), ("true model", truth)] {
        let odd = atoms
            .positions
            .iter()
            .position(|p| p.iter().any(|x| !x.is_finite()));
        if let Some(index) = odd {
            let found = format!("{:?} at atom {index}", atoms.positions[index]);
            return Err(CompareError::BadInput {
                subject,
                expected: "finite positions",
                found,
            });
        }
    }
    if truth.is_empty() {
        let found = "none".to_owned();
        return Err(CompareError::BadInput {
            subject: "true model",
            expected: "atoms",
            found,
        });
    }
    let true_positions: Vec<[f64; 3]> = truth
        .positions
        .iter()
        .map(|&[x, y, z]| if params.swap_xy { [y, x, z] } else { [x, y, z] })
        .collect();
    let (pairs, shift) = if params.no_shift || traced.is_empty() {
        (
            match_pairs(&traced.positions, &true_positions, [0.0; 3], params.cutoff),
            [0.0; 3],
        )
    } else {
        fit(&traced.positions, &true_positions, params.cutoff)
    };
    Ok(summarize(traced, truth, pairs, shift))
}

/// Matching and centering in turn until the pairs stay the same.
fn fit(traced: &[[f64; 3]], truth: &[[f64; 3]], cutoff: f64) -> (Vec<Pair>, [f64; 3]) {
    let mut shift = voted_shift(traced, truth);
    let mut pairs = match_pairs(traced, truth, shift, cutoff);
    for _ in 0..MAX_ROUNDS {
        let mean = mean_difference(&pairs);
        shift = std::array::from_fn(|axis| shift[axis] + mean[axis]);
        let next = match_pairs(traced, truth, shift, cutoff);
        let settled = mean.iter().all(|m| m.abs() < 1e-9);
        pairs = next;
        if settled {
            break;
        }
    }
    (pairs, shift)
}

fn mean_difference(pairs: &[Pair]) -> [f64; 3] {
    let n = pairs.len().max(1) as f64;
    std::array::from_fn(|axis| pairs.iter().map(|p| p.difference[axis]).sum::<f64>() / n)
}

fn mean_position(points: &[[f64; 3]]) -> [f64; 3] {
    let n = points.len().max(1) as f64;
    std::array::from_fn(|axis| points.iter().map(|p| p[axis]).sum::<f64>() / n)
}

/// The shift most pairs agree on, searched around zero and around the difference of the means.
fn voted_shift(traced: &[[f64; 3]], truth: &[[f64; 3]]) -> [f64; 3] {
    let (from, to) = (mean_position(truth), mean_position(traced));
    let means = std::array::from_fn(|axis| to[axis] - from[axis]);
    let (zero_votes, zero) = vote(traced, truth, [0.0; 3]);
    let (mean_votes, mean) = vote(traced, truth, means);
    if mean_votes > zero_votes { mean } else { zero }
}

/// Votes and place of the fullest 3 × 3 × 3 block of bins of `traced − truth` about `start`.
fn vote(traced: &[[f64; 3]], truth: &[[f64; 3]], start: [f64; 3]) -> (u32, [f64; 3]) {
    let reach = VOTE_REACH * 3f64.sqrt();
    let grid = Grid::of(truth, reach);
    let mut bins: HashMap<[i32; 3], u32> = HashMap::new();
    for position in traced {
        let expected = std::array::from_fn(|axis| position[axis] - start[axis]);
        grid.each_within(expected, reach, |index, _| {
            let other = grid.point(index);
            let difference: [f64; 3] = std::array::from_fn(|axis| expected[axis] - other[axis]);
            if difference.iter().all(|d| d.abs() <= VOTE_REACH) {
                *bins
                    .entry(difference.map(|d| (d / VOTE_BIN).round() as i32))
                    .or_default() += 1;
            }
        });
    }
    let mut best = (0u32, i32::MAX, [0i32; 3]);
    for &bin in bins.keys() {
        let mut votes = 0;
        for dx in -1..=1 {
            for dy in -1..=1 {
                for dz in -1..=1 {
                    votes += bins
                        .get(&[bin[0] + dx, bin[1] + dy, bin[2] + dz])
                        .copied()
                        .unwrap_or(0);
                }
            }
        }
        let far = bin.iter().map(|b| b * b).sum();
        // Equal votes: the nearer place, then the smaller index, so that the hash order never shows.
        if votes > best.0 || (votes == best.0 && (far, bin) < (best.1, best.2)) {
            best = (votes, far, bin);
        }
    }
    (
        best.0,
        std::array::from_fn(|axis| start[axis] + f64::from(best.2[axis]) * VOTE_BIN),
    )
}

/// One-to-one pairs within the cutoff, the nearest first; sorted by truth index.
fn match_pairs(traced: &[[f64; 3]], truth: &[[f64; 3]], shift: [f64; 3], cutoff: f64) -> Vec<Pair> {
    let grid = Grid::of(truth, cutoff);
    let mut candidates: Vec<(f64, usize, usize)> = Vec::new();
    for (i, position) in traced.iter().enumerate() {
        let place = std::array::from_fn(|axis| position[axis] - shift[axis]);
        grid.each_within(place, cutoff, |j, d2| candidates.push((d2, j, i)));
    }
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut traced_free = vec![true; traced.len()];
    let mut truth_free = vec![true; truth.len()];
    let mut pairs = Vec::new();
    for (_, j, i) in candidates {
        if traced_free[i] && truth_free[j] {
            traced_free[i] = false;
            truth_free[j] = false;
            let difference =
                std::array::from_fn(|axis| traced[i][axis] - shift[axis] - truth[j][axis]);
            pairs.push(Pair {
                traced: i,
                truth: j,
                difference,
            });
        }
    }
    pairs.sort_by_key(|pair| pair.truth);
    pairs
}

/// Pairs of one species.
fn same_species(traced: &Atoms, truth: &Atoms, pairs: &[Pair]) -> usize {
    let mut together: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for pair in pairs {
        let names = (
            traced.species_name(pair.traced),
            truth.species_name(pair.truth),
        );
        *together.entry(names).or_insert(0) += 1;
    }
    let named = |name: &str| truth.species_names.iter().any(|known| known == name);
    if traced.species_counts().keys().any(|name| named(name)) {
        return together
            .iter()
            .filter(|((a, b), _)| a == b)
            .map(|(_, n)| n)
            .sum();
    }
    let mut same = 0;
    // The commonest pair first; what is taken is taken.
    while let Some((&(a, b), &count)) = together
        .iter()
        .max_by_key(|(names, count)| (**count, std::cmp::Reverse(**names)))
    {
        same += count;
        together.retain(|(other_a, other_b), _| *other_a != a && *other_b != b);
    }
    same
}

fn summarize(traced: &Atoms, truth: &Atoms, pairs: Vec<Pair>, shift: [f64; 3]) -> Compared {
    let n = pairs.len() as f64;
    // 0/0 is NaN, which says "not defined" here and null in JSON.
    let per_axis: [f64; 3] = std::array::from_fn(|axis| {
        (pairs
            .iter()
            .map(|p| p.difference[axis].powi(2))
            .sum::<f64>()
            / n)
            .sqrt()
            * PM_PER_ANGSTROM
    });
    let mut found = vec![false; truth.len()];
    let mut real = vec![false; traced.len()];
    for pair in &pairs {
        found[pair.truth] = true;
        real[pair.traced] = true;
    }
    let same_species = same_species(traced, truth, &pairs);
    let of = |total: usize| if total == 0 { 0.0 } else { n / total as f64 };
    Compared {
        recall: of(truth.len()),
        precision: of(traced.len()),
        rmsd_pm: per_axis.iter().map(|r| r * r).sum::<f64>().sqrt(),
        rmsd_per_axis_pm: per_axis,
        rmsd_in_wedge_pm: per_axis[2],
        rmsd_out_of_wedge_pm: ((per_axis[0].powi(2) + per_axis[1].powi(2)) / 2.0).sqrt(),
        missed: (0..truth.len()).filter(|&i| !found[i]).collect(),
        false_atoms: (0..traced.len()).filter(|&i| !real[i]).collect(),
        shift,
        species_accuracy: (truth.species_counts().len() > 1 && !pairs.is_empty())
            .then(|| same_species as f64 / n),
        pairs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use rand_distr::{Distribution, StandardNormal};

    /// A cubic lattice with a little disorder, 7 × 7 × 7.
    fn lattice() -> Vec<[f64; 3]> {
        let mut rng = StdRng::seed_from_u64(5);
        let mut points = Vec::new();
        for i in 0..7 {
            for j in 0..7 {
                for k in 0..7 {
                    points.push(
                        [i, j, k].map(|c| f64::from(c) * 3.0 - 9.0 + rng.random_range(-0.2..0.2)),
                    );
                }
            }
        }
        points
    }

    fn atoms(points: Vec<[f64; 3]>) -> Atoms {
        Atoms::from_positions(points, "Zr")
    }

    #[test]
    fn planted_errors_are_counted_and_the_shift_and_rmsd_recovered() {
        let truth = lattice();
        let mut rng = StdRng::seed_from_u64(6);
        let shift = [0.7, -1.1, 0.4];
        let sds = [0.05, 0.08, 0.2];
        // Every traced atom displaced; the last 40 never found (one side only, which drags the mean); 12 invented.
        let mut traced: Vec<[f64; 3]> = truth[..303]
            .iter()
            .map(|p| {
                std::array::from_fn(|axis| {
                    let normal: f64 = StandardNormal.sample(&mut rng);
                    p[axis] + shift[axis] + sds[axis] * normal
                })
            })
            .collect();
        traced.extend((0..12).map(|i| [f64::from(i) * 2.5 - 12.0, 30.0, 0.0]));
        let found =
            compare(&atoms(traced), &atoms(truth), &CompareParams::default()).expect("valid");
        assert_eq!(
            (found.matched(), found.missed.len(), found.false_atoms.len()),
            (303, 40, 12)
        );
        assert_eq!(found.missed, (303..343).collect::<Vec<_>>());
        assert!((found.recall - 303.0 / 343.0).abs() < 1e-12);
        assert!((found.precision - 303.0 / 315.0).abs() < 1e-12);
        for axis in 0..3 {
            // Standard error of a mean of 303 is sd/17, of an rms sd/25: limits at 4 of them.
            assert!((found.shift[axis] - shift[axis]).abs() < 4.0 * sds[axis] / 17.0);
            assert!(
                (found.rmsd_per_axis_pm[axis] / 100.0 - sds[axis]).abs() < 4.0 * sds[axis] / 24.0
            );
        }
        let total: f64 = found.rmsd_per_axis_pm.iter().map(|r| r * r).sum();
        assert!((found.rmsd_pm - total.sqrt()).abs() < 1e-9);
        assert_eq!(found.rmsd_in_wedge_pm, found.rmsd_per_axis_pm[2]);
    }

    #[test]
    fn a_true_atom_is_matched_once_and_by_the_nearest() {
        let truth = atoms(vec![[0.0; 3], [5.0, 0.0, 0.0]]);
        let traced = atoms(vec![[0.3, 0.0, 0.0], [0.1, 0.0, 0.0], [5.0, 0.0, 0.0]]);
        let params = CompareParams {
            no_shift: true,
            ..CompareParams::default()
        };
        let found = compare(&traced, &truth, &params).expect("valid");
        assert_eq!(
            found
                .pairs
                .iter()
                .map(|p| (p.truth, p.traced))
                .collect::<Vec<_>>(),
            [(0, 1), (1, 2)]
        );
        assert_eq!(found.false_atoms, [0]);
        assert!((found.rmsd_pm - (0.01f64 / 2.0).sqrt() * 100.0).abs() < 1e-9);
    }

    #[test]
    fn exchanged_axes_and_far_origins_are_undone() {
        let truth = lattice();
        let traced: Vec<[f64; 3]> = truth.iter().map(|&[x, y, z]| [y, x, z]).collect();
        let moved: Vec<[f64; 3]> = truth.iter().map(|p| p.map(|x| x + 60.0)).collect();
        let params = CompareParams {
            swap_xy: true,
            ..CompareParams::default()
        };
        let found = compare(&atoms(traced), &atoms(moved), &params).expect("valid");
        assert_eq!(found.recall, 1.0);
        assert!(found.rmsd_pm < 1e-6);
        assert!((found.shift[2] + 60.0).abs() < 1e-9);
    }

    #[test]
    fn species_are_scored_and_json_has_the_promised_keys() {
        let mut truth = atoms(lattice());
        truth.species_names.push("O".to_owned());
        truth.species[..100].fill(1);
        let mut traced = truth.clone();
        traced.species[..10].fill(0);
        let found = compare(&traced, &truth, &CompareParams::default()).expect("valid");
        assert!((found.species_accuracy.expect("two species") - 333.0 / 343.0).abs() < 1e-12);
        traced.species_names = vec!["type-2".to_owned(), "type-1".to_owned()];
        let unnamed = compare(&traced, &truth, &CompareParams::default()).expect("valid");
        assert_eq!(unnamed.species_accuracy, found.species_accuracy);
        let json = found.to_json();
        for key in [
            "recall",
            "precision",
            "rmsd_pm",
            "matched",
            "missed",
            "false",
            "shift_A",
        ] {
            assert!(!json[key].is_null(), "{key}");
        }
    }

    #[test]
    fn empty_and_broken_models_do_not_pass() {
        let truth = atoms(lattice());
        let params = CompareParams::default();
        let none = compare(&atoms(vec![]), &truth, &params).expect("nothing traced is a result");
        assert_eq!(
            (none.recall, none.precision, none.missed.len()),
            (0.0, 0.0, truth.len())
        );
        assert!(none.to_json()["rmsd_pm"].is_null());
        assert!(compare(&truth, &atoms(vec![]), &params).is_err());
        assert!(compare(&atoms(vec![[f64::NAN; 3]]), &truth, &params).is_err());
        let no_cutoff = CompareParams {
            cutoff: f64::NAN,
            ..params
        };
        assert!(matches!(
            compare(&truth, &truth, &no_cutoff),
            Err(CompareError::BadParameter { .. })
        ));
    }
}
