//! A model drawn once, of which small parts are edited, refined and judged at the pace of the hand.
//!
//! The model images of all tilts are kept, with their residuals and the matched filter of these. An edit draws only the
//! windows around the atoms that it touched; everything asked afterwards (the residual in a plane, what single tilts show
//! of a place, what they say of the atoms in a sphere) reads these images. Heights, widths, backgrounds and weights stay
//! those of the model that was drawn first: a few atoms among thousands do not move them.

use super::fit::{AtomTrial, Fit};
use super::part::{Window, cut};
use super::problem::{Frame, PER_ATOM, Probe};
use super::{RefineError, RefineParams};
use crate::model::geometry::{distance, distance_squared};
use crate::model::{AtomId, Atoms, TiltSeries};
use crate::monitor::{Monitor, Stopped};
use crate::trace::evidence::{
    self, Filtered, Found, bilinear, filter_image, filter_reach, inside, main_species,
};
use ndarray::Array2;
use rayon::prelude::*;
use std::collections::HashMap;

/// An atom that moved by less than this, Å, is drawn as it was: a thousandth of a pixel.
const STILL: f64 = 1e-4;

/// More changes than this and the whole model is drawn again: windows around that many atoms are nearly all of it.
const MOST_CHANGES: usize = 100;

/// A model drawn once, of which small parts can be refined and judged at interactive speed.
pub struct LocalRefiner {
    fit: Fit,
    atoms: Atoms,
    steps: usize,
    kind: u16,
    spacing: Option<f64>,
    filtered: Vec<Filtered>,
}

/// A grid of points in a plane of the sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlaneGrid {
    /// The first point, Å.
    pub origin: [f64; 3],
    /// Step to the next point of the first axis, Å.
    pub right: [f64; 3],
    /// Step to the next point of the second axis, Å.
    pub up: [f64; 3],
    /// Points along both.
    pub size: [usize; 2],
}

/// What one tilt, or the mean of all, shows of a place: square cut-outs centred on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cutout {
    /// Index of the tilt in the series; `None` for the mean of all that see the place.
    pub tilt: Option<usize>,
    /// Counts as measured, `(x, y)`.
    pub measured: Array2<f32>,
    /// Counts of the model.
    pub model: Array2<f32>,
    /// How many standard deviations of the noise the counts rise there above the model without the atom in question.
    pub seen: f64,
    /// How many an atom would rise.
    pub expected: f64,
}

impl LocalRefiner {
    /// Draws the model and fits its heights, widths and backgrounds.
    ///
    /// # Errors
    /// As [`super::refine`].
    pub fn new(
        series: &TiltSeries,
        atoms: &Atoms,
        params: &RefineParams,
        monitor: &Monitor,
    ) -> Result<Self, RefineError> {
        let mut fit = Fit::new(series, atoms, params, monitor)?;
        fit.prepare(monitor)?;
        // Leaves the slopes of the residual behind.
        fit.problem.misfit(&fit.imaging, &fit.x, monitor)?;
        let kind = main_species(&atoms.species);
        let filtered = evidence::filter_residuals(&fit.problem, &fit.imaging, kind, monitor)?;
        Ok(Self {
            fit,
            atoms: atoms.clone(),
            steps: params.steps.max(1) * 2,
            kind,
            spacing: evidence::neighbor_distance(&atoms.positions),
            filtered,
        })
    }

    /// The atoms as they are now.
    #[must_use]
    pub fn atoms(&self) -> &Atoms {
        &self.atoms
    }

    /// Median distance to the nearest neighbour, Å; `None` without neighbours.
    #[must_use]
    pub fn spacing(&self) -> Option<f64> {
        self.spacing
    }

    /// Standard deviation of an atom's image, Å.
    #[must_use]
    pub fn width(&self) -> f64 {
        let profile = &self.fit.imaging.profiles[usize::from(self.kind)];
        profile.variance[0].sqrt() * self.fit.problem.pixel
    }

    /// Atoms within `radius` Å of `center`.
    #[must_use]
    pub fn within(&self, center: [f64; 3], radius: f64) -> Vec<usize> {
        let near = |p: &[f64; 3]| distance_squared(*p, center) <= radius * radius;
        (0..self.atoms.len())
            .filter(|&i| near(&self.atoms.positions[i]))
            .collect()
    }

