//! Tables of numbers: tilt angles (`.tlt`, `.rawtlt`, `.txt`, `.csv`), SerialEM's `.mdoc`, and CSV output.

use super::error::{Fault, IoError};
use crate::model::EulerAngles;
use std::path::Path;

/// A table of numbers with its headings, as CSV files hold it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Names of the columns, with units (`x_A`); empty when the file has none.
    pub headings: Vec<String>,
    /// Rows of as many numbers as columns.
    pub rows: Vec<Vec<f64>>,
}

/// Splits a line at commas, semicolons, tabs and spaces.
pub(crate) fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| c == ',' || c == ';' || c.is_whitespace())
        .filter(|cell| !cell.is_empty())
}

/// Reads numbers row by row. Comment lines (`#`, `%`, `//`, `!`) are passed over wherever they stand, headings only before
/// the first number; every row must have the same number of columns.
pub(crate) fn parse_table(text: &str) -> Result<Table, Fault> {
    let mut table = Table::default();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty()
            || ["#", "%", "//", "!"]
                .iter()
                .any(|mark| line.starts_with(mark))
        {
            continue;
        }
        let row: Result<Vec<f64>, _> = cells(line).map(str::parse).collect();
        let expected = table.rows.first().map(Vec::len);
        match (row, expected) {
            (Ok(row), None) if !row.is_empty() => table.rows.push(row),
            (Ok(row), Some(n)) if row.len() == n => table.rows.push(row),
            (Ok(row), Some(n)) => {
                return Fault::invalid(format!(
                    "line {} has {} numbers, the rows before have {n}",
                    index + 1,
                    row.len()
                ));
            }
            (_, None) => {
                table.headings = cells(line)
                    .map(|cell| cell.trim_matches('"').to_owned())
                    .collect()
            }
            (Err(_), Some(_)) => {
                let shown: String = line.chars().take(40).collect();
                return Fault::invalid(format!(
                    "line {}: numbers were expected, '{shown}' was found",
                    index + 1
                ));
            }
        }
    }
    if table.rows.first().map(Vec::len) != Some(table.headings.len()) {
        table.headings.clear();
    }
    Ok(table)
}

/// Angles from rows of one (θ), two (number, θ), three (φ, θ, ψ) or four (number, φ, θ, ψ) columns, in degrees.
pub(crate) fn angles_from_rows(rows: &[Vec<f64>]) -> Result<Vec<EulerAngles>, Fault> {
    let columns = rows.first().map_or(0, Vec::len);
    if columns == 0 {
        return Fault::invalid("it holds no angles");
    }
    let counts_up = |offset: f64| {
        rows.iter()
            .enumerate()
            .all(|(i, row)| (row[0] - i as f64 - offset).abs() < 1e-9)
    };
    let numbered = matches!(columns, 2 | 4) && (counts_up(0.0) || counts_up(1.0));
    let angles: Vec<EulerAngles> = match (columns - usize::from(numbered), numbered) {
        (1, _) => rows
            .iter()
            .map(|r| EulerAngles::from_tilt_deg(r[columns - 1]))
            .collect(),
        (3, _) => rows
            .iter()
            .map(|r| EulerAngles::from_deg(r[columns - 3], r[columns - 2], r[columns - 1]))
            .collect(),
        _ => {
            return Fault::invalid(format!(
                "one column (tilt) or three (phi, theta, psi) of angles were expected, {columns} columns were found"
            ));
        }
    };
    for (index, angle) in angles.iter().enumerate() {
        if let Some(bad) = angle
            .to_deg()
            .into_iter()
            .find(|a| a.is_nan() || a.abs() > 360.0 + 1e-9)
        {
            return Fault::invalid(format!(
                "angle {} is {bad}, degrees between -360 and 360 were expected",
                index + 1
            ));
        }
    }
    Ok(angles)
}

/// Angles from a text table.
pub(crate) fn parse_angles(bytes: &[u8]) -> Result<Vec<EulerAngles>, Fault> {
    angles_from_rows(&parse_table(&String::from_utf8_lossy(bytes))?.rows)
}

/// What a `.mdoc` says: angles in the order of `ZValue`, and the pixel size in Å.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mdoc {
    pub angles: Vec<EulerAngles>,
    pub pixel_size: Option<f64>,
}

/// Reads SerialEM's side-car: sections `[ZValue = n]` with `TiltAngle`, and `PixelSpacing`.
pub(crate) fn parse_mdoc(bytes: &[u8]) -> Result<Mdoc, Fault> {
    let text = String::from_utf8_lossy(bytes);
    let mut sections: Vec<(u64, Option<f64>)> = Vec::new();
    let mut pixel_size = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            let inner = line.trim_matches(['[', ']']);
            if let Some((key, value)) = inner.split_once('=')
                && matches!(key.trim(), "ZValue" | "FrameSet")
            {
                let number = value
                    .trim()
                    .parse()
                    .map_err(|_| Fault::Invalid(format!("section '{line}' has no number")))?;
                sections.push((number, None));
            }
        } else if let Some((key, value)) = line.split_once('=') {
            let number = value.trim().parse::<f64>().ok().filter(|n| n.is_finite());
            match (key.trim(), sections.last_mut()) {
                ("TiltAngle", Some(section)) => section.1 = number,
                ("PixelSpacing", _) => pixel_size = pixel_size.or(number.filter(|&n| n > 0.0)),
                _ => {}
            }
        }
    }
    sections.sort_by_key(|section| section.0);
    let rows = sections
        .iter()
        .map(|(number, angle)| {
            angle.map(|a| vec![a]).ok_or_else(|| {
                Fault::Invalid(format!("section ZValue = {number} has no TiltAngle"))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Mdoc {
        angles: angles_from_rows(&rows)?,
        pixel_size,
    })
}

/// Writes a table as CSV; NaN cells stay empty.
///
/// # Errors
/// What the system says.
pub fn write_csv(path: &Path, table: &Table, force: bool) -> Result<(), IoError> {
    super::write_atomically(path, force, |out| {
        if !table.headings.is_empty() {
            writeln!(out, "{}", table.headings.join(","))?;
        }
        for row in &table.rows {
            let cells: Vec<String> = row
                .iter()
                .map(|v| {
                    if v.is_nan() {
                        String::new()
                    } else {
                        v.to_string()
                    }
                })
                .collect();
            writeln!(out, "{}", cells.join(","))?;
        }
        Ok(())
    })
}

/// Writes angles in degrees: one column when all are plain tilts, else `phi_deg,theta_deg,psi_deg` with that heading.
///
/// # Errors
/// What the system says.
pub fn write_angles(path: &Path, angles: &[EulerAngles], force: bool) -> Result<(), IoError> {
    let single = angles.iter().all(|a| a.is_single_axis());
    let separator = if path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("csv"))
    {
        ","
    } else {
        " "
    };
    super::write_atomically(path, force, |out| {
        if !single {
            writeln!(
                out,
                "# {}",
                ["phi_deg", "theta_deg", "psi_deg"].join(separator)
            )?;
        }
        for angle in angles {
            let [phi, theta, psi] = angle.to_deg().map(round_deg);
            if single {
                writeln!(out, "{theta}")?;
            } else {
                writeln!(out, "{phi}{separator}{theta}{separator}{psi}")?;
            }
        }
        Ok(())
    })
}

/// Degrees came through radians: the last digits are rounding, and 1e-9° is far below any meaning.
fn round_deg(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}
