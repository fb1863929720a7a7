//! Spots of an image's Fourier transform, located by Gaussian fits.

use super::super::PrepareError;
use crate::monitor::Monitor;
use crate::numeric::fit::least_squares;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use rustfft::{FftPlanner, num_complex::Complex64};
use std::f64::consts::TAU;

/// The image is faded out by a Gaussian with this share of its edge as standard deviation; 0.2 % are left at the rim.
const WINDOW_SHARE: f64 = 1.0 / 7.0;
/// Power of a spot over the median of its surroundings. Noise of a million coefficients reaches 20.
const STANDS_OUT: f64 = 40.0;
/// Spots kept, the strongest first.
const MOST_SPOTS: usize = 80;
/// Frequencies beyond this are aliased, cycles per pixel.
const BAND: f64 = 0.48;
/// Samples on each side of a spot's middle, and their distance in widths of the spot.
const SAMPLES: i32 = 2;
const SAMPLE_STEP: f64 = 0.5;

/// A spot of a half plane of the spectrum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spot {
    /// Cycles per pixel along rows (down) and columns (right).
    pub wave: [f64; 2],
    /// Amplitude of its wave, in units of the image's mean amplitude of the noise.
    pub amplitude: f64,
    /// Standard deviations of the Gaussian fitted to its amplitude, cycles per pixel.
    pub width: [f64; 2],
}

/// Standard deviation of a spot's amplitude in the spectrum, cycles per pixel on each axis.
pub(super) fn width(size: [usize; 2]) -> [f64; 2] {
    size.map(|n| 1.0 / (TAU * WINDOW_SHARE * n as f64))
}

/// The image without its mean, faded out towards its rim, row by row.
struct Faded {
    size: [usize; 2],
    values: Vec<f64>,
}

impl Faded {
    fn of(image: ArrayView2<'_, f32>) -> Self {
        let (rows, columns) = image.dim();
        let window = |k: usize, n: usize| {
            let middle = (n as f64 - 1.0) / 2.0;
            (-0.5 * ((k as f64 - middle) / (WINDOW_SHARE * n as f64)).powi(2)).exp()
        };
        let (mut sum, mut weight) = (0.0, 0.0);
        for ((i, j), &v) in image.indexed_iter() {
            let w = window(i, rows) * window(j, columns);
            sum += w * f64::from(v);
            weight += w;
        }
        let mean = sum / weight;
        let values = image
            .indexed_iter()
            .map(|((i, j), &v)| (f64::from(v) - mean) * window(i, rows) * window(j, columns))
            .collect();
        Self {
            size: [rows, columns],
            values,
        }
    }

    /// Power at whole coefficients, row by row.
    fn power(&self) -> Vec<f64> {
        let [rows, columns] = self.size;
        let mut values: Vec<Complex64> = self
            .values
            .iter()
            .map(|&v| Complex64::new(v, 0.0))
            .collect();
        let mut planner = FftPlanner::new();
        planner.plan_fft_forward(columns).process(&mut values);
        let mut turned: Vec<Complex64> = (0..columns)
            .flat_map(|j| (0..rows).map(move |i| (i, j)))
            .map(|(i, j)| values[i * columns + j])
            .collect();
        planner.plan_fft_forward(rows).process(&mut turned);
        (0..rows)
            .flat_map(|i| (0..columns).map(move |j| (i, j)))
            .map(|(i, j)| turned[j * rows + i].norm_sqr())
            .collect()
    }

