//! The last step of a geometry refinement: a volume's projections are compared under a low-pass and with the volume's
//! own noise; the atoms in it say at full resolution how each tilt lies.

use super::stopped_or;
use crate::jobs::JobError;
use crate::model::TiltSeries;
use crate::monitor::{Monitor, Stopped};
use crate::numeric::shift::move_images;
use crate::reconstruct::{
    GeometryParams, GeometryRefined, GeometryRound, ReconstructParams, low_passed_r, reconstruct,
};
use crate::trace::auto::{TraceHints, suggest};
use crate::trace::refine::{CompleteParams, RefineParams, RefinedPoses, complete};
use crate::trace::{trace, visible_species};

/// Fewest atoms that say how tilts lie: there are five numbers per tilt to find.
const FEWEST_ATOMS: usize = 30;
/// Share of what the volume gained in R of the low-passed images that its atoms must keep. They never keep all: the
/// volume found its geometry by that R, and took some of the noise with it.
const KEPT_GAIN: f64 = 0.5;

/// Traces the re-aligned series, refines its tilts with the atoms, and takes that over where a reconstruction agrees
/// with the images nearly as well. Says in a note why not.
///
/// # Errors
/// That the work is abandoned; asked to keep, what was found before stays.
pub(super) fn finish(
    outcome: &mut GeometryRefined,
    series: &TiltSeries,
    params: &GeometryParams,
    monitor: &Monitor,
    observe: &mut dyn FnMut(&GeometryRound),
) -> Result<(), JobError> {
    match try_finish(outcome, series, params, monitor, observe) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(why)) => {
            monitor.note(&format!("The atoms did not refine the tilts: {why}"));
            Ok(())
        }
        Err(JobError::Stopped(Stopped::Keep)) => {
            outcome.stopped_early = true;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// As [`finish`]; the inner error says why the atoms were of no use.
fn try_finish(
    outcome: &mut GeometryRefined,
    series: &TiltSeries,
    params: &GeometryParams,
    monitor: &Monitor,
    observe: &mut dyn FnMut(&GeometryRound),
) -> Result<Result<(), String>, JobError> {
    let poses = match poses(&outcome.series, monitor)? {
        Ok(poses) => poses,
        Err(why) => return Ok(Err(why)),
    };
    monitor.phase("R with the atoms' geometry");
    let mut found = combined(outcome, series, &poses, params);
    move_to(&mut found, series).map_err(JobError::Stopped)?;
    let r = low_passed_r(&found.series, params, monitor)
        .map_err(|error| stopped_or(error, series.name.as_str()))?;
    found.r1_after_per_tilt = r;
    let (start, volume, atoms) = (outcome.r1_before(), outcome.r1_after(), found.r1_after());
    if start - atoms < KEPT_GAIN * (start - volume) {
        return Ok(Err(format!(
            "R of the low-passed images, {start:.4} before and {volume:.4} now, would be {atoms:.4}"
        )));
    }
    monitor.note(&poses.sentence());
    let round = last_round(&found, outcome);
    observe(&round);
    found.rounds.push(round);
    *outcome = found;
    Ok(Ok(()))
}

/// How the atoms of a reconstruction want the tilts to lie.
fn poses(series: &TiltSeries, monitor: &Monitor) -> Result<Result<RefinedPoses, String>, JobError> {
    let failed = |error: &dyn std::fmt::Display| Ok(Err(error.to_string()));
    let params = ReconstructParams {
        accelerated: true,
        iterations: 40,
        ..ReconstructParams::default()
    };
    monitor.phase("Reconstruct for the atoms");
    let name = series.name.as_str();
    let mut observe = |iteration: &crate::reconstruct::Iteration, _: &dyn Fn() -> _| {
        monitor.progress(iteration.number, params.iterations);
    };
    let volume = match reconstruct(series, &params, None, None, monitor, &mut observe) {
        Ok(outcome) if outcome.stopped_early => return Err(JobError::Stopped(Stopped::Keep)),
        Ok(outcome) => outcome.volume,
        Err(error) => match stopped_or(error, name) {
            JobError::Failed(why) => return failed(&why),
            stop => return Err(stop),
        },
    };
    monitor.phase("Trace the atoms");
    let mut params = suggest(&volume, &TraceHints::default()).params;
    let mut traced = trace(&volume, &params, None, monitor);
    if let Ok(first) = &traced {
        let visible = visible_species(first);
        if visible > 1 {
            params.species = visible;
            params.species_names = (1..=visible).map(|k| format!("type-{k}")).collect();
            traced = trace(&volume, &params, None, monitor);
        }
    }
    let atoms = match traced {
        Ok(traced) => traced.atoms,
        Err(error) => match stopped_or(error, name) {
            JobError::Failed(why) => return failed(&why),
            stop => return Err(stop),
        },
    };
    if atoms.len() < FEWEST_ATOMS {
        return Ok(Err(format!("only {} atoms are seen", atoms.len())));
    }
    monitor.phase("Tilts by the atoms");
    let params = CompleteParams {
        refine: RefineParams {
            refine_geometry: true,
            sort_species: atoms.species_names.len() > 1,
            ..RefineParams::default()
        },
        ..CompleteParams::default()
    };
    match complete(series, &atoms, &params, monitor) {
        Ok(done) if done.refined.stopped_early => Err(JobError::Stopped(Stopped::Keep)),
        Ok(done) => Ok(done
            .refined
            .poses
            .ok_or_else(|| "they gave no poses".to_owned())),
        Err(error) => match stopped_or(error, name) {
            JobError::Failed(why) => failed(&why),
            stop => Err(stop),
        },
    }
}

/// The outcome with the atoms' corrections after its own; the images are still where they were.
fn combined(
    outcome: &GeometryRefined,
    series: &TiltSeries,
    poses: &RefinedPoses,
    params: &GeometryParams,
) -> GeometryRefined {
    let mut found = outcome.clone();
    for tilt in series.included_tilts() {
        for axis in 0..2 {
            let shift = found.shifts_px[tilt][axis] + poses.shifts_px[tilt][axis];
            found.shifts_px[tilt][axis] = shift.clamp(-params.max_shift_px, params.max_shift_px);
        }
        for axis in 0..3 {
            found.angle_corrections_deg[tilt][axis] += poses.angle_corrections_deg[tilt][axis];
        }
        found.series.angles[tilt] = poses.angles[tilt];
        found.shift_errors_px[tilt] = poses.shift_errors_px[tilt];
    }
    found
}

/// Moves the measured images, each once, by all that was found.
fn move_to(found: &mut GeometryRefined, series: &TiltSeries) -> Result<(), Stopped> {
    let mut images = series.images.clone();
    move_images(&mut images, &found.shifts_px, &Monitor::silent())?;
    for (mut image, dose) in images.outer_iter_mut().zip(&found.doses) {
        let factor = (1.0 / dose) as f32;
        image.mapv_inplace(|v| v * factor);
    }
    found.series.images = images;
    Ok(())
}

/// The atoms' step as one more round.
fn last_round(found: &GeometryRefined, before: &GeometryRefined) -> GeometryRound {
    let included = found.series.included_tilts();
    let of = |shifts: &[[f64; 2]]| included.iter().map(|&t| shifts[t]).collect::<Vec<_>>();
    let (now, then) = (of(&found.shifts_px), of(&before.shifts_px));
    let squares: f64 = now
        .iter()
        .zip(&then)
        .flat_map(|(a, b)| [a[0] - b[0], a[1] - b[1]])
        .map(|d| d * d)
        .sum();
    GeometryRound {
        number: before.rounds.len() + 1,
        bin: 1,
        with_angles: true,
        r1: found.r1_after(),
        step_px: (squares / (2 * included.len()).max(1) as f64).sqrt(),
        shifts_px: now,
        angle_corrections_deg: included
            .iter()
            .map(|&t| found.angle_corrections_deg[t])
            .collect(),
    }
}
