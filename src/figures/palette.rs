//! Colours of maps in files, safe for colour-blind eyes: the same as in the window.

use crate::analyze::voids::VoidSurface;

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// Okabe and Ito's palette for species, in their order.
pub const SPECIES: [Rgb; 6] = [
    [86, 180, 233],
    [230, 159, 0],
    [0, 158, 115],
    [204, 121, 167],
    [240, 228, 66],
    [213, 94, 0],
];

/// Metal core, crystalline oxide, amorphous oxide, interface.
pub const PHASES: [Rgb; 4] = [[213, 94, 0], [0, 158, 115], [66, 135, 225], [230, 159, 0]];

/// Names of the phases, in the order of [`PHASES`].
pub const PHASE_NAMES: [&str; 4] = ["core", "crystalline oxide", "amorphous oxide", "interface"];

/// Classes of voids, how many of one are called, and their colours.
pub const VOIDS: [(&str, &str, Rgb); 3] = [
    ("vacancy", "vacancies", [204, 121, 167]),
    ("nanopore", "nano-pores", [240, 228, 66]),
    ("large", "large pores", [86, 180, 233]),
];

/// Colour of a class of voids.
#[must_use]
pub fn of_void(class: &str) -> Rgb {
    let found = VOIDS.iter().find(|(name, ..)| *name == class);
    found.map_or(UNKNOWN, |(.., color)| *color)
}

/// How many surfaces there are of each class of [`VOIDS`], in words, and its colour.
pub fn counted_voids(surfaces: &[VoidSurface]) -> impl Iterator<Item = (usize, String, Rgb)> {
    VOIDS.iter().map(|(class, plural, color)| {
        let n = surfaces.iter().filter(|one| one.class == *class).count();
        (n, format!("{n} {plural}"), *color)
    })
}

/// What has no value.
pub const UNKNOWN: Rgb = [150, 150, 150];

/// Cividis at `t` in 0–1, for quantities.
#[must_use]
pub fn sequential(t: f64) -> Rgb {
    let color = colorous::CIVIDIS.eval_continuous(t.clamp(0.0, 1.0));
    [color.r, color.g, color.b]
}

/// Blue, white, red at `t` in −1…1, for differences and strain.
#[must_use]
pub fn diverging(t: f64) -> Rgb {
    let color = colorous::RED_BLUE.eval_continuous(0.5 - 0.5 * t.clamp(-1.0, 1.0));
    [color.r, color.g, color.b]
}
