//! The pair distribution function of a finite particle.
//!
//! `g(r) = n(r) / (N ρ 4πr² dr f(r))`: pairs counted exactly, divided by what a uniform density in the same region would
//! give; `f(r)` is the share of points at distance r from a point of the region that lie in it too, so that g tends to 1.

use super::Pdf;
use crate::numeric::neighbors::CellList;
use rayon::prelude::*;

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
    let bins = (sampling.range / sampling.bin).ceil().max(1.0) as usize;
    let names = classes.map_or(&[] as &[String], |(_, names)| names);
    let kinds = names.len().max(1);
    let counts = count_pairs(positions, sampling, bins, kinds, classes.map(|(of, _)| of));
    let shape = Shape::of(positions, spacing);
    let share = shape.share_within(sampling.range);
    let uniform: Vec<f64> = (0..bins)
        .map(|bin| {
            let (low, high) = (bin as f64 * sampling.bin, (bin + 1) as f64 * sampling.bin);
            let shell = 4.0 / 3.0 * std::f64::consts::PI * (high.powi(3) - low.powi(3));
            shell * share(0.5 * (low + high)) / shape.volume
        })
        .collect();
    let n = positions.len() as f64;
    let normalized = |bins: &[u64], pairs: f64| -> Vec<f64> {
        let ratio = |(&count, &expected): (&u64, &f64)| {
            if pairs * expected > 0.0 {
                count as f64 / (pairs * expected)
            } else {
                0.0
            }
        };
        bins.iter().zip(&uniform).map(ratio).collect()
    };
    let total: Vec<u64> = (0..bins)
        .map(|bin| counts.iter().map(|c| c[bin]).sum())
        .collect();
    let mut partial = Vec::new();
    if let Some((of, names)) = classes.filter(|(_, names)| names.len() > 1) {
        let size: Vec<f64> = (0..kinds)
            .map(|kind| of.iter().filter(|&&k| k == kind).count() as f64)
            .collect();
        for a in 0..kinds {
            for b in a..kinds {
                let pairs = if a == b {
                    0.5 * size[a] * size[a]
                } else {
                    size[a] * size[b]
                };
                partial.push((
                    format!("{}–{}", names[a], names[b]),
                    normalized(&counts[a * kinds + b], pairs),
                ));
            }
        }
    }
    let roots: Vec<f64> = total.iter().map(|&count| (count as f64).sqrt()).collect();
    let counted = normalized(&total, 0.5 * n * n);
    let error = counted
        .iter()
        .zip(&roots)
        .map(|(g, root)| if *root > 0.0 { g / root } else { 0.0 });
    Counted {
        sampling: [sampling.range, sampling.bin],
        error: error.collect(),
        total: counted,
        partial,
        density: n / shape.volume.max(f64::MIN_POSITIVE),
    }
}

/// Pairs by bin, for every ordered pair of classes (a ≤ b at `a * kinds + b`).
fn count_pairs(
    positions: &[[f64; 3]],
    sampling: &Sampling,
    bins: usize,
    kinds: usize,
    of: Option<&[usize]>,
) -> Vec<Vec<u64>> {
    // Small cells fit the sphere better, large ones need fewer rows: about a quarter of the range is best.
    let list = CellList::new(positions, (0.25 * sampling.range).clamp(2.0, 8.0));
    let empty = || vec![vec![0u64; bins]; kinds * kinds];
    const CHUNK: usize = 256;
    (0..positions.len().div_ceil(CHUNK))
        .into_par_iter()
        .fold(empty, |mut counts, chunk| {
            let slots = CHUNK * chunk..(CHUNK * (chunk + 1)).min(positions.len());
            list.for_each_pair(slots, sampling.range, |own, other, d2| {
                let bin = ((d2.sqrt() / sampling.bin) as usize).min(bins - 1);
                let class = of.map_or(0, |of| {
                    let (a, b) = (of[own], of[other]);
                    a.min(b) * kinds + a.max(b)
                });
                counts[class][bin] += 1;
            });
            counts
        })
        .reduce(empty, |mut a, b| {
            for (a, b) in a.iter_mut().flatten().zip(b.into_iter().flatten()) {
                *a += b;
            }
            a
        })
}

/// The region the atoms fill, on a grid.
struct Shape {
    low: [f64; 3],
    step: f64,
    /// One over the step.
    per: f64,
    size: [usize; 3],
    inside: Vec<bool>,
    volume: f64,
}

impl Shape {
    fn of(positions: &[[f64; 3]], spacing: f64) -> Self {
        let reach = 0.8 * spacing;
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for p in positions {
            for axis in 0..3 {
                low[axis] = low[axis].min(p[axis] - reach);
                high[axis] = high[axis].max(p[axis] + reach);
            }
        }
        let extent: [f64; 3] = std::array::from_fn(|axis| (high[axis] - low[axis]).max(1e-6));
        // Fine against the spacing, but never more than some millions of cells.
        let step = (spacing / 3.0).max((extent.iter().product::<f64>() / 4e6).cbrt());
        let size = extent.map(|e| (e / step).ceil() as usize + 1);
        let mut shape = Self {
            low,
            step,
            per: 1.0 / step,
            size,
            inside: vec![false; size.iter().product()],
            volume: 0.0,
        };
        let cells = (reach / step).ceil() as isize;
        for p in positions {
            let home: [isize; 3] =
                std::array::from_fn(|axis| ((p[axis] - low[axis]) / step) as isize);
            for dx in -cells..=cells {
                for dy in -cells..=cells {
                    for dz in -cells..=cells {
                        let cell = [home[0] + dx, home[1] + dy, home[2] + dz];
                        let middle: [f64; 3] = std::array::from_fn(|axis| {
                            low[axis] + (cell[axis] as f64 + 0.5) * step
                        });
                        if crate::model::geometry::distance_squared(middle, *p) <= reach * reach
                            && let Some(at) = shape.flat(cell)
                        {
                            shape.inside[at] = true;
                        }
                    }
                }
            }
        }
        shape.erode(0.4 * spacing);
        shape.volume = shape.inside.iter().filter(|&&i| i).count() as f64 * step.powi(3);
        shape
    }

