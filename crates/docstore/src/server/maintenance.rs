//! Work that comes round now and then: expired documents and cursors, the log, overlong
//! transactions.

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{connections::Connections, memory};
use crate::{
    commands::service::Service,
    error::{Code, CommandError, Result},
};

/// How often the short tasks run.
const TICK: Duration = Duration::from_millis(500);
/// How often unused connections to the file are closed.
const SHRINK_INTERVAL: Duration = Duration::from_secs(2);
/// A log of more pages (of 4 KiB) is moved into the data file.
const CHECKPOINT_LOG_PAGES: u64 = 1024;

/// Starts the thread; it ends when the service stops.
pub fn start(
    service: Arc<Service>,
    connections: Arc<Connections>,
    sweep_interval: Duration,
) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("docstore-maintenance".to_owned())
        .spawn(move || run(&service, &connections, sweep_interval))
        .map_err(|error| CommandError::new(Code::InternalError, error.to_string()))
}

fn run(service: &Service, connections: &Connections, sweep_interval: Duration) {
    let mut swept = Instant::now();
    let mut shrunk = Instant::now();
    let mut threads_ended = 0;
    while !service.is_stopping() {
        std::thread::park_timeout(TICK.min(sweep_interval));
        if service.is_stopping() {
            return;
        }
        service.store.expire_transactions();
        service.cursors.expire();
        if shrunk.elapsed() >= SHRINK_INTERVAL {
            shrunk = Instant::now();
            let shrank = service.store.shrink();
            let ended = connections.threads_ended();
            if shrank || ended != threads_ended {
                threads_ended = ended;
                memory::give_back();
            }
        }
        log_failure("flush of the log", service.store.flush_log());
        if service.store.log_pages() > CHECKPOINT_LOG_PAGES {
            log_failure("checkpoint", service.store.checkpoint());
        }
        if swept.elapsed() >= sweep_interval {
            swept = Instant::now();
            log_failure(
                "expiry of documents",
                service.store.expire_documents().map(|_| ()),
            );
            log_failure("trimming of old answers", service.store.trim_results());
            log_failure("trimming of the change log", service.store.trim_changes());
        }
    }
}

fn log_failure(what: &str, result: Result<()>) {
    if let Err(error) = result {
        tracing::warn!(task = what, error = %error, "maintenance failed");
    }
}
