//! Parts of dates, and dates from parts.

use bson::{Bson, DateTime, Document, doc};
use chrono::{Datelike, Duration, NaiveDate, NaiveDateTime, Timelike};

use super::{
    node::Arguments,
    number::Number,
    types,
    zone::{Zone, date_millis},
};
use crate::{
    bail,
    error::{CommandError, Result},
};

type Answer = Result<Option<Bson>>;

fn null() -> Answer {
    Ok(Some(Bson::Null))
}

/// `$year` and its like.
pub(super) fn part(arguments: Arguments<'_>) -> Answer {
    let Some(zone) = Zone::of_argument(&arguments, 1)? else {
        return null();
    };
    if arguments.nullish(0) {
        return null();
    }
    let local = zone.local(date_millis(&arguments[0])?)?;
    let value = match arguments.name {
        "$year" => local.year(),
        "$month" => local.month() as i32,
        "$dayOfMonth" => local.day() as i32,
        "$hour" => local.hour() as i32,
        "$minute" => local.minute() as i32,
        "$second" => local.second() as i32,
        "$millisecond" => (local.and_utc().timestamp_subsec_millis()) as i32,
        "$dayOfWeek" => local.weekday().number_from_sunday() as i32,
        "$dayOfYear" => local.ordinal() as i32,
        "$week" => week_of_year(&local),
        "$isoWeek" => local.iso_week().week() as i32,
        "$isoWeekYear" => return Ok(Some(Bson::Int64(i64::from(local.iso_week().year())))),
        "$isoDayOfWeek" => local.weekday().number_from_monday() as i32,
        other => bail!(InternalError, "{other} is no part of a date"),
    };
    Ok(Some(Bson::Int32(value)))
}

/// Weeks begin on Sunday; days before the first one are in week 0.
pub(super) fn week_of_year(local: &NaiveDateTime) -> i32 {
    (local.ordinal() as i32 + 6 - local.weekday().num_days_from_sunday() as i32) / 7
}

pub(super) fn timestamp_part(arguments: Arguments<'_>) -> Answer {
    match arguments.get(0) {
        value if types::is_nullish(value) => null(),
        Some(Bson::Timestamp(when)) => Ok(Some(Bson::Int64(i64::from(
            if arguments.name == "$tsSecond" {
                when.time
            } else {
                when.increment
            },
        )))),
        other => arguments.fail(
            if arguments.name == "$tsSecond" {
                5_687_301
            } else {
                5_687_302
            },
            format!(
                "Argument to {} must be a timestamp, but is {}",
                arguments.name,
                types::name(other)
            ),
        ),
    }
}

pub(super) fn to_parts(arguments: Arguments<'_>) -> Answer {
    let iso = match arguments.get(2) {
        None if !arguments.given(2) => false,
        Some(Bson::Boolean(iso)) => *iso,
        other if types::is_nullish(other) => return null(),
        other => {
            return arguments.fail(
                40521,
                format!(
                    "iso8601 must evaluate to a bool, found {}",
                    types::name(other)
                ),
            );
        }
    };
    let Some(zone) = Zone::of_argument(&arguments, 1)? else {
        return null();
    };
    if arguments.nullish(0) {
        return null();
    }
    let local = zone.local(date_millis(&arguments[0])?)?;
    let mut parts = if iso {
        doc! {
            "isoWeekYear": local.iso_week().year(),
            "isoWeek": local.iso_week().week() as i32,
            "isoDayOfWeek": local.weekday().number_from_monday() as i32,
        }
    } else {
        doc! { "year": local.year(), "month": local.month() as i32, "day": local.day() as i32 }
    };
    let clock: Document = doc! {
        "hour": local.hour() as i32,
        "minute": local.minute() as i32,
        "second": local.second() as i32,
        "millisecond": local.and_utc().timestamp_subsec_millis() as i32,
    };
    parts.extend(clock);
    Ok(Some(Bson::Document(parts)))
}

