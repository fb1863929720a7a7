//! What of a tilt series cannot be reconstructed, and what can but should not go unsaid.

use super::{NanPixels, ReconstructError, ReconstructParams};
use crate::model::{EulerAngles, TiltSeries};

/// Angles nearer than this (radians) are the same: far below what a goniometer tells apart.
const SAME_ANGLE: f64 = 1e-5;

fn bad(
    subject: String,
    expected: &str,
    found: impl std::fmt::Display,
) -> Result<(), ReconstructError> {
    Err(ReconstructError::BadInput {
        subject,
        expected: expected.to_owned(),
        found: found.to_string(),
    })
}

/// Refuses images that hold nothing or what is no number, unless that is masked, and a series darker than nothing.
pub(super) fn check_images(
    series: &TiltSeries,
    params: &ReconstructParams,
) -> Result<(), ReconstructError> {
    let mut sum = 0.0;
    for tilt in 0..series.len() {
        let image = series.image(tilt);
        let gaps = image.iter().filter(|v| !v.is_finite()).count();
        if gaps > 0 && params.nan_pixels == NanPixels::Refuse {
            return bad(
                format!("image {}", tilt + 1),
                "finite pixels (or nan_pixels mask, to leave the others out of the fit)",
                format_args!("{gaps} that are not numbers"),
            );
        }
        let known = || image.iter().filter(|v| v.is_finite());
        if known().all(|v| *v == 0.0) {
            let found = if gaps == image.len() {
                "no number"
            } else {
                "zeros only"
            };
            return bad(
                format!("image {}", tilt + 1),
                "an image (exclude the tilt if it holds none)",
                found,
            );
        }
        sum += known().map(|v| f64::from(*v)).sum::<f64>();
    }
    if sum <= 0.0 && !params.no_positivity {
        return bad(
            "mean of all images".to_owned(),
            "above zero: density is positive (contrast reversed, or too much background taken off?)",
            format_args!("{:.4}", sum / series.images.len() as f64),
        );
    }
    Ok(())
}

/// Refuses angles that are no numbers or all the same.
pub(super) fn check_angles(series: &TiltSeries) -> Result<(), ReconstructError> {
    let finite = |a: &EulerAngles| [a.phi, a.theta, a.psi].iter().all(|v| v.is_finite());
    if let Some(tilt) = series.angles.iter().position(|a| !finite(a)) {
        return bad(format!("angles of tilt {}", tilt + 1), "numbers", "none");
    }
    let first = series.angles[0];
    if series.len() > 1 && series.angles.iter().all(|a| same(a, &first)) {
        return bad(
            "angles".to_owned(),
            "different tilts",
            format_args!("{} times the same", series.len()),
        );
    }
    Ok(())
}

/// What is used as it is, but said: tilts with the same angles, images below zero, masked pixels.
pub(super) fn warnings(series: &TiltSeries, params: &ReconstructParams) -> Vec<String> {
    let tilts = series.included_tilts();
    let mut warnings = Vec::new();
    let mut twice = Vec::new();
    for (place, &tilt) in tilts.iter().enumerate() {
        let before = tilts[..place]
            .iter()
            .find(|&&other| same(&series.angles[other], &series.angles[tilt]));
        if let Some(other) = before {
            twice.push(format!("{} as {}", tilt + 1, other + 1));
        }
    }
    if !twice.is_empty() {
        warnings.push(format!(
            "tilts with the same angles count twice (exclude one of each): {}",
            twice.join(", ")
        ));
    }
    let mut below = Vec::new();
    let mut masked = 0;
    for &tilt in &tilts {
        let image = series.image(tilt);
        let known = || image.iter().filter(|v| v.is_finite());
        masked += image.len() - known().count();
        if known().map(|v| f64::from(*v)).sum::<f64>() < 0.0 {
            below.push((tilt + 1).to_string());
        }
    }
    if !below.is_empty() && !params.no_positivity {
        warnings.push(format!(
            "images with a negative mean, which no positive density explains: {}",
            below.join(", ")
        ));
    }
    if masked > 0 && params.nan_pixels == NanPixels::Mask {
        warnings.push(format!(
            "{masked} pixels that are not numbers do not take part in the fit"
        ));
    }
    warnings
}

fn same(a: &EulerAngles, b: &EulerAngles) -> bool {
    let apart = [a.phi - b.phi, a.theta - b.theta, a.psi - b.psi];
    apart.iter().all(|d| d.abs() < SAME_ANGLE)
}
