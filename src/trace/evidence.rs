//! Residual evidence: where the measured tilts ask for an atom that is not there (`Search`), and whether they show the
//! atoms that are (`standings`).
//!
//! The residual `r = n − λ` of every tilt goes through the matched filter of an atom and is back-projected:
//! `z(r) = Σ_i Σ_p (r/λ) g / √(Σ_i Σ_p g²/λ)`, with g the image of an atom at that place. Where the model is complete z is
//! normal with variance 1, whatever the dose; its occupancy estimate is `Σ (r/λ) g / Σ g²/λ`. Peaks are found on a grid
//! of one atomic width and then climbed exactly. Expected chance maxima above z in a volume V follow from the
//! smoothness of the filter (Euler characteristic of a Gaussian field: Worsley et al., J. Cereb. Blood Flow
//! Metab. 12, 900 (1992)): `V λ^{3/2} (2π)^{-2} (z² − 1) exp(−z²/2)`, `λ = 1/(3 σ²)`.

use super::refine::Fit;
use super::refine::problem::{COMPONENTS, Frame, Imaging, PER_ATOM, Probe, Problem, Profile};
use crate::model::geometry::distance_squared;
use crate::monitor::{Monitor, Stopped};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

mod existence;
pub(crate) use existence::{Standing, against_surroundings, confidences, log_ratio, standings};

/// Parameters of the search.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct EvidenceParams {
    /// How far (Å) from the nearest atom to look [default: 1.6 nearest-neighbour distances, at least 3]
    #[arg(long)]
    pub reach: Option<f64>,
}

/// A maximum of the residual, where an atom may be missing.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub position: [f64; 3],
    pub probe: Probe,
    /// Occupancy of the atom that would explain it best.
    pub occupancy: f64,
}

/// Points sorted into cubes, for questions about neighbours.
pub(crate) struct Cells {
    edge: f64,
    cells: HashMap<[i32; 3], Vec<u32>>,
    points: Vec<[f64; 3]>,
}

impl Cells {
    pub(crate) fn new(points: Vec<[f64; 3]>, edge: f64) -> Self {
        let mut cells: HashMap<[i32; 3], Vec<u32>> = HashMap::new();
        for (i, p) in points.iter().enumerate() {
            cells
                .entry(p.map(|v| (v / edge).floor() as i32))
                .or_default()
                .push(i as u32);
        }
        Self {
            edge,
            cells,
            points,
        }
    }

    pub(crate) fn insert(&mut self, point: [f64; 3]) {
        let cell = point.map(|v| (v / self.edge).floor() as i32);
        self.cells
            .entry(cell)
            .or_default()
            .push(self.points.len() as u32);
        self.points.push(point);
    }

    /// Points within `radius` (at most the edge of a cell) of `center`, with their squared distances.
    pub(crate) fn within(&self, center: [f64; 3], radius: f64) -> Vec<(usize, f64)> {
        let home = center.map(|v| (v / self.edge).floor() as i32);
        let mut found = Vec::new();
        for dx in -1..=1 {
            for dy in -1..=1 {
                for dz in -1..=1 {
                    let Some(cell) = self.cells.get(&[home[0] + dx, home[1] + dy, home[2] + dz])
                    else {
                        continue;
                    };
                    for &i in cell {
                        let squared = distance_squared(self.points[i as usize], center);
                        if squared <= radius * radius {
                            found.push((i as usize, squared));
                        }
                    }
                }
            }
        }
        found
    }

    /// Nearest point other than `except` within one cell's edge.
    pub(crate) fn nearest(&self, center: [f64; 3], except: Option<usize>) -> Option<(usize, f64)> {
        self.within(center, self.edge)
            .into_iter()
            .filter(|(i, _)| Some(*i) != except)
            .min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)))
            .map(|(i, squared)| (i, squared.sqrt()))
    }
}

