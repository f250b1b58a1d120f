//! `$dateAdd`, `$dateSubtract`, `$dateDiff` and `$dateTrunc`.

use bson::{Bson, DateTime};
use chrono::{Datelike, Duration, Months, NaiveDate, NaiveDateTime, NaiveTime};

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

fn date(millis: i64) -> Answer {
    Ok(Some(Bson::DateTime(DateTime::from_millis(millis))))
}

/// A unit of time; the first four are of fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    fn parse(value: &Bson, name: &str) -> Result<Self> {
        let Bson::String(text) = value else {
            return Err(CommandError::location(
                5_439_013,
                format!(
                    "{name} requires 'unit' to be a string, but got {}",
                    types::name(Some(value))
                ),
            ));
        };
        Ok(match text.as_str() {
            "millisecond" => Self::Millisecond,
            "second" => Self::Second,
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            _ => bail!(FailedToParse, "unknown time unit value: {text}"),
        })
    }

    /// Milliseconds of a unit below the day.
    fn fixed_millis(self) -> Option<i64> {
        match self {
            Self::Millisecond => Some(1),
            Self::Second => Some(1000),
            Self::Minute => Some(60_000),
            Self::Hour => Some(3_600_000),
            _ => None,
        }
    }

    fn months(self) -> i64 {
        match self {
            Self::Year => 12,
            Self::Quarter => 3,
            _ => 1,
        }
    }
}

/// The day a week begins on, 0 for Sunday.
fn start_of_week(value: &Bson, name: &str) -> Result<i64> {
    let Bson::String(text) = value else {
        return Err(CommandError::location(
            5_439_015,
            format!(
                "{name} requires 'startOfWeek' to be a string, but got {}",
                types::name(Some(value))
            ),
        ));
    };
    Ok(match text.to_ascii_lowercase().as_str() {
        "sunday" | "sun" => 0,
        "monday" | "mon" => 1,
        "tuesday" | "tue" => 2,
        "wednesday" | "wed" => 3,
        "thursday" | "thu" => 4,
        "friday" | "fri" => 5,
        "saturday" | "sat" => 6,
        _ => bail!(FailedToParse, "unknown day of week value: {text}"),
    })
}

/// `$dateAdd` and `$dateSubtract`.
pub(super) fn add(arguments: Arguments<'_>) -> Answer {
    if (0..3).any(|index| arguments.nullish(index)) {
        return null();
    }
    let Some(zone) = Zone::of_argument(&arguments, 3)? else {
        return null();
    };
    let name = arguments.name;
    let unit = Unit::parse(&arguments[1], name)?;
    let start = match date_millis(&arguments[0]) {
        Ok(start) => start,
        Err(_) => {
            return arguments.fail(
                5_166_403,
                format!("{name} requires startDate to be convertible to a date"),
            );
        }
    };
    let Some(amount) = Number::from_bson(&arguments[2]).and_then(Number::to_whole) else {
        return arguments.fail(
            5_166_405,
            format!("{name} expects integer amount of time units"),
        );
    };
    let amount = if name == "$dateSubtract" {
        amount.checked_neg()
    } else {
        Some(amount)
    };
    let shifted = amount.and_then(|amount| shift(start, unit, amount, zone));
    match shifted {
        Some(millis) => date(millis),
        None => bail!(Overflow, "{name} overflowed"),
    }
}

fn shift(start: i64, unit: Unit, amount: i64, zone: Zone) -> Option<i64> {
    if let Some(millis) = unit.fixed_millis() {
        return start.checked_add(amount.checked_mul(millis)?);
    }
    let local = zone.local(start).ok()?;
    let moved = match unit {
        Unit::Day | Unit::Week => {
            let days = if unit == Unit::Week {
                amount.checked_mul(7)?
            } else {
                amount
            };
            local.checked_add_signed(Duration::try_days(days)?)?
        }
        _ => {
            let months = amount.checked_mul(unit.months())?;
            let size = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
            if months >= 0 {
                local.checked_add_months(size)?
            } else {
                local.checked_sub_months(size)?
            }
        }
    };
    Some(zone.moment(moved))
}

