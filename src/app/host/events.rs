//! `events.*`: publishing, history, numbers, and delivery to functions of plugins.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use super::{Apps, HostPart, host_error, read_json, unknown, write_json};
use mozaiks_events::{Event, EventBus, EventDraft, EventError, Owner, Subscriber, SubscriptionId};
use mozaiks_plugins::{
    CallError, Caller, HostError, SubmitError, body,
    host::{HandlerId, Registration, RegistrationId},
    runtime::{CallId, Generation, HandlerCall, PluginRuntime},
};

/// Events of background work in a gateway of many apps belong to this app, which no token names.
const NO_APP: &str = "*";
/// Events that plugins may read back at once.
const MAX_HISTORY: usize = 1000;
/// How long a delivery waits before it asks a full runtime again.
const FULL_RUNTIME_PAUSE: Duration = Duration::from_millis(20);

/// Joins plugins and the event bus.
pub struct EventsPart {
    bus: Arc<EventBus>,
    apps: Apps,
    runtime: RuntimeSlot,
    // Touched when plugins subscribe, unsubscribe or are unloaded only.
    subscriptions: Mutex<HashMap<RegistrationId, (Generation, SubscriptionId)>>,
}

/// The runtime, which is started after the host it is given. Weak: the runtime holds the host.
pub type RuntimeSlot = Arc<OnceLock<Weak<dyn PluginRuntime>>>;

impl EventsPart {
    /// Over the gateway's bus. Deliveries fail until the slot is filled.
    pub fn new(bus: Arc<EventBus>, apps: Apps, runtime: RuntimeSlot) -> Self {
        Self {
            bus,
            apps,
            runtime,
            subscriptions: Mutex::default(),
        }
    }

    /// Publishes an event of a plugin.
    pub(super) fn publish(
        &self,
        caller: &Caller,
        event: &str,
        data: Bytes,
    ) -> Result<(), HostError> {
        let runtime = self.runtime.get().and_then(Weak::upgrade);
        let max_depth = runtime.map_or(body::MAX_DEPTH, |runtime| runtime.max_body_depth());
        check_object(&data, max_depth)?;
        let draft = EventDraft {
            app_id: self.app(caller),
            principal: caller.principal.clone(),
            request_id: caller.request_id.clone(),
            name: event.into(),
            data: data.into(),
        };
        self.bus.publish(draft).map(drop).map_err(refused)
    }

    fn app(&self, caller: &Caller) -> Arc<str> {
        self.apps.of(caller).unwrap_or_else(|| NO_APP.into())
    }
}

impl HostPart for EventsPart {
    fn prefix(&self) -> &'static str {
        "events."
    }

    fn query(&self, caller: &Caller, operation: &str, payload: &[u8]) -> Result<Bytes, HostError> {
        #[derive(Deserialize)]
        struct HistoryOf {
            event: String,
            #[serde(default = "ten")]
            limit: i64,
        }
        fn ten() -> i64 {
            10
        }
        let app_id = self.app(caller);
        match operation {
            "events.history" => {
                let of: HistoryOf = read_json(payload)?;
                let limit = usize::try_from(of.limit).unwrap_or(0).min(MAX_HISTORY);
                let events = self.bus.history(Some(&app_id), Some(&of.event), limit);
                let entries: Vec<_> = events.iter().map(|event| entry(event)).collect();
                write_json(&entries)
            }
            "events.stats" => write_json(&self.bus.stats(Some(&app_id))),
            other => Err(unknown(other)),
        }
    }

    fn register(
        &self,
        id: RegistrationId,
        caller: &Caller,
        registration: &Registration,
        handler: HandlerId,
    ) -> Option<Result<(), HostError>> {
        let Registration::Event { pattern } = registration else {
            return None;
        };
        let owner = Owner {
            label: caller.plugin.clone(),
            id: caller.generation.0,
        };
        let subscriber = Arc::new(PluginSubscriber {
            handler,
            runtime: Arc::clone(&self.runtime),
        });
        Some(match self.bus.subscribe(owner, pattern, subscriber) {
            Ok(subscription) => {
                let entry = (caller.generation, subscription);
                self.subscriptions.lock().insert(id, entry);
                Ok(())
            }
            Err(error) => Err(refused(error)),
        })
    }

    fn unregister(&self, id: RegistrationId) {
        let ended = self.subscriptions.lock().remove(&id);
        if let Some((_, subscription)) = ended {
            self.bus.unsubscribe(subscription);
        }
    }

    fn forget_generation(&self, generation: Generation) {
        self.subscriptions
            .lock()
            .retain(|_, (of, _)| *of != generation);
        self.bus.unsubscribe_owner(generation.0);
    }
}

