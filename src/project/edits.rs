//! Hand edits: transactions with an inverse, in an append-only journal.
//!
//! An edit names atoms by their lasting id, so the journal replays on the atoms it was made for after a restart or
//! a crash. Undo appends the inverse transaction: nothing that was done is ever erased.

use crate::model::{AtomId, Atoms};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything known of one atom, enough to put it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AtomSnapshot {
    /// Lasting name.
    pub id: AtomId,
    /// Å about the volume's centre.
    pub position: [f64; 3],
    /// Index into the model's species names.
    pub species: u16,
    /// Its per-atom quantities; absent ones are NaN in the model.
    pub columns: BTreeMap<String, f64>,
}

impl AtomSnapshot {
    /// The atom at `index` as it is now.
    #[must_use]
    pub fn of(atoms: &Atoms, index: usize) -> Self {
        let columns = atoms
            .columns
            .iter()
            // JSON has no NaN: an undefined value is an absent one.
            .filter(|(_, column)| column.values[index].is_finite())
            .map(|(name, column)| (name.clone(), column.values[index]))
            .collect();
        Self {
            id: atoms.ids[index],
            position: atoms.positions[index],
            species: atoms.species[index],
            columns,
        }
    }
}

/// One change to one atom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The atom appears.
    Add(AtomSnapshot),
    /// The atom goes; the snapshot stays as its tombstone.
    Remove(AtomSnapshot),
    /// The atom moves.
    Move {
        /// Which.
        id: AtomId,
        /// Å before.
        from: [f64; 3],
        /// Å after.
        to: [f64; 3],
    },
    /// The atom changes species.
    Species {
        /// Which.
        id: AtomId,
        /// Species index before.
        from: u16,
        /// Species index after.
        to: u16,
    },
}

impl Change {
    /// The change that takes this one back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        match self {
            Self::Add(atom) => Self::Remove(atom.clone()),
            Self::Remove(atom) => Self::Add(atom.clone()),
            Self::Move { id, from, to } => Self::Move {
                id: *id,
                from: *to,
                to: *from,
            },
            Self::Species { id, from, to } => Self::Species {
                id: *id,
                from: *to,
                to: *from,
            },
        }
    }

    /// The atom it is about.
    #[must_use]
    pub fn id(&self) -> AtomId {
        match self {
            Self::Add(atom) | Self::Remove(atom) => atom.id,
            Self::Move { id, .. } | Self::Species { id, .. } => *id,
        }
    }

    fn apply(&self, atoms: &mut Atoms) -> Result<(), EditConflict> {
        let missing = || EditConflict::Missing { id: self.id().0 };
        match self {
            Self::Add(atom) => insert(atoms, atom),
            Self::Remove(atom) => {
                let index = atoms.index_of(atom.id).ok_or_else(missing)?;
                remove(atoms, index);
                Ok(())
            }
            Self::Move { id, to, .. } => {
                let index = atoms.index_of(*id).ok_or_else(missing)?;
                atoms.positions[index] = *to;
                Ok(())
            }
            Self::Species { id, to, .. } => {
                let index = atoms.index_of(*id).ok_or_else(missing)?;
                atoms.species[index] = *to;
                Ok(())
            }
        }
    }
}

/// Atoms stay sorted by id, so that an undone removal restores the very same arrays.
fn insert(atoms: &mut Atoms, atom: &AtomSnapshot) -> Result<(), EditConflict> {
    if atoms.index_of(atom.id).is_some() {
        return Err(EditConflict::Present { id: atom.id.0 });
    }
    let index = atoms.ids.partition_point(|&id| id < atom.id);
    atoms.ids.insert(index, atom.id);
    atoms.positions.insert(index, atom.position);
    atoms.species.insert(index, atom.species);
    for (name, column) in &mut atoms.columns {
        let value = atom.columns.get(name).copied().unwrap_or(f64::NAN);
        column.values.insert(index, value);
    }
    Ok(())
}

fn remove(atoms: &mut Atoms, index: usize) {
    atoms.ids.remove(index);
    atoms.positions.remove(index);
    atoms.species.remove(index);
    for column in atoms.columns.values_mut() {
        column.values.remove(index);
    }
}

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

/// One transaction of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counted from 1.
    pub number: u64,
    /// Milliseconds since 1970 (UTC).
    pub unix_ms: u64,
    /// What was done, in words.
    pub label: String,
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

/// Why an edit does not fit the atoms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditConflict {
    /// The atom is not there.
    #[error("atom #{id} is not in the model")]
    Missing {
        /// Lasting id.
        id: u64,
    },
    /// The atom is there already.
    #[error("atom #{id} is in the model already")]
    Present {
        /// Lasting id.
        id: u64,
    },
}

/// How much was done by hand, net of undone work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EditCounts {
    /// Atoms that are there only because someone added them.
    pub added: usize,
    /// Traced atoms that someone removed.
    pub removed: usize,
    /// Traced atoms that someone moved.
    pub moved: usize,
    /// Traced atoms whose species someone changed.
    pub relabelled: usize,
}

