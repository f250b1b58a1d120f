//! Processes that run plugins: which plugins, how many, and when one is replaced.

use std::time::Duration;

/// Where plugins run, and the bounds of what runs them.
#[derive(Debug, Clone)]
pub struct WorkersConfig {
    /// Processes of plugins that share; 0 takes one a core. `MOZAIKS_WORKERS`
    pub shared: usize,
    /// `inline`, `shared` or `dedicated`, for plugins in directories of the operator's that do not ask
    /// for more. `MOZAIKS_ISOLATION_DEFAULT_DIRECTORY`
    pub default_directory: String,
    /// Where plugins run that are stored in the database and ask for nothing else.
    pub default_database: String,
    /// Whether a plugin runs at all that cannot be confined here. `MOZAIKS_ISOLATION_STRICT`
    pub strict: bool,
    /// A worker's start, before it imports. `MOZAIKS_WORKER_START_TIMEOUT_SECONDS`
    pub start_timeout: Duration,
    /// Between two signs of life. `MOZAIKS_WORKER_HEARTBEAT_SECONDS`
    pub heartbeat: Duration,
    /// Without a sign of life. `MOZAIKS_WORKER_HEARTBEAT_TIMEOUT_SECONDS`
    pub heartbeat_timeout: Duration,
    /// From a call's cancellation to its worker's end. `MOZAIKS_WORKER_KILL_GRACE_SECONDS`
    pub kill_grace: Duration,
    /// Without a call for so long, a plugin's own worker ends until the next; zero is never.
    /// `MOZAIKS_WORKER_IDLE_SECONDS`
    pub idle: Duration,
    /// The same for plugins that are stored in the database. `MOZAIKS_STORED_WORKER_IDLE_SECONDS`
    pub stored_idle: Duration,
    /// Calls after which a worker is replaced; 0 is never. `MOZAIKS_WORKER_RECYCLE_CALLS`
    pub recycle_calls: usize,
    /// Resident bytes at which a worker is replaced; 0 is never. `MOZAIKS_WORKER_RECYCLE_BYTES`
    pub recycle_bytes: usize,
    /// Crashes within the window that end a plugin of its own process; 0 is never.
    /// `MOZAIKS_WORKER_CRASH_LIMIT`
    pub crash_limit: usize,
    /// The window. `MOZAIKS_WORKER_CRASH_WINDOW_SECONDS`
    pub crash_window: Duration,
    /// More often than this past its deadline on the loop of the gateway's own process within the window,
    /// and a plugin gets a process of its own; 0 is never. `MOZAIKS_LOOP_HOLD_LIMIT`
    pub hold_limit: usize,
    /// The window. `MOZAIKS_LOOP_HOLD_WINDOW_SECONDS`
    pub hold_window: Duration,
    /// Whether one worker stands ready for whoever needs it. `MOZAIKS_WORKER_SPARE`
    pub spare: bool,
    /// Bytes that may wait for one worker. `MOZAIKS_WORKER_QUEUE_BYTES`
    pub queue_bytes: usize,
    /// How long a replaced worker may take for its last calls. `MOZAIKS_WORKER_DRAIN_TIMEOUT_SECONDS`
    pub drain_timeout: Duration,
    /// Most memory of a plugin's own process. `MOZAIKS_LIMITS_MAX_MEMORY_BYTES`
    pub max_memory: usize,
    /// Most of one core, in percent. `MOZAIKS_LIMITS_MAX_CPU_PERCENT`
    pub max_cpu_percent: usize,
    /// Most bytes a second on the disk. `MOZAIKS_LIMITS_MAX_DISK_BYTES_PER_SECOND`
    pub max_disk: usize,
    /// Most descriptors. `MOZAIKS_LIMITS_MAX_OPEN_FILES`
    pub max_open_files: usize,
    /// Most threads. `MOZAIKS_LIMITS_MAX_THREADS`
    pub max_threads: usize,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self {
            shared: 0,
            default_directory: "inline".into(),
            default_database: "dedicated".into(),
            strict: false,
            start_timeout: Duration::from_secs(15),
            heartbeat: Duration::from_secs(1),
            heartbeat_timeout: Duration::from_secs(10),
            kill_grace: Duration::from_millis(500),
            idle: Duration::ZERO,
            stored_idle: Duration::from_secs(300),
            recycle_calls: 0,
            recycle_bytes: 0,
            crash_limit: 3,
            crash_window: Duration::from_secs(600),
            hold_limit: 5,
            hold_window: Duration::from_secs(600),
            spare: true,
            queue_bytes: 16 << 20,
            drain_timeout: Duration::from_secs(30),
            max_memory: 4 << 30,
            max_cpu_percent: 400,
            max_disk: 1 << 30,
            max_open_files: 4096,
            max_threads: 512,
        }
    }
}

impl WorkersConfig {
    /// Processes of plugins that share: as configured, else one a core.
    pub fn shared_count(&self) -> usize {
        match self.shared {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            count => count,
        }
    }
}
