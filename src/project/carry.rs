//! Hand edits outlive the model they were made on: when the atoms are traced or refined again, the journal is made
//! again on the new ones.
//!
//! A new trace numbers its atoms anew, so an atom is known by its place: an old and a new atom are the same when each is
//! the other's nearest and they are closer than half the usual distance of neighbours. An edit that the new model has
//! already (a removed atom that was not found again, an added one that was) is no longer an edit. One that has no
//! counterpart is kept in a list for someone to look at; nothing is dropped silently.

use super::change::{AtomSnapshot, Change, Mark, apply_all, phase_by_hand};
use super::edits::{EditKind, Edits, Entry};
use crate::model::geometry::distance_squared;
use crate::model::{AtomId, Atoms};
use crate::numeric::neighbors::{CellList, nearest_distances};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A hand edit that could not be made again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unrepeated {
    /// What it was, in words.
    pub label: String,
    /// Where, Å.
    pub position: [f64; 3],
    /// Why it could not be made again.
    pub reason: String,
}

/// The journal on the new model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Carried {
    /// The journal, its entries rewritten for the new atoms.
    pub edits: Edits,
    /// The new atoms with the edits made.
    pub atoms: Atoms,
    /// Entries made again.
    pub repeated: usize,
    /// Changes that the new model holds already.
    pub held_already: usize,
    /// Changes that have no counterpart.
    pub unrepeated: Vec<Unrepeated>,
}

/// Makes `pending` (entries made on `old`, the model before them) again on `new`; `settled` are entries that `new`
/// holds already.
#[must_use]
pub fn carry_over(settled: Vec<Entry>, pending: &[Entry], old: &Atoms, new: &Atoms) -> Carried {
    let places = places(pending, old);
    let mut carrier = Carrier {
        reach: reach(new),
        counterparts: counterparts(&places, new),
        places,
        names: HashMap::new(),
        next_id: old.next_id().max(new.next_id()).max(next_after(pending)),
        written: BTreeMap::new(),
        dropped: BTreeSet::new(),
        held_already: 0,
        unrepeated: Vec::new(),
    };
    let mut atoms = new.clone();
    let (mut edits, _) = Edits::replay(settled, Vec::new(), &mut atoms);
    for entry in pending {
        let Some(changes) = carrier.rewrite(entry, &atoms) else {
            carrier.dropped.insert(entry.number);
            continue;
        };
        if let Err(conflict) = apply_all(&changes, &mut atoms) {
            let reason = conflict.to_string();
            carrier.give_up(entry, carrier.place_of(&entry.changes), reason);
            carrier.dropped.insert(entry.number);
            continue;
        }
        carrier.written.insert(entry.number, changes.clone());
        // The number an entry takes back may have stayed behind with the old model.
        let known = |number: &u64| carrier.written.contains_key(number);
        edits.accept(Entry {
            changes,
            undoes: entry.undoes.filter(known),
            redoes: entry.redoes.filter(known),
            ..entry.clone()
        });
    }
    Carried {
        edits,
        atoms,
        repeated: carrier.written.len(),
        held_already: carrier.held_already,
        unrepeated: carrier
            .unrepeated
            .into_iter()
            .map(|(_, lost)| lost)
            .collect(),
    }
}

impl Carried {
    /// What happened to the edits, for the log; `None` when there were none.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let parts: Vec<String> = [
            (self.repeated, "made again on the new atoms"),
            (self.held_already, "already in the new model"),
            (self.unrepeated.len(), "to look at (in the queue)"),
        ]
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
        (!parts.is_empty()).then(|| format!("hand edits: {}", parts.join(", ")))
    }
}

/// Where every atom that the entries or the old model know was first.
fn places(pending: &[Entry], old: &Atoms) -> BTreeMap<AtomId, [f64; 3]> {
    let mut places: BTreeMap<AtomId, [f64; 3]> = old
        .ids
        .iter()
        .copied()
        .zip(old.positions.iter().copied())
        .collect();
    for change in pending.iter().flat_map(|entry| &entry.changes) {
        let (id, position) = match change {
            Change::Add(atom) | Change::Remove(atom) => (atom.id, atom.position),
            Change::Move { id, from, .. } => (*id, *from),
            Change::Species { .. }
            | Change::Mark { .. }
            | Change::Phase { .. }
            | Change::Values { .. } => continue,
        };
        places.entry(id).or_insert(position);
    }
    places
}

