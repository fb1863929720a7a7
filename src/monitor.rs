//! How a long computation speaks and listens: phase, progress, warnings, and a three-valued stop.
//!
//! A stage gets a [`Monitor`] and calls [`Monitor::check`] often (at least every 100 ms); pausing happens inside
//! that call, so no stage knows about it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// What the computation says.
pub trait Sink: Send + Sync {
    /// A named part of the work begins.
    fn phase(&self, name: &str);
    /// `done` of `total` units of the current phase are done.
    fn progress(&self, done: usize, total: usize);
    /// Something the user should know; the work goes on.
    fn warn(&self, text: &str);
    /// Something for the log: what was chosen and why.
    fn note(&self, _text: &str) {}
}

/// How a stop was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// Finish now and keep what there is.
    #[error("stopped, the result so far is kept")]
    Keep,
    /// Throw the work away.
    #[error("abandoned")]
    Abandon,
}

#[derive(Debug, Default)]
struct Wish {
    stop: Option<Stopped>,
    paused: bool,
}

/// The listening end: shared by the worker and whoever presses the buttons.
#[derive(Debug, Default)]
pub struct Control {
    wish: Mutex<Wish>,
    changed: Condvar,
}

impl Control {
    fn edit(&self, change: impl FnOnce(&mut Wish)) {
        change(&mut self.wish.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Asks for a stop; *abandon* outranks *keep*.
    pub fn stop(&self, how: Stopped) {
        self.edit(|wish| {
            if wish.stop != Some(Stopped::Abandon) {
                wish.stop = Some(how);
            }
        });
    }

    /// Pauses or resumes at the next check.
    pub fn set_paused(&self, paused: bool) {
        self.edit(|wish| wish.paused = paused);
    }

    /// Whether the work is (or will be, at its next check) paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.wish
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .paused
    }
}

struct Silent;

impl Sink for Silent {
    fn phase(&self, _: &str) {}
    fn progress(&self, _: usize, _: usize) {}
    fn warn(&self, _: &str) {}
}

/// The speaking and listening end given to a stage. Cheap to clone.
#[derive(Clone)]
pub struct Monitor {
    sink: Arc<dyn Sink>,
    control: Arc<Control>,
}

impl Monitor {
    /// A monitor that reports to `sink` and obeys `control`.
    #[must_use]
    pub fn new(sink: Arc<dyn Sink>, control: Arc<Control>) -> Self {
        Self { sink, control }
    }

    /// A monitor nobody listens to and nobody stops: for tests and small computations.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(Arc::new(Silent), Arc::new(Control::default()))
    }

    /// A monitor nobody listens to, obeying `control`: for work behind the scenes.
    #[must_use]
    pub fn quiet(control: Arc<Control>) -> Self {
        Self::new(Arc::new(Silent), control)
    }

    /// Begins a named part of the work.
    pub fn phase(&self, name: &str) {
        self.sink.phase(name);
    }

    /// Reports that `done` of `total` units of this phase are done.
    pub fn progress(&self, done: usize, total: usize) {
        self.sink.progress(done, total);
    }

    /// Tells the user something without stopping.
    pub fn warn(&self, text: &str) {
        self.sink.warn(text);
    }

    /// Writes what was chosen and why into the log.
    pub fn note(&self, text: &str) {
        self.sink.note(text);
    }

    /// Waits while paused; then says whether to go on.
    ///
    /// # Errors
    /// How the stop was asked for.
    pub fn check(&self) -> Result<(), Stopped> {
        let mut wish = self
            .control
            .wish
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while wish.paused && wish.stop.is_none() {
            wish = self
                .control
                .changed
                .wait(wish)
                .unwrap_or_else(PoisonError::into_inner);
        }
        wish.stop.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abandon_outranks_keep_and_a_stop_ends_a_pause() {
        let control = Arc::new(Control::default());
        let monitor = Monitor::new(Arc::new(Silent), control.clone());
        assert_eq!(monitor.check(), Ok(()));
        control.set_paused(true);
        control.stop(Stopped::Abandon);
        control.stop(Stopped::Keep);
        assert_eq!(monitor.check(), Err(Stopped::Abandon));
    }
}
