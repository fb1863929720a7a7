//! How far projections are from measured images.

use super::layout::WorkImages;
use super::simd::{Instructions, Kernel, Vector};
use rayon::prelude::*;

/// How far projections are from measured images.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Misfit {
    /// `Σ |Πᵢ O − bᵢ|`.
    pub absolute: f64,
    /// `Σ (Πᵢ O − bᵢ)²`.
    pub squares: f64,
}

/// Subtracts `measured` from `images` and says how far they were apart, tilt by tilt; then zeroes the tilts that are
/// not `fitted`. Both are groups of `group` numbers (the last may be shorter), each with its part of every tilt, of
/// whole cache lines.
pub(super) fn subtract(
    instructions: Instructions,
    images: &mut WorkImages,
    measured: &WorkImages,
    group: usize,
    fitted: &[bool],
) -> Vec<Misfit> {
    let tilts = fitted.len();
    let group = group.max(1);
    let mut parts = vec![Misfit::default(); images.0.len().div_ceil(group) * tilts];
    images
        .0
        .par_chunks_mut(group)
        .zip(measured.0.par_chunks(group))
        .zip(parts.par_chunks_mut(tilts.max(1)))
        .for_each(|((images, measured), parts)| {
            let len = images.len() / tilts;
            images
                .par_chunks_mut(len)
                .zip(measured.par_chunks(len))
                .zip(parts)
                .enumerate()
                .for_each(|(tilt, ((image, measured), misfit))| {
                    instructions.run(Subtract {
                        image,
                        measured,
                        misfit,
                    });
                    if !fitted[tilt] {
                        image.fill(0.0);
                    }
                });
        });
    (0..tilts)
        .map(|tilt| {
            let of_tilt = parts.iter().skip(tilt).step_by(tilts);
            of_tilt.fold(Misfit::default(), |sum, part| Misfit {
                absolute: sum.absolute + part.absolute,
                squares: sum.squares + part.squares,
            })
        })
        .collect()
}

/// Zeroes the tilts that are not `kept`; groups as in [`subtract`].
pub(super) fn keep(images: &mut WorkImages, group: usize, kept: &[bool]) {
    for group in images.0.chunks_mut(group.max(1)) {
        let len = group.len() / kept.len();
        for (image, kept) in group.chunks_mut(len).zip(kept) {
            if !kept {
                image.fill(0.0);
            }
        }
    }
}

/// Values summed up in single precision before they go to a double.
const BLOCK: usize = 256;

struct Subtract<'a> {
    image: &'a mut [f32],
    measured: &'a [f32],
    misfit: &'a mut Misfit,
}

impl Kernel for Subtract<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let blocks = self
            .image
            .chunks_mut(BLOCK)
            .zip(self.measured.chunks(BLOCK));
        for (image, measured) in blocks {
            let mut absolute = [0.0f32; LANES];
            let mut squares = [0.0f32; LANES];
            // Images are whole cache lines.
            let lines = image.as_chunks_mut::<LANES>().0;
            for (image, measured) in lines.iter_mut().zip(measured.as_chunks::<LANES>().0) {
                for lane in 0..LANES {
                    image[lane] -= measured[lane];
                    absolute[lane] += image[lane].abs();
                    squares[lane] += image[lane] * image[lane];
                }
            }
            self.misfit.absolute += f64::from(absolute.iter().sum::<f32>());
            self.misfit.squares += f64::from(squares.iter().sum::<f32>());
        }
    }
}

/// Numbers of a cache line.
const LANES: usize = 16;
