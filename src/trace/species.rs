//! Chemical species: k-means on the intensity of a 2.4 Å box, then surface atoms against their neighbourhood (PdPt
//! article, Methods, "classification of atomic species").
//!
//! Intensities grow with the atomic number, so class k gets the k-th name (lightest first). Atoms at the surface lack
//! neighbours whose tails reach into the box and look lighter than they are: they are compared with other surface atoms
//! nearby, not with the whole particle.

use super::peaks::PeakFitter;
use crate::model::{Atoms, Volume};
use crate::numeric::fit::kmeans_line;
use crate::numeric::interpolate::CubicSpline;
use crate::numeric::neighbors::{CellList, nearest_distances};

/// Edge of the box whose intensity tells species apart, Å (PdPt).
pub const SPECIES_BOX: f64 = 2.4;
/// Radius of the neighbourhood that surface atoms are compared in, Å (PdPt: local re-classification in 10 Å spheres).
const LOCAL_RADIUS: f64 = 10.0;
/// An atom with fewer than this fraction of the median number of neighbours lies at the surface.
const SURFACE_NEIGHBORS: f64 = 0.75;
/// Fewest members of a class whose local mean is trusted.
const LOCAL_MEMBERS: usize = 4;
/// Rounds of local re-classification; it settles in two or three.
const ROUNDS: usize = 20;

/// The atoms with their species told by the intensity in boxes of `box_size` Å around them.
///
/// Adds the columns `species_intensity` (density × Å³) and `species_margin`: 1 at the middle of its class, 0 halfway to the
/// next one, negative where the local comparison overruled the global one. `names` are lightest first; missing ones
/// become `type 1`, `type 2`, …. With one species, or when the intensities do not split into `species` classes, all atoms
/// are of the first.
#[must_use]
pub fn classify(
    volume: &Volume,
    atoms: &Atoms,
    species: usize,
    names: &[String],
    box_size: f64,
) -> Atoms {
    let mut out = atoms.clone();
    let species = species.max(1);
    out.species_names = (0..species)
        .map(|k| {
            names
                .get(k)
                .cloned()
                .unwrap_or_else(|| format!("type {}", k + 1))
        })
        .collect();
    out.species = vec![0; atoms.len()];
    if atoms.is_empty() || volume.size().contains(&0) {
        return out;
    }
    let spline = CubicSpline::new(&volume.data);
    let intensities = PeakFitter::new(&spline, volume, box_size, 1).integrals(&atoms.positions);
    let (labels, centers) = labels_of(&atoms.positions, &intensities, species);
    let margins = labels
        .iter()
        .zip(&intensities)
        .map(|(&own, &i)| margin(&centers, own, i))
        .collect();
    out.species = labels.into_iter().map(|k| k as u16).collect();
    out.set_column("species_margin", "", margins);
    out.set_column("species_intensity", "", intensities);
    out
}

/// How far an intensity is from the boundary of its class: 1 at its mean, 0 halfway to the nearest other mean.
fn margin(centers: &[f64], own: usize, intensity: f64) -> f64 {
    let others = (0..centers.len()).filter(|&k| k != own);
    others
        .map(|k| {
            let gap = centers[k] - centers[own];
            1.0 - 2.0 * (intensity - centers[own]) / gap
        })
        .fold(1.0, f64::min)
}

/// Class of each atom and the classes' mean intensities.
fn labels_of(
    positions: &[[f64; 3]],
    intensities: &[f64],
    species: usize,
) -> (Vec<usize>, Vec<f64>) {
    let Some(classes) = kmeans_line(intensities, species) else {
        return (vec![0; positions.len()], vec![0.0]);
    };
    let mut labels: Vec<usize> = intensities.iter().map(|&i| classes.class_of(i)).collect();
    if species > 1 {
        let surface = surface_atoms(positions);
        reclassify_surface(positions, intensities, &surface, species, &mut labels);
    }
    (labels, classes.centers)
}

/// Which atoms have clearly fewer neighbours than most: within 1.7 nearest-neighbour distances, about two shells.
fn surface_atoms(positions: &[[f64; 3]]) -> Vec<bool> {
    let mut spacing = nearest_distances(positions);
    spacing.sort_by(f64::total_cmp);
    let typical = spacing
        .get(spacing.len() / 2)
        .copied()
        .filter(|d| d.is_finite() && *d > 0.0);
    let Some(typical) = typical else {
        return vec![false; positions.len()];
    };
    let reach = 1.7 * typical;
    let cells = CellList::new(positions, reach);
    let counts: Vec<usize> = positions
        .iter()
        .map(|&p| {
            let mut count = 0;
            cells.for_each_within(p, reach, |_, _| count += 1);
            count - 1
        })
        .collect();
    let mut sorted = counts.clone();
    sorted.sort_unstable();
    let limit = SURFACE_NEIGHBORS * sorted[sorted.len() / 2] as f64;
    counts.iter().map(|&c| (c as f64) < limit).collect()
}

