//! In which apps of many a load is enabled: what is for an app waits until `on_enable` has run there, and
//! is refused where that has failed.
//!
//! A gateway of one app has no gates, and its calls look at nothing here.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::RwLock;
use tokio::sync::{Mutex, Semaphore, watch};

use crate::generation::LiveGeneration;

/// Apps that a load remembers; it does not serve further ones.
pub const MAX_APPS: usize = 10_000;
/// Apps in which one load takes a step at the same time.
const STEPS_AT_A_TIME: usize = 8;

/// Runs what a load does when it is enabled in an app.
pub trait AppEnabler: Send + Sync + 'static {
    /// Somebody waits for this. Returns at once; what comes of it is set in the app's place.
    fn enable(&self, generation: Arc<LiveGeneration>, app_id: Arc<str>);
}

/// What a load does in each app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AppHooks {
    /// When it is enabled there.
    pub on_enable: bool,
    /// When it is disabled there.
    pub on_disable: bool,
}

/// Where a load is in one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppState {
    /// Nobody has asked for it, or it was disabled.
    Off,
    /// It is to be enabled, and somebody sees to it.
    Wanted,
    /// It serves.
    On,
    /// `on_enable` has failed; the sentence (with traceback) is for the app's admins.
    Failed(Arc<str>),
}

/// One app's place.
#[derive(Debug)]
pub struct AppPlace {
    /// Whether the state is [`AppState::On`]: calls read this alone.
    is_on: AtomicBool,
    state: watch::Sender<AppState>,
    /// Held for the length of a step in this app.
    pub turn: Mutex<()>,
}

impl AppPlace {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            is_on: AtomicBool::new(false),
            state: watch::Sender::new(AppState::Off),
            turn: Mutex::default(),
        })
    }

    /// Where the load is here.
    pub fn state(&self) -> AppState {
        self.state.borrow().clone()
    }

    /// It is there now: whoever waits goes on.
    pub fn set(&self, state: AppState) {
        self.is_on.store(state == AppState::On, Ordering::Release);
        self.state.send_replace(state);
    }

    /// Says that it is wanted; whether it was not so before.
    fn want(&self) -> bool {
        self.state.send_if_modified(|state| {
            let is_off = *state == AppState::Off;
            if is_off {
                *state = AppState::Wanted;
            }
            is_off
        })
    }

    /// Waits until it is known whether it serves here.
    async fn settled(&self) -> AppState {
        let mut state = self.state.subscribe();
        // The sender is here, so there is no other end of waiting.
        let settled = state.wait_for(|state| *state != AppState::Wanted).await;
        settled.map_or(AppState::Off, |state| state.clone())
    }
}

/// The gate of one load, in a gateway of many apps.
pub struct AppGate {
    enabler: Weak<dyn AppEnabler>,
    hooks: AppHooks,
    // Read for every call, written when an app comes for the first time.
    places: RwLock<HashMap<Arc<str>, Arc<AppPlace>>>,
    /// Which enabling this is: it goes up when the load as a whole begins to serve again.
    round: AtomicU64,
    /// Calls that wait here.
    waiting: AtomicUsize,
    /// No further app is enabled: the load ends.
    is_closed: AtomicBool,
    /// Leave to take a step in an app, so that many apps do not fill the plugin.
    pub steps: Semaphore,
}

impl AppGate {
    /// A gate of which nothing is open.
    pub fn new(enabler: Weak<dyn AppEnabler>, hooks: AppHooks) -> Self {
        Self {
            enabler,
            hooks,
            places: RwLock::default(),
            round: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            steps: Semaphore::new(STEPS_AT_A_TIME),
        }
    }

    /// What the load does in each app.
    pub fn hooks(&self) -> AppHooks {
        self.hooks
    }

    /// Whether calls for an app may go on at once.
    pub fn is_open(&self, app_id: &str) -> bool {
        let places = self.places.read();
        (places.get(app_id)).is_some_and(|place| place.is_on.load(Ordering::Acquire))
    }

    /// Why an app is not served, where enabling it there has failed.
    pub fn failure(&self, app_id: &str) -> Option<Arc<str>> {
        let place = self.places.read().get(app_id).cloned()?;
        match place.state() {
            AppState::Failed(reason) => Some(reason),
            AppState::Off | AppState::Wanted | AppState::On => None,
        }
    }

    /// An app's place, made where there is none yet; `None` where there are too many.
    pub fn place(&self, app_id: &Arc<str>) -> Option<Arc<AppPlace>> {
        if let Some(place) = self.places.read().get(app_id) {
            return Some(Arc::clone(place));
        }
        let mut places = self.places.write();
        if places.len() >= MAX_APPS && !places.contains_key(app_id) {
            return None;
        }
        let place = places
            .entry(Arc::clone(app_id))
            .or_insert_with(AppPlace::new);
        Some(Arc::clone(place))
    }

    /// The apps in which something has been done, or is to be.
    pub fn apps(&self) -> Vec<(Arc<str>, Arc<AppPlace>)> {
        let places = self.places.read();
        let places = places.iter();
        places
            .filter(|(_, place)| *place.state.borrow() != AppState::Off)
            .map(|(app_id, place)| (Arc::clone(app_id), Arc::clone(place)))
            .collect()
    }

    /// Where enabling has failed it may be tried again.
    pub fn forgive(&self, app_id: Option<&str>) {
        for (app, place) in self.apps() {
            if app_id.is_none_or(|only| *only == *app)
                && matches!(place.state(), AppState::Failed(_))
            {
                place.set(AppState::Off);
            }
        }
    }

    /// The load as a whole begins to serve: what it registered when it did so before is gone.
    pub fn begin_round(&self) {
        self.round.fetch_add(1, Ordering::AcqRel);
        self.forgive(None);
    }

    /// Which enabling this is.
    pub fn round(&self) -> u64 {
        self.round.load(Ordering::Acquire)
    }

    /// No further app is enabled.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Whether no further app is enabled.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// A call's place among at most `most` that wait here; `None` where there is none.
    pub(crate) fn queue(self: &Arc<Self>, most: usize) -> Option<Waiting> {
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        // One over the limit is given back when it is dropped.
        let waiting = Waiting(Arc::clone(self));
        (before < most).then_some(waiting)
    }

    /// Has the load enabled in an app, where nobody does so yet, and waits for what comes of it.
    pub(crate) async fn pass(
        &self,
        generation: &Arc<LiveGeneration>,
        app_id: &Arc<str>,
    ) -> AppState {
        let Some(place) = self.place(app_id) else {
            return AppState::Failed("this plugin serves too many apps already".into());
        };
        if !self.is_closed() && place.want() {
            match self.enabler.upgrade() {
                Some(enabler) => enabler.enable(Arc::clone(generation), Arc::clone(app_id)),
                None => place.set(AppState::Off),
            }
        }
        place.settled().await
    }
}

/// A call that waits at a gate.
pub(crate) struct Waiting(Arc<AppGate>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
