//! Color of the noise: how the noise of neighboring pixels is correlated.
//!
//! Images that were shifted, averaged or blurred on the way carry noise that is weak at high frequencies. A filter
//! that expects white noise leaves its slow part in the picture. The autocorrelation `ρ(d)` (the power spectrum's
//! transform) is measured where the images show vacuum: the mean product of two pixels `d` apart, after a smooth surface
//! has been taken away.

use super::super::vacuum::Surface;
use super::stabilize::NoiseModel;
use ndarray::{Array2, Array3, ArrayView2, Axis};
use rayon::prelude::*;

/// Pixels at which a correlation is looked for.
const REACH_PX: usize = 6;
/// A correlation counts when it exceeds this many of its standard errors …
const ERRORS: f64 = 5.0;
/// … and this: less changes nothing that could be seen.
const SMALLEST: f64 = 0.03;
/// Fewest vacuum pixels of an image that is measured.
const FEWEST_PIXELS: usize = 500;
/// Images measured at most, evenly over the series.
const MOST_IMAGES: usize = 16;

/// Autocorrelation of the noise.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Correlation {
    /// Beyond this many pixels there is none.
    pub reach: usize,
    /// `ρ(dx, dy)` for `dx` in `0..=REACH_PX` and `dy` in `−REACH_PX..=REACH_PX`.
    half: Vec<f64>,
    /// Variance of a vacuum pixel in units of the model's.
    pub variance: f64,
}

const SIDE: usize = 2 * REACH_PX + 1;

impl Correlation {
    /// `ρ(dx, dy)`.
    pub(super) fn at(&self, dx: isize, dy: isize) -> f64 {
        // ρ is even.
        let (dx, dy) = if dx < 0 { (-dx, -dy) } else { (dx, dy) };
        if dx.max(dy.abs()) > self.reach as isize {
            return 0.0;
        }
        self.half[dx as usize * SIDE + (dy + REACH_PX as isize) as usize]
    }
}

/// Measures the noise of a stack of shape `(tilt, x, y)` outside the specimens; `None` when it is white or there is not
/// enough vacuum to tell.
pub(super) fn measure(
    images: &Array3<f32>,
    specimens: &[Array2<bool>],
    noise: &NoiseModel,
) -> Option<Correlation> {
    let usable: Vec<usize> = (0..specimens.len().min(images.dim().0))
        .filter(|&tilt| {
            specimens[tilt].dim() == images.index_axis(Axis(0), tilt).dim()
                && specimens[tilt].iter().filter(|s| !**s).count() >= FEWEST_PIXELS
        })
        .collect();
    let usable: Vec<usize> = usable
        .into_iter()
        .filter(|&tilt| shows_noise(images.index_axis(Axis(0), tilt), &specimens[tilt], noise))
        .collect();
    let every = usable.len().div_ceil(MOST_IMAGES).max(1);
    let chosen: Vec<usize> = usable.into_iter().step_by(every).collect();
    let parts: Vec<Option<Vec<[f64; 2]>>> = chosen
        .par_iter()
        .map(|&tilt| products(images.index_axis(Axis(0), tilt), &specimens[tilt], noise))
        .collect();
    let mut sums = vec![[0.0; 2]; (REACH_PX + 1) * SIDE];
    for part in parts.iter().flatten() {
        for (sum, p) in sums.iter_mut().zip(part) {
            sum[0] += p[0];
            sum[1] += p[1];
        }
    }
    let [squares, pixels] = sums[REACH_PX];
    if squares <= 0.0 {
        return None;
    }
    let variance = squares / pixels;
    let mut half = vec![0.0; sums.len()];
    let mut reach = 0;
    for (at, [sum, pairs]) in sums.iter().enumerate() {
        let value = sum / pairs.max(1.0) / variance;
        if value.abs() > SMALLEST.max(ERRORS / pairs.max(1.0).sqrt()) {
            half[at] = value;
            reach = reach.max(at / SIDE).max((at % SIDE).abs_diff(REACH_PX));
        }
    }
    (reach > 0).then_some(Correlation {
        reach,
        half,
        variance,
    })
}

/// Whether the vacuum's counts vary by an electron or more: the rare ones of an empty vacuum cannot be stabilized, and
/// say nothing of the noise in the specimen.
fn shows_noise(image: ArrayView2<'_, f32>, specimen: &Array2<bool>, noise: &NoiseModel) -> bool {
    let (mut sum, mut pixels) = (0.0, 0.0);
    for (&value, _) in image.iter().zip(specimen).filter(|(_, inside)| !**inside) {
        sum += f64::from(value);
        pixels += 1.0;
    }
    noise.variance(sum / pixels) >= noise.gain * noise.gain
}

/// Per lag: sum of the products and number of pairs.
fn products(
    image: ArrayView2<'_, f32>,
    specimen: &Array2<bool>,
    noise: &NoiseModel,
) -> Option<Vec<[f64; 2]>> {
    let (nx, ny) = image.dim();
    let stabilized = image.mapv(|count| noise.stabilize(f64::from(count)) as f32);
    let vacuum = specimen.mapv(|s| !s);
    let surface = Surface::fit(stabilized.view(), &vacuum, 2)?;
    // Zero outside the vacuum: such pairs add nothing, and the mask counts those that do.
    let mask: Vec<f32> = vacuum.iter().map(|&v| f32::from(u8::from(v))).collect();
    let rest: Vec<f32> = stabilized
        .indexed_iter()
        .zip(&mask)
        .map(|(((x, y), v), m)| (v - surface.at([x, y], [nx, ny]) as f32) * m)
        .collect();
    let mut sums = vec![[0.0; 2]; (REACH_PX + 1) * SIDE];
    for (at, sum) in sums.iter_mut().enumerate() {
        let dx = at / SIDE;
        let dy = (at % SIDE) as isize - REACH_PX as isize;
        let (from, to) = ((-dy).max(0) as usize, ny - dy.max(0) as usize);
        for x in 0..nx.saturating_sub(dx) {
            let own = x * ny + from..x * ny + to;
            let start = ((x + dx) * ny + from).wrapping_add_signed(dy);
            let other = start..start + own.len();
            let row = |values: &[f32]| -> f32 {
                let pairs = values[own.clone()].iter().zip(&values[other.clone()]);
                pairs.map(|(a, b)| a * b).sum()
            };
            sum[0] += f64::from(row(&rest));
            sum[1] += f64::from(row(&mask));
        }
    }
    Some(sums)
}
