//! Why two atoms may not be nearer than they may: the smallest distance between atoms, justified from the data.
//!
//! The rule is `d_ref − 3σ` (Zr): the usual distance of nearest neighbors less three blur widths of the atoms. σ is the
//! width of the fitted maxima, with what smoothing before tracing added taken off; `d_ref` the most frequent distance to
//! the nearest neighbor in the model, which a few pairs that are too close or too far do not move, or what the user knows
//! of it. How much the number of atoms depends on the distance is counted by selecting again with others.

use super::auto::mode_of;
use super::select::keep_apart;
use super::{TraceParams, Traced, Verdict};
use crate::numeric::neighbors::nearest_distances;
use serde::{Deserialize, Serialize};

/// Blur widths, the distance by the rule, and what other distances would keep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cutoff {
    /// Atoms with a fitted width.
    pub atoms: usize,
    /// Mean of the blur widths of the maxima, Å.
    pub sigma_mean: f64,
    /// Their standard deviation, Å.
    pub sigma_sd: f64,
    /// Standard deviation of the Gaussian that the volume was smoothed with before tracing, Å.
    pub smoothing: f64,
    /// Blur width of the atoms themselves, smoothing taken off, Å.
    pub sigma: f64,
    /// Usual distance between nearest neighbors, Å.
    pub reference: f64,
    /// Whether it was given, rather than measured.
    pub reference_given: bool,
    /// `reference − 3 sigma`, Å.
    pub by_rule: f64,
    /// The smallest distance that was used, Å.
    pub used: f64,
    /// Smallest distance in Å, and how many atoms it would leave.
    pub counts: Vec<(f64, usize)>,
}

/// Step between the distances that are tried, Å.
const STEP: f64 = 0.05;

/// Justifies the smallest distance of a trace; `None` where it has too few atoms to say anything.
///
/// Takes about 10 ms for 20,000 atoms: only maxima that have others nearby are selected again.
#[must_use]
pub fn justify(traced: &Traced, params: &TraceParams, reference: Option<f64>) -> Option<Cutoff> {
    const FEWEST: usize = 20;
    let positions = &traced.atoms.positions;
    let given = reference.filter(|d| d.is_finite() && *d > 0.0);
    let usable = traced.sigma_mean.is_finite() && traced.sigma_mean > 0.0;
    if positions.len() < FEWEST || !usable {
        return None;
    }
    let reference = given.or_else(|| {
        let mut distances = nearest_distances(positions);
        distances.retain(|d| d.is_finite());
        mode_of(&mut distances)
    })?;
    let smoothing = if params.smoothing.is_finite() {
        params.smoothing.max(0.0)
    } else {
        0.0
    };
    let own = traced.sigma_mean.powi(2) - smoothing * smoothing;
    // A maximum that is no wider than the smoothing has no width of its own that could be told.
    let sigma = own.max(0.0).sqrt();
    let widths = traced.atoms.column("sigma_A");
    let fitted = widths.map_or(0, |w| w.iter().filter(|s| s.is_finite()).count());
    Some(Cutoff {
        atoms: fitted,
        sigma_mean: traced.sigma_mean,
        sigma_sd: traced.sigma_sd,
        smoothing,
        sigma,
        reference,
        reference_given: given.is_some(),
        by_rule: reference - 3.0 * sigma,
        used: params.min_distance,
        counts: counts(traced, reference),
    })
}

/// Atoms that every distance from 1 Å to the usual one would leave.
fn counts(traced: &Traced, reference: f64) -> Vec<(f64, usize)> {
    let strong: Vec<usize> = (0..traced.candidates.len())
        .filter(|&i| {
            let candidate = &traced.candidates[i];
            matches!(candidate.verdict, Verdict::Atom | Verdict::TooClose)
        })
        .collect();
    let place = |i: usize| traced.candidates[i].position;
    let all: Vec<[f64; 3]> = strong.iter().map(|&i| place(i)).collect();
    let nearest = nearest_distances(&all);
    // Whoever has nobody near stays whatever the distance.
    let crowded: Vec<usize> = (0..strong.len())
        .filter(|&k| nearest[k] < reference)
        .collect();
    let alone = strong.len() - crowded.len();
    let positions: Vec<[f64; 3]> = crowded.iter().map(|&k| all[k]).collect();
    let densities: Vec<f64> = crowded
        .iter()
        .map(|&k| traced.candidates[strong[k]].density)
        .collect();
    let steps = ((reference - 1.0) / STEP).floor().clamp(0.0, 200.0) as usize;
    (0..=steps)
        .map(|k| {
            let distance = 1.0 + k as f64 * STEP;
            let kept = keep_apart(&positions, &densities, distance);
            (distance, alone + kept.iter().filter(|kept| **kept).count())
        })
        .collect()
}

