//! The way out: replies and work for the host leave in batches, and one task inside tokio completes the
//! ones and starts the other.
//!
//! Completing a oneshot or spawning from a Python thread costs a wake-up system call each. No Python
//! here.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
};

use mozaiks_plugins::{CallResult, generation::Permit};

/// Replies that wait for a notification at most.
const BATCH: usize = 8;

/// Where an answer goes. Counts as running until it is answered or dropped.
pub(super) struct ReplySlot {
    sender: oneshot::Sender<CallResult>,
    outbox: Arc<Outbox>,
    /// The call's permit, given back before its caller hears: a client that calls again at once must
    /// find it free.
    permit: Option<Permit>,
    _running: Running,
}

/// Counts calls that are neither answered nor given up.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Finished replies on their way to their callers, and work that plugins ask of the host.
pub(super) struct Outbox {
    /// Held only to push or to swap.
    waiting: Mutex<Waiting>,
    notify: Notify,
    /// Whether the task still runs; without it replies are completed where they arise.
    open: AtomicBool,
    running: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Waiting {
    replies: Vec<(oneshot::Sender<CallResult>, CallResult)>,
    work: Vec<BoxFuture<'static, ()>>,
}

impl ReplySlot {
    pub(super) fn new(
        outbox: &Arc<Outbox>,
        permit: Option<Permit>,
    ) -> (Self, oneshot::Receiver<CallResult>) {
        let (sender, receiver) = oneshot::channel();
        outbox.running.fetch_add(1, Ordering::Relaxed);
        let slot = Self {
            sender,
            outbox: outbox.clone(),
            permit,
            _running: Running(outbox.running.clone()),
        };
        (slot, receiver)
    }

    /// Answers; the caller hears of it at the next [`Outbox::flush`] or with a full batch.
    pub(super) fn complete(self, result: CallResult) {
        let outbox = self.outbox;
        drop(self.permit);
        if !outbox.open.load(Ordering::Acquire) {
            // The caller is gone where this fails; there is nobody left to tell.
            self.sender.send(result).ok();
            return;
        }
        let full = {
            let mut waiting = outbox.waiting.lock();
            waiting.replies.push((self.sender, result));
            waiting.replies.len() >= BATCH
        };
        if full {
            outbox.notify.notify_one();
        }
    }
}

impl Outbox {
    /// An outbox with its task on `handle`.
    pub(super) fn start(handle: &Handle) -> Arc<Self> {
        let outbox = Arc::new(Self {
            waiting: Mutex::default(),
            notify: Notify::new(),
            open: AtomicBool::new(true),
            running: Arc::default(),
        });
        handle.spawn(Courier(outbox.clone()).run());
        outbox
    }

    /// Starts work on the runtime at the next [`Outbox::flush`] or with a full batch. How much there can
    /// be is the caller's to bound.
    pub(super) fn start_work(&self, handle: &Handle, work: BoxFuture<'static, ()>) {
        if !self.open.load(Ordering::Acquire) {
            handle.spawn(work);
            return;
        }
        let full = {
            let mut waiting = self.waiting.lock();
            waiting.work.push(work);
            waiting.work.len() >= BATCH
        };
        if full {
            self.notify.notify_one();
        }
    }

    /// Tells the task if anything waits. Needs no Python, so the watchdog may call it while plugin
    /// code holds the loop.
    pub(super) fn flush(&self) {
        let waits = {
            let waiting = self.waiting.lock();
            !waiting.replies.is_empty() || !waiting.work.is_empty()
        };
        if waits {
            self.notify.notify_one();
        }
    }

    /// Calls not yet answered.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Ends the task once everything is delivered.
    pub(super) fn close(&self) {
        self.open.store(false, Ordering::Release);
        self.notify.notify_one();
    }

    fn deliver(&self, batch: &mut Waiting) {
        std::mem::swap(&mut *self.waiting.lock(), batch);
        for (sender, result) in batch.replies.drain(..) {
            // As in `complete`: nobody left to tell.
            sender.send(result).ok();
        }
    }
}

/// The task's hold on the outbox. When its runtime stops, replies go without it.
struct Courier(Arc<Outbox>);

impl Courier {
    async fn run(self) {
        let mut batch = Waiting::default();
        while self.0.open.load(Ordering::Acquire) {
            self.0.notify.notified().await;
            self.0.deliver(&mut batch);
            for work in batch.work.drain(..) {
                tokio::spawn(work);
            }
        }
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.0.open.store(false, Ordering::Release);
        // Work that waits ends with the runtime.
        self.0.deliver(&mut Waiting::default());
    }
}
