//! Marks, tombstones and checkpoints: what says how an atom or a model is to be taken, and brings back what was there.

use super::{EDITED, Edited, commit, counted, model, selected};
use crate::model::geometry::distance;
use crate::model::{AtomId, Atoms};
use crate::project::{AtomSnapshot, Change, EditKind, Mark, Stage};
use crate::ui::state::AppState;
use std::sync::Arc;

/// Sets a mark on the selected atoms, or takes it off when all have it.
///
/// # Errors
/// When nothing is selected.
pub fn mark_selected(state: &mut AppState, mark: Mark) -> Edited {
    let (atoms, indices) = selected(state)?;
    let on = !indices.iter().all(|&index| mark.is_on(&atoms, index));
    let changes: Vec<Change> = indices
        .iter()
        .filter(|&&index| mark.is_on(&atoms, index) != on)
        .map(|&index| Change::Mark {
            id: atoms.ids[index],
            mark,
            from: !on,
            to: on,
        })
        .collect();
    let (kind, verb) = match (mark, on) {
        (Mark::Locked, true) => (EditKind::Lock, "Lock"),
        (Mark::Locked, false) => (EditKind::Lock, "Let go of"),
        (Mark::Flagged, true) => (EditKind::Flag, "Flag"),
        (Mark::Flagged, false) => (EditKind::Flag, "Take the flag off"),
    };
    let label = counted(verb, changes.len());
    commit(state, changes, kind, &label, None)
}

/// Brings the removed atom nearest to a place back, as it was.
///
/// # Errors
/// When no atom was removed within 2 Å of it.
pub fn restore_near(state: &mut AppState, place: [f64; 3]) -> Edited {
    const REACH: f64 = 2.0;
    let atom = tombstone_near(state, place, REACH)
        .ok_or_else(|| format!("no atom was removed within {REACH} Å of here"))?;
    let id = atom.id;
    let changes = vec![Change::Add(atom)];
    let entry = commit(state, changes, EditKind::Restore, "Bring atom back", None)?;
    state.view.selection = [id].into();
    Ok(entry)
}

/// The removed atom nearest to a place, within `reach` Å.
pub(super) fn tombstone_near(
    state: &AppState,
    place: [f64; 3],
    reach: f64,
) -> Option<AtomSnapshot> {
    let tombstones = state.workspace.edits.tombstones();
    tombstones
        .into_iter()
        .map(|atom| (distance(atom.position, place), atom))
        .filter(|(apart, _)| *apart < reach)
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, atom)| atom.clone())
}

/// Names the model as it is.
///
/// # Errors
/// When there is no model, or no name.
pub fn checkpoint(state: &mut AppState, name: &str) -> Edited {
    model(state)?;
    let name = name.trim();
    if name.is_empty() {
        return Err("a checkpoint needs a name".to_owned());
    }
    let entry = state.workspace.edits.checkpoint(name).clone();
    state.touch();
    Ok(Some(entry))
}

/// Brings the model back to a checkpoint.
///
/// # Errors
/// When there is no model.
pub fn return_to(state: &mut AppState, number: u64) -> Edited {
    model(state)?;
    let workspace = &mut state.workspace;
    let Some(atoms) = workspace.atoms.as_mut() else {
        return Ok(None);
    };
    let entry = workspace
        .edits
        .return_to(number, Arc::make_mut(atoms))
        .cloned();
    if entry.is_some() {
        state.workspace.mark_stale(Stage::Analyze, EDITED);
        state.touch();
        state.make_view_valid();
    }
    Ok(entry)
}

/// The atoms that no edit may change.
#[must_use]
pub fn locked(atoms: &Atoms) -> Vec<AtomId> {
    (0..atoms.len())
        .filter(|&index| Mark::Locked.is_on(atoms, index))
        .map(|index| atoms.ids[index])
        .collect()
}

pub(super) fn refuse_locked(state: &AppState, changes: &[Change]) -> Result<(), String> {
    let Some(atoms) = &state.workspace.atoms else {
        return Ok(());
    };
    let is_locked = |id: AtomId| {
        let index = atoms.index_of(id);
        index.is_some_and(|index| Mark::Locked.is_on(atoms, index))
    };
    match changes.iter().map(Change::id).find(|&id| is_locked(id)) {
        Some(id) => Err(format!("atom #{} is locked (L lets it go)", id.0)),
        None => Ok(()),
    }
}
