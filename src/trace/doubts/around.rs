//! The list brought up to date around an edit: what the tilts say of the few places near it is asked again, on images that
//! hold the edited model, and the rest of the list stays.
//!
//! A place keeps its other signs and its prior; only the word of the images is replaced. What an edit brings up is listed
//! too: a maximum of the residual that stands where an atom was taken out, an atom that was put where the images show
//! none.

use super::images::{MOST_IMAGES, Seen, bounded, of_atom, words_for_atom};
use super::{Doubt, DoubtKind, DoubtParams, ImageEvidence, LONE_SPACING, PRIOR};
use crate::model::geometry::distance;
use crate::monitor::{Monitor, Stopped};
use crate::numeric::odds::log_odds;
use crate::trace::evidence::standings;
use crate::trace::refine::LocalRefiner;
use std::collections::HashMap;

/// Spacings around an edit within which places are asked again: an atom's residual and that of its neighbours.
const REACH: f64 = 1.6;

/// Atoms that occupancies are compared with lie within this of those asked about, Å.
const COMPARED: f64 = 4.0;

/// Least z of a new maximum near an edit. In so small a volume chance gives one in thousands.
const LEAST_Z: f64 = 3.5;

/// Brings a list up to date around `centers` (Å), where the refiner's model was edited since the list was made.
///
/// # Errors
/// Only a stop.
pub fn doubts_around(
    refiner: &mut LocalRefiner,
    doubts: &[Doubt],
    centers: &[[f64; 3]],
    monitor: &Monitor,
) -> Result<Vec<Doubt>, Stopped> {
    if centers.is_empty() || refiner.atoms().is_empty() {
        return Ok(doubts.to_vec());
    }
    let spacing = refiner.spacing().unwrap_or(LONE_SPACING);
    let near = |place: [f64; 3]| {
        centers
            .iter()
            .any(|c| distance(*c, place) < REACH * spacing)
    };
    let atoms = Asked::about(refiner, centers, REACH * spacing, monitor)?;
    let mut list: Vec<Doubt> = Vec::with_capacity(doubts.len());
    for doubt in doubts {
        if !near(doubt.position) {
            list.push(doubt.clone());
        } else if let Some(doubt) = asked_again(refiner, doubt, &atoms, spacing, monitor)? {
            list.push(doubt);
        }
    }
    for &center in centers {
        newly_missing(refiner, center, &atoms, spacing, &mut list, monitor)?;
    }
    newly_false(refiner, &atoms, &mut list);
    let least = log_odds(DoubtParams::default().least_probability);
    list.retain(|doubt| doubt.log_odds >= least);
    list.sort_by(|a, b| b.log_odds.total_cmp(&a.log_odds));
    Ok(list)
}

/// What the images say of the atoms near the edits.
struct Asked {
    /// By index in the model: evidence, logarithmic ratio, words.
    atoms: HashMap<usize, (ImageEvidence, f64, String)>,
    /// By how much the images scatter more here than shot noise.
    scale: f64,
}

impl Asked {
    fn about(
        refiner: &LocalRefiner,
        centers: &[[f64; 3]],
        reach: f64,
        monitor: &Monitor,
    ) -> Result<Self, Stopped> {
        let mut indices: Vec<usize> = centers
            .iter()
            .flat_map(|c| refiner.within(*c, reach + COMPARED))
            .collect();
        indices.sort_unstable();
        indices.dedup();
        if indices.is_empty() {
            return Ok(Self {
                atoms: HashMap::new(),
                scale: 1.0,
            });
        }
        let positions: Vec<[f64; 3]> = indices
            .iter()
            .map(|&i| refiner.atoms().positions[i])
            .collect();
        let trials = refiner.trials(&indices, monitor)?;
        let evidence: Vec<_> = trials.iter().map(|t| t.whole).collect();
        let (standings, _) = standings(&evidence, &positions);
        let mut scales: Vec<f64> = standings.iter().map(|s| s.scale).collect();
        scales.sort_by(f64::total_cmp);
        let scale = scales[scales.len() / 2];
        let atoms = indices
            .into_iter()
            .zip(positions)
            .zip(trials.iter().zip(&standings))
            .filter(|((_, p), _)| centers.iter().any(|c| distance(*c, *p) < reach))
            .map(|((i, _), (trial, standing))| {
                let ratio = bounded(standing.log_ratio, MOST_IMAGES);
                let words = words_for_atom(trial, standing);
                (i, (of_atom(trial, standing), ratio, words))
            })
            .collect();
        Ok(Self { atoms, scale })
    }
}

