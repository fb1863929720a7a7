//! Gain and noise of a series from its own pixels.
//!
//! A high-pass filter of white noise keeps its variance and takes away the picture. The squared response `h²` is
//! compared with the mean count under the filter: on average `h² = a m + b` for Poisson–Gaussian noise, with
//! `m = Σ wᵢ² zᵢ` weighted as the noise enters `h`. Pixels are put into bins of equal number by the mean of the
//! *ring around* the filter, whose noise is independent of both `h` and `m`; a line through the bins is then free of
//! the bias that noise on the abscissa brings (the ring is an instrument in the sense of regression).
//!
//! A fine picture leaks into a high pass. Two filters of different steepness are tried and the quieter one is taken:
//! on noise both agree, a picture raises the less steep one.

use super::stabilize::NoiseModel;
use ndarray::{Array3, ArrayView2, Axis};
use rayon::prelude::*;

/// One-dimensional high passes: binomial differences of order 4 and 6, used along both axes.
const DIFFERENCES: [&[f64]; 2] = [
    &[1.0, -4.0, 6.0, -4.0, 1.0],
    &[1.0, -6.0, 15.0, -20.0, 15.0, -6.0, 1.0],
];
/// The ring reaches this many pixels beyond the filter.
const RING_PX: usize = 3;
/// Every so many pixels along x and y are sampled: nearer ones share most of their noise.
const STRIDE: usize = 2;
/// Bins of the mean count.
const BINS: usize = 24;
/// Responses beyond this many standard deviations are hot pixels or cosmic rays.
const OUTLIER_SDS: f64 = 6.0;
/// Where this share of the responses is exactly zero, single electrons are rare: they stand out, but are no outliers.
const SPARSE: f64 = 0.1;
/// Noise grows with the counts only if its variance does so by this many standard errors of the slope…
const SLOPE_ERRORS: f64 = 5.0;
/// … and by this share of the largest variance over the counts that occur: less is not worth a transform.
const SLOPE_SHARE: f64 = 0.1;

/// Noise below this part of the largest count is the rounding of single precision.
const ROUNDING: f64 = 1e-6;

/// Squared response, mean under the filter and mean of the ring around it.
#[derive(Debug, Clone, Copy)]
struct Sample {
    response: f64,
    mean: f64,
    ring: f64,
}

