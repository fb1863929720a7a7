//! What was done by hand, net of what was undone: the numbers a referee asks for, by kind of work and by where it was
//! done.

use super::change::{AtomSnapshot, Change};
use super::edits::{EditKind, Edits, Entry};
use super::workspace::Workspace;
use crate::analyze::phases::Phase;
use crate::model::{AtomId, Atoms};
use crate::numeric::neighbors::CellList;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Pairs of traced atoms that someone made one of.
    #[serde(default)]
    pub merged: usize,
    /// Traced atoms that someone made two of.
    #[serde(default)]
    pub split: usize,
    /// Traced atoms that someone had refined against the tilts and did not move otherwise.
    #[serde(default)]
    pub refined: usize,
    /// Atoms whose phase someone set: the analysis takes it, the model is as it was traced.
    #[serde(default)]
    pub phases: usize,
}

impl EditCounts {
    /// Atoms touched by hand; phases touch none.
    #[must_use]
    pub fn total(self) -> usize {
        self.added
            + self.removed
            + self.moved
            + self.relabelled
            + self.merged
            + self.split
            + self.refined
    }

    fn of(&mut self, what: Handwork) -> &mut usize {
        match what {
            Handwork::Added => &mut self.added,
            Handwork::Removed => &mut self.removed,
            Handwork::Moved => &mut self.moved,
            Handwork::Relabelled => &mut self.relabelled,
            Handwork::Merged => &mut self.merged,
            Handwork::Split => &mut self.split,
            Handwork::Refined => &mut self.refined,
        }
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
            (self.merged, "merged"),
            (self.split, "split"),
            (self.refined, "refined"),
            (self.phases, "given a phase"),
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

impl Edits {
    /// The entries that still stand: not undone, and not left behind by a return to a checkpoint.
    #[must_use]
    pub fn standing(&self) -> Vec<&Entry> {
        let mut standing: Vec<&Entry> = Vec::new();
        // What stood before each return, for when it is undone.
        let mut before: BTreeMap<u64, Vec<&Entry>> = BTreeMap::new();
        for entry in self.history() {
            match (entry.undoes, entry.returns_to) {
                (Some(number), Some(_)) => {
                    standing = before.get(&number).cloned().unwrap_or(standing);
                }
                (Some(number), None) => standing.retain(|e| e.number != number),
                (None, Some(checkpoint)) => {
                    before.insert(entry.number, standing.clone());
                    standing.retain(|e| e.number <= checkpoint);
                }
                (None, None) if entry.kind == EditKind::Checkpoint => {}
                (None, None) => standing.push(entry),
            }
        }
        standing
    }

    /// What was done to which atom, net of what was undone: one line per atom that differs from the traced model.
    #[must_use]
    pub fn touched(&self) -> BTreeMap<AtomId, Touched> {
        let mut touched = self.net();
        let standing = self.standing();
        // Who moved each atom: only refinement, or also a hand.
        let mut by_hand: BTreeMap<AtomId, bool> = BTreeMap::new();
        for entry in &standing {
            for change in &entry.changes {
                if let Change::Move { id, .. } = change {
                    *by_hand.entry(*id).or_insert(false) |= entry.kind != EditKind::Refine;
                }
            }
        }
        for (id, found) in &mut touched {
            if found.what == Handwork::Moved && by_hand.get(id) == Some(&false) {
                found.what = Handwork::Refined;
            }
        }
        for entry in standing {
            let kind = match entry.kind {
                EditKind::Merge => Handwork::Merged,
                EditKind::Split => Handwork::Split,
                _ => continue,
            };
            // Of the atoms of one such edit the one that came or went counts; the other only made room.
            let mut main = None;
            for change in &entry.changes {
                match change {
                    Change::Add(atom) | Change::Remove(atom) => main = Some(atom.id),
                    Change::Move { id, .. }
                        if touched.get(id).is_some_and(|t| t.what == Handwork::Moved) =>
                    {
                        touched.remove(id);
                    }
                    _ => {}
                }
            }
            if let Some(found) = main.and_then(|id| touched.get_mut(&id)) {
                found.what = kind;
            }
        }
        touched
    }

    /// As [`Self::touched`], by the changes alone.
    fn net(&self) -> BTreeMap<AtomId, Touched> {
        let (mut added, mut removed) = (BTreeMap::new(), BTreeMap::new());
        let mut places: BTreeMap<AtomId, ([f64; 3], [f64; 3])> = BTreeMap::new();
        let mut species: BTreeMap<AtomId, (u16, u16)> = BTreeMap::new();
        for change in self.history().flat_map(|entry| &entry.changes) {
            match change {
                Change::Add(atom) => {
                    match removed.remove(&atom.id) {
                        None => {
                            added.insert(atom.id, atom.position);
                        }
                        // Brought back, though not to the very place.
                        Some(was) if was != atom.position => {
                            places.entry(atom.id).or_insert((was, was)).1 = atom.position;
                        }
                        Some(_) => {}
                    }
                }
                Change::Remove(atom) => {
                    if added.remove(&atom.id).is_none() {
                        removed.insert(atom.id, atom.position);
                    }
                }
                Change::Move { id, from, to } => {
                    places.entry(*id).or_insert((*from, *to)).1 = *to;
                }
                Change::Species { id, from, to } => {
                    species.entry(*id).or_insert((*from, *to)).1 = *to;
                }
                Change::Mark { .. } | Change::Phase { .. } | Change::Values { .. } => {}
            }
        }
        let mut touched: BTreeMap<AtomId, Touched> = BTreeMap::new();
        let mut note = |id: AtomId, what: Handwork, position: Option<[f64; 3]>| {
            touched.entry(id).or_insert(Touched { what, position });
        };
        for (id, place) in removed {
            note(id, Handwork::Removed, Some(place));
        }
        for (id, place) in added {
            note(id, Handwork::Added, Some(place));
        }
        for (id, (from, to)) in &places {
            if from != to {
                note(*id, Handwork::Moved, Some(*to));
            }
        }
        for (id, (from, to)) in species {
            if from != to {
                let place = places.get(&id).map(|(_, to)| *to);
                note(id, Handwork::Relabelled, place);
            }
        }
        touched
    }

    /// How much was done by hand, net of what was undone.
    #[must_use]
    pub fn counts(&self) -> EditCounts {
        let mut counts = EditCounts::default();
        for touched in self.touched().values() {
            *counts.of(touched.what) += 1;
        }
        counts.phases = self.phases().len();
        counts
    }

    /// The phases set by hand, net of what was undone and of atoms that were removed.
    #[must_use]
    pub fn phases(&self) -> BTreeMap<AtomId, Phase> {
        let mut set = BTreeMap::new();
        let mut gone: BTreeMap<AtomId, Phase> = BTreeMap::new();
        for change in self.history().flat_map(|entry| &entry.changes) {
            match change {
                Change::Phase { id, to, .. } => {
                    match to {
                        Some(to) => set.insert(*id, *to),
                        None => set.remove(id),
                    };
                }
                Change::Remove(atom) => {
                    if let Some(phase) = set.remove(&atom.id) {
                        gone.insert(atom.id, phase);
                    }
                }
                Change::Add(atom) => {
                    if let Some(phase) = gone.remove(&atom.id) {
                        set.insert(atom.id, phase);
                    }
                }
                _ => {}
            }
        }
        set
    }

    /// The removed atoms as they were: shown where they stood, and to be brought back.
    #[must_use]
    pub fn tombstones(&self) -> Vec<&AtomSnapshot> {
        let mut gone: BTreeMap<AtomId, &AtomSnapshot> = BTreeMap::new();
        for change in self.entries().iter().flat_map(|entry| &entry.changes) {
            match change {
                Change::Remove(atom) => {
                    gone.insert(atom.id, atom);
                }
                Change::Add(atom) => {
                    gone.remove(&atom.id);
                }
                _ => {}
            }
        }
        // What someone added and took away again was never found by tracing.
        let touched = self.net();
        gone.into_iter()
            .filter(|(id, _)| touched.contains_key(id))
            .map(|(_, atom)| atom)
            .collect()
    }
}

/// What was done to an atom, all in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handwork {
    /// It is there only because someone added it.
    Added,
    /// Someone removed it.
    Removed,
    /// Someone moved it.
    Moved,
    /// Someone changed its species.
    Relabelled,
    /// It went into another atom.
    Merged,
    /// It came out of another atom.
    Split,
    /// It was refined against the tilts at someone's word, and not moved otherwise.
    Refined,
}

impl Handwork {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Moved => "moved",
            Self::Relabelled => "relabelled",
            Self::Merged => "merged",
            Self::Split => "split",
            Self::Refined => "refined",
        }
    }
}

