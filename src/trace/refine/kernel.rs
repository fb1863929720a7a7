//! Drawing Gaussian atoms into an image and gathering derivatives from it: the inner loops of refinement.
//!
//! An atom seen at `(u, v)` (pixels) contributes `Σ_c a_c /(2π s_c) exp(−((p−u)² + (q−v)²) / (2 s_c))` to the pixel
//! `(p, q)`, with one or two components of weight `a_c` (counts) and variance `s_c` (px²). The Gaussian is *sampled*
//! at the pixel: a scanning microscope records the intensity at the probe's position. Integration over a pixel would
//! add 1/12 px² to the variance, up to fourth order, and the variance is fitted anyway.
//!
//! Gaussians separate, so an atom costs `2 (2R+1)` exponentials and `(2R+1)²` multiply-adds per image. Patches are
//! `L` columns wide, a multiple of eight, so that the compiler keeps a row in vector registers.

/// Widest patch radius that the kernels handle, pixels.
pub(super) const MAX_RADIUS: usize = 27;

/// Components of an atom's profile.
pub(crate) const COMPONENTS: usize = 2;

/// An atom on one image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Splat {
    /// Row and column of the nearest pixel, the patch's centre.
    pub nearest: [usize; 2],
    /// Offset of the atom from that pixel, within ±½.
    pub offset: [f32; 2],
    /// `a_c / (2π s_c)` of each component.
    pub peak: [f32; COMPONENTS],
    /// `1 / s_c` of each component.
    pub inverse_variance: [f32; COMPONENTS],
}

/// Derivatives gathered for one atom: `Σ q ∂λ/∂(scale, u, v)`.
pub(super) type Gathered = [f32; 3];

/// `Σ w j jᵀ`, with `j = ∂λ/∂(scale, u, v)`: ss, su, sv, uu, uv, vv.
pub(super) type Information = [f32; 6];

/// `exp(x)` for `x ≤ 0` to single precision, without branches, so that loops over it vectorise.
#[inline(always)]
fn exp_negative(x: f32) -> f32 {
    // Adding 1.5·2²³ rounds to the nearest integer, which then sits in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    let t = (x * std::f32::consts::LOG2_E).max(-120.0);
    let shifted = t + ROUND;
    let f = (t - (shifted - ROUND)) * std::f32::consts::LN_2;
    let poly = 1.0
        + f * (1.0
            + f * (0.5
                + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f * (1.0 / 720.0))))));
    let exponent = shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127)
        << 23;
    poly * f32::from_bits(exponent)
}

/// One axis of a separable Gaussian: values at the patch's pixels, zero beyond it.
#[inline(always)]
fn axis<const L: usize>(radius: usize, offset: f32, inverse_variance: f32) -> [f32; L] {
    let mut values = [0.0; L];
    let last = 2 * radius;
    for (k, value) in values.iter_mut().enumerate() {
        let d = k as f32 - radius as f32 - offset;
        let inside = if k <= last { 1.0 } else { 0.0 };
        *value = inside * exp_negative(-0.5 * d * d * inverse_variance);
    }
    values
}

#[inline(always)]
fn row<const L: usize>(image: &[f32], start: usize) -> &[f32; L] {
    image[start..start + L]
        .try_into()
        .expect("the slice has L pixels")
}

#[inline(always)]
fn row_mut<const L: usize>(image: &mut [f32], start: usize) -> &mut [f32; L] {
    (&mut image[start..start + L])
        .try_into()
        .expect("the slice has L pixels")
}

#[inline(always)]
fn draw<const L: usize>(
    image: &mut [f32],
    stride: usize,
    radius: usize,
    splats: &[Splat],
    component: usize,
    factors: &[f32],
) {
    for (splat, factor) in splats.iter().zip(factors) {
        let inverse = splat.inverse_variance[component];
        let gx: [f32; L] = axis(radius, splat.offset[0], inverse);
        let gy: [f32; L] = axis(radius, splat.offset[1], inverse);
        let mut start = (splat.nearest[0] - radius) * stride + splat.nearest[1] - radius;
        for &x in &gx[..=2 * radius] {
            let amplitude = splat.peak[component] * factor * x;
            for (pixel, y) in row_mut::<L>(image, start).iter_mut().zip(&gy) {
                *pixel += amplitude * y;
            }
            start += stride;
        }
    }
}

