//! Numbers of all four BSON types as one, over whichever decimal a part calculates with: updates and
//! comparisons with an exact one, expressions with one that has roots and logarithms.

use bson::{Bson, Decimal128};

/// What the decimal of a [`MixedNumber`] can do.
pub trait DecimalForm: Copy {
    /// Decodes BSON's bytes.
    fn from_bson(value: &Decimal128) -> Self;
    /// Encodes to BSON's bytes.
    fn to_bson(self) -> Decimal128;
    /// A whole number, exactly.
    fn from_i64(value: i64) -> Self;
    /// A double rounded to 15 significant digits, which is MongoDB's conversion.
    fn from_f64(value: f64) -> Self;
    /// The nearest double.
    fn to_f64(self) -> f64;
    /// Whether it is not a number.
    fn is_nan(self) -> bool;
}

/// A number of any of the four BSON types.
#[derive(Debug, Clone, Copy)]
pub enum MixedNumber<D> {
    /// 32 bits.
    Int(i32),
    /// 64 bits.
    Long(i64),
    /// Binary floating point.
    Double(f64),
    /// Decimal floating point.
    Decimal(D),
}

impl<D: DecimalForm> MixedNumber<D> {
    /// The number that `value` is, if it is one.
    pub fn from_bson(value: &Bson) -> Option<Self> {
        match value {
            Bson::Int32(n) => Some(Self::Int(*n)),
            Bson::Int64(n) => Some(Self::Long(*n)),
            Bson::Double(n) => Some(Self::Double(*n)),
            Bson::Decimal128(n) => Some(Self::Decimal(D::from_bson(n))),
            _ => None,
        }
    }

    /// Back to BSON.
    pub fn to_bson(self) -> Bson {
        match self {
            Self::Int(n) => Bson::Int32(n),
            Self::Long(n) => Bson::Int64(n),
            Self::Double(n) => Bson::Double(n),
            Self::Decimal(n) => Bson::Decimal128(n.to_bson()),
        }
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Int(n) => f64::from(n),
            Self::Long(n) => n as f64,
            Self::Double(n) => n,
            Self::Decimal(n) => n.to_f64(),
        }
    }

    /// As a decimal; doubles are rounded to 15 significant digits, as MongoDB does.
    pub fn to_decimal(self) -> D {
        match self {
            Self::Int(n) => D::from_i64(i64::from(n)),
            Self::Long(n) => D::from_i64(n),
            Self::Double(n) => D::from_f64(n),
            Self::Decimal(n) => n,
        }
    }

    /// Whether this is not a number.
    pub fn is_nan(self) -> bool {
        match self {
            Self::Int(_) | Self::Long(_) => false,
            Self::Double(n) => n.is_nan(),
            Self::Decimal(n) => n.is_nan(),
        }
    }
}

/// An int where `int` is asked for and it fits, else a long.
pub fn narrow<D>(n: i64, int: bool) -> MixedNumber<D> {
    match i32::try_from(n) {
        Ok(small) if int => MixedNumber::Int(small),
        _ => MixedNumber::Long(n),
    }
}
