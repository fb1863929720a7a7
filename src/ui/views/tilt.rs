//! The tilt view: the image as measured, as computed from the volume, their difference, or its spectrum; with the
//! tilt axis, its sense of rotation, and the projection of the crosshair.

use super::canvas::{self, Camera, Picture, Shading, Viewport, key, shade};
use crate::jobs::picture;
use crate::model::geometry::apply;
use crate::model::{TiltSeries, Volume, center_index};
use crate::preprocess::Prepared;
use crate::ui::actions::{Action, Actions};
use crate::ui::masking;
use crate::ui::measuring;
use crate::ui::state::{AppState, ColorMap, TiltPicture};
use crate::ui::theme;
use eframe::egui::{self, Align2, Color32, ColorImage, Rect, Sense, Stroke, Ui, pos2, vec2};
use ndarray::{Array2, Array3, ArrayView2, Axis};
use std::sync::Arc;

struct Request {
    series: Arc<TiltSeries>,
    /// The series before preparation.
    as_read: Option<Arc<TiltSeries>>,
    preparation: Option<Arc<Prepared>>,
    /// The shown tilt, denoised for a look.
    preview: Option<Arc<Array2<f32>>>,
    volume: Option<Arc<Volume>>,
    tilt: usize,
    what: TiltPicture,
    percentiles: [f32; 2],
    map: ColorMap,
}

/// What was shown: the range of the map and, for comparisons, the R of this tilt.
#[derive(Debug, Clone, Default)]
struct Shown {
    r: Option<f64>,
}

fn make(request: Request) -> (Shown, ColorImage) {
    let measured = request.series.image(request.tilt);
    let plain = Shading {
        // Measured and computed share one contrast, so that they can be compared by eye.
        range: picture::percentiles(measured.iter(), request.percentiles),
        map: request.map,
        diverging: false,
    };
    let own_range = |image: &Array2<f32>| Shading {
        range: picture::percentiles(image.iter(), request.percentiles),
        ..plain
    };
    let spectrum = |image: ArrayView2<'_, f32>| {
        let power = picture::log_power(image);
        let range = picture::percentiles(power.iter(), [30.0, 99.95]);
        shade(&power, Shading { range, ..plain })
    };
    let about_zero = |image: &Array2<f32>| {
        let [_, high] = picture::percentiles(image.mapv(f32::abs).iter(), [0.0, 99.5]);
        let shading = Shading {
            range: [-high, high],
            diverging: true,
            ..plain
        };
        shade(image, shading)
    };
    // What is not there is drawn as an empty image; the caption says what it needs.
    let nothing = || shade(&Array2::zeros(measured.dim()), plain);
    let image = match request.what {
        TiltPicture::Measured => Some(shade(&measured.to_owned(), plain)),
        TiltPicture::Fft => Some(spectrum(measured)),
        TiltPicture::Computed | TiltPicture::Difference => {
            if let Some(image) = request.computed() {
                let shown = Shown {
                    r: Some(r_factor(measured, &image)),
                };
                let picture = if request.what == TiltPicture::Computed {
                    shade(&image, plain)
                } else {
                    about_zero(&(&measured - &image))
                };
                return (shown, picture);
            }
            None
        }
        TiltPicture::AsRead => request.image_as_read().map(|image| {
            let image = image.to_owned();
            shade(&image, own_range(&image))
        }),
        TiltPicture::Registered => request
            .summed()
            .map(|image| shade(&image, own_range(&image))),
        TiltPicture::Denoised => request
            .denoised()
            .map(|image| shade(&image, own_range(&image))),
        TiltPicture::Level => request
            .level()
            .map(|image| shade(&image, own_range(&image))),
        TiltPicture::Background => request
            .background()
            .map(|image| shade(&image, own_range(&image))),
        TiltPicture::Preview => {
            request
                .preview
                .as_ref()
                .map(|image| match request.image_as_read() {
                    // The contrast of the raw image, so that only the noise goes when they blink.
                    Some(before) => shade(image, own_range(&before.to_owned())),
                    None => shade(image, own_range(image)),
                })
        }
        TiltPicture::RemovedNoise => request.removed_noise().map(|image| about_zero(&image)),
        TiltPicture::RemovedNoiseFft => request.removed_noise().map(|image| spectrum(image.view())),
    };
    (Shown::default(), image.unwrap_or_else(nothing))
}

