//! Draws a [`Figure`] with hover values, a draggable threshold, a brush that lights atoms up, and export.

use crate::figures::{AxisLabel, Figure, Layer};
use crate::model::{AtomId, Atoms};
use crate::ui::actions::{Action, Actions};
use crate::ui::theme;
use eframe::egui::{self, Id, PointerButton, Ui};
use egui_plot::{
    Bar, BarChart, Corner, GridInput, GridMark, Legend, Line, LineStyle, Plot, PlotPoint,
    PlotPoints, PlotUi, Points, Text, VLine,
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
        .x_axis_formatter({
            let axis = figure.x.clone();
            move |mark, _| axis.tick(mark.value)
        })
        .y_axis_formatter({
            let axis = figure.y.clone();
            move |mark, _| axis.tick(mark.value)
        })
        .x_grid_spacer(|input| ticks(&input, 9.0))
        .y_grid_spacer(|input| ticks(&input, 3.5))
        // Quieter than the data.
        .grid_spacing(egui::Rangef::new(8.0, 700.0))
        // Room for what is written beside marks at the rim.
        .set_margin_fraction(egui::vec2(0.02, 0.09));
    if figure.equal_axes {
        plot = plot.data_aspect(1.0);
    }
    // In a narrow panel it would cover what it explains.
    if named > 1 && ui.available_width() > 420.0 {
        plot = plot.legend(Legend::default().position(quietest_corner(figure)));
    }
    let drag_id = id.with("drag");
    // Labels of lines hang from the data's own top: bounds that follow their labels would grow frame by frame.
    let top = extent(figure)[1][1];
    let response = plot.show(ui, |plot_ui| {
        for layer in &figure.layers {
            draw_layer(plot_ui, layer, top, dark);
        }
        draw_brush(plot_ui, drag_id);
        interact(plot_ui, figure, drag_id, brushable, actions)
    });
    settle_axes(ui, id.with("settled"));
    if let Some(at) = response.inner {
        let text = format!(
            "{} {}\n{} {}",
            figure.x.text(),
            number(&figure.x, at.x),
            figure.y.text(),
            number(&figure.y, at.y)
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

/// The plot leaves room for its tick labels from the frame before: the very first is drawn twice.
fn settle_axes(ui: &Ui, id: Id) {
    let settled = ui
        .ctx()
        .data_mut(|data| std::mem::replace(data.get_temp_mut_or_default::<bool>(id), true));
    if !settled {
        ui.ctx().request_discard("room for tick labels");
    }
}

/// Ticks at 1, 2 or 5 times a power of ten, `room` times the closest that could be drawn apart.
fn ticks(input: &GridInput, room: f64) -> Vec<GridMark> {
    let wanted = input.base_step_size * room;
    if !(wanted.is_finite() && wanted > 0.0) {
        return Vec::new();
    }
    let decade = 10f64.powf(wanted.log10().floor());
    let step_size = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * decade)
        .find(|step| *step >= wanted * 0.999)
        .unwrap_or(10.0 * decade);
    let (low, high) = input.bounds;
    let first = (low / step_size).ceil() as i64;
    let last = (high / step_size).floor() as i64;
    (first..=last)
        .take(200)
        .map(|k| GridMark {
            value: k as f64 * step_size,
            step_size,
        })
        .collect()
}

/// Every point of the figure's data, in axis units.
fn data_points(figure: &Figure) -> impl Iterator<Item = [f64; 2]> {
    figure.layers.iter().flat_map(|layer| match layer {
        Layer::Line { points, .. } | Layer::Points { points, .. } => points.clone(),
        Layer::Histogram { edges, counts, .. } => edges
            .iter()
            .zip(counts)
            .map(|(&edge, &count)| [edge, count])
            .collect(),
        Layer::Mark { at, .. } => vec![*at; 20],
        Layer::Vertical { .. } => Vec::new(),
    })
}

/// Lowest and highest corner of the data.
fn extent(figure: &Figure) -> [[f64; 2]; 2] {
    let mut corners = [[f64::INFINITY; 2], [f64::NEG_INFINITY; 2]];
    for point in data_points(figure) {
        for axis in 0..2 {
            corners[0][axis] = corners[0][axis].min(point[axis]);
            corners[1][axis] = corners[1][axis].max(point[axis]);
        }
    }
    corners.map(|corner| corner.map(|x| if x.is_finite() { x } else { 1.0 }))
}

/// The corner of the plot with the least in it, for the legend.
fn quietest_corner(figure: &Figure) -> Corner {
    let [low, high] = extent(figure);
    let mut crowd = [0usize; 4];
    for point in data_points(figure) {
        let share = |axis: usize| (point[axis] - low[axis]) / (high[axis] - low[axis]).max(1e-300);
        let (x, y) = (share(0), share(1));
        // A legend is about a quarter wide and half high in the tray.
        if !(0.25..=0.75).contains(&x) {
            crowd[usize::from(x > 0.5) + 2 * usize::from(y < 0.5)] += 1;
        }
    }
    let corners = [
        Corner::RightTop,
        Corner::LeftTop,
        Corner::RightBottom,
        Corner::LeftBottom,
    ];
    let crowds = [crowd[1], crowd[0], crowd[3], crowd[2]];
    let best = (0..4).min_by_key(|&k| crowds[k]).unwrap_or(0);
    corners[best]
}

fn number(axis: &AxisLabel, coordinate: f64) -> String {
    let value = if axis.log {
        10f64.powf(coordinate)
    } else {
        coordinate
    };
    let size = value.abs();
    if size != 0.0 && !(0.001..100_000.0).contains(&size) {
        format!("{value:.3e}")
    } else {
        format!("{value:.4}")
    }
}

fn draw_layer(plot_ui: &mut PlotUi<'_>, layer: &Layer, top: f64, dark: bool) {
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
            let color = theme::ink(*ink, dark);
            let fill = color.gamma_multiply(0.75);
            let bars = edges
                .windows(2)
                .zip(counts)
                .filter(|(_, count)| **count != 0.0)
                .map(|(edge, &count)| {
                    // A hair of ground between the bars keeps them apart.
                    Bar::new((edge[0] + edge[1]) / 2.0, count)
                        .width(0.92 * (edge[1] - edge[0]))
                        .fill(fill)
                        .stroke(egui::Stroke::NONE)
                })
                .collect();
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

/// What the left button holds: the line of a parameter, or the start of a brush.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Held {
    Line,
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
    let line = figure.layers.iter().find_map(|layer| match layer {
        Layer::Vertical {
            x, id: Some(name), ..
        } => Some((*x, name)),
        _ => None,
    });
    if response.drag_started_by(PointerButton::Primary) {
        let origin = plot_ui.ctx().input(|input| input.pointer.press_origin());
        let from = origin.map_or(at, |place| plot_ui.plot_from_screen(place));
        let grab = 0.025 * plot_ui.plot_bounds().width();
        let held = match line {
            Some((x, _)) if (x - from.x).abs() <= grab || brushable.is_none() => Held::Line,
            _ => Held::Brush(from.x),
        };
        plot_ui
            .ctx()
            .data_mut(|data| data.insert_temp(drag_id, held));
    }
    let held: Option<Held> = plot_ui.ctx().data(|data| data.get_temp(drag_id));
    let over = line.is_some_and(|(x, _)| (x - at.x).abs() <= 0.01 * plot_ui.plot_bounds().width());
    if held == Some(Held::Line) || (over && held.is_none()) {
        plot_ui
            .ctx()
            .set_cursor_icon(egui::CursorIcon::ResizeHorizontal);
    }
    if let (Some(Held::Line), Some((x, name))) = (held, line)
        && response.dragged_by(PointerButton::Primary)
        && x != at.x
    {
        actions.push(Action::DragLine(name.clone(), at.x, false));
    }
    if response.drag_stopped_by(PointerButton::Primary) {
        plot_ui.ctx().data_mut(|data| data.remove::<Held>(drag_id));
        match held {
            Some(Held::Line) => {
                if let Some((_, name)) = line {
                    actions.push(Action::DragLine(name.clone(), at.x, true));
                }
            }
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
