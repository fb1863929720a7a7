//! Convex hull of a few points (at most [`MOST`]), grown point by point; the graph of local neighbourhoods.
//!
//! Incremental insertion with exact signs: a facet is visible only from strictly above its plane, so flat polygons (the
//! squares of a cuboctahedron) are split into triangles in some way and points in a facet's plane never spoil the hull.
//! The sign comes from a plane stored with each facet; only where rounding could decide does the exact predicate.

use crate::model::geometry::{cross, dot, subtract};
use robust::{Coord3D, orient3d};

/// Most points of one hull: their sets are bit masks.
pub const MOST: usize = 32;

type Point = [f64; 3];

/// A triangle of the hull.
#[derive(Debug, Clone, Copy)]
pub struct Facet {
    /// Indices of the corners, anticlockwise seen from outside.
    pub corners: [u8; 3],
    /// `(b − a) × (c − a)`: outward, twice the area long.
    pub normal: Point,
}

/// A convex hull that grows.
#[derive(Debug, Clone, Default)]
pub struct Hull {
    facets: Vec<Facet>,
    /// Points that were looked at, one bit each.
    seen: u32,
}

impl Hull {
    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.facets.clear();
        self.seen = 0;
    }

    /// The triangles; none while all points lie in one plane.
    #[must_use]
    pub fn facets(&self) -> &[Facet] {
        &self.facets
    }

    /// Adds what is new in `points`, which must begin with the points of the call before.
    ///
    /// # Panics
    /// With more than [`MOST`] points.
    pub fn grow(&mut self, points: &[Point]) {
        assert!(points.len() <= MOST, "a hull of a few points");
        let mut reach = 0.0f64;
        for [x, y, z] in points {
            reach = reach.max(x.abs()).max(y.abs()).max(z.abs());
        }
        if self.facets.is_empty() && !self.begin(points) {
            return;
        }
        // Rounding of `normal · (p − a)` with coordinates up to `reach` stays below 3e-14 reach³.
        let doubt = 1e-13 * reach.powi(3);
        for new in 0..points.len() {
            if self.seen & (1 << new) == 0 {
                self.seen |= 1 << new;
                self.insert(points, new, doubt);
            }
        }
    }

    /// The first tetrahedron of points in order.
    fn begin(&mut self, points: &[Point]) -> bool {
        let n = points.len();
        let first = (1..n)
            .flat_map(|b| (b + 1..n).flat_map(move |c| (c + 1..n).map(move |d| (b, c, d))))
            .find(|&(b, c, d)| exact(points, [0, b as u8, c as u8], d) != 0.0);
        let Some((b, c, d)) = first else {
            return false;
        };
        let (mut b, mut c, d) = (b as u8, c as u8, d as u8);
        // Seen from outside its triangles turn left: the fourth point must lie below the first.
        if exact(points, [0, b, c], d as usize) < 0.0 {
            std::mem::swap(&mut b, &mut c);
        }
        for corners in [[0, b, c], [0, c, d], [0, d, b], [b, d, c]] {
            self.facets.push(facet(points, corners));
        }
        self.seen = 1 | 1 << b | 1 << c | 1 << d;
        true
    }

    fn insert(&mut self, points: &[Point], new: usize, doubt: f64) {
        // Directed edges of the facets that see the point; those without their opposite are the horizon.
        let mut edges = [0u32; MOST];
        let first_kept = {
            let mut kept = 0;
            for at in 0..self.facets.len() {
                let this = self.facets[at];
                if above(points, &this, new, doubt) {
                    for (from, to) in sides(this.corners) {
                        edges[from as usize] |= 1 << to;
                    }
                } else {
                    self.facets[kept] = this;
                    kept += 1;
                }
            }
            kept
        };
        self.facets.truncate(first_kept);
        for from in 0..points.len() {
            let mut left = edges[from];
            while left != 0 {
                let to = left.trailing_zeros() as usize;
                left &= left - 1;
                if edges[to] & (1 << from) == 0 {
                    self.facets
                        .push(facet(points, [from as u8, to as u8, new as u8]));
                }
            }
        }
    }

    /// The corners of the hull as bits.
    #[must_use]
    pub fn corners(&self) -> u32 {
        let bits = |[a, b, c]: [u8; 3]| 1 << a | 1 << b | 1 << c;
        self.facets
            .iter()
            .fold(0, |set, facet| set | bits(facet.corners))
    }

    /// Whether `place` lies strictly inside.
    #[must_use]
    pub fn contains(&self, points: &[Point], place: Point) -> bool {
        !self.facets.is_empty()
            && self.facets.iter().all(|facet| {
                let p = facet.corners.map(|i| coord(points[i as usize]));
                orient3d(p[0], p[1], p[2], coord(place)) > 0.0
            })
    }
}

