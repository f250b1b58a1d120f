//! Arithmetic operators. Whole numbers stay whole while they fit; dates take milliseconds.

use bson::{Bson, DateTime};
use dec::Rounding;

use super::{
    decimal,
    node::Arguments,
    number::{Number, Sum, narrow},
};
use crate::{
    bail,
    error::{CommandError, Result},
};

type Answer = Result<Option<Bson>>;

fn null() -> Answer {
    Ok(Some(Bson::Null))
}

fn number(value: Number) -> Answer {
    Ok(Some(value.to_bson()))
}

/// Milliseconds that a number adds to a date: fractions are rounded, half away from zero.
fn millis(number: Number) -> Option<i64> {
    match number {
        Number::Int(n) => Some(i64::from(n)),
        Number::Long(n) => Some(n),
        Number::Double(n) => {
            let rounded = n.round();
            (rounded.abs() < 9_223_372_036_854_775_808.0).then_some(rounded as i64)
        }
        Number::Decimal(n) => {
            decimal::to_i64_truncated(decimal::round_to_place(n, 0, Rounding::HalfEven))
        }
    }
}

pub(super) fn add(arguments: Arguments<'_>) -> Answer {
    let mut date: Option<i64> = None;
    let mut sum = Sum::default();
    let mut shift: i64 = 0;
    let mut overflow = false;
    for index in 0..arguments.len() {
        match &arguments[index] {
            Bson::Null | Bson::Undefined => return null(),
            Bson::DateTime(when) => {
                if date.is_some() {
                    return arguments.fail(16612, "only one date allowed in an $add expression");
                }
                date = Some(when.timestamp_millis());
            }
            value => match Number::from_bson(value) {
                Some(value) => {
                    sum.add(value);
                    match millis(value).and_then(|more| shift.checked_add(more)) {
                        Some(total) => shift = total,
                        None => overflow = true,
                    }
                }
                None => bail!(
                    TypeMismatch,
                    "$add only supports numeric or date types, not {}",
                    arguments.type_name(index)
                ),
            },
        }
    }
    match date {
        None => number(sum.total()),
        Some(date) => match date.checked_add(shift).filter(|_| !overflow) {
            Some(total) => Ok(Some(Bson::DateTime(DateTime::from_millis(total)))),
            None => bail!(Overflow, "date overflow in $add"),
        },
    }
}

pub(super) fn subtract(arguments: Arguments<'_>) -> Answer {
    if arguments.any_nullish() {
        return null();
    }
    let (a, b) = (&arguments[0], &arguments[1]);
    if let (Some(a), Some(b)) = (Number::from_bson(a), Number::from_bson(b)) {
        return number(a.subtract(b));
    }
    if let Bson::DateTime(from) = a {
        let from = from.timestamp_millis();
        if let Bson::DateTime(other) = b {
            return match from.checked_sub(other.timestamp_millis()) {
                Some(difference) => Ok(Some(Bson::Int64(difference))),
                None => bail!(Overflow, "date overflow in $subtract"),
            };
        }
        if let Some(amount) = Number::from_bson(b) {
            return match millis(amount).and_then(|amount| from.checked_sub(amount)) {
                Some(total) => Ok(Some(Bson::DateTime(DateTime::from_millis(total)))),
                None => bail!(Overflow, "date overflow in $subtract"),
            };
        }
    }
    bail!(
        TypeMismatch,
        "can't $subtract {} from {}",
        arguments.type_name(1),
        arguments.type_name(0)
    )
}

pub(super) fn multiply(arguments: Arguments<'_>) -> Answer {
    let mut product = Number::Int(1);
    for index in 0..arguments.len() {
        if arguments.nullish(index) {
            return null();
        }
        match Number::from_bson(&arguments[index]) {
            Some(factor) => product = product.multiply(factor),
            None => bail!(
                TypeMismatch,
                "$multiply only supports numeric types, not {}",
                arguments.type_name(index)
            ),
        }
    }
    number(product)
}

pub(super) fn divide(arguments: Arguments<'_>) -> Answer {
    if arguments.any_nullish() {
        return null();
    }
    match (
        Number::from_bson(&arguments[0]),
        Number::from_bson(&arguments[1]),
    ) {
        (Some(a), Some(b)) => match a.divide(b) {
            Some(quotient) => number(quotient),
            None => bail!(BadValue, "can't $divide by zero"),
        },
        _ => bail!(
            TypeMismatch,
            "$divide only supports numeric types, not {} and {}",
            arguments.type_name(0),
            arguments.type_name(1)
        ),
    }
}

