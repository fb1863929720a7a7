//! When to end the iterations: when they no longer explain what they were not fitted to.

use super::Iteration;

/// Iterations that R_free must not have fallen in, or the objective have stood still in.
const PATIENCE: usize = 10;
/// Relative fall over that many iterations that is none: of R_free, whose own scatter over the pixels of a tilt is of
/// that size, and of the objective, which then has nothing left to explain but noise.
const NO_FALL: f64 = 1e-3;

/// Why it is enough, or `None` while going on is of use. Judged by R_free when some tilts are left out, else by the
/// objective.
pub(super) fn enough(iterations: &[Iteration]) -> Option<String> {
    let last = iterations.last()?;
    let free: Vec<f64> = iterations.iter().filter_map(|i| i.r_free).collect();
    let (name, values) = if free.is_empty() {
        (
            "the objective",
            iterations.iter().map(|i| i.objective).collect(),
        )
    } else {
        ("R_free", free)
    };
    let then = values.len().checked_sub(PATIENCE + 1)?;
    let before = values[..=then]
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min);
    let since = values[then + 1..]
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min);
    if since < before * (1.0 - NO_FALL) {
        return None;
    }
    let lowest = lowest_at(&values)? + 1;
    Some(format!(
        "Ended after {} iterations: {name} was lowest ({:.4e}) at iteration {lowest} and fell by no more than {} % in the \
         last {PATIENCE}.",
        last.number,
        values[lowest - 1],
        100.0 * NO_FALL,
    ))
}

/// Place of the lowest value.
pub(super) fn lowest_at(values: &[f64]) -> Option<usize> {
    let places = values.iter().enumerate();
    places.min_by(|a, b| a.1.total_cmp(b.1)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn run(free: impl Fn(usize) -> Option<f64>, objective: impl Fn(usize) -> f64) -> Option<usize> {
        let mut iterations = Vec::new();
        (1..500).find(|&number| {
            iterations.push(Iteration {
                number,
                r1: 0.1,
                r1_per_tilt: Arc::from(vec![0.1]),
                r_free: free(number),
                objective: objective(number),
                elapsed_secs: 0.0,
            });
            enough(&iterations).is_some()
        })
    }

    #[test]
    fn the_end_comes_soon_after_r_free_was_lowest_and_not_before() {
        let falls = |n: usize| 1.0 / n as f64;
        let turns = |n: usize| Some(0.3 + (n as f64 - 40.0).powi(2) * 1e-4);
        let end = run(turns, falls).unwrap();
        assert!((45..=51).contains(&end), "{end}");
        // Ripples of the momentum are no end.
        let ripples = |n: usize| Some((1.0 + 0.02 * (n as f64).sin()) / n as f64);
        assert_eq!(run(ripples, falls), None);
        // Without tilts left out the objective decides.
        assert_eq!(run(|_| None, falls), None);
        let end = run(|_| None, |n| 5.0 + 10.0 * (-(n as f64) / 5.0).exp()).unwrap();
        assert!((30..70).contains(&end), "{end}");
    }
}
