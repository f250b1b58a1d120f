//! `GET /__mozaiks/admin/status`: how the gateway is doing, on one page.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::{
    identify::Admin,
    plugin_usage::{CallFigures, call_figures},
    state::{AppState, Phase},
    typed::Answer,
};

/// How the gateway is doing.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct GatewayStatus {
    /// `starting`, `ready` or `draining`.
    phase: &'static str,
    version: &'static str,
    uptime_seconds: u64,
    /// Whether the database answers.
    database: bool,
    calls: AllCalls,
    connections: Connections,
    count: usize,
    /// By name.
    plugins: Vec<PluginStatus>,
}

/// Calls of all plugins.
#[derive(Serialize, JsonSchema)]
struct AllCalls {
    /// Taken and not ended.
    in_flight: u64,
    /// Of these, those that have not begun.
    waiting: u64,
    /// How long the call had waited that began last.
    last_delay_seconds: f64,
    /// Age of the last turn of the loop in the gateway's own process.
    loop_lag_ms: u64,
}

/// Live connections.
#[derive(Serialize, JsonSchema)]
struct Connections {
    /// Sockets and event streams.
    live: u64,
}

/// How a plugin is doing.
#[derive(Serialize, JsonSchema)]
struct PluginStatus {
    name: String,
    #[serde(flatten)]
    figures: CallFigures,
}

/// `GET /__mozaiks/admin/status`.
pub(in crate::http) async fn get_status(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
) -> Answer<GatewayStatus> {
    let plugins = app.registry.list();
    let queue = app.dispatcher.queue();
    let plugins: Vec<_> = plugins
        .iter()
        .filter(|plugin| plugin.is_of(&principal.app_id))
        .map(|plugin| PluginStatus {
            name: plugin.name.to_string(),
            figures: call_figures(&app, plugin),
        })
        .collect();
    Answer(GatewayStatus {
        phase: match app.phase() {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
        },
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: app.started.elapsed().as_secs(),
        database: app.database_answers(),
        calls: AllCalls {
            in_flight: app.dispatcher.in_flight() as u64,
            waiting: queue.waiting() as u64,
            last_delay_seconds: queue.last_delay().as_secs_f64(),
            loop_lag_ms: app.runtime.status().loop_lag_ms,
        },
        connections: Connections {
            live: app.realtime.hub.stats().connections as u64,
        },
        count: plugins.len(),
        plugins,
    })
}
