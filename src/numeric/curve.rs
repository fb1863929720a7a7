//! Curves through points: a shape-keeping interpolant, and fits with standard errors.
//!
//! - [`Makima`]: the modified Akima cubic, which overshoots less than a spline and is flat where the data are flat.
//! - [`fit_curve`]: weighted Levenberg–Marquardt for a model with its derivatives; standard errors are the square roots of
//!   the diagonal of `(Jᵀ W J)⁻¹ χ²/(n − N)`, that is, the weights count as relative.
//! - [`fit_logistic`], [`fit_exponential`], [`fit_step`]: the three shapes of a profile across an interface.

use nalgebra::{SMatrix, SVector};

/// The modified Akima interpolant of points with ascending abscissae.
#[derive(Debug, Clone, PartialEq)]
pub struct Makima {
    x: Vec<f64>,
    y: Vec<f64>,
    slope: Vec<f64>,
}

impl Makima {
    /// Through the points `(x[i], y[i])`; `None` for fewer than 3 points or abscissae that do not ascend.
    #[must_use]
    pub fn new(x: &[f64], y: &[f64]) -> Option<Self> {
        let n = x.len();
        if n < 3 || y.len() != n || !x.windows(2).all(|w| w[0] < w[1]) {
            return None;
        }
        let mut delta = vec![0.0; n + 3];
        for i in 0..n - 1 {
            delta[i + 2] = (y[i + 1] - y[i]) / (x[i + 1] - x[i]);
        }
        // Two slopes beyond each end, by continuing linearly.
        delta[1] = 2.0 * delta[2] - delta[3];
        delta[0] = 2.0 * delta[1] - delta[2];
        delta[n + 1] = 2.0 * delta[n] - delta[n - 1];
        delta[n + 2] = 2.0 * delta[n + 1] - delta[n];
        let weight = |a: f64, b: f64| (a - b).abs() + 0.5 * (a + b).abs();
        let slope = (0..n)
            .map(|i| {
                let before = weight(delta[i + 3], delta[i + 2]);
                let after = weight(delta[i + 1], delta[i]);
                let total = before + after;
                if total > 0.0 {
                    (before * delta[i + 1] + after * delta[i + 2]) / total
                } else {
                    0.0
                }
            })
            .collect();
        Some(Self {
            x: x.to_vec(),
            y: y.to_vec(),
            slope,
        })
    }

    /// Value at `x`; beyond the ends, the end's value.
    #[must_use]
    pub fn value_at(&self, x: f64) -> f64 {
        let last = self.x.len() - 1;
        if x <= self.x[0] {
            return self.y[0];
        }
        if x >= self.x[last] {
            return self.y[last];
        }
        let i = self.x.partition_point(|&knot| knot <= x) - 1;
        let width = self.x[i + 1] - self.x[i];
        let t = (x - self.x[i]) / width;
        let (a, b) = (self.y[i], self.y[i + 1]);
        let (da, db) = (self.slope[i] * width, self.slope[i + 1] * width);
        let u = 1.0 - t;
        u * u * (a * (1.0 + 2.0 * t) + da * t) + t * t * (b * (3.0 - 2.0 * t) - db * u)
    }

    /// The places where the curve crosses `level`, ascending, each with whether the curve rises there.
    #[must_use]
    pub fn crossings(&self, level: f64) -> Vec<(f64, bool)> {
        const PARTS: usize = 24;
        let mut found = Vec::new();
        for (i, knots) in self.x.windows(2).enumerate() {
            // The curve stays between the least and the greatest of its four control values.
            let third = (knots[1] - knots[0]) / 3.0;
            let (a, b) = (self.y[i], self.y[i + 1]);
            let control = [
                a,
                a + third * self.slope[i],
                b - third * self.slope[i + 1],
                b,
            ];
            let below = control.iter().filter(|v| **v < level).count();
            if below == 0 || below == 4 {
                continue;
            }
            let place = |k: usize| knots[0] + (knots[1] - knots[0]) * k as f64 / PARTS as f64;
            for k in 0..PARTS {
                let (mut a, mut b) = (place(k), place(k + 1));
                let rises = self.value_at(a) < level;
                if rises == (self.value_at(b) < level) {
                    continue;
                }
                for _ in 0..40 {
                    let middle = 0.5 * (a + b);
                    if (self.value_at(middle) < level) == rises {
                        a = middle;
                    } else {
                        b = middle;
                    }
                }
                found.push((0.5 * (a + b), rises));
            }
        }
        found
    }
}

/// A fitted model with `N` parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurveFit<const N: usize> {
    /// The parameters.
    pub values: [f64; N],
    /// Their standard errors.
    pub errors: [f64; N],
    /// Weighted sum of squared residuals over the degrees of freedom.
    pub reduced_chi2: f64,
    /// Share of the weighted variance that the model explains.
    pub r2: f64,
}

