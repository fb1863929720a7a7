//! Tracing on made volumes: positions, selection, refusals, and what must not change the result.

use super::*;
use crate::model::geometry::distance;
use ndarray::Array3;
use proptest::prelude::*;

/// Gaussian atoms (voxel index, height) on a grid of 0.4 Å.
fn atoms_volume(size: [usize; 3], atoms: &[([f64; 3], f64)], sigma_vox: f64) -> Volume {
    let data = Array3::from_shape_fn(size, |(x, y, z)| {
        let value = |(p, height): &([f64; 3], f64)| {
            let r2 =
                (x as f64 - p[0]).powi(2) + (y as f64 - p[1]).powi(2) + (z as f64 - p[2]).powi(2);
            height * (-0.5 * r2 / (sigma_vox * sigma_vox)).exp()
        };
        atoms.iter().map(value).sum::<f64>() as f32
    });
    Volume::new(data, 0.4)
}

fn lattice() -> Vec<([f64; 3], f64)> {
    let atom = |i: usize| {
        let jitter = |k: usize| (((i * 7 + k * 5) % 11) as f64 - 5.0) * 0.09;
        let at = [i / 9, i / 3 % 3, i % 3].map(|k| 8.0 + 8.0 * k as f64);
        (
            std::array::from_fn(|a| at[a] + jitter(a)),
            10.0 + (i % 5) as f64 * 0.3,
        )
    };
    (0..27).map(atom).collect()
}

fn quiet(volume: &Volume, params: &TraceParams) -> Traced {
    trace(volume, params, None, &Monitor::silent()).unwrap()
}

fn nearest(positions: &[[f64; 3]], to: [f64; 3]) -> f64 {
    positions
        .iter()
        .map(|p| distance(*p, to))
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn gaussian_atoms_are_found_within_a_hundredth_of_a_voxel() {
    let atoms = lattice();
    let volume = atoms_volume([33, 32, 31], &atoms, 1.4);
    let traced = quiet(&volume, &TraceParams::default());
    assert_eq!(traced.atoms.len(), atoms.len());
    for (truth, _) in &atoms {
        let apart = nearest(&traced.atoms.positions, volume.position_of(*truth));
        assert!(apart < 0.01 * volume.pixel_size, "{apart}");
    }
    // The up-sampled spline widens a Gaussian of 1.4 voxels by less than a percent.
    assert!(
        (traced.sigma_mean - 0.56).abs() < 0.006,
        "{}",
        traced.sigma_mean
    );
    assert!(traced.sigma_sd < 0.01);
    assert_eq!(traced.count(Verdict::Atom), 27);
    assert!(traced.atoms.ids.windows(2).all(|w| w[0] < w[1]));
}

#[test]
fn threads_do_not_change_a_bit() {
    let mut volume = atoms_volume([33, 32, 31], &lattice(), 1.4);
    let mut state = 7u64;
    volume.data.mapv_inplace(|v| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        v + (state >> 40) as f32 / 8_000_000.0
    });
    let params = TraceParams {
        smoothing: 0.3,
        ..TraceParams::default()
    };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| quiet(&volume, &params))
    };
    let (one, four) = (run(1), run(4));
    assert_eq!(one.atoms.positions, four.atoms.positions);
    assert_eq!(one.candidates.len(), four.candidates.len());
    assert_eq!(one.threshold, four.threshold);
}

#[test]
fn unusable_input_is_named() {
    let text = |volume: &Volume, params: &TraceParams, support: Option<&Volume>| {
        trace(volume, params, support, &Monitor::silent())
            .unwrap_err()
            .to_string()
    };
    let params = TraceParams::default();
    let mut volume = atoms_volume([20, 20, 20], &[([10.0; 3], 1.0)], 1.5);
    let none = TraceParams {
        upsample: 0,
        ..params.clone()
    };
    assert_eq!(
        text(&volume, &none, None),
        "upsample is 0, expected a whole number from 1 to 8"
    );
    let strange = TraceParams {
        box_size: f64::NAN,
        ..params.clone()
    };
    assert!(text(&volume, &strange, None).starts_with("box_size is NaN"));
    let other = Volume::zeros([20, 20, 21], 0.4);
    assert!(
        text(&volume, &params, Some(&other)).starts_with("support: expected the volume's size")
    );
    volume.data[[1, 2, 3]] = f32::NAN;
    assert_eq!(
        text(&volume, &params, None),
        "volume: expected finite voxels, found 1 that are NaN or infinite"
    );
    assert!(
        text(&Volume::zeros([9, 9, 9], 0.4), &params, None)
            .contains("the same density 0 everywhere")
    );
    assert!(text(&Volume::zeros([0, 9, 9], 0.4), &params, None).contains("at least 3 voxels"));
    let mut negative = Volume::zeros([9, 9, 9], 0.4);
    negative.data.fill(-1.0);
    negative.data[[4, 4, 4]] = -2.0;
    assert!(text(&negative, &params, None).contains("maxima of positive density"));
}

#[test]
fn a_support_hides_what_lies_outside() {
    let volume = atoms_volume([33, 32, 31], &lattice(), 1.4);
    let mut support = Volume::zeros(volume.size(), 0.4);
    support.data.slice_mut(ndarray::s![..12, .., ..]).fill(1.0);
    let traced = trace(
        &volume,
        &TraceParams::default(),
        Some(&support),
        &Monitor::silent(),
    )
    .unwrap();
    assert_eq!(traced.atoms.len(), 9);
}

