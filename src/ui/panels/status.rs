//! The line at the bottom: where, what density, which atom, how many, and always the hand edits.

use super::{signed, thousands};
use crate::reconstruct::Engine;
use crate::ui::editing::nearest_atom;
use crate::ui::state::AppState;
use eframe::egui::{self, Ui};

/// Draws the status bar.
pub fn ui(ui: &mut Ui, state: &AppState) {
    ui.horizontal_centered(|ui| {
        ui.spacing_mut().item_spacing.x = 18.0;
        let workspace = &state.workspace;
        let (place, what) = match state.view.cursor {
            Some(place) => (place, "Under the pointer"),
            None => (state.view.crosshair, "At the crosshair"),
        };
        if !state.is_empty() {
            let [x, y, z] = place.map(|v| signed(v, 1));
            fixed(ui, 176.0, format!("x {x}  y {y}  z {z} Å")).on_hover_text(what);
        }
        if let Some(volume) = state.shown_volume() {
            let density = volume.density_at(place);
            fixed(ui, 104.0, format!("density {density:.3}"))
                .on_hover_text("Counts per voxel, interpolated");
        }
        if let Some(atoms) = &workspace.atoms {
            if let Some((index, apart)) = nearest_atom(atoms, place, None) {
                let text = format!(
                    "atom #{} {}  {apart:.2} Å away",
                    atoms.ids[index].0,
                    atoms.species_name(index)
                );
                fixed(ui, 190.0, text);
                if let Some(text) = trust(atoms, index) {
                    fixed(ui, 120.0, text).on_hover_text(
                        "Error of its position, and the probability that it exists, by the tilts",
                    );
                }
            }
            ui.label(format!("{} atoms", thousands(atoms.len())));
            let traced = workspace
                .base_atoms
                .as_ref()
                .map_or(atoms.len(), |a| a.len());
            ui.label(workspace.edits.counts().sentence(traced))
                .on_hover_text("Net of what was undone, in percent of the traced atoms");
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 18.0;
            let engine = workspace.reconstructed.as_ref().map_or_else(
                || planned_engine(workspace.project.parameters.reconstruct.engine),
                |run| named(&run.engine),
            );
            ui.add(egui::Label::new(egui::RichText::new(engine).weak()).truncate())
                .on_hover_text("What reconstructions run on");
        });
    });
}

/// How far an atom can be trusted, where refinement has said.
fn trust(atoms: &crate::model::Atoms, index: usize) -> Option<String> {
    let of = |name: &str| {
        atoms
            .column(name)
            .map(|values| values[index])
            .filter(|v| v.is_finite())
    };
    let error = of("position_sd_A").map(|sd| format!("±{:.0} pm", 100.0 * sd));
    let exists = of("confidence").map(|p| format!("{:.1} %", 100.0 * p));
    let parts: Vec<String> = error.into_iter().chain(exists).collect();
    (!parts.is_empty()).then(|| parts.join("  "))
}

/// An outcome's engine as a name.
fn named(engine: &str) -> String {
    engine.replacen("cpu", "CPU", 1).replacen("gpu", "GPU", 1)
}

/// What the next reconstruction is going to run on, as far as it is known before.
fn planned_engine(engine: Engine) -> String {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match engine {
        Engine::Auto => format!("GPU, else CPU, {threads} threads"),
        Engine::Cpu => format!("CPU, {threads} threads"),
        Engine::Gpu => "GPU".to_owned(),
    }
}

/// A label of fixed width, so that moving numbers do not shake the line.
fn fixed(ui: &mut Ui, width: f32, text: String) -> egui::Response {
    let height = ui.available_height();
    ui.allocate_ui_with_layout(
        egui::vec2(width, height),
        egui::Layout::left_to_right(egui::Align::Center),
        |ui| {
            ui.set_min_width(width);
            ui.add(egui::Label::new(text).extend())
        },
    )
    .inner
}
