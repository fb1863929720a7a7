//! Runs a job: the one place where stages, files and events meet. The worker calls it on its thread, the command
//! line directly.

use super::follow::Follower;
use super::worker::{JobContext, JobEnd};
use super::{Job, JobError, JobEvent, JobOutput, auto, export, measure, open};
use crate::analyze::AnalyzeParams;
use crate::analyze::phases::BY_HAND;
use crate::model::{Atoms, TiltSeries, Volume};
use crate::monitor::{Control, Monitor, Stopped};
use crate::preprocess::nudge::move_on;
use crate::preprocess::{PrepareParams, Prepared, Step};
use crate::project::store::hash_of;
use crate::project::{Record, Stage, store};
use crate::reconstruct::{DenoisingVerdict, ReconstructError, ReconstructParams, Reconstructed};
use crate::trace::doubts::DoubtInput;
use crate::trace::ghosts::Ghosts;
use crate::trace::refine::{CompleteParams, RefineParams};
use crate::trace::{TraceHints, TraceParams, Traced};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A running reconstruction shows its volume at most this often.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(250);

impl JobContext {
    /// Sends a result.
    pub fn output(&self, output: JobOutput) {
        (self.emit)(JobEvent::Output {
            id: self.id,
            output: Box::new(output),
        });
    }
}

