//! Steps of the crosshair, of the pictures of a preparation, and turns of the oblique plane.

use crate::model::center_index;
use crate::ui::actions::Action;
use crate::ui::editing;
use crate::ui::plane::{PlaneAxes, to_next_layer};
use crate::ui::state::{AppState, TiltPicture, Tool, ViewKind};

/// A place brought into the volume (or left as it is without one).
pub(super) fn clamped(state: &AppState, place: [f64; 3]) -> [f64; 3] {
    let Some(volume) = state.shown_volume() else {
        return place;
    };
    let size = volume.size();
    std::array::from_fn(|axis| {
        let center = center_index(size[axis]) as f64;
        let last = size[axis].saturating_sub(1) as f64;
        place[axis].clamp(
            -center * volume.pixel_size,
            (last - center) * volume.pixel_size,
        )
    })
}

pub(super) fn voxel_size(state: &AppState) -> f64 {
    state.shown_volume().map_or(1.0, |volume| volume.pixel_size)
}

pub(super) fn step_slice(state: &mut AppState, steps: isize) {
    let Some(axes) = state.view.axes_of(state.view.active) else {
        if state.view.active == ViewKind::Tilt {
            step_tilt(state, steps);
        }
        return;
    };
    let (from, by) = (state.view.crosshair, steps as f64 * voxel_size(state));
    let to = std::array::from_fn(|a| from[a] + by * axes.normal[a]);
    state.view.crosshair = clamped(state, to);
}

pub(super) fn step_tilt(state: &mut AppState, steps: isize) {
    state.view.tilt = state.view.tilt.saturating_add_signed(steps);
    state.make_view_valid();
}

/// Moves the crosshair, or gives the nudge of the selected atoms back as an edit.
pub(super) fn step_in_plane(state: &mut AppState, right: isize, up: isize) -> Option<Action> {
    /// A nudge is a tenth of a voxel; the crosshair moves by whole ones.
    const NUDGE_VOX: f64 = 0.1;
    if state.view.active == ViewKind::Tilt {
        step_tilt(state, right - up);
        return None;
    }
    let axes = state.view.axes_of(state.view.active);
    let axes = axes.unwrap_or_else(|| PlaneAxes::of_axes([0, 1, 2]));
    let nudges = state.view.tool == Tool::Move && !state.view.selection.is_empty();
    let step = voxel_size(state) * if nudges { NUDGE_VOX } else { 1.0 };
    let by = axes.point([right as f64 * step, up as f64 * step, 0.0]);
    if nudges {
        return Some(Action::NudgeSelected(by));
    }
    let from = state.view.crosshair;
    state.view.crosshair = clamped(state, std::array::from_fn(|axis| from[axis] + by[axis]));
    None
}

/// The plane through three selected atoms, or across the row of two; and a place in it.
pub(super) fn plane_from_selection(state: &AppState) -> Result<(PlaneAxes, [f64; 3]), String> {
    let atoms = state.workspace.atoms.as_ref().ok_or("no atoms yet")?;
    let places: Vec<[f64; 3]> = (state.view.selection.iter())
        .filter_map(|&id| Some(atoms.positions[atoms.index_of(id)?]))
        .collect();
    match places.as_slice() {
        [a, b] => {
            let row = std::array::from_fn(|k| b[k] - a[k]);
            let axes = PlaneAxes::looking_along(row).ok_or("the two atoms are at one place")?;
            Ok((axes, *a))
        }
        [a, b, c] => {
            let axes = PlaneAxes::through([*a, *b, *c]).ok_or("the three atoms are on one line")?;
            Ok((axes, *a))
        }
        other => Err(format!(
            "a plane takes three selected atoms, a row two; {} are selected",
            other.len()
        )),
    }
}

/// Steps the active view's plane from one layer of atoms to the next.
pub(super) fn step_layer(state: &mut AppState, steps: isize) {
    let Some(axes) = state.view.axes_of(state.view.active) else {
        step_slice(state, 10 * steps);
        return;
    };
    let Some(atoms) = state.workspace.atoms.clone() else {
        step_slice(state, 10 * steps);
        return;
    };
    // Of a neighbour near the crosshair: the model's own would take longer than a frame.
    let spacing = editing::nearest_atom(&atoms, state.view.crosshair, None)
        .and_then(|(index, _)| {
            editing::nearest_atom(&atoms, atoms.positions[index], Some(atoms.ids[index]))
        })
        .map_or(2.8, |(_, apart)| apart.clamp(1.5, 4.5));
    for _ in 0..steps.unsigned_abs() {
        let from = state.view.crosshair;
        let by = to_next_layer(&atoms.positions, &axes, from, spacing, steps > 0);
        let to = std::array::from_fn(|a| from[a] + by * axes.normal[a]);
        state.view.crosshair = clamped(state, to);
    }
}

/// From a picture of the preparation to the one before it, and back.
pub(super) fn blink_step(state: &mut AppState) {
    let view = &mut state.view;
    if let Some(after) = view.blinked_from.take() {
        view.tilt_picture = after;
        return;
    }
    let steps = TiltPicture::steps(state.preparation.as_deref());
    let at = steps
        .iter()
        .position(|(step, _)| *step == view.tilt_picture);
    if let Some(at) = at.filter(|at| *at > 0) {
        view.blinked_from = Some(view.tilt_picture);
        view.tilt_picture = steps[at - 1].0;
    } else {
        view.tilt_picture = TiltPicture::Measured;
    }
}
