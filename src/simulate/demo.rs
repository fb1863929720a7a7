//! The built-in demonstration: a 3 nm particle and its tilt series with a missing wedge and Poisson noise.

use super::acquisition::{AcquireError, AcquisitionParams, Scatterer, acquire};
use super::particle::{Particle, ParticleError, ParticleParams, grow};
use crate::model::{Atoms, TiltSeries};
use crate::monitor::Monitor;
use serde::{Deserialize, Serialize};

/// Parameters of the demonstration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct DemoParams {
    /// The particle.
    #[command(flatten)]
    pub particle: ParticleParams,
    /// How its images are taken.
    #[command(flatten)]
    pub acquisition: AcquisitionParams,
    /// Leave the oxygen atoms out of the images
    #[arg(long)]
    pub without_oxygen: bool,
}

/// A demonstration data set with its truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Demo {
    /// The tilt series to start from.
    pub series: TiltSeries,
    /// The Zr atoms that should be found, with their phases.
    pub truth: Atoms,
    /// The whole particle: oxygen, vacancies, pores.
    pub particle: Particle,
}

/// Why there is no demonstration.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The particle cannot be made.
    #[error(transparent)]
    Particle(#[from] ParticleError),
    /// Its images cannot be made.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
}

/// Grows the particle and takes its tilt series.
///
/// # Errors
/// A parameter out of its range, or a stop.
pub fn demo_series(params: &DemoParams, monitor: &Monitor) -> Result<Demo, DemoError> {
    const ZR: f64 = 40.0;
    const O: f64 = 8.0;
    let particle = grow(&params.particle, monitor)?;
    let zr = particle.atoms.positions.iter().map(|&position| Scatterer {
        position,
        atomic_number: ZR,
    });
    let oxygen = particle.oxygen.iter().map(|&position| Scatterer {
        position,
        atomic_number: O,
    });
    let scatterers: Vec<Scatterer> = zr
        .chain(oxygen.filter(|_| !params.without_oxygen))
        .collect();
    let mut series = acquire(&scatterers, &params.acquisition, monitor)?.series;
    series.name = "Demo: partially oxidised Zr particle".to_owned();
    Ok(Demo {
        series,
        truth: particle.atoms.clone(),
        particle,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_all_parts_fit_on_one_command_line() {
        use clap::{Args, FromArgMatches};
        let command = DemoParams::augment_args(clap::Command::new("demo"));
        command.clone().debug_assert();
        let given = command.get_matches_from([
            "demo",
            "--particle-seed",
            "5",
            "--seed",
            "6",
            "--tilts",
            "9",
        ]);
        let params = DemoParams::from_arg_matches(&given).expect("every flag has a default");
        assert_eq!(
            (
                params.particle.seed,
                params.acquisition.seed,
                params.acquisition.tilts
            ),
            (5, 6, 9)
        );
        let empty: DemoParams = serde_json::from_str("{}").expect("every field has a default");
        assert_eq!(empty, DemoParams::default());
    }

    #[test]
    fn the_demo_is_small_noisy_and_has_a_missing_wedge() {
        let params = DemoParams::default();
        let demo = demo_series(&params, &Monitor::silent()).expect("defaults are valid");
        let [x, y] = demo.series.image_size();
        assert!(x <= 128 && y <= 128, "{x} × {y}");
        let tilts: Vec<f64> = demo.series.angles.iter().map(|a| a.to_deg()[1]).collect();
        let span = tilts[tilts.len() - 1] - tilts[0];
        assert!((140.0..170.0).contains(&span), "tilts span {span}°");
        let clean_params = DemoParams {
            acquisition: AcquisitionParams {
                noise_free: true,
                ..params.acquisition.clone()
            },
            ..params
        };
        let clean = demo_series(&clean_params, &Monitor::silent()).expect("valid");
        let difference: f64 = (&demo.series.images - &clean.series.images)
            .iter()
            .map(|v| f64::from(v.abs()))
            .sum();
        let total: f64 = clean.series.images.iter().map(|&v| f64::from(v)).sum();
        let r1 = difference / total;
        // The article's series has an R1 of about 0.2 from noise alone.
        assert!((0.1..0.4).contains(&r1), "R1 of the noise {r1}");
    }
}
