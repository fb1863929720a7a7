//! Space between the atoms: atomic density ρ_N and degree of oxidation, from one tessellation.
//!
//! - Region: Delaunay tetrahedra with circumradius ≤ α (the neighbour cutoff) and the cavities they enclose; the literal
//!   alpha shape would lose the middle of every pore.
//! - ρ_N = 1/V of the Voronoi cell; atoms on the region's boundary are surface atoms and have none.
//! - Degree of oxidation: of the tetrahedra at an atom that are inside the region and not too distorted
//!   (δ = e_max/e_mean − 1), the share with a volume above the threshold; each such tetrahedron holds one O (inferred).
//! - Threshold sweep: the mean degree while the volume threshold moves, at the distortion limit and 10 % on either side of it;
//!   its band is the range over both thresholds ±10 %.

use super::AnalyzeParams;
use crate::model::geometry::distance;
use crate::numeric::neighbors::CellList;
use crate::numeric::surface::Surface;
use crate::numeric::tessellation::{Delaunay, circumsphere, delaunay, volume, voronoi_volumes};
use crate::numeric::voronoi::Faces;
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
    /// The faces of the Voronoi cells.
    pub faces: Faces,
}

/// The part of space that is the particle, for one α.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Region {
    /// α, Å.
    pub alpha: f64,
    /// Which tetrahedra are inside.
    pub inside: Vec<bool>,
    /// Which atoms lie on its boundary, or outside it.
    pub surface: Vec<bool>,
    /// Å³.
    pub volume: f64,
}

impl Region {
    /// The region of `space` for this α and number of atoms.
    #[must_use]
    pub fn new(space: &Space, alpha: f64, atoms: usize) -> Self {
        let inside = space.region(alpha);
        Self {
            alpha,
            surface: space.surface(&inside, atoms),
            volume: region_volume(space, &inside),
            inside,
        }
    }
}

impl Space {
    /// Tessellates; `None` when the atoms lie in one plane.
    #[must_use]
    pub fn new(positions: &[[f64; 3]]) -> Option<Self> {
        Self::of_mesh(positions, delaunay(positions)?)
    }

    /// Tessellates some of the atoms (ascending indices) only; all others have no cell.
    #[must_use]
    pub fn of_some(positions: &[[f64; 3]], chosen: &[u32]) -> Option<Self> {
        let own: Vec<[f64; 3]> = chosen.iter().map(|&i| positions[i as usize]).collect();
        let mut mesh = delaunay(&own)?;
        let corners = mesh.tetrahedra.iter_mut().flatten();
        corners.for_each(|corner| *corner = chosen[*corner as usize]);
        Self::of_mesh(positions, mesh)
    }

    fn of_mesh(positions: &[[f64; 3]], mesh: Delaunay) -> Option<Self> {
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
            faces: Faces::new(positions, &mesh),
            circumradius: measured.iter().map(|m| m.0).collect(),
            volume: measured.iter().map(|m| m.1).collect(),
            distortion: measured.iter().map(|m| m.2).collect(),
            mesh,
        })
    }

    /// Which tetrahedra belong to the region: circumradius ≤ `alpha`, and enclosed cavities.
    #[must_use]
    pub fn region(&self, alpha: f64) -> Vec<bool> {
        region_of(&self.mesh, &self.circumradius, alpha)
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

/// Which tetrahedra belong to the region of an alpha shape: circumradius ≤ `alpha`, and enclosed cavities.
fn region_of(mesh: &Delaunay, circumradius: &[f64], alpha: f64) -> Vec<bool> {
    // From outside the hull, whatever can be reached through tetrahedra that are too large is outside.
    let mut outside = vec![false; circumradius.len()];
    let large = |tet: usize| circumradius[tet] > alpha;
    let mut todo: Vec<usize> = (0..outside.len())
        .filter(|&tet| large(tet) && mesh.neighbors[tet].contains(&None))
        .collect();
    for &tet in &todo {
        outside[tet] = true;
    }
    while let Some(tet) = todo.pop() {
        for next in mesh.neighbors[tet].iter().flatten().map(|&n| n as usize) {
            if large(next) && !outside[next] {
                outside[next] = true;
                todo.push(next);
            }
        }
    }
    outside.into_iter().map(|o| !o).collect()
}

/// The surface of the alpha shape of some points, its cavities filled; no cells are made. `None` where they lie in one plane.
#[must_use]
pub fn alpha_shape(positions: &[[f64; 3]], alpha: f64) -> Option<Surface> {
    let mesh = delaunay(positions)?;
    let radius = |v: &[u32; 4]| circumsphere(v.map(|i| positions[i as usize])).1;
    let circumradius: Vec<f64> = mesh.tetrahedra.iter().map(radius).collect();
    let region = region_of(&mesh, &circumradius, alpha);
    Some(super::profiles::boundary(positions, &mesh, &region))
}

/// Which tetrahedra are filled.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Oxidation {
    /// Of each atom the filled share of its tetrahedra; NaN where none counts.
    pub degree: Vec<f64>,
    /// Of each atom the number of them.
    pub filled: Vec<u32>,
    /// Centres of the filled tetrahedra: the inferred O atoms, Å.
    pub oxygen: Vec<[f64; 3]>,
}

