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
use crate::model::Scan;
use crate::monitor::{Monitor, Stopped};
use crate::numeric::registration::Spectrum;
use ndarray::{Array2, Array3, ArrayView2, ArrayView4, Axis};
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
    /// The rows of the file.
    #[default]
    Rows,
    /// Lines run along x.
    X,
    /// Lines run along y.
    Y,
}

/// Frames that are left out, as `tilt:frame` counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FrameId {
    /// Number of the tilt, from 1.
    pub tilt: usize,
    /// Number of the frame within its tilt, from 1.
    pub frame: usize,
}

impl std::str::FromStr for FrameId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(tilt, frame)| {
            let number = |part: &str| part.trim().parse().ok().filter(|&n: &usize| n > 0);
            Some((number(tilt)?, number(frame)?))
        });
        let (tilt, frame) =
            parts.ok_or_else(|| format!("{text:?}: expected tilt:frame, both from 1"))?;
        Ok(Self { tilt, frame })
    }
}

impl TryFrom<String> for FrameId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<FrameId> for String {
    fn from(id: FrameId) -> Self {
        format!("{}:{}", id.tilt, id.frame)
    }
}

/// Parameters of the frame registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct FrameParams {
    /// Image axis the beam runs along fastest
    #[arg(long, value_enum, default_value_t = Self::default().fast_axis)]
    pub fast_axis: FastAxis,
    /// The beam runs through each line from its far end
    #[arg(long)]
    pub reverse_lines: bool,
    /// Time the beam stays on a pixel, µs [default: the file's]
    #[arg(long)]
    pub dwell_us: Option<f64>,
    /// Time from the end of a line to the next line, µs [default: the file's, else 0]
    #[arg(long)]
    pub flyback_us: Option<f64>,
    /// Largest displacement between two frames, pixels
    #[arg(long, default_value_t = Self::default().max_displacement_px)]
    pub max_displacement_px: f64,
    /// Frames to leave out, as tilt:frame counted from 1
    #[arg(long, value_name = "TILT:FRAME", value_delimiter = ',')]
    pub drop_frames: Vec<FrameId>,
}

impl Default for FrameParams {
    fn default() -> Self {
        Self {
            fast_axis: FastAxis::Rows,
            reverse_lines: false,
            dwell_us: None,
            flyback_us: None,
            max_displacement_px: 20.0,
            drop_frames: Vec::new(),
        }
    }
}

/// Registered frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Registered {
    /// Sum of the drift-free frames, shape `(tilt, x, y)`; that of a tilt with frames left out is scaled to the full
    /// number.
    pub images: Array3<f32>,
    /// Frames that took part, numbers from 0: `[tilt][frame]`.
    pub kept: Vec<Vec<usize>>,
    /// Displacement of each of them (at its middle time) from the mean of its tilt, pixels: `[tilt][frame]`.
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
    frames: ArrayView4<'_, f32>,
    scan: Scan,
    params: &FrameParams,
    monitor: &Monitor,
) -> Result<Registered, PrepareError> {
    let (tilts, count, nx, ny) = frames.dim();
    check(frames, params)?;
    let timing = Timing::of([nx, ny], scan, params);
    monitor.phase("Registering frames");
    let done = std::sync::atomic::AtomicUsize::new(0);
    let tilts_done: Vec<Tilt> = (0..tilts)
        .into_par_iter()
        .map(|tilt| {
            let kept: Vec<usize> = (0..count)
                .filter(|&frame| !params.drops(tilt, frame))
                .collect();
            let of_tilt = frames.index_axis_move(Axis(0), tilt);
            let stack: Vec<ArrayView2<'_, f32>> = kept
                .iter()
                .map(|&frame| of_tilt.index_axis_move(Axis(0), frame))
                .collect();
            let displacements = displacements(&stack, params, monitor)?;
            let drift = slope(&kept, &displacements);
            let steady = follow_line(&kept, &displacements, drift);
            let straighten = if steady { drift } else { [0.0; 2] };
            let mut image = sum_without_drift(&stack, &displacements, straighten, timing, monitor)?;
            if kept.len() < count {
                image *= count as f32 / kept.len() as f32;
            }
            let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            monitor.progress(done, tilts);
            Ok(Tilt {
                image,
                kept,
                displacements,
                drift,
                steady,
            })
        })
        .collect::<Result<Vec<_>, Stopped>>()?;
    let mut images = Array3::zeros((tilts, nx, ny));
    let (mut kept, mut displacements_px) = (Vec::new(), Vec::with_capacity(tilts));
    let mut drift_px_per_frame = Vec::with_capacity(tilts);
    let mut is_steady = Vec::with_capacity(tilts);
    for (mut slot, tilt) in images.outer_iter_mut().zip(tilts_done) {
        slot.assign(&tilt.image);
        kept.push(tilt.kept);
        displacements_px.push(tilt.displacements);
        drift_px_per_frame.push(tilt.drift);
        is_steady.push(tilt.steady);
    }
    Ok(Registered {
        images,
        kept,
        displacements_px,
        drift_px_per_frame,
        is_steady,
    })
}

