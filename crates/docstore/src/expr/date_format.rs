//! `$dateToString`.

use std::fmt::Write;

use bson::Bson;
use chrono::{Datelike, NaiveDateTime, Timelike};

use super::{
    dates::week_of_year,
    node::Arguments,
    types,
    zone::{Zone, date_millis, utc},
};
use crate::error::{CommandError, Result};

pub(super) fn to_string(mut arguments: Arguments<'_>) -> Result<Option<Bson>> {
    let format = match arguments.get(1) {
        None if !arguments.given(1) => None,
        Some(Bson::String(format)) => {
            check(format)?;
            Some(format.clone())
        }
        other if types::is_nullish(other) => return Ok(Some(Bson::Null)),
        other => {
            return arguments.fail(
                18533,
                format!(
                    "$dateToString requires that 'format' be a string, found: {}",
                    types::name(other)
                ),
            );
        }
    };
    let zone = Zone::of_argument(&arguments, 2)?;
    if arguments.nullish(0) {
        return Ok(if arguments.given(3) {
            arguments.take(3)
        } else {
            Some(Bson::Null)
        });
    }
    let Some(zone) = zone else {
        return Ok(Some(Bson::Null));
    };
    let millis = date_millis(&arguments[0])?;
    let format = match &format {
        Some(format) => format,
        None if zone == Zone::UTC => "%Y-%m-%dT%H:%M:%S.%LZ",
        None => "%Y-%m-%dT%H:%M:%S.%L",
    };
    let offset = zone.offset_seconds(&utc(millis)?);
    write(format, &zone.local(millis)?, offset).map(|text| Some(Bson::String(text)))
}

/// Checks the format's specifiers.
pub(super) fn check(format: &str) -> Result<()> {
    let mut characters = format.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            continue;
        }
        match characters.next() {
            None => {
                return Err(CommandError::location(
                    18535,
                    "Unmatched '%' at end of format string",
                ));
            }
            Some(c) if "bBdGHjLmMSuUVwYzZ%".contains(c) => {}
            Some(c) => {
                return Err(CommandError::location(
                    18536,
                    format!("Invalid format character '%{c}' in format string"),
                ));
            }
        }
    }
    Ok(())
}

fn write(format: &str, local: &NaiveDateTime, offset_seconds: i32) -> Result<String> {
    let year = |year: i32| {
        if (0..=9999).contains(&year) {
            Ok(year)
        } else {
            Err(CommandError::location(
                18537,
                format!("$dateToString is only defined on year 0-9999, tried to use year {year}"),
            ))
        }
    };
    let mut text = String::with_capacity(format.len() + 16);
    let mut characters = format.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let Some(specifier) = characters.next() else {
            break;
        };
        let written = match specifier {
            'b' => write!(text, "{}", local.format("%b")),
            'B' => write!(text, "{}", local.format("%B")),
            'd' => write!(text, "{:02}", local.day()),
            'G' => write!(text, "{:04}", year(local.iso_week().year())?),
            'H' => write!(text, "{:02}", local.hour()),
            'j' => write!(text, "{:03}", local.ordinal()),
            'L' => write!(text, "{:03}", local.and_utc().timestamp_subsec_millis()),
            'm' => write!(text, "{:02}", local.month()),
            'M' => write!(text, "{:02}", local.minute()),
            'S' => write!(text, "{:02}", local.second()),
            'u' => write!(text, "{}", local.weekday().number_from_monday()),
            'U' => write!(text, "{:02}", week_of_year(local)),
            'V' => write!(text, "{:02}", local.iso_week().week()),
            'w' => write!(text, "{}", local.weekday().number_from_sunday()),
            'Y' => write!(text, "{:04}", year(local.year())?),
            'z' => {
                let sign = if offset_seconds < 0 { '-' } else { '+' };
                let minutes = offset_seconds.abs() / 60;
                write!(text, "{sign}{:02}{:02}", minutes / 60, minutes % 60)
            }
            'Z' => {
                let sign = if offset_seconds < 0 { "-" } else { "+" };
                write!(text, "{sign}{}", offset_seconds.abs() / 60)
            }
            other => {
                text.push(other);
                Ok(())
            }
        };
        written.map_err(|_| CommandError::location(18536, "the format could not be written"))?;
    }
    Ok(text)
}
