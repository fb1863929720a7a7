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
