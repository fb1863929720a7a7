//! RESIRE: from a tilt series to a volume.
//!
//! Minimises `½ Σᵢ ‖Πᵢ O − bᵢ‖²` subject to `O ≥ 0` (and a support) by projected gradient steps
//! `O ← max(0, O − t/(n N) Σᵢ Πᵢᵀ(Πᵢ O − bᵢ))`, with n tilts, image width N and step t
//! (Pham et al., Sci. Rep. 13, 5624 (2023)).
//!
//! Regularized by a kernel, the volume is a sum of Gaussians of one width, one on each voxel, none negative (a *sieve*:
//! Snyder & Miller, IEEE Trans. Nucl. Sci. 32, 3864 (1985)): O in the above is what they weigh, `Πᵢ` projects and then
//! smooths, and the volume is O smoothed. Nothing finer than the kernel can be fitted, noise and artefacts of the
//! missing wedge included. Its width is chosen by tilts left out of short reconstructions.

mod choose;
mod denoising;
mod forecast;
pub mod geometry;
mod half_sets;
mod input;
mod on_cpu;
mod on_gpu;
mod problem;
pub mod resire;
pub mod slab;
mod watch;
mod wide;

pub use choose::Trial;
pub use denoising::{DenoisingVerdict, Prediction, judge_denoising};
pub use forecast::{Forecast, check_memory, forecast};
pub use geometry::{
    GeometryParams, GeometryRefined, GeometryRound, GeometryVerdict, judge_geometry, low_passed_r,
    refine_geometry,
};
pub use resire::Resire;
pub use slab::Slab;

pub use crate::projection::Projector;

use crate::model::{TiltSeries, Volume};
use crate::monitor::{Monitor, Stopped};
use crate::numeric::fsc::Fsc;
use crate::projection::Method;
use crate::projection::fourier::OVERSAMPLING;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where the iterations run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The fastest one that works here.
    #[default]
    Auto,
    /// All processor cores.
    Cpu,
    /// wgpu compute.
    Gpu,
}

/// What keeps the volume from fitting the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Regularization {
    /// Nothing but positivity, support and the end of the iterations.
    #[default]
    None,
    /// The volume is a sum of Gaussians of one width, one per voxel.
    Kernel,
}

/// What becomes of pixels that are not numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum NanPixels {
    /// The series is refused.
    #[default]
    Refuse,
    /// They do not take part in the fit.
    Mask,
}

/// Parameters of RESIRE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct ReconstructParams {
    /// Iterations (Zr, PdPt: 200)
    #[arg(long, default_value_t = Self::default().iterations)]
    pub iterations: usize,
    /// Step t of the gradient, in [1, 3)
    #[arg(long, default_value_t = Self::default().step)]
    pub step: f64,
    /// How projections are computed
    #[arg(long, value_enum, default_value_t = Self::default().projector)]
    pub projector: Projector,
    /// How much finer than its own the Fourier projector's grid of a volume's transform is; its kernel is chosen for it
    #[arg(long, default_value_t = Self::default().oversampling)]
    pub oversampling: f64,
    /// Momentum with adaptive restart: the same objective in far fewer iterations
    #[arg(long)]
    pub accelerated: bool,
    /// Allow negative density
    #[arg(long)]
    pub no_positivity: bool,
    /// Leave every K-th tilt out of the fit and report its R as R_free
    #[arg(long, value_name = "K")]
    pub leave_out: Option<usize>,
    /// Where the iterations run
    #[arg(long, value_enum, default_value_t = Self::default().engine)]
    pub engine: Engine,
    /// Voxels on x, y, z; wider than the image for extended objects [default: image x, image y, image x]
    #[arg(long, value_name = "X,Y,Z", value_delimiter = ',')]
    pub volume_size: Option<Vec<usize>>,
    /// Specimen wider than the images: as many voxels as it takes for every ray to stay inside
    #[arg(long)]
    pub wide_specimen: bool,
    /// Only the I-th of N ranges of y-slices, for a series with one tilt axis; `aetlas merge` joins the slabs
    #[arg(long, value_name = "I/N")]
    #[serde(skip)]
    pub slab: Option<Slab>,
    /// Standard deviation (Å) of a 3D Gaussian applied to the finished volume; 0 leaves it as it is
    #[arg(long, default_value_t = Self::default().smoothing)]
    pub smoothing: f64,
    /// What keeps the volume from fitting the noise: nothing, or a kernel in the loop
    #[arg(long, value_enum, default_value_t = Self::default().regularization)]
    pub regularization: Regularization,
    /// Standard deviation of the kernel in the loop, Å [default: chosen by the tilts left out]
    #[arg(long, value_name = "WIDTH")]
    pub kernel_width: Option<f64>,
    /// End the iterations when the tilts left out are explained no better; the number of iterations is then the most
    #[arg(long)]
    pub auto_stop: bool,
    /// Also reconstruct every second tilt and the others apart and correlate the halves shell by shell (FSC)
    #[arg(long)]
    pub half_sets: bool,
    /// What becomes of pixels that are not numbers
    #[arg(long, value_enum, default_value_t = Self::default().nan_pixels)]
    pub nan_pixels: NanPixels,
}

