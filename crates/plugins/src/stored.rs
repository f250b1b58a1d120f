//! Plugins whose files are rows in the database: where a revision of one lies on this machine.

use std::{future::Future, path::PathBuf, pin::Pin};

/// What is asked for, once it is there.
pub type Laid<'a> = Pin<Box<dyn Future<Output = Result<PathBuf, String>> + Send + 'a>>;

/// Lays down the files of stored plugins.
pub trait StoredTrees: Send + Sync + 'static {
    /// The directory with the files of a revision, by its digest; read from the database where this machine
    /// has none yet.
    fn lay_down<'a>(&'a self, plugin: &'a str, digest: &'a str) -> Laid<'a>;

    /// Nothing of a plugin is needed any more.
    fn forget(&self, plugin: &str);
}
