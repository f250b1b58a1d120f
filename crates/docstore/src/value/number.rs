//! Numbers of all four types as one: exact comparison and the arithmetic of updates.

use std::cmp::Ordering;

use bson::Bson;

use crate::value::Decimal;

/// A number of any BSON type.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// 32-bit integer.
    Int(i32),
    /// 64-bit integer.
    Long(i64),
    /// Binary floating point.
    Double(f64),
    /// Decimal floating point.
    Decimal(Decimal),
}

impl Number {
    /// The number in a value, `None` where it is not one.
    pub fn of(value: &Bson) -> Option<Self> {
        match value {
            Bson::Int32(n) => Some(Self::Int(*n)),
            Bson::Int64(n) => Some(Self::Long(*n)),
            Bson::Double(n) => Some(Self::Double(*n)),
            Bson::Decimal128(n) => Some(Self::Decimal(Decimal::from_bson(n))),
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
    pub fn to_decimal(self) -> Decimal {
        match self {
            Self::Int(n) => Decimal::from_i64(i64::from(n)),
            Self::Long(n) => Decimal::from_i64(n),
            Self::Double(n) => Decimal::from_f64_15_digits(n),
            Self::Decimal(n) => n,
        }
    }

    /// Not a number.
    pub fn is_nan(self) -> bool {
        match self {
            Self::Int(_) | Self::Long(_) => false,
            Self::Double(n) => n.is_nan(),
            Self::Decimal(n) => matches!(n, Decimal::NaN),
        }
    }

    fn integer(self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(i64::from(n)),
            Self::Long(n) => Some(n),
            Self::Double(_) | Self::Decimal(_) => None,
        }
    }

    /// The sum in the wider type of the two; int overflows into long. `None` where a long
    /// overflows, which updates refuse.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.combine(other, i64::checked_add, |a, b| a + b, Decimal::plus)
    }

    /// The product, with the rules of [`Self::checked_add`].
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        self.combine(other, i64::checked_mul, |a, b| a * b, Decimal::times)
    }

    fn combine(
        self,
        other: Self,
        long: impl Fn(i64, i64) -> Option<i64>,
        double: impl Fn(f64, f64) -> f64,
        decimal: impl Fn(Decimal, Decimal) -> Decimal,
    ) -> Option<Self> {
        if let (Some(a), Some(b)) = (self.integer(), other.integer()) {
            let result = long(a, b)?;
            let both_int = matches!((self, other), (Self::Int(_), Self::Int(_)));
            return Some(match i32::try_from(result) {
                Ok(small) if both_int => Self::Int(small),
                _ => Self::Long(result),
            });
        }
        if matches!(self, Self::Decimal(_)) || matches!(other, Self::Decimal(_)) {
            return Some(Self::Decimal(decimal(
                self.to_decimal(),
                other.to_decimal(),
            )));
        }
        Some(Self::Double(double(self.to_f64(), other.to_f64())))
    }
}

/// Exact order by value; NaN is the least and equals itself, -0.0 equals 0.0.
pub fn compare_numbers(a: Number, b: Number) -> Ordering {
    use Number::{Decimal as Dec, Double, Int, Long};
    match (a, b) {
        (Int(_) | Long(_), Int(_) | Long(_)) => a.integer().cmp(&b.integer()),
        (Double(a), Double(b)) => compare_doubles(a, b),
        (Int(a), Double(b)) => compare_doubles(f64::from(a), b),
        (Double(a), Int(b)) => compare_doubles(a, f64::from(b)),
        (Long(a), Double(b)) => compare_long_double(a, b),
        (Double(a), Long(b)) => compare_long_double(b, a).reverse(),
        (Dec(a), Dec(b)) => a.compare(b),
        (Dec(a), Double(b)) => a.compare_f64(b),
        (Double(a), Dec(b)) => b.compare_f64(a).reverse(),
        (Dec(a), Int(_) | Long(_)) => a.compare(b.to_decimal()),
        (Int(_) | Long(_), Dec(b)) => a.to_decimal().compare(b),
    }
}

fn compare_doubles(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

fn compare_long_double(long: i64, double: f64) -> Ordering {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() || double < -TWO_63 {
        return Ordering::Greater;
    }
    if double >= TWO_63 {
        return Ordering::Less;
    }
    let whole = double.trunc();
    long.cmp(&(whole as i64))
        .then_with(|| compare_doubles(0.0, double - whole))
}

/// The value as `i64` where it is a number without fraction in range.
pub fn exact_i64(value: &Bson) -> Option<i64> {
    match Number::of(value)? {
        Number::Int(n) => Some(i64::from(n)),
        Number::Long(n) => Some(n),
        Number::Double(n) => {
            let in_range = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&n);
            (in_range && n.trunc() == n).then_some(n as i64)
        }
        Number::Decimal(n) => n.to_i64_exact(),
    }
}

/// Whether the value is a number without fraction, of whatever size.
pub fn is_integral(value: &Bson) -> bool {
    match Number::of(value) {
        Some(Number::Int(_) | Number::Long(_)) => true,
        Some(Number::Double(n)) => n.is_finite() && n.trunc() == n,
        Some(Number::Decimal(n)) => n.is_integral(),
        None => false,
    }
}
