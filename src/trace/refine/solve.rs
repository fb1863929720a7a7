//! L-BFGS with a block-diagonal start: each atom's own 4 × 4 normal block is inverted exactly, the coupling of
//! atoms that overlap in projection is learnt from the steps (Nocedal & Wright, Numerical Optimization, ch. 7).

use super::problem::{Block, Imaging, PER_ATOM, Problem};
use crate::monitor::{Monitor, Stopped};
use std::collections::VecDeque;

/// Pairs kept by L-BFGS.
const MEMORY: usize = 10;

/// How occupancies take part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Restraint {
    /// They stay as they are.
    Fixed,
    /// They are free but for `½ Σ (o − 1)² / variance`; an infinite variance frees them.
    Toward1 {
        /// Variance of the occupancies about 1.
        variance: f64,
    },
}

impl Restraint {
    fn stiffness(self) -> f64 {
        match self {
            Self::Fixed => 0.0,
            Self::Toward1 { variance } => 1.0 / variance,
        }
    }
}

/// What a stage of L-BFGS did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StageReport {
    /// Steps taken.
    pub iterations: usize,
    /// Root mean square of all displacements of the last step, Å.
    pub last_rms_step: f64,
}

/// Inverts every block, with a little damping so that a block of no information (an atom that no image sees, or an
/// unseen direction) moves nowhere.
pub(crate) fn invert(blocks: &[Block], restraint: Restraint) -> Vec<Block> {
    blocks
        .iter()
        .map(|block| invert_one(block, restraint))
        .collect()
}

fn invert_one(block: &Block, restraint: Restraint) -> Block {
    let mut damped = *block;
    match restraint {
        Restraint::Fixed => {
            for k in 1..PER_ATOM {
                damped[(0, k)] = 0.0;
                damped[(k, 0)] = 0.0;
            }
            damped[(0, 0)] = 1.0;
        }
        Restraint::Toward1 { .. } => damped[(0, 0)] += restraint.stiffness(),
    }
    let trace = (1..PER_ATOM).map(|k| damped[(k, k)]).sum::<f64>() / 3.0;
    if trace <= 0.0 || damped[(0, 0)] <= 0.0 || !trace.is_finite() {
        return Block::zeros();
    }
    damped[(0, 0)] *= 1.0 + 1e-6;
    for k in 1..PER_ATOM {
        damped[(k, k)] += 1e-3 * trace;
    }
    let mut inverse = damped.try_inverse().unwrap_or_else(Block::zeros);
    if restraint == Restraint::Fixed {
        inverse[(0, 0)] = 0.0;
    }
    inverse
}

