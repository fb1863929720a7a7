//! Made-up data with a known truth: a partially oxidised Zr particle, its tilt series, and the comparison of a
//! traced model with the truth.
//!
//! Everything is deterministic: one seed gives one result, whatever the number of threads.

pub mod acquisition;
pub mod compare;
pub mod demo;
mod grid;
pub mod particle;

pub use acquisition::{
    AcquireError, Acquired, AcquisitionParams, Scatterer, acquire, scatterers_of,
};
pub use compare::{CompareError, CompareParams, Compared, compare};
pub use demo::{Demo, DemoError, DemoParams, demo_series};
pub use particle::{Particle, ParticleError, ParticleParams, Pore, grow};
