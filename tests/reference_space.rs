//! Regions, voids, atomic density and oxidation of three made-up particles against values of independent tools, when they lie
//! beside the checkout in `../shared`; see `reference_analysis.rs`.

mod common;

use aetlas::analyze::AnalyzeParams;
use aetlas::analyze::oxidation::{Region, Space, oxidation, region_volume};
use aetlas::analyze::voids::{VOID_CLASSES, Void, voids};
use aetlas::model::Atoms;
use aetlas::model::geometry::distance;
use common::{analyzed, mean, model, near, number, quantile, reference, shared, within};
use serde_json::Value;

struct Particle {
    name: &'static str,
    atoms: Atoms,
    values: Value,
    space: Space,
    region: Region,
}

/// The three made-up particles with the cutoff of the reference.
fn particles() -> Vec<Particle> {
    let Some(reference) = reference() else {
        return Vec::new();
    };
    ["zr_fcc_metal", "zr_cubic_oxide", "zr_partial"]
        .into_iter()
        .filter_map(|name| {
            let atoms = model(&format!("reference/{name}.xyz"), 1.0)?;
            let space = Space::new(&atoms.positions).unwrap();
            Some(Particle {
                name,
                region: Region::new(&space, 4.5, atoms.len()),
                values: reference[name].clone(),
                atoms,
                space,
            })
        })
        .collect()
}

#[test]
fn regions_surfaces_and_faces_are_those_of_the_reference() {
    for Particle {
        name,
        atoms,
        values,
        space,
        region,
    } in particles()
    {
        println!("{name}");
        let perfect = name != "zr_partial";
        let tetrahedra = &values["delaunay"]["value"];
        let hull: f64 = space.volume.iter().sum();
        within("hull", hull, number(&tetrahedra["hull_volume_A3"]), 1e-5);
        if !perfect {
            assert_eq!(space.volume.len() as u64, tetrahedra["n_tetrahedra"]);
            assert_eq!(
                space.volume.iter().filter(|v| **v < 0.5).count() as u64,
                tetrahedra["n_V_lt_0.5"]
            );
        }
        let literal: Vec<bool> = space.circumradius.iter().map(|r| *r <= 4.5).collect();
        let volumes = &values["alpha_shape_volume"]["value"];
        within(
            "A",
            region_volume(&space, &literal),
            number(&volumes["A_literal"]),
            1e-6,
        );
        within(
            "B",
            region.volume,
            number(&volumes["B_cavities_filled"]),
            1e-6,
        );
        let on_a = space.surface(&literal, atoms.len());
        for (which, surface) in [("A", &on_a), ("B", &region.surface)] {
            // The cut particles have no cavity: what A has more there are tetrahedra of no volume, which the exact
            // tessellation has not.
            let which = if perfect { "B" } else { which };
            let count = surface.iter().filter(|s| **s).count() as f64;
            within(
                which,
                count,
                number(&values["surface_atoms"]["value"][which]),
                0.005,
            );
        }
        let faces = &values["voronoi_mean_faces_after_1pct"];
        let inner = (0..atoms.len()).filter(|&i| !on_a[i]);
        let mean_faces = mean(inner.map(|i| space.faces.wide(i, 0.01).count() as f64));
        // The reference is rounded to four digits; among its inner atoms of the cut particles, see above, are fewer.
        near(
            "faces",
            mean_faces,
            number(&faces["value"]),
            if perfect {
                0.05
            } else {
                number(&faces["tolerance"]).max(1e-4)
            },
        );
    }
}

/// Clusters inside by class, and those at the boundary.
fn classes(found: &[Void]) -> [[usize; 4]; 2] {
    let [vacancy, pore, large] = VOID_CLASSES;
    let mut counts = [[0; 4]; 2];
    for void in found {
        let class = [vacancy, pore, large]
            .iter()
            .filter(|limit| void.volume >= **limit)
            .count();
        counts[usize::from(void.at_surface)][class] += 1;
    }
    counts
}

