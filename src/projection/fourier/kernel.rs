//! The Kaiser–Bessel kernel of the non-uniform Fourier transform.
//!
//! A sum `F(f) = Σ_x O(x) exp(−2πi f x)` at any frequency f is had from a fast transform on a finer grid of M
//! frequencies: `F(f) ≈ Σ_k φ(M f − k) G(k)`, with G the transform of `O(x) / φ̂(x/M)`. φ is nonzero over W grid
//! points; Beatty's shape parameter (Beatty, Nishimura & Pauly, IEEE Trans. Med. Imaging 24, 799 (2005)) makes what
//! aliases smallest for a grid σ times as fine as the object is wide.

use std::f64::consts::PI;

/// Weights are filled up with zeros to this many: complex numbers of a cache line, twice.
pub(super) const MOST: usize = 16;
/// Aliasing aimed at: beyond it rounding in single precision is what remains.
const ACCURACY: f64 = 1e-6;

/// The kernel, as polynomials for its weights.
pub(super) struct KaiserBessel {
    width: usize,
    beta: f64,
    /// Coefficients of the weights, highest power first.
    coefficients: Vec<[f32; MOST]>,
}

impl KaiserBessel {
    /// The narrowest kernel good enough for a grid `oversampling` times as fine as the object is wide.
    pub(super) fn new(oversampling: f64) -> Self {
        // The error falls as exp(−π W √(1 − 1/σ)) (Barnett, Magland & af Klinteberg, SIAM J. Sci. Comput. 41 (2019)).
        let rate = PI * (1.0 - 1.0 / oversampling).sqrt();
        let width = ((1.0 / ACCURACY).ln() / rate)
            .ceil()
            .clamp(4.0, MOST as f64) as usize;
        let w = width as f64;
        let beta = PI * ((w / oversampling * (oversampling - 0.5)).powi(2) - 0.8).sqrt();
        let mut kernel = Self {
            width,
            beta,
            coefficients: Vec::new(),
        };
        // One power more until rounding is all that is left.
        for degree in width..3 * width {
            kernel.coefficients = kernel.polynomials(degree);
            if kernel.worst_weight() < 1e-7 {
                break;
            }
        }
        kernel
    }

    /// Grid points it reaches over on each axis.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The kernel at distance `t` in grid points; 1 at 0.
    fn at(&self, t: f64) -> f64 {
        let x = 2.0 * t / self.width as f64;
        if x.abs() > 1.0 {
            return 0.0;
        }
        bessel_i0(self.beta * (1.0 - x * x).sqrt()) / bessel_i0(self.beta)
    }

    /// `φ̂(u)`: its continuous Fourier transform at `u` cycles per grid point.
    pub(super) fn transform(&self, u: f64) -> f64 {
        let w = self.width as f64;
        let square = self.beta.powi(2) - (PI * w * u).powi(2);
        let root = square.abs().sqrt();
        let shape = if root < 1e-6 {
            1.0
        } else if square > 0.0 {
            root.sinh() / root
        } else {
            root.sin() / root
        };
        w * shape / bessel_i0(self.beta)
    }

    /// First grid point within reach of a place, and how far it is into the reach, in [0, 1).
    #[inline(always)]
    pub(super) fn first(&self, place: f64) -> (i64, f32) {
        let begin = place - 0.5 * self.width as f64;
        let first = begin.ceil();
        (first as i64, (first - begin) as f32)
    }

    /// Weights of the grid points within reach, the first of them `into` the reach; zeros after them.
    #[inline(always)]
    pub(super) fn weights(&self, into: f32) -> [f32; MOST] {
        let x = 2.0 * into - 1.0;
        let mut weights = [0.0f32; MOST];
        for power in &self.coefficients {
            for (weight, coefficient) in weights.iter_mut().zip(power) {
                *weight = *weight * x + coefficient;
            }
        }
        weights
    }

    /// Interpolates each weight as a function of `2 · into − 1` at Chebyshev's nodes.
    fn polynomials(&self, degree: usize) -> Vec<[f32; MOST]> {
        let count = degree + 1;
        let nodes: Vec<f64> = (0..count)
            .map(|i| (PI * (i as f64 + 0.5) / count as f64).cos())
            .collect();
        let mut coefficients = vec![[0.0f32; MOST]; count];
        for weight in 0..self.width {
            let reach = 0.5 * self.width as f64;
            let values: Vec<f64> = nodes
                .iter()
                .map(|x| self.at(0.5 * (x + 1.0) + weight as f64 - reach))
                .collect();
            for (power, value) in monomials(&nodes, &values).into_iter().enumerate() {
                coefficients[degree - power][weight] = value as f32;
            }
        }
        coefficients
    }

