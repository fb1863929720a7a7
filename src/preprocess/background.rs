//! The background under the specimen: measured in the vacuum around it, carried on below it, and taken away.
//!
//! - Constant, plane or quadratic surface: least squares over the vacuum. The order is the lowest one beyond which the
//!   fit does not improve by more than noise does (F test averaged over the tilts).
//! - Laplace: where no such surface is flat enough, the background inside the specimen's outline is the solution of
//!   `Δb = 0` with the outline's rim as boundary (Zr article, Methods), by successive over-relaxation from the
//!   quadratic surface.
//!
//! Subtracted counts may become negative: they stay, because cutting Poisson noise at zero would put a positive haze
//! into the vacuum. Cost O(pixels) per tilt, Laplace O(pixels · width).

use super::vacuum::{Surface, Vacuum, gaussian_blur};
use crate::monitor::{Monitor, Stopped};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

/// How the background is carried on below the specimen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BackgroundModel {
    /// The simplest one the vacuum allows.
    #[default]
    Auto,
    /// One number per image.
    Constant,
    /// A sloping plane per image.
    Plane,
    /// A second-order surface per image.
    Quadratic,
    /// Laplace's equation inside the specimen's outline.
    Laplace,
}

impl BackgroundModel {
    fn order(self) -> usize {
        match self {
            Self::Constant => 0,
            Self::Plane => 1,
            Self::Auto | Self::Quadratic | Self::Laplace => 2,
        }
    }

    /// Word for notes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "automatic",
            Self::Constant => "constant",
            Self::Plane => "sloping",
            Self::Quadratic => "curved",
            Self::Laplace => "Laplace",
        }
    }
}

/// An F value above this is an improvement no noise explains: over 40 tilts its mean scatters about 1 by 0.2.
const SIGNIFICANT_F: f64 = 3.0;
/// A background below this share of the specimen's counts does not matter.
const NEGLIGIBLE_SHARE: f64 = 0.01;
/// The same where the specimen is wider than the images: what looks like vacuum is then its thin part as well.
const NEGLIGIBLE_SHARE_WIDE: f64 = 0.05;
/// A higher order must change the background by this share of the specimen's counts: tails of the specimen that the
/// mask misses at low dose amount to about one percent.
const WORTHWHILE_CHANGE: f64 = 0.025;
/// Border shares above this mean a specimen wider than the images.
const WIDE_BORDER_SHARE: f64 = 0.25;
/// Standard deviation of the blur that makes rim values from noisy vacuum, pixels.
const RIM_BLUR_PX: f64 = 4.0;

/// Standard deviation of the blur that shows structure under the noise, pixels.
const STRUCTURE_BLUR_PX: f64 = 2.0;

/// What the vacuum of a series says about its background.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    /// Whether there is a background worth subtracting.
    pub needed: bool,
    /// The model it asks for.
    pub model: BackgroundModel,
    /// Why, as a sentence.
    pub note: String,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Decides whether the series has a background and which model describes it.
