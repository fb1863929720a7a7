//! Refinement on generated series, where everything is known.

use super::problem::{Imaging, PER_ATOM, Problem, Profile, frames_of};
use super::solve::{Restraint, restrained};
use super::*;
use crate::model::EulerAngles;
use ndarray::Array3;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const PIXEL: f64 = 0.35;

/// Atoms on a jittered grid of 2.6 Å within a ball.
pub(crate) fn ball(radius: f64, seed: u64) -> Vec<[f64; 3]> {
    let mut rng = StdRng::seed_from_u64(seed);
    let n = (radius / 2.6).ceil() as i64;
    let mut positions = Vec::new();
    for i in -n..=n {
        for j in -n..=n {
            for k in -n..=n {
                let p = [i, j, k].map(|v| v as f64 * 2.6 + rng.random_range(-0.2..0.2));
                if p.iter().map(|v| v * v).sum::<f64>() <= radius * radius {
                    positions.push(p);
                }
            }
        }
    }
    positions
}

fn angles(n: usize) -> Vec<EulerAngles> {
    (0..n)
        .map(|i| EulerAngles::from_deg(0.4, -72.0 + 144.0 * i as f64 / n as f64, -0.3))
        .collect()
}

/// Images by the plain formula, in f64, without truncation.
pub(crate) fn images(
    positions: &[[f64; 3]],
    size: usize,
    tilts: usize,
    counts: f64,
    sigma: f64,
) -> TiltSeries {
    let angles = angles(tilts);
    let mut stack = Array3::<f32>::zeros((tilts, size, size));
    let center = (size / 2) as f64;
    let reach = (5.0 * sigma / PIXEL).ceil() as i64;
    for (mut image, angle) in stack.outer_iter_mut().zip(&angles) {
        let rotation = angle.detector_from_sample();
        for &p in positions {
            let seen = crate::model::geometry::apply(&rotation, p);
            let at = [seen[0] / PIXEL + center, seen[1] / PIXEL + center];
            let variance = (sigma / PIXEL).powi(2);
            let nearest = at.map(|v| v.round() as i64);
            for i in nearest[0] - reach..=nearest[0] + reach {
                for j in nearest[1] - reach..=nearest[1] + reach {
                    let squared = (i as f64 - at[0]).powi(2) + (j as f64 - at[1]).powi(2);
                    if i >= 0 && j >= 0 && (i as usize) < size && (j as usize) < size {
                        image[[i as usize, j as usize]] += (counts
                            / (std::f64::consts::TAU * variance)
                            * (-0.5 * squared / variance).exp())
                            as f32;
                    }
                }
            }
        }
        image += 1.0;
    }
    TiltSeries::new("generated", stack, angles, Some(PIXEL))
}

/// Poisson counts in place of the means.
pub(crate) fn counted(mut series: TiltSeries, seed: u64) -> TiltSeries {
    use rand_distr::{Distribution, Poisson};
    let mut rng = StdRng::seed_from_u64(seed);
    series.images.mapv_inplace(|mean| {
        Poisson::new(f64::from(mean))
            .expect("positive mean")
            .sample(&mut rng) as f32
    });
    series
}

fn jitter(positions: &[[f64; 3]], amplitude: f64, seed: u64) -> Vec<[f64; 3]> {
    let mut rng = StdRng::seed_from_u64(seed);
    positions
        .iter()
        .map(|p| p.map(|v| v + rng.random_range(-amplitude..amplitude)))
        .collect()
}

fn largest_distance(a: &[[f64; 3]], b: &[[f64; 3]]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| crate::model::geometry::distance(*a, *b))
        .fold(0.0, f64::max)
}

fn rms_distance(a: &[[f64; 3]], b: &[[f64; 3]]) -> f64 {
    let total: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| crate::model::geometry::distance_squared(*a, *b))
        .sum();
    (total / a.len() as f64).sqrt()
}

