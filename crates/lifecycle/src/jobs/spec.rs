//! What a plugin says of a job, checked.

use std::{sync::Arc, time::Duration};

use bson::{Bson, Document, doc};
use mozaiks_jobs::{JobRecord, Recurring, Schedule, ScheduleError};
use mozaiks_plugins::PluginFunction;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entry_key;
use crate::error::LifeError;

/// Bytes of a job's name.
const MAX_NAME_BYTES: usize = 64;
/// The longest that a job may wish to run.
const MAX_SECONDS: f64 = 3600.0;

/// A job as a plugin declares it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Its name, of which a plugin has one each.
    pub name: String,
    /// Five or six fields.
    pub cron: String,
    /// An IANA name.
    #[serde(default = "utc")]
    pub timezone: String,
    /// What becomes of a run whose time passed while no gateway could begin it.
    #[serde(default)]
    pub missed: Missed,
    /// One run's limit.
    pub timeout_seconds: Option<f64>,
}

fn utc() -> String {
    "UTC".into()
}

/// What becomes of a run whose time passed while no gateway could begin it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// It is left out.
    #[default]
    Skip,
    /// One run makes up for all that were missed.
    RunOnce,
}

impl Missed {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::RunOnce => "run_once",
        }
    }
}

/// A job of a load.
#[derive(Debug, Clone)]
pub(super) struct ScheduledJob {
    pub name: Arc<str>,
    /// The queue that its runs come from, the same for all apps.
    pub queue: Arc<str>,
    pub schedule: Schedule,
    pub missed: Missed,
    pub timeout: Duration,
    pub function: PluginFunction,
}

impl ScheduledJob {
    pub(super) fn new(
        spec: &JobSpec,
        function: PluginFunction,
        timeout: Duration,
    ) -> Result<Self, LifeError> {
        let name = &spec.name;
        let good = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        let is_name = (1..=MAX_NAME_BYTES).contains(&name.len())
            && name.chars().all(good)
            && !name.starts_with('.');
        if !is_name {
            let shown: String = name.chars().take(MAX_NAME_BYTES).collect();
            return Err(LifeError::invalid_at(
                "name",
                format!(
                    "{shown:?} is no name of a job: 1 to {MAX_NAME_BYTES} letters, digits, _, - and ."
                ),
            ));
        }
        let schedule = Schedule::parse(&spec.cron, &spec.timezone).map_err(|error| {
            let at = match error {
                ScheduleError::Cron(..) | ScheduleError::Never(_) => "cron",
                ScheduleError::TimeZone(_) => "timezone",
            };
            LifeError::invalid_at(at, format!("job {name:?}: {at}: {error}"))
        })?;
        let timeout = match spec.timeout_seconds {
            None => timeout,
            Some(seconds) if seconds > 0.0 && seconds <= MAX_SECONDS => {
                Duration::from_secs_f64(seconds)
            }
            Some(seconds) => {
                return Err(LifeError::invalid_at(
                    "timeout_seconds",
                    format!(
                        "job {name:?}: timeout_seconds must be more than 0 and at most \
                         {MAX_SECONDS}, not {seconds}"
                    ),
                ));
            }
        };
        let plugin = function.generation.plugin();
        Ok(Self {
            queue: format!("{plugin}:{name}").into(),
            name: name.as_str().into(),
            schedule,
            missed: spec.missed,
            timeout,
            function,
        })
    }

    pub(super) fn plugin(&self) -> &Arc<str> {
        self.function.generation.plugin()
    }

    /// Its entry in the database for an app.
    pub(super) fn entry(&self, app_id: &str) -> Recurring {
        Recurring {
            key: entry_key(self.plugin(), &self.name, app_id),
            queue: self.queue.to_string(),
            app_id: app_id.to_owned(),
            schedule: self.schedule.clone(),
            payload: Bson::Null,
            fields: self.fields(),
        }
    }

    /// What the entries in the database say beside the schedule.
    pub(super) fn fields(&self) -> Document {
        doc! {
            "plugin": &**self.plugin(),
            "job": &*self.name,
            "missed": self.missed.as_str(),
            "timeout_seconds": self.timeout.as_secs_f64(),
        }
    }

    /// Whether an entry in the database says the same.
    pub(super) fn is_stored_as(&self, entry: &JobRecord) -> bool {
        let (cron, zone) = (self.schedule.expression(), self.schedule.zone());
        let comes = entry.schedule.as_ref();
        let fields = self.fields();
        // An entry that ended will not come again by itself.
        entry.ended_at.is_none()
            && comes.is_some_and(|(stored, in_zone)| stored == cron && in_zone == zone)
            && fields
                .iter()
                .all(|(key, value)| entry.document.get(key) == Some(value))
    }
}
