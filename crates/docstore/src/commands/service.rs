//! What all connections share: the store, the open cursors, settings and counters.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    auth::Credentials, cursors::Cursors, operations::Operations, session_list::SessionList,
};
use crate::{bail, error::Result, spill::SpillSpace, storage::Store};

/// Settings of the command layer.
#[derive(Debug)]
pub struct ServiceConfig {
    /// The only user, if clients must say who they are.
    pub user: Option<Credentials>,
    /// Name of the replica set that the server says it is the primary of; `None`: it stands alone.
    pub replica_set: Option<String>,
    /// Open cursors at a time.
    pub max_cursors: usize,
    /// Unused cursors are closed after this time.
    pub cursor_timeout: Duration,
    /// Memory that a sort or a blocking stage may take, in bytes.
    pub max_stage_memory_bytes: usize,
    /// Bytes that all sorts and stages together may have on the disk.
    pub max_spill_bytes: u64,
}

/// Counters for `serverStatus`.
#[derive(Debug, Default)]
pub struct ServiceCounters {
    /// Commands.
    pub commands: AtomicU64,
    /// Open connections.
    pub connections: AtomicI64,
    /// Connections so far.
    pub connections_total: AtomicI64,
    /// Inserted documents.
    pub inserts: AtomicU64,
    /// Queries.
    pub queries: AtomicU64,
    /// Update statements.
    pub updates: AtomicU64,
    /// Delete statements.
    pub deletes: AtomicU64,
    /// getMore commands.
    pub get_mores: AtomicU64,
}

/// Shared by all connections.
#[derive(Debug)]
pub struct Service {
    /// The data.
    pub store: Arc<Store>,
    /// Settings.
    pub config: ServiceConfig,
    /// Open cursors.
    pub cursors: Cursors,
    /// Commands under way.
    pub operations: Operations,
    /// Sessions that were used of late.
    pub sessions: SessionList,
    /// Where sorts and stages go that outgrow their memory.
    pub spill: Arc<SpillSpace>,
    /// Counters.
    pub counters: ServiceCounters,
    /// When the server started.
    pub started: Instant,
    /// Set once; long reads end with 11600 then.
    stopping: AtomicBool,
}

impl Service {
    /// A service on an open store.
    pub fn new(store: Arc<Store>, config: ServiceConfig) -> Self {
        let cursors = Cursors::new(config.max_cursors, config.cursor_timeout);
        Self {
            operations: Operations::default(),
            sessions: SessionList::default(),
            spill: SpillSpace::new(&store.options.path, config.max_spill_bytes),
            store,
            config,
            cursors,
            counters: ServiceCounters::default(),
            started: Instant::now(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Ends long reads and waiting change streams.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.store.changes().wake_all();
    }

    /// Whether [`Self::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Fails when the server ends or the time of the command is over.
    pub fn check_time(&self, deadline: Option<Instant>) -> Result<()> {
        if self.is_stopping() {
            bail!(InterruptedAtShutdown, "interrupted at shutdown");
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            bail!(MaxTimeMSExpired, "operation exceeded time limit");
        }
        Ok(())
    }
}
