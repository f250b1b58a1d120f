//! What the sender of a command may do with which collection: asked while the command is looked
//! through, for every collection that it names.

use mongodb::bson::Document;

use super::{StoreError, policy::refused};

/// What may be done with one collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectionRule {
    /// Whether it may be read.
    pub read: bool,
    /// Whether it may be changed.
    pub write: bool,
    /// Whether only the documents of one user are there.
    pub of_user: bool,
}

/// What the sender of a command may do.
pub trait DatabaseAccess: Send + Sync {
    /// What may be done with a collection.
    fn rule(&self, collection: &str) -> CollectionRule;

    /// Whether all collections may be read, with all their documents.
    fn is_whole(&self) -> bool;

    /// Which collections may be listed; `None` for all.
    fn listed(&self) -> Option<Document>;

    /// For whom the command is sent, where somebody is behind it.
    fn user_id(&self) -> Option<&str>;
}

/// All of the app's database.
pub struct Full;

impl DatabaseAccess for Full {
    fn rule(&self, _: &str) -> CollectionRule {
        CollectionRule {
            read: true,
            write: true,
            of_user: false,
        }
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn listed(&self) -> Option<Document> {
        None
    }

    fn user_id(&self) -> Option<&str> {
        None
    }
}

/// What a command does with a collection that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

impl Use {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// A refusal for want of a permission.
pub(super) fn denied(entry: String, message: String) -> StoreError {
    StoreError {
        denied: Some(entry.into()),
        ..refused(message)
    }
}

/// A refusal for want of the permission to use a collection so.
pub(super) fn denied_collection(collection: &str, used: Use) -> StoreError {
    let used = used.as_str();
    denied(
        format!("database:{collection}:{used}"),
        format!("the plugin has no permission to {used} the collection `{collection}`"),
    )
}

/// A refusal of what would reach the documents of other users.
pub(super) fn of_others(collection: &str, what: &str) -> StoreError {
    denied(
        format!("database:{collection}:write (of the app)"),
        format!("{what}: of the collection `{collection}` only the user's own documents are there"),
    )
}
