//! Writes results; the ending of the name chooses the format.

use super::{Export, JobError};
use crate::analyze::{AnalyzeParams, Analyzed};
use crate::figures::{Figure, plots, render};
use crate::io;
use crate::model::{Atoms, TiltSeries, Volume};
use crate::project::{Workspace, report};
use crate::trace::Traced;
use crate::trace::cutoff::Cutoff;
use crate::trace::doubts::Doubt;
use std::path::Path;

/// Pixels of an exported figure at 100 %; PNG is drawn at three times this (300 dpi at 16 × 12 cm).
const FIGURE_SIZE: (u32, u32) = (640, 480);
const PNG_SCALE: u32 = 3;

/// Writes `what` to `path`, over what is there (the dialog or `--force` asked).
///
/// # Errors
/// An ending that does not fit, or a file that cannot be written.
pub fn export(what: &Export, path: &Path) -> Result<(), JobError> {
    match what {
        Export::Volume(volume) => write_volume(volume, path, true),
        Export::Series(series) => write_series(series, path, true),
        Export::Atoms(atoms) => write_atoms(atoms, path, true),
        Export::Figure(figure) => write_figure(figure, path, true),
        Export::Analysis(analyzed) => write_analysis(analyzed, &analyzed.params, path, true),
        Export::Report(workspace) => write_report(workspace, path, true),
    }
}

/// Writes a volume (.mrc, .npy).
///
/// # Errors
/// As [`export`].
pub fn write_volume(volume: &Volume, path: &Path, force: bool) -> Result<(), JobError> {
    io::save_volume(path, volume, force).map_err(JobError::failed)
}

/// Writes a tilt series (.mrc, .npy) and its angles beside it.
///
/// # Errors
/// As [`export`].
pub fn write_series(series: &TiltSeries, path: &Path, force: bool) -> Result<(), JobError> {
    io::save_stack(path, &series.images, series.pixel_size, force).map_err(JobError::failed)?;
    io::write_angles(
        &path.with_extension(angles_ending(series)),
        &series.angles,
        force,
    )
    .map_err(JobError::failed)
}

/// One column of θ is a `.rawtlt`; three Euler angles need a table.
fn angles_ending(series: &TiltSeries) -> &'static str {
    if series.is_single_axis() {
        "rawtlt"
    } else {
        "txt"
    }
}

/// Writes atoms (.xyz, .csv).
///
/// # Errors
/// As [`export`].
pub fn write_atoms(atoms: &Atoms, path: &Path, force: bool) -> Result<(), JobError> {
    io::save_atoms(path, atoms, force).map_err(JobError::failed)
}

/// Writes a figure (.svg, .png, .csv).
///
/// # Errors
/// As [`export`].
pub fn write_figure(figure: &Figure, path: &Path, force: bool) -> Result<(), JobError> {
    let (width, height) = FIGURE_SIZE;
    let ending = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default()
        .to_lowercase();
    let bytes = match ending.as_str() {
        "svg" => render::svg(figure, width, height).into_bytes(),
        "png" => render::png(figure, width, height, PNG_SCALE),
        "csv" => render::csv(figure).into_bytes(),
        _ => {
            return Err(JobError::Failed(format!(
                "{}: expected a name that ends in .svg, .png or .csv",
                path.display()
            )));
        }
    };
    write_bytes(&bytes, path, force)
}

pub(super) fn write_bytes(bytes: &[u8], path: &Path, force: bool) -> Result<(), JobError> {
    io::write_atomically(path, force, |out| out.write_all(bytes)).map_err(JobError::failed)
}

fn make_folder(folder: &Path) -> Result<(), JobError> {
    std::fs::create_dir_all(folder)
        .map_err(|error| JobError::Failed(format!("{}: {error}", folder.display())))
}

/// Writes `analysis.json`, `atoms.xyz`, `oxygen.xyz` and every figure as SVG and CSV.
///
/// # Errors
/// As [`export`].
pub fn write_analysis(
    analyzed: &Analyzed,
    params: &AnalyzeParams,
    folder: &Path,
    force: bool,
) -> Result<(), JobError> {
    make_folder(folder)?;
    let text = serde_json::to_string_pretty(&analyzed.summary).map_err(JobError::failed)?;
    write_bytes(text.as_bytes(), &folder.join("analysis.json"), force)?;
    write_atoms(&analyzed.atoms, &folder.join("atoms.xyz"), force)?;
    write_atoms(&analyzed.atoms, &folder.join("atoms.csv"), force)?;
    if !analyzed.oxygen.is_empty() {
        let oxygen = Atoms::from_positions(analyzed.oxygen.clone(), "O");
        write_atoms(&oxygen, &folder.join("oxygen-inferred.xyz"), force)?;
    }
    for figure in plots::analysis_figures(analyzed, params) {
        write_figure(&figure, &folder.join(format!("{}.svg", figure.id)), force)?;
        write_figure(&figure, &folder.join(format!("{}.csv", figure.id)), force)?;
    }
    Ok(())
}

