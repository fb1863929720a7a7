//! What gives atoms and pictures their colours.

/// What colours the atoms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ColorBy {
    /// One colour per species.
    #[default]
    Species,
    /// One colour per phase (column `phase`).
    Phase,
    /// A per-atom column, by a sequential map.
    Column(String),
}

/// Colour map of densities and quantities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum ColorMap {
    /// Black to white.
    #[default]
    Grey,
    /// Viridis.
    Viridis,
    /// Cividis.
    Cividis,
    /// Inferno.
    Inferno,
    /// Magma.
    Magma,
    /// Plasma.
    Plasma,
}
