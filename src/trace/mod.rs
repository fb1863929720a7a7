//! From a volume to atoms: up-sampling, local maxima, polynomial fit, K-means split, minimum distance
//! (Zr article, Methods, "Atom tracing"; Rogers et al. for the polynomial fit).

pub mod refine;

use crate::model::Atoms;
use crate::monitor::Stopped;
use serde::{Deserialize, Serialize};

/// Parameters of tracing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct TraceParams {
    /// Smallest distance between two atoms, Å (Zr: 2.0, PdPt: 2.2)
    #[arg(long, default_value_t = Self::default().min_distance)]
    pub min_distance: f64,
    /// Edge of the box for the polynomial fit and the integrated intensity, Å (Zr: 1.7)
    #[arg(long = "box", default_value_t = Self::default().box_size)]
    pub box_size: f64,
    /// Up-sampling factor of the cubic splines (Zr: 3)
    #[arg(long, default_value_t = Self::default().upsample)]
    pub upsample: usize,
    /// Standard deviation (Å) of a Gaussian applied to the volume before tracing; 0 for none
    #[arg(long, default_value_t = Self::default().smoothing)]
    pub smoothing: f64,
    /// Integrated intensity below which a maximum is no atom [default: the K-means split]
    #[arg(long)]
    pub threshold: Option<f64>,
    /// Number of chemical species
    #[arg(long, default_value_t = Self::default().species)]
    pub species: usize,
    /// Their names, lightest first
    #[arg(long, value_delimiter = ',', default_values_t = Self::default().species_names)]
    pub species_names: Vec<String>,
}

impl Default for TraceParams {
    fn default() -> Self {
        Self {
            min_distance: 2.0, // (Zr)
            box_size: 1.7,     // (Zr)
            upsample: 3,       // (Zr)
            smoothing: 0.0,
            threshold: None,
            species: 1,
            species_names: vec!["Zr".to_owned()],
        }
    }
}

/// Why a maximum is, or is not, an atom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Kept.
    Atom,
    /// Below the intensity threshold.
    TooWeak,
    /// Nearer than the minimum distance to a stronger one.
    TooClose,
    /// The fitted maximum left its box or did not settle.
    FitDiverged,
    /// The fitted polynomial has no maximum there.
    FitNotPeak,
    /// Its box leaves the volume.
    AtEdge,
}

/// A local maximum of the volume and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Fitted position, Å about the volume's centre (the raw maximum where the fit failed).
    pub position: [f64; 3],
    /// Density of the fitted maximum.
    pub density: f64,
    /// Density integrated over the box (mean density × Å³).
    pub intensity: f64,
    /// Width of the maximum as a Gaussian's standard deviation, Å; NaN where the fit failed.
    pub sigma: f64,
    /// Root mean square misfit of the polynomial over the box, relative to `density`.
    pub misfit: f64,
    /// What became of it.
    pub verdict: Verdict,
}

/// The outcome of tracing.
#[derive(Debug, Clone)]
pub struct Traced {
    /// The atoms kept, with columns `intensity`, `density`, `sigma_A`, `misfit`.
    pub atoms: Atoms,
    /// Every maximum, kept or not.
    pub candidates: Vec<Candidate>,
    /// Intensity threshold used, given or by K-means.
    pub threshold: f64,
    /// Mean and standard deviation of the atoms' blur widths σ, Å.
    pub sigma_mean: f64,
    /// See `sigma_mean`.
    pub sigma_sd: f64,
    /// Wall seconds.
    pub seconds: f64,
}

impl Traced {
    /// How many candidates met each verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.candidates
            .iter()
            .filter(|c| c.verdict == verdict)
            .count()
    }
}

/// Why no atoms can be traced.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The volume cannot be used.
    #[error("{subject}: expected {expected}, found {found}")]
    BadInput {
        /// What is wrong.
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
    /// The user stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
