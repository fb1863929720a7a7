//! Plots behind the smallest distance between atoms: how wide the maxima are, and how many atoms a distance would leave.

use super::{AxisLabel, Figure, Ink, Layer};
use crate::trace::Traced;
use crate::trace::cutoff::Cutoff;

/// The blur widths of the atoms and the number of atoms against the smallest distance.
#[must_use]
pub fn cutoff_figures(traced: &Traced, cutoff: &Cutoff) -> Vec<Figure> {
    vec![widths(traced, cutoff), counts(cutoff)]
}

fn widths(traced: &Traced, cutoff: &Cutoff) -> Figure {
    const BINS: usize = 60;
    let values = traced.atoms.column("sigma_A").unwrap_or(&[]);
    // Six deviations hold all but what is no single atom; those are counted in the last bins.
    let reach = (6.0 * cutoff.sigma_sd).max(0.02);
    let low = (cutoff.sigma_mean - reach).max(0.0);
    let high = cutoff.sigma_mean + reach;
    let width = (high - low) / BINS as f64;
    let mut counts = vec![0.0; BINS];
    for value in values.iter().filter(|v| v.is_finite()) {
        let bin = ((value - low) / width)
            .floor()
            .clamp(0.0, BINS as f64 - 1.0);
        counts[bin as usize] += 1.0;
    }
    Figure {
        id: "blur_width".to_owned(),
        title: "Blur widths of the atoms".to_owned(),
        x: AxisLabel::new("Blur width σ", "Å"),
        y: AxisLabel::new("Atoms", ""),
        layers: vec![
            Layer::Histogram {
                name: "atoms".to_owned(),
                edges: (0..=BINS).map(|k| low + k as f64 * width).collect(),
                counts,
                ink: Ink::Primary,
            },
            Layer::Vertical {
                x: cutoff.sigma_mean,
                label: "mean".to_owned(),
                id: None,
                ink: Ink::Muted,
            },
        ],
        brush_column: Some("sigma_A".to_owned()),
        note: format!(
            "{} atoms, σ = {:.3} ± {:.3} Å; {:.3} Å without the smoothing before tracing",
            cutoff.atoms, cutoff.sigma_mean, cutoff.sigma_sd, cutoff.sigma
        ),
        ..Figure::default()
    }
}

fn counts(cutoff: &Cutoff) -> Figure {
    let line = |x: f64, label: &str, ink| Layer::Vertical {
        x,
        label: label.to_owned(),
        id: None,
        ink,
    };
    Figure {
        id: "cutoff".to_owned(),
        title: "Atoms against the minimum distance".to_owned(),
        x: AxisLabel::new("Minimum distance", "Å"),
        y: AxisLabel::new("Atoms", ""),
        layers: vec![
            Layer::Line {
                name: "atoms left".to_owned(),
                points: cutoff
                    .counts
                    .iter()
                    .map(|&(distance, n)| [distance, n as f64])
                    .collect(),
                ink: Ink::Primary,
                dashed: false,
            },
            line(cutoff.used, "used", Ink::Accent),
            line(cutoff.by_rule, "d_ref − 3σ", Ink::Muted),
        ],
        note: format!(
            "d_ref {:.2} Å − 3 × {:.3} Å = {:.2} Å; used {:.2} Å",
            cutoff.reference, cutoff.sigma, cutoff.by_rule, cutoff.used
        ),
        ..Figure::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Atoms;

    #[test]
    fn every_atom_is_in_a_bin_and_the_lines_stand_where_the_rule_says() {
        let mut atoms = Atoms::from_positions(vec![[0.0; 3]; 5], "Zr");
        atoms.set_column("sigma_A", "Å", vec![0.35, 0.36, 0.37, 2.0, f64::NAN]);
        let traced = Traced {
            atoms,
            candidates: Vec::new(),
            threshold: 0.5,
            sigma_mean: 0.36,
            sigma_sd: 0.01,
            seconds: 0.0,
        };
        let cutoff = Cutoff {
            atoms: 4,
            sigma_mean: 0.36,
            sigma_sd: 0.01,
            smoothing: 0.0,
            sigma: 0.36,
            reference: 3.2,
            reference_given: true,
            by_rule: 2.12,
            used: 2.0,
            counts: vec![(1.0, 12), (2.0, 10)],
        };
        let figures = cutoff_figures(&traced, &cutoff);
        let Layer::Histogram { counts, .. } = &figures[0].layers[0] else {
            panic!("a histogram");
        };
        assert_eq!(counts.iter().sum::<f64>(), 4.0);
        let stands =
            |layer: &Layer, at: f64| matches!(layer, Layer::Vertical { x, .. } if *x == at);
        assert!(stands(&figures[1].layers[1], 2.0) && stands(&figures[1].layers[2], 2.12));
    }
}
