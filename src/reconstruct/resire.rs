//! The iterations: projected gradient steps, plain or with momentum.

use super::{Iteration, ReconstructError, ReconstructParams, Reconstructed};
use crate::model::{EulerAngles, TiltSeries, Volume};
use crate::monitor::{Monitor, Stopped};
use crate::projection::Operator;
use crate::projection::linear::{LinearProjector, WorkImages, WorkVolume, vector_name};
use ndarray::Array3;
use rayon::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// RESIRE as a stepper: the loop stays outside, so pausing, watching and resuming cost nothing.
pub struct Resire {
    projector: Operator,
    params: ReconstructParams,
    pixel_size: f64,
    /// Measured images in working layout.
    measured: WorkImages,
    /// `Σ|b|` of each tilt.
    totals: Vec<f64>,
    /// Whether a tilt is fitted (else it is left out for R_free).
    fitted: Vec<bool>,
    support: Option<Vec<bool>>,
    /// Inverse of the largest curvature.
    gain: f32,
    volume: WorkVolume,
    /// With momentum: the point the gradient is taken at, and the momentum's weight.
    ahead: Option<WorkVolume>,
    momentum: f64,
    /// With momentum; a plain step takes the gradient as it is made.
    gradient: Option<WorkVolume>,
    residual: WorkImages,
    last_objective: f64,
    number: usize,
    started: Instant,
}

impl Resire {
    /// Prepares the iterations; only included tilts are used.
    ///
    /// # Errors
    /// A series or parameters that cannot be used.
    pub fn new(
        series: &TiltSeries,
        params: &ReconstructParams,
        start: Option<&Volume>,
        support: Option<&Volume>,
        monitor: &Monitor,
    ) -> Result<Self, ReconstructError> {
        let used = series.only_included();
        let pixel_size = super::check(&used, params)?;
        let [x, y] = used.image_size();
        let size = super::volume_size(&used, params);
        let projector = operator(size, [x, y], &used.angles);
        let measured = projector.load_images(&used.images.view());
        let fitted: Vec<bool> = (0..used.len())
            .map(|tilt| params.leave_out.is_none_or(|k| tilt % k != k / 2))
            .collect();
        let load = |volume: &Volume, what: &str| {
            if volume.size() == size {
                Ok(projector.load_volume(&volume.data))
            } else {
                Err(ReconstructError::BadInput {
                    subject: what.to_owned(),
                    expected: format!("{} × {} × {} voxels", size[0], size[1], size[2]),
                    found: format!("{:?}", volume.size()),
                })
            }
        };
        let volume =
            start.map_or_else(|| Ok(projector.new_volume()), |v| load(v, "start volume"))?;
        let support = support
            .map(|v| {
                load(v, "support").map(|work| work.values().iter().map(|&v| v > 0.0).collect())
            })
            .transpose()?;
        let mut this = Self {
            gradient: params.accelerated.then(|| projector.new_volume()),
            residual: projector.new_images(),
            ahead: params.accelerated.then(|| volume.clone()),
            momentum: 1.0,
            projector,
            params: params.clone(),
            pixel_size,
            measured,
            totals: totals(&used),
            fitted,
            support,
            gain: 0.0,
            volume,
            last_objective: f64::INFINITY,
            number: 0,
            started: Instant::now(),
        };
        this.gain = this.largest_curvature(monitor)?;
        this.started = Instant::now();
        Ok(this)
    }

