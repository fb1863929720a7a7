//! The methods table, generated from what was really run, and the exports.

use super::{command_button, fact, section};
use crate::project::{Stage, Workspace};
use crate::ui::actions::{Action, Actions};
use crate::ui::state::AppState;
use eframe::egui::Ui;

/// Rows of the methods table: name and value.
#[must_use]
pub fn methods(workspace: &Workspace) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    if let Some(series) = &workspace.series {
        row("Series", series.name.clone());
        row(
            "Tilts used",
            format!("{} of {}", series.included_tilts().len(), series.len()),
        );
        if let Some(pixel_size) = series.pixel_size {
            row("Pixel size", format!("{pixel_size} Å"));
        }
    }
    if let Some(run) = &workspace.reconstructed {
        let params = &workspace.project.parameters.reconstruct;
        row("Algorithm", "RESIRE".to_owned());
        row(
            "Iterations",
            run.iterations.last().map_or(0, |i| i.number).to_string(),
        );
        row(
            "Projector",
            format!("{:?}", params.projector).to_lowercase(),
        );
        row("Step", params.step.to_string());
        row("R1", format!("{:.4}", run.r1));
        if let Some(r) = run.r_free {
            row("R_free", format!("{r:.4}"));
        }
        row("Engine", run.engine.clone());
    }
    if let Some(traced) = &workspace.traced {
        let params = &workspace.project.parameters.trace;
        row("Minimum distance", format!("{} Å", params.min_distance));
        row("Box edge", format!("{} Å", params.box_size));
        row("Threshold", format!("{:.4}", traced.threshold));
        row(
            "Blur width σ",
            format!("{:.3} ± {:.3} Å", traced.sigma_mean, traced.sigma_sd),
        );
    }
    if let Some(atoms) = &workspace.atoms {
        row("Atoms", super::thousands(atoms.len()));
        let traced = workspace
            .base_atoms
            .as_ref()
            .map_or(atoms.len(), |a| a.len());
        row("Hand edits", workspace.edits.counts().sentence(traced));
    }
    if let Some(analyzed) = &workspace.analyzed {
        row("Neighbour cutoff", format!("{:.3} Å", analyzed.cutoff));
    }
    let ran = |stage| workspace.record(stage).map(|r| r.version.clone());
    if let Some(version) = ran(Stage::Reconstruct).or_else(|| ran(Stage::Trace)) {
        row("Program", format!("Aetlas {version}"));
    }
    rows
}

/// Draws the panel.
pub fn ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    ui.label("What a methods section needs, from what was really run.");
    let rows = methods(&state.workspace);
    section(ui, "Methods");
    if rows.is_empty() {
        ui.weak("It fills as the stages are run.");
    }
    for (name, value) in &rows {
        fact(ui, name, value.clone());
    }
    if !rows.is_empty()
        && ui
            .button("Copy as Markdown")
            .on_hover_text(
                "Put the whole report on the clipboard, as a supplement can take it over",
            )
            .clicked()
    {
        let text = crate::project::report::markdown(&state.workspace);
        actions.push(Action::Copy(text));
    }
    if let Some(comparison) = &state.workspace.comparison {
        section(ui, "Against the known truth");
        ui.label(comparison);
    }
    section(ui, "Export");
    for id in [
        "export_report",
        "export_atoms",
        "export_volume",
        "export_series",
        "export_analysis",
    ] {
        command_button(ui, state, actions, id);
    }
    ui.weak("Figures are exported from the plots below: right click, or their Export button.");
}
