//! One call of one plugin, of whatever kind: limits, queue, deadline, cancellation, drain. No HTTP.

mod pending;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep},
};

use crate::{
    body::{self, BodyError},
    generation::{CallLimits, Generation, LiveGeneration},
    invocation::{CallId, CallKind, Input, Invocation, Target},
    registry::{Plugin, PluginState},
    runtime::{CallError, CallReply, CallResult, Started},
};
use mozaiks_auth::Principal;
pub use pending::PendingCall;

/// Bodies from here on are checked before they reach the Python thread, which a broken or deep one
/// would hold for nothing.
const CHECKED_BODY_BYTES: usize = 32 * 1024;

/// Why a call gave no dict.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DispatchError {
    /// Switched off.
    #[error("the plugin is disabled")]
    Disabled,
    /// Not loaded; the reason is for admins only.
    #[error("the plugin is not available")]
    Unavailable(Arc<str>),
    /// It has lifecycle functions, routes and the like, and no `execute`.
    #[error("the plugin has no execute")]
    NoExecute,
    /// The plugin's or the runtime's queue is full, or the gateway is draining.
    #[error("too many calls are waiting")]
    Overloaded,
    /// No answer within the limit, which counts from the call's start; it has been asked to stop.
    #[error("the plugin did not answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// Its turn did not come within the limit for waiting; it has not run and will not.
    #[error("the call did not start within {} s", .0.as_secs_f64())]
    NotStarted(Duration),
    /// The call itself failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// A call that has ended, for events, metrics and logs.
#[derive(Debug)]
pub struct FinishedCall<'a> {
    /// Of which kind it was.
    pub kind: CallKind,
    /// The plugin's name.
    pub plugin: &'a Arc<str>,
    /// The load that was called.
    pub generation: Generation,
    /// Whom it was for, where a user is behind it.
    pub principal: Option<&'a Arc<Principal>>,
    /// Its request id.
    pub request_id: &'a Arc<str>,
    /// From the acceptance to the answer.
    pub elapsed: Duration,
    /// What the caller was told, or would have been.
    pub outcome: &'a Result<CallReply, DispatchError>,
}

/// Is told of every call that was started, once, when it is answered (or has run out of time), also
/// when its client has gone. Called on a tokio thread: it must be quick and must not block.
pub trait CallObserver: Send + Sync + 'static {
    /// A call has ended.
    fn call_finished(&self, call: &FinishedCall<'_>);
}

/// What is to be called, for whom.
#[derive(Debug)]
pub struct Call {
    /// Of which kind it is.
    pub kind: CallKind,
    /// What is called.
    pub target: Target,
    /// What with.
    pub input: Input,
    /// Whom it is for, where a user is behind it.
    pub principal: Option<Arc<Principal>>,
    /// The app it works for: the principal's where there is one.
    pub app_id: Option<Arc<str>>,
    /// Request or event id.
    pub request_id: Arc<str>,
    /// How long it may take at most, where that is less than the plugin's own limit; for a job in any
    /// case.
    pub timeout: Option<Duration>,
}

/// Sends calls to the runtime that holds their generation, within each plugin's limits.
pub struct Dispatcher {
    observers: Vec<Arc<dyn CallObserver>>,
    in_flight: AtomicUsize,
    draining: AtomicBool,
    timers: Timers,
}

impl Dispatcher {
    /// A dispatcher that tells `observers` of each call's end, in their order.
    pub fn new(observers: Vec<Arc<dyn CallObserver>>) -> Arc<Self> {
        Arc::new(Self {
            observers,
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            timers: Timers::default(),
        })
    }

    /// Calls `execute` for a user and waits for its dict; see [`Self::invoke`].
    ///
    /// # Errors
    /// As [`Self::check`] and [`Self::invoke`].
    pub async fn call(
        self: &Arc<Self>,
        plugin: &Plugin,
        principal: Arc<Principal>,
        request_id: Arc<str>,
        body: Bytes,
    ) -> Result<CallReply, DispatchError> {
        let generation = self.admit(plugin, &principal.app_id)?;
        let call = Call {
            kind: CallKind::Execute,
            target: generation.execute().ok_or(DispatchError::NoExecute)?,
            input: Input::Body(body),
            app_id: Some(Arc::clone(&principal.app_id)),
            principal: Some(principal),
            request_id,
            timeout: None,
        };
        self.invoke(generation, call)?.await
    }

