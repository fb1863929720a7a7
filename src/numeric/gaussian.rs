//! Separable Gaussian smoothing of a volume, with mirror boundaries.
//!
//! The kernel is sampled at the voxels, cut at four standard deviations and normalised to sum 1, so that a constant
//! stays what it is. Results do not depend on the number of threads.

use super::interpolate::mirror;
use ndarray::{Array2, Array3, ArrayView2, Axis};
use rayon::prelude::*;

/// Half of a normalised Gaussian kernel: weights at distance 0, 1, 2, … voxels, up to four `sigma_vox`.
#[must_use]
pub fn gaussian_kernel(sigma_vox: f64) -> Vec<f32> {
    let reach = (4.0 * sigma_vox).ceil().max(0.0) as usize;
    let bell: Vec<f64> = (0..=reach)
        .map(|k| (-0.5 * (k as f64 / sigma_vox).powi(2)).exp())
        .collect();
    let sum = 2.0 * bell.iter().sum::<f64>() - bell[0];
    bell.iter().map(|b| (b / sum) as f32).collect()
}

/// `data` (shape `(x, y, z)`) smoothed by a Gaussian of `sigma_vox` voxels on every axis; a copy if that is not
/// positive.
#[must_use]
pub fn gaussian_blur(data: &Array3<f32>, sigma_vox: f64) -> Array3<f32> {
    let mut source = data.as_standard_layout().into_owned();
    if !(sigma_vox > 0.0 && sigma_vox.is_finite()) || data.is_empty() {
        return source;
    }
    let (nx, ny, nz) = source.dim();
    let kernel = gaussian_kernel(sigma_vox);
    let reach = kernel.len() - 1;
    let plane = ny * nz;
    source
        .as_slice_mut()
        .expect("made in standard layout")
        .par_chunks_mut(plane)
        .for_each(|values| {
            let mut padded = vec![0.0f32; nz + 2 * reach];
            for line in values.chunks_mut(nz) {
                for (k, p) in padded.iter_mut().enumerate() {
                    *p = line[mirror(k as isize - reach as isize, nz)];
                }
                weigh(line, &kernel, |k| &padded[k..k + nz]);
            }
            let before = values.to_vec();
            for (y, row) in values.chunks_mut(nz).enumerate() {
                let from = |k: usize| {
                    let at = mirror(y as isize + k as isize - reach as isize, ny) * nz;
                    &before[at..at + nz]
                };
                weigh(row, &kernel, from);
            }
        });
    let mut smoothed = Array3::<f32>::zeros((nx, ny, nz));
    let values = source.as_slice().expect("made in standard layout");
    let out = smoothed
        .as_slice_mut()
        .expect("new arrays are in standard layout");
    out.par_chunks_mut(plane).enumerate().for_each(|(x, out)| {
        let from = |k: usize| {
            let at = mirror(x as isize + k as isize - reach as isize, nx) * plane;
            &values[at..at + plane]
        };
        weigh(out, &kernel, from);
    });
    smoothed
}

/// An image `(x, y)` smoothed by a Gaussian of `sigma_px` pixels, as [`gaussian_blur`].
#[must_use]
pub fn gaussian_blur_image(image: ArrayView2<'_, f32>, sigma_px: f64) -> Array2<f32> {
    let one = image.insert_axis(Axis(0)).to_owned();
    gaussian_blur(&one, sigma_px).index_axis_move(Axis(0), 0)
}

/// `out = Σ kernel[|k − reach|] from(k)` for k in 0..=2 reach, where a kernel reaches `kernel.len() − 1` to either side
/// and `from(k)` is as long as `out`.
pub(crate) fn weigh<'a>(out: &mut [f32], kernel: &[f32], from: impl Fn(usize) -> &'a [f32]) {
    let reach = kernel.len() - 1;
    for (o, v) in out.iter_mut().zip(from(reach)) {
        *o = kernel[0] * v;
    }
    for (k, w) in kernel.iter().enumerate().skip(1) {
        for ((o, a), b) in out.iter_mut().zip(from(reach - k)).zip(from(reach + k)) {
            *o += w * (a + b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gaussian_grows_by_the_sum_of_the_variances() {
        let bell = |sigma: f64| {
            Array3::from_shape_fn((41, 43, 45), |(x, y, z)| {
                let r2 = (x as f64 - 20.0).powi(2)
                    + (y as f64 - 21.0).powi(2)
                    + (z as f64 - 22.0).powi(2);
                ((-0.5 * r2 / (sigma * sigma)).exp() / sigma.powi(3)) as f32
            })
        };
        let smoothed = gaussian_blur(&bell(2.0), 1.5);
        let wanted = bell(2.5);
        // The sampled kernel is cut at 4 σ: 6e-5 of its mass.
        let worst = smoothed
            .iter()
            .zip(&wanted)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(worst < 3e-4 * wanted[[20, 21, 22]], "{worst}");
    }

    #[test]
    fn a_constant_and_small_volumes_survive() {
        for shape in [(1, 1, 1), (2, 1, 3), (5, 4, 3)] {
            let smoothed = gaussian_blur(&Array3::from_elem(shape, 3.0), 2.0);
            assert!(smoothed.iter().all(|v| (v - 3.0).abs() < 1e-5));
        }
        let data = Array3::from_shape_fn((3, 3, 3), |(x, y, z)| (x + 2 * y + 5 * z) as f32);
        assert_eq!(gaussian_blur(&data, 0.0), data);
        assert_eq!(gaussian_blur(&data, f64::NAN), data);
    }
}
