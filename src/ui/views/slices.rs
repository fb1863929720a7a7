//! The linked slice views: a slab of density, the atoms near it as rings that fade with their distance, and the
//! crosshair that moves all views. Selecting, adding and moving atoms begins here.

mod marks;

use super::canvas::{self, Camera, Picture, Shading, Viewport, key, shade};
use crate::jobs::examine::{Examiner, Subject};
use crate::jobs::picture;
use crate::model::{AtomId, Volume};
use crate::trace::refine::PlaneGrid;
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::brush;
use crate::ui::examining;
use crate::ui::plane::PlaneAxes;
use crate::ui::state::{AppState, Tool, ViewKind};
use crate::ui::theme;
use eframe::egui::{
    self, Align2, Color32, ColorImage, PointerButton, Pos2, Rect, Sense, Stroke, Ui, pos2, vec2,
};
use marks::{draw_atoms, draw_crosshair, draw_ghost, draw_interim, draw_tombstones};
use std::sync::{Arc, Weak};

/// Pixels within which the crosshair or an atom is grabbed.
const GRAB: f32 = 7.0;

/// How a slab is cut out of the volume.
enum Cut {
    /// Along the axes: to the right, up, normal; and where, Å.
    Straight([usize; 3], f64),
    /// In any direction: points of the plane, and its normal.
    Turned(PlaneGrid, [f64; 3]),
}

struct Request {
    volume: Arc<Volume>,
    cut: Cut,
    thickness: f64,
    contrast: [f32; 2],
    map: crate::ui::state::ColorMap,
    range: Option<(Weak<Volume>, [f32; 2])>,
}

/// The range of densities of a volume, so that it is found once per volume.
type Range = (Weak<Volume>, [f32; 2]);

fn make(request: Request) -> (Range, ColorImage) {
    let known = request
        .range
        .filter(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(&request.volume)));
    let range = known.map_or_else(|| picture::shown_range(&request.volume), |(_, range)| range);
    let (volume, thickness) = (&request.volume, request.thickness);
    let values = match request.cut {
        Cut::Straight(axes, position) => picture::slice(volume, axes, position, thickness),
        Cut::Turned(grid, normal) => picture::oblique(volume, &grid, normal, thickness),
    };
    let span = range[1] - range[0];
    let shading = Shading {
        range: request.contrast.map(|share| range[0] + share * span),
        map: request.map,
        diverging: false,
    };
    (
        (Arc::downgrade(&request.volume), range),
        shade(&values, shading),
    )
}

/// The residual of the tilts in a plane.
struct Overlay {
    examiner: Arc<Examiner>,
    subject: Subject,
    grid: PlaneGrid,
}

fn make_overlay(request: Overlay) -> (Option<String>, ColorImage) {
    match request.examiner.residual(&request.subject, &request.grid) {
        Ok(values) => (None, canvas::paint(&values, theme::residual)),
        Err(error) => {
            let nothing = ColorImage::filled([1, 1], Color32::TRANSPARENT);
            (Some(error.to_string()), nothing)
        }
    }
}

/// What a drag with the left button does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Drag {
    Crosshair { right: bool, up: bool },
    Pan,
    Fence(Pos2),
    Atom(AtomId),
    Paint,
}

/// One slice view's own state.
#[derive(Default)]
pub struct SliceView {
    camera: Camera,
    /// What the camera looks at when nothing was moved, Å.
    middle: [f64; 2],
    picture: Picture<Request, Range>,
    overlay: Picture<Overlay, Option<String>>,
    /// The last place the view was asked to centre on.
    centered: u64,
    drag: Option<Drag>,
    stroke: brush::Stroke,
}

/// Atom colours shared by all views of a frame.
pub struct Colors<'a> {
    /// One per atom.
    pub colors: &'a [Color32],
}

