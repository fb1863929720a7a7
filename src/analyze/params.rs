//! The parameters of the structure analysis, and what is refused before it starts.

use super::{AnalyzeError, crystals, planes, ptm};
use crate::model::Atoms;
use crate::numeric::neighbors::nearest_distances;
use serde::{Deserialize, Serialize};

/// What distances from the particle and its core are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum SurfaceKind {
    /// The alpha shape of the particle, and the 50 % surface of the core: both follow notches and steps.
    #[default]
    Alpha,
    /// The convex hull of each.
    Convex,
}

/// Parameters of the structure analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct AnalyzeParams {
    /// Neighbour cutoff, Å [default: the first valley of the PDF] (Zr: 4.5, PdPt: 3.35)
    #[arg(long)]
    pub cutoff: Option<f64>,
    /// Species whose atoms alone make cells, densities, oxidation and voids, such as the metal of an oxide [default: all]
    #[arg(long)]
    pub host: Option<String>,
    /// Only these analyses: pdf, boo, voronoi, oxidation, voids, core-shell, ptm, strain, profiles, layers
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
    /// Largest scattering vector of the structure factor, 1/Å
    #[arg(long, default_value_t = Self::default().q_range)]
    pub q_range: f64,
    /// Crystals whose PDF is drawn beside the model's: a built-in name or a .cif file
    #[arg(
        long = "reference",
        value_name = "FILE.cif|NAME",
        value_delimiter = ','
    )]
    pub references: Vec<crystals::Reference>,
    /// Normalised BOO below which an atom is disordered (Zr)
    #[arg(long, default_value_t = Self::default().boo_threshold)]
    pub boo_threshold: f64,
    /// Share of a Voronoi cell's area below which a face makes no bond
    #[arg(long, default_value_t = Self::default().face_share)]
    pub face_share: f64,
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
    /// Structures that polyhedral template matching looks for
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Self::default().ptm_structures)]
    pub ptm_structures: Vec<ptm::Structure>,
    /// Misorientation of neighbouring atoms below which they belong to one grain, degrees
    #[arg(long, default_value_t = Self::default().grain_misorientation_deg)]
    pub grain_misorientation_deg: f64,
    /// Circumradius above which a tetrahedron is void, Å (Zr)
    #[arg(long, default_value_t = Self::default().void_radius)]
    pub void_radius: f64,
    /// Plane whose layers are stepped through: `atoms:4,17,23` (numbers in the file, from 1), `hkl:1,1,1@2` (of grain 2) or `normal:0,0,1`
    #[arg(long, value_name = "PLANE")]
    pub plane: Option<planes::PlaneSpec>,
    /// Thickness of a layer of the core-shell profiles, Å (PdPt)
    #[arg(long, default_value_t = Self::default().layer)]
    pub layer: f64,
    /// Standard deviation of the Gaussian that makes the 50 % surface, Å [default: 3/4 of the nearest distance]
    #[arg(long)]
    pub interface_sigma: Option<f64>,
    /// Standard deviation of the Gaussian over which strain is taken, Å (PdPt)
    #[arg(long, default_value_t = Self::default().strain_sigma)]
    pub strain_sigma: f64,
    /// Lattice constant a from which strain is counted, Å [default: the best fit to all grains of a structure]
    #[arg(long)]
    pub strain_lattice: Option<f64>,
    /// What distances of atoms and voids are counted from: surfaces that follow notches and steps, or convex hulls
    #[arg(long, value_enum, default_value_t = Self::default().surface)]
    pub surface: SurfaceKind,
    /// Bin width of the profiles, Å [default: half the nearest distance]
    #[arg(long)]
    pub profile_bin: Option<f64>,
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
            q_range: 16.0,
            references: Vec::new(),
            boo_threshold: 0.5,    // (Zr)
            face_share: 0.01,      // (Zr)
            max_distortion: 0.255, // (Zr)
            oxygen_volume: 4.68,   // (Zr)
            sliver_volume: 0.5,
            map_sigma: 2.0, // (Zr)
            slab: 5.3,      // (Zr)
            ptm_rmsd: 0.1,
            ptm_structures: ptm::Structure::ALL.to_vec(),
            grain_misorientation_deg: 5.0,
            void_radius: 3.19, // (Zr)
            plane: None,
            layer: 1.03, // (PdPt)
            interface_sigma: None,
            strain_sigma: 3.89, // (PdPt)
            strain_lattice: None,
            surface: SurfaceKind::default(),
            profile_bin: None,
        }
    }
}

/// The names `only` understands, in the order they run.
pub const PARTS: [&str; 10] = [
    "pdf",
    "boo",
    "voronoi",
    "oxidation",
    "voids",
    "core-shell",
    "ptm",
    "strain",
    "profiles",
    "layers",
];

pub(super) struct Wanted(pub(super) Option<Vec<String>>);

impl Wanted {
    pub(super) fn new(params: &AnalyzeParams) -> Result<Self, AnalyzeError> {
        for name in params.only.iter().flatten() {
            if !PARTS.contains(&name.as_str()) {
                return Err(AnalyzeError::BadParameter {
                    name: "only",
                    expected: format!("one of {}", PARTS.join(", ")),
                    found: name.clone(),
                });
            }
        }
        Ok(Self(params.only.clone()))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|names| names.iter().any(|n| n == name))
    }
}

