//! Template matching on crystals that are known: type, deviation, lattice constant, orientation, grains.

use super::rotation::{misorientation, product, rotate};
use super::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rand_distr::StandardNormal;

fn any_rotation(rng: &mut StdRng) -> Quaternion {
    let q: Quaternion = std::array::from_fn(|_| rng.sample(StandardNormal));
    rotation::unit(q).expect("four normal numbers are not all zero")
}

/// A crystal ball: `basis` in units of the `cell`, turned by `turn`, radius in Å.
fn ball(basis: &[[f64; 3]], cell: [f64; 3], turn: Quaternion, radius: f64) -> Vec<[f64; 3]> {
    let count = cell.map(|edge| (radius / edge).ceil() as i32 + 1);
    let mut points = Vec::new();
    for i in -count[0]..=count[0] {
        for j in -count[1]..=count[1] {
            for k in -count[2]..=count[2] {
                for b in basis {
                    let p: [f64; 3] =
                        std::array::from_fn(|a| (f64::from([i, j, k][a]) + b[a]) * cell[a]);
                    if p.iter().map(|v| v * v).sum::<f64>() < radius * radius {
                        points.push(rotate(turn, p));
                    }
                }
            }
        }
    }
    points
}

fn crystal(structure: Structure, a: f64, turn: Quaternion, radius: f64) -> Vec<[f64; 3]> {
    let fcc = [[0.0; 3], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
    // The orthogonal cell of hcp: a along x, c along z.
    let hcp = [
        [0.0; 3],
        [0.5, 0.5, 0.0],
        [0.5, 1.0 / 6.0, 0.5],
        [0.0, 2.0 / 3.0, 0.5],
    ];
    match structure {
        Structure::Fcc => ball(&fcc, [a; 3], turn, radius),
        Structure::Hcp => {
            let cell = [a, 3f64.sqrt() * a, (8.0f64 / 3.0).sqrt() * a];
            ball(&hcp, cell, turn, radius)
        }
        Structure::Bcc => ball(&[[0.0; 3], [0.5; 3]], [a; 3], turn, radius),
        Structure::Sc => ball(&[[0.0; 3]], [a; 3], turn, radius),
        Structure::Ico => {
            let template = Structure::Ico.template().expect("a template");
            let shells = [1.0, 2.0].map(|shell| {
                let place = move |p: &[f64; 3]| rotate(turn, p.map(|v| a * shell * v));
                template.points.iter().map(place).collect::<Vec<_>>()
            });
            [vec![[0.0; 3]], shells.concat()].concat()
        }
        Structure::Other => Vec::new(),
    }
}

fn all(positions: &[[f64; 3]], spacing: f64) -> Vec<Match> {
    match_templates(positions, &Structure::ALL, spacing, &Monitor::silent())
        .expect("nobody stops it")
}

fn center_of(points: &[[f64; 3]]) -> usize {
    let size = |p: &[f64; 3]| p.iter().map(|v| v * v).sum::<f64>();
    (0..points.len())
        .min_by(|&a, &b| size(&points[a]).total_cmp(&size(&points[b])))
        .expect("atoms")
}

#[test]
fn perfect_crystals_are_known_in_any_orientation() {
    let mut rng = StdRng::seed_from_u64(5);
    for structure in Structure::ALL {
        let a = match structure {
            Structure::Fcc => 3.92,
            Structure::Hcp => 3.23,
            Structure::Bcc => 2.87,
            _ => 3.0,
        };
        let symmetry = &structure.template().expect("a template").symmetry;
        for round in 0..20 {
            let turn = if round == 0 {
                [1.0, 0.0, 0.0, 0.0]
            } else {
                any_rotation(&mut rng)
            };
            let points = crystal(structure, a, turn, 9.0);
            let matches = all(&points, 0.9 * a);
            let found = matches[center_of(&points)];
            assert_eq!(found.structure, structure);
            assert!(found.rmsd < 1e-7, "{structure:?} {}", found.rmsd);
            assert!((found.lattice() - a).abs() < 1e-9, "{structure:?}");
            let off = misorientation(found.orientation, turn, symmetry);
            assert!(off < 1e-6, "{structure:?} {off}");
            // The reduced one is among the equivalent and turns no more than they.
            for s in symmetry {
                assert!(product(found.orientation, *s)[0].abs() < found.orientation[0] + 1e-9);
            }
        }
    }
}

#[test]
fn neighbors_stand_where_the_template_says() {
    let turn = any_rotation(&mut StdRng::seed_from_u64(9));
    for structure in [Structure::Fcc, Structure::Bcc, Structure::Sc] {
        let points = crystal(structure, 4.0, turn, 9.0);
        let matches = all(&points, 3.0);
        let center = center_of(&points);
        // Before the orientation was reduced the points had their own order; distances do not mind.
        for &index in matches[center].neighbors() {
            let p = points[index as usize];
            let d = p.iter().map(|v| v * v).sum::<f64>().sqrt();
            assert!(d < 4.0 + 1e-9, "{structure:?}: a neighbour at {d}");
        }
    }
}

#[test]
fn the_deviation_is_that_of_its_definition() {
    // A cluster of fcc with one neighbour pulled out along its bond: minimise over scale and rotation by brute force.
    let template = Structure::Fcc.template().expect("a template");
    let mut points = vec![[0.0; 3]];
    points.extend(&template.points);
    points[1] = points[1].map(|v| 1.2 * v);
    let found = all(&points, 1.0)[0];
    assert_eq!(found.structure, Structure::Fcc);
    let mut center = [0.0; 3];
    for p in &points {
        for k in 0..3 {
            center[k] += p[k] / 13.0;
        }
    }
    // By symmetry the best rotation keeps the axis of the pull; none is better than no rotation.
    let deviation = |scale: f64| -> f64 {
        let ideal = std::iter::once([0.0; 3]).chain(template.points.iter().copied());
        let sum: f64 = points
            .iter()
            .zip(ideal)
            .map(|(p, t)| {
                (0..3)
                    .map(|k| (scale * (p[k] - center[k]) - t[k]).powi(2))
                    .sum::<f64>()
            })
            .sum();
        (sum / 13.0).sqrt()
    };
    let best = (0..4000)
        .map(|i| deviation(0.9 + 5e-5 * f64::from(i)))
        .fold(f64::INFINITY, f64::min);
    assert!((found.rmsd - best).abs() < 1e-6, "{} {best}", found.rmsd);
}

#[test]
fn noise_of_a_tracing_leaves_the_structure() {
    let mut rng = StdRng::seed_from_u64(11);
    for structure in [
        Structure::Fcc,
        Structure::Hcp,
        Structure::Bcc,
        Structure::Sc,
    ] {
        let turn = any_rotation(&mut rng);
        let mut points = crystal(structure, 3.6, turn, 16.0);
        for v in points.iter_mut().flatten() {
            *v += 0.10 * rng.sample::<f64, _>(StandardNormal);
        }
        let matches = all(&points, 3.0);
        let inner = |p: &[f64; 3]| p.iter().map(|v| v * v).sum::<f64>() < 144.0;
        let (mut right, mut count) = (0, 0);
        for (point, found) in points.iter().zip(&matches) {
            if inner(point) {
                count += 1;
                right += usize::from(found.within(0.15) == structure);
            }
        }
        assert!(
            right * 100 > 98 * count,
            "{structure:?}: {right} of {count}"
        );
    }
}

#[test]
fn only_what_is_wanted_is_found() {
    let points = crystal(Structure::Fcc, 4.0, [1.0, 0.0, 0.0, 0.0], 9.0);
    let center = center_of(&points);
    let wanted = [Structure::Hcp, Structure::Bcc];
    let found = match_templates(&points, &wanted, 2.8, &Monitor::silent()).expect("not stopped");
    // The square faces of fcc can be split into a graph of hcp, but far off.
    assert_ne!(found[center].structure, Structure::Fcc);
    assert_eq!(found[center].within(0.1), Structure::Other);
}

#[test]
fn poor_input_matches_nothing_and_does_not_panic() {
    let plane: Vec<[f64; 3]> = (0..40)
        .map(|i| [f64::from(i % 8) * 2.0, f64::from(i / 8) * 2.0, 1.0])
        .collect();
    let line: Vec<[f64; 3]> = (0..30).map(|i| [f64::from(i) * 2.0, 0.0, 0.0]).collect();
    let few = vec![[0.0; 3], [2.0, 0.0, 0.0]];
    let mut twice = crystal(Structure::Fcc, 4.0, [1.0, 0.0, 0.0, 0.0], 7.0);
    twice.extend(twice.clone());
    let same = vec![[1.0; 3]; 30];
    let far = vec![[0.0; 3], [1e6, 0.0, 0.0], [0.0, 1e6, 3.0], [5.0, 1.0, 1e6]];
    for points in [
        plane,
        line,
        few,
        twice,
        same,
        far,
        vec![[0.0; 3]],
        Vec::new(),
    ] {
        let found = all(&points, 2.5);
        assert_eq!(found.len(), points.len());
        if points.len() < 60 {
            assert!(found.iter().all(|m| m.structure == Structure::Other));
        }
    }
}

#[test]
fn what_cannot_be_matched_is_said() {
    let notes = |points: &[[f64; 3]], wanted: &[Structure]| {
        let matches = Matches::new(points, wanted.to_vec(), 2.0, &Monitor::silent());
        matches.expect("not stopped").notes()
    };
    let plane: Vec<[f64; 3]> = (0..40)
        .map(|i| [f64::from(i % 8) * 2.0, f64::from(i / 8) * 2.0, 1.0])
        .collect();
    assert!(notes(&plane[..13], &Structure::ALL)[0].contains("too few for a neighbourhood of bcc"));
    assert!(notes(&plane, &Structure::ALL)[0].contains("no atom"));
    let ball = crystal(Structure::Sc, 2.0, [1.0, 0.0, 0.0, 0.0], 6.0);
    assert!(notes(&ball, &Structure::ALL).is_empty());
}

#[test]
fn stops_when_asked() {
    let control = std::sync::Arc::new(crate::monitor::Control::default());
    control.stop(Stopped::Abandon);
    struct Quiet;
    impl crate::monitor::Sink for Quiet {
        fn phase(&self, _: &str) {}
        fn progress(&self, _: usize, _: usize) {}
        fn warn(&self, _: &str) {}
    }
    let monitor = Monitor::new(std::sync::Arc::new(Quiet), control);
    let points = crystal(Structure::Fcc, 4.0, [1.0, 0.0, 0.0, 0.0], 7.0);
    assert!(match_templates(&points, &Structure::ALL, 2.8, &monitor).is_err());
}

#[test]
fn the_result_is_the_same_for_any_number_of_threads() {
    let mut points = crystal(Structure::Fcc, 4.0, [1.0, 0.0, 0.0, 0.0], 15.0);
    let mut rng = StdRng::seed_from_u64(3);
    for v in points.iter_mut().flatten() {
        *v += 0.15 * rng.sample::<f64, _>(StandardNormal);
    }
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let found = pool.expect("a pool").install(|| all(&points, 2.8));
        found
            .iter()
            .map(|m| (m.structure, m.rmsd.to_bits()))
            .collect::<Vec<_>>()
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn two_crystals_are_two_grains() {
    let mut rng = StdRng::seed_from_u64(7);
    let turns = [any_rotation(&mut rng), any_rotation(&mut rng)];
    let mut points = Vec::new();
    for (turn, radius, shift) in [(turns[0], 14.0, -14.5), (turns[1], 11.0, 11.5)] {
        let grain = crystal(Structure::Fcc, 4.0, turn, radius);
        points.extend(grain.iter().map(|p| [p[0] + shift, p[1], p[2]]));
    }
    for v in points.iter_mut().flatten() {
        *v += 0.03 * rng.sample::<f64, _>(StandardNormal);
    }
    let matches = all(&points, 2.8);
    let structures: Vec<Structure> = matches.iter().map(|m| m.within(0.1)).collect();
    let (numbers, found) = grains(&matches, &structures, 5f64.to_radians());
    assert_eq!(found.len(), 2);
    assert!(found[0].atoms > found[1].atoms);
    let symmetry = &Structure::Fcc.template().expect("a template").symmetry;
    for (grain, turn) in found.iter().zip(turns) {
        assert!(misorientation(grain.orientation, turn, symmetry) < 0.3f64.to_radians());
        assert!((grain.lattice - 4.0).abs() < 0.01);
    }
    for (point, number) in points.iter().zip(&numbers) {
        let side = if point[0] < 0.0 { 1 } else { 2 };
        assert!(*number == 0 || *number == side, "{point:?} {number}");
    }
    let counted = |n: u32| numbers.iter().filter(|&&m| m == n).count();
    assert_eq!([counted(1), counted(2)], [found[0].atoms, found[1].atoms]);
}

#[test]
fn both_kinds_of_hcp_atoms_are_one_grain_and_a_twin_is_two() {
    let turn = any_rotation(&mut StdRng::seed_from_u64(8));
    let points = crystal(Structure::Hcp, 3.2, turn, 12.0);
    let matches = all(&points, 3.2);
    let structures: Vec<Structure> = matches.iter().map(|m| m.within(0.1)).collect();
    let (_, found) = grains(&matches, &structures, 5f64.to_radians());
    assert_eq!(found.len(), 1);
    assert!((found[0].lattice - 3.2).abs() < 1e-9);

    let twin = layers(&[0, 1, 2, 0, 1, 2, 0, 2, 1, 0, 2, 1, 0]);
    let matches = all(&twin, 3.0);
    let structures: Vec<Structure> = matches.iter().map(|m| m.within(0.1)).collect();
    let (_, found) = grains(&matches, &structures, 5f64.to_radians());
    let of = |s: Structure| {
        found
            .iter()
            .filter(|g| g.structure == s)
            .collect::<Vec<_>>()
    };
    assert_eq!((of(Structure::Fcc).len(), of(Structure::Hcp).len()), (2, 1));
    let symmetry = &Structure::Fcc.template().expect("a template").symmetry;
    let [a, b] = [0, 1].map(|i| of(Structure::Fcc)[i].orientation);
    // A twin: 60° about ⟨111⟩.
    assert!((misorientation(a, b, symmetry).to_degrees() - 60.0).abs() < 1e-5);
}

/// Close-packed layers 3 Å apart in the layer; 0, 1, 2 stand for A, B, C.
fn layers(stacking: &[i32]) -> Vec<[f64; 3]> {
    let mut points = Vec::new();
    for (height, shift) in stacking.iter().enumerate() {
        let s = f64::from(*shift) / 3.0;
        for i in -8..=8 {
            for j in -8..=8 {
                let (i, j) = (f64::from(i), f64::from(j));
                points.push([
                    3.0 * (i + 0.5 * j + 1.5 * s),
                    3.0 * (0.75f64.sqrt() * j + 0.75f64.sqrt() * s),
                    3.0 * (2.0f64 / 3.0).sqrt() * height as f64,
                ]);
            }
        }
    }
    points
}

fn twins_of(points: &[[f64; 3]]) -> (Vec<Grain>, Vec<Twin>) {
    let matches = Matches::new(points, Structure::ALL.to_vec(), 3.0, &Monitor::silent());
    let mut atoms = Atoms::from_positions(points.to_vec(), "Pt");
    matches
        .expect("not stopped")
        .describe(&mut atoms, 0.1, 5f64.to_radians())
}

#[test]
fn a_twin_plane_is_found_and_a_stacking_fault_is_none() {
    // Mirrored at the seventh layer, which is hcp.
    let (grains, found) = twins_of(&layers(&[0, 1, 2, 0, 1, 2, 0, 2, 1, 0, 2, 1, 0]));
    assert_eq!(found.len(), 1);
    let twin = &found[0];
    assert!(twin.atoms > 100 && twin.grains == [1, 2], "{twin:?}");
    let height = 3.0 * (2.0f64 / 3.0).sqrt() * 6.0;
    assert!((twin.center[2] - height).abs() < 1e-9 && twin.normal[2].abs() > 1.0 - 1e-12);
    assert!((twin.misorientation.to_degrees() - 60.0).abs() < 1e-5);
    assert!(twin.off_ideal.to_degrees() < 1e-5);
    assert!(
        grains
            .iter()
            .filter(|g| g.structure == Structure::Fcc)
            .count()
            == 2
    );
    // Both sides of a fault are one orientation; layers of hcp have hcp beside them.
    for stacking in [
        [0, 1, 2, 0, 1, 2, 1, 2, 0, 1, 2, 0, 1],
        [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0],
    ] {
        assert!(twins_of(&layers(&stacking)).1.is_empty());
    }
}

#[test]
fn twin_planes_of_a_tetrahedron_meet_at_its_angle() {
    // Two planes of ⟨111⟩ type on the faces of a grain: outward normals 180° − 70.53° apart.
    let r = 3f64.sqrt().recip();
    let plane = |grains: [u32; 2], normal: [f64; 3]| Twin {
        grains,
        atoms: 50,
        normal,
        center: [0.0; 3],
        misorientation: 1.0,
        off_ideal: 0.0,
    };
    let found = twin_angles(&[
        plane([1, 2], [r, r, r]),
        plane([1, 3], [r, -r, -r]),
        plane([4, 5], [r, r, -r]),
    ]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].grain, found[0].planes), (1, [0, 1]));
    assert!((found[0].angle.cos() - 1.0 / 3.0).abs() < 1e-12);
}
