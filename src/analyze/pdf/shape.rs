//! The part of space that atoms fill, and how likely two of its points are a given distance apart.

use rayon::prelude::*;

/// How far the region first reaches from an atom, in nearest distances: no hole is left between neighbours.
const REACH: f64 = 0.8;
/// Distances at which the share is computed.
const KNOTS: usize = 48;
/// Directions it is averaged over.
const DIRECTIONS: usize = 64;

/// The region the atoms fill, on a grid.
pub(super) struct Shape {
    low: [f64; 3],
    step: f64,
    size: [usize; 3],
    /// How far it was taken back after it had been closed, Å.
    depth: f64,
    inside: Vec<bool>,
    /// Å³.
    pub volume: f64,
}

impl Shape {
    /// The region of `positions` whose nearest distance is `spacing`, Å.
    pub fn of(positions: &[[f64; 3]], spacing: f64) -> Self {
        let reach = REACH * spacing;
        let (low, step, size) = Self::frame(positions, reach, spacing);
        let mut shape = Self {
            low,
            step,
            size,
            depth: 0.4 * spacing,
            inside: Vec::new(),
            volume: 0.0,
        };
        shape.fill(positions, reach);
        shape
    }

    /// The part of it that some of the atoms fill, on the same grid; `spacing` is theirs.
    pub fn part(&self, positions: &[[f64; 3]], spacing: f64) -> Self {
        let reach = REACH * spacing;
        let mut part = Self {
            inside: Vec::new(),
            ..*self
        };
        // Taken back no farther than the whole, or the rim would be lost where a rare species has no atom by chance.
        part.fill(positions, reach);
        let both = part.inside.iter_mut().zip(&self.inside);
        both.for_each(|(own, whole)| *own &= whole);
        part.measure();
        part
    }

    fn measure(&mut self) {
        let cells = self.inside.iter().filter(|&&inside| inside).count();
        self.volume = cells as f64 * self.step.powi(3);
    }

    fn frame(positions: &[[f64; 3]], reach: f64, spacing: f64) -> ([f64; 3], f64, [usize; 3]) {
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for p in positions {
            for axis in 0..3 {
                low[axis] = low[axis].min(p[axis] - reach);
                high[axis] = high[axis].max(p[axis] + reach);
            }
        }
        let extent: [f64; 3] = std::array::from_fn(|axis| (high[axis] - low[axis]).max(1e-6));
        // Fine against the spacing, but never more than some millions of cells.
        let step = (spacing / 3.0).max((extent.iter().product::<f64>() / 4e6).cbrt());
        (low, step, extent.map(|e| (e / step).ceil() as usize + 1))
    }

    /// Everything within `reach` Å of an atom, taken back by the depth.
    fn fill(&mut self, positions: &[[f64; 3]], reach: f64) {
        let (low, step) = (self.low, self.step);
        self.inside = vec![false; self.size.iter().product()];
        let cells = (reach / step).ceil() as isize;
        for p in positions {
            let home: [isize; 3] =
                std::array::from_fn(|axis| ((p[axis] - low[axis]) / step).floor() as isize);
            for dx in -cells..=cells {
                for dy in -cells..=cells {
                    for dz in -cells..=cells {
                        let cell = [home[0] + dx, home[1] + dy, home[2] + dz];
                        let middle: [f64; 3] = std::array::from_fn(|axis| {
                            low[axis] + (cell[axis] as f64 + 0.5) * step
                        });
                        if crate::model::geometry::distance_squared(middle, *p) <= reach * reach
                            && let Some(at) = self.flat(cell)
                        {
                            self.inside[at] = true;
                        }
                    }
                }
            }
        }
        self.erode(self.depth);
        self.measure();
    }

