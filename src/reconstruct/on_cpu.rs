//! Volume and images in the host's memory; all its cores work on them.

use super::ReconstructParams;
use super::problem::{Failure, Problem};
use crate::model::{TiltSeries, Volume};
use crate::monitor::Monitor;
use crate::numeric::gaussian::gaussian_blur;
use crate::projection::blur::ImageBlur;
use crate::projection::linear::{Misfit, WorkImages, WorkVolume, vector_name};
use crate::projection::{Method, Operator};
use ndarray::Array3;
use rayon::prelude::*;

/// Voxels that one task of an elementwise pass works on.
const CHUNK: usize = 1 << 16;

pub(super) struct OnCpu {
    method: Method,
    projector: Operator,
    /// Measured images in working layout.
    measured: WorkImages,
    /// Whether a tilt is fitted (else it is left out for R_free).
    fitted: Vec<bool>,
    support: Option<Vec<bool>>,
    positivity: bool,
    volume: WorkVolume,
    /// With momentum: the point the gradient is taken at, and the gradient; a plain step takes it as it is made.
    ahead: Option<Ahead>,
    residual: WorkImages,
    kernel: Option<Kernel>,
    /// Places of the pixels that are not numbers: what is projected there is as good as measured.
    masked: Vec<usize>,
}

/// The volume that is seen is the one that is iterated, smoothed.
struct Kernel {
    sigma_vox: f64,
    blur: ImageBlur,
}

impl Kernel {
    fn new(sigma_vox: f64, projector: &Operator, image: [usize; 2]) -> Self {
        let own = projector.interpolation_variance();
        Self {
            sigma_vox,
            blur: ImageBlur::of_kernel(sigma_vox, own, image),
        }
    }
}

struct Ahead {
    point: WorkVolume,
    gradient: WorkVolume,
}

/// What a step makes of a voxel.
#[derive(Clone, Copy)]
struct Allowed<'a> {
    support: Option<&'a [bool]>,
    positivity: bool,
}

impl Allowed<'_> {
    #[inline(always)]
    fn at(&self, place: usize, value: f32) -> f32 {
        match self.support {
            Some(support) if !support[place] => 0.0,
            _ => self.clamp(value),
        }
    }

    #[inline(always)]
    fn clamp(&self, value: f32) -> f32 {
        if self.positivity {
            value.max(0.0)
        } else {
            value
        }
    }
}

impl OnCpu {
    /// `start` and `support` are of the volume's size.
    pub(super) fn new(
        series: &TiltSeries,
        params: &ReconstructParams,
        fitted: &[bool],
        start: Option<&Volume>,
        support: Option<&Volume>,
    ) -> Self {
        let size = super::volume_size(series, params);
        let method = params.method();
        let projector = Operator::new(method, size, series.image_size(), &series.angles);
        let volume = start.map_or_else(
            || projector.new_volume(),
            |start| projector.load_volume(&start.data),
        );
        let (measured, masked) = measured(series, &projector);
        let sigma_vox = params.kernel().zip(series.pixel_size).map(|(k, p)| k / p);
        Self {
            measured,
            masked,
            kernel: sigma_vox.map(|sigma| Kernel::new(sigma, &projector, series.image_size())),
            fitted: fitted.to_vec(),
            support: support.map(|support| inside(&projector.load_volume(&support.data))),
            positivity: !params.no_positivity,
            ahead: params.accelerated.then(|| Ahead {
                point: volume.clone(),
                gradient: projector.new_volume(),
            }),
            residual: projector.new_images(),
            volume,
            method,
            projector,
        }
    }
}

/// Measured images in working layout, zero where they are no numbers, and those places.
fn measured(series: &TiltSeries, projector: &Operator) -> (WorkImages, Vec<usize>) {
    if series.images.iter().all(|value| value.is_finite()) {
        return (projector.load_images(&series.images.view()), Vec::new());
    }
    let known = |v: f32| if v.is_finite() { v } else { 0.0 };
    let gaps = |v: f32| f32::from(u8::from(!v.is_finite()));
    let marked = projector.load_images(&series.images.mapv(gaps).view());
    let places = marked.values().iter().enumerate();
    let masked = places.filter(|(_, v)| **v > 0.0).map(|(at, _)| at);
    let masked = masked.collect();
    let images = series.images.mapv(known);
    (projector.load_images(&images.view()), masked)
}

fn inside(support: &WorkVolume) -> Vec<bool> {
    support.values().iter().map(|&v| v > 0.0).collect()
}

impl OnCpu {
    /// With a kernel: smooths the residual's images, or applies the transpose.
    fn smooth(&mut self, transposed: bool) {
        if let Some(kernel) = &self.kernel {
            self.projector
                .blur(&mut self.residual, &kernel.blur, transposed);
        }
    }
}

impl Problem for OnCpu {
    fn curvature(&mut self, monitor: &Monitor) -> Result<f32, Failure> {
        self.projector
            .forward(&self.projector.ones(), &mut self.residual, monitor)?;
        self.smooth(false);
        self.projector.keep(&mut self.residual, &self.fitted);
        self.smooth(true);
        let mut curvature = self.projector.new_volume();
        self.projector
            .adjoint(&self.residual, &mut curvature, monitor)?;
        Ok(curvature.values().iter().copied().fold(0.0, f32::max))
    }

