//! The pair distribution function of a finite particle.
//!
//! `g(r) = n(r) / (N ρ 4πr² dr f(r))`: pairs counted exactly, divided by what a uniform density in the same region would
//! give; `f(r)` is the share of points at distance r from a point of the region that lie in it too, so that g tends to 1.
//!
//! A pair of species a, b has regions of its own: `g_ab(r) = n_ab(r) V_b / (N_a N_b 4πr² dr f_ab(r))`, `f_ab(r)` the share of
//! points at distance r from a point of the region of a that lie in that of b. So it tends to 1 for a species that fills only
//! the core, too. The region of a species is closed over gaps in proportion to how much farther its sixth like neighbour is
//! than the sixth of any kind: not at all for a core, over the other atoms of a random alloy.

mod count;
mod shape;

use super::Pdf;
use crate::numeric::neighbors::CellList;
use count::count_pairs;
use rayon::prelude::*;
use shape::{Shape, Share};
use std::sync::Arc;

/// How the function is sampled, Å.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Largest distance.
    pub range: f64,
    /// Bin width.
    pub bin: f64,
    /// Standard deviation of the Gaussian smoothing.
    pub smoothing: f64,
}

/// Pairs counted and divided by what a uniform density would give, before any smoothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counted {
    /// Largest distance and bin width, Å.
    pub sampling: [f64; 2],
    /// g(r) of all pairs.
    pub total: Vec<f64>,
    /// g(r) of every pair of classes, when there are several.
    pub partial: Vec<(String, Vec<f64>)>,
    /// Standard error of the total's bins: of a count, its root.
    pub error: Vec<f64>,
    /// Mean density of the region, Å⁻³.
    pub density: f64,
    /// What does not depend on the bins.
    regions: Regions,
    /// The pairs in bins so narrow that wider ones are sums of them; `None` where they are not.
    fine: Option<Arc<Fine>>,
}

/// Pairs in narrow bins, to be summed into wider ones.
#[derive(Debug, Clone, Default, PartialEq)]
struct Fine {
    /// Largest distance, Å.
    range: f64,
    /// By bin, for every ordered pair of classes.
    counts: Vec<Vec<u64>>,
}

/// Width of the narrow bins, Å: what a bin's width is set to in steps of.
const FINE: f64 = 1e-3;

impl Fine {
    /// Narrow bins in one of this sampling's; `None` where that is no whole number, or the range is too long for them.
    fn per_bin(sampling: &Sampling) -> Option<usize> {
        let ratio = sampling.bin / FINE;
        let whole = ratio.round();
        let fits = (ratio - whole).abs() < 1e-6 && whole >= 1.0 && sampling.range <= 50.0;
        fits.then_some(whole as usize)
    }

    fn new(
        positions: &[[f64; 3]],
        sampling: &Sampling,
        kinds: usize,
        of: Option<&[usize]>,
    ) -> Self {
        let narrow = Sampling {
            bin: FINE,
            ..*sampling
        };
        let bins = (narrow.range / FINE).ceil().max(1.0) as usize;
        Self {
            range: sampling.range,
            counts: count_pairs(positions, &narrow, bins, kinds, of),
        }
    }

    /// The counts in `bins` bins of `per_bin` narrow ones each; what rounding puts beyond the last belongs to it.
    fn summed(&self, per_bin: usize, bins: usize) -> Vec<Vec<u64>> {
        let sum = |narrow: &Vec<u64>| {
            let mut wide = vec![0; bins];
            for (k, count) in narrow.iter().enumerate() {
                wide[(k / per_bin).min(bins - 1)] += count;
            }
            wide
        };
        self.counts.iter().map(sum).collect()
    }
}

/// The volumes of the regions, and how likely two of their points are a distance apart.
#[derive(Debug, Clone, Default, PartialEq)]
struct Regions {
    /// Of all atoms.
    whole: Option<Filled>,
    /// Of each pair of classes a ≤ b, in their order.
    pairs: Vec<Filled>,
}

/// Of a pair of regions: the second one's volume (Å³), and the share of the points at a distance from one in the first that
/// lie in it.
#[derive(Debug, Clone, PartialEq)]
struct Filled {
    volume: f64,
    share: Share,
}

