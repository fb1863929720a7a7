//! Volume and images on a graphics processor.

use super::on_cpu::OnCpu;
use super::problem::{Failure, Problem, Retreat};
use super::{Engine, Projector, ReconstructParams};
use crate::model::{TiltSeries, Volume};
use crate::monitor::Monitor;
use crate::numeric::gaussian::gaussian_blur;
use crate::projection::blur::ImageBlur;
use crate::projection::gpu::{Gpu, GpuError, Iterations, Setup, Which};
use crate::projection::linear::{Misfit, interpolation_variance};
use ndarray::Array3;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How often the volume is brought back in case the device is lost.
const KEEP_EVERY: Duration = Duration::from_secs(20);

pub(super) struct OnGpu {
    iterations: Iterations,
    /// What the processor needs to take over.
    series: TiltSeries,
    params: ReconstructParams,
    fitted: Vec<bool>,
    support: Option<Volume>,
    /// The last volume brought back, and after how many iterations; none is a volume of zeros.
    kept: Option<Volume>,
    kept_number: usize,
    kept_at: Instant,
    number: usize,
}

/// Which adapter the parameters allow; why none.
pub(super) fn adapter_wanted(params: &ReconstructParams) -> Result<Which, &'static str> {
    match (params.engine, params.projector) {
        (Engine::Cpu, _) => Err("asked for"),
        (_, Projector::Fourier) => Err("the GPU engine has the linear projector only"),
        (Engine::Auto, _) => Ok(Which::Hardware),
        (Engine::Gpu, _) => Ok(Which::Any),
    }
}

/// Places volume and images where the parameters want them and where there is room; also why not on a device, when one
/// was wanted.
pub(super) fn place(
    series: &TiltSeries,
    params: &ReconstructParams,
    fitted: &[bool],
    start: Option<&Volume>,
    support: Option<&Volume>,
) -> (Box<dyn Problem>, Option<String>) {
    let reason = match adapter_wanted(params) {
        Ok(which) => match OnGpu::new(which, series, params, fitted, start, support) {
            Ok(on_gpu) => return (Box::new(on_gpu), None),
            Err(error) => error.to_string(),
        },
        Err(reason) => reason.to_owned(),
    };
    let on_cpu = OnCpu::new(series, params, fitted, start, support);
    let wanted = params.engine != Engine::Cpu;
    let text = format!("the iterations run on the CPU: {reason}");
    (Box::new(on_cpu), wanted.then_some(text))
}

/// Holds the wanted device open while several reconstructions follow one another.
pub(super) fn hold_device(params: &ReconstructParams) -> Option<Rc<Gpu>> {
    Gpu::shared(adapter_wanted(params).ok()?).ok()
}

/// Whether a device gives room for the iterations.
pub(super) fn fits_on_device(
    which: Which,
    series: &TiltSeries,
    params: &ReconstructParams,
) -> Result<(), GpuError> {
    let used = series.only_included();
    let fitted = vec![true; used.len()];
    let gpu = Gpu::shared(which)?;
    let blur = kernel(&used, params);
    let setup = setup(&used, params, &fitted, None, blur.as_ref());
    Iterations::new(gpu, &setup).map(|_| ())
}

impl OnGpu {
    /// `start` and `support` are of the volume's size.
    pub(super) fn new(
        which: Which,
        series: &TiltSeries,
        params: &ReconstructParams,
        fitted: &[bool],
        start: Option<&Volume>,
        support: Option<&Volume>,
    ) -> Result<Self, GpuError> {
        let gpu = Gpu::shared(which)?;
        let blur = kernel(series, params);
        let setup = setup(series, params, fitted, support, blur.as_ref());
        let mut iterations = Iterations::new(gpu, &setup)?;
        if let Some(start) = start {
            iterations.start_at(&start.data, None)?;
        }
        Ok(Self {
            iterations,
            series: series.clone(),
            params: params.clone(),
            fitted: fitted.to_vec(),
            support: support.cloned(),
            kept: start.cloned(),
            kept_number: 0,
            kept_at: Instant::now(),
            number: 0,
        })
    }

