//! Questions that must be answered before work goes on, inside the window; and messages that float over it.

use super::actions::{Action, Actions};
use super::state::{AppState, Severity};
use crate::jobs::{OpenHints, OpenQuestion};
use eframe::egui::{self, Align2, Context, Id, RichText};
use std::path::PathBuf;
use std::time::Duration;

/// View state of the questions.
#[derive(Default)]
pub struct Questions {
    unit: f64,
    chosen: usize,
    of: Option<OpenQuestion>,
}

impl Questions {
    /// Draws what is open.
    pub fn ui(&mut self, ctx: &Context, state: &AppState, actions: &mut Actions) {
        if state.unsaved.is_some() {
            unsaved_ui(ctx, state, actions);
        } else if let Some(question) = &state.question {
            if self.of.as_ref() != Some(question) {
                *self = Self {
                    unit: guess_unit(question),
                    chosen: 0,
                    of: Some(question.clone()),
                };
            }
            self.open_ui(ctx, state, question, actions);
        } else if state.recovery.is_some() {
            recovery_ui(ctx, state, actions);
        }
    }

    fn open_ui(
        &mut self,
        ctx: &Context,
        state: &AppState,
        question: &OpenQuestion,
        actions: &mut Actions,
    ) {
        let modal = egui::Modal::new(Id::unique("question")).show(ctx, |ui| {
            ui.set_max_width(460.0);
            match question {
                OpenQuestion::WhichArray { path, candidates } => {
                    ui.heading("Which array?");
                    ui.label(format!("{} holds several.", file_name(path)));
                    ui.add_space(6.0);
                    for (index, (name, shape)) in candidates.iter().enumerate() {
                        ui.radio_value(&mut self.chosen, index, format!("{name}: {shape}"));
                    }
                }
                OpenQuestion::WhichUnit { path, nearest } => {
                    ui.heading("Which unit?");
                    ui.label(format!(
                        "The nearest atoms in {} are {nearest:.3} apart, which is no distance in Å.",
                        file_name(path)
                    ));
                    ui.add_space(6.0);
                    ui.horizontal(|ui| {
                        let label = ui.label("One unit is");
                        let field = egui::DragValue::new(&mut self.unit)
                            .range(1e-4..=1e4)
                            .speed(0.001)
                            .max_decimals(5)
                            .suffix(" Å");
                        ui.add(field).labelled_by(label.id);
                    });
                    ui.weak(format!(
                        "The nearest atoms are then {:.3} Å apart. For voxels type the voxel size, for nm 10.",
                        nearest * self.unit
                    ));
                }
                OpenQuestion::Gaps {
                    path,
                    pixels,
                    images,
                    of,
                    first: [image, x, y],
                } => {
                    ui.heading("Leave pixels out?");
                    ui.label(format!(
                        "{pixels} pixels in {images} of {of} images of {} are no numbers; the first is pixel ({x}, {y}) of \
                         image {image}.",
                        file_name(path)
                    ));
                    ui.add_space(6.0);
                    ui.weak(
                        "Masked, they do not take part in the reconstruction. Preparation and refinement against the tilts \
                         need every pixel and are then left out.",
                    );
                }
            }
            ui.add_space(10.0);
            let masks = matches!(question, OpenQuestion::Gaps { .. });
            ui.horizontal(|ui| {
                if ui.button(if masks { "Mask them" } else { "Open" }).clicked() {
                    actions.push(self.answer(state, question));
                }
                if ui.button("Cancel").clicked() {
                    actions.push(Action::DropQuestion);
                }
            });
        });
        if modal.should_close() {
            actions.push(Action::DropQuestion);
        }
    }

    /// The *Open* that was asked for, with the answer.
    fn answer(&self, state: &AppState, question: &OpenQuestion) -> Action {
        let (paths, hints) = state.opening.clone();
        match question {
            OpenQuestion::WhichArray { path, candidates } => {
                let name = candidates
                    .get(self.chosen)
                    .map_or("", |(name, _)| name.as_str());
                let mut chosen = path.clone().into_os_string();
                chosen.push(":");
                chosen.push(name);
                let chosen = PathBuf::from(chosen);
                let mut found = false;
                let mut paths: Vec<PathBuf> = paths
                    .into_iter()
                    .map(|other| {
                        if other == *path {
                            found = true;
                            chosen.clone()
                        } else {
                            other
                        }
                    })
                    .collect();
                if !found {
                    // The file was found in a folder: read it beside what was asked for.
                    paths = vec![chosen];
                }
                Action::Open(paths, hints)
            }
            OpenQuestion::Gaps { .. } => Action::Open(
                paths,
                OpenHints {
                    mask_gaps: true,
                    ..hints
                },
            ),
            OpenQuestion::WhichUnit { .. } => Action::Open(
                paths,
                OpenHints {
                    unit: Some(self.unit),
                    ..hints
                },
            ),
        }
    }
}

