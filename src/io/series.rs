//! A tilt series from its files: images, angles, pixel size, with every guess explained.

use super::acquisition::Acquisition;
use super::array::{RawArray, shape_text};
use super::arrays::{Contents, Format, LoadedArray, loaded, read_bytes, split_spec};
use super::error::{IoError, label};
use super::{folder, tables};
use crate::model::{EulerAngles, Frames, Scan, TiltSeries};
use ndarray::{Array3, Array4, ArrayD, Axis, Ix3, Ix4};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the user says about the files; everything left out is read or guessed, and then noted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesOptions {
    /// Edge of a pixel, Å; overrides the file's.
    pub pixel_size: Option<f64>,
    /// Storage order in letters x, y, t, f (frame): `txy`, `tfxy`, …; the last index of an MRC or C-order array is fastest.
    pub axes: Option<String>,
    /// The tilt axis lies along the stored x: x and y are exchanged, so that it lies along y.
    pub tilt_axis_x: bool,
    /// Flips the handedness: θ and ψ change sign, which mirrors the reconstruction at its x–y plane.
    pub mirror: bool,
    /// A flat stack holds this many frames of each tilt, one tilt after the other.
    pub frames_per_tilt: Option<usize>,
    /// Pixels that are not numbers stay as they are, to be left out of a fit; else such images are refused.
    pub keep_gaps: bool,
}

/// What was read and guessed, for the log and the report.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesNotes {
    /// Sentences for the user.
    pub lines: Vec<String>,
    /// File of the angles.
    pub angles_path: PathBuf,
    /// Storage order that was used.
    pub axes: String,
    /// Frames of each image.
    pub frames_per_tilt: usize,
}

/// Angles as a file gives them.
#[derive(Debug, Clone, PartialEq)]
pub struct AngleTable {
    /// File they came from.
    pub path: PathBuf,
    /// One entry per image.
    pub angles: Vec<EulerAngles>,
    /// Pixel size a `.mdoc` states, Å.
    pub pixel_size: Option<f64>,
}

