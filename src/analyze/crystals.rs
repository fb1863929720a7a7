//! Crystals to compare with: built-in ones and those of a file, and what their PDF is.
//!
//! The reference `g(r) = Σ n_k δ(r − r_k)/(4πr² ρ)` over the shells of the sublattice that the model shows (a traced oxide
//! has its metal atoms only), with the Gaussian of the model's own PDF. Infinite crystals need no shape correction.

use super::pdf::Sampling;
use crate::model::Crystal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A crystal by its name, or as it was read from a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reference {
    /// A name that [`built_in`] knows, or a `.cif` file that is still to be read.
    Name(String),
    /// A crystal with all its atoms.
    Crystal(Box<Crystal>),
}

impl Reference {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Crystal(crystal) => &crystal.name,
        }
    }
}

impl std::str::FromStr for Reference {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::Name(text.trim().to_owned()))
    }
}

/// Name, lattice constants a and c (Å) of metals at room temperature (β-Zr and β-Ti near their transitions).
const METALS: [(&str, f64, f64); 24] = [
    ("fcc-Zr", 4.53, 0.0), // (Zr)
    ("hcp-Zr", 3.232, 5.147),
    ("bcc-Zr", 3.609, 0.0),
    ("fcc-Pd", 3.891, 0.0),
    ("fcc-Pt", 3.924, 0.0),
    ("fcc-Au", 4.078, 0.0),
    ("fcc-Ag", 4.086, 0.0),
    ("fcc-Cu", 3.615, 0.0),
    ("fcc-Ni", 3.524, 0.0),
    ("fcc-Al", 4.050, 0.0),
    ("fcc-Ir", 3.839, 0.0),
    ("fcc-Rh", 3.803, 0.0),
    ("hcp-Co", 2.507, 4.069),
    ("hcp-Ru", 2.706, 4.282),
    ("hcp-Ti", 2.951, 4.684),
    ("bcc-Ti", 3.307, 0.0),
    ("hcp-Hf", 3.196, 5.051),
    ("bcc-Fe", 2.867, 0.0),
    ("bcc-Ta", 3.303, 0.0),
    ("bcc-W", 3.165, 0.0),
    ("bcc-Mo", 3.147, 0.0),
    ("bcc-Nb", 3.300, 0.0),
    ("hcp-Pd", 2.751, 4.493), // close packed with the neighbours of fcc
    ("hcp-Pt", 2.775, 4.531),
];

/// The names of the built-in crystals.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ["c-ZrO2", "t-ZrO2", "m-ZrO2"]
        .into_iter()
        .chain(METALS.iter().map(|(name, ..)| *name))
        .collect()
}

/// A built-in crystal; `name@4.62` has another lattice constant a (Å), its shape kept.
#[must_use]
pub fn built_in(name: &str) -> Option<Crystal> {
    let (stem, constant) = match name.split_once('@') {
        Some((stem, text)) => (
            stem,
            Some(
                text.parse::<f64>()
                    .ok()
                    .filter(|a| (1.0..30.0).contains(a))?,
            ),
        ),
        None => (name, None),
    };
    let mut crystal = match stem {
        "c-ZrO2" => cubic_zirconia(),
        "t-ZrO2" => tetragonal_zirconia(),
        "m-ZrO2" => monoclinic_zirconia(),
        _ => metal(stem)?,
    };
    if let Some(constant) = constant {
        let scale = constant / crystal.cell[0][0];
        crystal.cell.iter_mut().flatten().for_each(|x| *x *= scale);
    }
    crystal.name = name.to_owned();
    Some(crystal)
}

fn crystal(lengths: [f64; 3], angles_deg: [f64; 3], sites: Vec<(&str, [f64; 3])>) -> Crystal {
    let cell = Crystal::cell_of(lengths, angles_deg).expect("the built-in cells exist");
    Crystal {
        name: String::new(),
        cell,
        sites: sites
            .into_iter()
            .map(|(element, place)| (element.to_owned(), place.map(|x| x.rem_euclid(1.0))))
            .collect(),
    }
}

const FCC: [[f64; 3]; 4] = [[0.0; 3], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];

fn metal(name: &str) -> Option<Crystal> {
    let (_, a, c) = METALS.iter().find(|(known, ..)| *known == name)?;
    let (structure, element) = name.split_once('-')?;
    let with = |places: &[[f64; 3]]| places.iter().map(|p| (element, *p)).collect();
    Some(match structure {
        "fcc" => crystal([*a; 3], [90.0; 3], with(&FCC)),
        "bcc" => crystal([*a; 3], [90.0; 3], with(&[[0.0; 3], [0.5; 3]])),
        _ => crystal(
            [*a, *a, *c],
            [90.0, 90.0, 120.0],
            with(&[[0.0; 3], [1.0 / 3.0, 2.0 / 3.0, 0.5]]),
        ),
    })
}

