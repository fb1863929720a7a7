//! The command line's grammar. Stage parameters come from the stages' own structs, so that help, panel and flag
//! are one text.

use crate::analyze::AnalyzeParams;
use crate::jobs::input::{AtomsInput, Beam, SeriesInput};
use crate::reconstruct::{Projector, ReconstructParams};
use crate::trace::TraceParams;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// From a STEM tilt series to a 3D atomic model. Without a command: opens the window.
#[derive(Debug, Parser)]
#[command(name = "aetlas", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without one the window opens
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Files to open in the window: a project, a tilt series with its angles, a volume, a model
    pub files: Vec<PathBuf>,
    /// How to run
    #[command(flatten)]
    pub common: Common,
}

/// Flags that every command understands.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Print the result as one JSON object on standard output and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Number of threads [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// No progress and no remarks
    #[arg(long, global = true)]
    pub quiet: bool,
    /// Overwrite files that exist
    #[arg(long, global = true)]
    pub force: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The built-in Zr/ZrO2 particle through the whole road, compared with its truth
    Demo(OutputDir),
    /// The whole road with parameters chosen from the data
    Auto(Auto),
    /// What is in a file: arrays, shapes, types, pixel size, angles
    Info(Info),
    /// Denoising, background subtraction and alignment of a tilt series
    Preprocess(Preprocess),
    /// True pixel size from images of a known crystal
    Calibrate(Calibrate),
    /// All images of a tilt series on one sheet, or their power spectra
    Gallery(Gallery),
    /// RESIRE: tilt series → volume
    Reconstruct(Reconstruct),
    /// Slabs of a reconstruction (`reconstruct --slab`) → the whole volume
    Merge(Merge),
    /// Shifts and angles of the tilts, refined against short reconstructions
    RefineGeometry(RefineGeometry),
    /// Projections of a volume
    Project(Project),
    /// Volume → atoms
    Trace(Trace),
    /// Sort atoms into chemical species
    Classify(Classify),
    /// Refine atom positions against the tilt series
    RefineAtoms(RefineAtoms),
    /// Places where the tilts disagree with the model, ranked
    Residual(Residual),
    /// Structure analysis of a model
    Analyze(Analyze),
    /// Tilt series of a model, with dose, drift and misalignment
    Simulate(Simulate),
    /// Compare a traced model with the truth
    Compare(Compare),
    /// Run all stages of a project that are not done
    Run {
        /// The project file
        project: PathBuf,
    },
    /// Methods table, figures and data package of a project
    Report {
        /// The project file
        project: PathBuf,
        /// Folder to write to
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Measure speed against this machine's own limit
    Bench(Bench),
}

