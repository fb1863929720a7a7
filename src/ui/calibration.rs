//! The pixel size from images of a known crystal: which images, what each says, the spots that it rests on, and the word
//! that gives the series the measured size.

mod spectrum;

use super::actions::{Action, Actions};
use super::app::App;
use super::dialogs::Ask;
use super::panels::form::Form;
use super::panels::{button_with_reason, fact, params, signed};
use super::state::{AppState, Severity};
use super::theme;
use super::views::canvas::{Picture, key};
use crate::jobs::Job;
use crate::preprocess::{CalibrateParams, Calibration, CrystalImage, ImageCalibration};
use eframe::egui::{self, Align2, Color32, FontId, Rect, RichText, Sense, Stroke, Ui, pos2, vec2};
use egui_extras::{Column, TableBuilder};
use spectrum::{
    Marks, Profile, Request, Shown, ZOOM_WIDTHS, ZoomRequest, make, make_zoom, profile_ui,
};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

static FORM: LazyLock<Form<CalibrateParams>> = LazyLock::new(|| Form::without(&[]));

/// What the user may want of a calibration.
#[derive(Debug, Clone)]
pub enum CalibrationWish {
    /// Show or hide its window.
    Show(bool),
    /// Choose images.
    Choose {
        /// By typing their paths.
        by_path: bool,
    },
    /// Change the crystal or how it is measured.
    Set(CalibrateParams),
    /// State the nominal pixel size, Å; `None` takes the files'.
    Nominal(Option<f64>),
    /// Measure.
    Run,
    /// Give the series the measured pixel size.
    Use,
}

/// A calibration on its way.
#[derive(Debug, Clone, Default)]
pub struct Calibrating {
    /// Whether its window is open.
    pub open: bool,
    /// The files with the images.
    pub files: Vec<PathBuf>,
    /// Nominal pixel size, Å, where the files do not say it.
    pub nominal: Option<f64>,
    /// The images as read.
    pub images: Option<Arc<Vec<CrystalImage>>>,
    /// What they say.
    pub found: Option<Arc<Calibration>>,
    /// Why the last attempt failed.
    pub fault: Option<String>,
}

impl Calibrating {
    /// Takes in what was measured.
    pub fn take(&mut self, images: Arc<Vec<CrystalImage>>, found: Arc<Calibration>) {
        self.images = Some(images);
        self.found = Some(found);
        self.fault = None;
        self.open = true;
    }
}

impl App {
    /// Does what is wanted of the calibration.
    pub(super) fn calibrate(&mut self, ctx: &egui::Context, wish: CalibrationWish) {
        let state = &mut self.state;
        match wish {
            CalibrationWish::Show(open) => state.calibrating.open = open,
            CalibrationWish::Choose { by_path: false } => {
                self.dialogs.open(ctx, Ask::CrystalImages)
            }
            CalibrationWish::Choose { by_path: true } => {
                self.dialogs.open_by_path(Ask::CrystalImages)
            }
            CalibrationWish::Set(params) => {
                state.workspace.project.parameters.calibrate = params;
                state.touch();
            }
            CalibrationWish::Nominal(nominal) => state.calibrating.nominal = nominal,
            CalibrationWish::Run => {
                let files = state.calibrating.files.clone();
                self.calibrate_on(files);
            }
            CalibrationWish::Use => {
                let Some(found) = state.calibrating.found.clone() else {
                    return;
                };
                if state.workspace.use_calibration(&found) {
                    state.touch();
                    let size = state.workspace.project.pixel_size.unwrap_or(f64::NAN);
                    state.say(Severity::Info, format!("the pixel size is {size:.5} Å now"));
                } else {
                    state.toast(Severity::Warning, "there is no series to give it to");
                }
            }
        }
    }

    /// Measures on these files.
    pub(super) fn calibrate_on(&mut self, files: Vec<PathBuf>) {
        let calibrating = &mut self.state.calibrating;
        if files.is_empty() {
            return;
        }
        calibrating.fault = None;
        calibrating.files = files;
        let job = Job::Calibrate {
            files: (calibrating.files.iter())
                .map(|path| path.display().to_string())
                .collect(),
            pixel_size: calibrating.nominal,
            params: self.state.workspace.project.parameters.calibrate.clone(),
        };
        self.submit(job);
    }
}

/// The window's own state.
#[derive(Default)]
pub struct CalibrationWindow {
    image: usize,
    spot: usize,
    as_image: bool,
    picture: Picture<Request, Shown>,
    zoom: Picture<ZoomRequest, Profile>,
}

