//! Fonts, spacing and every colour of the window. Phases and species keep their colours everywhere.

use super::state::{ColorBy, ColorMap};
use crate::analyze::phases::{BY_HAND, Phase};
use crate::figures::Ink;
use crate::figures::palette;
use crate::model::Atoms;
use eframe::egui::{self, Color32, CornerRadius, FontData, FontDefinitions, FontFamily, Stroke};
use std::sync::Arc;

/// The one accent of the window.
pub const ACCENT: Color32 = Color32::from_rgb(86, 180, 233);
/// Thresholds and alarms.
pub const ALARM: Color32 = Color32::from_rgb(240, 150, 50);
/// Something failed.
pub const ERROR: Color32 = Color32::from_rgb(232, 92, 80);
/// The crosshair over dark density.
pub const CROSSHAIR: Color32 = Color32::from_rgb(255, 214, 90);
/// Selected atoms.
pub const SELECTED: Color32 = Color32::from_rgb(255, 255, 255);
/// Atoms lit by a brushed range.
pub const BRUSHED: Color32 = Color32::from_rgb(255, 96, 208);
/// An atom about to be added.
pub const GHOST: Color32 = Color32::from_rgb(120, 255, 160);

/// Opacity of an interim atom of this solidity (0 to 1): faint at first, never unseen.
#[must_use]
pub fn solid(solidity: f64) -> f32 {
    (0.15 + 0.85 * solidity.clamp(0.0, 1.0)) as f32
}

/// Where a removed atom stood.
pub const TOMBSTONE: Color32 = Color32::from_rgb(232, 92, 80);
/// Behind density, in both themes.
pub const PICTURE: Color32 = Color32::from_rgb(8, 9, 12);
/// Text and scale bars over pictures.
pub const OVER_PICTURE: Color32 = Color32::from_rgb(236, 238, 242);

/// A colour of the figures' palette.
pub const fn color_of([r, g, b]: palette::Rgb) -> Color32 {
    Color32::from_rgb(r, g, b)
}

/// Installs fonts and both themes.
pub fn install(ctx: &egui::Context) {
    let mut fonts = FontDefinitions::default();
    let faces: [(&str, &[u8]); 3] = [
        ("noto", include_bytes!("../../assets/NotoSans-Regular.ttf")),
        (
            "noto-bold",
            include_bytes!("../../assets/NotoSans-Bold.ttf"),
        ),
        ("dejavu", include_bytes!("../../assets/DejaVuSans.ttf")),
    ];
    for (name, bytes) in faces {
        fonts
            .font_data
            .insert(name.to_owned(), Arc::new(FontData::from_static(bytes)));
    }
    for family in [FontFamily::Proportional, FontFamily::Monospace] {
        let list = fonts.families.entry(family).or_default();
        // Noto's digits are all of one width, so numbers stand under one another in tables too.
        list.insert(0, "noto".to_owned());
        list.insert(1, "dejavu".to_owned());
    }
    ctx.set_fonts(fonts);
    for theme in [egui::Theme::Dark, egui::Theme::Light] {
        ctx.style_mut_of(theme, |style| {
            style.spacing.item_spacing = egui::vec2(8.0, 4.0);
            style.spacing.button_padding = egui::vec2(8.0, 4.0);
            style.spacing.interact_size.y = 22.0;
            if let Some(small) = style.text_styles.get_mut(&egui::TextStyle::Small) {
                small.size = 11.0;
            }
            let visuals = &mut style.visuals;
            let round = CornerRadius::same(4);
            for state in [
                &mut visuals.widgets.noninteractive,
                &mut visuals.widgets.inactive,
                &mut visuals.widgets.hovered,
                &mut visuals.widgets.active,
                &mut visuals.widgets.open,
            ] {
                state.corner_radius = round;
            }
            // The default is too faint for what is to be read, if second.
            let faint = if theme == egui::Theme::Dark { 150 } else { 90 };
            visuals.weak_text_color = Some(Color32::from_gray(faint));
            if theme == egui::Theme::Dark {
                visuals.panel_fill = Color32::from_rgb(27, 29, 34);
                visuals.window_fill = Color32::from_rgb(33, 36, 42);
                visuals.extreme_bg_color = Color32::from_rgb(18, 20, 24);
                visuals.faint_bg_color = Color32::from_rgb(34, 37, 43);
                visuals.selection.bg_fill = Color32::from_rgb(32, 96, 138);
                visuals.selection.stroke = Stroke::new(1.0, Color32::from_rgb(220, 238, 250));
                visuals.widgets.noninteractive.fg_stroke.color = Color32::from_rgb(198, 203, 212);
                visuals.widgets.noninteractive.bg_stroke.color = Color32::from_rgb(52, 56, 64);
            } else {
                visuals.selection.bg_fill = Color32::from_rgb(170, 214, 242);
                visuals.selection.stroke = Stroke::new(1.0, Color32::from_rgb(10, 60, 95));
            }
        });
    }
}