fn next_after(pending: &[Entry]) -> AtomId {
    let ids = pending.iter().flat_map(|entry| &entry.changes);
    AtomId(ids.map(|change| change.id().0 + 1).max().unwrap_or(0))
}

/// Half the usual distance of neighbours, Å: nearer than this, two atoms are one.
fn reach(atoms: &Atoms) -> f64 {
    let mut nearest = nearest_distances(&atoms.positions);
    nearest.retain(|d| d.is_finite());
    if nearest.is_empty() {
        return 0.0;
    }
    let middle = nearest.len() / 2;
    let (_, median, _) = nearest.select_nth_unstable_by(middle, f64::total_cmp);
    *median / 2.0
}

/// Old atom → new atom, where each is the other's nearest within reach.
fn counterparts(places: &BTreeMap<AtomId, [f64; 3]>, new: &Atoms) -> HashMap<AtomId, AtomId> {
    let reach = reach(new);
    if reach <= 0.0 {
        return HashMap::new();
    }
    let (old_ids, old_places): (Vec<AtomId>, Vec<[f64; 3]>) = places.iter().unzip();
    let old_cells = CellList::new(&old_places, reach);
    let new_cells = CellList::new(&new.positions, reach);
    let nearest = |cells: &CellList, at: [f64; 3]| {
        let mut best: Option<(f64, usize)> = None;
        cells.for_each_within(at, reach, |index, d2| {
            if best.is_none_or(|found| (d2, index) < found) {
                best = Some((d2, index));
            }
        });
        best.map(|(_, index)| index)
    };
    old_places
        .iter()
        .enumerate()
        .filter_map(|(at, &place)| {
            let found = nearest(&new_cells, place)?;
            let back = nearest(&old_cells, new.positions[found])?;
            (back == at).then(|| (old_ids[at], new.ids[found]))
        })
        .collect()
}

struct Carrier {
    reach: f64,
    places: BTreeMap<AtomId, [f64; 3]>,
    counterparts: HashMap<AtomId, AtomId>,
    /// New names of atoms added by hand.
    names: HashMap<AtomId, AtomId>,
    next_id: AtomId,
    /// Entries made again, by number.
    written: BTreeMap<u64, Vec<Change>>,
    dropped: BTreeSet<u64>,
    held_already: usize,
    /// With the number of the entry, which may be taken back later.
    unrepeated: Vec<(u64, Unrepeated)>,
}

impl Carrier {
    /// The entry's changes on the new atoms; `None` when nothing of it is left to do.
    fn rewrite(&mut self, entry: &Entry, atoms: &Atoms) -> Option<Vec<Change>> {
        if let Some(number) = entry.undoes.or(entry.redoes) {
            if let Some(changes) = self.written.get(&number) {
                return Some(changes.iter().rev().map(Change::inverse).collect());
            }
            if self.dropped.contains(&number) {
                // What was taken back needs nobody's eyes.
                self.unrepeated.retain(|(of, _)| *of != number);
                return None;
            }
        }
        let changes: Vec<Change> = entry
            .changes
            .iter()
            .filter_map(|change| self.rewrite_change(entry, change, atoms))
            .collect();
        (!changes.is_empty() || entry.kind == EditKind::Checkpoint).then_some(changes)
    }

