//! From a raw tilt series to one that RESIRE can use: frames and their drift, denoising, background and alignment.
//!
//! Which steps a series needs is decided from its own pixels ([`assess`]): where the vacuum around the specimen is
//! empty nothing is subtracted, where the tilts already agree nothing is moved, and each decision comes with a
//! sentence. [`prepare`] carries out what is needed. Counts stay counts: a pixel remains the plain sum along the beam.
//!
//! Denoising is done on request only: what a model gains or loses by it cannot be told from the pixels. Background and
//! alignment are always *measured* on the raw counts, whose noise is known, and then applied to the denoised ones.

pub mod align;
pub mod axis;
pub mod background;
pub mod bm3d;
pub mod calibrate;
pub mod drift;
pub mod frames;
pub mod inspect;
pub mod mask;
pub mod nudge;
pub mod vacuum;
mod work;

pub use align::Misalignment;
pub use axis::TiltAxis;
pub use background::BackgroundModel;
pub use bm3d::{Bm3dError, Bm3dParams, Denoised};
pub use calibrate::{CalibrateParams, Calibration, CrystalImage, ImageCalibration, calibrate};
pub use drift::{Drift, TiltDrift};
pub use frames::{FastAxis, FrameId, FrameParams, Registered, register};
pub use mask::{MaskChange, MaskEdit};
pub use nudge::Nudge;

use crate::model::geometry::{multiply, rotation_about, transpose};
use crate::model::{EulerAngles, TiltSeries};
use crate::monitor::{Monitor, Stopped};
use ndarray::{Array2, Array3, Axis};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use vacuum::Vacuum;
use work::{Kept, Reuse, Work, looked_at};

/// A step of the preparation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Registration of the frames of a tilt.
    Drift,
    /// BM3D.
    Denoise,
    /// Background subtraction.
    Background,
    /// Alignment of the tilts.
    Align,
}

/// Parameters of the preparation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct PrepareParams {
    /// Steps to leave out
    #[arg(long, value_enum, value_delimiter = ',')]
    pub skip: Vec<Step>,
    /// Do every step that is not left out, whether the data needs it or not
    #[arg(long)]
    pub all_steps: bool,
    /// How the frames of a tilt are registered
    #[command(flatten)]
    #[serde(flatten)]
    pub frames: FrameParams,
    /// How the background is carried on below the specimen
    #[arg(long, value_enum, default_value_t = Self::default().background_model)]
    pub background_model: BackgroundModel,
    /// Pixels the specimen's outline is widened by
    #[arg(long, default_value_t = Self::default().dilation_px)]
    pub dilation_px: usize,
    /// Changes by hand to the masks of specimen and vacuum, in the order they were made.
    #[arg(skip)]
    pub mask_edits: Vec<MaskEdit>,
    /// Set negative counts to zero after the subtraction (puts a positive haze into noisy vacuum)
    #[arg(long)]
    pub clamp: bool,
    /// Angle of the tilt axis from y, counter-clockwise, degrees [default: searched; y unless the tilts clearly differ]
    #[arg(long, allow_hyphen_values = true)]
    pub axis_deg: Option<f64>,
    /// Scale all images to the same sum (only for a specimen wholly inside the images)
    #[arg(long)]
    pub equalize_dose: bool,
    /// Images moved by hand, beside what the alignment does.
    #[arg(skip)]
    pub nudges: Vec<Nudge>,
    /// Denoise the images by BM3D
    #[arg(long)]
    pub denoise: bool,
    /// How to denoise
    #[command(flatten)]
    pub bm3d: Bm3dParams,
}

impl Default for PrepareParams {
    fn default() -> Self {
        Self {
            skip: Vec::new(),
            all_steps: false,
            frames: FrameParams::default(),
            background_model: BackgroundModel::Auto,
            dilation_px: 3,
            mask_edits: Vec::new(),
            clamp: false,
            axis_deg: None,
            equalize_dose: false,
            nudges: Vec::new(),
            denoise: false,
            bm3d: Bm3dParams::default(),
        }
    }
}

