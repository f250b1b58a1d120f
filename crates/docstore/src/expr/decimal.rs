//! Decimal128 arithmetic with libdecnumber's type, which rounds as IEEE 754-2008 asks (34 digits, half
//! to even) and has roots, powers and logarithms.

use dec::{Context, Decimal, Decimal128 as Dec, Rounding};

use crate::value::Decimal as Encoded;

/// Digits of a Decimal128.
const PRECISION: usize = 34;

/// Wide enough for 34 digits, with guard digits for intermediate results.
type Wide = Decimal<13>;

/// Reads BSON's encoding.
pub fn from_bson(value: &bson::Decimal128) -> Dec {
    let signed = |negative: bool, number: Dec| if negative { -number } else { number };
    match Encoded::from_bson(value) {
        Encoded::NaN => Dec::NAN,
        Encoded::Infinity { negative } => signed(negative, infinity()),
        Encoded::Finite {
            negative,
            coefficient,
            exponent,
        } => {
            let sign = if negative { "-" } else { "" };
            parse(&format!("{sign}{coefficient}E{exponent}")).unwrap_or(Dec::NAN)
        }
    }
}

/// Writes BSON's encoding.
pub fn to_bson(value: Dec) -> bson::Decimal128 {
    let negative = value.is_signed();
    let encoded = if value.is_nan() {
        Encoded::NaN
    } else if value.is_infinite() {
        Encoded::Infinity { negative }
    } else {
        Encoded::Finite {
            negative,
            coefficient: value.coefficient().unsigned_abs(),
            exponent: value.exponent(),
        }
    };
    encoded.to_bson()
}

/// Parses decimal text, rounding to 34 digits; `None` where it is not a number.
pub fn parse(text: &str) -> Option<Dec> {
    Context::<Dec>::default().parse(text).ok()
}

/// Positive infinity.
pub fn infinity() -> Dec {
    parse("Infinity").unwrap_or(Dec::NAN)
}

/// A double as MongoDB converts it: rounded to 15 significant digits.
pub fn from_f64(value: f64) -> Dec {
    if value.is_nan() {
        Dec::NAN
    } else if value.is_infinite() {
        if value > 0.0 { infinity() } else { -infinity() }
    } else if value == 0.0 {
        Dec::ZERO
    } else {
        parse(&format!("{value:.14e}")).unwrap_or(Dec::NAN)
    }
}

/// The exact value of a double, to 34 digits.
pub fn from_f64_exact(value: f64) -> Dec {
    if value.is_finite() {
        parse(&format!("{value:.60e}")).unwrap_or(Dec::NAN)
    } else {
        from_f64(value)
    }
}

/// A whole number; 64 bits always fit.
pub fn from_i64(value: i64) -> Dec {
    Dec::from(value)
}

/// The nearest double.
pub fn to_f64(value: Dec) -> f64 {
    if value.is_nan() {
        return f64::NAN;
    }
    if value.is_infinite() {
        return if value.is_signed() {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    value.to_string().parse().unwrap_or(f64::NAN)
}

/// The whole number that `value` truncates to, where it is within 64 bits.
pub fn to_i64_truncated(value: Dec) -> Option<i64> {
    if !value.is_finite() {
        return None;
    }
    let whole = round_to_place(value, 0, Rounding::Down);
    let coefficient = whole.coefficient();
    let exponent = whole.exponent();
    if exponent > 0 {
        let scale = 10_i128.checked_pow(u32::try_from(exponent).ok()?)?;
        i64::try_from(coefficient.checked_mul(scale)?).ok()
    } else {
        i64::try_from(coefficient).ok()
    }
}

/// Whether there is no fraction.
pub fn is_whole(value: Dec) -> bool {
    value.is_finite() && round_to_place(value, 0, Rounding::Down) == value
}

/// Rounds to `places` digits after the point (negative: before it).
pub fn round_to_place(value: Dec, places: i32, rounding: Rounding) -> Dec {
    if !value.is_finite() || value.exponent() >= -places {
        return value;
    }
    let mut context = Context::<Dec>::default();
    context.set_rounding(rounding);
    match parse(&format!("1E{}", -places)) {
        Some(unit) => context.quantize(value, unit),
        None => value,
    }
}

fn wide(operation: impl FnOnce(&mut Context<Wide>, &mut Wide), value: Dec) -> Dec {
    let mut context = Context::<Wide>::default();
    if context.set_precision(PRECISION).is_err() {
        return Dec::NAN;
    }
    let mut number = Wide::from(value);
    operation(&mut context, &mut number);
    number.to_decimal128()
}

/// The square root.
pub fn sqrt(value: Dec) -> Dec {
    wide(|context, number| context.sqrt(number), value)
}

/// e to the power of `value`.
pub fn exp(value: Dec) -> Dec {
    wide(|context, number| context.exp(number), value)
}

/// The natural logarithm.
pub fn ln(value: Dec) -> Dec {
    wide(|context, number| context.ln(number), value)
}

/// The decimal logarithm.
pub fn log10(value: Dec) -> Dec {
    wide(|context, number| context.log10(number), value)
}

/// `base` to the power of `exponent`.
pub fn pow(base: Dec, exponent: Dec) -> Dec {
    let exponent = Wide::from(exponent);
    wide(|context, number| context.pow(number, &exponent), base)
}
