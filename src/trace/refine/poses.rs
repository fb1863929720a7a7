//! Shifts and angles of the tilts, refined against the atoms.
//!
//! A model of atoms says how every image changes when its tilt is moved or turned, at full resolution and without the
//! noise that a volume holds. Each round takes one Gauss–Newton step per tilt on the weighted misfit, three turns and two
//! shifts, with slopes by central differences of the drawn images (an error of `ε²/(2σ²)`, a quarter of a percent);
//! atoms and tilts are refined in turn. As for volumes, the object's own place and orientation and the scale of
//! the tilt are held ([`Poses::fix_gauge`], [`Poses::hold_tilt_scale`]). Cost: ten drawings per round.

use super::fit::Fit;
use super::problem::{Frame, Imaging, PER_ATOM, Problem};
use crate::model::{EulerAngles, TiltSeries};
use crate::monitor::{Monitor, Stopped};
use crate::numeric::fit::invert_definite;
use crate::numeric::poses::{COMPONENTS, Poses};
use crate::numeric::shift::move_images;
use rayon::prelude::*;

/// Numbers refined per tilt: a rotation vector about the detector's axes, a shift along its two.
const FREE: usize = 5;
/// Displacement of the central differences, pixels.
const DIFFERENCE_PX: f64 = 0.1;
/// Longest step of a round, pixels: the model is linear about that far.
const LONGEST_PX: f64 = 1.0;

/// Corrections of the tilts, one entry per tilt of the series; zero for tilts left out.
#[derive(Debug, Clone, PartialEq)]
pub struct RefinedPoses {
    /// How far to move each image along x and y, pixels.
    pub shifts_px: Vec<[f64; 2]>,
    /// Change of φ, θ, ψ, degrees.
    pub angle_corrections_deg: Vec<[f64; 3]>,
    /// Standard errors of the shifts, pixels.
    pub shift_errors_px: Vec<[f64; 2]>,
    /// Standard errors of the turns about the detector's axes, degrees.
    pub angle_errors_deg: Vec<[f64; 3]>,
    /// The corrected angles.
    pub angles: Vec<EulerAngles>,
}

impl RefinedPoses {
    /// The series with its images moved and its angles corrected.
    ///
    /// # Errors
    /// A stop.
    pub fn apply(&self, series: &TiltSeries, monitor: &Monitor) -> Result<TiltSeries, Stopped> {
        let mut images = series.images.clone();
        move_images(&mut images, &self.shifts_px, monitor)?;
        Ok(TiltSeries {
            images,
            angles: self.angles.clone(),
            ..series.clone()
        })
    }

    /// What was found, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let rms = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = values.fold((0.0, 0.0), |(s, n), v| (s + v * v, n + 1.0));
            f64::sqrt(sum / f64::max(count, 1.0))
        };
        format!(
            "Geometry: the atoms moved the images by {:.3} px and turned them by {:.3}° (root mean square)",
            rms(&mut self.shifts_px.iter().flatten().copied()),
            rms(&mut self.angle_corrections_deg.iter().flatten().copied()),
        )
    }
}

/// Poses of the frames of a fit, and where its frames were before.
pub(crate) struct TiltPoses {
    poses: Poses,
    origins: Vec<[f64; 2]>,
    errors: Vec<[f64; FREE]>,
}

impl TiltPoses {
    pub(crate) fn new(series: &TiltSeries, problem: &Problem, x: &[f64]) -> Self {
        let squares: f64 = x
            .chunks_exact(PER_ATOM)
            .map(|a| a[1] * a[1] + a[2] * a[2] + a[3] * a[3])
            .sum();
        // Of the two coordinates that an image shows.
        let radius = (squares * PER_ATOM as f64 / x.len().max(1) as f64 * 2.0 / 3.0).sqrt();
        let radius_px = (radius / problem.pixel).max(1.0);
        Self {
            poses: Poses::new(&series.only_included(), radius_px),
            origins: problem.frames.iter().map(|f| f.origin).collect(),
            errors: vec![[f64::INFINITY; FREE]; problem.frames.len()],
        }
    }

