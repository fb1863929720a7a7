//! Stepping through a model plane by plane: a plane through atoms, of a grain's lattice, or by its normal; the atomic layers
//! along that normal; their spacings; and how each layer's own fitted plane lies against the next (bending) and is turned in
//! itself (twisting).
//!
//! Layers are the peaks of the atoms' density along the normal (Gaussian of 0.1 nearest distances), parted at the valleys
//! between them; where there are none (valleys not below 60 % of the peaks, or peaks at uneven distances), slabs of the stated
//! thickness. Only the atoms of
//! the grain, when one is named, make the layers; all others are sorted into them. The twist is read off the phase of the
//! in-plane order `ψₙ = ⟨e^{inθ}⟩` over neighbours in the layer, n the smallest of 2, 4, 6 that the layers obey.

use super::ptm::{self, Structure};
use super::work::Work;
use super::{AnalyzeError, AnalyzeParams, Analyzed};
use crate::model::geometry::{cross, dot, subtract};
use crate::numeric::neighbors::CellList;
use nalgebra::{Matrix3, Vector3};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Instant;

type Point = [f64; 3];

/// How a plane is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PlaneSpec {
    /// Through atoms, by their numbers from 1: three, or the best fit to more (two rows of atoms).
    Atoms(Vec<usize>),
    /// Miller indices of a grain, by its number from 1; of hcp the first, second and fourth.
    Miller {
        /// h, k, l.
        indices: [i32; 3],
        /// The grain.
        grain: usize,
    },
    /// By its normal, through the middle of the model.
    Normal(Point),
}

impl Display for PlaneSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Atoms(atoms) => {
                let names: Vec<String> = atoms.iter().map(ToString::to_string).collect();
                write!(f, "atoms:{}", names.join(","))
            }
            Self::Miller {
                indices: [h, k, l],
                grain,
            } => write!(f, "hkl:{h},{k},{l}@{grain}"),
            Self::Normal([x, y, z]) => write!(f, "normal:{x},{y},{z}"),
        }
    }
}

impl FromStr for PlaneSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text}: expected atoms:4,17,23 or hkl:1,1,1@2 (of grain 2) or normal:0,0,1")
        };
        fn list<T: FromStr>(text: &str) -> Option<Vec<T>> {
            text.split(',')
                .map(|part| part.trim().parse().ok())
                .collect()
        }
        let (kind, rest) = text.trim().split_once(':').ok_or_else(wrong)?;
        match kind {
            "atoms" => list(rest)
                .filter(|atoms: &Vec<usize>| atoms.len() >= 3 && !atoms.contains(&0))
                .map(Self::Atoms),
            "hkl" => {
                let (indices, grain) = rest.split_once('@').unwrap_or((rest, "1"));
                let indices = list(indices).and_then(|v: Vec<i32>| v.try_into().ok());
                let grain = grain.trim().parse().ok().filter(|grain| *grain > 0);
                indices
                    .filter(|i| *i != [0; 3])
                    .zip(grain)
                    .map(|(indices, grain)| Self::Miller { indices, grain })
            }
            "normal" => list(rest)
                .and_then(|v: Vec<f64>| v.try_into().ok())
                .filter(|v: &Point| v.iter().all(|x| x.is_finite()) && dot(*v, *v) > 1e-12)
                .map(Self::Normal),
            _ => None,
        }
        .ok_or_else(wrong)
    }
}

impl TryFrom<String> for PlaneSpec {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PlaneSpec> for String {
    fn from(spec: PlaneSpec) -> Self {
        spec.to_string()
    }
}

/// A plane with axes in it; right × up is the normal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane {
    /// A point of it, Å.
    pub origin: Point,
    /// Unit vectors.
    pub normal: Point,
    /// To the right in pictures.
    pub right: Point,
    /// Up in pictures.
    pub up: Point,
}

