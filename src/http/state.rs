//! What the handlers share: the parts of the gateway, joined by whoever starts it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use super::{body::BodyRoom, openapi::PluginDocument, origin::OriginAllowList};
use mozaiks_auth::TokenVerifier;
use mozaiks_catalog::Catalog;
use mozaiks_config::ServerConfig;
use mozaiks_entities::machine::Machine;
use mozaiks_events::EventBus;
use mozaiks_hooks::Hooks;
use mozaiks_lifecycle::{
    audit::AuditLog, configs::PluginConfigs, executions::Executions, health::HealthChecks,
    jobs::PluginJobs, manager::PluginManager, quotas::Quotas, slots::Slots, storage::PluginStorage,
    usage::PluginUsage,
};
use mozaiks_notifications::{NotificationsManager, Operations};
use mozaiks_plugins::{
    PluginRuntime, assets::AssetTrees, client_events::ClientEvents, dispatch::Dispatcher,
    permissions::Denials, rates::RateLimits, registry::Registry, renders::Renders,
    routes::PluginRoutes, streams::Streams,
};
use mozaiks_realtime::Realtime;
use mozaiks_settings::SettingsManager;
use mozaiks_store::Store;
use mozaiks_telemetry::{
    access::AccessLog,
    metrics::{Gauges, JobGauges, Metrics, PoolGauges, WorkerGauges},
    plugin_logs::PluginLogs,
};
use mozaiks_worker::Isolations;

/// The joined parts, shared by all requests.
pub struct App {
    /// Development mode: tracebacks go to the client.
    pub dev: bool,
    /// Limits of requests.
    pub server: ServerConfig,
    /// Verifies tokens.
    pub verifier: Arc<TokenVerifier>,
    /// The plugins there are.
    pub registry: Arc<Registry>,
    /// Takes them through their life.
    pub plugins: Arc<PluginManager>,
    /// Those that are stored in the database; none where they are switched off.
    pub catalog: Option<Arc<Catalog>>,
    /// Their routes.
    pub plugin_routes: Arc<PluginRoutes>,
    /// Their answers that come in pieces.
    pub streams: Arc<Streams>,
    /// Their configurations.
    pub plugin_configs: Arc<PluginConfigs>,
    /// How often they and others may be called.
    pub rates: Arc<RateLimits>,
    /// What they use.
    pub plugin_usage: Arc<PluginUsage>,
    /// Their files for pages.
    pub plugin_assets: Arc<AssetTrees>,
    /// Their widgets of HTML.
    pub plugin_renders: Arc<Renders>,
    /// What pages place where.
    pub plugin_slots: Arc<Slots>,
    /// Calls of their parts.
    pub plugin_executions: Arc<Executions>,
    /// What they keep under keys.
    pub plugin_storage: Arc<PluginStorage>,
    /// How much of what they may store they use.
    pub plugin_quotas: Arc<Quotas>,
    /// Who did what to them.
    pub plugin_audit: Arc<AuditLog>,
    /// What they do at certain times.
    pub plugin_jobs: Arc<PluginJobs>,
    /// What changes their collections.
    pub migrations: Arc<Machine>,
    /// How they say that they are.
    pub plugin_health: Arc<HealthChecks>,
    /// What plugins were denied.
    pub plugin_denials: Arc<Denials>,
    /// Them in `/openapi.json`.
    pub plugin_document: PluginDocument,
    /// What they logged.
    pub plugin_logs: Arc<PluginLogs>,
    /// The app of calls without a token; `*` where there is none.
    pub public_app_id: Arc<str>,
    /// Calls them.
    pub dispatcher: Arc<Dispatcher>,
    /// Runs them; asked here how it is doing.
    pub runtime: Arc<dyn PluginRuntime>,
    /// Which plugin runs where.
    pub isolations: Arc<Isolations>,
    /// A loop of its that is held for longer makes the gateway unready.
    pub loop_unready: Duration,
    /// Which origins of browsers are let in.
    pub origins: OriginAllowList,
    /// Live connections.
    pub realtime: Arc<Realtime>,
    /// What happens, for whoever wants to hear of it.
    pub events: Arc<EventBus>,
    /// Which events pages may publish.
    pub client_events: Arc<ClientEvents>,
    /// Filters and actions of plugins.
    pub hooks: Arc<Hooks>,
    /// The database.
    pub store: Arc<Store>,
    /// What users have set.
    pub settings: Arc<SettingsManager>,
    /// Room for large request bodies.
    pub bodies: Arc<BodyRoom>,
    /// What users are told.
    pub notifications: Arc<NotificationsManager>,
    /// The same as plugins reach it.
    pub notification_operations: Operations,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// One line a request.
    pub access: Arc<AccessLog>,
    /// When the process began to serve.
    pub started: Instant,
    /// Where in its life the gateway is.
    pub life: Life,
}

/// The state of axum's handlers.
#[derive(Clone)]
pub struct AppState(pub Arc<App>);

