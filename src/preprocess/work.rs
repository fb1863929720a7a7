//! What the images say before anything is done to them: specimen and vacuum, background, alignment, tilt axis. Decisions
//! and their sentences are made here.

use super::align::{self, Misalignment};
use super::axis::{self, TiltAxis};
use super::mask::{self, MaskEdit};
use super::vacuum::{self, Vacuum};
use super::{PrepareError, PrepareParams, Prepared, Step, background};
use crate::model::TiltSeries;
use crate::monitor::{Monitor, Stopped};
use ndarray::{Array2, Array3};
use rayon::prelude::*;

/// Tilts that scatter by less than this (root mean square, pixels) count as aligned: the criteria used here are good
/// to 0.3 px, so that moving better aligned images would harm them.
const ALIGNED_PX: f64 = 0.5;
/// A scatter below this many standard errors may be noise.
const ALIGNED_ERRORS: f64 = 3.0;
/// A specimen on more than this share of the images' border is wider than the images.
const WIDE_BORDER_SHARE: f64 = 0.02;
/// Smallest image that can be prepared, pixels on a side.
const SMALLEST_IMAGE: usize = 16;

/// Specimen and vacuum of an image, its mask edited by hand where someone did.
pub(super) fn looked_at(series: &TiltSeries, tilt: usize, params: &PrepareParams) -> Vacuum {
    let image = series.image(tilt);
    let mut found = vacuum::find(image, params.dilation_px);
    let mut specimen = found.specimen.clone();
    if mask::apply_to(&mut specimen, tilt, &params.mask_edits) {
        found = found.with_specimen(image, specimen);
    }
    found
}

/// Everything measured on the way to a decision.
pub(super) struct Work {
    pub(super) vacuums: Vec<Vacuum>,
    pub(super) subtract: bool,
    pub(super) background: Option<Array3<f32>>,
    /// The images, background-free when `subtract`.
    pub(super) flat: Array3<f32>,
    pub(super) align: bool,
    pub(super) misalignment: Option<Misalignment>,
    pub(super) axis: Option<TiltAxis>,
    /// Whether the axis is taken to lie elsewhere than along y.
    pub(super) turned: bool,
    pub(super) notes: Vec<String>,
    /// Sentences of the background and of the alignment alone.
    said: [Vec<String>; 2],
}

/// What a later preparation of the same images takes over as far as its parameters agree.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) params: PrepareParams,
    pub(super) vacuums: Vec<Vacuum>,
    subtract: bool,
    pub(super) align: bool,
    turned: bool,
    said: [Vec<String>; 2],
}

/// How far an earlier preparation of the same images still holds: each step needs the ones before it.
#[derive(Clone, Copy, Default)]
pub(super) struct Reuse<'a> {
    pub(super) vacuum: Option<&'a Prepared>,
    background: Option<&'a Prepared>,
    align: Option<&'a Prepared>,
}

impl<'a> Reuse<'a> {
    /// What of `earlier`, which had the same counts, holds for `params`.
    pub(super) fn of(earlier: Option<&'a Prepared>, params: &PrepareParams) -> Self {
        let skips = |p: &PrepareParams, step| p.skip.contains(&step);
        let vacuum = earlier.filter(|earlier| {
            let p = &earlier.kept.params;
            p.dilation_px == params.dilation_px && p.mask_edits == params.mask_edits
        });
        let background = vacuum.filter(|earlier| {
            let p = &earlier.kept.params;
            p.background_model == params.background_model
                && p.all_steps == params.all_steps
                && skips(p, Step::Background) == skips(params, Step::Background)
        });
        let align = background.filter(|earlier| {
            let p = &earlier.kept.params;
            p.axis_deg == params.axis_deg && skips(p, Step::Align) == skips(params, Step::Align)
        });
        Self {
            vacuum,
            background,
            align,
        }
    }
}

impl Work {
    /// What a later preparation may take over.
    pub(super) fn kept(&self, params: &PrepareParams) -> Kept {
        Kept {
            params: params.clone(),
            vacuums: self.vacuums.clone(),
            subtract: self.subtract,
            align: self.align,
            turned: self.turned,
            said: self.said.clone(),
        }
    }

