//! Edits as a user makes them, on a few atoms.

use super::*;
use crate::project::Mark;

fn with_atoms(positions: &[[f64; 3]]) -> AppState {
    let mut state = AppState::default();
    let mut atoms = Atoms::from_positions(positions.to_vec(), "Zr");
    let intensities = (0..positions.len()).map(|i| 1.0 + i as f64).collect();
    atoms.set_column("intensity", "", intensities);
    state.workspace.base_atoms = Some(Arc::new(atoms.clone()));
    state.workspace.atoms = Some(Arc::new(atoms));
    state
}

fn select(state: &mut AppState, ids: &[u64]) {
    state.view.selection = ids.iter().map(|&id| AtomId(id)).collect();
}

#[test]
fn removing_and_undoing_gives_the_same_arrays_and_leaves_the_traced_model_alone() {
    let mut state = with_atoms(&[[0.0; 3], [3.0, 0.0, 0.0], [6.0, 0.0, 0.0]]);
    let before = state.workspace.atoms.as_deref().cloned();
    state.reason = "ghost of a neighbour".to_owned();
    select(&mut state, &[1]);
    let entry = remove_selected(&mut state).unwrap().unwrap();
    assert_eq!(entry.reason, "ghost of a neighbour");
    assert_eq!(entry.evidence.unwrap().nearest, Some(3.0));
    assert_eq!(state.workspace.atoms.as_ref().unwrap().len(), 2);
    assert_eq!(state.workspace.base_atoms.as_deref(), before.as_ref());
    assert!(
        state.view.selection.is_empty(),
        "a gone atom is not selected"
    );
    undo(&mut state).unwrap();
    assert_eq!(state.workspace.atoms.as_deref(), before.as_ref());
    redo(&mut state).unwrap();
    assert_eq!(state.workspace.edits.counts().removed, 1);
}

#[test]
fn a_new_atom_never_takes_a_removed_atoms_name() {
    let mut state = with_atoms(&[[0.0; 3], [3.0, 0.0, 0.0]]);
    select(&mut state, &[1]);
    remove_selected(&mut state).unwrap();
    assert_eq!(fresh_id(&state), AtomId(2));
}

#[test]
fn merging_keeps_the_stronger_atom_at_the_weighted_mean() {
    let mut state = with_atoms(&[[0.0; 3], [3.0, 0.0, 0.0]]);
    select(&mut state, &[0, 1]);
    merge_selected(&mut state).unwrap();
    let atoms = state.workspace.atoms.as_ref().unwrap();
    assert_eq!(atoms.ids, [AtomId(1)]);
    // Intensities 1 and 2: two thirds of the way from the weaker to the stronger.
    assert!((atoms.positions[0][0] - 2.0).abs() < 1e-12);
    undo(&mut state).unwrap();
    assert_eq!(state.workspace.atoms.as_ref().unwrap().len(), 2);
}

#[test]
fn a_locked_atom_is_left_alone_until_it_is_let_go() {
    let mut state = with_atoms(&[[0.0; 3], [3.0, 0.0, 0.0]]);
    let before = state.workspace.atoms.as_deref().cloned();
    select(&mut state, &[1]);
    mark_selected(&mut state, Mark::Locked).unwrap();
    for refused in [
        remove_selected(&mut state),
        nudge_selected(&mut state, [0.1, 0.0, 0.0]),
        split_selected(&mut state),
    ] {
        assert!(refused.unwrap_err().contains("#1 is locked"));
    }
    mark_selected(&mut state, Mark::Locked).unwrap();
    // The column came with the mark and went with it.
    assert_eq!(state.workspace.atoms.as_deref(), before.as_ref());
    remove_selected(&mut state).unwrap();
    assert_eq!(state.workspace.edits.counts().total(), 1);
}

