//! The figures of the stages, as data: what the tray of the window shows is what is exported.

use super::{AxisLabel, Figure, Ink, Layer};
use crate::analyze::voids::VOID_CLASSES;
use crate::analyze::{AnalyzeParams, Analyzed};
use crate::model::Atoms;
use crate::preprocess::{Prepared, Step};
use crate::project::Workspace;
use crate::reconstruct::{GeometryRound, Iteration};
use crate::trace::{Traced, Verdict};

/// Q̄4 and Q̄6 of the ideal lattices (averaged local bond order, Lechner & Dellago, J. Chem. Phys. 129, 114707
/// (2008)); for a perfect lattice they equal the plain Q4 and Q6.
pub const LATTICES: [(&str, [f64; 2]); 3] = [
    ("fcc", [0.190_941, 0.574_524]),
    ("hcp", [0.097_222, 0.484_762]),
    ("bcc", [0.036_370, 0.510_688]),
];

/// R1 (and R_free) against the iteration.
#[must_use]
pub fn r1_figure(iterations: &[Iteration]) -> Figure {
    let line = |name: &str, ink, points: Vec<[f64; 2]>| Layer::Line {
        name: name.to_owned(),
        points,
        ink,
        dashed: false,
    };
    let r1 = iterations
        .iter()
        .map(|i| [i.number as f64, i.r1])
        .collect::<Vec<_>>();
    let free: Vec<[f64; 2]> = iterations
        .iter()
        .filter_map(|i| Some([i.number as f64, i.r_free?]))
        .collect();
    let note = iterations.last().map_or_else(
        || {
            "R1 is the mean over tilts of Σ|computed − measured| / Σ|measured|; it appears while a reconstruction runs"
                .to_owned()
        },
        |last| {
            let free = last
                .r_free
                .map_or_else(String::new, |r| format!(", R_free {r:.4}"));
            format!(
                "iteration {}: R1 {:.4}{free}, objective {:.3e}, {:.1} s",
                last.number, last.r1, last.objective, last.elapsed_secs
            )
        },
    );
    let mut layers = vec![line("R1", Ink::Primary, r1)];
    if let Some(lowest) = over_fitted_from(&free) {
        layers.push(Layer::Vertical {
            x: lowest,
            label: format!("over-fits beyond {lowest:.0}"),
            id: None,
            ink: Ink::Accent,
        });
    }
    if !free.is_empty() {
        layers.push(line("R_free (tilts left out)", Ink::Secondary, free));
    }
    Figure {
        id: "r1".to_owned(),
        title: "R1 of the reconstruction".to_owned(),
        x: AxisLabel::new("Iteration", ""),
        y: AxisLabel::new("R1", ""),
        layers,
        note,
        ..Figure::default()
    }
}

/// How far every image lay from where the common line and the centre of mass want it, and which do not fit.
///
/// `None` when the alignment could not look.
#[must_use]
pub fn alignment_figure(done: &Prepared) -> Option<Figure> {
    let found = done.misalignment.as_ref()?;
    let along = |axis: usize| {
        let shifts = found.shifts_px.iter().enumerate();
        shifts
            .map(|(tilt, s)| [tilt as f64 + 1.0, s[axis]])
            .collect::<Vec<_>>()
    };
    let line = |name: &str, ink, points| Layer::Line {
        name: name.to_owned(),
        points,
        ink,
        dashed: false,
    };
    let mut layers = vec![
        line("across the tilt axis (x)", Ink::Primary, along(0)),
        line("along it (y)", Ink::Secondary, along(1)),
    ];
    layers.extend(found.outliers.iter().map(|&tilt| Layer::Vertical {
        x: tilt as f64 + 1.0,
        label: "does not fit".to_owned(),
        id: None,
        ink: Ink::Accent,
    }));
    let by_hand = &done.params().nudges;
    Some(Figure {
        id: "alignment".to_owned(),
        title: "Alignment".to_owned(),
        x: AxisLabel::new("Tilt", ""),
        y: AxisLabel::new("Shift", "px"),
        layers,
        note: format!(
            "scatter {:.2} px across, {:.2} px along; {}",
            found.rms_x_px,
            found.rms_y_px,
            match (done.did(Step::Align), by_hand.is_empty()) {
                (true, true) => "images moved by these shifts",
                (true, false) => "images moved by these shifts and by hand",
                (false, true) => "images left where they were",
                (false, false) => "images moved by hand only",
            }
        ),
        ..Figure::default()
    })
}

