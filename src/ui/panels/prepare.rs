//! From raw images to a series that RESIRE can use: every step with its switch, its parameters, what it found in
//! this series, and its pictures in the tilt view.

use super::form::Form;
use super::params;
use super::{command_button, fact, name_cell, run_row, section};
use crate::preprocess::{Bm3dParams, FrameId, FrameParams, PrepareParams, Prepared, Step};
use crate::project::Stage;
use crate::reconstruct::GeometryParams;
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::masking::{MaskTool, MaskView, MaskWish};
use crate::ui::state::{AppState, TiltPicture};
use eframe::egui::{self, Ui};
use std::sync::LazyLock;

static DENOISE: LazyLock<Form<Bm3dParams>> = LazyLock::new(|| Form::without(&[]));
static FRAMES: LazyLock<Form<FrameParams>> = LazyLock::new(|| Form::without(&[]));
static BACKGROUND: LazyLock<Form<PrepareParams>> =
    LazyLock::new(|| Form::only(&["background_model", "dilation_px", "clamp"]));
static DOSE: LazyLock<Form<PrepareParams>> = LazyLock::new(|| Form::only(&["equalize_dose"]));
static REST: LazyLock<Form<PrepareParams>> = LazyLock::new(|| Form::only(&["all_steps"]));
static GEOMETRY: LazyLock<Form<GeometryParams>> = LazyLock::new(|| Form::without(&[]));

/// Draws the panel.
pub fn ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let workspace = &state.workspace;
    if let Some(series) = &workspace.series {
        let how = if workspace.prepared.is_some() {
            "prepared; reconstruction uses them"
        } else {
            "as read"
        };
        ui.label(format!("{} tilts, {how}", series.len()));
    }
    ui.weak("Leave this stage out when the series was prepared elsewhere.");
    pictures_ui(ui, state, actions);
    let mut params = workspace.project.parameters.prepare.clone();
    let before = params.clone();
    let mut undone = false;
    let has_frames = (workspace.series.as_ref()).is_some_and(|series| series.frames.is_some());
    if has_frames
        || state
            .preparation
            .as_ref()
            .is_some_and(|p| p.drift.is_some())
    {
        undone |= step_ui(ui, Step::Drift, &mut params, state);
        if !params.skip.contains(&Step::Drift) {
            frames_ui(ui, state, &mut params, actions);
        }
    }
    for step in [Step::Denoise, Step::Background, Step::Align] {
        undone |= step_ui(ui, step, &mut params, state);
        if step == Step::Denoise && params.denoise {
            command_button(ui, state, actions, "preview_denoise");
            denoising_ui(ui, state, actions);
        }
        if step == Step::Background && !params.skip.contains(&step) {
            mask_ui(ui, state, actions);
        }
        if step == Step::Align {
            nudges_ui(ui, state, actions);
        }
    }
    section(ui, "Run");
    REST.ui(ui, &mut params);
    if params != before {
        actions.push(Action::SetPrepare(params));
    }
    if undone {
        actions.push(Action::RunStage(Stage::Prepare));
    }
    run_row(
        ui,
        state,
        Stage::Prepare,
        workspace.prepared.is_some(),
        actions,
    );
    if workspace.prepared.is_some() {
        ui.weak("A rerun begins at the first step that was changed.");
        command_button(ui, state, actions, "drop_preparation");
    }
    geometry_ui(ui, state, actions);
}

