//! The tray of plots at the bottom: the figures that are exported, the journal, and the log.

use super::correct::journal_row;
use super::table;
use crate::figures::tables;
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::embed::Views;
use crate::ui::figure_cache::FigureCache;
use crate::ui::state::{AppState, Severity};
use eframe::egui::{self, RichText, Ui};

/// View state of the tray.
#[derive(Default)]
pub struct Tray {}

/// Tabs in order: id, name, what fills it.
const TABS: [(&str, &str, &str); 10] = [
    ("r1", "R(k)", "a reconstruction"),
    ("r_per_tilt", "R per tilt", "a reconstruction"),
    ("intensity", "Intensity", "tracing"),
    ("pdf", "PDF", "an analysis"),
    ("boo", "BOO", "an analysis"),
    ("boo_histogram", "Order", "an analysis"),
    ("rho_n", "ρ_N", "an analysis"),
    ("oxidation", "Oxidation", "an analysis"),
    ("voids", "Voids", "an analysis"),
    ("composition", "Core-shell", "an analysis"),
];

/// Names of further tabs, shorter than their figures' titles.
const SHORT: [(&str, &str); 14] = [
    ("drift", "Drift"),
    ("line_profile", "Line profile"),
    ("blur_width", "Blur width"),
    ("cutoff", "Cutoff"),
    ("pdf_phases", "PDF by phase"),
    ("structure_factor", "S(q)"),
    ("oxidation_sweep", "Thresholds"),
    ("cn_voronoi", "CN (Voronoi)"),
    ("bond_length", "Bonds"),
    ("geometry", "Geometry"),
    ("cn", "CN"),
    ("ptm", "PTM"),
    ("strain", "Strain"),
    ("lattice", "Lattice"),
];

impl Tray {
    /// Draws the tray.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        state: &AppState,
        figures: &FigureCache,
        views: &mut Views,
        actions: &mut Actions,
    ) {
        // Without this the panel would shrink to its content, a little every frame.
        ui.set_min_height(ui.available_height());
        let open = state.view.plot.as_str();
        // What acts on the plot keeps its place at the right; the tabs take the rest, in two rows if they must.
        let row = egui::Layout::right_to_left(egui::Align::TOP);
        let height = ui.spacing().interact_size.y;
        ui.allocate_ui_with_layout(egui::vec2(ui.available_width(), height), row, |ui| {
            tools_ui(ui, state, figures, open, actions);
            let tabs = egui::Layout::left_to_right(egui::Align::TOP).with_main_wrap(true);
            ui.with_layout(tabs, |ui| tabs_ui(ui, state, figures, open, actions));
        });
        ui.separator();
        if let Some(table) = figures.table(open) {
            table::ui(ui, table, state, actions);
            return;
        }
        match open {
            "log" => log_ui(ui, state),
            "edits" => edits_ui(ui, state, actions),
            "slab_maps" => maps_ui(ui, state, views, actions),
            id => match figures.find(id) {
                Some(figure) => views.figure(ui, figure, ui.available_height(), state, actions),
                None => {
                    // What stands in the way is said where the plot would be.
                    let of_analysis = TABS
                        .iter()
                        .find(|(tab, ..)| *tab == id)
                        .is_none_or(|(_, _, fills)| *fills == "an analysis");
                    if let Some(fault) = state.analysis_fault.as_ref().filter(|_| of_analysis) {
                        ui.centered_and_justified(|ui| {
                            ui.colored_label(ui.visuals().error_fg_color, fault);
                        });
                        return;
                    }
                    if let Some(why) = missing(state, id) {
                        ui.centered_and_justified(|ui| ui.label(why));
                        return;
                    }
                    let fills = TABS
                        .iter()
                        .find(|(tab, ..)| *tab == id)
                        .map_or("an analysis", |(_, _, fills)| fills);
                    ui.centered_and_justified(|ui| {
                        ui.weak(format!("This plot comes with {fills}"));
                    });
                }
            },
        }
    }
}

