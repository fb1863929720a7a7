//! *Auto*: the whole road with parameters chosen from the data alone, and the demonstration that shows it.

use super::execute::{Given, analyze, prepare, reconstruct, refine, stopped_or, trace};
use super::geometry::refine_geometry;
use super::worker::{JobContext, JobEnd};
use super::{JobError, JobOutput};
use crate::analyze::AnalyzeParams;
use crate::model::{Atoms, TiltSeries, Volume};
use crate::preprocess::{Assessment, PrepareParams, Step};
use crate::reconstruct::{GeometryParams, NanPixels, ReconstructParams, judge_geometry};
use crate::simulate::{CompareParams, DemoParams};
use crate::trace::auto::{TraceHints, suggest};
use crate::trace::ghosts::Ghosts;
use crate::trace::refine::RefineParams;
use crate::trace::{TraceParams, Traced, visible_species};
use std::sync::Arc;

/// Fewer tilts than this do not tell an object from their own errors.
const FEWEST_TILTS: usize = 12;

/// Accelerated iterations for a specimen wider than its images, whose volume holds several times as many unknowns.
const WIDE_ITERATIONS: usize = 60;

/// What a user may say beforehand.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wishes {
    /// Element of the atoms.
    pub species: Option<String>,
    /// Expected nearest distance, Å.
    pub spacing: Option<f64>,
    /// Steps left out: `preprocess`, `refine`.
    pub skip: Vec<String>,
    /// What was decided by hand of the preparation: frames left out, masks edited, images moved.
    pub hand: PrepareParams,
    /// Trace the volume now and then while it is reconstructed.
    pub follow: bool,
}

impl Wishes {
    fn names(&self) -> Vec<String> {
        let names = self.species.iter().flat_map(|list| list.split(','));
        names.map(|name| name.trim().to_owned()).collect()
    }

    fn skips(&self, step: &str) -> bool {
        self.skip.iter().any(|skipped| skipped == step)
    }
}

/// Takes a series down the road; every stage's outcome is sent as it comes.
///
/// # Errors
/// The first stage's that fails; what came before it has been sent and stays.
pub fn run(
    series: &Arc<TiltSeries>,
    truth: Option<&Atoms>,
    wishes: &Wishes,
    context: &JobContext,
) -> Result<JobEnd, JobError> {
    for step in &wishes.skip {
        if !["preprocess", "refine"].contains(&step.as_str()) {
            return Err(JobError::Failed(format!(
                "--skip {step}: expected preprocess or refine"
            )));
        }
    }
    let (series, assessment) = &assessed(series, wishes, context);
    let mut best = if wishes.skips("preprocess") || !assessment.needs_preparation() {
        Arc::clone(series)
    } else {
        prepare(series, &assessment.params, None, context)?
    };
    // Only who was told of them gets here with them: the road goes on without these pixels.
    let gaps = series.images.iter().filter(|v| !v.is_finite()).count();
    let is_refined =
        gaps == 0 && !wishes.skips("preprocess") && needs_geometry(&best, assessment, context)?;
    if is_refined {
        let params = GeometryParams {
            // The refinement of the atoms turns the tilts, too.
            volume_only: !wishes.skips("refine"),
            ..GeometryParams::default()
        };
        best = Arc::new(refine_geometry(&best, &params, context)?.series.clone());
    }
    let is_wide = assessment.is_wide && !wishes.skips("preprocess");
    let params = ReconstructParams {
        accelerated: true,
        iterations: if is_wide { WIDE_ITERATIONS } else { 40 },
        wide_specimen: is_wide,
        nan_pixels: if gaps > 0 {
            NanPixels::Mask
        } else {
            NanPixels::Refuse
        },
        ..Default::default()
    };
    let given = Given {
        follow: wishes.follow,
        ..Given::default()
    };
    let (outcome, ghosts) = reconstruct(&best, &given, &params, context)?;
    let suggestion = suggest(
        &outcome.volume,
        &TraceHints {
            spacing: wishes.spacing,
        },
    );
    for note in &suggestion.notes {
        context.monitor.note(note);
    }
    let names = wishes.names();
    let seen = (&*outcome.volume, ghosts.as_deref());
    let mut params = suggestion.params;
    if is_wide {
        let size = outcome.volume.pixel_size;
        let [x, y] = best.image_size().map(|n| 0.5 * n as f64 * size);
        (params.within_x, params.within_y) = (Some(x), Some(y));
        context.monitor.note(
            "The specimen is wider than its images: the volume is, too; atoms are kept where the images show them, and not \
             refined against tilts that show others besides",
        );
    }
    let (traced, lighter_species) = trace_species(seen, params, &names, context)?;
    let mut atoms = Arc::new(traced.atoms.clone());
    if gaps > 0 {
        context.monitor.note(&format!(
            "Refinement: left out; {gaps} pixels are no numbers, and it needs every one"
        ));
    } else if !wishes.skips("refine") && !is_wide {
        let params = RefineParams {
            refine_geometry: is_refined,
            // Where the volume shows one brightness, a second one in the residual is as likely some atoms half found.
            sort_species: traced.atoms.species_names.len() > 1,
            lighter_species,
            ..RefineParams::default()
        };
        // Refinement fits a constant below each image itself, and counts tell their own noise.
        let counted = if differ_by_constants(series, &best) {
            series
        } else {
            &best
        };
        atoms = refine(counted, &atoms, 0, (&params, true), context)?;
    }
    analyze(&atoms, &AnalyzeParams::default(), context)?;
    if let Some(truth) = truth {
        compare(&atoms, truth, context)?;
    }
    Ok(if outcome.stopped_early {
        JobEnd::Kept
    } else {
        JobEnd::Finished
    })
}