/// One atom that was changed by hand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Touched {
    /// What was done, all in all.
    pub what: Handwork,
    /// Where it is, or was last, Å; an atom that only changed species stands where the model has it.
    pub position: Option<[f64; 3]>,
}

/// Hand edits within one class of places.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Share {
    /// What the places have in common.
    pub class: String,
    /// Atoms of the model there.
    pub atoms: usize,
    /// Atoms touched there, by what was done.
    pub touched: BTreeMap<String, usize>,
}

impl Share {
    /// Atoms touched there.
    #[must_use]
    pub fn total(&self) -> usize {
        self.touched.values().sum()
    }

    /// In percent of the atoms there.
    #[must_use]
    pub fn percent(&self) -> f64 {
        100.0 * self.total() as f64 / self.atoms.max(1) as f64
    }
}

/// Where the hand edits are.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Breakdown {
    /// By phase, where phases are known.
    pub phase: Vec<Share>,
    /// By depth below the surface.
    pub depth: Vec<Share>,
    /// By distance to the interface of the core.
    pub interface: Vec<Share>,
    /// By the reason that was given.
    pub reasons: BTreeMap<String, usize>,
}

/// Where the hand edits of a document are, by what the last analysis says of the places. Classes that the analysis does
/// not know are empty.
#[must_use]
pub fn breakdown(workspace: &Workspace) -> Breakdown {
    let touched = workspace.edits.touched();
    let mut reasons = BTreeMap::new();
    for entry in workspace.edits.standing() {
        if !entry.reason.is_empty() {
            *reasons.entry(entry.reason.clone()).or_insert(0) += 1;
        }
    }
    let mut found = Breakdown {
        reasons,
        ..Breakdown::default()
    };
    let Some(analyzed) = &workspace.analyzed else {
        return found;
    };
    let model = workspace.atoms.as_deref();
    let places: Vec<(Handwork, [f64; 3])> = touched
        .iter()
        .filter_map(|(id, touched)| {
            let now = || model.and_then(|atoms| Some(atoms.positions[atoms.index_of(*id)?]));
            Some((touched.what, touched.position.or_else(now)?))
        })
        .collect();
    let atoms = &analyzed.atoms;
    found.phase = by_class(atoms, "phase", &places, phase_name);
    found.depth = by_class(atoms, "surface_distance", &places, |v| {
        distance_class(v.abs())
    });
    found.interface = by_class(atoms, "core_distance", &places, |v| distance_class(v.abs()));
    found
}

