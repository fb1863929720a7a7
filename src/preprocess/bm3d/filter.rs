//! The two stages of BM3D (Dabov, Foi, Katkovnik & Egiazarian, IEEE Trans. Image Process. 16, 2080, 2007).
//!
//! Both work on an image whose noise has the standard deviation 1 on average. A stage walks over reference blocks,
//! stacks the blocks most alike, transforms the stack in 3D, shrinks the coefficients and puts the blocks back, each
//! weighted by a window and by how little noise its group kept. Stage 1 shrinks by a hard threshold. Stage 2 matches
//! on the result of stage 1 and shrinks by the Wiener factors `b²/(b² + v)` of that result's coefficients `b`, with
//! `v` the noise variance of the coefficient ([`Covariance`]). Dabov et al. leave out blocks beyond a distance given
//! in grey levels; here the nearest are taken however far they are, as the shrinkage keeps apart what differs.
//!
//! The reference rows are cut into bands with sums of their own, which are added in order: the result does not
//! depend on the number of threads.

use super::covariance::Covariance;
use super::matching::{Match, Matcher, Plane};
use super::transform::{AREA, Block, Dct, EDGE, haar, haar_inverse, kaiser};
use crate::monitor::{Monitor, Stopped};
use crate::projection::simd::{Kernel, Vector, dispatch};
use rayon::prelude::*;

/// Reference rows of one band.
const BAND: usize = 8;
/// Most blocks of a group. Dabov et al. have 16 in stage 1: with exact variances 32 are better where noise is strong.
const GROUP: usize = 32;
/// Hard threshold of stage 1, standard deviations (Dabov et al., table I).
const THRESHOLD: f32 = 2.7;
/// Part of the noise variance that stage 2 counts with: what stage 1 set to zero is missing in the energies, so that
/// the whole variance would take too much (Mäkinen et al. 2020 lower it for the same reason).
const WIENER_SHARE: f32 = 0.7;
/// β of the Kaiser window (Dabov et al., table I).
const KAISER_BETA: f64 = 2.0;

/// What both stages need to know.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Pixels between reference blocks.
    pub step: usize,
    /// Pixels that candidates may lie away.
    pub reach: usize,
    /// Covariance of the coefficients' noise.
    pub covariance: Covariance,
    /// The transform of a block.
    pub dct: Dct,
}

/// Number of bands that [`Settings`] cut an image of `nx` rows into.
pub(super) fn bands(nx: usize, step: usize) -> usize {
    references(nx, step).len().div_ceil(BAND)
}

/// Places of the reference blocks along an axis of `n` pixels; the last one touches the end.
fn references(n: usize, step: usize) -> Vec<usize> {
    let last = n - EDGE;
    let mut places: Vec<usize> = (0..last).step_by(step).collect();
    places.push(last);
    places
}

/// Runs one stage: the hard threshold without a `guide`, Wiener with one. `tick` is called after every band.
pub(super) fn stage(
    noisy: &Plane,
    guide: Option<&Plane>,
    settings: &Settings,
    monitor: &Monitor,
    tick: &(dyn Fn() + Sync),
) -> Result<Plane, Stopped> {
    let [nx, ny] = noisy.size;
    let rows = references(nx, settings.step);
    let columns = references(ny, settings.step);
    let window = kaiser(KAISER_BETA);
    let sums = rows
        .par_chunks(BAND)
        .map(|rows| {
            let mut band = Band::new(noisy, guide, settings, &window, rows);
            for &row in rows {
                monitor.check()?;
                dispatch(Row {
                    band: &mut band,
                    row,
                    columns: &columns,
                });
            }
            tick();
            Ok(band.sums)
        })
        .collect::<Result<Vec<Sums>, Stopped>>()?;
    let mut values = vec![0f32; nx * ny];
    let mut weights = vec![0f32; nx * ny];
    for sum in &sums {
        let from = sum.first_row * ny;
        for (all, part) in [(&mut values, &sum.values), (&mut weights, &sum.weights)] {
            for (a, p) in all[from..].iter_mut().zip(part) {
                *a += p;
            }
        }
    }
    // Every pixel lies in a reference block, and a block's weight is positive.
    Ok(Plane::new(
        [nx, ny],
        values.iter().zip(&weights).map(|(v, w)| v / w),
    ))
}

/// Weighted sums over the rows a band can reach.
struct Sums {
    first_row: usize,
    values: Vec<f32>,
    weights: Vec<f32>,
}

struct Band<'a> {
    noisy: &'a Plane,
    guide: Option<&'a Plane>,
    settings: &'a Settings,
    window: &'a Block,
    matcher: Matcher,
    matches: Vec<Match>,
    group: Vec<Block>,
    pilot: Vec<Block>,
    variances: Vec<Block>,
    sums: Sums,
}

