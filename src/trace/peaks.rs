//! Local maxima of the up-sampled volume and their polynomial fits.
//!
//! The volume is a cubic spline; the papers fit its samples on the up-sampled grid. A sample is a linear combination of
//! spline coefficients and the grid, the monomials and the weights all factor into the axes, so the sums of the
//! least-squares fit are three contractions of the few coefficients around an atom: the same fit as over the
//! 3,000 samples of a 1.7 Å box at a twentieth of the cost, centered anywhere, and no up-sampled volume is kept.

use super::{Candidate, Verdict};
use crate::model::Volume;
use crate::monitor::{Monitor, Stopped};
use crate::numeric::fit::invert_definite;
use crate::numeric::interpolate::{CubicSpline, cubic_integral, cubic_weights};
use rayon::prelude::*;

/// Order of the polynomial (Rogers et al.).
const ORDER: usize = 4;
/// Monomials `x^a y^b z^c` with `a + b + c ≤ 4`.
const TERMS: usize = 35;
/// Re-centrings before a fit counts as diverged (Zr).
const RECENTRINGS: usize = 14;
/// Longest Newton step on an axis, in up-sampled voxels (Zr).
const LONGEST_STEP: f64 = 0.5;
/// After this many re-centrings in a row without the curvature of a maximum the place is none: going on uphill would only
/// end at a neighbor.
const PATIENCE: usize = 4;
/// A step shorter than this (up-sampled voxels) ends the fit: 0.1 pm at the papers' sampling.
const SETTLED: f64 = 1e-2;
/// Standard deviation of the fit's Gaussian weights over the box's edge: the box ends at two deviations.
const WEIGHT_SIGMA: f64 = 0.25;
/// Edge of a tile of the search for maxima, in up-sampled voxels.
const TILE: usize = 96;

/// A local maximum on the up-sampled grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Maximum {
    /// Up-sampled grid index.
    pub index: [usize; 3],
    /// Spline value there.
    pub value: f32,
}

/// All 3 × 3 × 3 local maxima above `floor` of the spline up-sampled by `factor`, in raster order.
///
/// Of equal neighbours the first in raster order counts as the higher, so that a plateau gives one maximum. The outermost
/// samples have no full neighbourhood and are never maxima. The result depends neither on the tiles nor on threads.
///
/// # Errors
/// When the monitor stops it.
pub fn local_maxima(
    spline: &CubicSpline,
    factor: usize,
    floor: f32,
    monitor: &Monitor,
) -> Result<Vec<Maximum>, Stopped> {
    local_maxima_tiled(spline, factor, floor, TILE, monitor)
}

fn local_maxima_tiled(
    spline: &CubicSpline,
    factor: usize,
    floor: f32,
    tile: usize,
    monitor: &Monitor,
) -> Result<Vec<Maximum>, Stopped> {
    let size = spline.upsampled_size(factor);
    if size.iter().any(|&n| n < 3) {
        return Ok(Vec::new());
    }
    let counts = size.map(|n| (n - 2).div_ceil(tile));
    let tiles = counts[0] * counts[1] * counts[2];
    let done = std::sync::atomic::AtomicUsize::new(0);
    let found: Vec<Vec<Maximum>> = (0..tiles)
        .into_par_iter()
        .map(|t| {
            monitor.check()?;
            let at = [
                t / (counts[1] * counts[2]),
                t / counts[2] % counts[1],
                t % counts[2],
            ];
            let start: [usize; 3] = std::array::from_fn(|a| 1 + at[a] * tile);
            let end: [usize; 3] = std::array::from_fn(|a| (start[a] + tile).min(size[a] - 1));
            let maxima = tile_maxima(spline, factor, floor, start, end);
            let so_far = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            monitor.progress(so_far, tiles);
            Ok(maxima)
        })
        .collect::<Result<_, Stopped>>()?;
    let mut maxima: Vec<Maximum> = found.into_iter().flatten().collect();
    maxima.sort_unstable_by_key(|m| m.index);
    Ok(maxima)
}

