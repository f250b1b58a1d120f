//! The one line a request, formatted by hand.
//!
//! Written for every call, so no span, no map of fields and no formatting machinery: the fields are
//! appended to a buffer that its thread keeps. It obeys `MOZAIKS_LOG` under the target `access`.

use std::{
    cell::RefCell,
    io::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::writer::LogWriter;
use mozaiks_config::LogFormat;
use mozaiks_json_text::is_clean_ascii;

/// What is said about a finished request.
#[derive(Debug, Clone, Default)]
pub struct AccessRecord<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// `POST`…
    pub method: &'a str,
    /// The path without its query.
    pub path: &'a str,
    /// The answer's status; 499 where the client went away first.
    pub status: u16,
    /// From the request's head to the answer's.
    pub time: Duration,
    /// The verified user.
    pub user_id: Option<&'a str>,
    /// The verified user's app.
    pub app_id: Option<&'a str>,
    /// The plugin called.
    pub plugin: Option<&'a str>,
    /// `action` of the request.
    pub action: Option<&'a str>,
    /// `error_code` of the answer.
    pub error_code: Option<&'a str>,
    /// What the operator may know and the client was not told.
    pub internal: Option<&'a str>,
}

/// Writes request lines.
pub struct AccessLog {
    writer: LogWriter,
    format: LogFormat,
}

thread_local! {
    /// The line being formatted and the second its timestamp's text belongs to.
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

struct Scratch {
    line: Vec<u8>,
    second: u64,
    /// `2026-01-31T12:00:00`
    second_text: [u8; 19],
}

impl Scratch {
    const fn new() -> Self {
        Self {
            line: Vec::new(),
            second: u64::MAX,
            second_text: [b'0'; 19],
        }
    }
}

impl AccessLog {
    /// Lines of one format into one writer.
    pub fn new(writer: LogWriter, format: LogFormat) -> Self {
        Self { writer, format }
    }

    /// Writes one line, unless the filter says no.
    pub fn write(&self, record: &AccessRecord<'_>) {
        // What went wrong on our side must stand out, also under a filter that hides the rest.
        let enabled = if record.status >= 500 {
            tracing::enabled!(target: "access", tracing::Level::ERROR)
        } else {
            tracing::enabled!(target: "access", tracing::Level::INFO)
        };
        if !enabled {
            return;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        SCRATCH.with_borrow_mut(|scratch| {
            if scratch.second != now.as_secs() {
                scratch.second = now.as_secs();
                scratch.second_text = second_text(now.as_secs());
            }
            let Scratch {
                line, second_text, ..
            } = scratch;
            line.clear();
            match self.format {
                LogFormat::Json => json_line(line, second_text, now.subsec_micros(), record),
                LogFormat::Pretty => pretty_line(line, second_text, now.subsec_micros(), record),
            }
            self.writer.append(line);
        });
    }

    /// Lines that found no room since the start, of all kinds.
    pub fn dropped_lines(&self) -> u64 {
        self.writer.dropped()
    }
}

fn level_of(status: u16) -> &'static str {
    if status >= 500 { "ERROR" } else { "INFO" }
}

fn json_line(line: &mut Vec<u8>, second: &[u8; 19], micros: u32, record: &AccessRecord<'_>) {
    line.extend_from_slice(b"{\"timestamp\":\"");
    line.extend_from_slice(second);
    line.push(b'.');
    push_padded(line, micros, 6);
    line.extend_from_slice(b"Z\",\"level\":\"");
    line.extend_from_slice(level_of(record.status).as_bytes());
    line.extend_from_slice(b"\",\"target\":\"access\",\"message\":\"request\",\"request.id\":");
    push_json_string(line, record.request_id);
    line.extend_from_slice(b",\"http.method\":");
    push_json_string(line, record.method);
    line.extend_from_slice(b",\"http.path\":");
    push_json_string(line, record.path);
    line.extend_from_slice(b",\"http.status\":");
    push_number(line, u64::from(record.status));
    line.extend_from_slice(b",\"time_ms\":");
    push_milliseconds(line, record.time);
    for (key, value) in optional_fields(record) {
        if let Some(value) = value {
            line.extend_from_slice(b",\"");
            line.extend_from_slice(key.as_bytes());
            line.extend_from_slice(b"\":");
            push_json_string(line, value);
        }
    }
    line.extend_from_slice(b"}\n");
}

fn pretty_line(line: &mut Vec<u8>, second: &[u8; 19], micros: u32, record: &AccessRecord<'_>) {
    line.extend_from_slice(second);
    line.push(b'.');
    push_padded(line, micros, 6);
    line.extend_from_slice(b"Z ");
    line.extend_from_slice(level_of(record.status).as_bytes());
    line.extend_from_slice(b" access: ");
    line.extend_from_slice(record.method.as_bytes());
    line.push(b' ');
    push_json_string(line, record.path);
    line.push(b' ');
    push_number(line, u64::from(record.status));
    line.push(b' ');
    push_milliseconds(line, record.time);
    line.extend_from_slice(b"ms request.id=");
    push_json_string(line, record.request_id);
    for (key, value) in optional_fields(record) {
        if let Some(value) = value {
            line.push(b' ');
            line.extend_from_slice(key.as_bytes());
            line.push(b'=');
            push_json_string(line, value);
        }
    }
    line.push(b'\n');
}

fn optional_fields<'a>(record: &AccessRecord<'a>) -> [(&'static str, Option<&'a str>); 6] {
    [
        ("user.id", record.user_id),
        ("app.id", record.app_id),
        ("plugin.name", record.plugin),
        ("plugin.action", record.action),
        ("error.code", record.error_code),
        ("error.internal", record.internal),
    ]
}

