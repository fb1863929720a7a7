//! Which maxima are atoms: K-means split of the integrated intensities, minimum distance, blur widths, histogram.
//!
//! Cost: a sort and a cell list; re-splitting 100,000 candidates takes some milliseconds, so that the threshold can be
//! dragged.

use super::{Candidate, Traced, Verdict};
use crate::model::{AtomId, Atoms};
use crate::numeric::fit::{Classes, kmeans_line};
use crate::numeric::neighbors::CellList;

/// Cells of the histogram in which the classes are counted, over the reference intensity.
const CELLS_PER_REFERENCE: f64 = 50.0;
/// Smoothing of that histogram, in cells.
const SMOOTHING_CELLS: f64 = 2.0;
/// A class counts as separate when the histogram falls, between it and its higher neighbour, by this many times the
/// counting noise (√n) of its peak …
const SEPARATION_DEVIATIONS: f64 = 4.0;
/// … and below this fraction of the lower of the two peaks.
const SEPARATION_FALL: f64 = 0.8;
/// Below this fraction of the strongest class a class is noise: no two elements in one specimen are further apart
/// (ADF intensity grows as about Z^1.7: Al in Au has 0.04 / … 0.2 corresponds to Z ratios of 2.6).
const LOWEST_ATOM_CLASS: f64 = 0.2;
/// Atoms of one element scatter less than this about their mean; noise maxima pile up at zero and scatter more.
const ATOM_CLASS_SPREAD: f64 = 0.35;

/// More brightnesses than this are not told apart.
const MOST_SPECIES: usize = 4;

/// The split of candidates into atoms and others by intensity.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Integrated intensity from which a maximum is an atom.
    pub threshold: f64,
    /// Classes found in the intensities, non-atoms included.
    pub classes: usize,
    /// Mean intensity of each class, ascending.
    pub centers: Vec<f64>,
    /// How many of the lowest classes are no atoms.
    pub noise_classes: usize,
}

/// A value of which as much intensity lies above as below, each counted by its square: where the atoms are, however
/// many weak maxima there are.
pub(super) fn reference_intensity(values: &mut Vec<f64>) -> f64 {
    values.retain(|v| v.is_finite() && *v > 0.0);
    values.sort_by(f64::total_cmp);
    let total: f64 = values.iter().map(|v| v * v).sum();
    let mut sum = 0.0;
    for &v in values.iter() {
        sum += v * v;
        if sum >= 0.5 * total {
            return v;
        }
    }
    0.0
}

/// K-means split of the intensities of well-separated maxima; `None` if there is no positive intensity.
///
/// The number of classes is read off the histogram (its separate peaks), so that two species above the noise are
/// three classes and the lighter one is not thrown away with the noise. The threshold lies halfway between the
/// highest class of non-atoms and the lowest of atoms.
#[must_use]
pub fn split_intensities(intensities: &[f64]) -> Option<Split> {
    let mut values = intensities.to_vec();
    let reference = reference_intensity(&mut values);
    if reference <= 0.0 {
        return None;
    }
    let peaks = separate_peaks(&values, reference);
    let all_atoms = |center: f64| Split {
        threshold: 0.5 * center,
        classes: 1,
        centers: vec![center],
        noise_classes: 0,
    };
    let spread = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        variance.sqrt() / mean
    };
    if peaks < 2 && spread(&values) < ATOM_CLASS_SPREAD {
        return Some(all_atoms(reference));
    }
    let Some(classes) = kmeans_line(&values, peaks.max(2)) else {
        return Some(all_atoms(reference));
    };
    let count = classes.centers.len();
    let top = classes.centers[count - 1];
    let is_atoms = |k: usize| {
        let members: Vec<f64> = values
            .iter()
            .copied()
            .filter(|&v| classes.class_of(v) == k)
            .collect();
        classes.centers[k] > LOWEST_ATOM_CLASS * top && spread(&members) < ATOM_CLASS_SPREAD
    };
    // The strongest class is atoms whatever its spread, or nothing would be.
    let noise_classes = (0..count - 1).find(|&k| is_atoms(k)).unwrap_or(count - 1);
    let threshold = if noise_classes == 0 {
        0.5 * classes.centers[0]
    } else {
        classes.boundaries[noise_classes - 1]
    };
    let Classes { centers, .. } = classes;
    Some(Split {
        threshold,
        classes: count,
        centers,
        noise_classes,
    })
}