    pub(super) fn new(
        series: &TiltSeries,
        params: &PrepareParams,
        reuse: Reuse<'_>,
        monitor: &Monitor,
    ) -> Result<Self, PrepareError> {
        check(series, params)?;
        let tilts = series.len();
        let vacuums = match reuse.vacuum {
            Some(earlier) => earlier.kept.vacuums.clone(),
            None => look_for_vacuum(series, params, monitor)?,
        };
        let mut work = Self {
            vacuums,
            subtract: false,
            background: None,
            flat: series.images.clone(),
            align: false,
            misalignment: None,
            axis: None,
            turned: false,
            notes: Vec::new(),
            said: [const { Vec::new() }; 2],
        };
        match reuse.background {
            Some(earlier) => work.take_background(earlier),
            None => work.remove_background(series, params, monitor)?,
        }
        work.said[0] = std::mem::take(&mut work.notes);
        match reuse.align {
            Some(earlier) => work.take_alignment(earlier),
            None => work.judge_alignment(series, params, monitor)?,
        }
        work.said[1] = std::mem::take(&mut work.notes);
        work.notes.extend(mask_note(&params.mask_edits, tilts));
        work.notes.extend(work.said.iter().flatten().cloned());
        Ok(work)
    }

    /// The background as it was measured before.
    fn take_background(&mut self, earlier: &Prepared) {
        self.subtract = earlier.kept.subtract;
        self.notes.clone_from(&earlier.kept.said[0]);
        self.background.clone_from(&earlier.background);
        if let Some(background) = &self.background {
            self.flat -= background;
        }
    }

    /// The alignment as it was measured before.
    fn take_alignment(&mut self, earlier: &Prepared) {
        self.align = earlier.kept.align;
        self.turned = earlier.kept.turned;
        self.misalignment.clone_from(&earlier.misalignment);
        self.axis = earlier.axis;
        self.notes.clone_from(&earlier.kept.said[1]);
    }

    fn remove_background(
        &mut self,
        series: &TiltSeries,
        params: &PrepareParams,
        monitor: &Monitor,
    ) -> Result<(), PrepareError> {
        if params.skip.contains(&Step::Background) {
            self.notes
                .push("Background: left out on request".to_owned());
            return Ok(());
        }
        monitor.phase("Measuring the background");
        let verdict = background::decide(
            |tilt| series.image(tilt),
            &self.vacuums,
            params.background_model,
        );
        self.notes.push(verdict.note);
        self.subtract = verdict.needed || params.all_steps;
        if !self.subtract {
            return Ok(());
        }
        let (_, nx, ny) = series.images.dim();
        let estimates = (0..series.len())
            .into_par_iter()
            .map(|tilt| {
                background::estimate(
                    series.image(tilt),
                    &self.vacuums[tilt],
                    verdict.model,
                    monitor,
                )
            })
            .collect::<Result<Vec<Option<Array2<f32>>>, Stopped>>()?;
        let Some(mean) = mean_of(&estimates, (nx, ny)) else {
            self.subtract = false;
            return Ok(());
        };
        let unsure: Vec<usize> = (0..estimates.len())
            .filter(|&tilt| estimates[tilt].is_none())
            .collect();
        if !unsure.is_empty() {
            let numbers: Vec<usize> = unsure.iter().map(|tilt| tilt + 1).collect();
            let note = format!(
                "Background: images {numbers:?} show no vacuum of their own, the others' mean was used"
            );
            monitor.warn(&note);
            self.notes.push(note);
        }
        let mut background = Array3::<f32>::zeros(series.images.dim());
        for (mut slot, estimate) in background.outer_iter_mut().zip(&estimates) {
            slot.assign(estimate.as_ref().unwrap_or(&mean));
        }
        self.flat -= &background;
        self.background = Some(background);
        Ok(())
    }

    /// Images that do not show the whole specimen.
    fn wide(&self) -> usize {
        self.vacuums
            .iter()
            .filter(|v| !v.is_usable() || v.border_share > WIDE_BORDER_SHARE)
            .count()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.wide() * 10 <= self.vacuums.len()
    }

    pub(super) fn is_wide(&self) -> bool {
        self.wide() * 2 > self.vacuums.len()
    }

