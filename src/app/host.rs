//! What plugin code may ask of the gateway, joined from the parts that can answer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::host_realtime::{MessageHandlers, RealtimeOperations};
use crate::plugins::{
    Caller, HostError, HostServices,
    host::{HandlerId, Registration, RegistrationId},
    runtime::Generation,
};

/// Answers plugin code. An operation that no part offers is `NOT_FOUND`.
pub struct Host {
    next_registration: AtomicU64,
    realtime: Arc<RealtimeOperations>,
    messages: Arc<MessageHandlers>,
}

impl Host {
    /// Joins the parts that answer.
    pub fn new(realtime: RealtimeOperations, messages: Arc<MessageHandlers>) -> Self {
        Self {
            next_registration: AtomicU64::new(0),
            realtime: Arc::new(realtime),
            messages,
        }
    }
}

fn unknown(operation: &str) -> HostError {
    HostError {
        code: "NOT_FOUND",
        message: format!("the gateway offers no operation `{operation}`"),
        details: None,
    }
}

impl HostServices for Host {
    fn request(
        &self,
        caller: Caller,
        operation: &str,
        payload: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, HostError>> {
        let operation = operation.to_owned();
        let realtime = Arc::clone(&self.realtime);
        Box::pin(async move {
            match realtime.request(&caller, &operation, &payload).await {
                Some(answer) => answer,
                None => Err(unknown(&operation)),
            }
        })
    }

    fn query(
        &self,
        caller: &Caller,
        operation: &str,
        payload: &[u8],
    ) -> Result<Bytes, HostError> {
        self.realtime
            .query(caller, operation, payload)
            .unwrap_or_else(|| Err(unknown(operation)))
    }

    fn publish(&self, _caller: &Caller, _event: &str, _data: Bytes) -> Result<(), HostError> {
        Err(unknown("publish"))
    }

    fn register(
        &self,
        caller: &Caller,
        registration: Registration,
        handler: HandlerId,
    ) -> Result<RegistrationId, HostError> {
        let id = RegistrationId(self.next_registration.fetch_add(1, Ordering::Relaxed));
        match registration {
            Registration::WebSocketMessage { message_type } => {
                self.messages
                    .register(id, caller, &message_type, handler)?;
            }
            // Nothing sends events yet, so a subscription is kept by its id alone.
            Registration::Event { .. } => {}
        }
        Ok(id)
    }

    fn unregister(&self, id: RegistrationId) {
        self.messages.unregister(id);
    }

    fn forget_generation(&self, generation: Generation) {
        self.messages.forget_generation(generation);
    }
}
