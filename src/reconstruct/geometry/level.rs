//! One resolution of the series: a short reconstruction at given corrections, and the next correction from it.

use super::pose::{COMPONENTS, Poses};
use super::{GeometryParams, ReconstructError};
use crate::model::geometry::Matrix3;
use crate::model::{TiltSeries, Volume, center_index};
use crate::monitor::{Monitor, Stopped};
use crate::numeric::fit::invert_definite;
use crate::numeric::gaussian::gaussian_blur_image;
use crate::numeric::registration::Spectrum;
use crate::numeric::shift::move_images;
use crate::projection::linear::LinearProjector;
use crate::reconstruct::{ReconstructParams, reconstruct};
use ndarray::{Array2, Array3, ArrayView2, Axis};
use rayon::prelude::*;

/// What a round may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Free {
    /// Shifts and dose, by the best correlation anywhere within the limit.
    Search,
    /// Shifts and dose.
    Shifts,
    /// Everything.
    All,
}

/// The series at one resolution.
pub(super) struct Level {
    series: TiltSeries,
    /// Full pixels in one of this level, on an edge.
    pub bin: usize,
    /// Width of the low-pass under which images are compared, pixels of this level.
    blur_px: f64,
}

/// What one round found.
pub(super) struct Found {
    /// Corrections to add, as [`Poses::values`], gauge removed.
    pub step: Vec<f64>,
    /// Standard errors of the six numbers of each tilt, full pixels.
    pub errors: Vec<f64>,
    /// R of each tilt.
    pub r: Vec<f64>,
    /// The volume it was found with.
    pub volume: Volume,
}

impl Level {
    /// `blur_px` in pixels of the full images.
    pub fn new(series: &TiltSeries, bin: usize, blur_px: f64) -> Self {
        let mut binned = series.clone();
        let mut left = bin;
        while left > 1 {
            binned.images = halve(&binned.images);
            left /= 2;
        }
        binned.pixel_size = series.pixel_size.map(|size| size * bin as f64);
        Self {
            series: binned,
            bin,
            blur_px: blur_px / bin as f64,
        }
    }

    /// The images as the corrections want them: moved, and of one dose unless it is kept.
    pub fn corrected(
        &self,
        poses: &Poses,
        params: &GeometryParams,
        monitor: &Monitor,
    ) -> Result<TiltSeries, Stopped> {
        let tilts = self.series.len();
        let shifts: Vec<[f64; 2]> = (0..tilts)
            .map(|tilt| poses.shift_px(tilt).map(|s| s / self.bin as f64))
            .collect();
        let mut images = self.series.images.clone();
        move_images(&mut images, &shifts, monitor)?;
        if !params.keep_dose {
            for (tilt, mut image) in images.outer_iter_mut().enumerate() {
                let factor = (1.0 / poses.dose(tilt)) as f32;
                image.mapv_inplace(|v| v * factor);
            }
        }
        Ok(TiltSeries {
            images,
            angles: (0..tilts).map(|tilt| poses.angles(tilt)).collect(),
            ..self.series.clone()
        })
    }

    /// A short reconstruction at these corrections, from where the last one ended, and what the tilts say to it.
    pub fn round(
        &self,
        poses: &Poses,
        free: Free,
        start: Option<&Volume>,
        params: &GeometryParams,
        monitor: &Monitor,
    ) -> Result<Found, ReconstructError> {
        let series = self.corrected(poses, params, monitor)?;
        let short = ReconstructParams {
            iterations: params.iterations,
            accelerated: true,
            ..ReconstructParams::default()
        };
        let outcome = reconstruct(&series, &short, start, None, monitor, &mut |_, _| ())?;
        if outcome.stopped_early {
            return Err(Stopped::Keep.into());
        }
        let views = Views::of(&outcome.volume, &series, monitor)?;
        let fitted = (0..series.len())
            .into_par_iter()
            .map(|tilt| {
                monitor.check()?;
                let [image, depth] = views.of_tilt(tilt);
                let edge = poses.shift_px(tilt).map(|s| s.abs().ceil() / self.bin as f64);
                let scale = poses.radius_px / self.bin as f64;
                let fit = TiltFit::new(series.image(tilt), &image, &depth, self.blur_px, edge, scale);
                Ok(match free {
                    Free::Search => fit.search(params.max_shift_px / self.bin as f64),
                    Free::Shifts => fit.solve(&[3, 4, 5]),
                    Free::All => fit.solve(&[0, 1, 2, 3, 4, 5]),
                })
            })
            .collect::<Result<Vec<_>, Stopped>>()?;
        let full = self.bin as f64;
        let (mut step, mut errors) = (Vec::new(), Vec::new());
        for (s, e) in fitted {
            // No step may leave the reach of the linear model by far.
            let mut s = s.map(|v| (v * full).clamp(-params.max_shift_px, params.max_shift_px));
            if params.keep_dose {
                s[5] = 0.0;
            }
            step.extend(s);
            errors.extend(e.map(|v| v * full));
        }
        poses.fix_gauge(&mut step);
        Ok(Found {
            step,
            errors,
            r: outcome.r1_per_tilt,
            volume: outcome.volume,
        })
    }
}

