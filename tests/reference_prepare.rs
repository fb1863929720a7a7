//! The preparation's decisions on published and simulated series, when the reference data is there.
//!
//! The data's own README says what each series is: which have a background, which are aligned, and the shifts that
//! were planted.

mod common;

use aetlas::io::{SeriesOptions, load_series};
use aetlas::model::EulerAngles;
use aetlas::monitor::Monitor;
use aetlas::preprocess::align::move_image;
use aetlas::preprocess::vacuum::gaussian_blur;
use aetlas::preprocess::{PrepareParams, Step, assess, prepare};
use common::{doubles, pack, series};
use ndarray::{Array2, ArrayView2};

/// Planted shifts or drifts, one pair per tilt.
fn pairs(file: &str, name: &str) -> Vec<[f64; 2]> {
    let flat = doubles(&format!("data/{file}"), name);
    flat.chunks(2).map(|c| [c[0], c[1]]).collect()
}

/// Errors of the shifts without what no alignment can know: one offset along y, a rigid displacement across.
fn shift_errors(found: &[[f64; 2]], planted: &[[f64; 2]], angles: &[EulerAngles]) -> [Vec<f64>; 2] {
    let n = found.len();
    let sums: [Vec<f64>; 2] =
        std::array::from_fn(|axis| (0..n).map(|t| found[t][axis] + planted[t][axis]).collect());
    let design = nalgebra::DMatrix::from_fn(n, 2, |t, c| {
        let (sin, cos) = angles[t].theta.sin_cos();
        [cos, -sin][c]
    });
    let across = nalgebra::DVector::from_vec(sums[0].clone());
    let fit = design
        .clone()
        .svd(true, true)
        .solve(&across, 1e-9)
        .expect("two unknowns");
    let left = &across - design * fit;
    let mean = sums[1].iter().sum::<f64>() / n as f64;
    [
        left.iter().copied().collect(),
        sums[1].iter().map(|y| y - mean).collect(),
    ]
}

fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
}

#[test]
fn the_raw_alloy_series_is_leveled_and_aligned_to_a_third_of_a_pixel() {
    let Some(folder) = pack("sim_hea4") else {
        return;
    };
    let series = series(
        &folder,
        "tilt_series_raw.npy",
        "tilt_angles_nominal.txt",
        0.347,
    );
    let planted = pairs("sim_hea4/truth.npz", "shifts_px");
    let assessment = assess(&series);
    // One image per tilt has no drift; everything else is to be done.
    assert_eq!(
        assessment.params.skip,
        [Step::Drift],
        "{:?}",
        assessment.notes
    );
    let prepared = prepare(&series, &assessment.params, &Monitor::silent()).expect("valid");
    let [x, y] = shift_errors(&prepared.shifts_px, &planted, &series.angles);
    println!(
        "{:#?}\nshift errors: x {:.3} px, y {:.3} px (rms)",
        prepared.notes,
        rms(&x),
        rms(&y)
    );
    assert!(rms(&x) <= 0.3 && rms(&y) <= 0.3);
    let level =
        prepared.background_level.iter().sum::<f64>() / prepared.background_level.len() as f64;
    assert!(
        (level - 30.0).abs() < 1.0,
        "the background is about 30 counts, measured {level}"
    );
}

/// The noise-free images of this pack lie where they should, yet their own centers of mass scatter by 0.30 px (a crystal
/// on a zone axis scatters more than the sum of its atoms): what no coarse alignment can see. The raw frames are
/// judged by what drift, noise and background add to that.
#[test]
fn raw_frames_are_aligned_as_well_as_their_noise_free_images_allow() {
    let Some(folder) = pack("pdpt_multislice") else {
        return;
    };
    let clean = series(&folder, "noisefree.npy", "angles_true.txt", 0.3434);
    let at_rest = vec![[0.0; 2]; clean.len()];
    let seen = prepare(&clean, &PrepareParams::default(), &Monitor::silent())
        .expect("valid")
        .misalignment
        .expect("whole")
        .shifts_px;
    let floor = shift_errors(&seen, &at_rest, &clean.angles);
    let raw = series(&folder, "raw_frames.npy", "angles_nominal.txt", 0.3434);
    let assessment = assess(&raw);
    assert!(assessment.params.skip.is_empty(), "{:?}", assessment.notes);
    let prepared = prepare(&raw, &assessment.params, &Monitor::silent()).expect("valid");
    let planted = pairs("pdpt_multislice/raw_truth.npz", "residual_shift_px_rc");
    let errors = shift_errors(&prepared.shifts_px, &planted, &raw.angles);
    println!("{:#?}", prepared.notes);
    for axis in 0..2 {
        let added: Vec<f64> = errors[axis]
            .iter()
            .zip(&floor[axis])
            .map(|(error, floor)| error - floor)
            .collect();
        println!(
            "shift errors along {}: {:.3} px rms; of the noise-free images {:.3} px, added {:.3} px",
            ["x", "y"][axis],
            rms(&errors[axis]),
            rms(&floor[axis]),
            rms(&added)
        );
        assert!(rms(&added) <= 0.15);
    }
    let drift = prepared.drift.expect("there are frames");
    let planted = pairs("pdpt_multislice/raw_truth.npz", "drift_px_per_frame_rc");
    // Three frames that jitter by 0.6 px carry a slope good to 0.6/√2 px per frame.
    let worst: Vec<f64> = drift
        .tilts
        .iter()
        .zip(&planted)
        .flat_map(|(found, planted)| [0, 1].map(|k| found.px_per_frame[k] - planted[k]))
        .collect();
    println!("drift velocity: {:.3} px/frame rms", rms(&worst));
    assert!(rms(&worst) <= 0.6);
}