/// Why an analysis that was made has not this plot.
fn missing(state: &AppState, id: &str) -> Option<String> {
    let analyzed = state.workspace.analyzed.as_ref()?;
    let noted = |word: &str| analyzed.notes.iter().find(|n| n.contains(word)).cloned();
    let wanted = |part: &str| {
        let only = analyzed.params.only.as_ref();
        only.is_none_or(|only| only.iter().any(|name| name == part))
    };
    match id {
        "rho_n" | "voids" => noted("in one plane"),
        "oxidation" => noted("oxidation:").or_else(|| noted("in one plane")),
        "composition" if wanted("core-shell") => noted("core-shell:").or_else(|| {
            let names: Vec<String> = analyzed.atoms.species_counts().into_keys().collect();
            (names.len() < 2).then(|| {
                format!(
                    "Core and shell need two species: the model has only {}",
                    names.join(", ")
                )
            })
        }),
        _ => None,
    }
}

fn tabs_ui(
    ui: &mut Ui,
    state: &AppState,
    figures: &FigureCache,
    open: &str,
    actions: &mut Actions,
) {
    let atoms = state.workspace.atoms.as_ref();
    let several = atoms.is_some_and(|atoms| atoms.species_counts().len() > 1);
    for (id, name, _) in TABS {
        let there = figures.find(id).is_some();
        // Who has one species does not look for a core and a shell.
        if id == "composition" && !there && !several && open != id {
            continue;
        }
        let text = if there {
            RichText::new(name)
        } else {
            RichText::new(name).weak()
        };
        tab(ui, open, id, text, actions);
    }
    let maps = RichText::new("Slab maps");
    let there = state.workspace.atoms.is_some();
    let maps = if there { maps } else { maps.weak() };
    tab(ui, open, "slab_maps", maps, actions);
    more_ui(ui, figures, open, actions);
    let edits = state.workspace.edits.entries().len();
    let text = match edits {
        0 => "Edits".to_owned(),
        n => format!("Edits {n}"),
    };
    tab(ui, open, "edits", RichText::new(text), actions);
    tab(ui, open, "log", RichText::new("Log"), actions);
}

/// Plots and tables that only some data have: a choice, so that the tabs keep their places.
fn more_ui(ui: &mut Ui, figures: &FigureCache, open: &str, actions: &mut Actions) {
    let plots = figures
        .all()
        .filter(|figure| TABS.iter().all(|(id, ..)| *id != figure.id))
        .map(|figure| {
            let short = SHORT.iter().find(|(id, _)| *id == figure.id);
            let name = short.map_or(figure.title.as_str(), |(_, name)| name);
            (figure.id.as_str(), name)
        });
    let tables = figures
        .tables()
        .map(|table| (table.id.as_str(), table.title.as_str()));
    let all: Vec<(&str, &str)> = plots.chain(tables).collect();
    if all.is_empty() {
        return;
    }
    let shown = all.iter().find(|(id, _)| *id == open);
    let text = shown.map_or("More", |(_, name)| name);
    let mut text = RichText::new(text);
    if shown.is_some() {
        text = text.strong();
    }
    egui::ComboBox::from_id_salt("more plots")
        .selected_text(text)
        .width(if shown.is_some() { 160.0 } else { 72.0 })
        .height(420.0)
        .show_ui(ui, |ui| {
            for (id, name) in &all {
                if ui.selectable_label(*id == open, *name).clicked() {
                    actions.push(Action::ShowPlot((*id).to_owned()));
                }
            }
        })
        .response
        .on_hover_text(format!("{} more plots and tables", all.len()));
}

