//! The parts of an iteration, on data that stay on the device.

use super::GpuError;
use super::buffers::Maker;
use super::device::Gpu;
use super::grid::{Grid, STAGING_BYTES};
use super::kernels::Directions;
use super::smoothing::{Smooth, Smoothing};
use super::work::{self, Clock, Work};
use crate::model::EulerAngles;
use crate::monitor::{Monitor, Stopped};
use crate::projection::blur::ImageBlur;
use crate::projection::linear::Misfit;
use bytemuck::{Pod, Zeroable};
use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use std::rc::Rc;

/// What is reconstructed, and how.
pub struct Setup<'a> {
    /// Voxels on x, y, z.
    pub volume_size: [usize; 3],
    /// Measured images `(tilt, x, y)`; pixels that are no numbers do not take part.
    pub images: ArrayView3<'a, f32>,
    /// Of each image.
    pub angles: &'a [EulerAngles],
    /// Whether a tilt is fitted.
    pub fitted: &'a [bool],
    /// Where density is allowed (above 0), `(x, y, z)`.
    pub support: Option<&'a Array3<f32>>,
    /// What smooths projected images, where the volume that is seen is the one iterated, smoothed.
    pub blur: Option<&'a ImageBlur>,
    /// Whether there is a point ahead of the volume.
    pub accelerated: bool,
    /// Whether negative density is set to zero.
    pub positivity: bool,
}

/// `take.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Control {
    step: f32,
    beta: f32,
    positive: u32,
    mode: u32,
}

/// What becomes of a gradient: `take.wgsl`.
#[derive(Clone, Copy)]
pub(super) enum Mode {
    /// It replaces the volume.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the transpose itself is looked at by tests")
    )]
    Store = 0,
    /// It moves the volume.
    Descend = 1,
    /// It moves the point ahead, to a new one.
    Propose = 2,
    /// Its largest value is looked for.
    Largest = 3,
}

struct Slab {
    volume: wgpu::Buffer,
    /// With momentum.
    ahead: Option<wgpu::Buffer>,
    /// Numbers of the transpose's workgroups.
    partials: wgpu::Buffer,
    /// With momentum.
    advance: Option<wgpu::BindGroup>,
}

struct Part {
    #[cfg_attr(not(test), expect(dead_code, reason = "bound; looked at by tests"))]
    residual: wgpu::Buffer,
    /// Numbers of the misfit's workgroups.
    misfits: wgpu::Buffer,
    misfit: wgpu::BindGroup,
}

/// A slab and a part that see one another.
struct Pair {
    slab: usize,
    part: usize,
    /// Projects the volume.
    forward: wgpu::BindGroup,
    /// With momentum: projects the point ahead.
    ahead: Option<wgpu::BindGroup>,
    adjoint: wgpu::BindGroup,
}

/// Measured images, volume, residual and (with momentum) the point ahead, on a device.
pub struct Iterations {
    gpu: Rc<Gpu>,
    grid: Grid,
    positivity: bool,
    accelerated: bool,
    slabs: Vec<Slab>,
    parts: Vec<Part>,
    pairs: Vec<Pair>,
    smoothing: Option<Smoothing>,
    control: wgpu::Buffer,
    /// Misfits and other sums on their way back.
    numbers: wgpu::Buffer,
    clock: Option<Clock>,
}

impl Iterations {
    /// Makes room for a volume of zeros and brings the images there.
    ///
    /// # Errors
    /// No room; a device that fails.
    pub fn new(gpu: Rc<Gpu>, setup: &Setup) -> Result<Self, GpuError> {
        let (tilts, rows, pixels) = setup.images.dim();
        let (image_size, binding) = ([rows, pixels], gpu.binding_bytes);
        debug_assert_eq!((tilts, tilts), (setup.angles.len(), setup.fitted.len()));
        let Some(grid) = Grid::new(setup.volume_size, image_size, setup.angles, binding) else {
            let whole = super::device_memory(
                setup.volume_size,
                image_size,
                setup.angles,
                setup.accelerated,
                setup.blur.is_some(),
            );
            return Err(GpuError::TooLarge {
                adapter: gpu.name().to_owned(),
                needed_gb: whole as f64 / 1e9,
                reason: format!(
                    "a buffer may have {:.3} GB, less than one image or layer",
                    binding as f64 / 1e9
                ),
            });
        };
        if setup.blur.is_some() && grid.single_axis && grid.parts() > 1 {
            return Err(GpuError::TooLarge {
                adapter: gpu.name().to_owned(),
                needed_gb: grid.bytes(setup.accelerated, true) as f64 / 1e9,
                reason: format!(
                    "images are smoothed whole, and a buffer may have {:.3} GB",
                    binding as f64 / 1e9
                ),
            });
        }
        let needed = grid.bytes(setup.accelerated, setup.blur.is_some());
        let this = gpu.allocate(needed, || Self::allocated(Rc::clone(&gpu), grid, setup))?;
        // What was written waits in the host's memory until something is sent.
        this.gpu.queue.submit([]);
        work::wait(&this.gpu, &|| Ok(()))?;
        Ok(this)
    }

