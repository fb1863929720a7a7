//! The document in memory: the project file's content and the arrays it stands for.

use super::carry::Unrepeated;
use super::edits::Edits;
use super::pipeline::Stage;
use crate::analyze::{AnalyzeParams, Analyzed};
use crate::model::{Atoms, TiltSeries, Volume};
pub use crate::preprocess::PrepareParams;
use crate::preprocess::inspect::Beam;
use crate::preprocess::{CalibrateParams, Calibration};
use crate::reconstruct::{GeometryParams, ReconstructParams, Reconstructed};
use crate::trace::ghosts::Ghosts;
use crate::trace::refine::RefineParams;
use crate::trace::{TraceParams, Traced};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the data came from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sources {
    /// `path` or `path:variable` of the projections.
    pub projections: Option<String>,
    /// `path` or `path:variable` of the angles.
    pub angles: Option<String>,
    /// A volume that was loaded instead of reconstructed.
    pub volume: Option<String>,
    /// A model that was loaded instead of traced.
    pub model: Option<String>,
}

/// Every stage's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// The pixel size from images of a crystal.
    pub calibrate: CalibrateParams,
    /// The microscope, for dose and detector.
    pub beam: Beam,
    /// Background and alignment.
    pub prepare: PrepareParams,
    /// Refinement of shifts and angles.
    pub geometry: GeometryParams,
    /// RESIRE.
    pub reconstruct: ReconstructParams,
    /// Whether the volume is traced now and then while it is reconstructed.
    pub trace_while_running: bool,
    /// Tracing.
    pub trace: TraceParams,
    /// Refinement against the tilts.
    pub refine: RefineParams,
    /// Whether refinement also adds and removes atoms.
    pub complete: bool,
    /// Structure analysis.
    pub analyze: AnalyzeParams,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            calibrate: CalibrateParams::default(),
            beam: Beam::default(),
            prepare: PrepareParams::default(),
            geometry: GeometryParams::default(),
            reconstruct: ReconstructParams::default(),
            trace_while_running: false,
            trace: TraceParams::default(),
            refine: RefineParams::default(),
            complete: true,
            analyze: AnalyzeParams::default(),
        }
    }
}

/// A measured pixel size that the series uses, and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsedCalibration {
    /// Pixel size of the series, Å.
    #[serde(rename = "pixel_size_A")]
    pub pixel_size: f64,
    /// Its standard error, Å.
    #[serde(rename = "standard_error_A")]
    pub standard_error: f64,
    /// What the microscope states, of the series or else of the images of the crystal, Å.
    #[serde(rename = "nominal_A")]
    pub nominal: Option<f64>,
    /// The crystal and how it was measured.
    pub params: CalibrateParams,
    /// What every image said.
    pub found: Calibration,
}

/// What one run of a stage did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Its parameters as run.
    pub params: serde_json::Value,
    /// Hash of what went in.
    pub input_hash: String,
    /// Hash of what came out.
    pub output_hash: String,
    /// Version of the program.
    pub version: String,
    /// Engine, for stages that have several.
    pub engine: String,
    /// Seconds since 1970 (UTC) when it began.
    pub started_unix: u64,
    /// Wall seconds.
    pub seconds: f64,
    /// What was said on the way.
    pub warnings: Vec<String>,
    /// Whether it was ended early.
    pub stopped: bool,
    /// R1 of the result, for reconstructions and refined models.
    pub r1: Option<f64>,
    /// What the stage measured that its result does not hold, such as the drift of every tilt.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub details: serde_json::Value,
    /// What changed upstream since, when something did.
    pub stale_because: Option<String>,
}

impl Record {
    /// A record of a run that begins now.
    #[must_use]
    pub fn begin(params: &impl Serialize, input: &str) -> Self {
        Self {
            params: serde_json::to_value(params).unwrap_or(serde_json::Value::Null),
            input_hash: input.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            ..Self::default()
        }
    }
}

/// The project file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Project {
    /// Version of the format of this file.
    pub format_version: u32,
    /// Shown in the title bar.
    pub name: String,
    /// Where the data came from.
    pub sources: Sources,
    /// Pixel size, Å.
    pub pixel_size: Option<f64>,
    /// Where a measured pixel size comes from.
    pub calibration: Option<UsedCalibration>,
    /// Tilts left out, by index.
    pub excluded_tilts: Vec<usize>,
    /// Every stage's parameters.
    pub parameters: Parameters,
    /// What was run, by stage.
    pub records: BTreeMap<Stage, Record>,
    /// Arrays beside the project file: name → relative path and hash.
    pub arrays: BTreeMap<String, (PathBuf, String)>,
}

