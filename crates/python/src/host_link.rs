//! What plugin code has of its runtime: the way to the host, with the requests that wait for an answer.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use pyo3::prelude::*;
use tokio::{runtime::Handle, task::JoinError};

use crate::{code::CodeTable, loop_state::LoopState, outbox::Outbox};
use mozaiks_plugins::{Caller, HostError, HostServices};

/// Takes the host's answers to the loop.
pub(super) trait AnswerSink: Send + Sync {
    /// The host has answered a request.
    fn answer(&self, request: u64, result: Result<Bytes, HostError>);
}

/// The way to the host.
pub(super) struct HostLink {
    pub services: Arc<dyn HostServices>,
    /// Where what plugin code registers is kept.
    pub codes: Arc<CodeTable>,
    /// Which thread is the loop's.
    pub looping: Arc<LoopState>,
    /// Where requests run.
    handle: Handle,
    outbox: Arc<Outbox>,
    answers: Arc<dyn AnswerSink>,
    /// Futures of requests. Never held while Python code may run.
    futures: Mutex<HashMap<u64, Py<PyAny>, RandomState>>,
    next_id: AtomicU64,
    /// Requests without an answer, at most `max_requests`.
    pending: AtomicUsize,
    max_requests: usize,
}

impl HostLink {
    /// A link to these services; answers go to `answers`.
    pub(super) fn new(
        services: Arc<dyn HostServices>,
        handle: Handle,
        codes: Arc<CodeTable>,
        looping: Arc<LoopState>,
        outbox: Arc<Outbox>,
        answers: Arc<dyn AnswerSink>,
        max_requests: usize,
    ) -> Self {
        Self {
            services,
            codes,
            looping,
            handle,
            outbox,
            answers,
            futures: Mutex::default(),
            next_id: 1.into(),
            pending: 0.into(),
            max_requests,
        }
    }

    /// Sends a request; its answer arrives in the [`AnswerSink`], for this future.
    ///
    /// # Errors
    /// `OVERLOADED` where too many wait.
    pub(super) fn send(
        &self,
        caller: Caller,
        operation: &str,
        payload: Bytes,
        future: Py<PyAny>,
    ) -> Result<(), HostError> {
        self.reserve()?;
        let request = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.futures.lock().insert(request, future);
        let work = self.services.request(caller, operation, payload);
        let answers = self.answers.clone();
        let answering = async move {
            // A panic of the host must still give an answer.
            let result = AssertUnwindSafe(work).catch_unwind().await;
            let result = result.unwrap_or_else(|_| {
                Err(HostError {
                    code: "INTERNAL_ERROR",
                    message: "the request failed".into(),
                    details: None,
                })
            });
            answers.answer(request, result);
        };
        self.outbox.start_work(&self.handle, Box::pin(answering));
        self.looping.flush_if_idle();
        Ok(())
    }

    /// Sends a request and waits for its answer, without the interpreter.
    ///
    /// # Errors
    /// Where the request panicked.
    pub(super) fn wait(
        &self,
        py: Python<'_>,
        caller: Caller,
        operation: &str,
        payload: Bytes,
    ) -> Result<Result<Bytes, HostError>, JoinError> {
        if let Err(error) = self.reserve() {
            return Ok(Err(error));
        }
        let task = self
            .handle
            .spawn(self.services.request(caller, operation, payload));
        let handle = self.handle.clone();
        let answer = py.detach(move || handle.block_on(task));
        self.pending.fetch_sub(1, Ordering::AcqRel);
        answer
    }

    /// Who waits for an answer that has arrived.
    #[must_use]
    pub(super) fn answered(&self, request: u64) -> Option<Py<PyAny>> {
        let future = self.futures.lock().remove(&request);
        self.pending.fetch_sub(1, Ordering::AcqRel);
        future
    }

    /// Nobody waits any more.
    pub(super) fn give_up(&self) {
        let futures = std::mem::take(&mut *self.futures.lock());
        drop(futures);
    }

    /// Counts a request, unless too many wait.
    fn reserve(&self) -> Result<(), HostError> {
        let before = self.pending.fetch_add(1, Ordering::AcqRel);
        if before < self.max_requests {
            return Ok(());
        }
        self.pending.fetch_sub(1, Ordering::AcqRel);
        Err(HostError {
            code: "OVERLOADED",
            message: "too many requests of plugins are waiting".into(),
            details: None,
        })
    }
}
