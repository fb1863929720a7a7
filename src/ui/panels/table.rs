//! A table of the tray: a click on a row brings the views to its place and lights its atoms up.

use crate::figures::tables::Table;
use crate::model::AtomId;
use crate::ui::actions::{Action, Actions};
use crate::ui::state::{AppState, ColorBy};
use eframe::egui::{self, RichText, Sense, Ui};
use egui_extras::{Column, TableBuilder};

/// Draws the table into the rest of `ui`.
pub fn ui(ui: &mut Ui, table: &Table, state: &AppState, actions: &mut Actions) {
    let note = 20.0;
    let height = (ui.available_height() - note).max(60.0);
    egui::ScrollArea::horizontal()
        .id_salt(&table.id)
        .auto_shrink([false, false])
        .max_height(height)
        .show(ui, |ui| {
            TableBuilder::new(ui)
                .id_salt(("table", &table.id))
                .striped(true)
                .sense(Sense::click())
                .columns(
                    Column::auto().at_least(60.0).resizable(true),
                    table.columns.len(),
                )
                .min_scrolled_height(40.0)
                .max_scroll_height(height - 24.0)
                .header(20.0, |mut header| {
                    for column in &table.columns {
                        header.col(|ui| {
                            ui.add(egui::Label::new(RichText::new(column.text()).weak()).extend());
                        });
                    }
                })
                .body(|body| {
                    body.rows(20.0, table.rows.len(), |mut line| {
                        let row = &table.rows[line.index()];
                        for cell in &row.cells {
                            line.col(|ui| {
                                let label = egui::Label::new(cell).selectable(false);
                                ui.add(label.extend());
                            });
                        }
                        if line.response().clicked() {
                            show(table, line.index(), state, actions);
                        }
                    });
                });
        });
    ui.add(egui::Label::new(RichText::new(&table.note).weak().small()).truncate());
}

/// Brings the views to a row.
fn show(table: &Table, row: usize, state: &AppState, actions: &mut Actions) {
    let row = &table.rows[row];
    if let Some(at) = row.at {
        actions.push(Action::MoveCrosshair(at));
    }
    if let Some(analyzed) = state
        .workspace
        .analyzed
        .as_ref()
        .filter(|_| !row.atoms.is_empty())
    {
        let ids = &analyzed.atoms.ids;
        let lit: Vec<AtomId> = row
            .atoms
            .iter()
            .filter_map(|&i| ids.get(i as usize).copied())
            .collect();
        actions.push(Action::Brush(lit));
    }
    if let Some(column) = &table.color_by {
        actions.push(Action::SetColorBy(ColorBy::Column(column.clone())));
    }
}
