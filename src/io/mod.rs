//! Files: tilt series, volumes, angles and atomic models in; volumes, stacks, models and tables out.
//!
//! Arrays are named `path` or `path:variable`. `.npy`, `.npz`, `.mat` and HDF5 keep the index order of their makers:
//! volumes `(x, y, z)`, stacks `(x, y, tilt)`, unless an EMD file names its axes. MRC, TIFF, DM3, DM4 and SER are
//! `(section, row, column)`, with columns = x, rows = y, sections = z or tilt. Readers check sizes against the file before they allocate, and say subject, expected and found.
//! Writers all go through [`write_atomically`]: a file appears whole or not at all, nothing is replaced unless asked.

mod acquisition;
mod array;
mod arrays;
mod atomic;
mod cif;
mod digital_micrograph;
mod emd;
mod error;
mod folder;
mod hdf5;
pub mod matlab;
pub mod mesh;
pub mod mrc;
pub mod numpy;
mod pairing;
mod save;
mod series;
pub mod structures;
pub mod tables;
mod tia;
mod tiff_stack;

pub use acquisition::Acquisition;
pub use array::{NumberType, shape_text};
pub use arrays::{
    ArrayInfo, Format, LoadedArray, list, read_array, read_doubles, split_spec, stated_pixel_size,
};
pub use atomic::write_atomically;
pub use cif::read_cif;
pub use error::IoError;
pub use pairing::{Pairing, pair_files};
pub use save::{
    load_atoms, load_volume, save_atoms, save_json, save_stack, save_text, save_volume,
};
pub use series::{AngleTable, SeriesNotes, SeriesOptions, load_angles, load_series};
pub use structures::looks_like_voxels;
pub use tables::{Table, write_angles, write_csv};
