//! Everything the window shows, in one place. Events of the worker are folded in here; panels and views only look
//! and ask through [`super::actions::Action`].

use super::actions::Action;
use super::calibration::Calibrating;
pub use super::colors::{ColorBy, ColorMap};
use super::masking::{MaskView, ShownMask};
use super::plane::PlaneAxes;
use super::queue::{Proposal, QueueFilter};
pub use super::tilts::{Nudges, Preview, TiltPicture};
use crate::analyze::Analyzed;
use crate::analyze::crystals::Reference;
use crate::figures::render::Page;
use crate::jobs::examine::Examiner;
use crate::jobs::{JobEvent, JobId, JobOutput, OpenQuestion};
use crate::model::{AtomId, TiltSeries, Volume};
use crate::preprocess::Prepared;
use crate::project::{Stage, Workspace};
use crate::reconstruct::{GeometryRound, Iteration};
use crate::trace::Candidate;
use crate::trace::ghosts::Ghosts;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// What the pointer does in the slice views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tool {
    /// Select atoms, drag the crosshair.
    #[default]
    Select,
    /// Place an atom (snaps to the fitted maximum, shows a ghost first).
    Add,
    /// Move the selected atom.
    Move,
    /// Set the phase of atoms by painting over them.
    Paint,
}

/// An atom about to be added: shown as a ghost until accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Ghost {
    /// The fitted maximum.
    pub candidate: Candidate,
    /// Share (0–1) of the atoms that are weaker.
    pub rank: f64,
    /// Distance to the nearest atom, Å.
    pub nearest: Option<f64>,
}

/// One of the linked views.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ViewKind {
    /// Slice seen along the beam: x to the right, y up.
    #[default]
    Xy,
    /// Slice along the tilt axis: x to the right, z up.
    Xz,
    /// Slice seen along x: y to the right, z up.
    Yz,
    /// The 3D view.
    Volume,
    /// A tilt image: measured, computed, difference.
    Tilt,
    /// Slice in any direction: through three atoms, along a row of them.
    Oblique,
}

impl ViewKind {
    /// All views, in the order keys cycle through them.
    pub const ALL: [Self; 6] = [
        Self::Xy,
        Self::Volume,
        Self::Xz,
        Self::Yz,
        Self::Tilt,
        Self::Oblique,
    ];

    /// Axes (0 x, 1 y, 2 z) to the right, up and along the normal of a slice view along the axes.
    #[must_use]
    pub fn axes(self) -> Option<[usize; 3]> {
        match self {
            Self::Xy => Some([0, 1, 2]),
            Self::Xz => Some([0, 2, 1]),
            Self::Yz => Some([1, 2, 0]),
            Self::Volume | Self::Tilt | Self::Oblique => None,
        }
    }
}

/// View settings: nothing here is data.
#[derive(Debug, Clone)]
pub struct ViewState {
    /// The stage whose panel is shown.
    pub stage: Stage,
    /// The one 3D point all views share, Å about the volume's centre.
    pub crosshair: [f64; 3],
    /// Thickness of the density slab, Å.
    pub density_slab: f64,
    /// Thickness of the atom slab, Å.
    pub atom_slab: f64,
    /// Whether atoms are drawn in slices.
    pub show_atoms: bool,
    /// Whether the residual of the tilts is laid over the slices.
    pub show_residual: bool,
    /// Whether removed atoms are drawn where they stood.
    pub show_tombstones: bool,
    /// Directions of the oblique view.
    pub oblique: PlaneAxes,
    /// Counts the places that the views were asked to centre on.
    pub centered: u64,
    /// Whether the pointer moved since a place of the queue was shown: then `A` means what is under it.
    pub pointed: bool,
    /// Tool in slice views.
    pub tool: Tool,
    /// What the tool that paints does.
    pub brush: super::brush::Brush,
    /// Selected atoms.
    pub selection: BTreeSet<AtomId>,
    /// Atoms lit by a brushed range of a plot.
    pub brushed: BTreeSet<AtomId>,
    /// The atom about to be added.
    pub ghost: Option<Ghost>,
    /// Colour of atoms.
    pub color_by: ColorBy,
    /// Colour map of densities.
    pub density_map: ColorMap,
    /// Colour map of quantities.
    pub quantity_map: ColorMap,
    /// Contrast limits of densities as fractions (0–1) of the volume's range.
    pub density_contrast: [f32; 2],
    /// Contrast limits of tilt images as percentiles (0–100) of the histogram.
    pub image_percentiles: [f32; 2],
    /// The tilt shown.
    pub tilt: usize,
    /// Whether the tilts play.
    pub playing: bool,
    /// Which picture of the tilt.
    pub tilt_picture: TiltPicture,
    /// The line whose counts are plotted.
    pub line: super::measuring::LineView,
    /// What is shown again after a look at the picture before it.
    pub blinked_from: Option<TiltPicture>,
    /// How the mask of the background step is shown and edited.
    pub mask: MaskView,
    /// Whether the 3D view shows the volume beside the atoms (without atoms it always does).
    pub show_volume: bool,
    /// Whether the 3D view shows the surfaces of the voids.
    pub show_voids: bool,
    /// Isosurface level (fraction of the range); `None` is maximum intensity.
    pub iso_level: Option<f32>,
    /// Whether the 3D view is clipped to the slab round the crosshair.
    pub clip: bool,
    /// Threshold being dragged on the intensity histogram.
    pub dragged_threshold: Option<f64>,
    /// The 3D point (Å) under the pointer.
    pub cursor: Option<[f64; 3]>,
    /// The view that keys act on.
    pub active: ViewKind,
    /// The view that is shown alone.
    pub maximized: Option<ViewKind>,
    /// Size and resolution of exported figures.
    pub page: Page,
    /// Open plot of the tray.
    pub plot: String,
    /// Dark theme.
    pub dark: bool,
}

