//! `events.*`: publishing, history, numbers, and delivery to functions of plugins.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{
    Apps, Guard, HostPart, Pages, host_error, load_has_ended, read_json, unknown, write_json,
};
use mozaiks_events::{Event, EventBus, EventDraft, EventError, Owner, Subscriber, SubscriptionId};
use mozaiks_plugins::{
    CallError, CallKind, Caller, Generation, GenerationPhase, HostError, Input, PluginFunction,
    Target, body,
    client_events::ClientEvents,
    dispatch::{Call, DispatchError, Dispatcher},
    host::{Registration, RegistrationId},
};

/// Events that plugins may read back at once.
const MAX_HISTORY: usize = 1000;
/// How long a delivery waits before it asks a full plugin again.
const FULL_PLUGIN_PAUSE: Duration = Duration::from_millis(20);

/// What the gateway itself tells of: heard from a plugin it would be a lie.
const OWN_EVENTS: [&str; 16] = [
    "notification_created",
    "plugin_changed",
    "plugin_config_updated",
    "plugin_disabled",
    "plugin_enabled",
    "plugin_executed",
    "plugin_execution_error",
    "plugin_failed",
    "plugin_job_failed",
    "plugin_loaded",
    "plugin_permission_denied",
    "plugin_reloaded",
    "plugin_unloaded",
    "settings_updated",
    "user:connected",
    "user:disconnected",
];

/// Joins plugins and the event bus.
pub struct EventsPart {
    bus: Arc<EventBus>,
    apps: Apps,
    dispatcher: Arc<Dispatcher>,
    /// How long the bus waits for a delivery.
    delivery_timeout: Duration,
    /// How deep an event's data may be nested.
    max_depth: usize,
    guard: Arc<Guard>,
    /// Which events pages may publish.
    client_events: Arc<ClientEvents>,
    /// Whose pages are told.
    pages: Arc<Pages>,
    // Touched when plugins subscribe, unsubscribe or are unloaded only.
    subscriptions: Mutex<HashMap<RegistrationId, (Generation, SubscriptionId)>>,
}

