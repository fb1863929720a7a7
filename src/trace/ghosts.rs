//! Atoms that appear while a volume is still being made: the traces of successive volumes, followed from one to the next.
//!
//! Each interim atom goes to the ghost nearest to it, one to one, within a share of the distance between neighbours; what
//! finds none begins a ghost. The *persistence* of a place is the share of all interim traces that had an atom there.
//! What the data ask for is there early and stays; what noise makes comes and goes. Cost: a cell list per trace.

use super::evidence::neighbor_distance;
use crate::model::Atoms;
use crate::numeric::neighbors::CellList;

/// How far an atom may move between two traces and still be the same, over the distance between neighbours: below half of
/// the least distance at which tracing keeps two atoms apart, so that no ghost is mistaken for its neighbour.
const REACH: f64 = 0.3;
/// Distance between neighbours where a model has no two atoms near each other: that of most metals, Å.
const LONE_SPACING: f64 = 2.8;
/// The per-atom column of persistence, 0 to 1.
pub const PERSISTENCE: &str = "persistence";

/// A place where an interim trace found an atom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ghost {
    /// Where it was last, Å about the volume's centre.
    pub position: [f64; 3],
    /// Number of traces that had an atom there.
    pub seen: usize,
    /// Whether the last trace had.
    pub is_there: bool,
}

/// The interim atoms of a running reconstruction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ghosts {
    /// Number of interim traces.
    pub traces: usize,
    /// All places that ever had an atom.
    pub all: Vec<Ghost>,
}

impl Ghosts {
    /// Takes in the atoms (finite positions, Å) of one more interim trace. When it finds more than twice as many as
    /// all before together, the volume had not resolved the atoms until now, and counting begins anew.
    pub fn follow(&mut self, positions: &[[f64; 3]]) {
        if self.is_overtaken_by(positions.len()) {
            *self = Self::default();
        }
        self.traces += 1;
        let same = self.same_places(positions);
        for ghost in &mut self.all {
            ghost.is_there = false;
        }
        for (&position, same) in positions.iter().zip(same) {
            if let Some(known) = same {
                let ghost = &mut self.all[known];
                *ghost = Ghost {
                    position,
                    seen: ghost.seen + 1,
                    is_there: true,
                };
            } else {
                self.all.push(Ghost {
                    position,
                    seen: 1,
                    is_there: true,
                });
            }
        }
    }

    /// How sure a ghost is, 0 to 1: the share of the interim traces that had an atom there, if two more had not. It grows
    /// while the ghost stays, even if it was there from the first.
    #[must_use]
    pub fn solidity(&self, ghost: &Ghost) -> f64 {
        ghost.seen as f64 / (self.traces + 2) as f64
    }

    /// The ghosts of the last trace.
    pub fn present(&self) -> impl Iterator<Item = &Ghost> {
        self.all.iter().filter(|ghost| ghost.is_there)
    }

    /// Persistence of each of these places (finite, Å): the share of the interim traces that had an atom there.
    #[must_use]
    pub fn persistence(&self, positions: &[[f64; 3]]) -> Vec<f64> {
        self.same_places(positions)
            .into_iter()
            .map(|known| known.map_or(0, |known| self.all[known].seen))
            .map(|seen| seen as f64 / self.traces.max(1) as f64)
            .collect()
    }

    /// Gives the atoms of the final trace their column [`PERSISTENCE`]; nothing when no interim trace had resolved them.
    pub fn mark(&self, atoms: &mut Atoms) {
        if self.traces > 0 && !self.is_overtaken_by(atoms.len()) {
            let values = self.persistence(&atoms.positions);
            atoms.set_column(PERSISTENCE, "", values);
        }
    }

    /// Whether so many atoms are more than the volumes of all traces before had resolved.
    fn is_overtaken_by(&self, atoms: usize) -> bool {
        atoms > 2 * self.all.len()
    }

