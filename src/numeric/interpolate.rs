//! Cubic B-spline interpolation of a volume, separable, with mirror boundaries.
//!
//! The samples `s` become coefficients `c` with `s(k) = Σⱼ c(j) β³(k − j)`, so that the spline passes through every
//! sample (Unser, Aldroubi & Eden, IEEE Trans. Signal Process. 41, 821 (1993)): per axis a causal and an
//! anti-causal recursion with the pole `z₁ = √3 − 2` and the gain 6. Outside the grid both samples and
//! coefficients are mirrored about the first and the last sample (`−1 → 1`, `n → n − 2`).
//!
//! Memory: the coefficients are as large as the volume. An up-sampled volume is never made; callers walk it block by
//! block with [`CubicSpline::sample_planes`]. Every value depends on its own place only, never on the block it is
//! computed in, nor on the number of threads: results are bit-identical.

use ndarray::Array3;
use rayon::prelude::*;

/// The pole of the cubic B-spline's inverse filter, `√3 − 2`.
const POLE: f64 = -0.267_949_192_431_122_7;
/// Beyond this many samples the pole's powers are below the rounding of an `f32`.
const HORIZON: usize = 16;

/// Cubic B-spline coefficients of a volume; coordinates are (fractional) voxel indices `(x, y, z)`.
#[derive(Debug, Clone)]
pub struct CubicSpline {
    coefficients: Array3<f32>,
}

/// The four weights of a cubic B-spline at `fraction` in [0, 1) between samples 0 and 1, for samples −1, 0, 1, 2.
#[must_use]
pub fn cubic_weights(fraction: f64) -> [f64; 4] {
    let t = fraction;
    let s = 1.0 - t;
    [
        s * s * s / 6.0,
        (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0,
        (4.0 - 6.0 * s * s + 3.0 * s * s * s) / 6.0,
        t * t * t / 6.0,
    ]
}

/// Derivatives of [`cubic_weights`] with respect to `fraction`.
#[must_use]
pub fn cubic_slopes(fraction: f64) -> [f64; 4] {
    let t = fraction;
    let s = 1.0 - t;
    [
        -s * s / 2.0,
        (3.0 * t * t - 4.0 * t) / 2.0,
        (4.0 * s - 3.0 * s * s) / 2.0,
        t * t / 2.0,
    ]
}

/// `∫₋∞ˣ β³`, from 0 to 1: the exact integral of a spline over an interval is a difference of these.
#[must_use]
pub fn cubic_integral(x: f64) -> f64 {
    if x <= -2.0 {
        0.0
    } else if x >= 2.0 {
        1.0
    } else if x < -1.0 {
        (x + 2.0).powi(4) / 24.0
    } else if x <= 0.0 {
        0.5 + (16.0 * x - 8.0 * x.powi(3) - 3.0 * x.powi(4)) / 24.0
    } else {
        1.0 - cubic_integral(-x)
    }
}

/// Brings any index onto `0..n` by mirroring about the first and the last sample.
#[must_use]
pub fn mirror(index: isize, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n as isize - 1);
    let folded = index.rem_euclid(period);
    folded.min(period - folded) as usize
}

/// First coefficient of the causal recursion over a mirrored line, as weights of the first samples.
fn causal_start(n: usize) -> Vec<f32> {
    if n <= HORIZON {
        // Exact: the mirrored line repeats with period 2 n − 2.
        let period_power = POLE.powi(2 * n as i32 - 2);
        let mut weights: Vec<f32> = (0..n)
            .map(|k| {
                let back = if k == 0 || k == n - 1 {
                    0.0
                } else {
                    POLE.powi((2 * n - 2 - k) as i32)
                };
                ((POLE.powi(k as i32) + back) / (1.0 - period_power)) as f32
            })
            .collect();
        weights.truncate(n);
        weights
    } else {
        (0..HORIZON).map(|k| POLE.powi(k as i32) as f32).collect()
    }
}

