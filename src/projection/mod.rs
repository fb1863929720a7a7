//! Forward projection and its adjoint.

mod aligned;
pub mod bench;
mod general;
mod layout;
pub mod linear;
pub(crate) mod simd;
mod single_axis;

pub use linear::forward;