/// Maxima of one block `start..end` (its neighbours are sampled too).
pub(super) fn tile_maxima(
    spline: &CubicSpline,
    factor: usize,
    floor: f32,
    start: [usize; 3],
    end: [usize; 3],
) -> Vec<Maximum> {
    let from = start.map(|s| s - 1);
    let size: [usize; 3] = std::array::from_fn(|a| end[a] - start[a] + 2);
    let width = size[2];
    let area = size[1] * width;
    // Three planes in turn, each with the greatest value of every in-plane 3 × 3 neighbourhood.
    let mut planes = vec![vec![0.0f32; area]; 3];
    let mut peaks = vec![vec![0.0f32; area]; 3];
    let mut column = vec![0.0f32; width];
    let mut maxima = Vec::new();
    spline.sample_planes(factor, from, size, |x, plane| {
        let now = x % 3;
        planes[now].copy_from_slice(plane);
        neighborhood_maximum(plane, width, &mut column, &mut peaks[now]);
        if x < from[0] + 2 {
            return;
        }
        let [before, middle] = [(x + 1) % 3, (x + 2) % 3];
        for j in 1..size[1] - 1 {
            let row = j * width + 1..(j + 1) * width - 1;
            let values = &planes[middle][row.clone()];
            let around = [
                &peaks[before][row.clone()],
                &peaks[middle][row.clone()],
                &peaks[now][row.clone()],
            ];
            for (k, &value) in values.iter().enumerate() {
                if value > floor
                    && value >= around[1][k]
                    && value >= around[0][k]
                    && value >= around[2][k]
                {
                    let at = j * width + k + 1;
                    if is_first_of_equals(value, at, width, &planes[before], &planes[middle]) {
                        maxima.push(Maximum {
                            index: [x - 1, from[1] + j, from[2] + k + 1],
                            value,
                        });
                    }
                }
            }
        }
    });
    maxima
}

/// Greatest value of the 3 × 3 neighbourhood of every inner sample of a plane.
fn neighborhood_maximum(plane: &[f32], width: usize, column: &mut [f32], out: &mut [f32]) {
    let rows = plane.len() / width;
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    for j in 1..rows - 1 {
        let above = &plane[(j - 1) * width..j * width];
        let here = &plane[j * width..(j + 1) * width];
        let below = &plane[(j + 1) * width..(j + 2) * width];
        for (((c, a), h), b) in column.iter_mut().zip(above).zip(here).zip(below) {
            *c = larger(larger(*a, *h), *b);
        }
        let out = &mut out[j * width + 1..(j + 1) * width - 1];
        for (((o, a), h), b) in out
            .iter_mut()
            .zip(&column[..])
            .zip(&column[1..])
            .zip(&column[2..])
        {
            *o = larger(larger(*a, *h), *b);
        }
    }
}

/// Whether no neighbour before it in raster order has the same value.
fn is_first_of_equals(value: f32, at: usize, width: usize, before: &[f32], middle: &[f32]) -> bool {
    let row = |plane: &[f32], center: usize| plane[center - 1..=center + 1].contains(&value);
    !(row(before, at - width)
        || row(before, at)
        || row(before, at + width)
        || row(middle, at - width)
        || middle[at - 1] == value)
}

/// What the polynomial says about one place.
struct Fit {
    /// Coefficients of the monomials, in half boxes.
    terms: [f64; TERMS],
    /// Weighted sum of squares explained by the polynomial.
    explained: f64,
}