/// A step's switch, its parameters while it is on, and what it found; whether it was asked to be undone.
fn step_ui(ui: &mut Ui, step: Step, params: &mut PrepareParams, state: &AppState) -> bool {
    let (name, about) = match step {
        Step::Drift => ("Frames", "Registers the frames of each tilt"),
        Step::Denoise => (
            "Denoise",
            "BM3D. It pleases the eye and may cost accuracy: compare R_free with and without it",
        ),
        Step::Background => (
            "Background",
            "Subtracts what lies around and, carried on smoothly, below the specimen",
        ),
        Step::Align => (
            "Align",
            "Moves the images: common line along the tilt axis, centre of mass across it",
        ),
    };
    section(ui, name);
    let wanted = step != Step::Denoise || params.denoise;
    let mut on = wanted && !params.skip.contains(&step);
    let text = if step == Step::Denoise {
        "Denoise the images"
    } else {
        "Where the data needs it"
    };
    if ui.checkbox(&mut on, text).on_hover_text(about).changed() {
        params.skip.retain(|left_out| *left_out != step);
        if step == Step::Denoise {
            params.denoise = on;
        } else if !on {
            params.skip.push(step);
        }
    }
    if on {
        match step {
            Step::Denoise => {
                DENOISE.ui(ui, &mut params.bm3d);
            }
            Step::Background => {
                BACKGROUND.ui(ui, params);
            }
            Step::Align => {
                axis_ui(ui, params);
                DOSE.ui(ui, params);
                ui.weak("Alt+arrows move the shown tilt by 0.1 px.");
            }
            Step::Drift => {
                FRAMES.ui(ui, &mut params.frames);
            }
        }
    }
    if let Some(done) = &state.preparation {
        for note in notes_of(step, done) {
            let note = capitalised(note);
            ui.add(egui::Label::new(egui::RichText::new(note).weak()).wrap());
        }
        let may = on && done.did(step) && state.earlier_preparation().is_some();
        if may && undo_ui(ui, step) {
            params.skip.push(step);
            params.denoise &= step != Step::Denoise;
            return true;
        }
    }
    false
}

/// Whether a step is to be undone.
fn undo_ui(ui: &mut Ui, step: Step) -> bool {
    let what = match step {
        Step::Drift => "registration",
        Step::Denoise => "denoising",
        Step::Background => "subtraction",
        Step::Align => "alignment",
    };
    let help =
        "Leave this step out and do those after it again; the ones before it stay as they are";
    let response = ui.small_button(format!("Undo the {what}"));
    response.on_hover_text(help).clicked()
}

/// What was moved by hand, and back.
fn nudges_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let nudges = &state.workspace.project.parameters.prepare.nudges;
    if nudges.is_empty() {
        return;
    }
    let tilt = state.view.tilt;
    let here = nudges.iter().find(|nudge| nudge.tilt == tilt);
    let text = match nudges.len() {
        1 => "1 image".to_owned(),
        n => format!("{n} images"),
    };
    fact(ui, "Moved by hand", text);
    if let Some([x, y]) = here.map(|nudge| nudge.shift_px) {
        fact(ui, "This image", format!("({x:+.1}, {y:+.1}) px"));
    }
    ui.horizontal(|ui| {
        let button = egui::Button::new("Take this back");
        if ui.add_enabled(here.is_some(), button).clicked() {
            actions.push(Action::TakeBackNudges(Some(tilt)));
        }
        if ui.button("Take all back").clicked() {
            actions.push(Action::TakeBackNudges(None));
        }
    });
}

/// Which frames of the shown tilt take part, and where their drift is told.
fn frames_ui(ui: &mut Ui, state: &AppState, params: &mut PrepareParams, actions: &mut Actions) {
    let Some(frames) = state
        .workspace
        .series
        .as_ref()
        .and_then(|s| s.frames.as_ref())
    else {
        return;
    };
    let tilt = state.view.tilt + 1;
    let dropped = &mut params.frames.drop_frames;
    let of_tilt = dropped.iter().filter(|id| id.tilt == tilt).count();
    ui.horizontal_wrapped(|ui| {
        name_cell(ui, &format!("Frames of tilt {tilt}"))
            .on_hover_text("Click a frame to leave it out of its tilt, or to take it in again");
        for frame in 1..=frames.per_tilt {
            let id = FrameId { tilt, frame };
            let used = !dropped.contains(&id);
            // One must remain.
            let may = !used || of_tilt + 1 < frames.per_tilt;
            let button = egui::Button::selectable(used, frame.to_string());
            let response = ui.add_enabled(may, button);
            response.widget_info(|| {
                let text = format!("Use frame {frame} of tilt {tilt}");
                egui::WidgetInfo::selected(egui::Role::CheckBox, may, used, text)
            });
            if response.clicked() {
                if used {
                    dropped.push(id);
                } else {
                    dropped.retain(|other| *other != id);
                }
            }
        }
    });
    if !dropped.is_empty() {
        ui.horizontal(|ui| {
            let text = match dropped.len() {
                1 => "1 frame in all".to_owned(),
                n => format!("{n} frames in all"),
            };
            fact(ui, "Left out", text);
            if ui.small_button("Use all").clicked() {
                dropped.clear();
            }
        });
    }
    if state
        .preparation
        .as_ref()
        .is_some_and(|p| p.drift.is_some())
    {
        ui.horizontal(|ui| {
            for (plot, text) in [("drift", "Plot of the drift"), ("drift_table", "Table")] {
                if ui.link(text).clicked() {
                    actions.push(Action::ShowPlot(plot.to_owned()));
                }
            }
        });
    }
}

