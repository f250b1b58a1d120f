//! `mozaiks store`: the embedded store, for the gateway that has started it; and the store's own program.

use std::{ffi::OsString, io::Write as _, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use docstore::server::{Config, Listen, Server};
use mozaiks_config::{LogConfig, LogFormat};
use mozaiks_telemetry::Telemetry;
use tokio::io::AsyncReadExt as _;

use super::Failure;
use crate::app::STORE_READY;

#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    /// Its files.
    path: PathBuf,
    /// The socket that it listens on.
    socket: PathBuf,
    #[arg(long)]
    log_filter: String,
    #[arg(long, value_parser = ["json", "pretty"])]
    log_format: String,
}

/// The embedded store as a program of its own, where that is shipped in one with the gateway; gives the exit
/// code.
pub fn docstore(arguments: Vec<OsString>) -> u8 {
    docstore::program::main(arguments)
}

pub(super) fn run(args: StoreArgs) -> Result<(), Failure> {
    let log = LogConfig {
        filter: args.log_filter,
        format: match args.log_format.as_str() {
            "pretty" => LogFormat::Pretty,
            _ => LogFormat::Json,
        },
        ..LogConfig::default()
    };
    let telemetry = Telemetry::start(&log).map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("store")
        .enable_all()
        .build()
        .context("cannot start the store's threads")?;
    let served = runtime.block_on(async {
        let config = Config::new(&args.path, Listen::Unix(args.socket));
        let server = Server::start(config)
            .await
            .map_err(|error| anyhow::Error::msg(error.to_string()))
            .with_context(|| format!("the store cannot use {}", args.path.display()))?;
        announce()?;
        // Its input ends with the gateway, whichever way that does. A terminal's stop is the gateway's
        // matter: the store goes on until that has done with it.
        let mut signals = [
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?,
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
        ];
        let [interrupt, terminate] = &mut signals;
        let mut nothing = [0; 64];
        let mut input = tokio::io::stdin();
        loop {
            tokio::select! {
                read = input.read(&mut nothing) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                },
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        server.shutdown().await;
        anyhow::Ok(())
    });
    if let Err(error) = &served {
        tracing::error!(error = %format!("{error:#}"), "store.not_served");
    }
    telemetry.flush();
    // A read of the input may be under way on a thread that nothing ends.
    std::process::exit(i32::from(served.is_err()));
}

#[expect(clippy::print_stdout, reason = "the gateway waits for it")]
fn announce() -> std::io::Result<()> {
    println!("{STORE_READY}");
    std::io::stdout().flush()
}
