//! The life of plugins beyond one call: their rows in the database, configuration, storage, audit, and
//! the steps from found to gone.
//!
//! Knows neither HTTP nor Python: code is reached through the dispatcher, and whoever asks has been
//! checked by the caller.

pub mod apps;
pub mod audit;
pub mod changes;
pub mod configs;
pub mod endpoints;
pub mod error;
mod excerpt;
pub mod executions;
pub mod health;
pub mod jobs;
pub mod manager;
pub mod order;
pub mod quotas;
pub mod registry_watch;
pub mod rows;
pub mod slots;
pub mod source_watch;
pub mod storage;
pub mod usage;

use mozaiks_store::CollectionSpec;

/// The collections and their indexes, for `Store::open`.
pub const COLLECTIONS: [CollectionSpec; 11] = [
    audit::COLLECTION,
    apps::COLLECTION,
    configs::COLLECTION,
    jobs::ENTRIES,
    jobs::RUNS,
    endpoints::COLLECTION,
    executions::COLLECTION,
    rows::COLLECTION,
    slots::COLLECTION,
    storage::COLLECTION,
    usage::COLLECTION,
];
