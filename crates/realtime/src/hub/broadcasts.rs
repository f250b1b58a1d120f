//! Broadcasts of one app on their way to its users.
//!
//! A broadcast is put here once, and its sender goes on. A walk over the users gives each whatever
//! it has not seen yet, and the next walk begins a moment later: broadcasts that follow one another
//! closely leave in one write a socket, joined once for everybody, however threads are woken. The
//! first of them waits for nothing. A user who is sent something else meanwhile gets the
//! broadcasts before it first, so that all see the order in which things were sent.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::message::Message;

/// Broadcasts that wait at most; one batch has no more.
const MAX_WAITING: usize = 1024;

/// What of an app's broadcasts waits at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct BroadcastLimits {
    /// One batch has no more, unless it is a single message.
    pub(super) bytes: usize,
    /// From the end of a walk to the next.
    pub(super) gather: Duration,
}

/// The broadcasts of one app that not every user has been given.
pub(super) struct Broadcasts {
    limits: BroadcastLimits,
    /// Held only to append, to copy or to forget. Taken under a channel's lock, never around one.
    log: Mutex<Log>,
    /// The number of the next broadcast, for looking without the lock.
    end: AtomicU64,
    /// Tells senders that a walk has taken what waited.
    room: Notify,
    /// Tells the walk that a sender waits for room.
    full: Notify,
    /// Connections of the app.
    receivers: AtomicUsize,
    /// Messages given to a connection; all apps of the hub count in one place.
    messages_sent: Arc<AtomicU64>,
}

struct Log {
    /// From number `first` on.
    kept: VecDeque<Arc<Message>>,
    first: u64,
    /// How many of `kept` a walk has taken.
    taken: usize,
    /// Bytes of those that no walk has taken.
    waiting_bytes: usize,
    is_walked: bool,
}

/// What came of [`Broadcasts::append`].
pub(super) enum Appended {
    /// A walk will take it.
    Yes,
    /// As `Yes`; the caller starts the walk.
    First,
    /// Too much waits.
    Full,
}

impl Broadcasts {
    pub(super) fn new(limits: BroadcastLimits, messages_sent: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            log: Mutex::new(Log {
                kept: VecDeque::new(),
                first: 0,
                taken: 0,
                waiting_bytes: 0,
                is_walked: false,
            }),
            end: AtomicU64::new(0),
            room: Notify::new(),
            full: Notify::new(),
            receivers: AtomicUsize::new(0),
            messages_sent,
        })
    }

    /// Puts a message behind the others, or says that there is no room.
    pub(super) fn append(&self, message: &Arc<Message>) -> Appended {
        let bytes = message.frame().len();
        let mut log = self.log.lock();
        let waiting = log.kept.len() - log.taken;
        let is_full = waiting >= MAX_WAITING || log.waiting_bytes + bytes > self.limits.bytes;
        if waiting > 0 && is_full {
            return Appended::Full;
        }
        log.kept.push_back(Arc::clone(message));
        log.waiting_bytes += bytes;
        self.end
            .store(log.first + log.kept.len() as u64, Ordering::Release);
        if std::mem::replace(&mut log.is_walked, true) {
            Appended::Yes
        } else {
            Appended::First
        }
    }

    /// As [`Self::append`], once there is room; `true` where the caller starts the walk.
    pub(super) async fn append_waiting(&self, message: &Arc<Message>) -> bool {
        loop {
            let room = self.room.notified();
            match self.append(message) {
                Appended::Yes => return false,
                Appended::First => return true,
                Appended::Full => {
                    self.full.notify_one();
                    room.await;
                }
            }
        }
    }

    /// What a walk brings to the users next; `None`, and no walk any more, where nothing waits.
    pub(super) fn next_batch(&self) -> Option<Batch> {
        let mut log = self.log.lock();
        let batch = Batch::new(log.first, log.kept.iter().cloned().collect());
        log.taken = log.kept.len();
        log.waiting_bytes = 0;
        log.is_walked = batch.is_some();
        drop(log);
        self.room.notify_waiters();
        batch
    }

    /// Forgets a batch that every user has been given.
    pub(super) fn finish(&self, batch: &Batch) {
        let mut log = self.log.lock();
        while log.first < batch.end() && log.kept.pop_front().is_some() {
            log.first += 1;
            log.taken = log.taken.saturating_sub(1);
        }
    }

    /// Between two walks: more comes, but not more than there is room for.
    pub(super) async fn gather(&self) {
        if !self.limits.gather.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(self.limits.gather) => {}
                () = self.full.notified() => {}
            }
        }
    }

    /// A walk has broken off: the next broadcast starts another.
    pub(super) fn abandon_walk(&self) {
        self.log.lock().is_walked = false;
    }

    /// The number of the next broadcast.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// The broadcasts from a number on; `None` where there are none.
    pub(super) fn since(&self, number: u64) -> Option<Batch> {
        if number >= self.end() {
            return None;
        }
        let log = self.log.lock();
        let skip = number.saturating_sub(log.first);
        let unseen = log.kept.iter().skip(skip as usize).cloned().collect();
        Batch::new(log.first + skip, unseen)
    }

    /// Connections that a broadcast reaches.
    pub(super) fn receivers(&self) -> usize {
        self.receivers.load(Ordering::Relaxed)
    }

    pub(super) fn count_sent(&self, count: usize) {
        self.messages_sent
            .fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn add_receiver(&self) {
        self.receivers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove_receiver(&self) {
        self.receivers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Broadcasts that are sent together.
pub(super) struct Batch {
    first: u64,
    messages: Vec<Arc<Message>>,
    /// All their frames in one; the message itself where there is one.
    joined: Arc<Message>,
}

impl Batch {
    fn new(first: u64, messages: Vec<Arc<Message>>) -> Option<Self> {
        let joined = match &messages[..] {
            [] => return None,
            [only] => Arc::clone(only),
            several => Message::join(several),
        };
        Some(Self {
            first,
            messages,
            joined,
        })
    }

    /// The number behind the last.
    pub(super) fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    /// Those from a number on.
    pub(super) fn since(&self, number: u64) -> &[Arc<Message>] {
        let skip = number.saturating_sub(self.first) as usize;
        self.messages.get(skip..).unwrap_or_default()
    }

    /// All frames as one piece, for those who have seen none.
    pub(super) fn joined(&self) -> &Arc<Message> {
        &self.joined
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }
}
