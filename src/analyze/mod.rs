//! From atoms to structure: PDF, bond-orientational order, atomic density, degree of oxidation, ….

mod bonds;
pub mod core_shell;
pub mod lattice;
mod layers;
pub mod order;
pub mod oxidation;
pub mod pdf;
pub mod profiles;
pub mod ptm;
pub mod strain;
mod summary;

use crate::model::Atoms;
use crate::monitor::{Monitor, Stopped};
use crate::numeric::neighbors::{nearest_distances, neighbors_within};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;

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
    /// Only these analyses: pdf, boo, voronoi, oxidation, voids, core-shell, ptm, strain, profiles
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
    /// Structures that polyhedral template matching looks for
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Self::default().ptm_structures)]
    pub ptm_structures: Vec<ptm::Structure>,
    /// Misorientation of neighbouring atoms below which they belong to one grain, degrees
    #[arg(long, default_value_t = Self::default().grain_misorientation_deg)]
    pub grain_misorientation_deg: f64,
    /// Circumradius above which a tetrahedron is void, Å (Zr)
    #[arg(long, default_value_t = Self::default().void_radius)]
    pub void_radius: f64,
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
            boo_threshold: 0.5,    // (Zr)
            max_distortion: 0.255, // (Zr)
            oxygen_volume: 4.68,   // (Zr)
            sliver_volume: 0.5,
            map_sigma: 2.0, // (Zr)
            slab: 5.3,      // (Zr)
            ptm_rmsd: 0.1,
            ptm_structures: ptm::Structure::ALL.to_vec(),
            grain_misorientation_deg: 5.0,
            void_radius: 3.19, // (Zr)
            layer: 1.03,       // (PdPt)
            interface_sigma: None,
            strain_sigma: 3.89, // (PdPt)
            strain_lattice: None,
            profile_bin: None,
        }
    }
}

/// The outcome: numbers to write, the atoms with a column per quantity, and plots as data.
#[derive(Debug, Clone, Default)]
pub struct Analyzed {
    /// The input atoms with added columns (`q4bar`, `q6bar`, `boo`, `cn`, `rho_n`, `oxidation`, `surface`, `phase`, …);
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
    /// Voids of the region, largest first; those at its surface are roughness, not voids.
    pub voids: Vec<oxidation::Void>,
    /// Core and shell, where there are two species.
    pub core_shell: Option<core_shell::CoreShell>,
    /// Lattices and strain, where there are grains.
    pub strain: Option<strain::Strain>,
    /// Surfaces of the model and the atoms' distances from them.
    pub distances: Vec<profiles::Distances>,
    /// Quantities against those distances.
    pub profiles: Vec<profiles::Profile>,
    /// The parameters it was made with.
    pub params: AnalyzeParams,
    /// What could not be computed, and what was assumed.
    pub notes: Vec<String>,
    /// The tessellation, kept so that a threshold that moves costs no new one.
    pub space: Option<Arc<oxidation::Space>>,
    /// Grains, largest first: grain n of the column `grain` is the n-th.
    pub grains: Vec<ptm::Grain>,
    /// Twin planes between grains, largest first.
    pub twins: Vec<ptm::Twin>,
    /// Every atom's best template, kept so that a threshold that moves costs no new matching.
    pub matches: Option<Arc<ptm::Matches>>,
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

/// The names `only` understands, in the order they run.
pub const PARTS: [&str; 9] = [
    "pdf",
    "boo",
    "voronoi",
    "oxidation",
    "voids",
    "core-shell",
    "ptm",
    "strain",
    "profiles",
];

/// Runs the analyses.
///
/// # Errors
/// Atoms that cannot be analysed (fewer than 5, NaN, coincident, not in Å), parameters out of their range, a stop.
pub fn analyze(
    atoms: &Atoms,
    params: &AnalyzeParams,
    monitor: &Monitor,
) -> Result<Analyzed, AnalyzeError> {
    run(atoms, params, None, monitor)
}

/// Repeats an analysis with other thresholds; the tessellation and the matched templates are used again, and core and shell,
/// strain and surfaces where nothing they depend on has changed.
///
/// # Errors
/// As [`analyze`].
pub fn reanalyze(
    before: &Analyzed,
    params: &AnalyzeParams,
    monitor: &Monitor,
) -> Result<Analyzed, AnalyzeError> {
    run(&before.atoms, params, Some(before), monitor)
}

fn run(
    atoms: &Atoms,
    params: &AnalyzeParams,
    before: Option<&Analyzed>,
    monitor: &Monitor,
) -> Result<Analyzed, AnalyzeError> {
    let spacing = check(atoms, params)?;
    let mut work = Work {
        wanted: Wanted::new(params)?,
        out: Analyzed {
            atoms: atoms.clone(),
            cutoff: 0.0,
            summary: serde_json::Value::Null,
            seconds: Vec::new(),
            pdf: None,
            oxygen: Vec::new(),
            voids: Vec::new(),
            core_shell: None,
            strain: None,
            distances: Vec::new(),
            profiles: Vec::new(),
            params: params.clone(),
            notes: Vec::new(),
            space: before.and_then(|b| b.space.clone()),
            grains: Vec::new(),
            twins: Vec::new(),
            matches: before.and_then(|b| b.matches.clone()),
        },
        spacing,
        region: None,
        surface: None,
        kept: before.map(|before| Kept {
            params: before.params.clone(),
            cutoff: before.cutoff,
            core_shell: before.core_shell.clone(),
            strain: before.strain.clone(),
            distances: before.distances.clone(),
        }),
    };
    let total = 9;
    for (done, step) in [
        Work::pdf,
        Work::order,
        Work::tessellate,
        Work::oxidation,
        Work::voids,
        core_shell::part,
    ]
    .into_iter()
    .enumerate()
    {
        monitor.check()?;
        monitor.progress(done, total);
        step(&mut work, params);
    }
    monitor.progress(total - 3, total);
    work.templates(params, monitor)?;
    monitor.check()?;
    monitor.progress(total - 2, total);
    // Grains and phases are known from here on.
    strain::part(&mut work, params);
    work.phases();
    monitor.check()?;
    monitor.progress(total - 1, total);
    profiles::part(&mut work, params);
    monitor.progress(total, total);
    let mut out = work.out;
    out.summary = summary::summary(&out, params, &work.region, work.surface.as_deref());
    Ok(out)
}

struct Wanted(Option<Vec<String>>);

impl Wanted {
    fn new(params: &AnalyzeParams) -> Result<Self, AnalyzeError> {
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

    fn has(&self, name: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|names| names.iter().any(|n| n == name))
    }
}

/// What an analysis of the same atoms found, for parts that do not follow a threshold.
struct Kept {
    params: AnalyzeParams,
    cutoff: f64,
    core_shell: Option<core_shell::CoreShell>,
    strain: Option<strain::Strain>,
    distances: Vec<profiles::Distances>,
}

/// The analysis under way.
struct Work {
    wanted: Wanted,
    out: Analyzed,
    spacing: f64,
    region: Option<Vec<bool>>,
    surface: Option<Vec<bool>>,
    /// The outcome before, when this one repeats it.
    kept: Option<Kept>,
}

impl Work {
    fn time(&mut self, name: &str, started: Instant) {
        self.out
            .seconds
            .push((name.to_owned(), started.elapsed().as_secs_f64()));
    }

