//! Voids per volume of their shell against distance from a surface.
//!
//! A shell is the part of the particle's region between two distances; within a tetrahedron the distance is interpolated
//! linearly between its corners, and the part below a distance has a closed form (Blöchl et al. 1994, doi
//! 10.1103/PhysRevB.49.16223, appendix). A void lies where the atoms around it lie on average. Interval of a count: Poisson,
//! exact (Garwood 1936).

use super::Void;
use crate::analyze::oxidation::{Region, Space};
use crate::analyze::profiles::Distances;
use crate::numeric::odds::poisson_95;
use rayon::prelude::*;
use serde_json::{Map, Value, json};

/// Classes that are counted, and their keys.
pub const CLASSES: [(&str, &str); 3] = [
    ("vacancy", "vacancies"),
    ("nanopore", "nanopores"),
    ("large", "large"),
];
/// Å³ in a nm³.
const NM3: f64 = 1000.0;

/// What lies between two distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shell {
    /// Least and greatest distance, Å.
    pub between: [f64; 2],
    /// Volume of the particle's region in it, Å³.
    pub volume: f64,
    /// Volume of void tetrahedra in it, those of voids at the surface included, Å³.
    pub void_volume: f64,
    /// Voids of each class ([`CLASSES`]).
    pub counts: [usize; 3],
}

impl Shell {
    /// Voids of a class per nm³, and the ends of the 95 % interval.
    #[must_use]
    pub fn density(&self, class: usize) -> [f64; 3] {
        let n = self.counts[class];
        let [low, high] = poisson_95(n);
        [n as f64, low, high].map(|count| NM3 * count / self.volume)
    }

    /// Its middle, Å.
    #[must_use]
    pub fn middle(&self) -> f64 {
        0.5 * (self.between[0] + self.between[1])
    }
}

/// Voids against the distance from one surface.
#[derive(Debug, Clone, PartialEq)]
pub struct Radial {
    /// `surface` or `core`.
    pub from: String,
    /// From the least distance up.
    pub shells: Vec<Shell>,
}

/// Share of a tetrahedron in which a linear function with these values at the corners (ascending) is below `x`.
fn share_below(x: f64, [a, b, c, d]: [f64; 4]) -> f64 {
    if x <= a {
        0.0
    } else if x >= d {
        1.0
    } else if x <= b {
        (x - a).powi(3) / ((b - a) * (c - a) * (d - a))
    } else if x <= c {
        let (ba, ca, da, cb, db) = (b - a, c - a, d - a, c - b, d - b);
        let y = x - b;
        (ba * ba + 3.0 * ba * y + 3.0 * y * y - (ca + db) / (cb * db) * y.powi(3)) / (ca * da)
    } else {
        1.0 - (d - x).powi(3) / ((d - a) * (d - b) * (d - c))
    }
}

