//! Maps of a model in slabs: galleries along z and filmstrips along any plane, with the density of each layer when there is a
//! volume.

use crate::analyze::Analyzed;
use crate::analyze::planes::{Plane, Stack};
use crate::figures::palette;
use crate::figures::scene::Scene;
use crate::figures::sheet::{Key, Panel, Sheet, colors};
use crate::model::{Atoms, Volume};
use ndarray::Array2;
use rayon::prelude::*;

/// Columns of which an analysis has a gallery each, and their titles.
const GALLERIES: [(&str, &str); 8] = [
    ("phase", "Phases"),
    ("oxidation_map", "Degree of oxidation"),
    ("boo", "Normalised bond order"),
    ("rho_n", "Atomic density ρ_N"),
    ("cn", "Coordination number"),
    ("bond_length_A", "Mean bond length"),
    ("strain_volumetric", "Volumetric strain"),
    ("grain", "Grains"),
];
/// Maps of a sheet at most.
const MOST: usize = 120;

/// The gallery of a model in slabs of `thickness` Å along z, coloured by a column (phase, or any quantity) or by species.
///
/// `None` for a model without atoms.
#[must_use]
pub fn gallery(atoms: &Atoms, by: Option<&str>, title: &str, thickness: f64) -> Option<Sheet> {
    let (low, high) = extent(atoms.positions.iter().copied())?;
    // A stray atom far away must not make thousands of maps.
    let thickness = thickness.max((high[2] - low[2]) / MOST as f64).max(0.2);
    let slabs = (((high[2] - low[2]) / thickness).ceil() as usize).max(1);
    let (found, key) = colors(atoms, by);
    let mut panels: Vec<Panel> = (0..slabs)
        .map(|slab| {
            let middle = low[2] + (slab as f64 + 0.5) * thickness;
            Panel {
                label: format!("z {} Å", signed(middle)),
                ..Panel::default()
            }
        })
        .collect();
    // Farther atoms first, as if seen from above.
    let mut order: Vec<usize> = (0..atoms.len()).collect();
    order.sort_by(|&a, &b| atoms.positions[a][2].total_cmp(&atoms.positions[b][2]));
    for i in order {
        let [x, y, z] = atoms.positions[i];
        let slab = (((z - low[2]) / thickness) as usize).min(slabs - 1);
        panels[slab].atoms.push(([x, y], found[i]));
    }
    Some(Sheet {
        title: title.to_owned(),
        columns: columns(slabs),
        panels,
        extent: [[low[0] - 2.0, high[0] + 2.0], [low[1] - 2.0, high[1] + 2.0]],
        radius: 1.2,
        density_range: [0.0, 1.0],
        key,
        note: format!("slabs of {thickness:.1} Å along z, n = {}", atoms.len()),
        reciprocal: false,
    })
}

