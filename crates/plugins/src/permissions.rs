//! What a plugin may do beyond its own: one form, whichever way its manifest writes it.
//!
//! Here is what there is to ask; who asks is the host, for every way in which plugin code runs. Its own
//! a plugin may always use: collections named `{name}_…`, events `{name}:…` and `{name}.…`, storage,
//! configuration, settings, routes, jobs, its log.

mod consent;
mod denials;
mod patterns;
mod read;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use consent::{ConsentPolicy, missing};
pub use denials::{Denial, Denials};
pub use read::{Declared, PermissionsShape};

use crate::origin::Origin;
use patterns::covers;

/// How a collection or a directory may be used.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Nothing is changed.
    Read,
    /// Reading and changing.
    #[default]
    Write,
}

impl Access {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Whose documents of a collection there are for the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All of the app's.
    App,
    /// Those of the user for whom the call runs.
    User,
}

/// Leave to use a collection, or those whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct CollectionEntry {
    /// A name, `prefix_*`, or `*`.
    pub collection: String,
    /// How.
    #[serde(default)]
    pub access: Access,
    /// Whose documents; by the plugin's source where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// Leave to use files below the plugin's directory of data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileEntry {
    /// Relative, without `..`; `.` is the whole directory.
    pub path: String,
    /// How.
    pub access: Access,
}

/// Which of other plugins' events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct EventEntries {
    /// Names or patterns that may be published.
    pub publish: Vec<String>,
    /// Names or patterns that may be listened to.
    pub subscribe: Vec<String>,
}

/// What is allowed as a whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Telling users.
    Notifications,
    /// Live connections of single users.
    Websocket,
    /// Telling everybody.
    Broadcast,
    /// Settings of other plugins.
    SettingsAll,
    /// Scripts of admins.
    Admin,
}

impl Switch {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::Notifications,
        Self::Websocket,
        Self::Broadcast,
        Self::SettingsAll,
        Self::Admin,
    ];

    /// As manifests name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notifications => "notifications",
            Self::Websocket => "websocket",
            Self::Broadcast => "broadcast",
            Self::SettingsAll => "settings_all",
            Self::Admin => "admin",
        }
    }
}

/// What a plugin may do beyond its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Collections.
    pub database: Vec<CollectionEntry>,
    /// Interfaces of others that the operator has described, or `*`.
    pub api: Vec<String>,
    /// `host[:port]`, `*.host`, or `*`.
    pub network: Vec<String>,
    /// Directories below its own.
    pub filesystem: Vec<FileEntry>,
    /// Hooks of others, and events that may be listened to.
    pub hooks: Vec<String>,
    /// Events of others.
    pub events: EventEntries,
    /// The switches that are on.
    switches: [bool; Switch::ALL.len()],
    /// Whose documents of its own collections there are for it.
    own_scope: Option<Scope>,
}

/// What a plugin may do with one collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CollectionRule {
    /// Whether it may read.
    pub read: bool,
    /// Whether it may change.
    pub write: bool,
    /// Whether only documents of the running call's user are there for it.
    pub of_user: bool,
}

impl Permissions {
    /// Its own resources and no more, and of those the documents of the running call's user.
    pub fn own() -> Self {
        Self {
            own_scope: Some(Scope::User),
            ..Self::default()
        }
    }

    /// All but what admins do.
    pub fn everything() -> Self {
        let star = || vec!["*".to_owned()];
        let mut all = Self {
            database: vec![CollectionEntry {
                collection: "*".into(),
                access: Access::Write,
                scope: Some(Scope::App),
            }],
            api: star(),
            network: star(),
            filesystem: vec![FileEntry {
                path: ".".into(),
                access: Access::Write,
            }],
            hooks: star(),
            events: EventEntries {
                publish: star(),
                subscribe: star(),
            },
            ..Self::default()
        };
        for switch in Switch::ALL {
            all.turn_on(switch, switch != Switch::Admin);
        }
        all
    }

