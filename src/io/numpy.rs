//! NumPy `.npy` (format versions 1–3) and `.npz` (stored or deflated members); `.npy` written as C-order singles.
//!
//! Arrays keep NumPy's shape and index order. The header is read by hand rather than as a Python literal, so that
//! no hostile nesting can exhaust the stack, and sizes are checked against the file before anything is allocated.

use super::acquisition::Acquisition;
use super::array::{NumberType, RawArray, element_count};
use super::error::{Fault, IoError};
use super::matlab::DEFLATE_LIMIT;
use ndarray::ArrayViewD;
use std::io::Read;
use std::path::Path;

fn le(bytes: &[u8], offset: usize, length: usize) -> Option<u64> {
    let slice = bytes.get(offset..offset.checked_add(length)?)?;
    Some(
        slice
            .iter()
            .rev()
            .fold(0, |value, &b| value << 8 | u64::from(b)),
    )
}

/// The text behind `'key':` in the header's dictionary.
fn field<'a>(header: &'a str, key: &str) -> Result<&'a str, Fault> {
    [format!("'{key}'"), format!("\"{key}\"")]
        .iter()
        .find_map(|quoted| header.split_once(quoted.as_str()))
        .and_then(|(_, rest)| rest.split_once(':'))
        .map(|(_, rest)| rest.trim_start())
        .ok_or_else(|| Fault::Invalid(format!("its header names no {key}")))
}

fn parse_type(descr: &str) -> Result<(NumberType, bool), Fault> {
    let quote = descr.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let name = quote.and_then(|q| descr[1..].split(q).next());
    let Some(name) = name else {
        return Err(Fault::Unsupported(
            "it holds records, plain numbers are read".to_owned(),
        ));
    };
    let (big_endian, code) = match name.as_bytes().first() {
        Some(b'>') => (true, &name[1..]),
        Some(b'<' | b'|' | b'=') => (false, &name[1..]),
        _ => (false, name),
    };
    let number = match code {
        "b1" | "?" => NumberType::Bool,
        "i1" => NumberType::I8,
        "u1" => NumberType::U8,
        "i2" => NumberType::I16,
        "u2" => NumberType::U16,
        "i4" => NumberType::I32,
        "u4" => NumberType::U32,
        "i8" => NumberType::I64,
        "u8" => NumberType::U64,
        "f2" => NumberType::F16,
        "f4" => NumberType::F32,
        "f8" => NumberType::F64,
        _ => {
            return Err(Fault::Unsupported(format!(
                "it holds numbers of type '{name}'; integers and floats up to 64 bits are read"
            )));
        }
    };
    Ok((number, big_endian))
}

fn parse_shape(text: &str) -> Result<Vec<usize>, Fault> {
    let inner = text
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
        .ok_or_else(|| Fault::Invalid("its header's shape is no tuple".to_owned()))?
        .0;
    inner
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.trim_end_matches('L')
                .parse()
                .map_err(|_| Fault::Invalid(format!("its header's shape holds '{part}'")))
        })
        .collect()
}

/// Reads the bytes of one `.npy`.
pub(crate) fn parse_npy(bytes: &[u8], name: &str) -> Result<RawArray, Fault> {
    if !bytes.starts_with(b"\x93NUMPY") {
        return Fault::invalid("it is not a NumPy file (no \\x93NUMPY at its beginning)");
    }
    let version = bytes.get(6).copied().unwrap_or(0);
    let (start, length) = match version {
        1 => (10, le(bytes, 8, 2)),
        2 | 3 => (12, le(bytes, 8, 4)),
        _ => {
            return Err(Fault::Unsupported(format!(
                "NumPy format version {version}; 1 to 3 are read"
            )));
        }
    };
    let short = |expected: u64| Fault::Truncated {
        expected,
        found: bytes.len() as u64,
    };
    let length = length.ok_or_else(|| short(start as u64))?;
    let data_start = start as u64 + length;
    if data_start > bytes.len() as u64 {
        return Err(short(data_start));
    }
    let data_start = usize::try_from(data_start).expect("checked against the file's length");
    let header = String::from_utf8_lossy(&bytes[start..data_start]);
    let (number, big_endian) = parse_type(field(&header, "descr")?)?;
    let fortran = field(&header, "fortran_order")?.starts_with("True");
    let shape = parse_shape(field(&header, "shape")?)?;
    let size = (element_count(&shape)? as u64)
        .checked_mul(number.size() as u64)
        .and_then(|size| size.checked_add(data_start as u64))
        .ok_or_else(|| Fault::Invalid("its size overflows".to_owned()))?;
    if size > bytes.len() as u64 {
        return Err(short(size));
    }
    let end = usize::try_from(size).expect("checked against the file's length");
    Ok(RawArray {
        name: name.to_owned(),
        shape,
        fortran,
        number,
        big_endian,
        bytes: bytes[data_start..end].to_vec().into(),
        acquisition: Acquisition::default(),
        class: number.name(),
    })
}

struct Member {
    name: String,
    deflated: bool,
    packed: u64,
    size: u64,
    header: u64,
}

