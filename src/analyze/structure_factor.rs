//! The structure factor of a finite particle, from its pair distribution function.
//!
//! `S(q) = 1 + (4πρ/q) ∫₀ᴿ r (g(r) − 1) sin(qr) W(r) dr` with Lorch's window `W = sin(πr/R)/(πr/R)`, which takes away the
//! ripples of the cut at R (Lorch, J. Phys. C 2, 229 (1969)) and leaves a resolution of about `5.4/R` in q. The g(r) is the
//! unsmoothed one; its mean over the outer half of the range stands for 1, and the density is that of the same level.
//! All atoms scatter alike: this is the number–number structure factor.

use super::pdf::Counted;
use serde::{Deserialize, Serialize};

/// S(q).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StructureFactor {
    /// Scattering vector 4π sin θ/λ, Å⁻¹.
    pub q: Vec<f64>,
    /// S(q).
    pub s: Vec<f64>,
    /// Its highest peaks by q, Å⁻¹.
    pub peaks: Vec<f64>,
    /// Where the integral ends, Å.
    pub range: f64,
}

/// Steps in q for each resolution element.
const STEPS: f64 = 8.0;

/// S(q) up to `q_range` Å⁻¹, from where the range still says something (`2π/R`).
#[must_use]
pub fn structure_factor(counted: &Counted, q_range: f64) -> StructureFactor {
    use std::f64::consts::PI;
    let [range, bin] = counted.sampling;
    let r = counted.r();
    let far: Vec<f64> = r
        .iter()
        .zip(&counted.total)
        .filter(|(r, _)| **r > 0.5 * range)
        .map(|(_, g)| *g)
        .collect();
    let level = far.iter().sum::<f64>() / far.len().max(1) as f64;
    if level <= 0.0 {
        return StructureFactor::default();
    }
    let weights: Vec<f64> = r
        .iter()
        .zip(&counted.total)
        .map(|(&r, &g)| {
            let x = PI * r / range;
            r * (g / level - 1.0) * if x > 0.0 { x.sin() / x } else { 1.0 } * bin
        })
        .collect();
    let density = counted.density * level;
    let step = 2.0 * PI / range / STEPS;
    let first = STEPS as usize;
    let count = ((q_range / step) as usize).clamp(first, 20_000);
    let q: Vec<f64> = (first..=count).map(|k| k as f64 * step).collect();
    let s: Vec<f64> = q
        .iter()
        .map(|&q| {
            let sum: f64 = r
                .iter()
                .zip(&weights)
                .map(|(&r, &w)| w * (q * r).sin())
                .sum();
            1.0 + 4.0 * PI * density / q * sum
        })
        .collect();
    let highest = s.iter().copied().fold(0.0, f64::max);
    let peaks = super::pdf::find_peaks(&q, &s, |_| super::pdf::PROMINENCE * highest);
    StructureFactor { q, s, peaks, range }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::pdf::{Sampling, counted};

    #[test]
    fn an_fcc_ball_scatters_at_its_bragg_peaks() {
        let a = 4.0;
        let mut points = Vec::new();
        for i in -16..=16i32 {
            for j in -16..=16i32 {
                for k in (-16..=16i32).filter(|k| (i + j + k) % 2 == 0) {
                    let p = [i, j, k].map(|n| f64::from(n) * a / 2.0);
                    if p.iter().map(|x| x * x).sum::<f64>() < 900.0 {
                        points.push(p);
                    }
                }
            }
        }
        let sampling = Sampling {
            range: 24.0,
            bin: 0.02,
            smoothing: 0.1,
        };
        let pairs = counted(&points, &sampling, a / 2f64.sqrt(), None);
        assert!((pairs.density * a.powi(3) / 4.0 - 1.0).abs() < 0.15);
        let found = structure_factor(&pairs, 8.0);
        // {111}, {200}, {220}, {311}; half a resolution element of 5.4/24 Å⁻¹ off at most.
        for indices in [3.0f64, 4.0, 8.0, 11.0] {
            let q = 2.0 * std::f64::consts::PI / a * indices.sqrt();
            let near = found
                .peaks
                .iter()
                .map(|p| (p - q).abs())
                .fold(f64::INFINITY, f64::min);
            assert!(near < 0.11, "{q}: {:?}", found.peaks);
        }
        let between = found
            .q
            .iter()
            .zip(&found.s)
            .filter(|(q, _)| (3.9..4.1).contains(*q));
        assert!(between.map(|(_, s)| *s).all(|s| s.abs() < 1.0));
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert!(structure_factor(&Counted::default(), 10.0).q.is_empty());
    }
}
