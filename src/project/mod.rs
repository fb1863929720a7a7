//! The document: where the data came from, every stage's parameters, what was run, and what was edited by hand.
//!
//! A project is one JSON file, `name.aetlas`; arrays lie beside it in `name.aetlas-data/`. Every hand
//! edit is appended to the session's journal the moment it is made ([`session`]) and is part of the project once saved.

pub mod carry;
pub mod change;
pub mod edits;
pub mod handwork;
pub mod pipeline;
pub mod report;
pub mod session;
pub mod store;
pub mod workspace;

pub use change::{AtomSnapshot, Change, Mark, phase_by_hand};
pub use edits::{EditKind, Edits, Entry, Evidence};
pub use handwork::EditCounts;
pub use pipeline::{Stage, StageStatus};
pub use workspace::{Parameters, Project, Record, Sources, UsedCalibration, Workspace};
