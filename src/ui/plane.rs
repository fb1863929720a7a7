//! Planes that the slice views cut: along the axes, through three atoms, or seen along a row; and where the next layer of
//! atoms lies.

/// Directions of a plane on the screen: orthonormal and right-handed or not as the view has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlaneAxes {
    /// To the right.
    pub right: [f64; 3],
    /// Up.
    pub up: [f64; 3],
    /// Along which the plane is stepped.
    pub normal: [f64; 3],
}

impl Default for PlaneAxes {
    /// The horizontal plane turned half-way about y: as good as any until one is chosen.
    fn default() -> Self {
        Self::looking_along([1.0, 0.0, 1.0]).expect("the direction has a length")
    }
}

impl PlaneAxes {
    /// The plane of two axes of the volume, stepped along the third.
    #[must_use]
    pub fn of_axes([right, up, normal]: [usize; 3]) -> Self {
        let unit = |axis: usize| std::array::from_fn(|a| if a == axis { 1.0 } else { 0.0 });
        Self {
            right: unit(right),
            up: unit(up),
            normal: unit(normal),
        }
    }

    /// The plane across a direction; `None` when it has no length. Up is as near to y as can be, the tilt axis, so that
    /// planes seen along directions across it are turned about it.
    #[must_use]
    pub fn looking_along(direction: [f64; 3]) -> Option<Self> {
        let normal = unit(direction)?;
        let up = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
            .into_iter()
            .find_map(|axis: [f64; 3]| {
                let along = dot(axis, normal);
                let rest: [f64; 3] = std::array::from_fn(|a| axis[a] - along * normal[a]);
                (dot(rest, rest) > 0.05).then(|| unit(rest)).flatten()
            })?;
        let right = cross(up, normal);
        Some(Self { right, up, normal })
    }

    /// The plane through three points, the first two to the right of each other; `None` when they lie on a line.
    #[must_use]
    pub fn through([a, b, c]: [[f64; 3]; 3]) -> Option<Self> {
        let right = unit(minus(b, a))?;
        let beside = minus(c, a);
        let along = dot(beside, right);
        let across: [f64; 3] = std::array::from_fn(|k| beside[k] - along * right[k]);
        // A hundredth of an ångström is no direction.
        if dot(across, across) < 1e-4 {
            return None;
        }
        let up = unit(across)?;
        Some(Self {
            right,
            up,
            normal: cross(right, up),
        })
    }

    /// Å to the right, up and along the normal, of a point.
    #[must_use]
    pub fn coordinates(&self, point: [f64; 3]) -> [f64; 3] {
        [self.right, self.up, self.normal].map(|axis| dot(axis, point))
    }

    /// The point with these coordinates.
    #[must_use]
    pub fn point(&self, [right, up, along]: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|a| right * self.right[a] + up * self.up[a] + along * self.normal[a])
    }
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|k| a[k] - b[k])
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

fn unit(v: [f64; 3]) -> Option<[f64; 3]> {
    let length = dot(v, v).sqrt();
    (length.is_finite() && length > 1e-9).then(|| v.map(|x| x / length))
}

