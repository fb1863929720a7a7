//! Specimens wider than their images: films, and windows cut out of a larger field.
//!
//! A tilted ray through an image then meets matter that other images do not show. The volume has to hold that matter, or
//! what is in the field has to account for it; it is as wide as the most inclined ray is long (Yuan et al., Nature
//! Materials 21, 95 (2022), reconstruct windows of a film so).

use crate::model::TiltSeries;
use crate::model::geometry::{apply, center_index, transpose};

/// Largest width of the volume over that of the image: beyond, at more than 75°, rays run nearly along the film.
const WIDEST: usize = 8;
/// What the volume reaches beyond the images along the tilt axis, Å: half the box of an atom's fit.
const BESIDE: f64 = 1.5;

/// Voxels on x, y, z: as deep as the image is wide, and wide enough for every ray through a pixel to enter and leave by the
/// top and the bottom.
#[must_use]
pub fn volume_size(series: &TiltSeries) -> [usize; 3] {
    let [nx, ny] = series.image_size();
    let half = [nx, ny, nx].map(|n| center_index(n) as f64);
    let mut reach = half;
    for &tilt in &series.included_tilts() {
        let rotation = series.angles[tilt].detector_from_sample();
        let back = transpose(&rotation);
        let along = apply(&back, [0.0, 0.0, 1.0]);
        for [p, q] in [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]] {
            let pixel = apply(&back, [p * half[0], q * half[1], 0.0]);
            for side in [-half[2], half[2]] {
                // Where the ray meets the top or the bottom; one along the film never does.
                let t = (side - pixel[2]) / along[2];
                for axis in 0..2 {
                    let at = (pixel[axis] + t * along[axis]).abs();
                    if at.is_finite() {
                        reach[axis] = reach[axis].max(at);
                    }
                }
            }
        }
    }
    let beside = series
        .pixel_size
        .map_or(0.0, |size| (BESIDE / size).max(0.0));
    let wide = |reach: f64, n: usize| {
        // Odd, so that the same number of voxels lies on either side of the center.
        let voxels = 2.0 * reach.ceil() + 1.0;
        (voxels.min((WIDEST * n) as f64) as usize).max(n)
    };
    [
        wide(reach[0], nx),
        wide(reach[1] + beside.min(half[1]), ny),
        nx,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EulerAngles;
    use ndarray::Array3;

    fn series(tilts: &[[f64; 3]], size: [usize; 2]) -> TiltSeries {
        let angles: Vec<EulerAngles> = tilts
            .iter()
            .map(|[phi, theta, psi]| EulerAngles::from_deg(*phi, *theta, *psi))
            .collect();
        let images = Array3::zeros((tilts.len(), size[0], size[1]));
        TiltSeries::new("film", images, angles, Some(0.5))
    }

    #[test]
    fn the_widest_ray_stays_inside() {
        // (65 + 65 sin 60°) / cos 60° = 242.6 on either side.
        let film = series(&[[0.0, 60.0, 0.0], [0.0, -30.0, 0.0]], [131, 61]);
        assert_eq!(volume_size(&film), [2 * 243 + 1, 61 + 2 * 3, 131]);
        // Turned about the beam, rays leave along y, too.
        let turned = series(&[[2.0, 60.0, 0.0]], [131, 61]);
        assert!(
            volume_size(&turned)[1] > 61 + 2 * 6,
            "{:?}",
            volume_size(&turned)
        );
    }

    #[test]
    fn a_ray_along_the_film_does_not_make_it_endless() {
        let film = series(&[[0.0, 90.0, 0.0], [0.0, 89.9, 0.0]], [40, 30]);
        assert_eq!(volume_size(&film)[0], 320);
        assert_eq!(volume_size(&series(&[[0.0; 3]], [40, 30])), [41, 37, 40]);
    }
}
