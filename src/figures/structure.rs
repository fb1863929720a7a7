//! Plots of crystal structure, strain and the mixing of species.

use super::plots::{column_figure, count, significant};
use super::{AxisLabel, Figure, Ink, Layer};
use super::{names, palette};
use crate::analyze::core_shell::{Composition, CoreShell};
use crate::analyze::phases::Phase;
use crate::analyze::profiles::blur::verdict;
use crate::analyze::profiles::{Bin, Profile};
use crate::analyze::voids::Radial;
use crate::analyze::{AnalyzeParams, Analyzed};
use crate::model::Atoms;

/// Distance of every atom's neighbourhood from its best template, with the cutoff, which may be dragged.
#[must_use]
pub fn ptm_figure(analyzed: &Analyzed, params: &AnalyzeParams) -> Option<Figure> {
    let cutoff = Some((params.ptm_rmsd, "cutoff", Some("ptm_rmsd")));
    let mut figure = column_figure(&analyzed.atoms, "ptm_rmsd", "ptm", "Template RMSD", cutoff)?;
    let structures = analyzed.atoms.column("ptm")?;
    let counted: Vec<String> = ["other", "fcc", "hcp", "bcc", "ico", "sc"]
        .iter()
        .enumerate()
        .map(|(code, name)| {
            let count = structures.iter().filter(|s| **s == code as f64).count();
            (name, count)
        })
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    figure.title = "Structure (PTM)".to_owned();
    figure.note = format!(
        "{}; drag the line to choose another cutoff",
        counted.join(", ")
    );
    Some(figure)
}

/// Colour role of a phase.
fn phase_ink(name: &str) -> Ink {
    match name {
        "core" => Ink::Core,
        "crystalline_oxide" => Ink::CrystallineOxide,
        "amorphous_oxide" => Ink::AmorphousOxide,
        "interface" => Ink::Interface,
        _ => Ink::Primary,
    }
}

/// The histogram of a column by phase, and the means in words; nothing for fewer than two phases, or of the phase itself.
pub(super) fn by_phase(atoms: &Atoms, column: &str, edges: &[f64]) -> (Vec<Layer>, String) {
    let nothing = (Vec::new(), String::new());
    let (Some(phase), Some(values)) = (atoms.column("phase"), atoms.column(column)) else {
        return nothing;
    };
    let mut layers = Vec::new();
    let mut means = String::new();
    for known in Phase::ALL {
        let of = |i: &usize| phase[*i] == known.value() && values[*i].is_finite();
        let own: Vec<f64> = (0..phase.len()).filter(of).map(|i| values[i]).collect();
        if own.is_empty() {
            continue;
        }
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        means += &format!("; {} {}", known.name(), significant(mean));
        let counts = count(own.into_iter(), edges);
        let middles = edges.windows(2).map(|e| 0.5 * (e[0] + e[1]));
        layers.push(Layer::Line {
            name: known.name().to_owned(),
            points: middles.zip(counts).map(|(x, n)| [x, n]).collect(),
            ink: phase_ink(&known.name().replace("metal core", "core").replace(' ', "_")),
            dashed: false,
        });
    }
    if layers.len() < 2 {
        return nothing;
    }
    (layers, means)
}

/// The PDFs of the crystals to compare with, at the bins of the model's.
pub(super) fn reference_layers(analyzed: &Analyzed) -> Vec<Layer> {
    let Some(pdf) = &analyzed.pdf else {
        return Vec::new();
    };
    // Not those of the phases, which stand beside them.
    let inks = [Ink::Muted, Ink::Tertiary, Ink::Secondary, Ink::Primary];
    analyzed
        .references
        .iter()
        .zip(inks.into_iter().cycle())
        .map(|(known, ink)| Layer::Line {
            name: format!("{} ({})", known.name, known.elements.join(", ")),
            points: pdf.r.iter().zip(&known.g).map(|(&r, &g)| [r, g]).collect(),
            ink,
            dashed: true,
        })
        .collect()
}

