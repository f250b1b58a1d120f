//! Documents behind URLs: small, in time, from where they are said to be.

use std::time::Duration;

use reqwest::{Client, Url, redirect};

use crate::keys::MAX_DOCUMENT_BYTES;

/// A whole fetch, of all its documents.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for one issuer's documents.
pub(super) struct Fetcher(Client);

impl Fetcher {
    /// A client for this URL and others of the same provider. It follows no redirects.
    pub(super) fn new(url: &Url) -> Result<Self, String> {
        let mut client = Client::builder()
            .timeout(FETCH_TIMEOUT)
            // A redirect could lead to plain http or into the inner network.
            .redirect(redirect::Policy::none());
        if url.scheme() == "http" {
            // Only this machine is fetched from without TLS, and no proxy leads there.
            client = client.no_proxy();
        }
        let client = client
            .build()
            .map_err(|error| format!("no client for it: {error}"))?;
        Ok(Self(client))
    }

    /// The document. Errors name no URL, which may hold credentials.
    pub(super) async fn download(&self, url: &Url, accept: &str) -> Result<Vec<u8>, String> {
        let mut response = self
            .0
            .get(url.clone())
            .header("accept", accept)
            .send()
            .await
            .map_err(describe)?;
        if response.status() != reqwest::StatusCode::OK {
            let status = response.status();
            let redirects = if status.is_redirection() {
                ", and redirects are not followed"
            } else {
                ""
            };
            return Err(format!("status {}{redirects}", status.as_u16()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(describe)? {
            if document.len() + chunk.len() > MAX_DOCUMENT_BYTES {
                return Err("the document is larger than 1MiB".into());
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}

/// What to say where a fetch has taken too long.
pub(super) fn too_slow() -> String {
    format!("no answer within {} s", FETCH_TIMEOUT.as_secs())
}

fn describe(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return too_slow();
    }
    // What is behind it says why: nobody listens, the name is unknown, the certificate is not trusted.
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(deeper) = source {
        text = format!("{text}: {deeper}");
        source = deeper.source();
    }
    text
}
