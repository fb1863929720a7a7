//! Asks the drawn model beside the window: what the tilts show of the place that is looked at, a sphere of atoms refined,
//! and the list of doubtful places after an edit.

use super::commands::can_refine;
use super::editing;
use super::queue;
use super::state::{AppState, Evidence, Looked, Severity};
use super::views::canvas::key;
use crate::jobs::JobError;
use crate::jobs::examine::{Examiner, RefinedPart, Subject};
use crate::jobs::latest::Latest;
use crate::model::{AtomId, Atoms};
use crate::project::Stage;
use crate::trace::cutoff::{Cutoff, justify};
use crate::trace::doubts::Doubt;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Look {
    examiner: Arc<Examiner>,
    subject: Subject,
    place: [f64; 3],
    atom: Option<AtomId>,
}

struct Around {
    examiner: Arc<Examiner>,
    subject: Subject,
    doubts: Arc<Vec<Doubt>>,
    then: Arc<Atoms>,
}

/// The list it was made from, the list now and the model it is about; nothing when there were too many edits to follow.
type Followed = Result<Option<(Arc<Vec<Doubt>>, Vec<Doubt>, Arc<Atoms>)>, JobError>;

struct Sphere {
    examiner: Arc<Examiner>,
    subject: Subject,
    center: [f64; 3],
    held: Vec<AtomId>,
}

/// A trace and the parameters it was made with; which it was comes back with the answer.
type Traced = (Arc<crate::trace::Traced>, crate::trace::TraceParams);

/// The questions that are open.
pub struct Examining {
    look: Latest<Look, Looked>,
    looked_at: u64,
    around: Latest<Around, Followed>,
    around_asked: u64,
    sphere: Latest<Sphere, (Result<RefinedPart, JobError>, Duration)>,
    cutoff: Latest<Traced, (usize, Option<Cutoff>)>,
    cutoff_asked: usize,
}

/// The model and the tilts to ask about it; why not, in words.
///
/// # Errors
/// As [`can_refine`].
pub fn subject(state: &AppState) -> Result<Subject, String> {
    can_refine(state)?;
    let workspace = &state.workspace;
    Ok(Subject {
        series: Arc::clone(workspace.best_series().ok_or("needs a tilt series")?),
        atoms: Arc::clone(workspace.atoms.as_ref().ok_or("needs atoms")?),
        params: workspace.project.parameters.refine.clone(),
    })
}

