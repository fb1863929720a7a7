//! Completion and refinement against the tilts on packs with a known truth, when they lie beside the checkout in
//! `../shared`: reconstruct, trace, complete, compare.
//!
//! Bounds: the floors reached from the exact truth (asi_208: 8.5 pm at the lower dose; asi_9nm: 24 to 27 pm) with room for
//! another processor's rounding. Nothing here is fitted to the truth.

mod common;

use aetlas::io::{self};
use aetlas::model::{Atoms, EulerAngles, TiltSeries};
use aetlas::monitor::Monitor;
use aetlas::reconstruct::{ReconstructParams, reconstruct};
use aetlas::simulate::compare::{CompareParams, Compared, compare};
use aetlas::trace::refine::{CompleteParams, complete};
use aetlas::trace::{TraceHints, TraceParams, suggest, trace};
use common::{pack, series, without_background};

/// Traces a reconstruction of the series without its background, completes the model against the counts as they are.
fn road(
    name: &str,
    counts: &TiltSeries,
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
    let volume = reconstruct(
        &without_background(counts.clone()),
        &params,
        None,
        None,
        &monitor,
        &mut |_, _| {},
    )
    .expect("a series that reconstructs")
    .volume;
    let params = TraceParams {
        species: species.len(),
        species_names: species.iter().map(|s| (*s).to_owned()).collect(),
        ..suggest(&volume, &TraceHints::default()).params
    };
    let traced = trace(&volume, &params, None, &monitor).expect("a volume with atoms");
    let before = compare(&traced.atoms, truth, rules).expect("two models");
    let done = complete(counts, &traced.atoms, &CompleteParams::default(), &monitor)
        .expect("atoms to complete");
    let after = compare(&done.refined.atoms, truth, rules).expect("two models");
    println!(
        "{name}: traced {:.4} {:.4} {:.2} pm; completed {:.4} {:.4} {:.2} pm, species {:?}, R1 {:.4}, {:.0} s; {}",
        before.recall,
        before.precision,
        before.rmsd_pm,
        after.recall,
        after.precision,
        after.rmsd_pm,
        after.species_accuracy,
        done.refined.r1,
        done.refined.seconds,
        done.sentence()
    );
    after
}

#[test]
fn the_small_silicon_particle_is_placed_to_a_few_picometres() {
    let Some(folder) = pack("asi_208") else {
        return;
    };
    let truth = folder.join("aSi_208atoms_GT.txt").display().to_string();
    let truth = io::load_atoms(&truth, 1.0).expect("the truth");
    let rules = CompareParams {
        cutoff: 0.9,
        swap_xy: true,
        ..Default::default()
    };
    for (dose, bound) in [("1p6e5", 3.1), ("1p6e4", 9.7)] {
        let images = format!("aSi_2nmFosCetr_Dose{dose}_cov35pm_ForBM3D.mat");
        let counts = series(&folder, &images, "Si_Angle.mat", 0.195);
        let compared = road(dose, &counts, &["Si"], &truth, &rules);
        assert_eq!((compared.pairs.len(), compared.false_atoms.len()), (208, 0));
        assert!(compared.rmsd_pm <= bound, "{}", compared.rmsd_pm);
    }
}

#[test]
fn two_species_keep_their_lighter_one() {
    let Some(folder) = pack("pdpt_multislice") else {
        return;
    };
    let truth = folder.join("truth.xyz").display().to_string();
    let truth = io::load_atoms(&truth, 1.0).expect("the truth");
    let counts = series(&folder, "poisson.mat", "poisson.mat:angles", 0.3434);
    let compared = road(
        "pdpt",
        &counts,
        &["Pd", "Pt"],
        &truth,
        &CompareParams::default(),
    );
    assert!(
        compared.recall >= 0.998 && compared.precision >= 0.998,
        "{compared:?}"
    );
    assert!(compared.rmsd_pm < 9.5, "{}", compared.rmsd_pm);
}

#[test]
#[ignore = "minutes: 15,209 atoms in 50 images of 320 × 320"]
fn the_zirconium_series_is_complete_to_six_picometres() {
    let Some(folder) = pack("zr_series") else {
        return;
    };
    let truth = folder.join("truth.xyz").display().to_string();
    let truth = io::load_atoms(&truth, 1.0).expect("the truth");
    let counts = series(&folder, "projections.mat", "angles.mat", 0.3434);
    assert!(counts.angles.iter().any(|a: &EulerAngles| a.phi != 0.0));
    let compared = road("zr", &counts, &["Zr"], &truth, &CompareParams::default());
    assert!(compared.recall >= 0.999 && compared.precision >= 0.998 && compared.rmsd_pm <= 6.0);
}

#[test]
#[ignore = "minutes: 19,993 atoms in 60 images of 290 × 290"]
fn the_large_silicon_particle_is_completed_far_beyond_the_published_model() {
    let Some(folder) = pack("asi_9nm") else {
        return;
    };
    let truth = folder.join("aSi9nm_model_GT.txt").display().to_string();
    let truth = io::load_atoms(&truth, 1.0).expect("the truth");
    let counts = series(
        &folder,
        "aSi_9nmFosCetr_Dose8p0e3_cov35pm_ForBM3D.mat",
        "Si_Angle.mat",
        0.347,
    );
    let rules = CompareParams {
        swap_xy: true,
        ..Default::default()
    };
    let compared = road("asi_9nm", &counts, &["Si"], &truth, &rules);
    // The published model: 0.922, 0.943, 38.7 pm.
    assert!(compared.recall >= 0.975 && compared.precision >= 0.98 && compared.rmsd_pm <= 29.0);
}
