//! Accept loop with its time limits, ordered drain.
//!
//! Knows connections, not routes: what a request means is [`crate::http`]'s. HTTP/1.1 and HTTP/2
//! with prior knowledge share the port.

mod clock;
mod connection;
mod descriptors;
mod guarded_io;
pub mod shutdown;
pub mod tls;
mod transport;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, watch},
    task::JoinHandle,
};

use self::shutdown::Hangups;
use crate::http::Gateway;
use mozaiks_config::ServerConfig;
use mozaiks_telemetry::metrics::Metrics;

/// The smallest buffer hyper works with.
const LEAST_HEAD_BYTES: usize = 8 * 1024;
/// Connections that the kernel holds for us while we accept others: when many clients come back at
/// once, one that finds no place there tries again only after a second. The kernel's own limit
/// (`net.core.somaxconn`) applies too.
const BACKLOG: u32 = 4096;
/// How long an HTTP/2 connection may take to answer a ping.
const HTTP2_PONG: Duration = Duration::from_secs(10);
/// First and longest pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A port that is bound and not served yet.
pub struct Server {
    listener: TcpListener,
    config: ServerConfig,
    tls: Option<tls::Tls>,
}

/// A server at work. Dropping it does not stop it; [`RunningServer::drain`] does.
pub struct RunningServer {
    accepting: JoinHandle<()>,
    /// Looks at the files of the certificate, where there is one.
    following: Option<JoinHandle<()>>,
    /// Turns true when connections should end. Each holds a receiver, so that `closed` says when the
    /// last one has.
    drain: watch::Sender<bool>,
}

impl Server {
    /// Binds the configured address.
    ///
    /// # Errors
    /// A certificate that cannot be used, and those of the system: taken, not ours, not allowed.
    pub async fn bind(config: &ServerConfig) -> io::Result<Self> {
        let tls = tls::Tls::load(&config.tls).map_err(io::Error::other)?;
        let listener = listen(config.listen)?;
        let mut config = config.clone();
        config.max_connections = descriptors::connections_that_fit(config.max_connections);
        Ok(Self {
            listener,
            config,
            tls,
        })
    }

    /// The address, with the port that was picked where 0 was asked for.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Starts accepting. `hangups` ask for a look at the certificate, where there is one.
    pub fn start(self, gateway: Gateway, metrics: Arc<Metrics>, hangups: Hangups) -> RunningServer {
        let following = self.tls.as_ref().map(|tls| {
            let certificates = Arc::clone(tls.certificates());
            tokio::spawn(tls::follow(certificates, hangups, Arc::clone(&metrics)))
        });
        let shared = Arc::new(connection::Shared {
            protocol: protocol(&self.config),
            gateway,
            config: self.config,
            metrics,
            tls: self.tls,
        });
        let (drain, draining) = watch::channel(false);
        RunningServer {
            accepting: tokio::spawn(accept_forever(self.listener, shared, draining)),
            following,
            drain,
        }
    }
}

impl RunningServer {
    /// Takes no new connections, closes the idle ones, and returns when the last answer is out. The
    /// caller keeps the deadline.
    pub async fn drain(self) {
        self.accepting.abort();
        if let Some(following) = &self.following {
            following.abort();
        }
        // The listener is closed when the task is gone.
        let _ = self.accepting.await;
        self.drain.send_replace(true);
        self.drain.closed().await;
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A server that was just stopped does not keep its address from the next.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn protocol(config: &ServerConfig) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        // `guarded_io` keeps the time.
        .header_read_timeout(None)
        .max_headers(config.max_headers)
        .max_buf_size(config.max_head_bytes.max(LEAST_HEAD_BYTES));
    let header_list_bytes = u32::try_from(config.max_head_bytes).unwrap_or(u32::MAX);
    let streams = u32::try_from(config.http2_max_streams).unwrap_or(u32::MAX);
    // hyper's own limits against floods of resets stay as they are.
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(header_list_bytes)
        .keep_alive_interval(config.http2_ping_interval)
        .keep_alive_timeout(HTTP2_PONG);
    protocol
}

async fn accept_forever(
    listener: TcpListener,
    shared: Arc<connection::Shared>,
    draining: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(shared.config.max_connections));
    let mut pause = ACCEPT_PAUSE.0;
    loop {
        // Without a free slot new connections wait in the kernel's backlog.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if concerns_one_connection(&error) => continue,
            Err(error) => {
                shared.metrics.accept_errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(error = %error, pause_ms = pause.as_millis() as u64, "accept failed");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
                continue;
            }
        };
        pause = ACCEPT_PAUSE.0;
        // Answers are small and complete: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let metrics = Arc::clone(&shared.metrics);
        metrics.connections_accepted.fetch_add(1, Ordering::Relaxed);
        let open = OpenConnection::count(metrics);
        let (shared, mut draining) = (Arc::clone(&shared), draining.clone());
        tokio::spawn(async move {
            let peer = peer.ip();
            let begun = connection::begin(&shared, stream, peer, &mut draining).await;
            let Some(transport) = begun else {
                return;
            };
            let serving = connection::serve(shared, transport, peer, draining);
            if let Some(upgraded) = serving.await {
                tokio::spawn(async move {
                    upgraded.await;
                    drop(open);
                    drop(slot);
                });
            }
        });
    }
}

/// The client went away between its connect and our accept: nothing is wrong here.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// Keeps the gauge of open connections, also when serving one panics.
struct OpenConnection {
    metrics: Arc<Metrics>,
}

impl OpenConnection {
    fn count(metrics: Arc<Metrics>) -> Self {
        Self::gauge(&metrics).fetch_add(1, Ordering::Relaxed);
        Self { metrics }
    }

    fn gauge(metrics: &Metrics) -> &AtomicU64 {
        &metrics.connections_open
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        Self::gauge(&self.metrics).fetch_sub(1, Ordering::Relaxed);
    }
}
