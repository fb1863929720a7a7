//! Evidence and completion on generated counts with planted errors.

use super::*;
use crate::model::geometry::distance;
use crate::model::{AtomId, Atoms, TiltSeries};
use crate::trace::refine::tests::{ball, counted, images};
use crate::trace::refine::{ChangeKind, CompleteParams, RefineParams, complete};

/// Truth, series, model, missing places, false place.
type Planted = (Vec<[f64; 3]>, TiltSeries, Atoms, Vec<[f64; 3]>, [f64; 3]);

/// A ball, its counts, and a model of it with three atoms missing and one atom added: the truth, the series, the model,
/// the missing places, the false place.
fn planted() -> Planted {
    let truth = ball(8.0, 21);
    let series = counted(images(&truth, 72, 24, 150.0, 0.48), 22);
    let missing: Vec<[f64; 3]> = [3, 40, 77].iter().map(|&i| truth[i]).collect();
    let mut positions: Vec<[f64; 3]> = truth
        .iter()
        .filter(|p| !missing.contains(p))
        .copied()
        .collect();
    // The middle of a cube of the grid: as far from all atoms as an atom can be.
    let false_place = [1.3, 1.3, 1.3];
    positions.push(false_place);
    (
        truth,
        series,
        Atoms::from_positions(positions, "Zr"),
        missing,
        false_place,
    )
}

#[test]
fn completion_mends_the_model_and_says_what_it_did() {
    let (truth, series, mut atoms, missing, _) = planted();
    atoms.set_column("intensity", "", vec![1.0; atoms.len()]);
    let done = complete(
        &series,
        &atoms,
        &CompleteParams::default(),
        &Monitor::silent(),
    )
    .unwrap();
    assert_eq!((done.added, done.removed), (3, 1), "{:?}", done.changes);
    // An atom may come and go and come back in between.
    assert!(done.count(ChangeKind::Added) >= 3);
    let refined = &done.refined.atoms;
    assert_eq!(refined.len(), truth.len());
    for place in &truth {
        let nearest = refined
            .positions
            .iter()
            .map(|p| distance(*p, *place))
            .fold(f64::INFINITY, f64::min);
        assert!(nearest < 0.2, "{place:?}: {nearest}");
    }
    let first_new = atoms.next_id();
    assert!(!refined.ids.contains(&AtomId(atoms.len() as u64 - 1)));
    let intensity = refined.column("intensity").unwrap();
    for (id, value) in refined.ids.iter().zip(intensity) {
        assert_eq!(value.is_nan(), *id >= first_new);
    }
    assert!(
        missing
            .iter()
            .all(|m| done.changes.iter().any(|c| distance(c.position, *m) < 0.5))
    );
    assert!(done.refined.r1 < done.refined.r1_before);
}

#[test]
fn a_complete_model_is_left_alone() {
    let truth = ball(7.0, 23);
    let series = counted(images(&truth, 64, 24, 150.0, 0.48), 24);
    let atoms = Atoms::from_positions(truth, "Zr");
    let done = complete(
        &series,
        &atoms,
        &CompleteParams::default(),
        &Monitor::silent(),
    )
    .unwrap();
    assert_eq!((done.added, done.removed), (0, 0), "{:?}", done.changes);
}

#[test]
fn chance_falls_with_height_and_matches_pure_noise() {
    let truth = ball(8.0, 25);
    let series = counted(images(&truth, 72, 24, 150.0, 0.48), 26);
    let atoms = Atoms::from_positions(truth, "Zr");
    let mut fit = Fit::new(
        &series,
        &atoms,
        &RefineParams::default(),
        &Monitor::silent(),
    )
    .unwrap();
    fit.run(4, &Monitor::silent()).unwrap();
    let search = Search::new(&fit, &EvidenceParams::default());
    let z = search.z_for_chance(1.0);
    assert!((search.chance(z) - 1.0).abs() < 1e-6 && z > 3.0 && z < 6.0);
    // The model is right: what is found above the height of twenty chance maxima is chance. Fitted atoms have eaten
    // some of the noise, so there may be fewer.
    let low = search.z_for_chance(20.0);
    let found = search
        .missing(&mut fit, low, &Monitor::silent())
        .unwrap()
        .len();
    assert!(found <= 40, "{found} maxima above {low}");
}

#[test]
fn cells_find_what_a_plain_search_finds() {
    let points = ball(7.0, 27);
    let cells = Cells::new(points.clone(), 3.0);
    for (i, p) in points.iter().enumerate() {
        let expected = points
            .iter()
            .enumerate()
            .filter(|(j, q)| *j != i && distance(*p, **q) <= 3.0)
            .map(|(_, q)| distance(*p, *q))
            .min_by(f64::total_cmp);
        let found = cells.nearest(*p, Some(i)).map(|(_, d)| d);
        assert_eq!(found.is_some(), expected.is_some());
        if let (Some(a), Some(b)) = (found, expected) {
            assert!((a - b).abs() < 1e-12);
        }
    }
}