#[test]
fn a_removed_atom_leaves_a_tombstone_and_comes_back_under_its_name() {
    let mut state = with_atoms(&[[0.0; 3], [3.0, 0.0, 0.0]]);
    let before = state.workspace.atoms.as_deref().cloned();
    select(&mut state, &[1]);
    remove_selected(&mut state).unwrap();
    let tombstones = state.workspace.edits.tombstones();
    assert_eq!(
        tombstones.iter().map(|t| t.id).collect::<Vec<_>>(),
        [AtomId(1)]
    );
    assert!(restore_near(&mut state, [9.0, 0.0, 0.0]).is_err());
    restore_near(&mut state, [3.5, 0.0, 0.0]).unwrap();
    assert_eq!(state.workspace.atoms.as_deref(), before.as_ref());
    assert!(state.workspace.edits.tombstones().is_empty());
    assert_eq!(state.workspace.edits.counts().total(), 0);
}

#[test]
fn splitting_makes_two_where_there_was_one_and_counts_once() {
    let mut state = with_atoms(&[[0.0; 3], [3.0, 0.0, 0.0]]);
    select(&mut state, &[0]);
    split_selected(&mut state).unwrap();
    let atoms = state.workspace.atoms.as_ref().unwrap();
    assert_eq!(atoms.len(), 3);
    let apart = distance(atoms.positions[0], atoms.positions[2]);
    assert!((apart - 1.5).abs() < 1e-9, "{apart}");
    assert_eq!(state.view.selection.len(), 2);
    let counts = state.workspace.edits.counts();
    assert_eq!((counts.split, counts.total()), (1, 1));
    // Merged again, what is left of it is a moved atom or none.
    merge_selected(&mut state).unwrap();
    assert_eq!(state.workspace.atoms.as_ref().unwrap().len(), 2);
}

#[test]
fn a_checkpoint_is_come_back_to_and_the_way_back_can_be_undone() {
    let mut state = with_atoms(&[[0.0; 3], [3.0, 0.0, 0.0], [6.0, 0.0, 0.0]]);
    select(&mut state, &[2]);
    remove_selected(&mut state).unwrap();
    assert!(checkpoint(&mut state, "  ").is_err());
    let number = checkpoint(&mut state, "surface done")
        .unwrap()
        .unwrap()
        .number;
    let then = state.workspace.atoms.as_deref().cloned();
    select(&mut state, &[0]);
    nudge_selected(&mut state, [0.0, 0.4, 0.0]).unwrap();
    select(&mut state, &[1]);
    remove_selected(&mut state).unwrap();
    let later = state.workspace.atoms.as_deref().cloned();
    assert_eq!(state.workspace.edits.counts().total(), 3);
    return_to(&mut state, number).unwrap();
    assert_eq!(state.workspace.atoms.as_deref(), then.as_ref());
    assert_eq!(state.workspace.edits.standing().len(), 1);
    undo(&mut state).unwrap();
    assert_eq!(state.workspace.atoms.as_deref(), later.as_ref());
    assert_eq!(state.workspace.edits.standing().len(), 3);
    redo(&mut state).unwrap();
    assert_eq!(state.workspace.atoms.as_deref(), then.as_ref());
    assert_eq!(return_to(&mut state, 999), Ok(None));
}

#[test]
fn what_refinement_found_is_one_step_and_nothing_when_the_atoms_changed() {
    let mut state = with_atoms(&[[0.0; 3], [3.0, 0.0, 0.0]]);
    let before = state.workspace.atoms.as_deref().cloned();
    let mut after = before.clone().unwrap();
    after.positions[0][1] = 0.2;
    after.set_column("confidence", "", vec![0.9, 0.8]);
    let part = RefinedPart {
        before: vec![(AtomId(0), [0.0; 3]), (AtomId(1), [3.0, 0.0, 0.0])],
        after,
    };
    take_refined(&mut state, &part).unwrap();
    let atoms = state.workspace.atoms.as_ref().unwrap();
    assert_eq!(atoms.column("confidence").unwrap(), [0.9, 0.8]);
    assert_eq!(atoms.positions[0][1], 0.2);
    assert_eq!(state.workspace.edits.counts().refined, 1);
    assert!(
        take_refined(&mut state, &part)
            .unwrap_err()
            .contains("changed")
    );
    undo(&mut state).unwrap();
    assert_eq!(state.workspace.atoms.as_deref(), before.as_ref());
}