/// Mean subtracted count of every tilt; `None` when nothing was subtracted.
#[must_use]
pub fn background_figure(done: &Prepared) -> Option<Figure> {
    done.background.as_ref()?;
    let points = done.background_level.iter().enumerate();
    let points = points.map(|(tilt, &level)| [tilt as f64 + 1.0, level]);
    Some(Figure {
        id: "background".to_owned(),
        title: "Background".to_owned(),
        x: AxisLabel::new("Tilt", ""),
        y: AxisLabel::new("Mean subtracted", "counts/pixel"),
        layers: vec![Layer::Line {
            name: "background".to_owned(),
            points: points.collect(),
            ink: Ink::Primary,
            dashed: false,
        }],
        note: "mean over the image of what was subtracted from it".to_owned(),
        ..Figure::default()
    })
}

/// Corrections of every tilt so far: shifts, and angles where they were free.
#[must_use]
pub fn geometry_figure(round: &GeometryRound) -> Figure {
    let line = |name: &str, ink, dashed, points: Vec<[f64; 2]>| Layer::Line {
        name: name.to_owned(),
        points,
        ink,
        dashed,
    };
    let along = |axis: usize| {
        let shifts = round.shifts_px.iter().enumerate();
        shifts
            .map(|(tilt, s)| [tilt as f64 + 1.0, s[axis]])
            .collect()
    };
    let mut layers = vec![
        line("shift x (px)", Ink::Primary, false, along(0)),
        line("shift y (px)", Ink::Secondary, false, along(1)),
    ];
    if round.with_angles {
        let turned = |axis: usize| {
            let angles = round.angle_corrections_deg.iter().enumerate();
            angles
                .map(|(tilt, a)| [tilt as f64 + 1.0, a[axis]])
                .collect()
        };
        for (axis, name, ink) in [
            (0, "φ (°)", Ink::Tertiary),
            (1, "θ (°)", Ink::Accent),
            (2, "ψ (°)", Ink::Muted),
        ] {
            layers.push(line(name, ink, true, turned(axis)));
        }
    }
    Figure {
        id: "geometry".to_owned(),
        title: "Geometry".to_owned(),
        x: AxisLabel::new("Tilt that takes part", ""),
        y: AxisLabel::new("Correction", "px, °"),
        layers,
        note: format!(
            "round {}: R1 {:.4}, next step {:.3} px at the object's radius",
            round.number, round.r1, round.step_px
        ),
        ..Figure::default()
    }
}

/// The iteration from which the tilts left out are explained worse and worse; `None` while they are not.
fn over_fitted_from(free: &[[f64; 2]]) -> Option<f64> {
    /// Rise above the lowest R_free that no rounding and no ripple of the momentum makes.
    const RISE: f64 = 0.005;
    let last = free.last()?;
    let lowest = free.iter().min_by(|a, b| a[1].total_cmp(&b[1]))?;
    (last[1] > lowest[1] * (1.0 + RISE)).then_some(lowest[0])
}

/// R of each tilt as bars.
#[must_use]
pub fn r_per_tilt_figure(r1_per_tilt: &[f64]) -> Figure {
    let n = r1_per_tilt.len();
    let mean = r1_per_tilt.iter().sum::<f64>() / n.max(1) as f64;
    Figure {
        id: "r_per_tilt".to_owned(),
        title: "R1 of each tilt".to_owned(),
        x: AxisLabel::new("Tilt", ""),
        y: AxisLabel::new("R1", ""),
        layers: vec![Layer::Histogram {
            name: "R1".to_owned(),
            edges: (0..=n).map(|i| i as f64 + 0.5).collect(),
            counts: r1_per_tilt.to_vec(),
            ink: Ink::Primary,
        }],
        note: format!("{n} tilts, mean {mean:.4}"),
        ..Figure::default()
    }
}

/// Evenly spaced edges over `[low, high]`.
fn edges(low: f64, high: f64, bins: usize) -> Vec<f64> {
    let high = if high > low { high } else { low + 1.0 };
    (0..=bins)
        .map(|i| low + (high - low) * i as f64 / bins as f64)
        .collect()
}

