//! Projection geometry, stated once for the whole program.
//!
//! - A volume is indexed `(x, y, z)`, an image `(x, y)`; the beam runs along z, the tilt axis along y.
//! - The centre of an axis of `n` samples is the 0-based sample `n / 2` (integer division), for odd and even `n`.
//! - `R = [Rz(φ) Ry(θ) Rx(ψ)]ᵀ`, right-handed active rotations. A sample point `r` (about the centre) is seen
//!   at `(R r)[0..2]` (about the image's centre); a pixel is the plain sum of the voxels along `(R r)[2]`.
//! - With φ = ψ = 0: `x' = x cos θ − z sin θ`, `y' = y`.

use serde::{Deserialize, Serialize};

/// A 3 × 3 matrix, `m[row][column]`.
pub type Matrix3 = [[f64; 3]; 3];

/// The 0-based index of the centre sample of an axis of `n` samples.
#[must_use]
pub fn center_index(n: usize) -> usize {
    n / 2
}

/// The three Euler angles of one tilt, in radians.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct EulerAngles {
    /// Rotation about the beam (z), φ.
    pub phi: f64,
    /// Tilt about the y axis, θ.
    pub theta: f64,
    /// Rotation about the x axis, ψ.
    pub psi: f64,
}

impl EulerAngles {
    /// A plain tilt: φ = ψ = 0, `theta_deg` in degrees.
    #[must_use]
    pub fn from_tilt_deg(theta_deg: f64) -> Self {
        Self::from_deg(0.0, theta_deg, 0.0)
    }

    /// From (φ, θ, ψ) in degrees, as files hold them.
    #[must_use]
    pub fn from_deg(phi_deg: f64, theta_deg: f64, psi_deg: f64) -> Self {
        Self {
            phi: phi_deg.to_radians(),
            theta: theta_deg.to_radians(),
            psi: psi_deg.to_radians(),
        }
    }

    /// (φ, θ, ψ) in degrees.
    #[must_use]
    pub fn to_deg(self) -> [f64; 3] {
        [
            self.phi.to_degrees(),
            self.theta.to_degrees(),
            self.psi.to_degrees(),
        ]
    }

    /// Whether this is a pure tilt about y, so that y-slices decouple.
    #[must_use]
    pub fn is_single_axis(self) -> bool {
        self.phi == 0.0 && self.psi == 0.0
    }

    /// `R = [Rz(φ) Ry(θ) Rx(ψ)]ᵀ`: takes a sample point to the detector frame.
    #[must_use]
    pub fn detector_from_sample(self) -> Matrix3 {
        let (sin_phi, cos_phi) = self.phi.sin_cos();
        let (sin_theta, cos_theta) = self.theta.sin_cos();
        let (sin_psi, cos_psi) = self.psi.sin_cos();
        let rz = [
            [cos_phi, -sin_phi, 0.0],
            [sin_phi, cos_phi, 0.0],
            [0.0, 0.0, 1.0],
        ];
        let ry = [
            [cos_theta, 0.0, sin_theta],
            [0.0, 1.0, 0.0],
            [-sin_theta, 0.0, cos_theta],
        ];
        let rx = [
            [1.0, 0.0, 0.0],
            [0.0, cos_psi, -sin_psi],
            [0.0, sin_psi, cos_psi],
        ];
        transpose(&multiply(&multiply(&rz, &ry), &rx))
    }

    /// The angles of a rotation `detector_from_sample`. Two triples give one rotation (and at θ = ±90° a whole line of
    /// them): the one nearest to `near`.
    #[must_use]
    pub fn from_rotation(detector_from_sample: &Matrix3, near: Self) -> Self {
        use std::f64::consts::{PI, TAU};
        let q = transpose(detector_from_sample);
        let cosine = q[0][0].hypot(q[1][0]);
        let theta = (-q[2][0]).atan2(cosine);
        let (phi, psi) = if cosine > 1e-9 {
            (q[1][0].atan2(q[0][0]), q[2][1].atan2(q[2][2]))
        } else if theta > 0.0 {
            (near.phi, near.phi + q[0][1].atan2(q[0][2]))
        } else {
            (near.phi, (-q[0][1]).atan2(-q[0][2]) - near.phi)
        };
        let wrapped = |angle: f64, near: f64| angle - TAU * ((angle - near) / TAU).round();
        let [first, second] = [(phi, theta, psi), (phi + PI, PI - theta, psi + PI)].map(|a| Self {
            phi: wrapped(a.0, near.phi),
            theta: wrapped(a.1, near.theta),
            psi: wrapped(a.2, near.psi),
        });
        let distance = |a: Self| {
            (a.phi - near.phi).powi(2) + (a.theta - near.theta).powi(2) + (a.psi - near.psi).powi(2)
        };
        if distance(first) <= distance(second) {
            first
        } else {
            second
        }
    }
}

