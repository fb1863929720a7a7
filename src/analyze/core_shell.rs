//! Core-shell particles: concentration against depth, thickness of the interface, mixing of the species.
//!
//! - Core: the species whose atoms are nearest to the model's centre on average; all others are shell.
//! - **Layers** (Li et al., Pd@Pt): morphological peeling from three start shapes, see `layers`. Zero depth is the
//!   50 % crossing of the core fraction.
//! - **Distance**: the core fraction smoothed by a Gaussian σ, `f(x) = Σ_core g / Σ_all g`; its 50 % surface (the connected
//!   parts of at least a tenth of the largest); the signed distance of every atom to it, negative in the core.
//! - **Thickness** 5–95 %: through the layers' core fractions goes a modified Akima curve; from its first fall below 95 % to
//!   its last fall below 5 %. Layers with fewer than `FEWEST` atoms are passed over beyond the middle of the interface.
//!   The standard error is that of repeated draws of each layer's composition (binomial).
//! - The thickness by distance also depends on σ; it is given for ¾, 1 and 1½ of it, and the range over all definitions.

use super::layers::{Peeler, Start};
use super::profiles::blur::{Blur, position_error};
use super::{AnalyzeParams, Work};
use crate::model::Atoms;
use crate::numeric::curve::{Makima, erfc, fit_step};
use crate::numeric::neighbors::{CellList, neighbors_within};
use crate::numeric::surface::{Surface, SurfaceTree, root};
use crate::numeric::tessellation::Delaunay;
use rand::SeedableRng;
use rand_distr::{Binomial, Distribution};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::time::Instant;

type Point = [f64; 3];

/// Atoms below which a layer beyond the interface says nothing about 5 %.
const FEWEST: usize = 10;
/// Repeated draws for the standard error of a thickness.
const DRAWS: usize = 200;

/// Composition of one layer or bin.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Depth of its middle from the 50 % surface, Å; negative in the core.
    pub depth: f64,
    /// Atoms of the core species.
    pub core: usize,
    /// All other atoms.
    pub shell: usize,
    /// Mean number of unlike neighbours of its core atoms; NaN without any.
    pub cn_core: f64,
    /// Mean number of unlike neighbours of its other atoms; NaN without any.
    pub cn_shell: f64,
}

impl Layer {
    /// Share of core atoms.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        self.core as f64 / (self.core + self.shell).max(1) as f64
    }
}

/// A profile of the composition and the thickness read off it.
#[derive(Debug, Clone, PartialEq)]
pub struct Composition {
    /// `clean_core`, `clean_shell`, `surface` (layers), or `distance`.
    pub kind: &'static str,
    /// σ of the smoothing that made the 50 % surface, Å; 0 for layers.
    pub sigma: f64,
    /// From the core outwards; empty layers are left out.
    pub layers: Vec<Layer>,
    /// 5–95 % thickness, Å; `None` where the curve does not reach both.
    pub thickness: Option<f64>,
    /// Standard error of the thickness from the number of atoms, Å.
    pub thickness_error: Option<f64>,
    /// What blurs it: the thickness of its layers.
    pub blur: Blur,
    /// σ of the error function fitted to the fractions (weights: atoms) and its standard error, Å.
    pub step: Option<[f64; 2]>,
}

/// The analysis of a core-shell particle.
#[derive(Debug, Clone, PartialEq)]
pub struct CoreShell {
    /// Name of the core species.
    pub core: String,
    /// Names of the shell species.
    pub shell: Vec<String>,
    /// Whether an atom is of the core species.
    pub is_core: Vec<bool>,
    /// Signed distance of each atom from the 50 % surface, Å; empty where there is no such surface.
    pub depth: Vec<f64>,
    /// The 50 % surface.
    pub surface: Surface,
    /// Neighbours of another species, of each atom.
    pub cn_unlike: Vec<u32>,
    /// Neighbours of the same species, of each atom.
    pub cn_like: Vec<u32>,
    /// Sizes of the connected groups of core atoms, largest first.
    pub clusters: Vec<usize>,
    /// Layers from each start, then by distance for each σ; the first is the one that counts.
    pub profiles: Vec<Composition>,
    /// What could not be computed.
    pub notes: Vec<String>,
}

