//! DigitalMicrograph files, `.dm3` and `.dm4`: images and stacks with their calibration and the scan's notes.
//!
//! A file is a tree of tags: a head in big-endian order, directories of named or nameless entries, and values whose
//! types are spelled out before them (numbers, texts, arrays, records). Version 4 widens all counts to eight bytes and
//! puts each entry's length before it. Images are listed under `ImageList`; the first is usually a color thumbnail and
//! is passed over. Arrays come as `(section, row, column)`, or `(row, column)` for a single image.
//! Format: the community's notes (G. Jefferis; B. Schaffer; P. Ercius), there being no official text.

use super::acquisition::{Acquisition, angstrom_per, positive};
use super::array::{NumberType, RawArray, element_count};
use super::error::Fault;
use std::collections::BTreeMap;

/// Directories within directories; real files have fewer than ten.
const DEEPEST: usize = 64;
/// Arrays of records within records, likewise.
const DEEPEST_TYPE: usize = 8;

/// A value of the tree, borrowed from the file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tag<'a> {
    Number(f64),
    /// Numbers of one type, as stored.
    Numbers {
        kind: u64,
        bytes: &'a [u8],
    },
    /// Records, whose content is of no use here.
    Records,
}

/// Values by their paths; nameless entries are named by their number within their directory.
type Tags<'a> = BTreeMap<String, Tag<'a>>;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Version 4: counts of eight bytes.
    wide: bool,
    /// Byte order of the values.
    big_endian: bool,
    tags: Tags<'a>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: u64) -> Result<&'a [u8], Fault> {
        let end = usize::try_from(n)
            .ok()
            .and_then(|n| self.at.checked_add(n))
            .filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(Fault::Truncated {
                expected: (self.at as u64).saturating_add(n),
                found: self.bytes.len() as u64,
            });
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        let bytes = self.take(2)?.try_into().expect("two bytes were taken");
        Ok(u16::from_be_bytes(bytes))
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        let bytes = self.take(4)?.try_into().expect("four bytes were taken");
        Ok(u32::from_be_bytes(bytes))
    }

    /// A count, of four or eight bytes by the version.
    fn count(&mut self) -> Result<u64, Fault> {
        if self.wide {
            let bytes = self.take(8)?.try_into().expect("eight bytes were taken");
            Ok(u64::from_be_bytes(bytes))
        } else {
            Ok(u64::from(self.u32()?))
        }
    }

    fn directory(&mut self, path: &str, depth: usize) -> Result<(), Fault> {
        if depth > DEEPEST {
            return Fault::invalid(format!("its tags are nested more than {DEEPEST} deep"));
        }
        self.take(2)?;
        let entries = self.count()?;
        for number in 0..entries {
            let kind = self.u8()?;
            let length = self.u16()?;
            let name = String::from_utf8_lossy(self.take(u64::from(length))?).into_owned();
            let name = if name.is_empty() {
                number.to_string()
            } else {
                name
            };
            let full = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            if self.wide {
                self.count()?;
            }
            match kind {
                20 => self.directory(&full, depth + 1)?,
                21 => {
                    let tag = self.value()?;
                    // What is not looked up is not kept.
                    if full.starts_with("ImageList/") && full.len() < 128 {
                        self.tags.insert(full, tag);
                    }
                }
                other => {
                    return Fault::invalid(format!(
                        "a tag is a value (21) or a directory (20), {other} was found"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The type of a value and, behind it, the value.
    fn value(&mut self) -> Result<Tag<'a>, Fault> {
        let mark = self.take(4)?;
        if mark != b"%%%%" {
            return Fault::invalid(format!("a value begins with %%%%, {mark:?} was found"));
        }
        let _words = self.count()?;
        let kind = self.count()?;
        match kind {
            15 => {
                let size = self.record_size(0)?;
                self.take(size)?;
                Ok(Tag::Records)
            }
            18 => {
                let length = self.count()?;
                self.take(length)?;
                Ok(Tag::Records)
            }
            20 => {
                let kind = self.count()?;
                let size = self.element_size(kind, 0)?;
                let count = self.count()?;
                let length = count
                    .checked_mul(size)
                    .ok_or_else(|| Fault::Invalid("the size of an array overflows".to_owned()))?;
                let bytes = self.take(length)?;
                Ok(if plain_size(kind).is_some() {
                    Tag::Numbers { kind, bytes }
                } else {
                    Tag::Records
                })
            }
            _ => {
                let size = plain_size(kind).ok_or_else(|| {
                    Fault::Invalid(format!("a value has the unknown type {kind}"))
                })?;
                let bytes = self.take(size)?;
                Ok(Tag::Number(plain(kind, bytes, self.big_endian)))
            }
        }
    }

    /// Bytes of one element of an array of the given type, whose further description follows.
    fn element_size(&mut self, kind: u64, depth: usize) -> Result<u64, Fault> {
        if depth > DEEPEST_TYPE {
            return Fault::invalid("its types are nested too deep");
        }
        match kind {
            15 => self.record_size(depth + 1),
            20 => {
                let inner = self.count()?;
                let size = self.element_size(inner, depth + 1)?;
                let count = self.count()?;
                size.checked_mul(count)
                    .ok_or_else(|| Fault::Invalid("the size of an array overflows".to_owned()))
            }
            _ => plain_size(kind)
                .ok_or_else(|| Fault::Invalid(format!("an array has the unknown type {kind}"))),
        }
    }

    fn record_size(&mut self, depth: usize) -> Result<u64, Fault> {
        let _name = self.count()?;
        let fields = self.count()?;
        let mut size = 0u64;
        for _ in 0..fields {
            let _name = self.count()?;
            let kind = self.count()?;
            size = size
                .checked_add(self.element_size(kind, depth + 1)?)
                .ok_or_else(|| Fault::Invalid("the size of a record overflows".to_owned()))?;
        }
        Ok(size)
    }
}

fn plain_size(kind: u64) -> Option<u64> {
    Some(match kind {
        8..=10 => 1,
        2 | 4 => 2,
        3 | 5 | 6 => 4,
        7 | 11 | 12 => 8,
        _ => return None,
    })
}

/// A single number; the bytes have its size.
fn plain(kind: u64, bytes: &[u8], big_endian: bool) -> f64 {
    let mut word = [0u8; 8];
    let n = bytes.len();
    word[..n].copy_from_slice(bytes);
    if big_endian {
        word[..n].reverse();
    }
    let low = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
    #[allow(clippy::cast_precision_loss)] // numbers beyond 2^53 are no calibration
    match kind {
        2 => f64::from(i16::from_le_bytes([word[0], word[1]])),
        3 => f64::from(i32::from_le_bytes([word[0], word[1], word[2], word[3]])),
        4 => f64::from(u16::from_le_bytes([word[0], word[1]])),
        5 => f64::from(low),
        6 => f64::from(f32::from_bits(low)),
        7 => f64::from_le_bytes(word),
        9 => f64::from(i8::from_le_bytes([word[0]])),
        11 => i64::from_le_bytes(word) as f64,
        12 => u64::from_le_bytes(word) as f64,
        _ => f64::from(word[0]),
    }
}

/// Images of a file's bytes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<RawArray>, Fault> {
    let mut reader = Reader {
        bytes,
        at: 0,
        wide: false,
        big_endian: false,
        tags: Tags::new(),
    };
    reader.wide = match reader.u32()? {
        3 => false,
        4 => true,
        other => {
            return Fault::invalid(format!(
                "it is not a DigitalMicrograph file of version 3 or 4 (its first number is {other})"
            ));
        }
    };
    let _length = reader.count()?;
    reader.big_endian = reader.u32()? == 0;
    reader.directory("", 0)?;
    images(&reader)
}

struct Image<'a, 'b> {
    reader: &'b Reader<'a>,
    path: String,
}

impl<'a> Image<'a, '_> {
    fn tag(&self, path: &str) -> Option<Tag<'a>> {
        self.reader
            .tags
            .get(&format!("{}/{path}", self.path))
            .copied()
    }

    fn number(&self, path: &str) -> Option<f64> {
        match self.tag(path)? {
            Tag::Number(value) if value.is_finite() => Some(value),
            _ => None,
        }
    }

    /// Texts are arrays of 16-bit units.
    fn text(&self, path: &str) -> Option<String> {
        match self.tag(path)? {
            Tag::Numbers { kind: 4, bytes } => {
                let units = bytes.chunks_exact(2).map(|pair| {
                    let pair = [pair[0], pair[1]];
                    if self.reader.big_endian {
                        u16::from_be_bytes(pair)
                    } else {
                        u16::from_le_bytes(pair)
                    }
                });
                Some(
                    char::decode_utf16(units)
                        .map(|c| c.unwrap_or('?'))
                        .collect(),
                )
            }
            _ => None,
        }
    }

    /// Pixels along columns, rows, sections.
    fn dimensions(&self) -> Result<Vec<usize>, Fault> {
        let mut found = Vec::new();
        while let Some(n) = self.number(&format!("ImageData/Dimensions/{}", found.len())) {
            if !((1.0..4e9).contains(&n) && n.fract() == 0.0) {
                return Fault::invalid(format!("an image has {n} pixels along an axis"));
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // just checked
            found.push(n as usize);
        }
        Ok(found)
    }

    fn acquisition(&self) -> Acquisition {
        let scale = self.number("ImageData/Calibrations/Dimension/0/Scale");
        let unit = self
            .text("ImageData/Calibrations/Dimension/0/Units")
            .and_then(|unit| angstrom_per(&unit));
        let scan = "ImageTags/DigiScan";
        let stage = "ImageTags/Microscope Info/Stage Position/Stage Alpha";
        Acquisition {
            pixel_size: scale
                .zip(unit)
                .and_then(|(size, unit)| positive(size.abs() * unit)),
            axes: None,
            tilts_deg: self.number(stage).into_iter().collect(),
            dwell_us: self
                .number(&format!("{scan}/Sample Time"))
                .and_then(positive),
            flyback_us: self
                .number(&format!("{scan}/Flyback"))
                .filter(|time| *time >= 0.0),
            scan_rotation_deg: self.number(&format!("{scan}/Rotation")),
        }
    }
}

fn images(reader: &Reader<'_>) -> Result<Vec<RawArray>, Fault> {
    let mut found = Vec::new();
    for number in 0.. {
        let image = Image {
            reader,
            path: format!("ImageList/{number}"),
        };
        let Some(kind) = image.number("ImageData/DataType") else {
            break;
        };
        // 23 is a color picture: the thumbnail.
        if kind == 23.0 {
            continue;
        }
        found.push(array(&image, kind, number)?);
    }
    if found.is_empty() {
        return Fault::invalid("it holds no image of numbers");
    }
    Ok(found)
}

fn array(image: &Image<'_, '_>, kind: f64, number: usize) -> Result<RawArray, Fault> {
    let number_type = match kind {
        1.0 => NumberType::I16,
        2.0 => NumberType::F32,
        6.0 => NumberType::U8,
        7.0 => NumberType::I32,
        9.0 => NumberType::I8,
        10.0 => NumberType::U16,
        11.0 => NumberType::U32,
        12.0 => NumberType::F64,
        14.0 => NumberType::Bool,
        other => {
            return Err(Fault::Unsupported(format!(
                "image {number} has the data type {other} (complex or packed numbers); plain numbers are read"
            )));
        }
    };
    let mut shape = image.dimensions()?;
    shape.reverse();
    if shape.is_empty() {
        return Fault::invalid(format!("image {number} states no dimensions"));
    }
    let expected = (element_count(&shape)? as u64)
        .checked_mul(number_type.size() as u64)
        .ok_or_else(|| Fault::Invalid("the size of an image overflows".to_owned()))?;
    let Some(Tag::Numbers { bytes, .. }) = image.tag("ImageData/Data") else {
        return Fault::invalid(format!("image {number} holds no data"));
    };
    if bytes.len() as u64 != expected {
        return Err(Fault::Truncated {
            expected,
            found: bytes.len() as u64,
        });
    }
    // A stack of one image is an image.
    while shape.len() > 2 && shape[0] == 1 {
        shape.remove(0);
    }
    let mut acquisition = image.acquisition();
    if shape.len() == 3 {
        acquisition.axes = Some("tyx".to_owned());
    }
    Ok(RawArray {
        name: image.text("Name").unwrap_or_default(),
        shape,
        fortran: false,
        number: number_type,
        big_endian: image.reader.big_endian,
        bytes: bytes.to_vec().into(),
        acquisition,
        class: number_type.name(),
    })
}
