//! Noise of every coefficient of a group, exactly (Mäkinen, Azzari & Foi, IEEE Trans. Image Process. 29, 8339, 2020).
//!
//! Matched blocks overlap, so that they share noise, and noise may be correlated from pixel to pixel as well. The
//! coefficient `(u, v)` of two blocks displaced by `d` has the covariance
//! `ρ(d) = Σ A_u(s) A_v(t) R(d + (s, t))` with the noise's autocovariance `R` and the basis function's autocorrelation
//! `A`. A Haar coefficient along the group is the difference of two halves `A` and `B`; its variance needs only the
//! sums of `ρ` within and across the halves, which the Haar tree yields from the leaves up.

use super::matching::Match;
use super::transform::{AREA, Block, EDGE, basis};

/// Variances below this part of a pixel's are rounding.
const FLOOR: f32 = 1e-3;

/// `ρ(d)` for all displacements at which it is not zero.
#[derive(Debug, Clone)]
pub(super) struct Covariance {
    reach: isize,
    table: Vec<Block>,
}

impl Covariance {
    /// For the noise's autocovariance `R(dx, dy)`, which vanishes beyond `correlated_px` pixels.
    pub(super) fn new(correlated_px: usize, autocovariance: impl Fn(isize, isize) -> f64) -> Self {
        let edge = EDGE as isize;
        let overlap = |k: usize, shift: isize| -> f64 {
            (0..edge)
                .filter(|i| (0..edge).contains(&(i + shift)))
                .map(|i| basis(k, i as usize) * basis(k, (i + shift) as usize))
                .sum()
        };
        let lags: Vec<isize> = (1 - edge..edge).collect();
        let overlaps: Vec<Vec<f64>> = (0..EDGE)
            .map(|k| lags.iter().map(|&shift| overlap(k, shift)).collect())
            .collect();
        let correlated = correlated_px as isize;
        let reach = edge - 1 + correlated;
        let mut table = Vec::with_capacity((2 * reach + 1).pow(2) as usize);
        for dx in -reach..=reach {
            // Along x first: what is left depends on u and on the lag along y.
            let along: Vec<Vec<f64>> = (0..EDGE)
                .map(|u| {
                    (-correlated..=correlated)
                        .map(|y| {
                            let lagged = lags.iter().zip(&overlaps[u]);
                            lagged
                                .filter(|(s, _)| (dx + **s).abs() <= correlated)
                                .map(|(s, a)| a * autocovariance(dx + s, y))
                                .sum()
                        })
                        .collect()
                })
                .collect();
            for dy in -reach..=reach {
                table.push(std::array::from_fn(|at| {
                    let (u, v) = (at / EDGE, at % EDGE);
                    let lagged = lags.iter().zip(&overlaps[v]);
                    let sum: f64 = lagged
                        .filter(|(t, _)| (dy + **t).abs() <= correlated)
                        .map(|(t, a)| a * along[u][(dy + t + correlated) as usize])
                        .sum();
                    sum as f32
                }));
            }
        }
        Self { reach, table }
    }

    /// White noise of variance 1.
    pub(super) fn white() -> Self {
        Self::new(0, |_, _| 1.0)
    }

    #[inline(always)]
    fn at(&self, from: [usize; 2], to: [usize; 2]) -> Option<&Block> {
        let dx = to[0] as isize - from[0] as isize;
        let dy = to[1] as isize - from[1] as isize;
        if dx.abs() > self.reach || dy.abs() > self.reach {
            return None;
        }
        let side = 2 * self.reach + 1;
        self.table
            .get(((dx + self.reach) * side + dy + self.reach) as usize)
    }

