//! The iterations on a graphics processor: wgpu compute on a device of its own, so that a slow kernel does not freeze
//! the window.
//!
//! The projector is the linear one of [`super::linear`], with the same weights: a voxel is spread over the pixels
//! nearest to where it is seen with the weights `max(0, 1 − |distance|)`. Both directions gather, for portable shaders
//! have no atomic addition: a voxel from the pixels it is seen in, a pixel from the voxels under its hat. Volume,
//! images, residual and momentum stay on the device; per iteration only the misfit of each tilt comes back (and, with
//! momentum, whether it points uphill).
//!
//! y is fastest in memory. What is larger than a binding is cut: the volume along y into *slabs*, and the images
//! accordingly (single axis, where the slabs are independent) or into *parts* of some tilts (any other geometry, where
//! every slab is seen in every part).

mod bench;
mod buffers;
mod device;
mod grid;
mod iterations;
mod kernels;
mod smoothing;
mod work;

pub use bench::{CopyLimit, bench};
pub use device::{Gpu, Which};
pub use grid::device_memory;
pub use iterations::{Iterations, Setup};

use crate::monitor::Stopped;

/// Why nothing can be computed there.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GpuError {
    /// No adapter of the kind wanted.
    #[error("expected {expected}, found {found}")]
    NoAdapter {
        /// What was wanted.
        expected: &'static str,
        /// The adapters there are.
        found: String,
    },
    /// The driver refuses a device.
    #[error("{adapter} gives no device: {reason}")]
    NoDevice {
        /// Its name.
        adapter: String,
        /// What the driver says.
        reason: String,
    },
    /// It does not fit.
    #[error("{adapter} has no room for {needed_gb:.2} GB: {reason}")]
    TooLarge {
        /// The adapter's name.
        adapter: String,
        /// Forecast.
        needed_gb: f64,
        /// What is too large, or what the driver says.
        reason: String,
    },
    /// The device was lost, or made a mistake.
    #[error("{adapter} failed: {reason}")]
    Lost {
        /// The adapter's name.
        adapter: String,
        /// What the driver says.
        reason: String,
    },
    /// Someone asked for a stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

#[cfg(test)]
mod tests;