/// The direction of the tilt axis: searched, or given.
fn axis_ui(ui: &mut Ui, params: &mut PrepareParams) {
    let number = params::Number {
        range: -45.0..=45.0,
        speed: 0.02,
        digits: 2,
        unit: "°",
    };
    let help = "Angle of the tilt axis from y, counter-clockwise. Searched unless it is given; it stays y unless the tilts \
                clearly say otherwise";
    params::optional(
        ui,
        "Axis from y",
        help,
        &mut params.axis_deg,
        0.0,
        "searched",
        number,
    );
}

/// What denoising does to the prediction of tilts left out.
fn denoising_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    command_button(ui, state, actions, "judge_denoising");
    let Some(verdict) = &state.denoising else {
        return;
    };
    for (name, found) in [
        ("R_free without", verdict.measured),
        ("R_free with", verdict.denoised),
    ] {
        let text = format!("{:.4} (misfit {:.4})", found.r_free, found.misfit_free);
        fact(ui, name, text);
    }
    let word = egui::RichText::new(capitalised(verdict.word())).strong();
    ui.add(egui::Label::new(word).wrap());
}

/// The mask over the image and the tools that edit it.
fn mask_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let view = &state.view.mask;
    let mut wish = |wish| actions.push(Action::Mask(wish));
    let mut shown = view.shown;
    let help = "Draws the edge between specimen and vacuum over the image as read";
    if ui
        .checkbox(&mut shown, "Show the mask")
        .on_hover_text(help)
        .changed()
    {
        wish(MaskWish::Show(shown));
    }
    if !shown {
        return;
    }
    ui.horizontal(|ui| {
        for (tool, text, help) in [
            (MaskTool::Off, "Look", "A drag moves the picture"),
            (MaskTool::Add, "Add", "A drag makes pixels specimen"),
            (MaskTool::Erase, "Erase", "A drag makes pixels vacuum"),
            (
                MaskTool::Pull,
                "Pull edge",
                "A drag moves the edge that it begins at",
            ),
        ] {
            let response = ui.selectable_label(view.tool == tool, text);
            if response.on_hover_text(help).clicked() {
                wish(MaskWish::Tool(tool));
            }
        }
    });
    let mut radius = view.radius_px;
    let number = params::Number {
        range: 1.0..=500.0,
        speed: 0.2,
        digits: 1,
        unit: "px",
    };
    let help = "Radius of the brush, and how far the edge follows a pull; Shift and the wheel change it over the image";
    let usual = MaskView::default().radius_px;
    if params::real(ui, "Radius", help, &mut radius, usual, number) {
        wish(MaskWish::Radius(radius));
    }
    let edits = &state.workspace.project.parameters.prepare.mask_edits;
    let here = edits
        .iter()
        .filter(|edit| edit.tilt == state.view.tilt)
        .count();
    let covered = (state.shown_mask.as_ref())
        .filter(|mask| mask.tilt == state.view.tilt)
        .map_or_else(String::new, |mask| {
            format!("{:.1} % of this image", 100.0 * mask.share)
        });
    fact(ui, "Specimen", covered);
    let text = match edits.len() {
        0 => "by the rule".to_owned(),
        1 => format!("1 change, {here} of it here"),
        all => format!("{all} changes, {here} of them here"),
    };
    fact(ui, "By hand", text);
    ui.horizontal(|ui| {
        let undo = egui::Button::new("Undo");
        if ui
            .add_enabled(!edits.is_empty(), undo)
            .on_hover_text("Take the last change back (Ctrl+Z while a tool is chosen)")
            .clicked()
        {
            wish(MaskWish::Undo);
        }
        let redo = egui::Button::new("Redo");
        if ui
            .add_enabled(!state.masks_undone.is_empty(), redo)
            .clicked()
        {
            wish(MaskWish::Redo);
        }
        let reset = egui::Button::new("Reset image");
        if ui
            .add_enabled(here > 0, reset)
            .on_hover_text("The mask of this image is the rule's again")
            .clicked()
        {
            wish(MaskWish::Reset);
        }
        let all = egui::Button::new("Reset all");
        if ui
            .add_enabled(!edits.is_empty(), all)
            .on_hover_text("All masks are the rule's again")
            .clicked()
        {
            wish(MaskWish::ResetAll);
        }
    });
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// The sentences of a preparation that are about a step: each begins with its name.
fn notes_of(step: Step, done: &Prepared) -> impl Iterator<Item = &str> {
    let names: &[&str] = match step {
        Step::Drift => &["Drift", "Frames"],
        Step::Denoise => &["Denoising", "Denoise"],
        Step::Background => &["Background"],
        Step::Align => &["Alignment", "Dose", "Damage"],
    };
    done.notes.iter().filter_map(|note| {
        let (about, rest) = note.split_once(": ")?;
        names.contains(&about).then_some(rest)
    })
}

