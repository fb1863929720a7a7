//! The projector of the iterations, whichever it is: forward projection, its transpose, and the working layout of
//! volume and images, which is the projector's own.

use super::blur::ImageBlur;
use super::fourier::FourierProjector;
use super::layout::{WorkImages, WorkVolume};
use super::linear::{LinearProjector, Misfit};
use crate::model::{EulerAngles, Volume};
use crate::monitor::{Monitor, Stopped};
use ndarray::{Array3, ArrayView3};
use serde::{Deserialize, Serialize};

/// How projections are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Projector {
    /// Line integrals in real space with linear interpolation, and their exact transpose.
    #[default]
    Linear,
    /// Central slices of the volume's Fourier transform.
    Fourier,
}

/// Which projector, and its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Method {
    /// Which.
    pub projector: Projector,
    /// How much finer the Fourier projector's grid is than the volume's own.
    pub oversampling: f64,
}

impl Method {
    /// The linear projector.
    pub const LINEAR: Self = Self {
        projector: Projector::Linear,
        oversampling: 1.5,
    };
}

/// A projector of any kind.
pub enum Operator {
    /// Line integrals in real space.
    Linear(LinearProjector),
    /// Central slices in Fourier space.
    Fourier(FourierProjector),
}

/// Calls the same method of whichever projector it is.
macro_rules! either {
    ($operator:expr, $projector:ident => $call:expr) => {
        match $operator {
            Operator::Linear($projector) => $call,
            Operator::Fourier($projector) => $call,
        }
    };
}

impl Operator {
    /// A projector from volumes of `volume_size` `(x, y, z)` to images of `image_size` `(x, y)`.
    #[must_use]
    pub fn new(
        method: Method,
        volume_size: [usize; 3],
        image_size: [usize; 2],
        angles: &[EulerAngles],
    ) -> Self {
        match method.projector {
            Projector::Linear => {
                Self::Linear(LinearProjector::new(volume_size, image_size, angles))
            }
            Projector::Fourier => {
                let projector =
                    FourierProjector::new(volume_size, image_size, angles, method.oversampling);
                Self::Fourier(projector)
            }
        }
    }

    /// Multiply-adds that a projection and its transpose cannot do without.
    #[must_use]
    pub fn multiply_adds(&self) -> f64 {
        either!(self, p => p.multiply_adds())
    }

    /// Number of tilts.
    #[must_use]
    pub fn tilts(&self) -> usize {
        either!(self, p => p.tilts())
    }

    /// A volume of zeros in working layout.
    #[must_use]
    pub fn new_volume(&self) -> WorkVolume {
        either!(self, p => p.new_volume())
    }

    /// A volume of ones in working layout.
    #[must_use]
    pub fn ones(&self) -> WorkVolume {
        either!(self, p => p.ones())
    }

    /// Images of zeros in working layout.
    #[must_use]
    pub fn new_images(&self) -> WorkImages {
        either!(self, p => p.new_images())
    }

    /// Brings a volume `(x, y, z)` to working layout.
    #[must_use]
    pub fn load_volume(&self, data: &Array3<f32>) -> WorkVolume {
        either!(self, p => p.load_volume(data))
    }

    /// Brings a volume back to `(x, y, z)`.
    #[must_use]
    pub fn store_volume(&self, work: &WorkVolume) -> Array3<f32> {
        either!(self, p => p.store_volume(work))
    }

    /// Brings images `(tilt, x, y)` to working layout.
    #[must_use]
    pub fn load_images(&self, data: &ArrayView3<f32>) -> WorkImages {
        either!(self, p => p.load_images(data))
    }

    /// Brings images back to `(tilt, x, y)`.
    #[must_use]
    pub fn store_images(&self, work: &WorkImages) -> Array3<f32> {
        either!(self, p => p.store_images(work))
    }

    /// Forward projection; overwrites `images`.
    ///
    /// # Errors
    /// A stop.
    pub fn forward(
        &self,
        volume: &WorkVolume,
        images: &mut WorkImages,
        monitor: &Monitor,
    ) -> Result<(), Stopped> {
        either!(self, p => p.forward(volume, images, monitor))
    }

    /// Transpose of [`Self::forward`]: overwrites `volume` with the sum over tilts.
    ///
    /// # Errors
    /// A stop.
    pub fn adjoint(
        &self,
        images: &WorkImages,
        volume: &mut WorkVolume,
        monitor: &Monitor,
    ) -> Result<(), Stopped> {
        either!(self, p => p.adjoint(images, volume, monitor))
    }