impl CoreShell {
    /// Atoms without a neighbour of their own species: (core, shell).
    #[must_use]
    pub fn isolated(&self) -> (usize, usize) {
        let count = |core: bool| {
            (0..self.is_core.len())
                .filter(|&i| self.is_core[i] == core && self.cn_like[i] == 0)
                .count()
        };
        (count(true), count(false))
    }

    /// Smallest and largest 5–95 % thickness over the definitions, Å.
    #[must_use]
    pub fn thickness_range(&self) -> Option<[f64; 2]> {
        let all = self.profiles.iter().filter_map(|p| p.thickness);
        all.fold(None, |range: Option<[f64; 2]>, t| {
            Some(range.map_or([t, t], |[low, high]| [low.min(t), high.max(t)]))
        })
    }

    /// The JSON of `core_shell`.
    #[must_use]
    pub fn json(&self, cutoff: f64) -> Value {
        let of = |core: bool| {
            super::summary::moments(
                (0..self.is_core.len())
                    .filter(|&i| self.is_core[i] == core)
                    .map(|i| f64::from(self.cn_unlike[i])),
            )
        };
        let (core, shell) = self.isolated();
        let alone: Vec<f64> = (0..self.depth.len())
            .filter(|&i| self.is_core[i] && self.cn_like[i] == 0)
            .map(|i| self.depth[i])
            .collect();
        let twelve = (0..self.is_core.len())
            .filter(|&i| self.is_core[i] && self.cn_unlike[i] == 12 && self.cn_like[i] == 0)
            .count();
        let sizes = |low: usize, high: usize| {
            self.clusters
                .iter()
                .filter(|n| (low..=high).contains(n))
                .count()
        };
        let first = self.profiles.first();
        json!({
            "core": self.core,
            "shell": self.shell,
            "cutoff_A": cutoff,
            "thickness_5_95_A": first.and_then(|p| p.thickness),
            "thickness_se_A": first.and_then(|p| p.thickness_error),
            "thickness_definition": first.map(|p| p.kind),
            "resolution_5_95_A": first.map(|p| p.blur.width_5_95()),
            "wider_than_resolution": first.and_then(|p| Some(p.thickness? > p.blur.width_5_95())),
            "thickness_range_A": self.thickness_range(),
            "profiles": self.profiles.iter().map(Composition::json).collect::<Vec<_>>(),
            "cn_unlike": { "core": of(true), "shell": of(false) },
            "isolated": { "core": core, "core_12_unlike": twelve, "shell": shell, "core_depth_A": alone },
            "clusters": {
                "sizes": self.clusters,
                "largest": self.clusters.first(),
                "n_size1": sizes(1, 1),
                "n_size2": sizes(2, 2),
                "n_size3to10": sizes(3, 10),
            },
        })
    }
}

impl Composition {
    fn json(&self) -> Value {
        let column = |f: &dyn Fn(&Layer) -> Value| self.layers.iter().map(f).collect::<Vec<_>>();
        json!({
            "kind": self.kind,
            "sigma_A": self.sigma,
            "thickness_5_95_A": self.thickness,
            "thickness_se_A": self.thickness_error,
            "resolution_5_95_A": self.blur.width_5_95(),
            "wider_than_resolution": self.thickness.map(|t| t > self.blur.width_5_95()),
            "erf_sigma_A": self.step.map(|s| s[0]),
            "erf_sigma_se_A": self.step.map(|s| s[1]),
            "depth_A": column(&|l| json!(l.depth)),
            "core_fraction": column(&|l| json!(l.fraction())),
            "n_core": column(&|l| json!(l.core)),
            "n_shell": column(&|l| json!(l.shell)),
            "cn_unlike_core": column(&|l| json!(l.cn_core)),
            "cn_unlike_shell": column(&|l| json!(l.cn_shell)),
        })
    }
}

