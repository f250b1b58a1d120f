//! `$type`, `$convert` and its shorthands.

use bson::{Bson, DateTime, oid::ObjectId};
use dec::Rounding;

use super::{
    date_parse, decimal, is_truthy, node::Arguments, number::Number, types, zone::iso_text,
};
use crate::{
    bail,
    error::{Code, CommandError, Result},
};

type Answer = Result<Option<Bson>>;

/// What `$convert` can convert to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Double,
    String,
    ObjectId,
    Bool,
    Date,
    Int,
    Long,
    Decimal,
    Uuid,
}

impl Target {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "double" => Self::Double,
            "string" => Self::String,
            "objectId" => Self::ObjectId,
            "bool" => Self::Bool,
            "date" => Self::Date,
            "int" => Self::Int,
            "long" => Self::Long,
            "decimal" => Self::Decimal,
            _ => return None,
        })
    }

    /// Reads `to`: a type's alias or number.
    pub(super) fn from_bson(to: &Bson) -> Result<Self> {
        let name = match to {
            Bson::String(name) => name.as_str(),
            Bson::Document(_) => {
                bail!(
                    CommandNotSupported,
                    "$convert's 'to' as an object is not supported"
                )
            }
            other => match Number::from_bson(other).and_then(Number::to_whole) {
                Some(1) => "double",
                Some(2) => "string",
                Some(7) => "objectId",
                Some(8) => "bool",
                Some(9) => "date",
                Some(16) => "int",
                Some(18) => "long",
                Some(19) => "decimal",
                Some(n) => bail!(BadValue, "$convert to type number {n} is not supported"),
                None => bail!(
                    FailedToParse,
                    "$convert's 'to' argument must be a string or number, but is {}",
                    types::name(Some(other))
                ),
            },
        };
        match Self::from_name(name) {
            Some(target) => Ok(target),
            None => bail!(BadValue, "Unknown type name: {name}"),
        }
    }
}

pub(super) fn type_of(arguments: Arguments<'_>) -> Answer {
    Ok(Some(Bson::String(types::name(arguments.get(0)).to_owned())))
}

pub(super) fn is_number(arguments: Arguments<'_>) -> Answer {
    Ok(Some(Bson::Boolean(
        arguments.get(0).is_some_and(types::is_number),
    )))
}

/// `$toInt` and its like.
pub(super) fn shorthand(arguments: Arguments<'_>) -> Answer {
    if arguments.nullish(0) {
        return Ok(Some(Bson::Null));
    }
    let target = match arguments.name {
        "$toInt" => Target::Int,
        "$toLong" => Target::Long,
        "$toDouble" => Target::Double,
        "$toDecimal" => Target::Decimal,
        "$toString" => Target::String,
        "$toBool" => Target::Bool,
        "$toDate" => Target::Date,
        "$toObjectId" => Target::ObjectId,
        _ => Target::Uuid,
    };
    convert(&arguments[0], target).map(Some)
}

fn unsupported(value: &Bson, target: &str) -> CommandError {
    CommandError::new(
        Code::ConversionFailure,
        format!(
            "Unsupported conversion from {} to {target} in $convert with no onError value",
            types::name(Some(value))
        ),
    )
}

fn failed(message: String) -> CommandError {
    CommandError::new(
        Code::ConversionFailure,
        format!("{message} in $convert with no onError value"),
    )
}

/// Converts; the error is the one MongoDB gives without `onError`.
pub(super) fn convert(value: &Bson, target: Target) -> Result<Bson> {
    match target {
        Target::Int => {
            let whole = to_whole(value, "int")?;
            i32::try_from(whole).map(Bson::Int32).map_err(|_| {
                failed(format!(
                    "Conversion would overflow target type {whole} to int"
                ))
            })
        }
        Target::Long => to_whole(value, "long").map(Bson::Int64),
        Target::Double => to_double(value),
        Target::Decimal => to_decimal(value),
        Target::String => match value {
            Bson::String(_) => Ok(value.clone()),
            _ => to_text(value).map(Bson::String),
        },
        Target::Bool => Ok(Bson::Boolean(is_truthy(Some(value)))),
        Target::Date => to_date(value),
        Target::ObjectId => match value {
            Bson::ObjectId(_) => Ok(value.clone()),
            Bson::String(text) => ObjectId::parse_str(text)
                .map(Bson::ObjectId)
                .map_err(|_| failed(format!("Failed to parse objectId '{text}'"))),
            _ => Err(unsupported(value, "objectId")),
        },
        Target::Uuid => match value {
            Bson::Binary(_) => Ok(value.clone()),
            Bson::String(text) if text.len() == 36 => bson::Uuid::parse_str(text)
                .map(|uuid| Bson::Binary(uuid.into()))
                .map_err(|_| failed(format!("Failed to parse BinData '{text}'"))),
            Bson::String(text) => Err(failed(format!("Input string '{text}' is not a valid UUID"))),
            _ => Err(unsupported(value, "binData")),
        },
    }
}