    /// Turns to the same object seen anew: images and angles are exchanged, the volume and its momentum stay.
    ///
    /// # Errors
    /// A series that cannot be used, or of another size or number of tilts; a stop.
    pub fn turn_to(
        &mut self,
        series: &TiltSeries,
        monitor: &Monitor,
    ) -> Result<(), ReconstructError> {
        let used = series.only_included();
        super::check(&used, &self.params)?;
        let [x, y] = used.image_size();
        let size = super::volume_size(&used, &self.params);
        let before = self.projector.store_volume(&self.volume);
        let (nx, ny, nz) = before.dim();
        if used.len() != self.fitted.len() || size != [nx, ny, nz] {
            return Err(ReconstructError::BadInput {
                subject: "the series seen anew".to_owned(),
                expected: format!(
                    "{} tilts of a volume of {nx} × {ny} × {nz}",
                    self.fitted.len()
                ),
                found: format!("{} of {size:?}", used.len()),
            });
        }
        // One tilt axis or several: the working layout may be another.
        let projector = operator(size, [x, y], &used.angles);
        let carry = |work: &WorkVolume| projector.load_volume(&self.projector.store_volume(work));
        self.ahead = self.ahead.as_ref().map(carry);
        if let Some(support) = &self.support {
            let mut work = self.projector.new_volume();
            for (value, &allowed) in work.values_mut().iter_mut().zip(support) {
                *value = f32::from(u8::from(allowed));
            }
            self.support = Some(carry(&work).values().iter().map(|&v| v > 0.0).collect());
        }
        self.volume = projector.load_volume(&before);
        self.gradient = self.ahead.is_some().then(|| projector.new_volume());
        self.residual = projector.new_images();
        self.measured = projector.load_images(&used.images.view());
        self.totals = totals(&used);
        self.projector = projector;
        self.last_objective = f64::INFINITY;
        self.gain = self.largest_curvature(monitor)?;
        Ok(())
    }

    /// `1 / max(Σ Πᵀ Π 1)`: for a volume as deep as the image is wide this is the paper's `1/(n N)`; it also holds
    /// where rays are longer, in volumes wider than the image.
    fn largest_curvature(&mut self, monitor: &Monitor) -> Result<f32, Stopped> {
        self.projector
            .forward(&self.projector.ones(), &mut self.residual, monitor)?;
        self.projector.keep(&mut self.residual, &self.fitted);
        let mut curvature = self.projector.new_volume();
        self.projector
            .adjoint(&self.residual, &mut curvature, monitor)?;
        let largest = curvature.values().iter().copied().fold(0.0f32, f32::max);
        Ok(if largest > 0.0 { 1.0 / largest } else { 0.0 })
    }

    /// Iterations done.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Projects the current point and leaves `Π O − b` in `residual`; returns R per tilt and the objective.
    fn compare(&mut self, monitor: &Monitor) -> Result<(Vec<f64>, f64), Stopped> {
        let point = self.ahead.as_ref().unwrap_or(&self.volume);
        self.projector.forward(point, &mut self.residual, monitor)?;
        let misfits = self
            .projector
            .subtract(&mut self.residual, &self.measured, &self.fitted);
        let r: Vec<f64> = misfits
            .iter()
            .zip(&self.totals)
            .map(|(misfit, total)| misfit.absolute / total.max(f64::MIN_POSITIVE))
            .collect();
        let objective = 0.5
            * misfits
                .iter()
                .zip(&self.fitted)
                .filter(|(_, fitted)| **fitted)
                .map(|(misfit, _)| misfit.squares)
                .sum::<f64>();
        Ok((r, objective))
    }

    fn mean_r(&self, r: &[f64], fitted: bool) -> Option<f64> {
        let chosen: Vec<f64> = r
            .iter()
            .zip(&self.fitted)
            .filter(|(_, f)| **f == fitted)
            .map(|(r, _)| *r)
            .collect();
        (!chosen.is_empty()).then(|| chosen.iter().sum::<f64>() / chosen.len() as f64)
    }

