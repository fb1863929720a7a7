//! Faces of the Voronoi cells of points, read off their Delaunay tetrahedra.
//!
//! The face between two points is the polygon of the circumcentres of the tetrahedra round their common edge. Each edge is
//! walked round once; about 0.3 µs of one core a face. Cells of points on the hull are unbounded, and so are the faces at
//! the hull's edges: these are left out.

use super::tessellation::{Delaunay, circumsphere, volume};
use crate::model::geometry::{cross, distance, dot, subtract};
use rayon::prelude::*;

type Point = [f64; 3];

/// A face seen from the point whose cell it belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// The point on its other side.
    pub neighbor: u32,
    /// Area, in squared units of the points.
    pub area: f64,
    /// Distance of the two points.
    pub distance: f64,
}

/// The faces of all cells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faces {
    /// First face of each cell, and one entry more.
    starts: Vec<u32>,
    faces: Vec<Face>,
    bounded: Vec<bool>,
}

impl Faces {
    /// The bounded faces between all points of a triangulation.
    #[must_use]
    pub fn new(points: &[Point], mesh: &Delaunay) -> Self {
        let centers = centers(points, mesh);
        let mut bounded = vec![true; points.len()];
        let mut used = vec![false; points.len()];
        for (v, beyond) in mesh.tetrahedra.iter().zip(&mesh.neighbors) {
            v.iter().for_each(|&i| used[i as usize] = true);
            for facet in (0..4).filter(|&f| beyond[f].is_none()) {
                for corner in (0..4).filter(|&c| c != facet) {
                    bounded[v[corner] as usize] = false;
                }
            }
        }
        // A duplicate has no cell of its own.
        bounded
            .iter_mut()
            .zip(used)
            .for_each(|(b, used)| *b &= used);
        let found: Vec<(u32, u32, f64)> = (0..mesh.tetrahedra.len())
            .into_par_iter()
            .flat_map_iter(|tet| {
                let centers = &centers;
                EDGES.into_iter().filter_map(move |edge| {
                    let v = mesh.tetrahedra[tet];
                    let area = ring_area(mesh, centers, tet, edge)?;
                    Some((v[edge[0]], v[edge[1]], area))
                })
            })
            .collect();
        let mut starts = vec![0u32; points.len() + 1];
        for &(a, b, _) in &found {
            starts[a as usize + 1] += 1;
            starts[b as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let empty = Face {
            neighbor: 0,
            area: 0.0,
            distance: 0.0,
        };
        let mut next = starts.clone();
        let mut faces = vec![empty; 2 * found.len()];
        for &(a, b, area) in &found {
            let distance = distance(points[a as usize], points[b as usize]);
            for (own, neighbor) in [(a, b), (b, a)] {
                let place = &mut next[own as usize];
                faces[*place as usize] = Face {
                    neighbor,
                    area,
                    distance,
                };
                *place += 1;
            }
        }
        Self {
            starts,
            faces,
            bounded,
        }
    }

    /// Number of cells.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bounded.len()
    }

    /// Whether there is no cell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bounded.is_empty()
    }

    /// The faces of a cell, in no meaningful order.
    #[must_use]
    pub fn of(&self, cell: usize) -> &[Face] {
        &self.faces[self.starts[cell] as usize..self.starts[cell + 1] as usize]
    }

    /// Whether the cell is bounded.
    #[must_use]
    pub fn is_bounded(&self, cell: usize) -> bool {
        self.bounded[cell]
    }

    /// The faces of a cell with at least `share` of its whole area.
    pub fn wide(&self, cell: usize, share: f64) -> impl Iterator<Item = &Face> {
        let faces = self.of(cell);
        let least = share * faces.iter().map(|face| face.area).sum::<f64>();
        // Cospherical points meet in faces of no area.
        faces
            .iter()
            .filter(move |face| face.area >= least && face.area > 0.0)
    }
}

/// Pairs of corners.
const EDGES: [[usize; 2]; 6] = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]];

