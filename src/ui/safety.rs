//! Nothing is lost: ties the window to its session folder, where every hand edit is written the moment it is made.

use super::App;
use super::state::{Recovery, Severity};
use crate::jobs::Job;
use crate::project::session::{Lost, Session};
use std::path::Path;
use std::sync::Arc;

/// The session's folder and what the window knows of it.
#[derive(Default)]
pub struct Safety {
    session: Option<Session>,
    /// The model the journal on disk belongs to.
    based_on: usize,
    /// An earlier session that ended uncleanly, until it is taken up or put off.
    lost: Option<Lost>,
    /// Thrown away once what came back of it is safe in this session.
    taken_up: Option<Lost>,
}

impl App {
    /// Begins a session under `root` and offers what an unclean end left there.
    pub fn keep_safe(&mut self, root: &Path) {
        if let Some(lost) = Session::find_lost(root).into_iter().next() {
            self.state.recovery = Some(Recovery {
                path: lost.folder.join(&lost.name),
                edits: lost.edits,
            });
            self.safety.lost = Some(lost);
        }
        match Session::begin(root) {
            Ok(session) => self.safety.session = Some(session),
            Err(error) => {
                let text = format!("edits cannot be journalled: {error}");
                self.state.say(Severity::Warning, text);
            }
        }
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