/// The rotation about the axis `v` by its length in radians, right-handed (Rodrigues).
#[must_use]
pub fn rotation_about(v: [f64; 3]) -> Matrix3 {
    let angle = distance(v, [0.0; 3]);
    let mut rotation = [[0.0; 3]; 3];
    let (sin, cos) = angle.sin_cos();
    let axis = v.map(|c| if angle > 0.0 { c / angle } else { 0.0 });
    let cross = [
        [0.0, -axis[2], axis[1]],
        [axis[2], 0.0, -axis[0]],
        [-axis[1], axis[0], 0.0],
    ];
    for i in 0..3 {
        for j in 0..3 {
            let identity = if i == j { cos } else { 0.0 };
            rotation[i][j] = identity + sin * cross[i][j] + (1.0 - cos) * axis[i] * axis[j];
        }
    }
    rotation
}

/// Matrix product `a b`.
#[must_use]
pub fn multiply(a: &Matrix3, b: &Matrix3) -> Matrix3 {
    let mut product = [[0.0; 3]; 3];
    for (row, out) in product.iter_mut().enumerate() {
        for (column, value) in out.iter_mut().enumerate() {
            *value = (0..3).map(|k| a[row][k] * b[k][column]).sum();
        }
    }
    product
}

/// Matrix transpose; of a rotation, its inverse.
#[must_use]
pub fn transpose(m: &Matrix3) -> Matrix3 {
    let mut t = [[0.0; 3]; 3];
    for (row, out) in t.iter_mut().enumerate() {
        for (column, value) in out.iter_mut().enumerate() {
            *value = m[column][row];
        }
    }
    t
}

/// Matrix times column vector.
#[must_use]
pub fn apply(m: &Matrix3, v: [f64; 3]) -> [f64; 3] {
    [
        m[0][0] * v[0] + m[0][1] * v[1] + m[0][2] * v[2],
        m[1][0] * v[0] + m[1][1] * v[1] + m[1][2] * v[2],
        m[2][0] * v[0] + m[2][1] * v[1] + m[2][2] * v[2],
    ]
}

/// `a − b`.
#[must_use]
pub fn subtract(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// Scalar product.
#[must_use]
pub fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Vector product.
#[must_use]
pub fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// Euclidean distance of two points.
#[must_use]
pub fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    distance_squared(a, b).sqrt()
}

/// Squared Euclidean distance of two points.
#[must_use]
pub fn distance_squared(a: [f64; 3], b: [f64; 3]) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_tilt_follows_the_stated_formula() {
        let tilt = EulerAngles::from_tilt_deg(30.0);
        let (sin, cos) = 30f64.to_radians().sin_cos();
        let seen = apply(&tilt.detector_from_sample(), [2.0, 3.0, 5.0]);
        assert!((seen[0] - (2.0 * cos - 5.0 * sin)).abs() < 1e-12);
        assert!((seen[1] - 3.0).abs() < 1e-12);
    }

    #[test]
    fn rotations_are_orthogonal_and_right_handed() {
        let r = EulerAngles::from_deg(11.0, -37.0, 5.0).detector_from_sample();
        let identity = multiply(&r, &transpose(&r));
        for (i, row) in identity.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                assert!((value - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
    }
    #[test]
    fn angles_come_back_from_their_rotation_on_the_branch_they_were_on() {
        for degrees in [
            [11.0, -37.0, 5.0],
            [-0.3, 66.0, 0.4],
            [0.2, 147.0, -0.1],
            [0.0, 90.0, 0.3],
            [0.1, -90.0, 0.2],
        ] {
            let [phi, theta, psi] = degrees;
            let angles = EulerAngles::from_deg(phi, theta, psi);
            let near = EulerAngles::from_deg(phi, theta + 0.2, psi - 0.2);
            let back = EulerAngles::from_rotation(&angles.detector_from_sample(), near).to_deg();
            for axis in 0..3 {
                assert!((back[axis] - degrees[axis]).abs() < 1e-6, "{back:?}");
            }
        }
    }

    #[test]
    fn a_rotation_about_y_is_the_inverse_of_a_tilt() {
        let turn = rotation_about([0.0, -0.4, 0.0]);
        let tilt = EulerAngles {
            theta: 0.4,
            ..EulerAngles::default()
        }
        .detector_from_sample();
        for (a, b) in turn.iter().flatten().zip(tilt.iter().flatten()) {
            assert!((a - b).abs() < 1e-12);
        }
    }
}
