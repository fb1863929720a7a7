//! The oblique plane: through selected atoms, or seen along a direction of the specimen or of a grain's crystal.

use super::{compact_command, section};
use crate::analyze::ptm::rotate;
use crate::ui::actions::{Action, Actions};
use crate::ui::plane::PlaneAxes;
use crate::ui::state::AppState;
use eframe::egui::{self, Ui};

/// View state: the direction being typed.
pub struct PlanePanel {
    /// Direction, in whole or broken numbers.
    direction: [f64; 3],
    /// Grain whose crystal axes it is in, counted from 1; 0 for the specimen's.
    grain: usize,
}

impl Default for PlanePanel {
    fn default() -> Self {
        Self {
            direction: [1.0, 1.0, 0.0],
            grain: 0,
        }
    }
}

impl PlanePanel {
    /// Draws the settings.
    pub fn ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        section(ui, "Oblique plane");
        ui.horizontal(|ui| {
            compact_command(ui, state, actions, "plane", "Through selected atoms");
            ui.weak("two make a row");
        });
        let grains = state
            .workspace
            .analyzed
            .as_ref()
            .map_or(0, |a| a.grains.len());
        self.grain = self.grain.min(grains);
        ui.horizontal(|ui| {
            let label = ui.weak("Along");
            for value in &mut self.direction {
                let field = egui::DragValue::new(value)
                    .range(-20.0..=20.0)
                    .speed(0.05)
                    .max_decimals(2);
                ui.add(field).labelled_by(label.id);
            }
            let name = |grain: usize| match grain {
                0 => "specimen".to_owned(),
                n => format!("grain {n}"),
            };
            egui::ComboBox::from_id_salt("axes of the direction")
                .width(84.0)
                .selected_text(name(self.grain))
                .show_ui(ui, |ui| {
                    for grain in 0..=grains.min(30) {
                        ui.selectable_value(&mut self.grain, grain, name(grain));
                    }
                })
                .response
                .widget_info(|| {
                    egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Axes of the direction")
                });
        });
        let axes = self.axes(state);
        let look = ui
            .add_enabled(axes.is_some(), egui::Button::new("Look along it"))
            .on_hover_text("Turn the oblique view across this direction; Shift and the wheel step by layers of atoms")
            .on_disabled_hover_text("The direction has no length");
        if look.clicked()
            && let Some(axes) = axes
        {
            actions.push(Action::SetPlane(axes));
        }
    }

    fn axes(&self, state: &AppState) -> Option<PlaneAxes> {
        let analyzed = state.workspace.analyzed.as_ref();
        let grain = self
            .grain
            .checked_sub(1)
            .and_then(|at| analyzed?.grains.get(at));
        let direction = match grain {
            Some(grain) => rotate(grain.orientation, self.direction),
            None => self.direction,
        };
        PlaneAxes::looking_along(direction)
    }
}
