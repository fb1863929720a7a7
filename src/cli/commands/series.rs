//! Commands that end in a stack or a volume.

use super::{pick, say};
use crate::cli::args::{
    Calibrate, Gallery, Merge, Preprocess, Project, Reconstruct, RefineGeometry,
};
use crate::cli::{End, Runner, SERIES, VOLUMES, can_be_written, refuse_to_overwrite};
use crate::figures::quality;
use crate::figures::render::Page;
use crate::jobs::{Job, JobOutput, calibrate, export, geometry, input, measure, slabs};
use crate::model::TiltSeries;
use crate::preprocess::PrepareParams;
use crate::reconstruct::{DenoisingVerdict, NanPixels};
use serde_json::json;
use std::sync::Arc;

pub fn preprocess(runner: &Runner, args: Preprocess) -> anyhow::Result<End> {
    can_be_written(&args.output, runner.common.force, &SERIES)?;
    let mut series = args.series;
    series.projections = series.projections.or(args.stack);
    let (series, notes) = input::load_series(&series)?;
    say(runner, &notes);
    let series = Arc::new(series);
    let judged = args
        .judge_denoising
        .then(|| judge_denoising(runner, &series, &args.params))
        .transpose()?;
    let ran = runner.run(Job::Prepare {
        series,
        params: args.params,
        earlier: None,
    })?;
    let (outcome, record) = pick(&ran.outputs, |output| match output {
        JobOutput::Prepared {
            outcome, record, ..
        } => Some((outcome.clone(), record.clone())),
        _ => None,
    })?;
    let (prepared, notes) = (&outcome.series, outcome.notes.clone());
    export::write_series(prepared, &args.output, runner.common.force)?;
    let [x, y] = prepared.image_size();
    let alignment = outcome.misalignment.as_ref().map(|found| {
        json!({
            "across_rms_px": found.rms_x_px,
            "along_rms_px": found.rms_y_px,
            "noise_px": found.noise_px,
            "agreement": found.agreement,
            "outliers": found.outliers,
            "shifts_px": outcome.shifts_px,
            "axis": outcome.axis,
            "axis_offset_px": found.axis_offset_px,
        })
    });
    let result = json!({
        "tilts": prepared.len(), "size_px": [x, y], "notes": notes, "seconds": record.seconds,
        "drift": record.details.get("drift"), "damage": record.details.get("damage"),
        "background": outcome.background.as_ref().map(|_| json!({
            "level": outcome.background_level,
            "left_outside": outcome.residual_level,
        })),
        "alignment": alignment,
        "left_out": outcome.left_out().iter().map(|(step, why)| {
            json!({ "step": step, "why": why })
        }).collect::<Vec<_>>(),
        "denoising": judged,
    });
    let mut lines = notes;
    lines.extend(judged.map(|verdict| verdict.sentence()));
    lines.push(format!(
        "{} images of {x} × {y} → {}",
        prepared.len(),
        args.output.display()
    ));
    runner.print(&result, &lines);
    Ok(ran.end)
}

fn judge_denoising(
    runner: &Runner,
    series: &Arc<TiltSeries>,
    params: &PrepareParams,
) -> anyhow::Result<DenoisingVerdict> {
    let ran = runner.run(Job::JudgeDenoising {
        series: Arc::clone(series),
        params: params.clone(),
    })?;
    pick(&ran.outputs, |output| match output {
        JobOutput::DenoisingJudged(verdict) => Some(*verdict),
        _ => None,
    })
}

pub fn gallery(runner: &Runner, args: Gallery) -> anyhow::Result<End> {
    can_be_written(&args.output, runner.common.force, &["png", "svg"])?;
    let page = Page {
        width_mm: args.width_mm,
        dpi: args.dpi.unwrap_or(Page::default().dpi),
        ..Page::default()
    };
    if let Some(why) = page.fault() {
        anyhow::bail!(why);
    }
    let mut series = args.series;
    series.projections = series.projections.or(args.stack);
    let (series, notes) = input::load_series(&series)?;
    say(runner, &notes);
    export::write_gallery(
        &series,
        args.spectra,
        &page,
        &args.output,
        runner.common.force,
    )?;
    let what = if args.spectra { "spectra" } else { "images" };
    let line = format!("{} {what} → {}", series.len(), args.output.display());
    runner.print(
        &json!({ "tilts": series.len(), "spectra": args.spectra }),
        &[line],
    );
    Ok(End::Done)
}

pub fn calibrate(runner: &Runner, args: &Calibrate) -> anyhow::Result<End> {
    let monitor = runner.monitor();
    let (_, found) = calibrate::calibrate(&args.images, args.pixel_size, &args.params, &monitor)?;
    runner.bar.clear();
    let mut lines: Vec<String> = found
        .images
        .iter()
        .map(|image| {
            let [down, right] = image.drift_px_per_frame;
            format!(
                "{}: {:.5} ± {:.5} Å from {} spots, drift {down:.2} px down, {right:.2} px right",
                image.name, image.pixel_size, image.standard_error, image.spots
            )
        })
        .collect();
    lines.extend(found.failed.iter().map(|why| format!("not used: {why}")));
    lines.push(format!(
        "calibrated / nominal: {:.5} ± {:.5} over {} images at {} scan rotations",
        found.scale,
        found.scale_error,
        found.images.len(),
        found.rotations
    ));
    if let (Some(nominal), Some(size), Some(error)) =
        (found.nominal, found.calibrated, found.standard_error)
    {
        lines.push(format!(
            "pixel size {size:.5} ± {error:.5} Å (nominal {nominal:.5} Å); use it with --pixel-size {size:.5}"
        ));
    }
    runner.print(&serde_json::to_value(&found)?, &lines);
    Ok(End::Done)
}

