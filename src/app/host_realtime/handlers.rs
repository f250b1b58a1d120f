//! Which plugin functions take which messages of clients, and calling them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::RwLock;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::http::ApiError;
use mozaiks_plugins::{
    CallError, CallResult, Caller, HostError, PluginRuntime,
    host::{HandlerId, RegistrationId},
    runtime::{CallId, Generation, HandlerCall},
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
    generation: Generation,
    plugin: Arc<str>,
    function: HandlerId,
}

impl MessageHandlers {
    /// Registers a function for a type of message.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for a type that clients cannot send, `LIMIT_EXCEEDED` for too many.
    pub fn register(
        &self,
        registration: RegistrationId,
        caller: &Caller,
        message_type: &str,
        function: HandlerId,
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
        let handlers = by_type.entry(message_type.into()).or_default();
        if handlers.len() >= MAX_PER_TYPE {
            return refuse("LIMIT_EXCEEDED", "too many handlers of this message type");
        }
        handlers.push(Handler {
            registration,
            generation: caller.generation,
            plugin: Arc::clone(&caller.plugin),
            function,
        });
        Ok(())
    }

    /// Ends one registration.
    pub fn unregister(&self, registration: RegistrationId) {
        self.retain(|handler| handler.registration != registration);
    }

    /// Ends everything that a generation registered.
    pub fn forget_generation(&self, generation: Generation) {
        self.retain(|handler| handler.generation != generation);
    }

    fn retain(&self, keep: impl Fn(&Handler) -> bool) {
        self.by_type.write().retain(|_, handlers| {
            handlers.retain(&keep);
            !handlers.is_empty()
        });
    }

    fn of_type(&self, message_type: &str) -> Vec<Handler> {
        self.by_type
            .read()
            .get(message_type)
            .cloned()
            .unwrap_or_default()
    }
}

/// Brings clients' messages to the registered functions.
pub struct PluginMessages {
    handlers: Arc<MessageHandlers>,
    runtime: Arc<dyn PluginRuntime>,
    timeout: Duration,
}

/// A handler at work.
struct Running {
    plugin: Arc<str>,
    call: CallId,
    request_id: Arc<str>,
    result: oneshot::Receiver<CallResult>,
}

impl PluginMessages {
    /// Over the runtime; a handler gets as much time as a call.
    pub fn new(
        handlers: Arc<MessageHandlers>,
        runtime: Arc<dyn PluginRuntime>,
        timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            handlers,
            runtime,
            timeout,
        })
    }
}

impl MessageRouter for PluginMessages {
    fn route(&self, sender: &Sender, message_type: &str, message: &str) -> Routed {
        let handlers = self.handlers.of_type(message_type);
        if handlers.is_empty() {
            return Routed::Unknown;
        }
        // The id is hexadecimal and needs no escapes.
        let arguments = bytes::Bytes::from(format!("[{message},\"{}\"]", sender.connection_id));
        let mut running = Vec::with_capacity(handlers.len());
        for handler in handlers {
            let call = CallId::next();
            let request_id: Arc<str> = format!("ws-{}", call.number()).into();
            let invoked = self.runtime.invoke(HandlerCall {
                id: call,
                handler: handler.function,
                principal: Some(Arc::clone(&sender.principal)),
                request_id: Arc::clone(&request_id),
                arguments: arguments.clone(),
            });
            match invoked {
                Ok(result) => running.push(Running {
                    plugin: handler.plugin,
                    call,
                    request_id,
                    result,
                }),
                Err(error) if running.is_empty() => {
                    return Routed::Refused(RouteFailure {
                        error_code: "OVERLOADED",
                        error: error.to_string(),
                    });
                }
                // Some handlers have it already; the client need not send it again.
                Err(error) => tracing::warn!(
                    plugin.name = %handler.plugin,
                    message.r#type = message_type,
                    error = %error,
                    "a message handler was not called"
                ),
            }
        }
        let deadline = Instant::now() + self.timeout;
        let runtime = Arc::clone(&self.runtime);
        Routed::Taken(Box::pin(async move {
            let mut outcome = Ok(());
            for handler in running {
                let result = wait(&*runtime, handler, deadline).await;
                outcome = outcome.and(result);
            }
            outcome
        }))
    }
}

async fn wait(
    runtime: &dyn PluginRuntime,
    handler: Running,
    deadline: Instant,
) -> Result<(), RouteFailure> {
    let error = match timeout_at(deadline, handler.result).await {
        Ok(Ok(Ok(_))) => return Ok(()),
        // What a handler returns goes nowhere, so that it may be anything.
        Ok(Ok(Err(
            CallError::BadResult(_)
            | CallError::NotSerializable { .. }
            | CallError::OutputTooLarge { .. },
        ))) => return Ok(()),
        Ok(Ok(Err(error))) => error,
        Ok(Err(_)) => CallError::Internal("the runtime dropped the call".into()),
        Err(_) => {
            runtime.cancel(handler.call);
            tracing::warn!(
                plugin.name = %handler.plugin,
                request.id = %handler.request_id,
                "a message handler took too long"
            );
            return Err(RouteFailure {
                error_code: "PLUGIN_TIMEOUT",
                error: "the plugin did not answer in time".into(),
            });
        }
    };
    let traceback = match &error {
        CallError::Raised { traceback, .. } => traceback.as_str(),
        _ => "",
    };
    tracing::warn!(
        plugin.name = %handler.plugin,
        request.id = %handler.request_id,
        error = %error,
        traceback,
        "a message handler failed"
    );
    let told = ApiError::from(error);
    Err(RouteFailure {
        error_code: told.status_and_code().1,
        error: told.message(),
    })
}

#[cfg(test)]
mod tests;
