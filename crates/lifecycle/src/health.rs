//! How plugins say that they are: `check_health` of each that serves, asked now and then.
//!
//! The answer is about this process's load; the row in the database is written when it changes.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mozaiks_plugins::{
    CallError, CallKind, Input, LiveGeneration, Target,
    dispatch::{Call, DispatchError, Dispatcher},
    registry::{PluginState, Registry},
};
use parking_lot::RwLock;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{apps::KnownApps, manager::PluginManager, rows::Rows};

/// The lifecycle function.
const HOOK: &str = "check_health";
/// Plugins asked at the same time.
const ASKED_AT_A_TIME: usize = 8;
/// Bytes of what a plugin says of itself that are kept.
const MAX_DETAILS_BYTES: usize = 16 * 1024;
/// What a dict may have under `status` of a plugin that is well.
const WELL: [&str; 5] = ["ok", "healthy", "up", "pass", "green"];

/// How a plugin is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// It has not been asked, or has no `check_health`.
    #[default]
    Unknown,
    /// It says that it is well.
    Healthy,
    /// It says that it is not, raised, or did not answer in time.
    Unhealthy,
}

impl HealthStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// The last answer of a plugin.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Health {
    /// How it is.
    pub status: HealthStatus,
    /// When it was asked.
    pub checked_at: Option<String>,
    /// How long the answer took.
    pub ms: Option<u64>,
    /// What it says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// Why there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The last answers, by plugin and app.
type Answers = HashMap<Arc<str>, HashMap<Arc<str>, Health>>;

/// What health checks work with.
pub struct Parts {
    /// The plugins there are.
    pub registry: Arc<Registry>,
    /// Knows what each has.
    pub manager: Arc<PluginManager>,
    /// Calls them.
    pub dispatcher: Arc<Dispatcher>,
    /// The apps for which they are asked.
    pub apps: Arc<KnownApps>,
    /// Where changes are written.
    pub rows: Arc<Rows>,
}

/// Asks plugins how they are.
pub struct HealthChecks {
    parts: Parts,
    interval: Duration,
    timeout: Duration,
    // Written after each round, read when somebody asks; never held across an await.
    answers: RwLock<Answers>,
}

