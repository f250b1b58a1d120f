//! Requests of plugins to others: where they may go is checked at every step, and what the operator keeps
//! secret is added here and seen by nobody.
//!
//! Knows no plugins: who asks says by a function which hosts it may reach. A name is resolved once for a
//! connection, by `resolver`, which gives the connector checked addresses and no others: what the name
//! stands for a moment later does not matter.

mod address;
mod apis;
mod exchange;
mod private;
mod resolver;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::{Certificate, Client, redirect};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use mozaiks_config::OutboundConfig;

use apis::Apis;
use private::PrivateHosts;
use resolver::CheckedResolver;
pub use resolver::{Lookup, SystemLookup};

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(30);
/// Such connections to one host.
const IDLE_PER_HOST: usize = 8;

/// What a plugin asks for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, …
    pub method: String,
    /// Where to; below the interface's address where one is named.
    pub url: String,
    /// An interface that the operator has described.
    pub api: Option<String>,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// All of it, where that is to be shorter than the gateway's limit.
    pub timeout: Option<Duration>,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Whom it came from, after redirects.
    pub url: String,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The plugin may not reach that host: the entry that is missing.
    #[error("the permission `{0}` is missing")]
    NotPermitted(String),
    /// Nobody reaches that from here.
    #[error("{0}")]
    Denied(String),
    /// As many as the plugin may have are under way.
    #[error("the plugin has {0} requests to others under way, which is as many as it may")]
    TooMany(usize),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// Nobody there, or an answer that cannot be taken.
    #[error("{0}")]
    Upstream(String),
}

/// Who asks, and what it may.
pub struct Asking<'a> {
    /// The plugin.
    pub plugin: &'a Arc<str>,
    /// Whether it may reach a host at a port, which is the scheme's own or not.
    pub may_reach: &'a (dyn Fn(&str, u16, bool) -> bool + Send + Sync),
    /// Requests that it may have under way, where that is fewer than the gateway's limit.
    pub max_connections: Option<usize>,
}

/// Sends requests of plugins.
pub struct Outbound {
    config: OutboundConfig,
    private: Arc<PrivateHosts>,
    apis: Apis,
    /// For whatever a plugin names.
    open: Client,
    /// For the operator's interfaces: their connections are not for others, who might reach by them
    /// what they cannot reach by themselves.
    named: Client,
    /// Requests under way, by plugin.
    places: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

impl Outbound {
    /// With the system's look-up of names.
    ///
    /// # Errors
    /// A sentence that names the setting and what is wrong.
    pub fn new(config: &OutboundConfig) -> Result<Self, String> {
        Self::with_lookup(config, Arc::new(SystemLookup))
    }

    /// With another look-up of names.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_lookup(config: &OutboundConfig, lookup: Arc<dyn Lookup>) -> Result<Self, String> {
        let apis = match &config.apis {
            Some(path) => Apis::read(path)?,
            None => Apis::default(),
        };
        let trusted = match &config.ca_file {
            Some(path) => authorities(path)?,
            None => Vec::new(),
        };
        let private = Arc::new(PrivateHosts::new(config.private_hosts.iter().cloned()));
        let of_apis = config.private_hosts.iter().cloned().chain(apis.hosts());
        let of_apis = Arc::new(PrivateHosts::new(of_apis));
        Ok(Self {
            open: client(config, &trusted, Arc::clone(&private), Arc::clone(&lookup))?,
            named: client(config, &trusted, of_apis, lookup)?,
            private,
            apis,
            config: config.clone(),
            places: Mutex::default(),
        })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub async fn send(
        &self,
        asking: Asking<'_>,
        request: Request,
    ) -> Result<Answer, OutboundError> {
        let _place = self.place(&asking)?;
        let limit = request
            .timeout
            .unwrap_or(self.config.timeout)
            .min(self.config.timeout);
        match tokio::time::timeout(limit, self.exchange(&asking, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(OutboundError::TimedOut(limit)),
        }
    }

    fn place(&self, asking: &Asking<'_>) -> Result<OwnedSemaphorePermit, OutboundError> {
        let most = self.config.max_connections;
        let places = {
            let mut plugins = self.places.lock();
            let places = plugins
                .entry(Arc::clone(asking.plugin))
                .or_insert_with(|| Arc::new(Semaphore::new(most)));
            Arc::clone(places)
        };
        let limit = asking.max_connections.unwrap_or(most).min(most);
        let place = Arc::clone(&places).try_acquire_owned();
        // Its own place is among those that are taken.
        match place {
            Ok(place) if most - places.available_permits() <= limit => Ok(place),
            _ => Err(OutboundError::TooMany(limit)),
        }
    }
}

/// The certificates of a file.
fn authorities(path: &Path) -> Result<Vec<Certificate>, String> {
    let wrong = |what: String| format!("http_ca_file: {}: {what}", path.display());
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&text).map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("there is no certificate in it".into()));
    }
    Ok(found)
}

fn client(
    config: &OutboundConfig,
    trusted: &[Certificate],
    private: Arc<PrivateHosts>,
    lookup: Arc<dyn Lookup>,
) -> Result<Client, String> {
    Client::builder()
        // A proxy would look names up by itself.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .tls_certs_merge(trusted.iter().cloned())
        .user_agent(concat!("mozaiks-gateway/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.timeout)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .dns_resolver(Arc::new(CheckedResolver::new(lookup, private)))
        .build()
        .map_err(|error| format!("requests of plugins cannot be sent: {error}"))
}