/// Noise of all images together, shape `(tilt, x, y)`. `None` when the images are too small to tell.
pub(super) fn estimate(images: &Array3<f32>) -> Option<NoiseModel> {
    DIFFERENCES
        .iter()
        .filter_map(|difference| {
            let bins = bins_of(samples(images, difference))?;
            let variance = bins.iter().map(|b| b.variance).sum::<f64>() / bins.len() as f64;
            Some((variance, bins))
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(variance, bins)| {
            let largest = images.iter().fold(0.0, |a: f32, v| a.max(v.abs()));
            let is_noisy = variance.sqrt() > ROUNDING * f64::from(largest);
            let silent = NoiseModel {
                gain: 0.0,
                pedestal: 0.0,
                sigma: 0.0,
            };
            if is_noisy {
                line_through(&bins)
            } else {
                silent
            }
        })
}

fn samples(images: &Array3<f32>, difference: &[f64]) -> Vec<Sample> {
    let images: Vec<ArrayView2<'_, f32>> = images.axis_iter(Axis(0)).collect();
    let per_image: Vec<Vec<Sample>> = images
        .par_iter()
        .map(|image| samples_of(*image, difference))
        .collect();
    per_image.into_iter().flatten().collect()
}

fn samples_of(image: ArrayView2<'_, f32>, difference: &[f64]) -> Vec<Sample> {
    let (nx, ny) = image.dim();
    let half = difference.len() / 2;
    let reach = half + RING_PX;
    if nx <= 2 * reach || ny <= 2 * reach {
        return Vec::new();
    }
    let norm: f64 = difference.iter().map(|w| w * w).sum();
    let signed: Vec<f64> = difference.iter().map(|w| w / norm.sqrt()).collect();
    let squared: Vec<f64> = difference.iter().map(|w| w * w / norm).collect();
    let filter_area = difference.len().pow(2) as f64;
    let ring_area = (2 * reach + 1).pow(2) as f64 - filter_area;
    let mut samples = Vec::new();
    // Sums down the columns of the filter's rows, and of all rows within reach.
    let mut down = vec![[0f64; 4]; ny];
    for x in (reach..nx - reach).step_by(STRIDE) {
        for (y, sums) in down.iter_mut().enumerate() {
            *sums = [0.0; 4];
            for row in 0..=2 * reach {
                let value = f64::from(image[[x + row - reach, y]]);
                sums[3] += value;
                if let Some(tap) = row.checked_sub(RING_PX).filter(|&t| t < signed.len()) {
                    sums[0] += signed[tap] * value;
                    sums[1] += squared[tap] * value;
                    sums[2] += value;
                }
            }
        }
        for y in (reach..ny - reach).step_by(STRIDE) {
            let (mut response, mut mean, mut inside) = (0.0, 0.0, 0.0);
            for (tap, sums) in down[y - half..=y + half].iter().enumerate() {
                response += signed[tap] * sums[0];
                mean += squared[tap] * sums[1];
                inside += sums[2];
            }
            let all: f64 = down[y - reach..=y + reach].iter().map(|s| s[3]).sum();
            samples.push(Sample {
                response: response * response,
                mean,
                ring: (all - inside) / ring_area,
            });
        }
    }
    samples
}

/// Pixels of similar counts.
#[derive(Debug, Clone, Copy)]
struct Bin {
    mean: f64,
    variance: f64,
    /// Variance of `variance`.
    error: f64,
}

fn bins_of(mut samples: Vec<Sample>) -> Option<Vec<Bin>> {
    let per_bin = samples.len() / BINS;
    if per_bin < 4 {
        return None;
    }
    samples.par_sort_by(|a, b| a.ring.total_cmp(&b.ring));
    Some(samples.chunks(per_bin).take(BINS).map(bin_of).collect())
}

fn bin_of(samples: &[Sample]) -> Bin {
    // The mean of squares is right for any counts, however few, but must be kept from outliers. The nine tenths
    // quantile gives a first idea: of normal numbers it is 2.706 variances.
    let mut sorted: Vec<f64> = samples.iter().map(|s| s.response).collect();
    let (_, quantile, _) = sorted.select_nth_unstable_by(samples.len() * 9 / 10, f64::total_cmp);
    let beyond = |variance: f64| match OUTLIER_SDS * OUTLIER_SDS * variance {
        0.0 => f64::INFINITY,
        limit => limit,
    };
    let quantile = *quantile;
    let zeros = samples.iter().filter(|s| s.response == 0.0).count() as f64;
    let is_sparse = zeros > SPARSE * samples.len() as f64;
    let mut limit = if is_sparse {
        f64::INFINITY
    } else {
        beyond(quantile / 2.706)
    };
    loop {
        let (mut n, mut mean, mut first, mut second) = (0.0, 0.0, 0.0, 0.0);
        for sample in samples.iter().filter(|s| s.response <= limit) {
            n += 1.0;
            mean += sample.mean;
            first += sample.response;
            second += sample.response * sample.response;
        }
        let variance = first / n;
        let next = beyond(variance);
        if is_sparse || next >= limit {
            return Bin {
                mean: mean / n,
                variance,
                // Neighboring samples share some noise: as if there were half as many.
                error: 2.0 * (second / n - variance * variance).max(0.0) / n,
            };
        }
        limit = next;
    }
}

/// The line `variance = a mean + b` through the bins, or a constant when they do not rise.
fn line_through(bins: &[Bin]) -> NoiseModel {
    let floor = bins.iter().map(|b| b.error).fold(0.0, f64::max) * 1e-3;
    let constant = {
        let weights: f64 = bins.iter().map(|b| 1.0 / (b.error + floor)).sum();
        let sum: f64 = bins.iter().map(|b| b.variance / (b.error + floor)).sum();
        sum / weights
    };
    let gaussian = |variance: f64| NoiseModel {
        gain: 0.0,
        pedestal: 0.0,
        sigma: variance.max(0.0).sqrt(),
    };
    if floor <= 0.0 {
        let mean = bins.iter().map(|b| b.variance).sum::<f64>() / bins.len() as f64;
        return gaussian(mean);
    }
    // A bin that the picture leaks into stands out of the line: its weight falls with its distance (Cauchy).
    let mut robust = vec![1.0; bins.len()];
    let (mut slope, mut intercept, mut slope_error) = (0.0, 0.0, f64::INFINITY);
    for _ in 0..20 {
        let weight = |at: usize| robust[at] / (bins[at].error + floor);
        let (mut w, mut wx, mut wy) = (0.0, 0.0, 0.0);
        for (at, bin) in bins.iter().enumerate() {
            w += weight(at);
            wx += weight(at) * bin.mean;
            wy += weight(at) * bin.variance;
        }
        let (center, level) = (wx / w, wy / w);
        let (mut xx, mut xy) = (0.0, 0.0);
        for (at, bin) in bins.iter().enumerate() {
            xx += weight(at) * (bin.mean - center).powi(2);
            xy += weight(at) * (bin.mean - center) * (bin.variance - level);
        }
        if xx <= 0.0 {
            return gaussian(constant);
        }
        slope = xy / xx;
        intercept = level - slope * center;
        slope_error = xx.sqrt().recip();
        for (bin, robust) in bins.iter().zip(&mut robust) {
            let off = bin.variance - slope * bin.mean - intercept;
            *robust = 1.0 / (1.0 + off * off / (9.0 * (bin.error + floor)));
        }
    }
    let [low, high] = [f64::min, f64::max].map(|choose| {
        let means = bins.iter().map(|b| b.mean);
        means.reduce(choose).unwrap_or(0.0)
    });
    let rise = slope * (high - low);
    let largest = slope * high + intercept;
    if slope < SLOPE_ERRORS * slope_error || rise < SLOPE_SHARE * largest {
        return gaussian(constant);
    }
    // Below the pedestal there is no electron; above zero, what is left is read noise.
    if intercept >= 0.0 {
        NoiseModel {
            gain: slope,
            pedestal: 0.0,
            sigma: intercept.sqrt(),
        }
    } else {
        NoiseModel {
            gain: slope,
            pedestal: (-intercept / slope).min(low),
            sigma: 0.0,
        }
    }
}
