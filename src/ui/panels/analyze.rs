//! Structure analysis: parameters, colours, slab maps and the numbers.

use super::correct::column_name;
use super::form::Form;
use super::params::{self, Help, Number};
use super::{command_button, fact, name_cell, run_row, section};
use crate::analyze::{AnalyzeParams, Analyzed};
use crate::project::Stage;
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::embed::Views;
use crate::ui::state::{AppState, ColorBy};
use eframe::egui::{self, Ui};
use std::sync::LazyLock;

static HELP: LazyLock<Help> = LazyLock::new(Help::of::<AnalyzeParams>);
static REST: LazyLock<Form<AnalyzeParams>> =
    LazyLock::new(|| Form::without(&["cutoff", "boo_threshold", "oxygen_volume", "slab", "host"]));

/// View state of the panel.
#[derive(Default)]
pub struct AnalyzePanel {
    all: bool,
}

impl AnalyzePanel {
    /// Draws the panel.
    pub fn ui(&mut self, ui: &mut Ui, state: &AppState, views: &mut Views, actions: &mut Actions) {
        let workspace = &state.workspace;
        match &workspace.atoms {
            Some(atoms) => {
                let species: Vec<String> = atoms
                    .species_counts()
                    .into_iter()
                    .map(|(name, count)| format!("{} {name}", super::thousands(count)))
                    .collect();
                ui.label(format!("{} to structure", species.join(", ")));
            }
            None => {
                ui.label("Pair distribution, bond order, density and oxidation of a model.");
            }
        }
        section(ui, "Parameters");
        let mut params = workspace.project.parameters.analyze.clone();
        let mut changed = usual_ui(ui, &mut params, workspace.analyzed.as_deref());
        ui.checkbox(&mut self.all, "All parameters");
        if self.all {
            changed |= rest_ui(ui, &mut params);
        }
        if changed {
            actions.push(Action::SetAnalyze(params));
        }
        section(ui, "Run");
        run_row(
            ui,
            state,
            Stage::Analyze,
            workspace.analyzed.is_some(),
            actions,
        );
        colors_ui(ui, state, actions);
        if let Some(analyzed) = &workspace.analyzed {
            summary_ui(ui, state, analyzed);
            section(ui, "Slab maps");
            views.gallery(ui, state, actions);
            ui.add_space(6.0);
            command_button(ui, state, actions, "export_analysis");
        }
    }
}

fn angstrom(range: std::ops::RangeInclusive<f64>) -> Number {
    Number {
        range,
        speed: 0.005,
        digits: 3,
        unit: "Å",
    }
}

fn usual_ui(ui: &mut Ui, params: &mut AnalyzeParams, analyzed: Option<&Analyzed>) -> bool {
    let default = AnalyzeParams::default();
    let auto = analyzed.map_or_else(
        || "PDF valley".to_owned(),
        |a| format!("PDF valley, {:.2} Å", a.cutoff),
    );
    let mut changed = params::optional(
        ui,
        "Neighbour cutoff",
        HELP.text("cutoff"),
        &mut params.cutoff,
        analyzed.map_or(4.5, |a| a.cutoff),
        &auto,
        angstrom(0.5..=20.0),
    );
    changed |= params::real(
        ui,
        "Disordered below",
        HELP.text("boo_threshold"),
        &mut params.boo_threshold,
        default.boo_threshold,
        Number {
            range: 0.0..=1.0,
            speed: 0.002,
            digits: 3,
            unit: "",
        },
    );
    changed |= params::real(
        ui,
        "O volume",
        HELP.text("oxygen_volume"),
        &mut params.oxygen_volume,
        default.oxygen_volume,
        Number {
            range: 0.0..=100.0,
            speed: 0.01,
            digits: 3,
            unit: "Å³",
        },
    );
    changed |= params::real(
        ui,
        "Slab thickness",
        HELP.text("slab"),
        &mut params.slab,
        default.slab,
        angstrom(0.2..=50.0),
    );
    changed
}