/// Number of species that the atoms' intensities show as separate peaks; at least 1.
#[must_use]
pub fn visible_species(traced: &Traced) -> usize {
    let intensities = traced.atoms.column("intensity").unwrap_or(&[]);
    let mut values = intensities.to_vec();
    let reference = reference_intensity(&mut values);
    if reference > 0.0 {
        separate_peaks(&values, reference).clamp(1, MOST_SPECIES)
    } else {
        1
    }
}

/// Number of separate peaks in the histogram of sorted values.
fn separate_peaks(sorted: &[f64], reference: f64) -> usize {
    let cell = reference / CELLS_PER_REFERENCE;
    let cells = (sorted.last().map_or(0.0, |v| v / cell) as usize)
        .min(10 * CELLS_PER_REFERENCE as usize)
        + 1;
    let mut counts = vec![0.0; cells];
    for v in sorted {
        counts[((v / cell) as usize).min(cells - 1)] += 1.0;
    }
    let reach = (4.0 * SMOOTHING_CELLS) as isize;
    let smooth: Vec<f64> = (0..cells as isize)
        .map(|i| {
            let mut sum = (0.0, 0.0);
            for d in -reach..=reach {
                // The histogram ends at zero intensity: weights are renormalised there.
                if let Some(count) = usize::try_from(i + d).ok().and_then(|j| counts.get(j)) {
                    let weight = (-0.5 * (d as f64 / SMOOTHING_CELLS).powi(2)).exp();
                    sum = (sum.0 + weight * count, sum.1 + weight);
                }
            }
            sum.0 / sum.1
        })
        .collect();
    // A smoothed cell averages this many cells' counts, which is what its counting noise goes with.
    let averaged = 2.0 * std::f64::consts::PI.sqrt() * SMOOTHING_CELLS;
    let mut peaks: Vec<f64> = Vec::new();
    let mut valley = f64::INFINITY;
    let mut rising = 0.0f64;
    for &height in &smooth {
        // Walk up and down: a new peak begins when the climb from the last valley is significant.
        valley = valley.min(height);
        rising = rising.max(height);
        let lower = peaks.last().map_or(height, |&p| p.min(height));
        let deviation = (height / averaged).sqrt();
        match peaks.last_mut() {
            None if height * averaged >= 1.0 => {
                peaks.push(height);
                valley = height;
            }
            Some(peak) if height > *peak && valley > SEPARATION_FALL * *peak => {
                *peak = height;
                valley = height;
            }
            Some(_)
                if lower - valley > SEPARATION_DEVIATIONS * deviation
                    && valley < SEPARATION_FALL * lower =>
            {
                peaks.push(height);
                valley = height;
            }
            Some(peak) if height >= *peak => {
                *peak = height;
                valley = height;
            }
            _ => {}
        }
    }
    peaks.len()
}

/// For each position whether it stays when, from the strongest down, each one that stays removes all weaker ones
/// nearer than `min_distance`. Equal strengths: the earlier counts as the stronger.
#[must_use]
pub fn keep_apart(positions: &[[f64; 3]], strengths: &[f64], min_distance: f64) -> Vec<bool> {
    let mut kept = vec![true; positions.len()];
    if min_distance.is_nan() || min_distance <= 0.0 {
        return kept;
    }
    let mut order: Vec<usize> = (0..positions.len()).collect();
    order.sort_by(|&a, &b| strengths[b].total_cmp(&strengths[a]).then(a.cmp(&b)));
    let mut rank = vec![0; positions.len()];
    for (r, &i) in order.iter().enumerate() {
        rank[i] = r;
    }
    let cells = CellList::new(positions, min_distance);
    for &i in &order {
        if kept[i] {
            cells.for_each_within(positions[i], min_distance, |j, _| {
                if rank[j] > rank[i] {
                    kept[j] = false;
                }
            });
        }
    }
    kept
}

/// Whether the fit of a candidate succeeded, whatever selection said of it.
fn is_fitted(candidate: &Candidate) -> bool {
    matches!(
        candidate.verdict,
        Verdict::Atom | Verdict::TooWeak | Verdict::TooClose
    )
}

