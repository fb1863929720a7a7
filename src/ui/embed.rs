//! The views the window embeds, by kind.

use super::actions::Actions;
use super::state::{AppState, ViewKind};
use crate::figures::Figure;
use eframe::egui::Ui;

/// All views with their own view state (zoom, textures).
#[derive(Default)]
pub struct Views {}

impl Views {
    /// Draws one view into the rest of `ui`.
    pub fn ui(&mut self, ui: &mut Ui, kind: ViewKind, state: &AppState, actions: &mut Actions) {
        let _ = (state, actions);
        ui.centered_and_justified(|ui| ui.weak(format!("{kind:?}")));
    }

    /// Draws a figure of the tray, `height` points high.
    pub fn figure(
        &mut self,
        ui: &mut Ui,
        figure: &Figure,
        height: f32,
        state: &AppState,
        actions: &mut Actions,
    ) {
        let _ = (state, actions, height);
        ui.weak(&figure.title);
    }

    /// Draws the slab maps.
    pub fn gallery(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        let _ = (ui, state, actions);
    }
}