/// A doubt with the images' newest word, or nothing when there is nothing left to doubt.
fn asked_again(
    refiner: &mut LocalRefiner,
    doubt: &Doubt,
    asked: &Asked,
    spacing: f64,
    monitor: &Monitor,
) -> Result<Option<Doubt>, Stopped> {
    let Some(before) = &doubt.images else {
        // No image looks there; what else was said stands.
        return Ok(Some(doubt.clone()));
    };
    let (now, ratio, words) = match doubt.atoms.first() {
        Some(id) => {
            let index = refiner.atoms().index_of(*id);
            let told = index.and_then(|i| asked.atoms.get(&i));
            match (index, told) {
                // Removed: what it was doubted for is settled.
                (None, _) => return Ok(None),
                (Some(_), None) => return Ok(Some(doubt.clone())),
                (Some(_), Some((evidence, ratio, words))) => (*evidence, *ratio, words.clone()),
            }
        }
        None => {
            if !refiner.within(doubt.position, 0.5 * spacing).is_empty() {
                // Filled.
                return Ok(None);
            }
            let probes = refiner.probe(&[doubt.position], monitor)?;
            let seen = Seen::new(&probes[0], asked.scale);
            let ratio = bounded(seen.against_nothing(), MOST_IMAGES);
            (seen.evidence(&probes[0]), ratio, seen.words(&probes[0]))
        }
    };
    let was = ratio_of(before, doubt.atoms.is_empty());
    let mut doubt = doubt.clone();
    doubt.log_odds += ratio - was;
    doubt.images = Some(now);
    doubt.reason = in_place_of_images(&doubt.reason, &words);
    Ok(Some(doubt))
}

/// The part of the odds that was the images' word.
fn ratio_of(images: &ImageEvidence, vacant: bool) -> f64 {
    let ratio = if vacant {
        Seen::of(images).against_nothing()
    } else {
        crate::trace::evidence::log_ratio(images.occupancy, images.occupancy_sd)
    };
    bounded(ratio, MOST_IMAGES)
}

/// The reason with the newest words in the place of those the images said before.
fn in_place_of_images(reason: &str, words: &str) -> String {
    let of_images = |part: &&str| {
        part.starts_with("the tilts show ") || part.starts_with("the residual rises ")
    };
    let others: Vec<&str> = reason
        .split("; ")
        .filter(|part| !part.is_empty() && !of_images(part))
        .collect();
    let mut parts = vec![words];
    parts.extend(others);
    parts.join("; ")
}

/// Maxima of the residual near an edit that no item names yet.
fn newly_missing(
    refiner: &mut LocalRefiner,
    center: [f64; 3],
    asked: &Asked,
    spacing: f64,
    list: &mut Vec<Doubt>,
    monitor: &Monitor,
) -> Result<(), Stopped> {
    let least = LEAST_Z * asked.scale;
    for found in refiner.maxima(center, REACH * spacing, least, monitor)? {
        let known =
            |d: &Doubt| d.atoms.is_empty() && distance(d.position, found.position) < 0.75 * spacing;
        let taken = !refiner.within(found.position, 0.4 * spacing).is_empty();
        if taken || list.iter().any(known) {
            continue;
        }
        let seen = Seen::new(&found.probe, asked.scale);
        list.push(Doubt {
            kind: DoubtKind::Missing,
            also: Vec::new(),
            position: found.position,
            atoms: Vec::new(),
            log_odds: log_odds(PRIOR) + bounded(seen.against_nothing(), MOST_IMAGES),
            nearest: nearest(refiner, found.position, spacing),
            images: Some(seen.evidence(&found.probe)),
            reason: seen.words(&found.probe),
        });
    }
    Ok(())
}

/// Atoms near an edit that the images deny and no item names yet.
fn newly_false(refiner: &LocalRefiner, asked: &Asked, list: &mut Vec<Doubt>) {
    let least = log_odds(DoubtParams::default().least_probability);
    let mut denied: Vec<(&usize, &(ImageEvidence, f64, String))> = asked
        .atoms
        .iter()
        .filter(|(_, (_, ratio, _))| log_odds(PRIOR) + ratio >= least)
        .collect();
    denied.sort_by_key(|(index, _)| **index);
    for (&index, (evidence, ratio, words)) in denied {
        let id = refiner.atoms().ids[index];
        if list.iter().any(|d| d.atoms.contains(&id)) {
            continue;
        }
        let position = refiner.atoms().positions[index];
        list.push(Doubt {
            kind: DoubtKind::False,
            also: Vec::new(),
            position,
            atoms: vec![id],
            log_odds: log_odds(PRIOR) + ratio,
            nearest: None,
            images: Some(*evidence),
            reason: words.clone(),
        });
    }
}

fn nearest(
    refiner: &LocalRefiner,
    place: [f64; 3],
    spacing: f64,
) -> Option<(crate::model::AtomId, f64)> {
    refiner
        .within(place, 2.0 * spacing)
        .into_iter()
        .map(|i| {
            let apart = distance(refiner.atoms().positions[i], place);
            (refiner.atoms().ids[i], apart)
        })
        .min_by(|a, b| a.1.total_cmp(&b.1))
}
