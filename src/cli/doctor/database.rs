//! Whether a MongoDB server answers at the addresses of a URI. The credentials are not tried.

use std::{
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use super::Finding;

/// How long one address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// MongoDB's own port.
const DEFAULT_PORT: u16 = 27017;

pub(super) fn check_server(uri: &str) -> Vec<Finding> {
    let Some(rest) = uri.strip_prefix("mongodb://") else {
        return vec![Finding::warn(
            "database",
            "mongodb+srv: the servers are looked up when the gateway starts; not checked here",
        )];
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority
        .rsplit_once('@')
        .map_or(authority, |(_, hosts)| hosts);
    let results: Vec<(&str, Result<(), String>)> =
        hosts.split(',').map(|host| (host, connect(host))).collect();
    let any_answers = results.iter().any(|(_, result)| result.is_ok());
    results
        .into_iter()
        .map(|(host, result)| match result {
            Ok(()) => Finding::ok("database", format!("{host} answers")),
            // One member of a set may be down.
            Err(error) if any_answers => Finding::warn("database", format!("{host}: {error}")),
            Err(error) => Finding::fail("database", format!("{host}: {error}")),
        })
        .collect()
}

fn connect(host: &str) -> Result<(), String> {
    if host.to_ascii_lowercase().contains("%2f") {
        return connect_to_socket_file(host);
    }
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok())
        && !host.ends_with(']');
    let address = if has_port {
        host.to_owned()
    } else {
        format!("{host}:{DEFAULT_PORT}")
    };
    let mut last = "the name has no address".to_owned();
    for address in address
        .to_socket_addrs()
        .map_err(|error| error.to_string())?
    {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn connect_to_socket_file(host: &str) -> Result<(), String> {
    let path = host.replace("%2F", "/").replace("%2f", "/");
    std::os::unix::net::UnixStream::connect(path)
        .map(|_| ())
        .map_err(|error| error.to_string())
}
