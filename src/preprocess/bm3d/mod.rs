//! Denoising by BM3D: block matching and collaborative filtering in 3D (Dabov et al. 2007), as (Zr) and (PdPt) used it.
//!
//! Counts carry Poisson noise and the detector's own. Their variance is made 1 by the generalized Anscombe transform
//! ([`NoiseModel`]), the two stages of BM3D run on the result, and the exact unbiased inverse leads back to counts.
//! The noise is measured on the series itself, or given; its color is measured in the vacuum. Every image is filtered
//! for itself.
//!
//! Denoising is a choice, not a need: it can cost accuracy in the model, so the caller is told what was taken away
//! ([`Denoised::removed`]) and whether that looks like noise ([`Denoised::removed_sd`], [`Denoised::removed_correlation`]).

mod color;
mod covariance;
mod filter;
mod matching;
mod noise;
pub mod reference;
mod stabilize;
mod transform;

pub use stabilize::NoiseModel;

use crate::monitor::{Monitor, Stopped};
use color::Correlation;
use covariance::Covariance;
use filter::Settings;
use matching::Plane;
use ndarray::{Array2, Array3, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use transform::{Dct, EDGE};

/// Largest count in standard deviations of its noise: the filter squares it in single precision.
const LARGEST_RATIO: f64 = 1e12;

/// Parameters of the denoising.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct Bm3dParams {
    /// Standard deviation of the noise that does not depend on the counts, counts [default: measured]
    #[arg(long = "noise-sigma", value_name = "COUNTS")]
    pub sigma: Option<f64>,
    /// Counts per detected electron; 0 when the noise does not grow with the counts [default: measured]
    #[arg(long = "noise-gain", value_name = "COUNTS")]
    pub gain: Option<f64>,
    /// Counts where no electron arrives [default: measured]
    #[arg(
        long = "noise-pedestal",
        value_name = "COUNTS",
        allow_hyphen_values = true
    )]
    pub pedestal: Option<f64>,
    /// Factor on the noise's standard deviation: below 1 less is taken away, above 1 more
    #[arg(long = "denoise-strength", default_value_t = Self::default().strength)]
    pub strength: f64,
    /// Take the noise for white, whatever the vacuum shows
    #[arg(long = "white-noise")]
    pub white: bool,
    /// Pixels around a block in which its like are searched
    #[arg(long = "denoise-search-px", default_value_t = Self::default().search_px)]
    pub search_px: usize,
    /// Pixels from one reference block to the next
    #[arg(long = "denoise-step-px", default_value_t = Self::default().step_px)]
    pub step_px: usize,
}

impl Default for Bm3dParams {
    fn default() -> Self {
        Self {
            sigma: None,
            gain: None,
            pedestal: None,
            strength: 1.0,
            white: false,
            // 39 × 39 candidates, every third pixel a reference (Dabov et al., table I).
            search_px: 19,
            step_px: 3,
        }
    }
}

/// A denoised series and what is known of its noise.
#[derive(Debug, Clone)]
pub struct Denoised {
    /// Denoised counts, shape `(tilt, x, y)`.
    pub images: Array3<f32>,
    /// The noise that was assumed.
    pub noise: NoiseModel,
    /// Whether the noise was measured on the series rather than given.
    pub measured: bool,
    /// Correlation of the noise between neighbors along x and y in the vacuum; `None` when it was taken for white.
    pub noise_correlation: Option<[f64; 2]>,
    /// Standard deviation of what was removed, in standard deviations of the assumed noise: 1 at most; well below 1
    /// where the picture is rich, above 1 when the noise is stronger than assumed.
    pub removed_sd: f64,
    /// Correlation of what was removed between neighboring pixels: 0 for white noise, above it when structure was
    /// removed or the noise is coloured.
    pub removed_correlation: f64,
}

impl Denoised {
    /// What was taken away from `images`, the input of [`denoise`].
    ///
    /// # Panics
    /// If the shapes differ.
    #[must_use]
    pub fn removed(&self, images: &Array3<f32>) -> Array3<f32> {
        assert_eq!(images.dim(), self.images.dim(), "the series denoised");
        images - &self.images
    }

    /// One sentence for the report.
    #[must_use]
    pub fn note(&self) -> String {
        let NoiseModel {
            gain,
            pedestal,
            sigma,
        } = self.noise;
        let origin = if self.measured { "measured" } else { "given" };
        if gain <= 0.0 && sigma <= 0.0 {
            return format!("Denoising: left as it is; no noise ({origin})");
        }
        let model = if gain > 0.0 {
            format!("gain {gain:.3} counts/electron, pedestal {pedestal:.2}, σ {sigma:.3} counts")
        } else {
            format!("σ {sigma:.4} counts, the same everywhere")
        };
        let color = self.noise_correlation.map_or(String::new(), |[x, y]| {
            format!(", correlated between neighboring pixels by {x:.2} along x and {y:.2} along y")
        });
        format!(
            "Denoising: BM3D with {model} ({origin}){color}; what was removed has {:.2} of the noise's standard deviation \
             and a correlation of {:.3} between neighboring pixels",
            self.removed_sd, self.removed_correlation
        )
    }
}