fn push_number(line: &mut Vec<u8>, number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
}

fn push_padded(line: &mut Vec<u8>, number: u32, width: u32) {
    for place in (0..width).rev() {
        line.push(b'0' + (number / 10u32.pow(place) % 10) as u8);
    }
}

/// Milliseconds with three decimals.
fn push_milliseconds(line: &mut Vec<u8>, time: Duration) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    push_number(line, micros / 1000);
    line.push(b'.');
    push_padded(line, (micros % 1000) as u32, 3);
}

/// A JSON string; text that needs no escape is copied in one piece.
fn push_json_string(line: &mut Vec<u8>, text: &str) {
    line.push(b'"');
    if is_clean_ascii(text.as_bytes()) {
        line.extend_from_slice(text.as_bytes());
    } else {
        for character in text.chars() {
            match character {
                '"' => line.extend_from_slice(b"\\\""),
                '\\' => line.extend_from_slice(b"\\\\"),
                '\n' => line.extend_from_slice(b"\\n"),
                // Line breaks of Unicode's are no control characters.
                '\u{2028}' | '\u{2029}' => {
                    let _ = write!(line, "\\u{:04x}", u32::from(character));
                }
                control if control.is_control() => {
                    // Writing into a Vec cannot fail.
                    let _ = write!(line, "\\u{:04x}", u32::from(control));
                }
                other => line.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    line.push(b'"');
}

/// `2026-01-31T12:00:00` of seconds since 1970, by the civil calendar.
fn second_text(seconds: u64) -> [u8; 19] {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Years counted from March, so that the leap day is a year's last.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00";
    let parts = [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, of_day / 3_600),
        (14, 2, of_day / 60 % 60),
        (17, 2, of_day % 60),
    ];
    for (start, width, number) in parts {
        let mut rest = number;
        for place in (start..start + width).rev() {
            text[place] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_251_199, "2024-02-29T23:59:59"),
            (4_107_542_399, "2100-02-28T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(second_text(seconds), *text.as_bytes(), "{seconds}");
        }
    }

    #[test]
    fn a_line_is_one_json_object_whatever_the_fields_hold() {
        let nasty = "a\"b\\c\nd\u{1}\u{7f}\u{85}é";
        let record = AccessRecord {
            request_id: "r-1",
            method: "POST",
            path: nasty,
            status: 200,
            time: Duration::from_micros(1_234_567),
            user_id: Some(nasty),
            action: Some("create"),
            ..AccessRecord::default()
        };
        let mut line = Vec::new();
        json_line(&mut line, &second_text(0), 42, &record);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["timestamp"], "1970-01-01T00:00:00.000042Z");
        assert_eq!(value["http.path"], nasty);
        assert_eq!(value["user.id"], nasty);
        assert_eq!(value["plugin.action"], "create");
        assert_eq!(value["time_ms"], 1234.567);
        assert!(value.get("error.code").is_none());
    }
}
