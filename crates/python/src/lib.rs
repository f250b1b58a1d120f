//! The embedded interpreter: the only pyo3. No Python type leaves this module.
#![allow(
    unsafe_code,
    reason = "CPython's C interface; every block says what makes it sound"
)]

mod call;
mod caller;
mod error;
mod frames;
mod inbox;
mod interpreter;
mod json_in;
mod json_out;
mod loader;
mod logging;
mod loop_thread;
mod native;
mod outbox;
mod pool;
mod progress;
mod runtime_types;
mod shared;
mod turns;
mod watchdog;

use std::{
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::{runtime::Handle, sync::oneshot};

use json_out::OutputLimits;
use mozaiks_config::PluginsConfig;
use mozaiks_plugins::{
    CallError, CallId, CallResult, Generation, HostServices, Invocation, LoadError, LoadedPlugin,
    PluginRuntime, PluginSource, SubmitError, runtime::RuntimeStatus,
};
use outbox::{Outbox, ReplySlot};
use pool::{Bounds, Pool, PoolJob};
use shared::{CallJob, Job, Limits, Shared};

pub use interpreter::{BUILD_PYTHON, BUILD_VERSION, sdk_dirs};
pub use turns::Turns;

/// The embedded CPython with its one event loop thread; implements
/// [`PluginRuntime`].
///
/// CPython is started once in a process and never ended. Further runtimes in the same process
/// (tests) share it and have a loop thread, a pool and plugins of their own; the interpreter and
/// its packages are those of the first.
pub struct PythonRuntime {
    shared: Arc<Shared>,
}

impl PythonRuntime {
    /// Initialises CPython (once in a process) and starts the loop thread. Must be called inside a
    /// tokio runtime: it carries the answers and the requests to the host. `turns` are those of the
    /// runtime; with others, calls wake the Python thread one by one.
    ///
    /// # Errors
    /// A sentence that says what is missing (interpreter home, standard library, package) and
    /// what to do.
    pub fn start(
        config: &PluginsConfig,
        host: Arc<dyn HostServices>,
        turns: &Turns,
    ) -> Result<Arc<Self>, String> {
        let handle = Handle::try_current()
            .map_err(|_| "the Python runtime must be started inside a tokio runtime".to_owned())?;
        interpreter::initialize(config.python.as_deref(), config.sdk_path.as_deref())?;
        let inbox = inbox::Inbox::new(config.queue_size)
            .map_err(|error| format!("cannot make an eventfd for Python: {error}"))?;
        let shared = Arc::new(Shared {
            host,
            outbox: Outbox::start(&handle),
            handle,
            inbox,
            pool: Pool::new(
                "plain",
                |shared| &shared.pool,
                Bounds {
                    threads: config.thread_pool_size,
                    share: config.threads_per_plugin,
                    capacity: config.queue_size,
                },
            ),
            executor: Pool::new(
                "executor",
                |shared| &shared.executor,
                Bounds {
                    threads: config.executor_threads,
                    share: config.executor_threads_per_plugin,
                    capacity: config.queue_size,
                },
            ),
            resolver: Pool::new(
                "resolver",
                |shared| &shared.resolver,
                Bounds {
                    threads: config.resolver_threads,
                    share: config.resolver_threads.div_ceil(2),
                    capacity: config.queue_size,
                },
            ),
            limits: Limits {
                output: OutputLimits {
                    max_bytes: config.max_output_bytes,
                    max_depth: config.max_depth,
                },
                max_depth: config.max_depth,
                max_requests: config.max_requests,
                import_timeout: config.import_timeout,
                hold_warning: config.hold_warning,
                stall_limit: config.call_timeout.max(Duration::from_secs(1)),
            },
            generations: RwLock::default(),
            handlers: RwLock::default(),
            tasks: Mutex::default(),
            requests: Mutex::default(),
            cancelled: shared::Cancelled::default(),
            loop_progress: Arc::default(),
            event_loop: OnceLock::new(),
            stopping: false.into(),
            in_batch: false.into(),
            turn_will_flush: false.into(),
            next_id: 1.into(),
            pending_requests: 0.into(),
            ping_sent: Mutex::default(),
            ping_waits: false.into(),
            watchdog: watchdog::Watchdog::default(),
            loop_holds: 0.into(),
        });
        loop_thread::start(&shared)?;
        let waiting = Arc::downgrade(&shared);
        turns.at_end(move || {
            if let Some(shared) = waiting.upgrade() {
                shared.end_turn();
            }
        });
        watchdog::start(&shared)?;
        Ok(Arc::new(Self { shared }))
    }
}

impl PluginRuntime for PythonRuntime {
    fn load(&self, source: PluginSource) -> oneshot::Receiver<Result<LoadedPlugin, LoadError>> {
        loader::load(&self.shared, source)
    }

    fn unload(&self, generation: Generation) {
        loader::unload(&self.shared, generation);
    }

    fn submit(&self, mut call: Invocation) -> Result<oneshot::Receiver<CallResult>, SubmitError> {
        let shared = &self.shared;
        let (reply, receiver) = ReplySlot::new(&shared.outbox, call.permit.take());
        let Some(function) = shared.function(call.target) else {
            reply.complete(Err(CallError::NotLoaded));
            shared.outbox.flush();
            return Ok(receiver);
        };
        let job = CallJob {
            call,
            function,
            reply,
        };
        if job.function.is_async() {
            shared.push(Job::Call(job))?;
        } else {
            shared.pool.submit(shared, PoolJob::Call(job))?;
        }
        Ok(receiver)
    }

    fn cancel(&self, call: CallId) {
        if self.shared.pool.withdraw(call) {
            self.shared.outbox.flush();
            return;
        }
        self.shared.cancelled.insert(call);
        self.shared.watchdog.watch_call(call);
        // Refused only by a loop that has ended, and its calls with it.
        drop(self.shared.inbox.push_control(Job::Cancel(call)));
    }

    fn max_body_depth(&self) -> usize {
        self.shared.limits.max_depth
    }

    fn status(&self) -> RuntimeStatus {
        let shared = &self.shared;
        let lag = shared
            .ping_sent
            .lock()
            .map_or(Duration::ZERO, |sent| sent.elapsed());
        RuntimeStatus {
            queued: shared.inbox.len() + shared.pool.status().waiting,
            running: shared.outbox.running(),
            loop_lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
            loop_holds: shared.loop_holds.load(Ordering::Relaxed),
            pools: shared.pools().map(Pool::status),
        }
    }
}

impl Drop for PythonRuntime {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.stopping.store(true, Ordering::Release);
        for pool in shared.pools() {
            pool.close();
        }
        shared.watchdog.stop();
        // A loop that has ended by itself needs no telling.
        drop(shared.inbox.push_control(Job::Stop));
    }
}

#[cfg(test)]
mod tests;
