//! *Auto* on raw series with a known truth, when they lie beside the checkout in `../shared`: background, alignment,
//! geometry, reconstruction, tracing, completion and refinement with the atoms, without a word from the user.

mod common;

use aetlas::io;
use aetlas::jobs::JobOutput;
use aetlas::model::{Atoms, TiltSeries};
use aetlas::simulate::compare::{CompareParams, Compared, compare};
use common::{auto, doubles, pack, series};
use std::sync::Arc;

/// The atoms that *Auto* ends with.
fn refined(series: TiltSeries) -> Arc<Atoms> {
    let refined = auto(series, None)
        .into_iter()
        .filter_map(|output| match output {
            JobOutput::Refined { atoms, notes, .. } => {
                println!("{notes:#?}");
                Some(atoms)
            }
            _ => None,
        });
    refined.last().expect("refined atoms")
}

fn judged(name: &str, series: TiltSeries, truth: &Atoms) -> Compared {
    let began = std::time::Instant::now();
    let atoms = refined(series);
    let compared = compare(&atoms, truth, &CompareParams::default()).expect("two models");
    let counts: Vec<usize> = (0..atoms.species_names.len())
        .map(|k| {
            atoms
                .species
                .iter()
                .filter(|s| usize::from(**s) == k)
                .count()
        })
        .collect();
    println!(
        "{name}: recall {:.4}, precision {:.4}, {:.2} pm, species {counts:?}; {:.0} s",
        compared.recall,
        compared.precision,
        compared.rmsd_pm,
        began.elapsed().as_secs_f64()
    );
    compared
}

#[test]
#[ignore = "takes half a minute or more"]
fn auto_takes_the_raw_alloy_series_to_its_atoms() {
    let Some(folder) = pack("sim_hea4") else {
        return;
    };
    let series = series(
        &folder,
        "tilt_series_raw.npy",
        "tilt_angles_nominal.txt",
        0.347,
    );
    let flat = doubles("data/sim_hea4/truth.npz", "atoms_A");
    let places = flat.chunks(3).map(|c| [c[0], c[1], c[2]]);
    let truth = Atoms::from_positions(places.collect(), "X");
    // As the MRC file of the pack holds it, with the tilt axis along x.
    let compared = judged("sim_hea4", series.exchanged(), &truth);
    assert!(compared.recall >= 0.99 && compared.precision >= 0.99);
    assert!(compared.rmsd_pm <= 20.0);
}

#[test]
#[ignore = "takes half a minute or more"]
fn auto_takes_raw_multislice_frames_to_their_atoms() {
    let Some(folder) = pack("pdpt_multislice") else {
        return;
    };
    let series = series(&folder, "raw_frames.npy", "angles_nominal.txt", 0.3434);
    assert!(series.frames.is_some(), "three frames per tilt");
    let truth =
        io::load_atoms(&folder.join("truth.xyz").display().to_string(), 1.0).expect("the truth");
    let compared = judged("pdpt_multislice", series, &truth);
    assert!(compared.recall >= 0.97 && compared.precision >= 0.97);
    assert!(compared.rmsd_pm <= 25.0);
}
