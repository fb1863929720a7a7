//! What the model itself, the density and the tracing say: distances, numbers of neighbours, columns, maxima that became
//! no atoms.

use super::{DoubtKind, Known, PRIOR, Place};
use crate::model::Volume;
use crate::monitor::{Monitor, Stopped};
use crate::numeric::interpolate::CubicSpline;
use crate::numeric::neighbors::CellList;
use crate::numeric::odds::{log_odds, student, usual};
use crate::trace::evidence::Cells;
use crate::trace::ghosts::PERSISTENCE;
use crate::trace::{Candidate, Verdict, peaks};

/// Bound on a sign of the density where the tilts are asked too: the density was made from them.
const BESIDE_IMAGES: f64 = 1.5;
/// Bound on a sign where there are no images.
const ALONE: f64 = 6.0;
/// Bound on the sign of a distance where the tilts are asked too.
const MOST_SPACING: f64 = 3.0;
/// Bound on the signs of widths, displacements and coordination, which have many harmless causes.
const MOST_SLIGHT: f64 = 2.0;
/// Atoms within so many nearest-neighbour distances are neighbours: between the first and the second shell.
const FIRST_SHELL: f64 = 1.3;
/// Density, as a share of the usual atom's, from which a maximum of the volume is looked at.
const LEAST_DENSITY: f64 = 0.3;

fn bound(known: &Known) -> f64 {
    if known.input.series.is_some() {
        BESIDE_IMAGES
    } else {
        ALONE
    }
}

/// Sign of a number that is 0 where an edit is as likely as not and 1 for the usual atom: it leads from even odds to
/// the prior ones.
fn halfway(share: f64) -> f64 {
    if share.is_finite() {
        -log_odds(PRIOR) * (1.0 - share)
    } else {
        0.0
    }
}

/// Places without an atom that tracing or the density point at.
pub(super) fn vacant_places(known: &Known, monitor: &Monitor) -> Result<Vec<Place>, Stopped> {
    if let Some(traced) = known.input.traced {
        let intensities = (traced.candidates.iter())
            .filter(|c| c.verdict == Verdict::Atom)
            .map(|c| c.intensity);
        let Some([usual, _]) = usual(intensities) else {
            return Ok(Vec::new());
        };
        let share = |c: &Candidate| (c.intensity - traced.threshold) / (usual - traced.threshold);
        let rejected: Vec<&Candidate> = traced
            .candidates
            .iter()
            .filter(|c| c.verdict != Verdict::Atom && share(c) > -0.5)
            .collect();
        let vacant = vacant(known, rejected.iter().map(|c| c.position));
        return Ok(vacant
            .into_iter()
            .map(|k| of_candidate(known, rejected[k], share(rejected[k])))
            .collect());
    }
    match known.input.volume {
        Some(volume) if known.input.series.is_none() => of_density(known, volume, monitor),
        _ => Ok(Vec::new()),
    }
}

/// Those of `positions` that are further than half a spacing from every atom, the first of several near each other.
fn vacant(known: &Known, positions: impl Iterator<Item = [f64; 3]>) -> Vec<usize> {
    let reach = 0.5 * known.spacing;
    let mut taken = Cells::new(known.input.atoms.positions.clone(), reach);
    let mut free = Vec::new();
    for (k, position) in positions.enumerate() {
        if position.iter().all(|v| v.is_finite()) && taken.within(position, reach).is_empty() {
            taken.insert(position);
            free.push(k);
        }
    }
    free
}

/// A rejected maximum. `share`: its intensity between the threshold (0) and the usual atom (1).
fn of_candidate(known: &Known, candidate: &Candidate, share: f64) -> Place {
    let most = bound(known);
    let mut place = Place::new(candidate.position, None, log_odds(PRIOR));
    let why = match candidate.verdict {
        Verdict::TooClose => "was too close to a stronger one",
        Verdict::FitDiverged => "could not be fitted (diverged)",
        Verdict::FitNotPeak => "could not be fitted (no maximum)",
        Verdict::AtEdge => "lies at the edge of the volume",
        Verdict::Atom | Verdict::TooWeak => "was too weak",
    };
    let intensity = candidate.intensity;
    if candidate.verdict == Verdict::TooWeak || share < 0.0 {
        place.add(
            DoubtKind::Borderline,
            halfway(share.abs()).clamp(0.0, most),
            || format!("a maximum of intensity {intensity:.3} {why}, little below the threshold"),
        );
    } else {
        place.add(DoubtKind::FailedFit, halfway(0.0).clamp(0.0, most), || {
            format!("a maximum of intensity {intensity:.3} {why}")
        });
    }
    place
}

