//! Layer by layer through a core-shell particle: morphological peeling on a grid of voxels (Li et al., Pd@Pt, Figure 2).
//!
//! The particle `T` is the alpha shape of all atoms (twice the radius at which it becomes one region with all atoms),
//! dilated by 3 voxels. A start shape `S` inside it is eroded and dilated (within `T`) by 3 voxels at a time, with a cube as
//! structuring element; the atoms that fall out, or come in, at each turn are a layer. Voxels are bits, 64 to a word, and
//! their centres lie at whole multiples of the voxel.

use crate::numeric::surface::root;
use crate::numeric::tessellation::{Delaunay, circumsphere, delaunay};
use rayon::prelude::*;

type Point = [f64; 3];

/// Voxels of the particle's outer margin, and between its surface and the grid's end.
const MARGIN: usize = 3;
/// Voxels of one layer.
const STEP: usize = 3;
/// Voxels between the clean atoms and the start shape.
const START: usize = 2;

/// The shape the peeling starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Core atoms with 12 core neighbours, dilated by 2 voxels.
    CleanCore,
    /// All but the shell atoms with 12 shell neighbours, eroded by 2 voxels.
    CleanShell,
    /// The whole particle.
    Surface,
}

impl Start {
    /// Its name in the output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CleanCore => "clean_core",
            Self::CleanShell => "clean_shell",
            Self::Surface => "surface",
        }
    }
}

/// A box of voxels, one bit each; z runs along the words.
#[derive(Clone, PartialEq)]
struct Bits {
    size: [usize; 3],
    words: usize,
    bits: Vec<u64>,
}

impl Bits {
    fn new(size: [usize; 3]) -> Self {
        // At least 3 unused bits end a line: a shift by less never reaches the next.
        let words = (size[2] + 3).div_ceil(64);
        Self {
            size,
            words,
            bits: vec![0; size[0] * size[1] * words],
        }
    }

    fn get(&self, [x, y, z]: [usize; 3]) -> bool {
        self.bits[(x * self.size[1] + y) * self.words + z / 64] >> (z % 64) & 1 == 1
    }

    fn and(mut self, other: &Self) -> Self {
        self.bits
            .iter_mut()
            .zip(&other.bits)
            .for_each(|(a, b)| *a &= b);
        self
    }

    /// Dilated by a cube of edge 2 `radius` + 1.
    fn dilated(&self, radius: usize) -> Self {
        self.spread(radius, 0)
    }

    /// Eroded by a cube of edge 2 `radius` + 1: its complement dilated. Outside the grid is no complement.
    fn eroded(&self, radius: usize) -> Self {
        self.spread(radius, !0)
    }

    /// Spreads the bits that differ from `flip` by `radius` along z, y and x in turn.
    fn spread(&self, radius: usize, flip: u64) -> Self {
        let (words, row) = (self.words, self.size[1] * self.words);
        // Bits beyond the end of a line stay zero, so that a plane can be shifted as one long word.
        let unused = 64 * words - self.size[2];
        let clean = |plane: &mut [u64]| {
            for last in plane.iter_mut().skip(words - 1).step_by(words) {
                *last &= !0 >> unused;
            }
        };
        let mut flat = vec![0; self.bits.len()];
        flat.par_chunks_mut(row)
            .zip(self.bits.par_chunks(row))
            .for_each(|(to, from)| {
                let mut own: Vec<u64> = from.iter().map(|word| word ^ flip).collect();
                clean(&mut own);
                let mut line = own.clone();
                for shift in 1..=radius {
                    for (to, from) in line.iter_mut().zip(&own) {
                        *to |= from << shift | from >> shift;
                    }
                    for (to, from) in line[1..].iter_mut().zip(&own) {
                        *to |= from >> (64 - shift);
                    }
                    for (to, from) in line.iter_mut().zip(&own[1..]) {
                        *to |= from << (64 - shift);
                    }
                }
                clean(&mut line);
                to.copy_from_slice(&line);
                for by in (1..=radius).map(|shift| (shift * words).min(row)) {
                    to[by..]
                        .iter_mut()
                        .zip(&line)
                        .for_each(|(to, from)| *to |= from);
                    to.iter_mut()
                        .zip(&line[by..])
                        .for_each(|(to, from)| *to |= from);
                }
            });
        let mut out = flat.clone();
        out.par_chunks_mut(row).enumerate().for_each(|(x, plane)| {
            for other in x.saturating_sub(radius)..(x + radius + 1).min(self.size[0]) {
                let from = &flat[other * row..(other + 1) * row];
                plane
                    .iter_mut()
                    .zip(from)
                    .for_each(|(to, from)| *to |= from);
            }
            plane.iter_mut().for_each(|word| *word ^= flip);
            clean(plane);
        });
        Self { bits: out, ..*self }
    }
}

