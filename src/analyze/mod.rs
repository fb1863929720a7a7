//! From atoms to structure: PDF, bond-orientational order, atomic density, degree of oxidation, ….

pub mod bonds;
pub mod compare;
pub mod core_shell;
pub mod crystals;
pub mod fivefold;
pub mod lattice;
mod layers;
pub mod order;
pub mod oxidation;
mod params;
pub mod pdf;
pub mod phases;
pub mod planes;
pub mod profiles;
pub mod ptm;
pub mod strain;
pub mod structure_factor;
mod summary;
pub mod voids;
mod work;

#[cfg(test)]
mod tests;

pub use params::{AnalyzeParams, PARTS, SurfaceKind};

use crate::model::Atoms;
use crate::monitor::{Monitor, Stopped};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use work::Work;

/// The outcome: numbers to write, the atoms with a column per quantity, and plots as data.
#[derive(Debug, Clone, Default)]
pub struct Analyzed {
    /// The input atoms with added columns (`q4bar`, `q6bar`, `boo`, `cn`, `rho_n`, `oxidation`, `surface`, `phase`,
    /// `cn_voronoi`, `bond_voronoi_A` and `fivefold` by topological bonds, …);
    /// those of template matching are `ptm` (0 other, 1 fcc, 2 hcp, 3 bcc, 4 ico, 5 sc), `ptm_rmsd` (NaN where no template
    /// has the graph of the neighbours), and for known structures `lattice_A`, `ptm_qw` … `ptm_qz` (rotation
    /// `sample_from_crystal`) and `grain` (0 none, 1 the largest, …).
    pub atoms: Atoms,
    /// The neighbour cutoff used, Å.
    pub cutoff: f64,
    /// The JSON of `aetlas analyze` (keys as promised to scripts).
    pub summary: serde_json::Value,
    /// Seconds by stage.
    pub seconds: Vec<(String, f64)>,
    /// The pair distribution function.
    pub pdf: Option<Pdf>,
    /// Centres of the filled tetrahedra (inferred O atoms), Å.
    pub oxygen: Vec<[f64; 3]>,
    /// Inferred O atoms at the tetrahedra of each atom.
    pub oxygen_of: Option<Arc<Vec<u32>>>,
    /// Voids of the region, largest first; those at its surface are roughness, not voids.
    pub voids: Vec<voids::Void>,
    /// The surfaces of vacancies and pores.
    pub void_surfaces: Arc<Vec<voids::VoidSurface>>,
    /// Voids against the distances from the particle's and the core's surface.
    pub void_radial: Vec<voids::Radial>,
    /// Core and shell, where there are two species.
    pub core_shell: Option<core_shell::CoreShell>,
    /// Lattices and strain, where there are grains.
    pub strain: Option<strain::Strain>,
    /// Surfaces of the model and the atoms' distances from them.
    pub distances: Vec<profiles::Distances>,
    /// Quantities against those distances.
    pub profiles: Vec<profiles::Profile>,
    /// Width of their bins, Å.
    pub profile_width: f64,
    /// The parameters it was made with.
    pub params: AnalyzeParams,
    /// Median nearest distance, Å.
    pub spacing: f64,
    /// Columns that the input had.
    pub given: Vec<String>,
    /// The structure factor.
    pub structure_factor: Option<structure_factor::StructureFactor>,
    /// PDFs of the crystals to compare with.
    pub references: Vec<crystals::ReferencePdf>,
    /// The PDF of each phase by itself, up to 12 Å.
    pub phase_pdfs: Vec<(String, Pdf)>,
    /// The pairs behind them.
    pub phase_counts: Arc<Vec<(String, pdf::Counted)>>,
    /// Lengths of the bonds by the cutoff.
    pub bond_lengths: Option<bonds::Lengths>,
    /// Bonds over the faces of the Voronoi cells.
    pub topology: Option<Arc<bonds::Topology>>,
    /// What the thresholds of the oxidation do to its means.
    pub sweep: Option<oxidation::Sweep>,
    /// The layers of the plane that was asked for.
    pub stack: Option<planes::Stack>,
    /// What could not be computed, and what was assumed.
    pub notes: Vec<String>,
    /// The tessellation, kept so that a threshold that moves costs no new one.
    pub space: Option<Arc<oxidation::Space>>,
    /// The particle's part of space for this cutoff.
    pub region: Option<Arc<oxidation::Region>>,
    /// Pairs by distance, kept so that smoothing counts none again.
    pub counted: Option<Arc<pdf::Counted>>,
    /// Neighbours nearer than the cutoff.
    pub neighbors: Option<Arc<bonds::Neighbors>>,
    /// Grains, largest first: grain n of the column `grain` is the n-th.
    pub grains: Vec<ptm::Grain>,
    /// Twin planes between grains, largest first.
    pub twins: Vec<ptm::Twin>,
    /// Pentagonal bipyramids and the axes they make.
    pub fivefold: Option<Arc<fivefold::Fivefold>>,
    /// Every atom's best template, kept so that a threshold that moves costs no new matching.
    pub matches: Option<Arc<ptm::Matches>>,
    /// The phases but for what was set by hand.
    pub automatic_phase: Option<Arc<Vec<f64>>>,
    /// Bond order and oxidation averaged over the first shell, from which the phases are told.
    pub phase_fields: Option<[Arc<Vec<f64>>; 2]>,
    /// What is not made yet with these parameters.
    pub pending: Option<Pending>,
}

