//! *Auto* on a measured film that is wider than its images, against the published atoms, when the pack lies beside the
//! checkout in `../shared`.

mod common;

use aetlas::jobs::JobOutput;
use aetlas::model::Atoms;
use aetlas::simulate::compare::{CompareParams, compare};
use common::{auto, pack, series};
use std::path::Path;

const PIXEL_SIZE: f64 = 0.3216;

/// Published atoms of an area, Å about the center of a volume of `size` voxels.
fn published(folder: &Path, area: u32, size: [usize; 3]) -> Vec<[f64; 3]> {
    let text = std::fs::read_to_string(folder.join(format!("atoms_area{area}.csv"))).unwrap();
    text.lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<f64> = line.split(',').map(|f| f.parse().unwrap()).collect();
            std::array::from_fn(|a| (fields[3 + a] - (size[a] / 2) as f64) * PIXEL_SIZE)
        })
        .collect()
}

/// The atoms that *Auto* traces; it must not refine them.
fn traced(folder: &Path, area: u32) -> Atoms {
    let images = format!("Projections_area{area}.mat");
    let series = series(folder, &images, "angles.mat", PIXEL_SIZE);
    let mut found = None;
    for output in auto(series, Some("Ta")) {
        match output {
            JobOutput::Traced { outcome, .. } => found = Some(outcome.atoms.clone()),
            JobOutput::Refined { .. } => panic!("a film's atoms were refined"),
            _ => {}
        }
    }
    found.expect("traced atoms")
}

/// Recall, precision and their harmonic mean within 0.75 Å, of atoms at least `margin` Å inside the images' field.
fn agreement(found: &[[f64; 3]], published: &[[f64; 3]], field: [f64; 2], margin: f64) -> [f64; 3] {
    let params = CompareParams {
        cutoff: 0.75,
        no_shift: true,
        ..CompareParams::default()
    };
    let model = |positions: &[[f64; 3]]| Atoms::from_positions(positions.to_vec(), "Ta");
    let compared = compare(&model(found), &model(published), &params).unwrap();
    let inside = |p: &[f64; 3]| (0..2).all(|a| p[a].abs() <= field[a] - margin);
    let pairs = compared.pairs.iter();
    let matched: Vec<(bool, bool)> = pairs
        .map(|pair| (inside(&found[pair.traced]), inside(&published[pair.truth])))
        .collect();
    let share =
        |met: usize, all: &[[f64; 3]]| met as f64 / all.iter().filter(|p| inside(p)).count() as f64;
    let recall = share(matched.iter().filter(|m| m.1).count(), published);
    let precision = share(matched.iter().filter(|m| m.0).count(), found);
    [
        recall,
        precision,
        2.0 * recall * precision / (recall + precision),
    ]
}

#[test]
fn atoms_of_a_film_wider_than_its_images_are_the_published_ones() {
    let Some(folder) = pack("ta_film") else {
        return;
    };
    for (area, [nx, ny], least) in [(22, [151, 77], 0.925), (1, [131, 61], 0.88)] {
        let atoms = traced(&folder, area);
        let published = published(&folder, area, [nx, ny, nx]);
        let field = [nx, ny].map(|n| 0.5 * n as f64 * PIXEL_SIZE);
        for margin in [0.0, 1.0, 2.0] {
            let [recall, precision, both] = agreement(&atoms.positions, &published, field, margin);
            println!(
                "area {area}, {margin} Å inside the field: recall {recall:.3}, precision {precision:.3}, harmonic mean {both:.3}"
            );
            assert!(margin != 1.0 || both >= least, "area {area}: {both}");
        }
    }
}