#[test]
fn an_atom_at_the_rim_is_listed_as_such() {
    let volume = atoms_volume(
        [24, 24, 24],
        &[([12.0; 3], 10.0), ([1.2, 12.0, 12.0], 10.0)],
        1.4,
    );
    let traced = quiet(&volume, &TraceParams::default());
    assert_eq!((traced.atoms.len(), traced.count(Verdict::AtEdge)), (1, 1));
}

#[test]
fn atoms_beyond_the_field_are_no_atoms() {
    let volume = atoms_volume([33, 32, 31], &lattice(), 1.4);
    let all = quiet(&volume, &TraceParams::default());
    let params = TraceParams {
        within_x: Some(1.0),
        within_y: Some(1.0),
        ..TraceParams::default()
    };
    let within = quiet(&volume, &params);
    let inside = |p: &[f64; 3]| p[0].abs() <= 1.0 && p[1].abs() <= 1.0;
    let every = all.atoms.positions.iter().copied();
    let expected: Vec<[f64; 3]> = every.filter(inside).collect();
    assert!(!expected.is_empty() && expected.len() < all.atoms.len());
    assert_eq!(within.atoms.positions, expected);
    let refused = TraceParams {
        within_y: Some(f64::NAN),
        ..TraceParams::default()
    };
    let error = trace(&volume, &refused, None, &Monitor::silent()).unwrap_err();
    assert!(error.to_string().starts_with("within_y is NaN"), "{error}");
}

#[test]
fn a_dragged_threshold_gives_what_tracing_with_it_gives() {
    let volume = atoms_volume([33, 32, 31], &lattice(), 1.4);
    let traced = quiet(&volume, &TraceParams::default());
    let middle = traced.atoms.column("intensity").unwrap()[13];
    let dragged = apply_threshold(&traced, middle, 2.0);
    let params = TraceParams {
        threshold: Some(middle),
        ..TraceParams::default()
    };
    assert_eq!(dragged.atoms, quiet(&volume, &params).atoms);
    assert!(dragged.atoms.len() < traced.atoms.len());
    assert_eq!(
        apply_threshold(&dragged, traced.threshold, 2.0).atoms,
        traced.atoms
    );
    assert_eq!(rank_of(&traced, f64::INFINITY), 100.0);
    assert!(rank_of(&traced, middle) < 100.0);
    let histogram = intensity_histogram(&dragged.candidates, 10);
    assert_eq!(histogram.atoms.iter().sum::<usize>(), dragged.atoms.len());
    assert!(histogram.candidates.iter().sum::<usize>() >= traced.atoms.len());
}

#[test]
fn a_click_snaps_to_the_atom_that_tracing_finds() {
    let volume = atoms_volume([33, 32, 31], &lattice(), 1.4);
    let params = TraceParams {
        smoothing: 0.2,
        ..TraceParams::default()
    };
    for atom in &quiet(&volume, &params).atoms.positions {
        let click = [atom[0] + 0.3, atom[1] - 0.25, atom[2] + 0.2];
        let candidate = refit(&volume, click, &params).unwrap();
        assert_eq!(candidate.verdict, Verdict::Atom);
        let apart = distance(candidate.position, *atom);
        assert!(apart < 1e-3, "{apart}");
    }
    assert!(refit(&volume, [500.0, 0.0, 0.0], &params).is_none());
    assert!(refit(&volume, [f64::NAN, 0.0, 0.0], &params).is_none());
}

const THREE: [([f64; 3], f64); 3] = [
    ([14.3, 12.9, 13.4], 9.0),
    ([15.1, 18.8, 12.2], 10.0),
    ([21.0, 14.5, 15.5], 11.0),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn whole_voxel_shifts_move_the_atoms_and_nothing_else(shift in prop::array::uniform3(0usize..5)) {
        let moved = THREE.map(|(p, h)| (std::array::from_fn(|a| p[a] + shift[a] as f64), h));
        let one = quiet(&atoms_volume([36; 3], &THREE, 1.4), &TraceParams::default());
        let two = quiet(&atoms_volume([36; 3], &moved, 1.4), &TraceParams::default());
        prop_assert_eq!((one.atoms.len(), two.atoms.len()), (3, 3));
        for (a, b) in one.atoms.positions.iter().zip(&two.atoms.positions) {
            for axis in 0..3 {
                prop_assert!((b[axis] - a[axis] - shift[axis] as f64 * 0.4).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn exchanged_axes_exchange_coordinates(order in 0usize..6) {
        let axes = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][order];
        let volume = atoms_volume([36; 3], &THREE, 1.4);
        let turned = Volume::new(volume.data.clone().permuted_axes(axes), 0.4);
        let one = quiet(&volume, &TraceParams::default());
        let two = quiet(&turned, &TraceParams::default());
        prop_assert_eq!(two.atoms.len(), 3);
        for p in &one.atoms.positions {
            let apart = nearest(&two.atoms.positions, axes.map(|a| p[a]));
            prop_assert!(apart < 1e-5, "{}", apart);
        }
    }
}
