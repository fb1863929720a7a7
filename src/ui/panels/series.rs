//! The tilt series: what was read, its pixel size and angles, and how an image is shown.

use super::inspect::{calibration_ui, exposure_ui, inspect_ui};
use super::{button_with_reason, command_button, fact, name_cell, section, signed};
use crate::model::{EulerAngles, TiltSeries};
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::state::{AppState, ColorMap, TiltPicture};
use eframe::egui::{self, RichText, Ui};
use egui_extras::{Column, TableBuilder};
use std::sync::Arc;

/// Counts of one image over its range, for the contrast.
#[derive(Default)]
struct Histogram {
    /// Series and tilt it was made of.
    of: (usize, usize),
    /// Value below which each percentile lies is found from these.
    counts: Vec<f32>,
    range: [f32; 2],
}

/// View state of the panel.
#[derive(Default)]
pub struct SeriesPanel {
    pixel_size: f64,
    by_r: bool,
    pasting: Option<String>,
    histogram: Histogram,
    dragged: usize,
}

impl SeriesPanel {
    /// Draws the panel.
    pub fn ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        let Some(series) = &state.workspace.series else {
            ui.label("No tilt series is open.");
            ui.weak(
                "Open projections and their angles, or drop both (or their folder) onto the window. \
                 They are paired by their counts.",
            );
            ui.add_space(8.0);
            command_button(ui, state, actions, "open");
            command_button(ui, state, actions, "demo");
            return;
        };
        summary(ui, series);
        self.pixel_size_ui(ui, series, actions);
        calibration_ui(ui, state, series, actions);
        section(ui, "Picture");
        picture_ui(ui, state, series, actions);
        self.contrast_ui(ui, state, series, actions);
        inspect_ui(ui, state, actions);
        section(ui, "Angles");
        self.angles_ui(ui, state, series, actions);
        section(ui, "Tilt axis and handedness");
        handedness_ui(ui, series, actions);
        exposure_ui(ui, state, series, actions);
        ui.add_space(8.0);
    }

    fn pixel_size_ui(&mut self, ui: &mut Ui, series: &TiltSeries, actions: &mut Actions) {
        match series.pixel_size {
            Some(pixel_size) => {
                let mut edited = pixel_size;
                ui.horizontal(|ui| {
                    let label = name_cell(ui, "Pixel size");
                    let field = egui::DragValue::new(&mut edited)
                        .range(0.01..=100.0)
                        .speed(0.0005)
                        .max_decimals(5)
                        .update_while_editing(false)
                        .suffix(" Å");
                    if ui.add(field).labelled_by(label.id).changed() {
                        actions.push(Action::SetPixelSize(edited));
                    }
                });
            }
            None => {
                ui.add_space(6.0);
                let frame = egui::Frame::group(ui.style())
                    .stroke(egui::Stroke::new(1.0, ui.visuals().warn_fg_color));
                frame.show(ui, |ui| {
                    ui.set_width(ui.available_width());
                    ui.strong("Pixel size needed");
                    ui.label("The files do not say it, and every length depends on it.");
                    ui.horizontal(|ui| {
                        let label = ui.label("Pixel size");
                        let field = egui::DragValue::new(&mut self.pixel_size)
                            .range(0.0..=100.0)
                            .speed(0.0005)
                            .max_decimals(5)
                            .suffix(" Å");
                        ui.add(field).labelled_by(label.id);
                        let enabled = if self.pixel_size > 0.0 {
                            Ok(())
                        } else {
                            Err("type it first".to_owned())
                        };
                        if button_with_reason(ui, "Use", "Use this pixel size", false, &enabled) {
                            actions.push(Action::SetPixelSize(self.pixel_size));
                        }
                    });
                });
            }
        }
    }

    fn contrast_ui(
        &mut self,
        ui: &mut Ui,
        state: &AppState,
        series: &Arc<TiltSeries>,
        actions: &mut Actions,
    ) {
        let tilt = state.view.tilt;
        let key = (Arc::as_ptr(series).addr(), tilt);
        if self.histogram.of != key || self.histogram.counts.is_empty() {
            self.histogram = histogram_of(series, tilt, key);
        }
        let [low, high] = state.view.image_percentiles;
        let size = egui::vec2(ui.available_width() - 4.0, 56.0);
        let (rect, response) = ui.allocate_exact_size(size, egui::Sense::click_and_drag());
        response.widget_info(|| {
            egui::WidgetInfo::labeled(egui::Role::Slider, true, "Contrast of the images")
        });
        let histogram = &self.histogram;
        paint_histogram(ui, rect, histogram);
        let marks = [histogram.position_of(low), histogram.position_of(high)];
        let stroke = egui::Stroke::new(1.5, ui.visuals().selection.stroke.color);
        for mark in marks {
            ui.painter()
                .vline(rect.left() + mark * rect.width(), rect.y_range(), stroke);
        }
        if let Some(pointer) = response.interact_pointer_pos() {
            let at = ((pointer.x - rect.left()) / rect.width()).clamp(0.0, 1.0);
            if response.drag_started() || response.clicked() {
                self.dragged = usize::from((at - marks[1]).abs() < (at - marks[0]).abs());
            }
            let percentile = histogram.percentile_at(at);
            let limits = match self.dragged {
                0 => [percentile.min(high - 0.1), high],
                _ => [low, percentile.max(low + 0.1)],
            };
            actions.push(Action::View(ViewChange::ImagePercentiles(limits)));
        }
        if response.double_clicked() {
            let limits = crate::ui::state::ViewState::default().image_percentiles;
            actions.push(Action::View(ViewChange::ImagePercentiles(limits)));
        }
        response.on_hover_text("Drag the two lines; double-click puts them back");
        ui.weak(format!("Contrast: {low:.1} to {high:.1} % of the counts"));
    }

    fn angles_ui(
        &mut self,
        ui: &mut Ui,
        state: &AppState,
        series: &TiltSeries,
        actions: &mut Actions,
    ) {
        ui.horizontal(|ui| {
            let paste = ui.button("Paste table…").on_hover_text(
                "Paste one column (θ) or three (φ, θ, ψ) in degrees, a line per image",
            );
            if paste.clicked() {
                self.pasting = Some(String::new());
            }
            if ui
                .button("Copy")
                .on_hover_text("Copy φ, θ, ψ of every image as a table")
                .clicked()
            {
                actions.push(Action::Copy(table_text(&series.angles)));
            }
            ui.checkbox(&mut self.by_r, "Worst R first");
        });
        self.paste_ui(ui, series, actions);
        let r = state
            .live
            .iterations
            .last()
            .map(|i| Arc::clone(&i.r1_per_tilt));
        let r_of_tilt = r_by_tilt(series, r.as_deref());
        let mut order: Vec<usize> = (0..series.len()).collect();
        if self.by_r {
            order.sort_by(|&a, &b| {
                let worth = |i: usize| r_of_tilt[i].unwrap_or(-1.0);
                worth(b).total_cmp(&worth(a))
            });
        }
        ui.add_space(2.0);
        let text_height = 27.0;
        TableBuilder::new(ui)
            .id_salt("angles")
            .striped(true)
            .vscroll(true)
            .min_scrolled_height(180.0)
            .max_scroll_height(260.0)
            .auto_shrink([false, true])
            .cell_layout(egui::Layout::left_to_right(egui::Align::Center))
            .sense(egui::Sense::click())
            .column(Column::exact(30.0))
            .column(Column::exact(18.0))
            .columns(Column::exact(54.0), 3)
            .column(Column::remainder().at_least(36.0))
            .header(18.0, |mut header| {
                for name in ["#", "", "φ (°)", "θ (°)", "ψ (°)", "R1"] {
                    header.col(|ui| {
                        ui.weak(name);
                    });
                }
            })
            .body(|body| {
                body.rows(text_height, order.len(), |mut row| {
                    let tilt = order[row.index()];
                    row.set_selected(tilt == state.view.tilt);
                    angle_row(&mut row, series, tilt, r_of_tilt[tilt], actions);
                });
            });
    }

    fn paste_ui(&mut self, ui: &mut Ui, series: &TiltSeries, actions: &mut Actions) {
        let Some(text) = &mut self.pasting else {
            return;
        };
        let label = ui.weak("One angle θ, or φ θ ψ, per line, in degrees");
        ui.add(
            egui::TextEdit::multiline(text)
                .desired_rows(4)
                .desired_width(f32::INFINITY)
                .font(egui::TextStyle::Monospace),
        )
        .labelled_by(label.id);
        let read = parse_angles(text, series.len());
        let mut closes = false;
        ui.horizontal(|ui| {
            let enabled = read.as_ref().map(|_| ()).map_err(Clone::clone);
            if ui.button("Cancel").clicked() {
                closes = true;
            }
            if button_with_reason(
                ui,
                "Use angles",
                "Use these angles for every image",
                false,
                &enabled,
            ) && let Ok(angles) = read
            {
                actions.push(Action::SetAllAngles(angles));
                closes = true;
            }
        });
        if closes {
            self.pasting = None;
        }
    }
}

