//! The lists of an analysis as plain data: grains, twin planes, five-fold axes, voids, Voronoi indices, layers, comparisons.
//! The window shows them beside the plots; files get the same as CSV.

use super::AxisLabel;
use crate::analyze::compare::{Comparison, Number};
use crate::analyze::{Analyzed, ptm};
use std::fmt::Write;

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// One text per column.
    pub cells: Vec<String>,
    /// Where it is, Å; the window goes there.
    pub at: Option<[f64; 3]>,
    /// Atoms it is about, by index; the window lights them up.
    pub atoms: Vec<u32>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Stable name, used for file names and tabs: `grains`, `voids`, ….
    pub id: String,
    /// Title.
    pub title: String,
    /// Names and units of the columns.
    pub columns: Vec<AxisLabel>,
    /// Its rows.
    pub rows: Vec<Row>,
    /// A line said under it: definitions, what was left out.
    pub note: String,
    /// Column of the atoms that shows the same in the views.
    pub color_by: Option<String>,
}

fn columns(names: &[(&str, &str)]) -> Vec<AxisLabel> {
    names
        .iter()
        .map(|(name, unit)| AxisLabel::new(name, unit))
        .collect()
}

/// Digits after the point; nothing for what is not known.
fn digits(value: f64, digits: usize) -> String {
    if value.is_finite() {
        format!("{value:.digits$}")
    } else {
        String::new()
    }
}

fn indices(values: &[f64], is: impl Fn(f64) -> bool) -> Vec<u32> {
    let found = values.iter().enumerate().filter(|(_, v)| is(**v));
    found.map(|(i, _)| i as u32).collect()
}

fn middle(analyzed: &Analyzed, atoms: &[u32]) -> Option<[f64; 3]> {
    let n = atoms.len() as f64;
    let place = |i: u32| analyzed.atoms.positions[i as usize];
    (!atoms.is_empty())
        .then(|| std::array::from_fn(|k| atoms.iter().map(|&i| place(i)[k]).sum::<f64>() / n))
}

/// Grains, largest first.
#[must_use]
pub fn grains(analyzed: &Analyzed) -> Option<Table> {
    let number = analyzed
        .atoms
        .column("grain")
        .filter(|_| !analyzed.grains.is_empty())?;
    let rows = analyzed
        .grains
        .iter()
        .enumerate()
        .map(|(k, grain)| {
            let atoms = indices(number, |g| g == k as f64 + 1.0);
            let share = 100.0 * grain.atoms as f64 / analyzed.atoms.len().max(1) as f64;
            let [w, x, y, z] = grain.orientation;
            let turn = 2.0 * w.clamp(-1.0, 1.0).acos().to_degrees();
            let length = (x * x + y * y + z * z).sqrt().max(1e-12);
            Row {
                cells: vec![
                    (k + 1).to_string(),
                    grain.structure.name().to_owned(),
                    grain.atoms.to_string(),
                    digits(share, 1),
                    digits(grain.lattice, 3),
                    digits(turn, 1),
                    format!("{:.2}, {:.2}, {:.2}", x / length, y / length, z / length),
                ],
                at: middle(analyzed, &atoms),
                atoms,
            }
        })
        .collect();
    Some(Table {
        id: "grains".to_owned(),
        title: "Grains".to_owned(),
        columns: columns(&[
            ("Grain", ""),
            ("Structure", ""),
            ("Atoms", ""),
            ("Share", "%"),
            ("Lattice constant", "Å"),
            ("Turned by", "°"),
            ("about", ""),
        ]),
        rows,
        note: format!(
            "neighbouring atoms of one structure whose lattices differ by less than {}°; rotation from the crystal's axes",
            analyzed.params.grain_misorientation_deg
        ),
        color_by: Some("grain".to_owned()),
    })
}

