//! One ranked list of the places of a model that deserve a look, from everything that is known of them.
//!
//! Every atom, and every place that may lack one, starts from the odds that such a thing is wrong in this model, and
//! collects *signs*: what the measured tilts say (residual, free occupancy: [`super::evidence`]), how near its
//! neighbours are and how many, what the density and the tracing said. A sign is the logarithm of a likelihood ratio,
//! `ln p(what is seen | an edit is needed) − ln p(what is seen | all is well)`, so signs add up, all kinds of doubt stand on one scale,
//! and the sum is the logarithmic odds that an edit is needed. The distributions behind the ratios are read off the model
//! itself (medians, robust deviations, frequencies); signs of little independence from others are bounded. Places nearer
//! to each other than two atoms can be are one item, under the strongest sign.

mod around;
mod images;
mod shape;
#[cfg(test)]
mod tests;

pub use around::doubts_around;

use super::Traced;
use super::evidence::{Cells, neighbor_distance};
use super::refine::{RefineError, RefineParams};
use crate::model::{AtomId, Atoms, TiltSeries, Volume};
use crate::monitor::Monitor;
use crate::numeric::odds::{expect_share, log_odds, probability};
use serde::{Deserialize, Serialize};

/// What may be wrong at a place.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum DoubtKind {
    /// The images or the density show an atom where the model has none.
    Missing,
    /// The images do not show the atom.
    False,
    /// Nearer to another atom than atoms of this model are.
    TooClose,
    /// Less density than other atoms have.
    Weak,
    /// A wider maximum than other atoms have.
    Broad,
    /// A strong maximum that tracing could not fit or place, and where no atom stands.
    FailedFit,
    /// A number of neighbours that few atoms of this model have.
    OddCoordination,
    /// An intensity near the threshold between atoms and non-atoms.
    Borderline,
    /// An intensity between two species.
    Species,
    /// Refinement moved it further than others.
    FarMoved,
    /// Absent from more of the interim traces of the running reconstruction than others.
    Fleeting,
}

impl DoubtKind {
    /// All kinds, in the order of the list's filters.
    pub const ALL: [Self; 11] = [
        Self::Missing,
        Self::False,
        Self::TooClose,
        Self::Weak,
        Self::Broad,
        Self::FailedFit,
        Self::OddCoordination,
        Self::Borderline,
        Self::Species,
        Self::FarMoved,
        Self::Fleeting,
    ];

    /// Its name in the list.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing atom?",
            Self::False => "false atom?",
            Self::TooClose => "too close",
            Self::Weak => "weak",
            Self::Broad => "broad",
            Self::FailedFit => "failed fit",
            Self::OddCoordination => "odd coordination",
            Self::Borderline => "borderline",
            Self::Species => "which species?",
            Self::FarMoved => "moved far",
            Self::Fleeting => "came late",
        }
    }

    /// Its name in files.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::False => "false",
            Self::TooClose => "too_close",
            Self::Weak => "weak",
            Self::Broad => "broad",
            Self::FailedFit => "failed_fit",
            Self::OddCoordination => "odd_coordination",
            Self::Borderline => "borderline",
            Self::Species => "species",
            Self::FarMoved => "far_moved",
            Self::Fleeting => "fleeting",
        }
    }
}

/// What the tilts say of a place.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ImageEvidence {
    /// Height of the residual's matched filter in local standard deviations; for an atom, its free occupancy less 1 over
    /// its error (negative).
    pub z: f64,
    /// The same from the even tilts alone.
    pub even_z: f64,
    /// The same from the odd tilts alone.
    pub odd_z: f64,
    /// By how much the local standard deviation exceeds that of shot noise.
    pub scale: f64,
    /// Tilts that by themselves speak for the edit.
    pub supporting_tilts: usize,
    /// Tilts that see the place.
    pub tilts: usize,
    /// Occupancy of the atom that would explain the residual, or free occupancy of the atom there, as a share of the usual.
    pub occupancy: f64,
    /// Standard error of it, local scatter included.
    pub occupancy_sd: f64,
}

/// One item of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    /// The strongest sign.
    pub kind: DoubtKind,
    /// Other kinds of sign that speak for an edit here.
    pub also: Vec<DoubtKind>,
    /// Where, Å about the volume's centre.
    pub position: [f64; 3],
    /// Atoms concerned, the most doubtful first; none where one may be missing.
    pub atoms: Vec<AtomId>,
    /// Logarithmic odds that an edit is needed; the list is ranked by it.
    pub log_odds: f64,
    /// Nearest atom that is not itself in doubt here, and its distance, Å.
    pub nearest: Option<(AtomId, f64)>,
    /// What the tilts say, when there were any.
    pub images: Option<ImageEvidence>,
    /// The signs in words and numbers, the strongest first.
    pub reason: String,
}

impl Doubt {
    /// Probability that an edit is needed.
    #[must_use]
    pub fn probability(&self) -> f64 {
        probability(self.log_odds)
    }
}

