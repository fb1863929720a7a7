//! What an analysis is compared with and stepped through: reference crystals, planes and layers, other models, maps to export.

use super::section;
use crate::analyze::crystals::{self, Reference};
use crate::analyze::planes::PlaneSpec;
use crate::analyze::{AnalyzeParams, Analyzed};
use crate::model::AtomId;
use crate::ui::actions::{Action, Actions};
use crate::ui::dialogs::SheetKind;
use crate::ui::state::AppState;
use eframe::egui::{self, DragValue, Ui};

/// View state: the plane that is being said.
pub struct PlaneChoice {
    indices: [i32; 3],
    grain: usize,
    layer: usize,
}

impl Default for PlaneChoice {
    fn default() -> Self {
        Self {
            indices: [1, 1, 1],
            grain: 1,
            layer: 0,
        }
    }
}

/// Crystals whose PDF is drawn beside the model's; `true` when something changed.
pub fn references_ui(ui: &mut Ui, params: &mut AnalyzeParams, actions: &mut Actions) -> bool {
    section(ui, "Reference crystals");
    let mut changed = false;
    let mut gone = None;
    for (at, reference) in params.references.iter().enumerate() {
        ui.horizontal(|ui| {
            ui.label(reference.name());
            if ui.small_button("Remove").clicked() {
                gone = Some(at);
            }
        });
    }
    if let Some(at) = gone {
        params.references.remove(at);
        changed = true;
    }
    ui.horizontal(|ui| {
        egui::ComboBox::from_id_salt("reference crystal")
            .selected_text("Add…")
            .width(120.0)
            .show_ui(ui, |ui| {
                for name in crystals::names() {
                    let known = params.references.iter().any(|r| r.name() == name);
                    if !known && ui.selectable_label(false, name).clicked() {
                        params.references.push(Reference::Name(name.to_owned()));
                        changed = true;
                    }
                }
            })
            .response
            .on_hover_text(
                "A built-in crystal; its PDF is that of the elements that the model shows",
            );
        if ui
            .button("CIF…")
            .on_hover_text("A crystal from a file")
            .clicked()
        {
            actions.push(Action::ChooseCrystal);
        }
    });
    changed
}

impl PlaneChoice {
    /// The plane whose layers are stepped through; `true` when it changed.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        state: &AppState,
        params: &mut AnalyzeParams,
        actions: &mut Actions,
    ) -> bool {
        section(ui, "Layers");
        let before = params.plane.clone();
        let analyzed = state.workspace.analyzed.as_deref();
        match before.as_ref() {
            None => {
                ui.weak("Choose a plane to step through its atomic layers");
            }
            Some(plane) => {
                ui.horizontal(|ui| {
                    ui.label(format!("Plane {plane}"));
                    if ui.small_button("Remove").clicked() {
                        params.plane = None;
                    }
                });
            }
        }
        ui.horizontal(|ui| {
            let label = ui.label("Plane (hkl)");
            for index in &mut self.indices {
                ui.add(DragValue::new(index).range(-9..=9).speed(0.05))
                    .labelled_by(label.id);
            }
            let label = ui.label("of grain");
            let most = analyzed.map_or(1, |a| a.grains.len().max(1));
            ui.add(DragValue::new(&mut self.grain).range(1..=most).speed(0.05))
                .labelled_by(label.id);
            let grains = analyzed.is_some_and(|a| !a.grains.is_empty());
            let set = ui.add_enabled(grains && self.indices != [0; 3], egui::Button::new("Set"));
            if set
                .on_disabled_hover_text("The analysis found no grain")
                .clicked()
            {
                params.plane = Some(PlaneSpec::Miller {
                    indices: self.indices,
                    grain: self.grain,
                });
            }
        });
        ui.horizontal(|ui| {
            let picked = picked(state, analyzed);
            let enough = picked.len() >= 3;
            let button = ui.add_enabled(enough, egui::Button::new("Through the selected atoms"));
            let button = button
                .on_hover_text(
                    "The plane of three atoms, or the best fit to more: two rows of atoms",
                )
                .on_disabled_hover_text("Select three atoms of the analysed model, or more");
            if button.clicked() {
                params.plane = Some(PlaneSpec::Atoms(picked));
            }
            for (name, axis) in ["x", "y", "z"].into_iter().zip(0..) {
                let tip = format!("Layers along {name}");
                if ui.button(name).on_hover_text(tip).clicked() {
                    let mut normal = [0.0; 3];
                    normal[axis] = 1.0;
                    params.plane = Some(PlaneSpec::Normal(normal));
                }
            }
        });
        if let Some(analyzed) = analyzed {
            self.step_ui(ui, analyzed, actions);
        }
        before != params.plane
    }

    /// Goes from layer to layer: the crosshair moves, the layer's atoms light up.
    fn step_ui(&mut self, ui: &mut Ui, analyzed: &Analyzed, actions: &mut Actions) {
        let Some(stack) = &analyzed.stack else {
            return;
        };
        let count = stack.sheets.len();
        self.layer = self.layer.min(count.saturating_sub(1));
        let mut to = None;
        ui.horizontal(|ui| {
            if ui
                .add_enabled(self.layer > 0, egui::Button::new("◀"))
                .clicked()
            {
                to = Some(self.layer - 1);
            }
            if ui
                .button(format!("layer {} of {count}", self.layer + 1))
                .clicked()
            {
                to = Some(self.layer);
            }
            if ui
                .add_enabled(self.layer + 1 < count, egui::Button::new("▶"))
                .clicked()
            {
                to = Some(self.layer + 1);
            }
        });
        let (mean, sd, n) = stack.spacing();
        if stack.atomic {
            ui.weak(format!("spacing {mean:.3} ± {sd:.3} Å (n = {n})"));
        } else {
            ui.weak(format!(
                "no atomic layers along this normal: slabs of {} Å",
                analyzed.params.slab
            ));
        }
        if let Some(layer) = to {
            self.layer = layer;
            let height = stack.sheets[layer].height;
            let at = |k: usize| stack.layer_of[k] as usize == layer;
            let ids: Vec<AtomId> = (0..stack.layer_of.len())
                .filter(|&k| at(k))
                .filter_map(|k| analyzed.atoms.ids.get(k).copied())
                .collect();
            actions.push(Action::MoveCrosshair(stack.plane.point([0.0, 0.0, height])));
            actions.push(Action::Brush(ids));
        }
        if ui
            .button("Export filmstrip…")
            .on_hover_text("Every layer as a map, its density beside its atoms, in the colours shown (PNG, SVG)")
            .clicked()
        {
            actions.push(Action::ExportSheet(SheetKind::Filmstrip));
        }
    }
}

/// Numbers (from 1) of the selected atoms in the analysed model.
fn picked(state: &AppState, analyzed: Option<&Analyzed>) -> Vec<usize> {
    let Some(analyzed) = analyzed else {
        return Vec::new();
    };
    let ids = state.view.selection.iter();
    ids.filter_map(|&id| analyzed.atoms.index_of(id).map(|index| index + 1))
        .collect()
}

/// Other models beside this one.
pub fn compare_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    section(ui, "Compare");
    for (at, (name, other)) in state.others.iter().enumerate() {
        ui.horizontal(|ui| {
            ui.label(format!(
                "{name}, {} atoms",
                super::thousands(other.atoms.len())
            ));
            if ui.small_button("Remove").clicked() {
                actions.push(Action::ForgetOther(at));
            }
        });
    }
    let tip = "Analyse another model with the same parameters; differences and common plots come into the tray";
    if ui.button("Compare with…").on_hover_text(tip).clicked() {
        actions.push(Action::CompareWith);
    }
}
