//! Projected images smoothed by a Gaussian, and the exact transpose.
//!
//! The projection of a volume smoothed by an isotropic Gaussian is the volume's projection smoothed by the same
//! Gaussian: the smoothing of a volume costs no more than that of its images.
//!
//! Weights that fall beside the image are left out and the others raised to a sum of 1, so that an object wider than
//! the image is not dimmed along its edge.

use super::layout::{Layout, MARGIN, WorkImages};
use crate::numeric::gaussian::{gaussian_kernel, weigh};
use rayon::prelude::*;

/// A Gaussian for the images of one series.
#[derive(Debug, Clone)]
pub struct ImageBlur {
    x: Line,
    y: Line,
}

/// The weights along one axis.
#[derive(Debug, Clone)]
struct Line {
    /// At distance 0, 1, 2, … pixels.
    kernel: Vec<f32>,
    /// For each pixel, 1 over the sum of the weights that fall on the image.
    gain: Vec<f32>,
}

impl Line {
    fn new(sigma_px: f64, len: usize) -> Self {
        let kernel = if sigma_px > 0.0 {
            gaussian_kernel(sigma_px)
        } else {
            vec![1.0]
        };
        let gain = (0..len)
            .map(|at| {
                let inside = |reach: usize| kernel[1..].iter().take(reach).sum::<f32>();
                1.0 / (kernel[0] + inside(at) + inside(len - 1 - at))
            })
            .collect();
        Self { kernel, gain }
    }

    fn reach(&self) -> usize {
        self.kernel.len() - 1
    }
}

/// Where the pixels of the images lie in working layout: *groups* of rows or pieces of rows, each with its part of every
/// tilt.
pub(super) trait Pixels: Sync {
    /// Number of images.
    fn images(&self) -> usize;
    /// Pixels on x and y.
    fn image_size(&self) -> [usize; 2];
    /// Numbers of a group; the last may be shorter.
    fn group(&self) -> usize;
    /// Row `x` out of the parts of one image.
    fn read(&self, parts: &[&mut [f32]], x: usize, row: &mut [f32]);
    /// Row `x` into the parts of one image.
    fn write(&self, parts: &mut [&mut [f32]], x: usize, row: &[f32]);
}

impl Pixels for Layout {
    fn images(&self) -> usize {
        self.tilts
    }

    fn image_size(&self) -> [usize; 2] {
        self.image_size
    }

    fn group(&self) -> usize {
        self.all_rows() * self.slab_y
    }

    fn read(&self, parts: &[&mut [f32]], x: usize, row: &mut [f32]) {
        let mut rest = row;
        for (slab, part) in self.slabs().zip(parts) {
            let pixels = self.pixels_in(&slab);
            let (row, after) = rest.split_at_mut(pixels.len());
            row.copy_from_slice(&part[(MARGIN + x) * slab.len()..][pixels]);
            rest = after;
        }
    }

    fn write(&self, parts: &mut [&mut [f32]], x: usize, row: &[f32]) {
        let mut rest = row;
        for (slab, part) in self.slabs().zip(parts) {
            let pixels = self.pixels_in(&slab);
            let (row, after) = rest.split_at(pixels.len());
            part[(MARGIN + x) * slab.len()..][pixels].copy_from_slice(row);
            rest = after;
        }
    }
}

/// Room for one image, padded on both axes.
#[derive(Default)]
struct Room {
    image: Vec<f32>,
    line: Vec<f32>,
}

impl ImageBlur {
    /// A Gaussian of standard deviation `sigma_px` pixels on x and y for images of `size` pixels.
    #[must_use]
    pub fn new(sigma_px: [f64; 2], size: [usize; 2]) -> Self {
        Self {
            x: Line::new(sigma_px[0], size[0]),
            y: Line::new(sigma_px[1], size[1]),
        }
    }

