//! The commands and stages that plugins may use, and the fields that are not theirs.

use crate::access::Use;

/// What kind of command it is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Gives documents in batches.
    Read,
    /// As [`Self::Read`], about collections and indexes.
    List,
    GetMore,
    KillCursors,
    /// Gives one answer and changes nothing: may be sent again.
    Ask,
    /// Changes documents.
    Write,
    /// Changes collections or indexes.
    Schema,
    Rename,
    StartSession,
    EndSessions,
    Commit,
    Abort,
}

/// What stands under the command's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Collection,
    /// A collection, or a number for the database.
    Any,
    /// Nothing that the server looks at.
    None,
    /// Another command.
    Command,
}

/// What a command is and is about; nothing for one that plugins may not send.
pub(super) fn known(name: &str) -> Option<(Kind, Subject)> {
    Some(match name {
        "find" => (Kind::Read, Subject::Collection),
        "aggregate" => (Kind::Read, Subject::Any),
        "listCollections" => (Kind::List, Subject::None),
        "listIndexes" => (Kind::List, Subject::Collection),
        "getMore" => (Kind::GetMore, Subject::None),
        "killCursors" => (Kind::KillCursors, Subject::None),
        "count" | "distinct" | "collStats" | "collstats" | "validate" => {
            (Kind::Ask, Subject::Collection)
        }
        "explain" => (Kind::Ask, Subject::Command),
        "ping" | "hello" | "buildInfo" | "buildinfo" | "dbStats" | "dbstats" => {
            (Kind::Ask, Subject::None)
        }
        "insert" | "update" | "delete" | "findAndModify" | "findandmodify" => {
            (Kind::Write, Subject::Collection)
        }
        "create" | "drop" | "collMod" | "createIndexes" | "dropIndexes" => {
            (Kind::Schema, Subject::Collection)
        }
        "renameCollection" => (Kind::Rename, Subject::Collection),
        "startSession" => (Kind::StartSession, Subject::None),
        "endSessions" => (Kind::EndSessions, Subject::None),
        "commitTransaction" => (Kind::Commit, Subject::None),
        "abortTransaction" => (Kind::Abort, Subject::None),
        _ => return None,
    })
}

/// Stages that read, reshape or write documents of the database they run in. Those that tell of the
/// server and its other users are not among them.
pub(super) const STAGES: &[&str] = &[
    "$addFields",
    "$bucket",
    "$bucketAuto",
    "$changeStream",
    "$changeStreamSplitLargeEvent",
    "$count",
    "$densify",
    "$documents",
    "$facet",
    "$fill",
    "$geoNear",
    "$graphLookup",
    "$group",
    "$limit",
    "$listSearchIndexes",
    "$lookup",
    "$match",
    "$merge",
    "$out",
    "$project",
    "$redact",
    "$replaceRoot",
    "$replaceWith",
    "$sample",
    "$search",
    "$searchMeta",
    "$set",
    "$setWindowFields",
    "$skip",
    "$sort",
    "$sortByCount",
    "$unionWith",
    "$unset",
    "$unwind",
    "$vectorSearch",
];

/// Fields of a command that only the host and its driver set.
pub(super) const HOST_FIELDS: &[&str] = &[
    "lsid",
    "txnNumber",
    "stmtId",
    "stmtIds",
    "startTransaction",
    "autocommit",
    "apiVersion",
    "apiStrict",
    "apiDeprecationErrors",
    "tailable",
    "awaitData",
    "collectionUUID",
    "exchange",
    "needsMerge",
    "fromMongos",
    "fromRouter",
    "fromMigrate",
    "runtimeConstants",
    "encryptionInformation",
];

impl Kind {
    /// What it does with the collection that it names.
    pub(super) fn used(self) -> Use {
        match self {
            Self::Write | Self::Schema | Self::Rename => Use::Write,
            Self::Read
            | Self::List
            | Self::GetMore
            | Self::KillCursors
            | Self::Ask
            | Self::StartSession
            | Self::EndSessions
            | Self::Commit
            | Self::Abort => Use::Read,
        }
    }
}
