//! One benchmark for each stage on the built-in particle, so that a change shows where it costs or saves:
//! `cargo bench`, or `cargo bench -- reconstruct` for one of them. Ratios to this machine's own limits come from
//! `aetlas bench`.

use aetlas::analyze::{AnalyzeParams, analyze, ptm, reanalyze};
use aetlas::model::{EulerAngles, TiltSeries};
use aetlas::monitor::Monitor;
use aetlas::numeric::tessellation::delaunay;
use aetlas::preprocess::{PrepareParams, preview_denoise};
use aetlas::reconstruct::{ReconstructParams, Reconstructed, reconstruct};
use aetlas::simulate::demo::{Demo, demo_series};
use aetlas::trace::{TraceParams, trace};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::LazyLock;

static DEMO: LazyLock<Demo> = LazyLock::new(|| {
    demo_series(&Default::default(), &Monitor::silent()).expect("the defaults make a particle")
});

/// Ten iterations.
fn ten(series: &TiltSeries) -> Reconstructed {
    let params = ReconstructParams {
        iterations: 10,
        ..ReconstructParams::default()
    };
    let monitor = Monitor::silent();
    reconstruct(series, &params, None, None, &monitor, &mut |_, _| {})
        .expect("the demo's series can be reconstructed")
}

/// The same images at angles that have no common axis: the general projector.
fn without_common_axis(series: &TiltSeries) -> TiltSeries {
    let angles = series.angles.iter().enumerate();
    TiltSeries {
        angles: angles
            .map(|(tilt, angle)| EulerAngles {
                psi: 1e-3 * tilt as f64,
                ..*angle
            })
            .collect(),
        ..series.clone()
    }
}

fn stages(criterion: &mut Criterion) {
    let monitor = Monitor::silent();
    let series = &DEMO.series;
    let general = without_common_axis(series);
    criterion.bench_function("denoise one image", |bench| {
        let params = PrepareParams::default();
        bench.iter(|| preview_denoise(black_box(series), 0, &params, &monitor));
    });
    criterion.bench_function("reconstruct, 10 iterations, single axis", |bench| {
        bench.iter(|| ten(black_box(series)));
    });
    criterion.bench_function("reconstruct, 10 iterations, general angles", |bench| {
        bench.iter(|| ten(black_box(&general)));
    });
    let volume = ten(series).volume;
    criterion.bench_function("trace", |bench| {
        bench.iter(|| trace(black_box(&volume), &TraceParams::default(), None, &monitor));
    });
}

fn structure(criterion: &mut Criterion) {
    let monitor = Monitor::silent();
    let atoms = &DEMO.truth;
    let params = AnalyzeParams::default();
    criterion.bench_function("tessellation", |bench| {
        bench.iter(|| delaunay(black_box(&atoms.positions)));
    });
    criterion.bench_function("template matching", |bench| {
        let wanted = [
            ptm::Structure::Fcc,
            ptm::Structure::Hcp,
            ptm::Structure::Bcc,
        ];
        bench.iter(|| ptm::match_templates(black_box(&atoms.positions), &wanted, 3.2, &monitor));
    });
    criterion.bench_function("all analyses", |bench| {
        bench.iter(|| analyze(black_box(atoms), &params, &monitor));
    });
    let before = analyze(atoms, &params, &monitor).expect("the demo's atoms can be analysed");
    let moved = AnalyzeParams {
        boo_threshold: params.boo_threshold + 0.01,
        ..params.clone()
    };
    criterion.bench_function("all analyses after a threshold moved", |bench| {
        bench.iter(|| reanalyze(black_box(&before), &moved, &monitor));
    });
}

criterion_group! {
    name = all;
    config = Criterion::default().sample_size(20);
    targets = stages, structure
}
criterion_main!(all);
