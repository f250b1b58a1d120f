//! `ws.*`: live connections of the caller's app.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use super::{HostFuture, HostPart, read_json, unknown};
use crate::app::host_realtime::{MessageHandlers, RealtimeOperations};
use mozaiks_plugins::{
    Caller, Generation, HostError, PluginFunction,
    host::{Registration, RegistrationId},
};

/// Joins plugins and the hub.
pub struct RealtimePart {
    operations: Arc<RealtimeOperations>,
    messages: Arc<MessageHandlers>,
}

impl RealtimePart {
    /// Over the operations on the hub and the table of plugins' handlers.
    pub fn new(operations: RealtimeOperations, messages: Arc<MessageHandlers>) -> Self {
        Self {
            operations: Arc::new(operations),
            messages,
        }
    }
}

impl HostPart for RealtimePart {
    fn prefix(&self) -> &'static str {
        "ws."
    }

    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        let operation = operation.to_owned();
        let operations = Arc::clone(&self.operations);
        Box::pin(async move {
            match operations.request(&caller, &operation, &payload).await {
                Some(answer) => answer,
                None => Err(unknown(&operation)),
            }
        })
    }

    fn query(&self, caller: &Caller, operation: &str, payload: &[u8]) -> Result<Bytes, HostError> {
        self.operations
            .query(caller, operation, payload)
            .unwrap_or_else(|| Err(unknown(operation)))
    }

    fn register(
        &self,
        id: RegistrationId,
        registration: &Registration,
        function: &PluginFunction,
    ) -> Option<Result<(), HostError>> {
        #[derive(Deserialize)]
        struct ForMessage {
            r#type: String,
        }
        (&*registration.kind == "websocket").then(|| {
            let wanted: ForMessage = read_json(&registration.spec)?;
            self.messages.register(id, &wanted.r#type, function)
        })
    }

    fn unregister(&self, id: RegistrationId) {
        self.messages.unregister(id);
    }

    fn hand_over(&self, from: Option<Generation>, to: Generation) {
        self.messages.hand_over(from, to);
    }

    fn forget_generation(&self, generation: Generation) {
        self.messages.forget_generation(generation);
    }
}
