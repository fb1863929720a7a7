//! Hand correction: the queue, tools, the ghost before it is accepted, the selected atom, checkpoints, and the journal.

use super::plane::PlanePanel;
use super::queue::QueuePanel;
use super::{compact_command, fact, name_cell, section, thousands};
use crate::figures::names::quantity;
use crate::model::Atoms;
use crate::project::Entry;
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::commands::REASONS;
use crate::ui::editing;
use crate::ui::state::{AppState, Ghost, Tool};
use eframe::egui::{self, RichText, Ui};

/// View state of the panel.
#[derive(Default)]
pub struct CorrectPanel {
    queue: QueuePanel,
    plane: PlanePanel,
    reason: String,
    checkpoint: String,
}

impl CorrectPanel {
    /// Draws the panel.
    pub fn ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        let workspace = &state.workspace;
        let count = workspace.atoms.as_ref().map_or(0, |atoms| atoms.len());
        let traced = workspace.base_atoms.as_ref().map_or(count, |a| a.len());
        ui.label(format!("{} atoms", thousands(count)));
        ui.label(workspace.edits.counts().sentence(traced));
        self.queue.ui(ui, state, actions);
        tools_ui(ui, state, actions);
        if let Some(ghost) = &state.view.ghost {
            ghost_ui(ui, ghost, actions);
        }
        self.reason_ui(ui, state, actions);
        selection_ui(ui, state, actions);
        self.checkpoints_ui(ui, state, actions);
        self.plane.ui(ui, state, actions);
        journal_ui(ui, state, actions);
    }

    fn checkpoints_ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        section(ui, "Checkpoints");
        ui.horizontal(|ui| {
            let label = ui.weak("Name");
            let field = egui::TextEdit::singleline(&mut self.checkpoint)
                .hint_text("surface done")
                .desired_width(150.0);
            let named = ui.add(field).labelled_by(label.id);
            let entered = named.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
            let can = !self.checkpoint.trim().is_empty() && state.workspace.atoms.is_some();
            let button = egui::Button::new("Set");
            let set = ui
                .add_enabled(can, button)
                .on_hover_text("Give the model as it is this name, to come back to")
                .on_disabled_hover_text("Type a name first");
            if set.clicked() || (entered && can) {
                actions.push(Action::Checkpoint(std::mem::take(&mut self.checkpoint)));
            }
        });
        for entry in state.workspace.edits.checkpoints().rev().take(6) {
            ui.horizontal(|ui| {
                let back = ui
                    .small_button("Back")
                    .on_hover_text("Bring the model back to this; that can be undone");
                if back.clicked() {
                    actions.push(Action::ReturnTo(entry.number));
                }
                ui.add(egui::Label::new(&entry.label).truncate());
            });
        }
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
                .desired_width(ui.available_width() - 64.0);
            if ui.add(field).labelled_by(label.id).changed() {
                actions.push(Action::SetReason(self.reason.trim().to_owned()));
            }
            ui.menu_button("1–9", |ui| {
                for (at, reason) in REASONS.into_iter().enumerate() {
                    let given = state.reason == reason;
                    let text = format!("{}  {reason}", at + 1);
                    if ui.selectable_label(given, text).clicked() {
                        let reason = if given { "" } else { reason };
                        actions.push(Action::SetReason(reason.to_owned()));
                        ui.close();
                    }
                }
            })
            .response
            .on_hover_text("Reasons by their key; the same key again takes it off");
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
        compact_command(ui, state, actions, "split", "Split");
        compact_command(ui, state, actions, "lock", "Lock");
        compact_command(ui, state, actions, "flag", "Flag");
        compact_command(ui, state, actions, "refine_sphere", "Refine sphere");
        compact_command(ui, state, actions, "restore", "Bring back");
        compact_command(ui, state, actions, "plane", "Plane");
    });
    let mut shown = state.view.show_tombstones;
    let help = "A cross where each removed atom stood";
    if ui
        .checkbox(&mut shown, "Removed atoms")
        .on_hover_text(help)
        .changed()
    {
        actions.push(Action::View(ViewChange::ShowTombstones(shown)));
    }
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
        fact(ui, quantity(name), text);
    }
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
