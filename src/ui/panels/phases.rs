//! Phases by hand: the brush, the selected atoms, and how many were set.

use super::params::{self, Number};
use super::{fact, name_cell, section, thousands};
use crate::analyze::phases::{BY_HAND, Phase};
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::brush::Brush;
use crate::ui::state::{AppState, ColorBy, Tool};
use eframe::egui::{self, Ui};

/// Draws the section.
pub fn phases_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let Some(atoms) = &state.workspace.atoms else {
        return;
    };
    section(ui, "Phases by hand");
    let mut brush = state.view.brush;
    ui.horizontal_wrapped(|ui| {
        name_cell(ui, "Phase");
        for phase in Phase::ALL.into_iter().map(Some).chain([None]) {
            let tip = match phase {
                Some(_) => "What the brush paints",
                None => "The brush leaves atoms to the analysis again",
            };
            let label = ui.selectable_label(brush.phase == phase, Brush::name(phase));
            if label.on_hover_text(tip).clicked() {
                brush.phase = phase;
            }
        }
    });
    let default = Brush::default().radius;
    let radius = Number {
        range: 0.5..=30.0,
        speed: 0.05,
        digits: 1,
        unit: "Å",
    };
    let help = "Radius in the plane; the brush is as deep as the slab of atoms that is shown";
    params::real(ui, "Brush radius", help, &mut brush.radius, default, radius);
    if brush != state.view.brush {
        actions.push(Action::View(ViewChange::Brush(brush)));
    }
    ui.horizontal_wrapped(|ui| {
        let painting = state.view.tool == Tool::Paint;
        let button = ui.selectable_label(painting, "Paint in the slices");
        if button
            .on_hover_text("Drag over atoms in a slice to set their phase; Esc ends it")
            .clicked()
        {
            actions.push(Action::SetTool(if painting {
                Tool::Select
            } else {
                Tool::Paint
            }));
            if !painting {
                actions.push(Action::SetColorBy(ColorBy::Phase));
            }
        }
        let selected = &state.view.selection;
        let text = format!("Set {} selected", thousands(selected.len()));
        let button = ui.add_enabled(!selected.is_empty(), egui::Button::new(text));
        if button
            .on_hover_text(
                "Give the selected atoms this phase, in whichever view they were selected",
            )
            .on_disabled_hover_text("Select atoms in a slice or in 3D")
            .clicked()
        {
            let ids = selected.iter().copied().collect();
            actions.push(Action::SetPhase(ids, brush.phase));
        }
    });
    let Some(set) = atoms.column(BY_HAND) else {
        return;
    };
    let chosen = |i: &usize| set[*i].is_finite();
    let set: Vec<_> = (0..atoms.len())
        .filter(chosen)
        .map(|i| atoms.ids[i])
        .collect();
    fact(
        ui,
        "Set by hand",
        format!("phases of {} atoms", thousands(set.len())),
    );
    let tip = "Leave all phases to the analysis again (can be undone)";
    if ui.button("All automatic").on_hover_text(tip).clicked() {
        actions.push(Action::SetPhase(set, None));
    }
}
