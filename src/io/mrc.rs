//! MRC files (also `.st`, `.ali`, `.rec`, `.map`): read in modes 0, 1, 2, 6, 12, 101, written in mode 2.
//!
//! Columns are fastest and are x, rows are y, sections are z or the tilt. Arrays come as `(section, row, column)`.
//! Format: Cheng et al., "MRC2014", J. Struct. Biol. 192, 146 (2015), and IMOD's notes on mode 0.

use super::acquisition::Acquisition;
use super::array::{NumberType, RawArray, element_count};
use super::error::{Fault, IoError};
use ndarray::ArrayView3;
use std::path::Path;

const HEADER: usize = 1024;

/// What the header says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MrcFile {
    /// Numbers, shape `(section, row, column)`.
    pub array: RawArray,
    /// Edge of a pixel along x, Å; `None` when the header does not say.
    pub pixel_size: Option<f64>,
    /// Whether the header calls it a volume (space group 1) rather than an image stack (0).
    pub is_volume: bool,
}

struct Header<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Header<'_> {
    fn word(&self, offset: usize) -> [u8; 4] {
        let mut word: [u8; 4] = self.bytes[offset..offset + 4]
            .try_into()
            .expect("offsets lie in the header");
        if self.big_endian {
            word.reverse();
        }
        word
    }
    fn i32(&self, offset: usize) -> i32 {
        i32::from_le_bytes(self.word(offset))
    }
    fn f32(&self, offset: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.word(offset)))
    }
    fn is_plausible(&self) -> bool {
        (0..3).all(|i| self.i32(4 * i) > 0) && matches!(self.i32(12), 0..=6 | 12 | 16 | 101)
    }

    /// Mode 0 is signed in MRC2014, but was unsigned in many older files; IMOD says which in a flag.
    fn bytes_are_signed(&self) -> bool {
        const IMOD_STAMP: i32 = 1_146_047_817;
        if self.i32(152) == IMOD_STAMP {
            return self.i32(156) & 1 == 1;
        }
        // Without a version of the standard, a stored maximum above 127 tells of unsigned bytes.
        self.i32(108) >= 20140 || self.f32(80) <= 127.0
    }

    fn pixel_size(&self) -> Option<f64> {
        let intervals = self.i32(28);
        let size = self.f32(40) / f64::from(intervals);
        (intervals > 0 && size.is_finite() && size > 0.0).then_some(size)
    }
}

/// Reads a file's bytes.
pub(crate) fn parse(bytes: &[u8]) -> Result<MrcFile, Fault> {
    if bytes.len() < HEADER {
        return Fault::invalid(format!(
            "an MRC file has a header of 1024 bytes, this file has {} bytes",
            bytes.len()
        ));
    }
    let marked_big = bytes[212] == 0x11;
    let header = [marked_big, !marked_big]
        .into_iter()
        .map(|big_endian| Header { bytes, big_endian })
        .find(Header::is_plausible);
    let Some(header) = header else {
        let printable = bytes[..HEADER]
            .iter()
            .filter(|b| b.is_ascii_graphic() || b.is_ascii_whitespace())
            .count();
        let guess = if printable > HEADER * 95 / 100 {
            "; it looks like text"
        } else {
            ""
        };
        let head = Header {
            bytes,
            big_endian: marked_big,
        };
        return Fault::invalid(format!(
            "it is not an MRC file (size {} × {} × {}, mode {}){guess}",
            head.i32(0),
            head.i32(4),
            head.i32(8),
            head.i32(12)
        ));
    };
    let size = |offset| usize::try_from(header.i32(offset)).expect("plausible sizes are positive");
    let (columns, rows, sections) = (size(0), size(4), size(8));
    let shape = vec![sections, rows, columns];
    let count = element_count(&shape)?;
    let mode = header.i32(12);
    let number = match mode {
        0 if header.bytes_are_signed() => NumberType::I8,
        0 | 101 => NumberType::U8,
        1 => NumberType::I16,
        2 => NumberType::F32,
        6 => NumberType::U16,
        12 => NumberType::F16,
        _ => {
            return Err(Fault::Unsupported(format!(
                "MRC mode {mode} (complex or colour numbers); modes 0, 1, 2, 6, 12 and 101 are read"
            )));
        }
    };
    let extended = u64::try_from(header.i32(92))
        .map_err(|_| Fault::Invalid("its extended header has a negative length".to_owned()))?;
    let start = HEADER as u64 + extended;
    let length = if mode == 101 {
        columns.div_ceil(2) as u64 * rows as u64 * sections as u64
    } else {
        (count as u64)
            .checked_mul(number.size() as u64)
            .ok_or_else(|| Fault::Invalid("its size overflows".to_owned()))?
    };
    let expected = start
        .checked_add(length)
        .ok_or_else(|| Fault::Invalid("its size overflows".to_owned()))?;
    // Before anything is allocated: a header that promises 40 GB is believed only if they are there.
    if (bytes.len() as u64) < expected {
        return Err(Fault::Truncated {
            expected,
            found: bytes.len() as u64,
        });
    }
    let to_index = |n: u64| usize::try_from(n).expect("checked against the file's length");
    let data = &bytes[to_index(start)..to_index(expected)];
    let data = if mode == 101 {
        unpack_nibbles(data, columns)
    } else {
        data.to_vec()
    };
    Ok(MrcFile {
        array: RawArray {
            name: String::new(),
            shape,
            fortran: false,
            number,
            big_endian: header.big_endian,
            bytes: data.into(),
            acquisition: Acquisition::default(),
            class: number.name(),
        },
        pixel_size: header.pixel_size(),
        is_volume: header.i32(88) == 1,
    })
}