#[test]
fn a_drag_that_ends_where_it_began_leaves_no_step() {
    let mut state = with_atoms(&[[1.0, 2.0, 3.0]]);
    assert_eq!(move_atom(&mut state, AtomId(0), [1.0, 2.0, 3.0]), Ok(None));
    assert!(!state.workspace.edits.can_undo());
}

#[test]
fn edits_without_what_they_need_say_so() {
    let mut state = AppState::default();
    assert!(
        remove_selected(&mut state)
            .unwrap_err()
            .contains("no atoms")
    );
    assert!(propose(&state, [0.0; 3]).unwrap_err().contains("no volume"));
    let mut state = with_atoms(&[[0.0; 3]]);
    assert!(merge_selected(&mut state).unwrap_err().contains("selected"));
    select(&mut state, &[0]);
    assert!(merge_selected(&mut state).unwrap_err().contains("two"));
}

#[test]
fn an_atom_asked_for_where_one_was_removed_is_that_atom() {
    let mut state = with_atoms(&[[0.0; 3], [3.0, 0.0, 0.0]]);
    select(&mut state, &[1]);
    remove_selected(&mut state).unwrap();
    add_at(&mut state, [3.2, 0.0, 0.0]).unwrap();
    let atoms = state.workspace.atoms.as_ref().unwrap();
    assert_eq!(atoms.ids, [AtomId(0), AtomId(1)]);
    let counts = state.workspace.edits.counts();
    assert_eq!((counts.moved, counts.total()), (1, 1));
    assert!(
        add_at(&mut state, [3.1, 0.0, 0.0])
            .unwrap_err()
            .contains("already")
    );
    add_at(&mut state, [9.0, 0.0, 0.0]).unwrap();
    assert_eq!(state.workspace.edits.counts().added, 1);
}

#[test]
fn phases_are_set_in_one_step_undone_and_counted_apart() {
    use crate::analyze::phases::{BY_HAND, Phase};
    let mut state = with_atoms(&[[0.0; 3], [3.0, 0.0, 0.0], [6.0, 0.0, 0.0]]);
    let before = state.workspace.atoms.as_deref().cloned();
    let ids = [AtomId(0), AtomId(2)];
    let entry = set_phase(&mut state, &ids, Some(Phase::AmorphousOxide));
    let entry = entry.unwrap().unwrap();
    assert_eq!(entry.label, "Set 2 atoms as amorphous oxide");
    let column = |state: &AppState| {
        let atoms = state.workspace.atoms.as_ref().unwrap();
        atoms.column(BY_HAND).map(<[f64]>::to_vec)
    };
    let set = column(&state).unwrap();
    assert!(set[0] == 2.0 && set[1].is_nan() && set[2] == 2.0);
    // The same again is no step; another phase is one of the atoms that change.
    assert!(
        set_phase(&mut state, &ids, Some(Phase::AmorphousOxide))
            .unwrap()
            .is_none()
    );
    set_phase(&mut state, &[AtomId(0), AtomId(1)], Some(Phase::Core)).unwrap();
    let counts = state.workspace.edits.counts();
    assert_eq!((counts.phases, counts.total()), (3, 0));
    assert_eq!(counts.sentence(3), "by hand: 3 given a phase (100.00 %)");
    // A new trace of the same atoms, displaced and named anew, has them too; one has lost its atom.
    let mut new = Atoms::from_positions(vec![[0.1, 0.0, 0.0], [6.1, 0.0, 0.0]], "Zr");
    new.ids = vec![AtomId(5), AtomId(6)];
    let old = state.workspace.base_atoms.clone().unwrap();
    let entries = state.workspace.edits.entries();
    let carried = crate::project::carry::carry_over(Vec::new(), entries, &old, &new);
    assert_eq!(carried.atoms.column(BY_HAND), Some(&[0.0, 2.0][..]));
    assert!(carried.unrepeated.is_empty());
    undo(&mut state).unwrap();
    undo(&mut state).unwrap();
    assert_eq!(state.workspace.atoms.as_deref(), before.as_ref());
    redo(&mut state).unwrap();
    assert_eq!(state.workspace.edits.counts().phases, 2);
    set_phase(&mut state, &ids, None).unwrap();
    assert_eq!(
        (column(&state), state.workspace.edits.counts().phases),
        (None, 0)
    );
}
