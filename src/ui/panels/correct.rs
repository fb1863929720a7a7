//! Hand correction: tools, the ghost before it is accepted, the selected atom, doubtful places, and the journal.

use super::{compact_command, fact, name_cell, section, thousands};
use crate::model::Atoms;
use crate::project::Entry;
use crate::ui::actions::{Action, Actions};
use crate::ui::editing;
use crate::ui::state::{AppState, Ghost, Tool};
use eframe::egui::{self, RichText, Ui};

/// View state of the panel.
#[derive(Default)]
pub struct CorrectPanel {
    reason: String,
}

impl CorrectPanel {
    /// Draws the panel.
    pub fn ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        let workspace = &state.workspace;
        let count = workspace.atoms.as_ref().map_or(0, |atoms| atoms.len());
        let traced = workspace.base_atoms.as_ref().map_or(count, |a| a.len());
        ui.label(format!("{} atoms", thousands(count)));
        ui.label(workspace.edits.counts().sentence(traced));
        tools_ui(ui, state, actions);
        if let Some(ghost) = &state.view.ghost {
            ghost_ui(ui, ghost, actions);
        }
        self.reason_ui(ui, state, actions);
        selection_ui(ui, state, actions);
        doubtful_ui(ui, state, actions);
        journal_ui(ui, state, actions);
    }

    fn reason_ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        ui.add_space(6.0);
        ui.horizontal(|ui| {
            let label = ui.weak("Reason");
            if self.reason.trim() != state.reason {
                self.reason.clone_from(&state.reason);
            }
            let field = egui::TextEdit::singleline(&mut self.reason)
                .hint_text("goes into the journal with each edit")
                .desired_width(f32::INFINITY);
            if ui.add(field).labelled_by(label.id).changed() {
                actions.push(Action::SetReason(self.reason.trim().to_owned()));
            }
        });
    }
}

fn tools_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    section(ui, "Tools");
    ui.horizontal_wrapped(|ui| {
        for (tool, text, tooltip) in [
            (
                Tool::Select,
                "Select",
                "Click selects, Shift adds, drag on empty space moves the crosshair (S)",
            ),
            (
                Tool::Add,
                "Add",
                "Click proposes an atom at the nearest maximum (P); A adds at the pointer with any tool",
            ),
            (
                Tool::Move,
                "Move",
                "Drag the selected atom, or nudge it with the arrows by 0.1 voxel, Shift ten times (M)",
            ),
        ] {
            let chosen = state.view.tool == tool;
            if ui
                .selectable_label(chosen, text)
                .on_hover_text(tooltip)
                .clicked()
            {
                actions.push(Action::SetTool(tool));
            }
        }
        ui.separator();
        compact_command(ui, state, actions, "undo", "Undo");
        compact_command(ui, state, actions, "redo", "Redo");
    });
    ui.horizontal_wrapped(|ui| {
        compact_command(ui, state, actions, "add", "Add here");
        compact_command(ui, state, actions, "remove", "Remove");
        compact_command(ui, state, actions, "refit", "Refit");
        compact_command(ui, state, actions, "merge", "Merge");
    });
}

fn ghost_ui(ui: &mut Ui, ghost: &Ghost, actions: &mut Actions) {
    ui.add_space(6.0);
    let frame = egui::Frame::group(ui.style())
        .stroke(egui::Stroke::new(1.0, ui.visuals().selection.stroke.color));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.strong("Add this atom?");
        fact(ui, "Position", place(ghost.candidate.position));
        fact(
            ui,
            "Intensity",
            format!(
                "{:.4}, stronger than {:.0} % of the atoms",
                ghost.candidate.intensity,
                100.0 * ghost.rank
            ),
        );
        fact(
            ui,
            "Nearest atom",
            ghost
                .nearest
                .map_or_else(|| "none".to_owned(), |d| format!("{d:.2} Å")),
        );
        if ghost.candidate.sigma.is_finite() {
            fact(ui, "Width σ", format!("{:.3} Å", ghost.candidate.sigma));
        }
        ui.horizontal(|ui| {
            if ui
                .button("Accept")
                .on_hover_text("Add it to the model (Enter)")
                .clicked()
            {
                actions.push(Action::AcceptGhost);
            }
            if ui.button("Reject").on_hover_text("Drop it (Esc)").clicked() {
                actions.push(Action::RejectGhost);
            }
        });
    });
}

fn place([x, y, z]: [f64; 3]) -> String {
    let coordinate = |value| super::signed(value, 2);
    format!("{}  {}  {} Å", coordinate(x), coordinate(y), coordinate(z))
}

fn selection_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    section(ui, "Selection");
    let Some(atoms) = &state.workspace.atoms else {
        ui.weak("No atoms yet: trace the volume, open a model, or add atoms by hand.");
        return;
    };
    let mut selected = state.view.selection.iter();
    match (selected.next(), state.view.selection.len()) {
        (Some(&id), 1) => {
            if let Some(index) = atoms.index_of(id) {
                atom_ui(ui, atoms, index);
            }
        }
        (Some(_), count) => {
            ui.label(format!("{} atoms are selected", thousands(count)));
        }
        _ => {
            ui.weak("Click an atom in any view; Shift adds to the selection.");
        }
    }
    if !state.view.selection.is_empty() && atoms.species_names.len() > 1 {
        ui.horizontal(|ui| {
            name_cell(ui, "Label as");
            for (species, name) in atoms.species_names.iter().enumerate() {
                if ui.button(name).clicked() {
                    actions.push(Action::RelabelSelected(species as u16));
                }
            }
        });
    }
}

