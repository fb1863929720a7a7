//! Aetlas: from a STEM tilt series to a 3D atomic model that survives peer review.
//!
//! Data flows one way: files → tilt series → prepared series → volume → atoms → analysis → figures.
//! A stage never changes its input and never looks back. Layers, from the ground up:
//!
//! | level | modules | know |
//! |---|---|---|
//! | 0 | [`model`], [`monitor`] | nothing else |
//! | 1 | [`numeric`], [`projection`], [`io`] | level 0 (and `numeric`) |
//! | 2 | [`preprocess`], [`reconstruct`], [`trace`], [`analyze`], [`simulate`] | levels 0–1, blind to one another |
//! | 3 | [`project`], [`figures`] | levels 0–2 |
//! | 4 | [`jobs`] | levels 0–3 |
//! | 5 | [`ui`], [`cli`] | levels 0, 3, 4 and the stages' parameter and outcome types |
//!
//! `tests/architecture.rs` holds the code to this table.

pub mod analyze;
pub mod cli;
pub mod figures;
pub mod io;
pub mod jobs;
pub mod model;
pub mod monitor;
pub mod numeric;
pub mod preprocess;
pub mod project;
pub mod projection;
pub mod reconstruct;
pub mod simulate;
pub mod trace;
pub mod ui;
