//! The history of runs in the control database.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt as _;
use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, doc, oid::ObjectId},
};
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    error::LifeError,
    excerpt::{head, tail},
};

/// The collection and its indexes, for [`Store::open`].
pub const RUNS: CollectionSpec = CollectionSpec {
    name: "plugin_job_runs",
    indexes: &[
        IndexSpec {
            name: "app_plugin",
            keys: &[("app_id", 1), ("plugin", 1), ("_id", -1)],
            unique: false,
            expire_after: None,
            only_where_present: None,
        },
        IndexSpec {
            name: "app_plugin_job",
            keys: &[("app_id", 1), ("plugin", 1), ("job", 1), ("_id", -1)],
            unique: false,
            expire_after: None,
            only_where_present: None,
        },
        IndexSpec {
            name: "expiry",
            keys: &[("expires_at", 1)],
            unique: false,
            expire_after: Some(Duration::ZERO),
            only_where_present: None,
        },
    ],
};

/// Bytes of an error's line, and of its traceback, that are kept.
const MAX_SUMMARY_BYTES: usize = 1024;
const MAX_TRACEBACK_BYTES: usize = 16 * 1024;

/// How a run went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RunStatus {
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Missed,
    Lost,
}

impl RunStatus {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Missed => "missed",
            Self::Lost => "lost",
        }
    }
}

/// Why a run failed.
#[derive(Debug, Clone, Default)]
pub(super) struct RunError {
    /// One line.
    pub summary: String,
    /// The whole, where the plugin raised.
    pub traceback: Option<String>,
}

/// Whose run it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunOf<'a> {
    pub app_id: &'a str,
    pub plugin: &'a str,
    pub job: &'a str,
}

impl RunOf<'_> {
    fn filter(&self) -> Document {
        doc! { "app_id": self.app_id, "plugin": self.plugin, "job": self.job }
    }
}

/// Which runs to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunFilter<'a> {
    /// In this app.
    pub app_id: &'a str,
    /// Of this plugin.
    pub plugin: &'a str,
    /// Of this job; of all where none is named.
    pub job: Option<&'a str>,
    /// Older than this run.
    pub before: Option<&'a str>,
    /// At most so many.
    pub limit: usize,
}

/// A run as it is listed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RunRecord {
    /// Its id.
    pub id: String,
    /// The job.
    pub job: String,
    /// `running`, `succeeded`, `failed`, `timed_out`, `missed` or `lost` (its gateway ended in the middle).
    pub status: String,
    /// `schedule`, or `manual` where somebody has asked for it.
    pub trigger: String,
    /// The time that it stands for.
    pub due_at: Option<String>,
    /// When it began.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// How long it took, in milliseconds.
    pub ms: Option<i64>,
    /// From 1 up; more than 1 where a gateway ended in the middle of it.
    pub attempt: i64,
    /// Which gateway ran it.
    pub gateway: String,
    /// One line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceback: Option<String>,
}

/// A run that begins.
#[derive(Debug)]
pub(super) struct Beginning<'a> {
    pub of: RunOf<'a>,
    pub status: RunStatus,
    pub asked: bool,
    pub due_at: DateTime,
    pub attempt: u32,
    pub gateway: &'a str,
}

/// Reads and writes runs.
pub(super) struct Runs {
    store: Arc<Store>,
    kept: Duration,
}

impl Runs {
    pub(super) fn new(store: Arc<Store>, kept: Duration) -> Self {
        Self { store, kept }
    }

    /// Writes down that a run begins (or has been missed); gives its id.
    pub(super) async fn begin(&self, run: &Beginning<'_>) -> Result<ObjectId, LifeError> {
        let (id, now) = (ObjectId::new(), DateTime::now());
        let kept_ms = i64::try_from(self.kept.as_millis()).unwrap_or(i64::MAX / 4);
        let mut document = run.of.filter();
        document.extend(doc! {
            "_id": id,
            "status": run.status.as_str(),
            "trigger": if run.asked { "manual" } else { "schedule" },
            "due_at": run.due_at,
            "started_at": now,
            "attempt": i64::from(run.attempt),
            "gateway": run.gateway,
            "expires_at": DateTime::from_millis(now.timestamp_millis().saturating_add(kept_ms)),
        });
        if run.status != RunStatus::Running {
            document.insert("ended_at", now);
        }
        let inserted = self.collection()?.insert_one(document).await;
        inserted.map_err(|error| self.store.failed(error))?;
        Ok(id)
    }

