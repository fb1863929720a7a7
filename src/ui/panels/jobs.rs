//! The job strip: stage, progress, the number that matters, time to go, and how to end it.

use crate::monitor::Stopped;
use crate::ui::actions::{Action, Actions};
use crate::ui::state::{AppState, RunningJob};
use eframe::egui::{self, RichText, Ui};

/// Draws the strip, right to left (it stands at the right end of the menu bar).
pub fn strip_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let Some(job) = state.job.as_ref().filter(|job| job.title != "Autosave") else {
        return;
    };
    if ui
        .button("Abandon")
        .on_hover_text("End it and drop its result")
        .clicked()
    {
        actions.push(Action::Stop(Stopped::Abandon));
    }
    if ui
        .button("Keep")
        .on_hover_text("Finish now and keep the result so far")
        .clicked()
    {
        actions.push(Action::Stop(Stopped::Keep));
    }
    let pause = if job.paused { "Resume" } else { "Pause" };
    if ui.button(pause).clicked() {
        actions.push(Action::Pause(!job.paused));
    }
    if state.queued > 0 {
        ui.weak(format!("{} waiting", state.queued));
    }
    let (done, total) = job.progress;
    if let Some(secs) = job.eta_secs() {
        ui.label(format!("ETA {}", clock(secs)));
    }
    let share = if total > 0 {
        done as f32 / total as f32
    } else {
        0.0
    };
    let text = if job.paused {
        "paused".to_owned()
    } else if total > 0 {
        format!("{done}/{total}")
    } else {
        String::new()
    };
    let bar = egui::ProgressBar::new(share)
        .desired_width(120.0)
        .text(RichText::new(text).small());
    ui.add(bar);
    let number = number_of(state, job);
    if !number.is_empty() {
        ui.label(number);
    }
    let name = if job.phase.is_empty() || job.phase == job.title {
        job.title.to_owned()
    } else {
        format!("{}: {}", job.title, job.phase)
    };
    ui.add(egui::Label::new(RichText::new(name).strong()).truncate());
}

/// The one number that matters of what is running.
fn number_of(state: &AppState, job: &RunningJob) -> String {
    let reconstructs = job.title == "Reconstruct" || job.phase.starts_with("Reconstruct");
    match state.live.iterations.last() {
        Some(last) if reconstructs => {
            let rate = if last.elapsed_secs > 0.0 {
                format!("  {:.1} it/s", last.number as f64 / last.elapsed_secs)
            } else {
                String::new()
            };
            format!("R1 {:.4}{rate}", last.r1)
        }
        _ => String::new(),
    }
}

/// Seconds as minutes and seconds: `0:12`.
fn clock(secs: f64) -> String {
    let whole = secs.round().max(0.0) as u64;
    match whole {
        0..3600 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_like_a_clock() {
        assert_eq!(clock(12.4), "0:12");
        assert_eq!(clock(75.0), "1:15");
        assert_eq!(clock(3725.0), "1:02:05");
    }
}
