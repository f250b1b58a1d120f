//! Calls of plugins' parts, one document each for some days: noted in memory, written in batches off the
//! calls' path. Where there are more than can be written, some are left out, and counted.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::TryStreamExt as _;
use mongodb::{
    Collection,
    bson::{DateTime, Document, doc, oid::ObjectId},
};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::error::LifeError;
use mozaiks_config::UsageConfig;
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError};

/// The collection and its indexes, for [`Store::open`].
pub const COLLECTION: CollectionSpec = CollectionSpec {
    name: "plugin_executions",
    indexes: &[
        IndexSpec {
            name: "app_plugin_id",
            keys: &[("app_id", 1), ("plugin", 1), ("_id", -1)],
            unique: false,
            expire_after: None,
            only_where_present: None,
        },
        IndexSpec {
            name: "expires_at",
            keys: &[("expires_at", 1)],
            unique: false,
            expire_after: Some(Duration::ZERO),
            only_where_present: None,
        },
    ],
};

/// Documents of one write.
const BATCH: usize = 1000;
/// Parts of apps whose numbers are kept; of further ones there are none.
const MAX_FIGURES: usize = 10_000;
/// How long the last time of writing may take.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// A call that has ended.
#[derive(Debug, Clone)]
pub struct Execution {
    /// In which app.
    pub app_id: Arc<str>,
    /// Of which plugin.
    pub plugin: Arc<str>,
    /// `route`, `hook` or `event`.
    pub kind: &'static str,
    /// The part's file: `controllers/visits.py`.
    pub name: Arc<str>,
    /// The code, where it failed.
    pub error_code: Option<&'static str>,
    /// How long it took.
    pub elapsed: Duration,
    /// For whom, where a user is behind it.
    pub user_id: Option<Arc<str>>,
    /// The request.
    pub request_id: Arc<str>,
    /// When it ended.
    pub at: DateTime,
}

/// A call of a part, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ExecutionRecord {
    /// What it is named by.
    pub id: String,
    /// `route`, `hook` or `event`.
    pub kind: String,
    /// The part's file.
    pub name: String,
    /// `ok` or `error`.
    pub status: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Milliseconds.
    pub ms: f64,
    /// For whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The request.
    pub request_id: String,
    /// When it ended, in ISO 8601.
    pub at: String,
}

/// The last failure of a part.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LastError {
    /// Why.
    pub error_code: String,
    /// The request.
    pub request_id: String,
    /// When, in ISO 8601.
    pub at: String,
}

/// How a part is doing in an app, since this gateway's start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct PartFigures {
    /// `route`, `hook` or `event`.
    pub kind: String,
    /// The part's file.
    pub name: String,
    /// Calls.
    pub calls: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// The last that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

/// Which are asked for.
#[derive(Debug, Clone, Copy)]
pub struct ExecutionFilter<'a> {
    /// In this app.
    pub app_id: &'a str,
    /// Of this plugin.
    pub plugin: &'a str,
    /// Of this kind only.
    pub kind: Option<&'a str>,
    /// Of this part only.
    pub name: Option<&'a str>,
    /// `ok` or `error` only.
    pub status: Option<&'a str>,
    /// Older than this one.
    pub before: Option<&'a str>,
    /// At most so many.
    pub limit: usize,
}

