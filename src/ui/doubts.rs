//! The list of places that deserve a look: close pairs, strong maxima that were not kept, atoms near the threshold,
//! atoms unlike the others. Made on its own thread after every change of the model.

use super::state::{Doubt, Doubtful};
use crate::model::geometry::distance;
use crate::model::{AtomId, Atoms};
use crate::trace::{Traced, Verdict};
use std::sync::Arc;

/// What the list is made from.
pub struct Request {
    /// The model.
    pub atoms: Arc<Atoms>,
    /// What tracing saw, if the model was traced.
    pub traced: Option<Arc<Traced>>,
    /// Smallest distance of two atoms, Å.
    pub min_distance: f64,
}

/// Entries kept: more cannot be looked at, and the first ones matter most.
const MOST: usize = 500;

/// Makes the list, most pressing kind first, within a kind worst first.
#[must_use]
pub fn doubtful(request: &Request) -> Vec<Doubtful> {
    let mut list = close_pairs(request);
    if let Some(traced) = &request.traced {
        list.extend(strong_rejects(request, traced));
        list.extend(borderline(request, traced));
    }
    list.extend(unusual(&request.atoms));
    // The sort is stable: within a kind the worst stays first.
    list.sort_by_key(|(place, _)| place.doubt);
    list.truncate(MOST);
    list.into_iter().map(|(place, _)| place).collect()
}

/// A place and how bad it is (larger is worse).
type Rated = (Doubtful, f64);

fn worst_first(mut list: Vec<Rated>) -> Vec<Rated> {
    list.sort_by(|a, b| b.1.total_cmp(&a.1));
    list
}

fn close_pairs(request: &Request) -> Vec<Rated> {
    let atoms = &request.atoms;
    let mut order: Vec<usize> = (0..atoms.len()).collect();
    order.sort_by(|&a, &b| atoms.positions[a][0].total_cmp(&atoms.positions[b][0]));
    let mut pairs = Vec::new();
    // Sorted along x, a partner is never further on than the minimum distance.
    for (at, &a) in order.iter().enumerate() {
        for &b in &order[at + 1..] {
            let (p, q) = (atoms.positions[a], atoms.positions[b]);
            if q[0] - p[0] >= request.min_distance {
                break;
            }
            let apart = distance(p, q);
            if apart < request.min_distance {
                let place = Doubtful {
                    doubt: Doubt::ClosePair,
                    position: std::array::from_fn(|axis| 0.5 * (p[axis] + q[axis])),
                    atoms: vec![atoms.ids[a], atoms.ids[b]],
                    text: format!("{apart:.2} Å apart"),
                };
                pairs.push((place, -apart));
            }
        }
    }
    worst_first(pairs)
}

fn strong_rejects(request: &Request, traced: &Traced) -> Vec<Rated> {
    let why = |verdict| match verdict {
        Verdict::TooClose => Some("too close to a stronger one"),
        Verdict::FitDiverged => Some("its fit diverged"),
        Verdict::FitNotPeak => Some("its fit is no maximum"),
        Verdict::AtEdge => Some("at the edge of the volume"),
        Verdict::Atom | Verdict::TooWeak => None,
    };
    let strong: Vec<_> = traced
        .candidates
        .iter()
        .filter(|c| c.intensity >= traced.threshold)
        .filter_map(|c| Some((c, why(c.verdict)?)))
        .collect();
    let free = strong.into_iter().filter(|(candidate, _)| {
        // Half the minimum distance is the same maximum found twice, or filled by hand since.
        !request
            .atoms
            .positions
            .iter()
            .any(|&p| distance(p, candidate.position) < 0.5 * request.min_distance)
    });
    worst_first(
        free.map(|(candidate, why)| {
            let place = Doubtful {
                doubt: Doubt::StrongReject,
                position: candidate.position,
                atoms: Vec::new(),
                text: format!(
                    "intensity {:.1} × threshold, {why}",
                    candidate.intensity / traced.threshold
                ),
            };
            (place, candidate.intensity)
        })
        .collect(),
    )
}

/// Share of the way from the threshold to the median atom that counts as near the threshold.
const NEAR: f64 = 0.15;

