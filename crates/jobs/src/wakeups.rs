//! Who is told that a queue has something to do.
//!
//! The queue owns every wake-up: whatever makes a job due wakes the workers itself, so that no caller
//! can forget to. Workers of other processes look by themselves.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A worker's queues, and how to wake it.
struct Sleeper {
    queues: Vec<String>,
    wake: Weak<Notify>,
}

/// The workers of this process.
#[derive(Default)]
pub(crate) struct Wakeups {
    // As many as there are workers: a handful. Read when a job is added.
    sleepers: Mutex<Vec<Sleeper>>,
}

impl Wakeups {
    /// A wake-up for these queues, for as long as it is kept. One that comes while its worker is not
    /// waiting is kept for it.
    pub(crate) fn listen(&self, queues: Vec<String>) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        let mut sleepers = self.sleepers.lock();
        sleepers.retain(|sleeper| sleeper.wake.strong_count() > 0);
        sleepers.push(Sleeper {
            queues,
            wake: Arc::downgrade(&notify),
        });
        notify
    }

    /// Wakes whoever takes jobs of this queue.
    pub(crate) fn wake(&self, queue: &str) {
        for sleeper in self.sleepers.lock().iter() {
            if sleeper.queues.iter().any(|listened| listened == queue)
                && let Some(notify) = sleeper.wake.upgrade()
            {
                notify.notify_one();
            }
        }
    }
}
