//! Figures as files: SVG and PNG for a page, CSV for the numbers. White paper, black text, the same colours by role.

use super::{Figure, Ink, Layer};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::fmt::Write;
use std::sync::Once;

type Chart<'a, 'b, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn install_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let font = include_bytes!("../../assets/NotoSans-Regular.ttf");
        // A font that fails to load only leaves a figure without text; the file is part of the program.
        let _ = plotters::style::register_font("sans-serif", FontStyle::Normal, font);
    });
}

fn color(ink: Ink) -> RGBColor {
    match ink {
        Ink::Primary => RGBColor(0, 114, 178),
        Ink::Secondary => RGBColor(230, 159, 0),
        Ink::Tertiary => RGBColor(204, 121, 167),
        Ink::Accent | Ink::Core => RGBColor(213, 94, 0),
        Ink::Muted => RGBColor(120, 120, 120),
        Ink::CrystallineOxide => RGBColor(0, 158, 115),
        Ink::AmorphousOxide => RGBColor(66, 135, 225),
        Ink::Interface => RGBColor(240, 180, 40),
    }
}

/// The figure as an SVG of `width` × `height` points.
#[must_use]
pub fn svg(figure: &Figure, width: u32, height: u32) -> String {
    install_font();
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        // Drawing into memory has no way to fail that a caller could mend.
        let _ = draw(figure, &root, 1.0);
        let _ = root.present();
    }
    text
}

/// The figure as a PNG of `width · scale` × `height · scale` pixels.
#[must_use]
pub fn png(figure: &Figure, width: u32, height: u32, scale: u32) -> Vec<u8> {
    install_font();
    let (w, h) = (width * scale, height * scale);
    let mut pixels = vec![255u8; w as usize * h as usize * 3];
    {
        let root = BitMapBackend::with_buffer(&mut pixels, (w, h)).into_drawing_area();
        let _ = draw(figure, &root, f64::from(scale));
        let _ = root.present();
    }
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    // Writing to memory; the buffer has exactly the promised size.
    let _ =
        image::ImageEncoder::write_image(encoder, &pixels, w, h, image::ExtendedColorType::Rgb8);
    bytes
}

/// All numbers of the figure: one block of columns per layer.
#[must_use]
pub fn csv(figure: &Figure) -> String {
    let mut text = format!(
        "# {}\n# x: {}\n# y: {}\n",
        figure.title,
        figure.x.text(),
        figure.y.text()
    );
    if !figure.note.is_empty() {
        let _ = writeln!(text, "# {}", figure.note);
    }
    text += "layer,x,y\n";
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    for layer in &figure.layers {
        match layer {
            Layer::Line { name, points, .. } | Layer::Points { name, points, .. } => {
                for [x, y] in points {
                    let _ = writeln!(text, "{},{x},{y}", quote(name));
                }
            }
            Layer::Histogram {
                name,
                edges,
                counts,
                ..
            } => {
                for (edge, count) in edges.windows(2).zip(counts) {
                    let _ = writeln!(
                        text,
                        "{},{},{count}",
                        quote(name),
                        (edge[0] + edge[1]) / 2.0
                    );
                }
            }
            Layer::Vertical { x, label, .. } => {
                let _ = writeln!(text, "{},{x},", quote(label));
            }
            Layer::Mark { at, label, .. } => {
                let _ = writeln!(text, "{},{},{}", quote(label), at[0], at[1]);
            }
        }
    }
    text
}

/// The range of what is drawn, with a margin; histograms stand on zero.
fn bounds(figure: &Figure) -> ([f64; 2], [f64; 2]) {
    let mut x = [f64::INFINITY, f64::NEG_INFINITY];
    let mut y = [f64::INFINITY, f64::NEG_INFINITY];
    let mut floor = false;
    let mut grow = |at: [f64; 2]| {
        if at[0].is_finite() && at[1].is_finite() {
            x = [x[0].min(at[0]), x[1].max(at[0])];
            y = [y[0].min(at[1]), y[1].max(at[1])];
        }
    };
    for layer in &figure.layers {
        match layer {
            Layer::Line { points, .. } | Layer::Points { points, .. } => {
                points.iter().for_each(|p| grow(*p))
            }
            Layer::Histogram { edges, counts, .. } => {
                floor = true;
                for (edge, &count) in edges.windows(2).zip(counts) {
                    grow([edge[0], count]);
                    grow([edge[1], count]);
                }
            }
            Layer::Mark { at, .. } => grow(*at),
            Layer::Vertical { .. } => {}
        }
    }
    if floor {
        y[0] = y[0].min(0.0);
    }
    let widen = |range: [f64; 2], low: f64| {
        if range[0] > range[1] {
            return [0.0, 1.0];
        }
        let span = if range[1] > range[0] {
            range[1] - range[0]
        } else {
            range[1].abs().max(1.0)
        };
        [range[0] - low * span, range[1] + 0.05 * span]
    };
    (widen(x, 0.02), widen(y, if floor { 0.0 } else { 0.05 }))
}

type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

