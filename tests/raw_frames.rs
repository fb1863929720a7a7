//! A raw series with three frames per tilt and drift to 1.5 pixels per frame, generated here: read from a stack and
//! from a folder, registered by the preparation, drift measured and undone.

use aetlas::io::{self, SeriesOptions};
use aetlas::model::{EulerAngles, TiltSeries};
use aetlas::monitor::Monitor;
use aetlas::preprocess::{FrameId, PrepareParams, Step, assess, prepare};
use aetlas::project::{Workspace, store};
use ndarray::{Array4, ArrayView2, s};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Poisson};
use std::sync::Arc;

const TILTS: usize = 9;
const FRAMES: usize = 3;
const N: usize = 112;

struct Raw {
    /// Counts `(tilt, frame, x, y)`.
    frames: Array4<f32>,
    angles_deg: Vec<f64>,
    /// Pixels per frame.
    drifts: Vec<[f64; 2]>,
    atoms: Vec<[f64; 3]>,
}

impl Raw {
    /// Expected counts of one frame of a resting specimen.
    fn rest(&self, tilt: usize, place: [f64; 2]) -> f64 {
        let (sin, cos) = self.angles_deg[tilt].to_radians().sin_cos();
        let center = (N / 2) as f64;
        let peaks = self.atoms.iter().map(|[x, y, z]| {
            let seen = [x * cos - z * sin + center, y + center];
            let d2 = (place[0] - seen[0]).powi(2) + (place[1] - seen[1]).powi(2);
            if d2 > 40.0 { 0.0 } else { (-d2 / 3.4).exp() }
        });
        1.0 + 6.0 * peaks.sum::<f64>()
    }
}

/// A ball of atoms scanned line by line, the beam running along y, while it drifts.
fn raw(noisy: bool) -> Raw {
    let mut rng = StdRng::seed_from_u64(11);
    let mut atoms: Vec<[f64; 3]> = Vec::new();
    while atoms.len() < 220 {
        let p: [f64; 3] = std::array::from_fn(|_| rng.random_range(-34.0..34.0));
        let apart = |q: &[f64; 3]| (0..3).map(|k| (p[k] - q[k]).powi(2)).sum::<f64>() > 30.0;
        if p.iter().map(|v| v * v).sum::<f64>() < 34.0f64.powi(2) && atoms.iter().all(apart) {
            atoms.push(p);
        }
    }
    let drifts = (0..TILTS)
        .map(|_| {
            let (speed, way) = (rng.random_range(0.3..1.5), rng.random_range(0.0..6.3f64));
            [speed * way.cos(), speed * way.sin()]
        })
        .collect();
    let mut raw = Raw {
        frames: Array4::zeros((TILTS, FRAMES, N, N)),
        angles_deg: (0..TILTS).map(|t| -60.0 + 15.0 * t as f64).collect(),
        drifts,
        atoms,
    };
    let mut frames = raw.frames.clone();
    for ((t, f, i, j), count) in frames.indexed_iter_mut() {
        let time = f as f64 + (i as f64 + j as f64 / N as f64) / N as f64 - FRAMES as f64 / 2.0;
        let [vx, vy] = raw.drifts[t];
        let mean = raw.rest(t, [i as f64 - vx * time, j as f64 - vy * time]);
        *count = if noisy {
            Poisson::new(mean).map_or(0.0, |p| p.sample(&mut rng)) as f32
        } else {
            mean as f32
        };
    }
    raw.frames = frames;
    raw
}

