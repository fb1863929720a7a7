//! Questions asked of single images: how wide is a feature, what did the beam do to the specimen, what was the dose.

use crate::model::{EulerAngles, TiltSeries};
use crate::numeric::registration::Spectrum;
use crate::numeric::shift::move_image;
use ndarray::{Array3, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

/// Images tilted by less than this are taken to show the specimen from the same side, degrees.
const SAME_VIEW_DEG: f64 = 1.0;
/// Low-pass of the comparison, pixels (standard deviation).
const LOW_PASS_PX: f64 = 1.0;
/// Electrons per second of one picoampere.
const ELECTRONS_PER_PA: f64 = 1e-12 / 1.602_176_634e-19;

/// Intensity along a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineProfile {
    /// Distance from the line's beginning, pixels; steps of about one.
    pub distance_px: Vec<f64>,
    /// Mean count over the line's width.
    pub values: Vec<f64>,
}

/// A peak of a profile above the line through the profile's ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ProfilePeak {
    /// Middle between the two places of half height, pixels from the line's beginning.
    pub middle_px: f64,
    /// Full width at half maximum, pixels.
    pub fwhm_px: f64,
    /// Height above the base.
    pub height: f64,
}

/// Intensity of an image from one place to another (pixels, `(x, y)`), averaged over `width_px` across the line,
/// interpolated linearly; places outside the image are left out. `None` for a line without length or samples.
#[must_use]
pub fn line_profile(
    image: ArrayView2<'_, f32>,
    from: [f64; 2],
    to: [f64; 2],
    width_px: f64,
) -> Option<LineProfile> {
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = along[0].hypot(along[1]);
    // A line beyond this leaves every image.
    if !(length > 0.0 && length < 1e6 && (0.0..1e4).contains(&width_px)) {
        return None;
    }
    let unit = along.map(|v| v / length);
    let steps = length.round().max(1.0) as usize;
    let across = width_px.floor().max(1.0) as usize;
    let mut profile = LineProfile {
        distance_px: Vec::with_capacity(steps + 1),
        values: Vec::with_capacity(steps + 1),
    };
    for k in 0..=steps {
        let distance = length * k as f64 / steps as f64;
        let (mut sum, mut count) = (0.0, 0.0);
        for m in 0..across {
            let aside = m as f64 - (across as f64 - 1.0) / 2.0;
            let place = [
                from[0] + unit[0] * distance - unit[1] * aside,
                from[1] + unit[1] * distance + unit[0] * aside,
            ];
            if let Some(value) = linear_at(image, place) {
                sum += value;
                count += 1.0;
            }
        }
        if count > 0.0 {
            profile.distance_px.push(distance);
            profile.values.push(sum / count);
        }
    }
    (!profile.values.is_empty()).then_some(profile)
}

fn linear_at(image: ArrayView2<'_, f32>, place: [f64; 2]) -> Option<f64> {
    let (nx, ny) = image.dim();
    let inside = |v: f64, n: usize| v >= 0.0 && v <= n as f64 - 1.0;
    if !(inside(place[0], nx) && inside(place[1], ny)) {
        return None;
    }
    let base = place.map(|v| v.floor() as usize);
    let share = [place[0] - base[0] as f64, place[1] - base[1] as f64];
    let at = |i: usize, j: usize| f64::from(image[[i.min(nx - 1), j.min(ny - 1)]]);
    let row = |i: usize| at(i, base[1]) * (1.0 - share[1]) + at(i, base[1] + 1) * share[1];
    Some(row(base[0]) * (1.0 - share[0]) + row(base[0] + 1) * share[0])
}

