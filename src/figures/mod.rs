//! Plots as plain data: drawn by the window and written as SVG, PNG and CSV from the same description.

pub mod cutoff;
pub mod names;
pub mod overlay;
pub mod palette;
pub mod plots;
pub mod preparation;
pub mod quality;
pub mod render;
pub mod scene;
pub mod sheet;
pub mod structure;
pub mod tables;

use serde::{Deserialize, Serialize};

/// What a colour stands for; the theme (window) and the renderer (files) give it its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Ink {
    /// The main series.
    #[default]
    Primary,
    /// The second series.
    Secondary,
    /// The third series.
    Tertiary,
    /// A threshold or an alarm.
    Accent,
    /// Reference curves and marks.
    Muted,
    /// Metal core.
    Core,
    /// Crystalline oxide.
    CrystallineOxide,
    /// Amorphous oxide.
    AmorphousOxide,
    /// Interface.
    Interface,
}

/// One axis.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AxisLabel {
    /// What is plotted.
    pub name: String,
    /// Its unit; empty for pure numbers.
    pub unit: String,
    /// Whether the values are plotted by their decadic logarithm.
    pub log: bool,
}

impl AxisLabel {
    /// A linear axis.
    #[must_use]
    pub fn new(name: &str, unit: &str) -> Self {
        Self {
            name: name.to_owned(),
            unit: unit.to_owned(),
            log: false,
        }
    }

    /// An axis whose values are decadic logarithms.
    #[must_use]
    pub fn log(name: &str, unit: &str) -> Self {
        Self {
            log: true,
            ..Self::new(name, unit)
        }
    }

    /// A coordinate as it is written beside the axis: the number itself, also on a logarithmic one.
    #[must_use]
    pub fn tick(&self, coordinate: f64) -> String {
        let value = if self.log {
            10f64.powf(coordinate)
        } else {
            coordinate
        };
        // Rounding takes the dust of 0.1 + 0.2 away; between decades two digits say enough.
        let between = self.log && (coordinate - coordinate.round()).abs() > 1e-9;
        let digits = if between { 1 } else { 6 };
        let rounded: f64 = format!("{value:.digits$e}").parse().unwrap_or(value);
        match rounded.abs() {
            0.0 => "0".to_owned(),
            size if !(1e-4..1e6).contains(&size) => format!("{rounded:e}"),
            _ => format!("{rounded}"),
        }
    }

    /// `name (unit)`.
    #[must_use]
    pub fn text(&self) -> String {
        if self.unit.is_empty() {
            self.name.clone()
        } else {
            format!("{} ({})", self.name, self.unit)
        }
    }
}

/// One thing drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Layer {
    /// A polyline.
    Line {
        /// Legend.
        name: String,
        /// Points in axis units.
        points: Vec<[f64; 2]>,
        /// Colour role.
        ink: Ink,
        /// Dashed instead of solid.
        dashed: bool,
    },
    /// A scatter. When `atoms` is as long as `points`, brushing selects those atoms (indices).
    Points {
        /// Legend.
        name: String,
        /// Points in axis units.
        points: Vec<[f64; 2]>,
        /// Index of the atom behind each point, or empty.
        atoms: Vec<u32>,
        /// Colour role.
        ink: Ink,
        /// Radius in points of the page.
        radius: f32,
    },
    /// A histogram: `edges` has one entry more than `counts`.
    Histogram {
        /// Legend.
        name: String,
        /// Bin edges.
        edges: Vec<f64>,
        /// Heights.
        counts: Vec<f64>,
        /// Colour role.
        ink: Ink,
    },
    /// A vertical line; when `id` is set the user may drag it (a threshold).
    Vertical {
        /// Position.
        x: f64,
        /// Text beside it.
        label: String,
        /// Name of the parameter it stands for.
        id: Option<String>,
        /// Colour role.
        ink: Ink,
    },
    /// A marked point with a text (fcc, hcp, bcc).
    Mark {
        /// Position.
        at: [f64; 2],
        /// Text.
        label: String,
        /// Colour role.
        ink: Ink,
    },
}

/// A plot.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figure {
    /// Stable name, used for file names and tabs: `pdf`, `boo`, `rho_n`, ….
    pub id: String,
    /// Title.
    pub title: String,
    /// Horizontal axis.
    pub x: AxisLabel,
    /// Vertical axis.
    pub y: AxisLabel,
    /// Drawn in order.
    pub layers: Vec<Layer>,
    /// Name of the atom column on the x axis, when brushing a range of x selects atoms by that column.
    pub brush_column: Option<String>,
    /// A line said under the plot: n, mean, definition, provenance.
    pub note: String,
    /// Whether both axes have the same scale.
    pub equal_axes: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_written_as_the_numbers_they_stand_for() {
        let plain = AxisLabel::new("r", "Å");
        assert_eq!(plain.tick(0.1 + 0.2), "0.3");
        assert_eq!(plain.tick(-1.0 / 3.0 * 3.0), "-1");
        assert_eq!(plain.tick(0.0), "0");
        let log = AxisLabel::log("Volume", "Å³");
        assert_eq!(log.tick(2.0), "100");
        assert_eq!(log.tick(2.5), "320");
        assert_eq!(log.tick(8.0), "1e8");
    }
}
