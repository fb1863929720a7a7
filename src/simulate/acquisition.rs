//! A tilt series of a known model, by the linear image model.
//!
//! Each atom is a Gaussian of weight ∝ Z^1.7 (Rutherford-like scattering into an annular detector), integrated over
//! each pixel: the expected counts of pixel (i, j) are
//! `b + dose σ Σₐ wₐ ∫∫ G(x − x'ₐ, y − y'ₐ) dx dy`, with `(x'ₐ, y'ₐ)` the atom's place in the detector frame
//! ([`crate::model::geometry`]), σ the cross-section of Zr and `wₐ = (Zₐ/40)^1.7`. Counts are Poisson. Channeling
//! and other dynamical effects are not in it.
//!
//! Every tilt draws from a generator of its own, so that the result does not depend on the number of threads.

use crate::model::geometry::apply;
use crate::model::units::FWHM_PER_SIGMA;
use crate::model::{Atoms, EulerAngles, TiltSeries, center_index};
use crate::monitor::{Monitor, Stopped};
use ndarray::{Array2, Array3};
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Poisson, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Exponent of the atomic number in the scattered intensity (PdPt, Zr: Z^1.7).
pub const Z_EXPONENT: f64 = 1.7;
/// Atomic number of zirconium, the element the cross-section is stated for.
const ZIRCONIUM: f64 = 40.0;
/// Half width of the window an atom is drawn in, in standard deviations: 1e-6 of it is cut off.
const WINDOW_SIGMAS: f64 = 5.0;
/// Images larger than this are a slip of the pen.
const MAX_PIXELS: usize = 4096;

/// Parameters of a simulated acquisition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct AcquisitionParams {
    /// Number of images
    #[arg(long, default_value_t = Self::default().tilts)]
    pub tilts: usize,
    /// First tilt, degrees
    #[arg(long, allow_negative_numbers = true, default_value_t = Self::default().first_tilt_deg)]
    pub first_tilt_deg: f64,
    /// Last tilt, degrees
    #[arg(long, allow_negative_numbers = true, default_value_t = Self::default().last_tilt_deg)]
    pub last_tilt_deg: f64,
    /// Edge of a pixel, Å
    #[arg(long, default_value_t = Self::default().pixel_size)]
    pub pixel_size: f64,
    /// Full width at half maximum of the probe, Å (Zr: 0.8)
    #[arg(long, default_value_t = Self::default().probe_fwhm)]
    pub probe_fwhm: f64,
    /// Root mean square thermal displacement of an atom per axis, Å
    #[arg(long, default_value_t = Self::default().thermal_displacement)]
    pub thermal_displacement: f64,
    /// Electrons per Å² and image (Zr: 4.8e5 in all over about 50 images)
    #[arg(long, default_value_t = Self::default().dose)]
    pub dose: f64,
    /// Cross-section of a Zr atom into the detector, Å² (other elements: (Z/40)^1.7 of it)
    #[arg(long, default_value_t = Self::default().cross_section)]
    pub cross_section: f64,
    /// Pixels on x and y [default: the model and a margin]
    #[arg(long, value_name = "X,Y", value_delimiter = ',')]
    pub image_size: Option<Vec<usize>>,
    /// Free margin around the model, Å
    #[arg(long, default_value_t = Self::default().margin)]
    pub margin: f64,
    /// Standard deviation of the error of each true angle φ, θ, ψ against the nominal one, degrees
    #[arg(long, default_value_t = Self::default().angle_error_deg)]
    pub angle_error_deg: f64,
    /// Standard deviation of the image shifts per axis, pixels
    #[arg(long, default_value_t = Self::default().shift_error_px)]
    pub shift_error_px: f64,
    /// Constant background, counts per pixel
    #[arg(long, default_value_t = Self::default().background)]
    pub background: f64,
    /// Change of the background from the left to the right edge, as a fraction of it
    #[arg(long, default_value_t = Self::default().background_slope)]
    pub background_slope: f64,
    /// Leave out the Poisson noise: images hold expected counts
    #[arg(long)]
    pub noise_free: bool,
    /// Seed of noise, angle errors and shifts
    #[arg(long, default_value_t = Self::default().seed)]
    pub seed: u64,
}