impl SliceView {
    /// Draws the slice and pushes what the user asked for.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        kind: ViewKind,
        state: &AppState,
        colors: &Colors<'_>,
        actions: &mut Actions,
    ) {
        let Some(axes) = state.view.axes_of(kind) else {
            return;
        };
        let rect = ui.available_rect_before_wrap();
        let response = ui.allocate_rect(rect, Sense::click_and_drag());
        response.widget_info(|| {
            egui::WidgetInfo::labeled(egui::Role::Image, true, format!("{kind:?} slice"))
        });
        ui.painter().rect_filled(rect, 0.0, theme::PICTURE);
        let Some((low, high)) = bounds(state, &axes) else {
            canvas::label(
                ui,
                rect,
                rect.center(),
                Align2::CENTER_CENTER,
                "A reconstruction or a model fills this view",
            );
            return;
        };
        let extent = [high[0] - low[0], high[1] - low[1]];
        let [right, up, _] = axes.coordinates(state.middle_of_model());
        if [right, up] != self.middle {
            self.camera.center = [right, up];
            self.middle = [right, up];
        }
        if self.centered != state.view.centered {
            self.centered = state.view.centered;
            let [right, up, _] = axes.coordinates(state.view.crosshair);
            canvas::center_on(&mut self.camera, [right, up], extent);
        }
        let viewport = Viewport::new(rect, &self.camera, extent);
        self.draw_density(ui, kind, &axes, state, &viewport, (low, high));
        self.draw_residual(ui, &axes, state, &viewport, (low, high));
        let plane = Plane {
            axes,
            viewport,
            crosshair: state.view.crosshair,
        };
        draw_crosshair(ui, &plane);
        if state.view.show_atoms
            && let Some(atoms) = &state.workspace.atoms
        {
            draw_atoms(ui, &plane, state, atoms, colors.colors);
        }
        if state.view.show_tombstones {
            draw_tombstones(ui, &plane, state);
        }
        draw_interim(ui, &plane, state);
        draw_ghost(ui, &plane, state);
        self.draw_drag(ui, &plane, state, &response);
        self.interact(ui, &plane, state, &response, actions);
        canvas::scale_bar(ui, &viewport);
        caption(ui, rect, state);
    }

    fn draw_density(
        &mut self,
        ui: &Ui,
        kind: ViewKind,
        axes: &PlaneAxes,
        state: &AppState,
        viewport: &Viewport,
        (low, high): ([f64; 2], [f64; 2]),
    ) {
        let Some(volume) = state.shown_volume() else {
            return;
        };
        let view = &state.view;
        let [.., position] = axes.coordinates(view.crosshair);
        // Half a voxel is the finest step that changes the picture.
        let step = (2.0 * position / volume.pixel_size).round() as i64;
        let slab = (2.0 * view.density_slab / volume.pixel_size).round() as i64;
        let contrast = view.density_contrast.map(f32::to_bits);
        let key = key((
            Arc::as_ptr(volume) as usize,
            kind,
            step,
            slab,
            contrast,
            view.density_map,
            [axes.right, axes.up, axes.normal].map(|axis| axis.map(f64::to_bits)),
        ));
        let known = self.picture.answer.clone();
        let name = match kind {
            ViewKind::Xy => "slice-xy",
            ViewKind::Xz => "slice-xz",
            ViewKind::Oblique => "slice-oblique",
            _ => "slice-yz",
        };
        let cut = || match kind.axes() {
            Some(axes) => Cut::Straight(axes, position),
            None => {
                let grid = grid_of(axes, position, (low, high), volume.pixel_size);
                Cut::Turned(grid, axes.normal)
            }
        };
        let request = || Request {
            volume: Arc::clone(volume),
            cut: cut(),
            thickness: view.density_slab,
            contrast: view.density_contrast,
            map: view.density_map,
            range: known,
        };
        if let Some(texture) = self.picture.update(ui.ctx(), name, key, request, make) {
            let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            let painter = ui.painter_at(viewport.rect);
            painter.image(
                texture.id(),
                viewport.rect_of(low, high),
                uv,
                Color32::WHITE,
            );
        }
    }

    /// What the tilts show beyond the model, over the density.
    fn draw_residual(
        &mut self,
        ui: &Ui,
        axes: &PlaneAxes,
        state: &AppState,
        viewport: &Viewport,
        (low, high): ([f64; 2], [f64; 2]),
    ) {
        if !state.view.show_residual {
            return;
        }
        let Ok(subject) = examining::subject(state) else {
            return;
        };
        let [.., position] = axes.coordinates(state.view.crosshair);
        let pixel = subject.series.pixel_size.unwrap_or(1.0);
        let key = key((
            state.revision,
            (4.0 * position / pixel).round() as i64,
            [axes.right, axes.up, axes.normal].map(|axis| axis.map(f64::to_bits)),
        ));
        let request = || Overlay {
            examiner: Arc::clone(&state.examiner),
            grid: grid_of(axes, position, (low, high), pixel),
            subject,
        };
        let texture = (self.overlay).update(ui.ctx(), "residual", key, request, make_overlay);
        if let Some(texture) = texture {
            let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            ui.painter_at(viewport.rect).image(
                texture.id(),
                viewport.rect_of(low, high),
                uv,
                Color32::WHITE,
            );
        }
        let text = match &self.overlay.answer {
            _ if self.overlay.is_waiting() => "residual: computing…".to_owned(),
            Some(Some(why)) => format!("no residual: {why}"),
            _ => "residual: warm asks for an atom, cold denies one (2 to 6 local σ)".to_owned(),
        };
        let at = viewport.rect.left_top() + vec2(8.0, 8.0);
        canvas::label(ui, viewport.rect, at, Align2::LEFT_TOP, &text);
    }

    fn draw_drag(&self, ui: &Ui, plane: &Plane, state: &AppState, response: &egui::Response) {
        let painter = ui.painter_at(plane.viewport.rect);
        if state.view.tool == Tool::Paint {
            self.draw_brush(&painter, plane, state, response);
        }
        let Some(at) = response.interact_pointer_pos() else {
            return;
        };
        match self.drag {
            Some(Drag::Fence(start)) => {
                let rect = Rect::from_two_pos(start, at);
                painter.rect_filled(rect, 0.0, theme::ACCENT.gamma_multiply(0.15));
                painter.rect_stroke(
                    rect,
                    0.0,
                    Stroke::new(1.0, theme::ACCENT),
                    egui::StrokeKind::Inside,
                );
            }
            Some(Drag::Atom(id)) => {
                if let Some(from) = atom_position(state, id) {
                    painter.line_segment([plane.screen(from), at], Stroke::new(1.0, theme::GHOST));
                    painter.circle_stroke(at, 8.0, Stroke::new(2.0, theme::GHOST));
                }
            }
            _ => {}
        }
    }

    fn interact(
        &mut self,
        ui: &Ui,
        plane: &Plane,
        state: &AppState,
        response: &egui::Response,
        actions: &mut Actions,
    ) {
        canvas::navigate(ui, response, &mut self.camera, &plane.viewport);
        if let Some(at) = response.hover_pos() {
            let point = plane.point(at);
            if state.view.cursor != Some(point) {
                actions.push(Action::View(ViewChange::Cursor(Some(point))));
            }
            // With Shift held the wheel arrives as a movement to the side.
            let (wheel, modifiers) = ui.input(|input| {
                let by = input.smooth_scroll_delta();
                (by.x + by.y, input.modifiers)
            });
            if wheel != 0.0 && !modifiers.command {
                let notch: f32 = ui.ctx().data_mut(|data| {
                    let sum = data.get_temp_mut_or_default::<f32>(response.id);
                    *sum += wheel;
                    let whole = (*sum / 24.0).trunc();
                    *sum -= whole * 24.0;
                    whole
                });
                if notch != 0.0 && modifiers.shift {
                    actions.push(Action::StepLayer(notch.signum() as isize));
                } else if notch != 0.0 {
                    actions.push(Action::StepSlice(notch as isize));
                }
            }
        }
        if response.drag_started_by(PointerButton::Primary) {
            let origin = ui.input(|input| input.pointer.press_origin());
            self.drag = origin.map(|at| begin_drag(ui, plane, state, at));
            self.stroke = brush::Stroke::default();
            if let (Some(Drag::Paint), Some(at)) = (self.drag, origin) {
                self.paint(plane, state, at);
            }
        }
        if response.dragged_by(PointerButton::Primary) {
            match self.drag {
                Some(Drag::Pan) => {
                    canvas::pan(&mut self.camera, &plane.viewport, response.drag_delta())
                }
                Some(Drag::Crosshair { right, up }) => {
                    if let Some(at) = response.interact_pointer_pos() {
                        let under = plane.axes.coordinates(plane.point(at));
                        let mut to = plane.axes.coordinates(plane.crosshair);
                        if right {
                            to[0] = under[0];
                        }
                        if up {
                            to[1] = under[1];
                        }
                        actions.push(Action::MoveCrosshair(plane.axes.point(to)));
                    }
                }
                Some(Drag::Paint) => {
                    if let Some(at) = response.interact_pointer_pos() {
                        self.paint(plane, state, at);
                    }
                }
                _ => {}
            }
        }
        if response.drag_stopped_by(PointerButton::Primary) {
            self.end_drag(ui, plane, state, response, actions);
        }
        if response.double_clicked() {
            self.camera = Camera {
                center: self.middle,
                ..Camera::default()
            };
        } else if response.clicked_by(PointerButton::Primary)
            && let Some(at) = response.interact_pointer_pos()
        {
            if state.view.tool == Tool::Paint && ui.input(|input| input.modifiers.is_none()) {
                self.stroke = brush::Stroke::default();
                self.paint(plane, state, at);
                self.end_stroke(state, actions);
            } else {
                click(ui, plane, state, at, actions);
            }
        }
    }

    /// Draws the stroke of the brush on to a place of the screen.
    fn paint(&mut self, plane: &Plane, state: &AppState, at: Pos2) {
        let radius = (state.view.brush.radius * plane.viewport.scale) as f32;
        let atoms = visible_atoms(plane, state).map(|(id, place, _)| (id, place));
        self.stroke.reach(at, radius, atoms);
    }

    fn end_stroke(&mut self, state: &AppState, actions: &mut Actions) {
        let covered = std::mem::take(&mut self.stroke).covered;
        // Who chose another tool meanwhile did not mean it.
        if state.view.tool == Tool::Paint && !covered.is_empty() {
            let ids = covered.into_iter().collect();
            actions.push(Action::SetPhase(ids, state.view.brush.phase));
        }
    }

    /// The brush under the pointer, and the atoms that its stroke has covered.
    fn draw_brush(
        &self,
        painter: &egui::Painter,
        plane: &Plane,
        state: &AppState,
        response: &egui::Response,
    ) {
        let brush = state.view.brush;
        let stroke = Stroke::new(1.5, brush.color());
        if let Some(at) = response.hover_pos() {
            let radius = (brush.radius * plane.viewport.scale) as f32;
            painter.circle_stroke(at, radius, stroke);
        }
        if self.stroke.covered.is_empty() {
            return;
        }
        let radius = ring_radius(plane);
        let covered = visible_atoms(plane, state);
        for (_, at, _) in covered.filter(|(id, ..)| self.stroke.covered.contains(id)) {
            painter.circle_filled(at, radius, brush.color().gamma_multiply(0.5));
        }
    }

    fn end_drag(
        &mut self,
        ui: &Ui,
        plane: &Plane,
        state: &AppState,
        response: &egui::Response,
        actions: &mut Actions,
    ) {
        let at = response
            .interact_pointer_pos()
            .or_else(|| ui.input(|input| input.pointer.latest_pos()));
        match (self.drag.take(), at) {
            (Some(Drag::Paint), _) => self.end_stroke(state, actions),
            (Some(Drag::Fence(start)), Some(end)) => {
                let fence = Rect::from_two_pos(start, end);
                let inside = visible_atoms(plane, state)
                    .filter(|(_, at, _)| fence.contains(*at))
                    .map(|(id, _, _)| id)
                    .collect();
                actions.push(if ui.input(|input| input.modifiers.alt) {
                    Action::Unselect(inside)
                } else {
                    Action::SelectMore(inside)
                });
            }
            (Some(Drag::Atom(id)), Some(end)) => {
                if let Some(from) = atom_position(state, id) {
                    // The depth is the atom's own: a plane can only say where in itself.
                    let [right, up, _] = plane.axes.coordinates(plane.point(end));
                    let [.., depth] = plane.axes.coordinates(from);
                    actions.push(Action::MoveAtom(id, plane.axes.point([right, up, depth])));
                }
            }
            _ => {}
        }
    }
}