/// Fits peaks of one spline; holds everything that is the same for all of them.
pub struct PeakFitter<'a> {
    spline: &'a CubicSpline,
    volume_center: [f64; 3],
    pixel_size: f64,
    factor: f64,
    /// Samples on each side of the box's center.
    half: usize,
    /// Half of the box's edge, voxels.
    half_box_vox: f64,
    /// Weights of the samples −half..=half along an axis.
    weights: Vec<f64>,
    /// Inverse of the normal matrix.
    inverse: Vec<f64>,
    /// Coefficients along an axis that a box touches.
    edge: usize,
    total_weight: f64,
    /// (width by the polynomial's curvature, true width) of Gaussians in this box, in half boxes, ascending.
    widths: Vec<(f64, f64)>,
}

/// Buffers of one thread.
struct Scratch {
    cube: Vec<f64>,
    one: Vec<f64>,
    two: Vec<f64>,
}

impl<'a> PeakFitter<'a> {
    /// A fitter for boxes of `box_size` Å on the grid up-sampled by `factor`.
    #[must_use]
    pub fn new(spline: &'a CubicSpline, volume: &Volume, box_size: f64, factor: usize) -> Self {
        let sample = volume.pixel_size / factor as f64;
        // Five samples on an axis are the fewest that carry a fourth-order polynomial.
        let half = ((box_size / 2.0 / sample).round() as usize).max(2);
        let sigma = 2.0 * half as f64 * WEIGHT_SIGMA;
        let weights: Vec<f64> = (0..=2 * half)
            .map(|i| (-0.5 * ((i as f64 - half as f64) / sigma).powi(2)).exp())
            .collect();
        let moments: [f64; 2 * ORDER + 1] = std::array::from_fn(|power| {
            weights
                .iter()
                .enumerate()
                .map(|(i, w)| w * place(i, half).powi(power as i32))
                .sum()
        });
        let exponents = exponents();
        let mut normal = vec![0.0; TERMS * TERMS];
        for (i, a) in exponents.iter().enumerate() {
            for (j, b) in exponents.iter().enumerate() {
                normal[i * TERMS + j] = (0..3).map(|axis| moments[a[axis] + b[axis]]).product();
            }
        }
        let inverse = invert_definite(&normal, TERMS)
            .expect("five or more samples per axis determine a fourth-order polynomial");
        let widths = width_table(&weights, half, &inverse, &exponents);
        Self {
            spline,
            volume_center: volume.center_vox(),
            pixel_size: volume.pixel_size,
            factor: factor as f64,
            half,
            half_box_vox: box_size / 2.0 / volume.pixel_size,
            weights,
            inverse,
            // Four taps for each sample, and one more voxel for the integral, whose box may be half a sample wider.
            edge: (2 * half).div_ceil(factor) + 6,
            total_weight: moments[0].powi(3),
            widths,
        }
    }

    /// True width of the Gaussian whose polynomial has this width by its curvature (both in half boxes).
    fn true_width(&self, measured: f64) -> f64 {
        let after = self
            .widths
            .partition_point(|w| w.0 < measured)
            .clamp(1, self.widths.len() - 1);
        let (low, high) = (self.widths[after - 1], self.widths[after]);
        if measured < low.0 {
            // Narrower than the table: the smallest width the box can tell.
            return low.1;
        }
        low.1 + (high.1 - low.1) * (measured - low.0) / (high.0 - low.0)
    }

    fn scratch(&self) -> Scratch {
        let (e, n) = (self.edge, 2 * self.half + 1);
        Scratch {
            cube: vec![0.0; e * e * e],
            one: vec![0.0; n.max(ORDER + 1) * e * e],
            two: vec![0.0; (n * n).max(15) * e],
        }
    }

