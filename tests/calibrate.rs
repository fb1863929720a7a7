//! The pixel size from simulated images of Si [110], the nominal one 4 % off, the specimen drifting during the scan.

use aetlas::monitor::Monitor;
use aetlas::preprocess::{CalibrateParams, CrystalImage, PrepareError, calibrate};
use ndarray::Array2;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Poisson};

const SILICON: f64 = 5.431_020_5;
/// Nominal pixel, Å; the true one is 4 % larger.
const NOMINAL: f64 = 0.2;
const TRUE: f64 = 0.208;

/// Columns of Si seen along [110], Å: from the cubic cell's eight atoms, repeated, projected on [001] and [1-10].
fn columns(reach: f64) -> Vec<[f64; 2]> {
    let base = [
        [0.0, 0.0, 0.0],
        [0.5, 0.5, 0.0],
        [0.5, 0.0, 0.5],
        [0.0, 0.5, 0.5],
    ];
    let cells = (reach / SILICON).ceil() as i32 + 2;
    let mut found = std::collections::BTreeMap::new();
    for i in -cells..=cells {
        for j in -cells..=cells {
            // Along [110] the columns repeat: one layer of cells on each side is enough.
            for k in [-i, -i + 1, -i - 1] {
                for b in base {
                    for quarter in [0.0, 0.25] {
                        let p = [
                            f64::from(i) + b[0] + quarter,
                            f64::from(k) + b[1] + quarter,
                            f64::from(j) + b[2] + quarter,
                        ];
                        let seen = [
                            p[2] * SILICON,
                            (p[0] - p[1]) * SILICON / std::f64::consts::SQRT_2,
                        ];
                        if seen[0].hypot(seen[1]) < reach {
                            let key = seen.map(|v| (v * 1e3).round() as i64);
                            found.insert(key, seen);
                        }
                    }
                }
            }
        }
    }
    found.into_values().collect()
}

/// One scan, row by row, of the crystal turned by `turn`, drifting by `drift` pixels per frame (rows, columns).
fn scan(n: usize, turn_deg: f64, drift: [f64; 2], seed: u64) -> Array2<f32> {
    let half = n as f64 * TRUE * 0.75 + 10.0;
    let (sin, cos) = turn_deg.to_radians().sin_cos();
    // Columns in pixels of the resting image.
    let seen: Vec<[f64; 2]> = columns(half)
        .into_iter()
        .map(|[a, b]| {
            [
                (a * cos - b * sin) / TRUE + n as f64 / 2.0,
                (a * sin + b * cos) / TRUE + n as f64 / 2.0,
            ]
        })
        .collect();
    let sigma = 0.45 / TRUE;
    let cell = 16.0;
    let side = (n as f64 / cell).ceil() as usize + 3;
    let slot = |p: [f64; 2]| {
        let at = p.map(|v| (v / cell).floor() + 1.0);
        (at.iter().all(|v| *v >= 0.0 && *v < side as f64))
            .then(|| at[0] as usize * side + at[1] as usize)
    };
    let mut bins: Vec<Vec<[f64; 2]>> = vec![Vec::new(); side * side];
    for p in seen {
        // In its own cell and its neighbors', so that a pixel looks into one cell only.
        for a in -1..=1 {
            for b in -1..=1 {
                let place = [p[0] + f64::from(a) * cell, p[1] + f64::from(b) * cell];
                if let Some(bin) = slot(place) {
                    bins[bin].push(p);
                }
            }
        }
    }
    let mut rng = StdRng::seed_from_u64(seed);
    Array2::from_shape_fn((n, n), |(i, j)| {
        let time = (i as f64 + j as f64 / n as f64) / n as f64;
        let place = [i as f64 - drift[0] * time, j as f64 - drift[1] * time];
        let peaks: f64 = slot(place).map_or(0.0, |bin| {
            bins[bin]
                .iter()
                .map(|p| (place[0] - p[0]).powi(2) + (place[1] - p[1]).powi(2))
                .map(|d2| (-0.5 * d2 / (sigma * sigma)).exp())
                .sum()
        });
        Poisson::new(4.0 + 20.0 * peaks).map_or(0.0, |p| p.sample(&mut rng)) as f32
    })
}

fn image(name: &str, image: Array2<f32>, rotation: f64) -> CrystalImage {
    CrystalImage {
        name: name.to_owned(),
        image,
        nominal: NOMINAL,
        scan_rotation_deg: Some(rotation),
    }
}