    /// The ghost of each position, each ghost at most once, the nearest pairs first.
    fn same_places(&self, positions: &[[f64; 3]]) -> Vec<Option<usize>> {
        let mut same = vec![None; positions.len()];
        if positions.is_empty() || self.all.is_empty() {
            return same;
        }
        let reach = REACH * neighbor_distance(positions).unwrap_or(LONE_SPACING);
        let places: Vec<[f64; 3]> = self.all.iter().map(|ghost| ghost.position).collect();
        let cells = CellList::new(&places, reach);
        let mut pairs = Vec::new();
        for (index, &position) in positions.iter().enumerate() {
            cells.for_each_within(position, reach, |known, squared| {
                pairs.push((squared, index, known));
            });
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut taken = vec![false; places.len()];
        for (_, index, known) in pairs {
            if same[index].is_none() && !taken[known] {
                same[index] = Some(known);
                taken[known] = true;
            }
        }
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A row of atoms 3 Å apart, each moved by `by` along y.
    fn row(count: usize, by: f64) -> Vec<[f64; 3]> {
        (0..count).map(|i| [3.0 * i as f64, by, 0.0]).collect()
    }

    #[test]
    fn what_stays_is_solid_and_what_comes_late_or_goes_is_not() {
        let mut ghosts = Ghosts::default();
        ghosts.follow(&row(4, 0.0));
        // All drift a little, the fifth appears.
        ghosts.follow(&row(5, 0.4));
        // The first is gone.
        ghosts.follow(&row(5, 0.8)[1..]);
        ghosts.follow(&row(5, 1.0)[1..]);
        assert_eq!((ghosts.traces, ghosts.all.len()), (4, 5));
        assert_eq!(ghosts.present().count(), 4);
        let found = ghosts.persistence(&row(6, 1.0));
        // The first ghost stayed where it was last seen, 0.6 Å away.
        assert_eq!(found, [0.5, 1.0, 1.0, 1.0, 0.75, 0.0]);
        let solid: Vec<f64> = ghosts.present().map(|g| ghosts.solidity(g)).collect();
        assert_eq!(solid, [4.0 / 6.0, 4.0 / 6.0, 4.0 / 6.0, 0.5]);
    }

    #[test]
    fn a_ghost_is_given_to_the_nearest_atom_only() {
        let mut ghosts = Ghosts::default();
        ghosts.follow(&row(3, 0.0));
        // The pair that a split maximum makes is no measure of the spacing: the median is.
        let mut split = row(3, 0.0);
        split[1][1] = 0.2;
        split.push([3.0, -0.3, 0.0]);
        split.extend([[9.0, 0.0, 0.0], [12.0, 0.0, 0.0]]);
        ghosts.follow(&split);
        let persistence = ghosts.persistence(&split);
        assert_eq!(persistence, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn a_jump_of_more_than_the_reach_is_another_atom() {
        for (jump, is_same) in [(0.85, true), (0.95, false)] {
            let mut ghosts = Ghosts::default();
            ghosts.follow(&row(5, 0.0));
            ghosts.follow(&row(5, jump));
            assert_eq!(ghosts.all.len() == 5, is_same, "{jump}");
        }
    }

    #[test]
    fn traces_of_a_volume_without_atoms_do_not_count() {
        let mut ghosts = Ghosts::default();
        ghosts.follow(&row(2, 1.5));
        ghosts.follow(&row(5, 0.0));
        assert_eq!((ghosts.traces, ghosts.all.len()), (1, 5));
        assert_eq!(ghosts.persistence(&row(5, 0.0)), [1.0; 5]);
    }

    #[test]
    fn the_column_is_written_only_after_an_interim_trace() {
        let mut atoms = Atoms::from_positions(row(3, 0.0), "Zr");
        let mut ghosts = Ghosts::default();
        ghosts.mark(&mut atoms);
        assert!(atoms.column(PERSISTENCE).is_none());
        ghosts.follow(&row(2, 0.0));
        ghosts.follow(&[]);
        ghosts.mark(&mut atoms);
        assert_eq!(atoms.column(PERSISTENCE).unwrap(), [0.5, 0.5, 0.0]);
        // Two atoms of five: the interim volume was too early to say anything.
        let mut atoms = Atoms::from_positions(row(5, 0.0), "Zr");
        ghosts.mark(&mut atoms);
        assert!(atoms.column(PERSISTENCE).is_none());
    }

    proptest! {
        #[test]
        fn persistence_is_a_share_and_every_trace_is_counted(
            traces in prop::collection::vec(
                prop::collection::vec((0.0..12.0f64, 0.0..12.0f64, 0.0..12.0f64), 0..20), 1..6)
        ) {
            let mut ghosts = Ghosts::default();
            let mut atoms = 0;
            for trace in &traces {
                let positions: Vec<_> = trace.iter().map(|p| [p.0, p.1, p.2]).collect();
                let is_new = positions.len() > 2 * ghosts.all.len();
                atoms = if is_new { 0 } else { atoms } + positions.len();
                ghosts.follow(&positions);
                prop_assert_eq!(ghosts.present().count(), positions.len());
                let persistence = ghosts.persistence(&positions);
                prop_assert!(persistence.iter().all(|p| (0.0..=1.0).contains(p)));
            }
            prop_assert_eq!(ghosts.all.iter().map(|g| g.seen).sum::<usize>(), atoms);
        }
    }
}