impl ReconstructParams {
    /// Width of the kernel in the loop, Å, when there is one and its width is known.
    pub(crate) fn kernel(&self) -> Option<f64> {
        self.kernel_width
            .filter(|_| self.regularization == Regularization::Kernel)
    }
}

impl Default for ReconstructParams {
    fn default() -> Self {
        Self {
            iterations: 200, // (Zr, PdPt)
            step: 1.0,
            // Atoms come out as exact as with Fourier slices, in half the time (tests/reference_projectors.rs).
            projector: Projector::Linear,
            // Beyond it only the time grows.
            oversampling: 1.5,
            accelerated: false,
            no_positivity: false,
            leave_out: None,
            engine: Engine::Auto,
            volume_size: None,
            wide_specimen: false,
            slab: None,
            smoothing: 0.0,
            regularization: Regularization::None,
            kernel_width: None,
            auto_stop: false,
            half_sets: false,
            nan_pixels: NanPixels::Refuse,
        }
    }
}

impl ReconstructParams {
    /// Whether the `tilt`-th of those that take part is left out of the fit.
    #[must_use]
    pub fn is_left_out(&self, tilt: usize) -> bool {
        self.leave_out.is_some_and(|k| tilt % k == k / 2)
    }

    /// The projector asked for.
    #[must_use]
    pub fn method(&self) -> Method {
        Method {
            projector: self.projector,
            oversampling: self.oversampling,
        }
    }
}

/// What one iteration reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// Iterations done, counted from 1.
    pub number: usize,
    /// Mean over fitted tilts of `Σ|Πᵢ O − bᵢ| / Σ|bᵢ|`, of the volume before this step.
    pub r1: f64,
    /// The same for each included tilt (fitted or left out), in order.
    pub r1_per_tilt: Arc<[f64]>,
    /// Mean over the tilts left out, when some are.
    pub r_free: Option<f64>,
    /// `√(Σ (Πᵢ O − bᵢ)² / Σ bᵢ²)` over the tilts left out, when some are: what the choice of a kernel and an automatic
    /// stop go by, because squares point at the mean of noisy counts where magnitudes point at their median.
    #[serde(default)]
    pub misfit_free: Option<f64>,
    /// `½ Σᵢ ‖Πᵢ O − bᵢ‖²` over fitted tilts.
    pub objective: f64,
    /// Wall seconds since the first iteration began.
    pub elapsed_secs: f64,
}

