//! A slice through the volume: density, atoms as rings that fade off the plane, crosshair, ghost, scale bar.

use super::colors::{AtomColors, of_map};
use crate::model::{AtomId, Volume};
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::state::{AppState, ColorMap, Tool, ViewKind};
use eframe::egui::{self, Color32, Pos2, Rect, Sense, Stroke, TextureHandle, Ui, Vec2};
use std::sync::Arc;

/// What the texture was made of.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Key {
    volume: usize,
    layers: [usize; 2],
    map: ColorMap,
    contrast: [f32; 2],
}

/// View state of one slice view.
#[derive(Default)]
pub struct SliceView {
    texture: Option<(Key, TextureHandle)>,
    range: Option<(usize, [f32; 2])>,
    /// Magnification over the whole volume; zero before the first frame.
    zoom: f32,
    /// Place of the view's middle, Å in the plane.
    middle: Vec2,
    moving: Option<(AtomId, [f64; 3])>,
}

/// Where the plane lies on the screen.
struct Frame {
    rect: Rect,
    scale: f32,
    middle: Vec2,
    axes: [usize; 3],
}

impl Frame {
    fn to_screen(&self, place: [f64; 3]) -> Pos2 {
        let [across, along, _] = self.axes;
        let x = (place[across] as f32 - self.middle.x) * self.scale;
        let y = (place[along] as f32 - self.middle.y) * self.scale;
        self.rect.center() + egui::vec2(x, -y)
    }

    /// The place in the plane through the crosshair.
    fn from_screen(&self, at: Pos2, crosshair: [f64; 3]) -> [f64; 3] {
        let [across, along, _] = self.axes;
        let off = (at - self.rect.center()) / self.scale;
        let mut place = crosshair;
        place[across] = f64::from(off.x + self.middle.x);
        place[along] = f64::from(self.middle.y - off.y);
        place
    }
}

impl SliceView {
    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, kind: ViewKind, state: &AppState, actions: &mut Actions) {
        let axes = kind.axes().unwrap_or([0, 1, 2]);
        let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
        response.widget_info(|| {
            egui::WidgetInfo::labeled(egui::Role::Image, true, format!("{kind:?} slice"))
        });
        let volume = state.shown_volume();
        if volume.is_none() && state.workspace.atoms.is_none() {
            centered(
                ui,
                rect,
                "The volume appears here once it is reconstructed or opened",
            );
            return;
        }
        let extent = extent_of(state);
        if self.zoom == 0.0 {
            self.zoom = 1.0;
        }
        let fit = (rect.width() / extent[axes[0]]).min(rect.height() / extent[axes[1]]) * 0.96;
        let frame = Frame {
            rect,
            scale: fit * self.zoom,
            middle: self.middle,
            axes,
        };
        let painter = ui.painter_at(rect);
        if let Some(volume) = volume {
            self.density(ui, &painter, &frame, volume, state);
        }
        if state.view.show_atoms {
            rings(&painter, &frame, state, self.moving);
        }
        crosshair(&painter, &frame, state, ui);
        scale_bar(&painter, rect, frame.scale, ui);
        self.interact(ui, &response, &frame, state, actions);
    }

    fn density(
        &mut self,
        ui: &Ui,
        painter: &egui::Painter,
        frame: &Frame,
        volume: &Arc<Volume>,
        state: &AppState,
    ) {
        let id = Arc::as_ptr(volume).addr();
        let range = match self.range {
            Some((of, range)) if of == id => range,
            _ => {
                let range = sampled_range(volume);
                self.range = Some((id, range));
                range
            }
        };
        let normal = frame.axes[2];
        let size = volume.size();
        let center = volume.index_of(state.view.crosshair)[normal];
        let half = 0.5 * state.view.density_slab / volume.pixel_size;
        let last = size[normal].saturating_sub(1) as f64;
        let nearest = center.round().clamp(0.0, last) as usize;
        let low = (center - half).ceil().clamp(0.0, last) as usize;
        let high = (center + half).floor().clamp(0.0, last) as usize;
        let layers = [low.min(nearest), high.max(nearest)];
        let key = Key {
            volume: id,
            layers,
            map: state.view.density_map,
            contrast: state.view.density_contrast,
        };
        if self.texture.as_ref().is_none_or(|(of, _)| *of != key) {
            let image = slab(volume, frame.axes, layers, range, &key);
            let options = egui::TextureOptions::LINEAR;
            match &mut self.texture {
                Some((of, texture)) => {
                    texture.set(image, options);
                    *of = key;
                }
                None => {
                    let texture = ui.ctx().load_texture("slice", image, options);
                    self.texture = Some((key, texture));
                }
            }
        }
        let Some((_, texture)) = &self.texture else {
            return;
        };
        let edge = |index: [f64; 3]| frame.to_screen(volume.position_of(index));
        let far = size.map(|n| n as f64 - 0.5);
        let place = Rect::from_two_pos(edge([-0.5; 3]), edge(far));
        let whole = Rect::from_min_max(Pos2::ZERO, egui::pos2(1.0, 1.0));
        painter.image(texture.id(), place, whole, Color32::WHITE);
    }

    fn interact(
        &mut self,
        ui: &Ui,
        response: &egui::Response,
        frame: &Frame,
        state: &AppState,
        actions: &mut Actions,
    ) {
        let crosshair = state.view.crosshair;
        if let Some(at) = response.hover_pos() {
            let place = frame.from_screen(at, crosshair);
            if state.view.cursor != Some(place) {
                actions.push(Action::View(ViewChange::Cursor(Some(place))));
            }
            let (zoom, scroll) = ui.input(|i| (i.zoom_delta(), i.smooth_scroll_delta().y));
            if zoom != 1.0 {
                self.zoom = (self.zoom * zoom).clamp(0.5, 60.0);
            } else if scroll.abs() > 1.0 {
                actions.push(Action::View(ViewChange::Active(self.kind(frame.axes))));
                actions.push(Action::StepSlice(if scroll > 0.0 { 1 } else { -1 }));
            }
        }
        let panning = response.dragged_by(egui::PointerButton::Secondary)
            || response.dragged_by(egui::PointerButton::Middle);
        if panning {
            let delta = response.drag_delta() / frame.scale;
            self.middle += egui::vec2(-delta.x, delta.y);
        }
        if response.double_clicked() {
            self.zoom = 1.0;
            self.middle = Vec2::ZERO;
        }
        let Some(at) = response.interact_pointer_pos() else {
            return;
        };
        let place = frame.from_screen(at, crosshair);
        let hit = atom_at(frame, state, at);
        if response.clicked() {
            match (state.view.tool, hit) {
                (Tool::Add, _) => actions.push(Action::ProposeAtom(place)),
                (_, Some(id)) => {
                    let adds = ui.input(|i| i.modifiers.shift);
                    actions.push(Action::Select(vec![id], adds));
                }
                (_, None) => actions.push(Action::MoveCrosshair(place)),
            }
        }
        if response.drag_started_by(egui::PointerButton::Primary) && state.view.tool == Tool::Move {
            self.moving = hit.map(|id| (id, place));
        }
        if response.dragged_by(egui::PointerButton::Primary) {
            match &mut self.moving {
                Some((id, to)) => {
                    *to = moved_in_plane(state, *id, place, frame.axes);
                }
                None => actions.push(Action::MoveCrosshair(place)),
            }
        }
        if response.drag_stopped()
            && let Some((id, to)) = self.moving.take()
        {
            actions.push(Action::MoveAtom(id, to));
        }
    }

    fn kind(&self, axes: [usize; 3]) -> ViewKind {
        ViewKind::ALL
            .into_iter()
            .find(|kind| kind.axes() == Some(axes))
            .unwrap_or_default()
    }
}

