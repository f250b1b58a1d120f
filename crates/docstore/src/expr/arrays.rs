//! Array operators.

use bson::Bson;

use super::{node::Arguments, number::Number, types};
use crate::{
    bail,
    error::{CommandError, Result},
    value::compare,
};

type Answer = Result<Option<Bson>>;

fn null() -> Answer {
    Ok(Some(Bson::Null))
}

/// Entries that `$range` and `$zip` may make.
const MAX_GENERATED: usize = 4_000_000;

/// A whole number within 32 bits, as MongoDB asks of positions and counts.
fn whole_i32(value: &Bson) -> Option<i32> {
    Number::from_bson(value)
        .and_then(Number::to_whole)
        .and_then(|n| i32::try_from(n).ok())
}

pub(super) fn element_at(mut arguments: Arguments<'_>) -> Answer {
    if arguments.any_nullish() {
        return null();
    }
    let Bson::Array(items) = &arguments[0] else {
        return arguments.fail(
            28689,
            format!(
                "$arrayElemAt's first argument must be an array, but is {}",
                arguments.type_name(0)
            ),
        );
    };
    if !types::is_number(&arguments[1]) {
        return arguments.fail(
            28690,
            format!(
                "$arrayElemAt's second argument must be a numeric value, but is {}",
                arguments.type_name(1)
            ),
        );
    }
    let Some(index) = whole_i32(&arguments[1]) else {
        return arguments.fail(
            28691,
            format!(
                "$arrayElemAt's second argument must be representable as a 32-bit integer: {}",
                arguments[1]
            ),
        );
    };
    let position = position(index, items.len());
    Ok(position.and_then(|position| take_element(&mut arguments, position)))
}

fn position(index: i32, length: usize) -> Option<usize> {
    if index >= 0 {
        Some(index as usize).filter(|index| *index < length)
    } else {
        length.checked_sub(index.unsigned_abs() as usize)
    }
}

/// Takes an element out of the first argument, cloning only what is borrowed.
fn take_element(arguments: &mut Arguments<'_>, position: usize) -> Option<Bson> {
    match arguments.values.get_mut(0)?.take()? {
        std::borrow::Cow::Borrowed(Bson::Array(items)) => items.get(position).cloned(),
        std::borrow::Cow::Owned(Bson::Array(mut items)) => {
            (position < items.len()).then(|| items.swap_remove(position))
        }
        _ => None,
    }
}

pub(super) fn first(arguments: Arguments<'_>) -> Answer {
    end(arguments, 0)
}

pub(super) fn last(arguments: Arguments<'_>) -> Answer {
    end(arguments, -1)
}

fn end(mut arguments: Arguments<'_>, index: i32) -> Answer {
    if arguments.nullish(0) {
        return null();
    }
    let Bson::Array(items) = &arguments[0] else {
        return arguments.fail(
            28689,
            format!(
                "{}'s argument must be an array, but is {}",
                arguments.name,
                arguments.type_name(0)
            ),
        );
    };
    let position = position(index, items.len());
    Ok(position.and_then(|position| take_element(&mut arguments, position)))
}

pub(super) fn slice(arguments: Arguments<'_>) -> Answer {
    if arguments.any_nullish() {
        return null();
    }
    let Bson::Array(items) = &arguments[0] else {
        return arguments.fail(
            28724,
            format!(
                "First argument to $slice must be an array, but is of type: {}",
                arguments.type_name(0)
            ),
        );
    };
    let integer = |index: usize, codes: (i32, i32), which: &str| {
        if !types::is_number(&arguments[index]) {
            return arguments.fail(
                codes.0,
                format!(
                    "{which} argument to $slice must be a numeric value, but is of type: {}",
                    arguments.type_name(index)
                ),
            );
        }
        match whole_i32(&arguments[index]) {
            Some(n) => Ok(n),
            None => arguments.fail(
                codes.1,
                format!(
                    "{which} argument to $slice can't be represented as a 32-bit integer: {}",
                    arguments[index]
                ),
            ),
        }
    };
    let second = integer(1, (28725, 28726), "Second")?;
    let length = items.len();
    let from_end = |n: i32| length.saturating_sub(n.unsigned_abs() as usize);
    let (start, count) = if arguments.len() == 2 {
        if second >= 0 {
            (0, second as usize)
        } else {
            (from_end(second), length)
        }
    } else {
        let third = integer(2, (28727, 28728), "Third")?;
        if third <= 0 {
            return arguments.fail(
                28729,
                format!("Third argument to $slice must be positive: {third}"),
            );
        }
        let start = if second >= 0 {
            (second as usize).min(length)
        } else {
            from_end(second)
        };
        (start, third as usize)
    };
    let end = start.saturating_add(count).min(length);
    Ok(Some(Bson::Array(items[start..end].to_vec())))
}

