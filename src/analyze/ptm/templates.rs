//! The ideal neighbourhoods, and every graph their convex hulls can have.
//!
//! A neighbourhood is known by the graph of its hull (Larsen et al. 2016): all facets are triangles, because noise splits
//! the squares of fcc and hcp and the rhombi of bcc along one of their diagonals. Here the graphs are not a table but
//! follow from the templates: every choice of diagonals that differs by more than a rotation gives one (8 for fcc, 16 for
//! hcp, 218 for bcc, 1 for ico and sc). A graph is written down as the code of a walk from one of its directed edges; the
//! library holds the codes of all edges a walk may start from, so that one walk finds all correspondences.

use super::rotation::{Quaternion, product, superpose};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Most neighbours of a template.
pub const MOST: usize = 14;
/// Labels of a walk: two for every edge (3n − 6 of them) and an end for every point.
const CODE: usize = 7 * MOST - 12;
const NONE: u8 = u8::MAX;

/// A local structure; the numbers are those of the `ptm` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Structure {
    /// Not one of the others.
    #[value(skip)]
    Other = 0,
    /// Face-centred cubic: 12 neighbours.
    Fcc = 1,
    /// Hexagonal close-packed: 12 neighbours.
    Hcp = 2,
    /// Body-centred cubic: 8 and 6 neighbours.
    Bcc = 3,
    /// Icosahedron: 12 neighbours.
    Ico = 4,
    /// Simple cubic: 6 neighbours.
    Sc = 5,
}

impl Structure {
    /// Those with a template.
    pub const ALL: [Self; 5] = [Self::Fcc, Self::Hcp, Self::Bcc, Self::Ico, Self::Sc];

    /// Lower case, as in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Fcc => "fcc",
            Self::Hcp => "hcp",
            Self::Bcc => "bcc",
            Self::Ico => "ico",
            Self::Sc => "sc",
        }
    }

    /// Neighbours of the template; 0 without one.
    #[must_use]
    pub fn neighbors(self) -> usize {
        match self {
            Self::Other => 0,
            Self::Fcc | Self::Hcp | Self::Ico => 12,
            Self::Bcc => 14,
            Self::Sc => 6,
        }
    }

    /// The template; `None` for [`Structure::Other`].
    #[must_use]
    pub fn template(self) -> Option<&'static Template> {
        LIBRARY.templates.get((self as usize).wrapping_sub(1))
    }
}

/// An ideal neighbourhood around the origin.
#[derive(Debug)]
pub struct Template {
    /// The neighbours; their mean distance is 1. Cubic ones along ⟨100⟩, hcp with a along x and c along z, ico with
    /// two-fold axes along x, y, z.
    pub points: Vec<[f64; 3]>,
    /// `Σ |t|²`.
    pub norm: f64,
    /// Lattice constant in units of the mean neighbour distance: the cube's edge; for hcp a (c/a is ideal); for ico the
    /// distance from the centre to a corner.
    pub lattice: f64,
    /// Rotations of the crystal (for ico of the cluster). For hcp those of the lattice (622), which also exchange the
    /// two kinds of atoms.
    pub symmetry: Vec<Quaternion>,
}

/// The neighbours of a structure in the order of a walk: `vertex[label]` is the template's point.
#[derive(Debug, Clone, Copy)]
pub struct Correspondence {
    /// The template.
    pub structure: Structure,
    /// Its points in the order of the walk.
    pub vertex: [u8; MOST],
}

/// A triangulated polyhedron: `third[a][b]` closes the triangle (a, b, ·) to the left of the edge from a to b.
pub type Triangles = [[u8; MOST]; MOST];

/// A walk: each label's neighbours anticlockwise, by label, ended by [`NONE`].
pub struct Walk {
    code: [u8; CODE],
    length: usize,
    /// Points in the order in which they were met.
    pub order: [u8; MOST],
}

impl Walk {
    /// The code.
    #[must_use]
    pub fn code(&self) -> &[u8] {
        &self.code[..self.length]
    }
}

/// The triangles of a closed surface of `count` points, corners anticlockwise from outside.
#[must_use]
pub fn triangles(facets: impl Iterator<Item = [u8; 3]>) -> Triangles {
    let mut third = [[NONE; MOST]; MOST];
    for [a, b, c] in facets {
        third[a as usize][b as usize] = c;
        third[b as usize][c as usize] = a;
        third[c as usize][a as usize] = b;
    }
    third
}

