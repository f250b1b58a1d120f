//! `$dateFromString`: ISO 8601 text, or text by a format.

use bson::{Bson, DateTime};
use chrono::{Duration, NaiveDate, NaiveDateTime, Weekday};

use super::{node::Arguments, types, zone::Zone};
use crate::error::{Code, CommandError, Result};

pub(super) fn from_string(mut arguments: Arguments<'_>) -> Result<Option<Bson>> {
    let format = match arguments.get(1) {
        None if !arguments.given(1) => None,
        Some(Bson::String(format)) => Some(format.clone()),
        other if types::is_nullish(other) => return Ok(Some(Bson::Null)),
        other => {
            return arguments.fail(
                40684,
                format!(
                    "$dateFromString requires that 'format' be a string, found: {}",
                    types::name(other)
                ),
            );
        }
    };
    let zone = Zone::of_argument(&arguments, 2)?;
    let text = match arguments.get(0) {
        Some(Bson::String(text)) => text,
        other if types::is_nullish(other) => {
            return Ok(if arguments.given(4) {
                arguments.take(4)
            } else {
                Some(Bson::Null)
            });
        }
        _ if arguments.given(3) => return Ok(arguments.take(3)),
        other => {
            return Err(failed(format!(
                "$dateFromString requires that 'dateString' be a string, found: {} with value {}",
                types::name(other),
                arguments[0]
            )));
        }
    };
    let Some(zone) = zone else {
        return Ok(Some(Bson::Null));
    };
    let given = arguments.given(2).then_some(zone);
    let parsed = match &format {
        Some(format) => parse_format(text, format, given),
        None => parse(text, given),
    };
    match parsed {
        Ok(millis) => Ok(Some(Bson::DateTime(DateTime::from_millis(millis)))),
        Err(_) if arguments.given(3) => Ok(arguments.take(3)),
        Err(error) => Err(error),
    }
}

fn failed(message: impl Into<String>) -> CommandError {
    CommandError::new(Code::ConversionFailure, message)
}

fn unreadable(text: &str) -> CommandError {
    failed(format!(
        "Error parsing date string '{text}'; it is not in a form that is supported"
    ))
}

