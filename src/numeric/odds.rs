//! Densities and odds for telling two hypotheses apart: robust tails, logarithmic odds, mixing shares.

/// A smooth step from 1 to 0 at 0: the logistic curve nearest to the normal distribution's (within 0.01).
#[must_use]
pub fn step_down(t: f64) -> f64 {
    1.0 / (1.0 + (1.702 * t).exp())
}

/// Density of Student's t with four degrees of freedom: a normal distribution with the tails that measurements have.
#[must_use]
pub fn student(t: f64) -> f64 {
    0.375 * (1.0 + 0.25 * t * t).powf(-2.5)
}

/// `ln(p / (1 − p))`.
#[must_use]
pub fn log_odds(probability: f64) -> f64 {
    (probability / (1.0 - probability)).ln()
}

/// Probability of given logarithmic odds.
#[must_use]
pub fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// Share of the members that belong to the first of two hypotheses, given each member's `ln p(first) − ln p(second)`:
/// expectation–maximisation of the mixing share, between one member and half of them.
#[must_use]
pub fn expect_share(log_ratios: &[f64]) -> f64 {
    let n = log_ratios.len() as f64;
    if log_ratios.is_empty() {
        return 0.0;
    }
    let (least, most) = ((1.0 / n).min(0.5), 0.5);
    let mut share = (0.01f64).clamp(least, most);
    for _ in 0..50 {
        let prior = log_odds(share);
        let total: f64 = log_ratios.iter().map(|r| probability(prior + r)).sum();
        share = (total / n).clamp(least, most);
    }
    share
}

/// Exact two-sided 95 % interval of the mean of a Poisson distribution from which `n` events came (Garwood 1936).
#[must_use]
pub fn poisson_95(n: usize) -> [f64; 2] {
    // Probability of at most `most` events where `mean` are expected, from the likeliest of them on either side.
    let at_most = |most: usize, mean: f64| -> f64 {
        let likeliest = most.min(mean as usize);
        let log_factorial: f64 = (1..=likeliest).map(|k| (k as f64).ln()).sum();
        let highest = (likeliest as f64 * mean.ln() - mean - log_factorial).exp();
        let mut sum = highest;
        let mut term = highest;
        for k in (1..=likeliest).rev() {
            term *= k as f64 / mean;
            sum += term;
        }
        term = highest;
        for k in likeliest + 1..=most {
            term *= mean / k as f64;
            sum += term;
        }
        sum
    };
    let solve = |most: usize, probability: f64| -> f64 {
        let (mut low, mut high) = (1e-9, 20.0 + 2.0 * most as f64);
        for _ in 0..80 {
            let middle = 0.5 * (low + high);
            if at_most(most, middle) > probability {
                low = middle;
            } else {
                high = middle;
            }
        }
        0.5 * (low + high)
    };
    let low = if n == 0 { 0.0 } else { solve(n - 1, 0.975) };
    [low, solve(n, 0.025)]
}

/// Median and robust standard deviation (1.4826 × median absolute deviation) of the finite ones among `values`; `None`
/// without any, or where they are all alike.
#[must_use]
pub fn usual(values: impl IntoIterator<Item = f64>) -> Option<[f64; 2]> {
    let mut known: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    let center = middle(&mut known)?;
    known.iter_mut().for_each(|v| *v = (*v - center).abs());
    let spread = 1.4826 * middle(&mut known)?;
    (spread > 0.0).then_some([center, spread])
}

fn middle(values: &mut [f64]) -> Option<f64> {
    let half = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(half, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_counts_are_those_of_the_tables() {
        // Garwood's table, 95 %; for none −ln 0.025.
        for (n, low, high) in [
            (0, 0.0, 3.688_879),
            (1, 0.025_318, 5.571_643),
            (10, 4.795_389, 18.390_36),
            (100, 81.363_9, 121.627),
        ] {
            let found = poisson_95(n);
            assert!(
                (found[0] - low).abs() < 1e-3 && (found[1] - high).abs() < 1e-3,
                "{found:?}"
            );
        }
        // Many events: nearly the normal distribution's.
        let [low, high] = poisson_95(5000);
        assert!(
            (high - low - 2.0 * 1.96 * 5000f64.sqrt()).abs() < 3.0,
            "{low} {high}"
        );
    }

    #[test]
    fn the_density_integrates_to_one() {
        let sum: f64 = (-400_000..=400_000)
            .map(|k| 1e-3 * student(1e-3 * f64::from(k)))
            .sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn the_step_follows_the_normal_distribution() {
        // Φ(−1), Φ(0), Φ(1), Φ(2).
        for (t, upper) in [(-1.0, 0.8413), (0.0, 0.5), (1.0, 0.1587), (2.0, 0.0228)] {
            assert!((step_down(t) - upper).abs() < 0.011, "{t}");
        }
        assert!(step_down(1e4) == 0.0 && step_down(-1e4) == 1.0);
    }

    #[test]
    fn odds_and_probabilities_are_inverse() {
        for p in [1e-6, 0.3, 0.5, 0.99] {
            assert!((probability(log_odds(p)) - p).abs() < 1e-12);
        }
    }

    #[test]
    fn the_share_is_recovered_where_the_hypotheses_are_told_apart() {
        let ratios: Vec<f64> = (0..1000)
            .map(|k| if k < 30 { 12.0 } else { -12.0 })
            .collect();
        assert!((expect_share(&ratios) - 0.03).abs() < 1e-4);
        assert_eq!(expect_share(&[]), 0.0);
        assert!(expect_share(&[-50.0; 100]) <= 0.01 + 1e-12);
    }

    #[test]
    fn the_usual_is_robust() {
        let values = (0..101).map(f64::from).chain([1e9, f64::NAN]);
        let [center, spread] = usual(values).unwrap();
        assert!((center - 51.0).abs() < 1.5 && (spread - 1.4826 * 25.0).abs() < 2.0);
        assert!(usual([2.0, 2.0, 2.0]).is_none() && usual([]).is_none());
    }
}
