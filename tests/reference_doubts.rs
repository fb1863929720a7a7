//! Planted errors lead the list of doubtful places: one atom in a hundred removed from a good model, as many false ones
//! added, and the first items of the list (2.5 % of the number of atoms) looked at.

use aetlas::io::{self, SeriesOptions};
use aetlas::model::geometry::distance;
use aetlas::model::{Atoms, TiltSeries};
use aetlas::monitor::Monitor;
use aetlas::reconstruct::{ReconstructParams, reconstruct};
use aetlas::simulate::{DemoParams, demo_series};
use aetlas::trace::doubts::{DoubtInput, DoubtKind, DoubtParams, doubtful_places};
use aetlas::trace::refine::{CompleteParams, RefineParams, complete, refine};
use aetlas::trace::{TraceHints, suggest, trace};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::path::Path;

/// A model with errors, and what they are.
struct Planted {
    atoms: Atoms,
    removed: Vec<[f64; 3]>,
    /// Ids from here on are false atoms.
    first_false: u64,
}

/// Takes one atom in a hundred out, and adds as many at random places inside the particle (eight atoms within 4 Å) that
/// keep 1.6 Å from every atom, removed ones too.
fn plant(model: &Atoms, seed: u64) -> Planted {
    let mut rng = StdRng::seed_from_u64(seed);
    let errors = model.len().div_ceil(100);
    let mut order: Vec<usize> = (0..model.len()).collect();
    order.shuffle(&mut rng);
    let removed: Vec<[f64; 3]> = order[..errors]
        .iter()
        .map(|&i| model.positions[i])
        .collect();
    let mut kept = order.split_off(errors);
    kept.sort_unstable();
    let mut positions: Vec<[f64; 3]> = kept.iter().map(|&i| model.positions[i]).collect();
    let real = positions.len();
    while positions.len() < real + errors {
        let near = positions[rng.random_range(0..real)];
        let place = near.map(|v| v + rng.random_range(-3.0..3.0));
        let around = positions
            .iter()
            .filter(|p| distance(**p, place) < 4.0)
            .count();
        let free = (positions.iter().chain(&removed)).all(|p| distance(*p, place) >= 1.6);
        if free && around >= 8 {
            positions.push(place);
        }
    }
    Planted {
        atoms: Atoms::from_positions(positions, &model.species_names[0]),
        removed,
        first_false: real as u64,
    }
}

/// Share of the planted errors among the first items of the list: removed atoms by a *missing* item within 1 Å, false
/// ones by an item that names them.
fn share_found(name: &str, planted: &Planted, series: &TiltSeries) -> f64 {
    let input = DoubtInput {
        atoms: &planted.atoms,
        series: Some(series),
        volume: None,
        traced: None,
    };
    let started = std::time::Instant::now();
    let doubts = doubtful_places(&input, &DoubtParams::default(), &Monitor::silent())
        .expect("a list of doubtful places");
    let top = &doubts[..doubts.len().min(planted.atoms.len() / 40)];
    let missing = |place: &[f64; 3]| {
        top.iter()
            .any(|d| d.kind == DoubtKind::Missing && distance(d.position, *place) < 1.0)
    };
    let removed = planted.removed.iter().filter(|p| missing(p)).count();
    let errors = planted.removed.len();
    let first = planted.first_false;
    let falsely = (first..first + errors as u64)
        .filter(|id| top.iter().any(|d| d.atoms.iter().any(|a| a.0 == *id)))
        .count();
    let share = (removed + falsely) as f64 / (2 * errors) as f64;
    println!(
        "{name}: {removed} of {errors} removed and {falsely} of {errors} false atoms among the first {} places: {share:.3}, {:.1} s",
        top.len(),
        started.elapsed().as_secs_f64()
    );
    share
}

#[test]
fn planted_errors_of_a_small_particle_are_among_the_first_places() {
    let params = DemoParams {
        without_oxygen: true,
        ..DemoParams::default()
    };
    let demo = demo_series(&params, &Monitor::silent()).expect("the demonstration");
    let good = refine(
        &demo.series,
        &demo.truth,
        &RefineParams::default(),
        &Monitor::silent(),
    )
    .expect("a model to refine");
    let planted = plant(&good.atoms, 3);
    assert!(share_found("demo", &planted, &demo.series) >= 0.8);
}

/// Mean of each image's rim taken off: the linear projector knows no background.
fn without_background(series: &TiltSeries) -> TiltSeries {
    let mut series = series.clone();
    for mut image in series.images.outer_iter_mut() {
        let (nx, ny) = image.dim();
        let rim = |x: usize, y: usize| x < 6 || y < 6 || x >= nx - 6 || y >= ny - 6;
        let values: Vec<f32> = (image.indexed_iter())
            .filter(|((x, y), _)| rim(*x, *y))
            .map(|(_, v)| *v)
            .collect();
        let background = values.iter().sum::<f32>() / values.len() as f32;
        image.mapv_inplace(|v| v - background);
    }
    series
}

#[test]
#[ignore = "minutes: completes 19,993 atoms in 60 images of 290 × 290 first"]
fn planted_errors_of_the_large_silicon_particle_are_among_the_first_places() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/asi_9nm");
    if !folder.exists() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let monitor = Monitor::silent();
    let spec = |name: &str| folder.join(name).display().to_string();
    let options = SeriesOptions {
        pixel_size: Some(0.347),
        ..Default::default()
    };
    let images = spec("aSi_9nmFosCetr_Dose8p0e3_cov35pm_ForBM3D.mat");
    let series = io::load_series(&images, Some(&spec("Si_Angle.mat")), &options)
        .expect("a readable pack")
        .0;
    let params = ReconstructParams {
        iterations: 30,
        accelerated: true,
        ..Default::default()
    };
    let bright = without_background(&series);
    let volume = reconstruct(&bright, &params, None, None, &monitor, &mut |_, _| {})
        .expect("a series that reconstructs")
        .volume;
    let params = suggest(&volume, &TraceHints::default()).params;
    let traced = trace(&volume, &params, None, &monitor).expect("a volume with atoms");
    let done = complete(&series, &traced.atoms, &CompleteParams::default(), &monitor)
        .expect("atoms to complete");
    let mut planted = plant(&done.refined.atoms, 1);
    assert!(share_found("asi_9nm", &planted, &series) >= 0.8);
    // False atoms that refinement was let loose on hide behind real ones; most still show.
    let refined = refine(&series, &planted.atoms, &RefineParams::default(), &monitor)
        .expect("a model to refine");
    planted.atoms.positions = refined.atoms.positions;
    share_found("asi_9nm, refined with the errors in it", &planted, &series);
}
