//! Against the projector of the processor, on whatever adapter there is; a software one will do.

use super::*;
use crate::model::EulerAngles;
use crate::monitor::Monitor;
use crate::projection::linear::LinearProjector;
use ndarray::Array3;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::rc::Rc;

/// A device, or a word why there is none.
fn gpu() -> Option<Gpu> {
    match Gpu::open(Which::Any) {
        Ok(gpu) => Some(gpu),
        Err(error @ GpuError::NoAdapter { .. }) => {
            eprintln!("skipped, no device: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn random(size: [usize; 3], seed: u64) -> Array3<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    Array3::from_shape_simple_fn(size, || rng.random::<f32>())
}

/// Series with one tilt axis, and others.
const GEOMETRIES: [&[[f64; 3]]; 4] = [
    &[
        [0.0, 0.0, 0.0],
        [0.0, 37.0, 0.0],
        [0.0, -71.3, 0.0],
        [0.0, 90.0, 0.0],
        [0.0, 135.0, 0.0],
    ],
    &[[0.3, -71.0, 0.2], [-0.2, 12.0, 0.1], [0.0, 30.0, 0.0]],
    &[[0.6, -40.0, 0.5], [1.5, 55.0, -2.0], [-4.0, 5.0, 6.0]],
    &[
        [20.0, 50.0, -33.0],
        [90.0, 10.0, 80.0],
        [180.0, 0.0, 0.0],
        [0.0, 0.0, 170.0],
    ],
];

/// Volume and image: odd and even, wider and narrower than one another, tiny.
const SIZES: [([usize; 3], [usize; 2]); 5] = [
    ([13, 20, 9], [15, 20]),
    ([14, 17, 20], [11, 13]),
    ([16, 49, 16], [16, 49]),
    ([1, 1, 1], [1, 1]),
    ([2, 3, 5], [4, 1]),
];

/// Every geometry, size and cut; `act` gets the iterations and the projector of the processor.
fn each_case(act: impl Fn(&mut Iterations, &LinearProjector, &Setup, [usize; 2])) {
    let Some(gpu) = gpu() else { return };
    let whole = Rc::new(gpu);
    let mut cut = Gpu::open(Which::Any).unwrap();
    cut.limit_bindings(9000);
    let cut = Rc::new(cut);
    for geometry in GEOMETRIES {
        let angles: Vec<_> = geometry
            .iter()
            .map(|a| EulerAngles::from_deg(a[0], a[1], a[2]))
            .collect();
        for (size, image) in SIZES {
            for gpu in [&whole, &cut] {
                let images = Array3::zeros((angles.len(), image[0], image[1]));
                let setup = Setup {
                    volume_size: size,
                    images: images.view(),
                    angles: &angles,
                    fitted: &vec![true; angles.len()],
                    support: None,
                    blur: None,
                    accelerated: false,
                    positivity: false,
                };
                let mut iterations = Iterations::new(Rc::clone(gpu), &setup).unwrap();
                let projector = LinearProjector::new(size, image, &angles);
                act(&mut iterations, &projector, &setup, image);
            }
        }
    }
}

fn farthest(a: &Array3<f32>, b: &Array3<f32>) -> f32 {
    let largest = b.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    apart.fold(0.0, f32::max) / largest
}

fn dot(a: &Array3<f32>, b: &Array3<f32>) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

#[test]
fn both_directions_are_those_of_the_processor_and_the_adjoint_is_exact() {
    let silent = Monitor::silent();
    each_case(|iterations, projector, setup, image| {
        let data = random(setup.volume_size, 1);
        iterations.start_at(&data, None).unwrap();
        assert_eq!(iterations.volume().unwrap(), data);
        let misfits = iterations.compare(&silent).unwrap();
        let seen = iterations.residual();
        let mut images = projector.new_images();
        let volume = projector.load_volume(&data);
        projector.forward(&volume, &mut images, &silent).unwrap();
        let expected = projector.store_images(&images);
        let subject = format!("{:?} {image:?} {:?}", setup.volume_size, setup.angles);
        let apart = farthest(&seen, &expected);
        assert!(apart < 1e-5, "{apart} {subject}");
        for (misfit, image) in misfits.iter().zip(seen.outer_iter()) {
            let absolute: f64 = image.iter().map(|v| f64::from(v.abs())).sum();
            let squares: f64 = image.iter().map(|v| f64::from(*v).powi(2)).sum();
            assert!(
                (misfit.absolute - absolute).abs() <= 1e-5 * absolute,
                "{subject}"
            );
            assert!(
                (misfit.squares - squares).abs() <= 1e-5 * squares,
                "{subject}"
            );
        }
        iterations.store_gradient();
        let back = iterations.volume().unwrap();
        let mut expected = projector.new_volume();
        projector
            .adjoint(&projector.load_images(&seen.view()), &mut expected, &silent)
            .unwrap();
        let expected = projector.store_volume(&expected);
        let apart = farthest(&back, &expected);
        assert!(apart < 1e-5, "{apart} {subject}");
        // ⟨Πx, Πx⟩ = ⟨x, ΠᵀΠx⟩.
        let (left, right) = (dot(&seen, &seen), dot(&data, &back));
        assert!(
            (left - right).abs() <= 1e-5 * left,
            "{left} {right} {subject}"
        );
    });
}

#[test]
fn the_curvature_is_that_of_the_processor() {
    let silent = Monitor::silent();
    each_case(|iterations, projector, setup, _| {
        let mut images = projector.new_images();
        projector
            .forward(&projector.ones(), &mut images, &silent)
            .unwrap();
        let mut back = projector.new_volume();
        projector.adjoint(&images, &mut back, &silent).unwrap();
        let expected = back.values().iter().copied().fold(0.0, f32::max);
        let found = iterations.curvature(&silent).unwrap();
        assert!(
            (found - expected).abs() <= 1e-5 * expected,
            "{found} {expected} {:?}",
            setup.angles
        );
    });
}

#[test]
fn a_small_bench_gives_finite_numbers() {
    if gpu().is_none() {
        return;
    }
    let angles = [-30.0, 0.0, 30.0].map(EulerAngles::from_tilt_deg);
    let (bench, limit) = bench(Which::Any, [16, 16, 16], &angles, 2, &Monitor::silent()).unwrap();
    assert!(bench.seconds_per_iteration > 0.0 && bench.limit_ratio.is_finite());
    assert!(bench.engine.starts_with("gpu: "));
    assert!(limit.bytes_per_second > 0.0);
    assert!(
        limit
            .kernel_seconds
            .is_none_or(|s| s.iter().all(|s| *s > 0.0))
    );
}

#[test]
fn what_does_not_fit_is_refused_with_the_numbers() {
    let Some(mut gpu) = gpu() else { return };
    gpu.limit_bindings(1000);
    let images = Array3::zeros((1, 100, 100));
    let setup = Setup {
        volume_size: [100; 3],
        images: images.view(),
        angles: &[EulerAngles::from_deg(1.0, 2.0, 3.0)],
        fitted: &[true],
        support: None,
        blur: None,
        accelerated: false,
        positivity: true,
    };
    let error = Iterations::new(Rc::new(gpu), &setup).err().unwrap();
    let GpuError::TooLarge { needed_gb, .. } = error else {
        panic!("{error}");
    };
    assert!((needed_gb - 0.0713).abs() < 0.001, "{needed_gb}");
}

#[test]
fn a_lost_device_is_an_error() {
    let Some(gpu) = gpu() else { return };
    let images = Array3::zeros((1, 8, 8));
    let setup = Setup {
        volume_size: [8; 3],
        images: images.view(),
        angles: &[EulerAngles::default()],
        fitted: &[true],
        support: None,
        blur: None,
        accelerated: false,
        positivity: true,
    };
    let silent = Monitor::silent();
    let mut iterations = Iterations::new(Rc::new(gpu), &setup).unwrap();
    iterations.compare(&silent).unwrap();
    iterations.gpu().lose();
    let error = iterations.compare(&silent).unwrap_err();
    assert!(matches!(error, GpuError::Lost { .. }), "{error}");
    assert!(iterations.volume().is_err());
}
