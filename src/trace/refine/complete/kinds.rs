//! Species of a model in the making, told by the brightness of its atoms.
//!
//! An atom goes to the species whose counts its own are nearest to (in ratio). Atoms too light to be traced at all show
//! in the residual: where maxima a bond away from every atom fall into two groups by their counts – chance and model
//! errors near nothing, the others at one brightness of their own – the upper group is a species that was missed.

use super::super::fit::AtomEvidence;
use super::super::problem::{PER_ATOM, Profile};
use super::Builder;
use crate::trace::evidence::{Cells, Found, main_species, neighbor_distance, positions_of};
use crate::trace::select::split_intensities;

/// Counts of the lightest species looked for over those of the heaviest: ADF intensity grows as about Z^1.7, so that this
/// is a ratio of 4 in Z. Alloys stay above it, the oxygen of oxides below.
const LIGHTEST: f64 = 0.1;
/// A new species is at least this much lighter than the known ones; else its atoms are merely some of theirs.
const CLEARLY_LIGHTER: f64 = 0.7;
/// Fewer new atoms than this, or than this share of the model, make no species.
const FEWEST: usize = 10;
/// See `FEWEST`.
const FEWEST_SHARE: f64 = 0.01;
/// Half width of the windows in which the two groups' valley and the upper one's peak are counted, of their brightness.
const WINDOW: f64 = 0.15;
/// The valley's density over the peak's, at most.
const VALLEY: f64 = 0.5;
/// Two atoms are further apart than this share of the usual nearest distance.
const BOND_SHARE: f64 = 0.75;

impl Builder {
    /// Counts of the lightest species that has any.
    pub(super) fn lightest_counts(&self) -> f64 {
        self.counts()
            .into_iter()
            .filter(|c| *c > 0.0)
            .fold(f64::INFINITY, f64::min)
    }

    fn counts(&self) -> Vec<f64> {
        self.fit
            .imaging
            .profiles
            .iter()
            .map(Profile::counts)
            .collect()
    }

    /// Gives every atom the species that its brightness is nearest to, and says its evidence in that species' terms.
    pub(super) fn sort_species(&mut self, evidence: &mut [AtomEvidence]) {
        let counts = self.counts();
        if counts.len() < 2 {
            return;
        }
        for (i, said) in evidence.iter_mut().enumerate() {
            let own = usize::from(self.fit.problem.species[i]);
            let brightness = said.free_occupancy * counts[own];
            let apart = |k: &usize| (brightness.max(f64::MIN_POSITIVE) / counts[*k]).ln().abs();
            let nearest = (0..counts.len())
                .filter(|&k| counts[k] > 0.0)
                .min_by(|a, b| apart(a).total_cmp(&apart(b)));
            let Some(nearest) = nearest.filter(|k| *k != own) else {
                continue;
            };
            let ratio = counts[own] / counts[nearest];
            self.fit.problem.species[i] = nearest as u16;
            self.fit.x[PER_ATOM * i] = 1.0;
            said.free_occupancy *= ratio;
            said.occupancy_sd *= ratio;
        }
    }

    /// Adds a species lighter than all known ones if the blobs show one; returns the blobs that are its atoms.
    pub(super) fn discover(&mut self, blobs: &[Found], sure: f64) -> Vec<Found> {
        let positions = positions_of(&self.fit.x);
        let Some(spacing) = neighbor_distance(&positions) else {
            return Vec::new();
        };
        let bond = BOND_SHARE * spacing;
        let atoms = Cells::new(positions, bond);
        let apart: Vec<&Found> = blobs
            .iter()
            .filter(|b| b.occupancy > 0.0 && atoms.within(b.position, bond).is_empty())
            .collect();
        let values: Vec<f64> = apart.iter().map(|b| b.occupancy).collect();
        let Some(split) = split_intensities(&values) else {
            return Vec::new();
        };
        let (threshold, center) = (split.threshold, *split.centers.last().unwrap_or(&0.0));
        let main = usize::from(main_species(&self.fit.problem.species));
        let counts = self.counts();
        let heaviest = counts.iter().copied().fold(0.0, f64::max);
        let brightness = center * counts[main];
        let density = |at: f64| {
            let inside = |v: &&f64| (**v - at).abs() < WINDOW * at;
            values.iter().filter(inside).count() as f64 / at
        };
        let members: Vec<Found> = apart
            .into_iter()
            .filter(|b| b.occupancy >= threshold)
            .cloned()
            .collect();
        let certain = members.iter().filter(|b| b.probe.z() >= sure).count();
        let many = certain >= FEWEST && certain as f64 >= FEWEST_SHARE * self.ids.len() as f64;
        let lighter = brightness < CLEARLY_LIGHTER * self.lightest_counts()
            && brightness > LIGHTEST * heaviest;
        if !(many && lighter && density(threshold) < VALLEY * density(center)) {
            return Vec::new();
        }
        let mut profile = self.fit.imaging.profiles[main];
        profile.weight.iter_mut().for_each(|w| *w *= center);
        self.fit.imaging.profiles.push(profile);
        let spare = self.fit.params.lighter_species.pop();
        self.names.push(spare.unwrap_or_else(|| "light".to_owned()));
        members
    }

