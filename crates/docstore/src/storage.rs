//! The SQLite file: its catalogue, documents, index entries, one writer and many snapshot readers.
//!
//! Knows nothing of commands and frames. Documents are BSON bytes; a row number (`rid`) in order of
//! insertion ties a document to its index entries, the `_id` index among them.

pub mod catalog;
pub mod changes;
pub mod definitions;
pub mod documents;
pub mod entries;
pub mod keys;
pub mod readers;
pub mod scan;
mod space;
pub mod sql;
pub mod transactions;
pub mod ttl;
mod work;
pub mod writer;

#[cfg(test)]
mod tests;

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicI64},
};

use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::{
    bail,
    error::{Code, CommandError, Result},
};
use catalog::Catalog;
use space::Space;

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After it is in the write-ahead log: survives the death of the process. Writes that ask for
    /// `j: true` are flushed to the disk first.
    #[default]
    Process,
    /// After the log is flushed to the disk: survives the loss of power.
    Full,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The data directory; made (mode 0700) if it does not exist.
    pub path: PathBuf,
    /// When a write is acknowledged.
    pub durability: Durability,
    /// Upper limit of the data file in bytes; a write beyond it is answered as a full disk is.
    pub max_file_bytes: Option<u64>,
    /// Room on the disk that is kept back for deletes when it is full, in bytes.
    pub reserve_bytes: u64,
    /// Most snapshot reads at a time; more wait.
    pub max_readers: usize,
    /// Page cache of the writer and of each reader, in bytes.
    pub cache_bytes: u64,
    /// How long a multi-document transaction may be open, in milliseconds.
    pub transaction_lifetime_ms: u64,
    /// How many multi-document transactions may be open.
    pub max_transactions: usize,
    /// How much one may write, in bytes; it is kept in memory until the commit.
    pub max_transaction_bytes: u64,
    /// Log all changes from the start, not only once somebody has asked for them.
    pub log_all_changes: bool,
    /// How long change events are kept, in seconds.
    pub change_retention_seconds: u64,
    /// How many change events are kept.
    pub change_retention_events: u64,
}

impl StoreOptions {
    /// The defaults for a directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            max_file_bytes: None,
            reserve_bytes: 16 << 20,
            max_readers: 16,
            cache_bytes: 16 << 20,
            transaction_lifetime_ms: 60_000,
            max_transactions: 64,
            max_transaction_bytes: 64 << 20,
            log_all_changes: false,
            change_retention_seconds: 24 * 3600,
            change_retention_events: 1_000_000,
        }
    }
}

/// The name of the data file in the directory.
const DATA_FILE: &str = "data.sqlite";
/// Written into the file's header, so that another program's file is not taken for ours.
const APPLICATION_ID: i64 = 0x6d6f_7a64;
/// The layout of the tables; a newer one is refused.
const LAYOUT_VERSION: i64 = 1;
/// How long SQLite waits for another connection of this process.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Bytes of a page of the data file.
const PAGE_BYTES: u64 = 4096;

/// An open data directory.
#[derive(Debug)]
pub struct Store {
    /// As given to [`Store::open`].
    pub options: StoreOptions,
    /// Held locked for as long as the store is open; a second process finds it taken.
    lock: Mutex<Option<File>>,
    /// The last committed catalogue. Replaced whole by the writer at each commit that changed it.
    catalog: RwLock<Arc<Catalog>>,
    readers: readers::Readers,
    writer: writer::Writer,
    space: Space,
    transactions: transactions::open::Transactions,
    /// The next free number of a collection or index.
    next_id: AtomicI64,
    changes: changes::ChangeLog,
}

