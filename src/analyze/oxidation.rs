//! Space between the atoms: atomic density ρ_N, degree of oxidation, voids, all from one tessellation.
//!
//! - Region: Delaunay tetrahedra with circumradius ≤ α (the neighbour cutoff) and the cavities they enclose; the literal
//!   alpha shape would lose the middle of every pore.
//! - ρ_N = 1/V of the Voronoi cell; atoms on the region's boundary are surface atoms and have none.
//! - Degree of oxidation: of the tetrahedra at an atom that are inside the region and not too distorted
//!   (δ = e_max/e_mean − 1), the share with a volume above the threshold; each such tetrahedron holds one O (inferred).
//! - Voids: tetrahedra of the region with a circumradius above the void radius, joined over shared facets.

use super::AnalyzeParams;
use crate::model::geometry::distance;
use crate::numeric::neighbors::CellList;
use crate::numeric::tessellation::{Delaunay, circumsphere, delaunay, volume, voronoi_volumes};
use rayon::prelude::*;

/// The tessellation and what does not change when a threshold moves.
#[derive(Debug, Clone)]
pub struct Space {
    /// Vertices and neighbours.
    pub mesh: Delaunay,
    /// Circumradius of each tetrahedron, Å.
    pub circumradius: Vec<f64>,
    /// Volume of each tetrahedron, Å³.
    pub volume: Vec<f64>,
    /// e_max/e_mean − 1 of each tetrahedron.
    pub distortion: Vec<f64>,
    /// Volume of each atom's Voronoi cell, Å³.
    pub cell: Vec<f64>,
}

impl Space {
    /// Tessellates; `None` when the atoms lie in one plane.
    #[must_use]
    pub fn new(positions: &[[f64; 3]]) -> Option<Self> {
        let mesh = delaunay(positions)?;
        let corners = |v: &[u32; 4]| v.map(|i| positions[i as usize]);
        let measured: Vec<(f64, f64, f64)> = mesh
            .tetrahedra
            .par_iter()
            .map(|v| {
                let p = corners(v);
                let edges = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
                    .map(|(a, b)| distance(p[a], p[b]));
                let mean = edges.iter().sum::<f64>() / 6.0;
                let longest = edges.iter().copied().fold(0.0, f64::max);
                (circumsphere(p).1, volume(p), longest / mean - 1.0)
            })
            .collect();
        Some(Self {
            cell: voronoi_volumes(positions, &mesh),
            circumradius: measured.iter().map(|m| m.0).collect(),
            volume: measured.iter().map(|m| m.1).collect(),
            distortion: measured.iter().map(|m| m.2).collect(),
            mesh,
        })
    }

    /// Which tetrahedra belong to the region: circumradius ≤ `alpha`, and enclosed cavities.
    #[must_use]
    pub fn region(&self, alpha: f64) -> Vec<bool> {
        // From outside the hull, whatever can be reached through tetrahedra that are too large is outside.
        let mut outside = vec![false; self.circumradius.len()];
        let large = |tet: usize| self.circumradius[tet] > alpha;
        let mut todo: Vec<usize> = (0..outside.len())
            .filter(|&tet| large(tet) && self.mesh.neighbors[tet].contains(&None))
            .collect();
        for &tet in &todo {
            outside[tet] = true;
        }
        while let Some(tet) = todo.pop() {
            for next in self.mesh.neighbors[tet]
                .iter()
                .flatten()
                .map(|&n| n as usize)
            {
                if large(next) && !outside[next] {
                    outside[next] = true;
                    todo.push(next);
                }
            }
        }
        outside.into_iter().map(|o| !o).collect()
    }

