//! Hand edits: transactions with an inverse, in an append-only journal.
//!
//! An edit names atoms by their lasting id, so the journal replays on the atoms it was made for after a restart or
//! a crash. Undo appends the inverse transaction: nothing that was done is ever erased.

use super::change::apply_all;
pub use super::change::{AtomSnapshot, Change, EditConflict, Mark, phase_by_hand};
pub use super::handwork::EditCounts;
use crate::model::Atoms;
use serde::{Deserialize, Serialize};

/// What was seen at the place when the edit was made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Density at the place.
    pub density: Option<f64>,
    /// Share (0–1) of the model's atoms that are weaker than this one.
    pub intensity_rank: Option<f64>,
    /// Distance to the nearest other atom, Å.
    pub nearest: Option<f64>,
}

/// What kind of work a transaction is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum EditKind {
    /// Written by a version that did not say.
    #[default]
    Other,
    /// Atoms were added.
    Add,
    /// Atoms were removed.
    Remove,
    /// Removed atoms were brought back.
    Restore,
    /// Atoms were moved by hand.
    Move,
    /// Atoms were brought to fitted maxima of the density.
    Refit,
    /// Atoms were refined against the tilts.
    Refine,
    /// One atom was made of two.
    Merge,
    /// Two atoms were made of one.
    Split,
    /// Atoms changed species.
    Relabel,
    /// Atoms were locked or let go.
    Lock,
    /// Atoms were flagged for a second opinion, or the flag was taken off.
    Flag,
    /// Phases of atoms were set by hand, or left to the analysis again.
    Phase,
    /// A name for the model as it is; nothing changed.
    Checkpoint,
    /// The model was brought back to a checkpoint.
    Return,
}

/// One transaction of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Counted from 1.
    pub number: u64,
    /// Milliseconds since 1970 (UTC).
    pub unix_ms: u64,
    /// What was done, in words; the name of a checkpoint.
    pub label: String,
    /// What kind of work it is.
    #[serde(default)]
    pub kind: EditKind,
    /// Number of the checkpoint that the model was brought back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns_to: Option<u64>,
    /// Why, if said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What was seen there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Number of the entry this one takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<u64>,
    /// Number of the undo entry this one takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redoes: Option<u64>,
    /// The changes, applied in order.
    pub changes: Vec<Change>,
}

/// The journal and where undo stands in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Edits {
    /// Made before the base model, which holds them already.
    settled: Vec<Entry>,
    /// Made on the base model.
    entries: Vec<Entry>,
    /// Numbers of the entries that undo would take back, oldest first.
    undoable: Vec<u64>,
    /// Numbers of the undo entries that redo would take back, oldest first.
    redoable: Vec<u64>,
}

impl Edits {
    /// Rebuilds the journal and the atoms from entries read back, in order; entries that no longer fit are
    /// returned with the reason and left out. `settled` are those that the atoms hold already.
    #[must_use]
    pub fn replay(
        settled: Vec<Entry>,
        entries: Vec<Entry>,
        atoms: &mut Atoms,
    ) -> (Self, Vec<(Entry, EditConflict)>) {
        let mut edits = Self {
            settled,
            ..Self::default()
        };
        let mut conflicts = Vec::new();
        for entry in entries {
            match apply_all(&entry.changes, atoms) {
                Ok(()) => edits.accept(entry),
                Err(conflict) => conflicts.push((entry, conflict)),
            }
        }
        (edits, conflicts)
    }

    /// Everything that was done on the base model, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What was done before the base model was made from the edited atoms (by refinement), oldest first. It counts as
    /// hand work for ever but is no longer undone step by step.
    #[must_use]
    pub fn settled(&self) -> &[Entry] {
        &self.settled
    }

    /// Everything that was ever done, oldest first.
    pub fn history(&self) -> impl Iterator<Item = &Entry> {
        self.settled.iter().chain(&self.entries)
    }

    /// Whether [`Self::undo`] would do something.
    #[must_use]
    pub fn can_undo(&self) -> bool {
        !self.undoable.is_empty()
    }

    /// Whether [`Self::redo`] would do something.
    #[must_use]
    pub fn can_redo(&self) -> bool {
        !self.redoable.is_empty()
    }

    /// The entry undo would take back.
    #[must_use]
    pub fn next_undo(&self) -> Option<&Entry> {
        self.undoable
            .last()
            .and_then(|&number| self.by_number(number))
    }

    /// The undo entry redo would take back.
    #[must_use]
    pub fn next_redo(&self) -> Option<&Entry> {
        self.redoable
            .last()
            .and_then(|&number| self.by_number(number))
    }

