//! What a referee asks for: the methods table with the parameters really used, what was done by hand, and the
//! hashes of what went in and came out.

use super::handwork::breakdown;
use super::pipeline::Stage;
use super::workspace::Workspace;
use crate::analyze::Analyzed;
use crate::analyze::profiles::blur::verdict;
use crate::preprocess::inspect::{Exposure, exposure};
use crate::preprocess::{PrepareParams, TiltAxis};
use crate::trace::cutoff::{Cutoff, justify};
use serde_json::{Value, json};
use std::fmt::Write;

/// Everything of the report as JSON.
#[must_use]
pub fn json(workspace: &Workspace) -> Value {
    let project = &workspace.project;
    let traced = workspace.base_atoms.as_ref().map_or(0, |atoms| atoms.len());
    let counts = workspace.edits.counts();
    json!({
        "program": { "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") },
        "project": project.name,
        "sources": project.sources,
        "pixel_size_A": project.pixel_size,
        "calibration": project.calibration,
        "exposure": workspace.series.as_ref().map(|s| exposure(s, &project.parameters.beam)),
        "nominal_pixel_size_A": workspace.series.as_ref().and_then(|s| s.nominal_pixel_size),
        "series": workspace.series.as_ref().map(|series| json!({
            "images": series.len(),
            "included": series.included_tilts().len(),
            "size_px": series.image_size(),
            "tilt_range_deg": tilt_range_deg(workspace),
        })),
        "parameters": project.parameters,
        "records": project.records,
        "reconstruction": workspace.reconstructed.as_ref().map(|run| json!({
            "iterations": run.iterations.len(),
            "r1": run.r1,
            "r_free": run.r_free,
            "kernel_width_A": run.kernel_width,
            "fsc": run.fsc,
            "notes": run.notes,
            "r1_per_tilt": run.r1_per_tilt,
            "engine": run.engine,
        })),
        "atoms": workspace.atoms.as_ref().map(|atoms| json!({
            "n": atoms.len(),
            "species": atoms.species_counts(),
        })),
        "edits": {
            "added": counts.added,
            "removed": counts.removed,
            "moved": counts.moved,
            "relabelled": counts.relabelled,
            "merged": counts.merged,
            "split": counts.split,
            "phases_set": counts.phases,
            "of": traced,
            "where": breakdown(workspace),
            "journal": workspace.edits.history().collect::<Vec<_>>(),
            "unrepeated": workspace.unrepeated,
        },
        "minimum_distance": cutoff(workspace).map(|cutoff| json!({
            "sentence": cutoff.sentence(),
            "data": cutoff,
        })),
        "analysis": workspace.analyzed.as_ref().map(|analyzed| analyzed.summary.clone()),
        "compare": workspace.comparison,
    })
}

fn cutoff(workspace: &Workspace) -> Option<Cutoff> {
    let traced = workspace.traced.as_ref()?;
    justify(traced, &workspace.project.parameters.trace, None)
}

/// Widths of interfaces, each beside the width that a sharp one would show.
fn widths(analyzed: &Analyzed) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let core_shell = analyzed.core_shell.as_ref();
    if let Some(one) = core_shell.and_then(|c| c.profiles.iter().find(|p| p.thickness.is_some())) {
        let (width, resolution) = (one.thickness.unwrap_or_default(), one.blur.width_5_95());
        let error = one.thickness_error.unwrap_or(f64::NAN);
        found.push((
            "Core-shell interface, 5–95 % (Å)".to_owned(),
            format!("{width:.2} ± {error:.2} ({})", verdict(width, resolution)),
        ));
    }
    for profile in analyzed.profiles.iter().filter(|p| p.from == "core") {
        let Some(fit) = profile.logistic.as_ref() else {
            continue;
        };
        if ["oxidation", "rho_n", "boo"].contains(&profile.column.as_str()) {
            let scale = 2.0 * 9f64.ln();
            let width = (scale * fit.values[3]).abs();
            let told = verdict(width, profile.blur.width_10_90());
            found.push((
                format!("Interface width of {}, 10–90 % (Å)", profile.column),
                format!("{width:.2} ± {:.2} ({told})", scale * fit.errors[3]),
            ));
        }
    }
    found
}

