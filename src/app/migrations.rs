//! The machine that runs migrations, and what it needs besides: the gateway's own ones at start, an end for what
//! a gateway that died has left, and which collections are whose.

use std::{sync::Arc, time::Duration};

use mozaiks_config::MigrationsConfig;
use mozaiks_entities::{
    error::EntityError,
    machine::{Machine, MachineConfig},
    running::RunningMigrations,
    tables::Tables,
};
use mozaiks_plugins::dispatch::Dispatcher;
use mozaiks_store::{Health, Store};
use tokio::task::JoinHandle;

/// The machine over a database, which is this gateway's alone or not.
pub(super) fn machine(
    config: &MigrationsConfig,
    (store, is_embedded): (&Arc<Store>, bool),
    dispatcher: &Arc<Dispatcher>,
    tables: &Arc<Tables>,
    running: &Arc<RunningMigrations>,
) -> Arc<Machine> {
    let config = MachineConfig {
        lease: config.lease,
        timeout: config.timeout,
        gateway: gateway_name(),
        alone: is_embedded,
    };
    Machine::new(store, dispatcher, tables, running, config)
}

/// What this process is called in histories: several gateways share one database.
pub(super) fn gateway_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => std::process::id().to_string(),
        host => format!("{host}:{}", std::process::id()),
    }
}

/// Prepares the machine as soon as the database answers, and then looks now and then what others have changed.
pub(super) fn follow(machine: &Arc<Machine>, store: &Arc<Store>, poll: Duration) -> JoinHandle<()> {
    let machine = Arc::clone(machine);
    let mut health = store.watch_health();
    tokio::spawn(async move {
        let mut is_prepared = false;
        let mut is_told = false;
        while health.wait_for(Health::is_up).await.is_ok() {
            let done = match is_prepared {
                false => prepare(&machine).await,
                true => machine.follow().await,
            };
            match done {
                Ok(()) => (is_prepared, is_told) = (true, false),
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(%error, "migrations.not_followed");
                    }
                }
            }
            // Where there are no change streams nothing tells of what other gateways do.
            tokio::time::sleep(poll).await;
        }
    })
}

async fn prepare(machine: &Machine) -> Result<(), EntityError> {
    let left = machine.recover().await?;
    if left > 0 {
        tracing::warn!(migrations = left, "migrations.found_unended");
    }
    machine.refresh().await?;
    machine.run_own().await
}
