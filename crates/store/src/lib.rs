//! The connection to the database: one client for the process, its health, declared indexes, and
//! the commands that plugins send through it.
//!
//! Only this module and the managers' `repository.rs` use the mongodb crate. The gateway starts
//! without a reachable database: [`Store::open`] does no I/O that must succeed, a task watches the
//! server, and what was declared is created as soon as it answers, and again after an outage.

mod access;
mod answers;
mod checked;
mod commands;
mod cursors;
mod error;
mod health;
mod indexes;
mod migrate;
mod names;
mod policy;
mod query;
mod reach;
mod retry;
mod scope;
mod sessions;
mod sizes;

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use mongodb::{
    Client, Database,
    bson::{Document, RawDocumentBuf},
    options::{Acknowledgment, ClientOptions, ServerAddress, WriteConcern},
};
use tokio::sync::{Notify, Semaphore, watch};

pub use access::{CollectionRule, DatabaseAccess, Full};
pub use commands::CommandCaller;
pub use error::{StoreError, StoreErrorKind};
pub use health::Health;
pub use indexes::{CollectionSpec, IndexSpec};
pub use migrate::{FieldType, Moved};

/// How to reach the database.
#[derive(Clone)]
pub struct StoreConfig {
    /// MongoDB URI.
    pub uri: String,
    /// Database name where the URI names none.
    pub database: String,
    /// Database of the gateway's own data, else the plugins' with `_control`.
    /// `MOZAIKS_CONTROL_DATABASE`
    pub control_database: Option<String>,
    /// What earlier versions kept among the plugins' data.
    pub moved: Vec<Moved>,
    /// Whether each app has a database of its own (`MOZAIKS_APP_ID=*`).
    pub database_per_app: bool,
    /// Connections where the URI says nothing. `MOZAIKS_DATABASE_POOL_SIZE`
    pub pool_size: usize,
    /// How long to look for a server that can take a command.
    /// `MOZAIKS_DATABASE_SELECTION_TIMEOUT_SECONDS`
    pub server_selection_timeout: Duration,
    /// How long connecting may take. `MOZAIKS_DATABASE_CONNECT_TIMEOUT_SECONDS`
    pub connect_timeout: Duration,
    /// How long one command may take all in all. `MOZAIKS_DATABASE_COMMAND_TIMEOUT_SECONDS`
    pub command_timeout: Duration,
    /// Time between two looks at the server while it answers.
    pub ping_every: Duration,
    /// How long one look may take; two in a row that take longer mean that the server is down.
    pub ping_timeout: Duration,
    /// Time between two looks at the server while it does not.
    pub ping_every_while_down: Duration,
    /// Open cursors of one plugin. `MOZAIKS_DATABASE_MAX_CURSORS`
    pub max_cursors_per_plugin: usize,
    /// Open change streams of one plugin. `MOZAIKS_DATABASE_MAX_WATCHES`
    pub max_watches_per_plugin: usize,
    /// Open sessions of one plugin. `MOZAIKS_DATABASE_MAX_SESSIONS`
    pub max_sessions_per_plugin: usize,
    /// How long a cursor or a session may lie unused. `MOZAIKS_DATABASE_IDLE_SECONDS`
    pub idle_timeout: Duration,
}

impl StoreConfig {
    /// The defaults for a URI.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            database: "mozaiks".into(),
            control_database: None,
            moved: Vec::new(),
            database_per_app: false,
            pool_size: 64,
            server_selection_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(60),
            ping_every: Duration::from_secs(2),
            ping_timeout: Duration::from_secs(2),
            ping_every_while_down: Duration::from_secs(1),
            max_cursors_per_plugin: 1000,
            max_watches_per_plugin: 32,
            max_sessions_per_plugin: 100,
            idle_timeout: Duration::from_secs(600),
        }
    }
}

/// The database. Shared by all managers; cheap to use from many tasks.
pub struct Store {
    config: StoreConfig,
    /// The plugins' database, and what the names of apps' begin with.
    database: String,
    /// The gateway's own.
    control: String,
    /// Documents of the gateway that could not be read.
    malformed: AtomicU64,
    // Empty while a `mongodb+srv` name could not be resolved yet.
    client: OnceLock<Client>,
    write_concern: OnceLock<Option<WriteConcern>>,
    /// Where the servers are; empty as long as the client is.
    servers: OnceLock<Vec<ServerAddress>>,
    declared: Vec<CollectionSpec>,
    health: watch::Sender<Health>,
    /// Told when a command failed: the watching task looks at once.
    doubt: Arc<Notify>,
    cursors: cursors::Cursors,
    sessions: sessions::Sessions,
    /// Change streams that wait for a batch at the same time hold a connection each: half of them
    /// at most.
    waiting: Semaphore,
    numbered: retry::NumberedSessions,
    /// Whether the server is a replica set or a sharded cluster.
    replicated: AtomicBool,
}

