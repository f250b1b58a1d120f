//! An import under way: who waits for it, and where it is.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{frames::OwnCode, progress::Progress};
use mozaiks_plugins::{LoadError, LoadedPlugin};

/// What comes of an import.
pub(super) type Answer = Result<LoadedPlugin, LoadError>;

/// An import under way: the watchdog ends it at its deadline.
pub(super) struct Import {
    pub plugin: Arc<str>,
    /// Which modules and files are the plugin's own.
    pub own: OwnCode,
    pub deadline: Instant,
    pub progress: Progress,
    /// Taken by whoever answers first.
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
}

impl Import {
    /// One that has until then.
    pub(super) fn new(
        plugin: Arc<str>,
        own: OwnCode,
        deadline: Instant,
        answer: oneshot::Sender<Answer>,
    ) -> Self {
        Self {
            plugin,
            own,
            deadline,
            progress: Progress::default(),
            answer: Mutex::new(Some(answer)),
        }
    }

    /// The way to whoever waits; `None` where somebody has answered.
    pub(super) fn take_answer(&self) -> Option<oneshot::Sender<Answer>> {
        self.answer.lock().take()
    }

    /// Answers that it took too long; `false` where it has been answered.
    pub(super) fn time_out(&self, seconds: u64) -> bool {
        let Some(answer) = self.take_answer() else {
            return false;
        };
        // The registry has gone where this fails.
        answer.send(Err(LoadError::TimedOut { seconds })).ok();
        true
    }

    /// Whether nobody waits any more.
    pub(super) fn is_answered(&self) -> bool {
        self.answer.lock().is_none()
    }
}