impl CalibrationWindow {
    /// Draws the window while it is open.
    pub fn ui(&mut self, ctx: &egui::Context, state: &AppState, actions: &mut Actions) {
        if !state.calibrating.open {
            return;
        }
        let mut open = true;
        let room = ctx.content_rect().size() - vec2(60.0, 90.0);
        egui::Window::new("Calibrate pixel size")
            .open(&mut open)
            .collapsible(false)
            .resizable(false)
            .default_pos(pos2(160.0, 44.0))
            .show(ctx, |ui| {
                let side = (room.y - 40.0).clamp(360.0, 560.0);
                ui.horizontal_top(|ui| {
                    ui.vertical(|ui| {
                        ui.set_width(348.0);
                        self.left_ui(ui, state, actions);
                    });
                    ui.vertical(|ui| {
                        ui.set_width(side);
                        self.right_ui(ui, state, side);
                    });
                });
            });
        if !open {
            actions.push(Action::Calibration(CalibrationWish::Show(false)));
        }
    }

    fn left_ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        let calibrating = &state.calibrating;
        let mut wish = |wish| actions.push(Action::Calibration(wish));
        ui.horizontal(|ui| {
            if ui.button("Choose images…").clicked() {
                wish(CalibrationWish::Choose { by_path: false });
            }
            if ui
                .button("Path…")
                .on_hover_text("Type the paths instead")
                .clicked()
            {
                wish(CalibrationWish::Choose { by_path: true });
            }
            ui.weak(match calibrating.files.len() {
                0 => "of a known crystal".to_owned(),
                1 => file_name(&calibrating.files[0]),
                n => format!("{n} files"),
            });
        });
        let mut edited = state.workspace.project.parameters.calibrate.clone();
        if FORM.ui(ui, &mut edited) {
            wish(CalibrationWish::Set(edited));
        }
        let mut nominal = calibrating.nominal;
        let number = params::Number {
            range: 0.001..=100.0,
            speed: 0.0005,
            digits: 5,
            unit: "Å",
        };
        let help = "Nominal pixel size of the images; needed where the files do not say it";
        let start = (state.workspace.series.as_ref())
            .and_then(|s| s.nominal_pixel_size.or(s.pixel_size))
            .unwrap_or(0.2);
        if params::optional(
            ui,
            "Nominal size",
            help,
            &mut nominal,
            start,
            "from the files",
            number,
        ) {
            wish(CalibrationWish::Nominal(nominal));
        }
        ui.add_space(6.0);
        let runs = state
            .job
            .as_ref()
            .is_some_and(|job| job.title == "Calibrate");
        let enabled = match (runs, calibrating.files.is_empty()) {
            (true, _) => Err("is running".to_owned()),
            (_, true) => Err("choose images first".to_owned()),
            _ => Ok(()),
        };
        let text = if calibrating.found.is_some() {
            "Measure again"
        } else {
            "Measure"
        };
        let tooltip =
            "Find the crystal's spots in the spectrum of every image and fit its lattice to them";
        if button_with_reason(ui, text, tooltip, true, &enabled) {
            wish(CalibrationWish::Run);
        }
        if let Some(fault) = &calibrating.fault {
            let text = RichText::new(fault).color(ui.visuals().warn_fg_color);
            ui.add(egui::Label::new(text).wrap());
        }
        let Some(found) = &calibrating.found else {
            ui.add_space(6.0);
            ui.weak(
                "Several images at several scan rotations tell how far the result can be trusted.",
            );
            return;
        };
        ui.separator();
        self.result_ui(ui, state, found, actions);
        self.table_ui(ui, found);
    }

    fn result_ui(
        &mut self,
        ui: &mut Ui,
        state: &AppState,
        found: &Calibration,
        actions: &mut Actions,
    ) {
        if let (Some(size), Some(error)) = (found.calibrated, found.standard_error) {
            ui.label(
                RichText::new(format!("{size:.5} ± {error:.5} Å"))
                    .strong()
                    .size(18.0),
            )
            .on_hover_text("Mean and standard error over images and scan rotations");
        }
        let nominal = found
            .nominal
            .map_or_else(|| "several".to_owned(), |nominal| format!("{nominal:.5} Å"));
        fact(ui, "Nominal", nominal);
        let percent = 100.0 * (found.scale - 1.0);
        let error = 100.0 * found.scale_error;
        fact(
            ui,
            "Differs by",
            format!("{} ± {error:.3} %", signed(percent, 3)),
        );
        fact(
            ui,
            "From",
            format!(
                "{} images, {} scan rotations",
                found.images.len(),
                found.rotations
            ),
        );
        for why in &found.failed {
            ui.add(egui::Label::new(RichText::new(format!("Not used: {why}")).weak()).wrap());
        }
        let target = state.workspace.calibrated_by(found);
        let used = (state.workspace.project.calibration.as_ref()).is_some_and(|used| {
            target.is_some_and(|(size, _)| (used.pixel_size / size - 1.0).abs() < 1e-9)
        });
        let enabled = match (used, target) {
            (true, _) => Err("the series has it".to_owned()),
            (_, None) => Err("needs a tilt series".to_owned()),
            _ => Ok(()),
        };
        let tooltip = "Give the series its nominal pixel size times the measured scale; the nominal one is kept beside it";
        if button_with_reason(ui, "Use this pixel size", tooltip, false, &enabled) {
            actions.push(Action::Calibration(CalibrationWish::Use));
        }
        let own =
            (state.workspace.series.as_ref()).and_then(|s| s.nominal_pixel_size.or(s.pixel_size));
        if let (Some(own), Some((size, _))) = (own, target)
            && found
                .nominal
                .is_none_or(|nominal| (own / nominal - 1.0).abs() > 0.01)
        {
            let text = format!(
                "The series was taken at another magnification ({own:.5} Å): the same scale makes it {size:.5} Å, if \
                 the error is that of the scan and not of this magnification."
            );
            ui.add(egui::Label::new(RichText::new(text).weak()).wrap());
        }
        ui.add_space(4.0);
    }

    fn table_ui(&mut self, ui: &mut Ui, found: &Calibration) {
        self.image = self.image.min(found.images.len().saturating_sub(1));
        TableBuilder::new(ui)
            .id_salt("calibrated images")
            .striped(true)
            .max_scroll_height(190.0)
            .auto_shrink([false, true])
            .sense(Sense::click())
            .column(Column::exact(24.0))
            .column(Column::exact(64.0))
            .column(Column::exact(70.0))
            .column(Column::exact(40.0))
            .column(Column::remainder())
            .header(20.0, |mut header| {
                for (name, help) in [
                    ("#", "Image"),
                    ("Turn (°)", "Scan rotation as the file states it, else the direction of the crystal in the image"),
                    (
                        "Å/px",
                        "Pixel size with its error from the scatter of the spots",
                    ),
                    ("Spots", "Reflections of the crystal; ±g count once"),
                    (
                        "Drift (px)",
                        "Apparent drift during the image, along rows and columns",
                    ),
                ] {
                    header.col(|ui| {
                        ui.weak(name).on_hover_text(help);
                    });
                }
            })
            .body(|body| {
                body.rows(20.0, found.images.len(), |mut row| {
                    let index = row.index();
                    row.set_selected(index == self.image);
                    image_row(&mut row, index, &found.images[index]);
                    if row.response().clicked() {
                        (self.image, self.spot) = (index, 0);
                    }
                });
            });
    }

    fn right_ui(&mut self, ui: &mut Ui, state: &AppState, side: f32) {
        let calibrating = &state.calibrating;
        let (Some(images), Some(found)) = (&calibrating.images, &calibrating.found) else {
            let (rect, _) = ui.allocate_exact_size(vec2(side, side * 0.7), Sense::hover());
            ui.painter().rect_filled(rect, 2.0, theme::PICTURE);
            ui.painter().text(
                rect.center(),
                Align2::CENTER_CENTER,
                "The spectrum of the images and its spots appear here",
                FontId::proportional(13.0),
                ui.visuals().weak_text_color(),
            );
            return;
        };
        let Some(told) = found.images.get(self.image) else {
            return;
        };
        let Some(index) = images.iter().position(|image| image.name == told.name) else {
            return;
        };
        ui.horizontal(|ui| {
            ui.selectable_value(&mut self.as_image, false, "Spectrum");
            ui.selectable_value(&mut self.as_image, true, "Image");
            ui.add(egui::Label::new(RichText::new(&told.name).weak()).truncate());
        });
        let wide = side - 150.0;
        let (rect, response) = ui.allocate_exact_size(vec2(side, wide), Sense::click());
        response.widget_info(|| {
            egui::WidgetInfo::labeled(egui::Role::Image, true, "Spectrum of the crystal")
        });
        ui.painter().rect_filled(rect, 2.0, theme::PICTURE);
        let square = Rect::from_center_size(rect.center(), vec2(wide, wide));
        let outermost = told
            .fits
            .iter()
            .map(|fit| fit.wave[0].abs().max(fit.wave[1].abs()));
        let most = (1.25 * outermost.fold(0.02, f64::max)).min(0.5);
        let request = || Request {
            images: Arc::clone(images),
            image: index,
            most,
            as_image: self.as_image,
        };
        let key = key((
            Arc::as_ptr(images).addr(),
            index,
            self.as_image,
            most.to_bits(),
        ));
        if let Some(texture) = self.picture.update(ui.ctx(), "crystal", key, request, make) {
            let size = texture.size_vec2();
            let place = Rect::from_center_size(square.center(), size * (wide / size.max_elem()));
            let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            ui.painter_at(rect)
                .image(texture.id(), place, uv, Color32::WHITE);
            if let (false, false, Some(shown)) = (
                self.as_image,
                self.picture.is_waiting(),
                &self.picture.answer,
            ) {
                let clicked = response
                    .clicked()
                    .then(|| response.interact_pointer_pos())
                    .flatten();
                let marks = Marks {
                    place,
                    edges: shown.edges,
                };
                if let Some(at) = clicked {
                    self.spot = marks.nearest(&told.fits, at).unwrap_or(self.spot);
                }
                marks.draw(ui, told, self.spot);
            }
        }
        ui.add_space(4.0);
        self.spot_ui(ui, images, index, told);
    }

    /// The fit of the chosen spot.
    fn spot_ui(
        &mut self,
        ui: &mut Ui,
        images: &Arc<Vec<CrystalImage>>,
        index: usize,
        told: &ImageCalibration,
    ) {
        self.spot = self.spot.min(told.fits.len().saturating_sub(1));
        let Some(fit) = told.fits.get(self.spot).copied() else {
            return;
        };
        let reach = fit.width.map(|w| ZOOM_WIDTHS * w);
        let request = || ZoomRequest {
            images: Arc::clone(images),
            image: index,
            spot: fit,
            reach,
        };
        let key = key((
            Arc::as_ptr(images).addr(),
            index,
            fit.wave.map(f64::to_bits),
        ));
        ui.horizontal_top(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(104.0, 104.0), Sense::hover());
            ui.painter().rect_filled(rect, 2.0, theme::PICTURE);
            let texture = self.zoom.update(ui.ctx(), "spot", key, request, make_zoom);
            if let Some(texture) = texture {
                let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
                ui.painter_at(rect)
                    .image(texture.id(), rect, uv, Color32::WHITE);
                // One standard deviation of the fitted Gaussian.
                let radius = rect.size() * (0.5 / ZOOM_WIDTHS as f32);
                let stroke = Stroke::new(1.2, theme::ACCENT);
                ui.painter_at(rect)
                    .add(egui::Shape::ellipse_stroke(rect.center(), radius, stroke));
            }
            let (rect, _) = ui.allocate_exact_size(vec2(150.0, 104.0), Sense::hover());
            profile_ui(ui, rect, self.zoom.answer.as_ref());
            ui.vertical(|ui| {
                let [h, k, l] = fit.hkl.map(|n| signed(f64::from(n), 0));
                ui.label(RichText::new(format!("({h} {k} {l})")).strong());
                ui.label(format!(
                    "d {:.4} Å, {:.0} × noise",
                    fit.spacing, fit.amplitude
                ));
                let share = fit.off / (fit.width[0] + fit.width[1]) * 2.0;
                ui.label(format!("{:.3} widths off the lattice", share));
                ui.weak("Click a spot to see its fit");
            });
        });
    }
}

fn image_row(row: &mut egui_extras::TableRow<'_, '_>, index: usize, image: &ImageCalibration) {
    let [down, right] = image.drift_px_per_frame;
    let turn = image
        .scan_rotation_deg
        .unwrap_or(image.crystal_rotation_deg);
    let texts = [
        format!("{}", index + 1),
        signed(turn, 1),
        format!("{:.5}", image.pixel_size),
        format!("{}", image.spots),
        format!("{}, {}", signed(down, 2), signed(right, 2)),
    ];
    for (column, text) in texts.into_iter().enumerate() {
        row.col(|ui| {
            let label = ui.add(egui::Label::new(text).selectable(false));
            if column == 2 {
                label.on_hover_text(format!("± {:.5} Å", image.standard_error));
            }
        });
    }
}

fn file_name(path: &std::path::Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
