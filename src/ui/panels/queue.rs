//! The queue of doubtful places: the one that is looked at with what single tilts show of it, what one key does about it,
//! and the list with its filters.

use super::{compact_command, section};
use crate::model::geometry::{apply, distance};
use crate::model::{AtomId, TiltSeries};
use crate::trace::refine::Cutout;
use crate::ui::actions::{Action, Actions, ViewChange};
use crate::ui::commands::can_refine;
use crate::ui::queue::{self, Proposal, kinds};
use crate::ui::state::{AppState, ColorMap, Doubtful, Looked};
use crate::ui::theme;
use crate::ui::views::canvas::{Shading, shade};
use eframe::egui::{
    self, Align2, FontId, Pos2, Rect, RichText, Sense, Stroke, TextureHandle, TextureOptions, Ui,
    pos2, vec2,
};
use ndarray::Array2;
use std::sync::Arc;

/// View state: the cut-outs as textures.
#[derive(Default)]
pub struct QueuePanel {
    /// Which cut-outs the textures are of.
    of: usize,
    textures: Vec<[TextureHandle; 3]>,
    half_width: f64,
}

impl QueuePanel {
    /// Draws the queue.
    pub fn ui(&mut self, ui: &mut Ui, state: &AppState, actions: &mut Actions) {
        section(ui, "Doubtful places");
        head_ui(ui, state, actions);
        if let Some(place) = queue::current(state) {
            place_ui(ui, place, actions);
        }
        if let Some(looked) = &state.looked {
            if queue::current(state).is_some() && queue::under_crosshair(state).is_none() {
                ui.weak("In the tilts, at the crosshair:");
            }
            self.tilts_ui(ui, state, looked);
        } else if state.examining {
            ui.weak("Drawing the model for the tilts…");
        }
        if state.workspace.atoms.is_none() {
            ui.weak("They are listed once there are atoms.");
        } else if state.all_doubtful.is_empty() {
            ui.weak(if state.evidence.is_some() {
                "Nothing left to look at."
            } else {
                "Nothing stands out by itself; the tilts have not been asked."
            });
        } else {
            filter_ui(ui, state, actions);
            list_ui(ui, state, actions);
        }
    }

    fn tilts_ui(&mut self, ui: &mut Ui, state: &AppState, looked: &Looked) {
        let cutouts = match &looked.cutouts {
            Ok(cutouts) if !cutouts.is_empty() => cutouts,
            Ok(_) => {
                ui.weak("No tilt sees this place.");
                return;
            }
            Err(why) => {
                ui.weak(format!("The tilts cannot be asked: {why}"));
                return;
            }
        };
        self.load(ui, cutouts);
        let Some(series) = state.workspace.best_series() else {
            return;
        };
        let gap = 3.0;
        let n = cutouts.len().max(1) as f32;
        let edge = ((ui.available_width() - gap * (n - 1.0)) / n).clamp(24.0, 96.0);
        let line = 14.0;
        let height = 3.0 * (edge + line) + 2.0 * line + 4.0;
        let (rect, response) =
            ui.allocate_exact_size(vec2(n * (edge + gap) - gap, height), Sense::hover());
        response.widget_info(|| {
            let name = "Measured, model and difference of single tilts";
            egui::WidgetInfo::labeled(egui::Role::Image, true, name)
        });
        response.on_hover_text(
            "First the mean of all tilts, then those in which an atom here would stand out most (chosen without looking at \
             the counts). Below: how many σ of noise the tilt shows here, of how many an atom would.",
        );
        // What is still of the place before is dimmed until the new one is there.
        let tint = if state.examining {
            egui::Color32::WHITE.gamma_multiply(0.4)
        } else {
            egui::Color32::WHITE
        };
        let painter = ui.painter_at(rect);
        let color = ui.visuals().weak_text_color();
        let font = FontId::proportional(11.0);
        for (row, name) in ["measured", "model", "difference"].into_iter().enumerate() {
            let top = rect.top() + row as f32 * (edge + line);
            painter.text(
                pos2(rect.left(), top),
                Align2::LEFT_TOP,
                name,
                font.clone(),
                color,
            );
            for (column, textures) in self.textures.iter().enumerate() {
                let left = rect.left() + column as f32 * (edge + gap);
                let place = Rect::from_min_size(pos2(left, top + line), vec2(edge, edge));
                let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
                painter.image(textures[row].id(), place, uv, tint);
                let cutout = &cutouts[column];
                let painter = ui.painter_at(place);
                self.marks(&painter, place, state, series, looked, cutout.tilt);
            }
        }
        for (column, cutout) in cutouts.iter().enumerate() {
            let middle = rect.left() + column as f32 * (edge + gap) + 0.5 * edge;
            let top = rect.top() + 3.0 * (edge + line) + 2.0;
            let name = match cutout.tilt {
                None => "all".to_owned(),
                Some(tilt) => {
                    let theta = series
                        .angles
                        .get(tilt)
                        .map_or(0.0, |a| a.theta.to_degrees());
                    format!("{}°", super::signed(theta, 0))
                }
            };
            let digits = usize::from(cutout.expected < 10.0);
            let seen = format!(
                "{}/{:.digits$}",
                super::signed(cutout.seen, digits),
                cutout.expected
            );
            let strong = ui.visuals().text_color();
            for (k, (text, color)) in [(name, strong), (seen, color)].into_iter().enumerate() {
                let at = pos2(middle, top + k as f32 * line);
                painter.text(at, Align2::CENTER_TOP, text, font.clone(), color);
            }
        }
    }