/// Images of half the size: pixel j gathers full pixels about c + 2 (j − c'), so that center falls on center and no
/// count is lost but what sticks out.
fn halve(images: &Array3<f32>) -> Array3<f32> {
    let (tilts, nx, ny) = images.dim();
    let size = [nx, ny].map(|n| n / 2 + 1);
    let taps = |j: usize, axis: usize| {
        let n = [nx, ny][axis];
        let middle = center_index(n) as isize + 2 * (j as isize - center_index(size[axis]) as isize);
        [(-1, 0.5f32), (0, 1.0), (1, 0.5)]
            .into_iter()
            .filter_map(move |(d, w)| {
                let at = middle + d;
                (at >= 0 && at < n as isize).then_some((at as usize, w))
            })
    };
    Array3::from_shape_fn((tilts, size[0], size[1]), |(t, i, j)| {
        let mut sum = 0.0;
        for (x, a) in taps(i, 0) {
            for (y, b) in taps(j, 1) {
                sum += a * b * images[[t, x, y]];
            }
        }
        sum
    })
}

/// Projections of the volume and of the volume times each coordinate.
struct Views {
    projector: LinearProjector,
    rotations: Vec<Matrix3>,
    /// Of the density, and of the density times x, y, z (voxels about the center).
    images: [crate::projection::linear::WorkImages; 4],
    size: [usize; 2],
}

impl Views {
    fn of(volume: &Volume, series: &TiltSeries, monitor: &Monitor) -> Result<Self, Stopped> {
        let size = series.image_size();
        let projector = LinearProjector::new(volume.size(), size, &series.angles);
        let center = volume.center_vox();
        let project = |weigh: &dyn Fn([usize; 3]) -> f32| {
            let mut weighed = volume.data.clone();
            for ((x, y, z), value) in weighed.indexed_iter_mut() {
                *value *= weigh([x, y, z]);
            }
            let mut images = projector.new_images();
            projector.forward(&projector.load_volume(&weighed), &mut images, monitor)?;
            Ok::<_, Stopped>(images)
        };
        let along = |axis: usize| project(&|at| (at[axis] as f64 - center[axis]) as f32);
        let images = [project(&|_| 1.0)?, along(0)?, along(1)?, along(2)?];
        Ok(Self {
            projector,
            rotations: series
                .angles
                .iter()
                .map(|a| a.detector_from_sample())
                .collect(),
            images,
            size,
        })
    }

    /// The image of a tilt, and its first moment along the beam `∫ ρ z' dz'`.
    fn of_tilt(&self, tilt: usize) -> [Array2<f32>; 2] {
        let weights = self.rotations[tilt][2].map(|w| w as f32);
        let mut image = Array2::zeros(self.size);
        let mut depth = Array2::zeros(self.size);
        let fill = |work, weight: f32, out: &mut Array2<f32>| {
            for (mut row, pixels) in out
                .outer_iter_mut()
                .zip(self.projector.rows(work, tilt))
            {
                for (value, pixel) in row.iter_mut().zip(pixels) {
                    *value += weight * pixel;
                }
            }
        };
        fill(&self.images[0], 1.0, &mut image);
        for axis in 0..3 {
            fill(&self.images[axis + 1], weights[axis], &mut depth);
        }
        [image, depth]
    }
}

/// The linear model of one tilt: how its image changes with the six numbers of its pose, against what is measured.
struct TiltFit {
    residual: Array2<f32>,
    /// Change of `calculated − moved measured` with each number, low-passed.
    slopes: [Array2<f32>; COMPONENTS],
    /// Variance of the residual before the low-pass.
    variance: f64,
    /// Border left out on x and y: what came in by moving was not measured.
    edge: [usize; 2],
    /// Spectra of both images, for the search.
    images: [Array2<f32>; 2],
}

