//! One tilt: measured, computed from the volume, their difference, or its power spectrum's place holder.

use super::colors::{diverging, of_map};
use super::slice::{centered, scale_bar};
use crate::jobs::latest::Latest;
use crate::model::geometry::apply;
use crate::model::{EulerAngles, TiltSeries, Volume};
use crate::monitor::Monitor;
use crate::ui::actions::{Action, Actions};
use crate::ui::state::{AppState, ColorMap, TiltPicture};
use eframe::egui::{self, Color32, Pos2, Rect, Sense, Stroke, TextureHandle, Ui};
use ndarray::Array2;
use std::sync::Arc;

/// Everything a picture is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Key {
    series: usize,
    volume: usize,
    tilt: usize,
    picture: TiltPicture,
    map: ColorMap,
    percentiles: [f32; 2],
}

struct Request {
    key: Key,
    series: Arc<TiltSeries>,
    volume: Option<Arc<Volume>>,
}

/// View state of the tilt view.
#[derive(Default)]
pub struct TiltView {
    maker: Option<Latest<Request, (Key, egui::ColorImage)>>,
    asked: Option<Key>,
    texture: Option<(Key, TextureHandle)>,
}

impl TiltView {
    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::click());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Tilt image"));
        let Some(series) = state.workspace.best_series().filter(|s| !s.is_empty()) else {
            centered(
                ui,
                rect,
                "The tilt images appear here once a series is open",
            );
            return;
        };
        let tilt = state.view.tilt.min(series.len() - 1);
        self.ask(ui, state, series, tilt);
        let [width, height] = series.image_size().map(|n| n as f32);
        let zoom = (rect.width() / width).min(rect.height() / height) * 0.96;
        let place = Rect::from_center_size(rect.center(), egui::vec2(width, height) * zoom);
        let painter = ui.painter_at(rect);
        if let Some((of, texture)) = &self.texture {
            // The last picture stays, dimmed, until the new one is there.
            let tint = if self.asked == Some(*of) {
                Color32::WHITE
            } else {
                Color32::from_gray(150)
            };
            let whole = Rect::from_min_max(Pos2::ZERO, egui::pos2(1.0, 1.0));
            painter.image(texture.id(), place, whole, tint);
        }
        if state.view.tilt_picture != TiltPicture::Fft {
            overlay(ui, &painter, place, zoom, state, series, tilt);
            if let Some(pixel_size) = series.pixel_size {
                scale_bar(&painter, rect, zoom / pixel_size as f32, ui);
            }
        }
        if !series.included[tilt] {
            painter.text(
                rect.left_top() + egui::vec2(10.0, 8.0),
                egui::Align2::LEFT_TOP,
                "left out",
                egui::FontId::proportional(13.0),
                ui.visuals().warn_fg_color,
            );
        }
        let scroll = ui.input(|i| i.smooth_scroll_delta().y);
        if response.hovered() && scroll.abs() > 1.0 {
            let next = tilt.saturating_add_signed(if scroll > 0.0 { 1 } else { -1 });
            actions.push(Action::ShowTilt(next));
        }
    }

    fn ask(&mut self, ui: &Ui, state: &AppState, series: &Arc<TiltSeries>, tilt: usize) {
        let volume = match state.view.tilt_picture {
            TiltPicture::Computed | TiltPicture::Difference => state.shown_volume().cloned(),
            _ => None,
        };
        let key = Key {
            series: Arc::as_ptr(series).addr(),
            volume: volume.as_ref().map_or(0, |v| Arc::as_ptr(v).addr()),
            tilt,
            picture: state.view.tilt_picture,
            map: state.view.density_map,
            percentiles: state.view.image_percentiles,
        };
        let ctx = ui.ctx();
        let maker = self.maker.get_or_insert_with(|| {
            let ctx = ctx.clone();
            Latest::new(
                "tilt-picture",
                move || ctx.request_repaint(),
                |request| make(&request),
            )
        });
        if self.asked != Some(key) {
            self.asked = Some(key);
            maker.ask(Request {
                key,
                series: Arc::clone(series),
                volume,
            });
        }
        if let Some((of, image)) = maker.poll() {
            let options = egui::TextureOptions::LINEAR;
            match &mut self.texture {
                Some((old, texture)) => {
                    texture.set(image, options);
                    *old = of;
                }
                None => self.texture = Some((of, ctx.load_texture("tilt", image, options))),
            }
        }
    }
}

/// Tilt axis, and where the crosshair is seen.
fn overlay(
    ui: &Ui,
    painter: &egui::Painter,
    place: Rect,
    zoom: f32,
    state: &AppState,
    series: &TiltSeries,
    tilt: usize,
) {
    let axis = Stroke::new(1.0, ui.visuals().hyperlink_color.gamma_multiply(0.5));
    let size = series.image_size();
    let center = egui::pos2(
        place.left() + (size[0] / 2) as f32 * zoom + 0.5 * zoom,
        place.bottom() - (size[1] / 2) as f32 * zoom - 0.5 * zoom,
    );
    painter.vline(center.x, place.y_range(), axis);
    painter.text(
        egui::pos2(center.x + 4.0, place.top() + 2.0),
        egui::Align2::LEFT_TOP,
        "tilt axis y",
        egui::FontId::proportional(11.0),
        axis.color,
    );
    let Some(pixel_size) = series.pixel_size else {
        return;
    };
    let angles: EulerAngles = series.angles[tilt];
    let seen = apply(&angles.detector_from_sample(), state.view.crosshair);
    let scale = zoom / pixel_size as f32;
    let at = center + egui::vec2(seen[0] as f32 * scale, -seen[1] as f32 * scale);
    let stroke = Stroke::new(1.0, ui.visuals().warn_fg_color.gamma_multiply(0.6));
    painter.hline(at.x - 9.0..=at.x + 9.0, at.y, stroke);
    painter.vline(at.x, at.y - 9.0..=at.y + 9.0, stroke);
}

