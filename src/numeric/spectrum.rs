//! Radial power spectrum of a volume, and how much of it is noise.
//!
//! Atoms are smooth: their power falls as a Gaussian of the frequency. What is left near the Nyquist frequency is noise, and
//! noise of independent voxels has that power at every frequency.

use super::fsc::{signed, transform};
use ndarray::{Array3, Axis};
use rustfft::num_complex::Complex32;
use std::f64::consts::PI;

/// Part of the spectrum, in Nyquist frequencies, that holds noise alone.
const NOISE_BAND: [f64; 2] = [0.7, 1.0];

/// Mean power in shells of spatial frequency.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerSpectrum {
    /// Middle of each shell (cycles per voxel), how many coefficients it has, and their mean power.
    shells: Vec<(f64, f64, f64)>,
    /// Mean power in the band of noise.
    floor: f64,
}

impl PowerSpectrum {
    /// The spectrum of a volume `(x, y, z)`: mean taken off, faded out by a Hann window, shells up to Nyquist.
    #[must_use]
    pub fn of(volume: &Array3<f32>) -> Self {
        let size = [volume.dim().0, volume.dim().1, volume.dim().2];
        let longest = size.into_iter().max().unwrap_or(0);
        let mut faded = volume - volume.mean().unwrap_or(0.0);
        for axis in 0..3 {
            let step = 2.0 * PI / size[axis].max(1) as f64;
            for (i, mut plane) in faded.axis_iter_mut(Axis(axis)).enumerate() {
                let weight = 0.5 - 0.5 * ((i as f64 + 0.5) * step).cos();
                plane.mapv_inplace(|v| v * weight as f32);
            }
        }
        let mut values: Vec<Complex32> = faded.iter().map(|&v| Complex32::new(v, 0.0)).collect();
        if values.is_empty() {
            return Self {
                shells: Vec::new(),
                floor: 0.0,
            };
        }
        transform(&mut values, size);
        let mut sums = vec![[0.0f64; 2]; longest / 2];
        for ((x, y, z), value) in ndarray::indices(volume.dim()).into_iter().zip(&values) {
            let k = [signed(x, size[0]), signed(y, size[1]), signed(z, size[2])];
            let radius = k.iter().map(|k| k * k).sum::<f64>().sqrt() * longest as f64;
            let shell = radius.round() as usize;
            if (1..=sums.len()).contains(&shell) {
                sums[shell - 1][0] += 1.0;
                sums[shell - 1][1] += f64::from(value.norm_sqr());
            }
        }
        let shells: Vec<(f64, f64, f64)> = sums
            .iter()
            .enumerate()
            .filter(|(_, [count, _])| *count > 0.0)
            .map(|(i, [count, sum])| ((i + 1) as f64 / longest as f64, *count, sum / count))
            .collect();
        let mut band: Vec<f64> = shells
            .iter()
            .filter(|(k, ..)| (NOISE_BAND[0]..=NOISE_BAND[1]).contains(&(2.0 * k)))
            .map(|(.., power)| *power)
            .collect();
        band.sort_by(f64::total_cmp);
        Self {
            // The median leaves out what artefacts put into single shells.
            floor: band.get(band.len() / 2).copied().unwrap_or(0.0),
            shells,
        }
    }

    /// Share of noise in the variance after smoothing with a Gaussian of standard deviation `smoothing_vox` voxels, 0 to 1;
    /// 1 where there is no variance.
    #[must_use]
    pub fn noise_share(&self, smoothing_vox: f64) -> f64 {
        let (mut noise, mut all) = (0.0, 0.0);
        for (k, count, power) in &self.shells {
            let passed = count * (-(2.0 * PI * k * smoothing_vox).powi(2)).exp();
            noise += passed * self.floor.min(*power);
            all += passed * power;
        }
        if all > 0.0 { noise / all } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// White noise of variance 1/12.
    fn noise(size: [usize; 3]) -> Array3<f32> {
        let mut state = 3u64;
        Array3::from_shape_simple_fn(size, || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        })
    }

    #[test]
    fn white_noise_is_all_noise_and_smooth_matter_is_none() {
        let white = PowerSpectrum::of(&noise([40, 36, 44]));
        assert!((white.noise_share(0.0) - 1.0).abs() < 0.05);
        assert!((white.noise_share(1.0) - 1.0).abs() < 0.1);
        let smooth = Array3::from_shape_fn((40, 36, 44), |(x, y, z)| {
            ((x as f32 * 0.9).sin() + (y as f32 * 1.1).cos()) * (z as f32 * 0.7).sin()
        });
        assert!(PowerSpectrum::of(&smooth).noise_share(0.0) < 1e-4);
    }

    #[test]
    fn the_share_is_that_of_the_variances() {
        // A wave of variance 1/8 a³ (three sines) beside noise of variance 1/12.
        let amplitude = 1.5f32;
        let wave = |x: usize| (x as f32 * std::f32::consts::TAU / 8.0).sin();
        let mut both = noise([48; 3]);
        both.indexed_iter_mut()
            .for_each(|((x, y, z), v)| *v += amplitude * wave(x) * wave(y) * wave(z));
        let signal = f64::from(amplitude).powi(2) / 8.0;
        // Shells end at Nyquist: the corners of the cube hold 1 − π/6 of the noise.
        let within = PI / 6.0 / 12.0;
        let expected = within / (within + signal);
        let found = PowerSpectrum::of(&both).noise_share(0.0);
        assert!((found / expected - 1.0).abs() < 0.1, "{found} {expected}");
    }

    #[test]
    fn nothing_gives_no_panic() {
        for size in [[0, 0, 0], [1, 1, 1], [2, 3, 1]] {
            let share = PowerSpectrum::of(&Array3::zeros(size)).noise_share(0.5);
            assert_eq!(share, 1.0);
        }
    }
}