/// A grid whose voxel (0, 0, 0) lies at `first` whole voxels from the origin.
struct Grid {
    voxel: f64,
    first: [i64; 3],
    size: [usize; 3],
}

impl Grid {
    fn around(positions: &[Point], voxel: f64) -> Self {
        let margin = (2 * MARGIN + 2) as i64;
        let mut first = [0; 3];
        let mut size = [0; 3];
        for k in 0..3 {
            let ends = positions
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |e, p| {
                    (e.0.min(p[k]), e.1.max(p[k]))
                });
            first[k] = (ends.0 / voxel).round() as i64 - margin;
            size[k] = ((ends.1 / voxel).round() as i64 + margin - first[k] + 1) as usize;
        }
        Self { voxel, first, size }
    }

    /// Voxel of a point inside the grid.
    fn voxel_of(&self, point: Point) -> [usize; 3] {
        std::array::from_fn(|k| ((point[k] / self.voxel).round() as i64 - self.first[k]) as usize)
    }

    /// The voxels inside a closed surface (triangles of `points`): along z, each triangle turns inside to outside.
    fn filled(&self, points: &[Point], triangles: &[[u32; 3]]) -> Bits {
        let mut out = Bits::new(self.size);
        // In voxels of this grid.
        let place = |i: u32| -> Point {
            std::array::from_fn(|k| points[i as usize][k] / self.voxel - self.first[k] as f64)
        };
        for t in triangles {
            let p = t.map(place);
            let range = |k: usize| {
                let low = p.iter().map(|q| q[k]).fold(f64::INFINITY, f64::min);
                let high = p.iter().map(|q| q[k]).fold(f64::NEG_INFINITY, f64::max);
                low.ceil().max(0.0) as usize
                    ..(high.floor() + 1.0).clamp(0.0, self.size[k] as f64) as usize
            };
            for x in range(0) {
                for y in range(1) {
                    let Some(z) = crossing(t, &p, [x as f64, y as f64]) else {
                        continue;
                    };
                    let z = z.ceil().clamp(0.0, self.size[2] as f64) as usize;
                    let line = (x * self.size[1] + y) * out.words;
                    let line = &mut out.bits[line..line + out.words];
                    if let Some(word) = line.get_mut(z / 64) {
                        *word ^= !0 << (z % 64);
                        line[z / 64 + 1..].iter_mut().for_each(|word| *word ^= !0);
                    }
                }
            }
        }
        out
    }
}

/// Height at which the vertical line through `at` passes a triangle. A line through an edge is moved by an infinitesimal
/// (ε, ε²), and each edge is always looked at in the same direction, so that neighbours never both claim or refuse it.
fn crossing(names: &[u32; 3], p: &[Point; 3], at: [f64; 2]) -> Option<f64> {
    let side = |a: usize, b: usize| {
        let turned = names[a] > names[b];
        let (from, to) = if turned { (p[b], p[a]) } else { (p[a], p[b]) };
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let area = dx * (at[1] - from[1]) - dy * (at[0] - from[0]);
        let left = [area, -dy, dx]
            .into_iter()
            .find(|v| *v != 0.0)
            .unwrap_or(0.0)
            > 0.0;
        (left != turned, if turned { -area } else { area })
    };
    let (a, b, c) = (side(1, 2), side(2, 0), side(0, 1));
    if a.0 != b.0 || b.0 != c.0 {
        return None;
    }
    let total = a.1 + b.1 + c.1;
    (total != 0.0).then(|| (a.1 * p[0][2] + b.1 * p[1][2] + c.1 * p[2][2]) / total)
}