impl HealthChecks {
    /// Nobody has been asked yet.
    pub fn new(parts: Parts, interval: Duration, timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            parts,
            interval,
            timeout,
            answers: RwLock::default(),
        })
    }

    /// How a plugin is in an app.
    pub fn of(&self, plugin: &str, app_id: &str) -> Health {
        let answers = self.answers.read();
        let of_plugin = answers.get(plugin);
        of_plugin
            .and_then(|apps| apps.get(app_id))
            .cloned()
            .unwrap_or_default()
    }

    /// Asks round after round, until the handle is aborted.
    pub fn start(self: &Arc<Self>) -> JoinHandle<()> {
        let checks = Arc::clone(self);
        tokio::spawn(async move {
            let mut turns = tokio::time::interval(checks.interval);
            turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                turns.tick().await;
                checks.ask_all().await;
            }
        })
    }

    async fn ask_all(self: &Arc<Self>) {
        let turns = Arc::new(tokio::sync::Semaphore::new(ASKED_AT_A_TIME));
        let mut asking = tokio::task::JoinSet::new();
        let mut asked: Vec<Arc<str>> = Vec::new();
        for plugin in self.parts.registry.list() {
            let PluginState::Active(generation) = plugin.state() else {
                continue;
            };
            let hooks = self.parts.manager.view(&plugin.name).hooks;
            if !hooks.iter().any(|hook| hook == HOOK) {
                continue;
            }
            asked.push(Arc::clone(&plugin.name));
            let (checks, turns) = (Arc::clone(self), Arc::clone(&turns));
            asking.spawn(async move {
                // Never closed, so there is always a turn to come.
                let _turn = turns.acquire().await;
                for app_id in checks.parts.apps.all() {
                    if generation.serves(&app_id) {
                        checks.ask(&generation, app_id).await;
                    }
                }
            });
        }
        while asking.join_next().await.is_some() {}
        // Of those that are not asked any more nothing is known.
        self.answers
            .write()
            .retain(|plugin, _| asked.contains(plugin));
    }

    async fn ask(&self, generation: &Arc<LiveGeneration>, app_id: Arc<str>) {
        let call = Call {
            kind: CallKind::Life,
            target: Target::Life(generation.id()),
            input: Input::Arguments(json!([{ "name": HOOK }]).to_string().into()),
            principal: None,
            app_id: Some(Arc::clone(&app_id)),
            request_id: format!("health-{}", generation.id().0).into(),
            timeout: Some(self.timeout),
        };
        let begun = Instant::now();
        let outcome = match self.parts.dispatcher.invoke(Arc::clone(generation), call) {
            Ok(pending) => pending.await,
            // A full plugin says nothing of its health; its calls do.
            Err(DispatchError::Overloaded) => return,
            Err(error) => Err(error),
        };
        let mut health = match outcome {
            Ok(reply) => said(serde_json::from_slice(&reply.body).unwrap_or_default()),
            Err(error) => Health {
                status: HealthStatus::Unhealthy,
                error: Some(match error {
                    DispatchError::Call(CallError::Raised { summary, .. }) => summary,
                    other => other.to_string(),
                }),
                ..Health::default()
            },
        };
        health.checked_at = bson::DateTime::now().try_to_rfc3339_string().ok();
        health.ms = u64::try_from(begun.elapsed().as_millis()).ok();
        self.note(generation.plugin(), app_id, health).await;
    }

    async fn note(&self, plugin: &Arc<str>, app_id: Arc<str>, health: Health) {
        let before = {
            let mut answers = self.answers.write();
            let apps = answers.entry(Arc::clone(plugin)).or_default();
            apps.insert(app_id, health.clone())
        };
        let before = before.unwrap_or_default();
        if before.status == health.status {
            return;
        }
        if health.status == HealthStatus::Unhealthy {
            tracing::warn!(
                plugin.name = &**plugin,
                reason = health.error.as_deref(),
                "plugin.unhealthy"
            );
        } else if before.status == HealthStatus::Unhealthy {
            tracing::info!(plugin.name = &**plugin, "plugin.healthy");
        }
        let reason = health.error.as_deref();
        let written = self
            .parts
            .rows
            .set_health(plugin, health.status.as_str(), reason)
            .await;
        if let Err(error) = written {
            tracing::warn!(plugin.name = &**plugin, error = %error, "plugin.health_not_written");
        }
    }
}

/// What an answer means: a boolean is one, a dict has `healthy` or `status`, and whoever says nothing has
/// nothing to complain of.
fn said(answer: Value) -> Health {
    let is_well = match &answer {
        Value::Bool(well) => *well,
        Value::Object(fields) => match (fields.get("healthy"), fields.get("status")) {
            (Some(healthy), _) => *healthy == Value::Bool(true),
            (None, Some(status)) => status.as_str().is_some_and(|word| {
                let word = word.to_ascii_lowercase();
                WELL.contains(&&*word)
            }),
            (None, None) => true,
        },
        Value::Null => true,
        Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Health {
                status: HealthStatus::Unhealthy,
                error: Some("check_health must give a dict or a boolean".into()),
                ..Health::default()
            };
        }
    };
    let details = answer.is_object().then_some(answer);
    let details = details.map(|details| {
        let bytes = details.to_string().len();
        if bytes > MAX_DETAILS_BYTES {
            json!({ "too_large_bytes": bytes })
        } else {
            details
        }
    });
    Health {
        status: if is_well {
            HealthStatus::Healthy
        } else {
            HealthStatus::Unhealthy
        },
        details,
        ..Health::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_boolean_or_a_dict_that_says_so() {
        let is_well = |answer: Value| said(answer).status == HealthStatus::Healthy;
        for well in [
            json!(true),
            json!(null),
            json!({}),
            json!({"healthy": true, "status": "down"}),
            json!({"status": "OK", "queue": 3}),
        ] {
            assert!(is_well(well.clone()), "{well}");
        }
        for unwell in [
            json!(false),
            json!({"healthy": false}),
            json!({"healthy": "yes"}),
            json!({"status": "down"}),
            json!({"status": 1}),
            json!("ok"),
            json!([]),
            json!(1),
        ] {
            assert!(!is_well(unwell.clone()), "{unwell}");
        }
        let large = said(json!({ "text": "x".repeat(MAX_DETAILS_BYTES) }));
        assert!(
            large
                .details
                .is_some_and(|kept| kept["too_large_bytes"].is_u64())
        );
    }
}
