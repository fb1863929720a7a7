//! The frames of a series registered and summed, and the record of how the specimen drifted.

use super::frames::register;
use super::{PrepareError, PrepareParams, Step};
use crate::model::TiltSeries;
use crate::monitor::Monitor;
use serde::{Deserialize, Serialize};

/// How the specimen drifted during the frames of each tilt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Mean length of the drift velocities, pixels per frame.
    pub mean_px_per_frame: f64,
    /// Per tilt, in the order of the series.
    pub tilts: Vec<TiltDrift>,
}

/// How the specimen drifted during the frames of one tilt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TiltDrift {
    /// Nominal tilt, degrees.
    pub tilt_deg: f64,
    /// Drift velocity along x and y, pixels per frame.
    pub px_per_frame: [f64; 2],
    /// The same in Å per frame, when the pixel size is known.
    #[serde(rename = "A_per_frame")]
    pub angstrom_per_frame: Option<[f64; 2]>,
    /// Displacement of each frame that took part from their mean, pixels.
    pub displacements_px: Vec<[f64; 2]>,
    /// Frames left out, numbers from 1.
    pub dropped: Vec<usize>,
    /// Whether the frames follow the line, so that they were straightened pixel by pixel; frames that jump were only
    /// moved as a whole.
    pub straightened: bool,
}

impl Drift {
    /// One sentence for the log.
    #[must_use]
    pub fn note(&self) -> String {
        let fastest = self
            .tilts
            .iter()
            .max_by(|a, b| length(a.px_per_frame).total_cmp(&length(b.px_per_frame)));
        let jumping = self.tilts.iter().filter(|tilt| !tilt.straightened).count();
        let dropped: usize = self.tilts.iter().map(|tilt| tilt.dropped.len()).sum();
        let mut text = format!(
            "Frames: registered and summed; the specimen drifted by {:.2} px per frame on average",
            self.mean_px_per_frame
        );
        if let Some(fastest) = fastest {
            text += &format!(
                ", at most {:.2} px at {:.1}°",
                length(fastest.px_per_frame),
                fastest.tilt_deg
            );
        }
        if jumping > 0 {
            text += &format!("; the frames of {jumping} tilts jump and were only moved as a whole");
        }
        if dropped > 0 {
            text += &match dropped {
                1 => "; 1 frame was left out".to_owned(),
                n => format!("; {n} frames were left out"),
            };
        }
        text
    }
}

fn length(v: [f64; 2]) -> f64 {
    v[0].hypot(v[1])
}

/// The series with each tilt's frames registered, freed of drift and summed, and what was found; `None` when there are
/// no frames or the step is to be skipped.
pub(super) fn remove(
    series: &TiltSeries,
    params: &PrepareParams,
    monitor: &Monitor,
) -> Result<Option<(TiltSeries, Drift)>, PrepareError> {
    let Some(frames) = &series.frames else {
        return Ok(None);
    };
    if params.skip.contains(&Step::Drift) {
        return Ok(None);
    }
    let by_tilt = frames
        .by_tilt()
        .filter(|counts| counts.dim().0 == series.len());
    let Some(counts) = by_tilt else {
        return Err(PrepareError::BadInput {
            subject: format!("{}, frames", series.name),
            expected: format!("{} of each of {} tilts", frames.per_tilt, series.len()),
            found: frames.counts.dim().0.to_string(),
        });
    };
    let found = register(counts, frames.scan, &params.frames, monitor)?;
    let tilts: Vec<TiltDrift> = (0..series.len())
        .map(|tilt| TiltDrift {
            tilt_deg: series.angles[tilt].theta.to_degrees(),
            px_per_frame: found.drift_px_per_frame[tilt],
            angstrom_per_frame: series
                .pixel_size
                .map(|pixel| found.drift_px_per_frame[tilt].map(|v| v * pixel)),
            displacements_px: found.displacements_px[tilt].clone(),
            dropped: (0..frames.per_tilt)
                .filter(|frame| !found.kept[tilt].contains(frame))
                .map(|frame| frame + 1)
                .collect(),
            straightened: found.is_steady[tilt],
        })
        .collect();
    let sum: f64 = tilts.iter().map(|tilt| length(tilt.px_per_frame)).sum();
    let drift = Drift {
        mean_px_per_frame: sum / tilts.len().max(1) as f64,
        tilts,
    };
    let summed = TiltSeries {
        images: found.images,
        frames: None,
        ..series.without_pixels()
    };
    Ok(Some((summed, drift)))
}

/// Whether a series has frames that no one has registered.
pub(super) fn is_needed(series: &TiltSeries) -> bool {
    series
        .frames
        .as_ref()
        .is_some_and(|frames| frames.per_tilt > 1)
}