/// Maxima of the volume where no atom stands.
fn of_density(known: &Known, volume: &Volume, monitor: &Monitor) -> Result<Vec<Place>, Stopped> {
    let densities = known.input.atoms.positions.iter();
    let densities = densities.map(|p| f64::from(volume.density_at(*p)));
    let Some([usual, _]) = usual(densities) else {
        return Ok(Vec::new());
    };
    let size = volume.size();
    if usual <= 0.0 || size.iter().any(|&n| n < 3) || volume.data.iter().any(|v| !v.is_finite()) {
        return Ok(Vec::new());
    }
    let spline = CubicSpline::new(&volume.data);
    monitor.check()?;
    let floor = (LEAST_DENSITY * usual) as f32;
    let mut maxima = peaks::local_maxima(&spline, 1, floor, monitor)?;
    maxima.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.index.cmp(&b.index)));
    let positions: Vec<[f64; 3]> = maxima
        .iter()
        .map(|m| volume.position_of(m.index.map(|i| i as f64)))
        .collect();
    let free = vacant(known, positions.iter().copied());
    Ok(free
        .into_iter()
        .map(|k| {
            let share = f64::from(maxima[k].value) / usual;
            let mut place = Place::new(positions[k], None, log_odds(PRIOR));
            // Half an atom's density is as likely an atom as not.
            place.add(
                DoubtKind::Missing,
                halfway(2.0 - 2.0 * share).min(ALONE),
                || format!("a maximum of {share:.2} times the usual atom's density"),
            );
            place
        })
        .collect())
}

/// Signs of the atoms' columns and of the density under them.
pub(super) fn ask_columns(known: &Known, places: &mut [Place]) {
    let most = bound(known);
    let column = |name: &str| known.input.atoms.column(name);
    let atoms = &mut places[..known.input.atoms.len()];
    match (known.input.traced, column("intensity"), known.input.volume) {
        (Some(traced), Some(values), _) => {
            let Some([usual, _]) = usual(values.iter().copied()) else {
                return;
            };
            let threshold = traced.threshold;
            tails(atoms, values, DoubtKind::Borderline, |v| {
                let ratio = halfway((v - threshold) / (usual - threshold));
                let text = format!(
                    "intensity {:.2} of the threshold, {:.2} of the usual",
                    v / threshold,
                    v / usual
                );
                (ratio.min(most), text)
            });
        }
        (None, Some(values), _) => weak(atoms, values, most),
        (_, None, Some(volume)) => {
            let positions = known.input.atoms.positions.iter();
            let densities: Vec<f64> = positions
                .map(|p| f64::from(volume.density_at(*p)))
                .collect();
            weak(atoms, &densities, most);
        }
        _ => {}
    }
    if let Some(values) = column("sigma_A")
        && let Some([usual, spread]) = usual(values.iter().copied())
    {
        tails(atoms, values, DoubtKind::Broad, |v| {
            // Against any width up to twice the usual one.
            let ratio = upper_tail(v, usual, spread, usual);
            let text = format!("a maximum of width {v:.2} Å, usually {usual:.2} ± {spread:.2}");
            (ratio.min(MOST_SLIGHT), text)
        });
    }
    if let Some(values) = column("shift_A")
        && let Some([usual, spread]) = usual(values.iter().copied())
    {
        let range = 0.5 * known.spacing;
        tails(atoms, values, DoubtKind::FarMoved, |v| {
            let ratio = upper_tail(v, usual, spread, range);
            let text = format!("refinement moved it by {v:.2} Å, others by {usual:.2}");
            (ratio.min(MOST_SLIGHT), text)
        });
    }
    if let Some(values) = column(PERSISTENCE)
        && let Some([usual, spread]) = usual_persistence(values)
    {
        tails(atoms, values, DoubtKind::Fleeting, |v| {
            // Against any persistence from 0 to 1.
            let ratio = upper_tail(-v, -usual, spread, 1.0);
            let text = format!("there in {v:.2} of the interim traces, usually in {usual:.2}");
            (ratio.min(MOST_SLIGHT), text)
        });
    }
}

