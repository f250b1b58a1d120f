//! `ws.*`: live connections of the caller's app. A user is always one of that app.

mod groups;
mod messages;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use messages::{MessageHandlers, PluginMessages};

use super::{Apps, HostFuture, HostPart, host_error, read_json, unknown, write_json};
use mozaiks_plugins::{
    Caller, Generation, HostError, PluginFunction,
    host::{Registration, RegistrationId},
};
use mozaiks_realtime::{Hub, Message};

/// Joins plugins and the hub.
pub struct RealtimePart {
    connections: Arc<Connections>,
    messages: Arc<MessageHandlers>,
}

impl RealtimePart {
    /// Over the hub and the table of plugins' handlers; what plugins push has at most so many bytes.
    pub fn new(
        hub: Arc<Hub>,
        apps: Apps,
        max_push_bytes: usize,
        messages: Arc<MessageHandlers>,
    ) -> Self {
        Self {
            connections: Arc::new(Connections {
                hub,
                apps,
                max_push_bytes,
            }),
            messages,
        }
    }
}

impl HostPart for RealtimePart {
    fn prefix(&self) -> &'static str {
        "ws."
    }

    /// `ws.send_to_user {user_id, message}` and `ws.broadcast {message}` give the number of
    /// connections reached, `ws.send_to_connection {connection_id, message}` whether it was. For
    /// `ws.subscribe`, `ws.unsubscribe` and `ws.send_to_group` see `groups`.
    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        let operation = operation.to_owned();
        let connections = Arc::clone(&self.connections);
        Box::pin(async move {
            match operation.as_str() {
                "ws.send_to_user" => connections.send_to_user(&caller, &payload),
                "ws.broadcast" => connections.broadcast(&caller, &payload).await,
                "ws.send_to_connection" => connections.send_to_connection(&caller, &payload),
                "ws.subscribe" => connections.subscribe(&caller, &payload),
                "ws.unsubscribe" => connections.unsubscribe(&caller, &payload),
                "ws.send_to_group" => connections.send_to_group(&caller, &payload).await,
                other => Err(unknown(other)),
            }
        })
    }

    /// `ws.is_connected {user_id}` gives whether, `ws.connected_users {}` a sorted list,
    /// `ws.presence {group}` who is in a group.
    fn query(&self, caller: &Caller, operation: &str, payload: &[u8]) -> Result<Bytes, HostError> {
        match operation {
            "ws.is_connected" => self.connections.is_connected(caller, payload),
            "ws.connected_users" => self.connections.connected_users(caller),
            "ws.presence" => self.connections.presence(caller, payload),
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

/// The hub as plugins see it.
struct Connections {
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

impl Connections {
    fn send_to_user(&self, caller: &Caller, payload: &[u8]) -> Result<Bytes, HostError> {
        let request: ToUser<'_> = read_json(payload)?;
        let message = self.message(request.message)?;
        let app = self.apps.require(caller)?;
        write_json(&self.hub.send_to_user(&app, &request.user_id, &message))
    }

    async fn broadcast(&self, caller: &Caller, payload: &[u8]) -> Result<Bytes, HostError> {
        let request: ToAll<'_> = read_json(payload)?;
        let message = self.message(request.message)?;
        let app = self.apps.require(caller)?;
        write_json(&self.hub.broadcast(&app, &message).await)
    }

    fn send_to_connection(&self, caller: &Caller, payload: &[u8]) -> Result<Bytes, HostError> {
        let request: ToConnection<'_> = read_json(payload)?;
        let message = self.message(request.message)?;
        let app = self.apps.require(caller)?;
        let id = &request.connection_id;
        write_json(&self.hub.send_to_connection(&app, id, &message))
    }

    fn is_connected(&self, caller: &Caller, payload: &[u8]) -> Result<Bytes, HostError> {
        let request: User = read_json(payload)?;
        let app = self.apps.require(caller)?;
        write_json(&self.hub.is_connected(&app, &request.user_id))
    }

    fn connected_users(&self, caller: &Caller) -> Result<Bytes, HostError> {
        write_json(&self.hub.connected_users(&self.apps.require(caller)?))
    }

    fn message(&self, json: &RawValue) -> Result<Arc<Message>, HostError> {
        Message::from_raw(json, self.max_push_bytes)
            .map_err(|error| host_error("VALIDATION_ERROR", error.to_string()))
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
