//! Planted errors are found; nothing is invented where there are none.

use super::*;
use crate::model::geometry::{apply, multiply, transpose};
use crate::model::{EulerAngles, center_index};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// What was planted, and what the series says about itself.
struct Planted {
    pub series: TiltSeries,
    pub angles: Vec<EulerAngles>,
    /// How far each image was moved.
    pub shifts_px: Vec<[f64; 2]>,
}

/// Projections of Gaussian balls at random places in a ball, in closed form.
fn planted(shift_px: f64, error_deg: f64) -> Planted {
    const SIZE: [usize; 2] = [44, 41];
    const TILTS: usize = 36;
    let mut rng = StdRng::seed_from_u64(7);
    let mut balls = Vec::new();
    while balls.len() < 60 {
        let place: [f64; 3] = std::array::from_fn(|_| rng.random_range(-14.0..14.0));
        if place.iter().map(|c| c * c).sum::<f64>() < 196.0 {
            balls.push((place, rng.random_range(0.5..1.0)));
        }
    }
    let mut uniform = |limit: f64| {
        if limit > 0.0 {
            rng.random_range(-limit..limit)
        } else {
            0.0
        }
    };
    let (mut nominal, mut angles, mut shifts_px) = (Vec::new(), Vec::new(), Vec::new());
    for tilt in 0..TILTS {
        let theta = -70.0 + 4.0 * tilt as f64;
        nominal.push(EulerAngles::from_tilt_deg(theta));
        let [phi, off, psi] = std::array::from_fn(|_| uniform(error_deg));
        angles.push(EulerAngles::from_deg(phi, theta + off, psi));
        shifts_px.push([uniform(shift_px), uniform(shift_px)]);
    }
    // Wide enough that linear interpolation between voxels costs nothing that the angles would see.
    let sigma: f64 = 2.0;
    let mut images = Array3::<f32>::zeros((TILTS, SIZE[0], SIZE[1]));
    for tilt in 0..TILTS {
        let rotation = angles[tilt].detector_from_sample();
        for (place, weight) in &balls {
            let seen = apply(&rotation, *place);
            let center: [f64; 2] = std::array::from_fn(|axis| {
                center_index(SIZE[axis]) as f64 + seen[axis] + shifts_px[tilt][axis]
            });
            for i in 0..SIZE[0] {
                for j in 0..SIZE[1] {
                    let d = (i as f64 - center[0]).powi(2) + (j as f64 - center[1]).powi(2);
                    images[[tilt, i, j]] +=
                        (100.0 * weight * (-0.5 * d / sigma.powi(2)).exp()) as f32;
                }
            }
        }
    }
    Planted {
        series: TiltSeries::new("planted", images, nominal, Some(1.0)),
        angles,
        shifts_px,
    }
}

/// Remaining errors, root mean square: shifts (px) and rotations (degrees) about each axis of the detector, up to
/// what moves and turns the object as a whole.
fn remaining(
    refined: &[EulerAngles],
    moved_px: &[[f64; 2]],
    truth: &[EulerAngles],
    shifts_px: &[[f64; 2]],
    series: &TiltSeries,
) -> (f64, [f64; 3]) {
    let poses = Poses::new(series, 1.0);
    let mut left = Vec::new();
    for tilt in 0..series.len() {
        let (now, true_r) = (
            refined[tilt].detector_from_sample(),
            truth[tilt].detector_from_sample(),
        );
        let turn = multiply(&now, &transpose(&true_r));
        left.extend([
            (turn[2][1] - turn[1][2]) / 2.0,
            (turn[0][2] - turn[2][0]) / 2.0,
            (turn[1][0] - turn[0][1]) / 2.0,
        ]);
        left.extend([0, 1].map(|axis| moved_px[tilt][axis] + shifts_px[tilt][axis]));
        left.push(0.0);
    }
    poses.fix_gauge(&mut left);
    let rms = |component: usize| {
        let picked: Vec<f64> = left.chunks(COMPONENTS).map(|t| t[component]).collect();
        root_mean_square(&picked)
    };
    let turns = std::array::from_fn(|axis| rms(axis).to_degrees());
    (((rms(3).powi(2) + rms(4).powi(2)) / 2.0).sqrt(), turns)
}