    fn keep_volume(&mut self, data: Array3<f32>) {
        let pixel_size = self.series.pixel_size.unwrap_or(1.0);
        self.kept = Some(Volume::new(data, pixel_size));
        self.kept_number = self.number;
        self.kept_at = Instant::now();
    }
}

/// What a kernel in the loop makes of the images.
fn kernel(series: &TiltSeries, params: &ReconstructParams) -> Option<ImageBlur> {
    let single_axis = series.angles.iter().all(|angle| angle.is_single_axis());
    let own = interpolation_variance(single_axis);
    let sigma_vox = kernel_vox(series, params)?;
    Some(ImageBlur::of_kernel(sigma_vox, own, series.image_size()))
}

/// Width of the kernel in the loop.
fn kernel_vox(series: &TiltSeries, params: &ReconstructParams) -> Option<f64> {
    Some(params.kernel()? / series.pixel_size?)
}

fn setup<'a>(
    series: &'a TiltSeries,
    params: &ReconstructParams,
    fitted: &'a [bool],
    support: Option<&'a Volume>,
    blur: Option<&'a ImageBlur>,
) -> Setup<'a> {
    Setup {
        volume_size: super::volume_size(series, params),
        images: series.images.view(),
        angles: &series.angles,
        fitted,
        support: support.map(|support| &support.data),
        blur,
        accelerated: params.accelerated,
        positivity: !params.no_positivity,
    }
}

impl Problem for OnGpu {
    fn curvature(&mut self, monitor: &Monitor) -> Result<f32, Failure> {
        Ok(self.iterations.curvature(monitor)?)
    }

    fn compare(&mut self, monitor: &Monitor) -> Result<Vec<Misfit>, Failure> {
        Ok(self.iterations.compare(monitor)?)
    }

    fn descend(&mut self, step: f32, monitor: &Monitor) -> Result<(), Failure> {
        Ok(self.iterations.descend(step, monitor)?)
    }

    fn propose(&mut self, step: f32, monitor: &Monitor) -> Result<f64, Failure> {
        Ok(self.iterations.propose(step, monitor)?)
    }

    fn advance(&mut self, _step: f32, beta: f32) -> Result<(), Failure> {
        Ok(self.iterations.advance(beta)?)
    }

    fn drop_momentum(&mut self) {
        self.iterations.drop_momentum();
    }

    fn volume(&self) -> Result<Array3<f32>, Failure> {
        let data = self.iterations.volume()?;
        Ok(match kernel_vox(&self.series, &self.params) {
            Some(sigma_vox) => gaussian_blur(&data, sigma_vox),
            None => data,
        })
    }

    fn turn_to(&mut self, series: &TiltSeries) -> Result<(), Failure> {
        let volume = self.iterations.volume()?;
        let ahead = self.iterations.ahead()?;
        self.series = series.clone();
        let gpu = Rc::clone(self.iterations.gpu());
        let (params, support) = (&self.params, self.support.as_ref());
        let blur = kernel(series, params);
        let wanted = setup(series, params, &self.fitted, support, blur.as_ref());
        let next = Iterations::new(gpu, &wanted).and_then(|mut next| {
            next.start_at(&volume, ahead.as_ref())?;
            Ok(next)
        });
        self.keep_volume(volume);
        self.iterations = next?;
        Ok(())
    }

    fn engine(&self) -> String {
        format!("gpu: {}", self.iterations.gpu().name())
    }

    fn done(&mut self, number: usize) {
        self.number = number;
        // A device that fails says so at its next work.
        if self.kept_at.elapsed() >= KEEP_EVERY
            && let Ok(volume) = self.iterations.volume()
        {
            self.keep_volume(volume);
        }
    }

    fn retreat(&self) -> Option<Retreat> {
        let (start, support) = (self.kept.as_ref(), self.support.as_ref());
        let on_cpu = OnCpu::new(&self.series, &self.params, &self.fitted, start, support);
        Some(Retreat {
            problem: Box::new(on_cpu),
            number: self.kept_number,
        })
    }

    #[cfg(test)]
    fn lose_device(&self) {
        self.iterations.gpu().lose();
    }
}
