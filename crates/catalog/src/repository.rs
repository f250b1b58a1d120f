//! Stored plugins in the database: collections, and how a row is written and read.
//!
//! What a row says of its file is kept as JSON text, whose keys and numbers come back as they were; what
//! is looked up or must be unique stands beside it as fields of its own.

mod dependencies;
mod files;
mod plugins;
mod revisions;
mod trees;

use std::sync::Arc;

use mongodb::{
    Collection,
    bson::{DateTime, Document},
};

use crate::kinds::Kind;
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError};

pub(crate) use plugins::NewPlugin;
pub(crate) use revisions::Revision;

/// Revisions of a file that are kept.
pub(crate) const KEPT_REVISIONS: i64 = 50;
/// Trees of a plugin that are kept: that which serves, and those that other gateways may still ask for.
const KEPT_TREES: usize = 4;
/// Stored plugins of an app that are listed.
const MAX_PLUGINS: i64 = 10_000;

const fn unique(
    name: &'static str,
    keys: &'static [(&'static str, i32)],
    only_where_present: Option<&'static str>,
) -> IndexSpec {
    IndexSpec {
        name,
        keys,
        unique: true,
        expire_after: None,
        only_where_present,
    }
}

const FILE: IndexSpec = unique(
    "app_plugin_path",
    &[("app_id", 1), ("plugin_id", 1), ("path_key", 1)],
    None,
);

const fn files(kind: &'static str, indexes: &'static [IndexSpec]) -> CollectionSpec {
    CollectionSpec {
        name: kind,
        indexes,
    }
}

/// The collections and their indexes, for `Store::open`.
pub const COLLECTIONS: [CollectionSpec; 13] = [
    files(
        "plugin_controllers",
        &[
            FILE,
            unique(
                "app_plugin_route",
                &[("app_id", 1), ("plugin_id", 1), ("method", 1), ("path", 1)],
                Some("path"),
            ),
        ],
    ),
    files("plugin_hooks", &[FILE]),
    files("plugin_events", &[FILE]),
    files("plugin_middleware", &[FILE]),
    files("plugin_job_files", &[FILE]),
    files(
        "plugin_widgets",
        &[
            FILE,
            unique(
                "app_widget",
                &[("app_id", 1), ("widget_id", 1)],
                Some("widget_id"),
            ),
        ],
    ),
    files(
        "plugin_entity_files",
        &[
            FILE,
            unique(
                "app_plugin_entity",
                &[("app_id", 1), ("plugin_id", 1), ("entity_name", 1)],
                Some("entity_name"),
            ),
        ],
    ),
    files("plugin_migration_files", &[FILE]),
    files("plugin_docs", &[FILE]),
    files("plugin_scripts", &[FILE]),
    files(
        "plugin_revisions",
        &[unique(
            "app_plugin_path_revision",
            &[
                ("app_id", 1),
                ("plugin_id", 1),
                ("path_key", 1),
                ("revision", -1),
            ],
            None,
        )],
    ),
    files(
        "plugin_trees",
        &[unique(
            "plugin_digest",
            &[("plugin", 1), ("digest", 1)],
            None,
        )],
    ),
    files(
        "plugin_dependencies",
        &[unique(
            "app_plugin_package",
            &[("app_id", 1), ("plugin_id", 1), ("package_name", 1)],
            None,
        )],
    ),
];

/// Reads and writes stored plugins.
pub(crate) struct Repository {
    store: Arc<Store>,
}

/// Whose files are meant: every query has both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) app_id: &'a str,
    pub(crate) plugin_id: &'a str,
}

impl Repository {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    fn collection(&self, name: &str) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(name))
    }

    fn of_kind(&self, kind: Kind) -> Result<Collection<Document>, StoreError> {
        self.collection(kind.collection())
    }
}

fn time(row: &Document, field: &str) -> Option<String> {
    let at: &DateTime = row.get_datetime(field).ok()?;
    at.try_to_rfc3339_string().ok()
}

fn text(row: &Document, field: &str) -> Option<String> {
    row.get_str(field).ok().map(str::to_owned)
}
