//! Forward projection and its adjoint.

mod aligned;
pub mod bench;
pub mod blur;
pub mod fourier;
mod general;
pub mod gpu;
mod layout;
pub mod linear;
mod misfit;
pub mod operator;
pub(crate) mod simd;
mod single_axis;

pub use operator::{Method, Operator, Projector, forward, forward_by};
