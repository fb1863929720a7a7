//! Background and alignment.

use super::form::Form;
use super::{command_button, fact, run_row, section};
use crate::preprocess::PrepareParams;
use crate::project::Stage;
use crate::reconstruct::GeometryParams;
use crate::ui::actions::{Action, Actions};
use crate::ui::state::AppState;
use eframe::egui::Ui;
use std::sync::LazyLock;

static GEOMETRY: LazyLock<Form<GeometryParams>> = LazyLock::new(|| Form::without(&[]));
static FORM: LazyLock<Form<PrepareParams>> = LazyLock::new(|| Form::without(&[]));

/// Draws the panel.
pub fn ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let workspace = &state.workspace;
    ui.label(
        "Subtracts the background round the particle and aligns the tilts by their common line and centre of mass. \
         Skip it when the series was prepared elsewhere.",
    );
    if let Some(series) = &workspace.series {
        ui.add_space(4.0);
        fact(ui, "Series", format!("{} tilts", series.len()));
        fact(
            ui,
            "State",
            if workspace.prepared.is_some() {
                "prepared; reconstruction uses it"
            } else {
                "as read"
            },
        );
    }
    section(ui, "Parameters");
    let mut params = workspace.project.parameters.prepare.clone();
    if FORM.ui(ui, &mut params) {
        actions.push(Action::SetPrepare(params));
    }
    section(ui, "Run");
    run_row(
        ui,
        state,
        Stage::Prepare,
        workspace.prepared.is_some(),
        actions,
    );
    geometry_ui(ui, state, actions);
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