/// Degree of oxidation and inferred O atoms.
#[must_use]
pub fn oxidation(
    space: &Space,
    region: &[bool],
    positions: &[[f64; 3]],
    params: &AnalyzeParams,
) -> Oxidation {
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
    Oxidation {
        degree,
        filled,
        oxygen,
    }
}

/// The mean degree of oxidation against its thresholds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sweep {
    /// Volume thresholds, Å³.
    pub volumes: Vec<f64>,
    /// Limits of the distortion; the second is the one in use.
    pub distortions: [f64; 3],
    /// Name of a phase (`all` first), and the mean over its inner atoms for each limit and volume threshold.
    pub means: Vec<(String, [Vec<f64>; 3])>,
}

/// Thresholds of a sweep as parts of the one in use.
const PARTS: std::ops::RangeInclusive<i32> = 20..=60;
/// How far the band of a sweep reaches to either side.
const BAND: f64 = 0.1;

impl Sweep {
    /// Sweeps over the atoms of each group (name, and whether an atom belongs to it).
    #[must_use]
    pub fn new(
        space: &Space,
        region: &[bool],
        groups: &[(String, Vec<bool>)],
        params: &AnalyzeParams,
    ) -> Self {
        let volumes: Vec<f64> = PARTS
            .map(|k| f64::from(k) / 40.0 * params.oxygen_volume)
            .collect();
        let distortions = [1.0 - BAND, 1.0, 1.0 + BAND].map(|f| f * params.max_distortion);
        let each: Vec<Vec<Vec<f64>>> = distortions
            .par_iter()
            .map(|limit| {
                sweep_at(
                    space,
                    region,
                    groups,
                    [*limit, params.sliver_volume],
                    &volumes,
                )
            })
            .collect();
        let means = groups
            .iter()
            .enumerate()
            .map(|(g, (name, _))| (name.clone(), [0, 1, 2].map(|d| each[d][g].clone())))
            .collect();
        Self {
            volumes,
            distortions,
            means,
        }
    }

    /// Lowest and highest mean of a group over both thresholds ±10 %.
    #[must_use]
    pub fn band(&self, group: &str) -> Option<[f64; 2]> {
        let (_, means) = self.means.iter().find(|(name, _)| name == group)?;
        let middle = self.volumes.get(self.volumes.len() / 2)?;
        let near = |v: f64| (v / middle - 1.0).abs() < BAND + 1e-9;
        let all = means.iter().flat_map(|line| self.volumes.iter().zip(line));
        let band = all
            .filter(|(v, mean)| near(**v) && mean.is_finite())
            .fold([f64::INFINITY, f64::NEG_INFINITY], |band, (_, mean)| {
                [band[0].min(*mean), band[1].max(*mean)]
            });
        (band[0] <= band[1]).then_some(band)
    }
}

/// Mean degree of each group at each volume threshold. Every tetrahedron adds the same to the mean whatever the threshold, so
/// one pass sums what lies above each.
fn sweep_at(
    space: &Space,
    region: &[bool],
    groups: &[(String, Vec<bool>)],
    [distortion, sliver]: [f64; 2],
    volumes: &[f64],
) -> Vec<Vec<f64>> {
    let atoms = groups.first().map_or(0, |(_, chosen)| chosen.len());
    let counts = |tet: usize| {
        region[tet] && space.distortion[tet] <= distortion && space.volume[tet] > sliver
    };
    let mut kept = vec![0u32; atoms];
    for (tet, v) in space.mesh.tetrahedra.iter().enumerate() {
        if counts(tet) {
            v.iter().for_each(|&i| kept[i as usize] += 1);
        }
    }
    let mut sums = vec![vec![0.0; volumes.len() + 1]; groups.len()];
    for (tet, v) in space.mesh.tetrahedra.iter().enumerate() {
        if !counts(tet) {
            continue;
        }
        // Thresholds that the volume exceeds.
        let above = volumes.partition_point(|t| *t < space.volume[tet]);
        for ((_, chosen), sums) in groups.iter().zip(&mut sums) {
            let corners = v.iter().map(|&i| i as usize).filter(|&i| chosen[i]);
            sums[above] += corners.map(|i| 1.0 / f64::from(kept[i])).sum::<f64>();
        }
    }
    groups
        .iter()
        .zip(sums)
        .map(|((_, chosen), sums)| {
            let n = (0..atoms).filter(|&i| chosen[i] && kept[i] > 0).count();
            let mut total = 0.0;
            let mut line: Vec<f64> = (0..volumes.len())
                .rev()
                .map(|k| {
                    total += sums[k + 1];
                    total / n as f64
                })
                .collect();
            line.reverse();
            line
        })
        .collect()
}

