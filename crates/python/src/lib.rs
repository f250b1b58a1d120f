//! The embedded interpreter: the only pyo3. No Python type leaves this module.
#![allow(
    unsafe_code,
    reason = "CPython's C interface; every block says what makes it sound"
)]

mod aside;
mod asked;
mod bytecode;
mod call;
mod caller;
mod calls;
mod code;
mod driver;
mod error;
mod frames;
mod host_link;
mod import;
mod inbox;
mod inside;
mod interpreter;
mod job;
mod json_in;
mod json_out;
mod limits;
mod loader;
mod logging;
mod loop_state;
mod loop_thread;
mod native;
mod outbox;
mod parts;
mod pool;
mod pools;
mod prepare;
mod progress;
mod runtime_types;
mod source_check;
mod turns;
mod watch;
mod watchdog;

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::oneshot};

use job::{CallJob, Job};
use mozaiks_config::PluginsConfig;
use mozaiks_plugins::{
    CallError, CallId, CallResult, Generation, HostServices, Invocation, LoadError, LoadedPlugin,
    PluginRuntime, PluginSource, SubmitError, runtime::RuntimeStatus,
};
use outbox::ReplySlot;
use parts::Parts;
use pool::PoolJob;

pub use bytecode::BytecodeFiller;
pub use inside::{run_inside, running};
pub use interpreter::{
    BUILD_PYTHON, BUILD_VERSION, executable, prepare, readable_dirs, refusal, sdk_dirs,
};
pub use source_check::SourceChecker;
pub use turns::Turns;

/// The embedded CPython with its one event loop thread; implements
/// [`PluginRuntime`].
///
/// CPython is started once in a process and never ended. Further runtimes in the same process
/// (tests) share it and have a loop thread, a pool and plugins of their own; the interpreter and
/// its packages are those of the first.
pub struct PythonRuntime {
    parts: Arc<Parts>,
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
        let parts = Parts::new(config, host, handle)
            .map_err(|error| format!("cannot make an eventfd for Python: {error}"))?;
        let parts = Arc::new(parts);
        loop_thread::start(&parts)?;
        let waiting = Arc::downgrade(&parts);
        turns.at_end(move || {
            if let Some(parts) = waiting.upgrade() {
                parts.end_turn();
            }
        });
        watchdog::start(&parts)?;
        Ok(Arc::new(Self { parts }))
    }
}

impl PluginRuntime for PythonRuntime {
    fn load(&self, source: PluginSource) -> oneshot::Receiver<Result<LoadedPlugin, LoadError>> {
        loader::load(&self.parts, source)
    }

    fn unload(&self, generation: Generation) {
        loader::unload(&self.parts, generation);
    }

    fn submit(&self, mut call: Invocation) -> Result<oneshot::Receiver<CallResult>, SubmitError> {
        let parts = &self.parts;
        let (reply, receiver) = ReplySlot::new(&parts.outbox, call.permit.take());
        let Some(function) = parts.codes.function(call.target) else {
            reply.complete(Err(CallError::NotLoaded));
            parts.outbox.flush();
            return Ok(receiver);
        };
        let job = CallJob {
            call,
            function,
            reply,
        };
        if job.function.is_async() {
            parts.queue.push(job)?;
        } else {
            parts.pools.plain.submit(PoolJob::Call(job))?;
        }
        Ok(receiver)
    }

    fn cancel(&self, call: CallId) {
        let parts = &self.parts;
        if parts.pools.plain.withdraw(call) {
            parts.outbox.flush();
            return;
        }
        parts.environment.calls.ask_to_stop(call);
        parts.watch.watch_call(call);
        // Refused only by a loop that has ended, and its calls with it.
        drop(parts.queue.inbox.push_control(Job::Cancel(call)));
    }

    fn max_body_depth(&self) -> usize {
        self.parts.environment.max_depth
    }

    fn status(&self) -> RuntimeStatus {
        let parts = &self.parts;
        let pinged = parts.looping.pinged();
        let lag = pinged.map_or(Duration::ZERO, |sent| sent.elapsed());
        RuntimeStatus {
            queued: parts.queue.inbox.len() + parts.pools.plain.status().waiting,
            running: parts.outbox.running(),
            loop_lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
            loop_holds: parts.looping.holds(),
            held_by: parts.looping.progress.current().map(|step| step.generation),
            pools: parts.pools.all().map(|pool| pool.status()),
        }
    }
}

impl Drop for PythonRuntime {
    fn drop(&mut self) {
        let parts = &self.parts;
        parts.looping.stop();
        for pool in parts.pools.all() {
            pool.close();
        }
        parts.watch.stop();
        // A loop that has ended by itself needs no telling.
        drop(parts.queue.inbox.push_control(Job::Stop));
    }
}

#[cfg(test)]
mod tests;
