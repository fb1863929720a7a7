//! The true size of a pixel from images of a crystal whose lattice is known.
//!
//! 1. The image is faded out by a Gaussian, so that every spot of its Fourier transform is a Gaussian too; the spots
//!    that stand out of the noise are located by Gaussian fits (`spots`).
//! 2. They are given the indices of the crystal's reflections seen along the zone axis (`crystal`): pairs of spots are
//!    tried as pairs of reflections, and the pair wins that explains most.
//! 3. A linear map M from reflections (cycles/Å) to spots (cycles/pixel) is fitted. Drift during the scan stretches an
//!    image along the slow axis and shears the fast one with it, but leaves every line as it is: the component of M
//!    along the fast axis is the pixel size whatever the drift, `p = |M_fast|`, and the rest of M gives the drift.
//!
//! The result is the mean over the images, its standard error the larger of their scatter and the scatter of the scan
//! rotations, since the scan coils' errors are common to all images of one rotation. The nominal size is kept beside it.

mod crystal;
mod spots;

pub use crystal::Crystal;

use super::PrepareError;
use crate::monitor::Monitor;
use crate::numeric::fit::{invert_definite, least_squares};
use crystal::Reflection;
use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use spots::Spot;

/// Scan rotations closer than this are one, degrees.
const SAME_ROTATION_DEG: f64 = 0.5;
/// Directions of the crystal closer than this are one: drift turns it by tenths of a degree.
const SAME_DIRECTION_DEG: f64 = 2.0;
/// Spots further than this from where the lattice puts them are other things, in units of a spot's own width.
const REACH_WIDTHS: f64 = 1.5;
/// Fewest reflections (of a pair ±g one) that a pixel size may rest on.
const FEWEST_SPOTS: usize = 3;
/// Spots tried in pairs against the innermost reflections.
const TRIED_SPOTS: usize = 10;
const TRIED_REFLECTIONS: usize = 8;

/// Parameters of the calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct CalibrateParams {
    /// The crystal: a symbol (Si, Ge, Au, Pt, …) or lattice:constant in Å, e.g. fcc:4.078 (sc, bcc, fcc, diamond)
    #[arg(long, default_value_t = Self::default().crystal)]
    pub crystal: String,
    /// Zone axis along the beam, e.g. 110 or 1,-1,2
    #[arg(long, default_value_t = Self::default().zone, allow_hyphen_values = true)]
    pub zone: String,
    /// Largest relative error of the nominal pixel size
    #[arg(long, default_value_t = Self::default().tolerance)]
    pub tolerance: f64,
    /// The lines of the scan run down the image's columns
    #[arg(long)]
    pub vertical_lines: bool,
}

impl Default for CalibrateParams {
    fn default() -> Self {
        Self {
            crystal: "Si".to_owned(),
            zone: "110".to_owned(),
            tolerance: 0.12,
            vertical_lines: false,
        }
    }
}

/// An image of the crystal.
#[derive(Debug, Clone, PartialEq)]
pub struct CrystalImage {
    /// What the user calls it.
    pub name: String,
    /// Counts, `(row, column)`.
    pub image: Array2<f32>,
    /// Edge of a pixel as the microscope states it, Å.
    pub nominal: f64,
    /// Scan rotation, degrees, if known.
    pub scan_rotation_deg: Option<f64>,
}

/// A reflection of the crystal in the spectrum of an image, as a Gaussian fit found it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SpotFit {
    /// Its Miller indices; of ±g the one that lies in the searched half plane may be the other.
    pub hkl: [i32; 3],
    /// Distance of its lattice planes, Å.
    #[serde(rename = "spacing_A")]
    pub spacing: f64,
    /// Middle of the Gaussian, cycles per pixel along rows (down) and columns (right).
    pub wave: [f64; 2],
    /// Standard deviations of the Gaussian along both, cycles per pixel.
    pub width: [f64; 2],
    /// Amplitude over the mean amplitude of the noise.
    pub amplitude: f64,
    /// Distance from where the fitted lattice puts it, cycles per pixel.
    pub off: f64,
}

