//! Work for the loop thread, and its queue.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::prelude::*;

use crate::{
    aside::Ended,
    call::Call,
    code::Function,
    host_link::AnswerSink,
    inbox::{Inbox, PushError},
    outbox::ReplySlot,
    watch::Watch,
};
use mozaiks_plugins::{CallId, HostError, Invocation, SubmitError};

/// A call that has been taken.
pub(super) struct CallJob {
    pub call: Invocation,
    pub function: Function,
    pub reply: ReplySlot,
}

/// Work for the loop thread.
pub(super) enum Job {
    /// Call a function.
    Call(CallJob),
    /// Await what a plain function gave back.
    Await { awaitable: Py<PyAny>, call: Call },
    /// Cancel a call's task.
    Cancel(CallId),
    /// The host has answered a request.
    Answer {
        request: u64,
        result: Result<Bytes, HostError>,
    },
    /// A function that was put aside has ended.
    Aside(Ended),
    /// End the loop.
    Stop,
}

/// The loop thread's queue.
pub(super) struct LoopQueue {
    pub inbox: Inbox<Job>,
    /// Sees to wake-ups that are put off.
    watch: Arc<Watch>,
}

impl LoopQueue {
    /// A queue for so many calls.
    ///
    /// # Errors
    /// Where the system has no file descriptor left.
    pub(super) fn new(capacity: usize, watch: Arc<Watch>) -> std::io::Result<Self> {
        Ok(Self {
            inbox: Inbox::new(capacity)?,
            watch,
        })
    }

    /// Puts a call into the queue.
    ///
    /// # Errors
    /// Where the queue is full or the loop has ended.
    pub(super) fn push(&self, call: CallJob) -> Result<(), SubmitError> {
        let pushed = self.inbox.push(Job::Call(call));
        let put_off = pushed.map_err(|(error, _)| match error {
            PushError::Full => SubmitError::Full,
            PushError::Closed => SubmitError::Stopped,
        })?;
        if put_off {
            self.watch.look_soon();
        }
        Ok(())
    }
}

impl AnswerSink for LoopQueue {
    fn answer(&self, request: u64, result: Result<Bytes, HostError>) {
        // Refused only once the loop is gone, and with it whoever waited.
        if let Ok(true) = self.inbox.push_answer(Job::Answer { request, result }) {
            self.watch.look_soon();
        }
    }
}
