//! What the measured tilts say: the residual of the fitted model for places without an atom, the free occupancy for
//! atoms.

use super::{DoubtKind, DoubtParams, ImageEvidence, Known, PRIOR, Place};
use crate::model::TiltSeries;
use crate::model::geometry::distance;
use crate::monitor::Monitor;
use crate::numeric::odds::{expect_share, log_odds, step_down, student};
use crate::trace::evidence::{
    Cells, EvidenceParams, Found, Search, Standing, main_species, standings,
};
use crate::trace::refine::fit::{AtomTrial, Fit};
use crate::trace::refine::problem::Probe;
use crate::trace::refine::{OccupancyModel, RefineError};

/// Bound on the words of the images, in logarithmic odds: no statistic is trusted beyond one error in some thousands.
pub(super) const MOST_IMAGES: f64 = 9.0;
/// Bound on the sign of the two halves' disagreement: it shares the pixels with the free occupancy.
const MOST_HALVES: f64 = 1.5;

/// Bends a sum of logarithmic odds towards its bound without changing the order.
pub(super) fn bounded(log_ratio: f64, most: f64) -> f64 {
    most * (log_ratio / most).tanh()
}

/// Adds the images' signs to atoms and vacant places, and the places that only the residual shows.
pub(super) fn ask(
    known: &Known,
    series: &TiltSeries,
    places: &mut Vec<Place>,
    params: &DoubtParams,
    monitor: &Monitor,
) -> Result<(), RefineError> {
    let atoms = known.input.atoms;
    let mut fit = Fit::new(series, atoms, &params.refine, monitor)?;
    fit.prepare(monitor)?;
    monitor.phase("Ask the tilts about every atom");
    let trials = fit.trials(monitor)?;
    let evidence: Vec<_> = trials.iter().map(|t| t.whole).collect();
    let (standings, share) = standings(&evidence, &atoms.positions);
    let apart = AgreeingHalves::of(&trials);
    for (i, (trial, standing)) in trials.iter().zip(&standings).enumerate() {
        let place = &mut places[i];
        place.prior = log_odds(share.max(PRIOR));
        place.images = Some(of_atom(trial, standing));
        let ratio = bounded(standing.log_ratio, MOST_IMAGES);
        place.add(DoubtKind::False, ratio, || words_for_atom(trial, standing));
        if params.refine.occupancy != OccupancyModel::Fixed {
            let (ratio, times) = apart.log_ratio(trial);
            place.add(DoubtKind::False, ratio, || {
                format!("even and odd tilts want it {times:.1} times as far apart as usual")
            });
        }
    }
    monitor.phase("Search the residual");
    vacant(known, &mut fit, &standings, places, monitor)
}

pub(super) fn of_atom(trial: &AtomTrial, standing: &Standing) -> ImageEvidence {
    let usual = trial.whole.free_occupancy / standing.occupancy;
    let half = |h: usize| {
        let half = &trial.halves[h];
        (half.free_occupancy / usual - 1.0) / (half.occupancy_sd * standing.scale)
    };
    ImageEvidence {
        z: finite((standing.occupancy - 1.0) / standing.sd),
        even_z: finite(half(0)),
        odd_z: finite(half(1)),
        scale: standing.scale,
        supporting_tilts: trial.against,
        tilts: trial.tilts,
        occupancy: finite(standing.occupancy),
        occupancy_sd: finite(standing.sd),
    }
}

/// Where no image shows the atom there is no number.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

pub(super) fn words_for_atom(trial: &AtomTrial, standing: &Standing) -> String {
    let usual = trial.whole.free_occupancy / standing.occupancy;
    let [even, odd] = [0, 1].map(|h| trial.halves[h].free_occupancy / usual);
    format!(
        "the tilts show {:.2} ± {:.2} of an atom (even {even:.2}, odd {odd:.2}), {} of {} tilts less than half of one",
        standing.occupancy, standing.sd, trial.against, trial.tilts
    )
}