    /// Writes down how a run went.
    pub(super) async fn end(
        &self,
        id: ObjectId,
        status: RunStatus,
        took: Duration,
        error: Option<&RunError>,
    ) -> Result<(), LifeError> {
        let mut set = doc! {
            "status": status.as_str(),
            "ended_at": DateTime::now(),
            "ms": i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
        };
        if let Some(error) = error {
            set.insert("error", head(&error.summary, MAX_SUMMARY_BYTES));
            if let Some(traceback) = &error.traceback {
                // What was raised stands at the end.
                set.insert("traceback", tail(traceback, MAX_TRACEBACK_BYTES));
            }
        }
        let change = doc! { "$set": set };
        let ended = self
            .collection()?
            .update_one(doc! { "_id": id }, change)
            .await;
        ended.map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    /// Runs whose gateway ended in the middle: a job runs once at a time, so none of them runs any more.
    pub(super) async fn mark_lost(&self, of: RunOf<'_>) -> Result<(), LifeError> {
        let mut filter = of.filter();
        filter.insert("status", RunStatus::Running.as_str());
        let change = doc! { "$set": { "status": RunStatus::Lost.as_str() } };
        let marked = self.collection()?.update_many(filter, change).await;
        marked.map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    /// Takes away all but the newest runs of a job.
    pub(super) async fn prune(&self, of: RunOf<'_>, keep: usize) -> Result<(), LifeError> {
        let collection = self.collection()?;
        let first = collection
            .find_one(of.filter())
            .sort(doc! { "_id": -1 })
            .skip(keep as u64)
            .await
            .map_err(|error| self.store.failed(error))?;
        let Some(id) = first.as_ref().and_then(|run| run.get("_id")) else {
            return Ok(());
        };
        let mut older = of.filter();
        older.insert("_id", doc! { "$lte": id });
        let removed = collection.delete_many(older).await;
        removed.map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    /// Runs, newest first.
    pub(super) async fn list(&self, filter: RunFilter<'_>) -> Result<Vec<RunRecord>, LifeError> {
        let mut wanted = doc! { "app_id": filter.app_id, "plugin": filter.plugin };
        if let Some(job) = filter.job {
            wanted.insert("job", job);
        }
        if let Some(before) = filter.before {
            let before = ObjectId::parse_str(before).map_err(|_| {
                LifeError::invalid_at("cursor", "cursor is not one that a list has given")
            })?;
            wanted.insert("_id", doc! { "$lt": before });
        }
        let found: Vec<Document> = self
            .collection()?
            .find(wanted)
            .sort(doc! { "_id": -1 })
            .limit(i64::try_from(filter.limit).unwrap_or(i64::MAX))
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(found.iter().map(record).collect())
    }

    fn collection(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(RUNS.name))
    }
}

fn record(document: &Document) -> RunRecord {
    let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
    let time = |name: &str| {
        let at = document.get_datetime(name).ok()?;
        at.try_to_rfc3339_string().ok()
    };
    let whole = |name: &str| match document.get(name) {
        Some(Bson::Int64(number)) => Some(*number),
        Some(Bson::Int32(number)) => Some(i64::from(*number)),
        _ => None,
    };
    RunRecord {
        id: document
            .get_object_id("_id")
            .map(|id| id.to_hex())
            .unwrap_or_default(),
        job: text("job").unwrap_or_default(),
        status: text("status").unwrap_or_default(),
        trigger: text("trigger").unwrap_or_default(),
        due_at: time("due_at"),
        started_at: time("started_at"),
        ended_at: time("ended_at"),
        ms: whole("ms"),
        attempt: whole("attempt").unwrap_or(1),
        gateway: text("gateway").unwrap_or_default(),
        error: text("error"),
        traceback: text("traceback"),
    }
}
