//! MATLAB `.mat` files of level 5 (`-v6`, and `-v7` with deflated elements): numeric, logical and character arrays.
//!
//! Arrays keep MATLAB's shape and index order (first index fastest). Structures, cells, objects and sparse matrices
//! are listed but not decoded; complex arrays give their real part's place to an error. Level 4 and 7.3 (HDF5) files
//! are recognised and refused with a way out. Format: MathWorks, "MAT-File Format", level 5.

use super::acquisition::Acquisition;
use super::array::{NumberType, RawArray, element_count};
use super::error::{Fault, IoError};
use ndarray::ArrayViewD;
use std::io::{Read, Write};
use std::path::Path;

/// A variable of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Variable {
    /// Can be read as numbers.
    Numbers(RawArray),
    /// Something else: its name, its shape where it has one, what it is.
    Other {
        name: String,
        shape: Vec<usize>,
        class: String,
    },
}

/// Deflate cannot expand by more than this (258 bytes from two bits), so a larger promise is a lie.
pub(crate) const DEFLATE_LIMIT: u64 = 1032;

const COMPRESSED: u32 = 15;
const MATRIX: u32 = 14;

struct Cursor<'a> {
    rest: &'a [u8],
    big_endian: bool,
}

impl<'a> Cursor<'a> {
    fn u32_at(&self, offset: usize) -> Option<u32> {
        let bytes: [u8; 4] = self.rest.get(offset..offset + 4)?.try_into().ok()?;
        Some(if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    /// The next element: its type and its bytes. Handles the small form, where both share eight bytes.
    fn element(&mut self, padded: bool) -> Result<(u32, &'a [u8]), Fault> {
        let short = |found: usize| Fault::Truncated {
            expected: 8,
            found: found as u64,
        };
        let tag = self.u32_at(0).ok_or_else(|| short(self.rest.len()))?;
        if tag >> 16 != 0 {
            let length = (tag >> 16) as usize;
            if length > 4 {
                return Fault::invalid(format!(
                    "a small element promises {length} bytes, at most 4 fit"
                ));
            }
            let bytes = self
                .rest
                .get(4..4 + length)
                .ok_or_else(|| short(self.rest.len()))?;
            self.rest = self.rest.get(8..).unwrap_or_default();
            return Ok((tag & 0xffff, bytes));
        }
        let length = self.u32_at(4).ok_or_else(|| short(self.rest.len()))? as usize;
        let found = self.rest.len() - 8;
        let bytes = self.rest[8..].get(..length).ok_or(Fault::Truncated {
            expected: length as u64,
            found: found as u64,
        })?;
        let step = if padded {
            length.div_ceil(8) * 8
        } else {
            length
        };
        self.rest = self.rest[8..].get(step..).unwrap_or_default();
        Ok((tag, bytes))
    }
}

fn number_type(element: u32) -> Option<NumberType> {
    Some(match element {
        1 => NumberType::I8,
        2 | 16 => NumberType::U8,
        3 => NumberType::I16,
        4 | 17 => NumberType::U16,
        5 => NumberType::I32,
        6 | 18 => NumberType::U32,
        7 => NumberType::F32,
        9 => NumberType::F64,
        12 => NumberType::I64,
        13 => NumberType::U64,
        _ => return None,
    })
}

fn class_name(class: u8) -> &'static str {
    match class {
        1 => "cell",
        2 => "struct",
        3 | 17 => "object",
        4 => "char",
        5 => "sparse",
        6 => "double",
        7 => "single",
        8 => "int8",
        9 => "uint8",
        10 => "int16",
        11 => "uint16",
        12 => "int32",
        13 => "uint32",
        14 => "int64",
        15 => "uint64",
        16 => "function",
        _ => "unknown",
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .trim_end_matches('\0')
        .to_owned()
}

/// Reads one `miMATRIX` element's content.
fn matrix(content: &[u8], big_endian: bool) -> Result<Variable, Fault> {
    let mut cursor = Cursor {
        rest: content,
        big_endian,
    };
    let (_, flag_bytes) = cursor.element(true)?;
    let flag_word = Cursor {
        rest: flag_bytes,
        big_endian,
    }
    .u32_at(0)
    .ok_or_else(|| Fault::Invalid("an array has no flags".to_owned()))?;
    let class = (flag_word & 0xff) as u8;
    let (complex, logical) = (flag_word & 0x0800 != 0, flag_word & 0x0200 != 0);
    if class == 17 {
        // Objects of the newer kind have no dimensions: name, "MCOS", class name.
        let name = text(cursor.element(true)?.1);
        let _system = cursor.element(true)?;
        let kind = cursor
            .element(true)
            .map_or_else(|_| String::new(), |(_, bytes)| text(bytes));
        return Ok(Variable::Other {
            name,
            shape: Vec::new(),
            class: format!("object {kind}"),
        });
    }
    let (_, dimension_bytes) = cursor.element(true)?;
    let dimensions = Cursor {
        rest: dimension_bytes,
        big_endian,
    };
    let mut shape = Vec::with_capacity(dimension_bytes.len() / 4);
    while let Some(n) = dimensions.u32_at(shape.len() * 4) {
        shape.push(
            usize::try_from(n)
                .ok()
                .filter(|&n| n < 1 << 31)
                .ok_or_else(|| Fault::Invalid("an array has a negative dimension".to_owned()))?,
        );
    }
    let name = text(cursor.element(true)?.1);
    let other =
        |class: String, shape: Vec<usize>, name: String| Ok(Variable::Other { name, shape, class });
    if !matches!(class, 4 | 6..=15) {
        return other(class_name(class).to_owned(), shape, name);
    }
    if complex {
        return other(format!("complex {}", class_name(class)), shape, name);
    }
    let count = element_count(&shape)?;
    let (element, bytes) = if count == 0 {
        (9, &[][..])
    } else {
        cursor.element(false)?
    };
    let number = number_type(element).ok_or_else(|| {
        Fault::Invalid(format!(
            "variable {name} has the unknown storage type {element}"
        ))
    })?;
    let expected = count as u64 * number.size() as u64;
    if bytes.len() as u64 != expected {
        // Strings in UTF-8 have fewer characters than bytes: they are no numbers anyway.
        return if class == 4 {
            other("char".to_owned(), shape, name)
        } else {
            Err(Fault::Truncated {
                expected,
                found: bytes.len() as u64,
            })
        };
    }
    Ok(Variable::Numbers(RawArray {
        name,
        shape,
        fortran: true,
        number: if logical { bool_like(number) } else { number },
        big_endian,
        bytes: bytes.to_vec().into(),
        acquisition: Acquisition::default(),
        class: if logical {
            "logical"
        } else {
            class_name(class)
        },
    }))
}

/// Logical arrays are stored as bytes; one stored wider keeps its storage type, its values are 0 and 1 anyway.
fn bool_like(number: NumberType) -> NumberType {
    if number.size() == 1 {
        NumberType::Bool
    } else {
        number
    }
}

/// Inflates one compressed element, which must hold exactly one inner element.
fn inflate(compressed: &[u8], big_endian: bool) -> Result<(u32, Vec<u8>), Fault> {
    let mut decoder = flate2::read::ZlibDecoder::new(compressed);
    let broken = |error: std::io::Error| {
        Fault::Invalid(format!("a compressed variable is damaged ({error})"))
    };
    let mut tag = [0u8; 8];
    decoder.read_exact(&mut tag).map_err(broken)?;
    let cursor = Cursor {
        rest: &tag,
        big_endian,
    };
    let (kind, length) = (
        cursor.u32_at(0).unwrap_or(0),
        u64::from(cursor.u32_at(4).unwrap_or(0)),
    );
    if length > compressed.len() as u64 * DEFLATE_LIMIT {
        return Err(Fault::Truncated {
            expected: length,
            found: compressed.len() as u64 * DEFLATE_LIMIT,
        });
    }
    let mut content = Vec::new();
    // Grows with what really comes out, so a wrong promise costs nothing.
    decoder
        .take(length)
        .read_to_end(&mut content)
        .map_err(broken)?;
    if content.len() as u64 != length {
        return Err(Fault::Truncated {
            expected: length,
            found: content.len() as u64,
        });
    }
    Ok((kind, content))
}

/// All variables of a file's bytes, in file order.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Variable>, Fault> {
    const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";
    if bytes.starts_with(HDF5) || bytes.get(512..).is_some_and(|rest| rest.starts_with(HDF5)) {
        return Err(Fault::Unsupported(
            "it is a MATLAB 7.3 (HDF5) file; save it in MATLAB with save(…, '-v7')".to_owned(),
        ));
    }
    if bytes.len() < 128 {
        return Fault::invalid(format!(
            "a MATLAB file has a header of 128 bytes, this file has {} bytes",
            bytes.len()
        ));
    }
    let big_endian = match &bytes[126..128] {
        b"IM" => false,
        b"MI" => true,
        _ if bytes[..4].contains(&0) => {
            return Err(Fault::Unsupported(
                "it seems to be a MATLAB level 4 file; save it in MATLAB with save(…, '-v7')"
                    .to_owned(),
            ));
        }
        _ => return Fault::invalid("it is not a MATLAB file (no byte order mark at byte 126)"),
    };
    let mut cursor = Cursor {
        rest: &bytes[128..],
        big_endian,
    };
    let mut variables = Vec::new();
    while cursor.rest.len() >= 8 {
        // Compressed elements are the only ones that are not padded at this level.
        let compressed = cursor.u32_at(0) == Some(COMPRESSED);
        let (kind, content) = cursor.element(!compressed)?;
        let inflated;
        let (kind, content) = if kind == COMPRESSED {
            inflated = inflate(content, big_endian)?;
            (inflated.0, inflated.1.as_slice())
        } else {
            (kind, content)
        };
        if kind != MATRIX {
            return Fault::invalid(format!(
                "a variable was expected, an element of type {kind} was found"
            ));
        }
        let variable = matrix(content, big_endian)?;
        // The nameless byte array is the workspace behind objects, of no use to a reader.
        if !matches!(&variable, Variable::Numbers(raw) if raw.name.is_empty()) {
            variables.push(variable);
        }
    }
    if !cursor.rest.is_empty() && cursor.rest.iter().any(|&b| b != 0) {
        return Err(Fault::Truncated {
            expected: 8,
            found: cursor.rest.len() as u64,
        });
    }
    Ok(variables)
}

fn padded_element(out: &mut dyn Write, kind: u32, bytes: &[u8]) -> std::io::Result<()> {
    element_head(out, kind, bytes.len())?;
    out.write_all(bytes)?;
    out.write_all(&[0; 8][..(8 - bytes.len() % 8) % 8])
}

#[allow(clippy::cast_possible_truncation)] // callers hold the level-5 limit of 2 GiB
fn element_head(out: &mut dyn Write, kind: u32, length: usize) -> std::io::Result<()> {
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&(length as u32).to_le_bytes())
}

