//! Noisy pictures of projections whose truth is known, and what the Python reference of BM3D makes of the very same
//! pictures: the random numbers are counted (splitmix64), so that any language draws the same.

use super::{Bm3dError, Bm3dParams, denoise};
use crate::monitor::Monitor;
use ndarray::{Array2, Array3};
use std::f64::consts::TAU;

/// Standard deviations of the noise, in parts of the picture's peak.
pub const SIGMAS: [f64; 5] = [0.02, 0.05, 0.1, 0.2, 0.4];
/// PSNR (dB) of the Python package bm3d 4.0.3, profile `np`, on the crystal and on the amorphous ball.
const REFERENCE_DB: [[f64; 5]; 2] = [
    [40.353, 35.978, 31.879, 27.152, 24.167],
    [39.565, 33.885, 30.147, 25.873, 22.585],
];
/// Pixels on a side of the pictures.
const SIDE: usize = 128;

/// How one picture came out.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Quality {
    /// What it shows: `crystal` or `amorphous`.
    pub picture: &'static str,
    /// Standard deviation of its noise, in parts of its peak.
    pub sigma: f64,
    /// PSNR of the noisy picture, dB.
    pub noisy_db: f64,
    /// PSNR after denoising, dB.
    pub denoised_db: f64,
    /// PSNR the Python reference reaches on it, dB.
    pub reference_db: f64,
}

/// Denoises both pictures at all five levels.
///
/// # Errors
/// A stop.
pub fn qualities(monitor: &Monitor) -> Result<Vec<Quality>, Bm3dError> {
    let mut all = Vec::new();
    let pictures = [("crystal", crystal(SIDE)), ("amorphous", amorphous(SIDE))];
    for (which, (picture, truth)) in pictures.into_iter().enumerate() {
        for (level, &sigma) in SIGMAS.iter().enumerate() {
            let images = noisy(&truth, sigma, 1000 * (which as u64 + 1) + level as u64);
            let params = Bm3dParams {
                sigma: Some(sigma),
                ..Bm3dParams::default()
            };
            let done = denoise(&images, &[], &params, monitor)?;
            all.push(Quality {
                picture,
                sigma,
                noisy_db: psnr(images.iter().copied(), &truth),
                denoised_db: psnr(done.images.iter().copied(), &truth),
                reference_db: REFERENCE_DB[which][level],
            });
        }
    }
    Ok(all)
}

/// Uniform numbers in (0, 1) by counting (splitmix64): the same in any language.
fn uniform(seed: u64, n: usize) -> Vec<f64> {
    (1..=n as u64)
        .map(|i| {
            let mut z = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            ((z >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        })
        .collect()
}

/// Normal numbers (Box–Muller).
pub(super) fn normal(seed: u64, n: usize) -> Vec<f64> {
    uniform(seed, 2 * n)
        .chunks_exact(2)
        .map(|u| (-2.0 * u[0].ln()).sqrt() * (TAU * u[1]).cos())
        .collect()
}

/// Gaussian atoms of width 1.3 px, scaled to a peak of 1.
fn splat(n: usize, atoms: &[[f64; 3]]) -> Array2<f64> {
    let mut image = Array2::<f64>::zeros((n, n));
    for [x, y, weight] in atoms {
        let line = |c: f64| -> Vec<f64> {
            (0..n)
                .map(|i| (-(i as f64 - c).powi(2) / (2.0 * 1.69)).exp())
                .collect()
        };
        let (gx, gy) = (line(*x), line(*y));
        for i in 0..n {
            for j in 0..n {
                image[[i, j]] += weight * gx[i] * gy[j];
            }
        }
    }
    let peak = image.iter().copied().fold(0.0, f64::max);
    image / peak
}

/// A ball of a crystal seen along [110].
pub(super) fn crystal(n: usize) -> Array2<f64> {
    let (radius, c) = (0.42 * n as f64, n as f64 / 2.0);
    let (sin, cos) = 0.3f64.sin_cos();
    let mut atoms = Vec::new();
    for i in -60..=60 {
        for j in -60..=60 {
            for o in [0.0, 0.5] {
                let (u, v) = ((f64::from(i) + o) * 6.0, (f64::from(j) + o) * 4.25);
                let (x, y) = (u * cos - v * sin, u * sin + v * cos);
                let r2 = (x * x + y * y) / (radius * radius);
                if r2 < 1.0 {
                    atoms.push([c + x, c + y, (1.0 - r2).sqrt()]);
                }
            }
        }
    }
    splat(n, &atoms)
}

/// A ball of atoms at random places.
pub(super) fn amorphous(n: usize) -> Array2<f64> {
    let (radius, c) = (0.42 * n as f64, n as f64 / 2.0);
    let count = ((radius / 3.2).powi(3) * 0.35 * 3.0).round() as usize;
    let atoms: Vec<[f64; 3]> = uniform(77, 3 * count)
        .chunks_exact(3)
        .map(|u| [2.0 * u[0] - 1.0, 2.0 * u[1] - 1.0, 2.0 * u[2] - 1.0])
        .filter(|p| p.iter().map(|v| v * v).sum::<f64>() < 1.0)
        .map(|p| [c + radius * p[0], c + radius * p[1], 1.0])
        .collect();
    splat(n, &atoms)
}

pub(super) fn psnr(image: impl Iterator<Item = f32>, truth: &Array2<f64>) -> f64 {
    let squares: f64 = image
        .zip(truth)
        .map(|(a, b)| (f64::from(a) - b).powi(2))
        .sum();
    -10.0 * (squares / truth.len() as f64).log10()
}

pub(super) fn noisy(truth: &Array2<f64>, sigma: f64, seed: u64) -> Array3<f32> {
    let noise = normal(seed, truth.len());
    let values = truth.iter().zip(noise).map(|(t, n)| (t + sigma * n) as f32);
    let (nx, ny) = truth.dim();
    Array3::from_shape_vec((1, nx, ny), values.collect()).expect("as many pixels")
}
