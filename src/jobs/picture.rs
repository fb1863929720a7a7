//! Pictures for the views, as plain numbers: slices of a volume, tilt images and their spectra. Each owns its inputs
//! and is computed away from the window's thread.

use super::JobError;
use crate::model::{TiltSeries, Volume};
use crate::monitor::Monitor;
use crate::trace::refine::PlaneGrid;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

/// Mean density over a slab.
///
/// `axes` are the volume axes to the right, up and along the normal; the slab is `thickness` Å thick about
/// `position` Å on the normal, at least one voxel. The array is `(right, up)`.
#[must_use]
pub fn slice(volume: &Volume, axes: [usize; 3], position: f64, thickness: f64) -> Array2<f32> {
    let size = volume.size();
    let [right, up, normal] = axes;
    let mut at = [0.0; 3];
    at[normal] = position;
    let center = volume.index_of(at)[normal];
    let half = (thickness / volume.pixel_size / 2.0).max(0.0);
    let last = size[normal].saturating_sub(1) as f64;
    let low = (center - half).round().clamp(0.0, last) as usize;
    let high = (center + half).round().clamp(0.0, last) as usize;
    let share = 1.0 / (high - low + 1) as f32;
    let mut picture = Array2::zeros((size[right], size[up]));
    for k in low..=high {
        for ((i, j), pixel) in picture.indexed_iter_mut() {
            let mut voxel = [0; 3];
            voxel[right] = i;
            voxel[up] = j;
            voxel[normal] = k;
            *pixel += share * volume.data[voxel];
        }
    }
    picture
}

/// Mean density over a slab in any direction, by trilinear interpolation.
///
/// `grid` is the middle of the slab, `normal` (of length 1) its direction; it is `thickness` Å thick. The array is
/// `(right, up)`.
#[must_use]
pub fn oblique(volume: &Volume, grid: &PlaneGrid, normal: [f64; 3], thickness: f64) -> Array2<f32> {
    let [width, height] = grid.size;
    // Layers a voxel apart, at least the one in the middle.
    let beside = (thickness / volume.pixel_size / 2.0).floor().max(0.0) as i32;
    let share = 1.0 / (2 * beside + 1) as f32;
    let mut pixels = vec![0.0f32; width * height];
    pixels
        .par_chunks_exact_mut(height.max(1))
        .enumerate()
        .for_each(|(i, line)| {
            for (j, pixel) in line.iter_mut().enumerate() {
                for layer in -beside..=beside {
                    let along = f64::from(layer) * volume.pixel_size;
                    let at = std::array::from_fn(|a| {
                        grid.origin[a]
                            + i as f64 * grid.right[a]
                            + j as f64 * grid.up[a]
                            + along * normal[a]
                    });
                    *pixel += share * volume.density_at(at);
                }
            }
        });
    Array2::from_shape_vec((width, height), pixels).expect("a pixel for each point")
}

/// The projection of a volume as the series' tilt sees it, `(x, y)`.
///
/// # Errors
/// Never stops by itself; the type is the projector's.
pub fn computed(
    volume: &Volume,
    series: &TiltSeries,
    tilt: usize,
) -> Result<Array2<f32>, JobError> {
    let angles = &series.angles[tilt..=tilt];
    let images =
        crate::projection::forward(volume, angles, series.image_size(), &Monitor::silent())?;
    Ok(images.index_axis_move(Axis(0), 0))
}

/// Logarithm of the power spectrum, zero frequency at the centre sample, `(x, y)` like the image.
///
/// The image's edge is faded out first (Hann window), so that its rim does not draw a cross.
#[must_use]
pub fn log_power(image: ArrayView2<'_, f32>) -> Array2<f32> {
    let (nx, ny) = image.dim();
    let hann = |at: usize, n: usize| {
        let phase = std::f32::consts::TAU * (at as f32 + 0.5) / n.max(1) as f32;
        0.5 - 0.5 * phase.cos()
    };
    let mean = image.mean().unwrap_or(0.0);
    let mut data: Vec<Complex<f32>> = image
        .indexed_iter()
        .map(|((x, y), &v)| Complex::new((v - mean) * hann(x, nx) * hann(y, ny), 0.0))
        .collect();
    let mut planner = FftPlanner::new();
    planner.plan_fft_forward(ny).process(&mut data);
    let mut turned = transpose(&data, nx, ny);
    planner.plan_fft_forward(nx).process(&mut turned);
    // `turned` is (ky, kx); put zero frequency at the centre sample.
    Array2::from_shape_fn((nx, ny), |(x, y)| {
        let kx = (x + nx - nx / 2) % nx;
        let ky = (y + ny - ny / 2) % ny;
        (1.0 + turned[ky * nx + kx].norm_sqr()).ln()
    })
}