/// The directed edges of a triangle.
pub fn sides(corners: [u8; 3]) -> [(u8, u8); 3] {
    let [a, b, c] = corners;
    [(a, b), (b, c), (c, a)]
}

/// For every point the solid angle (steradian) of the face that it gives to the Voronoi cell of the origin; 0 without a
/// face. The cell is clipped by a cube of half the edge `room` around the origin.
///
/// The cell's corners are the facets of the hull of the dual points `r/|r|²`: a face's polygon is seen in the directions
/// of the normals of the facets around its dual point. Points at the origin have no face. At most `MOST − 6` points.
pub fn solid_angles(points: &[Point], room: f64, hull: &mut Hull) -> [f64; MOST] {
    let count = points.len();
    let mut dual = [[0.0; 3]; MOST];
    let nearest = points
        .iter()
        .map(|p| dot(*p, *p))
        .filter(|d2| *d2 > 0.0)
        .fold(f64::INFINITY, f64::min)
        .sqrt();
    for (dual, point) in dual.iter_mut().zip(points) {
        let d2 = dot(*point, *point);
        if d2 > 0.0 {
            *dual = point.map(|v| v * (nearest / d2));
        }
    }
    for axis in 0..3 {
        // A plane at the distance `room` is the bisector of a point twice as far.
        dual[count + 2 * axis][axis] = 0.5 * nearest / room;
        dual[count + 2 * axis + 1][axis] = -0.5 * nearest / room;
    }
    let dual = &dual[..count + 6];
    hull.clear();
    hull.grow(dual);
    let mut angles = [0.0; MOST];
    let mut left = [[NO_FACET; MOST]; MOST];
    let mut start = [NO_FACET; MOST];
    for (index, facet) in hull.facets.iter().enumerate() {
        for (from, to) in sides(facet.corners) {
            left[from as usize][to as usize] = index as u8;
            start[from as usize] = to;
        }
    }
    for point in (0..count).filter(|&point| start[point] != NO_FACET) {
        angles[point] = polygon(point, &hull.facets, &left, start[point]);
    }
    angles
}

/// Number of corners of the face that every point gives to the Voronoi cell of the origin; 0 without a face. `None` for a cell
/// that is unbounded, or more points than [`MOST`].
///
/// Corners nearer to each other than a millionth of the nearest point's distance are one: cospherical points, the rule in
/// crystals, make edges of no length.
pub fn face_corners(points: &[Point], hull: &mut Hull) -> Option<[u8; MOST]> {
    if points.len() > MOST || points.len() < 4 {
        return None;
    }
    let mut dual = [[0.0; 3]; MOST];
    let nearest2 = points
        .iter()
        .map(|p| dot(*p, *p))
        .fold(f64::INFINITY, f64::min);
    for (dual, point) in dual.iter_mut().zip(points) {
        let d2 = dot(*point, *point);
        *dual = point.map(|v| v * (nearest2.sqrt() / d2));
    }
    let dual = &dual[..points.len()];
    hull.clear();
    hull.grow(dual);
    if !hull.contains(dual, [0.0; 3]) {
        return None;
    }
    // The corner of the cell that a facet of the dual hull stands for, in units of the nearest distance; a facet of no area is
    // none.
    let corner = |facet: &Facet| -> Option<Point> {
        let height = dot(facet.normal, dual[facet.corners[0] as usize]);
        let length2 = dot(facet.normal, facet.normal);
        (length2 > 1e-24 && height > 0.0).then(|| facet.normal.map(|v| v / (2.0 * height)))
    };
    let mut next = [[NO_FACET; MOST]; MOST];
    let mut start = [NO_FACET; MOST];
    for (index, facet) in hull.facets.iter().enumerate() {
        for (from, to) in sides(facet.corners) {
            next[from as usize][to as usize] = index as u8;
            start[from as usize] = to;
        }
    }
    let mut counts = [0; MOST];
    for point in (0..points.len()).filter(|&point| start[point] != NO_FACET) {
        let (mut first, mut last): (Option<Point>, Option<Point>) = (None, None);
        let mut neighbor = start[point];
        let apart = |a: Point, b: Point| {
            let d = subtract(a, b);
            dot(d, d) > 1e-12
        };
        for _ in 0..hull.facets.len() {
            let facet = hull.facets.get(next[point][neighbor as usize] as usize)?;
            if let Some(place) = corner(facet) {
                if last.is_none_or(|last| apart(last, place)) {
                    counts[point] += 1;
                    last = Some(place);
                }
                first = first.or(Some(place));
            }
            let at = facet.corners.iter().position(|&c| c as usize == point)?;
            neighbor = facet.corners[(at + 2) % 3];
            if neighbor == start[point] {
                break;
            }
        }
        // The last corner may be the first again.
        if let (Some(first), Some(last)) = (first, last)
            && counts[point] > 1
            && !apart(first, last)
        {
            counts[point] -= 1;
        }
    }
    Some(counts)
}

