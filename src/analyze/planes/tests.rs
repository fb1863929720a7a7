//! Planes, layers and their angles against lattices whose answers are known.

use super::*;
use crate::analyze::analyze;
use crate::model::geometry::apply;
use crate::model::{Atoms, EulerAngles};
use crate::monitor::Monitor;

/// A ball of fcc, lattice constant `a`, turned.
fn ball(a: f64, radius: f64, turn: EulerAngles) -> Vec<Point> {
    let r = turn.detector_from_sample();
    let n = (2.0 * radius / a).ceil() as i32;
    let mut points = Vec::new();
    for i in -n..=n {
        for j in -n..=n {
            for k in (-n..=n).filter(|k| (i + j + k) % 2 == 0) {
                let p = [i, j, k].map(|x| f64::from(x) * a / 2.0);
                if dot(p, p) < radius * radius {
                    points.push(apply(&r, p));
                }
            }
        }
    }
    points
}

fn layers(points: Vec<Point>, plane: &str) -> Analyzed {
    let params = AnalyzeParams {
        only: Some(["boo", "ptm", "layers"].map(str::to_owned).to_vec()),
        cutoff: Some(3.5),
        plane: Some(plane.parse().unwrap()),
        ..AnalyzeParams::default()
    };
    let atoms = Atoms::from_positions(points, "Pt");
    analyze(&atoms, &params, &Monitor::silent()).unwrap()
}

#[test]
fn planes_are_said_and_read_back() {
    for text in ["atoms:4,17,23", "hkl:1,-1,1@2", "normal:0,0.5,1"] {
        let spec: PlaneSpec = text.parse().unwrap();
        assert_eq!(spec.to_string(), text);
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<PlaneSpec>(&json).unwrap(), spec);
    }
    assert_eq!(
        "hkl:1,1,1".parse::<PlaneSpec>().unwrap().to_string(),
        "hkl:1,1,1@1"
    );
    for text in [
        "atoms:1,2",
        "atoms:0,1,2",
        "hkl:0,0,0@1",
        "hkl:1,1@1",
        "normal:0,0,0",
        "plane",
        "hkl:1,1,1@0",
    ] {
        assert!(text.parse::<PlaneSpec>().is_err(), "{text}");
    }
}

#[test]
fn the_layers_of_fcc_are_as_far_apart_as_its_planes() {
    let a = 3.92;
    let turned = EulerAngles::from_deg(14.0, 31.0, -22.0);
    for (plane, spacing, symmetry) in [
        ("hkl:1,1,1@1", a / 3f64.sqrt(), 6),
        ("hkl:2,0,0@1", a / 2.0, 4),
        ("hkl:2,2,0@1", a / 8f64.sqrt(), 2),
    ] {
        let out = layers(ball(a, 13.0, turned), plane);
        let stack = out.stack.as_ref().unwrap();
        assert!(stack.atomic, "{plane}");
        let (mean, sd, n) = stack.spacing();
        // Atoms of the outermost layers lack neighbours and belong to no grain.
        assert!(
            (mean - spacing).abs() < 1e-6 && sd < 1e-6 && n >= 8,
            "{plane}: {n} spacings of {mean} ± {sd}"
        );
        assert_eq!(stack.symmetry, symmetry, "{plane}");
        let twists = stack.sheets.iter().filter_map(|s| s.twist);
        assert!(twists.map(f64::abs).fold(0.0, f64::max) < 1e-6);
        let bends = stack.sheets.iter().filter_map(|s| s.bend);
        assert!(bends.fold(0.0, f64::max) < 1e-6);
        let all: usize = stack.sheets.iter().map(|s| s.atoms).sum();
        assert_eq!(all, out.atoms.len());
    }
}

