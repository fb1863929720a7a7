//! Numbers as files hold them: a type, a byte order, an index order, and conversion to what the program computes with.

use super::acquisition::Acquisition;
use super::error::Fault;
use super::hdf5::Dataset;
use ndarray::{ArrayD, IxDyn, ShapeBuilder};
use std::borrow::Cow;

/// Types of stored numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberType {
    /// Truth values, one byte each.
    Bool,
    /// Signed 8-bit integers.
    I8,
    /// Unsigned 8-bit integers.
    U8,
    /// Signed 16-bit integers.
    I16,
    /// Unsigned 16-bit integers.
    U16,
    /// Signed 32-bit integers.
    I32,
    /// Unsigned 32-bit integers.
    U32,
    /// Signed 64-bit integers.
    I64,
    /// Unsigned 64-bit integers.
    U64,
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl NumberType {
    /// Bytes of one number.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// Name shown to the user.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "logical",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::I16 => "int16",
            Self::U16 => "uint16",
            Self::I32 => "int32",
            Self::U32 => "uint32",
            Self::I64 => "int64",
            Self::U64 => "uint64",
            Self::F16 => "float16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }
}

/// What the program computes with.
pub(crate) trait Number: Clone + Default {
    fn from_f64(value: f64) -> Self;
}

impl Number for f32 {
    // Rounding to the nearest single is what every reader of images expects.
    #[allow(clippy::cast_possible_truncation)]
    fn from_f64(value: f64) -> Self {
        value as Self
    }
}

impl Number for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
}

/// IEEE half to double: exact.
pub(crate) fn half_to_f64(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    sign * match exponent {
        0 => fraction * (-14f64).exp2(),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * f64::from(exponent - 15).exp2(),
    }
}

/// Where an array's bytes are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stored {
    /// Read already.
    Here(Vec<u8>),
    /// Still in the file: one of many data sets, of which usually one is wanted.
    InFile(Dataset),
}

impl From<Vec<u8>> for Stored {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Here(bytes)
    }
}

impl Stored {
    fn fetch(&self) -> Result<Cow<'_, [u8]>, Fault> {
        match self {
            Self::Here(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::InFile(dataset) => dataset.read().map(Cow::Owned),
        }
    }
}

/// One array as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RawArray {
    pub name: String,
    pub shape: Vec<usize>,
    /// First index fastest (MATLAB, Fortran) instead of last (C).
    pub fortran: bool,
    pub number: NumberType,
    pub big_endian: bool,
    pub bytes: Stored,
    /// What the instrument noted about it.
    pub acquisition: Acquisition,
    /// Type shown to the user (MATLAB's class may differ from the storage type).
    pub class: &'static str,
}

/// Number of elements, or a fault when it overflows.
pub(crate) fn element_count(shape: &[usize]) -> Result<usize, Fault> {
    shape
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n))
        .ok_or_else(|| Fault::Invalid(format!("shape {} is impossibly large", shape_text(shape))))
}

/// `150 × 141 × 45`.
#[must_use]
pub fn shape_text(shape: &[usize]) -> String {
    if shape.is_empty() {
        return "scalar".to_owned();
    }
    shape
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" × ")
}

impl RawArray {
    /// All numbers in storage order.
    fn decode<T: Number>(&self, bytes: &[u8]) -> Vec<T> {
        macro_rules! read {
            ($type:ty, $convert:expr) => {
                bytes
                    .chunks_exact(size_of::<$type>())
                    .map(|chunk| {
                        let chunk = chunk.try_into().expect("chunks_exact gives exact chunks");
                        let value = if self.big_endian {
                            <$type>::from_be_bytes(chunk)
                        } else {
                            <$type>::from_le_bytes(chunk)
                        };
                        T::from_f64($convert(value))
                    })
                    .collect()
            };
        }
        #[allow(clippy::cast_precision_loss)] // 64-bit integers beyond 2^53 are no image counts
        match self.number {
            NumberType::Bool => bytes
                .iter()
                .map(|&b| T::from_f64(f64::from(u8::from(b != 0))))
                .collect(),
            NumberType::I8 => read!(i8, f64::from),
            NumberType::U8 => read!(u8, f64::from),
            NumberType::I16 => read!(i16, f64::from),
            NumberType::U16 => read!(u16, f64::from),
            NumberType::I32 => read!(i32, f64::from),
            NumberType::U32 => read!(u32, f64::from),
            NumberType::I64 => read!(i64, |v| v as f64),
            NumberType::U64 => read!(u64, |v| v as f64),
            NumberType::F16 => read!(u16, half_to_f64),
            NumberType::F32 => read!(f32, f64::from),
            NumberType::F64 => read!(f64, |v: f64| v),
        }
    }

    /// The array, indexed as its file names the axes (not transposed).
    pub(crate) fn to_array<T: Number>(&self) -> Result<ArrayD<T>, Fault> {
        let shape = IxDyn(&self.shape).set_f(self.fortran);
        let bytes = self.bytes.fetch()?;
        ArrayD::from_shape_vec(shape, self.decode(&bytes)).map_err(|_| Fault::Truncated {
            expected: element_count(&self.shape).unwrap_or(usize::MAX) as u64
                * self.number.size() as u64,
            found: bytes.len() as u64,
        })
    }

    /// The only number, if there is exactly one.
    pub(crate) fn scalar(&self) -> Option<f64> {
        if element_count(&self.shape) != Ok(1) {
            return None;
        }
        self.decode::<f64>(&self.bytes.fetch().ok()?)
            .first()
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_exact() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 2f64.powi(-24)),
            (0x7bff, 65504.0),
            (0x3555, 0.333_251_953_125),
        ] {
            assert_eq!(half_to_f64(bits), value);
        }
        assert!(half_to_f64(0x7c01).is_nan());
        assert_eq!(half_to_f64(0xfc00), f64::NEG_INFINITY);
    }

    #[test]
    fn byte_and_index_order_are_honoured() {
        let mut raw = RawArray {
            name: String::new(),
            shape: vec![2, 3],
            fortran: true,
            number: NumberType::I16,
            big_endian: true,
            bytes: vec![0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0xff, 0xff].into(),
            acquisition: Acquisition::default(),
            class: "int16",
        };
        let array = raw.to_array::<f32>().unwrap();
        assert_eq!(
            (array[[1, 0]], array[[0, 1]], array[[1, 2]]),
            (2.0, 3.0, -1.0)
        );
        raw.bytes = vec![0; 11].into();
        assert!(raw.to_array::<f32>().is_err());
    }
}
