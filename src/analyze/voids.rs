//! Voids: tetrahedra of the particle's region with a circumradius above the void radius, joined over shared facets (Zr).
//!
//! A void is a vacancy, a nano-pore or a large pore by its volume; one that touches the region's boundary is roughness of the
//! surface. Its phase is that of most of the atoms around it, its distances are theirs on average.

mod radial;
mod surfaces;

pub use radial::{CLASSES, Radial, Shell};
pub use surfaces::{VoidSurface, surfaces};

use super::oxidation::Space;

/// One connected void.
#[derive(Debug, Clone, PartialEq)]
pub struct Void {
    /// Å³.
    pub volume: f64,
    /// Mean of its tetrahedra's centres weighted by volume, Å.
    pub center: [f64; 3],
    /// Whether it touches the region's boundary: roughness of the surface, not a void.
    pub at_surface: bool,
    /// Its tetrahedra.
    pub tetrahedra: Vec<u32>,
    /// The atoms at their corners, ascending.
    pub atoms: Vec<u32>,
}

impl Void {
    /// `vacancy`, `nanopore`, `large`, or `small` below all classes.
    #[must_use]
    pub fn class(&self) -> &'static str {
        let [vacancy, pore, large] = VOID_CLASSES;
        match self.volume {
            v if v >= large => "large",
            v if v >= pore => "nanopore",
            v if v >= vacancy => "vacancy",
            _ => "small",
        }
    }

    /// Mean of a quantity over the atoms around it; NaN where none has one.
    #[must_use]
    pub fn mean_of(&self, values: &[f64]) -> f64 {
        let known = self.atoms.iter().map(|&i| values[i as usize]);
        let (mut sum, mut n) = (0.0, 0usize);
        for value in known.filter(|v| v.is_finite()) {
            sum += value;
            n += 1;
        }
        sum / n as f64
    }

    /// The commonest value of a column of classes among the atoms around it; of equals the smallest.
    #[must_use]
    pub fn commonest_of(&self, classes: &[f64]) -> Option<f64> {
        let mut counts: Vec<(f64, usize)> = Vec::new();
        for &i in &self.atoms {
            let class = classes[i as usize];
            match counts.iter_mut().find(|(known, _)| *known == class) {
                Some((_, n)) => *n += 1,
                None if class.is_finite() => counts.push((class, 1)),
                None => {}
            }
        }
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.total_cmp(&b.0)));
        Some(counts.first()?.0)
    }
}

/// From which volume (Å³) a void is a vacancy, a nano-pore, a large pore (Zr).
pub const VOID_CLASSES: [f64; 3] = [45.0, 125.0, 4500.0];

/// Voids of the region, largest first: tetrahedra of a circumradius above `void_radius` (Å) that share a face, or that
/// only a tetrahedron of less than `sliver_volume` (Å³) parts: in a lattice, four atoms of one plane span such a one or
/// none by chance.
#[must_use]
pub fn voids(
    space: &Space,
    region: &[bool],
    positions: &[[f64; 3]],
    [void_radius, sliver_volume]: [f64; 2],
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
            tetrahedra: Vec::new(),
            atoms: Vec::new(),
        };
        while let Some(tet) = todo.pop() {
            let part = space.volume[tet];
            void.tetrahedra.push(tet as u32);
            void.atoms.extend(space.mesh.tetrahedra[tet]);
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
                        let behind = if !is_void(next) && space.volume[next] < sliver_volume {
                            space.mesh.neighbors[next]
                        } else {
                            [None; 4]
                        };
                        let behind = behind.into_iter().flatten().map(|n| n as usize);
                        for near in std::iter::once(next).chain(behind) {
                            if is_void(near) && !seen[near] {
                                seen[near] = true;
                                todo.push(near);
                            }
                        }
                    }
                    _ => void.at_surface = true,
                }
            }
        }
        void.atoms.sort_unstable();
        void.atoms.dedup();
        if void.volume > 0.0 {
            void.center = void.center.map(|c| c / void.volume);
        }
        found.push(void);
    }
    found.sort_by(|a, b| b.volume.total_cmp(&a.volume));
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::oxidation::tests::fcc_ball;
    use super::*;

    /// A ball of cubic zirconia's metal without its middle atom.
    pub(super) fn with_a_vacancy() -> Vec<[f64; 3]> {
        let mut points = fcc_ball(5.09, 16.0);
        points.retain(|p| p.iter().any(|v| v.abs() > 0.1));
        points
    }

    pub(super) fn space_of(points: &[[f64; 3]]) -> (Space, Vec<Void>) {
        let space = Space::new(points).unwrap();
        let found = voids(&space, &space.region(4.5), points, [3.19, 0.5]);
        (space, found)
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
        let found = voids(&space, &region, &points, [3.19, 0.5]);
        let inner: Vec<&Void> = found.iter().filter(|v| !v.at_surface).collect();
        assert_eq!(inner.len(), 1, "{found:?}");
        assert!(
            (inner[0].volume - 109.89).abs() < 0.5,
            "{}",
            inner[0].volume
        );
        assert!(inner[0].center.iter().all(|c| c.abs() < 0.1));
    }

    #[test]
    fn a_void_knows_its_atoms() {
        let points = with_a_vacancy();
        let (_, found) = space_of(&points);
        let void = found.iter().find(|v| !v.at_surface).unwrap();
        assert_eq!((void.atoms.len(), void.class()), (12, "vacancy"));
        let ones = vec![2.0; points.len()];
        assert_eq!(
            (void.mean_of(&ones), void.commonest_of(&ones)),
            (2.0, Some(2.0))
        );
        assert!(void.mean_of(&vec![f64::NAN; points.len()]).is_nan());
    }
}
