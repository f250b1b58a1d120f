//! `notifications.*`, `broadcast.*`, `digest.*`: what users of the caller's app are told. Joins the
//! notifications with plugins, live connections and the event bus.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Apps, HostFuture, HostPart, read_json, write_json};
use crate::refusals::notification_error;
use mozaiks_events::{EventBus, EventDraft};
use mozaiks_hooks::{Applicant, Hooks};
use mozaiks_notifications::{MailParts, NotificationsManager, Operations, Outlet};
use mozaiks_plugins::{
    Caller,
    dispatch::{CallObserver, FinishedCall},
    manifest::Manifest,
    registry::ManifestObserver,
};
use mozaiks_realtime::{Hub, Message};

/// Joins plugins and the notifications manager: the operations of one prefix.
pub struct NotificationsPart {
    prefix: &'static str,
    operations: Operations,
    apps: Apps,
}

impl NotificationsPart {
    /// A part for each of the three prefixes.
    pub fn all(operations: &Operations, apps: &Apps) -> impl Iterator<Item = Self> {
        ["notifications.", "broadcast.", "digest."]
            .map(|prefix| Self {
                prefix,
                operations: operations.clone(),
                apps: apps.clone(),
            })
            .into_iter()
    }
}

impl HostPart for NotificationsPart {
    fn prefix(&self) -> &'static str {
        self.prefix
    }

    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        let operations = self.operations.clone();
        let app_id = self.apps.require(&caller);
        let operation = operation.to_owned();
        Box::pin(async move {
            let app_id = app_id?;
            let arguments: Value = read_json(&payload)?;
            let answer = operations
                .request(&app_id, &operation, &arguments)
                .await
                .map_err(notification_error)?;
            write_json(&answer)
        })
    }
}

/// Where notifications go at once: the user's open sockets and the event bus.
pub struct NotificationOutlet {
    hub: Arc<Hub>,
    events: Arc<EventBus>,
    max_push_bytes: usize,
    /// Filled once, before anything is delivered.
    hooks: OnceLock<Arc<Hooks>>,
}

impl NotificationOutlet {
    /// To these.
    pub fn new(hub: Arc<Hub>, events: Arc<EventBus>, max_push_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            hub,
            events,
            max_push_bytes,
            hooks: OnceLock::new(),
        })
    }

    /// From here on the filters of `email.content` see each mail.
    pub fn filter_mail_by(&self, hooks: Arc<Hooks>) {
        // Filled once, by whoever builds both.
        self.hooks.set(hooks).ok();
    }
}

impl Outlet for NotificationOutlet {
    fn push(&self, app_id: &str, user_id: &str, message: &Value) -> usize {
        match Message::from_value(message, self.max_push_bytes) {
            Ok(message) => self.hub.send_to_user(app_id, user_id, &message),
            Err(error) => {
                tracing::warn!(user.id = user_id, error = %error, "a notification was not pushed");
                0
            }
        }
    }

    fn publish(&self, app_id: &str, event: &str, data: Value) {
        let published = self.events.publish(EventDraft {
            app_id: app_id.into(),
            principal: None,
            request_id: None,
            name: event.into(),
            data: data.to_string().into(),
        });
        if let Err(error) = published {
            tracing::warn!(event.name = event, error = %error, "an event could not be published");
        }
    }

    fn mail<'a>(
        &'a self,
        app_id: &'a str,
        parts: MailParts,
        about: &'a Value,
    ) -> BoxFuture<'a, MailParts> {
        Box::pin(async move {
            let Some(hooks) = self.hooks.get() else {
                return parts;
            };
            filtered(hooks, app_id, &parts, about)
                .await
                .unwrap_or(parts)
        })
    }
}

/// What the filters of `email.content` make of a mail; `None` where it is to be sent as it is.
async fn filtered(
    hooks: &Hooks,
    app_id: &str,
    parts: &MailParts,
    about: &Value,
) -> Option<MailParts> {
    let by = Applicant {
        app_id: app_id.into(),
        principal: None,
        request_id: "email.content".into(),
        within: None,
        is_page: false,
    };
    let value = serde_json::value::to_raw_value(parts).ok()?;
    let about = serde_json::value::to_raw_value(about).ok()?;
    // One that fails has been logged, and keeps the mail.
    let given = hooks
        .apply(&by, "email.content", &value, &[&about])
        .await
        .ok()?;
    let given: std::collections::BTreeMap<String, Value> = serde_json::from_slice(&given).ok()?;
    let mut parts = parts.clone();
    for (name, part) in &mut parts {
        if let Some(Value::String(text)) = given.get(name) {
            part.clone_from(text);
        }
    }
    Some(parts)
}

/// Notes who calls, for broadcasts.
pub struct SeenUsers(pub Arc<NotificationsManager>);

impl CallObserver for SeenUsers {
    fn call_finished(&self, call: &FinishedCall<'_>) {
        if let Some(principal) = call.principal {
            self.0.directory().note(principal);
        }
    }
}

/// Declares the types of a plugin's manifest.
pub struct DeclaredTypes(pub Arc<NotificationsManager>);

impl ManifestObserver for DeclaredTypes {
    fn manifest_read(&self, plugin: &str, manifest: &Manifest) {
        let list = match &manifest.notifications {
            None => Vec::new(),
            Some(Value::Array(list)) => list.clone(),
            // Existing plugins also write an object by id.
            Some(Value::Object(by_id)) => by_id
                .iter()
                .map(|(id, declared)| {
                    let mut declared = declared.clone();
                    if let Some(fields) = declared.as_object_mut() {
                        fields.entry("id").or_insert_with(|| id.as_str().into());
                    }
                    declared
                })
                .collect(),
            Some(_) => Vec::new(),
        };
        if let Err(error) = self.0.catalogue().declare(plugin, &list) {
            tracing::error!(
                plugin.name = plugin,
                error = %error,
                "the plugin's types of notifications cannot be used"
            );
        }
    }
}
