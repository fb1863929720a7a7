//! A partially oxidised Zr nanoparticle that never existed: fcc metal core, crystalline and amorphous oxide,
//! vacancies and a pore, all of them known.
//!
//! - Core (phase 0): fcc Zr, lattice constant 4.667 Å, so that the usual 4.5 Å neighbor cutoff falls between the
//!   first (3.30 Å) and the second (4.67 Å) shell.
//! - Crystalline oxide (phase 1, x above the border): the fcc Zr sublattice of cubic ZrO2, 5.09 Å.
//! - Amorphous oxide (phase 2): random points at the oxide's density pushed apart by a soft repulsion
//!   `½ Σ (d₀ − d)²` until the Zr–Zr distances gather near 3.45 Å.
//! - Oxygen sits at the center of every tetrahedron of the empty-sphere (Delaunay) kind with volume above 4.68 Å³
//!   and distortion `e_max/e_avg − 1` at most 0.255: the rule by which the Zr article infers oxygen (Methods).
//!
//! Cost: O(atoms); 430 atoms take milliseconds, 15,000 a few seconds.

use super::grid::Grid;
use crate::model::Atoms;
use crate::model::geometry::{Matrix3, apply, distance, distance_squared};
use crate::monitor::{Monitor, Stopped};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// Phase number of the metal core in the `phase` column.
pub const PHASE_METAL: f64 = 0.0;
/// Phase number of the crystalline oxide.
pub const PHASE_CRYSTALLINE: f64 = 1.0;
/// Phase number of the amorphous oxide.
pub const PHASE_AMORPHOUS: f64 = 2.0;

/// No two Zr atoms of different parts are set nearer than this, Å.
const BORDER_DISTANCE: f64 = 2.95;
/// Rest length of the soft repulsion, Å: at the oxide's density it leaves the first PDF peak near 3.45 Å.
const REPULSION_LENGTH: f64 = 3.5;
/// Atoms of the amorphous part that stay nearer than this after relaxation are taken out, Å.
const SMALLEST_DISTANCE: f64 = 2.8;
/// Number density of Zr in the amorphous oxide over that of c-ZrO2: glasses are a few percent lighter.
const AMORPHOUS_DENSITY_RATIO: f64 = 0.95;
/// Oxygen fills tetrahedra above this volume, Å³ (Zr).
const OXYGEN_VOLUME: f64 = 4.68;
/// Largest distortion of a tetrahedron that can hold oxygen (Zr).
const MAX_DISTORTION: f64 = 0.255;
/// Longest edge of a tetrahedron that is looked at, Å: a longer one spans a hole, not oxide.
const LONGEST_EDGE: f64 = 5.2;

/// Parameters of the particle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct ParticleParams {
    /// Diameter of the particle, Å
    #[arg(long, default_value_t = Self::default().diameter)]
    pub diameter: f64,
    /// Diameter of the metal core as a fraction of the particle's
    #[arg(long, default_value_t = Self::default().core_fraction)]
    pub core_fraction: f64,
    /// Lattice constant of the fcc Zr core, Å
    #[arg(long, default_value_t = Self::default().metal_lattice)]
    pub metal_lattice: f64,
    /// Lattice constant of cubic ZrO2, Å
    #[arg(long, default_value_t = Self::default().oxide_lattice)]
    pub oxide_lattice: f64,
    /// Static displacement of every atom, standard deviation per axis, Å
    #[arg(long, default_value_t = Self::default().jitter)]
    pub jitter: f64,
    /// Vacancies planted in the crystalline oxide (fewer when there is no room)
    #[arg(long, default_value_t = Self::default().vacancies)]
    pub vacancies: usize,
    /// Diameter of the pore in the amorphous oxide, Å; 0 for none
    #[arg(long, default_value_t = Self::default().pore_diameter)]
    pub pore_diameter: f64,
    /// Seed of the particle
    #[arg(id = "particle_seed", long = "particle-seed", default_value_t = Self::default().seed)]
    pub seed: u64,
}

