//! How long plain and accelerated RESIRE take to the same objective.

use super::{JobError, PIXEL, crystal, noise, paint};
use crate::jobs::measure::project;
use crate::model::TiltSeries;
use crate::monitor::Monitor;
use crate::projection::bench::angles;
use crate::projection::operator::Method;
use crate::reconstruct::{Engine, Iteration, ReconstructParams, reconstruct};
use serde_json::{Value, json};

/// Iterations of plain RESIRE whose objective is the goal.
const PLAIN: usize = 200;
/// Share of the volume's width that the particle fills.
const SHARE: f64 = 0.7;
/// Mean counts of the brightest pixel: a dose as of a beam-sensitive specimen.
const BRIGHTEST: f32 = 400.0;

/// Reconstructs a made-up particle's series on the CPU, plain for 200 iterations, then accelerated until the objective is as
/// low.
///
/// # Errors
/// The stages'.
pub fn convergence(
    size: [usize; 3],
    tilts: usize,
    general: bool,
    monitor: &Monitor,
) -> Result<(Value, Vec<String>), JobError> {
    let series = noisy_series(size, tilts, general, monitor)?;
    let run = |accelerated: bool| {
        let params = ReconstructParams {
            accelerated,
            iterations: PLAIN,
            engine: Engine::Cpu,
            volume_size: Some(size.to_vec()),
            ..ReconstructParams::default()
        };
        let mut observe = |iteration: &Iteration, _: &dyn Fn() -> _| {
            monitor.progress(iteration.number, PLAIN);
        };
        reconstruct(&series, &params, None, None, monitor, &mut observe)
            .map_err(|error| crate::jobs::execute::stopped_or(error, "bench convergence"))
    };
    let plain = run(false)?.iterations;
    let accelerated = run(true)?.iterations;
    let last = plain
        .last()
        .ok_or_else(|| JobError::Failed("bench convergence: no iteration was made".to_owned()))?;
    let reached = accelerated.iter().find(|i| i.objective <= last.objective);
    let ratio = reached.map(|i| last.elapsed_secs / i.elapsed_secs);
    let json = json!({
        "shape": size, "tilts": tilts, "threads": rayon::current_num_threads(),
        "plain_iterations": plain.len(), "plain_seconds": last.elapsed_secs, "objective": last.objective,
        "accelerated_iterations": reached.map(|i| i.number),
        "accelerated_seconds": reached.map(|i| i.elapsed_secs), "ratio": ratio,
    });
    let [x, y, z] = size;
    let mut lines = vec![
        format!("{x} × {y} × {z}, {tilts} tilts"),
        format!(
            "plain: {} iterations in {:.1} s, objective {:.4e}, R1 {:.4}",
            plain.len(),
            last.elapsed_secs,
            last.objective,
            last.r1
        ),
    ];
    lines.push(match reached.zip(ratio) {
        Some((i, ratio)) => format!(
            "accelerated: the same objective after {} iterations in {:.1} s, {ratio:.1} times as fast",
            i.number, i.elapsed_secs
        ),
        None => format!("accelerated: not as low after {} iterations", accelerated.len()),
    });
    Ok((json, lines))
}

/// Projections of a particle with noise like that of counts.
fn noisy_series(
    size: [usize; 3],
    tilts: usize,
    general: bool,
    monitor: &Monitor,
) -> Result<TiltSeries, JobError> {
    let particle = paint(size, &crystal(size.map(|n| n as f64 * PIXEL), SHARE));
    let mut series = project(&particle, &angles(tilts, general), Method::LINEAR, monitor)?;
    let brightest = series.images.iter().copied().fold(0.0, f32::max);
    let scale = BRIGHTEST / brightest.max(f32::MIN_POSITIVE);
    let mut seed = 1;
    series.images.mapv_inplace(|v| {
        let mean = f64::from(v * scale);
        // Uniform numbers of the variance of Poisson ones.
        (mean + (3.0 * mean.max(0.0)).sqrt() * noise(&mut seed)).max(0.0) as f32
    });
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accelerated_iterations_reach_the_plain_objective_several_times_sooner() {
        let (found, lines) =
            convergence([40, 24, 40], 21, false, &Monitor::silent()).expect("sound parameters");
        assert_eq!(found["plain_iterations"], PLAIN);
        let iterations = found["accelerated_iterations"].as_u64().expect("reached");
        assert!((2..=50).contains(&iterations), "{lines:?}");
    }
}
