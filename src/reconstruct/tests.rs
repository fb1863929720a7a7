//! The iterations, on a small particle of known density.

use super::*;
use crate::model::EulerAngles;
use crate::monitor::{Control, Sink};
use ndarray::Array3;

/// Two balls in a volume that is not a cube, seen at 15 tilts; `off` rotates the tilt axis, in degrees.
fn series(off: f64) -> (TiltSeries, Volume) {
    let ball = |at: (usize, usize, usize), center: [f64; 3], radius: f64| {
        let d = [at.0 as f64, at.1 as f64, at.2 as f64];
        let squares: f64 = (0..3).map(|axis| (d[axis] - center[axis]).powi(2)).sum();
        (1.0 - squares.sqrt() / radius).max(0.0) as f32
    };
    let data = Array3::from_shape_fn((30, 71, 30), |at| {
        2.0 * ball(at, [14.0, 30.0, 16.0], 9.0) + ball(at, [19.0, 52.0, 9.0], 6.0)
    });
    let truth = Volume::new(data, 0.5);
    let angles: Vec<_> = (0..15)
        .map(|tilt| EulerAngles::from_deg(off, -70.0 + 10.0 * f64::from(tilt), -off))
        .collect();
    let images = crate::projection::forward(&truth, &angles, [30, 71], &Monitor::silent()).unwrap();
    let series = TiltSeries::new("two balls", images, angles, Some(0.5));
    (series, truth)
}

fn run(series: &TiltSeries, params: &ReconstructParams, support: Option<&Volume>) -> Reconstructed {
    let silent = Monitor::silent();
    reconstruct(series, params, None, support, &silent, &mut |_, _| {}).unwrap()
}

fn refused(series: &TiltSeries, params: &ReconstructParams) -> String {
    let silent = Monitor::silent();
    reconstruct(series, params, None, None, &silent, &mut |_, _| {})
        .unwrap_err()
        .to_string()
}

/// Keeps every warning and note.
#[derive(Default)]
struct Listener(std::sync::Mutex<Vec<String>>);

impl Sink for Listener {
    fn phase(&self, _: &str) {}
    fn progress(&self, _: usize, _: usize) {}
    fn warn(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

fn run_listening(series: &TiltSeries, params: &ReconstructParams) -> (Reconstructed, Vec<String>) {
    let listener = Arc::new(Listener::default());
    let monitor = Monitor::new(listener.clone(), Arc::default());
    let outcome = reconstruct(series, params, None, None, &monitor, &mut |_, _| {}).unwrap();
    let said = listener.0.lock().unwrap().clone();
    (outcome, said)
}

fn distance(a: &Volume, b: &Volume) -> f64 {
    let square = |x: f64| x * x;
    let apart: f64 = a
        .data
        .iter()
        .zip(&b.data)
        .map(|(a, b)| square(f64::from(a - b)))
        .sum();
    let all: f64 = b.data.iter().map(|b| square(f64::from(*b))).sum();
    (apart / all).sqrt()
}

#[test]
fn the_objective_falls_and_the_truth_comes_nearer_for_any_tilt_axis() {
    for off in [0.0, 0.3, 5.0] {
        let (series, truth) = series(off);
        for (accelerated, projector) in [
            (false, Projector::Linear),
            (true, Projector::Linear),
            (false, Projector::Fourier),
            (true, Projector::Fourier),
        ] {
            let params = ReconstructParams {
                iterations: 30,
                accelerated,
                projector,
                ..Default::default()
            };
            let outcome = run(&series, &params, None);
            let objectives: Vec<f64> = outcome.iterations.iter().map(|i| i.objective).collect();
            if !accelerated {
                assert!(objectives.is_sorted_by(|a, b| a >= b), "{objectives:?}");
            }
            assert!(objectives[29] < 0.02 * objectives[0], "{objectives:?}");
            assert!(outcome.volume.data.iter().all(|v| *v >= 0.0));
            let apart = distance(&outcome.volume, &truth);
            let limit = if accelerated { 0.15 } else { 0.3 };
            assert!(
                apart < limit,
                "{apart} at {off}°, accelerated {accelerated}"
            );
        }
    }
}

#[test]
fn nothing_grows_outside_the_support() {
    let (series, truth) = series(0.0);
    let mut support = truth.clone();
    support.data.slice_mut(ndarray::s![.., 40.., ..]).fill(0.0);
    for accelerated in [false, true] {
        let params = ReconstructParams {
            iterations: 5,
            accelerated,
            no_positivity: true,
            ..Default::default()
        };
        let outcome = run(&series, &params, Some(&support));
        for (found, allowed) in outcome.volume.data.iter().zip(&support.data) {
            assert!(*allowed > 0.0 || *found == 0.0);
        }
        assert!(distance(&outcome.volume, &support) < 0.5);
    }
}

#[test]
fn tilts_left_out_change_nothing() {
    let (series, _) = series(0.0);
    let params = ReconstructParams {
        iterations: 5,
        leave_out: Some(5),
        ..Default::default()
    };
    let left_out = run(&series, &params, None);
    let mut other = series.clone();
    for tilt in (0..15).filter(|tilt| tilt % 5 == 2) {
        other
            .images
            .index_axis_mut(ndarray::Axis(0), tilt)
            .fill(3.0);
    }
    let changed = run(&other, &params, None);
    assert_eq!(changed.volume, left_out.volume);
    assert_eq!(changed.r1, left_out.r1);
    assert_ne!(changed.r_free, left_out.r_free);
}

#[test]
fn any_number_of_threads_gives_the_same_volume() {
    for off in [0.0, 0.3] {
        let (series, _) = series(off);
        let params = ReconstructParams {
            iterations: 4,
            ..Default::default()
        };
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| run(&series, &params, None))
        };
        let one = with(1);
        for threads in [2, 16] {
            let many = with(threads);
            assert_eq!(many.volume, one.volume);
            assert_eq!(many.r1_per_tilt, one.r1_per_tilt);
        }
    }
}

