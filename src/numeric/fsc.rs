//! Fourier shell correlation of two volumes.
//!
//! `FSC(k) = Re Σ A B* / √(Σ|A|² Σ|B|²)`, the sums over the shell of spatial frequencies within half a shell's width of
//! k (Harauz & van Heel, Optik 73, 146 (1986)). Shells are `1/L` wide, L the longest edge of the volume, and go to the
//! Nyquist frequency; the origin is in none. Nothing is masked and nothing is faded out: a particle in vacuum needs
//! neither.

use ndarray::Array3;
use rayon::prelude::*;
use rustfft::{Fft, FftPlanner, num_complex::Complex32};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where half-set reconstructions agree well enough for the whole set's to be trusted (Rosenthal & Henderson, J. Mol.
/// Biol. 333, 721 (2003)).
pub const HALF_SET_THRESHOLD: f64 = 0.143;

/// Shells running that lie below a threshold before it counts as crossed: crystals scatter little between their
/// reflections, and one shell of noise is no end.
const RUN: usize = 3;

/// Ratio of two volumes' power below which the weaker may be no more than rounding.
const ROUNDING: f64 = 1e-11;

/// A Fourier shell correlation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fsc {
    /// Middle of each shell, cycles per Å.
    #[serde(rename = "k_per_A")]
    pub k_per_angstrom: Vec<f64>,
    /// Correlation in each shell, −1 to 1; 0 where one volume has nothing.
    pub fsc: Vec<f64>,
    /// 1/k (Å) where the correlation falls below 0.143 ([`HALF_SET_THRESHOLD`]); `None` when it does not up to Nyquist.
    #[serde(rename = "resolution_A_0143")]
    pub resolution_0143: Option<f64>,
    /// 1/k (Å) where the correlation falls below 0.5; `None` when it does not up to Nyquist.
    #[serde(rename = "resolution_A_05")]
    pub resolution_05: Option<f64>,
}

/// The correlation of two volumes `(x, y, z)` of the same size, edge of a voxel `pixel_size` Å. Empty or of unequal size
/// gives no shells.
#[must_use]
pub fn fourier_shell_correlation(a: &Array3<f32>, b: &Array3<f32>, pixel_size: f64) -> Fsc {
    let shells = if a.dim() == b.dim() && !a.is_empty() {
        shell_sums(a, b)
    } else {
        Vec::new()
    };
    let longest = [a.dim().0, a.dim().1, a.dim().2].into_iter().max();
    let width = 1.0 / (longest.unwrap_or(1).max(1) as f64 * pixel_size);
    let k_per_angstrom = (1..=shells.len()).map(|s| s as f64 * width).collect();
    let fsc = shells
        .iter()
        .map(|[ab, aa, bb]| {
            // One transform holds both: of an empty volume it leaves the other's rounding.
            if aa.min(*bb) > ROUNDING * aa.max(*bb) {
                ab / (aa * bb).sqrt()
            } else {
                0.0
            }
        })
        .collect();
    let mut curve = Fsc {
        k_per_angstrom,
        fsc,
        resolution_0143: None,
        resolution_05: None,
    };
    curve.resolution_0143 = curve.resolution(HALF_SET_THRESHOLD);
    curve.resolution_05 = curve.resolution(0.5);
    curve
}

impl Fsc {
    /// 1/k (Å) where the correlation first falls below `threshold` and stays there for three shells (or to the last),
    /// interpolated between shells; `None` when it never does.
    #[must_use]
    pub fn resolution(&self, threshold: f64) -> Option<f64> {
        let below = |s: usize| self.fsc[s] < threshold;
        let last = self.fsc.len();
        let at = (0..last).find(|&s| (s..(s + RUN).min(last)).all(below))?;
        let k = &self.k_per_angstrom;
        let crossing = if at == 0 {
            k[0]
        } else {
            let (high, low) = (self.fsc[at - 1], self.fsc[at]);
            let share = ((high - threshold) / (high - low)).clamp(0.0, 1.0);
            k[at - 1] + share * (k[at] - k[at - 1])
        };
        Some(1.0 / crossing)
    }
}