/// Å along the normal to the next layer of atoms (`up`) or the one before, near a place.
///
/// Layers are the maxima of the atoms' density along the normal, within 12 Å of the axis through the place; where there
/// are none (a glass) the step is that between close-packed layers, `√(2/3)` of the spacing.
#[must_use]
pub fn to_next_layer(
    positions: &[[f64; 3]],
    axes: &PlaneAxes,
    place: [f64; 3],
    spacing: f64,
    up: bool,
) -> f64 {
    /// How far to the side atoms belong to the layer that is looked at, Å.
    const BESIDE: f64 = 12.0;
    /// Width of an atom in its layer, Å: thermal motion, strain and errors of position.
    const BLUR: f64 = 0.25;
    /// Step of the search, Å.
    const STEP: f64 = 0.05;
    /// A layer is one whose edges are below this share of its density.
    const EDGE: f64 = 0.7;
    let sign = if up { 1.0 } else { -1.0 };
    let reach = 1.6 * spacing;
    let heights: Vec<f64> = positions
        .iter()
        .filter_map(|p| {
            let [right, above, along] = axes.coordinates(minus(*p, place));
            let near = right * right + above * above < BESIDE * BESIDE;
            let height = sign * along;
            (near && height.abs() < reach + 4.0 * BLUR).then_some(height)
        })
        .collect();
    let density = |h: f64| -> f64 {
        heights
            .iter()
            .map(|x| (-0.5 * ((x - h) / BLUR).powi(2)).exp())
            .sum()
    };
    let n = (reach / STEP) as usize;
    let values: Vec<f64> = (0..=n).map(|k| density(k as f64 * STEP)).collect();
    // The layer one stands in ends where the density has fallen.
    let mut lowest = values[0];
    let mut top: Option<(usize, f64)> = None;
    for (k, &value) in values.iter().enumerate().skip(1) {
        if let Some((at, highest)) = top {
            if value > highest {
                top = Some((k, value));
            } else if value < EDGE * highest {
                return sign * at as f64 * STEP;
            }
        } else if value < lowest {
            lowest = value;
        } else if value > lowest / EDGE && value > 0.5 {
            top = Some((k, value));
        }
    }
    sign * spacing * (2.0f64 / 3.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_and_points_are_inverse_and_axes_are_orthonormal() {
        let planes = [
            PlaneAxes::looking_along([1.0, 2.0, -0.5]).unwrap(),
            PlaneAxes::looking_along([0.0, 3.0, 0.0]).unwrap(),
            PlaneAxes::through([[0.0; 3], [2.0, 0.1, 0.0], [0.3, 1.0, 1.0]]).unwrap(),
        ];
        for axes in planes {
            for (a, b) in [
                (axes.right, axes.up),
                (axes.right, axes.normal),
                (axes.up, axes.normal),
            ] {
                assert!(dot(a, b).abs() < 1e-12 && (dot(a, a) - 1.0).abs() < 1e-12);
            }
            let point = [1.0, -2.0, 3.0];
            let back = axes.point(axes.coordinates(point));
            assert!((0..3).all(|a| (back[a] - point[a]).abs() < 1e-12));
        }
        assert_eq!(PlaneAxes::looking_along([0.0; 3]), None);
        let line = [[0.0; 3], [1.0, 1.0, 0.0], [2.0, 2.0, 0.0]];
        assert_eq!(PlaneAxes::through(line), None);
    }

    #[test]
    fn three_points_lie_in_their_plane() {
        let points = [[1.0, 2.0, 3.0], [4.0, 2.5, 3.0], [0.0, 5.0, 1.0]];
        let axes = PlaneAxes::through(points).unwrap();
        let heights = points.map(|p| axes.coordinates(p)[2]);
        assert!((heights[0] - heights[1]).abs() < 1e-12 && (heights[0] - heights[2]).abs() < 1e-12);
    }

    #[test]
    fn layers_of_a_crystal_are_found_along_any_of_its_axes() {
        // Simple cubic, 3 Å: layers along [111] are 3/√3 apart.
        let mut positions = Vec::new();
        for i in -5..=5_i32 {
            for j in -5..=5_i32 {
                for k in -5..=5_i32 {
                    positions.push([i, j, k].map(|v| 3.0 * f64::from(v)));
                }
            }
        }
        let cases = [([0.0, 0.0, 1.0], 3.0), ([1.0, 1.0, 1.0], 3.0f64.sqrt())];
        for (direction, apart) in cases {
            let axes = PlaneAxes::looking_along(direction).unwrap();
            for up in [true, false] {
                let step = to_next_layer(&positions, &axes, [0.0; 3], 3.0, up);
                let sign = if up { 1.0 } else { -1.0 };
                assert!((sign * step - apart).abs() < 0.06, "{direction:?}: {step}");
            }
            // From between two layers the next one is nearer.
            let place = axes.point([0.0, 0.0, 0.4 * apart]);
            let step = to_next_layer(&positions, &axes, place, 3.0, true);
            assert!((step - 0.6 * apart).abs() < 0.06, "{direction:?}: {step}");
        }
        let lone = to_next_layer(&[], &PlaneAxes::default(), [0.0; 3], 3.0, false);
        assert!((lone + 3.0 * (2.0f64 / 3.0).sqrt()).abs() < 1e-12);
    }
}