fn ending(path: &Path) -> String {
    path.extension()
        .map(|e| e.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default()
}

fn named_like_angles(name: &str) -> bool {
    let lower = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    ["angle", "tilt", "theta"]
        .iter()
        .any(|hint| lower.contains(hint))
}

/// Whether a shape can be a list of angles: a vector, n × 3 or 3 × n.
fn angle_shape(shape: &[usize]) -> bool {
    match shape {
        [n] => *n > 1,
        [a, b] => (*a == 1 || *b == 1 || *a == 3 || *b == 3) && a * b > 1,
        _ => false,
    }
}

fn angles_from_array(raw: &RawArray, path: &Path) -> Result<Vec<EulerAngles>, IoError> {
    let values = raw.to_array::<f64>().map_err(|fault| fault.at(path))?;
    let rows: Vec<Vec<f64>> = match *raw.shape.as_slice() {
        [_, 3] => values
            .outer_iter()
            .map(|row| row.iter().copied().collect())
            .collect(),
        [3, _] => values
            .t()
            .outer_iter()
            .map(|row| row.iter().copied().collect())
            .collect(),
        _ => values.iter().map(|&v| vec![v]).collect(),
    };
    tables::angles_from_rows(&rows).map_err(|fault| fault.at(path))
}

/// Angles the instrument noted for the images of an array.
fn noted_angles(noted: &Acquisition, path: &Path) -> Option<Result<Vec<EulerAngles>, IoError>> {
    let rows: Vec<Vec<f64>> = noted
        .series_tilts()?
        .iter()
        .map(|&tilt| vec![tilt])
        .collect();
    Some(tables::angles_from_rows(&rows).map_err(|fault| fault.at(path)))
}

/// Reads angles in degrees: `.tlt`, `.rawtlt`, `.txt`, `.csv`, `.mdoc`, an array of `.mat`, `.npy`, `.npz` or HDF5, or
/// what the instrument noted in an image file.
///
/// # Errors
/// Damage, no angles, or several arrays that could be meant.
pub fn load_angles(spec: &str) -> Result<AngleTable, IoError> {
    let (path, name) = split_spec(spec);
    let (angles, pixel_size) = match ending(&path).as_str() {
        _ if Format::of(&path).is_some_and(Format::may_hold_angles) => {
            let contents = Contents::read(&path)?;
            let mut noted = contents.arrays.iter().filter(|raw| {
                raw.acquisition.series_tilts().is_some()
                    && name.as_ref().is_none_or(|name| *name == raw.name)
            });
            if let Some(angles) = noted
                .next()
                .and_then(|raw| noted_angles(&raw.acquisition, &path))
            {
                return Ok(AngleTable {
                    angles: angles?,
                    pixel_size: contents.pixel_size,
                    path,
                });
            }
            let hinted = contents
                .arrays
                .iter()
                .any(|raw| angle_shape(&raw.shape) && named_like_angles(&raw.name));
            let raw = contents.pick(
                &path,
                name.as_deref(),
                "list of angles (n × 1 or n × 3)",
                |raw| angle_shape(&raw.shape) && (!hinted || named_like_angles(&raw.name)),
            )?;
            if !angle_shape(&raw.shape) {
                let found = shape_text(&raw.shape);
                return Err(IoError::data(
                    &path,
                    format!("angles are n × 1 or n × 3, {found} was found"),
                ));
            }
            (angles_from_array(raw, &path)?, contents.pixel_size)
        }
        "mdoc" => {
            let mdoc = tables::parse_mdoc(&read_bytes(&path)?).map_err(|fault| fault.at(&path))?;
            (mdoc.angles, mdoc.pixel_size)
        }
        _ => (
            tables::parse_angles(&read_bytes(&path)?).map_err(|fault| fault.at(&path))?,
            None,
        ),
    };
    Ok(AngleTable {
        path,
        angles,
        pixel_size,
    })
}

/// Angles beside the images: in the same file, then under the same name, then any file of the folder named like angles.
fn find_angles(
    images: &Path,
    arrays: &[RawArray],
    noted: &Acquisition,
    notes: &mut SeriesNotes,
) -> Result<AngleTable, IoError> {
    if let Some(angles) = noted_angles(noted, images) {
        notes
            .lines
            .push("Angles: the stage tilts the instrument noted".to_owned());
        return Ok(AngleTable {
            path: images.to_owned(),
            angles: angles?,
            pixel_size: None,
        });
    }
    let inside: Vec<&RawArray> = arrays
        .iter()
        .filter(|raw| angle_shape(&raw.shape) && named_like_angles(&raw.name))
        .collect();
    if let [only] = inside.as_slice() {
        notes
            .lines
            .push(format!("Angles: {} in the same file", only.name));
        return Ok(AngleTable {
            path: images.to_owned(),
            angles: angles_from_array(only, images)?,
            pixel_size: None,
        });
    }
    for extension in ["rawtlt", "tlt", "mdoc", "txt", "csv"] {
        let beside = images.with_extension(extension);
        let appended = PathBuf::from(format!("{}.{extension}", images.display()));
        for path in [beside, appended] {
            if path.is_file() {
                notes.lines.push(format!(
                    "Angles: {}, which has the images' name",
                    label(&path)
                ));
                return load_angles(&path.to_string_lossy());
            }
        }
    }
    let folder = if images.is_dir() {
        images
    } else {
        images
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    };
    let entries = std::fs::read_dir(folder).map_err(|source| IoError::system(folder, source))?;
    let mut tables: Vec<AngleTable> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path != images && path.is_file() && is_angle_file(path))
        .filter_map(|path| load_angles(&path.to_string_lossy()).ok())
        .collect();
    tables.sort_by(|a, b| a.path.cmp(&b.path));
    let fits = |table: &AngleTable| {
        arrays
            .iter()
            .any(|raw| raw.shape.len() >= 3 && raw.shape.contains(&table.angles.len()))
    };
    let names = tables
        .iter()
        .map(|t| label(&t.path))
        .collect::<Vec<_>>()
        .join(", ");
    if tables.len() > 1 {
        tables.retain(fits);
    }
    match tables.len() {
        1 => {
            let table = tables.remove(0);
            notes.lines.push(format!(
                "Angles: {}, found in the same folder",
                label(&table.path)
            ));
            Ok(table)
        }
        0 if names.is_empty() => Err(IoError::data(
            images,
            "no angles are in the file or beside it; give them with --angles",
        )),
        _ => Err(IoError::data(
            images,
            format!("several files could hold its angles ({names}); say which with --angles"),
        )),
    }
}

pub(crate) fn is_angle_file(path: &Path) -> bool {
    let name = path
        .file_stem()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    match ending(path).as_str() {
        "tlt" | "rawtlt" | "mdoc" => true,
        "mat" | "npy" | "h5" | "txt" | "csv" => named_like_angles(&name),
        _ => false,
    }
}

