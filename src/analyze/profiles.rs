//! Profiles: any quantity of the atoms against their distance from a surface.
//!
//! - `surface`: the boundary of the particle's region ([`Space::region`]), through the centres of the outermost atoms;
//!   distances count inwards.
//! - `core`: the 50 % surface of [`super::core_shell`], of the core species or of phase 0 against all others; negative in the
//!   core.
//! - `a|b`: the 50 % surface of phase a among the atoms of phases a and b; negative in a, and only atoms of the two count.
//!
//! With [`SurfaceKind::Convex`] `surface` is the convex hull of the particle's atoms, and `core` that of the largest group of
//! core atoms.
//!
//! The 50 % surfaces are those of a fraction smoothed by a Gaussian of the stated σ: parts below a tenth of the largest
//! part's area are left out, and groups of atoms enclosed by the other side count as that side's.
//!
//! A bin holds the number, mean and sample standard deviation of the finite values, and the half width of the mean's 95 %
//! interval (Student). Logistic and exponential curves are fitted to the means, weighted by the numbers; their standard errors
//! take the scatter from the fit itself.

pub mod blur;
mod convex;

use super::core_shell::{half_surface, sigma};
use super::oxidation::Space;
use super::summary::phases;
use super::{AnalyzeParams, Analyzed, SurfaceKind, Work};
use crate::numeric::curve::{CurveFit, Sample, fit_exponential, fit_logistic, student_95};
use crate::numeric::neighbors::neighbors_within;
use crate::numeric::surface::{Surface, SurfaceTree};
use crate::numeric::tessellation::{Delaunay, FACETS};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::time::Instant;

type Point = [f64; 3];

/// Columns that are profiled when they are there.
pub const COLUMNS: [&str; 12] = [
    "rho_n",
    "oxidation",
    "oxidation_map",
    "boo",
    "cn",
    "bond_length_A",
    "cn_voronoi",
    "bond_voronoi_A",
    "cn_unlike",
    "strain_xx",
    "strain_volumetric",
    "intensity",
];
/// Phases between which interfaces are sought at most.
const PHASES: usize = 4;
/// Bins a curve is fitted to at least.
const FEWEST_BINS: usize = 6;

/// A surface of the model and how far every atom is from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Distances {
    /// `surface`, `core`, or `a|b` for two phases.
    pub from: String,
    /// Signed distance of each atom, Å; NaN for atoms it is not defined for.
    pub values: Vec<f64>,
    /// The surface itself.
    pub surface: Surface,
}

/// The atoms between two distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Middle of the bin, Å.
    pub distance: f64,
    /// Mean distance of its atoms, Å: atoms lie in planes, not evenly. The fits use this one.
    pub mean_distance: f64,
    /// Number of finite values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation; NaN for one value.
    pub sd: f64,
    /// Half width of the 95 % confidence interval of the mean; NaN for one value.
    pub ci95: f64,
}

/// A quantity against a distance.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The surface's name.
    pub from: String,
    /// The column's name, or `fraction_` and a species.
    pub column: String,
    /// Unit of the values.
    pub unit: String,
    /// From the least distance to the greatest; empty bins are left out.
    pub bins: Vec<Bin>,
    /// `a + (b − a)/(1 + exp(−(x − x0)/w))`: values `[a, b, x0, w]`; `None` where the bins do not determine x0 and w.
    pub logistic: Option<CurveFit<4>>,
    /// What a sharp step would show.
    pub blur: blur::Blur,
    /// `c + a exp(−x/λ)` over distances from zero up: values `[c, a, λ]`; `None` where the bins do not determine λ.
    pub exponential: Option<CurveFit<3>>,
}

