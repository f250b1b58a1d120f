//! Where a request comes from: the peer's address, or what trusted proxies say of it.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName};
use mozaiks_config::IpNetwork;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What proxies add. From a peer that is none it is the client's own invention.
const OF_PROXIES: [&str; 5] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Whose address it is that a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientAddress {
    /// The client's.
    pub(super) ip: IpAddr,
    /// Whether the peer is a proxy whose headers count.
    pub(super) through_proxy: bool,
}

impl ClientAddress {
    /// Reads `X-Forwarded-For` from its end, as far as the proxies that wrote it are trusted.
    pub(super) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNetwork]) -> Self {
        let mut ip = peer.to_canonical();
        let is_trusted = |ip: IpAddr| trusted.iter().any(|network| network.contains(&ip));
        if !is_trusted(ip) {
            return Self {
                ip,
                through_proxy: false,
            };
        }
        let lines = headers.get_all(X_FORWARDED_FOR).iter();
        let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
        for said in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            // Beyond what cannot be read nobody is known.
            let Some(next) = address(said.trim()) else {
                break;
            };
            ip = next;
            if !is_trusted(ip) {
                break;
            }
        }
        Self {
            ip,
            through_proxy: true,
        }
    }

    /// Whether a header is for a handler to see.
    pub(super) fn vouches_for(self, header: &HeaderName) -> bool {
        self.through_proxy || !OF_PROXIES.contains(&header.as_str())
    }

    /// Whom to count by: of IPv6 a whole subscriber's network, who has all its addresses.
    pub(super) fn counted(self) -> IpAddr {
        match self.ip {
            IpAddr::V4(_) => self.ip,
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        }
    }
}

/// An address as proxies write it: some add the port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse().ok().or_else(|| {
        let with_port: Option<std::net::SocketAddr> = text.parse().ok();
        with_port.map(|address| address.ip())
    });
    ip.map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        let found = ClientAddress::of(peer.parse().unwrap(), &headers, &trusted);
        found.ip.to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        for (peer, forwarded, wanted) in [
            ("1.2.3.4", &[][..], "1.2.3.4"),
            ("1.2.3.4", &["9.9.9.9"], "1.2.3.4"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["9.9.9.9"], "9.9.9.9"),
            ("::ffff:10.0.0.1", &["9.9.9.9"], "9.9.9.9"),
            ("10.0.0.1", &["8.8.8.8, 9.9.9.9"], "9.9.9.9"),
            ("10.0.0.1", &["8.8.8.8, 9.9.9.9, 10.0.0.2"], "9.9.9.9"),
            (
                "10.0.0.1",
                &["8.8.8.8", "9.9.9.9:1234 , fd00::1"],
                "9.9.9.9",
            ),
            ("10.0.0.1", &["8.8.8.8, [2001:db8::1]:99"], "2001:db8::1"),
            ("10.0.0.1", &["8.8.8.8, nonsense, 10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, forwarded), wanted, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_subscriber_counts_once_whatever_addresses_it_takes() {
        let counted = |ip: &str| {
            let ip = ip.parse().unwrap();
            ClientAddress::of(ip, &HeaderMap::new(), &[]).counted()
        };
        assert_eq!(counted("2001:db8:0:1::5"), counted("2001:db8:0:1:ffff::"));
        assert_ne!(counted("2001:db8:0:1::5"), counted("2001:db8:0:2::5"));
        assert_ne!(counted("1.2.3.4"), counted("1.2.3.5"));
        assert_eq!(counted("::ffff:1.2.3.4"), counted("1.2.3.4"));
    }
}
