//! The pixel size from image files of a known crystal.

use super::JobError;
use super::execute::stopped_or;
use crate::io::{self, LoadedArray};
use crate::monitor::Monitor;
use crate::preprocess::{CalibrateParams, Calibration, CrystalImage};
use ndarray::{Axis, Ix2, Ix3};

/// Reads images (every section of a stack is one) and measures the pixel size on them; gives both.
///
/// # Errors
/// A file that cannot be read or says no pixel size when none is given; what the calibration says; a stop.
pub fn calibrate(
    files: &[String],
    pixel_size: Option<f64>,
    params: &CalibrateParams,
    monitor: &Monitor,
) -> Result<(Vec<CrystalImage>, Calibration), JobError> {
    monitor.phase("Read");
    let mut images = Vec::new();
    for file in files {
        monitor.check()?;
        let array = io::read_array(file).map_err(JobError::failed)?;
        images.extend(crystal_images(file, array, pixel_size)?);
    }
    let found = crate::preprocess::calibrate(&images, params, monitor)
        .map_err(|error| stopped_or(error, "calibration"))?;
    Ok((images, found))
}

/// The axis that is less than half as long as any other: a few images of many pixels, whatever the order of the file.
fn shortest_axis(shape: &[usize]) -> Option<usize> {
    let shortest = (0..shape.len()).min_by_key(|&axis| shape[axis])?;
    let clearly = |axis: usize| axis == shortest || 2 * shape[shortest] < shape[axis];
    (0..shape.len()).all(clearly).then_some(shortest)
}

fn crystal_images(
    file: &str,
    array: LoadedArray,
    pixel_size: Option<f64>,
) -> Result<Vec<CrystalImage>, JobError> {
    let nominal = pixel_size.or(array.pixel_size).ok_or_else(|| {
        JobError::Failed(format!(
            "{file}: the file does not say its pixel size; state the nominal one (--pixel-size)"
        ))
    })?;
    let rotation = array.acquisition.scan_rotation_deg;
    let image = |name: String, image| CrystalImage {
        name,
        image,
        nominal,
        scan_rotation_deg: rotation,
    };
    let axes = array.acquisition.axes.as_deref();
    let shape = io::shape_text(array.data.shape());
    match array.data.ndim() {
        2 => {
            let data = array.data.into_dimensionality::<Ix2>();
            Ok(vec![image(
                file.to_owned(),
                data.map_err(JobError::failed)?,
            )])
        }
        3 => {
            // The axis that is neither x nor y; of the other two the later one runs along the rows.
            let usual = (axes.unwrap_or(array.format.stack_axes()))
                .find(|c| !"xy".contains(c))
                .unwrap_or(0);
            let sections = if axes.is_some() {
                usual
            } else {
                shortest_axis(array.data.shape()).unwrap_or(usual)
            };
            let data = array.data.into_dimensionality::<Ix3>();
            Ok(data
                .map_err(JobError::failed)?
                .axis_iter(Axis(sections.min(2)))
                .enumerate()
                .map(|(k, section)| image(format!("{file}, image {}", k + 1), section.to_owned()))
                .collect())
        }
        _ => Err(JobError::Failed(format!(
            "{file}: an image or a stack of images was expected, {shape} was found"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_large_images_are_told_by_their_shape() {
        assert_eq!(shortest_axis(&[5, 512, 512]), Some(0));
        assert_eq!(shortest_axis(&[512, 512, 5]), Some(2));
        assert_eq!(shortest_axis(&[512, 512, 400]), None);
    }
}
