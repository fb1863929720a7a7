//! The vocabulary between whoever asks for work (window, command line) and whoever does it.
//!
//! Two roads lead back: events are few and all arrive; snapshots of a running reconstruction go through a
//! latest-value slot ([`latest::Slot`]), so a slow reader costs nothing.

pub mod accept;
pub mod again;
pub mod auto;
pub mod bench;
pub mod calibrate;
pub mod examine;
pub mod execute;
pub mod export;
pub mod follow;
pub mod galleries;
pub mod geometry;
pub mod input;
pub mod latest;
pub mod maps;
pub mod measure;
mod memory;
pub mod open;
pub mod picture;
pub mod slabs;
pub mod worker;

pub use accept::accept;

use crate::analyze::{AnalyzeParams, Analyzed};
use crate::figures::render::Page;
use crate::model::{Atoms, TiltSeries, Volume};
use crate::preprocess::{
    CalibrateParams, Calibration, CrystalImage, Nudge, PrepareParams, Prepared,
};
use crate::project::{Record, Workspace};
use crate::reconstruct::{
    GeometryParams, GeometryRefined, GeometryRound, Iteration, ReconstructParams, Reconstructed,
};
use crate::trace::doubts::{Doubt, DoubtParams};
use crate::trace::ghosts::Ghosts;
use crate::trace::refine::RefineParams;
use crate::trace::{TraceParams, Traced};
use std::path::PathBuf;
use std::sync::Arc;

/// The name of one submitted job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What a user knows about a file that the file does not say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OpenHints {
    /// Pixel size, Å.
    pub pixel_size: Option<f64>,
    /// Storage order (`txy`, `xyt`, …).
    pub axes: Option<String>,
    /// The tilt axis lies along x.
    pub tilt_axis_x: bool,
    /// Reverse the sign of θ.
    pub mirror: bool,
    /// Which array of a file with several.
    pub variable: Option<String>,
    /// Å per unit of a model's file.
    pub unit: Option<f64>,
    /// Pixels that are no numbers are left out of the fit instead of asked about.
    pub mask_gaps: bool,
}

