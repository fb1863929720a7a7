//! A picture with zoom and pan, its scale bar, and the thread that makes it.

use crate::jobs::latest::Latest;
use crate::ui::state::ColorMap;
use crate::ui::theme;
use eframe::egui::{
    self, Align2, Color32, ColorImage, FontId, Pos2, Rect, Stroke, TextureHandle, TextureOptions,
    Ui, Vec2, pos2, vec2,
};
use ndarray::Array2;

/// How numbers become colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shading {
    /// Values at the ends of the map.
    pub range: [f32; 2],
    /// The map.
    pub map: ColorMap,
    /// Blue–white–red about zero instead of the map.
    pub diverging: bool,
}

/// A picture `(right, up)` as an image whose first row is the top.
#[must_use]
pub fn shade(values: &Array2<f32>, shading: Shading) -> ColorImage {
    let (width, height) = values.dim();
    let [low, high] = shading.range;
    let scale = 1.0 / (high - low).max(f32::MIN_POSITIVE);
    let table: Vec<Color32> = (0..=255)
        .map(|step| {
            let t = step as f32 / 255.0;
            if shading.diverging {
                theme::diverging(2.0 * t - 1.0)
            } else {
                theme::map_color(shading.map, t)
            }
        })
        .collect();
    let mut pixels = Vec::with_capacity(width * height);
    for row in (0..height).rev() {
        pixels.extend((0..width).map(|column| {
            let t = (values[[column, row]] - low) * scale;
            // A NaN pixel becomes 0 by the cast.
            table[(t * 255.0).clamp(0.0, 255.0) as usize]
        }));
    }
    ColorImage::new([width, height], pixels)
}

/// A picture `(right, up)` whose values have their own colours, first row on top.
#[must_use]
pub fn paint(values: &Array2<f32>, color: impl Fn(f32) -> Color32) -> ColorImage {
    let (width, height) = values.dim();
    let rows = (0..height).rev();
    let pixels = rows.flat_map(|row| (0..width).map(move |column| [column, row]));
    ColorImage::new(
        [width, height],
        pixels.map(|at| color(values[at])).collect(),
    )
}

/// A texture made on its own thread: the newest request wins, the last picture stays until then.
pub struct Picture<Q, A> {
    latest: Option<Latest<Q, (A, ColorImage)>>,
    asked: Option<u64>,
    texture: Option<TextureHandle>,
    /// What came with the last picture.
    pub answer: Option<A>,
}

impl<Q, A> Default for Picture<Q, A> {
    fn default() -> Self {
        Self {
            latest: None,
            asked: None,
            texture: None,
            answer: None,
        }
    }
}

impl<Q: Send + 'static, A: Send + 'static> Picture<Q, A> {
    /// Asks for a picture when `key` is new, and takes the newest one that is ready.
    pub fn update(
        &mut self,
        ctx: &egui::Context,
        name: &str,
        key: u64,
        request: impl FnOnce() -> Q,
        make: fn(Q) -> (A, ColorImage),
    ) -> Option<&TextureHandle> {
        let latest = self.latest.get_or_insert_with(|| {
            let ctx = ctx.clone();
            Latest::new(name, move || ctx.request_repaint(), make)
        });
        if self.asked != Some(key) {
            self.asked = Some(key);
            latest.ask(request());
        }
        if let Some((answer, image)) = latest.poll() {
            self.answer = Some(answer);
            let options = TextureOptions::NEAREST;
            match &mut self.texture {
                Some(texture) if texture.size() == image.size => texture.set(image, options),
                texture => *texture = Some(ctx.load_texture(name, image, options)),
            }
        }
        self.texture.as_ref()
    }

    /// Whether a newer picture is on its way.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.latest.as_ref().is_some_and(Latest::is_waiting)
    }
}

/// Zoom and pan of a plane measured in Å.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// The point (Å) in the middle of the view.
    pub center: [f64; 2],
    /// Magnification over *fits the view*.
    pub zoom: f64,
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            center: [0.0; 2],
            zoom: 1.0,
        }
    }
}

/// A camera looking at an extent through a rectangle of the screen.
#[derive(Debug, Clone, Copy)]
pub struct Viewport {
    /// On the screen.
    pub rect: Rect,
    /// Points per Å.
    pub scale: f64,
    center: [f64; 2],
}

