//! Python and the plugins in it.

use super::{KIB, MIB, ms, secs};
use crate::keys::{Key, bytes, count, key, optional_path, optional_text, seconds, switch};

pub(super) const RUNTIME: &[Key] = &[
    key!(
        "python",
        "Interpreter whose packages plugins see; unset: a venv beside the working directory or the binary, else the one the gateway was built with.",
        optional_path(|s| &mut s.config.plugins.python),
    ),
    key!(
        "sdk_path",
        "Directory with the Python SDK where it is not installed for the interpreter; unset: `python-sdk` beside the working directory or the binary.",
        optional_path(|s| &mut s.config.plugins.sdk_path),
    ),
    key!(
        "plugin_cache_dir",
        "Where bytecode of plugins' modules is kept, so that a later start does not compile them again; unset: `plugin_cache` below the data directory.",
        optional_path(|s| &mut s.config.plugins.cache_dir),
    ),
    key!(
        "plugin_cache_bytes",
        "Bytes of bytecode that are kept; the oldest goes first. 0 keeps none.",
        bytes(|s| &mut s.config.plugins.cache_bytes, 0, 1 << 40),
    ),
    key!(
        "plugin_timeout_seconds",
        "Time one call may take from its start; a manifest may say otherwise.",
        seconds(|s| &mut s.config.plugins.call_timeout, ms(10), secs(3600)),
    )
    .aliases(&["PLUGIN_EXEC_TIMEOUT_S"]),
    key!(
        "plugin_queue_timeout_seconds",
        "Time one call may wait for its start.",
        seconds(|s| &mut s.config.plugins.queue_timeout, ms(10), secs(3600)),
    ),
    key!(
        "plugin_import_timeout_seconds",
        "Time the import of one plugin may take.",
        seconds(|s| &mut s.config.plugins.import_timeout, ms(100), secs(600)),
    ),
    key!(
        "plugin_hook_timeout_seconds",
        "Time one lifecycle function may take.",
        seconds(|s| &mut s.config.plugins.hook_timeout, ms(10), secs(600)),
    ),
    key!(
        "plugins_enable_new",
        "Whether a plugin that is found for the first time is enabled.",
        switch(|s| &mut s.config.plugins.enable_new),
    ),
    key!(
        "plugins_watch",
        "Whether plugins whose files change are loaded anew, and new directories discovered; in development mode they are in any case.",
        switch(|s| &mut s.config.plugins.watch),
    )
    .aliases(&["MOZAIKS_AUTO_REFRESH_PLUGINS"]),
    key!(
        "plugins_watch_poll_seconds",
        "Time between two looks at the files of plugins; 0 waits for the system's notices, and looks twice a second where there are none.",
        seconds(|s| &mut s.config.plugins.watch_poll, secs(0), secs(3600)),
    ),
    key!(
        "registry_poll_seconds",
        "Time between two looks at what the database says of plugins, where it has no change streams.",
        seconds(|s| &mut s.config.plugins.registry_poll, ms(100), secs(3600)),
    ),
    key!(
        "database_plugins",
        "Whether plugins that are stored in the database can be written and run; in development mode they can in any case.",
        switch(|s| &mut s.config.plugins.stored),
    ),
    key!(
        "public_app_id",
        "App of requests to public routes that bring no token, where a gateway serves many apps.",
        optional_text(
            |s| &mut s.config.plugins.public_app_id,
            |id| !id.is_empty() && id != "*",
            "the id of one app"
        ),
    ),
    key!(
        "plugin_start_wait_seconds",
        "How long the start waits for imports; plugins that take longer answer 503 until they are loaded.",
        seconds(|s| &mut s.config.plugins.start_wait, secs(0), secs(600)),
    ),
    key!(
        "plugin_max_concurrency",
        "Calls of one plugin that run or wait; a manifest may say otherwise.",
        count(|s| &mut s.config.plugins.max_concurrency, 1, 1_000_000),
    ),
    key!(
        "plugin_max_streams",
        "Answers of one plugin that come in pieces, at a time.",
        count(|s| &mut s.config.plugins.max_streams, 1, 4096),
    ),
    key!(
        "python_queue_size",
        "Calls of all plugins that wait for the Python thread.",
        count(|s| &mut s.config.plugins.queue_size, 1, 1_000_000),
    ),
    key!(
        "python_threads",
        "Threads for plugins that are plain functions.",
        count(|s| &mut s.config.plugins.thread_pool_size, 1, 1024),
    ),
    key!(
        "python_threads_per_plugin",
        "Of `python_threads`, how many one plugin may have.",
        count(|s| &mut s.config.plugins.threads_per_plugin, 1, 1024),
    ),
    key!(
        "executor_threads",
        "Threads for what plugins give to `asyncio.to_thread` and `run_in_executor`.",
        count(|s| &mut s.config.plugins.executor_threads, 1, 1024),
    ),
    key!(
        "executor_threads_per_plugin",
        "Of `executor_threads`, how many one plugin may have.",
        count(
            |s| &mut s.config.plugins.executor_threads_per_plugin,
            1,
            1024
        ),
    ),
    key!(
        "resolver_threads",
        "Threads that look host names up for plugins; one plugin may have half.",
        count(|s| &mut s.config.plugins.resolver_threads, 1, 1024),
    ),
    key!(
        "loop_warning_seconds",
        "A plugin that holds the event loop for longer is told of in the log.",
        seconds(|s| &mut s.config.plugins.hold_warning, ms(10), secs(60)),
    ),
    key!(
        "loop_unready_seconds",
        "While the event loop is held for longer, `/ready` answers 503.",
        seconds(|s| &mut s.config.plugins.hold_unready, ms(10), secs(3600)),
    ),
    key!(
        "plugin_max_requests",
        "Requests of plugins to the gateway (database, push) that wait for an answer.",
        count(|s| &mut s.config.plugins.max_requests, 1, 1_000_000),
    ),
    key!(
        "max_output_bytes",
        "Size of a plugin's result.",
        bytes(|s| &mut s.config.plugins.max_output_bytes, KIB, 1024 * MIB),
    ),
    key!(
        "max_depth",
        "Nesting of bodies and results.",
        count(|s| &mut s.config.plugins.max_depth, 1, 200),
    ),
    key!(
        "metrics_plugins",
        "Plugins that `/metrics` tells of by name; the others are counted together as `other`.",
        count(|s| &mut s.config.plugins.named_in_metrics, 1, 100_000),
    ),
];