    /// The PDF also gives the neighbour cutoff, so it runs whenever that is needed.
    fn pdf(&mut self, params: &AnalyzeParams) {
        let started = Instant::now();
        if self.wanted.has("pdf") || params.cutoff.is_none() {
            let atoms = &self.out.atoms;
            let kinds: Vec<usize> = atoms.species.iter().map(|&s| usize::from(s)).collect();
            let names = &atoms.species_names;
            let classes = (atoms.species_counts().len() > 1).then_some((&kinds[..], &names[..]));
            let sampling = pdf::Sampling {
                range: params.pdf_range,
                bin: params.pdf_bin,
                smoothing: params.pdf_smoothing,
            };
            let function =
                pdf::pair_distribution(&atoms.positions, &sampling, self.spacing, classes);
            if params.cutoff.is_none() && function.first_valley.is_none() {
                self.out
                    .notes
                    .push("the PDF has no valley: the cutoff is 1.35 nearest distances".to_owned());
            }
            self.out.cutoff = function.first_valley.unwrap_or(1.35 * self.spacing);
            self.out.pdf = Some(function);
        }
        if let Some(cutoff) = params.cutoff {
            self.out.cutoff = cutoff;
        }
        self.time("pdf", started);
    }

    fn order(&mut self, _: &AnalyzeParams) {
        if !self.wanted.has("boo") {
            return;
        }
        let started = Instant::now();
        let neighbors = neighbors_within(&self.out.atoms.positions, self.out.cutoff);
        let q = order::averaged_q4_q6(&self.out.atoms.positions, &neighbors);
        let bonds = bonds::bonds(&self.out.atoms.positions, &neighbors);
        let atoms = &mut self.out.atoms;
        atoms.set_column("q4bar", "", q.iter().map(|q| q[0]).collect());
        atoms.set_column("q6bar", "", q.iter().map(|q| q[1]).collect());
        atoms.set_column("boo", "", q.iter().map(|q| order::normalized(*q)).collect());
        atoms.set_column("cn", "", neighbors.iter().map(|n| n.len() as f64).collect());
        atoms.set_column("bond_length_A", "Å", bonds);
        self.time("boo", started);
    }

