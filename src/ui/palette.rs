//! The command palette: every command by name, with its key.

use super::actions::{Action, Actions};
use super::commands::{COMMANDS, Command};
use super::state::AppState;
use eframe::egui::{self, Context, Key, RichText};

/// What was typed and which hit is chosen.
#[derive(Debug, Default)]
pub struct Palette {
    query: String,
    chosen: usize,
    /// Whether the arrows chose, so that Enter means what is chosen also when nothing was typed.
    moved: bool,
    open: bool,
}

/// Commands whose text, tooltip or menu holds every typed word; those whose text begins with the query come first.
fn hits(query: &str) -> Vec<&'static Command> {
    let query = query.trim().to_lowercase();
    let mut hits: Vec<(u8, &Command)> = COMMANDS
        .iter()
        .filter_map(|command| {
            let text = command.text.to_lowercase();
            let all = format!(
                "{text} {} {}",
                command.tooltip.to_lowercase(),
                command.menu.name().to_lowercase()
            );
            let order = if text.starts_with(&query) {
                0
            } else if text.contains(&query) {
                1
            } else if query.split_whitespace().all(|word| all.contains(word)) {
                2
            } else {
                return None;
            };
            Some((order, command))
        })
        .collect();
    hits.sort_by_key(|(order, _)| *order);
    hits.into_iter().map(|(_, command)| command).collect()
}

impl Palette {
    /// Draws the palette while it is open.
    pub fn ui(&mut self, ctx: &Context, state: &AppState, actions: &mut Actions) {
        if !state.palette {
            self.open = false;
            return;
        }
        let just_opened = !std::mem::replace(&mut self.open, true);
        if just_opened {
            self.query.clear();
            self.chosen = 0;
            self.moved = false;
        }
        // Keys first, so that the field does not swallow them.
        let (up, down, enter) = ctx.input_mut(|input| {
            (
                input.consume_key(egui::Modifiers::NONE, Key::ArrowUp),
                input.consume_key(egui::Modifiers::NONE, Key::ArrowDown),
                input.consume_key(egui::Modifiers::NONE, Key::Enter),
            )
        });
        self.moved |= up || down;
        // A quick hand may press Enter before the field has its words: the first of all commands is not meant then.
        let enter = enter && (self.moved || !self.query.trim().is_empty());
        let area = egui::Modal::default_area(egui::Id::unique("palette"))
            .anchor(egui::Align2::CENTER_TOP, [0.0, 72.0]);
        let response = egui::Modal::new(egui::Id::unique("palette"))
            .area(area)
            .show(ctx, |ui| {
                ui.set_width(520.0);
                let field = ui.add(
                    egui::TextEdit::singleline(&mut self.query)
                        .hint_text("Type a command")
                        .desired_width(f32::INFINITY),
                );
                field.widget_info(|| {
                    egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Command")
                });
                field.request_focus();
                if field.changed() {
                    self.chosen = 0;
                }
                let hits = hits(&self.query);
                if down {
                    self.chosen += 1;
                }
                if up {
                    self.chosen = self.chosen.saturating_sub(1);
                }
                self.chosen = self.chosen.min(hits.len().saturating_sub(1));
                ui.separator();
                if hits.is_empty() {
                    ui.weak("No command has these words");
                }
                egui::ScrollArea::vertical()
                    .max_height(420.0)
                    .auto_shrink([false, true])
                    .show(ui, |ui| {
                        for (index, command) in hits.iter().enumerate() {
                            let is_chosen = index == self.chosen;
                            let row = row(ui, state, command, is_chosen);
                            if is_chosen && (up || down) {
                                row.scroll_to_me(None);
                            }
                            let runs = row.clicked() || (is_chosen && enter);
                            if runs && (command.enabled)(state).is_ok() {
                                actions.push(Action::TogglePalette);
                                // The palette itself is a command; it closes by the line above.
                                if command.id != "palette" {
                                    actions.push((command.action)(state));
                                }
                            }
                        }
                    });
            });
        if response.should_close() {
            actions.push(Action::TogglePalette);
        }
    }
}

fn row(ui: &mut egui::Ui, state: &AppState, command: &Command, chosen: bool) -> egui::Response {
    let enabled = (command.enabled)(state);
    let mut text = RichText::new(command.text);
    if enabled.is_err() {
        text = text.weak();
    }
    let hint = match &enabled {
        Ok(()) => command.key_text(),
        Err(why) => why.clone(),
    };
    let button = egui::Button::selectable(chosen, text)
        .right_text(RichText::new(hint).weak())
        .min_size(egui::vec2(ui.available_width(), 24.0));
    ui.add(button).on_hover_text(command.tooltip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_any_order_find_a_command() {
        assert_eq!(hits("undo")[0].id, "undo");
        assert!(hits("model export").iter().any(|c| c.id == "export_atoms"));
        assert!(hits("no such command at all").is_empty());
    }
}
