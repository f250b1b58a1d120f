//! Numbers of mixed BSON types: widening, sums without lost digits, overflow as MongoDB promotes
//! it (int to long to double).

use bson::Decimal128;
use dec::Decimal128 as Dec;

use super::decimal;
pub use crate::value::mixed::narrow;
use crate::value::mixed::{DecimalForm, MixedNumber};

/// A number of any of the four BSON types, with a decimal that has roots and logarithms.
pub type Number = MixedNumber<Dec>;

impl DecimalForm for Dec {
    fn from_bson(value: &Decimal128) -> Self {
        decimal::from_bson(value)
    }

    fn to_bson(self) -> Decimal128 {
        decimal::to_bson(self)
    }

    fn from_i64(value: i64) -> Self {
        decimal::from_i64(value)
    }

    fn from_f64(value: f64) -> Self {
        decimal::from_f64(value)
    }

    fn to_f64(self) -> f64 {
        decimal::to_f64(self)
    }

    fn is_nan(self) -> bool {
        Self::is_nan(&self)
    }
}

impl Number {
    /// The whole number this is exactly, within 64 bits.
    pub fn to_whole(self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(i64::from(n)),
            Self::Long(n) => Some(n),
            Self::Double(n) => (n.fract() == 0.0
                && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&n))
            .then_some(n as i64),
            Self::Decimal(n) => decimal::is_whole(n)
                .then(|| decimal::to_i64_truncated(n))
                .flatten(),
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Int(_) => 0,
            Self::Long(_) => 1,
            Self::Double(_) => 2,
            Self::Decimal(_) => 3,
        }
    }

    fn to_i64(self) -> i64 {
        match self {
            Self::Int(n) => i64::from(n),
            Self::Long(n) => n,
            Self::Double(_) | Self::Decimal(_) => 0,
        }
    }

    /// `i64` arithmetic of two whole numbers: an int stays one where the result fits.
    fn whole(self, other: Self, exact: Option<i64>, double: f64) -> Self {
        match exact {
            Some(n) => narrow(n, self.rank().max(other.rank()) == 0),
            None => Self::Double(double),
        }
    }

    /// `self + other`.
    #[allow(
        clippy::should_implement_trait,
        reason = "promotes types as MongoDB does, not as Rust"
    )]
    pub fn add(self, other: Self) -> Self {
        let mut sum = Sum::default();
        sum.add(self);
        sum.add(other);
        sum.total()
    }

    /// `self - other`.
    pub fn subtract(self, other: Self) -> Self {
        match self.rank().max(other.rank()) {
            3 => Self::Decimal(self.to_decimal() - other.to_decimal()),
            2 => Self::Double(self.to_f64() - other.to_f64()),
            _ => {
                let (a, b) = (self.to_i64(), other.to_i64());
                self.whole(other, a.checked_sub(b), a as f64 - b as f64)
            }
        }
    }

    /// `self * other`.
    pub fn multiply(self, other: Self) -> Self {
        match self.rank().max(other.rank()) {
            3 => Self::Decimal(self.to_decimal() * other.to_decimal()),
            2 => Self::Double(self.to_f64() * other.to_f64()),
            _ => {
                let (a, b) = (self.to_i64(), other.to_i64());
                self.whole(other, a.checked_mul(b), a as f64 * b as f64)
            }
        }
    }

    /// `self / other`: a double, or a decimal where either is one. `None` for division by zero.
    pub fn divide(self, other: Self) -> Option<Self> {
        if self.rank().max(other.rank()) == 3 {
            let divisor = other.to_decimal();
            return (!divisor.is_zero()).then(|| Self::Decimal(self.to_decimal() / divisor));
        }
        let divisor = other.to_f64();
        (divisor != 0.0).then(|| Self::Double(self.to_f64() / divisor))
    }

    /// The remainder with the sign of `self`. `None` for division by zero.
    pub fn remainder(self, other: Self) -> Option<Self> {
        match self.rank().max(other.rank()) {
            3 => {
                let divisor = other.to_decimal();
                (!divisor.is_zero()).then(|| Self::Decimal(self.to_decimal() % divisor))
            }
            2 => {
                let divisor = other.to_f64();
                (divisor != 0.0).then(|| Self::Double(self.to_f64() % divisor))
            }
            rank => {
                let divisor = other.to_i64();
                (divisor != 0).then(|| narrow(self.to_i64().wrapping_rem(divisor), rank == 0))
            }
        }
    }
}

