//! The direction of the tilt axis in the images, from the common line: summed across the true axis every tilt is the same
//! function of the place along it, summed across another direction it is not.
//!
//! For a direction turned by α from the axis the profile of a tilt departs from the common one by α times the slope of the
//! specimen's first moment, which changes from tilt to tilt; so the mean correlation of the profiles with their mean has
//! its maximum at the axis, and near it is a parabola. It is scanned, then its vertex is found; the standard error comes
//! from leaving out every fifth tilt in turn (jackknife). A specimen whose slices are all centred alike does not tell its
//! axis: noise then has a maximum somewhere, with a small error of its own. So the tilts must also agree better about the
//! axis found than about y, each compared with itself, by several standard errors. Cost: some twenty-five sums over the
//! specimen's pixels.

use super::align::{Profiles, profile_of};
use crate::monitor::{Monitor, Stopped};
use ndarray::{Array2, Array3, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Directions tried to each side of y, and their distance.
const REACH_DEG: f64 = 8.0;
const STEP_DEG: f64 = 1.0;
/// Half widths of the parabolas, one after the other.
const FINE_DEG: [f64; 2] = [0.5, 0.25];
/// Every this many-th tilt is left out in turn.
const GROUPS: usize = 5;
/// A turn below this many standard errors may be noise.
const CLEAR_ERRORS: f64 = 4.0;
/// The tilts must agree better than about y by this many standard errors of their gains. Noise alone, at the best of all
/// directions, stayed below 2 in generated series.
const CLEAR_GAIN: f64 = 3.0;
/// A turn that moves the specimen's ends by less than this is within what the alignment is good for, pixels.
const WORTHWHILE_PX: f64 = 0.5;

/// Where the tilt axis lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TiltAxis {
    /// Angle from the y axis, counter-clockwise, degrees.
    pub angle_deg: f64,
    /// Its standard error; zero for an angle that was given.
    pub error_deg: f64,
    /// Mean gain in agreement over an axis along y, in standard errors over the tilts; zero for an angle that was given.
    pub gain_errors: f64,
    /// How far the specimen's ends would be displaced if the axis were taken to be y, pixels.
    pub displaces_px: f64,
}

impl TiltAxis {
    /// Whether the tilts say clearly that the axis is not y, and by so much that it matters.
    #[must_use]
    pub fn is_turned(&self) -> bool {
        let clear = self.angle_deg.abs() > CLEAR_ERRORS * self.error_deg;
        clear && self.gain_errors > CLEAR_GAIN && self.displaces_px > WORTHWHILE_PX
    }

    /// The angle, radians.
    #[must_use]
    pub fn angle(&self) -> f64 {
        self.angle_deg.to_radians()
    }
}