impl Store {
    /// Opens (or makes) the data directory. Fails where another process has it open.
    pub fn open(options: StoreOptions) -> Result<Arc<Self>> {
        let dir = options.path.clone();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|error| io_error(&dir, &error))?;
        let lock = lock_directory(&dir)?;
        let file = dir.join(DATA_FILE);
        // SQLite gives its other files the mode of this one.
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&file)
            .map_err(|error| io_error(&file, &error))?;
        let space = Space::open(&dir, options.reserve_bytes);
        let open = || {
            let connection = open_connection(&file, &options, true)?;
            prepare_file(&connection, &file).map(|()| connection)
        };
        let mut connection = match open() {
            // A full disk may have no room even for what opening takes.
            Err(_) if space.give_up() => open()?,
            opened => opened?,
        };
        sync_directories(&dir)?;
        let (catalog, next_id) = catalog::load(&connection)?;
        let catalog = Arc::new(catalog);
        let changes = changes::ChangeLog::load(&connection, &options)?;
        let log = writer::Log::follow(&mut connection, &wal_path(&file))?;
        let writer = writer::Writer::new(connection, log, Arc::clone(&catalog), options.durability);
        let readers = readers::Readers::new(file, options.clone());
        Ok(Arc::new(Self {
            lock: Mutex::new(Some(lock)),
            catalog: RwLock::new(catalog),
            readers,
            writer,
            space,
            transactions: transactions::open::Transactions::default(),
            next_id: AtomicI64::new(next_id),
            changes,
            options,
        }))
    }

    /// The last committed catalogue.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read())
    }

    /// A connection for a snapshot read; waits while all are in use.
    pub fn reader(&self) -> Result<readers::Reader<'_>> {
        self.readers.get()
    }

    /// Gives back what reads needed at times; called now and then. Whether there was something.
    pub fn shrink(&self) -> bool {
        self.readers.shrink()
    }

    /// The change log.
    pub fn changes(&self) -> &changes::ChangeLog {
        &self.changes
    }

    /// Bytes of the data file and of its log.
    pub fn file_bytes(&self) -> (u64, u64) {
        let file = self.options.path.join(DATA_FILE);
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
        (size(&file), size(&wal_path(&file)))
    }

    /// Whether the disk was found full, and only writes that free something are let through.
    pub fn is_full(&self) -> bool {
        self.space.is_given_up()
    }

    /// Pages in the log, of which each holds 4 KiB.
    pub fn log_pages(&self) -> u64 {
        self.writer.log.pages()
    }

    /// Brings to the disk what was committed since the last call; called now and then, so that a
    /// power cut costs little of what was not asked to be flushed.
    pub fn flush_log(&self) -> Result<()> {
        let flushed = self.writer.log.flush_behind();
        flushed.map_err(|error| io_error(&wal_path(&self.options.path.join(DATA_FILE)), &error))
    }

    /// Moves the log into the data file without blocking anyone; called now and then, so that the
    /// log stays short.
    pub fn checkpoint(&self) -> Result<()> {
        let reader = self.readers.get()?;
        reader.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// Ends the open group of writes, refuses further ones, empties the log and lets go of the
    /// directory. Idempotent.
    pub fn close(&self) {
        self.transactions.close();
        self.writer.close(self);
        self.readers.close();
        self.lock.lock().take();
    }

    fn publish(&self, catalog: &Arc<Catalog>) {
        *self.catalog.write() = Arc::clone(catalog);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// Makes the names of new files last: without, a power cut may take a file that was flushed.
fn sync_directories(dir: &Path) -> Result<()> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    for dir in parent.into_iter().chain([dir]) {
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|error| io_error(dir, &error))?;
    }
    Ok(())
}

fn wal_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn io_error(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::new(Code::InternalError, format!("{}: {error}", path.display()))
}

fn lock_directory(dir: &Path) -> Result<File> {
    let path = dir.join("docstore.lock");
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| io_error(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!(
                IllegalOperation,
                "the data directory {} is in use by another process",
                dir.display()
            )
        }
        Err(TryLockError::Error(error)) => Err(io_error(&path, &error)),
    }
}

/// Opens the file with this store's settings.
fn open_connection(file: &Path, options: &StoreOptions, writer: bool) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // One process has the directory: its connections need no locks of files between them.
    let connection = Connection::open_with_flags_and_vfs(file, flags, c"unix-excl")?;
    connection.set_prepared_statement_cache_capacity(1024);
    // Without, a statement is parsed anew for every value that is bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(&format!(
        "PRAGMA page_size={PAGE_BYTES}; PRAGMA cache_size=-{}; PRAGMA temp_store=MEMORY; \
         PRAGMA mmap_size={};",
        options.cache_bytes / 1024,
        1_u64 << 31,
    ))?;
    if writer {
        connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
        connection.execute_batch(
            "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0; \
             PRAGMA journal_size_limit=16777216;",
        )?;
        if let Some(bytes) = options.max_file_bytes {
            connection.execute_batch(&format!("PRAGMA max_page_count={}", bytes / PAGE_BYTES))?;
        }
    }
    Ok(connection)
}

/// Makes the fixed tables in a new file; refuses files of another program or of a newer layout.
fn prepare_file(connection: &Connection, file: &Path) -> Result<()> {
    let pragma = |name: &str| -> Result<i64> {
        Ok(connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))?)
    };
    let (application, layout) = (pragma("application_id")?, pragma("user_version")?);
    if application == 0 && pragma("schema_version")? == 0 {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {} PRAGMA application_id={APPLICATION_ID}; \
             PRAGMA user_version={LAYOUT_VERSION}; COMMIT;",
            sql::FIXED_TABLES,
        ))?;
    } else if application != APPLICATION_ID {
        bail!(
            IllegalOperation,
            "{} is not a docstore file",
            file.display()
        );
    } else if layout > LAYOUT_VERSION {
        bail!(
            IllegalOperation,
            "{} was written by a newer docstore (layout {layout})",
            file.display()
        );
    }
    Ok(())
}

impl From<rusqlite::Error> for CommandError {
    fn from(error: rusqlite::Error) -> Self {
        let code = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Code::OutOfDiskSpace,
            Some(rusqlite::ErrorCode::OperationInterrupted) => Code::MaxTimeMSExpired,
            _ => Code::InternalError,
        };
        CommandError::new(code, format!("storage: {error}"))
    }
}
