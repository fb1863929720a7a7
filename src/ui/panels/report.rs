//! The methods table, generated from what was really run, and the exports.

use super::{command_button, fact, section};
use crate::project::handwork::{Breakdown, breakdown};
use crate::project::{Stage, Workspace};
use crate::ui::actions::{Action, Actions};
use crate::ui::state::AppState;
use eframe::egui::{self, Ui};
use std::sync::Arc;

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

/// What was done by hand: by what, where and why.
fn by_hand_ui(ui: &mut Ui, state: &AppState) {
    let workspace = &state.workspace;
    let counts = workspace.edits.counts();
    if counts.total() + counts.phases == 0 {
        return;
    }
    section(ui, "By hand");
    let traced = workspace.base_atoms.as_ref().map_or(0, |base| base.len());
    ui.label(counts.sentence(traced));
    // Found once per change of the document: it compares every edit with the analysed atoms.
    let id = egui::Id::unique("edits by place");
    let known = ui.data(|data| data.get_temp::<(u64, Arc<Breakdown>)>(id));
    let found = match known {
        Some((revision, found)) if revision == state.revision => found,
        _ => {
            let found = Arc::new(breakdown(workspace));
            ui.data_mut(|data| data.insert_temp(id, (state.revision, Arc::clone(&found))));
            found
        }
    };
    for (name, shares) in [
        ("Phase", &found.phase),
        ("Below the surface", &found.depth),
        ("From the core", &found.interface),
    ] {
        if shares.iter().any(|share| share.total() > 0) {
            ui.weak(name);
        }
        for share in shares.iter().filter(|share| share.total() > 0) {
            let value = format!(
                "{} of {} ({:.2} %)",
                share.total(),
                super::thousands(share.atoms),
                share.percent()
            );
            fact(ui, &share.class, value);
        }
    }
    if !found.reasons.is_empty() {
        ui.weak("Reasons");
        for (reason, n) in &found.reasons {
            fact(ui, reason, n.to_string());
        }
    }
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
    by_hand_ui(ui, state);
    if let Some((_, cutoff)) = &state.cutoff {
        section(ui, "Minimum distance");
        let sentence = cutoff.sentence();
        ui.label(&sentence);
        let help = "Put these sentences on the clipboard, for the methods section";
        if ui.button("Copy text").on_hover_text(help).clicked() {
            actions.push(Action::Copy(sentence));
        }
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
