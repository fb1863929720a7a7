//! Every command of the window in one table: text, tooltip, keys, and why it cannot be used right now. The menu bar,
//! the palette, the key handling and the overview of keys all read it, so they cannot disagree.

#[macro_use]
mod macros;
mod table;

pub use table::COMMANDS;

use super::actions::Action;
use super::masking::MaskTool;
use super::state::AppState;
use crate::project::Stage;
use crate::project::pipeline::{StageStatus, status};
use eframe::egui::{Key, KeyboardShortcut};

/// Where a command is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Menu {
    /// Files.
    File,
    /// The model.
    Edit,
    /// What is seen.
    View,
    /// Work.
    Run,
    /// Help.
    Help,
    /// Keys and palette only.
    Hidden,
}

impl Menu {
    /// The menus of the bar.
    pub const BAR: [Self; 5] = [Self::File, Self::Edit, Self::View, Self::Run, Self::Help];

    /// Its title.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::Edit => "Edit",
            Self::View => "View",
            Self::Run => "Run",
            Self::Help => "Help",
            Self::Hidden => "",
        }
    }
}

/// `Ok`, or why not.
pub type Enabled = Result<(), String>;

/// One command.
pub struct Command {
    /// Stable name.
    pub id: &'static str,
    /// Menu it stands in.
    pub menu: Menu,
    /// What it is called.
    pub text: &'static str,
    /// What it does, in a sentence.
    pub tooltip: &'static str,
    /// Keys; the first is shown.
    pub keys: &'static [KeyboardShortcut],
    /// Whether it can be used now.
    pub enabled: fn(&AppState) -> Enabled,
    /// What it asks for.
    pub action: fn(&AppState) -> Action,
    /// Whether a line is drawn above it in the menu.
    pub separated: bool,
}

impl Command {
    /// Its first key in words, empty without one.
    #[must_use]
    pub fn key_text(&self) -> String {
        self.keys.first().map_or_else(String::new, key_text)
    }
}

/// A key combination in words: `Ctrl+Shift+Z`.
#[must_use]
pub fn key_text(key: &KeyboardShortcut) -> String {
    let mut text = String::new();
    let is_mac = cfg!(target_os = "macos");
    for (down, name) in [
        (key.modifiers.command, if is_mac { "Cmd+" } else { "Ctrl+" }),
        (key.modifiers.alt, "Alt+"),
        (key.modifiers.shift, "Shift+"),
    ] {
        if down {
            text.push_str(name);
        }
    }
    text.push_str(match key.logical_key {
        Key::OpenBracket => "[",
        Key::CloseBracket => "]",
        Key::OpenCurlyBracket => "{",
        Key::CloseCurlyBracket => "}",
        Key::Questionmark => "?",
        Key::ArrowLeft => "Left",
        Key::ArrowRight => "Right",
        Key::ArrowUp => "Up",
        Key::ArrowDown => "Down",
        Key::Escape => "Esc",
        Key::PageUp => "PgUp",
        Key::PageDown => "PgDn",
        other => other.name(),
    });
    text
}

fn always(_: &AppState) -> Enabled {
    Ok(())
}

fn need(there: bool, why: &str) -> Enabled {
    there.then_some(()).ok_or_else(|| why.to_owned())
}

fn has_document(state: &AppState) -> Enabled {
    need(!state.is_empty(), "nothing is open")
}

fn has_volume(state: &AppState) -> Enabled {
    need(state.shown_volume().is_some(), "no volume yet")
}

fn has_series(state: &AppState) -> Enabled {
    need(state.workspace.series.is_some(), "no tilt series is open")
}

fn has_after(state: &AppState) -> Enabled {
    need(
        state.workspace.prepared.is_some() || state.preview.is_some(),
        "nothing is prepared yet",
    )
}

fn has_atoms(state: &AppState) -> Enabled {
    need(state.workspace.atoms.is_some(), "no atoms yet")
}

fn has_analysis(state: &AppState) -> Enabled {
    need(state.workspace.analyzed.is_some(), "no analysis yet")
}

fn has_voids(state: &AppState) -> Enabled {
    has_analysis(state)?;
    let analyzed = state.workspace.analyzed.as_ref();
    let some = analyzed.is_some_and(|a| !a.void_surfaces.is_empty());
    need(some, "the analysis found no vacancy and no pore")
}

fn has_selection(state: &AppState) -> Enabled {
    has_atoms(state)?;
    need(!state.view.selection.is_empty(), "no atom is selected")
}

fn has_pair(state: &AppState) -> Enabled {
    has_atoms(state)?;
    need(state.view.selection.len() == 2, "select exactly two atoms")
}

fn has_one(state: &AppState) -> Enabled {
    has_atoms(state)?;
    need(state.view.selection.len() == 1, "select exactly one atom")
}

