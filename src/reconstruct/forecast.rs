//! What a reconstruction will take of host and device memory, said before it starts.

use super::on_gpu::{adapter_wanted, fits_on_device};
use super::{Projector, ReconstructError, ReconstructParams, Regularization, volume_size};
use crate::model::{EulerAngles, TiltSeries};
use crate::projection::fourier;
use crate::projection::gpu::device_memory;
use std::fmt;

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Of the host, when the iterations run on the CPU.
    pub host_bytes: u64,
    /// Of the device, when they run there; `None` where the parameters want none.
    pub device_bytes: Option<u64>,
    /// Of the host beside that.
    pub beside_device_bytes: u64,
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        write!(f, "{:.2} GB of memory", gigabytes(self.host_bytes))?;
        match self.device_bytes {
            None => Ok(()),
            Some(bytes) => write!(
                f,
                ", or with a GPU {:.2} GB there and {:.2} GB here",
                gigabytes(bytes),
                gigabytes(self.beside_device_bytes)
            ),
        }
    }
}

/// What the iterations will take. On the CPU: the volume, its copies for start and result, with momentum the point
/// ahead and the gradient, with a kernel the smoothed volume, with half sets that of the other half and the finished
/// one; measured images, residuals, and the images that take part; what the Fourier projector needs. Beside a device:
/// a kept volume and the result, and the images twice.
#[must_use]
pub fn forecast(series: &TiltSeries, params: &ReconstructParams) -> Forecast {
    let mut size = volume_size(series, params);
    let [px, mut py] = series.image_size();
    if let Some(slab) = params.slab {
        size[1] = slab.range(size[1]).len();
        py = size[1];
    }
    let besides = match params.projector {
        Projector::Linear => 0,
        Projector::Fourier => {
            fourier::memory_besides(size, [px, py], &series.angles, params.oversampling)
        }
    };
    let voxels = size.iter().map(|&n| n as u64).product::<u64>();
    let pixels = (series.len() * px * py) as u64;
    let volumes = 3
        + 2 * u64::from(params.accelerated)
        + u64::from(params.regularization == Regularization::Kernel)
        + 2 * u64::from(params.half_sets);
    let device = adapter_wanted(params).ok().map(|_| {
        let tilts = series.included_tilts();
        let angles: Vec<EulerAngles> = tilts.iter().map(|&tilt| series.angles[tilt]).collect();
        let image = series.image_size();
        let smoothed = params.regularization == Regularization::Kernel;
        device_memory(size, image, &angles, params.accelerated, smoothed)
    });
    Forecast {
        host_bytes: 4 * (volumes * voxels + 3 * pixels) + besides,
        device_bytes: device,
        beside_device_bytes: 4 * (2 * voxels + 2 * pixels),
    }
}

/// The forecast, where it fits: in the `free` memory of the host (`None`: not known, all fits), or on a device that
/// gives room for it.
///
/// # Errors
/// What is needed and what there is, when nothing fits.
pub fn check_memory(
    series: &TiltSeries,
    params: &ReconstructParams,
    free: Option<u64>,
) -> Result<Forecast, ReconstructError> {
    let forecast = forecast(series, params);
    let Some(free) = free.filter(|free| forecast.host_bytes > *free) else {
        return Ok(forecast);
    };
    let device = match adapter_wanted(params) {
        Ok(_) if forecast.beside_device_bytes > free => {
            "not even what a GPU leaves here".to_owned()
        }
        Ok(which) => match fits_on_device(which, series, params) {
            Ok(()) => return Ok(forecast),
            Err(error) => format!("no GPU instead: {error}"),
        },
        Err(reason) => format!("no GPU instead: {reason}"),
    };
    Err(ReconstructError::TooLarge {
        needed: forecast.to_string(),
        free_gb: free as f64 / 1e9,
        device,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Engine;
    use super::*;
    use ndarray::Array3;

    fn series() -> TiltSeries {
        let angles = [-20.0, 5.0, 30.0].map(EulerAngles::from_tilt_deg).to_vec();
        TiltSeries::new("s", Array3::ones((3, 20, 30)), angles, Some(0.5))
    }

    #[test]
    fn the_forecast_counts_volumes_and_images() {
        let mut params = ReconstructParams {
            engine: Engine::Cpu,
            volume_size: Some(vec![40, 30, 50]),
            ..Default::default()
        };
        let plain = forecast(&series(), &params);
        assert_eq!(plain.host_bytes, 4 * (3 * 60_000 + 3 * 1800));
        assert_eq!(plain.device_bytes, None);
        params.engine = Engine::Gpu;
        params.accelerated = true;
        let on_device = forecast(&series(), &params).device_bytes.unwrap();
        // Three volumes of 40 × 32 × 50, a bit per voxel, images with a rim twice, and what is on its way.
        let values = 3 * 64_000 + 64_000 / 32 + 2 * 3 * 22 * 32;
        assert_eq!(on_device, 4 * values + (64 << 20));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_numbers() {
        let params = ReconstructParams {
            engine: Engine::Cpu,
            ..Default::default()
        };
        let series = series();
        assert!(check_memory(&series, &params, None).is_ok());
        assert!(check_memory(&series, &params, Some(1 << 20)).is_ok());
        let error = check_memory(&series, &params, Some(100_000)).unwrap_err();
        let ReconstructError::TooLarge { free_gb, .. } = error else {
            panic!("{error}");
        };
        assert!((free_gb - 1e-4).abs() < 1e-9);
    }
}
