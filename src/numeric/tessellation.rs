//! Delaunay tetrahedra of points in space, and the volumes of their Voronoi cells.
//!
//! Incremental insertion (Bowyer–Watson) with exact predicates. Cospherical points, the rule in crystals, are decided by
//! a symbolic perturbation (Devillers & Teillaud), so the result is a true triangulation without flat tetrahedra for
//! perfect lattices too. The hull is closed by ghost tetrahedra that share one vertex at infinity. Points are inserted in
//! a biased random order, each round along a space-filling curve; the order is fixed, hence so is the result.

use robust::{Coord3D, insphere, orient3d};

/// The vertex at infinity.
const GHOST: u32 = u32::MAX;
const NONE: u32 = u32::MAX;

type Point = [f64; 3];

fn coord(p: Point) -> Coord3D<f64> {
    Coord3D {
        x: p[0],
        y: p[1],
        z: p[2],
    }
}

/// Delaunay tetrahedra.
#[derive(Debug, Clone, Default)]
pub struct Delaunay {
    /// Vertex indices of each finite tetrahedron, positively oriented.
    pub tetrahedra: Vec<[u32; 4]>,
    /// The tetrahedron across the facet opposite each vertex; `None` outside the hull.
    pub neighbors: Vec<[Option<u32>; 4]>,
    /// Points that were left out because they equal an earlier one.
    pub duplicates: usize,
}

/// The facet opposite each corner of a positively oriented tetrahedron: its corners anticlockwise seen from outside.
pub const FACETS: [[usize; 3]; 4] = [[1, 3, 2], [0, 2, 3], [0, 3, 1], [0, 1, 2]];

/// Sign of `orient3d` from rounded numbers where rounding cannot change it: the error of the determinant is below 5.2e-15 times
/// the product of the largest differences on each axis (Burnikel, Funke & Seel 2001; twice that is asked for).
#[inline(always)]
fn orient([a, b, c, d]: [Point; 4]) -> f64 {
    let (u, v, w) = (sub(a, d), sub(b, d), sub(c, d));
    let largest = |k: usize| u[k].abs().max(v[k].abs()).max(w[k].abs());
    let size = largest(0) * largest(1) * largest(2);
    let det = determinant(u, v, w);
    // Products of numbers this small would lose digits to underflow; NaN fails, too.
    if det.abs() > 1.1e-14 * size && size > 1e-250 {
        return det;
    }
    orient3d(coord(a), coord(b), coord(c), coord(d))
}

/// As [`orient`] for `insphere`: its error is below 1.25e-13 times the product of the largest differences on each axis and the
/// square of the largest.
#[inline(always)]
fn in_sphere(v: [Point; 4], p: Point) -> f64 {
    let [a, b, c, d] = v.map(|q| sub(q, p));
    let largest = |k: usize| a[k].abs().max(b[k].abs()).max(c[k].abs().max(d[k].abs()));
    let most = [largest(0), largest(1), largest(2)];
    let reach = most[0].max(most[1]).max(most[2]);
    let size = most[0] * most[1] * most[2] * reach * reach;
    let minor = |p: &Point, q: &Point| p[0] * q[1] - q[0] * p[1];
    let (ab, bc, cd) = (minor(&a, &b), minor(&b, &c), minor(&c, &d));
    let (da, ac, bd) = (minor(&d, &a), minor(&a, &c), minor(&b, &d));
    let abc = a[2] * bc - b[2] * ac + c[2] * ab;
    let bcd = b[2] * cd - c[2] * bd + d[2] * bc;
    let cda = c[2] * da + d[2] * ac + a[2] * cd;
    let dab = d[2] * ab + a[2] * bd + b[2] * da;
    let det = (dot(d, d) * abc - dot(c, c) * dab) + (dot(b, b) * cda - dot(a, a) * bcd);
    if det.abs() > 2.5e-13 * size && size > 1e-250 {
        return det;
    }
    let q = v.map(coord);
    insphere(q[0], q[1], q[2], q[3], coord(p))
}

/// Edges of a cavity's rim that wait for their second triangle: open addressing, emptied by a new stamp.
#[derive(Default)]
struct Edges {
    slots: Vec<Edge>,
}

