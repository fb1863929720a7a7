//! Atomic models: XYZ, extended XYZ, plain `type x y z` text, CSV.
//!
//! Readers are tolerant to what published files do: tabs, trailing blanks, blank comment lines, `\r\n`, symbols or atomic
//! numbers, `%` comments without a count. Positions are taken as Å about the volume's centre; files in voxels are read
//! with a scale, and [`looks_like_voxels`] tells when to ask for one.

use super::error::{Fault, IoError};
use super::tables::cells;
use crate::model::{AtomId, Atoms, Column};
use crate::numeric::neighbors::nearest_distances;
use std::collections::BTreeMap;
use std::path::Path;

/// Chemical symbols by atomic number, from 1.
const SYMBOLS: &str = "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr \
Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po \
At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og";

/// Symbol of an atomic number.
#[must_use]
pub fn symbol_of(atomic_number: usize) -> Option<&'static str> {
    SYMBOLS.split(' ').nth(atomic_number.checked_sub(1)?)
}

/// Atomic number of a symbol.
#[must_use]
pub fn atomic_number_of(symbol: &str) -> Option<usize> {
    SYMBOLS.split(' ').position(|s| s == symbol).map(|i| i + 1)
}

/// Collects atoms row by row.
#[derive(Default)]
struct Builder {
    atoms: Atoms,
    ids: Vec<Option<u64>>,
    numeric_species: Vec<String>,
    index: BTreeMap<String, u16>,
}

impl Builder {
    fn push(&mut self, species: &str, position: [f64; 3]) -> Result<(), Fault> {
        if position.iter().any(|x| !x.is_finite()) {
            return Fault::invalid(format!(
                "atom {} has a position that is not a finite number",
                self.atoms.len() + 1
            ));
        }
        let next = self.index.len();
        let number = match self.index.get(species) {
            Some(&number) => number,
            None => {
                let number = u16::try_from(next).map_err(|_| {
                    Fault::Invalid(
                        "it names more than 65,536 species; is a number taken for a symbol?"
                            .to_owned(),
                    )
                })?;
                self.index.insert(species.to_owned(), number);
                self.atoms.species_names.push(species.to_owned());
                if species.bytes().all(|b| b.is_ascii_digit()) {
                    self.numeric_species.push(species.to_owned());
                }
                number
            }
        };
        self.atoms.species.push(number);
        self.atoms.positions.push(position);
        self.ids.push(None);
        Ok(())
    }

    fn finish(
        mut self,
        columns: Vec<(String, String, Vec<f64>)>,
        scale: f64,
    ) -> Result<Atoms, Fault> {
        if self.atoms.is_empty() {
            return Fault::invalid("it holds no atoms");
        }
        for position in &mut self.atoms.positions {
            *position = position.map(|x| x * scale);
        }
        let given: Option<Vec<u64>> = self.ids.iter().copied().collect();
        let mut sorted = given.clone().unwrap_or_default();
        sorted.sort_unstable();
        sorted.dedup();
        self.atoms.ids = match given {
            Some(ids) if sorted.len() == ids.len() && sorted.last() != Some(&u64::MAX) => {
                ids.into_iter().map(AtomId).collect()
            }
            // Missing or repeated names cannot serve as names.
            _ => (0..self.atoms.len() as u64).map(AtomId).collect(),
        };
        self.name_numbers();
        for (name, unit, values) in columns {
            self.atoms.columns.insert(name, Column { unit, values });
        }
        Ok(self.atoms)
    }

    /// Numbers stand for atomic numbers, unless they just count 1, 2, 3 (types, as tracing codes write them).
    fn name_numbers(&mut self) {
        let numbers: Vec<usize> = self
            .numeric_species
            .iter()
            .filter_map(|s| s.parse().ok())
            .collect();
        let are_types = !numbers.is_empty() && (1..=numbers.len()).all(|n| numbers.contains(&n));
        if are_types || numbers.len() != self.atoms.species_names.len() {
            return;
        }
        for name in &mut self.atoms.species_names {
            if let Some(symbol) = name.parse().ok().and_then(symbol_of) {
                symbol.clone_into(name);
            }
        }
    }
}