    fn compare(&mut self, monitor: &Monitor) -> Result<Vec<Misfit>, Failure> {
        let point = self.ahead.as_ref().map_or(&self.volume, |a| &a.point);
        self.projector.forward(point, &mut self.residual, monitor)?;
        self.smooth(false);
        let residual = self.residual.values_mut();
        for &place in &self.masked {
            residual[place] = self.measured.values()[place];
        }
        let misfits = self
            .projector
            .subtract(&mut self.residual, &self.measured, &self.fitted);
        self.smooth(true);
        Ok(misfits)
    }

    fn descend(&mut self, step: f32, monitor: &Monitor) -> Result<(), Failure> {
        let allowed = Allowed {
            support: self.support.as_deref(),
            positivity: self.positivity,
        };
        let take = |at: usize, volume: &mut [f32], gradient: &[f32]| {
            if allowed.support.is_none() {
                for (value, gradient) in volume.iter_mut().zip(gradient) {
                    *value = allowed.clamp(*value - step * gradient);
                }
                return;
            }
            for (place, (value, gradient)) in volume.iter_mut().zip(gradient).enumerate() {
                *value = allowed.at(at + place, *value - step * gradient);
            }
        };
        self.projector
            .adjoint_into(&self.residual, &mut self.volume, monitor, take)?;
        Ok(())
    }

    fn propose(&mut self, step: f32, monitor: &Monitor) -> Result<f64, Failure> {
        let Some(ahead) = &mut self.ahead else {
            return Ok(0.0);
        };
        self.projector
            .adjoint(&self.residual, &mut ahead.gradient, monitor)?;
        let allowed = Allowed {
            support: self.support.as_deref(),
            positivity: self.positivity,
        };
        let uphill: Vec<f64> = self
            .volume
            .values()
            .par_chunks(CHUNK)
            .zip(ahead.point.values().par_chunks(CHUNK))
            .zip(ahead.gradient.values().par_chunks(CHUNK))
            .enumerate()
            .map(|(chunk, ((old, ahead), gradient))| {
                let mut sum = 0.0f64;
                for at in 0..old.len() {
                    let new = allowed.at(chunk * CHUNK + at, ahead[at] - step * gradient[at]);
                    sum += f64::from(ahead[at] - new) * f64::from(new - old[at]);
                }
                sum
            })
            .collect();
        Ok(uphill.iter().sum())
    }

    fn advance(&mut self, step: f32, beta: f32) -> Result<(), Failure> {
        let Some(ahead) = &mut self.ahead else {
            return Ok(());
        };
        let allowed = Allowed {
            support: self.support.as_deref(),
            positivity: self.positivity,
        };
        self.volume
            .values_mut()
            .par_chunks_mut(CHUNK)
            .zip(ahead.point.values_mut().par_chunks_mut(CHUNK))
            .zip(ahead.gradient.values().par_chunks(CHUNK))
            .enumerate()
            .for_each(|(chunk, ((old, ahead), gradient))| {
                for at in 0..old.len() {
                    let new = allowed.at(chunk * CHUNK + at, ahead[at] - step * gradient[at]);
                    ahead[at] = new + beta * (new - old[at]);
                    old[at] = new;
                }
            });
        Ok(())
    }

    fn drop_momentum(&mut self) {
        self.ahead = None;
    }

    fn volume(&self) -> Result<Array3<f32>, Failure> {
        let data = self.projector.store_volume(&self.volume);
        Ok(match &self.kernel {
            Some(kernel) => gaussian_blur(&data, kernel.sigma_vox),
            None => data,
        })
    }

    fn turn_to(&mut self, series: &TiltSeries) -> Result<(), Failure> {
        let data = self.projector.store_volume(&self.volume);
        let (nx, ny, nz) = data.dim();
        // One tilt axis or several: the working layout may be another.
        let (size, image) = ([nx, ny, nz], series.image_size());
        let projector = Operator::new(self.method, size, image, &series.angles);
        let carry = |work: &WorkVolume| projector.load_volume(&self.projector.store_volume(work));
        self.ahead = self.ahead.as_ref().map(|ahead| Ahead {
            point: carry(&ahead.point),
            gradient: projector.new_volume(),
        });
        if let Some(support) = &self.support {
            let mut work = self.projector.new_volume();
            for (value, &allowed) in work.values_mut().iter_mut().zip(support) {
                *value = f32::from(u8::from(allowed));
            }
            self.support = Some(inside(&carry(&work)));
        }
        self.volume = projector.load_volume(&data);
        self.residual = projector.new_images();
        (self.measured, self.masked) = measured(series, &projector);
        self.kernel = self
            .kernel
            .as_ref()
            .map(|kernel| Kernel::new(kernel.sigma_vox, &projector, series.image_size()));
        self.projector = projector;
        Ok(())
    }

    fn engine(&self) -> String {
        let threads = rayon::current_num_threads();
        format!("cpu, {threads} threads, {}", vector_name())
    }
}