    fn allocated(gpu: Rc<Gpu>, grid: Grid, setup: &Setup) -> Self {
        let make = Maker(&gpu);
        let control = make.uniform(&Control::zeroed());
        let [_, sheets, _] = grid.adjoint_groups(0);
        let firsts = work::firsts(&gpu, grid.tilts.max(sheets));
        let directions = gpu.kernels.directions(grid.single_axis);
        let scratch = make.storage(4);
        let nothing = make.storage(4);
        let mut fresh = Vec::new();
        let slabs: Vec<Slab> = (0..grid.slabs())
            .map(|slab| {
                let volume = make.storage(grid.slab_len(slab));
                let momentum = setup.accelerated || grid.sums_in_parts();
                let new = momentum.then(|| make.storage(grid.slab_len(slab)));
                let ahead = setup.accelerated.then(|| make.storage(grid.slab_len(slab)));
                let advance = new.as_ref().zip(ahead.as_ref()).map(|(new, ahead)| {
                    let buffers = [&control, new, &volume, ahead];
                    gpu.kernels.advance.bind(&gpu.device, &buffers)
                });
                fresh.push(new);
                Slab {
                    volume,
                    ahead,
                    partials: make.storage(grid.adjoint_groups(slab).iter().product()),
                    advance,
                }
            })
            .collect();
        let allowed: Vec<_> = (0..grid.slabs())
            .map(|slab| make.filled(&grid.allowed(slab, setup.support)))
            .collect();
        let images: Vec<_> = (0..grid.parts())
            .map(|part| make.images(&grid, part, setup))
            .collect();
        let parts: Vec<Part> = images
            .iter()
            .enumerate()
            .map(|(part, images)| {
                let groups = grid.part(part).len() * grid.misfit_groups(part);
                let misfits = make.storage(2 * groups);
                let slab = if grid.single_axis { part } else { 0 };
                let sizes = make.uniform(&grid.pair_data(slab, part, true, true));
                let buffers = [&sizes, &images.tilts, &images.residual, &misfits];
                Part {
                    misfit: gpu.kernels.misfit.bind(&gpu.device, &buffers),
                    residual: images.residual.clone(),
                    misfits,
                }
            })
            .collect();
        let pairs = grid
            .pairs()
            .into_iter()
            .map(|(slab, part)| {
                let (of, images) = (&slabs[slab], &images[part]);
                let alone = grid.single_axis;
                let forward = make.uniform(&grid.pair_data(
                    slab,
                    part,
                    alone || slab == 0,
                    alone || slab + 1 == grid.slabs(),
                ));
                let adjoint = make.uniform(&grid.pair_data(
                    slab,
                    part,
                    alone || part == 0,
                    alone || part + 1 == grid.parts(),
                ));
                let project = |volume: &wgpu::Buffer| {
                    let (measured, residual) = (&images.measured, &images.residual);
                    let buffers = [&firsts, &forward, &images.tilts, volume, measured, residual];
                    directions.forward.bind(&gpu.device, &buffers)
                };
                Pair {
                    slab,
                    part,
                    forward: project(&of.volume),
                    ahead: of.ahead.as_ref().map(project),
                    adjoint: directions.adjoint.bind(
                        &gpu.device,
                        &[
                            &firsts,
                            &adjoint,
                            &control,
                            &images.tilts,
                            &images.residual,
                            &of.volume,
                            of.ahead.as_ref().unwrap_or(&nothing),
                            fresh[slab].as_ref().unwrap_or(&scratch),
                            &allowed[slab],
                            &of.partials,
                        ],
                    ),
                }
            })
            .collect();
        let smoothing = setup
            .blur
            .map(|blur| Smoothing::new(&make, &grid, &images, blur));
        let misfits: u64 = parts.iter().map(|part| part.misfits.size()).sum();
        let partials: u64 = slabs.iter().map(|slab| slab.partials.size()).sum();
        let numbers = make.staging(misfits.max(partials));
        Self {
            positivity: setup.positivity,
            accelerated: setup.accelerated,
            smoothing,
            grid,
            slabs,
            parts,
            pairs,
            control,
            numbers,
            clock: None,
            gpu,
        }
    }

