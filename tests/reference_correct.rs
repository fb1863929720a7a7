//! How correction keeps pace with the hand on a particle of 20,000 atoms in 60 tilts, when the pack lies beside the
//! checkout: an edit, the residual, the cut-outs and a refined sphere, timed and held against the truth.

use aetlas::io::{self, SeriesOptions};
use aetlas::jobs::examine::{Examiner, Subject};
use aetlas::model::Atoms;
use aetlas::model::geometry::distance;
use aetlas::trace::doubts::DoubtKind;
use aetlas::trace::refine::{PlaneGrid, RefineParams};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let answer = work();
    println!("{what}: {:.0} ms", 1e3 * began.elapsed().as_secs_f64());
    answer
}

/// The truth in the volume's axes, about its mean.
fn truth(folder: &Path) -> Atoms {
    let path = folder.join("aSi9nm_model_GT.txt").display().to_string();
    let read = io::load_atoms(&path, 1.0).expect("the truth");
    let n = read.len() as f64;
    let mean: [f64; 3] =
        std::array::from_fn(|a| read.positions.iter().map(|p| p[a]).sum::<f64>() / n);
    let place = |p: &[f64; 3]| {
        let [x, y, z]: [f64; 3] = std::array::from_fn(|a| p[a] - mean[a]);
        [y, x, z]
    };
    Atoms::from_positions(read.positions.iter().map(place).collect(), "Si")
}

#[test]
#[ignore = "half a minute: draws 19,993 atoms in 60 images of 290 × 290"]
fn a_large_particle_is_corrected_at_the_pace_of_the_hand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/asi_9nm");
    if !folder.exists() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let spec = |name: &str| folder.join(name).display().to_string();
    let options = SeriesOptions {
        pixel_size: Some(0.347),
        ..Default::default()
    };
    let images = spec("aSi_9nmFosCetr_Dose8p0e3_cov35pm_ForBM3D.mat");
    let series = io::load_series(&images, Some(&spec("Si_Angle.mat")), &options)
        .expect("a readable pack")
        .0;
    let series = Arc::new(series);
    let atoms = truth(&folder);
    let near = |place: [f64; 3]| {
        let from = |i: usize| distance(atoms.positions[i], place);
        (0..atoms.len())
            .min_by(|&a, &b| from(a).total_cmp(&from(b)))
            .expect("atoms")
    };
    let subject = |atoms: &Atoms| Subject {
        series: Arc::clone(&series),
        atoms: Arc::new(atoms.clone()),
        params: RefineParams::default(),
    };
    let examiner = Examiner::default();
    let whole = subject(&atoms);
    let first = near([12.0, -8.0, 5.0]);
    let place = atoms.positions[first];
    timed("drawing the model and its first cut-outs", || {
        examiner.look(&whole, place, Some(atoms.ids[first]))
    })
    .expect("cut-outs");
    let shown = timed("cut-outs", || {
        examiner.look(&whole, place, Some(atoms.ids[first]))
    })
    .expect("cut-outs");
    println!(
        "the atom is seen with {:.1} σ of {:.1}",
        shown[0].seen, shown[0].expected
    );
    assert!(shown[0].seen > 0.6 * shown[0].expected);
    let grid = PlaneGrid {
        origin: [-50.0, -50.0, place[2]],
        right: [0.347, 0.0, 0.0],
        up: [0.0, 0.347, 0.0],
        size: [289, 289],
    };
    timed("the residual in a plane of 289 × 289", || {
        examiner.residual(&whole, &grid)
    })
    .expect("a residual");
    // A displaced atom comes back.
    let mut moved = atoms.clone();
    moved.positions[first][0] += 0.35;
    let displaced = subject(&moved);
    timed("an edit followed", || examiner.with(&displaced, |_| ())).expect("a drawn model");
    let part = timed("a sphere refined", || {
        examiner.refine_sphere(&displaced, place, None, &[])
    })
    .expect("a refined sphere");
    let k = part
        .before
        .iter()
        .position(|(id, _)| *id == atoms.ids[first])
        .expect("it is there");
    let off = distance(part.after.positions[k], place);
    println!(
        "{} atoms refined; the displaced one ends {:.0} pm off",
        part.before.len(),
        100.0 * off
    );
    assert!(off < 0.2);
    // A removed atom is missed at once.
    let kept: Vec<usize> = (0..atoms.len()).filter(|&i| i != first).collect();
    let without = subject(&atoms.select(&kept));
    let list = timed("the list brought up to date", || {
        examiner.bring_up_to_date(&without, &[], &atoms)
    })
    .expect("a list")
    .expect("one edit is not too many");
    let missed = list
        .iter()
        .find(|d| d.kind == DoubtKind::Missing && distance(d.position, place) < 0.5);
    println!(
        "missed with probability {:?}",
        missed.map(|d| d.probability())
    );
    assert!(missed.is_some_and(|d| d.probability() > 0.5), "{list:?}");
}