/// The PDF of each phase by itself.
#[must_use]
pub fn phase_pdf_figure(analyzed: &Analyzed) -> Option<Figure> {
    if analyzed.phase_pdfs.is_empty() {
        return None;
    }
    let mut layers: Vec<Layer> = analyzed
        .phase_pdfs
        .iter()
        .map(|(name, pdf)| Layer::Line {
            name: name.replace('_', " "),
            points: pdf.r.iter().zip(&pdf.g).map(|(&r, &g)| [r, g]).collect(),
            ink: phase_ink(name),
            dashed: false,
        })
        .collect();
    layers.extend(reference_layers(analyzed));
    let peaks: Vec<String> = analyzed
        .phase_pdfs
        .iter()
        .filter_map(|(name, pdf)| {
            Some(format!(
                "{} {:.2} Å",
                name.replace('_', " "),
                pdf.peaks.first()?
            ))
        })
        .collect();
    Some(Figure {
        id: "pdf_phases".to_owned(),
        title: "Pair distribution function by phase".to_owned(),
        x: AxisLabel::new("r", "Å"),
        y: AxisLabel::new("g(r)", ""),
        layers,
        note: format!(
            "each corrected for its own shape; first peaks: {}",
            peaks.join(", ")
        ),
        ..Figure::default()
    })
}

/// The structure factor.
#[must_use]
pub fn structure_factor_figure(analyzed: &Analyzed) -> Option<Figure> {
    let found = analyzed
        .structure_factor
        .as_ref()
        .filter(|f| !f.q.is_empty())?;
    let peaks: Vec<String> = found
        .peaks
        .iter()
        .take(6)
        .map(|q| format!("{q:.2}"))
        .collect();
    Some(Figure {
        id: "structure_factor".to_owned(),
        title: "Structure factor".to_owned(),
        x: AxisLabel::new("q", "Å⁻¹"),
        y: AxisLabel::new("S(q)", ""),
        layers: vec![Layer::Line {
            name: "S(q)".to_owned(),
            points: found
                .q
                .iter()
                .zip(&found.s)
                .map(|(&q, &s)| [q, s])
                .collect(),
            ink: Ink::Primary,
            dashed: false,
        }],
        note: format!(
            "from g(r) up to {:.0} Å with a Lorch window (resolution {:.2} Å⁻¹); peaks at {} Å⁻¹",
            found.range,
            5.4 / found.range,
            peaks.join(", ")
        ),
        ..Figure::default()
    })
}

/// Mean degree of oxidation against the volume threshold, with the limits of the distortion 10 % apart.
#[must_use]
pub fn sweep_figure(analyzed: &Analyzed, params: &AnalyzeParams) -> Option<Figure> {
    let sweep = analyzed.sweep.as_ref()?;
    let mut layers = Vec::new();
    for (name, lines) in &sweep.means {
        for (k, line) in lines.iter().enumerate() {
            let points: Vec<[f64; 2]> = sweep
                .volumes
                .iter()
                .zip(line)
                .filter(|(_, mean)| mean.is_finite())
                .map(|(&v, &mean)| [v, mean])
                .collect();
            layers.push(Layer::Line {
                name: if k == 1 {
                    name.replace('_', " ")
                } else {
                    String::new()
                },
                points,
                ink: phase_ink(name),
                dashed: k != 1,
            });
        }
    }
    layers.push(Layer::Vertical {
        x: params.oxygen_volume,
        label: "holds an O above".to_owned(),
        id: Some("oxygen_volume".to_owned()),
        ink: Ink::Accent,
    });
    let bands: Vec<String> = sweep
        .means
        .iter()
        .filter_map(|(name, _)| {
            let [low, high] = sweep.band(name)?;
            Some(format!("{} {low:.3} to {high:.3}", name.replace('_', " ")))
        })
        .collect();
    Some(Figure {
        id: "oxidation_sweep".to_owned(),
        title: "Oxidation against its thresholds".to_owned(),
        x: AxisLabel::new("Volume threshold", "Å³"),
        y: AxisLabel::new("Mean degree of oxidation", ""),
        layers,
        note: format!(
            "O is inferred, not seen; both thresholds ±10 %: {}; dashed: distortion {:.3} and {:.3}",
            bands.join(", "),
            sweep.distortions[0],
            sweep.distortions[2]
        ),
        ..Figure::default()
    })
}

/// How the ids of profiles begin.
pub const PROFILE: &str = "profile_";

