//! How values are written: switches, durations, sizes, addresses, origins, URLs.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use reqwest::Url;

/// Parses `30`, `1.5`, `30s`, `500ms`, `5m`, `1h` or `2d`; a bare number is seconds.
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds_per_unit = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let number = plain_decimal(number)?;
    Duration::try_from_secs_f64(number * seconds_per_unit).ok()
}

/// Parses a yes-or-no value.
pub(super) fn switch(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Parses `1048576`, `64KiB`, `1 MiB`, `2GiB`, `10kB` or `1MB`; a bare number is bytes.
pub(super) fn bytes(text: &str) -> Option<usize> {
    let text = text.trim();
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    let number = number.trim_end();
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let bytes = number.parse::<u64>().ok()?.checked_mul(factor)?;
    usize::try_from(bytes).ok()
}

/// Digits with at most one point: no sign, exponent, `inf` or `nan`.
fn plain_decimal(text: &str) -> Option<f64> {
    let text = text.trim_end();
    let points = text.bytes().filter(|b| *b == b'.').count();
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if points > 1 || !plain || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Parses an address or a network: `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => text.parse().ok()?,
    };
    Some(network.trunc())
}

/// Parses a host's name, an address or a network.
pub(super) fn host(text: &str) -> Option<String> {
    if let Some(network) = network(text) {
        return Some(network.to_string());
    }
    let is_name = !text.starts_with(['.', '-'])
        && text.len() <= 253
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_'));
    is_name.then(|| text.to_ascii_lowercase())
}

/// Parses an address; `localhost` stands for 127.0.0.1.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    match text.trim().strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?))),
        None => text.trim().parse().ok(),
    }
}

/// Parses a browser origin: `scheme://host[:port]` and nothing more. Gives it as browsers send it.
pub(super) fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && !text.ends_with('/');
    bare.then(|| url.origin().ascii_serialization())
}

/// Whether the gateway may call this URL with what is secret: https, or http on this machine.
pub(super) fn is_safe_url(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    match url.scheme() {
        "https" => url.has_host(),
        "http" => url.host_str().is_some_and(is_loopback),
        _ => false,
    }
}

/// Whether this can be an OIDC issuer: a URL that may be called, without credentials, query and fragment.
pub(super) fn is_issuer(text: &str) -> bool {
    is_safe_url(text)
        && !text.contains(['?', '#'])
        && Url::parse(text).is_ok_and(|url| url.username().is_empty() && url.password().is_none())
}

/// Whether a URL's host is this machine.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether this can be a MongoDB URI; the driver checks the rest when it connects.
pub(super) fn is_database_uri(text: &str) -> bool {
    let rest = text
        .strip_prefix("mongodb://")
        .or_else(|| text.strip_prefix("mongodb+srv://"));
    rest.is_some_and(|rest| {
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let hosts = authority
            .rsplit_once('@')
            .map_or(authority, |(_, hosts)| hosts);
        !hosts.is_empty() && !text.contains(char::is_whitespace)
    })
}

/// Whether MongoDB accepts this as a database name.
pub(super) fn is_database_name(text: &str) -> bool {
    (1..=63).contains(&text.len()) && !text.contains(['/', '\\', '.', ' ', '"', '$', '\0'])
}

/// A duration as it is written in the configuration.
pub(super) fn show_duration(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{}s", duration.as_secs())
    } else if duration < Duration::from_secs(1) {
        format!("{}ms", duration.as_secs_f64() * 1000.0)
    } else {
        format!("{}s", duration.as_secs_f64())
    }
}

/// A size as it is written in the configuration.
pub(super) fn show_bytes(bytes: usize) -> String {
    const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, factor) in UNITS {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}
