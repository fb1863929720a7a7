//! Where an image shows the specimen and where it shows nothing: the mask every background estimate starts from.
//!
//! 1. The image is blurred until the specimen stands out of the noise (as little as will do).
//! 2. Otsu's threshold gives a first split. Otsu alone is not enough: where the specimen is thin its rim falls on the
//!    dark side and would be taken for background.
//! 3. So a smooth background is fitted to the dark side, pixels that stand out of it by three standard deviations of
//!    the *noise* leave it, and this is repeated until it settles.
//! 4. Holes are filled, specks dropped, and the specimen dilated by a few pixels for the tails of its atoms.
//!
//! The vacuum found this way is trusted only if it is flat: its structure must not exceed what noise explains.

use ndarray::{Array2, ArrayView2};
use std::collections::VecDeque;

/// Blurs tried in turn, standard deviation in pixels.
const BLURS_PX: [f64; 4] = [2.0, 3.0, 4.0, 6.0];
/// The specimen must stand out of the blurred noise by this many standard deviations.
const WANTED_CONTRAST: f64 = 8.0;
/// Noise-free data still has tails: differences below this part of the contrast count as flat.
const FLAT_SHARE: f64 = 0.02;
/// Specks of specimen below this part of the largest one's area are dropped.
const SPECK_SHARE: f64 = 0.05;
/// Fewer pixels than this cannot carry a background fit.
const FEWEST_PIXELS: usize = 50;

/// A polynomial of order 0, 1 or 2 over an image, in `u = 2 i/(nx − 1) − 1`, `v = 2 j/(ny − 1) − 1`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Surface {
    /// Coefficients of 1; u, v; u², u v, v².
    pub coefficients: Vec<f64>,
}

fn terms(order: usize) -> usize {
    [1, 3, 6][order.min(2)]
}

fn basis([i, j]: [usize; 2], [nx, ny]: [usize; 2]) -> [f64; 6] {
    let u = 2.0 * i as f64 / (nx.max(2) - 1) as f64 - 1.0;
    let v = 2.0 * j as f64 / (ny.max(2) - 1) as f64 - 1.0;
    [1.0, u, v, u * u, u * v, v * v]
}

impl Surface {
    /// Least-squares fit to the pixels where `used` holds; `None` when they do not determine it.
    #[must_use]
    pub fn fit(image: ArrayView2<'_, f32>, used: &Array2<bool>, order: usize) -> Option<Self> {
        Self::fit_every(1, image, used, order)
    }

    /// The same from every `stride`-th pixel along x and y only: as good on a blurred image, and faster.
    fn fit_every(
        stride: usize,
        image: ArrayView2<'_, f32>,
        used: &Array2<bool>,
        order: usize,
    ) -> Option<Self> {
        let n = terms(order);
        let size = [image.dim().0, image.dim().1];
        let mut normal = nalgebra::DMatrix::<f64>::zeros(n, n);
        let mut right = nalgebra::DVector::<f64>::zeros(n);
        for ((i, j), &value) in image.indexed_iter() {
            if i % stride == 0 && j % stride == 0 && used[[i, j]] {
                let b = basis([i, j], size);
                for row in 0..n {
                    right[row] += b[row] * f64::from(value);
                    for column in 0..=row {
                        normal[(row, column)] += b[row] * b[column];
                    }
                }
            }
        }
        for row in 0..n {
            for column in row + 1..n {
                normal[(row, column)] = normal[(column, row)];
            }
        }
        let solved = normal.cholesky()?.solve(&right);
        let coefficients: Vec<f64> = solved.iter().copied().collect();
        coefficients
            .iter()
            .all(|c| c.is_finite())
            .then_some(Self { coefficients })
    }

    /// Value at a pixel of an image of `size`.
    #[must_use]
    pub fn at(&self, pixel: [usize; 2], size: [usize; 2]) -> f64 {
        self.coefficients
            .iter()
            .zip(basis(pixel, size))
            .map(|(c, b)| c * b)
            .sum()
    }

    /// The surface as an image.
    #[must_use]
    pub fn image(&self, [nx, ny]: [usize; 2]) -> Array2<f32> {
        Array2::from_shape_fn((nx, ny), |(i, j)| self.at([i, j], [nx, ny]) as f32)
    }
}

