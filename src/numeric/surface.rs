//! Triangulated surfaces: the level set of values on tetrahedra, and distances of points to a surface.
//!
//! A tetrahedron that holds both sides of the level gives one or two triangles with corners on its edges, where linear
//! interpolation reaches the level. The nearest triangle is found in a tree of boxes, exactly.

use crate::model::geometry::distance_squared;
use rayon::prelude::*;
use std::collections::HashMap;

type Point = [f64; 3];

/// Triangles over shared vertices.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Surface {
    /// Corners, Å.
    pub vertices: Vec<Point>,
    /// Indices of three corners each; seen against the normal (from the lower values) they turn anticlockwise.
    pub triangles: Vec<[u32; 3]>,
}

fn sub(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn dot(a: Point, b: Point) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: Point, b: Point) -> Point {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

impl Surface {
    /// The surface where `values` at the `points` pass `level`, inside the given tetrahedra. Normals point to the lower
    /// values. Tetrahedra with a value that is not finite are left out.
    #[must_use]
    pub fn level_set(
        points: &[Point],
        tetrahedra: impl Iterator<Item = [u32; 4]>,
        values: &[f64],
        level: f64,
    ) -> Self {
        let mut surface = Self::default();
        let mut known: HashMap<(u32, u32), u32> = HashMap::new();
        for v in tetrahedra {
            let value = v.map(|i| values[i as usize]);
            if value.iter().any(|x| !x.is_finite()) {
                continue;
            }
            let (mut high, mut low) = (Vec::with_capacity(4), Vec::with_capacity(4));
            for (index, value) in v.iter().zip(value) {
                if value >= level { &mut high } else { &mut low }.push(*index);
            }
            let mut corner = |a: u32, b: u32| -> u32 {
                let key = (a.min(b), a.max(b));
                *known.entry(key).or_insert_with(|| {
                    let (a, b) = (key.0 as usize, key.1 as usize);
                    let t = (level - values[a]) / (values[b] - values[a]);
                    surface.vertices.push(std::array::from_fn(|k| {
                        points[a][k] + t * (points[b][k] - points[a][k])
                    }));
                    (surface.vertices.len() - 1) as u32
                })
            };
            let made: Vec<[u32; 3]> = match (high.len(), low.len()) {
                (1, 3) => vec![[0, 1, 2].map(|k| corner(high[0], low[k]))],
                (3, 1) => vec![[0, 1, 2].map(|k| corner(high[k], low[0]))],
                (2, 2) => {
                    let (a, b) = (corner(high[0], low[0]), corner(high[0], low[1]));
                    let (c, d) = (corner(high[1], low[1]), corner(high[1], low[0]));
                    vec![[a, b, c], [a, c, d]]
                }
                _ => continue,
            };
            let (from, to) = (points[high[0] as usize], points[low[0] as usize]);
            for mut t in made {
                let [a, b, c] = t.map(|i| surface.vertices[i as usize]);
                if dot(cross(sub(b, a), sub(c, a)), sub(to, from)) < 0.0 {
                    t.swap(1, 2);
                }
                surface.triangles.push(t);
            }
        }
        surface
    }

    /// Corners of a triangle.
    fn corners(&self, triangle: usize) -> [Point; 3] {
        self.triangles[triangle].map(|i| self.vertices[i as usize])
    }

    /// Area of a triangle, Å².
    fn triangle_area(&self, triangle: usize) -> f64 {
        let [a, b, c] = self.corners(triangle);
        let n = cross(sub(b, a), sub(c, a));
        0.5 * dot(n, n).sqrt()
    }

    /// Enclosed volume of a closed surface, Å³; positive where the normals point outwards.
    #[must_use]
    pub fn volume(&self) -> f64 {
        let part = |t: usize| {
            let [a, b, c] = self.corners(t);
            dot(a, cross(b, c)) / 6.0
        };
        (0..self.triangles.len()).map(part).sum()
    }

    /// The same surface with every triangle split in four at the middles of its sides.
    #[must_use]
    pub fn finer(&self) -> Self {
        let mut made = Self {
            vertices: self.vertices.clone(),
            triangles: Vec::with_capacity(4 * self.triangles.len()),
        };
        let mut known: HashMap<(u32, u32), u32> = HashMap::new();
        for &[a, b, c] in &self.triangles {
            let mut middle = |a: u32, b: u32| -> u32 {
                let (a, b) = (a.min(b), a.max(b));
                *known.entry((a, b)).or_insert_with(|| {
                    let (p, q) = (self.vertices[a as usize], self.vertices[b as usize]);
                    made.vertices
                        .push(std::array::from_fn(|k| 0.5 * (p[k] + q[k])));
                    (made.vertices.len() - 1) as u32
                })
            };
            let [ab, bc, ca] = [middle(a, b), middle(b, c), middle(c, a)];
            made.triangles
                .extend([[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]);
        }
        made
    }

    /// Unit normals at the corners: those of the triangles about each, weighted by area.
    #[must_use]
    pub fn normals(&self) -> Vec<Point> {
        let mut sums = vec![[0.0; 3]; self.vertices.len()];
        for (t, corners) in self.triangles.iter().enumerate() {
            let [a, b, c] = self.corners(t);
            let n = cross(sub(b, a), sub(c, a));
            for &i in corners {
                (0..3).for_each(|k| sums[i as usize][k] += n[k]);
            }
        }
        for n in &mut sums {
            let length = dot(*n, *n).sqrt();
            if length > 0.0 {
                *n = n.map(|v| v / length);
            }
        }
        sums
    }

    /// Moves every corner half way to the mean of its neighbours, `rounds` times, then swells the surface about its middle to
    /// the volume that it had; corners that no triangle has are taken away.
    pub fn smooth(&mut self, rounds: usize) {
        let mut name = vec![u32::MAX; self.vertices.len()];
        let mut vertices = Vec::new();
        for corner in self.triangles.iter_mut().flatten() {
            let place = &mut name[*corner as usize];
            if *place == u32::MAX {
                *place = vertices.len() as u32;
                vertices.push(self.vertices[*corner as usize]);
            }
            *corner = *place;
        }
        self.vertices = vertices;
        let before = self.volume();
        for _ in 0..rounds {
            let mut sums = vec![([0.0; 3], 0.0); self.vertices.len()];
            for t in &self.triangles {
                for k in 0..3 {
                    let (own, next) = (t[k] as usize, t[(k + 1) % 3] as usize);
                    for (at, other) in [(own, next), (next, own)] {
                        (0..3).for_each(|x| sums[at].0[x] += self.vertices[other][x]);
                        sums[at].1 += 1.0;
                    }
                }
            }
            for (place, (sum, n)) in self.vertices.iter_mut().zip(sums) {
                for x in 0..3 {
                    place[x] += 0.5 * (sum[x] / n - place[x]);
                }
            }
        }
        let (n, grown) = (self.vertices.len() as f64, (before / self.volume()).cbrt());
        if rounds > 0 && grown.is_finite() {
            let middle: Point =
                std::array::from_fn(|k| self.vertices.iter().map(|p| p[k]).sum::<f64>() / n);
            for place in &mut self.vertices {
                *place = std::array::from_fn(|k| middle[k] + grown * (place[k] - middle[k]));
            }
        }
    }

    /// Total area, Å².
    #[must_use]
    pub fn area(&self) -> f64 {
        (0..self.triangles.len())
            .map(|t| self.triangle_area(t))
            .sum()
    }

    /// Only the connected parts whose area is at least `share` of the largest part's.
    #[must_use]
    pub fn main_parts(&self, share: f64) -> Self {
        let mut parent: Vec<u32> = (0..self.vertices.len() as u32).collect();
        for t in &self.triangles {
            for k in 1..3 {
                let (a, b) = (root(&mut parent, t[0]), root(&mut parent, t[k]));
                parent[a.max(b) as usize] = a.min(b);
            }
        }
        let part: Vec<u32> = self
            .triangles
            .iter()
            .map(|t| root(&mut parent, t[0]))
            .collect();
        let mut area = vec![0.0; self.vertices.len()];
        for (t, &part) in part.iter().enumerate() {
            area[part as usize] += self.triangle_area(t);
        }
        let limit = share * area.iter().copied().fold(0.0, f64::max);
        Self {
            vertices: self.vertices.clone(),
            triangles: (0..part.len())
                .filter(|&t| area[part[t] as usize] >= limit)
                .map(|t| self.triangles[t])
                .collect(),
        }
    }
}

/// Representative of a set, with the path to it halved.
pub(crate) fn root(parent: &mut [u32], mut of: u32) -> u32 {
    while parent[of as usize] != of {
        parent[of as usize] = parent[parent[of as usize] as usize];
        of = parent[of as usize];
    }
    of
}

/// Triangles a leaf holds at most.
const LEAF: usize = 4;

struct Node {
    low: Point,
    high: Point,
    /// Range of triangles below this node.
    start: u32,
    end: u32,
    /// The second child (the first follows its parent); 0 in a leaf.
    second: u32,
}

/// A surface with a tree of boxes over its triangles, for distances.
pub struct SurfaceTree {
    /// Corners of the triangles in the tree's order.
    corners: Vec<[Point; 3]>,
    nodes: Vec<Node>,
}

impl SurfaceTree {
    /// Builds the tree; O(n log n).
    #[must_use]
    pub fn new(surface: &Surface) -> Self {
        let mut order: Vec<u32> = (0..surface.triangles.len() as u32).collect();
        let mut tree = Self {
            corners: Vec::new(),
            nodes: Vec::with_capacity(surface.triangles.len()),
        };
        let middles: Vec<Point> = (0..surface.triangles.len())
            .map(|t| {
                let [a, b, c] = surface.corners(t);
                std::array::from_fn(|k| (a[k] + b[k] + c[k]) / 3.0)
            })
            .collect();
        if !middles.is_empty() {
            tree.split(0, &mut order, surface, &middles);
        }
        tree.corners = order.iter().map(|&t| surface.corners(t as usize)).collect();
        tree
    }

    fn split(&mut self, start: usize, order: &mut [u32], surface: &Surface, middles: &[Point]) {
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for &t in order.iter() {
            for corner in surface.corners(t as usize) {
                for k in 0..3 {
                    low[k] = low[k].min(corner[k]);
                    high[k] = high[k].max(corner[k]);
                }
            }
        }
        let own = self.nodes.len();
        self.nodes.push(Node {
            low,
            high,
            start: start as u32,
            end: (start + order.len()) as u32,
            second: 0,
        });
        if order.len() <= LEAF {
            return;
        }
        let extent = sub(high, low);
        let axis = (0..3)
            .max_by(|&a, &b| extent[a].total_cmp(&extent[b]))
            .unwrap_or(0);
        let half = order.len() / 2;
        order.select_nth_unstable_by(half, |&a, &b| {
            middles[a as usize][axis]
                .total_cmp(&middles[b as usize][axis])
                .then(a.cmp(&b))
        });
        let (first, second) = order.split_at_mut(half);
        self.split(start, first, surface, middles);
        self.nodes[own].second = self.nodes.len() as u32;
        self.split(start + half, second, surface, middles);
    }

    /// Distance to the surface, Å; infinite for an empty surface.
    #[must_use]
    pub fn distance(&self, point: Point) -> f64 {
        self.distance_below(point, f64::INFINITY, 0.0)
    }

    /// Distances of many points, to a relative `tolerance` (too large by at most that; 0 is exact): faster than one by one,
    /// since a near point's distance limits the search.
    #[must_use]
    pub fn distances(&self, points: &[Point], tolerance: f64) -> Vec<f64> {
        const CELL: f64 = 4.0;
        let mut order: Vec<([i64; 3], usize)> = points
            .iter()
            .enumerate()
            .map(|(i, p)| (p.map(|v| (v / CELL).floor() as i64), i))
            .collect();
        order.sort_unstable();
        let found: Vec<(usize, f64)> = order
            .par_chunks(256)
            .flat_map_iter(|chunk| {
                let mut last: Option<(Point, f64)> = None;
                chunk.iter().map(move |&(_, i)| {
                    let limit = last.map_or(f64::INFINITY, |(p, d)| {
                        d + distance_squared(p, points[i]).sqrt()
                    });
                    let distance = self.distance_below(points[i], limit, tolerance);
                    last = Some((points[i], distance));
                    (i, distance)
                })
            })
            .collect();
        let mut distances = vec![f64::INFINITY; points.len()];
        for (i, distance) in found {
            distances[i] = distance;
        }
        distances
    }

    /// Distance to the surface, which is known to be at most `limit`.
    fn distance_below(&self, point: Point, limit: f64, tolerance: f64) -> f64 {
        // A little more than the limit, so that rounding excludes nothing.
        let mut best = (limit * (1.0 + 1e-9) + 1e-9).powi(2);
        if self.nodes.is_empty() {
            return f64::INFINITY;
        }
        let mut todo = vec![(0u32, self.box_distance(0, point))];
        while let Some((node, lower_bound)) = todo.pop() {
            if lower_bound * (1.0 + tolerance).powi(2) >= best {
                continue;
            }
            let at = &self.nodes[node as usize];
            if at.second == 0 {
                for corners in &self.corners[at.start as usize..at.end as usize] {
                    let near = nearest_in_triangle(point, *corners);
                    best = best.min(distance_squared(point, near));
                }
                continue;
            }
            let (a, b) = (node + 1, at.second);
            let (da, db) = (self.box_distance(a, point), self.box_distance(b, point));
            // The nearer box is looked at first: it is pushed last.
            if da < db {
                todo.extend([(b, db), (a, da)]);
            } else {
                todo.extend([(a, da), (b, db)]);
            }
        }
        best.sqrt()
    }

    /// Squared distance to a node's box.
    fn box_distance(&self, node: u32, point: Point) -> f64 {
        let node = &self.nodes[node as usize];
        (0..3)
            .map(|k| {
                let outside = (node.low[k] - point[k])
                    .max(point[k] - node.high[k])
                    .max(0.0);
                outside * outside
            })
            .sum()
    }
}

/// The point of a triangle nearest to `p`, by the region of its plane in which `p` lies.
fn nearest_in_triangle(p: Point, [a, b, c]: [Point; 3]) -> Point {
    let (ab, ac, ap) = (sub(b, a), sub(c, a), sub(p, a));
    let along = |from: Point, by: Point, t: f64| std::array::from_fn(|k| from[k] + t * by[k]);
    let (d1, d2) = (dot(ab, ap), dot(ac, ap));
    if d1 <= 0.0 && d2 <= 0.0 {
        return a;
    }
    let bp = sub(p, b);
    let (d3, d4) = (dot(ab, bp), dot(ac, bp));
    if d3 >= 0.0 && d4 <= d3 {
        return b;
    }
    let vc = d1 * d4 - d3 * d2;
    if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 {
        return along(a, ab, d1 / (d1 - d3));
    }
    let cp = sub(p, c);
    let (d5, d6) = (dot(ab, cp), dot(ac, cp));
    if d6 >= 0.0 && d5 <= d6 {
        return c;
    }
    let vb = d5 * d2 - d1 * d6;
    if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 {
        return along(a, ac, d2 / (d2 - d6));
    }
    let va = d3 * d6 - d5 * d4;
    if va <= 0.0 && d4 >= d3 && d5 >= d6 {
        return along(b, sub(c, b), (d4 - d3) / ((d4 - d3) + (d5 - d6)));
    }
    let total = va + vb + vc;
    if total <= 0.0 {
        // A triangle without area: its corners stand for it.
        return a;
    }
    along(along(a, ab, vb / total), ac, vc / total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::tessellation::delaunay;

    /// Scattered points in a ball of radius 10.
    fn scattered(n: usize) -> Vec<Point> {
        let mut state = 11u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64 * 20.0 - 10.0
        };
        let mut points = Vec::new();
        while points.len() < n {
            let p = [next(), next(), next()];
            if dot(p, p) < 100.0 {
                points.push(p);
            }
        }
        points
    }

    #[test]
    fn the_level_set_of_a_linear_function_is_its_plane() {
        let points = scattered(400);
        let mesh = delaunay(&points).unwrap();
        let values: Vec<f64> = points.iter().map(|p| 0.6 * p[0] + 0.8 * p[2]).collect();
        let surface = Surface::level_set(&points, mesh.tetrahedra.iter().copied(), &values, 2.0);
        assert!(surface.triangles.len() > 100);
        for v in &surface.vertices {
            assert!((0.6 * v[0] + 0.8 * v[2] - 2.0).abs() < 1e-12);
        }
        // A disc of radius √(10² − 2²), less what the hull of the points cuts off.
        let disc = std::f64::consts::PI * 96.0;
        assert!(
            surface.area() < disc && surface.area() > 0.8 * disc,
            "{}",
            surface.area()
        );
        for t in 0..surface.triangles.len() {
            let [a, b, c] = surface.corners(t);
            assert!(dot(cross(sub(b, a), sub(c, a)), [0.6, 0.0, 0.8]) <= 1e-12);
        }
    }

    #[test]
    fn the_tree_finds_the_distance_that_trying_all_triangles_finds() {
        let points = scattered(300);
        let mesh = delaunay(&points).unwrap();
        let values: Vec<f64> = points.iter().map(|p| dot(*p, *p).sqrt()).collect();
        let surface = Surface::level_set(&points, mesh.tetrahedra.iter().copied(), &values, 6.0);
        let tree = SurfaceTree::new(&surface);
        for &p in points.iter().step_by(7) {
            let slow = (0..surface.triangles.len())
                .map(|t| distance_squared(p, nearest_in_triangle(p, surface.corners(t))))
                .fold(f64::INFINITY, f64::min)
                .sqrt();
            assert_eq!(tree.distance(p), slow);
        }
        let (many, rough) = (tree.distances(&points, 0.0), tree.distances(&points, 0.05));
        for ((p, found), rough) in points.iter().zip(many).zip(rough) {
            assert_eq!(found, tree.distance(*p));
            assert!(rough >= found && rough <= 1.05 * found + 1e-12);
        }
        assert!(
            SurfaceTree::new(&Surface::default())
                .distance([0.0; 3])
                .is_infinite()
        );
    }

    #[test]
    fn the_nearest_point_of_a_triangle_is_nearer_than_any_of_a_fine_grid() {
        let triangle = [[0.0, 0.0, 0.0], [3.0, 0.2, 0.1], [0.7, 2.0, -0.4]];
        for p in scattered(60) {
            let p = p.map(|v| 0.4 * v);
            let near = nearest_in_triangle(p, triangle);
            let mut grid = f64::INFINITY;
            for i in 0..=100 {
                for j in 0..=100 - i {
                    let (s, t) = (f64::from(i) / 100.0, f64::from(j) / 100.0);
                    let q = std::array::from_fn(|k| s * triangle[1][k] + t * triangle[2][k]);
                    grid = grid.min(distance_squared(p, q));
                }
            }
            let found = distance_squared(p, near);
            assert!(found <= grid + 1e-12 && grid.sqrt() - found.sqrt() < 0.02);
        }
    }

    #[test]
    fn small_parts_are_left_out_by_their_area() {
        let mut surface = Surface::default();
        for (shift, size) in [(0.0, 4.0), (20.0, 1.0)] {
            let first = surface.vertices.len() as u32;
            for k in 0..3 {
                let mut p = [shift; 3];
                p[k] += size;
                surface.vertices.push(p);
            }
            surface.triangles.push([first, first + 1, first + 2]);
        }
        assert_eq!(surface.main_parts(0.1).triangles, [[0, 1, 2]]);
        assert_eq!(surface.main_parts(0.05).triangles.len(), 2);
    }
}
