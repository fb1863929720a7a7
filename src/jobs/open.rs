//! Opening files of any kind: what is a project, what a tilt series with its angles, what a volume, what a model.

use super::input::{Beam, SeriesInput, TiltAxis, load_series_with_gaps};
use super::{JobError, JobOutput, OpenHints, OpenQuestion};
use crate::io;
use crate::model::TiltSeries;
use crate::monitor::Monitor;
use crate::preprocess::inspect::{detector_label, dose_per_image};
use crate::project::session::{Lost, Session};
use crate::project::{Sources, Workspace, store};
use crate::reconstruct::NanPixels;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads what was dropped or chosen.
///
/// # Errors
/// One clear line naming the file, what was expected and what was found.
pub fn open(
    paths: &[PathBuf],
    hints: &OpenHints,
    monitor: &Monitor,
) -> Result<JobOutput, JobError> {
    monitor.phase("Open");
    let pairing = io::pair_files(paths);
    if let Some(project) = &pairing.project {
        return open_project(project, monitor);
    }
    let mut notes = Vec::new();
    let mut read = Workspace::default();
    read.project.name = name_of(&pairing);
    if let Some(projections) = &pairing.projections {
        if let Some(question) = which_array(projections, hints)? {
            return Ok(JobOutput::Question(question));
        }
        let input = series_input(projections, pairing.angles.clone(), hints);
        let (series, said) = load_series_with_gaps(&input)?;
        let gaps = gaps_of(projections, &series);
        if let Some(gaps) = gaps.filter(|_| !hints.mask_gaps) {
            return Ok(JobOutput::Question(gaps));
        }
        if hints.mask_gaps {
            read.project.parameters.reconstruct.nan_pixels = NanPixels::Mask;
        }
        notes.extend(said);
        read.project.sources = input.sources();
        read.project.pixel_size = series.pixel_size;
        read.series = Some(Arc::new(series));
    }
    if let Some(volume) = &pairing.volume {
        let spec = spec_of(volume, hints);
        let loaded = io::load_volume(&spec, hints.pixel_size).map_err(JobError::failed)?;
        let [x, y, z] = loaded.size();
        notes.push(format!("{spec}: volume of {x} × {y} × {z} voxels"));
        read.volume = Some(Arc::new(loaded));
        read.project.sources.volume = Some(spec);
    }
    if let Some(model) = &pairing.model {
        let spec = model.display().to_string();
        let atoms = io::load_atoms(&spec, hints.unit.unwrap_or(1.0)).map_err(JobError::failed)?;
        if hints.unit.is_none()
            && let Some(nearest) = io::looks_like_voxels(&atoms)
        {
            return Ok(JobOutput::Question(OpenQuestion::WhichUnit {
                path: model.clone(),
                nearest,
            }));
        }
        if read.series.is_some() && is_called_truth(model) {
            notes.push(format!(
                "{spec}: {} atoms, kept as the known truth to compare with",
                atoms.len()
            ));
            read.truth = Some(Arc::new(atoms));
        } else {
            notes.push(format!("{spec}: {} atoms", atoms.len()));
            read.atoms = Some(Arc::new(atoms));
            read.project.sources.model = Some(spec);
        }
    }
    if read.series.is_none() && read.volume.is_none() && read.atoms.is_none() {
        return Err(JobError::Failed(pairing.describe()));
    }
    Ok(JobOutput::Merged {
        workspace: Box::new(read),
        notes,
    })
}

/// A project is called as the first file of what it begins with.
fn name_of(pairing: &io::Pairing) -> String {
    let model = pairing
        .model
        .as_ref()
        .map(|path| path.display().to_string());
    let sources = [&pairing.projections, &pairing.volume, &model];
    let first = sources.into_iter().flatten().next();
    let stem = first.and_then(|spec| {
        let (path, _) = io::split_spec(spec);
        Some(path.file_stem()?.to_string_lossy().into_owned())
    });
    stem.unwrap_or_default()
}

