//! From atoms to structure: PDF, bond-orientational order, atomic density, degree of oxidation, ….

use crate::model::Atoms;
use crate::monitor::Stopped;
use serde::{Deserialize, Serialize};

/// Parameters of the structure analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct AnalyzeParams {
    /// Neighbour cutoff, Å [default: the first valley of the PDF] (Zr: 4.5, PdPt: 3.35)
    #[arg(long)]
    pub cutoff: Option<f64>,
    /// Species of the metal lattice that oxidises [default: the commonest species]
    #[arg(long)]
    pub host: Option<String>,
    /// Only these analyses: pdf, boo, voronoi, oxidation, …
    #[arg(long, value_delimiter = ',')]
    pub only: Option<Vec<String>>,
    /// Largest distance of the PDF, Å
    #[arg(long, default_value_t = Self::default().pdf_range)]
    pub pdf_range: f64,
    /// Bin width of the PDF, Å
    #[arg(long, default_value_t = Self::default().pdf_bin)]
    pub pdf_bin: f64,
    /// Gaussian smoothing of the PDF, standard deviation in Å
    #[arg(long, default_value_t = Self::default().pdf_smoothing)]
    pub pdf_smoothing: f64,
    /// Normalised BOO below which an atom is disordered (Zr)
    #[arg(long, default_value_t = Self::default().boo_threshold)]
    pub boo_threshold: f64,
    /// Largest distortion e_max/e_avg − 1 of a tetrahedron that counts (Zr)
    #[arg(long, default_value_t = Self::default().max_distortion)]
    pub max_distortion: f64,
    /// Volume above which a tetrahedron holds an O atom, Å³ (Zr)
    #[arg(long, default_value_t = Self::default().oxygen_volume)]
    pub oxygen_volume: f64,
    /// Volume below which a tetrahedron is a sliver of a degenerate lattice and left out, Å³; 0 keeps all
    #[arg(long, default_value_t = Self::default().sliver_volume)]
    pub sliver_volume: f64,
    /// Standard deviation of the Gaussian of the oxidation map, Å (Zr)
    #[arg(long, default_value_t = Self::default().map_sigma)]
    pub map_sigma: f64,
    /// Thickness of the slabs of the maps, Å (Zr)
    #[arg(long, default_value_t = Self::default().slab)]
    pub slab: f64,
    /// RMSD below which polyhedral template matching names a structure
    #[arg(long = "ptm-rmsd", default_value_t = Self::default().ptm_rmsd)]
    pub ptm_rmsd: f64,
    /// Circumradius above which a tetrahedron is void, Å (Zr)
    #[arg(long, default_value_t = Self::default().void_radius)]
    pub void_radius: f64,
}

impl Default for AnalyzeParams {
    fn default() -> Self {
        Self {
            cutoff: None,
            host: None,
            only: None,
            pdf_range: 20.0,
            pdf_bin: 0.05,
            pdf_smoothing: 0.15,
            boo_threshold: 0.5,    // (Zr)
            max_distortion: 0.255, // (Zr)
            oxygen_volume: 4.68,   // (Zr)
            sliver_volume: 0.5,
            map_sigma: 2.0, // (Zr)
            slab: 5.3,      // (Zr)
            ptm_rmsd: 0.1,
            void_radius: 3.19, // (Zr)
        }
    }
}

/// The outcome: numbers to write, the atoms with a column per quantity, and plots as data.
#[derive(Debug, Clone)]
pub struct Analyzed {
    /// The input atoms with added columns (`q4bar`, `q6bar`, `boo`, `cn`, `rho_n`, `oxidation`, `surface`, `phase`, …).
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
