//! Panels: they look at the state and ask through actions; what they keep is view state only.

pub mod analyze;
pub mod correct;
pub mod form;
pub mod inspect;
pub mod jobs;
pub mod params;
mod phases;
pub mod plane;
pub mod prepare;
pub mod queue;
pub mod rail;
pub mod reconstruct;
pub mod report;
pub mod series;
pub mod start;
pub mod status;
pub mod structure;
pub mod table;
pub mod trace;
pub mod tray;
pub mod view_settings;

use super::actions::{Action, Actions};
use super::commands::{Enabled, by_id};
use super::state::AppState;
use crate::project::Stage;
use eframe::egui::{self, RichText, Ui};

/// View state of all stage panels.
#[derive(Default)]
pub struct Panels {
    series: series::SeriesPanel,
    reconstruct: reconstruct::ReconstructPanel,
    trace: trace::TracePanel,
    correct: correct::CorrectPanel,
    analyze: analyze::AnalyzePanel,
    /// Tray of plots.
    pub tray: tray::Tray,
}

impl Panels {
    /// Draws the panel of the shown stage.
    pub fn stage_ui(
        &mut self,
        ui: &mut Ui,
        state: &AppState,
        figures: &super::figure_cache::FigureCache,
        views: &mut super::embed::Views,
        actions: &mut Actions,
    ) {
        let stage = state.view.stage;
        ui.add_space(4.0);
        ui.heading(stage.name());
        ui.add_space(2.0);
        egui::ScrollArea::vertical()
            .id_salt(("stage", stage.name()))
            .auto_shrink([false, false])
            .show(ui, |ui| {
                self.body_ui(ui, state, figures, views, actions);
                if matches!(stage, Stage::Reconstruct | Stage::Trace | Stage::Correct) {
                    view_settings::ui(ui, state, actions);
                }
                if stage == Stage::Correct && state.workspace.atoms.is_some() {
                    analyze::colors_ui(ui, state, actions);
                }
                ui.add_space(8.0);
            });
    }

    fn body_ui(
        &mut self,
        ui: &mut Ui,
        state: &AppState,
        figures: &super::figure_cache::FigureCache,
        views: &mut super::embed::Views,
        actions: &mut Actions,
    ) {
        match state.view.stage {
            Stage::Series => self.series.ui(ui, state, actions),
            Stage::Prepare => prepare::ui(ui, state, actions),
            Stage::Reconstruct => self.reconstruct.ui(ui, state, actions),
            Stage::Trace => self.trace.ui(ui, state, figures, views, actions),
            Stage::Correct => self.correct.ui(ui, state, actions),
            Stage::Analyze => self.analyze.ui(ui, state, actions),
            Stage::Report => report::ui(ui, state, actions),
        }
    }
}

/// A titled part of a panel.
pub fn section(ui: &mut Ui, title: &str) {
    ui.add_space(10.0);
    ui.horizontal(|ui| {
        ui.label(RichText::new(title).strong());
        let rect = ui.available_rect_before_wrap();
        let stroke = ui.visuals().widgets.noninteractive.bg_stroke;
        ui.painter().hline(rect.x_range(), rect.center().y, stroke);
    });
    ui.add_space(2.0);
}

/// A button that says beside it why it cannot be pressed.
pub fn button_with_reason(
    ui: &mut Ui,
    text: &str,
    tooltip: &str,
    primary: bool,
    enabled: &Enabled,
) -> bool {
    let mut clicked = false;
    ui.horizontal(|ui| {
        let label = if primary {
            RichText::new(text).strong()
        } else {
            RichText::new(text)
        };
        let mut button = egui::Button::new(label);
        if primary {
            button = button.min_size(egui::vec2(96.0, 26.0));
            if enabled.is_ok() {
                button = button.fill(ui.visuals().selection.bg_fill);
            }
        }
        let response = ui.add_enabled(enabled.is_ok(), button);
        clicked = response.clicked();
        response.on_hover_text(tooltip);
        if let Err(why) = enabled {
            ui.add(egui::Label::new(RichText::new(why).weak()).wrap());
        }
    });
    clicked
}

/// A button for a command of the table, with its key in the tooltip and the reason beside it when disabled.
pub fn command_button(ui: &mut Ui, state: &AppState, actions: &mut Actions, id: &str) {
    let Some(command) = by_id(id) else {
        return;
    };
    let enabled = (command.enabled)(state);
    let key = command.key_text();
    let tooltip = if key.is_empty() {
        command.tooltip.to_owned()
    } else {
        format!("{} ({key})", command.tooltip)
    };
    if button_with_reason(ui, command.text, &tooltip, false, &enabled) {
        actions.push((command.action)(state));
    }
}