/// What the list is made from.
#[derive(Debug, Clone, Copy)]
pub struct DoubtInput<'a> {
    /// The model.
    pub atoms: &'a Atoms,
    /// The (prepared) tilt series, if there is one: most telling.
    pub series: Option<&'a TiltSeries>,
    /// The volume, if there is one.
    pub volume: Option<&'a Volume>,
    /// What tracing saw, if the model was traced.
    pub traced: Option<&'a Traced>,
}

/// Parameters of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct DoubtParams {
    /// Kinds of doubt to list [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub kinds: Vec<DoubtKind>,
    /// Smallest probability that an edit is needed
    #[arg(long, default_value_t = Self::default().least_probability)]
    pub least_probability: f64,
    /// Largest number of places
    #[arg(long, default_value_t = Self::default().most)]
    pub most: usize,
    /// How heights, widths and backgrounds are fitted to the tilts; positions stay
    #[command(flatten)]
    pub refine: RefineParams,
}

impl Default for DoubtParams {
    fn default() -> Self {
        Self {
            kinds: Vec::new(),
            least_probability: 0.02,
            // More cannot be looked at, and the first ones matter most.
            most: 1000,
            refine: RefineParams::default(),
        }
    }
}

/// Odds of an edit before anything is known: one atom in a hundred, the share that careful tracing gets wrong.
const PRIOR: f64 = 0.01;

/// One sign at a place.
#[derive(Debug, Clone)]
struct Sign {
    kind: DoubtKind,
    /// Logarithm of its likelihood ratio, positive where it speaks for an edit.
    log_ratio: f64,
    text: String,
}

/// A place and its signs.
#[derive(Debug, Clone)]
struct Place {
    position: [f64; 3],
    /// The atom in doubt.
    atom: Option<usize>,
    /// Other atoms that a sign names.
    partners: Vec<usize>,
    prior: f64,
    signs: Vec<Sign>,
    images: Option<ImageEvidence>,
}

impl Place {
    fn new(position: [f64; 3], atom: Option<usize>, prior: f64) -> Self {
        Self {
            position,
            atom,
            partners: Vec::new(),
            prior,
            signs: Vec::new(),
            images: None,
        }
    }

    fn add(&mut self, kind: DoubtKind, log_ratio: f64, text: impl FnOnce() -> String) {
        // Signs that say nothing need no words.
        if log_ratio != 0.0 && log_ratio.is_finite() {
            let text = if log_ratio > 0.0 {
                text()
            } else {
                String::new()
            };
            self.signs.push(Sign {
                kind,
                log_ratio,
                text,
            });
        }
    }

    fn log_ratio(&self) -> f64 {
        self.signs.iter().map(|s| s.log_ratio).sum()
    }

    fn log_odds(&self) -> f64 {
        self.prior + self.log_ratio()
    }
}

/// What is known of the model as such.
struct Known<'a> {
    input: &'a DoubtInput<'a>,
    /// Median distance to the nearest neighbour, Å.
    spacing: f64,
}

/// Spacing where a model has no two atoms near each other: that of most metals, Å.
const LONE_SPACING: f64 = 2.8;

/// The ranked list, the most probable error first. Probabilities are those of the model's own scatter: see the module.
///
/// With a tilt series the atoms are judged where they stand: refine a model first, or errors of position are taken for
/// others. The result does not depend on the number of threads.
///
/// # Errors
/// With a tilt series as [`super::refine::refine`]; a parameter out of its range; a stop (of either kind: half of a
/// ranking is none).
pub fn doubtful_places(
    input: &DoubtInput,
    params: &DoubtParams,
    monitor: &Monitor,
) -> Result<Vec<Doubt>, RefineError> {
    if !(0.0..1.0).contains(&params.least_probability) {
        return Err(RefineError::BadParameter {
            name: "least_probability",
            expected: "a number from 0 to below 1".to_owned(),
            found: params.least_probability.to_string(),
        });
    }
    let atoms = input.atoms;
    if atoms.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(index) = (atoms.positions.iter()).position(|p| !p.iter().all(|v| v.is_finite())) {
        return Err(RefineError::BadInput {
            subject: format!("position of atom {index}"),
            expected: "numbers".to_owned(),
            found: format!("{:?}", atoms.positions[index]),
        });
    }
    monitor.phase("List doubtful places");
    let known = Known {
        input,
        spacing: neighbor_distance(&atoms.positions).unwrap_or(LONE_SPACING),
    };
    let mut places: Vec<Place> = atoms
        .positions
        .iter()
        .enumerate()
        .map(|(i, &p)| Place::new(p, Some(i), log_odds(PRIOR)))
        .collect();
    places.extend(shape::vacant_places(&known, monitor)?);
    match input.series {
        Some(series) => images::ask(&known, series, &mut places, params, monitor)?,
        None => remember_images(atoms, &mut places),
    }
    monitor.check()?;
    shape::ask_columns(&known, &mut places);
    shape::ask_neighbors(&known, &mut places);
    if input.series.is_some() {
        renew_priors(&mut places);
    }
    places.extend(shape::between_species(&known));
    Ok(ranked(&known, places, params))
}