    /// Refines the atoms at `indices`, all others staying, and returns them (in that order) with the columns of
    /// [`super::Refined::atoms`].
    ///
    /// # Errors
    /// An index out of range, no index, or the user's *abandon*.
    pub fn refine(&mut self, indices: &[usize], monitor: &Monitor) -> Result<Atoms, RefineError> {
        if let Some(&index) = indices.iter().find(|&&i| i >= self.atoms.len()) {
            return Err(RefineError::input(
                "atom index",
                format!("below {}", self.atoms.len()),
                index.to_string(),
            ));
        }
        if indices.is_empty() {
            return Err(RefineError::input(
                "atoms to refine",
                "at least one",
                "none",
            ));
        }
        let part = self.atoms.select(indices);
        let (refined, windows) = self.fit.refine_part(&part, indices, self.steps, monitor)?;
        for (k, &i) in indices.iter().enumerate() {
            self.atoms.positions[i] = refined.positions[k];
        }
        self.renew(&windows);
        Ok(refined)
    }

    /// Takes an edited model over: draws what was added, removed, moved or relabelled, and returns where that was, Å. A
    /// model of which most is new is drawn whole.
    ///
    /// # Errors
    /// A species that the model drawn first did not have, positions that are not numbers, or a stop.
    pub fn follow(
        &mut self,
        atoms: &Atoms,
        monitor: &Monitor,
    ) -> Result<Vec<[f64; 3]>, RefineError> {
        let kinds = self.fit.imaging.profiles.len();
        for (index, (position, &kind)) in atoms.positions.iter().zip(&atoms.species).enumerate() {
            if !position.iter().all(|v| v.is_finite()) || usize::from(kind) >= kinds {
                return Err(RefineError::input(
                    format!("atom {index}"),
                    format!("a place and a species below {kinds}"),
                    format!("{position:?} Å, species {kind}"),
                ));
            }
        }
        let changes = Changes::between(&self.atoms, atoms);
        let places = changes.places(&self.atoms, atoms);
        if changes.is_empty() {
            self.atoms = atoms.clone();
            return Ok(places);
        }
        let mut x = Vec::with_capacity(PER_ATOM * atoms.len());
        for (index, position) in atoms.positions.iter().enumerate() {
            match changes.same[index] {
                Some(old) => x.extend_from_slice(&self.fit.x[PER_ATOM * old..][..PER_ATOM]),
                None => x.extend([1.0, position[0], position[1], position[2]]),
            }
        }
        let few = changes.gone.len() + changes.come.len() <= MOST_CHANGES;
        let drawn = if few {
            Some(self.redraw(&changes, &x, atoms, monitor)?)
        } else {
            None
        };
        self.fit.x = x;
        self.fit.problem.species.clone_from(&atoms.species);
        self.atoms = atoms.clone();
        match drawn {
            Some(windows) => self.renew(&windows),
            None => {
                let fit = &mut self.fit;
                fit.problem.misfit(&fit.imaging, &fit.x, monitor)?;
                self.filtered = evidence::filter_residuals(
                    &self.fit.problem,
                    &self.fit.imaging,
                    self.kind,
                    monitor,
                )?;
            }
        }
        Ok(places)
    }

    /// Takes what is gone off the model images and draws what came; returns the windows.
    fn redraw(
        &mut self,
        changes: &Changes,
        x: &[f64],
        atoms: &Atoms,
        monitor: &Monitor,
    ) -> Result<Vec<Window>, Stopped> {
        let of = |x: &[f64], indices: &[usize]| -> Vec<f64> {
            let values = indices.iter().flat_map(|&i| &x[PER_ATOM * i..][..PER_ATOM]);
            values.copied().collect()
        };
        let gone = of(&self.fit.x, &changes.gone);
        let come = of(x, &changes.come);
        let species = |of: &Atoms, indices: &[usize]| -> Vec<u16> {
            indices.iter().map(|&i| of.species[i]).collect()
        };
        let windows = self.fit.windows(&[gone.as_slice(), &come].concat());
        for (values, kinds, sign) in [
            (gone, species(&self.atoms, &changes.gone), -1.0f32),
            (come, species(atoms, &changes.come), 1.0),
        ] {
            let (mut part, imaging) = self.fit.cut_out(&windows, kinds);
            part.render(&imaging, &values, monitor)?;
            for (k, [corner, size]) in windows.iter().enumerate() {
                let stride = self.fit.problem.frames[k].stride;
                let model = &mut self.fit.problem.works[k].model;
                for (row, line) in (part.works[k].model.chunks_exact(size[1].max(1))).enumerate() {
                    let start = (corner[0] + row) * stride + corner[1];
                    for (pixel, value) in model[start..start + size[1]].iter_mut().zip(line) {
                        *pixel += sign * value;
                    }
                }
            }
        }
        Ok(windows)
    }

