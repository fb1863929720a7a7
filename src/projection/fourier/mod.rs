//! The Fourier projector: central slices of the volume's Fourier transform, and their exact transpose.
//!
//! A voxel is seen where the geometry says, and spread over the image as the sharpest peak its pixels can hold:
//! `Π O (p) = 1/P Σ_m exp(2πi m p/P) Σ_r O(r) exp(−2πi m (R r)ₓ/P)` over the |m| < P/2, and along y alike (the
//! Fourier slice theorem; Pham et al., Sci. Rep. 13, 5624 (2023) interpolate it on a zero-padded grid). P is so wide
//! that nothing of the volume is seen twice. The sum of an image is the sum of the voxels; at θ = 0 the image is the
//! plain sum along z, whereas linear interpolation blurs all that falls between pixels.
//!
//! The inner sum is had to about 1e-6 from fast transforms and a Kaiser–Bessel kernel (`kernel`). A series with one
//! tilt axis stays two-dimensional (`single_axis`); any other geometry is in `general`. Of the two ways to a
//! gradient, projecting and projecting back is taken, not convolving with the kernel of ΠᵀΠ: that needs transforms
//! on a grid of twice the volume's size where 1.5 does, holds only when images are not cut off, and tells nothing
//! of the residuals.
//!
//! Tasks write to separate memory and their division does not depend on the threads, so neither do the results.
//! Scratch memory is kept from one projection to the next.

mod general;
mod kernel;
mod plane;
mod single_axis;

use super::aligned::Aligned;
use super::blur::{ImageBlur, Pixels};
use super::layout::{WorkImages, WorkVolume};
use super::linear::Misfit;
use super::misfit;
use super::simd::Instructions;
use crate::model::{EulerAngles, Matrix3, center_index};
use crate::monitor::{Monitor, Stopped};
use general::General;
use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use single_axis::SingleAxis;
use std::sync::{Mutex, PoisonError};

/// Oversampling that is accepted: below, rounding is amplified, above, nothing is gained.
pub const OVERSAMPLING: std::ops::RangeInclusive<f64> = 1.25..=4.0;
/// Numbers of a cache line: images are filled up to whole ones.
const LINE: usize = 16;

/// Sizes of volume `(x, y, z)` and images `(x, y)`.
#[derive(Clone)]
struct Sizes {
    volume: [usize; 3],
    image: [usize; 2],
}

/// The geometry of a set of tilts, and the working layout of volume and images: for one tilt axis
/// `(pair of y, x, z, 2)` and `(pair of y, tilt, x, 2)`, else `(x, z, y)` and `(tilt, x, y)`.
pub struct FourierProjector {
    sizes: Sizes,
    tilts: usize,
    geometry: Geometry,
    instructions: Instructions,
}

enum Geometry {
    SingleAxis(Box<SingleAxis>),
    General(Box<General>),
}

/// Objects that are taken and given back, so that nothing is allocated once every thread has had its own.
struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T> Pool<T> {
    fn with<R>(&self, make: impl FnOnce() -> T, act: impl FnOnce(&mut T) -> R) -> R {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out first: the lock must not be held while one is made or used.
        let free = lock().pop();
        let mut one = free.unwrap_or_else(make);
        let result = act(&mut one);
        lock().push(one);
        result
    }
}

/// Pixels after which a projection may repeat along an image's axis without the volume being seen twice.
fn period(volume: [usize; 3], image: usize, axis: usize, rotations: &[Matrix3]) -> usize {
    let reach = |rotation: &Matrix3| -> f64 {
        (0..3)
            .map(|along| rotation[axis][along].abs() * center_index(volume[along]) as f64)
            .sum()
    };
    let farthest = rotations.iter().map(reach).fold(0.0, f64::max);
    let beside = (farthest.ceil() as usize) + center_index(image) + 4;
    kernel::odd_length(beside.max(image))
}

