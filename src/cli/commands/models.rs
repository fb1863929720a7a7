//! Commands that begin or end with atoms.

use super::{pick, say};
use crate::analyze::Analyzed;
use crate::cli::args::{Analyze, Classify, Compare, RefineAtoms, Residual, Simulate, Trace};
use crate::cli::{End, MODELS, Runner, SERIES, can_be_written, refuse_to_overwrite};
use crate::figures::render::Page;
use crate::jobs::{Job, JobOutput, export, input, measure};
use crate::trace::Verdict;
use anyhow::anyhow;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

pub fn trace(runner: &Runner, args: Trace) -> anyhow::Result<End> {
    can_be_written(&args.output, runner.common.force, &MODELS)?;
    let volume = Arc::new(input::load_volume(&args.volume, args.pixel_size)?);
    let params = if args.suggest {
        let (params, notes) = measure::suggest_trace(&volume, &args.params);
        say(runner, &notes);
        params
    } else {
        args.params
    };
    let chosen = params.clone();
    let ran = runner.run(Job::Trace {
        volume,
        ghosts: None,
        params,
    })?;
    let outcome = pick(&ran.outputs, |output| match output {
        JobOutput::Traced { outcome, .. } => Some(Arc::clone(outcome)),
        _ => None,
    })?;
    export::write_atoms(&outcome.atoms, &args.output, runner.common.force)?;
    if let Some(report) = &args.report {
        refuse_to_overwrite(report, runner.common.force)?;
        export::write_candidates(&outcome, report, runner.common.force)?;
    }
    let cutoff = crate::trace::cutoff::justify(&outcome, &chosen, None);
    if let (Some(report), Some(cutoff)) = (&args.report, &cutoff) {
        let beside = report.with_extension("cutoff.md");
        export::write_cutoff(cutoff, &beside, runner.common.force)?;
    }
    let mut rejected = Map::new();
    for verdict in Verdict::REJECTIONS {
        let name = serde_json::to_value(verdict)?;
        let name = name.as_str().unwrap_or_default().to_owned();
        rejected.insert(name, json!(outcome.count(verdict)));
    }
    let result = json!({
        "atoms": outcome.atoms.len(),
        "candidates": outcome.candidates.len(),
        "rejected": Value::Object(rejected.clone()),
        "sigma_mean_A": outcome.sigma_mean,
        "sigma_sd_A": outcome.sigma_sd,
        "threshold": outcome.threshold,
        "minimum_distance": cutoff,
        "seconds": outcome.seconds,
    });
    let reasons: Vec<String> = rejected
        .iter()
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    let mut lines = vec![
        format!(
            "{} atoms of {} candidates",
            outcome.atoms.len(),
            outcome.candidates.len()
        ),
        format!("rejected: {}", reasons.join(", ")),
        format!(
            "blur width σ {:.3} ± {:.3} Å",
            outcome.sigma_mean, outcome.sigma_sd
        ),
    ];
    lines.extend(cutoff.map(|cutoff| cutoff.sentence()));
    lines.push(format!("→ {}", args.output.display()));
    runner.print(&result, &lines);
    Ok(ran.end)
}

pub fn classify(runner: &Runner, args: &Classify) -> anyhow::Result<End> {
    can_be_written(&args.output, runner.common.force, &MODELS)?;
    let volume = input::load_volume(&args.volume, args.pixel_size)?;
    let atoms = input::load_atoms(&args.atoms)?;
    let sorted = measure::classify(
        &volume,
        &atoms,
        args.species,
        &args.species_names,
        args.box_size,
    )?;
    export::write_atoms(&sorted, &args.output, runner.common.force)?;
    let counts = sorted.species_counts();
    let said: Vec<String> = counts
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    runner.print(
        &json!({ "atoms": sorted.len(), "species": counts }),
        &[said.join(", ")],
    );
    Ok(End::Done)
}