impl LineProfile {
    /// The highest peak above the line between the profile's ends; `None` when it does not fall to half its height on
    /// both sides, or is lower than its ends differ: then it is the flank of a larger one.
    #[must_use]
    pub fn peak(&self) -> Option<ProfilePeak> {
        let n = self.values.len();
        let (first, last) = (*self.values.first()?, *self.values.last()?);
        let base = |k: usize| first + (last - first) * k as f64 / (n.max(2) - 1) as f64;
        let above: Vec<f64> = (0..n).map(|k| self.values[k] - base(k)).collect();
        let top = (0..n).max_by(|&a, &b| above[a].total_cmp(&above[b]))?;
        let half = above[top] / 2.0;
        if !(half > 0.0 && half.is_finite()) || above[top] < (last - first).abs() {
            return None;
        }
        // Between sample k below half and sample m above it.
        let crossing = |k: usize, m: usize| {
            let share = (half - above[k]) / (above[m] - above[k]);
            self.distance_px[k] + share * (self.distance_px[m] - self.distance_px[k])
        };
        let left = (0..top).rev().find(|&k| above[k] < half)?;
        let right = (top + 1..n).find(|&k| above[k] < half)?;
        let (low, high) = (crossing(left, left + 1), crossing(right, right - 1));
        Some(ProfilePeak {
            middle_px: 0.5 * (low + high),
            fwhm_px: high - low,
            height: above[top],
        })
    }
}

/// A later image of the same side against the first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Damage {
    /// Number of the image in the series, from 0.
    pub image: usize,
    /// Its tilt, degrees.
    pub tilt_deg: f64,
    /// Correlation with the first such image at the best shift: 1 for the same specimen without noise.
    pub correlation: f64,
    /// What that correlation would be of the same specimen with the noise of both images; `None` where that is not known.
    #[serde(default)]
    pub expected_correlation: Option<f64>,
    /// Its sum over that of the first: mass lost or gained.
    pub intensity_ratio: f64,
    /// Standard error that noise gives this ratio; `None` where the noise is not known.
    #[serde(default)]
    pub intensity_error: Option<f64>,
}

/// The images taken at (nearly) zero tilt.
pub(super) fn same_views(angles: &[EulerAngles], included: &[bool]) -> Vec<usize> {
    let at_zero = |tilt: usize| angles[tilt].theta.to_degrees().abs() < SAME_VIEW_DEG;
    let tilts = 0..angles.len();
    tilts.filter(|&t| included[t] && at_zero(t)).collect()
}

/// Compares the images `(tilt, x, y)` taken at (nearly) zero tilt with the first of them. Empty when there is only one.
/// `noise` is the mean variance of the noise of a pixel of each image, where it is known: of two images of one specimen with
/// variances `V` and noises `N` the correlation is `√((1 − N₁/V₁)(1 − N₂/V₂))`.
#[must_use]
pub fn damage(
    images: &Array3<f32>,
    angles: &[EulerAngles],
    included: &[bool],
    noise: Option<&[f64]>,
) -> Vec<Damage> {
    let tilt_deg = |tilt: usize| angles[tilt].theta.to_degrees();
    let views = same_views(angles, included);
    let (_, nx, ny) = images.dim();
    let [first, later @ ..] = views.as_slice() else {
        return Vec::new();
    };
    if later.is_empty() || nx < 16 || ny < 16 {
        return Vec::new();
    }
    let image = |tilt: usize| images.index_axis(Axis(0), tilt);
    let reference = Spectrum::of(image(*first), LOW_PASS_PX).moved([0.0; 2]);
    let sum = |tilt: usize| image(tilt).iter().map(|&v| f64::from(v)).sum::<f64>();
    later
        .iter()
        .map(|&tilt| {
            let limit = nx.min(ny) as f64 / 4.0;
            let spectrum = Spectrum::of(image(tilt), LOW_PASS_PX);
            let moved = spectrum.displacement_from(&reference, [0.0; 2], true, limit);
            let [correlation, first_variance, later_variance] =
                overlap_correlation(image(*first), image(tilt), moved);
            let ratio = sum(tilt) / sum(*first);
            let expected = noise.map(|noise| {
                let signal = |tilt: usize, variance: f64| (1.0 - noise[tilt] / variance).max(0.0);
                (signal(*first, first_variance) * signal(tilt, later_variance)).sqrt()
            });
            let error = noise.map(|noise| {
                let share = |tilt: usize| noise[tilt] * (nx * ny) as f64 / sum(tilt).powi(2);
                ratio.abs() * (share(*first) + share(tilt)).sqrt()
            });
            Damage {
                image: tilt,
                tilt_deg: tilt_deg(tilt),
                correlation,
                expected_correlation: expected.filter(|e| e.is_finite()),
                intensity_ratio: ratio,
                intensity_error: error.filter(|e| e.is_finite()),
            }
        })
        .collect()
}

