//! What a migration may do in the database of its app: all of the plugin's own collections, of all users, and
//! nothing of any other.

use std::collections::BTreeSet;

use bson::{Document, doc};
use mozaiks_store::{CollectionRule, DatabaseAccess};

/// Names of the plugin's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OwnCollections {
    /// Of its entities.
    pub(crate) tables: BTreeSet<String>,
    /// What the names of its other collections begin with.
    pub(crate) prefix: String,
    /// What begins so and is another plugin's.
    pub(crate) except: Vec<String>,
    /// Tables of other plugins' entities.
    pub(crate) others: BTreeSet<String>,
}

impl OwnCollections {
    /// Whether a collection is among them.
    pub(crate) fn has(&self, collection: &str) -> bool {
        self.tables.contains(collection)
            || (!self.others.contains(collection)
                && collection.len() > self.prefix.len()
                && collection.starts_with(&self.prefix)
                && !(self.except.iter()).any(|other| collection.starts_with(other)))
    }
}

impl DatabaseAccess for OwnCollections {
    fn rule(&self, collection: &str) -> CollectionRule {
        let is_own = self.has(collection);
        CollectionRule {
            read: is_own,
            write: is_own,
            of_user: false,
        }
    }

    fn is_whole(&self) -> bool {
        false
    }

    fn listed(&self) -> Option<Document> {
        let tables: Vec<&str> = self.tables.iter().map(String::as_str).collect();
        Some(doc! { "name": { "$in": tables } })
    }

    fn user_id(&self) -> Option<&str> {
        None
    }
}
