//! Python and the plugins in it.

use super::{KIB, MIB, ms, secs};
use crate::keys::{Field, Key, key};

pub(super) const RUNTIME: &[Key] = &[
    key(
        "python",
        "MOZAIKS_PYTHON",
        "python",
        "Interpreter whose packages plugins see; unset: a venv beside the working directory or the binary, else the one the gateway was built with.",
        Field::OptionalPath(|s| &mut s.config.plugins.python),
    ),
    key(
        "sdk_path",
        "MOZAIKS_SDK_PATH",
        "sdk-path",
        "Directory with the Python SDK where it is not installed for the interpreter; unset: `python-sdk` beside the working directory or the binary.",
        Field::OptionalPath(|s| &mut s.config.plugins.sdk_path),
    ),
    key(
        "plugin_timeout_seconds",
        "MOZAIKS_PLUGIN_TIMEOUT_SECONDS",
        "plugin-timeout-seconds",
        "Time one call may take from its start; a manifest may say otherwise.",
        Field::Seconds {
            at: |s| &mut s.config.plugins.call_timeout,
            min: ms(10),
            max: secs(3600),
        },
    ),
    key(
        "plugin_queue_timeout_seconds",
        "MOZAIKS_PLUGIN_QUEUE_TIMEOUT_SECONDS",
        "plugin-queue-timeout-seconds",
        "Time one call may wait for its start.",
        Field::Seconds {
            at: |s| &mut s.config.plugins.queue_timeout,
            min: ms(10),
            max: secs(3600),
        },
    ),
    key(
        "plugin_import_timeout_seconds",
        "MOZAIKS_PLUGIN_IMPORT_TIMEOUT_SECONDS",
        "plugin-import-timeout-seconds",
        "Time the import of one plugin may take.",
        Field::Seconds {
            at: |s| &mut s.config.plugins.import_timeout,
            min: ms(100),
            max: secs(600),
        },
    ),
    key(
        "plugin_max_concurrency",
        "MOZAIKS_PLUGIN_MAX_CONCURRENCY",
        "plugin-max-concurrency",
        "Calls of one plugin that run or wait; a manifest may say otherwise.",
        Field::Count {
            at: |s| &mut s.config.plugins.max_concurrency,
            min: 1,
            max: 1_000_000,
        },
    ),
    key(
        "python_queue_size",
        "MOZAIKS_PYTHON_QUEUE_SIZE",
        "python-queue-size",
        "Calls of all plugins that wait for the Python thread.",
        Field::Count {
            at: |s| &mut s.config.plugins.queue_size,
            min: 1,
            max: 1_000_000,
        },
    ),
    key(
        "python_threads",
        "MOZAIKS_PYTHON_THREADS",
        "python-threads",
        "Threads for plugins that are plain functions.",
        Field::Count {
            at: |s| &mut s.config.plugins.thread_pool_size,
            min: 1,
            max: 1024,
        },
    ),
    key(
        "python_threads_per_plugin",
        "MOZAIKS_PYTHON_THREADS_PER_PLUGIN",
        "python-threads-per-plugin",
        "Of `python_threads`, how many one plugin may have.",
        Field::Count {
            at: |s| &mut s.config.plugins.threads_per_plugin,
            min: 1,
            max: 1024,
        },
    ),
    key(
        "executor_threads",
        "MOZAIKS_EXECUTOR_THREADS",
        "executor-threads",
        "Threads for what plugins give to `asyncio.to_thread` and `run_in_executor`.",
        Field::Count {
            at: |s| &mut s.config.plugins.executor_threads,
            min: 1,
            max: 1024,
        },
    ),
    key(
        "executor_threads_per_plugin",
        "MOZAIKS_EXECUTOR_THREADS_PER_PLUGIN",
        "executor-threads-per-plugin",
        "Of `executor_threads`, how many one plugin may have.",
        Field::Count {
            at: |s| &mut s.config.plugins.executor_threads_per_plugin,
            min: 1,
            max: 1024,
        },
    ),
    key(
        "resolver_threads",
        "MOZAIKS_RESOLVER_THREADS",
        "resolver-threads",
        "Threads that look host names up for plugins; one plugin may have half.",
        Field::Count {
            at: |s| &mut s.config.plugins.resolver_threads,
            min: 1,
            max: 1024,
        },
    ),
    key(
        "loop_warning_seconds",
        "MOZAIKS_LOOP_WARNING_SECONDS",
        "loop-warning-seconds",
        "A plugin that holds the event loop for longer is told of in the log.",
        Field::Seconds {
            at: |s| &mut s.config.plugins.hold_warning,
            min: ms(10),
            max: secs(60),
        },
    ),
    key(
        "loop_unready_seconds",
        "MOZAIKS_LOOP_UNREADY_SECONDS",
        "loop-unready-seconds",
        "While the event loop is held for longer, `/ready` answers 503.",
        Field::Seconds {
            at: |s| &mut s.config.plugins.hold_unready,
            min: ms(10),
            max: secs(3600),
        },
    ),
    key(
        "plugin_max_requests",
        "MOZAIKS_PLUGIN_MAX_REQUESTS",
        "plugin-max-requests",
        "Requests of plugins to the gateway (database, push) that wait for an answer.",
        Field::Count {
            at: |s| &mut s.config.plugins.max_requests,
            min: 1,
            max: 1_000_000,
        },
    ),
    key(
        "max_output_bytes",
        "MOZAIKS_MAX_OUTPUT_BYTES",
        "max-output-bytes",
        "Size of a plugin's result.",
        Field::Bytes {
            at: |s| &mut s.config.plugins.max_output_bytes,
            min: KIB,
            max: 1024 * MIB,
        },
    ),
    key(
        "max_depth",
        "MOZAIKS_MAX_DEPTH",
        "max-depth",
        "Nesting of bodies and results.",
        Field::Count {
            at: |s| &mut s.config.plugins.max_depth,
            min: 1,
            max: 200,
        },
    ),
];
