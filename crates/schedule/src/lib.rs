//! When a recurring job is due: cron expressions of five or six fields in a time zone.
//!
//! `croner` reads and evaluates them as Vixie cron does: where both the day of the month and the day
//! of the week are given, either suffices. At the change to summer time a run at an hour that does not
//! exist comes at the first moment after it; at the change back a run at a fixed hour comes once.

use std::{fmt, str::FromStr as _};

use bson::DateTime;
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

/// Nobody's schedule is longer; refused before it is parsed.
const MAX_BYTES: usize = 256;

/// Why an expression is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The cron expression cannot be read.
    #[error("{0:?} is no cron expression of five or six fields: {1}")]
    Cron(String, String),
    /// The time zone is not in the IANA database.
    #[error("{0:?} is no IANA time zone such as Europe/Berlin or UTC")]
    TimeZone(String),
    /// The expression can be read, but no such time comes.
    #[error("{0:?} never comes")]
    Never(String),
}

/// A cron expression in a time zone.
#[derive(Clone)]
pub struct Schedule {
    expression: String,
    cron: Cron,
    zone: Tz,
}

impl Schedule {
    /// Reads an expression: minute, hour, day of the month, month, day of the week (0 and 7 are
    /// Sunday), and seconds before them where there are six fields.
    ///
    /// # Errors
    /// [`ScheduleError`] with what is wrong.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        let expression = expression.trim();
        let shown = || expression.chars().take(64).collect::<String>();
        let wrong = |why: &str| ScheduleError::Cron(shown(), why.to_owned());
        if expression.len() > MAX_BYTES {
            return Err(wrong("it is too long"));
        }
        let zone = Tz::from_str(zone)
            .map_err(|_| ScheduleError::TimeZone(zone.chars().take(64).collect()))?;
        let fields = expression.split_whitespace().count();
        if !matches!(fields, 5 | 6) {
            return Err(wrong(&format!("it has {fields}")));
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build()
            .parse(expression)
            .map_err(|error| wrong(&error.to_string()))?;
        let schedule = Self {
            expression: expression.to_owned(),
            cron,
            zone,
        };
        match schedule.next_after(DateTime::now()) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(shown())),
        }
    }

    /// The first time after this one; `None` where no such time comes any more.
    pub fn next_after(&self, after: DateTime) -> Option<DateTime> {
        let after = chrono::DateTime::from_timestamp_millis(after.timestamp_millis())?;
        let next = self
            .cron
            .find_next_occurrence(&after.with_timezone(&self.zone), false)
            .ok()?;
        Some(DateTime::from_millis(next.timestamp_millis()))
    }

    /// The expression as it was given.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The time zone's name.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({:?} in {})", self.expression, self.zone())
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression && self.zone == other.zone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime {
        DateTime::parse_rfc3339_str(text).unwrap()
    }

    /// The times after one, as text in UTC.
    fn after(expression: &str, zone: &str, start: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(expression, zone).unwrap();
        let mut times = Vec::new();
        let mut last = at(start);
        while times.len() < count {
            let next = schedule.next_after(last).unwrap();
            assert!(next > last, "{expression}: {next} after {last}");
            times.push(next.try_to_rfc3339_string().unwrap());
            last = next;
        }
        times
    }

    #[test]
    fn five_fields_are_minutes_and_six_begin_with_seconds() {
        assert_eq!(
            after("*/5 * * * *", "UTC", "2026-01-07T09:30:00Z", 2),
            ["2026-01-07T09:35:00Z", "2026-01-07T09:40:00Z"]
        );
        assert_eq!(
            after("*/20 0 9 * * *", "UTC", "2026-01-07T09:00:20.5Z", 2),
            ["2026-01-07T09:00:40Z", "2026-01-08T09:00:00Z"]
        );
        assert_eq!(
            after("* * * * * *", "UTC", "2026-01-07T09:00:00.999Z", 1),
            ["2026-01-07T09:00:01Z"]
        );
    }

    #[test]
    fn the_day_of_the_month_or_that_of_the_week_suffices() {
        // The 15th is a Thursday; Mondays are the 12th and the 19th. 7 is Sunday as 0 is.
        assert_eq!(
            after("0 8 15 * MON", "UTC", "2026-01-12T07:00:00Z", 3),
            [
                "2026-01-12T08:00:00Z",
                "2026-01-15T08:00:00Z",
                "2026-01-19T08:00:00Z"
            ]
        );
        let sundays =
            |day: &str| after(&format!("0 0 * * {day}"), "UTC", "2026-01-07T00:00:00Z", 2);
        assert_eq!(sundays("7"), sundays("0"));
        assert_eq!(
            after("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1),
            ["2028-02-29T00:00:00Z"]
        );
    }

    #[test]
    fn an_hour_that_does_not_exist_or_comes_twice_runs_once() {
        // Berlin: 02:00 becomes 03:00 on 29 March 2026, 03:00 becomes 02:00 on 25 October.
        assert_eq!(
            after("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
            [
                "2026-03-28T01:30:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-30T00:30:00Z"
            ]
        );
        assert_eq!(
            after("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        // Every hour stays every hour.
        assert_eq!(
            after("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 3),
            [
                "2026-10-25T00:00:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T02:00:00Z"
            ]
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_its_reason() {
        for bad in [
            "",
            "* * * *",
            "* * * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "a * * * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "@reboot",
            "-1 * * * *",
        ] {
            let error = Schedule::parse(bad, "UTC").unwrap_err();
            assert!(matches!(error, ScheduleError::Cron(..)), "{bad:?}: {error}");
        }
        let long = "1,".repeat(400) + "1 * * * *";
        assert!(Schedule::parse(&long, "UTC").is_err());
        let zone = Schedule::parse("* * * * *", "Mars/Olympus").unwrap_err();
        assert_eq!(zone, ScheduleError::TimeZone("Mars/Olympus".into()));
        // Looked for in vain, and not for long.
        let begun = std::time::Instant::now();
        let never = Schedule::parse("0 0 30 2 *", "UTC").unwrap_err();
        assert_eq!(never, ScheduleError::Never("0 0 30 2 *".into()));
        assert!(begun.elapsed() < std::time::Duration::from_secs(2));
    }
}
