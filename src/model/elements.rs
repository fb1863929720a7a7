//! Weights of the elements.

/// Standard atomic weights, u, by atomic number from 1 to 94 (IUPAC 2021, abridged; the most stable isotope where there is
/// no standard).
const WEIGHTS: [f64; 94] = [
    1.008, 4.0026, 6.94, 9.0122, 10.81, 12.011, 14.007, 15.999, 18.998, 20.180, 22.990, 24.305,
    26.982, 28.085, 30.974, 32.06, 35.45, 39.95, 39.098, 40.078, 44.956, 47.867, 50.942, 51.996,
    54.938, 55.845, 58.933, 58.693, 63.546, 65.38, 69.723, 72.630, 74.922, 78.971, 79.904, 83.798,
    85.468, 87.62, 88.906, 91.224, 92.906, 95.95, 97.0, 101.07, 102.91, 106.42, 107.87, 112.41,
    114.82, 118.71, 121.76, 127.60, 126.90, 131.29, 132.91, 137.33, 138.91, 140.12, 140.91, 144.24,
    145.0, 150.36, 151.96, 157.25, 158.93, 162.50, 164.93, 167.26, 168.93, 173.05, 174.97, 178.49,
    180.95, 183.84, 186.21, 190.23, 192.22, 195.08, 196.97, 200.59, 204.38, 207.2, 208.98, 209.0,
    210.0, 222.0, 223.0, 226.0, 227.0, 232.04, 231.04, 238.03, 237.0, 244.0,
];

/// Symbols of the same elements.
const SYMBOLS: [&str; 94] = [
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl",
    "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As",
    "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In",
    "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb",
    "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl",
    "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu",
];

/// g/cm³ of one atomic mass unit per Å³.
pub const GRAM_PER_CM3: f64 = 1.660_539_07;

/// Atomic weight of an element by its symbol, u; `None` for a name that is no element up to Pu.
#[must_use]
pub fn weight(symbol: &str) -> Option<f64> {
    let at = SYMBOLS.iter().position(|s| *s == symbol)?;
    Some(WEIGHTS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zirconium_metal_has_its_density() {
        // hcp, a 3.232 Å, c 5.147 Å, two atoms a cell: 6.52 g/cm³.
        let cell = 3.232f64.powi(2) * 0.75f64.sqrt() * 5.147;
        let density = 2.0 * weight("Zr").unwrap() / cell * GRAM_PER_CM3;
        assert!((density - 6.52).abs() < 0.02, "{density}");
        assert_eq!(
            (weight("O"), weight("Pt"), weight("X")),
            (Some(15.999), Some(195.08), None)
        );
    }
}