/// Bins `values` by `distances` (one each per atom), `width` Å wide with an edge at zero. Pairs with a number that is not
/// finite are left out; nothing comes of a width that is not positive.
#[must_use]
pub fn binned(distances: &[f64], values: &[f64], width: f64) -> Vec<Bin> {
    let mut bins: std::collections::BTreeMap<i64, (f64, Vec<f64>)> = Default::default();
    if width.is_nan() || width <= 0.0 {
        return Vec::new();
    }
    for (distance, value) in distances.iter().zip(values) {
        if distance.is_finite() && value.is_finite() {
            let bin = bins.entry((distance / width).floor() as i64).or_default();
            bin.0 += distance;
            bin.1.push(*value);
        }
    }
    bins.into_iter()
        .map(|(bin, (sum, values))| {
            let n = values.len();
            let mean = values.iter().sum::<f64>() / n as f64;
            let square: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
            // One value has no spread: 0/0.
            let sd = (square / (n as f64 - 1.0)).sqrt();
            Bin {
                distance: (bin as f64 + 0.5) * width,
                mean_distance: sum / n as f64,
                n,
                mean,
                sd,
                ci95: if n > 1 {
                    student_95(n - 1) * sd / (n as f64).sqrt()
                } else {
                    f64::NAN
                },
            }
        })
        .collect()
}

/// A profile with its fits, of any column against any distances (one each per atom), in bins of `width` Å.
#[must_use]
pub fn profile(
    from: &str,
    column: &str,
    unit: &str,
    distances: &[f64],
    values: &[f64],
    width: f64,
) -> Profile {
    let bins = binned(distances, values, width);
    let sample = |b: &Bin| -> Sample { (b.mean_distance, b.mean, b.n as f64) };
    let all: Vec<Sample> = bins.iter().map(sample).collect();
    let outer: Vec<Sample> = bins
        .iter()
        .filter(|b| b.distance > 0.0)
        .map(sample)
        .collect();
    // A constant has no place and no length to fit.
    let varies = |samples: &[Sample]| {
        samples.len() >= FEWEST_BINS && samples.iter().any(|s| s.1 != samples[0].1)
    };
    let extent = |samples: &[Sample]| {
        let x = samples.iter().map(|s| s.0);
        x.clone().fold(f64::MIN, f64::max) - x.fold(f64::MAX, f64::min)
    };
    // Where the bins do not tell a place or a length at all, there is none to state.
    let logistic = varies(&all).then(|| fit_logistic(&all)).flatten();
    let logistic = logistic.filter(|fit| fit.errors[2].max(fit.errors[3]) < 0.5 * extent(&all));
    let exponential = varies(&outer).then(|| fit_exponential(&outer)).flatten();
    let exponential = exponential.filter(|fit| fit.errors[2] < 0.5 * extent(&outer));
    Profile {
        from: from.to_owned(),
        column: column.to_owned(),
        unit: unit.to_owned(),
        bins,
        blur: blur::Blur::of_bins(width),
        logistic,
        exponential,
    }
}

/// The boundary of a region of the tessellation, normals outwards.
#[must_use]
pub fn boundary(positions: &[Point], mesh: &Delaunay, region: &[bool]) -> Surface {
    let mut triangles = Vec::new();
    let tetrahedra = mesh.tetrahedra.iter().zip(&mesh.neighbors).zip(region);
    for ((v, neighbors), _) in tetrahedra.filter(|(_, inside)| **inside) {
        for (facet, next) in neighbors.iter().enumerate() {
            if next.is_none_or(|next| !region[next as usize]) {
                triangles.push(FACETS[facet].map(|k| v[k]));
            }
        }
    }
    Surface {
        vertices: positions.to_vec(),
        triangles,
    }
}

/// Which atoms have a tetrahedron in the region.
fn within(space: &Space, region: &[bool], atoms: usize) -> Vec<bool> {
    let mut within = vec![false; atoms];
    let tetrahedra = space.mesh.tetrahedra.iter().zip(region);
    for (v, _) in tetrahedra.filter(|(_, inside)| **inside) {
        v.iter().for_each(|&i| within[i as usize] = true);
    }
    within
}

