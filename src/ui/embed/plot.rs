//! Figures drawn with hover values, brushing and draggable thresholds.

use super::colors::of_ink;
use crate::figures::{Figure, Layer};
use crate::model::AtomId;
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::state::AppState;
use eframe::egui::{self, Ui};
use egui_plot::{
    Bar, BarChart, Legend, Line, LineStyle, MarkerShape, Plot, PlotPoint, PlotPoints, PlotUi,
    Points, Polygon, Text, VLine,
};

/// View state of the figures.
#[derive(Default)]
pub struct PlotView {
    brush: Option<(f64, f64)>,
    threshold: bool,
}

impl PlotView {
    /// Draws a figure.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        figure: &Figure,
        height: f32,
        state: &AppState,
        actions: &mut Actions,
    ) {
        let note = if height > 90.0 { 24.0 } else { 0.0 };
        let brushes = figure.brush_column.is_some() || figure.id == "boo";
        let threshold = figure.layers.iter().find_map(|layer| match layer {
            Layer::Vertical { x, id: Some(_), .. } => Some(*x),
            _ => None,
        });
        let mut plot = Plot::new(("figure", figure.id.as_str()))
            .height((height - note).max(60.0))
            .x_axis_label(figure.x.text())
            .y_axis_label(figure.y.text())
            .allow_scroll(false)
            .allow_boxed_zoom(false)
            .allow_drag(false)
            .allow_zoom(true)
            .show_grid(true);
        let named = figure
            .layers
            .iter()
            .filter(|l| matches!(l, Layer::Line { .. }))
            .count();
        if named > 1 {
            plot = plot.legend(Legend::default());
        }
        if figure.equal_axes {
            plot = plot.data_aspect(1.0);
        }
        let (drag, brush) = (self.threshold, self.brush);
        let shown = plot.show(ui, |plot_ui| {
            draw(plot_ui, figure);
            if let Some((a, b)) = brush {
                let bounds = plot_ui.plot_bounds();
                let (low, high) = (bounds.min()[1], bounds.max()[1]);
                let corners = vec![[a, low], [b, low], [b, high], [a, high]];
                plot_ui.polygon(Polygon::new("brush", PlotPoints::from(corners)));
            }
            let response = plot_ui.response().clone();
            let at = plot_ui.pointer_coordinate();
            let near = threshold.zip(at).is_some_and(|(x, at)| {
                let place = |x: f64| plot_ui.screen_from_plot(PlotPoint::new(x, at.y)).x;
                (place(x) - place(at.x)).abs() < 8.0
            });
            (response, at, near)
        });
        let (response, at, near) = shown.inner;
        if near || drag {
            ui.ctx().set_cursor_icon(egui::CursorIcon::ResizeHorizontal);
        }
        if response.drag_started() {
            self.threshold = near && figure.id == "intensity";
        }
        if let Some(at) = at.filter(|_| response.dragged()) {
            if self.threshold {
                let change = ViewChange::DraggedThreshold(Some(at.x.max(0.0)));
                actions.push(Action::View(change));
            } else if brushes {
                let from = self.brush.map_or(at.x, |(from, _)| from);
                self.brush = Some((from, at.x));
            }
        }
        if response.drag_stopped() {
            if let Some((a, b)) = self.brush.take() {
                actions.push(Action::Brush(lit(figure, state, a.min(b), a.max(b))));
            }
            self.threshold = false;
        }
        response.context_menu(|ui| {
            if ui.button("Copy data").clicked() {
                actions.push(Action::Copy(table(figure)));
                ui.close();
            }
            if ui.button("Export…").clicked() {
                actions.push(Action::ExportFigure(figure.id.clone()));
                ui.close();
            }
        });
        if note > 0.0 {
            ui.add(egui::Label::new(egui::RichText::new(&figure.note).weak()).truncate());
        }
    }
}

