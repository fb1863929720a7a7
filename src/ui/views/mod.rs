//! The pictures of the window. Each keeps only view state (zoom, textures); what it shows comes from
//! [`super::state::AppState`], what it asks for goes into [`super::actions::Actions`].

pub mod canvas;
pub mod gallery;
pub mod plot;
pub mod slices;
pub mod tilt;
pub mod void_mesh;
pub mod volume;
pub mod volume_gpu;
