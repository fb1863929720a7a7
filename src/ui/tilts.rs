//! What the window keeps of single tilts: which picture is shown, moves by hand, and one denoised for a look.

use super::state::AppState;
use crate::model::TiltSeries;
use crate::preprocess::Prepared;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Which picture the fourth view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TiltPicture {
    /// The image as measured.
    #[default]
    Measured,
    /// Projection of the volume.
    Computed,
    /// Measured − computed.
    Difference,
    /// Logarithm of the power spectrum of the measured image.
    Fft,
    /// The image before preparation.
    AsRead,
    /// The registered frames summed, before anything else was done.
    Registered,
    /// The image denoised, before anything was subtracted or moved.
    Denoised,
    /// The image without its background, before it was moved.
    Level,
    /// What preparation subtracted as background.
    Background,
    /// What denoising took away.
    RemovedNoise,
    /// Logarithm of the power spectrum of what denoising took away: a specimen's spots in it are lost signal.
    RemovedNoiseFft,
    /// The image denoised for a look.
    Preview,
}

impl TiltPicture {
    /// Whether it needs a volume to project.
    #[must_use]
    pub fn needs_volume(self) -> bool {
        matches!(self, Self::Computed | Self::Difference)
    }

    /// The pictures of the steps of a preparation, from the image as read to the prepared one.
    #[must_use]
    pub fn steps(done: Option<&Prepared>) -> Vec<(Self, &'static str)> {
        let mut steps = vec![(Self::AsRead, "As read")];
        if let Some(done) = done {
            let mut also = |there: bool, step, name| steps.extend(there.then_some((step, name)));
            also(done.summed.is_some(), Self::Registered, "Registered");
            also(done.denoised.is_some(), Self::Denoised, "Denoised");
            also(done.background.is_some(), Self::Level, "Level");
        }
        steps.push((Self::Measured, "Prepared"));
        steps
    }

    /// Whether it is a power spectrum: without axis, crosshair and scale bar.
    #[must_use]
    pub fn is_spectrum(self) -> bool {
        matches!(self, Self::Fft | Self::RemovedNoiseFft)
    }
}

/// Tilts being moved by hand: shown at once, carried out when the hand rests.
#[derive(Debug, Clone, Default)]
pub struct Nudges {
    /// By how much along x and y (pixels) each tilt is still to be moved.
    pub wanted_px: BTreeMap<usize, [f64; 2]>,
    /// Whether the worker is moving some of them.
    pub in_flight: bool,
    /// When the hand last moved one.
    pub since: Option<Instant>,
}

impl Nudges {
    /// Moves a tilt on.
    pub fn add(&mut self, tilt: usize, by_px: [f64; 2]) {
        let wanted = self.wanted_px.entry(tilt).or_default();
        for axis in 0..2 {
            // Tenths of a pixel: sums of them should not drift.
            wanted[axis] = ((wanted[axis] + by_px[axis]) * 1e6).round() / 1e6;
        }
        self.wanted_px.retain(|_, shift| *shift != [0.0; 2]);
        self.since = Some(Instant::now());
    }
}

impl AppState {
    /// The last preparation, if it was made from the series as it is now: what a rerun may take over.
    #[must_use]
    pub fn earlier_preparation(&self) -> Option<Arc<Prepared>> {
        let (of, series) = (
            self.preparation_of.upgrade()?,
            self.workspace.series.as_ref()?,
        );
        let earlier = self.preparation.as_ref()?;
        Arc::ptr_eq(&of, series).then(|| Arc::clone(earlier))
    }

    /// Drops what was shown of a preparation that no longer stands.
    pub fn forget_preparation(&mut self) {
        self.preparation = None;
        self.preview = None;
        self.nudges = Nudges::default();
        self.view.tilt_picture = TiltPicture::Measured;
    }
}

/// A tilt denoised for a look.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The series it belongs to.
    pub series: Arc<TiltSeries>,
    /// Which image of it.
    pub tilt: usize,
    /// The denoised image, `(x, y)`.
    pub image: Arc<Array2<f32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_add_up_and_vanish_when_carried_out() {
        let mut nudges = Nudges::default();
        for _ in 0..3 {
            nudges.add(4, [0.1, -0.1]);
        }
        assert_eq!(nudges.wanted_px[&4], [0.3, -0.3]);
        nudges.add(4, [-0.3, 0.3]);
        assert!(nudges.wanted_px.is_empty());
    }
}