    /// One round: a step of every tilt; returns its root mean square, pixels.
    pub(crate) fn step(
        &mut self,
        problem: &mut Problem,
        imaging: &Imaging,
        x: &[f64],
        monitor: &Monitor,
    ) -> Result<f64, Stopped> {
        problem.render(imaging, x, monitor)?;
        let radius_px = self.poses.radius_px;
        let species = &problem.species;
        let pixel = problem.pixel;
        let found: Vec<([f64; FREE], [f64; FREE])> = problem
            .frames
            .par_iter()
            .zip(&problem.works)
            .enumerate()
            .map(|(i, (frame, work))| {
                monitor.check()?;
                let mut drawing = frame.clone();
                let mut slopes: Vec<Vec<f32>> = Vec::with_capacity(FREE);
                for component in 0..FREE {
                    let [up, down] = [DIFFERENCE_PX, -DIFFERENCE_PX].map(|by| {
                        displace(&mut drawing, frame, component, by, radius_px, pixel);
                        drawing.drawn(species, imaging, i, x)
                    });
                    let per_px = 0.5 / DIFFERENCE_PX as f32;
                    slopes.push(
                        up.iter()
                            .zip(&down)
                            .map(|(u, d)| (u - d) * per_px)
                            .collect(),
                    );
                }
                Ok(solve(frame, &work.model, &work.weights, &slopes))
            })
            .collect::<Result<_, Stopped>>()?;
        let mut step = vec![0.0; COMPONENTS * found.len()];
        for (values, (solved, _)) in step.chunks_exact_mut(COMPONENTS).zip(&found) {
            values[..3].copy_from_slice(&solved[..3]);
            // The image is moved back to where the model is.
            values[3] = -solved[3];
            values[4] = -solved[4];
        }
        self.errors = found.into_iter().map(|(_, errors)| errors).collect();
        self.poses.fix_gauge(&mut step);
        self.poses.hold_tilt_scale(&mut step);
        for (value, by) in self.poses.values.iter_mut().zip(&step) {
            *value += by;
        }
        self.place(problem);
        let squares: f64 = step.iter().map(|v| v * v).sum();
        Ok((squares / (FREE * self.errors.len().max(1)) as f64).sqrt())
    }

    /// Brings the frames to where the poses say they are.
    fn place(&self, problem: &mut Problem) {
        let pixel = problem.pixel;
        for (tilt, frame) in problem.frames.iter_mut().enumerate() {
            let rotation = self.poses.rotation(tilt);
            let shift = self.poses.shift_px(tilt);
            frame.axes = [0, 1].map(|row: usize| rotation[row].map(|value| value / pixel));
            frame.origin = [0, 1].map(|a| self.origins[tilt][a] - shift[a]);
        }
    }

    /// The corrections of all tilts of the series.
    pub(crate) fn outcome(
        &self,
        series_tilts: usize,
        problem: &Problem,
        angles: &[EulerAngles],
    ) -> RefinedPoses {
        let mut outcome = RefinedPoses {
            shifts_px: vec![[0.0; 2]; series_tilts],
            angle_corrections_deg: vec![[0.0; 3]; series_tilts],
            shift_errors_px: vec![[f64::INFINITY; 2]; series_tilts],
            angle_errors_deg: vec![[f64::INFINITY; 3]; series_tilts],
            angles: angles.to_vec(),
        };
        for (at, frame) in problem.frames.iter().enumerate() {
            let errors = self.errors[at];
            outcome.shifts_px[frame.tilt] = self.poses.shift_px(at);
            outcome.angle_corrections_deg[frame.tilt] = self.poses.angle_correction_deg(at);
            outcome.angles[frame.tilt] = self.poses.angles(at);
            outcome.shift_errors_px[frame.tilt] = [errors[3], errors[4]];
            outcome.angle_errors_deg[frame.tilt] =
                [0, 1, 2].map(|axis: usize| (errors[axis] / self.poses.radius_px).to_degrees());
        }
        outcome
    }
}

/// Sets `drawing` to `frame` with one component of its pose changed by `by` pixels (a turn: at the object's radius).
fn displace(
    drawing: &mut Frame,
    frame: &Frame,
    component: usize,
    by: f64,
    radius_px: f64,
    pixel: f64,
) {
    drawing.axes = frame.axes;
    drawing.origin = frame.origin;
    if component >= 3 {
        drawing.origin[component - 3] += by;
        return;
    }
    let [a, b] = frame.axes.map(|axis| axis.map(|v| v * pixel));
    let c = crate::model::geometry::cross(a, b);
    let mut turn = [0.0; 3];
    turn[component] = by / radius_px;
    let turned =
        crate::model::geometry::multiply(&crate::model::geometry::rotation_about(turn), &[a, b, c]);
    drawing.axes = [0, 1].map(|row: usize| turned[row].map(|v| v / pixel));
}

/// Weighted least squares of one frame's residual over its slopes: the step and its standard errors.
fn solve(
    frame: &Frame,
    model: &[f32],
    weights: &[f32],
    slopes: &[Vec<f32>],
) -> ([f64; FREE], [f64; FREE]) {
    let mut normal = vec![0.0; FREE * FREE];
    let mut right = [0.0; FREE];
    for run in frame.runs() {
        for at in run {
            let weight = f64::from(weights[at]);
            let residual = f64::from(frame.observed[at] - model[at]);
            let row: [f64; FREE] = std::array::from_fn(|c| f64::from(slopes[c][at]));
            for i in 0..FREE {
                let weighed = weight * row[i];
                right[i] += weighed * residual;
                for j in 0..=i {
                    normal[i * FREE + j] += weighed * row[j];
                }
            }
        }
    }
    for i in 0..FREE {
        normal[i * FREE + i] *= 1.0 + 1e-6;
        for j in 0..i {
            normal[j * FREE + i] = normal[i * FREE + j];
        }
    }
    let mut step = [0.0; FREE];
    let mut errors = [f64::INFINITY; FREE];
    // An image that shows no atom keeps its place.
    if let Some(inverse) = invert_definite(&normal, FREE) {
        for i in 0..FREE {
            step[i] = (0..FREE).map(|j| inverse[i * FREE + j] * right[j]).sum();
            errors[i] = inverse[i * FREE + i].sqrt();
        }
    }
    let longest = step.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
    if longest > LONGEST_PX {
        step.iter_mut().for_each(|v| *v *= LONGEST_PX / longest);
    }
    (step, errors)
}

