//! Everything the user can ask for, as data. Panels and views push actions; the app runs them after the frame.
//! An action carries its text, tooltip and shortcut: menu, palette and keys all read them here.

use super::state::{ColorBy, Ghost, Tool};
use crate::analyze::AnalyzeParams;
use crate::jobs::{Job, OpenHints};
use crate::model::{AtomId, EulerAngles};
use crate::monitor::Stopped;
use crate::project::Stage;
use crate::reconstruct::ReconstructParams;
use crate::trace::TraceParams;
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
    /// Change parameters.
    SetReconstruct(ReconstructParams),
    /// Change parameters.
    SetTrace(TraceParams),
    /// Change parameters.
    SetAnalyze(AnalyzeParams),
    /// Change the pixel size, Å.
    SetPixelSize(f64),
    /// Change one tilt's angles.
    SetAngles(usize, EulerAngles),
    /// Reverse the sign of every tilt angle.
    MirrorAngles,
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
    /// Write the figure with this id.
    ExportFigure(String),
    /// Write the model.
    ExportAtoms,
    /// Write the volume.
    ExportVolume,
    /// Write the analysis.
    ExportAnalysis,
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
    /// Close the window (asks when something is unsaved).
    Quit,
}

/// Actions asked for in this frame.
#[derive(Debug, Default)]
pub struct Actions(Vec<Action>);

impl Actions {
    /// Asks for an action.
    pub fn push(&mut self, action: Action) {
        self.0.push(action);
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