/// Twin planes, and the angle between those of one grain.
#[must_use]
pub fn twins(analyzed: &Analyzed) -> Option<Table> {
    let number = analyzed
        .atoms
        .column("grain")
        .filter(|_| !analyzed.twins.is_empty())?;
    let mut rows: Vec<Row> = analyzed
        .twins
        .iter()
        .enumerate()
        .map(|(k, twin)| {
            let [x, y, z] = twin.normal;
            Row {
                cells: vec![
                    format!("plane {}", k + 1),
                    format!("{} | {}", twin.grains[0], twin.grains[1]),
                    twin.atoms.to_string(),
                    digits(twin.misorientation.to_degrees(), 2),
                    digits(twin.off_ideal.to_degrees(), 2),
                    format!("{x:.3}, {y:.3}, {z:.3}"),
                ],
                at: Some(twin.center),
                atoms: indices(number, |g| twin.grains.iter().any(|t| g == f64::from(*t))),
            }
        })
        .collect();
    rows.extend(ptm::twin_angles(&analyzed.twins).into_iter().map(|angle| {
        let [a, b] = angle.planes;
        let atoms = indices(number, |g| g == f64::from(angle.grain));
        Row {
            cells: vec![
                format!("angle {} – {}", a + 1, b + 1),
                angle.grain.to_string(),
                String::new(),
                digits(angle.angle.to_degrees(), 2),
                digits((angle.angle - (1.0f64 / 3.0).acos()).to_degrees(), 2),
                String::new(),
            ],
            at: middle(analyzed, &atoms),
            atoms,
        }
    }));
    Some(Table {
        id: "twins".to_owned(),
        title: "Twins".to_owned(),
        columns: columns(&[
            ("Twin", ""),
            ("Grains", ""),
            ("Atoms", ""),
            ("Angle", "°"),
            ("Off ideal", "°"),
            ("Normal", ""),
        ]),
        rows,
        note: "planes: misorientation, ideal 60° about ⟨111⟩; angles between two planes of a grain: ideal 70.53°".to_owned(),
        color_by: Some("grain".to_owned()),
    })
}

/// Five-fold axes with the lengths of their bipyramids.
#[must_use]
pub fn fivefold(analyzed: &Analyzed) -> Option<Table> {
    let found = analyzed.fivefold.as_ref().filter(|f| !f.axes.is_empty())?;
    let rows = found
        .axes
        .iter()
        .enumerate()
        .map(|(k, axis)| {
            let own = || {
                axis.bipyramids
                    .iter()
                    .map(|&b| &found.bipyramids[b as usize])
            };
            let text = |f: &dyn Fn(&crate::analyze::fivefold::Bipyramid) -> f64, places: usize| {
                let values: Vec<f64> = own().map(f).collect();
                let n = values.len() as f64;
                let mean = values.iter().sum::<f64>() / n;
                let square: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
                let sd = digits((square / (n - 1.0)).sqrt(), places);
                format!("{} ± {sd}", digits(mean, places))
            };
            let [x, y, z] = axis.direction;
            let mut atoms: Vec<u32> = own()
                .flat_map(|b| b.caps.into_iter().chain(b.ring))
                .collect();
            atoms.sort_unstable();
            atoms.dedup();
            Row {
                cells: vec![
                    (k + 1).to_string(),
                    axis.atoms.len().to_string(),
                    text(&|b| b.alpha, 3),
                    text(&|b| b.beta, 3),
                    text(&|b| b.gamma, 3),
                    text(&|b| b.alpha / b.gamma, 3),
                    text(&|b| b.beta / b.gamma, 3),
                    format!("{x:.3}, {y:.3}, {z:.3}"),
                ],
                at: Some(axis.center),
                atoms,
            }
        })
        .collect();
    Some(Table {
        id: "fivefold".to_owned(),
        title: "Five-fold axes".to_owned(),
        columns: columns(&[
            ("Axis", ""),
            ("Atoms", ""),
            ("α, cap to cap", "Å"),
            ("β, cap to ring", "Å"),
            ("γ, ring", "Å"),
            ("α/γ", ""),
            ("β/γ", ""),
            ("Direction", ""),
        ]),
        rows,
        note: format!(
            "{} pentagonal bipyramids by the cutoff, mean ± standard deviation; ideal α/γ 1.051, β/γ 1",
            found.bipyramids.len()
        ),
        color_by: Some("fivefold_axis".to_owned()),
    })
}

