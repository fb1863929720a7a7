//! Alignment of a tilt series of an object that lies wholly inside its images.
//!
//! - Along the tilt axis y: the sum over x of every tilt is the same function of y (the common line). Each tilt's
//!   profile is moved until its cross-correlation with the mean of all is largest, to a fraction of a pixel by
//!   Newton steps on the correlation's Fourier series; the mean is renewed until nothing moves.
//! - Across it: the object's center of mass projects to the image's center.
//!
//! The article states the two directions the other way round; only this assignment holds for an axis along y.
//!
//! Images are moved by a Fourier shift with zero padding: the sum of the counts and the noise's spectrum stay.

use crate::model::{EulerAngles, center_index};
use crate::monitor::{Monitor, Stopped};
pub use crate::numeric::shift::{move_image, move_images as apply};
use ndarray::{Array2, Array3, ArrayView2};
use rayon::prelude::*;
use rustfft::{FftPlanner, num_complex::Complex64};
use std::f64::consts::TAU;

/// Rounds of profile matching; three to five are usual.
const MAX_ROUNDS: usize = 30;

/// How the images of a series lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Misalignment {
    /// How far to move each image along x and y so that the series is aligned, pixels.
    pub shifts_px: Vec<[f64; 2]>,
    /// Root mean square departure along x of the centers of mass from a rigid rotation, pixels.
    pub rms_x_px: f64,
    /// Root mean square scatter along y of the profiles, pixels.
    pub rms_y_px: f64,
    /// How far the tilt axis passes the images' centre along x as they were read, and its standard error, pixels; `None`
    /// where the tilts do not tell it from the place of the specimen.
    pub axis_offset_px: Option<[f64; 2]>,
    /// How far each profile lay from the common one along the axis, pixels; of mean zero.
    pub profile_shifts_px: Vec<f64>,
    /// Largest standard error, over tilts, that noise gives the center of mass and the profile's place, pixels.
    pub noise_px: f64,
    /// Correlation of each tilt's profile with the mean profile.
    pub agreement: Vec<f64>,
    /// Tilts whose profile disagrees with the others': damaged, empty or cut images.
    pub outliers: Vec<usize>,
    /// By how much a usual tilt's profile departs from the mean one (1 − correlation) along x and along y: the
    /// smaller one tells along which the tilt axis lies.
    pub departure: [f64; 2],
}

impl Misalignment {
    /// Whether the profiles speak for a tilt axis along x.
    #[must_use]
    pub fn axis_seems_along_x(&self) -> bool {
        const CLEARLY: f64 = 4.0;
        CLEARLY * self.departure[0] < self.departure[1]
    }
}

/// Measures the shifts of background-free `images` (shape `(tilt, x, y)`), looking only at `specimens`' pixels.
///
/// The tilt axis lies `turn` radians counter-clockwise from y; *along* and *across* mean that axis. `noise_sd` is the standard deviation of a pixel within the specimen, per tilt.
///
/// # Errors
/// A stop.
pub fn measure(
    images: &Array3<f32>,
    specimens: &[Array2<bool>],
    noise_sd: &[f64],
    angles: &[EulerAngles],
    turn: f64,
    monitor: &Monitor,
) -> Result<Misalignment, Stopped> {
    let (tilts, nx, ny) = images.dim();
    let masses: Vec<Mass> = (0..tilts)
        .into_par_iter()
        .map(|t| {
            Mass::of(
                images.index_axis(ndarray::Axis(0), t),
                &specimens[t],
                noise_sd[t],
                turn,
            )
        })
        .collect();
    monitor.check()?;
    let profiles = Profiles::new(masses.iter().map(|m| m.profile.as_slice()), ny);
    let (along, agreement) = profiles.align_from(None, monitor)?;
    let across = Profiles::new(masses.iter().map(|m| m.across.as_slice()), nx);
    let (_, agreement_across) = across.align_from(None, monitor)?;
    let profile_center = profiles.mean_center(&along);
    let offset_y = center_index(ny) as f64 - profile_center;
    let (sin, cos) = turn.sin_cos();
    let shifts_px: Vec<[f64; 2]> = masses
        .iter()
        .zip(&along)
        .map(|(mass, &y)| {
            let (across, along) = (center_index(nx) as f64 - mass.center_x, y + offset_y);
            [across * cos - along * sin, across * sin + along * cos]
        })
        .collect();
    let centers: Vec<f64> = masses
        .iter()
        .map(|m| m.center_x - center_index(nx) as f64)
        .collect();
    let noise_px = masses.iter().map(|m| m.error_px).fold(0.0, f64::max);
    let outliers = outliers(&agreement);
    // One bad image must not make a good series look misaligned.
    let good: Vec<usize> = (0..tilts).filter(|t| !outliers.contains(t)).collect();
    let good_centers: Vec<f64> = good.iter().map(|&t| centers[t]).collect();
    let good_angles: Vec<EulerAngles> = good.iter().map(|&t| angles[t]).collect();
    let good_along: Vec<f64> = good.iter().map(|&t| along[t]).collect();
    let mean_along = good_along.iter().sum::<f64>() / good.len().max(1) as f64;
    let scatter: Vec<f64> = good_along.iter().map(|y| y - mean_along).collect();
    Ok(Misalignment {
        rms_x_px: rigid_residual(&good_centers, &good_angles),
        rms_y_px: root_mean_square(&scatter),
        axis_offset_px: axis_offset(&good_centers, &good_angles),
        profile_shifts_px: along,
        shifts_px,
        noise_px,
        departure: [
            usual_departure(&agreement_across),
            usual_departure(&agreement),
        ],
        agreement,
        outliers,
    })
}

