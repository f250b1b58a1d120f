//! What a request of HTTP/1 says about where it ends and whom it is for, where hyper is content with
//! less than RFC 9112 demands. A request that fails here ends its connection: what follows it may be
//! meant as a part of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{HeaderMap, Request, Version, header, uri::Authority};

use super::error::ApiError;

/// What the connection found out about a body with a `Transfer-Encoding`; in the request's extensions.
#[derive(Debug, Clone, Default)]
pub struct BodyFraming {
    head: HeadFraming,
    /// Set before the bytes that break it reach hyper.
    broken: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy, Default)]
enum HeadFraming {
    #[default]
    Chunked,
    Malformed,
    Unsupported,
}

impl BodyFraming {
    /// The length is told in two ways, or was not followed.
    pub fn malformed() -> Self {
        Self {
            head: HeadFraming::Malformed,
            ..Self::default()
        }
    }

    /// Another encoding than `chunked`, or more than one.
    pub fn unsupported() -> Self {
        Self {
            head: HeadFraming::Unsupported,
            ..Self::default()
        }
    }

    /// The body does not end as it should.
    pub fn break_off(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// Whether that has happened.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

/// Refuses heads that name no host, or more than one, or no clear end of their body.
pub(super) fn check_head<B>(request: &Request<B>) -> Result<(), ApiError> {
    if request.version() > Version::HTTP_11 {
        return Ok(());
    }
    if let Some(framing) = request.extensions().get::<BodyFraming>() {
        match framing.head {
            HeadFraming::Chunked => {}
            HeadFraming::Malformed => return Err(ApiError::MalformedRequest),
            HeadFraming::Unsupported => return Err(ApiError::UnsupportedTransferEncoding),
        }
    }
    if names_one_host(request.headers(), request.version()) {
        Ok(())
    } else {
        Err(ApiError::MalformedRequest)
    }
}

fn names_one_host(headers: &HeaderMap, version: Version) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => is_host(host.as_bytes()),
        (Some(_), Some(_)) => false,
    }
}

/// `uri-host [ ":" port ]` (RFC 9110, 7.2).
fn is_host(host: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let name_bytes = host.iter().take_while(|byte| plain(byte)).count();
    if name_bytes > 0 && is_port(&host[name_bytes..]) {
        return true;
    }
    // Addresses in brackets, and letters that few hosts have.
    let Ok(authority) = Authority::try_from(host) else {
        return false;
    };
    let name = authority.host();
    !name.is_empty() && !host.contains(&b'@') && is_port(&host[name.len()..])
}

fn is_port(rest: &[u8]) -> bool {
    match rest {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_what_is_none() {
        for host in [
            "localhost",
            "localhost:8000",
            "a.example.com:",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8000",
            "xn--bcher-kva.example",
            "a_b",
            "a~b",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":80", "a b", "a, b", "a/b", "http://a", "user@a", "a:b", "a:80:80", "[::1", "::1",
            "[::1]x", "a?b", "a#b", "a\u{e4}", "a\\b",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
