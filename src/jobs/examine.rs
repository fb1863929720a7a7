//! The model drawn once for the quick questions of whoever corrects it: what the tilts show of a place, the residual in a
//! plane, a sphere of atoms refined, the list of doubtful places brought up to date around an edit.
//!
//! All questions share one drawn model, which follows the edits. Whoever asks waits for its turn; drawing a model of
//! 20,000 atoms for the first time takes seconds, a question after that milliseconds.

use super::JobError;
use crate::model::geometry::distance;
use crate::model::{AtomId, Atoms, TiltSeries};
use crate::monitor::Monitor;
use crate::numeric::gaussian::gaussian_blur_image;
use crate::trace::doubts::{Doubt, doubts_around};
use crate::trace::refine::{Cutout, LocalRefiner, PlaneGrid, RefineParams};
use ndarray::Array2;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a question is about: the model as it is now, and the tilts it is held against.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The (prepared) series.
    pub series: Arc<TiltSeries>,
    /// The model.
    pub atoms: Arc<Atoms>,
    /// How heights and widths are fitted.
    pub params: RefineParams,
}

struct Held {
    series: Arc<TiltSeries>,
    params: RefineParams,
    refiner: LocalRefiner,
    atoms: Arc<Atoms>,
}

/// Holds the drawn model.
#[derive(Default)]
pub struct Examiner {
    held: Mutex<Option<Held>>,
}

/// Half the edge of a cut-out, Å: an atom and its nearest neighbours.
pub const CUTOUT_HALF_WIDTH: f64 = 4.0;

/// Single tilts shown of a place.
pub const CUTOUTS: usize = 5;

/// Spacing of atoms where a model has no two near each other: that of most metals, Å.
const USUAL_SPACING: f64 = 2.8;

/// More edits than this at once are no longer looked at one by one.
const MOST_EDITS: usize = 40;

/// A part of the model refined against the tilts.
#[derive(Debug, Clone, PartialEq)]
pub struct RefinedPart {
    /// The atoms as they were asked about: ids and places.
    pub before: Vec<(AtomId, [f64; 3])>,
    /// The same atoms refined, with the columns of a refined model.
    pub after: Atoms,
}

impl Examiner {
    /// Asks the drawn model, after it has followed the edits.
    ///
    /// # Errors
    /// What refinement says of a series or a model it cannot use.
    pub fn with<R>(
        &self,
        subject: &Subject,
        ask: impl FnOnce(&mut LocalRefiner) -> R,
    ) -> Result<R, JobError> {
        let mut place = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out while it works: should a question panic, nothing half-drawn stays behind.
        let held = place.take().filter(|held| {
            Arc::ptr_eq(&held.series, &subject.series) && held.params == subject.params
        });
        let quiet = Monitor::silent();
        let followed = held.and_then(|mut held| {
            if !Arc::ptr_eq(&held.atoms, &subject.atoms) {
                held.refiner.follow(&subject.atoms, &quiet).ok()?;
                held.atoms = Arc::clone(&subject.atoms);
            }
            Some(held)
        });
        let mut held = match followed {
            Some(held) => held,
            None => Held {
                refiner: LocalRefiner::new(
                    &subject.series,
                    &subject.atoms,
                    &subject.params,
                    &quiet,
                )
                .map_err(JobError::failed)?,
                series: Arc::clone(&subject.series),
                params: subject.params.clone(),
                atoms: Arc::clone(&subject.atoms),
            },
        };
        let answer = ask(&mut held.refiner);
        *place = Some(held);
        Ok(answer)
    }

    /// Lets the drawn model go.
    pub fn forget(&self) {
        // Whoever is asking right now keeps it; it is replaced with the next series.
        if let Ok(mut place) = self.held.try_lock() {
            *place = None;
        }
    }

    /// What the tilts show of a place, and of the atom there, if it is one that is in question.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn look(
        &self,
        subject: &Subject,
        place: [f64; 3],
        atom: Option<AtomId>,
    ) -> Result<Vec<Cutout>, JobError> {
        self.with(subject, |refiner| {
            refiner.cutouts(place, atom, CUTOUT_HALF_WIDTH, CUTOUTS)
        })
    }

    /// The residual in a plane above that of its surroundings, in standard deviations of its own scatter there: what a
    /// model leaves out on purpose (light atoms, support) is broad and the same in many places; a wrong atom is neither.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn residual(&self, subject: &Subject, grid: &PlaneGrid) -> Result<Array2<f32>, JobError> {
        let (z, spacing) = self.with(subject, |refiner| {
            let spacing = refiner.spacing().unwrap_or(USUAL_SPACING);
            (refiner.residual(grid), spacing)
        })?;
        let pitch = distance(grid.right, [0.0; 3]).max(1e-6);
        Ok(above_surroundings(&z, spacing / pitch))
    }

    /// Refines the atoms within `radius` Å of `center` (by default one and a half spacings), but for those in `held`.
    ///
    /// # Errors
    /// As [`Self::with`]; no atom to refine there.
    pub fn refine_sphere(
        &self,
        subject: &Subject,
        center: [f64; 3],
        radius: Option<f64>,
        held: &[AtomId],
    ) -> Result<RefinedPart, JobError> {
        self.with(subject, |refiner| {
            let radius = radius.unwrap_or_else(|| 1.5 * refiner.spacing().unwrap_or(USUAL_SPACING));
            let indices: Vec<usize> = refiner
                .within(center, radius)
                .into_iter()
                .filter(|&i| !held.contains(&subject.atoms.ids[i]))
                .collect();
            if indices.is_empty() {
                let [x, y, z] = center;
                return Err(JobError::Failed(format!(
                    "no atom to refine within {radius:.1} Å of ({x:.1}, {y:.1}, {z:.1}) Å"
                )));
            }
            let before = (indices.iter())
                .map(|&i| (subject.atoms.ids[i], subject.atoms.positions[i]))
                .collect();
            let after = refiner
                .refine(&indices, &Monitor::silent())
                .map_err(JobError::failed)?;
            // Nothing is settled before the user's model holds it.
            refiner
                .follow(&subject.atoms, &Monitor::silent())
                .map_err(JobError::failed)?;
            Ok(RefinedPart { before, after })
        })?
    }

    /// A list made of the model `then`, brought up to date with the edits since; `None` when there were too many.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn bring_up_to_date(
        &self,
        subject: &Subject,
        doubts: &[Doubt],
        then: &Atoms,
    ) -> Result<Option<Vec<Doubt>>, JobError> {
        let centers = edited_places(then, &subject.atoms);
        if centers.len() > MOST_EDITS {
            return Ok(None);
        }
        self.with(subject, |refiner| {
            doubts_around(refiner, doubts, &centers, &Monitor::silent())
                .map(Some)
                .map_err(JobError::from)
        })?
    }
}

