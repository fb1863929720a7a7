//! Parameters of tracing read off the volume itself.
//!
//! A cube in the middle of the particle is traced twice with provisional parameters: the widths of its maxima say how far
//! to smooth and how large the fit's box may be, the distances between them how near two atoms may come. Every choice is
//! given with its reason, ready for a report.

use super::{TraceParams, trace};
use crate::model::Volume;
use crate::monitor::Monitor;
use crate::numeric::neighbors::nearest_distances;
use crate::numeric::spectrum::PowerSpectrum;

/// What is known of the specimen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TraceHints {
    /// Expected distance between nearest neighbors, Å.
    pub spacing: Option<f64>,
}

/// Parameters for a volume, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggested {
    /// The parameters; species and threshold are left at their defaults.
    pub params: TraceParams,
    /// Blur width (standard deviation) of the atoms in the unsmoothed volume, Å, if it could be measured.
    pub atom_sigma: Option<f64>,
    /// Most frequent distance between nearest neighbors, Å, hinted or measured.
    pub first_neighbor: Option<f64>,
    /// One sentence per choice.
    pub notes: Vec<String>,
}

/// Edge of the cube that is looked at, Å: some hundreds to thousands of atoms.
const PROBE_EDGE: f64 = 36.0;
/// Smoothing of the first look, Å: wide enough to hold noise down, narrow enough to keep neighbors apart (Zr: atoms
/// of 0.36 Å).
const FIRST_SMOOTHING: f64 = 0.35;
/// Smoothing over the atoms' own width. At 1 the Gaussian is the matched filter, best for single atoms in white noise; neighbors
/// 2.2 Å apart begin to merge then, so a little less.
const SMOOTHING_PER_SIGMA: f64 = 0.75;
/// The fit's box over the width of the smoothed atoms: beyond 1.5 σ a Gaussian is no fourth-order polynomial.
const BOX_PER_SIGMA: f64 = 3.0;
/// The same where neighbors are barely resolved: their flanks begin at one σ.
const RESOLVING_BOX_PER_SIGMA: f64 = 2.0;
/// Smallest distance over the most frequent nearest-neighbor distance: below the closest pairs of glasses (0.85) and above
/// the pairs that a split maximum makes (0.6).
const DISTANCE_PER_NEIGHBOR: f64 = 0.75;
/// The same where noise splits no maximum: a hundredth of the atoms of measured glasses have a nearer neighbor.
const CLOSEST_PER_NEIGHBOR: f64 = 0.68;
/// Distance over the width of two Gaussians that are plainly two: the density between them falls to 0.81 of theirs, as in
/// Rayleigh's criterion.
const RESOLVED_PER_SIGMA: f64 = 2.64;
/// Largest share of noise in the variance of a smoothed volume that splits no maximum.
const QUIET_SHARE: f64 = 0.05;
/// Fewest atoms whose statistics are trusted.
const FEWEST_ATOMS: usize = 20;

/// Chooses smoothing, box and minimum distance for a volume. Takes about a second; never fails: where the volume says
/// nothing the defaults stay and the notes say so.
#[must_use]
pub fn suggest(volume: &Volume, hints: &TraceHints) -> Suggested {
    let spacing = hints.spacing.filter(|s| s.is_finite() && *s > 0.0);
    let probe = probe_cube(volume);
    let mut suggested = Suggested {
        params: TraceParams::default(),
        atom_sigma: None,
        first_neighbor: spacing,
        notes: Vec::new(),
    };
    choose_smoothing(&probe, &mut suggested);
    if suggested.first_neighbor.is_none() {
        suggested.first_neighbor = measure_first_neighbor(&probe, &suggested.params);
    }
    choose_distance(spacing.is_some(), &mut suggested);
    if resolve_neighbors(&probe, &mut suggested) {
        choose_box(RESOLVING_BOX_PER_SIGMA, &mut suggested);
    } else {
        choose_box(BOX_PER_SIGMA, &mut suggested);
    }
    suggested
}

