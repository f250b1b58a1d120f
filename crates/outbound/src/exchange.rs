//! One request and what comes of it: sent, redirected, read, with each address checked on the way.

use std::error::Error as _;

use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, StatusCode, Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};

use crate::{
    Answer, Asking, Outbound, OutboundError, Request, address::is_public, apis::Api,
    private::literal, resolver::NotPublic,
};

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Headers of a request.
const MAX_HEADERS: usize = 100;
/// Headers that are not the sender's to set: what they say is about the connection.
const NOT_THEIRS: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers that go with a redirect to somebody else.
const HARMLESS: [HeaderName; 4] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::USER_AGENT,
];

/// What is sent, as it changes with redirects.
struct Sending {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

impl Outbound {
    pub(super) async fn exchange(
        &self,
        asking: &Asking<'_>,
        request: Request,
    ) -> Result<Answer, OutboundError> {
        if request.body.len() > self.config.max_request_bytes {
            return Err(invalid(format!(
                "the body has {} bytes; {} are allowed",
                request.body.len(),
                self.config.max_request_bytes
            )));
        }
        let follows = request.follow_redirects;
        let (mut sending, api) = self.prepare(request)?;
        for hop in 0..=MAX_REDIRECTS {
            self.check(asking, &sending.url, api, hop == 0)?;
            let answer = self.send_once(&sending, api).await?;
            let next = follows.then(|| redirect(&sending, &answer)).flatten();
            match next {
                None => return self.read(answer, sending.url).await,
                Some(next) => {
                    let next = next?;
                    if sending.url.scheme() == "https" && next.scheme() == "http" {
                        let what = "a redirect leads from TLS to a connection without it";
                        return Err(OutboundError::Denied(what.into()));
                    }
                    sending.turn_to(next, answer.status());
                }
            }
        }
        Err(OutboundError::Upstream(format!(
            "more than {MAX_REDIRECTS} redirects"
        )))
    }

    fn prepare(&self, request: Request) -> Result<(Sending, Option<&Api>), OutboundError> {
        let method = Method::from_bytes(request.method.to_ascii_uppercase().as_bytes())
            .map_err(|_| invalid(format!("{:?} is no method", request.method)))?;
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(invalid(format!("{method} is not sent")));
        }
        let api = match &request.api {
            None => None,
            Some(name) => Some(self.apis.find(name).ok_or_else(|| {
                OutboundError::Denied(format!("the operator has described no interface {name:?}"))
            })?),
        };
        let url = match api {
            Some(api) if !api.allows(&method) => {
                return Err(OutboundError::Denied(format!(
                    "{method} is not among the methods of the interface"
                )));
            }
            Some(api) => api.address(&request.url).map_err(invalid)?,
            None => Url::parse(&request.url).map_err(|error| invalid(error.to_string()))?,
        };
        let mut headers = HeaderMap::new();
        if request.headers.len() > MAX_HEADERS {
            return Err(invalid(format!("more than {MAX_HEADERS} headers")));
        }
        for (name, value) in &request.headers {
            let key = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| invalid(format!("{name:?} is no header")))?;
            let is_secret = api.is_some_and(|api| api.headers.contains_key(&key));
            if NOT_THEIRS.contains(&key.as_str()) || is_secret {
                return Err(invalid(format!(
                    "the header {name:?} is set by the gateway"
                )));
            }
            let value = HeaderValue::from_str(value)
                .map_err(|_| invalid(format!("the header {name:?} cannot be sent")))?;
            headers.append(key, value);
        }
        let sending = Sending {
            method,
            url,
            headers,
            body: request.body,
        };
        Ok((sending, api))
    }

    /// Whether a request may go there.
    fn check(
        &self,
        asking: &Asking<'_>,
        url: &Url,
        api: Option<&Api>,
        is_first: bool,
    ) -> Result<(), OutboundError> {
        let denied = |what: String| Err(OutboundError::Denied(what));
        if let Some(api) = api {
            // By address and scheme the operator's own word.
            return if api.covers(url) {
                Ok(())
            } else {
                denied("a redirect leads out of the interface".into())
            };
        }
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let port = url.port_or_known_default().unwrap_or_default();
        if host.is_empty() {
            return Err(invalid("the URL has no host".into()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(
                "a URL with a user or a password is not sent".into(),
            ));
        }
        if !(asking.may_reach)(host, port, url.port().is_none()) {
            let port = url
                .port()
                .map(|port| format!(":{port}"))
                .unwrap_or_default();
            return if is_first {
                Err(OutboundError::NotPermitted(format!("network:{host}{port}")))
            } else {
                denied(format!(
                    "a redirect leads to {host}{port}, for which there is no permission"
                ))
            };
        }
        let is_listed = self.private.names(host);
        match url.scheme() {
            "https" => {}
            "http" if is_listed => {}
            "http" => return denied(format!("{host} is not asked without TLS")),
            other => return denied(format!("{other:?} is no scheme for requests")),
        }
        match literal(host) {
            Some(address) if !is_public(address) && !is_listed => {
                denied(format!("{host} is not public"))
            }
            _ => Ok(()),
        }
    }

    async fn send_once(
        &self,
        sending: &Sending,
        api: Option<&Api>,
    ) -> Result<reqwest::Response, OutboundError> {
        let client = if api.is_some() {
            &self.named
        } else {
            &self.open
        };
        let mut request = client
            .request(sending.method.clone(), sending.url.clone())
            .headers(sending.headers.clone());
        if let Some(api) = api {
            request = request.headers(api.headers.clone());
        }
        if !sending.body.is_empty() {
            request = request.body(sending.body.clone());
        }
        request.send().await.map_err(failed)
    }

    async fn read(&self, mut answer: reqwest::Response, url: Url) -> Result<Answer, OutboundError> {
        let most = self.config.max_response_bytes;
        let too_large =
            || OutboundError::Upstream(format!("the answer has more than {most} bytes"));
        let status = answer.status().as_u16();
        let headers = (answer.headers().iter())
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > most {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer {
            status,
            headers,
            url: url.into(),
            body: body.freeze(),
        })
    }
}