/// A piece of work, as data: it owns everything it needs.
#[derive(Debug, Clone)]
pub enum Job {
    /// Read files of any kind: a project, projections and angles, a volume, a model.
    Open {
        /// Files or folders, as dropped or chosen.
        paths: Vec<PathBuf>,
        /// What the user adds.
        hints: OpenHints,
    },
    /// Write the project and its arrays.
    SaveProject {
        /// The document as it is now.
        workspace: Box<Workspace>,
        /// Where to.
        path: PathBuf,
    },
    /// Write the document to the session's folder.
    Autosave {
        /// The document as it is now.
        workspace: Box<Workspace>,
        /// Where to.
        path: PathBuf,
    },
    /// Bring back the document of a session that ended uncleanly.
    Recover(crate::project::session::Lost),
    /// Background and alignment.
    Prepare {
        /// The series as read.
        series: Arc<TiltSeries>,
        /// How.
        params: PrepareParams,
        /// An earlier preparation of this very series: what its parameters share with these is not done again.
        earlier: Option<Arc<Prepared>>,
    },
    /// Exchange x and y of all images.
    Exchange {
        /// The series as read.
        series: Arc<TiltSeries>,
    },
    /// Move images by hand.
    Nudge {
        /// The (prepared) series.
        series: Arc<TiltSeries>,
        /// Earlier moves that the series does not hold.
        held: Vec<Nudge>,
        /// Which images, and by how much along x and y, pixels.
        shifts_px: Vec<(usize, [f64; 2])>,
    },
    /// Denoise one image, to look at before all are.
    PreviewDenoise {
        /// The series as read.
        series: Arc<TiltSeries>,
        /// Which image.
        tilt: usize,
        /// How.
        params: PrepareParams,
    },
    /// Whether denoising helps to predict tilts left out.
    JudgeDenoising {
        /// The series as read.
        series: Arc<TiltSeries>,
        /// How it is prepared.
        params: PrepareParams,
    },
    /// The pixel size from images of a known crystal.
    Calibrate {
        /// Images or stacks of them.
        files: Vec<String>,
        /// Nominal pixel size, Å, where the files do not say it.
        pixel_size: Option<f64>,
        /// How.
        params: CalibrateParams,
    },
    /// Shifts and angles of the tilts from the series itself.
    RefineGeometry {
        /// The (prepared) series.
        series: Arc<TiltSeries>,
        /// How.
        params: GeometryParams,
    },
    /// RESIRE.
    Reconstruct {
        /// The (prepared) series.
        series: Arc<TiltSeries>,
        /// Start from this volume instead of zero (resume).
        start: Option<Arc<Volume>>,
        /// Voxels that may hold density: where this volume is positive.
        support: Option<Arc<Volume>>,
        /// Whether to trace the volume now and then while it runs.
        follow: bool,
        /// How.
        params: ReconstructParams,
    },
    /// Atoms from the volume.
    Trace {
        /// The volume.
        volume: Arc<Volume>,
        /// What the interim traces of its reconstruction found.
        ghosts: Option<Arc<Ghosts>>,
        /// How.
        params: TraceParams,
    },
    /// Split the traced maxima anew, without fitting them again.
    Split {
        /// What tracing found.
        traced: Arc<Traced>,
        /// The volume it was traced in, for the species.
        volume: Option<Arc<Volume>>,
        /// What the interim traces of its reconstruction found.
        ghosts: Option<Arc<Ghosts>>,
        /// How; its threshold is the new one.
        params: TraceParams,
    },
    /// Refine the model against the tilts.
    Refine {
        /// The (prepared) series.
        series: Arc<TiltSeries>,
        /// The atoms.
        atoms: Arc<Atoms>,
        /// How.
        params: RefineParams,
        /// Also add and remove atoms where the tilts leave no doubt.
        complete: bool,
        /// Entries of the journal that `atoms` hold, counted from the base model.
        held_edits: usize,
    },
    /// The ranked list of places that deserve a look.
    Doubts {
        /// The atoms as they are now.
        atoms: Arc<Atoms>,
        /// The (prepared) series, if there is one.
        series: Option<Arc<TiltSeries>>,
        /// The volume, if there is one.
        volume: Option<Arc<Volume>>,
        /// What tracing saw, if the model was traced.
        traced: Option<Arc<Traced>>,
        /// How.
        params: DoubtParams,
    },
    /// Structure analysis.
    Analyze {
        /// The atoms.
        atoms: Arc<Atoms>,
        /// How.
        params: AnalyzeParams,
    },
    /// Structure analysis of another model, to stand beside this one.
    AnalyzeOther {
        /// Its file.
        path: PathBuf,
        /// How.
        params: AnalyzeParams,
    },
    /// Read a crystal to compare with (.cif).
    LoadCrystal {
        /// Its file.
        path: PathBuf,
    },
    /// The whole road with parameters chosen from the data.
    Auto {
        /// The series as read.
        series: Arc<TiltSeries>,
        /// Element of the atoms, if known.
        species: Option<String>,
        /// Expected nearest distance, Å, if known.
        spacing: Option<f64>,
        /// Steps left out: `preprocess`, `refine`.
        skip: Vec<String>,
        /// What was decided by hand of the preparation: frames left out, masks edited.
        hand: Box<PrepareParams>,
        /// Whether to trace the volume now and then while it is reconstructed.
        follow: bool,
        /// The known truth to compare with, for simulated data.
        truth: Option<Arc<Atoms>>,
    },
    /// The built-in particle, simulated and taken down the whole road.
    Demo,
    /// Write a result to a file; the ending chooses the format.
    Export {
        /// What.
        what: Export,
        /// Where to.
        path: PathBuf,
    },
}

/// A result that can be written.
#[derive(Debug, Clone)]
pub enum Export {
    /// MRC or `.npy`.
    Volume(Arc<Volume>),
    /// MRC or `.npy`.
    Series(Arc<TiltSeries>),
    /// XYZ (extended) or CSV.
    Atoms(Arc<Atoms>),
    /// SVG, PNG or CSV, of a stated size.
    Figure(Box<crate::figures::Figure>, Page),
    /// A sheet of maps: SVG or PNG, of a stated size.
    Sheet(Box<crate::figures::sheet::Sheet>, Page),
    /// All images of a series on a sheet, or their spectra: SVG or PNG, at least two columns wide.
    Gallery {
        /// The series.
        series: Arc<TiltSeries>,
        /// Power spectra instead of the images.
        spectra: bool,
        /// Width and resolution.
        page: Page,
    },
    /// CSV.
    Table(Box<crate::figures::tables::Table>),
    /// A folder: JSON, CSV, extended XYZ, maps and figures of an analysis, these of a stated size; with the volume the density
    /// of its layers.
    Analysis(Arc<Analyzed>, Option<Arc<Volume>>, Page),
    /// A folder: methods table, figures and data package of a whole project.
    Report(Box<Workspace>),
}

