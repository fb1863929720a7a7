//! From a volume to atoms: up-sampling, local maxima, polynomial fit, K-means split, minimum distance
//! (Zr article, Methods, "Atom tracing"; Rogers et al. for the polynomial fit).

pub mod auto;
pub mod cutoff;
pub mod doubts;
pub mod evidence;
pub mod ghosts;
mod peaks;
pub mod refine;
pub mod select;
pub mod species;

pub use auto::{Suggested, TraceHints, suggest};
pub use select::{
    IntensityHistogram, Split, apply_threshold, intensity_histogram, rank_of, visible_species,
};
pub use species::{SPECIES_BOX, classify};

use crate::model::{Atoms, Volume};
use crate::monitor::{Monitor, Stopped};
use crate::numeric::gaussian::gaussian_blur;
use crate::numeric::interpolate::CubicSpline;
use peaks::PeakFitter;
use serde::{Deserialize, Serialize};

/// Parameters of tracing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct TraceParams {
    /// Smallest distance between two atoms, Å (Zr: 2.0, PdPt: 2.2)
    #[arg(long, default_value_t = Self::default().min_distance)]
    pub min_distance: f64,
    /// Edge of the box for the polynomial fit and the integrated intensity, Å (Zr: 1.7)
    #[arg(long = "box", default_value_t = Self::default().box_size)]
    pub box_size: f64,
    /// Up-sampling factor of the cubic splines (Zr: 3)
    #[arg(long, default_value_t = Self::default().upsample)]
    pub upsample: usize,
    /// Standard deviation (Å) of a Gaussian applied to the volume before tracing; 0 for none
    #[arg(long, default_value_t = Self::default().smoothing)]
    pub smoothing: f64,
    /// Integrated intensity below which a maximum is no atom [default: the K-means split]
    #[arg(long)]
    pub threshold: Option<f64>,
    /// Only atoms at most this far from the center along x, Å: what lies beyond the images of a wide specimen is hardly
    /// measured
    #[arg(long)]
    pub within_x: Option<f64>,
    /// The same along y, Å
    #[arg(long)]
    pub within_y: Option<f64>,
    /// Number of chemical species
    #[arg(long, default_value_t = Self::default().species)]
    pub species: usize,
    /// Their names, lightest first
    #[arg(long, value_delimiter = ',', default_values_t = Self::default().species_names)]
    pub species_names: Vec<String>,
}

impl Default for TraceParams {
    fn default() -> Self {
        Self {
            min_distance: 2.0, // (Zr)
            box_size: 1.7,     // (Zr)
            upsample: 3,       // (Zr)
            smoothing: 0.0,
            threshold: None,
            within_x: None,
            within_y: None,
            species: 1,
            species_names: vec!["Zr".to_owned()],
        }
    }
}

/// Why a maximum is, or is not, an atom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Kept.
    Atom,
    /// Below the intensity threshold.
    TooWeak,
    /// Nearer than the minimum distance to a stronger one.
    TooClose,
    /// The fitted maximum left its box or did not settle.
    FitDiverged,
    /// The fitted polynomial has no maximum there.
    FitNotPeak,
    /// Its box leaves the volume, or it lies beyond where atoms are asked for.
    AtEdge,
}

impl Verdict {
    /// Every reason for which a maximum is no atom.
    pub const REJECTIONS: [Self; 5] = [
        Self::TooWeak,
        Self::TooClose,
        Self::FitDiverged,
        Self::FitNotPeak,
        Self::AtEdge,
    ];
}

/// A local maximum of the volume and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Fitted position, Å about the volume's centre (the raw maximum where the fit failed).
    pub position: [f64; 3],
    /// Density of the fitted maximum.
    #[serde(with = "crate::model::nan_json")]
    pub density: f64,
    /// Density integrated over the box (mean density × Å³).
    #[serde(with = "crate::model::nan_json")]
    pub intensity: f64,
    /// Width of the maximum as a Gaussian's standard deviation, Å; NaN where the fit failed.
    #[serde(with = "crate::model::nan_json")]
    pub sigma: f64,
    /// Root mean square misfit of the polynomial over the box, relative to `density`.
    #[serde(with = "crate::model::nan_json")]
    pub misfit: f64,
    /// What became of it.
    pub verdict: Verdict,
}

/// The outcome of tracing.
#[derive(Debug, Clone)]
pub struct Traced {
    /// The atoms kept, with columns `intensity`, `density`, `sigma_A`, `misfit`.
    pub atoms: Atoms,
    /// Every maximum, kept or not.
    pub candidates: Vec<Candidate>,
    /// Intensity threshold used, given or by K-means.
    pub threshold: f64,
    /// Mean and standard deviation of the atoms' blur widths σ, Å.
    pub sigma_mean: f64,
    /// See `sigma_mean`.
    pub sigma_sd: f64,
    /// Wall seconds.
    pub seconds: f64,
}

impl Traced {
    /// How many candidates met each verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.candidates
            .iter()
            .filter(|c| c.verdict == verdict)
            .count()
    }
}