/// Counts per bin; values beyond the last edge are left out, the last edge itself belongs to the last bin.
pub(super) fn count(values: impl Iterator<Item = f64>, edges: &[f64]) -> Vec<f64> {
    let bins = edges.len() - 1;
    let (low, high) = (edges[0], edges[bins]);
    let mut counts = vec![0.0; bins];
    for value in values.filter(|v| *v >= low && *v <= high) {
        let bin = ((value - low) / (high - low) * bins as f64) as usize;
        counts[bin.min(bins - 1)] += 1.0;
    }
    counts
}

/// A quantile of unsorted values, by rank; `None` without values.
fn quantile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.retain(|v| v.is_finite());
    let rank = ((values.len().checked_sub(1)?) as f64 * share).round() as usize;
    let (_, value, _) = values.select_nth_unstable_by(rank, f64::total_cmp);
    Some(*value)
}

/// Integrated intensities of all maxima with the atom threshold, which may be dragged.
#[must_use]
pub fn intensity_figure(traced: &Traced, threshold: f64) -> Figure {
    const BINS: usize = 120;
    // A failed fit has no intensity to compare; one too close or at the edge is no question of strength.
    let compared = || {
        traced
            .candidates
            .iter()
            .filter(|c| matches!(c.verdict, Verdict::Atom | Verdict::TooWeak))
            .map(|c| c.intensity)
    };
    let top = quantile(compared().collect(), 0.999).unwrap_or(1.0) * 1.05;
    let edges = edges(0.0, top.max(threshold * 1.1), BINS);
    let layer = |name: &str, ink, keep: &dyn Fn(f64) -> bool| Layer::Histogram {
        name: name.to_owned(),
        edges: edges.clone(),
        counts: count(compared().filter(|v| keep(*v)), &edges),
        ink,
    };
    let above = compared().filter(|&v| v >= threshold).count();
    let all = compared().count();
    Figure {
        id: "intensity".to_owned(),
        title: "Integrated intensity of the maxima".to_owned(),
        x: AxisLabel::new("Integrated intensity", ""),
        y: AxisLabel::new("Maxima", ""),
        layers: vec![
            layer("below the threshold", Ink::Muted, &|v| v < threshold),
            layer("atoms", Ink::Primary, &|v| v >= threshold),
            Layer::Vertical {
                x: threshold,
                label: "threshold".to_owned(),
                id: Some("threshold".to_owned()),
                ink: Ink::Accent,
            },
        ],
        brush_column: Some("intensity".to_owned()),
        note: format!(
            "{above} of {all} maxima are at or above {threshold:.4}; drag the line to choose another threshold"
        ),
        ..Figure::default()
    }
}

/// The pair distribution function with its valley as the neighbour cutoff.
#[must_use]
pub fn pdf_figure(analyzed: &Analyzed) -> Option<Figure> {
    let pdf = analyzed.pdf.as_ref()?;
    let line = |name: &str, g: &[f64], ink, dashed| Layer::Line {
        name: name.to_owned(),
        points: pdf.r.iter().zip(g).map(|(&r, &g)| [r, g]).collect(),
        ink,
        dashed,
    };
    let mut layers = vec![line("all pairs", &pdf.g, Ink::Primary, false)];
    let inks = [Ink::Secondary, Ink::Tertiary, Ink::Muted];
    // One species has one partial, which is the whole.
    if pdf.partial.len() > 1 {
        for ((name, g), ink) in pdf.partial.iter().zip(inks.into_iter().cycle()) {
            layers.push(line(name, g, ink, true));
        }
    }
    layers.extend(super::structure::reference_layers(analyzed));
    layers.push(Layer::Vertical {
        x: analyzed.cutoff,
        label: format!("cutoff {:.2} Å", analyzed.cutoff),
        id: Some("cutoff".to_owned()),
        ink: Ink::Accent,
    });
    let peaks: Vec<String> = pdf
        .peaks
        .iter()
        .take(6)
        .map(|r| format!("{r:.2}"))
        .collect();
    Some(Figure {
        id: "pdf".to_owned(),
        title: "Pair distribution function".to_owned(),
        x: AxisLabel::new("r", "Å"),
        y: AxisLabel::new("g(r)", ""),
        layers,
        note: format!(
            "{} atoms; peaks at {} Å",
            analyzed.atoms.len(),
            peaks.join(", ")
        ),
        ..Figure::default()
    })
}

