//! Commands that go down the whole road.

use super::say;
use crate::cli::args::{Auto, Bench, Info, OutputDir};
use crate::cli::{End, Ran, Runner, refuse_to_overwrite};
use crate::jobs::{Job, JobOutput, accept, export, input, measure, open};
use crate::project::{Workspace, report as table, store};
use anyhow::anyhow;
use serde_json::{Map, json};
use std::path::Path;
use std::sync::Arc;

pub fn demo(runner: &Runner, args: &OutputDir) -> anyhow::Result<End> {
    refuse_to_overwrite(&args.output.join("project.aetlas"), runner.common.force)?;
    let ran = runner.run(Job::Demo)?;
    finish_road(runner, ran, Workspace::default(), &args.output)
}

pub fn auto(runner: &Runner, args: Auto) -> anyhow::Result<End> {
    refuse_to_overwrite(&args.output.join("project.aetlas"), runner.common.force)?;
    let (series, notes) = input::load_series(&args.series)?;
    say(runner, &notes);
    anyhow::ensure!(
        series.pixel_size.is_some(),
        "{} does not say its pixel size; give it with --pixel-size",
        series.name
    );
    let mut workspace = Workspace::default();
    workspace.project.name.clone_from(&series.name);
    workspace.project.pixel_size = series.pixel_size;
    workspace.project.sources = args.series.sources();
    let series = Arc::new(series);
    workspace.series = Some(Arc::clone(&series));
    let ran = runner.run(Job::Auto {
        series,
        species: args.species,
        spacing: args.spacing,
        skip: args.skip,
        hand: Box::default(),
        follow: args.trace_while_running,
        truth: None,
    })?;
    finish_road(runner, ran, workspace, &args.output)
}

/// Folds the outputs into a document, writes it with its results, and prints the summary.
fn finish_road(
    runner: &Runner,
    ran: Ran,
    mut workspace: Workspace,
    folder: &Path,
) -> anyhow::Result<End> {
    let mut comparison = serde_json::Value::Null;
    let mut lines = Vec::new();
    for output in ran.outputs {
        if let JobOutput::Compared { json, .. } = &output {
            comparison = json.clone();
        }
        lines.extend(accept(&mut workspace, output));
    }
    export::write_report(&workspace, folder, runner.common.force)?;
    let path = folder.join("project.aetlas");
    store::save(&workspace, &path)?;
    let seconds: Map<String, serde_json::Value> = workspace
        .project
        .records
        .iter()
        .map(|(stage, record)| (stage.name().to_lowercase(), json!(record.seconds)))
        .collect();
    let result = json!({
        "atoms": workspace.atoms.as_ref().map(|atoms| atoms.len()),
        "compare": comparison,
        "seconds": seconds,
    });
    lines.push(table::markdown(&workspace));
    if let Some(analyzed) = &workspace.analyzed {
        lines.extend(measure::analysis_lines(analyzed));
    }
    lines.extend(workspace.comparison.clone());
    lines.push(format!("→ {}", folder.display()));
    runner.print(&result, &lines);
    Ok(ran.end)
}

pub fn info(runner: &Runner, args: &Info) -> anyhow::Result<End> {
    let (json, lines) = open::describe(&args.file, &args.beam)?;
    runner.print(&json, &lines);
    Ok(End::Done)
}

pub fn run_project(runner: &Runner, path: &Path) -> anyhow::Result<End> {
    let (mut workspace, notes) = store::open(path)?;
    say(runner, &notes);
    let mut lines = Vec::new();
    while let Some(job) = measure::next_job(&workspace) {
        let title = job.title();
        let ran = runner.run(job)?;
        for output in ran.outputs {
            lines.extend(accept(&mut workspace, output));
        }
        lines.push(format!("{title}: done"));
        store::save(&workspace, path)?;
        if ran.end == End::Cancelled {
            return Ok(End::Cancelled);
        }
    }
    if lines.is_empty() {
        lines.push("every stage is done and up to date".to_owned());
    }
    runner.print(&table::json(&workspace), &lines);
    Ok(End::Done)
}

pub fn report(runner: &Runner, path: &Path, folder: &Path) -> anyhow::Result<End> {
    refuse_to_overwrite(&folder.join("report.md"), runner.common.force)?;
    let (mut workspace, notes) = store::open(path)?;
    say(runner, &notes);
    if let (Some(atoms), None) = (workspace.atoms.clone(), &workspace.analyzed) {
        let params = workspace.project.parameters.analyze.clone();
        for output in runner.run(Job::Analyze { atoms, params })?.outputs {
            accept(&mut workspace, output);
        }
    }
    export::write_report(&workspace, folder, runner.common.force)?;
    runner.print(
        &table::json(&workspace),
        &[
            table::markdown(&workspace),
            format!("→ {}", folder.display()),
        ],
    );
    Ok(End::Done)
}

pub fn bench(runner: &Runner, args: &Bench) -> anyhow::Result<End> {
    let request = measure::BenchRequest {
        volume_size: args.volume_size.clone(),
        tilts: args.tilts,
        iterations: args.iterations,
        atoms: args.atoms,
        model: args.model.clone().map(|atoms| input::AtomsInput {
            atoms,
            unit: args.unit,
        }),
        general: args.general,
        engine: args.engine,
        method: args.method.params().method(),
    };
    let (json, lines) = if args.name == "frame" {
        let watched = crate::ui::bench::FrameRequest {
            volume_size: request.size_or([290; 3])?,
            tilts: args.tilts,
            watch: std::time::Duration::from_secs(20),
        };
        crate::ui::bench::frames(&watched, crate::jobs::execute::execute)
            .map_err(|why| anyhow!(why))?
    } else {
        measure::bench(&args.name, &request, &runner.monitor())?
    };
    runner.bar.clear();
    runner.print(&json, &lines);
    Ok(End::Done)
}
