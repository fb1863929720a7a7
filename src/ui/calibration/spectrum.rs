//! The spectrum of a crystal's image with its spots, and the Gaussian fit of one of them.

use crate::jobs::picture;
use crate::preprocess::calibrate::{SpotFit, power_about};
use crate::preprocess::{CrystalImage, ImageCalibration};
use crate::ui::panels::signed;
use crate::ui::state::ColorMap;
use crate::ui::theme;
use crate::ui::views::canvas::{Shading, shade};
use eframe::egui::{self, Align2, ColorImage, FontId, Rect, Stroke, Ui, pos2, vec2};
use ndarray::Array2;
use std::sync::Arc;

pub(super) struct Request {
    pub(super) images: Arc<Vec<CrystalImage>>,
    pub(super) image: usize,
    /// Highest frequency shown, cycles per pixel.
    pub(super) most: f64,
    pub(super) as_image: bool,
}

/// The part of the spectrum that was drawn: the frequencies (cycles per pixel) at its left, right, lower and upper edge.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shown {
    pub(super) edges: [f64; 4],
}

pub(super) struct ZoomRequest {
    pub(super) images: Arc<Vec<CrystalImage>>,
    pub(super) image: usize,
    pub(super) spot: SpotFit,
    pub(super) reach: [f64; 2],
}

/// The measured amplitude along the columns through the middle of the spot, over its largest.
#[derive(Debug, Clone, Default)]
pub(super) struct Profile(pub(super) Vec<f32>);

pub(super) const ZOOM_SAMPLES: usize = 49;
/// A spot is shown to this many of its widths on each side.
pub(super) const ZOOM_WIDTHS: f64 = 3.5;

/// Places of the spectrum on the screen.
pub(super) struct Marks {
    pub(super) place: Rect,
    pub(super) edges: [f64; 4],
}

impl Marks {
    /// A place of the spectrum, cycles per pixel along rows (down) and columns (right).
    pub(super) fn at(&self, [down, right]: [f64; 2]) -> egui::Pos2 {
        let [left, to, low, high] = self.edges;
        let across = (right - left) / (to - left);
        let up = (-down - low) / (high - low);
        pos2(
            self.place.left() + across as f32 * self.place.width(),
            self.place.bottom() - up as f32 * self.place.height(),
        )
    }

    pub(super) fn nearest(&self, fits: &[SpotFit], at: egui::Pos2) -> Option<usize> {
        let distance = |fit: &SpotFit| {
            let ends = [1.0, -1.0].map(|sign| self.at(fit.wave.map(|q| sign * q)).distance(at));
            ends[0].min(ends[1])
        };
        let order = |a: &usize, b: &usize| distance(&fits[*a]).total_cmp(&distance(&fits[*b]));
        (0..fits.len()).min_by(order)
    }

    pub(super) fn draw(&self, ui: &Ui, told: &ImageCalibration, chosen: usize) {
        let painter = ui.painter_at(self.place);
        for (index, fit) in told.fits.iter().enumerate() {
            let color = if index == chosen {
                theme::CROSSHAIR
            } else {
                theme::ACCENT
            };
            for sign in [1.0, -1.0] {
                let at = self.at(fit.wave.map(|q| sign * q));
                painter.circle_stroke(at, 7.0, Stroke::new(1.4, color));
            }
            let [h, k, l] = fit.hkl.map(|n| signed(f64::from(n), 0));
            let at = self.at(fit.wave) + vec2(0.0, 9.0);
            painter.text(
                at,
                Align2::CENTER_TOP,
                format!("{h} {k} {l}"),
                FontId::proportional(11.0),
                color,
            );
        }
        for wave in &told.others {
            for sign in [1.0, -1.0] {
                let at = self.at(wave.map(|q| sign * q));
                let stroke = Stroke::new(1.0, theme::ALARM.gamma_multiply(0.7));
                painter.circle_stroke(at, 4.0, stroke);
            }
        }
    }
}

/// Measured amplitude through the spot (dots) and the Gaussian (line).
pub(super) fn profile_ui(ui: &Ui, rect: Rect, profile: Option<&Profile>) {
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 2.0, ui.visuals().extreme_bg_color);
    let inner = rect.shrink(6.0);
    let at = |share: f32, height: f32| {
        pos2(
            inner.left() + share * inner.width(),
            inner.bottom() - height.clamp(0.0, 1.1) / 1.1 * inner.height(),
        )
    };
    let line: Vec<egui::Pos2> = (0..=60)
        .map(|k| {
            let share = k as f32 / 60.0;
            let x = (2.0 * share - 1.0) * ZOOM_WIDTHS as f32;
            at(share, (-0.5 * x * x).exp())
        })
        .collect();
    painter.line(line, Stroke::new(1.5, theme::ACCENT));
    let Some(Profile(values)) = profile else {
        return;
    };
    let last = values.len().saturating_sub(1).max(1) as f32;
    for (k, value) in values.iter().enumerate().step_by(2) {
        painter.circle_filled(at(k as f32 / last, *value), 1.8, ui.visuals().text_color());
    }
}