/// Σ|computed − measured| / Σ|measured|.
fn r_factor(measured: ArrayView2<'_, f32>, computed: &Array2<f32>) -> f64 {
    let total: f64 = measured.iter().map(|v| f64::from(v.abs())).sum();
    let differ: f64 = measured
        .iter()
        .zip(computed)
        .map(|(a, b)| f64::from((b - a).abs()))
        .sum();
    differ / total.max(f64::MIN_POSITIVE)
}

impl Request {
    fn computed(&self) -> Option<Array2<f32>> {
        picture::computed(self.volume.as_deref()?, &self.series, self.tilt).ok()
    }

    fn image_as_read(&self) -> Option<ArrayView2<'_, f32>> {
        let series = self.as_read.as_ref()?;
        (self.tilt < series.len()).then(|| series.image(self.tilt))
    }

    fn of(&self, stack: &Array3<f32>) -> Option<Array2<f32>> {
        (self.tilt < stack.len_of(Axis(0))).then(|| stack.index_axis(Axis(0), self.tilt).to_owned())
    }

    fn background(&self) -> Option<Array2<f32>> {
        self.of(self.preparation.as_ref()?.background.as_ref()?)
    }

    fn summed(&self) -> Option<Array2<f32>> {
        self.of(self.preparation.as_ref()?.summed.as_ref()?)
    }

    fn denoised(&self) -> Option<Array2<f32>> {
        self.of(&self.preparation.as_ref()?.denoised.as_ref()?.images)
    }

    fn level(&self) -> Option<Array2<f32>> {
        let before = self.denoised().or_else(|| self.counted())?;
        let background = self.background()?;
        (before.dim() == background.dim()).then(|| before - background)
    }

    /// What the steps after the frames began with.
    fn counted(&self) -> Option<Array2<f32>> {
        let summed = self.summed();
        summed.or_else(|| self.image_as_read().map(|image| image.to_owned()))
    }

    fn removed_noise(&self) -> Option<Array2<f32>> {
        let looked_at = || self.preview.as_ref().map(|image| (**image).clone());
        let (before, after) = (self.counted()?, self.denoised().or_else(looked_at)?);
        (before.dim() == after.dim()).then(|| before - after)
    }
}

/// The tilt view's own state.
#[derive(Default)]
pub struct TiltView {
    camera: Camera,
    picture: Picture<Request, Shown>,
    /// The last place the view was asked to centre on.
    centered: u64,
}