/// The recursions along one line.
fn filter_line(line: &mut [f32], start: &[f32]) {
    let n = line.len();
    let pole = POLE as f32;
    let first: f32 = start.iter().zip(line.iter()).map(|(w, s)| w * s).sum();
    line[0] = first;
    for k in 1..n {
        line[k] += pole * line[k - 1];
    }
    line[n - 1] = END_GAIN * (pole * line[n - 2] + line[n - 1]);
    for k in (0..n - 1).rev() {
        line[k] = pole * (line[k + 1] - line[k]);
    }
    for value in line {
        *value *= 6.0;
    }
}

/// `z₁ / (z₁² − 1)`, the start of the anti-causal recursion at a mirrored end.
const END_GAIN: f32 = (POLE / (POLE * POLE - 1.0)) as f32;

/// The same recursions along the slow axis of `rows` rows of `width` values, all columns at once.
fn filter_rows(data: &mut [f32], width: usize, start: &[f32]) {
    let rows = data.len() / width;
    let pole = POLE as f32;
    let first: Vec<f32> = (0..width)
        .map(|c| {
            start
                .iter()
                .enumerate()
                .map(|(k, w)| w * data[k * width + c])
                .sum()
        })
        .collect();
    data[..width].copy_from_slice(&first);
    for k in 1..rows {
        let (before, from) = data.split_at_mut(k * width);
        let previous = &before[(k - 1) * width..];
        for (value, p) in from[..width].iter_mut().zip(previous) {
            *value += pole * p;
        }
    }
    let (before, last) = data.split_at_mut((rows - 1) * width);
    for (value, p) in last.iter_mut().zip(&before[(rows - 2) * width..]) {
        *value = END_GAIN * (pole * p + *value);
    }
    for k in (0..rows - 1).rev() {
        let (before, after) = data.split_at_mut((k + 1) * width);
        for (value, next) in before[k * width..].iter_mut().zip(&after[..width]) {
            *value = pole * (next - *value);
        }
    }
    for value in data {
        *value *= 6.0;
    }
}

/// The recursions along the slowest axis of planes of `plane` values: plane by plane, each plane over all threads.
fn filter_planes(data: &mut [f32], plane: usize, start: &[f32]) {
    const CHUNK: usize = 16_384;
    let planes = data.len() / plane;
    let pole = POLE as f32;
    let mut first = vec![0.0f32; plane];
    for (k, w) in start.iter().enumerate() {
        let source = &data[k * plane..(k + 1) * plane];
        for (sum, s) in first.iter_mut().zip(source) {
            *sum += w * s;
        }
    }
    data[..plane].copy_from_slice(&first);
    for k in 1..planes {
        let (before, from) = data.split_at_mut(k * plane);
        let previous = &before[(k - 1) * plane..];
        from[..plane]
            .par_chunks_mut(CHUNK)
            .zip(previous.par_chunks(CHUNK))
            .for_each(|(now, past)| {
                for (value, p) in now.iter_mut().zip(past) {
                    *value += pole * p;
                }
            });
    }
    let (before, last) = data.split_at_mut((planes - 1) * plane);
    for (value, p) in last.iter_mut().zip(&before[(planes - 2) * plane..]) {
        *value = 6.0 * END_GAIN * (pole * p + *value);
    }
    for k in (0..planes - 1).rev() {
        let (before, after) = data.split_at_mut((k + 1) * plane);
        // The gain is already in the planes behind, so it goes into the new sample only.
        before[k * plane..]
            .par_chunks_mut(CHUNK)
            .zip(after[..plane].par_chunks(CHUNK))
            .for_each(|(now, next)| {
                for (value, n) in now.iter_mut().zip(next) {
                    *value = pole * (n - 6.0 * *value);
                }
            });
    }
}

