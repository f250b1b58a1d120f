//! All threads of a runtime that are not the loop's.

use std::sync::Arc;

use crate::{
    call::CallEnvironment,
    job::LoopQueue,
    pool::{Bounds, Pool},
    watch::Watch,
};
use mozaiks_config::PluginsConfig;

/// The pools of one runtime.
pub(super) struct Pools {
    /// Calls of plain functions.
    pub plain: Arc<Pool>,
    /// What plugins put aside: `asyncio.to_thread`, `run_in_executor(None, …)`.
    pub executor: Arc<Pool>,
    /// The event loop's look-ups of host names.
    pub resolver: Arc<Pool>,
}

impl Pools {
    /// Pools with the configured bounds; a thread starts with its first work.
    pub(super) fn new(
        config: &PluginsConfig,
        environment: &Arc<CallEnvironment>,
        queue: &Arc<LoopQueue>,
        watch: &Arc<Watch>,
    ) -> Self {
        let pool = |name, threads: usize, share| {
            let bounds = Bounds {
                threads,
                share,
                capacity: config.queue_size,
            };
            let (environment, queue) = (environment.clone(), queue.clone());
            Pool::new(name, environment, queue, watch.clone(), bounds)
        };
        Self {
            plain: pool("plain", config.thread_pool_size, config.threads_per_plugin),
            executor: pool(
                "executor",
                config.executor_threads,
                config.executor_threads_per_plugin,
            ),
            resolver: pool(
                "resolver",
                config.resolver_threads,
                config.resolver_threads.div_ceil(2),
            ),
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> [&Pool; 3] {
        [&self.plain, &self.executor, &self.resolver]
    }
}
