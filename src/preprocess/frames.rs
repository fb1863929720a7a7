//! Several quick frames per tilt: registered to one another, freed of linear drift, and summed.
//!
//! 1. Each frame's displacement from the others is where the cross-correlation of their Fourier transforms is
//!    largest: the best whole pixel by FFT, then Newton steps on the correlation's Fourier series, which is what an
//!    ever finer up-sampled transform tends to. The reference of a frame never contains the frame itself, whose own
//!    noise would pull the peak to zero.
//! 2. A line through the displacements over the frame number is the drift velocity v (pixels per frame).
//! 3. The specimen drifts while a frame is scanned: pixel p of frame f, taken at the share τ(p) of its frame, shows
//!    the specimen displaced by `d_f + v (τ(p) − ½)`. Each frame is resampled (cubic convolution, Keys 1981) to the
//!    drift-free grid and the frames are summed, so that counts stay counts.

use super::PrepareError;
use crate::monitor::{Monitor, Stopped};
use crate::numeric::registration::Spectrum;
use ndarray::{Array2, Array3, Array4, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Width of the Gaussian low-pass that keeps pixel noise out of the correlation, pixels (standard deviation).
const LOW_PASS_PX: f64 = 1.0;
/// Share of the displacements' variance a line must explain to be called drift. Three frames that jump at random reach
/// it by chance in one tilt of five, and straightening them wrongly costs a fraction of the jump.
const STEADY_SHARE: f64 = 0.8;
/// Rounds of registration against the improved reference.
const ROUNDS: usize = 4;

/// The image axis the beam runs along fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FastAxis {
    /// Lines run along x.
    X,
    /// Lines run along y.
    #[default]
    Y,
}

/// Parameters of the frame registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct FrameParams {
    /// Image axis the beam runs along fastest
    #[arg(long, value_enum, default_value_t = Self::default().fast_axis)]
    pub fast_axis: FastAxis,
    /// Time between two lines over the time of a line's pixels
    #[arg(long, default_value_t = Self::default().flyback_ratio)]
    pub flyback_ratio: f64,
    /// Largest displacement between two frames, pixels
    #[arg(long, default_value_t = Self::default().max_displacement_px)]
    pub max_displacement_px: f64,
}

impl Default for FrameParams {
    fn default() -> Self {
        Self {
            fast_axis: FastAxis::Y,
            flyback_ratio: 0.0,
            max_displacement_px: 20.0,
        }
    }
}

/// Registered frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Registered {
    /// Sum of the drift-free frames, shape `(tilt, x, y)`.
    pub images: Array3<f32>,
    /// Displacement of each frame (at its middle time) from the mean of its tilt, pixels: `[tilt][frame]`.
    pub displacements_px: Vec<Vec<[f64; 2]>>,
    /// Drift velocity of each tilt, pixels per frame: the slope of the displacements.
    pub drift_px_per_frame: Vec<[f64; 2]>,
    /// Whether the displacements of a tilt follow that line, so that its frames were also straightened. Frames that
    /// jump are only moved as a whole.
    pub is_steady: Vec<bool>,
}