/// A quantity against the distance from a surface: mean, 95 % interval of the mean, and the fit that explains more.
#[must_use]
pub fn profile_figure(profile: &Profile) -> Figure {
    let line = |name: &str, ink, dashed, value: &dyn Fn(&Bin) -> f64| Layer::Line {
        name: name.to_owned(),
        points: profile
            .bins
            .iter()
            .map(|bin| [bin.mean_distance, value(bin)])
            .filter(|p| p[1].is_finite())
            .collect(),
        ink,
        dashed,
    };
    let mut layers = vec![
        line("mean", Ink::Primary, false, &|b| b.mean),
        line("95 % of the mean", Ink::Muted, false, &|b| b.mean - b.ci95),
        line("", Ink::Muted, false, &|b| b.mean + b.ci95),
    ];
    let quantity = names::quantity(&profile.column);
    let n: usize = profile.bins.iter().map(|b| b.n).sum();
    let mut note = format!("{n} atoms in {} bins", profile.bins.len());
    let logistic = profile
        .logistic
        .as_ref()
        .map_or(f64::NEG_INFINITY, |f| f.r2);
    let exponential = profile
        .exponential
        .as_ref()
        .map_or(f64::NEG_INFINITY, |f| f.r2);
    if let Some(fit) = profile
        .logistic
        .as_ref()
        .filter(|_| logistic >= exponential)
    {
        let [a, b, x0, w] = fit.values;
        layers.push(line("logistic", Ink::Accent, true, &|bin| {
            a + (b - a) / (1.0 + (-(bin.mean_distance - x0) / w).exp())
        }));
        let width = 2.0 * 9f64.ln();
        note += &format!(
            "; logistic: middle {x0:.2} ± {:.2} Å, 10–90 % width {:.2} ± {:.2} Å ({}), R² {:.3}",
            fit.errors[2],
            (width * w).abs(),
            width * fit.errors[3],
            verdict((width * w).abs(), profile.blur.width_10_90()),
            fit.r2
        );
    } else if let Some(fit) = &profile.exponential {
        let [c, a, length] = fit.values;
        layers.push(line("exponential", Ink::Accent, true, &|bin| {
            if bin.distance > 0.0 {
                c + a * (-bin.mean_distance / length).exp()
            } else {
                f64::NAN
            }
        }));
        note += &format!(
            "; exponential: length {length:.2} ± {:.2} Å, R² {:.3}",
            fit.errors[2], fit.r2
        );
    }
    let from = match profile.from.as_str() {
        "surface" => "Depth below the surface".to_owned(),
        "core" => "Distance from the core".to_owned(),
        other => format!(
            "Distance from {}",
            other.replace('_', " ").replace('|', " | ")
        ),
    };
    let stem: String = profile
        .from
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    Figure {
        id: format!("{PROFILE}{stem}_{}", profile.column),
        title: format!("{quantity}, {}", from.to_lowercase()),
        x: AxisLabel::new(&from, "Å"),
        y: AxisLabel::new(quantity, &profile.unit),
        layers,
        note,
        ..Figure::default()
    }
}

/// Vacancies and pores per volume of their shell against the distance from a surface.
#[must_use]
pub fn void_density_figure(radial: &Radial) -> Option<Figure> {
    let mut layers = Vec::new();
    let mut counted = Vec::new();
    let inks = [Ink::Tertiary, Ink::Secondary, Ink::Primary];
    for (class, ((_, plural, _), ink)) in palette::VOIDS.iter().zip(inks).enumerate() {
        let n: usize = radial.shells.iter().map(|s| s.counts[class]).sum();
        if n == 0 {
            continue;
        }
        counted.push(format!("{n} {plural}"));
        let names = [*plural, "", ""];
        for (end, name) in names.into_iter().enumerate() {
            layers.push(Layer::Line {
                name: name.to_owned(),
                points: radial
                    .shells
                    .iter()
                    .map(|s| [s.middle(), s.density(class)[end]])
                    .filter(|p| p[1].is_finite())
                    .collect(),
                ink: if end == 0 { ink } else { Ink::Muted },
                dashed: end > 0,
            });
        }
    }
    let width = radial.shells.first()?.between;
    (!layers.is_empty()).then(|| {
        let from = match radial.from.as_str() {
            "surface" => "Depth below the surface",
            _ => "Distance from the core",
        };
        Figure {
            id: format!("void_density_{}", radial.from),
            title: format!("Voids per volume, {}", from.to_lowercase()),
            x: AxisLabel::new(from, "Å"),
            y: AxisLabel::new("Voids", "nm⁻³"),
            layers,
            note: format!(
                "{} in shells of {:.1} Å; dashed: 95 % of a count (Poisson)",
                counted.join(", "),
                width[1] - width[0]
            ),
            ..Figure::default()
        }
    })
}