pub(super) fn difference(arguments: Arguments<'_>) -> Answer {
    if (0..3).any(|index| arguments.nullish(index)) {
        return null();
    }
    let Some(zone) = Zone::of_argument(&arguments, 3)? else {
        return null();
    };
    let unit = Unit::parse(&arguments[2], "$dateDiff")?;
    let first_day = if unit == Unit::Week && arguments.given(4) {
        if arguments.nullish(4) {
            return null();
        }
        start_of_week(&arguments[4], "$dateDiff")?
    } else {
        0
    };
    let moment = |index: usize, field: &str| {
        date_millis(&arguments[index]).or_else(|_| {
            arguments.fail(
                5_166_307,
                format!(
                    "$dateDiff requires '{field}' to be a date, but got {}",
                    arguments.type_name(index)
                ),
            )
        })
    };
    let (start, end) = (moment(0, "startDate")?, moment(1, "endDate")?);
    let (from, to) = (zone.local(start)?, zone.local(end)?);
    let days = |local: &NaiveDateTime| i64::from(local.num_days_from_ce());
    let months = |local: &NaiveDateTime| i64::from(local.year()) * 12 + i64::from(local.month0());
    let difference = match unit {
        Unit::Millisecond => match end.checked_sub(start) {
            Some(difference) => difference,
            None => bail!(Overflow, "$dateDiff overflowed"),
        },
        Unit::Second | Unit::Minute => {
            let size = unit.fixed_millis().unwrap_or(1);
            end.div_euclid(size) - start.div_euclid(size)
        }
        Unit::Hour => {
            // Hours are counted on the clock: zones may be off by half an hour.
            let hour = |millis: i64, local: &NaiveDateTime| {
                let offset = local.and_utc().timestamp_millis() - millis;
                (millis + offset.rem_euclid(3_600_000)).div_euclid(3_600_000)
            };
            hour(end, &to) - hour(start, &from)
        }
        Unit::Day => days(&to) - days(&from),
        // Day 0 of the common era was a Sunday's eve: day n is on weekday n mod 7.
        Unit::Week => {
            let week = |local: &NaiveDateTime| (days(local) - first_day).div_euclid(7);
            week(&to) - week(&from)
        }
        Unit::Month => months(&to) - months(&from),
        Unit::Quarter => months(&to).div_euclid(3) - months(&from).div_euclid(3),
        Unit::Year => i64::from(to.year()) - i64::from(from.year()),
    };
    Ok(Some(Bson::Int64(difference)))
}

pub(super) fn truncate(arguments: Arguments<'_>) -> Answer {
    if (0..2).any(|index| arguments.nullish(index)) {
        return null();
    }
    let Some(zone) = Zone::of_argument(&arguments, 3)? else {
        return null();
    };
    let unit = Unit::parse(&arguments[1], "$dateTrunc")?;
    let size = if arguments.given(2) {
        if arguments.nullish(2) {
            return null();
        }
        match Number::from_bson(&arguments[2]).and_then(Number::to_whole) {
            Some(size) if size > 0 => size,
            Some(_) => {
                return arguments.fail(
                    5_439_018,
                    "$dateTrunc requires 'binSize' to be greater than 0",
                );
            }
            None => {
                return arguments.fail(
                    5_439_017,
                    "$dateTrunc requires 'binSize' to be a 64-bit integer",
                );
            }
        }
    } else {
        1
    };
    let first_day = if unit == Unit::Week && arguments.given(4) {
        if arguments.nullish(4) {
            return null();
        }
        start_of_week(&arguments[4], "$dateTrunc")?
    } else {
        0
    };
    let Ok(millis) = date_millis(&arguments[0]) else {
        return arguments.fail(
            5_439_012,
            "$dateTrunc requires 'date' to be convertible to a date",
        );
    };
    match floor(millis, unit, size, first_day, zone) {
        Some(millis) => date(millis),
        None => bail!(Overflow, "$dateTrunc overflowed"),
    }
}

/// Bins count from the start of the year 2000 in the zone (weeks: from the first week's start).
fn floor(millis: i64, unit: Unit, size: i64, first_day: i64, zone: Zone) -> Option<i64> {
    let reference = NaiveDate::from_ymd_opt(2000, 1, 1)?;
    let midnight = |day: NaiveDate| zone.moment(day.and_time(NaiveTime::MIN));
    if let Some(unit_millis) = unit.fixed_millis() {
        let bin = unit_millis.checked_mul(size)?;
        let start = midnight(reference);
        return millis.checked_sub(millis.checked_sub(start)?.rem_euclid(bin));
    }
    let local = zone.local(millis).ok()?;
    let day = match unit {
        Unit::Day | Unit::Week => {
            let (bin, from) = if unit == Unit::Week {
                let days = i64::from(reference.num_days_from_ce());
                let wait = (first_day - days).rem_euclid(7);
                (
                    size.checked_mul(7)?,
                    reference.checked_add_signed(Duration::try_days(wait)?)?,
                )
            } else {
                (size, reference)
            };
            let past = local
                .date()
                .signed_duration_since(from)
                .num_days()
                .rem_euclid(bin);
            local.date().checked_sub_signed(Duration::try_days(past)?)?
        }
        _ => {
            let bin = size.checked_mul(unit.months())?;
            let months = (i64::from(local.year()) - 2000) * 12 + i64::from(local.month0());
            let months = months - months.rem_euclid(bin) + 2000 * 12;
            let year = i32::try_from(months.div_euclid(12)).ok()?;
            NaiveDate::from_ymd_opt(year, months.rem_euclid(12) as u32 + 1, 1)?
        }
    };
    Some(midnight(day))
}
