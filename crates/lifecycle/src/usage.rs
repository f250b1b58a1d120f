//! What plugins use, hour by hour and app by app: counted in memory, added to the database every now and
//! then, and at the end.

mod repository;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::error::LifeError;
use mozaiks_config::UsageConfig;
use mozaiks_plugins::{
    dispatch::{CallObserver, FinishedCall},
    registry::{Plugin, Registry},
    traffic::Traffic,
    usage::Used,
};
use mozaiks_store::{CollectionSpec, Store};
use repository::Repository;

/// The collection and its indexes, for [`Store::open`].
pub const COLLECTION: CollectionSpec = repository::COLLECTION;

/// How long the last time of writing it down may take.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// Knows what is not counted call by call.
pub trait Meter: Send + Sync + 'static {
    /// Each process of the plugin's own, and its seconds since it began; none where it has no process of its
    /// own.
    fn seconds(&self, plugin: &Plugin) -> Vec<(u32, f64)>;

    /// Bytes that a plugin keeps in an app, where they have been counted.
    fn stored_bytes(&self, plugin: &str, app_id: &str) -> Option<u64>;
}

/// What one plugin has used in one app in one hour.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct UsageHour {
    /// When the hour begins, in ISO 8601.
    pub hour: String,
    /// Calls that ended, of every kind.
    pub calls: u64,
    /// Of these, those without an answer of the plugin's: it raised, ran out of time, died.
    pub errors: u64,
    /// Time of its own processes on a processor. Where it shares a process, or serves several apps, it is not
    /// known which of it was whose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Bytes given to it and by it.
    pub bytes: u64,
    /// Bytes that it kept when they were last counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<u64>,
    /// Requests to others.
    pub connections: u64,
}

/// Counts, writes down and reads.
pub struct PluginUsage {
    repository: Repository,
    config: UsageConfig,
    /// The only app, where there is one: what cannot be told apart is its.
    only_app: Option<Arc<str>>,
    /// What was not counted, because too many apps were.
    uncounted: AtomicU64,
    /// Plugins as they were when they were last written down: one that is removed is written down once more.
    seen: Mutex<HashMap<Arc<str>, Arc<Traffic>>>,
    /// Seconds of each process when they were last asked for.
    processors: Mutex<HashMap<u32, f64>>,
}

impl PluginUsage {
    /// Over the gateway's database.
    pub fn new(store: Arc<Store>, config: UsageConfig, only_app: Option<Arc<str>>) -> Arc<Self> {
        Arc::new(Self {
            repository: Repository::new(store, config.retention),
            config,
            only_app,
            uncounted: AtomicU64::new(0),
            seen: Mutex::default(),
            processors: Mutex::default(),
        })
    }

    /// Notes that a plugin has sent requests to others.
    pub fn note_connection(&self, plugin: &Plugin, app_id: &Arc<str>) {
        let used = Used {
            connections: 1,
            ..Used::default()
        };
        self.add(plugin.traffic(), app_id, &used);
    }

    fn add(&self, traffic: &Traffic, app_id: &Arc<str>, used: &Used) {
        if !traffic.usage.add(app_id, used, self.config.apps) {
            self.uncounted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was not counted, because too many apps were between two times of writing it down.
    pub fn uncounted(&self) -> u64 {
        self.uncounted.load(Ordering::Relaxed)
    }

    /// Hours of a plugin in an app, the newest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn hours(
        &self,
        app_id: &str,
        plugin: &str,
        hours: u32,
    ) -> Result<Vec<UsageHour>, LifeError> {
        self.repository.hours(app_id, plugin, hours).await
    }

    /// Writes down what has been counted, every now and then, until it is stopped.
    pub fn start(self: &Arc<Self>, registry: Arc<Registry>, meter: Arc<dyn Meter>) -> UsageWriter {
        let usage = Arc::clone(self);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(usage.config.flush);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut stopped = stopped;
            loop {
                let is_last = tokio::select! {
                    _ = tick.tick() => false,
                    _ = &mut stopped => true,
                };
                // Never cut short: what is taken from the counts is on its way to the database.
                usage.flush(&registry, &*meter).await;
                if is_last {
                    return;
                }
            }
        });
        UsageWriter { stop, task }
    }

    /// Writes down what has been counted. What the database does not take stays counted.
    pub async fn flush(&self, registry: &Registry, meter: &dyn Meter) {
        let plugins = registry.list();
        self.ask_processors(&plugins, meter);
        let now: HashMap<_, _> = plugins
            .iter()
            .map(|plugin| (Arc::clone(&plugin.name), Arc::clone(plugin.traffic())))
            .collect();
        let before = std::mem::replace(&mut *self.seen.lock(), now.clone());
        let gone = before.into_iter().filter(|(name, traffic)| {
            let known = now.get(name);
            !known.is_some_and(|known| Arc::ptr_eq(known, traffic))
        });
        let all: Vec<_> = gone.chain(now.clone()).collect();
        let mut failed: Option<LifeError> = None;
        for (name, traffic) in all {
            for (app_id, used) in traffic.usage.take() {
                let error = match failed {
                    // It does not answer: what follows is for the next time.
                    Some(_) => failed.take(),
                    None => {
                        let stored = meter.stored_bytes(&name, &app_id);
                        let added = self.repository.add(&app_id, &name, &used, stored);
                        added.await.err()
                    }
                };
                if let Some(error) = error {
                    self.add(&traffic, &app_id, &used);
                    failed = Some(error);
                }
            }
        }
        if let Some(error) = failed {
            tracing::warn!(error = %error, "usage.not_written");
        }
    }

    /// Adds what processes of plugins have used since they were last asked, where it is clear for whom.
    fn ask_processors(&self, plugins: &[Arc<Plugin>], meter: &dyn Meter) {
        let Some(app_id) = &self.only_app else {
            return;
        };
        let mut processors = self.processors.lock();
        let mut now = HashMap::new();
        for plugin in plugins {
            for (pid, seconds) in meter.seconds(plugin) {
                let before = processors.get(&pid).copied().unwrap_or(0.0);
                // A number that was used again belongs to another process.
                let before = if before > seconds { 0.0 } else { before };
                let millis = Duration::from_secs_f64(seconds - before).as_millis();
                let used = Used {
                    cpu_ms: u64::try_from(millis).unwrap_or(0),
                    ..Used::default()
                };
                self.add(plugin.traffic(), app_id, &used);
                now.insert(pid, seconds);
            }
        }
        *processors = now;
    }
}

/// Writes down what plugins use. Dropped, it stops after a last time.
#[derive(Debug)]
pub struct UsageWriter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl UsageWriter {
    /// Writes down what is left and stops, within a bound of time.
    pub async fn stop(self) {
        drop(self.stop);
        if tokio::time::timeout(LAST_WRITE, self.task).await.is_err() {
            tracing::warn!("usage.not_written");
        }
    }
}

impl CallObserver for PluginUsage {
    fn call_finished(&self, call: &FinishedCall<'_>) {
        // Some steps of a plugin's life are for no app.
        let Some(app_id) = call.app_id else {
            return;
        };
        let output_bytes = call.outcome.as_ref().map_or(0, |reply| reply.body.len());
        let used = Used {
            calls: 1,
            errors: u64::from(call.outcome.is_err()),
            bytes: (call.input_bytes + output_bytes) as u64,
            ..Used::default()
        };
        self.add(call.traffic, app_id, &used);
    }
}