    /// Makes an edit: all its changes or none.
    ///
    /// # Errors
    /// When a change does not fit the atoms, which are then untouched.
    pub fn apply(
        &mut self,
        atoms: &mut Atoms,
        changes: Vec<Change>,
        kind: EditKind,
        label: &str,
        reason: &str,
        evidence: Option<Evidence>,
    ) -> Result<&Entry, EditConflict> {
        apply_all(&changes, atoms)?;
        self.append(Entry {
            label: label.to_owned(),
            kind,
            reason: reason.to_owned(),
            evidence,
            changes,
            ..Entry::default()
        });
        Ok(self.entries.last().expect("an entry was just pushed"))
    }

    fn append(&mut self, entry: Entry) {
        let (number, unix_ms) = (self.next_number(), now_unix_ms());
        self.accept(Entry {
            number,
            unix_ms,
            ..entry
        });
    }

    /// Gives the model as it is a name to come back to.
    pub fn checkpoint(&mut self, name: &str) -> &Entry {
        self.append(Entry {
            label: name.to_owned(),
            kind: EditKind::Checkpoint,
            ..Entry::default()
        });
        self.entries.last().expect("an entry was just pushed")
    }

    /// The named checkpoints that can be returned to, oldest first.
    pub fn checkpoints(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        let named = |entry: &&Entry| entry.kind == EditKind::Checkpoint;
        self.entries.iter().filter(named)
    }

    /// Brings the model back to what it was when the entry with this number was made, in one transaction that can be
    /// undone; `None` when there is no such entry or nothing has changed since.
    pub fn return_to(&mut self, number: u64, atoms: &mut Atoms) -> Option<&Entry> {
        let name = self.by_number(number)?.label.clone();
        let since = self.entries.iter().filter(|entry| entry.number > number);
        let mut changes: Vec<Change> = since.flat_map(|entry| entry.changes.clone()).collect();
        changes.reverse();
        let changes: Vec<Change> = changes.iter().map(Change::inverse).collect();
        if changes.is_empty() {
            return None;
        }
        // Each is the inverse of a change that was made, in the reverse order.
        apply_all(&changes, atoms).ok()?;
        self.append(Entry {
            label: format!("Back to ‘{name}’"),
            kind: EditKind::Return,
            returns_to: Some(number),
            changes,
            ..Entry::default()
        });
        self.entries.last()
    }

    /// Takes the last edit back by appending its inverse; `None` when there is nothing to undo.
    pub fn undo(&mut self, atoms: &mut Atoms) -> Option<&Entry> {
        let number = *self.undoable.last()?;
        self.append_inverse(number, atoms, true)
    }

    /// Makes the last undone edit again; `None` when there is nothing to redo.
    pub fn redo(&mut self, atoms: &mut Atoms) -> Option<&Entry> {
        let number = *self.redoable.last()?;
        self.append_inverse(number, atoms, false)
    }

    fn append_inverse(&mut self, number: u64, atoms: &mut Atoms, undo: bool) -> Option<&Entry> {
        let original = self.by_number(number)?;
        let changes: Vec<Change> = original.changes.iter().rev().map(Change::inverse).collect();
        let label = if undo {
            format!("Undo: {}", original.label)
        } else {
            original.label.trim_start_matches("Undo: ").to_owned()
        };
        let (kind, returns_to) = (original.kind, original.returns_to);
        apply_all(&changes, atoms).ok()?;
        self.append(Entry {
            label,
            kind,
            returns_to,
            undoes: undo.then_some(number),
            redoes: (!undo).then_some(number),
            changes,
            ..Entry::default()
        });
        self.entries.last()
    }

    /// Files an entry whose changes have been applied.
    pub(super) fn accept(&mut self, entry: Entry) {
        if entry.kind == EditKind::Checkpoint {
            // It changes nothing, so there is nothing to take back, and what was undone can still be redone.
        } else if let Some(number) = entry.undoes {
            self.undoable.retain(|&n| n != number);
            self.redoable.push(entry.number);
        } else if let Some(number) = entry.redoes {
            self.redoable.retain(|&n| n != number);
            self.undoable.push(entry.number);
        } else {
            self.undoable.push(entry.number);
            self.redoable.clear();
        }
        self.entries.push(entry);
    }

    fn by_number(&self, number: u64) -> Option<&Entry> {
        // Journals are in the order of their numbers, and undo asks for the last ones.
        self.entries.iter().rfind(|entry| entry.number == number)
    }

    fn next_number(&self) -> u64 {
        let last = self.entries.last().or(self.settled.last());
        last.map_or(1, |entry| entry.number + 1)
    }
}