/// The cube of the volume around the center of its density.
fn probe_cube(volume: &Volume) -> Volume {
    let size = volume.size();
    let mut sums = [0.0f64; 3];
    let mut total = 0.0f64;
    for ((x, y, z), &value) in volume.data.indexed_iter() {
        if value > 0.0 && value.is_finite() {
            let value = f64::from(value);
            total += value;
            sums = [
                sums[0] + value * x as f64,
                sums[1] + value * y as f64,
                sums[2] + value * z as f64,
            ];
        }
    }
    let half = PROBE_EDGE / 2.0 / volume.pixel_size;
    if total <= 0.0 || half.is_nan() || half < 2.0 {
        return volume.clone();
    }
    let range: [std::ops::Range<usize>; 3] = std::array::from_fn(|axis| {
        let center = sums[axis] / total;
        (center - half).floor().max(0.0) as usize
            ..((center + half).ceil() as usize + 1).min(size[axis])
    });
    let [x, y, z] = range;
    Volume::new(
        volume.data.slice(ndarray::s![x, y, z]).to_owned(),
        volume.pixel_size,
    )
}

fn choose_smoothing(probe: &Volume, suggested: &mut Suggested) {
    // Two maxima nearer than two widths have merged into one (Sparrow), so nothing real is lost at one ångström.
    let first = TraceParams {
        smoothing: FIRST_SMOOTHING,
        min_distance: suggested
            .first_neighbor
            .map_or(1.0, |d| DISTANCE_PER_NEIGHBOR * d),
        ..TraceParams::default()
    };
    let widths = trace(probe, &first, None, &Monitor::silent()).map(|traced| {
        let mut widths: Vec<f64> = traced
            .atoms
            .column("sigma_A")
            .unwrap_or(&[])
            .iter()
            .copied()
            .filter(|s| s.is_finite())
            .collect();
        widths.sort_by(f64::total_cmp);
        widths
    });
    // Smoothing adds its variance to that of the atoms.
    let own = widths
        .ok()
        .filter(|w| w.len() >= FEWEST_ATOMS)
        .and_then(|w| {
            let variance = w[w.len() / 2].powi(2) - FIRST_SMOOTHING.powi(2);
            (variance > 0.0).then(|| (variance.sqrt(), w.len()))
        });
    if let Some((sigma, count)) = own {
        suggested.atom_sigma = Some(sigma);
        suggested.params.smoothing = rounded(SMOOTHING_PER_SIGMA * sigma);
        suggested.notes.push(format!(
            "Smoothing {:.2} Å: {SMOOTHING_PER_SIGMA} of the atoms' blur width of {sigma:.2} Å (median of {count} maxima \
             in the middle of the volume).",
            suggested.params.smoothing
        ));
    } else {
        suggested.params.smoothing = FIRST_SMOOTHING;
        suggested.notes.push(format!(
            "Smoothing {FIRST_SMOOTHING} Å: too few maxima in the middle of the volume to measure the atoms' width."
        ));
    }
}

/// Most frequent distance between nearest neighbors among the maxima of the probe.
fn measure_first_neighbor(probe: &Volume, params: &TraceParams) -> Option<f64> {
    // A maximum that splits in two leaves halves some blur widths apart: those pairs are few, and the mode ignores them.
    let loose = TraceParams {
        min_distance: 1.0,
        ..params.clone()
    };
    let traced = trace(probe, &loose, None, &Monitor::silent()).ok()?;
    // The boxes of maxima between atoms (light elements, ripples) hold much of their neighbors' intensity; their own
    // density gives them away.
    let densities = traced.atoms.column("density")?;
    let mut sorted = densities.to_vec();
    sorted.sort_by(f64::total_cmp);
    let floor = 0.5 * sorted.get(sorted.len() / 2)?;
    let positions: Vec<[f64; 3]> = traced
        .atoms
        .positions
        .iter()
        .zip(densities)
        .filter(|(_, d)| **d >= floor)
        .map(|(p, _)| *p)
        .collect();
    if positions.len() < FEWEST_ATOMS {
        return None;
    }
    let mut distances = nearest_distances(&positions);
    distances.retain(|d| d.is_finite());
    mode_of(&mut distances)
}

