//! Sheets of small maps as the papers show them: successive slabs or layers of a model side by side (gallery), the density and
//! the atoms of each layer above one another (filmstrip), with scale bar, colour bar and legend.
//!
//! Sizes are those of the page: a millimetre is four units, as in plots. Density is drawn from black to white.

use super::names;
use super::palette::{self, Rgb};
use super::render::{Page, png_of, sized_svg};
use crate::model::Atoms;
use ndarray::Array2;
use std::fmt::Write;

/// How colours stand for numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    /// A colour per name.
    Legend(Vec<(String, Rgb)>),
    /// A range of a quantity with its unit; diverging about zero, or sequential.
    Bar {
        /// Quantity and unit.
        label: String,
        /// Values at the ends.
        range: [f64; 2],
        /// Blue–white–red.
        diverging: bool,
    },
}

impl Key {
    /// Colour of a value of a bar.
    #[must_use]
    pub fn color(&self, value: f64) -> Rgb {
        match self {
            Self::Legend(_) => palette::UNKNOWN,
            _ if !value.is_finite() => palette::UNKNOWN,
            Self::Bar {
                range: [low, high],
                diverging,
                ..
            } => {
                let t = (value - low) / (high - low).max(f64::MIN_POSITIVE);
                if *diverging {
                    palette::diverging(2.0 * t - 1.0)
                } else {
                    palette::sequential(t)
                }
            }
        }
    }
}

/// One map.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Panel {
    /// Written in its corner: where the slab is.
    pub label: String,
    /// Density `(right, up)`, over the sheet's whole extent.
    pub density: Option<Array2<f32>>,
    /// Places (right, up; Å) and colours.
    pub atoms: Vec<([f64; 2], Rgb)>,
}

/// A sheet of maps of the same extent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// Title.
    pub title: String,
    /// Row by row.
    pub panels: Vec<Panel>,
    /// Maps in a row.
    pub columns: usize,
    /// Least and greatest place to the right, then up, Å.
    pub extent: [[f64; 2]; 2],
    /// Radius of an atom, Å.
    pub radius: f64,
    /// Densities shown black and white.
    pub density_range: [f32; 2],
    /// What the colours mean.
    pub key: Key,
    /// Said under it.
    pub note: String,
    /// Whether the extent is in cycles per Å: the maps are spectra.
    pub reciprocal: bool,
}

/// Colour of every atom and what it means: by phase, by species, or by the values of a column.
#[must_use]
pub fn colors(atoms: &Atoms, by: Option<&str>) -> (Vec<Rgb>, Key) {
    let column = by.and_then(|name| Some((name, atoms.columns.get(name)?)));
    match column {
        Some(("phase", column)) => {
            let color = |v: &f64| {
                let known = palette::PHASES
                    .get(v.max(0.0) as usize)
                    .filter(|_| v.is_finite());
                known.copied().unwrap_or(palette::UNKNOWN)
            };
            let names = palette::PHASE_NAMES;
            let there = |k: &usize| column.values.contains(&(*k as f64));
            let legend = (0..4)
                .filter(there)
                .map(|k| (names[k].to_owned(), palette::PHASES[k]));
            (
                column.values.iter().map(color).collect(),
                Key::Legend(legend.collect()),
            )
        }
        Some((name, column)) => {
            let mut finite: Vec<f64> = column
                .values
                .iter()
                .copied()
                .filter(|v| v.is_finite())
                .collect();
            finite.sort_by(f64::total_cmp);
            let at = |share: f64| {
                let rank = (share * finite.len().saturating_sub(1) as f64).round() as usize;
                finite.get(rank).copied().unwrap_or(0.0)
            };
            let (low, high) = (at(0.01), at(0.99));
            // Signed quantities are shown about zero.
            let diverging = ["strain", "displacement", "depth"]
                .iter()
                .any(|s| name.starts_with(s));
            let range = if diverging {
                let most = low.abs().max(high.abs()).max(1e-12);
                [-most, most]
            } else if high > low {
                [low, high]
            } else {
                [low - 0.5, low + 0.5]
            };
            let unit = if column.unit.is_empty() {
                String::new()
            } else {
                format!(" ({})", column.unit)
            };
            let key = Key::Bar {
                label: format!("{}{unit}", names::quantity(name)),
                range,
                diverging,
            };
            (column.values.iter().map(|v| key.color(*v)).collect(), key)
        }
        None => {
            let color = |kind: usize| palette::SPECIES[kind % palette::SPECIES.len()];
            let colors = atoms
                .species
                .iter()
                .map(|&s| color(usize::from(s)))
                .collect();
            let names = atoms.species_names.iter().enumerate();
            let legend = names.map(|(k, name)| (name.clone(), color(k)));
            (colors, Key::Legend(legend.collect()))
        }
    }
}