    /// Rings where the model's atoms near the place are seen, and a broken one at the place itself.
    fn marks(
        &self,
        painter: &egui::Painter,
        rect: Rect,
        state: &AppState,
        series: &TiltSeries,
        looked: &Looked,
        tilt: Option<usize>,
    ) {
        /// Atoms further from the place only happen to lie before or behind it, Å.
        const NEAR: f64 = 3.5;
        let scale = f64::from(rect.width()) / (2.0 * self.half_width);
        let radius = (0.6 * scale) as f32;
        let middle = rect.center();
        if let (Some(tilt), Some(atoms)) = (tilt, &state.workspace.atoms)
            && let Some(angles) = series.angles.get(tilt)
        {
            let rotation = angles.detector_from_sample();
            for (id, position) in atoms.ids.iter().zip(&atoms.positions) {
                if distance(*position, looked.place) > NEAR || is_in_question(looked, *id) {
                    continue;
                }
                let away = std::array::from_fn(|a| position[a] - looked.place[a]);
                let [right, up, _] = apply(&rotation, away);
                let at = middle + vec2((right * scale) as f32, (-up * scale) as f32);
                let color = theme::ACCENT.gamma_multiply(0.5);
                painter.circle_stroke(at, radius, Stroke::new(1.0, color));
            }
        }
        let color = if looked.atom.is_some() {
            theme::SELECTED
        } else {
            theme::GHOST
        };
        let circle: Vec<Pos2> = (0..=24)
            .map(|step| {
                let turn = std::f32::consts::TAU * step as f32 / 24.0;
                middle + (radius + 1.5) * vec2(turn.cos(), turn.sin())
            })
            .collect();
        painter.extend(egui::Shape::dashed_line(
            &circle,
            Stroke::new(1.0, color),
            2.5,
            2.5,
        ));
    }

    fn load(&mut self, ui: &Ui, cutouts: &Arc<Vec<Cutout>>) {
        let of = Arc::as_ptr(cutouts) as usize;
        if self.of == of && self.textures.len() == cutouts.len() {
            return;
        }
        self.of = of;
        self.half_width = crate::jobs::examine::CUTOUT_HALF_WIDTH;
        // One scale for the differences of all single tilts; the mean has its own, its noise is so much less.
        let difference = |cutout: &Cutout| &cutout.measured - &cutout.model;
        let largest = |of: &[Cutout]| {
            let all: Vec<f32> = of
                .iter()
                .flat_map(|c| difference(c).into_iter().collect::<Vec<f32>>())
                .map(f32::abs)
                .collect();
            crate::jobs::picture::percentiles(all.iter(), [0.0, 99.0])[1].max(f32::MIN_POSITIVE)
        };
        let (mean, single) = cutouts.split_at(1.min(cutouts.len()));
        let scales = [largest(mean), largest(single)];
        self.textures = cutouts
            .iter()
            .map(|cutout| {
                // Measured and model share one contrast, so that they can be compared by eye.
                let both = cutout.measured.iter().chain(&cutout.model);
                let range = crate::jobs::picture::percentiles(both, [1.0, 99.5]);
                let plain = Shading {
                    range,
                    map: ColorMap::Grey,
                    diverging: false,
                };
                let scale = scales[usize::from(cutout.tilt.is_some())];
                let diverging = Shading {
                    range: [-scale, scale],
                    map: ColorMap::Grey,
                    diverging: true,
                };
                let load = |values: &Array2<f32>, shading: Shading| {
                    let image = shade(values, shading);
                    ui.ctx()
                        .load_texture("cutout", image, TextureOptions::LINEAR)
                };
                [
                    load(&cutout.measured, plain),
                    load(&cutout.model, plain),
                    load(&difference(cutout), diverging),
                ]
            })
            .collect();
    }
}

fn is_in_question(looked: &Looked, id: AtomId) -> bool {
    looked.atom == Some(id)
}