/// `key=value` pairs of an extended XYZ comment; values may stand in quotes.
fn comment_pairs(comment: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let mut rest = comment.trim();
    while let Some((key, after)) = rest.split_once('=') {
        let key = key
            .rsplit(char::is_whitespace)
            .next()
            .unwrap_or_default()
            .to_owned();
        let (value, next) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
            _ => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        pairs.insert(key, value.to_owned());
        rest = next.trim_start();
    }
    pairs
}

struct Property {
    name: String,
    kind: char,
    width: usize,
}

fn properties(text: &str) -> Result<Vec<Property>, Fault> {
    let parts: Vec<&str> = text.split(':').collect();
    let wrong = || {
        Fault::Invalid(format!(
            "Properties=… is no list of name:type:number ('{text}')"
        ))
    };
    if !parts.len().is_multiple_of(3) {
        return Err(wrong());
    }
    let mut total = 0usize;
    parts
        .chunks_exact(3)
        .map(|part| {
            let kind = part[1]
                .chars()
                .next()
                .filter(|c| "SRIL".contains(*c))
                .ok_or_else(wrong)?;
            let width = part[2]
                .parse()
                .ok()
                .filter(|n| (1..=1000).contains(n))
                .ok_or_else(wrong)?;
            total += width;
            if total > 10_000 {
                return Err(wrong());
            }
            Ok(Property {
                name: part[0].to_owned(),
                kind,
                width,
            })
        })
        .collect()
}

/// Layout of a plain XYZ without `Properties`.
fn plain() -> Vec<Property> {
    let property = |name: &str, kind, width| Property {
        name: name.to_owned(),
        kind,
        width,
    };
    vec![property("species", 'S', 1), property("pos", 'R', 3)]
}

/// Reads XYZ and extended XYZ: count, comment, one line per atom. Only the first frame is read.
pub(crate) fn parse_xyz(bytes: &[u8], scale: f64) -> Result<Atoms, Fault> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    let first = lines.next().unwrap_or_default().trim();
    let count: usize = first.parse().map_err(|_| {
        let shown: String = first.chars().take(40).collect();
        Fault::Invalid(format!(
            "an XYZ file begins with the number of atoms, '{shown}' was found"
        ))
    })?;
    let pairs = comment_pairs(lines.next().unwrap_or_default());
    let layout = pairs
        .get("Properties")
        .map_or_else(|| Ok(plain()), |text| properties(text))?;
    let units: BTreeMap<&str, &str> = pairs
        .get("column_units")
        .map(|text| {
            text.split(',')
                .filter_map(|part| part.split_once(':'))
                .collect()
        })
        .unwrap_or_default();
    let mut columns: Vec<(String, String, Vec<f64>)> = Vec::new();
    for property in layout.iter().filter(|p| p.kind != 'S' && !is_own(&p.name)) {
        let unit = (*units.get(property.name.as_str()).unwrap_or(&"")).to_owned();
        for part in 1..=property.width {
            let name = if property.width == 1 {
                property.name.clone()
            } else {
                format!("{}_{part}", property.name)
            };
            columns.push((name, unit.clone(), Vec::new()));
        }
    }
    let mut builder = Builder::default();
    for index in 0..count {
        // Blank lines at the end of a short file are a truncation, too.
        let line = lines
            .next()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .ok_or_else(|| {
                Fault::Invalid(format!(
                    "its first line promises {count} atoms, {index} are there"
                ))
            })?;
        xyz_row(line, &layout, &mut builder, &mut columns).map_err(|detail| {
            Fault::Invalid(format!("atom {} (line {}): {detail}", index + 1, index + 3))
        })?;
    }
    builder.finish(columns, scale)
}

fn is_own(name: &str) -> bool {
    matches!(name, "species" | "pos" | "id" | "Z")
}

