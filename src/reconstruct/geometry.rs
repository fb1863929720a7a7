//! Geometry refinement: where each image lies and at which angles it was taken, from the series itself.
//!
//! A round carries a reconstruction on by a few accelerated iterations, projects it at every tilt, and asks how each
//! tilt would have to be moved and turned (and its dose scaled) to agree better: one Gauss–Newton step of the squared
//! residual, with the exact change of a projection under a rotation, which the first moment of the volume along the
//! beam gives without a projection per angle. Shifts come first, then shifts and all three angles together, first at
//! half the resolution, then at the full one, until a round no longer moves anything (PdPt refines in the same order,
//! one angle at a time).
//!
//! Images are compared under a low-pass at the frequency up to which central slices overlap, 1/(D Δθ) for an object
//! of diameter D (Crowther, DeRosier & Klug 1970): beyond it the reconstruction follows each tilt, whatever its
//! place. What no data tells – the object's own place, orientation and brightness – is held by keeping the mean
//! correction zero, and the scale of the tilt is held with it, which the data tell too weakly. R is that of the low-passed images: of the noise, a reconstruction takes up more or less as the
//! geometry happens to interpolate it, which would hide what the correction gains.

mod judge;
mod level;

pub use judge::{GeometryVerdict, judge_geometry};

use super::{ReconstructError, ReconstructParams};
use crate::model::{TiltSeries, Volume};
use crate::monitor::{Monitor, Stopped};
use crate::numeric::poses::{COMPONENTS, Poses};
use level::{Free, Level};
use ndarray::Array3;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use std::time::Instant;

/// Images at least this wide are also looked at in half the resolution.
const SMALLEST_HALVED: usize = 96;
/// Rounds of shifts alone before the angles join.
const SHIFT_ROUNDS: usize = 4;
/// Iterations of the reconstructions whose R is compared, before and after.
const JUDGED_AFTER: usize = 60;

/// Parameters of the geometry refinement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct GeometryParams {
    /// Rounds at most, all resolutions together
    #[arg(long, default_value_t = Self::default().max_rounds)]
    pub max_rounds: usize,
    /// Iterations of the short reconstruction of a round
    #[arg(long, default_value_t = Self::default().iterations)]
    pub iterations: usize,
    /// Largest correction of a shift, pixels
    #[arg(long, default_value_t = Self::default().max_shift_px)]
    pub max_shift_px: f64,
    /// Largest correction of an angle, degrees
    #[arg(long, default_value_t = Self::default().max_angle_deg)]
    pub max_angle_deg: f64,
    /// Ends when a round would move nothing by more than this (root mean square), pixels
    #[arg(long, default_value_t = Self::default().tolerance_px)]
    pub tolerance_px: f64,
    /// Refine shifts only, and keep the angles
    #[arg(long)]
    pub keep_angles: bool,
    /// Leave each image's counts as they are instead of scaling all to one dose
    #[arg(long)]
    pub keep_dose: bool,
    /// End with what the volume tells, without the last and sharper step: the atoms traced in it
    #[arg(long)]
    pub volume_only: bool,
}

impl Default for GeometryParams {
    fn default() -> Self {
        Self {
            max_rounds: 40,
            iterations: 10,
            max_shift_px: 8.0,
            max_angle_deg: 3.0,
            tolerance_px: 0.005,
            keep_angles: false,
            keep_dose: false,
            volume_only: false,
        }
    }
}

/// What one round reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeometryRound {
    /// Rounds done, counted from 1.
    pub number: usize,
    /// Full pixels in one of this round's resolution.
    pub bin: usize,
    /// Whether the angles were free.
    pub with_angles: bool,
    /// Mean R of the short reconstruction at the corrections so far.
    pub r1: f64,
    /// Root mean square of the next correction, pixels at the object's radius.
    pub step_px: f64,
    /// Shifts so far, pixels along x and y, of the tilts that take part.
    pub shifts_px: Vec<[f64; 2]>,
    /// Changes of φ, θ, ψ so far, degrees, of the tilts that take part.
    pub angle_corrections_deg: Vec<[f64; 3]>,
}

