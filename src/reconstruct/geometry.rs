//! Geometry refinement: where each image lies and at which angles it was taken, from the series itself.
//!
//! A round makes a short reconstruction, projects it at every tilt, and asks how each tilt would have to be moved and
//! turned (and its dose scaled) to agree better: one Gauss–Newton step of the squared residual, with the exact change
//! of a projection under a rotation, which the first moment of the volume along the beam gives without any further
//! projection. Shifts come first, then shifts and all three angles together, first at half the resolution, then at
//! the full one. A reconstruction takes up part of every error it is given, so that plain rounds would creep: they
//! are accelerated as a fixed-point iteration ([`crate::numeric::fixed_point`]). It ends where nothing improves.
//!
//! Images are compared under a low-pass at the frequency up to which central slices overlap, 1/(D Δθ) for an object
//! of diameter D (Crowther, DeRosier & Klug 1970): beyond it a tilt's reconstruction follows the tilt, whatever its
//! place. What no data tells – the object's own place, orientation and brightness – is held by keeping the mean
//! correction zero (PdPt refines in the same order, one tilt and one angle at a time).

mod level;
mod pose;

use super::ReconstructError;
use crate::model::{TiltSeries, Volume};
use crate::monitor::{Monitor, Stopped};
use crate::numeric::fixed_point::Anderson;
use level::{Found, Free, Level};
use ndarray::Array3;
use pose::{COMPONENTS, Poses};
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use std::time::Instant;

/// Earlier rounds the acceleration remembers.
const MEMORY: usize = 6;
/// Images at least this wide are also looked at in half the resolution.
const SMALLEST_HALVED: usize = 96;
/// Rounds of shifts alone before the angles join.
const SHIFT_ROUNDS: usize = 4;
/// A share of R by which a round must improve to count.
const IMPROVES: f64 = 1e-4;
/// Rounds without improvement that end a level.
const PATIENCE: usize = 3;

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
}

impl Default for GeometryParams {
    fn default() -> Self {
        Self {
            max_rounds: 40,
            iterations: 30,
            max_shift_px: 8.0,
            max_angle_deg: 3.0,
            tolerance_px: 0.005,
            keep_angles: false,
            keep_dose: false,
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
    let mut run = Run::new(series, params, monitor);
    match run.refine(observe) {
        Ok(()) => run.finish(series, false),
        Err(ReconstructError::Stopped(Stopped::Keep)) if run.best.is_some() => {
            run.finish(series, true)
        }
        Err(error) => Err(error),
    }
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

/// The corrections of the round with the smallest R, and what that round found.
struct Best {
    poses: Poses,
    found: Found,
    bin: usize,
}

struct Run<'a> {
    params: &'a GeometryParams,
    monitor: &'a Monitor,
    /// Included tilts only.
    series: TiltSeries,
    blur_px: f64,
    poses: Poses,
    before: Vec<f64>,
    best: Option<Best>,
    rounds: Vec<GeometryRound>,
    /// Where the next reconstruction begins.
    volume: Option<Volume>,
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
            before: Vec::new(),
            best: None,
            rounds: Vec::new(),
            volume: None,
            started: Instant::now(),
        }
    }

    fn refine(&mut self, observe: &mut dyn FnMut(&GeometryRound)) -> Result<(), ReconstructError> {
        let [nx, ny] = self.series.image_size();
        let full = Level::new(&self.series, 1, self.blur_px);
        self.monitor.phase("Geometry as it is");
        let mut first = self.round(&full, Free::Search)?;
        self.before.clone_from(&first.r);
        self.best = Some(Best {
            poses: self.poses.clone(),
            found: Found {
                step: first.step.clone(),
                errors: first.errors.clone(),
                r: first.r.clone(),
                volume: first.volume.clone(),
            },
            bin: 1,
        });
        self.add(&std::mem::take(&mut first.step));
        if nx.min(ny) >= SMALLEST_HALVED {
            let half = Level::new(&self.series, 2, self.blur_px);
            self.descend(&half, true, observe)?;
            self.volume = None;
            self.descend(&full, false, observe)
        } else {
            self.descend(&full, true, observe)
        }
    }

    fn round(&self, level: &Level, free: Free) -> Result<Found, ReconstructError> {
        level.round(&self.poses, free, self.volume.as_ref(), self.params, self.monitor)
    }

