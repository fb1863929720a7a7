//! The mask of the background step over the shown image, and its editing by brush and by pulling its edge. What is done
//! goes into the preparation's parameters, so that it is saved, listed, taken back and repeated with them.

use super::state::{AppState, Severity, TiltPicture};
use super::theme;
use super::views::canvas::{Viewport, key};
use crate::jobs::latest::Latest;
use crate::model::{TiltSeries, center_index};
use crate::preprocess::mask::{self, MaskChange, MaskEdit};
use eframe::egui::{self, Color32, Pos2, Response, Stroke, Ui, vec2};
use ndarray::Array2;
use std::cell::RefCell;
use std::sync::Arc;

/// What a drag over the image does to its mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaskTool {
    /// Nothing.
    #[default]
    Off,
    /// Makes pixels specimen.
    Add,
    /// Makes pixels vacuum.
    Erase,
    /// Pulls the edge.
    Pull,
}

/// How the mask is shown and edited.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskView {
    /// Whether the mask is drawn over the image as read.
    pub shown: bool,
    /// What a drag does.
    pub tool: MaskTool,
    /// Radius of the brush and of a pull, pixels.
    pub radius_px: f64,
    /// What is being drawn, before the pointer lets go.
    pub pending: Option<MaskChange>,
}

impl Default for MaskView {
    fn default() -> Self {
        Self {
            shown: false,
            tool: MaskTool::Off,
            radius_px: 8.0,
            pending: None,
        }
    }
}

/// The mask of an image as it is drawn.
#[derive(Debug, Clone)]
pub struct ShownMask {
    /// Of which image.
    pub tilt: usize,
    /// Its edge, lines between places in pixels.
    pub outline: Arc<Vec<[[f32; 2]; 2]>>,
    /// Share of the pixels that are specimen.
    pub share: f64,
}

/// What the user may want of a mask.
#[derive(Debug, Clone)]
pub enum MaskWish {
    /// Show or hide it.
    Show(bool),
    /// Choose what a drag does.
    Tool(MaskTool),
    /// Radius of the brush, pixels.
    Radius(f64),
    /// What is being drawn.
    Pending(Option<MaskChange>),
    /// Keep what was drawn.
    Edit(MaskEdit),
    /// Take the last change back.
    Undo,
    /// Make it again.
    Redo,
    /// Take all changes of the shown image back.
    Reset,
    /// Take all changes of all images back.
    ResetAll,
}

/// Does what is wanted.
pub fn perform(state: &mut AppState, wish: MaskWish) {
    let edits = &mut state.workspace.project.parameters.prepare.mask_edits;
    let view = &mut state.view.mask;
    match wish {
        MaskWish::Show(shown) => {
            view.shown = shown;
            view.tool = MaskTool::Off;
            if shown {
                show_unmoved(state);
            }
            return;
        }
        MaskWish::Tool(tool) => {
            view.tool = tool;
            if tool != MaskTool::Off {
                view.shown = true;
                state.view.line.measuring = false;
                show_unmoved(state);
            }
            return;
        }
        MaskWish::Radius(radius) => {
            view.radius_px = radius.clamp(1.0, 500.0);
            return;
        }
        MaskWish::Pending(change) => {
            view.pending = change;
            return;
        }
        MaskWish::Edit(edit) => {
            view.pending = None;
            state.masks_undone.clear();
            edits.push(edit);
        }
        MaskWish::Undo => match edits.pop() {
            Some(edit) => state.masks_undone.push(edit),
            None => return,
        },
        MaskWish::Redo => match state.masks_undone.pop() {
            Some(edit) => edits.push(edit),
            None => return,
        },
        MaskWish::Reset => {
            let tilt = state.view.tilt;
            state
                .masks_undone
                .extend(edits.extract_if(.., |edit| edit.tilt == tilt).rev_order());
        }
        MaskWish::ResetAll => {
            state.masks_undone.extend(edits.drain(..).rev());
            state.say(Severity::Info, "the masks are those of the rule again");
        }
    }
    state.touch();
}

/// Shows the image that masks belong to.
fn show_unmoved(state: &mut AppState) {
    if !is_unmoved(state) {
        state.view.tilt_picture = match state.workspace.prepared {
            Some(_) => TiltPicture::AsRead,
            None => TiltPicture::Measured,
        };
    }
}

