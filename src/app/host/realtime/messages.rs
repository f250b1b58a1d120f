//! Which plugin functions take which messages of clients, and calling them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::RwLock;

use crate::{app::host::load_has_ended, http::ApiError};
use mozaiks_auth::Principal;
use mozaiks_plugins::{
    CallError, CallKind, Generation, GenerationPhase, HostError, Input, PluginFunction, Target,
    dispatch::{Call, DispatchError, Dispatcher, PendingCall},
    host::RegistrationId,
    invocation::CallId,
    rates::RateLimits,
};
use mozaiks_realtime::{MessageRouter, RouteFailure, Routed, Sender};

/// Handlers of one type of message.
const MAX_PER_TYPE: usize = 64;
/// Handlers of all types.
const MAX_HANDLERS: usize = 4096;
/// Longest type, in bytes; clients cannot send longer ones.
const MAX_TYPE_BYTES: usize = 128;
/// Types that mean something to the gateway itself.
const RESERVED: [&str; 2] = ["ping", "auth"];

/// The registered handlers by message type.
#[derive(Default)]
pub struct MessageHandlers {
    /// Written on load and unload, read on every message; never held across an await.
    by_type: RwLock<HashMap<Box<str>, Vec<Handler>>>,
}

#[derive(Clone)]
struct Handler {
    registration: RegistrationId,
    function: PluginFunction,
    /// Its generation is still being loaded: it is not called yet.
    held: bool,
}

impl MessageHandlers {
    /// Registers a function for a type of message.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for a type that clients cannot send, `LIMIT_EXCEEDED` for too many.
    pub fn register(
        &self,
        registration: RegistrationId,
        message_type: &str,
        function: &PluginFunction,
    ) -> Result<(), HostError> {
        let refuse = |code, message: &str| {
            Err(HostError {
                code,
                message: message.into(),
                details: None,
            })
        };
        if message_type.is_empty() || message_type.len() > MAX_TYPE_BYTES {
            return refuse("VALIDATION_ERROR", "a message type has 1 to 128 bytes");
        }
        if RESERVED.contains(&message_type) {
            return refuse("VALIDATION_ERROR", "this message type is the gateway's own");
        }
        let mut by_type = self.by_type.write();
        if by_type.values().map(Vec::len).sum::<usize>() >= MAX_HANDLERS {
            return refuse("LIMIT_EXCEEDED", "too many message handlers");
        }
        if by_type.get(message_type).map_or(0, Vec::len) >= MAX_PER_TYPE {
            return refuse("LIMIT_EXCEEDED", "too many handlers of this message type");
        }
        let held = match function.generation.phase() {
            GenerationPhase::Loading => true,
            GenerationPhase::Active => false,
            GenerationPhase::Retired => return Err(load_has_ended()),
        };
        by_type
            .entry(message_type.into())
            .or_default()
            .push(Handler {
                held,
                registration,
                function: function.clone(),
            });
        Ok(())
    }

    /// Ends one registration.
    pub fn unregister(&self, registration: RegistrationId) {
        self.retain(|handler| handler.registration != registration);
    }

    /// Ends everything that a generation registered.
    pub fn forget_generation(&self, generation: Generation) {
        self.retain(|handler| handler.function.generation.id() != generation);
    }

    /// What a generation has registered while it was loaded is called from now on, and what the one
    /// before it had registered no more: each message goes to the one or to the other.
    pub fn hand_over(&self, from: Option<Generation>, to: Generation) {
        self.change(|handler| {
            let of = handler.function.generation.id();
            handler.held &= of != to;
            Some(of) != from
        });
    }

    fn retain(&self, keep: impl Fn(&Handler) -> bool) {
        self.change(|handler| keep(handler));
    }

    /// Changes all handlers at once, and keeps those for which `change` says so.
    fn change(&self, change: impl Fn(&mut Handler) -> bool) {
        let mut ended = Vec::new();
        self.by_type.write().retain(|_, handlers| {
            ended.extend(handlers.extract_if(.., |handler| !change(handler)));
            !handlers.is_empty()
        });
        // After the lock: the last holder of a generation unloads it, which comes back here.
        drop(ended);
    }

