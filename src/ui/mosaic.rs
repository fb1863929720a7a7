//! All images of the series side by side, or their power spectra: one glance finds the tilt that is out of place, a click
//! shows it.

use super::actions::{Action, Actions};
use super::state::{AppState, ColorMap};
use super::theme;
use super::views::canvas::{Picture, Shading, key, shade};
use crate::jobs::galleries;
use crate::model::TiltSeries;
use eframe::egui::{
    self, Align2, Color32, ColorImage, FontId, Rect, Sense, Stroke, Ui, pos2, vec2,
};
use std::sync::Arc;

/// Pixels of a tile's picture on a side at most.
const TILE_PX: usize = 160;
/// Room of a tile on the screen, and of its label.
const TILE: f32 = 108.0;
const LABEL: f32 = 16.0;
const GAP: f32 = 5.0;

struct Request {
    series: Arc<TiltSeries>,
    spectra: bool,
}

/// Tiles in the texture: in a row, and the size of one, pixels.
#[derive(Debug, Clone, Copy, Default)]
struct Tiles {
    columns: usize,
    count: usize,
    size: [usize; 2],
}

impl Tiles {
    /// Where a tile lies in the texture, in parts of it.
    fn part(&self, tile: usize) -> Rect {
        let rows = self.count.div_ceil(self.columns.max(1)).max(1) as f32;
        let columns = self.columns.max(1) as f32;
        let (column, row) = (tile % self.columns.max(1), tile / self.columns.max(1));
        Rect::from_min_size(
            pos2(column as f32 / columns, row as f32 / rows),
            vec2(1.0 / columns, 1.0 / rows),
        )
    }
}

fn make(request: Request) -> (Tiles, ColorImage) {
    let sheet = if request.spectra {
        galleries::spectra(&request.series)
    } else {
        galleries::projections(&request.series)
    };
    let count = sheet.panels.len();
    let columns = (count as f64).sqrt().ceil() as usize;
    let shading = Shading {
        range: sheet.density_range,
        map: ColorMap::Grey,
        diverging: false,
    };
    let pictures = sheet
        .panels
        .iter()
        .filter_map(|panel| panel.density.as_ref());
    let tiles: Vec<ColorImage> = pictures
        .map(|picture| {
            shade(
                &galleries::smaller(picture, TILE_PX, request.spectra),
                shading,
            )
        })
        .collect();
    let size = tiles.first().map_or([1, 1], |tile| tile.size);
    let rows = count.div_ceil(columns.max(1)).max(1);
    let whole = [size[0] * columns.max(1), size[1] * rows];
    let mut image = ColorImage::filled(whole, theme::PICTURE);
    for (k, tile) in tiles.iter().enumerate() {
        let corner = [(k % columns) * size[0], (k / columns) * size[1]];
        for row in 0..size[1] {
            let from = row * size[0];
            let to = (corner[1] + row) * whole[0] + corner[0];
            image.pixels[to..to + size[0]].copy_from_slice(&tile.pixels[from..from + size[0]]);
        }
    }
    (
        Tiles {
            columns,
            count,
            size,
        },
        image,
    )
}

/// The gallery's own state.
#[derive(Default)]
pub struct Mosaic {
    spectra: bool,
    as_read: bool,
    picture: Picture<Request, Tiles>,
}

impl Mosaic {
    /// Draws the window while it is open.
    pub fn ui(&mut self, ctx: &egui::Context, state: &AppState, actions: &mut Actions) {
        if !state.gallery {
            return;
        }
        let mut open = true;
        let room = ctx.content_rect().size();
        egui::Window::new("All tilts")
            .open(&mut open)
            .collapsible(false)
            .default_pos(pos2(160.0, 44.0))
            .default_size(vec2(
                (room.x - 520.0).max(600.0),
                (room.y - 140.0).max(400.0),
            ))
            .show(ctx, |ui| self.body_ui(ui, state, actions));
        if !open {
            actions.push(Action::ShowGallery(false));
        }
    }

