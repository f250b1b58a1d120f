//! Update operators: parsing of their arguments and what they make of a value.

use std::time::{SystemTime, UNIX_EPOCH};

use bson::{Bson, Document, Timestamp};

use crate::{
    bail,
    error::Result,
    update::array::{AddToSet, Pull, Push},
    value::{Number, compare, exact_i64, type_name},
};

/// One operator with its argument for one path.
#[derive(Debug, Clone)]
pub(super) enum Operator {
    Set(Bson),
    SetOnInsert(Bson),
    Unset,
    Inc(Bson),
    Mul(Bson),
    Min(Bson),
    Max(Bson),
    /// The new name; the path is the old one.
    Rename(String),
    CurrentDate {
        timestamp: bool,
    },
    Push(Push),
    AddToSet(AddToSet),
    Pull(Pull),
    /// -1 takes the first element, 1 the last.
    Pop {
        first: bool,
    },
    Bit(Vec<(BitOperator, Bson)>),
}

/// An operation of `$bit`.
#[derive(Debug, Clone, Copy)]
pub(super) enum BitOperator {
    And,
    Or,
    Xor,
}

/// What an operator makes of a value.
pub(super) enum Change {
    /// Nothing.
    Keep,
    /// This value stands there now.
    Write(Bson),
    /// Nothing stands there now.
    Remove,
}

/// What errors tell of the place.
pub(super) struct Site<'a> {
    /// The path.
    pub(super) path: &'a str,
    /// The document's `_id`.
    pub(super) id: Bson,
}

impl Operator {
    /// Parses one `path: argument` of operator `name`.
    pub(super) fn parse(name: &str, path: &str, argument: &Bson) -> Result<Self> {
        let number = |verb: &str| match Number::from_bson(argument) {
            Some(_) => Ok(argument.clone()),
            None => bail!(
                TypeMismatch,
                "Cannot {verb} with non-numeric argument: {{{path}: {argument}}}"
            ),
        };
        Ok(match name {
            "$set" => Self::Set(argument.clone()),
            "$setOnInsert" => Self::SetOnInsert(argument.clone()),
            "$unset" => Self::Unset,
            "$inc" => Self::Inc(number("increment")?),
            "$mul" => Self::Mul(number("multiply")?),
            "$min" => Self::Min(argument.clone()),
            "$max" => Self::Max(argument.clone()),
            "$rename" => match argument {
                Bson::String(to) => Self::Rename(to.clone()),
                _ => bail!(
                    BadValue,
                    "The 'to' field for $rename must be a string: {path}: {argument}"
                ),
            },
            "$currentDate" => Self::CurrentDate {
                timestamp: wants_timestamp(argument)?,
            },
            "$push" => Self::Push(Push::parse(argument)?),
            "$addToSet" => Self::AddToSet(AddToSet::parse(argument)?),
            "$pull" => Self::Pull(Pull::parse(argument)?),
            "$pullAll" => Self::Pull(Pull::parse_all(argument)?),
            "$pop" => Self::Pop {
                first: parse_pop(path, argument)?,
            },
            "$bit" => Self::Bit(parse_bit(argument)?),
            _ => bail!(
                FailedToParse,
                "Unknown modifier: {name}. Expected a valid update modifier or pipeline-style \
                 update specified as an array"
            ),
        })
    }

    /// Whether the operator leaves missing and unreachable paths alone rather than make them.
    pub(super) fn only_existing(&self) -> bool {
        matches!(self, Self::Unset | Self::Pull(_) | Self::Pop { .. })
    }

    /// What becomes of `old`, which is `None` where the path is missing.
    pub(super) fn change(&self, old: Option<&Bson>, site: &Site<'_>) -> Result<Change> {
        Ok(match self {
            Self::Set(value) | Self::SetOnInsert(value) => Change::Write(value.clone()),
            Self::Unset => match old {
                Some(_) => Change::Remove,
                None => Change::Keep,
            },
            Self::Inc(by) => Change::Write(calculate("$inc", old, by, site)?),
            Self::Mul(by) => Change::Write(calculate("$mul", old, by, site)?),
            Self::Min(value) => {
                keep_unless(old.is_none_or(|old| compare(value, old).is_lt()), value)
            }
            Self::Max(value) => {
                keep_unless(old.is_none_or(|old| compare(value, old).is_gt()), value)
            }
            Self::CurrentDate { timestamp } => Change::Write(now(*timestamp)),
            Self::Push(push) => push.change(old, site)?,
            Self::AddToSet(add) => add.change(old, site)?,
            Self::Pull(pull) => pull.change(old)?,
            Self::Pop { first } => pop(old, *first, site)?,
            Self::Bit(operations) => Change::Write(bit(operations, old, site)?),
            // Moves between two paths, which the caller does.
            Self::Rename(_) => Change::Keep,
        })
    }
}

fn keep_unless(better: bool, value: &Bson) -> Change {
    if better {
        Change::Write(value.clone())
    } else {
        Change::Keep
    }
}

fn wants_timestamp(argument: &Bson) -> Result<bool> {
    match argument {
        Bson::Boolean(_) => return Ok(false),
        Bson::Document(doc) => {
            if let Some(unknown) = doc.keys().find(|key| *key != "$type") {
                bail!(BadValue, "Unrecognized $currentDate option: {unknown}");
            }
            match doc.get("$type") {
                Some(Bson::String(name)) if name == "date" => return Ok(false),
                Some(Bson::String(name)) if name == "timestamp" => return Ok(true),
                _ => bail!(
                    BadValue,
                    "The '$type' string field is required to be 'date' or 'timestamp': \
                     {{$currentDate: {{field : {{$type: 'date'}}}}}}"
                ),
            }
        }
        _ => {}
    }
    bail!(
        BadValue,
        "{} is not valid type for $currentDate. Please use a boolean ('true') or a $type expression \
         ({{$type: 'timestamp/date'}}).",
        type_name(argument)
    )
}