#[test]
fn voids_are_found_in_their_classes_and_planted_ones_at_their_places() {
    for Particle {
        name,
        atoms,
        values,
        space,
        region,
    } in particles()
    {
        println!("{name}");
        let literal: Vec<bool> = space.circumradius.iter().map(|r| *r <= 4.5).collect();
        for (key, inside) in [("voids_A", &literal), ("voids_B", &region.inside)] {
            let value = &values[key]["value"];
            let found = voids(&space, inside, &atoms.positions, [3.19, 0.5]);
            let total: f64 = found.iter().map(|v| v.volume).sum();
            within(key, total, number(&value["void_volume_A3"]), 0.005);
            within(
                "porosity",
                total / region_volume(&space, inside),
                number(&value["porosity"]),
                0.005,
            );
            let counts = classes(&found);
            for (where_, counts) in [
                ("interior(no face on region boundary)", counts[0]),
                ("touching_region_boundary", counts[1]),
            ] {
                // Perfect balls split their surface's octahedra by chance: only what is inside is meant exactly.
                if name != "zr_partial" && where_.starts_with("touching") {
                    continue;
                }
                for (class, count) in ["lt45", "vacancy_45_125", "nanopore_125_4500", "gt4500"]
                    .iter()
                    .zip(counts)
                {
                    assert_eq!(
                        count as u64, value[where_][class],
                        "{name} {key} {where_} {class}"
                    );
                }
            }
            let inner: f64 = found
                .iter()
                .filter(|v| !v.at_surface)
                .map(|v| v.volume)
                .sum();
            near(
                "inside",
                inner,
                number(&value["interior_void_volume_A3"]),
                1.0,
            );
        }
    }
    // Each planted one in its class, and nothing else.
    let Some(truth) = shared("reference/zr_partial_truth.json") else {
        return;
    };
    let truth: Value = serde_json::from_str(&std::fs::read_to_string(truth).unwrap()).unwrap();
    let atoms = model("reference/zr_partial.xyz", 1.0).unwrap();
    let out = analyzed(&atoms, &["voids"], 4.5);
    let mut left: Vec<&Void> = out
        .voids
        .iter()
        .filter(|v| !v.at_surface && v.volume >= VOID_CLASSES[0])
        .collect();
    let planted = truth["planted"].as_array().unwrap();
    for plant in planted {
        let center: Vec<f64> = plant["centre"]
            .as_array()
            .unwrap()
            .iter()
            .map(number)
            .collect();
        let at = left
            .iter()
            .position(|v| distance(v.center, [center[0], center[1], center[2]]) < 1.5);
        let found = left.remove(at.unwrap_or_else(|| panic!("not found: {plant}")));
        let class = if plant["kind"] == "pore" {
            "nanopore"
        } else {
            "vacancy"
        };
        assert_eq!(found.class(), class, "{plant}");
        let phase = out.atoms.column("phase").unwrap();
        assert_eq!(
            found.commonest_of(phase),
            plant["phase"].as_f64(),
            "{plant}"
        );
    }
    assert!(left.is_empty(), "false voids: {left:?}");
    assert_eq!(
        (
            out.summary["voids"]["vacancies"].as_u64(),
            out.summary["voids"]["nanopores"].as_u64()
        ),
        (Some(32), Some(5))
    );
}

