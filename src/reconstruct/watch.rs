//! When to end the iterations: when they no longer explain what they were not fitted to.

use super::Iteration;

/// Iterations without a fall that end it: more than the ripples of the momentum take.
const PATIENCE: usize = 10;
/// Fall in so many iterations that is none, as a share of all the fall so far. (Not of the value itself: of noisy
/// images most of that is noise, which no iteration explains.)
const NO_FALL: f64 = 1e-4;

/// Why it is enough, or `None` while going on is of use. Judged by the tilts left out when there are some, else by the
/// objective.
pub(super) fn enough(iterations: &[Iteration]) -> Option<String> {
    let last = iterations.last()?;
    let free: Vec<f64> = iterations.iter().filter_map(|i| i.misfit_free).collect();
    let (name, values) = if free.is_empty() {
        let objectives = iterations.iter().map(|i| i.objective).collect();
        ("the objective", objectives)
    } else {
        ("the misfit of the tilts left out", free)
    };
    let then = values.len().checked_sub(PATIENCE + 1)?;
    let lowest = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let (before, since) = (lowest(&values[..=then]), lowest(&values[then + 1..]));
    if before - since > NO_FALL * (values[0] - before.min(since)) {
        return None;
    }
    let at = lowest_at(&values)?;
    Some(format!(
        "Ended after {} iterations: {name} was lowest ({:.4e}) at number {} and no longer falls.",
        last.number,
        values[at],
        at + 1,
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
                r_free: None,
                misfit_free: free(number),
                objective: objective(number),
                elapsed_secs: 0.0,
            });
            enough(&iterations).is_some()
        })
    }

    #[test]
    fn the_end_comes_soon_after_the_lowest_misfit_and_not_before() {
        let falls = |n: usize| 1.0 / (n as f64).sqrt();
        let turns = |n: usize| Some(0.3 + (n as f64 - 40.0).powi(2) * 1e-4);
        let end = run(turns, falls).unwrap();
        assert!((45..=51).contains(&end), "{end}");
        // Ripples of the momentum are no end.
        let ripples = |n: usize| Some((1.0 + 0.005 * (n as f64).sin()) / (n as f64).sqrt());
        assert_eq!(run(ripples, falls), None);
        // Without tilts left out the objective decides.
        assert_eq!(run(|_| None, falls), None);
        let end = run(|_| None, |n| 5.0 + 10.0 * (-(n as f64) / 5.0).exp()).unwrap();
        assert!((30..90).contains(&end), "{end}");
    }
}
