//! Corrections of all tilts as one vector: what refinements of the geometry iterate on, and what of it no data can tell.

use crate::model::geometry::{Matrix3, apply, multiply, rotation_about, transpose};
use crate::model::{EulerAngles, TiltSeries};
use crate::numeric::fit::least_squares;

/// Numbers of one tilt: a rotation vector in the detector frame (times the object's radius), the shift of the image
/// along x and y, and the logarithm of the dose (times the radius).
pub const COMPONENTS: usize = 6;

/// The corrections of all tilts, in pixels of the full images: a rotation is told by what it moves at the radius of
/// the object, so that all numbers are alike.
#[derive(Debug, Clone)]
pub struct Poses {
    /// Rotations before any correction.
    start: Vec<Matrix3>,
    angles: Vec<EulerAngles>,
    /// Root mean square radius of the object, pixels.
    pub radius_px: f64,
    /// [`COMPONENTS`] numbers per tilt.
    pub values: Vec<f64>,
}

impl Poses {
    /// No corrections yet, for all tilts of a series of an object of root mean square radius `radius_px`.
    #[must_use]
    pub fn new(series: &TiltSeries, radius_px: f64) -> Self {
        Self {
            start: series
                .angles
                .iter()
                .map(|a| a.detector_from_sample())
                .collect(),
            angles: series.angles.clone(),
            radius_px,
            values: vec![0.0; COMPONENTS * series.len()],
        }
    }

    fn tilt(&self, tilt: usize) -> &[f64] {
        &self.values[COMPONENTS * tilt..][..COMPONENTS]
    }

    /// How far to move an image along x and y, pixels.
    #[must_use]
    pub fn shift_px(&self, tilt: usize) -> [f64; 2] {
        [self.tilt(tilt)[3], self.tilt(tilt)[4]]
    }

    /// Dose of a tilt relative to the mean.
    #[must_use]
    pub fn dose(&self, tilt: usize) -> f64 {
        (self.tilt(tilt)[5] / self.radius_px).exp()
    }

    /// Corrected rotation from sample to detector.
    #[must_use]
    pub fn rotation(&self, tilt: usize) -> Matrix3 {
        let turn = std::array::from_fn(|axis| self.tilt(tilt)[axis] / self.radius_px);
        if turn == [0.0; 3] {
            return self.start[tilt];
        }
        multiply(&rotation_about(turn), &self.start[tilt])
    }

    /// Corrected angles.
    #[must_use]
    pub fn angles(&self, tilt: usize) -> EulerAngles {
        if self.tilt(tilt)[..3] == [0.0; 3] {
            return self.angles[tilt];
        }
        EulerAngles::from_rotation(&self.rotation(tilt), self.angles[tilt])
    }

    /// Change of the Euler angles φ, θ, ψ, degrees.
    #[must_use]
    pub fn angle_correction_deg(&self, tilt: usize) -> [f64; 3] {
        let (now, before) = (self.angles(tilt).to_deg(), self.angles[tilt].to_deg());
        std::array::from_fn(|axis| now[axis] - before[axis])
    }

    /// Takes from a set of corrections the part in which the tilt grows with the tilt itself. An object deforms with a
    /// stretched tilt scale almost without a trace, so that small systematic misfits (interpolation, what is left of a
    /// background) would stretch it round by round; goniometers keep their scale far better.
    pub fn hold_tilt_scale(&self, values: &mut [f64]) {
        let thetas: Vec<f64> = self.angles.iter().map(|a| a.theta).collect();
        let mean = thetas.iter().sum::<f64>() / thetas.len() as f64;
        let (mut along, mut norm) = (0.0, 0.0);
        for (theta, v) in thetas.iter().zip(values.chunks(COMPONENTS)) {
            along += v[1] * (theta - mean);
            norm += (theta - mean).powi(2);
        }
        if norm > 0.0 {
            for (theta, v) in thetas.iter().zip(values.chunks_mut(COMPONENTS)) {
                v[1] -= along / norm * (theta - mean);
            }
        }
    }

    /// Takes from a set of corrections what only moves, turns or scales the object as a whole: no data tells it, and
    /// the object shall stay where it is.
    pub fn fix_gauge(&self, values: &mut [f64]) {
        let tilts = self.start.len();
        let mut mean_turn = [0.0; 3];
        let mut mean_dose = 0.0;
        for (r, v) in self.start.iter().zip(values.chunks(COMPONENTS)) {
            let turn = apply(&transpose(r), [v[0], v[1], v[2]]);
            for axis in 0..3 {
                mean_turn[axis] += turn[axis] / tilts as f64;
            }
            mean_dose += v[5] / tilts as f64;
        }
        // The object's translation is not determined along a beam that never turns: the ridge then leaves it alone.
        let (mut rows, mut found) = (Vec::new(), Vec::new());
        for (r, v) in self.start.iter().zip(values.chunks(COMPONENTS)) {
            rows.extend([r[0].to_vec(), r[1].to_vec()]);
            found.extend([v[3], v[4]]);
        }
        for axis in 0..3 {
            rows.push((0..3).map(|k| if k == axis { 1e-6 } else { 0.0 }).collect());
            found.push(0.0);
        }
        let weights = vec![1.0; rows.len()];
        let drift = least_squares(&rows, &found, &weights).unwrap_or_else(|| vec![0.0; 3]);
        for (r, v) in self.start.iter().zip(values.chunks_mut(COMPONENTS)) {
            let turn = apply(r, mean_turn);
            let drift = apply(r, [drift[0], drift[1], drift[2]]);
            for axis in 0..3 {
                v[axis] -= turn[axis];
            }
            v[3] -= drift[0];
            v[4] -= drift[1];
            v[5] -= mean_dose;
        }
    }
}
