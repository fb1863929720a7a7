//! Whether a series is aligned already, from one round of the refinement at low resolution: a few percent of what the
//! refinement itself would take.

use super::level::Free;
use super::{GeometryParams, Run, SMALLEST_HALVED, check, mean, root_mean_square};
use crate::model::TiltSeries;
use crate::monitor::Monitor;
use crate::numeric::poses::COMPONENTS;
use crate::reconstruct::ReconstructError;

/// Shifts and turns beyond this many standard errors are no noise. Aligned series, simulated and published, ask for turns
/// of 2 to 3.5 (a large object seen with a missing wedge for 8), because a short reconstruction fits no better …
const SIGNIFICANT: f64 = 4.5;
/// … but for shifts of no more than 1 to 1.7: without shifts of this many errors, turns count for nothing.
const NOTICEABLE: f64 = 2.0;

/// What one round says of a series' geometry.
#[derive(Debug, Clone, PartialEq)]
pub struct GeometryVerdict {
    /// Shifts that the tilts ask for, root mean square, pixels.
    pub shift_px: f64,
    /// Turns that they ask for, root mean square, pixels at the object's radius.
    pub turn_px: f64,
    /// Standard error that noise gives such a shift, pixels.
    pub error_px: f64,
    /// R of the low-passed images in the short reconstruction.
    pub r1: f64,
}

impl GeometryVerdict {
    /// Whether the tilts ask for more than noise and an unfinished reconstruction explain.
    #[must_use]
    pub fn needs_refinement(&self) -> bool {
        let turned = self.turn_px > SIGNIFICANT * self.error_px;
        let moved = |errors: f64| self.shift_px > errors * self.error_px;
        moved(SIGNIFICANT) || turned && moved(NOTICEABLE)
    }

    /// The decision as a sentence.
    #[must_use]
    pub fn note(&self) -> String {
        let decision = if self.needs_refinement() {
            "it will be refined"
        } else {
            "nothing to refine"
        };
        format!(
            "Geometry: a short reconstruction asks for shifts of {:.2} px and turns of {:.2} px at the object's radius \
             (noise alone {:.2} px); {decision}",
            self.shift_px, self.turn_px, self.error_px
        )
    }
}

/// Asks every tilt how it would have to be moved and turned to agree with a short reconstruction of all.
///
/// # Errors
/// As [`super::refine_geometry`].
pub fn judge_geometry(
    series: &TiltSeries,
    params: &GeometryParams,
    monitor: &Monitor,
) -> Result<GeometryVerdict, ReconstructError> {
    check(series, params)?;
    monitor.phase("Looking at the geometry");
    let run = Run::new(series, params, monitor);
    let [nx, ny] = run.series.image_size();
    let bin = if nx.min(ny) >= SMALLEST_HALVED { 2 } else { 1 };
    let found = run
        .level(bin, None)
        .round(&run.poses, Free::All, 2 * params.iterations)?;
    let part = |values: &[f64], range: std::ops::Range<usize>| -> Vec<f64> {
        values
            .chunks(COMPONENTS)
            .flat_map(|tilt| tilt[range.clone()].to_vec())
            .collect()
    };
    let mut errors = part(&found.errors, 3..5);
    errors.sort_by(f64::total_cmp);
    Ok(GeometryVerdict {
        shift_px: root_mean_square(&part(&found.step, 3..5)),
        turn_px: root_mean_square(&part(&found.step, 0..3)),
        error_px: errors[errors.len() / 2],
        r1: mean(&found.r),
    })
}