/// Why a series cannot be denoised.
#[derive(Debug, thiserror::Error)]
pub enum Bm3dError {
    /// Images smaller than a block.
    #[error("images of {found_x} × {found_y} pixels, expected at least 8 × 8")]
    TooSmall {
        /// Pixels on x.
        found_x: usize,
        /// Pixels on y.
        found_y: usize,
    },
    /// A value that is no number.
    #[error("image {}, pixel ({x}, {y}) holds {found}, expected a finite number", .tilt + 1)]
    NotFinite {
        /// Image, from 0.
        tilt: usize,
        /// Pixel on x.
        x: usize,
        /// Pixel on y.
        y: usize,
        /// What it holds.
        found: f32,
    },
    /// Images too small to measure their noise.
    #[error(
        "images of {found_x} × {found_y} pixels are too small to measure their noise, expected its sigma"
    )]
    NoEstimate {
        /// Pixels on x.
        found_x: usize,
        /// Pixels on y.
        found_y: usize,
    },
    /// A parameter out of its range.
    #[error("{name} is {found}, expected {expected}")]
    BadParameter {
        /// Field name.
        name: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was given.
        found: f64,
    },
    /// The user stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Mean variance of the noise of the pixels of each image of a raw stack `(tilt, x, y)`; `None` when the images are too
/// small to tell.
#[must_use]
pub fn noise_variances(images: &Array3<f32>) -> Option<Vec<f64>> {
    let NoiseModel {
        gain,
        pedestal,
        sigma,
    } = noise::estimate(images)?;
    let of = |image: ArrayView2<'_, f32>| {
        let mean = image.iter().map(|&v| f64::from(v)).sum::<f64>() / image.len().max(1) as f64;
        sigma * sigma + gain * (mean - pedestal).max(0.0)
    };
    Some(images.outer_iter().map(of).collect())
}

/// Denoises every image of a stack of shape `(tilt, x, y)`; the noise is taken to be the same for all. `specimens` says
/// for each image which pixels show more than vacuum: the color of the noise is measured outside. Where it is not known
/// (an empty slice) the noise is taken for white.
///
/// # Errors
/// Images smaller than 8 × 8 pixels or with values that are no numbers, a parameter out of range, or a stop.
pub fn denoise(
    images: &Array3<f32>,
    specimens: &[Array2<bool>],
    params: &Bm3dParams,
    monitor: &Monitor,
) -> Result<Denoised, Bm3dError> {
    check(images, params)?;
    monitor.phase("Measuring the noise");
    let (mut noise, measured) = noise_of(images, params)?;
    if images.is_empty() || (noise.gain <= 0.0 && noise.sigma <= 0.0) {
        return Ok(Denoised {
            images: images.clone(),
            noise,
            measured,
            noise_correlation: None,
            removed_sd: 0.0,
            removed_correlation: 0.0,
        });
    }
    let largest = images.iter().fold(0.0, |a: f32, v| a.max(v.abs()));
    if noise.stabilize(f64::from(largest)) > LARGEST_RATIO {
        return Err(Bm3dError::BadParameter {
            name: "noise",
            expected: "at least 1e-12 of the largest count",
            found: noise.variance(f64::from(largest)).sqrt(),
        });
    }
    let correlation = if params.white {
        None
    } else {
        color::measure(images, specimens, &noise)
    };
    if let (Some(found), true) = (&correlation, measured) {
        // The high pass that measured the noise sees only its fast part: the vacuum tells the whole.
        noise = noise.scaled(found.variance);
    }
    monitor.phase("Denoising");
    let settings = settings(params, correlation.as_ref());
    let (tilts, nx, _) = images.dim();
    let total = tilts * 2 * filter::bands(nx, settings.step);
    let done = AtomicUsize::new(0);
    let tick = || monitor.progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
    let filtered = (0..tilts)
        .into_par_iter()
        .map(|tilt| {
            let noisy = stabilized(images.index_axis(Axis(0), tilt), &noise, params.strength);
            let basic = filter::stage(&noisy, None, &settings, monitor, &tick)?;
            let last = filter::stage(&noisy, Some(&basic), &settings, monitor, &tick)?;
            let counts: Vec<f32> = last
                .pixels()
                .map(|value| noise.mean_of(f64::from(value) * params.strength) as f32)
                .collect();
            Ok((counts, Residue::of(&noisy, &last)))
        })
        .collect::<Result<Vec<(Vec<f32>, Residue)>, Stopped>>()?;
    let (counts, residues): (Vec<Vec<f32>>, Vec<Residue>) = filtered.into_iter().unzip();
    let cleaned = Array3::from_shape_vec(images.dim(), counts.concat())
        .expect("as many counts as there were");
    let (removed_sd, removed_correlation) = Residue::summary(&residues, params.strength);
    Ok(Denoised {
        images: cleaned,
        noise,
        measured,
        noise_correlation: correlation.map(|c| [c.at(1, 0), c.at(0, 1)]),
        removed_sd,
        removed_correlation,
    })
}

