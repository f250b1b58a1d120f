//! `ws.*`: what plugins may ask of live connections. A user is always one of the caller's app.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::app::host::Apps;
use mozaiks_plugins::{Caller, HostError};
use mozaiks_realtime::{Hub, Message};

/// Answers the `ws.*` operations.
pub struct RealtimeOperations {
    hub: Arc<Hub>,
    apps: Apps,
    max_push_bytes: usize,
}

#[derive(Deserialize)]
struct ToUser<'a> {
    #[serde(deserialize_with = "user_id")]
    user_id: String,
    #[serde(borrow)]
    message: &'a RawValue,
}

#[derive(Deserialize)]
struct ToAll<'a> {
    #[serde(borrow)]
    message: &'a RawValue,
}

#[derive(Deserialize)]
struct ToConnection<'a> {
    connection_id: String,
    #[serde(borrow)]
    message: &'a RawValue,
}

#[derive(Deserialize)]
struct User {
    #[serde(deserialize_with = "user_id")]
    user_id: String,
}

impl RealtimeOperations {
    /// Over the hub.
    pub fn new(hub: Arc<Hub>, apps: Apps, max_push_bytes: usize) -> Self {
        Self {
            hub,
            apps,
            max_push_bytes,
        }
    }

    /// `ws.send_to_user {user_id, message}` and `ws.broadcast {message}` give the number of
    /// connections reached, `ws.send_to_connection {connection_id, message}` whether it was. `None`
    /// for other operations.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for a message that is no JSON object or too large, and in background work
    /// of a gateway for many apps.
    pub async fn request(
        &self,
        caller: &Caller,
        operation: &str,
        payload: &[u8],
    ) -> Option<Result<Bytes, HostError>> {
        Some(match operation {
            "ws.send_to_user" => self.send_to_user(caller, payload),
            "ws.broadcast" => self.broadcast(caller, payload).await,
            "ws.send_to_connection" => self.send_to_connection(caller, payload),
            _ => return None,
        })
    }

    /// `ws.is_connected {user_id}` gives whether, `ws.connected_users {}` a sorted list. `None` for
    /// other operations.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn query(
        &self,
        caller: &Caller,
        operation: &str,
        payload: &[u8],
    ) -> Option<Result<Bytes, HostError>> {
        Some(match operation {
            "ws.is_connected" => self.is_connected(caller, payload),
            "ws.connected_users" => self
                .apps
                .require(caller)
                .and_then(|app| answer(&self.hub.connected_users(&app))),
            _ => return None,
        })
    }

    fn send_to_user(&self, caller: &Caller, payload: &[u8]) -> Result<Bytes, HostError> {
        let request: ToUser<'_> = read(payload)?;
        let message = self.message(request.message)?;
        let app = self.apps.require(caller)?;
        answer(&self.hub.send_to_user(&app, &request.user_id, &message))
    }

    async fn broadcast(&self, caller: &Caller, payload: &[u8]) -> Result<Bytes, HostError> {
        let request: ToAll<'_> = read(payload)?;
        let message = self.message(request.message)?;
        let app = self.apps.require(caller)?;
        answer(&self.hub.broadcast(&app, &message).await)
    }

    fn send_to_connection(&self, caller: &Caller, payload: &[u8]) -> Result<Bytes, HostError> {
        let request: ToConnection<'_> = read(payload)?;
        let message = self.message(request.message)?;
        let app = self.apps.require(caller)?;
        let reached = self
            .hub
            .send_to_connection(&app, &request.connection_id, &message);
        answer(&reached)
    }

    fn is_connected(&self, caller: &Caller, payload: &[u8]) -> Result<Bytes, HostError> {
        let request: User = read(payload)?;
        let app = self.apps.require(caller)?;
        answer(&self.hub.is_connected(&app, &request.user_id))
    }

    fn message(&self, json: &RawValue) -> Result<Arc<Message>, HostError> {
        Message::from_raw(json, self.max_push_bytes).map_err(|error| invalid(error.to_string()))
    }
}

/// User ids are text; plugins that count their users may give the number.
fn user_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum UserId {
        Text(String),
        Number(i64),
    }
    Ok(match UserId::deserialize(deserializer)? {
        UserId::Text(text) => text,
        UserId::Number(number) => number.to_string(),
    })
}

fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, HostError> {
    serde_json::from_slice(payload).map_err(|error| invalid(error.to_string()))
}

fn answer(value: &impl serde::Serialize) -> Result<Bytes, HostError> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| HostError {
            code: "INTERNAL_ERROR",
            message: error.to_string(),
            details: None,
        })
}

fn invalid(message: String) -> HostError {
    HostError {
        code: "VALIDATION_ERROR",
        message,
        details: None,
    }
}
