//! Neighbours within a distance, by a cell list: exact, and linear in the number of points for bounded density.

use crate::model::geometry::distance_squared;
use rayon::prelude::*;

/// Points sorted into cubic cells.
pub struct CellList {
    /// The points cell by cell: those of a cell lie side by side in memory.
    placed: Vec<[f64; 3]>,
    low: [f64; 3],
    edge: f64,
    cells: [usize; 3],
    /// First entry of each cell in `order`; one more than cells.
    starts: Vec<u32>,
    order: Vec<u32>,
}

impl CellList {
    /// Sorts `points` (finite) into cells of at least `edge`.
    #[must_use]
    pub fn new(points: &[[f64; 3]], edge: f64) -> Self {
        let mut low = [0.0; 3];
        let mut high = [0.0; 3];
        for axis in 0..3 {
            low[axis] = points.iter().map(|p| p[axis]).fold(f64::INFINITY, f64::min);
            high[axis] = points
                .iter()
                .map(|p| p[axis])
                .fold(f64::NEG_INFINITY, f64::max);
        }
        if points.is_empty() {
            (low, high) = ([0.0; 3], [0.0; 3]);
        }
        let mut edge = edge.max(1e-9);
        // Not many more cells than points: a stray point far away must not cost memory.
        let most = (4 * points.len() + 64) as f64;
        let count = |edge: f64| -> f64 {
            (0..3)
                .map(|axis| ((high[axis] - low[axis]) / edge).floor() + 1.0)
                .product()
        };
        while count(edge) > most {
            edge *= 1.3;
        }
        let cells =
            std::array::from_fn(|axis| ((high[axis] - low[axis]) / edge).floor() as usize + 1);
        let mut list = Self {
            placed: Vec::new(),
            low,
            edge,
            cells,
            starts: Vec::new(),
            order: Vec::new(),
        };
        let of: Vec<usize> = points.iter().map(|p| list.flat(list.cell_of(*p))).collect();
        let mut starts = vec![0u32; cells.iter().product::<usize>() + 1];
        for &cell in &of {
            starts[cell + 1] += 1;
        }
        for cell in 1..starts.len() {
            starts[cell] += starts[cell - 1];
        }
        let mut next = starts.clone();
        let mut order = vec![0u32; points.len()];
        for (point, &cell) in of.iter().enumerate() {
            order[next[cell] as usize] = point as u32;
            next[cell] += 1;
        }
        list.starts = starts;
        list.placed = order.iter().map(|&point| points[point as usize]).collect();
        list.order = order;
        list
    }

    fn cell_of(&self, point: [f64; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| self.cell_along(axis, point[axis]))
    }

    fn cell_along(&self, axis: usize, place: f64) -> usize {
        // The cast rounds down what is not negative.
        let cell = ((place - self.low[axis]) / self.edge).max(0.0) as usize;
        cell.min(self.cells[axis] - 1)
    }

    fn flat(&self, cell: [usize; 3]) -> usize {
        (cell[0] * self.cells[1] + cell[1]) * self.cells[2] + cell[2]
    }

    /// Calls `found(index, distance²)` for every point nearer to `center` than `radius` (strictly), in a fixed order.
    pub fn for_each_within(&self, center: [f64; 3], radius: f64, found: impl FnMut(usize, f64)) {
        self.search(center, radius, 0, found);
    }

    /// Calls `found(i, j, distance²)` once for every pair of points nearer to each other than `radius` (strictly) whose
    /// first is among `slots`, a part of `0..len`: together the parts give every pair.
    pub fn for_each_pair(
        &self,
        slots: std::ops::Range<usize>,
        radius: f64,
        mut found: impl FnMut(usize, usize, f64),
    ) {
        for slot in slots {
            let own = self.order[slot] as usize;
            self.search(self.placed[slot], radius, slot + 1, |other, d2| {
                found(own, other, d2);
            });
        }
    }

    /// The points nearer than `radius`, but for the first `skipped` in the order of the cells.
    fn search(
        &self,
        center: [f64; 3],
        radius: f64,
        skipped: usize,
        mut found: impl FnMut(usize, f64),
    ) {
        let limit = radius * radius;
        self.for_each_run(center, radius, skipped, |run| {
            for (&index, place) in self.order[run.clone()].iter().zip(&self.placed[run]) {
                let d2 = distance_squared(center, *place);
                if d2 < limit {
                    found(index as usize, d2);
                }
            }
        });
    }

    /// The places in the order of the cells, which [`Self::for_each_run`] speaks of.
    #[must_use]
    pub fn placed(&self) -> &[[f64; 3]] {
        &self.placed
    }

