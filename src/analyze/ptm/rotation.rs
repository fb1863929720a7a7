//! Rotations as unit quaternions `[w, x, y, z]`: products, symmetry, means, and Horn's superposition.

use nalgebra::Matrix4;

/// A unit quaternion `w + xi + yj + zk`; `q` and `−q` are the same rotation.
pub type Quaternion = [f64; 4];

/// The rotation by `b` first, then by `a`.
#[must_use]
pub fn product(a: Quaternion, b: Quaternion) -> Quaternion {
    let [aw, ax, ay, az] = a;
    let [bw, bx, by, bz] = b;
    [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]
}

/// The opposite rotation.
#[must_use]
pub fn inverse(q: Quaternion) -> Quaternion {
    [q[0], -q[1], -q[2], -q[3]]
}

/// A vector turned by the rotation.
#[must_use]
pub fn rotate(q: Quaternion, v: [f64; 3]) -> [f64; 3] {
    let turned = product(product(q, [0.0, v[0], v[1], v[2]]), inverse(q));
    [turned[1], turned[2], turned[3]]
}

/// Horn's symmetric matrix of a correlation `Σ_k left_k ⊗ right_k`: `qᵀ N q = Σ right_k · R(q) left_k`.
fn horn(s: &[[f64; 3]; 3]) -> Matrix4<f64> {
    let (xx, yy, zz) = (s[0][0], s[1][1], s[2][2]);
    let (yz, zx, xy) = (s[1][2] - s[2][1], s[2][0] - s[0][2], s[0][1] - s[1][0]);
    let (ryz, rzx, rxy) = (s[1][2] + s[2][1], s[2][0] + s[0][2], s[0][1] + s[1][0]);
    Matrix4::new(
        xx + yy + zz,
        yz,
        zx,
        xy, //
        yz,
        xx - yy - zz,
        rxy,
        rzx, //
        zx,
        rxy,
        yy - xx - zz,
        ryz, //
        xy,
        rzx,
        ryz,
        zz - xx - yy,
    )
}

/// The rotation that takes the vectors of `left` best (least squares) to those of `right`, from the correlation
/// `Σ_k left_k ⊗ right_k` (B. K. P. Horn, J. Opt. Soc. Am. A 4, 629 (1987)).
#[must_use]
pub fn superpose(s: &[[f64; 3]; 3]) -> Quaternion {
    let eigen = horn(s).symmetric_eigen();
    let q = eigen.eigenvectors.column(eigen.eigenvalues.imax());
    [q[0], q[1], q[2], q[3]]
}

/// `max_R Σ right_k · R left_k`, the largest eigenvalue of Horn's matrix, without the rotation: Newton's method on
/// `λ⁴ − 2|S|² λ² − 8 det S λ + det N` (D. L. Theobald, Acta Cryst. A 61, 478 (2005)), from above. `bound` is no less than it.
#[must_use]
pub fn largest_overlap(s: &[[f64; 3]; 3], bound: f64) -> f64 {
    let [a, b, c] = s;
    let squares: f64 = s.iter().flatten().map(|v| v * v).sum();
    let c2 = -2.0 * squares;
    let c1 = -8.0
        * (a[0] * (b[1] * c[2] - b[2] * c[1])
            + a[1] * (b[2] * c[0] - b[0] * c[2])
            + a[2] * (b[0] * c[1] - b[1] * c[0]));
    let c0 = horn(s).determinant();
    let mut x = bound;
    // Quadratic but at double roots, where every step halves the distance.
    for _ in 0..60 {
        let value = ((x * x + c2) * x + c1) * x + c0;
        let slope = (4.0 * x * x + 2.0 * c2) * x + c1;
        if slope <= 0.0 {
            break;
        }
        let step = value / slope;
        x -= step;
        if step <= 1e-15 * x {
            break;
        }
    }
    x
}

/// Of the equivalent orientations `q·s` the one turned least, with `w ≥ 0`. `symmetry` are the crystal's own rotations.
#[must_use]
pub fn reduced(q: Quaternion, symmetry: &[Quaternion]) -> Quaternion {
    nearest(q, [1.0, 0.0, 0.0, 0.0], symmetry)
}

/// Of the equivalent orientations `q·s` the one nearest to `target`, on its side of the sphere of quaternions.
#[must_use]
pub fn nearest(q: Quaternion, target: Quaternion, symmetry: &[Quaternion]) -> Quaternion {
    let mut best = q;
    let mut most = -1.0;
    for &s in symmetry {
        let turned = product(q, s);
        let along = dot(turned, target);
        // Equal ones (an orientation on the zone's border) go to the first, not to rounding.
        if along.abs() > most + 1e-12 {
            most = along.abs();
            best = if along < 0.0 {
                turned.map(|v| -v)
            } else {
                turned
            };
        }
    }
    best
}

