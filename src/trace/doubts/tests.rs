//! The list on models with planted errors.

use super::*;
use crate::model::geometry::distance;
use crate::trace::refine::tests::{ball, counted, images};
use crate::trace::{Candidate, Verdict};

/// Truth, series, a model that lacks the atoms at `missing` and has `false_atoms` more (the last ids).
struct Planted {
    series: TiltSeries,
    atoms: Atoms,
    missing: Vec<[f64; 3]>,
    false_ids: Vec<AtomId>,
}

fn planted() -> Planted {
    let truth = ball(9.0, 31);
    let series = counted(images(&truth, 76, 24, 150.0, 0.48), 32);
    let missing: Vec<[f64; 3]> = [5, 61, 90].iter().map(|&i| truth[i]).collect();
    let mut positions: Vec<[f64; 3]> =
        (truth.iter().filter(|p| !missing.contains(p)).copied()).collect();
    let first_false = positions.len() as u64;
    // In the middle of a cube of the grid, and near one of its faces.
    positions.extend([[1.3, 1.3, 1.3], [-1.3, 3.9, -1.0]]);
    Planted {
        series,
        atoms: Atoms::from_positions(positions, "Zr"),
        missing,
        false_ids: vec![AtomId(first_false), AtomId(first_false + 1)],
    }
}

fn list(input: &DoubtInput, params: &DoubtParams) -> Vec<Doubt> {
    doubtful_places(input, params, &Monitor::silent()).unwrap()
}

fn alone(atoms: &Atoms) -> DoubtInput<'_> {
    DoubtInput {
        atoms,
        series: None,
        volume: None,
        traced: None,
    }
}

#[test]
fn planted_errors_lead_the_list_and_nothing_else_is_likely() {
    let planted = planted();
    let input = DoubtInput {
        series: Some(&planted.series),
        ..alone(&planted.atoms)
    };
    let doubts = list(&input, &DoubtParams::default());
    // Five errors; one of the places beside them may come in between.
    let first = &doubts[..6];
    for place in &planted.missing {
        let doubt = first
            .iter()
            .find(|d| d.kind == DoubtKind::Missing && distance(d.position, *place) < 0.5)
            .unwrap_or_else(|| panic!("nothing at {place:?}: {first:#?}"));
        let images = doubt.images.expect("tilts were given");
        assert!(
            doubt.atoms.is_empty() && doubt.probability() > 0.9,
            "{doubt:?}"
        );
        assert!(
            images.z > 5.0 && images.even_z > 2.0 && images.odd_z > 2.0,
            "{doubt:?}"
        );
        assert!(2 * images.supporting_tilts > images.tilts && images.tilts == 24);
        assert!(doubt.reason.contains("local σ"), "{}", doubt.reason);
    }
    for id in &planted.false_ids {
        let doubt = first
            .iter()
            .find(|d| d.atoms.first() == Some(id))
            .unwrap_or_else(|| panic!("{id:?} is not among {first:#?}"));
        let images = doubt.images.expect("tilts were given");
        assert!(
            doubt.probability() > 0.9 && images.occupancy < 0.5 && images.z < -3.0,
            "{doubt:?}"
        );
        assert!(2 * images.supporting_tilts > images.tilts, "{doubt:?}");
    }
    // Atoms next to a wrong one suffer with it; nothing else does.
    let wrong = |place: [f64; 3]| {
        let falsely = planted
            .false_ids
            .iter()
            .map(|id| planted.atoms.positions[id.0 as usize]);
        let mut places = planted.missing.iter().copied().chain(falsely);
        places.any(|p| distance(p, place) < 3.5)
    };
    for doubt in doubts[6..].iter().filter(|d| d.probability() > 0.5) {
        assert!(wrong(doubt.position), "{doubt:#?}");
    }
    assert!(doubts.windows(2).all(|w| w[0].log_odds >= w[1].log_odds));
}

#[test]
fn a_right_model_gives_no_likely_error() {
    let truth = ball(8.0, 33);
    let series = counted(images(&truth, 72, 24, 150.0, 0.48), 34);
    let atoms = Atoms::from_positions(truth, "Zr");
    let input = DoubtInput {
        series: Some(&series),
        ..alone(&atoms)
    };
    let doubts = list(&input, &DoubtParams::default());
    assert!(doubts.iter().all(|d| d.probability() < 0.5), "{doubts:#?}");
}