/// Colour of a role in a plot.
#[must_use]
pub fn ink(ink: Ink, dark: bool) -> Color32 {
    match ink {
        Ink::Primary if dark => ACCENT,
        Ink::Primary => Color32::from_rgb(0, 114, 178),
        Ink::Secondary => Color32::from_rgb(230, 159, 0),
        Ink::Tertiary => Color32::from_rgb(204, 121, 167),
        Ink::Accent => ALARM,
        Ink::Muted => Color32::from_gray(if dark { 150 } else { 110 }),
        Ink::Core => color_of(palette::PHASES[0]),
        Ink::CrystallineOxide => color_of(palette::PHASES[1]),
        Ink::AmorphousOxide => color_of(palette::PHASES[2]),
        Ink::Interface => color_of(palette::PHASES[3]),
    }
}

/// A sequential map at `t` in 0–1.
#[must_use]
pub fn map_color(map: ColorMap, t: f32) -> Color32 {
    let t = if t.is_finite() {
        f64::from(t.clamp(0.0, 1.0))
    } else {
        0.0
    };
    let gradient = match map {
        ColorMap::Grey => return Color32::from_gray((t * 255.0).round() as u8),
        ColorMap::Viridis => colorous::VIRIDIS,
        ColorMap::Cividis => colorous::CIVIDIS,
        ColorMap::Inferno => colorous::INFERNO,
        ColorMap::Magma => colorous::MAGMA,
        ColorMap::Plasma => colorous::PLASMA,
    };
    let color = gradient.eval_continuous(t);
    Color32::from_rgb(color.r, color.g, color.b)
}

/// A diverging map at `t` in −1…1: blue, dark, orange.
#[must_use]
pub fn diverging(t: f32) -> Color32 {
    let t = if t.is_finite() {
        t.clamp(-1.0, 1.0)
    } else {
        0.0
    };
    let color = colorous::RED_BLUE.eval_continuous(f64::from(0.5 - 0.5 * t));
    Color32::from_rgb(color.r, color.g, color.b)
}

/// The residual of the tilts over a slice, in standard deviations: nothing below 2, warm where an atom is asked for, cold
/// where one is denied, full at 6.
#[must_use]
pub fn residual(z: f32) -> Color32 {
    let strength = ((z.abs() - 2.0) / 4.0).clamp(0.0, 1.0);
    // NaN compares as nothing.
    if strength.is_nan() || strength <= 0.0 {
        return Color32::TRANSPARENT;
    }
    let base = if z > 0.0 { ALARM } else { ACCENT };
    base.gamma_multiply(0.25 + 0.6 * strength)
}

/// What the colours of the atoms mean.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Meaning {
    /// All atoms are alike.
    #[default]
    None,
    /// A quantity, from here to there.
    Range([f64; 2]),
    /// Classes by their colours.
    Classes(Vec<(Color32, String)>),
}

impl Meaning {
    /// The range of a quantity.
    #[must_use]
    pub fn range(&self) -> Option<[f64; 2]> {
        match self {
            Self::Range(range) => Some(*range),
            _ => None,
        }
    }
}

