//! Volumes and models, in and out, by the ending of their file.

use super::acquisition::Acquisition;
use super::array::{RawArray, shape_text};
use super::arrays::{Contents, Format, loaded, read_bytes, split_spec};
use super::error::{Fault, IoError, label};
use super::{matlab, mrc, numpy, structures};
use crate::model::{Atoms, Volume};
use ndarray::{Array3, Ix3};
use serde::Serialize;
use std::path::Path;

fn ending(path: &Path) -> String {
    path.extension()
        .map(|e| e.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default()
}

/// Reads a volume, indexed `(x, y, z)`. `pixel_size` (Å) overrides the file's; one of the two must be there.
///
/// # Errors
/// As [`super::read_array`]; not three axes; NaN or infinite voxels; no pixel size.
pub fn load_volume(spec: &str, pixel_size: Option<f64>) -> Result<Volume, IoError> {
    let (path, name) = split_spec(spec);
    let contents = Contents::read(&path)?;
    let raw = contents.pick(&path, name.as_deref(), "array with three axes", |raw| {
        raw.shape.len() == 3
    })?;
    let array = loaded(&path, &contents, raw)?;
    let found = shape_text(array.data.shape());
    let data = array.data.into_dimensionality::<Ix3>().map_err(|_| {
        IoError::data(
            &path,
            format!("a volume has three axes (x, y, z), {found} was found"),
        )
    })?;
    if data.is_empty() {
        return Err(IoError::data(
            &path,
            format!("the volume is empty ({found})"),
        ));
    }
    if let Some(((x, y, z), value)) = data.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(IoError::data(
            &path,
            format!("voxel ({x}, {y}, {z}) is {value}, finite numbers were expected"),
        ));
    }
    let data = data.permuted_axes(volume_axes(array.format, &array.acquisition));
    match pixel_size.or(array.pixel_size) {
        Some(size) if size > 0.0 && size.is_finite() => Ok(Volume::new(data, size)),
        Some(size) => Err(IoError::data(
            &path,
            format!("a pixel size above 0 Å was expected, {size} was given"),
        )),
        None => Err(IoError::data(
            &path,
            "the file does not say its pixel size (Å); give it with --pixel-size",
        )),
    }
}

/// Which stored axes are x, y, z: as the file names them, else by its format.
fn volume_axes(format: Format, acquisition: &Acquisition) -> [usize; 3] {
    let named = acquisition.axes.as_deref().and_then(|axes| {
        let at = |letter: char| axes.find(letter).filter(|at| *at < 3);
        let third = ['z', 't', 'f'].into_iter().find_map(at);
        Some([at('x')?, at('y')?, third?])
    });
    named.unwrap_or(match format {
        Format::Mrc | Format::Tiff | Format::DigitalMicrograph | Format::Tia => [2, 1, 0],
        Format::Matlab | Format::Numpy | Format::Hdf5 => [0, 1, 2],
    })
}

/// Writes a volume as `.mrc` (with its pixel size), `.npy` or `.mat`, by the ending.
///
/// # Errors
/// Unknown ending, an existing file without `force`, or what the system says.
pub fn save_volume(path: &Path, volume: &Volume, force: bool) -> Result<(), IoError> {
    match ending(path).as_str() {
        "mrc" | "rec" | "map" => mrc::write(
            path,
            volume.data.view().permuted_axes([2, 1, 0]),
            Some(volume.pixel_size),
            true,
            force,
        ),
        "npy" => numpy::write(path, volume.data.view().into_dyn(), force),
        "mat" => {
            #[allow(clippy::cast_possible_truncation)]
            let size = ndarray::arr2(&[[volume.pixel_size as f32]]);
            let variables = [
                ("volume", volume.data.view().into_dyn()),
                ("pixel_size_A", size.view().into_dyn()),
            ];
            matlab::write(path, &variables, force)
        }
        _ => Err(unknown(path, ".mrc, .npy or .mat")),
    }
}

/// Writes images `(tilt, x, y)` as `.mrc`/`.st` (sections = tilts), `.npy` or `.mat` (both `(x, y, tilt)`), by the ending.
///
/// # Errors
/// Unknown ending, an existing file without `force`, or what the system says.
pub fn save_stack(
    path: &Path,
    images: &Array3<f32>,
    pixel_size: Option<f64>,
    force: bool,
) -> Result<(), IoError> {
    let as_stored = images.view().permuted_axes([1, 2, 0]).into_dyn();
    match ending(path).as_str() {
        "mrc" | "st" | "ali" => mrc::write(
            path,
            images.view().permuted_axes([0, 2, 1]),
            pixel_size,
            false,
            force,
        ),
        "npy" => numpy::write(path, as_stored, force),
        "mat" => {
            #[allow(clippy::cast_possible_truncation)]
            let size = pixel_size.map(|size| ndarray::arr2(&[[size as f32]]));
            let mut variables = vec![("projections", as_stored)];
            variables.extend(
                size.as_ref()
                    .map(|size| ("pixel_size_A", size.view().into_dyn())),
            );
            matlab::write(path, &variables, force)
        }
        _ => Err(unknown(path, ".mrc, .npy or .mat")),
    }
}

fn unknown(path: &Path, endings: &str) -> IoError {
    IoError::Unsupported {
        file: label(path),
        detail: format!("the ending chooses the format: {endings}"),
    }
}