/// Mode 101: two pixels per byte, the lower half first, each row filled up to whole bytes.
fn unpack_nibbles(data: &[u8], columns: usize) -> Vec<u8> {
    data.chunks_exact(columns.div_ceil(2))
        .flat_map(|row| row.iter().flat_map(|&b| [b & 0x0f, b >> 4]).take(columns))
        .collect()
}

/// Writes mode 2. `sections` has shape `(section, row, column)`; `is_volume` tells a volume from an image stack.
///
/// # Errors
/// An axis beyond the format's 2³¹, or what the system says.
pub fn write(
    path: &Path,
    sections: ArrayView3<'_, f32>,
    pixel_size: Option<f64>,
    is_volume: bool,
    force: bool,
) -> Result<(), IoError> {
    let (n_sections, n_rows, n_columns) = sections.dim();
    let size = |n: usize| {
        i32::try_from(n)
            .map_err(|_| IoError::data(path, format!("{n} samples on an axis are beyond MRC")))
    };
    let dims = [size(n_columns)?, size(n_rows)?, size(n_sections)?];
    let (mut low, mut high, mut sum, mut squares) =
        (f32::INFINITY, f32::NEG_INFINITY, 0.0f64, 0.0f64);
    for &value in sections {
        low = low.min(value);
        high = high.max(value);
        sum += f64::from(value);
        squares += f64::from(value).powi(2);
    }
    let n = sections.len().max(1) as f64;
    let mean = sum / n;
    let mut header = [0u8; HEADER];
    let mut put = |offset: usize, word: [u8; 4]| header[offset..offset + 4].copy_from_slice(&word);
    for (axis, &n) in dims.iter().enumerate() {
        put(4 * axis, n.to_le_bytes());
        put(28 + 4 * axis, n.to_le_bytes());
        // A cell of zero is how the format says "not known"; 1 Å would be believed by the next reader.
        #[allow(clippy::cast_possible_truncation)]
        let cell = (f64::from(n) * pixel_size.unwrap_or(0.0)) as f32;
        put(40 + 4 * axis, cell.to_le_bytes());
        put(52 + 4 * axis, 90f32.to_le_bytes());
        #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
        put(64 + 4 * axis, (axis as i32 + 1).to_le_bytes());
    }
    put(12, 2i32.to_le_bytes());
    put(76, low.to_le_bytes());
    put(80, high.to_le_bytes());
    #[allow(clippy::cast_possible_truncation)]
    {
        put(84, (mean as f32).to_le_bytes());
        put(
            216,
            ((squares / n - mean * mean).max(0.0).sqrt() as f32).to_le_bytes(),
        );
    }
    put(88, i32::from(is_volume).to_le_bytes());
    put(108, 20140i32.to_le_bytes());
    put(208, *b"MAP ");
    put(212, [0x44, 0x44, 0, 0]);
    put(220, 1i32.to_le_bytes());
    header[224..224 + 17].copy_from_slice(b"written by Aetlas");
    super::write_atomically(path, force, |out| {
        out.write_all(&header)?;
        for value in sections {
            out.write_all(&value.to_le_bytes())?;
        }
        Ok(())
    })
}
