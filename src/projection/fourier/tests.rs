//! Against the definition, by direct summation in double precision.

use super::*;
use crate::model::geometry::apply;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::f64::consts::PI;

fn random(size: [usize; 3], seed: u64) -> Array3<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    Array3::from_shape_simple_fn(size, || rng.random::<f32>())
}

/// `1/P Σ_{|m| < P/2} cos(2πm d/P)` for an odd P.
fn peak(d: f64, period: usize) -> f64 {
    let p = period as f64;
    let angle = PI * d / p;
    if angle.sin().abs() < 1e-12 {
        1.0
    } else {
        (angle * p).sin() / (p * angle.sin())
    }
}

/// The definition: every voxel spread over every pixel.
fn direct(
    data: &Array3<f32>,
    angle: EulerAngles,
    image: [usize; 2],
    periods: [Option<usize>; 2],
) -> Array3<f64> {
    let rotation = angle.detector_from_sample();
    let (nx, ny, nz) = data.dim();
    let mut out = Array3::zeros((1, image[0], image[1]));
    for ((x, y, z), &value) in data.indexed_iter() {
        let from_center = |at: usize, n: usize| at as f64 - center_index(n) as f64;
        let seen = apply(
            &rotation,
            [from_center(x, nx), from_center(y, ny), from_center(z, nz)],
        );
        let weights: [Vec<f64>; 2] = [0, 1].map(|axis| {
            (0..image[axis])
                .map(|at| seen[axis] - from_center(at, image[axis]))
                .map(|d| match periods[axis] {
                    Some(period) => peak(d, period),
                    None => f64::from(u8::from(d.abs() < 1e-9)),
                })
                .collect()
        });
        for (p, a) in weights[0].iter().enumerate() {
            for (q, b) in weights[1].iter().enumerate() {
                out[[0, p, q]] += a * b * f64::from(value);
            }
        }
    }
    out
}

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
        [45.0, 45.0, 45.0],
    ],
];

/// Volume and image: odd and even, wider and narrower than one another, tiny.
const SIZES: [([usize; 3], [usize; 2]); 7] = [
    ([13, 20, 9], [15, 20]),
    ([24, 17, 30], [11, 13]),
    ([17, 13, 16], [19, 22]),
    ([16, 33, 16], [16, 33]),
    ([20, 25, 26], [9, 31]),
    ([1, 1, 1], [1, 1]),
    ([2, 3, 5], [4, 1]),
];

fn each_case(
    oversamplings: &[f64],
    act: impl Fn(FourierProjector, &[EulerAngles], [usize; 3], [usize; 2]),
) {
    for geometry in GEOMETRIES {
        let angles: Vec<_> = geometry
            .iter()
            .map(|a| EulerAngles::from_deg(a[0], a[1], a[2]))
            .collect();
        for (size, image) in SIZES {
            for &oversampling in oversamplings {
                for instructions in Instructions::available() {
                    let mut projector = FourierProjector::new(size, image, &angles, oversampling);
                    projector.instructions = instructions;
                    act(projector, &angles, size, image);
                }
            }
        }
    }
}

fn projected(projector: &FourierProjector, volume: &WorkVolume) -> WorkImages {
    let mut images = projector.new_images();
    // What was there before does not matter.
    for tilt in 0..projector.tilts {
        for x in 0..projector.sizes.image[0] {
            for y in 0..projector.sizes.image[1] {
                let at = projector.pixel_at(tilt, x, y);
                images.0[at] = 7.0;
            }
        }
    }
    projector
        .forward(volume, &mut images, &Monitor::silent())
        .unwrap();
    images
}

fn back(projector: &FourierProjector, images: &WorkImages) -> WorkVolume {
    // What was there before does not matter.
    let mut volume = projector.ones();
    projector
        .adjoint(images, &mut volume, &Monitor::silent())
        .unwrap();
    volume
}

/// Error and size of the projections of a random volume, both as roots of sums of squares.
fn error(projector: &FourierProjector, angles: &[EulerAngles], seed: u64) -> (f64, f64) {
    let (size, image) = (projector.sizes.volume, projector.sizes.image);
    let data = random(size, seed);
    let fast = projector.store_images(&projected(projector, &projector.load_volume(&data)));
    let rotations: Vec<_> = angles.iter().map(|a| a.detector_from_sample()).collect();
    let along = |axis| Some(period(size, image[axis], axis, &rotations));
    let periods = match projector.geometry {
        Geometry::SingleAxis(_) => [along(0), None],
        Geometry::General(_) => [along(0), along(1)],
    };
    let (mut off, mut all) = (0.0, 0.0);
    for (fast, &angle) in fast.outer_iter().zip(angles) {
        let slow = direct(&data, angle, image, periods);
        for (fast, slow) in fast.iter().zip(&slow) {
            off += (f64::from(*fast) - slow).powi(2);
            all += slow * slow;
        }
    }
    (off.sqrt(), all.sqrt())
}

#[test]
fn the_fast_projector_is_the_definition_for_any_geometry_and_size() {
    each_case(&[1.25, 1.5, 2.0], |projector, angles, size, image| {
        let (off, all) = error(&projector, angles, 1);
        assert!(
            off <= 1e-5 * all,
            "{:e} {angles:?} {size:?} {image:?}",
            off / all
        );
    });
}

#[test]
fn the_adjoint_is_exact() {
    each_case(&[1.25, 1.5, 2.0], |projector, angles, size, image| {
        let x = projector.load_volume(&random(size, 2));
        let y = random([angles.len(), image[0], image[1]], 3);
        let y = projector.load_images(&y.view());
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum()
        };
        let left = dot(projected(&projector, &x).values(), y.values());
        let right = dot(x.values(), back(&projector, &y).values());
        assert!(
            (left - right).abs() <= 1e-5 * left.abs(),
            "{left} {right} {size:?} {image:?}"
        );
    });
}

