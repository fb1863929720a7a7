//! Draws a [`Figure`] with hover values, a draggable threshold, a brush that lights atoms up, and export.

use crate::figures::{Figure, Layer};
use crate::model::{AtomId, Atoms};
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::theme;
use eframe::egui::{self, Id, PointerButton, Ui};
use egui_plot::{
    Bar, BarChart, Legend, Line, LineStyle, Plot, PlotPoint, PlotPoints, PlotUi, Points, Text,
    VLine,
};

/// What a brush needs to turn a range of x into atoms.
pub struct Brushable<'a> {
    /// The atoms whose ids are lit.
    pub atoms: &'a Atoms,
    /// Values of the figure's brush column for these atoms.
    pub values: Option<Vec<f64>>,
}

/// Draws the figure `height` points high and pushes what the user asked for.
pub fn figure_ui(
    ui: &mut Ui,
    figure: &Figure,
    height: f32,
    dark: bool,
    brushable: Option<&Brushable<'_>>,
    actions: &mut Actions,
) {
    let note = !figure.note.is_empty() && height > 120.0;
    let plot_height = (height - if note { 20.0 } else { 0.0 }).max(60.0);
    let id = ui.scope_id().with(&figure.id);
    let named = figure
        .layers
        .iter()
        .filter(|layer| !name_of(layer).is_empty())
        .count();
    let mut plot = Plot::new(id)
        .height(plot_height)
        .x_axis_label(figure.x.text())
        .y_axis_label(figure.y.text())
        .allow_drag(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .label_formatter(|_| None)
        .show_grid(true);
    if figure.equal_axes {
        plot = plot.data_aspect(1.0);
    }
    if named > 1 {
        plot = plot.legend(Legend::default());
    }
    let drag_id = id.with("drag");
    let response = plot.show(ui, |plot_ui| {
        for layer in &figure.layers {
            draw_layer(plot_ui, layer, dark);
        }
        draw_brush(plot_ui, drag_id);
        interact(plot_ui, figure, drag_id, brushable, actions)
    });
    if let Some(at) = response.inner {
        let text = format!(
            "{} {}\n{} {}",
            figure.x.text(),
            number(at.x),
            figure.y.text(),
            number(at.y)
        );
        response.response.clone().on_hover_text_at_pointer(text);
    }
    response.response.context_menu(|ui| {
        if ui.button("Copy data").clicked() {
            actions.push(Action::Copy(crate::figures::render::csv(figure)));
            ui.close();
        }
        if ui.button("Export SVG, PNG or CSV…").clicked() {
            actions.push(Action::ExportFigure(figure.id.clone()));
            ui.close();
        }
        if brushable.is_some() && ui.button("Put the light out").clicked() {
            actions.push(Action::Brush(Vec::new()));
            ui.close();
        }
    });
    if note {
        ui.add(egui::Label::new(egui::RichText::new(&figure.note).weak().small()).truncate());
    }
}

fn name_of(layer: &Layer) -> &str {
    match layer {
        Layer::Line { name, .. } | Layer::Points { name, .. } | Layer::Histogram { name, .. } => {
            name
        }
        Layer::Vertical { .. } | Layer::Mark { .. } => "",
    }
}

fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(0.001..100_000.0).contains(&size) {
        format!("{value:.3e}")
    } else {
        format!("{value:.4}")
    }
}

fn draw_layer(plot_ui: &mut PlotUi<'_>, layer: &Layer, dark: bool) {
    match layer {
        Layer::Line {
            name,
            points,
            ink,
            dashed,
        } => {
            let mut line = Line::new(name, PlotPoints::from(points.clone()))
                .color(theme::ink(*ink, dark))
                .width(1.8);
            if *dashed {
                line = line.style(LineStyle::dashed_loose());
            }
            plot_ui.line(line);
        }
        Layer::Points {
            name,
            points,
            ink,
            radius,
            ..
        } => {
            let points = Points::new(name, PlotPoints::from(points.clone()))
                .color(theme::ink(*ink, dark).gamma_multiply(0.7))
                .radius(*radius);
            plot_ui.points(points);
        }
        Layer::Histogram {
            name,
            edges,
            counts,
            ink,
        } => {
            let bars = edges
                .windows(2)
                .zip(counts)
                .map(|(edge, &count)| {
                    Bar::new((edge[0] + edge[1]) / 2.0, count).width(edge[1] - edge[0])
                })
                .collect();
            let color = theme::ink(*ink, dark);
            plot_ui.bar_chart(
                BarChart::new(name, bars)
                    .color(color.gamma_multiply(0.85))
                    .allow_hover(false),
            );
        }
        Layer::Vertical { x, label, ink, id } => {
            let color = theme::ink(*ink, dark);
            let width = if id.is_some() { 2.5 } else { 1.2 };
            plot_ui.vline(VLine::new("", *x).color(color).width(width));
            let bounds = plot_ui.plot_bounds();
            let top = bounds.max()[1] - 0.04 * bounds.height();
            let text = egui::RichText::new(format!(" {label}")).small();
            plot_ui.text(
                Text::new("", PlotPoint::new(*x, top), text)
                    .color(color)
                    .anchor(egui::Align2::LEFT_TOP),
            );
        }
        Layer::Mark { at, label, ink } => {
            let color = theme::ink(*ink, dark);
            plot_ui.points(Points::new("", vec![*at]).color(color).radius(4.0));
            let text = egui::RichText::new(format!(" {label}"));
            plot_ui.text(
                Text::new("", PlotPoint::new(at[0], at[1]), text)
                    .color(color)
                    .anchor(egui::Align2::LEFT_BOTTOM),
            );
        }
    }
}

