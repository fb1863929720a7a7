//! Takes what a job brought back into the document.

use super::JobOutput;
use crate::project::Workspace;
use std::sync::Arc;

/// Folds an output into the document; returns lines for the log.
pub fn accept(workspace: &mut Workspace, output: JobOutput) -> Vec<String> {
    match output {
        JobOutput::Opened(opened) => {
            *workspace = *opened;
            return vec![format!("opened {}", workspace.project.name)];
        }
        JobOutput::Series { series, truth } => {
            workspace.project.pixel_size = series.pixel_size;
            workspace.series = Some(series);
            workspace.truth = truth;
        }
        JobOutput::Reconstructed { outcome, .. } => {
            workspace.volume = Some(Arc::new(outcome.volume.clone()));
            workspace.reconstructed = Some(outcome);
        }
        JobOutput::Analyzed { outcome, .. } => workspace.analyzed = Some(outcome),
        _ => {}
    }
    workspace.modified = true;
    Vec::new()
}
