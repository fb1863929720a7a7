//! Rows for every field of a parameter struct, made from the struct itself: names and tooltips from its command line,
//! kinds and defaults from its serialised form. A new parameter appears in its panel without a line of code there.

use super::params::{self, Number};
use clap::builder::ValueParser;
use eframe::egui::Ui;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::any::TypeId;
use std::marker::PhantomData;

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Flag,
    Whole,
    Real,
    OptionalWhole,
    OptionalReal,
    /// One of these names.
    Choice(Vec<String>),
    /// Any of these names.
    Choices(Vec<String>),
    Text,
}

#[derive(Debug)]
struct Row {
    field: String,
    name: String,
    unit: &'static str,
    help: String,
    default: Value,
    kind: Kind,
}

/// The rows of a parameter struct.
#[derive(Debug)]
pub struct Form<P> {
    rows: Vec<Row>,
    params: PhantomData<fn() -> P>,
}

impl<P: clap::Args + Serialize + DeserializeOwned + Default> Form<P> {
    /// The rows of `P`, in the order of its fields, but for those a panel draws its own way.
    #[must_use]
    pub fn without(drawn_elsewhere: &[&str]) -> Self {
        Self::of(|field| !drawn_elsewhere.contains(&field))
    }

    /// The rows of these fields of `P` alone.
    #[must_use]
    pub fn only(fields: &[&str]) -> Self {
        Self::of(|field| fields.contains(&field))
    }

    fn of(takes: impl Fn(&str) -> bool) -> Self {
        let command = P::augment_args(clap::Command::new("form"));
        let defaults = serde_json::to_value(P::default()).unwrap_or(Value::Null);
        let rows = command
            .get_arguments()
            .filter(|arg| takes(arg.get_id().as_str()))
            .filter_map(|arg| {
                let field = arg.get_id().to_string();
                // A field of a nested struct, or one that only the command line has.
                let default = defaults.get(&field)?.clone();
                let kind = kind_of(arg, &default)?;
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let (mut name, unit) = name_and_unit(&field, &help);
                if let (Kind::Whole, Some(rest)) = (&kind, name.strip_prefix("Largest ")) {
                    name = format!("Most {rest}");
                }
                Some(Row {
                    field,
                    name,
                    unit,
                    help,
                    default,
                    kind,
                })
            })
            .collect();
        Self {
            rows,
            params: PhantomData,
        }
    }

    /// Draws the rows; `true` when something changed.
    pub fn ui(&self, ui: &mut Ui, params: &mut P) -> bool {
        let Ok(mut values) = serde_json::to_value(&*params) else {
            return false;
        };
        let mut changed = false;
        for row in &self.rows {
            if let Some(value) = values.get_mut(&row.field) {
                changed |= row.ui(ui, value);
            }
        }
        if changed && let Ok(edited) = serde_json::from_value(values) {
            *params = edited;
            return true;
        }
        false
    }
}

fn kind_of(arg: &clap::Arg, default: &Value) -> Option<Kind> {
    let names: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    let holds = |of: TypeId| ValueParser::type_id(arg.get_value_parser()) == of;
    Some(match default {
        Value::Bool(_) => Kind::Flag,
        Value::Number(number) if number.is_f64() => Kind::Real,
        Value::Number(_) => Kind::Whole,
        Value::String(_) if names.is_empty() => Kind::Text,
        Value::String(_) => Kind::Choice(names),
        Value::Array(_) if !names.is_empty() => Kind::Choices(names),
        Value::Null if holds(TypeId::of::<f64>()) => Kind::OptionalReal,
        // A list (a volume size) has more than one value.
        Value::Null if holds(TypeId::of::<usize>()) && arg.get_value_delimiter().is_none() => {
            Kind::OptionalWhole
        }
        _ => return None,
    })
}