#[test]
fn without_images_close_pairs_lead_and_are_one_item() {
    let mut positions = ball(8.0, 35);
    let n = positions.len();
    positions.push(positions[n / 2].map(|v| v + 0.5));
    let atoms = Atoms::from_positions(positions, "Zr");
    let doubts = list(&alone(&atoms), &DoubtParams::default());
    let first = &doubts[0];
    assert_eq!(first.kind, DoubtKind::TooClose);
    let mut pair = [AtomId(n as u64 / 2), AtomId(n as u64)];
    pair.sort();
    let mut named = first.atoms.clone();
    named.sort();
    assert_eq!(named, pair);
    assert!(
        first.probability() > 0.5 && first.reason.starts_with("0.87 Å"),
        "{first:?}"
    );
    let again = doubts[1..]
        .iter()
        .filter(|d| pair.iter().any(|id| d.atoms.first() == Some(id)));
    assert_eq!(again.count(), 0, "one place is one item");
}

#[test]
fn what_a_refinement_found_of_the_atoms_is_remembered() {
    let positions = ball(8.0, 36);
    let n = positions.len();
    let mut atoms = Atoms::from_positions(positions, "Pd");
    let mut widths: Vec<f64> = (0..n)
        .map(|i| 0.5 + 0.0004 * (i * 37 % 101) as f64)
        .collect();
    widths[11] = 0.9;
    atoms.set_column("sigma_A", "Å", widths);
    let of = |atoms: &Atoms, index: usize| {
        let all = DoubtParams {
            least_probability: 0.0,
            ..DoubtParams::default()
        };
        let doubts = list(&alone(atoms), &all);
        let found = doubts
            .iter()
            .find(|d| d.atoms.first() == Some(&AtomId(index as u64)));
        found.map_or(0.0, Doubt::probability)
    };
    let before = of(&atoms, 11);
    let mut confidences = vec![0.9999; n];
    confidences[23] = 0.01;
    confidences[24] = f64::NAN;
    atoms.set_column("confidence", "", confidences);
    let after = of(&atoms, 11);
    assert!(before > 0.01 && after < 0.1 * before, "{before} {after}");
    // Neighbours at usual places still speak for it.
    let (denied, unknown) = (of(&atoms, 23), of(&atoms, 24));
    assert!(denied > 0.3 && unknown < 0.02, "{denied} {unknown}");
}

#[test]
fn columns_candidates_and_species_have_their_say() {
    let positions = ball(8.0, 36);
    let n = positions.len();
    // Gaps of the grid, where rejected maxima lie.
    let gaps = [[1.3, 1.3, 1.3], [-1.3, -1.3, 1.3], [3.9, 1.3, 1.3]];
    let mut atoms = Atoms::from_positions(positions, "Pd");
    let spread = |center: f64, width: f64| -> Vec<f64> {
        (0..n)
            .map(|i| center + width * ((i * 37 % 101) as f64 / 50.0 - 1.0))
            .collect()
    };
    let mut intensities = spread(10.0, 0.5);
    intensities[7] = 5.1;
    atoms.set_column("intensity", "", intensities.clone());
    let mut widths = spread(0.5, 0.02);
    widths[11] = 0.9;
    atoms.set_column("sigma_A", "Å", widths);
    let mut shifts = spread(0.05, 0.04);
    shifts[13] = 0.9;
    atoms.set_column("shift_A", "Å", shifts);
    // Most are there from the first: the usual scatter is none.
    let mut persistence = vec![1.0; n];
    persistence[19] = 0.1;
    persistence[23] = f64::NAN;
    atoms.set_column("persistence", "", persistence);
    let mut margins = vec![0.9; n];
    margins[17] = 0.02;
    atoms.set_column("species_margin", "", margins);
    atoms.species_names.push("Pt".to_owned());
    let candidate = |position, intensity, verdict| Candidate {
        position,
        density: 1.0,
        intensity,
        sigma: 0.5,
        misfit: 0.0,
        verdict,
    };
    let mut candidates: Vec<Candidate> = (0..n)
        .map(|i| candidate(atoms.positions[i], intensities[i], Verdict::Atom))
        .collect();
    candidates.push(candidate(gaps[0], 9.0, Verdict::FitDiverged));
    candidates.push(candidate(gaps[1], 4.9, Verdict::TooWeak));
    candidates.push(candidate(gaps[2], 0.4, Verdict::FitDiverged));
    // Filled since: nothing to say.
    candidates.push(candidate(
        atoms.positions[3].map(|v| v + 0.1),
        9.0,
        Verdict::FitDiverged,
    ));
    let traced = Traced {
        atoms: Atoms::default(),
        candidates,
        threshold: 5.0,
        sigma_mean: 0.5,
        sigma_sd: 0.01,
        seconds: 0.0,
    };
    let input = DoubtInput {
        traced: Some(&traced),
        ..alone(&atoms)
    };
    let params = DoubtParams {
        least_probability: 0.001,
        ..DoubtParams::default()
    };
    let doubts = list(&input, &params);
    let of_atom = |id: u64| doubts.iter().find(|d| d.atoms.first() == Some(&AtomId(id)));
    let kind_at = |place: [f64; 3]| {
        let doubt = doubts.iter().find(|d| distance(d.position, place) < 0.1);
        doubt.map(|d| d.kind)
    };
    assert_eq!(
        of_atom(7).expect("the weak one").kind,
        DoubtKind::Borderline
    );
    assert_eq!(of_atom(11).expect("the broad one").kind, DoubtKind::Broad);
    assert_eq!(of_atom(13).expect("the mover").kind, DoubtKind::FarMoved);
    assert_eq!(
        of_atom(17).expect("the one between").kind,
        DoubtKind::Species
    );
    let is_late =
        |d: &&Doubt| d.kind == DoubtKind::Fleeting || d.also.contains(&DoubtKind::Fleeting);
    let late: Vec<&Doubt> = doubts.iter().filter(is_late).collect();
    assert_eq!(late.len(), 1, "{late:?}");
    assert!(late[0].atoms.contains(&AtomId(19)));
    assert!(late[0].reason.contains("0.10 of the interim traces"));
    assert_eq!(kind_at(gaps[0]), Some(DoubtKind::FailedFit));
    assert_eq!(kind_at(gaps[1]), Some(DoubtKind::Borderline));
    assert_eq!(kind_at(gaps[2]), None);
    let near_third = doubts
        .iter()
        .filter(|d| d.kind == DoubtKind::FailedFit)
        .count();
    assert_eq!(near_third, 1);
    // Without the threshold the same atom is plainly weak.
    let doubts = list(&alone(&atoms), &params);
    let weak = doubts.iter().find(|d| d.atoms.first() == Some(&AtomId(7)));
    assert_eq!(weak.expect("still there").kind, DoubtKind::Weak);
}

