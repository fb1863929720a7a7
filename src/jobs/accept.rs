//! Takes what a job brought back into the document.

use super::JobOutput;
use crate::model::Atoms;
use crate::preprocess::PrepareParams;
use crate::preprocess::nudge::move_on;
use crate::project::carry::carry_over;
use crate::project::{Edits, Parameters, Record, Stage, Workspace};
use crate::reconstruct::NanPixels;
use std::sync::Arc;

/// Folds an output into the document; returns lines for the log.
pub fn accept(workspace: &mut Workspace, output: JobOutput) -> Vec<String> {
    match output {
        JobOutput::Opened {
            workspace: opened,
            notes,
        } => {
            *workspace = *opened;
            return notes;
        }
        JobOutput::Merged {
            workspace: read,
            notes,
        } => {
            merge(workspace, *read);
            workspace.modified = true;
            return notes;
        }
        JobOutput::Saved(path) => {
            if let Some(name) = path.file_stem() {
                workspace.project.name = name.to_string_lossy().into_owned();
            }
            let line = format!("saved {}", path.display());
            workspace.path = Some(path);
            workspace.modified = false;
            return vec![line];
        }
        JobOutput::Series { series, truth } => {
            *workspace = Workspace {
                project: crate::project::Project {
                    name: series.name.clone(),
                    pixel_size: series.pixel_size,
                    parameters: Parameters {
                        // Hand work belongs to the images it was done on.
                        prepare: (workspace.project.parameters.prepare)
                            .with_hand_work_of(&PrepareParams::default()),
                        ..workspace.project.parameters.clone()
                    },
                    ..Default::default()
                },
                series: Some(series),
                truth,
                ..Workspace::default()
            };
        }
        JobOutput::Prepared {
            outcome,
            params,
            record,
            ..
        } => {
            workspace.prepared = Some(Arc::clone(&outcome.series));
            // What was done by hand while the job ran stays; the record then says that it is not in the images yet.
            let prepare = &mut workspace.project.parameters.prepare;
            *prepare = params.with_hand_work_of(prepare);
            finish(
                workspace,
                Stage::Prepare,
                record,
                "the prepared series changed",
            );
            workspace.modified = true;
            return outcome.notes.clone();
        }
        JobOutput::Exchanged(series) => {
            let line = "x and y of the images were exchanged";
            workspace.series = Some(series);
            workspace.prepared = None;
            workspace.project.parameters.prepare.exchange_hand_work();
            workspace.project.records.remove(&Stage::Prepare);
            workspace.mark_stale(Stage::Reconstruct, line);
            return vec![line.to_owned()];
        }
        JobOutput::Nudged { series, shifts_px } => {
            let nudges = &mut workspace.project.parameters.prepare.nudges;
            for &(tilt, by_px) in &shifts_px {
                move_on(nudges, tilt, by_px);
            }
            let params = workspace.params_json(Stage::Prepare);
            let before = workspace.best_series();
            let input = before.map_or_else(String::new, |s| super::execute::series_hash(s));
            let records = &mut workspace.project.records;
            let record = (records.entry(Stage::Prepare)).or_insert_with(|| Record {
                params: params.clone(),
                ..Record::begin(&(), &input)
            });
            // The images hold these moves now; whatever else was changed since the last run still asks for another.
            if let (Some(done), Some(now)) = (record.params.as_object_mut(), params.get("nudges")) {
                done.insert("nudges".to_owned(), now.clone());
            }
            record.output_hash = super::execute::series_hash(&series);
            let lines: Vec<String> = shifts_px
                .iter()
                .map(|(tilt, [x, y])| {
                    format!("tilt {} moved by hand by ({x:+.1}, {y:+.1}) px", tilt + 1)
                })
                .collect();
            record.warnings.extend(lines.iter().cloned());
            workspace.prepared = Some(series);
            workspace.mark_stale(Stage::Reconstruct, "a tilt was moved by hand");
            return lines;
        }
        JobOutput::GeometryRefined { outcome, record } => {
            workspace.prepared = Some(Arc::new(outcome.series.clone()));
            // The preparation's own parameters still stand: the re-aligned series continues its record.
            let kept = workspace.project.records.get(&Stage::Prepare);
            let record = Record {
                params: kept.map_or_else(|| record.params.clone(), |old| old.params.clone()),
                ..record
            };
            finish(
                workspace,
                Stage::Prepare,
                record,
                "the geometry was refined",
            );
            workspace.modified = true;
            return vec![super::geometry::summary(&outcome)];
        }
        JobOutput::Reconstructed {
            outcome,
            params,
            record,
        } => {
            workspace.volume = Some(Arc::clone(&outcome.volume));
            workspace.reconstructed = Some(outcome);
            workspace.ghosts = None;
            workspace.project.parameters.reconstruct = params;
            finish(workspace, Stage::Reconstruct, record, "the volume changed");
        }
        JobOutput::Ghosts(ghosts) => {
            workspace.ghosts = Some(ghosts);
            return Vec::new();
        }
        JobOutput::Traced {
            outcome,
            params,
            record,
        } => {
            let line = replace_model(workspace, Arc::new(outcome.atoms.clone()), None);
            workspace.traced = Some(outcome);
            workspace.project.parameters.trace = params;
            finish(workspace, Stage::Trace, record, "the model changed");
            workspace.modified = true;
            return line.into_iter().collect();
        }
        JobOutput::Refined {
            atoms,
            series,
            held_edits,
            mut notes,
            record,
        } => {
            notes.extend(replace_model(workspace, atoms, Some(held_edits)));
            if series.is_some() {
                workspace.prepared = series;
            }
            // Tracing's own parameters still stand: the refined model continues its record.
            let kept = workspace
                .project
                .records
                .get(&Stage::Trace)
                .map(|old| old.params.clone());
            let record = Record {
                params: kept.unwrap_or_default(),
                ..record
            };
            finish(workspace, Stage::Trace, record, "the model changed");
            workspace.modified = true;
            return notes;
        }
        JobOutput::Analyzed {
            outcome,
            params,
            record,
        } => {
            workspace.analyzed = Some(outcome);
            workspace.project.parameters.analyze = params;
            finish(workspace, Stage::Analyze, record, "the analysis changed");
        }
        JobOutput::Compared { line, .. } => workspace.comparison = Some(line),
        JobOutput::Question(_)
        | JobOutput::GeometryRound(_)
        | JobOutput::Preview { .. }
        | JobOutput::Calibrated { .. }
        | JobOutput::DenoisingJudged(_)
        | JobOutput::Exported(_)
        | JobOutput::OtherAnalyzed { .. }
        | JobOutput::Crystal(_)
        | JobOutput::Autosaved { .. }
        | JobOutput::Doubts { .. } => {
            return Vec::new();
        }
    }
    workspace.modified = true;
    Vec::new()
}

