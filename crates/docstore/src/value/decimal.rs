//! IEEE 754 decimal128: decoding, encoding, exact comparison and rounded arithmetic.

use std::cmp::Ordering;

use bson::Decimal128;

use self::digits::Digits;

mod digits;

const BIAS: i32 = 6176;
const MIN_EXPONENT: i32 = -6176;
const MAX_EXPONENT: i32 = 6111;
const MAX_DIGITS: u32 = 34;
const MAX_COEFFICIENT: u128 = 9_999_999_999_999_999_999_999_999_999_999_999;

/// A decoded decimal128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decimal {
    /// Not a number; sign and payload are not kept.
    NaN,
    /// Infinity, `negative` or not.
    Infinity {
        /// The sign.
        negative: bool,
    },
    /// `coefficient * 10^exponent`.
    Finite {
        /// The sign, which zero has too.
        negative: bool,
        /// At most 34 digits.
        coefficient: u128,
        /// From -6176 to 6111.
        exponent: i32,
    },
}

impl Decimal {
    /// Zero with exponent 0.
    pub const ZERO: Self = Self::Finite {
        negative: false,
        coefficient: 0,
        exponent: 0,
    };

    /// Decodes BSON's bytes; a non-canonical coefficient counts as zero, as the standard says.
    pub fn from_bson(value: &Decimal128) -> Self {
        let bits = u128::from_le_bytes(value.bytes());
        let negative = bits >> 127 == 1;
        let combination = (bits >> 122) & 0x1f;
        if combination == 0x1f {
            return Self::NaN;
        }
        if combination == 0x1e {
            return Self::Infinity { negative };
        }
        let (exponent, coefficient) = if combination >> 3 == 3 {
            ((bits >> 111) & 0x3fff, 0)
        } else {
            ((bits >> 113) & 0x3fff, bits & ((1 << 113) - 1))
        };
        Self::Finite {
            negative,
            coefficient: if coefficient > MAX_COEFFICIENT {
                0
            } else {
                coefficient
            },
            exponent: exponent as i32 - BIAS,
        }
    }

    /// Encodes to BSON's bytes.
    pub fn to_bson(self) -> Decimal128 {
        let sign = |negative: bool| u128::from(negative) << 127;
        let bits = match self {
            Self::NaN => 0x1f << 122,
            Self::Infinity { negative } => sign(negative) | (0x1e << 122),
            Self::Finite {
                negative,
                coefficient,
                exponent,
            } => sign(negative) | (((exponent + BIAS) as u128) << 113) | coefficient,
        };
        Decimal128::from_bytes(bits.to_le_bytes())
    }

    /// An integer, exactly.
    pub fn from_i64(value: i64) -> Self {
        Self::Finite {
            negative: value < 0,
            coefficient: u128::from(value.unsigned_abs()),
            exponent: 0,
        }
    }

