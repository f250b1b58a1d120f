//! One call of one plugin, of whatever kind: limits, queue, deadline, cancellation, drain. No HTTP.

mod pending;
mod timers;

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
use tokio::{sync::oneshot, time::Instant};

use crate::{
    body::Record,
    generation::{Generation, LiveGeneration},
    host::HostError,
    invocation::{CallId, CallKind, Input, Invocation, Target},
    queue_delay::{CallQueue, DelayLimits},
    registry::{Plugin, PluginState},
    runtime::{CallError, CallReply, CallResult},
    started::{Queues, nanos},
    traffic::Traffic,
};
use mozaiks_auth::Principal;
use mozaiks_telemetry::metrics::RefusalReason;
pub use pending::PendingCall;
use timers::{TimeLimits, Timer, Timers};

/// Bodies from here on are checked before they reach the Python thread, which a broken or deep one
/// would hold for nothing, and what they hold is recorded for it.
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
    /// What the client sent is not what its action takes, or names none.
    #[error("{}", .0.message)]
    Misfit(HostError),
    /// It has lifecycle functions, routes and the like, and no `execute`.
    #[error("the plugin has no execute")]
    NoExecute,
    /// The plugin's or the runtime's queue is full or stands still, or the gateway is draining.
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
    /// Its calls.
    pub traffic: &'a Arc<Traffic>,
    /// The load that was called.
    pub generation: Generation,
    /// What of it.
    pub target: Target,
    /// Whom it was for, where a user is behind it.
    pub principal: Option<&'a Arc<Principal>>,
    /// The app it was for, where it was for one.
    pub app_id: Option<&'a Arc<str>>,
    /// Bytes of what it was called with.
    pub input_bytes: usize,
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
    queues: Arc<Queues>,
}

impl Dispatcher {
    /// A dispatcher that tells `observers` of each call's end, in their order.
    pub fn new(observers: Vec<Arc<dyn CallObserver>>) -> Arc<Self> {
        Self::with_limits(observers, DelayLimits::none())
    }

    /// As [`Self::new`]; calls from outside are refused where those before them wait for too long.
    pub fn with_limits(observers: Vec<Arc<dyn CallObserver>>, limits: DelayLimits) -> Arc<Self> {
        Arc::new(Self {
            queues: Arc::new(Queues {
                all: CallQueue::default(),
                limits,
            }),
            observers,
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            timers: Timers::default(),
        })
    }

