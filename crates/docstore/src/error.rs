//! MongoDB's error codes and the one error type that every layer returns.
//!
//! Messages name what is wrong; codes and names are MongoDB's own, so that drivers classify them.

use bson::{Document, doc};

/// A result of this crate.
pub type Result<T, E = CommandError> = std::result::Result<T, E>;

macro_rules! codes {
    ($($name:ident = $code:literal),+ $(,)?) => {
        /// MongoDB error codes that this store answers with.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the names are MongoDB's and say it")]
        #[repr(i32)]
        pub enum Code { $($name = $code),+ }

        impl Code {
            /// The name that goes with the number in `codeName`.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => stringify!($name)),+ }
            }
        }
    };
}

codes! {
    InternalError = 1,
    BadValue = 2,
    GraphContainsCycle = 5,
    FailedToParse = 9,
    Unauthorized = 13,
    TypeMismatch = 14,
    Overflow = 15,
    InvalidLength = 16,
    ProtocolError = 17,
    AuthenticationFailed = 18,
    IllegalOperation = 20,
    InvalidBSON = 22,
    LockTimeout = 24,
    NamespaceNotFound = 26,
    IndexNotFound = 27,
    PathNotViable = 28,
    RoleNotFound = 31,
    CannotCreateIndex = 67,
    ConflictingUpdateOperators = 40,
    CursorNotFound = 43,
    NamespaceExists = 48,
    MaxTimeMSExpired = 50,
    DollarPrefixedFieldName = 52,
    InvalidIdField = 53,
    NotSingleValueField = 54,
    EmptyFieldName = 56,
    DottedFieldName = 57,
    CommandNotFound = 59,
    WriteConcernFailed = 64,
    ImmutableField = 66,
    InvalidOptions = 72,
    InvalidNamespace = 73,
    IndexOptionsConflict = 85,
    IndexKeySpecsConflict = 86,
    NetworkTimeout = 89,
    OperationFailed = 96,
    WriteConflict = 112,
    CommandNotSupported = 115,
    DocumentValidationFailure = 121,
    NotAReplicaSet = 123,
    ReadConcernMajorityNotEnabled = 148,
    CappedPositionLost = 136,
    InvalidIndexSpecificationOption = 197,
    ExceededMemoryLimit = 146,
    InvalidUUID = 207,
    CannotIndexParallelArrays = 171,
    QueryPlanKilled = 175,
    ExceededTimeLimit = 262,
    IDLUnknownField = 40415,
    IDLFailedToParse = 40414,
    NoSuchTransaction = 251,
    OperationNotSupportedInTransaction = 263,
    ChangeStreamHistoryLost = 286,
    InvalidResumeToken = 260,
    NoQueryExecutionPlans = 291,
    UnknownFeatureCompatibility = 258,
    InvalidSSLConfiguration = 140,
    UnsupportedOpQueryCommand = 352,
    APIVersionError = 322,
    APIStrictError = 323,
    CursorInUse = 12051,
    OutOfDiskSpace = 14031,
    BSONObjectTooLarge = 10334,
    KeyTooLong = 17280,
    InterruptedAtShutdown = 11600,
    Interrupted = 11601,
    InterruptedDueToReplStateChange = 11602,
    DuplicateKey = 11000,
    InvalidPipelineOperator = 168,
    ConversionFailure = 241,
    TooManyLogicalSessions = 261,
    SnapshotUnavailable = 246,
    TransactionTooLarge = 257,
    QueryExceededMemoryLimitNoDiskUseAllowed = 292,
}

/// A failed command or write: MongoDB's code, a sentence, and extra fields of the answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// The number drivers look at. Mostly a [`Code`]; aggregation has many `Location…` numbers.
    pub code: i32,
    /// The name that goes with it.
    pub code_name: String,
    /// What went wrong, naming the field or operator.
    pub message: String,
    /// Further fields, such as `keyPattern` and `keyValue` of a duplicate key.
    pub extra: Document,
}

impl CommandError {
    /// An error with one of MongoDB's named codes.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code: code as i32,
            code_name: code.name().to_owned(),
            message: message.into(),
            extra: Document::new(),
        }
    }

    /// An error that MongoDB knows by number only (`Location40323` and the like).
    pub fn location(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            code_name: format!("Location{code}"),
            message: message.into(),
            extra: Document::new(),
        }
    }

    /// Whether there was no room on the disk.
    pub fn is_full_disk(&self) -> bool {
        self.code == Code::OutOfDiskSpace as i32
    }

    /// The same error with one more field in the answer.
    pub fn with(mut self, key: &str, value: impl Into<bson::Bson>) -> Self {
        self.extra.insert(key, value.into());
        self
    }

    /// `{ok: 0, errmsg, code, codeName, …}`, the answer of a failed command.
    pub fn to_reply(&self) -> Document {
        let mut reply = doc! {
            "ok": 0.0,
            "errmsg": &self.message,
            "code": self.code,
            "codeName": &self.code_name,
        };
        reply.extend(self.extra.clone());
        reply
    }
}

/// Shorthand for `Err(CommandError::new(Code::BadValue, …))`.
#[macro_export]
macro_rules! bail {
    ($code:ident, $($arg:tt)+) => {
        return Err($crate::error::CommandError::new($crate::error::Code::$code, format!($($arg)+)))
    };
}