/// A running sum: whole numbers exactly, doubles with their rounding errors kept, decimals apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    rank: u8,
    whole: i128,
    double: f64,
    error: f64,
    decimal: Option<Dec>,
}

impl Sum {
    /// Adds one number.
    pub fn add(&mut self, number: Number) {
        self.rank = self.rank.max(number.rank());
        match number {
            Number::Int(n) => self.whole += i128::from(n),
            Number::Long(n) => self.whole += i128::from(n),
            Number::Double(n) => self.add_double(n),
            Number::Decimal(n) => {
                self.decimal = Some(self.decimal.map_or(n, |total| total + n));
            }
        }
    }

    /// Adds to the double total, keeping what rounding lost.
    fn add_double(&mut self, n: f64) {
        let total = self.double + n;
        if total.is_finite() {
            let shifted = total - self.double;
            self.error += (self.double - (total - shifted)) + (n - shifted);
        }
        self.double = total;
    }

    /// The sum, in the widest type that was added; an overflowing long is a double.
    pub fn total(&self) -> Number {
        match self.rank {
            3 => {
                let mut total = self.decimal.unwrap_or(Dec::ZERO);
                if self.whole != 0 {
                    total += self.whole_decimal();
                }
                if self.double != 0.0 || self.double.is_nan() {
                    total += decimal::from_f64(self.double + self.error);
                }
                Number::Decimal(total)
            }
            2 => Number::Double(self.to_f64()),
            rank => match i64::try_from(self.whole) {
                Ok(n) => narrow(n, rank == 0),
                Err(_) => Number::Double(self.whole as f64),
            },
        }
    }

    /// Everything that the sum knows, to be taken up by [`Self::absorb`].
    pub(crate) fn to_state(self) -> bson::Document {
        let mut state = bson::doc! { "rank": i32::from(self.rank) };
        match i64::try_from(self.whole) {
            Ok(0) => {}
            Ok(whole) => {
                state.insert("whole", whole);
            }
            Err(_) => {
                state.insert("wide", self.whole.to_string());
            }
        }
        // Not compared with zero: a NaN must not get lost.
        if self.double.to_bits() != 0 || self.error.to_bits() != 0 {
            state.insert("double", self.double);
            state.insert("error", self.error);
        }
        if let Some(decimal) = self.decimal {
            state.insert("decimal", Number::Decimal(decimal).to_bson());
        }
        state
    }

    /// Adds a sum that [`Self::to_state`] told.
    pub(crate) fn absorb(&mut self, state: &bson::Document) {
        let double = |name| state.get_f64(name).unwrap_or_default();
        let rank = state.get_i32("rank").unwrap_or_default();
        self.rank = self.rank.max(u8::try_from(rank).unwrap_or_default());
        let wide = state.get_str("wide").ok();
        self.whole += wide
            .and_then(|text| text.parse::<i128>().ok())
            .unwrap_or_else(|| i128::from(state.get_i64("whole").unwrap_or_default()));
        if state.contains_key("double") {
            self.add_double(double("double"));
            self.error += double("error");
        }
        if let Some(Number::Decimal(more)) = state.get("decimal").and_then(Number::from_bson) {
            self.decimal = Some(self.decimal.map_or(more, |total| total + more));
        }
    }

    /// The sum divided by `count`: a double, or a decimal where one was added.
    pub fn average(&self, count: i64) -> Number {
        if self.rank == 3 {
            Number::Decimal(self.total().to_decimal() / decimal::from_i64(count))
        } else {
            Number::Double(self.to_f64() / count as f64)
        }
    }

    fn whole_decimal(&self) -> Dec {
        dec::Context::<Dec>::default().from_i128(self.whole)
    }

    fn to_f64(self) -> f64 {
        if !self.double.is_finite() {
            return self.double;
        }
        let mut sum = self;
        // A whole total may need more than 53 bits: add it in two exact halves.
        let high = self.whole as f64;
        let low = (self.whole - high as i128) as f64;
        sum.add_double(high);
        sum.add_double(low);
        if sum.double.is_finite() {
            sum.double + sum.error
        } else {
            sum.double
        }
    }
}