    /// Puts a call into the queue of its generation's runtime, without waiting. What it gives ends with
    /// the call or with its time limit; the call goes on when it is dropped (a client that goes away
    /// does not cancel its call).
    ///
    /// # Errors
    /// [`DispatchError::Overloaded`] where the plugin or the runtime is full or a client's call comes
    /// while draining; [`DispatchError::Disabled`] in an app that the plugin is not on for, but for
    /// steps of its life; what is wrong with a large input. Observers do not hear of these: the call never
    /// started.
    pub fn invoke(
        self: &Arc<Self>,
        generation: Arc<LiveGeneration>,
        call: Call,
    ) -> Result<PendingCall, DispatchError> {
        if call.kind.is_from_outside() && self.draining.load(Ordering::Acquire) {
            return Err(DispatchError::Overloaded);
        }
        if let Some(app_id) = &call.app_id
            && call.kind != CallKind::Life
            && !generation.is_on_for(app_id)
        {
            return Err(DispatchError::Disabled);
        }
        if let (Some(gate), Some(app_id)) = (generation.gate(), &call.app_id)
            && call.kind != CallKind::Life
            && !gate.is_open(app_id)
        {
            let (gate, app_id) = (Arc::clone(gate), Arc::clone(app_id));
            return self.invoke_later(&gate, app_id, generation, call);
        }
        let running = self.start(generation, call)?;
        Ok(PendingCall::running(running))
    }

    /// Puts a call into the queue of its generation's runtime, once nothing is in its way.
    fn start(
        self: &Arc<Self>,
        generation: Arc<LiveGeneration>,
        call: Call,
    ) -> Result<RunningCall, DispatchError> {
        let permit = generation.acquire().ok_or(DispatchError::Overloaded)?;
        let runtime = generation.runtime();
        if let Some(object) = call.input.of_client()
            && object.len() >= CHECKED_BODY_BYTES
        {
            check_object(object, runtime.max_body_depth())?;
        }
        let limits = TimeLimits::of(generation.limits(), call.kind, call.timeout);
        let timer = self.timers.after(limits.running.min(limits.waiting));
        let id = CallId::next();
        let invocation = Invocation {
            id,
            target: call.target,
            input: call.input,
            wants: call.kind.wants(),
            principal: call.principal.clone(),
            app_id: call.app_id,
            request_id: call.request_id.clone(),
            timeout: limits.running,
            permit: Some(permit),
            started: timer.started.clone(),
        };
        let submitted = Instant::now();
        let receiver = runtime
            .submit(invocation)
            .map_err(|_| DispatchError::Overloaded)?;
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Ok(RunningCall {
            dispatcher: self.clone(),
            kind: call.kind,
            generation,
            principal: call.principal,
            request_id: call.request_id,
            id,
            submitted,
            limits,
            receiver,
            timer: Some(timer),
        })
    }

    /// Whether the plugin takes calls for an app now, before more is known of the call.
    ///
    /// # Errors
    /// [`DispatchError::Disabled`], [`DispatchError::Unavailable`], or [`DispatchError::Overloaded`]
    /// while draining.
    pub fn check(&self, plugin: &Plugin, app_id: &str) -> Result<(), DispatchError> {
        self.admit(plugin, app_id).map(drop)
    }

    fn admit(&self, plugin: &Plugin, app_id: &str) -> Result<Arc<LiveGeneration>, DispatchError> {
        if self.draining.load(Ordering::Acquire) {
            return Err(DispatchError::Overloaded);
        }
        if !plugin.apps().is_on_for(app_id) {
            return Err(DispatchError::Disabled);
        }
        match plugin.state() {
            PluginState::Active(generation) => match generation.failure_in(app_id) {
                Some(reason) => Err(DispatchError::Unavailable(reason)),
                None => Ok(generation),
            },
            PluginState::Disabled => Err(DispatchError::Disabled),
            PluginState::Loading => Err(DispatchError::Unavailable(
                "it is still being loaded".into(),
            )),
            PluginState::Failed(reason) => Err(DispatchError::Unavailable(reason)),
        }
    }

    /// Calls started and not yet ended: what draining waits for.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// From now on every call from outside is answered `Overloaded`; events still reach their
    /// subscribers.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }
}

