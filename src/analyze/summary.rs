//! The numbers of an analysis as JSON, with the keys promised to scripts. Parts that were not computed are absent.

use super::ptm::{self, Structure};
use super::{AnalyzeParams, Analyzed, oxidation};
use crate::model::geometry::distance;
use crate::numeric::neighbors::neighbors_within;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Mean, standard deviation and number of finite values.
fn statistics(values: impl Iterator<Item = f64>) -> (f64, f64, usize) {
    let finite: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    let n = finite.len();
    let mean = finite.iter().sum::<f64>() / n.max(1) as f64;
    let variance = finite.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n.max(1) as f64;
    (mean, variance.sqrt(), n)
}

/// `{"mean", "sd", "n"}` of the finite values.
pub(super) fn moments(values: impl Iterator<Item = f64>) -> Value {
    let (mean, sd, n) = statistics(values);
    json!({ "mean": mean, "sd": sd, "n": n })
}

fn phase_name(phase: f64) -> String {
    match phase as i64 {
        0 => "core".to_owned(),
        1 => "crystalline_oxide".to_owned(),
        2 => "amorphous_oxide".to_owned(),
        other => format!("phase_{other}"),
    }
}

/// Names and values of the phases present; none where there are more than 12, which are no phases.
pub(super) fn phases(phase: &[f64]) -> Vec<(String, f64)> {
    let mut values: Vec<f64> = phase.iter().copied().filter(|p| p.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    if values.len() > 12 {
        values.clear();
    }
    values
        .into_iter()
        .map(|value| (phase_name(value), value))
        .collect()
}

/// Mean and spread of a column over inner atoms: all, and by phase.
fn by_phase(out: &Analyzed, column: &str, surface: Option<&[bool]>) -> Option<Value> {
    let values = out.atoms.column(column)?;
    let inner = |index: usize| surface.is_none_or(|s| !s[index]);
    let entry = |chosen: &dyn Fn(usize) -> bool| {
        let picked = (0..values.len())
            .filter(|&i| inner(i) && chosen(i))
            .map(|i| values[i]);
        let (mean, sd, n) = statistics(picked);
        json!({ "mean": mean, "sd": sd, "n": n })
    };
    let mut map = Map::new();
    map.insert("all".to_owned(), entry(&|_| true));
    if let Some(phase) = out.atoms.column("phase") {
        for (name, value) in phases(phase) {
            map.insert(name, entry(&|i| phase[i] == value));
        }
    }
    Some(Value::Object(map))
}

/// The JSON of `aetlas analyze`.
pub fn summary(
    out: &Analyzed,
    params: &AnalyzeParams,
    region: &Option<Vec<bool>>,
    surface: Option<&[bool]>,
) -> Value {
    let mut json = Map::new();
    json.insert("n_atoms".into(), json!(out.atoms.len()));
    json.insert("species".into(), json!(out.atoms.species_counts()));
    json.insert("cutoff_A".into(), json!(out.cutoff));
    if let Some(pdf) = &out.pdf {
        json.insert(
            "pdf".into(),
            json!({
                "r_A": pdf.r, "g": pdf.g, "peaks_A": pdf.peaks, "first_valley_A": pdf.first_valley,
                "partial": pdf.partial.iter().map(|(name, g)| (name.clone(), json!(g))).collect::<Map<_, _>>(),
            }),
        );
    }
    if let (Some(q4), Some(q6), Some(boo)) = (
        out.atoms.column("q4bar"),
        out.atoms.column("q6bar"),
        out.atoms.column("boo"),
    ) {
        json.insert(
            "boo".into(),
            json!({
                "q4bar_mean": statistics(q4.iter().copied()).0,
                "q6bar_mean": statistics(q6.iter().copied()).0,
                "normalised_mean": statistics(boo.iter().copied()).0,
                "disordered_count": boo.iter().filter(|b| **b < params.boo_threshold).count(),
            }),
        );
    }
    let wanted = |part: &str| {
        let only = params.only.as_ref();
        only.is_none_or(|only| only.iter().any(|name| name == part))
    };
    if out.matches.is_some() && wanted("ptm") {
        json.insert("ptm".into(), structures(out, params));
        json.insert("grains".into(), grains(out));
        json.insert("twins".into(), twins(out));
    }
    if let Some(cn) = out.atoms.column("cn") {
        let mut histogram = vec![0usize; cn.iter().fold(0.0f64, |a, b| a.max(*b)) as usize + 1];
        for &n in cn {
            histogram[n as usize] += 1;
        }
        let mean = statistics(cn.iter().copied()).0;
        json.insert("cn".into(), json!({ "mean": mean, "histogram": histogram }));
        json.insert("bond_length_A".into(), bond_lengths(out));
    }
    if let Some(rho) = by_phase(out, "rho_n", surface) {
        json.insert("rho_n".into(), rho);
    }
    if let Some(degree) = by_phase(out, "oxidation", surface) {
        json.insert("oxidation".into(), degree);
        json.insert("oxygen_inferred".into(), json!(out.oxygen.len()));
    }
    if let (Some(space), Some(region)) = (&out.space, region)
        && wanted("voids")
    {
        json.insert(
            "voids".into(),
            void_numbers(out, oxidation::region_volume(space, region)),
        );
    }
    if let Some(found) = &out.core_shell {
        json.insert("core_shell".into(), found.json(out.cutoff));
    }
    if !out.profiles.is_empty() {
        json.insert("profiles".into(), super::profiles::json(out));
    }
    if let Some(found) = &out.strain {
        json.insert("strain".into(), found.json(out));
    }
    let seconds: Map<String, Value> = out
        .seconds
        .iter()
        .map(|(name, s)| (name.clone(), json!(s)))
        .collect();
    json.insert("seconds".into(), Value::Object(seconds));
    json.insert("notes".into(), json!(out.notes));
    Value::Object(json)
}

/// Atoms of each structure, and lattice constants of those there are.
fn structures(out: &Analyzed, params: &AnalyzeParams) -> Value {
    let named = out.atoms.column("ptm").unwrap_or_default();
    let lattice = out.atoms.column("lattice_A").unwrap_or_default();
    let mut map = Map::new();
    map.insert("rmsd_cutoff".into(), json!(params.ptm_rmsd));
    let mut constants = Map::new();
    for structure in Structure::ALL.into_iter().chain([Structure::Other]) {
        let is = |value: &f64| *value == f64::from(structure as u8);
        let count = named.iter().filter(|v| is(v)).count();
        map.insert(structure.name().into(), json!(count));
        if count > 0 && structure != Structure::Other {
            let own = named.iter().zip(lattice).filter(|(v, _)| is(v));
            let (mean, sd, n) = statistics(own.map(|(_, a)| *a));
            constants.insert(
                structure.name().into(),
                json!({ "mean": mean, "sd": sd, "n": n }),
            );
        }
    }
    map.insert("lattice_A".into(), Value::Object(constants));
    Value::Object(map)
}

/// The grains in the order of their numbers.
fn grains(out: &Analyzed) -> Value {
    out.grains
        .iter()
        .map(|grain| {
            json!({
                "structure": grain.structure.name(),
                "atoms": grain.atoms,
                "orientation_wxyz": grain.orientation,
                "lattice_A": grain.lattice,
            })
        })
        .collect()
}

/// Twin planes, and the angle between those of one grain; grains by their numbers.
fn twins(out: &Analyzed) -> Value {
    let planes: Value = out
        .twins
        .iter()
        .map(|twin| {
            json!({
                "grains": twin.grains,
                "atoms": twin.atoms,
                "normal": twin.normal,
                "center_A": twin.center,
                "misorientation_deg": twin.misorientation.to_degrees(),
                "off_ideal_deg": twin.off_ideal.to_degrees(),
            })
        })
        .collect();
    let angles: Value = ptm::twin_angles(&out.twins)
        .iter()
        .map(|angle| {
            json!({ "grain": angle.grain, "planes": angle.planes, "angle_deg": angle.angle.to_degrees() })
        })
        .collect();
    json!({ "planes": planes, "angles": angles })
}

fn bond_lengths(out: &Analyzed) -> Value {
    let atoms = &out.atoms;
    let neighbors = neighbors_within(&atoms.positions, out.cutoff);
    let mut all = Vec::new();
    let mut pairs: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (a, around) in neighbors.iter().enumerate() {
        for b in around.iter().map(|&b| b as usize).filter(|&b| b > a) {
            let length = distance(atoms.positions[a], atoms.positions[b]);
            all.push(length);
            let mut names = [atoms.species_name(a), atoms.species_name(b)];
            names.sort_unstable();
            pairs.entry(names.join("-")).or_default().push(length);
        }
    }
    let (mean, sd, n) = statistics(all.into_iter());
    let by_pair: Map<String, Value> = pairs
        .into_iter()
        .map(|(name, lengths)| {
            let (mean, sd, n) = statistics(lengths.into_iter());
            (name, json!({ "mean": mean, "sd": sd, "n": n }))
        })
        .collect();
    json!({ "mean": mean, "sd": sd, "n": n, "by_pair": by_pair })
}

/// Classes of the Zr article: 45–125 Å³ a vacancy, to 4500 Å³ a nano-pore, larger a pore.
fn void_numbers(out: &Analyzed, region_volume: f64) -> Value {
    let inner: Vec<f64> = out
        .voids
        .iter()
        .filter(|v| !v.at_surface)
        .map(|v| v.volume)
        .collect();
    let count = |low: f64, high: f64| inner.iter().filter(|v| **v >= low && **v < high).count();
    let total: f64 = out.voids.iter().map(|v| v.volume).sum();
    let [vacancy, pore, large] = oxidation::VOID_CLASSES;
    json!({
        "porosity": total / region_volume.max(f64::MIN_POSITIVE),
        "vacancies": count(vacancy, pore),
        "nanopores": count(pore, large),
        "large": count(large, f64::INFINITY),
        "volumes_A3": inner,
        "at_surface": out.voids.len() - inner.len(),
    })
}