/// Nanometres when that makes a bond length, else one.
fn guess_unit(question: &OpenQuestion) -> f64 {
    match question {
        OpenQuestion::WhichUnit { nearest, .. } if (0.1..0.5).contains(nearest) => 10.0,
        _ => 1.0,
    }
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn unsaved_ui(ctx: &Context, state: &AppState, actions: &mut Actions) {
    let modal = egui::Modal::new(Id::unique("unsaved")).show(ctx, |ui| {
        ui.set_max_width(420.0);
        ui.heading("Save the changes?");
        ui.label(format!(
            "{} has changes that are not saved.",
            state.workspace.project.name
        ));
        ui.add_space(10.0);
        ui.horizontal(|ui| {
            if ui.button("Save").clicked() {
                actions.push(Action::Unsaved { save: true });
            }
            if ui.button("Don't save").clicked() {
                actions.push(Action::Unsaved { save: false });
            }
            if ui.button("Cancel").clicked() {
                actions.push(Action::DropQuestion);
            }
        });
    });
    if modal.should_close() {
        actions.push(Action::DropQuestion);
    }
}

fn recovery_ui(ctx: &Context, state: &AppState, actions: &mut Actions) {
    let Some(recovery) = &state.recovery else {
        return;
    };
    egui::Modal::new(Id::unique("recovery")).show(ctx, |ui| {
        ui.set_max_width(460.0);
        ui.heading("Take up where it ended?");
        let edits = match recovery.edits {
            0 => "It comes back as it was".to_owned(),
            1 => "1 edit comes back".to_owned(),
            n => format!("{n} edits come back"),
        };
        ui.label(format!(
            "{} was not closed properly. {edits}.",
            file_name(&recovery.path)
        ));
        ui.add_space(10.0);
        ui.horizontal(|ui| {
            if ui.button("Recover").clicked() {
                actions.push(Action::RecoverYes);
            }
            if ui
                .button("Not now")
                .on_hover_text(
                    "The edits stay in the journal and are offered again at the next start",
                )
                .clicked()
            {
                actions.push(Action::RecoverNo);
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if ui
                    .button("Throw away")
                    .on_hover_text("Deletes these edits for good")
                    .clicked()
                {
                    actions.push(Action::RecoverDrop);
                }
            });
        });
    });
}

/// How long a message floats: longer when it is serious.
fn lifetime(severity: Severity) -> Duration {
    match severity {
        Severity::Info => Duration::from_secs(3),
        Severity::Warning => Duration::from_secs(6),
        Severity::Error => Duration::from_secs(15),
    }
}

/// Draws the floating messages; gives the index of one that was clicked away.
pub fn toasts_ui(ctx: &Context, state: &mut AppState) {
    state
        .toasts
        .retain(|toast| toast.since.elapsed() < lifetime(toast.severity));
    let Some(next) = state
        .toasts
        .iter()
        .map(|toast| lifetime(toast.severity).saturating_sub(toast.since.elapsed()))
        .min()
    else {
        return;
    };
    ctx.request_repaint_after(next + Duration::from_millis(20));
    let mut closed = None;
    egui::Area::new(Id::unique("toasts"))
        .anchor(Align2::RIGHT_BOTTOM, [-16.0, -40.0])
        .order(egui::Order::Foreground)
        .show(ctx, |ui| {
            for (index, toast) in state.toasts.iter().enumerate() {
                let visuals = ui.visuals();
                let color = match toast.severity {
                    Severity::Info => visuals.text_color(),
                    Severity::Warning => visuals.warn_fg_color,
                    Severity::Error => visuals.error_fg_color,
                };
                egui::Frame::popup(ui.style())
                    .stroke(egui::Stroke::new(1.0, color))
                    .show(ui, |ui| {
                        ui.set_max_width(420.0);
                        ui.horizontal_wrapped(|ui| {
                            ui.add(
                                egui::Label::new(RichText::new(&toast.text).color(color)).wrap(),
                            );
                            if ui.small_button("Close").clicked() {
                                closed = Some(index);
                            }
                        });
                    });
                ui.add_space(4.0);
            }
        });
    if let Some(index) = closed {
        state.toasts.remove(index);
    }
}