/// A dragged atom keeps its depth: what the plane does not show is not guessed.
fn moved_in_plane(state: &AppState, id: AtomId, to: [f64; 3], axes: [usize; 3]) -> [f64; 3] {
    let mut place = to;
    if let Some(atoms) = &state.workspace.atoms
        && let Some(index) = atoms.index_of(id)
    {
        place[axes[2]] = atoms.positions[index][axes[2]];
    }
    place
}

/// Å on each axis of what is shown.
fn extent_of(state: &AppState) -> [f32; 3] {
    if let Some(volume) = state.shown_volume() {
        return volume.size().map(|n| (n as f64 * volume.pixel_size) as f32);
    }
    let mut extent = [1.0_f32; 3];
    if let Some(atoms) = &state.workspace.atoms {
        for position in &atoms.positions {
            for axis in 0..3 {
                extent[axis] = extent[axis].max(2.2 * position[axis].abs() as f32);
            }
        }
    }
    extent
}

/// Smallest and largest density of every 61st voxel: contrast needs no more, and a frame no less.
fn sampled_range(volume: &Volume) -> [f32; 2] {
    let mut range = [f32::INFINITY, f32::NEG_INFINITY];
    let step = (volume.data.len() / 200_000).max(1) | 1;
    for &value in volume.data.iter().step_by(step).filter(|v| v.is_finite()) {
        range = [range[0].min(value), range[1].max(value)];
    }
    if range[0] < range[1] {
        range
    } else {
        [0.0, 1.0]
    }
}

/// Mean of the layers as an image, up being up.
fn slab(
    volume: &Volume,
    [across, along, normal]: [usize; 3],
    [low, high]: [usize; 2],
    [darkest, brightest]: [f32; 2],
    key: &Key,
) -> egui::ColorImage {
    let size = volume.size();
    let (width, height) = (size[across], size[along]);
    let mut sums = vec![0.0_f32; width * height];
    for layer in low..=high {
        for v in 0..height {
            let row = &mut sums[(height - 1 - v) * width..][..width];
            let mut index = [0; 3];
            index[normal] = layer;
            index[along] = v;
            for (u, sum) in row.iter_mut().enumerate() {
                index[across] = u;
                *sum += volume.data[index];
            }
        }
    }
    let count = (high - low + 1) as f32;
    let span = brightest - darkest;
    let bottom = darkest + key.contrast[0] * span;
    let scale = 1.0 / ((key.contrast[1] - key.contrast[0]) * span).max(f32::MIN_POSITIVE);
    let table: Vec<Color32> = (0..=255)
        .map(|i| of_map(key.map, i as f32 / 255.0))
        .collect();
    let pixels = sums
        .into_iter()
        .map(|sum| {
            let share = ((sum / count - bottom) * scale).clamp(0.0, 1.0);
            table[(share * 255.0) as usize]
        })
        .collect();
    egui::ColorImage::new([width, height], pixels)
}

