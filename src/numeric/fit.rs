//! Small fits: symmetric systems, one-dimensional k-means, isotropic Gaussians.

use nalgebra::{DMatrix, DVector, SMatrix, SVector};

/// Inverse of a symmetric positive definite matrix (row by row) by Cholesky; `None` if it is not definite.
#[must_use]
pub fn invert_definite(matrix: &[f64], n: usize) -> Option<Vec<f64>> {
    let inverse = DMatrix::from_row_slice(n, n, matrix).cholesky()?.inverse();
    Some(inverse.as_slice().to_vec())
}

/// Linear least squares: the `x` that minimises `Σ wᵢ (rowᵢ · x − valueᵢ)²`; `None` where it is not determined.
#[must_use]
pub fn least_squares(rows: &[Vec<f64>], values: &[f64], weights: &[f64]) -> Option<Vec<f64>> {
    let n = rows.first()?.len();
    let mut normal = DMatrix::<f64>::zeros(n, n);
    let mut right = DVector::<f64>::zeros(n);
    for ((row, value), weight) in rows.iter().zip(values).zip(weights) {
        for i in 0..n {
            right[i] += weight * row[i] * value;
            for j in 0..=i {
                normal[(i, j)] += weight * row[i] * row[j];
            }
        }
    }
    normal.fill_upper_triangle_with_lower_triangle();
    Some(normal.cholesky()?.solve(&right).as_slice().to_vec())
}

/// Classes of numbers on a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Classes {
    /// Means, ascending.
    pub centers: Vec<f64>,
    /// Boundaries between neighbouring classes (halfway between their means), one fewer than classes.
    pub boundaries: Vec<f64>,
    /// Members of each class.
    pub counts: Vec<usize>,
    /// Sum of squared distances to the means.
    pub scatter: f64,
}

impl Classes {
    /// Class of a value.
    #[must_use]
    pub fn class_of(&self, value: f64) -> usize {
        self.boundaries.partition_point(|&b| b <= value)
    }
}

/// Cells of the line over which the k-means optimum is searched exactly.
const KMEANS_CELLS: usize = 400;

/// k-means on a line: the global optimum over a fine histogram by dynamic programming, then Lloyd's iterations on
/// the values themselves. No random start: the same values give the same classes. Non-finite values are ignored;
/// `None` if there are fewer distinct values than classes.
#[must_use]
pub fn kmeans_line(values: &[f64], classes: usize) -> Option<Classes> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (&low, &high) = (sorted.first()?, sorted.last()?);
    if classes == 0 || (classes > 1 && high <= low) {
        return None;
    }
    // Lloyd on the sorted values: classes are ranges, so prefix sums give every mean at once.
    let mut sums = vec![0.0; sorted.len() + 1];
    let mut squares = vec![0.0; sorted.len() + 1];
    for (i, v) in sorted.iter().enumerate() {
        sums[i + 1] = sums[i] + v;
        squares[i + 1] = squares[i] + v * v;
    }
    let cells = KMEANS_CELLS.max(classes);
    // cut[c] = how many values lie in the first c cells
    let cut: Vec<usize> = (0..=cells)
        .map(|c| {
            if c == cells {
                sorted.len()
            } else {
                let edge = low + (high - low) * c as f64 / cells as f64;
                sorted.partition_point(|&v| v < edge)
            }
        })
        .collect();
    let scatter = |from: usize, to: usize| {
        let n = (to - from) as f64;
        if n == 0.0 {
            return 0.0;
        }
        let sum = sums[to] - sums[from];
        (squares[to] - squares[from] - sum * sum / n).max(0.0)
    };
    let mut ends = optimal_cuts(&cut, classes, &scatter);
    for _ in 0..100 {
        let mut next = vec![0];
        for k in 1..classes {
            let mean = |a: usize, b: usize| (sums[b] - sums[a]) / (b - a).max(1) as f64;
            let (a, b, c) = (ends[k - 1], ends[k], ends[k + 1]);
            if a == b || b == c {
                return None;
            }
            let boundary = 0.5 * (mean(a, b) + mean(b, c));
            next.push(sorted.partition_point(|&v| v < boundary));
        }
        next.push(sorted.len());
        if next == ends {
            break;
        }
        ends = next;
    }
    let mean =
        |k: usize| (sums[ends[k + 1]] - sums[ends[k]]) / (ends[k + 1] - ends[k]).max(1) as f64;
    let centers: Vec<f64> = (0..classes).map(mean).collect();
    Some(Classes {
        boundaries: centers.windows(2).map(|w| 0.5 * (w[0] + w[1])).collect(),
        counts: ends.windows(2).map(|w| w[1] - w[0]).collect(),
        scatter: ends.windows(2).map(|w| scatter(w[0], w[1])).sum(),
        centers,
    })
}

