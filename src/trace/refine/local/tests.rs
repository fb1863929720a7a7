//! A drawn model that follows edits, on generated counts.

use super::*;
use crate::trace::doubts::{DoubtInput, DoubtKind, DoubtParams, doubtful_places, doubts_around};
use crate::trace::refine::tests::{ball, counted, images};

/// A refined ball of atoms in counts.
fn good_model() -> (TiltSeries, Atoms) {
    let truth = ball(8.5, 21);
    let series = counted(images(&truth, 72, 30, 120.0, 0.48), 22);
    (series, Atoms::from_positions(truth, "Zr"))
}

fn local(series: &TiltSeries, atoms: &Atoms) -> LocalRefiner {
    let params = RefineParams::default();
    LocalRefiner::new(series, atoms, &params, &Monitor::silent()).expect("a model to draw")
}

fn without(atoms: &Atoms, index: usize) -> Atoms {
    let kept: Vec<usize> = (0..atoms.len()).filter(|&i| i != index).collect();
    atoms.select(&kept)
}

fn with(atoms: &Atoms, place: [f64; 3]) -> Atoms {
    let mut more = atoms.clone();
    more.ids.push(atoms.next_id());
    more.positions.push(place);
    more.species.push(0);
    more
}

/// The atom nearest to the middle.
fn middle_of(atoms: &Atoms) -> usize {
    let from = |i: usize| distance_squared(atoms.positions[i], [0.5; 3]);
    (0..atoms.len())
        .min_by(|&a, &b| from(a).total_cmp(&from(b)))
        .expect("atoms")
}

fn grid(place: [f64; 3]) -> PlaneGrid {
    PlaneGrid {
        origin: [place[0] - 6.0, place[1] - 6.0, place[2]],
        right: [0.3, 0.0, 0.0],
        up: [0.0, 0.3, 0.0],
        size: [41, 41],
    }
}

fn largest(a: &Array2<f32>, b: &Array2<f32>) -> f32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn edits_are_drawn_as_if_the_whole_model_were() {
    let (series, atoms) = good_model();
    let mut local = local(&series, &atoms);
    let middle = middle_of(&atoms);
    let mut edited = with(&without(&atoms, middle), [4.0, -9.0, 2.0]);
    edited.positions[3][1] += 0.4;
    let places = local.follow(&edited, &Monitor::silent()).unwrap();
    assert_eq!(places.len(), 4);
    let place = atoms.positions[middle];
    let followed = [place, edited.positions[3]].map(|p| local.residual(&grid(p)));
    // The same by drawing everything anew.
    let fit = &mut local.fit;
    fit.problem
        .misfit(&fit.imaging, &fit.x, &Monitor::silent())
        .unwrap();
    local.filtered = evidence::filter_residuals(
        &local.fit.problem,
        &local.fit.imaging,
        0,
        &Monitor::silent(),
    )
    .unwrap();
    let anew = [place, edited.positions[3]].map(|p| local.residual(&grid(p)));
    for (a, b) in followed.iter().zip(&anew) {
        assert!(largest(a, b) < 5e-3, "{}", largest(a, b));
    }
    // Back again, nothing is left of it.
    local.follow(&atoms, &Monitor::silent()).unwrap();
    let back = local.residual(&grid(place));
    let fresh = super::tests::local(&series, &atoms).residual(&grid(place));
    assert!(largest(&back, &fresh) < 5e-3);
}

#[test]
fn the_residual_peaks_where_an_atom_is_missing_and_dips_where_one_is_false() {
    let (series, atoms) = good_model();
    let middle = middle_of(&atoms);
    let place = atoms.positions[middle];
    let mut local = local(&series, &atoms);
    let quiet = local.residual(&grid(place));
    assert!(quiet.iter().all(|z| z.abs() < 4.5));
    local
        .follow(&without(&atoms, middle), &Monitor::silent())
        .unwrap();
    let z = local.residual(&grid(place));
    assert!(z[[20, 20]] > 8.0, "{}", z[[20, 20]]);
    let found = local.maxima(place, 3.0, 4.0, &Monitor::silent()).unwrap();
    assert_eq!(found.len(), 1);
    assert!(distance(found[0].position, place) < 0.15);
    let false_place = [place[0] + 1.3, place[1] + 1.3, place[2] + 1.3];
    local
        .follow(&with(&atoms, false_place), &Monitor::silent())
        .unwrap();
    let z = local.residual(&grid(false_place));
    assert!(z[[20, 20]] < -8.0, "{}", z[[20, 20]]);
}