/// Voids inside the particle, largest first.
#[must_use]
pub fn voids(analyzed: &Analyzed) -> Option<Table> {
    let list = analyzed.summary.pointer("/voids/list")?.as_array()?;
    let inner = analyzed.voids.iter().filter(|void| !void.at_surface);
    let rows = inner
        .zip(list)
        .map(|(void, told)| {
            let number = |key: &str, places: usize| {
                told[key]
                    .as_f64()
                    .map_or_else(String::new, |v| digits(v, places))
            };
            let [x, y, z] = void.center;
            Row {
                cells: vec![
                    digits(void.volume, 1),
                    void.class().to_owned(),
                    told["phase"].as_str().unwrap_or_default().replace('_', " "),
                    number("below_surface_A", 1),
                    number("from_core_A", 1),
                    void.atoms.len().to_string(),
                    number("rho_n_around", 4),
                    format!("{x:.1}, {y:.1}, {z:.1}"),
                ],
                at: Some(void.center),
                atoms: void.atoms.clone(),
            }
        })
        .collect();
    Some(Table {
        id: "void_list".to_owned(),
        title: "Void list".to_owned(),
        columns: columns(&[
            ("Volume", "Å³"),
            ("Class", ""),
            ("Phase", ""),
            ("Below the surface", "Å"),
            ("From the core", "Å"),
            ("Atoms around", ""),
            ("ρ_N around", "Å⁻³"),
            ("Place", "Å"),
        ]),
        rows,
        note: format!(
            "circumradius above {} Å; phase and distances are those of the atoms around; {} more touch the surface",
            analyzed.params.void_radius,
            analyzed.voids.iter().filter(|v| v.at_surface).count()
        ),
        color_by: None,
    })
}

/// Voids per volume of their shell.
#[must_use]
pub fn void_density(analyzed: &Analyzed) -> Option<Table> {
    let all = analyzed.void_radial.iter();
    let rows: Vec<Row> = all
        .flat_map(|radial| radial.shells.iter().map(move |shell| (&radial.from, shell)))
        .map(|(from, shell)| {
            let [low, high] = shell.between;
            let mut cells = vec![
                from.clone(),
                digits(low, 1),
                digits(high, 1),
                digits(shell.volume, 1),
                digits(100.0 * shell.void_volume / shell.volume, 2),
            ];
            for class in 0..shell.counts.len() {
                let [density, low, high] = shell.density(class);
                cells.push(shell.counts[class].to_string());
                cells.push(format!(
                    "{} ({} to {})",
                    digits(density, 4),
                    digits(low, 4),
                    digits(high, 4)
                ));
            }
            Row {
                cells,
                ..Row::default()
            }
        })
        .collect();
    (!rows.is_empty()).then(|| Table {
        id: "void_density".to_owned(),
        title: "Void density".to_owned(),
        columns: columns(&[
            ("Distance from", ""),
            ("From", "Å"),
            ("To", "Å"),
            ("Shell", "Å³"),
            ("Void", "%"),
            ("Vacancies", ""),
            ("Vacancies", "nm⁻³"),
            ("Nano-pores", ""),
            ("Nano-pores", "nm⁻³"),
            ("Large pores", ""),
            ("Large pores", "nm⁻³"),
        ]),
        rows,
        note: "per volume of the particle's region in each shell, with the 95 % interval of the count (Poisson, exact); a void lies where the atoms around it lie on average"
            .to_owned(),
        color_by: None,
    })
}

/// The commonest Voronoi indices of inner atoms.
#[must_use]
pub fn voronoi(analyzed: &Analyzed) -> Option<Table> {
    const MOST: usize = 40;
    let found = analyzed.topology.as_ref()?;
    let surface = analyzed.region.as_ref().map(|region| &region.surface);
    let inner = |i: usize| surface.is_none_or(|s| !s[i]);
    let all = found.indices(inner);
    let total: usize = all.iter().map(|(_, n)| n).sum();
    if total == 0 {
        return None;
    }
    let rows = all
        .iter()
        .take(MOST)
        .map(|(index, n)| {
            let atoms = (0..found.index.len() as u32)
                .filter(|&i| inner(i as usize) && found.index[i as usize] == Some(*index))
                .collect();
            let [a, b, c, d] = index;
            Row {
                cells: vec![
                    format!("⟨{a} {b} {c} {d}⟩"),
                    n.to_string(),
                    digits(100.0 * *n as f64 / total as f64, 2),
                    (a + b + c + d).to_string(),
                ],
                at: None,
                atoms,
            }
        })
        .collect();
    Some(Table {
        id: "voronoi".to_owned(),
        title: "Voronoi indices".to_owned(),
        columns: columns(&[
            ("⟨n₃ n₄ n₅ n₆⟩", ""),
            ("Atoms", ""),
            ("Share", "%"),
            ("Faces", ""),
        ]),
        rows,
        note: format!(
            "{total} inner atoms, {} indices; faces of at least {} % of the cell's area to atoms within {:.2} Å",
            all.len(),
            100.0 * analyzed.params.face_share,
            analyzed.cutoff
        ),
        color_by: Some("fivefold".to_owned()),
    })
}