impl ViewState {
    /// Directions of a slice view; `None` for the others.
    #[must_use]
    pub fn axes_of(&self, kind: ViewKind) -> Option<PlaneAxes> {
        match kind {
            ViewKind::Oblique => Some(self.oblique),
            kind => kind.axes().map(PlaneAxes::of_axes),
        }
    }

    /// Moves the crosshair to a place and brings it to the middle of every view.
    pub fn center_on(&mut self, place: [f64; 3]) {
        self.crosshair = place;
        self.centered += 1;
    }
}

impl Default for ViewState {
    fn default() -> Self {
        Self {
            stage: Stage::Series,
            crosshair: [0.0; 3],
            density_slab: 1.0,
            atom_slab: 2.0,
            show_atoms: true,
            show_residual: false,
            show_tombstones: true,
            oblique: PlaneAxes::default(),
            centered: 0,
            pointed: false,
            tool: Tool::Select,
            brush: super::brush::Brush::default(),
            selection: BTreeSet::new(),
            brushed: BTreeSet::new(),
            ghost: None,
            color_by: ColorBy::Species,
            density_map: ColorMap::Grey,
            quantity_map: ColorMap::Cividis,
            density_contrast: [0.0, 1.0],
            image_percentiles: [0.5, 99.8],
            tilt: 0,
            playing: false,
            tilt_picture: TiltPicture::Measured,
            line: super::measuring::LineView::default(),
            blinked_from: None,
            mask: MaskView::default(),
            show_volume: false,
            show_voids: false,
            iso_level: None,
            clip: false,
            dragged_threshold: None,
            cursor: None,
            active: ViewKind::Xy,
            maximized: None,
            page: Page::default(),
            plot: "r1".to_owned(),
            dark: true,
        }
    }
}

/// The running job, as the strip shows it.
#[derive(Debug, Clone)]
pub struct RunningJob {
    /// Which.
    pub id: JobId,
    /// Its name.
    pub title: &'static str,
    /// Current phase.
    pub phase: String,
    /// Units done and in all.
    pub progress: (usize, usize),
    /// When the current phase began.
    pub phase_started: Instant,
    /// When it began.
    pub started: Instant,
    /// Whether it is paused.
    pub paused: bool,
}

impl RunningJob {
    /// Seconds to go in this phase, by the rate so far.
    #[must_use]
    pub fn eta_secs(&self) -> Option<f64> {
        let (done, total) = self.progress;
        (done > 0 && total > done && !self.paused).then(|| {
            self.phase_started.elapsed().as_secs_f64() / done as f64 * (total - done) as f64
        })
    }
}

/// How serious a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Done.
    Info,
    /// To know.
    Warning,
    /// Failed.
    Error,
}

/// A line of the log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// How serious.
    pub severity: Severity,
    /// What.
    pub text: String,
}