#[test]
fn density_oxidation_and_order_of_each_phase_are_those_of_the_reference() {
    for Particle {
        name,
        atoms,
        values,
        space,
        region,
    } in particles()
    {
        let perfect = name != "zr_partial";
        let out = analyzed(&atoms, &["pdf", "boo", "oxidation"], 4.5);
        near(
            "CN",
            number(&out.summary["cn"]["mean"]),
            number(&values["cn_4.5_mean"]["value"]),
            5e-5,
        );
        assert_eq!(
            out.summary["boo"]["disordered_count"], values["boo_count_below_0.5"]["value"],
            "{name}"
        );
        let phase = out.atoms.column("phase").unwrap();
        let boo = out.atoms.column("boo").unwrap();
        let rho = out.atoms.column("rho_n").unwrap();
        let degree_with = |inside: &[bool], sliver: f64| {
            let params = AnalyzeParams {
                sliver_volume: sliver,
                ..AnalyzeParams::default()
            };
            oxidation(&space, inside, &atoms.positions, &params).degree
        };
        let not_void: Vec<bool> = region
            .inside
            .iter()
            .zip(&space.circumradius)
            .map(|(i, r)| *i && *r <= 3.19)
            .collect();
        let void_atoms: Vec<bool> = {
            let mut at = vec![false; atoms.len()];
            for (tet, v) in space.mesh.tetrahedra.iter().enumerate() {
                if region.inside[tet] && space.circumradius[tet] > 3.19 {
                    v.iter().for_each(|&i| at[i as usize] = true);
                }
            }
            at
        };
        let everything = vec![true; space.volume.len()];
        let variants = [
            ("oxidation_all_tets", degree_with(&everything, 0.0)),
            ("oxidation_inside_alpha_B", degree_with(&region.inside, 0.0)),
            (
                "oxidation_inside_alpha_B_and_not_void",
                degree_with(&not_void, 0.0),
            ),
            (
                "oxidation_inside_alpha_B_no_sliver_V>0.5",
                degree_with(&region.inside, 0.5),
            ),
        ];
        for number_ in 0..3 {
            let Some(value) = values.get(format!("phase_{number_}")).map(|v| &v["value"]) else {
                continue;
            };
            println!("{name} phase {number_}");
            let own: Vec<usize> = (0..atoms.len())
                .filter(|&i| phase[i] == f64::from(number_))
                .collect();
            let inner: Vec<usize> = own
                .iter()
                .copied()
                .filter(|&i| rho[i].is_finite())
                .collect();
            assert_eq!(own.len() as u64, value["n"]);
            within(
                "inner atoms",
                inner.len() as f64,
                number(&value["n_inner"]),
                0.005,
            );
            let of = |chosen: &[usize], values: &[f64]| -> Vec<f64> {
                chosen.iter().map(|&i| values[i]).collect()
            };
            let own_rho = of(&inner, rho);
            within(
                "median ρ",
                quantile(&own_rho, 0.5),
                number(&value["rho_median"]),
                0.001,
            );
            within(
                "mean ρ",
                mean(own_rho.iter().copied()),
                number(&value["rho_mean"]),
                0.001,
            );
            let middle = mean(own_rho.iter().copied());
            let sd = mean(own_rho.iter().map(|r| (r - middle).powi(2))).sqrt();
            within(
                "spread of ρ",
                sd,
                number(&value["rho_std"]),
                if perfect { 0.05 } else { 0.01 },
            );
            within(
                "1/mean volume",
                1.0 / mean(own_rho.iter().map(|r| 1.0 / r)),
                number(&value["rho_from_mean_volume"]),
                0.001,
            );
            let apart: Vec<usize> = inner.iter().copied().filter(|&i| !void_atoms[i]).collect();
            within(
                "apart from voids",
                apart.len() as f64,
                number(&value["n_inner_not_void_adjacent"]),
                0.01,
            );
            within(
                "their ρ",
                mean(of(&apart, rho).into_iter()),
                number(&value["rho_mean_not_void_adjacent"]),
                0.001,
            );
            for (key, degree) in &variants {
                let found = mean(of(&inner, degree).into_iter());
                near(
                    key,
                    found,
                    number(&value[*key]),
                    if perfect { 0.02 } else { 0.002 },
                );
            }
            let order = &value["boo_normalised_4.5"];
            near(
                "BOO",
                mean(of(&own, boo).into_iter()),
                number(&order["mean_all"]),
                1e-5,
            );
            near(
                "BOO inside",
                mean(of(&inner, boo).into_iter()),
                number(&order["mean_inner"]),
                if perfect { 1e-3 } else { 1e-4 },
            );
            let below = own.iter().filter(|&&i| boo[i] < 0.5).count();
            assert_eq!(below as u64, order["n_lt_0.5"]);
            if perfect {
                continue;
            }
            let (_, pdf) = &out.phase_pdfs[number_ as usize];
            near(
                "first peak",
                pdf.peaks[0],
                number(&value["rdf_first_peak_A"]),
                0.06,
            );
            // A flat floor between the shells: its lowest point moves with the smoothing.
            near(
                "first valley",
                pdf.first_valley.unwrap(),
                number(&value["rdf_first_valley_A"]),
                0.35,
            );
        }
    }
}