/// Mode of a sample: the middle of the kernel density's highest peak, with a bandwidth of 4 % of the median.
pub(super) fn mode_of(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let median = *values.get(values.len() / 2)?;
    let width = 0.04 * median;
    let density = |x: f64| -> f64 {
        values
            .iter()
            .map(|v| (-0.5 * ((v - x) / width).powi(2)).exp())
            .sum()
    };
    let step = width / 5.0;
    let cells = (2.0 * median / step) as usize;
    (1..=cells)
        .map(|i| i as f64 * step)
        .map(|x| (density(x), x))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, x)| x)
}

fn choose_distance(hinted: bool, suggested: &mut Suggested) {
    let Some(neighbor) = suggested.first_neighbor else {
        suggested.notes.push(format!(
            "Minimum distance {:.2} Å (the Zr article's): too few maxima to measure the distance between neighbors.",
            suggested.params.min_distance
        ));
        return;
    };
    suggested.params.min_distance = rounded(DISTANCE_PER_NEIGHBOR * neighbor);
    let origin = if hinted {
        "given"
    } else {
        "the most frequent in the middle of the volume"
    };
    suggested.notes.push(format!(
        "Minimum distance {:.2} Å: {DISTANCE_PER_NEIGHBOR} of the distance between nearest neighbors, {neighbor:.2} Å ({origin}).",
        suggested.params.min_distance
    ));
}

/// Where atoms are so wide for their distances that the usual smoothing merges neighbors: smooths only as far as the
/// nearest of them stay two, unless noise asks for more. Whether it did.
fn resolve_neighbors(probe: &Volume, suggested: &mut Suggested) -> bool {
    let (Some(sigma), Some(neighbor)) = (suggested.atom_sigma, suggested.first_neighbor) else {
        return false;
    };
    let closest = CLOSEST_PER_NEIGHBOR * neighbor;
    let widest = closest / RESOLVED_PER_SIGMA;
    let usual = suggested.params.smoothing;
    if sigma.hypot(usual) <= widest {
        return false;
    }
    let resolving = (widest * widest - sigma * sigma).max(0.0).sqrt();
    let spectrum = PowerSpectrum::of(&probe.data);
    let share = |smoothing: f64| spectrum.noise_share(smoothing / probe.pixel_size);
    if share(resolving) > QUIET_SHARE {
        suggested.notes.push(format!(
            "Neighbors {closest:.2} Å apart merge at this smoothing; with less, noise ({:.0} % of the volume's variance) \
             would split maxima.",
            100.0 * share(resolving)
        ));
        return false;
    }
    suggested.params.smoothing = rounded(resolving);
    suggested.params.min_distance = rounded(closest);
    suggested.notes.push(format!(
        "Instead smoothing {:.2} Å and minimum distance {closest:.2} Å: atoms that near to each other stay two then, and \
         noise is only {:.1} % of the volume's variance.",
        suggested.params.smoothing,
        100.0 * share(resolving)
    ));
    true
}

fn choose_box(per_sigma: f64, suggested: &mut Suggested) {
    let Some(sigma) = suggested.atom_sigma else {
        suggested.notes.push(format!(
            "Box {:.1} Å (the Zr article's).",
            suggested.params.box_size
        ));
        return;
    };
    let smoothed = sigma.hypot(suggested.params.smoothing);
    let by_width = per_sigma * smoothed;
    let by_distance = suggested.params.min_distance;
    suggested.params.box_size = rounded(by_width.min(by_distance));
    let reason = if by_width <= by_distance {
        format!("{per_sigma} blur widths of the smoothed atoms ({smoothed:.2} Å)")
    } else {
        "no wider than the minimum distance, so that it reaches at most halfway to a neighbor"
            .to_owned()
    };
    suggested
        .notes
        .push(format!("Box {:.2} Å: {reason}.", suggested.params.box_size));
}

