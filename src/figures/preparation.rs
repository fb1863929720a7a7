//! What the preparation of a series found, as plots and tables: drift of the frames, damage between images of the same side,
//! and the counts along a line.

use super::tables::{Row, Table};
use super::{AxisLabel, Figure, Ink, Layer};
use crate::preprocess::Drift;
use crate::preprocess::inspect::{Damage, LineProfile};

/// A drift's unit, and every tilt's velocity in it: Å where the pixel size is known.
fn velocities(drift: &Drift) -> (&'static str, Vec<[f64; 2]>) {
    let known: Option<Vec<[f64; 2]>> = drift.tilts.iter().map(|t| t.angstrom_per_frame).collect();
    known.map_or_else(
        || {
            (
                "px/frame",
                drift.tilts.iter().map(|t| t.px_per_frame).collect(),
            )
        },
        |known| ("Å/frame", known),
    )
}

/// Drift velocity of every tilt; `None` without frames.
#[must_use]
pub fn drift_figure(drift: &Drift) -> Option<Figure> {
    let (unit, found) = velocities(drift);
    let speeds: Vec<f64> = found.iter().map(|v| v[0].hypot(v[1])).collect();
    let most = speeds.iter().copied().fold(0.0, f64::max);
    let mean = speeds.iter().sum::<f64>() / speeds.len().max(1) as f64;
    let (low, high) = (drift.tilts.first()?.tilt_deg, drift.tilts.last()?.tilt_deg);
    let numbered = |values: &mut dyn Iterator<Item = f64>| -> Vec<[f64; 2]> {
        values
            .enumerate()
            .map(|(k, v)| [k as f64 + 1.0, v])
            .collect()
    };
    let line = |name: &str, ink, dashed, points| Layer::Line {
        name: name.to_owned(),
        points,
        ink,
        dashed,
    };
    Some(Figure {
        id: "drift".to_owned(),
        title: "Drift of the frames".to_owned(),
        x: AxisLabel::new("Tilt", ""),
        y: AxisLabel::new("Drift", unit),
        layers: vec![
            line(
                "along x",
                Ink::Primary,
                false,
                numbered(&mut found.iter().map(|v| v[0])),
            ),
            line(
                "along y",
                Ink::Secondary,
                false,
                numbered(&mut found.iter().map(|v| v[1])),
            ),
            line(
                "speed",
                Ink::Muted,
                true,
                numbered(&mut speeds.iter().copied()),
            ),
        ],
        note: format!(
            "n = {} tilts from {low:.1}° to {high:.1}°; mean speed {mean:.3}, largest {most:.3} {unit}",
            found.len()
        ),
        ..Figure::default()
    })
}

fn columns(names: &[(&str, &str)]) -> Vec<AxisLabel> {
    (names.iter())
        .map(|(name, unit)| AxisLabel::new(name, unit))
        .collect()
}

/// The drift of every tilt.
#[must_use]
pub fn drift_table(drift: &Drift) -> Table {
    let (unit, found) = velocities(drift);
    let rows = drift
        .tilts
        .iter()
        .zip(&found)
        .enumerate()
        .map(|(k, (tilt, v))| {
            let dropped: Vec<String> = tilt.dropped.iter().map(ToString::to_string).collect();
            let how = if tilt.straightened {
                "pixel by pixel"
            } else {
                "as a whole"
            };
            let degrees = |radians: f64| format!("{:.0}", radians.to_degrees());
            Row {
                cells: vec![
                    (k + 1).to_string(),
                    format!("{:.1}", tilt.tilt_deg),
                    format!("{:.3}", v[0]),
                    format!("{:.3}", v[1]),
                    format!("{:.3}", v[0].hypot(v[1])),
                    degrees(v[1].atan2(v[0])),
                    how.to_owned(),
                    dropped.join(", "),
                ],
                ..Row::default()
            }
        });
    Table {
        id: "drift_table".to_owned(),
        title: "Drift of every tilt".to_owned(),
        columns: columns(&[
            ("Tilt", ""),
            ("θ", "°"),
            ("Along x", unit),
            ("Along y", unit),
            ("Speed", unit),
            ("Direction from x", "°"),
            ("Moved", ""),
            ("Frames left out", ""),
        ]),
        rows: rows.collect(),
        note: "A line fitted through the frames of each tilt; frames that jump are only moved as a whole".to_owned(),
        color_by: None,
    }
}