/// The layers of a plane: of each the density (when there is a volume) beside its atoms.
#[must_use]
pub fn filmstrip(
    atoms: &Atoms,
    stack: &Stack,
    volume: Option<&Volume>,
    by: Option<&str>,
) -> Option<Sheet> {
    let places: Vec<[f64; 3]> = atoms
        .positions
        .iter()
        .map(|p| stack.plane.coordinates(*p))
        .collect();
    let (low, high) = extent(places.iter().copied())?;
    let extent = [[low[0] - 2.0, high[0] + 2.0], [low[1] - 2.0, high[1] + 2.0]];
    let (found, key) = colors(atoms, by);
    let mut shown: Vec<usize> = (0..stack.sheets.len())
        .filter(|&k| stack.sheets[k].atoms > 0)
        .collect();
    shown.truncate(MOST / 2);
    let pictures: Vec<Option<Array2<f32>>> = shown
        .par_iter()
        .map(|&k| {
            let between = stack.sheets[k].between;
            volume.map(|volume| oblique(volume, &stack.plane, extent, between))
        })
        .collect();
    let mut panels = Vec::new();
    let mut brightest = f32::MIN_POSITIVE;
    for (&k, density) in shown.iter().zip(pictures) {
        let sheet = &stack.sheets[k];
        let label = format!("layer {}, {} Å", k + 1, signed(sheet.height));
        if let Some(density) = density {
            brightest = density.iter().copied().fold(brightest, f32::max);
            panels.push(Panel {
                label: format!("density, {label}"),
                density: Some(density),
                atoms: Vec::new(),
            });
        }
        let own = (0..atoms.len()).filter(|&i| stack.layer_of[i] as usize == k);
        panels.push(Panel {
            label,
            density: None,
            atoms: own
                .map(|i| ([places[i][0], places[i][1]], found[i]))
                .collect(),
        });
    }
    let pairs = if volume.is_some() { 2 } else { 1 };
    let (mean, ..) = stack.spacing();
    let kind = if stack.atomic {
        format!("atomic layers {mean:.2} Å apart")
    } else {
        "slabs".to_owned()
    };
    Some(Sheet {
        title: format!("Layers along {}", stack.spec),
        columns: pairs * columns(shown.len().div_ceil(pairs)).max(1),
        panels,
        extent,
        radius: 1.2,
        density_range: [0.0, 0.9 * brightest],
        key,
        note: format!("{kind}, n = {}", atoms.len()),
        reciprocal: false,
    })
}

/// Every sheet of an analysis with the stem of its file's name.
#[must_use]
pub fn sheets(analyzed: &Analyzed, volume: Option<&Volume>) -> Vec<(String, Sheet)> {
    let atoms = &analyzed.atoms;
    let thickness = analyzed.params.slab;
    let mut made: Vec<(String, Sheet)> = GALLERIES
        .iter()
        .filter(|(column, _)| atoms.column(column).is_some_and(varies))
        .filter_map(|(column, title)| {
            let sheet = gallery(atoms, Some(column), title, thickness)?;
            Some((format!("gallery_{column}"), sheet))
        })
        .collect();
    if atoms.species_counts().len() > 1 {
        made.extend(
            gallery(atoms, None, "Species", thickness).map(|s| ("gallery_species".to_owned(), s)),
        );
    }
    made.extend(strain_components(analyzed).map(|s| ("strain_components".to_owned(), s)));
    if let Some(stack) = &analyzed.stack {
        let by = atoms.column("phase").filter(|v| varies(v)).map(|_| "phase");
        made.extend(filmstrip(atoms, stack, volume, by).map(|s| ("filmstrip".to_owned(), s)));
    }
    made
}

/// The six components of the strain in the slab through the middle, in one range of colours; `None` without strain.
#[must_use]
pub fn strain_components(analyzed: &Analyzed) -> Option<Sheet> {
    const NAMES: [&str; 6] = [
        "strain_xx",
        "strain_yy",
        "strain_zz",
        "strain_xy",
        "strain_xz",
        "strain_yz",
    ];
    let atoms = &analyzed.atoms;
    let (low, high) = extent(atoms.positions.iter().copied())?;
    let columns = NAMES.map(|name| atoms.column(name));
    let mut sizes: Vec<f64> = columns
        .iter()
        .flatten()
        .flat_map(|values| values.iter().map(|v| v.abs()))
        .filter(|v| v.is_finite())
        .collect();
    sizes.sort_by(f64::total_cmp);
    let most = *sizes.get((0.98 * sizes.len() as f64) as usize)?;
    let key = Key::Bar {
        label: "Strain".to_owned(),
        range: [-most, most],
        diverging: true,
    };
    let middle = 0.5 * (low[2] + high[2]);
    let half = 0.5 * analyzed.params.slab;
    let panels = NAMES.iter().zip(columns).map(|(name, values)| {
        let values = values.unwrap_or_default();
        let own = (0..values.len()).filter(|&i| (atoms.positions[i][2] - middle).abs() <= half);
        Panel {
            label: name.replace("strain_", "ε "),
            atoms: own
                .map(|i| {
                    let [x, y, _] = atoms.positions[i];
                    ([x, y], key.color(values[i]))
                })
                .collect(),
            ..Panel::default()
        }
    });
    let panels: Vec<Panel> = panels.collect();
    Some(Sheet {
        title: "Strain, central slab".to_owned(),
        columns: 3,
        panels,
        extent: [[low[0] - 2.0, high[0] + 2.0], [low[1] - 2.0, high[1] + 2.0]],
        radius: 1.2,
        density_range: [0.0, 1.0],
        key,
        note: format!(
            "slab of {:.1} Å about z {}",
            analyzed.params.slab,
            signed(middle)
        ),
        reciprocal: false,
    })
}

