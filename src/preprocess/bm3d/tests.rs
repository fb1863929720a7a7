//! The whole filter on generated projections, beside the reference implementation's numbers.

use super::reference::{amorphous, crystal, noisy, normal, psnr};
use super::*;
use ndarray::Array2;

#[test]
fn psnr_reaches_the_reference_within_a_tenth_of_a_decibel() {
    for found in reference::qualities(&Monitor::silent()).expect("not stopped") {
        assert!(found.denoised_db > found.reference_db - 0.1, "{found:?}");
    }
}

fn poisson(truth: &Array2<f64>, peak: f64, seed: u64) -> (Array2<f64>, Array3<f32>) {
    use rand::{SeedableRng, rngs::StdRng};
    use rand_distr::{Distribution, Poisson};
    let mut rng = StdRng::seed_from_u64(seed);
    let mean = truth.mapv(|t| 1.0 + peak * t);
    let counts: Vec<f32> = mean
        .iter()
        .map(|&m| Poisson::new(m).expect("positive").sample(&mut rng) as f32)
        .collect();
    let (nx, ny) = truth.dim();
    let images = Array3::from_shape_vec((1, nx, ny), counts).expect("as many pixels");
    (mean, images)
}

#[test]
fn gain_pedestal_and_read_noise_are_measured() {
    // Counts of gain 3 over a pedestal of 10 with read noise 2: variance 3 (m − 10) + 4.
    let (mean, electrons) = poisson(&crystal(160), 20.0, 3);
    let read = normal(5, electrons.len());
    let mut images = electrons.mapv(|e| 3.0 * e + 10.0);
    for (pixel, n) in images.iter_mut().zip(read) {
        *pixel += 2.0 * n as f32;
    }
    let found = noise::estimate(&images).expect("large enough");
    assert!((found.gain - 3.0).abs() < 0.2, "{found:?}");
    for electrons in [1.0, 5.0, 20.0] {
        let wanted = 9.0 * electrons + 4.0;
        let got = found.variance(3.0 * electrons + 10.0);
        assert!((got / wanted - 1.0).abs() < 0.15, "{electrons}: {found:?}");
    }
    // The same picture with noise that does not grow.
    for sigma in [0.5, 3.0] {
        let mut images = mean.mapv(|m| m as f32).insert_axis(Axis(0));
        for (pixel, n) in images.iter_mut().zip(normal(8, mean.len())) {
            *pixel += (sigma * n) as f32;
        }
        let found = noise::estimate(&images).expect("large enough");
        assert_eq!(found.gain, 0.0, "{found:?}");
        assert!((found.sigma / sigma - 1.0).abs() < 0.03, "{found:?}");
    }
}

#[test]
fn the_gain_is_measured_where_the_vacuum_is_all_but_empty() {
    use rand::{SeedableRng, rngs::StdRng};
    use rand_distr::{Distribution, Poisson};
    let mut rng = StdRng::seed_from_u64(9);
    let particle = amorphous(160);
    let images = Array3::from_shape_fn((2, 160, 160), |(_, x, y)| {
        let inside = (x as f64 - 80.0).hypot(y as f64 - 80.0) < 55.0;
        let mean = if inside {
            5.0 + 40.0 * particle[[x, y]]
        } else {
            0.004
        };
        Poisson::new(mean).map_or(0.0, |p| p.sample(&mut rng)) as f32
    });
    let found = noise::estimate(&images).expect("large enough");
    for counts in [5.0, 20.0, 40.0] {
        assert!(
            (found.variance(counts) / counts - 1.0).abs() < 0.15,
            "{counts}: {found:?}"
        );
    }
}

#[test]
fn hot_pixels_do_not_spoil_the_measured_noise() {
    let (_, mut images) = poisson(&amorphous(160), 20.0, 4);
    for k in 0..25 {
        images[[0, 6 * k + 3, (k * 37) % 160]] = 5000.0;
    }
    let found = noise::estimate(&images).expect("large enough");
    assert!((found.gain - 1.0).abs() < 0.1, "{found:?}");
    assert!(found.pedestal.abs() + found.sigma < 1.5, "{found:?}");
}

#[test]
fn poisson_counts_keep_their_mean_and_lose_most_of_their_noise() {
    for (peak, gain_db) in [(4.0, 7.0), (20.0, 7.0)] {
        let (mean, images) = poisson(&amorphous(128), peak, 6);
        let done =
            denoise(&images, &[], &Bm3dParams::default(), &Monitor::silent()).expect("valid");
        let squares = |image: &Array3<f32>| -> f64 {
            let pairs = image.iter().zip(&mean);
            pairs.map(|(a, b)| (f64::from(*a) - b).powi(2)).sum()
        };
        let gained = 10.0 * (squares(&images) / squares(&done.images)).log10();
        assert!(gained > gain_db, "peak {peak}: {gained:.2} dB");
        // No bias: the algebraic inverse would be off by a quarter of a count.
        let bias = f64::from(done.images.sum()) / mean.sum() - 1.0;
        assert!(bias.abs() < 0.02, "peak {peak}: {bias}");
        assert!((0.8..1.05).contains(&done.removed_sd), "{}", done.note());
        assert!(done.removed_correlation.abs() < 0.1, "{}", done.note());
    }
}