    /// Which atoms lie on the region's boundary, or outside it.
    #[must_use]
    pub fn surface(&self, region: &[bool], atoms: usize) -> Vec<bool> {
        let mut within = vec![false; atoms];
        let mut boundary = vec![false; atoms];
        for (tet, v) in self
            .mesh
            .tetrahedra
            .iter()
            .enumerate()
            .filter(|(tet, _)| region[*tet])
        {
            for (facet, next) in self.mesh.neighbors[tet].iter().enumerate() {
                within[v[facet] as usize] = true;
                if next.is_none_or(|next| !region[next as usize]) {
                    for corner in (0..4).filter(|&corner| corner != facet) {
                        boundary[v[corner] as usize] = true;
                    }
                }
            }
        }
        within
            .into_iter()
            .zip(boundary)
            .map(|(within, boundary)| !within || boundary)
            .collect()
    }
}

/// Per atom the degree of oxidation (NaN where no tetrahedron counts), and the inferred O positions.
#[must_use]
pub fn oxidation(
    space: &Space,
    region: &[bool],
    positions: &[[f64; 3]],
    params: &AnalyzeParams,
) -> (Vec<f64>, Vec<[f64; 3]>) {
    let mut kept = vec![0u32; positions.len()];
    let mut filled = vec![0u32; positions.len()];
    let mut oxygen = Vec::new();
    for (tet, v) in space.mesh.tetrahedra.iter().enumerate() {
        let counts = region[tet]
            && space.distortion[tet] <= params.max_distortion
            && space.volume[tet] > params.sliver_volume;
        if !counts {
            continue;
        }
        let holds = space.volume[tet] > params.oxygen_volume;
        for &corner in v {
            kept[corner as usize] += 1;
            filled[corner as usize] += u32::from(holds);
        }
        if holds {
            oxygen.push(std::array::from_fn(|axis| {
                v.iter().map(|&i| positions[i as usize][axis]).sum::<f64>() / 4.0
            }));
        }
    }
    let degree = kept
        .iter()
        .zip(&filled)
        .map(|(&kept, &filled)| {
            if kept == 0 {
                f64::NAN
            } else {
                f64::from(filled) / f64::from(kept)
            }
        })
        .collect();
    (degree, oxygen)
}

/// Gaussian mean of a quantity round every atom (NaN values left out), σ in Å.
#[must_use]
pub fn smoothed(positions: &[[f64; 3]], values: &[f64], sigma: f64) -> Vec<f64> {
    if sigma <= 0.0 {
        return values.to_vec();
    }
    let list = CellList::new(positions, 3.0 * sigma);
    positions
        .par_iter()
        .map(|&center| {
            let (mut sum, mut total) = (0.0, 0.0);
            list.for_each_within(center, 3.0 * sigma, |index, d2| {
                if values[index].is_finite() {
                    let weight = (-0.5 * d2 / (sigma * sigma)).exp();
                    sum += weight * values[index];
                    total += weight;
                }
            });
            if total > 0.0 { sum / total } else { f64::NAN }
        })
        .collect()
}

/// One connected void.
#[derive(Debug, Clone, PartialEq)]
pub struct Void {
    /// Å³.
    pub volume: f64,
    /// Mean of its tetrahedra's centres weighted by volume, Å.
    pub center: [f64; 3],
    /// Whether it touches the region's boundary: roughness of the surface, not a void.
    pub at_surface: bool,
}

/// From which volume (Å³) a void is a vacancy, a nano-pore, a large pore (Zr).
pub const VOID_CLASSES: [f64; 3] = [45.0, 125.0, 4500.0];

