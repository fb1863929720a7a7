//! A soft repulsion between atoms nearer than an expected distance: knowledge from outside the images.
//!
//! `½ Σ ((d₀ − d) / s)²` over pairs nearer than d₀ is added to the misfit, as if each such distance had been measured as d₀ ± s.
//! It holds apart pairs that noise pulls together, and biases what is read off the first peak of the PDF; so it is off
//! unless asked for, and a refinement that used it says so.

use super::problem::PER_ATOM;
use crate::model::geometry::subtract;
use crate::numeric::neighbors::CellList;

/// Standard deviation of the prior over its distance: bonds of a glass scatter so much about their mean.
const SOFTNESS: f64 = 0.05;

/// The prior.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Repulsion {
    /// Pairs nearer than this are pushed apart, Å.
    pub distance: f64,
}

impl Repulsion {
    /// Standard deviation s of the prior, Å.
    pub(crate) fn softness(self) -> f64 {
        SOFTNESS * self.distance
    }

    /// Adds the slope of the prior to `gradient` and returns its value; `x` holds occupancy, x, y, z of every atom.
    pub(crate) fn add(self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let positions: Vec<[f64; 3]> = x
            .chunks_exact(PER_ATOM)
            .map(|atom| [atom[1], atom[2], atom[3]])
            .collect();
        let list = CellList::new(&positions, self.distance);
        let stiffness = self.softness().powi(-2);
        let mut value = 0.0;
        list.for_each_pair(0..positions.len(), self.distance, |i, j, d2| {
            let d = d2.sqrt();
            let short = self.distance - d;
            value += 0.5 * stiffness * short * short;
            // Two atoms in one place have no direction to part in.
            if d > 1e-9 {
                let apart = subtract(positions[i], positions[j]);
                for axis in 0..3 {
                    let push = stiffness * short * apart[axis] / d;
                    gradient[PER_ATOM * i + 1 + axis] -= push;
                    gradient[PER_ATOM * j + 1 + axis] += push;
                }
            }
        });
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(x: &[f64]) -> f64 {
        Repulsion { distance: 2.2 }.add(x, &mut vec![0.0; x.len()])
    }

    #[test]
    fn a_pair_costs_what_the_formula_says_and_its_slope_is_the_derivative() {
        let x = [1.0, 0.1, -0.2, 0.3, 0.9, 1.5, 0.4, 0.2, 1.0, 6.0, 6.0, 6.0];
        let d = (1.4f64.powi(2) + 0.6f64.powi(2) + 0.1f64.powi(2)).sqrt();
        let expected = 0.5 * ((2.2 - d) / 0.11).powi(2);
        assert!((value(&x) - expected).abs() < 1e-9 * expected);
        let mut gradient = vec![0.0; x.len()];
        Repulsion { distance: 2.2 }.add(&x, &mut gradient);
        for k in 0..x.len() {
            let moved = |by: f64| {
                let mut moved = x;
                moved[k] += by;
                value(&moved)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!(
                (slope - gradient[k]).abs() < 1e-4 * expected,
                "{k}: {slope} {}",
                gradient[k]
            );
        }
    }

    #[test]
    fn atoms_far_apart_or_in_one_place_are_left_alone() {
        let far = [1.0, 0.0, 0.0, 0.0, 1.0, 2.3, 0.0, 0.0];
        let mut gradient = vec![0.0; 8];
        assert_eq!(Repulsion { distance: 2.2 }.add(&far, &mut gradient), 0.0);
        let same = [1.0, 0.5, 0.5, 0.5, 1.0, 0.5, 0.5, 0.5];
        Repulsion { distance: 2.2 }.add(&same, &mut gradient);
        assert_eq!(gradient, vec![0.0; 8]);
    }
}