impl Plane {
    /// The plane through a point; `right` is made perpendicular to the normal, and is any such vector where that leaves
    /// nothing. `None` without a direction.
    #[must_use]
    pub fn new(origin: Point, normal: Point, right: Point) -> Option<Self> {
        let normal = unit(normal)?;
        let within = |v: Point| {
            let height = dot(v, normal);
            let flat: Point = std::array::from_fn(|k| v[k] - height * normal[k]);
            unit(flat).filter(|_| dot(flat, flat) > 1e-6 * dot(v, v))
        };
        let right = within(right)
            .or_else(|| within([1.0, 0.0, 0.0]))
            .or_else(|| within([0.0, 1.0, 0.0]))?;
        Some(Self {
            origin,
            normal,
            right,
            up: cross(normal, right),
        })
    }

    /// Coordinates of a point to the right, up and along the normal, Å.
    #[must_use]
    pub fn coordinates(&self, point: Point) -> Point {
        let to = subtract(point, self.origin);
        [dot(to, self.right), dot(to, self.up), dot(to, self.normal)]
    }

    /// The point at these coordinates.
    #[must_use]
    pub fn point(&self, [x, y, z]: Point) -> Point {
        std::array::from_fn(|k| {
            self.origin[k] + x * self.right[k] + y * self.up[k] + z * self.normal[k]
        })
    }
}

fn unit(v: Point) -> Option<Point> {
    let length = dot(v, v).sqrt();
    (length.is_finite() && length > 1e-12).then(|| v.map(|x| x / length))
}

/// Middle and normal of the plane that fits points best, and how far they scatter from it (root mean square); `None` where they
/// lie on a line.
#[must_use]
pub fn fit_plane(points: &[Point]) -> Option<(Point, Point, f64)> {
    let n = points.len() as f64;
    let middle: Point = std::array::from_fn(|k| points.iter().map(|p| p[k]).sum::<f64>() / n);
    let mut spread = Matrix3::zeros();
    for p in points {
        let d = Vector3::from(subtract(*p, middle));
        spread += d * d.transpose() / n;
    }
    let eigen = spread.symmetric_eigen();
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| eigen.eigenvalues[a].total_cmp(&eigen.eigenvalues[b]));
    let [least, second, most] = order.map(|k| eigen.eigenvalues[k]);
    (points.len() >= 3 && second > 1e-6 * most && most > 0.0).then(|| {
        let normal: Point = eigen.eigenvectors.column(order[0]).into_owned().into();
        (middle, normal, least.max(0.0).sqrt())
    })
}

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// From and to along the normal, Å.
    pub between: [f64; 2],
    /// Mean height of its atoms, Å; the middle of an empty one.
    pub height: f64,
    /// Atoms in it.
    pub atoms: usize,
    /// Standard deviation of the heights of the atoms that make it, Å; NaN for fewer than two.
    pub roughness: f64,
    /// Normal of its own best plane; `None` for fewer than 6 atoms or a row.
    pub normal: Option<Point>,
    /// To the next layer, Å; NaN for the last or beside an empty one.
    pub spacing: f64,
    /// Angle between its own plane and the next one's (bending), radians.
    pub bend: Option<f64>,
    /// Angle by which the next layer is turned in itself (twisting), radians; anticlockwise seen against the normal.
    pub twist: Option<f64>,
    /// Mean coordination number and bond length (Å) of its atoms by the cutoff; NaN where not analysed.
    pub bonding: [f64; 2],
}

/// The layers of a plane.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// How the plane was said.
    pub spec: PlaneSpec,
    /// The plane.
    pub plane: Plane,
    /// Whether these are atomic layers; else slabs of one thickness.
    pub atomic: bool,
    /// Symmetry n of the in-plane order that the twist is read from; 0 where there is none.
    pub symmetry: u32,
    /// From the lowest to the highest.
    pub sheets: Vec<Sheet>,
    /// Number of each atom's layer.
    pub layer_of: Vec<u32>,
}

impl Stack {
    /// Mean and standard deviation of the spacings, and their number.
    #[must_use]
    pub fn spacing(&self) -> (f64, f64, usize) {
        let known: Vec<f64> = self
            .sheets
            .iter()
            .map(|s| s.spacing)
            .filter(|s| s.is_finite())
            .collect();
        let n = known.len() as f64;
        let mean = known.iter().sum::<f64>() / n;
        let square: f64 = known.iter().map(|s| (s - mean).powi(2)).sum();
        (mean, (square / (n - 1.0)).sqrt(), known.len())
    }

