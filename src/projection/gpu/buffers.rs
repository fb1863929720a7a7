//! Makes buffers and fills them.

use super::device::Gpu;
use super::grid::{Grid, STAGING_BYTES};
use super::iterations::Setup;
use bytemuck::Pod;

/// Makes buffers on a device.
pub(super) struct Maker<'a>(pub(super) &'a Gpu);

/// What the images of a part need.
pub(super) struct Images {
    pub(super) tilts: wgpu::Buffer,
    pub(super) measured: wgpu::Buffer,
    pub(super) residual: wgpu::Buffer,
}

impl Maker<'_> {
    fn buffer(&self, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.next_multiple_of(16),
            usage,
            mapped_at_creation: false,
        })
    }

    /// Zeros.
    pub(super) fn storage(&self, values: usize) -> wgpu::Buffer {
        self.buffer(
            4 * values as u64,
            wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_DST
                | wgpu::BufferUsages::COPY_SRC,
        )
    }

    pub(super) fn filled<T: Pod>(&self, values: &[T]) -> wgpu::Buffer {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let buffer = self.storage(bytes.len().div_ceil(4));
        self.0.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    pub(super) fn uniform<T: Pod>(&self, value: &T) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.buffer(size_of::<T>() as u64, usage);
        self.0
            .queue
            .write_buffer(&buffer, 0, bytemuck::bytes_of(value));
        buffer
    }

    /// Room from which the host reads.
    pub(super) fn staging(&self, bytes: u64) -> wgpu::Buffer {
        self.buffer(
            bytes,
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        )
    }

    pub(super) fn images(&self, grid: &Grid, part: usize, setup: &Setup) -> Images {
        let len = grid.image_len(part);
        let tilts = grid.part(part).len();
        let measured = self.storage(tilts * len);
        let mut waiting = 0;
        for tilt in 0..tilts {
            let values = grid.load_image(part, tilt, &setup.images);
            let at = 4 * (tilt * len) as u64;
            let bytes = bytemuck::cast_slice(&values);
            self.0.queue.write_buffer(&measured, at, bytes);
            waiting += bytes.len() as u64;
            // Sent from time to time, so that it does not pile up in the host's memory.
            if waiting >= STAGING_BYTES {
                self.0.queue.submit([]);
                waiting = 0;
            }
        }
        Images {
            tilts: self.filled(&grid.tilt_data(part, setup.angles, setup.fitted)),
            residual: self.storage(tilts * len),
            measured,
        }
    }
}