impl Examining {
    /// Starts the threads; `wake` makes what is called when an answer is there.
    pub fn new<W: Fn() + Send + 'static>(wake: impl Fn() -> W) -> Self {
        Self {
            look: Latest::new("look", wake(), |asked: Look| {
                let cutouts = asked
                    .examiner
                    .look(&asked.subject, asked.place, asked.atom)
                    .map(Arc::new)
                    .map_err(|error| error.to_string());
                Looked {
                    place: asked.place,
                    atom: asked.atom,
                    cutouts,
                }
            }),
            looked_at: 0,
            around: Latest::new("doubts-around", wake(), |asked: Around| {
                let list = (asked.examiner).bring_up_to_date(
                    &asked.subject,
                    &asked.doubts,
                    &asked.then,
                )?;
                Ok(list.map(|list| (asked.doubts, list, asked.subject.atoms)))
            }),
            around_asked: 0,
            sphere: Latest::new("refine-sphere", wake(), |asked: Sphere| {
                let began = Instant::now();
                let part =
                    (asked.examiner).refine_sphere(&asked.subject, asked.center, None, &asked.held);
                (part, began.elapsed())
            }),
            cutoff: Latest::new("cutoff", wake(), |(traced, params): Traced| {
                let of = Arc::as_ptr(&traced).addr();
                (of, justify(&traced, &params, None))
            }),
            cutoff_asked: 0,
        }
    }

    /// Takes the answers that are there and asks what is to be asked now; gives a finished refinement back.
    pub fn follow(&mut self, state: &mut AppState) -> Option<RefinedPart> {
        if let Some(looked) = self.look.poll() {
            state.looked = Some(looked);
        }
        match self.around.poll() {
            Some(Ok(Some((before, doubts, atoms)))) => {
                // The tilts may have been asked anew meanwhile.
                let evidence = state.evidence.as_ref();
                if evidence.is_some_and(|evidence| Arc::ptr_eq(&evidence.doubts, &before)) {
                    let doubts = Arc::new(doubts);
                    state.evidence = Some(Evidence { doubts, atoms });
                    state.revision += 1;
                }
            }
            Some(Err(error)) => state.toast(Severity::Warning, error.to_string()),
            _ => {}
        }
        if let Some((of, cutoff)) = self.cutoff.poll() {
            state.cutoff = cutoff.map(|cutoff| (of, Arc::new(cutoff)));
        }
        self.ask_around(state);
        self.ask_to_look(state);
        self.ask_for_cutoff(state);
        state.examining = self.look.is_waiting() || self.around.is_waiting();
        match self.sphere.poll() {
            Some((Ok(part), took)) => {
                let text = format!(
                    "refined {} atoms in {:.0} ms",
                    part.before.len(),
                    1e3 * took.as_secs_f64()
                );
                state.say(Severity::Info, text);
                Some(part)
            }
            Some((Err(error), _)) => {
                state.toast(Severity::Warning, error.to_string());
                None
            }
            None => None,
        }
    }

    /// After every edit, and once when the tilts have made a list, so that the model is drawn before the first question.
    fn ask_around(&mut self, state: &AppState) {
        let Some(evidence) = &state.evidence else {
            return;
        };
        let Ok(subject) = subject(state) else { return };
        let asked = key((
            Arc::as_ptr(&evidence.doubts) as usize,
            state.revision,
            Arc::as_ptr(&subject.series) as usize,
        ));
        let current = Arc::ptr_eq(&evidence.atoms, &subject.atoms) && self.around_asked != 0;
        if current || asked == self.around_asked {
            return;
        }
        self.around_asked = asked;
        self.around.ask(Around {
            examiner: Arc::clone(&state.examiner),
            subject,
            doubts: Arc::clone(&evidence.doubts),
            then: Arc::clone(&evidence.atoms),
        });
    }

    /// What the tilts show of the place of the queue, else of the one selected atom.
    fn ask_to_look(&mut self, state: &mut AppState) {
        let wanted = (state.view.stage == Stage::Correct)
            .then(|| place_to_look_at(state))
            .flatten()
            .and_then(|found| Some((found, subject(state).ok()?)));
        let Some(((place, atom), subject)) = wanted else {
            state.looked = None;
            self.looked_at = 0;
            return;
        };
        let asked = key((place.map(f64::to_bits), atom, state.revision));
        if asked == self.looked_at {
            return;
        }
        self.looked_at = asked;
        self.look.ask(Look {
            examiner: Arc::clone(&state.examiner),
            subject,
            place,
            atom,
        });
    }

    fn ask_for_cutoff(&mut self, state: &AppState) {
        let Some(traced) = &state.workspace.traced else {
            return;
        };
        let of = Arc::as_ptr(traced).addr();
        if of != self.cutoff_asked {
            self.cutoff_asked = of;
            let params = state.workspace.project.parameters.trace.clone();
            self.cutoff.ask((Arc::clone(traced), params));
        }
    }

    /// Asks to refine the atoms around a place; those that are locked stay.
    ///
    /// # Errors
    /// Why that cannot be done now.
    pub fn refine_sphere(&mut self, state: &AppState, center: [f64; 3]) -> Result<(), String> {
        let subject = subject(state)?;
        let held = editing::locked(&subject.atoms);
        self.sphere.ask(Sphere {
            examiner: Arc::clone(&state.examiner),
            subject,
            center,
            held,
        });
        Ok(())
    }
}

/// Where to look, and the atom in question.
fn place_to_look_at(state: &AppState) -> Option<([f64; 3], Option<AtomId>)> {
    if let Some(place) = queue::under_crosshair(state) {
        return Some((place.position, place.atoms.first().copied()));
    }
    if let Some(ghost) = &state.view.ghost {
        return Some((ghost.candidate.position, None));
    }
    let mut selected = state.view.selection.iter();
    if let (Some(&id), None) = (selected.next(), selected.next()) {
        let atoms = state.workspace.atoms.as_ref()?;
        return Some((atoms.positions[atoms.index_of(id)?], Some(id)));
    }
    let place = queue::current(state)?;
    Some((place.position, place.atoms.first().copied()))
}
