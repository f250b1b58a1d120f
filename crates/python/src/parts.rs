//! The parts of one runtime, joined. Only those that start or end them take all: the loop's thread, the
//! watchdog and the runtime itself; everybody else takes the parts that its header names.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use crate::{
    call::CallEnvironment, calls::CallTable, code::CodeTable, host_link::HostLink, job::LoopQueue,
    json_out::OutputLimits, limits::Limits, loop_state::LoopState, outbox::Outbox, pools::Pools,
    watch::Watch,
};
use mozaiks_config::PluginsConfig;
use mozaiks_plugins::HostServices;

/// What the threads of one runtime share.
pub(super) struct Parts {
    /// What is loaded and registered.
    pub codes: Arc<CodeTable>,
    /// What calls need, wherever they run.
    pub environment: Arc<CallEnvironment>,
    /// What plugin code has of the runtime.
    pub host: Arc<HostLink>,
    /// The loop thread, seen from outside.
    pub looping: Arc<LoopState>,
    /// The way into the loop thread.
    pub queue: Arc<LoopQueue>,
    /// The way out of all threads.
    pub outbox: Arc<Outbox>,
    pub pools: Arc<Pools>,
    /// What the watchdog looks after.
    pub watch: Arc<Watch>,
    pub limits: Limits,
}

impl Parts {
    /// The parts of a runtime whose requests and replies run on `handle`. Nothing runs yet but the
    /// outbox's task.
    ///
    /// # Errors
    /// Where the system has no file descriptor left.
    pub(super) fn new(
        config: &PluginsConfig,
        services: Arc<dyn HostServices>,
        handle: Handle,
    ) -> std::io::Result<Self> {
        let outbox = Outbox::start(&handle);
        let codes = Arc::new(CodeTable::default());
        let looping = Arc::new(LoopState::new(outbox.clone()));
        let watch = Arc::new(Watch::default());
        let queue = Arc::new(LoopQueue::new(config.queue_size, watch.clone())?);
        let host = Arc::new(HostLink::new(
            services,
            handle,
            codes.clone(),
            looping.clone(),
            outbox.clone(),
            queue.clone(),
            config.max_requests,
        ));
        let environment = Arc::new(CallEnvironment {
            output: OutputLimits {
                max_bytes: config.max_output_bytes,
                max_depth: config.max_depth,
            },
            max_depth: config.max_depth,
            calls: CallTable::default(),
            looping: looping.clone(),
            outbox: outbox.clone(),
            host: host.clone(),
        });
        let pools = Pools::new(config, &environment, &queue, &watch);
        Ok(Self {
            codes,
            environment,
            host,
            looping,
            queue,
            outbox,
            pools: Arc::new(pools),
            watch,
            limits: Limits {
                import_timeout: config.import_timeout,
                hold_warning: config.hold_warning,
                stall_limit: config.call_timeout.max(Duration::from_secs(1)),
            },
        })
    }

    /// Sends the wake-ups that have been put off. The end of an I/O thread's turn does it, and in case
    /// that does not come the watchdog.
    pub(super) fn end_turn(&self) {
        self.queue.inbox.end_turn();
        for pool in self.pools.all() {
            pool.end_turn();
        }
    }
}
