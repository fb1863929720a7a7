//! What the comparisons of the analysis with the reference values share.
#![allow(dead_code)] // Each test file uses its part.

use aetlas::analyze::{AnalyzeParams, Analyzed, analyze};
use aetlas::io;
use aetlas::model::Atoms;
use aetlas::monitor::Monitor;
use serde_json::Value;
use std::path::{Path, PathBuf};

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