#[test]
fn odd_inputs_are_handled_or_refused() {
    let params = Bm3dParams {
        sigma: Some(0.5),
        ..Bm3dParams::default()
    };
    let run = |images: &Array3<f32>, params: &Bm3dParams| {
        denoise(images, &[], params, &Monitor::silent())
    };
    for size in [(1, 8, 8), (2, 9, 31), (1, 8, 50), (0, 5, 5)] {
        let constant = Array3::from_elem(size, 7.25);
        let done = run(&constant, &params).expect("valid");
        assert!(done.images.iter().all(|v| (v - 7.25).abs() < 1e-3));
        assert_eq!(done.images.dim(), size);
    }
    // No noise, nothing to do.
    let constant = Array3::from_elem((1, 40, 40), -3.0);
    let done = run(&constant, &Bm3dParams::default()).expect("valid");
    assert_eq!(done.images, constant);
    assert!(done.note().contains("no noise"), "{}", done.note());
    let small = Array3::zeros((1, 7, 20));
    assert!(matches!(
        run(&small, &params),
        Err(Bm3dError::TooSmall { .. })
    ));
    let unmeasurable = Array3::from_shape_fn((1, 9, 9), |(_, x, y)| (x * y) as f32);
    assert!(matches!(
        run(&unmeasurable, &Bm3dParams::default()),
        Err(Bm3dError::NoEstimate { .. })
    ));
    let mut holed = Array3::zeros((2, 20, 20));
    holed[[1, 3, 4]] = f32::NAN;
    let error = run(&holed, &params).expect_err("NaN").to_string();
    assert!(error.contains("image 2, pixel (3, 4)"), "{error}");
    let bad = [
        Bm3dParams {
            sigma: Some(-1.0),
            ..Bm3dParams::default()
        },
        Bm3dParams {
            gain: Some(f64::NAN),
            ..Bm3dParams::default()
        },
        Bm3dParams {
            step_px: 9,
            ..Bm3dParams::default()
        },
        Bm3dParams {
            search_px: 0,
            ..Bm3dParams::default()
        },
        Bm3dParams {
            strength: 0.0,
            ..Bm3dParams::default()
        },
    ];
    for params in bad {
        assert!(matches!(
            run(&constant, &params),
            Err(Bm3dError::BadParameter { .. })
        ));
    }
    // Counts far beyond a detector's, and noise far below them.
    let huge = Array3::from_shape_fn((1, 20, 20), |(_, x, y)| 1e30 * ((x * 7 + y) % 5) as f32);
    assert!(matches!(
        run(&huge, &params),
        Err(Bm3dError::BadParameter { .. })
    ));
    let wide = Bm3dParams {
        sigma: Some(1e29),
        ..params
    };
    let done = run(&huge, &wide).expect("odd, but finite");
    assert!(done.images.iter().all(|v| v.is_finite()));
}

#[test]
fn a_stop_is_obeyed() {
    use crate::monitor::{Control, Sink};
    use std::sync::Arc;
    struct StopAtOnce(Arc<Control>);
    impl Sink for StopAtOnce {
        fn phase(&self, _: &str) {}
        fn progress(&self, _: usize, _: usize) {
            self.0.stop(Stopped::Abandon);
        }
        fn warn(&self, _: &str) {}
    }
    let control = Arc::new(Control::default());
    let monitor = Monitor::new(
        Arc::new(StopAtOnce(Arc::clone(&control))),
        Arc::clone(&control),
    );
    let images = noisy(&crystal(64), 0.1, 1);
    let stopped = denoise(&images, &[], &Bm3dParams::default(), &monitor);
    assert!(matches!(stopped, Err(Bm3dError::Stopped(Stopped::Abandon))));
}

/// White noise smoothed by [1 2 1]/4 along x and [1 1]/2 along y, of unit variance.
fn colored_noise(seed: u64, n: usize) -> Array2<f64> {
    let white = Array2::from_shape_vec((n + 2, n + 1), normal(seed, (n + 2) * (n + 1)))
        .expect("as many numbers");
    Array2::from_shape_fn((n, n), |(x, y)| {
        let row = |x: usize| white[[x, y]] + white[[x, y + 1]];
        // Squares of the weights: (1 + 4 + 1) · 2.
        (row(x) + 2.0 * row(x + 1) + row(x + 2)) / 12f64.sqrt()
    })
}

#[test]
fn colored_noise_is_measured_in_the_vacuum_and_removed() {
    let n = 128;
    let truth = crystal(n);
    let specimens = [truth.mapv(|t| t > 0.01)];
    for sigma in [0.05, 0.2] {
        let noisy = &truth + &(colored_noise(5, n) * sigma);
        let images = noisy.mapv(|v| v as f32).insert_axis(Axis(0));
        let run = |white: bool, sigma: Option<f64>| {
            let params = Bm3dParams {
                white,
                sigma,
                ..Bm3dParams::default()
            };
            denoise(&images, &specimens, &params, &Monitor::silent()).expect("valid")
        };
        let colored = run(false, None);
        let [x, y] = colored.noise_correlation.expect("far from white");
        // [1 2 1] correlates with itself moved by one: 4 of 6; [1 1]: 1 of 2.
        assert!(
            (x - 4.0 / 6.0).abs() < 0.08 && (y - 0.5).abs() < 0.08,
            "{x} {y}"
        );
        assert!(
            (colored.noise.sigma / sigma - 1.0).abs() < 0.1,
            "{:?}",
            colored.noise
        );
        let score = |done: &Denoised| psnr(done.images.iter().copied(), &truth);
        let (better, white) = (score(&colored), score(&run(true, Some(sigma))));
        assert!(
            better > white + 3.0,
            "{sigma}: {better:.2} and {white:.2} dB"
        );
    }
}

#[test]
fn white_noise_is_seen_to_be_white() {
    let truth = crystal(128);
    let specimens = [truth.mapv(|t| t > 0.01)];
    let images = noisy(&truth, 0.1, 9);
    let found = denoise(
        &images,
        &specimens,
        &Bm3dParams::default(),
        &Monitor::silent(),
    )
    .expect("valid");
    assert_eq!(found.noise_correlation, None);
}
