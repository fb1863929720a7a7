//! Images smoothed on the device, between projection and misfit: a kernel in the loop.

use super::GpuError;
use super::buffers::{Images, Maker};
use super::grid::Grid;
use super::work::Work;
use crate::projection::blur::ImageBlur;

/// `blur.wgsl`.
const ALONG_X: u32 = 0;
const ALONG_Y: u32 = 1;

/// What follows the projection, or precedes the transpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Smooth {
    /// Smooths and subtracts what was measured.
    Compare,
    /// Smooths.
    Plain,
    /// The transpose of that.
    Transposed,
}

/// A Gaussian bound to the images of every part.
pub(super) struct Smoothing {
    parts: Vec<Passes>,
    /// Weights on either side, on x and y.
    reach: [usize; 2],
}

/// One pass along y into a scratch image, then one along x and back.
struct Passes {
    along: wgpu::BindGroup,
    across: wgpu::BindGroup,
    across_and_compare: wgpu::BindGroup,
    along_transposed: wgpu::BindGroup,
    across_transposed: wgpu::BindGroup,
}

impl Smoothing {
    pub(super) fn new(make: &Maker, grid: &Grid, images: &[Images], blur: &ImageBlur) -> Self {
        let gpu = make.0;
        let lines = blur.lines();
        let weights = lines.map(|(kernel, gain)| make.filled(&[kernel, gain].concat()));
        let reach = lines.map(|(kernel, _)| kernel.len() - 1);
        let parts = images
            .iter()
            .enumerate()
            .map(|(part, images)| {
                let slab = if grid.single_axis { part } else { 0 };
                let pair = make.uniform(&grid.pair_data(slab, part, true, true));
                let scratch = make.storage(grid.part(part).len() * grid.image_len(part));
                let pass = |axis: u32, transposed: bool, subtract: bool| {
                    let control = make.uniform(&[
                        axis,
                        u32::from(transposed),
                        reach[axis as usize] as u32,
                        u32::from(subtract),
                        grid.first_pixel(part) as u32,
                        0,
                        0,
                        0,
                    ]);
                    let (from, to) = if axis == ALONG_Y {
                        (&images.residual, &scratch)
                    } else {
                        (&scratch, &images.residual)
                    };
                    let line = &weights[axis as usize];
                    let buffers = [&pair, &control, line, from, &images.measured, to];
                    gpu.kernels.blur().bind(&gpu.device, &buffers)
                };
                Passes {
                    along: pass(ALONG_Y, false, false),
                    across: pass(ALONG_X, false, false),
                    across_and_compare: pass(ALONG_X, false, true),
                    along_transposed: pass(ALONG_Y, true, false),
                    across_transposed: pass(ALONG_X, true, false),
                }
            })
            .collect();
        Self { parts, reach }
    }

    pub(super) fn run(&self, work: &mut Work, grid: &Grid, how: Smooth) -> Result<(), GpuError> {
        let [rows, pixels] = grid.image_size;
        for (part, passes) in self.parts.iter().enumerate() {
            let tilts = grid.part(part).len();
            let groups = [pixels.div_ceil(32), tilts, rows.div_ceil(8)];
            let (along, across) = match how {
                Smooth::Compare => (&passes.along, &passes.across_and_compare),
                Smooth::Plain => (&passes.along, &passes.across),
                Smooth::Transposed => (&passes.along_transposed, &passes.across_transposed),
            };
            for (bound, reach) in [(along, self.reach[1]), (across, self.reach[0])] {
                let samples = (tilts * rows * pixels * (2 * reach + 1)) as f64;
                work.dispatch_blur(bound, groups, samples)?;
            }
        }
        Ok(())
    }
}
