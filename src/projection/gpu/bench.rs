//! How fast an iteration is on a device, beside the time its memory needs to be read and written once.

use super::device::{Gpu, Which};
use super::iterations::{Iterations, Setup};
use super::{GpuError, work};
use crate::model::EulerAngles;
use crate::monitor::Monitor;
use crate::projection::bench::Bench;
use ndarray::Array3;
use std::rc::Rc;
use std::time::Instant;

/// Bytes copied at a time to find out how fast the device's memory is.
const COPIED: u64 = 256 << 20;
/// Copies in one measurement.
const COPIES: usize = 8;

/// What the device's own clock and memory say.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyLimit {
    /// Bytes read and written per second by a copy within the device.
    pub bytes_per_second: f64,
    /// Bytes an iteration reads and writes at least: the volume twice and once, as much of the images.
    pub bytes_per_iteration: f64,
    /// Median seconds of the projection and of the transpose by the device's clock; `None` where it has none.
    pub kernel_seconds: Option<[f64; 2]>,
}

/// Measures `iterations` iterations of a volume of ones on the best device; `angles` are those of the bench on the
/// CPU.
///
/// # Errors
/// No device, no room, a device that fails, a stop.
pub fn bench(
    which: Which,
    shape: [usize; 3],
    angles: &[EulerAngles],
    iterations: usize,
    monitor: &Monitor,
) -> Result<(Bench, CopyLimit), GpuError> {
    let gpu = Rc::new(Gpu::open(which)?);
    let tilts = angles.len();
    let images = Array3::zeros((tilts, shape[0], shape[1]));
    let setup = Setup {
        volume_size: shape,
        images: images.view(),
        angles,
        fitted: &vec![true; tilts],
        support: None,
        blur: None,
        accelerated: false,
        positivity: true,
    };
    let mut run = Iterations::new(Rc::clone(&gpu), &setup)?;
    run.start_at(&Array3::from_elem(shape, 1.0), None)?;
    let step = 1e-3 / (tilts.max(1) * shape[0].max(shape[2])) as f32;
    let mut seconds = Vec::with_capacity(iterations);
    let mut kernels = [Vec::new(), Vec::new()];
    run.time_kernels();
    // The first pass only warms up.
    for pass in 0..=iterations.max(1) {
        let started = Instant::now();
        run.compare(monitor)?;
        run.descend(step, monitor)?;
        work::wait(&gpu, &|| monitor.check())?;
        let elapsed = started.elapsed().as_secs_f64();
        let times = run.kernel_times()?;
        if pass > 0 {
            seconds.push(elapsed);
            for (name, of_kernel) in ["forward", "adjoint"].into_iter().zip(&mut kernels) {
                let of_name = times.iter().filter(|time| time.0 == name);
                of_kernel.push(of_name.map(|time| time.1).sum());
            }
            monitor.progress(pass, iterations);
        }
    }
    let median_seconds = median(&mut seconds);
    let kernel_seconds = gpu
        .has_timestamps()
        .then(|| kernels.each_mut().map(|times| median(times)));
    drop(run);
    let voxels = shape.iter().product::<usize>() as f64;
    let limit = CopyLimit {
        bytes_per_second: copy_rate(&gpu, COPIED.min(gpu.binding_bytes))?,
        // Forward: volume, measured, residual; transpose: residual, volume there and back.
        bytes_per_iteration: 4.0 * (3.0 * voxels + 3.0 * images.len() as f64),
        kernel_seconds,
    };
    let bench = Bench {
        shape,
        tilts,
        threads: rayon::current_num_threads(),
        seconds_per_iteration: median_seconds,
        samples_per_second: 2.0 * voxels * tilts as f64 / median_seconds,
        limit_ratio: limit.bytes_per_iteration / limit.bytes_per_second / median_seconds,
        engine: format!("gpu: {}", gpu.name()),
    };
    Ok((bench, limit))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Bytes read and written per second by a copy from one buffer to another.
fn copy_rate(gpu: &Gpu, bytes: u64) -> Result<f64, GpuError> {
    let buffer = || {
        gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("copied"),
            size: bytes / 16 * 16,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    };
    let [from, to] = gpu.allocate(2 * bytes, || [buffer(), buffer()])?;
    let mut best = f64::INFINITY;
    // The first one brings the memory in.
    for _ in 0..4 {
        let mut encoder = gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for _ in 0..COPIES {
            encoder.copy_buffer_to_buffer(&from, 0, &to, 0, from.size());
        }
        let commands = encoder.finish();
        let started = Instant::now();
        gpu.queue.submit([commands]);
        work::wait(gpu, &|| Ok(()))?;
        best = best.min(started.elapsed().as_secs_f64());
    }
    Ok(2.0 * (COPIES as u64 * from.size()) as f64 / best)
}
