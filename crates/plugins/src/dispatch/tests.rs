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
