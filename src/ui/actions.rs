//! Everything the user can ask for, as data. Panels and views push actions; the app runs them after the frame.
//! An action carries its text, tooltip and shortcut: menu, palette and keys all read them here.

use super::brush::Brush;
use super::calibration::CalibrationWish;
use super::dialogs::SheetKind;
use super::masking::MaskWish;
use super::plane::PlaneAxes;
use super::queue::{Proposal, QueueFilter};
use super::state::{ColorBy, ColorMap, Ghost, TiltPicture, Tool, ViewKind};
use crate::analyze::AnalyzeParams;
use crate::analyze::phases::Phase;
use crate::figures::render::Page;
use crate::jobs::examine::RefinedPart;
use crate::jobs::{Job, OpenHints};
use crate::model::{AtomId, EulerAngles};
use crate::monitor::Stopped;
use crate::project::workspace::PrepareParams;
use crate::project::{Mark, Stage};
use crate::reconstruct::{GeometryParams, ReconstructParams};
use crate::trace::TraceParams;
use crate::trace::refine::RefineParams;
use std::path::PathBuf;

/// One wish of the user.
#[derive(Debug, Clone)]
pub enum Action {
    /// Submit a job as it is.
    Submit(Box<Job>),
    /// Run a stage with the document's parameters.
    RunStage(Stage),
    /// The whole road.
    Auto,
    /// The built-in particle.
    Demo,
    /// Type the path of a file to open.
    OpenByPath,
    /// Choose files to open.
    OpenDialog,
    /// Open these files.
    Open(Vec<PathBuf>, OpenHints),
    /// Save, asking for a place when there is none.
    Save,
    /// Save elsewhere.
    SaveAs,
    /// Stop the running job.
    Stop(Stopped),
    /// Pause or resume the running job.
    Pause(bool),
    /// Show a stage's panel.
    ShowStage(Stage),
    /// Change one view setting.
    View(ViewChange),
    /// Change parameters.
    SetPrepare(PrepareParams),
    /// Show the picture before the last step of the preparation that is shown, or go back to it.
    BlinkStep,
    /// Draw, change or forget the line whose counts are plotted.
    Line(super::measuring::LineWish),
    /// What the microscope did, for dose and detector.
    SetBeam(crate::preprocess::inspect::Beam),
    /// Show or hide the gallery of all tilts.
    ShowGallery(bool),
    /// Write all tilts on a sheet; `true` their spectra.
    ExportGallery(bool),
    /// Show, edit or reset the masks of the background step.
    Mask(MaskWish),
    /// Take the preparation back: the series is as read again.
    DropPreparation,
    /// Parameters of the refinement.
    SetRefine(RefineParams),
    /// Whether the volume is traced now and then while it is reconstructed.
    TraceWhileRunning(bool),
    /// Whether refinement also adds and removes atoms.
    SetComplete(bool),
    /// Refine shifts and angles of the tilts.
    RefineGeometry,
    /// Parameters of that refinement.
    SetGeometry(GeometryParams),
    /// Refine the model against the tilts.
    Refine,
    /// Rank the doubtful places of the model by what the tilts say.
    AskTilts,
    /// Move the shown tilt by this much along x and y, pixels.
    NudgeTilt([f64; 2]),
    /// Take back what was moved by hand: one tilt's, or all.
    TakeBackNudges(Option<usize>),
    /// Open files as a document of their own.
    OpenFresh(Vec<PathBuf>, OpenHints),
    /// Denoise the shown tilt for a look.
    PreviewDenoise,
    /// Compare how well tilts left out are predicted with and without denoising.
    JudgeDenoising,
    /// Change parameters.
    SetReconstruct(ReconstructParams),
    /// Change parameters.
    SetTrace(TraceParams),
    /// Change parameters.
    SetAnalyze(AnalyzeParams),
    /// Change the pixel size, Å.
    SetPixelSize(f64),
    /// Measure the pixel size on images of a crystal.
    Calibration(CalibrationWish),
    /// Change one tilt's angles.
    SetAngles(usize, EulerAngles),
    /// Change every tilt's angles (a pasted table); as many as images.
    SetAllAngles(Vec<EulerAngles>),
    /// Reverse the sign of every tilt angle.
    MirrorAngles,
    /// Exchange x and y of all images.
    ExchangeAxes,
    /// Leave a tilt out or take it in again.
    IncludeTilt(usize, bool),
    /// Show a tilt.
    ShowTilt(usize),
    /// Move the crosshair, Å.
    MoveCrosshair([f64; 3]),
    /// Choose a tool.
    SetTool(Tool),
    /// Ask for a ghost atom at a place, Å (it snaps to the fitted maximum).
    ProposeAtom([f64; 3]),
    /// Drop the ghost.
    RejectGhost,
    /// Add the ghost to the model.
    AcceptGhost,
    /// Replace the ghost (answer to a proposal).
    SetGhost(Box<Option<Ghost>>),
    /// Remove the selected atoms.
    RemoveSelected,
    /// Shift the selected atoms by Å.
    NudgeSelected([f64; 3]),
    /// Give the selected atoms this species (index into the model's names).
    RelabelSelected(u16),
    /// Why the next edits are made; goes into the journal.
    SetReason(String),
    /// Select an atom and bring the crosshair to it.
    FocusAtom(AtomId),
    /// Go to an entry of the list of doubtful places.
    ShowDoubtful(usize),
    /// Go on (or back) in the list of doubtful places.
    StepDoubtful(isize),
    /// Take the shown place off the list: it has been looked at.
    SettleDoubtful,
    /// Do this about the shown place of the list and go to the next.
    Decide(Proposal),
    /// List these doubtful places only.
    FilterQueue(QueueFilter),
    /// Make two atoms of the selected one.
    SplitSelected,
    /// Mark the selected atoms, or take the mark off.
    MarkSelected(Mark),
    /// Set the phase of these atoms by hand, or leave it to the analysis again.
    SetPhase(Vec<AtomId>, Option<Phase>),
    /// Give the selected atoms the next species.
    NextSpecies,
    /// Bring the removed atom nearest to the pointer (or the crosshair) back.
    RestoreHere,
    /// Refine the atoms around the pointer (or the crosshair) against the tilts.
    RefineSphere,
    /// Take over what that found.
    TakeRefined(Box<RefinedPart>),
    /// Give the model as it is a name.
    Checkpoint(String),
    /// Bring the model back to the checkpoint with this number.
    ReturnTo(u64),
    /// Take these atoms out of the selection.
    Unselect(Vec<AtomId>),
    /// Add these atoms to the selection, whether they are in it or not.
    SelectMore(Vec<AtomId>),
    /// Turn the oblique view.
    SetPlane(PlaneAxes),
    /// Turn the oblique view by the selected atoms: through three, or along the row of two.
    PlaneFromSelection,
    /// Step the active view's plane by layers of atoms.
    StepLayer(isize),
    /// Move an atom, Å; one transaction when the drag ends.
    MoveAtom(AtomId, [f64; 3]),
    /// Snap the selected atoms to their fitted maxima.
    RefitSelected,
    /// Merge the two selected atoms.
    MergeSelected,
    /// Select atoms; `true` adds to the selection.
    Select(Vec<AtomId>, bool),
    /// Light atoms up (brush of a plot); empty puts the light out.
    Brush(Vec<AtomId>),
    /// Undo the last edit.
    Undo,
    /// Redo the last undone edit.
    Redo,
    /// Colour atoms by something.
    SetColorBy(ColorBy),
    /// Use a threshold on the traced candidates (end of a drag on the histogram).
    ApplyThreshold(f64),
    /// A line of a figure was dragged: the parameter it stands for, where to, and whether it was let go.
    DragLine(String, f64, bool),
    /// Write the figure with this id.
    ExportFigure(String),
    /// Write the table with this id.
    ExportTable(String),
    /// Write a sheet of maps.
    ExportSheet(SheetKind),
    /// Choose another model to compare with.
    CompareWith,
    /// Take a model out of the comparison, by its place.
    ForgetOther(usize),
    /// Choose a crystal file to compare with.
    ChooseCrystal,
    /// Write the model.
    ExportAtoms,
    /// Write the volume.
    ExportVolume,
    /// Write the analysis.
    ExportAnalysis,
    /// Write the tilt series.
    ExportSeries,
    /// Write the methods table, the figures and the data package.
    ExportReport,
    /// Put a text on the clipboard.
    Copy(String),
    /// Show a plot in the tray.
    ShowPlot(String),
    /// Show or hide the command palette.
    TogglePalette,
    /// Show or hide the keys of the view under the pointer.
    ToggleHelp,
    /// Put the default layout back.
    DefaultLayout,
    /// Dark or light.
    ToggleTheme,
    /// Begin an empty document.
    NewProject,
    /// Take the edits of an unclean end back in.
    RecoverYes,
    /// Leave the edits of an unclean end out.
    RecoverNo,
    /// Throw the edits of an unclean end away.
    RecoverDrop,
    /// Put a question aside without an answer.
    DropQuestion,
    /// Step the active view's plane by voxels.
    StepSlice(isize),
    /// Move in the active view's plane by `(right, up)` steps: the selected atoms with the move tool, else the
    /// crosshair; in the tilt view right is the next tilt.
    StepInPlane(isize, isize),
    /// Make both slabs thicker (> 1) or thinner (< 1) by a factor.
    ScaleSlab(f64),
    /// Place a ghost under the pointer, or at the crosshair.
    ProposeHere,
    /// Accept what is pending: the ghost, else the shown doubtful place.
    Confirm,
    /// Drop what is pending: the ghost, else the tool, else the selection.
    Cancel,
    /// Make the next view the active one.
    CycleView,
    /// Show one view alone, or all again.
    Maximize(ViewKind),
    /// Go on with what would lose unsaved changes: save first, or not.
    Unsaved {
        /// Save before.
        save: bool,
    },
    /// Go on reconstructing from where the last run ended.
    Resume,
    /// Choose a folder to open.
    OpenFolderDialog,
    /// Close the window (asks when something is unsaved).
    Quit,
}