impl Job {
    /// What the job strip and the log call it.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            Self::Open { .. } => "Open",
            Self::SaveProject { .. } => "Save",
            Self::Autosave { .. } => "Autosave",
            Self::Recover(_) => "Recover",
            Self::Prepare { .. } => "Prepare",
            Self::Exchange { .. } => "Exchange x and y",
            Self::Nudge { .. } => "Move tilt",
            Self::PreviewDenoise { .. } => "Preview",
            Self::JudgeDenoising { .. } => "Compare R_free",
            Self::Calibrate { .. } => "Calibrate",
            Self::RefineGeometry { .. } => "Refine geometry",
            Self::Reconstruct { .. } => "Reconstruct",
            Self::Trace { .. } => "Trace",
            Self::Split { .. } => "Split",
            Self::Refine { .. } => "Refine",
            Self::Doubts { .. } => "Doubtful places",
            Self::Analyze { .. } => "Analyze",
            Self::AnalyzeOther { .. } => "Compare",
            Self::LoadCrystal { .. } => "Read crystal",
            Self::Auto { .. } => "Auto",
            Self::Demo => "Demo",
            Self::Export { .. } => "Export",
        }
    }
}

/// What a job brings back. A long road (auto, demo) brings several, one per stage.
#[derive(Debug, Clone)]
pub enum JobOutput {
    /// Files were read into a new document, which replaces the old one.
    Opened {
        /// The document.
        workspace: Box<Workspace>,
        /// What was read and found, in sentences.
        notes: Vec<String>,
    },
    /// A model or volume was read to stand beside what is there (empty fields change nothing).
    Merged {
        /// What was read.
        workspace: Box<Workspace>,
        /// What was read and found, in sentences.
        notes: Vec<String>,
    },
    /// Several things could be meant; the user must choose or add something.
    Question(OpenQuestion),
    /// The project was saved there.
    Saved(PathBuf),
    /// A tilt series came to be (demo).
    Series {
        /// The series.
        series: Arc<TiltSeries>,
        /// Its truth, when simulated.
        truth: Option<Arc<Atoms>>,
    },
    /// Preparation finished.
    Prepared {
        /// What it was made from.
        series: Arc<TiltSeries>,
        /// The prepared series and what every step did.
        outcome: Arc<Prepared>,
        /// With these parameters.
        params: PrepareParams,
        /// What ran.
        record: Record,
    },
    /// The series with x and y of all images exchanged; it takes the place of the one read.
    Exchanged(Arc<TiltSeries>),
    /// Images were moved by hand.
    Nudged {
        /// The series with them; it takes the prepared one's place.
        series: Arc<TiltSeries>,
        /// Which images, and by how much along x and y, pixels.
        shifts_px: Vec<(usize, [f64; 2])>,
    },
    /// One image, denoised for a look: shape `(x, y)`.
    Preview {
        /// Of this series,
        series: Arc<TiltSeries>,
        /// this image.
        tilt: usize,
        /// The denoised image.
        image: Arc<ndarray::Array2<f32>>,
    },
    /// Tilts left out were predicted with and without denoising; the document stays as it is.
    DenoisingJudged(crate::reconstruct::DenoisingVerdict),
    /// The pixel size was measured; the document stays as it is until someone uses it.
    Calibrated {
        /// The images.
        images: Arc<Vec<CrystalImage>>,
        /// What they say.
        found: Arc<Calibration>,
    },
    /// A round of the geometry refinement: corrections so far, for a live plot.
    GeometryRound(Box<GeometryRound>),
    /// The geometry was refined (or kept so far): the re-aligned series takes the prepared one's place.
    GeometryRefined {
        /// The outcome.
        outcome: Arc<GeometryRefined>,
        /// What ran.
        record: Record,
    },
    /// Reconstruction finished (or was kept).
    Reconstructed {
        /// The outcome.
        outcome: Arc<Reconstructed>,
        /// With these parameters.
        params: ReconstructParams,
        /// What ran.
        record: Record,
    },
    /// The interim traces of the reconstruction that just finished.
    Ghosts(Arc<Ghosts>),
    /// Tracing finished.
    Traced {
        /// The outcome.
        outcome: Arc<Traced>,
        /// With these parameters.
        params: TraceParams,
        /// What ran.
        record: Record,
    },
    /// The model was refined against the tilts: it is the new base of hand edits.
    Refined {
        /// The refined atoms.
        atoms: Arc<Atoms>,
        /// The series as the atoms corrected its geometry, when it was refined with them: it takes the prepared one's place.
        series: Option<Arc<TiltSeries>>,
        /// Entries of the journal they hold.
        held_edits: usize,
        /// What was done and found, in sentences.
        notes: Vec<String>,
        /// What ran.
        record: Record,
    },
    /// The ranked list of doubtful places was made; the document stays as it is.
    Doubts {
        /// The list, the most probable error first.
        doubts: Arc<Vec<Doubt>>,
        /// The atoms that it is about, as they were then.
        atoms: Arc<Atoms>,
    },
    /// Analysis finished.
    Analyzed {
        /// The outcome.
        outcome: Arc<Analyzed>,
        /// With these parameters.
        params: AnalyzeParams,
        /// What ran.
        record: Record,
    },
    /// Another model was analysed; the document stays as it is.
    OtherAnalyzed {
        /// What it is called: its file's stem.
        name: String,
        /// The outcome.
        outcome: Arc<Analyzed>,
    },
    /// A crystal was read.
    Crystal(Box<crate::model::Crystal>),
    /// The model was compared with the truth.
    Compared {
        /// One line for the log and the demo's card.
        line: String,
        /// The numbers, as `aetlas compare --json` prints them.
        json: serde_json::Value,
    },
    /// The document was written to the session's folder, so that a kill costs no edit.
    Autosaved {
        /// The project file in the session's folder.
        path: PathBuf,
        /// Number of journal entries in it.
        entries: usize,
    },
    /// A file or folder was written.
    Exported(PathBuf),
}