/// Draws `∂λ/∂s_c` of one component, times `factor` of each atom.
#[inline(always)]
fn draw_width<const L: usize>(
    image: &mut [f32],
    stride: usize,
    radius: usize,
    splats: &[Splat],
    component: usize,
    factors: &[f32],
) {
    for (splat, factor) in splats.iter().zip(factors) {
        let inverse = splat.inverse_variance[component];
        let gx: [f32; L] = axis(radius, splat.offset[0], inverse);
        let gy: [f32; L] = axis(radius, splat.offset[1], inverse);
        let mut gy2 = gy;
        for (k, value) in gy2.iter_mut().enumerate() {
            let d = k as f32 - radius as f32 - splat.offset[1];
            *value *= d * d * inverse;
        }
        let peak = splat.peak[component] * 0.5 * inverse * factor;
        let mut start = (splat.nearest[0] - radius) * stride + splat.nearest[1] - radius;
        for (k, &x) in gx[..=2 * radius].iter().enumerate() {
            let d = k as f32 - radius as f32 - splat.offset[0];
            let plain = peak * x * (d * d * inverse - 2.0);
            let squared = peak * x;
            let pixels = row_mut::<L>(image, start);
            for j in 0..L {
                pixels[j] += plain * gy[j] + squared * gy2[j];
            }
            start += stride;
        }
    }
}

#[inline(always)]
fn gather<const L: usize>(
    slopes: &[f32],
    stride: usize,
    radius: usize,
    splats: &[Splat],
    component: usize,
    out: &mut [Gathered],
) {
    for (splat, sums) in splats.iter().zip(out) {
        let inverse = splat.inverse_variance[component];
        let gx: [f32; L] = axis(radius, splat.offset[0], inverse);
        let gy: [f32; L] = axis(radius, splat.offset[1], inverse);
        let mut plain = [0.0f32; L];
        let mut moment = [0.0f32; L];
        let mut start = (splat.nearest[0] - radius) * stride + splat.nearest[1] - radius;
        for (k, &x) in gx[..=2 * radius].iter().enumerate() {
            let d = x * (k as f32 - radius as f32 - splat.offset[0]);
            let pixels = row::<L>(slopes, start);
            for j in 0..L {
                plain[j] += x * pixels[j];
                moment[j] += d * pixels[j];
            }
            start += stride;
        }
        let mut total = [0.0f32; 3];
        for j in 0..L {
            let d = j as f32 - radius as f32 - splat.offset[1];
            total[0] += plain[j] * gy[j];
            total[1] += moment[j] * gy[j];
            total[2] += plain[j] * gy[j] * d;
        }
        sums[0] += splat.peak[component] * total[0];
        sums[1] += splat.peak[component] * inverse * total[1];
        sums[2] += splat.peak[component] * inverse * total[2];
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop)] // Rows and lanes index four arrays at once.
fn inform<const L: usize>(
    weights: &[f32],
    stride: usize,
    radius: usize,
    splats: &[Splat],
    out: &mut [Information],
) {
    for (splat, sums) in splats.iter().zip(out) {
        let mut gx = [[0.0f32; L]; COMPONENTS];
        let mut gy = [[0.0f32; L]; COMPONENTS];
        for c in 0..COMPONENTS {
            gx[c] = axis(radius, splat.offset[0], splat.inverse_variance[c]);
            gy[c] = axis(radius, splat.offset[1], splat.inverse_variance[c]);
            for value in &mut gx[c] {
                *value *= splat.peak[c];
            }
        }
        let mut lanes = [[0.0f32; L]; 6];
        let mut start = (splat.nearest[0] - radius) * stride + splat.nearest[1] - radius;
        for k in 0..=2 * radius {
            let dx = k as f32 - radius as f32 - splat.offset[0];
            let pixels = row::<L>(weights, start);
            for j in 0..L {
                let dy = j as f32 - radius as f32 - splat.offset[1];
                let (a, b) = (gx[0][k] * gy[0][j], gx[1][k] * gy[1][j]);
                let value = a + b;
                let slope = a * splat.inverse_variance[0] + b * splat.inverse_variance[1];
                let (du, dv) = (slope * dx, slope * dy);
                let w = pixels[j];
                lanes[0][j] += w * value * value;
                lanes[1][j] += w * value * du;
                lanes[2][j] += w * value * dv;
                lanes[3][j] += w * du * du;
                lanes[4][j] += w * du * dv;
                lanes[5][j] += w * dv * dv;
            }
            start += stride;
        }
        for (sum, lane) in sums.iter_mut().zip(&lanes) {
            *sum = lane.iter().sum();
        }
    }
}

