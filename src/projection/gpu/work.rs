//! What is sent to the device, in pieces short enough that a stop is answered, the window can draw in between and no
//! driver takes the device for hung.

use super::GpuError;
use super::device::Gpu;
use super::kernels::Kernel;
use crate::monitor::Stopped;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// Seconds of work that are sent at a time: a frame of the window, which may be drawn by the same device.
const PIECE_SECS: f64 = 0.012;
/// The same where the processor plays the device, and sending costs more.
const SOFTWARE_PIECE_SECS: f64 = 0.08;
/// How often a stop is looked for while waiting.
const PATIENCE: Duration = Duration::from_millis(50);
/// Bytes from one entry of the buffer of first numbers to the next: the largest alignment a driver may ask for.
const FIRST_STRIDE: usize = 256;

/// How fast the device is, learned on the way. A *sample* is one voxel at one tilt in one direction.
pub(super) struct Pace {
    samples_per_second: Cell<f64>,
    piece_secs: f64,
    /// Samples sent since the device was last idle, and when the first was.
    sent: Cell<Option<(f64, Instant)>>,
}

impl Pace {
    pub(super) fn new(software: bool) -> Self {
        Self {
            samples_per_second: Cell::new(if software { 1e7 } else { 1e10 }),
            piece_secs: if software {
                SOFTWARE_PIECE_SECS
            } else {
                PIECE_SECS
            },
            sent: Cell::new(None),
        }
    }

    /// Samples of a piece.
    fn piece(&self) -> f64 {
        self.piece_secs * self.samples_per_second.get()
    }

    fn sends(&self, samples: f64) {
        let (before, since) = self.sent.get().unwrap_or((0.0, Instant::now()));
        self.sent.set(Some((before + samples, since)));
    }

    fn is_idle(&self) {
        let Some((samples, since)) = self.sent.take() else {
            return;
        };
        let seconds = since.elapsed().as_secs_f64();
        // Shorter times tell more of the way there and back than of the work.
        if seconds > 1e-3 && samples > 0.0 {
            let old = self.samples_per_second.get();
            let new = samples / seconds;
            self.samples_per_second
                .set(new.clamp(0.1 * old, 10.0 * old));
        }
    }
}

/// The numbers 0, 1, 2, … each at its own offset: a dispatch that is a part of a larger one is told its first by them.
pub(super) fn firsts(gpu: &Gpu, count: usize) -> wgpu::Buffer {
    let mut bytes = vec![0u8; count * FIRST_STRIDE];
    for (number, entry) in (0u32..).zip(bytes.chunks_mut(FIRST_STRIDE)) {
        entry[..4].copy_from_slice(&number.to_le_bytes());
    }
    let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("firsts"),
        size: bytes.len() as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    gpu.queue.write_buffer(&buffer, 0, &bytes);
    buffer
}

/// Commands for the device.
pub(super) struct Work<'a> {
    gpu: &'a Gpu,
    clock: Option<&'a Clock>,
    check: &'a dyn Fn() -> Result<(), Stopped>,
    encoder: wgpu::CommandEncoder,
    /// Samples of the commands not yet sent.
    samples: f64,
}

impl<'a> Work<'a> {
    /// `check` is asked while the device is waited for.
    pub(super) fn new(
        gpu: &'a Gpu,
        clock: Option<&'a Clock>,
        check: &'a dyn Fn() -> Result<(), Stopped>,
    ) -> Self {
        Self {
            gpu,
            clock,
            check,
            encoder: encoder(gpu),
            samples: 0.0,
        }
    }

    /// Runs a kernel over `groups` of workgroups; where it may be parted (along the second), piece by piece.
    pub(super) fn dispatch(
        &mut self,
        name: &'static str,
        kernel: &Kernel,
        bound: &wgpu::BindGroup,
        groups: [usize; 3],
        samples: f64,
    ) -> Result<(), GpuError> {
        let per_group = samples / groups[1].max(1) as f64;
        let mut first = 0;
        while first < groups[1] {
            let room = (self.gpu.pace.piece() - self.samples).max(0.0) / per_group.max(1.0);
            let count = if kernel.has_first() {
                (room as usize).clamp(1, groups[1] - first)
            } else {
                groups[1]
            };
            let offset = (first * FIRST_STRIDE) as u32;
            let offsets: &[u32] = if kernel.has_first() { &[offset] } else { &[] };
            self.pass(name, kernel, bound, offsets, [groups[0], count, groups[2]]);
            self.samples += per_group * count as f64;
            first += count;
            if self.samples >= self.gpu.pace.piece() {
                self.send();
                wait(self.gpu, self.check)?;
            }
        }
        Ok(())
    }

    /// Runs the kernel that smooths images.
    pub(super) fn dispatch_blur(
        &mut self,
        bound: &wgpu::BindGroup,
        groups: [usize; 3],
        samples: f64,
    ) -> Result<(), GpuError> {
        let kernel = self.gpu.kernels.blur();
        self.dispatch("blur", kernel, bound, groups, samples)
    }