impl Default for ParticleParams {
    fn default() -> Self {
        Self {
            diameter: 30.0,
            core_fraction: 0.42,
            metal_lattice: 4.667,
            oxide_lattice: 5.09,
            jitter: 0.08,
            vacancies: 3,
            pore_diameter: 7.0,
            seed: 7,
        }
    }
}

/// A spherical hole left free of atoms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pore {
    /// Center, Å.
    pub center: [f64; 3],
    /// No Zr atom was put within this distance of the center, Å.
    pub radius: f64,
}

/// A particle and everything planted in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Particle {
    /// The Zr atoms, with the column `phase` (0 metal, 1 crystalline oxide, 2 amorphous oxide).
    pub atoms: Atoms,
    /// Oxygen positions, Å.
    pub oxygen: Vec<[f64; 3]>,
    /// Where Zr atoms were taken out of the crystalline oxide, Å.
    pub vacancies: Vec<[f64; 3]>,
    /// Pores left free.
    pub pores: Vec<Pore>,
}

/// Why no particle can be made.
#[derive(Debug, thiserror::Error)]
pub enum ParticleError {
    /// A parameter out of its range.
    #[error("{name} is {found}, expected {expected}")]
    BadParameter {
        /// Field name.
        name: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was given.
        found: f64,
    },
    /// The user stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl ParticleParams {
    fn check(&self) -> Result<(), ParticleError> {
        let bad = |name, expected, found| {
            Err(ParticleError::BadParameter {
                name,
                expected,
                found,
            })
        };
        if !(10.0..=300.0).contains(&self.diameter) {
            return bad("diameter", "10 to 300 Å", self.diameter);
        }
        if !(0.0..=0.9).contains(&self.core_fraction) {
            return bad("core_fraction", "0 to 0.9", self.core_fraction);
        }
        if !(3.9..=7.0).contains(&self.metal_lattice) {
            return bad("metal_lattice", "3.9 to 7 Å", self.metal_lattice);
        }
        if !(3.9..=7.0).contains(&self.oxide_lattice) {
            return bad("oxide_lattice", "3.9 to 7 Å", self.oxide_lattice);
        }
        if !(0.0..=0.2).contains(&self.jitter) {
            return bad("jitter", "0 to 0.2 Å", self.jitter);
        }
        if !(0.0..=self.diameter / 2.0).contains(&self.pore_diameter) {
            return bad(
                "pore_diameter",
                "0 Å to half the particle's diameter",
                self.pore_diameter,
            );
        }
        Ok(())
    }
}

/// The shape of the particle: which part of space belongs to which phase.
struct Plan {
    radius: f64,
    core_center: [f64; 3],
    core_radius: f64,
    pore: Option<Pore>,
}

impl Plan {
    fn new(params: &ParticleParams) -> Self {
        let radius = params.diameter / 2.0;
        let pore_radius = params.pore_diameter / 2.0;
        let pore = (pore_radius > 0.0).then(|| Pore {
            // One layer of atoms (about 3 Å) closes the pore towards the outside.
            center: [-(radius - pore_radius - 3.0).max(0.0), 0.0, 0.0],
            radius: pore_radius,
        });
        Self {
            radius,
            // Off center, so that the amorphous side is thick enough for the pore.
            core_center: [0.15 * radius, 0.0, 0.0],
            core_radius: params.core_fraction * radius,
            pore,
        }
    }

    fn in_particle(&self, point: [f64; 3]) -> bool {
        distance_squared(point, [0.0; 3]) <= self.radius * self.radius
    }

    fn in_core(&self, point: [f64; 3]) -> bool {
        distance_squared(point, self.core_center) <= self.core_radius * self.core_radius
    }

    fn in_pore(&self, point: [f64; 3]) -> bool {
        self.pore
            .is_some_and(|pore| distance_squared(point, pore.center) < pore.radius * pore.radius)
    }

    fn in_crystal(&self, point: [f64; 3]) -> bool {
        point[0] > 0.0 && self.in_particle(point) && !self.in_core(point) && !self.in_pore(point)
    }

