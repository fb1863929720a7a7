//! Rows of parameters: name, value with unit, tooltip from the parameter's own documentation, and a reset that
//! appears only when the value differs from the default.

use super::name_cell;
use eframe::egui::{self, RichText, Ui};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Help texts of a parameter struct by field name: the very texts of the command line.
pub struct Help(BTreeMap<String, String>);

impl Help {
    /// Reads them from the struct's command line arguments.
    #[must_use]
    pub fn of<P: clap::Args>() -> Self {
        let command = P::augment_args(clap::Command::new("help"));
        let texts = command
            .get_arguments()
            .filter_map(|arg| Some((arg.get_id().to_string(), arg.get_help()?.to_string())))
            .collect();
        Self(texts)
    }

    /// The text of a field, empty when it has none.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }
}

/// What a number field allows and how it is written.
pub struct Number {
    /// Allowed values.
    pub range: RangeInclusive<f64>,
    /// Change per point dragged.
    pub speed: f64,
    /// Digits after the point.
    pub digits: usize,
    /// Unit behind the value.
    pub unit: &'static str,
}

/// Draws one row; `add` draws the value and says whether it changed. Gives `true` when value or reset was used.
fn row(
    ui: &mut Ui,
    name: &str,
    help: &str,
    is_default: bool,
    reset: impl FnOnce(),
    add: impl FnOnce(&mut Ui, egui::Id) -> bool,
) -> bool {
    ui.horizontal(|ui| {
        let label = name_cell(ui, name);
        let id = label.id;
        if !help.is_empty() {
            label.on_hover_text(help);
        }
        let mut changed = add(ui, id);
        if !is_default {
            let button = egui::Button::new(RichText::new("reset").small()).frame(false);
            let response = ui.add(button).on_hover_text("Back to the default");
            response.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::Button, true, format!("Reset {name}"))
            });
            if response.clicked() {
                reset();
                changed = true;
            }
        }
        changed
    })
    .inner
}

/// A row with a real number.
pub fn real(
    ui: &mut Ui,
    name: &str,
    help: &str,
    value: &mut f64,
    default: f64,
    number: Number,
) -> bool {
    let is_default = *value == default;
    let mut edited = *value;
    let mut back = false;
    let changed = row(
        ui,
        name,
        help,
        is_default,
        || back = true,
        |ui, label| {
            let suffix = match number.unit {
                "" => String::new(),
                unit => format!(" {unit}"),
            };
            ui.add(
                egui::DragValue::new(&mut edited)
                    .range(number.range)
                    .speed(number.speed)
                    .max_decimals(number.digits)
                    .update_while_editing(false)
                    .suffix(suffix),
            )
            .labelled_by(label)
            .changed()
        },
    );
    if changed {
        *value = if back { default } else { edited };
    }
    changed
}

/// A row with a whole number.
pub fn whole(
    ui: &mut Ui,
    name: &str,
    help: &str,
    value: &mut usize,
    default: usize,
    range: RangeInclusive<usize>,
) -> bool {
    let mut number = *value as f64;
    let limits = Number {
        range: *range.start() as f64..=*range.end() as f64,
        speed: 0.25,
        digits: 0,
        unit: "",
    };
    let changed = real(ui, name, help, &mut number, default as f64, limits);
    if changed {
        *value = number.round().max(0.0) as usize;
    }
    changed
}

/// A row with a tick box.
pub fn flag(ui: &mut Ui, name: &str, help: &str, value: &mut bool, default: bool) -> bool {
    let is_default = *value == default;
    let mut edited = *value;
    let mut back = false;
    let changed = row(
        ui,
        name,
        help,
        is_default,
        || back = true,
        |ui, label| {
            ui.add(egui::Checkbox::without_text(&mut edited))
                .labelled_by(label)
                .changed()
        },
    );
    if changed {
        *value = if back { default } else { edited };
    }
    changed
}

/// A row with a choice.
pub fn choice<T: PartialEq + Copy>(
    ui: &mut Ui,
    name: &str,
    help: &str,
    value: &mut T,
    default: T,
    options: &[(T, &str)],
) -> bool {
    let is_default = *value == default;
    let mut edited = *value;
    let mut back = false;
    row(
        ui,
        name,
        help,
        is_default,
        || back = true,
        |ui, _| {
            let shown = options
                .iter()
                .find(|(option, _)| *option == edited)
                .map_or("", |(_, text)| *text);
            egui::ComboBox::from_id_salt(name)
                .width(104.0)
                .selected_text(shown)
                .show_ui(ui, |ui| {
                    for (option, text) in options {
                        ui.selectable_value(&mut edited, *option, *text);
                    }
                })
                .response
                .widget_info(|| {
                    egui::WidgetInfo::labeled(
                        egui::Role::ComboBox,
                        true,
                        format!("{name}: {shown}"),
                    )
                });
            false
        },
    );
    if back {
        edited = default;
    }
    let changed = edited != *value;
    *value = edited;
    changed
}

/// A row with a number that may be left to the program; `auto` is what is said then.
pub fn optional(
    ui: &mut Ui,
    name: &str,
    help: &str,
    value: &mut Option<f64>,
    start: f64,
    auto: &str,
    number: Number,
) -> bool {
    let mut edited = *value;
    let mut back = false;
    let changed = row(
        ui,
        name,
        help,
        value.is_none(),
        || back = true,
        |ui, label| {
            let mut own = edited.is_some();
            let tick = ui
                .add(egui::Checkbox::without_text(&mut own))
                .labelled_by(label)
                .on_hover_text("Tick to choose it yourself");
            if tick.changed() {
                edited = own.then_some(start);
            }
            match &mut edited {
                Some(number_value) => {
                    let suffix = match number.unit {
                        "" => String::new(),
                        unit => format!(" {unit}"),
                    };
                    let field = ui
                        .add(
                            egui::DragValue::new(number_value)
                                .range(number.range)
                                .speed(number.speed)
                                .max_decimals(number.digits)
                                .update_while_editing(false)
                                .suffix(suffix),
                        )
                        .labelled_by(label);
                    tick.changed() || field.changed()
                }
                None => {
                    ui.add(egui::Label::new(RichText::new(auto).weak()).truncate());
                    tick.changed()
                }
            }
        },
    );
    if changed {
        *value = if back { None } else { edited };
    }
    changed
}

/// A row with a text that is taken when the field is left.
pub fn text(ui: &mut Ui, name: &str, help: &str, value: &mut String, default: &str) -> bool {
    let is_default = value == default;
    let mut back = false;
    let changed = row(
        ui,
        name,
        help,
        is_default,
        || back = true,
        |ui, label| {
            ui.add(egui::TextEdit::singleline(value).desired_width(104.0))
                .labelled_by(label)
                .changed()
        },
    );
    if back {
        default.clone_into(value);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconstruct::ReconstructParams;

    #[test]
    fn tooltips_are_the_texts_of_the_command_line() {
        let help = Help::of::<ReconstructParams>();
        assert!(help.text("iterations").contains("Iterations"));
        assert!(help.text("leave_out").contains("R_free"));
        assert_eq!(help.text("no such field"), "");
    }
}
