//! What makes a profile less sharp than the structure: the part of a fitted width that is not the interface's.
//!
//! Each part is a standard deviation along the distance, and they add as squares. A step blurred by σ rises from 10 to 90 %
//! within 2.5631 σ and from 5 to 95 % within 3.2897 σ (error function); a fitted width that is no larger says nothing.

use crate::analyze::Analyzed;
use crate::model::Atoms;
use serde_json::{Value, json};

/// Standard deviations, Å; 0 for what does not blur.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Blur {
    /// Extent of the atoms' neighbourhood from which the quantity is made.
    pub neighborhood: f64,
    /// Gaussian smoothing of the quantity itself.
    pub smoothing: f64,
    /// Width of the bins, evenly filled.
    pub bin: f64,
    /// Error of the atoms' positions on one axis, where it is known.
    pub position: Option<f64>,
}

/// Root mean square error of the atoms' positions on one axis, Å, where refinement has told it.
#[must_use]
pub fn position_error(atoms: &Atoms) -> Option<f64> {
    // The column is that of a place in space: three axes.
    let known = atoms
        .column("position_sd_A")?
        .iter()
        .filter(|v| v.is_finite());
    let (sum, n) = known.fold((0.0, 0usize), |(sum, n), v| (sum + v * v, n + 1));
    (n > 0).then(|| (sum / n as f64 / 3.0).sqrt())
}

/// Rise of an error function of σ 1 from 10 to 90 %.
const TEN_TO_NINETY: f64 = 2.563_103;
/// Rise of an error function of σ 1 from 5 to 95 %.
const FIVE_TO_NINETYFIVE: f64 = 3.289_707;

impl Blur {
    /// Of bins alone.
    #[must_use]
    pub fn of_bins(width: f64) -> Self {
        Self {
            bin: width / 12f64.sqrt(),
            ..Self::default()
        }
    }

    /// Of a profile of a column in bins of `width` Å.
    #[must_use]
    pub fn of(out: &Analyzed, column: &str, width: f64) -> Self {
        let atoms = &out.atoms;
        let mean = |name: &str| {
            let values = atoms.column(name)?.iter().filter(|v| v.is_finite());
            let (sum, n) = values.fold((0.0, 0usize), |(sum, n), v| (sum + v, n + 1));
            (n > 0).then(|| sum / n as f64)
        };
        let bond = mean("bond_length_A").unwrap_or(out.spacing);
        // Of the cell's ball: 4/3 π r³ ρ = 1; without cells, half a bond.
        let cell = mean("rho_n").map_or(0.5 * bond, |rho| {
            (0.75 / (std::f64::consts::PI * rho)).cbrt()
        });
        // On one axis: a shell of radius r has r/√3, a full ball r/√5.
        let (shell, ball) = (|r: f64| r / 3f64.sqrt(), |r: f64| r / 5f64.sqrt());
        let neighborhood = match column {
            "rho_n" => ball(cell),
            // The tetrahedra at an atom have four times the volume of its cell.
            "oxidation" | "oxidation_map" => ball(4f64.cbrt() * cell),
            "cn" | "cn_voronoi" | "cn_unlike" => shell(bond),
            // The middles of the bonds.
            "bond_length_A" | "bond_voronoi_A" => shell(0.5 * bond),
            // An average over neighbours of what each has from its own.
            "boo" => 2f64.sqrt() * shell(bond),
            _ => 0.0,
        };
        let smoothing = match column {
            "oxidation_map" => out.params.map_sigma,
            _ if column.starts_with("strain_") => out.params.strain_sigma,
            _ => 0.0,
        };
        let position = position_error(atoms);
        Self {
            neighborhood,
            smoothing,
            position,
            ..Self::of_bins(width)
        }
    }

    /// All of it, Å.
    #[must_use]
    pub fn sigma(&self) -> f64 {
        let parts = [
            self.neighborhood,
            self.smoothing,
            self.bin,
            self.position.unwrap_or(0.0),
        ];
        parts.iter().map(|s| s * s).sum::<f64>().sqrt()
    }

    /// 10–90 % width that a sharp step would show, Å.
    #[must_use]
    pub fn width_10_90(&self) -> f64 {
        TEN_TO_NINETY * self.sigma()
    }

    /// 5–95 % width that a sharp step would show, Å.
    #[must_use]
    pub fn width_5_95(&self) -> f64 {
        FIVE_TO_NINETYFIVE * self.sigma()
    }

    /// Its JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "resolution_10_90_A": self.width_10_90(),
            "resolution_5_95_A": self.width_5_95(),
            "sigma_A": {
                "neighborhood": self.neighborhood, "smoothing": self.smoothing, "bin": self.bin,
                "position": self.position, "all": self.sigma(),
            },
        })
    }
}

/// How a width stands to the resolution, in a few words.
#[must_use]
pub fn verdict(width: f64, resolution: f64) -> String {
    if width > resolution {
        let own = (width * width - resolution * resolution).sqrt();
        format!("resolution {resolution:.1} Å, {own:.1} Å beyond it")
    } else {
        format!("not wider than the resolution of {resolution:.1} Å")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::curve::{Sample, erfc, fit_logistic};

    #[test]
    fn a_sharp_step_that_is_blurred_shows_the_resolution() {
        let blur = Blur {
            neighborhood: 1.2,
            smoothing: 1.6,
            bin: 0.0,
            position: None,
        };
        assert!((blur.sigma() - 2.0).abs() < 1e-12);
        let step = |x: f64| 0.5 * erfc(-x / (2.0 * 2f64.sqrt()));
        let half = |width: f64| step(0.5 * width);
        assert!((half(blur.width_10_90()) - 0.9).abs() < 1e-5);
        assert!((half(blur.width_5_95()) - 0.95).abs() < 1e-5);
        // The logistic curve fitted to it agrees within what tells the two curves apart.
        let samples: Vec<Sample> = (-80..=80)
            .map(|k| f64::from(k) * 0.1)
            .map(|x| (x, step(x), 1.0))
            .collect();
        let width = 2.0 * 9f64.ln() * fit_logistic(&samples).unwrap().values[3];
        assert!((width / blur.width_10_90() - 1.0).abs() < 0.05, "{width}");
        assert!(verdict(3.0, 4.0).starts_with("not wider"));
        assert_eq!(verdict(5.0, 3.0), "resolution 3.0 Å, 4.0 Å beyond it");
    }
}