pub(super) fn size(arguments: Arguments<'_>) -> Answer {
    match arguments.get(0) {
        Some(Bson::Array(items)) => Ok(Some(Number::Int(items.len() as i32).to_bson())),
        other => arguments.fail(
            17124,
            format!(
                "The argument to $size must be an array, but was of type: {}",
                types::name(other)
            ),
        ),
    }
}

pub(super) fn concat(mut arguments: Arguments<'_>) -> Answer {
    let mut all = Vec::new();
    for index in 0..arguments.len() {
        if arguments.nullish(index) {
            return null();
        }
        match arguments.take(index) {
            Some(Bson::Array(items)) if all.is_empty() => all = items,
            Some(Bson::Array(items)) => all.extend(items),
            other => {
                return arguments.fail(
                    28664,
                    format!(
                        "$concatArrays only supports arrays, not {}",
                        types::name(other.as_ref())
                    ),
                );
            }
        }
    }
    Ok(Some(Bson::Array(all)))
}

pub(super) fn contains(arguments: Arguments<'_>) -> Answer {
    let Some(Bson::Array(items)) = arguments.get(1) else {
        return arguments.fail(
            40081,
            format!(
                "$in requires an array as a second argument, found: {}",
                arguments.type_name(1)
            ),
        );
    };
    let found = match arguments.get(0) {
        Some(value) => items.iter().any(|item| compare(item, value).is_eq()),
        None => false,
    };
    Ok(Some(Bson::Boolean(found)))
}

pub(super) fn index_of(arguments: Arguments<'_>) -> Answer {
    if arguments.nullish(0) {
        return null();
    }
    let Bson::Array(items) = &arguments[0] else {
        return arguments.fail(
            40090,
            format!(
                "$indexOfArray requires an array as a first argument, found: {}",
                arguments.type_name(0)
            ),
        );
    };
    let start = bound(&arguments, 2, "starting")?.unwrap_or(0);
    let end = bound(&arguments, 3, "ending")?
        .unwrap_or(usize::MAX)
        .min(items.len());
    let found = arguments
        .get(1)
        .and_then(|wanted| (start..end).find(|&index| compare(&items[index], wanted).is_eq()));
    Ok(Some(Bson::Int32(found.map_or(-1, |index| index as i32))))
}

/// A start or end position of `$indexOf…`; `None` where it was not given.
pub(super) fn bound(arguments: &Arguments<'_>, index: usize, which: &str) -> Result<Option<usize>> {
    if !arguments.given(index) {
        return Ok(None);
    }
    let Some(n) = whole_i32(&arguments[index]) else {
        return arguments.fail(
            40096,
            format!(
                "{} requires an integral {which} index, found a value of type: {}, with value: \
                 \"{}\"",
                arguments.name,
                arguments.type_name(index),
                arguments[index]
            ),
        );
    };
    match usize::try_from(n) {
        Ok(n) => Ok(Some(n)),
        Err(_) => arguments.fail(
            40097,
            format!(
                "{} requires a nonnegative {which} index, found: {n}",
                arguments.name
            ),
        ),
    }
}

pub(super) fn is_array(arguments: Arguments<'_>) -> Answer {
    Ok(Some(Bson::Boolean(matches!(
        arguments.get(0),
        Some(Bson::Array(_))
    ))))
}