impl EditCounts {
    /// Atoms touched by hand.
    #[must_use]
    pub fn total(self) -> usize {
        self.added + self.removed + self.moved + self.relabelled
    }

    /// `by hand: 112 removed (0.73 %), 4 added`, in percent of `traced` atoms.
    #[must_use]
    pub fn sentence(self, traced: usize) -> String {
        let percent = |n: usize| 100.0 * n as f64 / traced.max(1) as f64;
        let parts: Vec<String> = [
            (self.removed, "removed"),
            (self.added, "added"),
            (self.moved, "moved"),
            (self.relabelled, "relabelled"),
        ]
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, verb)| format!("{n} {verb} ({:.2} %)", percent(*n)))
        .collect();
        if parts.is_empty() {
            "by hand: nothing".to_owned()
        } else {
            format!("by hand: {}", parts.join(", "))
        }
    }
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
        label: &str,
        reason: &str,
        evidence: Option<Evidence>,
    ) -> Result<&Entry, EditConflict> {
        apply_all(&changes, atoms)?;
        let entry = Entry {
            number: self.next_number(),
            unix_ms: now_unix_ms(),
            label: label.to_owned(),
            reason: reason.to_owned(),
            evidence,
            undoes: None,
            redoes: None,
            changes,
        };
        self.accept(entry);
        Ok(self.entries.last().expect("an entry was just pushed"))
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
        apply_all(&changes, atoms).ok()?;
        let entry = Entry {
            number: self.next_number(),
            unix_ms: now_unix_ms(),
            label,
            reason: String::new(),
            evidence: None,
            undoes: undo.then_some(number),
            redoes: (!undo).then_some(number),
            changes,
        };
        self.accept(entry);
        self.entries.last()
    }

    /// Files an entry whose changes have been applied.
    pub(super) fn accept(&mut self, entry: Entry) {
        if let Some(number) = entry.undoes {
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

    /// How much was done by hand, net of what was undone.
    #[must_use]
    pub fn counts(&self) -> EditCounts {
        let (mut added, mut removed) = (BTreeSet::new(), BTreeSet::new());
        let mut first_position: BTreeMap<AtomId, ([f64; 3], [f64; 3])> = BTreeMap::new();
        let mut first_species: BTreeMap<AtomId, (u16, u16)> = BTreeMap::new();
        for change in self.history().flat_map(|entry| &entry.changes) {
            match change {
                Change::Add(atom) => {
                    if !removed.remove(&atom.id) {
                        added.insert(atom.id);
                    }
                }
                Change::Remove(atom) => {
                    if !added.remove(&atom.id) {
                        removed.insert(atom.id);
                    }
                }
                Change::Move { id, from, to } => {
                    first_position.entry(*id).or_insert((*from, *to)).1 = *to;
                }
                Change::Species { id, from, to } => {
                    first_species.entry(*id).or_insert((*from, *to)).1 = *to;
                }
            }
        }
        let traced_and_there = |id: &AtomId| !added.contains(id) && !removed.contains(id);
        EditCounts {
            moved: first_position
                .iter()
                .filter(|(id, (from, to))| from != to && traced_and_there(id))
                .count(),
            relabelled: first_species
                .iter()
                .filter(|(id, (from, to))| from != to && traced_and_there(id))
                .count(),
            added: added.len(),
            removed: removed.len(),
        }
    }
}

/// Applies changes in order, or none of them.
pub(super) fn apply_all(changes: &[Change], atoms: &mut Atoms) -> Result<(), EditConflict> {
    for (done, change) in changes.iter().enumerate() {
        if let Err(conflict) = change.apply(atoms) {
            for undone in changes[..done].iter().rev() {
                undone
                    .inverse()
                    .apply(atoms)
                    .expect("the inverse of a change just made fits");
            }
            return Err(conflict);
        }
    }
    Ok(())
}

fn now_unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        let result = edits.apply(&mut atoms, changes, "Remove", "", None);
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
            .apply(&mut atoms, vec![step], "Move", "", None)
            .unwrap();
        let new = AtomSnapshot {
            id: atoms.next_id(),
            position: [9.0; 3],
            species: 0,
            columns: BTreeMap::new(),
        };
        edits
            .apply(&mut atoms, vec![Change::Add(new)], "Add", "", None)
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
                        edits.apply(&mut atoms, vec![Change::Add(new)], "Add", "", None).unwrap();
                    }
                    1 if !atoms.is_empty() => {
                        let gone = AtomSnapshot::of(&atoms, index);
                        edits.apply(&mut atoms, vec![Change::Remove(gone)], "Remove", "", None).unwrap();
                    }
                    2 if !atoms.is_empty() => {
                        let step = Change::Move { id: atoms.ids[index], from: atoms.positions[index], to: [at as f64, 1.0, 2.0] };
                        edits.apply(&mut atoms, vec![step], "Move", "", None).unwrap();
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
