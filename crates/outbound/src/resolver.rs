//! Names become addresses, once for a connection, and each is checked before the connector hears of it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::private::PrivateHosts;

/// Looks names up.
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of a name.
    fn addresses(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// As the system does.
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn addresses(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A name whose addresses are not for plugins.
#[derive(Debug, thiserror::Error)]
#[error("`{host}` stands for an address that is not public")]
pub(super) struct NotPublic {
    host: String,
}

/// Gives the connector what may be reached.
pub(super) struct CheckedResolver {
    lookup: Arc<dyn Lookup>,
    private: Arc<PrivateHosts>,
}

impl CheckedResolver {
    pub(super) fn new(lookup: Arc<dyn Lookup>, private: Arc<PrivateHosts>) -> Self {
        Self { lookup, private }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
        let addresses = self.lookup.addresses(host.clone());
        let private = Arc::clone(&self.private);
        Box::pin(async move {
            let addresses = addresses.await?;
            // One that is not public makes the name a trap, whatever the others are.
            if !addresses
                .iter()
                .all(|address| private.allow(&host, *address))
            {
                return Err(NotPublic { host }.into());
            }
            // The port is the URL's.
            let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}
