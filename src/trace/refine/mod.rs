//! Refinement of atoms against the measured tilts (PdPt article, Methods, "Refinement"; generalised).
//!
//! Each atom is a Gaussian (with a wider second one where the images ask for it) projected along every tilt. Positions
//! and occupancies move by L-BFGS on analytic gradients, heights, widths, backgrounds and brightnesses by Gauss–Newton
//! in between, and weights follow the noise: `1/variance`, or `1/λ` for counts, which makes the result the maximum of
//! the Poisson likelihood. Cost: about `2 · tilts · atoms · (8 width/pixel)²` multiply-adds per step.
//!
//! Occupancies are *restrained* by default: they scatter about 1 with a variance that is estimated from the data (the
//! scatter of the free occupancies less their own errors), so they are fitted only as far as the images can tell.

mod complete;
pub(crate) mod fit;
mod imaging;
mod kernel;
mod local;
mod part;
mod poses;
pub(crate) mod problem;
mod repulsion;
mod solve;
#[cfg(test)]
pub(crate) mod tests;

use crate::model::{Atoms, TiltSeries};
use crate::monitor::{Monitor, Stopped};
use serde::{Deserialize, Serialize};
use std::time::Instant;

pub use complete::{Change, ChangeKind, CompleteParams, Completed, complete};
pub(crate) use fit::Fit;
pub use local::{Cutout, LocalRefiner, PlaneGrid};
pub use poses::RefinedPoses;

/// What the noise of the images is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Noise {
    /// Decided by how the residual variance grows with the model: nearer ∝ brightness is counts.
    #[default]
    Auto,
    /// The same everywhere: least squares.
    Gaussian,
    /// Counts, variance ∝ brightness: Poisson likelihood.
    Poisson,
}

/// Radial shape of an atom's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ProfileShape {
    /// Two Gaussians where the misfit falls by more than the information criterion asks.
    #[default]
    Auto,
    /// One Gaussian.
    One,
    /// A core and a wider pedestal.
    Two,
}

/// What occupancies may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OccupancyModel {
    /// Scatter about 1 as much as the images show beyond their noise.
    #[default]
    Restrained,
    /// Free.
    Free,
    /// As they come: a column `occupancy`, else 1.
    Fixed,
}

/// Parameters of refinement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct RefineParams {
    /// What the noise of the images is like
    #[arg(long, value_enum, default_value_t = Self::default().noise)]
    pub noise: Noise,
    /// Radial shape of an atom's image
    #[arg(long, value_enum, default_value_t = Self::default().profile)]
    pub profile: ProfileShape,
    /// What occupancies may do
    #[arg(long, value_enum, default_value_t = Self::default().occupancy)]
    pub occupancy: OccupancyModel,
    /// Largest number of rounds (positions, then heights, widths and weights)
    #[arg(long = "refine-rounds", default_value_t = Self::default().rounds)]
    pub rounds: usize,
    /// Largest number of steps on the positions in a round
    #[arg(long = "refine-steps", default_value_t = Self::default().steps)]
    pub steps: usize,
    /// Median displacement (Å) of a round at which refinement ends
    #[arg(long = "refine-tolerance", default_value_t = Self::default().tolerance)]
    pub tolerance: f64,
    /// Push apart atoms nearer than this, Å: a prior that is no measurement, and said in the report
    #[arg(long, value_name = "DISTANCE")]
    pub repulsion: Option<f64>,
    /// Take all tilts as equally bright
    #[arg(long)]
    pub no_tilt_scale: bool,
    /// Refine every tilt's shift and angles against the atoms, too; the re-aligned stack goes beside the atoms
    #[arg(long = "refine-geometry")]
    pub refine_geometry: bool,
    /// When completing: let brightness decide the atoms' species, and look for a species lighter than the known ones
    #[arg(long)]
    pub sort_species: bool,
    /// Names for such lighter species, lightest first
    #[arg(long, value_delimiter = ',')]
    pub lighter_species: Vec<String>,
}

impl Default for RefineParams {
    fn default() -> Self {
        Self {
            noise: Noise::Auto,
            profile: ProfileShape::Auto,
            occupancy: OccupancyModel::Restrained,
            rounds: 8,
            steps: 12,
            // A tenth of the best accuracy reported (3 pm): further steps cannot be seen.
            tolerance: 0.003,
            repulsion: None,
            no_tilt_scale: false,
            refine_geometry: false,
            sort_species: false,
            lighter_species: Vec::new(),
        }
    }
}