fn phase_name(value: f64) -> (i64, String) {
    let name = match value as i64 {
        0 => "metal",
        1 => "crystalline oxide",
        2 => "amorphous oxide",
        3 => "interface",
        _ => "other",
    };
    (value as i64, name.to_owned())
}

/// Bins of 5 Å up to 20 Å: the width over which a referee fears for an interface is 10 Å.
fn distance_class(value: f64) -> (i64, String) {
    let bin = (value / 5.0).floor().min(4.0) as i64;
    let name = if bin >= 4 {
        "beyond 20 Å".to_owned()
    } else {
        format!("{} to {} Å", 5 * bin, 5 * bin + 5)
    };
    (bin, name)
}

/// Atoms and touched places by the class of a column's value; a place has the class of the nearest atom within 5 Å.
fn by_class(
    atoms: &Atoms,
    column: &str,
    places: &[(Handwork, [f64; 3])],
    class_of: impl Fn(f64) -> (i64, String),
) -> Vec<Share> {
    const REACH: f64 = 5.0;
    let Some(values) = atoms.column(column) else {
        return Vec::new();
    };
    let mut shares: BTreeMap<i64, Share> = BTreeMap::new();
    let share = |shares: &mut BTreeMap<i64, Share>, value: f64| {
        let (key, class) = class_of(value);
        shares.entry(key).or_default().class = class;
        key
    };
    for &value in values.iter().filter(|v| v.is_finite()) {
        let key = share(&mut shares, value);
        shares.entry(key).or_default().atoms += 1;
    }
    let cells = CellList::new(&atoms.positions, REACH);
    for (what, place) in places {
        let mut nearest: Option<(f64, usize)> = None;
        cells.for_each_within(*place, REACH, |index, squared| {
            if values[index].is_finite() && nearest.is_none_or(|best| (squared, index) < best) {
                nearest = Some((squared, index));
            }
        });
        if let Some((_, index)) = nearest {
            let key = share(&mut shares, values[index]);
            let touched = &mut shares.entry(key).or_default().touched;
            *touched.entry(what.name().to_owned()).or_insert(0) += 1;
        }
    }
    shares.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::Analyzed;
    use crate::project::Mark;
    use std::sync::Arc;

    /// Forty atoms 3 Å apart on a line: the first twenty metal, the others crystalline oxide; the surface at its end.
    fn document() -> Workspace {
        let positions: Vec<[f64; 3]> = (0..40).map(|i| [3.0 * f64::from(i), 0.0, 0.0]).collect();
        let atoms = Atoms::from_positions(positions, "Zr");
        let mut analyzed = atoms.clone();
        let phase = |i: u32| f64::from(u8::from(i >= 20));
        analyzed.set_column("phase", "", (0..40).map(phase).collect());
        let depth = |i: u32| 117.0 - 3.0 * f64::from(i);
        analyzed.set_column("surface_distance", "Å", (0..40).map(depth).collect());
        Workspace {
            base_atoms: Some(Arc::new(atoms.clone())),
            atoms: Some(Arc::new(atoms)),
            analyzed: Some(Arc::new(Analyzed {
                atoms: analyzed,
                ..Analyzed::default()
            })),
            ..Workspace::default()
        }
    }

    fn edit(workspace: &mut Workspace, kind: EditKind, changes: Vec<Change>, reason: &str) {
        let atoms = Arc::make_mut(workspace.atoms.as_mut().expect("a model"));
        let made = (workspace.edits).apply(atoms, changes, kind, "Edit", reason, None);
        made.expect("an edit that fits");
    }

    fn snapshot(workspace: &Workspace, id: u64) -> AtomSnapshot {
        let atoms = workspace.atoms.as_ref().expect("a model");
        AtomSnapshot::of(atoms, atoms.index_of(AtomId(id)).expect("the atom"))
    }

    #[test]
    fn edits_are_counted_where_they_were_made_and_why() {
        let mut workspace = document();
        let gone = snapshot(&workspace, 39);
        edit(
            &mut workspace,
            EditKind::Remove,
            vec![Change::Remove(gone)],
            "noise",
        );
        let mut new = snapshot(&workspace, 30);
        new.id = AtomId(100);
        new.position[1] = 2.0;
        edit(
            &mut workspace,
            EditKind::Add,
            vec![Change::Add(new)],
            "noise",
        );
        // Two metal atoms are made one: the other only made room.
        let gone = snapshot(&workspace, 4);
        let room = Change::Move {
            id: AtomId(5),
            from: [15.0, 0.0, 0.0],
            to: [14.0, 0.0, 0.0],
        };
        edit(
            &mut workspace,
            EditKind::Merge,
            vec![Change::Remove(gone), room],
            "",
        );
        let mark = Change::Mark {
            id: AtomId(7),
            mark: Mark::Flagged,
            from: false,
            to: true,
        };
        edit(&mut workspace, EditKind::Flag, vec![mark], "");
        let counts = workspace.edits.counts();
        let expected = EditCounts {
            added: 1,
            removed: 1,
            merged: 1,
            ..EditCounts::default()
        };
        assert_eq!(counts, expected);
        let found = breakdown(&workspace);
        let phases: Vec<(&str, usize, usize)> = found
            .phase
            .iter()
            .map(|share| (share.class.as_str(), share.atoms, share.total()))
            .collect();
        assert_eq!(phases, [("metal", 20, 1), ("crystalline oxide", 20, 2)]);
        assert!((found.phase[1].percent() - 10.0).abs() < 1e-12);
        assert_eq!(found.phase[0].touched["merged"], 1);
        // The removed atom stood at the surface, the added one 27 Å below.
        assert_eq!(
            (found.depth[0].class.as_str(), found.depth[0].total()),
            ("0 to 5 Å", 1)
        );
        assert_eq!(found.depth.last().map(Share::total), Some(2));
        assert!(found.interface.is_empty());
        assert_eq!(found.reasons["noise"], 2);
        // Undone, nothing is left of it.
        let atoms = Arc::make_mut(workspace.atoms.as_mut().expect("a model"));
        while workspace.edits.undo(atoms).is_some() {}
        assert_eq!(workspace.edits.counts(), EditCounts::default());
        assert!(workspace.edits.standing().is_empty());
    }
}