/// Smallest angle between two orientations of a crystal, in radians.
#[must_use]
pub fn misorientation(a: Quaternion, b: Quaternion, symmetry: &[Quaternion]) -> f64 {
    2.0 * cos_half_misorientation(a, b, symmetry).min(1.0).acos()
}

/// Cosine of half the angle of [`misorientation`]: the cheap way to compare it with a limit.
#[must_use]
pub fn cos_half_misorientation(a: Quaternion, b: Quaternion, symmetry: &[Quaternion]) -> f64 {
    let between = product(inverse(a), b);
    // The w part of `between · s` is a scalar product with the inverse of s.
    symmetry
        .iter()
        .map(|&s| dot(between, inverse(s)).abs())
        .fold(0.0, f64::max)
}

/// Scalar product.
#[must_use]
pub fn dot(a: Quaternion, b: Quaternion) -> f64 {
    (0..4).map(|k| a[k] * b[k]).sum()
}

/// Scaled to length one; `None` for nothing.
#[must_use]
pub fn unit(q: Quaternion) -> Option<Quaternion> {
    let length = dot(q, q).sqrt();
    (length > 1e-9).then(|| q.map(|v| v / length))
}

/// The mean of orientations that lie within one grain: each is first brought next to the mean of those before.
#[must_use]
pub fn mean(orientations: impl Iterator<Item = Quaternion>, symmetry: &[Quaternion]) -> Quaternion {
    let mut sum = [0.0; 4];
    for q in orientations {
        let q = match unit(sum) {
            Some(target) => nearest(q, target, symmetry),
            None => q,
        };
        for k in 0..4 {
            sum[k] += q[k];
        }
    }
    reduced(unit(sum).unwrap_or([1.0, 0.0, 0.0, 0.0]), symmetry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    fn any(rng: &mut StdRng) -> Quaternion {
        loop {
            let q: Quaternion = std::array::from_fn(|_| rng.random_range(-1.0..1.0));
            if (0.1..1.0).contains(&dot(q, q)) {
                return unit(q).expect("not nothing");
            }
        }
    }

    #[test]
    fn superposition_finds_the_rotation_again() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..50 {
            let q = any(&mut rng);
            let left: Vec<[f64; 3]> = (0..5)
                .map(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0)))
                .collect();
            let mut s = [[0.0; 3]; 3];
            let mut norm = 0.0;
            for l in &left {
                let r = rotate(q, *l);
                for (i, row) in s.iter_mut().enumerate() {
                    for (j, v) in row.iter_mut().enumerate() {
                        *v += l[i] * r[j];
                    }
                }
                norm += l.iter().map(|v| v * v).sum::<f64>();
            }
            assert!(dot(superpose(&s), q).abs() > 1.0 - 1e-12);
            let most = largest_overlap(&s, 1.0 + 2.0 * norm);
            assert!((most - norm).abs() < 1e-9, "{most} {norm}");
        }
    }

    #[test]
    fn the_largest_overlap_is_the_largest_eigenvalue() {
        let mut rng = StdRng::seed_from_u64(3);
        for round in 0..200 {
            let mut s: [[f64; 3]; 3] =
                std::array::from_fn(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0)));
            if round % 4 == 0 {
                // All on a line: the largest eigenvalue is double.
                s[1] = s[0].map(|v| 2.0 * v);
                s[2] = s[0].map(|v| -0.5 * v);
            }
            let exact = horn(&s).symmetric_eigen().eigenvalues.max();
            let found = largest_overlap(&s, 10.0);
            assert!((found - exact).abs() < 1e-6, "{found} {exact}");
        }
    }

    #[test]
    fn the_mean_of_equivalent_orientations_is_the_orientation() {
        let half = 0.5f64.sqrt();
        // The four-fold rotations about z.
        let symmetry = [
            [1.0, 0.0, 0.0, 0.0],
            [half, 0.0, 0.0, half],
            [0.0, 0.0, 0.0, 1.0],
            [half, 0.0, 0.0, -half],
        ];
        let mut rng = StdRng::seed_from_u64(2);
        let q = any(&mut rng);
        let all = symmetry.map(|s| product(q, s));
        let found = mean(all.into_iter(), &symmetry);
        assert!(misorientation(found, q, &symmetry) < 1e-6);
        assert!((dot(found, reduced(q, &symmetry)) - 1.0).abs() < 1e-12);
        let tilt = 0.01f64;
        let other = product(q, [(tilt / 2.0).cos(), (tilt / 2.0).sin(), 0.0, 0.0]);
        assert!((misorientation(product(other, symmetry[1]), q, &symmetry) - tilt).abs() < 1e-9);
    }
}