    /// Residuals and their filter in windows whose model was drawn anew.
    fn renew(&mut self, windows: &[Window]) {
        let imaging = &self.fit.imaging;
        let profile = &imaging.profiles[usize::from(self.kind)];
        let reach = filter_reach(profile, imaging);
        let problem = &mut self.fit.problem;
        (problem.frames.par_iter())
            .zip(problem.works.par_iter_mut())
            .zip(self.filtered.par_iter_mut())
            .zip(windows)
            .enumerate()
            .for_each(|(i, (((frame, work), filtered), window))| {
                let images = (work.model.as_slice(), work.weights.as_slice());
                renew_slopes(frame, images, &mut work.slopes, *window);
                let outer = grown(frame, *window, 2 * reach);
                if outer[1].contains(&0) {
                    return;
                }
                let slopes = cut(&work.slopes, frame.stride, outer);
                let weights = cut(&work.weights, frame.stride, outer);
                let scale = imaging.scale[i];
                let part = filter_image([&slopes, &weights], outer[1][1], profile, scale, imaging);
                let inner = grown(frame, *window, reach);
                for row in 0..inner[1][0] {
                    let to = (inner[0][0] + row) * frame.stride + inner[0][1];
                    let from =
                        (inner[0][0] + row - outer[0][0]) * outer[1][1] + inner[0][1] - outer[0][1];
                    let n = inner[1][1];
                    filtered.sum[to..to + n].copy_from_slice(&part.sum[from..from + n]);
                }
            });
    }

    /// The residual in a plane: `z = Σ (r/λ) g / √Σ g²/λ` of an atom at every point, in standard deviations of the noise.
    /// Positive where the images ask for an atom. 0 where no image looks.
    #[must_use]
    pub fn residual(&self, grid: &PlaneGrid) -> Array2<f32> {
        let [columns, rows] = grid.size;
        let mut z = vec![0.0f32; columns * rows];
        z.par_chunks_exact_mut(rows.max(1))
            .enumerate()
            .for_each(|(i, line)| {
                let first: [f64; 3] =
                    std::array::from_fn(|a| grid.origin[a] + i as f64 * grid.right[a]);
                let mut sums = vec![[0.0f32; 2]; rows];
                for (frame, image) in self.fit.problem.frames.iter().zip(&self.filtered) {
                    let start = frame.seen(first);
                    let step = frame
                        .axes
                        .map(|axis| (0..3).map(|a| axis[a] * grid.up[a]).sum::<f64>());
                    for (j, sum) in sums.iter_mut().enumerate() {
                        let at = [0, 1].map(|a| start[a] + j as f64 * step[a]);
                        if let Some(center) = inside(frame, at, 1.0) {
                            let (u, v) = (at[0] as f32, at[1] as f32);
                            sum[0] += bilinear(&image.sum, frame.stride, u, v);
                            sum[1] += image.norm[center];
                        }
                    }
                }
                for (value, [sum, norm]) in line.iter_mut().zip(sums) {
                    *value = if norm > 0.0 { sum / norm.sqrt() } else { 0.0 };
                }
            });
        Array2::from_shape_vec((columns, rows), z).expect("a value for each point")
    }