    /// Takes a layer off: the region reaches about half a spacing beyond the outermost atoms, and no hole between
    /// atoms opens again.
    fn erode(&mut self, depth: f64) {
        let reach = (depth / self.step).floor() as isize;
        if reach == 0 {
            return;
        }
        let [nx, ny, nz] = self.size.map(|n| n as isize);
        let before = self.inside.clone();
        let empty = |cell: [isize; 3]| self.flat(cell).is_none_or(|at| !before[at]);
        let mut gone = vec![false; before.len()];
        for (at, _) in before.iter().enumerate().filter(|(_, inside)| **inside) {
            let at = at as isize;
            let home = [at / (ny * nz), at / nz % ny, at % nz];
            let near = |d: [isize; 3]| [home[0] + d[0], home[1] + d[1], home[2] + d[2]];
            let sides = [
                [1, 0, 0],
                [-1, 0, 0],
                [0, 1, 0],
                [0, -1, 0],
                [0, 0, 1],
                [0, 0, -1],
            ];
            if !sides.into_iter().any(|side| empty(near(side))) {
                continue;
            }
            // A cell of the rim: everything within reach of it goes.
            for dx in -reach..=reach {
                for dy in -reach..=reach {
                    for dz in -reach..=reach {
                        let cell = near([dx, dy, dz]);
                        if dx * dx + dy * dy + dz * dz < reach * reach
                            && (0..nx).contains(&cell[0])
                            && let Some(at) = self.flat(cell)
                        {
                            gone[at] = true;
                        }
                    }
                }
            }
        }
        for (inside, gone) in self.inside.iter_mut().zip(gone) {
            *inside &= !gone;
        }
    }

    fn flat(&self, cell: [isize; 3]) -> Option<usize> {
        let mut at = 0;
        for axis in 0..3 {
            let index = usize::try_from(cell[axis])
                .ok()
                .filter(|&i| i < self.size[axis])?;
            at = at * self.size[axis] + index;
        }
        Some(at)
    }

    /// The share of points at a distance up to `range` from a point of this region that lie in `other`, a region on the same
    /// grid, by a fixed set of directions and of at most `most` points.
    pub fn share_within(&self, other: &Self, range: f64, most: usize) -> Share {
        let cells: Vec<usize> = (0..self.inside.len())
            .filter(|&at| self.inside[at])
            .collect();
        let stride = cells.len().div_ceil(most).max(1);
        let [_, ny, nz] = self.size;
        let origins: Vec<[usize; 3]> = cells
            .iter()
            .step_by(stride)
            .map(|&at| [at / (ny * nz), at / nz % ny, at % nz])
            .collect();
        let golden = std::f64::consts::PI * (3.0 - 5f64.sqrt());
        let directions: Vec<[f64; 3]> = (0..DIRECTIONS)
            .map(|k| {
                let z = 1.0 - (2 * k + 1) as f64 / DIRECTIONS as f64;
                let (sin, cos) = (golden * k as f64).sin_cos();
                let s = (1.0 - z * z).sqrt();
                [s * cos, s * sin, z]
            })
            .collect();
        // The points are middles of cells, so a step leads from each of them to the cell at the same offset.
        let offsets = |knot: usize| {
            let r = range * knot as f64 / KNOTS as f64;
            let cell = move |d: &[f64; 3]| d.map(|d| (0.5 + r * d / self.step).floor() as isize);
            directions.iter().map(cell)
        };
        let looks = (origins.len() * DIRECTIONS).max(1) as f64;
        let table = match Padded::new(other, range) {
            Some(padded) => {
                let places: Vec<usize> = origins.iter().map(|&o| padded.place(o)).collect();
                let hits = |knot: usize| -> usize {
                    let each = offsets(knot).map(|offset| padded.hits(&places, offset));
                    each.sum()
                };
                let knots = (0..=KNOTS).into_par_iter();
                knots.map(|knot| hits(knot) as f64 / looks).collect()
            }
            None => {
                let knots = (0..=KNOTS).into_par_iter();
                let hits = |knot| {
                    offsets(knot)
                        .map(|o| other.hits(&origins, o))
                        .sum::<usize>()
                };
                knots.map(|knot| hits(knot) as f64 / looks).collect()
            }
        };
        Share { range, table }
    }

    /// How many cells lie inside at an offset from some.
    fn hits(&self, origins: &[[usize; 3]], offset: [isize; 3]) -> usize {
        let at = |o: &[usize; 3]| std::array::from_fn(|k| o[k] as isize + offset[k]);
        let inside = |o: &&[usize; 3]| self.flat(at(o)).is_some_and(|at| self.inside[at]);
        origins.iter().filter(inside).count()
    }
}

/// A region with room round its grid, so that one sum and one look tell what lies at an offset from a cell.
struct Padded {
    inside: Vec<u8>,
    row: usize,
    layer: usize,
    start: usize,
}

