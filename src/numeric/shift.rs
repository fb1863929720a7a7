//! Images moved by fractions of a pixel.
//!
//! Fourier shifts with zero padding: the sum of the counts and the noise's spectrum stay.

use crate::monitor::{Monitor, Stopped};
use ndarray::{Array3, ArrayViewMut2};
use rayon::prelude::*;
use rustfft::{Fft, FftPlanner, num_complex::Complex64};
use std::f64::consts::TAU;
use std::sync::Arc;

/// Zeros on both sides of a line that is shifted, beyond the shift itself: keeps wrapped ringing away.
const SHIFT_PADDING: usize = 16;

/// Moves each image by its shift (pixels along x and y), in place; new pixels are zero.
///
/// # Errors
/// A stop.
pub fn move_images(
    images: &mut Array3<f32>,
    shifts_px: &[[f64; 2]],
    monitor: &Monitor,
) -> Result<(), Stopped> {
    let (_, nx, ny) = images.dim();
    images
        .as_slice_mut()
        .expect("series are in standard layout")
        .par_chunks_mut(nx * ny)
        .zip(shifts_px.par_iter())
        .try_for_each(|(pixels, &shift)| {
            monitor.check()?;
            let image = ArrayViewMut2::from_shape((nx, ny), pixels).expect("chunk of one image");
            move_image(image, shift);
            Ok(())
        })
}

/// Moves one image by `shift_px` along x and y by Fourier shifts of its lines.
pub fn move_image(mut image: ArrayViewMut2<'_, f32>, shift_px: [f64; 2]) {
    for (axis, shift) in shift_px.into_iter().enumerate() {
        if shift == 0.0 {
            continue;
        }
        let mut mover = LineMover::new(image.dim_of(axis), shift);
        for line in image.lanes_mut(ndarray::Axis(axis)) {
            mover.shift(line);
        }
    }
}

trait DimOf {
    fn dim_of(&self, axis: usize) -> usize;
}

impl DimOf for ArrayViewMut2<'_, f32> {
    fn dim_of(&self, axis: usize) -> usize {
        self.shape()[axis]
    }
}

struct LineMover {
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
    factors: Vec<Complex64>,
    line: Vec<Complex64>,
}

impl LineMover {
    fn new(n: usize, shift: f64) -> Self {
        let length = n + shift.abs().ceil() as usize + SHIFT_PADDING;
        // Odd lengths have no Nyquist term, whose shift would not be real.
        let length = length + 1 - length % 2;
        let mut planner = FftPlanner::new();
        let factors = (0..length)
            .map(|k| {
                let k = if k <= length / 2 {
                    k as f64
                } else {
                    k as f64 - length as f64
                };
                Complex64::from_polar(1.0 / length as f64, -TAU * k * shift / length as f64)
            })
            .collect();
        Self {
            forward: planner.plan_fft_forward(length),
            inverse: planner.plan_fft_inverse(length),
            factors,
            line: vec![Complex64::default(); length],
        }
    }

    fn shift(&mut self, mut values: ndarray::ArrayViewMut1<'_, f32>) {
        self.line.fill(Complex64::default());
        for (out, &value) in self.line.iter_mut().zip(&values) {
            out.re = f64::from(value);
        }
        self.forward.process(&mut self.line);
        for (value, factor) in self.line.iter_mut().zip(&self.factors) {
            *value *= factor;
        }
        self.inverse.process(&mut self.line);
        for (value, moved) in values.iter_mut().zip(&self.line) {
            *value = moved.re as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn blob(center: [f64; 2]) -> Array2<f32> {
        Array2::from_shape_fn((70, 61), |(i, j)| {
            let at = |x: f64, y: f64, w: f64| {
                (-((i as f64 - center[0] - x).powi(2) + (j as f64 - center[1] - y).powi(2))
                    / (2.0 * w * w))
                    .exp()
            };
            (100.0 * at(0.0, 0.0, 6.0) + 80.0 * at(7.0, -5.0, 2.0)) as f32
        })
    }

    #[test]
    fn a_moved_image_is_the_image_at_the_new_place() {
        let mut image = blob([30.0, 28.0]);
        let total: f32 = image.sum();
        move_image(image.view_mut(), [2.37, -3.61]);
        let expected = blob([32.37, 24.39]);
        let worst = (&image - &expected)
            .iter()
            .fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(worst < 0.02, "off by {worst} of 100");
        // The blob's tail at four standard deviations leaves the image.
        assert!((image.sum() / total - 1.0).abs() < 3e-4);
    }

    #[test]
    fn whole_pixel_shifts_are_exact() {
        let mut image = blob([30.0, 28.0]);
        let before = image.clone();
        move_image(image.view_mut(), [3.0, 0.0]);
        for i in 3..70 {
            for j in 0..61 {
                assert!((image[[i, j]] - before[[i - 3, j]]).abs() < 1e-4);
            }
        }
        assert!(image[[1, 28]].abs() < 1e-4);
    }
}