fn rings(
    painter: &egui::Painter,
    frame: &Frame,
    state: &AppState,
    moving: Option<(AtomId, [f64; 3])>,
) {
    let Some(atoms) = &state.workspace.atoms else {
        return;
    };
    let colors = AtomColors::new(state);
    let normal = frame.axes[2];
    let half = (0.5 * state.view.atom_slab).max(0.05);
    let radius = (0.75 * frame.scale).clamp(2.0, 16.0);
    let dimmed = !state.view.brushed.is_empty();
    for (index, &position) in atoms.positions.iter().enumerate() {
        let id = atoms.ids[index];
        let selected = state.view.selection.contains(&id);
        let off = (position[normal] - state.view.crosshair[normal]).abs();
        if off > half && !selected {
            continue;
        }
        let at = match moving {
            Some((moved, to)) if moved == id => frame.to_screen(to),
            _ => frame.to_screen(position),
        };
        if !frame.rect.contains(at) {
            continue;
        }
        let near = (1.0 - 0.8 * (off / half).min(1.0)) as f32;
        let mut color = colors.of(atoms, index).gamma_multiply(near);
        if dimmed && !state.view.brushed.contains(&id) {
            color = color.gamma_multiply(0.2);
        }
        painter.circle_stroke(at, radius, Stroke::new(1.4, color));
        if selected {
            let bright = painter.ctx().global_style().visuals.warn_fg_color;
            painter.circle_stroke(at, radius + 3.0, Stroke::new(2.0, bright));
        }
    }
    if let Some(ghost) = &state.view.ghost {
        let at = frame.to_screen(ghost.candidate.position);
        let color = painter.ctx().global_style().visuals.hyperlink_color;
        painter.circle_filled(at, radius, color.gamma_multiply(0.3));
        painter.circle_stroke(at, radius, Stroke::new(2.0, color));
    }
}

fn crosshair(painter: &egui::Painter, frame: &Frame, state: &AppState, ui: &Ui) {
    let at = frame.to_screen(state.view.crosshair);
    let stroke = Stroke::new(1.0, ui.visuals().warn_fg_color.gamma_multiply(0.45));
    painter.vline(at.x, frame.rect.y_range(), stroke);
    painter.hline(frame.rect.x_range(), at.y, stroke);
}

/// A bar of a round length at the lower right; `scale` is points per Å.
pub fn scale_bar(painter: &egui::Painter, rect: Rect, scale: f32, ui: &Ui) {
    let wanted = 0.25 * rect.width() / (10.0 * scale).max(1e-9);
    let power = 10.0_f32.powf(wanted.max(1e-6).log10().floor());
    let length = [5.0, 2.0, 1.0]
        .into_iter()
        .map(|n| n * power)
        .find(|&n| n <= wanted)
        .unwrap_or(power);
    let width = length * 10.0 * scale;
    let end = rect.right_bottom() - egui::vec2(14.0, 14.0);
    let color = if ui.visuals().dark_mode {
        Color32::WHITE
    } else {
        Color32::BLACK
    };
    painter.line_segment([end - egui::vec2(width, 0.0), end], Stroke::new(3.0, color));
    painter.text(
        end - egui::vec2(0.5 * width, 4.0),
        egui::Align2::CENTER_BOTTOM,
        format!("{length} nm"),
        egui::FontId::proportional(12.0),
        color,
    );
}

fn atom_at(frame: &Frame, state: &AppState, at: Pos2) -> Option<AtomId> {
    let atoms = state
        .workspace
        .atoms
        .as_ref()
        .filter(|_| state.view.show_atoms)?;
    let normal = frame.axes[2];
    let half = (0.5 * state.view.atom_slab).max(0.05);
    let reach = (0.9 * frame.scale).clamp(6.0, 20.0);
    let mut best: Option<(f32, AtomId)> = None;
    for (index, &position) in atoms.positions.iter().enumerate() {
        if (position[normal] - state.view.crosshair[normal]).abs() > half {
            continue;
        }
        let apart = frame.to_screen(position).distance(at);
        if apart < reach && best.is_none_or(|(nearest, _)| apart < nearest) {
            best = Some((apart, atoms.ids[index]));
        }
    }
    best.map(|(_, id)| id)
}

/// A line of text in the middle of an empty view.
pub fn centered(ui: &Ui, rect: Rect, text: &str) {
    let galley = ui.painter().layout(
        text.to_owned(),
        egui::FontId::proportional(13.0),
        ui.visuals().weak_text_color(),
        (rect.width() - 32.0).max(40.0),
    );
    let at = rect.center() - 0.5 * galley.size();
    ui.painter_at(rect)
        .galley(at, galley, ui.visuals().weak_text_color());
}