/// The field's name in words, and the unit its name or help gives.
fn name_and_unit(field: &str, help: &str) -> (String, &'static str) {
    const SUFFIXES: [(&str, &str); 5] = [
        ("_us", "µs"),
        ("_px", "px"),
        ("_vox", "voxels"),
        ("_deg", "°"),
        ("_A", "Å"),
    ];
    let suffix = SUFFIXES.iter().find(|(end, _)| field.ends_with(end));
    let stem = suffix.map_or(field, |(end, _)| field.trim_end_matches(end));
    let words: Vec<&str> = stem.split('_').collect();
    let mut name = words
        .iter()
        .map(|word| match *word {
            "pdf" | "ptm" | "boo" | "cn" => word.to_uppercase(),
            "max" => "largest".to_owned(),
            // Beside its field there is no room for the long word.
            "displacement" => "shift".to_owned(),
            plain => plain.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ");
    if let Some(first) = name.get(..1).map(str::to_uppercase) {
        name.replace_range(..1, &first);
    }
    let unit = suffix.map_or_else(
        || match help {
            h if h.contains("Å³") => "Å³",
            h if h.contains(", Å") || h.contains("(Å)") || h.contains("in Å") => "Å",
            _ => "",
        },
        |(_, unit)| unit,
    );
    (name, unit)
}

impl Row {
    fn ui(&self, ui: &mut Ui, value: &mut Value) -> bool {
        match &self.kind {
            Kind::Flag => {
                let mut flag = value.as_bool().unwrap_or_default();
                let default = self.default.as_bool().unwrap_or_default();
                let changed = params::flag(ui, &self.name, &self.help, &mut flag, default);
                *value = Value::from(flag);
                changed
            }
            Kind::Whole => {
                let mut number = value.as_u64().unwrap_or_default() as f64;
                let default = self.default.as_u64().unwrap_or_default() as f64;
                let limits = Number {
                    range: 0.0..=1e6,
                    speed: 0.25,
                    digits: 0,
                    unit: self.unit,
                };
                let changed =
                    params::real(ui, &self.name, &self.help, &mut number, default, limits);
                *value = Value::from(number.round().max(0.0) as usize);
                changed
            }
            Kind::Real => {
                let mut number = value.as_f64().unwrap_or_default();
                let default = self.default.as_f64().unwrap_or_default();
                let limits = self.number(default);
                let changed =
                    params::real(ui, &self.name, &self.help, &mut number, default, limits);
                *value = Value::from(number);
                changed
            }
            Kind::OptionalReal | Kind::OptionalWhole => self.optional_ui(ui, value),
            Kind::Choice(names) => {
                let at = |value: &Value| names.iter().position(|n| value.as_str() == Some(n));
                let mut chosen = at(value).unwrap_or_default();
                let default = at(&self.default).unwrap_or_default();
                let options: Vec<(usize, &str)> =
                    names.iter().map(String::as_str).enumerate().collect();
                let changed =
                    params::choice(ui, &self.name, &self.help, &mut chosen, default, &options);
                *value = Value::from(names[chosen].as_str());
                changed
            }
            Kind::Choices(names) => self.choices_ui(ui, names, value),
            Kind::Text => {
                let mut text = value.as_str().unwrap_or_default().to_owned();
                let default = self.default.as_str().unwrap_or_default();
                let changed = params::text(ui, &self.name, &self.help, &mut text, default);
                *value = Value::from(text);
                changed
            }
        }
    }

    fn optional_ui(&self, ui: &mut Ui, value: &mut Value) -> bool {
        let mut number = value.as_f64();
        let whole = self.kind == Kind::OptionalWhole;
        let limits = Number {
            digits: if whole { 0 } else { 4 },
            speed: if whole { 0.1 } else { 0.01 },
            ..self.number(1.0)
        };
        let auto = "automatic";
        let changed = params::optional(ui, &self.name, &self.help, &mut number, 1.0, auto, limits);
        *value = match number {
            None => Value::Null,
            Some(number) if whole => Value::from(number.round().max(0.0) as usize),
            Some(number) => Value::from(number),
        };
        changed
    }

    /// One tick per name.
    fn choices_ui(&self, ui: &mut Ui, names: &[String], value: &mut Value) -> bool {
        let Value::Array(chosen) = value else {
            return false;
        };
        let mut changed = false;
        ui.horizontal_wrapped(|ui| {
            super::name_cell(ui, &self.name).on_hover_text(&self.help);
            for name in names {
                let held = chosen.iter().position(|c| c.as_str() == Some(name));
                let mut ticked = held.is_some();
                if ui.checkbox(&mut ticked, name).changed() {
                    match held {
                        Some(at) => drop(chosen.remove(at)),
                        None => chosen.push(Value::from(name.as_str())),
                    }
                    changed = true;
                }
            }
        });
        changed
    }

    /// Steps of a hundredth of the default's own size; nothing that the panels show may be negative.
    fn number(&self, typical: f64) -> Number {
        let size = if typical == 0.0 { 1.0 } else { typical.abs() };
        Number {
            range: 0.0..=f64::MAX,
            speed: size / 100.0,
            digits: (2.0 - size.log10().floor()).clamp(0.0, 6.0) as usize,
            unit: self.unit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::AnalyzeParams;
    use crate::preprocess::PrepareParams;
    use crate::reconstruct::ReconstructParams;
    use crate::trace::TraceParams;
    use crate::trace::refine::RefineParams;

    /// Every row can be drawn, and every choice it offers can be read back.
    fn check<P: clap::Args + Serialize + DeserializeOwned + Default>(least: usize) {
        let form = Form::<P>::without(&[]);
        assert!(form.rows.len() >= least, "{:?}", form.rows);
        let values = serde_json::to_value(P::default()).unwrap();
        for row in &form.rows {
            assert!(!row.help.is_empty(), "{} has no help", row.field);
            let offered: Vec<Value> = match &row.kind {
                Kind::Choice(names) => names.iter().map(|n| Value::from(n.as_str())).collect(),
                Kind::Choices(names) => names
                    .iter()
                    .map(|n| Value::from(vec![n.as_str()]))
                    .collect(),
                Kind::OptionalReal => vec![Value::from(0.5)],
                Kind::OptionalWhole => vec![Value::from(3)],
                _ => vec![row.default.clone()],
            };
            for value in offered {
                let mut edited = values.clone();
                edited[&row.field] = value.clone();
                let read = serde_json::from_value::<P>(edited);
                assert!(read.is_ok(), "{}: {value} is not read back", row.field);
            }
        }
    }

    #[test]
    fn every_stage_has_a_row_for_each_parameter() {
        check::<PrepareParams>(5);
        check::<ReconstructParams>(9);
        check::<TraceParams>(6);
        check::<RefineParams>(7);
        check::<AnalyzeParams>(12);
    }

    #[test]
    fn names_and_units_come_from_the_field() {
        assert_eq!(
            name_and_unit("dilation_px", ""),
            ("Dilation".to_owned(), "px")
        );
        assert_eq!(
            name_and_unit("void_radius", "Circumradius, Å (Zr)"),
            ("Void radius".to_owned(), "Å")
        );
        assert_eq!(name_and_unit("pdf_bin", "").0, "PDF bin");
    }
}
