//! What the operator lets plugins reach although it is not public.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::is_public;

/// Names and networks.
#[derive(Debug, Default)]
pub(super) struct PrivateHosts {
    names: Vec<String>,
    networks: Vec<IpNet>,
}

impl PrivateHosts {
    /// Of names, addresses and networks as they are written.
    pub(super) fn new(listed: impl Iterator<Item = String>) -> Self {
        let mut hosts = Self::default();
        for host in listed {
            let bare = bare(&host);
            if let Ok(network) = bare.parse() {
                hosts.networks.push(network);
            } else if let Ok(address) = bare.parse::<IpAddr>() {
                hosts.networks.push(address.to_canonical().into());
            } else {
                hosts.names.push(host.to_ascii_lowercase());
            }
        }
        hosts
    }

    /// Whether a host is listed by its name, or as the address that it is.
    pub(super) fn names(&self, host: &str) -> bool {
        match literal(host) {
            Some(address) => self.holds(address),
            None => self.names.iter().any(|name| name == host),
        }
    }

    /// Whether a connection to this address may be made for a host of this name.
    pub(super) fn allow(&self, host: &str, address: IpAddr) -> bool {
        is_public(address) || self.names(host) || self.holds(address)
    }

    fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        (self.networks.iter()).any(|network| network.contains(&address))
    }
}

/// The address that a host in a URL is, where it is one.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    bare(host).parse().ok()
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}
