//! The 3D view: atoms as lit spheres, the volume as maximum intensity or isosurface, orbit, zoom, pick, and a
//! clipping slab tied to the crosshair. The drawing itself is in [`super::volume_gpu`].

use super::canvas::{self, Picture, key};
use super::gallery;
use super::slices::Colors;
use super::void_mesh;
use super::volume_gpu::{Draw, Instance, Mesh, Scene, VolumeTexture};
use crate::analyze::voids::VoidSurface;
use crate::jobs::picture;
use crate::model::Volume;
use crate::ui::actions::{Action, Actions};
use crate::ui::state::{AppState, ColorBy};
use crate::ui::theme;
use eframe::egui::{
    self, Align2, Color32, ColorImage, PointerButton, Pos2, Rect, Sense, Stroke, Ui, vec2,
};
use glam::{Quat, Vec3};
use std::sync::Arc;

/// Largest edge of the volume's texture; larger volumes are shown by the maximum of blocks.
const MOST_VOXELS: usize = 160;

/// Surfaces of voids and their triangles, if there are any.
type DrawnVoids = (Arc<Vec<VoidSurface>>, Option<Arc<Mesh>>);

/// The 3D view's own state.
pub struct VolumeView {
    rotation: Quat,
    zoom: f32,
    pan: [f32; 2],
    /// What it turns about, Å.
    pivot: Vec3,
    texture: Picture<Arc<Volume>, Arc<VolumeTexture>>,
    instances: Option<(u64, Arc<Vec<Instance>>)>,
    /// The surfaces of the voids of an analysis, and what is drawn of them.
    voids: Option<DrawnVoids>,
    /// The last place the view was asked to centre on.
    centered: u64,
    /// Whether the window has a GPU device to draw with.
    pub gpu: bool,
}

impl Default for VolumeView {
    fn default() -> Self {
        Self {
            rotation: Quat::from_rotation_x(-1.1) * Quat::from_rotation_z(0.5),
            zoom: 1.0,
            pan: [0.0; 2],
            pivot: Vec3::ZERO,
            texture: Picture::default(),
            instances: None,
            voids: None,
            centered: 0,
            gpu: false,
        }
    }
}

/// Shrinks a volume to a byte texture by the maximum of blocks.
fn shrink(volume: Arc<Volume>) -> (Arc<VolumeTexture>, ColorImage) {
    let size = volume.size();
    let factor = size
        .iter()
        .max()
        .copied()
        .unwrap_or(1)
        .div_ceil(MOST_VOXELS)
        .max(1);
    let small = size.map(|n| n.div_ceil(factor).max(1));
    let [low, high] = picture::shown_range(&volume);
    let scale = 255.0 / (high - low).max(f32::MIN_POSITIVE);
    let mut data = vec![0u8; small.iter().product()];
    for ((x, y, z), &value) in volume.data.indexed_iter() {
        let at = x / factor + small[0] * (y / factor + small[1] * (z / factor));
        let byte = ((value - low) * scale).clamp(0.0, 255.0) as u8;
        data[at] = data[at].max(byte);
    }
    let corner = |index: [f64; 3]| volume.position_of(index).map(|v| v as f32);
    let texture = VolumeTexture {
        size: small.map(|n| n as u32),
        data,
        low: corner([-0.5; 3]),
        high: corner(small.map(|n| (n * factor) as f64 - 0.5)),
        voxel: (volume.pixel_size * factor as f64) as f32,
        id: Arc::as_ptr(&volume) as u64,
    };
    (
        Arc::new(texture),
        ColorImage::filled([1, 1], Color32::BLACK),
    )
}

