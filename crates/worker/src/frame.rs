//! What travels between the gateway and a worker: frames of a length and a value in postcard's form.
//!
//! The worker is not trusted: what it sends names its own calls, loads and functions by number, and the
//! gateway looks each up in its own tables.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use mozaiks_auth::{Principal, VerifiedContacts};
use mozaiks_config::PluginsConfig;
use mozaiks_plugins::{
    CallError, CallReply, Generation, HostError, Input, LoadError, LoadedPlugin, PluginSource,
    Target, Wants, findings::FindingKind,
};
use serde::{Deserialize, Serialize};

use crate::confine::{Confinement, Enforced};

/// Bytes of a frame before its value.
const HEAD: usize = 4;
/// Longest frame that is written: a body of the largest size that can be configured fits.
pub(crate) const MAX_FRAME_BYTES: usize = 1200 << 20;

/// To a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// First of all: what the interpreter needs to start.
    Prepare(Box<Preparation>),
    /// Second: what the worker may do from here on. Nothing of a plugin has run before.
    Assign(Box<Confinement>),
    /// Import a plugin.
    Load { request: u64, source: PluginSource },
    /// Forget a load.
    Unload(Generation),
    /// Run a call.
    Call(Box<WireCall>),
    /// Cancel a call.
    Cancel(u64),
    /// The gateway's answer to an [`Ask`].
    Answer {
        request: u64,
        result: Result<Bytes, WireError>,
    },
    /// Take back what has not begun, and say which calls these are: you are about to be ended.
    Withdraw,
    /// Say that you live.
    Ping(u64),
}

/// To the gateway.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToGateway {
    /// The interpreter stands.
    Prepared(Result<(), String>),
    /// The limits are applied and plugins can be loaded.
    Ready(Result<Vec<Enforced>, String>),
    /// An import has ended.
    Loaded {
        request: u64,
        result: Result<LoadedPlugin, LoadError>,
    },
    /// A call has ended.
    Done {
        call: u64,
        result: Result<CallReply, CallError>,
    },
    /// Calls that have begun and not ended, with the microseconds since.
    Begun(Vec<(u64, u64)>),
    /// Calls that have not begun and never will.
    Withdrawn(Vec<u64>),
    /// Calls of which nothing runs any more, neither here nor in the background.
    Forget(Vec<u64>),
    /// Plugin code asks for something.
    Ask(Ask),
    /// Plugin code registers a function.
    Register {
        request: u64,
        asker: Asker,
        kind: String,
        spec: Bytes,
        handler: u64,
    },
    /// Ends a registration.
    Unregister(u64),
    /// A line of the worker's log.
    Log(LogLine),
    /// Something was noticed about code of a load.
    Found {
        generation: Generation,
        kind: FindingKind,
        sentence: String,
    },
    /// It lives.
    Pong(Health),
}

/// What the interpreter of a worker needs to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Preparation {
    pub python: Option<std::path::PathBuf>,
    pub sdk_path: Option<std::path::PathBuf>,
    /// In milliseconds, as below.
    pub import_timeout: u64,
    pub call_timeout: u64,
    pub hold_warning: u64,
    pub queue_size: u64,
    pub threads: [u64; 5],
    pub max_requests: u64,
    pub max_output_bytes: u64,
    pub max_depth: u64,
    /// The gateway's process: a worker whose parent is another has lost it.
    pub parent: u32,
    /// Filter of log lines.
    pub log_filter: String,
    /// What the database needs is imported ahead.
    pub database: bool,
}

impl Preparation {
    pub(crate) fn new(config: &PluginsConfig, log_filter: &str) -> Self {
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            python: config.python.clone(),
            sdk_path: config.sdk_path.clone(),
            import_timeout: ms(config.import_timeout),
            call_timeout: ms(config.call_timeout),
            hold_warning: ms(config.hold_warning),
            queue_size: config.queue_size as u64,
            threads: [
                config.thread_pool_size,
                config.threads_per_plugin,
                config.executor_threads,
                config.executor_threads_per_plugin,
                config.resolver_threads,
            ]
            .map(|count| count as u64),
            max_requests: config.max_requests as u64,
            max_output_bytes: config.max_output_bytes as u64,
            max_depth: config.max_depth as u64,
            parent: std::process::id(),
            log_filter: log_filter.to_owned(),
            database: false,
        }
    }

    /// The configuration of the worker's runtime.
    pub(crate) fn plugins(&self) -> PluginsConfig {
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let time = std::time::Duration::from_millis;
        let [plain, plain_share, executor, executor_share, resolver] = self.threads.map(count);
        PluginsConfig {
            python: self.python.clone(),
            sdk_path: self.sdk_path.clone(),
            import_timeout: time(self.import_timeout),
            call_timeout: time(self.call_timeout),
            hold_warning: time(self.hold_warning),
            queue_size: count(self.queue_size),
            thread_pool_size: plain,
            threads_per_plugin: plain_share,
            executor_threads: executor,
            executor_threads_per_plugin: executor_share,
            resolver_threads: resolver,
            max_requests: count(self.max_requests),
            max_output_bytes: count(self.max_output_bytes),
            max_depth: count(self.max_depth),
            ..PluginsConfig::default()
        }
    }
}

/// A call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireCall {
    pub id: u64,
    pub target: Target,
    pub input: Input,
    pub wants: Wants,
    pub principal: Option<WirePrincipal>,
    pub app_id: Option<Arc<str>>,
    pub request_id: Arc<str>,
    pub timeout_ms: u64,
}

/// What plugin code sees of whom it works for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WirePrincipal {
    app_id: Arc<str>,
    user_id: Arc<str>,
    username: Option<Arc<str>>,
    roles: Vec<Arc<str>>,
    is_superadmin: bool,
    expires_at_unix: u64,
}