    /// Noise variances of the coefficients of a group after the Haar transform, at the places where
    /// [`super::transform::haar`] leaves them. As many matches as `variances`, a power of two.
    #[inline(always)]
    pub(super) fn of_group(&self, matches: &[Match], variances: &mut [Block]) {
        let n = variances.len();
        let center = self.table[self.table.len() / 2];
        variances.fill(center);
        let mut stride = 1;
        while stride < n {
            let scale = 0.5 / stride as f32;
            for start in (0..n).step_by(2 * stride) {
                let middle = start + stride;
                let mut across = [0f32; AREA];
                for left in &matches[start..middle] {
                    for right in &matches[middle..middle + stride] {
                        if let Some(shared) = self.at(left.at, right.at) {
                            for k in 0..AREA {
                                across[k] += shared[k];
                            }
                        }
                    }
                }
                let (lefts, rights) = variances.split_at_mut(middle);
                let (left, right) = (&mut lefts[start], &mut rights[0]);
                let mut within = [0f32; AREA];
                for k in 0..AREA {
                    within[k] = left[k] + right[k];
                    left[k] = within[k] + 2.0 * across[k];
                }
                for k in 0..AREA {
                    let difference = scale * (within[k] - 2.0 * across[k]);
                    let floor = FLOOR * center[k];
                    right[k] = if difference > floor {
                        difference
                    } else {
                        floor
                    };
                }
            }
            stride *= 2;
        }
        for k in 0..AREA {
            variances[0][k] = (variances[0][k] / n as f32).max(FLOOR * center[k]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::transform::{Dct, haar};
    use super::*;

    /// The variance of every coefficient from the definition: pixel by pixel through the whole linear map.
    fn plain(matches: &[Match], autocovariance: impl Fn(isize, isize) -> f64) -> Vec<Block> {
        let n = matches.len();
        let pixels: Vec<[isize; 2]> = matches
            .iter()
            .flat_map(|m| (0..AREA).map(|p| [m.at[0] + p / EDGE, m.at[1] + p % EDGE]))
            .map(|p| p.map(|c| c as isize))
            .collect();
        // Row of the map: response of all coefficients to one pixel of one block.
        let responses: Vec<Vec<f64>> = (0..n * AREA)
            .map(|pixel| {
                let mut group = vec![[0f32; AREA]; n];
                group[pixel / AREA][pixel % AREA] = 1.0;
                group.iter_mut().for_each(|b| Dct::new().forward(b));
                haar(&mut group);
                group.iter().flatten().map(|&v| f64::from(v)).collect()
            })
            .collect();
        let mut variances = vec![[0f32; AREA]; n];
        for k in 0..n * AREA {
            let mut sum = 0.0;
            for (p, a) in pixels.iter().enumerate() {
                for (q, b) in pixels.iter().enumerate() {
                    let covariance = autocovariance(b[0] - a[0], b[1] - a[1]);
                    sum += responses[p][k] * responses[q][k] * covariance;
                }
            }
            variances[k / AREA][k % AREA] = sum as f32;
        }
        variances
    }

    #[test]
    fn variances_of_overlapping_blocks_agree_with_the_definition() {
        let places = [[20, 20], [21, 20], [20, 22], [27, 19]];
        let matches: Vec<Match> = places
            .iter()
            .map(|&at| Match { distance: 0.0, at })
            .collect();
        let white = |dx: isize, dy: isize| f64::from(u8::from(dx == 0 && dy == 0));
        let colored = |dx: isize, dy: isize| match (dx.abs(), dy.abs()) {
            (0, 0) => 1.0,
            (1, 0) => 0.4,
            (0, 1) => 0.2,
            // Slanted, so that the signs of the displacements matter.
            (1, 1) if dx == dy => 0.15,
            _ => 0.0,
        };
        let check = |covariance: &Covariance, wanted: &[Block]| {
            let mut found = vec![[0f32; AREA]; 4];
            covariance.of_group(&matches, &mut found);
            for (a, b) in found.iter().flatten().zip(wanted.iter().flatten()) {
                assert!((a - b.max(FLOOR)).abs() < 2e-3, "{a} {b}");
            }
        };
        check(&Covariance::white(), &plain(&matches, white));
        check(&Covariance::new(1, colored), &plain(&matches, colored));
    }

    #[test]
    fn blocks_apart_have_independent_noise() {
        let matches: Vec<Match> = (0..8)
            .map(|i| Match {
                distance: 0.0,
                at: [8 * i, 3],
            })
            .collect();
        let mut found = vec![[0f32; AREA]; 8];
        Covariance::white().of_group(&matches, &mut found);
        assert!(found.iter().flatten().all(|v| (v - 1.0).abs() < 1e-5));
    }
}