/// What an image shows of specimen and vacuum.
#[derive(Debug, Clone, PartialEq)]
pub struct Vacuum {
    /// Whether a pixel shows the specimen (dilated), shape `(x, y)`.
    pub specimen: Array2<bool>,
    /// Share of the pixels that show vacuum.
    pub fraction: f64,
    /// Share of the image's border that shows the specimen.
    pub border_share: f64,
    /// Mean background over the vacuum, counts per pixel.
    pub level: f64,
    /// Mean of the specimen's pixels above the background, counts per pixel.
    pub contrast: f64,
    /// Standard deviation of a vacuum pixel from noise alone, counts.
    pub noise_sd: f64,
    /// Standard deviation of the blurred vacuum about its fitted surface, counts.
    pub structure_sd: f64,
    /// What `structure_sd` would be from noise alone, counts.
    pub expected_sd: f64,
    /// Standard deviation of the blur it was found at, pixels.
    pub blur_px: f64,
}

impl Vacuum {
    /// Whether there is enough vacuum, and flat enough, to measure a background in.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        // Blurred noise of a finite patch scatters about its expected sd by some ten percent, and a curved background
        // adds structure that is not the specimen's: a factor of 2.5 leaves room for both.
        let tolerated = 2.5 * self.expected_sd.max(FLAT_SHARE * self.contrast);
        self.fraction >= 0.05 && self.structure_sd <= tolerated && self.contrast > 0.0
    }
}

impl Vacuum {
    /// The same measured for another split of the image, such as one made by hand.
    #[must_use]
    pub fn with_specimen(&self, image: ArrayView2<'_, f32>, specimen: Array2<bool>) -> Self {
        let vacuum = specimen.mapv(|s| !s);
        let blurred = gaussian_blur(image, self.blur_px);
        let rough = high_pass(image);
        measure(
            image,
            blurred.view(),
            &rough,
            specimen,
            &vacuum,
            self.blur_px,
        )
    }
}

/// Standard deviation of white noise of standard deviation `noise` after a Gaussian blur.
fn blurred_noise(noise: f64, blur_px: f64) -> f64 {
    noise / (2.0 * std::f64::consts::PI.sqrt() * blur_px)
}

/// Splits an image into specimen and vacuum.
#[must_use]
pub fn find(image: ArrayView2<'_, f32>, dilation_px: usize) -> Vacuum {
    let mut found = find_at(image, BLURS_PX[0], dilation_px);
    for &blur in &BLURS_PX[1..] {
        if found.contrast >= WANTED_CONTRAST * found.expected_sd {
            break;
        }
        found = find_at(image, blur, dilation_px);
    }
    found
}

fn find_at(image: ArrayView2<'_, f32>, blur_px: f64, dilation_px: usize) -> Vacuum {
    let size = [image.dim().0, image.dim().1];
    let blurred = gaussian_blur(image, blur_px);
    let rough = high_pass(image);
    let threshold = otsu(blurred.view());
    let mut dark = blurred.mapv(|v| f64::from(v) < threshold);
    let (low, high) = class_means(blurred.view(), &dark);
    let span = high - low;
    let mut surface = Surface {
        coefficients: vec![low],
    };
    let rounds = 30;
    for round in 0..rounds {
        if dark.iter().filter(|&&d| d).count() < FEWEST_PIXELS {
            break;
        }
        // A constant first, then a plane: a surface fitted to a bad first split runs away.
        let order = match round {
            0..=8 => 0,
            9..=18 => 1,
            _ => 2,
        };
        if let Some(next) = Surface::fit_every(2, blurred.view(), &dark, order) {
            surface = next;
        }
        let sd = blurred_noise(noise_sd(&rough, &dark), blur_px).max(FLAT_SHARE * span);
        let cut = if round < rounds / 2 { 1.5 } else { 3.0 } * sd;
        let next = Array2::from_shape_fn((size[0], size[1]), |(i, j)| {
            f64::from(blurred[[i, j]]) - surface.at([i, j], size) < cut
        });
        if round > 20 && next == dark {
            break;
        }
        dark = next;
    }
    // The more blur was needed, the less is known of the thin rim.
    let dilation_px = dilation_px + (blur_px - BLURS_PX[0]).round() as usize;
    let specimen = dilated(&tidied(&dark.mapv(|d| !d)), dilation_px);
    let vacuum = specimen.mapv(|s| !s);
    measure(image, blurred.view(), &rough, specimen, &vacuum, blur_px)
}

