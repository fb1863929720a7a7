//! One change to one atom and its inverse: what transactions of the journal are made of.

use crate::analyze::phases::{BY_HAND, Phase};
use crate::model::{AtomId, Atoms, Column};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// The atom is marked, or the mark is taken off.
    Mark {
        /// Which.
        id: AtomId,
        /// Which mark.
        mark: Mark,
        /// Whether it had the mark.
        from: bool,
        /// Whether it has it then.
        to: bool,
    },
    /// The atom's phase is set by hand, or left to the analysis again.
    Phase {
        /// Which.
        id: AtomId,
        /// What was set before.
        from: Option<Phase>,
        /// What is set then.
        to: Option<Phase>,
    },
    /// Per-atom quantities were measured anew.
    Values {
        /// Which.
        id: AtomId,
        /// The quantities before; those that had none are left out.
        from: BTreeMap<String, f64>,
        /// The quantities after.
        to: BTreeMap<String, f64>,
    },
}

/// What an atom can be marked as. Marks are columns of the model (1 where set), so they go where the model goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// No edit changes it until it is let go.
    Locked,
    /// Someone else should look at it.
    Flagged,
}

impl Mark {
    /// The column that holds it.
    #[must_use]
    pub fn column(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Flagged => "flagged",
        }
    }

    /// Whether the atom at `index` has it.
    #[must_use]
    pub fn is_on(self, atoms: &Atoms, index: usize) -> bool {
        atoms
            .column(self.column())
            .is_some_and(|values| values[index] > 0.5)
    }
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
            Self::Mark { id, mark, from, to } => Self::Mark {
                id: *id,
                mark: *mark,
                from: *to,
                to: *from,
            },
            Self::Phase { id, from, to } => Self::Phase {
                id: *id,
                from: *to,
                to: *from,
            },
            Self::Values { id, from, to } => Self::Values {
                id: *id,
                from: to.clone(),
                to: from.clone(),
            },
        }
    }

    /// The atom it is about.
    #[must_use]
    pub fn id(&self) -> AtomId {
        match self {
            Self::Add(atom) | Self::Remove(atom) => atom.id,
            Self::Move { id, .. }
            | Self::Species { id, .. }
            | Self::Mark { id, .. }
            | Self::Phase { id, .. }
            | Self::Values { id, .. } => *id,
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
            Self::Mark { id, mark, to, .. } => {
                let index = atoms.index_of(*id).ok_or_else(missing)?;
                set_value(atoms, index, mark.column(), f64::from(u8::from(*to)));
                Ok(())
            }
            Self::Phase { id, to, .. } => {
                let index = atoms.index_of(*id).ok_or_else(missing)?;
                set_value(atoms, index, BY_HAND, to.map_or(f64::NAN, Phase::value));
                Ok(())
            }
            Self::Values { id, from, to } => {
                let index = atoms.index_of(*id).ok_or_else(missing)?;
                for name in from.keys().chain(to.keys()) {
                    set_value(
                        atoms,
                        index,
                        name,
                        to.get(name).copied().unwrap_or(f64::NAN),
                    );
                }
                Ok(())
            }
        }
    }
}

/// What was set by hand as the phase of the atom at `index`.
#[must_use]
pub fn phase_by_hand(atoms: &Atoms, index: usize) -> Option<Phase> {
    Phase::of_value(atoms.column(BY_HAND)?[index])
}

/// What a column holds for an atom that it says nothing of.
fn absent(name: &str) -> f64 {
    let is_mark = [Mark::Locked, Mark::Flagged]
        .iter()
        .any(|mark| mark.column() == name);
    if is_mark { 0.0 } else { f64::NAN }
}

/// Sets one value of a column. A column comes with its first value and goes with its last, so that undo leaves the very
/// model that was.
fn set_value(atoms: &mut Atoms, index: usize, name: &str, value: f64) {
    let (count, absent) = (atoms.len(), absent(name));
    let says_nothing = |value: f64| value.is_nan() || value == absent;
    let column = atoms
        .columns
        .entry(name.to_owned())
        .or_insert_with(|| Column {
            unit: if name.ends_with("_A") { "Å" } else { "" }.to_owned(),
            values: vec![absent; count],
        });
    column.values[index] = value;
    if says_nothing(value) && column.values.iter().all(|&v| says_nothing(v)) {
        atoms.columns.remove(name);
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
        let value = atom.columns.get(name).copied().unwrap_or(absent(name));
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
