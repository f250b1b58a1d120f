//! Log lines and counters: how the gateway is watched.
//!
//! A leaf. Lines of the code go through `tracing`; the one line a request is formatted by hand
//! ([`access`]), because it is written for every call. Both end in one bounded buffer that a thread
//! of its own writes to stderr ([`writer`]): nobody waits for a slow terminal, lines that find no
//! room are counted. Tokens, bodies and query strings are never given to this module.

pub mod access;
pub mod event;
pub mod metrics;
pub mod plugin_logs;
pub mod writer;

use std::sync::Arc;

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use event::{JsonLines, TextFields};
use mozaiks_config::{LogConfig, LogFormat};
use plugin_logs::{KeepPluginLines, PluginLogs};
use writer::{LogWriter, TextLines};

/// The running log: keep it to flush at the end.
#[derive(Clone)]
pub struct Telemetry {
    /// The buffer behind all lines.
    pub writer: LogWriter,
    /// How lines look.
    pub format: LogFormat,
    /// The latest lines of each plugin.
    pub plugin_logs: Arc<PluginLogs>,
}

impl Telemetry {
    /// Starts logging to stderr, once in a process.
    ///
    /// # Errors
    /// A sentence where the filter is not one, or logging has been started before.
    pub fn start(config: &LogConfig) -> Result<Self, String> {
        let filter = EnvFilter::try_new(&config.filter).map_err(|error| {
            format!("MOZAIKS_LOG: `{}` is no log filter: {error}", config.filter)
        })?;
        let writer = LogWriter::start(config.queue_bytes, std::io::stderr())
            .map_err(|error| format!("cannot start the log writer: {error}"))?;
        let plugin_logs = PluginLogs::new(config);
        let registry = tracing_subscriber::registry()
            .with(filter)
            .with(KeepPluginLines(Arc::clone(&plugin_logs)));
        let lines = tracing_subscriber::fmt::layer();
        match config.format {
            LogFormat::Json => {
                let lines = lines.with_writer(writer.clone());
                registry.with(lines.event_format(JsonLines)).try_init()
            }
            LogFormat::Pretty => {
                let lines = lines.with_writer(TextLines(writer.clone()));
                registry.with(lines.fmt_fields(TextFields)).try_init()
            }
        }
        .map_err(|error| format!("logging has been started before: {error}"))?;
        log_panics();
        Ok(Self {
            writer,
            format: config.format,
            plugin_logs,
        })
    }

    /// Waits until every line so far is written, at most a second.
    pub fn flush(&self) {
        self.writer.flush();
    }

    /// The writer of request lines.
    pub fn access_log(&self) -> Arc<access::AccessLog> {
        Arc::new(access::AccessLog::new(self.writer.clone(), self.format))
    }
}

/// A panic is a log line like any other, with the place it came from.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let place = panic.location().map(ToString::to_string);
        tracing::error!(
            panic.message = message.unwrap_or("no message"),
            panic.place = place.as_deref(),
            thread = std::thread::current().name(),
            "the gateway panicked"
        );
    }));
}