impl VolumeView {
    /// Draws the scene and pushes what the user asked for.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        state: &AppState,
        colors: &Colors<'_>,
        meaning: &theme::Meaning,
        actions: &mut Actions,
    ) {
        let rect = ui.available_rect_before_wrap();
        let response = ui.allocate_rect(rect, Sense::click_and_drag());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "3D view"));
        ui.painter().rect_filled(rect, 0.0, theme::PICTURE);
        let Some((pivot, radius)) = extent(state) else {
            canvas::label(
                ui,
                rect,
                rect.center(),
                Align2::CENTER_CENTER,
                "Atoms and volume appear here",
            );
            return;
        };
        if !self.gpu {
            let text = "No graphics device: the 3D view cannot be drawn";
            canvas::label(ui, rect, rect.center(), Align2::CENTER_CENTER, text);
            return;
        }
        self.pivot = pivot;
        if self.centered != state.view.centered {
            self.centered = state.view.centered;
            self.center_on(state.view.crosshair, radius);
        }
        self.navigate(ui, &response, rect, radius);
        let scale = rect.width().min(rect.height()) / (2.0 * radius) * self.zoom;
        self.update_instances(state, colors);
        let texture = self.update_texture(ui, state);
        let voids = voids_of(state);
        let mesh = voids.and_then(|surfaces| self.update_voids(surfaces));
        let draw = Draw {
            mesh,
            ..self.draw(ui, state, rect, scale, radius, texture)
        };
        ui.painter()
            .add(eframe::egui_wgpu::Callback::new_paint_callback(rect, draw));
        self.draw_marks(ui, state, rect, scale);
        if response.clicked_by(PointerButton::Primary)
            && let Some(at) = response.interact_pointer_pos()
        {
            self.pick(ui, state, rect, scale, at, actions);
        }
        match (meaning, &state.view.color_by) {
            (theme::Meaning::Range(range), ColorBy::Column(name)) => {
                let name = gallery::quantity(state, name);
                canvas::color_bar(ui, rect, state.view.quantity_map, *range, &name);
            }
            (theme::Meaning::Classes(classes), _) => canvas::legend(ui, rect, classes),
            _ => {}
        }
        if let Some(surfaces) = voids {
            let corner = Rect::from_min_max(rect.left_top(), rect.left_top() + vec2(150.0, 90.0));
            canvas::legend(ui, corner, &void_mesh::classes(surfaces));
        }
        caption(ui, rect, state);
        self.scale_bar(ui, rect, scale);
    }

    /// Brings a place to the middle, and near enough to see its neighbours; who is nearer stays so.
    fn center_on(&mut self, place: [f64; 3], radius: f32) {
        /// Width shown about a place, Å.
        const SHOWN: f32 = 40.0;
        let seen = self.rotation * (Vec3::from(place.map(|v| v as f32)) - self.pivot);
        self.pan = [-seen.x, -seen.y];
        self.zoom = self.zoom.max(2.0 * radius / SHOWN).clamp(0.3, 40.0);
    }

    fn navigate(&mut self, ui: &Ui, response: &egui::Response, rect: Rect, radius: f32) {
        let delta = response.drag_delta();
        if response.dragged_by(PointerButton::Primary) {
            let turn =
                Quat::from_rotation_y(delta.x * 0.008) * Quat::from_rotation_x(delta.y * 0.008);
            self.rotation = (turn * self.rotation).normalize();
        }
        if response.dragged_by(PointerButton::Secondary)
            || response.dragged_by(PointerButton::Middle)
        {
            let scale = rect.width().min(rect.height()) / (2.0 * radius) * self.zoom;
            self.pan[0] += delta.x / scale;
            self.pan[1] -= delta.y / scale;
        }
        if response.hovered() {
            let (wheel, pinch) =
                ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
            self.zoom = (self.zoom * pinch * (wheel * 0.002).exp()).clamp(0.3, 40.0);
        }
        if response.double_clicked() {
            let gpu = self.gpu;
            let texture = std::mem::take(&mut self.texture);
            *self = Self {
                gpu,
                texture,
                centered: self.centered,
                ..Self::default()
            };
        }
    }

    fn update_instances(&mut self, state: &AppState, colors: &Colors<'_>) {
        let view = &state.view;
        let atoms = state.workspace.atoms.as_ref();
        let key = key((
            atoms.map_or(0, |atoms| Arc::as_ptr(atoms) as usize),
            state.revision,
            format!("{:?}{:?}", view.color_by, view.quantity_map),
            &view.selection,
            &view.brushed,
            (view.ghost.is_some(), voids_of(state).is_some()),
            state
                .live
                .ghosts
                .as_ref()
                .map_or(0, |g| Arc::as_ptr(g) as usize),
        ));
        if self
            .instances
            .as_ref()
            .is_some_and(|(known, _)| *known == key)
        {
            return;
        }
        let mut instances = Vec::new();
        let through = voids_of(state).is_some();
        if let Some(atoms) = atoms {
            let lit = !view.brushed.is_empty();
            for (index, position) in atoms.positions.iter().enumerate() {
                let id = atoms.ids[index];
                let selected = view.selection.contains(&id);
                let brushed = view.brushed.contains(&id);
                let color = match (selected, brushed) {
                    (true, _) => theme::SELECTED,
                    (_, true) => theme::BRUSHED,
                    _ => colors.colors.get(index).copied().unwrap_or(theme::ACCENT),
                };
                let dim = if lit && !brushed && !selected {
                    0.3
                } else {
                    1.0
                };
                // Voids lie inside: atoms that fill the space would hide them.
                let size = if through { 0.3 } else { 1.0 };
                let radius = size * if selected { 1.0 } else { 0.85 };
                instances.push(Instance::new(*position, radius, color, dim));
            }
        }
        if let Some(ghosts) = &state.live.ghosts {
            for ghost in ghosts.present() {
                let solid = theme::solid(ghosts.solidity(ghost));
                // What is not yet sure is small and dim.
                let radius = 0.4 + 0.4 * solid;
                instances.push(Instance::new(ghost.position, radius, theme::GHOST, solid));
            }
        }
        if let Some(ghost) = &view.ghost {
            instances.push(Instance::new(
                ghost.candidate.position,
                1.0,
                theme::GHOST,
                1.0,
            ));
        }
        self.instances = Some((key, Arc::new(instances)));
    }

    fn update_voids(&mut self, surfaces: &Arc<Vec<VoidSurface>>) -> Option<Arc<Mesh>> {
        let known = self.voids.as_ref();
        if known.is_none_or(|(known, _)| !Arc::ptr_eq(known, surfaces)) {
            let mesh = void_mesh::mesh(surfaces).map(Arc::new);
            self.voids = Some((Arc::clone(surfaces), mesh));
        }
        self.voids.as_ref().and_then(|(_, mesh)| mesh.clone())
    }

    fn update_texture(&mut self, ui: &Ui, state: &AppState) -> Option<Arc<VolumeTexture>> {
        let volume = shown(state)?;
        let key = Arc::as_ptr(volume) as u64;
        self.texture
            .update(ui.ctx(), "volume-3d", key, || Arc::clone(volume), shrink);
        self.texture.answer.clone()
    }

    fn draw(
        &self,
        ui: &Ui,
        state: &AppState,
        rect: Rect,
        scale: f32,
        radius: f32,
        texture: Option<Arc<VolumeTexture>>,
    ) -> Draw {
        let rows = glam::Mat3::from_quat(self.rotation).transpose();
        let panned = Vec3::new(-self.pan[0], -self.pan[1], 0.0);
        let middle = self.pivot + self.rotation.inverse() * panned;
        let row = |row: Vec3, w: f32| [row.x, row.y, row.z, w];
        let far = 1.0e6;
        let (mut clip_low, mut clip_high) = ([-far; 4], [far; 4]);
        if state.view.clip {
            let half = (state.view.atom_slab.max(state.view.density_slab) / 2.0) as f32;
            let normal = state.view.active.axes().map_or(2, |axes| axes[2]);
            clip_low[normal] = state.view.crosshair[normal] as f32 - half;
            clip_high[normal] = state.view.crosshair[normal] as f32 + half;
        }
        let (low, high, step) = texture.as_ref().map_or(([0.0; 3], [1.0; 3], 1.0), |t| {
            (t.low, t.high, t.voxel * 0.7)
        });
        let level = state.view.iso_level.unwrap_or(0.35);
        let atoms_shown = state.workspace.atoms.is_some();
        let opacity = if atoms_shown { 0.45 } else { 1.0 };
        let scene = Scene {
            right: row(rows.x_axis, middle.x),
            up: row(rows.y_axis, middle.y),
            toward: row(rows.z_axis, middle.z),
            scale: [
                2.0 * scale / rect.width(),
                2.0 * scale / rect.height(),
                0.5 / (2.5 * radius),
                f32::from(u8::from(state.view.iso_level.is_some())),
            ],
            low: [low[0], low[1], low[2], level],
            high: [high[0], high[1], high[2], step],
            clip_low,
            clip_high,
            tint: [0.75, 0.8, 0.9, opacity],
        };
        let pixels = ui.ctx().pixels_per_point();
        let (instances_key, instances) = self.instances.clone().unwrap_or_default();
        Draw {
            scene,
            size: [
                (rect.width() * pixels).max(1.0) as u32,
                (rect.height() * pixels).max(1.0) as u32,
            ],
            instances,
            instances_key,
            texture,
            mesh: None,
        }
    }

    fn project(&self, rect: Rect, scale: f32, point: [f64; 3]) -> (Pos2, f32) {
        let seen = self.rotation * (Vec3::from(point.map(|v| v as f32)) - self.pivot);
        let at = rect.center()
            + vec2(
                (seen.x + self.pan[0]) * scale,
                -(seen.y + self.pan[1]) * scale,
            );
        (at, seen.z)
    }

    fn draw_marks(&self, ui: &Ui, state: &AppState, rect: Rect, scale: f32) {
        let painter = ui.painter_at(rect);
        let (at, _) = self.project(rect, scale, state.view.crosshair);
        for arm in [vec2(1.0, 0.0), vec2(0.0, 1.0)] {
            let stroke = Stroke::new(1.5, theme::CROSSHAIR.gamma_multiply(0.9));
            painter.line_segment([at - arm * 9.0, at - arm * 3.0], stroke);
            painter.line_segment([at + arm * 3.0, at + arm * 9.0], stroke);
        }
        let origin = rect.left_bottom() + vec2(34.0, -48.0);
        for (axis, name) in ["x", "y", "z"].into_iter().enumerate() {
            let mut unit = Vec3::ZERO;
            unit[axis] = 1.0;
            let seen = self.rotation * unit;
            let tip = origin + vec2(seen.x, -seen.y) * 20.0;
            let color = [theme::ERROR, theme::GHOST, theme::ACCENT][axis];
            painter.line_segment([origin, tip], Stroke::new(2.0, color));
            let at = origin + vec2(seen.x, -seen.y) * 28.0;
            painter.text(
                at,
                Align2::CENTER_CENTER,
                name,
                egui::FontId::proportional(12.0),
                color,
            );
        }
    }

    fn pick(
        &self,
        ui: &Ui,
        state: &AppState,
        rect: Rect,
        scale: f32,
        at: Pos2,
        actions: &mut Actions,
    ) {
        let Some(atoms) = &state.workspace.atoms else {
            return;
        };
        let reach = (0.85 * scale).max(4.0);
        let hit = atoms
            .positions
            .iter()
            .enumerate()
            .filter(|(_, position)| !state.view.clip || clipped_in(state, **position))
            .map(|(index, position)| (index, self.project(rect, scale, *position)))
            .filter(|(_, (place, _))| place.distance(at) <= reach)
            .max_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let adds = ui.input(|input| input.modifiers.shift);
        match hit {
            Some((index, _)) => {
                actions.push(Action::Select(vec![atoms.ids[index]], adds));
                actions.push(Action::MoveCrosshair(atoms.positions[index]));
            }
            None if !adds && !state.view.selection.is_empty() => {
                actions.push(Action::Select(Vec::new(), false))
            }
            None => {}
        }
    }

    fn scale_bar(&self, ui: &Ui, rect: Rect, scale: f32) {
        let camera = canvas::Camera::default();
        let extent = [
            f64::from(rect.width() / scale),
            f64::from(rect.height() / scale),
        ];
        canvas::scale_bar(ui, &canvas::Viewport::new(rect, &camera, extent));
    }
}