/// Fitted image of a species.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpeciesProfile {
    /// Species name.
    pub name: String,
    /// Value at the centre of an atom of occupancy 1, counts.
    pub height: f64,
    /// Standard deviation of the Gaussian of the same height and integral, Å.
    pub width: f64,
    /// Integral over the image, counts.
    pub counts: f64,
    /// Standard deviation of the core, Å.
    pub core_width: f64,
    /// Share of the counts in the wide pedestal and its standard deviation (Å), when there is one.
    pub pedestal: Option<[f64; 2]>,
}

/// Refined atoms and how well they explain the images.
#[derive(Debug, Clone)]
pub struct Refined {
    /// The atoms at their new places. Columns: `occupancy` (of the model), `free_occupancy` (unrestrained),
    /// `height` (counts), `width_A`, `shift_A` (from the start), `sigma_x_A`, `sigma_y_A`, `sigma_z_A`,
    /// `position_sd_A` (from the normal matrix), `significance` (free occupancy over its standard error), `confidence`
    /// (probability that the atom exists, by its free occupancy and those around it).
    pub atoms: Atoms,
    /// R1 of the starting model, with heights, widths and backgrounds fitted to it.
    pub r1_before: f64,
    /// R1 of the refined model: mean over tilts of `Σ|λ − n| / Σ|n|`.
    pub r1: f64,
    /// The same for each included tilt.
    pub r1_per_tilt: Vec<f64>,
    /// Fitted profile of each species.
    pub profiles: Vec<SpeciesProfile>,
    /// Fitted background of each included tilt, counts per pixel.
    pub background: Vec<f64>,
    /// Fitted brightness of each included tilt, mean 1.
    pub tilt_scale: Vec<f64>,
    /// Corrected shifts and angles of the tilts, when they were refined.
    pub poses: Option<RefinedPoses>,
    /// The noise model used (never `Auto`).
    pub noise: Noise,
    /// Residual variance: over the model for counts (1 = shot noise alone), in counts² otherwise.
    pub dispersion: f64,
    /// Standard deviation of the occupancies about 1 that the restraint used.
    pub occupancy_sd: Option<f64>,
    /// Steps on the positions.
    pub iterations: usize,
    /// Whether the user ended it early.
    pub stopped_early: bool,
    /// Wall seconds.
    pub seconds: f64,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl Refined {
    /// Height of each species, counts.
    #[must_use]
    pub fn heights(&self) -> Vec<f64> {
        self.profiles.iter().map(|p| p.height).collect()
    }

    /// Width of each species, Å.
    #[must_use]
    pub fn widths(&self) -> Vec<f64> {
        self.profiles.iter().map(|p| p.width).collect()
    }
}

/// Why atoms cannot be refined.
#[derive(Debug, thiserror::Error)]
pub enum RefineError {
    /// The series or the atoms cannot be used as they are.
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
    /// The user abandoned it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl RefineError {
    fn input(
        subject: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::BadInput {
            subject: subject.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// Refines all atoms against all included tilts.
///
/// The same atoms come back in the same order with the same ids. The result does not depend on the number of threads.
///
/// # Errors
/// No pixel size, no atoms, positions or pixels that are not numbers, atoms that no image shows, parameters out of
/// range, or the user's *abandon*.
pub fn refine(
    series: &TiltSeries,
    atoms: &Atoms,
    params: &RefineParams,
    monitor: &Monitor,
) -> Result<Refined, RefineError> {
    let started = Instant::now();
    monitor.phase("Refine atoms");
    let mut fit = Fit::new(series, atoms, params, monitor)?;
    let r1_before = fit.r1();
    let stopped_early = match fit.run(params.rounds, monitor) {
        Ok(()) => false,
        Err(Stopped::Keep) => true,
        Err(stop) => return Err(stop.into()),
    };
    let mut refined = fit.outcome(atoms)?;
    refined.r1_before = r1_before;
    refined.stopped_early = stopped_early;
    refined.seconds = started.elapsed().as_secs_f64();
    Ok(refined)
}

/// Refines the atoms at `indices` while all others, heights, widths and backgrounds stay.
///
/// For many small requests on one model keep a [`LocalRefiner`] instead: this function draws the whole model first.
///
/// # Errors
/// As [`refine`]; an index out of range.
pub fn refine_subset(
    series: &TiltSeries,
    atoms: &Atoms,
    indices: &[usize],
    params: &RefineParams,
    monitor: &Monitor,
) -> Result<Atoms, RefineError> {
    LocalRefiner::new(series, atoms, params, monitor)?.refine(indices, monitor)
}
