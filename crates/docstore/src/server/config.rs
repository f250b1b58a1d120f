//! How a server is started.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::refuse;
use crate::{error::Result, storage::StoreOptions};

/// Where a server listens.
#[derive(Debug, Clone)]
pub enum Listen {
    /// A unix socket (mode 0600, its folder is made with mode 0700). The name must end in `.sock`,
    /// by which drivers know it.
    Unix(PathBuf),
    /// A TCP address; anything but loopback needs a user.
    Tcp(SocketAddr),
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory.
    pub path: PathBuf,
    /// Where to listen; at least one.
    pub listen: Vec<Listen>,
    /// Name and password of the only user. With it every client must authenticate.
    pub user: Option<(String, String)>,
    /// Settings of the store; its `path` is taken from [`Self::path`].
    pub store: StoreOptions,
    /// Let drivers see the primary of a replica set with this name instead of a lone server.
    pub replica_set: Option<String>,
    /// Most connections; further ones are closed at once. Each has a thread while it is at work.
    pub max_connections: usize,
    /// Most open cursors.
    pub max_cursors: usize,
    /// Unused cursors are closed after this time.
    pub cursor_timeout: Duration,
    /// Memory that a sort or a blocking stage may take, in bytes.
    pub max_stage_memory_bytes: usize,
    /// Bytes that sorts, blocking stages and waiting results together may have on the disk beyond
    /// their memory.
    pub max_spill_bytes: u64,
    /// How often expired documents are deleted.
    pub sweep_interval: Duration,
    /// How long running commands may take to end at shutdown.
    pub drain: Duration,
}

impl Config {
    /// The defaults for a data directory and one place to listen.
    pub fn new(path: impl Into<PathBuf>, listen: Listen) -> Self {
        let path = path.into();
        Self {
            store: StoreOptions::new(path.clone()),
            path,
            listen: vec![listen],
            user: None,
            replica_set: None,
            max_connections: 1000,
            max_cursors: 10_000,
            cursor_timeout: Duration::from_secs(600),
            max_stage_memory_bytes: 100 << 20,
            max_spill_bytes: 10 << 30,
            sweep_interval: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }

    /// Checks the whole configuration.
    pub fn check(&self) -> Result<()> {
        if self.listen.is_empty() {
            return refuse("there is nothing to listen on");
        }
        for listen in &self.listen {
            match listen {
                Listen::Unix(path) => {
                    if path.extension().is_none_or(|extension| extension != "sock") {
                        return refuse("the name of a unix socket must end in .sock");
                    }
                    // The operating system's limit, less the terminating NUL.
                    if path.as_os_str().len() > 107 {
                        return refuse("the path of the unix socket is longer than 107 bytes");
                    }
                }
                Listen::Tcp(address) => {
                    if !address.ip().is_loopback() && self.user.is_none() {
                        return refuse("listening beyond loopback needs a user and a password");
                    }
                }
            }
        }
        if self
            .user
            .as_ref()
            .is_some_and(|(name, password)| name.is_empty() || password.is_empty())
        {
            return refuse("neither the user's name nor the password may be empty");
        }
        Ok(())
    }
}