impl Store {
    /// Checks the URI and starts watching the server. Must be called within a tokio runtime; the
    /// watching ends when the last handle is dropped.
    ///
    /// # Errors
    /// [`StoreErrorKind::Invalid`] where the URI is none. A server that does not answer is no error.
    pub async fn open(
        config: StoreConfig,
        declared: Vec<CollectionSpec>,
    ) -> Result<Arc<Self>, StoreError> {
        let database =
            names::database_of_uri(&config.uri).unwrap_or_else(|| config.database.clone());
        let control = names::control_database(
            &database,
            config.control_database.as_deref(),
            config.database_per_app,
        )?;
        let store = Arc::new(Self {
            database,
            control,
            malformed: AtomicU64::new(0),
            client: OnceLock::new(),
            write_concern: OnceLock::new(),
            servers: OnceLock::new(),
            declared,
            health: watch::Sender::new(Health::Starting),
            doubt: Arc::default(),
            cursors: cursors::Cursors::new(
                config.max_cursors_per_plugin,
                config.max_watches_per_plugin,
                config.idle_timeout,
            ),
            sessions: sessions::Sessions::new(config.max_sessions_per_plugin, config.idle_timeout),
            waiting: Semaphore::new((config.pool_size / 2).max(1)),
            numbered: retry::NumberedSessions::default(),
            replicated: AtomicBool::new(false),
            config,
        });
        match store.create_client().await {
            Ok(()) => {}
            Err(error) if error.kind == StoreErrorKind::Unavailable => {
                tracing::warn!(error = %error, "the database's name cannot be resolved yet");
            }
            Err(error) => return Err(error),
        }
        tokio::spawn(health::watch(Arc::downgrade(&store)));
        Ok(store)
    }

    /// The database of the gateway's own collections.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] at once while the server is known not to answer: callers do
    /// not wait for what was just tried in vain.
    pub fn own_database(&self) -> Result<Database, StoreError> {
        self.check_not_down()?;
        if !self.config.moved.is_empty() && *self.health.borrow() == Health::Starting {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "the gateway's own data is not in its place yet",
            ));
        }
        Ok(self.client()?.database(&self.control))
    }

    /// Whether changes can be followed as they happen: on replica sets and sharded clusters. The
    /// embedded store tells of them too, but writes a log for all its documents as long as somebody
    /// listens.
    pub fn has_change_streams(&self) -> bool {
        self.replicated.load(Ordering::Acquire)
    }

    /// Takes note of a document of the gateway's that cannot be read; whoever reads goes on without.
    pub fn skip_malformed(&self, collection: &str, error: impl std::fmt::Display) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(collection, error = %error, "a stored document cannot be read; it is left out");
    }

    /// How many documents could not be read.
    pub fn malformed_documents(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// The database of an app's plugins.
    ///
    /// # Errors
    /// As [`Self::own_database`] and [`Self::database_name`].
    pub fn database(&self, app_id: &str) -> Result<Database, StoreError> {
        self.check_not_down()?;
        Ok(self.client()?.database(&self.database_name(app_id)?))
    }

    /// The name of [`Self::database`].
    ///
    /// # Errors
    /// [`StoreErrorKind::Invalid`] for an app whose database is another's.
    pub fn database_name(&self, app_id: &str) -> Result<String, StoreError> {
        if self.config.database_per_app {
            names::database_of_app(&self.database, &self.control, app_id)
        } else {
            Ok(self.database.clone())
        }
    }

    /// How the database is doing now.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Follows how the database is doing.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Takes note of a command that failed: where the server may be gone, it is looked at right away.
    pub fn failed(&self, error: impl Into<StoreError>) -> StoreError {
        let error = error.into();
        if error.kind == StoreErrorKind::Unavailable {
            self.doubt.notify_one();
        }
        error
    }

    fn check_not_down(&self) -> Result<(), StoreError> {
        match &*self.health.borrow() {
            Health::Down(reason) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("the database does not answer: {reason}"),
            )),
            Health::Starting | Health::Up => Ok(()),
        }
    }

    fn client(&self) -> Result<&Client, StoreError> {
        self.client.get().ok_or_else(|| {
            StoreError::new(
                StoreErrorKind::Unavailable,
                "the database's host name cannot be resolved",
            )
        })
    }

    async fn create_client(&self) -> Result<(), StoreError> {
        if self.client.get().is_some() {
            return Ok(());
        }
        let mut options = ClientOptions::parse(&self.config.uri).await?;
        options
            .app_name
            .get_or_insert_with(|| "mozaiks-gateway".into());
        let pool_size = u32::try_from(self.config.pool_size).unwrap_or(u32::MAX);
        options.max_pool_size.get_or_insert(pool_size);
        (options.server_selection_timeout).get_or_insert(self.config.server_selection_timeout);
        options
            .connect_timeout
            .get_or_insert(self.config.connect_timeout);
        options.retry_reads.get_or_insert(true);
        options.retry_writes.get_or_insert(true);
        let write_concern = options.write_concern.get_or_insert_with(|| {
            let mut majority = WriteConcern::default();
            majority.w = Some(Acknowledgment::Majority);
            majority
        });
        if write_concern.w.is_none() {
            write_concern.w = Some(Acknowledgment::Majority);
        }
        let write_concern = write_concern.clone();
        let servers = options.hosts.clone();
        let client = Client::with_options(options)?;
        // Losing a race leaves the other's client, which is the same.
        let _ = self.client.set(client);
        let _ = self.servers.set(servers);
        let _ = self.write_concern.set(Some(write_concern));
        Ok(())
    }

    /// The read concern that commands get which bring none: the URI's.
    fn read_concern(&self) -> Option<RawDocumentBuf> {
        let concern = self.client.get()?.read_concern()?;
        mongodb::bson::serialize_to_raw_document_buf(concern).ok()
    }

    /// The write concern that commands get which bring none.
    fn write_concern(&self) -> Option<Document> {
        let concern = self.write_concern.get()?.as_ref()?;
        mongodb::bson::serialize_to_document(concern).ok()
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("database", &self.database)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