type FiguresKey = (Arc<str>, Arc<str>, &'static str, Arc<str>);

/// Notes, writes and reads.
pub struct Executions {
    store: Arc<Store>,
    config: UsageConfig,
    // Touched at the end of each call of a part; never held across an await.
    queue: Mutex<Vec<Execution>>,
    figures: Mutex<HashMap<FiguresKey, PartFigures>>,
    dropped: AtomicU64,
}

impl Executions {
    /// Over the gateway's database.
    pub fn new(store: Arc<Store>, config: UsageConfig) -> Arc<Self> {
        Arc::new(Self {
            store,
            config,
            queue: Mutex::default(),
            figures: Mutex::default(),
            dropped: AtomicU64::new(0),
        })
    }

    /// Notes a call that has ended; at once.
    pub fn note(&self, execution: Execution) {
        self.count(&execution);
        let mut queue = self.queue.lock();
        if queue.len() < self.config.executions_queue {
            queue.push(execution);
            return;
        }
        drop(queue);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self, execution: &Execution) {
        let key = (
            Arc::clone(&execution.app_id),
            Arc::clone(&execution.plugin),
            execution.kind,
            Arc::clone(&execution.name),
        );
        let mut figures = self.figures.lock();
        let is_full = figures.len() >= MAX_FIGURES;
        let of = match figures.get_mut(&key) {
            Some(of) => of,
            None if is_full => return,
            None => figures.entry(key).or_insert_with(|| PartFigures {
                kind: execution.kind.to_owned(),
                name: execution.name.to_string(),
                ..PartFigures::default()
            }),
        };
        of.calls += 1;
        if let Some(code) = execution.error_code {
            of.failed += 1;
            of.last_error = Some(LastError {
                error_code: code.to_owned(),
                request_id: execution.request_id.to_string(),
                at: iso(execution.at),
            });
        }
    }

    /// Calls that were not written down: there was no room, or the database did not take them.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How the parts of a plugin are doing in an app, by kind and name.
    pub fn figures(&self, app_id: &str, plugin: &str) -> Vec<PartFigures> {
        let figures = self.figures.lock();
        let of = figures
            .iter()
            .filter(|(key, _)| *key.0 == *app_id && *key.1 == *plugin);
        let mut of: Vec<_> = of.map(|(_, figures)| figures.clone()).collect();
        of.sort_by(|one, other| (&one.kind, &one.name).cmp(&(&other.kind, &other.name)));
        of
    }

    /// Calls of a plugin's parts in an app, the newest first.
    ///
    /// # Errors
    /// What the database says; `VALIDATION_ERROR` for a cursor that is none.
    pub async fn list(
        &self,
        filter: ExecutionFilter<'_>,
    ) -> Result<Vec<ExecutionRecord>, LifeError> {
        let mut wanted = doc! { "app_id": filter.app_id, "plugin": filter.plugin };
        for (key, value) in [
            ("kind", filter.kind),
            ("name", filter.name),
            ("status", filter.status),
        ] {
            if let Some(value) = value {
                wanted.insert(key, value);
            }
        }
        if let Some(before) = filter.before {
            let before = ObjectId::parse_str(before)
                .map_err(|_| LifeError::invalid_at("cursor", "the cursor is none of an answer"))?;
            wanted.insert("_id", doc! { "$lt": before });
        }
        let found = self
            .collection()?
            .find(wanted)
            .sort(doc! { "_id": -1 })
            .limit(i64::try_from(filter.limit).unwrap_or(i64::MAX))
            .await
            .map_err(|error| self.store.failed(error))?;
        let documents: Vec<Document> = found
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(documents.iter().filter_map(record).collect())
    }

    /// Writes down what was noted, every now and then, until it is stopped.
    pub fn start(self: &Arc<Self>) -> ExecutionWriter {
        let executions = Arc::clone(self);
        let (stop, mut stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(executions.config.executions_flush);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                let is_last = tokio::select! {
                    _ = tick.tick() => false,
                    _ = &mut stopped => true,
                };
                executions.flush().await;
                if is_last {
                    return;
                }
            }
        });
        ExecutionWriter { stop, task }
    }

    async fn flush(&self) {
        let noted = std::mem::take(&mut *self.queue.lock());
        let retention = self.config.executions_retention;
        for batch in noted.chunks(BATCH) {
            let documents: Vec<_> = batch.iter().map(|one| document(one, retention)).collect();
            let written = async {
                let collection = self.collection()?;
                let inserted = collection.insert_many(documents).ordered(false).await;
                inserted.map(drop).map_err(|error| self.store.failed(error))
            };
            if let Err(error) = written.await {
                let lost = batch.len() as u64;
                self.dropped.fetch_add(lost, Ordering::Relaxed);
                tracing::warn!(%error, lost, "executions.not_written");
            }
        }
    }

    fn collection(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(COLLECTION.name))
    }
}

/// Writes down calls. Dropped, it stops after a last time.
#[derive(Debug)]
pub struct ExecutionWriter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl ExecutionWriter {
    /// Writes a last time, and waits for that for a while.
    pub async fn stop(self) {
        // It ends only when it is told to.
        self.stop.send(()).ok();
        if tokio::time::timeout(LAST_WRITE, self.task).await.is_err() {
            tracing::warn!("executions.last_not_written");
        }
    }
}

fn document(execution: &Execution, retention: Duration) -> Document {
    let kept = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let expires = execution.at.timestamp_millis().saturating_add(kept);
    let status = if execution.error_code.is_some() {
        "error"
    } else {
        "ok"
    };
    let mut document = doc! {
        "app_id": &*execution.app_id,
        "plugin": &*execution.plugin,
        "kind": execution.kind,
        "name": &*execution.name,
        "status": status,
        "ms": execution.elapsed.as_secs_f64() * 1000.0,
        "request_id": &*execution.request_id,
        "at": execution.at,
        "expires_at": DateTime::from_millis(expires),
    };
    if let Some(code) = execution.error_code {
        document.insert("error_code", code);
    }
    if let Some(user_id) = &execution.user_id {
        document.insert("user_id", &**user_id);
    }
    document
}

fn record(document: &Document) -> Option<ExecutionRecord> {
    let text = |key: &str| document.get_str(key).ok().map(str::to_owned);
    Some(ExecutionRecord {
        id: document.get_object_id("_id").ok()?.to_hex(),
        kind: text("kind")?,
        name: text("name")?,
        status: text("status")?,
        error_code: text("error_code"),
        ms: document.get_f64("ms").ok()?,
        user_id: text("user_id"),
        request_id: text("request_id")?,
        at: iso(*document.get_datetime("at").ok()?),
    })
}

fn iso(at: DateTime) -> String {
    at.try_to_rfc3339_string().unwrap_or_default()
}
