//! What the comparisons with reference values and with packs of known truth share.
#![allow(dead_code)] // Each test file uses its part.

use aetlas::analyze::{AnalyzeParams, Analyzed, analyze};
use aetlas::io::{self, SeriesOptions};
use aetlas::jobs::execute::execute;
use aetlas::jobs::worker::JobContext;
use aetlas::jobs::{Job, JobEvent, JobId, JobOutput};
use aetlas::model::EulerAngles;
use aetlas::model::geometry::{apply, multiply, transpose};
use aetlas::model::{Atoms, TiltSeries};
use aetlas::monitor::Monitor;
use aetlas::numeric::fit::least_squares;
use aetlas::reconstruct::{ReconstructParams, Reconstructed, reconstruct};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared")
        .join(name);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// A pack of data beside the checkout.
pub fn pack(name: &str) -> Option<PathBuf> {
    shared(&format!("data/{name}"))
}

pub fn series(folder: &Path, images: &str, angles: &str, pixel_size: f64) -> TiltSeries {
    let spec = |name: &str| folder.join(name).display().to_string();
    let options = SeriesOptions {
        pixel_size: Some(pixel_size),
        ..Default::default()
    };
    io::load_series(&spec(images), Some(&spec(angles)), &options)
        .expect("a readable pack")
        .0
}

/// Takes off the mean of each image's rim, where there is no specimen.
pub fn without_background(mut series: TiltSeries) -> TiltSeries {
    for mut image in series.images.outer_iter_mut() {
        let (nx, ny) = image.dim();
        let rim = 6;
        let on_rim = |x: usize, y: usize| x < rim || y < rim || x >= nx - rim || y >= ny - rim;
        let values: Vec<f64> = image
            .indexed_iter()
            .filter(|((x, y), _)| on_rim(*x, *y))
            .map(|(_, &value)| f64::from(value))
            .collect();
        let background = (values.iter().sum::<f64>() / values.len() as f64) as f32;
        image.mapv_inplace(|v| v - background);
    }
    series
}

pub fn run(series: &TiltSeries, params: &ReconstructParams) -> Reconstructed {
    let silent = Monitor::silent();
    reconstruct(series, params, None, None, &silent, &mut |_, _| {})
        .expect("a series that reconstructs")
}

pub fn reference() -> Option<Value> {
    let text = std::fs::read_to_string(shared("reference/analysis_reference.json")?).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

pub fn model(name: &str, scale: f64) -> Option<Atoms> {
    let path = shared(name)?.display().to_string();
    Some(io::load_atoms(&path, scale).unwrap())
}

pub fn doubles(file: &str, name: &str) -> Vec<f64> {
    let path = shared(file).unwrap();
    let all = io::read_doubles(&format!("{}:{name}", path.display())).unwrap();
    all.iter().copied().collect()
}

pub fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[track_caller]
pub fn near(what: &str, found: f64, expected: f64, tolerance: f64) {
    println!(
        "{what}: {found} (reference {expected}, off {:.2e})",
        found - expected
    );
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: {found}, the reference has {expected} ± {tolerance}"
    );
}

#[track_caller]
pub fn within(what: &str, found: f64, expected: f64, share: f64) {
    near(what, found, expected, share * expected.abs());
}

pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let known: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    known.iter().sum::<f64>() / known.len() as f64
}

/// Quantile between ranks, as the reference's.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let at = share * (sorted.len() - 1) as f64;
    let low = (at as usize).min(sorted.len() - 2);
    sorted[low] + (at - low as f64) * (sorted[low + 1] - sorted[low])
}

pub fn analyzed(atoms: &Atoms, only: &[&str], cutoff: f64) -> Analyzed {
    let params = AnalyzeParams {
        cutoff: Some(cutoff),
        only: Some(only.iter().map(|s| (*s).to_owned()).collect()),
        ..AnalyzeParams::default()
    };
    analyze(atoms, &params, &Monitor::silent()).unwrap()
}

/// Remaining errors up to what moves and turns the object as a whole: shifts along x and y (px) and rotations about
/// the detector's axes (degrees), root mean square.
pub fn remaining(
    angles: &[EulerAngles],
    moved: &[[f64; 2]],
    truth: &[EulerAngles],
    shifts: &[[f64; 2]],
) -> ([f64; 2], [f64; 3]) {
    let n = angles.len();
    let rotations: Vec<_> = angles.iter().map(|a| a.detector_from_sample()).collect();
    let turns: Vec<[f64; 3]> = (0..n)
        .map(|t| {
            let wanted = transpose(&truth[t].detector_from_sample());
            let turn = multiply(&rotations[t], &wanted);
            [
                (turn[2][1] - turn[1][2]) / 2.0,
                (turn[0][2] - turn[2][0]) / 2.0,
                (turn[1][0] - turn[0][1]) / 2.0,
            ]
        })
        .collect();
    let mut whole = [0.0; 3];
    for (r, turn) in rotations.iter().zip(&turns) {
        let turn = apply(&transpose(r), *turn);
        for axis in 0..3 {
            whole[axis] += turn[axis] / n as f64;
        }
    }
    let rows: Vec<Vec<f64>> = rotations
        .iter()
        .flat_map(|r| [r[0].to_vec(), r[1].to_vec()])
        .collect();
    let left: Vec<f64> = (0..n)
        .flat_map(|t| [0, 1].map(|axis| moved[t][axis] + shifts[t][axis]))
        .collect();
    let place = least_squares(&rows, &left, &vec![1.0; 2 * n]).expect("many tilts");
    let (mut px, mut deg) = ([0.0; 2], [0.0; 3]);
    for t in 0..n {
        let drift = apply(&rotations[t], [place[0], place[1], place[2]]);
        for axis in 0..2 {
            px[axis] += (left[2 * t + axis] - drift[axis]).powi(2) / n as f64;
        }
        let whole = apply(&rotations[t], whole);
        for axis in 0..3 {
            deg[axis] += (turns[t][axis] - whole[axis]).to_degrees().powi(2) / n as f64;
        }
    }
    (px.map(f64::sqrt), deg.map(f64::sqrt))
}

/// Of a job that nobody watches.
/// All that *Auto* sends on its way, without a wish but the atoms' species.
pub fn auto(series: TiltSeries, species: Option<&str>) -> Vec<JobOutput> {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let slot = Arc::clone(&sent);
    let context = JobContext {
        emit: Arc::new(move |event| {
            if let JobEvent::Output { output, .. } = event {
                slot.lock().unwrap().push(*output);
            }
        }),
        ..silent_context()
    };
    let job = Job::Auto {
        series: Arc::new(series),
        species: species.map(str::to_owned),
        spacing: None,
        skip: Vec::new(),
        hand: Box::default(),
        follow: false,
        truth: None,
    };
    execute(job, &context).expect("a sound series");
    std::mem::take(&mut *sent.lock().unwrap())
}

pub fn silent_context() -> JobContext {
    JobContext {
        monitor: Monitor::silent(),
        emit: Arc::new(|_| ()),
        id: JobId(1),
        snapshots: Arc::default(),
        show_snapshots: false,
    }
}