/// What a running reconstruction shows.
#[derive(Debug, Clone, Default)]
pub struct LiveRun {
    /// Iterations so far.
    pub iterations: Vec<Iteration>,
    /// Newest round of the geometry refinement.
    pub geometry: Option<GeometryRound>,
    /// Newest volume.
    pub snapshot: Option<Arc<Volume>>,
    /// Atoms of the interim traces so far.
    pub ghosts: Option<Arc<Ghosts>>,
}

impl LiveRun {
    /// The volume and the atoms of a run that is over give way to the document's.
    fn end(&mut self) {
        self.snapshot = None;
        self.ghosts = None;
    }
}

/// What the tilts said of a model.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The places in doubt, the most probable error first.
    pub doubts: Arc<Vec<crate::trace::doubts::Doubt>>,
    /// The model as it was then.
    pub atoms: Arc<crate::model::Atoms>,
}

/// A place that deserves a look.
#[derive(Debug, Clone, PartialEq)]
pub struct Doubtful {
    /// What may be wrong, in two words.
    pub kind: &'static str,
    /// Where, Å.
    pub position: [f64; 3],
    /// The atoms concerned; none where one may be missing.
    pub atoms: Vec<AtomId>,
    /// Probability that an edit is needed.
    pub probability: f64,
    /// The signs, in words and numbers.
    pub text: String,
    /// What `Enter` does.
    pub proposal: Proposal,
}

impl Doubtful {
    /// Whether another entry says the same of the same place, whatever its numbers.
    #[must_use]
    pub fn is_about(&self, other: &Self) -> bool {
        let apart = crate::model::geometry::distance(self.position, other.position);
        self.kind == other.kind && self.atoms == other.atoms && apart < 0.5
    }

    /// Whether another entry is about the same atom, or the same empty place, whatever it says of it.
    #[must_use]
    pub fn is_at(&self, other: &Self) -> bool {
        match (self.atoms.first(), other.atoms.first()) {
            (Some(own), Some(others)) => own == others,
            (None, None) => crate::model::geometry::distance(self.position, other.position) < 0.5,
            _ => false,
        }
    }
}

/// What the tilts show of a place.
#[derive(Debug, Clone)]
pub struct Looked {
    /// Where, Å.
    pub place: [f64; 3],
    /// The atom in question.
    pub atom: Option<AtomId>,
    /// The mean of all tilts, then single ones; or why there are none.
    pub cutouts: Result<Arc<Vec<crate::trace::refine::Cutout>>, String>,
}

/// An unclean end of an earlier session that can be taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The project.
    pub path: std::path::PathBuf,
    /// Edits that come back.
    pub edits: usize,
}

/// A message that floats over the window for a while.
#[derive(Debug, Clone)]
pub struct Toast {
    /// How serious.
    pub severity: Severity,
    /// What.
    pub text: String,
    /// When it came.
    pub since: Instant,
}