/// How far apart the two halves of the tilts want atoms of this model.
struct AgreeingHalves {
    /// Median of the squared distance over its variance; 2.37 where errors are what they are said to be.
    median: f64,
}

impl AgreeingHalves {
    fn of(trials: &[AtomTrial]) -> Self {
        let all = trials.iter().map(AtomTrial::halves_apart).collect();
        Self {
            median: crate::trace::refine::fit::median(all),
        }
    }

    /// Sign of an atom, and its distance between the halves over the usual one. Against a distribution four times as wide
    /// in variance: `χ²` with three degrees of freedom for both.
    fn log_ratio(&self, trial: &AtomTrial) -> (f64, f64) {
        /// Median of χ² with three degrees of freedom.
        const MEDIAN: f64 = 2.366;
        /// Variance of false atoms' halves over that of real ones.
        const WIDER: f64 = 4.0;
        let own = trial.halves_apart();
        if !(self.median > 0.0 && own.is_finite()) {
            return (0.0, 1.0);
        }
        let squared = own * MEDIAN / self.median;
        let ratio = 0.5 * squared * (1.0 - 1.0 / WIDER) - 1.5 * WIDER.ln();
        let times = (own / self.median).sqrt();
        (ratio.clamp(-MOST_HALVES, MOST_HALVES), times)
    }
}

/// Signs of the residual: for its own maxima, and for the places that others found vacant.
fn vacant(
    known: &Known,
    fit: &mut Fit,
    standings: &[Standing],
    places: &mut Vec<Place>,
    monitor: &Monitor,
) -> Result<(), RefineError> {
    let atoms = known.input.atoms;
    let search = Search::new(fit, &EvidenceParams::default());
    // As many as chance gives in a hundredth of the atoms: enough to see where real ones end.
    let least = search.z_for_chance((0.01 * atoms.len() as f64).max(10.0));
    let found = search.missing(fit, least, monitor)?;
    let species = main_species(&atoms.species);
    // A maximum takes the place of what others found within half a spacing.
    let maxima = Cells::new(
        found.iter().map(|f| f.position).collect(),
        0.5 * known.spacing,
    );
    let mut asked: Vec<Place> = Vec::new();
    let mut guests: Vec<Option<Place>> = vec![None; found.len()];
    for place in places.split_off(atoms.len()) {
        match maxima.nearest(place.position, None) {
            Some((at, d)) if d < 0.5 * known.spacing => guests[at] = Some(place),
            _ => asked.push(place),
        }
    }
    let elsewhere: Vec<[f64; 3]> = asked.iter().map(|p| p.position).collect();
    let probes = fit
        .problem
        .probe(&fit.imaging, &elsewhere, species, monitor)?;
    let scales = LocalScale::new(known, standings);
    let seen: Vec<Seen> = found
        .iter()
        .map(|f| Seen::new(&f.probe, scales.at(f.position)))
        .collect();
    // Maxima are either atoms or chance; how many are atoms follows from all of them.
    let ratios: Vec<f64> = seen
        .iter()
        .map(|s| s.against_chance(&search, least))
        .collect();
    let prior = log_odds(expect_share(&ratios).max(PRIOR));
    for (((found, seen), ratio), guest) in found.iter().zip(&seen).zip(ratios).zip(guests) {
        places.push(maximum(known, found, seen, ratio, prior, guest));
    }
    for (mut place, probe) in asked.into_iter().zip(probes) {
        if probe.tilts > 0 {
            let seen = Seen::new(&probe, scales.at(place.position));
            place.images = Some(seen.evidence(&probe));
            let ratio = bounded(seen.against_nothing(), MOST_IMAGES);
            place.add(DoubtKind::Missing, ratio, || seen.words(&probe));
        }
        places.push(place);
    }
    Ok(())
}