    /// The JSON of `layers`.
    #[must_use]
    pub fn json(&self) -> Value {
        let (mean, sd, n) = self.spacing();
        let degrees = |angle: Option<f64>| angle.map(f64::to_degrees);
        let sheets: Vec<Value> = self
            .sheets
            .iter()
            .map(|s| {
                json!({
                    "from_A": s.between[0], "to_A": s.between[1], "height_A": s.height, "n": s.atoms,
                    "roughness_A": s.roughness, "normal": s.normal, "spacing_to_next_A": s.spacing,
                    "bend_to_next_deg": degrees(s.bend), "twist_to_next_deg": degrees(s.twist),
                    "off_plane_deg": s.normal.map(|v| between(v, self.plane.normal).to_degrees()),
                    "cn": s.bonding[0], "bond_length_A": s.bonding[1],
                })
            })
            .collect();
        json!({
            "plane": self.spec.to_string(), "normal": self.plane.normal, "origin_A": self.plane.origin,
            "atomic_layers": self.atomic, "in_plane_symmetry": self.symmetry,
            "spacing_A": { "mean": mean, "sd": sd, "n": n }, "layers": sheets,
        })
    }
}

/// Angle between two undirected normals, radians.
fn between(a: Point, b: Point) -> f64 {
    dot(a, b).abs().min(1.0).acos()
}

/// Runs the part for [`super::analyze`]: column `layer`.
pub(super) fn part(work: &mut Work<'_>, params: &AnalyzeParams) -> Result<(), AnalyzeError> {
    let Some(spec) = params.plane.clone().filter(|_| work.wanted.has("layers")) else {
        if work.wanted.0.is_some() && work.wanted.has("layers") {
            work.out.notes.push("layers: no plane was given".to_owned());
        }
        work.out.atoms.columns.remove("layer");
        return Ok(());
    };
    let started = Instant::now();
    let (plane, members) =
        plane_of(&work.out, &spec).map_err(|found| AnalyzeError::BadParameter {
            name: "plane",
            expected: "a plane of this model".to_owned(),
            found,
        })?;
    let stack = stack(&work.out, spec, plane, &members, work.spacing, params.slab);
    let layers = stack.layer_of.iter().map(|&n| f64::from(n)).collect();
    work.out.atoms.set_column("layer", "", layers);
    work.out.stack = Some(stack);
    work.time("layers", started);
    Ok(())
}

/// The plane, and which atoms make its layers.
fn plane_of(out: &Analyzed, spec: &PlaneSpec) -> Result<(Plane, Vec<bool>), String> {
    let positions = &out.atoms.positions;
    let n = positions.len();
    let middle: Point =
        std::array::from_fn(|k| positions.iter().map(|p| p[k]).sum::<f64>() / n as f64);
    let all = vec![true; n];
    let no_plane = || format!("{spec}: no plane");
    match spec {
        PlaneSpec::Normal(normal) => {
            let plane = Plane::new(middle, *normal, [1.0, 0.0, 0.0]).ok_or_else(no_plane)?;
            Ok((plane, all))
        }
        PlaneSpec::Atoms(atoms) => {
            if let Some(missing) = atoms.iter().find(|&&a| a == 0 || a > n) {
                return Err(format!("{spec}: atom {missing} of {n}"));
            }
            let points: Vec<Point> = atoms.iter().map(|&a| positions[a - 1]).collect();
            let (origin, normal, _) =
                fit_plane(&points).ok_or_else(|| format!("{spec}: atoms on one line"))?;
            let row = subtract(points[1], points[0]);
            // Of the two directions the one that looks up.
            let sign = if normal[2] < 0.0 { -1.0 } else { 1.0 };
            let plane = Plane::new(origin, normal.map(|x| sign * x), row).ok_or_else(no_plane)?;
            Ok((plane, all))
        }
        PlaneSpec::Miller { indices, grain } => {
            let found = out
                .grains
                .get(grain - 1)
                .ok_or_else(|| format!("{spec}: grain {grain} of {}", out.grains.len()))?;
            let members: Vec<bool> = out
                .atoms
                .column("grain")
                .unwrap_or_default()
                .iter()
                .map(|g| *g == *grain as f64)
                .collect();
            let turn = |v: Point| ptm::rotate(found.orientation, v);
            let normal = turn(lattice_normal(found.structure, *indices));
            let own: Vec<usize> = (0..n).filter(|&i| members[i]).collect();
            let origin: Point = std::array::from_fn(|k| {
                own.iter().map(|&i| positions[i][k]).sum::<f64>() / own.len().max(1) as f64
            });
            let right = directions()
                .map(turn)
                .filter(|v| dot(*v, normal).abs() < 1e-6 * dot(*v, *v).sqrt())
                .max_by(|a, b| {
                    let along = |v: &Point| v[0].abs() / dot(*v, *v).sqrt();
                    along(a).total_cmp(&along(b))
                });
            let right = right.unwrap_or([1.0, 0.0, 0.0]);
            let plane = Plane::new(origin, normal, right).ok_or_else(no_plane)?;
            Ok((plane, members))
        }
    }
}