    fn in_glass(&self, point: [f64; 3]) -> bool {
        point[0] <= 0.0 && self.in_particle(point) && !self.in_core(point) && !self.in_pore(point)
    }
}

/// Grows the particle.
///
/// # Errors
/// A parameter out of its range, or a stop.
pub fn grow(params: &ParticleParams, monitor: &Monitor) -> Result<Particle, ParticleError> {
    params.check()?;
    monitor.phase("Growing the particle");
    let mut rng = StdRng::seed_from_u64(params.seed);
    let plan = Plan::new(params);
    let mut placed = Grid::new(REPULSION_LENGTH.max(params.oxide_lattice));

    let core_sites = fcc_sites(
        params.metal_lattice,
        &random_rotation(&mut rng),
        plan.core_center,
        plan.radius,
    );
    let core: Vec<[f64; 3]> = core_sites
        .into_iter()
        .filter(|&site| plan.in_core(site) && plan.in_particle(site) && !plan.in_pore(site))
        .map(|site| displaced(site, params.jitter, &mut rng))
        .collect();
    for &atom in &core {
        placed.push(atom);
    }

    let oxide_sites = fcc_sites(
        params.oxide_lattice,
        &random_rotation(&mut rng),
        [0.0; 3],
        plan.radius,
    );
    let sites: Vec<[f64; 3]> = oxide_sites
        .into_iter()
        .filter(|&site| plan.in_crystal(site) && !placed.any_within(site, BORDER_DISTANCE))
        .collect();
    let (kept, vacancies) = plant_vacancies(&sites, params, &mut rng);
    let crystal: Vec<[f64; 3]> = kept
        .into_iter()
        .map(|site| displaced(site, params.jitter, &mut rng))
        .collect();
    // A vacancy on the border must not be filled by the amorphous part: it stays in the list of obstacles.
    for &atom in crystal.iter().chain(&vacancies) {
        placed.push(atom);
    }
    monitor.check()?;

    let glass = amorphous(params, &plan, &placed, &mut rng, monitor)?;
    let mut positions = core.clone();
    positions.extend(&crystal);
    positions.extend(&glass);
    let mut phase = vec![PHASE_METAL; core.len()];
    phase.resize(core.len() + crystal.len(), PHASE_CRYSTALLINE);
    phase.resize(positions.len(), PHASE_AMORPHOUS);
    let oxygen = fill_oxygen(&positions, monitor)?;
    let mut atoms = Atoms::from_positions(positions, "Zr");
    atoms.set_column("phase", "", phase);
    Ok(Particle {
        atoms,
        oxygen,
        vacancies,
        pores: plan.pore.into_iter().collect(),
    })
}