/// Refuses atoms that cannot be analysed; returns the median nearest distance, Å.
pub(super) fn check(atoms: &Atoms, params: &AnalyzeParams) -> Result<f64, AnalyzeError> {
    let bad = |subject: &str, expected: &str, found: String| {
        Err(AnalyzeError::BadInput {
            subject: subject.to_owned(),
            expected: expected.to_owned(),
            found,
        })
    };
    if atoms.len() < 5 {
        return bad("model", "at least 5 atoms", atoms.len().to_string());
    }
    if let Some(index) = atoms
        .positions
        .iter()
        .position(|p| p.iter().any(|v| !v.is_finite()))
    {
        return bad(
            "model",
            "finite coordinates",
            format!("{:?} for atom {index}", atoms.positions[index]),
        );
    }
    let mut nearest = nearest_distances(&atoms.positions);
    let coincident = nearest.iter().filter(|d| **d == 0.0).count();
    if coincident > 0 {
        return bad(
            "model",
            "atoms apart from one another",
            format!("{coincident} atoms at the place of another"),
        );
    }
    nearest.sort_by(f64::total_cmp);
    let spacing = nearest[nearest.len() / 2];
    if !(0.8..=8.0).contains(&spacing) {
        return bad(
            "coordinates",
            "Å (nearest atoms 0.8 to 8 Å apart)",
            format!("a median nearest distance of {spacing:.2}; the unit may be another"),
        );
    }
    check_values(params)?;
    Ok(spacing)
}

/// Refuses parameters out of their range.
pub(super) fn check_values(params: &AnalyzeParams) -> Result<(), AnalyzeError> {
    let positive = [
        ("pdf_range", params.pdf_range),
        ("pdf_bin", params.pdf_bin),
        ("slab", params.slab),
        ("void_radius", params.void_radius),
        ("ptm_rmsd", params.ptm_rmsd),
        ("grain_misorientation_deg", params.grain_misorientation_deg),
        ("cutoff", params.cutoff.unwrap_or(1.0)),
        ("q_range", params.q_range),
    ];
    for (name, value) in positive {
        if !(value.is_finite() && value > 0.0) {
            return Err(AnalyzeError::BadParameter {
                name,
                expected: "a positive number".to_owned(),
                found: value.to_string(),
            });
        }
    }
    if params.pdf_range / params.pdf_bin > 20_000.0
        || params.pdf_range > 100.0
        || params.cutoff.is_some_and(|c| c > 20.0)
    {
        return Err(AnalyzeError::BadParameter {
            name: "pdf_range",
            expected: "at most 100 Å in at most 20000 bins, and a cutoff of at most 20 Å"
                .to_owned(),
            found: format!("{} Å in bins of {} Å", params.pdf_range, params.pdf_bin),
        });
    }
    check_ranges(params)?;
    check_shares(params)?;
    for reference in &params.references {
        if let crystals::Reference::Name(name) = reference
            && crystals::built_in(name).is_none()
        {
            return Err(AnalyzeError::BadParameter {
                name: "reference",
                expected: format!("a .cif file or one of {}", crystals::names().join(", ")),
                found: name.clone(),
            });
        }
    }
    Ok(())
}

/// Lengths beyond which an analysis means nothing or takes for ever.
fn check_ranges(params: &AnalyzeParams) -> Result<(), AnalyzeError> {
    let ranges = [
        ("layer", params.layer, 0.2, 20.0),
        (
            "interface_sigma",
            params.interface_sigma.unwrap_or(1.0),
            0.5,
            10.0,
        ),
        ("strain_sigma", params.strain_sigma, 0.5, 10.0),
        (
            "strain_lattice",
            params.strain_lattice.unwrap_or(4.0),
            1.0,
            20.0,
        ),
        ("profile_bin", params.profile_bin.unwrap_or(1.0), 0.05, 50.0),
    ];
    for (name, value, low, high) in ranges {
        if !(low..=high).contains(&value) {
            return Err(AnalyzeError::BadParameter {
                name,
                expected: format!("{low} to {high} Å"),
                found: value.to_string(),
            });
        }
    }
    Ok(())
}

/// Pure numbers and volumes.
fn check_shares(params: &AnalyzeParams) -> Result<(), AnalyzeError> {
    let ranges = [
        ("boo_threshold", params.boo_threshold, 0.0, 2.0),
        ("max_distortion", params.max_distortion, 0.0, 2.0),
        ("face_share", params.face_share, 0.0, 0.5),
        ("oxygen_volume", params.oxygen_volume, 0.0, 1e4),
        ("sliver_volume", params.sliver_volume, 0.0, 1e4),
        ("q_range", params.q_range, 0.0, 100.0),
        ("map_sigma", params.map_sigma, 0.0, 20.0),
        ("pdf_smoothing", params.pdf_smoothing, 0.0, 5.0),
    ];
    for (name, value, low, high) in ranges {
        if !(low..=high).contains(&value) {
            return Err(AnalyzeError::BadParameter {
                name,
                expected: format!("{low} to {high}"),
                found: value.to_string(),
            });
        }
    }
    Ok(())
}
