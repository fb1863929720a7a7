//! How slices and the model are shown: slabs, contrast, colours. Nothing here changes data.

use super::{name_cell, section};
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::state::AppState;
use eframe::egui::{self, Ui};

/// Draws the settings.
pub fn ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let view = &state.view;
    section(ui, "Slices");
    for (name, value, change) in [
        (
            "Density slab",
            view.density_slab,
            ViewChange::DensitySlab as fn(f64) -> ViewChange,
        ),
        ("Atom slab", view.atom_slab, ViewChange::AtomSlab),
    ] {
        let mut edited = value;
        ui.horizontal(|ui| {
            let label = name_cell(ui, name);
            let field = egui::DragValue::new(&mut edited)
                .range(0.1..=1000.0)
                .speed(0.05)
                .max_decimals(2)
                .suffix(" Å");
            if ui.add(field).labelled_by(label.id).changed() {
                actions.push(Action::View(change(edited)));
            }
        });
    }
    ui.horizontal(|ui| {
        let label = name_cell(ui, "Contrast");
        let [low, high] = view.density_contrast;
        let mut edited = [100.0 * low, 100.0 * high];
        let mut changed = false;
        for (at, name) in ["Darkest", "Brightest"].into_iter().enumerate() {
            let field = egui::DragValue::new(&mut edited[at])
                .range(-50.0..=150.0)
                .speed(0.25)
                .max_decimals(0)
                .suffix(" %");
            let field = ui.add(field).on_hover_text(name).labelled_by(label.id);
            changed |= field.changed();
        }
        if changed && edited[0] < edited[1] {
            let limits = edited.map(|percent| percent / 100.0);
            actions.push(Action::View(ViewChange::DensityContrast(limits)));
        }
    });
    ui.horizontal(|ui| {
        name_cell(ui, "Colours");
        let shown = view.density_map;
        if let Some(map) = super::series::color_map_choice(ui, "slice map", shown) {
            actions.push(Action::View(ViewChange::DensityMap(map)));
        }
    });
    ui.horizontal_wrapped(|ui| {
        for (value, text, tooltip, change) in [
            (
                view.show_atoms,
                "Atoms",
                "Atoms in the slices (V)",
                ViewChange::ShowAtoms as fn(bool) -> ViewChange,
            ),
            (
                view.show_volume,
                "Volume in 3D",
                "The density seen through, behind the atoms",
                ViewChange::ShowVolume,
            ),
            (
                view.show_voids,
                "Voids in 3D",
                "The surfaces of vacancies and pores that the analysis found, atoms small beside them",
                ViewChange::ShowVoids,
            ),
            (
                view.clip,
                "Clip 3D",
                "Only the atoms of the slab in the 3D view (C)",
                ViewChange::Clip,
            ),
        ] {
            let mut edited = value;
            if ui
                .checkbox(&mut edited, text)
                .on_hover_text(tooltip)
                .changed()
            {
                actions.push(Action::View(change(edited)));
            }
        }
    });
}