    fn tessellate(&mut self, _: &AnalyzeParams) {
        let users = ["voronoi", "oxidation", "voids", "core-shell", "profiles"];
        if !users.iter().any(|part| self.wanted.has(part)) {
            return;
        }
        let started = Instant::now();
        if self.out.space.is_none() {
            self.out.space = oxidation::Space::new(&self.out.atoms.positions).map(Arc::new);
        }
        let Some(space) = self.out.space.clone() else {
            self.out
                .notes
                .push("the atoms lie in one plane: no tessellation".to_owned());
            return;
        };
        let region = space.region(self.out.cutoff);
        let surface = space.surface(&region, self.out.atoms.len());
        let rho = space
            .cell
            .iter()
            .zip(&surface)
            .map(|(&cell, &surface)| {
                if surface || cell <= 0.0 {
                    f64::NAN
                } else {
                    1.0 / cell
                }
            })
            .collect();
        self.out.atoms.set_column("rho_n", "Å⁻³", rho);
        let flags = surface.iter().map(|&s| f64::from(u8::from(s))).collect();
        self.out.atoms.set_column("surface", "", flags);
        self.region = Some(region);
        self.surface = Some(surface);
        self.time("voronoi", started);
    }

    fn oxidation(&mut self, params: &AnalyzeParams) {
        let (Some(space), Some(region)) = (&self.out.space, &self.region) else {
            return;
        };
        if !self.wanted.has("oxidation") {
            return;
        }
        let started = Instant::now();
        let positions = &self.out.atoms.positions;
        let (degree, oxygen) = oxidation::oxidation(space, region, positions, params);
        let map = oxidation::smoothed(positions, &degree, params.map_sigma);
        self.out.atoms.set_column("oxidation", "", degree);
        self.out.atoms.set_column("oxidation_map", "", map);
        self.out.oxygen = oxygen;
        self.time("oxidation", started);
    }

    fn voids(&mut self, params: &AnalyzeParams) {
        let (Some(space), Some(region)) = (&self.out.space, &self.region) else {
            return;
        };
        if !self.wanted.has("voids") {
            return;
        }
        let started = Instant::now();
        self.out.voids =
            oxidation::voids(space, region, &self.out.atoms.positions, params.void_radius);
        self.time("voids", started);
    }

    fn templates(&mut self, params: &AnalyzeParams, monitor: &Monitor) -> Result<(), AnalyzeError> {
        if !self.wanted.has("ptm") {
            return Ok(());
        }
        let started = Instant::now();
        let wanted = &params.ptm_structures;
        let known = self.out.matches.take().filter(|m| m.wanted == *wanted);
        let matches = match known {
            Some(matches) => matches,
            None => Arc::new(ptm::Matches::new(
                &self.out.atoms.positions,
                wanted.clone(),
                self.spacing,
                monitor,
            )?),
        };
        self.out.notes.extend(matches.notes());
        (self.out.grains, self.out.twins) = matches.describe(
            &mut self.out.atoms,
            params.ptm_rmsd,
            params.grain_misorientation_deg.to_radians(),
        );
        self.out.matches = Some(matches);
        self.time("ptm", started);
        Ok(())
    }

    /// Metal core 0, crystalline 1, amorphous oxide 2: order splits off the amorphous part, oxidation the core.
    /// A `phase` column of the input is kept as it is.
    fn phases(&mut self) {
        let atoms = &self.out.atoms;
        if atoms.column("phase").is_some() {
            return;
        }
        let (Some(boo), Some(oxidation)) = (atoms.column("boo"), atoms.column("oxidation")) else {
            return;
        };
        // Single atoms are noisy: both quantities are averaged over about the first shell.
        let sigma = 0.6 * self.out.cutoff;
        let boo = oxidation::smoothed(&atoms.positions, boo, sigma);
        let oxidation = oxidation::smoothed(&atoms.positions, oxidation, sigma);
        let phase = boo
            .iter()
            .zip(&oxidation)
            .map(|(&boo, &oxidation)| {
                if oxidation.is_finite() && oxidation < 0.5 {
                    0.0
                } else if boo >= self.out.params.boo_threshold {
                    1.0
                } else {
                    2.0
                }
            })
            .collect();
        self.out.atoms.set_column("phase", "", phase);
        self.out
            .notes
            .push("phases: oxidation below 0.5 is metal, ordered oxide is crystalline, the rest amorphous".to_owned());
    }
}

/// Refuses atoms that cannot be analysed; returns the median nearest distance, Å.
fn check(atoms: &Atoms, params: &AnalyzeParams) -> Result<f64, AnalyzeError> {
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
    let positive = [
        ("pdf_range", params.pdf_range),
        ("pdf_bin", params.pdf_bin),
        ("slab", params.slab),
        ("void_radius", params.void_radius),
        ("ptm_rmsd", params.ptm_rmsd),
        ("grain_misorientation_deg", params.grain_misorientation_deg),
        ("cutoff", params.cutoff.unwrap_or(1.0)),
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
    Ok(spacing)
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
