//! Bond-orientational order: averaged Q̄4 and Q̄6 of Lechner and Dellago (J. Chem. Phys. 129, 114707 (2008)).
//!
//! `q_lm(i) = ⟨Y_lm(r_ij)⟩` over the neighbours (d < cutoff); `q̄_lm(i)` is the mean of `q_lm` over the neighbours *and*
//! the atom itself; `Q̄_l = √(4π/(2l+1) Σ_m |q̄_lm|²)`. An atom without neighbours has `q_lm = 0`. All in double precision:
//! this reproduces the published arrays of the sister papers to rounding.

use rayon::prelude::*;

/// (Q̄4, Q̄6) of a perfect fcc crystal.
pub const FCC: [f64; 2] = [0.190_941, 0.574_524];

/// `l + 1` complex numbers for m = 0 … l; negative m follow by symmetry.
type Harmonics<const N: usize> = [[f64; 2]; N];

/// (Q̄4, Q̄6) of every atom. `neighbors[i]` are the indices of the atoms nearer to atom i than the cutoff.
#[must_use]
pub fn averaged_q4_q6(positions: &[[f64; 3]], neighbors: &[Vec<u32>]) -> Vec<[f64; 2]> {
    let own: Vec<(Harmonics<5>, Harmonics<7>)> = positions
        .par_iter()
        .zip(neighbors)
        .map(|(&center, around)| {
            let mut q4 = [[0.0; 2]; 5];
            let mut q6 = [[0.0; 2]; 7];
            for &other in around {
                let to = positions[other as usize];
                let d = [to[0] - center[0], to[1] - center[1], to[2] - center[2]];
                add_harmonics(d, &mut q4, &mut q6);
            }
            let share = 1.0 / around.len().max(1) as f64;
            q4.iter_mut()
                .chain(&mut q6)
                .for_each(|c| *c = [c[0] * share, c[1] * share]);
            (q4, q6)
        })
        .collect();
    neighbors
        .par_iter()
        .enumerate()
        .map(|(center, around)| {
            let (mut q4, mut q6) = own[center];
            for &other in around {
                let (a, b) = &own[other as usize];
                add(&mut q4, a);
                add(&mut q6, b);
            }
            let share = 1.0 / (around.len() + 1) as f64;
            [invariant(&q4, share), invariant(&q6, share)]
        })
        .collect()
}

/// `√(Q̄4² + Q̄6²)` over the same of fcc: below 0.5 an atom counts as disordered (Zr).
#[must_use]
pub fn normalized([q4, q6]: [f64; 2]) -> f64 {
    q4.hypot(q6) / FCC[0].hypot(FCC[1])
}

fn add<const N: usize>(sum: &mut Harmonics<N>, other: &Harmonics<N>) {
    for (sum, other) in sum.iter_mut().zip(other) {
        sum[0] += other[0];
        sum[1] += other[1];
    }
}

/// `√(4π/(2l+1) (|q_l0|² + 2 Σ_{m>0} |q_lm|²))`; the factor 4π/(2l+1) is already in the harmonics.
fn invariant<const N: usize>(q: &Harmonics<N>, share: f64) -> f64 {
    let size = |c: &[f64; 2]| c[0] * c[0] + c[1] * c[1];
    let sum: f64 = size(&q[0]) + 2.0 * q[1..].iter().map(size).sum::<f64>();
    share * sum.sqrt()
}

