//! How far one image lies from another, to a fraction of a pixel.
//!
//! The displacement is where the cross-correlation of the Fourier transforms is largest: the best whole pixel by FFT,
//! then Newton steps on the correlation's Fourier series, which is what an ever finer up-sampled transform tends to.

use ndarray::ArrayView2;
use rustfft::{FftPlanner, num_complex::Complex64};
use std::f64::consts::TAU;

/// Width of the soft edge that hides the images' borders from the Fourier transform, as a share of the image.
const TAPER_SHARE: f64 = 0.1;

/// Fourier transform of an image, low-passed, its mean and its borders faded out.
pub struct Spectrum {
    size: [usize; 2],
    values: Vec<Complex64>,
}

impl Spectrum {
    /// The spectrum of an image `(x, y)`, low-passed by a Gaussian of `low_pass_px` pixels (standard deviation).
    #[must_use]
    pub fn of(frame: ArrayView2<'_, f32>, low_pass_px: f64) -> Self {
        let (nx, ny) = frame.dim();
        let mean = frame.iter().map(|&v| f64::from(v)).sum::<f64>() / frame.len() as f64;
        let mut values: Vec<Complex64> = frame
            .indexed_iter()
            .map(|((i, j), &v)| {
                Complex64::new((f64::from(v) - mean) * taper(i, nx) * taper(j, ny), 0.0)
            })
            .collect();
        transform(&mut values, [nx, ny], false);
        let mut spectrum = Self {
            size: [nx, ny],
            values,
        };
        for index in 0..spectrum.values.len() {
            let [kx, ky] = spectrum.wave(index);
            spectrum.values[index] *=
                (-0.5 * (kx * kx + ky * ky) * low_pass_px * low_pass_px).exp();
        }
        spectrum.values[0] = Complex64::default();
        spectrum
    }

    /// Angular frequency (radians per pixel) of a coefficient.
    fn wave(&self, index: usize) -> [f64; 2] {
        let [nx, ny] = self.size;
        let signed = |k: usize, n: usize| {
            if 2 * k > n {
                k as f64 - n as f64
            } else {
                k as f64
            }
        };
        [
            TAU * signed(index / ny, nx) / nx as f64,
            TAU * signed(index % ny, ny) / ny as f64,
        ]
    }

    /// The spectrum of the image moved by `shift` (pixels on x and y).
    #[must_use]
    pub fn moved(&self, shift: [f64; 2]) -> Vec<Complex64> {
        let mut out = self.values.clone();
        for (index, value) in out.iter_mut().enumerate() {
            let [kx, ky] = self.wave(index);
            *value *= Complex64::from_polar(1.0, -(kx * shift[0] + ky * shift[1]));
        }
        out
    }

    /// Sum of all spectra but one, each moved back by its displacement.
    #[must_use]
    pub fn mean_without(
        spectra: &[Self],
        displacements: &[[f64; 2]],
        left_out: usize,
    ) -> Vec<Complex64> {
        let mut sum = vec![Complex64::default(); spectra[0].values.len()];
        for (f, spectrum) in spectra.iter().enumerate() {
            if f != left_out {
                let back = displacements[f].map(|d| -d);
                for (total, value) in sum.iter_mut().zip(spectrum.moved(back)) {
                    *total += value;
                }
            }
        }
        sum
    }