/// Reads the central directory of a ZIP archive (with its 64-bit extension).
fn members(bytes: &[u8]) -> Result<Vec<Member>, Fault> {
    let damaged =
        || Fault::Invalid("its directory of members is damaged or missing (truncated?)".to_owned());
    let tail = bytes.len().saturating_sub(65_557);
    let end = bytes[tail..]
        .windows(4)
        .rposition(|w| w == b"PK\x05\x06")
        .ok_or_else(damaged)?
        + tail;
    let mut offset = le(bytes, end + 16, 4).ok_or_else(damaged)?;
    let mut count = le(bytes, end + 10, 2).ok_or_else(damaged)?;
    if offset == 0xffff_ffff || count == 0xffff {
        let locator = end.checked_sub(20).ok_or_else(damaged)?;
        let record = usize::try_from(le(bytes, locator + 8, 8).ok_or_else(damaged)?)
            .map_err(|_| damaged())?;
        if bytes
            .get(record..)
            .is_none_or(|rest| !rest.starts_with(b"PK\x06\x06"))
        {
            return Err(damaged());
        }
        count = le(bytes, record + 32, 8).ok_or_else(damaged)?;
        offset = le(bytes, record + 48, 8).ok_or_else(damaged)?;
    }
    let mut at = usize::try_from(offset).map_err(|_| damaged())?;
    let mut found = Vec::new();
    for _ in 0..count {
        let rest = bytes
            .get(at..)
            .filter(|rest| rest.starts_with(b"PK\x01\x02"))
            .ok_or_else(damaged)?;
        let number = |offset, length| le(rest, offset, length).ok_or_else(damaged);
        #[allow(clippy::cast_possible_truncation)] // 16-bit fields
        let (name_length, extra_length, comment_length) = (
            number(28, 2)? as usize,
            number(30, 2)? as usize,
            number(32, 2)? as usize,
        );
        let name = String::from_utf8_lossy(rest.get(46..46 + name_length).ok_or_else(damaged)?)
            .into_owned();
        let extra = rest
            .get(46 + name_length..46 + name_length + extra_length)
            .ok_or_else(damaged)?;
        let (mut packed, mut size, mut header) = (number(20, 4)?, number(24, 4)?, number(42, 4)?);
        widen(extra, [&mut size, &mut packed, &mut header]);
        let method = number(10, 2)?;
        if method != 0 && method != 8 {
            return Err(Fault::Unsupported(format!(
                "member {name} is packed with method {method}; stored and deflated are read"
            )));
        }
        found.push(Member {
            name,
            deflated: method == 8,
            packed,
            size,
            header,
        });
        at += 46 + name_length + extra_length + comment_length;
    }
    Ok(found)
}

/// Fields that did not fit 32 bits stand, in this order, in the extra block with id 1.
fn widen(extra: &[u8], fields: [&mut u64; 3]) {
    let mut at = 0;
    while let (Some(id), Some(length)) = (le(extra, at, 2), le(extra, at + 2, 2)) {
        if id == 1 {
            let mut inner = at + 4;
            for field in fields {
                if *field == 0xffff_ffff {
                    *field = le(extra, inner, 8).unwrap_or(*field);
                    inner += 8;
                }
            }
            return;
        }
        at += 4 + usize::try_from(length).expect("a 16-bit number");
    }
}

fn unpack(bytes: &[u8], member: &Member) -> Result<Vec<u8>, Fault> {
    let name = &member.name;
    let damaged = || Fault::Invalid(format!("member {name} is damaged"));
    let header = usize::try_from(member.header).map_err(|_| damaged())?;
    let name_length =
        le(bytes, header.checked_add(26).ok_or_else(damaged)?, 2).ok_or_else(damaged)?;
    let extra_length = le(bytes, header + 28, 2).ok_or_else(damaged)?;
    let start = member.header + 30 + name_length + extra_length;
    let end = start.checked_add(member.packed).ok_or_else(damaged)?;
    if end > bytes.len() as u64 {
        return Err(Fault::Truncated {
            expected: end,
            found: bytes.len() as u64,
        });
    }
    let to_index = |n: u64| usize::try_from(n).expect("checked against the file's length");
    let packed = &bytes[to_index(start)..to_index(end)];
    if !member.deflated {
        return Ok(packed.to_vec());
    }
    if member.size > member.packed.saturating_mul(DEFLATE_LIMIT) {
        return Err(damaged());
    }
    let mut content = Vec::new();
    flate2::read::DeflateDecoder::new(packed)
        .take(member.size)
        .read_to_end(&mut content)
        .map_err(|_| damaged())?;
    Ok(content)
}

/// A member of an archive: its name, and its array or why it cannot be read.
type Entry = (String, Result<RawArray, Fault>);

/// Reads the bytes of an `.npz`: all arrays in it. A member of an unread type stands as its fault, so that it can be listed.
pub(crate) fn parse_npz(bytes: &[u8]) -> Result<Vec<Entry>, Fault> {
    let mut arrays = Vec::new();
    for member in members(bytes)? {
        if let Some(name) = member.name.strip_suffix(".npy") {
            let array = unpack(bytes, &member).and_then(|content| parse_npy(&content, name));
            arrays.push((name.to_owned(), array));
        }
    }
    Ok(arrays)
}

/// Writes single-precision numbers in C order.
///
/// # Errors
/// What the system says.
pub fn write(path: &Path, array: ArrayViewD<'_, f32>, force: bool) -> Result<(), IoError> {
    let mut shape = array
        .shape()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if array.ndim() == 1 {
        shape.push(',');
    }
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    // Numbers start at a multiple of 64 bytes, the header ends with a line feed.
    let padding = (64 - (10 + header.len() + 1) % 64) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let length = u16::try_from(header.len()).expect("a shape takes a few hundred characters");
    super::write_atomically(path, force, |out| {
        out.write_all(b"\x93NUMPY\x01\x00")?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for value in array {
            out.write_all(&value.to_le_bytes())?;
        }
        Ok(())
    })
}
