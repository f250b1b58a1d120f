//! Times as callers write them: every form of ISO 8601 that Python's `datetime` writes or reads, in the
//! years 1 to 9999. `mozaiks.testing` has the same rule; both are held to one table.

use bson::DateTime;

const DAY_MICROS: i64 = 86_400_000_000;

/// Reads a time; one without an offset is in UTC, a day alone is no time. What is finer than a
/// millisecond is cut off. `None` for what names no moment.
pub(super) fn read_moment(text: &str) -> Option<DateTime> {
    let mut scan = Scan(text.as_bytes());
    let day = scan.day()?;
    if !scan.takes(b"Tt ") {
        return None;
    }
    let mut micros = day * DAY_MICROS + scan.clock()?;
    if !scan.0.is_empty() && !scan.takes(b"Zz") {
        let sign = if scan.takes(b"+") {
            -1
        } else if scan.takes(b"-") {
            1
        } else {
            return None;
        };
        micros += sign * scan.clock()?;
    }
    let years = first_of(1)? * DAY_MICROS..first_of(10_000)? * DAY_MICROS;
    (scan.0.is_empty() && years.contains(&micros))
        .then(|| DateTime::from_millis(micros.div_euclid(1000)))
}

/// What is left to read.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    /// Takes one character of these.
    fn takes(&mut self, of: &[u8]) -> bool {
        match self.0 {
            [first, rest @ ..] if of.contains(first) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes a number of so many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let value = number.iter().try_fold(0, |value, digit| {
            (digit.is_ascii_digit()).then(|| value * 10 + i64::from(digit - b'0'))
        })?;
        self.0 = rest;
        Some(value)
    }

    fn digit_follows(&self) -> bool {
        self.0.first().is_some_and(u8::is_ascii_digit)
    }

    /// A calendar date or a week's, with dashes or without; in days since 1970.
    fn day(&mut self) -> Option<i64> {
        let year = self.number(4)?;
        let dashes = self.takes(b"-");
        if self.takes(b"W") {
            let week = self.number(2)?;
            let has_day = if dashes {
                self.takes(b"-")
            } else {
                self.digit_follows()
            };
            let day = if has_day { self.number(1)? } else { 1 };
            let monday = first_monday(year)? + (week - 1) * 7;
            let exists = week >= 1 && monday < first_monday(year + 1)? && (1..=7).contains(&day);
            return exists.then_some(monday + day - 1);
        }
        let month = self.number(2)?;
        if dashes && !self.takes(b"-") {
            return None;
        }
        day_of(year, month, self.number(2)?)
    }

    /// Hours, and more of a day or of an offset, with colons between all numbers or none; in
    /// microseconds.
    fn clock(&mut self) -> Option<i64> {
        let hour = self.number(2)?;
        let (mut minute, mut second, mut micros) = (0, 0, 0);
        let colons = self.takes(b":");
        if colons || self.digit_follows() {
            minute = self.number(2)?;
            let more = if colons {
                self.takes(b":")
            } else {
                self.digit_follows()
            };
            if more {
                second = self.number(2)?;
                if self.takes(b".,") {
                    micros = self.fraction()?;
                }
            }
        }
        let fits = hour < 24 && minute < 60 && second < 60;
        fits.then_some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
    }

    /// The digits of a fraction of a second, at least one.
    fn fraction(&mut self) -> Option<i64> {
        let mut micros = 0;
        let mut weight = 100_000;
        if !self.digit_follows() {
            return None;
        }
        while self.digit_follows() {
            micros += self.number(1)? * weight;
            weight /= 10;
        }
        Some(micros)
    }
}

/// A day of the calendar in days since 1970.
fn day_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let built = DateTime::builder()
        .year(i32::try_from(year).ok()?)
        .month(u8::try_from(month).ok()?)
        .day(u8::try_from(day).ok()?)
        .build()
        .ok()?;
    Some(built.timestamp_millis().div_euclid(DAY_MICROS / 1000))
}

/// The first day of a year; that after 9999 has no name.
fn first_of(year: i64) -> Option<i64> {
    Some(day_of(year - 1, 12, 31)? + 1)
}

/// The Monday of a year's first week: that with the fourth of January.
fn first_monday(year: i64) -> Option<i64> {
    let fourth = first_of(year)? + 3;
    // The first of January 1970 was a Thursday.
    Some(fourth - (fourth + 3).rem_euclid(7))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn times_of_the_table() {
        let table: Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/times.json")).unwrap();
        let times = table["times"].as_array().unwrap();
        assert!(times.len() > 50);
        for row in times {
            let text = row[0].as_str().unwrap();
            let named = row[1]
                .as_str()
                .map(|moment| DateTime::parse_rfc3339_str(moment).unwrap());
            assert_eq!(read_moment(text), named, "{text:?}");
        }
    }

    #[test]
    fn the_ends_of_time() {
        assert!(read_moment("0001-01-01T00:00:00Z").is_some());
        assert!(read_moment("9999-12-31T23:59:59.999Z").is_some());
        assert!(read_moment("0001-01-01T00:00:00+00:01").is_none());
        assert!(read_moment("9999-12-31T23:59:59-00:01").is_none());
        assert!(read_moment("9999-W52-7T00:00Z").is_none());
        assert!(read_moment("9999-W52-5T00:00Z").is_some());
    }
}
