//! The list of places that deserve a look: what the tilts say of the model, brought up to date after every edit by what
//! the density, the tracing and the distances say, and hand edits that a new trace could not take over. Made on its own
//! thread.

use super::queue::Proposal;
use super::state::{Doubtful, Evidence};
use crate::model::geometry::distance;
use crate::model::{Atoms, Volume};
use crate::monitor::Monitor;
use crate::project::Mark;
use crate::project::carry::Unrepeated;
use crate::trace::Traced;
use crate::trace::doubts::{Doubt, DoubtInput, DoubtParams, doubtful_places};
use std::sync::Arc;

/// What the list is made from.
pub struct Request {
    /// The model as it is now.
    pub atoms: Arc<Atoms>,
    /// The volume, if there is one.
    pub volume: Option<Arc<Volume>>,
    /// What tracing saw, if the model was traced.
    pub traced: Option<Arc<Traced>>,
    /// What the tilts said of the model as it was then.
    pub evidence: Option<Evidence>,
    /// Hand edits that could not be made again.
    pub unrepeated: Vec<Unrepeated>,
}

/// An atom nearer than this to where it was is the same as it was, Å.
const UNMOVED: f64 = 0.02;
/// Two entries nearer to each other than this are about one place, Å.
const ONE_PLACE: f64 = 1.0;

/// Makes the list: edits that were lost first, then the most probable error first.
#[must_use]
pub fn doubtful(request: &Request) -> Vec<Doubtful> {
    let lost = request.unrepeated.iter().map(|lost| Doubtful {
        kind: "edit not repeated",
        position: lost.position,
        atoms: Vec::new(),
        probability: 1.0,
        text: format!("{}: {}", lost.label, lost.reason),
        proposal: Proposal::Keep,
    });
    let flagged = flagged(&request.atoms);
    let input = DoubtInput {
        atoms: &request.atoms,
        series: None,
        volume: request.volume.as_deref(),
        traced: request.traced.as_deref(),
    };
    // Atoms that are no numbers have no list; the window shows them as they are.
    let now =
        doubtful_places(&input, &DoubtParams::default(), &Monitor::silent()).unwrap_or_default();
    let mut places = match &request.evidence {
        None => now,
        Some(evidence) => brought_up_to_date(evidence, now, &request.atoms),
    };
    places.sort_by(|a, b| b.log_odds.total_cmp(&a.log_odds));
    lost.chain(flagged)
        .chain(places.iter().map(entry))
        .collect()
}

fn entry(doubt: &Doubt) -> Doubtful {
    Doubtful {
        kind: doubt.kind.name(),
        position: doubt.position,
        atoms: doubt.atoms.clone(),
        probability: doubt.probability(),
        text: doubt.reason.clone(),
        proposal: Proposal::of(doubt.kind, doubt.atoms.len()),
    }
}

/// Atoms that someone asked a second opinion of.
fn flagged(atoms: &Atoms) -> Vec<Doubtful> {
    (0..atoms.len())
        .filter(|&index| Mark::Flagged.is_on(atoms, index))
        .map(|index| Doubtful {
            kind: "second opinion",
            position: atoms.positions[index],
            atoms: vec![atoms.ids[index]],
            probability: 1.0,
            text: "flagged by hand (F takes the flag off)".to_owned(),
            proposal: Proposal::Keep,
        })
        .collect()
}

/// Entries of the tilts that still stand, and of the newer list what is about atoms that were touched since.
fn brought_up_to_date(evidence: &Evidence, now: Vec<Doubt>, atoms: &Atoms) -> Vec<Doubt> {
    let untouched = |id| {
        let (then, now) = (evidence.atoms.index_of(id), atoms.index_of(id));
        then.zip(now).is_some_and(|(then, now)| {
            distance(evidence.atoms.positions[then], atoms.positions[now]) < UNMOVED
        })
    };
    let vacant = |place| {
        atoms
            .positions
            .iter()
            .all(|at| distance(*at, place) > ONE_PLACE)
    };
    let mut places: Vec<Doubt> = evidence
        .doubts
        .iter()
        .filter(|doubt| match doubt.atoms.as_slice() {
            [] => vacant(doubt.position),
            concerned => concerned.iter().all(|&id| untouched(id)),
        })
        .cloned()
        .collect();
    let newer: Vec<Doubt> = now
        .into_iter()
        .filter(|doubt| doubt.atoms.iter().any(|&id| !untouched(id)))
        .collect();
    places.retain(|old| {
        newer
            .iter()
            .all(|new| distance(new.position, old.position) > ONE_PLACE)
    });
    places.extend(newer);
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AtomId;
    use crate::trace::doubts::DoubtKind;

    /// A cube of atoms 3 Å apart.
    fn cube() -> Atoms {
        let place = |i: usize| 3.0 * i as f64;
        let positions = (0..125)
            .map(|i| [place(i % 5), place(i / 5 % 5), place(i / 25)])
            .collect();
        Atoms::from_positions(positions, "Zr")
    }

    fn request(atoms: Atoms) -> Request {
        Request {
            atoms: Arc::new(atoms),
            volume: None,
            traced: None,
            evidence: None,
            unrepeated: Vec::new(),
        }
    }

    fn said(kind: DoubtKind, position: [f64; 3], atoms: Vec<AtomId>) -> Doubt {
        Doubt {
            kind,
            also: Vec::new(),
            position,
            atoms,
            log_odds: 1.0,
            nearest: None,
            images: None,
            reason: "the tilts".to_owned(),
        }
    }

    #[test]
    fn a_close_pair_is_listed_before_all_else_but_lost_edits() {
        let mut atoms = cube();
        atoms.positions[1] = [0.8, 0.0, 0.0];
        let mut asked = request(atoms);
        asked.unrepeated.push(Unrepeated {
            label: "Move atom".to_owned(),
            position: [1.0; 3],
            reason: "no atom here".to_owned(),
        });
        let list = doubtful(&asked);
        assert_eq!(list[0].kind, "edit not repeated");
        assert_eq!(list[1].kind, "too close");
        assert!(list[1].probability > 0.5, "{:?}", list[1]);
    }

    #[test]
    fn what_the_tilts_said_stands_until_its_place_is_edited() {
        let then = cube();
        let doubts = vec![
            said(DoubtKind::False, then.positions[40], vec![AtomId(40)]),
            said(DoubtKind::False, then.positions[60], vec![AtomId(60)]),
            said(DoubtKind::Missing, [20.0; 3], Vec::new()),
            said(DoubtKind::Missing, [-20.0; 3], Vec::new()),
        ];
        let mut now = then.clone();
        now.positions[40][1] += 0.5;
        now.ids.push(AtomId(500));
        now.positions.push([20.2, 20.0, 20.0]);
        now.species.push(0);
        let mut asked = request(now);
        asked.evidence = Some(Evidence {
            doubts: Arc::new(doubts),
            atoms: Arc::new(then),
        });
        let list: Vec<_> = doubtful(&asked)
            .into_iter()
            .filter(|place| place.text == "the tilts")
            .map(|place| place.position)
            .collect();
        assert_eq!(list, [cube().positions[60], [-20.0; 3]]);
    }
}
