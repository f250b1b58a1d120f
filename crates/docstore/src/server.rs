//! The server: listeners, connections, background work, and an ordered end.
//!
//! A connection at work has a thread that blocks on its socket and runs the commands itself: a read
//! needs no hand-over between threads, and no runtime thread is ever blocked. One that waits for its
//! client has none. The number of connections is bounded.

pub mod config;
pub mod connection;
mod connections;
pub mod listener;
pub mod maintenance;
mod memory;
mod stream;
pub mod workers;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};

pub use config::{Config, Listen};

use crate::{
    bail,
    commands::{
        auth::Credentials,
        service::{Service, ServiceConfig},
    },
    error::{Code, CommandError, Result},
    storage::{Store, StoreOptions},
};
use connections::Connections;
use listener::Bound;

/// A running server. [`Server::shutdown`] ends it in order; a drop without it ends it at once, and
/// nothing that was acknowledged is lost then either.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    connections: Arc<Connections>,
    bound: Vec<Bound>,
    user: Option<String>,
    accepting: Vec<JoinHandle<()>>,
    /// Set to true at the end: accept loops and background work stop.
    stop: watch::Sender<bool>,
    maintenance: Option<std::thread::JoinHandle<()>>,
    drain: Duration,
}

impl Server {
    /// Opens the data directory and listens. Returns when clients can connect.
    pub async fn start(config: Config) -> Result<Self> {
        config.check()?;
        let options = StoreOptions {
            path: config.path.clone(),
            // A member of a replica set has a log of all changes.
            log_all_changes: config.store.log_all_changes || config.replica_set.is_some(),
            ..config.store.clone()
        };
        let store = tokio::task::spawn_blocking(move || open_store(options))
            .await
            .map_err(|error| CommandError::new(Code::InternalError, error.to_string()))??;
        let user = match &config.user {
            Some((name, password)) => Some(Credentials::new(name, password)?),
            None => None,
        };
        let service = Arc::new(Service::new(
            store,
            ServiceConfig {
                user,
                replica_set: config.replica_set.clone(),
                max_cursors: config.max_cursors,
                cursor_timeout: config.cursor_timeout,
                max_stage_memory_bytes: config.max_stage_memory_bytes,
                max_spill_bytes: config.max_spill_bytes,
            },
        ));
        let connections = Arc::new(Connections::new(config.max_connections));
        let (stop, stopped) = watch::channel(false);
        let mut bound = Vec::new();
        let mut accepting = Vec::new();
        for listen in &config.listen {
            let (address, socket) = listener::bind(listen).await?;
            accepting.push(tokio::spawn(listener::accept(
                socket,
                Arc::clone(&service),
                Arc::clone(&connections),
                stopped.clone(),
            )));
            bound.push(address);
        }
        let maintenance = maintenance::start(
            Arc::clone(&service),
            Arc::clone(&connections),
            config.sweep_interval,
        )?;
        Ok(Self {
            service,
            connections,
            bound,
            user: config.user.map(|(name, _)| name),
            accepting,
            stop,
            maintenance: Some(maintenance),
            drain: config.drain,
        })
    }

    /// How a driver connects: a `mongodb://` URI of the first listener, without a password.
    pub fn uri(&self) -> String {
        let host = match self.bound.first() {
            Some(Bound::Unix(path)) => percent_encode(&path.to_string_lossy()),
            Some(Bound::Tcp(address)) => address.to_string(),
            None => String::new(),
        };
        match &self.user {
            Some(user) => format!(
                "mongodb://{}@{host}/?directConnection=true&authSource=admin",
                percent_encode(user)
            ),
            None => format!("mongodb://{host}/?directConnection=true"),
        }
    }

    /// The first TCP address that the server listens on.
    pub fn local_addr(&self) -> Option<std::net::SocketAddr> {
        self.bound.iter().find_map(|bound| match bound {
            Bound::Tcp(address) => Some(*address),
            Bound::Unix(_) => None,
        })
    }

    /// Everything that the server listens on, for a log line.
    pub fn addresses(&self) -> Vec<String> {
        self.bound
            .iter()
            .map(|bound| match bound {
                Bound::Unix(path) => path.display().to_string(),
                Bound::Tcp(address) => address.to_string(),
            })
            .collect()
    }

    /// The store behind the server.
    pub fn store(&self) -> &Arc<Store> {
        &self.service.store
    }

    /// Ends in order: no new connections, running commands finish (waiting ones are ended), then
    /// the log is moved into the data file and the directory is let go of.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        for task in self.accepting.drain(..) {
            if let Err(error) = task.await {
                tracing::warn!(error = %error, "an accept loop ended badly");
            }
        }
        let (service, connections, drain) = (
            Arc::clone(&self.service),
            Arc::clone(&self.connections),
            self.drain,
        );
        let maintenance = self.maintenance.take();
        let ended = tokio::task::spawn_blocking(move || {
            end(&service, &connections, maintenance, drain);
        })
        .await;
        if let Err(error) = ended {
            tracing::error!(error = %error, "the server did not end in order");
        }
    }
}

fn open_store(options: StoreOptions) -> Result<Arc<Store>> {
    let store = Store::open(options)?;
    if store.options.log_all_changes
        && let Err(error) = store.start_changes()
    {
        // As on a full disk: what is there can be read all the same.
        tracing::error!(error = %error, "changes are not logged yet");
    }
    Ok(store)
}

fn end(
    service: &Service,
    connections: &Connections,
    maintenance: Option<std::thread::JoinHandle<()>>,
    drain: Duration,
) {
    connections.close_idle();
    let until = Instant::now() + drain;
    if !connections.wait_until_none(until.min(Instant::now() + drain / 2)) {
        // Long reads and waiting streams are told to end.
        service.stop();
        connections.close_all();
        if !connections.wait_until_none(until) {
            tracing::warn!("some commands did not end in time");
        }
    }
    service.stop();
    if let Some(thread) = maintenance {
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the maintenance thread had panicked");
        }
    }
    service.store.close();
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.service.stop();
        self.connections.close_all();
        if let Some(thread) = self.maintenance.take() {
            thread.thread().unpark();
        }
        for bound in &self.bound {
            if let Bound::Unix(path) = bound
                && let Err(error) = std::fs::remove_file(path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), error = %error, "the socket could not be removed");
            }
        }
    }
}

/// Everything but letters, digits and `-._~` as `%XX`.
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Refuses a configuration.
fn refuse<T>(message: &str) -> Result<T> {
    bail!(InvalidOptions, "{message}")
}
