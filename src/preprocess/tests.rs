//! The decisions and their execution on generated series whose truth is known.

use super::*;
use crate::model::EulerAngles;
use crate::model::geometry::apply;
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Poisson};

/// A lump of Gaussian atoms, 15 tilts of 96 × 90 pixels, Poisson counts over a background.
fn lump(
    shift: impl Fn(f64) -> [f64; 2],
    background: impl Fn(f64, f64) -> f64,
    seed: u64,
) -> TiltSeries {
    lump_about(0.0, [0.0, 8.0], shift, background, seed)
}

/// The same bent and brighter, tilted about an axis that lies `turn_deg` counter-clockwise from y, which its angles do not
/// say. The bend, how far its slices' centres go aside with y, is what tells the axis.
fn lump_about(
    turn_deg: f64,
    [bend, height]: [f64; 2],
    shift: impl Fn(f64) -> [f64; 2],
    background: impl Fn(f64, f64) -> f64,
    seed: u64,
) -> TiltSeries {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut atoms = Vec::new();
    // A lattice cut by an ellipsoid off the origin: not symmetric, so that center and origin differ.
    for i in -5..=5 {
        for j in -5..=5 {
            for k in -5..=5 {
                let p = [i, j, k].map(|n| 4.5 * f64::from(n) + 0.7);
                if (p[0] / 22.0).powi(2) + (p[1] / 18.0).powi(2) + (p[2] / 15.0).powi(2) < 1.0 {
                    let hollow = bend * (16.0 * (p[1] / 18.0).powi(2) - 8.0);
                    atoms.push([p[0] + 2.0 + bend * p[1], p[1], p[2] - 3.0 + hollow]);
                }
            }
        }
    }
    let angles: Vec<EulerAngles> = (0..15)
        .map(|t| EulerAngles::from_tilt_deg(-63.0 + 9.0 * f64::from(t)))
        .collect();
    let mut images = Array3::<f32>::zeros((15, 96, 90));
    let mut true_angles = angles.clone();
    turn_angles(&mut true_angles, turn_deg.to_radians());
    for (t, mut image) in images.outer_iter_mut().enumerate() {
        let move_by = shift(t as f64);
        let seen: Vec<[f64; 2]> = atoms
            .iter()
            .map(|&a| {
                let p = apply(&true_angles[t].detector_from_sample(), a);
                [p[0] + 48.0 + move_by[0], p[1] + 45.0 + move_by[1]]
            })
            .collect();
        let mut mean = Array2::<f64>::from_shape_fn((96, 90), |(i, j)| {
            background(i as f64 / 96.0, j as f64 / 90.0)
        });
        for [x, y] in seen {
            for i in (x as usize).saturating_sub(6)..(x as usize + 7).min(96) {
                for j in (y as usize).saturating_sub(6)..(y as usize + 7).min(90) {
                    let d2 = (i as f64 - x).powi(2) + (j as f64 - y).powi(2);
                    mean[[i, j]] += height * (-d2 / 4.5).exp();
                }
            }
        }
        for (pixel, &m) in image.iter_mut().zip(&mean) {
            *pixel = Poisson::new(m).map_or(0.0, |p| p.sample(&mut rng)) as f32;
        }
    }
    TiltSeries::new("lump", images, angles, Some(0.4))
}

fn wobble(t: f64) -> [f64; 2] {
    [4.0 * (1.9 * t).sin(), 3.0 * (1.1 * t + 0.5).cos()]
}

#[test]
fn a_clean_aligned_series_is_left_untouched() {
    let series = lump(|_| [0.0; 2], |_, _| 0.0, 1);
    let assessment = assess(&series);
    assert!(!assessment.needs_preparation(), "{:?}", assessment.notes);
    assert_eq!(assessment.notes.len(), 2);
    let prepared = prepare(&series, &PrepareParams::default(), &Monitor::silent()).expect("valid");
    assert_eq!(*prepared.series, series);
    assert!(prepared.background.is_none());
}

#[test]
fn a_tilt_axis_along_x_is_noticed() {
    let series = lump(wobble, |_, _| 0.0, 5);
    let told = |series: &TiltSeries| {
        assess(series)
            .notes
            .iter()
            .any(|n| n.contains("exchange x and y"))
    };
    assert!(!told(&series));
    assert!(told(&series.exchanged()));
    assert!(!assess(&series).axis_along_x && assess(&series.exchanged()).axis_along_x);
    assert_eq!(series.exchanged().exchanged(), series);
}