/// Ends (as numbers of sorted values) of the `classes` ranges of cells with the least scatter.
fn optimal_cuts(
    cut: &[usize],
    classes: usize,
    scatter: &impl Fn(usize, usize) -> f64,
) -> Vec<usize> {
    let cells = cut.len() - 1;
    let mut best: Vec<f64> = (0..=cells).map(|c| scatter(0, cut[c])).collect();
    let mut steps: Vec<Vec<usize>> = Vec::new();
    for _ in 1..classes {
        let mut next = vec![f64::INFINITY; cells + 1];
        let mut step = vec![0; cells + 1];
        for c in 1..=cells {
            for from in 0..c {
                // Every class must hold something.
                if cut[from] == cut[c] || cut[from] == 0 {
                    continue;
                }
                let total = best[from] + scatter(cut[from], cut[c]);
                if total < next[c] {
                    (next[c], step[c]) = (total, from);
                }
            }
        }
        best = next;
        steps.push(step);
    }
    let mut ends = vec![cut[cells]];
    let mut at = cells;
    for step in steps.iter().rev() {
        at = step[at];
        ends.push(cut[at]);
    }
    ends.push(0);
    ends.reverse();
    ends
}

/// An isotropic Gaussian on a constant, `height exp(−|r − center|² / 2 sigma²) + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gaussian {
    /// Peak above the offset.
    pub height: f64,
    /// Center, in the samples' unit.
    pub center: [f64; 3],
    /// Standard deviation, in the samples' unit.
    pub sigma: f64,
    /// Constant below.
    pub offset: f64,
    /// Root mean square (weighted) misfit.
    pub misfit: f64,
}

impl Gaussian {
    /// Value at a point.
    #[must_use]
    pub fn value_at(&self, point: [f64; 3]) -> f64 {
        let r2: f64 = (0..3).map(|a| (point[a] - self.center[a]).powi(2)).sum();
        self.height * (-r2 / (2.0 * self.sigma * self.sigma)).exp() + self.offset
    }
}