pub(super) fn decide<'a>(
    image_of: impl Fn(usize) -> ArrayView2<'a, f32>,
    vacuums: &[Vacuum],
    wanted: BackgroundModel,
) -> Verdict {
    let usable: Vec<usize> = (0..vacuums.len())
        .filter(|&i| vacuums[i].is_usable())
        .collect();
    if usable.len() * 10 < vacuums.len() * 8 {
        let note = format!(
            "Background: left as it is; only {} of {} images show vacuum to measure it in",
            usable.len(),
            vacuums.len()
        );
        return Verdict {
            needed: false,
            model: BackgroundModel::Constant,
            note,
        };
    }
    let contrast = median(usable.iter().map(|&i| vacuums[i].contrast).collect());
    let wide = median(vacuums.iter().map(|v| v.border_share).collect()) > WIDE_BORDER_SHARE;
    let model = if wanted == BackgroundModel::Auto {
        // A curved surface measured on one side only runs away on the other.
        let highest = if wide {
            BackgroundModel::Plane
        } else {
            BackgroundModel::Quadratic
        };
        choose_model(&image_of, vacuums, &usable, contrast, highest)
    } else {
        wanted
    };
    let sizes: Vec<f64> = usable
        .iter()
        .filter_map(|&i| {
            let image = image_of(i);
            let size = [image.dim().0, image.dim().1];
            let vacuum = vacuums[i].specimen.mapv(|s| !s);
            let surface = Surface::fit(image, &vacuum, model.order())?.image(size);
            Some(
                (surface.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / surface.len() as f64)
                    .sqrt(),
            )
        })
        .collect();
    let size = median(sizes);
    let level = median(usable.iter().map(|&i| vacuums[i].level).collect());
    let share = size / contrast;
    let needed = share
        > if wide {
            NEGLIGIBLE_SHARE_WIDE
        } else {
            NEGLIGIBLE_SHARE
        };
    let note = if needed {
        format!(
            "Background: {} one of {level:.3} counts per pixel ({:.0} % of the specimen's {contrast:.3}), to be subtracted",
            model.name(),
            100.0 * share,
        )
    } else {
        format!(
            "Background: none to subtract; the vacuum holds {level:.2e} counts per pixel, {:.1} % of the specimen's {contrast:.3}",
            100.0 * share,
        )
    };
    Verdict {
        needed,
        model,
        note,
    }
}

/// The lowest order that the vacuum does not contradict.
fn choose_model<'a>(
    image_of: &impl Fn(usize) -> ArrayView2<'a, f32>,
    vacuums: &[Vacuum],
    usable: &[usize],
    contrast: f64,
    highest: BackgroundModel,
) -> BackgroundModel {
    let mut best = BackgroundModel::Constant;
    for (model, extra) in [
        (BackgroundModel::Plane, 2.0),
        (BackgroundModel::Quadratic, 3.0),
    ] {
        let (mut f_sum, mut change_sum) = (0.0, 0.0);
        if model.order() > highest.order() {
            break;
        }
        for &i in usable {
            let vacuum = vacuums[i].specimen.mapv(|s| !s);
            let image = image_of(i);
            let lower = Surface::fit(image, &vacuum, best.order());
            let upper = Surface::fit(image, &vacuum, model.order());
            if let (Some(lower), Some(upper)) = (lower, upper) {
                let size = [image.dim().0, image.dim().1];
                let (mut rss_lower, mut rss_upper, mut change, mut n) = (0.0, 0.0, 0.0, 0.0);
                for ((x, y), &value) in image.indexed_iter() {
                    if vacuum[[x, y]] {
                        let (a, b) = (lower.at([x, y], size), upper.at([x, y], size));
                        rss_lower += (f64::from(value) - a).powi(2);
                        rss_upper += (f64::from(value) - b).powi(2);
                        change += (a - b).powi(2);
                        n += 1.0;
                    }
                }
                f_sum += ((rss_lower - rss_upper) / extra) / (rss_upper / n).max(1e-300);
                // Each extra coefficient changes the surface by noise alone.
                let by_noise = extra * rss_upper / n;
                change_sum += (f64::max(change - by_noise, 0.0) / n).sqrt();
            }
        }
        let tilts = usable.len() as f64;
        if f_sum / tilts > SIGNIFICANT_F && change_sum / tilts > WORTHWHILE_CHANGE * contrast {
            best = model;
        }
    }
    if best == BackgroundModel::Quadratic {
        // Structure left over the quadratic surface: neither noise nor a smooth polynomial.
        let left = median(
            usable
                .iter()
                .map(|&i| structure_over(image_of(i), &vacuums[i], 2))
                .collect(),
        );
        let noise = median(usable.iter().map(|&i| vacuums[i].noise_sd).collect())
            / (2.0 * std::f64::consts::PI.sqrt() * STRUCTURE_BLUR_PX);
        if left > 2.0 * noise.max(0.02 * contrast) {
            best = BackgroundModel::Laplace;
        }
    }
    best
}

