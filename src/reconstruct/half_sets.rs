//! Two reconstructions from every second tilt each, and how far they agree.

use super::{ReconstructError, ReconstructParams, Resire};
use crate::model::{TiltSeries, Volume};
use crate::monitor::Monitor;
use crate::numeric::fsc::{Fsc, fourier_shell_correlation};

/// Fewest tilts that make two halves.
const FEWEST_TILTS: usize = 4;

/// Reconstructs the tilts that take part in two halves, each with `iterations` and otherwise as `params` says, and
/// correlates the halves shell by shell. Tilts are dealt out in the order of θ, so that both halves cover the same
/// range as evenly as they can.
pub(super) fn correlate(
    series: &TiltSeries,
    params: &ReconstructParams,
    support: Option<&Volume>,
    iterations: usize,
    monitor: &Monitor,
) -> Result<Fsc, ReconstructError> {
    let mut tilts = series.included_tilts();
    if tilts.len() < FEWEST_TILTS {
        return Err(ReconstructError::BadInput {
            subject: "half sets".to_owned(),
            expected: format!("at least {FEWEST_TILTS} tilts"),
            found: tilts.len().to_string(),
        });
    }
    tilts.sort_by(|&a, &b| series.angles[a].theta.total_cmp(&series.angles[b].theta));
    let params = ReconstructParams {
        leave_out: None,
        ..params.clone()
    };
    monitor.phase("Half sets");
    let half = |odd: usize| -> Result<Volume, ReconstructError> {
        let mut part = series.clone();
        part.included.fill(false);
        for &tilt in tilts.iter().skip(odd).step_by(2) {
            part.included[tilt] = true;
        }
        let mut resire = Resire::new(&part, &params, None, support, monitor)?;
        for done in 0..iterations {
            monitor.progress(odd * iterations + done, 2 * iterations);
            resire.step(monitor)?;
        }
        Ok(resire.volume())
    };
    let (even, odd) = (half(0)?, half(1)?);
    Ok(fourier_shell_correlation(
        &even.data,
        &odd.data,
        even.pixel_size,
    ))
}