/// Why no atoms can be traced.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The volume cannot be used.
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
    /// The user stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Maxima below this fraction of the atoms' density are not even fitted: ringing and noise have hundreds of thousands,
/// and no threshold would ever be drawn so low.
const FAINTEST_CANDIDATE: f32 = 0.05;

/// Traces the atoms of a volume.
///
/// `support`, where given, has the volume's size; maxima at voxels where it is below ½ do not count. The result is
/// bit-identical for any number of threads. Memory: three times the volume's.
///
/// # Errors
/// A volume with NaN or infinite voxels, without any positive maximum, or too small; a parameter out of its range; a
/// support of another size; a stop (of either kind: half of the maxima are of no use).
pub fn trace(
    volume: &Volume,
    params: &TraceParams,
    support: Option<&Volume>,
    monitor: &Monitor,
) -> Result<Traced, TraceError> {
    let begun = std::time::Instant::now();
    check_params(params)?;
    check_volume(volume, support)?;
    monitor.phase("Interpolating");
    let spline = spline_of(volume, params);
    monitor.check()?;
    monitor.phase("Searching maxima");
    let mut maxima = peaks::local_maxima(&spline, params.upsample, 0.0, monitor)?;
    if let Some(support) = support {
        maxima.retain(|m| {
            let voxel = m.index.map(|i| (i + params.upsample / 2) / params.upsample);
            support.data[voxel] >= 0.5
        });
    }
    if params.within_x.is_some() || params.within_y.is_some() {
        // A fit moves a maximum by half a box at most; what lies further out need not be fitted.
        maxima.retain(|m| {
            let voxel = m.index.map(|i| i as f64 / params.upsample as f64);
            is_within(volume.position_of(voxel), params, params.box_size / 2.0)
        });
    }
    let mut values: Vec<f64> = maxima.iter().map(|m| f64::from(m.value)).collect();
    let floor = FAINTEST_CANDIDATE * select::reference_intensity(&mut values) as f32;
    maxima.retain(|m| m.value > floor);
    monitor.phase("Fitting maxima");
    let fitter = PeakFitter::new(&spline, volume, params.box_size, params.upsample);
    let mut candidates = fitter.fit_all(&maxima, monitor)?;
    for candidate in &mut candidates {
        if candidate.verdict == Verdict::Atom && !is_within(candidate.position, params, 0.0) {
            candidate.verdict = Verdict::AtEdge;
        }
    }
    monitor.phase("Selecting atoms");
    let threshold = match params.threshold {
        Some(threshold) => threshold,
        None => match select::threshold_of(&candidates, params.min_distance) {
            Some(split) => split.threshold,
            None => {
                return Err(TraceError::BadInput {
                    subject: "volume".to_owned(),
                    expected: "maxima of positive density".to_owned(),
                    found: format!("none among {} candidates", candidates.len()),
                });
            }
        },
    };
    select::judge(&mut candidates, threshold, params.min_distance);
    let name = params.species_names.first().map_or("X", String::as_str);
    let mut traced = select::gather(candidates, threshold, name);
    if params.species > 1 {
        monitor.phase("Telling species apart");
        traced.atoms = classify(
            volume,
            &traced.atoms,
            params.species,
            &params.species_names,
            SPECIES_BOX,
        );
    }
    traced.seconds = begun.elapsed().as_secs_f64();
    Ok(traced)
}

/// Whether a position lies where atoms are asked for, or at most `margin` Å beyond.
fn is_within(position: [f64; 3], params: &TraceParams, margin: f64) -> bool {
    [params.within_x, params.within_y]
        .into_iter()
        .zip(position)
        .all(|(limit, p)| limit.is_none_or(|limit| p.abs() <= limit + margin))
}

/// The spline of the volume, smoothed first if asked for.
fn spline_of(volume: &Volume, params: &TraceParams) -> CubicSpline {
    if params.smoothing > 0.0 {
        CubicSpline::new(&gaussian_blur(
            &volume.data,
            params.smoothing / volume.pixel_size,
        ))
    } else {
        CubicSpline::new(&volume.data)
    }
}

fn check_params(params: &TraceParams) -> Result<(), TraceError> {
    let bad = |name, expected: &str, found: String| {
        Err(TraceError::BadParameter {
            name,
            expected: expected.to_owned(),
            found,
        })
    };
    if !(params.min_distance >= 0.0 && params.min_distance.is_finite()) {
        return bad(
            "min_distance",
            "a length in Å, 0 or more",
            params.min_distance.to_string(),
        );
    }
    if !(params.box_size > 0.0 && params.box_size <= 20.0) {
        return bad(
            "box_size",
            "a length in Å above 0 and up to 20",
            params.box_size.to_string(),
        );
    }
    if !(1..=8).contains(&params.upsample) {
        return bad(
            "upsample",
            "a whole number from 1 to 8",
            params.upsample.to_string(),
        );
    }
    if !(params.smoothing >= 0.0 && params.smoothing <= 10.0) {
        return bad(
            "smoothing",
            "a length in Å from 0 to 10",
            params.smoothing.to_string(),
        );
    }
    for (name, limit) in [("within_x", params.within_x), ("within_y", params.within_y)] {
        if let Some(limit) = limit.filter(|l| !(*l > 0.0 && l.is_finite())) {
            return bad(name, "a length in Å above 0", limit.to_string());
        }
    }
    if params.threshold.is_some_and(|t| !t.is_finite()) {
        return bad("threshold", "a number", "NaN or infinity".to_owned());
    }
    if params.species == 0 || params.species > 8 {
        return bad("species", "1 to 8 species", params.species.to_string());
    }
    Ok(())
}

