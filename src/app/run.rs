//! The gateway's life: start, serve, drain, end.

use std::{process::exit, sync::Arc, time::Instant};

use anyhow::Context as _;

use super::{
    Host,
    announcer::Announcer,
    database,
    drain::drain,
    followers::Followers,
    greeting::announce,
    host::{
        Apps, DatabasePart, DeclaredTypes, EntitiesPart, EventsPart, FilesPart, Guard, HooksPart,
        HostPart, HttpPart, JobsPart, ManifestSchemas, MessageHandlers, NotificationOutlet,
        NotificationsPart, Pages, PartNames, PluginMessages, PluginPart, RealtimePart,
        RegistrySlot, RoutesPart, SeenUsers, SettingsPart, StorageMeter, StoragePart, StreamPart,
        WidgetsPart,
    },
    invite::invite,
    life::LifeSlot,
    loop_holders::LoopHolders,
    migrations,
    part_calls::PartCalls,
    plugin_cache,
    presence::{self, PresenceEvents},
    recorder::Recorder,
    requirements::InstalledSites,
    socket_tokens::SocketTokens,
    stored,
    usage::Meters,
};
use crate::{
    http::{App, BodyRoom, Gateway, Life, Phase, PluginDocument, origin::OriginAllowList},
    server::{
        Server,
        shutdown::{Hangups, Signals},
    },
};
use mozaiks_auth::TokenVerifier;
use mozaiks_config::{Config, PluginsConfig};
use mozaiks_events::EventBus;
use mozaiks_files::PluginFiles;
use mozaiks_hooks::Hooks;
use mozaiks_lifecycle::{
    apps::KnownApps,
    audit::AuditLog,
    configs::PluginConfigs,
    endpoints::Endpoints,
    executions::Executions,
    health::{self, HealthChecks},
    jobs::{self, JobRunner, PluginJobs},
    manager::{ManagerConfig, Parts, PluginManager},
    quotas::Quotas,
    rows::Rows,
    slots::Slots,
    storage::PluginStorage,
    usage::{Meter, PluginUsage},
};
use mozaiks_notifications::{
    Definitions, DeliveryWorkers, NotificationsManager, Operations, Scheduler,
};
use mozaiks_outbound::Outbound;
use mozaiks_plugins::{
    HostServices, PluginRuntime,
    client_events::ClientEvents,
    dispatch::{CallObserver, Dispatcher},
    permissions::Denials,
    queue_delay::DelayLimits,
    rates::RateLimits,
    registry::Registry,
    renders::Renders,
    routes::PluginRoutes,
    stored::StoredTrees,
    streams::Streams,
};
use mozaiks_python::{BytecodeFiller, PythonRuntime, Turns};
use mozaiks_realtime::{Hub, Realtime};
use mozaiks_settings::SettingsManager;
use mozaiks_telemetry::{Telemetry, metrics::Metrics};
use mozaiks_worker::Isolations;

/// Exit code after a second signal, as a shell reports SIGINT.
const EXIT_AT_ONCE: i32 = 130;

/// Runs the gateway until a signal ends the process; `turns` are those of the current runtime. CPython is never finalised: when everything is
/// drained the log is flushed and the process exits with 0.
///
/// # Errors
/// What kept it from starting: a bad log filter, unusable keys, a taken port, a missing Python.
pub async fn run(config: Config, definitions: Definitions, turns: Turns) -> anyhow::Result<()> {
    let python = |config: &PluginsConfig, host| -> Result<Arc<dyn PluginRuntime>, String> {
        Ok(PythonRuntime::start(config, host, &turns)?)
    };
    run_with(config, definitions, python).await
}