impl Filled {
    /// Atoms that a uniform density of one in the second region has in each bin round a point of the first.
    fn uniform(&self, sampling: &Sampling, bins: usize) -> Vec<f64> {
        (0..bins)
            .map(|bin| {
                let (low, high) = (bin as f64 * sampling.bin, (bin + 1) as f64 * sampling.bin);
                let shell = 4.0 / 3.0 * std::f64::consts::PI * (high.powi(3) - low.powi(3));
                shell * self.share.at(0.5 * (low + high)) / self.volume
            })
            .collect()
    }
}

/// Share of the highest peak by which a peak stands out that needs no statistics.
pub(super) const PROMINENCE: f64 = 0.04;

impl Counted {
    /// Bin centres, Å.
    #[must_use]
    pub fn r(&self) -> Vec<f64> {
        let bin = self.sampling[1];
        (0..self.total.len())
            .map(|k| (k as f64 + 0.5) * bin)
            .collect()
    }

    /// The function smoothed by a Gaussian of `smoothing` Å, with its peaks and first valley.
    #[must_use]
    pub fn smoothed(&self, smoothing: f64) -> Pdf {
        let sigma = smoothing / self.sampling[1];
        let r = self.r();
        let g = smooth(&self.total, sigma);
        let partial = self
            .partial
            .iter()
            .map(|(name, g)| (name.clone(), smooth(g, sigma)))
            .collect();
        let highest = g.iter().copied().fold(0.0, f64::max);
        let first_valley = find_valley(&r, &g, &find_peaks(&r, &g, |_| PROMINENCE * highest));
        // A low peak is one too where chance does not make it: both it and its saddle are uncertain.
        let error = smoothed_error(&self.error, sigma);
        let peaks = find_peaks(&r, &g, |k| {
            (4.0 * std::f64::consts::SQRT_2 * error[k]).clamp(0.005 * highest, PROMINENCE * highest)
        });
        Pdf {
            r,
            g,
            partial,
            peaks,
            first_valley,
        }
    }
}

/// The function of all atoms, and of every pair of classes when there are several.
///
/// `spacing` is a typical nearest-neighbour distance (Å); `classes` gives each atom's class and the classes' names.
#[must_use]
pub fn pair_distribution(
    positions: &[[f64; 3]],
    sampling: &Sampling,
    spacing: f64,
    classes: Option<(&[usize], &[String])>,
) -> Pdf {
    counted(positions, sampling, spacing, classes).smoothed(sampling.smoothing)
}

/// Counts the pairs for [`pair_distribution`].
#[must_use]
pub fn counted(
    positions: &[[f64; 3]],
    sampling: &Sampling,
    spacing: f64,
    classes: Option<(&[usize], &[String])>,
) -> Counted {
    let regions = Regions::new(positions, sampling.range, spacing, classes);
    counted_in(regions, None, positions, sampling, classes)
}

/// As [`counted`], with the regions and the pairs of `before`, counted on the same atoms and classes.
#[must_use]
pub fn counted_again(
    before: &Counted,
    positions: &[[f64; 3]],
    sampling: &Sampling,
    spacing: f64,
    classes: Option<(&[usize], &[String])>,
) -> Counted {
    let known = before.sampling[0] == sampling.range && before.regions.whole.is_some();
    let regions = if known {
        before.regions.clone()
    } else {
        Regions::new(positions, sampling.range, spacing, classes)
    };
    let fine = before.fine.clone();
    counted_in(regions, fine, positions, sampling, classes)
}