impl Cutoff {
    /// How many atoms a distance would leave, by the nearest one that was tried.
    #[must_use]
    pub fn atoms_at(&self, distance: f64) -> Option<usize> {
        self.counts
            .iter()
            .min_by(|a, b| (a.0 - distance).abs().total_cmp(&(b.0 - distance).abs()))
            .map(|(_, n)| *n)
    }

    /// The sentences for the methods section.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut text = format!(
            "The fitted maxima of {} atoms have blur widths σ = {:.3} ± {:.3} Å (mean ± standard deviation)",
            self.atoms, self.sigma_mean, self.sigma_sd
        );
        if self.smoothing > 0.0 {
            text += &format!(
                ", of which the atoms themselves {:.3} Å and the Gaussian applied before tracing {:.2} Å",
                self.sigma, self.smoothing
            );
        }
        let origin = if self.reference_given {
            "known"
        } else {
            "the most frequent one in the model"
        };
        text += &format!(
            ". With d_ref = {:.2} Å between nearest neighbors ({origin}), d_ref − 3σ = {:.2} Å; a minimum distance of {:.2} Å \
             was used.",
            self.reference, self.by_rule, self.used
        );
        let (low, high) = (0.9 * self.used, 1.1 * self.used);
        if let (Some(more), Some(now), Some(less)) = (
            self.atoms_at(low),
            self.atoms_at(self.used),
            self.atoms_at(high),
        ) {
            let percent = |n: usize| 100.0 * n.abs_diff(now) as f64 / now.max(1) as f64;
            text += &format!(
                " A distance 10 % smaller ({low:.2} Å) would leave {more} atoms ({:.2} % more), one 10 % larger ({high:.2} Å) \
                 {less} ({:.2} % fewer).",
                percent(more),
                percent(less)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Candidate, apply_threshold};

    /// Atoms 3 Å apart, one in ten of them split into two 1.5 Å apart.
    fn traced(min_distance: f64) -> Traced {
        let candidate = |position: [f64; 3], density: f64| Candidate {
            position,
            density,
            intensity: 1.0,
            sigma: 0.4,
            misfit: 0.0,
            verdict: Verdict::Atom,
        };
        let mut candidates = Vec::new();
        for i in 0..1000usize {
            let place = [i % 10, i / 10 % 10, i / 100].map(|v| 3.0 * v as f64);
            candidates.push(candidate(place, 1.0));
            if i % 10 == 4 {
                candidates.push(candidate([place[0] + 1.5, place[1], place[2]], 0.5));
            }
        }
        let all = crate::trace::select::gather(candidates, 0.5, "Zr");
        apply_threshold(&all, 0.5, min_distance)
    }

    #[test]
    fn the_rule_and_the_counts_are_those_of_the_model() {
        let params = TraceParams {
            min_distance: 2.0,
            ..TraceParams::default()
        };
        let cutoff = justify(&traced(2.0), &params, None).expect("enough atoms");
        assert!((cutoff.reference - 3.0).abs() < 0.02, "{cutoff:?}");
        assert!((cutoff.by_rule - 1.8).abs() < 0.02, "{cutoff:?}");
        assert_eq!(cutoff.atoms_at(1.2), Some(1100));
        // Split ones are 1.5 Å from both neighbors along x.
        assert_eq!(cutoff.atoms_at(1.8), Some(1000));
        let text = cutoff.sentence();
        assert!(text.contains("σ = 0.400 ± 0.000 Å"), "{text}");
        assert!(text.contains("minimum distance of 2.00 Å"), "{text}");
        assert!(text.contains("(0.00 % more)"), "{text}");
    }

    #[test]
    fn smoothing_is_taken_off_and_a_known_distance_is_believed() {
        let params = TraceParams {
            smoothing: 0.24,
            ..TraceParams::default()
        };
        let cutoff = justify(&traced(2.0), &params, Some(3.2)).expect("enough atoms");
        assert!((cutoff.sigma - 0.32).abs() < 1e-9);
        assert!((cutoff.by_rule - 2.24).abs() < 1e-9 && cutoff.reference_given);
    }

    #[test]
    fn a_handful_of_atoms_justifies_nothing() {
        let mut few = traced(2.0);
        few.atoms = few.atoms.select(&[0, 1, 2]);
        assert_eq!(justify(&few, &TraceParams::default(), None), None);
    }
}