    /// The device.
    #[must_use]
    pub fn gpu(&self) -> &Rc<Gpu> {
        &self.gpu
    }

    /// From now on kernels are timed, where the driver can.
    pub(super) fn time_kernels(&mut self) {
        self.clock = Clock::new(&self.gpu);
    }

    /// Seconds of each kernel since the last call.
    pub(super) fn kernel_times(&self) -> Result<Vec<(&'static str, f64)>, GpuError> {
        self.clock
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), |clock| clock.read(&self.gpu))
    }

    fn directions(&self) -> &Directions {
        self.gpu.kernels.directions(self.grid.single_axis)
    }

    fn work<'a>(&'a self, check: &'a dyn Fn() -> Result<(), Stopped>) -> Work<'a> {
        Work::new(&self.gpu, self.clock.as_ref(), check)
    }

    fn set_control(&self, step: f32, beta: f32, mode: Mode) {
        let control = Control {
            step,
            beta,
            positive: u32::from(self.positivity),
            mode: mode as u32,
        };
        let bytes = bytemuck::bytes_of(&control);
        self.gpu.queue.write_buffer(&self.control, 0, bytes);
    }

    /// Samples of a pair in one direction.
    fn samples(&self, pair: &Pair) -> f64 {
        self.grid.slab_len(pair.slab) as f64 * self.grid.part(pair.part).len() as f64
    }

    fn project(&self, work: &mut Work, ones: bool) -> Result<(), GpuError> {
        let directions = self.directions();
        for pair in &self.pairs {
            let (name, kernel) = match (ones, &self.smoothing) {
                (true, _) => ("ones", &directions.ones),
                (false, None) => ("forward", &directions.forward),
                (false, Some(_)) => ("forward", &directions.plain),
            };
            let ahead = pair.ahead.as_ref().filter(|_| self.accelerated);
            let bound = ahead.unwrap_or(&pair.forward);
            let groups = self.grid.forward_groups(pair.part);
            work.dispatch(name, kernel, bound, groups, self.samples(pair))?;
        }
        Ok(())
    }

    fn smooth(&self, work: &mut Work, how: Smooth) -> Result<(), GpuError> {
        match &self.smoothing {
            Some(smoothing) => smoothing.run(work, &self.grid, how),
            None => Ok(()),
        }
    }

    fn back_project(&self, work: &mut Work) -> Result<(), GpuError> {
        let kernel = &self.directions().adjoint;
        for pair in &self.pairs {
            let groups = self.grid.adjoint_groups(pair.slab);
            let samples = self.samples(pair);
            work.dispatch("adjoint", kernel, &pair.adjoint, groups, samples)?;
        }
        Ok(())
    }

    /// The numbers that the transpose's workgroups left.
    fn partials(&self, mut work: Work) -> Result<Vec<f32>, GpuError> {
        let mut at = 0;
        for slab in &self.slabs {
            work.copy(&slab.partials, &self.numbers, at);
            at += slab.partials.size();
        }
        work.read(&self.numbers, at)
    }

    /// The largest value of `Σ Πᵢᵀ Πᵢ 1` over the fitted tilts.
    ///
    /// # Errors
    /// A stop; a device that fails.
    pub fn curvature(&mut self, monitor: &Monitor) -> Result<f32, GpuError> {
        let check = || monitor.check();
        let mut work = self.work(&check);
        self.set_control(0.0, 0.0, Mode::Largest);
        self.project(&mut work, true)?;
        self.smooth(&mut work, Smooth::Plain)?;
        self.smooth(&mut work, Smooth::Transposed)?;
        self.back_project(&mut work)?;
        let partials = self.partials(work)?;
        Ok(partials.into_iter().fold(0.0, f32::max))
    }

    /// Projects the point ahead (without momentum: the volume), keeps `Πᵢ O − bᵢ` of the fitted tilts, and says how
    /// far each tilt is off.
    ///
    /// # Errors
    /// A stop; a device that fails.
    pub fn compare(&mut self, monitor: &Monitor) -> Result<Vec<Misfit>, GpuError> {
        let check = || monitor.check();
        let mut work = self.work(&check);
        self.project(&mut work, false)?;
        self.smooth(&mut work, Smooth::Compare)?;
        let mut at = 0;
        for (index, part) in self.parts.iter().enumerate() {
            let groups = [
                self.grid.misfit_groups(index),
                self.grid.part(index).len(),
                1,
            ];
            let kernel = &self.gpu.kernels.misfit;
            work.dispatch("misfit", kernel, &part.misfit, groups, 0.0)?;
            work.copy(&part.misfits, &self.numbers, at);
            at += part.misfits.size();
        }
        self.smooth(&mut work, Smooth::Transposed)?;
        let numbers = work.read(&self.numbers, at)?;
        let mut misfits = vec![Misfit::default(); self.grid.tilts];
        let mut rest = numbers.as_slice();
        for (index, part) in self.parts.iter().enumerate() {
            // Buffers are filled up to whole vectors.
            let (of_part, others) = rest.split_at(part.misfits.size() as usize / 4);
            rest = others;
            let len = 2 * self.grid.misfit_groups(index);
            for (tilt, of_tilt) in self.grid.part(index).zip(of_part.chunks(len)) {
                for sums in of_tilt.chunks(2) {
                    misfits[tilt].absolute += f64::from(sums[0]);
                    misfits[tilt].squares += f64::from(sums[1]);
                }
            }
        }
        Ok(misfits)
    }

    /// A plain step. Only an abandoned run is stopped within.
    ///
    /// # Errors
    /// An abandoned run; a device that fails.
    pub fn descend(&mut self, step: f32, monitor: &Monitor) -> Result<(), GpuError> {
        let check = || match monitor.check() {
            Err(Stopped::Abandon) => Err(Stopped::Abandon),
            Err(Stopped::Keep) | Ok(()) => Ok(()),
        };
        self.set_control(step, 0.0, Mode::Descend);
        let mut work = self.work(&check);
        self.back_project(&mut work)?;
        work.send();
        self.gpu.check()
    }

    /// Where the step from the point ahead leads; returns `Σ (ahead − new)(new − old)`.
    ///
    /// # Errors
    /// A stop; a device that fails.
    pub fn propose(&mut self, step: f32, monitor: &Monitor) -> Result<f64, GpuError> {
        let check = || monitor.check();
        self.set_control(step, 0.0, Mode::Propose);
        let mut work = self.work(&check);
        self.back_project(&mut work)?;
        let partials = self.partials(work)?;
        Ok(partials.into_iter().map(f64::from).sum())
    }

    /// Goes there, and the point ahead beyond.
    ///
    /// # Errors
    /// A device that fails.
    pub fn advance(&mut self, beta: f32) -> Result<(), GpuError> {
        self.set_control(0.0, beta, Mode::Propose);
        let mut work = self.work(&|| Ok(()));
        for (index, slab) in self.slabs.iter().enumerate() {
            let Some(bound) = &slab.advance else {
                continue;
            };
            let groups = self.grid.slab_len(index).div_ceil(4 * 256);
            // Both counts of workgroups within what any device takes.
            let rows = groups.div_ceil(1 << 15);
            let groups = [groups.div_ceil(rows.max(1)), rows, 1];
            work.dispatch("advance", &self.gpu.kernels.advance, bound, groups, 0.0)?;
        }
        work.send();
        self.gpu.check()
    }

    /// From now on the volume itself is projected.
    pub fn drop_momentum(&mut self) {
        self.accelerated = false;
    }

    /// Begins at a volume `(x, y, z)`, with momentum at a point ahead of it.
    ///
    /// # Errors
    /// A device that fails.
    pub fn start_at(
        &mut self,
        volume: &Array3<f32>,
        ahead: Option<&Array3<f32>>,
    ) -> Result<(), GpuError> {
        for (index, slab) in self.slabs.iter().enumerate() {
            self.upload(index, &slab.volume, volume)?;
            if let Some(buffer) = &slab.ahead {
                self.upload(index, buffer, ahead.unwrap_or(volume))?;
            }
        }
        Ok(())
    }

    /// Sheets `x` that are brought to or from a slab at a time.
    fn sheets_at_a_time(&self, slab: usize) -> usize {
        let sheet = self.sheet_bytes(slab);
        usize::try_from(STAGING_BYTES / sheet.max(1)).map_or(1, |n| n.max(1))
    }

    fn sheet_bytes(&self, slab: usize) -> u64 {
        4 * (self.grid.volume_size[2] * self.grid.slab(slab).len()) as u64
    }

    fn upload(
        &self,
        slab: usize,
        buffer: &wgpu::Buffer,
        data: &Array3<f32>,
    ) -> Result<(), GpuError> {
        let nx = self.grid.volume_size[0];
        let some = self.sheets_at_a_time(slab);
        for first in (0..nx).step_by(some) {
            let sheets = first..(first + some).min(nx);
            let values = self.grid.load_sheets(slab, sheets, data);
            let at = first as u64 * self.sheet_bytes(slab);
            let bytes = bytemuck::cast_slice(&values);
            self.gpu.queue.write_buffer(buffer, at, bytes);
            self.gpu.queue.submit([]);
            work::wait(&self.gpu, &|| Ok(()))?;
        }
        Ok(())
    }

    /// The volume `(x, y, z)`.
    ///
    /// # Errors
    /// A device that fails.
    pub fn volume(&self) -> Result<Array3<f32>, GpuError> {
        self.download(|slab| Some(&slab.volume))
    }

    /// With momentum: the point ahead of the volume.
    ///
    /// # Errors
    /// A device that fails.
    pub fn ahead(&self) -> Result<Option<Array3<f32>>, GpuError> {
        if !self.accelerated {
            return Ok(None);
        }
        self.download(|slab| slab.ahead.as_ref()).map(Some)
    }

    fn download(
        &self,
        of: impl Fn(&Slab) -> Option<&wgpu::Buffer>,
    ) -> Result<Array3<f32>, GpuError> {
        let [nx, ny, nz] = self.grid.volume_size;
        let mut data = Array3::zeros((nx, ny, nz));
        let planes = data
            .as_slice_mut()
            .expect("a new array is in standard layout");
        let make = Maker(&self.gpu);
        for (index, slab) in self.slabs.iter().enumerate() {
            let Some(buffer) = of(slab) else {
                continue;
            };
            let sheet = self.sheet_bytes(index);
            let some = self.sheets_at_a_time(index).min(nx);
            let staging = self
                .gpu
                .allocate(some as u64 * sheet, || make.staging(some as u64 * sheet))?;
            for first in (0..nx).step_by(some) {
                let count = some.min(nx - first);
                let bytes = count as u64 * sheet;
                let mut encoder = self
                    .gpu
                    .device
                    .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                let at = first as u64 * sheet;
                encoder.copy_buffer_to_buffer(buffer, at, &staging, 0, bytes);
                self.gpu.queue.submit([encoder.finish()]);
                let planes = &mut planes[first * ny * nz..][..count * ny * nz];
                let grid = &self.grid;
                work::mapped(&self.gpu, &staging, bytes, &|| Ok(()), |bytes| {
                    let values: &[f32] = bytemuck::cast_slice(bytes);
                    planes
                        .par_chunks_mut((ny * nz).max(1))
                        .zip(values.par_chunks(values.len() / count))
                        .for_each(|(plane, sheet)| grid.store_sheet(index, sheet, plane));
                })?;
            }
        }
        Ok(data)
    }
}

#[cfg(test)]
impl Iterations {
    /// What the last projection left, `(tilt, x, y)`.
    pub(super) fn residual(&self) -> Array3<f32> {
        let [nx, ny] = self.grid.image_size;
        let mut images = Array3::zeros((self.grid.tilts, nx, ny));
        for (index, part) in self.parts.iter().enumerate() {
            let staging = Maker(&self.gpu).staging(part.residual.size());
            let mut work = self.work(&|| Ok(()));
            work.copy(&part.residual, &staging, 0);
            let values = work.read(&staging, staging.size()).unwrap();
            let len = self.grid.image_len(index);
            for (tilt, values) in self.grid.part(index).zip(values.chunks(len)) {
                let grid = &self.grid;
                grid.for_pixels(index, |at, x, y| images[[tilt, x, y]] = values[at]);
            }
        }
        images
    }

    /// The volume becomes the transpose of what the last comparison left.
    pub(super) fn store_gradient(&mut self) {
        self.set_control(0.0, 0.0, Mode::Store);
        let mut work = self.work(&|| Ok(()));
        self.back_project(&mut work).unwrap();
        work.send();
    }
}