fn borderline(request: &Request, traced: &Traced) -> Vec<Rated> {
    let atoms = &request.atoms;
    let Some(intensities) = atoms.column("intensity") else {
        return Vec::new();
    };
    let Some(median) = median(intensities) else {
        return Vec::new();
    };
    let reach = NEAR * (median - traced.threshold);
    let kept = (0..atoms.len())
        .map(|i| (atoms.positions[i], Some(atoms.ids[i]), intensities[i]))
        .filter(|(.., intensity)| *intensity < traced.threshold + reach);
    let dropped = traced
        .candidates
        .iter()
        .filter(|c| c.verdict == Verdict::TooWeak && c.intensity > traced.threshold - reach)
        .map(|c| (c.position, None, c.intensity));
    worst_first(
        kept.chain(dropped)
            .map(|(position, id, intensity): (_, Option<AtomId>, f64)| {
                let side = if id.is_some() { "kept" } else { "not kept" };
                let place = Doubtful {
                    doubt: Doubt::Borderline,
                    position,
                    atoms: id.into_iter().collect(),
                    text: format!(
                        "intensity {:.2} × threshold, {side}",
                        intensity / traced.threshold
                    ),
                };
                (place, -(intensity - traced.threshold).abs())
            })
            .collect(),
    )
}

fn unusual(atoms: &Atoms) -> Vec<Rated> {
    /// Robust standard deviations from the median.
    const FAR: f64 = 5.0;
    let Some(widths) = atoms.column("sigma_A") else {
        return Vec::new();
    };
    let Some(center) = median(widths) else {
        return Vec::new();
    };
    let deviations: Vec<f64> = widths.iter().map(|w| (w - center).abs()).collect();
    // 1.4826 makes the median absolute deviation the standard deviation of a Gaussian.
    let Some(spread) = median(&deviations)
        .map(|mad| 1.4826 * mad)
        .filter(|s| *s > 0.0)
    else {
        return Vec::new();
    };
    worst_first(
        (0..atoms.len())
            .filter(|&i| (widths[i] - center).abs() > FAR * spread)
            .map(|i| {
                let place = Doubtful {
                    doubt: Doubt::Unusual,
                    position: atoms.positions[i],
                    atoms: vec![atoms.ids[i]],
                    text: format!("width {:.2} Å, the others {center:.2} Å", widths[i]),
                };
                (place, (widths[i] - center).abs())
            })
            .collect(),
    )
}

fn median(values: &[f64]) -> Option<f64> {
    let mut known: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let middle = known.len() / 2;
    if known.is_empty() {
        return None;
    }
    Some(*known.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Candidate;

    fn request(positions: &[[f64; 3]], intensities: Vec<f64>) -> Request {
        let mut atoms = Atoms::from_positions(positions.to_vec(), "Zr");
        atoms.set_column("intensity", "", intensities);
        Request {
            atoms: Arc::new(atoms),
            traced: None,
            min_distance: 2.0,
        }
    }

    #[test]
    fn close_pairs_come_first_nearest_first() {
        let positions = [
            [0.0, 0.0, 0.0],
            [1.5, 0.0, 0.0],
            [10.0, 0.0, 0.0],
            [10.0, 1.0, 0.0],
            [20.0, 0.0, 0.0],
        ];
        let list = doubtful(&request(&positions, vec![1.0; 5]));
        let texts: Vec<&str> = list.iter().map(|d| d.text.as_str()).collect();
        assert_eq!(texts, ["1.00 Å apart", "1.50 Å apart"]);
    }

    #[test]
    fn strong_rejects_are_listed_until_an_atom_stands_there() {
        let candidate = |x: f64, intensity, verdict| Candidate {
            position: [x, 0.0, 0.0],
            density: 1.0,
            intensity,
            sigma: 0.5,
            misfit: 0.0,
            verdict,
        };
        let mut asked = request(&[[0.0; 3], [4.0, 0.0, 0.0]], vec![10.0, 10.0]);
        asked.traced = Some(Arc::new(Traced {
            atoms: Atoms::default(),
            candidates: vec![
                candidate(0.1, 9.0, Verdict::FitDiverged),
                candidate(8.0, 9.0, Verdict::FitDiverged),
                candidate(12.0, 1.0, Verdict::FitDiverged),
                candidate(16.0, 4.9, Verdict::TooWeak),
            ],
            threshold: 5.0,
            sigma_mean: 0.5,
            sigma_sd: 0.0,
            seconds: 0.0,
        }));
        let list = doubtful(&asked);
        let kinds: Vec<Doubt> = list.iter().map(|d| d.doubt).collect();
        assert_eq!(kinds, [Doubt::StrongReject, Doubt::Borderline]);
        assert_eq!(list[0].position[0], 8.0);
        assert_eq!(list[1].position[0], 16.0);
    }
}
