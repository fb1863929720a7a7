//! Completes a model by rounds: refine, add what the residual asks for, refine, take out what the images deny.
//!
//! Nothing but the images decides. An atom is added where the matched filter of the residual rises above what chance gives
//! in the volume searched and holds at least half an atom, no nearer to another atom than two atoms can be told apart; it is removed when its *free*
//! occupancy (one Newton step without restraint, its own position relaxed) falls below a share of an atom, or when
//! two atoms are closer than that same distance. What was taken out and is an atom after all comes back through the residual.

use super::fit::{Fit, median};
use super::problem::PER_ATOM;
use super::{RefineError, RefineParams, Refined};
use crate::model::{AtomId, Atoms, TiltSeries};
use crate::monitor::{Monitor, Stopped};
use crate::trace::evidence::{
    Cells, EvidenceParams, Found, Search, against_surroundings, main_species, neighbor_distance,
    positions_of,
};
use serde::{Deserialize, Serialize};
use std::time::Instant;

mod kinds;

/// Parameters of completion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct CompleteParams {
    /// Largest number of cycles of adding and removing
    #[arg(long, default_value_t = Self::default().cycles)]
    pub cycles: usize,
    /// Free occupancy below which an atom is removed [default: where half an atom becomes likelier than a whole one]
    #[arg(long)]
    pub least_occupancy: Option<f64>,
    /// Residual height (standard deviations) from which an atom is added [default: where none, later a fifth, then
    /// half of the blobs would be chance]
    #[arg(long)]
    pub add_z: Option<f64>,
    /// Smallest distance of two atoms, Å [default: median nearest distance less three blur widths]
    #[arg(long)]
    pub closest: Option<f64>,
    /// How the atoms are refined
    #[command(flatten)]
    pub refine: RefineParams,
}

impl Default for CompleteParams {
    fn default() -> Self {
        Self {
            cycles: 6,
            least_occupancy: None,
            add_z: None,
            closest: None,
            refine: RefineParams::default(),
        }
    }
}

/// Why an atom came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The residual asked for it; `value` is its height z.
    Added,
    /// Its free occupancy was too low; `value` is that occupancy.
    RemovedWeak,
    /// Nearer to a stronger atom than two can be told apart; `value` is the distance, Å.
    RemovedClose,
}

/// One atom that came or went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Cycle, from 1.
    pub cycle: usize,
    /// What happened.
    pub kind: ChangeKind,
    /// Which atom.
    pub id: AtomId,
    /// Where, Å.
    pub position: [f64; 3],
    /// The number that decided, see [`ChangeKind`].
    pub value: f64,
}

/// A completed model.
#[derive(Debug, Clone)]
pub struct Completed {
    /// The refined atoms. Those of the input keep their ids and columns; added ones have new ids and NaN there.
    pub refined: Refined,
    /// Everything added and removed, in order.
    pub changes: Vec<Change>,
    /// Input atoms that are gone.
    pub removed: usize,
    /// Atoms that were not in the input.
    pub added: usize,
    /// Cycles done.
    pub cycles: usize,
    /// Smallest distance used, Å.
    pub closest: f64,
}

/// Atoms on their way: the fit, and who is who in it.
struct Builder {
    fit: Fit,
    ids: Vec<AtomId>,
    /// Where each atom started, Å.
    starts: Vec<[f64; 3]>,
    /// Name of each species.
    names: Vec<String>,
    next_id: u64,
    changes: Vec<Change>,
    /// Places from which an atom was removed, one entry per removal.
    removed_from: Cells,
    /// Id and starting place of each of them; `None` once the atom is back.
    removed_atoms: Vec<Option<(AtomId, [f64; 3])>>,
    closest: f64,
    cycle: usize,
}

/// Steps and rounds between changes: positions need not be final before the next look at the residual.
const BETWEEN_ROUNDS: usize = 2;
/// See `BETWEEN_ROUNDS`.
const BETWEEN_STEPS: usize = 8;
/// Cycles that remove whatever is doubtful, so that the residual can put it back where it belongs.
const STRICT_CYCLES: usize = 2;

/// What a blob must hold at least, lest chance be added where the dose makes a fifth of an atom significant: it is nearer to
/// an atom than to nothing.
const HALF_AN_ATOM: f64 = 0.5;

/// How near a removed atom's place a new one counts as the same, Å; half of a bond.
const SAME_PLACE: f64 = 1.0;

