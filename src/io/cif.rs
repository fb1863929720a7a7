//! Crystals from Crystallographic Information Files (Hall, Allen & Brown, Acta Cryst. A47, 655 (1991)).
//!
//! Read are the cell, the atom sites and the symmetry operations (`_symmetry_equiv_pos_as_xyz` or
//! `_space_group_symop_operation_xyz`), which are applied. A partly occupied site counts as full; of several elements at one
//! place the first stays. Without operations the atoms are taken as they are, unless the file names a space group other than
//! P 1: then it is refused, for most of its atoms would be missing.

use super::error::{Fault, IoError};
use crate::model::Crystal;
use std::collections::HashMap;
use std::path::Path;

/// Values of the first data block, by tag in lower case; those of a loop have one entry per row.
type Tags = HashMap<String, Vec<String>>;

/// Atoms of one cell at most: more is no file to compare with.
const MOST: usize = 20_000;

/// Reads a crystal; it is called by the file's name.
///
/// # Errors
/// What the system says, or what the file lacks.
pub fn read_cif(path: &Path) -> Result<Crystal, IoError> {
    let bytes = std::fs::read(path).map_err(|source| IoError::system(path, source))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    parse(&bytes, &name).map_err(|fault| fault.at(path))
}

fn parse(bytes: &[u8], name: &str) -> Result<Crystal, Fault> {
    let text = String::from_utf8_lossy(bytes);
    let tags = tags(&words(&text));
    let length = |axis: &str| number(&tags, &format!("_cell_length_{axis}"));
    let angle = |axis: &str| number(&tags, &format!("_cell_angle_{axis}"));
    let lengths = [length("a")?, length("b")?, length("c")?];
    let angles = [angle("alpha")?, angle("beta")?, angle("gamma")?];
    let Some(cell) = Crystal::cell_of(lengths, angles) else {
        return Fault::invalid(format!(
            "no cell has edges {lengths:?} Å and angles {angles:?}°"
        ));
    };
    let operations = operations(&tags)?;
    let mut crystal = Crystal {
        name: name.to_owned(),
        cell,
        sites: Vec::new(),
    };
    for (element, place) in sites(&tags)? {
        for operation in &operations {
            let image = operation.apply(place).map(wrapped);
            let known = |(_, other): &(String, [f64; 3])| same_place(&crystal, *other, image);
            if !crystal.sites.iter().any(known) {
                crystal.sites.push((element.clone(), image));
            }
            if crystal.sites.len() > MOST {
                return Fault::invalid(format!(
                    "expected at most {MOST} atoms in the cell, found more"
                ));
            }
        }
    }
    if crystal.sites.is_empty() {
        return Fault::invalid("expected at least one atom site, found none");
    }
    Ok(crystal)
}

/// Words with quotes taken off and text fields joined; `true` for those that were quoted, which are never tags.
fn words(text: &str) -> Vec<(String, bool)> {
    let mut words = Vec::new();
    let mut field: Option<String> = None;
    for line in text.lines() {
        if let Some(text) = &mut field {
            if line.starts_with(';') {
                words.push((std::mem::take(text), true));
                field = None;
            } else {
                text.push_str(line);
                text.push('\n');
            }
            continue;
        }
        if let Some(first) = line.strip_prefix(';') {
            field = Some(first.to_owned());
            continue;
        }
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            if first == '#' {
                break;
            }
            let quoted = first == '\'' || first == '"';
            let body = if quoted { &rest[1..] } else { rest };
            // A quote ends at the same quote before a blank.
            let end = if quoted {
                let closes = |(at, c): (usize, char)| {
                    let after = body[at + c.len_utf8()..].chars().next();
                    (c == first && after.is_none_or(char::is_whitespace)).then_some(at)
                };
                body.char_indices().find_map(closes).unwrap_or(body.len())
            } else {
                body.find(char::is_whitespace).unwrap_or(body.len())
            };
            words.push((body[..end].to_owned(), quoted));
            rest = body[end..]
                .trim_start_matches(|c| quoted && c == first)
                .trim_start();
        }
    }
    words
}

