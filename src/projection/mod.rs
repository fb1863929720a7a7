//! Forward projection and its adjoint.

pub mod bench;
pub mod linear;

pub use linear::forward;