/// Everything the window shows.
#[derive(Default)]
pub struct AppState {
    /// The document.
    pub workspace: Workspace,
    /// View settings.
    pub view: ViewState,
    /// The running job.
    pub job: Option<RunningJob>,
    /// Jobs waiting behind it.
    pub queued: usize,
    /// The running (or last) reconstruction.
    pub live: LiveRun,
    /// What the preparation of this session did, step by step.
    pub preparation: Option<Arc<Prepared>>,
    /// The series it was made from.
    pub preparation_of: Weak<TiltSeries>,
    /// Tilts being moved by hand.
    pub nudges: Nudges,
    /// A tilt denoised for a look, and of which series it is one.
    pub preview: Option<Preview>,
    /// Whether the gallery of all tilts is open.
    pub gallery: bool,
    /// Whether denoising helps this series, once someone asked.
    pub denoising: Option<crate::reconstruct::DenoisingVerdict>,
    /// The mask of the shown image.
    pub shown_mask: Option<ShownMask>,
    /// Changes of masks that were taken back, the last one last.
    pub masks_undone: Vec<crate::preprocess::MaskEdit>,
    /// The pixel size being measured on images of a crystal.
    pub calibrating: Calibrating,
    /// The log.
    pub log: Vec<LogLine>,
    /// Something an *Open* needs answered.
    pub question: Option<OpenQuestion>,
    /// What the last *Open* was asked to read, for when the question is answered.
    pub opening: (Vec<std::path::PathBuf>, crate::jobs::OpenHints),
    /// Edits of an unclean end, offered once.
    pub recovery: Option<Recovery>,
    /// Places that deserve a look, worst first, as far as the filter lets them through.
    pub doubtful: Vec<Doubtful>,
    /// All of them.
    pub all_doubtful: Vec<Doubtful>,
    /// Which of them are listed.
    pub queue: QueueFilter,
    /// What the tilts show of the place that is looked at.
    pub looked: Option<Looked>,
    /// The model drawn for the quick questions of correction.
    pub examiner: Arc<Examiner>,
    /// Why the minimum distance of the trace is what it is, and of which trace.
    pub cutoff: Option<(usize, Arc<crate::trace::cutoff::Cutoff>)>,
    /// Whether the tilts are being asked about the place that is looked at.
    pub examining: bool,
    /// The place being looked at.
    pub doubtful_at: Option<usize>,
    /// Places that were looked at and left as they are.
    pub settled: Vec<Doubtful>,
    /// What the tilts said of the model when they were last asked.
    pub evidence: Option<Evidence>,
    /// Why the next edits are made.
    pub reason: String,
    /// Floating messages.
    pub toasts: Vec<Toast>,
    /// Whether the command palette is open.
    pub palette: bool,
    /// Whether the keys are shown.
    pub help: bool,
    /// What would lose unsaved changes and waits for the user's word.
    pub unsaved: Option<Box<super::actions::Action>>,
    /// Other models that this one is compared with, and their names.
    pub others: Vec<(String, Arc<Analyzed>)>,
    /// Why the last analysis could not be made.
    pub analysis_fault: Option<String>,
    /// Recently opened projects.
    pub recent: Vec<std::path::PathBuf>,
    /// What was read and competes with this document: to be opened as one of its own.
    pub fresh: Option<Action>,
    /// Set when `recent` changed and is not on disk yet.
    pub recent_changed: bool,
    /// Counts changes of the document, so that views know when to redraw their textures.
    pub revision: u64,
}

impl AppState {
    /// The volume to show: the running reconstruction's newest, else the document's.
    #[must_use]
    pub fn shown_volume(&self) -> Option<&Arc<Volume>> {
        self.live
            .snapshot
            .as_ref()
            .or(self.workspace.volume.as_ref())
    }

    /// The middle of a model that has neither volume nor series; the origin otherwise, where these have theirs.
    #[must_use]
    pub fn middle_of_model(&self) -> [f64; 3] {
        let workspace = &self.workspace;
        let alone = self.shown_volume().is_none() && workspace.series.is_none();
        let Some(atoms) = workspace
            .atoms
            .as_ref()
            .filter(|atoms| alone && !atoms.is_empty())
        else {
            return [0.0; 3];
        };
        std::array::from_fn(|axis| {
            let along = || atoms.positions.iter().map(|p| p[axis]);
            let low = along().fold(f64::INFINITY, f64::min);
            let high = along().fold(f64::NEG_INFINITY, f64::max);
            (low + high) / 2.0
        })
    }

