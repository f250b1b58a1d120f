//! What was wanted beyond what was granted.

use serde_json::{Value, json};

use super::{
    CollectionEntry, FileEntry, Permissions, Scope, Switch, any_covers,
    patterns::{covers, is_below, split_port},
};
use crate::origin::Origin;

/// Whose permissions an admin must have granted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsentPolicy {
    /// Also those of plugins in the operator's own directories.
    pub for_directories: bool,
}

impl ConsentPolicy {
    /// Whether a plugin that comes from there runs with an admin's consent only.
    pub fn needs_consent(self, origin: Origin) -> bool {
        self.for_directories || !origin.is_operators()
    }
}

/// The entries that are wanted and that nothing granted covers.
pub fn missing(wanted: &Permissions, granted: &Permissions) -> Vec<String> {
    let mut missing = Vec::new();
    for entry in &wanted.database {
        if !(granted.database.iter()).any(|granted| collection_covers(granted, entry)) {
            missing.push(entry.describe());
        }
    }
    let mut texts = |what: &str, wanted: &[String], covered: &dyn Fn(&String) -> bool| {
        for entry in wanted.iter().filter(|entry| !covered(entry)) {
            missing.push(format!("{what}:{entry}"));
        }
    };
    texts("api", &wanted.api, &|name| {
        granted
            .api
            .iter()
            .any(|given| given == "*" || given == name)
    });
    texts("network", &wanted.network, &|entry| {
        (granted.network.iter()).any(|given| network_covers(given, entry))
    });
    texts("hooks", &wanted.hooks, &|entry| {
        any_covers(&granted.hooks, entry)
    });
    texts("events.publish", &wanted.events.publish, &|entry| {
        any_covers(&granted.events.publish, entry)
    });
    texts("events.subscribe", &wanted.events.subscribe, &|entry| {
        any_covers(&granted.events.subscribe, entry) || any_covers(&granted.hooks, entry)
    });
    for entry in &wanted.filesystem {
        let covered = (granted.filesystem.iter())
            .any(|given| given.access >= entry.access && is_below(&given.path, &entry.path));
        if !covered {
            missing.push(entry.describe());
        }
    }
    for switch in Switch::ALL {
        if wanted.has(switch) && !granted.has(switch) {
            missing.push(switch.as_str().to_owned());
        }
    }
    missing
}

fn collection_covers(granted: &CollectionEntry, wanted: &CollectionEntry) -> bool {
    let scope_fits = granted.scope != Some(Scope::User) || wanted.scope == Some(Scope::User);
    scope_fits && granted.access >= wanted.access && covers(&granted.collection, &wanted.collection)
}

fn network_covers(granted: &str, wanted: &str) -> bool {
    if granted == "*" || granted == wanted {
        return true;
    }
    let ((given, given_port), (host, port)) = (split_port(granted), split_port(wanted));
    let domain_fits = given.strip_prefix("*.").is_some_and(|domain| {
        host.strip_suffix(domain)
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    });
    given_port == port && (given == host || domain_fits)
}

impl CollectionEntry {
    /// As denials name it.
    pub fn describe(&self) -> String {
        let scope = match self.scope {
            Some(Scope::User) => " (of the user)",
            Some(Scope::App) | None => "",
        };
        format!(
            "database:{}:{}{scope}",
            self.collection,
            self.access.as_str()
        )
    }
}

impl FileEntry {
    /// As denials name it.
    pub fn describe(&self) -> String {
        format!("filesystem:{}:{}", self.path, self.access.as_str())
    }

    /// As manifests write it.
    pub(super) fn written(&self) -> String {
        match self.access {
            super::Access::Read => format!("{}:ro", self.path),
            super::Access::Write => self.path.clone(),
        }
    }
}

impl Permissions {
    /// The object form, which is read again as it was.
    pub fn to_value(&self) -> Value {
        let mut object = json!({
            "database": self.database,
            "api": self.api,
            "network": self.network,
            "filesystem": self.filesystem.iter().map(FileEntry::written).collect::<Vec<_>>(),
            "hooks": self.hooks,
            "events": self.events,
        });
        for switch in Switch::ALL {
            object[switch.as_str()] = self.has(switch).into();
        }
        object
    }
}