fn check_volume(volume: &Volume, support: Option<&Volume>) -> Result<(), TraceError> {
    let bad = |subject: &str, expected: String, found: String| {
        Err(TraceError::BadInput {
            subject: subject.to_owned(),
            expected,
            found,
        })
    };
    let size = volume.size();
    if size.iter().any(|&n| n < 3) {
        return bad(
            "volume",
            "at least 3 voxels on every axis".to_owned(),
            format!("{size:?}"),
        );
    }
    if !(volume.pixel_size > 0.0 && volume.pixel_size.is_finite()) {
        return bad(
            "pixel size",
            "a positive length in Å".to_owned(),
            volume.pixel_size.to_string(),
        );
    }
    let strange = volume.data.iter().filter(|v| !v.is_finite()).count();
    if strange > 0 {
        return bad(
            "volume",
            "finite voxels".to_owned(),
            format!("{strange} that are NaN or infinite"),
        );
    }
    let (low, high) = volume.range();
    if low == high {
        return bad(
            "volume",
            "maxima of positive density".to_owned(),
            format!("the same density {low} everywhere"),
        );
    }
    match support {
        Some(support) if support.size() != size => bad(
            "support",
            format!("the volume's size {size:?}"),
            format!("{:?}", support.size()),
        ),
        _ => Ok(()),
    }
}

/// Fits the maximum nearest to `position` (Å), for a click with the *add* tool: the same smoothing, up-sampling and fit
/// as [`trace`], on a cut-out. `None` if no maximum lies within the fit's box or the minimum distance, whichever is wider.
#[must_use]
pub fn refit(volume: &Volume, position: [f64; 3], params: &TraceParams) -> Option<Candidate> {
    check_params(params).ok()?;
    let size = volume.size();
    let at = volume.index_of(position);
    if (0..3).any(|a| !(at[a] >= 0.0 && at[a] <= size[a] as f64 - 1.0)) {
        return None;
    }
    let search = params.box_size.max(params.min_distance) / 2.0 / volume.pixel_size;
    // The spline's memory fades as 0.27ⁿ, the smoothing ends at four deviations.
    let margin =
        8.0 + 4.0 * params.smoothing / volume.pixel_size + params.box_size / volume.pixel_size;
    let mut start = [0; 3];
    let mut length = [0; 3];
    for axis in 0..3 {
        let low = (at[axis] - search - margin).floor().max(0.0);
        let high = (at[axis] + search + margin)
            .ceil()
            .min(size[axis] as f64 - 1.0);
        if high - low < 3.0 {
            return None;
        }
        start[axis] = low as usize;
        length[axis] = (high - low) as usize + 1;
    }
    let part = volume.data.slice(ndarray::s![
        start[0]..start[0] + length[0],
        start[1]..start[1] + length[1],
        start[2]..start[2] + length[2]
    ]);
    if part.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let cut = Volume::new(part.to_owned(), volume.pixel_size);
    let spline = spline_of(&cut, params);
    let grid = spline.upsampled_size(params.upsample);
    let scale = params.upsample as f64;
    let in_cut: [f64; 3] = std::array::from_fn(|a| (at[a] - start[a] as f64) * scale);
    let from = std::array::from_fn(|a| {
        (in_cut[a] - search * scale)
            .floor()
            .clamp(1.0, grid[a] as f64 - 2.0) as usize
    });
    let to: [usize; 3] = std::array::from_fn(|a| {
        ((in_cut[a] + search * scale).ceil() as usize + 1).clamp(from[a] + 1, grid[a] - 1)
    });
    let maxima = peaks::tile_maxima(&spline, params.upsample, 0.0, from, to);
    let apart = |m: &peaks::Maximum| -> f64 {
        (0..3)
            .map(|a| (m.index[a] as f64 - in_cut[a]).powi(2))
            .sum()
    };
    let nearest = maxima.iter().min_by(|a, b| apart(a).total_cmp(&apart(b)))?;
    let mut candidate =
        PeakFitter::new(&spline, &cut, params.box_size, params.upsample).fit(nearest);
    let index = cut.index_of(candidate.position);
    candidate.position = volume.position_of(std::array::from_fn(|a| index[a] + start[a] as f64));
    Some(candidate)
}

#[cfg(test)]
mod tests;
