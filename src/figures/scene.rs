//! Pictures of a model in 3D for files: lit spheres and translucent surfaces, orthographic, drawn without a graphics device.
//!
//! Two views side by side: the whole particle, and the same cut open through its middle, the half towards the viewer left out.
//! The direction is that of the window's 3D view when it opens.

use super::palette::Rgb;
use super::render::{install_font, png_of};
use crate::model::geometry::{dot, subtract};
use crate::numeric::surface::Surface;
use rayon::prelude::*;

type Point = [f64; 3];

/// What is drawn.
#[derive(Debug, Clone, Default)]
pub struct Scene<'a> {
    /// Centre (Å), radius (Å), colour.
    pub spheres: Vec<(Point, f64, Rgb)>,
    /// Surfaces and their colours.
    pub surfaces: Vec<(&'a Surface, Rgb)>,
    /// Opacity of the surfaces, 0 to 1.
    pub opacity: f64,
    /// Colours and what they stand for.
    pub legend: Vec<(String, Rgb)>,
    /// Whether the second view leaves out the half towards the viewer.
    pub cut: bool,
}

/// Samples a pixel has on each axis.
const SAMPLES: usize = 2;

/// Depth towards the viewer (Å) and colour of each sample.
struct Layer {
    width: usize,
    depth: Vec<f32>,
    color: Vec<[f32; 3]>,
}

impl Layer {
    fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            depth: vec![f32::NEG_INFINITY; width * height],
            color: vec![[1.0; 3]; width * height],
        }
    }

    fn set(&mut self, [x, y]: [usize; 2], depth: f64, color: [f32; 3]) {
        let at = y * self.width + x;
        if depth as f32 > self.depth[at] {
            self.depth[at] = depth as f32;
            self.color[at] = color;
        }
    }
}

/// Rows of the rotation to the view: right, up, towards the viewer.
fn axes() -> [Point; 3] {
    // As the window: about z by 0.5, then about x by −1.1 radians.
    let ((sz, cz), (sx, cx)) = (0.5f64.sin_cos(), (-1.1f64).sin_cos());
    [
        [cz, -sz, 0.0],
        [cx * sz, cx * cz, -sx],
        [sx * sz, sx * cz, cx],
    ]
}

/// Colour of a lit place: `normal` in the view's directions, of unit length.
fn lit(normal: Point, color: Rgb) -> [f32; 3] {
    let unit = |v: Point| {
        let length = dot(v, v).sqrt();
        v.map(|x| x / length)
    };
    let key = dot(normal, unit([-0.4, 0.6, 0.8])).max(0.0);
    let shine = dot(normal, unit([-0.2, 0.35, 0.9])).max(0.0).powi(40);
    color.map(|c| ((f64::from(c) / 255.0) * (0.34 + 0.66 * key) + 0.2 * shine).min(1.0) as f32)
}

