//! HDF5: plain files, MATLAB 7.3, and the two kinds of EMD (Berkeley's and Velox's).
//!
//! Only the directory is read at first; the numbers of a data set when they are asked for. A data set keeps the index
//! order of the file (last index fastest), in MATLAB files MATLAB's (first index fastest). Data sets are named by their
//! path without the leading slash, which may also be given with it.
//!
//! The file is walked by the crate `hdf5-pure`; a panic of it on a damaged file is turned into an error. What a data
//! set claims to hold is compared with what the file stores before any memory is taken.
//! EMD: <https://emdatasets.com/format>; MATLAB's attributes: MathWorks, "MAT-File Versions".

use super::acquisition::Acquisition;
use super::array::{NumberType, RawArray, element_count};
use super::arrays::{ArrayInfo, Unread};
use super::emd;
use super::error::{Fault, IoError};
use super::matlab::DEFLATE_LIMIT;
use hdf5_pure::{AttrValue, Datatype, DatatypeByteOrder, File, Group};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// Groups within groups: a file beyond this is a loop of links.
const DEEPEST: usize = 24;
/// Objects of a file that are looked at.
const MOST_OBJECTS: usize = 20_000;

/// The numbers of one data set, still in the file.
#[derive(Clone)]
pub(crate) struct Dataset {
    inner: Arc<hdf5_pure::Dataset>,
    length: u64,
}

impl PartialEq for Dataset {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dataset of {} bytes", self.length)
    }
}

impl Dataset {
    /// The bytes as the file's type has them.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Fault> {
        let bytes = guarded(|| self.inner.read_raw())?;
        if bytes.len() as u64 != self.length {
            return Err(Fault::Truncated {
                expected: self.length,
                found: bytes.len() as u64,
            });
        }
        Ok(bytes)
    }
}

/// Runs a call into the crate: its errors and its panics become faults.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, hdf5_pure::Error>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Fault::invalid(format!("HDF5: {error}").replace('\n', " ")),
        Err(_) => Fault::invalid("HDF5: its structure is damaged"),
    }
}

/// Whether a file holds HDF5, behind a header of MATLAB's or not.
pub(crate) fn is_hdf5(path: &Path) -> bool {
    hdf5_pure::is_hdf5(path).unwrap_or(false)
}

/// Attributes of a group or data set; none when they cannot be read.
pub(super) type Attributes = HashMap<String, AttrValue>;

/// An attribute that is a text.
pub(super) fn text(attributes: &Attributes, name: &str) -> Option<String> {
    match attributes.get(name)? {
        AttrValue::String(text)
        | AttrValue::AsciiString(text)
        | AttrValue::VarLenString(text)
        | AttrValue::VarLenAsciiString(text)
        | AttrValue::StringSized { value: text, .. }
        | AttrValue::AsciiStringSized { value: text, .. } => {
            Some(text.trim_end_matches('\0').to_owned())
        }
        AttrValue::StringArray(texts)
        | AttrValue::AsciiStringArray(texts)
        | AttrValue::VarLenStringArray(texts)
        | AttrValue::VarLenAsciiStringArray(texts) => texts.first().cloned(),
        _ => None,
    }
}

/// What a file holds.
#[derive(Default)]
pub(crate) struct Found {
    pub arrays: Vec<RawArray>,
    pub others: Vec<Unread>,
}

/// Reads the directory of a file. `matlab` applies MATLAB's rules to names, index order and classes.
pub(crate) fn read(path: &Path, matlab: bool) -> Result<Found, IoError> {
    let length = std::fs::metadata(path)
        .map_err(|source| IoError::system(path, source))?
        .len();
    let walked = guarded(|| File::open_streaming(path)).and_then(|file| {
        let mut walk = Walk {
            matlab,
            file_length: length,
            seen: 0,
            found: Found::default(),
        };
        let root = guarded(|| Ok(file.root()))?;
        walk.group(&root, "", 0)?;
        Ok(walk.found)
    });
    walked.map_err(|fault| fault.at(path))
}

struct Walk {
    matlab: bool,
    file_length: u64,
    seen: usize,
    found: Found,
}

impl Walk {
    fn count(&mut self) -> Result<(), Fault> {
        self.seen += 1;
        if self.seen > MOST_OBJECTS {
            return Err(Fault::Unsupported(format!(
                "it links more than {MOST_OBJECTS} objects"
            )));
        }
        Ok(())
    }

    fn group(&mut self, group: &Group, path: &str, depth: usize) -> Result<(), Fault> {
        self.count()?;
        let attributes = guarded(|| group.attrs()).unwrap_or_default();
        if self.matlab && attributes.contains_key("MATLAB_sparse") {
            self.other(path, Vec::new(), "sparse", None);
            return Ok(());
        }
        let datasets: Vec<(String, hdf5_pure::Dataset)> =
            guarded(|| Ok(group.iter_datasets()?.collect()))?;
        let first = self.found.arrays.len();
        for (name, dataset) in datasets {
            self.count()?;
            let full = join(path, &name);
            if let Err(fault) = self.dataset(dataset, &full) {
                self.other(&full, Vec::new(), "unreadable", Some(fault));
            }
        }
        let fresh = &mut self.found.arrays[first..];
        emd::describe_group(&attributes, group, path, fresh);
        let unread = emd::velox_metadata(path, fresh);
        if let Some(at) = unread.map(|at| first + at) {
            let raw = self.found.arrays.remove(at);
            self.other(&raw.name, raw.shape, "text of the instrument", None);
        }
        if depth >= DEEPEST {
            return Err(Fault::Unsupported(format!(
                "its groups are nested more than {DEEPEST} deep"
            )));
        }
        let groups: Vec<(String, Group)> = guarded(|| Ok(group.iter_groups()?.collect()))?;
        for (name, inner) in groups {
            // What MATLAB keeps behind its cells and objects has no names of its own.
            if !(self.matlab && name.starts_with('#')) {
                self.group(&inner, &join(path, &name), depth + 1)?;
            }
        }
        Ok(())
    }

