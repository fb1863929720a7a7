//! The road, top to bottom: every stage with its state in words.

use super::running_stage;
use crate::project::pipeline::{StageStatus, status};
use crate::project::{Stage, Workspace};
use crate::ui::actions::{Action, Actions};
use crate::ui::state::AppState;
use eframe::egui::{self, Align2, Color32, FontId, Sense, Ui};

/// What the rail says of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Badge {
    /// The words under the name.
    pub words: String,
    /// What they mean, for the colour.
    pub mood: Mood,
}

/// The colour of a badge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Something must come first.
    Waiting,
    /// Can be run.
    Ready,
    /// At work.
    Running,
    /// Up to date.
    Done,
    /// Out of date.
    Stale,
}

/// The badge of a stage.
#[must_use]
pub fn badge(state: &AppState, stage: Stage) -> Badge {
    let new = |words: String, mood| Badge { words, mood };
    if let Some(job) = &state.job
        && running_stage(&job.phase, job.title) == Some(stage)
    {
        let (done, total) = job.progress;
        let share = if total > 0 {
            format!("running {:.0} %", 100.0 * done as f64 / total as f64)
        } else {
            "running".to_owned()
        };
        let words = if job.paused {
            "paused".to_owned()
        } else {
            share
        };
        return new(words, Mood::Running);
    }
    if stage == Stage::Correct && state.workspace.atoms.is_some() {
        let (by_hand, to_see) = (state.workspace.edits.counts().total(), state.doubtful.len());
        return match (by_hand, to_see) {
            (0, 0) => new("ready".to_owned(), Mood::Ready),
            (0, n) => new(format!("{n} to see"), Mood::Ready),
            (n, 0) => new(format!("{n} by hand"), Mood::Done),
            (n, m) => new(format!("{n} by hand, {m} to see"), Mood::Done),
        };
    }
    words_of(&state.workspace, stage)
}

fn words_of(workspace: &Workspace, stage: Stage) -> Badge {
    match status(workspace, stage) {
        StageStatus::Needs(what) => Badge {
            words: format!("needs {what}"),
            mood: Mood::Waiting,
        },
        StageStatus::Ready => Badge {
            words: "ready".to_owned(),
            mood: Mood::Ready,
        },
        StageStatus::Done(result) => Badge {
            words: result,
            mood: Mood::Done,
        },
        StageStatus::Stale(why) => Badge {
            words: format!("stale: {why}"),
            mood: Mood::Stale,
        },
    }
}

fn color(ui: &Ui, mood: Mood) -> Color32 {
    let visuals = ui.visuals();
    match mood {
        Mood::Waiting => visuals.weak_text_color(),
        Mood::Ready => visuals.text_color(),
        Mood::Running => visuals.hyperlink_color,
        Mood::Done => visuals.selection.stroke.color,
        Mood::Stale => visuals.warn_fg_color,
    }
}

/// Draws the rail.
pub fn ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    ui.spacing_mut().item_spacing.y = 2.0;
    ui.add_space(6.0);
    for (index, stage) in Stage::ALL.into_iter().enumerate() {
        entry(ui, state, index, stage, actions);
    }
}

fn entry(ui: &mut Ui, state: &AppState, index: usize, stage: Stage, actions: &mut Actions) {
    let badge = badge(state, stage);
    let chosen = state.view.stage == stage;
    let width = ui.available_width();
    let mark = color(ui, badge.mood);
    let words = ui.painter().layout(
        badge.words.clone(),
        FontId::proportional(11.5),
        mark,
        width - 30.0,
    );
    let height = 33.0 + words.size().y;
    let (rect, response) = ui.allocate_exact_size(egui::vec2(width, height), Sense::click());
    response.widget_info(|| {
        let text = format!("{} stage: {}", stage.name(), badge.words);
        egui::WidgetInfo::selected(egui::Role::Button, true, chosen, text)
    });
    let visuals = ui.visuals();
    if chosen {
        ui.painter()
            .rect_filled(rect, 4.0, visuals.selection.bg_fill.gamma_multiply(0.4));
    } else if response.hovered() || response.has_focus() {
        ui.painter()
            .rect_filled(rect, 4.0, visuals.widgets.hovered.weak_bg_fill);
    }
    let dot = rect.left_top() + egui::vec2(12.0, 16.0);
    match badge.mood {
        Mood::Waiting => {
            ui.painter()
                .circle_stroke(dot, 3.5, egui::Stroke::new(1.0, mark));
        }
        _ => {
            ui.painter().circle_filled(dot, 4.0, mark);
        }
    }
    let name = format!("{} {}", index + 1, stage.name());
    let text_color = if chosen {
        visuals.strong_text_color()
    } else {
        visuals.text_color()
    };
    ui.painter().text(
        rect.left_top() + egui::vec2(24.0, 7.0),
        Align2::LEFT_TOP,
        name,
        FontId::proportional(14.0),
        text_color,
    );
    let place = rect.left_top() + egui::vec2(24.0, 26.0);
    ui.painter().galley(place, words, mark);
    let response = response.on_hover_text(format!("{}: {}", stage.name(), badge.words));
    if response.clicked() {
        actions.push(Action::ShowStage(stage));
    }
}