pub(super) fn modulo(arguments: Arguments<'_>) -> Answer {
    if arguments.any_nullish() {
        return null();
    }
    match (
        Number::from_bson(&arguments[0]),
        Number::from_bson(&arguments[1]),
    ) {
        (Some(a), Some(b)) => match a.remainder(b) {
            Some(remainder) => number(remainder),
            None => arguments.fail(16610, "can't $mod by zero"),
        },
        _ => arguments.fail(
            16611,
            format!(
                "$mod only supports numeric types, not {} and {}",
                arguments.type_name(0),
                arguments.type_name(1)
            ),
        ),
    }
}

/// The single numeric argument; `None` where it is null.
fn single(arguments: &Arguments<'_>) -> Result<Option<Number>> {
    if arguments.nullish(0) {
        return Ok(None);
    }
    match Number::from_bson(&arguments[0]) {
        Some(number) => Ok(Some(number)),
        None => arguments.fail(
            28765,
            format!(
                "{} only supports numeric types, not {}",
                arguments.name,
                arguments.type_name(0)
            ),
        ),
    }
}

pub(super) fn abs(arguments: Arguments<'_>) -> Answer {
    let Some(value) = single(&arguments)? else {
        return null();
    };
    number(match value {
        Number::Int(n) => narrow(i64::from(n).abs(), true),
        Number::Long(n) => match n.checked_abs() {
            Some(n) => Number::Long(n),
            None => return arguments.fail(28680, "can't take $abs of long long min"),
        },
        Number::Double(n) => Number::Double(n.abs()),
        Number::Decimal(n) => Number::Decimal(dec::Context::<dec::Decimal128>::default().abs(n)),
    })
}

pub(super) fn ceil(arguments: Arguments<'_>) -> Answer {
    to_whole(&arguments, f64::ceil, Rounding::Ceiling)
}

pub(super) fn floor(arguments: Arguments<'_>) -> Answer {
    to_whole(&arguments, f64::floor, Rounding::Floor)
}

fn to_whole(arguments: &Arguments<'_>, double: fn(f64) -> f64, rounding: Rounding) -> Answer {
    let Some(value) = single(arguments)? else {
        return null();
    };
    number(match value {
        Number::Double(n) => Number::Double(double(n)),
        Number::Decimal(n) => Number::Decimal(decimal::round_to_place(n, 0, rounding)),
        whole => whole,
    })
}

pub(super) fn round(arguments: Arguments<'_>) -> Answer {
    round_by(arguments, Rounding::HalfEven)
}

pub(super) fn trunc(arguments: Arguments<'_>) -> Answer {
    round_by(arguments, Rounding::Down)
}

fn round_by(arguments: Arguments<'_>, rounding: Rounding) -> Answer {
    let name = arguments.name;
    if arguments.nullish(0) || (arguments.len() > 1 && arguments.nullish(1)) {
        return null();
    }
    let Some(value) = Number::from_bson(&arguments[0]) else {
        return arguments.fail(
            51081,
            format!(
                "{name} only supports numeric types, not {}",
                arguments.type_name(0)
            ),
        );
    };
    let place = if arguments.len() > 1 {
        let Some(place) = Number::from_bson(&arguments[1]).and_then(Number::to_whole) else {
            return arguments.fail(
                51082,
                format!("precision argument to  {name} must be a integral value"),
            );
        };
        if !(-20..=100).contains(&place) {
            return arguments.fail(
                51083,
                format!(
                    "cannot apply {name} with precision value {place} value must be in [-20, 100]"
                ),
            );
        }
        place as i32
    } else {
        0
    };
    number(match value {
        Number::Int(n) => match round_whole(i64::from(n), place, rounding) {
            Some(n) => narrow(n, true),
            None => return arguments.fail(51080, format!("invalid conversion from Decimal128 result in {name} resulting from arguments: [{n}, {place}]")),
        },
        Number::Long(n) => match round_whole(n, place, rounding) {
            Some(n) => Number::Long(n),
            None => return arguments.fail(51080, format!("invalid conversion from Decimal128 result in {name} resulting from arguments: [{n}, {place}]")),
        },
        Number::Double(n) if place == 0 => Number::Double(match rounding {
            Rounding::Down => n.trunc(),
            _ => n.round_ties_even(),
        }),
        Number::Double(n) if !n.is_finite() => Number::Double(n),
        Number::Double(n) => {
            let exact = decimal::from_f64_exact(n);
            Number::Double(decimal::to_f64(decimal::round_to_place(exact, place, rounding)))
        }
        Number::Decimal(n) => Number::Decimal(decimal::round_to_place(n, place, rounding)),
    })
}

