//! Which browsers of other origins are let in: one list for CORS and for the WebSocket handshake.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};

use super::{body::GatewayBody, error::ApiError};

const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");
const ALLOWED_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, x-request-id");
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("x-request-id");
/// How long browsers may remember a preflight's answer, in seconds.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The allow-list.
#[derive(Debug, Clone)]
pub struct OriginAllowList {
    origins: Vec<HeaderValue>,
    any: bool,
    any_localhost: bool,
}

impl OriginAllowList {
    /// From `cors_origins`; in development any localhost origin is let in too. An entry that is no
    /// header value matches nothing. `*` lets every origin in.
    pub fn new(origins: &[String], dev: bool) -> Self {
        Self {
            any: origins.iter().any(|origin| origin == "*"),
            origins: origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin.trim_end_matches('/')).ok())
                .collect(),
            any_localhost: dev,
        }
    }

    /// Whether a browser page of this origin is let in.
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        self.any
            || self.origins.contains(origin)
            || (self.any_localhost && is_localhost(origin.as_bytes()))
    }

    /// Whether answers may differ by origin.
    fn admits_any(&self) -> bool {
        self.any_localhost || !self.origins.is_empty()
    }

    /// The answer to a preflight; `None` where the request is none.
    pub fn preflight<B>(
        &self,
        request: &Request<B>,
    ) -> Option<Result<Response<GatewayBody>, ApiError>> {
        if request.method() != Method::OPTIONS {
            return None;
        }
        let origin = request.headers().get(header::ORIGIN)?;
        request
            .headers()
            .get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        if !self.allows(origin) {
            return Some(Err(ApiError::Forbidden("this origin is not admitted")));
        }
        let mut response = Response::new(GatewayBody::Complete(None));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
        Some(Ok(response))
    }

    /// Tells the browser, on any answer, whether its page may read it.
    pub fn mark(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if !self.admits_any() {
            return;
        }
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin
            && self.allows(origin)
        {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
    }
}

/// `http://localhost`, `http://127.0.0.1`, `http://[::1]`, with or without a port, also https.
fn is_localhost(origin: &[u8]) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else {
        return false;
    };
    let Some(host) = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"))
    else {
        return false;
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|local| {
        host.strip_prefix(local).is_some_and(|rest| {
            rest.is_empty()
                || rest
                    .strip_prefix(':')
                    .is_some_and(|port| port.parse::<u16>().is_ok())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &OriginAllowList, origin: &str) -> bool {
        list.allows(&HeaderValue::from_str(origin).unwrap())
    }

    #[test]
    fn only_what_is_listed_is_let_in() {
        let list = OriginAllowList::new(&["https://app.example/".into()], false);
        assert!(allows(&list, "https://app.example"));
        for denied in [
            "http://app.example",
            "https://app.example.evil",
            "https://evil-app.example",
            "http://localhost:5173",
            "null",
        ] {
            assert!(!allows(&list, denied), "{denied}");
        }
    }

    #[test]
    fn development_lets_localhost_in_and_nothing_that_looks_like_it() {
        let list = OriginAllowList::new(&[], true);
        for allowed in [
            "http://localhost",
            "http://localhost:5173",
            "https://127.0.0.1:8443",
            "http://[::1]:3000",
        ] {
            assert!(allows(&list, allowed), "{allowed}");
        }
        for denied in [
            "http://localhost.evil",
            "http://localhost:80.evil",
            "http://localhost@evil",
            "ftp://localhost",
            "null",
        ] {
            assert!(!allows(&list, denied), "{denied}");
        }
    }
}