#[test]
fn planted_shifts_and_angles_are_recovered() {
    let planted = planted(0.7, 0.4);
    let params = GeometryParams {
        tolerance_px: 1e-4,
        ..GeometryParams::default()
    };
    let refined = refine_geometry(&planted.series, &params, &Monitor::silent(), &mut |_| ())
        .expect("a sound series");
    let left = |angles: &[EulerAngles], moved: &[[f64; 2]]| {
        remaining(
            angles,
            moved,
            &planted.angles,
            &planted.shifts_px,
            &planted.series,
        )
    };
    let no_shifts = vec![[0.0; 2]; planted.series.len()];
    let before = left(&planted.series.angles, &no_shifts);
    let after = left(&refined.series.angles, &refined.shifts_px);
    assert!(before.0 > 0.35 && before.1.iter().all(|&e| e > 0.15));
    assert!(after.0 < 0.05, "{after:?} after {}", refined.rounds.len());
    assert!(
        after.1.iter().all(|&e| e < 0.05),
        "{after:?} after {}",
        refined.rounds.len()
    );
    assert!(refined.r1_after() < 0.2 * refined.r1_before());
}

#[test]
fn a_series_without_errors_stays_where_it_is_and_tilts_left_out_are_not_touched() {
    let mut planted = planted(0.0, 0.0);
    planted.series.included[5] = false;
    let params = GeometryParams {
        max_rounds: 6,
        ..GeometryParams::default()
    };
    let refined = refine_geometry(&planted.series, &params, &Monitor::silent(), &mut |_| ())
        .expect("a sound series");
    for shift in &refined.shifts_px {
        assert!(shift[0].hypot(shift[1]) < 0.05, "{shift:?}");
    }
    assert_eq!(refined.shifts_px[5], [0.0; 2]);
    assert_eq!(refined.series.angles[5], planted.series.angles[5]);
    assert_eq!(refined.series.image(5), planted.series.image(5));
    for dose in &refined.doses {
        assert!((dose - 1.0).abs() < 0.01, "{dose}");
    }
}

#[test]
fn too_few_tilts_and_odd_parameters_are_refused() {
    let mut planted = planted(0.0, 0.0);
    let silent = Monitor::silent();
    let odd = GeometryParams {
        max_shift_px: f64::NAN,
        ..GeometryParams::default()
    };
    assert!(matches!(
        refine_geometry(&planted.series, &odd, &silent, &mut |_| ()),
        Err(ReconstructError::BadParameter { .. })
    ));
    planted.series.included.fill(false);
    let error = refine_geometry(
        &planted.series,
        &GeometryParams::default(),
        &silent,
        &mut |_| (),
    );
    assert!(matches!(error, Err(ReconstructError::BadInput { .. })));
}

#[test]
fn a_glance_tells_an_aligned_series_from_one_that_is_not() {
    let params = GeometryParams::default();
    let look = |shift_px, error_deg| {
        judge_geometry(
            &planted(shift_px, error_deg).series,
            &params,
            &Monitor::silent(),
        )
        .expect("a sound series")
    };
    let (aligned, moved) = (look(0.0, 0.0), look(1.0, 0.5));
    println!("{aligned:?} {moved:?}");
    assert!(moved.needs_refinement() && moved.note().contains("will be refined"));
    assert!(moved.shift_px > 3.0 * aligned.shift_px && moved.turn_px > 2.0 * aligned.turn_px);
    let too_few = TiltSeries::new(
        "two",
        Array3::zeros((2, 20, 20)),
        vec![EulerAngles::from_tilt_deg(0.0); 2],
        None,
    );
    assert!(judge_geometry(&too_few, &params, &Monitor::silent()).is_err());
}
