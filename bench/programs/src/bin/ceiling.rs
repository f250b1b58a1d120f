//! The gateway with a Rust echo in the place of Python: what everything around the interpreter can do
//! at most. Same configuration as the gateway, by environment.
//!
//! `MOZAIKS_JWT_SECRET=… cargo run --profile dist -p mozaiks-bench --bin ceiling -- 127.0.0.1:8000`

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use mozaiks_config::{Inputs, PluginsConfig, ProcessEnvironment, load};
use mozaiks_gateway::app;
use mozaiks_notifications::Definitions;
use mozaiks_plugins::{
    CallError, CallId, CallReply, CallResult, Generation, Input, Invocation, LoadError,
    LoadedPlugin, PluginRuntime, PluginSource, SubmitError,
    body::{BodyError, check_object},
    runtime::RuntimeStatus,
};
use tokio::sync::oneshot;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Answers every call with its own body, once that has been checked.
struct Echo {
    max_depth: usize,
}

impl Echo {
    fn answer(&self, input: Input) -> CallResult {
        let Input::Body(body) = input else {
            return Err(CallError::NotLoaded);
        };
        check_object(&body, self.max_depth).map_err(|error| match error {
            BodyError::Invalid(reason) => CallError::InvalidJson(reason),
            BodyError::WrongType(found) => CallError::NotAnObject(found.into()),
            BodyError::Sink(reason) => CallError::Internal(reason),
        })?;
        Ok(CallReply {
            body,
            domain_failure: None,
            action: None,
        })
    }
}

fn answered<T>(value: T) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    // The receiver is still here, so it takes the value.
    let _ = sender.send(value);
    receiver
}

impl PluginRuntime for Echo {
    fn load(&self, _: PluginSource) -> oneshot::Receiver<Result<LoadedPlugin, LoadError>> {
        answered(Ok(LoadedPlugin {
            has_execute: true,
            hooks: Vec::new(),
            cached_modules: 0,
            compiled_modules: 0,
            actions: Vec::new(),
            doc: None,
        }))
    }

    fn unload(&self, _: Generation) {}

    fn submit(&self, mut call: Invocation) -> Result<oneshot::Receiver<CallResult>, SubmitError> {
        let permit = call.permit.take();
        let result = self.answer(call.input);
        drop(permit);
        Ok(answered(result))
    }

    fn cancel(&self, _: CallId) {}

    fn max_body_depth(&self) -> usize {
        self.max_depth
    }

    fn status(&self) -> RuntimeStatus {
        RuntimeStatus::default()
    }
}

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("store") {
        // Started by this very program, as the gateway starts its own.
        mozaiks_gateway::cli::main();
        return Ok(());
    }
    let address = std::env::args().nth(1).context("usage: ceiling ADDRESS")?;
    let flags = BTreeMap::from([("listen", address)]);
    let loaded = load(&Inputs {
        flags: &flags,
        environment: &ProcessEnvironment,
        file: None,
        working_dir: &std::env::current_dir()?,
        auth_required: true,
    });
    let config = loaded
        .map_err(|problems| anyhow::anyhow!("{problems}"))?
        .config;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.server.io_thread_count())
        .enable_all()
        .build()?
        .block_on(app::run_with(
            config,
            Definitions::default(),
            |plugins: &PluginsConfig, _| {
                Ok(Arc::new(Echo {
                    max_depth: plugins.max_depth,
                }))
            },
        ))
}
