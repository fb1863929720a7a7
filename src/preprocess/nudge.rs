//! Images moved by hand, in all by so much beside what the alignment does: kept as parameters, so that they are saved,
//! listed, taken back one by one, and done again on a rerun.

use serde::{Deserialize, Serialize};

/// An image moved by hand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Nudge {
    /// Which image, from 0.
    pub tilt: usize,
    /// By how much along x and y in all, pixels.
    pub shift_px: [f64; 2],
}

impl Nudge {
    /// Whether its numbers mean something.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        // Images are never wider.
        self.shift_px.iter().all(|s| s.is_finite() && s.abs() < 1e5)
    }
}

/// Moves one image on; one that is back where it was is taken from the list.
pub fn move_on(nudges: &mut Vec<Nudge>, tilt: usize, by_px: [f64; 2]) {
    let at = nudges.iter().position(|nudge| nudge.tilt == tilt);
    let at = at.unwrap_or_else(|| {
        let shift_px = [0.0; 2];
        nudges.push(Nudge { tilt, shift_px });
        nudges.len() - 1
    });
    for (shift, by) in nudges[at].shift_px.iter_mut().zip(by_px) {
        // Tenths of a pixel: sums of them should not drift.
        *shift = ((*shift + by) * 1e6).round() / 1e6;
    }
    nudges.retain(|nudge| nudge.shift_px != [0.0; 2]);
}

/// Adds the moves by hand to the shifts of all images.
pub(super) fn add(nudges: &[Nudge], shifts_px: &mut [[f64; 2]]) {
    for nudge in nudges {
        if let Some(shift) = shifts_px.get_mut(nudge.tilt) {
            *shift = [0, 1].map(|axis| shift[axis] + nudge.shift_px[axis]);
        }
    }
}

/// What was moved by hand.
pub(super) fn note(nudges: &[Nudge], tilts: usize) -> Option<String> {
    let there = nudges.iter().filter(|nudge| nudge.tilt < tilts);
    let moved: Vec<String> = there
        .map(|Nudge { tilt, shift_px }| {
            let [x, y] = shift_px;
            format!("image {} by ({x:+.1}, {y:+.1}) px", tilt + 1)
        })
        .collect();
    (!moved.is_empty()).then(|| format!("Alignment: moved by hand: {}", moved.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_add_up_and_what_is_taken_back_leaves_the_list() {
        let mut nudges = Vec::new();
        for _ in 0..3 {
            move_on(&mut nudges, 4, [0.1, -0.1]);
        }
        move_on(&mut nudges, 1, [0.1, 0.0]);
        assert_eq!(nudges[0].shift_px, [0.3, -0.3]);
        assert_eq!(
            note(&nudges, 3).as_deref(),
            Some("Alignment: moved by hand: image 2 by (+0.1, +0.0) px")
        );
        move_on(&mut nudges, 4, [-0.3, 0.3]);
        assert_eq!(nudges.len(), 1);
        assert_eq!(note(&nudges, 1), None);
    }
}