/// `Re Σ A B*`, `Σ|A|²` and `Σ|B|²` of each shell.
fn shell_sums(a: &Array3<f32>, b: &Array3<f32>) -> Vec<[f64; 3]> {
    let (nx, ny, nz) = a.dim();
    // Both volumes are real: one transform of A + iB holds both.
    let mut both: Vec<Complex32> = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| Complex32::new(a, b))
        .collect();
    transform(&mut both, [nx, ny, nz]);
    let longest = nx.max(ny).max(nz);
    let shells = longest / 2;
    let planes: Vec<Vec<[f64; 3]>> = (0..nx)
        .into_par_iter()
        .map(|x| {
            let mut sums = vec![[0.0; 3]; shells];
            for y in 0..ny {
                let across = signed(x, nx).powi(2) + signed(y, ny).powi(2);
                for z in 0..nz {
                    let k = (across + signed(z, nz).powi(2)).sqrt() * longest as f64;
                    let shell = k.round() as usize;
                    if shell == 0 || shell > shells {
                        continue;
                    }
                    let here = both[(x * ny + y) * nz + z];
                    let opposite = ((nx - x) % nx * ny + (ny - y) % ny) * nz + (nz - z) % nz;
                    let there = both[opposite].conj();
                    let fa = (here + there) * 0.5;
                    let fb = (here - there) * Complex32::new(0.0, -0.5);
                    let sum = &mut sums[shell - 1];
                    sum[0] += f64::from(fa.re * fb.re + fa.im * fb.im);
                    sum[1] += f64::from(fa.norm_sqr());
                    sum[2] += f64::from(fb.norm_sqr());
                }
            }
            sums
        })
        .collect();
    let mut total = vec![[0.0; 3]; shells];
    for plane in planes {
        for (total, part) in total.iter_mut().zip(plane) {
            for (total, part) in total.iter_mut().zip(part) {
                *total += part;
            }
        }
    }
    total
}

/// Frequency of the `k`-th of `n` Fourier coefficients, cycles per sample.
pub(super) fn signed(k: usize, n: usize) -> f64 {
    let k = if 2 * k > n {
        k as f64 - n as f64
    } else {
        k as f64
    };
    k / n as f64
}

/// Forward Fourier transform of `(x, y, z)`, z fastest, in place.
pub(super) fn transform(values: &mut [Complex32], [nx, ny, nz]: [usize; 3]) {
    let mut planner = FftPlanner::new();
    let [fx, fy, fz] = [nx, ny, nz].map(|n| planner.plan_fft_forward(n));
    let plane = ny * nz;
    values.par_chunks_mut(plane).for_each(|plane| {
        for line in plane.chunks_mut(nz) {
            fz.process(line);
        }
        strided(plane, ny, nz, &fy);
    });
    // Lines along x, gathered a row at a time so that every pass reads memory in order.
    let columns: Vec<Vec<Complex32>> = (0..ny)
        .into_par_iter()
        .map(|y| {
            let mut rows: Vec<Complex32> = (0..nx)
                .flat_map(|x| values[x * plane + y * nz..][..nz].iter().copied())
                .collect();
            strided(&mut rows, nx, nz, &fx);
            rows
        })
        .collect();
    values
        .par_chunks_mut(plane)
        .enumerate()
        .for_each(|(x, plane)| {
            for (row, column) in plane.chunks_mut(nz).zip(&columns) {
                row.copy_from_slice(&column[x * nz..(x + 1) * nz]);
            }
        });
}

