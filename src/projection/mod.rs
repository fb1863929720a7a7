//! Forward projection and its adjoint.

mod aligned;
pub mod bench;
mod general;
mod layout;
pub mod linear;
pub mod operator;
pub(crate) mod simd;
mod single_axis;

pub use linear::forward;
pub use operator::Operator;