pub(crate) fn positions_of(x: &[f64]) -> Vec<[f64; 3]> {
    x.chunks_exact(PER_ATOM)
        .map(|a| [a[1], a[2], a[3]])
        .collect()
}

/// Median distance to the nearest neighbour, Å; `None` with fewer than two atoms within 6 Å of each other.
pub(crate) fn neighbor_distance(positions: &[[f64; 3]]) -> Option<f64> {
    let cells = Cells::new(positions.to_vec(), 6.0);
    let distances: Vec<f64> = positions
        .par_iter()
        .enumerate()
        .filter_map(|(i, p)| cells.nearest(*p, Some(i)).map(|(_, d)| d))
        .collect();
    let median = super::refine::fit::median(distances);
    median.is_finite().then_some(median)
}

/// Species that most atoms have.
pub(crate) fn main_species(species: &[u16]) -> u16 {
    let mut counts: HashMap<u16, usize> = HashMap::new();
    for &kind in species {
        *counts.entry(kind).or_insert(0) += 1;
    }
    counts
        .into_iter()
        .max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)))
        .map_or(0, |(kind, _)| kind)
}

/// Edge of a block of grid points that share one normalisation.
const BLOCK: usize = 4;

/// The grid on which peaks are looked for.
pub(crate) struct Search {
    /// Width of an atom, Å: the grid's spacing.
    sigma: f64,
    /// Blocks near an atom, by index.
    blocks: Vec<[i32; 3]>,
    /// Volume of those blocks, Å³.
    volume: f64,
    kind: u16,
}

impl Search {
    pub(crate) fn new(fit: &Fit, params: &EvidenceParams) -> Self {
        let positions = positions_of(&fit.x);
        let kind = main_species(&fit.problem.species);
        let sigma = fit.imaging.profiles[usize::from(kind)].variance[0].sqrt() * fit.problem.pixel;
        let reach = params
            .reach
            .unwrap_or_else(|| neighbor_distance(&positions).map_or(3.0, |d| (1.6 * d).max(3.0)));
        let edge = BLOCK as f64 * sigma;
        let steps = (reach / edge).ceil() as i32;
        let mut blocks: Vec<[i32; 3]> = positions
            .iter()
            .flat_map(|p| {
                let home = p.map(|v| (v / edge).floor() as i32);
                let center = *p;
                let span = -steps..=steps;
                span.clone()
                    .flat_map(move |i| {
                        let span = -steps..=steps;
                        span.clone().flat_map(move |j| {
                            (-steps..=steps).map(move |k| [home[0] + i, home[1] + j, home[2] + k])
                        })
                    })
                    .filter(move |block| {
                        // Distance from the atom to the block.
                        let gap: f64 = (0..3)
                            .map(|a| {
                                let low = f64::from(block[a]) * edge;
                                (low - center[a])
                                    .max(center[a] - low - edge)
                                    .max(0.0)
                                    .powi(2)
                            })
                            .sum();
                        gap <= reach * reach
                    })
            })
            .collect();
        blocks.par_sort_unstable();
        blocks.dedup();
        let volume = blocks.len() as f64 * edge.powi(3);
        Self {
            sigma,
            blocks,
            volume,
            kind,
        }
    }

    /// Expected number of chance maxima above `z`.
    pub(crate) fn chance(&self, z: f64) -> f64 {
        let smoothness = (3.0 * self.sigma * self.sigma).powf(-1.5);
        self.volume * smoothness / std::f64::consts::TAU.powi(2)
            * (z * z - 1.0).max(0.0)
            * (-0.5 * z * z).exp()
    }

    /// The z above which `expected` chance maxima are expected; at least 2.5.
    pub(crate) fn z_for_chance(&self, expected: f64) -> f64 {
        let (mut low, mut high) = (2.5, 12.0);
        for _ in 0..50 {
            let middle = 0.5 * (low + high);
            if self.chance(middle) > expected {
                low = middle
            } else {
                high = middle
            }
        }
        high
    }