impl Radial {
    /// Shells `width` Å thick with an edge at zero. `void_radius` tells void tetrahedra, Å.
    #[must_use]
    pub fn new(
        from: &Distances,
        voids: &[Void],
        space: &Space,
        region: &Region,
        [width, void_radius]: [f64; 2],
    ) -> Self {
        let finite = from.values.iter().copied().filter(|d| d.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), d| {
            (a.min(d), b.max(d))
        });
        let mut made = Self {
            from: from.from.clone(),
            shells: Vec::new(),
        };
        if low > high || width.is_nan() || width <= 0.0 {
            return made;
        }
        let first = (low / width).floor();
        let edges = ((high / width).ceil() - first).max(1.0) as usize + 1;
        let edge = |k: usize| (first + k as f64) * width;
        // Chunks of one size, summed in their order: the same sum however many threads there are.
        const CHUNK: usize = 4096;
        let tets = &space.mesh.tetrahedra;
        let parts: Vec<Vec<[f64; 2]>> = (0..tets.len().div_ceil(CHUNK))
            .into_par_iter()
            .map(|chunk| {
                let mut sums = vec![[0.0; 2]; edges - 1];
                for tet in CHUNK * chunk..(CHUNK * (chunk + 1)).min(tets.len()) {
                    let mut at = tets[tet].map(|i| from.values[i as usize]);
                    if !region.inside[tet] || at.iter().any(|d| !d.is_finite()) {
                        continue;
                    }
                    at.sort_unstable_by(f64::total_cmp);
                    let is_void = space.circumradius[tet] > void_radius;
                    let start = ((at[0] / width).floor() - first) as usize;
                    let mut below = 0.0;
                    for (bin, sum) in sums.iter_mut().enumerate().skip(start) {
                        let next = share_below(edge(bin + 1), at);
                        let part = (next - below) * space.volume[tet];
                        sum[0] += part;
                        sum[1] += if is_void { part } else { 0.0 };
                        below = next;
                        if edge(bin + 1) >= at[3] {
                            break;
                        }
                    }
                }
                sums
            })
            .collect();
        made.shells = (0..edges - 1)
            .map(|bin| Shell {
                between: [edge(bin), edge(bin + 1)],
                volume: parts.iter().map(|p| p[bin][0]).sum(),
                void_volume: parts.iter().map(|p| p[bin][1]).sum(),
                counts: [0; 3],
            })
            .collect();
        for void in voids.iter().filter(|void| !void.at_surface) {
            let class = CLASSES.iter().position(|(name, _)| *name == void.class());
            let bin = (void.mean_of(&from.values) / width).floor() - first;
            // A negative or undefined place is no shell's.
            let shell = (bin >= 0.0).then_some(bin as usize);
            if let (Some(class), Some(shell)) = (class, shell.and_then(|k| made.shells.get_mut(k)))
            {
                shell.counts[class] += 1;
            }
        }
        // What is hardly there has no density.
        made.shells.retain(|shell| shell.volume > 1e-9);
        made
    }

    /// Its JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let column = |f: &dyn Fn(&Shell) -> f64| self.shells.iter().map(f).collect::<Vec<_>>();
        let mut by = Map::new();
        for (class, (_, key)) in CLASSES.into_iter().enumerate() {
            let counts: Vec<usize> = self.shells.iter().map(|s| s.counts[class]).collect();
            let entry = json!({
                "n": counts,
                "per_nm3": column(&|s| s.density(class)[0]),
                "ci95_low_per_nm3": column(&|s| s.density(class)[1]),
                "ci95_high_per_nm3": column(&|s| s.density(class)[2]),
            });
            by.insert(key.to_owned(), entry);
        }
        json!({
            "from_A": column(&|s| s.between[0]),
            "to_A": column(&|s| s.between[1]),
            "shell_volume_A3": column(&|s| s.volume),
            "void_share": column(&|s| s.void_volume / s.volume),
            "by_class": by,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{space_of, with_a_vacancy};
    use super::*;

    #[test]
    fn the_share_of_a_tetrahedron_below_a_level_is_what_sampling_finds() {
        // Barycentric coordinates evenly spread: spacings of three sorted points of a lattice.
        let mut samples = Vec::new();
        let n = 60;
        for i in 0..n {
            for j in 0..n - i {
                for k in 0..n - i - j {
                    let w = [i, j, k].map(|v| (f64::from(v) + 0.25) / f64::from(n));
                    samples.push([w[0], w[1], w[2], 1.0 - w[0] - w[1] - w[2]]);
                }
            }
        }
        for at in [
            [0.0, 1.0, 2.0, 3.0],
            [-1.0, -1.0, 0.5, 4.0],
            [0.0, 2.0, 2.0, 2.0],
            [1.0, 1.0, 3.0, 3.0],
        ] {
            for x in [-2.0, -0.5, 0.3, 1.0, 1.7, 2.0, 2.9, 5.0] {
                let value = |w: &[f64; 4]| (0..4).map(|k| w[k] * at[k]).sum::<f64>();
                let below = samples.iter().filter(|w| value(w) < x).count();
                let counted = below as f64 / samples.len() as f64;
                let found = share_below(x, at);
                assert!(
                    (found - counted).abs() < 0.03,
                    "{at:?} {x}: {found} {counted}"
                );
            }
        }
    }

    #[test]
    fn the_shells_of_a_ball_fill_it_and_hold_its_vacancy() {
        let points = with_a_vacancy();
        let (space, found) = space_of(&points);
        let region = Region::new(&space, 4.5, points.len());
        let radius = |p: &[f64; 3]| p.iter().map(|x| x * x).sum::<f64>().sqrt();
        let from = Distances {
            from: "surface".to_owned(),
            values: points.iter().map(radius).collect(),
            surface: Default::default(),
        };
        let radial = Radial::new(&from, &found, &space, &region, [3.0, 3.19]);
        let total: f64 = radial.shells.iter().map(|s| s.volume).sum();
        assert!((total / region.volume - 1.0).abs() < 1e-12);
        // r is convex, so interpolated it is a little too large; the shells are those of spheres but for that.
        for shell in &radial.shells[1..4] {
            let [a, b] = shell.between;
            let sphere = 4.0 / 3.0 * std::f64::consts::PI * (b.powi(3) - a.powi(3));
            assert!(
                (shell.volume / sphere - 1.0).abs() < 0.12,
                "{shell:?} {sphere}"
            );
        }
        // Its twelve neighbours are 3.6 Å from the middle.
        let counts: Vec<usize> = radial.shells.iter().map(|s| s.counts[0]).collect();
        assert_eq!(counts.iter().sum::<usize>(), 1);
        let shell = radial.shells.iter().find(|s| s.counts[0] == 1).unwrap();
        assert_eq!(shell.between, [3.0, 6.0]);
        let [density, low, high] = shell.density(0);
        assert!((density - 1000.0 / shell.volume).abs() < 1e-12);
        // Garwood's interval of one event.
        assert!(
            (low / density - 0.025_318).abs() < 1e-5 && (high / density - 5.571_643).abs() < 1e-5
        );
        let void: f64 = radial.shells.iter().map(|s| s.void_volume).sum();
        let all: f64 = found.iter().map(|v| v.volume).sum();
        assert!((void - all).abs() < 1e-9);
    }
}
