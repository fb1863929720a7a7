//! The commands themselves, in the order of the menus.

use super::{
    Command, Menu, always, can_auto, can_redo, can_refine, can_run, can_undo, has_after,
    has_analysis, has_atoms, has_document, has_doubts, has_job, has_one, has_pair, has_place,
    has_row_or_plane, has_selection, has_series, has_species, has_tombstones, has_voids,
    has_volume, reason_of,
};
use crate::monitor::Stopped;
use crate::project::{Mark, Stage};
use crate::ui::actions::{Action, ViewChange};
use crate::ui::calibration::CalibrationWish;
use crate::ui::measuring::LineWish;
use crate::ui::queue::Proposal;
use crate::ui::state::{TiltPicture, Tool, ViewKind};
use eframe::egui::{Key, KeyboardShortcut, Modifiers};

const fn plain(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::NONE, key)
}
const fn alt(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::ALT, key)
}
const fn ctrl(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND, key)
}
const fn shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::SHIFT, key)
}
const fn ctrl_shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), key)
}

/// The table.
pub static COMMANDS: &[Command] = &[
    // File
    command!(
        File,
        "new",
        "New",
        "Close what is open and begin an empty project",
        [ctrl(Key::N)],
        has_document,
        |_| Action::NewProject
    ),
    command!(
        File,
        "open",
        "Open…",
        "Open a tilt series with its angles, a volume, a model or a project",
        [ctrl(Key::O)],
        always,
        |_| Action::OpenDialog
    ),
    command!(
        File,
        "open_path",
        "Open by path…",
        "Type or paste the path of a file or folder",
        [ctrl_shift(Key::O)],
        always,
        |_| Action::OpenByPath
    ),
    command!(
        File,
        "demo",
        "Demo particle",
        "Simulate a partially oxidised Zr particle and take it down the whole road",
        [],
        always,
        |_| Action::Demo
    ),
    command!(
        ---File,
        "save",
        "Save",
        "Save the project",
        [ctrl(Key::S)],
        has_document,
        |_| Action::Save
    ),
    command!(
        File,
        "save_as",
        "Save as…",
        "Save the project in another place",
        [ctrl_shift(Key::S)],
        has_document,
        |_| Action::SaveAs
    ),
    command!(
        ---File,
        "export_atoms",
        "Export model…",
        "Write the atoms as XYZ, extended XYZ or CSV",
        [ctrl(Key::E)],
        has_atoms,
        |_| Action::ExportAtoms
    ),
    command!(
        File,
        "export_volume",
        "Export volume…",
        "Write the volume as MRC or npy",
        [],
        has_volume,
        |_| Action::ExportVolume
    ),
    command!(
        File,
        "export_series",
        "Export tilt series…",
        "Write the (prepared) tilt series as MRC or npy",
        [],
        has_series,
        |_| Action::ExportSeries
    ),
    command!(
        File,
        "export_analysis",
        "Export analysis…",
        "Write the analysis as JSON, CSV and extended XYZ into a folder",
        [],
        has_analysis,
        |_| Action::ExportAnalysis
    ),
    command!(
        File,
        "export_report",
        "Export report…",
        "Write the methods table, all figures and the data package into a folder",
        [],
        has_document,
        |_| Action::ExportReport
    ),
    command!(
        ---File,
        "quit",
        "Quit",
        "Close the window; asks when something is unsaved",
        [ctrl(Key::Q)],
        always,
        |_| Action::Quit
    ),
    // Edit
    command!(
        Edit,
        "undo",
        "Undo",
        "Take the last hand edit back",
        [ctrl(Key::Z)],
        can_undo,
        |_| Action::Undo
    ),
    command!(
        Edit,
        "redo",
        "Redo",
        "Make the last undone edit again",
        [ctrl_shift(Key::Z), ctrl(Key::Y)],
        can_redo,
        |_| Action::Redo
    ),
    command!(
        ---Edit,
        "add",
        "Add atom here",
        "Fit the maximum under the pointer (or at the crosshair) and show it as a ghost first",
        [plain(Key::A)],
        has_volume,
        |_| Action::ProposeHere
    ),
    command!(
        Edit,
        "remove",
        "Remove atoms",
        "Remove the selected atoms from the model",
        [plain(Key::X), plain(Key::Delete)],
        has_selection,
        |_| Action::RemoveSelected
    ),
    command!(
        Edit,
        "refit",
        "Refit atoms",
        "Bring the selected atoms to their fitted maxima",
        [plain(Key::R)],
        has_selection,
        |_| Action::RefitSelected
    ),
    command!(
        Edit,
        "merge",
        "Merge two atoms",
        "Make one atom of the two selected ones",
        [plain(Key::J)],
        has_pair,
        |_| Action::MergeSelected
    ),
    command!(
        Edit,
        "split",
        "Split atom",
        "Make two atoms of the selected one, along the direction in which its density is widest",
        [shift(Key::J)],
        has_one,
        |_| Action::SplitSelected
    ),
    command!(
        Edit,
        "refine_sphere",
        "Refine sphere",
        "Refine the atoms around the pointer (or the crosshair) against the measured tilts, all others staying",
        [shift(Key::R)],
        can_refine,
        |_| Action::RefineSphere
    ),
    command!(
        Edit,
        "species",
        "Next species",
        "Give the selected atoms the next species",
        [plain(Key::E)],
        has_species,
        |_| Action::NextSpecies
    ),
    command!(
        ---Edit,
        "lock",
        "Lock or let go",
        "Keep the selected atoms from every edit, or let them go",
        [plain(Key::L)],
        has_selection,
        |_| Action::MarkSelected(Mark::Locked)
    ),
    command!(
        Edit,
        "flag",
        "Flag",
        "Ask for a second opinion on the selected atoms: they join the queue",
        [plain(Key::F)],
        has_selection,
        |_| Action::MarkSelected(Mark::Flagged)
    ),
    command!(
        Edit,
        "restore",
        "Bring atom back",
        "Put the removed atom nearest to the pointer (or the crosshair) back as it was",
        [shift(Key::X)],
        has_tombstones,
        |_| Action::RestoreHere
    ),
    command!(
        ---Edit,
        "tool_select",
        "Select tool",
        "Click selects, Shift adds, dragging moves the crosshair",
        [plain(Key::S)],
        always,
        |_| Action::SetTool(Tool::Select)
    ),
    command!(
        Edit,
        "tool_add",
        "Add tool",
        "Click proposes an atom at the nearest maximum",
        [plain(Key::P)],
        has_volume,
        |_| Action::SetTool(Tool::Add)
    ),
    command!(
        Edit,
        "tool_move",
        "Move tool",
        "Drag the selected atom, or nudge it with the arrows",
        [plain(Key::M)],
        has_atoms,
        |_| Action::SetTool(Tool::Move)
    ),
    command!(
        Edit,
        "tool_paint",
        "Paint phases",
        "Drag over atoms in a slice to set their phase",
        [],
        has_atoms,
        |_| Action::SetTool(Tool::Paint)
    ),
    command!(
        ---Edit,
        "next_doubt",
        "Next doubtful place",
        "Go to the next place that deserves a look",
        [plain(Key::N)],
        has_doubts,
        |_| Action::StepDoubtful(1)
    ),
    command!(
        Edit,
        "previous_doubt",
        "Previous doubtful place",
        "Go back to the place before",
        [shift(Key::N)],
        has_doubts,
        |_| Action::StepDoubtful(-1)
    ),
    command!(
        ---Edit,
        "confirm",
        "Accept",
        "Add the ghost to the model, or do what is proposed for the shown place, and go to the next",
        [plain(Key::Enter)],
        always,
        |_| Action::Confirm
    ),
    command!(
        Edit,
        "keep_place",
        "Keep as it is",
        "Leave the shown place as it is, take it off the list and go to the next",
        [plain(Key::K)],
        has_place,
        |_| Action::Decide(Proposal::Keep)
    ),
    command!(
        Edit,
        "cancel",
        "Reject",
        "Drop the ghost, then the tool, then the selection",
        [plain(Key::Escape)],
        always,
        |_| Action::Cancel
    ),
    // View
    command!(
        View,
        "maximize",
        "Maximise view",
        "Show the view under the pointer alone, or all views again",
        [plain(Key::Space)],
        always,
        |s| Action::Maximize(s.view.active)
    ),
    command!(
        View,
        "cycle",
        "Next view",
        "Make the next view the one that keys act on",
        [plain(Key::Tab)],
        always,
        |_| Action::CycleView
    ),
    command!(
        View,
        "layout",
        "Default layout",
        "Put the views back where they were",
        [],
        always,
        |_| Action::DefaultLayout
    ),
    command!(
        ---View,
        "atoms",
        "Atoms in slices",
        "Show or hide the atoms in the slice views",
        [plain(Key::V)],
        has_atoms,
        |s| Action::View(ViewChange::ShowAtoms(!s.view.show_atoms))
    ),
    command!(
        View,
        "residual",
        "Residual over slices",
        "Lay over the slices what the tilts show beyond the model: warm where they ask for an atom, cold where they deny one",
        [plain(Key::G)],
        can_refine,
        |s| Action::View(ViewChange::ShowResidual(!s.view.show_residual))
    ),
    command!(
        View,
        "plane",
        "Plane of the selected atoms",
        "Turn the oblique view through three selected atoms, or across the row of two",
        [plain(Key::O)],
        has_row_or_plane,
        |_| Action::PlaneFromSelection
    ),
    command!(
        View,
        "slab_maps",
        "Slab maps",
        "Successive slabs of the model side by side, in the colours of the atoms",
        [],
        has_atoms,
        |_| Action::ShowPlot("slab_maps".to_owned())
    ),
    command!(
        View,
        "show_voids",
        "Voids in 3D",
        "Show or hide the surfaces of vacancies and pores in the 3D view, atoms small beside them",
        [],
        has_voids,
        |s| Action::View(ViewChange::ShowVoids(!s.view.show_voids))
    ),
    command!(
        View,
        "clip",
        "Clip 3D to the slab",
        "Show only the slab round the crosshair in the 3D view",
        [plain(Key::C)],
        always,
        |s| Action::View(ViewChange::Clip(!s.view.clip))
    ),
    command!(
        View,
        "thinner",
        "Thinner slab",
        "Make the slabs of density and atoms thinner",
        [plain(Key::OpenBracket)],
        always,
        |_| Action::ScaleSlab(1.0 / 1.25)
    ),
    command!(
        View,
        "thicker",
        "Thicker slab",
        "Make the slabs of density and atoms thicker",
        [plain(Key::CloseBracket)],
        always,
        |_| Action::ScaleSlab(1.25)
    ),
    command!(
        View,
        "slice_up",
        "Next slice",
        "Move the active view's plane by a voxel",
        [plain(Key::PageUp)],
        has_volume,
        |_| Action::StepSlice(1)
    ),
    command!(
        View,
        "slice_down",
        "Previous slice",
        "Move the active view's plane back by a voxel",
        [plain(Key::PageDown)],
        has_volume,
        |_| Action::StepSlice(-1)
    ),
    command!(
        Hidden,
        "slice_up_layer",
        "Next layer",
        "Move the active view's plane to the next layer of atoms",
        [shift(Key::PageUp)],
        has_document,
        |_| Action::StepLayer(1)
    ),
    command!(
        Hidden,
        "slice_down_layer",
        "Layer before",
        "Move the active view's plane to the layer of atoms before",
        [shift(Key::PageDown)],
        has_document,
        |_| Action::StepLayer(-1)
    ),
    command!(
        ---View,
        "next_tilt",
        "Next tilt",
        "Show the next tilt image",
        [plain(Key::Period)],
        has_series,
        |s| Action::ShowTilt(s.view.tilt + 1)
    ),
    command!(
        View,
        "previous_tilt",
        "Previous tilt",
        "Show the tilt image before",
        [plain(Key::Comma)],
        has_series,
        |s| Action::ShowTilt(s.view.tilt.saturating_sub(1))
    ),
    command!(
        View,
        "play",
        "Play tilts",
        "Run through the tilt images",
        [plain(Key::T)],
        has_series,
        |s| Action::View(ViewChange::Playing(!s.view.playing))
    ),
    command!(
        View,
        "difference",
        "Measured or difference",
        "Switch the tilt view between the measured image and its difference to the model's",
        [plain(Key::D)],
        has_series,
        |s| {
            let picture = if s.view.tilt_picture == TiltPicture::Difference {
                TiltPicture::Measured
            } else {
                TiltPicture::Difference
            };
            Action::View(ViewChange::TiltPicture(picture))
        }
    ),
    command!(
        ---Edit,
        "nudge_tilt_left",
        "Nudge the tilt left",
        "Move the shown tilt image by 0.1 px; the record says so",
        [alt(Key::ArrowLeft)],
        has_series,
        |_| Action::NudgeTilt([-0.1, 0.0])
    ),
    command!(
        Edit,
        "nudge_tilt_right",
        "Nudge the tilt right",
        "Move the shown tilt image by 0.1 px; the record says so",
        [alt(Key::ArrowRight)],
        has_series,
        |_| Action::NudgeTilt([0.1, 0.0])
    ),
    command!(
        Edit,
        "nudge_tilt_up",
        "Nudge the tilt up",
        "Move the shown tilt image by 0.1 px; the record says so",
        [alt(Key::ArrowUp)],
        has_series,
        |_| Action::NudgeTilt([0.0, 0.1])
    ),
    command!(
        Edit,
        "nudge_tilt_down",
        "Nudge the tilt down",
        "Move the shown tilt image by 0.1 px; the record says so",
        [alt(Key::ArrowDown)],
        has_series,
        |_| Action::NudgeTilt([0.0, -0.1])
    ),
    command!(
        View,
        "before",
        "Before or after preparation",
        "Blink the tilt view between the image as read and as prepared (or denoised for a look)",
        [plain(Key::B)],
        has_after,
        |s| {
            let picture = if s.view.tilt_picture == TiltPicture::AsRead {
                if s.workspace.prepared.is_some() {
                    TiltPicture::Measured
                } else {
                    TiltPicture::Preview
                }
            } else {
                TiltPicture::AsRead
            };
            Action::View(ViewChange::TiltPicture(picture))
        }
    ),
    command!(
        View,
        "before_step",
        "Before or after the shown step",
        "Blink the tilt view between the shown step of the preparation and the one before it",
        [shift(Key::B)],
        has_after,
        |_| Action::BlinkStep
    ),
    command!(
        View,
        "tilt_gallery",
        "All tilts",
        "Show all images of the series side by side, or their power spectra; a click shows one",
        [],
        has_series,
        |s| Action::ShowGallery(!s.gallery)
    ),
    command!(
        View,
        "measure_line",
        "Measure a line",
        "Drag a line over the tilt image: its counts are plotted with the width of the highest peak",
        [],
        has_series,
        |s| Action::Line(LineWish::Measure(!s.view.line.measuring))
    ),
    command!(
        ---View,
        "theme",
        "Light or dark",
        "Switch between the dark and the light theme",
        [],
        always,
        |_| Action::ToggleTheme
    ),
    // Run
    command!(
        Run,
        "auto",
        "Auto",
        "Prepare, reconstruct, trace and analyse with parameters chosen from the data",
        [ctrl(Key::R)],
        can_auto,
        |_| Action::Auto
    ),
    command!(
        ---Run,
        "prepare",
        "Prepare",
        "Subtract the background and align the tilts",
        [],
        |s| can_run(s, Stage::Prepare),
        |_| Action::RunStage(Stage::Prepare)
    ),
    command!(
        Run,
        "drop_preparation",
        "Back to the images as read",
        "Take the preparation back; its parameters and what was done by hand stay for the next run",
        [],
        |s| super::need(s.workspace.prepared.is_some(), "nothing is prepared yet"),
        |_| Action::DropPreparation
    ),
    command!(
        Run,
        "refine_geometry",
        "Refine geometry",
        "Refine every tilt's shift and angles against short reconstructions of the others until nothing improves",
        [],
        |s| can_run(s, Stage::Prepare),
        |_| Action::RefineGeometry
    ),
    command!(
        Run,
        "reconstruct",
        "Reconstruct",
        "Run RESIRE on the tilt series",
        [],
        |s| can_run(s, Stage::Reconstruct),
        |_| Action::RunStage(Stage::Reconstruct)
    ),
    command!(
        Run,
        "trace",
        "Trace",
        "Find the atoms in the volume",
        [],
        |s| can_run(s, Stage::Trace),
        |_| Action::RunStage(Stage::Trace)
    ),
    command!(
        Run,
        "refine",
        "Refine",
        "Refine the atoms' positions against the measured tilts, and add and remove atoms where these leave no doubt",
        [],
        can_refine,
        |_| Action::Refine
    ),
    command!(
        Run,
        "calibrate",
        "Calibrate pixel size…",
        "Measure the pixel size on images of a known crystal",
        [],
        always,
        |_| Action::Calibration(CalibrationWish::Show(true))
    ),
    command!(
        Run,
        "preview_denoise",
        "Preview this tilt",
        "Denoise the shown tilt alone and show it",
        [],
        has_series,
        |_| Action::PreviewDenoise
    ),
    command!(
        Run,
        "judge_denoising",
        "Compare R_free",
        "Predict tilts left out from the others as measured and denoised: what predicts them better is nearer the truth",
        [],
        |s| can_run(s, Stage::Reconstruct),
        |_| Action::JudgeDenoising
    ),
    command!(
        Run,
        "ask_tilts",
        "Ask the tilts",
        "Rank the places of the model that the measured tilts doubt: atoms that are missing, and atoms they do not show",
        [],
        can_refine,
        |_| Action::AskTilts
    ),
    command!(
        Run,
        "analyze",
        "Analyze",
        "Analyse the structure of the model",
        [],
        |s| can_run(s, Stage::Analyze),
        |_| Action::RunStage(Stage::Analyze)
    ),
    command!(
        ---Run,
        "pause",
        "Pause or resume",
        "Halt the running job, or let it go on",
        [ctrl(Key::Space)],
        has_job,
        |s| Action::Pause(!s.job.as_ref().is_some_and(|j| j.paused))
    ),
    command!(
        Run,
        "keep",
        "Finish now and keep",
        "End the running job and keep its result so far",
        [],
        has_job,
        |_| Action::Stop(Stopped::Keep)
    ),
    command!(
        Run,
        "abandon",
        "Abandon",
        "End the running job and drop its result",
        [],
        has_job,
        |_| Action::Stop(Stopped::Abandon)
    ),
    // Help
    command!(
        Help,
        "palette",
        "Commands…",
        "Find any command by its name",
        [ctrl(Key::P)],
        always,
        |_| Action::TogglePalette
    ),
    command!(
        Help,
        "help",
        "Keys",
        "Show all keys",
        [plain(Key::F1), plain(Key::Questionmark)],
        always,
        |_| Action::ToggleHelp
    ),
    // Arrows
    arrow!(plain, "left", "Left", ArrowLeft, -1, 0),
    arrow!(plain, "right", "Right", ArrowRight, 1, 0),
    arrow!(plain, "up", "Up", ArrowUp, 0, 1),
    arrow!(plain, "down", "Down", ArrowDown, 0, -1),
    arrow!(shift, "far_left", "Far left", ArrowLeft, -10, 0),
    arrow!(shift, "far_right", "Far right", ArrowRight, 10, 0),
    arrow!(shift, "far_up", "Far up", ArrowUp, 0, 10),
    arrow!(shift, "far_down", "Far down", ArrowDown, 0, -10),
    // The reason of the edits that follow.
    reason!(1, Num1),
    reason!(2, Num2),
    reason!(3, Num3),
    reason!(4, Num4),
    reason!(5, Num5),
    reason!(6, Num6),
    reason!(7, Num7),
    reason!(8, Num8),
    reason!(9, Num9),
    // Views and stages by number, for the palette and the keys.
    stage!("stage_series", Series, Num1),
    stage!("stage_prepare", Prepare, Num2),
    stage!("stage_reconstruct", Reconstruct, Num3),
    stage!("stage_trace", Trace, Num4),
    stage!("stage_correct", Correct, Num5),
    stage!("stage_analyze", Analyze, Num6),
    stage!("stage_report", Report, Num7),
    alone!("view_xy", "xy slice", Xy),
    alone!("view_xz", "xz slice", Xz),
    alone!("view_yz", "yz slice", Yz),
    alone!("view_oblique", "oblique slice", Oblique),
    alone!("view_3d", "3D view", Volume),
    alone!("view_tilt", "tilt view", Tilt),
];
