//! The runtime with real plugins. CPython is started once in the process, so all tests share one
//! runtime; those that hold its loop for ever have another of their own.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::PythonRuntime;
use mozaiks_auth::Principal;
use mozaiks_config::PluginsConfig;
use mozaiks_plugins::{
    CallError, CallReply, PluginRuntime,
    dispatch::{DispatchError, Dispatcher},
    registry::{Plugin, PluginState, Registry},
};

mod aside;
mod calls;
mod deadlines;
mod host;
mod interrupts;
mod loading;
mod logs;
mod output;

use host::TestHost;

/// The test venv: packages that plugins need (pymongo). Without it those tests use what the
/// interpreter itself has.
const TEST_PYTHON: &str = "MOZAIKS_TEST_PYTHON";

/// A runtime, its plugins and the way to call them.
struct Gateway {
    python: Arc<PythonRuntime>,
    host: Arc<TestHost>,
    registry: Arc<Registry>,
    dispatcher: Arc<Dispatcher>,
}

impl Gateway {
    /// Starts one over a fixture directory.
    fn start(dir: &str, adjust: impl FnOnce(&mut PluginsConfig)) -> Self {
        let mut config = PluginsConfig {
            dir: PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join("../../tests/fixtures")
                .join(dir),
            python: std::env::var_os(TEST_PYTHON).map(PathBuf::from),
            thread_pool_size: 4,
            ..PluginsConfig::default()
        };
        adjust(&mut config);
        let host = Arc::new(TestHost::default());
        tokio_runtime().block_on(async {
            let python = PythonRuntime::start(&config, host.clone(), &super::Turns::default())
                .expect("Python starts");
            let runtime: Arc<dyn PluginRuntime> = python.clone();
            let registry = Registry::new(&config, runtime);
            registry.load_all().await;
            Self {
                python,
                host,
                registry,
                dispatcher: Dispatcher::new(Vec::new()),
            }
        })
    }

    /// Starts one over plugins given as name and text, in a directory that lives as long as the first.
    fn of(
        plugins: &[(&str, &str)],
        adjust: impl FnOnce(&mut PluginsConfig),
    ) -> (tempfile::TempDir, Self) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in plugins {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("logic.py"), text).unwrap();
        }
        let gateway = Self::start(dir.path().to_str().unwrap(), adjust);
        (dir, gateway)
    }

    fn plugin(&self, name: &str) -> Arc<Plugin> {
        self.registry
            .find(name)
            .unwrap_or_else(|| panic!("no plugin {name}"))
    }

    async fn call_bytes(&self, plugin: &str, body: &[u8]) -> Result<CallReply, DispatchError> {
        self.dispatcher
            .call(
                &self.plugin(plugin),
                user(),
                "req-1".into(),
                Bytes::copy_from_slice(body),
            )
            .await
    }

    async fn call(&self, plugin: &str, data: Value) -> Result<Value, DispatchError> {
        let reply = self.call_bytes(plugin, data.to_string().as_bytes()).await?;
        Ok(serde_json::from_slice(&reply.body).expect("the reply is JSON"))
    }

    /// Calls and takes the call's own error.
    async fn fail(&self, plugin: &str, data: Value) -> CallError {
        match self.call(plugin, data).await {
            Err(DispatchError::Call(error)) => error,
            other => panic!("{plugin} gave {other:?}"),
        }
    }

    /// The loop still serves others.
    async fn assert_alive(&self) {
        let reply = self
            .call("echo", json!({"alive": 1}))
            .await
            .expect("echo answers");
        assert_eq!(reply["alive"], 1);
    }
}

/// The one tokio runtime that all tests run on: the gateways live longer than a test.
fn tokio_runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a tokio runtime")
    })
}

/// The gateway that well-behaved tests share.
fn shared() -> &'static Gateway {
    static GATEWAY: OnceLock<Gateway> = OnceLock::new();
    GATEWAY.get_or_init(|| {
        Gateway::start("plugins", |config| {
            config.call_timeout = Duration::from_secs(20)
        })
    })
}

/// Runs a test on the shared gateway.
fn on_shared<F: Future<Output = ()>>(test: impl FnOnce(&'static Gateway) -> F) {
    let gateway = shared();
    tokio_runtime().block_on(test(gateway));
}

fn user() -> Arc<Principal> {
    Arc::new(Principal {
        app_id: "app".into(),
        user_id: "u1".into(),
        username: Some("ann".into()),
        roles: vec!["editor".into()],
        is_superadmin: false,
        expires_at_unix: u64::MAX,
        verified: mozaiks_auth::VerifiedContacts::default(),
    })
}

/// Polls a condition until it holds, for at most ten seconds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::task::yield_now().await;
    }
}