struct Nobody;

impl Sink for Nobody {
    fn phase(&self, _: &str) {}
    fn progress(&self, _: usize, _: usize) {}
    fn warn(&self, text: &str) {
        panic!("{text}");
    }
}

#[test]
fn a_stop_that_keeps_leaves_whole_steps_only() {
    let (series, _) = series(0.0);
    let params = ReconstructParams {
        iterations: 40,
        ..Default::default()
    };
    let mut volumes = Vec::new();
    let silent = Monitor::silent();
    reconstruct(&series, &params, None, None, &silent, &mut |_, volume| {
        volumes.push(volume());
    })
    .unwrap();
    // Asked for by another thread, at any place of a step.
    for wait_us in [300, 1_000, 2_500, 7_000] {
        let control = Arc::new(Control::default());
        let monitor = Monitor::new(Arc::new(Nobody), control.clone());
        let mut first = true;
        let outcome = std::thread::scope(|scope| {
            reconstruct(&series, &params, None, None, &monitor, &mut |_, _| {
                if std::mem::take(&mut first) {
                    let control = control.clone();
                    scope.spawn(move || {
                        std::thread::sleep(std::time::Duration::from_micros(wait_us));
                        control.stop(Stopped::Keep);
                    });
                }
            })
        })
        .unwrap();
        let done = outcome.iterations.len();
        assert_eq!(*outcome.volume, volumes[done - 1], "{done} iterations");
    }
}