/// A length for the scale bar: 1, 2 or 5 times a power of ten, about a third of the map.
fn scale_bar(width: f64) -> f64 {
    let wanted = width / 3.0;
    let decade = 10f64.powf(wanted.log10().floor());
    let steps = [5.0, 2.0, 1.0];
    steps
        .into_iter()
        .map(|s| s * decade)
        .find(|s| *s <= wanted)
        .unwrap_or(decade)
}

/// What a sheet is made of once it is laid out, in units of the page from its top left corner.
enum Mark<'a> {
    Rect {
        at: [f64; 2],
        size: [f64; 2],
        fill: Rgb,
    },
    Image {
        at: [f64; 2],
        size: [f64; 2],
        data: &'a Array2<f32>,
    },
    Disc {
        at: [f64; 2],
        radius: f64,
        fill: Rgb,
    },
    Text {
        at: [f64; 2],
        size: f64,
        text: String,
        fill: Rgb,
        middle: bool,
    },
}

/// Room above the maps for the title, units of the page.
const TOP: f64 = 30.0;
/// Room below them for key and note.
const BOTTOM: f64 = 62.0;
/// Room beside them.
const SIDE: f64 = 12.0;
/// Room between them.
const GAP: f64 = 4.0;
/// Room above each for its label.
const STRIP: f64 = 13.0;

const WHITE: Rgb = [255; 3];
const BLACK: Rgb = [0; 3];
const GROUND: Rgb = [8, 9, 12];

impl Sheet {
    /// Height, mm, of a page that the maps fill at this width.
    #[must_use]
    pub fn height_mm(&self, width_mm: f64) -> f64 {
        /// Units of the page in a millimetre.
        const UNITS: f64 = 4.0;
        let columns = self.columns.max(1);
        let rows = self.panels.len().div_ceil(columns).max(1) as f64;
        let span = self.extent.map(|[low, high]| (high - low).max(1e-9));
        let width = (UNITS * width_mm - 2.0 * SIDE - GAP * (columns - 1) as f64) / columns as f64;
        let map = width.max(1.0) * span[1] / span[0];
        (TOP + BOTTOM + rows * (map + STRIP) + GAP * (rows - 1.0)) / UNITS
    }