fn now_unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AtomId;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn model(n: usize) -> Atoms {
        let positions = (0..n).map(|i| [i as f64, 0.0, 0.0]).collect();
        let mut atoms = Atoms::from_positions(positions, "Zr");
        atoms.set_column("intensity", "", (0..n).map(|i| i as f64).collect());
        atoms
    }

    #[test]
    fn undo_and_redo_restore_the_very_same_atoms() {
        let mut atoms = model(5);
        let before = atoms.clone();
        let mut edits = Edits::default();
        let gone = AtomSnapshot::of(&atoms, 2);
        edits
            .apply(
                &mut atoms,
                vec![Change::Remove(gone)],
                EditKind::Remove,
                "Remove",
                "weak",
                None,
            )
            .unwrap();
        let after = atoms.clone();
        assert_eq!(after.len(), 4);
        edits.undo(&mut atoms).unwrap();
        assert_eq!(atoms, before);
        edits.redo(&mut atoms).unwrap();
        assert_eq!(atoms, after);
        assert!(edits.undo(&mut atoms).is_some() && edits.undo(&mut atoms).is_none());
        assert_eq!(edits.entries().len(), 4);
    }

    #[test]
    fn a_transaction_that_does_not_fit_changes_nothing() {
        let mut atoms = model(3);
        let before = atoms.clone();
        let known = AtomSnapshot::of(&atoms, 0);
        let stranger = AtomSnapshot {
            id: AtomId(77),
            ..known.clone()
        };
        let mut edits = Edits::default();
        let changes = vec![Change::Remove(known), Change::Remove(stranger)];
        let result = edits.apply(&mut atoms, changes, EditKind::Remove, "Remove", "", None);
        assert_eq!(result.unwrap_err(), EditConflict::Missing { id: 77 });
        assert_eq!(atoms, before);
        assert!(edits.entries().is_empty());
    }

    #[test]
    fn counts_are_net_of_undone_work() {
        let mut atoms = model(4);
        let mut edits = Edits::default();
        let id = atoms.ids[1];
        let step = Change::Move {
            id,
            from: [1.0, 0.0, 0.0],
            to: [1.5, 0.0, 0.0],
        };
        edits
            .apply(&mut atoms, vec![step], EditKind::Move, "Move", "", None)
            .unwrap();
        let new = AtomSnapshot {
            id: atoms.next_id(),
            position: [9.0; 3],
            species: 0,
            columns: BTreeMap::new(),
        };
        edits
            .apply(
                &mut atoms,
                vec![Change::Add(new)],
                EditKind::Add,
                "Add",
                "",
                None,
            )
            .unwrap();
        assert_eq!(
            edits.counts(),
            EditCounts {
                added: 1,
                moved: 1,
                ..Default::default()
            }
        );
        edits.undo(&mut atoms);
        edits.undo(&mut atoms);
        assert_eq!(edits.counts(), EditCounts::default());
        assert_eq!(
            EditCounts {
                removed: 112,
                ..Default::default()
            }
            .sentence(15392),
            "by hand: 112 removed (0.73 %)"
        );
    }

    proptest! {
        #[test]
        fn any_history_replays_to_the_same_atoms(steps in prop::collection::vec((0u8..5, 0usize..12), 1..40)) {
            let base = model(8);
            let mut atoms = base.clone();
            let mut edits = Edits::default();
            for (what, at) in steps {
                let index = at % atoms.len().max(1);
                match what {
                    0 => {
                        let id = atoms.next_id().max(AtomId(100 + edits.entries().len() as u64));
                        let new = AtomSnapshot { id, position: [at as f64; 3], species: 0, columns: BTreeMap::new() };
                        edits.apply(&mut atoms, vec![Change::Add(new)], EditKind::Add, "Add", "", None).unwrap();
                    }
                    1 if !atoms.is_empty() => {
                        let gone = AtomSnapshot::of(&atoms, index);
                        edits.apply(&mut atoms, vec![Change::Remove(gone)], EditKind::Remove, "Remove", "", None).unwrap();
                    }
                    2 if !atoms.is_empty() => {
                        let step = Change::Move { id: atoms.ids[index], from: atoms.positions[index], to: [at as f64, 1.0, 2.0] };
                        edits.apply(&mut atoms, vec![step], EditKind::Move, "Move", "", None).unwrap();
                    }
                    3 => { edits.undo(&mut atoms); }
                    _ => { edits.redo(&mut atoms); }
                }
            }
            let lines: Vec<String> = edits.entries().iter().map(|e| serde_json::to_string(e).unwrap()).collect();
            let read: Vec<Entry> = lines.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
            let mut replayed = base;
            let (journal, conflicts) = Edits::replay(Vec::new(), read, &mut replayed);
            prop_assert!(conflicts.is_empty());
            prop_assert_eq!(&replayed.ids, &atoms.ids);
            prop_assert_eq!(&replayed.positions, &atoms.positions);
            prop_assert_eq!(journal, edits);
        }
    }
}