    /// Fits every maximum, in parallel and in order.
    ///
    /// # Errors
    /// When the monitor stops it.
    pub fn fit_all(
        &self,
        maxima: &[Maximum],
        monitor: &Monitor,
    ) -> Result<Vec<Candidate>, Stopped> {
        const CHUNK: usize = 512;
        let done = std::sync::atomic::AtomicUsize::new(0);
        let fitted: Vec<Vec<Candidate>> = maxima
            .par_chunks(CHUNK)
            .map(|chunk| {
                monitor.check()?;
                let mut scratch = self.scratch();
                let found = chunk
                    .iter()
                    .map(|m| self.fit_maximum(m, &mut scratch))
                    .collect();
                let so_far =
                    done.fetch_add(chunk.len(), std::sync::atomic::Ordering::Relaxed) + chunk.len();
                monitor.progress(so_far, maxima.len());
                Ok(found)
            })
            .collect::<Result<_, Stopped>>()?;
        Ok(fitted.into_iter().flatten().collect())
    }

    /// Box integrals (density × Å³) at positions (Å); outside the volume its mirror image is integrated.
    #[must_use]
    pub fn integrals(&self, positions: &[[f64; 3]]) -> Vec<f64> {
        positions
            .par_iter()
            .map_init(
                || self.scratch(),
                |scratch, p| {
                    let at =
                        std::array::from_fn(|a| p[a] / self.pixel_size + self.volume_center[a]);
                    self.box_integral(at, scratch)
                },
            )
            .collect()
    }

    /// Fits one maximum.
    #[must_use]
    pub fn fit(&self, maximum: &Maximum) -> Candidate {
        self.fit_maximum(maximum, &mut self.scratch())
    }

    fn fit_maximum(&self, maximum: &Maximum, scratch: &mut Scratch) -> Candidate {
        let raw = maximum.index.map(|i| i as f64 / self.factor);
        let failed = |verdict: Verdict, scratch: &mut Scratch| Candidate {
            position: self.position_of(raw),
            density: f64::from(maximum.value),
            intensity: self.box_integral(raw, scratch),
            sigma: f64::NAN,
            misfit: f64::NAN,
            verdict,
        };
        if !self.box_is_inside(raw) {
            return failed(Verdict::AtEdge, scratch);
        }
        let reach = self.half as f64 / self.factor;
        let step_limit = LONGEST_STEP / self.factor;
        let mut at = raw;
        let mut uphill = 0;
        for _ in 0..RECENTRINGS {
            let fit = self.polynomial_at(at, scratch);
            let (step, is_peak) = self.step(&fit, step_limit);
            uphill = if is_peak { 0 } else { uphill + 1 };
            if uphill >= PATIENCE {
                return failed(Verdict::FitNotPeak, scratch);
            }
            let longest = step.iter().fold(0.0f64, |m, s| m.max(s.abs())) * self.factor;
            if longest.is_nan() {
                return failed(Verdict::FitNotPeak, scratch);
            }
            if longest < SETTLED {
                if !is_peak {
                    return failed(Verdict::FitNotPeak, scratch);
                }
                let settled = std::array::from_fn(|a| at[a] + step[a]);
                return self.candidate(&fit, at, settled, scratch);
            }
            at = std::array::from_fn(|a| at[a] + step[a]);
            if (0..3).any(|a| (at[a] - raw[a]).abs() > reach) {
                return failed(Verdict::FitDiverged, scratch);
            }
            if !self.box_is_inside(at) {
                return failed(Verdict::AtEdge, scratch);
            }
        }
        let fit = self.polynomial_at(at, scratch);
        let is_peak = self.step(&fit, step_limit).1;
        failed(
            if is_peak {
                Verdict::FitDiverged
            } else {
                Verdict::FitNotPeak
            },
            scratch,
        )
    }

    fn candidate(
        &self,
        fit: &Fit,
        at: [f64; 3],
        settled: [f64; 3],
        scratch: &mut Scratch,
    ) -> Candidate {
        let unit = self.half as f64 / self.factor * self.pixel_size; // Å per unit of the polynomial
        let hessian = self.hessian(fit);
        let density = fit.terms[0];
        // A Gaussian on nothing has f / |f″| = σ² along every axis; the determinant averages the three. The
        // polynomial flattens the top by a known amount.
        let curvature = (-determinant(&hessian)).max(0.0).cbrt();
        let sigma = self.true_width((density / curvature).sqrt()) * unit;
        let squares = self.weighted_squares(at, scratch);
        let misfit = ((squares - fit.explained).max(0.0) / self.total_weight).sqrt() / density;
        Candidate {
            position: self.position_of(settled),
            density,
            intensity: self.box_integral(settled, scratch),
            sigma,
            misfit,
            verdict: Verdict::Atom,
        }
    }

