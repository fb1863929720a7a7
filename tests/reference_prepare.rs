//! The preparation's decisions on published and simulated series, when the reference data is there.
//!
//! The data's own README says what each series is: which have a background, which are aligned, and the shifts that
//! were planted.

use aetlas::io::{SeriesOptions, load_series};
use aetlas::model::{EulerAngles, Scan, TiltSeries};
use aetlas::monitor::Monitor;
use aetlas::preprocess::align::move_image;
use aetlas::preprocess::vacuum::gaussian_blur;
use aetlas::preprocess::{FrameParams, PrepareParams, Step, assess, prepare, register};
use ndarray::{Array2, Array3, Array4, ArrayView2, Axis};
use std::path::PathBuf;

fn data(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not here", path.display());
    None
}

fn npy<T: npyz::Deserialize>(bytes: &[u8]) -> (Vec<usize>, Vec<T>) {
    let file = npyz::NpyFile::new(bytes).expect("a .npy file");
    let fortran = file.header().order() == npyz::Order::Fortran;
    assert!(!fortran, "these files are in C order");
    let shape = file.shape().iter().map(|&n| n as usize).collect();
    (
        shape,
        file.into_vec().expect("as many numbers as the shape says"),
    )
}

fn numbers(path: &PathBuf) -> Vec<Vec<f64>> {
    std::fs::read_to_string(path)
        .expect("readable")
        .lines()
        .filter(|line| !line.trim_start().starts_with(['#', '%']))
        .map(|line| {
            line.split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect::<Vec<f64>>()
        })
        .filter(|row| !row.is_empty())
        .collect()
}

fn angles(path: &PathBuf) -> Vec<EulerAngles> {
    numbers(path)
        .iter()
        .map(|row| match row[..] {
            [theta] => EulerAngles::from_tilt_deg(theta),
            [phi, theta, psi] => EulerAngles::from_deg(phi, theta, psi),
            _ => panic!("one or three angles per row"),
        })
        .collect()
}

/// `sim_hea4` as `(tilt, x, y)`.
fn hea4() -> Option<TiltSeries> {
    let folder = data("sim_hea4")?;
    let bytes = std::fs::read(folder.join("tilt_series_raw.npy")).expect("readable");
    let (shape, values) = npy::<u16>(&bytes);
    let stored = Array3::from_shape_vec((shape[0], shape[1], shape[2]), values).expect("whole");
    let images = stored.mapv(f32::from).permuted_axes([2, 0, 1]);
    let angles = angles(&folder.join("tilt_angles_nominal.txt"));
    Some(TiltSeries::new("sim_hea4", images, angles, Some(0.347)))
}

fn hea4_shifts() -> Option<Vec<[f64; 2]>> {
    let file = std::fs::File::open(data("sim_hea4")?.join("truth.npz")).expect("readable");
    let mut archive =
        npyz::npz::NpzArchive::new(std::io::BufReader::new(file)).expect("an .npz file");
    let shifts = archive
        .by_name("shifts_px")
        .expect("readable")
        .expect("present");
    let flat: Vec<f64> = shifts.into_vec().expect("numbers");
    Some(flat.chunks(2).map(|c| [c[0], c[1]]).collect())
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
    let (Some(series), Some(planted)) = (hea4(), hea4_shifts()) else {
        return;
    };
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

#[test]
fn summed_raw_frames_are_leveled_and_aligned() {
    let Some(folder) = data("pdpt_multislice") else {
        return;
    };
    let bytes = std::fs::read(folder.join("raw_frames.npy")).expect("readable");
    let (shape, values) = npy::<u16>(&bytes);
    let [tilts, frames, nx, ny] = shape[..] else {
        panic!("tilt, frame, x, y")
    };
    let images = Array3::from_shape_fn((tilts, nx, ny), |(t, i, j)| {
        (0..frames)
            .map(|f| f32::from(values[((t * frames + f) * nx + i) * ny + j]))
            .sum()
    });
    let series = TiltSeries::new(
        "raw frames",
        images,
        angles(&folder.join("angles_nominal.txt")),
        Some(0.3434),
    );
    let assessment = assess(&series);
    // One image per tilt has no drift; everything else is to be done.
    assert_eq!(
        assessment.params.skip,
        [Step::Drift],
        "{:?}",
        assessment.notes
    );
    let file = std::fs::File::open(folder.join("raw_truth.npz")).expect("readable");
    let mut archive =
        npyz::npz::NpzArchive::new(std::io::BufReader::new(file)).expect("an .npz file");
    println!("{:?}", archive.array_names().collect::<Vec<_>>());
    let names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    let name = names
        .iter()
        .find(|n| n.contains("residual"))
        .expect("residual shifts")
        .clone();
    let flat: Vec<f64> = archive
        .by_name(&name)
        .expect("readable")
        .expect("present")
        .into_vec()
        .expect("numbers");
    let planted: Vec<[f64; 2]> = flat.chunks(2).map(|c| [c[0], c[1]]).collect();
    let prepared = prepare(&series, &assessment.params, &Monitor::silent()).expect("valid");
    let [x, y] = shift_errors(&prepared.shifts_px, &planted, &series.angles);
    println!(
        "{:#?}\nshift errors: x {:.3} px, y {:.3} px (rms)",
        prepared.notes,
        rms(&x),
        rms(&y)
    );
    assert!(rms(&x) <= 0.35 && rms(&y) <= 0.35);
}

#[test]
fn registered_raw_frames_resemble_the_noise_free_images_more_than_summed_ones() {
    let Some(folder) = data("pdpt_multislice") else {
        return;
    };
    let bytes = std::fs::read(folder.join("raw_frames.npy")).expect("readable");
    let (shape, values) = npy::<u16>(&bytes);
    let frames =
        Array4::from_shape_vec((shape[0], shape[1], shape[2], shape[3]), values).expect("whole");
    let frames = frames.mapv(f32::from);
    let bytes = std::fs::read(folder.join("noisefree.npy")).expect("readable");
    let (shape, values) = npy::<f32>(&bytes);
    let clean = Array3::from_shape_vec((shape[0], shape[1], shape[2]), values).expect("whole");
    let nominal = angles(&folder.join("angles_nominal.txt"));
    let score = |images: Array3<f32>| -> f64 {
        let series = TiltSeries::new("frames", images, nominal.clone(), Some(0.3434));
        let prepared =
            prepare(&series, &PrepareParams::default(), &Monitor::silent()).expect("valid");
        let both = prepared.series.images.outer_iter().zip(clean.outer_iter());
        {
            // Every third tilt says the same in a third of the time.
            let scores: Vec<f64> = both
                .step_by(3)
                .map(|(a, b)| best_correlation(a, b))
                .collect();
            scores.iter().sum::<f64>() / scores.len() as f64
        }
    };
    let plain = score(frames.sum_axis(Axis(1)));
    let registered = register(
        frames.view(),
        Scan::default(),
        &FrameParams::default(),
        &Monitor::silent(),
    )
    .expect("valid");
    let corrected = score(registered.images);
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
    let Some(folder) = data("pdpt_multislice") else {
        return;
    };
    let bytes = std::fs::read(folder.join("poisson_counts.npy")).expect("readable");
    let (shape, values) = npy::<u16>(&bytes);
    let images = Array3::from_shape_vec((shape[0], shape[1], shape[2]), values)
        .expect("whole")
        .mapv(f32::from);
    let series = TiltSeries::new(
        "Poisson",
        images,
        angles(&folder.join("angles_true.txt")),
        Some(0.3434),
    );
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
        let (Some(stack), Some(angles)) = (data(stack), data(angles)) else {
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
