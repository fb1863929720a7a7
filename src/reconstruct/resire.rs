//! The iterations: projected gradient steps, plain or with momentum.

use super::on_gpu::place;
use super::problem::{Failure, Problem};
use super::{Iteration, ReconstructError, ReconstructParams, Reconstructed, Regularization, slab};
use crate::model::{TiltSeries, Volume};
use crate::monitor::{Monitor, Stopped};
use crate::projection::gpu::GpuError;
use crate::projection::linear::Misfit;
use ndarray::Array3;
use std::sync::Arc;
use std::time::Instant;

/// Growth of the objective over its lowest value that momentum does not make by itself.
const DIVERGED: f64 = 2.0;

/// RESIRE as a stepper: the loop stays outside, so pausing, watching and resuming cost nothing.
pub struct Resire {
    problem: Box<dyn Problem>,
    no_device: Option<String>,
    params: ReconstructParams,
    pixel_size: f64,
    /// Voxels on x, y, z.
    size: [usize; 3],
    /// `Σ|b|` of each tilt.
    totals: Vec<f64>,
    /// `Σ b²` of each tilt.
    powers: Vec<f64>,
    /// Whether a tilt is fitted (else it is left out for R_free).
    fitted: Vec<bool>,
    /// Inverse of the largest curvature.
    gain: f32,
    /// The same before the step was halved.
    full_gain: f32,
    /// Weight of the momentum.
    momentum: f64,
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
        let size = super::volume_size(&used, params);
        for (volume, what) in [(start, "start volume"), (support, "support")] {
            if let Some(volume) = volume.filter(|volume| volume.size() != size) {
                return Err(ReconstructError::BadInput {
                    subject: what.to_owned(),
                    expected: format!("{} × {} × {} voxels", size[0], size[1], size[2]),
                    found: format!("{:?}", volume.size()),
                });
            }
        }
        if params.regularization == Regularization::Kernel && params.kernel_width.is_none() {
            return Err(ReconstructError::BadParameter {
                name: "kernel_width",
                expected: "a width chosen before the iterations".to_owned(),
                found: "none".to_owned(),
            });
        }
        let (used, part) = slab::cut(used, params);
        let size = super::volume_size(&used, &part);
        let cut = |volume: &Volume| params.slab.map(|slab| slab::cut_volume(volume, slab));
        let (start_cut, support_cut) = (start.and_then(cut), support.and_then(cut));
        let (start, support) = (
            start_cut.as_ref().or(start),
            support_cut.as_ref().or(support),
        );
        let fitted: Vec<bool> = (0..used.len())
            .map(|tilt| !params.is_left_out(tilt))
            .collect();
        let (problem, no_device) = place(&used, &part, &fitted, start, support);
        let mut this = Self {
            problem,
            no_device,
            params: params.clone(),
            pixel_size,
            size,
            totals: totals(&used, f64::abs),
            powers: totals(&used, |v| v * v),
            fitted,
            gain: 0.0,
            full_gain: 0.0,
            momentum: 1.0,
            last_objective: f64::INFINITY,
            number: 0,
            started: Instant::now(),
        };
        this.find_gain(monitor)?;
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
        let (used, part) = slab::cut(used, &self.params);
        let size = super::volume_size(&used, &part);
        if used.len() != self.fitted.len() || size != self.size {
            let [nx, ny, nz] = self.size;
            return Err(ReconstructError::BadInput {
                subject: "the series seen anew".to_owned(),
                expected: format!(
                    "{} tilts of a volume of {nx} × {ny} × {nz}",
                    self.fitted.len()
                ),
                found: format!("{} of {size:?}", used.len()),
            });
        }
        self.on_any_engine(monitor, |this, _| this.problem.turn_to(&used))?;
        self.totals = totals(&used, f64::abs);
        self.powers = totals(&used, |v| v * v);
        self.last_objective = f64::INFINITY;
        self.find_gain(monitor)?;
        Ok(())
    }

    /// `1 / max(Σ Πᵀ Π 1)`: for a volume as deep as the image is wide this is the paper's `1/(n N)`; it also holds
    /// where rays are longer, in volumes wider than the image.
    fn find_gain(&mut self, monitor: &Monitor) -> Result<(), Stopped> {
        let largest =
            self.on_any_engine(monitor, |this, monitor| this.problem.curvature(monitor))?;
        self.gain = if largest > 0.0 { 1.0 / largest } else { 0.0 };
        self.full_gain = self.gain;
        Ok(())
    }

    /// Does something; where a device fails at it, retreats to the processor and does it there.
    fn on_any_engine<T>(
        &mut self,
        monitor: &Monitor,
        act: impl Fn(&mut Self, &Monitor) -> Result<T, Failure>,
    ) -> Result<T, Stopped> {
        loop {
            match act(self, monitor) {
                Ok(done) => return Ok(done),
                Err(Failure::Stopped(how)) => return Err(how),
                Err(Failure::Device(error)) => self.retreat(&error, monitor)?,
            }
        }
    }

    /// Goes on from the last volume that the lost device brought back.
    fn retreat(&mut self, error: &GpuError, monitor: &Monitor) -> Result<(), Stopped> {
        let retreat = self.problem.retreat();
        let retreat = retreat.expect("only a device fails, and it has a retreat");
        monitor.warn(&format!(
            "{error}; the iterations go on with number {} on the CPU",
            retreat.number + 1
        ));
        self.problem = retreat.problem;
        self.number = retreat.number;
        self.momentum = 1.0;
        self.last_objective = f64::INFINITY;
        self.find_gain(monitor)
    }

    /// Why no device works, when one was wanted.
    #[must_use]
    pub fn why_no_device(&self) -> Option<&str> {
        self.no_device.as_deref()
    }

    /// Iterations done.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// R per tilt and the objective.
    fn judge(&self, misfits: &[Misfit]) -> (Vec<f64>, f64) {
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
        (r, objective)
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

    /// Relative misfit of the tilts left out, if there are any.
    fn misfit_free(&self, misfits: &[Misfit]) -> Option<f64> {
        let free = || (0..misfits.len()).filter(|&tilt| !self.fitted[tilt]);
        let power: f64 = free().map(|tilt| self.powers[tilt]).sum();
        let squares: f64 = free().map(|tilt| misfits[tilt].squares).sum();
        (power > 0.0).then(|| (squares / power).sqrt())
    }

    /// One iteration.
    ///
    /// # Errors
    /// A stop; unless the work is abandoned, the volume is then as it was before this step.
    pub fn step(&mut self, monitor: &Monitor) -> Result<Iteration, Stopped> {
        let iteration = self.on_any_engine(monitor, Self::try_step)?;
        self.problem.done(iteration.number);
        Ok(iteration)
    }

    fn try_step(&mut self, monitor: &Monitor) -> Result<Iteration, Failure> {
        let misfits = self.problem.compare(monitor)?;
        let (r, objective) = self.judge(&misfits);
        let accelerated = self.params.accelerated;
        self.halve_if_risen(objective, monitor);
        let step = self.gain * self.params.step as f32;
        if accelerated {
            // O'Donoghue & Candès: momentum pointing uphill is dropped.
            let next = (1.0 + (1.0 + 4.0 * self.momentum * self.momentum).sqrt()) / 2.0;
            let beta = ((self.momentum - 1.0) / next) as f32;
            let restart = self.problem.propose(step, monitor)? > 0.0;
            self.problem
                .advance(step, if restart { 0.0 } else { beta })?;
            self.momentum = if restart { 1.0 } else { next };
        } else {
            self.problem.descend(step, monitor)?;
        }
        self.number += 1;
        Ok(Iteration {
            number: self.number,
            r1: self.mean_r(&r, true).unwrap_or(f64::NAN),
            r_free: self.mean_r(&r, false),
            misfit_free: self.misfit_free(&misfits),
            r1_per_tilt: Arc::from(r),
            objective,
            elapsed_secs: self.started.elapsed().as_secs_f64(),
        })
    }

    /// A step too large makes the objective grow: halves it and goes on from there without momentum.
    fn halve_if_risen(&mut self, objective: f64, monitor: &Monitor) {
        // Momentum ripples by itself; only growth is divergence.
        let bearable = if self.params.accelerated {
            DIVERGED
        } else {
            1.000_001
        };
        if objective <= self.last_objective * bearable {
            self.last_objective = if self.params.accelerated {
                objective.min(self.last_objective)
            } else {
                objective
            };
            return;
        }
        let before = self.gain * self.full_gain.recip() * self.params.step as f32;
        self.gain *= 0.5;
        self.momentum = 1.0;
        monitor.warn(&format!(
            "iteration {}: the objective rose from {:.4e} to {objective:.4e}, the step {before:.3} is too large: halved",
            self.number + 1,
            self.last_objective,
        ));
        self.last_objective = objective;
    }

    /// The volume as it is now; where its device was just lost, the last one brought back.
    #[must_use]
    pub fn volume(&self) -> Volume {
        let data = match self.problem.volume() {
            Ok(data) => data,
            // The next step says so and goes on from there.
            Err(_) => {
                let kept = self.problem.retreat().map(|r| r.problem.volume());
                kept.and_then(Result::ok)
                    .unwrap_or_else(|| Array3::zeros(self.size))
            }
        };
        Volume::new(data, self.pixel_size)
    }

    /// Ends the iterations: R of the final volume, smoothing if asked for.
    ///
    /// # Errors
    /// A stop.
    pub fn finish(
        mut self,
        mut iterations: Vec<Iteration>,
        stopped_early: bool,
        monitor: &Monitor,
    ) -> Result<Reconstructed, Stopped> {
        let planned = iterations.len();
        let (misfits, data) = self.on_any_engine(monitor, |this, monitor| {
            this.problem.drop_momentum();
            let misfits = this.problem.compare(monitor)?;
            Ok((misfits, this.problem.volume()?))
        })?;
        // Fewer where a device was lost at the very end.
        iterations.truncate(self.number);
        let stopped_early = stopped_early || iterations.len() < planned;
        let (r, _) = self.judge(&misfits);
        let mut volume = Volume::new(data, self.pixel_size);
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
            kernel_width: self.params.kernel(),
            trials: Vec::new(),
            fsc: None,
            notes: Vec::new(),
            engine: self.problem.engine(),
            stopped_early,
            seconds: self.started.elapsed().as_secs_f64(),
        })
    }

    #[cfg(test)]
    pub(super) fn lose_device(&self) {
        self.problem.lose_device();
    }
}

/// Sum of what `of` makes of the pixels of each tilt.
fn totals(series: &TiltSeries, of: impl Fn(f64) -> f64) -> Vec<f64> {
    (0..series.len())
        .map(|tilt| {
            let known = series.image(tilt).into_iter().filter(|v| v.is_finite());
            known.map(|v| of(f64::from(*v))).sum()
        })
        .collect()
}