    /// A double rounded to 15 significant digits, which is MongoDB's conversion.
    pub fn from_f64_15_digits(value: f64) -> Self {
        if value.is_nan() {
            return Self::NaN;
        }
        if value.is_infinite() {
            return Self::Infinity {
                negative: value < 0.0,
            };
        }
        if value == 0.0 {
            return Self::Finite {
                negative: value.is_sign_negative(),
                coefficient: 0,
                exponent: 0,
            };
        }
        let (coefficient, exponent) = scientific_digits(&format!("{:.14e}", value.abs()));
        Self::Finite {
            negative: value < 0.0,
            coefficient: coefficient.parse().unwrap_or(0),
            exponent: exponent - 14,
        }
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::NaN => f64::NAN,
            Self::Infinity { negative: false } => f64::INFINITY,
            Self::Infinity { negative: true } => f64::NEG_INFINITY,
            Self::Finite {
                negative,
                coefficient,
                exponent,
            } => {
                let magnitude: f64 = format!("{coefficient}e{exponent}")
                    .parse()
                    .unwrap_or(f64::NAN);
                if negative { -magnitude } else { magnitude }
            }
        }
    }

    /// The value as `i64` where it has no fraction and is in range.
    pub fn to_i64_exact(self) -> Option<i64> {
        let Self::Finite {
            negative,
            mut coefficient,
            mut exponent,
        } = self
        else {
            return None;
        };
        if coefficient == 0 {
            return Some(0);
        }
        while exponent < 0 && coefficient.is_multiple_of(10) {
            coefficient /= 10;
            exponent += 1;
        }
        let scale = 10_u128.checked_pow(u32::try_from(exponent).ok()?)?;
        let magnitude = i128::try_from(coefficient.checked_mul(scale)?).ok()?;
        i64::try_from(if negative { -magnitude } else { magnitude }).ok()
    }

    /// Whether there is no fraction.
    pub fn is_integral(self) -> bool {
        let Self::Finite {
            coefficient,
            exponent,
            ..
        } = self
        else {
            return false;
        };
        coefficient == 0
            || exponent >= 0
            || 10_u128
                .checked_pow(exponent.unsigned_abs())
                .is_some_and(|d| coefficient.is_multiple_of(d))
    }

    /// Without the fraction, towards zero.
    pub fn truncate(self) -> Self {
        match self {
            Self::Finite {
                negative,
                coefficient,
                exponent,
            } if exponent < 0 => Self::Finite {
                negative,
                coefficient: 10_u128
                    .checked_pow(exponent.unsigned_abs())
                    .map_or(0, |divisor| coefficient / divisor),
                exponent: 0,
            },
            _ => self,
        }
    }

    /// Whether dividing by `divisor` leaves nothing; false where either is not finite.
    pub fn is_multiple_of(self, divisor: Self) -> bool {
        let (
            Self::Finite {
                coefficient: a,
                exponent: e,
                ..
            },
            Self::Finite {
                coefficient: b,
                exponent: f,
                ..
            },
        ) = (self, divisor)
        else {
            return false;
        };
        if a == 0 || b == 0 {
            return a == 0 && b != 0;
        }
        if f >= e {
            let scale = 10_u128
                .checked_pow(f.abs_diff(e))
                .and_then(|scale| b.checked_mul(scale));
            // A divisor too large for 128 bits is larger than any coefficient.
            return scale.is_some_and(|scaled| a.is_multiple_of(scaled));
        }
        let mut rest = a % b;
        for _ in f..e {
            rest = rest * 10 % b;
        }
        rest == 0
    }

    /// Zero of either sign.
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Finite { coefficient: 0, .. })
    }

    /// Exact order; NaN is least and equals itself.
    pub fn compare(self, other: Self) -> Ordering {
        self.class()
            .cmp(&other.class())
            .then_with(|| match self.class() {
                CLASS_NEGATIVE => other.magnitude_key().cmp(&self.magnitude_key()),
                CLASS_POSITIVE => self.magnitude_key().cmp(&other.magnitude_key()),
                _ => Ordering::Equal,
            })
    }

    /// Exact order against a double.
    pub fn compare_f64(self, other: f64) -> Ordering {
        let nearest = self.to_f64();
        if nearest.is_nan() || other.is_nan() {
            return other.is_nan().cmp(&nearest.is_nan());
        }
        // Rounding is monotonic, so only equality needs the exact digits.
        nearest.total_cmp_zero(other).then_with(|| {
            let Self::Finite {
                negative,
                coefficient,
                exponent,
            } = self
            else {
                return Ordering::Equal;
            };
            if !other.is_finite() {
                return if negative {
                    Ordering::Greater
                } else {
                    Ordering::Less
                };
            }
            let by_magnitude = if other == 0.0 || coefficient == 0 {
                coefficient.min(1).cmp(&u128::from(other != 0.0))
            } else {
                let digits = coefficient.to_string();
                let adjusted = exponent + digits.len() as i32 - 1;
                // No double has more than 767 significant digits.
                let (exact, exact_exponent) = scientific_digits(&format!("{:.770e}", other.abs()));
                adjusted.cmp(&exact_exponent).then_with(|| {
                    digits
                        .trim_end_matches('0')
                        .cmp(exact.trim_end_matches('0'))
                })
            };
            if negative {
                by_magnitude.reverse()
            } else {
                by_magnitude
            }
        })
    }

    /// `(adjusted exponent, coefficient scaled to 34 digits)`: orders non-zero magnitudes.
    pub(super) fn magnitude_key(self) -> (i32, u128) {
        let Self::Finite {
            coefficient,
            exponent,
            ..
        } = self
        else {
            return (i32::MAX, 0);
        };
        let digits = digit_count(coefficient);
        (
            exponent + digits as i32 - 1,
            coefficient * 10_u128.pow(MAX_DIGITS - digits),
        )
    }

    fn class(self) -> u8 {
        match self {
            Self::NaN => 0,
            Self::Infinity { negative: true } => 1,
            Self::Finite { coefficient: 0, .. } => CLASS_ZERO,
            Self::Finite { negative: true, .. } => CLASS_NEGATIVE,
            Self::Finite {
                negative: false, ..
            } => CLASS_POSITIVE,
            Self::Infinity { negative: false } => 5,
        }
    }

    /// The sum, rounded half to even at 34 digits.
    pub fn plus(self, other: Self) -> Self {
        let (a, b) = match (self, other) {
            (Self::NaN, _) | (_, Self::NaN) => return Self::NaN,
            (Self::Infinity { negative: a }, Self::Infinity { negative: b }) => {
                return if a == b { self } else { Self::NaN };
            }
            (Self::Infinity { .. }, _) => return self,
            (_, Self::Infinity { .. }) => return other,
            (
                Self::Finite {
                    negative: n1,
                    coefficient: c1,
                    exponent: e1,
                },
                Self::Finite {
                    negative: n2,
                    coefficient: c2,
                    exponent: e2,
                },
            ) => ((n1, c1, e1), (n2, c2, e2)),
        };
        let (high, low) = if a.2 >= b.2 { (a, b) } else { (b, a) };
        if high.1 == 0 {
            let negative = if low.1 == 0 { low.0 && high.0 } else { low.0 };
            return Self::Finite {
                negative,
                coefficient: low.1,
                exponent: low.2,
            };
        }
        // Beyond 72 digits apart the smaller one only decides the rounding: one sticky digit does.
        let gap = (high.2 - low.2) as usize;
        let (low_coefficient, low_exponent) = if gap > 72 {
            (u128::from(low.1 != 0), high.2 - 72)
        } else {
            (low.1, low.2)
        };
        let shift = (high.2 - low_exponent) as usize;
        let mut big = Digits::from_u128(high.1);
        big.shift_left(shift);
        let small = Digits::from_u128(low_coefficient);
        if high.0 == low.0 {
            big.add(&small);
            return big.round(high.0, low_exponent);
        }
        match big.compare(&small) {
            Ordering::Equal => Self::Finite {
                negative: false,
                coefficient: 0,
                exponent: low_exponent.clamp(MIN_EXPONENT, MAX_EXPONENT),
            },
            Ordering::Greater => {
                big.sub(&small);
                big.round(high.0, low_exponent)
            }
            Ordering::Less => {
                let mut small = small;
                small.sub(&big);
                small.round(low.0, low_exponent)
            }
        }
    }

    /// The product, rounded half to even at 34 digits.
    pub fn times(self, other: Self) -> Self {
        let negative = self.is_negative() != other.is_negative();
        match (self, other) {
            (Self::NaN, _) | (_, Self::NaN) => Self::NaN,
            (Self::Infinity { .. }, finite) | (finite, Self::Infinity { .. }) => {
                if finite.is_zero() {
                    Self::NaN
                } else {
                    Self::Infinity { negative }
                }
            }
            (
                Self::Finite {
                    coefficient: c1,
                    exponent: e1,
                    ..
                },
                Self::Finite {
                    coefficient: c2,
                    exponent: e2,
                    ..
                },
            ) => Digits::product(c1, c2).round(negative, e1 + e2),
        }
    }

    fn is_negative(self) -> bool {
        match self {
            Self::NaN => false,
            Self::Infinity { negative } | Self::Finite { negative, .. } => negative,
        }
    }
}

const CLASS_NEGATIVE: u8 = 2;
const CLASS_ZERO: u8 = 3;
const CLASS_POSITIVE: u8 = 4;

trait ZeroOrder {
    fn total_cmp_zero(self, other: f64) -> Ordering;
}

impl ZeroOrder for f64 {
    /// Neither side is NaN; zeros of either sign are equal.
    fn total_cmp_zero(self, other: f64) -> Ordering {
        self.partial_cmp(&other).unwrap_or(Ordering::Equal)
    }
}

fn digit_count(coefficient: u128) -> u32 {
    coefficient.checked_ilog10().map_or(1, |log| log + 1)
}

/// The digits and the exponent of the first digit in `d.ddde±x`.
fn scientific_digits(text: &str) -> (String, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    (mantissa.replace('.', ""), exponent.parse().unwrap_or(0))
}