/// Registers and sums the frames of every tilt; `frames` has shape `(tilt, frame, x, y)`.
///
/// # Errors
/// No frames, pixels that are no finite numbers, a parameter out of its range, or a stop.
pub fn register(
    frames: &Array4<f32>,
    params: &FrameParams,
    monitor: &Monitor,
) -> Result<Registered, PrepareError> {
    let (tilts, count, nx, ny) = frames.dim();
    if tilts * count == 0 || nx < 16 || ny < 16 {
        return Err(PrepareError::BadInput {
            subject: "frames".to_owned(),
            expected: "at least one frame of 16 × 16 pixels per tilt".to_owned(),
            found: format!("{tilts} tilts of {count} frames of {nx} × {ny}"),
        });
    }
    if let Some(((tilt, frame, x, y), value)) = frames.indexed_iter().find(|(_, v)| !v.is_finite())
    {
        return Err(PrepareError::BadInput {
            subject: format!("tilt {tilt}, frame {frame}, pixel ({x}, {y})"),
            expected: "a finite number".to_owned(),
            found: value.to_string(),
        });
    }
    for (name, value) in [
        ("flyback_ratio", params.flyback_ratio),
        ("max_displacement_px", params.max_displacement_px),
    ] {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(PrepareError::BadParameter {
                name,
                expected: "a number from 0 up".to_owned(),
                found: value.to_string(),
            });
        }
    }
    monitor.phase("Registering frames");
    let done = std::sync::atomic::AtomicUsize::new(0);
    let tilts_done: Vec<Tilt> = (0..tilts)
        .into_par_iter()
        .map(|tilt| {
            let stack: Vec<ArrayView2<'_, f32>> =
                frames.index_axis(Axis(0), tilt).outer_iter_views();
            let displacements = displacements(&stack, params, monitor)?;
            let drift = slope(&displacements);
            let steady = follow_line(&displacements, drift);
            let straighten = if steady { drift } else { [0.0; 2] };
            let image = sum_without_drift(&stack, &displacements, straighten, params, monitor)?;
            let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            monitor.progress(done, tilts);
            Ok(Tilt {
                image,
                displacements,
                drift,
                steady,
            })
        })
        .collect::<Result<Vec<_>, Stopped>>()?;
    let mut images = Array3::zeros((tilts, nx, ny));
    let mut displacements_px = Vec::with_capacity(tilts);
    let mut drift_px_per_frame = Vec::with_capacity(tilts);
    let mut is_steady = Vec::with_capacity(tilts);
    for (mut slot, tilt) in images.outer_iter_mut().zip(tilts_done) {
        slot.assign(&tilt.image);
        displacements_px.push(tilt.displacements);
        drift_px_per_frame.push(tilt.drift);
        is_steady.push(tilt.steady);
    }
    Ok(Registered {
        images,
        displacements_px,
        drift_px_per_frame,
        is_steady,
    })
}

/// One tilt's share of the outcome.
struct Tilt {
    image: Array2<f32>,
    displacements: Vec<[f64; 2]>,
    drift: [f64; 2],
    steady: bool,
}

trait OuterViews<'a> {
    fn outer_iter_views(self) -> Vec<ArrayView2<'a, f32>>;
}

impl<'a> OuterViews<'a> for ndarray::ArrayView3<'a, f32> {
    fn outer_iter_views(self) -> Vec<ArrayView2<'a, f32>> {
        (0..self.dim().0)
            .map(|frame| self.index_axis_move(Axis(0), frame))
            .collect()
    }
}

/// Least-squares slope of the displacements over the frame number, pixels per frame.
fn slope(displacements: &[[f64; 2]]) -> [f64; 2] {
    let middle = (displacements.len() as f64 - 1.0) / 2.0;
    let norm: f64 = (0..displacements.len())
        .map(|f| (f as f64 - middle).powi(2))
        .sum();
    std::array::from_fn(|axis| {
        let sum: f64 = displacements
            .iter()
            .enumerate()
            .map(|(f, d)| (f as f64 - middle) * d[axis])
            .sum();
        if norm > 0.0 { sum / norm } else { 0.0 }
    })
}

/// Whether the line of slope `drift` explains the displacements.
fn follow_line(displacements: &[[f64; 2]], drift: [f64; 2]) -> bool {
    let middle = (displacements.len() as f64 - 1.0) / 2.0;
    let (mut left, mut all) = (0.0, 0.0);
    for (f, d) in displacements.iter().enumerate() {
        for axis in 0..2 {
            left += (d[axis] - drift[axis] * (f as f64 - middle)).powi(2);
            all += d[axis].powi(2);
        }
    }
    left <= (1.0 - STEADY_SHARE) * all
}

/// Displacement of each frame from the mean of all.
fn displacements(
    stack: &[ArrayView2<'_, f32>],
    params: &FrameParams,
    monitor: &Monitor,
) -> Result<Vec<[f64; 2]>, Stopped> {
    let mut found = vec![[0.0; 2]; stack.len()];
    if stack.len() < 2 {
        return Ok(found);
    }
    let spectra: Vec<Spectrum> = stack
        .iter()
        .map(|frame| Spectrum::of(*frame, LOW_PASS_PX))
        .collect();
    for round in 0..ROUNDS {
        let mut next = found.clone();
        for (f, slot) in next.iter_mut().enumerate() {
            monitor.check()?;
            // First round: against the first frame, whose place is known (zero), so that large shifts do not blur
            // the reference.
            let reference = if round == 0 {
                spectra[0].moved([0.0; 2])
            } else {
                Spectrum::mean_without(&spectra, &found, f)
            };
            if round == 0 && f == 0 {
                continue;
            }
            *slot = spectra[f].displacement_from(
                &reference,
                found[f],
                round == 0,
                params.max_displacement_px,
            );
        }
        let mean: [f64; 2] = std::array::from_fn(|axis| {
            next.iter().map(|d| d[axis]).sum::<f64>() / next.len() as f64
        });
        for d in &mut next {
            *d = [d[0] - mean[0], d[1] - mean[1]];
        }
        let moved = next
            .iter()
            .zip(&found)
            .map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]))
            .fold(0.0, f64::max);
        found = next;
        if moved < 1e-3 {
            break;
        }
    }
    Ok(found)
}

