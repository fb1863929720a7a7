//! A folder of images, one file per tilt or per frame, as one stack.
//!
//! Files are taken in the order of their names, numbers within the names by their value. All must be of one kind and
//! size; a file that holds a stack holds the frames of its tilt. Files that follow one another at the same stage tilt,
//! always equally many, are frames as well.

use super::array::shape_text;
use super::arrays::{Contents, Format, LoadedArray, loaded};
use super::error::{IoError, label};
use super::series::{is_angle_file, load_angles};
use ndarray::{ArrayD, IxDyn};
use std::path::{Path, PathBuf};

/// Files at stage tilts closer than this are frames of one tilt, degrees.
const SAME_TILT_DEG: f64 = 0.05;

/// A name cut into texts and numbers, so that image 10 follows image 9.
fn natural_key(path: &Path) -> Vec<(u128, String)> {
    let name = label(path).to_lowercase();
    let mut parts = Vec::new();
    let mut rest = name.as_str();
    while !rest.is_empty() {
        let text_end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (text, after) = rest.split_at(text_end);
        let digits_end = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let (digits, after) = after.split_at(digits_end);
        // A text sorts before a number; a number too long for its type counts as the largest.
        parts.push((0, text.to_owned()));
        parts.push((digits.parse().unwrap_or(u128::MAX), String::new()));
        rest = after;
    }
    parts
}

/// Whether a file holds images, by its ending, and not the angles they were taken at.
pub(crate) fn is_image(path: &Path) -> bool {
    // Images are often named after their tilt, like lists of angles.
    let holds_angles = || is_angle_file(path) && load_angles(&path.to_string_lossy()).is_ok();
    Format::of(path).is_some() && !holds_angles()
}

/// The image files of a folder, in order; all of one format.
///
/// # Errors
/// None, or several kinds.
pub(crate) fn image_files(folder: &Path) -> Result<Vec<PathBuf>, IoError> {
    let entries = std::fs::read_dir(folder).map_err(|source| IoError::system(folder, source))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file() && is_image(path))
        .collect();
    files.sort_by_cached_key(|path| natural_key(path));
    let Some(format) = files.first().and_then(|path| Format::of(path)) else {
        return Err(IoError::data(
            folder,
            "no image file was found in the folder",
        ));
    };
    if let Some(other) = files.iter().find(|path| Format::of(path) != Some(format)) {
        return Err(IoError::data(
            folder,
            format!(
                "images of one kind were expected, {} and {} were found",
                label(&files[0]),
                label(other)
            ),
        ));
    }
    Ok(files)
}

/// Meaning of the axes of one file's image or frames.
fn letters(image: &LoadedArray) -> Option<String> {
    let rank = image.data.ndim();
    let named = image.acquisition.axes.as_deref();
    let usual = named
        .filter(|axes| axes.len() == rank)
        .unwrap_or(image.format.stack_axes());
    let letters: String = usual
        .chars()
        .filter(|c| rank == 3 || "xy".contains(*c))
        .map(|c| if "xy".contains(c) { c } else { 'f' })
        .collect();
    (letters.len() == rank).then_some(letters)
}

/// Frames per tilt that the stage tilts tell: the length of the runs of equal ones, if all are equally long.
fn equal_runs(tilts: &[f64]) -> usize {
    let mut runs: Vec<usize> = Vec::new();
    for (k, tilt) in tilts.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if (tilt - tilts[k - 1]).abs() < SAME_TILT_DEG => *run += 1,
            _ => runs.push(1),
        }
    }
    match runs.as_slice() {
        [first, rest @ ..] if !rest.is_empty() && rest.iter().all(|run| run == first) => *first,
        _ => 1,
    }
}

/// Reads a folder as one array with its axes named, and the stage tilts if every file has one.
///
/// # Errors
/// No images, images of several kinds or sizes, or damage.
pub(crate) fn read(folder: &Path, frames_per_tilt: Option<usize>) -> Result<LoadedArray, IoError> {
    let files = image_files(folder)?;
    let mut numbers: Vec<f32> = Vec::new();
    let mut tilts = Vec::new();
    let mut first: Option<LoadedArray> = None;
    for file in &files {
        let contents = Contents::read(file)?;
        let raw = contents.pick(file, None, "image or stack of frames", |raw| {
            matches!(raw.shape.len(), 2 | 3)
        })?;
        let image = loaded(file, &contents, raw)?;
        tilts.extend(image.acquisition.tilts_deg.first().copied());
        numbers.extend(image.data.iter());
        match &first {
            None => first = Some(image),
            Some(first) if first.data.shape() == image.data.shape() => {}
            Some(first) => {
                return Err(IoError::data(
                    file,
                    format!(
                        "{} was expected like in {}, {} was found",
                        shape_text(first.data.shape()),
                        label(&files[0]),
                        shape_text(image.data.shape())
                    ),
                ));
            }
        }
    }
    let first = first.expect("a folder without images was refused");
    let letters = letters(&first)
        .ok_or_else(|| IoError::data(folder, "the axes of its images are not known"))?;
    if tilts.len() != files.len() {
        tilts.clear();
    }
    let per_tilt = match frames_per_tilt {
        Some(given) => given,
        None => equal_runs(&tilts),
    };
    let mut shape = vec![files.len()];
    let mut axes = "t".to_owned();
    if per_tilt > 1 && !letters.contains('f') && files.len().is_multiple_of(per_tilt) {
        shape = vec![files.len() / per_tilt, per_tilt];
        axes.push('f');
        tilts = tilts
            .chunks(per_tilt)
            .map(|run| run.iter().sum::<f64>() / run.len() as f64)
            .collect();
    }
    shape.extend(first.data.shape());
    let mut acquisition = first.acquisition.clone();
    acquisition.axes = Some(axes + &letters);
    acquisition.tilts_deg = tilts;
    let data = ArrayD::from_shape_vec(IxDyn(&shape), numbers)
        .map_err(|_| IoError::data(folder, "its images do not make up a stack"))?;
    Ok(LoadedArray {
        path: folder.to_owned(),
        name: String::new(),
        data,
        acquisition,
        ..first
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_their_numbers() {
        let mut names = [
            "tilt10.dm3",
            "tilt9.dm3",
            "Tilt1.dm3",
            "a.dm3",
            "tilt9_2.dm3",
        ];
        names.sort_by_cached_key(|name| natural_key(Path::new(name)));
        assert_eq!(
            names,
            [
                "a.dm3",
                "Tilt1.dm3",
                "tilt9.dm3",
                "tilt9_2.dm3",
                "tilt10.dm3"
            ]
        );
    }

    #[test]
    fn runs_of_one_tilt_are_frames() {
        assert_eq!(equal_runs(&[1.0, 1.01, 2.0, 2.0, 3.0, 3.0]), 2);
        assert_eq!(equal_runs(&[1.0, 1.0, 2.0]), 1);
        assert_eq!(equal_runs(&[1.0, 1.0]), 1);
        assert_eq!(equal_runs(&[]), 1);
    }
}