    /// What a plugin wants that comes from there: as it declares, else the default of its source.
    pub fn wanted(declared: Option<&Declared>, origin: Origin, policy: ConsentPolicy) -> Self {
        let mut wanted = match declared {
            Some(declared) => declared.permissions.clone(),
            None if policy.needs_consent(origin) => Self::own(),
            None => Self::everything(),
        };
        let scope = origin.default_scope();
        wanted.own_scope = Some(scope);
        for entry in &mut wanted.database {
            entry.scope.get_or_insert(scope);
        }
        wanted
    }

    /// Whether a switch is on.
    pub fn has(&self, switch: Switch) -> bool {
        self.switches[switch as usize]
    }

    pub(crate) fn turn_on(&mut self, switch: Switch, on: bool) {
        self.switches[switch as usize] = on;
    }

    /// What may be done with a collection, which is the plugin's own or not.
    pub fn collection(&self, name: &str, is_own: bool) -> CollectionRule {
        let mut rule = CollectionRule {
            read: is_own,
            write: is_own,
            of_user: is_own && self.own_scope == Some(Scope::User),
        };
        let mut scopes = None;
        for entry in &self.database {
            if covers(&entry.collection, name) {
                rule.read = true;
                rule.write |= entry.access == Access::Write;
                let of_user = entry.scope == Some(Scope::User);
                // Of two entries the stricter counts.
                scopes = Some(scopes.unwrap_or(false) || of_user);
            }
        }
        if let Some(of_user) = scopes {
            rule.of_user = of_user;
        }
        rule
    }

    /// Whether every collection of the app may be used so, with all its documents.
    pub fn whole_database(&self, access: Access) -> bool {
        self.database
            .iter()
            .any(|entry| entry.collection == "*" && entry.access >= access)
            && !self.knows_users()
    }

    /// Whether there are collections of which only a user's documents are there for the plugin.
    pub fn knows_users(&self) -> bool {
        self.own_scope == Some(Scope::User)
            || (self.database.iter()).any(|entry| entry.scope == Some(Scope::User))
    }

    /// Whether an event may be published by the plugin of that name.
    pub fn may_publish(&self, plugin: &str, event: &str) -> bool {
        is_own_event(plugin, event) || any_covers(&self.events.publish, event)
    }

    /// Whether events of a name or a pattern may be listened to by the plugin of that name.
    pub fn may_subscribe(&self, plugin: &str, pattern: &str) -> bool {
        is_own_event(plugin, pattern)
            || any_covers(&self.events.subscribe, pattern)
            || any_covers(&self.hooks, pattern)
    }

    /// Whether a function may be registered for a hook by the plugin of that name.
    pub fn may_hook(&self, plugin: &str, hook: &str) -> bool {
        is_own_event(plugin, hook) || any_covers(&self.hooks, hook)
    }

    /// Whether an interface that the operator has described may be called.
    pub fn may_call(&self, api: &str) -> bool {
        self.api.iter().any(|name| name == "*" || name == api)
    }

    /// Whether a host may be asked at a port, which is the scheme's own or not.
    pub fn may_reach(&self, host: &str, port: u16, is_default_port: bool) -> bool {
        (self.network.iter()).any(|entry| patterns::reaches(entry, host, port, is_default_port))
    }

    /// Whether a path below the plugin's directory of data may be used so; it has no `..`.
    pub fn may_use_path(&self, path: &str, access: Access) -> bool {
        (self.filesystem.iter())
            .any(|entry| entry.access >= access && patterns::is_below(&entry.path, path))
    }
}

fn any_covers(allowed: &[String], wanted: &str) -> bool {
    allowed.iter().any(|allowed| covers(allowed, wanted))
}

/// `{name}:…` and `{name}.…`; neither sign can stand in a plugin's name.
fn is_own_event(plugin: &str, event: &str) -> bool {
    event
        .strip_prefix(plugin)
        .is_some_and(|rest| rest.starts_with([':', '.']))
}

#[cfg(test)]
mod tests;
