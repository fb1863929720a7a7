//! RESIRE: from a tilt series to a volume.
//!
//! Minimises `½ Σᵢ ‖Πᵢ O − bᵢ‖²` subject to `O ≥ 0` (and a support) by projected gradient steps
//! `O ← max(0, O − t/(n N) Σᵢ Πᵢᵀ(Πᵢ O − bᵢ))`, with n tilts, image width N and step t
//! (Pham et al., Sci. Rep. 13, 5624 (2023)).

use crate::model::Volume;
use crate::monitor::Stopped;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How projections are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Projector {
    /// Line integrals in real space with linear interpolation, and their exact transpose.
    #[default]
    Linear,
    /// Central slices of the volume's Fourier transform.
    Fourier,
}

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
    /// Zero padding of the Fourier projector (Zr: 4)
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
    #[arg(long, value_name = "X,Y,Z", value_delimiter = ',', num_args = 3)]
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
            oversampling: 4.0, // (Zr)
            accelerated: false,
            no_positivity: false,
            leave_out: None,
            engine: Engine::Auto,
            volume_size: None,
            smoothing: 0.0,
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
    pub volume: Volume,
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
    #[error("needs {needed_gb:.1} GB of memory, {available_gb:.1} GB are free; use fewer voxels")]
    TooLarge {
        /// Forecast.
        needed_gb: f64,
        /// What the machine has.
        available_gb: f64,
    },
    /// The user abandoned it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