/// Median and scatter of the persistence. Most atoms may be there in every trace alike, so the scatter is no smaller
/// than one of the first few traces makes.
fn usual_persistence(values: &[f64]) -> Option<[f64; 2]> {
    const LEAST_SPREAD: f64 = 0.05;
    let mut known: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    known.sort_by(f64::total_cmp);
    let middle = *known.get(known.len() / 2)?;
    let spread = usual(known).map_or(LEAST_SPREAD, |[_, spread]| spread.max(LEAST_SPREAD));
    Some([middle, spread])
}

/// `ln(1 / range) − ln p(v | the usual scatter)` above the usual value, else nothing.
fn upper_tail(value: f64, usual: f64, spread: f64, range: f64) -> f64 {
    let t = (value - usual) / spread;
    if t > 0.0 {
        (spread / range / student(t)).ln()
    } else {
        0.0
    }
}

fn weak(atoms: &mut [Place], values: &[f64], most: f64) {
    let Some([usual, spread]) = usual(values.iter().copied()) else {
        return;
    };
    tails(atoms, values, DoubtKind::Weak, |v| {
        let ratio = upper_tail(-v, -usual, spread, usual.abs());
        let text = format!(
            "{:.2} of the usual intensity, which scatters by {:.2}",
            v / usual,
            spread / usual
        );
        (ratio.min(most), text)
    });
}

/// Adds the sign of each value that speaks for an edit.
fn tails(
    atoms: &mut [Place],
    values: &[f64],
    kind: DoubtKind,
    sign: impl Fn(f64) -> (f64, String),
) {
    for (place, &value) in atoms.iter_mut().zip(values) {
        if value.is_finite() {
            let (ratio, text) = sign(value);
            if ratio > 0.0 {
                place.add(kind, ratio, || text);
            }
        }
    }
}

/// How atoms of this model stand to each other.
struct Habits {
    /// Usual distance to the nearest neighbour and its robust deviation, Å.
    spacing: [f64; 2],
    /// Share of the atoms that have 0, 1, 2, … neighbours.
    shares: Vec<f64>,
    /// The most frequent number.
    typical: usize,
}

impl Habits {
    /// `ln p(d | an atom and its neighbour) − ln p(d | anything)`, the second being uniform up to 1.2 usual distances.
    fn of_distance(&self, distance: f64) -> f64 {
        let [usual, spread] = self.spacing;
        (student((distance - usual) / spread) / spread * 1.2 * usual).ln()
    }

    /// `ln p(n | an atom) − ln p(n | anything)`, the second being uniform up to twice the typical number.
    fn of_number(&self, neighbors: usize) -> f64 {
        let share = self
            .shares
            .get(neighbors)
            .unwrap_or(&self.shares[self.shares.len() - 1]);
        (share * (2 * self.typical + 1) as f64).ln()
    }
}

/// Signs of distances to neighbours and of their number. Atoms that other signs make unlikely already are nobody's
/// neighbours: what stands too close to a false atom is not false for that.
pub(super) fn ask_neighbors(known: &Known, places: &mut [Place]) {
    let atoms = known.input.atoms;
    let firm: Vec<usize> = (0..atoms.len())
        .filter(|&i| places[i].log_odds() <= 0.0)
        .collect();
    if firm.len() < 2 {
        return;
    }
    let positions: Vec<[f64; 3]> = firm.iter().map(|&i| atoms.positions[i]).collect();
    let cells = CellList::new(&positions, FIRST_SHELL * known.spacing);
    let around = |place: &Place| -> (Option<(usize, f64)>, usize) {
        let mut nearest: Option<(usize, f64)> = None;
        let mut number = 0;
        cells.for_each_within(place.position, 2.0 * known.spacing, |k, squared| {
            if Some(firm[k]) == place.atom {
                return;
            }
            let distance = squared.sqrt();
            number += usize::from(distance < FIRST_SHELL * known.spacing);
            if nearest.is_none_or(|(_, d)| distance < d) {
                nearest = Some((firm[k], distance));
            }
        });
        (nearest, number)
    };
    let surroundings: Vec<_> = places.iter().map(around).collect();
    let Some(habits) = habits(&firm, &surroundings) else {
        return;
    };
    for (place, (nearest, number)) in places.iter_mut().zip(surroundings) {
        if place.atom.is_some() {
            judge_atom(known, place, nearest, number, &habits);
        } else {
            judge_vacancy(place, nearest, number, &habits);
        }
    }
}