fn summary(ui: &mut Ui, series: &TiltSeries) {
    let [x, y] = series.image_size();
    let included = series.included_tilts();
    ui.label(RichText::new(&series.name).strong());
    let tilts = if included.len() == series.len() {
        format!("{}", series.len())
    } else {
        format!("{} of {}", included.len(), series.len())
    };
    fact(ui, "Tilts", tilts);
    fact(ui, "Image", format!("{x} × {y} px"));
    let thetas = || {
        included
            .iter()
            .map(|&i| series.angles[i].theta.to_degrees())
    };
    let (low, high) = thetas().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), t| {
        (low.min(t), high.max(t))
    });
    if low <= high {
        let kind = if series.is_single_axis() {
            ""
        } else {
            ", three Euler angles"
        };
        fact(
            ui,
            "θ range",
            format!("{}° to {}°{kind}", signed(low, 1), signed(high, 1)),
        );
        fact(
            ui,
            "Missing wedge",
            format!("{:.1}°", (180.0 - (high - low)).max(0.0)),
        );
    }
}

fn picture_ui(ui: &mut Ui, state: &AppState, series: &TiltSeries, actions: &mut Actions) {
    let view = &state.view;
    ui.horizontal(|ui| {
        for (picture, text) in [
            (TiltPicture::Measured, "Measured"),
            (TiltPicture::Computed, "Computed"),
            (TiltPicture::Difference, "Difference"),
            (TiltPicture::Fft, "FFT"),
        ] {
            let there = !picture.needs_volume() || state.shown_volume().is_some();
            let button = egui::Button::selectable(view.tilt_picture == picture, text);
            let response = ui.add_enabled(there, button);
            if response.clicked() {
                actions.push(Action::View(ViewChange::TiltPicture(picture)));
            }
            response.on_disabled_hover_text("There is no volume to project yet");
        }
    });
    ui.horizontal(|ui| {
        let label = name_cell(ui, "Tilt");
        let mut shown = view.tilt + 1;
        ui.spacing_mut().slider_width = 96.0;
        let slider = egui::Slider::new(&mut shown, 1..=series.len().max(1));
        if ui.add(slider).labelled_by(label.id).changed() {
            actions.push(Action::ShowTilt(shown - 1));
        }
    });
    ui.horizontal(|ui| {
        name_cell(ui, "");
        let text = if view.playing { "Stop" } else { "Play" };
        if ui
            .button(text)
            .on_hover_text("Run through the tilt images (L)")
            .clicked()
        {
            actions.push(Action::View(ViewChange::Playing(!view.playing)));
        }
        if let Some(&included) = series.included.get(view.tilt) {
            let mut ticked = included;
            let tick = ui.checkbox(&mut ticked, "Use this tilt");
            if tick.changed() {
                actions.push(Action::IncludeTilt(view.tilt, ticked));
            }
        }
    });
    ui.horizontal(|ui| {
        name_cell(ui, "Colours");
        if let Some(map) = color_map_choice(ui, "density map", view.density_map) {
            actions.push(Action::View(ViewChange::DensityMap(map)));
        }
    });
}