impl Builder {
    fn keep(&mut self, keep: &[bool]) {
        let kept = |i: &usize| keep[*i];
        let indices: Vec<usize> = (0..keep.len()).filter(kept).collect();
        self.fit.x = indices
            .iter()
            .flat_map(|&i| self.fit.x[PER_ATOM * i..PER_ATOM * (i + 1)].to_vec())
            .collect();
        self.fit.problem.species = indices
            .iter()
            .map(|&i| self.fit.problem.species[i])
            .collect();
        self.ids = indices.iter().map(|&i| self.ids[i]).collect();
        self.starts = indices.iter().map(|&i| self.starts[i]).collect();
    }

    /// Adds blobs, the highest first; returns how many.
    fn add(&mut self, blobs: &[Found]) -> usize {
        let mut cells = Cells::new(positions_of(&self.fit.x), self.closest.max(SAME_PLACE));
        let kinds = self.fit.imaging.profiles.clone();
        let main = usize::from(main_species(&self.fit.problem.species));
        let before = self.ids.len();
        let least = HALF_AN_ATOM * self.lightest_counts() / kinds[main].counts();
        for blob in blobs {
            // Often put in and taken out again: the images cannot decide, the list of doubtful places will show it.
            let undecided = self.removed_from.within(blob.position, SAME_PLACE).len() >= 3;
            let slight = blob.occupancy < least;
            if undecided || slight || !cells.within(blob.position, self.closest).is_empty() {
                continue;
            }
            // The species whose atoms are as bright as this one would be.
            let counts = (blob.occupancy * kinds[main].counts()).max(f64::MIN_POSITIVE);
            let misfit = |k: usize| {
                (counts / kinds[k].counts().max(f64::MIN_POSITIVE))
                    .ln()
                    .abs()
            };
            let kind = (0..kinds.len())
                .min_by(|&a, &b| misfit(a).total_cmp(&misfit(b)))
                .unwrap_or(main);
            cells.insert(blob.position);
            let (id, start) = self.name_for(blob.position);
            self.ids.push(id);
            self.starts.push(start);
            self.fit.problem.species.push(kind as u16);
            self.fit.x.push(1.0);
            self.fit.x.extend_from_slice(&blob.position);
            self.changes.push(Change {
                cycle: self.cycle,
                kind: ChangeKind::Added,
                id,
                position: blob.position,
                value: blob.probe.z(),
            });
        }
        self.ids.len() - before
    }

    /// Id and starting place of an atom added at `place`: those of an atom removed from there before, else new ones.
    fn name_for(&mut self, place: [f64; 3]) -> (AtomId, [f64; 3]) {
        let mut near = self.removed_from.within(place, SAME_PLACE);
        near.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        if let Some(name) = near
            .into_iter()
            .find_map(|(i, _)| self.removed_atoms[i].take())
        {
            return name;
        }
        let id = AtomId(self.next_id);
        self.next_id += 1;
        (id, place)
    }

    /// Removes weak atoms and the weaker of pairs that are too close; returns how many.
    fn prune(
        &mut self,
        least: Option<f64>,
        strict: bool,
        monitor: &Monitor,
    ) -> Result<usize, Stopped> {
        let mut evidence = self.fit.evidence(monitor)?;
        if self.fit.params.sort_species {
            self.sort_species(&mut evidence);
        }
        let positions = positions_of(&self.fit.x);
        let occupancies = against_surroundings(&evidence, &positions);
        let least_occupancy = least.unwrap_or_else(|| least_occupancy(&occupancies, strict));
        let mut keep = vec![true; positions.len()];
        let mut gone: Vec<(usize, ChangeKind, f64)> = Vec::new();
        // The weakest first, so that of a chain of close atoms the strong ones stay.
        let mut order: Vec<usize> = (0..positions.len()).collect();
        order.sort_by(|&a, &b| occupancies[a].total_cmp(&occupancies[b]).then(a.cmp(&b)));
        let cells = Cells::new(positions.clone(), self.closest.max(1.0));
        for i in order {
            let occupancy = occupancies[i];
            let stronger = cells
                .within(positions[i], self.closest)
                .into_iter()
                .find(|(j, _)| *j != i && keep[*j]);
            if let Some((_, squared)) = stronger {
                keep[i] = false;
                gone.push((i, ChangeKind::RemovedClose, squared.sqrt()));
            } else if occupancy.is_nan() || occupancy < least_occupancy {
                keep[i] = false;
                gone.push((i, ChangeKind::RemovedWeak, occupancy));
            }
        }
        for &(i, kind, value) in &gone {
            self.removed_from.insert(positions[i]);
            self.removed_atoms.push(Some((self.ids[i], self.starts[i])));
            self.changes.push(Change {
                cycle: self.cycle,
                kind,
                id: self.ids[i],
                position: positions[i],
                value,
            });
        }
        if gone.len() < keep.len() {
            self.keep(&keep);
        }
        Ok(gone.len())
    }

