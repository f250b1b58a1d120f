//! The boundary between the gateway and whatever runs plugin code.
//!
//! Plain Rust data crosses it in both directions; no Python type does.

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use crate::started::Started;
use crate::{
    actions::DeclaredAction,
    body::BodyError,
    generation::Generation,
    invocation::{CallId, Invocation},
    site::SitePath,
};

/// Runs plugin code. The embedded interpreter implements it; a worker process can.
pub trait PluginRuntime: Send + Sync + 'static {
    /// Imports a plugin as the generation that its source names, off the request path. The receiver answers within the
    /// import's deadline whatever the plugin's module does.
    fn load(&self, source: PluginSource) -> oneshot::Receiver<Result<LoadedPlugin, LoadError>>;

    /// Forgets a generation once its running calls have finished.
    fn unload(&self, generation: Generation);

    /// Puts a call into the queue, without waiting. The receiver answers when the plugin does;
    /// the caller keeps the deadline. Dropping the receiver does not cancel the call.
    ///
    /// # Errors
    /// [`SubmitError`] where the queue is full or the runtime is stopping.
    fn submit(&self, invocation: Invocation) -> Result<oneshot::Receiver<CallResult>, SubmitError>;

    /// Asks that a call be cancelled (its deadline has passed). Never blocks, never fails.
    fn cancel(&self, call: CallId);

    /// How deep a body may be nested.
    fn max_body_depth(&self) -> usize;

    /// How the runtime is doing now.
    fn status(&self) -> RuntimeStatus;
}

/// Where a plugin's code is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PluginSource {
    /// The load's id; what its code registers is known by it from the first line on.
    pub generation: Generation,
    /// The plugin's name, already checked.
    pub name: Arc<str>,
    /// Its directory.
    pub dir: PathBuf,
    /// The file with `execute` or the lifecycle functions; `None` where it is made of parts alone.
    pub entry: Option<PathBuf>,
    /// Whether files of it are parts of it.
    pub has_parts: bool,
    /// Those that are imported with it, below its directory: `controllers/visits.py`.
    pub parts: Vec<String>,
    /// Where bytecode of its modules is kept, to be read.
    pub cache: Option<PathBuf>,
    /// Where what it needs is installed.
    pub site: Option<SitePath>,
}

/// A plugin whose module has been imported.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoadedPlugin {
    /// The module's docstring's first line, for a description where there is no manifest.
    pub doc: Option<String>,
    /// Whether it has `execute`.
    pub has_execute: bool,
    /// Its lifecycle functions.
    pub hooks: Vec<String>,
    /// Modules that came from kept bytecode.
    pub cached_modules: u64,
    /// Modules that were compiled.
    pub compiled_modules: u64,
    /// Its typed actions.
    pub actions: Vec<DeclaredAction>,
}

/// Why a plugin could not be loaded.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
pub enum LoadError {
    /// The manifest is wrong; the sentence names the key.
    #[error("{0}")]
    Manifest(String),
    /// Importing it raised. The traceback is for the log and for admins.
    #[error("importing it raised {summary}")]
    Raised {
        /// `ValueError: …`, one line.
        summary: String,
        /// The whole traceback.
        traceback: String,
    },
    /// Importing it took longer than allowed.
    #[error("importing it took longer than {seconds} s")]
    TimedOut {
        /// The limit in seconds.
        seconds: u64,
    },
    /// It has no callable `execute` (or `run`).
    #[error("{0}")]
    NoEntryPoint(String),
    /// What it needs is not installed, cannot be, or does not go with what others need.
    #[error("{summary}")]
    Requirements {
        /// One line.
        summary: String,
        /// The same with what an installer said.
        whole: String,
    },
    /// Its actions are not ones; the sentence names the one.
    #[error("{0}")]
    Actions(String),
    /// The runtime is gone.
    #[error("the Python runtime has stopped")]
    Stopped,
}

impl LoadError {
    /// Something about what it needs that one sentence says.
    pub fn requirements(summary: String) -> Self {
        Self::Requirements {
            whole: summary.clone(),
            summary,
        }
    }

    /// The step of a plugin's life that has failed.
    pub fn step(&self) -> &'static str {
        match self {
            Self::Requirements { .. } => "requirements",
            Self::Manifest(_)
            | Self::Raised { .. }
            | Self::TimedOut { .. }
            | Self::NoEntryPoint(_)
            | Self::Actions(_)
            | Self::Stopped => "load",
        }
    }

    /// The whole for admins, with the traceback where there is one.
    pub fn whole(&self) -> String {
        match self {
            Self::Raised { traceback, .. } => format!("{self}\n{traceback}"),
            Self::Requirements { whole, .. } => whole.clone(),
            Self::Manifest(_)
            | Self::TimedOut { .. }
            | Self::NoEntryPoint(_)
            | Self::Actions(_)
            | Self::Stopped => self.to_string(),
        }
    }
}

