//! Undefined numbers in JSON: NaN is written as `null` and read back as NaN.
//!
//! Used as `#[serde(with = "crate::model::nan_json")]` on `f64` and `Vec<f64>` fields.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Values that can hold NaN.
pub trait MayBeNan: Sized {
    /// The form that JSON can hold.
    type Stored: Serialize + for<'de> Deserialize<'de>;
    /// To that form.
    fn store(&self) -> Self::Stored;
    /// From that form.
    fn restore(stored: Self::Stored) -> Self;
}

impl MayBeNan for f64 {
    type Stored = Option<f64>;
    fn store(&self) -> Option<f64> {
        self.is_finite().then_some(*self)
    }
    fn restore(stored: Option<f64>) -> Self {
        stored.unwrap_or(f64::NAN)
    }
}

impl MayBeNan for Vec<f64> {
    type Stored = Vec<Option<f64>>;
    fn store(&self) -> Vec<Option<f64>> {
        self.iter().map(MayBeNan::store).collect()
    }
    fn restore(stored: Vec<Option<f64>>) -> Self {
        stored.into_iter().map(f64::restore).collect()
    }
}

/// Writes NaN as `null`.
///
/// # Errors
/// The serializer's.
pub fn serialize<T: MayBeNan, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    value.store().serialize(serializer)
}

/// Reads `null` as NaN.
///
/// # Errors
/// The deserializer's.
pub fn deserialize<'de, T: MayBeNan, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::Stored::deserialize(deserializer).map(T::restore)
}