impl FourierProjector {
    /// A projector from volumes of `volume_size` `(x, y, z)` to images of `image_size` `(x, y)`; `oversampling` (in
    /// [`OVERSAMPLING`]) is how much finer than the volume's own the grid of its transform is.
    #[must_use]
    pub fn new(
        volume_size: [usize; 3],
        image_size: [usize; 2],
        angles: &[EulerAngles],
        oversampling: f64,
    ) -> Self {
        let sizes = Sizes {
            volume: volume_size,
            image: image_size,
        };
        let oversampling = oversampling.clamp(*OVERSAMPLING.start(), *OVERSAMPLING.end());
        let rotations: Vec<_> = angles.iter().map(|a| a.detector_from_sample()).collect();
        let geometry = if angles.iter().all(|angle| angle.is_single_axis()) {
            Geometry::SingleAxis(Box::new(SingleAxis::new(&sizes, oversampling, &rotations)))
        } else {
            Geometry::General(Box::new(General::new(&sizes, oversampling, &rotations)))
        };
        Self {
            sizes,
            tilts: angles.len(),
            geometry,
            instructions: Instructions::best(),
        }
    }

    /// Number of tilts.
    #[must_use]
    pub fn tilts(&self) -> usize {
        self.tilts
    }

    /// Stored y of the first voxel and the first pixel, and stored y in all: equal y lie at equal places. With one
    /// tilt axis only; else volume and images are stored as they are.
    fn stored_y(&self) -> (usize, usize, usize) {
        let (volume, image) = (self.sizes.volume[1], self.sizes.image[1]);
        let (a, b) = (center_index(volume), center_index(image));
        let (volume_y, image_y) = (b.saturating_sub(a), a.saturating_sub(b));
        let used = (volume_y + volume).max(image_y + image);
        (volume_y, image_y, used.next_multiple_of(2))
    }

    /// Pairs of slices; 1 where there are none.
    fn groups(&self) -> usize {
        match self.geometry {
            Geometry::SingleAxis(_) => self.stored_y().2 / 2,
            Geometry::General(_) => 1,
        }
    }

    /// Numbers of the volume's part of a group.
    fn volume_len(&self) -> usize {
        let [nx, ny, nz] = self.sizes.volume;
        match self.geometry {
            Geometry::SingleAxis(_) => 2 * nx * nz,
            Geometry::General(_) => nx * ny * nz,
        }
    }

    /// Numbers of an image's part of a group.
    fn image_len(&self) -> usize {
        let [px, py] = self.sizes.image;
        let len = match self.geometry {
            Geometry::SingleAxis(_) => 2 * px,
            Geometry::General(_) => px * py,
        };
        len.next_multiple_of(LINE)
    }

    /// A volume of zeros in working layout.
    #[must_use]
    pub fn new_volume(&self) -> WorkVolume {
        WorkVolume(Aligned::zeros(self.groups() * self.volume_len()))
    }

    /// A volume of ones in working layout.
    #[must_use]
    pub fn ones(&self) -> WorkVolume {
        self.load(|_, _, _| 1.0)
    }

    /// Images of zeros in working layout.
    #[must_use]
    pub fn new_images(&self) -> WorkImages {
        WorkImages(Aligned::zeros(
            self.groups() * self.tilts * self.image_len(),
        ))
    }

    /// Brings a volume `(x, y, z)` to working layout.
    #[must_use]
    pub fn load_volume(&self, data: &Array3<f32>) -> WorkVolume {
        self.load(|x, y, z| data[[x, y, z]])
    }

    fn load(&self, voxel: impl Fn(usize, usize, usize) -> f32) -> WorkVolume {
        let mut work = self.new_volume();
        for (x, y, z) in self.voxels() {
            work.0[self.voxel_at(x, y, z)] = voxel(x, y, z);
        }
        work
    }

    fn voxels(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let [nx, ny, nz] = self.sizes.volume;
        (0..nx).flat_map(move |x| (0..ny).flat_map(move |y| (0..nz).map(move |z| (x, y, z))))
    }

    /// Place of a voxel in working layout.
    #[inline]
    fn voxel_at(&self, x: usize, y: usize, z: usize) -> usize {
        let [_, ny, nz] = self.sizes.volume;
        match self.geometry {
            Geometry::SingleAxis(_) => {
                let y = y + self.stored_y().0;
                y / 2 * self.volume_len() + 2 * (x * nz + z) + y % 2
            }
            Geometry::General(_) => (x * nz + z) * ny + y,
        }
    }

