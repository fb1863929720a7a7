//! From keys to actions, by the table of commands; and the overview of all keys.

use super::actions::{Action, Actions};
use super::commands::{COMMANDS, Menu, key_text};
use super::state::{AppState, Severity};
use eframe::egui::{self, Context, Key, RichText};

/// Reads the keys of this frame. A key whose command cannot be used now says why instead of doing nothing.
pub fn read(ctx: &Context, state: &mut AppState, actions: &mut Actions) {
    // A popup or dialog reads its own keys.
    if state.palette
        || state.unsaved.is_some()
        || state.question.is_some()
        || egui::Popup::is_any_open(ctx)
    {
        return;
    }
    let in_text = ctx.text_edit_focused();
    let has_focus = ctx.memory(|memory| memory.focused().is_some());
    let mut refused = None;
    for command in COMMANDS {
        for key in command.keys {
            let typing = key.conflicts_with_text_editing() || !key.modifiers.command;
            // Typed text stays in its field; keys that work a focused button stay with it.
            let works_widgets = matches!(
                key.logical_key,
                Key::Space
                    | Key::Enter
                    | Key::Tab
                    | Key::Escape
                    | Key::ArrowLeft
                    | Key::ArrowRight
                    | Key::ArrowUp
                    | Key::ArrowDown
            ) && !key.modifiers.command;
            if (in_text && (typing || is_text_command(key))) || (has_focus && works_widgets) {
                continue;
            }
            if !consume(ctx, key) {
                continue;
            }
            match (command.enabled)(state) {
                Ok(()) => actions.push((command.action)(state)),
                Err(why) => refused = Some(format!("{}: {why}", command.text)),
            }
        }
    }
    if let Some(why) = refused {
        state.toast(Severity::Warning, why);
    }
}

/// Undo and redo belong to a text field while it is edited.
fn is_text_command(key: &egui::KeyboardShortcut) -> bool {
    matches!(
        key.logical_key,
        Key::Z | Key::Y | Key::A | Key::X | Key::C | Key::V
    )
}

/// Takes a key press; modifiers must match exactly, so that `N` is not also `Shift+N`.
fn consume(ctx: &Context, shortcut: &egui::KeyboardShortcut) -> bool {
    ctx.input_mut(|input| {
        let mut taken = false;
        input.events.retain(|event| {
            let egui::Event::Key {
                key,
                pressed: true,
                modifiers,
                ..
            } = event
            else {
                return true;
            };
            // On some layouts a question mark arrives with Shift held; the sign is what counts.
            let exact = if *key == Key::Questionmark {
                !modifiers.command && !modifiers.alt
            } else {
                modifiers.matches_exact(shortcut.modifiers)
            };
            let hit = *key == shortcut.logical_key && exact;
            taken |= hit;
            !hit
        });
        taken
    })
}

/// The overview of all keys, over the window.
pub fn help_ui(ctx: &Context, state: &AppState, actions: &mut Actions) {
    if !state.help {
        return;
    }
    let response = egui::Modal::new(egui::Id::unique("keys")).show(ctx, |ui| {
        ui.set_max_width(860.0_f32.min(ui.ctx().content_rect().width() - 80.0));
        ui.horizontal(|ui| {
            ui.heading("Keys");
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if ui.button("Close").clicked() {
                    actions.push(Action::ToggleHelp);
                }
            });
        });
        ui.separator();
        let height = ui.ctx().content_rect().height() - 160.0;
        egui::ScrollArea::vertical()
            .max_height(height)
            .show(ui, |ui| {
                ui.columns(2, |columns| {
                    for (column, menus) in [
                        [Menu::File, Menu::Run, Menu::Help].as_slice(),
                        [Menu::Edit, Menu::View].as_slice(),
                    ]
                    .into_iter()
                    .enumerate()
                    {
                        for &menu in menus {
                            keys_of_menu(&mut columns[column], menu);
                        }
                    }
                });
                ui.add_space(8.0);
                ui.label(
                    RichText::new(
                        "Arrows move the selected atoms with the move tool (0.1 voxel, Shift ten times), else the \
                         crosshair; in the tilt view they step the tilts. In slices: click selects, Shift adds, \
                         Shift+drag fences atoms in, Alt+drag fences them out, dragging the crosshair moves all views, \
                         wheel steps the plane, Shift+wheel by a layer of atoms, Ctrl+wheel zooms. Digits give the \
                         edits that follow a reason.",
                    )
                    .weak(),
                );
            });
    });
    if response.should_close() {
        actions.push(Action::ToggleHelp);
    }
}

fn keys_of_menu(ui: &mut egui::Ui, menu: Menu) {
    ui.add_space(4.0);
    ui.strong(menu.name());
    egui::Grid::new(("keys", menu.name()))
        .num_columns(2)
        .spacing([12.0, 4.0])
        .show(ui, |ui| {
            for command in COMMANDS
                .iter()
                .filter(|c| c.menu == menu && !c.keys.is_empty())
            {
                let keys: Vec<String> = command.keys.iter().map(key_text).collect();
                ui.monospace(keys.join(" or "));
                ui.label(command.text).on_hover_text(command.tooltip);
                ui.end_row();
            }
        });
}