    /// How far (pixels on x and y) this image lies from the one of the spectrum `reference`: Newton steps from `start`,
    /// or from the best whole pixel within `limit` when `search` is set.
    #[must_use]
    pub fn displacement_from(
        &self,
        reference: &[Complex64],
        start: [f64; 2],
        search: bool,
        limit: f64,
    ) -> [f64; 2] {
        // The correlation of frame and reference at displacement d is Re Σ F R* e^{ik·d}.
        let product: Vec<Complex64> = self
            .values
            .iter()
            .zip(reference)
            .map(|(f, r)| f * r.conj())
            .collect();
        let mut best = if search {
            self.whole_pixel_peak(&product, limit)
        } else {
            start
        };
        for _ in 0..15 {
            let (mut gx, mut gy, mut hxx, mut hxy, mut hyy) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for (index, value) in product.iter().enumerate() {
                let [kx, ky] = self.wave(index);
                let term = value * Complex64::from_polar(1.0, kx * best[0] + ky * best[1]);
                gx -= kx * term.im;
                gy -= ky * term.im;
                hxx -= kx * kx * term.re;
                hxy -= kx * ky * term.re;
                hyy -= ky * ky * term.re;
            }
            let determinant = hxx * hyy - hxy * hxy;
            // Only at a maximum is the Hessian negative definite; elsewhere Newton would climb the wrong way.
            if determinant <= 0.0 || hxx >= 0.0 {
                break;
            }
            let step = [
                -(hyy * gx - hxy * gy) / determinant,
                -(hxx * gy - hxy * gx) / determinant,
            ];
            best = std::array::from_fn(|axis| best[axis] + step[axis].clamp(-0.5, 0.5));
            if step[0].hypot(step[1]) < 1e-5 {
                break;
            }
        }
        best
    }

    fn whole_pixel_peak(&self, product: &[Complex64], limit: f64) -> [f64; 2] {
        let mut correlation = product.to_vec();
        transform(&mut correlation, self.size, true);
        let [nx, ny] = self.size;
        let signed = |k: usize, n: usize| {
            if 2 * k > n {
                k as f64 - n as f64
            } else {
                k as f64
            }
        };
        let mut best = (f64::NEG_INFINITY, [0.0; 2]);
        for (index, value) in correlation.iter().enumerate() {
            let place = [signed(index / ny, nx), signed(index % ny, ny)];
            if value.re > best.0 && place[0].hypot(place[1]) <= limit {
                best = (value.re, place);
            }
        }
        best.1
    }
}

/// Cosine edge: 0 at the border, 1 inside.
fn taper(i: usize, n: usize) -> f64 {
    let edge = (TAPER_SHARE * n as f64).max(1.0);
    let depth = (i.min(n - 1 - i) as f64 + 0.5) / edge;
    if depth >= 1.0 {
        1.0
    } else {
        0.5 - 0.5 * (std::f64::consts::PI * depth).cos()
    }
}

/// Two-dimensional Fourier transform in place, y fastest, not normalised.
fn transform(values: &mut [Complex64], [nx, ny]: [usize; 2], inverse: bool) {
    let mut planner = FftPlanner::new();
    let mut plan = |n| {
        if inverse {
            planner.plan_fft_inverse(n)
        } else {
            planner.plan_fft_forward(n)
        }
    };
    plan(ny).process(values);
    let along_x = plan(nx);
    let mut column = vec![Complex64::default(); nx];
    for j in 0..ny {
        for (i, value) in column.iter_mut().enumerate() {
            *value = values[i * ny + j];
        }
        along_x.process(&mut column);
        for (i, value) in column.iter().enumerate() {
            values[i * ny + j] = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn a_displacement_is_found_to_a_fiftieth_of_a_pixel() {
        let image = |dx: f64, dy: f64| {
            Array2::from_shape_fn((64, 57), |(i, j)| {
                let bell = |x: f64, y: f64| {
                    let (a, b) = (i as f64 - x - dx, j as f64 - y - dy);
                    (-(a * a + b * b) / 12.0).exp()
                };
                (bell(30.0, 25.0) + 0.7 * bell(37.0, 30.0) + 0.4 * bell(26.0, 33.0)) as f32
            })
        };
        let reference = Spectrum::of(image(0.0, 0.0).view(), 1.0).moved([0.0; 2]);
        let moved = Spectrum::of(image(5.37, -3.81).view(), 1.0);
        let [x, y] = moved.displacement_from(&reference, [0.0; 2], true, 10.0);
        assert!(
            (x - 5.37).abs() < 0.02 && (y + 3.81).abs() < 0.02,
            "{x} {y}"
        );
    }
}
