//! How a tilt sees a run of voxels of every column of a tile.

use super::super::layout::{COLUMNS, Layout};
use super::super::simd::floor;
use super::{Order, Place, Tilt};

/// Stands for a run that two pixels of two rows (three, with the correction) do not do for.
pub(super) const ODD: i32 = -1;

/// Weights of a tile's columns, by increasing p, for a run of voxels.
pub(super) struct Sights {
    /// Place in the image of the first voxel's first pixel, or [`ODD`]; a last one that no place equals.
    pub(super) at: [i32; COLUMNS + 1],
    /// Weight c of the next row and a of the next pixel for the first voxel, and their product.
    pub(super) across: [f32; COLUMNS],
    pub(super) along: [f32; COLUMNS],
    pub(super) product: [f32; COLUMNS],
    /// Whether some voxels have crossed to the next pair of rows.
    pub(super) crosses: [i32; COLUMNS],
}

impl Sights {
    /// Of the `count` columns in `order`, whose smallest p and first column are seen at `place`.
    #[inline(always)]
    pub(super) fn new(
        tilt: &Tilt,
        order: &Order,
        count: usize,
        place: Place,
        lanes: usize,
        layout: &Layout,
    ) -> Self {
        let mut sights = Self {
            at: [i32::MAX; COLUMNS + 1],
            across: [0.0; COLUMNS],
            along: [0.0; COLUMNS],
            product: [0.0; COLUMNS],
            crosses: [0; COLUMNS],
        };
        let stride = layout.stored_y as i32;
        let last_row = layout.rows() as i32 - 3;
        let last_pixel = stride - lanes as i32 - 1;
        // How far p and q get in the run, either way.
        let [way, turn] = [tilt.slope * lanes as f32, tilt.drift * lanes as f32];
        let (down, up) = (way.min(0.0), way.max(0.0));
        let (left, right) = (turn.min(0.0), turn.max(0.0));
        let (first_row, first_pixel) = (place.row as i32, place.pixel as i32);
        for k in 0..COLUMNS {
            let p = place.p + order.across[k];
            let (whole, row) = floor(p + down);
            let across = p - whole;
            let q = place.q + order.along[k];
            let (whole, pixel) = floor(q + left);
            let along = q - whole;
            let (row, pixel) = (first_row + row, first_pixel + pixel);
            let inside = (row >= 0) & (row <= last_row) & (pixel >= 0) & (pixel <= last_pixel);
            let simple = inside & (across + up < 2.0) & (along + right <= 1.0);
            // Rows beside the image may be far enough that their place is no number; those are odd.
            let at = row.wrapping_mul(stride).wrapping_add(pixel);
            sights.at[k] = if simple { at } else { ODD };
            sights.across[k] = across;
            sights.along[k] = along;
            sights.product[k] = across * along;
            sights.crosses[k] = i32::from(across + up > 1.0);
        }
        sights.at[count] = i32::MAX;
        sights
    }

    /// Whether any of some columns crosses.
    #[inline(always)]
    pub(super) fn any_crosses(&self, columns: std::ops::Range<usize>) -> bool {
        self.crosses[columns].iter().fold(0, |any, c| any | c) != 0
    }
}
