//! Bins by hand, surfaces of spheres and planes, and curves that are known.

use super::*;
use crate::analyze::{AnalyzeParams, analyze};
use crate::model::Atoms;
use crate::monitor::Monitor;

/// A ball of fcc (nearest distance 3.2 Å), a little off the lattice so that nothing is degenerate.
fn ball(radius: f64) -> Vec<Point> {
    let half = 3.2 / 2f64.sqrt();
    let n = (radius / half).ceil() as i32;
    let mut points = Vec::new();
    for i in -n..=n {
        for j in -n..=n {
            for k in (-n..=n).filter(|k| (i + j + k) % 2 == 0) {
                let off = f64::from((i * 73 + j * 179 + k * 283).rem_euclid(101)) / 101.0 - 0.5;
                let p = [i, j, k].map(|v| f64::from(v) * half + 1e-3 * off);
                if p.iter().map(|v| v * v).sum::<f64>() < radius * radius {
                    points.push(p);
                }
            }
        }
    }
    points
}

fn norm(p: &Point) -> f64 {
    p.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[test]
fn bins_hold_the_textbook_mean_spread_and_interval() {
    let distances = [0.1, 0.4, 0.7, 0.9, 1.2, -0.3, f64::NAN, 0.5];
    let values = [2.0, 4.0, 4.0, 6.0, 7.0, 1.0, 9.0, f64::NAN];
    let bins = binned(&distances, &values, 1.0);
    let n: Vec<usize> = bins.iter().map(|b| b.n).collect();
    assert_eq!(n, [1, 4, 1]);
    assert_eq!(bins[1].distance, 0.5);
    assert!((bins[1].mean - 4.0).abs() < 1e-15);
    // Σ(v − 4)² = 8, sd = √(8/3), t(3) = 3.1824.
    let sd = (8.0f64 / 3.0).sqrt();
    assert!((bins[1].sd - sd).abs() < 1e-12 && (bins[1].ci95 - 3.182_446 * sd / 2.0).abs() < 1e-5);
    assert!(bins[0].sd.is_nan() && bins[0].ci95.is_nan() && bins[0].mean == 1.0);
    assert!(binned(&distances, &values, 0.0).is_empty() && binned(&[], &[], 1.0).is_empty());
}

#[test]
fn the_surface_of_a_ball_is_as_far_as_its_radius_says() {
    let points = ball(20.0);
    let space = Space::new(&points).unwrap();
    let region = space.region(4.5);
    let found = below_surface(&points, &space, &region);
    let surface = space.surface(&region, points.len());
    for ((p, distance), on) in points.iter().zip(&found.values).zip(surface) {
        // Facets between atoms of the outermost planes lie up to a plane's distance inside the sphere.
        let gap = 20.0 - norm(p) - distance;
        assert!((-0.1..3.0).contains(&gap), "{p:?} at {distance}");
        assert_eq!(on, *distance == 0.0);
    }
    let center = found.values[points.iter().position(|p| norm(p) < 0.1).unwrap()];
    assert!(center > 16.5 && center < 20.0);
    // Outward normals: the surface's volume by the divergence theorem is the region's, and positive.
    let volume: f64 = found
        .surface
        .triangles
        .iter()
        .map(|t| {
            let [a, b, c] = t.map(|i| points[i as usize]);
            let cross = [
                b[1] * c[2] - b[2] * c[1],
                b[2] * c[0] - b[0] * c[2],
                b[0] * c[1] - b[1] * c[0],
            ];
            (0..3).map(|k| a[k] * cross[k]).sum::<f64>() / 6.0
        })
        .sum();
    let expected = crate::analyze::oxidation::region_volume(&space, &region);
    assert!(
        (volume / expected - 1.0).abs() < 1e-9,
        "{volume} {expected}"
    );
}

#[test]
fn an_interface_of_two_phases_is_half_way_and_an_island_does_not_count() {
    let points = ball(20.0);
    let plane = 3.2 / 2f64.sqrt();
    let mut side: Vec<f64> = points
        .iter()
        .map(|p| f64::from(u8::from(p[0] < -0.1)))
        .collect();
    let island = points
        .iter()
        .position(|p| (p[0] - 12.0 * plane / 2.0).abs() < 0.2)
        .unwrap();
    side[island] = 1.0;
    let found = between("a|b", &points, &side, [4.0, 2.4, 3.2]).unwrap();
    // Beyond the rim of the disc its edge is nearer than its plane.
    for (p, distance) in points
        .iter()
        .zip(&found.values)
        .filter(|(p, _)| norm(p) < 16.0)
    {
        // Half way between the planes at −plane and 0.
        assert!(
            (distance - (p[0] + 0.5 * plane)).abs() < 0.3,
            "{p:?} at {distance}"
        );
    }
    side[0] = f64::NAN;
    assert!(
        between("a|b", &points, &side, [4.0, 2.4, 3.2])
            .unwrap()
            .values[0]
            .is_nan()
    );
    for none in [0.0, f64::NAN] {
        let side = vec![none; points.len()];
        assert!(between("a|b", &points, &side, [4.0, 2.4, 3.2]).is_none());
    }
}

#[test]
fn a_quantity_that_falls_off_from_the_surface_is_fitted_with_honest_errors() {
    let points = ball(26.0);
    let mut atoms = Atoms::from_positions(points, "Zr");
    let params = AnalyzeParams {
        cutoff: Some(4.0),
        only: Some(vec!["profiles".to_owned()]),
        profile_bin: Some(1.0),
        ..AnalyzeParams::default()
    };
    let plain = analyze(&atoms, &params, &Monitor::silent()).unwrap();
    let distance = plain.atoms.column("surface_distance").unwrap().to_vec();
    let wobble = |i: usize| 0.4 * ((i as f64 * 0.618_033_988_749_894_9).fract() - 0.5);
    let falls = |x: f64| 0.2 + 0.9 / (1.0 + ((x - 8.0) / 1.5).exp());
    let values = distance
        .iter()
        .enumerate()
        .map(|(i, x)| falls(*x) + wobble(i))
        .collect();
    atoms.set_column("oxidation", "", values);
    let decays = distance
        .iter()
        .enumerate()
        .map(|(i, x)| 3.0 + 2.0 * (-x / 4.0).exp() + wobble(i));
    let decays: Vec<f64> = decays.collect();
    atoms.set_column("cn", "", decays);
    let out = analyze(&atoms, &params, &Monitor::silent()).unwrap();
    let of = |column: &str| {
        out.profiles
            .iter()
            .find(|p| p.from == "surface" && p.column == column)
            .unwrap()
    };
    let logistic = of("oxidation").logistic.unwrap();
    // The falling curve's upper side is at small distances; a bin of 1 Å averages over its slope.
    for (k, truth) in [(0, 1.1), (1, 0.2), (2, 8.0), (3, 1.5)] {
        let off = (logistic.values[k] - truth).abs();
        assert!(off < 4.0 * logistic.errors[k] + 0.05, "{k}: {logistic:?}");
    }
    let exponential = of("cn").exponential.unwrap();
    assert!(
        (exponential.values[2] - 4.0).abs() < 4.0 * exponential.errors[2] + 0.1,
        "{exponential:?}"
    );
    let json = &out.summary["profiles"]["surface"]["oxidation"];
    assert_eq!(
        json["n"].as_array().unwrap().len(),
        of("oxidation").bins.len()
    );
    assert!(json["logistic"]["se"]["x0_A"].as_f64().unwrap() < 0.2);
}

#[test]
fn phases_of_the_input_give_their_interfaces() {
    let points = ball(22.0);
    let phase: Vec<f64> = points
        .iter()
        .map(|p| {
            if norm(p) < 9.0 {
                0.0
            } else {
                1.0 + f64::from(u8::from(p[0] > 0.1))
            }
        })
        .collect();
    let mut atoms = Atoms::from_positions(points, "Zr");
    atoms.set_column("phase", "", phase.clone());
    atoms.set_column("boo", "", phase);
    let params = AnalyzeParams {
        cutoff: Some(4.0),
        only: Some(vec!["profiles".to_owned()]),
        ..AnalyzeParams::default()
    };
    let out = analyze(&atoms, &params, &Monitor::silent()).unwrap();
    let names: Vec<&str> = out.distances.iter().map(|d| d.from.as_str()).collect();
    assert_eq!(
        names,
        [
            "surface",
            "core",
            "core|crystalline_oxide",
            "core|amorphous_oxide",
            "crystalline_oxide|amorphous_oxide"
        ]
    );
    let core = out.atoms.column("core_distance").unwrap();
    for (p, distance) in atoms.positions.iter().zip(core) {
        assert!(
            (distance - (norm(p) - 9.0)).abs() < 1.3,
            "{p:?} at {distance}"
        );
    }
    let third = &out.distances[4].values;
    for (p, distance) in atoms.positions.iter().zip(third) {
        assert_eq!(distance.is_nan(), norm(p) < 9.0);
    }
    assert!(
        out.profiles
            .iter()
            .any(|p| p.from == "core" && p.column == "boo")
    );
}

#[test]
fn repeating_an_analysis_gives_what_a_new_one_gives() {
    let points = ball(18.0);
    let mut atoms = Atoms::from_positions(points, "Pt");
    atoms.species_names.push("Pd".to_owned());
    atoms.species = atoms
        .positions
        .iter()
        .map(|p| u16::from(norm(p) < 10.0))
        .collect();
    // Of two species, oxidation is analysed only where it is asked for.
    let parts = crate::analyze::params::PARTS;
    let mut params = AnalyzeParams {
        cutoff: Some(4.0),
        only: Some(parts.iter().map(|part| (*part).to_owned()).collect()),
        ..AnalyzeParams::default()
    };
    let first = analyze(&atoms, &params, &Monitor::silent()).unwrap();
    params.oxygen_volume = 3.0;
    for (layer, sigma) in [(1.03, 3.89), (1.5, 4.5)] {
        (params.layer, params.strain_sigma) = (layer, sigma);
        let again = crate::analyze::reanalyze(&first, &params, &Monitor::silent()).unwrap();
        let fresh = analyze(&atoms, &params, &Monitor::silent()).unwrap();
        let text = |out: &Analyzed, key: &str| out.summary[key].to_string();
        for key in [
            "core_shell",
            "strain",
            "profiles",
            "oxidation_sweep",
            "voronoi",
            "pdf",
        ] {
            assert!(text(&again, key).len() > 100, "{key}");
            assert_eq!(text(&again, key), text(&fresh, key), "{key}");
        }
        assert_eq!(again.notes, fresh.notes);
    }
    params.layer = 0.0;
    let refused = analyze(&atoms, &params, &Monitor::silent())
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("layer is 0, expected 0.2 to 20 Å"),
        "{refused}"
    );
}

#[test]
fn a_constant_has_no_fit_and_a_flat_model_no_profile() {
    let constant = profile(
        "surface",
        "x",
        "",
        &[0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5],
        &[1.0; 7],
        1.0,
    );
    assert!(constant.logistic.is_none() && constant.exponential.is_none());
    assert_eq!(constant.bins.len(), 7);
    let flat = (0..40)
        .map(|i| [f64::from(i % 8) * 3.0, f64::from(i / 8) * 3.0, 0.0])
        .collect();
    let atoms = Atoms::from_positions(flat, "Zr");
    let out = analyze(&atoms, &AnalyzeParams::default(), &Monitor::silent()).unwrap();
    assert!(out.profiles.is_empty() && out.notes.iter().any(|n| n.contains("plane")));
}