impl Viewport {
    /// The viewport that shows `extent` Å (full width and height) at zoom 1.
    #[must_use]
    pub fn new(rect: Rect, camera: &Camera, extent: [f64; 2]) -> Self {
        let fit = (f64::from(rect.width()) / extent[0].max(1e-9))
            .min(f64::from(rect.height()) / extent[1].max(1e-9));
        Self {
            rect,
            scale: fit * camera.zoom,
            center: camera.center,
        }
    }

    /// Where a point (Å; right, up) is drawn.
    #[must_use]
    pub fn to_screen(&self, point: [f64; 2]) -> Pos2 {
        let middle = self.rect.center();
        pos2(
            middle.x + ((point[0] - self.center[0]) * self.scale) as f32,
            middle.y - ((point[1] - self.center[1]) * self.scale) as f32,
        )
    }

    /// The point (Å; right, up) at a place of the screen.
    #[must_use]
    pub fn from_screen(&self, at: Pos2) -> [f64; 2] {
        let middle = self.rect.center();
        [
            f64::from(at.x - middle.x) / self.scale + self.center[0],
            f64::from(middle.y - at.y) / self.scale + self.center[1],
        ]
    }

    /// The rectangle a picture covers, given the Å of its lower left and upper right corners.
    #[must_use]
    pub fn rect_of(&self, low: [f64; 2], high: [f64; 2]) -> Rect {
        Rect::from_two_pos(self.to_screen(low), self.to_screen(high))
    }
}

/// Zooms about the pointer (Ctrl + wheel, pinch) and pans (middle or right button). Returns whether it panned.
pub fn navigate(
    ui: &Ui,
    response: &egui::Response,
    camera: &mut Camera,
    viewport: &Viewport,
) -> bool {
    if let Some(at) = response.hover_pos() {
        let factor = f64::from(ui.input(|input| input.zoom_delta()));
        if (factor - 1.0).abs() > 1e-6 {
            let under = viewport.from_screen(at);
            let zoom = (camera.zoom * factor).clamp(0.5, 60.0);
            let ratio = camera.zoom / zoom;
            for axis in 0..2 {
                camera.center[axis] = under[axis] + (camera.center[axis] - under[axis]) * ratio;
            }
            camera.zoom = zoom;
        }
    }
    let pans = response.dragged_by(egui::PointerButton::Middle)
        || response.dragged_by(egui::PointerButton::Secondary);
    if pans {
        pan(camera, viewport, response.drag_delta());
    }
    pans
}

/// Brings a place to the middle, and near enough to see its neighbours; who is nearer stays so.
pub fn center_on(camera: &mut Camera, place: [f64; 2], extent: [f64; 2]) {
    /// Width shown about a place, Å: five atoms to either side.
    const SHOWN: f64 = 30.0;
    camera.center = place;
    let widest = extent[0].max(extent[1]);
    camera.zoom = camera.zoom.max(widest / SHOWN).clamp(0.5, 60.0);
}

/// Moves the picture with the pointer.
pub fn pan(camera: &mut Camera, viewport: &Viewport, delta: Vec2) {
    camera.center[0] -= f64::from(delta.x) / viewport.scale;
    camera.center[1] += f64::from(delta.y) / viewport.scale;
}

/// Draws a bar of a round length in nm at the lower right.
pub fn scale_bar(ui: &Ui, viewport: &Viewport) {
    let wanted = f64::from(viewport.rect.width()) * 0.22 / viewport.scale / 10.0;
    let Some(nm) = round_length(wanted) else {
        return;
    };
    let length = (nm * 10.0 * viewport.scale) as f32;
    let end = viewport.rect.right_bottom() - vec2(12.0, 14.0);
    let start = end - vec2(length, 0.0);
    let painter = ui.painter_at(viewport.rect);
    painter.line_segment(
        [start, end],
        Stroke::new(5.0, Color32::from_black_alpha(150)),
    );
    painter.line_segment([start, end], Stroke::new(3.0, theme::OVER_PICTURE));
    label(
        ui,
        viewport.rect,
        start + vec2(length / 2.0, -4.0),
        Align2::CENTER_BOTTOM,
        &format!("{nm} nm"),
    );
}

/// The largest of 1, 2, 5 × 10ⁿ that is not above `wanted`.
fn round_length(wanted: f64) -> Option<f64> {
    if !(wanted.is_finite() && wanted > 0.0) {
        return None;
    }
    let decade = 10f64.powf(wanted.log10().floor());
    [5.0, 2.0, 1.0]
        .into_iter()
        .map(|n| n * decade)
        .find(|length| *length <= wanted * 1.000_001)
}

