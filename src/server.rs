//! Accept loop with its time limits, ordered drain.
//!
//! Knows connections, not routes: what a request means is [`crate::http`]'s. HTTP/1.1 and HTTP/2
//! with prior knowledge share the port.

mod clock;
mod connection;
mod guarded_io;
pub mod shutdown;

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
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};

use crate::{config::ServerConfig, http::Gateway, telemetry::metrics::Metrics};

/// The smallest buffer hyper works with.
const LEAST_HEAD_BYTES: usize = 8 * 1024;
/// Requests at the same time on one HTTP/2 connection.
const HTTP2_STREAMS: u32 = 256;
/// How often an HTTP/2 connection is asked whether it still lives.
const HTTP2_PING: Duration = Duration::from_secs(25);
/// How long it may take to answer that.
const HTTP2_PONG: Duration = Duration::from_secs(10);
/// First and longest pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A port that is bound and not served yet.
pub struct Server {
    listener: TcpListener,
    config: ServerConfig,
}

/// A server at work. Dropping it does not stop it; [`RunningServer::drain`] does.
pub struct RunningServer {
    accepting: JoinHandle<()>,
    /// Turns true when connections should end. Each holds a receiver, so that `closed` says when the
    /// last one has.
    drain: watch::Sender<bool>,
}

impl Server {
    /// Binds the configured address.
    ///
    /// # Errors
    /// Those of the system: taken, not ours, not allowed.
    pub async fn bind(config: &ServerConfig) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(config.listen).await?,
            config: config.clone(),
        })
    }

    /// The address, with the port that was picked where 0 was asked for.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Starts accepting.
    pub fn start(self, gateway: Gateway, metrics: Arc<Metrics>) -> RunningServer {
        let shared = Arc::new(connection::Shared {
            protocol: protocol(&self.config),
            gateway,
            config: self.config,
            metrics,
        });
        let (drain, draining) = watch::channel(false);
        RunningServer {
            accepting: tokio::spawn(accept_forever(self.listener, shared, draining)),
            drain,
        }
    }
}

impl RunningServer {
    /// Takes no new connections, closes the idle ones, and returns when the last answer is out. The
    /// caller keeps the deadline.
    pub async fn drain(self) {
        self.accepting.abort();
        // The listener is closed when the task is gone.
        let _ = self.accepting.await;
        self.drain.send_replace(true);
        self.drain.closed().await;
    }
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
    // hyper's own limits against floods of resets stay as they are.
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(header_list_bytes)
        .keep_alive_interval(HTTP2_PING)
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
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
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
        let serving = connection::serve(Arc::clone(&shared), stream, draining.clone());
        tokio::spawn(async move {
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
