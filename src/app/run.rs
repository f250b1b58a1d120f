//! The gateway's life: start, serve, drain, end.

use std::{
    io::Write as _,
    process::exit,
    sync::{Arc, atomic::AtomicU8},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{App, Host, Phase, recorder::Recorder};
use crate::{
    auth::{TokenVerifier, signer::dev_curl_line},
    config::Config,
    http::{Gateway, origin::OriginAllowList},
    plugins::{
        HostServices, PluginRuntime,
        dispatch::{CallObserver, Dispatcher},
        registry::Registry,
    },
    python::PythonRuntime,
    server::{RunningServer, Server, shutdown::Signals},
    telemetry::{Telemetry, metrics::Metrics},
};

/// Exit code after a second signal, as a shell reports SIGINT.
const EXIT_AT_ONCE: i32 = 130;
/// How often it is looked whether the last call has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// Runs the gateway until a signal ends the process. CPython is never finalised: when everything is
/// drained the log is flushed and the process exits with 0.
///
/// # Errors
/// What kept it from starting: a bad log filter, unusable keys, a taken port, a missing Python.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(&config.log).map_err(anyhow::Error::msg)?;
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let verifier = TokenVerifier::from_config(&config.auth).map_err(anyhow::Error::msg)?;
    // The keys of a JWKS URL, so that the first token finds them; a URL that is down is asked again.
    let fetching = Arc::clone(&verifier);
    tokio::spawn(async move { fetching.prefetch().await });
    let server = Server::bind(&config.server)
        .await
        .with_context(|| format!("cannot listen on {}", config.server.listen))?;
    let address = server.local_addr().context("the listener has no address")?;

    // With public keys there is nothing to sign with, and nothing to show.
    let dev_line = config
        .dev
        .then(|| dev_curl_line(&config.auth, address).ok())
        .flatten();

    let host: Arc<dyn HostServices> = Arc::new(Host::default());
    let runtime: Arc<dyn PluginRuntime> =
        PythonRuntime::start(&config.plugins, host).map_err(anyhow::Error::msg)?;
    let metrics = Arc::new(Metrics::default());
    let observers: Vec<Arc<dyn CallObserver>> = vec![Arc::new(Recorder {
        metrics: Arc::clone(&metrics),
    })];
    let app = Arc::new(App {
        dev: config.dev,
        origins: OriginAllowList::new(&config.server.cors_origins, config.dev),
        server: config.server,
        verifier,
        registry: Registry::new(&config.plugins, Arc::clone(&runtime)),
        dispatcher: Dispatcher::with_observers(Arc::clone(&runtime), observers),
        runtime,
        metrics,
        access: telemetry.access_log(),
        started: Instant::now(),
        phase: AtomicU8::new(Phase::Starting as u8),
    });
    let serving = server.start(Gateway::new(Arc::clone(&app)), Arc::clone(&app.metrics));

    // Health is answered from here on; readiness waits for the plugins.
    let early_signal = tokio::select! {
        () = app.registry.load_all() => None,
        name = signals.next() => Some(name),
    };
    let signal = match early_signal {
        Some(name) => name,
        None => {
            app.enter(Phase::Ready);
            announce(address)?;
            if let Some(line) = dev_line {
                eprintln!("try it: {line}");
            }
            tracing::info!(address = %address, "ready");
            signals.next().await
        }
    };
    tracing::info!(signal, "draining");
    let code = tokio::select! {
        () = drain(&app, serving) => 0,
        name = signals.next() => {
            tracing::warn!(signal = name, "a second signal: not waiting for running calls");
            EXIT_AT_ONCE
        }
    };
    tracing::info!("stopped");
    telemetry.flush();
    exit(code);
}

/// The one line on stdout, for whoever has started the process.
#[expect(clippy::print_stdout, reason = "the contract's ready line")]
fn announce(address: std::net::SocketAddr) -> anyhow::Result<()> {
    println!("listening on http://{address}");
    std::io::stdout().flush().context("cannot write to stdout")
}

/// No new calls, no new connections; running calls and their answers finish, or their time is up.
async fn drain(app: &App, serving: RunningServer) {
    app.enter(Phase::Draining);
    app.dispatcher.start_draining();
    let finished = async {
        serving.drain().await;
        // Calls whose clients have gone away.
        while app.dispatcher.in_flight() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    };
    if tokio::time::timeout(app.server.drain_timeout, finished)
        .await
        .is_err()
    {
        tracing::warn!(
            calls = app.dispatcher.in_flight(),
            "the time for draining is up"
        );
    }
}