/// A choice of colour maps; gives the new one.
pub fn color_map_choice(ui: &mut Ui, id: &str, shown: ColorMap) -> Option<ColorMap> {
    let mut chosen = shown;
    egui::ComboBox::from_id_salt(id)
        .width(104.0)
        .selected_text(format!("{shown:?}"))
        .show_ui(ui, |ui| {
            for map in [
                ColorMap::Grey,
                ColorMap::Viridis,
                ColorMap::Cividis,
                ColorMap::Inferno,
                ColorMap::Magma,
                ColorMap::Plasma,
            ] {
                ui.selectable_value(&mut chosen, map, format!("{map:?}"));
            }
        })
        .response
        .widget_info(|| {
            egui::WidgetInfo::labeled(egui::Role::ComboBox, true, format!("Colours: {shown:?}"))
        });
    (chosen != shown).then_some(chosen)
}

fn handedness_ui(ui: &mut Ui, series: &TiltSeries, actions: &mut Actions) {
    ui.label(if series.is_single_axis() {
        "With one tilt axis, reversed angles give the mirror image of the volume with the same R1: only something of \
         known handedness tells which is right."
    } else {
        "Reverse the angles and reconstruct again: with three Euler angles the wrong sense fits worse, so the lower R1 \
         is right."
    });
    ui.add_space(2.0);
    if ui
        .button("Reverse tilt angles")
        .on_hover_text("Change the sign of θ of every tilt; press again to go back")
        .clicked()
    {
        actions.push(Action::MirrorAngles);
    }
    ui.weak("Tilt axis: y (up in the image); θ > 0 takes +z towards −x.");
    ui.add_space(2.0);
    if ui
        .button("Exchange x and y")
        .on_hover_text(
            "For a series whose tilt axis lies along x of the images; press again to go back. What was made of the \
             series becomes outdated.",
        )
        .clicked()
    {
        actions.push(Action::ExchangeAxes);
    }
}

