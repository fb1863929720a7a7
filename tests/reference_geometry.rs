//! The geometry of the simulated raw series, from its own coarse alignment to the planted truth, when the data is there.

mod common;

use aetlas::jobs::geometry::refine_geometry;
use aetlas::model::{EulerAngles, TiltSeries};
use aetlas::monitor::Monitor;
use aetlas::preprocess::{PrepareParams, prepare};
use aetlas::reconstruct::{GeometryParams, GeometryRefined};
use common::{pack, remaining, silent_context};
use ndarray::Array3;
use std::path::PathBuf;

fn table(path: PathBuf, name: &str) -> Vec<Vec<f64>> {
    let mut archive = npyz::npz::NpzArchive::open(path).expect("a .npz file");
    let array = archive.by_name(name).expect("readable").expect(name);
    let columns = *array.shape().last().expect("a table") as usize;
    let values: Vec<f64> = array.into_vec().expect("numbers");
    values.chunks(columns).map(<[f64]>::to_vec).collect()
}

#[test]
#[ignore = "takes a minute or more"]
fn the_planted_geometry_of_the_raw_series_is_recovered() {
    let Some(folder) = pack("sim_hea4") else {
        return;
    };
    let bytes = std::fs::read(folder.join("tilt_series_raw.npy")).expect("readable");
    let file = npyz::NpyFile::new(&bytes[..]).expect("a .npy file");
    let shape: Vec<usize> = file.shape().iter().map(|&n| n as usize).collect();
    let counts: Vec<u16> = file.into_vec().expect("counts");
    let stored = Array3::from_shape_vec((shape[0], shape[1], shape[2]), counts).expect("whole");
    let images = stored.mapv(f32::from).permuted_axes([2, 0, 1]);
    let truth: Vec<EulerAngles> = table(folder.join("truth.npz"), "true_angles_deg")
        .iter()
        .map(|a| EulerAngles::from_deg(a[0], a[1], a[2]))
        .collect();
    let shifts: Vec<[f64; 2]> = table(folder.join("truth.npz"), "shifts_px")
        .iter()
        .map(|s| [s[0], s[1]])
        .collect();
    let nominal = std::fs::read_to_string(folder.join("tilt_angles_nominal.txt"))
        .expect("readable")
        .split_whitespace()
        .map(|word| EulerAngles::from_tilt_deg(word.parse().expect("an angle")))
        .collect();
    let raw = TiltSeries::new("sim_hea4", images, nominal, Some(0.347));
    let silent = Monitor::silent();
    let coarse = prepare(&raw, &PrepareParams::default(), &silent).expect("a sound series");
    let before = remaining(&coarse.series.angles, &coarse.shifts_px, &truth, &shifts);
    let after = |refined: &GeometryRefined| {
        let moved: Vec<[f64; 2]> = (0..shifts.len())
            .map(|t| [0, 1].map(|axis| coarse.shifts_px[t][axis] + refined.shifts_px[t][axis]))
            .collect();
        let after = remaining(&refined.series.angles, &moved, &truth, &shifts);
        let (rounds, seconds) = (refined.rounds.len(), refined.seconds);
        println!("before {before:?}, after {after:?}, {rounds} rounds, {seconds:.0} s");
        assert!(refined.r1_after() < refined.r1_before());
        after
    };
    let refine = |volume_only: bool| {
        let params = GeometryParams {
            volume_only,
            ..GeometryParams::default()
        };
        refine_geometry(&coarse.series, &params, &silent_context()).expect("a sound series")
    };
    let by_volume = after(&refine(true));
    assert!(by_volume.0.iter().all(|&e| e < 0.05), "{by_volume:?}");
    // Its own noise and the low-pass leave a volume 0.03 to 0.07 degrees an axis.
    assert!(by_volume.1.iter().all(|&e| e < 0.08), "{by_volume:?}");
    for axis in 0..3 {
        assert!(
            by_volume.1[axis] < 0.4 * before.1[axis],
            "{before:?} {by_volume:?}"
        );
    }
    let by_atoms = after(&refine(false));
    assert!(by_atoms.0.iter().all(|&e| e < 0.05), "{by_atoms:?}");
    assert!(by_atoms.1.iter().all(|&e| e < 0.05), "{by_atoms:?}");
}