/// Where results go.
#[derive(Debug, Args)]
pub struct OutputDir {
    /// Folder to write to
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `aetlas info`.
#[derive(Debug, Args)]
pub struct Info {
    /// The file
    pub file: String,
    /// The microscope, where the dose or the detector's name is asked for
    #[command(flatten)]
    pub beam: Beam,
}

/// `aetlas auto`.
#[derive(Debug, Args)]
pub struct Auto {
    /// The tilt series
    #[command(flatten)]
    pub series: SeriesInput,
    /// Element of the atoms
    #[arg(long)]
    pub species: Option<String>,
    /// Expected nearest distance, Å
    #[arg(long)]
    pub spacing: Option<f64>,
    /// Leave out: preprocess, refine
    #[arg(long, value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Trace the volume now and then while it is reconstructed: each atom gets the share of these traces it was in
    #[arg(long)]
    pub trace_while_running: bool,
    /// Folder to write to
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `aetlas preprocess`.
#[derive(Debug, Args)]
pub struct Preprocess {
    /// The stack (`path` or `path:variable`); `--projections` says the same
    pub stack: Option<String>,
    /// The tilt series
    #[command(flatten)]
    pub series: SeriesInput,
    /// How
    #[command(flatten)]
    pub params: crate::preprocess::PrepareParams,
    /// Also predict tilts left out with and without denoising, and say which predicts them better
    #[arg(long)]
    pub judge_denoising: bool,
    /// Prepared stack to write (.mrc, .npy)
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `aetlas calibrate`.
#[derive(Debug, Args)]
pub struct Calibrate {
    /// Images of the crystal, or stacks of them (`path` or `path:variable`)
    #[arg(required = true)]
    pub images: Vec<String>,
    /// Nominal pixel size, Å, when the files do not say it
    #[arg(long, value_name = "Å")]
    pub pixel_size: Option<f64>,
    /// How
    #[command(flatten)]
    pub params: crate::preprocess::CalibrateParams,
}

/// `aetlas gallery`.
#[derive(Debug, Args)]
pub struct Gallery {
    /// The stack (`path` or `path:variable`); `--projections` says the same
    pub stack: Option<String>,
    /// The tilt series
    #[command(flatten)]
    pub series: SeriesInput,
    /// Power spectra instead of the images
    #[arg(long)]
    pub spectra: bool,
    /// Width of the sheet, mm; at least two columns of a journal
    #[arg(long, value_name = "MM", default_value_t = 170.0)]
    pub width_mm: f64,
    /// Pixels per inch of a PNG
    #[arg(long)]
    pub dpi: Option<f64>,
    /// Sheet to write (.png, .svg)
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `aetlas reconstruct`.
#[derive(Debug, Args)]
pub struct Reconstruct {
    /// The tilt series
    #[command(flatten)]
    pub series: SeriesInput,
    /// How
    #[command(flatten)]
    pub params: ReconstructParams,
    /// Volume whose positive voxels may hold density
    #[arg(long)]
    pub support: Option<String>,
    /// Volume to start from
    #[arg(long)]
    pub start: Option<String>,
    /// Volume to write (.mrc, .npy)
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `aetlas refine-geometry`.
#[derive(Debug, Args)]
pub struct RefineGeometry {
    /// The tilt series, coarsely aligned and free of background
    #[command(flatten)]
    pub series: SeriesInput,
    /// How
    #[command(flatten)]
    pub params: crate::reconstruct::GeometryParams,
    /// Re-aligned stack to write (.mrc, .npy), or a folder; angles and corrections go beside it
    #[arg(short, long)]
    pub output: PathBuf,
}

/// Which projector.
#[derive(Debug, Clone, Copy, Args)]
pub struct Method {
    /// How projections are computed
    #[arg(long, value_enum, default_value_t = ReconstructParams::default().projector)]
    pub projector: Projector,
    /// How much finer than its own the Fourier projector's grid of a volume's transform is (1.25 to 4)
    #[arg(long, default_value_t = ReconstructParams::default().oversampling)]
    pub oversampling: f64,
}

impl Method {
    /// As the parameters of a reconstruction say it.
    #[must_use]
    pub fn params(self) -> ReconstructParams {
        ReconstructParams {
            projector: self.projector,
            oversampling: self.oversampling,
            ..Default::default()
        }
    }
}

/// `aetlas merge`.
#[derive(Debug, Args)]
pub struct Merge {
    /// The slabs' volumes as `reconstruct --slab` wrote them, each with its `.slab.json` beside it, in any order
    #[arg(required = true, value_name = "SLAB")]
    pub slabs: Vec<PathBuf>,
    /// Volume to write (.mrc, .npy, .mat)
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `aetlas project`.
#[derive(Debug, Args)]
pub struct Project {
    /// The volume
    #[arg(long)]
    pub volume: String,
    /// Angles, degrees
    #[arg(long)]
    pub angles: String,
    /// Pixel size, Å, when the volume's file does not say it
    #[arg(long)]
    pub pixel_size: Option<f64>,
    /// Which projector
    #[command(flatten)]
    pub method: Method,
    /// Stack to write (.mrc, .npy)
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `aetlas trace`.
#[derive(Debug, Args)]
pub struct Trace {
    /// The volume
    #[arg(long)]
    pub volume: String,
    /// Pixel size, Å, when the volume's file does not say it
    #[arg(long)]
    pub pixel_size: Option<f64>,
    /// How
    #[command(flatten)]
    pub params: TraceParams,
    /// Choose box, smoothing and minimum distance from the volume
    #[arg(long)]
    pub suggest: bool,
    /// Also write every candidate with its verdict (CSV), and beside it why the minimum distance is what it is (.cutoff.md)
    #[arg(long, value_name = "CSV")]
    pub report: Option<PathBuf>,
    /// Atoms to write (.xyz, .csv)
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `aetlas classify`.
#[derive(Debug, Args)]
pub struct Classify {
    /// The volume
    #[arg(long)]
    pub volume: String,
    /// Pixel size, Å, when the volume's file does not say it
    #[arg(long)]
    pub pixel_size: Option<f64>,
    /// The atoms
    #[command(flatten)]
    pub atoms: AtomsInput,
    /// Number of species
    #[arg(long)]
    pub species: usize,
    /// Their names, lightest first
    #[arg(long, value_delimiter = ',')]
    pub species_names: Vec<String>,
    /// Edge of the box of the integrated intensity, Å (PdPt: 2.4)
    #[arg(long = "box", default_value_t = 2.4)]
    pub box_size: f64,
    /// Atoms to write (.xyz, .csv)
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `aetlas refine-atoms`.
#[derive(Debug, Args)]
pub struct RefineAtoms {
    /// The tilt series
    #[command(flatten)]
    pub series: SeriesInput,
    /// The atoms
    #[command(flatten)]
    pub atoms: AtomsInput,
    /// How
    #[command(flatten)]
    pub params: crate::trace::refine::RefineParams,
    /// Also add and remove atoms where the tilts leave no doubt
    #[arg(long)]
    pub complete: bool,
    /// Atoms to write (.xyz, .csv)
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `aetlas residual`.
#[derive(Debug, Args)]
pub struct Residual {
    /// The tilt series
    #[command(flatten)]
    pub series: SeriesInput,
    /// The atoms
    #[command(flatten)]
    pub atoms: AtomsInput,
    /// How
    #[command(flatten)]
    pub params: crate::trace::doubts::DoubtParams,
    /// Table to write (.csv)
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `aetlas analyze`.
#[derive(Debug, Args)]
pub struct Analyze {
    /// The atoms (.xyz, .csv, text); several models are compared, each with the first
    #[arg(required = true)]
    pub models: Vec<String>,
    /// Å per unit of the file, when it is not in Å
    #[arg(long, value_name = "Å")]
    pub unit: Option<f64>,
    /// How
    #[command(flatten)]
    pub params: AnalyzeParams,
    /// Volume the atoms were traced in: its density stands beside the layers, and at the voids
    #[arg(long)]
    pub volume: Option<String>,
    /// Size of the figures, mm
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "160x120")]
    pub figure_size: String,
    /// Also write the figures as PNG, with so many pixels per inch
    #[arg(long)]
    pub dpi: Option<f64>,
    /// Folder to write to
    #[arg(short, long)]
    pub output: Option<PathBuf>,
}

/// `aetlas simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// The atoms (.xyz)
    pub model: String,
    /// How
    #[command(flatten)]
    pub params: crate::simulate::AcquisitionParams,
    /// Stack to write (.mrc, .npy); its angles go beside it as .rawtlt or three-column .txt
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `aetlas compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// The traced model
    pub traced: String,
    /// The truth
    pub truth: String,
    /// How
    #[command(flatten)]
    pub params: crate::simulate::CompareParams,
}

/// `aetlas bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// reconstruct, convergence (plain against accelerated), denoise, trace, analyze, frame
    pub name: String,
    /// Voxels on x, y, z
    #[arg(long, value_name = "X,Y,Z", value_delimiter = ',')]
    pub volume_size: Option<Vec<usize>>,
    /// Number of tilts
    #[arg(long, default_value_t = 50)]
    pub tilts: usize,
    /// Iterations timed
    #[arg(long, default_value_t = 5)]
    pub iterations: usize,
    /// Atoms of the model that is analysed
    #[arg(long, default_value_t = 15_209)]
    pub atoms: usize,
    /// Model that is analysed instead of a made-up one
    #[arg(long)]
    pub model: Option<String>,
    /// Å per unit of the model's file, when it is not in Å
    #[arg(long, value_name = "Å")]
    pub unit: Option<f64>,
    /// Small errors in φ and ψ, so that the general path runs
    #[arg(long)]
    pub general: bool,
    /// cpu or gpu
    #[arg(long, value_enum, default_value_t = crate::reconstruct::Engine::Auto)]
    pub engine: crate::reconstruct::Engine,
    /// Which projector
    #[command(flatten)]
    pub method: Method,
}