/// Runs one job to its end, sending its outputs on the way.
///
/// # Errors
/// One clear line; nothing that was there is changed then.
pub fn execute(job: Job, context: &JobContext) -> Result<JobEnd, JobError> {
    match job {
        Job::Open { paths, hints } => {
            context.output(open::open(&paths, &hints, &context.monitor)?);
        }
        Job::SaveProject { workspace, path } => {
            context.monitor.phase("Save");
            store::save(&workspace, &path).map_err(JobError::failed)?;
            context.output(JobOutput::Saved(path));
        }
        Job::Autosave { workspace, path } => {
            store::save(&workspace, &path).map_err(JobError::failed)?;
            let entries = workspace.edits.entries().len();
            context.output(JobOutput::Autosaved { path, entries });
        }
        Job::Recover(lost) => {
            context.output(open::recover(&lost, &context.monitor)?);
        }
        Job::Prepare {
            series,
            params,
            earlier,
        } => {
            prepare(&series, &params, earlier.as_deref(), context)?;
        }
        Job::Exchange { series } => {
            context.output(JobOutput::Exchanged(Arc::new(series.exchanged())));
        }
        Job::Nudge {
            series,
            held,
            shifts_px,
        } => {
            let mut moved = (*series).clone();
            let mut all = held;
            for &(tilt, shift) in &shifts_px {
                move_on(&mut all, tilt, shift);
            }
            let there = all.iter().filter(|nudge| nudge.tilt < series.len());
            for (tilt, shift) in there.map(|nudge| (nudge.tilt, nudge.shift_px)) {
                let image = moved.images.index_axis_mut(ndarray::Axis(0), tilt);
                crate::numeric::shift::move_image(image, shift);
            }
            context.output(JobOutput::Nudged {
                series: Arc::new(moved),
                shifts_px,
            });
        }
        Job::PreviewDenoise {
            series,
            tilt,
            params,
        } => {
            let image =
                crate::preprocess::preview_denoise(&series, tilt, &params, &context.monitor)
                    .map_err(|error| stopped_or(error, series.name.as_str()))?;
            context.output(JobOutput::Preview {
                series,
                tilt,
                image: Arc::new(image),
            });
        }
        Job::JudgeDenoising { series, params } => {
            let verdict = judge_denoising(&series, &params, &context.monitor)?;
            context.output(JobOutput::DenoisingJudged(verdict));
        }
        Job::Calibrate {
            files,
            pixel_size,
            params,
        } => {
            let (images, found) =
                super::calibrate::calibrate(&files, pixel_size, &params, &context.monitor)?;
            context.output(JobOutput::Calibrated {
                images: Arc::new(images),
                found: Arc::new(found),
            });
        }
        Job::RefineGeometry { series, params } => {
            if super::geometry::refine_geometry(&series, &params, context)?.stopped_early {
                return Ok(JobEnd::Kept);
            }
        }
        Job::Reconstruct {
            series,
            start,
            support,
            follow,
            params,
        } => {
            let given = Given {
                start: start.as_deref(),
                support: support.as_deref(),
                follow,
            };
            let (outcome, _) = reconstruct(&series, &given, &params, context)?;
            if outcome.stopped_early {
                return Ok(JobEnd::Kept);
            }
        }
        Job::Trace {
            volume,
            ghosts,
            params,
        } => {
            trace(&volume, ghosts.as_deref(), &params, context)?;
        }
        Job::Split {
            traced,
            volume,
            ghosts,
            params,
        } => {
            let volume = volume.as_deref();
            split(&traced, volume, ghosts.as_deref(), &params, context);
        }
        Job::Refine {
            series,
            atoms,
            params,
            complete,
            held_edits,
        } => {
            refine(&series, &atoms, held_edits, (&params, complete), context)?;
        }
        Job::Doubts {
            atoms,
            series,
            volume,
            traced,
            params,
        } => {
            let input = DoubtInput {
                atoms: &atoms,
                series: series.as_deref(),
                volume: volume.as_deref(),
                traced: traced.as_deref(),
            };
            let doubts = Arc::new(measure::doubts(&input, &params, &context.monitor)?);
            context.output(JobOutput::Doubts { doubts, atoms });
        }
        Job::AnalyzeOther { path, params } => {
            let atoms = super::input::load_atoms(&super::input::AtomsInput {
                atoms: path.display().to_string(),
                unit: None,
            })?;
            context.monitor.phase("Analyze");
            let outcome = crate::analyze::analyze(&atoms, &params, &context.monitor)
                .map_err(|error| stopped_or(error, &path.display().to_string()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            context.output(JobOutput::OtherAnalyzed {
                name: name.into_owned(),
                outcome: Arc::new(outcome),
            });
        }
        Job::LoadCrystal { path } => {
            let crystal = crate::io::read_cif(&path).map_err(JobError::failed)?;
            context.output(JobOutput::Crystal(Box::new(crystal)));
        }
        Job::Analyze { atoms, params } => {
            analyze(&atoms, &params, context)?;
        }
        Job::Auto {
            series,
            species,
            spacing,
            skip,
            hand,
            follow,
            truth,
        } => {
            let wishes = auto::Wishes {
                species,
                spacing,
                skip,
                hand: *hand,
                follow,
            };
            return auto::run(&series, truth.as_deref(), &wishes, context);
        }
        Job::Demo => return auto::demo(context),
        Job::Export { what, path } => {
            context.monitor.phase("Export");
            export::export(&what, &path)?;
            context.output(JobOutput::Exported(path));
        }
    }
    Ok(JobEnd::Finished)
}

impl JobError {
    /// A failure told by its one line.
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Hash of a series: pixels, angles and which tilts take part.
#[must_use]
pub fn series_hash(series: &TiltSeries) -> String {
    let pixels = series.images.as_slice().unwrap_or_default();
    let angles: Vec<f64> = series
        .angles
        .iter()
        .flat_map(|a| [a.phi, a.theta, a.psi])
        .collect();
    let included: Vec<u8> = series.included.iter().map(|&i| u8::from(i)).collect();
    let parts = [
        hash_of(bytemuck::cast_slice(pixels)),
        hash_of(bytemuck::cast_slice(&angles)),
        hash_of(&included),
        format!("{:?}", series.pixel_size),
        series.frames.as_ref().map_or_else(String::new, |frames| {
            let counts = frames.counts.as_slice().unwrap_or_default();
            format!(
                "{}{}{:?}",
                hash_of(bytemuck::cast_slice(counts)),
                frames.per_tilt,
                frames.scan
            )
        }),
    ];
    hash_of(parts.concat().as_bytes())
}

/// Hash of a volume: voxels and their size.
#[must_use]
pub fn volume_hash(volume: &Volume) -> String {
    let voxels = volume.data.as_slice().unwrap_or_default();
    hash_of(
        format!(
            "{}{}",
            hash_of(bytemuck::cast_slice(voxels)),
            volume.pixel_size
        )
        .as_bytes(),
    )
}

/// Hash of a model: ids, positions, species.
#[must_use]
pub fn atoms_hash(atoms: &Atoms) -> String {
    let ids: Vec<u64> = atoms.ids.iter().map(|id| id.0).collect();
    let mut parts = vec![
        hash_of(bytemuck::cast_slice(&ids)),
        hash_of(bytemuck::cast_slice(&atoms.positions)),
        hash_of(bytemuck::cast_slice(&atoms.species)),
    ];
    // What someone said of the atoms' phases is no result but an input.
    if let Some(phases) = atoms.column(BY_HAND) {
        let said: Vec<i64> = phases
            .iter()
            .map(|p| if p.is_finite() { *p as i64 } else { -1 })
            .collect();
        parts.push(hash_of(bytemuck::cast_slice(&said)));
    }
    hash_of(parts.concat().as_bytes())
}

/// Frames, denoising, background and alignment; sends and returns the prepared series. What an `earlier` preparation of
/// this very series did with the same parameters is taken over.
///
/// # Errors
/// The stage's.
pub fn prepare(
    series: &Arc<TiltSeries>,
    params: &PrepareParams,
    earlier: Option<&Prepared>,
    context: &JobContext,
) -> Result<Arc<TiltSeries>, JobError> {
    context.monitor.phase("Prepare");
    let mut record = Record::begin(params, &series_hash(series));
    let started = Instant::now();
    let outcome = crate::preprocess::prepare_again(series, params, earlier, &context.monitor)
        .map_err(|error| stopped_or(error, series.name.as_str()))?;
    record.seconds = started.elapsed().as_secs_f64();
    let prepared = Arc::clone(&outcome.series);
    record.output_hash = series_hash(&prepared);
    record.details = serde_json::json!({
        "drift": outcome.drift, "damage": outcome.damage, "axis": outcome.axis,
    });
    context.output(JobOutput::Prepared {
        series: Arc::clone(series),
        outcome: Arc::new(outcome),
        params: params.clone(),
        record,
    });
    Ok(prepared)
}

/// Prepares a series with and without denoising and compares how well either predicts tilts left out.
///
/// # Errors
/// The stages'.
pub fn judge_denoising(
    series: &TiltSeries,
    params: &PrepareParams,
    monitor: &Monitor,
) -> Result<DenoisingVerdict, JobError> {
    let subject = series.name.as_str();
    let prepared = |denoise: bool| {
        let mut params = PrepareParams {
            denoise,
            ..params.clone()
        };
        params.skip.retain(|step| *step != Step::Denoise);
        if !denoise {
            params.skip.push(Step::Denoise);
        }
        crate::preprocess::prepare(series, &params, monitor).map_err(|e| stopped_or(e, subject))
    };
    let (measured, denoised) = (prepared(false)?, prepared(true)?);
    crate::reconstruct::judge_denoising(&measured.series, &denoised.series, monitor)
        .map_err(|error| stopped_or(error, subject))
}

/// What a reconstruction is given besides the series.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    /// The volume to begin with, instead of nothing.
    pub start: Option<&'a Volume>,
    /// Where density may be.
    pub support: Option<&'a Volume>,
    /// Whether to trace now and then while it runs.
    pub follow: bool,
}

/// RESIRE; sends iterations, snapshots, interim traces and the outcome. Also returns what the interim traces found, where
/// there were any.
///
/// # Errors
/// The stage's.
pub fn reconstruct(
    series: &Arc<TiltSeries>,
    given: &Given,
    params: &ReconstructParams,
    context: &JobContext,
) -> Result<(Arc<Reconstructed>, Option<Arc<Ghosts>>), JobError> {
    context.monitor.phase("Reconstruct");
    let failed = |error| match error {
        ReconstructError::Stopped(how) => JobError::Stopped(how),
        other => JobError::failed(format_args!("{}: {other}", series.name)),
    };
    let free = super::memory::free_bytes();
    let forecast = crate::reconstruct::check_memory(series, params, free).map_err(failed)?;
    context.monitor.note(&format!("needs {forecast}"));
    let mut record = Record::begin(params, &series_hash(series));
    let mut last_snapshot = Instant::now();
    let mut follower = given.follow.then(Follower::new);
    let mut ghosts = None;
    let mut observe = |iteration: &crate::reconstruct::Iteration, volume: &dyn Fn() -> Volume| {
        context
            .monitor
            .progress(iteration.number, params.iterations);
        (context.emit)(JobEvent::Iteration {
            id: context.id,
            iteration: iteration.clone(),
        });
        if let Some(news) = follower.as_mut().and_then(Follower::news) {
            ghosts = Some(Arc::clone(&news));
            (context.emit)(JobEvent::Ghosts {
                id: context.id,
                ghosts: news,
            });
        }
        // Making a snapshot costs a pass over the volume: only when the last one was taken.
        let due = iteration.number == 1 || last_snapshot.elapsed() >= SNAPSHOT_EVERY;
        let shown = due && context.show_snapshots && context.snapshots.is_empty();
        let followed = follower
            .as_mut()
            .filter(|f| f.wants_volume(iteration.number));
        if shown || followed.is_some() {
            let snapshot = Arc::new(volume());
            if let Some(follower) = followed {
                follower.give(Arc::clone(&snapshot));
            }
            if shown {
                context.snapshots.put(snapshot);
                last_snapshot = Instant::now();
            }
        }
    };
    let outcome = crate::reconstruct::reconstruct(
        series,
        params,
        given.start,
        given.support,
        &context.monitor,
        &mut observe,
    )
    .map_err(failed)?;
    record.seconds = outcome.seconds;
    record.engine.clone_from(&outcome.engine);
    record.stopped = outcome.stopped_early;
    record.r1 = Some(outcome.r1);
    record.output_hash = volume_hash(&outcome.volume);
    let outcome = Arc::new(outcome);
    context.output(JobOutput::Reconstructed {
        outcome: Arc::clone(&outcome),
        params: params.clone(),
        record,
    });
    if let Some(ghosts) = &ghosts {
        context.output(JobOutput::Ghosts(Arc::clone(ghosts)));
    }
    Ok((outcome, ghosts))
}

/// Atoms of the volume of a running reconstruction, with parameters chosen from it, Å; `None` where it shows none yet.
pub(super) fn trace_interim(volume: &Volume, control: &Arc<Control>) -> Option<Vec<[f64; 3]>> {
    let monitor = Monitor::quiet(Arc::clone(control));
    let suggested = crate::trace::suggest(volume, &TraceHints::default());
    let traced = crate::trace::trace(volume, &suggested.params, None, &monitor).ok()?;
    Some(traced.atoms.positions)
}

/// Tracing; sends the outcome. The atoms carry their persistence where interim traces tell it.
///
/// # Errors
/// The stage's.
pub fn trace(
    volume: &Volume,
    ghosts: Option<&Ghosts>,
    params: &TraceParams,
    context: &JobContext,
) -> Result<Arc<Traced>, JobError> {
    context.monitor.phase("Trace");
    let mut record = Record::begin(params, &volume_hash(volume));
    let mut outcome = crate::trace::trace(volume, params, None, &context.monitor)
        .map_err(|error| stopped_or(error, "volume"))?;
    if let Some(ghosts) = ghosts {
        ghosts.mark(&mut outcome.atoms);
    }
    record.seconds = outcome.seconds;
    record.output_hash = atoms_hash(&outcome.atoms);
    let outcome = Arc::new(outcome);
    context.output(JobOutput::Traced {
        outcome: Arc::clone(&outcome),
        params: params.clone(),
        record,
    });
    Ok(outcome)
}

/// The traced maxima split at another threshold; sends the outcome.
fn split(
    traced: &Traced,
    volume: Option<&Volume>,
    ghosts: Option<&Ghosts>,
    params: &TraceParams,
    context: &JobContext,
) {
    context.monitor.phase("Trace");
    let started = Instant::now();
    let hash = volume.map(volume_hash).unwrap_or_default();
    let mut record = Record::begin(params, &hash);
    let threshold = params.threshold.unwrap_or(traced.threshold);
    let mut again = crate::trace::apply_threshold(traced, threshold, params.min_distance);
    if let (Some(volume), true) = (volume, params.species > 1) {
        let (names, box_size) = (&params.species_names, crate::trace::SPECIES_BOX);
        again.atoms = crate::trace::classify(volume, &again.atoms, params.species, names, box_size);
    }
    if let Some(ghosts) = ghosts {
        ghosts.mark(&mut again.atoms);
    }
    record.seconds = started.elapsed().as_secs_f64();
    record.output_hash = atoms_hash(&again.atoms);
    context.output(JobOutput::Traced {
        outcome: Arc::new(again),
        params: params.clone(),
        record,
    });
}

/// Refinement against the tilts of atoms that hold the first `held_edits` of the journal; sends and returns the
/// refined model.
///
/// # Errors
/// The stage's.
pub fn refine(
    series: &TiltSeries,
    atoms: &Atoms,
    held_edits: usize,
    (params, complete): (&RefineParams, bool),
    context: &JobContext,
) -> Result<Arc<Atoms>, JobError> {
    context.monitor.phase("Refine");
    let mut record = Record::begin(params, &series_hash(series));
    let failed = |error| stopped_or(error, series.name.as_str());
    let outcome = if complete {
        let params = CompleteParams {
            refine: params.clone(),
            ..CompleteParams::default()
        };
        let completed = crate::trace::refine::complete(series, atoms, &params, &context.monitor)
            .map_err(failed)?;
        let mut refined = completed.refined;
        refined.notes.push(format!(
            "the residual of the tilts asked for {} atoms more and {} fewer",
            completed.added, completed.removed
        ));
        refined
    } else {
        crate::trace::refine::refine(series, atoms, params, &context.monitor).map_err(failed)?
    };
    record.seconds = outcome.seconds;
    record.stopped = outcome.stopped_early;
    record.r1 = Some(outcome.r1);
    let refined = Arc::new(outcome.atoms);
    record.output_hash = atoms_hash(&refined);
    let mut notes = outcome.notes;
    let series = match &outcome.poses {
        Some(poses) => {
            notes.push(poses.sentence());
            // The refinement may have been ended by the user: what it found must still be applied.
            Some(Arc::new(poses.apply(series, &Monitor::silent())?))
        }
        None => None,
    };
    // Tracing's parameters stay on the record: what refinement did stands beside them.
    record.details = serde_json::json!({ "refinement": { "params": params, "notes": notes } });
    context.output(JobOutput::Refined {
        atoms: Arc::clone(&refined),
        series,
        held_edits,
        notes,
        record,
    });
    Ok(refined)
}

/// Structure analysis; sends the outcome.
///
/// # Errors
/// The stage's.
pub fn analyze(
    atoms: &Atoms,
    params: &AnalyzeParams,
    context: &JobContext,
) -> Result<Arc<crate::analyze::Analyzed>, JobError> {
    context.monitor.phase("Analyze");
    let mut record = Record::begin(params, &atoms_hash(atoms));
    let started = Instant::now();
    let outcome = crate::analyze::analyze(atoms, params, &context.monitor)
        .map_err(|error| stopped_or(error, Stage::Analyze.name()))?;
    record.seconds = started.elapsed().as_secs_f64();
    record.output_hash = atoms_hash(&outcome.atoms);
    let outcome = Arc::new(outcome);
    context.output(JobOutput::Analyzed {
        outcome: Arc::clone(&outcome),
        params: params.clone(),
        record,
    });
    Ok(outcome)
}

/// A stage's error as a job's: a stop stays a stop, anything else names its subject.
pub(super) fn stopped_or<E: std::error::Error + 'static>(error: E, subject: &str) -> JobError {
    // Stage errors wrap the stop transparently, so it is either the error itself or its source.
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(one) = cause {
        if let Some(how) = one.downcast_ref::<Stopped>() {
            return JobError::Stopped(*how);
        }
        cause = one.source();
    }
    let text = error.to_string();
    // `#[error(transparent)]` hides the stop from `source`; its text is still its own.
    for how in [Stopped::Keep, Stopped::Abandon] {
        if text == how.to_string() {
            return JobError::Stopped(how);
        }
    }
    JobError::Failed(format!("{subject}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{JobId, export::write_doubts};
    use crate::model::AtomId;
    use crate::monitor::Monitor;
    use crate::trace::doubts::{DoubtKind, DoubtParams};
    use std::sync::Mutex;

    #[test]
    fn the_list_of_doubtful_places_comes_back_and_is_written_in_order() {
        let mut positions: Vec<[f64; 3]> = (0..125)
            .map(|i| [i / 25, i / 5 % 5, i % 5].map(|k| 2.6 * f64::from(k)))
            .collect();
        positions.push([5.2, 5.2, 6.1]);
        let atoms = Arc::new(Atoms::from_positions(positions, "Zr"));
        let events = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&events);
        let context = JobContext {
            monitor: Monitor::silent(),
            emit: Arc::new(move |event| said.lock().unwrap().push(event)),
            id: JobId(1),
            snapshots: Arc::default(),
            show_snapshots: false,
        };
        let job = Job::Doubts {
            atoms: Arc::clone(&atoms),
            series: None,
            volume: None,
            traced: None,
            params: DoubtParams::default(),
        };
        assert_eq!(execute(job, &context).unwrap(), JobEnd::Finished);
        let events = events.lock().unwrap();
        let [JobEvent::Output { output, .. }] = &events[..] else {
            panic!("{events:?}");
        };
        let JobOutput::Doubts { doubts, atoms: of } = &**output else {
            panic!("{output:?}");
        };
        assert!(Arc::ptr_eq(of, &atoms));
        assert_eq!(doubts[0].kind, DoubtKind::TooClose);
        assert!(doubts[0].atoms.contains(&AtomId(125)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("doubts.csv");
        write_doubts(doubts, &path, false).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), doubts.len() + 1);
        // The reason comes last and in quotes, for it may hold commas.
        let fields = |line: &str| {
            line.split('"')
                .next()
                .unwrap_or_default()
                .split(',')
                .count()
        };
        assert!(lines[1].starts_with("1,too_close,") && lines[1].ends_with('"'));
        assert!(
            lines[1..]
                .iter()
                .all(|line| fields(line) == fields(lines[0]))
        );
    }
}
