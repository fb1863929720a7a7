//! What is drawn over a slice: crosshair, atoms, removed atoms, interim ones, and a proposal.

use super::{Plane, ring_radius};
use crate::model::Atoms;
use crate::project::Mark;
use crate::ui::state::AppState;
use crate::ui::theme;
use crate::ui::views::canvas;
use eframe::egui::{self, Align2, Color32, Pos2, Rect, Shape, Stroke, Ui, vec2};

pub(super) fn draw_crosshair(ui: &Ui, plane: &Plane) {
    let painter = ui.painter_at(plane.viewport.rect);
    let cross = plane.screen(plane.crosshair);
    let stroke = Stroke::new(1.0, theme::CROSSHAIR.gamma_multiply(0.55));
    painter.vline(cross.x, plane.viewport.rect.y_range(), stroke);
    painter.hline(plane.viewport.rect.x_range(), cross.y, stroke);
}

pub(super) fn draw_atoms(
    ui: &Ui,
    plane: &Plane,
    state: &AppState,
    atoms: &Atoms,
    colors: &[Color32],
) {
    let painter = ui.painter_at(plane.viewport.rect);
    let half = (state.view.atom_slab / 2.0).max(0.05);
    let radius = ring_radius(plane);
    let lit = !state.view.brushed.is_empty();
    let seen = plane.viewport.rect.expand(radius);
    let mut shapes = Vec::new();
    for (index, position) in atoms.positions.iter().enumerate() {
        let away = plane.depth(*position).abs() / half;
        if away > 1.0 {
            continue;
        }
        let at = plane.screen(*position);
        if !seen.contains(at) {
            continue;
        }
        let id = atoms.ids[index];
        let fade = (1.0 - 0.75 * away) as f32;
        let brushed = state.view.brushed.contains(&id);
        let selected = state.view.selection.contains(&id);
        let color = if brushed {
            theme::BRUSHED
        } else {
            colors.get(index).copied().unwrap_or(theme::ACCENT)
        };
        let dimmed = if lit && !brushed { 0.35 } else { 1.0 };
        shapes.push(Shape::circle_stroke(
            at,
            radius,
            Stroke::new(1.6, color.gamma_multiply(fade * dimmed)),
        ));
        if selected {
            shapes.push(Shape::circle_stroke(
                at,
                radius + 3.0,
                Stroke::new(2.0, theme::SELECTED),
            ));
        }
        if Mark::Locked.is_on(atoms, index) {
            let corner = Rect::from_center_size(at, vec2(radius, radius));
            let stroke = Stroke::new(1.6, theme::OVER_PICTURE.gamma_multiply(fade));
            shapes.push(Shape::rect_stroke(
                corner,
                0.0,
                stroke,
                egui::StrokeKind::Middle,
            ));
        }
        if Mark::Flagged.is_on(atoms, index) {
            let stroke = Stroke::new(1.6, theme::ALARM.gamma_multiply(fade));
            let foot = at + vec2(radius * 0.7, -radius * 0.7);
            let top = foot - vec2(0.0, 10.0);
            shapes.push(Shape::line_segment([foot, top], stroke));
            shapes.push(Shape::line_segment(
                [top, top + vec2(7.0, 2.5)],
                Stroke::new(3.0, stroke.color),
            ));
        }
    }
    painter.extend(shapes);
}

/// Removed atoms: a cross where each stood.
pub(super) fn draw_tombstones(ui: &Ui, plane: &Plane, state: &AppState) {
    let half = (state.view.atom_slab / 2.0).max(0.05);
    let painter = ui.painter_at(plane.viewport.rect);
    let arm = 0.6 * ring_radius(plane).max(4.0);
    for gone in state.workspace.edits.tombstones() {
        let away = plane.depth(gone.position).abs() / half;
        if away > 1.0 {
            continue;
        }
        let at = plane.screen(gone.position);
        let stroke = Stroke::new(
            1.6,
            theme::TOMBSTONE.gamma_multiply((1.0 - 0.75 * away) as f32),
        );
        for arm in [vec2(arm, arm), vec2(arm, -arm)] {
            painter.line_segment([at - arm, at + arm], stroke);
        }
    }
}

/// Atoms of the interim traces of a running reconstruction: rings, more solid the longer they stay.
pub(super) fn draw_interim(ui: &Ui, plane: &Plane, state: &AppState) {
    let Some(ghosts) = &state.live.ghosts else {
        return;
    };
    let half = (state.view.atom_slab / 2.0).max(0.05);
    let radius = ring_radius(plane);
    let seen = plane.viewport.rect.expand(radius);
    let rings = ghosts.present().filter_map(|ghost| {
        let away = plane.depth(ghost.position).abs() / half;
        let at = plane.screen(ghost.position);
        let fade = (1.0 - 0.75 * away) as f32 * theme::solid(ghosts.solidity(ghost));
        let stroke = Stroke::new(1.4, theme::GHOST.gamma_multiply(fade));
        (away <= 1.0 && seen.contains(at)).then(|| Shape::circle_stroke(at, radius, stroke))
    });
    ui.painter_at(plane.viewport.rect).extend(rings);
}

pub(super) fn draw_ghost(ui: &Ui, plane: &Plane, state: &AppState) {
    let Some(ghost) = &state.view.ghost else {
        return;
    };
    let painter = ui.painter_at(plane.viewport.rect);
    let at = plane.screen(ghost.candidate.position);
    let radius = ring_radius(plane) + 2.0;
    let circle: Vec<Pos2> = (0..=32)
        .map(|step| {
            let turn = std::f32::consts::TAU * step as f32 / 32.0;
            at + radius * vec2(turn.cos(), turn.sin())
        })
        .collect();
    painter.extend(Shape::dashed_line(
        &circle,
        Stroke::new(2.0, theme::GHOST),
        4.0,
        3.0,
    ));
    let nearest = ghost
        .nearest
        .map_or("no other atom".to_owned(), |d| format!("nearest {d:.2} Å"));
    let text = if ghost.rank > 0.0 {
        format!(
            "stronger than {:.0} % of the atoms, {nearest}",
            100.0 * ghost.rank
        )
    } else {
        format!("weaker than every atom, {nearest}")
    };
    // On the side that has the room.
    let (offset, anchor) = if at.x < plane.viewport.rect.center().x {
        (radius + 6.0, Align2::LEFT_CENTER)
    } else {
        (-radius - 6.0, Align2::RIGHT_CENTER)
    };
    canvas::label(
        ui,
        plane.viewport.rect,
        at + vec2(offset, 0.0),
        anchor,
        &text,
    );
}
