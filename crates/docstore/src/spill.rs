//! Work that does not fit into memory: sorted runs and rows in files without a name.
//!
//! All files of a process share one [`SpillSpace`], which bounds and counts their bytes. A file goes
//! away with its handle, however the process ends.

mod file;
mod rows;
mod sorter;

#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub use file::SpillFile;
pub use rows::Rows;
pub use sorter::{Sorted, Sorter};

use crate::{
    bail,
    error::{Code, CommandError, Result},
};

/// Memory of one sort or stage where nothing else is said, in bytes.
pub const DEFAULT_MEMORY_BYTES: usize = 100 << 20;

/// Bytes that are collected before they are written to a file, though more memory may be allowed:
/// beyond it more memory makes a sort no faster.
const RUN_BYTES: usize = 16 << 20;

/// Where and how much may be written.
#[derive(Debug)]
pub struct SpillSpace {
    dir: PathBuf,
    max_bytes: u64,
    /// In files that are open now.
    used_bytes: AtomicU64,
    /// Files so far; numbers their names.
    files: AtomicU64,
}

impl SpillSpace {
    /// Space in a directory, at most `max_bytes` at a time.
    pub fn new(dir: impl Into<PathBuf>, max_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.into(),
            max_bytes,
            used_bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
        })
    }

    /// Bytes in files that are open now.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Files that were made so far.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<()> {
        let used = self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        if used.saturating_add(bytes) > self.max_bytes {
            self.give_back(bytes);
            bail!(
                OutOfDiskSpace,
                "spilling to disk needs more than the {} bytes that are allowed for it",
                self.max_bytes
            );
        }
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What a sort or a stage may take.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Bytes of memory.
    pub limit_bytes: usize,
    /// Where to go beyond them; `None`: the stage fails.
    pub disk: Option<Arc<SpillSpace>>,
}

impl Default for Memory {
    /// As much as is usual, and no disk.
    fn default() -> Self {
        Self {
            limit_bytes: DEFAULT_MEMORY_BYTES,
            disk: None,
        }
    }
}

impl Memory {
    /// Bytes to collect in memory before more is written to the disk, or refused.
    pub fn run_bytes(&self) -> usize {
        match self.disk {
            Some(_) => self.limit_bytes.min(RUN_BYTES),
            None => self.limit_bytes,
        }
    }

    /// The disk, or the error of a stage that would need it.
    pub fn disk_for(&self, stage: &str) -> Result<&Arc<SpillSpace>> {
        match &self.disk {
            Some(disk) => Ok(disk),
            None => Err(CommandError::new(
                Code::QueryExceededMemoryLimitNoDiskUseAllowed,
                format!(
                    "Exceeded memory limit of {} bytes for {stage}, but did not opt in to external \
                     sorting: pass allowDiskUse: true",
                    self.limit_bytes
                ),
            )),
        }
    }
}