    /// Power at the frequencies `down` × `right`, cycles per pixel: the Fourier sum itself, at any place.
    fn power_at(&self, down: &[f64], right: &[f64]) -> Vec<f64> {
        let [_, columns] = self.size;
        let waves = |q: f64, n: usize| -> Vec<Complex64> {
            (0..n)
                .map(|k| Complex64::from_polar(1.0, -TAU * q * k as f64))
                .collect()
        };
        let across: Vec<Vec<Complex64>> = right.iter().map(|&q| waves(q, columns)).collect();
        let along: Vec<Vec<Complex64>> = down.iter().map(|&q| waves(q, self.size[0])).collect();
        let mut sums = vec![Complex64::default(); down.len() * right.len()];
        for (i, line) in self.values.chunks_exact(columns).enumerate() {
            for (b, wave) in across.iter().enumerate() {
                let of_line: Complex64 = line.iter().zip(wave).map(|(&v, w)| w * v).sum();
                for (a, wave) in along.iter().enumerate() {
                    sums[a * right.len() + b] += of_line * wave[i];
                }
            }
        }
        sums.iter().map(Complex64::norm_sqr).collect()
    }
}

fn signed(k: usize, n: usize) -> f64 {
    let k = if 2 * k > n {
        k as f64 - n as f64
    } else {
        k as f64
    };
    k / n as f64
}

/// Median power in rings of the spectrum, by the ring's number.
struct Rings {
    medians: Vec<f64>,
}

impl Rings {
    const COUNT: f64 = 60.0;

    fn number(wave: [f64; 2]) -> usize {
        (wave[0].hypot(wave[1]) * Self::COUNT / 0.71) as usize
    }

    fn of(power: &[f64], [rows, columns]: [usize; 2]) -> Self {
        let mut rings: Vec<Vec<f64>> = Vec::new();
        for (index, &p) in power.iter().enumerate() {
            let wave = [
                signed(index / columns, rows),
                signed(index % columns, columns),
            ];
            let ring = Self::number(wave);
            if rings.len() <= ring {
                rings.resize_with(ring + 1, Vec::new);
            }
            rings[ring].push(p);
        }
        let median = |mut of: Vec<f64>| {
            if of.is_empty() {
                return 0.0;
            }
            let middle = of.len() / 2;
            *of.select_nth_unstable_by(middle, f64::total_cmp).1
        };
        Self {
            medians: rings.into_iter().map(median).collect(),
        }
    }

    fn at(&self, wave: [f64; 2]) -> f64 {
        self.medians.get(Self::number(wave)).copied().unwrap_or(0.0)
    }
}

/// The spots outside `innermost` cycles per pixel that stand out of the noise, of each pair ±q one, the strongest
/// first.
pub(super) fn find(
    image: ArrayView2<'_, f32>,
    innermost: f64,
    monitor: &Monitor,
) -> Result<Vec<Spot>, PrepareError> {
    let faded = Faded::of(image);
    let [rows, columns] = faded.size;
    monitor.check()?;
    let power = faded.power();
    monitor.check()?;
    let rings = Rings::of(&power, faded.size);
    let at = |i: usize, j: usize| power[i % rows * columns + j % columns];
    let mut peaks: Vec<(f64, [f64; 2])> = Vec::new();
    for i in 0..rows {
        for j in 0..columns {
            let wave = [signed(i, rows), signed(j, columns)];
            let upper = wave[1] > 0.0 || (wave[1] == 0.0 && wave[0] > 0.0);
            let inside = wave.iter().all(|q| q.abs() < BAND) && wave[0].hypot(wave[1]) > innermost;
            let value = at(i, j);
            if !upper || !inside || value <= STANDS_OUT * rings.at(wave) {
                continue;
            }
            let highest = (0..9)
                .filter(|k| *k != 4)
                .all(|k| value >= at(i + rows - 1 + k / 3, j + columns - 1 + k % 3));
            if highest {
                peaks.push((value, wave));
            }
        }
    }
    peaks.sort_by(|a, b| b.0.total_cmp(&a.0));
    peaks.truncate(MOST_SPOTS);
    let noise = rings
        .medians
        .iter()
        .copied()
        .filter(|m| *m > 0.0)
        .fold(f64::INFINITY, f64::min);
    let spots = peaks
        .par_iter()
        .map(|(_, wave)| {
            monitor.check()?;
            Ok(fit(&faded, *wave).map(|found| Spot {
                wave: found.middle,
                amplitude: (found.power / noise.max(f64::MIN_POSITIVE)).sqrt(),
                width: found.width,
            }))
        })
        .collect::<Result<Vec<Option<Spot>>, crate::monitor::Stopped>>()?;
    Ok(spots.into_iter().flatten().collect())
}