    /// Places everything on a page of this many units.
    fn lay_out(&self, width: f64, height: f64) -> Vec<Mark<'_>> {
        let columns = self.columns.max(1);
        let rows = self.panels.len().div_ceil(columns).max(1);
        let span = self.extent.map(|[low, high]| (high - low).max(1e-9));
        let room = [
            (width - 2.0 * SIDE - GAP * (columns - 1) as f64) / columns as f64,
            (height - TOP - BOTTOM - GAP * (rows - 1) as f64) / rows as f64 - STRIP,
        ];
        let scale = (room[0] / span[0]).min(room[1] / span[1]).max(1e-6);
        let size = span.map(|s| s * scale);
        let left = 0.5 * (width - columns as f64 * size[0] - (columns - 1) as f64 * GAP);
        let mut marks = vec![Mark::Text {
            at: [0.5 * width, 21.0],
            size: 16.0,
            text: self.title.clone(),
            fill: BLACK,
            middle: true,
        }];
        for (k, panel) in self.panels.iter().enumerate() {
            let at = [
                left + (k % columns) as f64 * (size[0] + GAP),
                TOP + STRIP + (k / columns) as f64 * (size[1] + STRIP + GAP),
            ];
            marks.push(Mark::Rect {
                at,
                size,
                fill: GROUND,
            });
            marks.extend(
                panel
                    .density
                    .as_ref()
                    .map(|data| Mark::Image { at, size, data }),
            );
            for (place, fill) in &panel.atoms {
                let at = [
                    at[0] + (place[0] - self.extent[0][0]) * scale,
                    at[1] + (self.extent[1][1] - place[1]) * scale,
                ];
                marks.push(Mark::Disc {
                    at,
                    radius: (self.radius * scale).max(0.4),
                    fill: *fill,
                });
            }
            let text = panel.label.clone();
            let label = [at[0] + 1.0, at[1] - 3.0];
            marks.push(Mark::Text {
                at: label,
                size: 10.0,
                text,
                fill: BLACK,
                middle: false,
            });
            if k == 0 {
                let length = scale_bar(span[0]);
                let [x, y] = [at[0] + 6.0, at[1] + size[1] - 7.0];
                marks.push(Mark::Rect {
                    at: [x, y],
                    size: [length * scale, 2.5],
                    fill: WHITE,
                });
                let nanometre = length >= 10.0;
                let text = if self.reciprocal {
                    format!("{length} Å⁻¹")
                } else if nanometre {
                    format!("{} nm", length / 10.0)
                } else {
                    format!("{length} Å")
                };
                marks.push(Mark::Text {
                    at: [x, y - 3.0],
                    size: 10.0,
                    text,
                    fill: WHITE,
                    middle: false,
                });
            }
        }
        self.explain(&mut marks, width, height);
        marks
    }

    /// Legend or colour bar, and the note.
    fn explain(&self, marks: &mut Vec<Mark<'_>>, width: f64, height: f64) {
        let mut text = |at, text: String, middle| {
            marks.push(Mark::Text {
                at,
                size: 11.0,
                text,
                fill: BLACK,
                middle,
            });
        };
        text([0.5 * width, height - 7.0], self.note.clone(), true);
        match &self.key {
            Key::Legend(names) => {
                let mut x = 14.0;
                for (name, fill) in names {
                    let at = [x + 4.0, height - 41.0];
                    marks.push(Mark::Disc {
                        at,
                        radius: 5.0,
                        fill: *fill,
                    });
                    let at = [x + 13.0, height - 37.0];
                    let text = name.clone();
                    marks.push(Mark::Text {
                        at,
                        size: 11.0,
                        text,
                        fill: BLACK,
                        middle: false,
                    });
                    x += 26.0 + 6.5 * name.chars().count() as f64;
                }
            }
            Key::Bar { label, range, .. } => {
                const STEPS: usize = 64;
                let (long, x) = (0.4 * width, 0.3 * width);
                for k in 0..STEPS {
                    let value = range[0] + (k as f64 + 0.5) / STEPS as f64 * (range[1] - range[0]);
                    let step = long / STEPS as f64;
                    marks.push(Mark::Rect {
                        at: [x + k as f64 * step, height - 46.0],
                        size: [step + 0.3, 10.0],
                        fill: self.key.color(value),
                    });
                }
                let mut text = |at, text: String| {
                    marks.push(Mark::Text {
                        at,
                        size: 11.0,
                        text,
                        fill: BLACK,
                        middle: true,
                    });
                };
                for (share, value) in [
                    (0.0, range[0]),
                    (0.5, 0.5 * (range[0] + range[1])),
                    (1.0, range[1]),
                ] {
                    text([x + share * long, height - 24.0], written(value));
                }
                text([x + 0.5 * long, height - 49.0], label.clone());
            }
        }
    }

    fn gray(&self, value: f32) -> u8 {
        let [low, high] = self.density_range;
        let t = (value - low) / (high - low).max(f32::MIN_POSITIVE);
        (255.0 * t.clamp(0.0, 1.0)).round() as u8
    }
}

