//! The figures of the tray, remade only when what they show has changed.

use super::measuring;
use super::state::AppState;
use crate::analyze::compare;
use crate::figures::tables::{self, Table};
use crate::figures::{Figure, cutoff::cutoff_figures, overlay, plots, preparation, quality};
use crate::preprocess::Drift;
use crate::preprocess::inspect::Damage;
use crate::project::Stage;
use std::sync::Arc;

/// What a figure was made from; equal keys mean an equal figure.
#[derive(Debug, Default, PartialEq)]
struct Key {
    iterations: (usize, Option<f64>),
    traced: usize,
    threshold: Option<f64>,
    cutoff: usize,
    analyzed: usize,
    boo_threshold: f64,
    others: Vec<usize>,
    geometry: Option<(usize, f64)>,
    preparation: usize,
    reconstructed: usize,
    record: String,
    line: Option<LineKey>,
}

/// Series, tilt, line and width of a line profile.
type LineKey = (usize, usize, [[f64; 2]; 2], f64);

/// The figures there are, in the order of the tray.
#[derive(Debug, Default)]
pub struct FigureCache {
    key: Key,
    run: Vec<Figure>,
    drift: Vec<Figure>,
    line: Vec<Figure>,
    preparation: Vec<Table>,
    trace: Vec<Figure>,
    analysis: Vec<Figure>,
    comparison: Vec<Figure>,
    tables: Vec<Table>,
    compared: Option<Table>,
}

/// Identity of shared data: it is never changed once published.
fn identity<T>(data: Option<&Arc<T>>) -> usize {
    data.map_or(0, |data| Arc::as_ptr(data).addr())
}

impl FigureCache {
    /// Remakes what is out of date.
    pub fn update(&mut self, state: &AppState) {
        let workspace = &state.workspace;
        let iterations = &state.live.iterations;
        let analyze = &workspace.project.parameters.analyze;
        let traced = workspace.traced.as_ref();
        let threshold = traced.map(|t| state.view.dragged_threshold.unwrap_or(t.threshold));
        // Of this trace, not of one before.
        let of = identity(traced);
        let cutoff = state
            .cutoff
            .as_ref()
            .filter(|(made_of, _)| *made_of == of)
            .map(|(_, c)| c);
        let key = Key {
            iterations: (iterations.len(), iterations.last().map(|i| i.r1)),
            traced: identity(traced),
            threshold,
            cutoff: identity(cutoff),
            analyzed: identity(workspace.analyzed.as_ref()),
            boo_threshold: analyze.boo_threshold,
            others: state
                .others
                .iter()
                .map(|(_, other)| Arc::as_ptr(other).addr())
                .collect(),
            geometry: state.live.geometry.as_ref().map(|g| (g.number, g.r1)),
            preparation: identity(state.preparation.as_ref()),
            reconstructed: identity(workspace.reconstructed.as_ref()),
            record: workspace
                .record(Stage::Prepare)
                // Another run may make the same images and say more of them.
                .map_or_else(String::new, |record| {
                    format!("{} {}", record.output_hash, record.seconds)
                }),
            line: state.view.line.ends_px.and_then(|ends| {
                let series = measuring::measured_series(state)?;
                let of = Arc::as_ptr(series).addr();
                Some((of, state.view.tilt, ends, state.view.line.width_px))
            }),
        };
        if key.record != self.key.record {
            self.prepare(state);
        }
        if key.line != self.key.line {
            self.line = measuring::figure(state).into_iter().collect();
        }
        let stale = key.iterations != self.key.iterations
            || key.geometry != self.key.geometry
            || key.preparation != self.key.preparation
            || key.reconstructed != self.key.reconstructed;
        if stale || self.run.is_empty() {
            self.run.clear();
            if let Some(last) = iterations.last() {
                self.run.push(plots::r1_figure(iterations));
                self.run.push(plots::r_per_tilt_figure(&last.r1_per_tilt));
            }
            if let Some(run) = &workspace.reconstructed {
                self.run.extend(quality::quality_figures(run));
            }
            if let Some(done) = &state.preparation {
                self.run.extend(plots::alignment_figure(done));
                self.run.extend(plots::background_figure(done));
            }
            if let Some(round) = &state.live.geometry {
                self.run.push(plots::geometry_figure(round));
            }
        }
        let of_trace = |key: &Key| (key.traced, key.threshold, key.cutoff);
        if of_trace(&key) != of_trace(&self.key) {
            self.trace = traced
                .zip(threshold)
                .map(|(traced, threshold)| plots::intensity_figure(traced, threshold))
                .into_iter()
                .collect();
            if let Some((traced, cutoff)) = traced.zip(cutoff) {
                self.trace.extend(cutoff_figures(traced, cutoff));
            }
        }
        if (key.analyzed, key.boo_threshold) != (self.key.analyzed, self.key.boo_threshold) {
            self.analysis = workspace
                .analyzed
                .as_ref()
                .map(|analyzed| plots::analysis_figures(analyzed, analyze))
                .unwrap_or_default();
        }
        if key.analyzed != self.key.analyzed {
            let analyzed = workspace.analyzed.as_deref();
            self.tables = analyzed.map(tables::analysis_tables).unwrap_or_default();
        }
        if (key.analyzed, &key.others) != (self.key.analyzed, &self.key.others) {
            self.compare(state);
        }
        self.key = key;
    }

    /// What the record of the preparation says, also after the project was opened again.
    fn prepare(&mut self, state: &AppState) {
        let record = state.workspace.record(Stage::Prepare);
        let detail = |name: &str| record.and_then(|record| record.details.get(name)).cloned();
        let drift = detail("drift").and_then(|v| serde_json::from_value::<Drift>(v).ok());
        let damage = detail("damage").and_then(|v| serde_json::from_value::<Vec<Damage>>(v).ok());
        self.drift = drift
            .as_ref()
            .and_then(preparation::drift_figure)
            .into_iter()
            .collect();
        self.preparation = drift
            .as_ref()
            .map(preparation::drift_table)
            .into_iter()
            .collect();
        self.preparation
            .extend(damage.as_deref().and_then(preparation::damage_table));
    }

    /// Lays this model and the others over one another.
    fn compare(&mut self, state: &AppState) {
        (self.comparison, self.compared) = (Vec::new(), None);
        let Some(own) = state.workspace.analyzed.as_deref() else {
            return;
        };
        if state.others.is_empty() {
            return;
        }
        let mut models = vec![("this model".to_owned(), own)];
        models.extend(
            state
                .others
                .iter()
                .map(|(name, other)| (name.clone(), &**other)),
        );
        self.compared = Some(tables::comparison(&compare::compare(&models)));
        let figures: Vec<(String, Vec<Figure>)> = models
            .iter()
            .map(|(name, one)| (name.clone(), plots::analysis_figures(one, &one.params)))
            .collect();
        self.comparison = overlay::overlays(&figures);
    }

    /// Every figure there is.
    pub fn all(&self) -> impl Iterator<Item = &Figure> {
        let own = self.run.iter().chain(&self.drift).chain(&self.line);
        own.chain(&self.trace)
            .chain(&self.analysis)
            .chain(&self.comparison)
    }

    /// Every table there is.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        let own = self.preparation.iter().chain(&self.tables);
        own.chain(&self.compared)
    }

    /// A table by its id.
    #[must_use]
    pub fn table(&self, id: &str) -> Option<&Table> {
        self.tables().find(|table| table.id == id)
    }

    /// A figure by its id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Figure> {
        self.all().find(|figure| figure.id == id)
    }
}