/// To two decimals, as it is shown.
fn rounded(length: f64) -> f64 {
    (length * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Jittered lattice of Gaussian atoms `spacing` apart on a grid of 0.35 Å.
    fn crystal(spacing: f64, sigma: f64) -> Volume {
        let mut volume = Volume::zeros([56; 3], 0.35);
        for n in 0..125usize {
            let jitter = |k: usize| (((n * 7 + k * 3) % 9) as f64 - 4.0) * 0.01 * spacing;
            let place = [n / 25, n / 5 % 5, n % 5];
            let p: [f64; 3] =
                std::array::from_fn(|a| (place[a] as f64 - 2.0) * spacing + jitter(a));
            let at = volume.index_of(p);
            for m in 0..15usize.pow(3) {
                let voxel: [usize; 3] =
                    std::array::from_fn(|a| at[a] as usize - 7 + [m / 225, m / 15 % 15, m % 15][a]);
                let q = volume.position_of(voxel.map(|v| v as f64));
                let r2: f64 = (0..3).map(|a| (p[a] - q[a]).powi(2)).sum();
                volume.data[voxel] += (-0.5 * r2 / (sigma * sigma)).exp() as f32;
            }
        }
        volume
    }

    #[test]
    fn width_and_spacing_are_measured_and_explained() {
        let suggested = suggest(&crystal(3.0, 0.45), &TraceHints::default());
        let sigma = suggested.atom_sigma.unwrap();
        assert!((sigma - 0.45).abs() < 0.03, "{suggested:?}");
        // Jitter makes the nearest of six neighbors nearer than the lattice's spacing.
        let neighbor = suggested.first_neighbor.unwrap();
        assert!((2.6..3.05).contains(&neighbor), "{suggested:?}");
        assert!((suggested.params.min_distance - 0.75 * neighbor).abs() < 0.006);
        assert!((suggested.params.smoothing - 0.75 * sigma).abs() < 0.006);
        assert_eq!(suggested.notes.len(), 3);
        let found = trace(
            &crystal(3.0, 0.45),
            &suggested.params,
            None,
            &Monitor::silent(),
        )
        .unwrap();
        assert_eq!(found.atoms.len(), 125);
    }

    #[test]
    fn wide_atoms_are_smoothed_only_as_far_as_noise_asks() {
        let quiet = crystal(3.0, 0.72);
        let suggested = suggest(&quiet, &TraceHints::default());
        let (sigma, neighbor) = (
            suggested.atom_sigma.unwrap(),
            suggested.first_neighbor.unwrap(),
        );
        assert!((suggested.params.min_distance - 0.68 * neighbor).abs() < 0.006);
        let smoothed = sigma.hypot(suggested.params.smoothing);
        assert!(
            suggested.params.smoothing < 0.75 * sigma && 2.64 * smoothed < 0.69 * neighbor,
            "{suggested:?}"
        );
        assert!(suggested.notes[2].contains("stay two"), "{suggested:?}");
        // White noise nearly as strong as the atoms.
        let mut loud = quiet;
        let mut state = 7u64;
        loud.data.mapv_inplace(|v| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            v + 1.2 * ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5)
        });
        let suggested = suggest(&loud, &TraceHints { spacing: Some(3.0) });
        let sigma = suggested.atom_sigma.unwrap();
        assert!((suggested.params.smoothing - 0.75 * sigma).abs() < 0.006);
        assert!((suggested.params.min_distance - 2.25).abs() < 1e-9);
        assert!(suggested.notes[2].contains("noise"), "{suggested:?}");
    }

    #[test]
    fn a_given_spacing_decides_the_distance() {
        let suggested = suggest(&crystal(3.0, 0.45), &TraceHints { spacing: Some(2.4) });
        assert!((suggested.params.min_distance - 1.8).abs() < 1e-9);
        assert!(
            suggested.notes[1].contains("2.40 Å (given)"),
            "{:?}",
            suggested.notes
        );
    }

    #[test]
    fn a_volume_that_says_nothing_gives_the_defaults_with_a_note() {
        for volume in [
            Volume::zeros([12; 3], 0.4),
            Volume::zeros([0, 0, 0], 0.4),
            Volume::zeros([4; 3], f64::NAN),
        ] {
            let suggested = suggest(
                &volume,
                &TraceHints {
                    spacing: Some(f64::NAN),
                },
            );
            assert_eq!(
                suggested.params.min_distance,
                TraceParams::default().min_distance
            );
            assert_eq!(
                (suggested.atom_sigma, suggested.first_neighbor),
                (None, None)
            );
            assert_eq!(suggested.notes.len(), 3);
        }
    }
}