pub fn reconstruct(runner: &Runner, args: Reconstruct) -> anyhow::Result<End> {
    can_be_written(&args.output, runner.common.force, &VOLUMES)?;
    let (series, notes) = match args.params.nan_pixels {
        NanPixels::Refuse => input::load_series(&args.series)?,
        NanPixels::Mask => input::load_series_with_gaps(&args.series)?,
    };
    say(runner, &notes);
    let load = |spec: &Option<String>| {
        spec.as_ref()
            .map(|spec| input::load_volume(spec, series.pixel_size))
            .transpose()
    };
    let (start, support) = (load(&args.start)?, load(&args.support)?);
    let slab = args.params.slab;
    if slab.is_some() {
        refuse_to_overwrite(&slabs::note_path(&args.output), runner.common.force)?;
    }
    let (series, params) = (Arc::new(series), args.params);
    let (start, support) = (start.map(Arc::new), support.map(Arc::new));
    let job = Job::Reconstruct {
        start: start.clone(),
        support: support.clone(),
        series: Arc::clone(&series),
        follow: false,
        params: params.clone(),
    };
    let ran = runner.run(job)?;
    let outcome = pick(&ran.outputs, |output| match output {
        JobOutput::Reconstructed { outcome, .. } => Some(Arc::clone(outcome)),
        _ => None,
    })?;
    export::write_volume(&outcome.volume, &args.output, runner.common.force)?;
    if let Some(slab) = slab {
        let made = slabs::Made {
            series: &series,
            params: &params,
            volumes: [start.as_deref(), support.as_deref()],
            outcome: &outcome,
        };
        slabs::write_note(slab, &made, &args.output, runner.common.force)?;
    }
    let size = outcome.volume.size();
    let result = json!({
        "iterations": outcome.iterations.len(),
        "r1": outcome.r1,
        "r1_per_tilt": outcome.r1_per_tilt,
        "r_free": outcome.r_free,
        "seconds": outcome.seconds,
        "engine": outcome.engine,
        "volume": size,
        "kernel_width_A": outcome.kernel_width,
        "trials": outcome.trials,
        "fsc": outcome.fsc,
        "notes": outcome.notes,
        "interrupted": ran.end == End::Cancelled,
    });
    let free = outcome
        .r_free
        .map_or(String::new(), |r| format!(", R_free {r:.4}"));
    let mut lines = outcome.notes.clone();
    lines.push(format!(
        "{}{} iterations in {:.1} s ({}), R1 {:.4}{free}",
        if ran.end == End::Cancelled {
            "interrupted and kept: "
        } else {
            ""
        },
        outcome.iterations.len(),
        outcome.seconds,
        outcome.engine,
        outcome.r1
    ));
    lines.extend(outcome.fsc.as_ref().map(quality::fsc_note));
    lines.push(format!(
        "{} × {} × {} voxels → {}",
        size[0],
        size[1],
        size[2],
        args.output.display()
    ));
    runner.print(&result, &lines);
    Ok(ran.end)
}

pub fn merge(runner: &Runner, args: &Merge) -> anyhow::Result<End> {
    can_be_written(&args.output, runner.common.force, &VOLUMES)?;
    let merged = slabs::merge(&args.slabs)?;
    say(runner, &merged.notes);
    export::write_volume(&merged.volume, &args.output, runner.common.force)?;
    let size = merged.volume.size();
    let line = format!(
        "{} slabs to {} × {} × {} voxels → {}",
        args.slabs.len(),
        size[0],
        size[1],
        size[2],
        args.output.display()
    );
    runner.print(
        &json!({ "slabs": args.slabs.len(), "volume": size }),
        &[line],
    );
    Ok(End::Done)
}

pub fn refine_geometry(runner: &Runner, args: RefineGeometry) -> anyhow::Result<End> {
    if args.output.extension().is_some() {
        refuse_to_overwrite(&args.output, runner.common.force)?;
    }
    let (series, notes) = input::load_series(&args.series)?;
    say(runner, &notes);
    let ran = runner.run(Job::RefineGeometry {
        series: Arc::new(series),
        params: args.params,
    })?;
    let outcome = pick(&ran.outputs, |output| match output {
        JobOutput::GeometryRefined { outcome, .. } => Some(Arc::clone(outcome)),
        _ => None,
    })?;
    geometry::write(&outcome, &args.output, runner.common.force)?;
    let lines = [
        geometry::summary(&outcome),
        format!("in {:.1} s → {}", outcome.seconds, args.output.display()),
    ];
    runner.print(&geometry::to_json(&outcome), &lines);
    Ok(ran.end)
}

pub fn project(runner: &Runner, args: &Project) -> anyhow::Result<End> {
    can_be_written(&args.output, runner.common.force, &SERIES)?;
    let volume = input::load_volume(&args.volume, args.pixel_size)?;
    let angles = input::load_angles(&args.angles)?;
    let series = measure::project(
        &volume,
        &angles,
        args.method.params().method(),
        &runner.monitor(),
    )?;
    runner.bar.clear();
    export::write_series(&series, &args.output, runner.common.force)?;
    let [x, y] = series.image_size();
    runner.print(
        &json!({ "tilts": series.len(), "size_px": [x, y] }),
        &[format!(
            "{} images of {x} × {y} → {}",
            series.len(),
            args.output.display()
        )],
    );
    Ok(End::Done)
}
