//! A line over the tilt image whose counts are plotted.

use super::state::{AppState, TiltPicture};
use super::theme;
use super::views::canvas::{self, Viewport};
use crate::figures::Figure;
use crate::figures::preparation::line_figure;
use crate::model::{TiltSeries, center_index};
use crate::preprocess::inspect::line_profile;
use eframe::egui::{self, Align2, Response, Stroke, Ui, vec2};

/// The line and how it is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct LineView {
    /// Whether a drag over the image draws it.
    pub measuring: bool,
    /// From where to where, pixels `(x, y)` of the image.
    pub ends_px: Option<[[f64; 2]; 2]>,
    /// Counts are averaged over this many pixels across it.
    pub width_px: f64,
}

impl Default for LineView {
    fn default() -> Self {
        Self {
            measuring: false,
            ends_px: None,
            width_px: 3.0,
        }
    }
}

/// What the user may want of the line.
#[derive(Debug, Clone)]
pub enum LineWish {
    /// Draw it by a drag, or no longer.
    Measure(bool),
    /// Put it there, pixels.
    Put([[f64; 2]; 2]),
    /// Average over this width, pixels.
    Width(f64),
    /// Forget it.
    Clear,
}

/// Does what is wanted.
pub fn perform(state: &mut AppState, wish: LineWish) {
    let line = &mut state.view.line;
    match wish {
        LineWish::Measure(on) => {
            line.measuring = on;
            if on {
                state.view.mask.tool = super::masking::MaskTool::Off;
            }
        }
        LineWish::Put(ends) => {
            line.ends_px = Some(ends);
            "line_profile".clone_into(&mut state.view.plot);
        }
        LineWish::Width(width) => line.width_px = width.clamp(1.0, 200.0),
        LineWish::Clear => line.ends_px = None,
    }
}

/// The series whose image the line lies on: as read while that is shown, else the prepared one.
#[must_use]
pub fn measured_series(state: &AppState) -> Option<&std::sync::Arc<TiltSeries>> {
    let workspace = &state.workspace;
    if state.view.tilt_picture == TiltPicture::AsRead {
        return workspace.series.as_ref();
    }
    workspace.best_series()
}

/// The plot of the line; a few hundred samples, fast enough for a frame.
#[must_use]
pub fn figure(state: &AppState) -> Option<Figure> {
    let line = &state.view.line;
    let [from, to] = line.ends_px?;
    let series = measured_series(state)?;
    let tilt = state.view.tilt;
    if tilt >= series.len() {
        return None;
    }
    let profile = line_profile(series.image(tilt), from, to, line.width_px)?;
    let theta = series.angles[tilt].theta.to_degrees();
    let sign = if theta < 0.0 { "−" } else { "+" };
    let of = format!("tilt {} at {sign}{:.1}°", tilt + 1, theta.abs());
    Some(line_figure(&profile, series.pixel_size, line.width_px, &of))
}

fn to_screen(viewport: &Viewport, series: &TiltSeries, at: [f64; 2]) -> egui::Pos2 {
    let pixel = series.pixel_size.unwrap_or(1.0);
    let size = series.image_size();
    viewport.to_screen([0, 1].map(|k| (at[k] - center_index(size[k]) as f64) * pixel))
}

fn from_screen(viewport: &Viewport, series: &TiltSeries, at: egui::Pos2) -> [f64; 2] {
    let pixel = series.pixel_size.unwrap_or(1.0);
    let size = series.image_size();
    let place = viewport.from_screen(at);
    [0, 1].map(|k| place[k] / pixel + center_index(size[k]) as f64)
}

/// Draws the line with its width and length.
pub fn draw(ui: &Ui, viewport: &Viewport, state: &AppState, series: &TiltSeries) {
    let line = &state.view.line;
    let Some(ends) = line.ends_px else {
        return;
    };
    let [from, to] = ends.map(|end| to_screen(viewport, series, end));
    let painter = ui.painter_at(viewport.rect);
    let along = (to - from).normalized();
    let aside = vec2(-along.y, along.x);
    let per_pixel = series.pixel_size.unwrap_or(1.0) * viewport.scale;
    let half = (0.5 * line.width_px * per_pixel) as f32;
    let thin = Stroke::new(1.0, theme::CROSSHAIR.gamma_multiply(0.5));
    for side in [-1.0, 1.0] {
        painter.line_segment([from + side * half * aside, to + side * half * aside], thin);
    }
    painter.line_segment([from, to], Stroke::new(1.6, theme::CROSSHAIR));
    let length = (ends[1][0] - ends[0][0]).hypot(ends[1][1] - ends[0][1]);
    let text = series.pixel_size.map_or_else(
        || format!("{length:.1} px"),
        |pixel| format!("{:.1} Å", length * pixel),
    );
    canvas::label(
        ui,
        viewport.rect,
        to + vec2(6.0, 6.0),
        Align2::LEFT_TOP,
        &text,
    );
}

/// Turns a drag over the image into a line.
#[must_use]
pub fn interact(
    ui: &Ui,
    viewport: &Viewport,
    series: &TiltSeries,
    response: &Response,
) -> Option<LineWish> {
    if !response.dragged_by(egui::PointerButton::Primary) {
        return None;
    }
    let began = ui.input(|i| i.pointer.press_origin())?;
    let now = response.interact_pointer_pos()?;
    let ends = [began, now].map(|at| from_screen(viewport, series, at));
    Some(LineWish::Put(ends))
}
