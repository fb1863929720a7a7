//! Width of the kernel and number of iterations, chosen by tilts that short reconstructions have not seen.
//!
//! Every fifth tilt is left out; its misfit is how badly it is predicted. Too narrow a kernel (or too many iterations) fits
//! the noise of the other tilts, too wide a one (or too few) misses the object: both raise it. No truth, no model and no
//! noise level enters.

use super::{
    Engine, Iteration, ReconstructError, ReconstructParams, Regularization, Resire, watch,
};
use crate::model::{TiltSeries, center_index};
use crate::monitor::Monitor;
use ndarray::{Axis, s};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Every so many tilts one is left out.
pub(super) const LEAVE_OUT: usize = 5;
/// Fewest tilts with which leaving some out says something.
const FEWEST_TILTS: usize = 2 * LEAVE_OUT;
/// Pixels along the tilt axis that trials are made of when one slice (nearly) knows nothing of the next.
const BAND: usize = 64;
/// Pixels along the tilt axis that a ray may cross for the band to be closed in itself.
const CROSSING: f64 = BAND as f64 / 16.0;
/// Widths tried after none at all: the narrowest, pixels (finer is the grid itself), and the ratio of one to the next.
const NARROWEST: f64 = 0.6;
const RATIO: f64 = std::f64::consts::SQRT_2;
/// Widest tried, pixels: several atoms.
const WIDEST: f64 = 10.0;

/// A short reconstruction without some tilts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Width of the kernel in the loop, Å; 0 without one.
    pub kernel_width: f64,
    /// Iterations after which the tilts left out were explained best.
    pub iterations: usize,
    /// Their relative misfit then, `√(Σ (Πᵢ O − bᵢ)² / Σ bᵢ²)`.
    pub misfit_free: f64,
}

/// Parameters with nothing left to choose.
pub(super) struct Chosen {
    pub(super) params: ReconstructParams,
    pub(super) trials: Vec<Trial>,
    pub(super) notes: Vec<String>,
}

/// Chooses what `params` leaves open: the kernel's width, and with an automatic stop but no tilts left out the number of
/// iterations.
pub(super) fn choose(
    series: &TiltSeries,
    params: &ReconstructParams,
    monitor: &Monitor,
) -> Result<Chosen, ReconstructError> {
    let width_open =
        params.regularization == Regularization::Kernel && params.kernel_width.is_none();
    let length_open = params.auto_stop && params.leave_out.is_none();
    let mut chosen = Chosen {
        params: params.clone(),
        trials: Vec::new(),
        notes: Vec::new(),
    };
    if !width_open && !length_open {
        return Ok(chosen);
    }
    let used = series.only_included();
    let pixel_size = super::check(&used, params)?;
    if used.len() < FEWEST_TILTS {
        chosen.notes.push(format!(
            "{} tilts are too few to leave some out: nothing was chosen, no kernel is used.",
            used.len()
        ));
        if width_open {
            chosen.params.regularization = Regularization::None;
        }
        return Ok(chosen);
    }
    monitor.phase("Choose by tilts left out");
    let (band, volume_size) = band(&used, params);
    let trial = |width: Option<f64>| {
        let params = ReconstructParams {
            leave_out: Some(LEAVE_OUT),
            regularization: width.map_or(Regularization::None, |_| Regularization::Kernel),
            kernel_width: width,
            volume_size: Some(volume_size.to_vec()),
            smoothing: 0.0,
            // One engine for all trials, whose numbers are compared.
            engine: Engine::Cpu,
            ..params.clone()
        };
        try_out(&band, &params, monitor)
    };
    let trials = &mut chosen.trials;
    if width_open {
        trials.push(trial(None)?);
        let mut width = NARROWEST * pixel_size;
        while width <= WIDEST * pixel_size {
            monitor.progress(trials.len(), trials.len() + 3);
            trials.push(trial(Some(width))?);
            width *= RATIO;
            // A kernel hardly wider than the grid may do worse than none where a wider one does better.
            let misfits: Vec<f64> = trials.iter().map(|t| t.misfit_free).collect();
            if watch::lowest_at(&misfits).is_some_and(|lowest| lowest + 2 < trials.len()) {
                break;
            }
        }
    } else {
        trials.push(trial(params.kernel())?);
    }
    let misfits: Vec<f64> = trials.iter().map(|t| t.misfit_free).collect();
    let best = watch::lowest_at(&misfits).unwrap_or_default();
    if width_open {
        let width = lowest_width(trials, best);
        chosen.params.kernel_width = width;
        if width.is_none() {
            chosen.params.regularization = Regularization::None;
        }
        chosen.notes.push(width_note(trials, width));
    }
    if length_open {
        chosen.params.iterations = trials[best].iterations;
        chosen.notes.push(format!(
            "Iterations {}: beyond, the tilts left out are explained no better (misfit {:.4}).",
            trials[best].iterations, trials[best].misfit_free
        ));
    }
    Ok(chosen)
}