/// Fm-3m, a = 5.09 Å (Zr): the fluorite structure.
fn cubic_zirconia() -> Crystal {
    let mut sites: Vec<(&str, [f64; 3])> = FCC.iter().map(|p| ("Zr", *p)).collect();
    for corner in 0..8 {
        sites.push((
            "O",
            [0, 1, 2].map(|k| if corner >> k & 1 == 1 { 0.75 } else { 0.25 }),
        ));
    }
    crystal([5.09; 3], [90.0; 3], sites)
}

/// P4₂/nmc, a = 3.64 Å, c = 5.27 Å, z(O) = 0.185 (Teufer, Acta Cryst. 15, 1187 (1962)).
fn tetragonal_zirconia() -> Crystal {
    let z = 0.185;
    let sites = vec![
        ("Zr", [0.0; 3]),
        ("Zr", [0.5; 3]),
        ("O", [0.0, 0.5, z]),
        ("O", [0.0, 0.5, 0.5 + z]),
        ("O", [0.5, 0.0, -z]),
        ("O", [0.5, 0.0, 0.5 - z]),
    ];
    crystal([3.64, 3.64, 5.27], [90.0; 3], sites)
}

/// P2₁/c (Howard, Hill & Reichert, Acta Cryst. B44, 116 (1988)).
fn monoclinic_zirconia() -> Crystal {
    let unique = [
        ("Zr", [0.2754, 0.0395, 0.2083]),
        ("O", [0.0700, 0.3317, 0.3447]),
        ("O", [0.4496, 0.7569, 0.4792]),
    ];
    let mut sites = Vec::new();
    for (element, [x, y, z]) in unique {
        sites.extend([
            (element, [x, y, z]),
            (element, [-x, y + 0.5, 0.5 - z]),
            (element, [-x, -y, -z]),
            (element, [x, 0.5 - y, z + 0.5]),
        ]);
    }
    crystal([5.1505, 5.2116, 5.3173], [90.0, 99.23, 90.0], sites)
}

/// The PDF of a crystal.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferencePdf {
    /// The crystal's name.
    pub name: String,
    /// Elements of the sublattice whose pairs are counted.
    pub elements: Vec<String>,
    /// g(r) at the bins of the model's PDF.
    pub g: Vec<f64>,
    /// Distance (Å) and mean number of neighbours of the first shells.
    pub shells: Vec<[f64; 2]>,
}

/// Shells listed.
const SHELLS: usize = 12;
/// Distances nearer than this are one shell, Å.
const SAME: f64 = 1e-3;

/// The PDF of the sublattice of those elements that are in `shown`, or of all metal atoms where none is, or of all atoms.
///
/// `None` for a crystal without atoms or volume, or so small a cell that its shells cannot be counted.
#[must_use]
pub fn reference_pdf(
    crystal: &Crystal,
    shown: &[String],
    sampling: &Sampling,
) -> Option<ReferencePdf> {
    let volume = crystal.volume();
    let chosen = sublattice(crystal, shown);
    let density = chosen.len() as f64 / volume;
    let pairs = density * chosen.len() as f64 * 4.2 * sampling.range.powi(3);
    if chosen.is_empty() || !volume.is_finite() || volume <= 0.0 || pairs > 5e7 {
        return None;
    }
    let mut elements: Vec<String> = chosen.iter().map(|(element, _)| element.clone()).collect();
    elements.sort_unstable();
    elements.dedup();
    let shells = shells(crystal, &chosen, sampling.range + 4.0 * sampling.smoothing);
    let bins = (sampling.range / sampling.bin).ceil().max(1.0) as usize;
    let mut g = vec![0.0; bins];
    // A Gaussian much narrower than a bin would fall between the bins' middles.
    let sigma = sampling.smoothing.max(0.5 * sampling.bin);
    let reach = (4.0 * sigma / sampling.bin).ceil() as isize;
    for &[r, n] in &shells {
        let middle = (r / sampling.bin) as isize;
        let height = n / (sigma * (2.0 * std::f64::consts::PI).sqrt());
        for bin in (middle - reach).max(0)..=(middle + reach).min(bins as isize - 1) {
            let at = (bin as f64 + 0.5) * sampling.bin;
            let weight = (-0.5 * ((at - r) / sigma).powi(2)).exp();
            g[bin as usize] += height * weight / (4.0 * std::f64::consts::PI * r * r * density);
        }
    }
    Some(ReferencePdf {
        name: crystal.name.clone(),
        elements,
        g,
        shells: shells.into_iter().take(SHELLS).collect(),
    })
}

fn sublattice(crystal: &Crystal, shown: &[String]) -> Vec<(String, [f64; 3])> {
    let pick = |keep: &dyn Fn(&str) -> bool| -> Vec<(String, [f64; 3])> {
        let sites = crystal.sites.iter().filter(|(element, _)| keep(element));
        sites.map(|(e, f)| (e.clone(), crystal.place(*f))).collect()
    };
    const LIGHT: [&str; 8] = ["H", "B", "C", "N", "O", "F", "S", "Cl"];
    let mut chosen = pick(&|element| shown.iter().any(|s| s == element));
    if chosen.is_empty() {
        chosen = pick(&|element| !LIGHT.contains(&element));
    }
    if chosen.is_empty() {
        chosen = pick(&|_| true);
    }
    chosen
}