/// The model in 3D for a file, whole and cut open: in the colours of phases, else of species.
#[must_use]
pub fn model_scene(atoms: &Atoms) -> Scene<'static> {
    let by = atoms.column("phase").filter(|v| varies(v)).map(|_| "phase");
    let (found, key) = colors(atoms, by);
    let legend = match key {
        Key::Legend(names) => names,
        Key::Bar { .. } => Vec::new(),
    };
    Scene {
        spheres: (0..atoms.len())
            .map(|i| (atoms.positions[i], 1.35, found[i]))
            .collect(),
        legend,
        cut: true,
        ..Scene::default()
    }
}

/// The voids in 3D with the atoms small beside them, whole and cut open; `None` without voids.
#[must_use]
pub fn void_scene(analyzed: &Analyzed) -> Option<Scene<'_>> {
    if analyzed.void_surfaces.is_empty() {
        return None;
    }
    let places = analyzed.atoms.positions.iter();
    let classes = palette::counted_voids(&analyzed.void_surfaces).filter(|(n, ..)| *n > 0);
    Some(Scene {
        spheres: places.map(|p| (*p, 0.22, [190, 190, 190])).collect(),
        surfaces: analyzed
            .void_surfaces
            .iter()
            .map(|one| (&one.surface, palette::of_void(one.class)))
            .collect(),
        opacity: 0.85,
        legend: classes.map(|(_, said, color)| (said, color)).collect(),
        cut: true,
    })
}

/// A map of one colour says nothing.
fn varies(values: &[f64]) -> bool {
    let mut finite = values.iter().filter(|v| v.is_finite());
    finite
        .next()
        .is_some_and(|first| finite.any(|v| v != first))
}

/// Maps in a row so that the sheet is about 4 by 3.
fn columns(panels: usize) -> usize {
    ((panels as f64 * 4.0 / 3.0).sqrt().ceil() as usize).clamp(1, 12)
}

fn signed(value: f64) -> String {
    // The face of the figures has no longer minus sign.
    format!("{value:+.1}")
}

/// Least and greatest coordinates.
fn extent(points: impl Iterator<Item = [f64; 3]>) -> Option<([f64; 3], [f64; 3])> {
    let ends = points.fold(([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]), |(a, b), p| {
        (
            [0, 1, 2].map(|k| a[k].min(p[k])),
            [0, 1, 2].map(|k| b[k].max(p[k])),
        )
    });
    (ends.0[0] <= ends.1[0]).then_some(ends)
}

/// Mean density between two heights over a plane, `(right, up)` in steps of a voxel; zero beyond the volume.
#[must_use]
pub fn oblique(
    volume: &Volume,
    plane: &Plane,
    [right, up]: [[f64; 2]; 2],
    [low, high]: [f64; 2],
) -> Array2<f32> {
    // More pixels than a page shows are of no use.
    let step = volume
        .pixel_size
        .max((right[1] - right[0]).max(up[1] - up[0]) / 1500.0);
    let count = |[from, to]: [f64; 2]| ((to - from) / step).ceil().max(1.0) as usize;
    let heights = count([low, high]).min(200);
    let share = (high - low) / heights as f64;
    Array2::from_shape_fn((count(right), count(up)), |(i, j)| {
        let (x, y) = (
            right[0] + (i as f64 + 0.5) * step,
            up[0] + (j as f64 + 0.5) * step,
        );
        let sum: f32 = (0..heights)
            .map(|k| {
                let z = low + (k as f64 + 0.5) * share;
                volume.density_at(plane.point([x, y, z]))
            })
            .sum();
        sum / heights as f32
    })
}