/// Text over a picture, with a dark plate behind it.
pub fn label(ui: &Ui, clip: Rect, at: Pos2, anchor: Align2, text: &str) -> Rect {
    let painter = ui.painter_at(clip);
    let galley = painter.layout_no_wrap(
        text.to_owned(),
        FontId::proportional(12.0),
        theme::OVER_PICTURE,
    );
    let rect = anchor.anchor_size(at, galley.size());
    painter.rect_filled(
        rect.expand2(vec2(4.0, 1.0)),
        3.0,
        Color32::from_black_alpha(150),
    );
    painter.galley(rect.min, galley, theme::OVER_PICTURE);
    rect
}

/// A colour bar with its range and unit at the upper right.
pub fn color_bar(ui: &Ui, clip: Rect, map: ColorMap, range: [f64; 2], name: &str) {
    let size = vec2(10.0, (clip.height() * 0.4).clamp(40.0, 160.0));
    let rect = Rect::from_min_size(clip.right_top() + vec2(-20.0, 24.0), size);
    let painter = ui.painter_at(clip);
    let steps = 48;
    for step in 0..steps {
        let t = step as f32 / steps as f32;
        let top = rect.bottom() - (t + 1.0 / steps as f32) * rect.height();
        let band = Rect::from_min_size(
            pos2(rect.left(), top),
            vec2(size.x, size.y / steps as f32 + 0.6),
        );
        painter.rect_filled(band, 0.0, theme::map_color(map, t));
    }
    let digits = if (range[1] - range[0]).abs() < 0.1 {
        4
    } else {
        2
    };
    let left = rect.left() - 6.0;
    label(
        ui,
        clip,
        pos2(left, rect.top()),
        Align2::RIGHT_TOP,
        &format!("{:.digits$}", range[1]),
    );
    label(
        ui,
        clip,
        pos2(left, rect.bottom()),
        Align2::RIGHT_BOTTOM,
        &format!("{:.digits$}", range[0]),
    );
    label(
        ui,
        clip,
        pos2(rect.right(), rect.top() - 4.0),
        Align2::RIGHT_BOTTOM,
        name,
    );
}

/// What the colours of classes mean, at the upper right.
pub fn legend(ui: &Ui, clip: Rect, classes: &[(Color32, String)]) {
    const LINE: f32 = 18.0;
    for (k, (color, name)) in classes.iter().enumerate() {
        let at = clip.right_top() + vec2(-24.0, 8.0 + LINE * k as f32);
        let text = label(ui, clip, at, Align2::RIGHT_TOP, name);
        ui.painter_at(clip)
            .circle_filled(pos2(clip.right() - 13.0, text.center().y), 5.0, *color);
    }
}

/// An empty view says what will fill it.
pub fn empty(ui: &mut Ui, text: &str) {
    let rect = ui.available_rect_before_wrap();
    ui.painter().rect_filled(rect, 0.0, theme::PICTURE);
    ui.put(
        rect,
        egui::Label::new(egui::RichText::new(text).weak()).selectable(false),
    );
}

/// Mixes anything that can be hashed into the key of a picture.
pub fn key(parts: impl std::hash::Hash) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screen_and_plane_are_inverse_and_up_is_up() {
        let rect = Rect::from_min_size(pos2(10.0, 20.0), vec2(300.0, 200.0));
        let camera = Camera {
            center: [3.0, -2.0],
            zoom: 2.0,
        };
        let viewport = Viewport::new(rect, &camera, [50.0, 50.0]);
        let at = viewport.to_screen([7.0, 4.0]);
        let back = viewport.from_screen(at);
        assert!((back[0] - 7.0).abs() < 1e-4 && (back[1] - 4.0).abs() < 1e-4);
        assert!(viewport.to_screen([7.0, 5.0]).y < at.y);
    }

    #[test]
    fn bars_have_round_lengths() {
        assert_eq!(round_length(2.3), Some(2.0));
        assert_eq!(round_length(0.07), Some(0.05));
        assert_eq!(round_length(f64::NAN), None);
    }

    #[test]
    fn the_first_row_of_an_image_is_the_top() {
        let values = Array2::from_shape_fn((2, 3), |(_, y)| y as f32);
        let shading = Shading {
            range: [0.0, 2.0],
            map: ColorMap::Grey,
            diverging: false,
        };
        let image = shade(&values, shading);
        assert_eq!(image.size, [2, 3]);
        assert_eq!(image.pixels[0], Color32::WHITE);
        assert_eq!(image.pixels[4], Color32::BLACK);
    }
}