    /// Place of a pixel in working layout.
    #[inline]
    fn pixel_at(&self, tilt: usize, x: usize, y: usize) -> usize {
        let (group, at) = self.pixel_in_part(x, y);
        (group * self.tilts + tilt) * self.image_len() + at
    }

    /// Group of a pixel, and its place in that group's part of an image.
    #[inline]
    fn pixel_in_part(&self, x: usize, y: usize) -> (usize, usize) {
        match self.geometry {
            Geometry::SingleAxis(_) => {
                let y = y + self.stored_y().1;
                (y / 2, 2 * x + y % 2)
            }
            Geometry::General(_) => (0, x * self.sizes.image[1] + y),
        }
    }

    /// Brings a volume back to `(x, y, z)`.
    #[must_use]
    pub fn store_volume(&self, work: &WorkVolume) -> Array3<f32> {
        Array3::from_shape_fn(self.sizes.volume, |(x, y, z)| {
            work.0[self.voxel_at(x, y, z)]
        })
    }

    /// Brings images `(tilt, x, y)` to working layout.
    #[must_use]
    pub fn load_images(&self, data: &ArrayView3<f32>) -> WorkImages {
        let mut work = self.new_images();
        for ((tilt, x, y), &value) in data.indexed_iter() {
            work.0[self.pixel_at(tilt, x, y)] = value;
        }
        work
    }

    /// Brings images back to `(tilt, x, y)`.
    #[must_use]
    pub fn store_images(&self, work: &WorkImages) -> Array3<f32> {
        let [px, py] = self.sizes.image;
        Array3::from_shape_fn((self.tilts, px, py), |(tilt, x, y)| {
            work.0[self.pixel_at(tilt, x, y)]
        })
    }

    /// Which of a pair's two slices there are, from the first stored y and the number of those that exist.
    fn exist(pair: usize, first: usize, count: usize) -> [bool; 2] {
        [2 * pair, 2 * pair + 1].map(|y| (first..first + count).contains(&y))
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
        let length = self.image_len();
        let geometry = match &self.geometry {
            Geometry::SingleAxis(geometry) => geometry,
            Geometry::General(general) => {
                let check = || monitor.check();
                return general.forward(
                    self.instructions,
                    &volume.0,
                    &mut images.0,
                    length,
                    &check,
                );
            }
        };
        let (_, image_y, _) = self.stored_y();
        images
            .0
            .par_chunks_mut((self.tilts * length).max(1))
            .zip(volume.0.par_chunks(self.volume_len().max(1)))
            .enumerate()
            .try_for_each(|(pair, (images, slices))| {
                monitor.check()?;
                let exist = Self::exist(pair, image_y, self.sizes.image[1]);
                // Positivity leaves some slices exactly empty.
                if exist == [false; 2] || is_empty(slices) {
                    images.fill(0.0);
                } else {
                    geometry.forward(self.instructions, slices, images, length);
                    clear(images, exist);
                }
                Ok(())
            })
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
        let check = || monitor.check();
        self.for_sums(images, volume, &check, |_, voxels, sum| {
            voxels.copy_from_slice(sum);
        })
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
        let check = || match monitor.check() {
            Err(Stopped::Abandon) => Err(Stopped::Abandon),
            Err(Stopped::Keep) | Ok(()) => Ok(()),
        };
        self.for_sums(images, volume, &check, take)
    }

    /// [`Self::adjoint_into`], stopped by `check`.
    fn for_sums(
        &self,
        images: &WorkImages,
        volume: &mut WorkVolume,
        check: general::Check,
        take: impl Fn(usize, &mut [f32], &[f32]) + Sync,
    ) -> Result<(), Stopped> {
        let length = self.image_len();
        let geometry = match &self.geometry {
            Geometry::SingleAxis(geometry) => geometry,
            Geometry::General(general) => {
                let instructions = self.instructions;
                return general.adjoint(
                    instructions,
                    &images.0,
                    length,
                    &mut volume.0,
                    check,
                    take,
                );
            }
        };
        let (volume_y, _, _) = self.stored_y();
        let len = self.volume_len().max(1);
        volume
            .0
            .par_chunks_mut(len)
            .zip(images.0.par_chunks((self.tilts * length).max(1)))
            .enumerate()
            .try_for_each(|(pair, (voxels, images))| {
                check()?;
                let exist = Self::exist(pair, volume_y, self.sizes.volume[1]);
                geometry.adjoint(self.instructions, images, length, |sum| {
                    clear(sum, exist);
                    take(pair * len, voxels, sum);
                });
                Ok(())
            })
    }