    fn add(&mut self, step: &[f64]) {
        for (value, step) in self.poses.values.iter_mut().zip(step) {
            *value += step;
        }
        self.limit();
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

    /// Rounds at one resolution until nothing improves.
    fn descend(
        &mut self,
        level: &Level,
        coarsest: bool,
        observe: &mut dyn FnMut(&GeometryRound),
    ) -> Result<(), ReconstructError> {
        let mut anderson = Anderson::new(MEMORY);
        let mut smallest = f64::INFINITY;
        let mut waited = 0;
        let tolerance = self.params.tolerance_px * level.bin as f64;
        for number in 0.. {
            if self.rounds.len() >= self.params.max_rounds {
                self.monitor.warn(&format!(
                    "the geometry still moved after {} rounds; --max-rounds allows more",
                    self.params.max_rounds
                ));
                break;
            }
            let with_angles = !self.params.keep_angles && (!coarsest || number >= SHIFT_ROUNDS);
            if coarsest && number == SHIFT_ROUNDS {
                anderson.restart();
                (smallest, waited) = (f64::INFINITY, 0);
            }
            let free = if with_angles { Free::All } else { Free::Shifts };
            self.monitor.phase(if with_angles {
                "Shifts and angles"
            } else {
                "Shifts"
            });
            let found = self.round(level, free)?;
            let step_px = root_mean_square(&found.step);
            let r1 = mean(&found.r);
            self.report(level.bin, with_angles, r1, step_px, observe);
            if r1 < smallest * (1.0 - IMPROVES) {
                waited = 0;
            } else {
                waited += 1;
            }
            let better = r1 < smallest;
            smallest = smallest.min(r1);
            let next = anderson.next(&self.poses.values, &found.step);
            self.volume = Some(found.volume.clone());
            if better {
                self.best = Some(Best {
                    poses: self.poses.clone(),
                    found,
                    bin: level.bin,
                });
            }
            let settled = step_px < tolerance || waited >= PATIENCE;
            let shifts_end = coarsest && !with_angles && !self.params.keep_angles;
            if settled && !shifts_end {
                break;
            }
            self.poses.values = next;
            self.limit();
        }
        if let Some(best) = &self.best {
            self.poses = best.poses.clone();
        }
        Ok(())
    }

    fn report(
        &mut self,
        bin: usize,
        with_angles: bool,
        r1: f64,
        step_px: f64,
        observe: &mut dyn FnMut(&GeometryRound),
    ) {
        let tilts = self.series.len();
        let round = GeometryRound {
            number: self.rounds.len() + 1,
            bin,
            with_angles,
            r1,
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

    /// Applies the best corrections to the whole series.
    fn finish(
        self,
        series: &TiltSeries,
        stopped_early: bool,
    ) -> Result<GeometryRefined, ReconstructError> {
        let Some(Best { poses, found, bin }) = self.best else {
            return Err(Stopped::Keep.into());
        };
        // A kept run still wants its result; the stop was answered already.
        let silent = Monitor::silent();
        let monitor = if stopped_early { &silent } else { self.monitor };
        let level = Level::new(&self.series, 1, self.blur_px);
        let corrected = level.corrected(&poses, self.params, monitor)?;
        let after = if bin == 1 {
            found.r
        } else {
            level.round(&poses, Free::Shifts, None, self.params, monitor)?.r
        };
        let mut refined = series.clone();
        let tilts = series.len();
        let mut outcome = GeometryRefined {
            shifts_px: vec![[0.0; 2]; tilts],
            angle_corrections_deg: vec![[0.0; 3]; tilts],
            doses: vec![1.0; tilts],
            shift_errors_px: vec![[f64::INFINITY; 2]; tilts],
            r1_before_per_tilt: self.before,
            r1_after_per_tilt: after,
            rounds: self.rounds,
            stopped_early,
            seconds: 0.0,
            series: series.clone(),
        };
        for (at, &tilt) in series.included_tilts().iter().enumerate() {
            refined
                .images
                .index_axis_mut(ndarray::Axis(0), tilt)
                .assign(&corrected.image(at));
            refined.angles[tilt] = corrected.angles[at];
            outcome.shifts_px[tilt] = poses.shift_px(at);
            outcome.angle_corrections_deg[tilt] = poses.angle_correction_deg(at);
            if !self.params.keep_dose {
                outcome.doses[tilt] = poses.dose(at);
            }
            let errors = &found.errors[COMPONENTS * at..];
            outcome.shift_errors_px[tilt] = [errors[3], errors[4]];
        }
        outcome.series = refined;
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
