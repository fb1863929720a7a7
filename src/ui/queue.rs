//! The queue of doubtful places: what is listed, going from one to the next, and what one key does about a place.

use super::editing::{self, Edited};
use super::state::{AppState, Doubtful};
use crate::model::AtomId;
use crate::model::geometry::distance;
use crate::project::Stage;
use crate::trace::doubts::DoubtKind;
use std::collections::BTreeSet;

/// What is proposed for a place: what `Enter` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub enum Proposal {
    /// Put an atom there.
    Add,
    /// Take the atom away.
    Remove,
    /// Make one atom of the two.
    Merge,
    /// Leave it as it is.
    #[default]
    Keep,
}

impl Proposal {
    /// What is proposed for a kind of doubt about so many atoms.
    #[must_use]
    pub fn of(kind: DoubtKind, atoms: usize) -> Self {
        match (kind, atoms) {
            (DoubtKind::Missing | DoubtKind::FailedFit, 0) => Self::Add,
            (DoubtKind::TooClose, 2) => Self::Merge,
            (DoubtKind::False | DoubtKind::TooClose | DoubtKind::Weak, 1..)
            | (DoubtKind::Borderline | DoubtKind::Broad, 1..) => Self::Remove,
            _ => Self::Keep,
        }
    }

    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "Add",
            Self::Remove => "Remove",
            Self::Merge => "Merge",
            Self::Keep => "Keep",
        }
    }
}

/// Which places are listed.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueFilter {
    /// Kinds that are left out, by name.
    pub hidden: BTreeSet<&'static str>,
    /// Least probability that an edit is needed.
    pub least: f64,
}

impl Default for QueueFilter {
    fn default() -> Self {
        Self {
            hidden: BTreeSet::new(),
            least: 0.005,
        }
    }
}

impl QueueFilter {
    fn lets(&self, place: &Doubtful) -> bool {
        place.probability >= self.least && !self.hidden.contains(place.kind)
    }
}