fn written(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-2..1e4).contains(&size) {
        format!("{value:.2e}")
    } else {
        format!("{value:.3}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    }
}

/// The sheet as an SVG; densities are embedded pictures, atoms and text stay vectors.
#[must_use]
pub fn svg(sheet: &Sheet, page: &Page) -> String {
    let (width, height) = page.units();
    let mut text = format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    let hex = |[r, g, b]: Rgb| format!("#{r:02x}{g:02x}{b:02x}");
    for mark in sheet.lay_out(f64::from(width), f64::from(height)) {
        // Writing to memory cannot fail.
        let _ = match mark {
            Mark::Rect {
                at: [x, y],
                size: [w, h],
                fill,
            } => {
                writeln!(
                    text,
                    "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{w:.2}\" height=\"{h:.2}\" fill=\"{}\"/>",
                    hex(fill)
                )
            }
            Mark::Disc {
                at: [x, y],
                radius,
                fill,
            } => {
                writeln!(
                    text,
                    "<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius:.2}\" fill=\"{}\"/>",
                    hex(fill)
                )
            }
            Mark::Text {
                at: [x, y],
                size,
                text: words,
                fill,
                middle,
            } => {
                let anchor = if middle { "middle" } else { "start" };
                let words = words
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;");
                writeln!(
                    text,
                    "<text x=\"{x:.2}\" y=\"{y:.2}\" font-family=\"sans-serif\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{}\">{words}</text>",
                    hex(fill)
                )
            }
            Mark::Image {
                at: [x, y],
                size: [w, h],
                data,
            } => {
                let (nx, ny) = data.dim();
                let mut pixels = Vec::with_capacity(3 * nx * ny);
                for row in (0..ny).rev() {
                    (0..nx).for_each(|column| pixels.extend([sheet.gray(data[[column, row]]); 3]));
                }
                let bytes = png_of(&pixels, nx as u32, ny as u32, 0.0);
                writeln!(
                    text,
                    "<image x=\"{x:.2}\" y=\"{y:.2}\" width=\"{w:.2}\" height=\"{h:.2}\" preserveAspectRatio=\"none\" href=\"data:image/png;base64,{}\"/>",
                    base64(&bytes)
                )
            }
        };
    }
    text += "</svg>\n";
    sized_svg(&text, page)
}

/// The sheet as a PNG at the page's resolution.
#[must_use]
pub fn png(sheet: &Sheet, page: &Page) -> Vec<u8> {
    use plotters::prelude::*;
    super::render::install_font();
    let (width, height) = page.units();
    let (w, h) = page.pixels();
    let scale = page.scale();
    let mut pixels = vec![255u8; w as usize * h as usize * 3];
    let marks = sheet.lay_out(f64::from(width), f64::from(height));
    // Pictures first: they are written as they are.
    for mark in &marks {
        let (at, size) = match mark {
            Mark::Image { at, size, .. } | Mark::Rect { at, size, .. } => (at, size),
            _ => continue,
        };
        let range = |k: usize, end: u32| {
            let from = (at[k] * scale).round().clamp(0.0, f64::from(end)) as usize;
            from..((at[k] + size[k]) * scale)
                .round()
                .clamp(0.0, f64::from(end)) as usize
        };
        for y in range(1, h) {
            for x in range(0, w) {
                let color = match mark {
                    Mark::Image { data, .. } => {
                        let part = |place: usize, k: usize| {
                            ((place as f64 + 0.5) / scale - at[k]) / size[k]
                        };
                        [sheet.gray(sampled(data, part(x, 0), 1.0 - part(y, 1))); 3]
                    }
                    Mark::Rect { fill, .. } => *fill,
                    _ => continue,
                };
                pixels[3 * (y * w as usize + x)..][..3].copy_from_slice(&color);
            }
        }
    }
    {
        let root = BitMapBackend::with_buffer(&mut pixels, (w, h)).into_drawing_area();
        let place = |at: [f64; 2]| {
            (
                (at[0] * scale).round() as i32,
                (at[1] * scale).round() as i32,
            )
        };
        for mark in marks {
            // Drawing into memory has no way to fail that a caller could mend.
            let _ = match mark {
                Mark::Disc {
                    at,
                    radius,
                    fill: [r, g, b],
                } => {
                    let radius = (radius * scale).round().max(1.0) as i32;
                    root.draw(&Circle::new(place(at), radius, RGBColor(r, g, b).filled()))
                }
                Mark::Text {
                    at,
                    size,
                    text,
                    fill: [r, g, b],
                    middle,
                } => {
                    use plotters::style::text_anchor::{HPos, Pos, VPos};
                    let across = if middle { HPos::Center } else { HPos::Left };
                    let style = ("sans-serif", size * scale)
                        .into_font()
                        .color(&RGBColor(r, g, b))
                        .pos(Pos::new(across, VPos::Bottom));
                    root.draw(&Text::new(text, place([at[0], at[1] + 0.2 * size]), style))
                }
                Mark::Rect { .. } | Mark::Image { .. } => Ok(()),
            };
        }
        let _ = root.present();
    }
    png_of(&pixels, w, h, page.dpi)
}

/// Bilinear value at parts (0–1) of a picture's width and height.
fn sampled(data: &Array2<f32>, x: f64, y: f64) -> f32 {
    let (nx, ny) = data.dim();
    if nx == 0 || ny == 0 {
        return 0.0;
    }
    let along = |t: f64, n: usize| {
        let at = (t * n as f64 - 0.5).clamp(0.0, (n - 1) as f64);
        let low = (at as usize).min(n.saturating_sub(2));
        (low, (low + 1).min(n - 1), (at - low as f64) as f32)
    };
    let ((x0, x1, fx), (y0, y1, fy)) = (along(x, nx), along(y, ny));
    let row = |y: usize| data[[x0, y]] * (1.0 - fx) + data[[x1, y]] * fx;
    row(y0) * (1.0 - fy) + row(y1) * fy
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let word = part.iter().fold(0u32, |w, &b| w << 8 | u32::from(b)) << (8 * (3 - part.len()));
        for k in 0..4 {
            if k <= part.len() {
                text.push(char::from(LETTERS[(word >> (18 - 6 * k)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        let mut density = Array2::zeros((8, 8));
        density[[7, 7]] = 1.0;
        Sheet {
            title: "Oxidation of Zr1 & Zr2".to_owned(),
            panels: vec![
                Panel {
                    label: "z −2.6 Å".to_owned(),
                    density: Some(density),
                    atoms: Vec::new(),
                },
                Panel {
                    label: "z +2.6 Å".to_owned(),
                    density: None,
                    atoms: vec![([0.0, 0.0], [230, 159, 0])],
                },
            ],
            columns: 2,
            extent: [[-10.0, 10.0], [-10.0, 10.0]],
            radius: 1.5,
            density_range: [0.0, 1.0],
            key: Key::Bar {
                label: "oxidation".to_owned(),
                range: [0.0, 1.0],
                diverging: false,
            },
            note: "slabs of 5.3 Å".to_owned(),
            reciprocal: false,
        }
    }

    #[test]
    fn a_sheet_has_the_size_and_resolution_of_its_page() {
        let page = Page {
            width_mm: 100.0,
            height_mm: 60.0,
            dpi: 254.0,
        };
        let bytes = png(&sheet(), &page);
        let image = image::load_from_memory(&bytes).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (1000, 600));
        // 254 dpi is 10 000 pixels per metre.
        let at = bytes.windows(4).position(|w| w == b"pHYs").unwrap();
        assert_eq!(bytes[at + 4..at + 8], 10_000u32.to_be_bytes());
        let has = |color: [u8; 3]| image.pixels().any(|p| p.0 == color);
        assert!(has([230, 159, 0]) && has(GROUND));
        // The bright voxel lies at the top right of the first map.
        let bright: Vec<(u32, u32)> = image
            .enumerate_pixels()
            .filter(|(x, y, p)| {
                *x < 500 && *y < 300 && *x > 300 && p.0[0] > 240 && p.0[0] == p.0[2]
            })
            .map(|(x, y, _)| (x, y))
            .collect();
        assert!(
            bright.iter().any(|(x, y)| *x > 400 && *y < 150),
            "{}",
            bright.len()
        );
        let text = svg(&sheet(), &page);
        assert!(
            text.contains("width=\"100mm\"")
                && text.contains("Zr1 &amp; Zr2")
                && text.contains("base64,iVBOR")
        );
    }

    #[test]
    fn base64_is_the_usual_one() {
        for (plain, coded) in [("M", "TQ=="), ("Ma", "TWE="), ("Man", "TWFu"), ("", "")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn colors_follow_the_column() {
        let mut atoms = Atoms::from_positions(vec![[0.0; 3]; 3], "Zr");
        atoms.set_column("phase", "", vec![0.0, 2.0, f64::NAN]);
        atoms.set_column("strain_xx", "", vec![-0.02, 0.0, 0.01]);
        let (found, key) = colors(&atoms, Some("phase"));
        assert_eq!(
            found,
            [palette::PHASES[0], palette::PHASES[2], palette::UNKNOWN]
        );
        assert!(matches!(key, Key::Legend(names) if names.len() == 2));
        let (_, key) = colors(&atoms, Some("strain_xx"));
        assert!(
            matches!(key, Key::Bar { range: [a, b], diverging: true, .. } if a == -b && b == 0.02)
        );
        assert!(matches!(colors(&atoms, None).1, Key::Legend(_)));
    }
}
