//! The commands, one function each: read, run a job, write, print.

mod models;
mod project;
mod series;

pub(super) use models::{analyze, classify, compare, refine_atoms, residual, simulate, trace};
pub(super) use project::{auto, bench, demo, info, report, run_project};
pub(super) use series::{
    calibrate, gallery, merge, preprocess, project, reconstruct, refine_geometry,
};

use super::Runner;
use crate::jobs::JobOutput;

/// Tells a person what was found on the way (standard error, so that scripts are not disturbed).
fn say(runner: &Runner, notes: &[String]) {
    if !runner.common.quiet {
        for note in notes {
            eprintln!("{note}");
        }
    }
}

/// The first output of a kind.
fn pick<T>(outputs: &[JobOutput], choose: impl Fn(&JobOutput) -> Option<T>) -> anyhow::Result<T> {
    outputs
        .iter()
        .find_map(choose)
        .ok_or_else(|| anyhow::anyhow!("cancelled before there was a result"))
}