impl PrepareParams {
    /// These parameters with the hand work of others: frames left out, masks edited, images moved.
    #[must_use]
    pub fn with_hand_work_of(&self, other: &Self) -> Self {
        Self {
            frames: FrameParams {
                drop_frames: other.frames.drop_frames.clone(),
                ..self.frames.clone()
            },
            mask_edits: other.mask_edits.clone(),
            nudges: other.nudges.clone(),
            ..self.clone()
        }
    }

    /// The hand work for images whose x and y were exchanged.
    pub fn exchange_hand_work(&mut self) {
        for edit in &mut self.mask_edits {
            edit.change.exchange();
        }
        for nudge in &mut self.nudges {
            nudge.shift_px.reverse();
        }
    }
}

/// What a series needs, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// Parameters that do what is needed and leave out the rest.
    pub params: PrepareParams,
    /// Whether (nearly) every image shows the whole specimen with vacuum around it: only then the tilts show one object.
    pub is_whole: bool,
    /// Whether most images show a specimen that is wider than they are, so that tilted rays meet matter no other image shows.
    pub is_wide: bool,
    /// Whether the tilts agree along x and not along y, as those of a series with its tilt axis along x do.
    pub axis_along_x: bool,
    /// One sentence per decision.
    pub notes: Vec<String>,
}

impl Assessment {
    /// Whether any step is needed, or images were moved by hand.
    #[must_use]
    pub fn needs_preparation(&self) -> bool {
        let steps = [Step::Drift, Step::Background, Step::Align];
        let wanted = steps.iter().any(|step| !self.params.skip.contains(step));
        wanted || !self.params.nudges.is_empty()
    }
}

/// A prepared series and what was done to it.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The prepared series.
    pub series: Arc<TiltSeries>,
    /// How the specimen drifted during the frames; `None` when there were none, or they were left alone.
    pub drift: Option<Drift>,
    /// The registered frames of each tilt summed, shape `(tilt, x, y)`, before anything else was done; `None` as above.
    pub summed: Option<Array3<f32>>,
    /// What BM3D made of the raw counts, before anything was subtracted or moved; `None` when it was not asked for.
    pub denoised: Option<Denoised>,
    /// What was subtracted, shape `(tilt, x, y)`, before the images were moved; `None` when nothing was.
    pub background: Option<Array3<f32>>,
    /// Mean subtracted count of each tilt.
    pub background_level: Vec<f64>,
    /// Mean and standard deviation of the counts left outside the specimen, per tilt, before the images were moved; NaN
    /// where an image shows no vacuum.
    pub residual_level: Vec<[f64; 2]>,
    /// Pixels of the specimen, widened, one mask `(x, y)` per tilt, before the images were moved.
    pub specimens: Vec<Array2<bool>>,
    /// How far each image was moved along x and y, pixels; all zero when the series was left where it was.
    pub shifts_px: Vec<[f64; 2]>,
    /// What the alignment saw; `None` when it could not look.
    pub misalignment: Option<Misalignment>,
    /// Where the tilt axis lies; `None` when nobody looked or the tilts do not tell.
    pub axis: Option<TiltAxis>,
    /// Later images of the same side against the first, before they were moved.
    pub damage: Vec<inspect::Damage>,
    /// What was decided and done, one sentence each.
    pub notes: Vec<String>,
    kept: Kept,
}

impl Prepared {
    /// The parameters this was made with.
    #[must_use]
    pub fn params(&self) -> &PrepareParams {
        &self.kept.params
    }

    /// The steps that were not done, and why.
    #[must_use]
    pub fn left_out(&self) -> Vec<(Step, String)> {
        let all = [Step::Drift, Step::Denoise, Step::Background, Step::Align];
        let why = |step: Step| {
            let said = |about: &str| {
                let mut sentences = self.notes.iter().filter_map(|n| n.split_once(": "));
                let found = sentences.find(|(begins, _)| *begins == about);
                found.map_or("not needed", |(_, rest)| rest).to_owned()
            };
            if self.kept.params.skip.contains(&step) {
                return "left out on request".to_owned();
            }
            match step {
                Step::Drift => "there is one image per tilt".to_owned(),
                Step::Denoise => "not asked for".to_owned(),
                Step::Background => said("Background"),
                Step::Align => said("Alignment"),
            }
        };
        let undone = all.into_iter().filter(|step| !self.did(*step));
        undone.map(|step| (step, why(step))).collect()
    }

