//! String operators. "Bytes" count UTF-8 bytes, "CP" counts code points.

use std::borrow::Cow;

use bson::Bson;

use super::{arrays::bound, conversion, node::Arguments, number::Number, types};
use crate::{
    bail,
    error::{CommandError, Result},
};

type Answer = Result<Option<Bson>>;

fn null() -> Answer {
    Ok(Some(Bson::Null))
}

fn string(text: impl Into<String>) -> Answer {
    Ok(Some(Bson::String(text.into())))
}

/// What MongoDB takes for text where it asks for some: numbers and dates are written out.
fn coerce<'v>(arguments: &'v Arguments<'_>, index: usize) -> Result<Cow<'v, str>> {
    Ok(match arguments.get(index) {
        Some(Bson::String(text) | Bson::Symbol(text)) => Cow::Borrowed(text),
        value if types::is_nullish(value) => Cow::Borrowed(""),
        Some(
            value @ (Bson::Int32(_)
            | Bson::Int64(_)
            | Bson::Double(_)
            | Bson::Decimal128(_)
            | Bson::DateTime(_)),
        ) => Cow::Owned(conversion::to_text(value)?),
        Some(Bson::JavaScriptCode(code)) => Cow::Borrowed(code),
        Some(Bson::Timestamp(when)) => {
            let millis = i64::from(when.time) * 1000;
            Cow::Owned(conversion::to_text(&Bson::DateTime(
                bson::DateTime::from_millis(millis),
            ))?)
        }
        other => {
            return arguments.fail(
                16007,
                format!(
                    "can't convert from BSON type {} to String",
                    types::name(other)
                ),
            );
        }
    })
}

pub(super) fn concat(arguments: Arguments<'_>) -> Answer {
    let mut text = String::new();
    for index in 0..arguments.len() {
        match arguments.get(index) {
            Some(Bson::String(part)) => text.push_str(part),
            other if types::is_nullish(other) => return null(),
            other => {
                return arguments.fail(
                    16702,
                    format!("$concat only supports strings, not {}", types::name(other)),
                );
            }
        }
    }
    string(text)
}

pub(super) fn substr_bytes(arguments: Arguments<'_>) -> Answer {
    let text = coerce(&arguments, 0)?;
    let number = |index: usize, code: i32, what: &str| match Number::from_bson(&arguments[index]) {
        Some(number) => Ok(number.to_whole().unwrap_or(number.to_f64() as i64)),
        None => arguments.fail(
            code,
            format!(
                "{}:  {what} must be a numeric type (is BSON type {})",
                arguments.name,
                arguments.type_name(index)
            ),
        ),
    };
    let start = number(1, 16034, "starting index")?;
    let length = number(2, 16035, "length")?;
    let Ok(start) = usize::try_from(start) else {
        return arguments.fail(
            50752,
            format!(
                "{}:  starting index must be non-negative (got: {start})",
                arguments.name
            ),
        );
    };
    if start >= text.len() {
        return string("");
    }
    let end = match usize::try_from(length) {
        Ok(length) => start.saturating_add(length).min(text.len()),
        Err(_) => text.len(),
    };
    if !text.is_char_boundary(start) {
        return arguments.fail(
            28656,
            format!(
                "{}:  Invalid range, starting index is a UTF-8 continuation byte.",
                arguments.name
            ),
        );
    }
    if !text.is_char_boundary(end) {
        return arguments.fail(
            28657,
            format!(
                "{}:  Invalid range, ending index is in the middle of a UTF-8 character.",
                arguments.name
            ),
        );
    }
    string(&text[start..end])
}

