//! A reconstructed volume: density on a cubic grid.

use super::geometry::center_index;
use ndarray::Array3;

/// Density on a cubic grid.
///
/// `data` has shape `(x, y, z)` in standard (C) layout, so z is contiguous. Coordinates in Å count from the
/// centre voxel, `n / 2` on each axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// Density, shape `(x, y, z)`, in image counts per voxel (a pixel is the plain sum of voxels along the beam).
    pub data: Array3<f32>,
    /// Edge of a voxel, Å.
    pub pixel_size: f64,
}

impl Volume {
    /// A volume from an array of shape `(x, y, z)`; any layout is brought to standard order.
    #[must_use]
    pub fn new(data: Array3<f32>, pixel_size: f64) -> Self {
        let data = if data.is_standard_layout() {
            data
        } else {
            data.as_standard_layout().into_owned()
        };
        Self { data, pixel_size }
    }

    /// A volume of zeros.
    #[must_use]
    pub fn zeros(size: [usize; 3], pixel_size: f64) -> Self {
        Self::new(Array3::zeros(size), pixel_size)
    }

    /// Number of voxels on x, y, z.
    #[must_use]
    pub fn size(&self) -> [usize; 3] {
        let (x, y, z) = self.data.dim();
        [x, y, z]
    }

    /// The centre voxel, where coordinates are zero.
    #[must_use]
    pub fn center_vox(&self) -> [f64; 3] {
        self.size().map(|n| center_index(n) as f64)
    }

    /// Position (Å) of a (fractional) voxel index.
    #[must_use]
    pub fn position_of(&self, index_vox: [f64; 3]) -> [f64; 3] {
        let center = self.center_vox();
        std::array::from_fn(|axis| (index_vox[axis] - center[axis]) * self.pixel_size)
    }

    /// Fractional voxel index of a position (Å).
    #[must_use]
    pub fn index_of(&self, position: [f64; 3]) -> [f64; 3] {
        let center = self.center_vox();
        std::array::from_fn(|axis| position[axis] / self.pixel_size + center[axis])
    }

    /// Density at a position (Å) by trilinear interpolation; zero outside the grid.
    #[must_use]
    pub fn density_at(&self, position: [f64; 3]) -> f32 {
        let index = self.index_of(position);
        let size = self.size();
        let base = index.map(f64::floor);
        let mut sum = 0.0f64;
        for corner in 0..8usize {
            let offset = [corner >> 2 & 1, corner >> 1 & 1, corner & 1];
            let mut weight = 1.0;
            let mut voxel = [0usize; 3];
            let mut inside = true;
            for axis in 0..3 {
                let fraction = index[axis] - base[axis];
                weight *= if offset[axis] == 1 {
                    fraction
                } else {
                    1.0 - fraction
                };
                let at = base[axis] + offset[axis] as f64;
                inside &= at >= 0.0 && at < size[axis] as f64;
                voxel[axis] = at.max(0.0) as usize;
            }
            if inside && weight > 0.0 {
                sum += weight * f64::from(self.data[voxel]);
            }
        }
        sum as f32
    }

    /// Smallest and largest finite density; `(0, 0)` for an empty volume.
    #[must_use]
    pub fn range(&self) -> (f32, f32) {
        let mut range = (f32::INFINITY, f32::NEG_INFINITY);
        for &value in self.data.iter().filter(|v| v.is_finite()) {
            range = (range.0.min(value), range.1.max(value));
        }
        if range.0 > range.1 { (0.0, 0.0) } else { range }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_indices_are_inverse_and_zero_is_the_center_voxel() {
        let volume = Volume::zeros([5, 6, 7], 0.5);
        assert_eq!(volume.position_of([2.0, 3.0, 3.0]), [0.0; 3]);
        let index = volume.index_of([1.0, -0.25, 0.75]);
        assert_eq!(volume.position_of(index), [1.0, -0.25, 0.75]);
    }

    #[test]
    fn density_is_exact_on_voxels_and_linear_between() {
        let mut volume = Volume::zeros([4, 4, 4], 2.0);
        volume.data[[2, 2, 2]] = 8.0;
        assert_eq!(volume.density_at([0.0; 3]), 8.0);
        assert_eq!(volume.density_at([1.0, 0.0, 0.0]), 4.0);
        assert_eq!(volume.density_at([100.0, 0.0, 0.0]), 0.0);
    }
}
