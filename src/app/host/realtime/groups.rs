//! Groups of connections, as plugins name them. A group belongs to the caller's app: whatever the name or
//! the id, another app's is never reached.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Connections, user_id};
use crate::app::host::{host_error, read_json, write_json};
use mozaiks_plugins::{Caller, HostError};
use mozaiks_realtime::{GroupError, Message};

/// A connection's id, or a user's.
#[derive(Deserialize)]
struct Target {
    #[serde(deserialize_with = "user_id")]
    target: String,
    group: String,
    #[serde(default)]
    presence: bool,
}

#[derive(Deserialize)]
struct ToGroup<'a> {
    group: String,
    #[serde(borrow)]
    message: &'a RawValue,
}

#[derive(Deserialize)]
struct Named {
    group: String,
}

#[derive(Serialize)]
struct Present<'a> {
    users: &'a [std::sync::Arc<str>],
    count: usize,
}

impl Connections {
    /// `{target, group, presence}`: how many connections are in the group by that.
    pub(super) fn subscribe(&self, caller: &Caller, payload: &[u8]) -> Result<Bytes, HostError> {
        let request: Target = read_json(payload)?;
        let app = self.apps.require(caller)?;
        let (target, group) = (&request.target, &request.group);
        let entered = self
            .hub
            .subscribe_to_group(&app, target, group, request.presence);
        write_json(&entered.map_err(refused)?)
    }

    /// `{target, group}`: whether it was in the group.
    pub(super) fn unsubscribe(&self, caller: &Caller, payload: &[u8]) -> Result<Bytes, HostError> {
        let request: Target = read_json(payload)?;
        let app = self.apps.require(caller)?;
        let (target, group) = (&request.target, &request.group);
        let left = self.hub.unsubscribe_from_group(&app, target, group);
        write_json(&left.map_err(refused)?)
    }

    /// `{group, message}`: the number of connections reached.
    pub(super) async fn send_to_group(
        &self,
        caller: &Caller,
        payload: &[u8],
    ) -> Result<Bytes, HostError> {
        let request: ToGroup<'_> = read_json(payload)?;
        let message = Message::for_group(request.message, &request.group, self.max_push_bytes)
            .map_err(|error| host_error("VALIDATION_ERROR", error.to_string()))?;
        let app = self.apps.require(caller)?;
        write_json(&self.hub.send_to_group(&app, &request.group, &message).await)
    }

    /// `{group}`: the users who are in it and have a connection, sorted, and how many.
    pub(super) fn presence(&self, caller: &Caller, payload: &[u8]) -> Result<Bytes, HostError> {
        let request: Named = read_json(payload)?;
        let app = self.apps.require(caller)?;
        let present = self.hub.group_presence(&app, &request.group);
        write_json(&Present {
            users: &present.users,
            count: present.users.len(),
        })
    }
}

fn refused(error: GroupError) -> HostError {
    let code = match error {
        GroupError::Name => "VALIDATION_ERROR",
        GroupError::TooManyGroups | GroupError::TooManyMembers | GroupError::TooManyOfUser => {
            "LIMIT_EXCEEDED"
        }
    };
    host_error(code, error.to_string())
}