/// The layers of the plane that was asked for.
#[must_use]
pub fn layers(analyzed: &Analyzed) -> Option<Table> {
    let stack = analyzed.stack.as_ref()?;
    let angle = |a: Option<f64>| a.map_or_else(String::new, |a| digits(a.to_degrees(), 2));
    let rows = stack
        .sheets
        .iter()
        .enumerate()
        .map(|(k, sheet)| Row {
            cells: vec![
                (k + 1).to_string(),
                digits(sheet.height, 2),
                sheet.atoms.to_string(),
                digits(sheet.roughness, 3),
                digits(sheet.spacing, 3),
                angle(sheet.bend),
                angle(sheet.twist),
                digits(sheet.bonding[0], 2),
                digits(sheet.bonding[1], 3),
            ],
            at: Some(stack.plane.point([0.0, 0.0, sheet.height])),
            atoms: indices_of(&stack.layer_of, k as u32),
        })
        .collect();
    let (mean, sd, n) = stack.spacing();
    let [x, y, z] = stack.plane.normal;
    let note = if stack.atomic {
        format!(
            "plane {}, normal ({x:.3}, {y:.3}, {z:.3}); spacing {mean:.3} ± {sd:.3} Å over {n}",
            stack.spec
        )
    } else {
        format!(
            "plane {}: no atomic layers along this normal, slabs of {} Å",
            stack.spec, analyzed.params.slab
        )
    };
    Some(Table {
        id: "layers".to_owned(),
        title: "Layers".to_owned(),
        columns: columns(&[
            ("Layer", ""),
            ("Height", "Å"),
            ("Atoms", ""),
            ("Roughness", "Å"),
            ("To the next", "Å"),
            ("Bent by", "°"),
            ("Twisted by", "°"),
            ("CN", ""),
            ("Bond length", "Å"),
        ]),
        rows,
        note,
        color_by: Some("layer".to_owned()),
    })
}

fn indices_of(values: &[u32], wanted: u32) -> Vec<u32> {
    let found = values.iter().enumerate().filter(|(_, v)| **v == wanted);
    found.map(|(i, _)| i as u32).collect()
}

/// Several models side by side.
#[must_use]
pub fn comparison(found: &Comparison) -> Table {
    let mut names = vec![("Quantity".to_owned(), "")];
    names.extend(found.models.iter().map(|name| (name.clone(), "")));
    let first = found.models.first().map_or("", String::as_str);
    let others = found.models.iter().skip(1);
    names.extend(others.map(|name| (format!("{name} − {first}"), "")));
    let number = |n: &Option<Number>| match n {
        None => String::new(),
        Some(n) => {
            let spread =
                n.sd.map_or_else(String::new, |sd| format!(" ± {}", short(sd)));
            format!("{}{spread}", short(n.value))
        }
    };
    let rows = found
        .rows
        .iter()
        .map(|row| {
            let mut cells = vec![row.name.replace('_', " ").replace('/', " / ")];
            cells.extend(row.numbers.iter().map(number));
            cells.extend(
                (1..row.numbers.len()).map(|model| match row.difference(model) {
                    None => String::new(),
                    Some((value, None)) => short(value),
                    Some((value, Some(se))) => format!("{} ± {} (s.e.)", short(value), short(se)),
                }),
            );
            Row {
                cells,
                ..Row::default()
            }
        })
        .collect();
    Table {
        id: "comparison".to_owned(),
        title: "Comparison".to_owned(),
        columns: names.iter().map(|(name, unit)| AxisLabel::new(name, unit)).collect(),
        rows,
        note: "mean ± standard deviation; differences from the first model with their standard error (Welch); units are those of the analysis"
            .to_owned(),
        color_by: None,
    }
}