fn draw<B: DrawingBackend>(figure: &Figure, root: &DrawingArea<B, Shift>, scale: f64) -> Drawn<B> {
    let size = |points: f64| (points * scale).round() as u32;
    root.fill(&WHITE)?;
    let (x, y) = bounds(figure);
    let mut chart = ChartBuilder::on(root)
        .caption(&figure.title, ("sans-serif", size(17.0)))
        .margin(size(12.0))
        .x_label_area_size(size(42.0))
        .y_label_area_size(size(62.0))
        .build_cartesian_2d(x[0]..x[1], y[0]..y[1])?;
    chart
        .configure_mesh()
        .x_desc(figure.x.text())
        .y_desc(figure.y.text())
        .x_label_formatter(&|x| figure.x.tick(*x))
        .y_label_formatter(&|y| figure.y.tick(*y))
        .label_style(("sans-serif", size(12.0)))
        .axis_desc_style(("sans-serif", size(14.0)))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(228, 230, 234))
        .draw()?;
    for layer in &figure.layers {
        draw_layer::<B>(layer, &mut chart, y, scale)?;
    }
    let named = figure.layers.iter().filter(|layer| {
        matches!(layer, Layer::Line { name, .. } | Layer::Points { name, .. } | Layer::Histogram { name, .. } if !name.is_empty())
    });
    if named.count() > 1 {
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(200, 200, 200))
            .label_font(("sans-serif", size(12.0)))
            .position(SeriesLabelPosition::UpperRight)
            .draw()?;
    }
    Ok(())
}

fn draw_layer<B: DrawingBackend>(
    layer: &Layer,
    chart: &mut Chart<'_, '_, B>,
    y: [f64; 2],
    scale: f64,
) -> Drawn<B> {
    let width = (1.6 * scale).round().max(1.0) as u32;
    let font = ("sans-serif", (12.0 * scale).round() as u32);
    let long = (18.0 * scale) as i32;
    match layer {
        Layer::Line {
            name,
            points,
            ink,
            dashed,
        } => {
            let style = color(*ink).stroke_width(width);
            let points = points.iter().map(|p| (p[0], p[1]));
            if *dashed {
                let dash = (6.0 * scale) as u32;
                chart.draw_series(DashedLineSeries::new(points, dash, dash, style))?;
            } else {
                let series = chart.draw_series(LineSeries::new(points, style))?;
                if !name.is_empty() {
                    series
                        .label(name)
                        .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + long, y)], style));
                }
            }
        }
        Layer::Points {
            name,
            points,
            ink,
            radius,
            ..
        } => {
            let style = color(*ink).mix(0.6).filled();
            let radius = (f64::from(*radius) * scale).round().max(1.0) as i32;
            let series = chart.draw_series(
                points
                    .iter()
                    .map(|p| Circle::new((p[0], p[1]), radius, style)),
            )?;
            if !name.is_empty() {
                series
                    .label(name)
                    .legend(move |(x, y)| Circle::new((x + long / 2, y), radius + 1, style));
            }
        }
        Layer::Histogram {
            name,
            edges,
            counts,
            ink,
        } => {
            let style = color(*ink).mix(0.75).filled();
            let bars = edges
                .windows(2)
                .zip(counts)
                .map(|(edge, &count)| Rectangle::new([(edge[0], 0.0), (edge[1], count)], style));
            let series = chart.draw_series(bars)?;
            if !name.is_empty() {
                series
                    .label(name)
                    .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + long, y + 4)], style));
            }
        }
        Layer::Vertical { x, label, ink, .. } => {
            let style = color(*ink).stroke_width(width);
            chart.draw_series(LineSeries::new([(*x, y[0]), (*x, y[1])], style))?;
            let text = Text::new(
                label.clone(),
                (*x, y[1]),
                font.into_font().color(&color(*ink)),
            );
            chart.draw_series([text])?;
        }
        Layer::Mark { at, label, ink } => {
            let style = color(*ink);
            chart.draw_series([Circle::new(
                (at[0], at[1]),
                (4.0 * scale) as i32,
                style.filled(),
            )])?;
            let text = Text::new(
                format!(" {label}"),
                (at[0], at[1]),
                font.into_font().color(&style),
            );
            chart.draw_series([text])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::AxisLabel;

    fn figure() -> Figure {
        Figure {
            id: "test".into(),
            title: "PDF of Zr–Zr".into(),
            x: AxisLabel::new("r", "Å"),
            y: AxisLabel::new("g(r)", ""),
            layers: vec![
                Layer::Line {
                    name: "all".into(),
                    points: vec![[0.0, 0.0], [3.2, 2.5], [5.0, 1.0]],
                    ink: Ink::Primary,
                    dashed: false,
                },
                Layer::Histogram {
                    name: "n".into(),
                    edges: vec![0.0, 1.0, 2.0],
                    counts: vec![1.0, 2.0],
                    ink: Ink::Muted,
                },
                Layer::Vertical {
                    x: 4.5,
                    label: "cutoff".into(),
                    id: None,
                    ink: Ink::Accent,
                },
                Layer::Mark {
                    at: [3.2, 2.5],
                    label: "peak".into(),
                    ink: Ink::Tertiary,
                },
            ],
            ..Figure::default()
        }
    }

    #[test]
    fn a_figure_becomes_svg_png_and_csv_with_its_units() {
        let svg = svg(&figure(), 640, 480);
        assert!(svg.contains("g(r)") && svg.contains("r (Å)") && svg.contains("cutoff"));
        let png = png(&figure(), 320, 240, 2);
        let image = image::load_from_memory(&png).expect("a PNG");
        assert_eq!((image.width(), image.height()), (640, 480));
        assert!(image.to_rgb8().pixels().any(|p| p.0 == [0, 114, 178]));
        let csv = csv(&figure());
        assert!(csv.contains("\"all\",3.2,2.5") && csv.contains("# x: r (Å)"));
    }
}