    /// As [`Self::adjoint`], but `take(at, voxels, sum)` says what becomes of the voxels that begin at place `at` of
    /// the working order. What was taken cannot be given back: a stop that keeps is left to whoever checks next.
    ///
    /// # Errors
    /// That the work is abandoned; the volume is then of no use.
    pub fn adjoint_into(
        &self,
        images: &WorkImages,
        volume: &mut WorkVolume,
        monitor: &Monitor,
        take: impl Fn(usize, &mut [f32], &[f32]) + Sync,
    ) -> Result<(), Stopped> {
        either!(self, p => p.adjoint_into(images, volume, monitor, take))
    }

    /// Subtracts `measured` from `images` and says how far they were apart, tilt by tilt; then zeroes the tilts that
    /// are not `fitted`.
    pub fn subtract(
        &self,
        images: &mut WorkImages,
        measured: &WorkImages,
        fitted: &[bool],
    ) -> Vec<Misfit> {
        either!(self, p => p.subtract(images, measured, fitted))
    }

    /// Smooths every image; `transposed`: the transpose of that.
    pub fn blur(&self, images: &mut WorkImages, blur: &ImageBlur, transposed: bool) {
        either!(self, p => p.blur(images, blur, transposed));
    }

    /// Variance (px², x and y) by which the projector's own interpolation widens a voxel.
    #[must_use]
    pub fn interpolation_variance(&self) -> [f64; 2] {
        either!(self, p => p.interpolation_variance())
    }

    /// Zeroes the images of the tilts that are not `kept`.
    pub fn keep(&self, images: &mut WorkImages, kept: &[bool]) {
        either!(self, p => p.keep(images, kept))
    }
}

/// Projects `volume` at `angles` with the linear projector: images of shape `(tilt, x, y)`.
///
/// # Errors
/// A stop.
pub fn forward(
    volume: &Volume,
    angles: &[EulerAngles],
    image_size: [usize; 2],
    monitor: &Monitor,
) -> Result<Array3<f32>, Stopped> {
    forward_by(Method::LINEAR, volume, angles, image_size, monitor)
}

/// As [`forward`], with any projector.
///
/// # Errors
/// A stop.
pub fn forward_by(
    method: Method,
    volume: &Volume,
    angles: &[EulerAngles],
    image_size: [usize; 2],
    monitor: &Monitor,
) -> Result<Array3<f32>, Stopped> {
    let operator = Operator::new(method, volume.size(), image_size, angles);
    let mut images = operator.new_images();
    operator.forward(&operator.load_volume(&volume.data), &mut images, monitor)?;
    Ok(operator.store_images(&images))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step of the iterations is one over the largest value of `ΠᵀΠ 1`: for weights that are nowhere negative that
    /// bounds the largest eigenvalue of `ΠᵀΠ`; a Fourier slice has negative ones, so it is measured.
    #[test]
    fn the_largest_curvature_bounds_every_projector() {
        let silent = Monitor::silent();
        for (volume, image) in [
            ([24, 20, 24], [24, 20]),
            ([40, 11, 30], [17, 13]),
            ([15, 16, 31], [33, 16]),
        ] {
            for off in [0.0, 0.4, 12.0] {
                let angles: Vec<_> = (0..9)
                    .map(|tilt| EulerAngles::from_deg(off, -64.0 + 16.0 * f64::from(tilt), -off))
                    .collect();
                for projector in [Projector::Linear, Projector::Fourier] {
                    let method = Method {
                        projector,
                        ..Method::LINEAR
                    };
                    let operator = Operator::new(method, volume, image, &angles);
                    let mut images = operator.new_images();
                    let mut point = operator.ones();
                    let mut bound = 0.0f32;
                    let mut eigenvalue = 0.0;
                    // The power method.
                    for pass in 0..30 {
                        let length = |v: &WorkVolume| -> f64 {
                            let squares = v.values().iter().map(|v| f64::from(*v).powi(2));
                            squares.sum::<f64>().sqrt()
                        };
                        let before = length(&point);
                        operator.forward(&point, &mut images, &silent).unwrap();
                        operator.adjoint(&images, &mut point, &silent).unwrap();
                        if pass == 0 {
                            bound = point.values().iter().copied().fold(0.0, f32::max);
                        }
                        eigenvalue = length(&point) / before;
                        let scale = (1.0 / length(&point)) as f32;
                        point.values_mut().iter_mut().for_each(|v| *v *= scale);
                    }
                    assert!(
                        eigenvalue < f64::from(bound) && eigenvalue > 0.3 * f64::from(bound),
                        "{projector:?} {volume:?} {off}°: {eigenvalue} {bound}"
                    );
                }
            }
        }
    }
}