/// Sites of an fcc lattice turned by `rotation` about `origin`, within `reach` of the frame's origin.
fn fcc_sites(lattice: f64, rotation: &Matrix3, origin: [f64; 3], reach: f64) -> Vec<[f64; 3]> {
    const BASIS: [[f64; 3]; 4] = [[0.0; 3], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
    let offset = distance(origin, [0.0; 3]);
    let cells = ((reach + offset) / lattice).ceil() as i64 + 1;
    let mut sites = Vec::new();
    for i in -cells..=cells {
        for j in -cells..=cells {
            for k in -cells..=cells {
                for basis in BASIS {
                    let cell = [
                        i as f64 + basis[0],
                        j as f64 + basis[1],
                        k as f64 + basis[2],
                    ];
                    let turned = apply(rotation, cell.map(|c| c * lattice));
                    let site: [f64; 3] = std::array::from_fn(|axis| turned[axis] + origin[axis]);
                    if distance_squared(site, [0.0; 3]) <= reach * reach {
                        sites.push(site);
                    }
                }
            }
        }
    }
    sites
}

/// A rotation drawn evenly from all rotations (a unit quaternion from four normal numbers).
fn random_rotation(rng: &mut StdRng) -> Matrix3 {
    let mut q: [f64; 4] = std::array::from_fn(|_| StandardNormal.sample(rng));
    let norm = q.iter().map(|c| c * c).sum::<f64>().sqrt().max(1e-9);
    q = q.map(|c| c / norm);
    let [w, x, y, z] = q;
    [
        [
            1.0 - 2.0 * (y * y + z * z),
            2.0 * (x * y - w * z),
            2.0 * (x * z + w * y),
        ],
        [
            2.0 * (x * y + w * z),
            1.0 - 2.0 * (x * x + z * z),
            2.0 * (y * z - w * x),
        ],
        [
            2.0 * (x * z - w * y),
            2.0 * (y * z + w * x),
            1.0 - 2.0 * (x * x + y * y),
        ],
    ]
}

/// `site` displaced by a normal number per axis, cut at one and a half standard deviations.
fn displaced(site: [f64; 3], jitter: f64, rng: &mut StdRng) -> [f64; 3] {
    site.map(|x| {
        let draw: f64 = StandardNormal.sample(rng);
        // At most 1.5 sd: two neighbors can then not approach by more than 0.5 Å at the largest jitter allowed.
        x + jitter * draw.clamp(-1.5, 1.5)
    })
}

/// Splits crystal sites into those kept and the planted vacancies: sites inside the particle with most of their 12
/// neighbors in the crystal, no two of them nearer than the third shell, so that each is a separate, closed hole.
fn plant_vacancies(
    sites: &[[f64; 3]],
    params: &ParticleParams,
    rng: &mut StdRng,
) -> (Vec<[f64; 3]>, Vec<[f64; 3]>) {
    let reach = 0.85 * params.oxide_lattice;
    let outermost = params.diameter / 2.0 - 3.5;
    let grid = Grid::of(sites, reach);
    let mut inner: Vec<usize> = (0..sites.len())
        .filter(|&i| {
            distance(sites[i], [0.0; 3]) < outermost && grid.within(sites[i], reach).len() > 9
        })
        .collect();
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < params.vacancies && !inner.is_empty() {
        let pick = inner[rng.random_range(0..inner.len())];
        chosen.push(pick);
        inner.retain(|&i| distance(sites[i], sites[pick]) > 1.2 * params.oxide_lattice);
    }
    let kept = (0..sites.len())
        .filter(|i| !chosen.contains(i))
        .map(|i| sites[i])
        .collect();
    (kept, chosen.iter().map(|&i| sites[i]).collect())
}

/// Random packing of the amorphous part among the `fixed` atoms: as many points as the density asks for, pushed apart.
fn amorphous(
    params: &ParticleParams,
    plan: &Plan,
    fixed: &Grid,
    rng: &mut StdRng,
    monitor: &Monitor,
) -> Result<Vec<[f64; 3]>, ParticleError> {
    let density = AMORPHOUS_DENSITY_RATIO * 4.0 / params.oxide_lattice.powi(3);
    let wanted = (density * free_volume(plan, fixed)).round() as usize;
    let mut points: Vec<[f64; 3]> = Vec::with_capacity(wanted);
    let mut grid = Grid::new(REPULSION_LENGTH);
    // Start from a loose random packing; the distance asked for shrinks when no room is left.
    let mut spacing = BORDER_DISTANCE;
    let mut misses = 0;
    while points.len() < wanted && spacing > 1.0 {
        let point: [f64; 3] = std::array::from_fn(|_| rng.random_range(-plan.radius..plan.radius));
        let free = plan.in_glass(point)
            && !fixed.any_within(point, BORDER_DISTANCE.min(spacing + 0.3))
            && !grid.any_within(point, spacing);
        if free {
            points.push(point);
            grid.push(point);
            misses = 0;
        } else {
            misses += 1;
            if misses > 4000 + 20 * wanted {
                spacing *= 0.95;
                misses = 0;
                monitor.check()?;
            }
        }
    }
    relax(&mut points, plan, fixed, monitor)?;
    let shaken: Vec<[f64; 3]> = points
        .iter()
        .map(|&point| confined(displaced(point, params.jitter, rng), plan))
        .collect();
    Ok(without_overlaps(&shaken, fixed))
}

/// Volume of the amorphous region that the fixed atoms do not already occupy (half a neighbor distance around
/// them), Å³, on a 0.6 Å grid.
fn free_volume(plan: &Plan, fixed: &Grid) -> f64 {
    const STEP: f64 = 0.6;
    let n = (plan.radius / STEP).ceil() as i64;
    let mut count = 0usize;
    for i in -n..=n {
        for j in -n..=n {
            for k in -n..=n {
                let point = [i as f64 * STEP, j as f64 * STEP, k as f64 * STEP];
                if plan.in_glass(point) && !fixed.any_within(point, 1.72) {
                    count += 1;
                }
            }
        }
    }
    count as f64 * STEP.powi(3)
}

/// Steps of the soft repulsion; the region's walls push back the same way.
fn relax(
    points: &mut [[f64; 3]],
    plan: &Plan,
    fixed: &Grid,
    monitor: &Monitor,
) -> Result<(), Stopped> {
    const STEPS: usize = 300;
    for step in 0..STEPS {
        if step % 10 == 0 {
            monitor.check()?;
            monitor.progress(step, STEPS);
        }
        let own = Grid::of(points, REPULSION_LENGTH);
        let moved: Vec<[f64; 3]> = (0..points.len())
            .map(|i| {
                let mut push = [0.0; 3];
                let here = points[i];
                let mut add = |other: [f64; 3], d2: f64, share: f64| {
                    let d = d2.sqrt();
                    if d > 1e-6 {
                        for axis in 0..3 {
                            push[axis] +=
                                share * (REPULSION_LENGTH - d) * (here[axis] - other[axis]) / d;
                        }
                    }
                };
                own.each_within(here, REPULSION_LENGTH, |j, d2| {
                    if j != i {
                        add(points[j], d2, 0.25);
                    }
                });
                // A fixed atom cannot give way, so the movable one takes the whole step.
                fixed.each_within(here, REPULSION_LENGTH, |j, d2| add(fixed.point(j), d2, 0.5));
                confined(
                    std::array::from_fn(|axis| here[axis] + 0.5 * push[axis]),
                    plan,
                )
            })
            .collect();
        points.copy_from_slice(&moved);
    }
    Ok(())
}

/// A point brought back to the particle's surface or the pore's wall if it left the region.
fn confined(mut point: [f64; 3], plan: &Plan) -> [f64; 3] {
    if let Some(pore) = plan.pore {
        let d = distance(point, pore.center);
        if d < pore.radius {
            let scale = pore.radius / d.max(1e-6);
            point = std::array::from_fn(|axis| {
                pore.center[axis] + (point[axis] - pore.center[axis]) * scale
            });
        }
    }
    let r = distance(point, [0.0; 3]);
    if r > plan.radius {
        point = point.map(|x| x * plan.radius / r);
    }
    point
}

/// The points in order, without those that are too close to an earlier one or to a fixed atom.
fn without_overlaps(points: &[[f64; 3]], fixed: &Grid) -> Vec<[f64; 3]> {
    let mut kept = Grid::new(SMALLEST_DISTANCE);
    let mut out = Vec::with_capacity(points.len());
    for &point in points {
        if !kept.any_within(point, SMALLEST_DISTANCE) && !fixed.any_within(point, SMALLEST_DISTANCE)
        {
            kept.push(point);
            out.push(point);
        }
    }
    out
}

/// Centers of the tetrahedra that hold oxygen, in a fixed order.
///
/// A tetrahedron of atoms counts when no other atom lies inside its circumsphere (Delaunay), its volume exceeds
/// 4.68 Å³ and its distortion is at most 0.255. The search is over quadruples of mutual neighbors, which is enough
/// because an undistorted tetrahedron has short edges.
fn fill_oxygen(atoms: &[[f64; 3]], monitor: &Monitor) -> Result<Vec<[f64; 3]>, Stopped> {
    let grid = Grid::of(atoms, LONGEST_EDGE);
    let mut oxygen = Vec::new();
    for i in 0..atoms.len() {
        if i % 256 == 0 {
            monitor.check()?;
        }
        let near: Vec<usize> = grid
            .within(atoms[i], LONGEST_EDGE)
            .into_iter()
            .filter(|&j| j > i)
            .collect();
        for (a, &j) in near.iter().enumerate() {
            for (b, &k) in near.iter().enumerate().skip(a + 1) {
                if distance(atoms[j], atoms[k]) > LONGEST_EDGE {
                    continue;
                }
                for &l in &near[b + 1..] {
                    let corners = [atoms[i], atoms[j], atoms[k], atoms[l]];
                    if let Some(center) = oxygen_site(&corners, &grid) {
                        oxygen.push(center);
                    }
                }
            }
        }
    }
    Ok(oxygen)
}

/// The centroid of a tetrahedron if it holds oxygen.
fn oxygen_site(corners: &[[f64; 3]; 4], grid: &Grid) -> Option<[f64; 3]> {
    const PAIRS: [(usize, usize); 6] = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];
    let edges = PAIRS.map(|(a, b)| distance(corners[a], corners[b]));
    let mean = edges.iter().sum::<f64>() / 6.0;
    let longest = edges.iter().copied().fold(0.0, f64::max);
    if longest / mean - 1.0 > MAX_DISTORTION {
        return None;
    }
    let [a, b, c]: [[f64; 3]; 3] = std::array::from_fn(|n| {
        std::array::from_fn(|axis| corners[n + 1][axis] - corners[0][axis])
    });
    let bc = cross(b, c);
    let six_volumes = dot(a, bc);
    if six_volumes.abs() / 6.0 <= OXYGEN_VOLUME {
        return None;
    }
    // Circumcenter about corner 0: (|a|² b×c + |b|² c×a + |c|² a×b) / (2 a·(b×c)).
    let (ca, ab) = (cross(c, a), cross(a, b));
    let from_corner: [f64; 3] = std::array::from_fn(|axis| {
        (dot(a, a) * bc[axis] + dot(b, b) * ca[axis] + dot(c, c) * ab[axis]) / (2.0 * six_volumes)
    });
    let center = std::array::from_fn(|axis| corners[0][axis] + from_corner[axis]);
    let radius = dot(from_corner, from_corner).sqrt();
    // The corners themselves lie on the sphere: look a little inside it.
    if radius > LONGEST_EDGE || grid.any_within(center, radius - 1e-6) {
        return None;
    }
    Some(std::array::from_fn(|axis| {
        corners.iter().map(|p| p[axis]).sum::<f64>() / 4.0
    }))
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_distances(points: &[[f64; 3]]) -> Vec<f64> {
        points
            .iter()
            .enumerate()
            .map(|(i, &p)| {
                points
                    .iter()
                    .enumerate()
                    .filter(|&(j, _)| j != i)
                    .map(|(_, &q)| distance(p, q))
                    .fold(f64::INFINITY, f64::min)
            })
            .collect()
    }

    #[test]
    fn the_default_particle_is_clean_and_has_all_its_parts() {
        let params = ParticleParams::default();
        let particle = grow(&params, &Monitor::silent()).expect("defaults are valid");
        let positions = &particle.atoms.positions;
        let phase = particle.atoms.column("phase").expect("phases");
        let count = |p: f64| phase.iter().filter(|&&x| x == p).count();
        let (core, crystal, glass) = (
            count(PHASE_METAL),
            count(PHASE_CRYSTALLINE),
            count(PHASE_AMORPHOUS),
        );
        // Volumes over atomic volumes: core 1047 Å³ / 25.4 Å³, the oxide's two halves about 6500 Å³ / 33 Å³ less borders.
        assert!((30..55).contains(&core), "core {core}");
        assert!((120..220).contains(&crystal), "crystal {crystal}");
        assert!((130..230).contains(&glass), "glass {glass}");
        let nearest = nearest_distances(positions)
            .into_iter()
            .fold(f64::INFINITY, f64::min);
        assert!(nearest >= 2.6, "nearest pair {nearest}");
        assert!(positions.iter().all(|&p| distance(p, [0.0; 3]) <= 15.3));
        assert_eq!(particle.vacancies.len(), 3);
        let hole = &particle.pores[0];
        assert!(
            positions
                .iter()
                .all(|&p| distance(p, hole.center) >= hole.radius - 1e-9)
        );
        for vacancy in &particle.vacancies {
            assert!(positions.iter().all(|&p| distance(p, *vacancy) > 2.7));
        }
    }

    #[test]
    fn amorphous_neighbors_sit_near_3_45_and_show_no_lattice() {
        let params = ParticleParams {
            diameter: 44.0,
            vacancies: 0,
            ..ParticleParams::default()
        };
        let particle = grow(&params, &Monitor::silent()).expect("valid");
        let phase = particle.atoms.column("phase").expect("phases");
        let glass: Vec<[f64; 3]> = (0..particle.atoms.len())
            .filter(|&i| phase[i] == PHASE_AMORPHOUS)
            .map(|i| particle.atoms.positions[i])
            .collect();
        let mut first_shell = vec![0.0; 40];
        let mut pairs = [0.0; 2];
        for (i, a) in glass.iter().enumerate() {
            for b in &glass[..i] {
                let d = distance(*a, *b);
                if d < 4.5 {
                    let bin = ((d - 2.5) / 0.05).max(0.0) as usize;
                    first_shell[bin.min(39)] += 1.0 / (d * d);
                }
                // In an fcc lattice of the first distance 3.45 Å the second shell stands at 4.88 Å.
                pairs[0] += f64::from(u8::from((4.1..4.5).contains(&d)));
                pairs[1] += f64::from(u8::from((4.7..5.1).contains(&d)));
            }
        }
        let peak = (0..40)
            .max_by(|&a, &b| first_shell[a].total_cmp(&first_shell[b]))
            .expect("bins");
        let peak = 2.525 + 0.05 * peak as f64;
        assert!((3.25..3.65).contains(&peak), "first peak at {peak}");
        assert!(
            pairs[0] > 0.3 * pairs[1],
            "second shell looks crystalline: {pairs:?}"
        );
    }

    #[test]
    fn perfect_oxide_holds_two_oxygens_per_inner_zr_and_perfect_metal_none() {
        let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let oxide = fcc_sites(5.09, &identity, [0.0; 3], 12.0);
        let oxygen = fill_oxygen(&oxide, &Monitor::silent()).expect("not stopped");
        // The eight tetrahedral sites about the origin atom, at a/4 (±1, ±1, ±1).
        let near: Vec<f64> = oxygen
            .iter()
            .map(|&o| distance(o, [0.0; 3]))
            .filter(|&d| d < 2.5)
            .collect();
        assert_eq!(near.len(), 8);
        assert!(
            near.iter()
                .all(|d| (d - 5.09 / 4.0 * 3f64.sqrt()).abs() < 1e-9)
        );
        let metal = fcc_sites(4.667, &identity, [0.0; 3], 12.0);
        assert!(
            fill_oxygen(&metal, &Monitor::silent())
                .expect("not stopped")
                .is_empty()
        );
    }

    #[test]
    fn one_seed_gives_one_particle_and_another_seed_another() {
        let monitor = Monitor::silent();
        let params = ParticleParams::default();
        let first = grow(&params, &monitor).expect("valid");
        assert_eq!(first, grow(&params, &monitor).expect("valid"));
        let other = grow(&ParticleParams { seed: 8, ..params }, &monitor).expect("valid");
        assert_ne!(first.atoms.positions, other.atoms.positions);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for params in [
            ParticleParams {
                diameter: f64::NAN,
                ..ParticleParams::default()
            },
            ParticleParams {
                pore_diameter: 40.0,
                ..ParticleParams::default()
            },
            ParticleParams {
                jitter: 2.0,
                ..ParticleParams::default()
            },
        ] {
            assert!(matches!(
                grow(&params, &Monitor::silent()),
                Err(ParticleError::BadParameter { .. })
            ));
        }
    }
}