/// Share of core atoms against depth, and the neighbours of the other kind.
#[must_use]
pub fn composition_figure(found: &CoreShell) -> Figure {
    let curve = |profile: &Composition, name: String, ink, dashed| Layer::Line {
        name,
        points: profile
            .layers
            .iter()
            .map(|layer| [layer.depth, 100.0 * layer.fraction()])
            .collect(),
        ink,
        dashed,
    };
    let inks = [Ink::Primary, Ink::Secondary, Ink::Tertiary, Ink::Muted];
    let mut layers: Vec<Layer> = found
        .profiles
        .iter()
        .enumerate()
        .map(|(at, profile)| {
            let name = match profile.sigma {
                sigma if sigma > 0.0 => format!("by distance, σ {sigma:.1} Å"),
                _ => format!("layers from the {}", profile.kind.replace('_', " ")),
            };
            curve(profile, name, inks[at.min(inks.len() - 1)], at > 0)
        })
        .collect();
    layers.push(Layer::Vertical {
        x: 0.0,
        label: "50 % surface".to_owned(),
        id: None,
        ink: Ink::Accent,
    });
    let thickness = found
        .profiles
        .iter()
        .find_map(|profile| Some((profile.thickness?, profile.thickness_error, profile.blur)));
    let note = thickness.map_or_else(
        || "the curve does not reach 5 % and 95 %".to_owned(),
        |(thickness, error, blur)| {
            let told = verdict(thickness, blur.width_5_95());
            let error = error.map_or_else(String::new, |e| format!(" ± {e:.2}"));
            format!("5–95 % thickness {thickness:.2}{error} Å ({told}), from the first curve")
        },
    );
    Figure {
        id: "composition".to_owned(),
        title: "Core and shell".to_owned(),
        x: AxisLabel::new("Depth from the 50 % surface", "Å"),
        y: AxisLabel::new(&format!("{} atoms", found.core), "%"),
        layers,
        note,
        ..Figure::default()
    }
}

/// Every figure of these analyses that there is.
#[must_use]
pub fn structure_figures(analyzed: &Analyzed, params: &AnalyzeParams) -> Vec<Figure> {
    let atoms = &analyzed.atoms;
    [
        ptm_figure(analyzed, params),
        analyzed.core_shell.as_ref().map(composition_figure),
        column_figure(
            atoms,
            "strain_volumetric",
            "strain",
            "Volumetric strain",
            None,
        ),
        column_figure(atoms, "lattice_A", "lattice", "Lattice constant", None),
    ]
    .into_iter()
    .flatten()
    .chain(analyzed.void_radial.iter().filter_map(void_density_figure))
    .chain(analyzed.profiles.iter().map(profile_figure))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::analyze;
    use crate::monitor::Monitor;

    /// An fcc ball of 2.8 Å neighbours, its middle of another species.
    fn core_shell_ball() -> Atoms {
        let half = 2.8 / 2f64.sqrt();
        let mut atoms = Atoms::default();
        let mut positions = Vec::new();
        let mut species = Vec::new();
        for i in -8i32..=8 {
            for j in -8i32..=8 {
                for k in -8i32..=8 {
                    let place = [i, j, k].map(|n| f64::from(n) * half);
                    let r = place.iter().map(|x| x * x).sum::<f64>().sqrt();
                    if (i + j + k) % 2 == 0 && r < 15.0 {
                        positions.push(place);
                        species.push(u16::from(r > 8.0));
                    }
                }
            }
        }
        atoms.ids = (0..positions.len() as u64)
            .map(crate::model::AtomId)
            .collect();
        atoms.positions = positions;
        atoms.species = species;
        atoms.species_names = vec!["Pd".to_owned(), "Pt".to_owned()];
        atoms
    }

    #[test]
    fn a_core_shell_crystal_has_its_plots() {
        let params = AnalyzeParams {
            cutoff: Some(3.4),
            ..Default::default()
        };
        let analyzed = analyze(&core_shell_ball(), &params, &Monitor::silent()).unwrap();
        let figures = structure_figures(&analyzed, &params);
        let ids: Vec<&str> = figures.iter().map(|f| f.id.as_str()).collect();
        assert!(
            ids.contains(&"ptm") && ids.contains(&"composition"),
            "{ids:?}"
        );
        let ptm = &figures[0];
        assert!(ptm.note.contains(" fcc"), "{}", ptm.note);
        let composition = figures.iter().find(|f| f.id == "composition").unwrap();
        let Some(Layer::Line { points, .. }) = composition.layers.first() else {
            panic!("the first layer is a curve");
        };
        let (first, last) = (points[0], points[points.len() - 1]);
        assert!(first[1] > 99.0 && last[1] < 1.0, "{first:?} {last:?}");
        assert!(figures.iter().any(|f| f.id == "profile_core_fraction_Pd"));
    }
}