/// A small command button for a row of several: the reason is in its tooltip.
pub fn compact_command(ui: &mut Ui, state: &AppState, actions: &mut Actions, id: &str, text: &str) {
    let Some(command) = by_id(id) else {
        return;
    };
    let enabled = (command.enabled)(state);
    let response = ui.add_enabled(enabled.is_ok(), egui::Button::new(text));
    let key = command.key_text();
    let tooltip = if key.is_empty() {
        command.tooltip.to_owned()
    } else {
        format!("{} ({key})", command.tooltip)
    };
    if response.clicked() {
        actions.push((command.action)(state));
    }
    match enabled {
        Ok(()) => response.on_hover_text(tooltip),
        Err(why) => response.on_disabled_hover_text(format!("{tooltip}\nNot now: {why}")),
    };
}

/// The row of run buttons every stage panel ends its parameters with.
pub fn run_row(ui: &mut Ui, state: &AppState, stage: Stage, done: bool, actions: &mut Actions) {
    let enabled = match &state.job {
        Some(job) if running_stage(&job.phase, job.title) == Some(stage) => {
            Err("is running".to_owned())
        }
        _ => super::commands::can_run(state, stage),
    };
    let text = if done { "Run again" } else { "Run" };
    let tooltip = "Run this stage with the parameters above; a running job goes first";
    if button_with_reason(ui, text, tooltip, true, &enabled) {
        actions.push(Action::RunStage(stage));
    }
}

/// The stage a running job is in: its own, or the one its current phase is named after.
#[must_use]
pub fn running_stage(phase: &str, title: &str) -> Option<Stage> {
    if title == "Refine geometry" {
        return Some(Stage::Prepare);
    }
    // Refinement makes the traced atoms better.
    if phase == "Refine" || title == "Refine" {
        return Some(Stage::Trace);
    }
    let starts = |stage: &Stage| {
        let name = stage.name().to_lowercase();
        phase.to_lowercase().starts_with(&name)
    };
    Stage::ALL
        .into_iter()
        .find(|stage| title == stage.name())
        .or_else(|| Stage::ALL.into_iter().find(starts))
}

/// A name and its value, aligned as in a table.
pub fn fact(ui: &mut Ui, name: &str, value: impl Into<String>) {
    let height = ui.text_style_height(&egui::TextStyle::Body);
    ui.scope(|ui| {
        ui.spacing_mut().interact_size.y = height;
        ui.horizontal(|ui| {
            cell(ui, name, height);
            ui.add(egui::Label::new(value.into()).wrap());
        });
    });
}

/// Width of the names in a panel.
pub const NAME_WIDTH: f32 = 128.0;

/// A name in the first column of a panel, beside a field or button.
pub fn name_cell(ui: &mut Ui, name: &str) -> egui::Response {
    // As high as what stands beside it, so that both are on one line.
    let text = ui.text_style_height(&egui::TextStyle::Button);
    let padded = text + 2.0 * ui.spacing().button_padding.y;
    let height = padded.max(ui.spacing().interact_size.y);
    cell(ui, name, height)
}

fn cell(ui: &mut Ui, name: &str, height: f32) -> egui::Response {
    ui.allocate_ui_with_layout(
        egui::vec2(NAME_WIDTH, height),
        egui::Layout::left_to_right(egui::Align::Center),
        |ui| {
            ui.set_min_width(NAME_WIDTH);
            ui.add(egui::Label::new(name).truncate())
        },
    )
    .inner
}

/// A number with its thousands apart: `15,392`.
#[must_use]
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A signed number with a proper minus.
#[must_use]
pub fn signed(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.'));
    if value < 0.0 && !is_zero {
        format!("−{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(15392), "15,392");
        assert_eq!(thousands(1_000_000), "1,000,000");
        assert_eq!(signed(-12.04, 1), "−12.0");
        assert_eq!(signed(-0.01, 1), "0.0");
    }

    #[test]
    fn a_long_road_lights_the_stage_its_phase_is_in() {
        assert_eq!(running_stage("", "Trace"), Some(Stage::Trace));
        assert_eq!(
            running_stage("Reconstruct", "Demo"),
            Some(Stage::Reconstruct)
        );
        assert_eq!(running_stage("Simulate", "Demo"), None);
    }
}