impl<'a> Band<'a> {
    fn new(
        noisy: &'a Plane,
        guide: Option<&'a Plane>,
        settings: &'a Settings,
        window: &'a Block,
        rows: &[usize],
    ) -> Self {
        let [nx, ny] = noisy.size;
        let first_row = rows[0].saturating_sub(settings.reach);
        let end = (rows[rows.len() - 1] + settings.reach + EDGE).min(nx);
        let len = (end - first_row) * ny;
        Self {
            noisy,
            guide,
            settings,
            window,
            matcher: Matcher::new(settings.reach),
            matches: Vec::with_capacity(GROUP),
            group: vec![[0.0; AREA]; GROUP],
            pilot: vec![[0.0; AREA]; GROUP],
            variances: vec![[0.0; AREA]; GROUP],
            sums: Sums {
                first_row,
                values: vec![0.0; len],
                weights: vec![0.0; len],
            },
        }
    }

    #[inline(always)]
    fn add(&mut self, at: [usize; 2], block: &Block, weight: f32) {
        let ny = self.noisy.size[1];
        for r in 0..EDGE {
            let from = (at[0] - self.sums.first_row + r) * ny + at[1];
            let values = &mut self.sums.values[from..from + EDGE];
            let weights = &mut self.sums.weights[from..from + EDGE];
            for c in 0..EDGE {
                let w = weight * self.window[r * EDGE + c];
                values[c] += w * block[r * EDGE + c];
                weights[c] += w;
            }
        }
    }
}

/// All references of one row: one call into code compiled for this processor. The compiler makes the vectors itself: the
/// inner loops run over rows of 8, 16 or 64 numbers, which no single vector width fits.
struct Row<'a, 'b> {
    band: &'a mut Band<'b>,
    row: usize,
    columns: &'a [usize],
}

impl Kernel for Row<'_, '_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { band, row, columns } = self;
        band.matcher
            .measure(band.guide.unwrap_or(band.noisy), row, columns);
        for (index, &column) in columns.iter().enumerate() {
            band.matcher
                .best(index, [row, column], GROUP, &mut band.matches);
            // The Haar transform wants a power of two: the farthest are left out.
            let n = 1 << band.matches.len().ilog2();
            let variances = &mut band.variances[..n];
            band.settings
                .covariance
                .of_group(&band.matches[..n], variances);
            let weight = match band.guide {
                None => threshold(band, n),
                Some(guide) => wiener(band, guide, n),
            };
            for k in 0..n {
                let block = band.group[k];
                band.add(band.matches[k].at, &block, weight);
            }
        }
    }
}

#[inline(always)]
fn gather(image: &Plane, matches: &[Match], dct: &Dct, group: &mut [Block]) {
    for (block, found) in group.iter_mut().zip(matches) {
        let [x, y] = found.at;
        for r in 0..EDGE {
            block[r * EDGE..(r + 1) * EDGE].copy_from_slice(&image.row(x + r)[y..y + EDGE]);
        }
        dct.forward(block);
    }
    haar(group);
}

#[inline(always)]
fn scatter(dct: &Dct, group: &mut [Block]) {
    haar_inverse(group);
    for block in group {
        dct.inverse(block);
    }
}

/// Stage 1 on the first `n` matches; gives the group's weight.
#[inline(always)]
fn threshold(band: &mut Band<'_>, n: usize) -> f32 {
    let dct = &band.settings.dct;
    let group = &mut band.group[..n];
    gather(band.noisy, &band.matches[..n], dct, group);
    let factor = THRESHOLD * THRESHOLD;
    let mut kept = [0f32; AREA];
    for (block, variances) in group.iter_mut().zip(&band.variances) {
        for k in 0..AREA {
            let keep = block[k] * block[k] > factor * variances[k];
            block[k] = if keep { block[k] } else { 0.0 };
            kept[k] += if keep { variances[k] } else { 0.0 };
        }
    }
    scatter(dct, group);
    1.0 / kept.iter().sum::<f32>().max(1.0)
}

/// Stage 2 on the first `n` matches; gives the group's weight.
#[inline(always)]
fn wiener(band: &mut Band<'_>, guide: &Plane, n: usize) -> f32 {
    let dct = &band.settings.dct;
    let (group, pilot) = (&mut band.group[..n], &mut band.pilot[..n]);
    gather(band.noisy, &band.matches[..n], dct, group);
    gather(guide, &band.matches[..n], dct, pilot);
    let mut kept = [0f32; AREA];
    let blocks = group.iter_mut().zip(pilot.iter());
    for ((block, pilot), variances) in blocks.zip(&band.variances) {
        for k in 0..AREA {
            let energy = pilot[k] * pilot[k];
            let factor = energy / (energy + WIENER_SHARE * variances[k]);
            block[k] *= factor;
            kept[k] += factor * factor * variances[k];
        }
    }
    scatter(dct, group);
    // A group that keeps nothing is no better known than one that keeps one coefficient.
    1.0 / kept.iter().sum::<f32>().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_cover_an_axis_of_any_length() {
        assert_eq!(references(8, 3), [0]);
        assert_eq!(references(9, 3), [0, 1]);
        assert_eq!(references(20, 3), [0, 3, 6, 9, 12]);
        assert_eq!(bands(20, 3), 1);
        assert_eq!(bands(290, 3), 12);
    }
}
