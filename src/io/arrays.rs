//! One door to all array formats: what is in a file, and one array of it.

use super::acquisition::Acquisition;
use super::array::{RawArray, shape_text};
use super::error::{Fault, IoError, label};
use super::matlab::Variable;
use super::{digital_micrograph, hdf5, matlab, mrc, numpy, tia, tiff_stack};
use ndarray::ArrayD;
use std::path::{Path, PathBuf};

/// Format of an array file; it decides which index is which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.mat`, level 5 and 7.3.
    Matlab,
    /// `.npy` or `.npz`.
    Numpy,
    /// MRC family: arrays are `(section, row, column)`.
    Mrc,
    /// TIFF: arrays are `(page, row, column)`.
    Tiff,
    /// HDF5 and EMD: arrays as in NumPy, unless the file names its axes.
    Hdf5,
    /// `.dm3`, `.dm4`: arrays are `(section, row, column)`.
    DigitalMicrograph,
    /// `.ser`: arrays are `(section, row, column)`.
    Tia,
}

impl Format {
    /// Storage order of a stack in this format: x, y and t for the axes.
    #[must_use]
    pub fn stack_axes(self) -> &'static str {
        match self {
            Self::Matlab | Self::Numpy | Self::Hdf5 => "xyt",
            Self::Mrc | Self::Tiff | Self::DigitalMicrograph | Self::Tia => "tyx",
        }
    }

    /// By the file's ending.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_string_lossy().to_ascii_lowercase();
        Some(match ending.as_str() {
            "mat" => Self::Matlab,
            "npy" | "npz" => Self::Numpy,
            "mrc" | "mrcs" | "st" | "ali" | "preali" | "rec" | "map" | "ccp4" => Self::Mrc,
            "tif" | "tiff" => Self::Tiff,
            "h5" | "hdf5" | "hdf" | "he5" | "emd" => Self::Hdf5,
            "dm3" | "dm4" => Self::DigitalMicrograph,
            "ser" => Self::Tia,
            _ => return None,
        })
    }

    /// Whether one file can hold many named arrays, angles among them.
    pub(crate) fn has_names(self) -> bool {
        matches!(self, Self::Matlab | Self::Numpy | Self::Hdf5)
    }

    /// Whether angles may be in such a file: as an array, or in the instrument's notes.
    pub(crate) fn may_hold_angles(self) -> bool {
        self.has_names() || matches!(self, Self::DigitalMicrograph | Self::Tia)
    }
}

/// One entry of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrayInfo {
    /// Variable's name; empty when the file holds a single nameless array.
    pub name: String,
    /// Shape, in the file's own index order.
    pub shape: Vec<usize>,
    /// Type of its numbers, or what it is instead.
    pub dtype: String,
    /// Whether it can be read.
    pub readable: bool,
    /// What the instrument noted about it.
    pub acquisition: Acquisition,
}

/// An entry that cannot be read, and why, where that is more than its kind.
pub(crate) type Unread = (ArrayInfo, Option<Fault>);

impl ArrayInfo {
    /// `Proj_sub (131 × 61 × 46 single)`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{} ({} {})", self.name, shape_text(&self.shape), self.dtype)
            .trim_start()
            .to_owned()
    }
}

/// One array, read.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedArray {
    /// File it came from.
    pub path: PathBuf,
    /// Variable's name, empty if it has none.
    pub name: String,
    /// Numbers, in the file's own index order (see [`Format`]).
    pub data: ArrayD<f32>,
    /// Edge of a pixel, Å, when the file says it.
    pub pixel_size: Option<f64>,
    /// What the instrument noted about it.
    pub acquisition: Acquisition,
    /// Format of the file.
    pub format: Format,
    /// Type of the stored numbers.
    pub dtype: &'static str,
}

/// Splits `path:variable`. A path that exists as it stands wins, so that names with a colon work. In files with groups
/// the variable may be a path itself (`file.h5:/group/dataset`).
#[must_use]
pub fn split_spec(spec: &str) -> (PathBuf, Option<String>) {
    let whole = PathBuf::from(spec);
    if whole.exists() {
        return (whole, None);
    }
    match spec.rsplit_once(':') {
        // A single letter before the colon is a drive of Windows.
        Some((path, name))
            if path.len() > 1
                && !name.is_empty()
                && (!name.contains(['/', '\\']) || Format::of(Path::new(path)).is_some()) =>
        {
            let name = name.strip_prefix('/').unwrap_or(name);
            (PathBuf::from(path), Some(name.to_owned()))
        }
        _ => (whole, None),
    }
}

pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, IoError> {
    let bytes = std::fs::read(path).map_err(|source| IoError::system(path, source))?;
    if bytes.is_empty() {
        return Err(IoError::data(path, "the file is empty"));
    }
    Ok(bytes)
}