/// Standard deviation of the slightly blurred vacuum about its fitted surface.
fn structure_over(image: ArrayView2<'_, f32>, vacuum: &Vacuum, order: usize) -> f64 {
    let free = vacuum.specimen.mapv(|s| !s);
    let size = [image.dim().0, image.dim().1];
    let Some(surface) = Surface::fit(image, &free, order) else {
        return 0.0;
    };
    let blurred = gaussian_blur(image, STRUCTURE_BLUR_PX);
    let (mut sum, mut n) = (0.0, 0.0);
    for ((i, j), &is_free) in free.indexed_iter() {
        if is_free {
            sum += (f64::from(blurred[[i, j]]) - surface.at([i, j], size)).powi(2);
            n += 1.0;
        }
    }
    (sum / f64::max(n, 1.0)).sqrt()
}

/// The background of one image; `None` when its vacuum cannot carry the model.
pub(super) fn estimate(
    image: ArrayView2<'_, f32>,
    vacuum: &Vacuum,
    model: BackgroundModel,
    monitor: &Monitor,
) -> Result<Option<Array2<f32>>, Stopped> {
    if !vacuum.is_usable() {
        return Ok(None);
    }
    let free = vacuum.specimen.mapv(|s| !s);
    let size = [image.dim().0, image.dim().1];
    let Some(surface) = Surface::fit(image, &free, model.order()) else {
        return Ok(None);
    };
    let smooth = surface.image(size);
    if model != BackgroundModel::Laplace {
        return Ok(Some(smooth));
    }
    let start = local_mean(image, &free, &smooth);
    solve_laplace(start, &vacuum.specimen, monitor).map(Some)
}

/// Vacuum: the local mean of the vacuum about a pixel. Specimen: the smooth surface, as a start.
fn local_mean(
    image: ArrayView2<'_, f32>,
    free: &Array2<bool>,
    smooth: &Array2<f32>,
) -> Array2<f32> {
    let only = Array2::from_shape_fn(image.dim(), |at| {
        if free[at] {
            image[at] - smooth[at]
        } else {
            0.0
        }
    });
    let weight = free.mapv(|f| f32::from(u8::from(f)));
    let sums = gaussian_blur(only.view(), RIM_BLUR_PX);
    let weights = gaussian_blur(weight.view(), RIM_BLUR_PX);
    Array2::from_shape_fn(image.dim(), |at| {
        smooth[at]
            + if free[at] {
                sums[at] / weights[at].max(1e-3)
            } else {
                0.0
            }
    })
}