/// The circumcentre of every tetrahedron.
fn centers(points: &[Point], mesh: &Delaunay) -> Vec<Point> {
    let measured: Vec<(Point, f64)> = mesh
        .tetrahedra
        .par_iter()
        .map(|v| {
            let p = v.map(|i| points[i as usize]);
            let longest = EDGES
                .iter()
                .map(|e| distance(p[e[0]], p[e[1]]))
                .fold(0.0, f64::max);
            (circumsphere(p).0, volume(p) / longest.powi(3))
        })
        .collect();
    // A tetrahedron flat to rounding lies between cospherical points: its circumsphere is that of its neighbours, and its
    // own centre nothing but rounding.
    const FLAT: f64 = 1e-9;
    (0..measured.len())
        .map(|tet| {
            let (mut center, mut fullness) = measured[tet];
            if fullness < FLAT {
                for next in mesh.neighbors[tet].iter().flatten() {
                    let (there, full) = measured[*next as usize];
                    if full > fullness {
                        (center, fullness) = (there, full);
                    }
                }
            }
            center
        })
        .collect()
}

/// Area of the polygon of centres round an edge of tetrahedron `first`; `None` where the ring is open or has a tetrahedron of a
/// lower number, to which it belongs.
fn ring_area(mesh: &Delaunay, centers: &[Point], first: usize, edge: [usize; 2]) -> Option<f64> {
    let ends = edge.map(|k| mesh.tetrahedra[first][k]);
    let mut others = (0..4).filter(|k| !edge.contains(k));
    let (mut out, mut back) = (others.next()?, others.next()?);
    let origin = centers[first];
    let (mut sum, mut last) = ([0.0; 3], [0.0; 3]);
    let mut tet = first;
    loop {
        // Across the facet opposite `out` lies a tetrahedron with the edge, the corner `back` and a new one.
        let next = mesh.neighbors[tet][out]? as usize;
        if next == first {
            break;
        }
        if next < first {
            return None;
        }
        let pivot = mesh.tetrahedra[tet][back];
        let v = mesh.tetrahedra[next];
        let turned = |k: &usize| v[*k] == pivot;
        out = (0..4).find(turned)?;
        back = (0..4).find(|&k| k != out && !ends.contains(&v[k]))?;
        let to = subtract(centers[next], origin);
        let part = cross(last, to);
        (0..3).for_each(|k| sum[k] += part[k]);
        last = to;
        tet = next;
    }
    Some(0.5 * dot(sum, sum).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EulerAngles;
    use crate::model::geometry::apply;
    use crate::numeric::tessellation::{delaunay, voronoi_volumes};
    use rand::{Rng, SeedableRng, rngs::StdRng};

    #[test]
    fn the_cells_of_fcc_are_rhombic_dodecahedra_in_any_orientation() {
        for turned in [false, true] {
            let r = EulerAngles::from_deg(11.0, 23.0, 37.0).detector_from_sample();
            let mut points = Vec::new();
            for i in -4..=4i32 {
                for j in -4..=4i32 {
                    for k in (-4..=4i32).filter(|k| (i + j + k) % 2 == 0) {
                        let p = [i, j, k].map(f64::from);
                        points.push(if turned { apply(&r, p) } else { p });
                    }
                }
            }
            let faces = Faces::new(&points, &delaunay(&points).unwrap());
            let mut seen = 0;
            for cell in (0..points.len()).filter(|&i| dot(points[i], points[i]) < 7.0) {
                let wide: Vec<&Face> = faces.wide(cell, 0.01).collect();
                assert_eq!(wide.len(), 12);
                for face in wide {
                    assert!((face.area - 0.5f64.sqrt()).abs() < 1e-6, "{}", face.area);
                    assert!((face.distance - 2f64.sqrt()).abs() < 1e-12);
                }
                seen += 1;
            }
            assert!(seen > 10);
        }
    }

    #[test]
    fn pyramids_on_the_faces_fill_the_cells() {
        let mut rng = StdRng::seed_from_u64(8);
        let points: Vec<Point> = (0..800)
            .map(|_| std::array::from_fn(|_| rng.random_range(-6.0..6.0)))
            .collect();
        let mesh = delaunay(&points).unwrap();
        let (faces, volumes) = (Faces::new(&points, &mesh), voronoi_volumes(&points, &mesh));
        let mut seen = 0;
        for cell in (0..points.len()).filter(|&i| faces.is_bounded(i)) {
            // The apex is the point, the height half the distance to its neighbour.
            let filled: f64 = faces
                .of(cell)
                .iter()
                .map(|f| f.area * f.distance / 6.0)
                .sum();
            assert!(
                (filled / volumes[cell] - 1.0).abs() < 1e-6,
                "{filled} {}",
                volumes[cell]
            );
            seen += 1;
        }
        assert!(seen > 400);
    }
}