/// Rows run down in a file, the second axis of a picture up.
fn upright(image: &Array2<f32>) -> Array2<f32> {
    let (rows, columns) = image.dim();
    Array2::from_shape_fn((columns, rows), |(x, y)| image[[rows - 1 - y, x]])
}

pub(super) fn make(request: Request) -> (Shown, ColorImage) {
    let image = upright(&request.images[request.image].image);
    let shading = |picture: &Array2<f32>, percents| Shading {
        range: picture::percentiles(picture.iter(), percents),
        map: ColorMap::Grey,
        diverging: false,
    };
    if request.as_image {
        let shading = shading(&image, [0.5, 99.8]);
        return (Shown::default(), shade(&image, shading));
    }
    let power = picture::log_power(image.view());
    let (nx, ny) = power.dim();
    let part = |n: usize| {
        let reach = ((request.most * n as f64).ceil() as usize).clamp(1, n / 2);
        n / 2 - reach..(n / 2 + reach).min(n)
    };
    let (across, up) = (part(nx), part(ny));
    let frequency = |k: usize, n: usize| (k as f64 - 0.5 - (n / 2) as f64) / n as f64;
    let edges = [
        frequency(across.start, nx),
        frequency(across.end, nx),
        frequency(up.start, ny),
        frequency(up.end, ny),
    ];
    let seen = power.slice(ndarray::s![across, up]).to_owned();
    let shading = shading(&seen, [40.0, 99.97]);
    (Shown { edges }, shade(&seen, shading))
}

pub(super) fn make_zoom(request: ZoomRequest) -> (Profile, ColorImage) {
    let image = &request.images[request.image].image;
    let power = power_about(image.view(), request.spot.wave, request.reach, ZOOM_SAMPLES);
    let amplitude = power.mapv(f32::sqrt);
    let most = amplitude.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let middle = amplitude.column(ZOOM_SAMPLES / 2).mapv(|v| v / most);
    let shading = Shading {
        range: [0.0, most],
        map: ColorMap::Grey,
        diverging: false,
    };
    (Profile(middle.to_vec()), shade(&amplitude, shading))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_is_marked_where_the_spectrum_shows_it() {
        // A wave of 0.11 cycles per pixel down and 0.07 right.
        let wave = [0.11, 0.07];
        let image = Array2::from_shape_fn((128, 160), |(i, j)| {
            (std::f64::consts::TAU * (wave[0] * i as f64 + wave[1] * j as f64)).cos() as f32
        });
        let images = Arc::new(vec![CrystalImage {
            name: String::new(),
            image,
            nominal: 0.2,
            scan_rotation_deg: None,
        }]);
        let request = Request {
            images: Arc::clone(&images),
            image: 0,
            most: 0.2,
            as_image: false,
        };
        let (shown, picture) = make(request);
        let size = vec2(picture.size[0] as f32, picture.size[1] as f32);
        let marks = Marks {
            place: Rect::from_min_size(pos2(0.0, 0.0), size),
            edges: shown.edges,
        };
        let brightest = (0..picture.pixels.len())
            .max_by_key(|&k| picture.pixels[k].r())
            .unwrap();
        let seen = pos2(
            (brightest % picture.size[0]) as f32 + 0.5,
            (brightest / picture.size[0]) as f32 + 0.5,
        );
        let ends = [1.0, -1.0].map(|s| marks.at(wave.map(|q| s * q)).distance(seen));
        assert!(ends[0].min(ends[1]) < 1.0, "{ends:?}");
        // The zoom has its maximum in the middle.
        let width = [0.008; 2];
        let spot = SpotFit {
            hkl: [1, 1, 1],
            spacing: 3.1,
            wave,
            width,
            amplitude: 9.0,
            off: 0.0,
        };
        let reach = width.map(|w| ZOOM_WIDTHS * w);
        let (Profile(profile), _) = make_zoom(ZoomRequest {
            images,
            image: 0,
            spot,
            reach,
        });
        assert!(
            (profile[ZOOM_SAMPLES / 2] - 1.0).abs() < 0.02 && profile[0] < 0.2,
            "{profile:?}"
        );
    }
}