    /// Whether a step left a mark on the images.
    #[must_use]
    pub fn did(&self, step: Step) -> bool {
        match step {
            Step::Drift => self.drift.is_some(),
            Step::Denoise => self.denoised.is_some(),
            Step::Background => self.background.is_some(),
            // Moves by hand are none of its doing.
            Step::Align => self.kept.align && self.misalignment.is_some(),
        }
    }
}

/// Why a series cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The series cannot be used.
    #[error("{subject}: expected {expected}, found {found}")]
    BadInput {
        /// What is wrong.
        subject: String,
        /// What is needed.
        expected: String,
        /// What there is.
        found: String,
    },
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
    /// The series cannot be denoised.
    #[error(transparent)]
    Denoise(Bm3dError),
    /// The user stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl From<Bm3dError> for PrepareError {
    fn from(error: Bm3dError) -> Self {
        match error {
            Bm3dError::Stopped(how) => Self::Stopped(how),
            other => Self::Denoise(other),
        }
    }
}

/// Decides which steps a series needs. A series that cannot be judged (too small, not finite) needs none, and the
/// note says so.
#[must_use]
pub fn assess(series: &TiltSeries) -> Assessment {
    assess_with(series, PrepareParams::default())
}

/// As [`assess`], from parameters that hold what was decided by hand: frames left out, masks edited, images moved.
#[must_use]
pub fn assess_with(series: &TiltSeries, params: PrepareParams) -> Assessment {
    match Work::new(series, &params, Reuse::default(), &Monitor::silent()) {
        Ok(work) => {
            let mut skip = Vec::new();
            if !drift::is_needed(series) {
                skip.push(Step::Drift);
            }
            if !work.subtract {
                skip.push(Step::Background);
            }
            if !work.align {
                skip.push(Step::Align);
            }
            Assessment {
                params: PrepareParams { skip, ..params },
                is_whole: work.is_whole(),
                is_wide: work.is_wide(),
                axis_along_x: series.is_single_axis()
                    && (work.misalignment.as_ref())
                        .is_some_and(align::Misalignment::axis_seems_along_x),
                notes: work.notes,
            }
        }
        Err(error) => Assessment {
            params: PrepareParams {
                skip: vec![Step::Drift, Step::Background, Step::Align],
                ..params
            },
            is_whole: false,
            is_wide: false,
            axis_along_x: false,
            notes: vec![format!("Preparation: left out; {error}")],
        },
    }
}

/// Prepares a series: registers and sums its frames, denoises it on request, subtracts its background and aligns it as
/// far as the data asks for it.
///
/// # Errors
/// Images that are too small or hold no finite numbers, a parameter out of range, or a stop.
pub fn prepare(
    series: &TiltSeries,
    params: &PrepareParams,
    monitor: &Monitor,
) -> Result<Prepared, PrepareError> {
    prepare_again(series, params, None, monitor)
}