/// Runs the part for [`super::analyze`]: columns `depth` (Å) and `cn_unlike`.
pub(super) fn part(work: &mut Work<'_>, params: &AnalyzeParams) {
    if !work.wanted.has("core-shell") {
        return;
    }
    let started = Instant::now();
    // Only who asks for it by name is told that one species has no core.
    let asked = work.wanted.0.is_some();
    let kept = work
        .same(|p| (p.layer, p.interface_sigma))
        .and_then(|before| before.core_shell.clone());
    let out = &mut work.out;
    let found = kept.map_or_else(
        || {
            let mesh = out.space.as_ref().map(|s| (&s.mesh, &s.circumradius[..]));
            core_shell(&out.atoms, out.cutoff, work.spacing, mesh, params)
        },
        Ok,
    );
    match found {
        Ok(found) => {
            out.notes.extend(found.notes.iter().cloned());
            let cn = found.cn_unlike.iter().map(|&n| f64::from(n)).collect();
            out.atoms.set_column("cn_unlike", "", cn);
            if !found.depth.is_empty() {
                out.atoms.set_column("depth", "Å", found.depth.clone());
            }
            out.core_shell = Some(found);
        }
        Err(reason) if asked => out.notes.push(format!("core-shell: {reason}")),
        Err(_) => {}
    }
    work.time("core-shell", started);
}

/// Analyses a core-shell particle. `cutoff` is the neighbour cutoff and `spacing` the nearest distance, Å; `mesh` the
/// tessellation of the atoms and its circumradii.
///
/// # Errors
/// A sentence where there is nothing to analyse: fewer than two species present, or fewer than 5 atoms.
pub fn core_shell(
    atoms: &Atoms,
    cutoff: f64,
    spacing: f64,
    mesh: Option<(&Delaunay, &[f64])>,
    params: &AnalyzeParams,
) -> Result<CoreShell, String> {
    let counts = atoms.species_counts();
    if atoms.len() < 5 {
        return Err(format!("needs at least 5 atoms, found {}", atoms.len()));
    }
    let core = core_species(atoms)
        .filter(|_| counts.len() > 1)
        .ok_or_else(|| {
            format!(
                "needs two species, found {}",
                counts.keys().cloned().collect::<Vec<_>>().join(", ")
            )
        })?;
    let is_core: Vec<bool> = (0..atoms.len())
        .map(|i| atoms.species_name(i) == core)
        .collect();
    let neighbors = neighbors_within(&atoms.positions, cutoff);
    let alike = |a: usize, b: u32| atoms.species_name(a) == atoms.species_name(b as usize);
    let cn_like: Vec<u32> = neighbors
        .iter()
        .enumerate()
        .map(|(i, around)| around.iter().filter(|&&j| alike(i, j)).count() as u32)
        .collect();
    let cn_unlike: Vec<u32> = neighbors
        .iter()
        .zip(&cn_like)
        .map(|(around, like)| around.len() as u32 - like)
        .collect();
    let mut found = CoreShell {
        shell: counts
            .keys()
            .filter(|name| **name != core)
            .cloned()
            .collect(),
        core,
        depth: Vec::new(),
        surface: Surface::default(),
        clusters: clusters(&neighbors, &is_core),
        profiles: Vec::new(),
        notes: Vec::new(),
        is_core,
        cn_unlike,
        cn_like,
    };
    let mut notes = Vec::new();
    let positions = &atoms.positions;
    match mesh.and_then(|(mesh, radius)| Peeler::new(positions, mesh, radius, params.layer)) {
        Some(peeler) => peel(
            &mut found, positions, &neighbors, &peeler, params, &mut notes,
        ),
        None => notes.push("core-shell: the atoms form no body that a grid of the layers can hold, so there are no layers".to_owned()),
    }
    let sigma = sigma(params, spacing);
    let scales = [1.0, 0.75, 1.5];
    let made: Vec<Option<(Surface, Vec<f64>)>> = scales
        .par_iter()
        .map(|scale| {
            // What only fills bins need not be exact.
            let tolerance = if *scale == 1.0 { 0.0 } else { 0.02 };
            let lengths = [scale * sigma, spacing];
            half_surface(positions, &found.is_core, &neighbors, lengths, tolerance)
        })
        .collect();
    for (scale, made) in scales.into_iter().zip(made) {
        let Some((surface, depth)) = made else {
            notes.push(format!(
                "core-shell: no 50 % surface of {} at σ {:.2} Å",
                found.core,
                scale * sigma
            ));
            continue;
        };
        let bins: Vec<Option<i64>> = depth
            .iter()
            .map(|d| Some((d / params.layer).round() as i64))
            .collect();
        let layers = compose(&found, &bins, |bin| bin as f64 * params.layer);
        found
            .profiles
            .push(profile("distance", scale * sigma, layers));
        if scale == 1.0 {
            (found.surface, found.depth) = (surface, depth);
        }
    }
    if found.profiles.iter().all(|p| p.thickness.is_none()) {
        notes.push("core-shell: the core fraction does not pass from 95 % to 5 %".to_owned());
    }
    let blur = blur(atoms, params);
    found.profiles.iter_mut().for_each(|p| p.blur = blur);
    found.notes = notes;
    Ok(found)
}