#[test]
fn without_a_tilt_the_image_is_the_plain_sum_along_the_beam() {
    let (size, angles) = ([21, 18, 12], [EulerAngles::default()]);
    let projector = FourierProjector::new(size, [21, 18], &angles, 1.5);
    let data = random(size, 4);
    let images = projector.store_images(&projected(&projector, &projector.load_volume(&data)));
    let sums = data.sum_axis(ndarray::Axis(2));
    for (fast, slow) in images.iter().zip(&sums) {
        assert!((fast - slow).abs() < 1e-5 * 12.0, "{fast} {slow}");
    }
}

#[test]
fn what_does_not_exist_stays_zero_and_working_layout_loses_nothing() {
    each_case(&[1.5], |projector, angles, size, image| {
        let data = random(size, 5);
        let volume = projector.load_volume(&data);
        assert_eq!(projector.store_volume(&volume), data);
        let images = random([angles.len(), image[0], image[1]], 6);
        let work = projector.load_images(&images.view());
        assert_eq!(projector.store_images(&work), images);
        let sum = |values: &[f32]| -> f64 { values.iter().map(|v| f64::from(v.abs())).sum() };
        let inside = |data: &Array3<f32>| sum(data.as_slice().unwrap());
        let images = projected(&projector, &volume);
        let stored = inside(&projector.store_images(&images));
        assert!((sum(images.values()) - stored).abs() < 1e-9 * stored);
        let volume = back(&projector, &images);
        let stored = inside(&projector.store_volume(&volume));
        assert!((sum(volume.values()) - stored).abs() < 1e-9 * stored);
    });
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for geometry in GEOMETRIES {
        let angles: Vec<_> = (0..7)
            .map(|at| geometry[at % geometry.len()])
            .map(|a| EulerAngles::from_deg(a[0], a[1], a[2]))
            .collect();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let projector = FourierProjector::new([24, 37, 27], [22, 36], &angles, 1.5);
                let volume = projector.load_volume(&random([24, 37, 27], 6));
                let measured = random([7, 22, 36], 7);
                let mut images = projected(&projector, &volume);
                let measured = projector.load_images(&measured.view());
                let misfits = projector.subtract(&mut images, &measured, &[true; 7]);
                let volume = projector.store_volume(&back(&projector, &images));
                (misfits, projector.store_images(&images), volume)
            })
        };
        let one = run(1);
        for threads in [2, 3, 16] {
            assert!(run(threads) == one, "{threads} threads");
        }
    }
}

#[test]
fn the_misfit_is_that_of_the_pixels() {
    for off in [0.0, 1.0] {
        let angles: Vec<_> = (0..3)
            .map(|at| EulerAngles::from_deg(off, 20.0 * f64::from(at), off))
            .collect();
        let projector = FourierProjector::new([20, 33, 20], [20, 33], &angles, 1.5);
        let (calculated, measured) = (random([3, 20, 33], 8), random([3, 20, 33], 9));
        let mut images = projector.load_images(&calculated.view());
        let work = projector.load_images(&measured.view());
        let misfits = projector.subtract(&mut images, &work, &[true, false, true]);
        let left = projector.store_images(&images);
        for tilt in 0..3 {
            let image = |data: &Array3<f32>| data.index_axis(ndarray::Axis(0), tilt).to_owned();
            let apart = image(&calculated) - image(&measured);
            let absolute: f64 = apart.iter().map(|d| f64::from(d.abs())).sum();
            let squares: f64 = apart.iter().map(|d| f64::from(d * d)).sum();
            assert!((misfits[tilt].absolute - absolute).abs() < 1e-5 * absolute);
            assert!((misfits[tilt].squares - squares).abs() < 1e-5 * squares);
            assert_eq!(image(&left).iter().all(|d| *d == 0.0), tilt == 1);
        }
    }
}

#[test]
#[ignore = "prints a table; takes half a minute"]
fn accuracy_and_speed_by_oversampling() {
    for general in [false, true] {
        let off = if general { 0.3 } else { 0.0 };
        let angles: Vec<_> = (0..40)
            .map(|at| EulerAngles::from_deg(off, -70.0 + 3.5 * f64::from(at), -off))
            .collect();
        let few: Vec<_> = angles.iter().copied().step_by(13).collect();
        for oversampling in [1.25, 1.375, 1.5, 1.75, 2.0, 3.0, 4.0] {
            let small = FourierProjector::new([40, 24, 40], [40, 24], &few, oversampling);
            let (off, all) = error(&small, &few, 10);
            let n = 160;
            let large = FourierProjector::new([n; 3], [n; 2], &angles, oversampling);
            let mut volume = large.ones();
            let mut images = large.new_images();
            let seconds = (0..3)
                .map(|_| {
                    let started = std::time::Instant::now();
                    let silent = Monitor::silent();
                    large.forward(&volume, &mut images, &silent).unwrap();
                    let half = started.elapsed().as_secs_f64();
                    large.adjoint(&images, &mut volume, &silent).unwrap();
                    let all = started.elapsed().as_secs_f64();
                    (all, half)
                })
                .fold((f64::INFINITY, 0.0), |a, b| if b.0 < a.0 { b } else { a });
            println!(
                "general {general}, oversampling {oversampling}: error {:.1e}, 160³ × 40: {:.3} s ({:.3} forward), {:.0} MB",
                off / all,
                seconds.0,
                seconds.1,
                memory_besides([n; 3], [n; 2], &angles, oversampling) as f64 / 1e6
            );
        }
    }
}
