//! What each plugin may ask of the gateway: looked up before any part hears of a request, for every way
//! in which plugin code runs.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::{Apps, RegistrySlot, read_json};
use mozaiks_entities::tables::Tables;
use mozaiks_events::{EventBus, EventDraft};
use mozaiks_plugins::{
    Caller, HostError,
    host::Registration,
    permissions::{Denial, Denials, Permissions, Switch},
};

/// The code of a refusal for want of a permission.
pub const PERMISSION_DENIED: &str = "PERMISSION_DENIED";

/// Knows what each load may do, and tells of what was denied.
pub struct Guard {
    registry: RegistrySlot,
    denials: Arc<Denials>,
    events: Arc<EventBus>,
    apps: Apps,
    tables: Arc<Tables>,
}

impl Guard {
    /// Over the plugins there are; what is denied is noted and published.
    pub fn new(
        registry: RegistrySlot,
        denials: Arc<Denials>,
        events: Arc<EventBus>,
        apps: Apps,
        tables: Arc<Tables>,
    ) -> Arc<Self> {
        Arc::new(Self {
            registry,
            denials,
            events,
            apps,
            tables,
        })
    }

    /// What the load that asks may do. One that has ended has its own resources.
    pub fn permissions(&self, caller: &Caller) -> Arc<Permissions> {
        self.registry
            .get()
            .and_then(|registry| registry.generation_of(caller))
            .map_or_else(
                || Arc::new(Permissions::own()),
                |generation| generation.permissions(),
            )
    }

    /// Whether a collection of an app is a plugin's own: one of its entities, else by its name.
    pub fn owns_collection(&self, app_id: &str, plugin: &str, collection: &str) -> bool {
        match self.tables.owner(app_id, collection) {
            Some(owner) => *owner == *plugin,
            None => (self.registry.get())
                .is_some_and(|registry| registry.owns_collection(plugin, collection)),
        }
    }

    /// The collections of a plugin's entities in an app.
    pub fn tables(&self, app_id: &str, plugin: &str) -> Vec<String> {
        self.tables.of_plugin(app_id, plugin)
    }

    /// Plugins whose collections begin as this one's do, and are not its own.
    pub fn longer_names(&self, plugin: &str) -> Vec<Arc<str>> {
        let registry = self.registry.get();
        registry.map_or_else(Vec::new, |registry| registry.longer_names(plugin))
    }