pub fn refine_atoms(runner: &Runner, args: RefineAtoms) -> anyhow::Result<End> {
    can_be_written(&args.output, runner.common.force, &MODELS)?;
    let (series, notes) = input::load_series(&args.series)?;
    say(runner, &notes);
    let job = Job::Refine {
        series: Arc::new(series),
        atoms: Arc::new(input::load_atoms(&args.atoms)?),
        params: args.params,
        complete: args.complete,
        held_edits: 0,
    };
    let ran = runner.run(job)?;
    let (atoms, aligned, notes, record) = pick(&ran.outputs, |output| match output {
        JobOutput::Refined {
            atoms,
            series,
            notes,
            record,
            ..
        } => Some((
            Arc::clone(atoms),
            series.clone(),
            notes.clone(),
            record.clone(),
        )),
        _ => None,
    })?;
    export::write_atoms(&atoms, &args.output, runner.common.force)?;
    if let Some(series) = aligned {
        let stack = args.output.with_extension("aligned.mrc");
        export::write_series(&series, &stack, runner.common.force)?;
    }
    let result = json!({
        "atoms": atoms.len(), "r1": record.r1, "notes": notes, "seconds": record.seconds,
    });
    let mut lines = notes;
    lines.push(format!("{} atoms → {}", atoms.len(), args.output.display()));
    runner.print(&result, &lines);
    Ok(ran.end)
}

pub fn residual(runner: &Runner, args: &Residual) -> anyhow::Result<End> {
    refuse_to_overwrite(&args.output, runner.common.force)?;
    let (series, notes) = input::load_series(&args.series)?;
    say(runner, &notes);
    let ran = runner.run(Job::Doubts {
        atoms: Arc::new(input::load_atoms(&args.atoms)?),
        series: Some(Arc::new(series)),
        volume: None,
        traced: None,
        params: args.params.clone(),
    })?;
    let doubts = pick(&ran.outputs, |output| match output {
        JobOutput::Doubts { doubts, .. } => Some(Arc::clone(doubts)),
        _ => None,
    })?;
    export::write_doubts(&doubts, &args.output, runner.common.force)?;
    let counts = measure::count_doubts(&doubts);
    let likely = doubts.iter().filter(|d| d.probability() > 0.5).count();
    let line = format!(
        "{} doubtful places, {likely} of them more likely wrong than right: {} may lack an atom, {} hold an atom that the \
         tilts do not support → {}",
        doubts.len(),
        counts["missing"],
        counts["false"],
        args.output.display()
    );
    let mut result = json!(counts);
    result["places"] = json!(doubts.len());
    result["likely"] = json!(likely);
    runner.print(&result, &[line]);
    Ok(ran.end)
}

pub fn analyze(runner: &Runner, args: Analyze) -> anyhow::Result<End> {
    let page = page(&args.figure_size, args.dpi)?;
    let params = input::with_crystals(args.params)?;
    if let Some(folder) = &args.output {
        for name in ["analysis.json", "compare.json"] {
            refuse_to_overwrite(&folder.join(name), runner.common.force)?;
        }
    }
    let volume = args
        .volume
        .as_deref()
        .map(|spec| input::load_volume(spec, None));
    let volume = volume.transpose()?;
    let names = distinct_names(&args.models);
    let mut analyzed = Vec::new();
    for model in &args.models {
        let atoms = input::load_atoms(&input::AtomsInput {
            atoms: model.clone(),
            unit: args.unit,
        })?;
        let ran = runner.run(Job::Analyze {
            atoms: Arc::new(atoms),
            params: params.clone(),
        })?;
        analyzed.push(pick(&ran.outputs, |output| match output {
            JobOutput::Analyzed { outcome, .. } => Some(Arc::clone(outcome)),
            _ => None,
        })?);
    }
    let models: Vec<(String, &Analyzed)> = names
        .into_iter()
        .zip(analyzed.iter().map(|outcome| &**outcome))
        .collect();
    let mut lines = Vec::new();
    let mut summaries = Vec::new();
    for (name, outcome) in &models {
        if models.len() > 1 {
            lines.push(format!("{name}:"));
        }
        lines.extend(measure::analysis_lines(outcome));
        summaries.push(measure::summary_with(outcome, volume.as_ref()));
        if let Some(folder) = &args.output {
            // One model's results lie in the folder itself, those of several in one each.
            let own = if models.len() > 1 {
                folder.join(name)
            } else {
                folder.clone()
            };
            let how = export::Style {
                page,
                png: args.dpi.is_some(),
                force: runner.common.force,
            };
            export::write_analysis(outcome, volume.as_ref(), how, &own)?;
            lines.push(format!("→ {}", own.display()));
        }
    }
    if models.len() < 2 {
        runner.print(&summaries.swap_remove(0), &lines);
        return Ok(End::Done);
    }
    let compared = crate::analyze::compare::compare(&models);
    if let Some(folder) = &args.output {
        let how = export::Style {
            page,
            png: args.dpi.is_some(),
            force: runner.common.force,
        };
        export::write_comparison(&models, how, folder)?;
    }
    lines.extend(measure::comparison_lines(&compared));
    let mut json = compared.json();
    json["analyses"] = models
        .iter()
        .zip(summaries)
        .map(|((name, _), summary)| (name.clone(), summary))
        .collect();
    runner.print(&json, &lines);
    Ok(End::Done)
}

