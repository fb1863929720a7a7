//! Progress on standard error: a bar with ETA when it is a terminal, nothing otherwise; warnings always.

use crate::monitor::Sink;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

/// Draws one bar for the current phase.
pub struct Bar {
    bar: Mutex<Option<ProgressBar>>,
    shown: bool,
    quiet: bool,
}

impl Bar {
    /// A bar on standard error when that is a terminal and nobody asked for quiet.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self {
            bar: Mutex::new(None),
            shown: !quiet && std::io::stderr().is_terminal(),
            quiet,
        }
    }

    /// A line above the bar.
    fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        match &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = self
            .bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            bar.finish_and_clear();
        }
    }
}

impl Sink for Bar {
    fn phase(&self, name: &str) {
        self.clear();
        if self.shown {
            let style =
                ProgressStyle::with_template("{msg:14} {bar:36} {pos}/{len} {elapsed} ETA {eta}")
                    .expect("the template is a constant that parses");
            let bar = ProgressBar::new(0)
                .with_style(style)
                .with_message(name.to_owned());
            *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
        }
    }

    fn progress(&self, done: usize, total: usize) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    }

    fn warn(&self, text: &str) {
        self.say(&format!("warning: {text}"));
    }

    fn note(&self, text: &str) {
        self.say(text);
    }
}
