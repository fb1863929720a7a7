//! RESIRE: forecast, parameters, run, and the fit of each tilt.

use super::form::Form;
use super::params::{self, Help, Number};
use super::{button_with_reason, command_button, fact, run_row, section};
use crate::project::Stage;
use crate::reconstruct::{Projector, ReconstructParams, forecast, volume_size};
use crate::ui::actions::{Action, Actions};
use crate::ui::perform::resumable;
use crate::ui::state::{AppState, TiltPicture};
use eframe::egui::{self, Ui};
use std::sync::{Arc, LazyLock};

static HELP: LazyLock<Help> = LazyLock::new(Help::of::<ReconstructParams>);
static REST: LazyLock<Form<ReconstructParams>> =
    LazyLock::new(|| Form::without(&["iterations", "projector", "no_positivity", "leave_out"]));

/// View state of the panel.
#[derive(Default)]
pub struct ReconstructPanel {
    all: bool,
}

impl ReconstructPanel {
    /// Draws the panel.
    pub fn ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        let mut params = state.workspace.project.parameters.reconstruct.clone();
        forecast_ui(ui, state, &params);
        section(ui, "Parameters");
        let mut changed = usual_ui(ui, &mut params);
        ui.checkbox(&mut self.all, "All parameters");
        if self.all {
            changed |= REST.ui(ui, &mut params);
            changed |= size_ui(ui, state, &mut params);
        }
        if changed {
            actions.push(Action::SetReconstruct(params));
        }
        section(ui, "Run");
        follow_ui(ui, state, actions);
        run_row(
            ui,
            state,
            Stage::Reconstruct,
            state.workspace.volume.is_some(),
            actions,
        );
        if let Some((done, left)) = resumable(state) {
            let text = format!("Resume from {done}");
            let tooltip = format!("{left} more iterations from the volume that is there");
            let enabled = super::super::commands::can_run(state, Stage::Reconstruct);
            if button_with_reason(ui, &text, &tooltip, false, &enabled) {
                actions.push(Action::Resume);
            }
        }
        command_button(ui, state, actions, "auto");
        result_ui(ui, state);
        tilt_bars_ui(ui, state, actions);
    }
}

fn forecast_ui(ui: &mut Ui, state: &AppState, params: &ReconstructParams) {
    let Some(series) = state.workspace.best_series() else {
        ui.label("Reconstructs a volume from a tilt series.");
        return;
    };
    let [x, y, z] = volume_size(series, params);
    let tilts = series.included_tilts().len();
    ui.label(format!("{tilts} tilts to {x} × {y} × {z} voxels"));
    let time = rate(state).map_or_else(String::new, |per_iteration| {
        format!(
            ", about {}",
            duration(per_iteration * params.iterations as f64)
        )
    });
    ui.weak(format!("Needs {}{time}", forecast(series, params)));
}

fn follow_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let mut follow = state.workspace.project.parameters.trace_while_running;
    let help = "Trace the volume now and then: atoms show as faint rings, more solid the longer they stay, and each traced \
                atom carries its persistence, the share of these traces it was in. Slows the run by some percent";
    if params::flag(ui, "Trace while it runs", help, &mut follow, false) {
        actions.push(Action::TraceWhileRunning(follow));
    }
    if let Some(ghosts) = &state.live.ghosts {
        let (atoms, traces) = (ghosts.present().count(), ghosts.traces);
        let plural = if traces == 1 { "trace" } else { "traces" };
        ui.weak(format!(
            "{} atoms after {traces} interim {plural}",
            super::thousands(atoms)
        ));
    }
}

/// Seconds per iteration of the last run.
fn rate(state: &AppState) -> Option<f64> {
    let last = state.live.iterations.last()?;
    (last.elapsed_secs > 0.0).then(|| last.elapsed_secs / last.number as f64)
}