    /// Whether a request or a question may be asked.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub fn check(&self, caller: &Caller, operation: &str, payload: &[u8]) -> Result<(), HostError> {
        if let Some(switch) = needed(operation) {
            return self.check_switch(caller, operation, switch);
        }
        match operation {
            "settings.get_all" => self.check_switch(caller, operation, Switch::SettingsAll),
            "settings.get" | "settings.save" => {
                #[derive(Deserialize)]
                struct Whose {
                    plugin: String,
                }
                let whose: Whose = read_json(payload)?;
                if *whose.plugin == *caller.plugin {
                    return Ok(());
                }
                self.check_switch(caller, operation, Switch::SettingsAll)
            }
            "events.history" => {
                #[derive(Deserialize)]
                struct Which {
                    event: String,
                }
                let which: Which = read_json(payload)?;
                self.check_subscription(caller, operation, &which.event)
            }
            _ => Ok(()),
        }
    }

    /// Whether an event may be published.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub fn check_publish(&self, caller: &Caller, event: &str) -> Result<(), HostError> {
        if self.permissions(caller).may_publish(&caller.plugin, event) {
            return Ok(());
        }
        Err(self.deny(caller, "events.publish", format!("events.publish:{event}")))
    }

    /// Whether a function may be registered for this.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub fn check_registration(
        &self,
        caller: &Caller,
        registration: &Registration,
    ) -> Result<(), HostError> {
        match &*registration.kind {
            "event" => {
                #[derive(Deserialize)]
                struct Which {
                    pattern: String,
                    /// Whether pages may publish it: as if the plugin did.
                    #[serde(default)]
                    client: bool,
                }
                let which: Which = read_json(&registration.spec)?;
                if which.client {
                    self.check_publish(caller, &which.pattern)?;
                }
                self.check_subscription(caller, "events.subscribe", &which.pattern)
            }
            "hook" => {
                #[derive(Deserialize)]
                struct Which {
                    hook_name: String,
                }
                let Which { hook_name } = read_json(&registration.spec)?;
                if (self.permissions(caller)).may_hook(&caller.plugin, &hook_name) {
                    return Ok(());
                }
                Err(self.deny(caller, "hooks.register", format!("hooks:{hook_name}")))
            }
            "websocket" => {
                #[derive(Deserialize)]
                struct Which {
                    r#type: String,
                }
                let which: Which = read_json(&registration.spec)?;
                if is_own_message(&caller.plugin, &which.r#type) {
                    return Ok(());
                }
                self.check_switch(caller, "ws.on_message", Switch::Websocket)
            }
            // Its own: routes, jobs, what goes round its `execute`.
            _ => Ok(()),
        }
    }

    fn check_subscription(
        &self,
        caller: &Caller,
        operation: &str,
        pattern: &str,
    ) -> Result<(), HostError> {
        if (self.permissions(caller)).may_subscribe(&caller.plugin, pattern) {
            return Ok(());
        }
        Err(self.deny(caller, operation, format!("events.subscribe:{pattern}")))
    }

    fn check_switch(
        &self,
        caller: &Caller,
        operation: &str,
        switch: Switch,
    ) -> Result<(), HostError> {
        if self.permissions(caller).has(switch) {
            return Ok(());
        }
        Err(self.deny(caller, operation, switch.as_str().to_owned()))
    }

    /// Notes what was denied, and gives the refusal.
    pub fn deny(&self, caller: &Caller, operation: &str, permission: String) -> HostError {
        let details = json!({ "permission": permission }).to_string();
        self.note(caller, operation, &permission);
        HostError {
            code: PERMISSION_DENIED,
            message: format!("the permission `{permission}` is missing"),
            details: Some(Bytes::from(details)),
        }
    }

    /// Notes what was denied.
    pub fn note(&self, caller: &Caller, operation: &str, permission: &str) {
        let app_id = self.apps.require(caller).ok();
        let denial = Denial {
            app_id: app_id.clone(),
            request_id: caller.request_id.clone(),
            ..Denial::now(permission.to_owned(), operation)
        };
        if !self.denials.note(&caller.plugin, denial) {
            return;
        }
        tracing::warn!(
            plugin.name = &*caller.plugin,
            request.id = caller.request_id.as_deref(),
            permission,
            operation,
            "plugin.permission_denied"
        );
        let Some(app_id) = app_id else {
            return;
        };
        let data = json!({
            "plugin": &*caller.plugin,
            "permission": permission,
            "operation": operation,
            "request_id": caller.request_id,
        });
        let published = self.events.publish(EventDraft {
            app_id,
            principal: None,
            request_id: caller.request_id.clone(),
            name: "plugin_permission_denied".into(),
            data: data.to_string().into(),
        });
        if let Err(error) = published {
            tracing::warn!(%error, "an event could not be published");
        }
    }
}

/// Whether messages of a type are meant for the plugin: its name, alone or before more of it.
fn is_own_message(plugin: &str, message_type: &str) -> bool {
    let same = |one: u8, other: u8| one == other || (one == b'-' && other == b'_');
    let (name, message) = (plugin.as_bytes(), message_type.as_bytes());
    message.len() >= name.len()
        && name
            .iter()
            .zip(message)
            .all(|(one, other)| same(*one, *other))
        && (message.get(name.len())).is_none_or(|next| b"_-:.".contains(next))
}

/// The switch that an operation needs, by its prefix.
fn needed(operation: &str) -> Option<Switch> {
    let (prefix, _) = operation.split_once('.')?;
    match prefix {
        "notifications" | "digest" => Some(Switch::Notifications),
        "broadcast" => Some(Switch::Broadcast),
        "ws" if operation == "ws.broadcast" => Some(Switch::Broadcast),
        // An answer to whoever has spoken to the plugin: nobody else knows a connection's id.
        "ws" if operation == "ws.send_to_connection" => None,
        "ws" => Some(Switch::Websocket),
        _ => None,
    }
}