    fn body_ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        let prepared = state.workspace.prepared.is_some();
        ui.horizontal(|ui| {
            ui.selectable_value(&mut self.spectra, false, "Images");
            ui.selectable_value(&mut self.spectra, true, "Power spectra");
            if prepared {
                ui.separator();
                ui.selectable_value(&mut self.as_read, true, "Before");
                ui.selectable_value(&mut self.as_read, false, "After");
            }
            ui.separator();
            let help = "Write this as one sheet: SVG or PNG, two columns wide";
            if ui.button("Export…").on_hover_text(help).clicked() {
                actions.push(Action::ExportGallery(self.spectra));
            }
        });
        let series = if self.as_read {
            state.workspace.series.as_ref()
        } else {
            state.workspace.best_series()
        };
        let Some(series) = series.filter(|series| !series.is_empty()) else {
            ui.weak("No tilt series is open");
            return;
        };
        let request = || Request {
            series: Arc::clone(series),
            spectra: self.spectra,
        };
        let key = key((Arc::as_ptr(series).addr(), self.spectra));
        let texture = self
            .picture
            .update(ui.ctx(), "mosaic", key, request, make)
            .map(egui::TextureHandle::id);
        let tiles = self.picture.answer.unwrap_or_default();
        if self.picture.is_waiting() {
            ui.weak("computing…");
        }
        egui::ScrollArea::vertical()
            .auto_shrink([false, false])
            .show(ui, |ui| {
                let columns = ((ui.available_width() / (TILE + GAP)) as usize).max(1);
                let rows = series.len().div_ceil(columns);
                let [w, h] = tiles.size.map(|n| n.max(1) as f32);
                let picture = vec2(w, h) * (TILE / w.max(h));
                let pitch = vec2(TILE + GAP, picture.y + LABEL + GAP);
                let size = vec2(columns as f32 * pitch.x, rows as f32 * pitch.y);
                let (rect, response) = ui.allocate_exact_size(size, Sense::click());
                let place = |tile: usize| {
                    let corner = vec2(
                        (tile % columns) as f32 * pitch.x,
                        (tile / columns) as f32 * pitch.y,
                    );
                    Rect::from_min_size(rect.min + corner, vec2(TILE, picture.y + LABEL))
                };
                for tilt in 0..series.len() {
                    let place = place(tilt);
                    if ui.is_rect_visible(place) {
                        tile_ui(
                            ui,
                            place,
                            picture,
                            texture.map(|id| (id, tiles.part(tilt))),
                            series,
                            tilt,
                            state,
                        );
                    }
                }
                let at = response
                    .interact_pointer_pos()
                    .filter(|_| response.clicked());
                let hit =
                    at.and_then(|at| (0..series.len()).find(|&tilt| place(tilt).contains(at)));
                actions.extend(hit.map(Action::ShowTilt));
            });
    }
}

fn tile_ui(
    ui: &Ui,
    place: Rect,
    picture: egui::Vec2,
    part: Option<(egui::TextureId, Rect)>,
    series: &TiltSeries,
    tilt: usize,
    state: &AppState,
) {
    let painter = ui.painter();
    let frame = Rect::from_min_size(place.min + vec2(0.5 * (TILE - picture.x), LABEL), picture);
    painter.rect_filled(frame, 0.0, theme::PICTURE);
    let included = series.included[tilt];
    if let Some((texture, part)) = part {
        let tint = if included {
            Color32::WHITE
        } else {
            Color32::from_gray(90)
        };
        painter.image(texture, frame, part, tint);
    }
    let shown = tilt == state.view.tilt;
    if shown {
        painter.rect_stroke(
            frame,
            0.0,
            Stroke::new(2.0, theme::CROSSHAIR),
            egui::StrokeKind::Outside,
        );
    }
    let theta = series.angles[tilt].theta.to_degrees();
    let sign = if theta < 0.0 { "−" } else { "+" };
    let out = if included { "" } else { ", out" };
    let text = format!("{}: {sign}{:.1}°{out}", tilt + 1, theta.abs());
    let color = if shown {
        ui.visuals().strong_text_color()
    } else {
        ui.visuals().text_color()
    };
    painter.text(
        place.min + vec2(2.0, 0.0),
        Align2::LEFT_TOP,
        text,
        FontId::proportional(12.0),
        color,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EulerAngles;
    use ndarray::Array3;

    #[test]
    fn every_tilt_has_its_tile() {
        let images = Array3::from_shape_fn((7, 20, 30), |(t, ..)| t as f32);
        let angles = vec![EulerAngles::default(); 7];
        let series = Arc::new(TiltSeries::new("steps", images, angles, Some(0.5)));
        let (tiles, image) = make(Request {
            series,
            spectra: false,
        });
        assert_eq!((tiles.columns, tiles.count, tiles.size), (3, 7, [20, 30]));
        assert_eq!(image.size, [60, 90]);
        let mut before = None;
        for tilt in 0..7 {
            let middle = tiles.part(tilt).center();
            let at = [(middle.x * 60.0) as usize, (middle.y * 90.0) as usize];
            let bright = image.pixels[at[1] * 60 + at[0]].r();
            assert!(
                before.is_none_or(|b| bright > b),
                "tilt {tilt} is brighter than the one before"
            );
            before = Some(bright);
        }
    }
}
