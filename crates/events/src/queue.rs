//! The events that wait for one subscription.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Event, levels::Turn};

/// A bounded queue with many publishers and one worker.
pub(super) struct Queue {
    // Held for a push or a pop only; publishers come from any thread, also from Python's.
    inner: Mutex<Inner>,
    // One permit is enough: the worker empties the queue before it waits again.
    filled: Notify,
    max_events: usize,
    max_bytes: usize,
}

#[derive(Default)]
struct Inner {
    events: VecDeque<Queued>,
    bytes: usize,
    dropped: u64,
    closed: bool,
}

/// An event, and its place among those who want it where they have an order.
pub(super) struct Queued {
    pub(super) event: Arc<Event>,
    pub(super) turn: Option<Turn>,
}

/// What [`Queue::take`] found.
pub(super) enum Taken {
    /// The next event.
    Event(Queued),
    /// Nothing waits.
    Empty,
    /// The subscription has ended.
    Closed,
}

impl Queue {
    pub(super) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self {
            inner: Mutex::default(),
            filled: Notify::new(),
            max_events: max_events.max(1),
            max_bytes: max_bytes.max(1),
        }
    }

    /// Appends an event. Where the queue would grow past its bounds or past `share_bytes`, the
    /// oldest events go; the new one is always taken. Returns how many went.
    pub(super) fn push(&self, queued: Queued, share_bytes: usize) -> u64 {
        let max_bytes = self.max_bytes.min(share_bytes);
        let mut gone = Vec::new();
        let dropped = {
            let mut inner = self.inner.lock();
            if inner.closed {
                return 0;
            }
            let size = queued.event.size_bytes();
            while inner.events.len() >= self.max_events
                || (inner.bytes + size > max_bytes && !inner.events.is_empty())
            {
                let Some(oldest) = inner.events.pop_front() else {
                    break;
                };
                inner.bytes -= oldest.event.size_bytes();
                gone.push(oldest);
            }
            inner.dropped += gone.len() as u64;
            inner.bytes += size;
            inner.events.push_back(queued);
            gone.len() as u64
        };
        self.filled.notify_one();
        dropped
    }

    /// The next event, if one waits.
    pub(super) fn take(&self) -> Taken {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Taken::Closed;
        }
        match inner.events.pop_front() {
            Some(queued) => {
                inner.bytes -= queued.event.size_bytes();
                Taken::Event(queued)
            }
            None => Taken::Empty,
        }
    }

    /// Waits until something may have changed.
    pub(super) async fn changed(&self) {
        self.filled.notified().await;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// Ends the subscription; gives what waited.
    pub(super) fn close(&self) -> Vec<Queued> {
        let waiting = {
            let mut inner = self.inner.lock();
            inner.closed = true;
            inner.bytes = 0;
            std::mem::take(&mut inner.events)
        };
        self.filled.notify_one();
        waiting.into()
    }

    /// Waiting events, their bytes, and how many were dropped so far.
    pub(super) fn load(&self) -> (usize, usize, u64) {
        let inner = self.inner.lock();
        (inner.events.len(), inner.bytes, inner.dropped)
    }
}