/// What one image says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageCalibration {
    /// Name of the image.
    pub name: String,
    /// Pixel size, Å.
    #[serde(rename = "pixel_size_A")]
    pub pixel_size: f64,
    /// Its standard error from the scatter of the spots, Å.
    #[serde(rename = "standard_error_A")]
    pub standard_error: f64,
    /// Nominal pixel size, Å.
    #[serde(rename = "nominal_A")]
    pub nominal: f64,
    /// Reflections used; ±g count once.
    pub spots: usize,
    /// Root mean square distance of the spots from the fitted lattice, cycles per pixel.
    pub residual: f64,
    /// Apparent drift during the image along rows (down) and columns (right), pixels per frame.
    pub drift_px_per_frame: [f64; 2],
    /// Direction of the crystal in the image, degrees: of the first in-plane axis against the columns' direction.
    pub crystal_rotation_deg: f64,
    /// Scan rotation the file states, degrees.
    pub scan_rotation_deg: Option<f64>,
    /// The reflections that the size rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fits: Vec<SpotFit>,
    /// Spots that are none of the crystal's, cycles per pixel along rows and columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<[f64; 2]>,
}

impl ImageCalibration {
    /// Calibrated over nominal pixel size.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.pixel_size / self.nominal
    }
}

/// The calibrated pixel size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Calibrated over nominal size, mean over the images.
    pub scale: f64,
    /// Standard error of it.
    pub scale_error: f64,
    /// Nominal pixel size, Å; `None` when the images have different ones.
    #[serde(rename = "nominal_A")]
    pub nominal: Option<f64>,
    /// Calibrated pixel size, Å, where the nominal one is common.
    #[serde(rename = "calibrated_A")]
    pub calibrated: Option<f64>,
    /// Its standard error over images and scan rotations, Å.
    #[serde(rename = "standard_error_A")]
    pub standard_error: Option<f64>,
    /// Number of scan rotations.
    pub rotations: usize,
    /// Every image that could be measured.
    pub images: Vec<ImageCalibration>,
    /// Why others could not.
    pub failed: Vec<String>,
}

/// Measures the pixel size on images of a crystal.
///
/// # Errors
/// A crystal or zone that is not known, parameters out of range, no image that shows the crystal, or a stop.
pub fn calibrate(
    images: &[CrystalImage],
    params: &CalibrateParams,
    monitor: &Monitor,
) -> Result<Calibration, PrepareError> {
    if !(params.tolerance > 0.0 && params.tolerance < 0.5) {
        return Err(PrepareError::BadParameter {
            name: "tolerance",
            expected: "a number above 0 and below 0.5".to_owned(),
            found: params.tolerance.to_string(),
        });
    }
    let crystal = Crystal::parse(&params.crystal)?;
    let zone = crystal::parse_zone(&params.zone)?;
    monitor.phase("Measuring the crystal");
    let done = std::sync::atomic::AtomicUsize::new(0);
    let measured: Vec<Result<ImageCalibration, PrepareError>> = images
        .par_iter()
        .map(|image| {
            let found = measure(image, &crystal, zone, params, monitor);
            let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            monitor.progress(done, images.len());
            found
        })
        .collect();
    let (mut good, mut failed) = (Vec::new(), Vec::new());
    for (image, found) in images.iter().zip(measured) {
        match found {
            Ok(found) => good.push(found),
            Err(PrepareError::Stopped(how)) => return Err(PrepareError::Stopped(how)),
            Err(error) => failed.push(format!("{}: {error}", image.name)),
        }
    }
    if good.is_empty() {
        return Err(PrepareError::BadInput {
            subject: "images of the crystal".to_owned(),
            expected: format!("spots of {} along [{}]", params.crystal, params.zone),
            found: failed
                .first()
                .cloned()
                .unwrap_or_else(|| "no image".to_owned()),
        });
    }
    for line in &failed {
        monitor.warn(line);
    }
    Ok(combine(good, failed))
}

fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

