//! What a plugin may do in the database of its app, as the store asks.

use std::sync::Arc;

use bson::{Document, doc};

use super::Guard;
use mozaiks_plugins::{
    Caller,
    permissions::{Access, Permissions},
};
use mozaiks_store::{CollectionRule, DatabaseAccess};

/// What the sender of a command may do.
pub(super) struct PluginAccess {
    guard: Arc<Guard>,
    permissions: Arc<Permissions>,
    plugin: Arc<str>,
    app_id: Arc<str>,
    user_id: Option<Arc<str>>,
}

impl PluginAccess {
    /// That of the load that asks, in an app, for the user whose call runs.
    pub(super) fn of(guard: &Arc<Guard>, caller: &Caller, app_id: &Arc<str>) -> Self {
        Self {
            guard: Arc::clone(guard),
            permissions: guard.permissions(caller),
            plugin: Arc::clone(&caller.plugin),
            app_id: Arc::clone(app_id),
            user_id: (caller.principal.as_ref()).map(|principal| principal.user_id.clone()),
        }
    }

    /// The user whose cursors and sessions a command may use, where users are kept apart.
    pub(super) fn owner(&self) -> Option<Arc<str>> {
        if self.permissions.knows_users() {
            self.user_id.clone()
        } else {
            None
        }
    }
}

impl DatabaseAccess for PluginAccess {
    fn rule(&self, collection: &str) -> CollectionRule {
        let is_own = (self.guard).owns_collection(&self.app_id, &self.plugin, collection);
        let rule = self.permissions.collection(collection, is_own);
        CollectionRule {
            read: rule.read,
            write: rule.write,
            of_user: rule.of_user,
        }
    }

    fn is_whole(&self) -> bool {
        self.permissions.whole_database(Access::Read)
    }

    fn listed(&self) -> Option<Document> {
        let entries = self.permissions.database.iter();
        let names: Vec<&str> = entries.map(|entry| entry.collection.as_str()).collect();
        if names.contains(&"*") {
            return None;
        }
        let own = format!("^{}_", literal(&self.plugin));
        let mut own = doc! { "name": { "$regex": own } };
        let others = self.guard.longer_names(&self.plugin);
        if !others.is_empty() {
            let others: Vec<_> = others.iter().map(|name| literal(name)).collect();
            let others = format!("^(?:{})_", others.join("|"));
            own = doc! { "$and": [own, { "name": { "$not": { "$regex": others } } }] };
        }
        let granted = names.iter().map(|name| match name.strip_suffix('*') {
            Some(prefix) => doc! { "name": { "$regex": format!("^{}", literal(prefix)) } },
            None => doc! { "name": *name },
        });
        let tables = self.guard.tables(&self.app_id, &self.plugin);
        let mut shown = vec![own, doc! { "name": { "$in": tables } }];
        shown.extend(granted);
        Some(doc! { "$or": shown })
    }

    fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }
}

/// A text as a pattern that matches itself.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() && !letter.is_ascii_alphanumeric() && letter != '_' {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}