/// A point to fit: abscissa, value, weight (1 / variance up to a factor).
pub type Sample = (f64, f64, f64);

/// Fits `model` (value and derivatives by the parameters at an abscissa; a value that is not finite refuses the
/// parameters). `None` with fewer points than parameters + 1, or where the points do not determine a parameter.
#[must_use]
pub fn fit_curve<const N: usize>(
    samples: &[Sample],
    start: [f64; N],
    model: impl Fn(f64, &[f64; N]) -> (f64, [f64; N]),
) -> Option<CurveFit<N>> {
    if samples.len() <= N {
        return None;
    }
    let cost = |p: &[f64; N]| -> f64 {
        let sum: f64 = samples
            .iter()
            .map(|&(x, y, w)| w * (model(x, p).0 - y).powi(2))
            .sum();
        if sum.is_finite() { sum } else { f64::INFINITY }
    };
    let normal_at = |p: &[f64; N]| {
        let mut normal = SMatrix::<f64, N, N>::zeros();
        let mut right = SVector::<f64, N>::zeros();
        for &(x, y, w) in samples {
            let (value, slopes) = model(x, p);
            let row = SVector::<f64, N>::from(slopes);
            normal += row * row.transpose() * w;
            right += row * (w * (y - value));
        }
        (normal, right)
    };
    let mut now = start;
    let mut cost_now = cost(&now);
    if !cost_now.is_finite() {
        return None;
    }
    let mut damping = 1e-3;
    for _ in 0..200 {
        let (normal, right) = normal_at(&now);
        let mut improved = false;
        while damping < 1e12 {
            let mut damped = normal;
            for i in 0..N {
                damped[(i, i)] *= 1.0 + damping;
            }
            let step = damped.cholesky()?.solve(&right);
            let trial: [f64; N] = std::array::from_fn(|i| now[i] + step[i]);
            let trial_cost = cost(&trial);
            if trial_cost <= cost_now {
                improved = cost_now - trial_cost > 1e-13 * cost_now;
                (now, cost_now) = (trial, trial_cost);
                damping = (damping * 0.2).max(1e-12);
                break;
            }
            damping *= 8.0;
        }
        if !improved {
            break;
        }
    }
    let reduced_chi2 = cost_now / (samples.len() - N) as f64;
    let covariance = normal_at(&now).0.cholesky()?.inverse() * reduced_chi2;
    let weight: f64 = samples.iter().map(|s| s.2).sum();
    let mean = samples.iter().map(|s| s.2 * s.1).sum::<f64>() / weight;
    let variance: f64 = samples.iter().map(|s| s.2 * (s.1 - mean).powi(2)).sum();
    let errors: [f64; N] = std::array::from_fn(|i| covariance[(i, i)].sqrt());
    let settled = now.iter().chain(&errors).all(|v| v.is_finite());
    settled.then_some(CurveFit {
        values: now,
        errors,
        reduced_chi2,
        r2: 1.0 - cost_now / variance.max(f64::MIN_POSITIVE),
    })
}

/// Best of the fits from several starts.
fn best<const N: usize>(
    samples: &[Sample],
    starts: impl Iterator<Item = [f64; N]>,
    model: impl Fn(f64, &[f64; N]) -> (f64, [f64; N]),
) -> Option<CurveFit<N>> {
    starts
        .filter_map(|start| fit_curve(samples, start, &model))
        .min_by(|a, b| a.reduced_chi2.total_cmp(&b.reduced_chi2))
}

/// Ends and extent of samples sorted by abscissa: weighted means of the outer fifths, first and last abscissa.
fn ends(samples: &[Sample]) -> Option<(f64, f64, f64, f64)> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (first, last) = (sorted.first()?.0, sorted.last()?.0);
    let some = (sorted.len() / 5).max(1);
    let mean = |part: &[Sample]| {
        part.iter().map(|s| s.1 * s.2).sum::<f64>() / part.iter().map(|s| s.2).sum::<f64>()
    };
    let (low, high) = (mean(&sorted[..some]), mean(&sorted[sorted.len() - some..]));
    (last > first).then_some((low, high, first, last))
}