pub(super) fn substr_cp(arguments: Arguments<'_>) -> Answer {
    let text = coerce(&arguments, 0)?;
    let number = |index: usize, codes: (i32, i32, i32), what: &str| {
        let Some(number) = Number::from_bson(&arguments[index]) else {
            return arguments.fail(
                codes.0,
                format!(
                    "$substrCP: {what} must be a numeric type (is BSON type {})",
                    arguments.type_name(index)
                ),
            );
        };
        let Some(whole) = number.to_whole().and_then(|n| i32::try_from(n).ok()) else {
            return arguments.fail(
                codes.1,
                format!(
                    "$substrCP: {what} cannot be represented as a 32-bit integral value: {}",
                    arguments[index]
                ),
            );
        };
        match usize::try_from(whole) {
            Ok(whole) => Ok(whole),
            Err(_) => arguments.fail(codes.2, format!("$substrCP: {what} must be nonnegative.")),
        }
    };
    let start = number(1, (34450, 34451, 34455), "starting index")?;
    let length = number(2, (34452, 34453, 34454), "length")?;
    string(text.chars().skip(start).take(length).collect::<String>())
}

pub(super) fn to_lower(arguments: Arguments<'_>) -> Answer {
    string(coerce(&arguments, 0)?.to_ascii_lowercase())
}

pub(super) fn to_upper(arguments: Arguments<'_>) -> Answer {
    string(coerce(&arguments, 0)?.to_ascii_uppercase())
}

/// What is trimmed by default: white space and NUL, as MongoDB lists it.
fn is_trimmed(c: char) -> bool {
    matches!(
        c,
        '\0' | ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}'
    )
}

pub(super) fn trim(arguments: Arguments<'_>) -> Answer {
    if arguments.nullish(0) {
        return null();
    }
    let Bson::String(input) = &arguments[0] else {
        return arguments.fail(
            50699,
            format!(
                "{} requires its input to be a string, got {} (of type {}) instead.",
                arguments.name,
                arguments[0],
                arguments.type_name(0)
            ),
        );
    };
    let characters: Option<Vec<char>> = if arguments.given(1) {
        match arguments.get(1) {
            Some(Bson::String(characters)) => Some(characters.chars().collect()),
            other if types::is_nullish(other) => return null(),
            other => {
                return arguments.fail(
                    50700,
                    format!(
                        "{} requires 'chars' to be a string, got {} (of type {}) instead.",
                        arguments.name,
                        arguments[1],
                        types::name(other)
                    ),
                );
            }
        }
    } else {
        None
    };
    let matches = |c: char| {
        characters
            .as_ref()
            .map_or_else(|| is_trimmed(c), |set| set.contains(&c))
    };
    string(match arguments.name {
        "$ltrim" => input.trim_start_matches(matches),
        "$rtrim" => input.trim_end_matches(matches),
        _ => input.trim_matches(matches),
    })
}

pub(super) fn split(arguments: Arguments<'_>) -> Answer {
    if arguments.any_nullish() {
        return null();
    }
    let Bson::String(text) = &arguments[0] else {
        return arguments.fail(
            40085,
            format!("$split requires an expression that evaluates to a string as a first argument, found: {}", arguments.type_name(0)),
        );
    };
    let Bson::String(separator) = &arguments[1] else {
        return arguments.fail(
            40086,
            format!("$split requires an expression that evaluates to a string as a second argument, found: {}", arguments.type_name(1)),
        );
    };
    if separator.is_empty() {
        return arguments.fail(40087, "$split requires a non-empty separator");
    }
    let parts = text
        .split(separator.as_str())
        .map(|part| Bson::String(part.to_owned()));
    Ok(Some(Bson::Array(parts.collect())))
}

fn length(arguments: &Arguments<'_>, code: i32, count: fn(&str) -> usize) -> Answer {
    match arguments.get(0) {
        Some(Bson::String(text)) => Ok(Some(Bson::Int32(count(text) as i32))),
        other => arguments.fail(
            code,
            format!(
                "{} requires a string argument, found: {}",
                arguments.name,
                types::name(other)
            ),
        ),
    }
}

pub(super) fn length_bytes(arguments: Arguments<'_>) -> Answer {
    length(&arguments, 34473, str::len)
}

pub(super) fn length_cp(arguments: Arguments<'_>) -> Answer {
    length(&arguments, 34471, |text| text.chars().count())
}

