//! What an entry covers.

/// Whether a pattern covers a name, or another pattern: a `*` of that one is covered by a `*` only.
pub(super) fn covers(pattern: &str, wanted: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == wanted;
    };
    let Some(mut rest) = wanted.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = tail.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether an entry of `network` covers a host at a port. Without a port it means the scheme's own.
pub(super) fn reaches(entry: &str, host: &str, port: u16, is_default_port: bool) -> bool {
    if entry == "*" {
        return true;
    }
    let (name, wanted_port) = split_port(entry);
    let port_fits = match wanted_port {
        Some(wanted) => wanted == port,
        None => is_default_port,
    };
    let host_fits = match name.strip_prefix("*.") {
        Some(domain) => host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => name == host,
    };
    port_fits && host_fits
}

/// `host:port`, `[::1]:port`, or a host alone.
pub(super) fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((host, port)) = entry.rsplit_once(':')
        && !host.ends_with(':')
        && (!host.contains(':') || host.ends_with(']'))
        && let Ok(port) = port.parse()
    {
        return (host, Some(port));
    }
    (entry, None)
}

/// Whether a path lies in a directory, or is it.
pub(super) fn is_below(directory: &str, path: &str) -> bool {
    directory == "."
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