/// Kinds in the whole list with their numbers, in the order of the list's first ones.
#[must_use]
pub fn kinds(list: &[Doubtful]) -> Vec<(&'static str, usize)> {
    let mut kinds: Vec<(&'static str, usize)> = Vec::new();
    for place in list {
        match kinds.iter_mut().find(|(kind, _)| *kind == place.kind) {
            Some((_, n)) => *n += 1,
            None => kinds.push((place.kind, 1)),
        }
    }
    kinds
}

/// Takes a new list, leaving out what was settled; the place that is looked at stays the one that is looked at.
pub fn take_list(state: &mut AppState, list: Vec<Doubtful>) {
    let current = state
        .doubtful_at
        .and_then(|at| state.doubtful.get(at))
        .cloned();
    state.all_doubtful = list
        .into_iter()
        .filter(|place| !state.settled.iter().any(|done| done.is_about(place)))
        .collect();
    filter(state, current);
}

/// Lists what the filter lets through.
pub fn set_filter(state: &mut AppState, queue: QueueFilter) {
    let current = state
        .doubtful_at
        .and_then(|at| state.doubtful.get(at))
        .cloned();
    state.queue = queue;
    filter(state, current);
}

fn filter(state: &mut AppState, current: Option<Doubtful>) {
    let listed = state
        .all_doubtful
        .iter()
        .filter(|place| state.queue.lets(place));
    state.doubtful = listed.cloned().collect();
    let Some(current) = current else {
        state.doubtful_at = None;
        return;
    };
    let listed = &state.doubtful;
    let same = |is: fn(&Doubtful, &Doubtful) -> bool| listed.iter().position(|p| is(p, &current));
    // What else is doubtful there may have changed with the atoms around it.
    state.doubtful_at = same(Doubtful::is_about).or_else(|| same(Doubtful::is_at));
    // A newer list may know better where the place is; who stands on it goes along.
    if let Some(at) = state.doubtful_at
        && distance(current.position, state.view.crosshair) < 1e-6
    {
        state.view.crosshair = state.doubtful[at].position;
    }
}

/// Goes to an entry of the list: every view centres on it.
pub fn show(state: &mut AppState, at: usize) {
    let Some(place) = state.doubtful.get(at) else {
        return;
    };
    state.view.center_on(place.position);
    // The first is the one in doubt; what acts on the selection must not take its neighbours along.
    state.view.selection = place.atoms.first().copied().into_iter().collect();
    state.view.ghost = None;
    state.view.stage = Stage::Correct;
    state.view.pointed = false;
    state.doubtful_at = Some(at);
    state.make_view_valid();
}

/// Goes on (or back) in the list.
pub fn step(state: &mut AppState, by: isize) {
    let count = state.doubtful.len() as isize;
    if count == 0 {
        return;
    }
    let at = match state.doubtful_at {
        None if by > 0 => 0,
        None => count - 1,
        Some(at) => (at as isize + by).rem_euclid(count),
    };
    show(state, at as usize);
}

/// The place that is looked at.
#[must_use]
pub fn current(state: &AppState) -> Option<&Doubtful> {
    state.doubtful.get(state.doubtful_at?)
}

/// The place that is looked at, if the crosshair still stands on it.
#[must_use]
pub fn under_crosshair(state: &AppState) -> Option<&Doubtful> {
    current(state).filter(|place| distance(place.position, state.view.crosshair) < 1e-6)
}

/// Takes the shown place off the list and goes to the next.
pub fn settle(state: &mut AppState) {
    if let Some(place) = take_off(state) {
        state.settled.push(place);
    }
    go_on(state);
}

fn take_off(state: &mut AppState) -> Option<Doubtful> {
    let at = state.doubtful_at.filter(|&at| at < state.doubtful.len())?;
    let place = state.doubtful.remove(at);
    state.all_doubtful.retain(|other| !other.is_about(&place));
    Some(place)
}

fn go_on(state: &mut AppState) {
    match state.doubtful_at {
        Some(at) if !state.doubtful.is_empty() => show(state, at.min(state.doubtful.len() - 1)),
        _ => state.doubtful_at = None,
    }
}

/// Does what is proposed for the shown place, or what the user says instead, takes it off the list and goes to the next.
///
/// # Errors
/// Why the edit cannot be made; the place then stays.
pub fn decide(state: &mut AppState, how: Proposal) -> Edited {
    let Some(place) = current(state).cloned() else {
        return Ok(None);
    };
    let there = |state: &AppState| -> BTreeSet<AtomId> {
        let atoms = state.workspace.atoms.as_ref();
        (place.atoms.iter().copied())
            .filter(|&id| atoms.is_some_and(|atoms| atoms.index_of(id).is_some()))
            .collect()
    };
    let edited = match how {
        Proposal::Keep => Ok(None),
        Proposal::Add => editing::add_at(state, place.position),
        Proposal::Remove => {
            // The first is the one in doubt; the others only crowd it.
            state.view.selection = (place.atoms.first().copied())
                .filter(|id| there(state).contains(id))
                .into_iter()
                .collect();
            editing::remove_selected(state)
        }
        Proposal::Merge => {
            state.view.selection = there(state);
            editing::merge_selected(state)
        }
    }?;
    let done = take_off(state);
    if how == Proposal::Keep {
        state.settled.extend(done);
    }
    go_on(state);
    Ok(edited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Atoms;
    use std::sync::Arc;

    fn place(kind: DoubtKind, x: f64, atoms: &[u64], probability: f64) -> Doubtful {
        Doubtful {
            kind: kind.name(),
            position: [x, 0.0, 0.0],
            atoms: atoms.iter().map(|&id| AtomId(id)).collect(),
            probability,
            text: String::new(),
            proposal: Proposal::of(kind, atoms.len()),
        }
    }

    fn state() -> AppState {
        let mut state = AppState::default();
        let positions = vec![[0.0; 3], [3.0, 0.0, 0.0], [6.0, 0.0, 0.0], [6.9, 0.0, 0.0]];
        let atoms = Atoms::from_positions(positions, "Zr");
        state.workspace.base_atoms = Some(Arc::new(atoms.clone()));
        state.workspace.atoms = Some(Arc::new(atoms));
        let list = vec![
            place(DoubtKind::Missing, 9.5, &[], 0.9),
            place(DoubtKind::False, 3.0, &[1], 0.8),
            place(DoubtKind::TooClose, 6.4, &[2, 3], 0.6),
            place(DoubtKind::OddCoordination, 0.0, &[0], 0.1),
        ];
        take_list(&mut state, list);
        state
    }

    fn count(state: &AppState) -> usize {
        state
            .workspace
            .atoms
            .as_ref()
            .map_or(0, |atoms| atoms.len())
    }

    #[test]
    fn enter_walks_the_list_doing_what_is_proposed() {
        let mut state = state();
        step(&mut state, 1);
        assert_eq!(state.view.crosshair, [9.5, 0.0, 0.0]);
        for (how, atoms) in [
            (Proposal::Add, 5),
            (Proposal::Remove, 4),
            (Proposal::Merge, 3),
            (Proposal::Keep, 3),
        ] {
            let proposal = current(&state).expect("a place is shown").proposal;
            assert_eq!(proposal, how);
            let entry = decide(&mut state, proposal).unwrap();
            assert_eq!(entry.is_some(), how != Proposal::Keep);
            assert_eq!(count(&state), atoms, "{how:?}");
        }
        assert!(state.doubtful.is_empty() && state.doubtful_at.is_none());
        let counts = state.workspace.edits.counts();
        assert_eq!((counts.added, counts.removed, counts.merged), (1, 1, 1));
    }

    #[test]
    fn what_is_filtered_is_not_walked_and_comes_back() {
        let mut state = state();
        let mut queue = QueueFilter::default();
        queue.hidden.insert(DoubtKind::False.name());
        queue.least = 0.5;
        set_filter(&mut state, queue);
        assert_eq!(state.doubtful.len(), 2);
        step(&mut state, 1);
        step(&mut state, 1);
        assert_eq!(current(&state).unwrap().kind, DoubtKind::TooClose.name());
        set_filter(&mut state, QueueFilter::default());
        assert_eq!(state.doubtful.len(), 4);
        assert_eq!(current(&state).unwrap().kind, DoubtKind::TooClose.name());
    }

    #[test]
    fn a_new_list_leaves_what_was_kept_out_and_stays_at_its_place() {
        let mut state = state();
        step(&mut state, 1);
        decide(&mut state, Proposal::Keep).unwrap();
        assert_eq!(current(&state).unwrap().atoms, [AtomId(1)]);
        let again = vec![
            place(DoubtKind::Missing, 9.5, &[], 0.95),
            place(DoubtKind::TooClose, 6.4, &[2, 3], 0.9),
            place(DoubtKind::False, 3.0, &[1], 0.8),
        ];
        take_list(&mut state, again);
        assert_eq!(state.doubtful.len(), 2);
        assert_eq!(current(&state).unwrap().atoms, [AtomId(1)]);
    }

    #[test]
    fn an_atom_that_is_already_gone_cannot_be_removed_again() {
        let mut state = state();
        step(&mut state, 2);
        show(&mut state, 1);
        state.view.selection = [AtomId(1)].into();
        editing::remove_selected(&mut state).unwrap();
        assert!(decide(&mut state, Proposal::Remove).is_err());
        assert_eq!(count(&state), 3);
    }
}
