//! Keys behind a URL, or of an issuer: fetched when they are missing or have aged, one fetch at a time, no more often
//! than allowed. While the URL is down the keys of before are kept.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use reqwest::Url;
use tokio::{runtime::Handle, sync::watch};

use crate::{
    discovery::Issuer,
    fetch::{FETCH_TIMEOUT, Fetcher, too_slow},
    key_store::KeySlot,
    keys::KeySet,
};

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

/// Where the keys are, and where they go once fetched.
pub(super) struct JwksUrl {
    place: Place,
    fetcher: Fetcher,
    timing: UrlTiming,
    slot: Arc<KeySlot>,
    /// Held for a few instructions only, never across a fetch.
    state: Mutex<State>,
}

/// Who says where the keys are.
enum Place {
    /// The configuration.
    Url(Url),
    /// The issuer's discovery document, each time.
    Issuer(Issuer),
}

/// What a fetch has brought.
#[derive(PartialEq, Eq)]
struct Fetched {
    document: Vec<u8>,
    /// What its keys may be used with, where the issuer says it.
    algorithms: Option<Vec<Algorithm>>,
}

/// How fetching went so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FetchStats {
    /// Fetches that brought keys.
    pub succeeded: u64,
    /// Fetches that brought none.
    pub failed: u64,
}

#[derive(Default)]
struct State {
    /// When the last fetch began, whatever came of it.
    last_begin: Option<Instant>,
    /// When keys came last.
    last_success: Option<Instant>,
    /// Why the last fetch that ended brought no keys.
    last_failure: Option<String>,
    /// What they came from, to see whether a new one differs.
    fetched: Option<Fetched>,
    stats: FetchStats,
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
        let fetcher = Fetcher::new(&url)?;
        Ok(Self::at(Place::Url(url), fetcher, timing, slot))
    }

    /// The keys of an OIDC issuer.
    pub(super) fn of_issuer(
        issuer: &str,
        timing: UrlTiming,
        slot: Arc<KeySlot>,
    ) -> Result<Arc<Self>, String> {
        let issuer = Issuer::new(issuer)?;
        let fetcher = Fetcher::new(issuer.document())?;
        Ok(Self::at(Place::Issuer(issuer), fetcher, timing, slot))
    }

    fn at(place: Place, fetcher: Fetcher, timing: UrlTiming, slot: Arc<KeySlot>) -> Arc<Self> {
        Arc::new(Self {
            place,
            fetcher,
            timing,
            slot,
            state: Mutex::default(),
        })
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
        state.last_failure.is_some() || state.last_success.is_none()
    }

    /// Why the last fetch that has ended brought no keys, where it brought none.
    pub(super) fn last_failure(&self) -> Option<String> {
        self.state.lock().last_failure.clone()
    }

    /// How fetching went so far.
    pub(super) fn stats(&self) -> FetchStats {
        self.state.lock().stats
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
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.download()).await;
        let outcome = fetched
            .unwrap_or_else(|_| Err(too_slow()))
            .and_then(|fetched| self.take(fetched));
        if let Err(error) = &outcome {
            tracing::warn!(
                error,
                "no keys could be fetched to check tokens with; those of before are kept"
            );
        }
        let mut state = self.state.lock();
        match outcome {
            Ok(()) => {
                state.last_failure = None;
                state.last_success = Some(Instant::now());
                state.stats.succeeded += 1;
            }
            Err(error) => {
                state.last_failure = Some(error);
                state.stats.failed += 1;
            }
        }
    }

    /// Uses what came, where it differs from what is in use.
    fn take(&self, fetched: Fetched) -> Result<(), String> {
        if self.state.lock().fetched.as_ref() == Some(&fetched) {
            return Ok(());
        }
        let mut keys = KeySet::from_jwks(&fetched.document)
            .map_err(|error| format!("the JWKS document cannot be used: {error}"))?;
        if let Some(algorithms) = &fetched.algorithms {
            keys.restrict_to(algorithms)?;
        }
        tracing::info!(jwks.keys = keys.len(), "fetched keys to check tokens with");
        self.slot.replace(keys);
        self.state.lock().fetched = Some(fetched);
        Ok(())
    }

    async fn download(&self) -> Result<Fetched, String> {
        let accept = "application/jwk-set+json, application/json";
        let (document, algorithms) = match &self.place {
            Place::Url(url) => (self.fetcher.download(url, accept).await, None),
            Place::Issuer(issuer) => {
                let announced = issuer.ask(&self.fetcher).await?;
                let document = self.fetcher.download(&announced.jwks, accept).await;
                (document, announced.algorithms)
            }
        };
        let document = document.map_err(|error| format!("the JWKS document: {error}"))?;
        Ok(Fetched {
            document,
            algorithms,
        })
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