/// What a series needs; with x and y exchanged (and sent so) where its tilts agree along x.
fn assessed(
    series: &Arc<TiltSeries>,
    wishes: &Wishes,
    context: &JobContext,
) -> (Arc<TiltSeries>, Assessment) {
    let mut series = Arc::clone(series);
    let mut by_hand = PrepareParams {
        frames: wishes.hand.frames.clone(),
        mask_edits: wishes.hand.mask_edits.clone(),
        nudges: wishes.hand.nudges.clone(),
        ..PrepareParams::default()
    };
    let mut assessment = crate::preprocess::assess_with(&series, by_hand.clone());
    if assessment.axis_along_x && !wishes.skips("preprocess") {
        context.monitor.note(
            "The tilts agree along x, not along y: the tilt axis lies along x, so x and y are exchanged",
        );
        series = Arc::new(series.exchanged());
        context.output(JobOutput::Exchanged(Arc::clone(&series)));
        by_hand.exchange_hand_work();
        assessment = crate::preprocess::assess_with(&series, by_hand);
    }
    for note in &assessment.notes {
        context.monitor.note(note);
    }
    (series, assessment)
}

/// Whether the series is to have its geometry refined: one that had to be aligned always, another one if a short
/// reconstruction disagrees with its tilts. A specimen wider than its images changes from tilt to tilt and tells nothing.
fn needs_geometry(
    series: &TiltSeries,
    assessment: &Assessment,
    context: &JobContext,
) -> Result<bool, JobError> {
    if !assessment.is_whole || series.included_tilts().len() < FEWEST_TILTS {
        return Ok(false);
    }
    if !assessment.params.skip.contains(&Step::Align) {
        return Ok(true);
    }
    let verdict = judge_geometry(series, &GeometryParams::default(), &context.monitor)
        .map_err(|error| stopped_or(error, series.name.as_str()))?;
    context.monitor.note(&verdict.note());
    Ok(verdict.needs_refinement())
}