/// As [`prepare`], taking over from an `earlier` preparation of the very same series what the changed parameters leave as
/// it was: only the first step that differs and those after it are done again.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_again(
    series: &TiltSeries,
    params: &PrepareParams,
    earlier: Option<&Prepared>,
    monitor: &Monitor,
) -> Result<Prepared, PrepareError> {
    let skips = |p: &PrepareParams, step| p.skip.contains(&step);
    let earlier = earlier.filter(|earlier| {
        let before = &earlier.kept.params;
        series.frames.is_none()
            || (before.frames == params.frames
                && skips(before, Step::Drift) == skips(params, Step::Drift))
    });
    let (summed, drift) = match earlier {
        Some(earlier) => (
            earlier.summed.as_ref().map(|images| TiltSeries {
                images: images.clone(),
                frames: None,
                ..series.without_pixels()
            }),
            earlier.drift.clone(),
        ),
        None => drift::remove(series, params, monitor)?.unzip(),
    };
    let series = summed.as_ref().unwrap_or(series);
    let reuse = Reuse::of(earlier, params);
    let mut work = Work::new(series, params, reuse, monitor)?;
    let kept = work.kept(params);
    for note in &mut work.notes {
        *note = note.replace(", to be subtracted", "; subtracted");
    }
    let tilts = series.len();
    let denoised = if (params.denoise || params.all_steps) && !params.skip.contains(&Step::Denoise)
    {
        let known = reuse
            .vacuum
            .filter(|earlier| earlier.kept.params.bm3d == params.bm3d)
            .and_then(|earlier| earlier.denoised.clone());
        let found = match known {
            Some(known) => known,
            None => bm3d::denoise(
                &series.images,
                &trusted(&work.vacuums),
                &params.bm3d,
                monitor,
            )?,
        };
        work.notes.insert(0, found.note());
        work.flat.assign(&found.images);
        if let Some(background) = &work.background {
            work.flat -= background;
        }
        Some(found)
    } else {
        None
    };
    let mut images = work.flat;
    let background_level = work.background.as_ref().map_or_else(
        || vec![0.0; tilts],
        |b| {
            b.outer_iter()
                .map(|image| f64::from(image.mean().unwrap_or(0.0)))
                .collect()
        },
    );
    let repeated = inspect::same_views(&series.angles, &series.included).len() > 1;
    // What denoising leaves of the noise is not known.
    let noise = (repeated && denoised.is_none())
        .then(|| bm3d::noise_variances(&series.images))
        .flatten();
    let (angles, included) = (&series.angles, &series.included);
    let damage = inspect::damage(&images, angles, included, noise.as_deref());
    work.notes.extend(inspect::damage_note(&damage));
    let residual_level: Vec<[f64; 2]> = images
        .outer_iter()
        .zip(&work.vacuums)
        .map(|(image, vacuum)| level_outside(image, &vacuum.specimen))
        .collect();
    if work.background.is_some() {
        work.notes.push(residual_note(&residual_level));
    }
    if params.equalize_dose {
        work.notes.push(equalize(&mut images, &work.vacuums));
    }
    let mut shifts_px = vec![[0.0; 2]; tilts];
    if let (true, Some(found)) = (work.align, &work.misalignment) {
        shifts_px.clone_from(&found.shifts_px);
    }
    nudge::add(&params.nudges, &mut shifts_px);
    work.notes.extend(nudge::note(&params.nudges, tilts));
    if shifts_px.iter().flatten().any(|shift| *shift != 0.0) {
        monitor.phase("Moving the images");
        align::apply(&mut images, &shifts_px, monitor)?;
    }
    if params.clamp {
        images.mapv_inplace(|v| v.max(0.0));
    }
    let mut prepared = TiltSeries {
        images,
        frames: None,
        ..series.without_pixels()
    };
    if let (true, Some(axis)) = (work.turned, &work.axis) {
        turn_angles(&mut prepared.angles, axis.angle());
    }
    if let Some(drift) = &drift {
        work.notes.insert(0, drift.note());
    }
    Ok(Prepared {
        series: Arc::new(prepared),
        drift,
        summed: summed.map(|summed| summed.images),
        damage,
        axis: work.axis,
        denoised,
        background: work.background,
        background_level,
        residual_level,
        specimens: work.vacuums.into_iter().map(|v| v.specimen).collect(),
        shifts_px,
        misalignment: work.misalignment,
        notes: work.notes,
        kept,
    })
}

/// Where noise may not be measured. Where the vacuum is not to be trusted that is the whole image: its structure would
/// pass for colored noise.
fn trusted(vacuums: &[Vacuum]) -> Vec<Array2<bool>> {
    let of = |v: &Vacuum| v.specimen.mapv(|s| s || !v.is_usable());
    vacuums.iter().map(of).collect()
}