fn rest_ui(ui: &mut Ui, params: &mut AnalyzeParams) -> bool {
    let mut host = params.host.clone().unwrap_or_default();
    let changed = params::text(ui, "Host species", HELP.text("host"), &mut host, "");
    if changed {
        let host = host.trim();
        params.host = (!host.is_empty()).then(|| host.to_owned());
    }
    changed | REST.ui(ui, params)
}

fn colors_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    section(ui, "Colour of the atoms");
    let shown = match &state.view.color_by {
        ColorBy::Species => "Species",
        ColorBy::Phase => "Phase",
        ColorBy::Column(name) => column_name(name),
    };
    let mut columns: Vec<String> = Vec::new();
    for atoms in state
        .workspace
        .analyzed
        .iter()
        .map(|a| &a.atoms)
        .chain(state.workspace.atoms.as_deref())
    {
        for name in atoms.columns.keys() {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
    }
    ui.horizontal(|ui| {
        name_cell(ui, "By");
        egui::ComboBox::from_id_salt("color by")
            .width(120.0)
            .selected_text(shown)
            .show_ui(ui, |ui| {
                let mut options = vec![("Species".to_owned(), ColorBy::Species)];
                if columns.iter().any(|name| name == "phase") {
                    options.push(("Phase".to_owned(), ColorBy::Phase));
                }
                let others = columns.iter().filter(|name| *name != "phase");
                options.extend(
                    others
                        .map(|name| (column_name(name).to_owned(), ColorBy::Column(name.clone()))),
                );
                for (text, option) in options {
                    let chosen = state.view.color_by == option;
                    if ui.selectable_label(chosen, text).clicked() {
                        actions.push(Action::SetColorBy(option));
                    }
                }
            })
            .response
            .widget_info(|| {
                let name = format!("Colour by {shown}");
                egui::WidgetInfo::labeled(egui::Role::ComboBox, true, name)
            });
    });
    if matches!(state.view.color_by, ColorBy::Column(_)) {
        ui.horizontal(|ui| {
            name_cell(ui, "Colours");
            let shown = state.view.quantity_map;
            if let Some(map) = super::series::color_map_choice(ui, "quantity map", shown) {
                actions.push(Action::View(ViewChange::QuantityMap(map)));
            }
        });
    }
}

fn summary_ui(ui: &mut Ui, state: &AppState, analyzed: &Analyzed) {
    section(ui, "Result");
    if let Some(why) = state.workspace.stale_reason(Stage::Analyze) {
        ui.colored_label(
            ui.visuals().warn_fg_color,
            format!("Stale: {why}; run again."),
        );
    }
    fact(ui, "Cutoff", format!("{:.3} Å", analyzed.cutoff));
    if let serde_json::Value::Object(summary) = &analyzed.summary {
        for (key, value) in summary {
            value_ui(ui, key, value, 0);
        }
    }
    if !analyzed.oxygen.is_empty() {
        fact(ui, "O inferred", super::thousands(analyzed.oxygen.len()));
        ui.weak(
            "Oxygen is inferred from the volumes of metal tetrahedra, not seen: its number follows the thresholds above.",
        );
    }
}

/// Numbers of the summary; long lists are plots and maps, not numbers to read.
fn value_ui(ui: &mut Ui, key: &str, value: &serde_json::Value, depth: usize) {
    let name = key.replace('_', " ");
    match value {
        serde_json::Value::Number(number) => {
            let text = match (number.as_u64(), number.as_f64()) {
                (Some(whole), _) => super::thousands(whole as usize),
                (None, Some(real)) => format!("{real:.4}"),
                _ => number.to_string(),
            };
            fact(ui, &name, text);
        }
        serde_json::Value::String(text) => fact(ui, &name, text.clone()),
        serde_json::Value::Bool(flag) => fact(ui, &name, if *flag { "yes" } else { "no" }),
        serde_json::Value::Object(inner) if depth < 2 => {
            let readable = inner
                .values()
                .any(|v| v.is_number() || v.is_string() || v.is_object());
            if readable {
                ui.strong(name);
                for (key, value) in inner {
                    value_ui(ui, key, value, depth + 1);
                }
            }
        }
        _ => {}
    }
}