/// Fits `y = a + (b − a) / (1 + exp(−(x − x0)/w))`; parameters `[a, b, x0, w]`, w > 0 (10–90 % takes 4.394 w).
#[must_use]
pub fn fit_logistic(samples: &[Sample]) -> Option<CurveFit<4>> {
    let (low, high, first, last) = ends(samples)?;
    let starts = (1..8).flat_map(|place| {
        [0.2, 0.06, 0.02].map(|width| {
            let middle = first + (last - first) * f64::from(place) / 8.0;
            [low, high, middle, width * (last - first)]
        })
    });
    best(samples, starts, |x, &[a, b, x0, w]| {
        if w <= 0.0 {
            return (f64::NAN, [0.0; 4]);
        }
        let t = (x - x0) / w;
        let s = 1.0 / (1.0 + (-t).exp());
        let steep = (b - a) * s * (1.0 - s) / w;
        (a + (b - a) * s, [1.0 - s, s, -steep, -steep * t])
    })
}

/// Fits `y = c + a exp(−x/λ)`; parameters `[c, a, λ]`, λ > 0.
#[must_use]
pub fn fit_exponential(samples: &[Sample]) -> Option<CurveFit<3>> {
    let (low, high, first, last) = ends(samples)?;
    let starts = [0.05, 0.15, 0.5].into_iter().map(|length| {
        let length = length * (last - first);
        [
            high,
            (low - high) * (first / length).clamp(-50.0, 50.0).exp(),
            length,
        ]
    });
    best(samples, starts, |x, &[c, a, length]| {
        if length <= 0.0 {
            return (f64::NAN, [0.0; 3]);
        }
        let decay = (-x / length).exp();
        (
            c + a * decay,
            [1.0, decay, a * decay * x / (length * length)],
        )
    })
}

/// Fits a step from 1 to 0 blurred by a Gaussian, `y = ½ erfc((x − x0)/(σ√2))`; parameters `[x0, σ]`, σ > 0.
#[must_use]
pub fn fit_step(samples: &[Sample]) -> Option<CurveFit<2>> {
    let (_, _, first, last) = ends(samples)?;
    let starts = (1..8).flat_map(|place| {
        [0.2, 0.05].map(|width| {
            [
                first + (last - first) * f64::from(place) / 8.0,
                width * (last - first),
            ]
        })
    });
    best(samples, starts, |x, &[x0, sigma]| {
        if sigma <= 0.0 {
            return (f64::NAN, [0.0; 2]);
        }
        let t = (x - x0) / sigma;
        let bell = (-0.5 * t * t).exp() / (sigma * (2.0 * std::f64::consts::PI).sqrt());
        let value = 0.5 * erfc(t / std::f64::consts::SQRT_2);
        (value, [bell, bell * t])
    })
}

/// The complementary error function, to rounding: its series near zero, its continued fraction beyond.
#[must_use]
pub fn erfc(x: f64) -> f64 {
    let scale = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x < -2.5 {
        return 2.0 - erfc(-x);
    }
    if x <= 2.5 {
        // erf x = 2/√π e^{−x²} Σ 2^k x^{2k+1} / (2k+1)!!
        let (mut term, mut sum) = (x, x);
        let mut k = 1.0;
        while term.abs() > 1e-17 * sum.abs() {
            term *= 2.0 * x * x / (2.0 * k + 1.0);
            sum += term;
            k += 1.0;
        }
        return 1.0 - 2.0 * scale * sum;
    }
    let mut tail = x;
    for k in (1..=60).rev() {
        tail = x + 0.5 * f64::from(k) / tail;
    }
    scale / tail
}