/// Whether a model beside a tilt series says by its name that it is what the series was simulated from.
fn is_called_truth(model: &Path) -> bool {
    let stem = model
        .file_stem()
        .map(|stem| stem.to_string_lossy().to_lowercase());
    stem.is_some_and(|stem| stem.contains("truth") || stem.ends_with("_gt"))
}

/// What the user chose wins over what was found.
fn spec_of(spec: &str, hints: &OpenHints) -> String {
    match &hints.variable {
        Some(variable) => format!("{}:{variable}", io::split_spec(spec).0.display()),
        None => spec.to_owned(),
    }
}

fn series_input(projections: &str, angles: Option<String>, hints: &OpenHints) -> SeriesInput {
    SeriesInput {
        projections: Some(spec_of(projections, hints)),
        angles,
        pixel_size: hints.pixel_size,
        axes: hints.axes.clone(),
        tilt_axis: if hints.tilt_axis_x {
            TiltAxis::X
        } else {
            TiltAxis::Y
        },
        mirror: hints.mirror,
        frames_per_tilt: None,
    }
}

/// A file with several arrays that could be the stack is a question for the user.
fn which_array(spec: &str, hints: &OpenHints) -> Result<Option<OpenQuestion>, JobError> {
    let (path, variable) = io::split_spec(spec);
    if hints.variable.is_some() || variable.is_some() || path.is_dir() {
        return Ok(None);
    }
    let arrays = io::list(&path).map_err(JobError::failed)?;
    let stacks: Vec<_> = arrays
        .iter()
        .filter(|array| array.shape.len() >= 3)
        .collect();
    Ok((stacks.len() > 1).then(|| OpenQuestion::WhichArray {
        path: path.clone(),
        candidates: stacks
            .iter()
            .map(|array| (array.name.clone(), array.describe()))
            .collect(),
    }))
}

/// Pixels that are no numbers are a question for the user.
fn gaps_of(spec: &str, series: &TiltSeries) -> Option<OpenQuestion> {
    let gaps = |tilt: &usize| {
        series
            .image(*tilt)
            .iter()
            .filter(|v| !v.is_finite())
            .count()
    };
    let with: Vec<usize> = (0..series.len()).filter(|tilt| gaps(tilt) > 0).collect();
    let tilt = *with.first()?;
    let image = series.image(tilt);
    let ((x, y), _) = image.indexed_iter().find(|(_, v)| !v.is_finite())?;
    Some(OpenQuestion::Gaps {
        path: io::split_spec(spec).0,
        pixels: with.iter().map(gaps).sum(),
        images: with.len(),
        of: series.len(),
        first: [tilt + 1, x, y],
    })
}

fn open_project(path: &Path, monitor: &Monitor) -> Result<JobOutput, JobError> {
    let (mut workspace, mut notes) = store::open(path).map_err(JobError::failed)?;
    repeat_analysis(&mut workspace, monitor, &mut notes);
    notes.insert(0, format!("opened {}", path.display()));
    Ok(JobOutput::Opened {
        workspace: Box::new(workspace),
        notes,
    })
}

/// Brings back the document of a session that ended uncleanly.
///
/// # Errors
/// When its files cannot be read.
pub fn recover(lost: &Lost, monitor: &Monitor) -> Result<JobOutput, JobError> {
    monitor.phase("Recover");
    let (mut workspace, mut notes) = Session::recover(lost).map_err(JobError::failed)?;
    repeat_analysis(&mut workspace, monitor, &mut notes);
    notes.insert(
        0,
        format!("recovered {} with {} edits", lost.name, lost.edits),
    );
    Ok(JobOutput::Opened {
        workspace: Box::new(workspace),
        notes,
    })
}