/// An event as plugins see it.
fn entry(event: &Event) -> serde_json::Value {
    json!({ "timestamp": event.timestamp(), "data": data_of(event) })
}

/// The data of an event, which was checked when it was published.
fn data_of(event: &Event) -> serde_json::Value {
    serde_json::from_slice(&event.data.to_json()).unwrap_or_default()
}

/// By the grammar that subscribers read it with: what no handler could be given is no event.
fn check_object(data: &[u8], max_depth: usize) -> Result<(), HostError> {
    let refuse = |what: String| {
        let message = format!("the data of an event must be a JSON object: {what}");
        Err(host_error("VALIDATION_ERROR", message))
    };
    if data.is_empty() {
        return refuse("it is empty".into());
    }
    body::check_object(data, max_depth).or_else(|error| refuse(error.to_string()))
}

fn refused(error: EventError) -> HostError {
    let code = match &error {
        EventError::BadName | EventError::BadPattern | EventError::TooLarge { .. } => {
            "VALIDATION_ERROR"
        }
        EventError::TooManySubscriptions { .. } => "LIMIT_EXCEEDED",
        EventError::NotFound(_) => "NOT_FOUND",
    };
    host_error(code, error.to_string())
}

/// A function of a plugin as a subscriber.
struct PluginSubscriber {
    handler: HandlerId,
    runtime: RuntimeSlot,
}

impl Subscriber for PluginSubscriber {
    fn deliver(&self, event: Arc<Event>) -> BoxFuture<'static, Result<(), String>> {
        let handler = self.handler;
        let runtime = self.runtime.get().and_then(Weak::upgrade);
        Box::pin(async move {
            let runtime = runtime.ok_or("the Python runtime has stopped")?;
            invoke(&runtime, handler, &event).await
        })
    }
}

async fn invoke(
    runtime: &Arc<dyn PluginRuntime>,
    handler: HandlerId,
    event: &Event,
) -> Result<(), String> {
    let mut call = HandlerCall {
        id: CallId::next(),
        handler,
        principal: event.principal.clone(),
        request_id: (event.request_id.clone())
            .unwrap_or_else(|| format!("event-{}", event.id).into()),
        arguments: one_argument(&event.data.to_json()),
    };
    let answer = loop {
        match runtime.invoke(call.clone()) {
            Ok(answer) => break answer,
            // Not the subscriber's failure: it has not been asked yet. The bus bounds the wait.
            Err(SubmitError::Full) => tokio::time::sleep(FULL_RUNTIME_PAUSE).await,
            Err(SubmitError::Stopped) => return Err(SubmitError::Stopped.to_string()),
        }
        call.id = CallId::next();
    };
    let cancel_late = CancelWhenDropped {
        runtime,
        id: Some(call.id),
    };
    let outcome = answer.await;
    cancel_late.disarm();
    match outcome {
        Ok(Ok(_)) => Ok(()),
        // What a handler returns is nobody's business, also where JSON has no form for it.
        Ok(Err(
            CallError::BadResult(_)
            | CallError::NotSerializable { .. }
            | CallError::OutputTooLarge { .. },
        )) => Ok(()),
        Ok(Err(CallError::Raised {
            summary, traceback, ..
        })) => Err(format!("{summary}\n{traceback}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the Python runtime has stopped".into()),
    }
}

/// A delivery that took too long is asked to stop.
struct CancelWhenDropped<'a> {
    runtime: &'a Arc<dyn PluginRuntime>,
    id: Option<CallId>,
}

impl CancelWhenDropped<'_> {
    fn disarm(mut self) {
        self.id = None;
    }
}

impl Drop for CancelWhenDropped<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.runtime.cancel(id);
        }
    }
}

fn one_argument(data: &Bytes) -> Bytes {
    let mut arguments = BytesMut::with_capacity(data.len() + 2);
    arguments.put_u8(b'[');
    arguments.put_slice(data);
    arguments.put_u8(b']');
    arguments.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_no_handler_could_be_given_is_refused() {
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
            format!(r#"{{"x":{open}{close}}}"#)
        };
        for good in ["{}", r#"{"a":[1,"b"]}"#, &nested(64)] {
            assert!(check_object(good.as_bytes(), 64).is_ok(), "{good}");
        }
        let digits = format!(r#"{{"n":{}}}"#, "7".repeat(5000));
        for bad in [
            "",
            "[]",
            "null",
            r#"{"a":"\ud800"}"#,
            r#"{"a":1e999}"#,
            &nested(65),
            &digits,
        ] {
            let error = check_object(bad.as_bytes(), 64).unwrap_err();
            assert_eq!(error.code, "VALIDATION_ERROR", "{bad}");
        }
    }
}