/// Transforms the `width` columns of a table of `height` rows.
fn strided(table: &mut [Complex32], height: usize, width: usize, fft: &Arc<dyn Fft<f32>>) {
    let mut line = vec![Complex32::default(); height];
    for column in 0..width {
        for (row, value) in line.iter_mut().enumerate() {
            *value = table[row * width + column];
        }
        fft.process(&mut line);
        for (row, value) in line.iter().enumerate() {
            table[row * width + column] = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use rand_distr::StandardNormal;
    use std::f64::consts::TAU;

    fn noise(size: (usize, usize, usize), seed: u64) -> Array3<f32> {
        let mut rng = StdRng::seed_from_u64(seed);
        Array3::from_shape_simple_fn(size, || rng.sample(StandardNormal))
    }

    /// A sum over all voxels, coefficient by coefficient.
    fn by_definition(a: &Array3<f32>, b: &Array3<f32>, shell: usize) -> f64 {
        let (nx, ny, nz) = a.dim();
        let longest = nx.max(ny).max(nz) as f64;
        let mut sums = [0.0; 3];
        let range = |n: usize| (0..n as i64).map(move |k| k - (n as i64 - 1) / 2);
        for (kx, ky, kz) in
            range(nx).flat_map(|x| range(ny).flat_map(move |y| range(nz).map(move |z| (x, y, z))))
        {
            let f = [
                kx as f64 / nx as f64,
                ky as f64 / ny as f64,
                kz as f64 / nz as f64,
            ];
            let k = f.iter().map(|f| f * f).sum::<f64>().sqrt() * longest;
            if k.round() as usize != shell {
                continue;
            }
            let coefficient = |v: &Array3<f32>| {
                v.indexed_iter().fold([0.0; 2], |sum, ((x, y, z), &value)| {
                    let turn = -TAU * (f[0] * x as f64 + f[1] * y as f64 + f[2] * z as f64);
                    [
                        sum[0] + f64::from(value) * turn.cos(),
                        sum[1] + f64::from(value) * turn.sin(),
                    ]
                })
            };
            let (fa, fb) = (coefficient(a), coefficient(b));
            sums[0] += fa[0] * fb[0] + fa[1] * fb[1];
            sums[1] += fa[0] * fa[0] + fa[1] * fa[1];
            sums[2] += fb[0] * fb[0] + fb[1] * fb[1];
        }
        sums[0] / (sums[1] * sums[2]).sqrt()
    }

    #[test]
    fn shells_hold_what_the_definition_says_for_even_and_odd_edges() {
        let size = (6, 5, 8);
        let a = noise(size, 1);
        let b = &a + &noise(size, 2);
        let curve = fourier_shell_correlation(&a, &b, 0.5);
        assert_eq!(curve.k_per_angstrom, [0.25, 0.5, 0.75, 1.0]);
        for shell in 1..=4 {
            let wanted = by_definition(&a, &b, shell);
            let found = curve.fsc[shell - 1];
            assert!((found - wanted).abs() < 1e-5, "{shell}: {found} {wanted}");
        }
    }

    #[test]
    fn two_noisy_halves_agree_as_their_noise_lets_them() {
        // White signal of variance 1, noise of variance v in each half: 1 / (1 + v) in every shell.
        let size = (48, 40, 44);
        let signal = noise(size, 3);
        let halves = [4, 5].map(|seed| &signal + &(noise(size, seed) * 2f32.sqrt()));
        let curve = fourier_shell_correlation(&halves[0], &halves[1], 1.0);
        for (k, fsc) in curve.k_per_angstrom.iter().zip(&curve.fsc).skip(5) {
            assert!((fsc - 1.0 / 3.0).abs() < 0.1, "{fsc} at {k}");
        }
        assert_eq!(curve.resolution_0143, None);
        let same = fourier_shell_correlation(&signal, &(&signal * 3.0), 1.0);
        assert!(same.fsc.iter().all(|c| (c - 1.0).abs() < 1e-5));
        let empty = fourier_shell_correlation(&signal, &Array3::zeros(size), 1.0);
        assert!(empty.fsc.iter().all(|c| *c == 0.0));
        assert!(
            fourier_shell_correlation(&signal, &noise((2, 2, 2), 1), 1.0)
                .fsc
                .is_empty()
        );
    }

    #[test]
    fn the_resolution_is_where_the_curve_stays_below() {
        let curve = |fsc: &[f64]| Fsc {
            k_per_angstrom: (1..=fsc.len()).map(|k| 0.1 * k as f64).collect(),
            fsc: fsc.to_vec(),
            resolution_0143: None,
            resolution_05: None,
        };
        let falling = curve(&[1.0, 0.9, 0.7, 0.3, 0.1, 0.0]);
        assert!((falling.resolution(0.5).unwrap() - 1.0 / 0.35).abs() < 1e-12);
        let gap = curve(&[1.0, 0.2, 0.9, 0.7, 0.3, 0.1, 0.1]);
        assert!((gap.resolution(0.5).unwrap() - 1.0 / 0.45).abs() < 1e-12);
        assert_eq!(curve(&[0.1, 0.0, 0.0]).resolution(0.5), Some(10.0));
        assert_eq!(curve(&[0.9, 0.8]).resolution(0.5), None);
        assert_eq!(curve(&[]).resolution(0.5), None);
    }
}
