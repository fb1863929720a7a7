//! Two or more analysed models side by side: the same numbers in one table, and their differences.
//!
//! Every number of the summaries that has a mean, and every plain number, is one row; lists (curves, layers) are none. The
//! difference is that of each model from the first; where both have a spread and a number, its standard error (Welch) and how
//! many of them it is.

use super::Analyzed;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A number of one model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    /// The number, or the mean.
    pub value: f64,
    /// Standard deviation, where it is a mean.
    pub sd: Option<f64>,
    /// Values behind a mean.
    pub n: Option<f64>,
}

impl Number {
    /// Standard error of a mean.
    #[must_use]
    pub fn error(&self) -> Option<f64> {
        Some(self.sd? / self.n.filter(|n| *n > 1.0)?.sqrt())
    }
}

/// One row: a quantity in all models.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its path in the summary, such as `rho_n/core`.
    pub name: String,
    /// One number per model; `None` where a model has none.
    pub numbers: Vec<Option<Number>>,
}

impl Row {
    /// Difference of a model from the first, and its standard error.
    #[must_use]
    pub fn difference(&self, model: usize) -> Option<(f64, Option<f64>)> {
        let first = (*self.numbers.first()?)?;
        let own = (*self.numbers.get(model)?)?;
        let error = own.error().zip(first.error()).map(|(a, b)| a.hypot(b));
        Some((own.value - first.value, error))
    }
}

/// The table of several models.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Names of the models, the first the one that the others are compared with.
    pub models: Vec<String>,
    /// Quantities that at least two models have.
    pub rows: Vec<Row>,
}

/// What is no result of the structure.
const LEFT_OUT: [&str; 4] = ["seconds", "notes", "list", "layers"];

/// Compares analysed models, each with its name.
#[must_use]
pub fn compare(models: &[(String, &Analyzed)]) -> Comparison {
    let mut rows: BTreeMap<String, Vec<Option<Number>>> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    for (at, (_, analyzed)) in models.iter().enumerate() {
        let mut found = Vec::new();
        gather("", &analyzed.summary, &mut found);
        for (name, number) in found {
            let row = rows.entry(name.clone()).or_insert_with(|| {
                order.push(name);
                vec![None; models.len()]
            });
            row[at] = Some(number);
        }
    }
    Comparison {
        models: models.iter().map(|(name, _)| name.clone()).collect(),
        rows: order
            .into_iter()
            .filter_map(|name| {
                let numbers = rows.remove(&name)?;
                let known = numbers.iter().flatten().count();
                (known > 1).then_some(Row { name, numbers })
            })
            .collect(),
    }
}

/// The numbers of a part of a summary.
fn gather(path: &str, value: &Value, found: &mut Vec<(String, Number)>) {
    match value {
        Value::Number(number) => {
            if let Some(value) = number.as_f64() {
                let plain = Number {
                    value,
                    sd: None,
                    n: None,
                };
                found.push((path.to_owned(), plain));
            }
        }
        Value::Object(fields) => {
            let field = |name: &str| fields.get(name).and_then(Value::as_f64);
            let mean = field("mean");
            if let Some(value) = mean {
                let number = Number {
                    value,
                    sd: field("sd"),
                    n: field("n"),
                };
                found.push((path.to_owned(), number));
            }
            for (name, inner) in fields {
                let told = mean.is_some() && ["mean", "sd", "n"].contains(&name.as_str());
                if !told && !LEFT_OUT.contains(&name.as_str()) {
                    let separator = if path.is_empty() { "" } else { "/" };
                    gather(&format!("{path}{separator}{name}"), inner, found);
                }
            }
        }
        _ => {}
    }
}

impl Comparison {
    /// The JSON of a comparison.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let numbers: Vec<Value> = row
                    .numbers
                    .iter()
                    .map(|n| {
                        n.map_or(
                            Value::Null,
                            |n| json!({ "value": n.value, "sd": n.sd, "n": n.n }),
                        )
                    })
                    .collect();
                let differences: Vec<Value> = (1..row.numbers.len())
                    .map(|k| {
                        row.difference(k).map_or(Value::Null, |(value, se)| {
                            let ratio = se.filter(|se| *se > 0.0).map(|se| value / se);
                            json!({ "value": value, "se": se, "in_se": ratio })
                        })
                    })
                    .collect();
                json!({ "quantity": row.name, "models": numbers, "differences": differences })
            })
            .collect();
        json!({ "models": self.models, "compared_with": self.models.first(), "rows": rows })
    }

    /// The table as CSV.
    #[must_use]
    pub fn csv(&self) -> String {
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let mut text = "quantity".to_owned();
        for name in &self.models {
            for part in ["", " sd", " n"] {
                text += &format!(",{}", quote(&format!("{name}{part}")));
            }
        }
        for name in self.models.iter().skip(1) {
            let first = self.models.first().map_or("", String::as_str);
            for part in ["", " se"] {
                text += &format!(",{}", quote(&format!("{name} - {first}{part}")));
            }
        }
        text += "\n";
        let written = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
        for row in &self.rows {
            text += &quote(&row.name);
            for number in &row.numbers {
                let parts = [
                    number.map(|n| n.value),
                    number.and_then(|n| n.sd),
                    number.and_then(|n| n.n),
                ];
                parts
                    .into_iter()
                    .for_each(|part| text += &format!(",{}", written(part)));
            }
            for model in 1..row.numbers.len() {
                let difference = row.difference(model);
                let parts = [difference.map(|d| d.0), difference.and_then(|d| d.1)];
                parts
                    .into_iter()
                    .for_each(|part| text += &format!(",{}", written(part)));
            }
            text += "\n";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(summary: Value) -> Analyzed {
        Analyzed {
            summary,
            ..Analyzed::default()
        }
    }

    #[test]
    fn numbers_stand_side_by_side_with_their_differences() {
        let one = model(json!({
            "n_atoms": 10, "rho_n": { "all": { "mean": 0.03, "sd": 0.003, "n": 100 } }, "seconds": { "pdf": 1.0 },
            "cn": { "mean": 12.0, "histogram": [1, 2] }, "only_here": 1.0,
        }));
        let two = model(json!({
            "n_atoms": 14, "rho_n": { "all": { "mean": 0.04, "sd": 0.004, "n": 100 } }, "seconds": { "pdf": 2.0 },
            "cn": { "mean": 11.0, "histogram": [1, 2] },
        }));
        let found = compare(&[("A".to_owned(), &one), ("B".to_owned(), &two)]);
        let names: Vec<&str> = found.rows.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        let row = found.rows.iter().find(|r| r.name == "rho_n/all").unwrap();
        let (difference, error) = row.difference(1).unwrap();
        assert!((difference - 0.01).abs() < 1e-12 && (error.unwrap() - 5e-4).abs() < 1e-12);
        let csv = found.csv();
        assert!(
            csv.starts_with("quantity,\"A\",\"A sd\",\"A n\",\"B\""),
            "{csv}"
        );
        assert!(csv.contains("\"n_atoms\",10,,,14,,,4,\n"), "{csv}");
        let json = found.json();
        let rho = json["rows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|r| r["quantity"] == "rho_n/all")
            .unwrap();
        assert!((rho["differences"][0]["in_se"].as_f64().unwrap() - 20.0).abs() < 1e-9);
    }
}
