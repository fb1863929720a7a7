//! Phases: metal core, crystalline and amorphous oxide.
//!
//! Order splits off the amorphous part, oxidation the core; single atoms are noisy, so both quantities are averaged over about
//! the first shell. An atom at the surface has few neighbors, and few neighbors look ordered whatever their places: its own
//! order does not count, that of the atoms below it does. A `phase` column of the input is kept as it is. What someone said of an atom by hand (column
//! `phase_by_hand`) goes before either.

use super::{Work, oxidation, profiles};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The column of the phases set by hand; NaN for all other atoms.
pub const BY_HAND: &str = "phase_by_hand";

/// A phase of a metal-oxide particle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Metal core.
    Core,
    /// Crystalline oxide.
    CrystallineOxide,
    /// Amorphous oxide.
    AmorphousOxide,
}

impl Phase {
    /// All of them, in the order of their values.
    pub const ALL: [Self; 3] = [Self::Core, Self::CrystallineOxide, Self::AmorphousOxide];

    /// Its number in the column `phase`.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from(self as u8)
    }

    /// The phase with this number.
    #[must_use]
    pub fn of_value(value: f64) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.value() == value)
    }

    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "metal core",
            Self::CrystallineOxide => "crystalline oxide",
            Self::AmorphousOxide => "amorphous oxide",
        }
    }
}

/// Gives the atoms of [`super::analyze`] their column `phase`.
pub(super) fn part(work: &mut Work<'_>) {
    automatic(work);
    let out = &mut work.out;
    let Some(by_hand) = out.atoms.column(BY_HAND) else {
        if let Some(automatic) = &out.automatic_phase {
            let phase = automatic.to_vec();
            out.atoms.set_column("phase", "", phase);
        } else {
            out.atoms.columns.remove("phase");
        }
        return;
    };
    // Where nothing tells phases, only these atoms have one.
    let phase = (0..by_hand.len()).map(|i| {
        let automatic = out.automatic_phase.as_ref().map_or(f64::NAN, |p| p[i]);
        Phase::of_value(by_hand[i]).map_or(automatic, Phase::value)
    });
    let phase: Vec<f64> = phase.collect();
    let said = by_hand.iter().filter(|p| Phase::of_value(**p).is_some());
    let note = format!("phases: those of {} atoms were set by hand", said.count());
    out.notes.push(note);
    out.atoms.set_column("phase", "", phase);
}

/// Share of the usual number of neighbors below which an atom's own order says nothing of the matter it is in.
const ENOUGH_NEIGHBORS: f64 = 0.85;

/// The bond order, NaN for atoms that lack neighbors.
fn order_within(boo: &[f64], neighbors: Option<&[f64]>) -> Vec<f64> {
    let Some(neighbors) = neighbors.filter(|n| !n.is_empty()) else {
        return boo.to_vec();
    };
    let mut sorted = neighbors.to_vec();
    sorted.sort_by(f64::total_cmp);
    let enough = ENOUGH_NEIGHBORS * sorted[sorted.len() / 2];
    let counts = boo.iter().zip(neighbors);
    counts
        .map(|(&boo, &n)| if n < enough { f64::NAN } else { boo })
        .collect()
}

/// The phases that nobody set by hand.
fn automatic(work: &mut Work<'_>) {
    let given = work.out.given.iter().any(|name| name == "phase");
    let old = work.before.and_then(|b| b.automatic_phase.clone());
    let before = work.same(|_| ());
    let out = &mut work.out;
    let atoms = &out.atoms;
    if given {
        let own = || atoms.column("phase").map(|p| Arc::new(p.to_vec()));
        out.automatic_phase = old.or_else(own);
        return;
    }
    let (Some(boo), Some(oxidation)) = (atoms.column("boo"), atoms.column("oxidation")) else {
        return;
    };
    let sigma = 0.6 * out.cutoff;
    // A threshold moves one of them at most.
    let old = before.and_then(|b| Some((b, b.phase_fields.as_ref()?)));
    let known = |name: &str, own: &[f64], at: usize| {
        let (before, fields) = old?;
        let same = profiles::same_bits(before.atoms.column(name)?, own);
        same.then(|| Arc::clone(&fields[at]))
    };
    let one = |values: &[f64]| Arc::new(oxidation::smoothed(&atoms.positions, values, sigma));
    // The neighbors are those of the bond order: where that is the same they are.
    let within = || order_within(boo, atoms.column("cn"));
    let fields = match (known("boo", boo, 0), known("oxidation", oxidation, 1)) {
        (None, None) => {
            let within = within();
            oxidation::smoothed_each(&atoms.positions, [&within, oxidation], sigma).map(Arc::new)
        }
        (a, b) => [
            a.unwrap_or_else(|| one(&within())),
            b.unwrap_or_else(|| one(oxidation)),
        ],
    };
    let [boo, oxidation] = &fields;
    let phase = boo.iter().zip(&**oxidation).map(|(&boo, &oxidation)| {
        let phase = if oxidation.is_finite() && oxidation < 0.5 {
            Phase::Core
        } else if boo >= out.params.boo_threshold {
            Phase::CrystallineOxide
        } else {
            Phase::AmorphousOxide
        };
        phase.value()
    });
    out.automatic_phase = Some(Arc::new(phase.collect()));
    out.phase_fields = Some(fields);
    out.notes.push(
        "phases: oxidation below 0.5 is metal, ordered oxide is crystalline, the rest amorphous"
            .to_owned(),
    );
}

