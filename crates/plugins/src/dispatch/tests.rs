mod delay;

use parking_lot::Mutex;

use super::*;
use crate::{
    LoadError, LoadedPlugin, PluginRuntime, PluginSource, SubmitError,
    generation::{CallLimits, Generation},
    host::HandlerId,
    runtime::RuntimeStatus,
};

/// Keeps every call until the test answers it.
#[derive(Default)]
struct Held {
    calls: Mutex<Vec<(Invocation, oneshot::Sender<CallResult>)>>,
    cancelled: Mutex<Vec<CallId>>,
    /// Calls wait for as long as this is set.
    waits: std::sync::atomic::AtomicBool,
    unloaded: Mutex<Vec<Generation>>,
}

impl Held {
    fn answer_all(&self) {
        for (mut call, sender) in self.calls.lock().drain(..) {
            drop(call.permit.take());
            let reply = CallReply {
                body: match &call.input {
                    Input::Body(body) | Input::Arguments(body) => body.clone(),
                    Input::Message { object, .. } => object.clone(),
                },
                domain_failure: None,
                action: None,
            };
            // Nobody waits for a call that has timed out.
            sender.send(Ok(reply)).ok();
        }
    }
}

impl PluginRuntime for Held {
    fn load(&self, _: PluginSource) -> oneshot::Receiver<Result<LoadedPlugin, LoadError>> {
        oneshot::channel().1
    }

    fn unload(&self, generation: Generation) {
        self.unloaded.lock().push(generation);
    }

    fn submit(&self, call: Invocation) -> Result<oneshot::Receiver<CallResult>, SubmitError> {
        let (sender, receiver) = oneshot::channel();
        if !self.waits.load(Ordering::Relaxed) {
            assert!(call.started.begin());
        }
        self.calls.lock().push((call, sender));
        Ok(receiver)
    }

    fn cancel(&self, call: CallId) {
        self.cancelled.lock().push(call);
    }

    fn max_body_depth(&self) -> usize {
        64
    }

    fn status(&self) -> RuntimeStatus {
        RuntimeStatus::default()
    }
}

/// A plugin that `runtime` holds.
fn active(runtime: &Arc<Held>, max_concurrency: usize) -> Arc<Plugin> {
    let plugin = Arc::new(Plugin::new("notes", "notes".into()));
    let limits = CallLimits {
        timeout: Duration::from_secs(1),
        max_concurrency,
        queue_timeout: Duration::from_secs(5),
        max_output_bytes: None,
    };
    let generation = plugin.new_generation(runtime.clone(), limits);
    plugin.set_state(PluginState::Active(generation));
    plugin
}

fn generation_of(plugin: &Plugin) -> Arc<LiveGeneration> {
    match plugin.state() {
        PluginState::Active(generation) => generation,
        other => panic!("{other:?}"),
    }
}

/// A call of a function of the plugin, of this kind.
fn handler_call(kind: CallKind) -> Call {
    Call {
        kind,
        target: Target::Handler(HandlerId(7)),
        input: Input::Arguments(Bytes::from_static(b"[{}]")),
        principal: None,
        app_id: Some("app".into()),
        request_id: "event-1".into(),
        timeout: None,
    }
}

fn user() -> Arc<Principal> {
    Arc::new(Principal {
        app_id: "app".into(),
        user_id: "u".into(),
        username: None,
        roles: Vec::new(),
        is_superadmin: false,
        expires_at_unix: u64::MAX,
        verified: mozaiks_auth::VerifiedContacts::default(),
    })
}

async fn call(
    dispatcher: &Arc<Dispatcher>,
    plugin: &Arc<Plugin>,
) -> Result<CallReply, DispatchError> {
    let body = Bytes::from_static(b"{}");
    dispatcher.call(plugin, user(), "r".into(), body).await
}

