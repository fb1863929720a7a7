//! Fits everything but the atoms: height and width per species, background and brightness per tilt.
//!
//! Gauss–Newton on the weighted misfit. The few shared parameters meet the two of each tilt only in that tilt, so the
//! tilts' parameters are eliminated first (Schur complement) and the system stays as small as the number of species.

use super::kernel::COMPONENTS;
use super::problem::{Frame, Imaging, Problem, Profile, component_images};
use crate::monitor::{Monitor, Stopped};
use nalgebra::{DMatrix, DVector, Matrix2, Vector2};
use rayon::prelude::*;

/// Smallest and largest standard deviation of an atom's image that is tried, Å.
const SIGMA_RANGE: [f64; 2] = [0.2, 1.1];

/// Normal equations of one frame: shared–shared, shared–own, own–own, right sides.
struct Normal {
    shared: DMatrix<f64>,
    cross: DMatrix<f64>,
    own: Matrix2<f64>,
    shared_side: DVector<f64>,
    own_side: Vector2<f64>,
}

/// Which parameters move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Freedom {
    /// Widths as well as heights.
    pub widths: bool,
    /// Brightness of each tilt.
    pub scale: bool,
}

fn shared_parameters(imaging: &Imaging, freedom: Freedom) -> Vec<(u16, usize, bool)> {
    let components = if imaging.two_components {
        COMPONENTS
    } else {
        1
    };
    let mut list = Vec::new();
    for kind in 0..imaging.profiles.len() as u16 {
        for component in 0..components {
            list.push((kind, component, false));
            if freedom.widths {
                list.push((kind, component, true));
            }
        }
    }
    list
}

fn normal_of(
    frame: &Frame,
    model: &[f32],
    weights: &[f32],
    columns: &[Vec<f32>],
    own: [Option<&[f32]>; 2],
) -> Normal {
    let n = columns.len();
    let mut normal = Normal {
        shared: DMatrix::zeros(n, n),
        cross: DMatrix::zeros(n, 2),
        own: Matrix2::zeros(),
        shared_side: DVector::zeros(n),
        own_side: Vector2::zeros(),
    };
    let product = |a: &[f32], b: &[f32], w: &[f32]| -> f64 {
        let mut lanes = [0.0f32; 8];
        let chunks = a.chunks(8).zip(b.chunks(8)).zip(w.chunks(8));
        for ((a, b), w) in chunks {
            for (lane, ((a, b), w)) in lanes.iter_mut().zip(a.iter().zip(b).zip(w)) {
                *lane += a * b * w;
            }
        }
        lanes.iter().map(|&v| f64::from(v)).sum()
    };
    let mut residual = Vec::new();
    for run in frame.runs() {
        let w = &weights[run.clone()];
        residual.clear();
        residual.extend(
            frame.observed[run.clone()]
                .iter()
                .zip(&model[run.clone()])
                .map(|(n, m)| n - m),
        );
        let own_lines = own.map(|column| column.map(|c| &c[run.clone()]));
        for i in 0..n {
            let a = &columns[i][run.clone()];
            for (j, column) in columns.iter().enumerate().skip(i) {
                normal.shared[(i, j)] += product(a, &column[run.clone()], w);
            }
            for (j, line) in own_lines.iter().enumerate() {
                if let Some(line) = line {
                    normal.cross[(i, j)] += product(a, line, w);
                }
            }
            normal.shared_side[i] += product(a, &residual, w);
        }
        for (i, a) in own_lines.iter().enumerate() {
            let Some(a) = a else { continue };
            for (j, b) in own_lines.iter().enumerate().skip(i) {
                if let Some(b) = b {
                    normal.own[(i, j)] += product(a, b, w);
                }
            }
            normal.own_side[i] += product(a, &residual, w);
        }
    }
    normal.own[(1, 0)] = normal.own[(0, 1)];
    for i in 0..n {
        for j in 0..i {
            normal.shared[(i, j)] = normal.shared[(j, i)];
        }
    }
    for k in 0..2 {
        if normal.own[(k, k)] <= 0.0 {
            normal.own[(k, k)] = 1.0;
        }
    }
    normal
}

