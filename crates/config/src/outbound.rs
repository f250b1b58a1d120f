//! What plugins may reach outside, and how much of it.

use std::{path::PathBuf, time::Duration};

/// The bounds of plugins' requests to others.
#[derive(Debug, Clone)]
pub struct OutboundConfig {
    /// File with the interfaces that plugins may call by name. `MOZAIKS_HTTP_APIS`
    pub apis: Option<PathBuf>,
    /// Hosts, addresses and networks that may be private, and be spoken to without TLS.
    /// `MOZAIKS_HTTP_PRIVATE_HOSTS`
    pub private_hosts: Vec<String>,
    /// Authorities that are trusted beside the system's, in PEM. `MOZAIKS_HTTP_CA_FILE`
    pub ca_file: Option<PathBuf>,
    /// One request with all its redirects. `MOZAIKS_HTTP_TIMEOUT_SECONDS`
    pub timeout: Duration,
    /// Bytes of a request's body. `MOZAIKS_HTTP_MAX_REQUEST_BYTES`
    pub max_request_bytes: usize,
    /// Bytes of an answer's body. `MOZAIKS_HTTP_MAX_RESPONSE_BYTES`
    pub max_response_bytes: usize,
    /// Requests of one plugin at a time. `MOZAIKS_HTTP_MAX_CONNECTIONS`
    pub max_connections: usize,
}

impl Default for OutboundConfig {
    fn default() -> Self {
        Self {
            apis: None,
            private_hosts: Vec::new(),
            ca_file: None,
            timeout: Duration::from_secs(10),
            max_request_bytes: 1024 * 1024,
            max_response_bytes: 8 * 1024 * 1024,
            max_connections: 100,
        }
    }
}
