//! Against the definition, voxel by voxel.

use super::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

fn random_volume(size: [usize; 3], seed: u64) -> Array3<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    Array3::from_shape_simple_fn(size, || rng.random::<f32>())
}

/// The definition, voxel by voxel, in double precision.
fn naive(data: &Array3<f32>, angle: EulerAngles, size: [usize; 2]) -> Vec<f64> {
    let r = angle.detector_from_sample();
    let (nx, ny, nz) = data.dim();
    let mut image = vec![0.0; size[0] * size[1]];
    for ((x, y, z), &value) in data.indexed_iter() {
        let d = [
            x as f64 - (nx / 2) as f64,
            y as f64 - (ny / 2) as f64,
            z as f64 - (nz / 2) as f64,
        ];
        let seen = crate::model::geometry::apply(&r, d);
        let (p, q) = (
            seen[0] + (size[0] / 2) as f64,
            seen[1] + (size[1] / 2) as f64,
        );
        for (i, a) in [
            (p.floor(), 1.0 - p + p.floor()),
            (p.floor() + 1.0, p - p.floor()),
        ] {
            for (j, b) in [
                (q.floor(), 1.0 - q + q.floor()),
                (q.floor() + 1.0, q - q.floor()),
            ] {
                if i >= 0.0 && j >= 0.0 && (i as usize) < size[0] && (j as usize) < size[1] {
                    image[i as usize * size[1] + j as usize] += a * b * f64::from(value);
                }
            }
        }
    }
    image
}

/// Series with one tilt axis, and others.
const GEOMETRIES: [&[[f64; 3]]; 5] = [
    &[
        [0.0, 0.0, 0.0],
        [0.0, 37.0, 0.0],
        [0.0, -71.3, 0.0],
        [0.0, 90.0, 0.0],
        [0.0, 135.0, 0.0],
    ],
    &[[0.3, -71.0, 0.2], [-0.2, 12.0, 0.1], [0.0, 30.0, 0.0]],
    &[[0.6, -40.0, 0.5], [1.5, 55.0, -2.0], [-4.0, 5.0, 6.0]],
    &[[12.0, -64.0, -12.0], [-25.0, 60.0, 10.0], [40.0, 8.0, 0.0]],
    &[
        [20.0, 50.0, -33.0],
        [90.0, 10.0, 80.0],
        [180.0, 0.0, 0.0],
        [0.0, 0.0, 170.0],
    ],
];

/// Volume and image: odd and even, wider and narrower than one another, whole and broken tiles, tiny.
const SIZES: [([usize; 3], [usize; 2]); 8] = [
    ([13, 20, 9], [15, 20]),
    ([24, 17, 30], [11, 13]),
    ([31, 33, 30], [33, 40]),
    ([16, 129, 16], [16, 129]),
    ([40, 70, 26], [17, 61]),
    ([41, 11, 30], [17, 13]),
    ([1, 1, 1], [1, 1]),
    ([2, 3, 5], [4, 1]),
];

fn each_case(act: impl Fn(LinearProjector, &[EulerAngles], [usize; 3], [usize; 2])) {
    for geometry in GEOMETRIES {
        let angles: Vec<_> = geometry
            .iter()
            .map(|a| EulerAngles::from_deg(a[0], a[1], a[2]))
            .collect();
        for (size, image) in SIZES {
            for instructions in Instructions::available() {
                let mut projector = LinearProjector::new(size, image, &angles);
                projector.instructions = instructions;
                act(projector, &angles, size, image);
            }
        }
    }
}

fn projected(projector: &LinearProjector, volume: &WorkVolume) -> WorkImages {
    let mut images = projector.new_images();
    // What was there before does not matter.
    images.0.fill(7.0);
    projector
        .forward(volume, &mut images, &Monitor::silent())
        .unwrap();
    images
}

fn back(projector: &LinearProjector, images: &WorkImages) -> WorkVolume {
    // What was there before does not matter.
    let mut volume = projector.ones();
    projector
        .adjoint(images, &mut volume, &Monitor::silent())
        .unwrap();
    volume
}