/// One damped Gauss–Newton step; returns the misfit before and after. Leaves `imaging` alone when no step helps.
pub(super) fn step(
    problem: &mut Problem,
    imaging: &mut Imaging,
    x: &[f64],
    freedom: Freedom,
    monitor: &Monitor,
) -> Result<[f64; 2], Stopped> {
    let before = problem.misfit(imaging, x, monitor)?;
    let parameters = shared_parameters(imaging, freedom);
    let species = &problem.species;
    let current = &*imaging;
    let normals: Vec<Normal> = problem
        .frames
        .par_iter()
        .zip(&problem.works)
        .enumerate()
        .map(|(i, (frame, work))| {
            monitor.check()?;
            let scale = current.scale[i];
            let mut columns: Vec<Vec<f32>> = Vec::with_capacity(parameters.len());
            for kind in 0..current.profiles.len() as u16 {
                let components = if current.two_components {
                    COMPONENTS
                } else {
                    1
                };
                for c in 0..components {
                    let [image, mut slope] =
                        component_images(frame, species, current, scale, x, kind, c);
                    columns.push(image);
                    if freedom.widths {
                        let weight = current.profiles[usize::from(kind)].weight[c] as f32;
                        slope.iter_mut().for_each(|v| *v *= weight);
                        columns.push(slope);
                    }
                }
            }
            let ones = vec![1.0; frame.observed.len()];
            let atoms: Vec<f32> = work
                .model
                .iter()
                .map(|v| (v - current.background[i] as f32) / scale as f32)
                .collect();
            let own = [
                Some(ones.as_slice()),
                freedom.scale.then_some(atoms.as_slice()),
            ];
            Ok(normal_of(frame, &work.model, &work.weights, &columns, own))
        })
        .collect::<Result<_, Stopped>>()?;
    let mut damping = 1e-6;
    for _ in 0..6 {
        if let Some(trial) = solve(imaging, &parameters, &normals, damping, problem) {
            let after = problem.misfit(&trial, x, monitor)?;
            if after <= before {
                *imaging = trial;
                return Ok([before, after]);
            }
        }
        damping = if damping < 1e-3 { 1e-2 } else { damping * 8.0 };
    }
    problem.misfit(imaging, x, monitor)?;
    Ok([before, before])
}

fn solve(
    imaging: &Imaging,
    parameters: &[(u16, usize, bool)],
    normals: &[Normal],
    damping: f64,
    problem: &Problem,
) -> Option<Imaging> {
    let n = parameters.len();
    let mut matrix = DMatrix::<f64>::zeros(n, n);
    let mut side = DVector::<f64>::zeros(n);
    let mut inverses = Vec::with_capacity(normals.len());
    for normal in normals {
        let mut own = normal.own;
        // Brightness of all tilts and the heights are one freedom too many: damping decides, the mean is set to 1 below.
        own[(0, 0)] *= 1.0 + damping;
        own[(1, 1)] *= 1.0 + damping.max(1e-4);
        let inverse = own.try_inverse()?;
        matrix += &normal.shared - &normal.cross * inverse * normal.cross.transpose();
        side += &normal.shared_side - &normal.cross * (inverse * normal.own_side);
        inverses.push(inverse);
    }
    for k in 0..n {
        let total: f64 = normals.iter().map(|normal| normal.shared[(k, k)]).sum();
        matrix[(k, k)] += damping * total + f64::MIN_POSITIVE;
    }
    let change = matrix.cholesky()?.solve(&side);
    let mut trial = imaging.clone();
    for (&(kind, component, width), &delta) in parameters.iter().zip(change.iter()) {
        let profile = &mut trial.profiles[usize::from(kind)];
        if width {
            let old = profile.variance[component];
            profile.variance[component] = (old + delta).clamp(0.6 * old, 1.7 * old);
        } else {
            profile.weight[component] += delta;
        }
    }
    for (i, (normal, inverse)) in normals.iter().zip(&inverses).enumerate() {
        let own = inverse * (normal.own_side - normal.cross.transpose() * &change);
        trial.background[i] += own[0];
        trial.scale[i] = (trial.scale[i] + own[1]).clamp(0.2, 5.0);
    }
    let mean = trial.scale.iter().sum::<f64>() / trial.scale.len() as f64;
    trial.scale.iter_mut().for_each(|s| *s /= mean);
    let smallest = (SIGMA_RANGE[0] / problem.pixel).max(0.35).powi(2);
    // Wider than this and the patch cuts it off; narrower, and it is the first component again.
    let largest = (problem.max_radius as f64 / 2.2).powi(2);
    for profile in &mut trial.profiles {
        profile
            .weight
            .iter_mut()
            .for_each(|w| *w = (*w * mean).max(0.0));
        profile.variance[0] = profile.variance[0].clamp(smallest, largest);
        // A pedestal wider than that is a background that moves with the density, and takes up what missing atoms leave.
        profile.variance[1] =
            profile.variance[1].clamp(1.5 * profile.variance[0], 9.0 * profile.variance[0]);
    }
    set_radius(&mut trial, problem.max_radius);
    Some(trial)
}

