//! Both projectors on packs with a known truth, when they lie beside the checkout in `../shared`: prints the tables that
//! the default was chosen by.

mod common;

use aetlas::io::{self};
use aetlas::model::{Atoms, TiltSeries, Volume};
use aetlas::monitor::Monitor;
use aetlas::projection::forward_by;
use aetlas::reconstruct::{Projector, ReconstructParams, Reconstructed};
use aetlas::simulate::compare::{CompareParams, compare};
use aetlas::trace::{TraceHints, suggest, trace};
use common::{pack, run, series, without_background};

/// Correlation, and `‖found − truth‖ / ‖truth‖`.
fn likeness(found: &Volume, truth: &Volume) -> (f64, f64) {
    let n = found.data.len() as f64;
    let mean = |v: &Volume| v.data.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let (ma, mb) = (mean(found), mean(truth));
    let (mut ab, mut aa, mut bb, mut off, mut all) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (&x, &y) in found.data.iter().zip(&truth.data) {
        let (x, y) = (f64::from(x), f64::from(y));
        ab += (x - ma) * (y - mb);
        aa += (x - ma).powi(2);
        bb += (y - mb).powi(2);
        off += (x - y).powi(2);
        all += y * y;
    }
    (ab / (aa * bb).sqrt(), (off / all).sqrt())
}

/// Iterations, and whether they are accelerated.
type Way = (usize, bool);

/// Both projectors, each in all ways.
fn all(ways: &[Way]) -> impl Iterator<Item = (Projector, Way)> {
    ways.iter()
        .flat_map(|&way| [Projector::Linear, Projector::Fourier].map(|p| (p, way)))
}

fn params(projector: Projector, (iterations, accelerated): Way) -> ReconstructParams {
    ReconstructParams {
        projector,
        iterations,
        accelerated,
        ..Default::default()
    }
}

fn name(projector: Projector, (iterations, accelerated): Way) -> String {
    let kind = if accelerated { "accelerated" } else { "plain" };
    format!("{projector:?} | {iterations} {kind}").to_lowercase()
}

/// Runs it; also says how many milliseconds of all processors an iteration took, where the system tells.
fn timed(series: &TiltSeries, params: &ReconstructParams) -> (Reconstructed, f64) {
    let before = processor_seconds();
    let outcome = run(series, params);
    let seconds = processor_seconds() - before;
    let milliseconds = 1e3 * seconds / outcome.iterations.len() as f64;
    (outcome, milliseconds)
}

/// Processor time of this process, all threads, seconds; NaN where the system does not tell.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces; user and system time are fields 14 and 15, in hundredths.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let times = fields.split_whitespace().skip(11).take(2);
    times
        .map(|text| text.parse::<f64>().unwrap_or(f64::NAN))
        .sum::<f64>()
        / 100.0
}

/// The simulated glass and its truth.
fn glass() -> Option<(TiltSeries, Volume)> {
    let folder = pack("mg_sample")?;
    let series = series(
        &folder,
        "sample_projections_amorphous.mat",
        "sample_angles_amorphous.mat",
        0.5,
    );
    let truth = folder.join("ground_truth_amorphous_vol.mat");
    let truth = io::load_volume(&truth.display().to_string(), Some(0.5)).expect("the truth");
    Some((series, truth))
}

#[test]
fn the_images_of_the_simulated_glass_are_fourier_slices_and_bring_it_back() {
    let Some((series, truth)) = glass() else {
        return;
    };
    let chosen = params(Projector::Fourier, (120, true));
    let images = forward_by(
        chosen.method(),
        &truth,
        &series.angles,
        series.image_size(),
        &Monitor::silent(),
    )
    .expect("nobody stops it");
    let sum = |values: &mut dyn Iterator<Item = f32>| -> f64 { values.map(f64::from).sum() };
    let off = sum(&mut images
        .iter()
        .zip(&series.images)
        .map(|(a, b)| (a - b).abs()));
    let all = sum(&mut series.images.iter().map(|b| b.abs()));
    assert!(off < 1e-3 * all, "{}", off / all);
    let outcome = run(&series, &chosen);
    let (correlation, l2) = likeness(&outcome.volume, &truth);
    assert!(correlation >= 0.985 && l2 <= 0.165, "{correlation} {l2}");
}

#[test]
#[ignore = "prints a table; takes a minute"]
fn both_projectors_on_the_simulated_glass() {
    let Some((series, truth)) = glass() else {
        return;
    };
    println!("| mg_sample | iterations | correlation | relative L2 | R1 | CPU ms / iteration |");
    println!("|---|---|---|---|---|---|");
    let ways = [
        (200, false),
        (50, true),
        (100, true),
        (200, true),
        (400, true),
    ];
    for (projector, way) in all(&ways) {
        let (outcome, milliseconds) = timed(&series, &params(projector, way));
        let (correlation, l2) = likeness(&outcome.volume, &truth);
        println!(
            "| {} | {correlation:.4} | {l2:.4} | {:.4} | {milliseconds:.1} |",
            name(projector, way),
            outcome.r1,
        );
        assert!(correlation > 0.95 && outcome.r1 < 0.05);
    }
}

fn road(pack: &str, series: &TiltSeries, truth: &Atoms, rules: &CompareParams) {
    let silent = Monitor::silent();
    println!("| {pack} | iterations | found | false | RMSD, pm | R1 | CPU ms / iteration |");
    println!("|---|---|---|---|---|---|---|");
    for (projector, way) in all(&[(30, true), (200, false)]) {
        let (outcome, milliseconds) = timed(series, &params(projector, way));
        let suggested = suggest(&outcome.volume, &TraceHints::default());
        let traced =
            trace(&outcome.volume, &suggested.params, None, &silent).expect("a volume with atoms");
        let compared = compare(&traced.atoms, truth, rules).expect("two models");
        println!(
            "| {} | {} of {} | {} | {:.2} | {:.4} | {milliseconds:.0} |",
            name(projector, way),
            compared.matched(),
            truth.len(),
            compared.false_atoms.len(),
            compared.rmsd_pm,
            outcome.r1,
        );
        assert!(compared.recall > 0.8, "{}", compared.recall);
    }
}

#[test]
#[ignore = "prints a table; takes minutes"]
fn both_projectors_down_the_road_to_atoms() {
    if let Some(folder) = pack("asi_208") {
        let truth = folder.join("aSi_208atoms_GT.txt");
        let truth = io::load_atoms(&truth.display().to_string(), 1.0).expect("the truth");
        let rules = CompareParams {
            cutoff: 0.9,
            swap_xy: true,
            ..Default::default()
        };
        for dose in ["1p6e4", "1p6e5"] {
            let images = format!("aSi_2nmFosCetr_Dose{dose}_cov35pm_ForBM3D.mat");
            let series = without_background(series(&folder, &images, "Si_Angle.mat", 0.195));
            road(&format!("asi_208 {dose}"), &series, &truth, &rules);
        }
    }
    if let Some(folder) = pack("pdpt_multislice") {
        let truth = folder.join("truth.xyz");
        let truth = io::load_atoms(&truth.display().to_string(), 1.0).expect("the truth");
        for images in ["noisefree.mat", "poisson.mat"] {
            let series = series(&folder, images, "poisson.mat:angles", 0.3434);
            road(
                &format!("pdpt {images}"),
                &series,
                &truth,
                &CompareParams::default(),
            );
        }
    }
}
