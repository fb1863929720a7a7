//! Bond lengths by the neighbour cutoff.

use crate::model::geometry::distance;

/// Mean distance from each atom to its neighbours, Å; NaN for an atom without.
pub fn bonds(positions: &[[f64; 3]], neighbors: &[Vec<u32>]) -> Vec<f64> {
    positions
        .iter()
        .zip(neighbors)
        .map(|(&center, around)| {
            let sum: f64 = around
                .iter()
                .map(|&i| distance(center, positions[i as usize]))
                .sum();
            if around.is_empty() {
                f64::NAN
            } else {
                sum / around.len() as f64
            }
        })
        .collect()
}
