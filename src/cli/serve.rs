//! `mozaiks serve`: checks the configuration, makes the runtime, runs the gateway.

use anyhow::Context as _;

use super::{Failure, add_dev_secret, flags::ConfigFlags};
use crate::{app, auth::TokenVerifier, notifications, python::Turns};

pub(super) fn run(flags: &ConfigFlags) -> Result<(), Failure> {
    let mut config = flags.load(true)?.config;
    add_dev_secret(&mut config)?;
    // Keys that cannot be used are a problem of the configuration: said before anything is opened.
    TokenVerifier::from_config(&config.auth).map_err(Failure::Usage)?;
    let turns = Turns::default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.server.io_thread_count())
        .thread_name("io")
        .on_thread_unpark({
            let turns = turns.clone();
            move || turns.begin()
        })
        .on_thread_park({
            let turns = turns.clone();
            move || turns.end()
        })
        .enable_all()
        .build()
        .context("cannot start the I/O threads")?;
    // A mail transport wants to be made, and dropped, inside a runtime.
    let _inside = runtime.enter();
    let definitions = notifications::read_definitions(&config.notifications, &config.plugins.dir)
        .map_err(Failure::Usage)?;
    runtime.block_on(app::run(config, definitions, turns))?;
    Ok(())
}
