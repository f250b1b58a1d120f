//! The write-ahead log beside SQLite: how much is in it, and what of it is on the disk.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::{Connection, hooks::Wal};

use crate::{error::Result, storage::io_error};

/// The log's file, and what SQLite told of it.
#[derive(Debug)]
pub(in crate::storage) struct Log {
    /// For writes that wait for the disk.
    file: File,
    /// For the background. A failed flush is told once to each opened file: not to the background
    /// alone.
    behind: File,
    /// Pages in the log, as of the last commit. The file does not tell: it keeps its size when the
    /// log starts again at its beginning.
    pages: AtomicU64,
    /// Commits so far.
    commits: AtomicU64,
    /// How many of them the background has brought to the disk.
    flushed: AtomicU64,
}

impl Log {
    /// Follows the commits of the connection that writes.
    pub(in crate::storage) fn follow(
        connection: &mut Connection,
        path: &Path,
    ) -> Result<Arc<Self>> {
        let open = || {
            let file = OpenOptions::new().read(true).write(true).open(path);
            file.map_err(|error| io_error(path, &error))
        };
        let log = Arc::new(Self {
            file: open()?,
            behind: open()?,
            pages: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
        });
        let told = Arc::clone(&log);
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            told.pages
                .store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            told.commits.fetch_add(1, Ordering::Release);
            Ok(())
        }))?;
        Ok(log)
    }

    /// Pages in the log.
    pub(in crate::storage) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// Bytes of the file.
    pub(in crate::storage) fn file_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |meta| meta.len())
    }

    /// Waits until all that is committed is on the disk.
    pub(in crate::storage) fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The same for the background; nothing where nothing was committed since.
    pub(in crate::storage) fn flush_behind(&self) -> io::Result<()> {
        let commits = self.commits.load(Ordering::Acquire);
        if commits != self.flushed.load(Ordering::Relaxed) {
            self.behind.sync_data()?;
            self.flushed.store(commits, Ordering::Relaxed);
        }
        Ok(())
    }
}