/// Colours of all atoms, and what they mean.
#[must_use]
pub fn atom_colors(
    atoms: &Atoms,
    analyzed: Option<&Atoms>,
    by: &ColorBy,
    map: ColorMap,
) -> (Vec<Color32>, Meaning) {
    match by {
        ColorBy::Species => species_colors(atoms),
        ColorBy::Phase => match column(atoms, analyzed, "phase") {
            None => species_colors(atoms),
            Some(mut values) => {
                // What was said by hand shows at once, and over phases that came with the model.
                let said = atoms.column(BY_HAND).unwrap_or_default();
                for (value, said) in values.iter_mut().zip(said).filter(|(_, s)| s.is_finite()) {
                    *value = *said;
                }
                phase_colors(&values)
            }
        },
        ColorBy::Column(name) => match column(atoms, analyzed, name) {
            None => species_colors(atoms),
            Some(values) => {
                let range = quantity_range(&values);
                let scale = (range[1] - range[0]).max(f64::MIN_POSITIVE);
                let color = |value: f64| {
                    if value.is_finite() {
                        map_color(map, ((value - range[0]) / scale) as f32)
                    } else {
                        Color32::from_gray(90)
                    }
                };
                let colors = values.into_iter().map(color).collect();
                (colors, Meaning::Range(range))
            }
        },
    }
}

fn species_colors(atoms: &Atoms) -> (Vec<Color32>, Meaning) {
    let color = |kind: usize| color_of(palette::SPECIES[kind % palette::SPECIES.len()]);
    let colors = atoms.species.iter().map(|&kind| color(usize::from(kind)));
    let names = atoms.species_names.iter().enumerate();
    let meaning = if atoms.species_names.len() > 1 {
        Meaning::Classes(
            names
                .map(|(kind, name)| (color(kind), name.clone()))
                .collect(),
        )
    } else {
        Meaning::None
    };
    (colors.collect(), meaning)
}

/// Colour of one phase.
#[must_use]
pub fn phase_color(phase: Phase) -> Color32 {
    color_of(palette::PHASES[phase as usize])
}

/// Colour of a class of voids.
#[must_use]
pub fn void_color(class: &str) -> Color32 {
    color_of(palette::of_void(class))
}

fn phase_colors(phases: &[f64]) -> (Vec<Color32>, Meaning) {
    let phase_of = |value: f64| {
        let known = value.is_finite().then_some(value.max(0.0) as usize);
        known.filter(|phase| *phase < palette::PHASES.len())
    };
    let color =
        |phase: Option<usize>| phase.map_or(Color32::GRAY, |k| color_of(palette::PHASES[k]));
    let mut there = [false; palette::PHASES.len()];
    let mut unknown = false;
    for &value in phases {
        match phase_of(value) {
            Some(phase) => there[phase] = true,
            None => unknown = true,
        }
    }
    let mut classes: Vec<(Color32, String)> = (0..there.len())
        .filter(|&phase| there[phase])
        .map(|phase| (color(Some(phase)), palette::PHASE_NAMES[phase].to_owned()))
        .collect();
    if unknown {
        classes.push((color(None), "no phase".to_owned()));
    }
    let colors = phases.iter().map(|&value| color(phase_of(value)));
    (colors.collect(), Meaning::Classes(classes))
}

/// A column for every atom: the model's own, or the analysis' by id (the model may have been edited since).
#[must_use]
pub fn column(atoms: &Atoms, analyzed: Option<&Atoms>, name: &str) -> Option<Vec<f64>> {
    if let Some(values) = atoms.column(name) {
        return Some(values.to_vec());
    }
    let analyzed = analyzed?;
    let values = analyzed.column(name)?;
    if analyzed.ids == atoms.ids {
        return Some(values.to_vec());
    }
    let value_of = |id| {
        analyzed
            .index_of(id)
            .map_or(f64::NAN, |index| values[index])
    };
    Some(atoms.ids.iter().map(|&id| value_of(id)).collect())
}

/// 1st to 99th percentile of the finite values, so that outliers do not eat the map.
fn quantity_range(values: &[f64]) -> [f64; 2] {
    let mut finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    if finite.is_empty() {
        return [0.0, 1.0];
    }
    finite.sort_by(f64::total_cmp);
    let at = |share: f64| finite[(share * (finite.len() - 1) as f64).round() as usize];
    let (low, high) = (at(0.01), at(0.99));
    if high > low {
        [low, high]
    } else {
        [low - 0.5, low + 0.5]
    }
}
