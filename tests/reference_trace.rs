//! The road from counts to atoms on packs with a known truth, when they lie beside the checkout in `../shared`:
//! reconstruct, let the volume choose the parameters, trace, compare. No refinement against the tilts yet.
//!
//! The bounds are those of the published models or of a plain chain of least squares and polynomial tracing, as the
//! packs' README states them, not of this program's best day.

mod common;

use aetlas::io::{self};
use aetlas::model::{Atoms, EulerAngles, TiltSeries};
use aetlas::monitor::Monitor;
use aetlas::reconstruct::{ReconstructParams, reconstruct};
use aetlas::simulate::compare::{CompareParams, Compared, compare};
use aetlas::trace::{TraceHints, TraceParams, suggest, trace};
use common::{pack, series, without_background};

/// Reconstructs, traces with suggested parameters, compares and prints what came of it.
fn road(
    name: &str,
    series: &TiltSeries,
    species: &[&str],
    truth: &Atoms,
    rules: &CompareParams,
) -> Compared {
    let monitor = Monitor::silent();
    let params = ReconstructParams {
        iterations: 30,
        accelerated: true,
        ..Default::default()
    };
    let began = std::time::Instant::now();
    let volume = reconstruct(series, &params, None, None, &monitor, &mut |_, _| {})
        .expect("a series that reconstructs")
        .volume;
    let reconstructed = began.elapsed().as_secs_f64();
    let suggested = suggest(&volume, &TraceHints::default());
    let params = TraceParams {
        species: species.len(),
        species_names: species.iter().map(|s| (*s).to_owned()).collect(),
        ..suggested.params
    };
    let traced = trace(&volume, &params, None, &monitor).expect("a volume with atoms");
    let compared = compare(&traced.atoms, truth, rules).expect("two models");
    for note in &suggested.notes {
        println!("{name}: {note}");
    }
    println!(
        "{name}: {} of {} found, {} false, recall {:.4}, precision {:.4}, {:.2} pm, species {:?}; {reconstructed:.1} s, then {:.1} s",
        compared.matched(),
        truth.len(),
        compared.false_atoms.len(),
        compared.recall,
        compared.precision,
        compared.rmsd_pm,
        compared.species_accuracy,
        traced.seconds
    );
    compared
}

#[test]
fn all_atoms_of_the_small_silicon_particle_are_found() {
    let Some(folder) = pack("asi_208") else {
        return;
    };
    let truth = io::load_atoms(
        &folder.join("aSi_208atoms_GT.txt").display().to_string(),
        1.0,
    )
    .expect("the truth");
    let rules = CompareParams {
        cutoff: 0.9,
        swap_xy: true,
        ..Default::default()
    };
    // The published models: 4.24 and 17.31 pm, both complete.
    for (dose, published) in [("1p6e5", 4.24), ("1p6e4", 17.31)] {
        let images = format!("aSi_2nmFosCetr_Dose{dose}_cov35pm_ForBM3D.mat");
        let series = without_background(series(&folder, &images, "Si_Angle.mat", 0.195));
        let compared = road(dose, &series, &["Si"], &truth, &rules);
        assert_eq!((compared.matched(), compared.false_atoms.len()), (208, 0));
        assert!(compared.rmsd_pm < published, "{}", compared.rmsd_pm);
    }
}

#[test]
fn palladium_and_platinum_are_found_and_told_apart() {
    let Some(folder) = pack("pdpt_multislice") else {
        return;
    };
    let truth =
        io::load_atoms(&folder.join("truth.xyz").display().to_string(), 1.0).expect("the truth");
    let series = series(&folder, "poisson.mat", "poisson.mat:angles", 0.3434);
    let compared = road(
        "pdpt",
        &series,
        &["Pd", "Pt"],
        &truth,
        &CompareParams::default(),
    );
    assert!(
        compared.recall >= 0.998 && compared.precision >= 0.998,
        "{} {}",
        compared.recall,
        compared.precision
    );
    // The plain chain of the pack's README: 14.5 pm.
    assert!(
        compared.rmsd_pm < 14.5 && compared.species_accuracy >= Some(0.99),
        "{compared:?}"
    );
}

#[test]
#[ignore = "minutes: 320 × 320 × 50"]
fn the_zirconium_series_is_traced_like_the_plain_chain_or_better() {
    let Some(folder) = pack("zr_series") else {
        return;
    };
    let truth =
        io::load_atoms(&folder.join("truth.xyz").display().to_string(), 1.0).expect("the truth");
    let mut series = series(&folder, "projections.mat", "angles.mat", 0.3434);
    for angles in &mut series.angles {
        *angles = EulerAngles {
            theta: angles.theta,
            ..Default::default()
        };
    }
    let compared = road("zr", &series, &["Zr"], &truth, &CompareParams::default());
    assert!(compared.recall >= 0.999 && compared.precision >= 0.998 && compared.rmsd_pm <= 11.0);
}

#[test]
#[ignore = "minutes: 290 × 290 × 60"]
fn the_large_silicon_particle_is_traced_better_than_published() {
    let Some(folder) = pack("asi_9nm") else {
        return;
    };
    let truth = io::load_atoms(
        &folder.join("aSi9nm_model_GT.txt").display().to_string(),
        1.0,
    )
    .expect("the truth");
    let images = "aSi_9nmFosCetr_Dose8p0e3_cov35pm_ForBM3D.mat";
    let series = without_background(series(&folder, images, "Si_Angle.mat", 0.347));
    let rules = CompareParams {
        swap_xy: true,
        ..Default::default()
    };
    let compared = road("asi_9nm", &series, &["Si"], &truth, &rules);
    // The published model: 0.922, 0.943, 38.7 pm.
    assert!(compared.recall >= 0.922 && compared.precision >= 0.943 && compared.rmsd_pm < 38.7);
}