/// As [`run`], with another runtime in the place of Python: everything else is the gateway's own.
///
/// # Errors
/// As [`run`], and what `make_runtime` says.
pub async fn run_with<F>(
    mut config: Config,
    definitions: Definitions,
    make_runtime: F,
) -> anyhow::Result<()>
where
    F: FnOnce(&PluginsConfig, Arc<dyn HostServices>) -> Result<Arc<dyn PluginRuntime>, String>,
{
    let telemetry = Telemetry::start(&config.log).map_err(anyhow::Error::msg)?;
    config.plugins.cache_dir = plugin_cache::settle(&config.plugins, &config.data_dir)?;
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let listen_for_hangups = || Hangups::listen().context("cannot listen for signals");
    let (hangups, server_hangups) = (listen_for_hangups()?, listen_for_hangups()?);
    let verifier = TokenVerifier::from_config(&config.auth).map_err(anyhow::Error::msg)?;
    // The keys of a JWKS URL, so that the first token finds them; a URL that is down is asked again.
    let fetching = Arc::clone(&verifier);
    tokio::spawn(async move { fetching.prefetch().await });
    let outbound = Outbound::new(&config.plugins.outbound).map_err(anyhow::Error::msg)?;
    let outbound = Arc::new(outbound);
    let server = Server::bind(&config.server)
        .await
        .with_context(|| format!("cannot listen on {}", config.server.listen))?;
    let address = server.local_addr().context("the listener has no address")?;

    let mut realtime_config = config.realtime;
    realtime_config.query_tokens |= config.dev;
    let realtime_config = Arc::new(realtime_config);
    let start_wait = config.plugins.start_wait;
    let delivery_timeout = config.events.delivery_timeout;
    let events = EventBus::new(config.events);
    let hub = Hub::new(
        Arc::clone(&realtime_config),
        Arc::new(PresenceEvents::new(Arc::clone(&events))),
    );
    let messages = Arc::new(MessageHandlers::default());
    let apps = Apps::new(&config.auth.app_id);
    let registry_slot = RegistrySlot::default();
    let denials = Arc::new(Denials::default());
    let (tables, running_migrations) = Default::default();
    let guard = Guard::new(
        Arc::clone(&registry_slot),
        Arc::clone(&denials),
        Arc::clone(&events),
        apps.clone(),
        Arc::clone(&tables),
    );
    let mut parts: Vec<Box<dyn HostPart>> = vec![Box::new(RealtimePart::new(
        Arc::clone(&hub),
        apps.clone(),
        realtime_config.max_push_bytes,
        Arc::clone(&messages),
    ))];
    let (store, embedded) =
        database::open(&config.database, &config.data_dir, &apps, &config.log).await?;
    let settings = SettingsManager::new(
        Arc::clone(&store),
        Arc::new(ManifestSchemas(Arc::clone(&registry_slot))),
        Arc::clone(&events),
    );
    let storage = Arc::new(PluginStorage::new(Arc::clone(&store)));
    let files_dir = config.data_dir.join("files");
    let files = PluginFiles::new(&files_dir, config.plugins.files_max_bytes);
    let meter = StorageMeter::new(&store, &storage, &files, &registry_slot, &tables);
    let quotas = Quotas::new(Arc::new(meter), config.plugins.storage_recount);
    parts.push(Box::new(DatabasePart::new(
        Arc::clone(&store),
        apps.clone(),
        Arc::clone(&guard),
        Arc::clone(&quotas),
        Arc::clone(&running_migrations),
    )));
    parts.push(Box::new(EntitiesPart::new(
        Arc::clone(&tables),
        apps.clone(),
    )));
    parts.push(Box::new(FilesPart::new(files, &quotas, &guard, &apps)));
    parts.push(Box::new(SettingsPart::new(
        Arc::clone(&settings),
        apps.clone(),
    )));
    let only_app: Option<Arc<str>> =
        (config.auth.app_id != "*").then(|| Arc::from(&*config.auth.app_id));
    let executions = Executions::new(Arc::clone(&store), config.usage.clone());
    let usage = PluginUsage::new(Arc::clone(&store), config.usage, only_app.clone());
    parts.push(Box::new(HttpPart::new(
        outbound,
        Arc::clone(&guard),
        Arc::clone(&registry_slot),
        Arc::clone(&usage),
    )));
    let configs = Arc::new(PluginConfigs::new(Arc::clone(&store)));
    let audit = Arc::new(AuditLog::new(Arc::clone(&store)));
    let rates = RateLimits::new(&config.rates);
    let (routes, streams) = (
        Arc::new(PluginRoutes::new(&rates)),
        Arc::new(Streams::new(
            config.plugins.max_streams,
            config.server.idle_timeout,
        )),
    );
    let config_changes = Arc::new(LifeSlot::default());
    parts.push(Box::new(PluginPart::new(
        Arc::clone(&registry_slot),
        Arc::clone(&configs),
        config_changes.clone(),
        apps.clone(),
        config.data_dir.clone(),
    )));
    parts.push(Box::new(StoragePart::new(
        Arc::clone(&storage),
        Arc::clone(&quotas),
        apps.clone(),
    )));
    parts.push(Box::new(StreamPart::new(Arc::clone(&streams))));
    parts.push(Box::new(RoutesPart::new(Arc::clone(&routes))));
    let outlet = NotificationOutlet::new(
        Arc::clone(&hub),
        Arc::clone(&events),
        realtime_config.max_push_bytes,
    );
    let notifications = NotificationsManager::new(
        config.notifications,
        Arc::clone(&store),
        outlet.clone(),
        definitions,
    );
    let notification_operations = Operations::new(Arc::clone(&notifications));
    for part in NotificationsPart::all(&notification_operations, &apps) {
        parts.push(Box::new(part));
    }
    let metrics = Arc::new(Metrics::new(config.plugins.named_in_metrics));
    let rows = Arc::new(Rows::new(Arc::clone(&store)));
    let known_apps = KnownApps::new(Arc::clone(&store), only_app.clone());
    let holders = LoopHolders::new(config.workers.hold_limit, config.workers.hold_window);
    let part_names = Arc::new(PartNames::default());
    let observers: Vec<Arc<dyn CallObserver>> = vec![
        holders.clone(),
        known_apps.clone(),
        Arc::new(Recorder::new(&registry_slot)),
        usage.clone(),
        Arc::new(PartCalls::new(&part_names, &executions)),
        Arc::new(Announcer::new(Arc::clone(&events))),
        Arc::new(SeenUsers(Arc::clone(&notifications))),
    ];
    let dispatcher = Dispatcher::with_limits(observers, DelayLimits::new(&config.queue_delay));
    let migrations = migrations::machine(
        &config.migrations,
        (&store, embedded.is_some()),
        &dispatcher,
        &tables,
        &running_migrations,
    );
    let plugin_jobs = PluginJobs::new(
        jobs::Parts {
            store: Arc::clone(&store),
            dispatcher: Arc::clone(&dispatcher),
            events: Arc::clone(&events),
            apps: Arc::clone(&known_apps),
            gateway: migrations::gateway_name(),
        },
        config.jobs.clone(),
    );
    parts.push(Box::new(JobsPart::new(Arc::clone(&plugin_jobs))));
    let hooks = Hooks::new(Arc::clone(&dispatcher), config.hooks);
    parts.push(Box::new(HooksPart::new(Arc::clone(&hooks), apps.clone())));
    let renders = Arc::new(Renders::default());
    parts.push(Box::new(WidgetsPart::new(Arc::clone(&renders))));
    outlet.filter_mail_by(Arc::clone(&hooks));
    let client_events = Arc::new(ClientEvents::default());
    let deliveries = EventsPart::new(
        Arc::clone(&events),
        apps,
        Arc::clone(&dispatcher),
        delivery_timeout,
        config.plugins.max_depth,
        Arc::clone(&guard),
        Arc::clone(&client_events),
        Pages::new(Arc::clone(&hub), realtime_config.max_push_bytes),
    );
    let host = Arc::new(Host::new(
        deliveries,
        parts,
        Arc::clone(&registry_slot),
        guard,
        part_names,
    ));
    let services: Arc<dyn HostServices> = host.clone();
    let runtime = make_runtime(&config.plugins, services).map_err(anyhow::Error::msg)?;
    let isolations = Isolations::new(
        &config.workers,
        &config.plugins,
        &config.log.filter,
        &config.data_dir,
        Arc::clone(&runtime),
        host.clone(),
        config_changes.clone(),
    );
    let registry = Registry::new(&config.plugins, Arc::clone(&runtime));
    let trees = stored::trees(
        config.dev || config.plugins.stored,
        &config.data_dir,
        &store,
    )?;
    registry.place_by(isolations.clone());
    registry.provide_by(InstalledSites::new(
        &config.plugins,
        &config.data_dir,
        config.dev,
    ));
    registry.observe_generations(host.clone());
    if let Some(dir) = &config.plugins.cache_dir {
        let filler = BytecodeFiller::start(dir.clone(), config.plugins.cache_bytes);
        registry.keep_bytecode(filler);
    }
    // Filled once, before any plugin is loaded.
    let _ = registry_slot.set(Arc::clone(&registry));
    registry.observe_manifests(Arc::new(DeclaredTypes(Arc::clone(&notifications))));
    let manager = PluginManager::new(
        Parts {
            registry: Arc::clone(&registry),
            dispatcher: Arc::clone(&dispatcher),
            registrations: host,
            rows: Arc::clone(&rows),
            routes: Arc::clone(&routes),
            endpoints: Arc::new(Endpoints::new(Arc::clone(&store))),
            configs: Arc::clone(&configs),
            audit: Arc::clone(&audit),
            events: Arc::clone(&events),
            apps: Arc::clone(&known_apps),
            stored: trees.clone().map(|trees| trees as Arc<dyn StoredTrees>),
        },
        ManagerConfig {
            hook_timeout: config.plugins.hook_timeout,
            enable_new: config.plugins.enable_new,
            app_id: only_app,
        },
    );
    config_changes.fill(&manager);
    let catalog = trees.map(|trees| stored::catalog(trees, &store, &manager, &audit));
    holders.fill(&runtime, &isolations, &manager);
    let plugin_health = HealthChecks::new(
        health::Parts {
            registry: Arc::clone(&registry),
            manager: Arc::clone(&manager),
            dispatcher: Arc::clone(&dispatcher),
            apps: Arc::clone(&known_apps),
            rows,
        },
        config.jobs.health_interval,
        config.jobs.health_timeout,
    );
    let public_app_id = match &config.plugins.public_app_id {
        Some(app_id) => Arc::from(&**app_id),
        None => Arc::from(&*config.auth.app_id),
    };
    let realtime = Realtime::new(
        hub,
        realtime_config,
        SocketTokens::new(
            Arc::clone(&verifier),
            config.auth.leeway,
            Arc::clone(&rates),
            Arc::clone(&notifications),
            known_apps,
        ),
        PluginMessages::new(messages, Arc::clone(&dispatcher), Arc::clone(&rates)),
    );
    let app = Arc::new(App {
        realtime,
        dev: config.dev,
        origins: OriginAllowList::new(&config.server.cors_origins, config.dev),
        bodies: BodyRoom::new(&config.server),
        server: config.server,
        verifier,
        events,
        plugin_slots: Slots::new(Arc::clone(&store)),
        client_events,
        hooks,
        store,
        settings,
        notifications,
        notification_operations,
        registry,
        plugins: manager,
        catalog,
        plugin_routes: routes,
        rates,
        plugin_usage: usage,
        plugin_executions: executions,
        plugin_renders: renders,
        plugin_assets: Arc::default(),
        streams,
        plugin_configs: configs,
        plugin_storage: storage,
        plugin_quotas: quotas,
        plugin_audit: audit,
        plugin_jobs,
        migrations: Arc::clone(&migrations),
        plugin_health,
        plugin_denials: denials,
        plugin_document: PluginDocument::default(),
        plugin_logs: Arc::clone(&telemetry.plugin_logs),
        public_app_id,
        dispatcher,
        runtime,
        isolations,
        loop_unready: config.plugins.hold_unready,
        metrics,
        access: telemetry.access_log(),
        started: Instant::now(),
        life: Life::default(),
    });
    let health_checks = app.plugin_health.start();
    let meters: Arc<dyn Meter> = Arc::new(Meters {
        workers: Arc::clone(&app.isolations),
        quotas: Arc::clone(&app.plugin_quotas),
    });
    let usage = app.plugin_usage.start(Arc::clone(&app.registry), meters);
    let executions = app.plugin_executions.start();
    let recounts = app.plugin_quotas.start();
    let followers = Followers::start(
        &app.plugins,
        &app.store,
        &config.plugins,
        config.dev,
        hangups,
    );
    let following = migrations::follow(&migrations, &app.store, config.plugins.registry_poll);
    let sweeping = tokio::spawn(presence::sweep(Arc::clone(&app.realtime)));
    let deliveries = DeliveryWorkers::start(&app.notifications).map_err(anyhow::Error::msg)?;
    let scheduler = Scheduler::start(&app.notifications);
    let jobs = JobRunner::start(&app.plugin_jobs);
    let gateway = Gateway::new(Arc::clone(&app));
    let serving = server.start(gateway, Arc::clone(&app.metrics), server_hangups);

    // Health is answered from here on; readiness waits for the plugins, but not for ever: one that is
    // slow to import answers 503 until it is there, and the others are not held up.
    let plugins = Arc::clone(&app.plugins);
    let mut loading = tokio::spawn(async move { plugins.load_all().await });
    let early_signal = tokio::select! {
        waited = tokio::time::timeout(start_wait, &mut loading) => {
            if waited.is_err() {
                tracing::warn!(
                    waited_ms = u64::try_from(start_wait.as_millis()).unwrap_or(u64::MAX),
                    "plugins.still_loading"
                );
            }
            None
        }
        name = signals.next() => Some(name),
    };
    let signal = match early_signal {
        Some(name) => name,
        None => {
            app.enter(Phase::Ready);
            announce(app.server.tls.scheme(), address)?;
            if app.dev {
                invite(&app, &config.auth, address);
            }
            tracing::info!(address = %address, "ready");
            signals.next().await
        }
    };
    // Whoever reads the line may rely on it.
    app.enter(Phase::Draining);
    app.dispatcher.start_draining();
    tracing::info!(signal, "draining");
    health_checks.abort();
    recounts.abort();
    // What changes from here on is for the next process.
    followers.stop();
    let code = tokio::select! {
        () = async {
            drain(&app, serving, jobs, scheduler, deliveries).await;
            usage.stop().await;
            executions.stop().await;
        } => 0,
        name = signals.next() => {
            tracing::warn!(signal = name, "a second signal: not waiting for running calls");
            EXIT_AT_ONCE
        }
    };
    sweeping.abort();
    following.abort();
    if let Some(embedded) = embedded {
        embedded.shutdown().await;
    }
    tracing::info!("stopped");
    telemetry.flush();
    exit(code);
}