/// Gives each surface atom the class whose mean among the surface atoms nearby is nearest to its intensity, until
/// nothing changes. Classes with too few members nearby keep the particle's surface mean, or the atom its class.
fn reclassify_surface(
    positions: &[[f64; 3]],
    intensities: &[f64],
    surface: &[bool],
    species: usize,
    labels: &mut [usize],
) {
    let members: Vec<usize> = (0..positions.len()).filter(|&i| surface[i]).collect();
    let places: Vec<[f64; 3]> = members.iter().map(|&i| positions[i]).collect();
    let cells = CellList::new(&places, LOCAL_RADIUS);
    let neighbors: Vec<Vec<u32>> = places
        .iter()
        .enumerate()
        .map(|(i, &p)| {
            let mut near = Vec::new();
            cells.for_each_within(p, LOCAL_RADIUS, |j, _| {
                if i != j {
                    near.push(j as u32);
                }
            });
            // The order within cells is fixed, but sums should not depend on it.
            near.sort_unstable();
            near
        })
        .collect();
    for _ in 0..ROUNDS {
        let before = labels.to_vec();
        let mean_of = |among: &mut dyn Iterator<Item = usize>| {
            let mut sums = vec![(0.0, 0usize); species];
            for i in among {
                sums[before[i]].0 += intensities[i];
                sums[before[i]].1 += 1;
            }
            sums
        };
        let everywhere = mean_of(&mut members.iter().copied());
        for (m, near) in neighbors.iter().enumerate() {
            let i = members[m];
            let local = mean_of(&mut near.iter().map(|&j| members[j as usize]));
            let centers: Option<Vec<f64>> = local
                .iter()
                .zip(&everywhere)
                .map(|(l, e)| {
                    let (sum, count) = if l.1 >= LOCAL_MEMBERS { l } else { e };
                    (*count >= LOCAL_MEMBERS).then(|| sum / *count as f64)
                })
                .collect();
            if let Some(centers) = centers {
                let apart = |k: &usize| (intensities[i] - centers[*k]).abs();
                labels[i] = (0..species)
                    .min_by(|a, b| apart(a).total_cmp(&apart(b)))
                    .unwrap_or(before[i]);
            }
        }
        if labels == before.as_slice() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::geometry::distance;
    use ndarray::Array3;

    /// A ball of atoms 3 Å apart, light inside 7 Å, drawn with wide Gaussians so that surface atoms lose intensity.
    fn ball() -> (Volume, Atoms, Vec<u16>) {
        let mut positions = Vec::new();
        let mut truth = Vec::new();
        for i in 0..729 {
            let p = [i / 81, i / 9 % 9, i % 9].map(|k| (f64::from(k) - 4.0) * 3.0);
            let r = distance(p, [0.0; 3]);
            if r < 12.5 {
                positions.push(p);
                // A few light ones at the surface too.
                truth.push(u16::from(!(r < 7.0 || i % 13 == 0)));
            }
        }
        let mut volume = Volume::zeros([72; 3], 0.5);
        let sigma = 0.9f64;
        for (p, &species) in positions.iter().zip(&truth) {
            let at = volume.index_of(*p);
            let height = if species == 1 { 2.0 } else { 1.0 };
            let low = at.map(|x| x as usize - 8);
            for (x, y, z) in
                (0..17 * 17 * 17).map(|n| (low[0] + n / 289, low[1] + n / 17 % 17, low[2] + n % 17))
            {
                let r2 = 0.25
                    * ((x as f64 - at[0]).powi(2)
                        + (y as f64 - at[1]).powi(2)
                        + (z as f64 - at[2]).powi(2));
                volume.data[[x, y, z]] += (height * (-0.5 * r2 / (sigma * sigma)).exp()) as f32;
            }
        }
        (volume, Atoms::from_positions(positions, "X"), truth)
    }

    #[test]
    fn two_species_are_told_apart_up_to_the_surface() {
        let (volume, atoms, truth) = ball();
        let names = ["Pd".to_owned(), "Pt".to_owned()];
        let told = classify(&volume, &atoms, 2, &names, SPECIES_BOX);
        let right = told
            .species
            .iter()
            .zip(&truth)
            .filter(|(a, b)| a == b)
            .count();
        assert_eq!(right, truth.len());
        assert_eq!(told.species_names, names);
        let margins = told.column("species_margin").unwrap();
        assert!(margins.iter().all(|m| *m <= 1.0));
    }

    #[test]
    fn one_species_or_no_contrast_is_one_class() {
        let (volume, atoms, _) = ball();
        let told = classify(&volume, &atoms, 1, &["Zr".to_owned()], SPECIES_BOX);
        assert!(told.species.iter().all(|&s| s == 0));
        let flat = Volume::new(Array3::from_elem((20, 20, 20), 0.0), 0.5);
        let told = classify(&flat, &atoms, 3, &["Al".to_owned()], SPECIES_BOX);
        assert!(told.species.iter().all(|&s| s == 0));
        assert_eq!(told.species_names, ["Al", "type 2", "type 3"]);
        assert!(classify(&flat, &Atoms::default(), 2, &[], SPECIES_BOX).is_empty());
    }
}