    /// Largest error of a weight.
    fn worst_weight(&self) -> f64 {
        let reach = 0.5 * self.width as f64;
        (0..=64)
            .map(|step| f64::from(step) / 64.0)
            .flat_map(|into| {
                let found = self.weights(into as f32);
                (0..self.width)
                    .map(move |weight| {
                        let exact = self.at(into + weight as f64 - reach);
                        (f64::from(found[weight]) - exact).abs()
                    })
                    .collect::<Vec<_>>()
            })
            .fold(0.0, f64::max)
    }
}

/// Coefficients of 1, x, x², … of the polynomial through the points (Newton's divided differences).
fn monomials(nodes: &[f64], values: &[f64]) -> Vec<f64> {
    let count = nodes.len();
    let mut differences = values.to_vec();
    for order in 1..count {
        for i in (order..count).rev() {
            differences[i] = (differences[i] - differences[i - 1]) / (nodes[i] - nodes[i - order]);
        }
    }
    let mut coefficients = vec![0.0; count];
    for i in (0..count).rev() {
        // p ← p (x − xᵢ) + dᵢ
        for power in (1..count).rev() {
            coefficients[power] = coefficients[power - 1] - nodes[i] * coefficients[power];
        }
        coefficients[0] = differences[i] - nodes[i] * coefficients[0];
    }
    coefficients
}

/// The modified Bessel function of order 0, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = 0.25 * x * x;
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..500 {
        term *= quarter / f64::from(k * k);
        sum += term;
        if term < 1e-17 * sum {
            break;
        }
    }
    sum
}

/// The smallest product of the primes that is not less than `least`.
fn smooth(least: usize, primes: &[usize], unit: usize) -> usize {
    let is_smooth = |n: usize| {
        let rest = primes.iter().fold(n, |mut rest, prime| {
            while rest % prime == 0 {
                rest /= prime;
            }
            rest
        });
        rest == 1
    };
    let mut n = least.max(1);
    while n % 2 != unit || !is_smooth(n) {
        n += 1;
    }
    n
}

/// An even length not less than `least` that is fast to transform.
pub(super) fn even_length(least: usize) -> usize {
    smooth(least, &[2, 3, 5], 0)
}

/// An odd length not less than `least` that is fast to transform: without a frequency at the very end, a real image
/// and its transform need no exception.
pub(super) fn odd_length(least: usize) -> usize {
    smooth(least, &[3, 5, 7, 11], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polynomials_are_the_kernel_and_its_transform_is_its_integral() {
        for oversampling in [1.25, 1.5, 2.0, 4.0] {
            let kernel = KaiserBessel::new(oversampling);
            assert!(kernel.worst_weight() < 2e-7, "{oversampling}");
            let reach = 0.5 * kernel.width as f64;
            for u in [0.0, 0.1, 0.5 / oversampling] {
                let steps = 4000;
                let sum: f64 = (0..steps)
                    .map(|i| (f64::from(i) + 0.5) / f64::from(steps) * 2.0 * reach - reach)
                    .map(|t| kernel.at(t) * (2.0 * PI * u * t).cos())
                    .sum::<f64>()
                    * 2.0
                    * reach
                    / f64::from(steps);
                // The kernel ends with a small step, which a sum over midpoints sees at second order only.
                assert!(
                    (sum - kernel.transform(u)).abs() < 1e-6,
                    "{oversampling} {u}"
                );
            }
        }
        assert!((bessel_i0(1.0) - 1.266_065_877_752_008_4).abs() < 1e-14);
        assert!((bessel_i0(15.0) / 339_649.373_297_957_8 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn lengths_are_the_next_products_of_small_primes() {
        assert_eq!([1, 7, 91, 435, 480].map(even_length), [2, 8, 96, 450, 480]);
        assert_eq!([1, 2, 12, 351, 400].map(odd_length), [1, 3, 15, 363, 405]);
    }
}