/// Writes single-precision arrays as an uncompressed level-5 file; the names must be MATLAB identifiers.
///
/// # Errors
/// An array beyond the format's 2 GiB, or what the system says.
pub fn write(
    path: &Path,
    variables: &[(&str, ArrayViewD<'_, f32>)],
    force: bool,
) -> Result<(), IoError> {
    for (name, array) in variables {
        if array.len() * 4 >= (1 << 31) - 4096 {
            return Err(IoError::data(
                path,
                format!("{name} is beyond the 2 GiB of a MATLAB file; write .npy or .mrc"),
            ));
        }
    }
    super::write_atomically(path, force, |out| {
        let mut header = [b' '; 128];
        let title = b"MATLAB 5.0 MAT-file, written by Aetlas";
        header[..title.len()].copy_from_slice(title);
        header[116..124].fill(0);
        header[124..].copy_from_slice(&[0x00, 0x01, b'I', b'M']);
        out.write_all(&header)?;
        for (name, array) in variables {
            let mut head = Vec::new();
            padded_element(&mut head, 6, &[7, 0, 0, 0, 0, 0, 0, 0])?;
            let mut shape = array.shape().to_vec();
            while shape.len() < 2 {
                shape.push(1);
            }
            #[allow(clippy::cast_possible_truncation)] // below 2 GiB in all
            let dimensions: Vec<u8> = shape
                .iter()
                .flat_map(|&n| (n as u32).to_le_bytes())
                .collect();
            padded_element(&mut head, 5, &dimensions)?;
            padded_element(&mut head, 1, name.as_bytes())?;
            let length = array.len() * 4;
            let padding = (8 - length % 8) % 8;
            element_head(out, MATRIX, head.len() + 8 + length + padding)?;
            out.write_all(&head)?;
            element_head(out, 7, length)?;
            // Reversed axes in C order are the axes in MATLAB's order.
            for value in array.t() {
                out.write_all(&value.to_le_bytes())?;
            }
            out.write_all(&[0; 8][..padding])?;
        }
        Ok(())
    })
}