    fn judge_alignment(
        &mut self,
        series: &TiltSeries,
        params: &PrepareParams,
        monitor: &Monitor,
    ) -> Result<(), PrepareError> {
        if params.skip.contains(&Step::Align) {
            self.notes.push("Alignment: left out on request".to_owned());
            return Ok(());
        }
        let tilts = series.len();
        let wide = self.wide();
        if tilts < 3 {
            self.notes.push(format!(
                "Alignment: left as it is; {tilts} tilts are too few to compare, expected at least 3"
            ));
            return Ok(());
        }
        // Neighbours stretched to one another by their cosines and correlated would still tell something, but too little:
        // on an aligned film (Ta, 46 tilts of 131 to 151 px) such a chain errs by 2.3 to 2.9 px across the axis and 0.7 px
        // along it, root mean square, and would spoil what is better aligned.
        if !self.is_whole() {
            self.notes.push(format!(
                "Alignment: left as it is, and the tilt axis was not searched; {wide} of {tilts} images do not show the \
                 whole specimen with vacuum around it, so that its center and profile change from tilt to tilt. Align such \
                 a series beforehand, or move single tilts by hand"
            ));
            return Ok(());
        }
        monitor.phase("Measuring the alignment");
        let specimens: Vec<Array2<bool>> =
            self.vacuums.iter().map(|v| v.specimen.clone()).collect();
        let noise: Vec<f64> = self.vacuums.iter().map(specimen_noise).collect();
        let at = |turn| {
            align::measure(
                &self.flat,
                &specimens,
                &noise,
                &series.angles,
                turn,
                monitor,
            )
        };
        let mut found = at(0.0)?;
        self.axis = find_axis(&self.flat, &specimens, series, params, &found, monitor)?;
        if let Some(axis) = self
            .axis
            .filter(|axis| params.axis_deg.is_some() || axis.is_turned())
        {
            self.turned = axis.angle_deg != 0.0;
            if self.turned {
                found = at(axis.angle())?;
            }
        }
        let limit = ALIGNED_PX.max(ALIGNED_ERRORS * found.noise_px);
        let scatter = found.rms_x_px.max(found.rms_y_px);
        self.align = params.all_steps || self.turned || scatter > limit;
        let measured = format!(
            "the tilts scatter by {:.2} px across and {:.2} px along the tilt axis",
            found.rms_x_px, found.rms_y_px
        );
        self.notes.push(if self.align {
            format!(
                "Alignment: {measured}; moved by up to {:.1} px",
                largest(&found.shifts_px)
            )
        } else {
            format!("Alignment: none needed; {measured} (limit {limit:.2} px)")
        });
        match self.axis {
            Some(axis) => self.say_axis(axis),
            None => {
                if let Some(last) = self.notes.last_mut() {
                    *last += &format!(
                        "; the axis is taken to lie along y ({})",
                        why_no_axis(series, &found)
                    );
                }
            }
        }
        let offset = found
            .axis_offset_px
            .filter(|[c, e]| c.abs() > 4.0 * e && self.align);
        if let Some([offset, error]) = offset {
            self.notes.push(format!(
                "Alignment: the tilt axis passes {offset:+.1} ± {error:.1} px beside the middle of the images"
            ));
        }
        if found.axis_seems_along_x() {
            let [x, y] = found.departure.map(|d| 1.0 - d);
            let note = format!(
                "Alignment: the tilts agree better along x (correlation {x:.4}) than along y ({y:.4}): the tilt axis \
                 seems to lie along x, exchange x and y (--tilt-axis x)"
            );
            monitor.warn(&note);
            self.notes.push(note);
        }
        if !found.outliers.is_empty() {
            let numbers: Vec<usize> = found.outliers.iter().map(|tilt| tilt + 1).collect();
            let note =
                format!("Alignment: images {numbers:?} do not fit to the others, look at them");
            monitor.warn(&note);
            self.notes.push(note);
        }
        self.misalignment = Some(found);
        Ok(())
    }
}

/// Specimen and vacuum of every image.
fn look_for_vacuum(
    series: &TiltSeries,
    params: &PrepareParams,
    monitor: &Monitor,
) -> Result<Vec<Vacuum>, Stopped> {
    let tilts = series.len();
    monitor.phase("Looking for vacuum");
    let done = std::sync::atomic::AtomicUsize::new(0);
    (0..tilts)
        .into_par_iter()
        .map(|tilt| {
            monitor.check()?;
            let found = looked_at(series, tilt, params);
            let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            monitor.progress(done, tilts);
            Ok(found)
        })
        .collect()
}

/// Fewest tilts that tell the direction of their axis.
const AXIS_TILTS: usize = 10;

/// Why [`find_axis`] found none.
fn why_no_axis(series: &TiltSeries, found: &Misalignment) -> String {
    let good = series.len() - found.outliers.len();
    if !series.is_single_axis() {
        "the angles themselves say how each tilt is turned".to_owned()
    } else if good < AXIS_TILTS {
        format!("{good} tilts that agree do not tell it, {AXIS_TILTS} would")
    } else if found.axis_seems_along_x() {
        "it seems to lie along x".to_owned()
    } else {
        "the tilts do not tell it".to_owned()
    }
}

/// The direction of the tilt axis: the one given, else the one the tilts of a single axis show.
fn find_axis(
    flat: &Array3<f32>,
    specimens: &[Array2<bool>],
    series: &TiltSeries,
    params: &PrepareParams,
    found: &Misalignment,
    monitor: &Monitor,
) -> Result<Option<TiltAxis>, Stopped> {
    if let Some(given) = params.axis_deg {
        return Ok(Some(axis::given(given, specimens)));
    }
    let good: Vec<usize> = (0..series.len())
        .filter(|t| !found.outliers.contains(t))
        .collect();
    // Three angles of each tilt say themselves where the axis lies.
    if good.len() < AXIS_TILTS || !series.is_single_axis() || found.axis_seems_along_x() {
        return Ok(None);
    }
    axis::search(flat, specimens, &good, &found.profile_shifts_px, monitor)
}

