//! One resolution of the series: a short reconstruction at given corrections, and the next correction from it.

use super::{GeometryParams, ReconstructError};
use crate::model::geometry::Matrix3;
use crate::model::{TiltSeries, Volume, center_index};
use crate::monitor::{Monitor, Stopped};
use crate::numeric::fit::invert_definite;
use crate::numeric::gaussian::gaussian_blur_image;
use crate::numeric::poses::{COMPONENTS, Poses};
use crate::numeric::registration::Spectrum;
use crate::numeric::shift::move_images;
use crate::projection::linear::LinearProjector;
use crate::reconstruct::{ReconstructParams, Resire};
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

impl Free {
    fn components(self) -> &'static [usize] {
        match self {
            Self::Search | Self::Shifts => &[3, 4, 5],
            Self::All => &[0, 1, 2, 3, 4, 5],
        }
    }
}

/// The series at one resolution, and a reconstruction that goes on from round to round.
pub(super) struct Level<'a> {
    params: &'a GeometryParams,
    monitor: &'a Monitor,
    series: TiltSeries,
    /// Full pixels in one of this level, on an edge.
    pub bin: usize,
    /// Width of the low-pass under which images are compared, pixels of this level.
    blur_px: f64,
    start: Option<Volume>,
    resire: Option<Resire>,
}

/// What one round found.
pub(super) struct Found {
    /// Corrections to add, as [`Poses::values`], gauge removed.
    pub step: Vec<f64>,
    /// Standard errors of the six numbers of each tilt, full pixels.
    pub errors: Vec<f64>,
    /// R of each tilt under the low-pass.
    pub r: Vec<f64>,
}

impl<'a> Level<'a> {
    /// `blur_px` in pixels of the full images; a `start` saves iterations.
    pub fn new(
        series: &TiltSeries,
        bin: usize,
        blur_px: f64,
        start: Option<Volume>,
        params: &'a GeometryParams,
        monitor: &'a Monitor,
    ) -> Self {
        let mut binned = series.clone();
        let mut left = bin;
        while left > 1 {
            binned.images = halve(&binned.images);
            left /= 2;
        }
        binned.pixel_size = series.pixel_size.map(|size| size * bin as f64);
        Self {
            params,
            monitor,
            series: binned,
            bin,
            blur_px: blur_px / bin as f64,
            start,
            resire: None,
        }
    }

    /// The images as the corrections want them: moved, and of one dose unless it is kept.
    pub fn corrected(&self, poses: &Poses, monitor: &Monitor) -> Result<TiltSeries, Stopped> {
        let tilts = self.series.len();
        let shifts: Vec<[f64; 2]> = (0..tilts)
            .map(|tilt| poses.shift_px(tilt).map(|s| s / self.bin as f64))
            .collect();
        let mut images = self.series.images.clone();
        move_images(&mut images, &shifts, monitor)?;
        if !self.params.keep_dose {
            for (tilt, mut image) in images.outer_iter_mut().enumerate() {
                let factor = (1.0 / poses.dose(tilt)) as f32;
                image.mapv_inplace(|v| v * factor);
            }
        }
        Ok(TiltSeries {
            images,
            angles: (0..tilts).map(|tilt| poses.angles(tilt)).collect(),
            frames: None,
            ..self.series.clone()
        })
    }

    /// Some more iterations at these corrections, and what the tilts say to it.
    pub fn round(
        &mut self,
        poses: &Poses,
        free: Free,
        iterations: usize,
    ) -> Result<Found, ReconstructError> {
        let (params, monitor) = (self.params, self.monitor);
        let series = self.corrected(poses, monitor)?;
        let mut resire = match self.resire.take() {
            Some(mut resire) => {
                resire.turn_to(&series, monitor)?;
                resire
            }
            None => {
                let method = ReconstructParams {
                    accelerated: true,
                    ..ReconstructParams::default()
                };
                Resire::new(&series, &method, self.start.as_ref(), None, monitor)?
            }
        };
        for _ in 0..iterations {
            resire.step(monitor)?;
        }
        let volume = resire.volume();
        self.resire = Some(resire);
        let views = Views::of(&volume, &series, monitor)?;
        let scale = poses.radius_px / self.bin as f64;
        let limit_px = params.max_shift_px / self.bin as f64;
        let fitted = (0..series.len())
            .into_par_iter()
            .map(|tilt| {
                monitor.check()?;
                let [image, depth] = views.of_tilt(tilt);
                let edge = poses
                    .shift_px(tilt)
                    .map(|s| s.abs().ceil() / self.bin as f64);
                let measured = series.image(tilt);
                let fit = TiltFit::new(measured, &image, &depth, self.blur_px, edge, scale);
                let (mut step, errors) = fit.solve(free.components());
                if free == Free::Search {
                    let lies = displacement(measured, &image, limit_px);
                    // Correlation sees a sharp image against a blurred model; near the place the slopes know better.
                    if lies[0].hypot(lies[1]) > 1.0 {
                        (step[3], step[4]) = (-lies[0], -lies[1]);
                    }
                }
                Ok((step, errors, fit.r))
            })
            .collect::<Result<Vec<_>, Stopped>>()?;
        let full = self.bin as f64;
        let mut found = Found {
            step: Vec::new(),
            errors: Vec::new(),
            r: Vec::new(),
        };
        for (mut step, errors, r) in fitted {
            if params.keep_dose {
                step[5] = 0.0;
            }
            // No step may leave the reach of the linear model by far.
            let reach = params.max_shift_px;
            found
                .step
                .extend(step.map(|v| (v * full).clamp(-reach, reach)));
            found.errors.extend(errors.map(|v| v * full));
            found.r.push(r);
        }
        poses.fix_gauge(&mut found.step);
        poses.hold_tilt_scale(&mut found.step);
        Ok(found)
    }

