//! What is read, and what the user adds that the files do not say. The command line flattens these structs; the
//! window fills them from its panels.

use super::JobError;
use crate::analyze::AnalyzeParams;
use crate::analyze::crystals::Reference;
use crate::io::{self, SeriesOptions};
use crate::model::{Atoms, EulerAngles, TiltSeries, Volume};
pub use crate::preprocess::inspect::Beam;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Along which image axis the tilt axis lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TiltAxis {
    /// Along x: images are transposed on reading.
    X,
    /// Along y, as everywhere inside the program.
    #[default]
    Y,
}

/// A tilt series in files.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct SeriesInput {
    /// Projections: `path` or `path:variable` (.mat, .npy, .npz, .mrc, .st, .ali, .tif, .h5, .emd, .dm3, .dm4, .ser), or a
    /// folder of one file per tilt
    #[arg(long, value_name = "FILE")]
    pub projections: Option<String>,
    /// Angles in degrees, one (θ) or three (φ, θ, ψ) columns [default: a side-car of the projections]
    #[arg(long, value_name = "FILE")]
    pub angles: Option<String>,
    /// Pixel size, Å, when the file does not say it
    #[arg(long, value_name = "Å")]
    pub pixel_size: Option<f64>,
    /// Storage order of the array: letters x, y, t (tilt), f (frame), e.g. txy
    #[arg(long)]
    pub axes: Option<String>,
    /// Image axis along which the tilt axis lies
    #[arg(long, value_enum, default_value_t = TiltAxis::Y)]
    pub tilt_axis: TiltAxis,
    /// Reverse the sign of the tilt angles (flips the handedness)
    #[arg(long)]
    pub mirror: bool,
    /// Frames per tilt of a flat stack
    #[arg(long, value_name = "N")]
    pub frames_per_tilt: Option<usize>,
}

/// A model in a file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct AtomsInput {
    /// The atoms (.xyz, .csv, text)
    #[arg(long, value_name = "FILE")]
    pub atoms: String,
    /// Å per unit of the file, when it is not in Å
    #[arg(long, value_name = "Å")]
    pub unit: Option<f64>,
}

/// Reads a tilt series; also says in sentences what was read and guessed.
///
/// # Errors
/// One clear line naming the file, what was expected and what was found.
pub fn load_series(input: &SeriesInput) -> Result<(TiltSeries, Vec<String>), JobError> {
    read_series(input, false)
}

/// As [`load_series`], of images some of whose pixels may be no numbers.
///
/// # Errors
/// As [`load_series`].
pub fn load_series_with_gaps(input: &SeriesInput) -> Result<(TiltSeries, Vec<String>), JobError> {
    read_series(input, true)
}

fn read_series(
    input: &SeriesInput,
    keep_gaps: bool,
) -> Result<(TiltSeries, Vec<String>), JobError> {
    let projections = input.projections.as_deref().ok_or_else(|| {
        JobError::Failed("--projections is needed: the file of the images".into())
    })?;
    let options = SeriesOptions {
        pixel_size: input.pixel_size,
        axes: input.axes.clone(),
        tilt_axis_x: input.tilt_axis == TiltAxis::X,
        mirror: input.mirror,
        frames_per_tilt: input.frames_per_tilt,
        keep_gaps,
    };
    let (series, notes) = io::load_series(projections, input.angles.as_deref(), &options)
        .map_err(JobError::failed)?;
    Ok((series, notes.lines))
}

/// Reads a volume.
///
/// # Errors
/// As [`load_series`].
pub fn load_volume(spec: &str, pixel_size: Option<f64>) -> Result<Volume, JobError> {
    io::load_volume(spec, pixel_size).map_err(JobError::failed)
}

/// Reads a model, and refuses one that is visibly not in Å when no unit is given.
///
/// # Errors
/// As [`load_series`].
pub fn load_atoms(input: &AtomsInput) -> Result<Atoms, JobError> {
    let atoms =
        io::load_atoms(&input.atoms, input.unit.unwrap_or(1.0)).map_err(JobError::failed)?;
    match io::looks_like_voxels(&atoms) {
        Some(nearest) if input.unit.is_none() => Err(JobError::Failed(format!(
            "{}: expected coordinates in Å, found a median nearest distance of {nearest:.2}; \
             give the unit with --unit (Å per unit of the file)",
            input.atoms
        ))),
        _ => Ok(atoms),
    }
}

/// The parameters with the crystals of the `.cif` files they name.
///
/// # Errors
/// As [`load_series`].
pub fn with_crystals(mut params: AnalyzeParams) -> Result<AnalyzeParams, JobError> {
    for reference in &mut params.references {
        if let Reference::Name(name) = reference
            && name.to_lowercase().ends_with(".cif")
        {
            *reference = load_crystal(Path::new(name))?;
        }
    }
    Ok(params)
}

/// Reads a crystal (.cif).
///
/// # Errors
/// As [`load_series`].
pub fn load_crystal(path: &Path) -> Result<Reference, JobError> {
    let crystal = io::read_cif(path).map_err(JobError::failed)?;
    Ok(Reference::Crystal(Box::new(crystal)))
}

/// Reads angles.
///
/// # Errors
/// As [`load_series`].
pub fn load_angles(spec: &str) -> Result<Vec<EulerAngles>, JobError> {
    io::load_angles(spec)
        .map(|table| table.angles)
        .map_err(JobError::failed)
}
