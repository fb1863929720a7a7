//! Atoms from the volume: parameters, the intensity histogram with its threshold, and what was rejected why.

use super::form::Form;
use super::params::{self, Help, Number};
use super::{button_with_reason, command_button, fact, run_row, section, thousands};
use crate::project::Stage;
use crate::trace::refine::RefineParams;
use crate::trace::{TraceParams, Traced, Verdict};
use crate::ui::actions::{Action, Actions};
use crate::ui::embed::Views;
use crate::ui::figure_cache::FigureCache;
use crate::ui::state::AppState;
use eframe::egui::Ui;
use std::sync::LazyLock;

static HELP: LazyLock<Help> = LazyLock::new(Help::of::<TraceParams>);
static REST: LazyLock<Form<TraceParams>> = LazyLock::new(|| {
    Form::without(&[
        "min_distance",
        "box_size",
        "threshold",
        "species",
        "species_names",
    ])
});
static REFINE: LazyLock<Form<RefineParams>> = LazyLock::new(|| Form::without(&[]));

/// View state of the panel.
#[derive(Default)]
pub struct TracePanel {
    all: bool,
    all_of_refinement: bool,
}

impl TracePanel {
    /// Draws the panel.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        state: &AppState,
        figures: &FigureCache,
        views: &mut Views,
        actions: &mut Actions,
    ) {
        let workspace = &state.workspace;
        match &workspace.volume {
            Some(volume) => {
                let [x, y, z] = volume.size();
                ui.label(format!(
                    "{x} × {y} × {z} voxels of {:.4} Å to atoms",
                    volume.pixel_size
                ));
            }
            None => {
                ui.label("Finds the atoms in a volume: local maxima, fitted and sorted.");
            }
        }
        section(ui, "Parameters");
        let mut params = workspace.project.parameters.trace.clone();
        let mut changed = usual_ui(ui, &mut params, workspace.traced.as_deref());
        ui.checkbox(&mut self.all, "All parameters");
        if self.all {
            changed |= REST.ui(ui, &mut params);
        }
        if changed {
            actions.push(Action::SetTrace(params));
        }
        section(ui, "Run");
        run_row(ui, state, Stage::Trace, workspace.atoms.is_some(), actions);
        if let Some(traced) = &workspace.traced {
            if let Some(figure) = figures.find("intensity") {
                section(ui, "Atom or not");
                views.figure(ui, figure, 150.0, state, actions);
            }
            threshold_ui(ui, state, traced, actions);
            verdicts_ui(ui, traced);
        }
        self.refine_ui(ui, state, actions);
    }

    fn refine_ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        section(ui, "Refine against the tilts");
        let parameters = &state.workspace.project.parameters;
        let mut complete = parameters.complete;
        let help = "Also add atoms where the residual of the tilts asks for one, and remove those it denies";
        if params::flag(ui, "Add and remove", help, &mut complete, true) {
            actions.push(Action::SetComplete(complete));
        }
        ui.checkbox(&mut self.all_of_refinement, "All parameters of refinement");
        if self.all_of_refinement {
            let mut params = parameters.refine.clone();
            if REFINE.ui(ui, &mut params) {
                actions.push(Action::SetRefine(params));
            }
        }
        command_button(ui, state, actions, "refine");
        let record = state.workspace.record(Stage::Trace);
        if let Some(r1) = record.and_then(|record| record.r1) {
            fact(ui, "R1 of the model", format!("{r1:.4}"));
        }
    }
}

fn usual_ui(ui: &mut Ui, params: &mut TraceParams, traced: Option<&Traced>) -> bool {
    let default = TraceParams::default();
    let mut changed = params::real(
        ui,
        "Minimum distance",
        HELP.text("min_distance"),
        &mut params.min_distance,
        default.min_distance,
        Number {
            range: 0.2..=20.0,
            speed: 0.005,
            digits: 3,
            unit: "Å",
        },
    );
    changed |= params::real(
        ui,
        "Box edge",
        HELP.text("box_size"),
        &mut params.box_size,
        default.box_size,
        Number {
            range: 0.2..=20.0,
            speed: 0.005,
            digits: 3,
            unit: "Å",
        },
    );
    let auto = "K-means split";
    changed |= params::optional(
        ui,
        "Threshold",
        HELP.text("threshold"),
        &mut params.threshold,
        traced.map_or(0.0, |t| t.threshold),
        auto,
        Number {
            range: 0.0..=f64::MAX,
            speed: traced.map_or(1.0, |t| t.threshold / 200.0),
            digits: 6,
            unit: "",
        },
    );
    let mut names = params.species_names.join(", ");
    if params::text(
        ui,
        "Species",
        HELP.text("species_names"),
        &mut names,
        &default.species_names.join(", "),
    ) {
        let list: Vec<String> = names
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        if !list.is_empty() {
            params.species = list.len();
            params.species_names = list;
            changed = true;
        }
    }
    changed
}

fn threshold_ui(ui: &mut Ui, state: &AppState, traced: &Traced, actions: &mut Actions) {
    let shown = state.view.dragged_threshold.unwrap_or(traced.threshold);
    let above = traced
        .candidates
        .iter()
        .filter(|c| matches!(c.verdict, Verdict::Atom | Verdict::TooWeak) && c.intensity >= shown)
        .count();
    fact(ui, "Threshold", format!("{shown:.4}"));
    fact(ui, "At or above", format!("{} maxima", thousands(above)));
    if state.view.dragged_threshold.is_some() {
        let enabled = super::super::commands::can_run(state, Stage::Trace);
        let tooltip = "Trace again with this threshold; hand edits are made again on the new atoms";
        if button_with_reason(ui, "Trace with it", tooltip, true, &enabled) {
            actions.push(Action::ApplyThreshold(shown));
        }
        if ui.button("Put it back").clicked() {
            let change = crate::ui::actions::ViewChange::DraggedThreshold(None);
            actions.push(Action::View(change));
        }
    } else {
        ui.weak("Drag the line to choose another threshold.");
    }
}

fn verdicts_ui(ui: &mut Ui, traced: &Traced) {
    section(ui, "Every maximum accounted for");
    for (verdict, name) in [
        (Verdict::Atom, "Atoms"),
        (Verdict::TooWeak, "Too weak"),
        (Verdict::TooClose, "Too close"),
        (Verdict::FitDiverged, "Fit diverged"),
        (Verdict::FitNotPeak, "Fit is no maximum"),
        (Verdict::AtEdge, "At the edge"),
    ] {
        fact(ui, name, thousands(traced.count(verdict)));
    }
    fact(ui, "All maxima", thousands(traced.candidates.len()));
    fact(
        ui,
        "Blur width σ",
        format!("{:.3} ± {:.3} Å", traced.sigma_mean, traced.sigma_sd),
    );
    fact(ui, "Time", super::reconstruct::duration(traced.seconds));
}
