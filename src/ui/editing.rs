//! Hand edits on the model: each turns a wish into changes, applies them through the journal and gives the new
//! entry back. Nothing here draws; a maximum is fitted on a few voxels only, so an edit fits in a frame.

mod marks;

mod phases;

pub use marks::{checkpoint, locked, mark_selected, restore_near, return_to};
pub use phases::set_phase;

use super::state::{AppState, Ghost};
use crate::jobs::examine::RefinedPart;
use crate::model::geometry::{distance, distance_squared};
use crate::model::{AtomId, Atoms};
use crate::project::{AtomSnapshot, Change, EditKind, Entry, Evidence, Stage};
use crate::trace::{Candidate, TraceParams};
use marks::refuse_locked;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The entry that was written to the journal; `None` when there was nothing to change.
pub type Edited = Result<Option<Entry>, String>;

/// Why an analysis no longer stands after an edit.
const EDITED: &str = "the model was edited";

/// Share (0–1) of the atoms whose intensity is below `intensity`; zero when the model has no intensities.
#[must_use]
pub fn intensity_rank(atoms: &Atoms, intensity: f64) -> f64 {
    let Some(values) = atoms.column("intensity") else {
        return 0.0;
    };
    let known = values.iter().filter(|v| v.is_finite()).count();
    let weaker = values.iter().filter(|&&v| v < intensity).count();
    weaker as f64 / known.max(1) as f64
}