    fn cycles(&mut self, params: &CompleteParams, monitor: &Monitor) -> Result<(), Stopped> {
        self.fit.params.steps = params.refine.steps.min(BETWEEN_STEPS);
        self.fit.run(BETWEEN_ROUNDS, monitor)?;
        for cycle in 1..=params.cycles {
            self.cycle = cycle;
            monitor.phase(&format!(
                "Complete the model, cycle {cycle} of at most {}",
                params.cycles
            ));
            let search = Search::new(&self.fit, &EvidenceParams::default());
            let sure = search.z_for_chance(1.0);
            let blobs = search.missing(&mut self.fit, params.add_z.unwrap_or(3.0), monitor)?;
            let least = params.add_z.unwrap_or_else(|| {
                if cycle == 1 {
                    sure
                } else {
                    threshold(&search, &blobs, sure, share_of_chance(cycle))
                }
            });
            let clear = blobs.partition_point(|b| b.probe.z() >= least);
            let mut added = self.add(&blobs[..clear]);
            if params.refine.sort_species && cycle <= STRICT_CYCLES {
                let light = self.discover(&blobs, sure);
                added += self.add(&light);
            }
            self.fit.run(BETWEEN_ROUNDS, monitor)?;
            let removed = self.prune(params.least_occupancy, cycle <= STRICT_CYCLES, monitor)?;
            self.fit.run(1, monitor)?;
            if cycle > 2 && added + removed <= self.ids.len() / 2000 {
                break;
            }
        }
        self.fit.params.steps = params.refine.steps;
        self.fit.run(params.refine.rounds, monitor)?;
        if params.refine.sort_species {
            let mut evidence = self.fit.evidence(monitor)?;
            self.sort_species(&mut evidence);
            self.fit.run(1, monitor)?;
        }
        Ok(())
    }
}

/// The free occupancy, as a share of the usual one, below which an atom is likelier half of one.
///
/// False atoms are mostly one atom split in two, hence near ½; real ones scatter about 1 with a standard deviation σ that the
/// occupancies themselves show. Two such normal distributions cross at ¾, moved by `2 σ² ln(odds)`, the odds being those
/// of the numbers above and below.
fn least_occupancy(occupancies: &[f64], strict: bool) -> f64 {
    let usual = median(occupancies.to_vec());
    let sigma = 1.4826
        * median(
            occupancies
                .iter()
                .map(|o| (o / usual - 1.0).abs())
                .collect(),
        );
    let few = occupancies.iter().filter(|o| **o < 0.6 * usual).count() + 1;
    let odds = (occupancies.len() as f64 / few as f64).max(1.0);
    let crossing = (0.75 - 2.0 * sigma * sigma * odds.ln()).clamp(0.25, 0.75);
    // Removing too much is mended by the next look at the residual, removing too little is not.
    if strict {
        (crossing + 0.1).min(0.75)
    } else {
        crossing
    }
}

/// Share of the blobs added in a cycle that may be chance. While the model is still rough, its errors make blobs too; later
/// half may be chance, because a blob that is none loses its occupancy in the next refinement and goes.
fn share_of_chance(cycle: usize) -> f64 {
    if cycle <= STRICT_CYCLES { 0.2 } else { 0.5 }
}

/// The lowest z at which chance maxima are at most `share` of the blobs found.
fn threshold(search: &Search, blobs: &[Found], sure: f64, share: f64) -> f64 {
    let mut least = sure;
    for (k, blob) in blobs.iter().enumerate() {
        let z = blob.probe.z();
        if z < sure && search.chance(z) > share * (k + 1) as f64 {
            break;
        }
        least = least.min(z);
    }
    least
}