/// Gaussian mean of a quantity round every atom (NaN values left out), σ in Å.
#[must_use]
pub fn smoothed(positions: &[[f64; 3]], values: &[f64], sigma: f64) -> Vec<f64> {
    let [one] = smoothed_each(positions, [values], sigma);
    one
}

/// As [`smoothed`], of several quantities at once.
#[must_use]
pub fn smoothed_each<const N: usize>(
    positions: &[[f64; 3]],
    values: [&[f64]; N],
    sigma: f64,
) -> [Vec<f64>; N] {
    if sigma <= 0.0 {
        return values.map(<[f64]>::to_vec);
    }
    let list = CellList::new(positions, 1.5 * sigma);
    let means: Vec<[f64; N]> = positions
        .par_iter()
        .map(|&center| {
            let mut sums = [(0.0, 0.0); N];
            list.for_each_within(center, 3.0 * sigma, |index, d2| {
                let weight = (-0.5 * d2 / (sigma * sigma)).exp();
                for ((sum, total), values) in sums.iter_mut().zip(values) {
                    if values[index].is_finite() {
                        *sum += weight * values[index];
                        *total += weight;
                    }
                }
            });
            sums.map(|(sum, total)| if total > 0.0 { sum / total } else { f64::NAN })
        })
        .collect();
    std::array::from_fn(|k| means.iter().map(|m| m[k]).collect())
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
pub(super) mod tests {
    use super::*;

    /// A ball of fcc with cell edge `a`, a little jittered so that nothing is degenerate.
    pub(in crate::analyze) fn fcc_ball(a: f64, radius: f64) -> Vec<[f64; 3]> {
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
    fn an_alpha_shape_is_the_boundary_of_its_region() {
        let points = fcc_ball(5.09, 14.0);
        let space = Space::new(&points).unwrap();
        let surface = alpha_shape(&points, 4.5).unwrap();
        let region = Region::new(&space, 4.5, points.len());
        assert!((surface.volume() / region.volume - 1.0).abs() < 1e-9);
        assert!(alpha_shape(&points[..2], 4.5).is_none());
    }

    #[test]
    fn the_zirconia_lattice_is_fully_oxidised_and_the_metal_is_not() {
        for (a, expected) in [(5.09, 1.0), (4.53, 0.0)] {
            let points = fcc_ball(a, 16.0);
            let space = Space::new(&points).unwrap();
            let region = space.region(4.5);
            let surface = space.surface(&region, points.len());
            let Oxidation { degree, oxygen, .. } =
                oxidation(&space, &region, &points, &AnalyzeParams::default());
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
    fn only_the_host_is_tessellated() {
        let metal = fcc_ball(5.09, 13.0);
        let mut all = metal.clone();
        // Oxygen between the first atoms, which must change nothing.
        all.extend(
            metal
                .iter()
                .take(60)
                .map(|p| [p[0] + 1.27, p[1] + 1.27, p[2] + 1.27]),
        );
        let host: Vec<u32> = (0..metal.len() as u32).collect();
        let (alone, among) = (
            Space::new(&metal).unwrap(),
            Space::of_some(&all, &host).unwrap(),
        );
        assert_eq!(alone.mesh.tetrahedra, among.mesh.tetrahedra);
        assert_eq!(alone.cell, among.cell[..metal.len()]);
        assert!(among.cell[metal.len()..].iter().all(|v| *v == 0.0));
        assert!(!among.faces.is_bounded(metal.len()));
    }

    #[test]
    fn a_sweep_passes_through_the_degree_in_use() {
        // Between metal and oxide, so that the degree is neither 0 nor 1.
        let points = fcc_ball(4.82, 14.0);
        let jittered: Vec<[f64; 3]> = points
            .iter()
            .map(|p| p.map(|x| x + 300.0 * (x * 1e3).fract().abs() * 1e-3))
            .collect();
        let params = AnalyzeParams::default();
        let space = Space::new(&jittered).unwrap();
        let region = Region::new(&space, 4.5, points.len());
        let inner: Vec<bool> = region.surface.iter().map(|s| !s).collect();
        let sweep = Sweep::new(
            &space,
            &region.inside,
            &[("all".to_owned(), inner.clone())],
            &params,
        );
        let middle = sweep.volumes.len() / 2;
        assert!((sweep.volumes[middle] - params.oxygen_volume).abs() < 1e-12);
        let degree = oxidation(&space, &region.inside, &jittered, &params).degree;
        let known: Vec<f64> = (0..points.len())
            .filter(|&i| inner[i] && degree[i].is_finite())
            .map(|i| degree[i])
            .collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let line = &sweep.means[0].1[1];
        assert!(
            (line[middle] - mean).abs() < 1e-12,
            "{} {mean}",
            line[middle]
        );
        assert!(line.windows(2).all(|w| w[0] >= w[1]) && line[0] > line[line.len() - 1]);
        let [low, high] = sweep.band("all").unwrap();
        assert!(
            low <= mean && mean <= high && low < high,
            "{low} {mean} {high}"
        );
    }
}