fn make(request: &Request) -> (Key, egui::ColorImage) {
    let key = request.key;
    let measured = request.series.image(key.tilt).to_owned();
    let computed = request.volume.as_ref().and_then(|volume| {
        let angles = [request.series.angles[key.tilt]];
        let size = request.series.image_size();
        let images =
            crate::projection::linear::forward(volume, &angles, size, &Monitor::silent()).ok()?;
        Some(images.index_axis(ndarray::Axis(0), 0).to_owned())
    });
    let image = match (key.picture, computed) {
        (TiltPicture::Difference, Some(computed)) => {
            let difference = &measured - &computed;
            let mut sizes: Vec<f32> = difference.iter().map(|v| v.abs()).collect();
            let top = percentile(&mut sizes, 99.5).max(f32::MIN_POSITIVE);
            paint(&difference, |value| diverging(value / top))
        }
        (TiltPicture::Computed, Some(computed)) => scaled(&computed, &measured, &key),
        (TiltPicture::Fft, _) => {
            let spectrum = power_spectrum(&measured);
            scaled(&spectrum, &spectrum, &key)
        }
        _ => scaled(&measured, &measured, &key),
    };
    (key, image)
}

/// Log of the power spectrum, zero frequency in the middle.
fn power_spectrum(image: &Array2<f32>) -> Array2<f32> {
    use rustfft::num_complex::Complex32;
    let (nx, ny) = image.dim();
    let mean = image.mean().unwrap_or(0.0);
    let mut planner = rustfft::FftPlanner::new();
    let (along_y, along_x) = (planner.plan_fft_forward(ny), planner.plan_fft_forward(nx));
    let mut data = image.mapv(|v| Complex32::new(v - mean, 0.0));
    let mut line = Vec::new();
    for (lanes, fft) in [(ndarray::Axis(1), along_y), (ndarray::Axis(0), along_x)] {
        for mut lane in data.lanes_mut(lanes) {
            line.clear();
            line.extend(lane.iter().copied());
            fft.process(&mut line);
            for (to, from) in lane.iter_mut().zip(&line) {
                *to = *from;
            }
        }
    }
    Array2::from_shape_fn((nx, ny), |(x, y)| {
        let from = [(x + nx - nx / 2) % nx, (y + ny - ny / 2) % ny];
        (1.0 + data[from].norm_sqr()).ln()
    })
}

/// The image between the percentiles of `reference`.
fn scaled(image: &Array2<f32>, reference: &Array2<f32>, key: &Key) -> egui::ColorImage {
    let mut values: Vec<f32> = reference
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .collect();
    let low = percentile(&mut values, key.percentiles[0]);
    let high = percentile(&mut values, key.percentiles[1]);
    let scale = 1.0 / (high - low).max(f32::MIN_POSITIVE);
    paint(image, |value| of_map(key.map, (value - low) * scale))
}

fn percentile(values: &mut [f32], percent: f32) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let rank = ((values.len() - 1) as f32 * percent / 100.0).round() as usize;
    let rank = rank.min(values.len() - 1);
    *values.select_nth_unstable_by(rank, f32::total_cmp).1
}

/// x to the right, y up.
fn paint(image: &Array2<f32>, color: impl Fn(f32) -> Color32) -> egui::ColorImage {
    let (nx, ny) = image.dim();
    let mut pixels = Vec::with_capacity(nx * ny);
    for y in (0..ny).rev() {
        pixels.extend((0..nx).map(|x| color(image[[x, y]])));
    }
    egui::ColorImage::new([nx, ny], pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_has_its_two_spots_beside_the_middle() {
        let image = Array2::from_shape_fn((16, 12), |(x, _)| {
            (std::f32::consts::TAU * 3.0 * x as f32 / 16.0).cos()
        });
        let spectrum = power_spectrum(&image);
        let mut brightest: Vec<(usize, usize)> = spectrum
            .indexed_iter()
            .filter(|(_, v)| **v > 5.0)
            .map(|(index, _)| index)
            .collect();
        brightest.sort_unstable();
        assert_eq!(brightest, [(5, 6), (11, 6)]);
    }

    #[test]
    fn up_in_the_picture_is_up_in_y() {
        let mut image = Array2::zeros((3, 2));
        image[[2, 1]] = 1.0;
        let picture = paint(&image, |v| {
            if v > 0.0 {
                Color32::WHITE
            } else {
                Color32::BLACK
            }
        });
        assert_eq!(picture.size, [3, 2]);
        assert_eq!(picture.pixels[2], Color32::WHITE);
    }
}