/// Index and distance (Å) of the atom nearest to a place, leaving one out.
#[must_use]
pub fn nearest_atom(
    atoms: &Atoms,
    place: [f64; 3],
    except: Option<AtomId>,
) -> Option<(usize, f64)> {
    atoms
        .positions
        .iter()
        .enumerate()
        .filter(|(index, _)| Some(atoms.ids[*index]) != except)
        .map(|(index, &position)| (index, distance_squared(position, place)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(index, squared)| (index, squared.sqrt()))
}

/// Fits the maximum nearest to a place and describes it as an atom that could be added.
///
/// # Errors
/// When there is no volume, or no maximum within the fit's box.
pub fn propose(state: &AppState, place: [f64; 3]) -> Result<Ghost, String> {
    let candidate = fit(state, place)?;
    let atoms = state.workspace.atoms.as_deref();
    Ok(Ghost {
        rank: atoms.map_or(0.0, |a| intensity_rank(a, candidate.intensity)),
        nearest: atoms.and_then(|a| Some(nearest_atom(a, candidate.position, None)?.1)),
        candidate,
    })
}

fn fit(state: &AppState, place: [f64; 3]) -> Result<Candidate, String> {
    let volume = state
        .workspace
        .volume
        .as_deref()
        .ok_or("no volume to fit a maximum in; reconstruct or open one first")?;
    let params = &state.workspace.project.parameters.trace;
    crate::trace::refit(volume, place, params).ok_or_else(|| {
        let [x, y, z] = place;
        format!(
            "no maximum of the density within {:.1} Å of ({x:.1}, {y:.1}, {z:.1}) Å",
            params.box_size
        )
    })
}

/// Adds the ghost to the model.
///
/// # Errors
/// When there is no ghost.
pub fn accept_ghost(state: &mut AppState) -> Edited {
    let ghost = state.view.ghost.take().ok_or("no atom is waiting")?;
    let found = &ghost.candidate;
    let atom = AtomSnapshot {
        id: fresh_id(state),
        position: found.position,
        species: 0,
        columns: columns_of(found),
    };
    let id = atom.id;
    let evidence = Evidence {
        density: Some(found.density),
        intensity_rank: Some(ghost.rank),
        nearest: ghost.nearest,
    };
    let entry = commit(
        state,
        vec![Change::Add(atom)],
        EditKind::Add,
        "Add atom",
        Some(evidence),
    )?;
    state.view.selection = [id].into();
    Ok(entry)
}

fn columns_of(found: &Candidate) -> BTreeMap<String, f64> {
    [
        ("intensity", found.intensity),
        ("density", found.density),
        ("sigma_A", found.sigma),
        ("misfit", found.misfit),
    ]
    .into_iter()
    .filter(|(_, value)| value.is_finite())
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// A name no atom has or ever had: a removed atom's name is its tombstone's.
fn fresh_id(state: &AppState) -> AtomId {
    let workspace = &state.workspace;
    let in_model = workspace.atoms.iter().map(|atoms| atoms.next_id());
    let in_base = workspace.base_atoms.iter().map(|atoms| atoms.next_id());
    let in_journal = workspace
        .edits
        .entries()
        .iter()
        .flat_map(|entry| &entry.changes)
        .map(|change| AtomId(change.id().0 + 1));
    in_model
        .chain(in_base)
        .chain(in_journal)
        .max()
        .unwrap_or(AtomId(0))
}

/// Removes the selected atoms.
///
/// # Errors
/// When nothing is selected.
pub fn remove_selected(state: &mut AppState) -> Edited {
    let (atoms, indices) = selected(state)?;
    let changes: Vec<Change> = indices
        .iter()
        .map(|&index| Change::Remove(AtomSnapshot::of(&atoms, index)))
        .collect();
    let evidence = match indices.as_slice() {
        [index] => Some(evidence_of(&atoms, *index)),
        _ => None,
    };
    let label = counted("Remove", changes.len());
    commit(state, changes, EditKind::Remove, &label, evidence)
}

fn evidence_of(atoms: &Atoms, index: usize) -> Evidence {
    let of = |name: &str| {
        atoms
            .column(name)
            .map(|values| values[index])
            .filter(|v| v.is_finite())
    };
    Evidence {
        density: of("density"),
        intensity_rank: of("intensity").map(|intensity| intensity_rank(atoms, intensity)),
        nearest: nearest_atom(atoms, atoms.positions[index], Some(atoms.ids[index])).map(|n| n.1),
    }
}

/// Moves one atom.
///
/// # Errors
/// When the atom is not in the model.
pub fn move_atom(state: &mut AppState, id: AtomId, to: [f64; 3]) -> Edited {
    let atoms = model(state)?;
    let index = atoms
        .index_of(id)
        .ok_or_else(|| format!("atom #{} is not in the model", id.0))?;
    let from = atoms.positions[index];
    moved(state, vec![(id, from, to)], EditKind::Move)
}

/// Shifts the selected atoms.
///
/// # Errors
/// When nothing is selected.
pub fn nudge_selected(state: &mut AppState, by: [f64; 3]) -> Edited {
    let (atoms, indices) = selected(state)?;
    let moves = indices
        .iter()
        .map(|&index| {
            let from = atoms.positions[index];
            (
                atoms.ids[index],
                from,
                std::array::from_fn(|axis| from[axis] + by[axis]),
            )
        })
        .collect();
    moved(state, moves, EditKind::Move)
}

/// Brings the selected atoms to their fitted maxima; those without one stay.
///
/// # Errors
/// When nothing is selected, or no selected atom has a maximum.
pub fn refit_selected(state: &mut AppState) -> Edited {
    /// More would not fit in a frame; a whole model is refined by its own stage.
    const MOST: usize = 200;
    let (atoms, indices) = selected(state)?;
    if indices.len() > MOST {
        return Err(format!(
            "{} atoms are selected; at most {MOST} are refitted by hand",
            indices.len()
        ));
    }
    let mut failed = None;
    let moves: Vec<_> = indices
        .iter()
        .filter_map(|&index| {
            let from = atoms.positions[index];
            fit(state, from)
                .map_err(|why| failed = Some(why))
                .ok()
                .map(|found| (atoms.ids[index], from, found.position))
        })
        .collect();
    match (moves.is_empty(), failed) {
        (true, Some(why)) => Err(why),
        _ => moved(state, moves, EditKind::Refit),
    }
}

fn moved(state: &mut AppState, moves: Vec<(AtomId, [f64; 3], [f64; 3])>, kind: EditKind) -> Edited {
    /// Below a thousandth of a picometre nothing has moved: an unchanged drag leaves no step.
    const STILL: f64 = 1e-5;
    let changes: Vec<Change> = moves
        .into_iter()
        .filter(|(_, from, to)| distance(*from, *to) > STILL)
        .map(|(id, from, to)| Change::Move { id, from, to })
        .collect();
    if changes.is_empty() {
        return Ok(None);
    }
    let verb = if kind == EditKind::Refit {
        "Refit"
    } else {
        "Move"
    };
    let label = counted(verb, changes.len());
    commit(state, changes, kind, &label, None)
}

/// Makes one atom of the two selected ones: the stronger stays, at the maximum fitted between them, or at their
/// mean weighted by intensity where there is none.
///
/// # Errors
/// When not exactly two atoms are selected.
pub fn merge_selected(state: &mut AppState) -> Edited {
    let (atoms, indices) = selected(state)?;
    let [a, b] = indices.as_slice() else {
        return Err(format!(
            "merging takes two selected atoms, {} are selected",
            indices.len()
        ));
    };
    let strength = |index: usize| {
        atoms
            .column("intensity")
            .map(|values| values[index])
            .filter(|v| v.is_finite() && *v > 0.0)
            .unwrap_or(1.0)
    };
    let (keep, drop) = if strength(*a) >= strength(*b) {
        (*a, *b)
    } else {
        (*b, *a)
    };
    let share = strength(keep) / (strength(keep) + strength(drop));
    let (from, other) = (atoms.positions[keep], atoms.positions[drop]);
    let mean: [f64; 3] =
        std::array::from_fn(|axis| share * from[axis] + (1.0 - share) * other[axis]);
    let to = fit(state, mean).map_or(mean, |found| found.position);
    let evidence = Evidence {
        nearest: Some(distance(from, other)),
        ..Evidence::default()
    };
    let id = atoms.ids[keep];
    let changes = vec![
        Change::Remove(AtomSnapshot::of(&atoms, drop)),
        Change::Move { id, from, to },
    ];
    let entry = commit(
        state,
        changes,
        EditKind::Merge,
        "Merge two atoms",
        Some(evidence),
    )?;
    state.view.selection = [id].into();
    Ok(entry)
}

/// Gives the selected atoms a species.
///
/// # Errors
/// When nothing is selected or the species does not exist.
pub fn relabel_selected(state: &mut AppState, species: u16) -> Edited {
    let (atoms, indices) = selected(state)?;
    let name = atoms
        .species_names
        .get(usize::from(species))
        .ok_or_else(|| format!("the model has no species number {species}"))?
        .clone();
    let changes: Vec<Change> = indices
        .iter()
        .filter(|&&index| atoms.species[index] != species)
        .map(|&index| Change::Species {
            id: atoms.ids[index],
            from: atoms.species[index],
            to: species,
        })
        .collect();
    if changes.is_empty() {
        return Ok(None);
    }
    let label = format!("{} as {name}", counted("Label", changes.len()));
    commit(state, changes, EditKind::Relabel, &label, None)
}

/// Takes the last edit back.
///
/// # Errors
/// Never; the signature is that of every edit.
pub fn undo(state: &mut AppState) -> Edited {
    step(state, true)
}

/// Makes the last undone edit again.
///
/// # Errors
/// Never; the signature is that of every edit.
pub fn redo(state: &mut AppState) -> Edited {
    step(state, false)
}

/// Adds an atom at a place as it is: where the residual of the tilts has its maximum, which the density need not have.
/// What the density says of a maximum near it goes with the atom.
///
/// # Errors
/// When another atom stands there already.
pub fn add_at(state: &mut AppState, place: [f64; 3]) -> Edited {
    /// Nearer to each other two atoms are one, Å: less than any bond.
    const ONE_ATOM: f64 = 0.7;
    /// A maximum of the density further away is another atom's, Å.
    const SAME_MAXIMUM: f64 = 0.6;
    let atoms = state.workspace.atoms.clone();
    let nearest = atoms.as_deref().and_then(|a| nearest_atom(a, place, None));
    if let (Some(atoms), Some((index, apart))) = (&atoms, nearest)
        && apart < ONE_ATOM
    {
        let id = atoms.ids[index].0;
        return Err(format!("atom #{id} stands {apart:.2} Å from there already"));
    }
    let found = fit(state, place)
        .ok()
        .filter(|found| distance(found.position, place) < SAME_MAXIMUM);
    let species = atoms.as_deref().map_or(0, main_species);
    let gone = marks::tombstone_near(state, place, ONE_ATOM);
    let (kind, label) = match gone {
        Some(_) => (EditKind::Restore, "Bring atom back"),
        None => (EditKind::Add, "Add atom"),
    };
    // Who was removed here and is asked for again is the same atom.
    let atom = match gone {
        Some(gone) => AtomSnapshot {
            position: place,
            ..gone
        },
        None => AtomSnapshot {
            id: fresh_id(state),
            position: place,
            species,
            columns: found.as_ref().map(columns_of).unwrap_or_default(),
        },
    };
    let id = atom.id;
    let volume = state.workspace.volume.as_ref();
    let evidence = Evidence {
        density: volume.map(|volume| f64::from(volume.density_at(place))),
        intensity_rank: found
            .as_ref()
            .zip(atoms.as_deref())
            .map(|(found, atoms)| intensity_rank(atoms, found.intensity)),
        nearest: nearest.map(|(_, apart)| apart),
    };
    let changes = vec![Change::Add(atom)];
    let entry = commit(state, changes, kind, label, Some(evidence))?;
    state.view.selection = [id].into();
    Ok(entry)
}

fn main_species(atoms: &Atoms) -> u16 {
    let mut counts = BTreeMap::new();
    for &kind in &atoms.species {
        *counts.entry(kind).or_insert(0usize) += 1;
    }
    counts
        .into_iter()
        .max_by_key(|&(kind, n)| (n, std::cmp::Reverse(kind)))
        .map_or(0, |(kind, _)| kind)
}

/// Makes two atoms of the selected one: apart by half the usual distance, along the direction in which the density about
/// it is widest. Both then want refining.
///
/// # Errors
/// When not exactly one atom is selected.
pub fn split_selected(state: &mut AppState) -> Edited {
    let (atoms, indices) = selected(state)?;
    let &[index] = indices.as_slice() else {
        return Err(format!(
            "splitting takes one selected atom, {} are selected",
            indices.len()
        ));
    };
    let from = atoms.positions[index];
    let spacing =
        nearest_atom(&atoms, from, Some(atoms.ids[index])).map_or(2.8, |(_, d)| d.min(3.5));
    let along = widest_direction(state, from);
    let place = |sign: f64| std::array::from_fn(|a| from[a] + sign * 0.25 * spacing * along[a]);
    let id = fresh_id(state);
    let mut other = AtomSnapshot::of(&atoms, index);
    other.id = id;
    other.position = place(-1.0);
    let kept = atoms.ids[index];
    let changes = vec![
        Change::Move {
            id: kept,
            from,
            to: place(1.0),
        },
        Change::Add(other),
    ];
    let evidence = Some(evidence_of(&atoms, index));
    let entry = commit(state, changes, EditKind::Split, "Split atom", evidence)?;
    state.view.selection = [kept, id].into();
    Ok(entry)
}

/// Direction of the largest second moment of the density within 1.5 Å; x without a volume.
fn widest_direction(state: &AppState, place: [f64; 3]) -> [f64; 3] {
    const REACH: f64 = 1.5;
    const STEPS: i32 = 5;
    let Some(volume) = state.workspace.volume.as_deref() else {
        return [1.0, 0.0, 0.0];
    };
    let mut moments = nalgebra::Matrix3::<f64>::zeros();
    for i in -STEPS..=STEPS {
        for j in -STEPS..=STEPS {
            for k in -STEPS..=STEPS {
                let offset = [i, j, k].map(|n| REACH * f64::from(n) / f64::from(STEPS));
                if offset.iter().map(|v| v * v).sum::<f64>() > REACH * REACH {
                    continue;
                }
                let at = std::array::from_fn(|a| place[a] + offset[a]);
                let density = f64::from(volume.density_at(at)).max(0.0);
                let offset = nalgebra::Vector3::from(offset);
                moments += density * offset * offset.transpose();
            }
        }
    }
    let eigen = moments.symmetric_eigen();
    let widest = (0..3)
        .max_by(|&a, &b| eigen.eigenvalues[a].total_cmp(&eigen.eigenvalues[b]))
        .unwrap_or(0);
    let direction = eigen.eigenvectors.column(widest);
    [direction[0], direction[1], direction[2]]
}

/// Gives the selected atoms the species after theirs, the last one the first.
///
/// # Errors
/// When nothing is selected or there is only one species.
pub fn next_species(state: &mut AppState) -> Edited {
    let (atoms, indices) = selected(state)?;
    let count = atoms.species_names.len() as u16;
    if count < 2 {
        return Err("the model has only one species".to_owned());
    }
    let species = indices.first().map_or(0, |&index| atoms.species[index]);
    relabel_selected(state, (species + 1) % count)
}

/// Takes over what a local refinement found: places and what goes with them, in one step.
///
/// # Errors
/// When the atoms were changed meanwhile.
pub fn take_refined(state: &mut AppState, part: &RefinedPart) -> Edited {
    /// Less than this is no movement, Å.
    const STILL: f64 = 1e-4;
    let atoms = model(state)?;
    let mut changes = Vec::new();
    let mut squares = 0.0;
    for (k, &(id, before)) in part.before.iter().enumerate() {
        let index = atoms.index_of(id);
        let index = index
            .filter(|&i| distance(atoms.positions[i], before) < 1e-9)
            .ok_or("the atoms were changed while they were refined; once more")?;
        let to = part.after.positions[k];
        squares += distance_squared(before, to);
        if distance(before, to) > STILL {
            changes.push(Change::Move {
                id,
                from: before,
                to,
            });
        }
        let was = AtomSnapshot::of(&atoms, index).columns;
        let now = AtomSnapshot::of(&part.after, k).columns;
        let values = |of: &BTreeMap<String, f64>| -> BTreeMap<String, f64> {
            let known = of
                .iter()
                .filter(|(name, _)| REFINED.contains(&name.as_str()));
            known.map(|(name, value)| (name.clone(), *value)).collect()
        };
        let (from, to) = (values(&was), values(&now));
        if from != to {
            changes.push(Change::Values { id, from, to });
        }
    }
    if changes.is_empty() {
        return Ok(None);
    }
    let count = part.before.len();
    let moved = (squares / count.max(1) as f64).sqrt();
    let label = format!("{} by {:.0} pm", counted("Refine", count), 100.0 * moved);
    commit(state, changes, EditKind::Refine, &label, None)
}

/// What refinement says of an atom and the window shows.
const REFINED: [&str; 8] = [
    "occupancy",
    "free_occupancy",
    "sigma_x_A",
    "sigma_y_A",
    "sigma_z_A",
    "position_sd_A",
    "significance",
    "confidence",
];

fn step(state: &mut AppState, undo: bool) -> Edited {
    let workspace = &mut state.workspace;
    let Some(atoms) = workspace.atoms.as_mut() else {
        return Ok(None);
    };
    let atoms = Arc::make_mut(atoms);
    let entry = if undo {
        workspace.edits.undo(atoms)
    } else {
        workspace.edits.redo(atoms)
    };
    let entry = entry.cloned();
    if let Some(entry) = &entry {
        // What came back is what the user wants to look at.
        let ids: Vec<AtomId> = entry.changes.iter().map(Change::id).collect();
        state.view.selection = ids.into_iter().collect();
        if entry.kind != EditKind::Phase {
            state.workspace.mark_stale(Stage::Analyze, EDITED);
            stand_again(&mut state.workspace);
        }
        state.touch();
        state.make_view_valid();
    }
    Ok(entry)
}

/// An analysis of the very atoms that an undo brought back stands again.
fn stand_again(workspace: &mut crate::project::Workspace) {
    let Some(atoms) = &workspace.atoms else {
        return;
    };
    let hash = crate::jobs::execute::atoms_hash(atoms);
    let record = workspace.project.records.get_mut(&Stage::Analyze);
    if let Some(record) = record.filter(|record| record.input_hash == hash) {
        record.stale_because = None;
    }
}

fn counted(verb: &str, count: usize) -> String {
    match count {
        1 => format!("{verb} atom"),
        n => format!("{verb} {n} atoms"),
    }
}

fn model(state: &AppState) -> Result<Arc<Atoms>, String> {
    state
        .workspace
        .atoms
        .clone()
        .ok_or_else(|| "no atoms yet; trace the volume or open a model first".to_owned())
}

fn selected(state: &AppState) -> Result<(Arc<Atoms>, Vec<usize>), String> {
    let atoms = model(state)?;
    let indices: Vec<usize> = state
        .view
        .selection
        .iter()
        .filter_map(|&id| atoms.index_of(id))
        .collect();
    if indices.is_empty() {
        return Err("no atom is selected; click one first".to_owned());
    }
    Ok((atoms, indices))
}

fn commit(
    state: &mut AppState,
    changes: Vec<Change>,
    kind: EditKind,
    label: &str,
    evidence: Option<Evidence>,
) -> Edited {
    if !matches!(kind, EditKind::Lock | EditKind::Flag | EditKind::Phase) {
        refuse_locked(state, &changes)?;
    }
    let workspace = &mut state.workspace;
    let trace = &workspace.project.parameters.trace;
    let atoms = workspace
        .atoms
        .get_or_insert_with(|| Arc::new(empty_model(trace)));
    if workspace.base_atoms.is_none() {
        // A model begun by hand replays on nothing.
        workspace.base_atoms = Some(Arc::clone(atoms));
    }
    let reason = state.reason.trim();
    let entry = workspace
        .edits
        .apply(Arc::make_mut(atoms), changes, kind, label, reason, evidence)
        .map_err(|conflict| conflict.to_string())?
        .clone();
    // An analysis follows its phases by itself.
    if kind != EditKind::Phase {
        state.workspace.mark_stale(Stage::Analyze, EDITED);
    }
    state.touch();
    state.make_view_valid();
    Ok(Some(entry))
}

fn empty_model(params: &TraceParams) -> Atoms {
    let mut atoms = Atoms {
        species_names: params.species_names.clone(),
        ..Atoms::default()
    };
    for (name, unit) in [
        ("intensity", ""),
        ("density", ""),
        ("sigma_A", "Å"),
        ("misfit", ""),
    ] {
        atoms.set_column(name, unit, Vec::new());
    }
    atoms
}

#[cfg(test)]
mod tests;