/// Directed edges from which walks start: those with the largest degrees of both ends and of the point to the left.
fn starts(third: &Triangles, count: usize) -> impl Iterator<Item = (u8, u8)> {
    let degree: [u8; MOST] =
        std::array::from_fn(|a| third[a].iter().filter(|&&c| c != NONE).count() as u8);
    let weight = move |a: usize, b: usize, c: u8| {
        u32::from(degree[a]) << 16 | u32::from(degree[b]) << 8 | u32::from(degree[c as usize])
    };
    let edges = move |third: &Triangles| {
        let third = *third;
        (0..count).flat_map(move |a| {
            (0..count)
                .filter(move |&b| third[a][b] != NONE)
                .map(move |b| (a as u8, b as u8, weight(a, b, third[a][b])))
        })
    };
    let most = edges(third).map(|e| e.2).max().unwrap_or(0);
    edges(third)
        .filter(move |e| e.2 == most)
        .map(|(a, b, _)| (a, b))
}

/// The walk of a polyhedron from its first possible start; `None` without edges.
#[must_use]
pub fn first_walk(third: &Triangles, count: usize) -> Option<Walk> {
    let start = starts(third, count).next()?;
    walk(third, count, start)
}

fn walk(third: &Triangles, count: usize, (from, to): (u8, u8)) -> Option<Walk> {
    let mut label = [NONE; MOST];
    // The neighbour through which a point was met: its turn begins there.
    let mut via = [NONE; MOST];
    let mut walk = Walk {
        code: [NONE; CODE],
        length: 0,
        order: [NONE; MOST],
    };
    (walk.order[0], walk.order[1]) = (from, to);
    (label[from as usize], label[to as usize]) = (0, 1);
    (via[from as usize], via[to as usize]) = (to, from);
    let mut met = 2;
    for turn in 0..count {
        // Not reached: the graph is in pieces.
        let here = *walk.order[..met].get(turn)? as usize;
        let mut next = via[here];
        loop {
            if label[next as usize] == NONE {
                label[next as usize] = met as u8;
                via[next as usize] = here as u8;
                walk.order[met] = next;
                met += 1;
            }
            *walk.code.get_mut(walk.length)? = label[next as usize];
            walk.length += 1;
            next = third[here][next as usize];
            if next == via[here] {
                break;
            }
            if next == NONE {
                return None;
            }
        }
        *walk.code.get_mut(walk.length)? = NONE;
        walk.length += 1;
    }
    Some(walk)
}

/// The templates and the codes of their graphs.
pub struct Library {
    templates: Vec<Template>,
    codes: HashMap<Box<[u8]>, Vec<Correspondence>>,
}

/// Made at the first use, in some milliseconds.
pub static LIBRARY: LazyLock<Library> = LazyLock::new(Library::new);

impl Library {
    fn new() -> Self {
        let mut library = Self {
            templates: Vec::new(),
            codes: HashMap::new(),
        };
        for structure in Structure::ALL {
            let points = ideal(structure);
            let turns = turns(&points);
            let mut symmetry: Vec<Quaternion> = turns.iter().map(|turn| turn.0).collect();
            if structure == Structure::Hcp {
                // The two atoms of a cell differ by half a turn about c.
                let other = symmetry.clone();
                symmetry.extend(other.iter().map(|&q| product(q, [0.0, 0.0, 0.0, 1.0])));
            }
            library.add_graphs(structure, &points, &turns);
            library.templates.push(Template {
                norm: points.iter().map(|&p| dot(p, p)).sum(),
                lattice: lattice(structure),
                points,
                symmetry,
            });
        }
        library
    }

    /// All correspondences of a walk with templates that differ by more than a rotation of the template.
    #[must_use]
    pub fn find(&self, walk: &Walk) -> &[Correspondence] {
        self.codes.get(walk.code()).map_or(&[], Vec::as_slice)
    }

    fn add_graphs(&mut self, structure: Structure, points: &[[f64; 3]], turns: &[Turn]) {
        let faces = faces(points);
        for choice in choices(&faces, turns) {
            let triangles = triangles(split(&faces, choice).into_iter());
            for start in starts(&triangles, points.len()) {
                let walk = walk(&triangles, points.len(), start)
                    .expect("the surface of a template is closed");
                let known = self.codes.entry(walk.code().into()).or_default();
                let new = Correspondence {
                    structure,
                    vertex: walk.order,
                };
                let same = |old: &Correspondence| {
                    old.structure == structure && turns.iter().any(|t| t.takes(&new, old))
                };
                if !known.iter().any(same) {
                    known.push(new);
                }
            }
        }
    }
}

/// A rotation of a template, and where it takes each point.
struct Turn(Quaternion, Vec<u8>);

impl Turn {
    fn takes(&self, from: &Correspondence, to: &Correspondence) -> bool {
        let count = self.1.len();
        (0..count).all(|label| self.1[from.vertex[label] as usize] == to.vertex[label])
    }
}