fn angle_row(
    row: &mut egui_extras::TableRow<'_, '_>,
    series: &TiltSeries,
    tilt: usize,
    r: Option<f64>,
    actions: &mut Actions,
) {
    row.col(|ui| {
        ui.label(format!("{}", tilt + 1));
    });
    row.col(|ui| {
        let mut ticked = series.included[tilt];
        let tick = ui
            .add(egui::Checkbox::without_text(&mut ticked))
            .on_hover_text("Whether this tilt takes part");
        tick.widget_info(|| {
            egui::WidgetInfo::selected(
                egui::Role::CheckBox,
                true,
                series.included[tilt],
                format!("Use tilt {}", tilt + 1),
            )
        });
        if tick.changed() {
            actions.push(Action::IncludeTilt(tilt, ticked));
        }
    });
    let degrees = series.angles[tilt].to_deg();
    for axis in 0..3 {
        row.col(|ui| {
            let mut edited = degrees;
            let field = egui::DragValue::new(&mut edited[axis])
                .speed(0.05)
                .fixed_decimals(2)
                .update_while_editing(false);
            let field = ui.add(field);
            field.widget_info(|| {
                let name = ["phi", "theta", "psi"][axis];
                egui::WidgetInfo::labeled(
                    egui::Role::SpinButton,
                    true,
                    format!("{name} of tilt {}", tilt + 1),
                )
            });
            if field.changed() {
                let angles = EulerAngles::from_deg(edited[0], edited[1], edited[2]);
                actions.push(Action::SetAngles(tilt, angles));
            }
        });
    }
    row.col(|ui| {
        ui.label(r.map_or_else(String::new, |r| format!("{r:.3}")));
    });
    if row.response().clicked() {
        actions.push(Action::ShowTilt(tilt));
    }
}

/// R of each tilt of the series, from R of its included tilts.
fn r_by_tilt(series: &TiltSeries, r: Option<&[f64]>) -> Vec<Option<f64>> {
    let mut all = vec![None; series.len()];
    let included = series.included_tilts();
    if let Some(r) = r.filter(|r| r.len() == included.len()) {
        for (&tilt, &value) in included.iter().zip(r) {
            all[tilt] = Some(value);
        }
    }
    all
}

fn table_text(angles: &[EulerAngles]) -> String {
    angles
        .iter()
        .map(|a| {
            let [phi, theta, psi] = a.to_deg();
            format!("{phi:.4}\t{theta:.4}\t{psi:.4}\n")
        })
        .collect()
}

/// Angles from pasted text: one column (θ) or three (φ, θ, ψ), in degrees; as many lines as images.
fn parse_angles(text: &str, images: usize) -> Result<Vec<EulerAngles>, String> {
    let mut angles = Vec::new();
    for (line_index, line) in text.lines().enumerate() {
        let numbers: Result<Vec<f64>, _> = line
            .split([',', ';', '\t', ' '])
            .filter(|part| !part.is_empty())
            .map(|part| part.replace('−', "-").parse::<f64>())
            .collect();
        let numbers = numbers
            .map_err(|_| format!("line {}: expected numbers, found {line:?}", line_index + 1))?;
        match numbers.as_slice() {
            [] => {}
            [theta] => angles.push(EulerAngles::from_tilt_deg(*theta)),
            [phi, theta, psi] => angles.push(EulerAngles::from_deg(*phi, *theta, *psi)),
            other => {
                return Err(format!(
                    "line {}: expected 1 or 3 numbers, found {}",
                    line_index + 1,
                    other.len()
                ));
            }
        }
    }
    if angles.len() != images {
        return Err(format!("expected {images} lines, found {}", angles.len()));
    }
    Ok(angles)
}

