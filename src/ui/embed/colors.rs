//! Colours of densities, atoms and figures.

use crate::figures::Ink;
use crate::model::Atoms;
use crate::ui::state::{AppState, ColorBy, ColorMap};
use eframe::egui::{Color32, Visuals};

/// Colour of a value (0–1) in a map.
pub fn of_map(map: ColorMap, value: f32) -> Color32 {
    let value = f64::from(value.clamp(0.0, 1.0));
    let gradient = match map {
        ColorMap::Grey => {
            let grey = (value * 255.0) as u8;
            return Color32::from_gray(grey);
        }
        ColorMap::Viridis => colorous::VIRIDIS,
        ColorMap::Cividis => colorous::CIVIDIS,
        ColorMap::Inferno => colorous::INFERNO,
        ColorMap::Magma => colorous::MAGMA,
        ColorMap::Plasma => colorous::PLASMA,
    };
    let color = gradient.eval_continuous(value);
    Color32::from_rgb(color.r, color.g, color.b)
}

/// Blue over white to red, zero in the middle (−1 … 1).
pub fn diverging(value: f32) -> Color32 {
    let color = colorous::RED_BLUE.eval_continuous(f64::from(0.5 - 0.5 * value.clamp(-1.0, 1.0)));
    Color32::from_rgb(color.r, color.g, color.b)
}

/// Okabe and Ito's palette, safe for colour blindness.
const PALETTE: [[u8; 3]; 7] = [
    [86, 180, 233],
    [230, 159, 0],
    [0, 158, 115],
    [240, 228, 66],
    [204, 121, 167],
    [213, 94, 0],
    [0, 114, 178],
];

fn palette(index: usize) -> Color32 {
    let [r, g, b] = PALETTE[index % PALETTE.len()];
    Color32::from_rgb(r, g, b)
}

/// Colour of a role in a figure.
pub fn of_ink(ink: Ink, visuals: &Visuals) -> Color32 {
    match ink {
        Ink::Primary | Ink::AmorphousOxide => palette(0),
        Ink::Secondary | Ink::Interface => palette(1),
        Ink::Tertiary | Ink::CrystallineOxide => palette(2),
        Ink::Accent | Ink::Core => palette(5),
        Ink::Muted => visuals.weak_text_color(),
    }
}

/// What colours atoms in this frame.
pub struct AtomColors<'a> {
    state: &'a AppState,
    values: Option<(&'a Atoms, &'a [f64], f64, f64)>,
}

impl<'a> AtomColors<'a> {
    /// Looks the column up once.
    pub fn new(state: &'a AppState) -> Self {
        let column = match &state.view.color_by {
            ColorBy::Column(name) => Some(name.as_str()),
            ColorBy::Phase => Some("phase"),
            ColorBy::Species => None,
        };
        let values = column.and_then(|name| {
            let sources = state
                .workspace
                .atoms
                .as_deref()
                .into_iter()
                .chain(state.workspace.analyzed.iter().map(|a| &a.atoms));
            for atoms in sources {
                if let Some(values) = atoms.column(name) {
                    let (low, high) = values
                        .iter()
                        .filter(|v| v.is_finite())
                        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| {
                            (low.min(v), high.max(v))
                        });
                    return Some((atoms, values, low, high));
                }
            }
            None
        });
        Self { state, values }
    }

    /// Colour of the atom at `index` of the model.
    pub fn of(&self, atoms: &Atoms, index: usize) -> Color32 {
        let Some((source, values, low, high)) = self.values else {
            return palette(usize::from(atoms.species[index]));
        };
        let at = if source.ids.get(index) == Some(&atoms.ids[index]) {
            Some(index)
        } else {
            source.index_of(atoms.ids[index])
        };
        match at.map(|at| values[at]).filter(|v| v.is_finite()) {
            Some(value) if self.state.view.color_by == ColorBy::Phase => palette(value as usize),
            Some(value) => {
                let share = (value - low) / (high - low).max(1e-12);
                of_map(self.state.view.quantity_map, share as f32)
            }
            None => Color32::from_gray(110),
        }
    }
}