/// The analysis is not stored: it is repeated from the atoms and parameters that are.
fn repeat_analysis(workspace: &mut Workspace, monitor: &Monitor, notes: &mut Vec<String>) {
    use crate::project::Stage;
    let Some(atoms) = &workspace.atoms else {
        return;
    };
    if workspace.record(Stage::Analyze).is_none() {
        return;
    }
    match crate::analyze::analyze(atoms, &workspace.project.parameters.analyze, monitor) {
        Ok(analyzed) => workspace.analyzed = Some(Arc::new(analyzed)),
        Err(error) => notes.push(format!("the analysis could not be repeated: {error}")),
    }
}

/// What is in a file, as JSON and as lines.
///
/// # Errors
/// When it cannot be read.
pub fn describe(file: &str, beam: &Beam) -> Result<(Value, Vec<String>), JobError> {
    let path = Path::new(file);
    if path.extension().is_some_and(|e| e == "aetlas") {
        let (mut workspace, mut notes) = store::open(path).map_err(JobError::failed)?;
        repeat_analysis(&mut workspace, &Monitor::silent(), &mut notes);
        let text = crate::project::report::markdown(&workspace);
        return Ok((
            crate::project::report::json(&workspace),
            notes.into_iter().chain([text]).collect(),
        ));
    }
    let arrays = match io::list(path) {
        Ok(arrays) => arrays,
        // Not arrays: a model or a table of angles, unless that cannot be read either.
        Err(error) => match describe_model(file) {
            Some(model) => return Ok(model),
            None if io::load_angles(file).is_ok() => Vec::new(),
            None => return Err(JobError::failed(error)),
        },
    };
    let mut lines = Vec::new();
    for array in &arrays {
        lines.push(array.describe());
        lines.extend(
            array
                .acquisition
                .describe()
                .iter()
                .map(|said| format!("  {said}")),
        );
    }
    let own = arrays.iter().find_map(|array| array.acquisition.pixel_size);
    let pixel_size = own.or_else(|| {
        let stated = io::stated_pixel_size(path);
        lines.extend(stated.map(|pixel| format!("pixel size {pixel:.4} Å")));
        stated
    });
    let angles = io::load_angles(file).ok().map(|table| table.angles);
    if let Some(angles) = &angles {
        let tilts = angles.iter().map(|angle| angle.theta.to_degrees());
        let low = tilts.clone().fold(f64::INFINITY, f64::min);
        let high = tilts.fold(f64::NEG_INFINITY, f64::max);
        lines.push(format!("{} angles, {low:.1}° to {high:.1}°", angles.len()));
    }
    let dwell = arrays.iter().find_map(|array| array.acquisition.dwell_us);
    let count = angles.as_ref().map(Vec::len);
    let dose = dose(beam, dwell, pixel_size, count, &mut lines)?;
    let detector = beam
        .inner_mrad
        .zip(beam.convergence_mrad)
        .map(|(inner, convergence)| detector_label(inner, convergence));
    lines.extend(detector.map(|name| format!("detector {name}")));
    let json = serde_json::json!({
        "file": file,
        "dose_e_per_A2": dose.map(|(image, _)| image),
        "total_dose_e_per_A2": dose.and_then(|(_, total)| total),
        "detector": detector,
        "arrays": arrays.iter().map(|array| serde_json::json!({
            "name": array.name, "shape": array.shape, "type": array.dtype,
            "pixel_size_A": array.acquisition.pixel_size, "axes": array.acquisition.axes,
            "tilts_deg": array.acquisition.tilts_deg, "dwell_us": array.acquisition.dwell_us,
            "flyback_us": array.acquisition.flyback_us,
            "scan_rotation_deg": array.acquisition.scan_rotation_deg,
        })).collect::<Vec<_>>(),
        "pixel_size_A": pixel_size,
        "angles_deg": angles.map(|angles| {
            angles.iter().map(|angle| angle.to_deg()).collect::<Vec<_>>()
        }),
    });
    Ok((json, lines))
}