/// Where in its life the gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Plugins are being loaded.
    Starting,
    /// Calls are taken.
    Ready,
    /// Calls are finished, none is taken.
    Draining,
}

/// The phases a gateway goes through, from [`Phase::Starting`] on.
#[derive(Debug, Default)]
pub struct Life(AtomicU8);

impl App {
    /// Where in its life the gateway is now.
    pub fn phase(&self) -> Phase {
        match self.life.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// Takes the next step of its life; there is no way back.
    pub fn enter(&self, phase: Phase) {
        self.life.0.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// Whether what needs the database works.
    pub fn database_answers(&self) -> bool {
        self.store.health().is_up()
    }

    /// Whether the plugins' event loop has not turned for longer than the configured limit.
    pub fn loop_is_held(&self) -> bool {
        Duration::from_millis(self.runtime.status().loop_lag_ms) > self.loop_unready
    }

    /// What is measured at the moment of asking.
    pub fn gauges(&self) -> Gauges {
        let runtime = self.runtime.status();
        let tokens = self.verifier.cache_stats();
        let fetches = self.verifier.fetch_stats();
        let realtime = self.realtime.hub.stats();
        let (cursors, sessions) = self.store.open_for_plugins();
        let jobs = self.plugin_jobs.stats();
        let hooks = self.hooks.figures();
        let (plugin_modules_cached, plugin_modules_compiled) = self.registry.modules().get();
        Gauges {
            jobs: JobGauges {
                live: jobs.live,
                running: jobs.running,
                runs: [
                    ("succeeded", jobs.succeeded),
                    ("failed", jobs.failed),
                    ("timed_out", jobs.timed_out),
                    ("missed", jobs.missed),
                    ("lost", jobs.lost),
                ],
            },
            plugins: (self.registry.list().iter())
                .map(|plugin| (Arc::clone(&plugin.name), plugin.traffic().figures()))
                .collect(),
            calls_queued: runtime.queued as u64,
            calls_running: runtime.running as u64,
            loop_lag_ms: runtime.loop_lag_ms,
            loop_holds: runtime.loop_holds,
            workers: worker_gauges(&self.isolations),
            worker_restarts: self.isolations.crashes().totals(),
            pools: runtime
                .pools
                .iter()
                .map(|pool| PoolGauges {
                    name: pool.name,
                    running: pool.running as u64,
                    waiting: pool.waiting as u64,
                    lost: pool.lost as u64,
                    refused: pool.refused,
                })
                .collect(),
            token_cache_hits: tokens.hits,
            token_cache_misses: tokens.misses,
            auth_keys: self.verifier.key_count() as u64,
            key_fetches: fetches.succeeded,
            key_fetch_failures: fetches.failed,
            sockets_open: realtime.connections as u64,
            socket_queued_bytes: realtime.queued_bytes as u64,
            socket_history_bytes: realtime.history_bytes as u64,
            groups: realtime.groups as u64,
            group_members: realtime.group_members as u64,
            group_messages: realtime.group_messages,
            group_refusals: realtime.group_refusals,
            socket_messages_sent: realtime.messages_sent,
            socket_writes: realtime.socket_writes,
            sockets_closed: realtime
                .closed
                .into_iter()
                .map(|(code, count)| (code.number(), count))
                .collect(),
            body_bytes_held: self.bodies.held_bytes() as u64,
            log_lines_dropped: self.access.dropped_lines(),
            permission_denials: self.plugin_denials.counts(),
            findings: self.registry.findings().counts(),
            rate_limited: self.rates.refused().to_vec(),
            event_levels_overrun: self.events.levels_overrun(),
            executions_dropped: self.plugin_executions.dropped(),
            hooks: [hooks.chains, hooks.failed, hooks.skipped, hooks.too_deep],
            usage_uncounted: self.plugin_usage.uncounted(),
            rate_callers_forgotten: self.rates.evicted(),
            storage_refusals: self.plugin_quotas.refusals(),
            installations: self.registry.installations(),
            plugin_modules_cached,
            plugin_modules_compiled,
            plugin_streams: self.streams.count() as u64,
            plugin_log_followers: self.plugin_logs.followers() as u64,
            plugin_log_lines_overwritten: self.plugin_logs.overwritten(),
            malformed_documents: self.store.malformed_documents(),
            database_cursors: cursors as u64,
            database_sessions: sessions as u64,
            ready: self.phase() == Phase::Ready,
            uptime_seconds: self.started.elapsed().as_secs(),
        }
    }
}

fn worker_gauges(isolations: &Isolations) -> Vec<WorkerGauges> {
    let pools = isolations.pools().into_iter();
    pools
        .map(|(name, view)| WorkerGauges {
            pool: name.to_string(),
            count: view.workers.len() as u64,
            running: view
                .workers
                .iter()
                .map(|worker| worker.running as u64)
                .sum(),
            waiting: view.waiting as u64,
            memory_bytes: view.workers.iter().map(|worker| worker.memory_bytes).sum(),
        })
        .collect()
}
