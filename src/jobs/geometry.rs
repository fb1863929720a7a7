//! Geometry refinement as a job: runs it, sends the re-aligned series, writes what it found.

mod by_atoms;

use super::execute::{series_hash, stopped_or};
use super::worker::JobContext;
use super::{JobError, JobOutput, export};
use crate::io;
use crate::model::TiltSeries;
use crate::project::Record;
use crate::reconstruct::{GeometryParams, GeometryRefined, GeometryRound};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Shifts and angles from the series itself, at last from the atoms in it; sends and returns the outcome.
///
/// # Errors
/// The stage's.
pub fn refine_geometry(
    series: &TiltSeries,
    params: &GeometryParams,
    context: &JobContext,
) -> Result<Arc<GeometryRefined>, JobError> {
    context.monitor.phase("Refine the geometry");
    let mut record = Record::begin(params, &series_hash(series));
    let mut observe = |round: &GeometryRound| {
        context.output(JobOutput::GeometryRound(Box::new(round.clone())));
    };
    let started = Instant::now();
    let mut outcome =
        crate::reconstruct::refine_geometry(series, params, &context.monitor, &mut observe)
            .map_err(|error| stopped_or(error, series.name.as_str()))?;
    if !(outcome.stopped_early || params.volume_only || params.keep_angles) {
        by_atoms::finish(&mut outcome, series, params, &context.monitor, &mut observe)?;
        outcome.seconds = started.elapsed().as_secs_f64();
    }
    record.seconds = outcome.seconds;
    record.stopped = outcome.stopped_early;
    record.r1 = Some(outcome.r1_after());
    record.output_hash = series_hash(&outcome.series);
    let outcome = Arc::new(outcome);
    context.output(JobOutput::GeometryRefined {
        outcome: Arc::clone(&outcome),
        record,
    });
    Ok(outcome)
}

/// What was found, in one sentence.
#[must_use]
pub fn summary(outcome: &GeometryRefined) -> String {
    let rms = |values: &mut dyn Iterator<Item = f64>| {
        let (sum, count) = values.fold((0.0, 0.0), |(s, n), v| (s + v * v, n + 1.0));
        (sum / f64::max(count, 1.0)).sqrt()
    };
    let shift = rms(&mut outcome.shifts_px.iter().flatten().copied());
    let angle = rms(&mut outcome.angle_corrections_deg.iter().flatten().copied());
    format!(
        "Geometry: {} rounds moved the images by {shift:.2} px and turned them by {angle:.2}° (root mean square); \
         R of the low-passed images went from {:.4} to {:.4}",
        outcome.rounds.len(),
        outcome.r1_before(),
        outcome.r1_after(),
    )
}

/// The numbers as one JSON object.
#[must_use]
pub fn to_json(outcome: &GeometryRefined) -> Value {
    json!({
        "rounds": outcome.rounds.len(),
        "r1_before": outcome.r1_before(),
        "r1_after": outcome.r1_after(),
        "r1_before_per_tilt": outcome.r1_before_per_tilt,
        "r1_after_per_tilt": outcome.r1_after_per_tilt,
        "shifts_px": outcome.shifts_px,
        "shift_errors_px": outcome.shift_errors_px,
        "angle_corrections_deg": outcome.angle_corrections_deg,
        "doses": outcome.doses,
        "seconds": outcome.seconds,
    })
}

/// Writes the re-aligned stack, its angles beside it (three columns) and the corrections as JSON. A path without an
/// ending is a folder for `aligned.mrc`; else it is the stack.
///
/// # Errors
/// An existing file without `force`, an ending that names no format, or what the system says.
pub fn write(outcome: &GeometryRefined, path: &Path, force: bool) -> Result<(), JobError> {
    let stack = if path.extension().is_none() {
        std::fs::create_dir_all(path)
            .map_err(|error| JobError::Failed(format!("{}: {error}", path.display())))?;
        path.join("aligned.mrc")
    } else {
        path.to_owned()
    };
    export::write_series(&outcome.series, &stack, force)?;
    io::save_json(
        &stack.with_extension("geometry.json"),
        &to_json(outcome),
        force,
    )
    .map_err(JobError::failed)
}
