//! The same plot of several models on the same axes.

use super::{AxisLabel, Figure, Ink, Layer};

const INKS: [Ink; 6] = [
    Ink::Primary,
    Ink::Secondary,
    Ink::CrystallineOxide,
    Ink::Core,
    Ink::Tertiary,
    Ink::Muted,
];

/// One figure of the main curve of each model's figure of the same id; `None` where fewer than two have one.
///
/// Histograms become lines of their shares, for the numbers of atoms differ. Scatters are left out.
#[must_use]
pub fn overlay(figures: &[(String, &Figure)]) -> Option<Figure> {
    let (_, first) = figures.first()?;
    let mut shares = false;
    let layers: Vec<Layer> = figures
        .iter()
        .zip(INKS.into_iter().cycle())
        .filter_map(|((name, figure), ink)| {
            let points = match figure.layers.first()? {
                Layer::Line { points, .. } => points.clone(),
                Layer::Histogram { edges, counts, .. } => {
                    shares = true;
                    let total: f64 = counts.iter().sum();
                    let middles = edges.windows(2).zip(counts);
                    middles
                        .map(|(edge, count)| {
                            [
                                0.5 * (edge[0] + edge[1]),
                                100.0 * count / (total * (edge[1] - edge[0])),
                            ]
                        })
                        .filter(|p| p[1].is_finite())
                        .collect()
                }
                _ => return None,
            };
            Some(Layer::Line {
                name: name.clone(),
                points,
                ink,
                dashed: false,
            })
        })
        .collect();
    if layers.len() < 2 {
        return None;
    }
    let per = if first.x.log {
        "% per decade".to_owned()
    } else if first.x.unit.is_empty() {
        "% per unit".to_owned()
    } else {
        format!("% per {}", first.x.unit)
    };
    Some(Figure {
        id: format!("compare_{}", first.id),
        title: first.title.clone(),
        x: first.x.clone(),
        y: if shares {
            AxisLabel::new(&format!("Share of {}", first.y.name.to_lowercase()), &per)
        } else {
            first.y.clone()
        },
        layers,
        note: figures
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(", "),
        ..Figure::default()
    })
}

/// The figures that all models share by id, overlaid.
#[must_use]
pub fn overlays(models: &[(String, Vec<Figure>)]) -> Vec<Figure> {
    let Some((_, first)) = models.first() else {
        return Vec::new();
    };
    first
        .iter()
        .filter_map(|figure| {
            let same: Vec<(String, &Figure)> = models
                .iter()
                .filter_map(|(name, all)| {
                    let own = all.iter().find(|other| other.id == figure.id)?;
                    Some((name.clone(), own))
                })
                .collect();
            overlay(&same)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_of_models_are_compared_by_their_shares() {
        let figure = |counts: Vec<f64>| Figure {
            id: "cn".to_owned(),
            layers: vec![Layer::Histogram {
                name: "CN".to_owned(),
                edges: vec![0.0, 2.0, 4.0],
                counts,
                ink: Ink::Primary,
            }],
            ..Figure::default()
        };
        let (one, two) = (figure(vec![1.0, 3.0]), figure(vec![10.0, 10.0]));
        let models = [("A".to_owned(), vec![one]), ("B".to_owned(), vec![two])];
        let found = overlays(&models);
        let Layer::Line { points, name, .. } = &found[0].layers[0] else {
            panic!("a line");
        };
        assert_eq!(
            (name.as_str(), points.as_slice()),
            ("A", &[[1.0, 12.5], [3.0, 37.5]][..])
        );
        assert_eq!(
            (found[0].id.as_str(), found[0].layers.len()),
            ("compare_cn", 2)
        );
        assert!(overlays(&models[..1]).is_empty());
    }
}
