//! Calls per second through the dispatcher, without HTTP: what the way into Python and back costs.
//!
//! `cargo run --release -p mozaiks-bench --bin callpath -- [plugin] [calls] [clients] [body]`

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use mozaiks_auth::Principal;
use mozaiks_config::PluginsConfig;
use mozaiks_plugins::{
    Caller, Generation, HostError, HostServices, PluginRuntime,
    dispatch::Dispatcher,
    host::{HandlerId, Registration, RegistrationId},
    registry::Registry,
};
use mozaiks_python::{PythonRuntime, Turns};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A host for plugins that ask for nothing.
struct NoHost;

impl HostServices for NoHost {
    fn request(
        &self,
        _: Caller,
        operation: &str,
        _: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, HostError>> {
        let error = unknown(operation);
        Box::pin(async move { Err(error) })
    }

    fn query(&self, _: &Caller, operation: &str, _: &[u8]) -> Result<Bytes, HostError> {
        Err(unknown(operation))
    }

    fn publish(&self, _: &Caller, _: &str, _: Bytes) -> Result<(), HostError> {
        Ok(())
    }

    fn register(
        &self,
        _: &Caller,
        _: Registration,
        _: HandlerId,
    ) -> Result<RegistrationId, HostError> {
        Err(unknown("register"))
    }

    fn unregister(&self, _: RegistrationId) {}

    fn forget_generation(&self, _: Generation) {}
}

fn unknown(operation: &str) -> HostError {
    HostError {
        code: "NOT_FOUND",
        message: format!("the benchmark has no {operation}"),
        details: None,
    }
}

/// CPU time of all threads of the process.
fn cpu_time() -> Duration {
    let ticks: u64 = std::fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(|stat| {
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        })
        .unwrap_or(0);
    Duration::from_millis(ticks * 10)
}

/// CPU time of the thread that owns the event loop.
fn loop_cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    for task in tasks {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.trim() != "mozaiks-python" {
            continue;
        }
        let nanoseconds = std::fs::read_to_string(task.path().join("schedstat"))
            .ok()
            .and_then(|stat| stat.split_whitespace().next()?.parse().ok());
        return Duration::from_nanos(nanoseconds.unwrap_or(0));
    }
    Duration::ZERO
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let plugin = arguments.next().unwrap_or_else(|| "hello".into());
    let calls: u32 = arguments
        .next()
        .map_or(Ok(200_000), |calls| calls.parse())?;
    let clients: u32 = arguments.next().map_or(Ok(32), |clients| clients.parse())?;
    let body = arguments
        .next()
        .unwrap_or_else(|| r#"{"action":"list","limit":20}"#.into());
    let config = PluginsConfig {
        dir: std::env::var_os("MOZAIKS_PLUGINS_PATH")
            .map_or_else(|| PathBuf::from("runtime/ai/plugins"), PathBuf::from),
        ..PluginsConfig::default()
    };
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let turns = Turns::of(&mut builder);
    let tokio = builder.enable_all().build()?;
    tokio.block_on(async {
        let runtime: Arc<dyn PluginRuntime> =
            PythonRuntime::start(&config, Arc::new(NoHost), &turns).map_err(anyhow::Error::msg)?;
        let registry = Registry::new(&config, runtime);
        registry.load_all().await;
        let dispatcher = Dispatcher::new(Vec::new());
        let plugin = registry
            .find(&plugin)
            .ok_or_else(|| anyhow::anyhow!("no plugin {plugin}"))?;
        let principal = Arc::new(Principal {
            app_id: "default".into(),
            user_id: "user-1".into(),
            username: Some("ann".into()),
            roles: vec!["editor".into()],
            is_superadmin: false,
            expires_at_unix: u64::MAX,
            verified: mozaiks_auth::VerifiedContacts::default(),
        });
        let body = Bytes::from(body);
        for round in ["warm-up", "measured"] {
            let (started, cpu, loop_cpu) = (Instant::now(), cpu_time(), loop_cpu_time());
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..clients {
                let (dispatcher, plugin) = (dispatcher.clone(), plugin.clone());
                let (principal, body) = (principal.clone(), body.clone());
                tasks.spawn(async move {
                    let request_id: Arc<str> = "01JD0000000000000000000000".into();
                    for _ in 0..calls / clients {
                        dispatcher
                            .call(&plugin, principal.clone(), request_id.clone(), body.clone())
                            .await?;
                    }
                    Ok::<(), anyhow::Error>(())
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended??;
            }
            let elapsed = started.elapsed();
            let count = f64::from(calls / clients * clients);
            let each = |time: Duration| time.as_secs_f64() * 1e6 / count;
            eprintln!(
                "{round}: {:.0} calls/s; per call {:.2} µs CPU in all, {:.2} µs on the Python \
                 thread",
                count / elapsed.as_secs_f64(),
                each(cpu_time().saturating_sub(cpu)),
                each(loop_cpu_time().saturating_sub(loop_cpu)),
            );
        }
        Ok(())
    })
}