/// One sentence about the last image of the same side, if there is one.
pub(super) fn damage_note(damage: &[Damage]) -> Option<String> {
    let last = damage.last()?;
    let alone = last.expected_correlation.map_or(String::new(), |expected| {
        format!(" ({expected:.3} by noise alone)")
    });
    let error = last
        .intensity_error
        .map_or(String::new(), |error| format!(" ± {:.1}", 100.0 * error));
    Some(format!(
        "Damage: image {} at {:.1}° correlates with the first of that side by {:.3}{alone} and has {:.1}{error} % of its \
         counts",
        last.image + 1,
        last.tilt_deg,
        last.correlation,
        100.0 * last.intensity_ratio
    ))
}

/// Correlation of two images over their overlap, the second lying `moved` pixels from the first, and the variance of
/// either there. The second is moved back by Fourier shifts: interpolation would take noise away.
fn overlap_correlation(
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    moved: [f64; 2],
) -> [f64; 3] {
    let mut b = b.to_owned();
    move_image(b.view_mut(), moved.map(|m| -m));
    let size = [a.dim().0, a.dim().1];
    let inside = |axis: usize, at: usize| {
        let from = at as f64 + moved[axis];
        from >= 0.0 && from <= (size[axis] - 1) as f64
    };
    let (mut n, mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (((i, j), &a), &b) in a.indexed_iter().zip(&b) {
        if inside(0, i) && inside(1, j) {
            let (a, b) = (f64::from(a), f64::from(b));
            n += 1.0;
            sa += a;
            sb += b;
            saa += a * a;
            sbb += b * b;
            sab += a * b;
        }
    }
    let n = f64::max(n, 1.0);
    let (va, vb) = (saa / n - (sa / n).powi(2), sbb / n - (sb / n).powi(2));
    let spread = va * vb;
    let correlation = if spread > 0.0 {
        (sab / n - sa / n * (sb / n)) / spread.sqrt()
    } else {
        0.0
    };
    [correlation, va, vb]
}

/// The microscope, as far as its files do not tell it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct Beam {
    /// Beam current, pA: gives the dose of an image
    #[arg(long, value_name = "PA")]
    pub current_pa: Option<f64>,
    /// Dwell time, µs [default: the file's]
    #[arg(long, value_name = "US")]
    pub dwell_us: Option<f64>,
    /// Pixel size, Å [default: the file's]
    #[arg(long, value_name = "Å")]
    pub pixel_size: Option<f64>,
    /// Frames of each image
    #[arg(long, value_name = "N")]
    pub frames: Option<usize>,
    /// Images of the series [default: the file's angles]
    #[arg(long, value_name = "N")]
    pub tilts: Option<usize>,
    /// Inner angle of the annular detector, mrad: names the detector
    #[arg(long, value_name = "MRAD", requires = "convergence_mrad")]
    pub inner_mrad: Option<f64>,
    /// Convergence semi-angle of the beam, mrad
    #[arg(long, value_name = "MRAD", requires = "inner_mrad")]
    pub convergence_mrad: Option<f64>,
}

/// What an image was taken with, from what the microscope's files and the user say.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Exposure {
    /// Electrons per Å² of one image, all its frames together.
    #[serde(rename = "dose_e_per_A2")]
    pub dose: Option<f64>,
    /// The same of the tilts that take part.
    #[serde(rename = "total_dose_e_per_A2")]
    pub total_dose: Option<f64>,
    /// Electrons per Å² and second, averaged over the scanned field while an image is taken.
    #[serde(rename = "dose_rate_e_per_A2_s")]
    pub dose_rate: Option<f64>,
    /// What the annular detector shows.
    pub detector: Option<&'static str>,
    /// Inner angle over convergence semi-angle.
    pub inner_over_convergence: Option<f64>,
}

