//! Numerics that know no stage: interpolation, smoothing, small fits.

pub mod curve;
pub mod fit;
pub mod gaussian;
pub mod hull;
pub mod interpolate;
pub mod neighbors;
pub mod odds;
pub mod surface;
pub mod tessellation;