#[test]
fn vacancies_of_degenerate_lattices_survive_small_displacements() {
    let Some(reference) = reference() else { return };
    let degeneracy = &reference["degeneracy"];
    let mut seed = 7u64;
    let mut random = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    // Nearly normal, of deviation 1.
    let mut normal = || (0..12).map(|_| random()).sum::<f64>();
    for name in ["zr_cubic_oxide", "zr_fcc_metal"] {
        let Some(atoms) = model(&format!("reference/{name}.xyz"), 1.0) else {
            return;
        };
        for row in degeneracy["removed_atoms_jitter_void_volumes_A3"][name]
            .as_array()
            .unwrap()
        {
            let (removed, jitter) = (row[0].as_u64().unwrap() as usize, number(&row[1]));
            // Larger displacements hide vacancies of the metal by chance.
            if jitter > 1e-3 {
                continue;
            }
            let mut points = atoms.positions.clone();
            let middle = |p: &[f64; 3]| p.iter().map(|x| x * x).sum::<f64>();
            for _ in 0..removed {
                let at = (0..points.len())
                    .min_by(|&a, &b| middle(&points[a]).total_cmp(&middle(&points[b])))
                    .unwrap();
                points.remove(at);
            }
            points
                .iter_mut()
                .flatten()
                .for_each(|x| *x += jitter * normal());
            let space = Space::new(&points).unwrap();
            let found = voids(&space, &space.region(4.5), &points, [3.19, 0.5]);
            let volumes: Vec<f64> = found
                .iter()
                .filter(|v| !v.at_surface)
                .map(|v| v.volume)
                .collect();
            let expected: Vec<f64> = row[2].as_array().unwrap().iter().map(number).collect();
            assert_eq!(volumes.len(), expected.len(), "{name} {row}: {volumes:?}");
            for (found, expected) in volumes.iter().zip(expected) {
                within(
                    &format!("{name}, {removed} removed, {jitter} Å"),
                    *found,
                    expected,
                    0.001,
                );
            }
        }
    }
    let Some(atoms) = model("reference/zr_cubic_oxide.xyz", 1.0) else {
        return;
    };
    for row in degeneracy["perfect_balls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| r["model"] == "zr_cubic_oxide")
    {
        let jitter = number(&row["jitter_A"]);
        let points: Vec<[f64; 3]> = atoms
            .positions
            .iter()
            .map(|p| p.map(|x| x + jitter * normal()))
            .collect();
        let space = Space::new(&points).unwrap();
        let region = Region::new(&space, 4.5, points.len());
        let degree = oxidation(&space, &region.inside, &points, &AnalyzeParams::default()).degree;
        let inner = || (0..points.len()).filter(|&i| !region.surface[i]);
        near(
            "sliver-free oxidation",
            mean(inner().map(|i| degree[i])),
            number(&row["oxi_noslv"]),
            0.02,
        );
        let rho: Vec<f64> = inner().map(|i| 1.0 / space.cell[i]).collect();
        within(
            "median ρ",
            quantile(&rho, 0.5),
            number(&row["rho_med"]),
            0.002,
        );
    }
}