    /// Peaks of the matched filter above `least`, climbed to their tops, the highest first.
    pub(crate) fn missing(
        &self,
        fit: &mut Fit,
        least: f64,
        monitor: &Monitor,
    ) -> Result<Vec<Found>, Stopped> {
        let mut gradient = vec![0.0; fit.x.len()];
        fit.problem
            .evaluate(&fit.imaging, &fit.x, &mut gradient, monitor)?;
        let filtered = filter_residuals(&fit.problem, &fit.imaging, self.kind, monitor)?;
        // Between the grid's points a peak may be a fifth lower than at its top.
        let starts = self.grid_maxima(&fit.problem, &filtered, 0.8 * least, monitor)?;
        drop(filtered);
        let (places, probes) = climb(fit, starts, (self.kind, self.sigma), monitor)?;
        let mut order: Vec<usize> = (0..places.len())
            .filter(|&i| probes[i].z() >= least)
            .collect();
        order.sort_by(|&a, &b| probes[b].z().total_cmp(&probes[a].z()).then(a.cmp(&b)));
        let mut kept = Cells::new(Vec::new(), 6.0);
        let mut found = Vec::new();
        for i in order {
            if kept.within(places[i], self.sigma).is_empty() {
                kept.insert(places[i]);
                found.push(Found {
                    position: places[i],
                    probe: probes[i],
                    occupancy: probes[i].occupancy(),
                });
            }
        }
        Ok(found)
    }

    /// Back-projects the filtered residuals onto the grid and returns its local maxima above `least`.
    fn grid_maxima(
        &self,
        problem: &Problem,
        filtered: &[Filtered],
        least: f64,
        monitor: &Monitor,
    ) -> Result<Vec<[f64; 3]>, Stopped> {
        let index: HashMap<[i32; 3], usize> = self
            .blocks
            .iter()
            .enumerate()
            .map(|(i, b)| (*b, i))
            .collect();
        let values: Vec<[f32; BLOCK * BLOCK * BLOCK]> = self
            .blocks
            .par_chunks(64)
            .map(|chunk| {
                monitor.check()?;
                Ok(chunk
                    .iter()
                    .map(|block| self.block_values(*block, problem, filtered))
                    .collect::<Vec<_>>())
            })
            .collect::<Result<Vec<_>, Stopped>>()?
            .concat();
        let value_at = |point: [i32; 3]| -> f32 {
            let block = point.map(|v| v.div_euclid(BLOCK as i32));
            let inner = point.map(|v| v.rem_euclid(BLOCK as i32) as usize);
            index.get(&block).map_or(f32::NEG_INFINITY, |&i| {
                values[i][(inner[0] * BLOCK + inner[1]) * BLOCK + inner[2]]
            })
        };
        let maxima: Vec<Vec<[f64; 3]>> = self
            .blocks
            .par_iter()
            .zip(&values)
            .map(|(block, inner)| {
                let mut found = Vec::new();
                for (k, &value) in inner.iter().enumerate() {
                    if f64::from(value) < least {
                        continue;
                    }
                    let offset = [k / (BLOCK * BLOCK), k / BLOCK % BLOCK, k % BLOCK];
                    let point: [i32; 3] =
                        std::array::from_fn(|a| block[a] * BLOCK as i32 + offset[a] as i32);
                    let highest = neighbors_of(point).all(|other| value_at(other) <= value);
                    if highest {
                        found.push(point.map(|v| (f64::from(v) + 0.5) * self.sigma));
                    }
                }
                found
            })
            .collect();
        Ok(maxima.concat())
    }