/// Later images of a side against the first; `None` when there is one only.
#[must_use]
pub fn damage_table(damage: &[Damage]) -> Option<Table> {
    let first = damage.first()?;
    let rows = damage.iter().map(|d| Row {
        cells: vec![
            (d.image + 1).to_string(),
            format!("{:.1}", d.tilt_deg),
            format!("{:.4}", d.correlation),
            d.expected_correlation
                .map_or("–".to_owned(), |expected| format!("{expected:.4}")),
            format!("{:.2}", 100.0 * d.intensity_ratio),
            d.intensity_error
                .map_or("–".to_owned(), |error| format!("{:.2}", 100.0 * error)),
        ],
        ..Row::default()
    });
    Some(Table {
        id: "damage".to_owned(),
        title: "Damage".to_owned(),
        columns: columns(&[
            ("Image", ""),
            ("θ", "°"),
            ("Correlation with the first", ""),
            ("by noise alone", ""),
            ("Counts of the first", "%"),
            ("±", "%"),
        ]),
        rows: rows.collect(),
        note: format!(
            "Images at about {:.0}° against the first of that side, at the best shift; a correlation that falls below that of \
             noise alone, or counts that change, mean a changed specimen",
            first.tilt_deg
        ),
        color_by: None,
    })
}

/// Counts along a line of an image, with the width of its highest peak. `of` says which image; `width_px` over how many
/// pixels across it was averaged.
#[must_use]
pub fn line_figure(
    profile: &LineProfile,
    pixel_size: Option<f64>,
    width_px: f64,
    of: &str,
) -> Figure {
    let (scale, unit) = pixel_size.map_or((1.0, "px"), |pixel| (pixel, "Å"));
    let points = profile.distance_px.iter().zip(&profile.values);
    let mut layers = vec![Layer::Line {
        name: "counts".to_owned(),
        points: points.map(|(d, v)| [d * scale, *v]).collect(),
        ink: Ink::Primary,
        dashed: false,
    }];
    let mut note = format!("{of}, mean over {width_px:.0} px across");
    match profile.peak() {
        Some(peak) => {
            let half = peak.fwhm_px / 2.0;
            for (x, label) in [
                (peak.middle_px - half, String::new()),
                (
                    peak.middle_px + half,
                    format!("FWHM {:.3} {unit}", peak.fwhm_px * scale),
                ),
            ] {
                layers.push(Layer::Vertical {
                    x: x * scale,
                    label,
                    id: None,
                    ink: Ink::Accent,
                });
            }
            note += &format!(
                "; highest peak {:.1} counts above the line between the ends, FWHM {:.3} {unit}",
                peak.height,
                peak.fwhm_px * scale
            );
        }
        None => note += "; no peak falls to half its height on both sides",
    }
    Figure {
        id: "line_profile".to_owned(),
        title: "Line profile".to_owned(),
        x: AxisLabel::new("Distance", unit),
        y: AxisLabel::new("Mean", "counts"),
        layers,
        note,
        ..Figure::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::TiltDrift;

    fn drift(pixel: Option<f64>) -> Drift {
        let tilts = (0..3)
            .map(|k| TiltDrift {
                tilt_deg: 10.0 * f64::from(k),
                px_per_frame: [0.3, 0.4 * f64::from(k)],
                angstrom_per_frame: pixel.map(|p| [0.3 * p, 0.4 * f64::from(k) * p]),
                displacements_px: vec![[0.0; 2]; 3],
                dropped: if k == 1 { vec![2] } else { Vec::new() },
                straightened: k != 1,
            })
            .collect();
        Drift {
            mean_px_per_frame: 0.5,
            tilts,
        }
    }

    #[test]
    fn drift_is_told_in_angstrom_where_that_is_known() {
        let figure = drift_figure(&drift(Some(0.5))).unwrap();
        assert_eq!(figure.y.unit, "Å/frame");
        assert!(figure.note.contains("n = 3"), "{}", figure.note);
        assert_eq!(drift_figure(&drift(None)).unwrap().y.unit, "px/frame");
        let table = drift_table(&drift(Some(0.5)));
        assert_eq!(table.rows[1].cells[4], "0.250");
        assert_eq!(table.rows[1].cells[7], "2");
        assert!(
            table
                .rows
                .iter()
                .all(|row| row.cells.len() == table.columns.len())
        );
    }

    #[test]
    fn a_peak_has_its_width_in_the_images_unit() {
        let n = 61;
        let value = |k: usize| 5.0 + 100.0 * (-0.5 * ((k as f64 - 30.0) / 4.0).powi(2)).exp();
        let profile = LineProfile {
            distance_px: (0..n).map(|k| k as f64).collect(),
            values: (0..n).map(value).collect(),
        };
        let figure = line_figure(&profile, Some(0.5), 3.0, "tilt 4");
        // 2.3548 · 4 px · 0.5 Å, interpolated linearly between samples.
        assert!(figure.note.contains("FWHM 4.7"), "{}", figure.note);
        let flat = LineProfile {
            values: vec![1.0; n],
            ..profile
        };
        assert!(
            line_figure(&flat, None, 1.0, "tilt 4")
                .note
                .contains("no peak")
        );
    }
}
