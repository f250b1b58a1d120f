//! What can go wrong with the database, classified once.

use mongodb::{
    bson::RawDocumentBuf,
    error::{Error, ErrorKind, WriteFailure},
};

/// `OutOfDiskSpace`.
const OUT_OF_DISK_SPACE: i32 = 14031;

/// A server that answers with one of these did not do what it was asked, and another may:
/// stepping down, shutting down, not primary.
const NOT_PRIMARY: [i32; 8] = [91, 189, 10058, 10107, 11600, 11602, 13435, 13436];

/// Network trouble between servers, and `ReadConcernMajorityNotAvailableYet`.
const PASSING: [i32; 7] = [6, 7, 89, 134, 262, 9001, 11601];

/// Which kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The database cannot be reached, or does not answer in time.
    Unavailable,
    /// A unique index says that this exists already.
    Conflict,
    /// There is no room left.
    Full,
    /// What was asked for makes no sense, or is not allowed.
    Invalid,
    /// The server refused for a reason of its own.
    Other,
}

/// Trouble with the database.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// Which kind it is.
    pub kind: StoreErrorKind,
    /// The server's code, where the server said something.
    pub code: Option<i32>,
    /// A sentence; may name hosts, never credentials.
    pub message: String,
    /// The server's whole answer, where there is one.
    pub response: Option<RawDocumentBuf>,
    /// What the server or the driver says about trying again, `TransientTransactionError`….
    pub labels: Vec<String>,
    /// The permission that is missing, where that is why.
    pub denied: Option<Box<str>>,
    /// Whether trying again at once may help.
    pub(super) is_passing: bool,
}

impl StoreError {
    /// An error that no server has said.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: None,
            message: message.into(),
            response: None,
            labels: Vec::new(),
            denied: None,
            is_passing: false,
        }
    }

    /// The sentence without the servers' addresses, which drivers name where they reach none.
    pub fn for_plugins(&self) -> String {
        match (self.kind, self.code) {
            (StoreErrorKind::Unavailable, None) => "the database does not answer".into(),
            _ => self.message.clone(),
        }
    }

    /// The code of the contract.
    pub fn error_code(&self) -> &'static str {
        match self.kind {
            StoreErrorKind::Unavailable => "DATABASE_UNAVAILABLE",
            StoreErrorKind::Conflict => "CONFLICT",
            StoreErrorKind::Full => "STORAGE_FULL",
            StoreErrorKind::Invalid => "VALIDATION_ERROR",
            StoreErrorKind::Other => "DATABASE_ERROR",
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let code = server_code(&error);
        let kind = kind_of(&error, code);
        // Looking for a server has waited already; doing so again would only double the wait.
        let is_passing = matches!(
            &*error.kind,
            ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. }
        ) || error.contains_label("RetryableWriteError")
            || code.is_some_and(|code| NOT_PRIMARY.contains(&code) || PASSING.contains(&code));
        Self {
            kind,
            code,
            message: sentence(&error),
            response: error.server_response().cloned(),
            labels: error.labels().iter().cloned().collect(),
            denied: None,
            is_passing,
        }
    }
}

fn kind_of(error: &Error, code: Option<i32>) -> StoreErrorKind {
    if let Some(code) = code {
        if code == OUT_OF_DISK_SPACE {
            return StoreErrorKind::Full;
        }
        if NOT_PRIMARY.contains(&code) {
            return StoreErrorKind::Unavailable;
        }
        if matches!(code, 11000 | 11001 | 12582) {
            return StoreErrorKind::Conflict;
        }
    }
    match &*error.kind {
        ErrorKind::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => StoreErrorKind::Full,
        ErrorKind::Io(_)
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::Shutdown
        | ErrorKind::Authentication { .. } => StoreErrorKind::Unavailable,
        ErrorKind::InvalidArgument { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::BsonSerialization(_)
        | ErrorKind::BsonDeserialization(_)
        | ErrorKind::Bson(_) => StoreErrorKind::Invalid,
        _ => StoreErrorKind::Other,
    }
}

fn server_code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => Some(concern.code),
        ErrorKind::InsertMany(many) => many
            .write_errors
            .as_ref()
            .and_then(|errors| errors.first())
            .map(|first| first.code),
        _ => None,
    }
}

fn sentence(error: &Error) -> String {
    match &*error.kind {
        ErrorKind::Command(command) => command.message.clone(),
        ErrorKind::Write(WriteFailure::WriteError(write)) => write.message.clone(),
        kind => kind.to_string(),
    }
}
