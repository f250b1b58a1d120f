//! Time zones (offsets and Olson names) and the calendar view of BSON dates.

use bson::Bson;
use chrono::{DateTime, Duration, MappedLocalTime, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use super::{node::Arguments, types};
use crate::{
    bail,
    error::{CommandError, Result},
};

/// A time zone as MongoDB's date operators take it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    Named(Tz),
}

impl Zone {
    pub(super) const UTC: Self = Self::Fixed(0);

    /// Parses `UTC`, `Z`, `+hh:mm`, `+hhmm`, `+hh` or an Olson name.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let unknown = || {
            CommandError::location(
                40485,
                format!("unrecognized time zone identifier: \"{text}\""),
            )
        };
        if matches!(text, "UTC" | "GMT" | "Z") {
            return Ok(Self::UTC);
        }
        if let Some(seconds) = parse_offset(text) {
            return Ok(Self::Fixed(seconds));
        }
        text.parse().map(Self::Named).map_err(|_| unknown())
    }

    /// The zone of an optional argument: UTC where it was not given, `None` where it is null.
    pub(super) fn of_argument(arguments: &Arguments<'_>, index: usize) -> Result<Option<Self>> {
        if !arguments.given(index) {
            return Ok(Some(Self::UTC));
        }
        match arguments.get(index) {
            Some(Bson::String(text)) => Self::parse(text).map(Some),
            other if types::is_nullish(other) => Ok(None),
            other => arguments.fail(
                40517,
                format!(
                    "timezone must evaluate to a string, found {}",
                    types::name(other)
                ),
            ),
        }
    }

    /// Seconds east of UTC at that moment.
    pub(super) fn offset_seconds(self, utc: &NaiveDateTime) -> i32 {
        match self {
            Self::Fixed(seconds) => seconds,
            Self::Named(zone) => zone.offset_from_utc_datetime(utc).fix().local_minus_utc(),
        }
    }

    /// What clocks in this zone show.
    pub(super) fn local(self, millis: i64) -> Result<NaiveDateTime> {
        let utc = utc(millis)?;
        match utc.checked_add_signed(Duration::seconds(i64::from(self.offset_seconds(&utc)))) {
            Some(local) => Ok(local),
            None => bail!(BadValue, "date {millis} ms is out of the calendar's range"),
        }
    }

    /// The moment at which clocks here show `local`. Where they show it twice, the first; where
    /// they skip it, as much later.
    pub(super) fn moment(self, local: NaiveDateTime) -> i64 {
        let offset = match self {
            Self::Fixed(seconds) => seconds,
            Self::Named(zone) => match zone.offset_from_local_datetime(&local) {
                MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => {
                    offset.fix().local_minus_utc()
                }
                MappedLocalTime::None => {
                    let before = local
                        .checked_sub_signed(Duration::hours(24))
                        .unwrap_or(local);
                    self.offset_seconds(&before)
                }
            },
        };
        local.and_utc().timestamp_millis() - i64::from(offset) * 1000
    }
}

/// `±hh[[:]mm]` in seconds.
fn parse_offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = match digits.len() {
        5 if digits.as_bytes()[2] == b':' => format!("{}{}", &digits[..2], &digits[3..]),
        2 | 4 => digits.to_owned(),
        _ => return None,
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits[..2].parse().ok()?;
    let minutes: i32 = if digits.len() == 4 {
        digits[2..].parse().ok()?
    } else {
        0
    };
    Some(sign * (hours * 3600 + minutes * 60))
}

/// The UTC calendar time of a BSON date.
pub(super) fn utc(millis: i64) -> Result<NaiveDateTime> {
    match DateTime::<Utc>::from_timestamp_millis(millis) {
        Some(moment) => Ok(moment.naive_utc()),
        None => bail!(BadValue, "date {millis} ms is out of the calendar's range"),
    }
}

/// `2024-01-31T12:00:00.000Z`.
pub(super) fn iso_text(millis: i64) -> Result<String> {
    Ok(utc(millis)?.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// Milliseconds since the epoch of what MongoDB takes for a date: dates, timestamps, ObjectIds.
pub(super) fn date_millis(value: &Bson) -> Result<i64> {
    match value {
        Bson::DateTime(when) => Ok(when.timestamp_millis()),
        Bson::Timestamp(when) => Ok(i64::from(when.time) * 1000),
        Bson::ObjectId(id) => Ok(id.timestamp().timestamp_millis()),
        other => Err(CommandError::location(
            16006,
            format!(
                "can't convert from BSON type {} to Date",
                types::name(Some(other))
            ),
        )),
    }
}
