//! Spheres with known interfaces, and input that cannot be analysed.

use super::*;
use crate::analyze::oxidation::Space;

/// A ball of fcc (nearest distance 2.76 Å) in which `core` says which atoms are Pd, the others being Pt.
fn ball(radius: f64, core: impl Fn(Point, usize) -> bool) -> Atoms {
    let half = 2.76 / 2f64.sqrt();
    let n = (radius / half).ceil() as i32;
    let mut positions = Vec::new();
    for i in -n..=n {
        for j in -n..=n {
            for k in (-n..=n).filter(|k| (i + j + k) % 2 == 0) {
                // Off the voxels' rims.
                let p = [i, j, k].map(|v| f64::from(v) * half + 0.017);
                if p.iter().map(|v| v * v).sum::<f64>() < radius * radius {
                    positions.push(p);
                }
            }
        }
    }
    let mut atoms = Atoms::from_positions(positions, "Pt");
    atoms.species_names.push("Pd".to_owned());
    atoms.species = (0..atoms.len())
        .map(|i| u16::from(core(atoms.positions[i], i)))
        .collect();
    atoms
}

fn norm(p: Point) -> f64 {
    p.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn analyzed(atoms: &Atoms, params: &AnalyzeParams) -> (CoreShell, Vec<String>) {
    let space = Space::new(&atoms.positions).unwrap();
    let mesh = Some((&space.mesh, &space.circumradius[..]));
    let found = core_shell(atoms, 3.35, 2.76, mesh, params).unwrap();
    let notes = found.notes.clone();
    (found, notes)
}

#[test]
fn a_sharp_sphere_has_its_radius_and_a_thickness_below_the_planes() {
    let atoms = ball(24.0, |p, _| norm(p) < 14.0);
    let (found, notes) = analyzed(&atoms, &AnalyzeParams::default());
    assert_eq!(
        (found.core.as_str(), found.shell.join("")),
        ("Pd", "Pt".to_owned())
    );
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(found.isolated(), (0, 0));
    let inside = found.is_core.iter().filter(|c| **c).count();
    assert_eq!(found.clusters, vec![inside]);
    // The 50 % surface lies between the outermost core atoms and the innermost of the shell.
    for (p, depth) in atoms.positions.iter().zip(&found.depth) {
        assert!((depth - (norm(*p) - 14.0)).abs() < 1.1, "{p:?} at {depth}");
    }
    assert_eq!(found.profiles.len(), 6);
    for profile in &found.profiles {
        let thickness = profile.thickness.unwrap();
        assert!(thickness < 3.0, "{} {thickness}", profile.kind);
        let atoms_in: usize = profile.layers.iter().map(|l| l.core + l.shell).sum();
        assert_eq!(atoms_in, atoms.len(), "{}", profile.kind);
    }
    // An atom of the core next to the shell has unlike neighbours, one in the middle none.
    for (i, p) in atoms.positions.iter().enumerate() {
        if norm(*p) < 11.0 {
            assert_eq!((found.cn_unlike[i], found.cn_like[i]), (0, 12));
        }
    }
}

#[test]
fn a_blurred_interface_has_the_thickness_of_its_error_function() {
    // Fractions ½ erfc((r − 16)/(σ√2)) with σ = 3 Å: 5–95 % is 2 · 1.645 σ = 9.87 Å.
    let chance = |i: usize| (i as f64 * 0.618_033_988_749_894_9).fract();
    let atoms = ball(32.0, |p, i| {
        chance(i) < 0.5 * crate::numeric::curve::erfc((norm(p) - 16.0) / (3.0 * 2f64.sqrt()))
    });
    let (found, _) = analyzed(&atoms, &AnalyzeParams::default());
    // By depth, the surface follows the accidental roughness a little, so the width is a little too small.
    let profile = found
        .profiles
        .iter()
        .find(|p| p.kind == "distance" && p.sigma > 3.0)
        .unwrap();
    let (thickness, error) = (profile.thickness.unwrap(), profile.thickness_error.unwrap());
    assert!((thickness - 9.87).abs() < 2.0, "{thickness} ± {error}");
    assert!((0.05..1.5).contains(&error), "{error}");
    let step = profile.step.unwrap();
    assert!((step[0] - 3.0).abs() < 0.5, "{step:?}");
    let layers = &found.profiles[0];
    assert_eq!(layers.kind, "clean_core");
    let range = found.thickness_range().unwrap();
    assert!(range[0] <= thickness && thickness <= range[1]);
}

#[test]
fn lone_atoms_and_pairs_are_counted_and_do_not_bend_the_surface() {
    let plain = ball(24.0, |p, _| norm(p) < 12.0);
    let at = |x: f64| {
        plain
            .positions
            .iter()
            .position(|p| (p[0] - x).abs().max(p[1].abs()).max(p[2].abs()) < 0.1)
            .unwrap()
    };
    let half = 2.76 / 2f64.sqrt();
    let (lone, inner) = (at(10.0 * half), at(2.0 * half));
    let mut atoms = plain.clone();
    atoms.species[lone] = 1;
    atoms.species[inner] = 0;
    let (found, _) = analyzed(&atoms, &AnalyzeParams::default());
    assert_eq!(found.isolated(), (1, 1));
    assert_eq!(found.clusters.last(), Some(&1));
    let expected = norm(atoms.positions[lone]) - 12.0;
    assert!(
        (found.depth[lone] - expected).abs() < 1.1,
        "{}",
        found.depth[lone]
    );
    assert!(found.depth[inner] < -5.0);
    let json = found.json(3.35);
    assert_eq!(json["clusters"]["n_size1"], 1);
    assert_eq!(json["isolated"]["core_12_unlike"], 1);
}

#[test]
fn one_species_flat_models_and_mixtures_are_refused_or_noted() {
    let params = AnalyzeParams::default();
    let mut atoms = ball(9.0, |_, _| false);
    let refused = core_shell(&atoms, 3.35, 2.76, None, &params).unwrap_err();
    assert!(
        refused.contains("two species") && refused.contains("Pt"),
        "{refused}"
    );
    assert!(core_shell(&atoms.select(&[0, 1, 2]), 3.35, 2.76, None, &params).is_err());
    for p in &mut atoms.positions {
        p[2] = 0.0;
    }
    for i in 0..atoms.len() {
        atoms.species[i] = (i % 2) as u16;
    }
    let found = core_shell(&atoms, 3.35, 2.76, None, &params).unwrap();
    let notes = &found.notes;
    assert!(notes.iter().any(|n| n.contains("no body")), "{notes:?}");
    assert_eq!(found.cn_unlike.len(), atoms.len());
    let mixed = ball(12.0, |_, i| i % 3 == 0);
    let (found, notes) = analyzed(&mixed, &params);
    assert!(!notes.is_empty() && found.cn_like.len() == mixed.len());
}