fn counted_in(
    regions: Regions,
    fine: Option<Arc<Fine>>,
    positions: &[[f64; 3]],
    sampling: &Sampling,
    classes: Option<(&[usize], &[String])>,
) -> Counted {
    let bins = (sampling.range / sampling.bin).ceil().max(1.0) as usize;
    let names = classes.map_or(&[] as &[String], |(_, names)| names);
    let kinds = names.len().max(1);
    let of = classes.map(|(of, _)| of);
    let (counts, fine) = match Fine::per_bin(sampling) {
        None => (count_pairs(positions, sampling, bins, kinds, of), None),
        Some(per_bin) => {
            let known = fine.filter(|f| f.range == sampling.range);
            let fine = known.unwrap_or_else(|| Arc::new(Fine::new(positions, sampling, kinds, of)));
            (fine.summed(per_bin, bins), Some(fine))
        }
    };
    let n = positions.len() as f64;
    let total: Vec<u64> = (0..bins)
        .map(|bin| counts.iter().map(|c| c[bin]).sum())
        .collect();
    let mut partial = Vec::new();
    if let Some((of, names)) = classes.filter(|(_, names)| names.len() > 1) {
        let size: Vec<f64> = (0..kinds)
            .map(|kind| of.iter().filter(|&&k| k == kind).count() as f64)
            .collect();
        for ((a, b), filled) in pairs_of(kinds).zip(&regions.pairs) {
            let pairs = if a == b {
                0.5 * size[a] * size[a]
            } else {
                size[a] * size[b]
            };
            let uniform = filled.uniform(sampling, bins);
            partial.push((
                format!("{}–{}", names[a], names[b]),
                normalized(&counts[a * kinds + b], &uniform, pairs),
            ));
        }
    }
    let whole = regions.whole.as_ref();
    let uniform = whole.map_or_else(|| vec![0.0; bins], |f| f.uniform(sampling, bins));
    let counted = normalized(&total, &uniform, 0.5 * n * n);
    let roots = total.iter().map(|&count| (count as f64).sqrt());
    let error = counted
        .iter()
        .zip(roots)
        .map(|(g, root)| if root > 0.0 { g / root } else { 0.0 });
    Counted {
        sampling: [sampling.range, sampling.bin],
        error: error.collect(),
        total: counted,
        partial,
        fine,
        density: n / whole.map_or(f64::INFINITY, |f| f.volume.max(f64::MIN_POSITIVE)),
        regions,
    }
}

/// Counts over what a uniform density would give.
fn normalized(counts: &[u64], uniform: &[f64], pairs: f64) -> Vec<f64> {
    let ratio = |(&count, &expected): (&u64, &f64)| {
        if pairs * expected > 0.0 {
            count as f64 / (pairs * expected)
        } else {
            0.0
        }
    };
    counts.iter().zip(uniform).map(ratio).collect()
}

/// Pairs of classes a ≤ b.
fn pairs_of(kinds: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..kinds).flat_map(move |a| (a..kinds).map(move |b| (a, b)))
}

impl Regions {
    /// The regions of all atoms and of their classes; `spacing` is the nearest distance, Å.
    fn new(
        positions: &[[f64; 3]],
        range: f64,
        spacing: f64,
        classes: Option<(&[usize], &[String])>,
    ) -> Self {
        /// Points that a share is averaged over; a pair of classes is more often looked at than measured.
        const POINTS: [usize; 2] = [3000, 1500];
        let shape = Shape::of(positions, spacing);
        let whole = Some(Filled {
            volume: shape.volume,
            share: shape.share_within(&shape, range, POINTS[0]),
        });
        let Some((of, names)) = classes.filter(|(_, names)| names.len() > 1) else {
            let pairs = Vec::new();
            return Self { whole, pairs };
        };
        let usual = sixth_distance(positions);
        let parts: Vec<Shape> = (0..names.len())
            .into_par_iter()
            .map(|kind| {
                let own = (0..positions.len()).filter(|&i| of[i] == kind);
                let own: Vec<[f64; 3]> = own.map(|i| positions[i]).collect();
                let sparse = sixth_distance(&own) / usual;
                let sparse = if usual.is_finite() {
                    sparse.clamp(1.0, 4.0)
                } else {
                    1.0
                };
                shape.part(&own, sparse * spacing)
            })
            .collect();
        let pairs = pairs_of(names.len())
            .map(|(a, b)| Filled {
                volume: parts[b].volume,
                share: parts[a].share_within(&parts[b], range, POINTS[1]),
            })
            .collect();
        Self { whole, pairs }
    }
}