/// What was done by hand, by what, where and why; empty when nothing was.
fn by_hand(workspace: &Workspace) -> String {
    let mut text = String::new();
    let counts = workspace.edits.counts();
    if counts.total() + counts.phases == 0 {
        return text;
    }
    let traced = workspace.base_atoms.as_ref().map_or(0, |base| base.len());
    let _ = writeln!(text, "\n## By hand\n\n{}\n", counts.sentence(traced));
    let found = breakdown(workspace);
    for (name, shares) in [
        ("phase", &found.phase),
        ("distance to the surface", &found.depth),
        ("distance to the core", &found.interface),
    ] {
        if shares.iter().all(|share| share.total() == 0) {
            continue;
        }
        let _ = writeln!(
            text,
            "| {name} | atoms | edited | % | what |\n|---|---|---|---|---|"
        );
        for share in shares.iter() {
            let what: Vec<String> = share
                .touched
                .iter()
                .map(|(what, n)| format!("{n} {what}"))
                .collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.2} | {} |",
                share.class,
                share.atoms,
                share.total(),
                share.percent(),
                what.join(", ")
            );
        }
        text.push('\n');
    }
    if !found.reasons.is_empty() {
        text += "| reason | edits |\n|---|---|\n";
        for (reason, n) in &found.reasons {
            let _ = writeln!(text, "| {reason} | {n} |");
        }
    }
    text
}

/// Dose and detector in words, as far as they are known.
#[must_use]
pub fn exposure_rows(found: &Exposure) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let mut say = |name, value: Option<String>| rows.extend(value.map(|value| (name, value)));
    say(
        "Dose per image (e/Å²)",
        found.dose.map(|d| format!("{d:.3e}")),
    );
    say(
        "Dose of the series (e/Å²)",
        found.total_dose.map(|d| format!("{d:.3e}")),
    );
    say(
        "Dose rate (e/Å²/s)",
        found.dose_rate.map(|d| format!("{d:.3e}")),
    );
    let detector = found.detector.zip(found.inner_over_convergence);
    say(
        "Detector (inner angle over convergence)",
        detector.map(|(name, ratio)| format!("{name} ({ratio:.2})")),
    );
    rows
}

/// What the preparation found of the tilt axis, and what was done by hand on the way.
fn preparation_rows(workspace: &Workspace) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let Some(record) = workspace.record(Stage::Prepare) else {
        return rows;
    };
    let axis = record.details.get("axis").cloned();
    if let Some(axis) = axis.and_then(|axis| serde_json::from_value::<TiltAxis>(axis).ok()) {
        let text = format!("{:+.2} ± {:.2}", axis.angle_deg, axis.error_deg);
        rows.push(("Tilt axis from y (°)", text));
    }
    let params = serde_json::from_value::<PrepareParams>(record.params.clone()).unwrap_or_default();
    let edits = &params.mask_edits;
    if !edits.is_empty() {
        let images: std::collections::BTreeSet<usize> = edits.iter().map(|e| e.tilt).collect();
        let text = format!("changes: {}, images: {}", edits.len(), images.len());
        rows.push(("Masks edited by hand", text));
    }
    if !params.nudges.is_empty() {
        let moved = params.nudges.iter().map(|nudge| {
            let [x, y] = nudge.shift_px;
            format!("{} by ({x:+.1}, {y:+.1})", nudge.tilt + 1)
        });
        let moved: Vec<String> = moved.collect();
        rows.push(("Images moved by hand (px)", moved.join(", ")));
    }
    if !params.frames.drop_frames.is_empty() {
        rows.push((
            "Frames left out",
            params.frames.drop_frames.len().to_string(),
        ));
    }
    rows
}

fn tilt_range_deg(workspace: &Workspace) -> Option<[f64; 2]> {
    let series = workspace.series.as_ref()?;
    let tilts = series.included_tilts();
    let degrees = tilts.iter().map(|&i| series.angles[i].theta.to_degrees());
    let (low, high) = degrees.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), theta| {
        (low.min(theta), high.max(theta))
    });
    (low <= high).then_some([low, high])
}