#[derive(Clone, Copy, Default)]
struct Edge {
    key: u64,
    stamp: u32,
    tet: u32,
    side: u32,
}

impl Edges {
    /// Makes room for `edges` of them.
    fn reserve(&mut self, edges: usize) {
        let wanted = (2 * edges).next_power_of_two().max(256);
        if self.slots.len() < wanted {
            self.slots = vec![Edge::default(); wanted];
        }
    }

    /// The triangle that came with this edge before, or remembers this one.
    fn meet(&mut self, a: u32, b: u32, stamp: u32, tet: u32, side: u32) -> Option<(u32, u32)> {
        let key = u64::from(a.min(b)) << 32 | u64::from(a.max(b));
        let mask = self.slots.len() - 1;
        let mut at = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask;
        loop {
            let slot = &mut self.slots[at];
            if slot.stamp != stamp {
                *slot = Edge {
                    key,
                    stamp,
                    tet,
                    side,
                };
                return None;
            }
            if slot.key == key {
                return Some((slot.tet, slot.side));
            }
            at = (at + 1) & mask;
        }
    }
}

/// What an insertion needs for itself.
#[derive(Default)]
struct Scratch {
    /// Tetrahedra in conflict.
    cavity: Vec<u32>,
    /// Facets of the cavity: its tetrahedron, which facet, and what lies beyond.
    rim: Vec<(u32, u32, u32)>,
    edges: Edges,
}

struct Builder<'a> {
    points: &'a [Point],
    tets: Vec<[u32; 4]>,
    adjacent: Vec<[u32; 4]>,
    /// Slots of deleted tetrahedra.
    free: Vec<u32>,
    /// Stamp of the insertion that found a tetrahedron in conflict.
    stamp: Vec<u32>,
    now: u32,
    last: u32,
}