/// Adds `√(4π/(2l+1)) Y_lm` of a direction, l = 4 and 6, m ≥ 0.
fn add_harmonics(d: [f64; 3], q4: &mut Harmonics<5>, q6: &mut Harmonics<7>) {
    let r = (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).sqrt();
    if r == 0.0 {
        return;
    }
    let (x, y, z) = (d[0] / r, d[1] / r, d[2] / r);
    let z2 = z * z;
    // (x + iy)^m carries sin^m θ e^{imφ}; the rest are derivatives of Legendre polynomials, normalised.
    let mut power = [[1.0, 0.0]; 7];
    for m in 1..7 {
        let [a, b] = power[m - 1];
        power[m] = [a * x - b * y, a * y + b * x];
    }
    let p4 = [
        (35.0 * z2 * z2 - 30.0 * z2 + 3.0) / 8.0,
        5f64.sqrt() / 4.0 * z * (7.0 * z2 - 3.0),
        10f64.sqrt() / 8.0 * (7.0 * z2 - 1.0),
        35f64.sqrt() / 4.0 * z,
        70f64.sqrt() / 16.0,
    ];
    let p6 = [
        (231.0 * z2.powi(3) - 315.0 * z2 * z2 + 105.0 * z2 - 5.0) / 16.0,
        42f64.sqrt() / 16.0 * z * (33.0 * z2 * z2 - 30.0 * z2 + 5.0),
        105f64.sqrt() / 32.0 * (33.0 * z2 * z2 - 18.0 * z2 + 1.0),
        105f64.sqrt() / 16.0 * z * (11.0 * z2 - 3.0),
        126f64.sqrt() / 32.0 * (11.0 * z2 - 1.0),
        3.0 * 77f64.sqrt() / 16.0 * z,
        231f64.sqrt() / 32.0,
    ];
    for (m, p) in p4.into_iter().enumerate() {
        q4[m] = [q4[m][0] + p * power[m][0], q4[m][1] + p * power[m][1]];
    }
    for (m, p) in p6.into_iter().enumerate() {
        q6[m] = [q6[m][0] + p * power[m][0], q6[m][1] + p * power[m][1]];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EulerAngles;
    use crate::model::geometry::apply;
    use crate::numeric::neighbors::neighbors_within;

    /// A ball of a lattice given by its basis (fractions of a cubic cell), rotated.
    fn ball(basis: &[[f64; 3]], cell: [f64; 3], radius: f64) -> Vec<[f64; 3]> {
        let r = EulerAngles::from_deg(13.0, 29.0, -47.0).detector_from_sample();
        let n = (radius / cell.iter().copied().fold(f64::INFINITY, f64::min)).ceil() as i32 + 1;
        let mut points = Vec::new();
        for i in -n..=n {
            for j in -n..=n {
                for k in -n..=n {
                    for b in basis {
                        let p = [
                            (f64::from(i) + b[0]) * cell[0],
                            (f64::from(j) + b[1]) * cell[1],
                            (f64::from(k) + b[2]) * cell[2],
                        ];
                        if p.iter().map(|v| v * v).sum::<f64>() < radius * radius {
                            points.push(apply(&r, p));
                        }
                    }
                }
            }
        }
        points
    }

    fn center_order(points: &[[f64; 3]], cutoff: f64) -> [f64; 2] {
        let order = averaged_q4_q6(points, &neighbors_within(points, cutoff));
        let center = points.iter().enumerate().min_by(|a, b| {
            let size = |p: &[f64; 3]| p.iter().map(|v| v * v).sum::<f64>();
            size(a.1).total_cmp(&size(b.1))
        });
        order[center.unwrap().0]
    }

    #[test]
    fn perfect_crystals_have_their_textbook_values_in_any_orientation() {
        let fcc = [[0.0; 3], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
        let [q4, q6] = center_order(&ball(&fcc, [1.0; 3], 4.0), 0.85);
        assert!(
            (q4 - 0.190_940_65).abs() < 1e-7 && (q6 - 0.574_524_26).abs() < 1e-7,
            "{q4} {q6}"
        );
        // First and second shell together, as is usual for bcc.
        let bcc = [[0.0; 3], [0.5; 3]];
        let [q4, q6] = center_order(&ball(&bcc, [1.0; 3], 5.0), 1.2);
        assert!(
            (q4 - 0.036_369_65).abs() < 1e-7 && (q6 - 0.510_688_23).abs() < 1e-7,
            "{q4} {q6}"
        );
        let root3 = 3f64.sqrt();
        let hcp = [
            [0.0; 3],
            [0.5, 0.5, 0.0],
            [0.5, 1.0 / 6.0, 0.5],
            [0.0, 2.0 / 3.0, 0.5],
        ];
        let [q4, q6] = center_order(&ball(&hcp, [1.0, root3, (8.0f64 / 3.0).sqrt()], 5.0), 1.2);
        assert!(
            (q4 - 0.097_222_2).abs() < 1e-6 && (q6 - 0.484_761_7).abs() < 1e-6,
            "{q4} {q6}"
        );
    }

    #[test]
    fn an_isolated_atom_has_no_order() {
        assert_eq!(averaged_q4_q6(&[[0.0; 3]], &[Vec::new()]), vec![[0.0; 2]]);
    }
}