fn clipped_in(state: &AppState, position: [f64; 3]) -> bool {
    let half = state.view.atom_slab.max(state.view.density_slab) / 2.0;
    let normal = state.view.active.axes().map_or(2, |axes| axes[2]);
    (position[normal] - state.view.crosshair[normal]).abs() <= half
}

/// The surfaces of voids that are drawn.
fn voids_of(state: &AppState) -> Option<&Arc<Vec<VoidSurface>>> {
    let analyzed = state.workspace.analyzed.as_ref()?;
    Some(&analyzed.void_surfaces).filter(|all| state.view.show_voids && !all.is_empty())
}

/// The volume that is drawn: when asked for, and while there is nothing else to see.
fn shown(state: &AppState) -> Option<&Arc<Volume>> {
    let alone = state.workspace.atoms.is_none() || state.live.snapshot.is_some();
    state
        .shown_volume()
        .filter(|_| state.view.show_volume || alone)
}

/// Radius (Å) of what there is to see.
/// What the view turns about and how far from it anything is, Å. A model without a volume may lie anywhere.
fn extent(state: &AppState) -> Option<(Vec3, f32)> {
    let pivot = state.middle_of_model();
    if let Some(atoms) = state
        .workspace
        .atoms
        .as_ref()
        .filter(|atoms| !atoms.is_empty())
    {
        let far = atoms
            .positions
            .iter()
            .map(|p| crate::model::geometry::distance(*p, pivot));
        let radius = far.fold(1.0, f64::max) + 3.0;
        return Some((Vec3::from(pivot.map(|x| x as f32)), radius as f32));
    }
    let volume = state.shown_volume()?;
    let edge = volume.size().iter().max().copied().unwrap_or(1) as f64 * volume.pixel_size;
    Some((Vec3::ZERO, (0.7 * edge) as f32))
}

fn caption(ui: &Ui, rect: Rect, state: &AppState) {
    let volume = match (shown(state).is_some(), state.view.iso_level) {
        (false, _) => "",
        (true, None) => "volume: maximum intensity",
        (true, Some(_)) => "volume: isosurface",
    };
    let live = if state.live.snapshot.is_some() {
        " (live)"
    } else {
        ""
    };
    let atoms = if state.workspace.atoms.is_some() {
        "model"
    } else {
        ""
    };
    let atoms = match (atoms, &state.live.ghosts) {
        ("", Some(_)) => "interim atoms",
        (_, Some(_)) => "model and interim atoms",
        (atoms, None) => atoms,
    };
    let comma = if !volume.is_empty() && !atoms.is_empty() {
        ", "
    } else {
        ""
    };
    let voids = if voids_of(state).is_some() {
        ", voids"
    } else {
        ""
    };
    let clip = if state.view.clip {
        ", clipped to the slab"
    } else {
        ""
    };
    let text = format!("{atoms}{comma}{volume}{live}{voids}{clip}");
    canvas::label(
        ui,
        rect,
        rect.left_bottom() + vec2(8.0, -8.0),
        Align2::LEFT_BOTTOM,
        &text,
    );
}