fn combine(images: Vec<ImageCalibration>, failed: Vec<String>) -> Calibration {
    let scales: Vec<f64> = images.iter().map(|i| i.pixel_size / i.nominal).collect();
    // Groups of images with one scan rotation, each with its mean.
    let mut groups: Vec<(f64, Vec<f64>)> = Vec::new();
    let stated = images.iter().any(|image| image.scan_rotation_deg.is_some());
    for (image, scale) in images.iter().zip(&scales) {
        // Where no file says its scan rotation the crystal does: it turns the other way.
        let rotation = match stated {
            true => image.scan_rotation_deg.unwrap_or(0.0),
            false => image.crystal_rotation_deg,
        };
        let same = |of: f64| match stated {
            true => (of - rotation).abs() < SAME_ROTATION_DEG,
            // The spots do not tell a crystal from one turned by half a turn.
            false => {
                let apart = (of - rotation).rem_euclid(180.0);
                apart.min(180.0 - apart) < SAME_DIRECTION_DEG
            }
        };
        match groups.iter_mut().find(|(of, _)| same(*of)) {
            Some((_, members)) => members.push(*scale),
            None => groups.push((rotation, vec![*scale])),
        }
    }
    let of_rotations: Vec<f64> = groups.iter().map(|(_, m)| mean_and_error(m).0).collect();
    let (scale, over_rotations) = mean_and_error(&of_rotations);
    let (_, over_images) = mean_and_error(&scales);
    // One image has no scatter but that of its own spots.
    let of_spots = images
        .iter()
        .map(|i| (i.standard_error / i.nominal).powi(2));
    let within = of_spots.sum::<f64>().sqrt() / images.len() as f64;
    let scale_error = over_rotations.max(over_images).max(within);
    let nominal = images[0].nominal;
    let common = images
        .iter()
        .all(|i| (i.nominal / nominal - 1.0).abs() < 1e-6)
        .then_some(nominal);
    Calibration {
        scale,
        scale_error,
        nominal: common,
        calibrated: common.map(|nominal| nominal * scale),
        standard_error: common.map(|nominal| nominal * scale_error),
        rotations: groups.len(),
        images,
        failed,
    }
}

/// Row-major 2 × 2 matrix.
type Map = [[f64; 2]; 2];

fn apply(map: &Map, v: [f64; 2]) -> [f64; 2] {
    map.map(|row| row[0] * v[0] + row[1] * v[1])
}

fn cross(a: [f64; 2], b: [f64; 2]) -> f64 {
    a[0] * b[1] - a[1] * b[0]
}

fn cosine(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] * b[0] + a[1] * b[1]) / (length(a) * length(b))
}

fn length(v: [f64; 2]) -> f64 {
    v[0].hypot(v[1])
}

fn measure(
    image: &CrystalImage,
    crystal: &Crystal,
    zone: [i32; 3],
    params: &CalibrateParams,
    monitor: &Monitor,
) -> Result<ImageCalibration, PrepareError> {
    let bad = |expected: &str, found: String| PrepareError::BadInput {
        subject: image.name.clone(),
        expected: expected.to_owned(),
        found,
    };
    let nominal = image.nominal;
    if !(nominal.is_finite() && nominal > 0.0) {
        return Err(bad("a nominal pixel size above 0 Å", nominal.to_string()));
    }
    let (rows, columns) = image.image.dim();
    if rows.min(columns) < 64 || image.image.iter().any(|v| !v.is_finite()) {
        return Err(bad(
            "an image of at least 64 × 64 finite numbers",
            format!("{rows} × {columns}"),
        ));
    }
    let widest = nominal * (1.0 + params.tolerance);
    let reflections = crystal.reflections(zone, 0.7 / (nominal * (1.0 - params.tolerance)));
    if reflections.len() < FEWEST_SPOTS {
        return Err(bad(
            "pixels small enough to resolve the lattice",
            format!("{nominal} Å"),
        ));
    }
    let innermost = length(reflections[0].wave) * nominal * (1.0 - params.tolerance);
    if length(reflections[0].wave) * widest > 0.5 {
        return Err(bad(
            "pixels small enough to resolve the lattice",
            format!("{nominal} Å"),
        ));
    }
    let spots = spots::find(image.image.view(), 0.7 * innermost, monitor)?;
    let width = spots::width([rows, columns]);
    let Some(start) = index(&spots, &reflections, nominal, params.tolerance, width) else {
        return Err(bad(
            "spots of the crystal's lattice",
            format!("{} spots that do not fit it", spots.len()),
        ));
    };
    let Some(fit) = refine(&spots, &reflections, start, width) else {
        return Err(bad(
            "at least 3 spots of the crystal's lattice in different directions",
            "fewer".to_owned(),
        ));
    };
    let mut told = told(image, &fit, params.vertical_lines);
    let used = |spot: &Spot| {
        let is_it = |fit: &SpotFit| {
            [1.0, -1.0]
                .iter()
                .any(|s| fit.wave.map(|q| s * q) == spot.wave)
        };
        fit.spots.iter().any(is_it)
    };
    told.others = spots.iter().filter(|s| !used(s)).map(|s| s.wave).collect();
    Ok(told)
}

/// Power of an image's spectrum about a place (cycles per pixel along rows and columns), `(right, up)`: `samples` on
/// each side over `reach` to either side. The image is faded out as for the fits.
#[must_use]
pub fn power_about(
    image: ndarray::ArrayView2<'_, f32>,
    wave: [f64; 2],
    reach: [f64; 2],
    samples: usize,
) -> Array2<f32> {
    spots::power_about(image, wave, reach, samples)
}