/// Solves `Δb = 0` where `inside` holds; the other pixels are the boundary. At the image's edge the normal derivative
/// vanishes.
///
/// # Errors
/// A stop.
pub fn solve_laplace(
    mut field: Array2<f32>,
    inside: &Array2<bool>,
    monitor: &Monitor,
) -> Result<Array2<f32>, Stopped> {
    let (nx, ny) = field.dim();
    let cells: Vec<(usize, usize)> = inside
        .indexed_iter()
        .filter(|&(_, &s)| s)
        .map(|(at, _)| at)
        .collect();
    if cells.len() == nx * ny || cells.is_empty() {
        return Ok(field);
    }
    let mut values = field.mapv(f64::from);
    let scale = values
        .iter()
        .fold(0.0f64, |a, &b| a.max(b.abs()))
        .max(1e-30);
    // Optimal relaxation of a square of the region's width (Young 1954).
    let width = (cells.len() as f64).sqrt();
    let omega = 2.0 / (1.0 + (std::f64::consts::PI / width).sin());
    let sweeps = 20 * width.ceil() as usize + 100;
    for sweep in 0..sweeps {
        if sweep % 16 == 0 {
            monitor.check()?;
        }
        let mut largest: f64 = 0.0;
        for &(i, j) in &cells {
            let up = values[[if i > 0 { i - 1 } else { (i + 1).min(nx - 1) }, j]];
            let down = values[[
                if i + 1 < nx {
                    i + 1
                } else {
                    i.saturating_sub(1)
                },
                j,
            ]];
            let left = values[[i, if j > 0 { j - 1 } else { (j + 1).min(ny - 1) }]];
            let right = values[[
                i,
                if j + 1 < ny {
                    j + 1
                } else {
                    j.saturating_sub(1)
                },
            ]];
            let change = omega * (0.25 * (up + down + left + right) - values[[i, j]]);
            values[[i, j]] += change;
            largest = largest.max(change.abs());
        }
        if largest < 1e-7 * scale {
            break;
        }
    }
    field.assign(&values.mapv(|v| v as f32));
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::vacuum::find;
    use rand::{SeedableRng, rngs::StdRng};
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn laplace_continues_a_harmonic_function_into_the_mask() {
        // x² − y² solves Laplace's equation exactly on the five-point stencil.
        let harmonic =
            |i: usize, j: usize| ((i as f32 - 20.0).powi(2) - (j as f32 - 25.0).powi(2)) / 50.0;
        let inside = Array2::from_shape_fn((48, 52), |(i, j)| {
            (i as f64 - 22.0).powi(2) + (j as f64 - 27.0).powi(2) < 256.0
        });
        let start =
            Array2::from_shape_fn(
                (48, 52),
                |(i, j)| if inside[[i, j]] { 0.0 } else { harmonic(i, j) },
            );
        let solved = solve_laplace(start, &inside, &Monitor::silent()).expect("not stopped");
        for ((i, j), &value) in solved.indexed_iter() {
            assert!((value - harmonic(i, j)).abs() < 1e-4, "({i}, {j}): {value}");
        }
    }

    fn scene(background: impl Fn(f64, f64) -> f64, noise: f64) -> Vec<Array2<f32>> {
        let mut rng = StdRng::seed_from_u64(4);
        (0..6)
            .map(|_| {
                Array2::from_shape_fn((96, 90), |(i, j)| {
                    let d2 = (i as f64 - 48.0).powi(2) + (j as f64 - 45.0).powi(2);
                    let normal: f64 = StandardNormal.sample(&mut rng);
                    let ball = 20.0 * (1.0 - d2 / 625.0).max(0.0).sqrt();
                    (ball + background(i as f64 / 96.0, j as f64 / 90.0) + noise * normal) as f32
                })
            })
            .collect()
    }

    #[test]
    fn the_simplest_sufficient_background_is_chosen_and_measured() {
        type Shape = fn(f64, f64) -> f64;
        let cases: [(Shape, Option<BackgroundModel>); 4] = [
            (|_, _| 0.0, None),
            (|_, _| 3.0, Some(BackgroundModel::Constant)),
            (|x, y| 3.0 + 8.0 * x - 4.0 * y, Some(BackgroundModel::Plane)),
            (
                |x, y| 3.0 + 8.0 * x + 12.0 * (y - 0.5).powi(2),
                Some(BackgroundModel::Quadratic),
            ),
        ];
        for (shape, expected) in cases {
            let images = scene(shape, 1.0);
            let vacuums: Vec<Vacuum> = images.iter().map(|image| find(image.view(), 3)).collect();
            let verdict = decide(|i| images[i].view(), &vacuums, BackgroundModel::Auto);
            assert_eq!(
                verdict.needed.then_some(verdict.model),
                expected,
                "{}",
                verdict.note
            );
            if verdict.needed {
                let estimated = estimate(
                    images[0].view(),
                    &vacuums[0],
                    verdict.model,
                    &Monitor::silent(),
                )
                .expect("not stopped")
                .expect("vacuum is usable");
                let worst = estimated
                    .indexed_iter()
                    .map(|((i, j), &b)| {
                        (f64::from(b) - shape(i as f64 / 96.0, j as f64 / 90.0)).abs()
                    })
                    .fold(0.0, f64::max);
                // Noise 1 over some 5000 vacuum pixels: 0.014 for a mean, several times that in an image's corner.
                assert!(worst < 0.3, "{:?} off by {worst}", verdict.model);
            }
        }
    }
}