/// All proper rotations that take a set of points to itself.
fn turns(points: &[[f64; 3]]) -> Vec<Turn> {
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    let square = |a: [f64; 3]| dot(a, a);
    let p = points[0];
    let q = *points[1..]
        .iter()
        .find(|&&q| square(cross(p, q)) > 1e-6)
        .expect("a template spans space");
    let mut found = Vec::new();
    for &a in points.iter().filter(|&&a| near(square(a), square(p))) {
        for &b in points {
            if !near(square(b), square(q)) || !near(dot(a, b), dot(p, q)) {
                continue;
            }
            // Two vectors and their product fix the rotation.
            let mut s = [[0.0; 3]; 3];
            for (left, right) in [(p, a), (q, b), (cross(p, q), cross(a, b))] {
                correlate(&mut s, left, right);
            }
            let turn = superpose(&s);
            let images: Option<Vec<u8>> = points
                .iter()
                .map(|&point| {
                    let image = super::rotation::rotate(turn, point);
                    let to = |&o: &[f64; 3]| (0..3).all(|k| near(o[k], image[k]));
                    points.iter().position(to).map(|index| index as u8)
                })
                .collect();
            if let Some(images) = images {
                found.push(Turn(turn, images));
            }
        }
    }
    found
}

/// Adds `left ⊗ right`.
pub fn correlate(s: &mut [[f64; 3]; 3], left: [f64; 3], right: [f64; 3]) {
    for (row, l) in s.iter_mut().zip(left) {
        for (v, r) in row.iter_mut().zip(right) {
            *v += l * r;
        }
    }
}

/// The neighbours of a structure, mean distance 1.
fn ideal(structure: Structure) -> Vec<[f64; 3]> {
    let golden = (1.0 + 5f64.sqrt()) / 2.0;
    let signs = [1.0, -1.0];
    let cyclic = |v: [f64; 3]| [v, [v[2], v[0], v[1]], [v[1], v[2], v[0]]];
    let mut points: Vec<[f64; 3]> = Vec::new();
    match structure {
        Structure::Other => {}
        Structure::Fcc | Structure::Ico => {
            let long = if structure == Structure::Fcc {
                1.0
            } else {
                golden
            };
            for a in signs {
                for b in signs {
                    points.extend(cyclic([0.0, a, long * b]));
                }
            }
        }
        Structure::Hcp => {
            for k in 0..6 {
                let angle = f64::from(k) * std::f64::consts::FRAC_PI_3;
                points.push([angle.cos(), angle.sin(), 0.0]);
            }
            for k in 0..3 {
                let angle = (0.5 + 2.0 * f64::from(k)) * std::f64::consts::FRAC_PI_3;
                let flat = 1.0 / 3f64.sqrt();
                let (x, y) = (flat * angle.cos(), flat * angle.sin());
                points.extend(signs.map(|sign| [x, y, sign * (2.0f64 / 3.0).sqrt()]));
            }
        }
        Structure::Bcc => {
            for a in signs {
                points.extend(cyclic([a, 0.0, 0.0]));
                for b in signs {
                    points.extend(signs.map(|c| [0.5 * a, 0.5 * b, 0.5 * c]));
                }
            }
        }
        Structure::Sc => {
            for a in signs {
                points.extend(cyclic([a, 0.0, 0.0]));
            }
        }
    }
    let mean = points.iter().map(|&p| dot(p, p).sqrt()).sum::<f64>() / points.len().max(1) as f64;
    points.iter().map(|p| p.map(|v| v / mean)).collect()
}

/// Lattice constant over the mean neighbour distance.
fn lattice(structure: Structure) -> f64 {
    match structure {
        Structure::Fcc => 2f64.sqrt(),
        // Eight neighbours at √3/2 and six at 1 cube edge.
        Structure::Bcc => 14.0 / (4.0 * 3f64.sqrt() + 6.0),
        _ => 1.0,
    }
}

/// The flat faces of the hull of a template, corners anticlockwise from outside.
fn faces(points: &[[f64; 3]]) -> Vec<Vec<u8>> {
    let count = points.len();
    let mut found: Vec<Vec<u8>> = Vec::new();
    for a in 0..count {
        for b in 0..count {
            for c in 0..count {
                if a == b || b == c || a == c {
                    continue;
                }
                let normal = cross(sub(points[b], points[a]), sub(points[c], points[a]));
                let height = |p: usize| dot(normal, sub(points[p], points[a]));
                if dot(normal, points[a]) < 1e-9 || (0..count).any(|p| height(p) > 1e-9) {
                    continue;
                }
                let mut face: Vec<u8> = (0..count)
                    .filter(|&p| height(p) > -1e-9)
                    .map(|p| p as u8)
                    .collect();
                // Anticlockwise about the normal, from the smallest index on.
                let along = sub(points[face[0] as usize], scaled_center(points, &face));
                let across = cross(normal, along);
                let middle = scaled_center(points, &face);
                let length = dot(normal, normal).sqrt();
                face.sort_by(|&p, &q| {
                    let angle = |p: u8| {
                        let d = sub(points[p as usize], middle);
                        let turn = (dot(across, d) / length).atan2(dot(along, d));
                        if turn < -1e-9 {
                            turn + std::f64::consts::TAU
                        } else {
                            turn
                        }
                    };
                    angle(p).total_cmp(&angle(q))
                });
                if !found.contains(&face) {
                    found.push(face);
                }
            }
        }
    }
    found
}

