//! The linked views: four tiles that can be swapped, stacked as tabs, resized, and shown alone.

use super::actions::{Action, Actions, ViewChange};
use super::embed::Views;
use super::state::{AppState, ViewKind};
use eframe::egui::{self, RichText, Ui};
use egui_tiles::{SimplificationOptions, TileId, Tiles, Tree, UiResponse};

/// Where the views are.
pub struct Layout {
    tree: Tree<ViewKind>,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            tree: default_tree(),
        }
    }
}

/// xy and 3D above xz and yz/tilt.
fn default_tree() -> Tree<ViewKind> {
    let mut tiles = Tiles::default();
    let mut tab = |kinds: &[ViewKind]| {
        let panes = kinds.iter().map(|&kind| tiles.insert_pane(kind)).collect();
        tiles.insert_tab_tile(panes)
    };
    let upper = vec![tab(&[ViewKind::Xy]), tab(&[ViewKind::Volume])];
    let lower = vec![
        tab(&[ViewKind::Xz]),
        tab(&[ViewKind::Tilt, ViewKind::Yz, ViewKind::Oblique]),
    ];
    let upper = tiles.insert_horizontal_tile(upper);
    let lower = tiles.insert_horizontal_tile(lower);
    let root = tiles.insert_vertical_tile(vec![upper, lower]);
    Tree::new(egui::Id::unique("views"), root, tiles)
}

impl Layout {
    /// The layout as it was stored; the default one when it cannot be read or lacks a view.
    #[must_use]
    pub fn from_json(text: &str) -> Self {
        let read: Option<Tree<ViewKind>> = serde_json::from_str(text).ok();
        let tree = read.filter(|tree| {
            ViewKind::ALL
                .iter()
                .all(|kind| tree.tiles.find_pane(kind).is_some())
        });
        Self {
            tree: tree.unwrap_or_else(default_tree),
        }
    }

    /// The layout to store.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.tree).unwrap_or_default()
    }

    /// Puts every view back where it was.
    pub fn restore(&mut self) {
        self.tree = default_tree();
    }

    /// Brings a view's tab to the front.
    pub fn show(&mut self, kind: ViewKind) {
        self.tree
            .make_active(|_, tile| matches!(tile, egui_tiles::Tile::Pane(pane) if *pane == kind));
    }

    /// Draws the views.
    pub fn ui(&mut self, ui: &mut Ui, views: &mut Views, state: &AppState, actions: &mut Actions) {
        if let Some(kind) = state.view.maximized {
            alone_ui(ui, kind, views, state, actions);
            return;
        }
        let mut behavior = Behavior {
            views,
            state,
            actions,
        };
        self.tree.ui(&mut behavior, ui);
    }
}

/// What stands over a view: where it cuts, or what it shows.
#[must_use]
pub fn title(kind: ViewKind, state: &AppState) -> String {
    let [x, y, z] = state.view.crosshair;
    let at = |value: f64| {
        format!(
            "{}{:.1} Å",
            if value < 0.0 { "−" } else { "+" },
            value.abs()
        )
    };
    match kind {
        ViewKind::Xy => format!("xy   z = {}", at(z)),
        ViewKind::Xz => format!("xz   y = {}", at(y)),
        ViewKind::Yz => format!("yz   x = {}", at(x)),
        ViewKind::Volume => "3D".to_owned(),
        ViewKind::Oblique => {
            let axes = &state.view.oblique;
            let [.., along] = axes.coordinates(state.view.crosshair);
            let [u, v, w] = axes.normal.map(|n| super::panels::signed(n, 2));
            format!("oblique   ({u} {v} {w})   {}", at(along))
        }
        ViewKind::Tilt => match &state.workspace.series {
            None => "tilt".to_owned(),
            Some(series) => {
                let tilt = state.view.tilt.min(series.len().saturating_sub(1));
                let theta = series
                    .angles
                    .get(tilt)
                    .map_or(0.0, |a| a.theta.to_degrees());
                let sign = if theta < 0.0 { "−" } else { "+" };
                format!(
                    "tilt {}/{}   {sign}{:.1}°",
                    tilt + 1,
                    series.len(),
                    theta.abs()
                )
            }
        },
    }
}

fn alone_ui(
    ui: &mut Ui,
    kind: ViewKind,
    views: &mut Views,
    state: &AppState,
    actions: &mut Actions,
) {
    ui.spacing_mut().item_spacing.y = 0.0;
    let bar = egui::Frame::new()
        .inner_margin(egui::Margin::symmetric(8, 3))
        .fill(ui.visuals().extreme_bg_color);
    bar.show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.set_min_height(18.0);
            let name = ui.add(
                egui::Label::new(RichText::new(title(kind, state)).strong())
                    .selectable(false)
                    .sense(egui::Sense::click()),
            );
            if name.double_clicked() {
                actions.push(Action::Maximize(kind));
            }
            for other in ViewKind::ALL.into_iter().filter(|&other| other != kind) {
                let short = short_name(other);
                if ui
                    .small_button(short)
                    .on_hover_text(format!("Show {short} instead"))
                    .clicked()
                {
                    actions.push(Action::Maximize(other));
                }
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if ui
                    .small_button("All views")
                    .on_hover_text("Show all views again (Space, or double-click the title)")
                    .clicked()
                {
                    actions.push(Action::Maximize(kind));
                }
            });
        });
    });
    pane_ui(ui, kind, views, state, actions);
}