/// The plane of a view on the screen.
struct Plane {
    axes: PlaneAxes,
    viewport: Viewport,
    crosshair: [f64; 3],
}

impl Plane {
    fn screen(&self, point: [f64; 3]) -> Pos2 {
        let [right, up, _] = self.axes.coordinates(point);
        self.viewport.to_screen([right, up])
    }

    /// The point (Å) of the plane at a place of the screen.
    fn point(&self, at: Pos2) -> [f64; 3] {
        let [right, up] = self.viewport.from_screen(at);
        let [.., depth] = self.axes.coordinates(self.crosshair);
        self.axes.point([right, up, depth])
    }

    /// How far (Å) a point is in front of the plane.
    fn depth(&self, point: [f64; 3]) -> f64 {
        let from: [f64; 3] = std::array::from_fn(|a| point[a] - self.crosshair[a]);
        self.axes.coordinates(from)[2]
    }
}

/// Points of a plane `pitch` Å apart, between two corners (Å to the right and up) as far as the picture goes.
fn grid_of(
    axes: &PlaneAxes,
    depth: f64,
    (low, high): ([f64; 2], [f64; 2]),
    pitch: f64,
) -> PlaneGrid {
    let size = [0, 1].map(|a| ((high[a] - low[a]) / pitch).round().clamp(1.0, 2048.0));
    let step = [0, 1].map(|a| (high[a] - low[a]) / size[a]);
    PlaneGrid {
        origin: axes.point([low[0] + 0.5 * step[0], low[1] + 0.5 * step[1], depth]),
        right: axes.right.map(|v| v * step[0]),
        up: axes.up.map(|v| v * step[1]),
        size: size.map(|n| n as usize),
    }
}

