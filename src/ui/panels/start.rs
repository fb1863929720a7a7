//! The first thing seen: what can be opened, a demo, recent projects; and what a drop would do.

use crate::jobs::OpenHints;
use crate::ui::actions::{Action, Actions};
use crate::ui::state::AppState;
use eframe::egui::{self, Align2, RichText, Ui};
use std::path::{Path, PathBuf};

/// Draws the start page.
pub fn ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let height = ui.available_height();
    ui.vertical_centered(|ui| {
        ui.add_space((height * 0.5 - 230.0).max(12.0));
        ui.label(RichText::new("Aetlas").size(34.0).strong());
        ui.label(
            RichText::new("From a tilt series to atoms in 3D")
                .size(15.0)
                .weak(),
        );
        ui.add_space(24.0);
        let entry = |ui: &mut Ui, text: &str, hint: &str| {
            let button =
                egui::Button::new(RichText::new(text).size(15.0)).min_size(egui::vec2(320.0, 40.0));
            let clicked = ui.add(button).clicked();
            ui.label(RichText::new(hint).weak());
            ui.add_space(12.0);
            clicked
        };
        if entry(
            ui,
            "Open tilt series…",
            "Projections with their angles: .mat, .mrc, .tif, .npy and .tlt, .txt, .csv",
        ) {
            actions.push(Action::OpenDialog);
        }
        if entry(
            ui,
            "Open model or volume…",
            "Atoms (.xyz) or a reconstructed volume",
        ) {
            actions.push(Action::OpenDialog);
        }
        if entry(
            ui,
            "Demo particle",
            "A partially oxidised Zr particle of 3 nm, simulated and taken down the whole road",
        ) {
            actions.push(Action::Demo);
        }
        ui.horizontal(|ui| {
            // Two small ways in, centred by hand: a horizontal row has no centre.
            let width = 210.0;
            ui.add_space((ui.available_width() - width).max(0.0) * 0.5);
            if ui.link("Open a folder…").clicked() {
                actions.push(Action::OpenFolderDialog);
            }
            ui.add_space(12.0);
            if ui.link("Type a path…").clicked() {
                actions.push(Action::OpenByPath);
            }
        });
        recent_ui(ui, &state.recent, actions);
        ui.add_space(16.0);
        ui.weak("or drop files or a folder anywhere on this window");
    });
}

fn recent_ui(ui: &mut Ui, recent: &[PathBuf], actions: &mut Actions) {
    if recent.is_empty() {
        return;
    }
    ui.add_space(18.0);
    ui.strong("Recent projects");
    for path in recent.iter().take(6) {
        let stem = |path: &Path| {
            path.file_stem()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        };
        let mut name = stem(path);
        // Projects of one name are told apart by their folders.
        if recent.iter().filter(|other| stem(other) == name).count() > 1
            && let Some(folder) = path.parent()
        {
            name = format!("{}/{name}", stem(folder));
        }
        if ui
            .link(name)
            .on_hover_text(path.display().to_string())
            .clicked()
        {
            actions.push(Action::Open(vec![path.clone()], OpenHints::default()));
        }
    }
}

/// What opening these files would do, in words.
#[must_use]
pub fn what_a_drop_does(paths: &[PathBuf]) -> String {
    let ending = |path: &Path| {
        path.extension()
            .map(|end| end.to_string_lossy().to_lowercase())
            .unwrap_or_default()
    };
    let count = |endings: &[&str]| {
        paths
            .iter()
            .filter(|path| endings.contains(&ending(path).as_str()))
            .count()
    };
    let projects = count(&["aetlas"]);
    let images = count(&[
        "mat", "mrc", "st", "ali", "rec", "map", "tif", "tiff", "npy", "npz", "mrcs",
    ]);
    let angles = count(&["tlt", "rawtlt", "mdoc"]);
    let tables = count(&["txt", "csv"]);
    let models = count(&["xyz", "extxyz"]);
    let folders = count(&[""]);
    match (projects, images, angles + tables, models, folders) {
        (0, 0, 0, 0, 0) => "None of these files is of a kind Aetlas reads".to_owned(),
        (1.., ..) => "Open the project in place of what is there".to_owned(),
        (0, 0, 0, 0, _) => "Look through the folder for projections and their angles".to_owned(),
        (0, 0, 0, n, _) => match n {
            1 => "Open the model".to_owned(),
            n => format!("Open {n} models"),
        },
        (0, 0, _, _, _) => "Use these angles for the open tilt series".to_owned(),
        (0, 1, 0, ..) => "Open the images or volume; angles are looked for beside it".to_owned(),
        (0, i, a, ..) if a > 0 => {
            format!("Open {i} image file{} with the angles beside", plural(i))
        }
        (0, i, ..) => format!("Open {i} files and pair projections with angles by their counts"),
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// Says over the whole window what a drop would do, and takes the drop.
pub fn drop_ui(ctx: &egui::Context, actions: &mut Actions) {
    let (hovered, dropped): (Vec<PathBuf>, Vec<PathBuf>) = ctx.input(|input| {
        let raw = &input.raw;
        (
            raw.hovered_files
                .iter()
                .filter_map(|file| file.path.clone())
                .collect(),
            raw.dropped_files
                .iter()
                .map(|file| file.path().to_owned())
                .collect(),
        )
    });
    if !dropped.is_empty() {
        actions.push(Action::Open(dropped, OpenHints::default()));
    }
    if hovered.is_empty() {
        return;
    }
    let painter = ctx.layer_painter(egui::LayerId::new(
        egui::Order::Foreground,
        egui::Id::unique("drop"),
    ));
    let rect = ctx.content_rect();
    let visuals = ctx.global_style().visuals.clone();
    painter.rect_filled(rect, 0.0, visuals.panel_fill.gamma_multiply(0.85));
    let names: Vec<String> = hovered
        .iter()
        .take(6)
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    painter.text(
        rect.center() - egui::vec2(0.0, 14.0),
        Align2::CENTER_CENTER,
        what_a_drop_does(&hovered),
        egui::FontId::proportional(20.0),
        visuals.strong_text_color(),
    );
    painter.text(
        rect.center() + egui::vec2(0.0, 18.0),
        Align2::CENTER_CENTER,
        names.join(", "),
        egui::FontId::proportional(13.0),
        visuals.text_color(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(names: &[&str]) -> String {
        let paths: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        what_a_drop_does(&paths)
    }

    #[test]
    fn a_drop_says_what_it_will_do() {
        assert!(says(&["a.pdf"]).contains("None"));
        assert!(says(&["particle.aetlas"]).contains("project"));
        assert!(says(&["model.XYZ"]).contains("model"));
        assert!(says(&["projections.mat", "angles.mat"]).contains("pair"));
        assert!(says(&["stack.mrc", "stack.rawtlt"]).contains("angles"));
        assert!(says(&["folder"]).contains("folder"));
    }
}