#[tokio::test]
async fn what_cannot_be_called_is_known_before_there_is_a_body() {
    let runtime = Arc::new(Held::default());
    let dispatcher = Dispatcher::new(Vec::new());
    let plugin = active(&runtime, 1);
    assert!(dispatcher.check(&plugin, "app").is_ok());
    plugin.set_state(PluginState::Disabled);
    assert!(matches!(
        dispatcher.check(&plugin, "app"),
        Err(DispatchError::Disabled)
    ));
    assert!(matches!(
        call(&dispatcher, &plugin).await,
        Err(DispatchError::Disabled)
    ));
    plugin.set_state(PluginState::Failed("no such module".into()));
    let failed = dispatcher.check(&plugin, "app").unwrap_err();
    assert!(matches!(failed, DispatchError::Unavailable(reason) if &*reason == "no such module"));
    plugin.set_state(PluginState::Loading);
    assert!(matches!(
        dispatcher.check(&plugin, "app"),
        Err(DispatchError::Unavailable(_))
    ));
    let plugin = active(&runtime, 1);
    dispatcher.start_draining();
    assert!(matches!(
        dispatcher.check(&plugin, "app"),
        Err(DispatchError::Overloaded)
    ));
    assert!(runtime.calls.lock().is_empty(), "nothing was started");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_end_keeps_its_permit_past_its_deadline() {
    let runtime = Arc::new(Held::default());
    let dispatcher = Dispatcher::new(Vec::new());
    let plugin = active(&runtime, 2);
    for _ in 0..2 {
        assert!(matches!(
            call(&dispatcher, &plugin).await,
            Err(DispatchError::TimedOut(_))
        ));
    }
    assert_eq!(runtime.cancelled.lock().len(), 2);
    assert_eq!((plugin.in_flight(), dispatcher.in_flight()), (2, 0));
    assert!(matches!(
        call(&dispatcher, &plugin).await,
        Err(DispatchError::Overloaded)
    ));
    runtime.answer_all();
    assert_eq!(plugin.in_flight(), 0);
    let (answered, ()) = tokio::join!(call(&dispatcher, &plugin), async { runtime.answer_all() });
    assert_eq!(answered.unwrap().body, "{}");
}

/// Lets a call wait for `wait` before it starts, and says how it ended and after how long.
async fn call_that_waits(wait: Duration) -> (Result<CallReply, DispatchError>, Duration) {
    let runtime = Arc::new(Held::default());
    runtime.waits.store(true, Ordering::Relaxed);
    let dispatcher = Dispatcher::new(Vec::new());
    let plugin = active(&runtime, 2);
    let submitted = Instant::now();
    let starting = async {
        tokio::time::sleep(wait).await;
        if let Some((call, _)) = runtime.calls.lock().first() {
            assert!(call.started.begin());
        }
        std::future::pending().await
    };
    let outcome = tokio::select! {
        outcome = call(&dispatcher, &plugin) => outcome,
        () = starting => unreachable!("it is pending"),
    };
    (outcome, submitted.elapsed())
}

#[tokio::test]
async fn the_time_limit_counts_from_the_start() {
    // In real time: the start is told by the real clock.
    let wait = Duration::from_millis(1300);
    let (outcome, elapsed) = call_that_waits(wait).await;
    assert!(
        matches!(outcome, Err(DispatchError::TimedOut(_))),
        "{outcome:?}"
    );
    let limit = wait + Duration::from_secs(1);
    assert!(elapsed >= limit, "{elapsed:?}");
    assert!(elapsed < limit + Duration::from_millis(900), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_starts_has_a_limit_of_its_own() {
    let (outcome, elapsed) = call_that_waits(Duration::from_secs(3600)).await;
    assert!(
        matches!(outcome, Err(DispatchError::NotStarted(limit)) if limit.as_secs() == 5),
        "{outcome:?}"
    );
    assert_eq!(elapsed.as_secs(), 5);
}

#[test]
fn timers_are_kept_unless_their_call_goes_on() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let timers = Timers::default();
    let ended = timers.until(Instant::now() + Duration::from_secs(1));
    assert!(ended.started.begin());
    timers.give_back(ended);
    let again = timers.until(Instant::now() + Duration::from_secs(1));
    assert_eq!(again.started.at(), None, "it is another call's now");
    let goes_on = again.started.clone();
    timers.give_back(again);
    assert!(timers.0.lock().is_empty());
    assert!(goes_on.begin());
    assert_eq!(
        timers
            .until(Instant::now() + Duration::from_secs(1))
            .started
            .at(),
        None
    );
}

#[derive(Default)]
struct Heard(Mutex<Vec<(CallKind, Option<String>, bool)>>);

impl CallObserver for Heard {
    fn call_finished(&self, call: &FinishedCall<'_>) {
        let user = call
            .principal
            .map(|principal| principal.user_id.to_string());
        self.0.lock().push((call.kind, user, call.outcome.is_ok()));
    }
}

#[tokio::test]
async fn every_kind_of_call_takes_a_permit_and_is_heard_of() {
    let (runtime, heard) = (Arc::new(Held::default()), Arc::new(Heard::default()));
    let dispatcher = Dispatcher::new(vec![heard.clone()]);
    let plugin = active(&runtime, 2);
    let generation = generation_of(&plugin);
    let begin = |kind| dispatcher.invoke(generation.clone(), handler_call(kind));
    let event = begin(CallKind::Event).unwrap();
    let message = begin(CallKind::Message).unwrap();
    assert_eq!((plugin.in_flight(), dispatcher.in_flight()), (2, 2));
    assert!(matches!(
        begin(CallKind::Event),
        Err(DispatchError::Overloaded)
    ));
    assert!(matches!(
        call(&dispatcher, &plugin).await,
        Err(DispatchError::Overloaded)
    ));
    runtime.answer_all();
    assert!(event.await.is_ok() && message.await.is_ok());
    assert_eq!((plugin.in_flight(), dispatcher.in_flight()), (0, 0));
    let (answered, ()) = tokio::join!(call(&dispatcher, &plugin), async { runtime.answer_all() });
    assert!(answered.is_ok());
    assert_eq!(
        *heard.0.lock(),
        [
            (CallKind::Event, None, true),
            (CallKind::Message, None, true),
            (CallKind::Execute, Some("u".into()), true),
        ]
    );
}

#[tokio::test]
async fn draining_refuses_clients_and_waits_for_events() {
    let runtime = Arc::new(Held::default());
    let dispatcher = Dispatcher::new(Vec::new());
    let plugin = active(&runtime, 4);
    let generation = generation_of(&plugin);
    dispatcher.start_draining();
    let begin = |kind| dispatcher.invoke(generation.clone(), handler_call(kind));
    assert!(matches!(
        begin(CallKind::Message),
        Err(DispatchError::Overloaded)
    ));
    let event = begin(CallKind::Event).unwrap();
    assert_eq!(dispatcher.in_flight(), 1, "the drain waits for it");
    runtime.answer_all();
    assert!(event.await.is_ok());
    assert_eq!(dispatcher.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_has_the_shorter_of_two_limits() {
    let runtime = Arc::new(Held::default());
    let dispatcher = Dispatcher::new(Vec::new());
    let generation = generation_of(&active(&runtime, 4));
    for (asked_ms, got_ms) in [(Some(200), 200), (Some(5000), 1000), (None, 1000)] {
        let call = Call {
            timeout: asked_ms.map(Duration::from_millis),
            ..handler_call(CallKind::Event)
        };
        let ended = dispatcher.invoke(generation.clone(), call).unwrap().await;
        let limit = Duration::from_millis(got_ms);
        assert!(
            matches!(ended, Err(DispatchError::TimedOut(after)) if after == limit),
            "{asked_ms:?}"
        );
    }
    let asked: Vec<_> = runtime
        .calls
        .lock()
        .iter()
        .map(|(call, _)| call.id)
        .collect();
    assert_eq!(*runtime.cancelled.lock(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_job_has_its_own_limit_and_tells_when_it_has_really_ended() {
    let runtime = Arc::new(Held::default());
    let dispatcher = Dispatcher::new(Vec::new());
    let generation = generation_of(&active(&runtime, 4));
    let call = Call {
        timeout: Some(Duration::from_secs(9)),
        ..handler_call(CallKind::Job)
    };
    dispatcher.start_draining();
    let mut pending = dispatcher.invoke(generation.clone(), call).unwrap();
    let outcome = (&mut pending).await;
    let limit = Duration::from_secs(9);
    assert!(matches!(outcome, Err(DispatchError::TimedOut(after)) if after == limit));
    assert_eq!(runtime.cancelled.lock().len(), 1);
    let second = Duration::from_secs(1);
    let early = tokio::time::timeout(second, pending.ended()).await;
    assert!(early.is_err(), "its code still runs");
    // What was waited for in vain is waited for again.
    let mut pending = dispatcher
        .invoke(generation, handler_call(CallKind::Job))
        .unwrap();
    assert!((&mut pending).await.is_err());
    runtime.answer_all();
    pending.ended().await;
    pending.ended().await;
}

#[tokio::test]
async fn a_generation_is_unloaded_by_its_own_runtime_when_its_last_call_has_ended() {
    let (first, second) = (Arc::new(Held::default()), Arc::new(Held::default()));
    let dispatcher = Dispatcher::new(Vec::new());
    let plugin = active(&first, 4);
    let old = generation_of(&plugin).id();
    let call_of = || {
        let (dispatcher, plugin) = (dispatcher.clone(), plugin.clone());
        tokio::spawn(async move { call(&dispatcher, &plugin).await })
    };
    let on_old = call_of();
    while first.calls.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    let limits = generation_of(&plugin).limits();
    let newer = plugin.new_generation(second.clone(), limits);
    assert_ne!(newer.id(), old);
    plugin.set_state(PluginState::Active(newer));
    let on_new = call_of();
    while second.calls.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(first.unloaded.lock().is_empty(), "a call runs on it");
    assert!(plugin.generation(old).is_some());
    assert_eq!(plugin.in_flight(), 2, "both generations count");
    first.answer_all();
    second.answer_all();
    assert!(on_old.await.unwrap().is_ok() && on_new.await.unwrap().is_ok());
    assert_eq!(*first.unloaded.lock(), [old]);
    assert!(plugin.generation(old).is_none());
    assert!(second.unloaded.lock().is_empty());
}