/// A refined geometry.
#[derive(Debug, Clone)]
pub struct GeometryRefined {
    /// The series with images moved and angles corrected; tilts left out stay as they were.
    pub series: TiltSeries,
    /// How far each image was moved along x and y, pixels; zero for tilts left out.
    pub shifts_px: Vec<[f64; 2]>,
    /// Change of φ, θ, ψ of each tilt, degrees.
    pub angle_corrections_deg: Vec<[f64; 3]>,
    /// What each image was divided by.
    pub doses: Vec<f64>,
    /// Standard error that noise alone gives each tilt's shift, pixels along x and y.
    pub shift_errors_px: Vec<[f64; 2]>,
    /// R of each included tilt in a short reconstruction before any correction.
    pub r1_before_per_tilt: Vec<f64>,
    /// The same after.
    pub r1_after_per_tilt: Vec<f64>,
    /// What each round reported.
    pub rounds: Vec<GeometryRound>,
    /// Whether the user ended it.
    pub stopped_early: bool,
    /// Wall seconds.
    pub seconds: f64,
}

impl GeometryRefined {
    /// Mean R before any correction.
    #[must_use]
    pub fn r1_before(&self) -> f64 {
        mean(&self.r1_before_per_tilt)
    }

    /// Mean R after.
    #[must_use]
    pub fn r1_after(&self) -> f64 {
        mean(&self.r1_after_per_tilt)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Refines shifts and angles until nothing improves; `observe` sees every round.
///
/// # Errors
/// A series or parameters that cannot be used; a run abandoned, or stopped before its first round.
pub fn refine_geometry(
    series: &TiltSeries,
    params: &GeometryParams,
    monitor: &Monitor,
    observe: &mut dyn FnMut(&GeometryRound),
) -> Result<GeometryRefined, ReconstructError> {
    check(series, params)?;
    let _device = super::on_gpu::hold_device(&ReconstructParams::default());
    let mut run = Run::new(series, params, monitor);
    match run.refine(observe) {
        Ok(()) => run.finish(series, false),
        Err(ReconstructError::Stopped(Stopped::Keep)) if !run.rounds.is_empty() => {
            run.finish(series, true)
        }
        Err(error) => Err(error),
    }
}

/// R of each included tilt of a series as it stands, under the low-pass of the refinement, in a short reconstruction.
///
/// # Errors
/// As [`refine_geometry`].
pub fn low_passed_r(
    series: &TiltSeries,
    params: &GeometryParams,
    monitor: &Monitor,
) -> Result<Vec<f64>, ReconstructError> {
    check(series, params)?;
    let run = Run::new(series, params, monitor);
    run.r_of(&run.poses, monitor)
}

fn check(series: &TiltSeries, params: &GeometryParams) -> Result<(), ReconstructError> {
    let included = series.included_tilts().len();
    if included < 3 {
        return Err(ReconstructError::BadInput {
            subject: "tilt series".to_owned(),
            expected: "at least three tilts that take part".to_owned(),
            found: included.to_string(),
        });
    }
    let range = |name: &'static str, ok: bool, expected: &str, found: String| {
        if ok {
            Ok(())
        } else {
            Err(ReconstructError::BadParameter {
                name,
                expected: expected.to_owned(),
                found,
            })
        }
    };
    for (name, value) in [
        ("max_rounds", params.max_rounds),
        ("iterations", params.iterations),
    ] {
        range(name, value > 0, "at least 1", value.to_string())?;
    }
    for (name, value) in [
        ("max_shift_px", params.max_shift_px),
        ("max_angle_deg", params.max_angle_deg),
        ("tolerance_px", params.tolerance_px),
    ] {
        let ok = value.is_finite() && value > 0.0;
        range(name, ok, "a number above 0", value.to_string())?;
    }
    Ok(())
}

struct Run<'a> {
    params: &'a GeometryParams,
    monitor: &'a Monitor,
    /// Included tilts only.
    series: TiltSeries,
    blur_px: f64,
    poses: Poses,
    errors: Vec<f64>,
    rounds: Vec<GeometryRound>,
    started: Instant,
}

