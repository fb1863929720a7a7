//! The numbers of an analysis as JSON, with the keys promised to scripts. Parts that were not computed are absent.

use super::phases::BY_HAND;
use super::ptm::{self, Structure};
use super::{AnalyzeParams, Analyzed, Pdf, voids::VOID_CLASSES};
use crate::model::elements::{GRAM_PER_CM3, weight};
use serde_json::{Map, Value, json};

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

pub(super) fn phase_name(phase: f64) -> String {
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
pub fn summary(out: &Analyzed, params: &AnalyzeParams) -> Value {
    let surface = out.region.as_ref().map(|region| &region.surface[..]);
    let mut json = Map::new();
    json.insert("n_atoms".into(), json!(out.atoms.len()));
    json.insert("species".into(), json!(out.atoms.species_counts()));
    json.insert("cutoff_A".into(), json!(out.cutoff));
    if let Some(pdf) = &out.pdf {
        json.insert("pdf".into(), pair_function(out, pdf));
    }
    if let Some(found) = &out.structure_factor {
        json.insert(
            "structure_factor".into(),
            json!({
                "q_per_A": found.q, "s": found.s, "peaks_per_A": found.peaks, "range_A": found.range,
                "definition": "number-number, from the unsmoothed g(r) with a Lorch window",
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
        if let Some(fivefold) = &out.fivefold {
            json.insert("fivefold".into(), fivefold.json());
        }
    }
    if let Some(cn) = out.atoms.column("cn") {
        let mut histogram = vec![0usize; cn.iter().fold(0.0f64, |a, b| a.max(*b)) as usize + 1];
        for &n in cn {
            histogram[n as usize] += 1;
        }
        let mean = statistics(cn.iter().copied()).0;
        json.insert("cn".into(), json!({ "mean": mean, "histogram": histogram }));
        if let Some(lengths) = &out.bond_lengths {
            json.insert("bond_length_A".into(), lengths.json());
        }
        if let Some(Value::Object(by)) = by_phase(out, "bond_length_A", None) {
            // Of every atom the mean of its own bonds, then over the atoms.
            json["bond_length_A"]["by_phase"] = json!(by);
        }
        if let Some(by) = by_phase(out, "cn", None) {
            json["cn"]["by_phase"] = by;
        }
    }
    if let Some(rho) = by_phase(out, "rho_n", surface) {
        json.insert("rho_n".into(), rho);
        if let Some(density) = mass_density(out) {
            json.insert("density_g_cm3".into(), density);
        }
    }
    if let Some(phase) = out.atoms.column("phase") {
        json.insert("phases".into(), phase_numbers(out, phase));
    }
    if let Some(degree) = by_phase(out, "oxidation", surface) {
        json.insert("oxidation".into(), degree);
        json.insert("oxygen_inferred".into(), json!(out.oxygen.len()));
        json.insert("oxidation_sweep".into(), sweep(out));
    }
    if out.topology.is_some() {
        json.insert("voronoi".into(), topology(out, params, surface));
    }
    if let Some(region) = &out.region
        && wanted("voids")
    {
        json.insert("voids".into(), void_numbers(out, region.volume));
    }
    if let Some(stack) = &out.stack {
        json.insert("layers".into(), stack.json());
    }
    if let Some(found) = &out.core_shell {
        json.insert("core_shell".into(), found.json(out.cutoff));
    }
    if !out.profiles.is_empty() {
        json.insert("surface".into(), json!(params.surface));
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

/// Atoms of each phase, and how many have it because someone said so.
fn phase_numbers(out: &Analyzed, phase: &[f64]) -> Value {
    let count = |value: f64| phase.iter().filter(|p| **p == value).count();
    let each = phases(phase).into_iter();
    let mut map: Map<String, Value> = each
        .map(|(name, value)| (name, json!(count(value))))
        .collect();
    let said = out.atoms.column(BY_HAND).unwrap_or_default();
    let said = said.iter().filter(|p| p.is_finite()).count();
    map.insert("set_by_hand".into(), json!(said));
    Value::Object(map)
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

/// The PDF, those of the phases and those of the crystals to compare with.
fn pair_function(out: &Analyzed, pdf: &Pdf) -> Value {
    let mut json = json!({
        "r_A": pdf.r, "g": pdf.g, "peaks_A": pdf.peaks, "first_valley_A": pdf.first_valley,
        "partial": pdf.partial.iter().map(|(name, g)| (name.clone(), json!(g))).collect::<Map<_, _>>(),
    });
    if !out.phase_pdfs.is_empty() {
        let by: Map<String, Value> = out
            .phase_pdfs
            .iter()
            .map(|(name, own)| {
                let entry =
                    json!({ "r_A": own.r, "g": own.g, "peaks_A": own.peaks, "first_valley_A": own.first_valley });
                (name.clone(), entry)
            })
            .collect();
        json["by_phase"] = Value::Object(by);
    }
    if !out.references.is_empty() {
        let by: Map<String, Value> = out
            .references
            .iter()
            .map(|known| {
                let entry = json!({
                    "elements": known.elements, "g": known.g,
                    "shells": known.shells.iter().map(|[r, n]| json!({ "r_A": r, "n": n })).collect::<Vec<_>>(),
                });
                (known.name.clone(), entry)
            })
            .collect();
        json["references"] = Value::Object(by);
    }
    json
}

/// Mass of the inner atoms over the volume of their cells, all and by phase; with the inferred O beside it.
fn mass_density(out: &Analyzed) -> Option<Value> {
    let rho = out.atoms.column("rho_n")?;
    let masses: Option<Vec<f64>> = out.atoms.species_names.iter().map(|s| weight(s)).collect();
    let masses = masses?;
    // Each inferred O lies between four atoms, which share its mass.
    let quarter = 0.25 * weight("O")?;
    let shared = out.oxygen_of.as_ref();
    let entry = |chosen: &dyn Fn(usize) -> bool| {
        let (mut mass, mut oxygen, mut volume, mut n) = (0.0, 0.0, 0.0, 0usize);
        for i in (0..rho.len()).filter(|&i| rho[i].is_finite() && chosen(i)) {
            mass += masses[usize::from(out.atoms.species[i])];
            oxygen += shared.map_or(0.0, |of| quarter * f64::from(of[i]));
            volume += 1.0 / rho[i];
            n += 1;
        }
        let density = |mass: f64| GRAM_PER_CM3 * mass / volume;
        let with = shared.map(|_| density(mass + oxygen));
        json!({ "atoms": density(mass), "with_inferred_o": with, "n": n })
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

/// Mean degree of oxidation against the volume threshold, and the range over both thresholds ±10 %.
fn sweep(out: &Analyzed) -> Value {
    let Some(sweep) = &out.sweep else {
        return Value::Null;
    };
    let by: Map<String, Value> = sweep
        .means
        .iter()
        .map(|(name, lines)| {
            let entry = json!({
                "band": sweep.band(name), "mean": lines[1], "mean_at_distortions": [lines[0], lines[2]],
            });
            (name.clone(), entry)
        })
        .collect();
    json!({
        "volumes_A3": sweep.volumes, "distortions": sweep.distortions,
        "band_definition": "both thresholds moved by 10 % either way", "by": by,
    })
}

/// Topological bonds and Voronoi indices of inner atoms.
fn topology(out: &Analyzed, params: &AnalyzeParams, surface: Option<&[bool]>) -> Value {
    let Some(found) = &out.topology else {
        return Value::Null;
    };
    let inner = |i: usize| surface.is_none_or(|s| !s[i]);
    let listed = |chosen: &dyn Fn(usize) -> bool| -> Value {
        const MOST: usize = 20;
        let all = found.indices(|i| inner(i) && chosen(i));
        let total: usize = all.iter().map(|(_, n)| n).sum();
        let share = |n: usize| 100.0 * n as f64 / total.max(1) as f64;
        let entries = all.iter().take(MOST);
        entries
            .map(|(index, n)| json!({ "index": index, "n": n, "percent": share(*n) }))
            .collect()
    };
    let faces = found.faces.iter().enumerate();
    let mut json = json!({
        "face_share": params.face_share,
        "faces": moments(faces.filter(|(i, _)| inner(*i)).map(|(_, n)| *n)),
        "cn": by_phase(out, "cn_voronoi", surface),
        "bond_length_A": by_phase(out, "bond_voronoi_A", surface),
        "fivefold": by_phase(out, "fivefold", surface),
        "indices": listed(&|_| true),
    });
    if let Some(phase) = out.atoms.column("phase") {
        let by: Map<String, Value> = phases(phase)
            .into_iter()
            .map(|(name, value)| (name, listed(&|i| phase[i] == value)))
            .collect();
        json["indices_by_phase"] = Value::Object(by);
    }
    json
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
    let [vacancy, pore, large] = VOID_CLASSES;
    let radial = out.void_radial.iter();
    let radial: Map<String, Value> = radial.map(|r| (r.from.clone(), r.json())).collect();
    json!({
        "porosity": total / region_volume.max(f64::MIN_POSITIVE),
        "vacancies": count(vacancy, pore),
        "nanopores": count(pore, large),
        "large": count(large, f64::INFINITY),
        "volumes_A3": inner,
        "at_surface": out.voids.len() - inner.len(),
        "region_volume_A3": region_volume,
        "list": void_list(out),
        "radial": radial,
    })
}

/// Every void inside: how large, where, in which phase, and how densely its surroundings are filled.
fn void_list(out: &Analyzed) -> Value {
    let from = |name: &str| out.distances.iter().find(|d| d.from == name);
    let (surface, core) = (from("surface"), from("core"));
    let phase = out.atoms.column("phase");
    let number = |value: f64| value.is_finite().then_some(value);
    out.voids
        .iter()
        .filter(|void| !void.at_surface)
        .map(|void| {
            json!({
                "volume_A3": void.volume,
                "class": void.class(),
                "center_A": void.center,
                "phase": phase.and_then(|p| void.commonest_of(p)).map(phase_name),
                "below_surface_A": surface.and_then(|d| number(void.mean_of(&d.values))),
                "from_core_A": core.and_then(|d| number(void.mean_of(&d.values))),
                "atoms_around": void.atoms.len(),
                "rho_n_around": out.atoms.column("rho_n").and_then(|rho| number(void.mean_of(rho))),
            })
        })
        .collect()
}
