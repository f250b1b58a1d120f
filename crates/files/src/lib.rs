//! Files of plugins: each plugin has a directory in each app, and no path leads out of it.
//!
//! Knows neither plugins nor permissions: whoever asks has been checked by the caller. Paths are looked up
//! by the kernel from the owner's directory on (`openat2`), which follows no link and leaves it by no
//! `..`; a look-up of our own would be as old as its answer. All of it runs on threads that may wait.

mod path;
mod tree;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Semaphore;

pub use path::FilePath;
use tree::Tree;

/// What a file or a directory counts beside its bytes: so that what is empty is not for nothing.
pub const ENTRY_BYTES: u64 = 256;
/// Entries of one answer of a list.
pub const MAX_LISTED: usize = 1000;
/// Of all plugins at a time.
const MAX_AT_ONCE: usize = 32;
/// Of one plugin at a time.
const MAX_AT_ONCE_OF_ONE: usize = 4;
/// Of one plugin under way, those that wait included.
const MAX_UNDER_WAY: usize = 1024;
/// What it writes with these, in files of the largest size.
const MAX_LARGEST_UNDER_WAY: usize = 4;
/// In which its bytes are counted.
const UNIT_BYTES: usize = 1024;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A path that leads elsewhere: absolute, by `..`, over a link.
    #[error("{0:?} leads out of the plugin's directory, or over a link")]
    Outside(String),
    /// Nothing is there.
    #[error("there is no {0:?}")]
    NotFound(String),
    /// Something is in the way.
    #[error("{0}")]
    Conflict(String),
    /// More than a file may hold.
    #[error("{path:?} would have {bytes} bytes; {limit} are allowed")]
    TooLarge {
        /// Which file.
        path: String,
        /// What it has or would have.
        bytes: u64,
        /// What it may have.
        limit: u64,
    },
    /// As much is under way as the plugin may have.
    #[error("the plugin has too much under way with its files")]
    TooMuch,
    /// The disk has no room left.
    #[error("the disk has no room left")]
    Full,
    /// Anything else, for the log.
    #[error("{0}")]
    Io(io::Error),
}

/// Whose files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The plugin; its name is safe as a part of a path.
    pub plugin: Arc<str>,
    /// The app, whatever it is called.
    pub app_id: Arc<str>,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stat {
    /// Its last part; that of the whole is `.`.
    pub name: String,
    /// From the plugin's directory on.
    pub path: String,
    /// `file` or `directory`.
    pub kind: Kind,
    /// Bytes of a file.
    pub size: u64,
    /// In seconds since 1970.
    pub modified_at: i64,
}

/// What something is. There is nothing else: what somebody else has put there is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// Some entries of a directory, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The entries.
    pub items: Vec<Stat>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// What a change has given back, and taken, in bytes as they are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Whether there was something.
    pub existed: bool,
    /// What is there no more.
    pub freed: u64,
}

/// The files of all plugins.
pub struct PluginFiles {
    root: PathBuf,
    max_file_bytes: u64,
    all: Arc<Semaphore>,
    /// By plugin, of which there are few.
    of_plugins: Mutex<HashMap<Arc<str>, Arc<Room>>>,
    /// Trees that were opened since the start, whose left-overs are gone.
    opened: Arc<Mutex<HashMap<Owner, Arc<Tree>>>>,
}

/// What a plugin may have under way.
struct Room {
    at_once: Arc<Semaphore>,
    all: Semaphore,
    written: Semaphore,
}

/// Directories that are kept open; past it all are closed, to be opened again.
const MAX_OPEN: usize = 256;