impl Fit {
    /// One step of the poses, if they are refined; its root mean square, pixels.
    pub(super) fn step_poses(&mut self, monitor: &Monitor) -> Result<f64, Stopped> {
        let Some(poses) = &mut self.poses else {
            return Ok(0.0);
        };
        let moved = poses.step(&mut self.problem, &self.imaging, &self.x, monitor)?;
        self.problem.render(&self.imaging, &self.x, monitor)?;
        Ok(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ball, images};
    use super::super::{RefineParams, refine};
    use super::*;
    use crate::model::Atoms;
    use crate::model::geometry::{multiply, transpose};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// What a geometry is off by, per tilt as in [`Poses::values`] for an object of radius 1 px, without what no data tells:
    /// root mean square of the shifts (px) and of the turns (degrees).
    fn left(truth: &TiltSeries, angles: &[EulerAngles], off_px: &[[f64; 2]]) -> [f64; 2] {
        let poses = Poses::new(truth, 1.0);
        let mut values = Vec::new();
        for tilt in 0..truth.len() {
            let turn = multiply(
                &angles[tilt].detector_from_sample(),
                &transpose(&truth.angles[tilt].detector_from_sample()),
            );
            values.extend([
                (turn[2][1] - turn[1][2]) / 2.0,
                (turn[0][2] - turn[2][0]) / 2.0,
                (turn[1][0] - turn[0][1]) / 2.0,
            ]);
            values.extend([off_px[tilt][0], off_px[tilt][1], 0.0]);
        }
        poses.fix_gauge(&mut values);
        poses.hold_tilt_scale(&mut values);
        let rms = |range: std::ops::Range<usize>| {
            let part: Vec<f64> = values
                .chunks(COMPONENTS)
                .flat_map(|tilt| tilt[range.clone()].to_vec())
                .collect();
            (part.iter().map(|v| v * v).sum::<f64>() / part.len() as f64).sqrt()
        };
        [rms(3..5), rms(0..3).to_degrees()]
    }

    #[test]
    fn planted_shifts_and_turns_are_undone_by_the_atoms() {
        let atoms = ball(8.0, 31);
        let truth = images(&atoms, 64, 24, 400.0, 0.48);
        let mut rng = StdRng::seed_from_u64(32);
        let mut series = truth.clone();
        let moved: Vec<[f64; 2]> = (0..series.len())
            .map(|_| [0, 1].map(|_| rng.random_range(-0.4..0.4)))
            .collect();
        move_images(&mut series.images, &moved, &Monitor::silent()).expect("not stopped");
        for angles in &mut series.angles {
            let [phi, theta, psi] = angles.to_deg().map(|a| a + rng.random_range(-0.4..0.4));
            *angles = EulerAngles::from_deg(phi, theta, psi);
        }
        let start = Atoms::from_positions(
            atoms
                .iter()
                .map(|p| p.map(|v| v + rng.random_range(-0.1..0.1)))
                .collect(),
            "Zr",
        );
        let params = RefineParams {
            refine_geometry: true,
            ..RefineParams::default()
        };
        let refined = refine(&series, &start, &params, &Monitor::silent()).expect("sound input");
        let poses = refined.poses.expect("they were refined");
        let off: Vec<[f64; 2]> = moved
            .iter()
            .zip(&poses.shifts_px)
            .map(|(a, b)| [a[0] + b[0], a[1] + b[1]])
            .collect();
        let before = left(&truth, &series.angles, &moved);
        let after = left(&truth, &poses.angles, &off);
        println!("before {before:?}, after {after:?}");
        assert!(before[0] > 0.15 && before[1] > 0.15, "{before:?}");
        assert!(after[0] < 0.01 && after[1] < 0.03, "{after:?}");
        // Applied, the corrections make the series that of the truth but for what moves and turns the object as a whole.
        let aligned = poses
            .apply(&series, &Monitor::silent())
            .expect("not stopped");
        assert_eq!(aligned.angles, poses.angles);
        let again =
            refine(&aligned, &refined.atoms, &params, &Monitor::silent()).expect("sound input");
        let rest = again.poses.expect("they were refined").shifts_px;
        assert!(rest.iter().flatten().all(|s| s.abs() < 0.03), "{rest:?}");
    }

    #[test]
    fn geometry_stays_when_it_is_not_asked_for() {
        let atoms = ball(5.0, 33);
        let series = images(&atoms, 48, 9, 400.0, 0.48);
        let start = Atoms::from_positions(atoms, "Zr");
        let refined = refine(
            &series,
            &start,
            &RefineParams::default(),
            &Monitor::silent(),
        )
        .expect("sound input");
        assert!(refined.poses.is_none());
    }
}
