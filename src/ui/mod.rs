//! The window. Panels and views look at [`state::AppState`] and ask through [`actions::Actions`]; nothing here
//! computes anything that takes longer than a frame.

pub mod actions;
pub mod app;
pub mod bench;
pub mod brush;
pub mod calibration;
pub mod colors;
pub mod commands;
pub mod dialogs;
pub mod doubts;
pub mod editing;
pub mod embed;
pub mod examining;
pub mod figure_cache;
pub mod keys;
pub mod layout;
pub mod masking;
pub mod measuring;
pub mod mosaic;
pub mod palette;
pub mod panels;
pub mod perform;
pub mod plane;
pub mod questions;
pub mod queue;
pub mod safety;
pub mod state;
pub mod theme;
pub mod tilts;
pub mod views;

pub use app::{App, run_with};