/// The threshold of the K-means split of these candidates: over the fitted maxima that keep the minimum distance, so that
/// the ripples around atoms do not count.
#[must_use]
pub fn threshold_of(candidates: &[Candidate], min_distance: f64) -> Option<Split> {
    let fitted: Vec<&Candidate> = candidates.iter().filter(|c| is_fitted(c)).collect();
    let positions: Vec<_> = fitted.iter().map(|c| c.position).collect();
    let densities: Vec<_> = fitted.iter().map(|c| c.density).collect();
    let kept = keep_apart(&positions, &densities, min_distance);
    let intensities: Vec<f64> = fitted
        .iter()
        .zip(&kept)
        .filter(|(_, k)| **k)
        .map(|(c, _)| c.intensity)
        .collect();
    split_intensities(&intensities)
}

/// Gives every fitted candidate its verdict: too weak, else too close to one of higher density, else atom. The density
/// at the maximum decides between two, for the boxes of a close pair overlap.
pub fn judge(candidates: &mut [Candidate], threshold: f64, min_distance: f64) {
    let mut strong = Vec::new();
    for (i, candidate) in candidates.iter_mut().enumerate() {
        if is_fitted(candidate) {
            candidate.verdict = if candidate.intensity >= threshold {
                Verdict::Atom
            } else {
                Verdict::TooWeak
            };
            if candidate.verdict == Verdict::Atom {
                strong.push(i);
            }
        }
    }
    let positions: Vec<_> = strong.iter().map(|&i| candidates[i].position).collect();
    let densities: Vec<_> = strong.iter().map(|&i| candidates[i].density).collect();
    let kept = keep_apart(&positions, &densities, min_distance);
    for (&i, _) in strong.iter().zip(&kept).filter(|(_, kept)| !**kept) {
        candidates[i].verdict = Verdict::TooClose;
    }
}

