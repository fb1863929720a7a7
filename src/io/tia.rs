//! TIA (Emispec) series, `.ser`: images and stacks with their pixel size; dwell time and stage tilt from the `.emi`
//! file beside them.
//!
//! A head names the kind of the elements and where a table of their offsets lies; each image carries its own
//! calibration in meters. Rows are stored from the bottom up and are turned over here, so that the first row is the
//! upper one as in other formats. Arrays come as `(section, row, column)`, or `(row, column)` for a single image.
//! Format: C. B. Boothroyd, "TIA file format" (web pages of the ER-C).

use super::acquisition::{Acquisition, positive};
use super::array::{NumberType, RawArray, element_count};
use super::error::Fault;

/// Bytes before the pixels of an image: twice (offset, step, element), type, width, height.
const IMAGE_HEAD: u64 = 50;
const METER: f64 = 1e10;

fn at<const N: usize>(bytes: &[u8], offset: u64) -> Result<[u8; N], Fault> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    start
        .checked_add(N)
        .and_then(|end| bytes.get(start..end))
        .map(|slice| slice.try_into().expect("the slice has N bytes"))
        .ok_or(Fault::Truncated {
            expected: offset.saturating_add(N as u64),
            found: bytes.len() as u64,
        })
}

fn u16_at(bytes: &[u8], offset: u64) -> Result<u16, Fault> {
    at(bytes, offset).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], offset: u64) -> Result<u32, Fault> {
    at(bytes, offset).map(u32::from_le_bytes)
}

fn f64_at(bytes: &[u8], offset: u64) -> Result<f64, Fault> {
    at(bytes, offset).map(f64::from_le_bytes)
}

/// One image of the series.
struct Element {
    step: f64,
    number: NumberType,
    columns: usize,
    rows: usize,
    start: u64,
}

fn element(bytes: &[u8], offset: u64) -> Result<Element, Fault> {
    let add = |n: u64| offset.saturating_add(n);
    let number = match u16_at(bytes, add(40))? {
        1 => NumberType::U8,
        2 => NumberType::U16,
        3 => NumberType::U32,
        4 => NumberType::I8,
        5 => NumberType::I16,
        6 => NumberType::I32,
        7 => NumberType::F32,
        8 => NumberType::F64,
        kind @ (9 | 10) => {
            return Err(Fault::Unsupported(format!(
                "its images have the data type {kind} (complex numbers); plain numbers are read"
            )));
        }
        other => return Fault::invalid(format!("its images have the unknown data type {other}")),
    };
    Ok(Element {
        step: f64_at(bytes, add(8))?.abs(),
        number,
        columns: u32_at(bytes, add(42))? as usize,
        rows: u32_at(bytes, add(46))? as usize,
        start: add(IMAGE_HEAD),
    })
}

/// Offsets of the images that were really taken.
fn offsets(bytes: &[u8]) -> Result<Vec<u64>, Fault> {
    if u16_at(bytes, 0)? != 0x4949 || u16_at(bytes, 2)? != 0x0197 {
        return Fault::invalid("it is not a TIA series (its first bytes are not II and 0x0197)");
    }
    // From this version on, offsets have eight bytes.
    let wide = u16_at(bytes, 4)? >= 0x0220;
    match u32_at(bytes, 6)? {
        0x4122 => {}
        0x4120 => {
            return Err(Fault::Unsupported(
                "it is a series of spectra; series of images are read".to_owned(),
            ));
        }
        other => return Fault::invalid(format!("its elements are of the unknown kind {other:#x}")),
    }
    let valid = u64::from(u32_at(bytes, 18)?);
    if valid == 0 {
        return Fault::invalid("it holds no image");
    }
    let width = if wide { 8 } else { 4 };
    let entry = |offset: u64| {
        if wide {
            at(bytes, offset).map(u64::from_le_bytes)
        } else {
            u32_at(bytes, offset).map(u64::from)
        }
    };
    let table = entry(22)?;
    let end = table.saturating_add(valid * width);
    if end > bytes.len() as u64 {
        return Err(Fault::Truncated {
            expected: end,
            found: bytes.len() as u64,
        });
    }
    (0..valid).map(|k| entry(table + k * width)).collect()
}

