//! The brush that sets phases by hand: what it paints, and which atoms it has covered.

use super::theme;
use crate::analyze::phases::Phase;
use crate::model::AtomId;
use eframe::egui::{Color32, Pos2};
use std::collections::BTreeSet;

/// The brush that sets phases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Brush {
    /// The phase it sets; `None` leaves atoms to the analysis again.
    pub phase: Option<Phase>,
    /// Å in the plane; its depth is that of the slab of atoms.
    pub radius: f64,
}

impl Default for Brush {
    fn default() -> Self {
        Self {
            phase: Some(Phase::Core),
            radius: 4.0,
        }
    }
}

impl Brush {
    /// What it paints, in words.
    #[must_use]
    pub fn name(phase: Option<Phase>) -> &'static str {
        phase.map_or("automatic", Phase::name)
    }

    /// The colour of what it paints.
    #[must_use]
    pub fn color(self) -> Color32 {
        self.phase.map_or(theme::ACCENT, theme::phase_color)
    }
}

/// The stroke that is being painted.
#[derive(Debug, Default)]
pub struct Stroke {
    last: Option<Pos2>,
    /// The atoms it has covered.
    pub covered: BTreeSet<AtomId>,
}

impl Stroke {
    /// Draws on to `at`: covers the `atoms` (names and places on the screen) within `radius` of the way there.
    pub fn reach(&mut self, at: Pos2, radius: f32, atoms: impl Iterator<Item = (AtomId, Pos2)>) {
        let from = self.last.replace(at).unwrap_or(at);
        let way = at - from;
        let within = |place: Pos2| {
            let along = (place - from).dot(way) / way.length_sq().max(f32::MIN_POSITIVE);
            place.distance(from + along.clamp(0.0, 1.0) * way) <= radius
        };
        self.covered
            .extend(atoms.filter(|(_, place)| within(*place)).map(|(id, _)| id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::pos2;

    #[test]
    fn a_fast_stroke_covers_what_lies_between_two_frames() {
        let row: Vec<(AtomId, Pos2)> = (0..20)
            .map(|i| (AtomId(i), pos2(10.0 * i as f32, 0.0)))
            .collect();
        let mut stroke = Stroke::default();
        stroke.reach(pos2(50.0, 3.0), 5.0, row.iter().copied());
        assert_eq!(stroke.covered, [AtomId(5)].into());
        stroke.reach(pos2(90.0, 3.0), 5.0, row.iter().copied());
        assert_eq!(stroke.covered, (5..=9).map(AtomId).collect());
        // Beyond its ends a stroke is round.
        stroke.reach(pos2(104.0, 3.0), 5.0, row.iter().copied());
        assert_eq!(stroke.covered.last(), Some(&AtomId(10)));
    }
}