fn head_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    ui.horizontal(|ui| {
        compact_command(ui, state, actions, "previous_doubt", "Previous");
        compact_command(ui, state, actions, "next_doubt", "Next");
        let left = state.doubtful.len();
        let text = match state.doubtful_at {
            Some(at) => format!("{} of {left}", at + 1),
            None => format!("{left} to see"),
        };
        ui.label(text);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            compact_command(ui, state, actions, "ask_tilts", "Ask the tilts");
        });
    });
    ui.horizontal(|ui| {
        let can = can_refine(state);
        let mut shown = state.view.show_residual;
        let field = egui::Checkbox::new(&mut shown, "Residual over the slices (G)");
        let response = ui.add_enabled(can.is_ok(), field);
        if response.changed() {
            actions.push(Action::View(ViewChange::ShowResidual(shown)));
        }
        if let Err(why) = can {
            response.on_disabled_hover_text(format!("Not now: {why}"));
        }
        if state.evidence.is_none() {
            ui.weak("tilts not asked yet");
        }
    });
}

/// The place that is looked at, and what the keys do about it.
fn place_ui(ui: &mut Ui, place: &Doubtful, actions: &mut Actions) {
    let frame = egui::Frame::group(ui.style())
        .stroke(Stroke::new(1.0, ui.visuals().selection.stroke.color));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal(|ui| {
            ui.strong(place.kind);
            ui.weak(format!("{:.0} %", 100.0 * place.probability))
                .on_hover_text("Probability that an edit is needed");
            for id in place.atoms.iter().take(3) {
                ui.weak(format!("#{}", id.0));
            }
        });
        ui.add(egui::Label::new(RichText::new(&place.text).weak()).wrap());
        ui.horizontal_wrapped(|ui| {
            let choices: &[(Proposal, &str)] = if place.atoms.is_empty() {
                &[(Proposal::Add, "A"), (Proposal::Keep, "K")]
            } else if place.atoms.len() == 2 {
                &[
                    (Proposal::Remove, "X"),
                    (Proposal::Merge, "J"),
                    (Proposal::Keep, "K"),
                ]
            } else {
                &[(Proposal::Remove, "X"), (Proposal::Keep, "K")]
            };
            for &(choice, key) in choices {
                let proposed = choice == place.proposal;
                let text = if proposed {
                    RichText::new(format!("{} (Enter)", choice.name())).strong()
                } else {
                    RichText::new(format!("{} ({key})", choice.name()))
                };
                let tooltip = format!("{} and go to the next ({key})", choice.name());
                if ui.button(text).on_hover_text(tooltip).clicked() {
                    actions.push(Action::Decide(choice));
                }
            }
        });
    });
}

fn filter_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    let mut filter = state.queue.clone();
    ui.horizontal(|ui| {
        let hidden = filter.hidden.len();
        let name = match hidden {
            0 => "All kinds".to_owned(),
            n => format!("{n} kinds left out"),
        };
        ui.menu_button(name, |ui| {
            for (kind, count) in kinds(&state.all_doubtful) {
                let mut listed = !filter.hidden.contains(kind);
                if ui
                    .checkbox(&mut listed, format!("{kind}  {count}"))
                    .changed()
                {
                    if listed {
                        filter.hidden.remove(kind);
                    } else {
                        filter.hidden.insert(kind);
                    }
                }
            }
        });
        let label = ui.weak("from");
        let mut percent = 100.0 * filter.least;
        let field = egui::DragValue::new(&mut percent)
            .range(0.0..=99.0)
            .speed(0.5)
            .max_decimals(0)
            .suffix(" %");
        let help = "Least probability that an edit is needed";
        if ui
            .add(field)
            .labelled_by(label.id)
            .on_hover_text(help)
            .changed()
        {
            filter.least = percent / 100.0;
        }
    });
    if filter != state.queue {
        actions.push(Action::FilterQueue(filter));
    }
}

fn list_ui(ui: &mut Ui, state: &AppState, actions: &mut Actions) {
    if state.doubtful.is_empty() {
        ui.weak("The filter leaves nothing.");
        return;
    }
    egui::ScrollArea::vertical()
        .id_salt("doubtful")
        .max_height(132.0)
        .auto_shrink([false, true])
        .show_rows(ui, 20.0, state.doubtful.len(), |ui, rows| {
            for at in rows {
                let doubtful = &state.doubtful[at];
                let percent = 100.0 * doubtful.probability;
                let text = format!("{percent:.0} %  {}: {}", doubtful.kind, doubtful.text);
                let chosen = state.doubtful_at == Some(at);
                let row = ui.add(egui::Button::selectable(chosen, text).truncate());
                let why = format!("{}\n{}", doubtful.kind, doubtful.text);
                if row.on_hover_text(why).clicked() {
                    actions.push(Action::ShowDoubtful(at));
                }
            }
        });
}