impl Default for AcquisitionParams {
    fn default() -> Self {
        Self {
            tilts: 51,
            first_tilt_deg: -75.0, // (Zr)
            last_tilt_deg: 76.0,   // (Zr)
            pixel_size: 0.343,     // (Zr)
            probe_fwhm: 0.8,       // (Zr)
            thermal_displacement: 0.08,
            dose: 9.6e3, // (Zr): 4.8e5 e/Å² over 50 images
            // A multi-slice simulation of Pd and Pt at 300 kV, detector 39–200 mrad, scaled by Z^1.7.
            cross_section: 0.006,
            image_size: None,
            margin: 4.0,
            angle_error_deg: 0.0,
            shift_error_px: 0.0,
            background: 0.0,
            background_slope: 0.0,
            noise_free: false,
            seed: 1,
        }
    }
}

/// An atom as the beam sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scatterer {
    /// Position, Å about the volume's center.
    pub position: [f64; 3],
    /// Atomic number Z.
    pub atomic_number: f64,
}

/// A simulated series and what is true of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Acquired {
    /// The series with its *nominal* angles.
    pub series: TiltSeries,
    /// The angles the images were made at.
    pub true_angles: Vec<EulerAngles>,
    /// How far each image was moved along x and y, pixels.
    pub shifts_px: Vec<[f64; 2]>,
}

/// Why no series can be made.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// A parameter out of its range.
    #[error("{name} is {found}, expected {expected}")]
    BadParameter {
        /// Field name.
        name: &'static str,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The model cannot be imaged.
    #[error("{subject}: expected {expected}, found {found}")]
    BadInput {
        /// What is wrong.
        subject: String,
        /// What is needed.
        expected: String,
        /// What there is.
        found: String,
    },
    /// The user stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl AcquisitionParams {
    fn check(&self) -> Result<(), AcquireError> {
        let must = |ok: bool, name, expected: &str, found: String| {
            if ok {
                Ok(())
            } else {
                Err(AcquireError::BadParameter {
                    name,
                    expected: expected.to_owned(),
                    found,
                })
            }
        };
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let not_negative = |x: f64| x.is_finite() && x >= 0.0;
        must(
            (1..=1000).contains(&self.tilts),
            "tilts",
            "1 to 1000",
            self.tilts.to_string(),
        )?;
        for (name, angle) in [
            ("first_tilt_deg", self.first_tilt_deg),
            ("last_tilt_deg", self.last_tilt_deg),
        ] {
            must(
                angle.abs() <= 180.0,
                name,
                "-180 to 180 degrees",
                angle.to_string(),
            )?;
        }
        for (name, value) in [
            ("pixel_size", self.pixel_size),
            ("probe_fwhm", self.probe_fwhm),
            ("dose", self.dose),
            ("cross_section", self.cross_section),
        ] {
            must(positive(value), name, "a number above 0", value.to_string())?;
        }
        for (name, value) in [
            ("thermal_displacement", self.thermal_displacement),
            ("margin", self.margin),
            ("angle_error_deg", self.angle_error_deg),
            ("shift_error_px", self.shift_error_px),
            ("background", self.background),
        ] {
            must(
                not_negative(value),
                name,
                "a number from 0 up",
                value.to_string(),
            )?;
        }
        let slope = self.background_slope;
        must(
            slope.abs() <= 2.0,
            "background_slope",
            "-2 to 2 (no negative counts)",
            slope.to_string(),
        )
    }

    /// Nominal tilt of image `tilt`, degrees: evenly spaced.
    fn nominal_deg(&self, tilt: usize) -> f64 {
        if self.tilts == 1 {
            return self.first_tilt_deg;
        }
        let step = (self.last_tilt_deg - self.first_tilt_deg) / (self.tilts - 1) as f64;
        self.first_tilt_deg + step * tilt as f64
    }

    /// Image size that shows every atom at every tilt, with the margin.
    fn size_for(&self, atoms: &[Scatterer]) -> Result<[usize; 2], AcquireError> {
        let size = if let Some(size) = &self.image_size {
            let [x, y] = size[..] else {
                return Err(AcquireError::BadParameter {
                    name: "image_size",
                    expected: "two numbers".to_owned(),
                    found: format!("{}", size.len()),
                });
            };
            [x, y]
        } else {
            let mut reach: f64 = 0.0;
            let mut along_axis: f64 = 0.0;
            for atom in atoms {
                let [x, y, z] = atom.position;
                reach = reach.max(x.hypot(z));
                along_axis = along_axis.max(y.abs());
            }
            let margin = self.margin + self.pixel_size * 3.0 * self.shift_error_px;
            [reach, along_axis].map(|half| 2 * ((half + margin) / self.pixel_size).ceil() as usize)
        };
        if size.iter().any(|n| !(1..=MAX_PIXELS).contains(n)) {
            return Err(AcquireError::BadParameter {
                name: "image_size",
                expected: format!("1 to {MAX_PIXELS} pixels"),
                found: format!("{} × {}", size[0], size[1]),
            });
        }
        Ok(size)
    }
}