/// Distances up to `reach` (Å) and mean number of neighbours there, nearest first.
fn shells(crystal: &Crystal, chosen: &[(String, [f64; 3])], reach: f64) -> Vec<[f64; 2]> {
    use crate::model::geometry::{cross, dot, subtract};
    let [a, b, c] = crystal.cell;
    let volume = crystal.volume();
    // Cells on either side along each edge: the reach over the spacing of the planes of the other two.
    let count = |u: [f64; 3], v: [f64; 3]| {
        let area = cross(u, v);
        (reach * dot(area, area).sqrt() / volume).ceil() as i64 + 1
    };
    let range = [count(b, c), count(c, a), count(a, b)];
    let mut found: BTreeMap<i64, (f64, usize)> = BTreeMap::new();
    for i in -range[0]..=range[0] {
        for j in -range[1]..=range[1] {
            for k in -range[2]..=range[2] {
                let shift = crystal.place([i, j, k].map(|n| n as f64));
                for (_, from) in chosen {
                    for (_, to) in chosen {
                        let d: [f64; 3] = std::array::from_fn(|x| to[x] + shift[x]);
                        let d = subtract(d, *from);
                        let r = dot(d, d).sqrt();
                        if r > SAME && r <= reach {
                            let entry = found.entry((r / SAME).round() as i64).or_default();
                            entry.0 += r;
                            entry.1 += 1;
                        }
                    }
                }
            }
        }
    }
    found
        .into_values()
        .map(|(sum, n)| [sum / n as f64, n as f64 / chosen.len() as f64])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLING: Sampling = Sampling {
        range: 12.0,
        bin: 0.05,
        smoothing: 0.1,
    };

    fn shells_of(name: &str, shown: &str) -> Vec<[f64; 2]> {
        let crystal = built_in(name).unwrap();
        reference_pdf(&crystal, &[shown.to_owned()], &SAMPLING)
            .unwrap()
            .shells
    }

    #[test]
    fn crystals_have_their_shells() {
        let fcc = shells_of("fcc-Pd", "Pd");
        for (shell, [r2, n]) in
            fcc.iter()
                .zip([[0.5f64, 12.0], [1.0, 6.0], [1.5, 24.0], [2.0, 12.0]])
        {
            assert!(
                (shell[0] - 3.891 * r2.sqrt()).abs() < 1e-9 && shell[1] == n,
                "{shell:?}"
            );
        }
        let bcc = shells_of("bcc-Zr@4.0", "Zr");
        assert!(
            (bcc[0][0] - 2.0 * 3f64.sqrt()).abs() < 1e-9
                && bcc[0][1] == 8.0
                && bcc[1] == [4.0, 6.0]
        );
        let hcp: f64 = shells_of("hcp-Zr", "Zr").iter().take(2).map(|s| s[1]).sum();
        assert_eq!(hcp, 12.0);
        // Only the metal of an oxide is seen.
        let zirconia = shells_of("c-ZrO2", "Zr");
        assert!((zirconia[0][0] - 5.09 / 2f64.sqrt()).abs() < 1e-9 && zirconia[0][1] == 12.0);
    }

    #[test]
    fn zirconia_has_the_zr_o_distances_of_the_literature() {
        let nearest = |name: &str| {
            let crystal = built_in(name).unwrap();
            let all = ["Zr".to_owned(), "O".to_owned()];
            reference_pdf(&crystal, &all, &SAMPLING).unwrap().shells[0][0]
        };
        assert!((nearest("c-ZrO2") - 5.09 * 3f64.sqrt() / 4.0).abs() < 1e-9);
        assert!((nearest("t-ZrO2") - 2.065).abs() < 0.01);
        // The shortest of the seven bonds in baddeleyite is 2.05 Å.
        assert!(
            (nearest("m-ZrO2") - 2.05).abs() < 0.02,
            "{}",
            nearest("m-ZrO2")
        );
        for (name, volume) in [("m-ZrO2", 140.88), ("t-ZrO2", 69.83), ("c-ZrO2", 131.87)] {
            let found = built_in(name).unwrap().volume();
            assert!((found - volume).abs() < 0.1, "{name} {found}");
        }
    }

    #[test]
    fn far_away_every_crystal_is_uniform() {
        for name in names() {
            let crystal = built_in(name).unwrap();
            let wide = Sampling {
                range: 20.0,
                bin: 0.05,
                smoothing: 0.4,
            };
            let pdf = reference_pdf(&crystal, &["Zr".to_owned()], &wide).unwrap();
            let far: Vec<f64> = pdf.g[240..390].to_vec();
            let mean = far.iter().sum::<f64>() / far.len() as f64;
            assert!((mean - 1.0).abs() < 0.03, "{name} {mean}");
        }
        assert!(built_in("fcc-Xx").is_none() && built_in("fcc-Zr@abc").is_none());
    }
}