/// What blurs the composition: the thickness of a layer, and the errors of the atoms' places where they are known.
fn blur(atoms: &Atoms, params: &AnalyzeParams) -> Blur {
    Blur {
        position: position_error(atoms),
        ..Blur::of_bins(params.layer)
    }
}

/// σ of the Gaussian that makes the 50 % surface, Å: the given one, or ¾ of the nearest distance, with which the first shell
/// of neighbours still counts and single atoms do not show.
pub(super) fn sigma(params: &AnalyzeParams, spacing: f64) -> f64 {
    params.interface_sigma.unwrap_or(0.75 * spacing)
}

/// The species nearest to the centre of all atoms on average; of equals, the first by name.
fn core_species(atoms: &Atoms) -> Option<String> {
    let n = atoms.len() as f64;
    let center: Point =
        std::array::from_fn(|k| atoms.positions.iter().map(|p| p[k]).sum::<f64>() / n);
    let mut sums: std::collections::BTreeMap<&str, (f64, usize)> = Default::default();
    for (i, p) in atoms.positions.iter().enumerate() {
        let entry = sums.entry(atoms.species_name(i)).or_default();
        entry.0 += crate::model::geometry::distance(*p, center);
        entry.1 += 1;
    }
    sums.into_iter()
        .min_by(|a, b| (a.1.0 / a.1.1 as f64).total_cmp(&(b.1.0 / b.1.1 as f64)))
        .map(|(name, _)| name.to_owned())
}

/// Sizes of the connected groups of the chosen atoms, largest first.
fn clusters(neighbors: &[Vec<u32>], chosen: &[bool]) -> Vec<usize> {
    let group = groups(neighbors, |i| chosen[i]);
    let mut size = vec![0usize; chosen.len()];
    for i in (0..chosen.len()).filter(|&i| chosen[i]) {
        size[group[i] as usize] += 1;
    }
    size.retain(|n| *n > 0);
    size.sort_unstable_by(|a, b| b.cmp(a));
    size
}

/// Label of the connected group of each chosen atom: the least index in it.
pub(super) fn groups(neighbors: &[Vec<u32>], chosen: impl Fn(usize) -> bool) -> Vec<u32> {
    let mut parent: Vec<u32> = (0..neighbors.len() as u32).collect();
    for (i, around) in neighbors.iter().enumerate().filter(|(i, _)| chosen(*i)) {
        for &j in around.iter().filter(|&&j| chosen(j as usize)) {
            let (a, b) = (root(&mut parent, i as u32), root(&mut parent, j));
            parent[a.max(b) as usize] = a.min(b);
        }
    }
    (0..neighbors.len() as u32)
        .map(|i| root(&mut parent, i))
        .collect()
}