#[test]
fn silicon_recovers_a_wrong_pixel_size_under_drift_to_a_twentieth_of_a_percent() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut planted = Vec::new();
    let images: Vec<CrystalImage> = [7.0, 7.0, 52.0, 52.0, 97.0, 97.0]
        .iter()
        .enumerate()
        .map(|(k, &turn)| {
            let drift = std::array::from_fn(|_| rng.random_range(-3.0..3.0));
            planted.push(drift);
            image(
                &format!("image {k}"),
                scan(384, turn, drift, k as u64),
                turn,
            )
        })
        .collect();
    let found = calibrate(&images, &CalibrateParams::default(), &Monitor::silent()).unwrap();
    let calibrated = found.calibrated.expect("one nominal size");
    let error = found.standard_error.expect("one nominal size");
    println!(
        "{calibrated:.6} ± {error:.6} Å instead of {TRUE} Å ({:+.4} %)",
        100.0 * (calibrated / TRUE - 1.0)
    );
    assert!((calibrated / TRUE - 1.0).abs() < 5e-4, "{calibrated}");
    assert!(error > 0.0 && error < 5e-4 * TRUE, "{error}");
    assert_eq!(
        (found.nominal, found.rotations, found.images.len()),
        (Some(NOMINAL), 3, 6)
    );
    assert!((found.scale - 1.04).abs() < 6e-4);
    for (one, drift) in found.images.iter().zip(&planted) {
        assert!((one.pixel_size / TRUE - 1.0).abs() < 1e-3, "{one:?}");
        assert!(one.spots >= 6, "{one:?}");
        // The drift comes out beside it: its ill effect has been told from the pixel size.
        for axis in 0..2 {
            let off: f64 = one.drift_px_per_frame[axis] - drift[axis];
            // A fifth of a percent of the image: what one image's noise leaves of the slow axis.
            assert!(
                off.abs() < 0.002 * 384.0,
                "{:?} instead of {drift:?}",
                one.drift_px_per_frame
            );
        }
    }
}

#[test]
fn the_slow_axis_alone_would_be_wrong_by_the_drift() {
    // 4 px over 384 lines are 1 %: taken as undistorted, the lattice would be off by half of that.
    let images = [image("drifting", scan(384, 20.0, [4.0, 0.0], 9), 0.0)];
    let found = calibrate(&images, &CalibrateParams::default(), &Monitor::silent()).unwrap();
    assert!(
        (found.images[0].pixel_size / TRUE - 1.0).abs() < 1e-3,
        "{found:?}"
    );
    assert!(
        (found.images[0].drift_px_per_frame[0] - 4.0).abs() < 0.4,
        "{found:?}"
    );
    // The same image turned: its lines run down the columns.
    let mut turned = images[0].clone();
    turned.image = turned
        .image
        .reversed_axes()
        .as_standard_layout()
        .into_owned();
    let vertical = CalibrateParams {
        vertical_lines: true,
        ..CalibrateParams::default()
    };
    let again = calibrate(&[turned], &vertical, &Monitor::silent()).unwrap();
    let ratio = again.images[0].pixel_size / found.images[0].pixel_size;
    assert!((ratio - 1.0).abs() < 1e-4, "{ratio}");
}

#[test]
fn what_is_no_crystal_is_said_so() {
    let mut rng = StdRng::seed_from_u64(1);
    let noise = Array2::from_shape_fn((128, 128), |_| rng.random_range(0.0..10.0f32));
    let silent = Monitor::silent();
    let usual = CalibrateParams::default();
    let error = calibrate(&[image("noise", noise.clone(), 0.0)], &usual, &silent).unwrap_err();
    assert!(error.to_string().contains("spots of Si"), "{error}");
    for (crystal, zone) in [
        ("Unobtainium", "110"),
        ("fcc:-1", "110"),
        ("Si", "000"),
        ("Si", "11x"),
    ] {
        let params = CalibrateParams {
            crystal: crystal.to_owned(),
            zone: zone.to_owned(),
            ..CalibrateParams::default()
        };
        let error = calibrate(&[image("x", noise.clone(), 0.0)], &params, &silent).unwrap_err();
        assert!(
            matches!(error, PrepareError::BadParameter { .. }),
            "{error}"
        );
    }
    // Pixels as large as the lattice planes show nothing.
    let mut coarse = image("coarse", noise, 0.0);
    coarse.nominal = 2.0;
    let error = calibrate(&[coarse], &usual, &silent)
        .unwrap_err()
        .to_string();
    assert!(error.contains("pixels small enough"), "{error}");
    assert!(calibrate(&[], &usual, &silent).is_err());
}