impl CubicSpline {
    /// The spline through every sample of `data`, shape `(x, y, z)`.
    ///
    /// # Panics
    /// If an axis is empty: callers check the volume first.
    #[must_use]
    pub fn new(data: &Array3<f32>) -> Self {
        let mut coefficients = data.as_standard_layout().into_owned();
        let (nx, ny, nz) = coefficients.dim();
        assert!(nx > 0 && ny > 0 && nz > 0, "a spline needs samples");
        let values = coefficients
            .as_slice_mut()
            .expect("made in standard layout above");
        let (start_y, start_z) = (causal_start(ny), causal_start(nz));
        values.par_chunks_mut(ny * nz).for_each(|plane| {
            if nz > 1 {
                plane
                    .chunks_mut(nz)
                    .for_each(|line| filter_line(line, &start_z));
            }
            if ny > 1 {
                filter_rows(plane, nz, &start_y);
            }
        });
        if nx > 1 {
            filter_planes(values, ny * nz, &causal_start(nx));
        }
        Self { coefficients }
    }

    /// Samples on x, y, z.
    #[must_use]
    pub fn size(&self) -> [usize; 3] {
        let (x, y, z) = self.coefficients.dim();
        [x, y, z]
    }

    /// The coefficients, shape `(x, y, z)`.
    #[must_use]
    pub fn coefficients(&self) -> &Array3<f32> {
        &self.coefficients
    }

    /// Value at a (fractional) voxel index, mirrored outside the grid.
    #[must_use]
    pub fn value_at(&self, index: [f64; 3]) -> f64 {
        let base = index.map(f64::floor);
        let weights: [[f64; 4]; 3] =
            std::array::from_fn(|axis| cubic_weights(index[axis] - base[axis]));
        self.weighted(base, &weights)
    }

    /// Value and gradient (per voxel) at a (fractional) voxel index.
    #[must_use]
    pub fn value_and_gradient(&self, index: [f64; 3]) -> (f64, [f64; 3]) {
        let base = index.map(f64::floor);
        let weights: [[f64; 4]; 3] =
            std::array::from_fn(|axis| cubic_weights(index[axis] - base[axis]));
        let gradient = std::array::from_fn(|axis| {
            let mut sloped = weights;
            sloped[axis] = cubic_slopes(index[axis] - base[axis]);
            self.weighted(base, &sloped)
        });
        (self.weighted(base, &weights), gradient)
    }

    fn weighted(&self, base: [f64; 3], weights: &[[f64; 4]; 3]) -> f64 {
        let size = self.size();
        let at =
            |axis: usize, tap: usize| mirror(base[axis] as isize + tap as isize - 1, size[axis]);
        let mut sum = 0.0;
        for (i, wx) in weights[0].iter().enumerate() {
            for (j, wy) in weights[1].iter().enumerate() {
                let mut line = 0.0;
                for (k, wz) in weights[2].iter().enumerate() {
                    line += wz * f64::from(self.coefficients[[at(0, i), at(1, j), at(2, k)]]);
                }
                sum += wx * wy * line;
            }
        }
        sum
    }

    /// Copies the coefficients of the cube that begins at `start` (may reach over the rim: mirrored) into `cube`,
    /// `edge³` values, z fastest.
    pub fn gather_cube(&self, start: [isize; 3], edge: usize, cube: &mut [f64]) {
        let size = self.size();
        let inside = (0..3).all(|a| start[a] >= 0 && start[a] as usize + edge <= size[a]);
        let values = self
            .coefficients
            .as_slice()
            .expect("made in standard layout");
        for i in 0..edge {
            let x = mirror(start[0] + i as isize, size[0]);
            for j in 0..edge {
                let y = mirror(start[1] + j as isize, size[1]);
                let row = (x * size[1] + y) * size[2];
                let out = &mut cube[(i * edge + j) * edge..][..edge];
                if inside {
                    let from = row + start[2] as usize;
                    for (value, c) in out.iter_mut().zip(&values[from..from + edge]) {
                        *value = f64::from(*c);
                    }
                } else {
                    for (k, value) in out.iter_mut().enumerate() {
                        *value = f64::from(values[row + mirror(start[2] + k as isize, size[2])]);
                    }
                }
            }
        }
    }

