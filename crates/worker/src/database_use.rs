//! Whether workers ask for the database. From then on those that stand ready have imported what plugins
//! need for it, which is most of the time that the import of such a plugin takes.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether it is asked for, and who is told of the first time.
#[derive(Default)]
pub(crate) struct DatabaseUse {
    asked: AtomicBool,
    told: Notify,
}

impl DatabaseUse {
    /// A worker asks for it.
    pub(crate) fn note(&self) {
        if !self.is_asked() && !self.asked.swap(true, Ordering::AcqRel) {
            self.told.notify_one();
        }
    }

    /// Whether any has.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Until the first does; for one that waits.
    pub(crate) async fn first(&self) {
        self.told.notified().await;
    }
}