    fn of_type(&self, message_type: &str, app_id: &str) -> Vec<Handler> {
        self.by_type
            .read()
            .get(message_type)
            .into_iter()
            .flatten()
            .filter(|handler| !handler.held && handler.function.generation.is_on_for(app_id))
            .cloned()
            .collect()
    }
}

/// Brings clients' messages to the registered functions.
pub struct PluginMessages {
    handlers: Arc<MessageHandlers>,
    dispatcher: Arc<Dispatcher>,
    rates: Arc<RateLimits>,
}

impl PluginMessages {
    /// Through the dispatcher: a handler has the limits of its plugin.
    pub fn new(
        handlers: Arc<MessageHandlers>,
        dispatcher: Arc<Dispatcher>,
        rates: Arc<RateLimits>,
    ) -> Arc<Self> {
        Arc::new(Self {
            handlers,
            dispatcher,
            rates,
        })
    }
}

/// A handler at work.
struct RunningHandler {
    plugin: Arc<str>,
    request_id: Arc<str>,
    pending: PendingCall,
}

impl MessageRouter for PluginMessages {
    fn count(&self, sender: &Principal) -> Result<(), RouteFailure> {
        let counted = self.rates.count_user(&sender.app_id, &sender.user_id);
        counted.map_err(limited)
    }

    fn route(&self, sender: &Sender, message_type: &str, message: &str) -> Routed {
        let handlers = self
            .handlers
            .of_type(message_type, &sender.principal.app_id);
        if handlers.is_empty() {
            return Routed::Unknown;
        }
        let object = bytes::Bytes::copy_from_slice(message.as_bytes());
        let mut running = Vec::with_capacity(handlers.len());
        for Handler { function, .. } in handlers {
            let plugin = Arc::clone(function.generation.plugin());
            if let Err(wait) = self.rates.count_plugin(&sender.principal.app_id, &plugin) {
                if running.is_empty() {
                    return Routed::Refused(limited(wait));
                }
                continue;
            }
            let request_id: Arc<str> = format!("ws-{}", CallId::next().number()).into();
            let call = Call {
                kind: CallKind::Message,
                target: Target::Handler(function.handler),
                input: Input::Message {
                    object: object.clone(),
                    connection_id: Arc::clone(&sender.connection_id),
                },
                principal: Some(Arc::clone(&sender.principal)),
                app_id: Some(Arc::clone(&sender.principal.app_id)),
                request_id: Arc::clone(&request_id),
                timeout: None,
            };
            match self.dispatcher.invoke(function.generation, call) {
                Ok(pending) => running.push(RunningHandler {
                    plugin,
                    request_id,
                    pending,
                }),
                Err(error) if running.is_empty() => return Routed::Refused(failure(error)),
                // Some handlers have it already; the client need not send it again.
                Err(error) => tracing::warn!(
                    plugin.name = %plugin,
                    message.r#type = message_type,
                    error = %error,
                    "a message handler was not called"
                ),
            }
        }
        Routed::Taken(Box::pin(async move {
            let mut outcome = Ok(());
            for handler in running {
                let result = wait(handler).await;
                outcome = outcome.and(result);
            }
            outcome
        }))
    }
}

async fn wait(handler: RunningHandler) -> Result<(), RouteFailure> {
    let Err(error) = handler.pending.await else {
        return Ok(());
    };
    // What a plugin raises is logged for every kind of call alike.
    if !matches!(error, DispatchError::Call(CallError::Raised { .. })) {
        tracing::warn!(
            plugin.name = %handler.plugin,
            request.id = %handler.request_id,
            error = %error,
            "a message handler failed"
        );
    }
    Err(failure(error))
}

fn limited(wait: Duration) -> RouteFailure {
    told(&ApiError::RateLimited { wait })
}

/// What the client may know.
fn failure(error: DispatchError) -> RouteFailure {
    told(&ApiError::from(error))
}

fn told(answer: &ApiError) -> RouteFailure {
    RouteFailure {
        error_code: answer.status_and_code().1,
        error: answer.message(),
    }
}

#[cfg(test)]
mod tests;
