//! How likely each atom is to be there, from its free occupancy, that of its surroundings, and the error of both.
//!
//! Two hypotheses per atom: it is one (occupancy 1 of what is usual around it), or it is none (anything from nothing to
//! half of an atom that was split in two). Occupancies scatter more than their standard errors say, because models
//! are never exact; how much more is read from the neighbours (`scale`), and the tail of the first hypothesis is that
//! of Student's t with four degrees of freedom. The share of false atoms is estimated from the same numbers.

use super::Cells;
use crate::numeric::odds::{expect_share, log_odds, probability, step_down, student};
use crate::trace::refine::fit::{AtomEvidence, median};
use rayon::prelude::*;

/// Radius of the neighbourhood that an occupancy is compared with, Å: two or three shells.
const SURROUNDINGS: f64 = 6.0;

/// What remains to each half of an atom that was split.
const HALF_AN_ATOM: f64 = 0.5;

/// Fewest neighbours that make a neighbourhood; an atom alone or nearly so has nothing to be compared with.
const COMPANY: usize = 8;

/// What the images say about the existence of an atom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Standing {
    /// Free occupancy over the median around it.
    pub occupancy: f64,
    /// Standard error of that, enlarged to the local scatter.
    pub sd: f64,
    /// By how much occupancies around it scatter more than their errors say; at least 1.
    pub scale: f64,
    /// Logarithm of how much likelier the images are if it is false than if it is real.
    pub log_ratio: f64,
}

/// Free occupancies over the median within `SURROUNDINGS` of each atom. Where several atoms are missing or too many, what
/// overlaps with them in projection is all too bright or too dark; atoms are told apart by their neighbours.
pub(crate) fn against_surroundings(evidence: &[AtomEvidence], positions: &[[f64; 3]]) -> Vec<f64> {
    let cells = Cells::new(positions.to_vec(), SURROUNDINGS);
    positions
        .par_iter()
        .enumerate()
        .map(|(i, place)| {
            let near = cells.within(*place, SURROUNDINGS);
            let usual = median(
                near.iter()
                    .map(|(j, _)| evidence[*j].free_occupancy)
                    .collect(),
            );
            let usual = if near.len() < COMPANY || usual <= 0.0 {
                1.0
            } else {
                usual
            };
            evidence[i].free_occupancy / usual
        })
        .collect()
}

/// Standing of every atom, and the share of atoms that are false by these numbers alone.
pub(crate) fn standings(evidence: &[AtomEvidence], positions: &[[f64; 3]]) -> (Vec<Standing>, f64) {
    let occupancies = against_surroundings(evidence, positions);
    let deviations: Vec<f64> = evidence
        .iter()
        .zip(&occupancies)
        .map(|(e, o)| (o - 1.0) / e.occupancy_sd)
        .collect();
    let spread = |values: Vec<f64>| 1.4826 * median(values.iter().map(|v| v.abs()).collect());
    let everywhere = spread(deviations.clone());
    let cells = Cells::new(positions.to_vec(), SURROUNDINGS);
    let standings: Vec<Standing> = positions
        .par_iter()
        .enumerate()
        .map(|(i, place)| {
            let near = cells.within(*place, SURROUNDINGS);
            let local = if near.len() < COMPANY {
                everywhere
            } else {
                spread(near.iter().map(|(j, _)| deviations[*j]).collect())
            };
            // NaN (a single atom without an error) compares as 1.
            let scale = local.max(1.0);
            let sd = evidence[i].occupancy_sd * scale;
            Standing {
                occupancy: occupancies[i],
                sd,
                scale,
                log_ratio: log_ratio(occupancies[i], sd),
            }
        })
        .collect();
    let ratios: Vec<f64> = standings.iter().map(|s| s.log_ratio).collect();
    let share = expect_share(&ratios);
    (standings, share)
}