    /// Smooths every image; `transposed`: the transpose of that.
    pub fn blur(&self, images: &mut WorkImages, blur: &ImageBlur, transposed: bool) {
        blur.apply(self, images, transposed);
    }

    /// Variance (px², x and y) by which the projector widens a voxel: none.
    #[must_use]
    pub fn interpolation_variance(&self) -> [f64; 2] {
        [0.0; 2]
    }

    /// Subtracts `measured` from `images` and says how far they were apart, tilt by tilt; then zeroes the tilts that
    /// are not `fitted`.
    pub fn subtract(
        &self,
        images: &mut WorkImages,
        measured: &WorkImages,
        fitted: &[bool],
    ) -> Vec<Misfit> {
        let group = self.tilts * self.image_len();
        misfit::subtract(self.instructions, images, measured, group, fitted)
    }

    /// Zeroes the images of the tilts that are not `kept`.
    pub fn keep(&self, images: &mut WorkImages, kept: &[bool]) {
        misfit::keep(images, self.tilts * self.image_len(), kept);
    }

    /// Multiply-adds that a projection and its transpose cannot do without: half the `5 n log₂ n` operations of a fast
    /// transform of length n, and the kernels.
    #[must_use]
    pub fn multiply_adds(&self) -> f64 {
        match &self.geometry {
            Geometry::SingleAxis(geometry) => self.groups() as f64 * geometry.multiply_adds(),
            Geometry::General(general) => general.multiply_adds(),
        }
    }
}

impl Pixels for FourierProjector {
    fn images(&self) -> usize {
        self.tilts
    }

    fn image_size(&self) -> [usize; 2] {
        self.sizes.image
    }

    fn group(&self) -> usize {
        self.tilts * self.image_len()
    }

    fn read(&self, parts: &[&mut [f32]], x: usize, row: &mut [f32]) {
        for (y, value) in row.iter_mut().enumerate() {
            let (part, at) = self.pixel_in_part(x, y);
            *value = parts[part][at];
        }
    }

    fn write(&self, parts: &mut [&mut [f32]], x: usize, row: &[f32]) {
        for (y, value) in row.iter().enumerate() {
            let (part, at) = self.pixel_in_part(x, y);
            parts[part][at] = *value;
        }
    }
}

/// Host memory, bytes, that is taken besides volumes and images: the transforms of both, or every thread's plane and
/// the weights.
#[must_use]
pub fn memory_besides(
    [nx, ny, nz]: [usize; 3],
    image: [usize; 2],
    angles: &[EulerAngles],
    oversampling: f64,
) -> u64 {
    let rotations: Vec<_> = angles.iter().map(|a| a.detector_from_sample()).collect();
    let line = |axis: usize| period([nx, ny, nz], image[axis], axis, &rotations);
    let [mx, my, mz] = [nx, ny, nz].map(|n| plane::Axis::length(n, oversampling));
    let plane = (mx + kernel::MOST) * mz;
    let numbers = if angles.iter().all(|angle| angle.is_single_axis()) {
        rayon::current_num_threads() * (plane + nx * (mz + nz)) + 20 * angles.len() * line(0)
    } else {
        let planes = my / 2 + 1 + 2 * kernel::MOST;
        planes * plane + nx * (my / 2 + 1) * nz + angles.len() * line(0) * (line(1) / 2 + 1)
    };
    8 * numbers as u64
}

fn is_empty(values: &[f32]) -> bool {
    values.iter().fold(0u32, |bits, v| bits | v.to_bits()) == 0
}

/// Zeroes the slices of a pair that do not exist.
fn clear(pairs: &mut [f32], exist: [bool; 2]) {
    for (slice, exists) in exist.into_iter().enumerate() {
        if !exists {
            for value in pairs[slice..].iter_mut().step_by(2) {
                *value = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests;