    fn position_of(&self, index: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|a| (index[a] - self.volume_center[a]) * self.pixel_size)
    }

    fn box_is_inside(&self, at: [f64; 3]) -> bool {
        let size = self.spline.size();
        let reach = self.half as f64 / self.factor;
        (0..3).all(|a| at[a] - reach >= 0.0 && at[a] + reach <= (size[a] - 1) as f64)
    }

    /// First coefficient that a box around `at` touches.
    fn base(&self, at: f64) -> isize {
        (at - self.half as f64 / self.factor).floor() as isize - 1
    }

    /// Calls `give(sample, first coefficient, weights)` for the box's samples along an axis.
    fn samples(&self, at: f64, mut give: impl FnMut(usize, usize, [f64; 4])) {
        let base = self.base(at);
        for i in 0..=2 * self.half {
            let x = at + (i as f64 - self.half as f64) / self.factor;
            let floor = x.floor();
            // Rounding may put the first sample an ulp below `base + 1`; its weight there is nothing.
            let first = (floor as isize - 1 - base).clamp(0, self.edge as isize - 4) as usize;
            give(i, first, cubic_weights(x - floor));
        }
    }

    /// `Σᵢ wᵢ tᵢᵃ β³(xᵢ − k)` for each power a and coefficient k.
    fn axis_moments(&self, at: f64) -> Vec<f64> {
        let mut table = vec![0.0; (ORDER + 1) * self.edge];
        self.samples(at, |i, first, taps| {
            let mut factor = self.weights[i];
            for power in 0..=ORDER {
                for (k, tap) in taps.iter().enumerate() {
                    table[power * self.edge + first + k] += factor * tap;
                }
                factor *= place(i, self.half);
            }
        });
        table
    }

    fn gather(&self, at: [f64; 3], scratch: &mut Scratch) {
        self.spline
            .gather_cube(at.map(|x| self.base(x)), self.edge, &mut scratch.cube);
    }

    /// Weighted least-squares polynomial over the box centered at `at`.
    fn polynomial_at(&self, at: [f64; 3], scratch: &mut Scratch) -> Fit {
        self.gather(at, scratch);
        let e = self.edge;
        let tables = at.map(|x| self.axis_moments(x));
        let Scratch { cube, one, two } = scratch;
        one[..(ORDER + 1) * e * e].fill(0.0);
        for (a, out) in one[..(ORDER + 1) * e * e].chunks_mut(e * e).enumerate() {
            for (x, plane) in cube.chunks(e * e).enumerate() {
                add_scaled(out, plane, tables[0][a * e + x]);
            }
        }
        let mut right = [0.0; TERMS];
        for a in 0..=ORDER {
            for b in 0..=ORDER - a {
                let line = &mut two[..e];
                line.fill(0.0);
                for (y, row) in one[a * e * e..(a + 1) * e * e].chunks(e).enumerate() {
                    add_scaled(line, row, tables[1][b * e + y]);
                }
                for c in 0..=ORDER - a - b {
                    right[term(a, b, c)] = tables[2][c * e..(c + 1) * e]
                        .iter()
                        .zip(&*line)
                        .map(|(t, l)| t * l)
                        .sum();
                }
            }
        }
        let terms: [f64; TERMS] = std::array::from_fn(|i| {
            self.inverse[i * TERMS..(i + 1) * TERMS]
                .iter()
                .zip(&right)
                .map(|(m, r)| m * r)
                .sum()
        });
        let explained = terms.iter().zip(&right).map(|(t, r)| t * r).sum();
        Fit { terms, explained }
    }

    /// `Σ w f²` over the box's samples.
    fn weighted_squares(&self, at: [f64; 3], scratch: &mut Scratch) -> f64 {
        self.gather(at, scratch);
        let (e, n) = (self.edge, 2 * self.half + 1);
        let Scratch { cube, one, two } = scratch;
        one[..n * e * e].fill(0.0);
        self.samples(at[0], |i, first, taps| {
            for (k, tap) in taps.iter().enumerate() {
                add_scaled(
                    &mut one[i * e * e..(i + 1) * e * e],
                    &cube[(first + k) * e * e..][..e * e],
                    *tap,
                );
            }
        });
        two[..n * n * e].fill(0.0);
        self.samples(at[1], |j, first, taps| {
            for i in 0..n {
                for (k, tap) in taps.iter().enumerate() {
                    let row = (i * e + first + k) * e;
                    add_scaled(
                        &mut two[(i * n + j) * e..(i * n + j + 1) * e],
                        &one[row..row + e],
                        *tap,
                    );
                }
            }
        });
        let mut sum = 0.0;
        self.samples(at[2], |l, first, taps| {
            let mut slice = 0.0;
            for i in 0..n {
                for j in 0..n {
                    let c = &two[(i * n + j) * e + first..][..4];
                    let value = taps[0] * c[0] + taps[1] * c[1] + taps[2] * c[2] + taps[3] * c[3];
                    slice += self.weights[i] * self.weights[j] * value * value;
                }
            }
            sum += self.weights[l] * slice;
        });
        sum
    }

    /// Exact integral of the spline over the box centered at `at`, density × Å³.
    fn box_integral(&self, at: [f64; 3], scratch: &mut Scratch) -> f64 {
        let e = self.edge;
        let h = self.half_box_vox;
        let start = at.map(|x| (x - h).floor() as isize - 1);
        // The box of the integral may be half a sample wider than that of the fit.
        self.spline.gather_cube(start, e, &mut scratch.cube);
        let weights: [Vec<f64>; 3] = std::array::from_fn(|a| {
            (0..e)
                .map(|k| {
                    let offset = at[a] - (start[a] + k as isize) as f64;
                    cubic_integral(offset + h) - cubic_integral(offset - h)
                })
                .collect()
        });
        let mut sum = 0.0;
        for (plane, wx) in scratch.cube.chunks(e * e).zip(&weights[0]) {
            for (row, wy) in plane.chunks(e).zip(&weights[1]) {
                sum += wx * wy * row.iter().zip(&weights[2]).map(|(c, w)| c * w).sum::<f64>();
            }
        }
        sum * self.pixel_size.powi(3)
    }

    fn hessian(&self, fit: &Fit) -> [[f64; 3]; 3] {
        let unit = |axis: usize| -> [usize; 3] { std::array::from_fn(|a| usize::from(a == axis)) };
        std::array::from_fn(|i| {
            std::array::from_fn(|j| {
                let (a, b) = (unit(i), unit(j));
                let value = fit.terms[term(a[0] + b[0], a[1] + b[1], a[2] + b[2])];
                if i == j { 2.0 * value } else { value }
            })
        })
    }

    /// Newton's step to the polynomial's maximum (voxels, limited per axis), and whether it is one. Where the curvature is
    /// not that of a maximum the step goes uphill, as long as allowed.
    fn step(&self, fit: &Fit, limit: f64) -> ([f64; 3], bool) {
        let unit = self.half as f64 / self.factor; // voxels per unit of the polynomial
        let gradient = [
            fit.terms[term(1, 0, 0)],
            fit.terms[term(0, 1, 0)],
            fit.terms[term(0, 0, 1)],
        ];
        let hessian = self.hessian(fit);
        let minor = hessian[0][0] * hessian[1][1] - hessian[0][1] * hessian[1][0];
        let det = determinant(&hessian);
        let is_peak = fit.terms[0] > 0.0 && hessian[0][0] < 0.0 && minor > 0.0 && det < 0.0;
        if is_peak {
            let step = solve(&hessian, gradient, det).map(|s| (-s * unit).clamp(-limit, limit));
            return (step, true);
        }
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        (gradient.map(|g| g / norm * limit), false)
    }
}

