//! Keys behind a URL: fetched when they are missing or have aged, one fetch at a time, no more often
//! than allowed. While the URL is down the keys of before are kept.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reqwest::{Client, Url, redirect};
use tokio::{runtime::Handle, sync::watch};

use crate::{
    key_store::KeySlot,
    keys::{KeySet, MAX_DOCUMENT_BYTES},
};

/// A whole fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Keys older than this are fetched again in the background, when a token comes.
const REFRESH_AFTER: Duration = Duration::from_secs(600);
/// Keys older than this are fetched again before they are used: a key that was withdrawn while
/// nobody called must not let the first caller in.
const STALE_AFTER: Duration = Duration::from_secs(1200);

/// When keys are fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct UrlTiming {
    /// Least time between two fetches.
    pub(super) min_refresh: Duration,
    /// Age that starts a fetch in the background.
    pub(super) refresh_after: Duration,
    /// Age at which a token waits for the fetch.
    pub(super) stale_after: Duration,
}

impl UrlTiming {
    pub(super) fn new(min_refresh: Duration) -> Self {
        Self {
            min_refresh,
            refresh_after: REFRESH_AFTER.max(min_refresh),
            stale_after: STALE_AFTER.max(min_refresh),
        }
    }
}

/// The URL, its client, and where fetched keys go.
pub(super) struct JwksUrl {
    url: Url,
    client: Client,
    timing: UrlTiming,
    slot: Arc<KeySlot>,
    /// Held for a few instructions only, never across a fetch.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the last fetch began, whatever came of it.
    last_begin: Option<Instant>,
    /// When keys came last.
    last_success: Option<Instant>,
    /// The last fetch that ended brought no keys.
    last_failed: bool,
    /// The document they came from, to see whether a new one differs.
    document: Vec<u8>,
    /// Ends (its sender is dropped) when the running fetch is over.
    in_flight: Option<watch::Receiver<()>>,
}

impl JwksUrl {
    pub(super) fn new(
        url: &str,
        timing: UrlTiming,
        slot: Arc<KeySlot>,
    ) -> Result<Arc<Self>, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
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
        Ok(Arc::new(Self {
            url,
            client,
            timing,
            slot,
            state: Mutex::default(),
        }))
    }

    /// Whether tokens must wait for a fetch: no keys yet, or only stale ones, and a fetch is allowed.
    /// Keys that have merely aged are fetched in the background.
    pub(super) fn must_wait(self: &Arc<Self>) -> bool {
        let (age, allowed) = {
            let state = self.state.lock();
            let age = state.last_success.map(|at| at.elapsed());
            (age, self.is_allowed(&state))
        };
        match age {
            _ if !allowed => false,
            None => true,
            Some(age) if age >= self.timing.stale_after => true,
            Some(age) if age >= self.timing.refresh_after => {
                if Handle::try_current().is_ok() {
                    self.begin_or_join();
                }
                false
            }
            Some(_) => false,
        }
    }

    /// Whether [`Self::fetch`] would do anything.
    pub(super) fn may_fetch(&self) -> bool {
        self.is_allowed(&self.state.lock())
    }

    /// Whether the last fetch brought no keys, or none has ended yet.
    pub(super) fn is_unreachable(&self) -> bool {
        let state = self.state.lock();
        state.last_failed || state.last_success.is_none()
    }

    /// Begins a fetch or joins the one that runs, and waits for its end. Returns at once where the
    /// last one began too recently.
    pub(super) async fn fetch(self: &Arc<Self>) {
        if let Some(mut end) = self.begin_or_join() {
            // Nothing is ever sent: the error of the dropped sender is the end of the fetch.
            let _ = end.changed().await;
        }
    }

    fn is_allowed(&self, state: &State) -> bool {
        state.in_flight.is_some()
            || state
                .last_begin
                .is_none_or(|at| at.elapsed() >= self.timing.min_refresh)
    }

    /// The fetch runs in its own task: a caller that goes away neither stops it for the others nor
    /// lets the next one start another.
    fn begin_or_join(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let (sender, receiver) = {
            let mut state = self.state.lock();
            if let Some(running) = &state.in_flight {
                return Some(running.clone());
            }
            if !self.is_allowed(&state) {
                return None;
            }
            let (sender, receiver) = watch::channel(());
            state.last_begin = Some(Instant::now());
            state.in_flight = Some(receiver.clone());
            (sender, receiver)
        };
        let end = FlightEnd {
            source: Arc::clone(self),
            sender: Some(sender),
        };
        tokio::spawn(async move {
            end.source.fetch_once().await;
            drop(end);
        });
        Some(receiver)
    }

    async fn fetch_once(&self) {
        let came = match self.download().await {
            Ok(document) => self.take(document),
            Err(error) => {
                tracing::warn!(
                    error,
                    "the JWKS URL did not answer with keys; those of before are kept"
                );
                false
            }
        };
        let mut state = self.state.lock();
        state.last_failed = !came;
        if came {
            state.last_success = Some(Instant::now());
        }
    }

    /// Uses the document; `false` where it cannot be used.
    fn take(&self, document: Vec<u8>) -> bool {
        if self.state.lock().document == document {
            return true;
        }
        match KeySet::from_jwks(&document) {
            Ok(keys) => {
                tracing::info!(jwks.keys = keys.len(), "fetched keys from the JWKS URL");
                self.slot.replace(keys);
                self.state.lock().document = document;
                true
            }
            Err(error) => {
                tracing::warn!(
                    error,
                    "the document of the JWKS URL cannot be used; the keys of before are kept"
                );
                false
            }
        }
    }

    /// The document. Errors name no URL, which may hold credentials.
    async fn download(&self) -> Result<Vec<u8>, String> {
        let describe = |error: reqwest::Error| {
            if error.is_timeout() {
                return format!("no answer within {} s", FETCH_TIMEOUT.as_secs());
            }
            error.without_url().to_string()
        };
        let mut response = self
            .client
            .get(self.url.clone())
            .header("accept", "application/jwk-set+json, application/json")
            .send()
            .await
            .map_err(describe)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("status {}", response.status().as_u16()));
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

/// Marks the fetch as over, also where its task is dropped or panics.
struct FlightEnd {
    source: Arc<JwksUrl>,
    sender: Option<watch::Sender<()>>,
}

impl Drop for FlightEnd {
    fn drop(&mut self) {
        self.source.state.lock().in_flight = None;
        // After the state: whoever waited must not find the fetch still running.
        drop(self.sender.take());
    }
}