#[test]
fn a_constant_background_is_subtracted_without_bias_and_nothing_is_moved() {
    let series = lump(|_| [0.0; 2], |_, _| 2.0, 2);
    let assessment = assess(&series);
    assert_eq!(
        assessment.params.skip,
        [Step::Drift, Step::Align],
        "{:?}",
        assessment.notes
    );
    let prepared = prepare(&series, &assessment.params, &Monitor::silent()).expect("valid");
    for level in &prepared.background_level {
        // Poisson noise of 2 counts over at least 3000 vacuum pixels: 0.026.
        assert!((level - 2.0).abs() < 0.13, "{level}");
    }
    let vacuum_mean: f64 = prepared
        .series
        .images
        .outer_iter()
        .map(|image| (0..10).map(|i| f64::from(image[[i, 3]])).sum::<f64>() / 10.0)
        .sum::<f64>()
        / 15.0;
    // 150 pixels of variance 2: 0.12. A clamp at zero would leave 0.54 here.
    assert!(
        vacuum_mean.abs() < 0.4,
        "vacuum after subtraction {vacuum_mean}"
    );
}

/// A specimen that tells its axis.
const BENT: [f64; 2] = [0.35, 100.0];

#[test]
fn a_turned_tilt_axis_is_found_and_the_angles_say_so() {
    for turn in [1.5, -2.0] {
        let series = lump_about(turn, BENT, wobble, |x, y| 12.0 + 6.0 * x - 3.0 * y, 3);
        let prepared = prepare(&series, &PrepareParams::default(), &Monitor::silent()).unwrap();
        let axis = prepared.axis.expect("fifteen tilts tell it");
        assert!((axis.angle_deg - turn).abs() < 0.3, "{axis:?} for {turn}");
        assert!(axis.is_turned() && axis.error_deg < 0.3, "{axis:?}");
        for angle in &prepared.series.angles {
            let seen = apply(&angle.detector_from_sample(), [0.0, 1.0, 0.0]);
            // The axis itself is turned too: seen on the detector it lies where it was found.
            let line = [-axis.angle().sin(), axis.angle().cos(), 0.0];
            let fixed = apply(&angle.detector_from_sample(), line);
            assert!(
                (0..3).all(|k| (fixed[k] - line[k]).abs() < 1e-9),
                "{fixed:?} {seen:?}"
            );
        }
        // The shifts are those that were planted, up to the place of the specimen in space: left is less than noise makes.
        let left: Vec<[f64; 2]> = (0..15)
            .map(|t| {
                let planted = wobble(t as f64);
                [0, 1].map(|k| prepared.shifts_px[t][k] + planted[k])
            })
            .collect();
        let line = [axis.angle().cos(), axis.angle().sin()];
        let along: Vec<f64> = left
            .iter()
            .map(|s| s[1] * line[0] - s[0] * line[1])
            .collect();
        let mean = along.iter().sum::<f64>() / 15.0;
        let rms = (along.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 15.0).sqrt();
        assert!(rms < 0.3, "along the axis {rms}");
    }
}

#[test]
fn noise_does_not_turn_the_axis() {
    // Few counts over much background: most of what the profiles differ by is noise.
    for seed in 1..=4 {
        let series = lump(wobble, |_, _| 40.0, seed);
        let prepared = prepare(&series, &PrepareParams::default(), &Monitor::silent()).unwrap();
        assert!(
            prepared.axis.is_none_or(|axis| !axis.is_turned()),
            "{:?}",
            prepared.axis
        );
    }
}

#[test]
fn an_axis_along_y_stays_and_a_given_one_is_taken() {
    let series = lump_about(0.0, BENT, wobble, |x, y| 12.0 + 6.0 * x - 3.0 * y, 3);
    let prepared = prepare(&series, &PrepareParams::default(), &Monitor::silent()).unwrap();
    let axis = prepared.axis.expect("fifteen tilts tell it");
    assert!(!axis.is_turned() && axis.angle_deg.abs() < 0.5, "{axis:?}");
    assert_eq!(prepared.series.angles, series.angles);
    let given = PrepareParams {
        axis_deg: Some(3.0),
        ..PrepareParams::default()
    };
    let turned = prepare(&series, &given, &Monitor::silent()).unwrap();
    assert_eq!(turned.axis.map(|axis| axis.angle_deg), Some(3.0));
    assert!(!turned.series.is_single_axis());
    let wrong = PrepareParams {
        axis_deg: Some(f64::NAN),
        ..PrepareParams::default()
    };
    assert!(prepare(&series, &wrong, &Monitor::silent()).is_err());
}