    fn rewrite_change(&mut self, entry: &Entry, change: &Change, atoms: &Atoms) -> Option<Change> {
        let old = change.id();
        let id = self
            .names
            .get(&old)
            .or(self.counterparts.get(&old))
            .copied();
        let index = id.and_then(|id| atoms.index_of(id));
        match (change, index) {
            (Change::Add(atom), None) => self.add(entry, atom, atoms),
            // The new model found it by itself.
            (Change::Add(_), Some(_)) => {
                self.held_already += 1;
                None
            }
            (Change::Remove(_), Some(index)) => {
                Some(Change::Remove(AtomSnapshot::of(atoms, index)))
            }
            // It did not come back.
            (Change::Remove(_), None) => {
                self.held_already += 1;
                None
            }
            (Change::Move { to, .. }, Some(index)) => Some(Change::Move {
                id: atoms.ids[index],
                from: atoms.positions[index],
                to: *to,
            }),
            (Change::Species { to, .. }, Some(index))
                if usize::from(*to) < atoms.species_names.len() =>
            {
                Some(Change::Species {
                    id: atoms.ids[index],
                    from: atoms.species[index],
                    to: *to,
                })
            }
            (Change::Species { .. }, Some(index)) => {
                let reason = "the new model does not have that species".to_owned();
                self.give_up(entry, atoms.positions[index], reason);
                None
            }
            (Change::Mark { mark, to, .. }, Some(index)) => Some(Change::Mark {
                id: atoms.ids[index],
                mark: *mark,
                from: Mark::is_on(*mark, atoms, index),
                to: *to,
            }),
            (Change::Phase { to, .. }, Some(index)) => Some(Change::Phase {
                id: atoms.ids[index],
                from: phase_by_hand(atoms, index),
                to: *to,
            }),
            // A stroke of the brush covers many atoms; one that is gone has no phase to look at.
            (Change::Phase { .. }, None) => None,
            // A new model measures its atoms itself.
            (Change::Values { .. }, _) => None,
            (Change::Move { .. } | Change::Species { .. } | Change::Mark { .. }, None) => {
                let place = self.place_of(std::slice::from_ref(change));
                self.give_up(entry, place, "the new model has no atom here".to_owned());
                None
            }
        }
    }

    fn add(&mut self, entry: &Entry, atom: &AtomSnapshot, atoms: &Atoms) -> Option<Change> {
        let limit = self.reach * self.reach;
        let near = |at: &[f64; 3]| distance_squared(*at, atom.position) < limit;
        if atoms.positions.iter().any(near) {
            let reason = "the new model has another atom too near".to_owned();
            self.give_up(entry, atom.position, reason);
            return None;
        }
        // A removed atom that is brought back is the new model's own.
        let own = self.counterparts.get(&atom.id).copied();
        let id = *self.names.entry(atom.id).or_insert_with(|| {
            own.unwrap_or_else(|| {
                let id = self.next_id;
                self.next_id = AtomId(id.0 + 1);
                id
            })
        });
        let species = if usize::from(atom.species) < atoms.species_names.len() {
            atom.species
        } else {
            0
        };
        Some(Change::Add(AtomSnapshot {
            id,
            species,
            ..atom.clone()
        }))
    }

    fn place_of(&self, changes: &[Change]) -> [f64; 3] {
        match changes.first() {
            Some(Change::Move { to, .. }) => *to,
            Some(Change::Add(atom) | Change::Remove(atom)) => atom.position,
            Some(
                Change::Species { id, .. }
                | Change::Mark { id, .. }
                | Change::Phase { id, .. }
                | Change::Values { id, .. },
            ) => self.places.get(id).copied().unwrap_or_default(),
            None => [0.0; 3],
        }
    }