/// Å of the corners of what there is to see: the volume, else the atoms with a margin.
fn bounds(state: &AppState, axes: &PlaneAxes) -> Option<([f64; 2], [f64; 2])> {
    let (low, high) = box_of(state)?;
    let mut corners = [[f64::INFINITY; 2], [f64::NEG_INFINITY; 2]];
    for corner in 0..8usize {
        let point = std::array::from_fn(|a| {
            if corner >> a & 1 == 0 {
                low[a]
            } else {
                high[a]
            }
        });
        let seen = axes.coordinates(point);
        for a in 0..2 {
            corners[0][a] = corners[0][a].min(seen[a]);
            corners[1][a] = corners[1][a].max(seen[a]);
        }
    }
    Some((corners[0], corners[1]))
}

/// Å of the lowest and highest corner of the volume, else of the atoms with a margin.
fn box_of(state: &AppState) -> Option<([f64; 3], [f64; 3])> {
    if let Some(volume) = state.shown_volume() {
        let high = volume.position_of(volume.size().map(|n| n as f64 - 0.5));
        return Some((volume.position_of([-0.5; 3]), high));
    }
    let atoms = state
        .workspace
        .atoms
        .as_ref()
        .filter(|atoms| !atoms.is_empty())?;
    let mut low = [f64::INFINITY; 3];
    let mut high = [f64::NEG_INFINITY; 3];
    for position in &atoms.positions {
        for axis in 0..3 {
            low[axis] = low[axis].min(position[axis] - 4.0);
            high[axis] = high[axis].max(position[axis] + 4.0);
        }
    }
    Some((low, high))
}

