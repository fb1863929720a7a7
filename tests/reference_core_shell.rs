//! The core-shell analysis and the strain of a published Pd@Pt particle against independent tools, when both lie beside the checkout in
//! `../shared`: counts exactly, profiles and thicknesses within the tolerances stated there.

use aetlas::analyze::core_shell::{Composition, CoreShell};
use aetlas::analyze::{AnalyzeParams, Analyzed, analyze};
use aetlas::io;
use aetlas::model::Atoms;
use aetlas::monitor::Monitor;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared")
        .join(name);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// The particle in Å (the file is in voxels of 0.3434 Å) and the reference values.
fn particle() -> Option<(Atoms, Value)> {
    let model = shared("data/pdpt/PB.xyz")?;
    let values = shared("reference/analysis_reference.json")?;
    let atoms = io::load_atoms(&model.display().to_string(), 0.3434).expect("a readable model");
    let text = std::fs::read_to_string(values).expect("readable values");
    let values: Value = serde_json::from_str(&text).expect("valid JSON");
    Some((atoms, values["PB"].clone()))
}

fn analyzed(atoms: &Atoms, only: &str, params: AnalyzeParams) -> Analyzed {
    let params = AnalyzeParams {
        cutoff: Some(3.35),
        only: Some(vec![only.to_owned()]),
        ..params
    };
    analyze(atoms, &params, &Monitor::silent()).expect("a model that can be analysed")
}

fn profile<'a>(found: &'a CoreShell, kind: &str, sigma: f64) -> &'a Composition {
    found
        .profiles
        .iter()
        .find(|p| p.kind == kind && (p.sigma - sigma).abs() < 1e-9)
        .expect("one profile of each kind")
}

/// Mean over the interface of the difference of two profiles (depth, fraction), the second interpolated linearly.
fn difference(ours: &Composition, theirs: &[(f64, f64)]) -> f64 {
    let at = |x: f64| {
        let after = theirs.iter().position(|p| p.0 > x)?;
        let (a, b) = (theirs.get(after.checked_sub(1)?)?, theirs[after]);
        Some(a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0))
    };
    let gaps: Vec<f64> = ours
        .layers
        .iter()
        .filter(|l| l.depth.abs() < 8.0)
        .filter_map(|l| Some((l.fraction() - at(l.depth)?).abs()))
        .collect();
    assert!(gaps.len() > 8);
    gaps.iter().sum::<f64>() / gaps.len() as f64
}

