//! Forward projection and its adjoint.

pub mod linear;

pub use linear::forward;