/// One tilt's share of the outcome.
struct Tilt {
    image: Array2<f32>,
    kept: Vec<usize>,
    displacements: Vec<[f64; 2]>,
    drift: [f64; 2],
    steady: bool,
}

impl FrameParams {
    /// Whether a frame, both numbers from 0, is left out.
    fn drops(&self, tilt: usize, frame: usize) -> bool {
        self.drop_frames
            .iter()
            .any(|id| (id.tilt, id.frame) == (tilt + 1, frame + 1))
    }
}

fn check(frames: ArrayView4<'_, f32>, params: &FrameParams) -> Result<(), PrepareError> {
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
            subject: format!("tilt {}, frame {}, pixel ({x}, {y})", tilt + 1, frame + 1),
            expected: "a finite number".to_owned(),
            found: value.to_string(),
        });
    }
    let least_dwell = params
        .dwell_us
        .filter(|dwell| !(*dwell > 0.0 && dwell.is_finite()));
    for (name, value) in [
        ("dwell_us", least_dwell.map_or(0.0, |_| f64::NAN)),
        ("flyback_us", params.flyback_us.unwrap_or(0.0)),
        ("max_displacement_px", params.max_displacement_px),
    ] {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(PrepareError::BadParameter {
                name,
                expected: "a number from 0 up (a dwell time above 0)".to_owned(),
                found: least_dwell.unwrap_or(value).to_string(),
            });
        }
    }
    for id in &params.drop_frames {
        let left = (0..count).any(|frame| !params.drops(id.tilt - 1, frame));
        if id.tilt > tilts || id.frame > count || !left {
            return Err(PrepareError::BadParameter {
                name: "drop_frames",
                expected: format!(
                    "tilts to {tilts}, frames to {count}, one frame left of each tilt"
                ),
                found: String::from(*id),
            });
        }
    }
    Ok(())
}

/// Least-squares slope of the displacements over the frame number, pixels per frame.
fn slope(kept: &[usize], displacements: &[[f64; 2]]) -> [f64; 2] {
    let times = centered(kept);
    let norm: f64 = times.iter().map(|t| t * t).sum();
    std::array::from_fn(|axis| {
        let sum: f64 = times
            .iter()
            .zip(displacements)
            .map(|(t, d)| t * d[axis])
            .sum();
        if norm > 0.0 { sum / norm } else { 0.0 }
    })
}

/// Frame numbers about their mean.
fn centered(kept: &[usize]) -> Vec<f64> {
    let mean = kept.iter().sum::<usize>() as f64 / kept.len().max(1) as f64;
    kept.iter().map(|&frame| frame as f64 - mean).collect()
}