    /// Index of the point at each of these places.
    #[must_use]
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Calls `found(run)` for runs of places that together hold every one nearer to `center` than `radius`, and others, but
    /// for the first `skipped`; in a fixed order.
    #[inline]
    pub fn for_each_run(
        &self,
        center: [f64; 3],
        radius: f64,
        skipped: usize,
        mut found: impl FnMut(std::ops::Range<usize>),
    ) {
        let shifted = |sign: f64| std::array::from_fn(|axis| center[axis] + sign * radius);
        let (low, high) = (self.cell_of(shifted(-1.0)), self.cell_of(shifted(1.0)));
        // Cells end where rounding has them end.
        let slack =
            1e-9 * (self.edge + radius + center.iter().map(|c| c.abs()).fold(0.0, f64::max));
        let apart = |axis: usize, cell: usize| {
            let start = self.low[axis] + cell as f64 * self.edge;
            let off = (start - center[axis]).max(center[axis] - start - self.edge);
            (off - slack).max(0.0)
        };
        for x in low[0]..=high[0] {
            let off = radius * radius - apart(0, x).powi(2);
            for y in low[1]..=high[1] {
                let left = off - apart(1, y).powi(2);
                if left < 0.0 {
                    continue;
                }
                let reach = left.sqrt() + slack;
                let z = |sign: f64| self.cell_along(2, center[2] + sign * reach);
                let row = self.flat([x, y, 0]);
                let (first, last) = (row + z(-1.0), row + z(1.0));
                let end = self.starts[last + 1] as usize;
                let start = (self.starts[first] as usize).max(skipped);
                if start < end {
                    found(start..end);
                }
            }
        }
    }
}

/// For every point the indices of the others nearer than `cutoff` (strictly), ascending.
#[must_use]
pub fn neighbors_within(points: &[[f64; 3]], cutoff: f64) -> Vec<Vec<u32>> {
    let list = CellList::new(points, cutoff);
    points
        .par_iter()
        .enumerate()
        .map(|(own, &point)| {
            let mut found = Vec::new();
            list.for_each_within(point, cutoff, |index, _| {
                if index != own {
                    found.push(index as u32);
                }
            });
            found.sort_unstable();
            found
        })
        .collect()
}

/// Edge of a cube that holds one point on average, were they spread evenly over their box; never zero.
#[must_use]
pub fn mean_spacing(points: &[[f64; 3]]) -> f64 {
    let volume: f64 = (0..3)
        .map(|axis| {
            let low = points.iter().map(|p| p[axis]).fold(f64::INFINITY, f64::min);
            let high = points
                .iter()
                .map(|p| p[axis])
                .fold(f64::NEG_INFINITY, f64::max);
            (high - low).max(1e-6)
        })
        .product();
    (volume / points.len().max(1) as f64).cbrt().max(1e-6)
}

/// Distance from every point to its nearest other point; infinite for a single point.
#[must_use]
pub fn nearest_distances(points: &[[f64; 3]]) -> Vec<f64> {
    // Cells that hold a few points each, then wider searches where nothing was near.
    let spacing = mean_spacing(points);
    let list = CellList::new(points, spacing);
    points
        .par_iter()
        .enumerate()
        .map(|(own, &point)| {
            let mut radius = 1.5 * spacing;
            for _ in 0..40 {
                let mut best = f64::INFINITY;
                list.for_each_within(point, radius, |index, d2| {
                    if index != own {
                        best = best.min(d2);
                    }
                });
                if best.is_finite() {
                    return best.sqrt();
                }
                radius *= 2.0;
            }
            f64::INFINITY
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cell_list_is_brute_force(
            points in prop::collection::vec(prop::array::uniform3(-20.0..20.0f64), 1..80),
            cutoff in 0.5..15.0f64,
        ) {
            let fast = neighbors_within(&points, cutoff);
            let mut pairs = Vec::new();
            let half = points.len() / 2;
            let list = CellList::new(&points, cutoff);
            for part in [0..half, half..points.len()] {
                list.for_each_pair(part, cutoff, |a, b, _| pairs.push((a.min(b), a.max(b))));
            }
            pairs.sort_unstable();
            let both = fast.iter().enumerate().flat_map(|(a, around)| {
                around.iter().map(move |&b| (a, b as usize)).filter(|(a, b)| a < b)
            });
            prop_assert_eq!(pairs, both.collect::<Vec<_>>());
            let nearest = nearest_distances(&points);
            for (i, a) in points.iter().enumerate() {
                let slow: Vec<u32> = (0..points.len())
                    .filter(|&j| j != i && distance_squared(*a, points[j]) < cutoff * cutoff)
                    .map(|j| j as u32)
                    .collect();
                prop_assert_eq!(&fast[i], &slow);
                let best = points.iter().enumerate().filter(|(j, _)| *j != i)
                    .map(|(_, b)| distance_squared(*a, *b).sqrt()).fold(f64::INFINITY, f64::min);
                prop_assert!(nearest[i] == best || (nearest[i] - best).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn nearest_distances_are_exact() {
        let positions = [
            [0.0; 3],
            [1.0, 0.0, 0.0],
            [100.0, 0.0, 0.0],
            [100.0, 30.0, 0.0],
        ];
        assert_eq!(nearest_distances(&positions), [1.0, 1.0, 30.0, 30.0]);
        assert_eq!(nearest_distances(&positions[..1]), [f64::INFINITY]);
        assert!(nearest_distances(&[]).is_empty());
    }
}