/// Probability that each atom exists, by the images alone.
pub(crate) fn confidences(evidence: &[AtomEvidence], positions: &[[f64; 3]]) -> Vec<f64> {
    let (standings, share) = standings(evidence, positions);
    // A handful of atoms (a part being refined) cannot tell how many of them are false.
    let share = if positions.len() < 100 { 0.01 } else { share };
    let of = |s: &Standing| 1.0 - probability(log_odds(share) + s.log_ratio);
    standings.iter().map(of).collect()
}

/// `ln p(o | half an atom or less) − ln p(o | an atom)`.
pub(crate) fn log_ratio(occupancy: f64, sd: f64) -> f64 {
    if !(occupancy.is_finite() && sd.is_finite() && sd > 0.0) {
        return 0.0;
    }
    // More than an atom is no sign of less than one.
    let o = occupancy.min(1.0);
    let none = (sd / HALF_AN_ATOM).min(1.0) * step_down((o - HALF_AN_ATOM) / sd);
    (none.max(f64::MIN_POSITIVE) / student((o - 1.0) / sd)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(free_occupancy: f64, occupancy_sd: f64) -> AtomEvidence {
        AtomEvidence {
            free_occupancy,
            occupancy_sd,
            position_sd: [0.05; 3],
            step: [0.0; 3],
        }
    }

    #[test]
    fn the_ratio_falls_with_occupancy_and_weakens_with_its_error() {
        let ratios: Vec<f64> = (0..=10)
            .map(|k| log_ratio(0.1 * f64::from(k), 0.12))
            .collect();
        assert!(
            ratios[0] > 3.0 && ratios[5] > 2.0 && ratios[10] < -3.0,
            "{ratios:?}"
        );
        assert!(ratios.windows(2).all(|w| w[0] > w[1]), "{ratios:?}");
        assert!(log_ratio(0.2, 0.1) > log_ratio(0.2, 0.4) && log_ratio(0.3, 0.01) > 5.0);
        assert!(log_ratio(1.4, 0.1) == log_ratio(1.0, 0.1));
        assert_eq!(log_ratio(f64::NAN, 0.1), 0.0);
        assert_eq!(log_ratio(1.0, f64::INFINITY), 0.0);
    }

    #[test]
    fn local_scatter_and_the_share_of_false_atoms_are_found() {
        // A grid of 12³ atoms: one half scatters as its errors say, the other three times as much; 17 are false.
        let mut positions = Vec::new();
        let mut all = Vec::new();
        for i in 0..1728 {
            let cell = [i / 144, i / 12 % 12, i % 12];
            positions.push(cell.map(|k| 2.6 * f64::from(k)));
            // Evenly spread quantiles of a normal distribution, shuffled by a stride coprime to their number.
            let rank = f64::from(i * 1031 % 1728) + 0.5;
            let u = 2.0 * (rank / 1728.0) - 1.0;
            let deviate = (std::f64::consts::PI / 8.0f64).sqrt() * ((1.0 + u) / (1.0 - u)).ln();
            let wide = if cell[0] < 6 { 1.0 } else { 3.0 };
            let occupancy = if i % 100 == 7 {
                0.05
            } else {
                0.9 * (1.0 + 0.03 * wide * deviate)
            };
            all.push(evidence(occupancy, 0.03));
        }
        let confidences = confidences(&all, &positions);
        let (standings, share) = standings(&all, &positions);
        assert!((share - 0.01).abs() < 0.004, "{share}");
        let scale = |i: usize| standings[i].scale;
        // Far from the border between the halves.
        assert!(scale(144 + 66) < 1.7 && scale(10 * 144 + 66) > 2.0);
        for (i, s) in standings.iter().enumerate() {
            if i % 100 == 7 {
                assert!(s.occupancy < 0.1 && s.log_ratio > 3.0, "{s:?}");
                assert!(confidences[i] < 0.2, "{}", confidences[i]);
            } else {
                assert!(confidences[i] > 0.99, "{s:?}: {}", confidences[i]);
            }
        }
    }
}