#[test]
fn a_bent_and_twisted_stack_is_measured() {
    // Square layers, each turned by 2° and tilted by 1° against the one below.
    let mut points = Vec::new();
    for layer in 0..8 {
        let (turn, tilt) = (
            f64::from(layer) * 2f64.to_radians(),
            f64::from(layer) * 1f64.to_radians(),
        );
        for i in -6..=6 {
            for j in -6..=6 {
                let (x, y) = (2.8 * f64::from(i), 2.8 * f64::from(j));
                let (u, v) = (
                    x * turn.cos() - y * turn.sin(),
                    x * turn.sin() + y * turn.cos(),
                );
                if x.hypot(y) < 8.0 {
                    // Tilted about x, about the layer's middle.
                    points.push([u, v * tilt.cos(), 2.8 * f64::from(layer) + v * tilt.sin()]);
                }
            }
        }
    }
    let out = layers(points, "normal:0,0,1");
    let stack = out.stack.as_ref().unwrap();
    assert_eq!(
        (
            stack.atomic,
            stack.sheets.iter().filter(|s| s.atoms > 0).count()
        ),
        (true, 8)
    );
    let full: Vec<&Sheet> = stack.sheets.iter().filter(|s| s.atoms > 0).collect();
    for sheet in &full[..7] {
        let (bend, twist) = (
            sheet.bend.unwrap().to_degrees(),
            sheet.twist.unwrap().to_degrees(),
        );
        assert!((bend - 1.0).abs() < 1e-6, "{bend}");
        assert!((twist - 2.0).abs() < 0.1, "{twist}");
    }
}

#[test]
fn atoms_of_a_plane_say_it_and_bad_ones_are_refused() {
    let points = ball(3.92, 12.0, EulerAngles::from_deg(0.0, 0.0, 0.0));
    let find = |p: Point| points.iter().position(|q| *q == p).unwrap() + 1;
    let half = 3.92 / 2.0;
    let three = [[0.0; 3], [half, half, 0.0], [half, -half, 0.0]].map(find);
    let name = format!("atoms:{},{},{}", three[0], three[1], three[2]);
    let out = layers(points.clone(), &name);
    let stack = out.stack.as_ref().unwrap();
    assert!((stack.plane.normal[2] - 1.0).abs() < 1e-12);
    assert!((stack.spacing().0 - half).abs() < 1e-6);
    let refused = |plane: &str| {
        let params = AnalyzeParams {
            only: Some(vec!["layers".to_owned()]),
            cutoff: Some(3.5),
            plane: Some(plane.parse().unwrap()),
            ..AnalyzeParams::default()
        };
        let atoms = Atoms::from_positions(points.clone(), "Pt");
        analyze(&atoms, &params, &Monitor::silent())
            .unwrap_err()
            .to_string()
    };
    let line = [[0.0; 3], [half, half, 0.0], [2.0 * half, 2.0 * half, 0.0]].map(find);
    let line = format!("atoms:{},{},{}", line[0], line[1], line[2]);
    assert!(refused(&line).contains("one line"));
    assert!(refused("atoms:1,2,999999").contains("999999"));
    assert!(refused("hkl:1,1,1@7").contains("grain 7 of 0"));
}

#[test]
fn a_gas_has_no_layers_but_slabs() {
    let mut h = 1u64;
    let mut random = || {
        h = h.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (h >> 33) as f64 / f64::from(u32::MAX / 2)
    };
    let mut points: Vec<Point> = Vec::new();
    while points.len() < 600 {
        let p = [24.0 * random(), 24.0 * random(), 24.0 * random()];
        if points
            .iter()
            .all(|q| crate::model::geometry::distance(*q, p) > 2.2)
        {
            points.push(p);
        }
    }
    let out = layers(points, "normal:0.3,0.2,1");
    let stack = out.stack.as_ref().unwrap();
    assert!(!stack.atomic && stack.symmetry == 0);
    assert!(
        stack
            .sheets
            .iter()
            .all(|s| s.spacing.is_nan() && s.twist.is_none())
    );
    let widths: Vec<f64> = stack
        .sheets
        .iter()
        .map(|s| s.between[1] - s.between[0])
        .collect();
    assert!(widths.iter().all(|w| (w - 5.3).abs() < 1e-9));
}
