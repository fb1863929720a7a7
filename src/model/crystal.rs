//! A crystal structure: a cell and the atoms in it.

use serde::{Deserialize, Serialize};

/// A crystal with all atoms of its cell (symmetry already applied).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crystal {
    /// What it is called in legends.
    pub name: String,
    /// The edges a, b, c of the cell, Å.
    pub cell: [[f64; 3]; 3],
    /// Element and place (fractions of the edges, 0 to 1) of every atom of the cell.
    pub sites: Vec<(String, [f64; 3])>,
}

impl Crystal {
    /// The edges of a cell of lengths a, b, c (Å) and angles α, β, γ (degrees): a along x, b in the xy plane; `None` where
    /// no such cell exists.
    #[must_use]
    pub fn cell_of(lengths: [f64; 3], angles_deg: [f64; 3]) -> Option<[[f64; 3]; 3]> {
        let [a, b, c] = lengths;
        // A right angle is exact: its cosine is not quite zero otherwise.
        let cosine = |deg: f64| {
            if deg == 90.0 {
                0.0
            } else {
                deg.to_radians().cos()
            }
        };
        let [alpha, beta, gamma] = angles_deg.map(cosine);
        let sin = (1.0 - gamma * gamma).sqrt();
        let y = (alpha - beta * gamma) / sin;
        let z2 = 1.0 - beta * beta - y * y;
        let sound = lengths.iter().all(|l| l.is_finite() && *l > 0.0)
            && angles_deg.iter().all(|&a| a > 0.0 && a < 180.0)
            && sin > 0.0
            && z2 > 0.0;
        sound.then(|| {
            [
                [a, 0.0, 0.0],
                [b * gamma, b * sin, 0.0],
                [c * beta, c * y, c * z2.sqrt()],
            ]
        })
    }

    /// Place of a point given in fractions of the edges, Å.
    #[must_use]
    pub fn place(&self, fraction: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|k| (0..3).map(|edge| fraction[edge] * self.cell[edge][k]).sum())
    }

    /// Volume of the cell, Å³.
    #[must_use]
    pub fn volume(&self) -> f64 {
        let [a, b, c] = self.cell;
        super::geometry::dot(a, super::geometry::cross(b, c)).abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monoclinic_cell_has_its_lengths_angles_and_volume() {
        let cell = Crystal::cell_of([5.0, 6.0, 7.0], [90.0, 99.0, 90.0]).unwrap();
        let crystal = Crystal {
            name: String::new(),
            cell,
            sites: Vec::new(),
        };
        let expected = 5.0 * 6.0 * 7.0 * 99f64.to_radians().sin();
        assert!((crystal.volume() - expected).abs() < 1e-9);
        let cos = super::super::geometry::dot(cell[0], cell[2]) / 35.0;
        assert!((cos - 99f64.to_radians().cos()).abs() < 1e-12);
        assert!(Crystal::cell_of([5.0, 5.0, 5.0], [10.0, 10.0, 170.0]).is_none());
        assert!(Crystal::cell_of([5.0, f64::NAN, 5.0], [90.0; 3]).is_none());
    }
}