/// Width and height as `160x120`, mm.
fn page(size: &str, dpi: Option<f64>) -> anyhow::Result<Page> {
    let wrong = || anyhow!("--figure-size {size}: expected WIDTHxHEIGHT in mm, such as 160x120");
    let (width, height) = size.split_once(['x', '×']).ok_or_else(wrong)?;
    let page = Page {
        width_mm: width.trim().parse().map_err(|_| wrong())?,
        height_mm: height.trim().parse().map_err(|_| wrong())?,
        dpi: dpi.unwrap_or(Page::default().dpi),
    };
    page.fault().map_or(Ok(page), |why| Err(anyhow!(why)))
}

/// The files' stems; equal ones are numbered.
fn distinct_names(models: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for model in models {
        let stem = Path::new(model).file_stem().unwrap_or_default();
        let stem = stem.to_string_lossy().into_owned();
        let mut name = stem.clone();
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{stem}_{number}");
            number += 1;
        }
        names.push(name);
    }
    names
}

pub fn simulate(runner: &Runner, args: &Simulate) -> anyhow::Result<End> {
    can_be_written(&args.output, runner.common.force, &SERIES)?;
    let spec = input::AtomsInput {
        atoms: args.model.clone(),
        unit: None,
    };
    let atoms = input::load_atoms(&spec)?;
    let series = measure::simulate(&atoms, &args.params, &runner.monitor())?;
    runner.bar.clear();
    export::write_series(&series, &args.output, runner.common.force)?;
    let [x, y] = series.image_size();
    runner.print(
        &json!({ "tilts": series.len(), "size_px": [x, y], "pixel_size_A": series.pixel_size }),
        &[format!(
            "{} images of {x} × {y} → {}",
            series.len(),
            args.output.display()
        )],
    );
    Ok(End::Done)
}

pub fn compare(runner: &Runner, args: &Compare) -> anyhow::Result<End> {
    let load = |path: &str| {
        input::load_atoms(&input::AtomsInput {
            atoms: path.to_owned(),
            unit: None,
        })
    };
    let (traced, truth) = (load(&args.traced)?, load(&args.truth)?);
    let compared = measure::compare(&traced, &truth, &args.params)?;
    runner.print(
        &compared.to_json(),
        &[
            format!(
                "recall     {:.4}  ({} missed)",
                compared.recall,
                compared.missed.len()
            ),
            format!(
                "precision  {:.4}  ({} false)",
                compared.precision,
                compared.false_atoms.len()
            ),
            format!(
                "RMSD       {:.2} pm over {} pairs",
                compared.rmsd_pm,
                compared.matched()
            ),
            format!(
                "           {:.2} pm towards the missing wedge, {:.2} pm across it",
                compared.rmsd_in_wedge_pm, compared.rmsd_out_of_wedge_pm
            ),
        ],
    );
    Ok(End::Done)
}