const NO_FACET: u8 = u8::MAX;

/// Solid angle of the spherical polygon of the normals around a corner of the dual hull.
fn polygon(point: usize, facets: &[Facet], left: &[[u8; MOST]; MOST], start: u8) -> f64 {
    // Half the angle of each triangle of a fan is the argument of a complex number (van Oosterom & Strackee 1983); their
    // product takes one arctangent for the whole polygon.
    let (mut re, mut im) = (1.0, 0.0);
    let (mut first, mut last): (Option<Point>, Option<Point>) = (None, None);
    let mut neighbor = start;
    for _ in 0..=facets.len() {
        let Some(facet) = facets.get(left[point][neighbor as usize] as usize) else {
            break;
        };
        let length = dot(facet.normal, facet.normal).sqrt();
        // Three dual points in a line (perfect lattices): the facet has no direction and is no corner of the cell.
        if length > 1e-12 {
            let c = facet.normal.map(|v| v / length);
            if let (Some(a), Some(b)) = (first, last) {
                let real = 1.0 + dot(a, b) + dot(b, c) + dot(c, a);
                let imaginary = dot(a, cross(b, c));
                (re, im) = (re * real - im * imaginary, re * imaginary + im * real);
            }
            first = first.or(Some(c));
            last = Some(c);
        }
        // The next facet anticlockwise lies across the edge to the third corner.
        let at = facet
            .corners
            .iter()
            .position(|&corner| corner as usize == point)
            .expect("a facet found through its corner");
        neighbor = facet.corners[(at + 2) % 3];
        if neighbor == start {
            break;
        }
    }
    2.0 * im.atan2(re).abs()
}

fn facet(points: &[Point], corners: [u8; 3]) -> Facet {
    let [a, b, c] = corners.map(|i| points[i as usize]);
    Facet {
        corners,
        normal: cross(subtract(b, a), subtract(c, a)),
    }
}

fn above(points: &[Point], facet: &Facet, point: usize, doubt: f64) -> bool {
    let origin = points[facet.corners[0] as usize];
    let height = dot(facet.normal, subtract(points[point], origin));
    if height.abs() > doubt {
        height > 0.0
    } else {
        exact(points, facet.corners, point) < 0.0
    }
}

/// Positive when the point lies below the triangle.
fn exact(points: &[Point], corners: [u8; 3], point: usize) -> f64 {
    let p = corners.map(|i| coord(points[i as usize]));
    orient3d(p[0], p[1], p[2], coord(points[point]))
}