/// The images of a file's bytes; `notes` are the bytes of its `.emi`, if there is one.
pub(crate) fn parse(bytes: &[u8], notes: Option<&[u8]>) -> Result<RawArray, Fault> {
    let offsets = offsets(bytes)?;
    let elements = offsets
        .iter()
        .map(|&offset| element(bytes, offset))
        .collect::<Result<Vec<Element>, Fault>>()?;
    let first = &elements[0];
    let (rows, columns, size) = (first.rows, first.columns, first.number.size());
    let all = element_count(&[elements.len(), rows, columns, size])?;
    // Honest images do not overlap, so the file bounds the memory.
    if all > bytes.len() {
        return Err(Fault::Truncated {
            expected: all as u64,
            found: bytes.len() as u64,
        });
    }
    let mut pixels = Vec::with_capacity(all);
    for (k, image) in elements.iter().enumerate() {
        if (image.rows, image.columns, image.number) != (rows, columns, first.number) {
            return Fault::invalid(format!(
                "image 1 has {columns} × {rows} pixels of {}, image {} {} × {} of {}",
                first.number.name(),
                k + 1,
                image.columns,
                image.rows,
                image.number.name()
            ));
        }
        let length = rows * columns * size;
        let expected = image.start.saturating_add(length as u64);
        let data = usize::try_from(image.start)
            .ok()
            .and_then(|start| bytes.get(start..start.checked_add(length)?))
            .ok_or(Fault::Truncated {
                expected,
                found: bytes.len() as u64,
            })?;
        if length > 0 {
            for row in data.chunks_exact(columns * size).rev() {
                pixels.extend_from_slice(row);
            }
        }
    }
    let (shape, axes) = if elements.len() == 1 {
        (vec![rows, columns], None)
    } else {
        (vec![elements.len(), rows, columns], Some("tyx".to_owned()))
    };
    Ok(RawArray {
        name: String::new(),
        shape,
        fortran: false,
        number: first.number,
        big_endian: false,
        bytes: pixels.into(),
        acquisition: Acquisition {
            pixel_size: positive(first.step * METER),
            axes,
            ..notes.map(emi).unwrap_or_default()
        },
        class: first.number.name(),
    })
}

/// What the XML inside an `.emi` file says.
fn emi(bytes: &[u8]) -> Acquisition {
    let text = String::from_utf8_lossy(bytes);
    let between = |from: &str, to: &str, text: &str| {
        let start = text.find(from)? + from.len();
        let length = text[start..].find(to)?;
        Some(text[start..start + length].trim().to_owned())
    };
    let number = |text: String| text.parse::<f64>().ok().filter(|value| value.is_finite());
    let labelled = |label: &str| {
        let at = text.find(&format!("<Label>{label}</Label>"))?;
        between("<Value>", "</Value>", &text[at..]).and_then(number)
    };
    Acquisition {
        tilts_deg: labelled("Stage A").into_iter().collect(),
        dwell_us: between("<DwellTimePath>", "</DwellTimePath>", &text)
            .and_then(number)
            .and_then(positive)
            .map(|seconds| seconds * 1e6),
        ..Acquisition::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notes_beside_a_series_are_found() {
        let xml = b"\x00\x01<ObjectInfo><ExperimentalDescription><Root><Data><Label>Stage A</Label>\
            <Value>-12.5</Value><Unit>deg</Unit></Data></Root></ExperimentalDescription><AcquireInfo>\
            <DwellTimePath>6.4E-6</DwellTimePath></AcquireInfo></ObjectInfo>\xff";
        let notes = emi(xml);
        assert_eq!(notes.tilts_deg, [-12.5]);
        assert!((notes.dwell_us.unwrap() - 6.4).abs() < 1e-9);
        assert_eq!(emi(b"nothing").tilts_deg, Vec::<f64>::new());
    }
}