/// ⟨100⟩, ⟨110⟩ and ⟨111⟩, one of each pair.
fn directions() -> impl Iterator<Item = Point> {
    (0..27).filter_map(|k| {
        let v = [k / 9 - 1, k / 3 % 3 - 1, k % 3 - 1];
        let first = v.iter().find(|x| **x != 0)?;
        (*first > 0).then(|| v.map(f64::from))
    })
}

/// Normal of a lattice plane in the axes of the templates: cubic, or hcp with a along x, c along z and the ideal c/a.
fn lattice_normal(structure: Structure, indices: [i32; 3]) -> Point {
    let [h, k, l] = indices.map(f64::from);
    if structure == Structure::Hcp {
        // Reciprocal to a₁ = (1, 0, 0), a₂ = (−½, ½√3, 0), c = (0, 0, √(8/3)).
        let root3 = 3f64.sqrt();
        return [h, (h + 2.0 * k) / root3, l / (8f64 / 3.0).sqrt()];
    }
    [h, k, l]
}

/// Where layers end, from the heights of the atoms that make them; `None` where there are no layers.
fn boundaries(heights: &[f64], spacing: f64) -> Option<Vec<f64>> {
    const BIN: f64 = 0.02;
    let sigma = 0.1 * spacing / BIN;
    let low = heights.iter().copied().fold(f64::INFINITY, f64::min) - 4.0 * sigma * BIN;
    let high = heights.iter().copied().fold(f64::NEG_INFINITY, f64::max) + 4.0 * sigma * BIN;
    let bins = ((high - low) / BIN).ceil();
    if !(bins > 1.0 && bins < 1e6) {
        return None;
    }
    let mut density = vec![0.0; bins as usize + 1];
    let reach = (4.0 * sigma) as isize;
    for h in heights {
        let at = (h - low) / BIN;
        for bin in (at as isize - reach).max(0)..=(at as isize + reach) {
            if let Some(value) = density.get_mut(bin as usize) {
                *value += (-0.5 * ((bin as f64 - at) / sigma).powi(2)).exp();
            }
        }
    }
    // Peaks and the valleys between them; what no valley parts well belongs together.
    let mut peaks: Vec<usize> = (1..density.len() - 1)
        .filter(|&k| density[k] > density[k - 1] && density[k] >= density[k + 1])
        .collect();
    let valley = |a: usize, b: usize| {
        let least = (a..=b).min_by(|&x, &y| density[x].total_cmp(&density[y]));
        least.unwrap_or(a)
    };
    const DEEP: f64 = 0.6;
    loop {
        let shallow = peaks.windows(2).enumerate().filter_map(|(k, pair)| {
            let lower = density[pair[0]].min(density[pair[1]]);
            let ratio = density[valley(pair[0], pair[1])] / lower;
            (ratio > DEEP).then_some((k, ratio))
        });
        let Some((k, _)) = shallow.max_by(|a, b| a.1.total_cmp(&b.1)) else {
            break;
        };
        let weaker = usize::from(density[peaks[k + 1]] < density[peaks[k]]);
        peaks.remove(k + weaker);
    }
    if peaks.len() < 2 {
        return None;
    }
    let gaps: Vec<f64> = peaks
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64 * BIN)
        .collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let square: f64 = gaps.iter().map(|gap| (gap - mean).powi(2)).sum();
    // Planes of a crystal are never this far apart, and chance makes its peaks at uneven distances.
    const UNEVEN: f64 = 0.3;
    if mean > 2.0 * spacing || (square / gaps.len() as f64).sqrt() > UNEVEN * mean {
        return None;
    }
    let place = |bin: usize| low + bin as f64 * BIN;
    Some(
        peaks
            .windows(2)
            .map(|pair| place(valley(pair[0], pair[1])))
            .collect(),
    )
}