    fn pass(
        &mut self,
        name: &'static str,
        kernel: &Kernel,
        bound: &wgpu::BindGroup,
        offsets: &[u32],
        groups: [usize; 3],
    ) {
        let timestamp_writes = self.clock.and_then(|clock| clock.next(name));
        let mut pass = self
            .encoder
            .begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some(name),
                timestamp_writes,
            });
        pass.set_pipeline(&kernel.pipeline);
        pass.set_bind_group(0, bound, offsets);
        let [x, y, z] = groups.map(|n| n as u32);
        pass.dispatch_workgroups(x, y, z);
    }

    pub(super) fn copy(&mut self, from: &wgpu::Buffer, to: &wgpu::Buffer, at: u64) {
        self.encoder
            .copy_buffer_to_buffer(from, 0, to, at, from.size());
    }

    /// Sends what is left, without waiting for it.
    pub(super) fn send(&mut self) {
        let commands = std::mem::replace(&mut self.encoder, encoder(self.gpu));
        self.gpu.pace.sends(std::mem::take(&mut self.samples));
        self.gpu.queue.submit([commands.finish()]);
    }

    /// Sends what is left and brings back the first `bytes` of a buffer that is written by it.
    pub(super) fn read(mut self, staging: &wgpu::Buffer, bytes: u64) -> Result<Vec<f32>, GpuError> {
        self.send();
        mapped(self.gpu, staging, bytes, self.check, |bytes| {
            bytemuck::pod_collect_to_vec(bytes)
        })
    }
}

fn encoder(gpu: &Gpu) -> wgpu::CommandEncoder {
    gpu.device
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
}

/// Waits until the device is idle.
pub(super) fn wait(gpu: &Gpu, check: &dyn Fn() -> Result<(), Stopped>) -> Result<(), GpuError> {
    while !gpu.wait(PATIENCE)? {
        check()?;
    }
    gpu.pace.is_idle();
    check()?;
    Ok(())
}

/// Waits for a staging buffer and looks at its first `bytes`.
pub(super) fn mapped<T>(
    gpu: &Gpu,
    staging: &wgpu::Buffer,
    bytes: u64,
    check: &dyn Fn() -> Result<(), Stopped>,
    look: impl FnOnce(&[u8]) -> T,
) -> Result<T, GpuError> {
    let slice = staging.slice(..bytes);
    let (sender, receiver) = std::sync::mpsc::channel();
    slice.map_async(wgpu::MapMode::Read, move |answer| {
        // Nobody waits any longer after a stop.
        let _ = sender.send(answer);
    });
    let waited = wait(gpu, check);
    if waited.is_err() {
        staging.unmap();
    }
    waited?;
    let answer = receiver.try_recv();
    gpu.check()?;
    if !matches!(answer, Ok(Ok(()))) {
        return Err(gpu.failed("numbers could not be brought back"));
    }
    let view = slice
        .get_mapped_range()
        .map_err(|error| gpu.failed(error.to_string()))?;
    let seen = look(&view);
    drop(view);
    staging.unmap();
    Ok(seen)
}

/// How long kernels took, by the device's own clock.
pub(super) struct Clock {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    names: RefCell<Vec<&'static str>>,
}

/// Passes that are timed at most between two readings.
const TIMED: u32 = 1024;

impl Clock {
    /// None where the driver has no clock.
    pub(super) fn new(gpu: &Gpu) -> Option<Self> {
        if !gpu.has_timestamps() {
            return None;
        }
        let buffer = |usage| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("times"),
                size: u64::from(2 * TIMED) * 8,
                usage: usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        Some(Self {
            set: gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("times"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * TIMED,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            staging: buffer(wgpu::BufferUsages::MAP_READ),
            names: RefCell::default(),
        })
    }

    fn next(&self, name: &'static str) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let mut names = self.names.borrow_mut();
        let at = 2 * u32::try_from(names.len()).ok().filter(|n| *n < TIMED)?;
        names.push(name);
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        })
    }

    /// Seconds of each pass since the last reading, in order.
    pub(super) fn read(&self, gpu: &Gpu) -> Result<Vec<(&'static str, f64)>, GpuError> {
        let names = self.names.take();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut encoder = encoder(gpu);
        let used = 2 * names.len() as u32;
        encoder.resolve_query_set(&self.set, 0..used, &self.resolved, 0);
        let bytes = u64::from(used) * 8;
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, bytes);
        gpu.queue.submit([encoder.finish()]);
        let ticks: Vec<u64> = mapped(gpu, &self.staging, bytes, &|| Ok(()), |bytes| {
            bytemuck::pod_collect_to_vec(bytes)
        })?;
        let period = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
        let seconds = |pair: &[u64]| pair[1].saturating_sub(pair[0]) as f64 * period;
        Ok(names
            .into_iter()
            .zip(ticks.chunks(2).map(seconds))
            .collect())
    }
}
