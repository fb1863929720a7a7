//! What the data say about a reconstruction without the truth: agreement of half sets, and how the kernel was chosen.

use super::{AxisLabel, Figure, Ink, Layer};
use crate::numeric::fsc::{Fsc, HALF_SET_THRESHOLD};
use crate::reconstruct::{Reconstructed, Trial};

/// The figures that a reconstruction gives beside its R: the half sets' correlation and the trials, where there are any.
#[must_use]
pub fn quality_figures(run: &Reconstructed) -> Vec<Figure> {
    let fsc = run.fsc.as_ref().filter(|fsc| !fsc.fsc.is_empty());
    let trials = trials_figure(&run.trials, run.kernel_width);
    fsc.map(fsc_figure).into_iter().chain(trials).collect()
}

/// The resolution in a sentence.
#[must_use]
pub fn fsc_note(fsc: &Fsc) -> String {
    let finest = fsc.k_per_angstrom.last().map_or(f64::NAN, |k| 1.0 / k);
    let at = |resolution: Option<f64>| {
        resolution.map_or_else(
            || format!("finer than {finest:.2} Å (Nyquist)"),
            |r| format!("{r:.2} Å"),
        )
    };
    format!(
        "resolution from half sets (every second tilt, FSC): {} at {HALF_SET_THRESHOLD}, {} at 0.5",
        at(fsc.resolution_0143),
        at(fsc.resolution_05)
    )
}

/// The correlation against the spatial frequency, with both thresholds and where they are crossed.
#[must_use]
pub fn fsc_figure(fsc: &Fsc) -> Figure {
    let points: Vec<[f64; 2]> = fsc
        .k_per_angstrom
        .iter()
        .zip(&fsc.fsc)
        .map(|(k, c)| [*k, *c])
        .collect();
    let reach = points.last().map_or(1.0, |p| p[0]);
    let mut layers = vec![Layer::Line {
        name: "FSC of half sets".to_owned(),
        points,
        ink: Ink::Primary,
        dashed: false,
    }];
    for (threshold, resolution) in [
        (HALF_SET_THRESHOLD, fsc.resolution_0143),
        (0.5, fsc.resolution_05),
    ] {
        layers.push(Layer::Line {
            name: threshold.to_string(),
            points: vec![[0.0, threshold], [reach, threshold]],
            ink: Ink::Muted,
            dashed: true,
        });
        layers.extend(resolution.map(|r| Layer::Vertical {
            x: 1.0 / r,
            label: format!("{r:.2} Å"),
            id: None,
            ink: Ink::Accent,
        }));
    }
    Figure {
        id: "fsc".to_owned(),
        title: "Fourier shell correlation".to_owned(),
        x: AxisLabel::new("Spatial frequency", "1/Å"),
        y: AxisLabel::new("FSC", ""),
        layers,
        note: fsc_note(fsc),
        ..Figure::default()
    }
}

/// Misfit of the tilts left out against the width of the kernel; `None` with fewer than two trials.
#[must_use]
pub fn trials_figure(trials: &[Trial], chosen: Option<f64>) -> Option<Figure> {
    if trials.len() < 2 {
        return None;
    }
    let points: Vec<[f64; 2]> = trials
        .iter()
        .map(|t| [t.kernel_width, t.misfit_free])
        .collect();
    let mut layers = vec![
        Layer::Line {
            name: "tilts left out".to_owned(),
            points: points.clone(),
            ink: Ink::Secondary,
            dashed: false,
        },
        Layer::Points {
            name: "trials".to_owned(),
            points,
            atoms: Vec::new(),
            ink: Ink::Secondary,
            radius: 3.0,
        },
    ];
    layers.extend(chosen.map(|width| Layer::Vertical {
        x: width,
        label: format!("chosen: {width:.2} Å"),
        id: None,
        ink: Ink::Accent,
    }));
    let iterations: Vec<String> = trials.iter().map(|t| t.iterations.to_string()).collect();
    Some(Figure {
        id: "kernel".to_owned(),
        title: "Choice of the kernel".to_owned(),
        x: AxisLabel::new("Width of the kernel in the loop", "Å"),
        y: AxisLabel::new("Relative misfit of the tilts left out", ""),
        layers,
        note: format!(
            "root of Σ(computed − measured)² / Σ measured² over the tilts left out, lowest of short reconstructions; reached after {} iterations; 0 is no kernel",
            iterations.join(", ")
        ),
        ..Figure::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_crossings_are_marked_and_said() {
        let fsc = Fsc {
            k_per_angstrom: vec![0.25, 0.5, 0.75, 1.0],
            fsc: vec![1.0, 0.75, 0.25, 0.2],
            resolution_0143: None,
            resolution_05: Some(1.6),
        };
        let figure = fsc_figure(&fsc);
        let marks: Vec<f64> = figure
            .layers
            .iter()
            .filter_map(|layer| match layer {
                Layer::Vertical { x, .. } => Some(*x),
                _ => None,
            })
            .collect();
        assert_eq!(marks, [0.625]);
        assert!(figure.note.contains("finer than 1.00 Å") && figure.note.contains("1.60 Å at 0.5"));
    }

    #[test]
    fn one_trial_is_no_choice() {
        let trial = Trial {
            kernel_width: 0.3,
            iterations: 12,
            misfit_free: 0.2,
        };
        assert!(trials_figure(&[trial], None).is_none());
        assert!(trials_figure(&[trial; 3], Some(0.3)).is_some());
    }
}
