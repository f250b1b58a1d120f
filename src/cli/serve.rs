//! `mozaiks serve`: checks the configuration, makes the runtime, runs the gateway.

use anyhow::Context as _;

use super::{Failure, add_dev_secret, flags::ConfigFlags};
use crate::{app, auth::TokenVerifier, config::ServerConfig, notifications};

pub(super) fn run(flags: &ConfigFlags) -> Result<(), Failure> {
    let mut config = flags.load(true)?.config;
    add_dev_secret(&mut config)?;
    // Keys that cannot be used are a problem of the configuration: said before anything is opened.
    TokenVerifier::from_config(&config.auth).map_err(Failure::Usage)?;
    let definitions = notifications::read_definitions(&config.notifications, &config.plugins.dir)
        .map_err(Failure::Usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(io_threads(&config.server))
        .thread_name("io")
        .enable_all()
        .build()
        .context("cannot start the I/O threads")?;
    runtime.block_on(app::run(config, definitions))?;
    Ok(())
}

/// One thread per core but one, which is Python's; at least one.
fn io_threads(config: &ServerConfig) -> usize {
    if config.io_threads > 0 {
        return config.io_threads;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.saturating_sub(1).max(1)
}
