//! Arithmetic operators. Whole numbers stay whole while they fit; dates take milliseconds.

use bson::{Bson, DateTime};
use dec::Rounding;

use super::{
    decimal,
    node::Arguments,
    number::{Number, Sum, narrow},
};
use crate::{bail, error::Result};

type Answer = Result<Option<Bson>>;

pub(super) fn null() -> Answer {
    Ok(Some(Bson::Null))
}

pub(super) fn number(value: Number) -> Answer {
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
pub(super) fn single(arguments: &Arguments<'_>) -> Result<Option<Number>> {
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