impl TiltFit {
    /// `depth` is the first moment of the model along the beam. A rotation by ω (detector frame) moves matter at
    /// `(x, y, z)` by `ω × r`, and the image by minus the divergence of the projected flow:
    /// `δI = ω_x ∂y M − ω_y ∂x M + ω_z (y ∂x I − x ∂y I)`. A shift s of the measured image adds `−s·∇I`, a dose too
    /// large by the factor e^a adds `a I`.
    fn new(
        measured: ArrayView2<'_, f32>,
        image: &Array2<f32>,
        depth: &Array2<f32>,
        blur_px: f64,
        edge: [f64; 2],
        radius_px: f64,
    ) -> Self {
        let residual = &measured - image;
        let edge = edge.map(|e| if e > 0.0 { e as usize + 2 } else { 1 });
        let inside = inner(&residual, edge);
        let variance = inside.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>()
            / inside.len().max(1) as f64;
        let (image_low, depth) = (
            gaussian_blur_image(image.view(), blur_px),
            gaussian_blur_image(depth.view(), blur_px),
        );
        let [ix, iy] = [0, 1].map(|axis| slope(&image_low, axis));
        let [mx, my] = [0, 1].map(|axis| slope(&depth, axis));
        let (nx, ny) = image_low.dim();
        let center = [center_index(nx) as f32, center_index(ny) as f32];
        let turned = Array2::from_shape_fn((nx, ny), |(i, j)| {
            (j as f32 - center[1]) * ix[[i, j]] - (i as f32 - center[0]) * iy[[i, j]]
        });
        let per_px = 1.0 / radius_px as f32;
        let slopes = [
            my * per_px,
            mx * -per_px,
            turned * per_px,
            ix,
            iy,
            &image_low * per_px,
        ];
        Self {
            residual: gaussian_blur_image(residual.view(), blur_px),
            slopes,
            variance,
            edge,
            images: [measured.to_owned(), image.clone()],
        }
    }

    /// Least squares for the chosen numbers; the others stay. Also the standard errors.
    fn solve(&self, chosen: &[usize]) -> ([f64; COMPONENTS], [f64; COMPONENTS]) {
        let n = chosen.len();
        let columns: Vec<_> = chosen
            .iter()
            .map(|&c| inner(&self.slopes[c], self.edge))
            .collect();
        let residual = inner(&self.residual, self.edge);
        let dot = |a: &ArrayView2<'_, f32>, b: &ArrayView2<'_, f32>| -> f64 {
            a.iter()
                .zip(b)
                .map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum()
        };
        let mut normal = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                normal[i * n + j] = dot(&columns[i], &columns[j]);
                normal[j * n + i] = normal[i * n + j];
            }
            normal[i * n + i] *= 1.0 + 1e-6;
        }
        let right: Vec<f64> = columns.iter().map(|c| dot(c, &residual)).collect();
        let mut step = [0.0; COMPONENTS];
        let mut errors = [f64::INFINITY; COMPONENTS];
        // An image that shows nothing says nothing: it keeps its place.
        if let Some(inverse) = invert_definite(&normal, n) {
            for (i, &c) in chosen.iter().enumerate() {
                step[c] = (0..n).map(|j| inverse[i * n + j] * right[j]).sum();
                errors[c] = (self.variance * inverse[i * n + i]).sqrt();
            }
        }
        (step, errors)
    }

    /// As [`Self::solve`] for shifts and dose, but the shift is the best correlation within `limit_px`.
    fn search(&self, limit_px: f64) -> ([f64; COMPONENTS], [f64; COMPONENTS]) {
        let (mut step, errors) = self.solve(&[3, 4, 5]);
        let [measured, image] = &self.images;
        let reference = Spectrum::of(image.view(), 1.0).moved([0.0; 2]);
        let lies = Spectrum::of(measured.view(), 1.0).displacement_from(
            &reference,
            [0.0; 2],
            true,
            limit_px,
        );
        // Correlation sees a sharp measured image against a blurred model; near the place the slopes know better.
        if lies[0].hypot(lies[1]) > 1.0 {
            (step[3], step[4]) = (-lies[0], -lies[1]);
        }
        (step, errors)
    }
}

fn inner(image: &Array2<f32>, edge: [usize; 2]) -> ArrayView2<'_, f32> {
    let (nx, ny) = image.dim();
    let (x, y) = (edge[0].min(nx / 2), edge[1].min(ny / 2));
    image.slice(ndarray::s![x..nx - x, y..ny - y])
}

/// Central differences along an axis; zero on the border.
fn slope(image: &Array2<f32>, axis: usize) -> Array2<f32> {
    let mut out = Array2::zeros(image.dim());
    for (line, mut to) in image
        .lanes(Axis(axis))
        .into_iter()
        .zip(out.lanes_mut(Axis(axis)))
    {
        for k in 1..line.len().saturating_sub(1) {
            to[k] = 0.5 * (line[k + 1] - line[k - 1]);
        }
    }
    out
}