/// Rounds before the decimal point; `None` where the result does not fit.
fn round_whole(n: i64, place: i32, rounding: Rounding) -> Option<i64> {
    if place >= 0 {
        return Some(n);
    }
    let unit = 10_i128.pow(place.unsigned_abs());
    let n = i128::from(n);
    let down = n / unit * unit;
    let rest = (n - down).abs() * 2;
    let up = match rounding {
        Rounding::Down => false,
        _ => rest > unit || (rest == unit && (down / unit) % 2 != 0),
    };
    let rounded = if up { down + unit * n.signum() } else { down };
    i64::try_from(rounded).ok()
}

pub(super) fn sqrt(arguments: Arguments<'_>) -> Answer {
    let Some(value) = single(&arguments)? else {
        return null();
    };
    if value.to_f64() < 0.0 {
        return arguments.fail(28714, "$sqrt's argument must be greater than or equal to 0");
    }
    number(match value {
        Number::Decimal(n) => Number::Decimal(decimal::sqrt(n)),
        n => Number::Double(n.to_f64().sqrt()),
    })
}

pub(super) fn exp(arguments: Arguments<'_>) -> Answer {
    let Some(value) = single(&arguments)? else {
        return null();
    };
    number(match value {
        Number::Decimal(n) => Number::Decimal(decimal::exp(n)),
        n => Number::Double(n.to_f64().exp()),
    })
}

pub(super) fn ln(arguments: Arguments<'_>) -> Answer {
    logarithm(&arguments, 28766, f64::ln, decimal::ln)
}

pub(super) fn log10(arguments: Arguments<'_>) -> Answer {
    logarithm(&arguments, 28761, f64::log10, decimal::log10)
}

fn logarithm(
    arguments: &Arguments<'_>,
    code: i32,
    double: fn(f64) -> f64,
    decimal: fn(dec::Decimal128) -> dec::Decimal128,
) -> Answer {
    let Some(value) = single(arguments)? else {
        return null();
    };
    if value.to_f64() <= 0.0 {
        return arguments.fail(
            code,
            format!(
                "{}'s argument must be a positive number, but is {}",
                arguments.name, arguments[0]
            ),
        );
    }
    number(match value {
        Number::Decimal(n) => Number::Decimal(decimal(n)),
        n => Number::Double(double(n.to_f64())),
    })
}

pub(super) fn log(arguments: Arguments<'_>) -> Answer {
    if arguments.any_nullish() {
        return null();
    }
    let Some(value) = Number::from_bson(&arguments[0]) else {
        return arguments.fail(
            28756,
            format!(
                "$log's argument must be numeric, not {}",
                arguments.type_name(0)
            ),
        );
    };
    let Some(base) = Number::from_bson(&arguments[1]) else {
        return arguments.fail(
            28757,
            format!(
                "$log's base must be numeric, not {}",
                arguments.type_name(1)
            ),
        );
    };
    if value.to_f64() <= 0.0 {
        return arguments.fail(
            28758,
            format!(
                "$log's argument must be a positive number, but is {}",
                arguments[0]
            ),
        );
    }
    if base.to_f64() <= 0.0 || base.to_f64() == 1.0 {
        return arguments.fail(
            28759,
            format!(
                "$log's base must be a positive number not equal to 1, but is {}",
                arguments[1]
            ),
        );
    }
    number(match (value, base) {
        (Number::Decimal(_), _) | (_, Number::Decimal(_)) => {
            Number::Decimal(decimal::ln(value.to_decimal()) / decimal::ln(base.to_decimal()))
        }
        _ => Number::Double(value.to_f64().ln() / base.to_f64().ln()),
    })
}

pub(super) fn pow(arguments: Arguments<'_>) -> Answer {
    if arguments.any_nullish() {
        return null();
    }
    let Some(base) = Number::from_bson(&arguments[0]) else {
        return arguments.fail(
            28762,
            format!(
                "$pow's base must be numeric, not {}",
                arguments.type_name(0)
            ),
        );
    };
    let Some(exponent) = Number::from_bson(&arguments[1]) else {
        return arguments.fail(
            28763,
            format!(
                "$pow's exponent must be numeric, not {}",
                arguments.type_name(1)
            ),
        );
    };
    if base.to_f64() == 0.0 && exponent.to_f64() < 0.0 {
        return arguments.fail(
            28764,
            "$pow cannot take a base of 0 and a negative exponent",
        );
    }
    number(match (base, exponent) {
        (Number::Decimal(_), _) | (_, Number::Decimal(_)) => {
            Number::Decimal(decimal::pow(base.to_decimal(), exponent.to_decimal()))
        }
        (Number::Double(_), _) | (_, Number::Double(_)) => {
            Number::Double(base.to_f64().powf(exponent.to_f64()))
        }
        _ => {
            let ints = matches!((base, exponent), (Number::Int(_), Number::Int(_)));
            match (base.to_whole(), exponent.to_whole()) {
                (Some(base), Some(exponent)) => whole_power(base, exponent, ints),
                _ => Number::Double(base.to_f64().powf(exponent.to_f64())),
            }
        }
    })
}