pub(super) fn compare_ignoring_case(arguments: Arguments<'_>) -> Answer {
    let a = coerce(&arguments, 0)?.to_ascii_uppercase();
    let b = coerce(&arguments, 1)?.to_ascii_uppercase();
    Ok(Some(Bson::Int32(a.cmp(&b) as i32)))
}

/// The text and what is looked for; `None` where the text is null.
fn search<'v>(
    arguments: &'v Arguments<'_>,
    codes: (i32, i32),
) -> Result<Option<(&'v str, &'v str)>> {
    if arguments.nullish(0) {
        return Ok(None);
    }
    let Some(Bson::String(text)) = arguments.get(0) else {
        return arguments.fail(
            codes.0,
            format!(
                "{} requires a string as the first argument, found: {}",
                arguments.name,
                arguments.type_name(0)
            ),
        );
    };
    let Some(Bson::String(wanted)) = arguments.get(1) else {
        return arguments.fail(
            codes.1,
            format!(
                "{} requires a string as the second argument, found: {}",
                arguments.name,
                arguments.type_name(1)
            ),
        );
    };
    Ok(Some((text, wanted)))
}

pub(super) fn index_of_bytes(arguments: Arguments<'_>) -> Answer {
    let Some((text, wanted)) = search(&arguments, (40091, 40092))? else {
        return null();
    };
    let start = bound(&arguments, 2, "starting")?.unwrap_or(0);
    let end = bound(&arguments, 3, "ending")?
        .unwrap_or(usize::MAX)
        .min(text.len());
    let found = if start > end || start > text.len() {
        None
    } else {
        find_bytes(&text.as_bytes()[start..end], wanted.as_bytes())
    };
    Ok(Some(Bson::Int32(
        found.map_or(-1, |index| (index + start) as i32),
    )))
}

fn find_bytes(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return Some(0);
    }
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

pub(super) fn index_of_cp(arguments: Arguments<'_>) -> Answer {
    let Some((text, wanted)) = search(&arguments, (40093, 40094))? else {
        return null();
    };
    let characters: Vec<char> = text.chars().collect();
    let wanted: Vec<char> = wanted.chars().collect();
    let start = bound(&arguments, 2, "starting")?.unwrap_or(0);
    let end = bound(&arguments, 3, "ending")?
        .unwrap_or(usize::MAX)
        .min(characters.len());
    let found = if start > end {
        None
    } else if wanted.is_empty() {
        Some(0)
    } else {
        characters[start..end]
            .windows(wanted.len())
            .position(|window| window == wanted)
    };
    Ok(Some(Bson::Int32(
        found.map_or(-1, |index| (index + start) as i32),
    )))
}

pub(super) fn replace(arguments: Arguments<'_>) -> Answer {
    let codes = [51746, 51745, 51744];
    for (index, (field, code)) in ["input", "find", "replacement"]
        .into_iter()
        .zip(codes)
        .enumerate()
    {
        if !arguments.nullish(index) && !matches!(arguments.get(index), Some(Bson::String(_))) {
            return Err(CommandError::location(
                code,
                format!(
                    "{} requires that '{field}' be a string, found: {}",
                    arguments.name, arguments[index]
                ),
            ));
        }
    }
    if arguments.any_nullish() {
        return null();
    }
    match (&arguments[0], &arguments[1], &arguments[2]) {
        (Bson::String(input), Bson::String(find), Bson::String(replacement)) => {
            string(match arguments.name {
                "$replaceOne" => input.replacen(find.as_str(), replacement, 1),
                _ => {
                    let occurrences = input.len() / find.len().max(1);
                    if occurrences.saturating_mul(replacement.len()) > 64 << 20 {
                        bail!(
                            ExceededMemoryLimit,
                            "$replaceAll would make too long a string"
                        );
                    }
                    input.replace(find.as_str(), replacement)
                }
            })
        }
        _ => null(),
    }
}