/// The three ways to peel; the first whose thickness is found becomes the first profile.
fn peel(
    found: &mut CoreShell,
    positions: &[Point],
    neighbors: &[Vec<u32>],
    peeler: &Peeler<'_>,
    params: &AnalyzeParams,
    notes: &mut Vec<String>,
) {
    let pick = |keep: &dyn Fn(usize) -> bool| -> Vec<Point> {
        (0..positions.len())
            .filter(|&i| keep(i))
            .map(|i| positions[i])
            .collect()
    };
    let same = |i: usize| {
        neighbors[i]
            .iter()
            .filter(|&&j| found.is_core[j as usize] == found.is_core[i])
            .count()
    };
    let clean_core = pick(&|i| found.is_core[i] && same(i) == 12);
    let rest = pick(&|i| found.is_core[i] || same(i) != 12);
    let starts = [
        (Start::CleanCore, clean_core),
        (Start::CleanShell, rest),
        (Start::Surface, Vec::new()),
    ];
    let made: Vec<Option<Composition>> = starts
        .par_iter()
        .map(|(start, chosen)| {
            let layer = peeler.peel(*start, chosen)?;
            let bins: Vec<Option<i64>> = layer.iter().map(|l| l.map(|l| l as i64)).collect();
            let layers = compose(found, &bins, |layer| layer as f64 * params.layer);
            Some(profile(start.name(), 0.0, layers))
        })
        .collect();
    for ((start, _), made) in starts.iter().zip(made) {
        match made {
            Some(mut made) => {
                center(&mut made);
                found.profiles.push(made);
            }
            None => notes.push(format!(
                "core-shell: too few atoms with 12 neighbours of their kind to peel from the {}",
                start.name().replace('_', " ")
            )),
        }
    }
}

/// Moves the depths so that zero lies at the last fall below 50 %.
fn center(profile: &mut Composition) {
    let middle = curve(&profile.layers)
        .and_then(|c| c.crossings(0.5).into_iter().rfind(|(_, rises)| !rises))
        .map_or(0.0, |(x, _)| x);
    profile.layers.iter_mut().for_each(|l| l.depth -= middle);
}

/// Composition of each bin, from the lowest to the highest that holds atoms.
fn compose(found: &CoreShell, bins: &[Option<i64>], depth: impl Fn(i64) -> f64) -> Vec<Layer> {
    let mut sums: std::collections::BTreeMap<i64, [[f64; 2]; 2]> = Default::default();
    for (i, bin) in bins.iter().enumerate() {
        if let Some(bin) = bin {
            let side = &mut sums.entry(*bin).or_default()[usize::from(found.is_core[i])];
            side[0] += 1.0;
            side[1] += f64::from(found.cn_unlike[i]);
        }
    }
    sums.into_iter()
        .map(|(bin, [shell, core])| Layer {
            depth: depth(bin),
            core: core[0] as usize,
            shell: shell[0] as usize,
            cn_core: core[1] / core[0],
            cn_shell: shell[1] / shell[0],
        })
        .collect()
}

fn profile(kind: &'static str, sigma: f64, layers: Vec<Layer>) -> Composition {
    let fractions: Vec<f64> = layers.iter().map(Layer::fraction).collect();
    let thickness = thickness(&layers, &fractions);
    let thickness_error = thickness.and_then(|_| thickness_error(&layers));
    let samples: Vec<(f64, f64, f64)> = layers
        .iter()
        .map(|l| (l.depth, l.fraction(), (l.core + l.shell) as f64))
        .collect();
    let step = fit_step(&samples).map(|fit| [fit.values[1], fit.errors[1]]);
    Composition {
        kind,
        sigma,
        layers,
        thickness,
        thickness_error,
        blur: Blur::default(),
        step,
    }
}

fn curve(layers: &[Layer]) -> Option<Makima> {
    let x: Vec<f64> = layers.iter().map(|l| l.depth).collect();
    let y: Vec<f64> = layers.iter().map(Layer::fraction).collect();
    Makima::new(&x, &y)
}