/// The exposure of a series; what neither its files nor `beam` say is left open.
#[must_use]
pub fn exposure(series: &TiltSeries, beam: &Beam) -> Exposure {
    let known = |value: Option<f64>| value.filter(|v| v.is_finite() && *v > 0.0);
    let frames = series.frames.as_ref();
    let dwell = known(beam.dwell_us.or(frames.and_then(|f| f.scan.dwell_us)));
    let pixel = known(series.pixel_size);
    let count = beam
        .frames
        .or(frames.map(|f| f.per_tilt))
        .unwrap_or(1)
        .max(1);
    let dose = match (known(beam.current_pa), dwell, pixel) {
        (Some(current), Some(dwell), Some(pixel)) => {
            Some(dose_per_image(current, dwell, pixel, count))
        }
        _ => None,
    };
    let [nx, ny] = series.image_size();
    let seconds = dwell.map(|us| us * 1e-6 * (nx * ny * count) as f64);
    let ratio = known(beam.inner_mrad)
        .zip(known(beam.convergence_mrad))
        .map(|(inner, convergence)| inner / convergence);
    Exposure {
        dose,
        total_dose: dose.map(|dose| dose * series.included_tilts().len() as f64),
        dose_rate: dose.zip(seconds).map(|(dose, seconds)| dose / seconds),
        detector: ratio.map(|ratio| detector_label(ratio, 1.0)),
        inner_over_convergence: ratio,
    }
}

/// Electrons per Å² of one image: beam current (pA), dwell time (µs) and pixel size (Å), times the frames of a tilt.
#[must_use]
pub fn dose_per_image(current_pa: f64, dwell_us: f64, pixel_size: f64, frames: usize) -> f64 {
    current_pa * ELECTRONS_PER_PA * dwell_us * 1e-6 * frames as f64 / (pixel_size * pixel_size)
}

