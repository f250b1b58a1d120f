//! What admins see of jobs and their runs.

use bson::{DateTime, Document, doc};
use mozaiks_jobs::{JobFilter, JobRecord};
use schemars::JsonSchema;
use serde::Serialize;

use super::{PluginJobs, RunFilter, RunRecord, spec::Missed};
use crate::error::LifeError;

/// Jobs of one plugin that are listed.
const MAX_LISTED: i64 = 10_000;

/// A job that is live in this gateway.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LiveJob {
    /// Its name.
    pub name: String,
    /// When it runs.
    pub cron: String,
    /// In which time zone.
    pub timezone: String,
    /// What becomes of runs whose time passed.
    pub missed: Missed,
    /// One run's limit.
    pub timeout_seconds: f64,
    /// When it is due next by its schedule.
    pub next_run: Option<String>,
}

/// A job as the database has it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct JobView {
    /// Its name.
    pub name: Option<String>,
    /// When it runs.
    pub cron: String,
    /// In which time zone.
    pub timezone: String,
    /// What becomes of runs whose time passed: `skip` or `run_once`.
    pub missed: Option<String>,
    /// One run's limit.
    pub timeout_seconds: Option<f64>,
    /// Whether this gateway takes its runs: its plugin serves.
    pub active: bool,
    /// `running` or `waiting`.
    pub status: &'static str,
    /// When it is due next.
    pub next_run: Option<String>,
    /// How it ended last.
    pub last_run: Option<LastRun>,
}

/// How a job ended last.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LastRun {
    /// `succeeded` or `failed`.
    pub status: &'static str,
    /// When.
    pub ended_at: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}

impl PluginJobs {
    /// The jobs of a plugin that are live in this gateway, by name.
    pub fn live(&self, plugin: &str) -> Vec<LiveJob> {
        let mut jobs: Vec<_> = self
            .table
            .of(plugin)
            .into_iter()
            .map(|(job, next)| LiveJob {
                name: job.name.to_string(),
                cron: job.schedule.expression().to_owned(),
                timezone: job.schedule.zone().to_owned(),
                missed: job.missed,
                timeout_seconds: job.timeout.as_secs_f64(),
                next_run: next.and_then(written),
            })
            .collect();
        jobs.sort_by(|one, other| one.name.cmp(&other.name));
        jobs
    }

    /// The jobs of a plugin in an app, by name: schedule, next and last run.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list(&self, app_id: &str, plugin: &str) -> Result<Vec<JobView>, LifeError> {
        let filter = JobFilter {
            app_id,
            fields: doc! { "plugin": plugin, "schedule": { "$exists": true } },
            limit: MAX_LISTED,
            ..JobFilter::default()
        };
        let mut entries = self.queue.list(&filter).await?;
        entries.sort_by(|one, other| one.queue.cmp(&other.queue));
        Ok(entries.iter().map(|entry| self.shown(entry)).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// [`LifeError::NotFound`], or what the database says.
    pub async fn get(&self, app_id: &str, plugin: &str, job: &str) -> Result<JobView, LifeError> {
        let key = super::entry_key(plugin, job, app_id);
        match self.queue.find(&key).await? {
            // What is written like this key may be another app's.
            Some(entry)
                if entry
                    .document
                    .get_str("app_id")
                    .is_ok_and(|id| id == app_id) =>
            {
                Ok(self.shown(&entry))
            }
            Some(_) | None => Err(LifeError::NotFound("there is no such job".into())),
        }
    }

    /// Runs of a plugin's jobs, newest first.
    ///
    /// # Errors
    /// [`LifeError::Invalid`] for a cursor that is none, or what the database says.
    pub async fn runs(&self, filter: RunFilter<'_>) -> Result<Vec<RunRecord>, LifeError> {
        self.runs.list(filter).await
    }

    fn shown(&self, entry: &JobRecord) -> JobView {
        let text =
            |document: &Document, field: &str| document.get_str(field).ok().map(str::to_owned);
        let document = &entry.document;
        let last = document.get_document("last_run").ok().map(|last| {
            let status = match last.get_str("state") {
                Ok("done") => "succeeded",
                _ => "failed",
            };
            let ended_at = last
                .get_datetime("ended_at")
                .ok()
                .copied()
                .and_then(written);
            LastRun {
                status,
                ended_at,
                error: text(last, "reason"),
            }
        });
        let (cron, zone) = entry.schedule.clone().unwrap_or_default();
        JobView {
            name: text(document, "job"),
            cron,
            timezone: zone,
            missed: text(document, "missed"),
            timeout_seconds: document.get_f64("timeout_seconds").ok(),
            active: self.table.find(&entry.queue).is_some(),
            status: if entry.state == "claimed" {
                "running"
            } else {
                "waiting"
            },
            next_run: entry.run_at.and_then(written),
            last_run: last,
        }
    }
}

fn written(at: DateTime) -> Option<String> {
    at.try_to_rfc3339_string().ok()
}