/// The tags of the first data block that has a cell.
fn tags(words: &[(String, bool)]) -> Tags {
    let mut tags = Tags::new();
    let is = |word: &(String, bool), name: &str| !word.1 && word.0.eq_ignore_ascii_case(name);
    let starts = |word: &(String, bool), name: &str| {
        !word.1
            && word
                .0
                .get(..name.len())
                .is_some_and(|w| w.eq_ignore_ascii_case(name))
    };
    let is_tag = |word: &(String, bool)| starts(word, "_");
    let ends = |word: &(String, bool)| is_tag(word) || is(word, "loop_") || starts(word, "data_");
    let mut at = 0;
    while at < words.len() {
        let word = &words[at];
        at += 1;
        if starts(word, "data_") && tags.contains_key("_cell_length_a") {
            break;
        }
        if is(word, "loop_") {
            let first = at;
            while at < words.len() && is_tag(&words[at]) {
                at += 1;
            }
            let names: Vec<String> = words[first..at]
                .iter()
                .map(|w| w.0.to_lowercase())
                .collect();
            let start = at;
            while at < words.len() && !ends(&words[at]) {
                let column = (at - start) % names.len().max(1);
                if let Some(name) = names.get(column) {
                    tags.entry(name.clone())
                        .or_default()
                        .push(words[at].0.clone());
                }
                at += 1;
            }
        } else if is_tag(word)
            && let Some(value) = words.get(at).filter(|value| !ends(value))
        {
            tags.insert(word.0.to_lowercase(), vec![value.0.clone()]);
            at += 1;
        }
    }
    tags
}

/// A number, its standard uncertainty in parentheses left out.
fn value(text: &str) -> Option<f64> {
    let plain = text.split('(').next().unwrap_or_default();
    plain.parse().ok().filter(|v: &f64| v.is_finite())
}

fn number(tags: &Tags, tag: &str) -> Result<f64, Fault> {
    let found = tags.get(tag).and_then(|values| values.first());
    match found.map(|text| (text, value(text))) {
        Some((_, Some(number))) => Ok(number),
        Some((text, None)) => Fault::invalid(format!("{tag}: expected a number, found {text}")),
        None => Fault::invalid(format!("expected {tag}, found none")),
    }
}

/// Element and place of the listed sites.
fn sites(tags: &Tags) -> Result<Vec<(String, [f64; 3])>, Fault> {
    let column = |tag: &str| tags.get(tag).map(Vec::as_slice);
    let names = column("_atom_site_type_symbol").or_else(|| column("_atom_site_label"));
    let Some(names) = names else {
        return Fault::invalid(
            "expected _atom_site_type_symbol or _atom_site_label, found neither",
        );
    };
    let mut places = Vec::with_capacity(3);
    for axis in ["x", "y", "z"] {
        let tag = format!("_atom_site_fract_{axis}");
        match column(&tag).filter(|values| values.len() == names.len()) {
            Some(values) => places.push(values),
            None => {
                let found = column(&tag).map_or(0, <[String]>::len);
                return Fault::invalid(format!(
                    "expected {} values of {tag}, found {found}",
                    names.len()
                ));
            }
        }
    }
    let mut sites = Vec::with_capacity(names.len());
    for (row, name) in names.iter().enumerate() {
        let place = [0, 1, 2].map(|axis| value(&places[axis][row]));
        let [Some(x), Some(y), Some(z)] = place else {
            let found = [0, 1, 2].map(|axis| places[axis][row].as_str());
            return Fault::invalid(format!(
                "site {name}: expected three numbers, found {found:?}"
            ));
        };
        sites.push((element(name), [x, y, z]));
    }
    Ok(sites)
}