fn measure(
    image: ArrayView2<'_, f32>,
    blurred: ArrayView2<'_, f32>,
    rough: &Array2<f32>,
    specimen: Array2<bool>,
    vacuum: &Array2<bool>,
    blur_px: f64,
) -> Vacuum {
    let size = [image.dim().0, image.dim().1];
    let count = vacuum.iter().filter(|&&v| v).count();
    let fraction = count as f64 / image.len().max(1) as f64;
    let [nx, ny] = size;
    let border: Vec<bool> = specimen
        .indexed_iter()
        .filter(|((i, j), _)| *i == 0 || *j == 0 || i + 1 == nx || j + 1 == ny)
        .map(|(_, &s)| s)
        .collect();
    let border_share = border.iter().filter(|&&s| s).count() as f64 / border.len().max(1) as f64;
    let fitted = (count >= FEWEST_PIXELS)
        .then(|| Surface::fit(image, vacuum, 2))
        .flatten();
    let Some(surface) = fitted else {
        return Vacuum {
            specimen,
            fraction,
            border_share,
            level: 0.0,
            contrast: 0.0,
            noise_sd: 0.0,
            structure_sd: f64::INFINITY,
            expected_sd: 0.0,
            blur_px,
        };
    };
    let (mut level, mut squares, mut above) = (0.0, 0.0, 0.0);
    for ((i, j), &is_vacuum) in vacuum.indexed_iter() {
        let background = surface.at([i, j], size);
        if is_vacuum {
            level += background;
            squares += (f64::from(blurred[[i, j]]) - background).powi(2);
        } else {
            above += f64::from(image[[i, j]]) - background;
        }
    }
    let noise = noise_sd(rough, vacuum);
    Vacuum {
        fraction,
        border_share,
        level: level / count as f64,
        contrast: above / (image.len() - count).max(1) as f64,
        noise_sd: noise,
        structure_sd: (squares / count as f64).sqrt(),
        expected_sd: blurred_noise(noise, blur_px),
        blur_px,
        specimen,
    }
}

/// Gaussian blur, standard deviation in pixels; beyond the border the border pixel goes on.
#[must_use]
pub fn gaussian_blur(image: ArrayView2<'_, f32>, sigma_px: f64) -> Array2<f32> {
    let reach = (4.0 * sigma_px).ceil() as isize;
    let weights: Vec<f64> = (-reach..=reach)
        .map(|d| (-0.5 * (d as f64 / sigma_px).powi(2)).exp())
        .collect();
    let total: f64 = weights.iter().sum();
    let (nx, ny) = image.dim();
    let along = |at: &dyn Fn(usize) -> f32, n: usize, center: usize| -> f32 {
        let mut sum = 0.0;
        for (k, w) in weights.iter().enumerate() {
            let index = (center as isize + k as isize - reach).clamp(0, n as isize - 1) as usize;
            sum += w * f64::from(at(index));
        }
        (sum / total) as f32
    };
    let rows = Array2::from_shape_fn((nx, ny), |(i, j)| along(&|k| image[[i, k]], ny, j));
    Array2::from_shape_fn((nx, ny), |(i, j)| along(&|k| rows[[k, j]], nx, i))
}

/// Noise without the picture: the 3 × 3 filter [1 −2 1]ᵀ[1 −2 1]/6, which keeps the variance of white noise and
/// takes away everything up to a bilinear surface (Immerkær 1996). The border is NaN.
fn high_pass(image: ArrayView2<'_, f32>) -> Array2<f32> {
    let (nx, ny) = image.dim();
    Array2::from_shape_fn((nx, ny), |(i, j)| {
        if i == 0 || j == 0 || i + 1 >= nx || j + 1 >= ny {
            return f32::NAN;
        }
        let row = |i: usize| image[[i, j - 1]] - 2.0 * image[[i, j]] + image[[i, j + 1]];
        (row(i - 1) - 2.0 * row(i) + row(i + 1)) / 6.0
    })
}

fn noise_sd(rough: &Array2<f32>, used: &Array2<bool>) -> f64 {
    let (mut squares, mut n) = (0.0, 0usize);
    for (&value, &is_used) in rough.iter().zip(used) {
        if is_used && value.is_finite() {
            squares += f64::from(value).powi(2);
            n += 1;
        }
    }
    (squares / n.max(1) as f64).sqrt()
}

