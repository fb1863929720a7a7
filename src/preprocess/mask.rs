//! Hand work on the masks that tell specimen from vacuum: strokes of a brush and pulls at the edge, kept as what was done,
//! not as pixels, so that they are small, can be taken back one by one, and are done again on a rerun.
//!
//! A pull moves the edge under the pointer to where it was let go and takes its neighbourhood along, by the smooth map
//! `p → p − d exp(−|p − b|²/2s²)` from the new mask to the old one (pull `d` ending at `b`, reach `s`). It folds nothing
//! as long as `|d| < s √e`: a longer pull reaches further. Cost O(pixels) a change.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Pulls longer than this share of their reach widen it; folding begins at √e = 1.65.
const LONGEST_PULL: f64 = 1.2;
/// A brush has at most this radius, pixels: images are never wider.
const WIDEST_PX: f64 = 1e5;

/// One change to one image's mask. Places are `(x, y)` in pixels of the image as read, pixel centres at whole numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskEdit {
    /// Which image, from 0.
    pub tilt: usize,
    /// What was done.
    #[serde(flatten)]
    pub change: MaskChange,
}

/// What was done to a mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MaskChange {
    /// A disk drawn along a line.
    Brush {
        /// Whether pixels become specimen; else vacuum.
        adds: bool,
        /// Radius of the disk.
        radius_px: f64,
        /// Corners of the line.
        points_px: Vec<[f64; 2]>,
    },
    /// The edge pulled from one place to another.
    Pull {
        /// How far about the place the edge follows (standard deviation of a Gaussian).
        radius_px: f64,
        /// Where it was taken.
        from_px: [f64; 2],
        /// Where it was let go.
        to_px: [f64; 2],
    },
}

impl MaskChange {
    /// Whether its numbers mean something.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let place = |p: &[f64; 2]| p.iter().all(|v| v.is_finite() && v.abs() < WIDEST_PX);
        let radius = |r: f64| r > 0.0 && r < WIDEST_PX;
        match self {
            Self::Brush {
                radius_px,
                points_px,
                ..
            } => radius(*radius_px) && points_px.iter().all(place),
            Self::Pull {
                radius_px,
                from_px,
                to_px,
            } => radius(*radius_px) && place(from_px) && place(to_px),
        }
    }

    /// The same on an image whose x and y were exchanged.
    pub fn exchange(&mut self) {
        match self {
            Self::Brush { points_px, .. } => points_px.iter_mut().for_each(|p| p.reverse()),
            Self::Pull { from_px, to_px, .. } => {
                from_px.reverse();
                to_px.reverse();
            }
        }
    }

    /// Makes the change; one that is not valid changes nothing.
    pub fn apply(&self, mask: &mut Array2<bool>) {
        if !self.is_valid() {
            return;
        }
        match self {
            Self::Brush {
                adds,
                radius_px,
                points_px,
            } => {
                if let [only] = points_px.as_slice() {
                    paint(mask, [*only, *only], *radius_px, *adds);
                }
                for pair in points_px.windows(2) {
                    paint(mask, [pair[0], pair[1]], *radius_px, *adds);
                }
            }
            Self::Pull {
                radius_px,
                from_px,
                to_px,
            } => pull(mask, *from_px, *to_px, *radius_px),
        }
    }
}

/// Sets every pixel within `radius` of a line.
fn paint(mask: &mut Array2<bool>, [from, to]: [[f64; 2]; 2], radius: f64, adds: bool) {
    let (nx, ny) = mask.dim();
    let range = |axis: usize, n: usize| {
        let low = (from[axis].min(to[axis]) - radius).ceil().max(0.0) as usize;
        let high = (from[axis].max(to[axis]) + radius).floor() + 1.0;
        low..(high.max(0.0) as usize).min(n)
    };
    let along = [to[0] - from[0], to[1] - from[1]];
    let squared = along[0] * along[0] + along[1] * along[1];
    for i in range(0, nx) {
        for j in range(1, ny) {
            let p = [i as f64 - from[0], j as f64 - from[1]];
            let share = if squared > 0.0 {
                ((p[0] * along[0] + p[1] * along[1]) / squared).clamp(0.0, 1.0)
            } else {
                0.0
            };
            let off = (p[0] - share * along[0]).hypot(p[1] - share * along[1]);
            if off <= radius {
                mask[[i, j]] = adds;
            }
        }
    }
}

fn pull(mask: &mut Array2<bool>, from: [f64; 2], to: [f64; 2], radius: f64) {
    let d = [to[0] - from[0], to[1] - from[1]];
    let reach = radius.max(d[0].hypot(d[1]) / LONGEST_PULL);
    let (nx, ny) = mask.dim();
    let old = mask.clone();
    let far = (4.0 * reach).powi(2);
    for ((i, j), cell) in mask.indexed_iter_mut() {
        let p = [i as f64, j as f64];
        let off = (p[0] - to[0]).powi(2) + (p[1] - to[1]).powi(2);
        if off > far {
            continue;
        }
        let weight = (-0.5 * off / (reach * reach)).exp();
        let nearest = |axis: usize, n: usize| {
            (p[axis] - weight * d[axis])
                .round()
                .clamp(0.0, n as f64 - 1.0) as usize
        };
        *cell = old[[nearest(0, nx), nearest(1, ny)]];
    }
}

/// A mask with its image's edits made; whether there were any.
pub fn apply_to(mask: &mut Array2<bool>, tilt: usize, edits: &[MaskEdit]) -> bool {
    let own = || edits.iter().filter(|edit| edit.tilt == tilt);
    for edit in own() {
        edit.change.apply(mask);
    }
    own().next().is_some()
}

