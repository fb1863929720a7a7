//! The surfaces of voids: the outer facets of their tetrahedra, split finer and smoothed (Laplacian), each of its void's
//! volume.

use super::Void;
use crate::analyze::oxidation::Space;
use crate::numeric::surface::Surface;
use rayon::prelude::*;

/// The surface of one void.
#[derive(Debug, Clone, PartialEq)]
pub struct VoidSurface {
    /// Place of the void in the list of all.
    pub void: usize,
    /// Its class.
    pub class: &'static str,
    /// Normals outwards.
    pub surface: Surface,
}

/// Rounds of smoothing: with facets split twice, edges of about 0.8 Å, they spread over about one distance of neighbours.
const ROUNDS: usize = 12;
/// Facets above which they are split once only.
const MANY: usize = 3000;

impl Void {
    /// Its boundary, normals outwards; each facet split in four `splits` times, then `rounds` of Laplacian smoothing that
    /// keep its volume.
    #[must_use]
    pub fn surface(
        &self,
        space: &Space,
        positions: &[[f64; 3]],
        splits: usize,
        rounds: usize,
    ) -> Surface {
        let mut own = self.tetrahedra.clone();
        own.sort_unstable();
        let mut surface = Surface {
            vertices: self.atoms.iter().map(|&i| positions[i as usize]).collect(),
            triangles: Vec::new(),
        };
        let place = |atom: u32| self.atoms.partition_point(|&known| known < atom) as u32;
        for &tet in &self.tetrahedra {
            let v = space.mesh.tetrahedra[tet as usize];
            for (facet, next) in space.mesh.neighbors[tet as usize].iter().enumerate() {
                if next.is_none_or(|next| own.binary_search(&next).is_err()) {
                    let turned = crate::numeric::tessellation::FACETS[facet];
                    surface.triangles.push(turned.map(|k| place(v[k])));
                }
            }
        }
        for _ in 0..splits {
            surface = surface.finer();
        }
        surface.smooth(rounds);
        surface
    }
}

/// The surfaces of all vacancies and pores inside the particle, in the order of the voids.
#[must_use]
pub fn surfaces(voids: &[Void], space: &Space, positions: &[[f64; 3]]) -> Vec<VoidSurface> {
    voids
        .par_iter()
        .enumerate()
        .filter(|(_, void)| !void.at_surface && void.class() != "small")
        .map(|(index, void)| VoidSurface {
            void: index,
            class: void.class(),
            surface: void.surface(
                space,
                positions,
                if void.atoms.len() > MANY / 2 { 1 } else { 2 },
                ROUNDS,
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{space_of, with_a_vacancy};
    use super::*;

    #[test]
    fn a_surface_is_closed_and_holds_the_volume_of_its_void() {
        let points = with_a_vacancy();
        let (space, found) = space_of(&points);
        let void = found.iter().find(|v| !v.at_surface).unwrap();
        let flat = void.surface(&space, &points, 0, 0);
        // The twelve neighbours of an fcc site: a cuboctahedron, its six squares split into triangles.
        assert_eq!((flat.vertices.len(), flat.triangles.len()), (12, 20));
        let a = 5.09;
        let edge: f64 = a / 2f64.sqrt();
        let area = (6.0 + 2.0 * 3f64.sqrt()) * edge * edge;
        assert!((flat.area() / area - 1.0).abs() < 1e-3, "{}", flat.area());
        for (splits, rounds) in [(0, 0), (0, 5), (2, 0), (2, 12)] {
            let surface = void.surface(&space, &points, splits, rounds);
            assert_eq!(surface.triangles.len(), 20 << (2 * splits));
            assert!((surface.volume() / void.volume - 1.0).abs() < 1e-9);
            // Every edge has one triangle on either side.
            let mut edges = std::collections::HashMap::new();
            for t in &surface.triangles {
                for k in 0..3 {
                    *edges.entry((t[k], t[(k + 1) % 3])).or_insert(0) += 1;
                }
            }
            assert!(
                edges
                    .iter()
                    .all(|((a, b), n)| *n == 1 && edges.contains_key(&(*b, *a)))
            );
        }
        // Smoothing makes it rounder: the sphere of the same volume has the least area.
        let round = void.surface(&space, &points, 2, 12);
        let sphere = (36.0 * std::f64::consts::PI).cbrt() * void.volume.powf(2.0 / 3.0);
        assert!(round.area() < flat.area() && round.area() > sphere);
        let all = surfaces(&found, &space, &points);
        assert_eq!((all.len(), all[0].class), (1, "vacancy"));
        assert_eq!(all[0].surface, round);
    }
}