/// Writes the methods table, the figures, and the data package of a whole project.
///
/// # Errors
/// As [`export`].
pub fn write_report(workspace: &Workspace, folder: &Path, force: bool) -> Result<(), JobError> {
    make_folder(folder)?;
    write_bytes(
        report::markdown(workspace).as_bytes(),
        &folder.join("report.md"),
        force,
    )?;
    let json = serde_json::to_string_pretty(&report::json(workspace)).map_err(JobError::failed)?;
    write_bytes(json.as_bytes(), &folder.join("report.json"), force)?;
    if let Some(volume) = &workspace.volume {
        write_volume(volume, &folder.join("volume.mrc"), force)?;
    }
    if let Some(atoms) = &workspace.atoms {
        write_atoms(atoms, &folder.join("model.xyz"), force)?;
    }
    if let Some(series) = workspace.best_series() {
        write_series(series, &folder.join("series.mrc"), force)?;
    }
    let figures = folder.join("figures");
    make_folder(&figures)?;
    for figure in plots::workspace_figures(workspace) {
        write_figure(&figure, &figures.join(format!("{}.svg", figure.id)), force)?;
        write_figure(&figure, &figures.join(format!("{}.png", figure.id)), force)?;
    }
    if let Some(analyzed) = &workspace.analyzed {
        write_analysis(analyzed, &analyzed.params, &folder.join("analysis"), force)?;
    }
    Ok(())
}

/// Writes every candidate of a trace with its verdict (.csv).
///
/// # Errors
/// As [`export`].
pub fn write_candidates(traced: &Traced, path: &Path, force: bool) -> Result<(), JobError> {
    let mut text = "x_A,y_A,z_A,density,intensity,sigma_A,misfit,verdict\n".to_owned();
    for one in &traced.candidates {
        let verdict = serde_json::to_value(one.verdict).map_err(JobError::failed)?;
        let [x, y, z] = one.position;
        text += &format!(
            "{x},{y},{z},{},{},{},{},{}\n",
            one.density,
            one.intensity,
            one.sigma,
            one.misfit,
            verdict.as_str().unwrap_or_default()
        );
    }
    write_bytes(text.as_bytes(), path, force)
}

/// Writes why two atoms may not be nearer than they may: the sentences, and how many atoms other distances would leave.
///
/// # Errors
/// As [`export`].
pub fn write_cutoff(cutoff: &Cutoff, path: &Path, force: bool) -> Result<(), JobError> {
    let mut text = format!(
        "{}\n\n| minimum distance (Å) | atoms |\n|---|---|\n",
        cutoff.sentence()
    );
    for (distance, atoms) in &cutoff.counts {
        text += &format!("| {distance:.2} | {atoms} |\n");
    }
    write_bytes(text.as_bytes(), path, force)
}

/// Writes the ranked list of doubtful places (.csv), the most probable error first.
///
/// # Errors
/// As [`export`].
pub fn write_doubts(doubts: &[Doubt], path: &Path, force: bool) -> Result<(), JobError> {
    let mut text = "rank,kind,x_A,y_A,z_A,log_odds,probability,z,even_z,odd_z,supporting_tilts,tilts,occupancy,\
                    occupancy_sd,nearest_atom,nearest_distance_A,atoms,also,reason\n"
        .to_owned();
    for (rank, doubt) in doubts.iter().enumerate() {
        let [x, y, z] = doubt.position;
        let images = doubt.images.map_or(",,,,,,".to_owned(), |i| {
            format!(
                "{},{},{},{},{},{},{}",
                i.z, i.even_z, i.odd_z, i.supporting_tilts, i.tilts, i.occupancy, i.occupancy_sd
            )
        });
        let nearest = doubt.nearest.map_or(",".to_owned(), |(id, distance)| {
            format!("{},{distance}", id.0)
        });
        let ids: Vec<String> = doubt.atoms.iter().map(|id| id.0.to_string()).collect();
        let also: Vec<&str> = doubt.also.iter().map(|kind| kind.key()).collect();
        text += &format!(
            "{},{},{x},{y},{z},{},{},{images},{nearest},{},{},\"{}\"\n",
            rank + 1,
            doubt.kind.key(),
            doubt.log_odds,
            doubt.probability(),
            ids.join(" "),
            also.join(" "),
            doubt.reason.replace('"', "'")
        );
    }
    write_bytes(text.as_bytes(), path, force)
}