impl<'a> Run<'a> {
    fn new(series: &TiltSeries, params: &'a GeometryParams, monitor: &'a Monitor) -> Self {
        let series = series.only_included();
        let radius_px = object_radius(&series.images);
        // For a ball the root mean square radius of the image is 0.63 of its own.
        let diameter = 2.0 * radius_px / 0.63;
        let thetas: Vec<f64> = series.angles.iter().map(|a| a.theta).collect();
        let low = thetas.iter().copied().fold(f64::INFINITY, f64::min);
        let high = thetas.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let step = (high - low) / (thetas.len() - 1) as f64;
        Self {
            params,
            monitor,
            blur_px: (diameter * step / TAU).max(0.5),
            poses: Poses::new(&series, radius_px),
            series,
            errors: Vec::new(),
            rounds: Vec::new(),
            started: Instant::now(),
        }
    }

    fn level(&self, bin: usize, start: Option<Volume>) -> Level<'a> {
        Level::new(
            &self.series,
            bin,
            self.blur_px,
            start,
            self.params,
            self.monitor,
        )
    }

    fn refine(&mut self, observe: &mut dyn FnMut(&GeometryRound)) -> Result<(), ReconstructError> {
        let [nx, ny] = self.series.image_size();
        let mut start = None;
        if nx.min(ny) >= SMALLEST_HALVED {
            let mut half = self.level(2, None);
            self.descend(&mut half, true, observe)?;
            start = half.doubled([nx, ny, nx]);
        }
        let is_first = start.is_none();
        let mut full = self.level(1, start);
        self.descend(&mut full, is_first, observe)
    }

    /// Rounds at one resolution until nothing improves.
    fn descend(
        &mut self,
        level: &mut Level,
        first: bool,
        observe: &mut dyn FnMut(&GeometryRound),
    ) -> Result<(), ReconstructError> {
        let tolerance = self.params.tolerance_px * level.bin as f64;
        for number in 0.. {
            if self.rounds.len() >= self.params.max_rounds {
                self.monitor.warn(&format!(
                    "the geometry still moved after {} rounds; --max-rounds allows more",
                    self.params.max_rounds
                ));
                break;
            }
            let free = match number {
                0 if first => Free::Search,
                _ if self.params.keep_angles || first && number < SHIFT_ROUNDS => Free::Shifts,
                _ => Free::All,
            };
            self.monitor.phase(if free == Free::All {
                "Shifts and angles"
            } else {
                "Shifts"
            });
            let iterations = if number == 0 { 2 } else { 1 } * self.params.iterations;
            let found = level.round(&self.poses, free, iterations)?;
            let step_px = root_mean_square(&found.step);
            self.report(level.bin, free, &found.r, step_px, observe);
            for (value, step) in self.poses.values.iter_mut().zip(&found.step) {
                *value += step;
            }
            self.limit();
            self.errors = found.errors;
            let settles = free == Free::All || self.params.keep_angles;
            if settles && step_px < tolerance {
                break;
            }
        }
        Ok(())
    }

    /// Keeps the corrections within what the parameters allow.
    fn limit(&mut self) {
        let angle = self.params.max_angle_deg.to_radians() * self.poses.radius_px;
        let shift = self.params.max_shift_px;
        for tilt in self.poses.values.chunks_mut(COMPONENTS) {
            for (value, limit) in tilt.iter_mut().zip([angle, angle, angle, shift, shift]) {
                *value = value.clamp(-limit, limit);
            }
        }
    }

    fn report(
        &mut self,
        bin: usize,
        free: Free,
        r: &[f64],
        step_px: f64,
        observe: &mut dyn FnMut(&GeometryRound),
    ) {
        let tilts = self.series.len();
        let round = GeometryRound {
            number: self.rounds.len() + 1,
            bin,
            with_angles: free == Free::All,
            r1: mean(r),
            step_px,
            shifts_px: (0..tilts).map(|t| self.poses.shift_px(t)).collect(),
            angle_corrections_deg: (0..tilts)
                .map(|t| self.poses.angle_correction_deg(t))
                .collect(),
        };
        self.monitor.progress(round.number, self.params.max_rounds);
        observe(&round);
        self.rounds.push(round);
    }

    /// R of each tilt at these corrections, in a reconstruction of its own.
    fn r_of(&self, poses: &Poses, monitor: &Monitor) -> Result<Vec<f64>, ReconstructError> {
        Level::new(&self.series, 1, self.blur_px, None, self.params, monitor)
            .round(poses, Free::Shifts, JUDGED_AFTER)
            .map(|found| found.r)
    }

    /// Applies the corrections to the whole series.
    fn finish(
        self,
        series: &TiltSeries,
        stopped_early: bool,
    ) -> Result<GeometryRefined, ReconstructError> {
        // A kept run still wants its result; the stop was answered already.
        let silent = Monitor::silent();
        let monitor = if stopped_early { &silent } else { self.monitor };
        monitor.phase("R before and after");
        let unmoved = Poses::new(&self.series, self.poses.radius_px);
        let before = self.r_of(&unmoved, monitor)?;
        let after = self.r_of(&self.poses, monitor)?;
        let corrected = self.level(1, None).corrected(&self.poses, monitor)?;
        let tilts = series.len();
        let mut outcome = GeometryRefined {
            shifts_px: vec![[0.0; 2]; tilts],
            angle_corrections_deg: vec![[0.0; 3]; tilts],
            doses: vec![1.0; tilts],
            shift_errors_px: vec![[f64::INFINITY; 2]; tilts],
            r1_before_per_tilt: before,
            r1_after_per_tilt: after,
            rounds: self.rounds,
            stopped_early,
            seconds: 0.0,
            series: series.clone(),
        };
        for (at, &tilt) in series.included_tilts().iter().enumerate() {
            outcome
                .series
                .images
                .index_axis_mut(ndarray::Axis(0), tilt)
                .assign(&corrected.image(at));
            outcome.series.angles[tilt] = corrected.angles[at];
            outcome.shifts_px[tilt] = self.poses.shift_px(at);
            outcome.angle_corrections_deg[tilt] = self.poses.angle_correction_deg(at);
            if !self.params.keep_dose {
                outcome.doses[tilt] = self.poses.dose(at);
            }
            let errors = &self.errors[COMPONENTS * at..];
            outcome.shift_errors_px[tilt] = [errors[3], errors[4]];
        }
        outcome.seconds = self.started.elapsed().as_secs_f64();
        Ok(outcome)
    }
}

fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

/// Root mean square distance of the counts from the images' centers, pixels.
fn object_radius(images: &Array3<f32>) -> f64 {
    let (_, nx, ny) = images.dim();
    let (cx, cy) = ((nx / 2) as f64, (ny / 2) as f64);
    let (mut sum, mut squares) = (0.0, 0.0);
    for ((_, i, j), &value) in images.indexed_iter() {
        let value = f64::from(value.max(0.0));
        sum += value;
        squares += value * ((i as f64 - cx).powi(2) + (j as f64 - cy).powi(2));
    }
    let uniform = (cx * cx + cy * cy) / 3.0;
    let found = if sum > 0.0 { squares / sum } else { uniform };
    found.sqrt().max(1.0)
}

#[cfg(test)]
mod tests;