/// How a call ended.
pub type CallResult = Result<CallReply, CallError>;

/// A dict that the plugin returned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallReply {
    /// The dict as JSON.
    pub body: Bytes,
    /// Set where the dict has a string under `error`: a domain failure, with its `error_code`.
    pub domain_failure: Option<Option<Box<str>>>,
    /// The string under `action` of the request, for events and logs.
    pub action: Option<Box<str>>,
}

/// Why a call gave no dict.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
pub enum CallError {
    /// The body is not JSON as the contract takes it.
    #[error("the body is not valid JSON: {0}")]
    InvalidJson(String),
    /// The body is JSON, but not an object.
    #[error("the body must be a JSON object, not {0}")]
    NotAnObject(Cow<'static, str>),
    /// The plugin raised.
    #[error("the plugin raised {summary}")]
    Raised {
        /// `ValueError: …`, one line; safe even where `__str__` is broken.
        summary: String,
        /// The whole traceback.
        traceback: String,
        /// `action` of the request.
        action: Option<Box<str>>,
        /// Set where what was raised is trouble that the gateway has told of, and not the plugin's own.
        trouble: Option<HostTrouble>,
    },
    /// `execute` returned something other than a dict.
    #[error("the plugin returned {0}, not a dict")]
    BadResult(String),
    /// The dict holds something JSON has no form for.
    #[error("the plugin's result cannot be sent: {path}: {reason}")]
    NotSerializable {
        /// Path of the offending value, `$.items[3].at`.
        path: String,
        /// What it is.
        reason: String,
    },
    /// The dict is larger than allowed.
    #[error("the plugin's result is larger than {limit_bytes} bytes")]
    OutputTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// Cancelled: after its deadline, or by shutdown.
    #[error("the call was cancelled")]
    Cancelled,
    /// The generation is not known (any more).
    #[error("the plugin is not loaded")]
    NotLoaded,
    /// The process that ran it has died; whether the call had done its work nobody knows.
    #[error("the process that ran the call has ended: {0}")]
    WorkerCrashed(CrashReason),
    /// A bug of the gateway, said in one sentence.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<BodyError> for CallError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Invalid(reason) => Self::InvalidJson(reason),
            BodyError::WrongType(found) => Self::NotAnObject(found.into()),
            BodyError::Sink(reason) => Self::Internal(reason),
        }
    }
}

/// Why a worker process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum CrashReason {
    /// It has ended by itself, with this code.
    #[error("exit {0}")]
    Exit(i32),
    /// A signal has ended it.
    #[error("signal {0}")]
    Signal(i32),
    /// It held more memory than it may.
    #[error("memory")]
    Memory,
    /// A call in it went on after its deadline, and could not be stopped.
    #[error("deadline")]
    Deadline,
    /// It gave no sign of life.
    #[error("heartbeat")]
    Heartbeat,
    /// It used more of something else than it may: threads, the disk.
    #[error("limit")]
    Limit,
    /// What it sent made no sense.
    #[error("protocol")]
    Protocol,
    /// The gateway has ended it: it was replaced, or an admin asked for it.
    #[error("stopped")]
    Stopped,
}

/// Trouble that the gateway has told a plugin of, and that the plugin let pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostTrouble {
    /// The database cannot be reached, or does not answer in time.
    DatabaseUnavailable,
    /// The database has no room left.
    StorageFull,
    /// A permission is missing: the entry.
    PermissionDenied(Box<str>),
    /// What the plugin may store is used up.
    QuotaExceeded,
    /// The collection of an entity is not there yet.
    EntityNotMigrated,
}

/// Why a call was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full.
    #[error("too many calls are waiting")]
    Full,
    /// The runtime is stopping.
    #[error("the Python runtime has stopped")]
    Stopped,
}

/// How the runtime is doing.
#[derive(Debug, Clone, Copy, Default)]
pub struct RuntimeStatus {
    /// Calls in the queue.
    pub queued: usize,
    /// Calls started and not yet answered.
    pub running: usize,
    /// How long ago the event loop last turned, in milliseconds.
    pub loop_lag_ms: u64,
    /// How often a plugin has been seen to hold the loop.
    pub loop_holds: u64,
    /// The load whose code the loop's thread runs at the moment.
    pub held_by: Option<Generation>,
    /// Threads beside the loop's: of plain functions, of what plugins put aside, of host names.
    pub pools: [PoolStatus; 3],
}

/// How one pool of threads is doing.
#[derive(Debug, Clone, Copy, Default)]
pub struct PoolStatus {
    /// Its name.
    pub name: &'static str,
    /// Work that waits for a thread or for its plugin's share.
    pub waiting: usize,
    /// Work on a thread.
    pub running: usize,
    /// Threads written off that are not back yet.
    pub lost: usize,
    /// Work that found no room, since the start.
    pub refused: u64,
}