/// The 97.5 % quantile of Student's t, for a two-sided 95 % interval with `freedom` degrees of freedom; infinite for 0.
#[must_use]
pub fn student_95(freedom: usize) -> f64 {
    // The expansion in 1/ν (Fisher and Cornish) is good to 2e-4 from 8 on.
    const FEW: [f64; 8] = [
        f64::INFINITY,
        12.706_205,
        4.302_653,
        3.182_446,
        2.776_445,
        2.570_582,
        2.446_912,
        2.364_624,
    ];
    if let Some(&t) = FEW.get(freedom) {
        return t;
    }
    let (z, nu) = (1.959_963_984_540_054_f64, freedom as f64);
    let powers = [z, z.powi(3), z.powi(5), z.powi(7), z.powi(9)];
    z + (powers[1] + powers[0]) / (4.0 * nu)
        + (5.0 * powers[2] + 16.0 * powers[1] + 3.0 * powers[0]) / (96.0 * nu * nu)
        + (3.0 * powers[3] + 19.0 * powers[2] + 17.0 * powers[1] - 15.0 * powers[0])
            / (384.0 * nu.powi(3))
        + (79.0 * powers[4] + 776.0 * powers[3] + 1482.0 * powers[2]
            - 1920.0 * powers[1]
            - 945.0 * powers[0])
            / (92_160.0 * nu.powi(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makima_goes_through_its_points_keeps_flats_flat_and_lines_straight() {
        let x: Vec<f64> = (0..8).map(f64::from).collect();
        let y = [1.0, 1.0, 1.0, 0.7, 0.2, 0.0, 0.0, 0.0];
        let curve = Makima::new(&x, &y).unwrap();
        for (x, y) in x.iter().zip(y) {
            assert!((curve.value_at(*x) - y).abs() < 1e-15);
        }
        assert!((curve.value_at(0.4) - 1.0).abs() < 1e-15 && curve.value_at(6.3).abs() < 1e-15);
        let line: Vec<f64> = x.iter().map(|x| 3.0 - 0.5 * x).collect();
        let curve = Makima::new(&x, &line).unwrap();
        assert!((curve.value_at(2.31) - (3.0 - 1.155)).abs() < 1e-12);
        let found = curve.crossings(1.7);
        assert!(found.len() == 1 && (found[0].0 - 2.6).abs() < 1e-9 && !found[0].1);
        assert!(Makima::new(&[0.0, 0.0, 1.0], &[1.0; 3]).is_none());
    }

    #[test]
    fn erfc_and_student_have_their_tabulated_values() {
        for (x, expected) in [
            (0.0, 1.0),
            (0.5, 0.479_500_122_186_953_5),
            (2.0, 4.677_734_981_047_266e-3),
            (3.0, 2.209_049_699_858_544e-5),
            (-1.0, 1.842_700_792_949_715),
            (-4.0, 1.999_999_984_582_742),
        ] {
            assert!((erfc(x) - expected).abs() < 4e-15, "{x}: {}", erfc(x));
        }
        for (freedom, expected) in [
            (2, 4.302_653),
            (8, 2.306_004),
            (20, 2.085_963),
            (1000, 1.962_339),
        ] {
            assert!(
                (student_95(freedom) - expected).abs() < 2e-4,
                "{freedom}: {}",
                student_95(freedom)
            );
        }
    }

    #[test]
    fn fits_recover_what_made_the_points() {
        let make = |f: &dyn Fn(f64) -> f64| -> Vec<Sample> {
            (0..40)
                .map(|i| f64::from(i) * 0.5 - 8.0)
                .map(|x| (x, f(x), 1.0))
                .collect()
        };
        let logistic =
            fit_logistic(&make(&|x| 0.1 + 0.8 / (1.0 + (-(x - 1.3) / 0.9).exp()))).unwrap();
        for (found, truth) in logistic.values.iter().zip([0.1, 0.9, 1.3, 0.9]) {
            assert!((found - truth).abs() < 1e-8, "{logistic:?}");
        }
        let falling =
            fit_logistic(&make(&|x| 0.9 - 0.8 / (1.0 + (-(x + 3.0) / 0.4).exp()))).unwrap();
        assert!((falling.values[2] + 3.0).abs() < 1e-8 && (falling.values[0] - 0.9).abs() < 1e-8);
        let decay = fit_exponential(&make(&|x| 2.0 - 0.3 * (-x / 2.5).exp())).unwrap();
        for (found, truth) in decay.values.iter().zip([2.0, -0.3, 2.5]) {
            assert!((found - truth).abs() < 1e-7, "{decay:?}");
        }
        let step = fit_step(&make(&|x| 0.5 * erfc((x - 0.2) / (1.1 * 2f64.sqrt())))).unwrap();
        assert!((step.values[0] - 0.2).abs() < 1e-9 && (step.values[1] - 1.1).abs() < 1e-9);
        assert!(fit_logistic(&make(&|x| x)[..4]).is_none());
        assert!(fit_exponential(&[(1.0, 1.0, 1.0); 9]).is_none());
    }

    #[test]
    fn standard_errors_are_the_scatter_of_repeated_fits() {
        // The same decay measured 300 times with noise 0.05: the spread of the results is what each fit says it is.
        let mut state = 7u64;
        let mut noise = || {
            let mut sum = -6.0;
            for _ in 0..12 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                sum += (state >> 11) as f64 / (1u64 << 53) as f64;
            }
            0.05 * sum
        };
        let (mut lengths, mut claimed) = (Vec::new(), 0.0);
        for _ in 0..300 {
            let samples: Vec<Sample> = (0..30)
                .map(|i| f64::from(i) * 0.4)
                .map(|x| (x, 0.5 + 2.0 * (-x / 3.0).exp() + noise(), 1.0))
                .collect();
            let fit = fit_exponential(&samples).unwrap();
            lengths.push(fit.values[2]);
            claimed += fit.errors[2] / 300.0;
        }
        let mean = lengths.iter().sum::<f64>() / 300.0;
        let sd = (lengths.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / 299.0).sqrt();
        assert!((mean - 3.0).abs() < 0.05, "{mean}");
        assert!(
            (claimed / sd - 1.0).abs() < 0.15,
            "claimed {claimed}, scatter {sd}"
        );
    }
}
