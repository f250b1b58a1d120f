//! What plugins use and how their calls go, as admins see it.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    arguments::{Arguments, PathId},
    error::ApiError,
    identify::Admin,
    state::{App, AppState},
    typed::Answer,
};
use mozaiks_lifecycle::usage::UsageHour;
use mozaiks_plugins::{manifest::Isolation, registry::Plugin};

/// Hours where the client does not say.
const DEFAULT_HOURS: u32 = 24;
/// Hours at most: a year's.
const MAX_HOURS: u32 = 366 * 24;

/// What a plugin has used in the admin's app.
#[derive(Serialize, JsonSchema)]
pub(super) struct UsageList {
    plugin: String,
    count: usize,
    /// Hours in which it was used, the newest first.
    usage: Vec<UsageHour>,
}

/// How far back.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Hours {
    /// How many, this one included; 24 where it is not said.
    hours: Option<u32>,
}

/// `GET /api/plugins/registry/{name}/usage?hours=24`: what a plugin has used in the admin's app.
pub(super) async fn list_usage(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
    Arguments(Hours { hours }): Arguments<Hours>,
) -> Result<Answer<UsageList>, ApiError> {
    let hours = hours.unwrap_or(DEFAULT_HOURS);
    if !(1..=MAX_HOURS).contains(&hours) {
        let what = format!("hours must be 1 to {MAX_HOURS}");
        return Err(ApiError::invalid(&what, "hours"));
    }
    // Also of plugins that were removed.
    let usage = app.plugin_usage.hours(&principal.app_id, &name, hours);
    let usage = usage.await?;
    Ok(Answer(UsageList {
        plugin: name,
        count: usage.len(),
        usage,
    }))
}

/// How a plugin's calls go since the gateway's start, in all apps.
#[derive(Serialize, JsonSchema)]
pub(super) struct CallFigures {
    /// Calls of every kind that ended or were not taken.
    calls: u64,
    /// Of these, those without a good answer.
    failed: u64,
    /// How many failed with each code; codes that only plugins know are `other`.
    errors: BTreeMap<&'static str, u64>,
    /// How many were not taken, by reason.
    refused: BTreeMap<&'static str, u64>,
    latency: Latency,
    queue: Queue,
    /// Workers that have died.
    restarts: u64,
    /// Resident memory of its own processes; none where it has none.
    memory_bytes: Option<u64>,
}

/// How long calls took, of every kind.
#[derive(Serialize, JsonSchema)]
struct Latency {
    seconds_sum: f64,
    buckets: Vec<Bucket>,
}

/// Calls that took at most so long, with those of the buckets before.
#[derive(Serialize, JsonSchema)]
struct Bucket {
    /// None for whatever took longer.
    le_seconds: Option<f64>,
    count: u64,
}

/// Calls that were taken.
#[derive(Serialize, JsonSchema)]
struct Queue {
    running: u64,
    waiting: u64,
    /// How long the call had waited that began last.
    last_delay_seconds: f64,
}

/// How a plugin's calls go.
pub(super) fn call_figures(app: &App, plugin: &Plugin) -> CallFigures {
    let traffic = plugin.traffic();
    let figures = traffic.figures();
    let (calls, failed) = figures.metrics.totals();
    let (buckets, seconds_sum) = figures.metrics.latency();
    let view = app.isolations.view(plugin);
    let own = view.pool.filter(|_| view.mode == Isolation::Dedicated);
    let memory_bytes = own.map(|pool| pool.workers.iter().map(|worker| worker.memory_bytes).sum());
    CallFigures {
        calls,
        failed,
        errors: figures.metrics.errors().collect(),
        refused: figures.metrics.refused().collect(),
        latency: Latency {
            seconds_sum,
            buckets: buckets
                .into_iter()
                .map(|(le_seconds, count)| Bucket { le_seconds, count })
                .collect(),
        },
        queue: Queue {
            running: figures.running,
            waiting: figures.waiting,
            last_delay_seconds: traffic.queue.last_delay().as_secs_f64(),
        },
        restarts: view.restarts,
        memory_bytes,
    }
}
