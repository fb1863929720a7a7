//! Points sorted into cubic cells, for neighbor questions with a fixed radius. Cost O(n) to build.

use crate::model::geometry::distance_squared;
use std::collections::HashMap;

/// Points in cells of one edge length; more can be added.
pub(super) struct Grid {
    cell: f64,
    points: Vec<[f64; 3]>,
    cells: HashMap<[i64; 3], Vec<usize>>,
}

impl Grid {
    /// An empty grid whose queries reach at most `cell` (Å).
    pub(super) fn new(cell: f64) -> Self {
        Self {
            cell,
            points: Vec::new(),
            cells: HashMap::new(),
        }
    }

    /// A grid of `points`.
    pub(super) fn of(points: &[[f64; 3]], cell: f64) -> Self {
        let mut grid = Self::new(cell);
        for &point in points {
            grid.push(point);
        }
        grid
    }

    /// The point of an index.
    pub(super) fn point(&self, index: usize) -> [f64; 3] {
        self.points[index]
    }

    fn key(&self, point: [f64; 3]) -> [i64; 3] {
        point.map(|x| (x / self.cell).floor() as i64)
    }

    /// Adds a point; its index is the number of points before it.
    pub(super) fn push(&mut self, point: [f64; 3]) {
        let key = self.key(point);
        self.cells.entry(key).or_default().push(self.points.len());
        self.points.push(point);
    }

    /// Calls `visit(index, squared distance)` for every point within `radius` of `center`, in a fixed order.
    pub(super) fn each_within(
        &self,
        center: [f64; 3],
        radius: f64,
        mut visit: impl FnMut(usize, f64),
    ) {
        debug_assert!(radius <= self.cell * (1.0 + 1e-12));
        let key = self.key(center);
        for dx in -1..=1 {
            for dy in -1..=1 {
                for dz in -1..=1 {
                    let Some(members) = self.cells.get(&[key[0] + dx, key[1] + dy, key[2] + dz])
                    else {
                        continue;
                    };
                    for &index in members {
                        let d2 = distance_squared(self.points[index], center);
                        if d2 <= radius * radius {
                            visit(index, d2);
                        }
                    }
                }
            }
        }
    }

    /// Whether a point lies within `radius` of `center`.
    pub(super) fn any_within(&self, center: [f64; 3], radius: f64) -> bool {
        let mut found = false;
        self.each_within(center, radius, |_, _| found = true);
        found
    }

    /// Indices of the points within `radius` of `center`, ascending.
    pub(super) fn within(&self, center: [f64; 3], radius: f64) -> Vec<usize> {
        let mut found = Vec::new();
        self.each_within(center, radius, |index, _| found.push(index));
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    #[test]
    fn cells_find_what_a_full_search_finds() {
        let mut rng = StdRng::seed_from_u64(3);
        let points: Vec<[f64; 3]> = (0..400)
            .map(|_| std::array::from_fn(|_| rng.random_range(-9.0..9.0)))
            .collect();
        let grid = Grid::of(&points, 2.5);
        let mut total = 0;
        for &center in &points {
            let expected: Vec<usize> = (0..points.len())
                .filter(|&i| distance_squared(points[i], center) <= 2.2 * 2.2)
                .collect();
            total += expected.len();
            assert_eq!(grid.within(center, 2.2), expected);
        }
        assert!(
            total > 800,
            "the query radius must reach neighbors, found {total} pairs"
        );
    }
}