impl TiltView {
    /// Draws the tilt and pushes what the user asked for.
    pub fn ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        let Some(series) = state
            .workspace
            .best_series()
            .filter(|series| !series.is_empty())
        else {
            canvas::empty(
                ui,
                "A tilt series fills this view: drop its files on the window",
            );
            return;
        };
        let rect = ui.available_rect_before_wrap();
        let response = ui.allocate_rect(rect, Sense::click_and_drag());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Tilt image"));
        ui.painter().rect_filled(rect, 0.0, theme::PICTURE);
        let tilt = state.view.tilt.min(series.len() - 1);
        let pixel = series.pixel_size.unwrap_or(1.0);
        let [nx, ny] = series.image_size();
        let low = [nx, ny].map(|n| (-(center_index(n) as f64) - 0.5) * pixel);
        let high = [low[0] + nx as f64 * pixel, low[1] + ny as f64 * pixel];
        let extent = [high[0] - low[0], high[1] - low[1]];
        if self.centered != state.view.centered {
            self.centered = state.view.centered;
            let rotation = series.angles[tilt].detector_from_sample();
            let [right, up, _] = apply(&rotation, state.view.crosshair);
            canvas::center_on(&mut self.camera, [right, up], extent);
        }
        let viewport = Viewport::new(rect, &self.camera, extent);
        // A nudge shows at once; the pixels follow when the hand rests.
        let nudge = state
            .nudges
            .wanted_px
            .get(&tilt)
            .copied()
            .unwrap_or_default();
        let nudged = |corner: [f64; 2]| [0, 1].map(|axis| corner[axis] + nudge[axis] * pixel);
        self.draw_picture(
            ui,
            state,
            series,
            tilt,
            viewport.rect_of(nudged(low), nudged(high)),
            &viewport,
        );
        if !state.view.tilt_picture.is_spectrum() {
            draw_axis(ui, &viewport, series, tilt);
            draw_drift(ui, &viewport, state, tilt);
            masking::draw(ui, &viewport, state, series, &response);
            measuring::draw(ui, &viewport, state, series);
            draw_crosshair(ui, &viewport, state, series, tilt);
            if series.pixel_size.is_some() {
                canvas::scale_bar(ui, &viewport);
            }
        }
        self.caption(ui, rect, state, series, tilt);
        if self.picture.is_waiting() {
            canvas::label(
                ui,
                rect,
                rect.center_top() + vec2(0.0, 8.0),
                Align2::CENTER_TOP,
                "computing…",
            );
        }
        canvas::navigate(ui, &response, &mut self.camera, &viewport);
        let edits_mask = masking::is_editing(state);
        if edits_mask {
            let wish = masking::interact(ui, &viewport, state, series, &response);
            actions.extend(wish.map(Action::Mask));
        } else if state.view.line.measuring && !state.view.tilt_picture.is_spectrum() {
            let wish = measuring::interact(ui, &viewport, series, &response);
            actions.extend(wish.map(Action::Line));
        } else if response.dragged_by(egui::PointerButton::Primary) {
            canvas::pan(&mut self.camera, &viewport, response.drag_delta());
        }
        if response.double_clicked() && !edits_mask {
            self.camera = Camera::default();
        }
        if response.hovered() {
            let wheel = ui.input(|i| {
                if i.modifiers.command || (edits_mask && i.modifiers.shift) {
                    0.0
                } else {
                    i.raw_scroll_y()
                }
            });
            if wheel != 0.0 {
                let next = tilt as isize + if wheel > 0.0 { 1 } else { -1 };
                let next = next.clamp(0, series.len() as isize - 1) as usize;
                actions.push(Action::ShowTilt(next));
            }
        }
    }

    fn draw_picture(
        &mut self,
        ui: &Ui,
        state: &AppState,
        series: &Arc<TiltSeries>,
        tilt: usize,
        place: Rect,
        viewport: &Viewport,
    ) {
        let view = &state.view;
        let volume = state.shown_volume();
        let compares = view.tilt_picture.needs_volume();
        let preview = state.preview.as_ref().filter(|p| p.tilt == tilt);
        let of = volume
            .filter(|_| compares)
            .map_or(0, |volume| Arc::as_ptr(volume) as usize);
        let key = key((
            Arc::as_ptr(series) as usize,
            (state.preparation.as_ref()).map_or(0, |p| Arc::as_ptr(p) as usize),
            preview.map_or(0, |p| Arc::as_ptr(&p.image) as usize),
            of,
            tilt,
            view.tilt_picture as u8,
            view.image_percentiles.map(f32::to_bits),
            view.density_map,
        ));
        let request = || Request {
            series: Arc::clone(series),
            as_read: state.workspace.series.clone(),
            preparation: state.preparation.clone(),
            preview: preview.map(|p| Arc::clone(&p.image)),
            volume: volume.filter(|_| compares).cloned(),
            tilt,
            what: view.tilt_picture,
            percentiles: view.image_percentiles,
            map: view.density_map,
        };
        if let Some(texture) = self.picture.update(ui.ctx(), "tilt", key, request, make) {
            let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            ui.painter_at(viewport.rect)
                .image(texture.id(), place, uv, Color32::WHITE);
        }
    }

    fn caption(&self, ui: &Ui, rect: Rect, state: &AppState, series: &TiltSeries, tilt: usize) {
        let what = match state.view.tilt_picture {
            TiltPicture::Measured if state.workspace.prepared.is_some() => "measured, prepared",
            TiltPicture::Measured => "measured",
            TiltPicture::Computed => "computed",
            TiltPicture::Difference => "measured − computed",
            TiltPicture::Fft => "power spectrum (log)",
            TiltPicture::Preview if state.preview.as_ref().is_some_and(|p| p.tilt == tilt) => {
                "denoised for a look"
            }
            TiltPicture::Preview => "not previewed: Preview this tilt is in Prepare",
            TiltPicture::AsRead => "as read, before preparation",
            TiltPicture::Registered => "frames registered and summed",
            TiltPicture::Denoised => "denoised",
            TiltPicture::Level => "without background, not moved yet",
            TiltPicture::Background => "background that was subtracted",
            TiltPicture::RemovedNoise => "noise that was removed",
            TiltPicture::RemovedNoiseFft => "power spectrum of the removed noise (log)",
        };
        let compares = state.view.tilt_picture.needs_volume();
        let mut text = what.to_owned();
        if compares && state.shown_volume().is_none() {
            text += " (needs a reconstruction)";
        } else if let Some(r) = self
            .picture
            .answer
            .as_ref()
            .and_then(|shown| shown.r)
            .filter(|_| compares)
        {
            text += &format!(", R {r:.4}");
        }
        if let Some([x, y]) = state.nudges.wanted_px.get(&tilt) {
            text += &format!(", moved by ({x:+.1}, {y:+.1}) px");
        }
        if !series.included.get(tilt).copied().unwrap_or(true) {
            text += ", left out";
        }
        canvas::label(
            ui,
            rect,
            rect.left_bottom() + vec2(8.0, -8.0),
            Align2::LEFT_BOTTOM,
            &text,
        );
    }
}