/// Whether there is any device; says so when not.
fn has_device() -> bool {
    use crate::projection::gpu::{Gpu, GpuError, Which};
    match Gpu::open(Which::Any) {
        Ok(_) => true,
        Err(error @ GpuError::NoAdapter { .. }) => {
            eprintln!("skipped, no device: {error}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_device_gives_the_numbers_of_the_processor() {
    if !has_device() {
        return;
    }
    let usual = ReconstructParams {
        iterations: 8,
        ..Default::default()
    };
    let wide = ReconstructParams {
        volume_size: Some(vec![41, 75, 28]),
        ..usual.clone()
    };
    for (off, accelerated, params, supported) in [
        (0.0, false, &usual, false),
        (0.0, true, &usual, true),
        (0.0, true, &wide, false),
        (0.3, false, &usual, true),
        (0.3, true, &usual, false),
        (5.0, false, &wide, false),
    ] {
        let (series, truth) = series(off);
        let params = ReconstructParams {
            accelerated,
            no_positivity: supported,
            leave_out: supported.then_some(4),
            ..params.clone()
        };
        let mut support = truth.clone();
        support.data.slice_mut(ndarray::s![.., 40.., ..]).fill(0.0);
        let support = supported.then_some(&support);
        let with = |engine| {
            run(
                &series,
                &ReconstructParams {
                    engine,
                    ..params.clone()
                },
                support,
            )
        };
        let (cpu, gpu) = (with(Engine::Cpu), with(Engine::Gpu));
        assert!(cpu.engine.starts_with("cpu, "), "{}", cpu.engine);
        assert!(gpu.engine.starts_with("gpu: "), "{}", gpu.engine);
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-4 * b.abs();
        for (a, b) in gpu.iterations.iter().zip(&cpu.iterations) {
            assert!(
                near(a.objective, b.objective) && near(a.r1, b.r1),
                "{a:?} {b:?}"
            );
            assert_eq!(a.r_free.is_some(), supported);
            for (a, b) in a.r1_per_tilt.iter().zip(b.r1_per_tilt.iter()) {
                assert!(near(*a, *b), "{a} {b}");
            }
        }
        assert!(near(gpu.r1, cpu.r1));
        let apart = distance(&gpu.volume, &cpu.volume);
        assert!(apart < 1e-4, "{apart} at {off}°, accelerated {accelerated}");
    }
}

#[test]
fn a_device_smooths_and_masks_as_the_processor_does() {
    if !has_device() {
        return;
    }
    for (off, accelerated) in [(0.0, true), (0.3, false)] {
        let (mut series, _) = series(off);
        series
            .images
            .slice_mut(ndarray::s![3, 10..14, 30..33])
            .fill(f32::NAN);
        let with = |engine, kernel_width: Option<f64>| {
            let regularization = match kernel_width {
                Some(_) => Regularization::Kernel,
                None => Regularization::None,
            };
            let params = ReconstructParams {
                iterations: 6,
                engine,
                accelerated,
                kernel_width,
                regularization,
                nan_pixels: NanPixels::Mask,
                ..Default::default()
            };
            run(&series, &params, None)
        };
        for kernel_width in [None, Some(0.6)] {
            let (cpu, gpu) = (
                with(Engine::Cpu, kernel_width),
                with(Engine::Gpu, kernel_width),
            );
            assert!(gpu.engine.starts_with("gpu: "), "{}", gpu.engine);
            assert!(
                (gpu.r1 - cpu.r1).abs() < 1e-4 * cpu.r1,
                "{} {}",
                gpu.r1,
                cpu.r1
            );
            let apart = distance(&gpu.volume, &cpu.volume);
            assert!(apart < 1e-4, "{apart} at {off}°, kernel {kernel_width:?}");
        }
    }
}

/// Keeps warnings.
#[derive(Default)]
struct Warnings(std::sync::Mutex<Vec<String>>);

impl Sink for Warnings {
    fn phase(&self, _: &str) {}
    fn progress(&self, _: usize, _: usize) {}
    fn warn(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

#[test]
fn a_lost_device_is_told_and_the_processor_goes_on() {
    if !has_device() {
        return;
    }
    let (series, _) = series(0.0);
    let params = ReconstructParams {
        iterations: 6,
        engine: Engine::Gpu,
        ..Default::default()
    };
    let warnings = Arc::new(Warnings::default());
    let monitor = Monitor::new(warnings.clone(), Arc::new(Control::default()));
    let mut resire = Resire::new(&series, &params, None, None, &monitor).unwrap();
    let mut iterations = Vec::new();
    while resire.number() < params.iterations {
        if iterations.len() == 3 && warnings.0.lock().unwrap().is_empty() {
            resire.lose_device();
            assert_eq!(resire.volume().size(), [30, 71, 30]);
        }
        let iteration = resire.step(&monitor).unwrap();
        iterations.truncate(iteration.number - 1);
        iterations.push(iteration);
    }
    let outcome = resire.finish(iterations, false, &monitor).unwrap();
    let alone = run(
        &series,
        &ReconstructParams {
            engine: Engine::Cpu,
            ..params
        },
        None,
    );
    assert_eq!(outcome.volume, alone.volume);
    assert_eq!(outcome.iterations.len(), 6);
    assert!(outcome.engine.starts_with("cpu"));
    let warnings = warnings.0.lock().unwrap();
    assert!(
        warnings.len() == 1 && warnings[0].contains("on the CPU"),
        "{warnings:?}"
    );
}

#[test]
fn a_series_seen_anew_goes_on_alike_on_a_device() {
    if !has_device() {
        return;
    }
    let silent = Monitor::silent();
    let with = |engine| {
        let params = ReconstructParams {
            engine,
            accelerated: true,
            ..Default::default()
        };
        let mut resire = Resire::new(&series(0.0).0, &params, None, None, &silent).unwrap();
        for _ in 0..3 {
            resire.step(&silent).unwrap();
        }
        resire.turn_to(&series(0.3).0, &silent).unwrap();
        for _ in 0..3 {
            resire.step(&silent).unwrap();
        }
        resire.volume()
    };
    let apart = distance(&with(Engine::Gpu), &with(Engine::Cpu));
    assert!(apart < 1e-4, "{apart}");
}

#[test]
fn no_software_device_is_taken_unasked() {
    use crate::projection::gpu::{Gpu, Which};
    let (series, _) = series(0.0);
    let params = ReconstructParams {
        iterations: 1,
        engine: Engine::Auto,
        ..Default::default()
    };
    let engine = run(&series, &params, None).engine;
    let hardware = Gpu::open(Which::Hardware).is_ok();
    assert_eq!(engine.starts_with("gpu: "), hardware, "{engine}");
}

/// Gaussian atoms of 1.2 voxels seen, as they are and not as a grid of voxels, at 24 tilts within ±69°, with noise of
/// this share of the brightest pixel.
fn atoms(noise: f64) -> (TiltSeries, Volume) {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    const WIDTH: f64 = 1.2;
    let mut rng = StdRng::seed_from_u64(7);
    let places: Vec<[f64; 3]> = (0..40)
        .map(|_| [0; 3].map(|_: i32| rng.random_range(-6.0..6.0)))
        .collect();
    let bell = |r2: f64| (-r2 / (2.0 * WIDTH * WIDTH)).exp();
    let data = Array3::from_shape_fn((28, 24, 28), |(x, y, z)| {
        let at = [x as f64 - 14.0, y as f64 - 12.0, z as f64 - 14.0];
        let r2 = |p: &[f64; 3]| (0..3).map(|axis| (at[axis] - p[axis]).powi(2)).sum();
        places.iter().map(|p| bell(r2(p))).sum::<f64>() as f32
    });
    let angles: Vec<_> = (0..24)
        .map(|tilt| EulerAngles::from_deg(0.0, -69.0 + 6.0 * f64::from(tilt), 0.0))
        .collect();
    let along_beam = WIDTH * std::f64::consts::TAU.sqrt();
    let mut images = Array3::from_shape_fn((24, 28, 24), |(tilt, x, y)| {
        let (sin, cos) = angles[tilt].theta.sin_cos();
        let seen = |p: &[f64; 3]| {
            let (dx, dy) = (
                x as f64 - 14.0 - p[0] * cos + p[2] * sin,
                y as f64 - 12.0 - p[1],
            );
            along_beam * bell(dx * dx + dy * dy)
        };
        places.iter().map(seen).sum::<f64>() as f32
    });
    let brightest = images.iter().copied().fold(0.0, f32::max);
    images.mapv_inplace(|v| {
        let error: f64 = rng.sample(rand_distr::StandardNormal);
        v + (noise * error) as f32 * brightest
    });
    let series = TiltSeries::new("atoms", images, angles, Some(0.4));
    (series, Volume::new(data, 0.4))
}

#[test]
fn a_kernel_chosen_by_tilts_left_out_brings_the_truth_nearer() {
    for noise in [0.0, 0.15] {
        let (series, truth) = atoms(noise);
        let plain = ReconstructParams {
            iterations: 60,
            accelerated: true,
            auto_stop: true,
            ..Default::default()
        };
        let kernel = ReconstructParams {
            regularization: Regularization::Kernel,
            ..plain.clone()
        };
        let (without, with) = (run(&series, &plain, None), run(&series, &kernel, None));
        let apart = [&without, &with].map(|outcome| distance(&outcome.volume, &truth));
        assert!(apart[1] < 0.75 * apart[0], "{apart:?}, noise {noise}");
        // The atoms are 1.2 voxels of 0.4 Å wide; positivity can sharpen what a narrower kernel makes.
        let width = with.kernel_width.unwrap();
        assert!((0.2..0.7).contains(&width), "{:?}", with.trials);
        assert!(with.trials.len() > 3 && without.trials.len() == 1);
        assert!(with.notes[0].starts_with("Kernel of"), "{:?}", with.notes);
        assert!(with.volume.data.iter().all(|v| *v >= 0.0));
        if noise > 0.0 {
            // More noise is fitted later: the end comes before the most that was allowed.
            assert!(with.iterations.len() < 60 && without.iterations.len() < 30);
        }
    }
}

#[test]
fn a_kernel_in_the_loop_is_the_fit_of_a_smoothed_volume() {
    // The volume that comes out explains the images as well as the iterations say.
    let (series, _) = atoms(0.0);
    let params = ReconstructParams {
        iterations: 60,
        accelerated: true,
        regularization: Regularization::Kernel,
        kernel_width: Some(0.45),
        ..Default::default()
    };
    let outcome = run(&series, &params, None);
    let silent = Monitor::silent();
    let seen =
        crate::projection::forward(&outcome.volume, &series.angles, [28, 24], &silent).unwrap();
    let misfit: f64 = seen
        .iter()
        .zip(&series.images)
        .map(|(a, b)| f64::from((a - b).abs()))
        .sum();
    let all: f64 = series.images.iter().map(|b| f64::from(b.abs())).sum();
    assert!(
        (misfit / all - outcome.r1).abs() < 0.02,
        "{} {}",
        misfit / all,
        outcome.r1
    );
    let start = ReconstructParams {
        kernel_width: Some(-1.0),
        ..params
    };
    assert!(refused(&series, &start).contains("above 0 Å"));
}

#[test]
fn half_sets_agree_to_finer_detail_with_less_noise() {
    let fsc = |noise| {
        let (series, _) = atoms(noise);
        let params = ReconstructParams {
            iterations: 20,
            accelerated: true,
            half_sets: true,
            ..Default::default()
        };
        run(&series, &params, None).fsc.unwrap()
    };
    let (clean, noisy) = (fsc(0.01), fsc(0.5));
    assert_eq!(clean.k_per_angstrom.len(), 14);
    let resolution = noisy.resolution_05.unwrap();
    assert!(clean.resolution_05.is_none_or(|r| r < 0.8 * resolution));
    assert!(noisy.resolution_0143.unwrap() <= resolution);
    let (mut few, _) = atoms(0.0);
    few.included[3..].fill(false);
    let params = ReconstructParams {
        half_sets: true,
        iterations: 2,
        ..Default::default()
    };
    assert!(refused(&few, &params).contains("at least 4 tilts, found 3"));
}

#[test]
fn a_step_too_large_is_halved_and_said() {
    let (series, truth) = series(0.0);
    for accelerated in [false, true] {
        let params = ReconstructParams {
            iterations: 60,
            step: 2.99,
            accelerated,
            no_positivity: true,
            ..Default::default()
        };
        let (outcome, said) = run_listening(&series, &params);
        let objectives: Vec<f64> = outcome.iterations.iter().map(|i| i.objective).collect();
        assert!(objectives[59] < 0.05 * objectives[0], "{objectives:?}");
        assert!(distance(&outcome.volume, &truth) < 0.5);
        let rose = objectives.windows(2).any(|w| w[1] > 2.0 * w[0]);
        if rose {
            assert!(said.iter().any(|s| s.contains("too large")), "{said:?}");
        }
    }
}

#[test]
fn what_cannot_be_reconstructed_is_refused_in_one_clear_line() {
    let (good, _) = series(0.0);
    let params = ReconstructParams {
        iterations: 2,
        ..Default::default()
    };
    let with = |change: &dyn Fn(&mut TiltSeries)| {
        let mut series = good.clone();
        change(&mut series);
        refused(&series, &params)
    };
    let same = with(&|s| s.angles.fill(EulerAngles::from_deg(0.0, 10.0, 0.0)));
    assert_eq!(
        same,
        "angles: expected different tilts, found 15 times the same"
    );
    let zeros = with(&|s| s.images.index_axis_mut(ndarray::Axis(0), 4).fill(0.0));
    assert!(zeros.starts_with("image 5: expected an image") && zeros.contains("zeros only"));
    let nan = with(&|s| s.images[[6, 3, 5]] = f32::NAN);
    assert!(nan.starts_with("image 7: expected finite pixels"), "{nan}");
    assert!(nan.ends_with("found 1 that are not numbers"), "{nan}");
    let dark = with(&|s| s.images.mapv_inplace(|v| -v));
    assert!(
        dark.starts_with("mean of all images: expected above zero"),
        "{dark}"
    );
    let angle = with(&|s| s.angles[2].theta = f64::NAN);
    assert!(angle.starts_with("angles of tilt 3"), "{angle}");
}

#[test]
fn tilts_taken_twice_and_images_below_zero_are_used_and_said() {
    let (mut odd, _) = series(0.0);
    odd.angles[3] = odd.angles[2];
    let mut image = odd.images.index_axis_mut(ndarray::Axis(0), 5);
    let mean = image.mean().unwrap();
    image.mapv_inplace(|v| v - 2.0 * mean);
    let params = ReconstructParams {
        iterations: 2,
        ..Default::default()
    };
    let (_, said) = run_listening(&odd, &params);
    assert!(
        said.iter()
            .any(|s| s.contains("same angles") && s.ends_with("4 as 3"))
    );
    assert!(
        said.iter()
            .any(|s| s.contains("negative mean") && s.ends_with(": 6"))
    );
}

#[test]
fn masked_pixels_take_no_part() {
    for off in [0.0, 0.3] {
        let (clean, truth) = series(off);
        let mut gaps = clean.clone();
        for (place, value) in gaps.images.iter_mut().enumerate() {
            if place % 23 == 0 {
                *value = if place % 2 == 0 {
                    f32::NAN
                } else {
                    f32::INFINITY
                };
            }
        }
        let params = ReconstructParams {
            iterations: 30,
            accelerated: true,
            nan_pixels: NanPixels::Mask,
            ..Default::default()
        };
        let (outcome, said) = run_listening(&gaps, &params);
        assert!(said[0].contains("do not take part"), "{said:?}");
        gaps.images
            .mapv_inplace(|v| if v.is_finite() { v } else { 0.0 });
        let apart = [outcome, run(&gaps, &params, None)].map(|o| distance(&o.volume, &truth));
        assert!(apart[0] < 0.05 && apart[0] < 0.5 * apart[1], "{apart:?}");
    }
}

#[test]
fn slabs_are_refused_where_slices_depend_on_one_another() {
    let slab = Some(Slab {
        number: 2,
        count: 4,
    });
    let refused = |off: f64, params: ReconstructParams, why: &str| {
        let (series, _) = series(off);
        let silent = Monitor::silent();
        let params = ReconstructParams { slab, ..params };
        let text = match reconstruct(&series, &params, None, None, &silent, &mut |_, _| {}) {
            Ok(_) => panic!("not refused: {why}"),
            Err(error) => error.to_string(),
        };
        assert!(
            text.contains(why) && text.starts_with("slab is 2/4"),
            "{text}"
        );
    };
    let plain = ReconstructParams {
        iterations: 2,
        ..Default::default()
    };
    refused(0.3, plain.clone(), "φ = 0.3°");
    let accelerated = ReconstructParams {
        accelerated: true,
        ..plain.clone()
    };
    refused(0.0, accelerated, "momentum");
    let smoothed = ReconstructParams {
        smoothing: 0.5,
        ..plain.clone()
    };
    refused(0.0, smoothed, "smoothing");
    let stopped = ReconstructParams {
        auto_stop: true,
        ..plain.clone()
    };
    refused(0.0, stopped, "automatic stop");
    let blurred = ReconstructParams {
        regularization: Regularization::Kernel,
        kernel_width: Some(0.5),
        ..plain.clone()
    };
    refused(0.0, blurred, "mixes y-slices");
    let halves = ReconstructParams {
        half_sets: true,
        ..plain.clone()
    };
    refused(0.0, halves, "half sets");
    let long = ReconstructParams {
        volume_size: Some(vec![30, 80, 30]),
        ..plain.clone()
    };
    refused(0.0, long, "80 voxels along y");
}
