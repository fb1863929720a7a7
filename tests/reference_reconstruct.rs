//! RESIRE on real data packs, when they lie beside the checkout in `../shared`.

mod common;

use aetlas::io::{self};
use aetlas::model::Volume;
use aetlas::reconstruct::ReconstructParams;
use common::{pack, run, series};

fn correlation(a: &Volume, b: &Volume) -> f64 {
    let mean = |v: &Volume| v.data.iter().map(|&x| f64::from(x)).sum::<f64>() / v.data.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (&x, &y) in a.data.iter().zip(&b.data) {
        let (x, y) = (f64::from(x) - ma, f64::from(y) - mb);
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    ab / (aa * bb).sqrt()
}

#[test]
fn the_simulated_glass_is_reconstructed_better_than_its_authors_did() {
    let Some(folder) = pack("mg_sample") else {
        return;
    };
    let series = series(
        &folder,
        "sample_projections_amorphous.mat",
        "sample_angles_amorphous.mat",
        0.5,
    );
    let truth = io::load_volume(
        &folder
            .join("ground_truth_amorphous_vol.mat")
            .display()
            .to_string(),
        Some(0.5),
    )
    .expect("the truth");
    {
        let (accelerated, iterations) = (true, 50);
        let outcome = run(
            &series,
            &ReconstructParams {
                iterations,
                accelerated,
                ..Default::default()
            },
        );
        let found = correlation(&outcome.volume, &truth);
        assert!(
            found >= 0.975 && outcome.r1 <= 0.015,
            "correlation {found}, R1 {}",
            outcome.r1
        );
        println!(
            "mg_sample accelerated {accelerated}: R1 {:.4}, correlation {found:.4}, {:.1} s, objective {}",
            outcome.r1,
            outcome.seconds,
            outcome.iterations.last().unwrap().objective
        );
    }
}
