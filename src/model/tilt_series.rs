//! A tilt series: images, the angles they were taken at, and the quick frames they were averaged from.

use super::geometry::EulerAngles;
use ndarray::{Array3, ArrayView2, ArrayView4, Axis};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How the beam went over the specimen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Scan {
    /// Lines run along x instead of y.
    pub along_x: bool,
    /// Time on a pixel, µs.
    pub dwell_us: Option<f64>,
    /// Time between the last pixel of a line and the first of the next, µs.
    pub flyback_us: Option<f64>,
}

/// Several quick frames of each tilt, not registered to one another.
#[derive(Debug, Clone, PartialEq)]
pub struct Frames {
    /// Counts, shape `(tilt · frame, x, y)` in standard layout: the frames of a tilt follow one another.
    pub counts: Array3<f32>,
    /// Frames of each tilt.
    pub per_tilt: usize,
    /// How they were scanned.
    pub scan: Scan,
}

impl Frames {
    /// Counts as `(tilt, frame, x, y)`; `None` when the frames do not fill whole tilts.
    #[must_use]
    pub fn by_tilt(&self) -> Option<ArrayView4<'_, f32>> {
        let (n, x, y) = self.counts.dim();
        let tilts = n.checked_div(self.per_tilt)?;
        let shape = (tilts, self.per_tilt, x, y);
        self.counts.view().into_shape_with_order(shape).ok()
    }
}

/// `n` images of one object and their angles.
#[derive(Debug, Clone, PartialEq)]
pub struct TiltSeries {
    /// Name shown to the user, usually the file's.
    pub name: String,
    /// Counts, shape `(tilt, x, y)` in standard layout, so that each image is contiguous with y fastest.
    pub images: Array3<f32>,
    /// Angles of each image; as many as images.
    pub angles: Vec<EulerAngles>,
    /// Whether an image takes part in the reconstruction; as many as images.
    pub included: Vec<bool>,
    /// Edge of a pixel, Å. `None` until a file or the user says it: it is never guessed.
    pub pixel_size: Option<f64>,
    /// What the microscope states it to be, Å, where a calibrated size is used instead.
    pub nominal_pixel_size: Option<f64>,
    /// The frames the images are the means of, until they are registered.
    pub frames: Option<Arc<Frames>>,
}

impl TiltSeries {
    /// The series with x and y of every image exchanged: what was recorded with its tilt axis along x has it along y.
    #[must_use]
    pub fn exchanged(&self) -> Self {
        let turn = |stack: &Array3<f32>| {
            stack
                .view()
                .permuted_axes([0, 2, 1])
                .as_standard_layout()
                .into_owned()
        };
        Self {
            images: turn(&self.images),
            frames: self.frames.as_ref().map(|frames| {
                Arc::new(Frames {
                    counts: turn(&frames.counts),
                    per_tilt: frames.per_tilt,
                    scan: Scan {
                        along_x: !frames.scan.along_x,
                        ..frames.scan
                    },
                })
            }),
            ..self.clone()
        }
    }

    /// A series with all tilts included. `images` has shape `(tilt, x, y)`.
    ///
    /// # Panics
    /// If there are not as many angles as images: readers check this first and name both numbers.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        images: Array3<f32>,
        angles: Vec<EulerAngles>,
        pixel_size: Option<f64>,
    ) -> Self {
        assert_eq!(images.dim().0, angles.len(), "one angle triple per image");
        let images = if images.is_standard_layout() {
            images
        } else {
            images.as_standard_layout().into_owned()
        };
        let included = vec![true; angles.len()];
        Self {
            name: name.into(),
            images,
            angles,
            included,
            pixel_size,
            nominal_pixel_size: None,
            frames: None,
        }
    }

    /// The series without its images and frames, for a copy that gets others.
    #[must_use]
    pub fn without_pixels(&self) -> Self {
        Self {
            name: self.name.clone(),
            images: Array3::zeros((0, 0, 0)),
            angles: self.angles.clone(),
            included: self.included.clone(),
            frames: None,
            ..*self
        }
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.angles.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.angles.is_empty()
    }

    /// Pixels on x and y.
    #[must_use]
    pub fn image_size(&self) -> [usize; 2] {
        let (_, x, y) = self.images.dim();
        [x, y]
    }

    /// Image `tilt`, shape `(x, y)`.
    #[must_use]
    pub fn image(&self, tilt: usize) -> ArrayView2<'_, f32> {
        self.images.index_axis(Axis(0), tilt)
    }

    /// Indices of the tilts that take part.
    #[must_use]
    pub fn included_tilts(&self) -> Vec<usize> {
        (0..self.len()).filter(|&i| self.included[i]).collect()
    }

    /// The series with only its included tilts.
    #[must_use]
    pub fn only_included(&self) -> Self {
        let tilts = self.included_tilts();
        Self {
            name: self.name.clone(),
            images: self.images.select(Axis(0), &tilts),
            angles: tilts.iter().map(|&i| self.angles[i]).collect(),
            included: vec![true; tilts.len()],
            pixel_size: self.pixel_size,
            nominal_pixel_size: self.nominal_pixel_size,
            frames: self.frames.as_ref().map(|frames| {
                let of = |&tilt: &usize| tilt * frames.per_tilt..(tilt + 1) * frames.per_tilt;
                let chosen: Vec<usize> = tilts.iter().flat_map(of).collect();
                Arc::new(Frames {
                    counts: frames.counts.select(Axis(0), &chosen),
                    ..**frames
                })
            }),
        }
    }

    /// Whether every tilt is a pure tilt about y.
    #[must_use]
    pub fn is_single_axis(&self) -> bool {
        self.angles.iter().all(|a| a.is_single_axis())
    }
}