impl PluginFiles {
    /// Below `root`, which is made when it is first needed.
    pub fn new(root: &Path, max_file_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            root: root.to_owned(),
            max_file_bytes: max_file_bytes as u64,
            all: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            of_plugins: Mutex::default(),
            opened: Arc::default(),
        })
    }

    /// Bytes that a file may have.
    pub fn max_file_bytes(&self) -> u64 {
        self.max_file_bytes
    }

    /// The whole of a file.
    ///
    /// # Errors
    /// [`FilesError`], as of everything here.
    pub async fn read(&self, owner: &Owner, path: FilePath) -> Result<Bytes, FilesError> {
        let limit = self.max_file_bytes;
        self.run(owner, 0, move |tree| tree.read(&path, limit))
            .await
    }

    /// Puts a file there, or another in its place; whoever reads meanwhile has the one or the other.
    pub async fn write(
        &self,
        owner: &Owner,
        path: FilePath,
        content: Bytes,
    ) -> Result<Change, FilesError> {
        self.check_size(&path, content.len() as u64)?;
        let bytes = content.len();
        self.run(owner, bytes, move |tree| tree.write(&path, &content))
            .await
    }

    /// Adds to the end of a file, which is made where there is none.
    pub async fn append(
        &self,
        owner: &Owner,
        path: FilePath,
        content: Bytes,
    ) -> Result<Change, FilesError> {
        self.check_size(&path, content.len() as u64)?;
        let (limit, bytes) = (self.max_file_bytes, content.len());
        self.run(owner, bytes, move |tree| {
            tree.append(&path, &content, limit)
        })
        .await
    }

    /// Takes a file or a directory away; one that holds something only where `recursive` is said.
    pub async fn delete(
        &self,
        owner: &Owner,
        path: FilePath,
        recursive: bool,
    ) -> Result<Change, FilesError> {
        self.run(owner, 0, move |tree| tree.delete(&path, recursive))
            .await
    }

    /// What is in a directory after `cursor`, by names.
    pub async fn list(
        &self,
        owner: &Owner,
        path: FilePath,
        limit: usize,
        cursor: Option<String>,
    ) -> Result<Page, FilesError> {
        if limit == 0 {
            return Err(FilesError::Invalid("limit must be at least 1".into()));
        }
        let limit = limit.min(MAX_LISTED);
        self.run(owner, 0, move |tree| {
            tree.list(&path, limit, cursor.as_deref())
        })
        .await
    }

    /// What is at a path; `None` where nothing is.
    pub async fn stat(&self, owner: &Owner, path: FilePath) -> Result<Option<Stat>, FilesError> {
        self.run(owner, 0, move |tree| tree.stat(&path)).await
    }

    /// Makes a directory, and those above it; whether it was there is told.
    pub async fn make_directory(
        &self,
        owner: &Owner,
        path: FilePath,
    ) -> Result<Change, FilesError> {
        self.run(owner, 0, move |tree| tree.make_directory(&path))
            .await
    }

    /// What all of an owner's files count, each with its [`ENTRY_BYTES`].
    pub async fn bytes(&self, owner: &Owner) -> Result<u64, FilesError> {
        self.run(owner, 0, |tree| tree.bytes()).await
    }

    fn room(&self, plugin: &Arc<str>) -> Arc<Room> {
        let mut all = self.of_plugins.lock();
        let room = all.entry(Arc::clone(plugin)).or_insert_with(|| {
            let largest = usize::try_from(self.max_file_bytes).unwrap_or(usize::MAX);
            let written = units(largest) as usize * MAX_LARGEST_UNDER_WAY;
            Arc::new(Room {
                at_once: Arc::new(Semaphore::new(MAX_AT_ONCE_OF_ONE)),
                all: Semaphore::new(MAX_UNDER_WAY),
                written: Semaphore::new(written),
            })
        });
        Arc::clone(room)
    }

    fn check_size(&self, path: &FilePath, bytes: u64) -> Result<(), FilesError> {
        if bytes <= self.max_file_bytes {
            return Ok(());
        }
        Err(FilesError::TooLarge {
            path: path.as_str().to_owned(),
            bytes,
            limit: self.max_file_bytes,
        })
    }

    /// Runs work that holds so many bytes on a thread that may wait. It is done to its end, also where nobody waits for it any more.
    async fn run<T: Send + 'static>(
        &self,
        owner: &Owner,
        bytes: usize,
        work: impl FnOnce(&Tree) -> Result<T, FilesError> + Send + 'static,
    ) -> Result<T, FilesError> {
        let room = self.room(&owner.plugin);
        let _counted = room.all.try_acquire().map_err(|_| FilesError::TooMuch)?;
        let _held = (room.written)
            .try_acquire_many(units(bytes))
            .map_err(|_| FilesError::TooMuch)?;
        let gone = |_| FilesError::Io(io::ErrorKind::Interrupted.into());
        // A plugin's own place first: it does not wait for it with one of all.
        let own = Arc::clone(&room.at_once)
            .acquire_owned()
            .await
            .map_err(gone)?;
        let place = Arc::clone(&self.all).acquire_owned().await.map_err(gone)?;
        let (opened, root, owner) = (Arc::clone(&self.opened), self.root.clone(), owner.clone());
        let done = tokio::task::spawn_blocking(move || {
            let _places = (own, place);
            let tree = open(&opened, &root, owner)?;
            work(&tree)
        });
        match done.await {
            Ok(done) => done,
            Err(error) => Err(FilesError::Io(io::Error::other(error))),
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

fn open(
    opened: &Mutex<HashMap<Owner, Arc<Tree>>>,
    root: &Path,
    owner: Owner,
) -> Result<Arc<Tree>, FilesError> {
    let known = opened.lock().get(&owner).map(Arc::clone);
    if let Some(tree) = known.filter(|tree| !tree.is_gone()) {
        return Ok(tree);
    }
    let dir = root
        .join(&*owner.plugin)
        .join(path::directory_of_app(&owner.app_id));
    let tree = Arc::new(Tree::open(&dir)?);
    let mut opened = opened.lock();
    if opened.len() >= MAX_OPEN {
        opened.clear();
    }
    opened.insert(owner, Arc::clone(&tree));
    Ok(tree)
}
