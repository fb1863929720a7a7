//! Plots of crystal structure, strain and the mixing of species.

use super::plots::column_figure;
use super::{AxisLabel, Figure, Ink, Layer};
use crate::analyze::core_shell::{Composition, CoreShell};
use crate::analyze::{AnalyzeParams, Analyzed};

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
        .find_map(|profile| Some((profile.thickness?, profile.thickness_error)));
    let note = thickness.map_or_else(
        || "the curve does not reach 5 % and 95 %".to_owned(),
        |(thickness, error)| {
            let error = error.map_or_else(String::new, |e| format!(" ± {e:.2}"));
            format!("5–95 % thickness {thickness:.2}{error} Å, from the first curve")
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
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::analyze;
    use crate::model::Atoms;
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
    }
}
