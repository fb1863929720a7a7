//! The window. Panels and views look at [`state::AppState`] and ask through [`actions::Actions`]; nothing here
//! computes anything that takes longer than a frame.

pub mod actions;
pub mod state;