/// Reads fixed pieces off the front of a text.
struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn digits(&mut self, least: usize, most: usize) -> Option<i64> {
        let count = self
            .rest
            .bytes()
            .take(most)
            .take_while(u8::is_ascii_digit)
            .count();
        if count < least {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits.parse().ok()
    }

    fn eat(&mut self, any_of: &[char]) -> bool {
        match self.rest.strip_prefix(any_of) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Digits after a decimal point, in milliseconds.
    fn fraction(&mut self) -> Option<i64> {
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        let mut millis = 0;
        for position in 0..3 {
            let digit = digits
                .as_bytes()
                .get(position)
                .map_or(0, |b| i64::from(b - b'0'));
            millis = millis * 10 + digit;
        }
        Some(millis)
    }

    fn name(&mut self, names: &[&str]) -> Option<usize> {
        let index = names.iter().position(|name| {
            self.rest
                .get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        })?;
        self.rest = &self.rest[names[index].len()..];
        Some(index)
    }
}

/// Reads ISO 8601 text: `2024-01-31`, `2024-01-31T12:30`, `20240131T123000.5+0200` and the like.
/// `zone` is what the text is in unless it says so itself; both is an error.
pub(super) fn parse(text: &str, zone: Option<Zone>) -> Result<i64> {
    let (local, own) = read_iso(text.trim()).ok_or_else(|| unreadable(text))?;
    resolve(text, local, own, zone)
}

fn resolve(text: &str, local: NaiveDateTime, own: Option<Zone>, zone: Option<Zone>) -> Result<i64> {
    match (own, zone) {
        (Some(_), Some(_)) => Err(failed(format!(
            "you cannot pass in a date/time string with time zone information ('{text}') together \
             with a timezone argument"
        ))),
        (own, zone) => Ok(own.or(zone).unwrap_or(Zone::UTC).moment(local)),
    }
}

fn read_iso(text: &str) -> Option<(NaiveDateTime, Option<Zone>)> {
    let mut reader = Reader { rest: text };
    let year = reader.digits(4, 4)?;
    let dashed = reader.eat(&['-', '/']);
    let month = reader.digits(2, 2)?;
    let day = if dashed {
        if reader.eat(&['-', '/']) {
            reader.digits(2, 2)?
        } else {
            1
        }
    } else {
        reader.digits(2, 2)?
    };
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month as u32, day as u32)?;
    let (mut hour, mut minute, mut second, mut millis) = (0, 0, 0, 0);
    let mut zone = None;
    let separated = reader.eat(&['T', 't', ' ']);
    if !separated && !reader.rest.is_empty() {
        return None;
    }
    if separated {
        hour = reader.digits(2, 2)?;
        let colon = reader.eat(&[':']);
        minute = reader.digits(2, 2)?;
        if (colon && reader.eat(&[':']))
            || (!colon && reader.rest.starts_with(|c: char| c.is_ascii_digit()))
        {
            second = reader.digits(2, 2)?;
            if reader.eat(&['.', ',']) {
                millis = reader.fraction()?;
            }
        }
        let rest = reader.rest.trim_start();
        if !rest.is_empty() {
            zone = Some(Zone::parse(if rest == "z" { "Z" } else { rest }).ok()?);
        }
    }
    if hour > 24
        || minute > 59
        || second > 60
        || (hour == 24 && (minute, second, millis) != (0, 0, 0))
    {
        return None;
    }
    let local = date
        .and_hms_opt(0, 0, 0)?
        .checked_add_signed(Duration::milliseconds(
            ((hour * 60 + minute) * 60 + second) * 1000 + millis,
        ))?;
    Some((local, zone))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const SHORT_MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[derive(Default)]
struct Parts {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    iso_year: Option<i64>,
    iso_week: Option<i64>,
    iso_day: Option<i64>,
    millis: i64,
    zone: Option<Zone>,
}

fn parse_format(text: &str, format: &str, zone: Option<Zone>) -> Result<i64> {
    let mut reader = Reader { rest: text };
    let mut parts = Parts::default();
    let mut characters = format.chars();
    let mismatch = || {
        failed(format!(
            "Error parsing date string '{text}'; it does not match the format '{format}'"
        ))
    };
    while let Some(c) = characters.next() {
        if c != '%' {
            if !reader.eat(&[c]) {
                return Err(mismatch());
            }
            continue;
        }
        let Some(specifier) = characters.next() else {
            return Err(CommandError::location(
                18535,
                "Unmatched '%' at end of format string",
            ));
        };
        if !"bBdGHjLmMSuVYzZ%".contains(specifier) {
            return Err(CommandError::location(
                18536,
                format!("Invalid format character '%{specifier}' in format string"),
            ));
        }
        read_specifier(specifier, &mut reader, &mut parts).ok_or_else(mismatch)?;
    }
    if !reader.rest.is_empty() {
        return Err(failed(format!(
            "Error parsing date string '{text}'; trailing data"
        )));
    }
    let local = assemble(&parts).ok_or_else(|| {
        failed(format!(
            "an incomplete date/time string has been found: '{text}'"
        ))
    })?;
    resolve(text, local, parts.zone, zone)
}

fn read_specifier(specifier: char, reader: &mut Reader<'_>, parts: &mut Parts) -> Option<()> {
    let within = |value: i64, most: i64| (value <= most).then_some(value);
    match specifier {
        'Y' => parts.year = Some(reader.digits(4, 4)?),
        'm' => parts.month = Some(reader.digits(1, 2)?),
        'd' => parts.day = Some(reader.digits(1, 2)?),
        'b' => parts.month = Some(reader.name(&SHORT_MONTHS)? as i64 + 1),
        'B' => parts.month = Some(reader.name(&MONTHS)? as i64 + 1),
        'j' => parts.day_of_year = Some(reader.digits(3, 3)?),
        'G' => parts.iso_year = Some(reader.digits(4, 4)?),
        'V' => parts.iso_week = Some(reader.digits(1, 2)?),
        'u' => parts.iso_day = Some(reader.digits(1, 1)?),
        'H' => parts.millis += within(reader.digits(1, 2)?, 24)? * 3_600_000,
        'M' => parts.millis += within(reader.digits(1, 2)?, 59)? * 60_000,
        'S' => parts.millis += within(reader.digits(1, 2)?, 60)? * 1000,
        'L' => parts.millis += reader.fraction()?,
        'z' => {
            let end = reader
                .rest
                .find(|c: char| !c.is_ascii_alphanumeric() && !"+-:/_".contains(c));
            let (name, rest) = reader.rest.split_at(end.unwrap_or(reader.rest.len()));
            parts.zone = Some(Zone::parse(name).ok()?);
            reader.rest = rest;
        }
        'Z' => {
            let negative = reader.eat(&['-']);
            if !negative && !reader.eat(&['+']) {
                return None;
            }
            let minutes = i32::try_from(reader.digits(1, 4)?).ok()?;
            parts.zone = Some(Zone::Fixed(if negative { -minutes } else { minutes } * 60));
        }
        '%' => {
            if !reader.eat(&['%']) {
                return None;
            }
        }
        _ => return None,
    }
    Some(())
}

fn assemble(parts: &Parts) -> Option<NaiveDateTime> {
    let date = if let Some(year) = parts.iso_year {
        let weekday = Weekday::try_from(u8::try_from(parts.iso_day.unwrap_or(1) - 1).ok()?).ok()?;
        NaiveDate::from_isoywd_opt(year as i32, parts.iso_week.unwrap_or(1) as u32, weekday)?
    } else if let Some(day) = parts.day_of_year {
        NaiveDate::from_yo_opt(parts.year? as i32, day as u32)?
    } else {
        NaiveDate::from_ymd_opt(
            parts.year? as i32,
            parts.month.unwrap_or(1) as u32,
            parts.day.unwrap_or(1) as u32,
        )?
    };
    date.and_hms_opt(0, 0, 0)?
        .checked_add_signed(Duration::milliseconds(parts.millis))
}