#[test]
fn a_mask_edited_by_hand_is_used_and_told() {
    let series = lump(|_| [0.0; 2], |_, _| 2.0, 2);
    let erased = MaskEdit {
        tilt: 4,
        change: MaskChange::Brush {
            adds: true,
            radius_px: 6.0,
            points_px: vec![[8.0, 8.0], [20.0, 8.0]],
        },
    };
    let by_rule = mask_by_rule(&series, 4, 3);
    assert!(!by_rule[[10, 8]]);
    let params = PrepareParams {
        mask_edits: vec![erased],
        ..PrepareParams::default()
    };
    let prepared = prepare(&series, &params, &Monitor::silent()).unwrap();
    assert!(prepared.specimens[4][[10, 8]] && !prepared.specimens[3][[10, 8]]);
    let told = prepared
        .notes
        .iter()
        .any(|n| n.contains("1 of 15 images were edited by hand"));
    assert!(told, "{:?}", prepared.notes);
}

#[test]
fn a_raw_series_is_freed_of_its_slope_and_aligned() {
    let series = lump(wobble, |x, y| 12.0 + 6.0 * x - 3.0 * y, 3);
    let assessment = assess(&series);
    // One frame per tilt has no drift.
    assert_eq!(
        assessment.params.skip,
        [Step::Drift],
        "{:?}",
        assessment.notes
    );
    let prepared = prepare(&series, &assessment.params, &Monitor::silent()).expect("valid");
    let errors: Vec<[f64; 2]> = prepared
        .shifts_px
        .iter()
        .enumerate()
        .map(|(t, s)| std::array::from_fn(|axis| s[axis] + wobble(t as f64)[axis]))
        .collect();
    // Along y one offset is free; across it a rigid displacement X cos θ − Z sin θ is.
    let mean_y = errors.iter().map(|e| e[1]).sum::<f64>() / 15.0;
    let centers: Vec<f64> = errors.iter().map(|e| e[0]).collect();
    let design = nalgebra::DMatrix::from_fn(15, 2, |t, c| {
        let (sin, cos) = series.angles[t].theta.sin_cos();
        [cos, -sin][c]
    });
    let values = nalgebra::DVector::from_vec(centers);
    let fit = design
        .clone()
        .svd(true, true)
        .solve(&values, 1e-9)
        .expect("two unknowns");
    let left = &values - &design * fit;
    for (t, error) in errors.iter().enumerate() {
        assert!(
            (error[1] - mean_y).abs() < 0.3,
            "tilt {t} along: {}",
            error[1] - mean_y
        );
        assert!(left[t].abs() < 0.3, "tilt {t} across: {}", left[t]);
    }
}

#[test]
fn steps_left_out_stay_out() {
    let series = lump(wobble, |_, _| 5.0, 4);
    let params = PrepareParams {
        skip: vec![Step::Background, Step::Align],
        ..PrepareParams::default()
    };
    let prepared = prepare(&series, &params, &Monitor::silent()).expect("valid");
    assert_eq!(*prepared.series, series);
    assert_eq!(prepared.notes.len(), 2);
}