/// Reads images (a file, or a folder of one file per tilt or frame) and angles into a series: images as `(tilt, x, y)`, the tilt axis along y.
///
/// # Errors
/// Files that are missing, damaged or do not fit each other; NaN or infinite pixels; constant images; axes that could be read in several ways.
pub fn load_series(
    projections: &str,
    angles: Option<&str>,
    options: &SeriesOptions,
) -> Result<(TiltSeries, SeriesNotes), IoError> {
    let mut notes = SeriesNotes {
        frames_per_tilt: 1,
        ..SeriesNotes::default()
    };
    let (path, name) = split_spec(projections);
    let given = angles.map(load_angles).transpose()?;
    let (array, table) = if path.is_dir() {
        let array = folder::read(&path, options.frames_per_tilt)?;
        let table = match given {
            Some(table) => table,
            None => find_angles(&path, &[], &array.acquisition, &mut notes)?,
        };
        (array, table)
    } else {
        let contents = Contents::read(&path)?;
        let raw = contents.pick(
            &path,
            name.as_deref(),
            "stack of images (three axes)",
            |raw| matches!(raw.shape.len(), 3 | 4),
        )?;
        let table = match given {
            Some(table) => table,
            None => find_angles(&path, &contents.arrays, &raw.acquisition, &mut notes)?,
        };
        (loaded(&path, &contents, raw)?, table)
    };
    notes.angles_path.clone_from(&table.path);
    if array.data.is_empty() {
        return Err(IoError::data(
            &path,
            format!("the stack is empty ({})", shape_text(array.data.shape())),
        ));
    }
    let axes = choose_axes(&array, &table, options, &mut notes)?;
    let stated = array.pixel_size.or(table.pixel_size);
    let pixel_size = choose_pixel_size(
        &path,
        options,
        array.pixel_size,
        table.pixel_size,
        &mut notes,
    )?;
    let exchange = options.tilt_axis_x;
    let scan = scan_of(&array, &axes, exchange);
    let per_tilt = notes.frames_per_tilt;
    let data = arrange(array.data, &axes, &path, per_tilt, exchange)?;
    if exchange {
        notes
            .lines
            .push("x and y were exchanged, so that the tilt axis lies along y".to_owned());
    }
    if per_tilt > 1 {
        notes.lines.push(format!(
            "{per_tilt} frames of each tilt: the images are their means until the preparation registers them"
        ));
    }
    let (images, frames) = frames_apart(data, scan, &path)?;
    check_images(&images, options.keep_gaps, &path)?;
    let angles = if options.mirror {
        notes
            .lines
            .push("Mirrored: the tilts theta and psi changed sign".to_owned());
        table
            .angles
            .iter()
            .map(|a| EulerAngles {
                phi: a.phi,
                theta: -a.theta,
                psi: -a.psi,
            })
            .collect()
    } else {
        table.angles
    };
    if angles.len() > 8 && angles.iter().all(|a| a.to_deg()[1].abs() < 1.6) {
        notes.lines.push("All tilts are below 1.6 degrees: are they perhaps in radians? They were read as degrees".to_owned());
    }
    let [low, high] = angles
        .iter()
        .fold([f64::INFINITY, f64::NEG_INFINITY], |[l, h], a| {
            let theta = a.to_deg()[1];
            [l.min(theta), h.max(theta)]
        });
    let (n, x, y) = images.dim();
    notes.lines.push(format!(
        "{n} images of {x} × {y} pixels, tilts from {low:.1} to {high:.1} degrees"
    ));
    let mut series = TiltSeries::new(label(&path), images, angles, pixel_size);
    series.frames = frames;
    // Single precision in a file's head is no other pixel size.
    series.nominal_pixel_size =
        stated.filter(|stated| pixel_size.is_some_and(|used| (stated / used - 1.0).abs() > 1e-5));
    Ok((series, notes))
}

fn choose_pixel_size(
    path: &Path,
    options: &SeriesOptions,
    file: Option<f64>,
    mdoc: Option<f64>,
    notes: &mut SeriesNotes,
) -> Result<Option<f64>, IoError> {
    if let Some(given) = options.pixel_size {
        if !(given.is_finite() && given > 0.0) {
            return Err(IoError::data(
                path,
                format!("a pixel size above 0 Å was expected, {given} was given"),
            ));
        }
        if let Some(stated) = file.or(mdoc).filter(|s| (s / given - 1.0).abs() > 1e-3) {
            notes.lines.push(format!("The pixel size given, {given} Å, differs from the file's {stated:.4} Å; the given one is used"));
        }
        return Ok(Some(given));
    }
    if let Some(stated) = file.or(mdoc) {
        notes
            .lines
            .push(format!("Pixel size {stated:.4} Å, from the file"));
        if (stated - 1.0).abs() < 1e-6 {
            notes.lines.push("A pixel size of exactly 1 Å is what programs write that do not know it: please check".to_owned());
        }
    } else {
        notes
            .lines
            .push("The files do not say the pixel size".to_owned());
    }
    Ok(file.or(mdoc))
}