    /// The volume so far, on the grid of twice the resolution.
    pub fn doubled(&self, size: [usize; 3]) -> Option<Volume> {
        self.resire.as_ref().map(|r| double(&r.volume(), size))
    }
}

/// A volume on a grid of half the edge, center on center, by trilinear interpolation; its sum stays.
fn double(coarse: &Volume, size: [usize; 3]) -> Volume {
    let mut fine = Volume::zeros(size, coarse.pixel_size / 2.0);
    let (from, to) = (coarse.center_vox(), fine.center_vox());
    let edge = coarse.pixel_size;
    for ((x, y, z), value) in fine.data.indexed_iter_mut() {
        let at = [x, y, z];
        let place = std::array::from_fn(|axis| {
            let index = from[axis] + (at[axis] as f64 - to[axis]) / 2.0;
            (index - from[axis]) * edge
        });
        *value = coarse.density_at(place) / 8.0;
    }
    fine
}

/// Images of half the size: pixel j gathers full pixels about c + 2 (j − c'), so that center falls on center and no
/// count is lost but what sticks out.
fn halve(images: &Array3<f32>) -> Array3<f32> {
    let (tilts, nx, ny) = images.dim();
    let size = [nx, ny].map(|n| n / 2 + 1);
    let taps = |j: usize, axis: usize| {
        let n = [nx, ny][axis];
        let middle =
            center_index(n) as isize + 2 * (j as isize - center_index(size[axis]) as isize);
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
    rotations: Vec<Matrix3>,
    /// Of the density, and of the density times x, y, z (voxels about the center): `(tilt, x, y)`.
    images: [Array3<f32>; 4],
}

impl Views {
    fn of(volume: &Volume, series: &TiltSeries, monitor: &Monitor) -> Result<Self, Stopped> {
        let projector = LinearProjector::new(volume.size(), series.image_size(), &series.angles);
        let center = volume.center_vox();
        let mut images = projector.new_images();
        let mut project = |data: &Array3<f32>| {
            projector.forward(&projector.load_volume(data), &mut images, monitor)?;
            Ok::<_, Stopped>(projector.store_images(&images))
        };
        let mut along = |axis: usize| {
            let mut weighed = volume.data.clone();
            for (at, mut plane) in weighed.axis_iter_mut(Axis(axis)).enumerate() {
                let weight = (at as f64 - center[axis]) as f32;
                plane.mapv_inplace(|v| v * weight);
            }
            project(&weighed)
        };
        let moments = [along(0)?, along(1)?, along(2)?];
        let [x, y, z] = moments;
        Ok(Self {
            rotations: series
                .angles
                .iter()
                .map(|a| a.detector_from_sample())
                .collect(),
            images: [project(&volume.data)?, x, y, z],
        })
    }

    /// The image of a tilt, and its first moment along the beam `∫ ρ z' dz'`.
    fn of_tilt(&self, tilt: usize) -> [Array2<f32>; 2] {
        let [image, x, y, z] = [0, 1, 2, 3].map(|k| self.images[k].index_axis(Axis(0), tilt));
        let beam = self.rotations[tilt][2].map(|w| w as f32);
        let mut depth = x.mapv(|v| v * beam[0]);
        depth.scaled_add(beam[1], &y);
        depth.scaled_add(beam[2], &z);
        [image.to_owned(), depth]
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
    /// R under the low-pass.
    r: f64,
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
        let variance =
            inside.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / inside.len().max(1) as f64;
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
            image_low.mapv(|v| v * per_px),
        ];
        let residual = gaussian_blur_image(residual.view(), blur_px);
        let total: f64 = inner(&image_low, edge)
            .iter()
            .map(|v| f64::from(v.abs()))
            .sum();
        let wrong: f64 = inner(&residual, edge)
            .iter()
            .map(|v| f64::from(v.abs()))
            .sum();
        Self {
            residual,
            slopes,
            variance,
            edge,
            r: wrong / total.max(f64::MIN_POSITIVE),
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
}

/// How far (pixels on x and y) an image lies from the model's, anywhere within the limit.
fn displacement(measured: ArrayView2<'_, f32>, image: &Array2<f32>, limit_px: f64) -> [f64; 2] {
    let reference = Spectrum::of(image.view(), 1.0).moved([0.0; 2]);
    Spectrum::of(measured, 1.0).displacement_from(&reference, [0.0; 2], true, limit_px)
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