/// A finished (or kept) reconstruction.
#[derive(Debug, Clone)]
pub struct Reconstructed {
    /// The volume.
    pub volume: Arc<Volume>,
    /// What each iteration reported.
    pub iterations: Vec<Iteration>,
    /// R1 of the final volume (mean over fitted tilts).
    pub r1: f64,
    /// R of the final volume for each included tilt.
    pub r1_per_tilt: Vec<f64>,
    /// R of the left-out tilts.
    pub r_free: Option<f64>,
    /// Width of the kernel in the loop, Å, when there was one.
    pub kernel_width: Option<f64>,
    /// The short reconstructions that chose it, in the order they were made.
    pub trials: Vec<Trial>,
    /// Correlation of the half sets, when asked for.
    pub fsc: Option<Fsc>,
    /// What was chosen and why the iterations ended, in sentences.
    pub notes: Vec<String>,
    /// What ran, e.g. `cpu, 2 threads, avx512`.
    pub engine: String,
    /// Whether the user ended it before the last iteration.
    pub stopped_early: bool,
    /// Wall seconds.
    pub seconds: f64,
}

/// Why a reconstruction cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReconstructError {
    /// The series cannot be used as it is.
    #[error("{subject}: expected {expected}, found {found}")]
    BadInput {
        /// What is wrong, e.g. `tilt 12`.
        subject: String,
        /// What is needed.
        expected: String,
        /// What there is.
        found: String,
    },
    /// A parameter out of its range.
    #[error("{name} is {found}, expected {expected}")]
    BadParameter {
        /// Field name.
        name: &'static str,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Does not fit in memory.
    #[error("needs {needed}; {free_gb:.2} GB are free, and {device}; use fewer voxels")]
    TooLarge {
        /// Forecast.
        needed: String,
        /// What the host has.
        free_gb: f64,
        /// Why no device takes it.
        device: String,
    },
    /// The user abandoned it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Voxels on x, y, z: as asked for, else as wide and deep as the image is wide, or wide enough for a specimen wider than
/// its images.
#[must_use]
pub fn volume_size(series: &TiltSeries, params: &ReconstructParams) -> [usize; 3] {
    let [x, y] = series.image_size();
    match params.volume_size.as_deref() {
        Some(&[x, y, z]) => [x, y, z],
        _ if params.wide_specimen => wide::volume_size(series),
        _ => [x, y, x],
    }
}

/// Refuses what cannot be reconstructed; returns the pixel size.
fn check(series: &TiltSeries, params: &ReconstructParams) -> Result<f64, ReconstructError> {
    let bad = |subject: String, expected: &str, found: String| {
        Err(ReconstructError::BadInput {
            subject,
            expected: expected.to_owned(),
            found,
        })
    };
    if series.is_empty() {
        return bad(
            "tilt series".to_owned(),
            "at least one tilt that takes part",
            "none".to_owned(),
        );
    }
    let Some(pixel_size) = series.pixel_size.filter(|p| p.is_finite() && *p > 0.0) else {
        return bad(
            "pixel size".to_owned(),
            "a positive length in Å",
            series.pixel_size.map_or_else(
                || "none (the file does not state it; --pixel-size does)".to_owned(),
                |p| p.to_string(),
            ),
        );
    };
    input::check_images(series, params)?;
    input::check_angles(series)?;
    let range = |name, ok: bool, expected: &str, found: String| {
        if ok {
            Ok(())
        } else {
            Err(ReconstructError::BadParameter {
                name,
                expected: expected.to_owned(),
                found,
            })
        }
    };
    range(
        "iterations",
        params.iterations > 0,
        "at least 1",
        params.iterations.to_string(),
    )?;
    range(
        "step",
        params.step > 0.0 && params.step < 3.0,
        "a step in (0, 3)",
        params.step.to_string(),
    )?;
    range(
        "smoothing",
        params.smoothing >= 0.0,
        "0 or more Å",
        params.smoothing.to_string(),
    )?;
    range(
        "kernel_width",
        params.kernel_width.is_none_or(|w| w > 0.0 && w.is_finite()),
        "a length above 0 Å",
        format!("{:?}", params.kernel_width),
    )?;
    range(
        "leave_out",
        params
            .leave_out
            .is_none_or(|k| k > 1 && k / 2 < series.len()),
        &format!(
            "every 2nd tilt or fewer, and at least one of {}",
            series.len()
        ),
        format!("{:?}", params.leave_out),
    )?;
    range(
        "oversampling",
        OVERSAMPLING.contains(&params.oversampling),
        "a grid 1.25 to 4 times as fine",
        params.oversampling.to_string(),
    )?;
    let sizes = params.volume_size.as_ref();
    range(
        "volume_size",
        sizes.is_none_or(|size| size.len() == 3),
        "three numbers X,Y,Z",
        format!("{:?}", sizes.map_or(&[][..], Vec::as_slice)),
    )?;
    let size = volume_size(series, params);
    range(
        "volume_size",
        size.iter().all(|&n| n > 0),
        "at least one voxel on each axis",
        format!("{size:?}"),
    )?;
    slab::check(series, params)?;
    Ok(pixel_size)
}

/// Runs RESIRE to its last iteration or to a stop; `observe` sees every iteration and may take the volume.
///
/// # Errors
/// A series or parameters that cannot be used; an abandoned run.
pub fn reconstruct(
    series: &TiltSeries,
    params: &ReconstructParams,
    start: Option<&Volume>,
    support: Option<&Volume>,
    monitor: &Monitor,
    observe: &mut dyn FnMut(&Iteration, &dyn Fn() -> Volume),
) -> Result<Reconstructed, ReconstructError> {
    let _device = on_gpu::hold_device(params);
    for warning in input::warnings(series, params) {
        monitor.warn(&warning);
    }
    let chosen = choose::choose(series, params, monitor)?;
    let params = &chosen.params;
    let mut notes = chosen.notes;
    notes.iter().for_each(|note| monitor.note(note));
    let mut resire = Resire::new(series, params, start, support, monitor)?;
    match resire.why_no_device() {
        // Said aloud only where a device was asked for.
        Some(text) if params.engine == Engine::Gpu => monitor.warn(text),
        Some(text) => monitor.note(text),
        None => {}
    }
    let mut iterations = Vec::with_capacity(params.iterations);
    let mut stopped_early = false;
    while resire.number() < params.iterations {
        match resire.step(monitor) {
            Ok(iteration) => {
                if let (Some(slab), Some(before)) = (params.slab, iterations.last()) {
                    slab::check_fall(slab, before, &iteration)?;
                }
                observe(&iteration, &|| resire.volume());
                // A lost device takes its last iterations with it.
                iterations.truncate(iteration.number - 1);
                iterations.push(iteration);
            }
            Err(Stopped::Keep) if !iterations.is_empty() => {
                stopped_early = true;
                break;
            }
            Err(how) => return Err(how.into()),
        }
        if let Some(why) = watch::enough(&iterations).filter(|_| params.auto_stop) {
            monitor.note(&why);
            notes.push(why);
            break;
        }
    }
    // A kept run still wants its final R; the stop was answered already.
    let silent = Monitor::silent();
    let last = if stopped_early { &silent } else { monitor };
    let done = iterations.len();
    let mut outcome = resire.finish(iterations, stopped_early, last)?;
    outcome.trials = chosen.trials;
    if params.half_sets && !stopped_early {
        match half_sets::correlate(series, params, support, done, monitor) {
            Ok(fsc) => outcome.fsc = Some(fsc),
            Err(ReconstructError::Stopped(Stopped::Keep)) => {
                notes.push("The half sets were stopped: no FSC.".to_owned());
            }
            Err(error) => return Err(error),
        }
    }
    outcome.notes = notes;
    Ok(outcome)
}

#[cfg(test)]
mod tests;