fn draw(plot: &mut PlotUi<'_>, figure: &Figure) {
    let visuals = plot.ctx().global_style().visuals.clone();
    for layer in &figure.layers {
        match layer {
            Layer::Line {
                name,
                points,
                ink,
                dashed,
            } => {
                let mut line = Line::new(name, PlotPoints::from(points.clone()))
                    .color(of_ink(*ink, &visuals))
                    .width(1.6);
                if *dashed {
                    line = line.style(LineStyle::dashed_dense());
                }
                plot.line(line);
            }
            Layer::Points {
                name, points, ink, ..
            } => plot.points(
                Points::new(name, PlotPoints::from(points.clone()))
                    .radius(1.3)
                    .color(of_ink(*ink, &visuals).gamma_multiply(0.7)),
            ),
            Layer::Histogram {
                name,
                edges,
                counts,
                ink,
            } => {
                let bars = counts
                    .iter()
                    .zip(edges.windows(2))
                    .map(|(&count, edge)| {
                        Bar::new(0.5 * (edge[0] + edge[1]), count).width(edge[1] - edge[0])
                    })
                    .collect();
                plot.bar_chart(BarChart::new(name, bars).color(of_ink(*ink, &visuals)));
            }
            Layer::Vertical { x, label, ink, .. } => {
                plot.vline(
                    VLine::new(label, *x)
                        .color(of_ink(*ink, &visuals))
                        .width(1.6),
                );
            }
            Layer::Mark { at, label, ink } => {
                let color = of_ink(*ink, &visuals);
                plot.points(
                    Points::new(label, PlotPoints::from(vec![*at]))
                        .shape(MarkerShape::Cross)
                        .radius(5.0)
                        .color(color),
                );
                let text = egui::RichText::new(format!("  {label}"))
                    .color(color)
                    .size(13.0);
                plot.text(
                    Text::new(label, PlotPoint::new(at[0], at[1]), text)
                        .anchor(egui::Align2::LEFT_CENTER),
                );
            }
        }
    }
}

/// Atoms whose value lies in a range of x.
fn lit(figure: &Figure, state: &AppState, low: f64, high: f64) -> Vec<AtomId> {
    let analyzed = state.workspace.analyzed.as_ref().map(|a| &a.atoms);
    if let Some(column) = &figure.brush_column {
        let source = [state.workspace.atoms.as_deref(), analyzed]
            .into_iter()
            .flatten()
            .find(|atoms| atoms.columns.contains_key(column));
        return source.map_or_else(Vec::new, |atoms| {
            let values = atoms.column(column).unwrap_or_default();
            (0..atoms.len())
                .filter(|&i| (low..=high).contains(&values[i]))
                .map(|i| atoms.ids[i])
                .collect()
        });
    }
    let Some(atoms) = analyzed else {
        return Vec::new();
    };
    figure
        .layers
        .iter()
        .find_map(|layer| match layer {
            Layer::Points {
                points,
                atoms: indices,
                ..
            } => Some(
                points
                    .iter()
                    .zip(indices)
                    .filter(|(point, _)| (low..=high).contains(&point[0]))
                    .filter_map(|(_, &index)| atoms.ids.get(index as usize).copied())
                    .collect(),
            ),
            _ => None,
        })
        .unwrap_or_default()
}

/// The figure's numbers as text, a block per layer.
fn table(figure: &Figure) -> String {
    let mut text = format!("{}\t{}\n", figure.x.text(), figure.y.text());
    for layer in &figure.layers {
        match layer {
            Layer::Line { name, points, .. } | Layer::Points { name, points, .. } => {
                text.push_str(&format!("# {name}\n"));
                for [x, y] in points {
                    text.push_str(&format!("{x}\t{y}\n"));
                }
            }
            Layer::Histogram {
                name,
                edges,
                counts,
                ..
            } => {
                text.push_str(&format!("# {name}\n"));
                for (edge, count) in edges.windows(2).zip(counts) {
                    text.push_str(&format!("{}\t{count}\n", 0.5 * (edge[0] + edge[1])));
                }
            }
            Layer::Vertical { .. } | Layer::Mark { .. } => {}
        }
    }
    text
}