/// Adds the missing atoms and removes the false ones, by rounds, from the images alone.
///
/// # Errors
/// As [`super::refine`]; a parameter out of range.
pub fn complete(
    series: &TiltSeries,
    atoms: &Atoms,
    params: &CompleteParams,
    monitor: &Monitor,
) -> Result<Completed, RefineError> {
    let started = Instant::now();
    let bad = |name, expected: &str, found: f64| RefineError::BadParameter {
        name,
        expected: expected.to_owned(),
        found: found.to_string(),
    };
    if let Some(least) = params.least_occupancy.filter(|o| !(0.0..1.0).contains(o)) {
        return Err(bad("least_occupancy", "a number from 0 to below 1", least));
    }
    if let Some(z) = params.add_z.filter(|z| !(*z >= 2.0 && z.is_finite())) {
        return Err(bad("add_z", "at least 2", z));
    }
    if let Some(d) = params.closest.filter(|d| !(*d > 0.0 && d.is_finite())) {
        return Err(bad("closest", "a positive length", d));
    }
    monitor.phase("Refine the starting model");
    let fit = Fit::new(series, atoms, &params.refine, monitor)?;
    let r1_before = fit.r1();
    let sigma = fit
        .imaging
        .profiles
        .iter()
        .map(|p| p.variance[0].sqrt())
        .fold(0.0, f64::max)
        * fit.problem.pixel;
    let closest = params.closest.unwrap_or_else(|| {
        // Two equal Gaussians nearer than two widths have one maximum.
        let spacing = neighbor_distance(&atoms.positions).unwrap_or(0.0);
        (spacing - 3.0 * sigma).clamp(2.0 * sigma, 3.0 * sigma)
    });
    let mut builder = Builder {
        fit,
        ids: atoms.ids.clone(),
        starts: atoms.positions.clone(),
        names: atoms.species_names.clone(),
        next_id: atoms.next_id().0,
        changes: Vec::new(),
        removed_from: Cells::new(Vec::new(), SAME_PLACE),
        removed_atoms: Vec::new(),
        closest,
        cycle: 0,
    };
    let stopped_early = match builder.cycles(params, monitor) {
        Ok(()) => false,
        Err(Stopped::Keep) => true,
        Err(stop) => return Err(stop.into()),
    };
    if params.refine.sort_species {
        builder.order_species();
    }
    let start = assemble(atoms, &builder);
    let mut refined = builder.fit.outcome(&start)?;
    refined.r1_before = r1_before;
    refined.stopped_early = stopped_early;
    refined.seconds = started.elapsed().as_secs_f64();
    let first_new = atoms.next_id();
    let added = builder.ids.iter().filter(|id| **id >= first_new).count();
    let removed = atoms.len() - (builder.ids.len() - added);
    Ok(Completed {
        refined,
        changes: builder.changes,
        removed,
        added,
        cycles: builder.cycle,
        closest,
    })
}

/// The atoms of the fit at their starting places, with the input's columns.
fn assemble(atoms: &Atoms, builder: &Builder) -> Atoms {
    let first_new = atoms.next_id();
    let old: Vec<Option<usize>> = builder
        .ids
        .iter()
        .map(|&id| {
            if id < first_new {
                atoms.index_of(id)
            } else {
                None
            }
        })
        .collect();
    let mut start = Atoms {
        ids: builder.ids.clone(),
        positions: builder.starts.clone(),
        species: builder.fit.problem.species.clone(),
        species_names: builder.names.clone(),
        columns: std::collections::BTreeMap::new(),
    };
    for (name, column) in &atoms.columns {
        let values = old
            .iter()
            .map(|i| i.map_or(f64::NAN, |i| column.values[i]))
            .collect();
        start.set_column(name, &column.unit, values);
    }
    start
}

impl Completed {
    /// How many changes of one kind there were (an atom may come and go).
    #[must_use]
    pub fn count(&self, kind: ChangeKind) -> usize {
        self.changes.iter().filter(|c| c.kind == kind).count()
    }

    /// One sentence for a report.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!(
            "{} atoms were added where the residual of the tilts asked for them and {} of the starting atoms removed \
             (free occupancy too low, or nearer than {:.2} Å to a stronger atom), in {} cycles without looking at \
             the density.",
            self.added, self.removed, self.closest, self.cycles
        )
    }

    /// The largest distance that an atom moved, Å.
    #[must_use]
    pub fn largest_shift(&self) -> f64 {
        let shifts = self.refined.atoms.column("shift_A").unwrap_or(&[]);
        shifts.iter().copied().fold(0.0, f64::max)
    }
}