fn xyz_row(
    line: &str,
    layout: &[Property],
    builder: &mut Builder,
    columns: &mut [(String, String, Vec<f64>)],
) -> Result<(), String> {
    let row: Vec<&str> = line.split_whitespace().collect();
    let (mut at, mut column) = (0, 0);
    let (mut species, mut position, mut id) = ("X", None, None);
    for property in layout {
        let cells = row.get(at..at + property.width).ok_or_else(|| {
            format!(
                "{} columns were expected, {} were found",
                layout.iter().map(|p| p.width).sum::<usize>(),
                row.len()
            )
        })?;
        at += property.width;
        let number = |cell: &str| match cell {
            "T" | "True" | "true" => Ok(1.0),
            "F" | "False" | "false" => Ok(0.0),
            _ => cell.parse::<f64>().map_err(|_| {
                format!(
                    "a number was expected for {}, '{cell}' was found",
                    property.name
                )
            }),
        };
        match property.name.as_str() {
            "species" | "Z" => species = cells[0],
            "pos" if cells.len() == 3 => {
                position = Some([number(cells[0])?, number(cells[1])?, number(cells[2])?])
            }
            "id" => id = cells[0].parse::<u64>().ok(),
            _ if property.kind == 'S' || is_own(&property.name) => {}
            _ => {
                for cell in cells {
                    columns[column].2.push(number(cell)?);
                    column += 1;
                }
            }
        }
    }
    let position = position.ok_or("it has no pos:R:3")?;
    builder
        .push(species, position)
        .map_err(|fault| match fault {
            Fault::Invalid(detail) | Fault::Unsupported(detail) => detail,
            Fault::Truncated { .. } => "truncated".to_owned(),
        })?;
    if let Some(last) = builder.ids.last_mut() {
        *last = id;
    }
    Ok(())
}

/// Reads text without a count: `type x y z` or `x y z` per line, further columns passed over, comments after `%` or `#`.
pub(crate) fn parse_plain(bytes: &[u8], scale: f64) -> Result<Atoms, Fault> {
    let text = String::from_utf8_lossy(bytes);
    let mut builder = Builder::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['%', '#']) {
            continue;
        }
        let row: Vec<&str> = cells(line).collect();
        let numbers: Vec<Option<f64>> = row.iter().map(|cell| cell.parse().ok()).collect();
        let (species, at) = if row.len() == 3 {
            ("X", 0)
        } else {
            (row[0], 1)
        };
        let position = match numbers.get(at..at + 3) {
            Some([Some(x), Some(y), Some(z)]) => [*x, *y, *z],
            _ => {
                let shown: String = line.chars().take(40).collect();
                return Fault::invalid(format!(
                    "line {}: 'type x y z' was expected, '{shown}' was found",
                    index + 1
                ));
            }
        };
        builder.push(species, position)?;
    }
    builder.finish(Vec::new(), scale)
}

/// Reads CSV with the headings `x_A,y_A,z_A` (or `x,y,z`); `species` and `id` are known, other numbers become columns.
pub(crate) fn parse_csv(bytes: &[u8], scale: f64) -> Result<Atoms, Fault> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text
        .trim_start_matches('\u{feff}')
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let header = lines.next().map_or("", |(_, line)| line.trim());
    let separator = if header.contains(';') { ';' } else { ',' };
    let headings: Vec<&str> = header
        .split(separator)
        .map(|h| h.trim().trim_matches('"'))
        .collect();
    let find = |names: &[&str]| {
        headings
            .iter()
            .position(|h| names.iter().any(|n| n.eq_ignore_ascii_case(h)))
    };
    let (Some(x), Some(y), Some(z)) = (
        find(&["x_A", "x"]),
        find(&["y_A", "y"]),
        find(&["z_A", "z"]),
    ) else {
        let shown: String = header.chars().take(60).collect();
        return Fault::invalid(format!(
            "a CSV of atoms has the headings x_A,y_A,z_A, '{shown}' was found"
        ));
    };
    let species = find(&["species", "element", "symbol", "type"]);
    let id = find(&["id"]);
    let mut columns: Vec<(usize, String, Vec<f64>)> = headings
        .iter()
        .enumerate()
        .filter(|(i, h)| {
            ![Some(x), Some(y), Some(z), species, id].contains(&Some(*i)) && !h.is_empty()
        })
        .map(|(i, h)| (i, (*h).to_owned(), Vec::new()))
        .collect();
    let mut builder = Builder::default();
    for (index, line) in lines {
        let row: Vec<&str> = line
            .split(separator)
            .map(|c| c.trim().trim_matches('"'))
            .collect();
        if row.len() != headings.len() {
            return Fault::invalid(format!(
                "line {} has {} cells, the headings {}",
                index + 1,
                row.len(),
                headings.len()
            ));
        }
        let number = |at: usize| {
            row[at].parse::<f64>().map_err(|_| {
                Fault::Invalid(format!(
                    "line {}: a number was expected for {}, '{}' was found",
                    index + 1,
                    headings[at],
                    row[at]
                ))
            })
        };
        builder.push(
            species.map_or("X", |at| row[at]),
            [number(x)?, number(y)?, number(z)?],
        )?;
        if let (Some(at), Some(last)) = (id, builder.ids.last_mut()) {
            *last = row[at].parse().ok();
        }
        for (at, _, values) in &mut columns {
            // An empty cell means "not defined for this atom".
            values.push(if row[*at].is_empty() {
                f64::NAN
            } else {
                number(*at).unwrap_or(f64::NAN)
            });
        }
    }
    // A column of words (a name, a note) is no quantity.
    columns.retain(|(_, _, values)| values.iter().any(|v| !v.is_nan()));
    builder.finish(
        columns
            .into_iter()
            .map(|(_, name, values)| (name, String::new(), values))
            .collect(),
        scale,
    )
}

