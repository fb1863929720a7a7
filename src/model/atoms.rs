//! An atomic model as a structure of arrays.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The lasting name of an atom: edits and selections refer to it, never to an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AtomId(pub u64);

/// A number per atom.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Column {
    /// Unit, empty for pure numbers.
    pub unit: String,
    /// One value per atom; NaN where the quantity is not defined for that atom.
    #[serde(with = "super::nan_json")]
    pub values: Vec<f64>,
}

/// Atoms: parallel arrays of equal length.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Atoms {
    /// Lasting names, unique.
    pub ids: Vec<AtomId>,
    /// Positions, Å about the volume's centre voxel, axes as the volume's.
    pub positions: Vec<[f64; 3]>,
    /// Index into `species_names`.
    pub species: Vec<u16>,
    /// Chemical symbols (or free names) of the species.
    pub species_names: Vec<String>,
    /// Further per-atom quantities by name (`intensity`, `sigma_A`, `rho_n`, …).
    pub columns: BTreeMap<String, Column>,
}

impl Atoms {
    /// Atoms of one species with ids 0, 1, 2, ….
    #[must_use]
    pub fn from_positions(positions: Vec<[f64; 3]>, species_name: &str) -> Self {
        Self {
            ids: (0..positions.len() as u64).map(AtomId).collect(),
            species: vec![0; positions.len()],
            positions,
            species_names: vec![species_name.to_owned()],
            columns: BTreeMap::new(),
        }
    }

    /// Number of atoms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is no atom.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Index of an atom by its lasting name.
    #[must_use]
    pub fn index_of(&self, id: AtomId) -> Option<usize> {
        // Ids are usually sorted (tracing order), so try that before scanning.
        match self.ids.binary_search(&id) {
            Ok(index) => Some(index),
            Err(_) => self.ids.iter().position(|&other| other == id),
        }
    }

    /// A name that no atom has.
    #[must_use]
    pub fn next_id(&self) -> AtomId {
        AtomId(self.ids.iter().map(|id| id.0 + 1).max().unwrap_or(0))
    }

    /// Species name of the atom at `index`.
    #[must_use]
    pub fn species_name(&self, index: usize) -> &str {
        self.species_names
            .get(usize::from(self.species[index]))
            .map_or("X", String::as_str)
    }

    /// How many atoms each species has.
    #[must_use]
    pub fn species_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for index in 0..self.len() {
            *counts
                .entry(self.species_name(index).to_owned())
                .or_insert(0) += 1;
        }
        counts
    }

    /// Sets (or replaces) a column; ignored lengths are a bug.
    ///
    /// # Panics
    /// If `values` has not one entry per atom.
    pub fn set_column(&mut self, name: &str, unit: &str, values: Vec<f64>) {
        assert_eq!(values.len(), self.len(), "one value per atom in {name}");
        self.columns.insert(
            name.to_owned(),
            Column {
                unit: unit.to_owned(),
                values,
            },
        );
    }

    /// Values of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&[f64]> {
        self.columns.get(name).map(|c| c.values.as_slice())
    }

    /// The atoms at `indices`, in that order, with all their columns.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            ids: indices.iter().map(|&i| self.ids[i]).collect(),
            positions: indices.iter().map(|&i| self.positions[i]).collect(),
            species: indices.iter().map(|&i| self.species[i]).collect(),
            species_names: self.species_names.clone(),
            columns: self
                .columns
                .iter()
                .map(|(name, column)| {
                    let values = indices.iter().map(|&i| column.values[i]).collect();
                    (
                        name.clone(),
                        Column {
                            unit: column.unit.clone(),
                            values,
                        },
                    )
                })
                .collect(),
        }
    }
}