/// Q̄6 against Q̄4 of every atom, with the ideal lattices and the curve below which an atom counts as disordered.
#[must_use]
pub fn boo_figure(atoms: &Atoms, threshold: f64) -> Option<Figure> {
    let (q4, q6) = (atoms.column("q4bar")?, atoms.column("q6bar")?);
    let defined: Vec<u32> = (0..atoms.len() as u32)
        .filter(|&i| q4[i as usize].is_finite() && q6[i as usize].is_finite())
        .collect();
    let points = defined
        .iter()
        .map(|&i| [q4[i as usize], q6[i as usize]])
        .collect();
    let [fcc4, fcc6] = LATTICES[0].1;
    let radius = threshold * fcc4.hypot(fcc6);
    let curve = (0..=90)
        .map(|deg| f64::from(deg).to_radians())
        .map(|angle| [radius * angle.cos(), radius * angle.sin()])
        .collect();
    let disordered = defined
        .iter()
        .filter(|&&i| q4[i as usize].hypot(q6[i as usize]) < radius)
        .count();
    let share = 100.0 * disordered as f64 / defined.len().max(1) as f64;
    let mut layers = vec![
        Layer::Points {
            name: "atoms".to_owned(),
            points,
            atoms: defined.clone(),
            ink: Ink::Primary,
            radius: 1.2,
        },
        Layer::Line {
            name: format!("normalised BOO {threshold}"),
            points: curve,
            ink: Ink::Accent,
            dashed: true,
        },
    ];
    layers.extend(LATTICES.iter().map(|(name, at)| Layer::Mark {
        at: *at,
        label: (*name).to_owned(),
        ink: Ink::Secondary,
    }));
    Some(Figure {
        id: "boo".to_owned(),
        title: "Averaged local bond order".to_owned(),
        x: AxisLabel::new("Q̄4", ""),
        y: AxisLabel::new("Q̄6", ""),
        layers,
        note: format!(
            "{} atoms; {disordered} ({share:.1} %) below {threshold} of √(Q4² + Q6²) of fcc",
            defined.len()
        ),
        ..Figure::default()
    })
}

/// A histogram of a per-atom column; brushing a range lights its atoms.
#[must_use]
pub fn column_figure(
    atoms: &Atoms,
    column: &str,
    id: &str,
    title: &str,
    threshold: Option<(f64, &str, Option<&str>)>,
) -> Option<Figure> {
    const BINS: usize = 80;
    let found = atoms.columns.get(column)?;
    let known: Vec<f64> = found
        .values
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .collect();
    let (low, high) = (
        quantile(known.clone(), 0.001)?,
        quantile(known.clone(), 0.999)?,
    );
    // Counts of neighbours get a bin each.
    let whole = known.iter().all(|v| v.fract() == 0.0) && high - low < 200.0;
    let edges = if whole {
        edges(low - 0.5, high + 0.5, (high - low) as usize + 1)
    } else {
        edges(low, high, BINS)
    };
    let n = known.len();
    let mean = known.iter().sum::<f64>() / n.max(1) as f64;
    let variance = known.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n.max(1) as f64;
    let mut layers = vec![Layer::Histogram {
        name: title.to_owned(),
        counts: count(known.into_iter(), &edges),
        edges,
        ink: Ink::Primary,
    }];
    let edges = layers.first().map_or(&[][..], |layer| match layer {
        Layer::Histogram { edges, .. } => edges,
        _ => &[],
    });
    let (own, means) = super::structure::by_phase(atoms, column, edges);
    layers.extend(own);
    if let Some((x, label, parameter)) = threshold {
        layers.push(Layer::Vertical {
            x,
            label: label.to_owned(),
            id: parameter.map(str::to_owned),
            ink: Ink::Accent,
        });
    }
    let unit = if found.unit.is_empty() {
        String::new()
    } else {
        format!(" {}", found.unit)
    };
    Some(Figure {
        id: id.to_owned(),
        title: title.to_owned(),
        x: AxisLabel::new(title, &found.unit),
        y: AxisLabel::new("Atoms", ""),
        layers,
        brush_column: Some(column.to_owned()),
        note: format!(
            "{n} atoms, mean {} ± {}{unit}{means}; drag a range to light its atoms up",
            significant(mean),
            significant(variance.sqrt())
        ),
        ..Figure::default()
    })
}

