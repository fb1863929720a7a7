//! Phases by hand: what the brush and the panel say of atoms, in place of what the analysis found.

use super::{Edited, commit, counted, model};
use crate::analyze::phases::Phase;
use crate::model::AtomId;
use crate::project::{Change, EditKind, phase_by_hand};
use crate::ui::state::AppState;

/// Sets the phase of these atoms, or leaves it to the analysis again.
///
/// # Errors
/// When there is no model.
pub fn set_phase(state: &mut AppState, ids: &[AtomId], phase: Option<Phase>) -> Edited {
    let atoms = model(state)?;
    let changes: Vec<Change> = ids
        .iter()
        .filter_map(|&id| Some((id, phase_by_hand(&atoms, atoms.index_of(id)?))))
        .filter(|(_, from)| *from != phase)
        .map(|(id, from)| Change::Phase {
            id,
            from,
            to: phase,
        })
        .collect();
    if changes.is_empty() {
        return Ok(None);
    }
    let label = match phase {
        Some(phase) => format!("{} as {}", counted("Set", changes.len()), phase.name()),
        None => format!(
            "{} to the analysis",
            counted("Leave phase of", changes.len())
        ),
    };
    commit(state, changes, EditKind::Phase, &label, None)
}