/// What the left button holds: a threshold line, or the start of a brush.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Held {
    Threshold,
    Brush(f64),
}

fn draw_brush(plot_ui: &mut PlotUi<'_>, drag_id: Id) {
    let held: Option<Held> = plot_ui.ctx().data(|data| data.get_temp(drag_id));
    if let (Some(Held::Brush(from)), Some(at)) = (held, plot_ui.pointer_coordinate()) {
        for x in [from, at.x] {
            plot_ui.vline(VLine::new("", x).color(theme::BRUSHED).width(1.0));
        }
    }
}

/// Drags and brushes; returns the pointer's coordinates when nothing is held.
fn interact(
    plot_ui: &mut PlotUi<'_>,
    figure: &Figure,
    drag_id: Id,
    brushable: Option<&Brushable<'_>>,
    actions: &mut Actions,
) -> Option<PlotPoint> {
    let at = plot_ui.pointer_coordinate()?;
    let response = plot_ui.response().clone();
    let threshold = figure.layers.iter().find_map(|layer| match layer {
        Layer::Vertical { x, id: Some(_), .. } => Some(*x),
        _ => None,
    });
    if response.drag_started_by(PointerButton::Primary) {
        let origin = plot_ui.ctx().input(|input| input.pointer.press_origin());
        let from = origin.map_or(at, |place| plot_ui.plot_from_screen(place));
        let grab = 0.025 * plot_ui.plot_bounds().width();
        let held = match threshold {
            Some(x) if (x - from.x).abs() <= grab || brushable.is_none() => Held::Threshold,
            _ => Held::Brush(from.x),
        };
        plot_ui
            .ctx()
            .data_mut(|data| data.insert_temp(drag_id, held));
    }
    let held: Option<Held> = plot_ui.ctx().data(|data| data.get_temp(drag_id));
    if response.dragged_by(PointerButton::Primary) && held == Some(Held::Threshold) {
        actions.push(Action::View(ViewChange::DraggedThreshold(Some(at.x))));
    }
    if response.drag_stopped_by(PointerButton::Primary) {
        plot_ui.ctx().data_mut(|data| data.remove::<Held>(drag_id));
        match held {
            Some(Held::Threshold) => actions.push(Action::ApplyThreshold(at.x)),
            Some(Held::Brush(from)) => {
                let (low, high) = (from.min(at.x), from.max(at.x));
                actions.push(Action::Brush(brushed(figure, brushable, low, high)));
            }
            None => {}
        }
    }
    (held.is_none() && response.hovered()).then_some(at)
}

/// The atoms behind a range of x.
fn brushed(figure: &Figure, brushable: Option<&Brushable<'_>>, low: f64, high: f64) -> Vec<AtomId> {
    let Some(brushable) = brushable else {
        return Vec::new();
    };
    let ids = &brushable.atoms.ids;
    if let Some(values) = &brushable.values {
        let inside = ids
            .iter()
            .zip(values)
            .filter(|(_, value)| (low..=high).contains(*value));
        return inside.map(|(id, _)| *id).collect();
    }
    let mut lit = Vec::new();
    for layer in &figure.layers {
        if let Layer::Points { points, atoms, .. } = layer {
            let inside = points
                .iter()
                .zip(atoms)
                .filter(|(point, _)| (low..=high).contains(&point[0]));
            lit.extend(inside.filter_map(|(_, &index)| ids.get(index as usize).copied()));
        }
    }
    lit
}