/// Everything in a file.
pub(crate) struct Contents {
    pub format: Format,
    pub arrays: Vec<RawArray>,
    /// What cannot be read, with the reason.
    pub others: Vec<Unread>,
    pub pixel_size: Option<f64>,
    /// MRC only: whether the header calls it a volume.
    pub is_volume: Option<bool>,
}

/// Names under which an array file states its pixel size in Å without doubt about the unit.
const PIXEL_NAMES: [&str; 3] = ["pixel_size_A", "pixel_A", "pixel_size_angstrom"];

impl Contents {
    pub(crate) fn read(path: &Path) -> Result<Self, IoError> {
        let Some(format) = Format::of(path) else {
            return Err(IoError::Unsupported {
                file: label(path),
                detail: if path
                    .extension()
                    .is_some_and(|e| e.eq_ignore_ascii_case("emi"))
                {
                    "its images are in the .ser files beside it".to_owned()
                } else {
                    "arrays are read from .mat, .npy, .npz, .mrc (.st, .ali, .rec, .map), .tif, .h5, .emd, .dm3, \
                     .dm4 and .ser"
                        .to_owned()
                },
            });
        };
        let matlab = format == Format::Matlab;
        let mut contents = if format == Format::Hdf5 || matlab && hdf5::is_hdf5(path) {
            let found = hdf5::read(path, matlab)?;
            Self {
                arrays: found.arrays,
                others: found.others,
                ..Self::empty(format)
            }
        } else {
            let bytes = read_bytes(path)?;
            Self::parse(&bytes, format, path).map_err(|fault| fault.at(path))?
        };
        contents.pixel_size = contents.pixel_size.or_else(|| {
            let named = contents
                .arrays
                .iter()
                .filter(|a| PIXEL_NAMES.contains(&a.name.as_str()));
            named
                .filter_map(RawArray::scalar)
                .find(|&size| size > 0.0 && size.is_finite())
        });
        Ok(contents)
    }

    fn empty(format: Format) -> Self {
        Self {
            format,
            arrays: Vec::new(),
            others: Vec::new(),
            pixel_size: None,
            is_volume: None,
        }
    }

    fn parse(bytes: &[u8], format: Format, path: &Path) -> Result<Self, Fault> {
        let mut contents = Self::empty(format);
        match format {
            Format::Matlab => {
                for variable in matlab::parse(bytes)? {
                    match variable {
                        Variable::Numbers(raw) => contents.arrays.push(raw),
                        Variable::Other { name, shape, class } => {
                            contents.others.push((
                                ArrayInfo {
                                    name,
                                    shape,
                                    dtype: class,
                                    readable: false,
                                    acquisition: Acquisition::default(),
                                },
                                None,
                            ));
                        }
                    }
                }
            }
            // By content, not by ending: a renamed archive is still an archive.
            Format::Numpy
                if bytes.starts_with(b"PK") || path.extension().is_some_and(|e| e == "npz") =>
            {
                for (name, array) in numpy::parse_npz(bytes)? {
                    match array {
                        Ok(raw) => contents.arrays.push(raw),
                        Err(fault) => contents.others.push((
                            ArrayInfo {
                                name,
                                shape: Vec::new(),
                                dtype: "unreadable".to_owned(),
                                readable: false,
                                acquisition: Acquisition::default(),
                            },
                            Some(fault),
                        )),
                    }
                }
            }
            Format::Numpy => contents.arrays.push(numpy::parse_npy(bytes, "")?),
            Format::Mrc => {
                let file = mrc::parse(bytes)?;
                contents.pixel_size = file.pixel_size;
                contents.is_volume = Some(file.is_volume);
                contents.arrays.push(file.array);
            }
            Format::Tiff => {
                let (images, class) = tiff_stack::parse(bytes)?;
                let (pages, rows, columns) = images.dim();
                contents.arrays.push(RawArray {
                    name: String::new(),
                    shape: vec![pages, rows, columns],
                    fortran: false,
                    number: super::NumberType::F32,
                    big_endian: false,
                    bytes: images
                        .iter()
                        .flat_map(|v| v.to_le_bytes())
                        .collect::<Vec<u8>>()
                        .into(),
                    acquisition: Acquisition::default(),
                    class,
                });
            }
            Format::DigitalMicrograph => contents.arrays = digital_micrograph::parse(bytes)?,
            Format::Tia => contents
                .arrays
                .push(tia::parse(bytes, emi_beside(path).as_deref())?),
            // Files of groups are walked on the disk, see `read`.
            Format::Hdf5 => {}
        }
        Ok(contents)
    }