/// Decides which axis is which; the result has one letter per axis.
fn choose_axes(
    array: &LoadedArray,
    table: &AngleTable,
    options: &SeriesOptions,
    notes: &mut SeriesNotes,
) -> Result<String, IoError> {
    let shape = array.data.shape();
    let n = table.angles.len();
    let path = &array.path;
    let axes = if let Some(given) = &options.axes {
        checked_axes(given, shape, path)?
    } else {
        let per_tilt = options.frames_per_tilt.unwrap_or(1).max(1);
        guess_axes(array, n.saturating_mul(per_tilt)).map_err(|fitting| match fitting {
            0 => mismatch(array, table, default_count(array.format, shape), per_tilt),
            _ => IoError::data(
                path,
                format!("{fitting} axes of its {} fit {n} angles; say the storage order with --axes, like txy", shape_text(shape)),
            ),
        })?
    };
    let usual = usual_axes(array);
    if axes != usual {
        notes
            .lines
            .push(format!("Axes read as {axes} ({})", shape_text(shape)));
    }
    let position = |letter| axes.find(letter);
    let tilts = position('t').map_or(1, |at| shape[at]);
    let frames = match (position('f'), options.frames_per_tilt) {
        (Some(_), _) => 1,
        (None, given) => given.unwrap_or(1),
    };
    if frames == 0 || tilts != n.saturating_mul(frames) {
        return Err(mismatch(array, table, tilts, frames));
    }
    notes.frames_per_tilt = position('f').map_or(frames, |at| shape[at]);
    notes.axes.clone_from(&axes);
    Ok(axes)
}

fn default_count(format: Format, shape: &[usize]) -> usize {
    match format {
        Format::Matlab | Format::Numpy | Format::Hdf5 => shape.last().copied().unwrap_or(0),
        Format::Mrc | Format::Tiff | Format::DigitalMicrograph | Format::Tia => {
            shape.first().copied().unwrap_or(0)
        }
    }
}

fn mismatch(array: &LoadedArray, table: &AngleTable, images: usize, per_tilt: usize) -> IoError {
    let n = table.angles.len();
    let hint = if per_tilt > 1 {
        format!(" ({per_tilt} frames per tilt were expected)")
    } else if n > 0 && images > n && images.is_multiple_of(n) {
        format!(
            " (if these are {0} frames of each tilt, say --frames-per-tilt {0})",
            images / n
        )
    } else {
        String::new()
    };
    IoError::AngleCount {
        angles_file: label(&table.path),
        angles: n,
        images_file: label(&array.path),
        images,
        hint,
    }
}

fn checked_axes(given: &str, shape: &[usize], path: &Path) -> Result<String, IoError> {
    let axes = given.trim().to_ascii_lowercase();
    let once = |letter| axes.matches(letter).count() == 1;
    let sound = axes.chars().all(|c| "xytf".contains(c))
        && once('x')
        && once('y')
        && once('t')
        && axes.matches('f').count() <= 1
        && axes.len() == shape.len();
    if sound {
        return Ok(axes);
    }
    let found = shape_text(shape);
    Err(IoError::data(
        path,
        format!(
            "axes name each of x, y, t (and f) once, one letter per axis of {found}; '{given}' was given"
        ),
    ))
}

/// The order an array is stored in unless its size speaks against it: as the file names its axes, else its format's.
/// Empty for four axes without names.
fn usual_axes(array: &LoadedArray) -> String {
    let shape = array.data.shape();
    let named = array.acquisition.axes.as_ref().map(|axes| {
        // Sections that are no frames are tilts.
        if axes.contains('t') {
            axes.clone()
        } else {
            axes.replace('z', "t")
        }
    });
    match named {
        Some(axes) if axes.len() == shape.len() && axes.contains('t') => axes,
        _ if shape.len() == 3 => array.format.stack_axes().to_owned(),
        _ => String::new(),
    }
}

