//! Writes results; the ending of the name chooses the format.

use super::{Export, JobError, galleries};
use crate::analyze::Analyzed;
use crate::figures::render::{self, Page};
use crate::figures::sheet::{self, Sheet};
use crate::figures::tables;
use crate::figures::{Figure, palette, plots, scene};
use crate::io;
use crate::model::{Atoms, TiltSeries, Volume};
use crate::project::{Workspace, report};
use crate::trace::Traced;
use crate::trace::cutoff::Cutoff;
use crate::trace::doubts::Doubt;
use std::path::Path;

/// Writes `what` to `path`, over what is there (the dialog or `--force` asked).
///
/// # Errors
/// An ending that does not fit, or a file that cannot be written.
pub fn export(what: &Export, path: &Path) -> Result<(), JobError> {
    match what {
        Export::Volume(volume) => write_volume(volume, path, true),
        Export::Series(series) => write_series(series, path, true),
        Export::Atoms(atoms) => write_atoms(atoms, path, true),
        Export::Figure(figure, page) => write_figure(figure, page, path, true),
        Export::Sheet(sheet, page) => write_sheet(sheet, page, path, true),
        Export::Gallery {
            series,
            spectra,
            page,
        } => write_gallery(series, *spectra, page, path, true),
        Export::Table(table) => write_bytes(tables::csv(table).as_bytes(), path, true),
        Export::Analysis(analyzed, volume, page) => {
            let how = Style {
                page: *page,
                png: true,
                force: true,
            };
            write_analysis(analyzed, volume.as_deref(), how, path)
        }
        Export::Report(workspace) => write_report(workspace, path, true),
    }
}

/// Writes all images of a series on one sheet, or their spectra (.svg, .png).
///
/// # Errors
/// As [`export`].
pub fn write_gallery(
    series: &TiltSeries,
    spectra: bool,
    page: &Page,
    path: &Path,
    force: bool,
) -> Result<(), JobError> {
    let sheet = if spectra {
        galleries::spectra(series)
    } else {
        galleries::projections(series)
    };
    write_sheet(&sheet, &galleries::page(&sheet, page), path, force)
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
pub fn write_figure(
    figure: &Figure,
    page: &Page,
    path: &Path,
    force: bool,
) -> Result<(), JobError> {
    sound(page)?;
    let bytes = match ending(path).as_str() {
        "svg" => render::svg(figure, page).into_bytes(),
        "png" => render::png(figure, page),
        "csv" => render::csv(figure).into_bytes(),
        _ => return Err(wrong_ending(path, ".svg, .png or .csv")),
    };
    write_bytes(&bytes, path, force)
}

/// Writes a sheet of maps (.svg, .png).
///
/// # Errors
/// As [`export`].
pub fn write_sheet(sheet: &Sheet, page: &Page, path: &Path, force: bool) -> Result<(), JobError> {
    sound(page)?;
    let bytes = match ending(path).as_str() {
        "svg" => sheet::svg(sheet, page).into_bytes(),
        "png" => sheet::png(sheet, page),
        _ => return Err(wrong_ending(path, ".svg or .png")),
    };
    write_bytes(&bytes, path, force)
}

fn ending(path: &Path) -> String {
    let ending = path.extension().and_then(|e| e.to_str());
    ending.unwrap_or_default().to_lowercase()
}

fn wrong_ending(path: &Path, expected: &str) -> JobError {
    JobError::Failed(format!(
        "{}: expected a name that ends in {expected}",
        path.display()
    ))
}

fn sound(page: &Page) -> Result<(), JobError> {
    page.fault()
        .map_or(Ok(()), |why| Err(JobError::Failed(why)))
}

pub(super) fn write_bytes(bytes: &[u8], path: &Path, force: bool) -> Result<(), JobError> {
    io::write_atomically(path, force, |out| out.write_all(bytes)).map_err(JobError::failed)
}

fn make_folder(folder: &Path) -> Result<(), JobError> {
    std::fs::create_dir_all(folder)
        .map_err(|error| JobError::Failed(format!("{}: {error}", folder.display())))
}

/// How the files of a folder are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    /// Size and resolution of the figures.
    pub page: Page,
    /// PNG beside SVG and CSV.
    pub png: bool,
    /// Over what is there.
    pub force: bool,
}

impl Style {
    fn figures(&self, figures: &[Figure], folder: &Path) -> Result<(), JobError> {
        for figure in figures {
            for ending in ["svg", "csv", "png"] {
                if ending != "png" || self.png {
                    let path = folder.join(format!("{}.{ending}", figure.id));
                    write_figure(figure, &self.page, &path, self.force)?;
                }
            }
        }
        Ok(())
    }

    fn json(&self, value: &serde_json::Value, path: &Path) -> Result<(), JobError> {
        let text = serde_json::to_string_pretty(value).map_err(JobError::failed)?;
        write_bytes(text.as_bytes(), path, self.force)
    }
}