/// What the curvature of the fitted polynomial makes of Gaussians from a fifth to four times the half box.
fn width_table(
    weights: &[f64],
    half: usize,
    inverse: &[f64],
    exponents: &[[usize; 3]; TERMS],
) -> Vec<(f64, f64)> {
    let mut table: Vec<(f64, f64)> = Vec::new();
    for step in 0..80 {
        let width = 0.2 * 20f64.powf(f64::from(step) / 79.0);
        let line: [f64; ORDER + 1] = std::array::from_fn(|power| {
            let sample = |(i, w): (usize, &f64)| {
                let t = place(i, half);
                w * t.powi(power as i32) * (-0.5 * (t / width).powi(2)).exp()
            };
            weights.iter().enumerate().map(sample).sum()
        });
        let right: Vec<f64> = exponents
            .iter()
            .map(|e| line[e[0]] * line[e[1]] * line[e[2]])
            .collect();
        let fitted = |of: usize| -> f64 {
            inverse[of * TERMS..(of + 1) * TERMS]
                .iter()
                .zip(&right)
                .map(|(m, r)| m * r)
                .sum()
        };
        let measured = (fitted(0) / (-2.0 * fitted(term(2, 0, 0)))).sqrt();
        // Far below the sampling the polynomial sees a spike: only the rising branch can be inverted.
        if measured.is_finite() {
            while table.last().is_some_and(|last| last.0 >= measured) {
                table.pop();
            }
            table.push((measured, width));
        }
    }
    table
}