pub(super) fn range(arguments: Arguments<'_>) -> Answer {
    let integer = |index: usize, codes: (i32, i32), what: &str| {
        if !types::is_number(&arguments[index]) {
            return arguments.fail(
                codes.0,
                format!(
                    "$range requires a numeric {what} value, found value of type: {}",
                    arguments.type_name(index)
                ),
            );
        }
        match whole_i32(&arguments[index]) {
            Some(n) => Ok(i64::from(n)),
            None => arguments.fail(
                codes.1,
                format!(
                    "$range requires a {what} value that can be represented as a 32-bit integer, \
                     found value: {}",
                    arguments[index]
                ),
            ),
        }
    };
    let start = integer(0, (34443, 34444), "starting")?;
    let end = integer(1, (34445, 34446), "ending")?;
    let step = if arguments.len() > 2 {
        integer(2, (34447, 34448), "step")?
    } else {
        1
    };
    if step == 0 {
        return arguments.fail(34449, "$range requires a non-zero step value");
    }
    let count = ((end - start) as f64 / step as f64).ceil().max(0.0) as usize;
    if count > MAX_GENERATED {
        bail!(
            ExceededMemoryLimit,
            "$range would make {count} entries, which needs too much memory"
        );
    }
    let values = (0..count as i64).map(|index| Bson::Int32((start + index * step) as i32));
    Ok(Some(Bson::Array(values.collect())))
}

pub(super) fn reverse(mut arguments: Arguments<'_>) -> Answer {
    if arguments.nullish(0) {
        return null();
    }
    match arguments.take(0) {
        Some(Bson::Array(mut items)) => {
            items.reverse();
            Ok(Some(Bson::Array(items)))
        }
        other => arguments.fail(
            34435,
            format!(
                "The argument to $reverseArray must be an array, but was of type: {}",
                types::name(other.as_ref())
            ),
        ),
    }
}

pub(super) fn zip(arguments: Arguments<'_>) -> Answer {
    if arguments.nullish(0) {
        return null();
    }
    let Bson::Array(inputs) = &arguments[0] else {
        return arguments.fail(
            34461,
            format!(
                "inputs must be an array of expressions, found {}",
                arguments.type_name(0)
            ),
        );
    };
    let longest = match arguments.get(1) {
        None => false,
        Some(Bson::Boolean(longest)) => *longest,
        other => {
            return arguments.fail(
                34463,
                format!(
                    "useLongestLength must be a bool, found {}",
                    types::name(other)
                ),
            );
        }
    };
    let empty = Vec::new();
    let defaults = match arguments.get(2) {
        None => &empty,
        Some(Bson::Array(defaults)) => defaults,
        other => {
            return arguments.fail(
                34462,
                format!(
                    "defaults must be an array of expressions, found {}",
                    types::name(other)
                ),
            );
        }
    };
    if inputs.is_empty() {
        return arguments.fail(34465, "$zip requires at least one input array");
    }
    if !defaults.is_empty() && !longest {
        return arguments.fail(
            34466,
            "cannot specify defaults unless useLongestLength is true",
        );
    }
    if !defaults.is_empty() && defaults.len() != inputs.len() {
        return arguments.fail(34467, "defaults and inputs must have the same length");
    }
    let mut arrays = Vec::with_capacity(inputs.len());
    for input in inputs {
        match input {
            Bson::Array(items) => arrays.push(items),
            other if types::is_nullish(Some(other)) => return null(),
            other => {
                return arguments.fail(
                    34468,
                    format!("$zip found a non-array expression in input: {other}"),
                );
            }
        }
    }
    let lengths = arrays.iter().map(|items| items.len());
    let length = if longest {
        lengths.max()
    } else {
        lengths.min()
    }
    .unwrap_or(0);
    if length.saturating_mul(arrays.len()) > MAX_GENERATED {
        return Err(CommandError::new(
            crate::error::Code::ExceededMemoryLimit,
            "$zip would need too much memory",
        ));
    }
    let rows = (0..length).map(|row| {
        let cells = arrays.iter().enumerate().map(|(column, items)| {
            items
                .get(row)
                .or_else(|| defaults.get(column))
                .cloned()
                .unwrap_or(Bson::Null)
        });
        Bson::Array(cells.collect())
    });
    Ok(Some(Bson::Array(rows.collect())))
}