/// A picture of z less its own blur, over the scatter of that; noise alone stays as it is.
fn above_surroundings(z: &Array2<f32>, blur_px: f64) -> Array2<f32> {
    let seen: Vec<bool> = z.iter().map(|v| *v != 0.0).collect();
    let mut local = z - &gaussian_blur_image(z.view(), blur_px);
    let sizes = local
        .iter()
        .zip(&seen)
        .filter(|(_, seen)| **seen)
        .map(|(v, _)| v.abs());
    let mut sizes: Vec<f32> = sizes.collect();
    if sizes.is_empty() {
        return local;
    }
    let middle = sizes.len() / 2;
    let (_, median, _) = sizes.select_nth_unstable_by(middle, f32::total_cmp);
    // From the median of the sizes to a standard deviation.
    let scale = (1.4826 * *median).max(1.0);
    for (value, seen) in local.iter_mut().zip(seen) {
        *value = if seen { *value / scale } else { 0.0 };
    }
    local
}

/// Where two models differ: places of atoms that are in one alone, and of those that moved or changed species.
fn edited_places(then: &Atoms, now: &Atoms) -> Vec<[f64; 3]> {
    /// An atom that moved by less is the same to every image, Å.
    const UNMOVED: f64 = 0.02;
    let mut left: HashMap<AtomId, usize> = then.ids.iter().copied().zip(0..).collect();
    let mut places = Vec::new();
    for (i, id) in now.ids.iter().enumerate() {
        match left.remove(id) {
            None => places.push(now.positions[i]),
            Some(was) => {
                let moved = distance(then.positions[was], now.positions[i]) > UNMOVED;
                if moved || then.species[was] != now.species[i] {
                    places.extend([then.positions[was], now.positions[i]]);
                }
            }
        }
    }
    let mut gone: Vec<usize> = left.into_values().collect();
    gone.sort_unstable();
    places.extend(gone.into_iter().map(|i| then.positions[i]));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_stands_out_of_a_broad_hill_and_noise_keeps_its_size() {
        // A fixed pattern of noise of variance 1, by the sum of twelve uniform numbers.
        let mut state = 7u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let noise = Array2::from_shape_fn((96, 96), |_| {
            (0..12).map(|_| uniform()).sum::<f64>() as f32 - 6.0
        });
        let quiet = above_surroundings(&noise, 8.0);
        let variance = quiet.iter().map(|v| v * v).sum::<f32>() / quiet.len() as f32;
        assert!((0.8..1.1).contains(&variance), "{variance}");
        let hill = Array2::from_shape_fn((96, 96), |(x, y)| {
            let squared = (x as f32 - 48.0).powi(2) + (y as f32 - 48.0).powi(2);
            20.0 * (-squared / 1800.0).exp() + if squared < 2.0 { 9.0 } else { 0.0 }
        });
        let seen = above_surroundings(&(&noise + &hill), 8.0);
        assert!(seen[[48, 48]] > 5.0, "{}", seen[[48, 48]]);
        assert!(seen[[60, 60]].abs() < 5.0 && seen[[20, 70]].abs() < 5.0);
    }

    #[test]
    fn models_differ_where_atoms_came_went_or_moved() {
        let then = Atoms::from_positions(vec![[0.0; 3], [3.0, 0.0, 0.0], [6.0, 0.0, 0.0]], "Zr");
        let mut now = then.select(&[0, 2]);
        now.positions[1][1] = 0.5;
        now.ids.push(AtomId(9));
        now.positions.push([9.0, 0.0, 0.0]);
        now.species.push(0);
        let places = edited_places(&then, &now);
        assert_eq!(places.len(), 4);
        for place in [
            [3.0, 0.0, 0.0],
            [6.0, 0.0, 0.0],
            [6.0, 0.5, 0.0],
            [9.0, 0.0, 0.0],
        ] {
            assert!(places.contains(&place), "{place:?}");
        }
        assert!(edited_places(&then, &then).is_empty());
    }
}