    /// One iteration.
    ///
    /// # Errors
    /// A stop; unless the work is abandoned, the volume is then as it was before this step.
    pub fn step(&mut self, monitor: &Monitor) -> Result<Iteration, Stopped> {
        let (r, objective) = self.compare(monitor)?;
        if self.ahead.is_none() && objective > self.last_objective * 1.000_001 {
            self.gain *= 0.5;
            monitor.warn("the objective rose: the step was halved");
        }
        let step = self.gain * self.params.step as f32;
        let positivity = !self.params.no_positivity;
        let support = self.support.as_deref();
        let allowed = |at: usize| support.is_none_or(|s| s[at]);
        let clamp = move |value: f32| if positivity { value.max(0.0) } else { value };
        if let (Some(ahead), Some(gradient)) = (&mut self.ahead, &mut self.gradient) {
            self.projector.adjoint(&self.residual, gradient, monitor)?;
            // O'Donoghue & Candès: momentum pointing uphill is dropped.
            let next = (1.0 + (1.0 + 4.0 * self.momentum * self.momentum).sqrt()) / 2.0;
            let beta = ((self.momentum - 1.0) / next) as f32;
            let uphill: Vec<f64> = self
                .volume
                .values()
                .par_chunks(1 << 16)
                .zip(ahead.values().par_chunks(1 << 16))
                .zip(gradient.values().par_chunks(1 << 16))
                .enumerate()
                .map(|(chunk, ((old, ahead), gradient))| {
                    let mut sum = 0.0f64;
                    for at in 0..old.len() {
                        let new = if allowed((chunk << 16) + at) {
                            clamp(ahead[at] - step * gradient[at])
                        } else {
                            0.0
                        };
                        sum += f64::from(ahead[at] - new) * f64::from(new - old[at]);
                    }
                    sum
                })
                .collect();
            let restart = uphill.iter().sum::<f64>() > 0.0;
            let beta = if restart { 0.0 } else { beta };
            self.momentum = if restart { 1.0 } else { next };
            self.volume
                .values_mut()
                .par_chunks_mut(1 << 16)
                .zip(ahead.values_mut().par_chunks_mut(1 << 16))
                .zip(gradient.values().par_chunks(1 << 16))
                .enumerate()
                .for_each(|(chunk, ((old, ahead), gradient))| {
                    for at in 0..old.len() {
                        let new = if allowed((chunk << 16) + at) {
                            clamp(ahead[at] - step * gradient[at])
                        } else {
                            0.0
                        };
                        ahead[at] = new + beta * (new - old[at]);
                        old[at] = new;
                    }
                });
        } else {
            let take = |at: usize, volume: &mut [f32], gradient: &[f32]| {
                if support.is_none() {
                    for (value, gradient) in volume.iter_mut().zip(gradient) {
                        *value = clamp(*value - step * gradient);
                    }
                    return;
                }
                for (place, (value, gradient)) in volume.iter_mut().zip(gradient).enumerate() {
                    *value = if allowed(at + place) {
                        clamp(*value - step * gradient)
                    } else {
                        0.0
                    };
                }
            };
            self.projector
                .adjoint_into(&self.residual, &mut self.volume, monitor, take)?;
        }
        self.last_objective = objective;
        self.number += 1;
        Ok(Iteration {
            number: self.number,
            r1: self.mean_r(&r, true).unwrap_or(f64::NAN),
            r_free: self.mean_r(&r, false),
            r1_per_tilt: Arc::from(r),
            objective,
            elapsed_secs: self.started.elapsed().as_secs_f64(),
        })
    }

    /// The volume as it is now.
    #[must_use]
    pub fn volume(&self) -> Volume {
        let data: Array3<f32> = self.projector.store_volume(&self.volume);
        Volume::new(data, self.pixel_size)
    }

    /// Ends the iterations: R of the final volume, smoothing if asked for.
    ///
    /// # Errors
    /// A stop.
    pub fn finish(
        mut self,
        iterations: Vec<Iteration>,
        stopped_early: bool,
        monitor: &Monitor,
    ) -> Result<Reconstructed, Stopped> {
        self.ahead = None;
        self.gradient = None;
        let (r, _) = self.compare(monitor)?;
        let mut volume = self.volume();
        if self.params.smoothing > 0.0 {
            let sigma_vox = self.params.smoothing / self.pixel_size;
            volume.data = crate::numeric::gaussian::gaussian_blur(&volume.data, sigma_vox);
        }
        Ok(Reconstructed {
            volume: Arc::new(volume),
            iterations,
            r1: self.mean_r(&r, true).unwrap_or(f64::NAN),
            r_free: self.mean_r(&r, false),
            r1_per_tilt: r,
            engine: format!(
                "cpu, {} threads, {}",
                rayon::current_num_threads(),
                vector_name()
            ),
            stopped_early,
            seconds: self.started.elapsed().as_secs_f64(),
        })
    }
}

/// The projector asked for.
fn operator(volume: [usize; 3], image: [usize; 2], angles: &[EulerAngles]) -> Operator {
    Operator::Linear(LinearProjector::new(volume, image, angles))
}

/// `Σ|b|` of each tilt.
fn totals(series: &TiltSeries) -> Vec<f64> {
    (0..series.len())
        .map(|tilt| series.image(tilt).iter().map(|v| f64::from(v.abs())).sum())
        .collect()
}