/// Four significant digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        format!("{value:.3e}")
    } else if value.fract() == 0.0 {
        format!("{value}")
    } else {
        let places = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
        format!("{value:.places$}")
    }
}

/// Every table that an analysis has.
#[must_use]
pub fn analysis_tables(analyzed: &Analyzed) -> Vec<Table> {
    [
        grains(analyzed),
        twins(analyzed),
        fivefold(analyzed),
        voids(analyzed),
        void_density(analyzed),
        voronoi(analyzed),
        layers(analyzed),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A table as CSV: the note and the names with their units first.
#[must_use]
pub fn csv(table: &Table) -> String {
    let quote = |text: &str| {
        if text.contains([',', '"', '\n']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let line = |cells: &mut dyn Iterator<Item = String>| {
        cells.map(|cell| quote(&cell)).collect::<Vec<_>>().join(",")
    };
    let mut text = format!("# {}\n", table.title);
    if !table.note.is_empty() {
        let _ = writeln!(text, "# {}", table.note);
    }
    let _ = writeln!(
        text,
        "{}",
        line(&mut table.columns.iter().map(AxisLabel::text))
    );
    for row in &table.rows {
        let _ = writeln!(text, "{}", line(&mut row.cells.iter().cloned()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::{AnalyzeParams, analyze, compare};
    use crate::model::Atoms;
    use crate::monitor::Monitor;

    /// An fcc ball of 3.6 Å neighbours with one atom missing: cubic zirconia's metal.
    fn oxide() -> Analyzed {
        let mut positions = Vec::new();
        for i in -7..=7i32 {
            for j in -7..=7i32 {
                for k in (-7..=7i32).filter(|k| (i + j + k) % 2 == 0) {
                    let p = [i, j, k].map(|x| 2.545 * f64::from(x));
                    let r2: f64 = p.iter().map(|x| x * x).sum();
                    if r2 > 0.1 && r2 < 17.0f64.powi(2) {
                        positions.push(p);
                    }
                }
            }
        }
        let params = AnalyzeParams {
            cutoff: Some(4.5),
            plane: Some("hkl:2,0,0@1".parse().unwrap()),
            ..AnalyzeParams::default()
        };
        analyze(
            &Atoms::from_positions(positions, "Zr"),
            &params,
            &Monitor::silent(),
        )
        .unwrap()
    }

    #[test]
    fn an_analysis_has_its_tables_and_their_csv() {
        let analyzed = oxide();
        let tables = analysis_tables(&analyzed);
        let find = |id: &str| tables.iter().find(|t| t.id == id).unwrap();
        let voids = find("void_list");
        assert_eq!(
            (voids.rows.len(), voids.rows[0].cells[1].as_str()),
            (1, "vacancy")
        );
        assert_eq!(voids.rows[0].atoms.len(), 12);
        assert_eq!(find("grains").rows[0].cells[1], "fcc");
        assert_eq!(find("voronoi").rows[0].cells[0], "⟨0 12 0 0⟩");
        let layers = find("layers");
        assert!(
            layers.rows.len() > 10 && layers.rows[5].cells[4] == "2.545",
            "{:?}",
            layers.rows[5]
        );
        for table in &tables {
            assert!(
                table
                    .rows
                    .iter()
                    .all(|row| row.cells.len() == table.columns.len()),
                "{}",
                table.id
            );
            let text = csv(table);
            assert!(text.starts_with("# ") && text.lines().count() >= table.rows.len() + 2);
        }
        let both = compare::compare(&[("A".into(), &analyzed), ("B".into(), &analyzed)]);
        let table = comparison(&both);
        assert!(table.rows.len() > 10 && table.columns.len() == 4);
        assert!(
            table.rows.iter().all(|row| row.cells[3].starts_with('0')),
            "{:?}",
            table.rows[0]
        );
    }
}