    pub(crate) fn infos(&self) -> Vec<ArrayInfo> {
        let readable = self.arrays.iter().map(|raw| ArrayInfo {
            name: raw.name.clone(),
            shape: raw.shape.clone(),
            dtype: raw.class.to_owned(),
            readable: true,
            acquisition: raw.acquisition.clone(),
        });
        readable
            .chain(self.others.iter().map(|(info, _)| info.clone()))
            .collect()
    }

    pub(crate) fn candidates(&self) -> String {
        let names: Vec<String> = self.infos().iter().map(ArrayInfo::describe).collect();
        if names.is_empty() {
            "nothing that can be read".to_owned()
        } else {
            names.join(", ")
        }
    }

    /// The array called `name`, or the only one that `fits`.
    pub(crate) fn pick(
        &self,
        path: &Path,
        name: Option<&str>,
        wanted: &str,
        fits: impl Fn(&RawArray) -> bool,
    ) -> Result<&RawArray, IoError> {
        if let Some(name) = name {
            if let Some(raw) = self.arrays.iter().find(|raw| raw.name == name) {
                return Ok(raw);
            }
            if let Some((info, fault)) = self.others.iter().find(|(info, _)| info.name == name) {
                let detail = format!("{name} is a {}, arrays of numbers are read", info.dtype);
                return Err(fault.clone().unwrap_or(Fault::Unsupported(detail)).at(path));
            }
            let wanted = format!("variable {name}");
            return Err(IoError::NoSuchArray {
                file: label(path),
                wanted,
                candidates: self.candidates(),
            });
        }
        let fitting: Vec<&RawArray> = self.arrays.iter().filter(|raw| fits(raw)).collect();
        match fitting.as_slice() {
            [only] => Ok(only),
            [] => Err(IoError::NoSuchArray {
                file: label(path),
                wanted: wanted.to_owned(),
                candidates: self.candidates(),
            }),
            _ => Err(IoError::Choose {
                file: label(path),
                candidates: self.candidates(),
            }),
        }
    }
}

/// The `.emi` file of a `.ser`: `name_1.ser` belongs to `name.emi`.
fn emi_beside(path: &Path) -> Option<Vec<u8>> {
    /// Notes are far smaller; what is larger holds images and is not needed.
    const MOST: u64 = 256 << 20;
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let name = stem
        .rsplit_once('_')
        .map_or(stem.as_str(), |(name, _)| name);
    let beside = path.with_file_name(format!("{name}.emi"));
    let small = std::fs::metadata(&beside).ok()?.len() <= MOST;
    small.then(|| std::fs::read(&beside).ok()).flatten()
}

/// What is in an array file.
///
/// # Errors
/// The file cannot be opened or is damaged.
pub fn list(path: &Path) -> Result<Vec<ArrayInfo>, IoError> {
    Ok(Contents::read(path)?.infos())
}

/// Reads `path` or `path:variable`. Without a name, the only array with three or more axes is meant, else the only array.
///
/// # Errors
/// No such file or variable, several that fit, or damage.
pub fn read_array(spec: &str) -> Result<LoadedArray, IoError> {
    let (path, name) = split_spec(spec);
    let contents = Contents::read(&path)?;
    let deep = contents
        .arrays
        .iter()
        .filter(|raw| raw.shape.len() >= 3)
        .count();
    let raw = contents.pick(&path, name.as_deref(), "array of numbers", |raw| {
        deep == 0 || raw.shape.len() >= 3
    })?;
    loaded(&path, &contents, raw)
}

/// Reads a table of numbers in double precision, in the file's own index order.
///
/// # Errors
/// As [`read_array`].
pub fn read_doubles(spec: &str) -> Result<ArrayD<f64>, IoError> {
    let (path, name) = split_spec(spec);
    let contents = Contents::read(&path)?;
    let raw = contents.pick(&path, name.as_deref(), "array of numbers", |_| true)?;
    raw.to_array().map_err(|fault| fault.at(&path))
}

pub(crate) fn loaded(
    path: &Path,
    contents: &Contents,
    raw: &RawArray,
) -> Result<LoadedArray, IoError> {
    Ok(LoadedArray {
        path: path.to_owned(),
        name: raw.name.clone(),
        data: raw.to_array().map_err(|fault| fault.at(path))?,
        pixel_size: raw.acquisition.pixel_size.or(contents.pixel_size),
        acquisition: raw.acquisition.clone(),
        format: contents.format,
        dtype: raw.class,
    })
}

/// Edge of a pixel, Å, as the file states it for all its arrays.
#[must_use]
pub fn stated_pixel_size(path: &Path) -> Option<f64> {
    Contents::read(path).ok()?.pixel_size
}
