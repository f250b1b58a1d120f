//! What plugin code may ask of the gateway, joined from the parts that can answer.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::plugins::{
    Caller, HostError, HostServices,
    host::{HandlerId, Registration, RegistrationId},
    runtime::Generation,
};

/// Answers plugin code. An operation that no part offers is `NOT_FOUND`.
#[derive(Debug, Default)]
pub struct Host {
    next_registration: AtomicU64,
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
        _caller: Caller,
        operation: &str,
        _payload: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, HostError>> {
        let error = unknown(operation);
        Box::pin(async move { Err(error) })
    }

    fn query(
        &self,
        _caller: &Caller,
        operation: &str,
        _payload: &[u8],
    ) -> Result<Bytes, HostError> {
        Err(unknown(operation))
    }

    fn publish(&self, _caller: &Caller, _event: &str, _data: Bytes) -> Result<(), HostError> {
        Err(unknown("publish"))
    }

    fn register(
        &self,
        _caller: &Caller,
        _registration: Registration,
        _handler: HandlerId,
    ) -> Result<RegistrationId, HostError> {
        // Nothing sends events or messages, so a registration is kept by its id alone.
        Ok(RegistrationId(
            self.next_registration.fetch_add(1, Ordering::Relaxed),
        ))
    }

    fn unregister(&self, _id: RegistrationId) {}

    fn forget_generation(&self, _generation: Generation) {}
}
