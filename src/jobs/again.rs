//! An analysis repeated while someone moves a slider or paints phases: what is known already is used again, and what
//! changes at once is told before the rest is made.

use super::execute::{atoms_hash, stopped_or};
use super::{JobError, JobOutput};
use crate::analyze::phases::BY_HAND;
use crate::analyze::{AnalyzeError, AnalyzeParams, Analyzed, reanalyze_in_steps};
use crate::model::Atoms;
use crate::monitor::{Control, Monitor, Sink, Stopped};
use crate::project::{Record, Stage};
use std::sync::Arc;
use std::time::Instant;

/// What is asked for.
#[derive(Clone)]
pub struct Again {
    /// The analysis to begin from, of the same atoms.
    pub before: Arc<Analyzed>,
    /// Phases set by hand, one for each atom, NaN where none is.
    pub by_hand: Option<Vec<f64>>,
    /// Parameters of the new one.
    pub params: AnalyzeParams,
}

impl Again {
    /// For an analysis of this model, with the phases that are set in it.
    #[must_use]
    pub fn new(before: &Arc<Analyzed>, model: &Atoms, params: &AnalyzeParams) -> Self {
        let same = before.atoms.ids == model.ids;
        let of = if same { model } else { &before.atoms };
        Self {
            before: Arc::clone(before),
            by_hand: of.column(BY_HAND).map(<[f64]>::to_vec),
            params: params.clone(),
        }
    }
}

/// Whether the rest of an answer is not wanted any more.
pub type IsOver = Arc<dyn Fn() -> bool + Send + Sync>;

/// Ends work that is over at its next sign of progress.
struct EndsWhenOver {
    is_over: IsOver,
    control: Arc<Control>,
}

impl Sink for EndsWhenOver {
    fn phase(&self, _: &str) {}

    fn progress(&self, _: usize, _: usize) {
        if (self.is_over)() {
            self.control.stop(Stopped::Abandon);
        }
    }

    fn warn(&self, _: &str) {}
}

/// Repeats the analysis; what is there first is told to `early`. `None` where `is_over` says that the rest is not wanted any
/// more.
///
/// # Errors
/// The stage's.
pub fn analyze_again(
    asked: &Again,
    early: &dyn Fn(JobOutput),
    is_over: IsOver,
) -> Result<Option<JobOutput>, JobError> {
    let started = Instant::now();
    let begun = Record::begin(&asked.params, "");
    let output = |outcome: Analyzed| JobOutput::Analyzed {
        params: asked.params.clone(),
        record: Record {
            seconds: started.elapsed().as_secs_f64(),
            input_hash: atoms_hash(&outcome.atoms),
            ..begun.clone()
        },
        outcome: Arc::new(outcome),
    };
    let control = Arc::new(Control::default());
    let sink = EndsWhenOver {
        is_over,
        control: Arc::clone(&control),
    };
    let monitor = Monitor::new(Arc::new(sink), control);
    let mut tell = |outcome| {
        early(output(outcome));
        monitor.progress(0, 1);
    };
    let by_hand = asked.by_hand.as_deref();
    match reanalyze_in_steps(&asked.before, by_hand, &asked.params, &mut tell, &monitor) {
        Ok(outcome) => Ok(Some(output(outcome))),
        Err(AnalyzeError::Stopped(_)) => Ok(None),
        Err(error) => Err(stopped_or(error, Stage::Analyze.name())),
    }
}