impl Analyzed {
    /// The last analysis all of whose parts have the same parameters: this one, or the one it began from.
    #[must_use]
    pub fn whole(self: &Arc<Self>) -> &Arc<Self> {
        self.pending.as_ref().map_or(self, |pending| &pending.of)
    }
}

/// The parts of an analysis under way that are still those of the one before.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Names out of [`PARTS`].
    pub parts: Vec<&'static str>,
    /// The analysis before.
    pub of: Arc<Analyzed>,
}

/// A pair distribution function.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pdf {
    /// Bin centres, Å.
    pub r: Vec<f64>,
    /// g(r), all pairs.
    pub g: Vec<f64>,
    /// g(r) by pair of species or by phase.
    pub partial: Vec<(String, Vec<f64>)>,
    /// Peaks, Å.
    pub peaks: Vec<f64>,
    /// First valley after the first peak, Å.
    pub first_valley: Option<f64>,
}

/// Why an analysis cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzeError {
    /// The atoms cannot be used.
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

/// Runs the analyses.
///
/// # Errors
/// Atoms that cannot be analysed (fewer than 5, NaN, coincident, not in Å), parameters out of their range, a stop.
pub fn analyze(
    atoms: &Atoms,
    params: &AnalyzeParams,
    monitor: &Monitor,
) -> Result<Analyzed, AnalyzeError> {
    work::run(atoms, params, None, None, monitor)
}

/// Repeats an analysis with other thresholds; every part of which nothing it depends on has changed is used again.
///
/// # Errors
/// As [`analyze`].
pub fn reanalyze(
    before: &Analyzed,
    params: &AnalyzeParams,
    monitor: &Monitor,
) -> Result<Analyzed, AnalyzeError> {
    work::run(&before.atoms, params, Some(before), None, monitor)
}

/// As [`reanalyze`]; what a moved threshold changes at once is told to `early` before the parts that take longer (strain,
/// profiles, phases' own PDFs) are made. Nothing is told when there are none. `by_hand` are the phases set by hand, one for
/// each atom, NaN where none is.
///
/// # Errors
/// As [`analyze`].
pub fn reanalyze_in_steps(
    before: &Arc<Analyzed>,
    by_hand: Option<&[f64]>,
    params: &AnalyzeParams,
    early: &mut dyn FnMut(Analyzed),
    monitor: &Monitor,
) -> Result<Analyzed, AnalyzeError> {
    let before = before.whole();
    let tell = work::Early {
        before,
        tell: early,
    };
    let said = by_hand.filter(|p| p.len() == before.atoms.len());
    let known = before.atoms.column(phases::BY_HAND);
    let same = match (said, known) {
        (Some(a), Some(b)) => profiles::same_bits(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    if same {
        return work::run(&before.atoms, params, Some(before), Some(tell), monitor);
    }
    let mut atoms = before.atoms.clone();
    match said {
        Some(said) => atoms.set_column(phases::BY_HAND, "", said.to_vec()),
        None => drop(atoms.columns.remove(phases::BY_HAND)),
    }
    work::run(&atoms, params, Some(before), Some(tell), monitor)
}
