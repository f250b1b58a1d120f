//! What a plugin may use of the machine: `resource_limits` of a manifest, and an operator's word on it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Limits as far as they are given. Those of a manifest are wishes; an operator's go over them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// Resident bytes of its process.
    pub memory: Option<u64>,
    /// Of one core, in percent.
    pub cpu: Option<f64>,
    /// Bytes a second that reach the disk.
    pub disk_io: Option<u64>,
    /// Connections to others at a time, through the gateway.
    pub network_connections: Option<u64>,
    /// Bytes that it keeps: documents, key-value data, files.
    pub storage: Option<u64>,
    /// Processes that it may start. There is no other number than 0 that could be kept.
    pub processes: Option<u64>,
    /// Descriptors at a time.
    pub open_files: Option<u64>,
    /// Threads that it starts.
    pub threads: Option<u64>,
    /// Bytes of one result.
    pub output_bytes: Option<u64>,
    /// Seconds of one call.
    pub wall: Option<f64>,
    /// Calls at a time.
    pub max_concurrency: Option<u64>,
}

/// What a plugin may store in an app where nobody says anything.
pub const DEFAULT_STORAGE_BYTES: u64 = 1_000_000_000;

/// The names, as they are written.
pub const NAMES: [&str; 11] = [
    "memory",
    "cpu",
    "disk_io",
    "network_connections",
    "storage",
    "processes",
    "open_files",
    "threads",
    "output_bytes",
    "wall",
    "max_concurrency",
];

impl ResourceLimits {
    /// Reads limits: numbers, or `"256MB"`, `"50%"`, `"10MB/s"`, `"2s"`; camel case is taken too. Gives the
    /// names that are not known.
    ///
    /// # Errors
    /// A sentence that names the key of a value that is none.
    pub fn parse(map: &Map<String, Value>) -> Result<(Self, Vec<String>), String> {
        let mut limits = Self::default();
        let mut unknown = Vec::new();
        for (key, value) in map {
            let wrong = |allowed: &str| {
                Err(format!(
                    "resource_limits.{key}: must be {allowed}, not {value}"
                ))
            };
            let name = snake(key);
            let bytes = || size(value);
            let count = || value.as_u64();
            match name.as_str() {
                "memory" | "storage" | "output_bytes" => {
                    let Some(bytes) = bytes().filter(|bytes| *bytes > 0) else {
                        return wrong("a size such as \"256MB\"");
                    };
                    *match name.as_str() {
                        "memory" => &mut limits.memory,
                        "storage" => &mut limits.storage,
                        _ => &mut limits.output_bytes,
                    } = Some(bytes);
                }
                "disk_io" => match rate(value).filter(|bytes| *bytes > 0) {
                    Some(bytes) => limits.disk_io = Some(bytes),
                    None => return wrong("a rate such as \"10MB/s\""),
                },
                "cpu" => match percent(value) {
                    Some(percent) => limits.cpu = Some(percent),
                    None => return wrong("a share of one core such as \"50%\""),
                },
                "wall" => match seconds(value) {
                    Some(seconds) => limits.wall = Some(seconds),
                    None => return wrong("a time such as \"30s\""),
                },
                "network_connections"
                | "processes"
                | "open_files"
                | "threads"
                | "max_concurrency" => {
                    let Some(count) = count() else {
                        return wrong("a whole number");
                    };
                    *match name.as_str() {
                        "network_connections" => &mut limits.network_connections,
                        "processes" => &mut limits.processes,
                        "open_files" => &mut limits.open_files,
                        "threads" => &mut limits.threads,
                        _ => &mut limits.max_concurrency,
                    } = Some(count);
                }
                _ => unknown.push(key.clone()),
            }
        }
        Ok((limits, unknown))
    }

    /// These, and where they say nothing, those.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            memory: self.memory.or(other.memory),
            cpu: self.cpu.or(other.cpu),
            disk_io: self.disk_io.or(other.disk_io),
            network_connections: self.network_connections.or(other.network_connections),
            storage: self.storage.or(other.storage),
            processes: self.processes.or(other.processes),
            open_files: self.open_files.or(other.open_files),
            threads: self.threads.or(other.threads),
            output_bytes: self.output_bytes.or(other.output_bytes),
            wall: self.wall.or(other.wall),
            max_concurrency: self.max_concurrency.or(other.max_concurrency),
        }
    }
}

fn snake(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 2);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            // `diskIO` is `disk_io`.
            if name.ends_with(|last: char| last.is_ascii_lowercase()) && !name.ends_with("_i") {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        } else {
            name.push(if letter == '-' { '_' } else { letter });
        }
    }
    name
}

/// A number, and what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = number
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())?;
    Some((number, unit.trim()))
}

fn size(value: &Value) -> Option<u64> {
    let Value::String(text) = value else {
        return value.as_u64();
    };
    let (number, unit) = number(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" | "k" => 1000,
        "mb" | "m" => 1_000_000,
        "gb" | "g" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    let bytes = number * factor as f64;
    (bytes < (1u64 << 53) as f64).then_some(bytes as u64)
}

fn rate(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => {
            let size_alone = text.trim().strip_suffix("/s").unwrap_or(text);
            size(&Value::String(size_alone.to_owned()))
        }
        other => size(other),
    }
}

fn percent(value: &Value) -> Option<f64> {
    let percent = match value {
        Value::String(text) => match number(text)? {
            (number, "%" | "") => number,
            _ => return None,
        },
        other => other.as_f64()?,
    };
    (percent > 0.0 && percent <= 100_000.0).then_some(percent)
}

fn seconds(value: &Value) -> Option<f64> {
    let seconds = match value {
        Value::String(text) => match number(text)? {
            (number, "s" | "") => number,
            (number, "ms") => number / 1000.0,
            (number, "m") => number * 60.0,
            _ => return None,
        },
        other => other.as_f64()?,
    };
    (seconds > 0.0 && seconds <= 3600.0).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<(ResourceLimits, Vec<String>), String> {
        ResourceLimits::parse(value.as_object().unwrap())
    }

    #[test]
    fn limits_are_read_in_every_spelling() {
        let (limits, unknown) = parse(json!({
            "memory": "256MB", "cpu": "50%", "diskIO": "10MB/s", "networkConnections": 100,
            "storage": "1GiB", "openFiles": 5, "wall": "2s", "colour": 1,
        }))
        .unwrap();
        assert_eq!(limits.memory, Some(256_000_000));
        assert_eq!(limits.cpu, Some(50.0));
        assert_eq!(limits.disk_io, Some(10_000_000));
        assert_eq!(limits.network_connections, Some(100));
        assert_eq!(limits.storage, Some(1 << 30));
        assert_eq!(limits.open_files, Some(5));
        assert_eq!(limits.wall, Some(2.0));
        assert_eq!(unknown, ["colour"]);
    }

    #[test]
    fn what_is_no_limit_is_named() {
        for (key, value) in [
            ("memory", json!("lots")),
            ("memory", json!(-1)),
            ("memory", json!(0)),
            ("cpu", json!("50MB")),
            ("threads", json!(1.5)),
            ("disk_io", json!("10MB/h")),
            ("wall", json!("-1s")),
        ] {
            let error = parse(json!({ key: value })).unwrap_err();
            assert!(
                error.starts_with(&format!("resource_limits.{key}: ")),
                "{error}"
            );
        }
    }
}
