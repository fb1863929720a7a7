//! The model in 3D, and its slabs side by side.

use super::colors::AtomColors;
use super::slice::{centered, scale_bar};
use crate::model::Atoms;
use crate::ui::actions::{Action, Actions};
use crate::ui::state::{AppState, ViewKind};
use eframe::egui::{self, Color32, Pos2, Sense, Stroke, Ui};

/// View state: how the model is turned and how large it is drawn.
pub struct SpaceView {
    yaw: f64,
    pitch: f64,
    zoom: f32,
}

impl Default for SpaceView {
    fn default() -> Self {
        Self {
            yaw: 0.5,
            pitch: 0.35,
            zoom: 1.0,
        }
    }
}

impl SpaceView {
    /// To the right, up and towards the viewer.
    fn turned(&self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        let (sin_yaw, cos_yaw) = self.yaw.sin_cos();
        let (sin_pitch, cos_pitch) = self.pitch.sin_cos();
        let (a, b) = (x * cos_yaw + z * sin_yaw, z * cos_yaw - x * sin_yaw);
        [
            a,
            y * cos_pitch - b * sin_pitch,
            b * cos_pitch + y * sin_pitch,
        ]
    }

    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "3D view"));
        let Some(atoms) = state.workspace.atoms.as_ref().filter(|a| !a.is_empty()) else {
            centered(
                ui,
                rect,
                "The model appears here once it is traced or opened",
            );
            return;
        };
        if response.dragged() {
            let delta = response.drag_delta();
            self.yaw += f64::from(delta.x) * 0.01;
            self.pitch = (self.pitch + f64::from(delta.y) * 0.01).clamp(-1.57, 1.57);
        }
        if response.hovered() {
            let (zoom, scroll) = ui.input(|i| (i.zoom_delta(), i.smooth_scroll_delta().y));
            self.zoom = (self.zoom * zoom * (scroll * 0.002).exp()).clamp(0.2, 40.0);
        }
        if response.double_clicked() {
            *self = Self::default();
        }
        let reach = atoms
            .positions
            .iter()
            .map(|p| p[0].powi(2) + p[1].powi(2) + p[2].powi(2))
            .fold(1.0_f64, f64::max)
            .sqrt() as f32;
        let scale = 0.45 * rect.width().min(rect.height()) / reach * self.zoom;
        let colors = AtomColors::new(state);
        let clipped = |p: &[f64; 3]| {
            let axes = state.view.active.axes().unwrap_or([0, 1, 2]);
            let off = (p[axes[2]] - state.view.crosshair[axes[2]]).abs();
            state.view.clip && off > 0.5 * state.view.atom_slab
        };
        let mut drawn: Vec<(f64, Pos2, usize)> = atoms
            .positions
            .iter()
            .enumerate()
            .filter(|(_, p)| !clipped(p))
            .map(|(index, &p)| {
                let [a, b, depth] = self.turned(p);
                let at = rect.center() + egui::vec2(a as f32, -b as f32) * scale;
                (depth, at, index)
            })
            .filter(|(_, at, _)| rect.contains(*at))
            .collect();
        drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
        let painter = ui.painter_at(rect);
        let radius = (1.25 * scale).clamp(1.2, 30.0);
        let dimmed = !state.view.brushed.is_empty();
        for &(depth, at, index) in &drawn {
            let id = atoms.ids[index];
            let light = 0.45 + 0.55 * (0.5 + 0.5 * depth as f32 / reach);
            let mut color = shaded(colors.of(atoms, index), light);
            if dimmed && !state.view.brushed.contains(&id) {
                color = shaded(color, 0.3);
            }
            painter.circle_filled(at, radius, color);
            if radius > 4.0 {
                painter.circle_stroke(at, radius, Stroke::new(1.0, shaded(color, 0.55)));
            }
            if state.view.selection.contains(&id) {
                let stroke = Stroke::new(2.0, ui.visuals().warn_fg_color);
                painter.circle_stroke(at, radius + 2.0, stroke);
            }
        }
        let [a, b, _] = self.turned(state.view.crosshair);
        let at = rect.center() + egui::vec2(a as f32, -b as f32) * scale;
        let stroke = Stroke::new(1.0, ui.visuals().warn_fg_color);
        painter.hline(at.x - 8.0..=at.x + 8.0, at.y, stroke);
        painter.vline(at.x, at.y - 8.0..=at.y + 8.0, stroke);
        scale_bar(&painter, rect, scale, ui);
        if response.clicked()
            && let Some(pointer) = response.interact_pointer_pos()
            && let Some((.., index)) = drawn
                .iter()
                .rev()
                .find(|(_, at, _)| at.distance(pointer) < radius.max(5.0))
        {
            let adds = ui.input(|i| i.modifiers.shift);
            actions.push(Action::Select(vec![atoms.ids[*index]], adds));
            actions.push(Action::MoveCrosshair(atoms.positions[*index]));
        }
    }
}

