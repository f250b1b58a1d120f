//! The collection that a queue lives in.

use std::time::Duration;

use mozaiks_store::{CollectionSpec, IndexSpec};

/// How long jobs that have ended are kept, dead letters among them.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

const PLAIN: IndexSpec = IndexSpec {
    name: "",
    keys: &[],
    unique: false,
    expire_after: None,
    only_where_present: None,
};

/// The declaration of a collection that a [`crate::JobQueue`] may use; its owner names it and has the
/// store create it.
pub const fn collection(name: &'static str) -> CollectionSpec {
    const INDEXES: &[IndexSpec] = &[
        IndexSpec {
            // Only jobs that have not ended have a time to run at.
            name: "due",
            keys: &[("queue", 1), ("run_at", 1)],
            ..PLAIN
        },
        IndexSpec {
            name: "log",
            keys: &[("app_id", 1), ("created_at", -1)],
            ..PLAIN
        },
        IndexSpec {
            name: "expiry",
            keys: &[("ended_at", 1)],
            expire_after: Some(KEPT),
            ..PLAIN
        },
    ];
    CollectionSpec {
        name,
        indexes: INDEXES,
    }
}