/// Collects and turns round, so that redoing brings them back in their order.
trait RevOrder: Iterator + Sized {
    fn rev_order(self) -> std::iter::Rev<std::vec::IntoIter<Self::Item>> {
        self.collect::<Vec<_>>().into_iter().rev()
    }
}

impl<I: Iterator> RevOrder for I {}

/// Whether the shown picture has the pixels where the image as read has them.
fn is_unmoved(state: &AppState) -> bool {
    match state.view.tilt_picture {
        TiltPicture::AsRead
        | TiltPicture::Registered
        | TiltPicture::Denoised
        | TiltPicture::Level
        | TiltPicture::Background
        | TiltPicture::Preview
        | TiltPicture::RemovedNoise => true,
        TiltPicture::Measured => state.workspace.prepared.is_none(),
        _ => false,
    }
}

/// Whether a drag over the picture edits the mask.
#[must_use]
pub fn is_editing(state: &AppState) -> bool {
    state.view.mask.tool != MaskTool::Off && is_unmoved(state)
}

struct Request {
    series: Arc<TiltSeries>,
    tilt: usize,
    dilation_px: usize,
    changes: Vec<MaskChange>,
}

/// The mask by the rule of the image that was asked about last.
type ByRule = Option<((usize, usize, usize), Array2<bool>)>;

fn answer(cache: &RefCell<ByRule>, asked: &Request) -> ShownMask {
    let of = (
        Arc::as_ptr(&asked.series).addr(),
        asked.tilt,
        asked.dilation_px,
    );
    let mut known = cache.borrow_mut();
    let by_rule = match known.take() {
        Some((key, mask)) if key == of => mask,
        _ => crate::preprocess::mask_by_rule(&asked.series, asked.tilt, asked.dilation_px),
    };
    let mut edited = by_rule.clone();
    *known = Some((of, by_rule));
    for change in &asked.changes {
        change.apply(&mut edited);
    }
    let inside = edited.iter().filter(|m| **m).count();
    ShownMask {
        tilt: asked.tilt,
        outline: Arc::new(mask::outline(&edited)),
        share: inside as f64 / edited.len().max(1) as f64,
    }
}

/// Finds and edits the shown mask beside the window.
pub struct Masking {
    latest: Latest<Request, ShownMask>,
    asked: u64,
}

impl Masking {
    /// Starts the thread; `wake` is called when a mask is there.
    pub fn new(wake: impl Fn() + Send + 'static) -> Self {
        let cache = RefCell::new(None);
        Self {
            latest: Latest::new("mask", wake, move |asked: Request| answer(&cache, &asked)),
            asked: 0,
        }
    }

    /// Takes the mask that is there and asks for the one that is to be shown.
    pub fn follow(&mut self, state: &mut AppState) {
        if let Some(found) = self.latest.poll() {
            state.shown_mask = Some(found);
        }
        let Some(series) = state
            .workspace
            .series
            .as_ref()
            .filter(|_| state.view.mask.shown)
        else {
            state.shown_mask = None;
            self.asked = 0;
            return;
        };
        let tilt = state.view.tilt;
        if tilt >= series.len() {
            return;
        }
        let params = &state.workspace.project.parameters.prepare;
        let own = params.mask_edits.iter().filter(|edit| edit.tilt == tilt);
        let pending = state.view.mask.pending.iter();
        let changes: Vec<MaskChange> = own
            .map(|edit| &edit.change)
            .chain(pending)
            .cloned()
            .collect();
        let text = format!("{changes:?}");
        let asked = key((Arc::as_ptr(series).addr(), tilt, params.dilation_px, text));
        if asked != self.asked {
            self.asked = asked;
            self.latest.ask(Request {
                series: Arc::clone(series),
                tilt,
                dilation_px: params.dilation_px,
                changes,
            });
        }
    }
}

/// From the view's Å to pixels and back.
struct Pixels<'a> {
    viewport: &'a Viewport,
    pixel: f64,
    center: [f64; 2],
}

impl<'a> Pixels<'a> {
    fn new(viewport: &'a Viewport, series: &TiltSeries) -> Self {
        Self {
            viewport,
            pixel: series.pixel_size.unwrap_or(1.0),
            center: series.image_size().map(|n| center_index(n) as f64),
        }
    }