/// Traces, and splits the atoms into as many species as their intensities show when that is more than one; also the
/// names of lighter species that were asked for and not seen, which are left to the refinement.
fn trace_species(
    (volume, ghosts): (&Volume, Option<&Ghosts>),
    mut params: TraceParams,
    names: &[String],
    context: &JobContext,
) -> Result<(Arc<Traced>, Vec<String>), JobError> {
    if !names.is_empty() {
        params.species_names = names.to_vec();
        params.species = names.len();
    }
    let traced = trace(volume, ghosts, &params, context)?;
    let visible = visible_species(&traced);
    // One name given is one species, whatever the intensities do.
    if visible < 2 || names.len() == 1 || visible == params.species {
        return Ok((traced, Vec::new()));
    }
    context.monitor.note(&format!(
        "Species: the atoms' intensities show {visible} groups of brightness"
    ));
    let unseen = names.len().saturating_sub(visible);
    params.species = visible;
    params.species_names = (0..visible)
        .map(|k| {
            let name = names.get(unseen + k).cloned();
            name.unwrap_or_else(|| format!("type-{}", k + 1))
        })
        .collect();
    let traced = trace(volume, ghosts, &params, context)?;
    Ok((traced, names[..unseen].to_vec()))
}

/// Whether every image of one series is that of the other plus a constant of its own, to rounding.
fn differ_by_constants(one: &TiltSeries, other: &TiltSeries) -> bool {
    if one.images.dim() != other.images.dim() {
        return false;
    }
    let images = one.images.outer_iter().zip(other.images.outer_iter());
    images.into_iter().all(|(a, b)| {
        let mut range = [f32::INFINITY, f32::NEG_INFINITY];
        let mut largest = 0.0f32;
        for (a, b) in a.iter().zip(b) {
            range = [range[0].min(a - b), range[1].max(a - b)];
            largest = largest.max(a.abs());
        }
        range[1] - range[0] <= 1e-5 * largest
    })
}

/// The built-in particle: simulated, then taken down the road and compared with its truth.
///
/// # Errors
/// As [`run`].
pub fn demo(context: &JobContext) -> Result<JobEnd, JobError> {
    context.monitor.phase("Simulate");
    let demo = crate::simulate::demo_series(&DemoParams::default(), &context.monitor)
        .map_err(|error| stopped_or(error, "demo"))?;
    let series = Arc::new(demo.series);
    let truth = Arc::new(demo.truth);
    context.output(JobOutput::Series {
        series: Arc::clone(&series),
        truth: Some(Arc::clone(&truth)),
    });
    let wishes = Wishes {
        species: Some("Zr".to_owned()),
        ..Wishes::default()
    };
    run(&series, Some(&truth), &wishes, context)
}

fn compare(atoms: &Atoms, truth: &Atoms, context: &JobContext) -> Result<(), JobError> {
    let compared = crate::simulate::compare(atoms, truth, &CompareParams::default())
        .map_err(|error| stopped_or(error, "comparison with the truth"))?;
    let line = format!(
        "against the truth: {:.2} % of the atoms found, {} false, {:.1} pm RMSD",
        100.0 * compared.recall,
        compared.false_atoms.len(),
        compared.rmsd_pm,
    );
    context.output(JobOutput::Compared {
        line,
        json: compared.to_json(),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EulerAngles;
    use ndarray::Array3;

    #[test]
    fn images_that_differ_by_constants_are_told_from_moved_ones() {
        let angles = vec![EulerAngles::from_deg(0.0, 0.0, 0.0); 2];
        let images = Array3::from_shape_fn((2, 5, 4), |(t, x, y)| (3 * t + x * x + 2 * y) as f32);
        let raw = TiltSeries::new("raw", images, angles, None);
        let mut less = raw.clone();
        less.images
            .outer_iter_mut()
            .zip([1.3f32, 0.2])
            .for_each(|(mut image, level)| image.mapv_inplace(|v| v - level));
        assert!(differ_by_constants(&raw, &less));
        let mut moved = raw.clone();
        moved.images[[1, 2, 2]] += 0.5;
        assert!(!differ_by_constants(&raw, &moved));
    }
}