/// The report as a table a paper's supplement can take over (Markdown).
#[must_use]
pub fn markdown(workspace: &Workspace) -> String {
    let mut text = format!("# {}\n\n", workspace.project.name);
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    if let Some(series) = &workspace.series {
        row(
            "Number of projections",
            series.included_tilts().len().to_string(),
        );
        if let Some([low, high]) = tilt_range_deg(workspace) {
            row("Tilt range (°)", format!("{low:.1} to {high:.1}"));
        }
        let [x, y] = series.image_size();
        row("Image size (px)", format!("{x} × {y}"));
    }
    if let Some(pixel) = workspace.project.pixel_size {
        row("Pixel size (Å)", format!("{pixel:.4}"));
    }
    if let Some(nominal) = workspace
        .series
        .as_ref()
        .and_then(|series| series.nominal_pixel_size)
    {
        row("Nominal pixel size (Å)", format!("{nominal:.4}"));
    }
    if let Some(series) = &workspace.series {
        for (name, value) in exposure_rows(&exposure(series, &workspace.project.parameters.beam)) {
            row(name, value);
        }
    }
    if let Some(used) = &workspace.project.calibration {
        let (crystal, zone) = (&used.params.crystal, &used.params.zone);
        row(
            &format!("Calibrated on {crystal} [{zone}] (Å)"),
            format!(
                "{:.5} ± {:.5} ({} images, {} scan rotations)",
                used.pixel_size,
                used.standard_error,
                used.found.images.len(),
                used.found.rotations
            ),
        );
    }
    if let Some(drift) = workspace
        .record(Stage::Prepare)
        .and_then(|record| record.details.pointer("/drift/mean_px_per_frame")?.as_f64())
    {
        let in_pixels = format!("{drift:.2} px");
        let text = workspace
            .project
            .pixel_size
            .map_or(in_pixels.clone(), |pixel| {
                format!("{:.2} Å ({in_pixels})", drift * pixel)
            });
        row("Mean drift per frame", text);
    }
    for (name, value) in preparation_rows(workspace) {
        row(name, value);
    }
    let params = &workspace.project.parameters.reconstruct;
    if let Some(run) = &workspace.reconstructed {
        row("Algorithm", "RESIRE".to_owned());
        row(
            "Projector",
            format!("{:?}", params.projector).to_lowercase(),
        );
        row("Number of iterations", run.iterations.len().to_string());
        row("Step", params.step.to_string());
        row("R1", format!("{:.4}", run.r1));
        if let Some(r_free) = run.r_free {
            row("R_free", format!("{r_free:.4}"));
        }
        if let Some(width) = run.kernel_width {
            row("Kernel in the loop (Å)", format!("{width:.3}"));
        }
        if let Some(fsc) = &run.fsc {
            let nyquist = workspace.project.pixel_size.map_or(f64::NAN, |p| 2.0 * p);
            let limit = |at: Option<f64>| {
                at.map_or_else(|| format!("beyond {nyquist:.2}"), |r| format!("{r:.2}"))
            };
            row(
                "Resolution, FSC of half sets at 0.143 and 0.5 (Å)",
                format!(
                    "{}, {}",
                    limit(fsc.resolution_0143),
                    limit(fsc.resolution_05)
                ),
            );
        }
        row("Engine", run.engine.clone());
    }
    if let Some(traced) = &workspace.traced {
        let params = &workspace.project.parameters.trace;
        row(
            "Box of fit and integration (Å)",
            format!("{:.2}", params.box_size),
        );
        row(
            "Minimum distance (Å)",
            format!("{:.2}", params.min_distance),
        );
        row(
            "Blur width σ (Å)",
            format!("{:.3} ± {:.3}", traced.sigma_mean, traced.sigma_sd),
        );
        row("Candidates", traced.candidates.len().to_string());
    }
    if let Some(record) = workspace.record(Stage::Trace) {
        let notes = record.details.pointer("/refinement/notes");
        for note in notes.and_then(Value::as_array).into_iter().flatten() {
            row("Refinement", note.as_str().unwrap_or_default().to_owned());
        }
        if let Some(r1) = record.r1 {
            row("R1 of the atomic model", format!("{r1:.4}"));
        }
    }
    if let Some(atoms) = &workspace.atoms {
        for (species, n) in atoms.species_counts() {
            row(&format!("Number of {species} atoms"), n.to_string());
        }
        let traced = workspace.base_atoms.as_ref().map_or(0, |base| base.len());
        row("Edited", workspace.edits.counts().sentence(traced));
    }
    if let Some(analyzed) = &workspace.analyzed {
        row("Neighbour cutoff (Å)", format!("{:.2}", analyzed.cutoff));
        for (name, value) in widths(analyzed) {
            row(&name, value);
        }
    }
    text += "| quantity | value |\n|---|---|\n";
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    if let Some(line) = &workspace.comparison {
        let _ = writeln!(text, "\n{line}");
    }
    if let Some(cutoff) = cutoff(workspace) {
        let _ = writeln!(text, "\n## Minimum distance\n\n{}", cutoff.sentence());
    }
    text += &by_hand(workspace);
    text += "\nOxygen is not measured: where a degree of oxidation is given, O atoms were inferred from the tetrahedra of the metal.\n";
    text += "\n## What was run\n\n| stage | version | engine | seconds | input | output |\n|---|---|---|---|---|---|\n";
    for (stage, record) in &workspace.project.records {
        let short = |hash: &str| hash.chars().take(12).collect::<String>();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} | {} | {} |",
            stage.name(),
            record.version,
            record.engine,
            record.seconds,
            short(&record.input_hash),
            short(&record.output_hash),
        );
    }
    let _ = writeln!(
        text,
        "\nHashes are the first digits of SHA-256; `report.json` has them whole."
    );
    text
}
