//! Anderson acceleration of a fixed-point iteration `x ← x + f(x)`.
//!
//! The last few points span a plane; the step is taken from the point of it where `f`, were it linear, would be
//! smallest (Anderson 1965; Walker & Ni, SIAM J. Numer. Anal. 49, 1715 (2011)). On a linear problem this is as good
//! as a Krylov solver, and it needs nothing but the steps.

use nalgebra::{DMatrix, DVector};

/// The memory of an accelerated iteration.
#[derive(Debug, Clone, Default)]
pub struct Anderson {
    depth: usize,
    points: Vec<(Vec<f64>, Vec<f64>)>,
}

impl Anderson {
    /// Remembers `depth` earlier points.
    #[must_use]
    pub fn new(depth: usize) -> Self {
        Self {
            depth,
            points: Vec::new(),
        }
    }

    /// Forgets everything: after a change of `f`, or where it proved far from linear.
    pub fn restart(&mut self) {
        self.points.clear();
    }

    /// The next point, after `x` whose plain step is `step`. Components should be scaled alike.
    #[must_use]
    pub fn next(&mut self, x: &[f64], step: &[f64]) -> Vec<f64> {
        let plain: Vec<f64> = x.iter().zip(step).map(|(a, b)| a + b).collect();
        let history = self.points.len();
        let mix = (history > 0).then(|| self.mixture(step)).flatten();
        let next = mix.map_or(plain.clone(), |weights| {
            let mut next = plain;
            for (weight, (old, old_step)) in weights.iter().zip(&self.points) {
                for (at, value) in next.iter_mut().enumerate() {
                    *value -= weight * (x[at] + step[at] - old[at] - old_step[at]);
                }
            }
            next
        });
        self.points.push((x.to_vec(), step.to_vec()));
        if self.points.len() > self.depth {
            self.points.remove(0);
        }
        next
    }

    /// Weights of the differences to the earlier points that make the combined step smallest.
    fn mixture(&self, step: &[f64]) -> Option<Vec<f64>> {
        let n = self.points.len();
        let difference = |k: usize, at: usize| step[at] - self.points[k].1[at];
        let mut normal = DMatrix::<f64>::zeros(n, n);
        let mut right = DVector::<f64>::zeros(n);
        for i in 0..n {
            right[i] = (0..step.len()).map(|at| difference(i, at) * step[at]).sum();
            for j in 0..n {
                normal[(i, j)] = (0..step.len())
                    .map(|at| difference(i, at) * difference(j, at))
                    .sum();
            }
        }
        // Nearly parallel differences must not be played off against one another.
        let ridge = 1e-8 * normal.trace();
        for i in 0..n {
            normal[(i, i)] += ridge;
        }
        let weights = normal.cholesky()?.solve(&right);
        weights
            .iter()
            .all(|w| w.is_finite())
            .then(|| weights.as_slice().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_problem_is_solved_where_the_plain_iteration_crawls() {
        // Plain steps shrink the slowest error by 1 % each.
        let rates = [0.01, 0.05, 0.2, 0.6, 1.0];
        let target = [3.0, -1.0, 0.5, 2.0, -4.0];
        let step = |x: &[f64]| -> Vec<f64> {
            (0..5).map(|k| rates[k] * (target[k] - x[k])).collect()
        };
        let mut anderson = Anderson::new(6);
        let mut x = vec![0.0; 5];
        for _ in 0..12 {
            x = anderson.next(&x, &step(&x));
        }
        for (value, wanted) in x.iter().zip(target) {
            assert!((value - wanted).abs() < 1e-3, "{x:?}");
        }
    }
}
