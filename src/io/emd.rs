//! What EMD files say about their images: axes and units of Berkeley's, the instrument's notes of Velox's.
//!
//! Berkeley: a group with the attribute `emd_group_type` holds an array and one vector `dim1`, `dim2`, … (from version
//! 1 on `dim0`, …) per axis, with its name and units. Velox: `Data/Image/⟨id⟩/Data` has the index order (y, x, frame);
//! `Metadata` beside it holds one JSON text per frame, as a column of bytes filled up with zeros.

use super::acquisition::{Acquisition, angstrom_per, positive};
use super::array::{NumberType, RawArray};
use super::hdf5::{Attributes, guarded, text};
use hdf5_pure::Group;
use serde_json::Value;

/// Texts beyond this are no notes.
const MOST_NOTES: usize = 64 << 20;

fn leaf(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Notes axes, pixel size and tilts on the array of a Berkeley group; other groups are left alone.
pub(super) fn describe_group(
    attributes: &Attributes,
    group: &Group,
    path: &str,
    arrays: &mut [RawArray],
) {
    if path.is_empty() || !attributes.contains_key("emd_group_type") {
        return;
    }
    let from_zero = arrays.iter().any(|raw| leaf(&raw.name) == "dim0");
    let is_data = |raw: &RawArray| !leaf(&raw.name).starts_with("dim") && raw.shape.len() > 1;
    let Some(at) = arrays.iter().position(is_data) else {
        return;
    };
    let rank = arrays[at].shape.len();
    let axes: Vec<Axis> = (0..rank)
        .map(|k| {
            let name = format!("dim{}", if from_zero { k } else { k + 1 });
            let values = arrays
                .iter()
                .find(|raw| leaf(&raw.name) == name && raw.shape.len() == 1)
                .and_then(|raw| raw.to_array::<f64>().ok());
            let attributes = guarded(|| group.dataset(&name)?.attrs()).unwrap_or_default();
            Axis {
                name: text(&attributes, "name").unwrap_or_default(),
                units: text(&attributes, "units").unwrap_or_default(),
                values: values.map_or_else(Vec::new, |v| v.into_iter().collect()),
            }
        })
        .collect();
    let data = &mut arrays[at];
    data.acquisition = berkeley(&axes, &data.shape);
}

struct Axis {
    name: String,
    units: String,
    values: Vec<f64>,
}

impl Axis {
    fn radian(&self) -> bool {
        self.units.contains("rad")
    }

    /// x, y, z, t or f, if name and units say it.
    fn letter(&self) -> Option<char> {
        let name = self.name.trim().to_ascii_lowercase();
        if ["angle", "tilt", "theta"]
            .iter()
            .any(|hint| name.contains(hint))
            || self.units.contains("deg")
            || self.radian()
        {
            return Some('t');
        }
        Some(match name.as_str() {
            "x" | "rx" => 'x',
            "y" | "ry" => 'y',
            "z" => 'z',
            _ if name.contains("frame") || name == "time" => 'f',
            _ => return None,
        })
    }

    fn step(&self) -> Option<f64> {
        let (first, last) = (self.values.first()?, self.values.last()?);
        let steps = self.values.len().checked_sub(1).filter(|n| *n > 0)?;
        positive((last - first).abs() / steps as f64 * angstrom_per(&self.units)?)
    }
}

fn berkeley(axes: &[Axis], shape: &[usize]) -> Acquisition {
    let letters: Option<String> = axes.iter().map(Axis::letter).collect();
    let axes_known = letters.filter(|letters| {
        let unique = letters.chars().all(|c| letters.matches(c).count() == 1);
        unique && letters.contains('x') && letters.contains('y')
    });
    let along_x = axes.iter().find(|axis| axis.letter() == Some('x'));
    let tilts = axes
        .iter()
        .zip(shape)
        .find(|(axis, n)| axis.letter() == Some('t') && axis.values.len() == **n);
    Acquisition {
        pixel_size: along_x
            .or(axes.iter().rev().find(|axis| axis.step().is_some()))
            .and_then(Axis::step),
        axes: axes_known,
        tilts_deg: tilts.map_or_else(Vec::new, |(axis, _)| {
            let to_deg = if axis.radian() {
                f64::to_degrees
            } else {
                |v| v
            };
            axis.values.iter().copied().map(to_deg).collect()
        }),
        ..Acquisition::default()
    }
}

/// Notes what Velox wrote beside its images; returns where among `arrays` the notes themselves are.
pub(super) fn velox_metadata(path: &str, arrays: &mut [RawArray]) -> Option<usize> {
    if !path.starts_with("Data/Image/") {
        return None;
    }
    let notes = arrays.iter().position(|raw| {
        leaf(&raw.name) == "Metadata" && raw.number == NumberType::U8 && raw.shape.len() == 2
    })?;
    let data = arrays
        .iter()
        .position(|raw| leaf(&raw.name) == "Data" && raw.shape.len() == 3)?;
    let [rows, columns, frames] = *arrays[data].shape.as_slice() else {
        return None;
    };
    let texts = note_texts(&arrays[notes]);
    arrays[data].acquisition = velox(&texts, [rows, columns, frames]);
    Some(notes)
}

/// The JSON texts, one per frame; those that cannot be read are left out.
fn note_texts(raw: &RawArray) -> Vec<Value> {
    let [length, frames] = *raw.shape.as_slice() else {
        return Vec::new();
    };
    if length.saturating_mul(frames) > MOST_NOTES {
        return Vec::new();
    }
    let Ok(bytes) = raw.to_array::<f32>() else {
        return Vec::new();
    };
    bytes
        .columns()
        .into_iter()
        .filter_map(|column| {
            // Exact: the numbers are bytes.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let text: Vec<u8> = column
                .iter()
                .map(|&byte| byte as u8)
                .take_while(|&byte| byte != 0)
                .collect();
            serde_json::from_slice(&text).ok()
        })
        .collect()
}

/// A number at a path of keys; Velox writes most numbers as texts.
fn number(value: &Value, keys: &[&str]) -> Option<f64> {
    let found = keys.iter().try_fold(value, |value, key| value.get(key))?;
    let number = match found {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_f64()?,
    };
    number.is_finite().then_some(number)
}

fn velox(texts: &[Value], [rows, columns, frames]: [usize; 3]) -> Acquisition {
    let axes = Some("yxt".to_owned());
    let Some(first) = texts.first() else {
        return Acquisition {
            axes,
            ..Acquisition::default()
        };
    };
    let unit = first
        .pointer("/BinaryResult/PixelUnitX")
        .and_then(Value::as_str)
        .and_then(angstrom_per);
    let pixel = number(first, &["BinaryResult", "PixelSize", "width"]);
    let dwell = number(first, &["Scan", "DwellTime"]).and_then(positive);
    let frame = number(first, &["Scan", "FrameTime"]).and_then(positive);
    let line = dwell.map(|dwell| dwell * columns as f64);
    let flyback = frame
        .zip(line)
        .map(|(frame, line)| frame / rows.max(1) as f64 - line)
        // A flyback longer than its line is a pause between frames, or the notes are of another scan.
        .filter(|flyback| line.is_some_and(|line| (0.0..line).contains(flyback)));
    let tilts: Vec<f64> = texts
        .iter()
        .filter_map(|text| number(text, &["Stage", "AlphaTilt"]))
        .map(f64::to_degrees)
        .collect();
    Acquisition {
        pixel_size: pixel
            .zip(unit)
            .and_then(|(size, unit)| positive(size * unit)),
        axes,
        tilts_deg: match tilts.len() {
            n if n == frames => tilts,
            0 => Vec::new(),
            _ => vec![tilts[0]],
        },
        dwell_us: dwell.map(|time| time * 1e6),
        flyback_us: flyback.map(|time| time * 1e6),
        scan_rotation_deg: number(first, &["Scan", "ScanRotation"]).map(f64::to_degrees),
    }
}