/// Something an *Open* cannot decide by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum OpenQuestion {
    /// Which array of this file is the tilt series (or volume)?
    WhichArray {
        /// The file.
        path: PathBuf,
        /// `name: shape type` of each candidate.
        candidates: Vec<(String, String)>,
    },
    /// These atoms look as if they were not in Å: what is the unit in Å?
    WhichUnit {
        /// The file.
        path: PathBuf,
        /// Their median nearest distance, in the file's unit.
        nearest: f64,
    },
    /// Some pixels are no numbers: leave them out of the fit, or the series alone?
    Gaps {
        /// The file.
        path: PathBuf,
        /// How many pixels.
        pixels: usize,
        /// In how many images.
        images: usize,
        /// Of how many.
        of: usize,
        /// The first: image, x, y; the image counted from 1.
        first: [usize; 3],
    },
}

/// What the worker says.
#[derive(Debug, Clone)]
pub enum JobEvent {
    /// Work begins.
    Started {
        /// Which.
        id: JobId,
        /// Its name.
        title: &'static str,
    },
    /// A named part begins.
    Phase {
        /// Which.
        id: JobId,
        /// Name of the part.
        name: String,
    },
    /// `done` of `total` units of this phase.
    Progress {
        /// Which.
        id: JobId,
        /// Units done.
        done: usize,
        /// Units in all.
        total: usize,
    },
    /// One RESIRE iteration.
    Iteration {
        /// Which.
        id: JobId,
        /// Its numbers.
        iteration: Iteration,
    },
    /// One more interim trace of the running reconstruction.
    Ghosts {
        /// Which.
        id: JobId,
        /// All of them so far.
        ghosts: Arc<Ghosts>,
    },
    /// Something to know.
    Warning {
        /// Which.
        id: JobId,
        /// What.
        text: String,
    },
    /// What was chosen and why, for the log.
    Note {
        /// Which job.
        id: JobId,
        /// The text.
        text: String,
    },
    /// A result.
    Output {
        /// Which.
        id: JobId,
        /// The result.
        output: Box<JobOutput>,
    },
    /// All done.
    Finished {
        /// Which.
        id: JobId,
        /// Wall seconds.
        seconds: f64,
    },
    /// Ended by the user.
    Stopped {
        /// Which.
        id: JobId,
        /// Whether the result so far was kept (then an `Output` came before).
        kept: bool,
    },
    /// Failed; what was there is intact.
    Failed {
        /// Which.
        id: JobId,
        /// One clear line.
        message: String,
    },
}

/// Why a job failed, in one clear line.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The user ended it.
    #[error(transparent)]
    Stopped(#[from] crate::monitor::Stopped),
    /// Anything else: subject, expected, found.
    #[error("{0}")]
    Failed(String),
}