/// A model of something else begins a new journal: edits of another model's atoms would not mean the same.
fn set_model(workspace: &mut Workspace, atoms: Arc<Atoms>) {
    workspace.base_atoms = Some(Arc::clone(&atoms));
    workspace.atoms = Some(atoms);
    workspace.edits = Edits::default();
    workspace.unrepeated.clear();
    workspace.comparison = None;
}

/// The same object, traced or refined anew: hand edits are made again on its new atoms. A refined model holds the
/// settled ones and the first `held` of the journal already; a new trace holds none. Returns what became of them.
fn replace_model(
    workspace: &mut Workspace,
    atoms: Arc<Atoms>,
    held: Option<usize>,
) -> Option<String> {
    let edits = std::mem::take(&mut workspace.edits);
    let old = workspace.base_atoms.take();
    let mut unrepeated = std::mem::take(&mut workspace.unrepeated);
    set_model(workspace, Arc::clone(&atoms));
    let (old, true) = (old?, edits.history().next().is_some()) else {
        return None;
    };
    let (settled, pending) = match held {
        None => (Vec::new(), edits.history().cloned().collect()),
        Some(held) => {
            let (now, later) = edits.entries().split_at(held.min(edits.entries().len()));
            ([edits.settled(), now].concat(), later.to_vec())
        }
    };
    let carried = carry_over(settled, &pending, &old, &atoms);
    let line = carried.sentence();
    unrepeated.extend(carried.unrepeated);
    workspace.atoms = Some(Arc::new(carried.atoms));
    workspace.edits = carried.edits;
    workspace.unrepeated = unrepeated;
    line
}

fn finish(workspace: &mut Workspace, stage: Stage, record: Record, reason: &str) {
    workspace.mark_stale(stage, reason);
    workspace.project.records.insert(stage, record);
}

/// What was read beside an open document: fields that were read replace those that are there.
fn merge(workspace: &mut Workspace, read: Workspace) {
    let untitled = crate::project::Project::default().name;
    if workspace.project.name == untitled && !read.project.name.is_empty() {
        workspace.project.name = read.project.name;
    }
    if let Some(truth) = read.truth {
        workspace.truth = Some(truth);
        workspace.comparison = None;
    }
    let sources = &mut workspace.project.sources;
    if let Some(series) = read.series {
        if read.project.parameters.reconstruct.nan_pixels == NanPixels::Mask {
            workspace.project.parameters.reconstruct.nan_pixels = NanPixels::Mask;
        }
        workspace.project.pixel_size = series.pixel_size;
        workspace.series = Some(series);
        workspace.prepared = None;
        sources.projections = read.project.sources.projections;
        sources.angles = read.project.sources.angles;
        workspace.mark_stale(Stage::Prepare, "another series was opened");
    }
    let sources = &mut workspace.project.sources;
    if let Some(volume) = read.volume {
        workspace.volume = Some(volume);
        workspace.reconstructed = None;
        sources.volume = read.project.sources.volume;
        workspace.project.records.remove(&Stage::Reconstruct);
        workspace.mark_stale(Stage::Trace, "another volume was opened");
    }
    if let Some(atoms) = read.atoms {
        workspace.project.sources.model = read.project.sources.model;
        workspace.traced = None;
        set_model(workspace, atoms);
        workspace.project.records.remove(&Stage::Trace);
        workspace.mark_stale(Stage::Analyze, "another model was opened");
    }
}