/// Boundary facets of the tetrahedra with a circumradius of at most twice that at which they become one connected region
/// that touches every point (MATLAB's one-region critical alpha); `None` without tetrahedra.
fn shape(points: &[Point], mesh: &Delaunay, radius: &[f64]) -> Option<Vec<[u32; 3]>> {
    let alpha = 2.0 * critical_radius(points.len(), mesh, radius)?;
    let inside = |tet: usize| radius[tet] <= alpha;
    let mut facets = Vec::new();
    for (tet, v) in mesh
        .tetrahedra
        .iter()
        .enumerate()
        .filter(|(t, _)| inside(*t))
    {
        for (facet, next) in mesh.neighbors[tet].iter().enumerate() {
            if next.is_none_or(|next| !inside(next as usize)) {
                let mut corners = [0; 3];
                let others = (0..4).filter(|&k| k != facet);
                corners.iter_mut().zip(others).for_each(|(c, k)| *c = v[k]);
                facets.push(corners);
            }
        }
    }
    Some(facets)
}

/// Smallest circumradius up to which the tetrahedra form one region (over shared facets) with every point on it.
fn critical_radius(points: usize, mesh: &Delaunay, radius: &[f64]) -> Option<f64> {
    let mut order: Vec<u32> = (0..radius.len() as u32).collect();
    order.sort_by(|&a, &b| radius[a as usize].total_cmp(&radius[b as usize]));
    let mut parent: Vec<u32> = (0..radius.len() as u32).collect();
    let mut inside = vec![false; radius.len()];
    let mut touched = vec![false; points];
    let (mut regions, mut missing) = (0usize, points - mesh.duplicates);
    for tet in order {
        inside[tet as usize] = true;
        regions += 1;
        for &v in &mesh.tetrahedra[tet as usize] {
            missing -= usize::from(!std::mem::replace(&mut touched[v as usize], true));
        }
        for next in mesh.neighbors[tet as usize].iter().flatten() {
            if inside[*next as usize] {
                let (a, b) = (root(&mut parent, tet), root(&mut parent, *next));
                regions -= usize::from(a != b);
                parent[a.max(b) as usize] = a.min(b);
            }
        }
        if missing == 0 && regions == 1 {
            return Some(radius[tet as usize]);
        }
    }
    None
}

/// Alpha shape of some points, tessellated for it.
fn shape_of(points: &[Point]) -> Option<Vec<[u32; 3]>> {
    let mesh = delaunay(points)?;
    let radius: Vec<f64> = mesh
        .tetrahedra
        .par_iter()
        .map(|v| circumsphere(v.map(|i| points[i as usize])).1)
        .collect();
    shape(points, &mesh, &radius)
}

/// A particle ready to be peeled.
pub struct Peeler<'a> {
    positions: &'a [Point],
    grid: Grid,
    particle: Bits,
}

impl<'a> Peeler<'a> {
    /// Voxels of a third of `layer`, Å; `mesh` and `radius` are the tessellation of all positions and its circumradii.
    /// `None` where the grid would be too large (more than 4 · 10⁸ voxels) or the atoms form no body.
    #[must_use]
    pub fn new(
        positions: &'a [Point],
        mesh: &Delaunay,
        radius: &[f64],
        layer: f64,
    ) -> Option<Self> {
        let grid = Grid::around(positions, layer / STEP as f64);
        if grid.size.iter().map(|&n| n as f64).product::<f64>() > 4e8 {
            return None;
        }
        let facets = shape(positions, mesh, radius)?;
        let particle = grid.filled(positions, &facets).dilated(MARGIN);
        Some(Self {
            positions,
            grid,
            particle,
        })
    }