/// The storage order: the format's own when it fits the number of sections, else the only reading that fits. Otherwise
/// how many fit.
fn guess_axes(array: &LoadedArray, sections: usize) -> Result<String, usize> {
    let shape = array.data.shape();
    let usual = usual_axes(array);
    let fitting: Vec<usize> = (0..shape.len())
        .filter(|&at| shape[at] == sections)
        .collect();
    match shape.len() {
        3 => {
            if usual.find('t').is_some_and(|at| fitting.contains(&at)) {
                return Ok(usual);
            }
            let [tilt] = fitting.as_slice() else {
                return Err(fitting.len());
            };
            let mut axes: Vec<char> = usual.chars().filter(|&c| c != 't').collect();
            axes.insert(*tilt, 't');
            Ok(axes.into_iter().collect())
        }
        4 if usual.len() == 4 => Ok(usual),
        4 => match fitting.as_slice() {
            // Frames stand next to the tilts, within them: a tilt's frames are taken one after the other.
            [0] => Ok("tfxy".to_owned()),
            [3] => Ok("xyft".to_owned()),
            [1] => Ok("ftxy".to_owned()),
            [2] => Ok("xytf".to_owned()),
            other => Err(other.len()),
        },
        _ => Err(0),
    }
}

/// Brings the array to `(tilt, frame, x, y)` in standard layout; `per_tilt` frames of a flat stack belong together.
fn arrange(
    data: ArrayD<f32>,
    axes: &str,
    path: &Path,
    per_tilt: usize,
    exchange: bool,
) -> Result<Array4<f32>, IoError> {
    let at = |letter| axes.find(letter).expect("the axes were checked");
    let wrong = |_| IoError::data(path, format!("axes {axes} do not fit its rank"));
    let [x, y] = if exchange {
        [at('y'), at('x')]
    } else {
        [at('x'), at('y')]
    };
    if axes.contains('f') {
        let data = data.into_dimensionality::<Ix4>().map_err(wrong)?;
        let data = data.permuted_axes([at('t'), at('f'), x, y]);
        return Ok(standard(data));
    }
    let data = data.into_dimensionality::<Ix3>().map_err(wrong)?;
    let data = standard(data.permuted_axes([at('t'), x, y]));
    let (sections, x, y) = data.dim();
    let tilts = sections.checked_div(per_tilt).unwrap_or(0);
    data.into_shape_with_order((tilts, per_tilt, x, y))
        .map_err(|_| IoError::data(path, format!("{per_tilt} frames per tilt do not fit")))
}

fn standard<D: ndarray::Dimension>(data: ndarray::Array<f32, D>) -> ndarray::Array<f32, D> {
    if data.is_standard_layout() {
        data
    } else {
        data.as_standard_layout().into_owned()
    }
}

/// The images and, when there are several of each tilt, the frames whose means they are.
fn frames_apart(
    data: Array4<f32>,
    scan: Scan,
    path: &Path,
) -> Result<(Array3<f32>, Option<Arc<Frames>>), IoError> {
    let (tilts, per_tilt, x, y) = data.dim();
    let flat = |data: Array4<f32>| {
        data.into_shape_with_order((tilts * per_tilt, x, y))
            .expect("the array is in standard layout")
    };
    if per_tilt == 1 {
        return Ok((flat(data), None));
    }
    let mean = data
        .mean_axis(Axis(1))
        .ok_or_else(|| IoError::data(path, "there are no frames"))?;
    let frames = Frames {
        counts: flat(data),
        per_tilt,
        scan,
    };
    Ok((standard(mean), Some(Arc::new(frames))))
}

/// Lines of a scan are the rows of the stored image: of x and y the one that is named later.
fn scan_of(array: &LoadedArray, axes: &str, exchanged: bool) -> Scan {
    Scan {
        along_x: (axes.find('x') > axes.find('y')) != exchanged,
        dwell_us: array.acquisition.dwell_us,
        flyback_us: array.acquisition.flyback_us,
    }
}

fn check_images(images: &Array3<f32>, keep_gaps: bool, path: &Path) -> Result<(), IoError> {
    let bad = images.iter().filter(|v| !v.is_finite()).count();
    let first = images.indexed_iter().find(|(_, v)| !v.is_finite());
    if let Some(((tilt, x, y), value)) = first.filter(|_| !keep_gaps) {
        return Err(IoError::data(
            path,
            format!(
                "image {} has {value} at pixel ({x}, {y}) ({bad} such pixels in all); finite numbers were expected (the command reconstruct leaves others out with --nan-pixels mask)",
                tilt + 1
            ),
        ));
    }
    let constant: Vec<usize> = images
        .outer_iter()
        .enumerate()
        .filter(|(_, image)| image.iter().all(|v| Some(v) == image.first()))
        .map(|(tilt, _)| tilt + 1)
        .collect();
    match constant.as_slice() {
        [] => Ok(()),
        all if all.len() == images.dim().0 => Err(IoError::data(
            path,
            "every image is constant: there is nothing to reconstruct",
        )),
        some => {
            let names = some
                .iter()
                .take(10)
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            Err(IoError::data(
                path,
                format!(
                    "image {names} is constant (blank); take it and its angle out of the files"
                ),
            ))
        }
    }
}