fn angles_file(raw: &Raw, folder: &tempfile::TempDir) -> String {
    let path = folder.path().join("angles.txt");
    let text: String = raw.angles_deg.iter().map(|a| format!("{a}\n")).collect();
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn loaded(raw: &Raw) -> TiltSeries {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.npy");
    io::numpy::write(&path, raw.frames.view().into_dyn(), false).unwrap();
    let angles = angles_file(raw, &folder);
    let options = SeriesOptions {
        pixel_size: Some(0.5),
        ..SeriesOptions::default()
    };
    io::load_series(&path.to_string_lossy(), Some(&angles), &options)
        .unwrap()
        .0
}

fn frames_only() -> PrepareParams {
    PrepareParams {
        skip: vec![Step::Background, Step::Align],
        ..PrepareParams::default()
    }
}

fn relative_error(image: ArrayView2<'_, f32>, truth: impl Fn(usize, usize) -> f64) -> f64 {
    let (mut squares, mut norm) = (0.0, 0.0);
    for ((i, j), v) in image.slice(s![12..N - 12, 12..N - 12]).indexed_iter() {
        let truth = truth(i + 12, j + 12);
        squares += (f64::from(*v) - truth).powi(2);
        norm += truth * truth;
    }
    (squares / norm).sqrt()
}

#[test]
fn drift_velocities_are_found_to_a_twentieth_of_a_pixel_per_frame() {
    let raw = raw(true);
    let series = loaded(&raw);
    assert!(assess(&series).needs_preparation());
    let prepared = prepare(&series, &frames_only(), &Monitor::silent()).unwrap();
    let drift = prepared.drift.expect("there are frames");
    let (mut worst, mut squares): (f64, f64) = (0.0, 0.0);
    for (found, planted) in drift.tilts.iter().zip(&raw.drifts) {
        for axis in 0..2 {
            let off = (found.px_per_frame[axis] - planted[axis]).abs();
            worst = worst.max(off);
            squares += off * off / (2 * TILTS) as f64;
            let angstrom = found.angstrom_per_frame.expect("the pixel size is known")[axis];
            assert!((angstrom - 0.5 * found.px_per_frame[axis]).abs() < 1e-12);
        }
        assert!(found.straightened && found.dropped.is_empty());
    }
    println!(
        "drift velocity: error {:.4} px/frame rms, {worst:.4} at most",
        squares.sqrt()
    );
    assert!(worst <= 0.05, "{worst} px/frame");
    assert!(prepared.series.frames.is_none());
    assert!(
        prepared.notes[0].starts_with("Frames: registered"),
        "{:?}",
        prepared.notes
    );
}

#[test]
fn the_prepared_images_show_the_specimen_at_rest() {
    let raw = raw(false);
    let series = loaded(&raw);
    let prepared = prepare(&series, &frames_only(), &Monitor::silent()).unwrap();
    let left = PrepareParams {
        skip: vec![Step::Drift, Step::Background, Step::Align],
        ..PrepareParams::default()
    };
    let plain = prepare(&series, &left, &Monitor::silent()).unwrap();
    assert!(plain.drift.is_none());
    assert_eq!(plain.series.images, series.images);
    for t in 0..TILTS {
        let rest = |i: usize, j: usize| raw.rest(t, [i as f64, j as f64]);
        let corrected = relative_error(prepared.series.image(t), |i, j| 3.0 * rest(i, j));
        let blurred = relative_error(plain.series.image(t), rest);
        assert!(
            corrected < 0.03 && corrected < 0.5 * blurred,
            "tilt {t}: {corrected} corrected, {blurred} averaged"
        );
    }
}

#[test]
fn a_spoilt_frame_can_be_dropped() {
    let mut raw = raw(true);
    let mut rng = StdRng::seed_from_u64(5);
    // The beam was blanked and the preamplifier sparked: frame 2 of tilt 4 is noise.
    raw.frames
        .slice_mut(s![3, 1, .., ..])
        .mapv_inplace(|_| rng.random_range(0.0..200.0));
    let series = loaded(&raw);
    let mut params = frames_only();
    params.frames.drop_frames = vec!["4:2".parse().unwrap()];
    let prepared = prepare(&series, &params, &Monitor::silent()).unwrap();
    let found = &prepared.drift.as_ref().expect("there are frames").tilts[3];
    assert_eq!(
        (found.dropped.as_slice(), found.displacements_px.len()),
        (&[2][..], 2)
    );
    for axis in 0..2 {
        let error = found.px_per_frame[axis] - raw.drifts[3][axis];
        assert!(error.abs() <= 0.05, "{error}");
    }
    let sum = |t: usize| prepared.series.image(t).sum();
    assert!(
        (sum(3) / sum(4) - 1.0).abs() < 0.1,
        "the dose is that of three frames"
    );
    for wrong in [
        FrameId { tilt: 40, frame: 1 },
        FrameId { tilt: 1, frame: 4 },
    ] {
        params.frames.drop_frames = vec![wrong];
        let error = prepare(&series, &params, &Monitor::silent())
            .unwrap_err()
            .to_string();
        assert!(error.contains("drop_frames"), "{error}");
    }
    assert!("4".parse::<FrameId>().is_err() && "0:1".parse::<FrameId>().is_err());
}

#[test]
fn a_folder_of_files_reads_as_the_stack() {
    let raw = raw(false);
    let whole = loaded(&raw);
    for per_frame in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let angles = angles_file(&raw, &folder);
        for t in 0..TILTS {
            if per_frame {
                for f in 0..FRAMES {
                    let path = folder.path().join(format!("tilt{t}_frame{f}.npy"));
                    let image = raw.frames.slice(s![t, f, .., ..]);
                    io::numpy::write(&path, image.into_dyn(), false).unwrap();
                }
            } else {
                // NumPy's stacks are (x, y, frame) here.
                let path = folder.path().join(format!("tilt{t}.npy"));
                let stack = raw.frames.slice(s![t, .., .., ..]).permuted_axes([1, 2, 0]);
                io::numpy::write(&path, stack.into_dyn(), false).unwrap();
            }
        }
        let options = SeriesOptions {
            pixel_size: Some(0.5),
            frames_per_tilt: per_frame.then_some(FRAMES),
            ..SeriesOptions::default()
        };
        let place = folder.path().to_string_lossy().into_owned();
        let (series, _) = io::load_series(&place, Some(&angles), &options).unwrap();
        assert_eq!(
            (&series.images, &series.frames),
            (&whole.images, &whole.frames)
        );
        // The angles lie in the folder and are found.
        let (found, _) = io::load_series(&place, None, &options).unwrap();
        let planted: Vec<EulerAngles> = raw
            .angles_deg
            .iter()
            .map(|&tilt| EulerAngles::from_tilt_deg(tilt))
            .collect();
        assert_eq!(found.angles, planted);
        if !per_frame {
            io::numpy::write(
                &folder.path().join("tilt99.npy"),
                ndarray::arr2(&[[1f32]]).view().into_dyn(),
                false,
            )
            .unwrap();
            let error = io::load_series(&place, None, &options)
                .unwrap_err()
                .to_string();
            assert!(error.contains("tilt99.npy"), "{error}");
        }
    }
}

#[test]
fn a_project_keeps_the_frames_and_both_pixel_sizes() {
    let mut series = loaded(&raw(false));
    series.nominal_pixel_size = Some(0.48);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raw.aetlas");
    let workspace = Workspace {
        series: Some(Arc::new(series.clone())),
        ..Workspace::default()
    };
    store::save(&workspace, &path).unwrap();
    let (back, _) = store::open(&path).unwrap();
    assert_eq!(*back.series.unwrap(), series);
}
