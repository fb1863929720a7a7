//! The views the window embeds, by kind.

mod colors;
mod plot;
mod slice;
mod space;
mod tilt;

use super::actions::Actions;
use super::state::{AppState, ViewKind};
use crate::figures::Figure;
use eframe::egui::Ui;

/// All views with their own view state (zoom, textures).
#[derive(Default)]
pub struct Views {
    xy: slice::SliceView,
    xz: slice::SliceView,
    yz: slice::SliceView,
    space: space::SpaceView,
    tilt: tilt::TiltView,
    plot: plot::PlotView,
}

impl Views {
    /// Draws one view into the rest of `ui`.
    pub fn ui(&mut self, ui: &mut Ui, kind: ViewKind, state: &AppState, actions: &mut Actions) {
        match kind {
            ViewKind::Xy => self.xy.ui(ui, kind, state, actions),
            ViewKind::Xz => self.xz.ui(ui, kind, state, actions),
            ViewKind::Yz => self.yz.ui(ui, kind, state, actions),
            ViewKind::Volume => self.space.ui(ui, state, actions),
            ViewKind::Tilt => self.tilt.ui(ui, state, actions),
        }
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
        self.plot.ui(ui, figure, height, state, actions);
    }

    /// Draws the slab maps.
    pub fn gallery(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        space::slab_maps(ui, state, actions);
    }
}
