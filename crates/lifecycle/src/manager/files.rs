//! Files of plugins that have changed: new ones are discovered, changed ones loaded anew, and what needs
//! them follows.

use std::{collections::BTreeMap, sync::Arc};

use mozaiks_plugins::{
    manifest::PluginKind,
    registry::{Plugin, PluginState},
};
use serde_json::{Value, json};

use super::{Life, PluginManager};
use crate::{audit::Actor, order};

/// What has asked for a look at the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The watch over the directory.
    Watch,
    /// `SIGHUP`.
    Signal,
}

impl PluginManager {
    /// Looks at the files of a plugin: loads it where it is new, or anew where its code has changed.
    pub async fn look_at_files(&self, name: &str, look: Look) {
        let registry = &self.parts.registry;
        if self.is_stored(name) {
            // Its files are rows: a directory of that name is another's, and is not run.
            return;
        }
        if registry.find(name).is_none() && registry.look_for(name).is_err() {
            // A directory that is no plugin, or none yet.
            if let Some(skipped) = registry.note_misnamed(name) {
                let dir = skipped.dir.display();
                tracing::warn!(dir = %dir, reason = skipped.reason, "plugin.skipped");
            }
            return;
        }
        let changed = {
            let life = self.life(name);
            let _turn = life.turn.lock().await;
            match self.parts.registry.find(name) {
                Some(plugin) => self.look_again(&plugin, &life, look).await,
                None => self.look_for_new(&life, name).await,
            }
        };
        if changed {
            self.follow_up(name, true).await;
        }
    }

    /// Looks at the files of all plugins.
    pub async fn look_at_all_files(&self, look: Look) {
        let listed = self.parts.registry.list();
        let mut names: Vec<String> = listed
            .iter()
            .map(|plugin| plugin.name.to_string())
            .collect();
        match self.parts.registry.discover() {
            Ok((found, _)) => {
                // What others need comes first, so that nothing is loaded twice.
                let known = std::mem::take(&mut names);
                names.extend(order::levels(found).into_iter().flatten().map(|it| it.name));
                let gone = known.into_iter().filter(|name| !names.contains(name));
                let gone: Vec<_> = gone.collect();
                names.extend(gone);
            }
            Err(error) => tracing::warn!(%error, "plugins.directory_unreadable"),
        }
        for name in names {
            self.look_at_files(&name, look).await;
        }
    }

    /// Files that are read whenever they are asked for have changed: pages may want to know.
    pub fn static_files_changed(&self, name: &str) {
        if self.parts.registry.find(name).is_some() {
            self.publish_changed("update", name, &["static"]);
        }
    }

    /// Whether it was loaded anew.
    async fn look_again(&self, plugin: &Arc<Plugin>, life: &Life, look: Look) -> bool {
        if look == Look::Watch && plugin.manifest().kind == PluginKind::Static {
            return false;
        }
        let found = match self.parts.registry.locate(plugin) {
            Ok(found) => found,
            Err(reason) => {
                self.lose_source(plugin, life, &reason).await;
                return false;
            }
        };
        let checksum = self.checksum(&found).await;
        let (is_same, was_missing) = {
            let mut state = life.state.lock();
            let is_same = checksum.is_some() && state.checksum == checksum;
            let was_missing = is_same && std::mem::take(&mut state.source_missing);
            if was_missing {
                // Its files are back, as they were.
                state.error = None;
            }
            (is_same, was_missing)
        };
        if is_same {
            if was_missing {
                self.report(plugin, life).await;
            }
            return false;
        }
        let on = !matches!(plugin.state(), PluginState::Disabled);
        let before = life.generation();
        if self.load_anew(plugin, life, on).await.is_err() {
            return false;
        }
        let (before, after) = (
            json!({"generation": before}),
            json!({"generation": life.generation()}),
        );
        let actor = self.gateway_as("file");
        self.note(&actor, &plugin.name, "reload", &before, &after)
            .await;
        self.publish("plugin_reloaded", json!({"plugin": &*plugin.name}));
        true
    }

    /// Whether it was loaded.
    async fn look_for_new(&self, life: &Life, name: &str) -> bool {
        let Ok(found) = self.parts.registry.look_for(name) else {
            return false;
        };
        let row = match self.parts.rows.one(name).await {
            Ok(Some(Ok(row))) => Some(row),
            Ok(Some(Err(odd))) => {
                self.note_odd_row(life, odd);
                return false;
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(plugin.name = name, %error, "plugins.rows_unread");
                None
            }
        };
        life.state.lock().has_row = row.is_some();
        let row = row.unwrap_or_else(|| self.new_row(name));
        if row.stored.is_some() {
            life.state.lock().row = Some(row);
            tracing::warn!(plugin.name = name, "plugin.directory_of_a_stored_name");
            return false;
        }
        if row.removed {
            life.state.lock().row = Some(row);
            tracing::info!(plugin.name = name, "plugin.was_removed");
            return false;
        }
        // A failure is in the plugin's state, and told.
        let loaded = self.bring_up(life, &found, row).await.is_ok();
        let actor = self.gateway_as("file");
        self.note(&actor, name, "discover", &Value::Null, &json!({}))
            .await;
        loaded
    }

    /// Plugins that need one which was loaded follow: those that failed without it, and where its code
    /// is another now, `all` that serve.
    pub(super) async fn follow_up(&self, name: &str, all: bool) {
        let plugins = self.parts.registry.list();
        let needs: BTreeMap<_, _> = plugins
            .iter()
            .map(|plugin| {
                let needs = plugin.manifest().dependencies.keys().cloned().collect();
                (plugin.name.to_string(), needs)
            })
            .collect();
        for dependant in order::dependants(name, &needs) {
            let life = self.life(&dependant);
            let _turn = life.turn.lock().await;
            let Some(plugin) = self.parts.registry.find(&dependant) else {
                continue;
            };
            let follows = match plugin.state() {
                PluginState::Failed(_) => true,
                PluginState::Active(_) => all,
                PluginState::Loading | PluginState::Disabled => false,
            };
            // A failure is in the plugin's state, and told.
            if follows && self.load_anew(&plugin, &life, true).await.is_ok() {
                self.publish("plugin_reloaded", json!({"plugin": &*plugin.name}));
            }
        }
    }

    /// Whether the database has said that a plugin's files are rows.
    pub(super) fn is_stored(&self, name: &str) -> bool {
        let life = self.lives.read().get(name).cloned();
        let row = life.and_then(|life| life.state.lock().row.clone());
        row.is_some_and(|row| row.stored.is_some())
    }

    /// The gateway itself, as somebody who acts.
    pub(super) fn gateway_as(&self, from: &str) -> Actor {
        Actor::gateway(self.config.app_id.as_deref().unwrap_or_default(), from)
    }
}

impl Life {
    /// The number of the load that is held.
    pub(super) fn generation(&self) -> Option<u64> {
        let state = self.state.lock();
        state.load.as_ref().map(|load| load.generation.id().0)
    }
}