fn coord(p: Point) -> Coord3D<f64> {
    Coord3D {
        x: p[0],
        y: p[1],
        z: p[2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::f64::consts::PI;

    /// Every edge once in each direction, no point above a facet, Euler's formula.
    fn check(points: &[Point], hull: &Hull) {
        let mut edges = [0u32; MOST];
        for facet in hull.facets() {
            for (from, to) in sides(facet.corners) {
                assert_eq!(edges[from as usize] & (1 << to), 0, "an edge twice");
                edges[from as usize] |= 1 << to;
            }
            for point in 0..points.len() {
                assert!(exact(points, facet.corners, point) >= 0.0, "a point above");
            }
        }
        for (from, to) in hull.facets().iter().flat_map(|f| sides(f.corners)) {
            assert!(edges[to as usize] & (1 << from) != 0, "an open edge");
        }
        let corners = hull.corners().count_ones() as usize;
        assert_eq!(hull.facets().len(), 2 * corners - 4);
    }

    fn hull_of(points: &[Point]) -> Hull {
        let mut hull = Hull::default();
        hull.grow(points);
        hull
    }

    proptest! {
        #[test]
        fn hulls_are_closed_and_convex(
            points in prop::collection::vec(prop::array::uniform3(-1.0..1.0f64), 4..MOST),
        ) {
            check(&points, &hull_of(&points));
        }

        #[test]
        fn points_of_a_coarse_grid_are_no_trouble(
            points in prop::collection::vec(prop::array::uniform3(0..3u8), 4..MOST),
        ) {
            let points: Vec<Point> = points.iter().map(|p| p.map(f64::from)).collect();
            let hull = hull_of(&points);
            if !hull.facets().is_empty() {
                for facet in hull.facets() {
                    for point in 0..points.len() {
                        prop_assert!(exact(&points, facet.corners, point) >= 0.0);
                    }
                }
            }
            solid_angles(&points[..points.len().min(MOST - 6)], 10.0, &mut Hull::default());
        }

        #[test]
        fn the_faces_of_a_cell_fill_the_sphere(
            points in prop::collection::vec(prop::array::uniform3(-1.0..1.0f64), 1..=MOST - 6),
        ) {
            // A small cube stands for the cube of the clip, so that nothing of the sphere is left to it.
            let mut points = points;
            points.truncate(MOST - 12);
            for axis in 0..3 {
                for sign in [-0.5, 0.5] {
                    let mut p = [0.0; 3];
                    p[axis] = sign;
                    points.push(p);
                }
            }
            let angles = solid_angles(&points, 10.0, &mut Hull::default());
            let sum: f64 = angles.iter().sum();
            prop_assert!((sum - 4.0 * PI).abs() < 1e-6, "{sum}");
        }
    }

    #[test]
    fn a_growing_hull_is_the_hull_of_all() {
        let mut points = Vec::new();
        for i in 0..20 {
            let t = f64::from(i);
            points.push([(1.7 * t).sin(), (2.3 * t).cos(), (0.9 * t + 1.0).sin()]);
        }
        let mut hull = Hull::default();
        for count in [3, 6, 7, 20] {
            hull.grow(&points[..count]);
        }
        check(&points, &hull);
        assert!(hull.contains(&points, [0.0; 3]) && !hull.contains(&points, [3.0, 0.0, 0.0]));
        assert_eq!(hull.facets().len(), hull_of(&points).facets().len());
    }

    #[test]
    fn faces_of_cells_have_their_corners() {
        let mut fcc = Vec::new();
        let mut bcc = Vec::new();
        for x in -2..=2i32 {
            for y in -2..=2i32 {
                for z in -2..=2i32 {
                    let size = x * x + y * y + z * z;
                    let p = [x, y, z].map(f64::from);
                    if size == 2 {
                        fcc.push(p);
                    }
                    let even = [x, y, z].iter().all(|v| v % 2 == 0);
                    if size == 3 || (size == 4 && even) {
                        bcc.push(p);
                    }
                }
            }
        }
        let hull = &mut Hull::default();
        // Rhombic dodecahedron: 12 faces of 4; truncated octahedron: 6 of 4 and 8 of 6.
        let counts = face_corners(&fcc, hull).unwrap();
        assert_eq!(
            (fcc.len(), counts[..12].iter().all(|&n| n == 4)),
            (12, true)
        );
        let counts = face_corners(&bcc, hull).unwrap();
        let of = |n: u8| counts.iter().filter(|&&c| c == n).count();
        assert_eq!((of(4), of(6)), (6, 8));
        assert!(face_corners(&fcc[..6], hull).is_none());
    }

    #[test]
    fn cells_of_crystals_have_their_faces() {
        // Cube: six faces of 4π/6; the twelve next points touch its edges only.
        let mut cube = Vec::new();
        for x in -1..=1i32 {
            for y in -1..=1i32 {
                for z in -1..=1i32 {
                    let p = [x, y, z].map(f64::from);
                    if (1.0..2.5).contains(&dot(p, p)) {
                        cube.push(p);
                    }
                }
            }
        }
        let angles = solid_angles(&cube, 20.0, &mut Hull::default());
        for (point, angle) in cube.iter().zip(angles) {
            let expected = if dot(*point, *point) < 1.5 {
                4.0 * PI / 6.0
            } else {
                0.0
            };
            assert!((angle - expected).abs() < 1e-9, "{point:?} {angle}");
        }
        // Truncated octahedron (bcc): the square face has a corner ring of cos = 2/√5 about its axis.
        let mut bcc = Vec::new();
        for p in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] {
            bcc.push(p);
            bcc.push(p.map(|v: f64| -v));
        }
        for sign in 0..8 {
            bcc.push([0, 1, 2].map(|k| if sign >> k & 1 == 0 { 0.5 } else { -0.5 }));
        }
        let angles = solid_angles(&bcc, 20.0, &mut Hull::default());
        // Solid angle of a square pyramid with half diagonal 1 at height 2: 4 asin(sin²(θ/2)), θ the edge's half angle.
        let half_side = 0.5f64.sqrt();
        let square = 4.0 * (half_side * half_side / (4.0 + half_side * half_side)).asin();
        for angle in &angles[..6] {
            assert!((angle - square).abs() < 1e-9, "{angle} {square}");
        }
        for angle in &angles[6..14] {
            assert!((angle - (4.0 * PI - 6.0 * square) / 8.0).abs() < 1e-9);
        }
    }

    #[test]
    fn an_open_cell_is_closed_by_the_cube() {
        let angles = solid_angles(&[[2.0, 0.0, 0.0]], 50.0, &mut Hull::default());
        // A square with half the edge 50 at the distance 1.
        let expected = 4.0 * (2500.0 / 5001f64.sqrt()).atan();
        assert!((angles[0] - expected).abs() < 1e-9, "{}", angles[0]);
        assert_eq!(
            solid_angles(&[[0.0; 3]], 50.0, &mut Hull::default())[0],
            0.0
        );
    }
}