impl Default for Project {
    fn default() -> Self {
        Self {
            format_version: 1,
            name: "untitled".to_owned(),
            sources: Sources::default(),
            pixel_size: None,
            calibration: None,
            excluded_tilts: Vec::new(),
            parameters: Parameters::default(),
            records: BTreeMap::new(),
            arrays: BTreeMap::new(),
        }
    }
}

/// The project and everything it stands for. Arrays are shared and never changed once published, except the
/// atoms, which hand edits change through `Arc::make_mut`.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    /// What the project file holds.
    pub project: Project,
    /// The file it was saved to.
    pub path: Option<PathBuf>,
    /// Whether something changed since it was saved.
    pub modified: bool,
    /// The tilt series as read.
    pub series: Option<Arc<TiltSeries>>,
    /// The tilt series after preparation; reconstruct uses it when it is there.
    pub prepared: Option<Arc<TiltSeries>>,
    /// The volume, reconstructed or loaded.
    pub volume: Option<Arc<Volume>>,
    /// How the reconstruction went.
    pub reconstructed: Option<Arc<Reconstructed>>,
    /// What the interim traces of that reconstruction found; of this session only.
    pub ghosts: Option<Arc<Ghosts>>,
    /// The traced candidates, kept and rejected.
    pub traced: Option<Arc<Traced>>,
    /// The model before hand edits: what the journal replays on.
    pub base_atoms: Option<Arc<Atoms>>,
    /// The model, traced or loaded, with the hand edits applied.
    pub atoms: Option<Arc<Atoms>>,
    /// The hand edits.
    pub edits: Edits,
    /// Hand edits that the last trace could not take over, for someone to look at.
    pub unrepeated: Vec<Unrepeated>,
    /// The analysis of `atoms` as they were then.
    pub analyzed: Option<Arc<Analyzed>>,
    /// The known truth, for simulated data.
    pub truth: Option<Arc<Atoms>>,
    /// The model compared with the truth, in one line.
    pub comparison: Option<String>,
}

impl Workspace {
    /// The series that reconstruction uses.
    #[must_use]
    pub fn best_series(&self) -> Option<&Arc<TiltSeries>> {
        self.prepared.as_ref().or(self.series.as_ref())
    }

    /// Changes what is known of the series, beside its pixels, before and after preparation alike; what was made of it is
    /// outdated because of `reason`.
    pub fn change_series(&mut self, reason: &str, mut change: impl FnMut(&mut TiltSeries)) {
        // Published data is never changed: a series that a job or a view still holds is copied first.
        for series in [&mut self.series, &mut self.prepared].into_iter().flatten() {
            change(Arc::make_mut(series));
        }
        self.mark_stale(Stage::Reconstruct, reason);
    }

    /// Puts the series as read in the prepared one's place again.
    pub fn drop_preparation(&mut self) {
        self.prepared = None;
        self.project.records.remove(&Stage::Prepare);
        self.mark_stale(Stage::Reconstruct, "the preparation was taken back");
    }

    /// Gives the series another pixel size, Å, and keeps the first one it had as its nominal one. A calibration it may
    /// have had no longer tells where the size comes from.
    pub fn set_pixel_size(&mut self, pixel_size: f64) {
        self.project.pixel_size = Some(pixel_size);
        self.project.calibration = None;
        self.change_series("the pixel size changed", |series| {
            let before = series.nominal_pixel_size.or(series.pixel_size);
            series.nominal_pixel_size = before.filter(|before| *before != pixel_size);
            series.pixel_size = Some(pixel_size);
        });
    }

    /// The pixel size (Å) and its standard error that a calibration gives this series: its scale times the nominal size.
    #[must_use]
    pub fn calibrated_by(&self, found: &Calibration) -> Option<(f64, f64)> {
        let known = self.series.as_ref()?;
        let nominal = known.nominal_pixel_size.or(known.pixel_size);
        let nominal = nominal.or(found.nominal)?;
        Some((nominal * found.scale, nominal * found.scale_error))
    }

