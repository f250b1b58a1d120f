//! Numbers of all four types as one: exact comparison and the arithmetic of updates.

use std::cmp::Ordering;

use bson::{Bson, Decimal128};

use crate::value::{
    Decimal,
    mixed::{DecimalForm, MixedNumber, narrow},
};

/// A number of any BSON type, exact where it is a decimal.
pub type Number = MixedNumber<Decimal>;

impl DecimalForm for Decimal {
    fn from_bson(value: &Decimal128) -> Self {
        Self::from_bson(value)
    }

    fn to_bson(self) -> Decimal128 {
        self.to_bson()
    }

    fn from_i64(value: i64) -> Self {
        Self::from_i64(value)
    }

    fn from_f64(value: f64) -> Self {
        Self::from_f64_15_digits(value)
    }

    fn to_f64(self) -> f64 {
        self.to_f64()
    }

    fn is_nan(self) -> bool {
        matches!(self, Self::NaN)
    }
}

impl Number {
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
            return Some(narrow(result, both_int));
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
    use MixedNumber::{Decimal as Dec, Double, Int, Long};
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
    match Number::from_bson(value)? {
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
    match Number::from_bson(value) {
        Some(Number::Int(_) | Number::Long(_)) => true,
        Some(Number::Double(n)) => n.is_finite() && n.trunc() == n,
        Some(Number::Decimal(n)) => n.is_integral(),
        None => false,
    }
}