impl Padded {
    /// Room for offsets of up to `range` Å; `None` where that is too much to keep.
    fn new(shape: &Shape, range: f64) -> Option<Self> {
        /// A hundred times what a particle needs.
        const MOST: f64 = 2e8;
        let pad = (range / shape.step).ceil() + 1.0;
        let sides = shape.size.map(|n| n as f64 + 2.0 * pad);
        if sides.iter().product::<f64>() > MOST {
            return None;
        }
        let pad = pad as usize;
        // The margin between two rows serves the ends of both.
        let [nx, ny, nz] = shape.size;
        let (row, layer) = (nz + pad, (nz + pad) * (ny + pad));
        let start = pad * (layer + row + 1);
        let mut padded = Self {
            inside: vec![0; nx * layer + 2 * start],
            row,
            layer,
            start,
        };
        for (at, _) in shape.inside.iter().enumerate().filter(|(_, i)| **i) {
            let place = padded.place([at / (ny * nz), at / nz % ny, at % nz]);
            padded.inside[place] = 1;
        }
        Some(padded)
    }

    fn place(&self, [x, y, z]: [usize; 3]) -> usize {
        self.start + x * self.layer + y * self.row + z
    }

    fn hits(&self, places: &[usize], [x, y, z]: [isize; 3]) -> usize {
        let offset = x * self.layer as isize + y * self.row as isize + z;
        let inside = |&place: &usize| usize::from(self.inside[place.wrapping_add_signed(offset)]);
        places.iter().map(inside).sum()
    }
}

/// How likely a point at a distance from a point of one region lies in another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Share {
    range: f64,
    table: Vec<f64>,
}

impl Share {
    /// The share at a distance, Å.
    pub fn at(&self, r: f64) -> f64 {
        let at = (r / self.range * KNOTS as f64).clamp(0.0, KNOTS as f64 - 1e-9);
        let knot = at as usize;
        self.table[knot] + (at - knot as f64) * (self.table[knot + 1] - self.table[knot])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cube of atoms 2 Å apart.
    fn cube(edge: i32) -> Vec<[f64; 3]> {
        let mut points = Vec::new();
        for i in 0..edge {
            for j in 0..edge {
                for k in 0..edge {
                    points.push([i, j, k].map(|n| 2.0 * f64::from(n)));
                }
            }
        }
        points
    }

    #[test]
    fn the_room_round_the_grid_changes_no_share() {
        let points = cube(9);
        let shape = Shape::of(&points, 2.0);
        let half: Vec<[f64; 3]> = points.iter().filter(|p| p[0] < 9.0).copied().collect();
        let part = shape.part(&half, 2.0);
        assert!((part.volume / shape.volume - 5.0 / 9.0).abs() < 0.05);
        let origins: Vec<[usize; 3]> = (0..shape.size[0])
            .flat_map(|x| [[x, 4, 7], [x, 0, shape.size[2] - 1]])
            .collect();
        let range = 12.0;
        let padded = Padded::new(&part, range).unwrap();
        let places: Vec<usize> = origins.iter().map(|&o| padded.place(o)).collect();
        let reach = (range / shape.step) as isize + 1;
        for offset in [
            [0, 0, 0],
            [reach, -reach, reach],
            [-reach, 3, -reach],
            [2, reach, -5],
        ] {
            assert_eq!(padded.hits(&places, offset), part.hits(&origins, offset));
        }
        // Far too long to be given room.
        let chain: Vec<[f64; 3]> = (0..200_000).map(|i| [f64::from(i), 0.0, 0.0]).collect();
        let long = Shape::of(&chain, 1.0);
        assert!(Padded::new(&long, 60.0).is_none());
        let share = long.share_within(&long, 60.0, 500);
        assert!(share.at(0.1) > 0.5 && share.at(50.0) < 0.1);
    }

    #[test]
    fn the_share_of_a_ball_is_that_of_two_overlapping_ones() {
        let points: Vec<[f64; 3]> = cube(21)
            .into_iter()
            .map(|p| p.map(|v| v - 20.0))
            .filter(|p| p.iter().map(|v| v * v).sum::<f64>() < 400.0)
            .collect();
        let shape = Shape::of(&points, 2.0);
        let radius = (0.75 * shape.volume / std::f64::consts::PI).cbrt();
        let share = shape.share_within(&shape, 30.0, 3000);
        for r in [3.0, 10.0, 20.0, 28.0] {
            // 1 − 3x/4 + x³/16 for x = r/R.
            let x = r / radius;
            let exact = 1.0 - 0.75 * x + x.powi(3) / 16.0;
            assert!(
                (share.at(r) - exact).abs() < 0.02,
                "{r}: {} {exact}",
                share.at(r)
            );
        }
    }
}