#[test]
fn gradients_agree_with_finite_differences() {
    let truth = ball(4.0, 1);
    let series = images(&truth, 48, 9, 200.0, 0.5);
    let mut problem = Problem::new(
        frames_of(&series, PIXEL, 10),
        vec![0; truth.len()],
        PIXEL,
        10,
    );
    let imaging = Imaging {
        profiles: vec![Profile {
            weight: [150.0, 40.0],
            variance: [2.0, 7.0],
        }],
        background: vec![0.9; 9],
        scale: (0..9).map(|i| 0.95 + 0.0125 * f64::from(i)).collect(),
        two_components: true,
        radii: [7, 10],
    };
    let mut x = Vec::new();
    for (i, p) in jitter(&truth, 0.15, 2).iter().enumerate() {
        x.push(0.8 + 0.02 * i as f64);
        x.extend_from_slice(p);
    }
    let monitor = Monitor::silent();
    problem.render(&imaging, &x, &monitor).unwrap();
    problem.set_weights(true);
    let restraint = Restraint::Toward1 { variance: 0.01 };
    let mut gradient = vec![0.0; x.len()];
    restrained(
        &mut problem,
        &imaging,
        &x,
        &mut gradient,
        restraint,
        &monitor,
    )
    .unwrap();
    let norm = (gradient.iter().map(|g| g * g).sum::<f64>() / gradient.len() as f64).sqrt();
    let mut scratch = gradient.clone();
    for k in 0..3 * PER_ATOM {
        let mut value = |step: f64| {
            let mut moved = x.clone();
            moved[k] += step;
            restrained(
                &mut problem,
                &imaging,
                &moved,
                &mut scratch,
                restraint,
                &monitor,
            )
            .unwrap()
        };
        // Fourth order, so that the step can be large against the rounding of f32 images.
        let h = 0.02;
        let expected =
            (8.0 * (value(h) - value(-h)) - (value(2.0 * h) - value(-2.0 * h))) / (12.0 * h);
        assert!(
            (gradient[k] - expected).abs() < 0.01 * norm,
            "parameter {k}: {} against {expected} (typical {norm})",
            gradient[k]
        );
    }
}

#[test]
fn noise_free_positions_come_back() {
    let truth = ball(7.0, 3);
    let series = images(&truth, 64, 24, 300.0, 0.48);
    let start = Atoms::from_positions(jitter(&truth, 0.2, 4), "Zr");
    let refined = refine(
        &series,
        &start,
        &RefineParams {
            tolerance: 1e-4,
            ..RefineParams::default()
        },
        &Monitor::silent(),
    )
    .unwrap();
    let worst = largest_distance(&truth, &refined.atoms.positions);
    assert!(worst < 1e-3, "{worst} Å");
    assert!(
        refined.r1 < 0.002 && refined.r1 < 0.1 * refined.r1_before,
        "{} {}",
        refined.r1_before,
        refined.r1
    );
    assert!(
        (refined.widths()[0] - 0.48).abs() < 0.005,
        "{:?}",
        refined.profiles
    );
    assert!((refined.profiles[0].counts / 300.0 - 1.0).abs() < 0.01);
    assert!(refined.background.iter().all(|b| (b - 1.0).abs() < 0.02));
    assert!(
        refined
            .atoms
            .column("shift_A")
            .unwrap()
            .iter()
            .all(|s| *s > 0.0 && *s < 0.4)
    );
}

#[test]
fn counts_reach_the_error_that_the_normal_matrix_states() {
    let truth = ball(8.0, 5);
    let series = counted(images(&truth, 72, 24, 100.0, 0.48), 6);
    let start = Atoms::from_positions(jitter(&truth, 0.25, 7), "Zr");
    let refined = refine(
        &series,
        &start,
        &RefineParams::default(),
        &Monitor::silent(),
    )
    .unwrap();
    assert_eq!(refined.noise, Noise::Poisson);
    assert!(
        (refined.dispersion - 1.0).abs() < 0.05,
        "{}",
        refined.dispersion
    );
    let stated = refined.atoms.column("position_sd_A").unwrap();
    let stated = (stated.iter().map(|s| s * s).sum::<f64>() / stated.len() as f64).sqrt();
    let actual = rms_distance(&truth, &refined.atoms.positions);
    // Scatter of a root mean square over a hundred atoms, and the neighbours' overlap that the blocks leave out.
    assert!(
        actual < 1.35 * stated && actual > 0.75 * stated,
        "{actual} against {stated}"
    );
    assert!(
        refined.occupancy_sd.unwrap() < 0.06,
        "{:?}",
        refined.occupancy_sd
    );
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let truth = ball(5.0, 8);
    let series = counted(images(&truth, 56, 12, 100.0, 0.48), 9);
    let start = Atoms::from_positions(jitter(&truth, 0.2, 10), "Zr");
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            refine(
                &series,
                &start,
                &RefineParams::default(),
                &Monitor::silent(),
            )
            .unwrap()
        })
    };
    let (one, three) = (with(1), with(3));
    assert_eq!(one.atoms.positions, three.atoms.positions);
    assert_eq!(one.r1_per_tilt, three.r1_per_tilt);
}