impl Histogram {
    /// Where (0–1 of the width) a percentile lies.
    fn position_of(&self, percentile: f32) -> f32 {
        let total: f32 = self.counts.iter().sum();
        let wanted = total * percentile / 100.0;
        let mut sum = 0.0;
        for (bin, &count) in self.counts.iter().enumerate() {
            if sum + count >= wanted && count > 0.0 {
                let inside = ((wanted - sum) / count).clamp(0.0, 1.0);
                return (bin as f32 + inside) / self.counts.len() as f32;
            }
            sum += count;
        }
        1.0
    }

    /// Percentile of a place (0–1 of the width).
    fn percentile_at(&self, position: f32) -> f32 {
        let total: f32 = self.counts.iter().sum::<f32>().max(1.0);
        let at = position * self.counts.len() as f32;
        let whole = (at.floor() as usize).min(self.counts.len());
        let below: f32 = self.counts[..whole].iter().sum();
        let part = self.counts.get(whole).map_or(0.0, |c| c * at.fract());
        100.0 * (below + part) / total
    }
}

fn histogram_of(series: &TiltSeries, tilt: usize, of: (usize, usize)) -> Histogram {
    const BINS: usize = 96;
    let mut histogram = Histogram {
        of,
        counts: vec![0.0; BINS],
        range: [0.0, 1.0],
    };
    if tilt >= series.len() {
        return histogram;
    }
    let image = series.image(tilt);
    let values = || image.iter().copied().filter(|v| v.is_finite());
    let (low, high) = values().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    if low < high {
        let scale = BINS as f32 / (high - low);
        for value in values() {
            histogram.counts[(((value - low) * scale) as usize).min(BINS - 1)] += 1.0;
        }
        histogram.range = [low, high];
    }
    histogram
}

fn paint_histogram(ui: &Ui, rect: egui::Rect, histogram: &Histogram) {
    let visuals = ui.visuals();
    ui.painter()
        .rect_filled(rect, 2.0, visuals.extreme_bg_color);
    let tallest = histogram.counts.iter().fold(1.0_f32, |a, &b| a.max(b));
    let width = rect.width() / histogram.counts.len().max(1) as f32;
    for (bin, &count) in histogram.counts.iter().enumerate() {
        // The root keeps the few bright pixels visible beside the background.
        let height = (count / tallest).sqrt() * (rect.height() - 2.0);
        let left = rect.left() + bin as f32 * width;
        let bar = egui::Rect::from_min_max(
            egui::pos2(left, rect.bottom() - height),
            egui::pos2(left + width, rect.bottom()),
        );
        ui.painter()
            .rect_filled(bar, 0.0, visuals.weak_text_color());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_angles_have_one_or_three_columns_and_a_line_per_image() {
        let one = parse_angles("-70\n−35.5\n 0 \n", 3).unwrap();
        assert!((one[1].theta.to_degrees() + 35.5).abs() < 1e-12);
        let three = parse_angles("1, 2, 3\n4\t5\t6", 2).unwrap();
        assert!((three[1].psi.to_degrees() - 6.0).abs() < 1e-12);
        assert!(parse_angles("1 2", 1).unwrap_err().contains("1 or 3"));
        assert!(parse_angles("1\n2", 3).unwrap_err().contains("expected 3"));
        assert!(parse_angles("up", 1).unwrap_err().contains("line 1"));
    }

    #[test]
    fn copied_angles_paste_back() {
        let angles = vec![
            EulerAngles::from_deg(1.0, -60.25, 0.5),
            EulerAngles::from_deg(0.0, 0.0, 0.0),
        ];
        let back = parse_angles(&table_text(&angles), 2).unwrap();
        for (a, b) in angles.iter().zip(&back) {
            assert!((a.theta - b.theta).abs() < 1e-6);
        }
    }

    #[test]
    fn percentiles_and_places_are_inverse() {
        let histogram = Histogram {
            counts: vec![1.0, 3.0, 4.0, 2.0],
            ..Histogram::default()
        };
        for percentile in [5.0, 25.0, 60.0, 95.0] {
            let back = histogram.percentile_at(histogram.position_of(percentile));
            assert!((back - percentile).abs() < 1e-3, "{percentile} {back}");
        }
    }
}