fn whole_power(base: i64, exponent: i64, ints: bool) -> Number {
    let exact = match (base, exponent) {
        (1, _) => Some(1),
        (-1, n) => Some(if n % 2 == 0 { 1 } else { -1 }),
        (0, 0) => Some(1),
        (0, _) => Some(0),
        (base, n) => u32::try_from(n).ok().and_then(|n| base.checked_pow(n)),
    };
    match exact {
        Some(n) => narrow(n, ints),
        None => Number::Double((base as f64).powf(exponent as f64)),
    }
}

pub(super) fn trigonometric(arguments: Arguments<'_>) -> Answer {
    let Some(value) = single(&arguments)? else {
        return null();
    };
    if matches!(value, Number::Decimal(_)) {
        bail!(
            CommandNotSupported,
            "{} of a Decimal128 is not supported",
            arguments.name
        );
    }
    let x = value.to_f64();
    let bounds = match arguments.name {
        "$acos" | "$asin" => Some((-1.0, 1.0)),
        "$atanh" => Some((-1.0, 1.0)),
        "$acosh" => Some((1.0, f64::INFINITY)),
        "$sin" | "$cos" | "$tan" if x.is_infinite() => Some((f64::MIN, f64::MAX)),
        _ => None,
    };
    if let Some((least, most)) = bounds
        && !x.is_nan()
        && !(least..=most).contains(&x)
    {
        return arguments.fail(
            50989,
            format!(
                "cannot apply {} to {x}, value must be in [{least},{most}]",
                arguments.name
            ),
        );
    }
    let result = match arguments.name {
        "$sin" => x.sin(),
        "$cos" => x.cos(),
        "$tan" => x.tan(),
        "$asin" => x.asin(),
        "$acos" => x.acos(),
        "$atan" => x.atan(),
        "$sinh" => x.sinh(),
        "$cosh" => x.cosh(),
        "$tanh" => x.tanh(),
        "$asinh" => x.asinh(),
        "$acosh" => x.acosh(),
        "$atanh" => x.atanh(),
        "$degreesToRadians" => x.to_radians(),
        "$radiansToDegrees" => x.to_degrees(),
        other => bail!(InternalError, "{other} is no trigonometric operator"),
    };
    number(Number::Double(result))
}

pub(super) fn atan2(arguments: Arguments<'_>) -> Answer {
    if arguments.any_nullish() {
        return null();
    }
    match (
        Number::from_bson(&arguments[0]),
        Number::from_bson(&arguments[1]),
    ) {
        (Some(Number::Decimal(_)), Some(_)) | (Some(_), Some(Number::Decimal(_))) => {
            bail!(
                CommandNotSupported,
                "$atan2 of a Decimal128 is not supported"
            )
        }
        (Some(y), Some(x)) => number(Number::Double(y.to_f64().atan2(x.to_f64()))),
        _ => arguments.fail(
            51044,
            format!(
                "$atan2 only supports numeric types, not {} and {}",
                arguments.type_name(0),
                arguments.type_name(1)
            ),
        ),
    }
}

pub(super) fn bitwise(arguments: Arguments<'_>) -> Answer {
    let operation: fn(i64, i64) -> i64 = match arguments.name {
        "$bitAnd" => |a, b| a & b,
        "$bitOr" => |a, b| a | b,
        _ => |a, b| a ^ b,
    };
    let mut bits = if arguments.name == "$bitAnd" { -1 } else { 0 };
    let mut ints = true;
    for index in 0..arguments.len() {
        match &arguments[index] {
            Bson::Null | Bson::Undefined => return null(),
            Bson::Int32(n) => bits = operation(bits, i64::from(*n)),
            Bson::Int64(n) => {
                ints = false;
                bits = operation(bits, *n);
            }
            _ => return Err(not_whole(&arguments, index)),
        }
    }
    number(narrow(bits, ints))
}

pub(super) fn bit_not(arguments: Arguments<'_>) -> Answer {
    match &arguments[0] {
        Bson::Null | Bson::Undefined => null(),
        Bson::Int32(n) => Ok(Some(Bson::Int32(!n))),
        Bson::Int64(n) => Ok(Some(Bson::Int64(!n))),
        _ => Err(not_whole(&arguments, 0)),
    }
}

fn not_whole(arguments: &Arguments<'_>, index: usize) -> CommandError {
    CommandError::new(
        crate::error::Code::TypeMismatch,
        format!(
            "{} only supports int and long operands, not {}",
            arguments.name,
            arguments.type_name(index)
        ),
    )
}