/// What an annular detector shows, by its inner angle over the convergence semi-angle (both in mrad).
#[must_use]
pub fn detector_label(inner_mrad: f64, convergence_mrad: f64) -> &'static str {
    match inner_mrad / convergence_mrad {
        ratio if ratio >= 3.0 => "HAADF",
        ratio if ratio >= 1.0 => "ADF/MAADF",
        _ => "bright-field disk on the detector",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn spot(n: usize, place: [f64; 2], sigma: f64) -> Array2<f32> {
        Array2::from_shape_fn((n, n), |(i, j)| {
            let d2 = (i as f64 - place[0]).powi(2) + (j as f64 - place[1]).powi(2);
            (5.0 + 100.0 * (-0.5 * d2 / (sigma * sigma)).exp()) as f32
        })
    }

    #[test]
    fn a_gaussian_has_its_width_in_every_direction() {
        let image = spot(64, [30.0, 33.0], 4.0);
        let expected = 4.0 * (8.0 * 2f64.ln()).sqrt();
        for turn in [0.0f64, 0.4, 1.2] {
            let away = [22.0 * turn.cos(), 22.0 * turn.sin()];
            let from = [30.0 - away[0], 33.0 - away[1]];
            let to = [30.0 + away[0], 33.0 + away[1]];
            let profile = line_profile(image.view(), from, to, 1.0).unwrap();
            let peak = profile.peak().unwrap();
            assert!(
                (peak.fwhm_px - expected).abs() < 0.1,
                "{peak:?} instead of {expected}"
            );
            assert!((peak.middle_px - 22.0).abs() < 0.05 && (peak.height - 100.0).abs() < 1.0);
        }
        let edge = line_profile(image.view(), [30.0, 33.0], [30.0, 60.0], 3.0).unwrap();
        assert_eq!(edge.peak(), None, "half a peak has no width");
        assert!(line_profile(image.view(), [3.0, 3.0], [3.0, 3.0], 1.0).is_none());
        assert!(line_profile(image.view(), [-30.0, 0.0], [-10.0, 0.0], 1.0).is_none());
    }

    #[test]
    fn damage_shows_as_lost_correlation_and_mass() {
        let first = spot(48, [20.0, 24.0], 3.0) + spot(48, [31.0, 20.0], 3.0);
        let moved = spot(48, [22.3, 24.0], 3.0) + spot(48, [33.3, 20.0], 3.0);
        let molten = spot(48, [22.3, 24.0], 3.0) + spot(48, [25.0, 33.0], 3.0) * 0.5;
        let mut images = Array3::zeros((4, 48, 48));
        for (mut slot, image) in images
            .outer_iter_mut()
            .zip([&first, &first, &moved, &molten])
        {
            slot.assign(image);
        }
        let angles = [0.0, 40.0, 0.2, -0.1]
            .map(EulerAngles::from_tilt_deg)
            .to_vec();
        let found = damage(&images, &angles, &[true; 4], None);
        assert_eq!([found[0].image, found[1].image], [2, 3]);
        assert!(found[0].correlation > 0.99 && (found[0].intensity_ratio - 1.0).abs() < 0.01);
        assert!(
            found[1].correlation < 0.8 && found[1].intensity_ratio < 0.9,
            "{found:?}"
        );
    }

    #[test]
    fn the_same_specimen_correlates_as_its_noise_lets_it() {
        use rand::{SeedableRng, rngs::StdRng};
        use rand_distr::{Distribution, Poisson};
        let mut rng = StdRng::seed_from_u64(8);
        let places = (0..40).map(|k| [8 + (k * 37) % 80, 8 + (k * 53) % 80]);
        let bright = places.fold(Array2::zeros((96, 96)), |sum: Array2<f32>, [x, y]| {
            sum + spot(96, [x as f64, y as f64], 2.5)
        });
        for counts in [0.02f32, 0.1, 1.0] {
            let mut images = Array3::zeros((2, 96, 96));
            for (mut slot, shift) in images.outer_iter_mut().zip([0.0, 1.5]) {
                let mut mean = &bright * counts;
                crate::numeric::shift::move_image(mean.view_mut(), [shift, 0.0]);
                slot.zip_mut_with(&mean, |pixel, &mean| {
                    let poisson = Poisson::new(f64::from(mean.max(1e-6))).expect("positive");
                    *pixel = poisson.sample(&mut rng) as f32;
                });
            }
            // The variance of counts is their mean.
            let noise: Vec<f64> = images
                .outer_iter()
                .map(|image| f64::from(image.mean().expect("not empty")))
                .collect();
            let angles = vec![EulerAngles::from_tilt_deg(0.0); 2];
            let found = damage(&images, &angles, &[true; 2], Some(&noise))[0];
            let expected = found.expected_correlation.expect("known noise");
            // Correlations of 9,216 noisy pixels scatter by a hundredth.
            assert!((found.correlation - expected).abs() < 0.03, "{found:?}");
            let error = found.intensity_error.expect("known noise");
            // Two of a hundred counts leave the image with the shift.
            assert!(
                (found.intensity_ratio - 1.0).abs() < 0.02 + 4.0 * error,
                "{found:?}"
            );
        }
    }

    #[test]
    fn dose_and_detector_follow_from_their_definitions() {
        // 1 pA for 1 µs are 6.2415 electrons.
        let dose = dose_per_image(10.0, 5.0, 0.5, 3);
        assert!(
            (dose - 6.241_509 * 50.0 * 3.0 / 0.25).abs() < 1e-2,
            "{dose}"
        );
        let images = Array3::zeros((3, 10, 20));
        let mut series = TiltSeries::new("x", images, vec![EulerAngles::default(); 3], Some(0.5));
        series.included[2] = false;
        let beam = Beam {
            current_pa: Some(10.0),
            dwell_us: Some(5.0),
            frames: Some(3),
            inner_mrad: Some(39.4),
            convergence_mrad: Some(21.4),
            ..Beam::default()
        };
        let found = exposure(&series, &beam);
        assert!((found.dose.unwrap() - dose).abs() < 1e-9 * dose);
        assert!((found.total_dose.unwrap() - 2.0 * dose).abs() < 1e-9 * dose);
        // 200 pixels of 5 µs, three times: 3 ms.
        assert!((found.dose_rate.unwrap() - dose / 3e-3).abs() < 1e-6 * dose / 3e-3);
        assert_eq!(found.detector, Some("ADF/MAADF"));
        assert_eq!(exposure(&series, &Beam::default()), Exposure::default());
        assert_eq!(detector_label(90.0, 30.0), "HAADF");
        assert_eq!(detector_label(39.0, 30.0), "ADF/MAADF");
        assert!(detector_label(10.0, 30.0).starts_with("bright"));
    }
}