/// Reads atoms from `.xyz`, `.csv`, text, `.mat` or `.npy`, their coordinates times `scale` (1 for Å).
///
/// # Errors
/// Damage, no atoms, or no array of coordinates.
pub fn load_atoms(spec: &str, scale: f64) -> Result<Atoms, IoError> {
    let (path, name) = split_spec(spec);
    if !(scale.is_finite() && scale > 0.0) {
        return Err(IoError::data(
            &path,
            format!("a scale above 0 Å was expected, {scale} was given"),
        ));
    }
    match ending(&path).as_str() {
        "mat" | "npy" | "npz" => return atoms_from_arrays(&path, name.as_deref(), scale),
        _ => {}
    }
    let bytes = read_bytes(&path)?;
    let atoms = match ending(&path).as_str() {
        "csv" => structures::parse_csv(&bytes, scale),
        "xyz" | "extxyz" => structures::parse_xyz(&bytes, scale),
        // Text truths may be XYZ in disguise; the count in the first line tells.
        "txt" | "dat" => {
            structures::parse_xyz(&bytes, scale).or_else(|_| structures::parse_plain(&bytes, scale))
        }
        _ => {
            return Err(unknown(
                &path,
                "atoms are read from .xyz, .extxyz, .csv, .txt, .mat and .npy",
            ));
        }
    };
    atoms.map_err(|fault| fault.at(&path))
}

/// Coordinates 3 × N or N × 3, with the types in another variable of N numbers when one is named so.
fn atoms_from_arrays(path: &Path, name: Option<&str>, scale: f64) -> Result<Atoms, IoError> {
    const POSITION_NAMES: [&str; 6] = [
        "pos",
        "model",
        "atoms_a",
        "curr_model",
        "temp_model",
        "coord",
    ];
    let contents = Contents::read(path)?;
    let fits = |raw: &RawArray| {
        raw.shape.len() == 2 && raw.shape.contains(&3) && raw.shape.iter().product::<usize>() > 3
    };
    let hinted = |raw: &RawArray| {
        let lower = raw.name.to_ascii_lowercase();
        fits(raw)
            && POSITION_NAMES
                .iter()
                .any(|hint| lower.starts_with(hint) || lower.contains("coord"))
    };
    let any_hint = contents.arrays.iter().any(hinted);
    let raw = contents.pick(path, name, "array of 3 × N or N × 3 coordinates", |raw| {
        if any_hint { hinted(raw) } else { fits(raw) }
    })?;
    if !fits(raw) {
        let found = shape_text(&raw.shape);
        return Err(IoError::data(
            path,
            format!("coordinates are 3 × N or N × 3, {} has {found}", raw.name),
        ));
    }
    let values = raw.to_array::<f64>().map_err(|fault| fault.at(path))?;
    let values = if raw.shape[1] == 3 {
        values
    } else {
        values.reversed_axes()
    };
    let positions: Vec<[f64; 3]> = values
        .outer_iter()
        .map(|row| [row[0] * scale, row[1] * scale, row[2] * scale])
        .collect();
    if let Some(index) = positions
        .iter()
        .position(|p| p.iter().any(|x| !x.is_finite()))
    {
        return Err(IoError::data(
            path,
            format!(
                "atom {} has a position that is not a finite number",
                index + 1
            ),
        ));
    }
    let n = positions.len();
    let types = contents.arrays.iter().find(|other| {
        let lower = other.name.to_ascii_lowercase();
        other.shape.iter().product::<usize>() == n
            && ["type", "atom", "species"]
                .iter()
                .any(|hint| lower.contains(hint))
    });
    let Some(types) = types else {
        return Ok(Atoms::from_positions(positions, "X"));
    };
    let is_atomic_number = types.name.to_ascii_lowercase().contains("number");
    let values = types.to_array::<f64>().map_err(|fault| fault.at(path))?;
    let mut atoms = Atoms::from_positions(positions, "X");
    atoms.species_names.clear();
    let mut kinds: Vec<i64> = Vec::new();
    for (index, value) in values.iter().enumerate() {
        #[allow(clippy::cast_possible_truncation)] // saturates; only whole small numbers are types
        let kind = *value as i64;
        let known = kinds.iter().position(|&k| k == kind).unwrap_or_else(|| {
            kinds.push(kind);
            let symbol = usize::try_from(kind)
                .ok()
                .filter(|_| is_atomic_number)
                .and_then(structures::symbol_of);
            atoms
                .species_names
                .push(symbol.map_or_else(|| kind.to_string(), str::to_owned));
            kinds.len() - 1
        });
        if kinds.len() > 256 {
            return Err(Fault::Invalid(format!(
                "{} names more than 256 types of atoms",
                types.name
            ))
            .at(path));
        }
        atoms.species[index] = u16::try_from(known).expect("at most 256 types");
    }
    Ok(atoms)
}

/// Writes atoms as extended XYZ (`.xyz`, `.extxyz`) or `.csv`, by the ending.
///
/// # Errors
/// Unknown ending, an existing file without `force`, or what the system says.
pub fn save_atoms(path: &Path, atoms: &Atoms, force: bool) -> Result<(), IoError> {
    match ending(path).as_str() {
        "xyz" | "extxyz" => structures::write_xyz(path, atoms, force),
        "csv" => structures::write_csv(path, atoms, force),
        _ => Err(unknown(path, ".xyz, .extxyz or .csv")),
    }
}

/// Writes text.
///
/// # Errors
/// An existing file without `force`, or what the system says.
pub fn save_text(path: &Path, text: &str, force: bool) -> Result<(), IoError> {
    super::write_atomically(path, force, |out| out.write_all(text.as_bytes()))
}

/// Writes indented JSON.
///
/// # Errors
/// An existing file without `force`, a value JSON cannot hold, or what the system says.
pub fn save_json<T: Serialize>(path: &Path, value: &T, force: bool) -> Result<(), IoError> {
    super::write_atomically(path, force, |out| {
        serde_json::to_writer_pretty(&mut *out, value).map_err(std::io::Error::other)?;
        writeln!(out)
    })
}