impl EventsPart {
    /// Over the gateway's bus, which waits so long for a delivery.
    pub fn new(
        bus: Arc<EventBus>,
        apps: Apps,
        dispatcher: Arc<Dispatcher>,
        delivery_timeout: Duration,
        max_depth: usize,
        guard: Arc<Guard>,
        client_events: Arc<ClientEvents>,
        pages: Arc<Pages>,
    ) -> Self {
        Self {
            bus,
            apps,
            dispatcher,
            delivery_timeout,
            max_depth,
            guard,
            client_events,
            pages,
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
        if OWN_EVENTS.contains(&event) {
            return Err(host_error(
                "VALIDATION_ERROR",
                format!("the event {event:?} is the gateway's own: no plugin can emit it"),
            ));
        }
        check_object(&data, self.max_depth)?;
        let draft = EventDraft {
            app_id: self.apps.require(caller)?,
            principal: caller.principal.clone(),
            request_id: caller.request_id.clone(),
            name: event.into(),
            data: data.into(),
        };
        self.bus.publish(draft).map(drop).map_err(refused)
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
        let app_id = self.apps.require(caller)?;
        match operation {
            "events.history" => {
                let of: HistoryOf = read_json(payload)?;
                let limit = usize::try_from(of.limit).unwrap_or(0).min(MAX_HISTORY);
                let events = self.bus.history(Some(&app_id), Some(&of.event), limit);
                let entries: Vec<_> = events.iter().map(|event| entry(event)).collect();
                write_json(&entries)
            }
            "events.stats" => {
                // Of events that the plugin cannot listen to it is not told either.
                let permissions = self.guard.permissions(caller);
                let mut stats = self.bus.stats(Some(&app_id));
                (stats.events_by_type)
                    .retain(|event, _| permissions.may_subscribe(&caller.plugin, event));
                write_json(&stats)
            }
            other => Err(unknown(other)),
        }
    }

    fn register(
        &self,
        id: RegistrationId,
        registration: &Registration,
        function: &PluginFunction,
    ) -> Option<Result<(), HostError>> {
        #[derive(Deserialize)]
        struct ForEvent {
            pattern: String,
            /// Whether the function is given the event's number and its name beside its data.
            #[serde(default)]
            with_id: bool,
            /// Lower ones come first.
            #[serde(default = "ten")]
            priority: i32,
            /// Whether pages may publish it.
            #[serde(default)]
            client: bool,
            /// Whether it is told to its user's pages, and the function is never called.
            #[serde(default)]
            pages: bool,
        }
        fn ten() -> i32 {
            10
        }
        if &*registration.kind != "event" {
            return None;
        }
        let wanted: ForEvent = match read_json(&registration.spec) {
            Ok(wanted) => wanted,
            Err(error) => return Some(Err(error)),
        };
        let ForEvent { pattern, .. } = &wanted;
        if wanted.client && (pattern.contains('*') || OWN_EVENTS.contains(&&**pattern)) {
            let message = format!("{pattern:?} is no event that pages may publish");
            return Some(Err(host_error("VALIDATION_ERROR", message)));
        }
        let generation = function.generation.id();
        let owner = Owner {
            label: function.generation.plugin().clone(),
            id: generation.0,
        };
        let subscriber: Arc<dyn Subscriber> = if wanted.pages {
            Arc::new(PageSubscriber {
                function: function.clone(),
                pages: Arc::clone(&self.pages),
            })
        } else {
            Arc::new(PluginSubscriber {
                function: function.clone(),
                dispatcher: Arc::clone(&self.dispatcher),
                timeout: self.delivery_timeout,
                with_id: wanted.with_id,
            })
        };
        // Held while it is looked and subscribed, so that a hand-over comes before or after.
        let mut subscriptions = self.subscriptions.lock();
        let held = match function.generation.phase() {
            GenerationPhase::Loading => true,
            GenerationPhase::Active => false,
            GenerationPhase::Retired => return Some(Err(load_has_ended())),
        };
        let priority = wanted.priority;
        let subscribed = (self.bus).subscribe_at(owner, pattern, priority, subscriber, held);
        Some(match subscribed {
            Ok(subscription) => {
                subscriptions.insert(id, (generation, subscription));
                if wanted.client {
                    self.client_events.declare(id, pattern, function);
                }
                Ok(())
            }
            Err(error) => Err(refused(error)),
        })
    }

    fn unregister(&self, id: RegistrationId) {
        self.client_events.forget(id);
        let ended = self.subscriptions.lock().remove(&id);
        if let Some((_, subscription)) = ended {
            self.bus.unsubscribe(subscription);
        }
    }

    fn hand_over(&self, from: Option<Generation>, to: Generation) {
        let mut subscriptions = self.subscriptions.lock();
        self.bus.hand_over(from.map(|from| from.0), to.0);
        subscriptions.retain(|_, (of, _)| Some(*of) != from);
    }

    fn forget_generation(&self, generation: Generation) {
        self.client_events.forget_generation(generation);
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

/// Pages that are told, in the place of a function.
struct PageSubscriber {
    /// Keeps the load that asks for it.
    function: PluginFunction,
    pages: Arc<Pages>,
}

impl Subscriber for PageSubscriber {
    fn deliver(&self, event: Arc<Event>) -> BoxFuture<'static, Result<(), String>> {
        if self.function.generation.is_on_for(&event.app_id) {
            self.pages.tell(&event);
        }
        Box::pin(async { Ok(()) })
    }
}

/// A function of a plugin as a subscriber.
struct PluginSubscriber {
    function: PluginFunction,
    dispatcher: Arc<Dispatcher>,
    timeout: Duration,
    /// Whether it is given the event's number, by which it knows one that comes again.
    with_id: bool,
}

impl Subscriber for PluginSubscriber {
    fn deliver(&self, event: Arc<Event>) -> BoxFuture<'static, Result<(), String>> {
        let (function, dispatcher) = (self.function.clone(), Arc::clone(&self.dispatcher));
        if !function.generation.is_on_for(&event.app_id) {
            // Switched off in the event's app: it is none of its business.
            return Box::pin(async { Ok(()) });
        }
        let deadline = Instant::now() + self.timeout;
        let with_id = self.with_id;
        Box::pin(async move {
            let arguments = arguments(&event, with_id);
            call(&dispatcher, function, &event, arguments, deadline).await
        })
    }
}

/// Calls the function with the event's data, as somebody of the event's app.
async fn call(
    dispatcher: &Arc<Dispatcher>,
    function: PluginFunction,
    event: &Event,
    arguments: Bytes,
    deadline: Instant,
) -> Result<(), String> {
    let request_id =
        (event.request_id.clone()).unwrap_or_else(|| format!("event-{}", event.id).into());
    let pending = loop {
        let call = Call {
            kind: CallKind::Event,
            target: Target::Handler(function.handler),
            input: Input::Arguments(arguments.clone()),
            principal: event.principal.clone(),
            app_id: Some(event.app_id.clone()),
            request_id: request_id.clone(),
            // What it has waited for a permit is not given twice: the bus tries again after that.
            timeout: Some(deadline.saturating_duration_since(Instant::now())),
        };
        match dispatcher.invoke(function.generation.clone(), call) {
            Ok(pending) => break pending,
            // Not the subscriber's failure: it has not been asked yet. The bus bounds the wait.
            Err(DispatchError::Overloaded) => tokio::time::sleep(FULL_PLUGIN_PAUSE).await,
            Err(error) => return Err(error.to_string()),
        }
    };
    match pending.await {
        Ok(_) => Ok(()),
        Err(DispatchError::Call(CallError::Raised {
            summary, traceback, ..
        })) => Err(format!("{summary}\n{traceback}")),
        Err(error) => Err(error.to_string()),
    }
}

fn arguments(event: &Event, with_id: bool) -> Bytes {
    let data = event.data.to_json();
    let mut arguments = BytesMut::with_capacity(data.len() + 256);
    arguments.put_u8(b'[');
    arguments.put_slice(&data);
    if with_id {
        arguments.put_slice(format!(",{},{}", event.id, json!(event.name)).as_bytes());
    }
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

    #[test]
    fn the_stand_in_of_plugins_tests_refuses_the_same_events() {
        let stand_in = include_str!("../../../python-sdk/mozaiks/testing/_services.py");
        let list = stand_in
            .split_once("OWN_EVENTS = frozenset(")
            .expect("a list");
        let list = list.1.split_once(')').expect("its end").0;
        let named: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
        assert_eq!(named, OWN_EVENTS);
    }
}
