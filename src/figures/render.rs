//! Figures as files: SVG and PNG for a page, CSV for the numbers. White paper, black text, the same colours by role.

use super::{Figure, Ink, Layer};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::fmt::Write;
use std::sync::Once;

type Chart<'a, 'b, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Size and resolution of an exported figure.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Page {
    /// Width, mm.
    pub width_mm: f64,
    /// Height, mm.
    pub height_mm: f64,
    /// Pixels per inch of PNG files.
    pub dpi: f64,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            width_mm: 160.0,
            height_mm: 120.0,
            dpi: 300.0,
        }
    }
}

/// Units of the drawing in a millimetre: text of 12 units is 3 mm, or 8.5 points, high.
const UNITS_PER_MM: f64 = 4.0;
/// Millimetres of an inch.
const INCH: f64 = 25.4;

impl Page {
    /// Width and height in units of the drawing.
    #[must_use]
    pub fn units(&self) -> (u32, u32) {
        let units = |mm: f64| (mm * UNITS_PER_MM).round().clamp(40.0, 20_000.0) as u32;
        (units(self.width_mm), units(self.height_mm))
    }

    /// Pixels of one unit.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.dpi / INCH / UNITS_PER_MM
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn pixels(&self) -> (u32, u32) {
        let (w, h) = self.units();
        let pixels = |units: u32| {
            (f64::from(units) * self.scale())
                .round()
                .clamp(1.0, 30_000.0) as u32
        };
        (pixels(w), pixels(h))
    }

    /// Why this page cannot be drawn, if it cannot.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let sides = [self.width_mm, self.height_mm];
        if !sides.iter().all(|mm| (10.0..=2000.0).contains(mm)) {
            return Some(format!(
                "figure size: expected 10 to 2000 mm, found {sides:?}"
            ));
        }
        if !(30.0..=2400.0).contains(&self.dpi) {
            return Some(format!(
                "resolution: expected 30 to 2400 dpi, found {}",
                self.dpi
            ));
        }
        let (w, h) = self.pixels();
        let pixels = u64::from(w) * u64::from(h);
        (pixels > 200_000_000)
            .then(|| format!("figure: expected at most 200 megapixels, found {w} × {h}"))
    }
}

pub(super) fn install_font() {
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

/// The figure as an SVG of the page's size.
#[must_use]
pub fn svg(figure: &Figure, page: &Page) -> String {
    install_font();
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, page.units()).into_drawing_area();
        // Drawing into memory has no way to fail that a caller could mend.
        let _ = draw(figure, &root, 1.0);
        let _ = root.present();
    }
    sized_svg(&text, page)
}

/// Says the size of an SVG in millimetres instead of units.
pub(super) fn sized_svg(text: &str, page: &Page) -> String {
    let (w, h) = page.units();
    let (width, height) = (f64::from(w) / UNITS_PER_MM, f64::from(h) / UNITS_PER_MM);
    text.replacen(
        &format!("width=\"{w}\" height=\"{h}\""),
        &format!("width=\"{width}mm\" height=\"{height}mm\""),
        1,
    )
}

/// The figure as a PNG of the page's size and resolution.
#[must_use]
pub fn png(figure: &Figure, page: &Page) -> Vec<u8> {
    install_font();
    let (w, h) = page.pixels();
    let mut pixels = vec![255u8; w as usize * h as usize * 3];
    {
        let root = BitMapBackend::with_buffer(&mut pixels, (w, h)).into_drawing_area();
        let _ = draw(figure, &root, page.scale());
        let _ = root.present();
    }
    png_of(&pixels, w, h, page.dpi)
}

/// Pixels (RGB) as a PNG that says its resolution; none is said for 0 dpi.
pub(super) fn png_of(pixels: &[u8], w: u32, h: u32, dpi: f64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    // Writing to memory; the buffer has exactly the promised size.
    let _ = image::ImageEncoder::write_image(encoder, pixels, w, h, image::ExtendedColorType::Rgb8);
    // The chunk goes behind the header, which is 8 + 25 bytes long.
    const HEADER: usize = 33;
    if dpi > 0.0 && bytes.len() > HEADER {
        let per_metre = (dpi / INCH * 1000.0).round() as u32;
        let mut chunk = b"pHYs".to_vec();
        chunk.extend(per_metre.to_be_bytes());
        chunk.extend(per_metre.to_be_bytes());
        // Metres.
        chunk.push(1);
        let mut crc = flate2::Crc::new();
        crc.update(&chunk);
        let mut whole = 9u32.to_be_bytes().to_vec();
        whole.extend(&chunk);
        whole.extend(crc.sum().to_be_bytes());
        bytes.splice(HEADER..HEADER, whole);
    }
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
            .legend_area_size(size(30.0))
            .margin(size(8.0))
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
                let series = chart.draw_series(DashedLineSeries::new(points, dash, dash, style))?;
                if !name.is_empty() {
                    let third = long / 3;
                    series.label(name).legend(move |(x, y)| {
                        PathElement::new(vec![(x + third, y), (x + 2 * third, y)], style)
                    });
                }
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
        let page = Page {
            width_mm: 80.0,
            height_mm: 60.0,
            dpi: 203.2,
        };
        let svg = svg(&figure(), &page);
        assert!(
            svg.contains("width=\"80mm\" height=\"60mm\""),
            "{}",
            &svg[..120]
        );
        assert!(svg.contains("g(r)") && svg.contains("r (Å)") && svg.contains("cutoff"));
        let png = png(&figure(), &page);
        let image = image::load_from_memory(&png).expect("a PNG");
        assert_eq!((image.width(), image.height()), (640, 480));
        assert!(image.to_rgb8().pixels().any(|p| p.0 == [0, 114, 178]));
        let csv = csv(&figure());
        assert!(csv.contains("\"all\",3.2,2.5") && csv.contains("# x: r (Å)"));
    }
}
