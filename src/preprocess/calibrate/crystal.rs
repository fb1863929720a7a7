//! Crystals by their lattice, and the reflections seen along a zone axis.

use super::super::PrepareError;

/// Which reflections a cubic lattice shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lattice {
    Simple,
    BodyCentered,
    FaceCentered,
    Diamond,
}

/// A cubic crystal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crystal {
    lattice: Lattice,
    constant: f64,
}

/// A reflection along the beam's plane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reflection {
    /// Miller indices.
    pub hkl: [i32; 3],
    /// In-plane wave vector, cycles/Å.
    pub wave: [f64; 2],
}

/// Lattice constants at room temperature, Å: silicon's from CODATA 2018, the others' from the Handbook of Chemistry and
/// Physics.
const KNOWN: [(&str, Lattice, f64); 16] = [
    ("Si", Lattice::Diamond, 5.431_020_5),
    ("Ge", Lattice::Diamond, 5.6575),
    ("C", Lattice::Diamond, 3.567),
    ("GaAs", Lattice::FaceCentered, 5.6533),
    ("Al", Lattice::FaceCentered, 4.0495),
    ("Ni", Lattice::FaceCentered, 3.5238),
    ("Cu", Lattice::FaceCentered, 3.6149),
    ("Pd", Lattice::FaceCentered, 3.8907),
    ("Ag", Lattice::FaceCentered, 4.0862),
    ("Pt", Lattice::FaceCentered, 3.9242),
    ("Au", Lattice::FaceCentered, 4.0786),
    ("Fe", Lattice::BodyCentered, 2.8665),
    ("Mo", Lattice::BodyCentered, 3.1470),
    ("W", Lattice::BodyCentered, 3.1652),
    ("Ta", Lattice::BodyCentered, 3.3030),
    ("SrTiO3", Lattice::Simple, 3.905),
];

impl Crystal {
    /// A crystal by its symbol, or by `lattice:constant`.
    ///
    /// # Errors
    /// Names what is known.
    pub fn parse(text: &str) -> Result<Self, PrepareError> {
        let text = text.trim();
        if let Some((_, lattice, constant)) = KNOWN
            .iter()
            .find(|(name, ..)| name.eq_ignore_ascii_case(text))
        {
            return Ok(Self {
                lattice: *lattice,
                constant: *constant,
            });
        }
        let parsed = text.split_once(':').and_then(|(lattice, constant)| {
            let lattice = match lattice.to_ascii_lowercase().as_str() {
                "sc" => Lattice::Simple,
                "bcc" => Lattice::BodyCentered,
                "fcc" => Lattice::FaceCentered,
                "diamond" => Lattice::Diamond,
                _ => return None,
            };
            let constant = constant.trim().parse().ok()?;
            (0.5..30.0)
                .contains(&constant)
                .then_some(Self { lattice, constant })
        });
        parsed.ok_or_else(|| {
            let names: Vec<&str> = KNOWN.iter().map(|(name, ..)| *name).collect();
            PrepareError::BadParameter {
                name: "crystal",
                expected: format!(
                    "{} or sc, bcc, fcc, diamond with a constant in Å (fcc:4.078)",
                    names.join(", ")
                ),
                found: text.to_owned(),
            }
        })
    }

    fn shows(&self, [h, k, l]: [i32; 3]) -> bool {
        let odd = [h, k, l].iter().filter(|n| *n % 2 != 0).count();
        match self.lattice {
            Lattice::Simple => true,
            Lattice::BodyCentered => (h + k + l) % 2 == 0,
            Lattice::FaceCentered => odd == 0 || odd == 3,
            Lattice::Diamond => odd == 3 || (odd == 0 && (h + k + l) % 4 == 0),
        }
    }

    /// The reflections perpendicular to `zone` up to `most` cycles/Å, of each pair ±g one, the innermost first.
    pub(super) fn reflections(&self, zone: [i32; 3], most: f64) -> Vec<Reflection> {
        // Planes closer than a third of an ångström are beyond every image; it also bounds the search.
        let reach = (most.min(3.0) * self.constant).floor() as i32;
        let [first, second] = in_plane(zone.map(f64::from));
        let mut found = Vec::new();
        for h in -reach..=reach {
            for k in -reach..=reach {
                for l in -reach..=reach {
                    let dot = h * zone[0] + k * zone[1] + l * zone[2];
                    // The later one of ±g in the order of the loops.
                    let later = [h, k, l]
                        .into_iter()
                        .find(|n| *n != 0)
                        .is_some_and(|n| n > 0);
                    if dot != 0 || !later || !self.shows([h, k, l]) {
                        continue;
                    }
                    let g = [h, k, l].map(|n| f64::from(n) / self.constant);
                    let along = |axis: [f64; 3]| (0..3).map(|i| g[i] * axis[i]).sum::<f64>();
                    let wave = [along(first), along(second)];
                    if wave[0].hypot(wave[1]) <= most {
                        found.push(Reflection {
                            hkl: [h, k, l],
                            wave,
                        });
                    }
                }
            }
        }
        found.sort_by(|a, b| {
            let length = |r: &Reflection| r.wave[0].hypot(r.wave[1]);
            length(a).total_cmp(&length(b))
        });
        found
    }
}

/// Two orthonormal directions perpendicular to the zone axis.
fn in_plane(zone: [f64; 3]) -> [[f64; 3]; 2] {
    let unit = |v: [f64; 3]| {
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        v.map(|x| x / length)
    };
    let cross = |a: [f64; 3], b: [f64; 3]| {
        std::array::from_fn(|i| {
            let (j, k) = ((i + 1) % 3, (i + 2) % 3);
            a[j] * b[k] - a[k] * b[j]
        })
    };
    let zone = unit(zone);
    // The cube axis furthest from the zone axis.
    let axis = (0..3)
        .rev()
        .min_by(|&a, &b| zone[a].abs().total_cmp(&zone[b].abs()))
        .unwrap_or(0);
    let mut cube = [0.0; 3];
    cube[axis] = 1.0;
    let second = unit(cross(zone, cube));
    [cross(second, zone), second]
}

/// `110`, `1-10`, `1,-1,2`.
pub(super) fn parse_zone(text: &str) -> Result<[i32; 3], PrepareError> {
    let wrong = || PrepareError::BadParameter {
        name: "zone",
        expected: "three small indices like 110 or 1,-1,2".to_owned(),
        found: text.to_owned(),
    };
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let mut indices = Vec::new();
    if inner.contains([',', ' ']) {
        for part in inner.split([',', ' ']).filter(|part| !part.is_empty()) {
            indices.push(part.parse::<i32>().map_err(|_| wrong())?);
        }
    } else {
        let mut sign = 1;
        for c in inner.chars() {
            match c {
                '-' => sign = -1,
                _ => {
                    let digit = c.to_digit(10).ok_or_else(wrong)?;
                    indices.push(sign * i32::try_from(digit).map_err(|_| wrong())?);
                    sign = 1;
                }
            }
        }
    }
    match <[i32; 3]>::try_from(indices) {
        Ok(zone) if zone != [0; 3] && zone.iter().all(|n| n.abs() <= 20) => Ok(zone),
        _ => Err(wrong()),
    }
}
