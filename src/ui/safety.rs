//! Nothing is lost: ties the window to its session folder, where every hand edit is written the moment it is made.

use super::App;
use super::state::{Recovery, Severity};
use crate::jobs::Job;
use crate::preprocess::{FrameId, MaskEdit, Nudge, PrepareParams};
use crate::project::session::{Lost, Session};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A killed process lets go of its lock only when the system has taken all its memory back: on a busy machine a new
/// start comes before that, so it looks again, this often and for this long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const LOOK_FOR: Duration = Duration::from_secs(30);
/// The hand that edits masks, moves images or leaves out frames rests after this.
const HAND_RESTS: Duration = Duration::from_secs(2);

/// The session's folder and what the window knows of it.
#[derive(Default)]
pub struct Safety {
    session: Option<Session>,
    /// The model the journal on disk belongs to.
    based_on: usize,
    /// An earlier session that ended uncleanly, until it is taken up or put off.
    lost: Option<Lost>,
    /// When to look again for an unclean end whose lock was still held at the start.
    look: Option<Look>,
    /// Thrown away once what came back of it is safe in this session.
    taken_up: Option<Lost>,
    /// What was done by hand to the preparation when it was last looked at, and since when it is not on disk.
    hand_work: HandWork,
    unsafe_since: Option<Instant>,
}

/// Frames left out, masks edited, images moved.
#[derive(Debug, Clone, Default, PartialEq)]
struct HandWork(Vec<FrameId>, Vec<MaskEdit>, Vec<Nudge>);

impl HandWork {
    fn is(&self, params: &PrepareParams) -> bool {
        (&self.0, &self.1, &self.2)
            == (
                &params.frames.drop_frames,
                &params.mask_edits,
                &params.nudges,
            )
    }
}

struct Look {
    root: PathBuf,
    begun: Instant,
    last: Instant,
}

impl App {
    /// Begins a session under `root` and offers what an unclean end left there.
    pub fn keep_safe(&mut self, root: &Path) {
        self.offer_lost(root);
        match Session::begin(root) {
            Ok(session) => {
                let now = Instant::now();
                self.safety.look = session.has_company().then(|| Look {
                    root: root.to_path_buf(),
                    begun: now,
                    last: now,
                });
                self.safety.session = Some(session);
            }
            Err(error) => {
                let text = format!("edits cannot be journalled: {error}");
                self.state.say(Severity::Warning, text);
            }
        }
    }

    fn offer_lost(&mut self, root: &Path) {
        if let Some(lost) = Session::find_lost(root).into_iter().next() {
            self.state.recovery = Some(Recovery {
                path: lost.folder.join(&lost.name),
                edits: lost.edits,
            });
            self.safety.lost = Some(lost);
        }
    }

    /// Looks again for an unclean end that still held its lock when this session began.
    pub(super) fn look_for_lost(&mut self, ctx: &eframe::egui::Context) {
        let busy = !self.state.is_empty() || self.state.job.is_some();
        let Some(look) = &mut self.safety.look else {
            return;
        };
        if busy || self.safety.lost.is_some() || look.begun.elapsed() > LOOK_FOR {
            self.safety.look = None;
            return;
        }
        if look.last.elapsed() >= LOOK_AGAIN {
            look.last = Instant::now();
            let root = look.root.clone();
            self.offer_lost(&root);
        }
        ctx.request_repaint_after(LOOK_AGAIN);
    }

    /// Takes the unclean end up, or leaves it for later.
    pub(super) fn answer_recovery(&mut self, take_up: bool) {
        self.state.recovery = None;
        let Some(lost) = self.safety.lost.take() else {
            return;
        };
        // *Not now* leaves it where it is: it is offered again at the next start.
        if take_up {
            self.safety.taken_up = Some(lost.clone());
            self.submit(Job::Recover(lost));
        }
    }

    /// Throws the unclean end away for good.
    pub(super) fn drop_recovery(&mut self) {
        self.state.recovery = None;
        if let Some(lost) = self.safety.lost.take() {
            Session::discard(&lost);
            let text = format!("the journal of {} was thrown away", lost.name);
            self.state.say(Severity::Info, text);
        }
    }

    /// A new model needs a base on disk before edits of it mean anything there.
    pub(super) fn follow_model(&mut self) {
        let Some(session) = &mut self.safety.session else {
            return;
        };
        let workspace = &self.state.workspace;
        let model = workspace
            .base_atoms
            .as_ref()
            .map_or(0, |atoms| Arc::as_ptr(atoms) as usize);
        if model == self.safety.based_on {
            return;
        }
        self.safety.based_on = model;
        if model == 0 {
            return;
        }
        if let (Some(path), false) = (workspace.path.clone(), workspace.modified) {
            let entries = workspace.edits.entries().len();
            self.rebase(&path, entries);
        } else {
            let path = session.autosave_path();
            let workspace = Box::new(workspace.clone());
            self.submit(Job::Autosave { workspace, path });
        }
    }

    /// Hand work on the preparation has no journal: the document is written aside when the hand rests.
    pub(super) fn follow_hand_work(&mut self, ctx: &eframe::egui::Context) {
        let Some(session) = &mut self.safety.session else {
            return;
        };
        let workspace = &self.state.workspace;
        let params = &workspace.project.parameters.prepare;
        if !self.safety.hand_work.is(params) {
            self.safety.hand_work = HandWork(
                params.frames.drop_frames.clone(),
                params.mask_edits.clone(),
                params.nudges.clone(),
            );
            self.safety.unsafe_since = (workspace.modified).then(Instant::now);
        }
        let Some(since) = self.safety.unsafe_since else {
            return;
        };
        if !workspace.modified {
            // Saved meanwhile.
            self.safety.unsafe_since = None;
        } else if since.elapsed() < HAND_RESTS {
            ctx.request_repaint_after(HAND_RESTS.saturating_sub(since.elapsed()));
        } else if self.state.job.is_none() {
            self.safety.unsafe_since = None;
            let path = session.autosave_path();
            let workspace = Box::new(workspace.clone());
            self.submit(Job::Autosave { workspace, path });
        }
    }

    /// The journal on disk now belongs to the project file at `path`, which holds the first `entries` itself.
    pub(super) fn rebase(&mut self, path: &Path, entries: usize) {
        let Some(session) = &mut self.safety.session else {
            return;
        };
        let workspace = &self.state.workspace;
        match session.rebase(path, &workspace.project.name, entries, &workspace.edits) {
            Ok(()) => {
                if let Some(lost) = self.safety.taken_up.take() {
                    Session::discard(&lost);
                }
            }
            Err(error) => {
                self.state.say(
                    Severity::Error,
                    format!("edits cannot be journalled: {error}"),
                );
            }
        }
    }

    /// Writes an edit to the journal on disk.
    pub(super) fn journal(&mut self, entry: &crate::project::Entry) {
        let Some(session) = &mut self.safety.session else {
            return;
        };
        if let Err(error) = session.append(entry) {
            self.state.say(
                Severity::Error,
                format!("this edit is not on disk: {error}"),
            );
        }
    }
}