impl Work {
    /// Where the axis lies: a sentence of its own when that is not y, else the end of the last one.
    fn say_axis(&mut self, axis: TiltAxis) {
        let TiltAxis {
            angle_deg,
            error_deg,
            displaces_px,
            ..
        } = axis;
        if self.turned {
            self.notes.push(format!(
                "Alignment: the tilt axis lies {angle_deg:+.2} ± {error_deg:.2}° from y, which displaces the specimen's \
                 ends by {displaces_px:.1} px; the angles of all tilts say so now"
            ));
        } else if let Some(last) = self.notes.last_mut() {
            *last += &format!("; their axis lies along y ({angle_deg:+.2} ± {error_deg:.2}°)");
        }
    }
}

/// Noise of a pixel in the specimen: Poisson noise grows with the root of the counts, from the vacuum's own.
fn specimen_noise(vacuum: &Vacuum) -> f64 {
    let gain = if vacuum.level > 0.0 {
        vacuum.noise_sd.powi(2) / vacuum.level
    } else {
        1.0
    };
    (vacuum.noise_sd.powi(2) + gain * vacuum.contrast.max(0.0)).sqrt()
}

fn largest(shifts_px: &[[f64; 2]]) -> f64 {
    shifts_px
        .iter()
        .flatten()
        .fold(0.0, |a: f64, b| a.max(b.abs()))
}

/// What was done to the masks by hand.
fn mask_note(edits: &[MaskEdit], tilts: usize) -> Option<String> {
    let touched: std::collections::BTreeSet<usize> = edits.iter().map(|edit| edit.tilt).collect();
    let there = touched.range(..tilts).count();
    let gone = touched.len() - there;
    if touched.is_empty() {
        return None;
    }
    let mut text = format!(
        "Background: the masks of {there} of {tilts} images were edited by hand (changes: {})",
        edits.len()
    );
    if gone > 0 {
        text += &format!("; {gone} other images are not there");
    }
    Some(text)
}

fn mean_of(estimates: &[Option<Array2<f32>>], size: (usize, usize)) -> Option<Array2<f32>> {
    let known: Vec<&Array2<f32>> = estimates.iter().flatten().collect();
    if known.is_empty() {
        return None;
    }
    let mut sum = Array2::<f32>::zeros(size);
    for estimate in &known {
        sum += *estimate;
    }
    Some(sum / known.len() as f32)
}

fn check(series: &TiltSeries, params: &PrepareParams) -> Result<(), PrepareError> {
    let [nx, ny] = series.image_size();
    if series.is_empty() || nx < SMALLEST_IMAGE || ny < SMALLEST_IMAGE {
        return Err(PrepareError::BadInput {
            subject: series.name.clone(),
            expected: format!("images of at least {SMALLEST_IMAGE} × {SMALLEST_IMAGE} pixels"),
            found: format!("{} of {nx} × {ny}", series.len()),
        });
    }
    if let Some(((tilt, x, y), value)) = series.images.indexed_iter().find(|(_, v)| !v.is_finite())
    {
        return Err(PrepareError::BadInput {
            subject: format!("{}, image {}, pixel ({x}, {y})", series.name, tilt + 1),
            expected: "a finite number".to_owned(),
            found: value.to_string(),
        });
    }
    if let Some(edit) = params
        .mask_edits
        .iter()
        .find(|edit| !edit.change.is_valid())
    {
        return Err(PrepareError::BadParameter {
            name: "mask_edits",
            expected: "finite places and radii above 0 px".to_owned(),
            found: format!("{:?}", edit.change),
        });
    }
    if let Some(nudge) = params.nudges.iter().find(|nudge| !nudge.is_valid()) {
        return Err(PrepareError::BadParameter {
            name: "nudges",
            expected: "shifts of finite pixels".to_owned(),
            found: format!("{:?}", nudge.shift_px),
        });
    }
    // Beyond this it is the other axis.
    if let Some(angle) = params
        .axis_deg
        .filter(|angle| !(-45.0..=45.0).contains(angle))
    {
        return Err(PrepareError::BadParameter {
            name: "axis_deg",
            expected: "-45 to 45".to_owned(),
            found: angle.to_string(),
        });
    }
    if params.dilation_px > nx.max(ny) {
        return Err(PrepareError::BadParameter {
            name: "dilation_px",
            expected: format!("0 to {}", nx.max(ny)),
            found: params.dilation_px.to_string(),
        });
    }
    Ok(())
}