/// The scatterers of a model, by the chemical symbols of its species.
///
/// # Errors
/// A species name that is no chemical symbol.
pub fn scatterers_of(atoms: &Atoms) -> Result<Vec<Scatterer>, AcquireError> {
    let numbers = atoms
        .species_names
        .iter()
        .map(|name| {
            atomic_number(name)
                .map(|z| z as f64)
                .ok_or_else(|| AcquireError::BadInput {
                    subject: format!("species {name}"),
                    expected: "a chemical symbol".to_owned(),
                    found: name.clone(),
                })
        })
        .collect::<Result<Vec<f64>, _>>()?;
    (0..atoms.len())
        .map(|i| {
            let atomic_number = numbers.get(usize::from(atoms.species[i])).copied();
            atomic_number
                .map(|atomic_number| Scatterer {
                    position: atoms.positions[i],
                    atomic_number,
                })
                .ok_or_else(|| AcquireError::BadInput {
                    subject: format!("atom {i}"),
                    expected: format!("a species below {}", numbers.len()),
                    found: atoms.species[i].to_string(),
                })
        })
        .collect()
}

/// Atomic number of a chemical symbol.
fn atomic_number(symbol: &str) -> Option<usize> {
    const SYMBOLS: &str = "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se \
        Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu \
        Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U";
    SYMBOLS
        .split_whitespace()
        .position(|s| s == symbol.trim())
        .map(|index| index + 1)
}