/// Whether the vector units of recent x86 processors are there.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

/// Makes a dispatcher over patch widths, compiled twice: for any processor, and with AVX2 and FMA switched on.
macro_rules! dispatch {
    ($(#[$doc:meta])* $name:ident, $kernel:ident, $radius:ident, ($($arg:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub(super) fn $name($($arg: $type),*) {
            assert!($radius <= MAX_RADIUS, "patch radius within the kernels' limit");
            #[inline(always)]
            fn by_width($($arg: $type),*) {
                match 2 * $radius + 1 {
                    0..=8 => $kernel::<8>($($arg),*),
                    9..=16 => $kernel::<16>($($arg),*),
                    17..=24 => $kernel::<24>($($arg),*),
                    25..=32 => $kernel::<32>($($arg),*),
                    33..=40 => $kernel::<40>($($arg),*),
                    _ => $kernel::<56>($($arg),*),
                }
            }
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn with_avx2($($arg: $type),*) {
                    by_width($($arg),*);
                }
                if has_avx2() {
                    // SAFETY: the processor has AVX2 and FMA, checked on the line above; the body is safe code.
                    #[allow(unsafe_code)]
                    unsafe {
                        with_avx2($($arg),*);
                    }
                    return;
                }
            }
            by_width($($arg),*);
        }
    };
}

dispatch!(
    /// Adds `factor` of one component of each atom to an image of `stride` columns.
    draw_atoms, draw, radius,
    (image: &mut [f32], stride: usize, radius: usize, splats: &[Splat], component: usize, factors: &[f32])
);
dispatch!(
    /// Adds `factor · ∂λ/∂s_c` of every atom for one component.
    draw_width_slopes, draw_width, radius,
    (image: &mut [f32], stride: usize, radius: usize, splats: &[Splat], component: usize, factors: &[f32])
);
dispatch!(
    /// Adds `Σ q ∂λ/∂(scale, u, v)` of one component over each atom's patch; `scale` multiplies the splat and is 1.
    gather_slopes, gather, radius,
    (slopes: &[f32], stride: usize, radius: usize, splats: &[Splat], component: usize, out: &mut [Gathered])
);
dispatch!(
    /// `Σ w j jᵀ` over each atom's patch.
    gather_information, inform, radius,
    (weights: &[f32], stride: usize, radius: usize, splats: &[Splat], out: &mut [Information])
);