/// A change of one view setting (see [`super::state::ViewState`] for meanings and units).
#[derive(Debug, Clone)]
pub enum ViewChange {
    /// Å.
    DensitySlab(f64),
    /// Å.
    AtomSlab(f64),
    /// Atoms in slices.
    ShowAtoms(bool),
    /// Residual of the tilts over the slices.
    ShowResidual(bool),
    /// Removed atoms where they stood.
    ShowTombstones(bool),
    /// Colour map of densities and images.
    DensityMap(ColorMap),
    /// Colour map of quantities.
    QuantityMap(ColorMap),
    /// Fractions of the volume's range.
    DensityContrast([f32; 2]),
    /// Percentiles of an image's histogram.
    ImagePercentiles([f32; 2]),
    /// Size and resolution of exported figures.
    Page(Page),
    /// Play the tilts.
    Playing(bool),
    /// Picture of the tilt view.
    TiltPicture(TiltPicture),
    /// Volume in the 3D view.
    ShowVolume(bool),
    /// Surfaces of the voids in the 3D view.
    ShowVoids(bool),
    /// Fraction of the range; `None` is maximum intensity.
    IsoLevel(Option<f32>),
    /// Clip the 3D view to the slab.
    Clip(bool),
    /// Threshold under the pointer while it is dragged.
    DraggedThreshold(Option<f64>),
    /// The 3D point (Å) under the pointer; `None` when it left the views.
    Cursor(Option<[f64; 3]>),
    /// The view that keys act on: the one under the pointer.
    Active(ViewKind),
    /// What the tool that paints does.
    Brush(Brush),
}

/// Actions asked for in this frame.
#[derive(Debug, Default)]
pub struct Actions(Vec<Action>);

impl Actions {
    /// Asks for an action.
    pub fn push(&mut self, action: Action) {
        self.0.push(action);
    }

    /// Asks for several.
    pub fn extend(&mut self, actions: impl IntoIterator<Item = Action>) {
        self.0.extend(actions);
    }

    /// Takes what was asked for, in order.
    pub fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.0)
    }

    /// Looks at what was asked for (tests).
    #[must_use]
    pub fn as_slice(&self) -> &[Action] {
        &self.0
    }
}
