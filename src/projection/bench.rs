//! How fast an iteration is, beside this machine's own limit measured in the same run.
//!
//! One iteration projects and back-projects every voxel for every tilt: one *sample* is one voxel at one tilt in one
//! direction; the Fourier projector needs fewer multiply-adds than samples, and is held to its own. The limit is a stream of fused multiply-adds over a buffer that stays in the second cache, with the same
//! threads: load, multiply-add, store, as every sample must do at least once.

use super::aligned::Aligned;
use super::linear::vector_name;
use super::operator::{Method, Operator, Projector};
use super::simd::{Kernel, Vector, dispatch};
use crate::model::EulerAngles;
use crate::monitor::{Monitor, Stopped};
use rayon::prelude::*;
use std::time::Instant;

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Bench {
    /// Voxels on x, y, z.
    pub shape: [usize; 3],
    /// Number of tilts.
    pub tilts: usize,
    /// Threads used.
    pub threads: usize,
    /// Wall seconds of a projection and a back-projection of all tilts: the median of the iterations.
    pub seconds_per_iteration: f64,
    /// Samples per second, both directions counted.
    pub samples_per_second: f64,
    /// Time the limit needs for the multiply-adds of this projector, over the time measured.
    pub limit_ratio: f64,
    /// Threads and vector instructions.
    pub engine: String,
}

/// The tilts that are measured; `general` turns the axis a little, so that no y-slice is alone.
#[must_use]
pub fn angles(tilts: usize, general: bool) -> Vec<EulerAngles> {
    let off = if general { 0.2 } else { 0.0 };
    (0..tilts)
        .map(|tilt| {
            let theta = -75.0 + 150.0 * tilt as f64 / (tilts.max(2) - 1) as f64;
            EulerAngles::from_deg(off, theta, -off)
        })
        .collect()
}

/// Measures `iterations` iterations of a projector; `general` as in [`angles`].
///
/// # Errors
/// A stop.
pub fn bench(
    method: Method,
    shape: [usize; 3],
    tilts: usize,
    iterations: usize,
    general: bool,
    monitor: &Monitor,
) -> Result<Bench, Stopped> {
    let angles = angles(tilts, general);
    let projector = Operator::new(method, shape, [shape[0], shape[1]], &angles);
    let mut volume = projector.ones();
    let mut images = projector.new_images();
    let mut seconds = Vec::with_capacity(iterations);
    // Small enough that the volume stays full: empty tiles are skipped.
    let step = 1e-3 / (tilts.max(1) * shape[0].max(shape[2])) as f32;
    // The first pass only brings the pages in.
    for pass in 0..=iterations.max(1) {
        let started = Instant::now();
        projector.forward(&volume, &mut images, monitor)?;
        projector.adjoint_into(&images, &mut volume, monitor, |_, voxels, sum| {
            for (voxel, sum) in voxels.iter_mut().zip(sum) {
                *voxel = (*voxel - step * sum).max(0.0);
            }
        })?;
        if pass > 0 {
            seconds.push(started.elapsed().as_secs_f64());
            monitor.progress(pass, iterations);
        }
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let samples = 2.0 * shape.iter().product::<usize>() as f64 * tilts as f64;
    let rate = samples / median;
    let threads = rayon::current_num_threads();
    let mut engine = format!("cpu, {threads} threads, {}", vector_name());
    if method.projector == Projector::Fourier {
        engine += &format!(", Fourier slices at {} times", method.oversampling);
    }
    let least = projector.multiply_adds();
    Ok(Bench {
        shape,
        tilts,
        threads,
        seconds_per_iteration: median,
        samples_per_second: rate,
        limit_ratio: least / median / multiply_adds_per_second(threads),
        engine,
    })
}

/// Values of one thread's buffer: 256 KB.
const LEN: usize = 64 * 1024;
/// Passes over it.
const ROUNDS: usize = 2000;

struct Stream<'a>(&'a mut [f32]);

impl Kernel for Stream<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let addend = V::splat(1e-3);
        for round in 0..ROUNDS {
            let factor = V::splat(1.0 - round as f32 * 1e-9);
            for values in self.0.chunks_exact_mut(4 * V::WIDTH) {
                for i in 0..4 {
                    V::load(values, i * V::WIDTH)
                        .mul_add(factor, addend)
                        .store(values, i * V::WIDTH);
                }
            }
        }
    }
}

/// Multiply-adds per second of `threads` threads on buffers of 256 KB: this machine's own limit.
#[must_use]
pub fn multiply_adds_per_second(threads: usize) -> f64 {
    let best = (0..3)
        .map(|_| {
            let started = Instant::now();
            let sum: f32 = (0..threads)
                .into_par_iter()
                .with_max_len(1)
                .map(|thread| {
                    let mut buffer = Aligned::zeros(LEN);
                    buffer.fill(thread as f32);
                    dispatch(Stream(&mut buffer));
                    buffer[LEN / 2]
                })
                .sum();
            std::hint::black_box(sum);
            started.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    (threads * LEN * ROUNDS) as f64 / best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_bench_gives_finite_numbers() {
        for projector in [Projector::Linear, Projector::Fourier] {
            let method = Method {
                projector,
                ..Method::LINEAR
            };
            let silent = Monitor::silent();
            let bench = bench(method, [20, 24, 20], 5, 2, true, &silent).unwrap();
            assert!(bench.samples_per_second > 0.0);
            assert!(bench.limit_ratio > 0.0 && bench.limit_ratio.is_finite());
        }
    }
}