fn atom_ui(ui: &mut Ui, atoms: &Atoms, index: usize) {
    fact(
        ui,
        "Atom",
        format!("#{} {}", atoms.ids[index].0, atoms.species_name(index)),
    );
    fact(ui, "Position", place(atoms.positions[index]));
    let id = Some(atoms.ids[index]);
    if let Some((other, apart)) = editing::nearest_atom(atoms, atoms.positions[index], id) {
        fact(
            ui,
            "Nearest atom",
            format!("#{} at {apart:.2} Å", atoms.ids[other].0),
        );
    }
    for (name, column) in &atoms.columns {
        let Some(value) = column.values.get(index).filter(|v| v.is_finite()) else {
            continue;
        };
        let mut text = format!("{value:.4}");
        if name == "intensity" {
            let rank = 100.0 * editing::intensity_rank(atoms, *value);
            text = format!("{value:.4} (above {rank:.0} %)");
        } else if !column.unit.is_empty() {
            text = format!("{value:.4} {}", column.unit);
        }
        fact(ui, column_name(name), text);
    }
}

/// A per-atom column in words.
#[must_use]
pub fn column_name(column: &str) -> &str {
    match column {
        "intensity" => "Intensity",
        "density" => "Density",
        "sigma_A" => "Width σ",
        "misfit" => "Misfit",
        "q4bar" => "Q̄4",
        "q6bar" => "Q̄6",
        "boo" => "Normalised BOO",
        "cn" => "Coordination",
        "rho_n" => "Density ρ_N",
        "oxidation" => "Oxidation",
        "surface" => "Surface",
        "phase" => "Phase",
        "depth" => "Depth",
        "cn_unlike" => "Unlike neighbours",
        "bond_length_A" => "Bond length, mean",
        "oxidation_map" => "Oxidation, smoothed",
        "ptm" => "Structure (PTM)",
        "ptm_rmsd" => "Template RMSD",
        "lattice_A" => "Lattice constant",
        "grain" => "Grain",
        "lattice" => "Lattice",
        "strain_volumetric" => "Volumetric strain",
        "strain_xx" => "Strain xx",
        "strain_yy" => "Strain yy",
        "strain_zz" => "Strain zz",
        "strain_xy" => "Strain xy",
        "strain_xz" => "Strain xz",
        "strain_yz" => "Strain yz",
        other => other,
    }
}

fn doubtful_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    section(ui, "Doubtful places");
    ui.horizontal(|ui| {
        compact_command(ui, state, actions, "ask_tilts", "Ask the tilts");
        ui.weak(match &state.evidence {
            Some(evidence) => format!("{} places in doubt when last asked", evidence.doubts.len()),
            None => "not asked yet".to_owned(),
        });
    });
    if state.doubtful.is_empty() {
        ui.weak(if state.workspace.atoms.is_some() {
            "Nothing left to look at."
        } else {
            "They are listed once there are atoms."
        });
        return;
    }
    ui.horizontal(|ui| {
        compact_command(ui, state, actions, "previous_doubt", "Previous");
        compact_command(ui, state, actions, "next_doubt", "Next");
        let settle = egui::Button::new("Looked at");
        let chosen = state.doubtful_at.is_some();
        if ui
            .add_enabled(chosen, settle)
            .on_hover_text("Leave it as it is and take it off the list (Enter)")
            .clicked()
        {
            actions.push(Action::SettleDoubtful);
        }
        ui.weak(format!("{} left", state.doubtful.len()));
    });
    let height = 20.0;
    egui::ScrollArea::vertical()
        .id_salt("doubtful")
        .max_height(150.0)
        .auto_shrink([false, true])
        .show_rows(ui, height, state.doubtful.len(), |ui, rows| {
            for at in rows {
                let doubtful = &state.doubtful[at];
                let percent = 100.0 * doubtful.probability;
                let text = format!("{percent:.0} %  {}: {}", doubtful.kind, doubtful.text);
                let chosen = state.doubtful_at == Some(at);
                let row = ui.add(egui::Button::selectable(chosen, text).truncate());
                let why = format!("{}\n{}", doubtful.kind, doubtful.text);
                if row.on_hover_text(why).clicked() {
                    actions.push(Action::ShowDoubtful(at));
                }
            }
        });
}

fn journal_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let entries = state.workspace.edits.entries();
    section(ui, "Journal");
    if entries.is_empty() {
        ui.weak("Every edit is written down here, and nothing is ever erased.");
        return;
    }
    for entry in entries.iter().rev().take(30) {
        journal_row(ui, entry, actions);
    }
    if entries.len() > 30 {
        ui.weak(format!(
            "and {} before; all in the tray",
            entries.len() - 30
        ));
    }
}

/// One entry of the journal; a click shows its atom.
pub fn journal_row(ui: &mut Ui, entry: &Entry, actions: &mut Actions) {
    let mut text = format!("{}  {}", entry.number, entry.label);
    if !entry.reason.is_empty() {
        text = format!("{text} ({})", entry.reason);
    }
    let ids: Vec<String> = entry
        .changes
        .iter()
        .take(4)
        .map(|change| format!("#{}", change.id().0))
        .collect();
    let rich = if entry.undoes.is_some() {
        RichText::new(text).weak()
    } else {
        RichText::new(text)
    };
    let row = ui
        .add(egui::Button::new(rich).frame(false).truncate())
        .on_hover_text(format!("Atoms {}", ids.join(", ")));
    if row.clicked()
        && let Some(change) = entry.changes.first()
    {
        actions.push(Action::FocusAtom(change.id()));
    }
}