fn atom_position(state: &AppState, id: AtomId) -> Option<[f64; 3]> {
    let atoms = state.workspace.atoms.as_ref()?;
    atoms.index_of(id).map(|index| atoms.positions[index])
}

/// Atoms of the slab: id, place, and share of the slab's half thickness they are away from the plane.
fn visible_atoms<'a>(
    plane: &'a Plane,
    state: &'a AppState,
) -> impl Iterator<Item = (AtomId, Pos2, f64)> + 'a {
    let half = (state.view.atom_slab / 2.0).max(0.05);
    state.workspace.atoms.iter().flat_map(move |atoms| {
        atoms
            .ids
            .iter()
            .zip(&atoms.positions)
            .filter_map(move |(id, position)| {
                let away = plane.depth(*position).abs() / half;
                (away <= 1.0).then(|| (*id, plane.screen(*position), away))
            })
    })
}

fn nearest_atom(plane: &Plane, state: &AppState, at: Pos2) -> Option<AtomId> {
    let reach = ring_radius(plane).max(GRAB);
    visible_atoms(plane, state)
        .map(|(id, place, _)| (id, place.distance(at)))
        .filter(|(_, distance)| *distance <= reach)
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(id, _)| id)
}

fn ring_radius(plane: &Plane) -> f32 {
    (0.8 * plane.viewport.scale).clamp(2.5, 14.0) as f32
}