/// The edge between specimen and vacuum as lines between pixel corners, which lie at half numbers: runs of pixel edges are
/// one line. The image's own border is no edge.
#[must_use]
pub fn outline(mask: &Array2<bool>) -> Vec<[[f32; 2]; 2]> {
    let (nx, ny) = mask.dim();
    let mut lines = Vec::new();
    // Edges along y between columns i − 1 and i, then along x between rows j − 1 and j.
    let mut runs =
        |count: usize, length: usize, differs: &dyn Fn(usize, usize) -> bool, turned: bool| {
            for at in 1..count {
                let mut start = None;
                for k in 0..=length {
                    let edge = k < length && differs(at, k);
                    match (start, edge) {
                        (None, true) => start = Some(k),
                        (Some(from), false) => {
                            let across = at as f32 - 0.5;
                            let ends = [from, k].map(|k| k as f32 - 0.5);
                            lines.push(
                                ends.map(|end| if turned { [end, across] } else { [across, end] }),
                            );
                            start = None;
                        }
                        _ => {}
                    }
                }
            }
        };
    runs(nx, ny, &|i, j| mask[[i - 1, j]] != mask[[i, j]], false);
    runs(ny, nx, &|j, i| mask[[i, j - 1]] != mask[[i, j]], true);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(radius: f64) -> Array2<bool> {
        Array2::from_shape_fn((60, 50), |(i, j)| {
            (i as f64 - 30.0).hypot(j as f64 - 25.0) <= radius
        })
    }

    fn count(mask: &Array2<bool>) -> usize {
        mask.iter().filter(|m| **m).count()
    }

    #[test]
    fn a_stroke_sets_what_lies_within_its_radius_and_erasing_takes_it_back() {
        let mut mask = Array2::from_elem((60, 50), false);
        let stroke = |adds| MaskChange::Brush {
            adds,
            radius_px: 4.0,
            points_px: vec![[10.0, 10.0], [40.0, 10.0], [40.0, 30.0]],
        };
        stroke(true).apply(&mut mask);
        for ((i, j), &set) in mask.indexed_iter() {
            let (x, y) = (i as f64, j as f64);
            let first = (x - x.clamp(10.0, 40.0)).hypot(y - 10.0);
            let second = (x - 40.0).hypot(y - y.clamp(10.0, 30.0));
            assert_eq!(set, first.min(second) <= 4.0, "({i}, {j})");
        }
        stroke(false).apply(&mut mask);
        assert_eq!(count(&mask), 0);
    }

    #[test]
    fn the_edge_follows_a_pull_and_what_is_far_stays() {
        let before = disk(12.0);
        let mut mask = before.clone();
        let pull = MaskChange::Pull {
            radius_px: 5.0,
            from_px: [42.0, 25.0],
            to_px: [47.0, 25.0],
        };
        pull.apply(&mut mask);
        assert!(mask[[46, 25]] && !mask[[48, 25]]);
        assert!(count(&mask) > count(&before));
        for ((i, j), &set) in mask.indexed_iter() {
            if (i as f64 - 47.0).hypot(j as f64 - 25.0) > 20.0 {
                assert_eq!(set, before[[i, j]]);
            }
        }
        // Inward, and further than the reach: still no hole and no island.
        let mut mask = before.clone();
        let pull = MaskChange::Pull {
            radius_px: 2.0,
            from_px: [42.0, 25.0],
            to_px: [33.0, 25.0],
        };
        pull.apply(&mut mask);
        assert!(!mask[[34, 25]] && mask[[31, 25]]);
        let row: Vec<bool> = (0..60).map(|i| mask[[i, 25]]).collect();
        assert_eq!(
            row.windows(2).filter(|w| w[0] != w[1]).count(),
            2,
            "one run of specimen"
        );
    }

    #[test]
    fn numbers_that_mean_nothing_change_nothing() {
        let before = disk(9.0);
        for (radius_px, place) in [
            (f64::NAN, [1.0, 1.0]),
            (-3.0, [1.0, 1.0]),
            (3.0, [f64::INFINITY, 0.0]),
        ] {
            let mut mask = before.clone();
            let change = MaskChange::Brush {
                adds: true,
                radius_px,
                points_px: vec![place],
            };
            assert!(!change.is_valid());
            change.apply(&mut mask);
            assert_eq!(mask, before);
        }
    }

    #[test]
    fn the_outline_is_as_long_as_the_pixels_edges() {
        let mask = disk(9.0);
        let mut edges = 0;
        for ((i, j), &set) in mask.indexed_iter() {
            edges += usize::from(i + 1 < 60 && mask[[i + 1, j]] != set);
            edges += usize::from(j + 1 < 50 && mask[[i, j + 1]] != set);
        }
        let length: f32 = outline(&mask)
            .iter()
            .map(|[a, b]| (a[0] - b[0]).abs() + (a[1] - b[1]).abs())
            .sum();
        assert_eq!(length, edges as f32);
    }

    #[test]
    fn edits_are_kept_as_words_and_numbers() {
        let edit = MaskEdit {
            tilt: 3,
            change: MaskChange::Pull {
                radius_px: 5.0,
                from_px: [1.0, 2.0],
                to_px: [3.0, 4.0],
            },
        };
        let text = serde_json::to_string(&edit).unwrap();
        assert!(
            text.contains("\"kind\":\"pull\"") && text.contains("\"tilt\":3"),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<MaskEdit>(&text).unwrap(), edit);
    }
}