/// Otsu's threshold over 256 bins: the split with the largest variance between the classes.
#[must_use]
pub fn otsu(image: ArrayView2<'_, f32>) -> f64 {
    const BINS: usize = 256;
    let low = f64::from(image.iter().copied().fold(f32::INFINITY, f32::min));
    let high = f64::from(image.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let width = (high - low) / BINS as f64;
    // Also true when the image holds a NaN only, or one value.
    if !(width > 0.0 && width.is_finite()) {
        return low;
    }
    let mut counts = [0f64; BINS];
    for &value in image {
        let bin = ((f64::from(value) - low) / width) as usize;
        counts[bin.min(BINS - 1)] += 1.0;
    }
    let center = |bin: usize| low + (bin as f64 + 0.5) * width;
    let total: f64 = counts.iter().sum();
    let total_sum: f64 = counts
        .iter()
        .enumerate()
        .map(|(bin, c)| c * center(bin))
        .sum();
    let (mut below, mut below_sum) = (0.0, 0.0);
    let mut best = (f64::NEG_INFINITY, low);
    for (bin, &count) in counts.iter().enumerate().take(BINS - 1) {
        below += count;
        below_sum += count * center(bin);
        let above = total - below;
        if below > 0.0 && above > 0.0 {
            let between =
                below * above * ((total_sum - below_sum) / above - below_sum / below).powi(2);
            if between > best.0 {
                best = (between, center(bin) + 0.5 * width);
            }
        }
    }
    best.1
}

fn class_means(image: ArrayView2<'_, f32>, dark: &Array2<bool>) -> (f64, f64) {
    let mut sums = [[0.0f64; 2]; 2];
    for (&value, &is_dark) in image.iter().zip(dark) {
        let class = &mut sums[usize::from(!is_dark)];
        class[0] += f64::from(value);
        class[1] += 1.0;
    }
    let [low, high] = sums.map(|[sum, n]| sum / n.max(1.0));
    (low, high)
}

/// Holes filled, specks removed.
fn tidied(specimen: &Array2<bool>) -> Array2<bool> {
    let mut filled = specimen.clone();
    let (outside, areas) = labels(&specimen.mapv(|s| !s));
    let (nx, ny) = specimen.dim();
    let mut open = vec![false; areas.len()];
    for ((i, j), &label) in outside.indexed_iter() {
        if label > 0 && (i == 0 || j == 0 || i + 1 == nx || j + 1 == ny) {
            open[label - 1] = true;
        }
    }
    for (cell, &label) in filled.iter_mut().zip(&outside) {
        *cell |= label > 0 && !open[label - 1];
    }
    let (parts, areas) = labels(&filled);
    let largest = areas.iter().copied().max().unwrap_or(0) as f64;
    parts.mapv(|label| label > 0 && areas[label - 1] as f64 >= SPECK_SHARE * largest)
}

/// Four-connected parts numbered from 1 (0 where `cells` is false), and their areas.
fn labels(cells: &Array2<bool>) -> (Array2<usize>, Vec<usize>) {
    let (nx, ny) = cells.dim();
    let mut label = Array2::<usize>::zeros((nx, ny));
    let mut areas = Vec::new();
    let mut queue = VecDeque::new();
    for i in 0..nx {
        for j in 0..ny {
            if !cells[[i, j]] || label[[i, j]] > 0 {
                continue;
            }
            let name = areas.len() + 1;
            let mut area = 0;
            label[[i, j]] = name;
            queue.push_back((i, j));
            while let Some((a, b)) = queue.pop_front() {
                area += 1;
                let near = [
                    (a.wrapping_sub(1), b),
                    (a + 1, b),
                    (a, b.wrapping_sub(1)),
                    (a, b + 1),
                ];
                for (c, d) in near {
                    if c < nx && d < ny && cells[[c, d]] && label[[c, d]] == 0 {
                        label[[c, d]] = name;
                        queue.push_back((c, d));
                    }
                }
            }
            areas.push(area);
        }
    }
    (label, areas)
}

/// Grown by a disk of the given radius.
fn dilated(cells: &Array2<bool>, radius_px: usize) -> Array2<bool> {
    let (nx, ny) = cells.dim();
    let r = radius_px as isize;
    let mut grown = cells.clone();
    for ((i, j), &cell) in cells.indexed_iter() {
        // Only the rim can add anything, and only it has a free neighbor.
        let inner = i > 0
            && j > 0
            && i + 1 < nx
            && j + 1 < ny
            && cells[[i - 1, j]]
            && cells[[i + 1, j]]
            && cells[[i, j - 1]]
            && cells[[i, j + 1]];
        if !cell || inner {
            continue;
        }
        for di in -r..=r {
            for dj in -r..=r {
                let (a, b) = (i as isize + di, j as isize + dj);
                let inside = a >= 0 && b >= 0 && (a as usize) < nx && (b as usize) < ny;
                if inside && di * di + dj * dj <= r * r {
                    grown[[a as usize, b as usize]] = true;
                }
            }
        }
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use rand_distr::{Distribution, StandardNormal};

    /// A disk whose thickness falls to nothing at the rim, on a sloping background, with noise.
    fn ball(noise: f64) -> (Array2<f32>, f64) {
        let mut rng = StdRng::seed_from_u64(1);
        let radius: f64 = 24.0;
        let image = Array2::from_shape_fn((90, 80), |(i, j)| {
            let d2 = (i as f64 - 40.0).powi(2) + (j as f64 - 42.0).powi(2);
            let normal: f64 = StandardNormal.sample(&mut rng);
            let thickness = (radius * radius - d2).max(0.0).sqrt() / radius;
            (10.0 + 0.05 * i as f64 + 20.0 * thickness + noise * normal) as f32
        });
        (image, radius)
    }

    #[test]
    fn a_ball_is_told_from_a_sloping_background_with_and_without_noise() {
        for noise in [0.0, 1.0, 4.0] {
            let (image, radius) = ball(noise);
            let vacuum = find(image.view(), 3);
            assert!(
                vacuum.is_usable(),
                "noise {noise}: {:?}",
                (vacuum.structure_sd, vacuum.expected_sd)
            );
            assert_eq!(vacuum.border_share, 0.0);
            assert!((vacuum.noise_sd - noise).abs() < 0.1 * noise + 1e-3);
            let mut wrong = 0;
            for ((i, j), &specimen) in vacuum.specimen.indexed_iter() {
                let d = (i as f64 - 40.0).hypot(j as f64 - 42.0);
                // The rim: up to 2 px inside may be lost in noise, dilation and blur add up to 10 px outside.
                wrong +=
                    usize::from((d < radius - 2.0 && !specimen) || (d > radius + 10.0 && specimen));
            }
            assert_eq!(wrong, 0, "noise {noise}");
        }
    }

    #[test]
    fn a_film_that_fills_the_image_has_no_usable_vacuum() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut film = Array2::<f32>::zeros((100, 80));
        for _ in 0..900 {
            let (a, b) = (rng.random_range(0.0..100.0), rng.random_range(0.0..80.0));
            for ((i, j), value) in film.indexed_iter_mut() {
                let d2: f64 = (i as f64 - a).powi(2) + (j as f64 - b).powi(2);
                if d2 < 40.0 {
                    *value += (10.0 * (-d2 / 6.0).exp()) as f32;
                }
            }
        }
        assert!(!find(film.view(), 3).is_usable());
        assert!(!find(Array2::from_elem((40, 40), 5.0).view(), 3).is_usable());
    }

    #[test]
    fn otsu_splits_two_levels_between_them() {
        let image = Array2::from_shape_fn((20, 20), |(i, _)| if i < 7 { 1.0 } else { 9.0 });
        let threshold = otsu(image.view());
        assert!((1.0..9.0).contains(&threshold), "{threshold}");
    }

    #[test]
    fn holes_are_filled_and_specks_dropped() {
        let mut cells = Array2::from_shape_fn((30, 30), |(i, j)| {
            (5..20).contains(&i) && (5..20).contains(&j)
        });
        cells[[10, 10]] = false;
        cells[[27, 27]] = true;
        let tidy = tidied(&cells);
        assert!(tidy[[10, 10]] && !tidy[[27, 27]]);
        assert_eq!(tidy.iter().filter(|&&c| c).count(), 225);
    }

    #[test]
    fn a_surface_is_fitted_exactly_where_it_is_one() {
        let truth = Surface {
            coefficients: vec![5.0, 1.0, -2.0, 0.5, 0.25, -0.75],
        };
        let image = truth.image([40, 31]);
        let used = Array2::from_shape_fn((40, 31), |(i, j)| (i + 2 * j) % 3 != 0 && i > 4);
        let fitted = Surface::fit(image.view(), &used, 2).expect("determined");
        for (a, b) in truth.coefficients.iter().zip(&fitted.coefficients) {
            assert!((a - b).abs() < 1e-5);
        }
        assert!(Surface::fit(image.view(), &Array2::from_elem((40, 31), false), 0).is_none());
    }
}