/// A Gaussian in the spectrum.
struct Gaussian {
    middle: [f64; 2],
    power: f64,
    /// Standard deviations of its amplitude, cycles per pixel.
    width: [f64; 2],
}

/// Fits a Gaussian to the power around a place: its logarithm is a paraboloid, and the errors of the logarithm go with
/// the inverse of the power. `None` where there is no peak.
fn fit(faded: &Faded, start: [f64; 2]) -> Option<Gaussian> {
    let width = width(faded.size);
    let step = width.map(|w| SAMPLE_STEP * w);
    let mut middle = start;
    let mut height = 0.0;
    let mut fitted = width;
    for _ in 0..4 {
        let places = |axis: usize| -> Vec<f64> {
            (-SAMPLES..=SAMPLES)
                .map(|k| middle[axis] + f64::from(k) * step[axis])
                .collect()
        };
        let power = faded.power_at(&places(0), &places(1));
        let top = power.iter().copied().fold(0.0, f64::max);
        if top <= 0.0 {
            return None;
        }
        let (mut rows, mut values, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (index, &p) in power.iter().enumerate() {
            let n = 2 * SAMPLES as usize + 1;
            let [a, b] = [index / n, index % n].map(|k| k as f64 - f64::from(SAMPLES));
            rows.push(vec![1.0, a, b, a * a, a * b, b * b]);
            values.push((p / top).max(1e-12).ln());
            weights.push((p / top).powi(2));
        }
        let c = least_squares(&rows, &values, &weights)?;
        let determinant = 4.0 * c[3] * c[5] - c[4] * c[4];
        if c[3] >= 0.0 || determinant <= 0.0 {
            return None;
        }
        // Power is amplitude squared: ln P = −a²/s² for an amplitude of standard deviation s steps.
        fitted = [c[3], c[5]].map(|bend: f64| (-1.0 / bend).sqrt());
        fitted = [fitted[0] * step[0], fitted[1] * step[1]];
        let away = [
            (c[4] * c[2] - 2.0 * c[5] * c[1]) / determinant,
            (c[4] * c[1] - 2.0 * c[3] * c[2]) / determinant,
        ];
        // A spot leads away from its coefficient by less than its width; more is another spot's flank.
        if away.iter().any(|d| d.abs() > 4.0) {
            return None;
        }
        middle = [middle[0] + away[0] * step[0], middle[1] + away[1] * step[1]];
        height = top * (c[0] + 0.5 * (c[1] * away[0] + c[2] * away[1])).exp();
        if away.iter().all(|d| d.abs() < 1e-4) {
            break;
        }
    }
    let far = (0..2).any(|axis| (middle[axis] - start[axis]).abs() > 2.0 * width[axis]);
    (!far).then_some(Gaussian {
        middle,
        power: height,
        width: fitted,
    })
}

/// Power about a place, `(right, up)`.
pub(super) fn power_about(
    image: ArrayView2<'_, f32>,
    wave: [f64; 2],
    reach: [f64; 2],
    samples: usize,
) -> Array2<f32> {
    let faded = Faded::of(image);
    let places = |axis: usize| -> Vec<f64> {
        let step = 2.0 * reach[axis] / (samples.max(2) - 1) as f64;
        (0..samples)
            .map(|k| wave[axis] - reach[axis] + k as f64 * step)
            .collect()
    };
    let power = faded.power_at(&places(0), &places(1));
    // Rows run down, the picture's second axis up.
    Array2::from_shape_fn((samples, samples), |(right, up)| {
        power[(samples - 1 - up) * samples + right] as f32
    })
}