#[test]
fn a_volume_alone_shows_what_lacks_an_atom() {
    let truth = ball(8.0, 37);
    let mut volume = Volume::zeros([60; 3], 0.35);
    for p in &truth {
        let at = volume.index_of(*p);
        for n in 0..11 * 11 * 11 {
            let k = [n / 121, n / 11 % 11, n % 11].map(|v| v as f64 - 5.0);
            let index: [usize; 3] = std::array::from_fn(|a| (at[a].round() + k[a]) as usize);
            let squared: f64 = (0..3).map(|a| (index[a] as f64 - at[a]).powi(2)).sum();
            volume.data[index] += (-0.5 * squared / (1.4f64 * 1.4)).exp() as f32;
        }
    }
    let missing = truth[50];
    let rest: Vec<[f64; 3]> = truth.iter().filter(|p| **p != missing).copied().collect();
    let atoms = Atoms::from_positions(rest, "Zr");
    let input = DoubtInput {
        volume: Some(&volume),
        ..alone(&atoms)
    };
    let doubts = list(&input, &DoubtParams::default());
    assert_eq!(doubts[0].kind, DoubtKind::Missing, "{:?}", doubts[0]);
    assert!(distance(doubts[0].position, missing) < 0.35 && doubts[0].probability() > 0.5);
}

#[test]
fn filters_and_limits_hold() {
    let mut positions = ball(8.0, 38);
    let n = positions.len();
    for i in [3, 60, 100] {
        positions.push(positions[i].map(|v| v + 0.6));
    }
    let atoms = Atoms::from_positions(positions, "Zr");
    let with = |change: &dyn Fn(&mut DoubtParams)| {
        let mut params = DoubtParams::default();
        change(&mut params);
        list(&alone(&atoms), &params)
    };
    assert!(n > 100 && with(&|_| {}).len() >= 3);
    assert_eq!(with(&|p| p.most = 2).len(), 2);
    assert!(with(&|p| p.kinds = vec![DoubtKind::Missing]).is_empty());
    let close = with(&|p| p.kinds = vec![DoubtKind::TooClose]);
    assert!(close.len() >= 3 && close.iter().all(|d| d.kind == DoubtKind::TooClose));
    assert!(
        with(&|p| p.least_probability = 0.4)
            .iter()
            .all(|d| d.probability() >= 0.4)
    );
    let bad = DoubtParams {
        least_probability: 1.0,
        ..DoubtParams::default()
    };
    let error = doubtful_places(&alone(&atoms), &bad, &Monitor::silent()).unwrap_err();
    assert!(error.to_string().contains("least_probability"));
    let none = Atoms::default();
    assert!(list(&alone(&none), &DoubtParams::default()).is_empty());
    let mut broken = atoms.clone();
    broken.positions[4][1] = f64::NAN;
    let error = doubtful_places(&alone(&broken), &DoubtParams::default(), &Monitor::silent());
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("position of atom 4")
    );
}

#[test]
fn a_list_survives_serialisation() {
    let planted = planted();
    let doubts = list(&alone(&planted.atoms), &DoubtParams::default());
    let text = serde_json::to_string(&doubts).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Doubt>>(&text).unwrap(), doubts);
    for kind in DoubtKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.key());
    }
}
