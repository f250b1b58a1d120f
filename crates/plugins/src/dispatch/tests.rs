use parking_lot::Mutex;

use super::*;
use crate::{
    LoadError, LoadedPlugin, PluginSource, SubmitError,
    runtime::{HandlerCall, RuntimeStatus},
};
use mozaiks_config::PluginsConfig;

/// Keeps every call until the test answers it.
#[derive(Default)]
struct Held {
    calls: Mutex<Vec<(PluginCall, oneshot::Sender<CallResult>)>>,
    cancelled: Mutex<Vec<CallId>>,
    /// Calls wait for as long as this is set.
    waits: std::sync::atomic::AtomicBool,
}

impl Held {
    fn answer_all(&self) {
        for (mut call, sender) in self.calls.lock().drain(..) {
            drop(call.place.take());
            let reply = CallReply {
                body: call.body.clone(),
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

    fn unload(&self, _: Generation) {}

    fn submit(&self, call: PluginCall) -> Result<oneshot::Receiver<CallResult>, SubmitError> {
        let (sender, receiver) = oneshot::channel();
        if !self.waits.load(Ordering::Relaxed) {
            call.started.begin();
        }
        self.calls.lock().push((call, sender));
        Ok(receiver)
    }

    fn cancel(&self, call: CallId) {
        self.cancelled.lock().push(call);
    }

    fn invoke(&self, _: HandlerCall) -> Result<oneshot::Receiver<CallResult>, SubmitError> {
        Err(SubmitError::Stopped)
    }

    fn max_body_depth(&self) -> usize {
        64
    }

    fn status(&self) -> RuntimeStatus {
        RuntimeStatus::default()
    }
}

fn active(max_concurrency: usize) -> Arc<Plugin> {
    let config = PluginsConfig {
        max_concurrency,
        call_timeout: Duration::from_secs(1),
        queue_timeout: Duration::from_secs(5),
        ..PluginsConfig::default()
    };
    let plugin = Arc::new(Plugin::new("notes", "notes".into(), &config));
    plugin.set_state(PluginState::Active(Generation(1)));
    plugin
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
    let dispatcher = Dispatcher::new(runtime.clone());
    let plugin = active(1);
    assert!(dispatcher.check(&plugin).is_ok());
    plugin.set_state(PluginState::Disabled);
    assert!(matches!(
        dispatcher.check(&plugin),
        Err(DispatchError::Disabled)
    ));
    assert!(matches!(
        call(&dispatcher, &plugin).await,
        Err(DispatchError::Disabled)
    ));
    plugin.set_state(PluginState::Failed("no such module".into()));
    let failed = dispatcher.check(&plugin).unwrap_err();
    assert!(matches!(failed, DispatchError::Unavailable(reason) if &*reason == "no such module"));
    plugin.set_state(PluginState::Loading);
    assert!(matches!(
        dispatcher.check(&plugin),
        Err(DispatchError::Unavailable(_))
    ));
    plugin.set_state(PluginState::Active(Generation(2)));
    dispatcher.start_draining();
    assert!(matches!(
        dispatcher.check(&plugin),
        Err(DispatchError::Overloaded)
    ));
    assert!(runtime.calls.lock().is_empty(), "nothing was started");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_end_keeps_its_place_past_its_deadline() {
    let runtime = Arc::new(Held::default());
    let dispatcher = Dispatcher::new(runtime.clone());
    let plugin = active(2);
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
    let dispatcher = Dispatcher::new(runtime.clone());
    let plugin = active(2);
    let submitted = Instant::now();
    let starting = async {
        tokio::time::sleep(wait).await;
        if let Some((call, _)) = runtime.calls.lock().first() {
            call.started.begin();
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
    let ended = timers.after(Duration::from_secs(1));
    ended.started.begin();
    timers.give_back(ended);
    let again = timers.after(Duration::from_secs(1));
    assert_eq!(again.started.at(), None, "it is another call's now");
    let goes_on = again.started.clone();
    timers.give_back(again);
    assert!(timers.0.lock().is_empty());
    goes_on.begin();
    assert_eq!(timers.after(Duration::from_secs(1)).started.at(), None);
}