/// Voids of the region, largest first.
#[must_use]
pub fn voids(
    space: &Space,
    region: &[bool],
    positions: &[[f64; 3]],
    void_radius: f64,
) -> Vec<Void> {
    let is_void = |tet: usize| region[tet] && space.circumradius[tet] > void_radius;
    let mut seen = vec![false; region.len()];
    let mut found = Vec::new();
    for start in 0..region.len() {
        if seen[start] || !is_void(start) {
            continue;
        }
        seen[start] = true;
        let mut todo = vec![start];
        let mut void = Void {
            volume: 0.0,
            center: [0.0; 3],
            at_surface: false,
        };
        while let Some(tet) = todo.pop() {
            let part = space.volume[tet];
            void.volume += part;
            for axis in 0..3 {
                let middle: f64 = space.mesh.tetrahedra[tet]
                    .iter()
                    .map(|&i| positions[i as usize][axis])
                    .sum::<f64>()
                    / 4.0;
                void.center[axis] += part * middle;
            }
            for next in space.mesh.neighbors[tet] {
                match next.map(|n| n as usize) {
                    Some(next) if region[next] => {
                        if is_void(next) && !seen[next] {
                            seen[next] = true;
                            todo.push(next);
                        }
                    }
                    _ => void.at_surface = true,
                }
            }
        }
        if void.volume > 0.0 {
            void.center = void.center.map(|c| c / void.volume);
        }
        found.push(void);
    }
    found.sort_by(|a, b| b.volume.total_cmp(&a.volume));
    found
}

/// Volume of the region, Å³.
#[must_use]
pub fn region_volume(space: &Space, region: &[bool]) -> f64 {
    space
        .volume
        .iter()
        .zip(region)
        .filter(|(_, inside)| **inside)
        .map(|(v, _)| v)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ball of fcc with cell edge `a`, a little jittered so that nothing is degenerate.
    fn fcc_ball(a: f64, radius: f64) -> Vec<[f64; 3]> {
        let n = (2.0 * radius / a).ceil() as i32;
        let mut points = Vec::new();
        for i in -n..=n {
            for j in -n..=n {
                for k in (-n..=n).filter(|k| (i + j + k) % 2 == 0) {
                    let p = [f64::from(i), f64::from(j), f64::from(k)].map(|v| v * a / 2.0);
                    let h = f64::from((i * 73 + j * 179 + k * 283) % 101) / 101.0 - 0.5;
                    if p.iter().map(|v| v * v).sum::<f64>() < radius * radius {
                        points.push([p[0] + 1e-3 * h, p[1] - 1e-3 * h * h, p[2] + 7e-4 * h]);
                    }
                }
            }
        }
        points
    }

    #[test]
    fn the_zirconia_lattice_is_fully_oxidised_and_the_metal_is_not() {
        for (a, expected) in [(5.09, 1.0), (4.53, 0.0)] {
            let points = fcc_ball(a, 16.0);
            let space = Space::new(&points).unwrap();
            let region = space.region(4.5);
            let surface = space.surface(&region, points.len());
            let (degree, oxygen) = oxidation(&space, &region, &points, &AnalyzeParams::default());
            let inner: Vec<usize> = (0..points.len())
                .filter(|&i| !surface[i] && points[i].iter().map(|v| v * v).sum::<f64>() < 81.0)
                .collect();
            assert!(inner.len() > 50);
            for &i in &inner {
                assert!(
                    (space.cell[i] - a.powi(3) / 4.0).abs() < 0.05,
                    "{}",
                    space.cell[i]
                );
            }
            let mean = inner.iter().map(|&i| degree[i]).sum::<f64>() / inner.len() as f64;
            assert!((mean - expected).abs() < 0.02, "a {a}: {mean}");
            assert_eq!(oxygen.is_empty(), expected == 0.0);
        }
    }

    #[test]
    fn a_missing_atom_of_zirconia_is_a_vacancy_of_its_known_volume() {
        let mut points = fcc_ball(5.09, 16.0);
        let center = points
            .iter()
            .position(|p| p.iter().all(|v| v.abs() < 0.1))
            .unwrap();
        points.remove(center);
        let space = Space::new(&points).unwrap();
        let region = space.region(4.5);
        let found = voids(&space, &region, &points, 3.19);
        let inner: Vec<&Void> = found.iter().filter(|v| !v.at_surface).collect();
        assert_eq!(inner.len(), 1, "{found:?}");
        assert!(
            (inner[0].volume - 109.89).abs() < 0.5,
            "{}",
            inner[0].volume
        );
        assert!(inner[0].center.iter().all(|c| c.abs() < 0.1));
    }
}