    /// Samples on each axis of the grid up-sampled by `factor`: voxel `i / factor` for `i` in `0..=(n − 1) factor`.
    #[must_use]
    pub fn upsampled_size(&self, factor: usize) -> [usize; 3] {
        self.size().map(|n| (n - 1) * factor + 1)
    }

    /// Walks a block of the up-sampled grid plane by plane along x: calls `visit(x, plane)` for each `x` in
    /// `start[0]..start[0] + size[0]`, where `plane` holds the `(y, z)` values of the block, z fastest.
    /// `start` and `size` count up-sampled samples and must lie inside [`Self::upsampled_size`].
    pub fn sample_planes(
        &self,
        factor: usize,
        start: [usize; 3],
        size: [usize; 3],
        mut visit: impl FnMut(usize, &[f32]),
    ) {
        if size.contains(&0) {
            return;
        }
        let grid = self.size();
        let taps: Vec<[f32; 4]> = (0..factor)
            .map(|phase| cubic_weights(phase as f64 / factor as f64).map(|w| w as f32))
            .collect();
        // Coefficients needed on each axis: from one before the first sample's to two behind the last one's.
        let first: [isize; 3] = std::array::from_fn(|a| (start[a] / factor) as isize - 1);
        let count: [usize; 3] =
            std::array::from_fn(|a| (start[a] + size[a] - 1) / factor - start[a] / factor + 4);
        let values = self
            .coefficients
            .as_slice()
            .expect("made in standard layout");
        let stretched_plane = size[1] * size[2];
        let mut stretched = vec![0.0f32; count[0] * stretched_plane];
        let mut line = vec![0.0f32; count[2]];
        let mut rows = vec![0.0f32; count[1] * size[2]];
        for (i, out) in stretched.chunks_mut(stretched_plane).enumerate() {
            let x = mirror(first[0] + i as isize, grid[0]);
            for (j, row) in rows.chunks_mut(size[2]).enumerate() {
                let y = mirror(first[1] + j as isize, grid[1]);
                let source = &values[(x * grid[1] + y) * grid[2]..][..grid[2]];
                for (k, value) in line.iter_mut().enumerate() {
                    *value = source[mirror(first[2] + k as isize, grid[2])];
                }
                for (k, value) in row.iter_mut().enumerate() {
                    let at = start[2] + k;
                    let base = at / factor - start[2] / factor;
                    let w = &taps[at % factor];
                    let c = &line[base..base + 4];
                    *value = w[0] * c[0] + w[1] * c[1] + w[2] * c[2] + w[3] * c[3];
                }
            }
            blend(
                &rows,
                size[2],
                factor,
                &taps,
                start[1],
                size[1],
                |_, blended, at| {
                    out[at * size[2]..(at + 1) * size[2]].copy_from_slice(blended);
                },
            );
        }
        blend(
            &stretched,
            stretched_plane,
            factor,
            &taps,
            start[0],
            size[0],
            |x, plane, _| visit(x, plane),
        );
    }
}

