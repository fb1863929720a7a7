//! Slab maps: successive slabs of the model side by side, coloured by the chosen quantity.

use super::canvas;
use super::slices::Colors;
use crate::ui::actions::{Action, Actions};
use crate::ui::state::{AppState, ColorBy};
use crate::ui::theme;
use eframe::egui::{Align, Align2, Layout, Rect, Sense, Shape, Ui, pos2, vec2};

/// Draws the slabs along z as small maps, as many a row as there is room for; a click moves the crosshair there.
pub fn ui(ui: &mut Ui, state: &AppState, colors: &Colors<'_>, actions: &mut Actions) {
    let Some(atoms) = state
        .workspace
        .atoms
        .as_ref()
        .filter(|atoms| !atoms.is_empty())
    else {
        ui.weak("Atoms fill these maps");
        return;
    };
    let thickness = state.workspace.project.parameters.analyze.slab.max(0.5);
    let mut low = [f64::INFINITY; 3];
    let mut high = [f64::NEG_INFINITY; 3];
    for position in &atoms.positions {
        for axis in 0..3 {
            low[axis] = low[axis].min(position[axis]);
            high[axis] = high[axis].max(position[axis]);
        }
    }
    let slabs = (((high[2] - low[2]) / thickness).ceil() as usize).clamp(1, 60);
    const EDGE: f32 = 150.0;
    let row = ((ui.available_width() / EDGE) as usize).max(2);
    let edge = (ui.available_width() / row as f32 - 5.0).max(60.0);
    let extent = (high[0] - low[0]).max(high[1] - low[1]).max(1.0) + 2.0;
    let scale = f64::from(edge) / extent;
    let middle = [(low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0];
    let radius = (1.1 * scale).clamp(1.2, 5.0) as f32;
    for first in (0..slabs).step_by(row) {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            for slab in first..(first + row).min(slabs) {
                let from = low[2] + slab as f64 * thickness;
                let to = from + thickness;
                let (rect, response) = ui.allocate_exact_size(vec2(edge, edge), Sense::click());
                if !ui.is_rect_visible(rect) {
                    continue;
                }
                ui.painter().rect_filled(rect, 2.0, theme::PICTURE);
                let shapes = atoms
                    .positions
                    .iter()
                    .zip(colors.colors)
                    .filter_map(|(at, color)| {
                        let last = slab + 1 == slabs;
                        let inside = at[2] >= from && (at[2] < to || last);
                        inside.then(|| {
                            let place = rect.center()
                                + vec2(
                                    ((at[0] - middle[0]) * scale) as f32,
                                    (-(at[1] - middle[1]) * scale) as f32,
                                );
                            Shape::circle_filled(place, radius, *color)
                        })
                    });
                ui.painter_at(rect).extend(shapes);
                label(ui, rect, (from + to) / 2.0);
                if response
                    .on_hover_text(format!("z {from:.1} to {to:.1} Å"))
                    .clicked()
                {
                    let [x, y, _] = state.view.crosshair;
                    actions.push(Action::MoveCrosshair([x, y, (from + to) / 2.0]));
                }
            }
        });
    }
}

/// The colour bar of a quantity, or the legend of its classes; what the colours stand for.
pub fn meaning(ui: &mut Ui, state: &AppState, meaning: &theme::Meaning) {
    match meaning {
        theme::Meaning::Classes(classes) => {
            ui.horizontal_wrapped(|ui| {
                for (color, name) in classes {
                    ui.colored_label(*color, "●");
                    ui.label(name);
                }
            });
        }
        other => bar(ui, state, other.range()),
    }
}

/// The colour bar of a quantity with its name, unit and ends.
fn bar(ui: &mut Ui, state: &AppState, range: Option<[f64; 2]>) {
    let (Some([low, high]), ColorBy::Column(name)) = (range, &state.view.color_by) else {
        return;
    };
    let width = ui.available_width().min(420.0);
    let (rect, _) = ui.allocate_exact_size(vec2(width, 12.0), Sense::hover());
    const STEPS: usize = 48;
    for step in 0..STEPS {
        let part = |k: usize| rect.left() + rect.width() * k as f32 / STEPS as f32;
        let cell = Rect::from_x_y_ranges(part(step)..=part(step + 1) + 0.5, rect.y_range());
        let t = (step as f32 + 0.5) / STEPS as f32;
        ui.painter()
            .rect_filled(cell, 0.0, theme::map_color(state.view.quantity_map, t));
    }
    let ends = vec2(width, 14.0);
    ui.allocate_ui_with_layout(ends, Layout::left_to_right(Align::Center), |ui| {
        ui.small(format!("{low:.3}"));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.small(format!("{high:.3}"));
            ui.with_layout(Layout::top_down(Align::Center), |ui| {
                ui.small(quantity(state, name));
            });
        });
    });
}

fn label(ui: &Ui, rect: Rect, z: f64) {
    let sign = if z < 0.0 { "−" } else { "+" };
    let at = pos2(rect.left() + 6.0, rect.top() + 4.0);
    canvas::label(
        ui,
        rect,
        at,
        Align2::LEFT_TOP,
        &format!("z {sign}{:.1} Å", z.abs()),
    );
}

/// Name of a per-atom quantity, with its unit.
pub fn quantity(state: &AppState, column: &str) -> String {
    let analyzed = state
        .workspace
        .analyzed
        .as_ref()
        .map(|analyzed| &analyzed.atoms);
    let own = state.workspace.atoms.as_deref();
    let unit = analyzed
        .into_iter()
        .chain(own)
        .find_map(|atoms| atoms.columns.get(column))
        .map_or("", |column| column.unit.as_str());
    let name = crate::figures::names::quantity(column);
    if unit.is_empty() {
        name.to_owned()
    } else {
        format!("{name} ({unit})")
    }
}