#[test]
fn a_part_is_refined_and_the_rest_stays() {
    let truth = ball(7.0, 11);
    let series = images(&truth, 64, 24, 300.0, 0.48);
    let mut atoms = Atoms::from_positions(truth.clone(), "Zr");
    let center = truth[truth.len() / 2];
    let near: Vec<usize> = (0..truth.len())
        .filter(|&i| crate::model::geometry::distance(truth[i], center) < 4.0)
        .collect();
    let moved = jitter(&truth, 0.2, 12);
    for &i in &near {
        atoms.positions[i] = moved[i];
    }
    let mut local = LocalRefiner::new(
        &series,
        &atoms,
        &RefineParams::default(),
        &Monitor::silent(),
    )
    .unwrap();
    assert_eq!(local.within(center, 4.0).len(), near.len());
    let part = local.refine(&near, &Monitor::silent()).unwrap();
    let wanted: Vec<[f64; 3]> = near.iter().map(|&i| truth[i]).collect();
    // Heights were fitted to the displaced model, so the places are not exact.
    assert!(largest_distance(&wanted, &part.positions) < 0.03);
    for i in (0..truth.len()).filter(|i| !near.contains(i)) {
        assert_eq!(local.atoms().positions[i], truth[i]);
    }
    // The images kept are those of the new places: refining again moves nothing.
    let again = local.refine(&near, &Monitor::silent()).unwrap();
    assert!(largest_distance(&again.positions, &part.positions) < 5e-3);
}

#[test]
fn bad_input_is_named() {
    let truth = ball(4.0, 13);
    let series = images(&truth, 48, 5, 100.0, 0.48);
    let good = Atoms::from_positions(truth, "Zr");
    let error = |series: &TiltSeries, atoms: &Atoms| {
        refine(series, atoms, &RefineParams::default(), &Monitor::silent())
            .unwrap_err()
            .to_string()
    };
    assert!(error(&series, &Atoms::from_positions(Vec::new(), "Zr")).contains("at least one"));
    let mut nan = good.clone();
    nan.positions[3][1] = f64::NAN;
    assert!(error(&series, &nan).contains("position of atom 3"));
    let mut outside = good.clone();
    outside.positions[2] = [0.0, 500.0, 0.0];
    assert!(error(&series, &outside).contains("atom 2 of"));
    let mut kind = good.clone();
    kind.species[1] = 7;
    assert!(error(&series, &kind).contains("species of atom 1"));
    let mut short = series.clone();
    short.angles.pop();
    assert!(error(&short, &good).contains("5 angles"));
    let mut holes = series.clone();
    holes.images[[2, 3, 4]] = f32::NAN;
    assert!(error(&holes, &good).contains("tilt 3, pixel (3, 4)"));
    let mut unsized_pixels = series.clone();
    unsized_pixels.pixel_size = None;
    assert!(error(&unsized_pixels, &good).contains("pixel size"));
}

#[test]
fn a_stop_keeps_or_abandons() {
    use crate::monitor::{Control, Sink};
    use std::sync::Arc;
    struct StopAtFirstProgress(Arc<Control>, Stopped);
    impl Sink for StopAtFirstProgress {
        fn phase(&self, _: &str) {}
        fn progress(&self, _: usize, _: usize) {
            self.0.stop(self.1);
        }
        fn warn(&self, _: &str) {}
    }
    let truth = ball(4.0, 14);
    let series = images(&truth, 48, 8, 100.0, 0.48);
    let start = Atoms::from_positions(jitter(&truth, 0.2, 15), "Zr");
    let run = |how| {
        let control = Arc::new(Control::default());
        let monitor = Monitor::new(Arc::new(StopAtFirstProgress(control.clone(), how)), control);
        refine(&series, &start, &RefineParams::default(), &monitor)
    };
    let kept = run(Stopped::Keep).unwrap();
    assert!(kept.stopped_early && kept.r1 <= kept.r1_before);
    assert!(matches!(
        run(Stopped::Abandon),
        Err(RefineError::Stopped(Stopped::Abandon))
    ));
}