/// Sorts all atoms into layers and measures these.
fn stack(
    out: &Analyzed,
    spec: PlaneSpec,
    plane: Plane,
    members: &[bool],
    spacing: f64,
    slab: f64,
) -> Stack {
    let places: Vec<Point> = out
        .atoms
        .positions
        .iter()
        .map(|p| plane.coordinates(*p))
        .collect();
    let own: Vec<f64> = (0..places.len())
        .filter(|&i| members[i])
        .map(|i| places[i][2])
        .collect();
    let ends = |values: &mut dyn Iterator<Item = f64>| {
        values.fold([f64::INFINITY, f64::NEG_INFINITY], |e, v| {
            [e[0].min(v), e[1].max(v)]
        })
    };
    let [low, high] = ends(&mut places.iter().map(|p| p[2]));
    let inner = boundaries(&own, spacing);
    let atomic = inner.is_some();
    let mut edges = inner.unwrap_or_else(|| vec![-0.5 * slab, 0.5 * slab]);
    // Beyond the layers that were found they go on evenly.
    let step = match edges.len() {
        0 | 1 => slab,
        n => (edges[n - 1] - edges[0]) / (n - 1) as f64,
    };
    const MOST: usize = 2000;
    while edges.first().is_some_and(|e| *e > low) && edges.len() < MOST {
        edges.insert(0, edges[0] - step);
    }
    while edges.last().is_some_and(|e| *e <= high) && edges.len() < MOST {
        edges.push(edges[edges.len() - 1] + step);
    }
    let layer = |height: f64| {
        let above = edges.partition_point(|e| *e <= height);
        above.clamp(1, edges.len() - 1) - 1
    };
    let layer_of: Vec<u32> = places.iter().map(|p| layer(p[2]) as u32).collect();
    let mut within: Vec<Vec<usize>> = vec![Vec::new(); edges.len() - 1];
    for (atom, layer) in layer_of.iter().enumerate() {
        within[*layer as usize].push(atom);
    }
    let mut sheets: Vec<Sheet> = edges
        .windows(2)
        .zip(&within)
        .map(|(edge, atoms)| sheet(out, &plane, [edge[0], edge[1]], atoms, members, &places))
        .collect();
    let makers: Vec<Vec<Point>> = within
        .iter()
        .map(|atoms| {
            let own = atoms.iter().filter(|&&i| members[i]);
            own.map(|&i| places[i]).collect()
        })
        .collect();
    let symmetry = if atomic {
        turn(&mut sheets, &makers, out.cutoff)
    } else {
        0
    };
    for k in 1..sheets.len() {
        let (below, above) = (&sheets[k - 1], &sheets[k]);
        let full = !makers[k - 1].is_empty() && !makers[k].is_empty();
        let spacing = if atomic && full {
            above.height - below.height
        } else {
            f64::NAN
        };
        let bend = below.normal.zip(above.normal).map(|(a, b)| between(a, b));
        (sheets[k - 1].spacing, sheets[k - 1].bend) = (spacing, bend.filter(|_| atomic));
    }
    Stack {
        spec,
        plane,
        atomic,
        symmetry,
        sheets,
        layer_of,
    }
}

