//! Roots, powers, logarithms, angles and bits.

use bson::Bson;

use super::{
    arithmetic::{null, number, single},
    decimal,
    node::Arguments,
    number::{Number, narrow},
};
use crate::{
    bail,
    error::{CommandError, Result},
};

type Answer = Result<Option<Bson>>;

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