fn now(timestamp: bool) -> Bson {
    if !timestamp {
        return Bson::DateTime(bson::DateTime::now());
    }
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Bson::Timestamp(Timestamp {
        time: since.as_secs() as u32,
        // Nanoseconds order the timestamps of one second.
        increment: since.subsec_nanos().max(1),
    })
}

fn calculate(name: &str, old: Option<&Bson>, by: &Bson, site: &Site<'_>) -> Result<Bson> {
    let Some(operand) = Number::from_bson(by) else {
        return Ok(by.clone());
    };
    let Some(old) = old else {
        if name == "$inc" {
            return Ok(by.clone());
        }
        return Ok(match operand {
            Number::Int(_) => Bson::Int32(0),
            Number::Long(_) => Bson::Int64(0),
            Number::Double(_) => Bson::Double(0.0),
            Number::Decimal(_) => Number::Decimal(crate::value::Decimal::ZERO).to_bson(),
        });
    };
    let Some(current) = Number::from_bson(old) else {
        bail!(
            TypeMismatch,
            "Cannot apply {name} to a value of non-numeric type. {{_id: {}}} has the field '{}' of \
             non-numeric type {}",
            site.id,
            site.path.rsplit('.').next().unwrap_or(site.path),
            type_name(old)
        )
    };
    let result = if name == "$inc" {
        current.checked_add(operand)
    } else {
        current.checked_mul(operand)
    };
    match result {
        Some(result) => Ok(result.to_bson()),
        None => bail!(
            BadValue,
            "Failed to apply {name} operations to current value ((NumberLong){old}) for document \
             {{_id: {}}}",
            site.id
        ),
    }
}

fn parse_pop(path: &str, argument: &Bson) -> Result<bool> {
    if Number::from_bson(argument).is_none() {
        bail!(FailedToParse, "Expected a number in: {path}: {argument}");
    }
    match exact_i64(argument) {
        Some(1) => Ok(false),
        Some(-1) => Ok(true),
        Some(other) => bail!(FailedToParse, "$pop expects 1 or -1, found: {other}"),
        None => bail!(FailedToParse, "Expected an integer: {path}: {argument}"),
    }
}

fn pop(old: Option<&Bson>, first: bool, site: &Site<'_>) -> Result<Change> {
    match old {
        None => Ok(Change::Keep),
        Some(Bson::Array(items)) if items.is_empty() => Ok(Change::Keep),
        Some(Bson::Array(items)) => {
            let rest = if first {
                &items[1..]
            } else {
                &items[..items.len() - 1]
            };
            Ok(Change::Write(Bson::Array(rest.to_vec())))
        }
        Some(other) => bail!(
            TypeMismatch,
            "Path '{}' contains an element of non-array type '{}'",
            site.path,
            type_name(other)
        ),
    }
}

fn parse_bit(argument: &Bson) -> Result<Vec<(BitOperator, Bson)>> {
    let Bson::Document(operations) = argument else {
        bail!(
            BadValue,
            "The $bit modifier is not compatible with a {}. You must pass in an embedded document: \
             {{$bit: {{field: {{and/or/xor: #}}}}",
            type_name(argument)
        )
    };
    if operations.is_empty() {
        bail!(
            BadValue,
            "You must pass in at least one bitwise operation. The format is: {{$bit: {{field: \
             {{and/or/xor: #}}}}"
        );
    }
    operations
        .iter()
        .map(|(name, operand)| parse_bit_operation(name, operand, operations))
        .collect()
}

fn parse_bit_operation(name: &str, operand: &Bson, all: &Document) -> Result<(BitOperator, Bson)> {
    let operator = match name {
        "and" => BitOperator::And,
        "or" => BitOperator::Or,
        "xor" => BitOperator::Xor,
        _ => bail!(
            BadValue,
            "The $bit modifier only supports 'and', 'or', and 'xor', not '{name}' which is an \
             unknown operator: {all}"
        ),
    };
    if !matches!(operand, Bson::Int32(_) | Bson::Int64(_)) {
        bail!(
            BadValue,
            "The $bit modifier field must be an Integer(32/64 bit); a '{}' is not supported here: \
             {all}",
            type_name(operand)
        );
    }
    Ok((operator, operand.clone()))
}

fn bit(operations: &[(BitOperator, Bson)], old: Option<&Bson>, site: &Site<'_>) -> Result<Bson> {
    let mut value = match old {
        None => Bson::Int32(0),
        Some(value @ (Bson::Int32(_) | Bson::Int64(_))) => value.clone(),
        Some(other) => bail!(
            BadValue,
            "Cannot apply $bit to a value of non-integral type. {{_id: {}}} has the field {} of \
             non-integer type {}",
            site.id,
            site.path,
            type_name(other)
        ),
    };
    for (operator, operand) in operations {
        let both_int = matches!((&value, operand), (Bson::Int32(_), Bson::Int32(_)));
        let (Some(a), Some(b)) = (exact_i64(&value), exact_i64(operand)) else {
            continue;
        };
        let result = match operator {
            BitOperator::And => a & b,
            BitOperator::Or => a | b,
            BitOperator::Xor => a ^ b,
        };
        // Two sign-extended ints give one.
        value = if both_int {
            Bson::Int32(result as i32)
        } else {
            Bson::Int64(result)
        };
    }
    Ok(value)
}