/// Columns that a row of a patch touches, padding included.
pub(super) fn patch_columns(radius: usize) -> usize {
    match 2 * radius + 1 {
        n @ 0..=40 => n.div_ceil(8) * 8,
        _ => 56,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splat() -> Splat {
        Splat {
            nearest: [29, 28],
            offset: [0.31, -0.22],
            peak: [2.0, 0.7],
            inverse_variance: [1.0 / 1.4, 1.0 / 4.0],
        }
    }

    fn naive(splat: &Splat, p: usize, q: usize) -> f64 {
        let dx = p as f64 - splat.nearest[0] as f64 - f64::from(splat.offset[0]);
        let dy = q as f64 - splat.nearest[1] as f64 - f64::from(splat.offset[1]);
        (0..COMPONENTS)
            .map(|c| {
                let exponent = -0.5 * (dx * dx + dy * dy) * f64::from(splat.inverse_variance[c]);
                f64::from(splat.peak[c]) * exponent.exp()
            })
            .sum()
    }

    fn draw_both(image: &mut [f32], stride: usize, radius: usize, splat: &Splat) {
        for c in 0..COMPONENTS {
            draw_atoms(
                image,
                stride,
                radius,
                std::slice::from_ref(splat),
                c,
                &[1.0],
            );
        }
    }

    #[test]
    fn exponentials_agree_with_the_library() {
        for k in 0..2000 {
            let x = -0.04 * k as f32;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp_negative(x)) - exact).abs();
            // The argument itself is known to half a unit in the last place.
            let tolerance = 4e-7 + 1.2e-7 * f64::from(x.abs());
            assert!(error <= tolerance * exact, "exp({x})");
        }
    }

    #[test]
    fn every_patch_width_draws_the_formula() {
        for radius in [2, 6, 9, 13, 18, 25] {
            let (rows, stride) = (70, 70);
            let mut image = vec![0.0; rows * stride];
            draw_both(&mut image, stride, radius, &splat());
            for p in 29 - radius..=29 + radius {
                for q in 28 - radius..=28 + radius {
                    let error = f64::from(image[p * stride + q]) - naive(&splat(), p, q);
                    assert!(error.abs() < 2e-6, "radius {radius} pixel {p} {q}: {error}");
                }
            }
            assert_eq!(image[(29 + radius + 1) * stride + 28], 0.0);
        }
    }

    #[test]
    fn gathering_is_the_transpose_of_drawing() {
        // ⟨q, ∂λ⟩ against central differences of ⟨q, λ⟩.
        let (rows, stride, radius) = (40, 40, 9);
        let slopes: Vec<f32> = (0..rows * stride)
            .map(|k| ((k * 37 % 101) as f32) / 50.0 - 1.0)
            .collect();
        let value = |splat: &Splat| {
            let mut image = vec![0.0; rows * stride];
            draw_both(&mut image, stride, radius, splat);
            image
                .iter()
                .zip(&slopes)
                .map(|(a, b)| f64::from(a * b))
                .sum::<f64>()
        };
        let mut sums = [[0.0; 3]];
        for c in 0..COMPONENTS {
            gather_slopes(&slopes, stride, radius, &[splat()], c, &mut sums);
        }
        assert!((f64::from(sums[0][0]) - value(&splat())).abs() < 1e-4);
        for axis in 0..2 {
            let (mut up, mut down) = (splat(), splat());
            up.offset[axis] += 0.01;
            down.offset[axis] -= 0.01;
            let expected = (value(&up) - value(&down)) / 0.02;
            assert!((f64::from(sums[0][axis + 1]) - expected).abs() < 2e-3);
        }
        let mut image = vec![0.0; rows * stride];
        draw_width_slopes(&mut image, stride, radius, &[splat()], 1, &[1.0]);
        let total: f64 = image
            .iter()
            .zip(&slopes)
            .map(|(a, b)| f64::from(a * b))
            .sum();
        let wider = |change: f32| {
            let mut s = splat();
            let variance = 1.0 / s.inverse_variance[1];
            s.inverse_variance[1] = 1.0 / (variance + change);
            s.peak[1] *= variance / (variance + change);
            s
        };
        let expected = (value(&wider(0.02)) - value(&wider(-0.02))) / 0.04;
        assert!((total - expected).abs() < 2e-3, "{total} {expected}");
    }

    #[test]
    fn information_is_the_weighted_square_of_the_slopes() {
        let (rows, stride, radius) = (40, 40, 9);
        let mut sums = [[0.0; 6]];
        gather_information(
            &vec![2.0; rows * stride],
            stride,
            radius,
            &[splat()],
            &mut sums,
        );
        let image = |s: &Splat| {
            let mut image = vec![0.0; rows * stride];
            draw_both(&mut image, stride, radius, s);
            image
        };
        let slope = |axis: usize| {
            let (mut up, mut down) = (splat(), splat());
            up.offset[axis] += 0.01;
            down.offset[axis] -= 0.01;
            let (a, b) = (image(&up), image(&down));
            a.iter()
                .zip(&b)
                .map(|(a, b)| (a - b) / 0.02)
                .collect::<Vec<f32>>()
        };
        let columns = [image(&splat()), slope(0), slope(1)];
        let mut n = 0;
        for i in 0..3 {
            for j in i..3 {
                let expected: f32 = columns[i]
                    .iter()
                    .zip(&columns[j])
                    .map(|(a, b)| 2.0 * a * b)
                    .sum();
                assert!((sums[0][n] - expected).abs() < 0.02 * sums[0][0], "{i} {j}");
                n += 1;
            }
        }
    }
}