fn short_name(kind: ViewKind) -> &'static str {
    match kind {
        ViewKind::Xy => "xy",
        ViewKind::Xz => "xz",
        ViewKind::Yz => "yz",
        ViewKind::Volume => "3D",
        ViewKind::Tilt => "tilt",
        ViewKind::Oblique => "oblique",
    }
}

fn pane_ui(
    ui: &mut Ui,
    kind: ViewKind,
    views: &mut Views,
    state: &AppState,
    actions: &mut Actions,
) {
    let rect = ui.available_rect_before_wrap();
    ui.push_id(kind, |ui| views.ui(ui, kind, state, actions));
    let over = ui.rect_contains_pointer(rect);
    if over && state.view.active != kind {
        actions.push(Action::View(ViewChange::Active(kind)));
    }
    if state.view.active == kind && !state.is_empty() {
        let stroke = egui::Stroke::new(1.0, ui.visuals().selection.bg_fill);
        ui.painter()
            .rect_stroke(rect, 0.0, stroke, egui::StrokeKind::Inside);
    }
}

struct Behavior<'a> {
    views: &'a mut Views,
    state: &'a AppState,
    actions: &'a mut Actions,
}

impl egui_tiles::Behavior<ViewKind> for Behavior<'_> {
    fn pane_ui(&mut self, ui: &mut Ui, _id: TileId, kind: &mut ViewKind) -> UiResponse {
        pane_ui(ui, *kind, self.views, self.state, self.actions);
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, kind: &ViewKind) -> egui::WidgetText {
        RichText::new(title(*kind, self.state)).into()
    }

    fn on_tab_button(
        &mut self,
        tiles: &mut Tiles<ViewKind>,
        tile_id: TileId,
        response: egui::Response,
    ) -> egui::Response {
        if let Some(kind) = tiles.get_pane(&tile_id) {
            if response.double_clicked() {
                self.actions.push(Action::Maximize(*kind));
            }
            return response.on_hover_text("Drag to move, double-click to show alone");
        }
        response
    }

    fn top_bar_right_ui(
        &mut self,
        tiles: &Tiles<ViewKind>,
        ui: &mut Ui,
        _tile_id: TileId,
        tabs: &egui_tiles::Tabs,
        _scroll_offset: &mut f32,
    ) {
        let shown = tabs.active.and_then(|id| tiles.get_pane(&id).copied());
        if let Some(kind) = shown {
            ui.add_space(4.0);
            let size = egui::vec2(18.0, 18.0);
            let (rect, response) = ui.allocate_exact_size(size, egui::Sense::click());
            response.widget_info(|| {
                let name = format!("Maximise {}", short_name(kind));
                egui::WidgetInfo::labeled(egui::Role::Button, true, name)
            });
            let stroke = ui.style().interact(&response).fg_stroke;
            let square = rect.shrink(4.0);
            ui.painter()
                .rect_stroke(square, 1.0, stroke, egui::StrokeKind::Inside);
            ui.painter().hline(
                square.x_range(),
                square.top() + 2.0,
                egui::Stroke::new(stroke.width + 1.0, stroke.color),
            );
            if response.on_hover_text("Show alone (Space)").clicked() {
                self.actions.push(Action::Maximize(kind));
            }
        }
    }

    fn gap_width(&self, _style: &egui::Style) -> f32 {
        2.0
    }

    fn tab_bar_height(&self, _style: &egui::Style) -> f32 {
        24.0
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions {
            all_panes_must_have_tabs: true,
            ..SimplificationOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_layout_comes_back_and_a_broken_one_is_replaced() {
        let mut layout = Layout::default();
        layout.show(ViewKind::Yz);
        let text = layout.to_json();
        // The tiles are a map: their order in the text says nothing.
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&Layout::from_json(&text).to_json()), value(&text));
        let default = Layout::default();
        assert_eq!(
            Layout::from_json("{}").tree.tiles.len(),
            default.tree.tiles.len()
        );
    }

    #[test]
    fn titles_say_where_a_view_cuts() {
        let mut state = AppState::default();
        state.view.crosshair = [0.7, -12.0, 3.4];
        assert_eq!(title(ViewKind::Xy, &state), "xy   z = +3.4 Å");
        assert_eq!(title(ViewKind::Xz, &state), "xz   y = −12.0 Å");
    }
}