    /// Cut-outs `half_width` Å to either side of a place, two samples to a pixel: first the mean of all tilts, then the
    /// `most` tilts in which an atom there would stand out furthest from the noise, no two of them next to each other, in
    /// the order of the series. They are chosen by what could be seen, not by what is: no picking of what pleases.
    ///
    /// `atom` is the atom in question, whose own contribution counts as seen.
    #[must_use]
    pub fn cutouts(
        &self,
        place: [f64; 3],
        atom: Option<AtomId>,
        half_width: f64,
        most: usize,
    ) -> Vec<Cutout> {
        let own = atom
            .and_then(|id| self.atoms.index_of(id))
            .map_or(0.0, |i| self.fit.x[PER_ATOM * i]);
        let step = 0.5;
        let half = (half_width / self.fit.problem.pixel / step)
            .round()
            .clamp(2.0, 60.0) as usize;
        let frames = &self.fit.problem.frames;
        let told: Vec<(usize, [f64; 2])> = (frames.iter().zip(&self.filtered))
            .enumerate()
            .filter_map(|(k, (frame, image))| {
                let at = frame.seen(place);
                let center = inside(frame, at, 1.0)?;
                let sum = bilinear(&image.sum, frame.stride, at[0] as f32, at[1] as f32);
                let norm = f64::from(image.norm[center]);
                let seen = (f64::from(sum) + own * norm) / norm.sqrt();
                (norm > 0.0).then_some((k, [seen, norm.sqrt()]))
            })
            .collect();
        if told.is_empty() {
            return Vec::new();
        }
        let cutout = |k: usize, [seen, expected]: [f64; 2]| {
            let frame = &frames[k];
            let at = frame.seen(place);
            let model = &self.fit.problem.works[k].model;
            Cutout {
                tilt: Some(frame.tilt),
                measured: sampled(frame, &frame.observed, at, half, step),
                model: sampled(frame, model, at, half, step),
                seen,
                expected,
            }
        };
        let all: Vec<Cutout> = told.iter().map(|&(k, told)| cutout(k, told)).collect();
        let mut shown = vec![mean(&all)];
        let apart = all.len() / (2 * most.max(1));
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|&a, &b| all[b].expected.total_cmp(&all[a].expected));
        let mut chosen: Vec<usize> = Vec::new();
        for k in order {
            if chosen.len() < most && chosen.iter().all(|&c| c.abs_diff(k) > apart) {
                chosen.push(k);
            }
        }
        chosen.sort_unstable();
        shown.extend(chosen.into_iter().map(|k| all[k].clone()));
        shown
    }

    /// What the images say of the atoms at `indices`, all others staying.
    pub(crate) fn trials(
        &self,
        indices: &[usize],
        monitor: &Monitor,
    ) -> Result<Vec<AtomTrial>, Stopped> {
        let species: Vec<u16> = indices.iter().map(|&i| self.atoms.species[i]).collect();
        self.fit.trials_of_part(&species, indices, monitor)
    }

    /// What the images would say to one more atom at each of `places`.
    pub(crate) fn probe(
        &mut self,
        places: &[[f64; 3]],
        monitor: &Monitor,
    ) -> Result<Vec<Probe>, Stopped> {
        let fit = &mut self.fit;
        fit.problem.probe(&fit.imaging, places, self.kind, monitor)
    }

    /// Maxima of the residual above `least` within `radius` Å of a place, the highest first.
    pub(crate) fn maxima(
        &mut self,
        center: [f64; 3],
        radius: f64,
        least: f64,
        monitor: &Monitor,
    ) -> Result<Vec<Found>, Stopped> {
        let width = self.width();
        let n = 2 * (radius / width).ceil() as usize + 3;
        let corner = center.map(|v| v - 0.5 * (n - 1) as f64 * width);
        let layers: Vec<Array2<f32>> = (0..n)
            .map(|k| {
                self.residual(&PlaneGrid {
                    origin: [corner[0], corner[1], corner[2] + k as f64 * width],
                    right: [width, 0.0, 0.0],
                    up: [0.0, width, 0.0],
                    size: [n, n],
                })
            })
            .collect();
        let mut starts = Vec::new();
        for k in 1..n - 1 {
            for i in 1..n - 1 {
                for j in 1..n - 1 {
                    let value = layers[k][[i, j]];
                    // Between the grid's points a peak may be a fifth lower than at its top.
                    if f64::from(value) < 0.8 * least {
                        continue;
                    }
                    let highest = (0..27).all(|m| {
                        let [a, b, c] = [k + m / 9 - 1, i + m / 3 % 3 - 1, j + m % 3 - 1];
                        layers[a][[b, c]] <= value
                    });
                    if highest {
                        let step = [i, j, k];
                        starts.push([0, 1, 2].map(|a: usize| corner[a] + step[a] as f64 * width));
                    }
                }
            }
        }
        let (places, probes) = evidence::climb(&mut self.fit, starts, (self.kind, width), monitor)?;
        let mut found: Vec<Found> = places
            .into_iter()
            .zip(probes)
            .filter(|(place, probe)| probe.z() >= least && distance(*place, center) <= radius)
            .map(|(position, probe)| Found {
                position,
                occupancy: probe.occupancy(),
                probe,
            })
            .collect();
        found.sort_by(|a, b| b.probe.z().total_cmp(&a.probe.z()));
        let mut kept: Vec<Found> = Vec::new();
        for found in found {
            if kept
                .iter()
                .all(|k| distance(k.position, found.position) > width)
            {
                kept.push(found);
            }
        }
        Ok(kept)
    }
}