    fn under(&self, at: Pos2) -> [f64; 2] {
        let place = self.viewport.from_screen(at);
        // Hundredths of a pixel are enough and keep the project readable.
        [0, 1].map(|k| (100.0 * (place[k] / self.pixel + self.center[k])).round() / 100.0)
    }

    fn screen(&self, at: [f64; 2]) -> Pos2 {
        let place = [0, 1].map(|k| (at[k] - self.center[k]) * self.pixel);
        self.viewport.to_screen(place)
    }

    fn length(&self, pixels: f64) -> f32 {
        (pixels * self.pixel * self.viewport.scale) as f32
    }
}

/// Draws the mask's edge and the brush.
pub fn draw(
    ui: &Ui,
    viewport: &Viewport,
    state: &AppState,
    series: &TiltSeries,
    response: &Response,
) {
    let view = &state.view.mask;
    if !view.shown || !is_unmoved(state) {
        return;
    }
    let pixels = Pixels::new(viewport, series);
    let painter = ui.painter_at(viewport.rect);
    if let Some(shown) = state
        .shown_mask
        .as_ref()
        .filter(|m| m.tilt == state.view.tilt)
    {
        let stroke = Stroke::new(1.6, theme::GHOST);
        for line in shown.outline.iter() {
            let ends = line.map(|p| pixels.screen(p.map(f64::from)));
            painter.line_segment(ends, stroke);
        }
    }
    if view.tool == MaskTool::Off {
        return;
    }
    let color = match view.tool {
        MaskTool::Erase => theme::ERROR,
        _ => theme::GHOST,
    };
    if let Some(MaskChange::Pull { from_px, to_px, .. }) = &view.pending {
        let from = pixels.screen(*from_px);
        painter.arrow(
            from,
            pixels.screen(*to_px) - from,
            Stroke::new(1.5, theme::CROSSHAIR),
        );
    }
    if let Some(at) = response.hover_pos() {
        let radius = pixels.length(view.radius_px);
        painter.circle(
            at,
            radius,
            color.gamma_multiply(0.12),
            Stroke::new(1.2, color),
        );
        if view.tool == MaskTool::Pull {
            painter.circle_filled(at, 2.0, Color32::WHITE);
        }
    }
}

/// Turns a drag over the image into a change of its mask, and `Shift` with the wheel into another radius.
pub fn interact(
    ui: &Ui,
    viewport: &Viewport,
    state: &AppState,
    series: &TiltSeries,
    response: &Response,
) -> Option<MaskWish> {
    let view = &state.view.mask;
    let pixels = Pixels::new(viewport, series);
    let wheel = ui.input(|i| {
        if i.modifiers.shift {
            i.smooth_scroll_delta()
        } else {
            vec2(0.0, 0.0)
        }
    });
    let turned = wheel.x + wheel.y;
    if response.hovered() && turned != 0.0 {
        return Some(MaskWish::Radius(
            view.radius_px * f64::from(turned / 200.0).exp(),
        ));
    }
    let tilt = state.view.tilt;
    let keep = |change| Some(MaskWish::Edit(MaskEdit { tilt, change }));
    let place = pixels.under(response.interact_pointer_pos().or(response.hover_pos())?);
    let adds = view.tool == MaskTool::Add;
    let radius_px = (10.0 * view.radius_px).round() / 10.0;
    if response.clicked() && view.tool != MaskTool::Pull {
        return keep(MaskChange::Brush {
            adds,
            radius_px,
            points_px: vec![place],
        });
    }
    if response.drag_stopped_by(egui::PointerButton::Primary) {
        return view.pending.clone().and_then(keep);
    }
    if !response.dragged_by(egui::PointerButton::Primary) {
        return None;
    }
    let pending = match (view.tool, &view.pending) {
        (MaskTool::Pull, pending) => {
            let began = match pending {
                Some(MaskChange::Pull { from_px, .. }) => *from_px,
                _ => start_of_pull(ui, &pixels, state, place),
            };
            MaskChange::Pull {
                radius_px,
                from_px: began,
                to_px: place,
            }
        }
        (_, Some(MaskChange::Brush { points_px, .. })) => {
            let last = points_px.last().copied().unwrap_or(place);
            if (place[0] - last[0]).hypot(place[1] - last[1]) < 0.25 * radius_px {
                return None;
            }
            let mut points_px = points_px.clone();
            points_px.push(place);
            MaskChange::Brush {
                adds,
                radius_px,
                points_px,
            }
        }
        _ => MaskChange::Brush {
            adds,
            radius_px,
            points_px: vec![start(ui, &pixels, place), place],
        },
    };
    Some(MaskWish::Pending(Some(pending)))
}

