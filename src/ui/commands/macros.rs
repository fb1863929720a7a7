//! Short forms of the table's entries. The names they use are those of the table.

macro_rules! command {
    ($menu:ident, $id:literal, $text:literal, $tooltip:literal, [$($key:expr),*], $enabled:expr, $action:expr) => {
        Command { id: $id, menu: Menu::$menu, text: $text, tooltip: $tooltip, keys: &[$($key),*],
                  enabled: $enabled, action: $action, separated: false }
    };
    (--- $menu:ident, $id:literal, $text:literal, $tooltip:literal, [$($key:expr),*], $enabled:expr, $action:expr) => {
        Command { separated: true, ..command!($menu, $id, $text, $tooltip, [$($key),*], $enabled, $action) }
    };
}

/// An arrow key, ten times as far with Shift.
macro_rules! arrow {
    ($held:ident, $id:literal, $text:literal, $key:ident, $right:literal, $up:literal) => {
        Command {
            id: $id,
            menu: Menu::Hidden,
            text: $text,
            tooltip: "Move in the active view: the selected atoms with the move tool, else the crosshair",
            keys: &[$held(Key::$key)],
            enabled: has_document,
            action: |_| Action::StepInPlane($right, $up),
            separated: false,
        }
    };
}

/// A digit that gives a reason.
macro_rules! reason {
    ($digit:literal, $key:ident) => {
        Command {
            id: concat!("reason_", $digit),
            menu: Menu::Hidden,
            text: concat!("Reason ", $digit),
            tooltip: "Give the edits that follow this reason, or none if they have it",
            keys: &[plain(Key::$key)],
            enabled: has_atoms,
            action: |s| reason_of(s, $digit),
            separated: false,
        }
    };
}

/// A stage's panel.
macro_rules! stage {
    ($id:literal, $stage:ident, $key:ident) => {
        Command {
            id: $id,
            menu: Menu::Hidden,
            text: concat!("Go to ", stringify!($stage)),
            tooltip: concat!("Show the panel of ", stringify!($stage)),
            keys: &[ctrl(Key::$key)],
            enabled: always,
            action: |_| Action::ShowStage(Stage::$stage),
            separated: false,
        }
    };
}

/// A view shown alone.
macro_rules! alone {
    ($id:literal, $what:literal, $kind:ident) => {
        Command {
            id: $id,
            menu: Menu::Hidden,
            text: concat!("Maximise ", $what),
            tooltip: concat!("Show the ", $what, " alone"),
            keys: &[],
            enabled: always,
            action: |_| Action::Maximize(ViewKind::$kind),
            separated: false,
        }
    };
}