    /// Number of the layer of each atom, 0 the innermost; `None` for atoms no layer reaches. `chosen` are the clean core
    /// atoms, or all but the clean shell atoms. `None` where these form no body.
    #[must_use]
    pub fn peel(&self, start: Start, chosen: &[Point]) -> Option<Vec<Option<usize>>> {
        let fill = || Some(self.grid.filled(chosen, &shape_of(chosen)?));
        let first = match start {
            Start::CleanCore => fill()?.dilated(START).and(&self.particle),
            Start::CleanShell => fill()?.eroded(START).and(&self.particle),
            Start::Surface => self.particle.clone(),
        };
        let voxels: Vec<[usize; 3]> = self
            .positions
            .iter()
            .map(|p| self.grid.voxel_of(*p))
            .collect();
        // Turns inwards are negative: the atoms of turn −k are in the shape eroded k times, not k + 1 times.
        let mut turn: Vec<Option<i64>> =
            voxels.iter().map(|v| first.get(*v).then_some(0)).collect();
        let mut now = first.clone();
        for inner in 1.. {
            now = now.eroded(STEP);
            if now.bits.iter().all(|word| *word == 0) {
                break;
            }
            for (turn, voxel) in turn.iter_mut().zip(&voxels) {
                if *turn == Some(1 - inner) && now.get(*voxel) {
                    *turn = Some(-inner);
                }
            }
        }
        now = first;
        for outer in 1.. {
            let next = now.dilated(STEP).and(&self.particle);
            if next == now {
                break;
            }
            now = next;
            for (turn, voxel) in turn.iter_mut().zip(&voxels) {
                if turn.is_none() && now.get(*voxel) {
                    *turn = Some(outer);
                }
            }
        }
        let innermost = turn.iter().flatten().min().copied()?;
        Some(
            turn.into_iter()
                .map(|t| t.map(|t| (t - innermost) as usize))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cubic(n: i32, a: f64) -> Vec<Point> {
        let mut points = Vec::new();
        for i in -n..=n {
            for j in -n..=n {
                for k in -n..=n {
                    points.push([i, j, k].map(|v| f64::from(v) * a));
                }
            }
        }
        points
    }

    #[test]
    fn dilation_is_the_cube_and_erosion_its_complement() {
        let mut bits = Bits::new([9, 10, 140]);
        for [x, y, z] in [[4, 5, 63], [0, 0, 0], [8, 9, 139]] {
            bits.bits[(x * 10 + y) * bits.words + z / 64] |= 1 << (z % 64);
        }
        let wide = bits.dilated(3);
        for x in 0..9usize {
            for y in 0..10usize {
                for z in 0..140usize {
                    let near = [[4, 5, 63], [0, 0, 0], [8, 9, 139]]
                        .iter()
                        .any(|c: &[usize; 3]| {
                            c[0].abs_diff(x).max(c[1].abs_diff(y)).max(c[2].abs_diff(z)) <= 3
                        });
                    assert_eq!(wide.get([x, y, z]), near, "{x} {y} {z}");
                }
            }
        }
        assert!(wide.eroded(3).get([4, 5, 63]) && !wide.eroded(3).get([4, 5, 64]));
    }

    #[test]
    fn a_closed_surface_is_filled_to_its_volume_on_degenerate_columns_too() {
        // A cube of whole voxels: every column through an edge of a facet is a tie.
        let points = cubic(3, 2.0);
        let facets = shape_of(&points).unwrap();
        let grid = Grid::around(&points, 1.0);
        let bits = grid.filled(&points, &facets);
        let filled: u32 = bits.bits.iter().map(|w| w.count_ones()).sum();
        // Half-open in each direction: 12 voxels, as a cube of edge 12 holds.
        assert_eq!(filled, 12 * 12 * 12);
    }

    #[test]
    fn layers_of_a_cube_are_the_shells_of_its_lattice() {
        // Layers about as thick as the lattice planes (a little thicker, so that no plane lies on a voxel's rim): the k-th
        // shell of a cubic block is the k-th layer.
        let points = cubic(5, 1.48);
        let mesh = delaunay(&points).unwrap();
        let radius: Vec<f64> = mesh
            .tetrahedra
            .iter()
            .map(|v| circumsphere(v.map(|i| points[i as usize])).1)
            .collect();
        let peeler = Peeler::new(&points, &mesh, &radius, 1.5).unwrap();
        let layer = peeler.peel(Start::Surface, &[]).unwrap();
        for (p, layer) in points.iter().zip(&layer) {
            let shell = p
                .iter()
                .map(|v| (v / 1.48).abs().round() as usize)
                .max()
                .unwrap();
            assert_eq!(*layer, Some(shell), "{p:?}");
        }
        let core: Vec<Point> = points
            .iter()
            .filter(|p| p.iter().all(|v| v.abs() < 2.0))
            .copied()
            .collect();
        let from_core = peeler.peel(Start::CleanCore, &core).unwrap();
        for (p, layer) in points.iter().zip(&from_core) {
            let shell = p
                .iter()
                .map(|v| (v / 1.48).abs().round() as usize)
                .max()
                .unwrap();
            assert_eq!(*layer, Some(shell), "{p:?}");
        }
        assert!(peeler.peel(Start::CleanCore, &core[..3]).is_none());
    }
}