fn settings(params: &Bm3dParams, correlation: Option<&Correlation>) -> Settings {
    Settings {
        step: params.step_px,
        reach: params.search_px,
        covariance: correlation.map_or_else(Covariance::white, |c| {
            Covariance::new(c.reach, |dx, dy| c.at(dx, dy))
        }),
        dct: Dct::new(),
    }
}

fn stabilized(image: ArrayView2<'_, f32>, noise: &NoiseModel, strength: f64) -> Plane {
    let (nx, ny) = image.dim();
    let values = image
        .iter()
        .map(|&count| (noise.stabilize(f64::from(count)) / strength) as f32);
    Plane::new([nx, ny], values)
}

fn noise_of(images: &Array3<f32>, params: &Bm3dParams) -> Result<(NoiseModel, bool), Bm3dError> {
    let given = NoiseModel {
        gain: params.gain.unwrap_or(0.0),
        pedestal: params.pedestal.unwrap_or(0.0),
        sigma: params.sigma.unwrap_or(0.0),
    };
    if params.sigma.is_some() || params.gain.is_some() || images.is_empty() {
        return Ok((given, false));
    }
    let (_, nx, ny) = images.dim();
    let found = noise::estimate(images).ok_or(Bm3dError::NoEstimate {
        found_x: nx,
        found_y: ny,
    })?;
    Ok((found, true))
}

/// Sums over what was removed from an image, in stabilized units.
struct Residue {
    pixels: f64,
    squares: f64,
    neighbors: f64,
}

impl Residue {
    fn of(noisy: &Plane, cleaned: &Plane) -> Self {
        let [nx, ny] = noisy.size;
        let removed = |x: usize| -> Vec<f64> {
            let (a, b) = (noisy.row(x), cleaned.row(x));
            (0..ny).map(|y| f64::from(a[y] - b[y])).collect()
        };
        let (mut squares, mut neighbors) = (0.0, 0.0);
        let mut above: Option<Vec<f64>> = None;
        for x in 0..nx {
            let row = removed(x);
            squares += row.iter().map(|v| v * v).sum::<f64>();
            neighbors += row.windows(2).map(|p| p[0] * p[1]).sum::<f64>();
            if let Some(above) = &above {
                neighbors += row.iter().zip(above).map(|(a, b)| a * b).sum::<f64>();
            }
            above = Some(row);
        }
        Self {
            pixels: (nx * ny) as f64,
            squares,
            // As many pairs along both axes as there are pixels, twice.
            neighbors: neighbors / 2.0,
        }
    }

    fn summary(all: &[Self], strength: f64) -> (f64, f64) {
        let sum = |field: fn(&Self) -> f64| all.iter().map(field).sum::<f64>();
        let squares = sum(|r| r.squares);
        let sd = strength * (squares / sum(|r| r.pixels).max(1.0)).sqrt();
        let correlation = if squares > 0.0 {
            sum(|r| r.neighbors) / squares
        } else {
            0.0
        };
        (sd, correlation)
    }
}

fn check(images: &Array3<f32>, params: &Bm3dParams) -> Result<(), Bm3dError> {
    let (tilts, nx, ny) = images.dim();
    if tilts > 0 && (nx < EDGE || ny < EDGE) {
        return Err(Bm3dError::TooSmall {
            found_x: nx,
            found_y: ny,
        });
    }
    if let Some(((tilt, x, y), &found)) = images.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Bm3dError::NotFinite { tilt, x, y, found });
    }
    let bad = |name, expected, found| {
        Err(Bm3dError::BadParameter {
            name,
            expected,
            found,
        })
    };
    for (name, value) in [("sigma", params.sigma), ("gain", params.gain)] {
        if let Some(value) = value.filter(|v| !(0.0..f64::INFINITY).contains(v)) {
            return bad(name, "a finite number, 0 or more", value);
        }
    }
    if let Some(value) = params.pedestal.filter(|v| !v.is_finite()) {
        return bad("pedestal", "a finite number", value);
    }
    if !(0.01..=100.0).contains(&params.strength) {
        return bad("strength", "0.01 to 100", params.strength);
    }
    if !(1..=EDGE).contains(&params.step_px) {
        return bad("step_px", "1 to 8", params.step_px as f64);
    }
    if !(1..=64).contains(&params.search_px) {
        return bad("search_px", "1 to 64", params.search_px as f64);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
