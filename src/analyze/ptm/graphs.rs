//! Every graph that the convex hull of an ideal neighbourhood can have.
//!
//! A neighbourhood is known by the graph of its hull (Larsen et al. 2016): all facets are triangles, because noise splits
//! the squares of fcc and hcp and the rhombi of bcc along one of their diagonals. Here the graphs are not a table but
//! follow from the templates: every choice of diagonals that differs by more than a rotation gives one (8 for fcc, 16 for
//! hcp, 218 for bcc, 1 for ico and sc). A graph is written down as the code of a walk from one of its directed edges; the
//! codes of all edges a walk may start from are kept, so that one walk finds all correspondences.

use super::templates::{MOST, Structure, Template, Turn};
use crate::model::geometry::{cross, dot, subtract};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Labels of a walk: two for every edge (3n − 6 of them) and an end for every point.
const CODE: usize = 7 * MOST - 12;
const NONE: u8 = u8::MAX;

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

/// The codes of the graphs of all templates.
static GRAPHS: LazyLock<HashMap<Box<[u8]>, Vec<Correspondence>>> = LazyLock::new(|| {
    let mut graphs = HashMap::new();
    for structure in Structure::ALL {
        if let Some(template) = structure.template() {
            add_graphs(&mut graphs, structure, template);
        }
    }
    graphs
});

/// All correspondences of a walk with templates that differ by more than a rotation of the template.
#[must_use]
pub fn correspondences(walk: &Walk) -> &'static [Correspondence] {
    GRAPHS.get(walk.code()).map_or(&[], Vec::as_slice)
}

fn add_graphs(
    graphs: &mut HashMap<Box<[u8]>, Vec<Correspondence>>,
    structure: Structure,
    template: &Template,
) {
    let count = template.points.len();
    let faces = faces(&template.points);
    for choice in choices(&faces, &template.turns) {
        let triangles = triangles(split(&faces, choice).into_iter());
        for start in starts(&triangles, count) {
            let walk = walk(&triangles, count, start).expect("the surface of a template is closed");
            let known = graphs.entry(walk.code().into()).or_default();
            let vertex = walk.order;
            let same = |old: &Correspondence| {
                let takes = |turn: &Turn| {
                    (0..count).all(|k| turn.images[vertex[k] as usize] == old.vertex[k])
                };
                old.structure == structure && template.turns.iter().any(takes)
            };
            if !known.iter().any(same) {
                known.push(Correspondence { structure, vertex });
            }
        }
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
                let normal = cross(
                    subtract(points[b], points[a]),
                    subtract(points[c], points[a]),
                );
                let height = |p: usize| dot(normal, subtract(points[p], points[a]));
                if dot(normal, points[a]) < 1e-9 || (0..count).any(|p| height(p) > 1e-9) {
                    continue;
                }
                let mut face: Vec<u8> = (0..count)
                    .filter(|&p| height(p) > -1e-9)
                    .map(|p| p as u8)
                    .collect();
                // Anticlockwise about the normal, from the smallest index on.
                let along = subtract(points[face[0] as usize], scaled_center(points, &face));
                let across = cross(normal, along);
                let middle = scaled_center(points, &face);
                let length = dot(normal, normal).sqrt();
                face.sort_by(|&p, &q| {
                    let angle = |p: u8| {
                        let d = subtract(points[p as usize], middle);
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
        .map(|turn| squares_moved(&squares, &turn.images))
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

#[cfg(test)]
mod tests {
    use super::*;

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
            let template = structure.template().expect("a template");
            let found = choices(&faces(&template.points), &template.turns);
            assert_eq!(found.len(), expected, "{structure:?}");
        }
    }

    #[test]
    fn every_walk_of_a_template_is_found_again() {
        for structure in Structure::ALL {
            let points = &structure.template().expect("a template").points;
            let faces = faces(points);
            let squares = faces.iter().filter(|face| face.len() == 4).count();
            for choice in (0..1u32 << squares).step_by(7) {
                let third = triangles(split(&faces, choice).into_iter());
                let walk = first_walk(&third, points.len()).expect("closed");
                let found = correspondences(&walk);
                assert!(found.iter().any(|c| c.structure == structure));
            }
        }
    }
}