/// One view, `size` samples high and wide; `scale` samples per Å.
fn view(scene: &Scene<'_>, middle: Point, scale: f64, size: usize, cut: bool) -> Layer {
    let rows = axes();
    let half = size as f64 / 2.0;
    let seen = |p: Point| {
        let d = subtract(p, middle);
        rows.map(|row| dot(row, d))
    };
    let across = |x: f64| half + scale * x;
    let range = |low: f64, high: f64| {
        let from = low.floor().clamp(0.0, size as f64) as usize;
        from..high.ceil().clamp(0.0, size as f64) as usize
    };
    let mut solid = Layer::new(size, size);
    for &(center, radius, color) in &scene.spheres {
        let [x, y, z] = seen(center);
        if cut && z > 0.0 {
            continue;
        }
        let (cx, cy, r) = (across(x), half - scale * y, scale * radius);
        for py in range(cy - r, cy + r) {
            for px in range(cx - r, cx + r) {
                let (dx, dy) = ((px as f64 + 0.5 - cx) / r, (py as f64 + 0.5 - cy) / r);
                let r2 = dx * dx + dy * dy;
                if r2 <= 1.0 {
                    let up = (1.0 - r2).sqrt();
                    let shown = lit([dx, -dy, up], color);
                    solid.set([px, py], z + radius * up, shown);
                }
            }
        }
    }
    if scene.surfaces.is_empty() {
        return solid;
    }
    // Only the nearest of all surfaces is mixed in.
    let mut clear = Layer::new(size, size);
    for &(surface, color) in &scene.surfaces {
        let normals = surface.normals();
        let places: Vec<Point> = surface.vertices.iter().map(|p| seen(*p)).collect();
        for t in &surface.triangles {
            let corners = t.map(|i| places[i as usize]);
            let flat = corners.map(|[x, y, _]| [across(x), half - scale * y]);
            let side = |a: [f64; 2], b: [f64; 2], p: [f64; 2]| {
                (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
            };
            let area = side(flat[0], flat[1], flat[2]);
            if area == 0.0 {
                continue;
            }
            let ends = |k: usize| {
                let all = flat.map(|p| p[k]);
                let low = all.iter().copied().fold(f64::INFINITY, f64::min);
                range(low, all.iter().copied().fold(f64::NEG_INFINITY, f64::max))
            };
            for py in ends(1) {
                for px in ends(0) {
                    let p = [px as f64 + 0.5, py as f64 + 0.5];
                    let w = [0, 1, 2].map(|k| side(flat[(k + 1) % 3], flat[(k + 2) % 3], p) / area);
                    if w.iter().any(|w| *w < 0.0) {
                        continue;
                    }
                    let z: f64 = (0..3).map(|k| w[k] * corners[k][2]).sum();
                    if cut && z > 0.0 {
                        continue;
                    }
                    let n: Point = std::array::from_fn(|x| {
                        (0..3).map(|k| w[k] * normals[t[k] as usize][x]).sum()
                    });
                    let mut n = rows.map(|row| dot(row, n));
                    let length = dot(n, n).sqrt().max(1e-12);
                    // The inside of a surface that is cut open is lit, too.
                    let turn = if n[2] < 0.0 { -1.0 } else { 1.0 };
                    n = n.map(|x| turn * x / length);
                    clear.set([px, py], z, lit(n, color));
                }
            }
        }
    }
    let opacity = scene.opacity as f32;
    for at in 0..clear.depth.len() {
        if clear.depth[at] > solid.depth[at] {
            let (own, behind) = (clear.color[at], solid.color[at]);
            solid.color[at] =
                std::array::from_fn(|k| opacity * own[k] + (1.0 - opacity) * behind[k]);
        }
    }
    solid
}

/// The picture as PNG, `pixels` high and twice as wide; `None` where there is nothing to draw.
#[must_use]
pub fn png(scene: &Scene<'_>, pixels: usize, dpi: f64) -> Option<Vec<u8>> {
    use plotters::prelude::*;
    let vertices = scene.surfaces.iter().flat_map(|(s, _)| &s.vertices);
    let places: Vec<Point> = scene
        .spheres
        .iter()
        .map(|s| s.0)
        .chain(vertices.copied())
        .collect();
    let n = places.len() as f64;
    let middle: Point = std::array::from_fn(|k| places.iter().map(|p| p[k]).sum::<f64>() / n);
    let far = places.iter().map(|p| {
        let d = subtract(*p, middle);
        dot(d, d).sqrt()
    });
    let radius = far.fold(0.0, f64::max) + 2.0;
    if places.is_empty() || !radius.is_finite() || !(16..=8192).contains(&pixels) {
        return None;
    }
    let size = pixels * SAMPLES;
    let scale = size as f64 / (2.0 * radius);
    let views: Vec<Layer> = [false, scene.cut]
        .into_par_iter()
        .map(|cut| view(scene, middle, scale, size, cut))
        .collect();
    let mut bytes = vec![255u8; 3 * 2 * pixels * pixels];
    for (index, view) in views.iter().enumerate() {
        for y in 0..pixels {
            for x in 0..pixels {
                let mut sum = [0.0f32; 3];
                for (sy, sx) in (0..SAMPLES).flat_map(|a| (0..SAMPLES).map(move |b| (a, b))) {
                    let color = view.color[(SAMPLES * y + sy) * size + SAMPLES * x + sx];
                    (0..3).for_each(|k| sum[k] += color[k]);
                }
                let at = 3 * (y * 2 * pixels + index * pixels + x);
                let mean = sum.map(|v| (255.0 * v / (SAMPLES * SAMPLES) as f32).round() as u8);
                bytes[at..at + 3].copy_from_slice(&mean);
            }
        }
    }
    install_font();
    let (w, h) = (2 * pixels as u32, pixels as u32);
    {
        let root = BitMapBackend::with_buffer(&mut bytes, (w, h)).into_drawing_area();
        let letter = (pixels as f64 / 28.0).max(8.0);
        let style = ("sans-serif", letter).into_font().color(&BLACK);
        for (line, (name, [r, g, b])) in scene.legend.iter().enumerate() {
            let y = (letter * (0.5 + 1.3 * line as f64)) as i32;
            let dot = ((0.7 * letter) as i32, y + (0.55 * letter) as i32);
            let color = RGBColor(*r, *g, *b).filled();
            // Drawing into memory has no way to fail that a caller could mend.
            let _ = root.draw(&Circle::new(dot, (0.4 * letter) as i32, color));
            let _ = root.draw(&Text::new(
                name.clone(),
                ((1.4 * letter) as i32, y),
                style.clone(),
            ));
        }
        // A bar of a round length, about a fifth of the particle.
        let wanted: f64 = 0.4 * radius;
        let power = 10f64.powf(wanted.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0];
        let length = steps.iter().map(|s| s * power).rfind(|s| *s <= wanted);
        let length = length.unwrap_or(power);
        let bar = (length * scale / SAMPLES as f64) as i32;
        let (x, y) = ((0.7 * letter) as i32, (pixels as f64 - 1.2 * letter) as i32);
        let _ = root.draw(&Rectangle::new(
            [(x, y), (x + bar, y + (0.25 * letter) as i32)],
            BLACK.filled(),
        ));
        let text = if length >= 10.0 {
            format!("{} nm", length / 10.0)
        } else {
            format!("{length} Å")
        };
        let _ = root.draw(&Text::new(text, (x, y - (1.2 * letter) as i32), style));
        let _ = root.present();
    }
    Some(png_of(&bytes, w, h, dpi))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::geometry::cross;

    #[test]
    fn the_view_is_a_rotation() {
        let rows = axes();
        for a in 0..3 {
            for b in 0..3 {
                let expected = f64::from(u8::from(a == b));
                assert!((dot(rows[a], rows[b]) - expected).abs() < 1e-12);
            }
        }
        assert!((dot(cross(rows[0], rows[1]), rows[2]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_nearer_of_two_spheres_hides_the_other_until_it_is_cut_away() {
        let toward = axes()[2];
        let at = |d: f64| toward.map(|x| d * x);
        let scene = Scene {
            spheres: vec![(at(3.0), 1.0, [255, 0, 0]), (at(-3.0), 1.0, [0, 0, 255])],
            ..Scene::default()
        };
        let middle = |layer: &Layer| layer.color[50 * 100 + 50];
        let whole = view(&scene, [0.0; 3], 10.0, 100, false);
        assert!(middle(&whole)[0] > 0.5 && middle(&whole)[2] < 0.4);
        let cut = view(&scene, [0.0; 3], 10.0, 100, true);
        assert!(middle(&cut)[2] > 0.5 && middle(&cut)[0] < 0.4);
        // A disc of radius 10 samples.
        let filled = whole.depth.iter().filter(|d| d.is_finite()).count() as f64;
        assert!((filled / (std::f64::consts::PI * 100.0) - 1.0).abs() < 0.03);
        let bytes = png(&scene, 64, 300.0).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"));
        assert!(png(&Scene::default(), 64, 300.0).is_none());
    }

    #[test]
    fn a_translucent_surface_mixes_with_what_is_behind() {
        let [right, up, toward] = axes();
        let corner =
            |x: f64, y: f64| std::array::from_fn(|k| x * right[k] + y * up[k] + 2.0 * toward[k]);
        let sheet = Surface {
            vertices: vec![corner(-4.0, -4.0), corner(4.0, -4.0), corner(0.0, 4.0)],
            triangles: vec![[0, 1, 2]],
        };
        let scene = Scene {
            spheres: vec![([0.0; 3], 1.0, [0, 0, 0])],
            surfaces: vec![(&sheet, [0, 255, 0])],
            opacity: 0.5,
            ..Scene::default()
        };
        let layer = view(&scene, [0.0; 3], 10.0, 100, false);
        let over_sphere = layer.color[50 * 100 + 50];
        let over_nothing = layer.color[75 * 100 + 50];
        assert!(
            over_sphere[0] < 0.2 && over_sphere[1] > 0.3,
            "{over_sphere:?}"
        );
        assert!(over_nothing[0] > 0.45 && over_nothing[1] > over_nothing[0]);
    }
}