/// Weighted least-squares fit of an isotropic Gaussian from a starting one (Levenberg–Marquardt, 6 parameters).
/// `samples` are (point, value, weight). `None` if it does not settle on a positive width.
#[must_use]
pub fn fit_gaussian(samples: &[([f64; 3], f64, f64)], start: Gaussian) -> Option<Gaussian> {
    let cost = |g: &Gaussian| -> f64 {
        samples
            .iter()
            .map(|(p, v, w)| w * (g.value_at(*p) - v).powi(2))
            .sum()
    };
    let total_weight: f64 = samples.iter().map(|s| s.2).sum();
    let mut now = start;
    let mut cost_now = cost(&now);
    let mut damping = 1e-3;
    for _ in 0..60 {
        let mut normal = SMatrix::<f64, 6, 6>::zeros();
        let mut right = SVector::<f64, 6>::zeros();
        let inverse = 1.0 / (now.sigma * now.sigma);
        for (point, value, weight) in samples {
            let d: [f64; 3] = std::array::from_fn(|a| point[a] - now.center[a]);
            let r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
            let bell = (-0.5 * r2 * inverse).exp();
            let slope = now.height * bell * inverse;
            let row = SVector::<f64, 6>::from([
                bell,
                slope * d[0],
                slope * d[1],
                slope * d[2],
                slope * r2 / now.sigma,
                1.0,
            ]);
            normal += row * row.transpose() * *weight;
            right += row * (weight * (value - now.height * bell - now.offset));
        }
        let mut improved = false;
        while damping < 1e9 {
            let mut damped = normal;
            for i in 0..6 {
                damped[(i, i)] *= 1.0 + damping;
            }
            let step = damped.cholesky()?.solve(&right);
            let trial = Gaussian {
                height: now.height + step[0],
                center: std::array::from_fn(|a| now.center[a] + step[a + 1]),
                sigma: now.sigma + step[4],
                offset: now.offset + step[5],
                misfit: 0.0,
            };
            let trial_cost = if trial.sigma > 0.0 {
                cost(&trial)
            } else {
                f64::INFINITY
            };
            if trial_cost <= cost_now {
                let settled = cost_now - trial_cost <= 1e-12 * cost_now;
                (now, cost_now) = (trial, trial_cost);
                damping = (damping * 0.2).max(1e-12);
                improved = !settled;
                break;
            }
            damping *= 8.0;
        }
        if !improved {
            break;
        }
    }
    now.misfit = (cost_now / total_weight).sqrt();
    (now.sigma.is_finite() && now.height.is_finite()).then_some(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definite_matrix_times_its_inverse_is_one() {
        let m = [4.0, 1.0, 0.5, 1.0, 3.0, -0.2, 0.5, -0.2, 2.0];
        let inverse = invert_definite(&m, 3).unwrap();
        for i in 0..3 {
            for j in 0..3 {
                let dot: f64 = (0..3).map(|k| m[i * 3 + k] * inverse[k * 3 + j]).sum();
                assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
        assert!(invert_definite(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
    }

    #[test]
    fn least_squares_recovers_a_line_and_obeys_weights() {
        let rows: Vec<Vec<f64>> = (0..5).map(|i| vec![1.0, f64::from(i)]).collect();
        let mut values: Vec<f64> = (0..5).map(|i| 2.0 - 0.5 * f64::from(i)).collect();
        values[4] = 100.0;
        let x = least_squares(&rows, &values, &[1.0, 1.0, 1.0, 1.0, 0.0]).unwrap();
        assert!((x[0] - 2.0).abs() < 1e-12 && (x[1] + 0.5).abs() < 1e-12);
        assert!(least_squares(&rows, &values, &[1.0, 0.0, 0.0, 0.0, 0.0]).is_none());
    }

    #[test]
    fn kmeans_finds_the_global_optimum_of_unequal_groups() {
        // A Lloyd start at quantiles would split the large group; the optimum does not.
        let mut values: Vec<f64> = (0..1000).map(|i| f64::from(i % 100) * 0.01).collect();
        values.extend((0..5).map(|i| 10.0 + 0.01 * f64::from(i)));
        values.extend([20.0, 20.1, f64::NAN]);
        let classes = kmeans_line(&values, 3).unwrap();
        assert_eq!(classes.counts, vec![1000, 5, 2]);
        assert!((classes.centers[1] - 10.02).abs() < 1e-9);
        assert_eq!([0.3, 9.9, 30.0].map(|v| classes.class_of(v)), [0, 1, 2]);
    }

    #[test]
    fn kmeans_refuses_what_cannot_be_split() {
        assert!(kmeans_line(&[], 2).is_none());
        assert!(kmeans_line(&[1.0; 9], 2).is_none());
        assert!(kmeans_line(&[1.0, 2.0], 3).is_none());
        assert_eq!(kmeans_line(&[1.0, 3.0], 1).unwrap().centers, vec![2.0]);
    }

    #[test]
    fn a_gaussian_is_recovered_from_its_samples() {
        let truth = Gaussian {
            height: 3.0,
            center: [0.2, -0.1, 0.05],
            sigma: 0.9,
            offset: 0.4,
            misfit: 0.0,
        };
        let samples: Vec<_> = (0..343)
            .map(|i| {
                let p = [i / 49, i / 7 % 7, i % 7].map(|k| f64::from(k) * 0.5 - 1.5);
                (p, truth.value_at(p), 1.0)
            })
            .collect();
        let start = Gaussian {
            height: 2.0,
            center: [0.0; 3],
            sigma: 0.6,
            offset: 0.0,
            misfit: 0.0,
        };
        let found = fit_gaussian(&samples, start).unwrap();
        assert!((found.sigma - 0.9).abs() < 1e-6 && (found.height - 3.0).abs() < 1e-6);
        assert!((found.center[0] - 0.2).abs() < 1e-6 && found.misfit < 1e-6);
    }
}