/// Size and resolution of what is exported.
fn page_menu(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let mut page = state.view.page;
    ui.menu_button("Page", |ui| {
        let mut changed = false;
        for (name, value, range, unit) in [
            ("Width", &mut page.width_mm, 20.0..=500.0, " mm"),
            ("Height", &mut page.height_mm, 20.0..=500.0, " mm"),
            ("Resolution", &mut page.dpi, 72.0..=1200.0, " dpi"),
        ] {
            ui.horizontal(|ui| {
                let label = ui.label(name);
                let drag = egui::DragValue::new(value).range(range).suffix(unit);
                changed |= ui.add(drag).labelled_by(label.id).changed();
            });
        }
        ui.weak("One column of most journals is 85 to 90 mm wide, two are 170 to 180 mm.");
        if changed {
            actions.push(Action::View(ViewChange::Page(page)));
        }
    })
    .response
    .on_hover_text(format!(
        "Size and resolution of exported figures: {:.0} × {:.0} mm, {:.0} dpi",
        page.width_mm, page.height_mm, page.dpi
    ));
}

fn tools_ui(
    ui: &mut Ui,
    state: &AppState,
    figures: &FigureCache,
    open: &str,
    actions: &mut Actions,
) {
    let figure = figures.find(open);
    if let Some(table) = figures.table(open) {
        if ui
            .button("Export…")
            .on_hover_text("Write this table as CSV")
            .clicked()
        {
            actions.push(Action::ExportTable(open.to_owned()));
        }
        if ui
            .button("Copy")
            .on_hover_text("Copy this table as CSV")
            .clicked()
        {
            actions.push(Action::Copy(tables::csv(table)));
        }
    }
    if let Some(figure) = figure {
        page_menu(ui, state, actions);
        if ui
            .button("Copy")
            .on_hover_text("Copy the numbers of this figure as CSV")
            .clicked()
        {
            actions.push(Action::Copy(crate::figures::render::csv(figure)));
        }
    }
    if figure.is_some()
        && ui
            .button("Export…")
            .on_hover_text("Write this figure as SVG, PNG or CSV")
            .clicked()
    {
        actions.push(Action::ExportFigure(open.to_owned()));
    }
    if !state.view.brushed.is_empty()
        && ui
            .button(format!("{} atoms lit", state.view.brushed.len()))
            .on_hover_text("Put the light out")
            .clicked()
    {
        actions.push(Action::Brush(Vec::new()));
    }
}

fn tab(ui: &mut Ui, open: &str, id: &str, text: RichText, actions: &mut Actions) {
    if ui.selectable_label(open == id, text).clicked() {
        actions.push(Action::ShowPlot(id.to_owned()));
    }
}

fn log_ui(ui: &mut Ui, state: &AppState) {
    if state.log.is_empty() {
        ui.weak("What was done, and how long it took, is written here.");
    }
    egui::ScrollArea::vertical()
        .auto_shrink([false, false])
        .stick_to_bottom(true)
        .show_rows(ui, 18.0, state.log.len(), |ui, rows| {
            for line in &state.log[rows] {
                let color = match line.severity {
                    Severity::Info => ui.visuals().text_color(),
                    Severity::Warning => ui.visuals().warn_fg_color,
                    Severity::Error => ui.visuals().error_fg_color,
                };
                ui.add(egui::Label::new(RichText::new(&line.text).color(color)).truncate());
            }
        });
}

/// Successive slabs of the model in the colours of the views.
fn maps_ui(ui: &mut Ui, state: &AppState, views: &mut Views, actions: &mut Actions) {
    egui::ScrollArea::vertical()
        .id_salt("slab maps")
        .auto_shrink([false, false])
        .show(ui, |ui| views.gallery(ui, state, actions));
}

fn edits_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let entries = state.workspace.edits.entries();
    if entries.is_empty() {
        ui.weak("No edits by hand yet. Select an atom and press X, or point at a missing one and press A.");
    }
    egui::ScrollArea::vertical()
        .auto_shrink([false, false])
        .stick_to_bottom(true)
        .show_rows(ui, 20.0, entries.len(), |ui, rows| {
            for entry in &entries[rows] {
                journal_row(ui, entry, actions);
            }
        });
}
