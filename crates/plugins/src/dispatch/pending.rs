//! A call that somebody waits for: it runs, or waits until its plugin has been enabled in its app.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::{Call, DispatchError, Dispatcher, RunningCall, TimeLimits};
use crate::{
    app_gate::{AppGate, AppState},
    generation::LiveGeneration,
    invocation::{CallId, CallKind},
    runtime::{CallError, CallReply, CallResult},
};

/// A call before its start.
struct LaterCall {
    start: BoxFuture<'static, Result<RunningCall, DispatchError>>,
    cancelled: Arc<AtomicBool>,
}

/// A running call that somebody waits for. Dropped before its end, the call goes on by itself: its
/// deadline and its observers still hold.
pub struct PendingCall {
    /// Where it has not been started yet.
    later: Option<LaterCall>,
    running: Option<RunningCall>,
    /// Where the runtime still answers a call whose time was up.
    late: Option<oneshot::Receiver<CallResult>>,
}

impl PendingCall {
    pub(super) fn running(running: RunningCall) -> Self {
        Self {
            later: None,
            running: Some(running),
            late: None,
        }
    }

    /// The call, once it has been taken by its runtime.
    pub fn id(&self) -> Option<CallId> {
        self.running.as_ref().map(|running| running.id)
    }

    /// Asks that the call be cancelled.
    pub fn cancel(&self) {
        if let Some(later) = &self.later {
            later.cancelled.store(true, Ordering::Release);
        }
        if let Some(running) = &self.running {
            running.generation.runtime().cancel(running.id);
        }
    }

    /// Waits, after the outcome, until nothing of the call runs any more: code that ignores its
    /// cancellation may go on past the limit.
    pub async fn ended(&mut self) {
        if let Some(late) = &mut self.late {
            drop(late.await);
            self.late = None;
        }
    }
}

impl Future for PendingCall {
    type Output = Result<CallReply, DispatchError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(later) = &mut self.later {
            let started = std::task::ready!(later.start.as_mut().poll(context));
            self.later = None;
            match started {
                Ok(running) => self.running = Some(running),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let running = self
            .running
            .as_mut()
            .expect("invariant: not polled after its end");
        let outcome = std::task::ready!(running.poll(context));
        let running = self.running.take();
        if let Err(DispatchError::TimedOut(_) | DispatchError::NotStarted(_)) = outcome {
            self.late = running.map(|running| running.receiver);
        }
        Poll::Ready(outcome)
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        let (later, running) = (self.later.take(), self.running.take());
        if later.is_none() && running.is_none() {
            return;
        }
        if let Ok(handle) = tokio::runtime::Handle::try_current() {
            // Nobody waits for the outcome; the observers have heard it.
            handle.spawn(async move {
                let mut running = match (later, running) {
                    (_, Some(running)) => running,
                    (Some(later), None) => match later.start.await {
                        Ok(running) => running,
                        Err(_) => return,
                    },
                    (None, None) => return,
                };
                drop(std::future::poll_fn(|context| running.poll(context)).await);
            });
        }
    }
}

impl Dispatcher {
    /// Waits until a load has been enabled in an app, for what it registers by that; `false` where it has
    /// been so already.
    ///
    /// # Errors
    /// As [`Self::invoke`].
    pub async fn enabled_in(
        self: &Arc<Self>,
        generation: &Arc<LiveGeneration>,
        app_id: &Arc<str>,
    ) -> Result<bool, DispatchError> {
        let Some(gate) = generation.gate().filter(|gate| !gate.is_open(app_id)) else {
            return Ok(false);
        };
        if !generation.is_on_for(app_id) {
            return Err(DispatchError::Disabled);
        }
        let limits = generation.limits();
        let place = gate.queue(limits.max_concurrency);
        let _held = (place.ok_or(DispatchError::Overloaded)?, Accepted::new(self));
        pass(gate, generation, app_id, limits.queue_timeout).await?;
        Ok(true)
    }

    /// A call for an app in which its load has not been enabled yet, or could not be. It waits no longer
    /// than calls wait for their start, and no more of them than the plugin may have at a time.
    pub(super) fn invoke_later(
        self: &Arc<Self>,
        gate: &Arc<AppGate>,
        app_id: Arc<str>,
        id: CallId,
        generation: Arc<LiveGeneration>,
        call: Call,
    ) -> Result<PendingCall, DispatchError> {
        if let Some(reason) = gate.failure(&app_id) {
            return Err(DispatchError::Unavailable(reason));
        }
        let most = generation.limits().max_concurrency;
        let place = gate.queue(most).ok_or(DispatchError::Overloaded)?;
        let waiting = TimeLimits::of(generation.limits(), call.kind, call.timeout).waiting;
        let cancelled = Arc::new(AtomicBool::new(false));
        let (dispatcher, gate, is_cancelled) =
            (Arc::clone(self), Arc::clone(gate), Arc::clone(&cancelled));
        let accepted = Accepted::new(self);
        let mut call = call;
        let start = async move {
            let _held = (place, accepted);
            pass(&gate, &generation, &app_id, waiting).await?;
            if is_cancelled.load(Ordering::Acquire) {
                return Err(CallError::Cancelled.into());
            }
            if call.kind == CallKind::Execute
                && let Some(target) = generation.execute()
            {
                // Being enabled may have put something round it.
                call.target = target;
            }
            dispatcher.start(id, generation, call)
        };
        Ok(PendingCall {
            later: Some(LaterCall {
                start: Box::pin(start),
                cancelled,
            }),
            running: None,
            late: None,
        })
    }
}

/// Waits until a load has been enabled in an app.
async fn pass(
    gate: &AppGate,
    generation: &Arc<LiveGeneration>,
    app_id: &Arc<str>,
    waiting: Duration,
) -> Result<(), DispatchError> {
    match tokio::time::timeout(waiting, gate.pass(generation, app_id)).await {
        Ok(AppState::On) => Ok(()),
        Ok(AppState::Failed(reason)) => Err(DispatchError::Unavailable(reason)),
        // Switched off while it waited.
        Ok(_) if !generation.is_on_for(app_id) => Err(DispatchError::Disabled),
        // This load ends, or could not be asked: another try finds another one.
        Ok(AppState::Off | AppState::Wanted) => Err(DispatchError::Overloaded),
        Err(_) => Err(DispatchError::NotStarted(waiting)),
    }
}

/// A call that has been accepted and not been started: the end of the gateway waits for it too.
struct Accepted(Arc<Dispatcher>);

impl Accepted {
    fn new(dispatcher: &Arc<Dispatcher>) -> Self {
        dispatcher.in_flight.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(dispatcher))
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