/// Patches reach to four standard deviations of the first component and, the second being a low pedestal, to 2.6 of it.
pub(super) fn set_radius(imaging: &mut Imaging, max_radius: usize) {
    let widest = |c: usize| {
        imaging
            .profiles
            .iter()
            .map(|p| p.variance[c].sqrt())
            .fold(0.5, f64::max)
    };
    let radius = |reach: f64| (reach.ceil() as usize).clamp(2, max_radius);
    imaging.radii = [
        radius(4.0 * widest(0)),
        if imaging.two_components {
            radius(2.6 * widest(1))
        } else {
            0
        },
    ];
}

/// Imaging parameters from nothing: background from the darkest tenth of each image, one width for all species, chosen
/// from a grid by the misfit it leaves.
pub(super) fn start(
    problem: &mut Problem,
    species_count: usize,
    x: &[f64],
    scale: bool,
    monitor: &Monitor,
) -> Result<Imaging, Stopped> {
    for (frame, work) in problem.frames.iter().zip(&mut problem.works) {
        for run in frame.runs() {
            work.weights[run].fill(1.0);
        }
    }
    let background: Vec<f64> = problem
        .frames
        .par_iter()
        .map(|frame| {
            let mut values: Vec<f32> = frame
                .runs()
                .flat_map(|run| frame.observed[run].iter().copied())
                .collect();
            let tenth = values.len() / 10;
            let (dark, _, _) = values.select_nth_unstable_by(tenth, f32::total_cmp);
            dark.iter().map(|&v| f64::from(v)).sum::<f64>() / dark.len().max(1) as f64
        })
        .collect();
    let frames = problem.frames.len();
    let mut best: Option<(f64, Imaging)> = None;
    let steps = 6;
    for k in 0..steps {
        let fraction = k as f64 / f64::from(steps - 1);
        let sigma = 0.3 * (SIGMA_RANGE[1] / 0.3f64).powf(fraction);
        let variance = (sigma / problem.pixel).powi(2).max(0.15);
        let profile = Profile {
            weight: [0.0; COMPONENTS],
            variance: [variance, 3.0 * variance],
        };
        let mut imaging = Imaging {
            profiles: vec![profile; species_count],
            background: background.clone(),
            scale: vec![1.0; frames],
            two_components: false,
            radii: [2, 0],
        };
        set_radius(&mut imaging, problem.max_radius);
        let heights = Freedom {
            widths: false,
            scale: false,
        };
        let [_, after] = step(problem, &mut imaging, x, heights, monitor)?;
        if best.as_ref().is_none_or(|(value, _)| after < *value) {
            best = Some((after, imaging));
        }
    }
    let (_, mut imaging) = best.expect("the grid has points");
    let freedom = Freedom {
        widths: true,
        scale,
    };
    for _ in 0..3 {
        step(problem, &mut imaging, x, freedom, monitor)?;
    }
    Ok(imaging)
}

/// Splits each profile into a core and a wide pedestal and refits. Kept when the misfit, in units of the noise, falls by
/// more than the information criterion asks for the two extra parameters per species.
pub(super) fn try_second_component(
    problem: &mut Problem,
    imaging: &mut Imaging,
    x: &[f64],
    scale: bool,
    monitor: &Monitor,
) -> Result<bool, Stopped> {
    let before = problem.misfit(imaging, x, monitor)?;
    let mut trial = imaging.clone();
    trial.two_components = true;
    for profile in &mut trial.profiles {
        profile.weight = [0.85 * profile.weight[0], 0.15 * profile.weight[0]];
        profile.variance = [0.85 * profile.variance[0], 3.5 * profile.variance[0]];
    }
    set_radius(&mut trial, problem.max_radius);
    let freedom = Freedom {
        widths: true,
        scale,
    };
    let mut after = f64::INFINITY;
    for _ in 0..5 {
        after = step(problem, &mut trial, x, freedom, monitor)?[1];
    }
    let penalty = (2 * trial.profiles.len()) as f64 * (problem.pixels() as f64).ln();
    let better = 2.0 * (before - after) > penalty;
    if better {
        *imaging = trial;
    }
    problem.misfit(imaging, x, monitor)?;
    Ok(better)
}