/// Writes `analysis.json`, `atoms.xyz`, `oxygen-inferred.xyz`, `voids.ply`, every table as CSV, every figure as SVG and CSV, and the maps;
/// with the volume the density of every layer beside its atoms.
///
/// # Errors
/// As [`export`].
pub fn write_analysis(
    analyzed: &Analyzed,
    volume: Option<&Volume>,
    how: Style,
    folder: &Path,
) -> Result<(), JobError> {
    let force = how.force;
    sound(&how.page)?;
    make_folder(folder)?;
    let summary = super::measure::summary_with(analyzed, volume);
    how.json(&summary, &folder.join("analysis.json"))?;
    write_atoms(&analyzed.atoms, &folder.join("atoms.xyz"), force)?;
    write_atoms(&analyzed.atoms, &folder.join("atoms.csv"), force)?;
    if !analyzed.oxygen.is_empty() {
        let oxygen = Atoms::from_positions(analyzed.oxygen.clone(), "O");
        write_atoms(&oxygen, &folder.join("oxygen-inferred.xyz"), force)?;
    }
    if !analyzed.void_surfaces.is_empty() {
        let text = void_mesh(analyzed);
        write_bytes(text.as_bytes(), &folder.join("voids.ply"), force)?;
    }
    for table in tables::analysis_tables(analyzed) {
        let path = folder.join(format!("table_{}.csv", table.id));
        write_bytes(tables::csv(&table).as_bytes(), &path, force)?;
    }
    let figures = plots::analysis_figures(analyzed, &analyzed.params);
    how.figures(&figures, folder)?;
    let scenes = [
        ("model_3d", Some(super::maps::model_scene(&analyzed.atoms))),
        ("voids_3d", super::maps::void_scene(analyzed)),
    ];
    for (name, scene) in scenes {
        let pixels = how.page.pixels().1 as usize;
        let dpi = how.page.dpi;
        let picture = scene.and_then(|scene| scene::png(&scene, pixels, dpi));
        if let Some(picture) = picture {
            write_bytes(&picture, &folder.join(format!("{name}.png")), force)?;
        }
    }
    for (name, sheet) in super::maps::sheets(analyzed, volume) {
        for ending in ["svg", "png"] {
            if ending != "png" || how.png {
                write_sheet(
                    &sheet,
                    &how.page,
                    &folder.join(format!("{name}.{ending}")),
                    force,
                )?;
            }
        }
    }
    Ok(())
}

/// The surfaces of vacancies and pores as PLY, coloured by class.
fn void_mesh(analyzed: &Analyzed) -> String {
    let parts: Vec<_> = analyzed
        .void_surfaces
        .iter()
        .map(|one| (&one.surface, palette::of_void(one.class)))
        .collect();
    let counted = palette::counted_voids(&analyzed.void_surfaces)
        .map(|(_, said, [r, g, b])| format!("{said}, color {r} {g} {b}"));
    let mut comments: Vec<String> = counted.collect();
    comments.push(format!(
        "coordinates in angstrom; circumradius above {} angstrom; smoothed (Laplacian), volumes kept",
        analyzed.params.void_radius
    ));
    io::mesh::ply(&parts, &comments)
}

/// Writes the comparison of several models: `compare.json`, `compare.csv` and the plots that they share, overlaid.
///
/// # Errors
/// As [`export`].
pub fn write_comparison(
    models: &[(String, &Analyzed)],
    how: Style,
    folder: &Path,
) -> Result<(), JobError> {
    sound(&how.page)?;
    make_folder(folder)?;
    let found = crate::analyze::compare::compare(models);
    how.json(&found.json(), &folder.join("compare.json"))?;
    write_bytes(
        found.csv().as_bytes(),
        &folder.join("compare.csv"),
        how.force,
    )?;
    let figures: Vec<(String, Vec<Figure>)> = models
        .iter()
        .map(|(name, one)| (name.clone(), plots::analysis_figures(one, &one.params)))
        .collect();
    how.figures(&crate::figures::overlay::overlays(&figures), folder)
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
    let page = Page::default();
    for figure in plots::workspace_figures(workspace) {
        // Profiles are many; they lie with the analysis.
        if !figure.id.starts_with(crate::figures::structure::PROFILE) {
            write_figure(
                &figure,
                &page,
                &figures.join(format!("{}.svg", figure.id)),
                force,
            )?;
            write_figure(
                &figure,
                &page,
                &figures.join(format!("{}.png", figure.id)),
                force,
            )?;
        }
    }
    if let Some(analyzed) = &workspace.analyzed {
        let how = Style {
            page,
            png: false,
            force,
        };
        let volume = workspace.volume.as_deref();
        write_analysis(analyzed, volume, how, &folder.join("analysis"))?;
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
