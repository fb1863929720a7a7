//! Units and names.
//!
//! - Bare lengths are Å, bare angles radians. Anything else says so in its name: `_px`, `_vox`, `_nm`,
//!   `_pm`, `_deg`, `_secs`.
//! - Degrees live in files and in fields shown to the user; conversion happens at the edge.
//! - Positions, geometry and sums are `f64`; voxels and pixels are `f32`.

/// Å in one nanometre.
pub const ANGSTROM_PER_NM: f64 = 10.0;
/// Picometres in one Å.
pub const PM_PER_ANGSTROM: f64 = 100.0;
/// A Gaussian's full width at half maximum over its standard deviation, `2 √(2 ln 2)`.
pub const FWHM_PER_SIGMA: f64 = 2.354_820_045_030_949_4;