fn sheet(
    out: &Analyzed,
    plane: &Plane,
    between: [f64; 2],
    atoms: &[usize],
    members: &[bool],
    places: &[Point],
) -> Sheet {
    let own: Vec<usize> = atoms.iter().copied().filter(|&i| members[i]).collect();
    let makers = if own.is_empty() { atoms } else { &own };
    let n = makers.len() as f64;
    let mean = makers.iter().map(|&i| places[i][2]).sum::<f64>() / n;
    let square: f64 = makers.iter().map(|&i| (places[i][2] - mean).powi(2)).sum();
    const FEWEST: usize = 6;
    let fitted = (makers.len() >= FEWEST)
        .then(|| {
            let points: Vec<Point> = makers.iter().map(|&i| out.atoms.positions[i]).collect();
            fit_plane(&points)
        })
        .flatten();
    let average = |column: &str| {
        let Some(values) = out.atoms.column(column) else {
            return f64::NAN;
        };
        let known: Vec<f64> = atoms
            .iter()
            .map(|&i| values[i])
            .filter(|v| v.is_finite())
            .collect();
        known.iter().sum::<f64>() / known.len() as f64
    };
    Sheet {
        between,
        height: if makers.is_empty() {
            0.5 * (between[0] + between[1])
        } else {
            mean
        },
        atoms: atoms.len(),
        roughness: (square / (n - 1.0)).sqrt(),
        normal: fitted.map(|(_, normal, _)| {
            let sign = if dot(normal, plane.normal) < 0.0 {
                -1.0
            } else {
                1.0
            };
            normal.map(|x| sign * x)
        }),
        spacing: f64::NAN,
        bend: None,
        twist: None,
        bonding: [average("cn"), average("bond_length_A")],
    }
}

/// Finds how each layer is turned against the next; returns the symmetry that was used.
fn turn(sheets: &mut [Sheet], layers: &[Vec<Point>], cutoff: f64) -> u32 {
    const FEWEST: usize = 6;
    const ORDERS: [u32; 3] = [2, 4, 6];
    let orders: Vec<Option<[[f64; 2]; 3]>> = layers
        .iter()
        .map(|layer| {
            let flat: Vec<Point> = layer.iter().map(|p| [p[0], p[1], 0.0]).collect();
            let list = CellList::new(&flat, cutoff);
            let (mut sum, mut bonds) = ([[0.0; 2]; 3], 0usize);
            for (own, &center) in flat.iter().enumerate() {
                list.for_each_within(center, cutoff, |other, _| {
                    if other != own {
                        let angle = (flat[other][1] - center[1]).atan2(flat[other][0] - center[0]);
                        for (sum, order) in sum.iter_mut().zip(ORDERS) {
                            let (sin, cos) = (f64::from(order) * angle).sin_cos();
                            *sum = [sum[0] + cos, sum[1] + sin];
                        }
                        bonds += 1;
                    }
                });
            }
            let mean = sum.map(|s| s.map(|x| x / bonds as f64));
            (layer.len() >= FEWEST && bonds > 0).then_some(mean)
        })
        .collect();
    let strength = [0, 1, 2].map(|k| {
        let known: Vec<f64> = orders
            .iter()
            .flatten()
            .map(|o| o[k][0].hypot(o[k][1]))
            .collect();
        known.iter().sum::<f64>() / known.len().max(1) as f64
    });
    let most = strength.iter().copied().fold(0.0, f64::max);
    let Some(best) = (0..3)
        .find(|&k| strength[k] >= 0.9 * most)
        .filter(|_| most > 0.3)
    else {
        return 0;
    };
    let order = f64::from(ORDERS[best]);
    for k in 1..sheets.len() {
        sheets[k - 1].twist = orders[k - 1].zip(orders[k]).map(|(a, b)| {
            let ([ax, ay], [bx, by]) = (a[best], b[best]);
            // The argument of b times the conjugate of a.
            (by * ax - bx * ay).atan2(bx * ax + by * ay) / order
        });
    }
    ORDERS[best]
}

#[cfg(test)]
mod tests;