/// What a refinement found the images to say of its atoms, where they are not asked again.
fn remember_images(atoms: &Atoms, places: &mut [Place]) {
    // The atoms around may have been edited since: never beyond doubt.
    const SUREST: f64 = 1e-4;
    for (place, confidence) in places
        .iter_mut()
        .zip(atoms.column("confidence").unwrap_or_default())
    {
        if confidence.is_finite() {
            let odds = log_odds((1.0 - confidence).clamp(SUREST, 1.0 - SUREST));
            place.add(DoubtKind::False, odds - place.prior, || {
                let percent = 100.0 * confidence;
                format!("refinement left it with a probability of {percent:.0} % to exist")
            });
        }
    }
}

/// With the images' signs, most places are clearly one or the other: the share of errors among atoms, and that of atoms
/// among vacant places, follow from all signs together.
fn renew_priors(places: &mut [Place]) {
    for of_atoms in [true, false] {
        let group = |place: &Place| place.atom.is_some() == of_atoms;
        let ratios: Vec<f64> = (places.iter().filter(|p| group(p)))
            .map(Place::log_ratio)
            .collect();
        let prior = log_odds(expect_share(&ratios));
        for place in places.iter_mut().filter(|p| group(p)) {
            place.prior = prior;
        }
    }
}

/// One item per place, ranked, filtered, cut.
fn ranked(known: &Known, places: Vec<Place>, params: &DoubtParams) -> Vec<Doubt> {
    let atoms = known.input.atoms;
    let least = log_odds(params.least_probability);
    let mut order: Vec<(f64, usize)> = places
        .iter()
        .enumerate()
        .map(|(i, place)| (place.log_odds(), i))
        .filter(|(odds, _)| *odds >= least)
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    // The first of a cluster names it; the others lend it their atoms and their words. Two atoms that are both missing are
    // no nearer to each other than atoms are: what the residual shows beside a missing atom belongs to it.
    let reach = 0.5 * known.spacing;
    let apart = 0.75 * known.spacing;
    let mut heads = Cells::new(Vec::new(), apart.max(1e-3));
    let mut doubts: Vec<Doubt> = Vec::new();
    let standing = Cells::new(atoms.positions.clone(), 2.0 * known.spacing);
    for (odds, index) in order {
        let place = &places[index];
        let mut near = heads.within(place.position, apart);
        near.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let head = near.into_iter().find(|&(head, squared)| {
            let both_missing = place.atom.is_none() && doubts[head].atoms.is_empty();
            both_missing || squared <= reach * reach
        });
        if let Some((head, _)) = head {
            join(&mut doubts[head], place, atoms);
            continue;
        }
        heads.insert(place.position);
        doubts.push(item(place, odds, atoms, &standing));
    }
    doubts.retain(|d| params.kinds.is_empty() || params.kinds.contains(&d.kind));
    doubts.truncate(params.most);
    doubts
}

fn item(place: &Place, log_odds: f64, atoms: &Atoms, standing: &Cells) -> Doubt {
    let mut signs: Vec<&Sign> = place.signs.iter().filter(|s| s.log_ratio > 0.0).collect();
    signs.sort_by(|a, b| b.log_ratio.total_cmp(&a.log_ratio));
    let fallback = if place.atom.is_some() {
        DoubtKind::False
    } else {
        DoubtKind::Missing
    };
    let kind = signs.first().map_or(fallback, |s| s.kind);
    let mut also: Vec<DoubtKind> = Vec::new();
    for sign in &signs {
        if sign.kind != kind && !also.contains(&sign.kind) {
            also.push(sign.kind);
        }
    }
    let words: Vec<&str> = signs.iter().map(|s| s.text.as_str()).collect();
    let listed: Vec<usize> = place
        .atom
        .into_iter()
        .chain(place.partners.iter().copied())
        .collect();
    let nearest = standing
        .nearest(place.position, place.atom)
        .map(|(i, d)| (atoms.ids[i], d));
    Doubt {
        kind,
        also,
        position: place.position,
        atoms: listed.into_iter().map(|i| atoms.ids[i]).collect(),
        log_odds,
        nearest,
        images: place.images,
        reason: words.join("; "),
    }
}

/// Adds a lesser place to the item it lies in.
fn join(doubt: &mut Doubt, place: &Place, atoms: &Atoms) {
    for i in place.atom.into_iter().chain(place.partners.iter().copied()) {
        if !doubt.atoms.contains(&atoms.ids[i]) {
            doubt.atoms.push(atoms.ids[i]);
        }
    }
    for sign in place.signs.iter().filter(|s| s.log_ratio > 0.0) {
        if sign.kind != doubt.kind && !doubt.also.contains(&sign.kind) {
            doubt.also.push(sign.kind);
            doubt.reason += "; ";
            doubt.reason += &sign.text;
        }
    }
}