impl Builder<'_> {
    fn orient(&self, v: [u32; 4]) -> f64 {
        orient(v.map(|i| self.points[i as usize]))
    }

    /// Whether point `p` lies inside the (perturbed) circumsphere of a tetrahedron, or beyond a ghost's facet.
    fn in_conflict(&self, tet: u32, p: u32) -> bool {
        let v = self.tets[tet as usize];
        if let Some(ghost) = v.iter().position(|&i| i == GHOST) {
            let mut with = v;
            with[ghost] = p;
            let side = self.orient(with);
            // In the facet's plane its circumcircle decides, which is the circumsphere of the tetrahedron behind.
            return side > 0.0
                || (side == 0.0 && self.in_conflict(self.adjacent[tet as usize][ghost], p));
        }
        let corners = v.map(|i| self.points[i as usize]);
        let side = in_sphere(corners, self.points[p as usize]);
        if side == 0.0 {
            self.perturbed(v, p)
        } else {
            side > 0.0
        }
    }

    /// Five cospherical points: the lexicographically largest is lifted most.
    fn perturbed(&self, v: [u32; 4], p: u32) -> bool {
        let mut order = [v[0], v[1], v[2], v[3], p];
        order.sort_by(|&a, &b| {
            let (a, b) = (self.points[a as usize], self.points[b as usize]);
            (0..3)
                .map(|axis| a[axis].total_cmp(&b[axis]))
                .find(|o| o.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        for &largest in order[3..].iter().rev() {
            if largest == p {
                return false;
            }
            let mut with = v;
            for vertex in &mut with {
                if *vertex == largest {
                    *vertex = p;
                }
            }
            let side = self.orient(with);
            if side != 0.0 {
                return side > 0.0;
            }
        }
        false
    }

    /// A tetrahedron in conflict with point `p`; `None` when `p` equals a vertex.
    fn locate(&self, p: u32) -> Option<u32> {
        let mut tet = self.last;
        // A ghost is left through its finite neighbour: only a walk that arrives at one proves a conflict.
        if let Some(ghost) = self.tets[tet as usize].iter().position(|&i| i == GHOST) {
            tet = self.adjacent[tet as usize][ghost];
        }
        let place = self.points[p as usize];
        let mut from = NONE;
        'walk: loop {
            let v = self.tets[tet as usize];
            if v.contains(&GHOST) {
                return Some(tet);
            }
            let corners = v.map(|i| self.points[i as usize]);
            for facet in 0..4 {
                let beyond = self.adjacent[tet as usize][facet];
                // The point lies on this side of the facet that was just passed.
                if beyond == from {
                    continue;
                }
                let mut with = corners;
                with[facet] = place;
                if orient(with) < 0.0 {
                    (from, tet) = (tet, beyond);
                    continue 'walk;
                }
            }
            // Only a tetrahedron at a vertex holds its place.
            return (!corners.contains(&place)).then_some(tet);
        }
    }

    fn new_tet(&mut self, v: [u32; 4]) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.tets[slot as usize] = v;
            self.adjacent[slot as usize] = [NONE; 4];
            return slot;
        }
        self.tets.push(v);
        self.adjacent.push([NONE; 4]);
        self.stamp.push(0);
        (self.tets.len() - 1) as u32
    }

    /// Inserts point `p`; false when it equals an earlier one.
    fn insert(&mut self, p: u32, scratch: &mut Scratch) -> bool {
        let Some(start) = self.locate(p) else {
            return false;
        };
        self.now += 1;
        let now = self.now;
        let Scratch { cavity, rim, edges } = scratch;
        cavity.clear();
        rim.clear();
        cavity.push(start);
        self.stamp[start as usize] = now;
        let mut at = 0;
        while at < cavity.len() {
            let tet = cavity[at];
            at += 1;
            for facet in 0..4 {
                let beyond = self.adjacent[tet as usize][facet];
                if self.stamp[beyond as usize] == now {
                    continue;
                }
                if self.in_conflict(beyond, p) {
                    self.stamp[beyond as usize] = now;
                    cavity.push(beyond);
                } else {
                    rim.push((tet, facet as u32, beyond));
                }
            }
        }
        edges.reserve(2 * rim.len());
        for &(tet, facet, beyond) in rim.iter() {
            let facet = facet as usize;
            let mut v = self.tets[tet as usize];
            v[facet] = p;
            let new = self.new_tet(v);
            self.adjacent[new as usize][facet] = beyond;
            let back = self.adjacent[beyond as usize]
                .iter()
                .position(|&t| t == tet)
                .unwrap_or(0);
            self.adjacent[beyond as usize][back] = new;
            for side in 0..3 {
                // The facet opposite v[side] holds p and the two other old vertices.
                let [side, i, j] = [side, side + 1, side + 2].map(|k| (facet + 1 + k % 3) % 4);
                if let Some((other, theirs)) = edges.meet(v[i], v[j], now, new, side as u32) {
                    self.adjacent[new as usize][side] = other;
                    self.adjacent[other as usize][theirs as usize] = new;
                }
            }
            self.last = new;
        }
        self.free.append(cavity);
        true
    }
}

/// Four points that span space, positively oriented; `None` for coplanar points.
fn first_simplex(points: &[Point], order: &[u32]) -> Option<[u32; 4]> {
    let a = *order.first()?;
    let at = |i: u32| points[i as usize];
    let b = *order.iter().find(|&&i| at(i) != at(a))?;
    let area = |c: u32| {
        let u: Point = std::array::from_fn(|k| at(b)[k] - at(a)[k]);
        let w: Point = std::array::from_fn(|k| at(c)[k] - at(a)[k]);
        let cross = [
            u[1] * w[2] - u[2] * w[1],
            u[2] * w[0] - u[0] * w[2],
            u[0] * w[1] - u[1] * w[0],
        ];
        cross.iter().map(|v| v * v).sum::<f64>()
    };
    let c = *order
        .iter()
        .max_by(|&&i, &&j| area(i).total_cmp(&area(j)))?;
    let side = |d: u32| orient3d(coord(at(a)), coord(at(b)), coord(at(c)), coord(at(d)));
    let d = *order
        .iter()
        .max_by(|&&i, &&j| side(i).abs().total_cmp(&side(j).abs()))?;
    match side(d) {
        s if s > 0.0 => Some([a, b, c, d]),
        s if s < 0.0 => Some([b, a, c, d]),
        _ => None,
    }
}

