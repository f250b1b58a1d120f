//! Notifications: stored, pushed to the user's sockets, and handed to the channels that the user
//! and the operator have turned on.
//!
//! No HTTP, no Python and no sockets here: what the manager needs of its siblings is injected as
//! [`Outlet`]. Whatever takes longer than a database write is a job in the database, claimed
//! atomically, so that a crash forgets nothing and a second replica sends nothing twice.

pub mod catalogue;
pub mod channels;
mod delivery;
mod directory;
mod manager;
mod model;
mod operations;
pub mod preferences;
mod repository;
mod scheduler;
pub mod templates;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use catalogue::{Catalogue, NotificationType};
pub use delivery::DeliveryWorkers;
pub use directory::UserDirectory;
pub use manager::{Created, NotificationsManager, Page, PageRequest};
pub use model::{Channel, Draft, Notification, NotificationError, Outlet};
pub use operations::Operations;
pub use repository::COLLECTIONS;
pub use scheduler::{Broadcast, Scheduler, Target};

/// Bounds and channels of the notifications.
#[derive(Debug, Clone)]
pub struct NotificationsConfig {
    /// Notifications kept for a user; older ones go. `MOZAIKS_NOTIFICATIONS_KEEP`
    pub keep_per_user: u64,
    /// How long a `dedup_key` counts. `MOZAIKS_NOTIFICATIONS_DEDUP_SECONDS`
    pub dedup_window: Duration,
    /// Bytes of title, message and metadata together. `MOZAIKS_NOTIFICATIONS_MAX_BYTES`
    pub max_bytes: usize,
    /// Users of one bulk call. `MOZAIKS_NOTIFICATIONS_MAX_BULK`
    pub max_bulk: usize,
    /// Attempts of one delivery before it is a dead letter. `MOZAIKS_DELIVERY_ATTEMPTS`
    pub delivery_attempts: u32,
    /// Wait before the second attempt; doubles with each further one.
    /// `MOZAIKS_DELIVERY_RETRY_SECONDS`
    pub delivery_retry: Duration,
    /// How long a claimed job is left to its worker. `MOZAIKS_JOB_LEASE_SECONDS`
    pub job_lease: Duration,
    /// How often a worker looks for jobs that nobody told it of. `MOZAIKS_JOB_POLL_SECONDS`
    pub job_poll: Duration,
    /// Deliveries of one channel under way at a time. `MOZAIKS_DELIVERY_CONCURRENCY`
    pub delivery_concurrency: usize,
    /// Users of a broadcast handled between two saves of its progress.
    pub broadcast_batch: usize,
    /// Hour of the day (UTC) at which digests go out. `MOZAIKS_DIGEST_HOUR`
    pub digest_hour: u32,
    /// The channels that are configured.
    pub channels: channels::ChannelsConfig,
}

impl Default for NotificationsConfig {
    fn default() -> Self {
        Self {
            keep_per_user: 1000,
            dedup_window: Duration::from_secs(24 * 3600),
            max_bytes: 64 * 1024,
            max_bulk: 1000,
            delivery_attempts: 5,
            delivery_retry: Duration::from_secs(5),
            job_lease: Duration::from_secs(60),
            job_poll: Duration::from_secs(1),
            delivery_concurrency: 4,
            broadcast_batch: 200,
            digest_hour: 8,
            channels: channels::ChannelsConfig::default(),
        }
    }
}