    /// Numbers the species by rising counts and drops those without atoms.
    pub(super) fn order_species(&mut self) {
        let counts = self.counts();
        let used = |k: &usize| self.fit.problem.species.contains(&(*k as u16));
        let mut order: Vec<usize> = (0..counts.len()).filter(used).collect();
        order.sort_by(|&a, &b| counts[a].total_cmp(&counts[b]));
        let profiles = order
            .iter()
            .map(|&k| self.fit.imaging.profiles[k])
            .collect();
        let names = order
            .iter()
            .filter_map(|&k| self.names.get(k).cloned())
            .collect();
        for kind in &mut self.fit.problem.species {
            let place = order.iter().position(|&k| k == usize::from(*kind));
            *kind = place.expect("every atom's species is in use") as u16;
        }
        self.fit.imaging.profiles = profiles;
        self.names = names;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CompleteParams, complete};
    use crate::model::{Atoms, TiltSeries};
    use crate::monitor::Monitor;
    use crate::trace::refine::RefineParams;
    use crate::trace::refine::tests::{ball, counted, images};

    /// Counts of a ball whose every fifth atom has a fifth of the others' brightness; the heavy atoms and the light ones.
    fn alloy() -> (TiltSeries, Vec<[f64; 3]>, Vec<[f64; 3]>) {
        let all = ball(10.0, 41);
        let heavy: Vec<[f64; 3]> = (0..all.len()).filter(|i| i % 5 != 0).map(|i| all[i]).collect();
        let light: Vec<[f64; 3]> = (0..all.len()).filter(|i| i % 5 == 0).map(|i| all[i]).collect();
        let mut series = images(&heavy, 80, 30, 1000.0, 0.48);
        // Both carry a background of one count.
        series.images += &images(&light, 80, 30, 200.0, 0.48).images;
        series.images -= 1.0;
        (counted(series, 42), heavy, light)
    }

    fn sorted(names: &[&str]) -> CompleteParams {
        CompleteParams {
            refine: RefineParams {
                sort_species: true,
                lighter_species: names.iter().map(|n| (*n).to_owned()).collect(),
                ..RefineParams::default()
            },
            ..CompleteParams::default()
        }
    }

    #[test]
    fn a_species_too_light_to_be_traced_is_found_in_the_residual() {
        let (series, heavy, light) = alloy();
        let model = Atoms::from_positions(heavy.clone(), "Pt");
        let done = complete(&series, &model, &sorted(&["Ni"]), &Monitor::silent()).unwrap();
        let atoms = &done.refined.atoms;
        assert_eq!(atoms.species_names, ["Ni", "Pt"]);
        let of = |kind: u16| atoms.species.iter().filter(|s| **s == kind).count();
        assert_eq!((of(0), of(1)), (light.len(), heavy.len()));
        let ratio = done.refined.profiles[0].counts / done.refined.profiles[1].counts;
        assert!((ratio - 0.2).abs() < 0.02, "{ratio}");
        for place in &light {
            let nearest = atoms
                .positions
                .iter()
                .map(|p| crate::model::geometry::distance(*p, *place))
                .fold(f64::INFINITY, f64::min);
            assert!(nearest < 0.3, "{place:?}: {nearest}");
        }
        // Without being asked, nothing that light counts as an atom.
        let plain = complete(&series, &model, &CompleteParams::default(), &Monitor::silent()).unwrap();
        assert_eq!(plain.refined.atoms.len(), heavy.len());
    }

    #[test]
    fn one_species_with_atoms_missing_stays_one() {
        let all = ball(10.0, 43);
        let series = counted(images(&all, 80, 30, 200.0, 0.48), 44);
        // A tenth is missing: no lighter than the rest, they are no species of their own.
        let known = (0..all.len()).filter(|i| i % 10 != 0).map(|i| all[i]);
        let model = Atoms::from_positions(known.collect(), "Zr");
        let done = complete(&series, &model, &sorted(&[]), &Monitor::silent()).unwrap();
        assert_eq!(done.refined.atoms.species_names, ["Zr"]);
        assert_eq!(done.refined.atoms.len(), all.len());
    }

    #[test]
    fn atoms_under_a_wrong_name_get_their_own() {
        let (series, heavy, light) = alloy();
        let mut model = Atoms::from_positions([light.clone(), heavy].concat(), "Ni");
        model.species_names.push("Pt".to_owned());
        for (i, species) in model.species.iter_mut().enumerate() {
            // Every thirteenth atom has the other one's name.
            *species = u16::from((i >= light.len()) != (i % 13 == 0));
        }
        let done = complete(&series, &model, &sorted(&[]), &Monitor::silent()).unwrap();
        let atoms = &done.refined.atoms;
        let right = atoms.positions.iter().zip(&atoms.species).filter(|(p, s)| {
            let is_light = light.iter().any(|q| crate::model::geometry::distance(**p, *q) < 0.5);
            (**s == 0) == is_light
        });
        assert_eq!(right.count(), atoms.len());
        assert_eq!(atoms.len(), model.len());
    }
}