/// Runs until the tilts left out have been explained best.
fn try_out(
    series: &TiltSeries,
    params: &ReconstructParams,
    monitor: &Monitor,
) -> Result<Trial, ReconstructError> {
    let iterations = until_explained(series, params, monitor)?;
    let free: Vec<f64> = iterations.iter().filter_map(|i| i.misfit_free).collect();
    let at = watch::lowest_at(&free).unwrap_or_default();
    Ok(Trial {
        kernel_width: params.kernel().unwrap_or(0.0),
        iterations: at.max(1),
        misfit_free: free.get(at).copied().unwrap_or(f64::NAN),
    })
}

/// The iterations until the tilts left out are explained no better.
pub(super) fn until_explained(
    series: &TiltSeries,
    params: &ReconstructParams,
    monitor: &Monitor,
) -> Result<Vec<Iteration>, ReconstructError> {
    let mut resire = Resire::new(series, params, None, None, monitor)?;
    let mut iterations = Vec::new();
    // An iteration tells of the volume before it.
    while iterations.len() <= params.iterations && watch::enough(&iterations).is_none() {
        iterations.push(resire.step(monitor)?);
    }
    Ok(iterations)
}

/// The vertex of the parabola through the best trial and its neighbors, over the logarithm of the width; `None` when no
/// kernel does better.
fn lowest_width(trials: &[Trial], best: usize) -> Option<f64> {
    let width = Some(trials[best].kernel_width).filter(|w| *w > 0.0)?;
    let (Some(left), Some(right)) = (
        best.checked_sub(1)
            .map(|b| trials[b])
            .filter(|t| t.kernel_width > 0.0),
        trials.get(best + 1),
    ) else {
        return Some(width);
    };
    let (down, up) = (
        left.misfit_free - trials[best].misfit_free,
        right.misfit_free - trials[best].misfit_free,
    );
    let offset = if down + up > 0.0 {
        0.5 * (down - up) / (down + up)
    } else {
        0.0
    };
    Some(width * RATIO.powf(offset))
}

fn width_note(trials: &[Trial], width: Option<f64>) -> String {
    let tried: Vec<String> = trials
        .iter()
        .map(|t| format!("{:.2} Å {:.5}", t.kernel_width, t.misfit_free))
        .collect();
    let tried = tried.join(", ");
    match width {
        Some(width) => format!(
            "Kernel of {width:.3} Å: it explains the tilts left out best (misfit by width: {tried})."
        ),
        None => format!(
            "No kernel: none explains the tilts left out better (misfit by width: {tried})."
        ),
    }
}

/// The rows about the middle of what is seen, when rays (nearly) stay in their row, and the size of their volume; else
/// the whole series.
fn band(series: &TiltSeries, params: &ReconstructParams) -> (TiltSeries, [usize; 3]) {
    let rows = middle_rows(series, params);
    (
        cut(series, rows.as_ref()),
        band_size(series, params, rows.as_ref()),
    )
}

/// Size of the volume of these rows.
pub(super) fn band_size(
    series: &TiltSeries,
    params: &ReconstructParams,
    rows: Option<&Range<usize>>,
) -> [usize; 3] {
    let size = super::volume_size(series, params);
    [size[0], rows.map_or(size[1], Range::len), size[2]]
}

/// The series with these rows of its images only.
pub(super) fn cut(series: &TiltSeries, rows: Option<&Range<usize>>) -> TiltSeries {
    let Some(rows) = rows else {
        return series.clone();
    };
    let mut part = series.without_pixels();
    part.images = series
        .images
        .slice(s![.., .., rows.clone()])
        .as_standard_layout()
        .into_owned();
    part
}

/// Rows about the middle of what is seen that are enough for a trial; `None` where rays cross them.
pub(super) fn middle_rows(series: &TiltSeries, params: &ReconstructParams) -> Option<Range<usize>> {
    let [nx, ny] = series.image_size();
    let size = super::volume_size(series, params);
    let reach = size[0].max(size[2]).max(nx) as f64 / 2.0;
    let steepest = series
        .angles
        .iter()
        .map(|a| a.phi.sin().abs().max(a.psi.sin().abs()))
        .fold(0.0, f64::max);
    if ny <= BAND || size[1] != ny || reach * steepest > CROSSING {
        return None;
    }
    let of_row = |y: usize| -> f64 {
        let pixels = series.images.index_axis(Axis(2), y);
        pixels
            .iter()
            .filter(|v| v.is_finite())
            .map(|v| f64::from(v.max(0.0)))
            .sum()
    };
    let weights: Vec<f64> = (0..ny).map(of_row).collect();
    let total: f64 = weights.iter().sum();
    let moment: f64 = weights.iter().enumerate().map(|(y, w)| y as f64 * w).sum();
    let middle = (moment / total.max(f64::MIN_POSITIVE)).round() as usize;
    let first = middle.saturating_sub(center_index(BAND)).min(ny - BAND);
    Some(first..first + BAND)
}
