//! The views the window embeds, by kind, and what they share: the colours of the atoms.

use super::actions::Actions;
use super::state::{AppState, ViewKind};
use super::theme;
use super::views::plot::Brushable;
use super::views::slices::{Colors, SliceView};
use super::views::tilt::TiltView;
use super::views::volume::VolumeView;
use super::views::{canvas, gallery, plot, volume_gpu};
use crate::figures::Figure;
use eframe::egui::{Color32, Ui};
use std::sync::Arc;

/// All views with their own view state (zoom, textures).
#[derive(Default)]
pub struct Views {
    xy: SliceView,
    xz: SliceView,
    yz: SliceView,
    oblique: SliceView,
    tilt: TiltView,
    volume: VolumeView,
    colors: Option<(u64, Vec<Color32>, theme::Meaning)>,
}

impl Views {
    /// Prepares the window's graphics device; without it the 3D view says that it cannot be drawn.
    pub fn install(&mut self, state: &eframe::egui_wgpu::RenderState) {
        volume_gpu::install(state);
        self.volume.gpu = true;
    }

    /// Finds the atoms' colours when something they depend on changed.
    fn update_colors(&mut self, state: &AppState) {
        let view = &state.view;
        let atoms = state.workspace.atoms.as_ref();
        let analyzed = state.workspace.analyzed.as_ref();
        let key = canvas::key((
            atoms.map_or(0, |atoms| Arc::as_ptr(atoms) as usize),
            analyzed.map_or(0, |analyzed| Arc::as_ptr(analyzed) as usize),
            state.revision,
            format!("{:?}{:?}", view.color_by, view.quantity_map),
        ));
        if self
            .colors
            .as_ref()
            .is_some_and(|(known, ..)| *known == key)
        {
            return;
        }
        let (colors, meaning) = atoms.map_or_else(Default::default, |atoms| {
            let analyzed = analyzed.map(|analyzed| &analyzed.atoms);
            theme::atom_colors(atoms, analyzed, &view.color_by, view.quantity_map)
        });
        self.colors = Some((key, colors, meaning));
    }

    /// Draws one view into the rest of `ui`.
    pub fn ui(&mut self, ui: &mut Ui, kind: ViewKind, state: &AppState, actions: &mut Actions) {
        self.update_colors(state);
        let none = theme::Meaning::default();
        let (colors, meaning) = self
            .colors
            .as_ref()
            .map_or((&[] as &[Color32], &none), |(_, colors, meaning)| {
                (colors.as_slice(), meaning)
            });
        let colors = Colors { colors };
        match kind {
            ViewKind::Xy => self.xy.ui(ui, kind, state, &colors, actions),
            ViewKind::Xz => self.xz.ui(ui, kind, state, &colors, actions),
            ViewKind::Yz => self.yz.ui(ui, kind, state, &colors, actions),
            ViewKind::Oblique => self.oblique.ui(ui, kind, state, &colors, actions),
            ViewKind::Tilt => self.tilt.ui(ui, state, actions),
            ViewKind::Volume => self.volume.ui(ui, state, &colors, meaning, actions),
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
        let brushable = state.workspace.analyzed.as_ref().and_then(|analyzed| {
            let column = figure.brush_column.as_deref();
            let points = figure.id == "boo";
            (column.is_some() || points).then(|| Brushable {
                atoms: &analyzed.atoms,
                values: column.and_then(|name| analyzed.atoms.column(name).map(<[f64]>::to_vec)),
            })
        });
        plot::figure_ui(
            ui,
            figure,
            height,
            state.view.dark,
            brushable.as_ref(),
            actions,
        );
    }

    /// Draws the slab maps.
    pub fn gallery(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        self.update_colors(state);
        let Some((_, colors, meaning)) = &self.colors else {
            return;
        };
        // Above the maps: below them nobody would look for it.
        gallery::meaning(ui, state, meaning);
        gallery::ui(ui, state, &Colors { colors }, actions);
    }
}