/// `Zr4+`, `ZR1` and `Zr_a` are all zirconium.
fn element(label: &str) -> String {
    let letters: String = label
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    let symbol = |length: usize| -> Option<String> {
        let word = letters.get(..length)?;
        let mut chars = word.chars();
        let first = chars.next()?.to_ascii_uppercase();
        Some(first.to_string() + &chars.as_str().to_ascii_lowercase())
    };
    let known = |symbol: &Option<String>| {
        let name = symbol.as_deref().unwrap_or_default();
        super::structures::atomic_number_of(name).is_some()
    };
    let (two, one) = (symbol(2), symbol(1));
    if known(&two) {
        two.unwrap_or_default()
    } else if known(&one) {
        one.unwrap_or_default()
    } else {
        letters
    }
}

/// `x' = M x + t` in fractions of the cell.
#[derive(Debug, Clone, PartialEq)]
struct Operation {
    matrix: [[f64; 3]; 3],
    shift: [f64; 3],
}

impl Operation {
    fn apply(&self, x: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|row| {
            self.shift[row] + (0..3).map(|k| self.matrix[row][k] * x[k]).sum::<f64>()
        })
    }

    /// Reads `-x, y+1/2, -z+1/2`.
    fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(',').collect();
        let [x, y, z] = parts[..] else { return None };
        let rows = [row(x)?, row(y)?, row(z)?];
        Some(Self {
            matrix: rows.map(|(matrix, _)| matrix),
            shift: rows.map(|(_, shift)| shift),
        })
    }
}

/// Coefficients of x, y, z and the constant of one component.
fn row(text: &str) -> Option<([f64; 3], f64)> {
    let (mut matrix, mut shift) = ([0.0; 3], 0.0);
    let spaced: String = text
        .to_lowercase()
        .chars()
        .filter(|c| !c.is_whitespace())
        .flat_map(|c| {
            if c == '+' || c == '-' {
                vec![' ', c]
            } else {
                vec![c]
            }
        })
        .collect();
    for term in spaced.split_whitespace() {
        let (sign, body) = match term.strip_prefix('-') {
            Some(body) => (-1.0, body),
            None => (1.0, term.strip_prefix('+').unwrap_or(term)),
        };
        if let Some(axis) = body.find(['x', 'y', 'z']) {
            let factor = match body[..axis].trim_end_matches('*') {
                "" => 1.0,
                number => fraction(number)?,
            };
            if body.len() != axis + 1 {
                return None;
            }
            matrix[usize::from(body.as_bytes()[axis] - b'x')] += sign * factor;
        } else {
            shift += sign * fraction(body)?;
        }
    }
    Some((matrix, shift))
}

fn fraction(text: &str) -> Option<f64> {
    match text.split_once('/') {
        Some((above, below)) => {
            let (above, below): (f64, f64) = (above.parse().ok()?, below.parse().ok()?);
            (below != 0.0).then(|| above / below)
        }
        None => text.parse().ok(),
    }
}

fn operations(tags: &Tags) -> Result<Vec<Operation>, Fault> {
    let named = [
        "_space_group_symop_operation_xyz",
        "_symmetry_equiv_pos_as_xyz",
        "_space_group_symop.operation_xyz",
    ];
    if let Some(texts) = named.iter().find_map(|tag| tags.get(*tag)) {
        return texts
            .iter()
            .map(|text| match Operation::read(text) {
                Some(operation) => Ok(operation),
                None => Fault::invalid(format!(
                    "expected a symmetry operation such as -x,y+1/2,-z, found {text}"
                )),
            })
            .collect();
    }
    let groups = [
        "_symmetry_space_group_name_h-m",
        "_space_group_name_h-m_alt",
        "_space_group_name_h-m",
    ];
    let group = groups.iter().find_map(|tag| tags.get(*tag)?.first());
    let plain = |name: &str| name.replace([' ', '_'], "").eq_ignore_ascii_case("p1");
    match group.filter(|name| !plain(name) && !["?", "."].contains(&name.as_str())) {
        Some(name) => Fault::invalid(format!(
            "expected the symmetry operations of {name}, found none"
        )),
        None => Ok(vec![Operation {
            matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            shift: [0.0; 3],
        }]),
    }
}