impl From<&Principal> for WirePrincipal {
    fn from(principal: &Principal) -> Self {
        Self {
            app_id: principal.app_id.clone(),
            user_id: principal.user_id.clone(),
            username: principal.username.clone(),
            roles: principal.roles.clone(),
            is_superadmin: principal.is_superadmin,
            expires_at_unix: principal.expires_at_unix,
        }
    }
}

impl From<WirePrincipal> for Principal {
    fn from(wire: WirePrincipal) -> Self {
        Self {
            app_id: wire.app_id,
            user_id: wire.user_id,
            username: wire.username,
            roles: wire.roles,
            is_superadmin: wire.is_superadmin,
            expires_at_unix: wire.expires_at_unix,
            // Addresses stay with the gateway.
            verified: VerifiedContacts::default(),
        }
    }
}

/// For which of its own calls and loads plugin code asks; the gateway knows whose these are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Asker {
    pub generation: Generation,
    /// A call of the gateway's; `None` in an import and in what one started.
    pub call: Option<u64>,
}

/// What plugin code asks of the gateway.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub request: u64,
    pub asker: Asker,
    pub way: Way,
    /// The operation, or the event.
    pub what: String,
    pub payload: Bytes,
}

/// Which function of the host is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    Request,
    Query,
    Publish,
}

/// A refusal of the host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireError {
    pub code: String,
    pub message: String,
    pub details: Option<Bytes>,
}

impl From<HostError> for WireError {
    fn from(error: HostError) -> Self {
        Self {
            code: error.code.to_owned(),
            message: error.message,
            details: error.details,
        }
    }
}

/// A line of a worker's log.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct LogLine {
    /// 1 error to 5 trace.
    pub level: u8,
    /// Said by a plugin.
    pub plugin: Option<String>,
    pub request_id: Option<String>,
    pub app_id: Option<String>,
    pub logger: Option<String>,
    pub message: String,
    /// A JSON object of what else there is to say.
    pub fields: Option<String>,
}

/// How a worker is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    pub ping: u64,
    /// How long its event loop has not turned, in milliseconds.
    pub loop_lag_ms: u64,
    pub queued: u64,
    pub running: u64,
    /// Lines of its log that found no room.
    pub lines_lost: u64,
}

/// A frame that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("a frame that makes no sense: {0}")]
pub(crate) struct BadFrame(String);

/// Appends a frame.
///
/// # Errors
/// For a path that is no UTF-8, and a frame that is too large.
pub(crate) fn write<T: Serialize>(frame: &T, to: &mut Vec<u8>) -> Result<(), BadFrame> {
    let start = to.len();
    to.extend_from_slice(&[0; HEAD]);
    let written = postcard::serialize_with_flavor(frame, Appending(to));
    let length = to.len() - start - HEAD;
    match (written, u32::try_from(length)) {
        (Ok(()), Ok(length)) if length as usize <= MAX_FRAME_BYTES => {
            to[start..start + HEAD].copy_from_slice(&length.to_le_bytes());
            Ok(())
        }
        (written, _) => {
            to.truncate(start);
            let reason = written.err().map(|error| error.to_string());
            Err(BadFrame(reason.unwrap_or_else(|| "too large".into())))
        }
    }
}

/// Postcard's bytes, put at the end of a buffer.
struct Appending<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Appending<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Takes the first frame off a buffer, of so many bytes at most; `None` where it is not whole yet.
///
/// # Errors
/// For what is no frame.
pub(crate) fn take<T: for<'de> Deserialize<'de>>(
    buffer: &mut BytesMut,
    most: usize,
) -> Result<Option<T>, BadFrame> {
    let Some(head) = buffer.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*head) as usize;
    if length > most {
        return Err(BadFrame(format!("{length} bytes long")));
    }
    if buffer.len() < HEAD + length {
        // Room for all of it at once, but no more than has come ten times over.
        let have = buffer.len();
        buffer.reserve((HEAD + length - have).min(have.saturating_mul(10).max(64 * 1024)));
        return Ok(None);
    }
    let value = postcard::from_bytes(&buffer[HEAD..HEAD + length])
        .map_err(|error| BadFrame(error.to_string()))?;
    buffer.advance(HEAD + length);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_whatever_the_pieces() {
        let mut bytes = Vec::new();
        for number in [1u64, 300, 70_000] {
            write(&ToWorker::Cancel(number), &mut bytes).unwrap();
        }
        let answer = ToWorker::Answer {
            request: 7,
            result: Ok(Bytes::from(vec![9; 100_000])),
        };
        write(&answer, &mut bytes).unwrap();
        for piece in [1, 3, 4096, bytes.len()] {
            let mut buffer = BytesMut::new();
            let mut seen = Vec::new();
            for part in bytes.chunks(piece) {
                buffer.extend_from_slice(part);
                while let Some(frame) = take::<ToWorker>(&mut buffer, MAX_FRAME_BYTES).unwrap() {
                    seen.push(match frame {
                        ToWorker::Cancel(number) => number,
                        ToWorker::Answer {
                            request,
                            result: Ok(bytes),
                        } => request + bytes.len() as u64,
                        other => panic!("{other:?}"),
                    });
                }
            }
            assert_eq!(seen, [1, 300, 70_000, 100_007], "in pieces of {piece}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let mut long = BytesMut::from(&u32::MAX.to_le_bytes()[..]);
        assert!(take::<ToGateway>(&mut long, MAX_FRAME_BYTES).is_err());
        let mut odd = BytesMut::from(&[1, 0, 0, 0, 255][..]);
        assert!(take::<ToGateway>(&mut odd, MAX_FRAME_BYTES).is_err());
    }
}