    fn block_values(
        &self,
        block: [i32; 3],
        problem: &Problem,
        filtered: &[Filtered],
    ) -> [f32; BLOCK * BLOCK * BLOCK] {
        let mut sums = [0.0f32; BLOCK * BLOCK * BLOCK];
        let mut norm = 0.0f32;
        let edge = BLOCK as f64 * self.sigma;
        let first = block.map(|b| f64::from(b) * edge + 0.5 * self.sigma);
        let middle = block.map(|b| (f64::from(b) + 0.5) * edge);
        for (frame, image) in problem.frames.iter().zip(filtered) {
            let Some(center) = inside(frame, frame.seen(middle), 2.0 * edge / problem.pixel) else {
                continue;
            };
            norm += image.norm[center];
            let start = frame.seen(first);
            let step = frame.axes.map(|axis| axis.map(|v| (v * self.sigma) as f32));
            let mut k = 0;
            for i in 0..BLOCK {
                for j in 0..BLOCK {
                    let (i, j) = (i as f32, j as f32);
                    let mut u = start[0] as f32 + i * step[0][0] + j * step[0][1];
                    let mut v = start[1] as f32 + i * step[1][0] + j * step[1][1];
                    for _ in 0..BLOCK {
                        sums[k] += bilinear(&image.sum, frame.stride, u, v);
                        u += step[0][2];
                        v += step[1][2];
                        k += 1;
                    }
                }
            }
        }
        let scale = if norm > 0.0 { norm.sqrt().recip() } else { 0.0 };
        sums.map(|s| s * scale)
    }
}

/// Climbs from places to the tops of the matched filter of an atom of the given species, in steps of half its width (Å).
pub(crate) fn climb(
    fit: &mut Fit,
    starts: Vec<[f64; 3]>,
    (kind, width): (u16, f64),
    monitor: &Monitor,
) -> Result<(Vec<[f64; 3]>, Vec<Probe>), Stopped> {
    let mut places = starts;
    let mut probes = fit.problem.probe(&fit.imaging, &places, kind, monitor)?;
    for _ in 0..5 {
        let trial: Vec<[f64; 3]> = places
            .iter()
            .zip(&probes)
            .map(|(place, probe)| {
                let curvature = probe.curvature * probe.occupancy().max(0.3);
                let slope = nalgebra::Vector3::from(probe.gradient);
                let step = curvature
                    .try_inverse()
                    .map_or_else(nalgebra::Vector3::zeros, |inverse| inverse * slope);
                let shorten = (0.5 * width / step.norm().max(1e-12)).min(1.0);
                [0, 1, 2].map(|a| place[a] + shorten * step[a])
            })
            .collect();
        let trial_probes = fit.problem.probe(&fit.imaging, &trial, kind, monitor)?;
        for i in 0..places.len() {
            if trial_probes[i].z() > probes[i].z() {
                places[i] = trial[i];
                probes[i] = trial_probes[i];
            }
        }
    }
    Ok((places, probes))
}

fn neighbors_of(point: [i32; 3]) -> impl Iterator<Item = [i32; 3]> {
    (0..27).filter(|k| *k != 13).map(move |k| {
        [
            point[0] + k / 9 - 1,
            point[1] + k / 3 % 3 - 1,
            point[2] + k % 3 - 1,
        ]
    })
}

/// Index of the pixel nearest to a place whose surroundings of `margin` pixels lie in the padded image.
pub(crate) fn inside(frame: &Frame, at: [f64; 2], margin: f64) -> Option<usize> {
    let limits = [frame.rows, frame.stride];
    let fits = (0..2).all(|a| at[a] >= margin && at[a] + margin + 1.0 < limits[a] as f64);
    fits.then(|| at[0].round() as usize * frame.stride + at[1].round() as usize)
}

#[inline]
pub(crate) fn bilinear(image: &[f32], stride: usize, u: f32, v: f32) -> f32 {
    let (i, j) = (u as usize, v as usize);
    let (fu, fv) = (u - i as f32, v - j as f32);
    let at = i * stride + j;
    let (top, bottom) = (&image[at..at + 2], &image[at + stride..at + stride + 2]);
    (1.0 - fu) * ((1.0 - fv) * top[0] + fv * top[1])
        + fu * ((1.0 - fv) * bottom[0] + fv * bottom[1])
}