fn maximum(
    known: &Known,
    found: &Found,
    seen: &Seen,
    ratio: f64,
    prior: f64,
    guest: Option<Place>,
) -> Place {
    let mut place = Place::new(found.position, None, prior);
    place.images = Some(seen.evidence(&found.probe));
    place.add(DoubtKind::Missing, bounded(ratio, MOST_IMAGES), || {
        seen.words(&found.probe)
    });
    if let Some(guest) = guest {
        debug_assert!(distance(guest.position, found.position) < known.spacing);
        place.signs.extend(guest.signs);
    }
    place
}

/// By how much the residual scatters more around a place than shot noise would make it: as the occupancies nearby do.
struct LocalScale {
    cells: Cells,
    scales: Vec<f64>,
}

impl LocalScale {
    fn new(known: &Known, standings: &[Standing]) -> Self {
        let positions = known.input.atoms.positions.clone();
        Self {
            cells: Cells::new(positions, 3.0 * known.spacing),
            scales: standings.iter().map(|s| s.scale).collect(),
        }
    }

    fn at(&self, place: [f64; 3]) -> f64 {
        self.cells
            .nearest(place, None)
            .map_or(1.0, |(i, _)| self.scales[i])
    }
}

/// A probe seen with the local scale.
pub(super) struct Seen {
    pub(super) z: f64,
    scale: f64,
    occupancy: f64,
    sd: f64,
}

impl Seen {
    /// As it was seen before.
    pub(super) fn of(images: &ImageEvidence) -> Self {
        Self {
            z: images.z,
            scale: images.scale,
            occupancy: images.occupancy,
            sd: images.occupancy_sd,
        }
    }

    pub(super) fn new(probe: &Probe, scale: f64) -> Self {
        let (z, occupancy) = (probe.z(), probe.occupancy());
        let information: f64 = probe.halves.iter().map(|h| h[1]).sum();
        let sd = if information > 0.0 {
            scale / information.sqrt()
        } else {
            f64::INFINITY
        };
        Self {
            z: z / scale,
            scale,
            occupancy,
            sd,
        }
    }

    /// Density (per unit of z) of what a missing atom shows: any occupancy from a third of an atom, its neighbours having
    /// moved in on its counts, to a whole one.
    fn of_atom(&self) -> f64 {
        const LEAST: f64 = 1.0 / 3.0;
        self.sd / (1.0 - LEAST) * step_down((LEAST - self.occupancy) / self.sd)
    }

    /// As one of the maxima of the residual above `least`: the ratio to the density of the heights of chance maxima.
    fn against_chance(&self, search: &Search, least: f64) -> f64 {
        let step = 0.05;
        let slope = (search.chance(self.z - step) - search.chance(self.z + step)) / (2.0 * step);
        // Models are never exact: one maximum in a hundred follows the tail of Student's t instead.
        let tail = 4.0 * least.powi(4) / self.z.max(least).powi(5);
        let chance = slope / search.chance(least) + 0.01 * tail;
        (self.of_atom().max(f64::MIN_POSITIVE) / chance).ln()
    }

    /// At a place chosen for other reasons: the ratio to no atom at all.
    pub(super) fn against_nothing(&self) -> f64 {
        (self.of_atom().max(f64::MIN_POSITIVE) / student(self.z)).ln()
    }

    pub(super) fn evidence(&self, probe: &Probe) -> ImageEvidence {
        ImageEvidence {
            z: self.z,
            even_z: probe.half_z(0) / self.scale,
            odd_z: probe.half_z(1) / self.scale,
            scale: self.scale,
            supporting_tilts: probe.supporting,
            tilts: probe.tilts,
            occupancy: self.occupancy,
            occupancy_sd: finite(self.sd),
        }
    }

    pub(super) fn words(&self, probe: &Probe) -> String {
        format!(
            "the residual rises {:.1} local σ (even tilts {:.1}, odd {:.1}), {} of {} tilts agree, worth {:.2} ± {:.2} of an \
             atom",
            self.z,
            probe.half_z(0) / self.scale,
            probe.half_z(1) / self.scale,
            probe.supporting,
            probe.tilts,
            self.occupancy,
            self.sd
        )
    }
}