#[test]
fn cut_outs_tell_an_atom_from_none() {
    let (series, atoms) = good_model();
    let middle = middle_of(&atoms);
    let (id, place) = (atoms.ids[middle], atoms.positions[middle]);
    let mut local = local(&series, &atoms);
    let shown = local.cutouts(place, Some(id), 3.0, 5);
    assert_eq!(shown.len(), 6);
    assert_eq!(shown[0].tilt, None);
    let tilts: Vec<usize> = shown[1..].iter().filter_map(|c| c.tilt).collect();
    assert!(tilts.windows(2).all(|w| w[1] > w[0] + 2), "{tilts:?}");
    // The mean of thirty tilts: an atom is seen as what it is expected to be, within 3 of its σ.
    assert!(
        (shown[0].seen - shown[0].expected).abs() < 3.0,
        "{} of {}",
        shown[0].seen,
        shown[0].expected
    );
    assert!(shown[0].expected > 2.0 * shown[1].expected);
    // Without it the counts are still there, and now the difference is.
    local
        .follow(&without(&atoms, middle), &Monitor::silent())
        .unwrap();
    let gone = local.cutouts(place, None, 3.0, 5);
    assert!((gone[0].seen - shown[0].seen).abs() < 1.0);
    let n = gone[0].measured.dim().0 / 2;
    let difference = &gone[0].measured - &gone[0].model;
    let highest = difference.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    assert!(difference[[n, n]] > 0.7 * highest);
    // A false atom: nothing is seen of what is expected.
    let false_place = [place[0] + 1.3, place[1] + 1.3, place[2] + 1.3];
    let wrong = with(&atoms, false_place);
    local.follow(&wrong, &Monitor::silent()).unwrap();
    let told = local.cutouts(false_place, wrong.ids.last().copied(), 3.0, 5);
    assert!(
        told[0].seen.abs() < 0.4 * told[0].expected,
        "{} of {}",
        told[0].seen,
        told[0].expected
    );
    assert!(local.cutouts([500.0; 3], None, 3.0, 5).is_empty());
}

#[test]
fn the_list_follows_an_edit_and_its_undoing() {
    let (series, atoms) = good_model();
    let middle = middle_of(&atoms);
    let place = atoms.positions[middle];
    let input = DoubtInput {
        atoms: &atoms,
        series: Some(&series),
        volume: None,
        traced: None,
    };
    let quiet = Monitor::silent();
    let list = doubtful_places(&input, &DoubtParams::default(), &quiet).unwrap();
    let mut local = local(&series, &atoms);
    let missing_here = |list: &[crate::trace::doubts::Doubt]| {
        list.iter()
            .find(|d| d.kind == DoubtKind::Missing && distance(d.position, place) < 0.3)
            .map(crate::trace::doubts::Doubt::probability)
    };
    assert_eq!(missing_here(&list), None);
    let centers = local.follow(&without(&atoms, middle), &quiet).unwrap();
    let after = doubts_around(&mut local, &list, &centers, &quiet).unwrap();
    assert!(
        missing_here(&after).is_some_and(|p| p > 0.9),
        "{:?}",
        missing_here(&after)
    );
    let centers = local.follow(&atoms, &quiet).unwrap();
    let back = doubts_around(&mut local, &after, &centers, &quiet).unwrap();
    assert_eq!(missing_here(&back), None);
    // An atom where there is none joins the list as a false one.
    let false_place = [place[0] + 1.3, place[1] + 1.3, place[2] + 1.3];
    let wrong = with(&atoms, false_place);
    let centers = local.follow(&wrong, &quiet).unwrap();
    let after = doubts_around(&mut local, &back, &centers, &quiet).unwrap();
    let id = wrong.ids.last().copied().unwrap();
    let denied = after.iter().find(|d| d.atoms.first() == Some(&id));
    assert!(denied.is_some_and(|d| d.probability() > 0.9), "{denied:?}");
    // Far from the edits every item is as it was.
    let far = |list: &[crate::trace::doubts::Doubt]| -> Vec<String> {
        let away = list.iter().filter(|d| distance(d.position, place) > 7.0);
        away.map(|d| format!("{d:?}")).collect()
    };
    assert_eq!(far(&after), far(&list));
}