    /// What a Gaussian of `sigma_vox` voxels on each voxel makes of images whose projector widens a voxel by `own`
    /// variance (px², x and y) by itself.
    #[must_use]
    pub fn of_kernel(sigma_vox: f64, own: [f64; 2], size: [usize; 2]) -> Self {
        let sigma = own.map(|own| (sigma_vox * sigma_vox - own).max(0.0).sqrt());
        Self::new(sigma, size)
    }

    /// Weights at distance 0, 1, 2, … and, for each pixel, 1 over the sum of those that fall on the image; on x and y.
    pub(super) fn lines(&self) -> [(&[f32], &[f32]); 2] {
        [&self.x, &self.y].map(|line| (line.kernel.as_slice(), line.gain.as_slice()))
    }

    /// Smooths every image (or, `transposed`, applies the transpose of that).
    pub(super) fn apply(&self, pixels: &impl Pixels, images: &mut WorkImages, transposed: bool) {
        let tilts = pixels.images();
        let mut parts: Vec<Vec<&mut [f32]>> = (0..tilts).map(|_| Vec::new()).collect();
        for values in images.0.chunks_mut(pixels.group().max(1)) {
            let len = (values.len() / tilts.max(1)).max(1);
            for (parts, image) in parts.iter_mut().zip(values.chunks_mut(len)) {
                parts.push(image);
            }
        }
        parts
            .par_iter_mut()
            .for_each_init(Room::default, |room, parts| {
                self.gather(pixels, parts, room, transposed);
                self.scatter(pixels, parts, room, transposed);
            });
    }

    /// Smooths along y on the way into the room.
    fn gather(
        &self,
        pixels: &impl Pixels,
        parts: &[&mut [f32]],
        room: &mut Room,
        transposed: bool,
    ) {
        let [nx, ny] = pixels.image_size();
        let (across, along) = (self.x.reach(), self.y.reach());
        room.image.clear();
        room.image.resize((nx + 2 * across) * ny, 0.0);
        room.line.clear();
        room.line.resize(ny + 2 * along, 0.0);
        for x in 0..nx {
            let row = &mut room.line[along..along + ny];
            pixels.read(parts, x, row);
            if transposed {
                scale(row, &self.y.gain);
            }
            let out = &mut room.image[(across + x) * ny..][..ny];
            weigh(out, &self.y.kernel, |k| &room.line[k..k + ny]);
            if transposed {
                let gain = self.x.gain[x];
                out.iter_mut().for_each(|v| *v *= gain);
            } else {
                scale(out, &self.y.gain);
            }
        }
    }

    /// Smooths along x on the way back.
    fn scatter(
        &self,
        pixels: &impl Pixels,
        parts: &mut [&mut [f32]],
        room: &mut Room,
        transposed: bool,
    ) {
        let [nx, ny] = pixels.image_size();
        for x in 0..nx {
            let out = &mut room.line[..ny];
            weigh(out, &self.x.kernel, |k| &room.image[(x + k) * ny..][..ny]);
            if !transposed {
                let gain = self.x.gain[x];
                out.iter_mut().for_each(|v| *v *= gain);
            }
            pixels.write(parts, x, out);
        }
    }
}