fn habits(firm: &[usize], surroundings: &[(Option<(usize, f64)>, usize)]) -> Option<Habits> {
    let distances = firm
        .iter()
        .filter_map(|&i| surroundings[i].0.map(|(_, d)| d));
    // A perfect lattice has no spread at all: a hundredth of the distance then.
    let known: Vec<f64> = distances.collect();
    let middle = crate::trace::refine::fit::median(known.clone());
    if middle.is_nan() || middle <= 0.0 {
        return None;
    }
    let spread = usual(known).map_or(0.0, |[_, spread]| spread);
    let most = surroundings.iter().map(|(_, n)| *n).max().unwrap_or(0);
    let mut shares = vec![1.0; most + 2];
    for &i in firm {
        shares[surroundings[i].1] += 1.0;
    }
    let total: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|s| *s /= total);
    let typical =
        (0..shares.len()).max_by(|&a, &b| shares[a].total_cmp(&shares[b]).then(b.cmp(&a)))?;
    Some(Habits {
        spacing: [middle, spread.max(0.01 * middle)],
        shares,
        typical,
    })
}

fn judge_atom(
    known: &Known,
    place: &mut Place,
    nearest: Option<(usize, f64)>,
    number: usize,
    habits: &Habits,
) {
    let [usual, spread] = habits.spacing;
    let most = if known.input.series.is_some() {
        MOST_SPACING
    } else {
        ALONE
    };
    if let Some((partner, distance)) = nearest {
        let ratio = -habits.of_distance(distance.min(usual));
        if ratio > 0.0 {
            place.partners.push(partner);
        }
        place.add(DoubtKind::TooClose, ratio.clamp(-1.0, most), || {
            format!("{distance:.2} Å from its nearest neighbour, usually {usual:.2} ± {spread:.2}")
        });
    }
    let ratio = (-habits.of_number(number)).clamp(-1.0, MOST_SLIGHT);
    place.add(DoubtKind::OddCoordination, ratio, || {
        let share = 100.0 * habits.shares[number.min(habits.shares.len() - 1)];
        format!(
            "{number} neighbours, as {share:.1} % of the atoms have; {} are usual",
            habits.typical
        )
    });
}

fn judge_vacancy(place: &mut Place, nearest: Option<(usize, f64)>, number: usize, habits: &Habits) {
    let [usual, spread] = habits.spacing;
    let distance = nearest.map_or(f64::INFINITY, |(_, d)| d);
    let ratio = if distance.is_finite() {
        habits.of_distance(distance)
    } else {
        -MOST_SPACING
    };
    place.add(
        DoubtKind::Missing,
        ratio.clamp(-MOST_SPACING, MOST_SPACING),
        || {
            format!(
                "{distance:.2} Å from the nearest atom, as atoms are ({usual:.2} ± {spread:.2})"
            )
        },
    );
    let ratio = habits.of_number(number).clamp(-MOST_SLIGHT, MOST_SLIGHT);
    place.add(DoubtKind::Missing, ratio, || {
        format!(
            "an atom there would have {number} neighbours; {} are usual",
            habits.typical
        )
    });
}

/// Places of atoms whose intensity lies between two species.
pub(super) fn between_species(known: &Known) -> Vec<Place> {
    let atoms = known.input.atoms;
    let Some(margins) = atoms
        .column("species_margin")
        .filter(|_| atoms.species_names.len() > 1)
    else {
        return Vec::new();
    };
    let mut places = Vec::new();
    for (i, &margin) in margins.iter().enumerate() {
        let ratio = halfway(margin.abs());
        if ratio > 0.0 {
            let mut place = Place::new(atoms.positions[i], Some(i), log_odds(PRIOR));
            place.add(DoubtKind::Species, ratio, || {
                format!(
                    "told to be {} at {:.2} of the way from the border to the middle of its class",
                    atoms.species_name(i),
                    margin
                )
            });
            places.push(place);
        }
    }
    places
}
