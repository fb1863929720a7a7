//! Questions about the series: where its pixel size comes from, counts along a line, all tilts at once, dose and detector.

use super::params;
use super::{command_button, compact_command, fact, name_cell, section};
use crate::model::TiltSeries;
use crate::preprocess::inspect::exposure;
use crate::project::report::exposure_rows;
use crate::ui::actions::{Action, Actions};
use crate::ui::measuring::LineWish;
use crate::ui::state::AppState;
use eframe::egui::{self, Ui};

/// All tilts at once, and a line over one.
pub fn inspect_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let line = &state.view.line;
    ui.horizontal(|ui| {
        compact_command(ui, state, actions, "tilt_gallery", "All tilts…");
        let button = egui::Button::selectable(line.measuring, "Measure a line");
        let help =
            "Drag a line over the image: its counts are plotted with the width of the highest peak";
        if ui.add(button).on_hover_text(help).clicked() {
            actions.push(Action::Line(LineWish::Measure(!line.measuring)));
        }
    });
    if !line.measuring && line.ends_px.is_none() {
        return;
    }
    ui.horizontal(|ui| {
        let label = name_cell(ui, "Line width");
        let mut width = line.width_px;
        let field = egui::DragValue::new(&mut width)
            .range(1.0..=200.0)
            .speed(0.1)
            .max_decimals(0)
            .suffix(" px");
        if ui.add(field).labelled_by(label.id).changed() {
            actions.push(Action::Line(LineWish::Width(width)));
        }
        let clear = ui.add_enabled(line.ends_px.is_some(), egui::Button::new("Clear"));
        if clear.clicked() {
            actions.push(Action::Line(LineWish::Clear));
        }
    });
}

/// Dose and detector, from what the microscope did.
pub fn exposure_ui(ui: &mut Ui, state: &AppState, series: &TiltSeries, actions: &mut Actions) {
    section(ui, "Dose and detector");
    let mut beam = state.workspace.project.parameters.beam.clone();
    let before = beam.clone();
    let scan = series.frames.as_ref().map(|frames| frames.scan);
    let dwell = scan
        .and_then(|scan| scan.dwell_us)
        .map_or("not stated", |_| "from the file");
    for (name, help, value, start, unstated, unit) in [
        (
            "Beam current",
            "Beam current",
            &mut beam.current_pa,
            10.0,
            "not stated",
            "pA",
        ),
        (
            "Dwell time",
            "Time the beam stays on a pixel in one frame",
            &mut beam.dwell_us,
            10.0,
            dwell,
            "µs",
        ),
        (
            "Inner angle",
            "Inner angle of the annular detector",
            &mut beam.inner_mrad,
            60.0,
            "not stated",
            "mrad",
        ),
        (
            "Convergence",
            "Convergence semi-angle of the beam",
            &mut beam.convergence_mrad,
            20.0,
            "not stated",
            "mrad",
        ),
    ] {
        let number = params::Number {
            range: 0.001..=1e6,
            speed: 0.1,
            digits: 3,
            unit,
        };
        params::optional(ui, name, help, value, start, unstated, number);
    }
    let own = series.frames.as_ref().map_or(1, |frames| frames.per_tilt);
    let mut frames = beam.frames.unwrap_or(own);
    let help = "Frames that every image is the sum of";
    if params::whole(ui, "Frames", help, &mut frames, own, 1..=10_000) {
        beam.frames = (frames != own).then_some(frames);
    }
    let found = exposure(series, &beam);
    let rows = exposure_rows(&found);
    if rows.is_empty() {
        ui.weak("Current, dwell time and pixel size give the dose; both angles name the detector.");
    }
    for (name, value) in rows {
        ui.horizontal_wrapped(|ui| {
            ui.weak(name);
            ui.label(value);
        });
    }
    if beam != before {
        actions.push(Action::SetBeam(beam));
    }
}

/// Where the pixel size comes from, and the way to measure it.
pub fn calibration_ui(ui: &mut Ui, state: &AppState, series: &TiltSeries, actions: &mut Actions) {
    if let Some(used) = &state.workspace.project.calibration {
        let (crystal, zone) = (&used.params.crystal, &used.params.zone);
        let error = used.standard_error;
        fact(
            ui,
            "Calibrated",
            format!("± {error:.5} Å on {crystal} [{zone}]"),
        );
    }
    if let Some(nominal) = series.nominal_pixel_size {
        ui.horizontal(|ui| {
            name_cell(ui, "Nominal");
            ui.label(format!("{nominal:.5} Å"));
            let back = ui
                .button("Use")
                .on_hover_text("Give the series its nominal pixel size back");
            back.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::Button, true, "Use nominal pixel size")
            });
            if back.clicked() {
                actions.push(Action::SetPixelSize(nominal));
            }
        });
    }
    command_button(ui, state, actions, "calibrate");
}