/// Share of its frame's time at which pixel (i, j) is taken, 0 to 1; places between pixels are allowed.
fn scan_time(place: [f64; 2], [nx, ny]: [usize; 2], params: &FrameParams) -> f64 {
    let (slow, fast, lines, length) = match params.fast_axis {
        FastAxis::Y => (place[0], place[1], nx as f64, ny as f64),
        FastAxis::X => (place[1], place[0], ny as f64, nx as f64),
    };
    // Between two pixels of neighboring lines the time of the line varies continuously enough: drift is slow.
    (slow + (fast / length) / (1.0 + params.flyback_ratio)) / lines
}

fn sum_without_drift(
    stack: &[ArrayView2<'_, f32>],
    displacements: &[[f64; 2]],
    drift: [f64; 2],
    params: &FrameParams,
    monitor: &Monitor,
) -> Result<Array2<f32>, Stopped> {
    let (nx, ny) = stack[0].dim();
    let mut sum = Array2::<f32>::zeros((nx, ny));
    for (frame, displacement) in stack.iter().zip(displacements) {
        monitor.check()?;
        for ((i, j), total) in sum.indexed_iter_mut() {
            let target = [i as f64, j as f64];
            let mut place: [f64; 2] = std::array::from_fn(|axis| target[axis] + displacement[axis]);
            // The place depends on the time and the time on the place; drift is a small part of a pixel per line, so
            // three rounds are exact to 1e-6.
            for _ in 0..3 {
                let late = scan_time(place, [nx, ny], params) - 0.5;
                place = std::array::from_fn(|axis| {
                    target[axis] + displacement[axis] + drift[axis] * late
                });
            }
            *total += cubic_at(frame, place) as f32;
        }
    }
    Ok(sum)
}

/// Cubic convolution (Keys, a = −½) at a place between pixels; beyond the border the border pixel goes on.
fn cubic_at(image: &ArrayView2<'_, f32>, place: [f64; 2]) -> f64 {
    let (nx, ny) = image.dim();
    let base = place.map(f64::floor);
    let weights: [[f64; 4]; 2] = std::array::from_fn(|axis| keys(place[axis] - base[axis]));
    let index = |k: usize, axis: usize, n: usize| {
        (base[axis] + k as f64 - 1.0).clamp(0.0, n as f64 - 1.0) as usize
    };
    let mut sum = 0.0;
    for (a, wx) in weights[0].iter().enumerate() {
        let i = index(a, 0, nx);
        let row: f64 = weights[1]
            .iter()
            .enumerate()
            .map(|(b, wy)| wy * f64::from(image[[i, index(b, 1, ny)]]))
            .sum();
        sum += wx * row;
    }
    sum
}

fn keys(t: f64) -> [f64; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        -0.5 * t3 + t2 - 0.5 * t,
        1.5 * t3 - 2.5 * t2 + 1.0,
        -1.5 * t3 + 2.0 * t2 + 0.5 * t,
        0.5 * t3 - 0.5 * t2,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use rand_distr::{Distribution, Poisson};

    /// Atoms of a random patch; the image's value at a place.
    struct Scene(Vec<[f64; 2]>);

    impl Scene {
        fn new() -> Self {
            let mut rng = StdRng::seed_from_u64(1);
            Self(
                (0..150)
                    .map(|_| std::array::from_fn(|_| rng.random_range(20.0..76.0)))
                    .collect(),
            )
        }

        fn at(&self, place: [f64; 2]) -> f64 {
            let peaks = self
                .0
                .iter()
                .map(|p| (-((place[0] - p[0]).powi(2) + (place[1] - p[1]).powi(2)) / 4.5).exp());
            5.0 + 25.0 * peaks.sum::<f64>()
        }
    }

    /// Frames scanned pixel by pixel while the specimen moves.
    fn scan(drifts: &[[f64; 2]], count: usize, noisy: bool) -> (Array4<f32>, Scene) {
        let scene = Scene::new();
        let mut rng = StdRng::seed_from_u64(2);
        let n = 96;
        let frames = Array4::from_shape_fn((drifts.len(), count, n, n), |(t, f, i, j)| {
            let time = f as f64 + (i as f64 + j as f64 / n as f64) / n as f64 - count as f64 / 2.0;
            let mean = scene.at([
                i as f64 - drifts[t][0] * time,
                j as f64 - drifts[t][1] * time,
            ]);
            if noisy {
                Poisson::new(mean).map_or(0.0, |p| p.sample(&mut rng)) as f32
            } else {
                mean as f32
            }
        });
        (frames, scene)
    }

    const DRIFTS: [[f64; 2]; 4] = [[0.0, 0.0], [1.5, -0.4], [-0.7, 1.2], [0.3, 0.2]];

    #[test]
    fn drift_is_measured_to_a_twentieth_of_a_pixel_per_frame() {
        let (frames, _) = scan(&DRIFTS, 3, true);
        let found = register(&frames, &FrameParams::default(), &Monitor::silent()).expect("valid");
        for (measured, planted) in found.drift_px_per_frame.iter().zip(&DRIFTS) {
            for axis in 0..2 {
                let error = measured[axis] - planted[axis];
                assert!(
                    error.abs() <= 0.05,
                    "drift {measured:?} instead of {planted:?}"
                );
            }
        }
    }

    #[test]
    fn the_sum_shows_the_specimen_without_drift_and_keeps_its_counts() {
        let (frames, scene) = scan(&DRIFTS, 3, false);
        let found = register(&frames, &FrameParams::default(), &Monitor::silent()).expect("valid");
        let inner = |image: &dyn Fn(usize, usize) -> f64| -> f64 {
            let (mut squares, mut reference) = (0.0, 0.0);
            for i in 24..72 {
                for j in 24..72 {
                    let truth = 3.0 * scene.at([i as f64, j as f64]);
                    squares += (image(i, j) - truth).powi(2);
                    reference += truth.powi(2);
                }
            }
            (squares / reference).sqrt()
        };
        for t in 0..4 {
            let corrected = inner(&|i, j| f64::from(found.images[[t, i, j]]));
            let plain = inner(&|i, j| (0..3).map(|f| f64::from(frames[[t, f, i, j]])).sum());
            assert!(corrected < 0.02, "tilt {t}: {corrected}");
            assert!(
                t == 0 || corrected < 0.3 * plain,
                "tilt {t}: {corrected} against {plain} uncorrected"
            );
        }
    }

    #[test]
    fn jumps_between_frames_are_undone_too() {
        let scene = Scene::new();
        let jumps = [[3.3, -2.1], [-4.2, 0.4], [0.9, 1.7]];
        let frames = Array4::from_shape_fn((1, 3, 96, 96), |(_, f, i, j)| {
            scene.at([i as f64 - jumps[f][0], j as f64 - jumps[f][1]]) as f32
        });
        let found = register(&frames, &FrameParams::default(), &Monitor::silent()).expect("valid");
        assert_eq!(found.is_steady, [false]);
        for i in 24..72 {
            // Were the frames bent after a drift that is none, the sum would be off by whole counts here.
            let truth = 3.0 * scene.at([i as f64, 48.0]);
            assert!((f64::from(found.images[[0, i, 48]]) - truth).abs() < 0.06 * truth);
        }
        for (found, planted) in found.displacements_px[0].iter().zip(&jumps) {
            let error = (found[0] - planted[0]).hypot(found[1] - planted[1]);
            assert!(error < 0.05, "{found:?} instead of {planted:?}");
        }
    }

    #[test]
    fn one_frame_is_the_image_and_broken_input_is_refused() {
        let (frames, _) = scan(&[[0.0; 2]], 1, true);
        let found = register(&frames, &FrameParams::default(), &Monitor::silent()).expect("valid");
        assert_eq!(
            found.images.index_axis(Axis(0), 0),
            frames.index_axis(Axis(0), 0).index_axis(Axis(0), 0)
        );
        let silent = Monitor::silent();
        assert!(
            register(
                &Array4::zeros((0, 3, 32, 32)),
                &FrameParams::default(),
                &silent
            )
            .is_err()
        );
        let mut broken = frames.clone();
        broken[[0, 0, 4, 4]] = f32::INFINITY;
        assert!(register(&broken, &FrameParams::default(), &silent).is_err());
        let odd = FrameParams {
            flyback_ratio: -1.0,
            ..FrameParams::default()
        };
        assert!(matches!(
            register(&frames, &odd, &silent),
            Err(PrepareError::BadParameter { .. })
        ));
    }
}
