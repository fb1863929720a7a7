//! Whether denoising helps: the same tilts left out are predicted from the others as measured and from the others
//! denoised, and both predictions are compared with the left-out images *as measured*. A denoiser that takes away what the
//! specimen is made of predicts them worse, however well it pleases the eye. A better prediction is no promise of better
//! atoms: these are found in what all tilts show together, where noise has been averaged already.

use super::{ReconstructError, ReconstructParams, choose, watch};
use crate::model::TiltSeries;
use crate::monitor::Monitor;
use ndarray::Axis;
use serde::{Deserialize, Serialize};

/// Most iterations of a trial; they end where the tilts left out are explained best.
const ITERATIONS: usize = 60;
/// Misfits closer than this share are no difference.
const SAME: f64 = 1e-3;

/// How well the tilts left out are predicted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Mean over the tilts left out of `Σ|Πᵢ O − bᵢ| / Σ|bᵢ|`.
    pub r_free: f64,
    /// `√(Σ (Πᵢ O − bᵢ)² / Σ bᵢ²)` over them, which noisy counts do not bias.
    pub misfit_free: f64,
    /// Iterations after which the misfit was lowest.
    pub iterations: usize,
}

/// The same series reconstructed with and without denoising.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DenoisingVerdict {
    /// From the images as measured.
    pub measured: Prediction,
    /// From the denoised images.
    pub denoised: Prediction,
}

impl DenoisingVerdict {
    /// In words.
    #[must_use]
    pub fn word(&self) -> &'static str {
        let change = self.denoised.misfit_free / self.measured.misfit_free - 1.0;
        if change.abs() < SAME {
            "tilts left out are predicted alike with and without denoising"
        } else if change < 0.0 {
            "tilts left out are predicted better from denoised images"
        } else {
            "tilts left out are predicted worse from denoised images"
        }
    }

    /// In a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!(
            "{}: R_free {:.4} without and {:.4} with it, misfit {:.4} and {:.4}",
            self.word(),
            self.measured.r_free,
            self.denoised.r_free,
            self.measured.misfit_free,
            self.denoised.misfit_free
        )
    }
}

/// Compares `denoised` with `measured`: the same tilts, prepared alike but for the denoising.
///
/// # Errors
/// Series that do not fit each other, too few tilts to leave some out, what cannot be reconstructed, a stop.
pub fn judge_denoising(
    measured: &TiltSeries,
    denoised: &TiltSeries,
    monitor: &Monitor,
) -> Result<DenoisingVerdict, ReconstructError> {
    let (measured, denoised) = (measured.only_included(), denoised.only_included());
    let fewest = 2 * choose::LEAVE_OUT;
    if measured.images.dim() != denoised.images.dim() || measured.len() < fewest {
        return Err(ReconstructError::BadInput {
            subject: "denoised series".to_owned(),
            expected: format!("as many images of the same size as measured, at least {fewest}"),
            found: format!(
                "{:?} and {:?}",
                denoised.images.dim(),
                measured.images.dim()
            ),
        });
    }
    monitor.phase("Predict tilts left out");
    let params = ReconstructParams {
        accelerated: true,
        iterations: ITERATIONS,
        leave_out: Some(choose::LEAVE_OUT),
        ..ReconstructParams::default()
    };
    // What is predicted is what was measured, whatever it is predicted from.
    let mut mixed = denoised;
    for tilt in (0..measured.len()).filter(|&tilt| params.is_left_out(tilt)) {
        let counts = measured.image(tilt);
        mixed.images.index_axis_mut(Axis(0), tilt).assign(&counts);
    }
    super::check(&measured, &params)?;
    super::check(&mixed, &params)?;
    let rows = choose::middle_rows(&measured, &params);
    let volume_size = choose::band_size(&measured, &params, rows.as_ref());
    let params = ReconstructParams {
        volume_size: Some(volume_size.to_vec()),
        ..params
    };
    monitor.progress(0, 2);
    let measured = predict(&choose::cut(&measured, rows.as_ref()), &params, monitor)?;
    monitor.progress(1, 2);
    let denoised = predict(&choose::cut(&mixed, rows.as_ref()), &params, monitor)?;
    Ok(DenoisingVerdict { measured, denoised })
}

fn predict(
    series: &TiltSeries,
    params: &ReconstructParams,
    monitor: &Monitor,
) -> Result<Prediction, ReconstructError> {
    let iterations = choose::until_explained(series, params, monitor)?;
    let free: Vec<f64> = iterations.iter().filter_map(|i| i.misfit_free).collect();
    let at = watch::lowest_at(&free).unwrap_or_default();
    let best = iterations.get(at);
    Ok(Prediction {
        r_free: best.and_then(|i| i.r_free).unwrap_or(f64::NAN),
        misfit_free: free.get(at).copied().unwrap_or(f64::NAN),
        iterations: at.max(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EulerAngles, Volume};
    use rand::{SeedableRng, rngs::StdRng};
    use rand_distr::{Distribution, StandardNormal};

    /// Tilts of a few balls, and noise to add.
    fn series(noise: f64, seed: u64) -> TiltSeries {
        let mut volume = Volume::zeros([32; 3], 0.5);
        for ((i, j, k), v) in volume.data.indexed_iter_mut() {
            for [a, b, c] in [[16.0, 16.0, 16.0], [21.0, 13.0, 18.0], [11.0, 18.0, 14.0]] {
                let d2 = (i as f64 - a).powi(2) + (j as f64 - b).powi(2) + (k as f64 - c).powi(2);
                *v += 10.0 * (-d2 / 6.0).exp() as f32;
            }
        }
        let angles: Vec<EulerAngles> = (0..25)
            .map(|t| EulerAngles::from_tilt_deg(-72.0 + 6.0 * f64::from(t)))
            .collect();
        let mut images =
            crate::projection::forward(&volume, &angles, [32, 32], &Monitor::silent()).unwrap();
        let mut rng = StdRng::seed_from_u64(seed);
        images.mapv_inplace(|v| {
            let normal: f64 = StandardNormal.sample(&mut rng);
            v + (noise * normal) as f32
        });
        TiltSeries::new("balls", images, angles, Some(0.5))
    }

    #[test]
    fn less_noise_is_found_to_help_and_a_blur_to_harm() {
        let noisy = series(6.0, 1);
        let clean = series(0.5, 2);
        let verdict = judge_denoising(&noisy, &clean, &Monitor::silent()).unwrap();
        assert!(
            verdict.denoised.misfit_free < verdict.measured.misfit_free,
            "{verdict:?}"
        );
        assert!(
            verdict.sentence().contains("predicted better"),
            "{}",
            verdict.sentence()
        );
        let mut blurred = clean.clone();
        for mut image in blurred.images.outer_iter_mut() {
            let soft = crate::numeric::gaussian::gaussian_blur_image(image.view(), 3.0);
            image.assign(&soft);
        }
        let verdict = judge_denoising(&clean, &blurred, &Monitor::silent()).unwrap();
        assert!(
            verdict.sentence().contains("predicted worse"),
            "{}",
            verdict.sentence()
        );
    }

    #[test]
    fn series_that_do_not_fit_are_refused() {
        let one = series(1.0, 1);
        let mut few = one.clone();
        few.included[..20].fill(false);
        assert!(judge_denoising(&one, &few, &Monitor::silent()).is_err());
    }
}