/// What a model holds; `None` when the file is none.
fn describe_model(file: &str) -> Option<(Value, Vec<String>)> {
    let atoms = io::load_atoms(file, 1.0).ok()?;
    let mut species = std::collections::BTreeMap::<&str, usize>::new();
    for index in 0..atoms.len() {
        *species.entry(atoms.species_name(index)).or_default() += 1;
    }
    let along = |axis: usize| atoms.positions.iter().map(move |p| p[axis]);
    let extent: [f64; 3] = std::array::from_fn(|axis| {
        let low = along(axis).fold(f64::INFINITY, f64::min);
        (along(axis).fold(f64::NEG_INFINITY, f64::max) - low).max(0.0)
    });
    let strange = io::looks_like_voxels(&atoms);
    let counts: Vec<String> = species
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    let columns: Vec<&String> = atoms.columns.keys().collect();
    let [x, y, z] = extent;
    let mut lines = vec![
        format!("{} atoms: {}", atoms.len(), counts.join(", ")),
        format!("{x:.1} × {y:.1} × {z:.1}, in the file's unit"),
    ];
    if !columns.is_empty() {
        let names: Vec<&str> = columns.iter().map(|name| name.as_str()).collect();
        lines.push(format!("columns: {}", names.join(", ")));
    }
    lines.extend(strange.map(|nearest| {
        format!("not in Å: the median nearest distance is {nearest:.2}; give the unit with --unit")
    }));
    let json = serde_json::json!({
        "file": file, "atoms": atoms.len(), "species": species, "extent": extent, "columns": columns,
        "looks_like_angstrom": strange.is_none(),
    });
    Some((json, lines))
}

/// Electrons per Å² of an image and of the whole series, when the current is known.
fn dose(
    beam: &Beam,
    dwell_us: Option<f64>,
    pixel_size: Option<f64>,
    tilts: Option<usize>,
    lines: &mut Vec<String>,
) -> Result<Option<(f64, Option<f64>)>, JobError> {
    let Some(current) = beam.current_pa else {
        return Ok(None);
    };
    let need = |value: Option<f64>, name: &str| {
        value.filter(|v| v.is_finite() && *v > 0.0).ok_or_else(|| {
            JobError::Failed(format!(
                "the dose needs the {name}, above 0; the file does not say it"
            ))
        })
    };
    let current = need(Some(current), "beam current (--current-pa)")?;
    let dwell = need(beam.dwell_us.or(dwell_us), "dwell time (--dwell-us)")?;
    let pixel = need(beam.pixel_size.or(pixel_size), "pixel size (--pixel-size)")?;
    let image = dose_per_image(current, dwell, pixel, beam.frames.unwrap_or(1));
    let total = beam.tilts.or(tilts).map(|n| image * n as f64);
    lines.push(format!("dose {image:.3e} e/Å² per image"));
    lines.extend(total.map(|total| format!("dose {total:.3e} e/Å² of the series")));
    Ok(Some((image, total)))
}

impl SeriesInput {
    /// The sources of a project that begins with these files.
    #[must_use]
    pub fn sources(&self) -> Sources {
        Sources {
            projections: self.projections.clone(),
            angles: self.angles.clone(),
            ..Sources::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_angles_is_described_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("series.rawtlt");
        std::fs::write(&file, "-60.0\n-1.5\n\n58.5\n").unwrap();
        let name = file.display().to_string();
        let (json, lines) = describe(&name, &Beam::default()).unwrap();
        assert_eq!(lines, ["3 angles, -60.0° to 58.5°"]);
        assert_eq!(json["angles_deg"].as_array().unwrap().len(), 3);
        std::fs::write(&file, "tilts to come\n").unwrap();
        let error = describe(&name, &Beam::default()).unwrap_err();
        assert!(error.to_string().contains("series.rawtlt"), "{error}");
    }
}