fn shaded(color: Color32, light: f32) -> Color32 {
    let [r, g, b, _] = color.to_array();
    let scaled = |c: u8| (f32::from(c) * light) as u8;
    Color32::from_rgb(scaled(r), scaled(g), scaled(b))
}

/// Successive slabs along z, coloured as in every view; a click brings the crosshair to the slab.
pub fn slab_maps(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let Some(atoms) = &state.workspace.atoms else {
        return;
    };
    let thickness = state.workspace.project.parameters.analyze.slab.max(0.1);
    let slabs = slabs(atoms, thickness);
    if slabs.is_empty() {
        return;
    }
    ui.weak(format!(
        "Slabs of {thickness:.1} Å along z, coloured as the atoms are"
    ));
    let reach = atoms
        .positions
        .iter()
        .flat_map(|p| [p[0].abs(), p[1].abs()])
        .fold(1.0_f64, f64::max) as f32;
    let colors = AtomColors::new(state);
    let edge = (ui.available_width() - 20.0) / 3.0;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = egui::vec2(4.0, 4.0);
        for (middle, indices) in slabs {
            let (rect, response) = ui.allocate_exact_size(egui::vec2(edge, edge), Sense::click());
            response.widget_info(|| {
                let name = format!("Slab at z = {middle:.1} Å");
                egui::WidgetInfo::labeled(egui::Role::Button, true, name)
            });
            let painter = ui.painter_at(rect);
            painter.rect_filled(rect, 2.0, ui.visuals().extreme_bg_color);
            let scale = 0.47 * edge / reach;
            for index in indices {
                let [x, y, _] = atoms.positions[index];
                let at = rect.center() + egui::vec2(x as f32, -y as f32) * scale;
                painter.circle_filled(at, (1.3 * scale).max(0.8), colors.of(atoms, index));
            }
            if response.clicked() {
                let [x, y, _] = state.view.crosshair;
                actions.push(Action::MoveCrosshair([x, y, middle]));
                if state
                    .view
                    .maximized
                    .is_some_and(|kind| kind != ViewKind::Xy)
                {
                    actions.push(Action::Maximize(ViewKind::Xy));
                }
            }
            response.on_hover_text(format!("z = {middle:.1} Å"));
        }
    });
}

/// Middle (Å) and atoms of each slab along z that holds atoms.
fn slabs(atoms: &Atoms, thickness: f64) -> Vec<(f64, Vec<usize>)> {
    let mut slabs: std::collections::BTreeMap<i64, Vec<usize>> = std::collections::BTreeMap::new();
    for (index, position) in atoms.positions.iter().enumerate() {
        let slab = (position[2] / thickness).round() as i64;
        slabs.entry(slab).or_default().push(index);
    }
    slabs
        .into_iter()
        .map(|(slab, indices)| (slab as f64 * thickness, indices))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_atom_is_in_the_slab_it_lies_in() {
        let atoms = Atoms::from_positions(
            vec![[0.0, 0.0, -2.6], [0.0, 0.0, 0.0], [0.0, 0.0, 2.7]],
            "Zr",
        );
        let slabs = slabs(&atoms, 5.3);
        assert_eq!(slabs, [(0.0, vec![0, 1]), (5.3, vec![2])]);
    }
}