/// The outcome for judged candidates. An atom's id is its candidate's number, so that it keeps its name whatever the
/// threshold.
#[must_use]
pub fn gather(candidates: Vec<Candidate>, threshold: f64, species_name: &str) -> Traced {
    let chosen: Vec<usize> = (0..candidates.len())
        .filter(|&i| candidates[i].verdict == Verdict::Atom)
        .collect();
    let column = |of: fn(&Candidate) -> f64| {
        chosen
            .iter()
            .map(|&i| of(&candidates[i]))
            .collect::<Vec<f64>>()
    };
    let mut atoms = Atoms::from_positions(
        chosen.iter().map(|&i| candidates[i].position).collect(),
        species_name,
    );
    atoms.ids = chosen.iter().map(|&i| AtomId(i as u64)).collect();
    atoms.set_column("intensity", "", column(|c| c.intensity));
    atoms.set_column("density", "", column(|c| c.density));
    atoms.set_column("misfit", "", column(|c| c.misfit));
    let sigmas = column(|c| c.sigma);
    let (sigma_mean, sigma_sd) = mean_and_deviation(&sigmas);
    atoms.set_column("sigma_A", "Å", sigmas);
    Traced {
        atoms,
        candidates,
        threshold,
        sigma_mean,
        sigma_sd,
        seconds: 0.0,
    }
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let n = finite.len().max(1) as f64;
    let mean = finite.iter().sum::<f64>() / n;
    let variance = finite.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// The same candidates split anew, without fitting again: for the threshold line dragged in the histogram. Species return
/// to the first one; classify again where there are several.
#[must_use]
pub fn apply_threshold(traced: &Traced, threshold: f64, min_distance: f64) -> Traced {
    let mut candidates = traced.candidates.clone();
    judge(&mut candidates, threshold, min_distance);
    let name = traced
        .atoms
        .species_names
        .first()
        .map_or("X", String::as_str);
    let mut again = gather(candidates, threshold, name);
    again.seconds = traced.seconds;
    again
}

/// Percentage (0–100) of the atoms that are weaker than `intensity`; 0 without atoms.
#[must_use]
pub fn rank_of(traced: &Traced, intensity: f64) -> f64 {
    let values = traced.atoms.column("intensity").unwrap_or(&[]);
    let weaker = values.iter().filter(|&&v| v < intensity).count();
    100.0 * weaker as f64 / values.len().max(1) as f64
}

/// Counts of candidates by integrated intensity.
#[derive(Debug, Clone, PartialEq)]
pub struct IntensityHistogram {
    /// Edges of the bins, one more than bins.
    pub edges: Vec<f64>,
    /// Fitted candidates in each bin, atoms included.
    pub candidates: Vec<usize>,
    /// Atoms in each bin.
    pub atoms: Vec<usize>,
}

/// The histogram behind the threshold, from zero to the strongest fitted candidate, in `bins` equal bins (at least one).
#[must_use]
pub fn intensity_histogram(candidates: &[Candidate], bins: usize) -> IntensityHistogram {
    let bins = bins.max(1);
    let fitted = || {
        candidates
            .iter()
            .filter(|c| is_fitted(c) && c.intensity >= 0.0)
    };
    let top = fitted().map(|c| c.intensity).fold(0.0, f64::max);
    let width = if top > 0.0 { top / bins as f64 } else { 1.0 };
    let mut histogram = IntensityHistogram {
        edges: (0..=bins).map(|i| i as f64 * width).collect(),
        candidates: vec![0; bins],
        atoms: vec![0; bins],
    };
    for candidate in fitted() {
        let bin = ((candidate.intensity / width) as usize).min(bins - 1);
        histogram.candidates[bin] += 1;
        histogram.atoms[bin] += usize::from(candidate.verdict == Verdict::Atom);
    }
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::geometry::distance_squared;
    use proptest::prelude::*;

    /// Numbers spread as a Gaussian: the normal quantiles of a regular grid, without a random generator.
    fn bell(count: usize, mean: f64, deviation: f64) -> Vec<f64> {
        (0..count)
            .map(|i| {
                let u = (i as f64 + 0.5) / count as f64;
                // Logistic quantiles, scaled to unit variance: bell-shaped is all that is asked for.
                mean + deviation * (u / (1.0 - u)).ln() * 3f64.sqrt() / std::f64::consts::PI
            })
            .collect()
    }

    fn noise(count: usize, scale: f64) -> Vec<f64> {
        (0..count)
            .map(|i| -scale * (1.0 - (i as f64 + 0.5) / count as f64).ln())
            .collect()
    }

    #[test]
    fn noise_and_one_species_are_split_between_them() {
        let values = [noise(40_000, 0.08), bell(15_000, 1.0, 0.12)].concat();
        let split = split_intensities(&values).unwrap();
        assert_eq!((split.classes, split.noise_classes), (2, 1), "{split:?}");
        assert!((0.4..0.65).contains(&split.threshold), "{split:?}");
    }

    #[test]
    fn the_lighter_of_two_species_is_not_thrown_away() {
        let values = [
            noise(1_200, 0.05),
            bell(820, 0.77, 0.08),
            bell(815, 1.85, 0.13),
        ]
        .concat();
        let split = split_intensities(&values).unwrap();
        assert_eq!((split.classes, split.noise_classes), (3, 1), "{split:?}");
        assert!((0.2..0.5).contains(&split.threshold), "{split:?}");
    }

    #[test]
    fn atoms_without_noise_are_all_kept() {
        let split = split_intensities(&bell(300, 2.0, 0.2)).unwrap();
        assert_eq!(split.noise_classes, 0);
        assert!(split.threshold < 1.2);
        assert_eq!(split_intensities(&[5.0; 7]).unwrap().threshold, 2.5);
        assert!(split_intensities(&[0.0, -1.0, f64::NAN]).is_none());
    }

    #[test]
    fn the_stronger_of_a_close_pair_stays_and_a_removed_one_removes_nobody() {
        let positions = [
            [0.0, 0.0, 0.0],
            [1.5, 0.0, 0.0],
            [3.0, 0.0, 0.0],
            [9.0, 0.0, 0.0],
        ];
        assert_eq!(
            keep_apart(&positions, &[3.0, 2.0, 1.0, 1.0], 2.0),
            [true, false, true, true]
        );
        assert_eq!(
            keep_apart(&positions, &[1.0, 1.0, 1.0, 1.0], 2.0),
            [true, false, true, true]
        );
    }

    proptest! {
        #[test]
        fn kept_ones_are_apart_and_removed_ones_have_a_stronger_neighbor(
            points in prop::collection::vec((0.0..9.0f64, 0.0..9.0f64, 0.0..9.0f64, 0.0..1.0f64), 0..60)
        ) {
            let positions: Vec<_> = points.iter().map(|p| [p.0, p.1, p.2]).collect();
            let strengths: Vec<_> = points.iter().map(|p| p.3).collect();
            let kept = keep_apart(&positions, &strengths, 2.0);
            for i in 0..points.len() {
                let stronger_kept = (0..points.len()).any(|j| {
                    j != i && kept[j] && strengths[j] >= strengths[i] && distance_squared(positions[i], positions[j]) < 4.0
                });
                prop_assert_eq!(kept[i], !stronger_kept);
            }
        }
    }
}
