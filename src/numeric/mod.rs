//! Numerics that know no stage: interpolation, smoothing, small fits, registration.

pub mod curve;
pub mod fit;
pub mod fsc;
pub mod gaussian;
pub mod hull;
pub mod interpolate;
pub mod neighbors;
pub mod odds;
pub mod poses;
pub mod registration;
pub mod shift;
pub mod spectrum;
pub mod surface;
pub mod tessellation;
pub mod voronoi;