impl Sending {
    /// What follows a redirect.
    fn turn_to(&mut self, url: Url, status: StatusCode) {
        let keeps_method = matches!(
            status,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        if !keeps_method && self.method != Method::GET && self.method != Method::HEAD {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.headers.remove(header::CONTENT_TYPE);
        }
        if url.origin() != self.url.origin() {
            let kept: HeaderMap = (HARMLESS.iter())
                .filter_map(|name| Some((name.clone(), self.headers.get(name)?.clone())))
                .collect();
            self.headers = kept;
        }
        self.url = url;
    }
}

/// Where an answer sends the asker, where it does.
fn redirect(sending: &Sending, answer: &reqwest::Response) -> Option<Result<Url, OutboundError>> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers().get(header::LOCATION)?;
    let joined = (location.to_str().ok()).and_then(|location| sending.url.join(location).ok());
    Some(joined.ok_or_else(|| OutboundError::Upstream("a redirect to nowhere".into())))
}

fn invalid(what: String) -> OutboundError {
    OutboundError::Invalid(what)
}

/// What is wrong with the certificate of who was asked, where that is it.
fn certificate(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    use rustls::CertificateError as Wrong;

    let mut inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    // Whoever passes it on may have wrapped it once more.
    while let Some(wrapped) = inner.downcast_ref::<std::io::Error>() {
        inner = wrapped.get_ref()?;
    }
    match inner.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(wrong) => Some(match wrong {
            Wrong::Expired | Wrong::ExpiredContext { .. } => "the host's certificate has expired",
            Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
                "the host's certificate is not valid yet"
            }
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
                "the host's certificate is for another name"
            }
            Wrong::UnknownIssuer => "the host's certificate is from nobody that is trusted",
            Wrong::Revoked => "the host's certificate was revoked",
            _ => "the host's certificate is not valid",
        }),
        _ => Some("no TLS connection could be made with the host"),
    }
}

/// Without the URL, in which there may be something secret.
fn failed(error: reqwest::Error) -> OutboundError {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(refused) = inner.downcast_ref::<NotPublic>() {
            return OutboundError::Denied(refused.to_string());
        }
        if let Some(what) = certificate(inner) {
            return OutboundError::Upstream(what.into());
        }
        source = inner.source();
    }
    let what = if error.is_connect() {
        "the host cannot be reached".to_owned()
    } else {
        error.without_url().to_string()
    };
    OutboundError::Upstream(what)
}