/// Four significant digits without an exponent where that stays short.
pub(super) fn significant(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e5).contains(&size) => format!("{value:.3e}"),
        size => {
            let digits = (3 - size.log10().floor() as i32).max(0) as usize;
            format!("{value:.digits$}")
        }
    }
}

/// Volumes of the voids inside the particle, on a logarithmic axis with the classes' limits (Zr).
#[must_use]
pub fn voids_figure(analyzed: &Analyzed) -> Option<Figure> {
    analyzed.space.as_ref()?;
    let inner: Vec<f64> = analyzed
        .voids
        .iter()
        .filter(|void| !void.at_surface && void.volume > 0.0)
        .map(|void| void.volume.log10())
        .collect();
    let [vacancy, pore, large] = VOID_CLASSES;
    let low = inner.iter().copied().fold(1.0, f64::min);
    let high = inner.iter().copied().fold(4.0, f64::max);
    let edges = edges(low, high, ((high - low) / 0.08).ceil() as usize);
    let class = |from: f64, to: f64| {
        let range = from.log10()..to.log10();
        inner.iter().filter(|v| range.contains(v)).count()
    };
    let note = format!(
        "{} voids inside: {} vacancies ({vacancy:.0}–{pore:.0} Å³), {} nano-pores (to {large:.0} Å³), {} larger",
        inner.len(),
        class(vacancy, pore),
        class(pore, large),
        class(large, f64::INFINITY),
    );
    let mut layers = vec![Layer::Histogram {
        name: "voids".to_owned(),
        counts: count(inner.into_iter(), &edges),
        edges,
        ink: Ink::Primary,
    }];
    for (limit, label) in [
        (vacancy, "vacancies"),
        (pore, "nano-pores"),
        (large, "large"),
    ] {
        layers.push(Layer::Vertical {
            x: limit.log10(),
            label: label.to_owned(),
            id: None,
            ink: Ink::Muted,
        });
    }
    Some(Figure {
        id: "voids".to_owned(),
        title: "Voids".to_owned(),
        x: AxisLabel::log("Void volume", "Å³"),
        y: AxisLabel::new("Voids", ""),
        layers,
        note,
        ..Figure::default()
    })
}

/// Every figure of an analysis, in the order of the tray.
#[must_use]
pub fn analysis_figures(analyzed: &Analyzed, params: &AnalyzeParams) -> Vec<Figure> {
    let atoms = &analyzed.atoms;
    let boo = Some((
        params.boo_threshold,
        "disordered below",
        Some("boo_threshold"),
    ));
    [
        pdf_figure(analyzed),
        super::structure::phase_pdf_figure(analyzed),
        super::structure::structure_factor_figure(analyzed),
        boo_figure(atoms, params.boo_threshold),
        column_figure(atoms, "boo", "boo_histogram", "Normalised BOO", boo),
        column_figure(atoms, "rho_n", "rho_n", "Atomic density ρ_N", None),
        column_figure(atoms, "oxidation", "oxidation", "Degree of oxidation", None),
        super::structure::sweep_figure(analyzed, params),
        voids_figure(analyzed),
        column_figure(atoms, "cn", "cn", "Coordination number", None),
        column_figure(atoms, "cn_voronoi", "cn_voronoi", "Topological bonds", None),
        column_figure(
            atoms,
            "bond_length_A",
            "bond_length",
            "Mean bond length",
            None,
        ),
    ]
    .into_iter()
    .flatten()
    .chain(super::structure::structure_figures(analyzed, params))
    .collect()
}