/// The tilt axis through the centre, and an arrow for the sense of a positive tilt: the upper half of the specimen
/// (towards the beam) moves to −x.
fn draw_axis(ui: &Ui, viewport: &Viewport, series: &TiltSeries, tilt: usize) {
    let painter = ui.painter_at(viewport.rect);
    let center = viewport.to_screen([0.0, 0.0]);
    let color = theme::ACCENT.gamma_multiply(0.8);
    let r = series.angles[tilt].detector_from_sample();
    // The sample's y axis as the detector sees it: φ turns the axis in the image.
    let axis = apply(&r, [0.0, 1.0, 0.0]);
    let direction = vec2(axis[0] as f32, -axis[1] as f32).normalized();
    let length = viewport.rect.height() * 0.5;
    for side in [-1.0, 1.0] {
        painter.extend(egui::Shape::dashed_line(
            &[center, center + side * length * direction],
            Stroke::new(1.0, color),
            6.0,
            5.0,
        ));
    }
    let theta = series.angles[tilt].theta;
    let sense = if theta < 0.0 { 1.0 } else { -1.0 };
    let tip = center + direction * (length * 0.82);
    let across = vec2(-direction.y, direction.x) * 26.0 * sense;
    if theta != 0.0 {
        painter.arrow(tip - across * 0.5, across, Stroke::new(1.6, color));
    }
    let sign = if theta < 0.0 { "−" } else { "+" };
    let text = format!("tilt axis, θ {sign}{:.1}°", theta.to_degrees().abs());
    canvas::label(
        ui,
        viewport.rect,
        tip + vec2(10.0, 12.0),
        Align2::LEFT_TOP,
        &text,
    );
}

/// How the specimen drifted from frame to frame of this tilt; the longest arrow of the series has always the same length.
fn draw_drift(ui: &Ui, viewport: &Viewport, state: &AppState, tilt: usize) {
    const LONGEST: f64 = 56.0;
    let drift = (state.preparation.as_ref()).and_then(|done| done.drift.as_ref());
    let Some((drift, own)) = drift.and_then(|drift| Some((drift, drift.tilts.get(tilt)?))) else {
        return;
    };
    let speed = |v: [f64; 2]| v[0].hypot(v[1]);
    let most = drift
        .tilts
        .iter()
        .map(|t| speed(t.px_per_frame))
        .fold(1e-9, f64::max);
    let [x, y] = own.px_per_frame.map(|v| (v / most * LONGEST) as f32);
    let middle = viewport.rect.left_bottom() + vec2(74.0, -84.0);
    let painter = ui.painter_at(viewport.rect);
    let arrow = vec2(x, -y);
    painter.arrow(middle - arrow * 0.5, arrow, Stroke::new(2.0, theme::ALARM));
    let text = own.angstrom_per_frame.map_or_else(
        || format!("drift {:.2} px/frame", speed(own.px_per_frame)),
        |v| format!("drift {:.2} Å/frame", speed(v)),
    );
    let below = middle + vec2(0.0, 0.5 * arrow.y.abs() + 8.0);
    canvas::label(ui, viewport.rect, below, Align2::CENTER_TOP, &text);
}

fn draw_crosshair(
    ui: &Ui,
    viewport: &Viewport,
    state: &AppState,
    series: &TiltSeries,
    tilt: usize,
) {
    let seen = apply(
        &series.angles[tilt].detector_from_sample(),
        state.view.crosshair,
    );
    let at = viewport.to_screen([seen[0], seen[1]]);
    let painter = ui.painter_at(viewport.rect);
    let stroke = Stroke::new(1.5, theme::CROSSHAIR.gamma_multiply(0.8));
    for arm in [vec2(1.0, 0.0), vec2(0.0, 1.0)] {
        painter.line_segment([at - arm * 9.0, at - arm * 3.0], stroke);
        painter.line_segment([at + arm * 3.0, at + arm * 9.0], stroke);
    }
}

/// The wheel's movement in this frame.
trait RawScroll {
    fn raw_scroll_y(&self) -> f32;
}

impl RawScroll for egui::InputState {
    fn raw_scroll_y(&self) -> f32 {
        self.events
            .iter()
            .filter_map(|event| match event {
                egui::Event::MouseWheel { delta, .. } => Some(delta.y),
                _ => None,
            })
            .sum()
    }
}
