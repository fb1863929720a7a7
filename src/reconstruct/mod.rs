//! RESIRE: from a tilt series to a volume.
//!
//! Minimises `½ Σᵢ ‖Πᵢ O − bᵢ‖²` subject to `O ≥ 0` (and a support) by projected gradient steps
//! `O ← max(0, O − t/(n N) Σᵢ Πᵢᵀ(Πᵢ O − bᵢ))`, with n tilts, image width N and step t
//! (Pham et al., Sci. Rep. 13, 5624 (2023)).

mod forecast;
pub mod geometry;
mod on_cpu;
mod on_gpu;
mod problem;
pub mod resire;

pub use forecast::{Forecast, check_memory, forecast};
pub use geometry::{GeometryParams, GeometryRefined, GeometryRound, refine_geometry};
pub use resire::Resire;

pub use crate::projection::Projector;

use crate::model::{TiltSeries, Volume};
use crate::monitor::{Monitor, Stopped};
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
    /// Standard deviation (Å) of a 3D Gaussian applied to the finished volume; 0 leaves it as it is
    #[arg(long, default_value_t = Self::default().smoothing)]
    pub smoothing: f64,
}

impl Default for ReconstructParams {
    fn default() -> Self {
        Self {
            iterations: 200, // (Zr, PdPt)
            step: 1.0,
            projector: Projector::Linear,
            oversampling: 1.5,
            accelerated: false,
            no_positivity: false,
            leave_out: None,
            engine: Engine::Auto,
            volume_size: None,
            smoothing: 0.0,
        }
    }
}

impl ReconstructParams {
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

/// Voxels on x, y, z: as asked for, else as wide and deep as the image is wide.
#[must_use]
pub fn volume_size(series: &TiltSeries, params: &ReconstructParams) -> [usize; 3] {
    let [x, y] = series.image_size();
    match params.volume_size.as_deref() {
        Some(&[x, y, z]) => [x, y, z],
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
                || "none: the file does not state it".to_owned(),
                |p| p.to_string(),
            ),
        );
    };
    for tilt in 0..series.len() {
        let image = series.image(tilt);
        if let Some(value) = image.iter().find(|v| !v.is_finite()) {
            return bad(format!("image {tilt}"), "finite pixels", value.to_string());
        }
        if image.iter().all(|v| *v == 0.0) {
            return bad(format!("image {tilt}"), "an image", "zeros only".to_owned());
        }
    }
    let first = series.angles[0];
    if series.len() > 1 && series.angles.iter().all(|a| *a == first) {
        return bad(
            "angles".to_owned(),
            "different tilts",
            format!("{} times the same", series.len()),
        );
    }
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
        "leave_out",
        params.leave_out.is_none_or(|k| k > 1),
        "every 2nd tilt or fewer",
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
        format!("{sizes:?}"),
    )?;
    let size = volume_size(series, params);
    range(
        "volume_size",
        size.iter().all(|&n| n > 0),
        "at least one voxel on each axis",
        format!("{size:?}"),
    )?;
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
    let mut resire = Resire::new(series, params, start, support, monitor)?;
    let mut iterations = Vec::with_capacity(params.iterations);
    let mut stopped_early = false;
    while resire.number() < params.iterations {
        match resire.step(monitor) {
            Ok(iteration) => {
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
    }
    // A kept run still wants its final R; the stop was answered already.
    let silent = Monitor::silent();
    let last = if stopped_early { &silent } else { monitor };
    Ok(resire.finish(iterations, stopped_early, last)?)
}

#[cfg(test)]
mod tests;