/// Place of sample `i` of a box in half boxes, −1 to 1.
fn place(i: usize, half: usize) -> f64 {
    (i as f64 - half as f64) / half as f64
}

fn add_scaled(out: &mut [f64], values: &[f64], scale: f64) {
    for (o, v) in out.iter_mut().zip(values) {
        *o += scale * v;
    }
}

/// Number of the monomial `x^a y^b z^c`; the constant is 0.
fn term(a: usize, b: usize, c: usize) -> usize {
    const TABLE: [[[u8; 5]; 5]; 5] = term_table();
    usize::from(TABLE[a][b][c])
}

const fn term_table() -> [[[u8; 5]; 5]; 5] {
    let mut table = [[[0; 5]; 5]; 5];
    let mut next = 0;
    let mut a = 0;
    while a <= ORDER {
        let mut b = 0;
        while a + b <= ORDER {
            let mut c = 0;
            while a + b + c <= ORDER {
                table[a][b][c] = next;
                next += 1;
                c += 1;
            }
            b += 1;
        }
        a += 1;
    }
    table
}

fn exponents() -> [[usize; 3]; TERMS] {
    let mut all = [[0; 3]; TERMS];
    for a in 0..=ORDER {
        for b in 0..=ORDER - a {
            for c in 0..=ORDER - a - b {
                all[term(a, b, c)] = [a, b, c];
            }
        }
    }
    all
}

fn determinant(m: &[[f64; 3]; 3]) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
        - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}

/// `m⁻¹ v` by Cramer's rule.
fn solve(m: &[[f64; 3]; 3], v: [f64; 3], det: f64) -> [f64; 3] {
    std::array::from_fn(|column| {
        let mut replaced = *m;
        for row in 0..3 {
            replaced[row][column] = v[row];
        }
        determinant(&replaced) / det
    })
}

#[cfg(test)]
mod tests;
