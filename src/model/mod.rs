//! The data every stage shares: tilt series, volumes, atoms, geometry. No files, no threads, no window.

pub mod atoms;
pub mod crystal;
pub mod elements;
pub mod geometry;
pub mod nan_json;
pub mod tilt_series;
pub mod units;
pub mod volume;

pub use atoms::{AtomId, Atoms, Column};
pub use crystal::Crystal;
pub use geometry::{EulerAngles, Matrix3, center_index};
pub use tilt_series::{Frames, Scan, TiltSeries};
pub use volume::Volume;