    fn other(&mut self, name: &str, shape: Vec<usize>, what: &str, fault: Option<Fault>) {
        let info = ArrayInfo {
            name: name.to_owned(),
            shape,
            dtype: what.to_owned(),
            readable: false,
            acquisition: Acquisition::default(),
        };
        self.found.others.push((info, fault));
    }

    fn dataset(&mut self, dataset: hdf5_pure::Dataset, name: &str) -> Result<(), Fault> {
        let datatype = guarded(|| dataset.datatype())?;
        let mut shape = guarded(|| dataset.shape())?
            .into_iter()
            .map(|n| {
                usize::try_from(n).map_err(|_| Fault::Invalid(format!("an axis of {n} numbers")))
            })
            .collect::<Result<Vec<usize>, Fault>>()?;
        let attributes = guarded(|| dataset.attrs()).unwrap_or_default();
        let class = text(&attributes, "MATLAB_class").filter(|_| self.matlab);
        if self.matlab {
            shape.reverse();
            if attributes.contains_key("MATLAB_empty") {
                let what = format!("empty {}", class.as_deref().unwrap_or("array"));
                self.other(name, Vec::new(), &what, None);
                return Ok(());
            }
        }
        let Some((number, big_endian)) = number_type(&datatype) else {
            let what = class.unwrap_or_else(|| kind_of(&datatype).to_owned());
            self.other(name, shape, &what, None);
            return Ok(());
        };
        let length = (element_count(&shape)? as u64)
            .checked_mul(number.size() as u64)
            .ok_or_else(|| Fault::Invalid("its size overflows".to_owned()))?;
        self.believe(&dataset, length)?;
        let number = match class.as_deref() {
            Some("logical") if number.size() == 1 => NumberType::Bool,
            _ => number,
        };
        self.found.arrays.push(RawArray {
            name: name.to_owned(),
            shape,
            fortran: self.matlab,
            number,
            big_endian,
            bytes: super::array::Stored::InFile(Dataset {
                inner: Arc::new(dataset),
                length,
            }),
            acquisition: Acquisition::default(),
            class: class
                .and_then(|class| known_class(&class))
                .unwrap_or(number.name()),
        });
        Ok(())
    }

    /// Refuses a data set that promises more than the file stores.
    fn believe(&self, dataset: &hdf5_pure::Dataset, length: u64) -> Result<(), Fault> {
        let stored = if dataset.is_chunked() {
            let most = if dataset.filters().is_empty() {
                1
            } else {
                DEFLATE_LIMIT
            };
            // Chunks that were never written read as fill values; none are there to be paid for by the file. Some
            // indices of chunks cannot be listed: then the whole file is the limit.
            let packed = guarded(|| dataset.chunks()).map_or(self.file_length, |chunks| {
                chunks
                    .iter()
                    .fold(0u64, |sum, chunk| sum.saturating_add(chunk.storage_size))
                    .min(self.file_length)
            });
            packed.saturating_mul(most)
        } else {
            self.file_length
        };
        if length > stored {
            return Err(Fault::Truncated {
                expected: length,
                found: stored,
            });
        }
        Ok(())
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}/{name}")
    }
}

/// The numbers a type stands for, and whether they are big-endian.
fn number_type(datatype: &Datatype) -> Option<(NumberType, bool)> {
    let order = |order: &DatatypeByteOrder| match order {
        DatatypeByteOrder::LittleEndian => Some(false),
        DatatypeByteOrder::BigEndian => Some(true),
        _ => None,
    };
    match datatype {
        Datatype::FixedPoint {
            size,
            byte_order,
            layout,
        } => {
            if layout.bit_offset != 0 || u32::from(layout.bit_precision) != size.checked_mul(8)? {
                return None;
            }
            let number = match (size, layout.signed) {
                (1, true) => NumberType::I8,
                (1, false) => NumberType::U8,
                (2, true) => NumberType::I16,
                (2, false) => NumberType::U16,
                (4, true) => NumberType::I32,
                (4, false) => NumberType::U32,
                (8, true) => NumberType::I64,
                (8, false) => NumberType::U64,
                _ => return None,
            };
            Some((number, order(byte_order)?))
        }
        Datatype::FloatingPoint {
            size,
            byte_order,
            layout,
        } => {
            let number = match (size, layout.exponent_size, layout.mantissa_size) {
                (2, 5, 10) => NumberType::F16,
                (4, 8, 23) => NumberType::F32,
                (8, 11, 52) => NumberType::F64,
                _ => return None,
            };
            Some((number, order(byte_order)?))
        }
        // How Python's programs write truth values.
        Datatype::Enumeration {
            size: 1, members, ..
        } if members.len() == 2 => Some((NumberType::Bool, false)),
        _ => None,
    }
}

fn kind_of(datatype: &Datatype) -> &'static str {
    match datatype {
        Datatype::String { .. } => "text",
        Datatype::VariableLength {
            is_string: true, ..
        } => "text",
        Datatype::Compound { .. } => "compound",
        Datatype::Reference { .. } => "reference",
        _ => "other type",
    }
}

fn known_class(class: &str) -> Option<&'static str> {
    [
        "double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64",
        "uint64", "logical", "char",
    ]
    .into_iter()
    .find(|known| *known == class)
}