/// Misfit plus restraint and prior, and the gradient of all.
pub(crate) fn restrained(
    problem: &mut Problem,
    imaging: &Imaging,
    x: &[f64],
    gradient: &mut [f64],
    restraint: Restraint,
    monitor: &Monitor,
) -> Result<f64, Stopped> {
    let mut value = problem.evaluate(imaging, x, gradient, monitor)?;
    if let Some(repulsion) = problem.repulsion {
        value += repulsion.add(x, gradient);
    }
    let stiffness = restraint.stiffness();
    for (atom, slope) in x
        .chunks_exact(PER_ATOM)
        .zip(gradient.chunks_exact_mut(PER_ATOM))
    {
        if restraint == Restraint::Fixed {
            slope[0] = 0.0;
        } else {
            let excess = atom[0] - 1.0;
            value += 0.5 * stiffness * excess * excess;
            slope[0] += stiffness * excess;
        }
    }
    Ok(value)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn precondition(inverses: &[Block], vector: &mut [f64]) {
    for (block, v) in inverses.iter().zip(vector.chunks_exact_mut(PER_ATOM)) {
        let out = block * nalgebra::Vector4::new(v[0], v[1], v[2], v[3]);
        v.copy_from_slice(out.as_slice());
    }
}

/// Two-loop recursion: `−H g`.
fn direction(
    gradient: &[f64],
    pairs: &VecDeque<(Vec<f64>, Vec<f64>, f64)>,
    inverses: &[Block],
    gamma: f64,
) -> Vec<f64> {
    let mut q = gradient.to_vec();
    let mut alphas = Vec::with_capacity(pairs.len());
    for (s, y, rho) in pairs.iter().rev() {
        let alpha = rho * dot(s, &q);
        q.iter_mut().zip(y).for_each(|(q, y)| *q -= alpha * y);
        alphas.push(alpha);
    }
    precondition(inverses, &mut q);
    q.iter_mut().for_each(|v| *v *= gamma);
    for ((s, y, rho), alpha) in pairs.iter().zip(alphas.iter().rev()) {
        let beta = rho * dot(y, &q);
        q.iter_mut()
            .zip(s)
            .for_each(|(q, s)| *q += (alpha - beta) * s);
    }
    q.iter_mut().for_each(|v| *v = -*v);
    q
}

/// Shortens each atom's part of a step to `longest` Å and 0.3 of occupancy: the model is linear only that far.
fn limit(step: &mut [f64], longest: f64) {
    for atom in step.chunks_exact_mut(PER_ATOM) {
        let length = (atom[1] * atom[1] + atom[2] * atom[2] + atom[3] * atom[3]).sqrt();
        let factor = (longest / length.max(longest)).min(0.3 / atom[0].abs().max(0.3));
        atom.iter_mut().for_each(|v| *v *= factor);
    }
}

/// Minimises over the atoms. Steps end when the root mean square displacement falls below `tolerance` Å.
pub(crate) fn minimize(
    problem: &mut Problem,
    imaging: &Imaging,
    x: &mut Vec<f64>,
    restraint: Restraint,
    iterations: usize,
    tolerance: f64,
    monitor: &Monitor,
) -> Result<StageReport, Stopped> {
    let inverses = invert(&problem.blocks(imaging, x, monitor)?, restraint);
    let longest = 0.6
        * problem.pixel
        * imaging
            .profiles
            .iter()
            .map(|p| p.variance[0].sqrt())
            .fold(0.0, f64::max);
    let mut gradient = vec![0.0; x.len()];
    let mut value = restrained(problem, imaging, x, &mut gradient, restraint, monitor)?;
    let mut pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    // Overlapping atoms see the same misfit: a full block step would overshoot, half is safe to begin with.
    let mut gamma = 0.5;
    let mut report = StageReport {
        iterations: 0,
        last_rms_step: f64::INFINITY,
    };
    let mut trial_gradient = gradient.clone();
    while report.iterations < iterations {
        let mut step = direction(&gradient, &pairs, &inverses, gamma);
        limit(&mut step, longest);
        let slope = dot(&step, &gradient);
        if slope >= 0.0 {
            if pairs.is_empty() {
                break;
            }
            pairs.clear();
            continue;
        }
        let mut length = 1.0;
        let mut accepted = None;
        for _ in 0..8 {
            let trial: Vec<f64> = x.iter().zip(&step).map(|(x, d)| x + length * d).collect();
            let trial_value = restrained(
                problem,
                imaging,
                &trial,
                &mut trial_gradient,
                restraint,
                monitor,
            )?;
            if trial_value <= value + 1e-4 * length * slope {
                accepted = Some((trial, trial_value));
                break;
            }
            // Minimum of the parabola through both values and the slope.
            let curvature = trial_value - value - length * slope;
            length *= (-0.5 * length * slope / curvature).clamp(0.1, 0.5);
        }
        let Some((trial, trial_value)) = accepted else {
            if pairs.is_empty() {
                break;
            }
            pairs.clear();
            continue;
        };
        let s: Vec<f64> = trial.iter().zip(x.iter()).map(|(a, b)| a - b).collect();
        let y: Vec<f64> = trial_gradient
            .iter()
            .zip(&gradient)
            .map(|(a, b)| a - b)
            .collect();
        let curvature = dot(&s, &y);
        if curvature > 0.0 {
            let mut scaled = y.clone();
            precondition(&inverses, &mut scaled);
            gamma = curvature / dot(&y, &scaled).max(f64::MIN_POSITIVE);
            pairs.push_back((s.clone(), y, 1.0 / curvature));
            if pairs.len() > MEMORY {
                pairs.pop_front();
            }
        }
        let squares: f64 = s
            .chunks_exact(PER_ATOM)
            .map(|a| a[1] * a[1] + a[2] * a[2] + a[3] * a[3])
            .sum();
        *x = trial;
        std::mem::swap(&mut gradient, &mut trial_gradient);
        let gain = value - trial_value;
        value = trial_value;
        report.iterations += 1;
        report.last_rms_step = (squares * PER_ATOM as f64 / x.len().max(1) as f64).sqrt();
        // The images are single precision: below this gain, steps are rounding.
        if report.last_rms_step < tolerance || gain < 1e-9 * value.abs() {
            break;
        }
    }
    Ok(report)
}