#[test]
fn registered_raw_frames_resemble_the_noise_free_images_more_than_summed_ones() {
    let Some(folder) = pack("pdpt_multislice") else {
        return;
    };
    let raw = series(&folder, "raw_frames.npy", "angles_nominal.txt", 0.3434);
    let clean = series(&folder, "noisefree.npy", "angles_true.txt", 0.3434);
    let score = |skip: Vec<Step>| -> f64 {
        let params = PrepareParams {
            skip,
            ..PrepareParams::default()
        };
        let prepared = prepare(&raw, &params, &Monitor::silent()).expect("valid");
        let both = prepared
            .series
            .images
            .outer_iter()
            .zip(clean.images.outer_iter());
        // Every third tilt says the same in a third of the time.
        let scores: Vec<f64> = both
            .step_by(3)
            .map(|(a, b)| best_correlation(a, b))
            .collect();
        scores.iter().sum::<f64>() / scores.len() as f64
    };
    let plain = score(vec![Step::Drift]);
    let corrected = score(Vec::new());
    println!(
        "correlation with the noise-free images: summed {plain:.4}, registered {corrected:.4}"
    );
    // With the true shifts and drift undone it would be 0.997: noise takes the rest.
    assert!(corrected > plain + 0.002);
}

/// Correlation of two images blurred by one pixel, at the best shift: whole pixels first, then fifths.
fn best_correlation(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> f64 {
    let (a, b) = (gaussian_blur(a, 1.0), gaussian_blur(b, 1.0));
    let whole = (-5..=5).flat_map(|x| (-5..=5).map(move |y| [f64::from(x), f64::from(y)]));
    let (coarse, _) = best_of(&a, &b, whole);
    let fine =
        (-3..=3).flat_map(|x| (-3..=3).map(move |y| [f64::from(x) * 0.2, f64::from(y) * 0.2]));
    best_of(&a, &b, fine.map(|d| [coarse[0] + d[0], coarse[1] + d[1]])).1
}

fn best_of(
    a: &Array2<f32>,
    b: &Array2<f32>,
    shifts: impl Iterator<Item = [f64; 2]>,
) -> ([f64; 2], f64) {
    let mut best = ([0.0; 2], f64::NEG_INFINITY);
    for shift in shifts {
        let mut moved = a.clone();
        move_image(moved.view_mut(), shift);
        let (nx, ny) = b.dim();
        let inner = ndarray::s![8..nx - 8, 8..ny - 8];
        let value = correlation(moved.slice(inner), b.slice(inner));
        if value > best.1 {
            best = (shift, value);
        }
    }
    best
}

fn correlation(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> f64 {
    let mean =
        |v: &ArrayView2<'_, f32>| v.iter().map(|&x| f64::from(x)).sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(&a), mean(&b));
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (&p, &q) in a.iter().zip(&b) {
        let (p, q) = (f64::from(p) - ma, f64::from(q) - mb);
        aa += p * p;
        bb += q * q;
        ab += p * q;
    }
    ab / (aa * bb).sqrt()
}

#[test]
fn aligned_counts_without_background_are_left_alone() {
    let Some(folder) = pack("pdpt_multislice") else {
        return;
    };
    let series = series(&folder, "poisson_counts.npy", "angles_true.txt", 0.3434);
    let assessment = assess(&series);
    println!("{:#?}", assessment.notes);
    assert!(!assessment.needs_preparation(), "{:?}", assessment.notes);
    assert!(assessment.params.skip.contains(&Step::Background));
    let prepared = prepare(&series, &PrepareParams::default(), &Monitor::silent()).expect("valid");
    assert_eq!(prepared.series.images, series.images);
}

#[test]
fn nobody_is_told_to_exchange_the_axes_of_a_good_series() {
    for (stack, angles) in [
        (
            "sim_hea4/tilt_series_raw.npy",
            "sim_hea4/tilt_angles_nominal.txt",
        ),
        (
            "pdpt_multislice/poisson_counts.npy",
            "pdpt_multislice/angles_true.txt",
        ),
        (
            "asi_208/aSi_2nmFosCetr_Dose1p6e4_cov35pm_ForBM3D.mat",
            "asi_208/Si_Angle.mat",
        ),
        (
            "asi_9nm/aSi_9nmFosCetr_Dose8p0e3_cov35pm_ForBM3D.mat",
            "asi_9nm/Si_Angle.mat",
        ),
        ("zr_series/projections.mat", "zr_series/angles.mat"),
    ] {
        let (Some(stack), Some(angles)) = (pack(stack), pack(angles)) else {
            return;
        };
        let options = SeriesOptions {
            pixel_size: Some(0.35),
            ..SeriesOptions::default()
        };
        let spec = stack.to_string_lossy();
        let (series, _) =
            load_series(&spec, Some(&angles.to_string_lossy()), &options).expect("a series");
        for (series, right) in [(series.exchanged(), false), (series, true)] {
            let params = PrepareParams::default();
            let found = prepare(&series, &params, &Monitor::silent())
                .expect("valid")
                .misalignment
                .expect("whole");
            println!(
                "{spec}: departures along x and y {:.2e} {:.2e}",
                found.departure[0], found.departure[1]
            );
            assert!(!(right && found.axis_seems_along_x()));
            // Single tilts of the others hold too few counts to tell.
            let telling = spec.contains("hea4") || spec.contains("pdpt");
            assert!(right || !telling || found.axis_seems_along_x());
        }
    }
}