    fn give_up(&mut self, entry: &Entry, position: [f64; 3], reason: String) {
        let label = entry.label.clone();
        let lost = Unrepeated {
            label,
            position,
            reason,
        };
        self.unrepeated.push((entry.number, lost));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Atoms 3 Å apart on a line, numbered from `first_id`, displaced by `shift` Å.
    fn line(n: usize, first_id: u64, shift: f64) -> Atoms {
        let positions = (0..n).map(|i| [3.0 * i as f64 + shift, 0.0, 0.0]).collect();
        let mut atoms = Atoms::from_positions(positions, "Zr");
        atoms.ids = (first_id..first_id + n as u64).map(AtomId).collect();
        atoms
    }

    fn added(id: u64, position: [f64; 3]) -> Change {
        Change::Add(AtomSnapshot {
            id: AtomId(id),
            position,
            species: 0,
            columns: BTreeMap::new(),
        })
    }

    fn edited(base: &Atoms, changes: Vec<Vec<Change>>) -> (Edits, Atoms) {
        let (mut edits, mut atoms) = (Edits::default(), base.clone());
        for list in changes {
            edits
                .apply(&mut atoms, list, EditKind::Other, "Edit", "", None)
                .unwrap();
        }
        (edits, atoms)
    }

    #[test]
    fn edits_find_their_atoms_under_new_numbers() {
        let old = line(6, 0, 0.0);
        let removed = Change::Remove(AtomSnapshot::of(&old, 2));
        let moved = Change::Move {
            id: AtomId(4),
            from: old.positions[4],
            to: [12.0, 0.5, 0.0],
        };
        let (edits, before) = edited(
            &old,
            vec![vec![removed], vec![added(6, [0.0, 4.0, 0.0])], vec![moved]],
        );
        let new = line(6, 100, 0.2);
        let carried = carry_over(Vec::new(), edits.entries(), &old, &new);
        assert!(carried.unrepeated.is_empty(), "{:?}", carried.unrepeated);
        assert_eq!((carried.repeated, carried.held_already), (3, 0));
        assert_eq!(carried.atoms.len(), before.len());
        assert_eq!(carried.edits.counts(), edits.counts());
        assert!(carried.atoms.index_of(AtomId(102)).is_none());
        let index = carried.atoms.index_of(AtomId(104)).unwrap();
        assert_eq!(carried.atoms.positions[index], [12.0, 0.5, 0.0]);
        // Undo walks back to the new trace itself.
        let (mut journal, mut atoms) = (carried.edits, carried.atoms);
        while journal.undo(&mut atoms).is_some() {}
        assert_eq!(atoms, new);
    }

    #[test]
    fn what_the_new_model_holds_is_no_longer_an_edit() {
        let old = line(5, 0, 0.0);
        let removed = Change::Remove(AtomSnapshot::of(&old, 4));
        let (edits, _) = edited(&old, vec![vec![removed], vec![added(9, [0.0, 3.0, 0.0])]]);
        let mut new = line(4, 0, 0.1);
        new = {
            let mut positions = new.positions.clone();
            positions.push([0.1, 3.1, 0.0]);
            Atoms::from_positions(positions, "Zr")
        };
        let carried = carry_over(Vec::new(), edits.entries(), &old, &new);
        assert_eq!((carried.repeated, carried.held_already), (0, 2));
        assert_eq!(carried.atoms, new);
        assert!(carried.edits.entries().is_empty());
    }

    #[test]
    fn what_has_no_counterpart_is_listed_unless_it_was_taken_back() {
        let old = line(5, 0, 0.0);
        let step = |id: u64, from: [f64; 3]| Change::Move {
            id: AtomId(id),
            from,
            to: [from[0], 0.4, 0.0],
        };
        let (mut edits, mut atoms) = edited(
            &old,
            vec![
                vec![step(4, old.positions[4])],
                vec![step(3, old.positions[3])],
            ],
        );
        let new = line(3, 0, 0.0);
        let carried = carry_over(Vec::new(), edits.entries(), &old, &new);
        assert_eq!(carried.unrepeated.len(), 2);
        assert_eq!(carried.unrepeated[0].position, [12.0, 0.4, 0.0]);
        edits.undo(&mut atoms).unwrap();
        let carried = carry_over(Vec::new(), edits.entries(), &old, &new);
        assert_eq!(carried.unrepeated.len(), 1);
        assert_eq!(carried.edits.counts().total(), 0);
    }

    #[test]
    fn a_refined_model_keeps_the_count_of_what_was_done_by_hand() {
        let old = line(5, 0, 0.0);
        let removed = Change::Remove(AtomSnapshot::of(&old, 4));
        let (mut edits, mut atoms) = edited(&old, vec![vec![removed]]);
        // Refined: the same names, moved a little; meanwhile another atom was removed.
        let mut refined = atoms.clone();
        for place in &mut refined.positions {
            place[1] += 0.05;
        }
        let other = Change::Remove(AtomSnapshot::of(&atoms, 0));
        edits
            .apply(&mut atoms, vec![other], EditKind::Other, "Edit", "", None)
            .unwrap();
        let (held, later) = edits.entries().split_at(1);
        let carried = carry_over(held.to_vec(), later, &old, &refined);
        assert_eq!(carried.edits.counts().removed, 2);
        assert_eq!(carried.atoms.len(), 3);
        assert_eq!(carried.edits.settled().len(), 1);
        assert_eq!(carried.edits.entries()[0].number, 2);
    }
}
