//! What a microscope's file says about its images besides their numbers, in the program's units.

/// Notes of the instrument; whatever the file does not say is left out, nothing is guessed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Acquisition {
    /// Edge of a pixel along the image's rows, Å.
    pub pixel_size: Option<f64>,
    /// Meaning of each axis of the array in its index order: x, y, z, t (tilt), f (frame).
    pub axes: Option<String>,
    /// Stage tilt of each image, degrees; one entry for all images, or one per image.
    pub tilts_deg: Vec<f64>,
    /// Time the beam stays on a pixel, µs.
    pub dwell_us: Option<f64>,
    /// Time between the last pixel of a line and the first of the next, µs.
    pub flyback_us: Option<f64>,
    /// Angle the scan is rotated by, degrees.
    pub scan_rotation_deg: Option<f64>,
}

impl Acquisition {
    /// The tilts, when they are those of a series: one per image, and not all the same.
    #[must_use]
    pub fn series_tilts(&self) -> Option<&[f64]> {
        // A goniometer at rest reports its angle to about a hundredth of a degree.
        const AT_REST_DEG: f64 = 0.05;
        let first = *self.tilts_deg.first()?;
        self.tilts_deg
            .iter()
            .any(|tilt| (tilt - first).abs() > AT_REST_DEG)
            .then_some(&self.tilts_deg)
    }

    /// One phrase per thing known, for the user.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut say = |text: Option<String>| lines.extend(text);
        say(self
            .pixel_size
            .map(|size| format!("pixel size {size:.4} Å")));
        say(self.axes.as_ref().map(|axes| format!("axes {axes}")));
        say(match self.tilts_deg.as_slice() {
            [] => None,
            [one] => Some(format!("stage tilt {one:.2}°")),
            many => {
                let low = many.iter().copied().fold(f64::INFINITY, f64::min);
                let high = many.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let n = many.len();
                Some(format!("{n} stage tilts, {low:.2}° to {high:.2}°"))
            }
        });
        say(self.dwell_us.map(|time| format!("dwell time {time} µs")));
        say(self.flyback_us.map(|time| format!("flyback {time:.1} µs")));
        say(self
            .scan_rotation_deg
            .map(|angle| format!("scan rotation {angle:.2}°")));
        lines
    }
}

/// A number that means something: finite and above zero.
pub(crate) fn positive(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then_some(value)
}

/// Å per unit of length, by the names that microscopes' programs write; `None` for other units.
pub(crate) fn angstrom_per(unit: &str) -> Option<f64> {
    let plain: String = unit
        .chars()
        .filter(|c| !matches!(c, '[' | ']' | '_' | '(' | ')') && !c.is_whitespace())
        .collect();
    Some(match plain.as_str() {
        "Å" | "\u{212b}" | "A" | "Ang" | "ang" | "angstrom" | "Angstrom" | "angstroms" => 1.0,
        "pm" => 0.01,
        "nm" | "nanometer" | "nanometers" => 10.0,
        "um" | "µm" | "μm" | "micron" | "microns" => 1e4,
        "mm" => 1e7,
        "m" | "meter" | "meters" | "Meters" => 1e10,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_length_are_known_by_their_many_names() {
        for (unit, size) in [
            ("[n_m]", 10.0),
            ("nm", 10.0),
            ("[Å]", 1.0),
            ("meters", 1e10),
            ("[u_m]", 1e4),
            ("pm", 0.01),
        ] {
            assert_eq!(angstrom_per(unit), Some(size), "{unit}");
        }
        for unit in ["1/nm", "", "deg", "s"] {
            assert_eq!(angstrom_per(unit), None, "{unit}");
        }
    }

    #[test]
    fn a_resting_stage_makes_no_series() {
        let still = Acquisition {
            tilts_deg: vec![10.0, 10.01, 9.99],
            ..Acquisition::default()
        };
        assert_eq!(still.series_tilts(), None);
        let tilted = Acquisition {
            tilts_deg: vec![10.0, 12.0],
            ..Acquisition::default()
        };
        assert_eq!(tilted.series_tilts(), Some(&[10.0, 12.0][..]));
    }
}