    /// Calls `execute`, or the action that the body names, for a user and waits for its dict; see
    /// [`Self::invoke`].
    ///
    /// # Errors
    /// As [`Self::check`] and [`Self::invoke`]; [`DispatchError::Misfit`] where the plugin has typed actions
    /// and the body fits none.
    pub async fn call(
        self: &Arc<Self>,
        plugin: &Plugin,
        principal: Arc<Principal>,
        request_id: Arc<str>,
        body: Bytes,
    ) -> Result<CallReply, DispatchError> {
        let generation = self.admit(plugin, &principal.app_id)?;
        let target = generation.execute().ok_or(DispatchError::NoExecute)?;
        if let Some(actions) = generation.actions() {
            actions.check(&body, generation.runtime().max_body_depth())?;
        }
        let call = Call {
            kind: CallKind::Execute,
            target,
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
    /// while draining or while those before it wait for too long; [`DispatchError::Disabled`] in an app that the plugin is not on for, but for
    /// steps of its life; what is wrong with a large input. Observers do not hear of these: the call never
    /// started.
    pub fn invoke(
        self: &Arc<Self>,
        generation: Arc<LiveGeneration>,
        call: Call,
    ) -> Result<PendingCall, DispatchError> {
        self.invoke_as(CallId::next(), generation, call)
    }

    /// As [`Self::invoke`], under a number that its caller has taken from [`CallId::next`], to know by it
    /// what the call asks for.
    ///
    /// # Errors
    /// As [`Self::invoke`].
    pub fn invoke_as(
        self: &Arc<Self>,
        id: CallId,
        generation: Arc<LiveGeneration>,
        call: Call,
    ) -> Result<PendingCall, DispatchError> {
        let traffic = generation.traffic();
        if call.kind.is_from_outside() {
            if self.draining.load(Ordering::Acquire) {
                return Err(refuse(traffic, call.kind, RefusalReason::Draining));
            }
            self.check_delay(traffic, call.kind)?;
        }
        if let Some(app_id) = &call.app_id
            && !call.kind.is_about_plugin()
            && !generation.is_on_for(app_id)
        {
            return Err(DispatchError::Disabled);
        }
        if let (Some(gate), Some(app_id)) = (generation.gate(), &call.app_id)
            && !call.kind.is_about_plugin()
            && !gate.is_open(app_id)
        {
            let (gate, app_id) = (Arc::clone(gate), Arc::clone(app_id));
            return self.invoke_later(&gate, app_id, id, generation, call);
        }
        let running = self.start(id, generation, call)?;
        Ok(PendingCall::running(running))
    }

    /// Puts a call into the queue of its generation's runtime, once nothing is in its way.
    fn start(
        self: &Arc<Self>,
        id: CallId,
        generation: Arc<LiveGeneration>,
        call: Call,
    ) -> Result<RunningCall, DispatchError> {
        let traffic = generation.traffic();
        let permit = generation.acquire();
        let permit =
            permit.ok_or_else(|| refuse(traffic, call.kind, RefusalReason::Concurrency))?;
        let runtime = generation.runtime();
        let mut record = None;
        if let Some(object) = call.input.of_client()
            && object.len() >= CHECKED_BODY_BYTES
        {
            record = check_object(object, runtime.max_body_depth())?.map(Box::new);
        }
        let limits = TimeLimits::of(generation.limits(), call.kind, call.timeout);
        let submitted = Instant::now();
        let first_look = submitted + limits.running.min(limits.waiting);
        let mut timer = self.timers.until(first_look);
        // A step of its life may wait for a process to start: that is no queue.
        if call.kind != CallKind::Life {
            let now = submitted.into_std();
            timer.started.enter_queue(now, traffic, &self.queues);
        }
        let (app_id, input_bytes) = (call.app_id.clone(), call.input.len());
        let invocation = Invocation {
            id,
            target: call.target,
            input: call.input,
            record,
            wants: call.kind.wants(),
            principal: call.principal.clone(),
            app_id: call.app_id,
            request_id: call.request_id.clone(),
            timeout: limits.running,
            permit: Some(permit),
            started: timer.started.clone(),
        };
        let receiver = match runtime.submit(invocation) {
            Ok(receiver) => receiver,
            Err(_) => {
                timer.started.abandon();
                self.timers.give_back(timer);
                return Err(refuse(traffic, call.kind, RefusalReason::QueueFull));
            }
        };
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Ok(RunningCall {
            dispatcher: self.clone(),
            kind: call.kind,
            target: call.target,
            generation,
            principal: call.principal,
            app_id,
            input_bytes,
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
    /// while draining or while its calls wait for too long.
    pub fn check(&self, plugin: &Plugin, app_id: &str) -> Result<(), DispatchError> {
        self.admit(plugin, app_id)?;
        self.check_delay(plugin.traffic(), CallKind::Execute)
    }

    /// As [`Self::check`], for the route of a load that was found.
    ///
    /// # Errors
    /// [`DispatchError::Overloaded`].
    pub fn check_route(&self, generation: &LiveGeneration) -> Result<(), DispatchError> {
        self.check_delay(generation.traffic(), CallKind::Route)
    }

    /// Refuses what would wait for too long. A plugin without a call that waits is never refused: its next one
    /// shows how long that takes.
    fn check_delay(&self, traffic: &Traffic, kind: CallKind) -> Result<(), DispatchError> {
        if traffic.queue.waiting() == 0 {
            return Ok(());
        }
        let now = nanos(Instant::now().into_std());
        let Queues { all, limits } = &*self.queues;
        if traffic.queue.stands(now, limits.plugin) {
            return Err(refuse(traffic, kind, RefusalReason::PluginDelay));
        }
        if all.stands(now, limits.gateway) {
            return Err(refuse(traffic, kind, RefusalReason::GatewayDelay));
        }
        Ok(())
    }

    /// All calls that were taken and have not begun.
    pub fn queue(&self) -> &CallQueue {
        &self.queues.all
    }

    fn admit(&self, plugin: &Plugin, app_id: &str) -> Result<Arc<LiveGeneration>, DispatchError> {
        if self.draining.load(Ordering::Acquire) {
            return Err(refuse(
                plugin.traffic(),
                CallKind::Execute,
                RefusalReason::Draining,
            ));
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

fn refuse(traffic: &Traffic, kind: CallKind, reason: RefusalReason) -> DispatchError {
    traffic.metrics.call_refused(kind.counted(), reason);
    DispatchError::Overloaded
}

fn check_object(object: &Bytes, max_depth: usize) -> Result<Option<Record>, CallError> {
    Record::of(object, max_depth).map_err(CallError::from)
}

/// A call on its way; ends by its answer or its deadline.
struct RunningCall {
    dispatcher: Arc<Dispatcher>,
    kind: CallKind,
    target: Target,
    generation: Arc<LiveGeneration>,
    principal: Option<Arc<Principal>>,
    app_id: Option<Arc<str>>,
    input_bytes: usize,
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
            traffic: self.generation.traffic(),
            generation: self.generation.id(),
            target: self.target,
            principal: self.principal.as_ref(),
            app_id: self.app_id.as_ref(),
            input_bytes: self.input_bytes,
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
