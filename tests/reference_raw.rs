//! *Auto* on raw series with a known truth, when they lie beside the checkout in `../shared`: background, alignment,
//! geometry, reconstruction, tracing, completion and refinement with the atoms, without a word from the user.

use aetlas::io::{self, SeriesOptions};
use aetlas::jobs::execute::execute;
use aetlas::jobs::worker::JobContext;
use aetlas::jobs::{Job, JobEvent, JobId, JobOutput};
use aetlas::model::{Atoms, EulerAngles, Scan, TiltSeries};
use aetlas::monitor::Monitor;
use aetlas::preprocess::{FrameParams, register};
use aetlas::simulate::compare::{CompareParams, Compared, compare};
use ndarray::Array4;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(name);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// The atoms that *Auto* ends with.
fn auto(series: TiltSeries) -> Arc<Atoms> {
    let last = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&last);
    let context = JobContext {
        monitor: Monitor::silent(),
        emit: Arc::new(move |event| {
            if let JobEvent::Output { output, .. } = event
                && let JobOutput::Refined { atoms, notes, .. } = *output
            {
                println!("{notes:#?}");
                *slot.lock().expect("one thread at a time") = Some(atoms);
            }
        }),
        id: JobId(1),
        snapshots: Arc::default(),
        show_snapshots: false,
    };
    let job = Job::Auto {
        series: Arc::new(series),
        species: None,
        spacing: None,
        skip: Vec::new(),
        hand: Box::default(),
        follow: false,
        truth: None,
    };
    execute(job, &context).expect("a sound series");
    let atoms = last.lock().expect("one thread at a time").take();
    atoms.expect("refined atoms")
}

fn judged(name: &str, series: TiltSeries, truth: &Atoms) -> Compared {
    let began = std::time::Instant::now();
    let atoms = auto(series);
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
    let Some(folder) = shared("sim_hea4") else {
        return;
    };
    let spec = |name: &str| folder.join(name).display().to_string();
    let options = SeriesOptions {
        pixel_size: Some(0.347),
        ..Default::default()
    };
    let angles = spec("tilt_angles_nominal.txt");
    let (series, _) = io::load_series(&spec("tilt_series_raw.npy"), Some(&angles), &options)
        .expect("a readable pack");
    let mut archive =
        npyz::npz::NpzArchive::open(folder.join("truth.npz")).expect("a readable pack");
    let flat: Vec<f32> = archive
        .by_name("atoms_A")
        .expect("readable")
        .expect("present")
        .into_vec()
        .expect("numbers");
    let places = flat.chunks(3).map(|c| [0, 1, 2].map(|k| f64::from(c[k])));
    let truth = Atoms::from_positions(places.collect(), "X");
    let compared = judged("sim_hea4", series, &truth);
    assert!(compared.recall >= 0.99 && compared.precision >= 0.99);
    assert!(compared.rmsd_pm <= 20.0);
}

#[test]
#[ignore = "takes half a minute or more"]
fn auto_takes_raw_multislice_frames_to_their_atoms() {
    let Some(folder) = shared("pdpt_multislice") else {
        return;
    };
    let bytes = std::fs::read(folder.join("raw_frames.npy")).expect("readable");
    let file = npyz::NpyFile::new(&bytes[..]).expect("a .npy file");
    let shape: Vec<usize> = file.shape().iter().map(|&n| n as usize).collect();
    let counts: Vec<u16> = file.into_vec().expect("counts");
    let frames = Array4::from_shape_vec((shape[0], shape[1], shape[2], shape[3]), counts)
        .expect("whole")
        .mapv(f32::from);
    let registered = register(
        frames.view(),
        Scan::default(),
        &FrameParams::default(),
        &Monitor::silent(),
    )
    .expect("sound frames");
    let angles = std::fs::read_to_string(folder.join("angles_nominal.txt"))
        .expect("readable")
        .split_whitespace()
        .map(|word| EulerAngles::from_tilt_deg(word.parse().expect("an angle")))
        .collect();
    let series = TiltSeries::new("raw frames", registered.images, angles, Some(0.3434));
    let truth =
        io::load_atoms(&folder.join("truth.xyz").display().to_string(), 1.0).expect("the truth");
    let compared = judged("pdpt_multislice", series, &truth);
    assert!(compared.recall >= 0.97 && compared.precision >= 0.97);
    assert!(compared.rmsd_pm <= 25.0);
}