const FROM_PARTS: [&str; 10] = [
    "year",
    "month",
    "day",
    "isoWeekYear",
    "isoWeek",
    "isoDayOfWeek",
    "hour",
    "minute",
    "second",
    "millisecond",
];

pub(super) fn from_parts(arguments: Arguments<'_>) -> Answer {
    let plain = arguments.given(0);
    let iso = arguments.given(3);
    if !plain && !iso {
        return arguments.fail(
            40516,
            "$dateFromParts requires either 'year' or 'isoWeekYear' to be present",
        );
    }
    if iso && (0..3).any(|index| arguments.given(index)) {
        return arguments.fail(
            40489,
            "$dateFromParts does not allow mixing natural dates with ISO dates",
        );
    }
    if plain && (3..6).any(|index| arguments.given(index)) {
        return arguments.fail(
            40525,
            "$dateFromParts does not allow mixing ISO dates with natural dates",
        );
    }
    let mut parts = [None; 10];
    for (index, part) in parts.iter_mut().enumerate() {
        if !arguments.given(index) {
            continue;
        }
        if arguments.nullish(index) {
            return null();
        }
        let whole = Number::from_bson(&arguments[index]).and_then(Number::to_whole);
        let Some(whole) = whole else {
            return arguments.fail(
                40515,
                format!(
                    "'{}' must evaluate to an integer, found {} with value {}",
                    FROM_PARTS[index],
                    arguments.type_name(index),
                    arguments[index]
                ),
            );
        };
        *part = Some(checked_part(index, whole)?);
    }
    let Some(zone) = Zone::of_argument(&arguments, 10)? else {
        return null();
    };
    let get = |index: usize, default: i64| parts[index].unwrap_or(default);
    let day = if plain {
        civil_day(get(0, 1970), get(1, 1), get(2, 1))
    } else {
        iso_day(get(3, 1970), get(4, 1), get(5, 1))
    };
    let local = day.and_then(|day| {
        day.and_hms_opt(0, 0, 0)?
            .checked_add_signed(Duration::hours(get(6, 0)))?
            .checked_add_signed(Duration::minutes(get(7, 0)))?
            .checked_add_signed(Duration::seconds(get(8, 0)))?
            .checked_add_signed(Duration::milliseconds(get(9, 0)))
    });
    match local {
        Some(local) => Ok(Some(Bson::DateTime(DateTime::from_millis(
            zone.moment(local),
        )))),
        None => arguments.fail(40523, "$dateFromParts: the parts make no date"),
    }
}

fn checked_part(index: usize, value: i64) -> Result<i64> {
    let name = FROM_PARTS[index];
    let (least, most, code) = match name {
        "year" | "isoWeekYear" => (1, 9999, if name == "year" { 40523 } else { 31095 }),
        "second" | "millisecond" => (-(1 << 40), 1 << 40, 31034),
        _ => (-32768, 32767, 31034),
    };
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(CommandError::location(
        code,
        format!(
            "'{name}' must evaluate to an integer in the range {least} to {most}, found {value}"
        ),
    ))
}

/// The day; months and days beyond their range carry over.
fn civil_day(year: i64, month: i64, day: i64) -> Option<NaiveDate> {
    let months = year * 12 + month - 1;
    let first = NaiveDate::from_ymd_opt(
        i32::try_from(months.div_euclid(12)).ok()?,
        months.rem_euclid(12) as u32 + 1,
        1,
    )?;
    first.checked_add_signed(Duration::days(day - 1))
}

/// The day of an ISO week; weeks and days beyond their range carry over.
fn iso_day(year: i64, week: i64, day: i64) -> Option<NaiveDate> {
    let first = NaiveDate::from_isoywd_opt(i32::try_from(year).ok()?, 1, chrono::Weekday::Mon)?;
    first.checked_add_signed(Duration::days((week - 1) * 7 + day - 1))
}