fn transpose(data: &[Complex<f32>], rows: usize, columns: usize) -> Vec<Complex<f32>> {
    let mut turned = Vec::with_capacity(data.len());
    for column in 0..columns {
        turned.extend((0..rows).map(|row| data[row * columns + column]));
    }
    turned
}

/// Values at two percentiles (0–100) of a picture's finite values.
#[must_use]
pub fn percentiles<'a>(values: impl Iterator<Item = &'a f32>, percents: [f32; 2]) -> [f32; 2] {
    let mut sorted: Vec<f32> = values.copied().filter(|v| v.is_finite()).collect();
    if sorted.is_empty() {
        return [0.0, 1.0];
    }
    let last = sorted.len() - 1;
    percents.map(|percent| {
        let at = (f64::from(percent) / 100.0 * last as f64).round() as usize;
        *sorted
            .select_nth_unstable_by(at.min(last), f32::total_cmp)
            .1
    })
}

/// The range of densities worth showing: 0 (or the lowest percentile, where density is negative) to the 99.97th
/// percentile of a sample of the voxels, so that one hot voxel does not darken everything.
#[must_use]
pub fn shown_range(volume: &Volume) -> [f32; 2] {
    let stride = (volume.data.len() / 400_000).max(1);
    let [low, high] = percentiles(volume.data.iter().step_by(stride), [0.5, 99.97]);
    let low = low.min(0.0);
    [low, if high > low { high } else { low + 1.0 }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    #[test]
    fn a_slice_averages_the_slab_round_its_position() {
        let data = Array3::from_shape_fn((5, 6, 7), |(x, y, z)| (100 * x + 10 * y + z) as f32);
        let volume = Volume::new(data, 0.5);
        let thin = slice(&volume, [0, 1, 2], 0.5, 0.1);
        assert_eq!(thin[[1, 2]], 124.0);
        let thick = slice(&volume, [1, 2, 0], 0.0, 1.0);
        assert_eq!((thick.dim(), thick[[2, 3]]), ((6, 7), 223.0));
    }

    #[test]
    fn an_oblique_slab_along_the_axes_is_the_slice() {
        let data = Array3::from_shape_fn((5, 6, 7), |(x, y, z)| (100 * x + 10 * y + z) as f32);
        let volume = Volume::new(data, 0.5);
        let grid = PlaneGrid {
            origin: volume.position_of([0.0, 0.0, 4.0]),
            right: [0.5, 0.0, 0.0],
            up: [0.0, 0.5, 0.0],
            size: [5, 6],
        };
        let normal = [0.0, 0.0, 1.0];
        for thickness in [0.1, 1.0] {
            let straight = slice(&volume, [0, 1, 2], 0.5, thickness);
            let turned = oblique(&volume, &grid, normal, thickness);
            let largest = (&straight - &turned)
                .mapv(f32::abs)
                .into_iter()
                .fold(0.0, f32::max);
            assert!(largest < 1e-3, "{thickness}: {largest}");
        }
    }

    #[test]
    fn a_plane_wave_gives_two_spots_about_the_center() {
        let image = Array2::from_shape_fn((32, 48), |(x, _)| {
            (std::f32::consts::TAU * x as f32 / 8.0).cos()
        });
        let power = log_power(image.view());
        let peak = power[[16 + 4, 24]];
        assert!(peak > 5.0 && peak > 3.0 * power[[16 + 9, 24]], "{peak}");
        assert!((power[[16 - 4, 24]] - peak).abs() < 1e-3);
    }
}