/// Every figure that a document can show, in the order of the road.
#[must_use]
pub fn workspace_figures(workspace: &Workspace) -> Vec<Figure> {
    let mut figures = Vec::new();
    if let Some(run) = &workspace.reconstructed {
        figures.push(r1_figure(&run.iterations));
        figures.push(r_per_tilt_figure(&run.r1_per_tilt));
        figures.extend(super::quality::quality_figures(run));
    }
    if let Some(traced) = &workspace.traced {
        figures.push(intensity_figure(traced, traced.threshold));
        let params = &workspace.project.parameters.trace;
        if let Some(cutoff) = crate::trace::cutoff::justify(traced, params, None) {
            figures.extend(super::cutoff::cutoff_figures(traced, &cutoff));
        }
    }
    if let Some(analyzed) = &workspace.analyzed {
        figures.extend(analysis_figures(analyzed, &analyzed.params));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Candidate;

    fn candidate(intensity: f64, verdict: Verdict) -> Candidate {
        Candidate {
            position: [0.0; 3],
            density: 1.0,
            intensity,
            sigma: 0.5,
            misfit: 0.0,
            verdict,
        }
    }

    fn total(layer: &Layer) -> f64 {
        match layer {
            Layer::Histogram { counts, .. } => counts.iter().sum(),
            _ => f64::NAN,
        }
    }

    #[test]
    fn over_fitting_begins_where_r_free_was_lowest() {
        let falling: Vec<[f64; 2]> = (1..20).map(|k| [k as f64, 1.0 / k as f64]).collect();
        assert_eq!(over_fitted_from(&falling), None);
        let mut rising = falling.clone();
        rising.extend([[20.0, 0.06], [21.0, 0.07]]);
        assert_eq!(over_fitted_from(&rising), Some(19.0));
        assert_eq!(over_fitted_from(&[]), None);
    }

    #[test]
    fn the_threshold_parts_the_same_maxima_wherever_it_stands() {
        let candidates = (0..100)
            .map(|i| {
                candidate(
                    f64::from(i),
                    if i < 40 {
                        Verdict::TooWeak
                    } else {
                        Verdict::Atom
                    },
                )
            })
            .chain([candidate(50.0, Verdict::FitDiverged)])
            .collect();
        let traced = Traced {
            atoms: Atoms::default(),
            candidates,
            threshold: 40.0,
            sigma_mean: 0.5,
            sigma_sd: 0.0,
            seconds: 0.0,
        };
        for (threshold, above) in [(40.0, 60.0), (70.0, 30.0)] {
            let figure = intensity_figure(&traced, threshold);
            assert_eq!(total(&figure.layers[0]) + total(&figure.layers[1]), 100.0);
            assert_eq!(total(&figure.layers[1]), above);
        }
    }

    #[test]
    fn the_disorder_curve_is_at_half_of_fcc_and_only_points_inside_count() {
        let mut atoms = Atoms::from_positions(vec![[0.0; 3]; 3], "Zr");
        let [fcc4, fcc6] = LATTICES[0].1;
        atoms.set_column("q4bar", "", vec![fcc4, 0.49 * fcc4, f64::NAN]);
        atoms.set_column("q6bar", "", vec![fcc6, 0.49 * fcc6, 0.1]);
        let figure = boo_figure(&atoms, 0.5).unwrap();
        assert!(
            figure.note.starts_with("2 atoms; 1 (50.0 %)"),
            "{}",
            figure.note
        );
        let Layer::Line { points, .. } = &figure.layers[1] else {
            panic!("the curve is the second layer");
        };
        for [x, y] in points {
            assert!((x.hypot(*y) - 0.5 * fcc4.hypot(fcc6)).abs() < 1e-12);
        }
    }

    #[test]
    fn whole_numbers_get_a_bin_each_and_undefined_values_are_left_out() {
        let mut atoms = Atoms::from_positions(vec![[0.0; 3]; 5], "Zr");
        atoms.set_column("cn", "", vec![11.0, 12.0, 12.0, 13.0, f64::NAN]);
        let figure = column_figure(&atoms, "cn", "cn", "Coordination number", None).unwrap();
        let Layer::Histogram { edges, counts, .. } = &figure.layers[0] else {
            panic!("a histogram");
        };
        assert_eq!(counts, &[1.0, 2.0, 1.0]);
        assert_eq!(edges, &[10.5, 11.5, 12.5, 13.5]);
        assert!(column_figure(&atoms, "missing", "m", "m", None).is_none());
    }

    #[test]
    fn a_constant_or_empty_column_makes_no_broken_figure() {
        let mut atoms = Atoms::from_positions(vec![[0.0; 3]; 2], "Zr");
        atoms.set_column("flat", "", vec![0.25, 0.25]);
        atoms.set_column("none", "", vec![f64::NAN, f64::NAN]);
        let figure = column_figure(&atoms, "flat", "flat", "Flat", None).unwrap();
        assert_eq!(total(&figure.layers[0]), 2.0);
        assert!(column_figure(&atoms, "none", "n", "n", None).is_none());
    }
}