    /// Takes a layer off: the region reaches about half a spacing beyond the outermost atoms, and no hole between
    /// atoms opens again.
    fn erode(&mut self, depth: f64) {
        let reach = (depth / self.step).floor() as isize;
        if reach == 0 {
            return;
        }
        let [nx, ny, nz] = self.size.map(|n| n as isize);
        let before = self.inside.clone();
        let empty = |cell: [isize; 3]| self.flat(cell).is_none_or(|at| !before[at]);
        let mut gone = vec![false; before.len()];
        for (at, _) in before.iter().enumerate().filter(|(_, inside)| **inside) {
            let at = at as isize;
            let home = [at / (ny * nz), at / nz % ny, at % nz];
            let near = |d: [isize; 3]| [home[0] + d[0], home[1] + d[1], home[2] + d[2]];
            let sides = [
                [1, 0, 0],
                [-1, 0, 0],
                [0, 1, 0],
                [0, -1, 0],
                [0, 0, 1],
                [0, 0, -1],
            ];
            if !sides.into_iter().any(|side| empty(near(side))) {
                continue;
            }
            // A cell of the rim: everything within reach of it goes.
            for dx in -reach..=reach {
                for dy in -reach..=reach {
                    for dz in -reach..=reach {
                        let cell = near([dx, dy, dz]);
                        if dx * dx + dy * dy + dz * dz < reach * reach
                            && (0..nx).contains(&cell[0])
                            && let Some(at) = self.flat(cell)
                        {
                            gone[at] = true;
                        }
                    }
                }
            }
        }
        for (inside, gone) in self.inside.iter_mut().zip(gone) {
            *inside &= !gone;
        }
    }

    fn flat(&self, cell: [isize; 3]) -> Option<usize> {
        let mut at = 0;
        for axis in 0..3 {
            let index = usize::try_from(cell[axis])
                .ok()
                .filter(|&i| i < self.size[axis])?;
            at = at * self.size[axis] + index;
        }
        Some(at)
    }

    fn contains(&self, point: [f64; 3]) -> bool {
        let mut at = 0;
        for axis in 0..3 {
            let place = (point[axis] - self.low[axis]) * self.per;
            // The cast rounds down what is not negative.
            if place < 0.0 || place >= self.size[axis] as f64 {
                return false;
            }
            at = at * self.size[axis] + place as usize;
        }
        self.inside[at]
    }

    /// The share f(r), by a fixed set of points and directions.
    fn share_within(&self, range: f64) -> impl Fn(f64) -> f64 + use<> {
        const KNOTS: usize = 48;
        const DIRECTIONS: usize = 64;
        const ORIGINS: usize = 3000;
        let cells: Vec<usize> = (0..self.inside.len())
            .filter(|&at| self.inside[at])
            .collect();
        let stride = cells.len().div_ceil(ORIGINS).max(1);
        let golden = std::f64::consts::PI * (3.0 - 5f64.sqrt());
        let origins: Vec<[f64; 3]> = cells
            .iter()
            .step_by(stride)
            .map(|&at| {
                let [_, ny, nz] = self.size;
                let cell = [at / (ny * nz), at / nz % ny, at % nz];
                std::array::from_fn(|axis| self.low[axis] + (cell[axis] as f64 + 0.5) * self.step)
            })
            .collect();
        let directions: Vec<[f64; 3]> = (0..DIRECTIONS)
            .map(|k| {
                let z = 1.0 - (2 * k + 1) as f64 / DIRECTIONS as f64;
                let (sin, cos) = (golden * k as f64).sin_cos();
                let s = (1.0 - z * z).sqrt();
                [s * cos, s * sin, z]
            })
            .collect();
        let table: Vec<f64> = (0..=KNOTS)
            .into_par_iter()
            .map(|knot| {
                let r = range * knot as f64 / KNOTS as f64;
                let mut inside = 0usize;
                for origin in &origins {
                    let to = |d: &&[f64; 3]| -> bool {
                        self.contains(std::array::from_fn(|k| origin[k] + r * d[k]))
                    };
                    inside += directions.iter().filter(to).count();
                }
                inside as f64 / (origins.len() * DIRECTIONS).max(1) as f64
            })
            .collect();
        move |r: f64| {
            let at = (r / range * KNOTS as f64).clamp(0.0, KNOTS as f64 - 1e-9);
            let knot = at as usize;
            table[knot] + (at - knot as f64) * (table[knot + 1] - table[knot])
        }
    }
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