/// Seconds in words.
#[must_use]
pub fn duration(secs: f64) -> String {
    match secs {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

fn usual_ui(ui: &mut Ui, params: &mut ReconstructParams) -> bool {
    let default = ReconstructParams::default();
    let mut changed = params::whole(
        ui,
        "Iterations",
        HELP.text("iterations"),
        &mut params.iterations,
        default.iterations,
        1..=10_000,
    );
    changed |= params::choice(
        ui,
        "Projector",
        HELP.text("projector"),
        &mut params.projector,
        default.projector,
        &[
            (Projector::Linear, "linear"),
            (Projector::Fourier, "Fourier"),
        ],
    );
    let mut positive = !params.no_positivity;
    if params::flag(
        ui,
        "Positivity",
        "Density below zero is set to zero after each step",
        &mut positive,
        !default.no_positivity,
    ) {
        params.no_positivity = !positive;
        changed = true;
    }
    let mut leave_out = params.leave_out.map(|k| k as f64);
    if params::optional(
        ui,
        "Leave out every",
        HELP.text("leave_out"),
        &mut leave_out,
        10.0,
        "no tilt",
        Number {
            range: 2.0..=50.0,
            speed: 0.1,
            digits: 0,
            unit: "",
        },
    ) {
        params.leave_out = leave_out.map(|k| k.round() as usize);
        changed = true;
    }
    changed
}

fn size_ui(ui: &mut Ui, state: &AppState, params: &mut ReconstructParams) -> bool {
    let mut own = params.volume_size.is_some();
    let help = HELP.text("volume_size");
    let mut changed = params::flag(ui, "Own volume size", help, &mut own, false);
    if changed {
        let series = state.workspace.best_series().filter(|_| own);
        params.volume_size = series.map(|series| volume_size(series, params).to_vec());
    }
    if let Some(size) = &mut params.volume_size {
        ui.horizontal(|ui| {
            for (axis, voxels) in size.iter_mut().enumerate() {
                let prefix = ["x ", "y ", "z "][axis];
                let field = egui::DragValue::new(voxels)
                    .range(8..=4096)
                    .prefix(prefix)
                    .update_while_editing(false);
                let field = ui.add(field);
                field.widget_info(|| {
                    let name = format!("Voxels on {}", prefix.trim());
                    egui::WidgetInfo::labeled(egui::Role::SpinButton, true, name)
                });
                changed |= field.changed();
            }
        });
    }
    changed
}

fn result_ui(ui: &mut Ui, state: &AppState) {
    let Some(run) = &state.workspace.reconstructed else {
        return;
    };
    section(ui, "Result");
    let iterations = run.iterations.last().map_or(0, |i| i.number);
    fact(ui, "R1", format!("{:.4}", run.r1));
    if let Some(r) = run.r_free {
        fact(ui, "R_free", format!("{r:.4}"));
    }
    let early = if run.stopped_early {
        ", ended early"
    } else {
        ""
    };
    fact(ui, "Iterations", format!("{iterations}{early}"));
    fact(ui, "Engine", run.engine.clone());
    fact(ui, "Time", duration(run.seconds));
}

fn tilt_bars_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let Some(last) = state.live.iterations.last() else {
        return;
    };
    let Some(series) = state.workspace.best_series() else {
        return;
    };
    let tilts = series.included_tilts();
    let r: &Arc<[f64]> = &last.r1_per_tilt;
    if r.is_empty() || tilts.len() != r.len() {
        return;
    }
    section(ui, "R1 per tilt");
    let size = egui::vec2(ui.available_width() - 4.0, 72.0);
    let (rect, response) = ui.allocate_exact_size(size, egui::Sense::click());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "R1 per tilt"));
    let visuals = ui.visuals();
    ui.painter()
        .rect_filled(rect, 2.0, visuals.extreme_bg_color);
    let highest = r.iter().fold(1e-12_f64, |a, &b| a.max(b));
    let width = rect.width() / r.len() as f32;
    let hovered = response
        .hover_pos()
        .map(|p| (((p.x - rect.left()) / width) as usize).min(r.len() - 1));
    for (bar, (&tilt, &value)) in tilts.iter().zip(r.iter()).enumerate() {
        let height = (value / highest) as f32 * (rect.height() - 4.0);
        let left = rect.left() + bar as f32 * width;
        let gap = if width > 3.0 { 1.0 } else { 0.0 };
        let shape = egui::Rect::from_min_max(
            egui::pos2(left, rect.bottom() - height),
            egui::pos2(left + width - gap, rect.bottom()),
        );
        let color = if tilt == state.view.tilt {
            visuals.warn_fg_color
        } else if hovered == Some(bar) {
            visuals.strong_text_color()
        } else {
            visuals.selection.stroke.color
        };
        ui.painter().rect_filled(shape, 0.0, color);
    }
    if let Some(bar) = hovered {
        let tilt = tilts[bar];
        let theta = series.angles[tilt].theta.to_degrees();
        let text = format!(
            "Tilt {}: R1 {:.4}, θ = {}°",
            tilt + 1,
            r[bar],
            super::signed(theta, 1)
        );
        if response.clicked() {
            actions.push(Action::ShowTilt(tilt));
            if !state.view.tilt_picture.needs_volume() {
                let change = crate::ui::actions::ViewChange::TiltPicture(TiltPicture::Difference);
                actions.push(Action::View(change));
            }
        }
        response.on_hover_text(text);
    }
    ui.weak(format!("Highest {highest:.3}; click shows that tilt"));
}
