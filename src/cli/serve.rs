//! `mozaiks serve`: checks the configuration, makes the runtime, runs the gateway.

use anyhow::Context as _;

use super::{Failure, add_dev_secret, flags::ConfigFlags, secrets};
use crate::app;
use mozaiks_auth::TokenVerifier;
use mozaiks_config::Origin;
use mozaiks_python::Turns;

pub(super) fn run(flags: &ConfigFlags) -> Result<(), Failure> {
    let loaded = flags.load(true)?;
    // No thread has been started yet.
    secrets::remove_from_environment();
    let given = *loaded.origin("plugins_path") != Origin::Default;
    let mut config = loaded.config;
    if given && !config.plugins.dir.is_dir() {
        return Err(Failure::Usage(format!(
            "the plugins directory {} does not exist",
            config.plugins.dir.display()
        )));
    }
    add_dev_secret(&mut config)?;
    // Keys that cannot be used are a problem of the configuration: said before anything is opened.
    TokenVerifier::from_config(&config.auth).map_err(Failure::Usage)?;
    if let Some((cert, key)) = config.server.tls.files() {
        app::TlsPair::load(cert, key).map_err(Failure::Usage)?;
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let turns = Turns::of(&mut builder);
    let runtime = builder
        .worker_threads(config.server.io_thread_count())
        .thread_name("io")
        .enable_all()
        .build()
        .context("cannot start the I/O threads")?;
    // A mail transport wants to be made, and dropped, inside a runtime.
    let _inside = runtime.enter();
    let definitions =
        mozaiks_notifications::read_definitions(&config.notifications, &config.plugins.dir)
            .map_err(Failure::Usage)?;
    runtime.block_on(app::run(config, definitions, turns))?;
    Ok(())
}