fn to_whole(value: &Bson, target: &str) -> Result<i64> {
    match value {
        Bson::Int32(n) => Ok(i64::from(*n)),
        Bson::Int64(n) => Ok(*n),
        Bson::Boolean(b) => Ok(i64::from(*b)),
        Bson::DateTime(when) if target == "long" => Ok(when.timestamp_millis()),
        Bson::Double(n) => {
            if !n.is_finite() {
                let what = if n.is_nan() { "NaN" } else { "infinity" };
                return Err(failed(format!(
                    "Attempt to convert {what} value to integer type"
                )));
            }
            match Number::Double(n.trunc()).to_whole() {
                Some(whole) => Ok(whole),
                None => Err(failed(format!(
                    "Conversion would overflow target type {n} to {target}"
                ))),
            }
        }
        Bson::Decimal128(n) => {
            let number = decimal::from_bson(n);
            if !number.is_finite() {
                let what = if number.is_nan() { "NaN" } else { "infinity" };
                return Err(failed(format!(
                    "Attempt to convert {what} value to integer type"
                )));
            }
            decimal::to_i64_truncated(number).ok_or_else(|| {
                failed(format!(
                    "Conversion would overflow target type {n} to {target}"
                ))
            })
        }
        Bson::String(text) => {
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            text.parse::<i64>()
                .ok()
                .filter(|_| plain)
                .ok_or_else(|| failed(format!("Failed to parse number '{text}'")))
        }
        _ => Err(unsupported(value, target)),
    }
}

fn to_double(value: &Bson) -> Result<Bson> {
    match value {
        Bson::Boolean(b) => Ok(Bson::Double(f64::from(*b))),
        Bson::DateTime(when) => Ok(Bson::Double(when.timestamp_millis() as f64)),
        Bson::String(text) => {
            let starts = text.starts_with(|c: char| c.is_ascii_digit() || "+-.nNiI".contains(c));
            text.parse()
                .ok()
                .filter(|_| starts)
                .map(Bson::Double)
                .ok_or_else(|| failed(format!("Failed to parse number '{text}'")))
        }
        Bson::Decimal128(n) => {
            let number = decimal::from_bson(n);
            let double = decimal::to_f64(number);
            if number.is_finite() && !double.is_finite() {
                return Err(failed(format!(
                    "Conversion would overflow target type {n} to double"
                )));
            }
            Ok(Bson::Double(double))
        }
        _ => Number::from_bson(value)
            .map(|n| Bson::Double(n.to_f64()))
            .ok_or_else(|| unsupported(value, "double")),
    }
}

fn to_decimal(value: &Bson) -> Result<Bson> {
    let number = match value {
        Bson::Boolean(b) => decimal::from_i64(i64::from(*b)),
        Bson::DateTime(when) => decimal::from_i64(when.timestamp_millis()),
        Bson::String(text) => decimal::parse(text)
            .filter(|_| !text.is_empty() && !text.contains(char::is_whitespace))
            .ok_or_else(|| failed(format!("Failed to parse number '{text}'")))?,
        _ => match Number::from_bson(value) {
            Some(number) => number.to_decimal(),
            None => return Err(unsupported(value, "decimal")),
        },
    };
    Ok(Bson::Decimal128(decimal::to_bson(number)))
}

fn to_date(value: &Bson) -> Result<Bson> {
    let millis = match value {
        Bson::DateTime(_) => return Ok(value.clone()),
        Bson::Int64(n) => *n,
        Bson::Double(n) => Number::Double(n.trunc())
            .to_whole()
            .ok_or_else(|| failed(format!("Conversion would overflow target type {n} to date")))?,
        Bson::Decimal128(n) => decimal::to_i64_truncated(decimal::round_to_place(
            decimal::from_bson(n),
            0,
            Rounding::Down,
        ))
        .ok_or_else(|| failed(format!("Conversion would overflow target type {n} to date")))?,
        Bson::Timestamp(when) => i64::from(when.time) * 1000,
        Bson::ObjectId(id) => id.timestamp().timestamp_millis(),
        Bson::String(text) => date_parse::parse(text, None)?,
        _ => return Err(unsupported(value, "date")),
    };
    Ok(Bson::DateTime(DateTime::from_millis(millis)))
}

/// The text of a value as `$toString` writes it.
pub(super) fn to_text(value: &Bson) -> Result<String> {
    Ok(match value {
        Bson::String(text) | Bson::Symbol(text) => text.clone(),
        Bson::Int32(n) => n.to_string(),
        Bson::Int64(n) => n.to_string(),
        Bson::Double(n) => double_text(*n),
        Bson::Decimal128(n) => decimal_text(n),
        Bson::Boolean(b) => b.to_string(),
        Bson::ObjectId(id) => id.to_hex(),
        Bson::DateTime(when) => iso_text(when.timestamp_millis())?,
        Bson::Binary(binary) if binary.subtype == bson::spec::BinarySubtype::Uuid => {
            match binary.to_uuid() {
                Ok(uuid) => uuid.to_string(),
                Err(_) => return Err(unsupported(value, "string")),
            }
        }
        _ => return Err(unsupported(value, "string")),
    })
}

/// The shortest text that reads back as the same double; exponents as C writes them.
fn double_text(n: f64) -> String {
    if n.is_nan() {
        return "NaN".to_owned();
    }
    if n.is_infinite() {
        return if n > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = n.abs();
    if n != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{n:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        };
    }
    n.to_string()
}

fn decimal_text(n: &bson::Decimal128) -> String {
    let number = decimal::from_bson(n);
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number.is_signed() {
            "-Infinity"
        } else {
            "Infinity"
        }
        .to_owned()
    } else {
        number.to_string()
    }
}
