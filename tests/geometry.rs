//! Geometry refinement as the command runs it: the volume first, then the atoms in it.

mod common;

use aetlas::jobs::geometry::refine_geometry;
use aetlas::model::TiltSeries;
use aetlas::monitor::Monitor;
use aetlas::reconstruct::{GeometryParams, GeometryRefined};
use aetlas::simulate::acquisition::{Acquired, AcquisitionParams, Scatterer, acquire};
use common::{remaining, silent_context};

/// A ball cut from a face-centred cubic crystal, seen in tilts that are not where they are said to be.
fn misplaced(radius: f64, params: &AcquisitionParams) -> Acquired {
    const EDGE: f64 = 4.5;
    let steps = -4..=4i32;
    let mut atoms = Vec::new();
    for corner in [[0.0; 3], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]] {
        for i in steps.clone() {
            for j in steps.clone() {
                for k in steps.clone() {
                    // No lattice direction along an axis of the grid.
                    let at: [f64; 3] = [i, j, k].map(f64::from);
                    let [x, y, z] = [0, 1, 2].map(|axis| EDGE * (at[axis] + corner[axis]) + 0.3);
                    let position = [0.8 * x - 0.6 * y, 0.6 * x + 0.8 * y, z];
                    if position.iter().map(|v| v * v).sum::<f64>() < radius * radius {
                        atoms.push(Scatterer {
                            position,
                            atomic_number: 40.0,
                        });
                    }
                }
            }
        }
    }
    acquire(&atoms, params, &Monitor::silent()).expect("sound parameters")
}

fn misplacing() -> AcquisitionParams {
    AcquisitionParams {
        tilts: 41,
        angle_error_deg: 0.3,
        shift_error_px: 0.3,
        ..AcquisitionParams::default()
    }
}

fn refined(series: &TiltSeries, volume_only: bool) -> GeometryRefined {
    let params = GeometryParams {
        volume_only,
        ..GeometryParams::default()
    };
    let found = refine_geometry(series, &params, &silent_context()).expect("a sound series");
    (*found).clone()
}

fn left(found: &GeometryRefined, acquired: &Acquired) -> ([f64; 2], [f64; 3]) {
    remaining(
        &found.series.angles,
        &found.shifts_px,
        &acquired.true_angles,
        &acquired.shifts_px,
    )
}

#[test]
fn atoms_find_the_tilts_better_than_the_volume_does() {
    let acquired = misplaced(9.0, &misplacing());
    let none = vec![[0.0; 2]; acquired.series.len()];
    let (before, _) = remaining(
        &acquired.series.angles,
        &none,
        &acquired.true_angles,
        &acquired.shifts_px,
    );
    let (by_volume, by_atoms) = (
        refined(&acquired.series, true),
        refined(&acquired.series, false),
    );
    let (volume, atoms) = (left(&by_volume, &acquired), left(&by_atoms, &acquired));
    println!("before {before:?} px, by the volume {volume:?}, by its atoms {atoms:?}");
    assert_eq!(by_atoms.rounds.len(), by_volume.rounds.len() + 1);
    let total = |e: &[f64]| e.iter().map(|v| v * v).sum::<f64>().sqrt();
    assert!(total(&atoms.0) < 0.04 && total(&before) > 0.2, "{atoms:?}");
    assert!(
        total(&atoms.1) < 0.8 * total(&volume.1),
        "{volume:?} {atoms:?}"
    );
    assert!(by_atoms.r1_after() < by_atoms.r1_before());
}

#[test]
fn where_no_atoms_are_seen_the_volume_has_the_last_word() {
    // A probe that no atom is seen with.
    let params = AcquisitionParams {
        probe_fwhm: 8.0,
        ..misplacing()
    };
    let series = misplaced(6.0, &params).series;
    let (with, without) = (refined(&series, false), refined(&series, true));
    assert_eq!(with.shifts_px, without.shifts_px);
    assert_eq!(with.angle_corrections_deg, without.angle_corrections_deg);
}