fn has_row_or_plane(state: &AppState) -> Enabled {
    has_atoms(state)?;
    let there = matches!(state.view.selection.len(), 2 | 3);
    need(
        there,
        "select three atoms of the plane, or two of a row across it",
    )
}

fn has_species(state: &AppState) -> Enabled {
    has_selection(state)?;
    let atoms = state.workspace.atoms.as_ref();
    need(
        atoms.is_some_and(|atoms| atoms.species_names.len() > 1),
        "the model has only one species",
    )
}

fn has_tombstones(state: &AppState) -> Enabled {
    need(
        state.workspace.edits.counts().removed > 0,
        "no atom was removed",
    )
}

fn has_place(state: &AppState) -> Enabled {
    need(state.doubtful_at.is_some(), "no doubtful place is shown")
}

/// Reasons that digits give to the edits that follow.
pub const REASONS: [&str; 9] = [
    "the tilts do not show it",
    "the tilts show one",
    "half of a split atom",
    "two atoms in one maximum",
    "noise at the surface",
    "streak of the missing wedge",
    "off its maximum",
    "wrong species",
    "discussed with others",
];

/// Gives the reason of a digit, or takes it off when it is given already.
fn reason_of(state: &AppState, digit: usize) -> Action {
    let reason = REASONS[digit - 1];
    let given = state.reason == reason;
    Action::SetReason(if given { "" } else { reason }.to_owned())
}

fn has_doubts(state: &AppState) -> Enabled {
    need(!state.doubtful.is_empty(), "no doubtful places are listed")
}

fn has_job(state: &AppState) -> Enabled {
    need(state.job.is_some(), "nothing is running")
}

fn can_undo(state: &AppState) -> Enabled {
    if state.view.mask.tool != MaskTool::Off {
        let edits = &state.workspace.project.parameters.prepare.mask_edits;
        return need(!edits.is_empty(), "no mask was edited");
    }
    need(state.workspace.edits.can_undo(), "nothing to undo")
}

fn can_redo(state: &AppState) -> Enabled {
    if state.view.mask.tool != MaskTool::Off {
        return need(!state.masks_undone.is_empty(), "nothing to redo");
    }
    need(state.workspace.edits.can_redo(), "nothing to redo")
}

/// Whether the model can be refined against the tilts now.
///
/// # Errors
/// Why not, in words.
pub fn can_refine(state: &AppState) -> Enabled {
    has_atoms(state)?;
    has_series(state)?;
    let series = state.workspace.best_series();
    need(
        series.is_some_and(|series| series.pixel_size.is_some()),
        "needs the pixel size",
    )
}

/// Whether a stage can run now.
///
/// # Errors
/// Why not, in words.
pub fn can_run(state: &AppState, stage: Stage) -> Enabled {
    match status(&state.workspace, stage) {
        StageStatus::Needs(what) => Err(format!("needs {what}")),
        _ => match stage {
            // A loaded volume has no series behind it, and loaded atoms no volume.
            Stage::Reconstruct | Stage::Prepare if state.workspace.series.is_none() => {
                Err("needs a tilt series".to_owned())
            }
            Stage::Trace if state.workspace.volume.is_none() => Err("needs a volume".to_owned()),
            _ => Ok(()),
        },
    }
}

/// Whether the whole road can be taken now.
///
/// # Errors
/// Why not, in words.
pub fn can_auto(state: &AppState) -> Enabled {
    match &state.workspace.series {
        None => Err("needs a tilt series".to_owned()),
        Some(series) if series.pixel_size.is_none() => Err("needs the pixel size".to_owned()),
        Some(_) => Ok(()),
    }
}

/// A command by its name.
#[must_use]
pub fn by_id(id: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn no_two_commands_share_a_key_or_a_name() {
        let mut keys: BTreeMap<String, &str> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for command in COMMANDS {
            assert!(ids.insert(command.id), "two commands named {}", command.id);
            for key in command.keys {
                if let Some(other) = keys.insert(key_text(key), command.id) {
                    panic!("{} is the key of {other} and {}", key_text(key), command.id);
                }
            }
        }
    }

    #[test]
    fn removing_is_never_bound_to_a_digit_or_to_backspace() {
        let remove = by_id("remove").expect("the table has it");
        for key in remove.keys {
            let name = key.logical_key.name();
            assert!(!name.chars().any(|c| c.is_ascii_digit()), "{name}");
            assert_ne!(key.logical_key, Key::Backspace);
        }
    }

    #[test]
    fn what_cannot_be_done_on_an_empty_document_says_why() {
        let state = AppState::default();
        for id in [
            "save", "undo", "redo", "remove", "merge", "auto", "trace", "analyze", "pause",
        ] {
            let command = by_id(id).expect("the table has it");
            let why = (command.enabled)(&state).expect_err(id);
            assert!(!why.is_empty(), "{id} says why");
        }
    }
}