/// What the tilt view shows: before, after, and what was taken away.
fn pictures_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    section(ui, "Picture");
    let workspace = &state.workspace;
    let done = state.preparation.as_ref();
    let previewed = (state.preview.as_ref()).is_some_and(|p| p.tilt == state.view.tilt);
    let denoised = previewed || done.is_some_and(|p| p.denoised.is_some());
    let subtracted = done.is_some_and(|p| p.background.is_some());
    let prepared = workspace.prepared.is_some();
    let choose = |ui: &mut Ui, picture, text: &str, there: bool, why: &str| {
        let button = egui::Button::selectable(state.view.tilt_picture == picture, text);
        let response = ui.add_enabled(there, button).on_disabled_hover_text(why);
        response.clicked().then_some(picture)
    };
    let mut chosen = None;
    ui.horizontal_wrapped(|ui| {
        if !prepared {
            let shown = TiltPicture::Measured;
            chosen = chosen.or(choose(ui, shown, "As read", true, ""));
            if previewed {
                chosen = chosen.or(choose(ui, TiltPicture::Preview, "Preview", true, ""));
            }
            return;
        }
        for (step, name) in TiltPicture::steps(done.map(|done| &**done)) {
            chosen = chosen.or(choose(ui, step, name, true, ""));
        }
        if previewed {
            chosen = chosen.or(choose(ui, TiltPicture::Preview, "Preview", true, ""));
        }
    });
    ui.horizontal_wrapped(|ui| {
        let why = "no background was subtracted in this session";
        chosen = chosen.or(choose(
            ui,
            TiltPicture::Background,
            "Background",
            subtracted,
            why,
        ));
        let why = "the images were not denoised in this session";
        for (picture, text) in [
            (TiltPicture::RemovedNoise, "Removed noise"),
            (TiltPicture::RemovedNoiseFft, "Its FFT"),
        ] {
            chosen = chosen.or(choose(ui, picture, text, denoised, why));
        }
    });
    if let Some(picture) = chosen {
        actions.push(Action::View(ViewChange::TiltPicture(picture)));
    }
    if done.is_some_and(|done| !done.damage.is_empty()) {
        let help = "Later images of the same side against the first: correlation and counts";
        if ui.link("Table of the damage").on_hover_text(help).clicked() {
            actions.push(Action::ShowPlot("damage".to_owned()));
        }
    }
    ui.weak("B blinks between as read and prepared, Shift+B between a step and the one before.");
}

fn geometry_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    section(ui, "Geometry");
    ui.label(
        "Moves every image and turns every angle to where short reconstructions of all tilts agree best. \
         The series it makes takes the prepared one's place.",
    );
    let mut params = state.workspace.project.parameters.geometry.clone();
    if GEOMETRY.ui(ui, &mut params) {
        actions.push(Action::SetGeometry(params));
    }
    command_button(ui, state, actions, "refine_geometry");
    if let Some(round) = &state.live.geometry {
        fact(ui, "Rounds", round.number.to_string());
        fact(ui, "R1", format!("{:.4}", round.r1));
        fact(ui, "Last step", format!("{:.3} px", round.step_px));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Monitor;

    #[test]
    fn every_sentence_of_a_preparation_is_shown_at_a_step() {
        let demo = crate::simulate::demo::demo_series(&Default::default(), &Monitor::silent())
            .unwrap()
            .series;
        let params = PrepareParams {
            all_steps: true,
            equalize_dose: true,
            ..PrepareParams::default()
        };
        let done = crate::preprocess::prepare(&demo, &params, &Monitor::silent()).unwrap();
        let shown: usize = [Step::Drift, Step::Denoise, Step::Background, Step::Align]
            .into_iter()
            .map(|step| notes_of(step, &done).count())
            .sum();
        assert_eq!(shown, done.notes.len(), "{:?}", done.notes);
    }
}