/// A name that survives as one word of an extended XYZ comment.
fn word(name: &str) -> String {
    let clean: String = name
        .chars()
        .map(|c| {
            if c.is_whitespace() || ":,=\"'".contains(c) {
                '_'
            } else {
                c
            }
        })
        .collect();
    if clean.is_empty() {
        "X".to_owned()
    } else {
        clean
    }
}

/// Writes extended XYZ with ids and every column; numbers are written so that they read back exactly.
///
/// # Errors
/// What the system says.
pub fn write_xyz(path: &Path, atoms: &Atoms, force: bool) -> Result<(), IoError> {
    super::write_atomically(path, force, |out| {
        writeln!(out, "{}", atoms.len())?;
        write!(out, "Properties=species:S:1:pos:R:3:id:I:1")?;
        for name in atoms.columns.keys() {
            write!(out, ":{}:R:1", word(name))?;
        }
        let units: Vec<String> = atoms
            .columns
            .iter()
            .filter(|(_, column)| !column.unit.is_empty())
            .map(|(name, column)| format!("{}:{}", word(name), word(&column.unit)))
            .collect();
        if !units.is_empty() {
            write!(out, " column_units=\"{}\"", units.join(","))?;
        }
        writeln!(out, " pbc=\"F F F\" units=angstrom origin=volume_center")?;
        for (index, [x, y, z]) in atoms.positions.iter().enumerate() {
            write!(
                out,
                "{} {x} {y} {z} {}",
                word(atoms.species_name(index)),
                atoms.ids[index].0
            )?;
            for column in atoms.columns.values() {
                write!(out, " {}", column.values[index])?;
            }
            writeln!(out)?;
        }
        Ok(())
    })
}

/// Writes CSV: `id,species,x_A,y_A,z_A` and every column; undefined numbers stay empty.
///
/// # Errors
/// What the system says.
pub fn write_csv(path: &Path, atoms: &Atoms, force: bool) -> Result<(), IoError> {
    super::write_atomically(path, force, |out| {
        write!(out, "id,species,x_A,y_A,z_A")?;
        for name in atoms.columns.keys() {
            write!(out, ",{}", word(name))?;
        }
        writeln!(out)?;
        for (index, [x, y, z]) in atoms.positions.iter().enumerate() {
            write!(
                out,
                "{},{},{x},{y},{z}",
                atoms.ids[index].0,
                word(atoms.species_name(index))
            )?;
            for column in atoms.columns.values() {
                let value = column.values[index];
                if value.is_nan() {
                    write!(out, ",")?
                } else {
                    write!(out, ",{value}")?
                }
            }
            writeln!(out)?;
        }
        Ok(())
    })
}

/// The median nearest-neighbor distance when it cannot be one of atoms in Å: below 1 Å for many atoms (coordinates in
/// nm or in fractions) or a median above 5 Å (coordinates in voxels). Then the caller asks for the unit.
#[must_use]
pub fn looks_like_voxels(atoms: &Atoms) -> Option<f64> {
    let mut distances = nearest_distances(&atoms.positions);
    distances.retain(|d| d.is_finite());
    if distances.is_empty() {
        return None;
    }
    // No bond between two atoms is shorter than H–H, 0.74 Å; those of what is imaged are above 1 Å.
    let close = distances.iter().filter(|&&d| d < 1.0).count();
    distances.sort_by(f64::total_cmp);
    let median = distances[distances.len() / 2];
    // No condensed matter has its atoms further apart (Cs–Cs 5.2 Å is beyond what tomography has seen).
    (close * 10 > distances.len() || median > 5.0).then_some(median)
}
