//! Notifications: stored, pushed to the user's sockets, and handed to the channels that the user
//! and the operator have turned on.
//!
//! No HTTP, no Python and no sockets here: what the manager needs of its siblings is injected as
//! [`Outlet`]. Whatever takes longer than a database write is a job in the database, claimed
//! atomically, so that a crash forgets nothing and a second replica sends nothing twice.

mod broadcasts;
pub mod catalogue;
pub mod channels;
mod contacts;
mod delivery;
mod digests;
mod directory;
mod drafts;
mod files;
mod jobs;
mod manager;
mod model;
mod moment;
mod moved;
mod operations;
pub mod preferences;
mod repository;
mod scheduler;
pub mod templates;
pub mod views;

#[cfg(test)]
mod tests;

pub use broadcasts::{Broadcast, Target};
pub use catalogue::{Catalogue, NotificationType};
pub use contacts::Confirmation;
pub use delivery::DeliveryWorkers;
pub use directory::UserDirectory;
pub use files::{Definitions, read_definitions};
pub use manager::{Created, NotificationsManager, Page, PageRequest};
pub use model::{Channel, Draft, Notification, NotificationError, Outlet};
pub use moved::MOVED;
pub use operations::Operations;
pub use preferences::Contact;
pub use repository::COLLECTIONS;
pub use scheduler::Scheduler;
pub use templates::Parts as MailParts;

pub use mozaiks_config::NotificationsConfig;
pub use mozaiks_jobs::QueueStats;