/// Up-samples along the slow axis of rows of `width` values, handing out one blended row after the other.
fn blend(
    rows: &[f32],
    width: usize,
    factor: usize,
    taps: &[[f32; 4]],
    start: usize,
    size: usize,
    mut give: impl FnMut(usize, &[f32], usize),
) {
    let mut blended = vec![0.0f32; width];
    for i in 0..size {
        let at = start + i;
        let base = (at / factor - start / factor) * width;
        let w = taps[at % factor];
        let (a, rest) = rows[base..base + 4 * width].split_at(width);
        let (b, rest) = rest.split_at(width);
        let (c, d) = rest.split_at(width);
        for ((((value, a), b), c), d) in blended.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *value = w[0] * a + w[1] * b + w[2] * c + w[3] * d;
        }
        give(at, &blended, i);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(size: (usize, usize, usize)) -> Array3<f32> {
        let mut state = 12_345u64;
        Array3::from_shape_fn(size, |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / 16_777_216.0 - 0.5
        })
    }

    #[test]
    fn the_spline_passes_through_every_sample() {
        for size in [(9, 7, 23), (40, 20, 18), (1, 2, 3), (5, 1, 17)] {
            let data = noise(size);
            let spline = CubicSpline::new(&data);
            for ((x, y, z), &value) in data.indexed_iter() {
                let got = spline.value_at([x as f64, y as f64, z as f64]);
                assert!(
                    (got - f64::from(value)).abs() < 2e-6,
                    "{size:?} {x} {y} {z}: {got} {value}"
                );
            }
        }
    }

    #[test]
    fn a_cubic_is_reproduced_away_from_the_rim() {
        let cubic = |x: f64, y: f64, z: f64| {
            0.3 + 0.1 * x - 0.02 * y * y + 0.001 * z * z * z - 0.003 * x * y * z
        };
        // The mirrored rim bends the polynomial; its influence dies as 0.268ⁿ.
        let n = 40;
        let data = Array3::from_shape_fn((n, n, n), |(x, y, z)| {
            cubic(x as f64 - 20.0, y as f64 - 20.0, z as f64 - 20.0) as f32
        });
        let spline = CubicSpline::new(&data);
        for at in [[20.3, 19.7, 20.5], [18.0, 21.1, 22.9]] {
            let want = cubic(at[0] - 20.0, at[1] - 20.0, at[2] - 20.0);
            let (value, gradient) = spline.value_and_gradient(at);
            assert!((value - want).abs() < 1e-4, "{value} {want}");
            let slope = 0.1 - 0.003 * (at[1] - 20.0) * (at[2] - 20.0);
            assert!(
                (gradient[0] - slope).abs() < 1e-4,
                "{} {slope}",
                gradient[0]
            );
        }
    }

    #[test]
    fn planes_hold_the_spline_and_do_not_depend_on_the_block() {
        let spline = CubicSpline::new(&noise((9, 8, 11)));
        let factor = 3;
        let full = spline.upsampled_size(factor);
        let mut whole = Array3::<f32>::zeros(full);
        spline.sample_planes(factor, [0; 3], full, |x, plane| {
            whole
                .index_axis_mut(ndarray::Axis(0), x)
                .as_slice_mut()
                .unwrap()
                .copy_from_slice(plane);
        });
        for ((x, y, z), &value) in whole.indexed_iter() {
            let at = [x, y, z].map(|i| i as f64 / 3.0);
            assert!((spline.value_at(at) - f64::from(value)).abs() < 3e-6);
        }
        let (start, size) = ([4, 5, 7], [11, 9, 20]);
        spline.sample_planes(factor, start, size, |x, plane| {
            for j in 0..size[1] {
                for k in 0..size[2] {
                    assert_eq!(
                        plane[j * size[2] + k],
                        whole[[x, start[1] + j, start[2] + k]]
                    );
                }
            }
        });
    }

    #[test]
    fn the_integral_and_the_slopes_belong_to_the_weights() {
        let h = 1e-5;
        for t in [0.05, 0.4, 0.95] {
            let (low, high, slopes) = (cubic_weights(t - h), cubic_weights(t + h), cubic_slopes(t));
            for k in 0..4 {
                assert!(((high[k] - low[k]) / (2.0 * h) - slopes[k]).abs() < 1e-8);
            }
            // β³(t + 1 − k) is weight k.
            for (k, weight) in cubic_weights(t).iter().enumerate() {
                let x = t + 1.0 - k as f64;
                let density = (cubic_integral(x + h) - cubic_integral(x - h)) / (2.0 * h);
                assert!((density - weight).abs() < 1e-8, "{k} {density} {weight}");
            }
        }
        assert_eq!(cubic_integral(0.0), 0.5);
    }

    #[test]
    fn mirror_folds_about_the_end_samples() {
        assert_eq!(
            [-3, -1, 0, 4, 5, 6].map(|i| mirror(i, 5)),
            [3, 1, 0, 4, 3, 2]
        );
        assert_eq!(mirror(7, 1), 0);
    }
}
