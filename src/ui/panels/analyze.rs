//! Structure analysis: parameters, colours, slab maps and the numbers.

use super::form::Form;
use super::params::{self, Help, Number};
use super::structure::{self, PlaneChoice};
use super::{command_button, fact, name_cell, run_row, section};
use crate::analyze::profiles::Profile;
use crate::analyze::profiles::blur::verdict;
use crate::analyze::{AnalyzeParams, Analyzed};
use crate::figures::names;
use crate::project::Stage;
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::dialogs::SheetKind;
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
    plane: PlaneChoice,
}

impl AnalyzePanel {
    /// Draws the panel.
    pub fn ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
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
        changed |= structure::references_ui(ui, &mut params, actions);
        changed |= self.plane.ui(ui, state, &mut params, actions);
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
        if let Some(fault) = &state.analysis_fault {
            ui.colored_label(ui.visuals().error_fg_color, fault);
        }
        colors_ui(ui, state, actions);
        if workspace.analyzed.is_some() {
            maps_ui(ui, state, actions);
        }
        super::phases::phases_ui(ui, state, actions);
        structure::compare_ui(ui, state, actions);
        if let Some(analyzed) = &workspace.analyzed {
            summary_ui(ui, state, analyzed);
            widths_ui(ui, analyzed);
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

/// What colours the atoms in every view.
pub(super) fn colors_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    section(ui, "Colour of the atoms");
    let shown = match &state.view.color_by {
        ColorBy::Species => "Species",
        ColorBy::Phase => "Phase",
        ColorBy::Column(name) => names::quantity(name),
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
                // An orientation has four numbers, none of which says anything by itself.
                let others = columns
                    .iter()
                    .filter(|name| *name != "phase" && !name.starts_with("ptm_q"));
                options.extend(others.map(|name| {
                    (
                        names::quantity(name).to_owned(),
                        ColorBy::Column(name.clone()),
                    )
                }));
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

/// Slab maps in the tray, and voids in the 3D view.
fn maps_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    section(ui, "Maps");
    ui.horizontal_wrapped(|ui| {
        command_button(ui, state, actions, "slab_maps");
        if ui
            .button("Export maps…")
            .on_hover_text(
                "All slabs on one sheet with scale and colour bar, in the colours shown (PNG, SVG)",
            )
            .clicked()
        {
            actions.push(Action::ExportSheet(SheetKind::Gallery));
        }
    });
    let analyzed = state.workspace.analyzed.as_ref();
    if analyzed.is_some_and(|a| !a.void_surfaces.is_empty()) {
        let mut shown = state.view.show_voids;
        let tip = "The surfaces of vacancies and pores in the 3D view, the atoms small beside them";
        if ui
            .checkbox(&mut shown, "Voids in 3D")
            .on_hover_text(tip)
            .changed()
        {
            actions.push(Action::View(ViewChange::ShowVoids(shown)));
        }
    }
}

/// Widths that curves fitted to the profiles have, beside what a sharp interface would show.
fn widths_ui(ui: &mut Ui, analyzed: &Analyzed) {
    let scale = 2.0 * 9f64.ln();
    let fitted = |p: &&Profile| p.logistic.is_some();
    if analyzed.profiles.is_empty() {
        return;
    }
    section(ui, "Interface widths, 10–90 %");
    for from in &analyzed.distances {
        let own = analyzed.profiles.iter().filter(|p| p.from == from.from);
        let own: Vec<&Profile> = own.filter(fitted).collect();
        if own.is_empty() {
            continue;
        }
        ui.weak(match from.from.as_str() {
            "surface" => "Below the surface".to_owned(),
            "core" => "From the core".to_owned(),
            other => format!("Between {}", other.replace('_', " ").replace('|', " and ")),
        });
        for profile in own {
            let Some(fit) = &profile.logistic else {
                continue;
            };
            let width = (scale * fit.values[3]).abs();
            let resolution = profile.blur.width_10_90();
            let value = format!("{width:.1} ± {:.1} Å", scale * fit.errors[3]);
            fact(ui, names::quantity(&profile.column), value);
            let told = verdict(width, resolution);
            if width > resolution {
                ui.indent("resolution", |ui| ui.weak(told));
            } else {
                ui.indent("resolution", |ui| {
                    ui.colored_label(ui.visuals().warn_fg_color, told);
                });
            }
        }
    }
    let without = analyzed.profiles.iter().filter(|p| !fitted(p)).count();
    if without > 0 {
        ui.weak(format!(
            "{without} more profiles have no width: their bins do not determine one"
        ));
    }
    ui.weak("Resolution: what a sharp step would show after the atoms' neighbourhood, smoothing, bins and position errors");
}

fn summary_ui(ui: &mut Ui, state: &AppState, analyzed: &Analyzed) {
    section(ui, "Result");
    if let Some(why) = state.workspace.stale_reason(Stage::Analyze) {
        ui.colored_label(
            ui.visuals().warn_fg_color,
            format!("Stale: {why}; run again."),
        );
    }
    if let Some(pending) = &analyzed.pending {
        ui.weak(format!("{} still follow…", pending.parts.join(", ")));
    }
    fact(ui, "Cutoff", format!("{:.3} Å", analyzed.cutoff));
    if let serde_json::Value::Object(summary) = &analyzed.summary {
        // Said above, or no result of the structure.
        let elsewhere = [
            "cutoff_A", "n_atoms", "species", "seconds", "notes", "pdf", "profiles", "surface",
        ];
        for (key, value) in summary {
            if !elsewhere.contains(&key.as_str()) && says_something(value, 0) {
                value_ui(ui, key, value, "", 0);
            }
        }
        for note in &analyzed.notes {
            ui.weak(note);
        }
    }
    if !analyzed.oxygen.is_empty() {
        fact(ui, "O inferred", super::thousands(analyzed.oxygen.len()));
        ui.weak(
            "Oxygen is inferred from the volumes of metal tetrahedra, not seen: its number follows the thresholds above.",
        );
    }
}

/// A quantity of the summary in words, and its unit.
fn words(key: &str) -> (String, &'static str) {
    let (stem, unit) = [("_A3", "Å³"), ("_A", "Å"), ("_deg", "°")]
        .into_iter()
        .find_map(|(end, unit)| Some((key.strip_suffix(end)?, unit)))
        .unwrap_or((key, ""));
    let name = match stem {
        "boo" => "Bond order",
        "q4bar_mean" => "Q̄4, mean",
        "q6bar_mean" => "Q̄6, mean",
        "normalised_mean" => "Normalised, mean",
        "disordered_count" => "Disordered atoms",
        "cn" => "Coordination",
        "rho_n" => return ("Density ρ_N".to_owned(), "Å⁻³"),
        "density_g_cm3" => return ("Mass density".to_owned(), "g/cm³"),
        "with_inferred_o" => "With inferred O",
        "ptm" => "Structure (PTM)",
        "rmsd_cutoff" => "RMSD cutoff",
        "n" => "Number",
        "sd" => "Spread (s.d.)",
        "all" => "All inner atoms",
        "fcc" | "hcp" | "bcc" | "sc" | "ico" => stem,
        _ if stem.contains('-') => stem,
        _ => {
            let words = stem.replace('_', " ");
            let mut letters = words.chars();
            let first = letters.next().into_iter().flat_map(char::to_uppercase);
            return (first.chain(letters).collect(), unit);
        }
    };
    (name.to_owned(), unit)
}

/// `mean ± sd (n)` of an object that holds them.
fn statistic(value: &serde_json::Map<String, serde_json::Value>, unit: &str) -> Option<String> {
    let mean = value.get("mean")?.as_f64()?;
    let space = if unit.is_empty() { "" } else { " " };
    let spread = value
        .get("sd")
        .and_then(serde_json::Value::as_f64)
        .map_or_else(String::new, |sd| format!(" ± {sd:.3}"));
    let count = value
        .get("n")
        .and_then(serde_json::Value::as_u64)
        .map_or_else(String::new, |n| {
            format!(" ({})", super::thousands(n as usize))
        });
    Some(format!("{mean:.4}{spread}{space}{unit}{count}"))
}

/// Whether there is a number or a word to read in a value.
fn says_something(value: &serde_json::Value, depth: usize) -> bool {
    match value {
        serde_json::Value::Object(inner) => {
            depth < 3 && inner.values().any(|v| says_something(v, depth + 1))
        }
        other => other.is_number() || other.is_string() || other.is_boolean(),
    }
}

/// Numbers of the summary; long lists are plots and maps, not numbers to read.
fn value_ui(ui: &mut Ui, key: &str, value: &serde_json::Value, inherited: &str, depth: usize) {
    let (name, own) = words(key);
    let unit = if own.is_empty() { inherited } else { own };
    match value {
        serde_json::Value::Number(number) => {
            let text = match (number.as_u64(), number.as_f64()) {
                (Some(whole), _) => super::thousands(whole as usize),
                (None, Some(real)) => format!("{real:.4} {unit}"),
                _ => number.to_string(),
            };
            fact(ui, &name, text.trim_end());
        }
        serde_json::Value::String(text) => fact(ui, &name, text.clone()),
        serde_json::Value::Bool(flag) => fact(ui, &name, if *flag { "yes" } else { "no" }),
        serde_json::Value::Object(inner) => {
            let statistic = statistic(inner, unit);
            let parts: Vec<_> = inner
                .iter()
                .filter(|(key, value)| {
                    let told = statistic.is_some() && matches!(key.as_str(), "mean" | "sd" | "n");
                    !told && *key != "unit" && says_something(value, depth + 1)
                })
                .collect();
            if let Some(text) = statistic {
                fact(ui, &name, text);
            } else if !parts.is_empty() {
                ui.add_space(2.0);
                if depth == 0 {
                    ui.strong(name);
                } else {
                    ui.weak(name);
                }
            }
            if depth < 3 {
                ui.indent(key, |ui| {
                    for (key, value) in parts {
                        value_ui(ui, key, value, unit, depth + 1);
                    }
                });
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mean_is_written_with_its_spread_unit_and_number() {
        let value = json!({ "mean": 3.6183, "sd": 0.2404, "n": 1541 });
        let text = statistic(value.as_object().unwrap(), "Å").unwrap();
        assert_eq!(text, "3.6183 ± 0.240 Å (1,541)");
        assert!(statistic(json!({ "n": 3 }).as_object().unwrap(), "").is_none());
        assert_eq!(words("bond_length_A"), ("Bond length".to_owned(), "Å"));
        assert!(!says_something(&json!({ "r_A": [1.0], "fit": {} }), 0));
        assert!(says_something(&json!({ "fit": { "w_A": 1.0 } }), 0));
        assert_eq!(words("Pd-Pt"), ("Pd-Pt".to_owned(), ""));
    }
}