/// Distance of each atom below the particle's surface, Å; NaN for atoms outside the region.
fn below_surface(positions: &[Point], space: &Space, region: &[bool]) -> Distances {
    let surface = boundary(positions, &space.mesh, region);
    let mut values = SurfaceTree::new(&surface).distances(positions, 0.0);
    let within = within(space, region, positions.len());
    for (value, _) in values
        .iter_mut()
        .zip(&within)
        .filter(|(_, within)| !**within)
    {
        *value = f64::NAN;
    }
    Distances {
        from: "surface".to_owned(),
        values,
        surface,
    }
}

/// Signed distance from the 50 % surface between the atoms of `side` 1 (negative) and 0; atoms of side NaN have none. `cutoff`
/// joins neighbours, σ smooths, and `spacing` is the nearest distance, Å. `None` where there is no such surface.
#[must_use]
pub fn between(
    name: &str,
    positions: &[Point],
    side: &[f64],
    scales: [f64; 3],
) -> Option<Distances> {
    between_to(name, positions, side, scales, 0.0)
}

/// As [`between`], the distances to a relative `tolerance`.
fn between_to(
    name: &str,
    positions: &[Point],
    side: &[f64],
    [cutoff, sigma, spacing]: [f64; 3],
    tolerance: f64,
) -> Option<Distances> {
    let chosen: Vec<usize> = (0..side.len()).filter(|&i| side[i].is_finite()).collect();
    let points: Vec<Point> = chosen.iter().map(|&i| positions[i]).collect();
    let first: Vec<bool> = chosen.iter().map(|&i| side[i] > 0.5).collect();
    if points.is_empty() {
        return None;
    }
    let neighbors = neighbors_within(&points, cutoff);
    let (surface, depth) = half_surface(&points, &first, &neighbors, [sigma, spacing], tolerance)?;
    let mut values = vec![f64::NAN; positions.len()];
    for (i, depth) in chosen.into_iter().zip(depth) {
        values[i] = depth;
    }
    Some(Distances {
        from: name.to_owned(),
        values,
        surface,
    })
}

/// The distances from every surface that the analysed atoms have; `spacing` is their nearest distance, Å. Those of `before`, an
/// analysis of the same atoms with the same cutoff and smoothing, are used again where their surface is the same.
#[must_use]
pub fn distances(
    out: &Analyzed,
    region: &[bool],
    spacing: f64,
    before: Option<&Analyzed>,
) -> Vec<Distances> {
    let Some(space) = &out.space else {
        return Vec::new();
    };
    let positions = &out.atoms.positions;
    let known = |name: &str| before?.distances.iter().find(|d| d.from == name).cloned();
    // The region depends on the cutoff alone.
    let convex = out.params.surface == SurfaceKind::Convex;
    let below = known("surface").unwrap_or_else(|| {
        let outline = || convex::below(positions, &within(space, region, positions.len()));
        let outline = convex.then(outline).flatten();
        outline.unwrap_or_else(|| below_surface(positions, space, region))
    });
    let mut found = vec![below];
    if let Some(core) = out.core_shell.as_ref().filter(|c| !c.depth.is_empty()) {
        let half = || Distances {
            from: "core".to_owned(),
            values: core.depth.clone(),
            surface: core.surface.clone(),
        };
        let side = core.is_core.iter().map(|core| f64::from(u8::from(*core)));
        let outline = || {
            let side: Vec<f64> = side.collect();
            convex::about("core", positions, &side, out.cutoff)
        };
        let outline = convex.then(outline).flatten();
        found.push(outline.unwrap_or_else(half));
    }
    let Some(phase) = out.atoms.column("phase") else {
        return found;
    };
    let scales = [out.cutoff, sigma(&out.params, spacing), spacing];
    let wanted = sides(phase, found.len() < 2);
    let old = before.and_then(|b| Some(sides(b.atoms.column("phase")?, found.len() < 2)));
    let made: Vec<Option<Distances>> = wanted
        .par_iter()
        .map(|(name, side)| {
            let same = |(other, old): &&(String, Vec<f64>)| other == name && same_bits(old, side);
            let kept = old.iter().flatten().find(same).and_then(|_| known(name));
            // What only fills bins need not be exact.
            let tolerance = if name == "core" { 0.0 } else { 0.02 };
            let outline = || {
                let core = convex && name == "core";
                let made = core.then(|| convex::about(name, positions, side, out.cutoff));
                made.flatten()
            };
            kept.or_else(outline)
                .or_else(|| between_to(name, positions, side, scales, tolerance))
        })
        .collect();
    found.extend(made.into_iter().flatten());
    found
}