#[cfg(test)]
mod tests {
    use super::super::oxidation::tests::fcc_ball;
    use super::*;

    #[test]
    fn the_order_of_surface_atoms_is_not_their_own() {
        let within = order_within(&[0.3, 0.9, 0.4, 0.5], Some(&[12.0, 7.0, 12.0, 11.0]));
        assert!(within[1].is_nan());
        assert_eq!([within[0], within[2], within[3]], [0.3, 0.4, 0.5]);
        assert_eq!(order_within(&[0.3], None), [0.3]);
    }

    use crate::analyze::{AnalyzeParams, analyze, reanalyze_in_steps};
    use crate::model::Atoms;
    use crate::monitor::Monitor;

    #[test]
    fn what_is_set_by_hand_goes_before_the_rule_and_back_again() {
        let atoms = Atoms::from_positions(fcc_ball(4.82, 14.0), "Zr");
        let params = AnalyzeParams::default();
        let silent = Monitor::silent();
        let rule = Arc::new(analyze(&atoms, &params, &silent).unwrap());
        let own = rule.atoms.column("phase").unwrap();
        let mut by_hand = vec![f64::NAN; atoms.len()];
        let other = |phase: f64| Phase::ALL[(phase as usize + 1) % 3].value();
        (0..40).for_each(|i| by_hand[i] = other(own[i]));
        let mut early = |_| {};
        let set = reanalyze_in_steps(&rule, Some(&by_hand), &params, &mut early, &silent).unwrap();
        let set = Arc::new(set);
        let now = set.atoms.column("phase").unwrap();
        assert!((0..40).all(|i| now[i] == by_hand[i]));
        assert_eq!(now[40..], own[40..]);
        assert!(set.notes.iter().any(|note| note.contains("40 atoms")));
        // All that depends on phases follows: the same as from scratch.
        let mut marked = atoms.clone();
        marked.set_column(BY_HAND, "", by_hand);
        let scratch = analyze(&marked, &params, &silent).unwrap();
        let numbers = |out: &crate::analyze::Analyzed| {
            let mut json = out.summary.clone();
            json.as_object_mut().unwrap().remove("seconds");
            json.to_string()
        };
        assert_eq!(numbers(&set), numbers(&scratch));
        assert_ne!(numbers(&set), numbers(&rule));
        let back = reanalyze_in_steps(&set, None, &params, &mut early, &silent).unwrap();
        assert_eq!(back.atoms.column("phase").unwrap(), own);
        assert_eq!(numbers(&back), numbers(&rule));
        // Given phases are set by hand, too, and come back.
        let mut given = marked.clone();
        given.set_column("phase", "", vec![2.0; atoms.len()]);
        let given = Arc::new(analyze(&given, &params, &silent).unwrap());
        let now = given.atoms.column("phase").unwrap();
        let said = marked.column(BY_HAND).unwrap();
        assert_eq!(now[..40], said[..40]);
        assert!(said[..40].iter().any(|p| *p != 2.0) && now[40..].iter().all(|p| *p == 2.0));
        let back = reanalyze_in_steps(&given, None, &params, &mut early, &silent).unwrap();
        assert!(
            back.atoms
                .column("phase")
                .unwrap()
                .iter()
                .all(|p| *p == 2.0)
        );
    }
}
