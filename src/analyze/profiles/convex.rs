//! Distances from convex surfaces, for who wants a particle's or a core's outline without its notches and pores.

use super::{Distances, Point};
use crate::analyze::core_shell::groups;
use crate::model::geometry::{cross, dot, subtract};
use crate::numeric::neighbors::neighbors_within;
use crate::numeric::surface::{Surface, SurfaceTree};
use crate::numeric::tessellation::{FACETS, delaunay};
use rayon::prelude::*;

/// The convex surface of `points`; `None` where they lie in one plane.
fn hull(points: &[Point]) -> Option<Surface> {
    let mesh = delaunay(points)?;
    let mut surface = Surface {
        vertices: points.to_vec(),
        triangles: Vec::new(),
    };
    for (v, neighbors) in mesh.tetrahedra.iter().zip(&mesh.neighbors) {
        for facet in (0..4).filter(|&facet| neighbors[facet].is_none()) {
            surface.triangles.push(FACETS[facet].map(|k| v[k]));
        }
    }
    Some(surface)
}

/// Signed distances of `positions` from the convex surface of `points`, negative inside.
fn signed(points: &[Point], positions: &[Point]) -> Option<(Surface, Vec<f64>)> {
    let surface = hull(points)?;
    let planes: Vec<(Point, f64)> = surface
        .triangles
        .iter()
        .map(|t| {
            let [a, b, c] = t.map(|i| points[i as usize]);
            let n = cross(subtract(b, a), subtract(c, a));
            (n, dot(n, a))
        })
        .collect();
    let outside: Vec<bool> = positions
        .par_iter()
        .map(|p| planes.iter().any(|(n, at)| dot(*n, *p) > *at))
        .collect();
    let mut values = SurfaceTree::new(&surface).distances(positions, 0.0);
    for (value, _) in values.iter_mut().zip(outside).filter(|(_, out)| !out) {
        *value = -*value;
    }
    Some((surface, values))
}

/// Depth below the convex surface of the atoms that are `within` the particle; NaN for all others.
#[must_use]
pub fn below(positions: &[Point], within: &[bool]) -> Option<Distances> {
    let chosen = (0..positions.len()).filter(|&i| within[i]);
    let points: Vec<Point> = chosen.map(|i| positions[i]).collect();
    let (surface, signed) = signed(&points, positions)?;
    let depth = signed.into_iter().zip(within);
    // Its own corners lie on it whatever rounding says.
    let depth = depth.map(|(d, within)| if *within { (-d).max(0.0) } else { f64::NAN });
    Some(Distances {
        from: "surface".to_owned(),
        values: depth.collect(),
        surface,
    })
}

/// Distance from the convex surface of the largest group of atoms of `side` 1, joined by less than `cutoff` Å; negative inside,
/// NaN for atoms whose side is.
#[must_use]
pub fn about(name: &str, positions: &[Point], side: &[f64], cutoff: f64) -> Option<Distances> {
    let own: Vec<Point> = (0..positions.len())
        .filter(|&i| side[i] > 0.5)
        .map(|i| positions[i])
        .collect();
    let (surface, mut values) = signed(&largest(&own, cutoff), positions)?;
    for (value, side) in values.iter_mut().zip(side) {
        if !side.is_finite() {
            *value = f64::NAN;
        }
    }
    Some(Distances {
        from: name.to_owned(),
        values,
        surface,
    })
}

/// The largest group of points joined by less than `cutoff`; of equals the one with the first point.
fn largest(points: &[Point], cutoff: f64) -> Vec<Point> {
    let label = groups(&neighbors_within(points, cutoff), |_| true);
    let mut sizes = vec![0usize; points.len()];
    for &group in &label {
        sizes[group as usize] += 1;
    }
    let most = sizes.iter().max();
    let largest = sizes.iter().position(|n| Some(n) == most);
    let own = points.iter().zip(&label);
    own.filter(|(_, group)| Some(**group as usize) == largest)
        .map(|(point, _)| *point)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cube of points 3 Å apart, edge 30 Å, with a slot 12 Å deep from above.
    fn slotted() -> Vec<Point> {
        let mut points = Vec::new();
        for i in 0..=10 {
            for j in 0..=10 {
                for k in 0..=10 {
                    if !((4..=6).contains(&i) && k > 6) {
                        points.push([i, j, k].map(|n| 3.0 * f64::from(n)));
                    }
                }
            }
        }
        points
    }

    #[test]
    fn the_bottom_of_a_slot_is_as_deep_as_the_slot() {
        let points = slotted();
        let found = below(&points, &vec![true; points.len()]).unwrap();
        for (p, depth) in points.iter().zip(&found.values) {
            let expected = p
                .iter()
                .map(|x| x.min(30.0 - x))
                .fold(f64::INFINITY, f64::min);
            assert!(
                (depth - expected).abs() < 1e-9,
                "{p:?}: {depth}, {expected}"
            );
        }
        let bottom = points
            .iter()
            .position(|p| *p == [15.0, 15.0, 18.0])
            .unwrap();
        assert_eq!(found.values[bottom], 12.0);
        assert!((found.surface.volume() - 27_000.0).abs() < 1e-6);
        let mut within = vec![true; points.len()];
        within[0] = false;
        assert!(below(&points, &within).unwrap().values[0].is_nan());
        assert!(below(&points[..3], &[true; 3]).is_none());
    }

    #[test]
    fn atoms_about_a_core_are_as_far_as_its_sides() {
        let points = slotted();
        // The lower half is the core; one atom of it far above is another group.
        let mut side: Vec<f64> = points
            .iter()
            .map(|p| f64::from(u8::from(p[2] < 13.0)))
            .collect();
        let stray = points.iter().position(|p| *p == [0.0, 0.0, 30.0]).unwrap();
        side[stray] = 1.0;
        side[1] = f64::NAN;
        let found = about("core", &points, &side, 3.1).unwrap();
        for (i, p) in points.iter().enumerate().filter(|(i, _)| *i != 1) {
            let inner = p[..2]
                .iter()
                .map(|x| x.min(30.0 - x))
                .fold(f64::INFINITY, f64::min);
            let expected = (p[2] - 12.0).max(-inner.min(p[2]));
            assert!(
                (found.values[i] - expected).abs() < 1e-9,
                "{p:?} {}",
                found.values[i]
            );
        }
        assert!(found.values[1].is_nan());
    }
}
