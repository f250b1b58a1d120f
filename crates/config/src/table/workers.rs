//! The rows of processes that run plugins.

use super::{KIB, MIB, ms, secs};
use crate::keys::{Key, bytes, choice, count, key, seconds, switch};

pub(super) const WORKERS: &[Key] = &[
    key!(
        "isolation_default_directory",
        "Where plugins in the plugins directory run that ask for nothing else: in the gateway, in processes that they share, or each in its own.",
        choice(
            |s| &mut s.config.workers.default_directory,
            &["inline", "shared", "dedicated"]
        ),
    ),
    key!(
        "isolation_default_database",
        "Where plugins run that are stored in the database and ask for nothing else: inline, shared or dedicated, as above.",
        choice(
            |s| &mut s.config.workers.default_database,
            &["inline", "shared", "dedicated"]
        ),
    ),
    key!(
        "isolation_strict",
        "Whether a plugin that cannot be confined on this machine as it should be is refused, rather than run with a note.",
        switch(|s| &mut s.config.workers.strict),
    ),
    key!(
        "workers",
        "Processes of the plugins that share; 0 takes one a core.",
        count(|s| &mut s.config.workers.shared, 0, 1024),
    ),
    key!(
        "worker_start_timeout_seconds",
        "Time the start of a worker may take, before it imports plugins.",
        seconds(|s| &mut s.config.workers.start_timeout, ms(100), secs(600)),
    ),
    key!(
        "worker_heartbeat_seconds",
        "Time between two signs of life that are asked of a worker.",
        seconds(|s| &mut s.config.workers.heartbeat, ms(100), secs(600)),
    ),
    key!(
        "worker_heartbeat_timeout_seconds",
        "A worker without a sign of life for so long is killed.",
        seconds(
            |s| &mut s.config.workers.heartbeat_timeout,
            ms(100),
            secs(3600)
        ),
    ),
    key!(
        "worker_kill_grace_seconds",
        "A call that goes on for so long after its deadline takes its worker with it.",
        seconds(|s| &mut s.config.workers.kill_grace, ms(10), secs(600)),
    ),
    key!(
        "worker_idle_seconds",
        "The worker of a `dedicated` plugin ends after so long without a call, and the next call starts another; 0 is never.",
        seconds(|s| &mut s.config.workers.idle, secs(0), secs(86400)),
    ),
    key!(
        "stored_worker_idle_seconds",
        "The same for plugins that are stored in the database, whose workers are not started before the first call either; 0 is never.",
        seconds(|s| &mut s.config.workers.stored_idle, secs(0), secs(86400)),
    ),
    key!(
        "worker_recycle_calls",
        "A worker is replaced after so many calls; 0 is never.",
        count(
            |s| &mut s.config.workers.recycle_calls,
            0,
            1_000_000_000_000
        ),
    ),
    key!(
        "worker_recycle_bytes",
        "A worker is replaced once it has so much memory; 0 is never.",
        bytes(
            |s| &mut s.config.workers.recycle_bytes,
            0,
            1024 * 1024 * MIB
        ),
    ),
    key!(
        "worker_crash_limit",
        "A plugin of its own process whose worker has died so often within the window runs no more until an admin releases it; 0 is never.",
        count(|s| &mut s.config.workers.crash_limit, 0, 1_000_000),
    ),
    key!(
        "worker_crash_window_seconds",
        "The window of `worker_crash_limit`.",
        seconds(
            |s| &mut s.config.workers.crash_window,
            secs(1),
            secs(86_400)
        ),
    ),
    key!(
        "loop_hold_limit",
        "A plugin that holds the gateway's own event loop past its deadline more often than this within the window runs in a process of its own from there on; 0 is never.",
        count(|s| &mut s.config.workers.hold_limit, 0, 1_000_000),
    ),
    key!(
        "loop_hold_window_seconds",
        "The window of `loop_hold_limit`.",
        seconds(|s| &mut s.config.workers.hold_window, secs(1), secs(86_400)),
    ),
    key!(
        "worker_spare",
        "Whether a worker without a plugin stands ready, so that a new one takes an import's time.",
        switch(|s| &mut s.config.workers.spare),
    ),
    key!(
        "worker_queue_bytes",
        "Bytes of calls that may wait for one worker.",
        bytes(
            |s| &mut s.config.workers.queue_bytes,
            64 * KIB,
            64 * 1024 * MIB
        ),
    ),
    key!(
        "worker_drain_timeout_seconds",
        "Time a worker that is replaced may take for its last calls.",
        seconds(|s| &mut s.config.workers.drain_timeout, ms(10), secs(3600)),
    ),
    key!(
        "limits_max_memory_bytes",
        "Most memory of a plugin's own process, whatever its manifest says.",
        bytes(
            |s| &mut s.config.workers.max_memory,
            16 * MIB,
            1024 * 1024 * MIB
        ),
    ),
    key!(
        "limits_max_cpu_percent",
        "Most of one core that a plugin's own process may use, in percent.",
        count(|s| &mut s.config.workers.max_cpu_percent, 1, 100_000),
    ),
    key!(
        "limits_max_disk_bytes_per_second",
        "Most bytes a second that a plugin's own process may write to the disk.",
        bytes(|s| &mut s.config.workers.max_disk, KIB, 1024 * 1024 * MIB),
    ),
    key!(
        "limits_max_open_files",
        "Most descriptors of a plugin's own process.",
        count(|s| &mut s.config.workers.max_open_files, 32, 1_000_000),
    ),
    key!(
        "limits_max_threads",
        "Most threads that a plugin may start in its own process.",
        count(|s| &mut s.config.workers.max_threads, 1, 100_000),
    ),
];