/// Interleaves the bits of three coordinates scaled to 0–1.
fn morton(p: Point, low: Point, scale: f64) -> u64 {
    let spread = |v: f64| {
        let mut x = ((v * scale) as u64).min(0x1f_ffff);
        x = (x | x << 32) & 0x1f_0000_0000_ffff;
        x = (x | x << 16) & 0x1f_0000_ff00_00ff;
        x = (x | x << 8) & 0x100f_00f0_0f00_f00f;
        x = (x | x << 4) & 0x10c3_0c30_c30c_30c3;
        (x | x << 2) & 0x1249_2492_4924_9249
    };
    spread(p[0] - low[0]) << 2 | spread(p[1] - low[1]) << 1 | spread(p[2] - low[2])
}

/// Biased random rounds, each sorted along the curve.
fn insertion_order(points: &[Point]) -> Vec<u32> {
    let mut low = [f64::INFINITY; 3];
    let mut span: f64 = 0.0;
    for axis in 0..3 {
        let high = points
            .iter()
            .map(|p| p[axis])
            .fold(f64::NEG_INFINITY, f64::max);
        low[axis] = points.iter().map(|p| p[axis]).fold(f64::INFINITY, f64::min);
        span = span.max(high - low[axis]);
    }
    let scale = f64::from(0x1f_ffff) / span.max(1e-300);
    let mut keyed: Vec<(u32, u64, u32)> = points
        .iter()
        .enumerate()
        .map(|(index, &p)| {
            // SplitMix64: the round is the number of leading zeros of a fixed random number.
            let mut h = (index as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
            h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let round = 64 - (h ^ (h >> 31)).leading_zeros();
            (round, morton(p, low, scale), index as u32)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, index)| index).collect()
}

/// Triangulates finite points; `None` when all lie in one plane.
#[must_use]
pub fn delaunay(points: &[Point]) -> Option<Delaunay> {
    let order = insertion_order(points);
    let simplex = first_simplex(points, &order)?;
    let mut builder = Builder {
        points,
        tets: Vec::with_capacity(8 * points.len()),
        adjacent: Vec::with_capacity(8 * points.len()),
        free: Vec::new(),
        stamp: Vec::with_capacity(8 * points.len()),
        now: 0,
        last: 0,
    };
    begin(&mut builder, simplex);
    let mut scratch = Scratch::default();
    let mut duplicates = 0;
    for &p in order.iter().filter(|p| !simplex.contains(p)) {
        if !builder.insert(p, &mut scratch) {
            duplicates += 1;
        }
    }
    Some(finish(&builder, duplicates))
}

/// The first tetrahedron and its four ghosts.
fn begin(builder: &mut Builder<'_>, v: [u32; 4]) {
    let inner = builder.new_tet(v);
    for facet in 0..4 {
        // Seen from outside the facet turns the other way: two of its vertices change places.
        let mut ghost = v;
        ghost[facet] = GHOST;
        let others: Vec<usize> = (0..4).filter(|&i| i != facet).collect();
        ghost.swap(others[0], others[1]);
        let made = builder.new_tet(ghost);
        builder.adjacent[made as usize][facet] = inner;
        builder.adjacent[inner as usize][facet] = made;
    }
    // Ghosts meet where they share a facet with the vertex at infinity.
    for a in 1..5usize {
        for i in 0..4 {
            if builder.adjacent[a][i] != NONE {
                continue;
            }
            let shared = |tet: usize, skip: usize| {
                let mut facet: Vec<u32> = (0..4)
                    .filter(|&k| k != skip)
                    .map(|k| builder.tets[tet][k])
                    .collect();
                facet.sort_unstable();
                facet
            };
            let mine = shared(a, i);
            let other = (1..5usize)
                .filter(|&b| b != a)
                .flat_map(|b| (0..4).map(move |j| (b, j)))
                .find(|&(b, j)| shared(b, j) == mine);
            if let Some((b, j)) = other {
                builder.adjacent[a][i] = b as u32;
                builder.adjacent[b][j] = a as u32;
            }
        }
    }
}

fn finish(builder: &Builder<'_>, duplicates: usize) -> Delaunay {
    let mut dead = vec![false; builder.tets.len()];
    for &slot in &builder.free {
        dead[slot as usize] = true;
    }
    let mut name = vec![NONE; builder.tets.len()];
    let mut result = Delaunay {
        duplicates,
        ..Delaunay::default()
    };
    for (slot, v) in builder.tets.iter().enumerate() {
        if !dead[slot] && !v.contains(&GHOST) {
            name[slot] = result.tetrahedra.len() as u32;
            result.tetrahedra.push(*v);
        }
    }
    for (slot, adjacent) in builder.adjacent.iter().enumerate() {
        if name[slot] != NONE {
            let named = adjacent.map(|t| Some(name[t as usize]).filter(|&n| n != NONE));
            result.neighbors.push(named);
        }
    }
    result
}

/// Volume (positive) of a tetrahedron.
#[must_use]
pub fn volume(p: [Point; 4]) -> f64 {
    determinant(sub(p[1], p[0]), sub(p[2], p[0]), sub(p[3], p[0])).abs() / 6.0
}

/// Centre and radius of the sphere through four points.
#[must_use]
pub fn circumsphere(p: [Point; 4]) -> (Point, f64) {
    let (a, b, c) = (sub(p[1], p[0]), sub(p[2], p[0]), sub(p[3], p[0]));
    let scale = 0.5 / determinant(a, b, c);
    let (bc, ca, ab) = (cross(b, c), cross(c, a), cross(a, b));
    let (a2, b2, c2) = (dot(a, a), dot(b, b), dot(c, c));
    let to: Point = std::array::from_fn(|k| scale * (a2 * bc[k] + b2 * ca[k] + c2 * ab[k]));
    (std::array::from_fn(|k| p[0][k] + to[k]), dot(to, to).sqrt())
}

/// Volume of every point's Voronoi cell; meaningless for points on the hull, whose cells are unbounded.
///
/// Each tetrahedron gives its vertices signed orthoschemes (vertex, edge midpoint, facet centre, cell centre), which
/// add up to the cells.
#[must_use]
pub fn voronoi_volumes(points: &[Point], mesh: &Delaunay) -> Vec<f64> {
    let mut volumes = vec![0.0; points.len()];
    for v in &mesh.tetrahedra {
        let p = v.map(|i| points[i as usize]);
        let (center, _) = circumsphere(p);
        let facets: [Point; 4] = std::array::from_fn(|skip| {
            let mut others = (0..4).filter(|&i| i != skip).map(|i| p[i]);
            let next = |it: &mut dyn Iterator<Item = Point>| it.next().unwrap_or(center);
            let (a, b, c) = (next(&mut others), next(&mut others), next(&mut others));
            circumcircle(a, b, c)
        });
        // Positive by `orient3d` means a negative determinant here; exact also where this one would round to nothing.
        let parity = -1.0;
        for a in 0..4 {
            for b in (0..4).filter(|&b| b != a) {
                let middle: Point = std::array::from_fn(|k| 0.5 * (p[b][k] - p[a][k]));
                for c in (0..4).filter(|&c| c != a && c != b) {
                    let d = 6 - a - b - c;
                    let sign = parity * permutation_sign([a, b, c, d]);
                    let scheme = determinant(middle, sub(facets[d], p[a]), sub(center, p[a]));
                    volumes[v[a] as usize] += sign * scheme / 6.0;
                }
            }
        }
    }
    volumes
}

fn permutation_sign(p: [usize; 4]) -> f64 {
    let mut inversions = 0;
    for i in 0..4 {
        for j in i + 1..4 {
            inversions += usize::from(p[i] > p[j]);
        }
    }
    if inversions % 2 == 0 { 1.0 } else { -1.0 }
}

/// Centre of the circle through three points.
fn circumcircle(a: Point, b: Point, c: Point) -> Point {
    let (u, v) = (sub(b, a), sub(c, a));
    let n = cross(u, v);
    let scale = 0.5 / dot(n, n);
    let (nu, vn) = (cross(n, u), cross(v, n));
    std::array::from_fn(|k| a[k] + scale * (dot(u, u) * vn[k] + dot(v, v) * nu[k]))
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

fn determinant(a: Point, b: Point, c: Point) -> f64 {
    dot(a, cross(b, c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    fn check(points: &[Point]) -> Delaunay {
        let mesh = delaunay(points).expect("points that span space");
        let mut total = 0.0;
        for (tet, v) in mesh.tetrahedra.iter().enumerate() {
            let p = v.map(|i| coord(points[i as usize]));
            assert!(
                orient3d(p[0], p[1], p[2], p[3]) > 0.0,
                "flat or turned tetrahedron"
            );
            total += volume(v.map(|i| points[i as usize]));
            for (facet, beyond) in mesh.neighbors[tet].iter().enumerate() {
                let Some(beyond) = *beyond else { continue };
                let apex = mesh.tetrahedra[beyond as usize]
                    .iter()
                    .find(|i| !v.contains(i))
                    .expect("another vertex");
                // Locally Delaunay everywhere is Delaunay.
                assert!(insphere(p[0], p[1], p[2], p[3], coord(points[*apex as usize])) <= 0.0);
                assert!(mesh.neighbors[beyond as usize].contains(&Some(tet as u32)));
                assert!(!mesh.tetrahedra[beyond as usize].contains(&v[facet]));
            }
        }
        let hull = hull_volume(points, &mesh);
        assert!(
            (total - hull).abs() < 1e-9 * total.max(1.0),
            "{total} {hull}"
        );
        mesh
    }

    /// Volume enclosed by the outer facets, from their divergence.
    fn hull_volume(points: &[Point], mesh: &Delaunay) -> f64 {
        let mut sum = 0.0;
        for (v, neighbors) in mesh.tetrahedra.iter().zip(&mesh.neighbors) {
            for facet in (0..4).filter(|&f| neighbors[f].is_none()) {
                let mut with = v.map(|i| points[i as usize]);
                with[facet] = [0.1, 0.2, 0.3];
                let d = determinant(
                    sub(with[1], with[0]),
                    sub(with[2], with[0]),
                    sub(with[3], with[0]),
                );
                sum += d / 6.0;
            }
        }
        sum.abs()
    }

    fn lattice(n: i32, turned: bool) -> Vec<Point> {
        let r = crate::model::EulerAngles::from_deg(11.0, 23.0, 37.0).detector_from_sample();
        let mut points = Vec::new();
        for i in -n..=n {
            for j in -n..=n {
                for k in (-n..=n).filter(|k| (i + j + k) % 2 == 0) {
                    let p = [f64::from(i), f64::from(j), f64::from(k)];
                    points.push(if turned {
                        crate::model::geometry::apply(&r, p)
                    } else {
                        p
                    });
                }
            }
        }
        points
    }

    #[test]
    fn random_points_are_triangulated() {
        let mut rng = StdRng::seed_from_u64(5);
        let points: Vec<Point> = (0..3000)
            .map(|_| std::array::from_fn(|_| rng.random_range(-9.0..9.0)))
            .collect();
        check(&points);
    }

    #[test]
    fn perfect_and_turned_lattices_have_no_flat_tetrahedra_and_equal_cells() {
        for turned in [false, true] {
            let points = lattice(5, turned);
            let mesh = check(&points);
            let volumes = voronoi_volumes(&points, &mesh);
            for (p, v) in points.iter().zip(&volumes) {
                if p.iter().map(|x| x * x).sum::<f64>() < 9.0 {
                    assert!((v - 2.0).abs() < 1e-6, "{v}");
                }
            }
        }
    }

    #[test]
    fn duplicates_are_left_out_and_planes_are_refused() {
        let mut points = lattice(2, false);
        points.extend(points.clone());
        assert_eq!(check(&points).duplicates, points.len() / 2);
        let plane: Vec<Point> = (0..30)
            .map(|i| [f64::from(i % 6), f64::from(i / 6), 0.0])
            .collect();
        assert!(delaunay(&plane).is_none());
        assert!(delaunay(&[]).is_none());
    }
}