/// From the first fall below 95 % to the last fall below 5 %.
fn thickness(layers: &[Layer], fractions: &[f64]) -> Option<f64> {
    let middle = fractions.iter().rposition(|f| *f >= 0.5)?;
    let (x, y): (Vec<f64>, Vec<f64>) = layers
        .iter()
        .zip(fractions)
        .enumerate()
        .filter(|(i, (layer, _))| *i <= middle || layer.core + layer.shell >= FEWEST)
        .map(|(_, (layer, fraction))| (layer.depth, *fraction))
        .unzip();
    let curve = Makima::new(&x, &y)?;
    let falls = |level: f64| {
        let mut all = curve.crossings(level);
        all.retain(|(_, rises)| !rises);
        all
    };
    Some(falls(0.05).last()?.0 - falls(0.95).first()?.0)
}

/// Standard deviation of the thickness when each layer's composition is drawn again.
fn thickness_error(layers: &[Layer]) -> Option<f64> {
    let mut random = rand::rngs::StdRng::seed_from_u64(0);
    let mut drawn = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let fractions: Option<Vec<f64>> = layers
            .iter()
            .map(|l| {
                let n = (l.core + l.shell) as u64;
                let draw = Binomial::new(n, l.fraction()).ok()?.sample(&mut random);
                Some(draw as f64 / n as f64)
            })
            .collect();
        drawn.extend(thickness(layers, &fractions?));
    }
    if drawn.len() < DRAWS / 2 {
        return None;
    }
    let n = drawn.len() as f64;
    let mean = drawn.iter().sum::<f64>() / n;
    Some((drawn.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

/// The 50 % surface of the smoothed core fraction and every atom's signed distance to it, to a relative `tolerance`; `None`
/// where there is none. σ smooths, and `spacing` is the nearest distance, Å.
///
/// The field is evaluated on a grid of ¾ σ (its 50 % crossings are good to 0.01 σ), only near atoms whose own value says that
/// the surface may be near: no place of the particle is farther than ¾ of the nearest distance from an atom, and over that
/// distance no smoothed field rises more than a smoothed step.
pub(super) fn half_surface(
    positions: &[Point],
    is_core: &[bool],
    neighbors: &[Vec<u32>],
    [sigma, spacing]: [f64; 2],
    tolerance: f64,
) -> Option<(Surface, Vec<f64>)> {
    let species = [true, false].map(|core| -> Vec<Point> {
        let of = (0..positions.len()).filter(|&i| is_core[i] == core);
        of.map(|i| positions[i]).collect()
    });
    // Cells of half the reach: fewer atoms are looked at in vain.
    let lists = [0, 1].map(|k| CellList::new(&species[k], 1.5 * sigma));
    let weight = |list: &CellList, at: Point| {
        let mut sum = 0.0;
        list.for_each_within(at, 3.0 * sigma, |_, d2| {
            sum += (-0.5 * d2 / (sigma * sigma)).exp();
        });
        sum
    };
    let fraction = |at: Point| {
        let core = weight(&lists[0], at);
        // Most of the shell is out of the core's reach.
        if core == 0.0 {
            0.0
        } else {
            core / (core + weight(&lists[1], at))
        }
    };
    let own: Vec<f64> = positions.par_iter().map(|p| fraction(*p)).collect();
    let step = 0.75 * sigma;
    let reach = 0.75 * spacing + step;
    let rise = 0.5 - 0.5 * erfc(0.75 * spacing / (sigma * std::f64::consts::SQRT_2));
    // A little more, for the lattice is no continuum.
    let limit = (rise + 0.06).min(0.49);
    let near: Vec<Point> = (0..positions.len())
        .filter(|&i| (own[i] - 0.5).abs() < limit)
        .map(|i| positions[i])
        .collect();
    // Whole steps from the origin: the grid does not follow single atoms.
    let low: Point = std::array::from_fn(|k| {
        let least = near.iter().map(|p| p[k]).fold(f64::INFINITY, f64::min);
        ((least - reach) / step).floor() * step
    });
    let high: Point = std::array::from_fn(|k| {
        near.iter().map(|p| p[k]).fold(f64::NEG_INFINITY, f64::max) + reach
    });
    if near.is_empty() {
        return None;
    }
    let size: [usize; 3] = std::array::from_fn(|k| ((high[k] - low[k]) / step).ceil() as usize + 1);
    // A stray atom far away must not cost memory.
    if size.iter().map(|&n| n as f64).product::<f64>() > 2e7 {
        return None;
    }
    let flat = |[x, y, z]: [usize; 3]| (x * size[1] + y) * size[2] + z;
    let mut wanted = vec![false; size.iter().product()];
    for p in &near {
        let range = |k: usize| {
            let start = ((p[k] - reach - low[k]) / step).ceil().max(0.0) as usize;
            start..(((p[k] + reach - low[k]) / step).floor() as usize + 1).min(size[k])
        };
        for x in range(0) {
            for y in range(1) {
                for z in range(2) {
                    wanted[flat([x, y, z])] = true;
                }
            }
        }
    }
    let nodes: Vec<usize> = (0..wanted.len()).filter(|&i| wanted[i]).collect();
    let place = |node: usize| -> Point {
        let xyz = [
            node / (size[1] * size[2]),
            node / size[2] % size[1],
            node % size[2],
        ];
        std::array::from_fn(|k| low[k] + step * xyz[k] as f64)
    };
    let points: Vec<Point> = nodes.iter().map(|&n| place(n)).collect();
    let values: Vec<f64> = points.par_iter().map(|p| fraction(*p)).collect();
    let mut name = vec![u32::MAX; wanted.len()];
    for (i, &node) in nodes.iter().enumerate() {
        name[node] = i as u32;
    }
    let cells = nodes.iter().flat_map(|&node| {
        let z = node % size[2];
        let y = node / size[2] % size[1];
        let inside = z + 1 < size[2] && y + 1 < size[1] && node / (size[1] * size[2]) + 1 < size[0];
        let corner: [u32; 8] = std::array::from_fn(|c| {
            let to = node + (c & 1) * size[1] * size[2] + (c >> 1 & 1) * size[2] + (c >> 2);
            if inside { name[to] } else { u32::MAX }
        });
        let sides = corner
            .iter()
            .filter(|&&c| c != u32::MAX && values[c as usize] >= 0.5)
            .count();
        let mixed = !corner.contains(&u32::MAX) && sides > 0 && sides < 8;
        // Six tetrahedra round the diagonal; neighbouring cells share their facets.
        [[1, 3], [3, 2], [2, 6], [6, 4], [4, 5], [5, 1]]
            .map(|[a, b]| [corner[0], corner[a], corner[b], corner[7]])
            .into_iter()
            .filter(move |_| mixed)
    });
    let surface = Surface::level_set(&points, cells, &values, 0.5).main_parts(0.1);
    if surface.triangles.is_empty() {
        return None;
    }
    let inner = in_main_group(neighbors, &own);
    let tree = SurfaceTree::new(&surface);
    let mut depth = tree.distances(positions, tolerance);
    for (depth, _) in depth.iter_mut().zip(&inner).filter(|(_, inner)| **inner) {
        *depth = -*depth;
    }
    Some((surface, depth))
}

/// Whether an atom lies in the core's body: above 50 % and connected to the largest such group, or below but enclosed.
fn in_main_group(neighbors: &[Vec<u32>], own: &[f64]) -> Vec<bool> {
    let side = |high: bool| {
        let chosen = |i: usize| (own[i] >= 0.5) == high;
        let group = groups(neighbors, chosen);
        let mut size = vec![0usize; own.len()];
        (0..own.len())
            .filter(|&i| chosen(i))
            .for_each(|i| size[group[i] as usize] += 1);
        // The largest; groups of at least a tenth of it are bodies of their own.
        let limit = size.iter().copied().max().unwrap_or(0) / 10;
        (0..own.len())
            .map(|i| chosen(i) && size[group[i] as usize] > limit)
            .collect::<Vec<bool>>()
    };
    let (core, shell) = (side(true), side(false));
    (0..own.len())
        .map(|i| core[i] || (own[i] < 0.5 && !shell[i]))
        .collect()
}

#[cfg(test)]
mod tests;