/// Whether two columns are the same, undefined values included.
pub(super) fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// The surfaces that phases have, and the side of each atom: 1 and 0, or NaN where it does not count.
fn sides(phase: &[f64], with_core: bool) -> Vec<(String, Vec<f64>)> {
    let mut wanted: Vec<(String, Vec<f64>)> = Vec::new();
    let names = phases(phase);
    if names.len() < 2 || names.len() > PHASES {
        return wanted;
    }
    if with_core && names[0].1 == 0.0 {
        let side = phase
            .iter()
            .map(|p| f64::from(u8::from(*p == 0.0)))
            .collect();
        wanted.push(("core".to_owned(), side));
    }
    // Of two phases only, the interface is the core's surface already.
    let pairs = if names.len() == 2 && !wanted.is_empty() {
        0
    } else {
        names.len()
    };
    for (a, (first, low)) in names.iter().enumerate().take(pairs) {
        for (second, high) in &names[a + 1..] {
            let side = |p: &f64| match *p {
                p if p == *low => 1.0,
                p if p == *high => 0.0,
                _ => f64::NAN,
            };
            wanted.push((
                format!("{first}|{second}"),
                phase.iter().map(side).collect(),
            ));
        }
    }
    wanted
}

/// The distances that the analysis wants, and the seconds they took; `None` where it wants no profiles.
pub(super) fn timed_distances(work: &Work<'_>) -> Option<(Vec<Distances>, f64)> {
    let region = work.out.region.as_ref();
    let region = region.filter(|_| work.wanted.has("profiles"))?;
    let started = Instant::now();
    let before = work.same(|p| (p.interface_sigma, p.surface));
    let found = distances(&work.out, &region.inside, work.spacing, before);
    Some((found, started.elapsed().as_secs_f64()))
}

/// Runs the part for [`super::analyze`]: columns `surface_distance` and `core_distance` (Å), and all profiles.
pub(super) fn part(
    work: &mut Work<'_>,
    distances: Option<(Vec<Distances>, f64)>,
    params: &AnalyzeParams,
) {
    let Some((distances, seconds)) = distances else {
        return;
    };
    work.out.seconds.push(("profiles".to_owned(), seconds));
    let started = Instant::now();
    let width = params.profile_bin.unwrap_or(0.5 * work.spacing);
    let before = work.same(|p| (p.interface_sigma, p.surface));
    let out = &mut work.out;
    out.distances = distances;
    out.profiles = profiles(out, width, before.filter(|b| b.profile_width == width));
    out.profile_width = width;
    for found in &out.distances {
        if ["surface", "core"].contains(&found.from.as_str()) {
            let name = format!("{}_distance", found.from);
            out.atoms.set_column(&name, "Å", found.values.clone());
        }
    }
    work.time("profiles", started);
}

