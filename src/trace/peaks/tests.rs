//! Maxima and fits against closed forms and the naive fit over all samples.

use super::*;
use ndarray::Array3;

fn spline_of(volume: &Volume) -> CubicSpline {
    CubicSpline::new(&volume.data)
}

#[test]
fn the_maximum_of_a_quartic_is_found_exactly() {
    let peak = [10.37, 9.81, 10.12];
    // Cubic at most along each axis, so that the spline carries it; of fourth order in all.
    let value = |x: f64, y: f64, z: f64| {
        let d = [x - peak[0], y - peak[1], z - peak[2]];
        5.0 - 0.2 * d[0] * d[0] - 0.1 * d[1] * d[1] - 0.15 * d[2] * d[2]
            + 0.03 * d[0] * d[1]
            + 0.004 * d[0].powi(3)
            + 0.003 * d[0] * d[0] * d[2] * d[2]
            - 0.002 * d[1].powi(3) * d[2]
    };
    let data = Array3::from_shape_fn((21, 21, 21), |(x, y, z)| {
        value(x as f64, y as f64, z as f64) as f32
    });
    let volume = Volume::new(data, 0.5);
    let spline = spline_of(&volume);
    let fitter = PeakFitter::new(&spline, &volume, 1.7, 3);
    let candidate = fitter.fit(&Maximum {
        index: [31, 29, 30],
        value: 5.0,
    });
    assert_eq!(candidate.verdict, Verdict::Atom);
    for (axis, place) in peak.iter().enumerate() {
        // Voxels are f32, and the mirrored rim still reaches the middle with 0.27¹⁰ of its bend.
        let wanted = (place - 10.0) * 0.5;
        assert!(
            (candidate.position[axis] - wanted).abs() < 1e-4,
            "{axis} {} {wanted}",
            candidate.position[axis]
        );
    }
    assert!(
        (candidate.density - 5.0).abs() < 1e-4 && candidate.misfit < 1e-4,
        "{candidate:?}"
    );
    // Widths from the curvature: σ² = f / |f″|, averaged over the axes as the determinant does.
    let det: f64 = 0.3 * (0.4 * 0.2 - 0.03f64.powi(2));
    let half_box = fitter.half as f64 / 3.0;
    let sigma = fitter.true_width((5.0 / det.cbrt()).sqrt() / half_box) * half_box * 0.5;
    assert!(
        (candidate.sigma - sigma).abs() < 2e-3 * sigma,
        "{} {sigma}",
        candidate.sigma
    );
}

#[test]
fn the_integral_of_a_constant_is_the_box() {
    let volume = Volume::new(Array3::from_elem((12, 12, 12), 3.0), 0.4);
    let spline = spline_of(&volume);
    let fitter = PeakFitter::new(&spline, &volume, 1.3, 3);
    let integral = fitter.box_integral([5.3, 6.1, 5.8], &mut fitter.scratch());
    assert!((integral - 3.0 * 1.3f64.powi(3)).abs() < 1e-5, "{integral}");
}

#[test]
fn the_separable_fit_is_the_fit_over_the_samples() {
    let pattern = |x: usize, y: usize, z: usize| ((x * 7 + y * 13 + z * 29) % 17) as f32 - 3.0;
    let volume = Volume::new(
        Array3::from_shape_fn((14, 15, 16), |(x, y, z)| pattern(x, y, z)),
        0.5,
    );
    let spline = spline_of(&volume);
    let fitter = PeakFitter::new(&spline, &volume, 1.7, 3);
    let at = [6.9, 7.2, 8.45];
    let mut scratch = fitter.scratch();
    let fit = fitter.polynomial_at(at, &mut scratch);
    let squares = fitter.weighted_squares(at, &mut scratch);
    let n = 2 * fitter.half + 1;
    let (mut rows, mut values, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..n * n * n {
        let t = [i / (n * n), i / n % n, i % n];
        let p = t.map(|k| place(k, fitter.half));
        let monomial = |e: &[usize; 3]| (0..3).map(|a| p[a].powi(e[a] as i32)).product::<f64>();
        rows.push(exponents().iter().map(monomial).collect::<Vec<f64>>());
        let sample = std::array::from_fn(|a| at[a] + (t[a] as f64 - fitter.half as f64) / 3.0);
        values.push(spline.value_at(sample));
        weights.push(t.iter().map(|&k| fitter.weights[k]).product());
    }
    let naive = crate::numeric::fit::least_squares(&rows, &values, &weights).unwrap();
    for (a, b) in fit.terms.iter().zip(&naive) {
        assert!((a - b).abs() < 1e-7, "{a} {b}");
    }
    let want: f64 = values.iter().zip(&weights).map(|(v, w)| w * v * v).sum();
    assert!((squares - want).abs() < 1e-9 * want);
}

#[test]
fn maxima_do_not_depend_on_tiles_and_plateaus_count_once() {
    let mut data = Array3::from_shape_fn((20, 18, 22), |(x, y, z)| {
        ((x * 31 + y * 57 + z * 91) % 101) as f32 / 101.0 + ((x + y) as f32).sin()
    });
    data[[3, 3, 3]] = 9.0;
    data[[3, 3, 4]] = 9.0;
    let spline = CubicSpline::new(&data);
    let monitor = Monitor::silent();
    let whole = local_maxima_tiled(&spline, 3, 0.0, 1000, &monitor).unwrap();
    assert!(whole.len() > 50);
    for tile in [7, 16] {
        assert_eq!(
            local_maxima_tiled(&spline, 3, 0.0, tile, &monitor).unwrap(),
            whole
        );
    }
    for factor in [1, 2, 3, 4] {
        let maxima = local_maxima(&spline, factor, 6.0, &monitor).unwrap();
        assert_eq!(maxima.len(), 1, "{factor}");
    }
}

#[test]
fn a_flat_volume_has_no_maxima() {
    let spline = CubicSpline::new(&Array3::from_elem((8, 8, 8), 1.0));
    assert_eq!(
        local_maxima(&spline, 1, 0.0, &Monitor::silent()).unwrap(),
        vec![]
    );
}