#[test]
fn mixing_and_thickness_of_a_published_particle_agree_with_independent_tools() {
    let Some((atoms, values)) = particle() else {
        return;
    };
    // The reference's smoothing widths are 1.5, 2 and 3 Å: three quarters, one and one and a half of 2 Å.
    let params = AnalyzeParams {
        interface_sigma: Some(2.0),
        ..AnalyzeParams::default()
    };
    let out = analyzed(&atoms, "core-shell", params);
    let found = out.core_shell.as_ref().expect("two species");
    let count = |key: &str| values[key]["value"].as_u64().expect("a count") as usize;
    assert_eq!(
        (found.core.as_str(), found.shell.as_slice()),
        ("Pd", &["Pt".to_owned()][..])
    );
    assert_eq!(
        found.isolated(),
        (
            count("isolated_Pd_no_Pd_neighbour"),
            count("isolated_Pt_no_Pt_neighbour")
        )
    );
    let json = &out.summary["core_shell"];
    assert_eq!(
        json["isolated"]["core_12_unlike"].as_u64(),
        values["isolated_Pd_12_Pt_neighbours"]["value"].as_u64()
    );
    for key in ["largest", "n_size1", "n_size2", "n_size3to10"] {
        assert_eq!(
            json["clusters"][key], values["Pd_clusters"]["value"][key],
            "{key}"
        );
    }
    let layers = &values["core_shell"]["morphological_layers"];
    let tolerance = layers["tolerance"].as_f64().expect("a tolerance");
    for (kind, name) in [
        ("clean_core", "clean Pd"),
        ("clean_shell", "clean Pt"),
        ("surface", "surface"),
    ] {
        let ours = profile(found, kind, 0.0);
        let theirs = &layers["value"][name];
        let expected = theirs["thickness_5_95_A"].as_f64().expect("a thickness");
        let thickness = ours.thickness.expect("a full profile");
        println!(
            "{kind}: {thickness:.3} ± {:.3} Å, reference {expected:.3} Å",
            ours.thickness_error.unwrap()
        );
        assert!(
            (thickness - expected).abs() < tolerance,
            "{kind}: {thickness} and {expected}"
        );
        // Both have their zero where the fraction is one half; the grids' origins differ by parts of a voxel.
        let fractions: Vec<f64> = theirs["Pd_fraction_per_layer"]
            .as_array()
            .expect("fractions")
            .iter()
            .map(|f| f.as_f64().expect("a number"))
            .collect();
        let last = fractions.iter().rposition(|f| *f >= 0.5).expect("a core");
        let (a, b) = (fractions[last], fractions[last + 1]);
        let middle = last as f64 + (a - 0.5) / (a - b);
        let theirs: Vec<(f64, f64)> = fractions
            .iter()
            .enumerate()
            .map(|(i, f)| ((i as f64 - middle) * 1.0302, *f))
            .collect();
        let gap = difference(ours, &theirs);
        assert!(gap < 0.03, "{kind}: fractions differ by {gap} on average");
    }
    let distances = &values["core_shell"]["signed_distance"];
    for (sigma, name) in [(1.5, "_sigma1.5"), (2.0, "_sigma2.0"), (3.0, "_sigma3.0")] {
        let ours = profile(found, "distance", sigma);
        let theirs = &distances["value"][name];
        let expected = theirs["thickness_5_95_A"].as_f64().expect("a thickness");
        let thickness = ours.thickness.expect("a full profile");
        println!(
            "σ {sigma}: {thickness:.3} ± {:.3} Å, reference {expected:.3} Å",
            ours.thickness_error.unwrap()
        );
        assert!(
            (thickness - expected).abs() < tolerance,
            "σ {sigma}: {thickness} and {expected}"
        );
        let theirs: Vec<(f64, f64)> = theirs["profile_depth_fraction_count"]
            .as_array()
            .expect("a profile")
            .iter()
            .map(|p| {
                (
                    p[0].as_f64().expect("a depth"),
                    p[1].as_f64().expect("a fraction"),
                )
            })
            .collect();
        // Theirs counts whole voxels of 0.5 Å to the surface.
        let gap = difference(ours, &theirs);
        assert!(
            gap < 0.05,
            "σ {sigma}: fractions differ by {gap} on average"
        );
    }
    let depth = out.atoms.column("depth").expect("a depth per atom");
    assert!(depth.iter().all(|d| d.is_finite()));
}

#[test]
fn the_five_twins_of_a_published_particle_are_found_and_their_strain_is_that_of_an_independent_tool()
 {
    let Some((atoms, values)) = particle() else {
        return;
    };
    let out = analyzed(&atoms, "strain", AnalyzeParams::default());
    let found = out.strain.as_ref().expect("fcc grains");
    let sizes: Vec<usize> = found.lattices.iter().map(|l| l.atoms).collect();
    println!("lattices of {sizes:?} atoms");
    // A pentagonal bipyramid: five grains of about a fifth of the atoms each.
    assert_eq!(sizes.len(), 5);
    assert!(sizes.iter().all(|&n| n > 1500));
    assert!(sizes.iter().sum::<usize>() as f64 > 0.97 * atoms.len() as f64);
    // The tool gives each atom's strain along its crystal's axes, whose order is its own choice: all three together.
    let entry = &values["ptm_strain_std_lab"];
    let rms = |v: &[f64]| (v.iter().map(|x| x * x).sum::<f64>() / v.len() as f64).sqrt();
    let theirs: Vec<f64> = entry["value"]
        .as_array()
        .expect("three values")
        .iter()
        .map(|v| v.as_f64().expect("a number"))
        .collect();
    let axes = &out.summary["strain"]["unsmoothed_green_lagrange"]["crystal_axes"];
    let ours: Vec<f64> = ["xx", "yy", "zz"]
        .map(|name| 100.0 * axes[name]["sd"].as_f64().expect("a number"))
        .to_vec();
    println!("unsmoothed strain along the crystals' axes: {ours:.3?} %, reference {theirs:.3?} %");
    let tolerance = entry["tolerance"].as_f64().expect("a tolerance");
    assert!(
        (rms(&ours) - rms(&theirs)).abs() < tolerance,
        "{ours:?} {theirs:?}"
    );
    // Smoothed strain is around one percent, as published (0.67, 0.69, 0.67 % with another reference lattice per grain).
    let all = &out.summary["strain"]["all"];
    for name in ["xx", "yy", "zz"] {
        let sd = 100.0 * all[name]["sd"].as_f64().expect("a number");
        println!("smoothed strain {name}: sd {sd:.3} %");
        assert!((0.3..1.5).contains(&sd), "{name} {sd}");
    }
}
