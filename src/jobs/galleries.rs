//! All images of a tilt series on one sheet, as the supplements of the papers show them: the projections at one contrast,
//! or their power spectra.

use super::picture;
use crate::figures::render::Page;
use crate::figures::sheet::{Key, Panel, Sheet};
use crate::model::{TiltSeries, center_index};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Wider pictures are made coarser: a sheet shows no more.
const MOST_PIXELS: usize = 400;
/// Narrowest page, mm: two columns of a journal.
const NARROWEST_MM: f64 = 170.0;

/// The projections of a series, in its order.
#[must_use]
pub fn projections(series: &TiltSeries) -> Sheet {
    let size = series.image_size();
    let pixel = series.pixel_size.unwrap_or(1.0);
    let stride = (series.images.len() / 1_000_000).max(1);
    let density_range = picture::percentiles(series.images.iter().step_by(stride), [0.5, 99.9]);
    let pictures: Vec<Array2<f32>> = (0..series.len())
        .into_par_iter()
        .map(|tilt| blocks(series.image(tilt), MOST_PIXELS, mean))
        .collect();
    let extent = size.map(|n| {
        let low = -(center_index(n) as f64 + 0.5) * pixel;
        [low, low + n as f64 * pixel]
    });
    Sheet {
        title: "Projections".to_owned(),
        panels: panels(series, pictures),
        columns: columns(series.len()),
        extent,
        radius: 1.0,
        density_range,
        key: Key::Legend(Vec::new()),
        note: format!(
            "{}: {} images, black {:.1}, white {:.1} counts",
            series.name,
            series.len(),
            density_range[0],
            density_range[1]
        ),
        reciprocal: false,
    }
}

/// Their power spectra (logarithm), each at its own contrast, up to half a cycle per pixel.
#[must_use]
pub fn spectra(series: &TiltSeries) -> Sheet {
    let pixel = series.pixel_size.unwrap_or(1.0);
    let pictures: Vec<Array2<f32>> = (0..series.len())
        .into_par_iter()
        .map(|tilt| {
            let power = picture::log_power(series.image(tilt));
            let [low, high] = picture::percentiles(power.iter(), [30.0, 99.95]);
            let scale = 1.0 / (high - low).max(f32::MIN_POSITIVE);
            smaller(&power.mapv(|v| (v - low) * scale), MOST_PIXELS, true)
        })
        .collect();
    let edge = 0.5 / pixel;
    Sheet {
        title: "Power spectra of the projections".to_owned(),
        panels: panels(series, pictures),
        columns: columns(series.len()),
        extent: [[-edge, edge]; 2],
        radius: 1.0,
        density_range: [0.0, 1.0],
        key: Key::Legend(Vec::new()),
        note: format!(
            "{}: {} images, logarithm of the power",
            series.name,
            series.len()
        ),
        reciprocal: true,
    }
}

/// The page as high as the sheet needs, and as wide as two columns at least.
#[must_use]
pub fn page(sheet: &Sheet, page: &Page) -> Page {
    let width_mm = page.width_mm.max(NARROWEST_MM);
    Page {
        width_mm,
        height_mm: sheet.height_mm(width_mm),
        ..*page
    }
}

fn columns(tilts: usize) -> usize {
    // A little higher than wide, as a page is.
    ((0.75 * tilts as f64).sqrt().ceil() as usize).clamp(1, 12)
}

fn panels(series: &TiltSeries, pictures: Vec<Array2<f32>>) -> Vec<Panel> {
    let label = |tilt: usize| {
        let theta = series.angles[tilt].theta.to_degrees();
        let out = if series.included[tilt] { "" } else { " (out)" };
        // The face of the figures has no longer minus sign.
        format!("{theta:+.1}°{out}")
    };
    (pictures.into_iter().enumerate())
        .map(|(tilt, picture)| Panel {
            label: label(tilt),
            density: Some(picture),
            atoms: Vec::new(),
        })
        .collect()
}

/// A picture with at most so many pixels on a side: means of blocks, of spectra their largest.
#[must_use]
pub fn smaller(picture: &Array2<f32>, most: usize, spectra: bool) -> Array2<f32> {
    if spectra {
        blocks(picture.view(), most, largest)
    } else {
        blocks(picture.view(), most, mean)
    }
}

/// Blocks of pixels made one by `fold`, so that no side has more than `most`.
fn blocks(
    image: ArrayView2<'_, f32>,
    most: usize,
    fold: impl Fn(&mut dyn Iterator<Item = f32>) -> f32,
) -> Array2<f32> {
    let (nx, ny) = image.dim();
    let block = nx.max(ny).div_ceil(most.max(1)).max(1);
    Array2::from_shape_fn((nx.div_ceil(block), ny.div_ceil(block)), |(i, j)| {
        let (x, y) = (
            i * block..((i + 1) * block).min(nx),
            j * block..((j + 1) * block).min(ny),
        );
        fold(&mut x.flat_map(|x| y.clone().map(move |y| image[[x, y]])))
    })
}

fn mean(values: &mut dyn Iterator<Item = f32>) -> f32 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
    sum / n
}

/// So that a spot of one sample stays.
fn largest(values: &mut dyn Iterator<Item = f32>) -> f32 {
    values.fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EulerAngles;
    use ndarray::Array3;

    fn series(n: usize) -> TiltSeries {
        let images = Array3::from_shape_fn((7, n, n), |(t, x, _)| {
            10.0 + (std::f32::consts::TAU * x as f32 / 8.0).cos() + t as f32
        });
        let angles = (0..7).map(|t| EulerAngles::from_tilt_deg(-30.0 + 10.0 * f64::from(t)));
        TiltSeries::new("waves", images, angles.collect(), Some(0.5))
    }

    #[test]
    fn a_sheet_has_every_tilt_with_its_angle() {
        let sheet = projections(&series(32));
        assert_eq!(sheet.panels.len(), 7);
        assert_eq!(
            (
                sheet.panels[0].label.as_str(),
                sheet.panels[6].label.as_str()
            ),
            ("-30.0°", "+30.0°")
        );
        let page = page(&sheet, &Page::default());
        assert!(page.width_mm >= NARROWEST_MM && page.height_mm > 60.0);
        let bytes = crate::figures::sheet::png(&sheet, &page);
        assert!(bytes.starts_with(b"\x89PNG"));
    }

    #[test]
    fn spectra_show_the_wave_of_four_angstrom_and_large_images_are_made_coarser() {
        let sheet = spectra(&series(64));
        let picture = sheet.panels[3].density.as_ref().unwrap();
        assert_eq!(picture.dim(), (64, 64));
        // 8 pixels of 0.5 Å: 0.25 cycles per Å, a quarter of the width from the middle.
        assert!(picture[[32 + 8, 32]] > 0.9 && picture[[32 + 20, 32]] < 0.6);
        let large = Array2::from_shape_fn((900, 500), |(i, _)| i as f32);
        let coarse = smaller(&large, MOST_PIXELS, false);
        assert_eq!((coarse.dim(), coarse[[0, 0]]), ((300, 167), 1.0));
        assert_eq!(smaller(&large, MOST_PIXELS, true)[[0, 0]], 2.0);
    }
}