/// Every known column, and the share of each species where there are several, against every distance; those of `before`, an
/// analysis with bins of the same width, where neither column nor distance has changed.
fn profiles(out: &Analyzed, width: f64, before: Option<&Analyzed>) -> Vec<Profile> {
    let atoms = &out.atoms;
    let mut columns: Vec<(String, String, Vec<f64>)> = COLUMNS
        .iter()
        .filter_map(|name| {
            let column = atoms.columns.get(*name)?;
            Some((
                (*name).to_owned(),
                column.unit.clone(),
                column.values.clone(),
            ))
        })
        .collect();
    let species = atoms.species_counts();
    for name in species.keys().filter(|_| species.len() > 1) {
        let share = (0..atoms.len()).map(|i| f64::from(u8::from(atoms.species_name(i) == name)));
        columns.push((format!("fraction_{name}"), String::new(), share.collect()));
    }
    let pairs: Vec<_> = out
        .distances
        .iter()
        .flat_map(|from| columns.iter().map(move |column| (from, column)))
        .collect();
    pairs
        .par_iter()
        .map(|(from, (name, unit, values))| {
            // Fits cost more than finding out that nothing has changed.
            let kept = before.and_then(|b| {
                let old = b.distances.iter().find(|d| d.from == from.from)?;
                let fraction = name.starts_with("fraction_");
                let same = fraction || same_bits(b.atoms.column(name)?, values);
                let known = b
                    .profiles
                    .iter()
                    .find(|p| p.from == from.from && p.column == *name)?;
                (same && same_bits(&old.values, &from.values)).then(|| known.clone())
            });
            let made = kept
                .unwrap_or_else(|| profile(&from.from, name, unit, &from.values, values, width));
            Profile {
                blur: blur::Blur::of(out, name, width),
                ..made
            }
        })
        .filter(|profile| !profile.bins.is_empty())
        .collect()
}

/// The JSON of `profiles`: by surface and column.
pub(super) fn json(out: &Analyzed) -> Value {
    let mut by_surface: Map<String, Value> = Map::new();
    for profile in &out.profiles {
        let column = |f: &dyn Fn(&Bin) -> Value| profile.bins.iter().map(f).collect::<Vec<_>>();
        let mut entry = json!({
            "unit": profile.unit,
            "distance_A": column(&|b| json!(b.distance)),
            "mean_distance_A": column(&|b| json!(b.mean_distance)),
            "n": column(&|b| json!(b.n)),
            "mean": column(&|b| json!(b.mean)),
            "sd": column(&|b| json!(b.sd)),
            "ci95": column(&|b| json!(b.ci95)),
        });
        if let Some(fit) = &profile.logistic {
            // 10–90 %: 2 ln 9 times w.
            let width = 2.0 * 9f64.ln();
            let found = (width * fit.values[3]).abs();
            let resolution = profile.blur.width_10_90();
            entry["resolution"] = profile.blur.json();
            entry["wider_than_resolution"] = json!(found > resolution);
            let beyond = found * found - resolution * resolution;
            entry["width_10_90_beyond_resolution_A"] = json!((beyond > 0.0).then(|| beyond.sqrt()));
            entry["logistic"] = json!({
                "low_side": fit.values[0], "high_side": fit.values[1],
                "x0_A": fit.values[2], "w_A": fit.values[3], "width_10_90_A": width * fit.values[3],
                "width_5_95_A": 2.0 * 19f64.ln() * fit.values[3],
                "se": { "low_side": fit.errors[0], "high_side": fit.errors[1], "x0_A": fit.errors[2],
                    "w_A": fit.errors[3], "width_10_90_A": width * fit.errors[3] },
                "r2": fit.r2,
            });
        }
        if let Some(fit) = &profile.exponential {
            entry["exponential"] = json!({
                "offset": fit.values[0], "amplitude": fit.values[1], "length_A": fit.values[2],
                "se": { "offset": fit.errors[0], "amplitude": fit.errors[1], "length_A": fit.errors[2] },
                "r2": fit.r2,
            });
        }
        let surface = by_surface
            .entry(profile.from.clone())
            .or_insert_with(|| json!({}));
        surface[&profile.column] = entry;
    }
    Value::Object(by_surface)
}

#[cfg(test)]
mod tests;