/// Makes the tilt series of `atoms`.
///
/// # Errors
/// A parameter out of its range, no atoms or atoms without a finite position, or a stop.
pub fn acquire(
    atoms: &[Scatterer],
    params: &AcquisitionParams,
    monitor: &Monitor,
) -> Result<Acquired, AcquireError> {
    params.check()?;
    if atoms.is_empty()
        || atoms
            .iter()
            .any(|a| a.position.iter().any(|x| !x.is_finite()))
    {
        return Err(AcquireError::BadInput {
            subject: "model".to_owned(),
            expected: "atoms with finite positions".to_owned(),
            found: if atoms.is_empty() {
                "no atoms"
            } else {
                "a position that is no number"
            }
            .to_owned(),
        });
    }
    let [nx, ny] = params.size_for(atoms)?;
    monitor.phase("Simulating the tilt series");
    let mut rng = StdRng::seed_from_u64(params.seed);
    let mut draw = |sd: f64| -> f64 {
        let normal: f64 = StandardNormal.sample(&mut rng);
        sd * normal
    };
    let nominal: Vec<EulerAngles> = (0..params.tilts)
        .map(|i| EulerAngles::from_tilt_deg(params.nominal_deg(i)))
        .collect();
    let mut true_angles = Vec::with_capacity(params.tilts);
    let mut shifts_px = Vec::with_capacity(params.tilts);
    for angles in &nominal {
        let errors: [f64; 3] = std::array::from_fn(|_| draw(params.angle_error_deg).to_radians());
        true_angles.push(EulerAngles {
            phi: angles.phi + errors[0],
            theta: angles.theta + errors[1],
            psi: angles.psi + errors[2],
        });
        shifts_px.push([draw(params.shift_error_px), draw(params.shift_error_px)]);
    }
    let mut images = Array3::<f32>::zeros((params.tilts, nx, ny));
    let done = std::sync::atomic::AtomicUsize::new(0);
    images
        .as_slice_mut()
        .expect("a new array is contiguous")
        .par_chunks_mut(nx * ny)
        .enumerate()
        .try_for_each(|(tilt, image)| -> Result<(), Stopped> {
            let expected = expected_counts(
                atoms,
                true_angles[tilt],
                shifts_px[tilt],
                [nx, ny],
                params,
                monitor,
            )?;
            // The golden-ratio constant keeps neighboring seeds' generators unrelated.
            let mut rng = StdRng::seed_from_u64(
                params.seed ^ (tilt as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            );
            for (pixel, &mean) in image.iter_mut().zip(expected.iter()) {
                *pixel = if params.noise_free {
                    mean
                } else {
                    poisson(mean, &mut rng)
                } as f32;
            }
            let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            monitor.progress(done, params.tilts);
            Ok(())
        })?;
    let series = TiltSeries::new("simulated series", images, nominal, Some(params.pixel_size));
    Ok(Acquired {
        series,
        true_angles,
        shifts_px,
    })
}

/// A Poisson draw of the given mean (0 for a mean that is not above 0).
fn poisson(mean: f64, rng: &mut StdRng) -> f64 {
    Poisson::new(mean).map_or(0.0, |distribution| distribution.sample(rng))
}

/// Expected counts of one image, shape `(x, y)`.
fn expected_counts(
    atoms: &[Scatterer],
    angles: EulerAngles,
    shift_px: [f64; 2],
    [nx, ny]: [usize; 2],
    params: &AcquisitionParams,
    monitor: &Monitor,
) -> Result<Array2<f64>, Stopped> {
    let mut image = Array2::from_shape_fn((nx, ny), |(i, _)| {
        let across = (i as f64 + 0.5) / nx as f64 - 0.5;
        params.background * (1.0 + params.background_slope * across)
    });
    let detector_from_sample = angles.detector_from_sample();
    let sigma =
        (params.probe_fwhm / FWHM_PER_SIGMA).hypot(params.thermal_displacement) / params.pixel_size;
    for (index, atom) in atoms.iter().enumerate() {
        if index % 2048 == 0 {
            monitor.check()?;
        }
        let seen = apply(&detector_from_sample, atom.position);
        let x = seen[0] / params.pixel_size + center_index(nx) as f64 + shift_px[0];
        let y = seen[1] / params.pixel_size + center_index(ny) as f64 + shift_px[1];
        let counts =
            params.dose * params.cross_section * (atom.atomic_number / ZIRCONIUM).powf(Z_EXPONENT);
        let (first_x, share_x) = pixel_shares(x, sigma, nx);
        let (first_y, share_y) = pixel_shares(y, sigma, ny);
        for (di, wx) in share_x.iter().enumerate() {
            for (dj, wy) in share_y.iter().enumerate() {
                image[[first_x + di, first_y + dj]] += counts * wx * wy;
            }
        }
    }
    Ok(image)
}

/// How much of a normal distribution at `center` falls into each pixel (pixel i spans i ± ½): first pixel and shares,
/// clipped to `0..n`.
fn pixel_shares(center: f64, sigma: f64, n: usize) -> (usize, Vec<f64>) {
    let last_pixel = n as f64 - 1.0;
    let first = (center - WINDOW_SIGMAS * sigma)
        .round()
        .clamp(0.0, n as f64);
    let last = (center + WINDOW_SIGMAS * sigma)
        .round()
        .clamp(-1.0, last_pixel);
    if last < first {
        return (0, Vec::new());
    }
    let edge = |i: f64| erf((i - center) / (sigma * std::f64::consts::SQRT_2));
    let shares = (first as usize..=last as usize)
        .map(|i| 0.5 * (edge(i as f64 + 0.5) - edge(i as f64 - 0.5)))
        .collect();
    (first as usize, shares)
}

/// Error function by the confluent hypergeometric series `erf x = 2/√π e^{−x²} Σ 2ⁿ x^{2n+1}/(2n+1)!!`
/// (Abramowitz & Stegun 7.1.6); all terms have one sign, so there is no cancellation.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let mut term = x;
    let mut sum = x;
    let mut n = 0.0;
    while term.abs() > 1e-17 * sum.abs() {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zr(position: [f64; 3]) -> Scatterer {
        Scatterer {
            position,
            atomic_number: 40.0,
        }
    }

    #[test]
    fn erf_agrees_with_tabulated_values() {
        // Abramowitz & Stegun, Table 7.1.
        for (x, value) in [
            (0.5, 0.520_499_877_8),
            (1.0, 0.842_700_792_9),
            (2.0, 0.995_322_265_0),
        ] {
            assert!((erf(x) - value).abs() < 1e-10, "erf {x} = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert_eq!(erf(0.0), 0.0);
    }

    #[test]
    fn an_atom_appears_where_the_geometry_says_with_all_its_counts() {
        let params = AcquisitionParams {
            tilts: 3,
            first_tilt_deg: -40.0,
            last_tilt_deg: 60.0,
            image_size: Some(vec![61, 40]),
            noise_free: true,
            ..AcquisitionParams::default()
        };
        let (x, y, z) = (3.1, -2.2, 4.7);
        let made = acquire(&[zr([x, y, z])], &params, &Monitor::silent()).expect("valid");
        for tilt in 0..3 {
            let image = made.series.image(tilt);
            let total: f64 = image.iter().map(|&v| f64::from(v)).sum();
            assert!((total / (params.dose * params.cross_section) - 1.0).abs() < 1e-5);
            let mean = |axis: usize| -> f64 {
                image
                    .indexed_iter()
                    .map(|((i, j), &v)| f64::from(v) * [i, j][axis] as f64)
                    .sum::<f64>()
                    / total
            };
            let theta = (-40.0 + 50.0 * tilt as f64).to_radians();
            let expected = (x * theta.cos() - z * theta.sin()) / params.pixel_size;
            assert!((mean(0) - 30.0 - expected).abs() < 1e-4, "tilt {tilt}");
            assert!((mean(1) - 20.0 - y / params.pixel_size).abs() < 1e-4);
        }
    }

    #[test]
    fn counts_are_poisson_and_the_background_is_the_one_asked_for() {
        let params = AcquisitionParams {
            tilts: 4,
            background: 6.0,
            background_slope: 0.5,
            image_size: Some(vec![200, 100]),
            ..AcquisitionParams::default()
        };
        let far = Scatterer {
            position: [1e4, 0.0, 0.0],
            atomic_number: 40.0,
        };
        let made = acquire(&[far], &params, &Monitor::silent()).expect("valid");
        let column = |i: usize| -> (f64, f64) {
            let values: Vec<f64> = (0..4)
                .flat_map(|t| (0..100).map(move |j| (t, j)))
                .map(|(t, j)| f64::from(made.series.images[[t, i, j]]))
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (
                mean,
                values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64,
            )
        };
        // 400 draws: the mean's error is √(6/400) = 0.12, the variance's about 6 √(2/400) = 0.42; limits at 4 sd.
        for (i, expected) in [(0, 4.5), (100, 6.0), (199, 7.5)] {
            let (mean, variance) = column(i);
            assert!((mean - expected).abs() < 0.5, "column {i}: mean {mean}");
            assert!(
                (variance - expected).abs() < 1.8,
                "column {i}: variance {variance}"
            );
        }
    }

    #[test]
    fn the_series_is_the_same_for_any_number_of_threads() {
        let params = AcquisitionParams {
            tilts: 7,
            angle_error_deg: 0.3,
            shift_error_px: 2.0,
            background: 1.0,
            ..AcquisitionParams::default()
        };
        let atoms = [zr([0.0, 1.0, 2.0]), zr([4.0, -3.0, 1.0])];
        let with = |threads: usize| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("threads")
                .install(|| acquire(&atoms, &params, &Monitor::silent()).expect("valid"))
        };
        let one = with(1);
        assert_eq!(one, with(3));
        assert!(
            one.true_angles
                .iter()
                .zip(&one.series.angles)
                .all(|(a, b)| a != b)
        );
        assert!(one.shifts_px.iter().flatten().any(|s| s.abs() > 1.0));
    }

    #[test]
    fn bad_models_and_parameters_are_refused() {
        let silent = Monitor::silent();
        let params = AcquisitionParams::default();
        assert!(matches!(
            acquire(&[], &params, &silent),
            Err(AcquireError::BadInput { .. })
        ));
        let nowhere = zr([f64::NAN, 0.0, 0.0]);
        assert!(matches!(
            acquire(&[nowhere], &params, &silent),
            Err(AcquireError::BadInput { .. })
        ));
        let far = zr([1e6, 0.0, 0.0]);
        assert!(matches!(
            acquire(&[far], &params, &silent),
            Err(AcquireError::BadParameter { .. })
        ));
        let no_pixel = AcquisitionParams {
            pixel_size: 0.0,
            ..params
        };
        assert!(matches!(
            acquire(&[zr([0.0; 3])], &no_pixel, &silent),
            Err(AcquireError::BadParameter {
                name: "pixel_size",
                ..
            })
        ));
        let odd = Atoms::from_positions(vec![[0.0; 3]], "Unobtainium");
        assert!(scatterers_of(&odd).is_err());
        let gold = Atoms::from_positions(vec![[0.0; 3]], "Au ");
        assert_eq!(
            scatterers_of(&gold).expect("gold is known")[0].atomic_number,
            79.0
        );
    }
}