/// Median of 1 − correlation.
fn usual_departure(agreement: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = agreement.iter().map(|a| 1.0 - a).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Sums of one image over its specimen: along x for every y, and along y for every x.
struct Mass {
    center_x: f64,
    profile: Vec<f64>,
    across: Vec<f64>,
    error_px: f64,
}

/// Shares a value between the two bins beside a place.
fn share(bins: &mut [f64], place: f64, value: f64) {
    let low = place.floor();
    let part = place - low;
    for (bin, weight) in [(low, 1.0 - part), (low + 1.0, part)] {
        if weight > 0.0 && bin >= 0.0 && (bin as usize) < bins.len() {
            bins[bin as usize] += weight * value;
        }
    }
}

/// Places across and along an axis turned by `turn` from y, of the pixels of an image.
struct Turned {
    center: [f64; 2],
    sin: f64,
    cos: f64,
}

impl Turned {
    fn new((nx, ny): (usize, usize), turn: f64) -> Self {
        let (sin, cos) = turn.sin_cos();
        Self {
            center: [center_index(nx) as f64, center_index(ny) as f64],
            sin,
            cos,
        }
    }

    fn place(&self, (i, j): (usize, usize)) -> [f64; 2] {
        let [x, y] = [i as f64 - self.center[0], j as f64 - self.center[1]];
        [
            self.center[0] + x * self.cos + y * self.sin,
            self.center[1] - x * self.sin + y * self.cos,
        ]
    }
}

/// Sum of an image across an axis turned by `turn` radians from y, for every place along it, over the total.
///
/// Directions are compared by these profiles, so their blur must not depend on the direction: shared linearly between two
/// bins, the noise of a profile along y stays as it is while that of any other is smoothed, and y itself would look worst.
/// Cubic splines and a binomial filter smooth all alike.
pub(super) fn profile_of(
    image: ArrayView2<'_, f32>,
    specimen: &Array2<bool>,
    turn: f64,
) -> Vec<f64> {
    const BINOMIAL: [f64; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];
    let turned = Turned::new(image.dim(), turn);
    let bins = image.dim().1;
    let mut sharp = vec![0.0; bins];
    for (at, &value) in image.indexed_iter() {
        if specimen[at] {
            let place = turned.place(at)[1];
            let low = place.floor();
            let t = place - low;
            let weights = [
                (1.0 - t).powi(3),
                4.0 - 6.0 * t * t + 3.0 * t.powi(3),
                4.0 - 6.0 * (1.0 - t).powi(2) + 3.0 * (1.0 - t).powi(3),
                t.powi(3),
            ];
            for (k, weight) in weights.iter().enumerate() {
                let bin = low + k as f64 - 1.0;
                if bin >= 0.0 && (bin as usize) < bins {
                    sharp[bin as usize] += weight / 6.0 * f64::from(value);
                }
            }
        }
    }
    let total: f64 = sharp.iter().sum();
    let over = if total > 0.0 { 1.0 / total } else { 0.0 };
    (0..bins)
        .map(|at| {
            let near = BINOMIAL.iter().enumerate();
            let sum: f64 = near
                .filter_map(|(k, weight)| Some(weight * sharp.get((at + k).checked_sub(2)?)?))
                .sum();
            sum * over
        })
        .collect()
}

impl Mass {
    fn of(image: ArrayView2<'_, f32>, specimen: &Array2<bool>, noise_sd: f64, turn: f64) -> Self {
        let (nx, ny) = image.dim();
        let turned = Turned::new((nx, ny), turn);
        let mut profile = vec![0.0; ny];
        let mut across = vec![0.0; nx];
        let mut counted = vec![0.0; nx];
        for (at, &value) in image.indexed_iter() {
            if specimen[at] {
                let [aside, along] = turned.place(at);
                share(&mut profile, along, f64::from(value));
                share(&mut across, aside, f64::from(value));
                share(&mut counted, aside, 1.0);
            }
        }
        let total: f64 = across.iter().sum();
        if total <= 0.0 {
            return Self {
                center_x: center_index(nx) as f64,
                profile: vec![0.0; ny],
                across: vec![0.0; nx],
                error_px: f64::INFINITY,
            };
        }
        let center_x = across
            .iter()
            .enumerate()
            .map(|(i, a)| i as f64 * a)
            .sum::<f64>()
            / total;
        let spread: f64 = counted
            .iter()
            .enumerate()
            .map(|(i, n)| n * (i as f64 - center_x).powi(2))
            .sum();
        profile
            .iter_mut()
            .chain(&mut across)
            .for_each(|p| *p /= total);
        Self {
            center_x,
            profile,
            across,
            error_px: noise_sd * spread.sqrt() / total,
        }
    }
}

/// Fourier transforms of all profiles, zero padded against wrap-around.
pub(super) struct Profiles {
    ny: usize,
    length: usize,
    spectra: Vec<Vec<Complex64>>,
}

impl Profiles {
    pub(super) fn new<'a>(profiles: impl Iterator<Item = &'a [f64]>, ny: usize) -> Self {
        let length = (2 * ny).next_power_of_two();
        let fft = FftPlanner::new().plan_fft_forward(length);
        let spectra = profiles
            .map(|profile| {
                let mut line = vec![Complex64::default(); length];
                for (out, &value) in line.iter_mut().zip(profile) {
                    out.re = value;
                }
                fft.process(&mut line);
                line.truncate(length / 2);
                line
            })
            .collect();
        Self {
            ny,
            length,
            spectra,
        }
    }

    fn frequency(&self, k: usize) -> f64 {
        TAU * k as f64 / self.length as f64
    }

    /// Mean spectrum with each profile moved by its shift.
    fn mean(&self, shifts: &[f64]) -> Vec<Complex64> {
        let mut mean = vec![Complex64::default(); self.length / 2];
        for (spectrum, &shift) in self.spectra.iter().zip(shifts) {
            for (k, (m, value)) in mean.iter_mut().zip(spectrum).enumerate() {
                *m += value * Complex64::from_polar(1.0, -self.frequency(k) * shift);
            }
        }
        let n = self.spectra.len().max(1) as f64;
        mean.iter_mut().for_each(|m| *m /= n);
        mean
    }

    /// `c(s) = Σ Re(F R* e^{−iks})` without the constant term, and its first two derivatives.
    fn correlation(&self, spectrum: &[Complex64], reference: &[Complex64], shift: f64) -> [f64; 3] {
        let mut sums = [0.0; 3];
        for k in 1..spectrum.len() {
            let w = self.frequency(k);
            let term = spectrum[k] * reference[k].conj() * Complex64::from_polar(1.0, -w * shift);
            sums[0] += term.re;
            sums[1] += w * term.im;
            sums[2] -= w * w * term.re;
        }
        sums
    }

    /// The shift of one profile onto the reference: the best whole pixel within `reach` of `start`, then Newton steps.
    fn shift_onto(
        &self,
        spectrum: &[Complex64],
        reference: &[Complex64],
        start: f64,
        reach: i64,
    ) -> f64 {
        let score = |s: f64| self.correlation(spectrum, reference, s)[0];
        let mut best = start;
        let mut best_score = f64::NEG_INFINITY;
        for step in -2 * reach..=2 * reach {
            let s = start + 0.5 * step as f64;
            let value = score(s);
            if value > best_score {
                (best, best_score) = (s, value);
            }
        }
        let coarse = best;
        for _ in 0..20 {
            let [_, slope, curvature] = self.correlation(spectrum, reference, best);
            if curvature >= 0.0 {
                break;
            }
            let step = (-slope / curvature).clamp(-0.25, 0.25);
            best += step;
            if step.abs() < 1e-6 {
                break;
            }
        }
        // A Newton iteration that leaves its half pixel has found something else.
        if (best - coarse).abs() <= 1.0 {
            best
        } else {
            coarse
        }
    }

    /// Shifts of mean zero that bring all profiles together, and each one's correlation with the mean; from anywhere, or
    /// from shifts that are nearly right.
    pub(super) fn align_from(
        &self,
        start: Option<&[f64]>,
        monitor: &Monitor,
    ) -> Result<(Vec<f64>, Vec<f64>), Stopped> {
        let n = self.spectra.len();
        let (mut shifts, mut reference) = match start {
            Some(shifts) => (shifts.to_vec(), self.mean(shifts)),
            // The middle image of a series is the one nearest zero tilt, the thinnest view and the sharpest profile.
            None => (
                vec![0.0; n],
                self.spectra.get(n / 2).cloned().unwrap_or_default(),
            ),
        };
        for round in 0..MAX_ROUNDS {
            monitor.check()?;
            let reach = match (round, start) {
                (0, None) => self.ny as i64 / 2,
                (0, Some(_)) => 3,
                _ => 1,
            };
            let mut next: Vec<f64> = (0..n)
                .into_par_iter()
                .map(|t| self.shift_onto(&self.spectra[t], &reference, shifts[t], reach))
                .collect();
            let mean = next.iter().sum::<f64>() / n.max(1) as f64;
            next.iter_mut().for_each(|s| *s -= mean);
            let moved = next
                .iter()
                .zip(&shifts)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max);
            shifts = next;
            reference = self.mean(&shifts);
            if moved < 1e-3 {
                break;
            }
        }
        let norm = |s: &[Complex64]| {
            s[1..]
                .iter()
                .map(Complex64::norm_sqr)
                .sum::<f64>()
                .sqrt()
                .max(1e-300)
        };
        let agreement = (0..n)
            .map(|t| {
                let c = self.correlation(&self.spectra[t], &reference, shifts[t])[0];
                c / (norm(&self.spectra[t]) * norm(&reference))
            })
            .collect();
        Ok((shifts, agreement))
    }

    /// Center of mass of the mean profile.
    fn mean_center(&self, shifts: &[f64]) -> f64 {
        let mean = self.mean(shifts);
        let mut line: Vec<Complex64> = mean.clone();
        line.push(Complex64::default());
        line.extend(mean[1..].iter().rev().map(Complex64::conj));
        FftPlanner::new()
            .plan_fft_inverse(self.length)
            .process(&mut line);
        // The padding is split between both ends, so that a profile moved below zero keeps its place.
        let half = (self.length - self.ny) / 2;
        let (mut sum, mut moment) = (0.0, 0.0);
        for (index, value) in line.iter().enumerate() {
            let place = if index < self.length - half {
                index as f64
            } else {
                index as f64 - self.length as f64
            };
            sum += value.re;
            moment += place * value.re;
        }
        if sum.abs() > 1e-300 {
            moment / sum
        } else {
            center_index(self.ny) as f64
        }
    }
}

fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

/// Constant of the best fit `c + X cos θ − Z sin θ` to the centers, and its standard error. The constant is told from the
/// cosine only by a wide range of tilts.
fn axis_offset(centers: &[f64], angles: &[EulerAngles]) -> Option<[f64; 2]> {
    use crate::numeric::fit::{invert_definite, least_squares};
    let rows: Vec<Vec<f64>> = angles
        .iter()
        .map(|angle| vec![1.0, angle.theta.cos(), -angle.theta.sin()])
        .collect();
    let freedom = rows.len().checked_sub(3).filter(|n| *n > 0)?;
    let fitted = least_squares(&rows, centers, &vec![1.0; rows.len()])?;
    let squares: f64 = rows
        .iter()
        .zip(centers)
        .map(|(row, center)| {
            let model: f64 = row.iter().zip(&fitted).map(|(r, f)| r * f).sum();
            (center - model).powi(2)
        })
        .sum();
    let normal: Vec<f64> = (0..9)
        .map(|k| rows.iter().map(|row| row[k / 3] * row[k % 3]).sum())
        .collect();
    let inverse = invert_definite(&normal, 3)?;
    let error = (inverse[0] * squares / freedom as f64).sqrt();
    error.is_finite().then_some([fitted[0], error])
}

/// What remains of the centers after the best rigid point `X cos θ − Z sin θ` is taken away.
fn rigid_residual(centers: &[f64], angles: &[EulerAngles]) -> f64 {
    let (mut cc, mut cs, mut ss, mut cy, mut sy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (&y, angle) in centers.iter().zip(angles) {
        let (s, c) = angle.theta.sin_cos();
        cc += c * c;
        cs += c * s;
        ss += s * s;
        cy += c * y;
        sy += s * y;
    }
    let determinant = cc * ss - cs * cs;
    let (a, b) = if determinant > 1e-9 {
        (
            (ss * cy - cs * sy) / determinant,
            (cc * sy - cs * cy) / determinant,
        )
    } else {
        (cy / cc.max(1e-9), 0.0)
    };
    let left: Vec<f64> = centers
        .iter()
        .zip(angles)
        .map(|(&y, angle)| y - a * angle.theta.cos() - b * angle.theta.sin())
        .collect();
    root_mean_square(&left)
}

/// Tilts whose agreement lies more than six robust standard deviations (and 0.02) below the median.
fn outliers(agreement: &[f64]) -> Vec<usize> {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    let middle = median(agreement.to_vec());
    let spread = 1.4826 * median(agreement.iter().map(|a| (a - middle).abs()).collect());
    (0..agreement.len())
        .filter(|&i| agreement[i] < middle - f64::max(6.0 * spread, 0.02))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Projections of three Gaussian balls, moved by known shifts.
    fn series(shifts: &[[f64; 2]]) -> (Array3<f32>, Vec<EulerAngles>) {
        let balls = [
            ([0.0, 0.0, 0.0], 6.0),
            ([9.0, 7.0, -4.0], 3.0),
            ([-6.0, 3.0, 8.0], 2.0),
        ];
        let angles: Vec<EulerAngles> = (0..shifts.len())
            .map(|t| EulerAngles::from_tilt_deg(-60.0 + 12.0 * t as f64))
            .collect();
        let images = Array3::from_shape_fn((shifts.len(), 80, 75), |(t, i, j)| {
            balls
                .iter()
                .map(|(place, width)| {
                    let seen =
                        crate::model::geometry::apply(&angles[t].detector_from_sample(), *place);
                    let dx = i as f64 - 40.0 - shifts[t][0] - seen[0];
                    let dy = j as f64 - 37.0 - shifts[t][1] - seen[1];
                    50.0 * (-(dx * dx + dy * dy) / (2.0 * width * width)).exp()
                })
                .sum::<f64>() as f32
        });
        (images, angles)
    }

    #[test]
    fn planted_shifts_are_measured_and_undone() {
        let shifts: Vec<[f64; 2]> = (0..11)
            .map(|t| {
                [
                    4.0 * (1.3 * f64::from(t)).sin(),
                    3.5 * (0.7 * f64::from(t)).cos() - 1.0,
                ]
            })
            .collect();
        let (mut images, angles) = series(&shifts);
        let everything = vec![Array2::from_elem((80, 75), true); 11];
        let found = measure(
            &images,
            &everything,
            &[0.0; 11],
            &angles,
            0.0,
            &Monitor::silent(),
        )
        .expect("not stopped");
        assert!(found.outliers.is_empty());
        assert!(found.rms_x_px > 2.0 && found.rms_y_px > 2.0);
        apply(&mut images, &found.shifts_px, &Monitor::silent()).expect("not stopped");
        let after = measure(
            &images,
            &everything,
            &[0.0; 11],
            &angles,
            0.0,
            &Monitor::silent(),
        )
        .expect("not stopped");
        assert!(after.rms_x_px < 0.01, "x {}", after.rms_x_px);
        assert!(after.rms_y_px < 0.01, "y {}", after.rms_y_px);
        // Up to one common offset along y the shifts are minus the planted ones.
        let offset = found.shifts_px[0][1] + shifts[0][1];
        for (f, s) in found.shifts_px.iter().zip(&shifts) {
            assert!((f[1] + s[1] - offset).abs() < 0.01);
        }
    }

    #[test]
    fn an_image_of_something_else_is_flagged() {
        let (mut images, angles) = series(&[[0.0; 2]; 11]);
        for j in 0..75 {
            for i in 0..80 {
                images[[4, i, j]] = if (10..14).contains(&j) || (50..53).contains(&j) {
                    30.0
                } else {
                    0.0
                };
            }
        }
        let everything = vec![Array2::from_elem((80, 75), true); 11];
        let found = measure(
            &images,
            &everything,
            &[0.0; 11],
            &angles,
            0.0,
            &Monitor::silent(),
        )
        .expect("not stopped");
        assert_eq!(found.outliers, [4]);
    }
}