    /// Gives the series the pixel size a calibration found. `false` when it has none for this series.
    pub fn use_calibration(&mut self, found: &Calibration) -> bool {
        let Some((pixel_size, standard_error)) = self.calibrated_by(found) else {
            return false;
        };
        let known = self.series.as_ref();
        let own = known.and_then(|series| series.nominal_pixel_size.or(series.pixel_size));
        let nominal = own.or(found.nominal);
        self.set_pixel_size(pixel_size);
        self.change_series("the pixel size changed", |series| {
            series.nominal_pixel_size = nominal;
        });
        let mut found = found.clone();
        // The table stays; the single spots would be most of the project file.
        for image in &mut found.images {
            (image.fits, image.others) = (Vec::new(), Vec::new());
        }
        self.project.calibration = Some(UsedCalibration {
            pixel_size,
            standard_error,
            nominal,
            params: self.project.parameters.calibrate.clone(),
            found,
        });
        true
    }

    /// What the last run of a stage did.
    #[must_use]
    pub fn record(&self, stage: Stage) -> Option<&Record> {
        self.project.records.get(&stage)
    }

    /// The current parameters of a stage as JSON, for records and staleness.
    #[must_use]
    pub fn params_json(&self, stage: Stage) -> serde_json::Value {
        let parameters = &self.project.parameters;
        let json = match stage {
            Stage::Prepare => serde_json::to_value(&parameters.prepare),
            Stage::Reconstruct => serde_json::to_value(&parameters.reconstruct),
            Stage::Trace => serde_json::to_value(&parameters.trace),
            Stage::Analyze => serde_json::to_value(&parameters.analyze),
            _ => Ok(serde_json::Value::Null),
        };
        json.unwrap_or(serde_json::Value::Null)
    }

    /// Why the stage's result no longer stands, if so.
    #[must_use]
    pub fn stale_reason(&self, stage: Stage) -> Option<String> {
        let record = self.record(stage)?;
        if let Some(reason) = &record.stale_because {
            return Some(reason.clone());
        }
        // A stage without parameters of its own (a loaded result) cannot be outdated by them.
        let compared = !record.params.is_null();
        (compared && as_of_now(stage, &record.params) != self.params_json(stage))
            .then(|| "parameters changed".to_owned())
    }

    /// Whether the model was traced here (or there is none), so that running the road again may replace it.
    #[must_use]
    pub fn atoms_are_ours(&self) -> bool {
        self.atoms.is_none() || self.record(Stage::Trace).is_some()
    }

    /// Marks the results of `first` and of every later stage as outdated.
    pub fn mark_stale(&mut self, first: Stage, reason: &str) {
        for (_, record) in self.project.records.range_mut(first..) {
            record.stale_because = Some(reason.to_owned());
        }
        self.modified = true;
    }
}

/// Recorded parameters with what this version has added to the stage at its default: a record of an older version is
/// not outdated by that.
fn as_of_now(stage: Stage, recorded: &serde_json::Value) -> serde_json::Value {
    fn through<P: Serialize + serde::de::DeserializeOwned>(
        recorded: &serde_json::Value,
    ) -> Option<serde_json::Value> {
        let params: P = serde_json::from_value(recorded.clone()).ok()?;
        serde_json::to_value(params).ok()
    }
    let now = match stage {
        Stage::Prepare => through::<PrepareParams>(recorded),
        Stage::Reconstruct => through::<ReconstructParams>(recorded),
        Stage::Trace => through::<TraceParams>(recorded),
        Stage::Analyze => through::<AnalyzeParams>(recorded),
        _ => None,
    };
    now.unwrap_or_else(|| recorded.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_a_new_version_brings_does_not_outdate_a_result() {
        let mut workspace = Workspace::default();
        let params = ReconstructParams::default();
        let mut record = Record::begin(&params, "");
        record
            .params
            .as_object_mut()
            .expect("parameters are an object")
            .remove("accelerated");
        (workspace.project.records).insert(Stage::Reconstruct, record);
        assert_eq!(workspace.stale_reason(Stage::Reconstruct), None);
        workspace.project.parameters.reconstruct.iterations += 1;
        let reason = workspace.stale_reason(Stage::Reconstruct);
        assert_eq!(reason.as_deref(), Some("parameters changed"));
    }
}