/// `Σ (r/λ) g` and `Σ g²/λ` for an atom at every pixel of a frame.
pub(crate) struct Filtered {
    pub(crate) sum: Vec<f32>,
    pub(crate) norm: Vec<f32>,
}

pub(crate) fn filter_residuals(
    problem: &Problem,
    imaging: &Imaging,
    kind: u16,
    monitor: &Monitor,
) -> Result<Vec<Filtered>, Stopped> {
    let profile = &imaging.profiles[usize::from(kind)];
    problem
        .frames
        .par_iter()
        .zip(&problem.works)
        .enumerate()
        .map(|(i, (frame, work))| {
            monitor.check()?;
            let scale = imaging.scale[i];
            let images = [work.slopes.as_slice(), &work.weights];
            Ok(filter_image(images, frame.stride, profile, scale, imaging))
        })
        .collect()
}

/// The filter on one image (or a window of one): of its slopes and its weights.
pub(crate) fn filter_image(
    [slopes, weights]: [&[f32]; 2],
    stride: usize,
    profile: &Profile,
    scale: f64,
    imaging: &Imaging,
) -> Filtered {
    let peak = |c: usize| scale * profile.weight[c] / (std::f64::consts::TAU * profile.variance[c]);
    let used: Vec<usize> = (0..COMPONENTS).filter(|&c| imaging.radii[c] > 0).collect();
    let mut filtered = Filtered {
        sum: vec![0.0; slopes.len()],
        norm: vec![0.0; weights.len()],
    };
    for &c in &used {
        // The slopes are −r/λ.
        smooth_into(
            &mut filtered.sum,
            slopes,
            stride,
            profile.variance[c],
            -peak(c),
        );
        for &d in &used {
            let (s, t) = (profile.variance[c], profile.variance[d]);
            let product = s * t / (s + t);
            smooth_into(
                &mut filtered.norm,
                weights,
                stride,
                product,
                peak(c) * peak(d),
            );
        }
    }
    filtered
}

/// Pixels that the filter reaches from the middle of an atom.
pub(crate) fn filter_reach(profile: &Profile, imaging: &Imaging) -> usize {
    let used = (0..COMPONENTS).filter(|&c| imaging.radii[c] > 0);
    let widest = used.map(|c| profile.variance[c]).fold(0.0, f64::max);
    (3.5 * widest.sqrt()).ceil() as usize
}

/// Adds `factor · (image ∗ exp(−r²/2s))` to `out`.
fn smooth_into(out: &mut [f32], image: &[f32], stride: usize, variance: f64, factor: f64) {
    let radius = (3.5 * variance.sqrt()).ceil() as usize;
    let kernel: Vec<f32> = (0..=2 * radius)
        .map(|k| (-0.5 * (k as f64 - radius as f64).powi(2) / variance).exp() as f32)
        .collect();
    let rows = image.len() / stride;
    let mut along = vec![0.0f32; image.len()];
    for (line, target) in image
        .chunks_exact(stride)
        .zip(along.chunks_exact_mut(stride))
    {
        for (k, weight) in kernel.iter().enumerate() {
            // target[j] += weight · line[j + k − radius]
            let shift = k as isize - radius as isize;
            let from = shift.max(0) as usize;
            let to = (-shift).max(0) as usize;
            let n = stride.saturating_sub(shift.unsigned_abs());
            if n == 0 {
                continue;
            }
            for (t, s) in target[to..to + n].iter_mut().zip(&line[from..from + n]) {
                *t += weight * s;
            }
        }
    }
    for row in 0..rows {
        for (k, weight) in kernel.iter().enumerate() {
            let Some(from) = (row + k).checked_sub(radius).filter(|r| *r < rows) else {
                continue;
            };
            let weight = weight * factor as f32;
            let target = &mut out[row * stride..(row + 1) * stride];
            for (t, s) in target
                .iter_mut()
                .zip(&along[from * stride..(from + 1) * stride])
            {
                *t += weight * s;
            }
        }
    }
}

#[cfg(test)]
mod tests;
