use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use mozaiks_auth::Principal;
use mozaiks_plugins::{
    CallReply, CallResult, Invocation, LiveGeneration, LoadError, LoadedPlugin, PluginRuntime,
    PluginSource, SubmitError, generation::CallLimits, host::HandlerId, runtime::RuntimeStatus,
};
use tokio::sync::oneshot;

/// Keeps the calls until the test answers them.
#[derive(Default)]
struct HeldCalls {
    invoked: Mutex<Vec<(Invocation, oneshot::Sender<CallResult>)>>,
    cancelled: Mutex<Vec<CallId>>,
    full_for: Mutex<HashSet<u64>>,
}

impl HeldCalls {
    fn answer(&self, result: CallResult) -> Invocation {
        let (call, reply) = self.invoked.lock().remove(0);
        reply.send(result).unwrap();
        call
    }
}

impl PluginRuntime for HeldCalls {
    fn load(&self, _: PluginSource) -> oneshot::Receiver<Result<LoadedPlugin, LoadError>> {
        oneshot::channel().1
    }

    fn unload(&self, _: Generation) {}

    fn submit(&self, call: Invocation) -> Result<oneshot::Receiver<CallResult>, SubmitError> {
        if self.full_for.lock().contains(&handler_of(&call)) {
            return Err(SubmitError::Full);
        }
        assert!(call.started.begin());
        let (reply, result) = oneshot::channel();
        self.invoked.lock().push((call, reply));
        Ok(result)
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

fn handler_of(call: &Invocation) -> u64 {
    match call.target {
        Target::Handler(handler) => handler.0,
        Target::Execute(_) | Target::Life(_) | Target::Migration(_) => {
            panic!("not a handler: {call:?}")
        }
    }
}

struct Setup {
    handlers: Arc<MessageHandlers>,
    runtime: Arc<HeldCalls>,
    generations: [Arc<LiveGeneration>; 2],
    messages: Arc<PluginMessages>,
}

fn setup() -> Setup {
    let handlers = Arc::new(MessageHandlers::default());
    let runtime = Arc::new(HeldCalls::default());
    let limits = CallLimits {
        queue_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(30),
        max_concurrency: 64,
        max_output_bytes: None,
    };
    let dispatcher = Dispatcher::new(Vec::new());
    Setup {
        messages: PluginMessages::new(
            Arc::clone(&handlers),
            dispatcher,
            RateLimits::new(&mozaiks_config::RatesConfig::default()),
        ),
        handlers,
        generations: [1, 2].map(|id| {
            let runtime = Arc::clone(&runtime) as Arc<dyn PluginRuntime>;
            let id = Generation(id);
            let made = LiveGeneration::new("chat".into(), id, runtime, limits, Arc::default());
            made.enter(GenerationPhase::Active);
            made
        }),
        runtime,
    }
}

fn sender() -> Sender {
    Sender {
        connection_id: "c0ffee".into(),
        principal: Arc::new(Principal {
            app_id: "a".into(),
            user_id: "ada".into(),
            username: None,
            roles: Vec::new(),
            is_superadmin: false,
            expires_at_unix: 0,
            verified: mozaiks_auth::VerifiedContacts::default(),
        }),
    }
}

fn reply() -> CallResult {
    Ok(CallReply {
        body: Bytes::from_static(b"{}"),
        domain_failure: None,
        action: None,
    })
}

impl Setup {
    fn register(&self, id: u64, generation: u64, message_type: &str) -> Result<(), HostError> {
        let generations = &mut self.generations.iter();
        let function = PluginFunction {
            generation: generations
                .find(|known| known.id() == Generation(generation))
                .cloned()
                .expect("one of two"),
            handler: HandlerId(id),
        };
        self.handlers
            .register(RegistrationId(id), message_type, &function)
    }

    fn taken(&self, message_type: &str) -> futures_util::future::BoxFuture<'static, Outcome> {
        match self.messages.route(&sender(), message_type, r#"{"n":1}"#) {
            Routed::Taken(outcome) => outcome,
            Routed::Unknown => panic!("unknown"),
            Routed::Refused(failure) => panic!("refused: {failure:?}"),
        }
    }

    fn is_unknown(&self, message_type: &str) -> bool {
        matches!(
            self.messages.route(&sender(), message_type, "{}"),
            Routed::Unknown
        )
    }
}

type Outcome = Result<(), RouteFailure>;

#[tokio::test]
async fn a_message_goes_to_its_handlers_with_connection_and_sender() {
    let setup = setup();
    setup.register(1, 1, "chat").unwrap();
    setup.register(2, 1, "chat").unwrap();
    setup.register(3, 1, "other").unwrap();
    let outcome = setup.taken("chat");
    let calls = [setup.runtime.answer(reply()), setup.runtime.answer(reply())];
    assert_eq!(outcome.await, Ok(()));
    assert_eq!(calls.each_ref().map(handler_of), [1, 2]);
    assert_ne!(calls[0].id, calls[1].id);
    for call in calls {
        let Input::Message {
            object,
            connection_id,
        } = call.input
        else {
            panic!("not a message: {:?}", call.input);
        };
        assert_eq!(
            (&object[..], &*connection_id),
            (&br#"{"n":1}"#[..], "c0ffee")
        );
        assert_eq!(&*call.principal.unwrap().user_id, "ada");
        assert_eq!(call.app_id.as_deref(), Some("a"));
    }
    assert!(setup.is_unknown("nobody"));
}

#[tokio::test]
async fn what_a_handler_returns_does_not_matter_and_what_it_raises_does() {
    let setup = setup();
    setup.register(1, 1, "chat").unwrap();
    for (result, expected) in [
        (reply(), None),
        (
            Err(CallError::Raised {
                summary: "ValueError: secret".into(),
                traceback: "secret".into(),
                action: None,
                trouble: None,
            }),
            Some("PLUGIN_ERROR"),
        ),
        (Err(CallError::NotLoaded), Some("PLUGIN_UNAVAILABLE")),
    ] {
        let outcome = setup.taken("chat");
        setup.runtime.answer(result);
        let failure = outcome.await.err();
        assert_eq!(failure.as_ref().map(|failure| failure.error_code), expected);
        assert!(failure.is_none_or(|failure| !failure.error.contains("secret")));
    }
    let outcome = setup.taken("chat");
    setup.runtime.invoked.lock().clear();
    assert_eq!(outcome.await.unwrap_err().error_code, "INTERNAL_ERROR");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_is_cancelled() {
    let setup = setup();
    setup.register(1, 1, "chat").unwrap();
    let outcome = setup.taken("chat");
    assert_eq!(outcome.await.unwrap_err().error_code, "PLUGIN_TIMEOUT");
    let call = setup.runtime.invoked.lock()[0].0.id;
    assert_eq!(*setup.runtime.cancelled.lock(), [call]);
}

#[tokio::test]
async fn a_full_queue_refuses_unless_a_handler_has_the_message() {
    let setup = setup();
    setup.register(1, 1, "chat").unwrap();
    setup.register(2, 1, "chat").unwrap();
    setup.runtime.full_for.lock().insert(2);
    let outcome = setup.taken("chat");
    setup.runtime.answer(reply());
    assert_eq!(outcome.await, Ok(()));
    setup.runtime.full_for.lock().insert(1);
    match setup.messages.route(&sender(), "chat", "{}") {
        Routed::Refused(failure) => assert_eq!(failure.error_code, "OVERLOADED"),
        Routed::Taken(_) | Routed::Unknown => panic!("not refused"),
    }
}

#[test]
fn registrations_end_one_by_one_or_with_their_generation() {
    let setup = setup();
    setup.register(1, 1, "chat").unwrap();
    setup.register(2, 2, "chat").unwrap();
    setup.register(3, 2, "other").unwrap();
    setup.handlers.forget_generation(Generation(2));
    assert!(setup.is_unknown("other"));
    assert_eq!(setup.handlers.of_type("chat", "app").len(), 1);
    setup.handlers.unregister(RegistrationId(9));
    setup.handlers.unregister(RegistrationId(1));
    assert!(setup.is_unknown("chat"));
    assert!(setup.handlers.by_type.read().is_empty());
}

#[test]
fn odd_types_and_too_many_handlers_are_refused() {
    let setup = setup();
    for message_type in ["", "ping", "auth", &"x".repeat(129)] {
        let refused = setup.register(1, 1, message_type).unwrap_err();
        assert_eq!(refused.code, "VALIDATION_ERROR", "{message_type}");
    }
    for id in 0..64 {
        setup.register(id, 1, "chat").unwrap();
    }
    assert_eq!(
        setup.register(64, 1, "chat").unwrap_err().code,
        "LIMIT_EXCEEDED"
    );
    for id in 64..4096 {
        setup.register(id, 1, &format!("type{id}")).unwrap();
    }
    assert_eq!(
        setup.register(4096, 1, "one more").unwrap_err().code,
        "LIMIT_EXCEEDED"
    );
}

#[tokio::test]
async fn a_message_reaches_the_old_generation_or_the_new_one() {
    let mut setup = setup();
    let [old, new] = [0, 1].map(|at| setup.generations[at].id());
    let limits = setup.generations[1].limits();
    let runtime = Arc::clone(setup.generations[1].runtime());
    setup.generations[1] = LiveGeneration::new("chat".into(), new, runtime, limits, Arc::default());
    setup.register(1, 1, "chat").unwrap();
    setup.register(2, 2, "chat").unwrap();
    setup.register(3, 2, "fresh").unwrap();
    assert!(setup.is_unknown("fresh"), "its generation is still loaded");
    let on_old = setup.taken("chat");
    assert_eq!(handler_of(&setup.runtime.answer(reply())), 1);
    on_old.await.unwrap();

    setup.generations[1].enter(GenerationPhase::Active);
    setup.generations[0].enter(GenerationPhase::Retired);
    setup.handlers.hand_over(Some(old), new);
    let on_new = setup.taken("chat");
    assert_eq!(handler_of(&setup.runtime.answer(reply())), 2);
    on_new.await.unwrap();
    assert!(setup.runtime.invoked.lock().is_empty());
    assert!(!setup.is_unknown("fresh"));
    let late = setup.register(4, 1, "chat").unwrap_err();
    assert_eq!(late.code, "NOT_FOUND");
    assert!(
        Arc::strong_count(&setup.generations[0]) == 1,
        "nothing holds the old one"
    );
}
