//! What an iteration needs done to volume and images, wherever they lie: the loop in `resire` is the same for all.

use crate::model::TiltSeries;
use crate::monitor::{Monitor, Stopped};
use crate::projection::gpu::GpuError;
use crate::projection::linear::Misfit;
use ndarray::Array3;

/// Why a part of an iteration was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Someone asked for it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The device it ran on is of no use any longer.
    #[error(transparent)]
    Device(GpuError),
}

impl From<GpuError> for Failure {
    fn from(error: GpuError) -> Self {
        match error {
            GpuError::Stopped(how) => Self::Stopped(how),
            other => Self::Device(other),
        }
    }
}

/// Where to go on when a device is lost.
pub(super) struct Retreat {
    /// In the host's memory.
    pub(super) problem: Box<dyn Problem>,
    /// Iterations that its volume has seen.
    pub(super) number: usize,
}

/// Measured images, volume, residual and (with momentum) the point ahead.
///
/// The *point* is where the gradient is taken: the volume itself, with momentum the point ahead of it. A step is either
/// [`Problem::descend`], or [`Problem::propose`] and then [`Problem::advance`].
pub(super) trait Problem {
    /// The largest value of `Σ Πᵢᵀ Πᵢ 1` over the fitted tilts.
    fn curvature(&mut self, monitor: &Monitor) -> Result<f32, Failure>;

    /// Projects the point, keeps `Πᵢ O − bᵢ` of the fitted tilts, and says how far each tilt is off.
    fn compare(&mut self, monitor: &Monitor) -> Result<Vec<Misfit>, Failure>;

    /// `O ← P(O − step Σ Πᵢᵀ(Πᵢ O − bᵢ))`, P the projection on what is allowed. A stop that keeps leaves O as it was or
    /// is not heard.
    fn descend(&mut self, step: f32, monitor: &Monitor) -> Result<(), Failure>;

    /// With momentum: where the step from the point ahead leads; returns `Σ (ahead − new)(new − old)`.
    fn propose(&mut self, step: f32, monitor: &Monitor) -> Result<f64, Failure>;

    /// Goes there: `ahead ← new + beta (new − old)`, `old ← new`.
    fn advance(&mut self, step: f32, beta: f32) -> Result<(), Failure>;

    /// From now on the point is the volume.
    fn drop_momentum(&mut self);

    /// The volume `(x, y, z)`.
    fn volume(&self) -> Result<Array3<f32>, Failure>;

    /// The same object seen anew, in as many images of the same size: images and angles are exchanged.
    fn turn_to(&mut self, series: &TiltSeries) -> Result<(), Failure>;

    /// What works, e.g. `cpu, 2 threads, avx512`.
    fn engine(&self) -> String;

    /// Iteration `number` is done.
    fn done(&mut self, _number: usize) {}

    /// Where to go on when this one's device fails; none where no device is needed.
    fn retreat(&self) -> Option<Retreat> {
        None
    }

    /// Takes the device away.
    #[cfg(test)]
    fn lose_device(&self) {}
}
