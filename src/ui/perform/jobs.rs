//! The jobs of the stages with the document's parameters.

use crate::jobs::Job;
use crate::project::Stage;
use crate::ui::state::AppState;
use std::sync::Arc;

/// The job of a stage with the document's parameters.
pub(super) fn job_of(state: &AppState, stage: Stage) -> Result<Job, String> {
    crate::ui::commands::can_run(state, stage)?;
    let workspace = &state.workspace;
    let parameters = &workspace.project.parameters;
    let series = || workspace.series.clone().ok_or("needs a tilt series");
    Ok(match stage {
        Stage::Prepare => Job::Prepare {
            earlier: state.earlier_preparation(),
            series: series()?,
            params: parameters.prepare.clone(),
        },
        Stage::Reconstruct => Job::Reconstruct {
            series: workspace
                .best_series()
                .cloned()
                .ok_or("needs a tilt series")?,
            start: None,
            support: None,
            follow: parameters.trace_while_running,
            params: parameters.reconstruct.clone(),
        },
        Stage::Trace => Job::Trace {
            volume: workspace.volume.clone().ok_or("needs a volume")?,
            ghosts: workspace.ghosts.clone(),
            params: parameters.trace.clone(),
        },
        Stage::Analyze => Job::Analyze {
            atoms: workspace.atoms.clone().ok_or("needs atoms")?,
            params: parameters.analyze.clone(),
        },
        Stage::Series | Stage::Correct | Stage::Report => {
            return Err("is not a stage that runs".to_owned());
        }
    })
}

/// A new threshold alone needs no new fits.
pub(super) fn split_job(state: &AppState) -> Option<Job> {
    let workspace = &state.workspace;
    let record = workspace.record(Stage::Trace)?;
    if record.stale_because.is_some() {
        return None;
    }
    let params = workspace.project.parameters.trace.clone();
    let mut before: crate::trace::TraceParams =
        serde_json::from_value(record.params.clone()).ok()?;
    before.threshold = params.threshold;
    before.min_distance = params.min_distance;
    (before == params).then_some(Job::Split {
        traced: Arc::clone(workspace.traced.as_ref()?),
        volume: workspace.volume.clone(),
        ghosts: workspace.ghosts.clone(),
        params,
    })
}

pub(super) fn refine_job(state: &AppState) -> Result<Job, String> {
    crate::ui::commands::can_refine(state)?;
    let workspace = &state.workspace;
    Ok(Job::Refine {
        series: Arc::clone(workspace.best_series().ok_or("needs a tilt series")?),
        atoms: Arc::clone(workspace.atoms.as_ref().ok_or("needs atoms")?),
        params: workspace.project.parameters.refine.clone(),
        complete: workspace.project.parameters.complete,
        held_edits: workspace.edits.entries().len(),
    })
}

/// Iterations a stopped reconstruction has behind it and still ahead; `None` when there is nothing to resume.
#[must_use]
pub fn resumable(state: &AppState) -> Option<(usize, usize)> {
    let run = state.workspace.reconstructed.as_ref()?;
    let done = run.iterations.last()?.number;
    let wanted = state.workspace.project.parameters.reconstruct.iterations;
    (done < wanted).then(|| (done, wanted - done))
}

pub(super) fn resume_job(state: &AppState) -> Result<Job, String> {
    let (_, left) = resumable(state).ok_or("there is no shorter run to resume")?;
    let mut job = job_of(state, Stage::Reconstruct)?;
    if let Job::Reconstruct { start, params, .. } = &mut job {
        *start = state.workspace.volume.clone();
        params.iterations = left;
    }
    Ok(job)
}