/// Where the button went down; a drag is one only some pixels later.
fn start(ui: &Ui, pixels: &Pixels<'_>, place: [f64; 2]) -> [f64; 2] {
    let pressed = ui.input(|i| i.pointer.press_origin());
    pressed.map_or(place, |at| pixels.under(at))
}

/// A pull takes hold of the edge where it is nearest to the pointer, if that is within its reach.
fn start_of_pull(ui: &Ui, pixels: &Pixels<'_>, state: &AppState, place: [f64; 2]) -> [f64; 2] {
    let pressed = start(ui, pixels, place);
    let Some(shown) = &state.shown_mask else {
        return pressed;
    };
    let nearest = |[a, b]: &[[f32; 2]; 2]| -> [f64; 2] {
        std::array::from_fn(|k| {
            let (low, high) = (a[k].min(b[k]), a[k].max(b[k]));
            pressed[k].clamp(f64::from(low), f64::from(high))
        })
    };
    let off = |p: &[f64; 2]| (p[0] - pressed[0]).hypot(p[1] - pressed[1]);
    (shown.outline.iter().map(nearest))
        .filter(|p| off(p) <= state.view.mask.radius_px)
        .min_by(|a, b| off(a).total_cmp(&off(b)))
        .unwrap_or(pressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(tilt: usize, x: f64) -> MaskEdit {
        MaskEdit {
            tilt,
            change: MaskChange::Brush {
                adds: true,
                radius_px: 3.0,
                points_px: vec![[x, 0.0]],
            },
        }
    }

    #[test]
    fn changes_are_taken_back_made_again_and_reset_by_image() {
        let mut state = AppState::default();
        let edits = |state: &AppState| {
            state
                .workspace
                .project
                .parameters
                .prepare
                .mask_edits
                .clone()
        };
        let all = [edit(0, 1.0), edit(1, 2.0), edit(0, 3.0)];
        for one in &all {
            perform(&mut state, MaskWish::Edit(one.clone()));
        }
        perform(&mut state, MaskWish::Undo);
        assert_eq!(edits(&state), all[..2]);
        perform(&mut state, MaskWish::Redo);
        assert_eq!(edits(&state), all);
        perform(&mut state, MaskWish::Reset);
        assert_eq!(edits(&state), all[1..2], "the shown image is the first");
        perform(&mut state, MaskWish::Redo);
        perform(&mut state, MaskWish::Redo);
        assert_eq!(
            edits(&state),
            [all[1].clone(), all[0].clone(), all[2].clone()]
        );
        perform(&mut state, MaskWish::ResetAll);
        assert!(edits(&state).is_empty());
        perform(&mut state, MaskWish::Edit(edit(2, 1.0)));
        perform(&mut state, MaskWish::Redo);
        assert_eq!(
            edits(&state),
            [edit(2, 1.0)],
            "a new change ends what could be made again"
        );
    }

    #[test]
    fn the_shown_mask_is_the_rules_with_the_changes_of_its_image() {
        let image = Array2::from_shape_fn((64, 64), |(i, j)| {
            if (i as f64 - 32.0).hypot(j as f64 - 32.0) < 12.0 {
                50.0
            } else {
                1.0
            }
        });
        let images = image.insert_axis(ndarray::Axis(0));
        let angles = vec![crate::model::EulerAngles::default()];
        let series = Arc::new(TiltSeries::new("disk", images, angles, Some(0.5)));
        let cache = RefCell::new(None);
        let ask = |changes| {
            answer(
                &cache,
                &Request {
                    series: Arc::clone(&series),
                    tilt: 0,
                    dilation_px: 3,
                    changes,
                },
            )
        };
        let plain = ask(Vec::new());
        let more = ask(vec![MaskChange::Brush {
            adds: true,
            radius_px: 5.0,
            points_px: vec![[6.0, 6.0]],
        }]);
        assert!(more.share > plain.share && more.outline.len() > plain.outline.len());
        assert_eq!(ask(Vec::new()).outline, plain.outline);
    }
}
