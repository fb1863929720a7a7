//! Multi-page TIFF: pages are tilts (or sections), rows are y, columns are x. Arrays come as `(page, row, column)`.

use super::error::Fault;
use super::matlab::DEFLATE_LIMIT;
use ndarray::Array3;
use std::io::Cursor;
use tiff::decoder::{Decoder, DecodingResult, Limits};

fn fault(error: &tiff::TiffError) -> Fault {
    match error {
        tiff::TiffError::UnsupportedError(what) => Fault::Unsupported(what.to_string()),
        other => Fault::Invalid(format!("TIFF: {other}")),
    }
}

/// Reads the bytes of a file: numbers of shape `(page, row, column)` and the name of their type.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Array3<f32>, &'static str), Fault> {
    // No packing of TIFF expands more than deflate, so what is larger than this is a lie.
    let most =
        usize::try_from((bytes.len() as u64).saturating_mul(DEFLATE_LIMIT)).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = most.min(1 << 32);
    limits.intermediate_buffer_size = most.min(1 << 32);
    let mut decoder = Decoder::new(Cursor::new(bytes))
        .map_err(|e| fault(&e))?
        .with_limits(limits);
    let (mut pages, mut size, mut numbers) = (0usize, None, Vec::new());
    let kind = loop {
        let (width, height) = decoder.dimensions().map_err(|e| fault(&e))?;
        if *size.get_or_insert((width, height)) != (width, height) {
            let (w, h) = size.unwrap_or_default();
            return Fault::invalid(format!(
                "page 1 has {w} × {h} pixels, page {} {width} × {height}",
                pages + 1
            ));
        }
        let color = decoder.colortype().map_err(|e| fault(&e))?;
        if !matches!(color, tiff::ColorType::Gray(_)) {
            return Err(Fault::Unsupported(format!(
                "its pages are {color:?}, single-channel images are read"
            )));
        }
        let count = width as usize * height as usize;
        if count > most {
            return Err(Fault::Truncated {
                expected: count as u64,
                found: bytes.len() as u64,
            });
        }
        let before = numbers.len();
        let kind = append(decoder.read_image().map_err(|e| fault(&e))?, &mut numbers);
        if numbers.len() - before != count {
            return Err(Fault::Truncated {
                expected: count as u64,
                found: (numbers.len() - before) as u64,
            });
        }
        pages += 1;
        // A chain of pages cannot honestly be longer than a page's least entry fits into the file.
        if numbers.len() > most {
            return Fault::invalid("its pages promise more pixels than the file can hold");
        }
        if !decoder.more_images() {
            break kind;
        }
        decoder.next_image().map_err(|e| fault(&e))?;
    };
    let (width, height) = size.unwrap_or_default();
    let images = Array3::from_shape_vec((pages, height as usize, width as usize), numbers)
        .map_err(|error| Fault::Invalid(format!("TIFF: {error}")))?;
    Ok((images, kind))
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // pixels become singles by design
fn append(page: DecodingResult, numbers: &mut Vec<f32>) -> &'static str {
    match page {
        DecodingResult::U8(v) => (numbers.extend(v.into_iter().map(f32::from)), "uint8").1,
        DecodingResult::I8(v) => (numbers.extend(v.into_iter().map(f32::from)), "int8").1,
        DecodingResult::U16(v) => (numbers.extend(v.into_iter().map(f32::from)), "uint16").1,
        DecodingResult::I16(v) => (numbers.extend(v.into_iter().map(f32::from)), "int16").1,
        DecodingResult::U32(v) => (numbers.extend(v.into_iter().map(|x| x as f32)), "uint32").1,
        DecodingResult::I32(v) => (numbers.extend(v.into_iter().map(|x| x as f32)), "int32").1,
        DecodingResult::U64(v) => (numbers.extend(v.into_iter().map(|x| x as f32)), "uint64").1,
        DecodingResult::I64(v) => (numbers.extend(v.into_iter().map(|x| x as f32)), "int64").1,
        DecodingResult::F16(v) => (numbers.extend(v.into_iter().map(f32::from)), "float16").1,
        DecodingResult::F32(v) => (numbers.extend(v), "float32").1,
        DecodingResult::F64(v) => (numbers.extend(v.into_iter().map(|x| x as f32)), "float64").1,
    }
}