    /// Whether nothing is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let workspace = &self.workspace;
        workspace.series.is_none()
            && workspace.volume.is_none()
            && workspace.atoms.is_none()
            && self.live.snapshot.is_none()
    }

    /// Adds a line to the log; what needs attention also floats over the window for a while.
    pub fn say(&mut self, severity: Severity, text: impl Into<String>) {
        let text = text.into();
        if severity != Severity::Info {
            self.toast(severity, text.clone());
        }
        self.log.push(LogLine { severity, text });
    }

    /// Floats a message over the window; the newest few stay.
    pub fn toast(&mut self, severity: Severity, text: impl Into<String>) {
        const MOST: usize = 4;
        let text = text.into();
        self.toasts.retain(|toast| toast.text != text);
        self.toasts.push(Toast {
            severity,
            text,
            since: Instant::now(),
        });
        let too_many = self.toasts.len().saturating_sub(MOST);
        self.toasts.drain(..too_many);
    }

    /// Records that the document changed.
    pub fn touch(&mut self) {
        self.revision += 1;
        self.workspace.modified = true;
    }

    /// Folds one event of the worker in.
    pub fn fold(&mut self, event: JobEvent) {
        match event {
            JobEvent::Started { id, title } => {
                let now = Instant::now();
                self.job = Some(RunningJob {
                    id,
                    title,
                    phase: String::new(),
                    progress: (0, 0),
                    phase_started: now,
                    started: now,
                    paused: false,
                });
            }
            JobEvent::Phase { name, .. } => {
                if name == "Reconstruct" {
                    self.live = LiveRun {
                        geometry: self.live.geometry.take(),
                        ..LiveRun::default()
                    };
                }
                if let Some(job) = &mut self.job {
                    job.phase = name;
                    job.progress = (0, 0);
                    job.phase_started = Instant::now();
                }
            }
            JobEvent::Progress { done, total, .. } => {
                if let Some(job) = &mut self.job {
                    job.progress = (done, total);
                }
            }
            JobEvent::Iteration { iteration, .. } => {
                // A lost device takes its last iterations with it.
                let before = iteration.number.saturating_sub(1);
                self.live.iterations.truncate(before);
                self.live.iterations.push(iteration);
            }
            JobEvent::Ghosts { ghosts, .. } => self.live.ghosts = Some(ghosts),
            JobEvent::Warning { text, .. } => self.say(Severity::Warning, text),
            JobEvent::Note { text, .. } => self.say(Severity::Info, text),
            JobEvent::Output { output, .. } => self.fold_output(*output),
            JobEvent::Finished { seconds, .. } => {
                // Written behind the user's back, an autosave is no news.
                if let Some(job) = self.job.take().filter(|job| job.title != "Autosave") {
                    self.say(
                        Severity::Info,
                        format!("{} finished in {seconds:.1} s", job.title),
                    );
                }
                self.live.end();
            }
            JobEvent::Stopped { kept, .. } => {
                if let Some(job) = self.job.take() {
                    let how = if kept {
                        "stopped, the result so far is kept"
                    } else {
                        "abandoned"
                    };
                    self.say(Severity::Info, format!("{} {how}", job.title));
                }
                self.live.end();
            }
            JobEvent::Failed { message, .. } => {
                if self
                    .job
                    .as_ref()
                    .is_some_and(|job| job.title == "Move tilt")
                {
                    self.nudges = Nudges::default();
                }
                let failed = self.job.take();
                if failed.as_ref().is_some_and(|job| job.title == "Calibrate") {
                    self.calibrating.fault = Some(message.clone());
                }
                if failed.is_some_and(|job| job.title == "Analyze") {
                    self.analysis_fault = Some(message.clone());
                }
                self.live.end();
                self.say(Severity::Error, message);
            }
        }
    }

    /// Takes what a job brought back into the document.
    pub fn fold_output(&mut self, output: JobOutput) {
        self.revision += 1;
        match output {
            JobOutput::Question(question) => self.question = Some(question),
            JobOutput::Compared { line: text, .. } => {
                self.say(Severity::Info, text.clone());
                self.workspace.comparison = Some(text);
            }
            JobOutput::Doubts { doubts, atoms } => {
                let text = format!("the tilts doubt {} places of the model", doubts.len());
                self.say(Severity::Info, text);
                self.evidence = Some(Evidence { doubts, atoms });
            }
            JobOutput::GeometryRound(round) => self.live.geometry = Some(*round),
            JobOutput::Preview {
                series,
                tilt,
                image,
            } => {
                self.preview = Some(Preview {
                    series,
                    tilt,
                    image,
                });
                self.view.tilt = tilt;
                self.view.tilt_picture = TiltPicture::Preview;
            }
            JobOutput::DenoisingJudged(verdict) => {
                self.say(Severity::Info, verdict.sentence());
                self.denoising = Some(verdict);
            }
            JobOutput::Calibrated { images, found } => self.calibrating.take(images, found),
            JobOutput::OtherAnalyzed { name, outcome } => {
                let mut name = name;
                while self.others.iter().any(|(known, _)| *known == name) {
                    name.push('′');
                }
                self.others.push((name, outcome));
                self.view.plot = "comparison".to_owned();
            }
            JobOutput::Crystal(crystal) => {
                let known = &mut self.workspace.project.parameters.analyze.references;
                known.retain(|reference| reference.name() != crystal.name);
                known.push(Reference::Crystal(crystal));
                self.workspace.modified = true;
            }
            JobOutput::Exported(path) => {
                self.say(Severity::Info, format!("wrote {}", path.display()));
            }
            JobOutput::Merged { workspace, .. } if self.competes(&workspace) => {
                let (paths, hints) = self.opening.clone();
                self.fresh = Some(Action::OpenFresh(paths, hints));
            }
            other => {
                match &other {
                    JobOutput::Reconstructed { outcome, .. } => {
                        self.live.iterations.clone_from(&outcome.iterations);
                        self.live.snapshot = None;
                    }
                    JobOutput::Nudged { shifts_px, .. } => {
                        self.nudges.in_flight = false;
                        for &(tilt, [x, y]) in shifts_px {
                            self.nudges.add(tilt, [-x, -y]);
                        }
                    }
                    JobOutput::Opened { .. } | JobOutput::Series { .. } => self.forget_document(),
                    JobOutput::Prepared {
                        series, outcome, ..
                    } => {
                        self.preparation = Some(Arc::clone(outcome));
                        self.preparation_of = Arc::downgrade(series);
                        self.preview = None;
                        self.view.tilt_picture = TiltPicture::Measured;
                        if self.live.iterations.is_empty() {
                            "alignment".clone_into(&mut self.view.plot);
                        }
                    }
                    JobOutput::Exchanged(_) => {
                        self.forget_preparation();
                        self.masks_undone.clear();
                    }
                    JobOutput::Traced { .. } => self.live.ghosts = None,
                    JobOutput::Analyzed { .. } => {
                        self.analysis_fault = None;
                        // The plot of iterations stays empty for a model that was opened.
                        if self.live.iterations.is_empty() && self.view.plot == "r1" {
                            "pdf".clone_into(&mut self.view.plot);
                        }
                    }
                    _ => {}
                }
                let opened = matches!(other, JobOutput::Opened { .. });
                let read = opened || matches!(other, JobOutput::Merged { .. });
                let notes = crate::jobs::accept(&mut self.workspace, other);
                for note in notes {
                    self.say(Severity::Info, note);
                }
                if opened && let Some(path) = self.workspace.path.clone() {
                    self.remember(path);
                }
                let middle = self.middle_of_model();
                if read && middle != [0.0; 3] {
                    self.view.crosshair = middle;
                }
                if opened && let Some(run) = &self.workspace.reconstructed {
                    self.live.iterations.clone_from(&run.iterations);
                }
                self.make_view_valid();
            }
        }
    }

    /// Whether what was read takes the place of something this document was made from or has been brought to: then it
    /// is another document. A model or a volume may stand beside what is there.
    fn competes(&self, read: &Workspace) -> bool {
        let mine = &self.workspace;
        (read.series.is_some() && mine.series.is_some())
            || (read.volume.is_some() && mine.reconstructed.is_some())
    }

    /// Puts a project at the head of the recent ones.
    pub fn remember(&mut self, path: std::path::PathBuf) {
        const MOST: usize = 10;
        self.recent.retain(|other| *other != path);
        self.recent.insert(0, path);
        self.recent.truncate(MOST);
        self.recent_changed = true;
    }

    /// Puts another document in place of this one.
    pub fn replace_document(&mut self, workspace: Workspace) {
        self.forget_document();
        self.workspace = workspace;
        self.revision += 1;
        self.make_view_valid();
    }

    /// Drops what belonged to the document that is being replaced.
    fn forget_document(&mut self) {
        self.live = LiveRun::default();
        self.nudges = Nudges::default();
        self.masks_undone.clear();
        self.denoising = None;
        self.preparation = None;
        self.preview = None;
        self.others.clear();
        self.analysis_fault = None;
        self.question = None;
        self.doubtful.clear();
        self.all_doubtful.clear();
        self.doubtful_at = None;
        self.looked = None;
        self.cutoff = None;
        self.examiner.forget();
        self.settled.clear();
        self.evidence = None;
        self.reason.clear();
        self.view.ghost = None;
        self.view.crosshair = [0.0; 3];
        self.view.tilt = 0;
        self.view.playing = false;
        self.view.dragged_threshold = None;
    }

    /// Brings view settings back into what the data allows; called after every change of the document.
    pub fn make_view_valid(&mut self) {
        let view = &mut self.view;
        if let Some(series) = &self.workspace.series {
            view.tilt = view.tilt.min(series.len().saturating_sub(1));
        }
        if let Some(atoms) = &self.workspace.atoms {
            view.selection.retain(|&id| atoms.index_of(id).is_some());
            view.brushed.retain(|&id| atoms.index_of(id).is_some());
        } else {
            view.selection.clear();
            view.brushed.clear();
        }
    }
}