/// How one model came from another.
struct Changes {
    /// Indices of the old atoms that are no longer as they were.
    gone: Vec<usize>,
    /// Indices of the new atoms that were not there like this.
    come: Vec<usize>,
    /// For each new atom the old one that it is.
    same: Vec<Option<usize>>,
}

impl Changes {
    fn between(old: &Atoms, new: &Atoms) -> Self {
        let index: HashMap<AtomId, usize> = old.ids.iter().copied().zip(0..).collect();
        let mut stayed = vec![false; old.len()];
        let same: Vec<Option<usize>> = (0..new.len())
            .map(|i| {
                let at = *index.get(&new.ids[i])?;
                let unmoved = distance(old.positions[at], new.positions[i]) < STILL;
                let is_same = unmoved && old.species[at] == new.species[i];
                stayed[at] |= is_same;
                is_same.then_some(at)
            })
            .collect();
        Self {
            gone: (0..old.len()).filter(|&i| !stayed[i]).collect(),
            come: (0..new.len()).filter(|&i| same[i].is_none()).collect(),
            same,
        }
    }

    fn is_empty(&self) -> bool {
        // The order of the atoms may differ even so.
        let in_order = self.same.iter().enumerate().all(|(i, at)| *at == Some(i));
        self.gone.is_empty() && self.come.is_empty() && in_order
    }

    fn places(&self, old: &Atoms, new: &Atoms) -> Vec<[f64; 3]> {
        let gone = self.gone.iter().map(|&i| old.positions[i]);
        let come = self.come.iter().map(|&i| new.positions[i]);
        gone.chain(come).collect()
    }
}

/// A window with `by` pixels more to every side, as far as the padded image goes.
fn grown(frame: &Frame, [corner, size]: Window, by: usize) -> Window {
    let limits = [frame.rows, frame.stride];
    let first = corner.map(|c| c.saturating_sub(by));
    let last = [0, 1].map(|a| (corner[a] + size[a] + by).min(limits[a]));
    [first, [0, 1].map(|a| last[a].saturating_sub(first[a]))]
}

/// `−w r` of the real pixels of a window.
fn renew_slopes(
    frame: &Frame,
    (model, weights): (&[f32], &[f32]),
    slopes: &mut [f32],
    [corner, size]: Window,
) {
    let [first, count] = frame.window;
    let low = [0, 1].map(|a| corner[a].max(first[a]));
    let high = [0, 1].map(|a| (corner[a] + size[a]).min(first[a] + count[a]));
    for row in low[0]..high[0] {
        for at in row * frame.stride + low[1]..row * frame.stride + high[1].max(low[1]) {
            slopes[at] = -weights[at] * (frame.observed[at] - model[at]);
        }
    }
}

/// Samples of a padded image on a square about a place, NaN beyond the real pixels.
fn sampled(frame: &Frame, image: &[f32], at: [f64; 2], half: usize, step: f64) -> Array2<f32> {
    let [first, count] = frame.window;
    Array2::from_shape_fn((2 * half + 1, 2 * half + 1), |(i, j)| {
        let place = [
            at[0] + (i as f64 - half as f64) * step,
            at[1] + (j as f64 - half as f64) * step,
        ];
        let real = (0..2)
            .all(|a| place[a] >= first[a] as f64 && place[a] <= (first[a] + count[a]) as f64 - 1.0);
        if real && inside(frame, place, 0.0).is_some() {
            bilinear(image, frame.stride, place[0] as f32, place[1] as f32)
        } else {
            f32::NAN
        }
    })
}

/// The mean of cut-outs of one size, where they have pixels; independent σ add in squares.
fn mean(all: &[Cutout]) -> Cutout {
    let of = |image: fn(&Cutout) -> &Array2<f32>| {
        let mut sum = Array2::<f32>::zeros(image(&all[0]).dim());
        let mut n = sum.clone();
        for cutout in all {
            ndarray::Zip::from(&mut sum)
                .and(&mut n)
                .and(image(cutout))
                .for_each(|s, n, v| {
                    if v.is_finite() {
                        *s += v;
                        *n += 1.0;
                    }
                });
        }
        // 0 / 0 where no tilt has a pixel.
        sum / n
    };
    let information: f64 = all.iter().map(|c| c.expected * c.expected).sum();
    let sum: f64 = all.iter().map(|c| c.seen * c.expected).sum();
    Cutout {
        tilt: None,
        measured: of(|c| &c.measured),
        model: of(|c| &c.model),
        seen: sum / information.sqrt(),
        expected: information.sqrt(),
    }
}

#[cfg(test)]
mod tests;