/// Searches the direction of the axis in background-free `images` (shape `(tilt, x, y)`), looking only at `specimens`'
/// pixels and at the tilts in `good`. `shifts_px` are the profiles' shifts for an axis along y. `None` where no direction
/// within reach is better than its neighbors.
///
/// # Errors
/// A stop.
pub fn search(
    images: &Array3<f32>,
    specimens: &[Array2<bool>],
    good: &[usize],
    shifts_px: &[f64],
    monitor: &Monitor,
) -> Result<Option<TiltAxis>, Stopped> {
    let start: Vec<f64> = good.iter().map(|&t| shifts_px[t]).collect();
    let agreements = |angle_deg: f64| -> Result<Vec<f64>, Stopped> {
        monitor.check()?;
        let profiles: Vec<Vec<f64>> = good
            .par_iter()
            .map(|&t| {
                profile_of(
                    images.index_axis(Axis(0), t),
                    &specimens[t],
                    angle_deg.to_radians(),
                )
            })
            .collect();
        let profiles = Profiles::new(profiles.iter().map(Vec::as_slice), images.dim().2);
        Ok(profiles.align_from(Some(&start), monitor)?.1)
    };
    let sum = |of: &[f64]| of.iter().sum::<f64>();
    let steps = (REACH_DEG / STEP_DEG) as i32;
    monitor.phase("Searching the tilt axis");
    let mut best = (f64::NEG_INFINITY, 0);
    for step in -steps..=steps {
        monitor.progress((step + steps) as usize, (2 * steps + 7) as usize);
        let score = sum(&agreements(f64::from(step) * STEP_DEG)?);
        if score > best.0 {
            best = (score, step);
        }
    }
    if best.1.abs() == steps {
        return Ok(None);
    }
    let mut middle = f64::from(best.1) * STEP_DEG;
    let mut around = Vec::new();
    let mut half = STEP_DEG;
    for fine in FINE_DEG {
        half = fine;
        around = [-1.0, 0.0, 1.0]
            .iter()
            .map(|side| agreements(middle + side * half))
            .collect::<Result<Vec<_>, _>>()?;
        let [low, at, high] = [0, 1, 2].map(|k| sum(&around[k]));
        let Some(moved) = vertex([low, at, high]) else {
            return Ok(None);
        };
        if fine == FINE_DEG[FINE_DEG.len() - 1] {
            break;
        }
        middle += moved * half;
    }
    let without = |group: Option<usize>| {
        let kept = |of: &Vec<f64>| -> f64 {
            (of.iter().enumerate())
                .filter(|(k, _)| group != Some(k % GROUPS))
                .map(|(_, a)| a)
                .sum()
        };
        vertex([0, 1, 2].map(|k| kept(&around[k]))).map(|moved| middle + moved * half)
    };
    let Some(angle_deg) = without(None) else {
        return Ok(None);
    };
    let others: Vec<f64> = (0..GROUPS)
        .filter_map(|group| without(Some(group)))
        .collect();
    if others.len() < GROUPS {
        return Ok(None);
    }
    let mean = others.iter().sum::<f64>() / GROUPS as f64;
    let squares: f64 = others.iter().map(|a| (a - mean).powi(2)).sum();
    let error_deg = (squares * (GROUPS - 1) as f64 / GROUPS as f64).sqrt();
    let (found, plain) = (agreements(angle_deg)?, agreements(0.0)?);
    let gains: Vec<f64> = found.iter().zip(&plain).map(|(a, b)| a - b).collect();
    Ok(Some(TiltAxis {
        error_deg,
        gain_errors: in_errors(&gains),
        ..given(angle_deg, specimens)
    }))
}

/// Mean of some values over its standard error.
fn in_errors(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let error = (squares / (n - 1.0).max(1.0) / n).sqrt();
    if error > 0.0 { mean / error } else { 0.0 }
}

/// An axis that was given, with what it means for these specimens.
#[must_use]
pub fn given(angle_deg: f64, specimens: &[Array2<bool>]) -> TiltAxis {
    let mut lengths: Vec<usize> = specimens.iter().map(length_along).collect();
    lengths.sort_unstable();
    let length = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    TiltAxis {
        angle_deg,
        error_deg: 0.0,
        gain_errors: 0.0,
        displaces_px: angle_deg.to_radians().tan().abs() * length as f64 / 2.0,
    }
}

/// Extent of a specimen along y, pixels.
fn length_along(specimen: &Array2<bool>) -> usize {
    let shows = |j: &usize| specimen.column(*j).iter().any(|s| *s);
    let ny = specimen.dim().1;
    match ((0..ny).find(shows), (0..ny).rev().find(shows)) {
        (Some(first), Some(last)) => last - first + 1,
        _ => 0,
    }
}

/// Place of the maximum of the parabola through values at −1, 0 and 1; `None` where it has none within two steps.
fn vertex([low, at, high]: [f64; 3]) -> Option<f64> {
    let bend = low + high - 2.0 * at;
    let place = 0.5 * (low - high) / bend;
    (bend < 0.0 && place.abs() <= 2.0).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_has_its_vertex() {
        let f = |x: f64| 3.0 - 2.0 * (x - 0.3).powi(2);
        assert!((vertex([f(-1.0), f(0.0), f(1.0)]).unwrap() - 0.3).abs() < 1e-12);
        assert_eq!(vertex([1.0, 0.5, 1.0]), None);
    }

    #[test]
    fn a_turn_counts_when_it_is_clear_and_matters() {
        let specimens = vec![Array2::from_elem((100, 100), true)];
        let turned = |angle_deg, error_deg, gain_errors| {
            let found = TiltAxis {
                error_deg,
                gain_errors,
                ..given(angle_deg, &specimens)
            };
            found.is_turned()
        };
        assert!(turned(1.0, 0.1, 5.0));
        assert!(!turned(1.0, 0.3, 5.0), "within its errors");
        assert!(!turned(1.0, 0.1, 1.5), "no better than noise");
        assert!(!turned(0.3, 0.01, 5.0), "a quarter of a pixel");
    }
}