fn begin_drag(ui: &Ui, plane: &Plane, state: &AppState, at: Pos2) -> Drag {
    if ui.input(|input| input.modifiers.shift || input.modifiers.alt) {
        return Drag::Fence(at);
    }
    if state.view.tool == Tool::Paint {
        return Drag::Paint;
    }
    if state.view.tool == Tool::Move
        && let Some(id) = nearest_atom(plane, state, at)
    {
        return Drag::Atom(id);
    }
    let cross = plane.screen(plane.crosshair);
    let (right, up) = ((at.x - cross.x).abs() < GRAB, (at.y - cross.y).abs() < GRAB);
    if right || up {
        Drag::Crosshair { right, up }
    } else {
        Drag::Pan
    }
}

fn click(ui: &Ui, plane: &Plane, state: &AppState, at: Pos2, actions: &mut Actions) {
    if state.view.tool == Tool::Add {
        actions.push(Action::ProposeAtom(plane.point(at)));
        return;
    }
    let adds = ui.input(|input| input.modifiers.shift);
    match nearest_atom(plane, state, at) {
        Some(id) => actions.push(Action::Select(vec![id], adds)),
        None => {
            if !adds && !state.view.selection.is_empty() {
                actions.push(Action::Select(Vec::new(), false));
            }
            actions.push(Action::MoveCrosshair(plane.point(at)));
        }
    }
}

/// Where the picture comes from, and how thick it is.
fn caption(ui: &Ui, rect: Rect, state: &AppState) {
    let source = if state.live.snapshot.is_some() {
        "live"
    } else if state.workspace.volume.is_some() {
        "raw volume"
    } else {
        "model"
    };
    let interim = if state.live.ghosts.is_some() {
        ", interim atoms"
    } else {
        ""
    };
    let text = format!(
        "{source}, slab {:.1} Å, atoms {:.1} Å{interim}",
        state.view.density_slab, state.view.atom_slab
    );
    canvas::label(
        ui,
        rect,
        rect.left_bottom() + vec2(8.0, -8.0),
        Align2::LEFT_BOTTOM,
        &text,
    );
}