/// The fitted map and how well it is known.
struct Fit {
    map: Map,
    /// Covariance of a row of the map over its residual variance.
    covariance: Map,
    residual: f64,
    spots: Vec<SpotFit>,
}

/// What the map says in the image's own terms.
fn told(image: &CrystalImage, fit: &Fit, vertical: bool) -> ImageCalibration {
    let (slow, fast) = if vertical { (1, 0) } else { (0, 1) };
    let size = [image.image.dim().0 as f64, image.image.dim().1 as f64];
    let row = fit.map[fast];
    let pixel_size = length(row);
    let toward = row.map(|v| v / pixel_size);
    let spread = apply(&fit.covariance, toward);
    let variance = (spread[0] * toward[0] + spread[1] * toward[1]).max(0.0);
    // S = (M Mᵀ)⁻¹ describes the image of the lattice in pixels: S_ss p² = (1 + a)², S_sf / S_ss = b / (1 + a) for a
    // stretch a of the slow axis and a shear b of the fast one.
    let [m0, m1] = fit.map;
    let (q00, q01, q11) = (
        m0[0] * m0[0] + m0[1] * m0[1],
        m0[0] * m1[0] + m0[1] * m1[1],
        m1[0] * m1[0] + m1[1] * m1[1],
    );
    let determinant = q00 * q11 - q01 * q01;
    let slow_slow = if slow == 0 { q11 } else { q00 } / determinant;
    let slow_fast = -q01 / determinant;
    let stretch = slow_slow.sqrt() * pixel_size;
    let mut drift = [0.0; 2];
    drift[slow] = size[slow] * (1.0 - 1.0 / stretch);
    drift[fast] = size[slow] * slow_fast / slow_slow;
    ImageCalibration {
        name: image.name.clone(),
        pixel_size,
        standard_error: fit.residual * variance.sqrt(),
        nominal: image.nominal,
        spots: fit.spots.len(),
        residual: fit.residual,
        drift_px_per_frame: drift,
        crystal_rotation_deg: (-row[1]).atan2(row[0]).to_degrees(),
        scan_rotation_deg: image.scan_rotation_deg,
        fits: fit.spots.clone(),
        others: Vec::new(),
    }
}

/// The map that explains most of the spots' amplitude, from pairs of spots taken for pairs of reflections.
fn index(
    spots: &[Spot],
    reflections: &[Reflection],
    nominal: f64,
    tolerance: f64,
    width: [f64; 2],
) -> Option<Map> {
    let tried = &spots[..spots.len().min(TRIED_SPOTS)];
    let inner: Vec<[f64; 2]> = reflections
        .iter()
        .take(TRIED_REFLECTIONS)
        .flat_map(|r| [r.wave, r.wave.map(|v| -v)])
        .collect();
    let fits = |q: [f64; 2], g: [f64; 2]| {
        let scale = length(q) / length(g) / nominal;
        ((scale - 1.0).abs() <= tolerance).then_some(scale)
    };
    // Of a crystal that is its own mirror image both senses explain the same.
    let mut best: [Option<(f64, Map)>; 2] = [None, None];
    for (k, one) in tried.iter().enumerate() {
        for other in &tried[k + 1..] {
            let turn = cross(one.wave, other.wave);
            if turn.abs() < 0.2 * length(one.wave) * length(other.wave) {
                continue;
            }
            for &g in &inner {
                let Some(scale) = fits(one.wave, g) else {
                    continue;
                };
                for &h in &inner {
                    // Drift changes angles and the ratio of lengths by far less than this.
                    let alike = fits(other.wave, h).is_some_and(|s| (s / scale - 1.0).abs() < 0.05);
                    let area = cross(g, h);
                    let bent = cosine(one.wave, other.wave) - cosine(g, h);
                    if !alike || bent.abs() > 0.05 || area.abs() < 1e-9 {
                        continue;
                    }
                    // M (g h) = (q₁ q₂)
                    let map: Map = std::array::from_fn(|axis| {
                        let (a, b) = (one.wave[axis], other.wave[axis]);
                        [(a * h[1] - b * g[1]) / area, (b * g[0] - a * h[0]) / area]
                    });
                    let score = explained(spots, reflections, &map, width);
                    let mirrored = usize::from(cross(map[0], map[1]) < 0.0);
                    let best = &mut best[mirrored];
                    if best.as_ref().is_none_or(|(most, _)| score > *most) {
                        *best = Some((score, map));
                    }
                }
            }
        }
    }
    match best {
        [Some((plain, map)), Some((mirrored, _))] if plain >= 0.98 * mirrored => Some(map),
        [_, Some((_, map))] | [Some((_, map)), None] => Some(map),
        [None, None] => None,
    }
}