fn check_object(object: &Bytes, max_depth: usize) -> Result<(), CallError> {
    body::check_object(object, max_depth).map_err(|error| match error {
        BodyError::Invalid(reason) => CallError::InvalidJson(reason),
        BodyError::WrongType(found) => CallError::NotAnObject(found.into()),
        BodyError::Sink(reason) => CallError::Internal(reason),
    })
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
struct TimeLimits {
    /// From its start.
    running: Duration,
    /// Until its start.
    waiting: Duration,
}

impl TimeLimits {
    /// Those of the plugin, or of a call that has a limit of its own for all of it.
    fn of(plugin: CallLimits, kind: CallKind, own: Option<Duration>) -> Self {
        let running = match own {
            Some(own) if kind.may_take_longer() => own,
            own => plugin.timeout.min(own.unwrap_or(Duration::MAX)),
        };
        let own = own.unwrap_or(Duration::MAX);
        Self {
            running,
            waiting: plugin.queue_timeout.min(own),
        }
    }
}

/// What keeps a call's time.
struct Timer {
    /// A timer of tokio's.
    sleep: Pin<Box<Sleep>>,
    /// Where the runtime says that the call has begun.
    started: Started,
}

/// Timers for further calls. A timer is large and has a place in tokio's wheel, which takes a lock to
/// enter and to leave; one that is set to a later moment just keeps its place.
#[derive(Default)]
struct Timers(Mutex<Vec<Timer>>);

/// Most timers kept.
const SPARE_TIMERS: usize = 1024;

impl Timers {
    fn after(&self, time: Duration) -> Timer {
        let spare = self.0.lock().pop();
        match spare {
            Some(mut timer) => {
                timer.sleep.as_mut().reset(Instant::now() + time);
                timer
            }
            None => Timer {
                sleep: Box::pin(sleep(time)),
                started: Started::default(),
            },
        }
    }

    fn give_back(&self, timer: Timer) {
        // A call that goes on past its limit still holds its own.
        let Some(started) = timer.started.renew() else {
            return;
        };
        let mut spare = self.0.lock();
        if spare.len() < SPARE_TIMERS {
            spare.push(Timer {
                sleep: timer.sleep,
                started,
            });
        }
    }
}

/// A call on its way; ends by its answer or its deadline.
struct RunningCall {
    dispatcher: Arc<Dispatcher>,
    kind: CallKind,
    generation: Arc<LiveGeneration>,
    principal: Option<Arc<Principal>>,
    request_id: Arc<str>,
    id: CallId,
    submitted: Instant,
    limits: TimeLimits,
    receiver: oneshot::Receiver<CallResult>,
    /// Given back at the end.
    timer: Option<Timer>,
}

impl RunningCall {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<CallReply, DispatchError>> {
        let outcome = match Pin::new(&mut self.receiver).poll(context) {
            Poll::Ready(Ok(result)) => self.within_limits(result).map_err(DispatchError::Call),
            Poll::Ready(Err(_)) => {
                let reason = "the runtime dropped the call".to_owned();
                Err(DispatchError::Call(CallError::Internal(reason)))
            }
            Poll::Pending => {
                let over = std::task::ready!(self.poll_limits(context));
                self.generation.runtime().cancel(self.id);
                Err(over)
            }
        };
        if let Some(timer) = self.timer.take() {
            self.dispatcher.timers.give_back(timer);
        }
        self.finish(&outcome);
        Poll::Ready(outcome)
    }

    /// The result, where it is not larger than the plugin's own limit.
    fn within_limits(&self, result: CallResult) -> CallResult {
        let most = self.generation.limits().max_output_bytes;
        match (&result, most) {
            (Ok(reply), Some(limit_bytes)) if reply.body.len() > limit_bytes => {
                Err(CallError::OutputTooLarge { limit_bytes })
            }
            _ => result,
        }
    }

    /// Ready once a limit has passed. The start of a call wakes nobody: the timer looks no later than
    /// a call that starts right after a look could be over.
    fn poll_limits(&mut self, context: &mut Context<'_>) -> Poll<DispatchError> {
        let TimeLimits { running, waiting } = self.limits;
        let Some(timer) = self.timer.as_mut() else {
            return Poll::Pending;
        };
        loop {
            std::task::ready!(timer.sleep.as_mut().poll(context));
            let now = Instant::now();
            let (next, over) = match timer.started.at() {
                Some(at) => (
                    Instant::from_std(at) + running,
                    DispatchError::TimedOut(running),
                ),
                None => {
                    let end = self.submitted + waiting;
                    let over = DispatchError::NotStarted(waiting);
                    if now >= end {
                        return Poll::Ready(over);
                    }
                    (end.min(now + running), over)
                }
            };
            if now >= next {
                return Poll::Ready(over);
            }
            timer.sleep.as_mut().reset(next);
        }
    }

    fn finish(&self, outcome: &Result<CallReply, DispatchError>) {
        self.dispatcher.in_flight.fetch_sub(1, Ordering::AcqRel);
        let finished = FinishedCall {
            kind: self.kind,
            plugin: self.generation.plugin(),
            generation: self.generation.id(),
            principal: self.principal.as_ref(),
            request_id: &self.request_id,
            elapsed: self.submitted.elapsed(),
            outcome,
        };
        for observer in &self.dispatcher.observers {
            observer.call_finished(&finished);
        }
    }
}

#[cfg(test)]
mod tests;