#[test]
fn denoising_is_done_on_request_and_leaves_the_other_steps_as_they_were() {
    let series = lump(wobble, |_, _| 6.0, 7);
    let plain = prepare(&series, &PrepareParams::default(), &Monitor::silent()).expect("valid");
    assert!(plain.denoised.is_none());
    let mut params = PrepareParams {
        denoise: true,
        ..PrepareParams::default()
    };
    let clean = prepare(&series, &params, &Monitor::silent()).expect("valid");
    assert_eq!(clean.shifts_px, plain.shifts_px);
    assert_eq!(clean.background, plain.background);
    assert!(
        clean.notes[0].starts_with("Denoising: BM3D"),
        "{:?}",
        clean.notes
    );
    // What is left outside the specimen is told of the images as they became, so that its numbers differ.
    let decisions = |notes: &[String]| -> Vec<String> {
        let told = notes.iter().filter(|n| !n.contains("are left outside"));
        told.cloned().collect()
    };
    assert_eq!(decisions(&clean.notes[1..]), decisions(&plain.notes));
    // Poisson counts: the gain is 1.
    let denoised = clean.denoised.expect("asked for");
    assert!(
        (denoised.noise.gain - 1.0).abs() < 0.15,
        "{:?}",
        denoised.noise
    );
    // Vacuum of 6 counts has a standard deviation of 2.4; what stays is a fraction of it.
    let sd = |images: &Array3<f32>| {
        let corner = images.slice(ndarray::s![.., 4..20, 4..20]);
        f64::from(corner.std(0.0))
    };
    assert!(
        sd(&plain.series.images) > 1.5,
        "{}",
        sd(&plain.series.images)
    );
    assert!(
        sd(&clean.series.images) < 0.5,
        "{}",
        sd(&clean.series.images)
    );
    let removed = denoised.removed(&series.images);
    let together = &removed + &denoised.images;
    assert!((together - &series.images).iter().all(|d| d.abs() < 1e-4));
    params.skip.push(Step::Denoise);
    let skipped = prepare(&series, &params, &Monitor::silent()).expect("valid");
    assert_eq!(skipped.series, plain.series);
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let series = lump(wobble, |x, _| 12.0 + 6.0 * x, 5);
    let with = |threads: usize| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads")
            .install(|| {
                let params = PrepareParams {
                    denoise: true,
                    ..PrepareParams::default()
                };
                prepare(&series, &params, &Monitor::silent())
                    .expect("valid")
                    .series
            })
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn unusable_images_are_refused_and_assessed_as_such() {
    let mut series = lump(|_| [0.0; 2], |_, _| 0.0, 6);
    series.images[[3, 5, 7]] = f32::NAN;
    let error = prepare(&series, &PrepareParams::default(), &Monitor::silent()).expect_err("NaN");
    assert!(
        error.to_string().contains("image 4, pixel (5, 7)"),
        "{error}"
    );
    assert!(!assess(&series).needs_preparation());
    let tiny = TiltSeries::new(
        "tiny",
        Array3::zeros((2, 4, 4)),
        vec![EulerAngles::default(); 2],
        None,
    );
    assert!(prepare(&tiny, &PrepareParams::default(), &Monitor::silent()).is_err());
    let flat = TiltSeries::new(
        "flat",
        Array3::from_elem((5, 40, 40), 3.0),
        vec![EulerAngles::default(); 5],
        None,
    );
    let prepared = prepare(&flat, &PrepareParams::default(), &Monitor::silent())
        .expect("flat images are odd, not wrong");
    assert_eq!(*prepared.series, flat);
}

/// Whether two preparations are the same in all that they show.
fn assert_same(one: &Prepared, other: &Prepared, what: &str) {
    assert_eq!(one.series, other.series, "{what}");
    assert_eq!(one.notes, other.notes, "{what}");
    assert_eq!(one.background, other.background, "{what}");
    assert_eq!(one.specimens, other.specimens, "{what}");
    assert_eq!(one.shifts_px, other.shifts_px, "{what}");
    assert_eq!(one.residual_level, other.residual_level, "{what}");
}

#[test]
fn a_rerun_from_any_step_on_ends_where_a_whole_one_does() {
    let shift = |t: f64| [2.0 * t.sin(), 3.0 * (0.7 * t).cos()];
    let series = lump(shift, |x, _| 4.0 + 3.0 * x, 12);
    let silent = Monitor::silent();
    let first = PrepareParams {
        denoise: true,
        ..PrepareParams::default()
    };
    let earlier = prepare(&series, &first, &silent).expect("valid");
    assert!(
        earlier.did(Step::Denoise) && earlier.did(Step::Background) && earlier.did(Step::Align)
    );
    type Change = fn(&mut PrepareParams);
    let changes: [(&str, Change); 10] = [
        ("nothing", |_| ()),
        ("no denoising", |p| p.denoise = false),
        ("another noise", |p| p.bm3d.sigma = Some(2.0)),
        ("no background", |p| p.skip.push(Step::Background)),
        ("another background", |p| {
            p.background_model = BackgroundModel::Constant;
        }),
        ("wider masks", |p| p.dilation_px = 5),
        ("a mask by hand", |p| {
            p.mask_edits.push(MaskEdit {
                tilt: 4,
                change: MaskChange::Brush {
                    adds: true,
                    radius_px: 6.0,
                    points_px: vec![[10.0, 10.0]],
                },
            });
        }),
        ("no alignment", |p| p.skip.push(Step::Align)),
        ("another axis", |p| p.axis_deg = Some(2.0)),
        ("a move by hand", |p| {
            p.nudges.push(Nudge {
                tilt: 3,
                shift_px: [0.4, -0.2],
            });
        }),
    ];
    for (what, change) in changes {
        let mut params = first.clone();
        change(&mut params);
        let again = prepare_again(&series, &params, Some(&earlier), &silent).expect("valid");
        let whole = prepare(&series, &params, &silent).expect("valid");
        assert_same(&again, &whole, what);
    }
}

#[test]
fn steps_before_the_changed_one_are_taken_over_as_they_were() {
    let series = lump(|t| [t.sin(), 0.0], |_, _| 4.0, 13);
    let silent = Monitor::silent();
    let first = PrepareParams {
        denoise: true,
        ..PrepareParams::default()
    };
    let mut earlier = prepare(&series, &first, &silent).expect("valid");
    // A mark that no computation would leave.
    if let Some(denoised) = &mut earlier.denoised {
        denoised.images[[0, 0, 0]] = 1234.0;
    }
    earlier.background.as_mut().expect("there is one")[[1, 0, 0]] = -777.0;
    let mut params = first.clone();
    params.skip.push(Step::Align);
    let again = prepare_again(&series, &params, Some(&earlier), &silent).expect("valid");
    assert!(again.series.images[[0, 0, 0]] > 1200.0);
    assert!(again.series.images[[1, 0, 0]] > 700.0);
    // Other masks are other vacuum: denoising and background begin anew.
    params.dilation_px += 1;
    let anew = prepare_again(&series, &params, Some(&again), &silent).expect("valid");
    assert!(anew.series.images[[0, 0, 0]] < 100.0 && anew.series.images[[1, 0, 0]] < 100.0);
}

#[test]
fn what_was_left_out_comes_with_its_reason() {
    let series = lump(|_| [0.0; 2], |_, _| 0.0, 15);
    let params = PrepareParams {
        skip: vec![Step::Background],
        ..PrepareParams::default()
    };
    let done = prepare(&series, &params, &Monitor::silent()).expect("valid");
    let left_out = done.left_out();
    assert_eq!(left_out.len(), 4, "{left_out:?}");
    assert!(left_out[2].1 == "left out on request" && left_out[3].1.starts_with("none needed"));
    // Cut out of the middle, the same specimen is wider than its images.
    let middle = ndarray::s![.., 30..66, 27..63];
    let wide = TiltSeries::new(
        "wide",
        series.images.slice(middle).to_owned(),
        series.angles,
        None,
    );
    let done = prepare(&wide, &PrepareParams::default(), &Monitor::silent()).expect("valid");
    let (step, why) = done.left_out().pop().expect("nothing was done");
    assert!(
        step == Step::Align && why.contains("axis was not searched"),
        "{why}"
    );
}

#[test]
fn a_move_by_hand_is_repeated_by_every_rerun() {
    let series = lump(|_| [0.0; 2], |_, _| 0.0, 14);
    let by_hand = PrepareParams {
        skip: vec![Step::Background, Step::Align],
        nudges: vec![Nudge {
            tilt: 2,
            shift_px: [0.3, -0.1],
        }],
        ..PrepareParams::default()
    };
    let moved = prepare(&series, &by_hand, &Monitor::silent()).expect("valid");
    let mut expected = series.images.clone();
    align::move_image(expected.index_axis_mut(Axis(0), 2), [0.3, -0.1]);
    assert_eq!(moved.series.images, expected);
    assert!(!moved.did(Step::Align));
    assert!(
        moved
            .notes
            .iter()
            .any(|n| n == "Alignment: moved by hand: image 3 by (+0.3, -0.1) px"),
        "{:?}",
        moved.notes
    );
    // Even of a series that needs nothing else, hand work is done.
    let needs = assess_with(
        &series,
        PrepareParams {
            skip: Vec::new(),
            ..by_hand.clone()
        },
    );
    assert!(needs.needs_preparation(), "{:?}", needs.notes);
    let strange = PrepareParams {
        nudges: vec![Nudge {
            tilt: 0,
            shift_px: [f64::NAN, 0.0],
        }],
        ..by_hand
    };
    assert!(prepare(&series, &strange, &Monitor::silent()).is_err());
}