/// The spot at a place of the spectrum, up to sign.
fn spot_at(spots: &[Spot], wave: [f64; 2], width: [f64; 2]) -> Option<(&Spot, f64)> {
    let distance = |spot: &Spot, sign: f64| {
        (0..2)
            .map(|axis| ((sign * spot.wave[axis] - wave[axis]) / width[axis]).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    spots
        .iter()
        .flat_map(|spot| [1.0, -1.0].map(|sign| (spot, sign)))
        .map(|(spot, sign)| (spot, sign, distance(spot, sign)))
        .filter(|(.., d)| *d < REACH_WIDTHS)
        .min_by(|a, b| a.2.total_cmp(&b.2))
        .map(|(spot, sign, _)| (spot, sign))
}

fn in_band(wave: [f64; 2]) -> bool {
    wave.iter().all(|q| q.abs() < 0.48)
}

/// Sum of the amplitudes of the spots a map explains.
fn explained(spots: &[Spot], reflections: &[Reflection], map: &Map, width: [f64; 2]) -> f64 {
    reflections
        .iter()
        .map(|reflection| apply(map, reflection.wave))
        .filter(|wave| in_band(*wave))
        .filter_map(|wave| spot_at(spots, wave, width))
        .map(|(spot, _)| spot.amplitude)
        .sum()
}

/// Least squares over all spots the map explains, repeated while it explains more; spots beyond three standard
/// deviations are left out.
fn refine(spots: &[Spot], reflections: &[Reflection], start: Map, width: [f64; 2]) -> Option<Fit> {
    let mut map = start;
    let mut limit = f64::INFINITY;
    let mut fit = None;
    for _ in 0..6 {
        let mut members: Vec<(&Reflection, &Spot)> = Vec::new();
        let pairs: Vec<([f64; 2], [f64; 2])> = reflections
            .iter()
            .filter_map(|reflection| {
                let wave = apply(&map, reflection.wave);
                let (spot, sign) = in_band(wave).then(|| spot_at(spots, wave, width))??;
                let seen = spot.wave.map(|q| sign * q);
                let off = length([seen[0] - wave[0], seen[1] - wave[1]]);
                (off <= limit).then(|| {
                    members.push((reflection, spot));
                    (reflection.wave, seen)
                })
            })
            .collect();
        if pairs.len() < FEWEST_SPOTS {
            return fit;
        }
        let rows: Vec<Vec<f64>> = pairs.iter().map(|(g, _)| g.to_vec()).collect();
        let weights = vec![1.0; rows.len()];
        for (axis, row) in map.iter_mut().enumerate() {
            let values: Vec<f64> = pairs.iter().map(|(_, q)| q[axis]).collect();
            let found = least_squares(&rows, &values, &weights)?;
            *row = [found[0], found[1]];
        }
        let squares: f64 = pairs
            .iter()
            .map(|(g, q)| {
                let wave = apply(&map, *g);
                (wave[0] - q[0]).powi(2) + (wave[1] - q[1]).powi(2)
            })
            .sum();
        // Two numbers per spot, four unknowns.
        let freedom = (2 * pairs.len()).saturating_sub(4).max(1) as f64;
        let residual = (squares / freedom).sqrt();
        let normal: Vec<f64> = [(0, 0), (0, 1), (1, 0), (1, 1)]
            .iter()
            .map(|&(a, b)| pairs.iter().map(|(g, _)| g[a] * g[b]).sum())
            .collect();
        let inverse = invert_definite(&normal, 2)?;
        limit = (3.0 * residual * std::f64::consts::SQRT_2).max(1e-6);
        fit = Some(Fit {
            map,
            covariance: [[inverse[0], inverse[1]], [inverse[2], inverse[3]]],
            residual,
            spots: (members.iter().zip(&pairs))
                .map(|((reflection, spot), (g, seen))| {
                    let wave = apply(&map, *g);
                    SpotFit {
                        hkl: reflection.hkl,
                        spacing: 1.0 / length(*g),
                        wave: *seen,
                        width: spot.width,
                        amplitude: spot.amplitude,
                        off: length([seen[0] - wave[0], seen[1] - wave[1]]),
                    }
                })
                .collect(),
        });
    }
    fit
}