/// What denoising would make of one image, the noise measured on this image alone: shape `(x, y)`, for a quick look.
///
/// # Errors
/// An image that cannot be used, a parameter out of range, or a stop.
///
/// # Panics
/// If there is no such tilt.
pub fn preview_denoise(
    series: &TiltSeries,
    tilt: usize,
    params: &PrepareParams,
    monitor: &Monitor,
) -> Result<Array2<f32>, PrepareError> {
    let image = series.image(tilt);
    let vacuum = looked_at(series, tilt, params);
    let stack = image.to_owned().insert_axis(Axis(0));
    let found = bm3d::denoise(&stack, &trusted(&[vacuum]), &params.bm3d, monitor)?;
    Ok(found.images.index_axis_move(Axis(0), 0))
}

/// The mask of an image's specimen as the rule finds it, before hand work: shape `(x, y)`.
///
/// # Panics
/// If there is no such tilt.
#[must_use]
pub fn mask_by_rule(series: &TiltSeries, tilt: usize, dilation_px: usize) -> Array2<bool> {
    vacuum::find(series.image(tilt), dilation_px).specimen
}

/// The angles of tilts about an axis turned counter-clockwise from y: the same turns about another line.
fn turn_angles(angles: &mut [EulerAngles], turn: f64) {
    let there = rotation_about([0.0, 0.0, turn]);
    for angle in angles {
        let turned = multiply(
            &multiply(&there, &angle.detector_from_sample()),
            &transpose(&there),
        );
        *angle = EulerAngles::from_rotation(&turned, *angle);
    }
}

/// Mean and standard deviation of an image outside its specimen.
fn level_outside(image: ndarray::ArrayView2<'_, f32>, specimen: &Array2<bool>) -> [f64; 2] {
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    for (&value, &inside) in image.iter().zip(specimen) {
        if !inside {
            sum += f64::from(value);
            squares += f64::from(value).powi(2);
            count += 1.0;
        }
    }
    let mean = sum / count;
    [mean, (squares / count - mean * mean).max(0.0).sqrt()]
}

/// What is left outside the specimen, over all tilts.
fn residual_note(levels: &[[f64; 2]]) -> String {
    let known: Vec<&[f64; 2]> = levels.iter().filter(|l| l[0].is_finite()).collect();
    let count = known.len().max(1) as f64;
    let mean = known.iter().map(|l| l[0]).sum::<f64>() / count;
    let between = (known.iter().map(|l| (l[0] - mean).powi(2)).sum::<f64>() / count).sqrt();
    let within = known.iter().map(|l| l[1]).sum::<f64>() / count;
    format!(
        "Background: {mean:.3} ± {between:.3} counts per pixel are left outside the specimen (mean and standard deviation of \
         the tilts; a pixel scatters by {within:.2})"
    )
}

/// Scales all images to their mean sum over the specimen; says by how much.
fn equalize(images: &mut Array3<f32>, vacuums: &[Vacuum]) -> String {
    let sums: Vec<f64> = images
        .outer_iter()
        .zip(vacuums)
        .map(|(image, vacuum)| {
            image
                .iter()
                .zip(&vacuum.specimen)
                .filter(|(_, s)| **s)
                .map(|(&v, _)| f64::from(v))
                .sum()
        })
        .collect();
    let mean = sums.iter().sum::<f64>() / sums.len().max(1) as f64;
    if sums.is_empty() || sums.iter().any(|&s| s <= 0.0) {
        return "Dose: left as it is; some image holds no counts".to_owned();
    }
    let mut widest: f64 = 0.0;
    for (mut image, sum) in images.axis_iter_mut(Axis(0)).zip(&sums) {
        let factor = mean / sum;
        widest = widest.max((factor - 1.0).abs());
        image.mapv_inplace(|v| v * factor as f32);
    }
    format!(
        "Dose: images scaled to the same sum, by up to {:.1} %",
        100.0 * widest
    )
}

#[cfg(test)]
mod tests;