/// Into 0 to 1; what rounding left just below 1 is 0.
fn wrapped(x: f64) -> f64 {
    let within = x.rem_euclid(1.0);
    if within > 1.0 - 1e-6 { 0.0 } else { within }
}

/// Whether two places are nearer than 0.05 Å: coordinates of special positions are written with few digits.
fn same_place(crystal: &Crystal, a: [f64; 3], b: [f64; 3]) -> bool {
    let apart: [f64; 3] = std::array::from_fn(|k| {
        let d = a[k] - b[k];
        d - d.round()
    });
    let d = crystal.place(apart);
    d.iter().map(|x| x * x).sum::<f64>() < 0.05f64.powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONOCLINIC: &str = "\
data_zirconia # baddeleyite
_cell_length_a 5.1505(1)
_cell_length_b 5.2116(1)
_cell_length_c   5.3173(1)
_cell_angle_alpha 90
_cell_angle_beta 99.230(1)
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1 21/c 1'
_publ_author
;
Howard, C. J.
_cell_length_a 99
;
loop_
_symmetry_equiv_pos_as_xyz
'x, y, z'
-x,y+1/2,-z+1/2
'-x, -y, -z'
\"x,1/2-y,1/2+z\"
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Zr1 0.2754(2) 0.0395(2) 0.2083(2)
O1 0.0700 0.3317 0.3447
O2 0.4496 0.7569 0.4792
";

    #[test]
    fn symmetry_fills_the_cell() {
        let crystal = parse(MONOCLINIC.as_bytes(), "m-ZrO2").unwrap();
        let count = |element: &str| crystal.sites.iter().filter(|(e, _)| e == element).count();
        assert_eq!((count("Zr"), count("O")), (4, 8));
        assert!(
            (crystal.volume() - 140.88).abs() < 0.01,
            "{}",
            crystal.volume()
        );
        let inside = |x: &f64| (0.0..1.0).contains(x);
        assert!(crystal.sites.iter().all(|(_, p)| p.iter().all(inside)));
    }

    #[test]
    fn special_positions_count_once() {
        let text = "data_a\n_cell_length_a 3\n_cell_length_b 3\n_cell_length_c 3\n_cell_angle_alpha 90\n\
            _cell_angle_beta 90\n_cell_angle_gamma 90\nloop_\n_space_group_symop_operation_xyz\nx,y,z\n-x,-y,-z\n\
            x+1/2,y+1/2,z+1/2\nloop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n\
            _atom_site_fract_z\nFE3+ 0 0 0\n";
        let crystal = parse(text.as_bytes(), "iron").unwrap();
        assert_eq!(
            crystal.sites,
            [("Fe".to_owned(), [0.0; 3]), ("Fe".to_owned(), [0.5; 3])]
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        let without = |line: &str| {
            let text: String = MONOCLINIC
                .lines()
                .filter(|l| !l.contains(line))
                .map(|l| format!("{l}\n"))
                .collect();
            match parse(text.as_bytes(), "x") {
                Err(Fault::Invalid(detail)) => detail,
                other => panic!("{line}: {other:?}"),
            }
        };
        assert!(without("_cell_length_b").contains("_cell_length_b"));
        assert!(without("_atom_site_label").contains("_atom_site"));
        let refused = |text: &str| matches!(parse(text.as_bytes(), "x"), Err(Fault::Invalid(_)));
        assert!(refused("") && refused("data_x") && refused("loop_ loop_ _a"));
        assert!(refused(&MONOCLINIC.replace("-x,y+1/2", "-x,w+1/2")));
        assert!(refused(&MONOCLINIC.replace("0.0700", "?")));
        assert!(refused(&MONOCLINIC.replace("99.230(1)", "400")));
        // A space group without its operations would lack most atoms.
        let bare = MONOCLINIC.split("loop_").next().unwrap().to_owned()
            + "loop_\n"
            + MONOCLINIC.rsplit("loop_").next().unwrap();
        assert!(refused(&bare));
        assert!(!refused(&bare.replace("P 1 21/c 1", "P 1")));
    }
}
