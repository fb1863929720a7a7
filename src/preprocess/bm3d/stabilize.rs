//! Poisson–Gaussian noise and the transform that makes its variance 1 everywhere.
//!
//! A count `z` with the mean `x` has the variance `a (x − p) + σ²`: gain `a` (counts per electron), pedestal `p`
//! (counts without any electron), read noise `σ`. The generalized Anscombe transform is
//! `f(z) = (2/a) √max(0, a z + ⅜ a² + σ² − a p)`. Its algebraic inverse would be biased at low counts, as
//! `E[f(z)] ≠ f(E[z])`; the exact unbiased inverse maps `E[f(z)]` to `x`. Here in the closed form of Mäkitalo & Foi
//! (IEEE Trans. Image Process. 20, 2697, 2011; with Gaussian noise: 22, 91, 2013).

use serde::{Deserialize, Serialize};

/// Noise of a pixel: variance `gain · (mean − pedestal) + sigma²`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NoiseModel {
    /// Counts per detected electron; 0 when the noise does not grow with the counts.
    pub gain: f64,
    /// Counts where no electron arrives.
    pub pedestal: f64,
    /// Standard deviation of the part that does not depend on the counts, counts.
    pub sigma: f64,
}

impl NoiseModel {
    /// Variance of a pixel with this mean, counts².
    #[must_use]
    pub fn variance(&self, mean: f64) -> f64 {
        self.gain * (mean - self.pedestal).max(0.0) + self.sigma * self.sigma
    }

    /// The same noise with all variances multiplied by `factor`.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        Self {
            gain: self.gain * factor,
            pedestal: self.pedestal,
            sigma: self.sigma * factor.sqrt(),
        }
    }

    /// Variance at mean 0 on the straight line; may be negative.
    fn intercept(&self) -> f64 {
        self.sigma * self.sigma - self.gain * self.pedestal
    }

    /// A count → a value whose noise has the standard deviation 1.
    #[must_use]
    pub fn stabilize(&self, count: f64) -> f64 {
        if self.gain <= 0.0 {
            return count / self.sigma;
        }
        let a = self.gain;
        2.0 / a
            * (a * count + 0.375 * a * a + self.intercept())
                .max(0.0)
                .sqrt()
    }

    /// The mean count that a mean of stabilized values stands for.
    #[must_use]
    pub fn mean_of(&self, stabilized: f64) -> f64 {
        if self.gain <= 0.0 {
            return stabilized * self.sigma;
        }
        self.gain * unbiased(stabilized) - self.intercept() / self.gain
    }
}

/// Mean of a Poisson variable from the mean `d` of `2 √(z + ⅜)`.
fn unbiased(d: f64) -> f64 {
    // f(0): nothing below it can be a mean of stabilized counts.
    let lowest = 1.5f64.sqrt();
    let d = d.max(lowest);
    let inverse = 1.0 / d;
    // Mäkitalo & Foi 2011, equation (10); 0 at d = f(0) to within 0.001.
    let series = 0.25 * d * d - 0.125
        + inverse * (0.25 * lowest + inverse * (-1.375 + inverse * 0.625 * lowest));
    series.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `E[f(z)]` and `Var[f(z)]` for Poisson counts of mean `x` with Gaussian noise, by summation and quadrature.
    fn moments(model: &NoiseModel, x: f64) -> [f64; 2] {
        let electrons = (x - model.pedestal) / model.gain;
        let mut probability = (-electrons).exp();
        let (mut first, mut second) = (0.0, 0.0);
        for n in 0..2000 {
            if n > 0 {
                probability *= electrons / f64::from(n);
            }
            let steps = if model.sigma > 0.0 { 400 } else { 0 };
            let mut norm = 0.0;
            let mut sums = [0.0; 2];
            for step in -steps..=steps {
                let u = f64::from(step) / 50.0;
                let weight = (-0.5 * u * u).exp();
                let count = model.gain * f64::from(n) + model.pedestal + model.sigma * u;
                let f = model.stabilize(count);
                norm += weight;
                sums[0] += weight * f;
                sums[1] += weight * f * f;
            }
            first += probability * sums[0] / norm;
            second += probability * sums[1] / norm;
        }
        [first, second - first * first]
    }

    #[test]
    fn variances_become_one_and_means_come_back() {
        let models = [[1.0, 0.0, 0.0], [1.0, 0.0, 1.5], [3.0, 20.0, 2.0]];
        for [gain, pedestal, sigma] in models {
            let model = NoiseModel {
                gain,
                pedestal,
                sigma,
            };
            for electrons in [0.2, 0.5, 1.0, 2.0, 5.0, 20.0, 100.0] {
                let x = pedestal + gain * electrons;
                let [mean, variance] = moments(&model, x);
                let back = model.mean_of(mean);
                // The closed form is good to some hundredths of an electron (Mäkitalo & Foi 2013, figure 4); the
                // algebraic inverse is wrong by a quarter of an electron at high counts.
                let tolerated = 0.05 * gain * (1.0 + sigma / gain);
                assert!((back - x).abs() < tolerated, "{model:?} {x}: {back}");
                if electrons >= 5.0 {
                    assert!((variance - 1.0).abs() < 0.05, "{model:?} {x}: {variance}");
                }
            }
        }
    }

    #[test]
    fn purely_gaussian_noise_is_only_scaled() {
        let model = NoiseModel {
            gain: 0.0,
            pedestal: 7.0,
            sigma: 4.0,
        };
        assert_eq!(model.stabilize(-10.0), -2.5);
        assert_eq!(model.mean_of(-2.5), -10.0);
        assert_eq!(model.variance(1e6), 16.0);
    }
}