#[test]
fn the_fast_projector_is_the_definition_for_any_geometry_and_size() {
    each_case(|projector, angles, size, image| {
        let data = random_volume(size, 1);
        let fast = projector.store_images(&projected(&projector, &projector.load_volume(&data)));
        for (fast, &angle) in fast.outer_iter().zip(angles) {
            let slow = naive(&data, angle, image);
            let scale = slow.iter().copied().fold(1.0, f64::max);
            for (fast, slow) in fast.iter().zip(&slow) {
                assert!(
                    (f64::from(*fast) - slow).abs() < 1e-5 * scale,
                    "{fast} {slow} {angle:?} {size:?} {image:?}"
                );
            }
        }
    });
}

#[test]
fn the_adjoint_is_exact() {
    each_case(|projector, angles, size, image| {
        let x = projector.load_volume(&random_volume(size, 2));
        let y = random_volume([angles.len(), image[0], image[1]], 3);
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
fn what_does_not_exist_stays_zero_and_working_layout_loses_nothing() {
    each_case(|projector, angles, size, image| {
        let data = random_volume(size, 4);
        let volume = projector.load_volume(&data);
        assert_eq!(projector.store_volume(&volume), data);
        let images = random_volume([angles.len(), image[0], image[1]], 5);
        let work = projector.load_images(&images.view());
        assert_eq!(projector.store_images(&work), images);
        let sum = |values: &[f32]| -> f64 { values.iter().map(|v| f64::from(*v)).sum() };
        let inside = |data: &Array3<f32>| sum(data.as_slice().unwrap());
        let images = projected(&projector, &volume);
        assert_eq!(
            sum(images.values()) as f32,
            inside(&projector.store_images(&images)) as f32
        );
        let volume = back(&projector, &images);
        assert_eq!(
            sum(volume.values()) as f32,
            inside(&projector.store_volume(&volume)) as f32
        );
    });
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for geometry in GEOMETRIES {
        let angles: Vec<_> = (0..11)
            .map(|at| geometry[at % geometry.len()])
            .map(|a| EulerAngles::from_deg(a[0], a[1], a[2]))
            .collect();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let projector = LinearProjector::new([40, 100, 37], [38, 99], &angles);
                let volume = projector.load_volume(&random_volume([40, 100, 37], 6));
                let measured = random_volume([11, 38, 99], 7);
                let mut images = projected(&projector, &volume);
                let measured = projector.load_images(&measured.view());
                let misfits = projector.subtract(&mut images, &measured, &[true; 11]);
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
    let angles: Vec<_> = (0..3)
        .map(|at| EulerAngles::from_tilt_deg(20.0 * at as f64))
        .collect();
    let projector = LinearProjector::new([20, 70, 20], [20, 70], &angles);
    let (calculated, measured) = (random_volume([3, 20, 70], 8), random_volume([3, 20, 70], 9));
    let mut images = projector.load_images(&calculated.view());
    let work = projector.load_images(&measured.view());
    let misfits = projector.subtract(&mut images, &work, &[true, false, true]);
    let difference = projector.store_images(&images);
    for tilt in 0..3 {
        let apart: Vec<f64> = calculated
            .index_axis(ndarray::Axis(0), tilt)
            .iter()
            .zip(measured.index_axis(ndarray::Axis(0), tilt))
            .map(|(a, b)| f64::from(a - b))
            .collect();
        let absolute: f64 = apart.iter().map(|d| d.abs()).sum();
        let squares: f64 = apart.iter().map(|d| d * d).sum();
        assert!((misfits[tilt].absolute - absolute).abs() < 1e-5 * absolute);
        assert!((misfits[tilt].squares - squares).abs() < 1e-5 * squares);
        let left = difference.index_axis(ndarray::Axis(0), tilt);
        assert_eq!(left.iter().all(|d| *d == 0.0), tilt == 1);
    }
}