/// Median over at most a thousand atoms of the distance to their sixth neighbour, Å; infinite for fewer than seven atoms.
fn sixth_distance(positions: &[[f64; 3]]) -> f64 {
    const SIXTH: usize = 6;
    if positions.len() <= SIXTH {
        return f64::INFINITY;
    }
    let extent = crate::numeric::neighbors::mean_spacing(positions);
    let list = CellList::new(positions, extent);
    let mut found: Vec<f64> = positions
        .iter()
        .step_by(positions.len().div_ceil(1000))
        .map(|&center| {
            let mut radius = 2.0 * extent;
            loop {
                let mut near = Vec::new();
                list.for_each_within(center, radius, |_, d2| near.push(d2));
                // The atom itself is the nearest.
                if near.len() > SIXTH {
                    let (_, sixth, _) = near.select_nth_unstable_by(SIXTH, f64::total_cmp);
                    return sixth.sqrt();
                }
                radius *= 1.5;
            }
        })
        .collect();
    let middle = found.len() / 2;
    *found.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Gaussian smoothing; nothing flows in from beyond the ends.
fn smooth(values: &[f64], sigma_bins: f64) -> Vec<f64> {
    if sigma_bins < 0.05 {
        return values.to_vec();
    }
    let reach = (4.0 * sigma_bins).ceil() as isize;
    let weight = |d: isize| (-0.5 * (d as f64 / sigma_bins).powi(2)).exp();
    (0..values.len() as isize)
        .map(|at| {
            let (mut sum, mut total) = (0.0, 0.0);
            for d in -reach..=reach {
                if let Some(value) = usize::try_from(at + d).ok().and_then(|i| values.get(i)) {
                    sum += weight(d) * value;
                    total += weight(d);
                }
            }
            sum / total
        })
        .collect()
}

/// Standard error of independent values after [`smooth`].
fn smoothed_error(error: &[f64], sigma_bins: f64) -> Vec<f64> {
    if sigma_bins < 0.05 {
        return error.to_vec();
    }
    // The squares of a Gaussian's weights are those of one √2 narrower, and add up to 1 / (2 √π σ).
    let share = (1.0 / (2.0 * std::f64::consts::PI.sqrt() * sigma_bins)).min(1.0);
    let squares: Vec<f64> = error.iter().map(|e| e * e).collect();
    smooth(&squares, sigma_bins * std::f64::consts::FRAC_1_SQRT_2)
        .into_iter()
        .map(|square| (square * share).sqrt())
        .collect()
}

/// Local maxima that stand out from the valleys beside them by more than `least` at their place, placed by a parabola.
pub(super) fn find_peaks(r: &[f64], g: &[f64], least: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut peaks = Vec::new();
    for at in 1..g.len().saturating_sub(1) {
        if !(g[at] > g[at - 1] && g[at] >= g[at + 1]) {
            continue;
        }
        let lowest = |range: &mut dyn Iterator<Item = usize>| {
            let mut low = g[at];
            for i in range {
                if g[i] > g[at] {
                    break;
                }
                low = low.min(g[i]);
            }
            low
        };
        let saddle = lowest(&mut (0..at).rev()).max(lowest(&mut (at + 1..g.len())));
        if g[at] - saddle > least(at) {
            let bend = g[at - 1] - 2.0 * g[at] + g[at + 1];
            let shift = if bend == 0.0 {
                0.0
            } else {
                0.5 * (g[at - 1] - g[at + 1]) / bend
            };
            peaks.push(r[at] + shift * (r[1] - r[0]));
        }
    }
    peaks
}

/// The lowest point between the first two peaks (or within twice the first one's distance).
fn find_valley(r: &[f64], g: &[f64], peaks: &[f64]) -> Option<f64> {
    let first = *peaks.first()?;
    let end = peaks.get(1).copied().unwrap_or(2.0 * first);
    let inside = (0..r.len()).filter(|&i| r[i] > first && r[i] < end);
    inside.min_by(|&a, &b| g[a].total_cmp(&g[b])).map(|i| r[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    const SAMPLING: Sampling = Sampling {
        range: 12.0,
        bin: 0.05,
        smoothing: 0.1,
    };

    #[test]
    fn pairs_in_wide_bins_are_sums_of_those_in_narrow_ones() {
        let mut rng = StdRng::seed_from_u64(5);
        let points: Vec<[f64; 3]> = (0..700)
            .map(|_| std::array::from_fn(|_| rng.random_range(-9.0..9.0)))
            .collect();
        let at = |bin: f64| Sampling { bin, ..SAMPLING };
        let first = counted(&points, &at(0.05), 2.0, None);
        assert!(first.fine.is_some());
        for bin in [0.05, 0.061, 0.1, 0.003, 7.0] {
            let sampling = at(bin);
            let again = counted_again(&first, &points, &sampling, 2.0, None);
            let bins = (sampling.range / bin).ceil() as usize;
            let slow = count_pairs(&points, &sampling, bins, 1, None);
            let fine = again.fine.as_ref().unwrap();
            let summed = fine.summed(Fine::per_bin(&sampling).unwrap(), bins);
            // No pair of random points lies on an edge to the last digit.
            assert_eq!(summed, slow, "{bin}");
            assert_eq!(again, counted(&points, &sampling, 2.0, None));
        }
        // A width that narrow bins do not fill is counted as it is.
        let odd = at(0.0333);
        let again = counted_again(&first, &points, &odd, 2.0, None);
        assert!(again.fine.is_none());
        assert_eq!(again, counted(&points, &odd, 2.0, None));
        assert_eq!(counted_again(&again, &points, &at(0.05), 2.0, None), first);
    }

    #[test]
    fn a_gas_in_a_ball_has_no_structure() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut points = Vec::new();
        while points.len() < 6000 {
            let p: [f64; 3] = std::array::from_fn(|_| rng.random_range(-20.0..20.0));
            if p.iter().map(|v| v * v).sum::<f64>() < 400.0 {
                points.push(p);
            }
        }
        let pdf = pair_distribution(&points, &SAMPLING, 3.0, None);
        let far: Vec<f64> = pdf
            .r
            .iter()
            .zip(&pdf.g)
            .filter(|(r, _)| **r > 2.0)
            .map(|(_, g)| *g)
            .collect();
        let mean = far.iter().sum::<f64>() / far.len() as f64;
        // The region reaches 0.4 spacings beyond the outermost atoms, which dilutes it by about that layer.
        assert!((0.85..1.15).contains(&mean), "{mean}");
        assert!(far.iter().all(|g| (g / mean - 1.0).abs() < 0.25));
    }

    /// Mean of a curve between 9 and 14 Å.
    fn level(pdf: &Pdf, name: &str) -> f64 {
        let (_, g) = pdf.partial.iter().find(|(own, _)| own == name).unwrap();
        let far = pdf.r.iter().zip(g);
        let far: Vec<f64> = far
            .filter(|(r, _)| (9.0..14.0).contains(*r))
            .map(|(_, g)| *g)
            .collect();
        far.iter().sum::<f64>() / far.len() as f64
    }

    #[test]
    fn every_pair_of_species_tends_to_one() {
        let a = 4.0;
        let mut points: Vec<[f64; 3]> = Vec::new();
        for i in -15..=15i32 {
            for j in -15..=15i32 {
                for k in (-15..=15i32).filter(|k| (i + j + k) % 2 == 0) {
                    let p = [i, j, k].map(|n| f64::from(n) * a / 2.0);
                    if p.iter().map(|x| x * x).sum::<f64>() < 784.0 {
                        points.push(p);
                    }
                }
            }
        }
        let names = ["Pd".to_owned(), "Pt".to_owned()];
        let sampling = Sampling {
            range: 16.0,
            ..SAMPLING
        };
        let of = |kinds: &[usize]| {
            let spacing = a / 2f64.sqrt();
            pair_distribution(&points, &sampling, spacing, Some((kinds, &names)))
        };
        // A core that fills a sixth of the particle: over the whole particle's density its level would be about five.
        let inside = |p: &[f64; 3]| p.iter().map(|x| x * x).sum::<f64>() < 256.0;
        let core: Vec<usize> = points.iter().map(|p| usize::from(!inside(p))).collect();
        let pdf = of(&core);
        // All atoms together reach 0.94 here: the region ends a little outside the atoms.
        for name in ["Pd–Pd", "Pd–Pt", "Pt–Pt"] {
            let level = level(&pdf, name);
            assert!((0.87..1.1).contains(&level), "core: {name} {level}");
        }
        // A random alloy: the rare species fills the whole particle, too.
        let mut rng = StdRng::seed_from_u64(7);
        let mixed: Vec<usize> = points
            .iter()
            .map(|_| usize::from(rng.random_range(0.0..1.0) > 0.15))
            .collect();
        let pdf = of(&mixed);
        for name in ["Pd–Pd", "Pd–Pt", "Pt–Pt"] {
            let level = level(&pdf, name);
            assert!((0.87..1.1).contains(&level), "alloy: {name} {level}");
        }
    }

    #[test]
    fn an_fcc_ball_has_its_shells() {
        let a = 4.07;
        let mut points = Vec::new();
        for i in -8..=8i32 {
            for j in -8..=8 {
                for k in (-8..=8i32).filter(|k| (i + j + k) % 2 == 0) {
                    points.push([f64::from(i), f64::from(j), f64::from(k)].map(|v| v * a / 2.0));
                }
            }
        }
        let pdf = pair_distribution(&points, &SAMPLING, a / 2f64.sqrt(), None);
        for (peak, shell) in pdf.peaks.iter().zip([0.5f64, 1.0, 1.5, 2.0]) {
            assert!((peak - a * shell.sqrt()).abs() < 0.026, "{peak} {shell}");
        }
        let valley = pdf.first_valley.unwrap();
        assert!(valley > 2.95 && valley < 4.0, "{valley}");
    }
}