fn scale(values: &mut [f32], gain: &[f32]) {
    for (value, gain) in values.iter_mut().zip(gain) {
        *value *= gain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EulerAngles;
    use crate::projection::{Method, Operator, Projector};
    use ndarray::{Array3, s};
    use rand::{Rng, SeedableRng, rngs::StdRng};

    fn projectors() -> Vec<Operator> {
        let mut projectors = Vec::new();
        // y over two slabs with one tilt axis; one padded column with several.
        for off in [0.0, 0.4] {
            for projector in [Projector::Linear, Projector::Fourier] {
                let angles: Vec<_> = [-40.0, 0.0, 31.0]
                    .iter()
                    .map(|theta| EulerAngles::from_deg(off, *theta, 0.0))
                    .collect();
                let method = Method {
                    projector,
                    ..Method::LINEAR
                };
                projectors.push(Operator::new(method, [20, 75, 20], [18, 75], &angles));
            }
        }
        projectors
    }

    fn random(seed: u64) -> Array3<f32> {
        let mut rng = StdRng::seed_from_u64(seed);
        Array3::from_shape_simple_fn((3, 18, 75), || rng.random_range(-1.0f32..1.0))
    }

    #[test]
    fn both_directions_are_transposes_of_each_other() {
        let blur = ImageBlur::new([1.3, 0.8], [18, 75]);
        for projector in projectors() {
            let (a, b) = (random(1), random(2));
            let run = |data: &Array3<f32>, transposed| {
                let mut work = projector.load_images(&data.view());
                projector.blur(&mut work, &blur, transposed);
                projector.store_images(&work)
            };
            let dot = |a: &Array3<f32>, b: &Array3<f32>| -> f64 {
                a.iter()
                    .zip(b)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum()
            };
            let (left, right) = (dot(&run(&a, false), &b), dot(&a, &run(&b, true)));
            assert!((left - right).abs() < 1e-4 * left.abs().max(1.0));
        }
    }

    #[test]
    fn a_constant_stays_and_a_point_becomes_a_gaussian() {
        let blur = ImageBlur::new([1.5, 1.5], [18, 75]);
        for projector in projectors() {
            let run = |data: Array3<f32>| {
                let mut work = projector.load_images(&data.view());
                projector.blur(&mut work, &blur, false);
                projector.store_images(&work)
            };
            let flat = run(Array3::from_elem((3, 18, 75), 2.0));
            assert!(flat.iter().all(|v| (v - 2.0).abs() < 1e-5));
            // Across the border between two slabs.
            let mut point = Array3::zeros((3, 18, 75));
            point[[1, 9, 63]] = 1.0;
            let spread = run(point);
            // Near the rim weights that fall beside the image are made up for.
            assert!((spread.sum() - 1.0).abs() < 1e-3);
            let bell =
                |x: f64, y: f64| (-(x * x + y * y) / 4.5).exp() / (4.5 * std::f64::consts::PI);
            for ((x, y), found) in spread.slice(s![1, .., ..]).indexed_iter() {
                let wanted = bell(x as f64 - 9.0, y as f64 - 63.0);
                assert!((f64::from(*found) - wanted).abs() < 1e-4, "{x} {y}");
            }
        }
    }

    #[test]
    fn a_point_is_seen_as_the_gaussian_that_the_volume_is_made_of() {
        let mut data = Array3::zeros((20, 75, 20));
        data[[9, 40, 12]] = 1.0;
        for projector in projectors() {
            let silent = crate::monitor::Monitor::silent();
            let mut images = projector.new_images();
            projector
                .forward(&projector.load_volume(&data), &mut images, &silent)
                .unwrap();
            // Spreading a voxel over the pixels beside it widens it by itself.
            let own = projector.interpolation_variance();
            let sigma = own.map(|v| (1.6f64.powi(2) - v).sqrt());
            projector.blur(&mut images, &ImageBlur::new(sigma, [18, 75]), false);
            let found = projector.store_images(&images);
            for (tilt, theta) in [-40.0f64, 0.0, 31.0].iter().enumerate() {
                // Of the voxel (−1, 3, 2) about the middle.
                let (sin, cos) = theta.to_radians().sin_cos();
                let (px, py) = (9.0 - cos - 2.0 * sin, 40.0);
                for ((x, y), value) in found.slice(s![tilt, .., ..]).indexed_iter() {
                    let r2 = (x as f64 - px).powi(2) + (y as f64 - py).powi(2);
                    let peak = 1.0 / (2.0 * std::f64::consts::PI * 1.6f64.powi(2));
                    let wanted = peak * (-r2 / (2.0 * 1.6f64.powi(2))).exp();
                    // How far the two pixels beside it spread it depends on where it falls: 0 to ¼ px².
                    assert!((f64::from(*value) - wanted).abs() < 0.08 * peak);
                }
            }
        }
    }
}
