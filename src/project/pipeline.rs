//! The road from files to figures: its stages in order, and the state each is in.

use super::Workspace;
use serde::{Deserialize, Serialize};

/// A stage of the road, top to bottom of the rail.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The tilt series as read.
    #[default]
    Series,
    /// Background, alignment.
    Prepare,
    /// RESIRE.
    Reconstruct,
    /// Atoms from the volume.
    Trace,
    /// Hand correction with evidence.
    Correct,
    /// Structure analysis.
    Analyze,
    /// Methods table and exports.
    Report,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 7] = [
        Self::Series,
        Self::Prepare,
        Self::Reconstruct,
        Self::Trace,
        Self::Correct,
        Self::Analyze,
        Self::Report,
    ];

    /// Its name in the rail.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Series => "Series",
            Self::Prepare => "Prepare",
            Self::Reconstruct => "Reconstruct",
            Self::Trace => "Trace",
            Self::Correct => "Correct",
            Self::Analyze => "Analyze",
            Self::Report => "Report",
        }
    }
}

/// The state of a stage's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageStatus {
    /// Something must come first; the text says what.
    Needs(String),
    /// Can be run.
    Ready,
    /// Has been run and is up to date; the text is its one-line result.
    Done(String),
    /// Its inputs or parameters changed since; the text says which.
    Stale(String),
}

impl StageStatus {
    /// One word for the rail.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Needs(_) => "needs input",
            Self::Ready => "ready",
            Self::Done(_) => "done",
            Self::Stale(_) => "stale",
        }
    }
}

/// The state of a stage in this workspace (whether it is running is the window's knowledge).
#[must_use]
pub fn status(workspace: &Workspace, stage: Stage) -> StageStatus {
    match stage {
        Stage::Series => series_status(workspace),
        Stage::Prepare => prepare_status(workspace),
        Stage::Reconstruct => reconstruct_status(workspace),
        Stage::Trace => trace_status(workspace),
        Stage::Correct => correct_status(workspace),
        Stage::Analyze => analyze_status(workspace),
        Stage::Report => match &workspace.analyzed {
            Some(_) => StageStatus::Ready,
            None => StageStatus::Needs("an analysis".to_owned()),
        },
    }
}

fn series_status(workspace: &Workspace) -> StageStatus {
    match &workspace.series {
        None => StageStatus::Needs("a tilt series".to_owned()),
        Some(series) if series.pixel_size.is_none() => {
            StageStatus::Needs("the pixel size".to_owned())
        }
        Some(series) => StageStatus::Done(format!("{} tilts", series.included_tilts().len())),
    }
}

fn prepare_status(workspace: &Workspace) -> StageStatus {
    match (&workspace.series, &workspace.prepared) {
        (None, _) => StageStatus::Needs("a tilt series".to_owned()),
        (Some(_), None) => StageStatus::Ready,
        (Some(_), Some(_)) => workspace.stale_reason(Stage::Prepare).map_or_else(
            || StageStatus::Done("prepared".to_owned()),
            StageStatus::Stale,
        ),
    }
}

fn reconstruct_status(workspace: &Workspace) -> StageStatus {
    match (&workspace.volume, &workspace.series) {
        (None, None) => StageStatus::Needs("a tilt series".to_owned()),
        (None, Some(series)) if series.pixel_size.is_none() => {
            StageStatus::Needs("the pixel size".to_owned())
        }
        (None, Some(_)) => StageStatus::Ready,
        (Some(volume), _) => {
            let [x, y, z] = volume.size();
            let said = match workspace.record(Stage::Reconstruct).and_then(|r| r.r1) {
                Some(r1) => format!("R1 {r1:.4}"),
                None => format!("{x} × {y} × {z}"),
            };
            workspace
                .stale_reason(Stage::Reconstruct)
                .map_or(StageStatus::Done(said), StageStatus::Stale)
        }
    }
}

fn trace_status(workspace: &Workspace) -> StageStatus {
    match (&workspace.atoms, &workspace.volume) {
        (None, None) => StageStatus::Needs("a volume".to_owned()),
        (None, Some(_)) => StageStatus::Ready,
        (Some(atoms), _) => workspace.stale_reason(Stage::Trace).map_or_else(
            || StageStatus::Done(format!("{} atoms", atoms.len())),
            StageStatus::Stale,
        ),
    }
}

fn correct_status(workspace: &Workspace) -> StageStatus {
    if workspace.atoms.is_none() {
        return StageStatus::Needs("atoms".to_owned());
    }
    match workspace.edits.counts().total() {
        0 => StageStatus::Ready,
        n => StageStatus::Done(format!("{n} by hand")),
    }
}

fn analyze_status(workspace: &Workspace) -> StageStatus {
    match (&workspace.analyzed, &workspace.atoms) {
        (None, None) => StageStatus::Needs("atoms".to_owned()),
        (None, Some(_)) => StageStatus::Ready,
        (Some(analyzed), _) => workspace.stale_reason(Stage::Analyze).map_or_else(
            || StageStatus::Done(format!("cutoff {:.2} Å", analyzed.cutoff)),
            StageStatus::Stale,
        ),
    }
}