/// Density at places over the mean of that at the atoms: how empty the voids really are.
#[must_use]
pub fn relative_density(volume: &Volume, atoms: &Atoms, places: &[[f64; 3]]) -> Vec<f64> {
    let at = |p: &[f64; 3]| f64::from(volume.density_at(*p));
    let mean = atoms.positions.par_iter().map(at).sum::<f64>() / atoms.len().max(1) as f64;
    places.iter().map(|p| at(p) / mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::{AnalyzeParams, analyze};
    use crate::monitor::Monitor;
    use ndarray::Array3;

    fn cube() -> Vec<[f64; 3]> {
        let mut points = Vec::new();
        for i in -4..=4 {
            for j in -4..=4 {
                for k in -4..=4 {
                    points.push([i, j, k].map(|n| 2.5 * f64::from(n)));
                }
            }
        }
        points
    }

    #[test]
    fn every_atom_is_on_one_map_of_the_gallery() {
        let mut atoms = Atoms::from_positions(cube(), "Zr");
        let phase = (0..atoms.len()).map(|i| (i % 3) as f64).collect();
        atoms.set_column("phase", "", phase);
        let sheet = gallery(&atoms, Some("phase"), "Phases", 5.0).unwrap();
        assert_eq!(sheet.panels.len(), 4);
        let all: usize = sheet.panels.iter().map(|p| p.atoms.len()).sum();
        assert_eq!(all, atoms.len());
        assert!(matches!(&sheet.key, Key::Legend(names) if names.len() == 3));
        assert!(gallery(&Atoms::default(), None, "", 5.0).is_none());
    }

    #[test]
    fn an_oblique_slab_averages_what_lies_between() {
        let volume = Volume::new(
            Array3::from_shape_fn((21, 21, 21), |(x, _, z)| (x + 10 * z) as f32),
            1.0,
        );
        let plane = Plane::new([0.0; 3], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]).unwrap();
        // right is x, up is normal × right: −z.
        assert_eq!(plane.up, [0.0, 0.0, -1.0]);
        let picture = oblique(&volume, &plane, [[-1.5, 1.5], [-1.5, 1.5]], [-1.0, 1.0]);
        assert_eq!(picture.dim(), (3, 3));
        for ((i, j), value) in picture.indexed_iter() {
            let (x, z) = (10 + i as i32 - 1, 10 - (j as i32 - 1));
            assert!((value - (x + 10 * z) as f32).abs() < 1e-3, "{value}");
        }
    }

    #[test]
    fn a_filmstrip_shows_density_and_atoms_of_each_layer() {
        let atoms = Atoms::from_positions(cube(), "Zr");
        let params = AnalyzeParams {
            only: Some(vec!["layers".to_owned()]),
            cutoff: Some(3.0),
            plane: Some("normal:0,0,1".parse().unwrap()),
            ..AnalyzeParams::default()
        };
        let analyzed = analyze(&atoms, &params, &Monitor::silent()).unwrap();
        let volume = Volume::new(Array3::from_elem((32, 32, 32), 2.0), 1.0);
        let stack = analyzed.stack.as_ref().unwrap();
        let sheet = filmstrip(&analyzed.atoms, stack, Some(&volume), None).unwrap();
        assert_eq!((sheet.panels.len(), sheet.columns % 2), (18, 0));
        assert!(
            sheet.panels[0]
                .density
                .as_ref()
                .unwrap()
                .iter()
                .all(|v| (v - 2.0).abs() < 1e-5)
        );
        assert_eq!(sheet.panels[1].atoms.len(), 81);
        let relative = relative_density(&volume, &atoms, &[[0.0; 3], [100.0, 0.0, 0.0]]);
        assert_eq!(relative, [1.0, 0.0]);
    }
}