fn scaled_center(points: &[[f64; 3]], face: &[u8]) -> [f64; 3] {
    let share = 1.0 / face.len() as f64;
    std::array::from_fn(|k| share * face.iter().map(|&p| points[p as usize][k]).sum::<f64>())
}

/// The choices of diagonals that differ by more than a rotation: of those that are one by rotation the smallest.
fn choices(faces: &[Vec<u8>], turns: &[Turn]) -> Vec<u32> {
    let squares: Vec<&Vec<u8>> = faces.iter().filter(|face| face.len() == 4).collect();
    let moved: Vec<Vec<(usize, bool)>> = turns
        .iter()
        .map(|turn| squares_moved(&squares, &turn.1))
        .collect();
    (0..1u32 << squares.len())
        .filter(|choice| {
            moved.iter().all(|moved| {
                let image = moved
                    .iter()
                    .enumerate()
                    .fold(0, |image, (from, (to, flip))| {
                        image | ((choice >> from & 1) ^ u32::from(*flip)) << to
                    });
                *choice <= image
            })
        })
        .collect()
}

/// Where a rotation takes each square, and whether it exchanges the two diagonals.
fn squares_moved(squares: &[&Vec<u8>], images: &[u8]) -> Vec<(usize, bool)> {
    squares
        .iter()
        .map(|square| {
            let image: Vec<u8> = square.iter().map(|&p| images[p as usize]).collect();
            let to = squares
                .iter()
                .position(|other| other.iter().all(|p| image.contains(p)))
                .expect("a rotation of the template takes faces to faces");
            let first = [squares[to][0], squares[to][2]];
            (to, !first.contains(&image[0]))
        })
        .collect()
}

/// The faces as triangles; bit k of `choice` takes the other diagonal of the k-th square.
fn split(faces: &[Vec<u8>], choice: u32) -> Vec<[u8; 3]> {
    let mut triangles = Vec::new();
    let mut square = 0;
    for face in faces {
        match face[..] {
            [a, b, c] => triangles.push([a, b, c]),
            [a, b, c, d] => {
                if choice >> square & 1 == 0 {
                    triangles.extend([[a, b, c], [a, c, d]]);
                } else {
                    triangles.extend([[b, c, d], [b, d, a]]);
                }
                square += 1;
            }
            _ => unreachable!("faces of the templates have three or four corners"),
        }
    }
    triangles
}

fn sub(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
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

    #[test]
    fn templates_have_the_symmetry_of_their_crystals() {
        let orders: Vec<usize> = Structure::ALL
            .iter()
            .map(|s| s.template().expect("a template").symmetry.len())
            .collect();
        assert_eq!(orders, [24, 12, 24, 60, 24]);
        for structure in Structure::ALL {
            let template = structure.template().expect("a template");
            assert_eq!(template.points.len(), structure.neighbors());
            let sum = template
                .points
                .iter()
                .fold([0.0; 3], |s, p| [s[0] + p[0], s[1] + p[1], s[2] + p[2]]);
            assert!(dot(sum, sum) < 1e-20, "the barycentre is the centre");
        }
        assert!(Structure::Other.template().is_none());
    }

    #[test]
    fn the_graphs_are_as_many_as_rotations_leave() {
        // Burnside's lemma over the choices of diagonals: (64 + 48 + 32 + 48)/24 = 8 for fcc, (64 + 8 + 24)/6 = 16 for
        // hcp, (4096 + 48 + 192 + 128 + 768)/24 = 218 for bcc.
        for (structure, expected) in [
            (Structure::Fcc, 8),
            (Structure::Hcp, 16),
            (Structure::Bcc, 218),
            (Structure::Ico, 1),
            (Structure::Sc, 1),
        ] {
            let points = ideal(structure);
            let found = choices(&faces(&points), &turns(&points));
            assert_eq!(found.len(), expected, "{structure:?}");
        }
    }

    #[test]
    fn every_walk_of_a_template_is_found_again() {
        for structure in Structure::ALL {
            let points = ideal(structure);
            let faces = faces(&points);
            let squares = faces.iter().filter(|face| face.len() == 4).count();
            for choice in (0..1u32 << squares).step_by(7) {
                let third = triangles(split(&faces, choice).into_iter());
                let walk = first_walk(&third, points.len()).expect("closed");
                let found = LIBRARY.find(&walk);
                assert!(found.iter().any(|c| c.structure == structure));
            }
        }
    }
}
