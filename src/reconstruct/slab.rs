//! A range of y-slices of a series with one tilt axis, reconstructed by itself, so that one series can be spread over
//! many machines.
//!
//! At φ = ψ = 0 a y-slice and its projections share nothing with the others, and the length of a step is the same for
//! all of them (the longest ray is). What would still couple them is refused: whatever looks at the whole volume to
//! restart, stop or smooth. One thing remains: the iterations halve the step when the objective rises. That of the
//! whole series, a sum over slices, can rise only if that of a slab does; so a slab whose objective rises is given up
//! instead of going on another way than the whole.

use super::{Engine, Iteration, ReconstructError, ReconstructParams, Regularization, volume_size};
use crate::model::{TiltSeries, Volume, center_index};
use ndarray::s;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Relative rise of a slab's objective that is taken for rounding: less than half of what the iterations allow, so that
/// slabs that pass make a whole that passes.
const ROUNDING: f64 = 4e-7;

/// One of several ranges of y-slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slab {
    /// Which, counted from 1.
    pub number: usize,
    /// Of how many.
    pub count: usize,
}

impl FromStr for Slab {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(number, count)| {
            Some(Self {
                number: number.trim().parse().ok()?,
                count: count.trim().parse().ok()?,
            })
        });
        match parsed {
            Some(slab) if (1..=slab.count).contains(&slab.number) => Ok(slab),
            _ => Err("expected I/N with I from 1 to N, as in 3/8".to_owned()),
        }
    }
}

impl fmt::Display for Slab {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl Slab {
    /// Its y-slices among `slices`; the parts differ by a pair of slices at most. Pairs stay together, because the
    /// Fourier projector works on two slices at once.
    #[must_use]
    pub fn range(&self, slices: usize) -> Range<usize> {
        let pairs = slices.div_ceil(2);
        let at = |number: usize| (2 * (pairs * number / self.count)).min(slices);
        at(self.number - 1)..at(self.number)
    }
}

/// Refuses what couples y-slices.
pub(super) fn check(
    series: &TiltSeries,
    params: &ReconstructParams,
) -> Result<(), ReconstructError> {
    let Some(slab) = params.slab else {
        return Ok(());
    };
    let refuse = |expected: &str, found: String| {
        Err(ReconstructError::BadParameter {
            name: "slab",
            expected: expected.to_owned(),
            found: format!("{slab} {found}"),
        })
    };
    if let Some(tilt) = series.angles.iter().position(|a| !a.is_single_axis()) {
        let [phi, _, psi] = series.angles[tilt].to_deg();
        return refuse(
            "φ = ψ = 0 in every tilt: only then no y-slice depends on another",
            format!("of a series whose tilt {tilt} has φ = {phi}°, ψ = {psi}°"),
        );
    }
    if params.accelerated {
        return refuse(
            "plain iterations: momentum is restarted by a sum over the whole volume",
            "with accelerated iterations".to_owned(),
        );
    }
    if params.auto_stop {
        return refuse(
            "a given number of iterations: the automatic stop looks at the whole series",
            "with an automatic stop".to_owned(),
        );
    }
    if params.half_sets {
        return refuse(
            "no half sets: their correlation is one of whole volumes",
            "with half sets".to_owned(),
        );
    }
    if params.regularization == Regularization::Kernel {
        return refuse(
            "no kernel in the loop: it mixes y-slices",
            "with a kernel".to_owned(),
        );
    }
    if params.smoothing > 0.0 {
        return refuse(
            "no smoothing: it mixes y-slices, and can be had of the merged volume",
            format!("smoothed by {} Å", params.smoothing),
        );
    }
    let (voxels, pixels) = (volume_size(series, params)[1], series.image_size()[1]);
    if voxels > pixels {
        return refuse(
            "a volume no longer along y than the images",
            format!("of {voxels} voxels along y in images of {pixels}"),
        );
    }
    if slab.range(voxels).is_empty() {
        return refuse(
            "at least two y-slices in each",
            format!("of {voxels} y-slices"),
        );
    }
    Ok(())
}

/// What belongs to the slab: images, and the volume's size with it.
pub(super) fn cut(
    series: TiltSeries,
    params: &ReconstructParams,
) -> (TiltSeries, ReconstructParams) {
    let mut params = params.clone();
    let Some(slab) = params.slab else {
        return (series, params);
    };
    let [nx, ny, nz] = volume_size(&series, &params);
    let [_, py] = series.image_size();
    let range = slab.range(ny);
    let offset = center_index(py) - center_index(ny);
    let rows = range.start + offset..range.end + offset;
    let cut = TiltSeries {
        images: series.images.slice(s![.., .., rows]).to_owned(),
        ..series
    };
    params.volume_size = Some(vec![nx, range.len(), nz]);
    // Other machines may have another device or none.
    if params.engine == Engine::Auto {
        params.engine = Engine::Cpu;
    }
    (cut, params)
}

/// What belongs to the slab of a volume of the whole.
pub(super) fn cut_volume(volume: &Volume, slab: Slab) -> Volume {
    let range = slab.range(volume.size()[1]);
    let data = volume.data.slice(s![.., range, ..]).to_owned();
    Volume::new(data, volume.pixel_size)
}

/// Refuses a slab whose objective rose.
pub(super) fn check_fall(
    slab: Slab,
    before: &Iteration,
    now: &Iteration,
) -> Result<(), ReconstructError> {
    if now.objective <= before.objective * (1.0 + ROUNDING) {
        return Ok(());
    }
    Err(ReconstructError::BadInput {
        subject: format!("slab {slab}, iteration {}", now.number),
        expected: "an objective that falls, else the whole series may go on with a smaller step, \
                   which a slab cannot know: use a smaller --step"
            .to_owned(),
        found: format!(
            "a rise from {:.6e} to {:.6e}",
            before.objective, now.objective
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_are_named_by_number_and_count_and_cover_all_slices_once() {
        assert_eq!(
            "3/8".parse(),
            Ok(Slab {
                number: 3,
                count: 8
            })
        );
        for wrong in ["0/4", "5/4", "1", "1/0", "a/b", "1/2/3", "-1/2"] {
            assert!(wrong.parse::<Slab>().is_err(), "{wrong}");
        }
        for slices in [2, 7, 64, 71, 290] {
            for count in 1..=slices / 2 {
                let mut next = 0;
                for number in 1..=count {
                    let range = Slab { number, count }.range(slices);
                    assert!(range.start == next && !range.is_empty() && next % 2 == 0);
                    next = range.end;
                }
                assert_eq!(next, slices);
            }
        }
    }

    #[test]
    fn a_slab_whose_objective_rises_is_given_up() {
        let iteration = |number: usize, objective: f64| Iteration {
            number,
            r1: 0.1,
            r1_per_tilt: [0.1].into(),
            r_free: None,
            misfit_free: None,
            objective,
            elapsed_secs: 0.0,
        };
        let slab = Slab {
            number: 2,
            count: 4,
        };
        let check = |now| check_fall(slab, &iteration(6, 5.0), &iteration(7, now));
        assert!(check(4.9).is_ok() && check(5.0).is_ok() && check(5.000_001).is_ok());
        let text = check(5.1).unwrap_err().to_string();
        assert!(
            text.starts_with("slab 2/4, iteration 7: expected"),
            "{text}"
        );
    }
}