/// Whether the line of slope `drift` explains the displacements.
fn follow_line(kept: &[usize], displacements: &[[f64; 2]], drift: [f64; 2]) -> bool {
    let (mut left, mut all) = (0.0, 0.0);
    for (t, d) in centered(kept).iter().zip(displacements) {
        for axis in 0..2 {
            left += (d[axis] - drift[axis] * t).powi(2);
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

/// When each pixel of a frame is taken.
#[derive(Debug, Clone, Copy)]
struct Timing {
    lines_along_x: bool,
    reversed: bool,
    /// Time of a line's pixels over the time between two lines.
    line_share: f64,
    size: [f64; 2],
}

impl Timing {
    fn of([nx, ny]: [usize; 2], scan: Scan, params: &FrameParams) -> Self {
        let lines_along_x = match params.fast_axis {
            FastAxis::Rows => scan.along_x,
            FastAxis::X => true,
            FastAxis::Y => false,
        };
        let length = if lines_along_x { nx } else { ny } as f64;
        let dwell = params
            .dwell_us
            .or(scan.dwell_us)
            .filter(|dwell| *dwell > 0.0);
        let flyback = params.flyback_us.or(scan.flyback_us).unwrap_or(0.0);
        let line_share = dwell.map_or(1.0, |dwell| dwell * length / (dwell * length + flyback));
        Self {
            lines_along_x,
            reversed: params.reverse_lines,
            line_share,
            size: [nx as f64, ny as f64],
        }
    }

    /// Share of its frame's time at which pixel (i, j) is taken, 0 to 1; places between pixels are allowed.
    fn at(self, place: [f64; 2]) -> f64 {
        let (slow, fast) = if self.lines_along_x { (1, 0) } else { (0, 1) };
        let along = if self.reversed {
            self.size[fast] - 1.0 - place[fast]
        } else {
            place[fast]
        };
        // Between two pixels of neighboring lines the time of the line varies continuously enough: drift is slow.
        (place[slow] + along / self.size[fast] * self.line_share) / self.size[slow]
    }
}

fn sum_without_drift(
    stack: &[ArrayView2<'_, f32>],
    displacements: &[[f64; 2]],
    drift: [f64; 2],
    timing: Timing,
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
                let late = timing.at(place) - 0.5;
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
    use ndarray::Array4;
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
        let found = register(
            frames.view(),
            Scan::default(),
            &FrameParams::default(),
            &Monitor::silent(),
        )
        .expect("valid");
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
        let found = register(
            frames.view(),
            Scan::default(),
            &FrameParams::default(),
            &Monitor::silent(),
        )
        .expect("valid");
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
        let found = register(
            frames.view(),
            Scan::default(),
            &FrameParams::default(),
            &Monitor::silent(),
        )
        .expect("valid");
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
        let found = register(
            frames.view(),
            Scan::default(),
            &FrameParams::default(),
            &Monitor::silent(),
        )
        .expect("valid");
        assert_eq!(
            found.images.index_axis(Axis(0), 0),
            frames.index_axis(Axis(0), 0).index_axis(Axis(0), 0)
        );
        let silent = Monitor::silent();
        assert!(
            register(
                Array4::zeros((0, 3, 32, 32)).view(),
                Scan::default(),
                &FrameParams::default(),
                &silent
            )
            .is_err()
        );
        let mut broken = frames.clone();
        broken[[0, 0, 4, 4]] = f32::INFINITY;
        assert!(
            register(
                broken.view(),
                Scan::default(),
                &FrameParams::default(),
                &silent
            )
            .is_err()
        );
        let odd = FrameParams {
            flyback_us: Some(-1.0),
            ..FrameParams::default()
        };
        assert!(matches!(
            register(frames.view(), Scan::default(), &odd, &silent),
            Err(PrepareError::BadParameter { .. })
        ));
    }

    #[test]
    fn flyback_and_direction_decide_when_a_pixel_is_taken() {
        let scan = Scan {
            along_x: true,
            dwell_us: Some(2.0),
            flyback_us: Some(200.0),
        };
        let file = Timing::of([100, 50], scan, &FrameParams::default());
        // Line 10 of 50, pixel 25 of 100; a line lasts as long as its flyback.
        assert!((file.at([25.0, 10.0]) - (10.0 + 0.25 * 0.5) / 50.0).abs() < 1e-12);
        let said = FrameParams {
            fast_axis: FastAxis::Y,
            flyback_us: Some(0.0),
            reverse_lines: true,
            ..FrameParams::default()
        };
        let said = Timing::of([100, 50], scan, &said);
        assert!((said.at([25.0, 10.0]) - (25.0 + 39.0 / 50.0) / 100.0).abs() < 1e-12);
    }
}
