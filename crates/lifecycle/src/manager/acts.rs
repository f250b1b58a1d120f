//! What admins do: switch on and off, load anew, remove, discover, configure.

use std::sync::Arc;

use mozaiks_plugins::{manifest::PluginKind, registry::PluginState};
use serde_json::{Value, json};

use super::{PluginManager, is_active, steps::has_hook};
use crate::{audit::Actor, configs::Declared, error::LifeError};

impl PluginManager {
    /// Switches a plugin on.
    ///
    /// # Errors
    /// [`LifeError`] where there is no such plugin or its lifecycle functions fail; then it is off.
    pub async fn enable(&self, name: &str, actor: &Actor) -> Result<(), LifeError> {
        let plugin = self.find(name)?;
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        let was_on = is_active(&plugin);
        self.parts.rows.set_enabled(name, None, true).await?;
        if !was_on {
            let waiting = life.state.lock().load.clone();
            match waiting {
                Some(load) => self.start_serving(&plugin, &life, &load, None).await?,
                None => self.load_anew(&plugin, &life, true).await?,
            }
        }
        self.note(
            actor,
            name,
            "enable",
            &json!({"enabled": was_on}),
            &json!({"enabled": true}),
        )
        .await;
        Ok(())
    }

    /// Switches a plugin off: what it registered rests, running calls finish.
    ///
    /// # Errors
    /// [`LifeError`] where there is no such plugin, or another that is on needs it.
    pub async fn disable(&self, name: &str, actor: &Actor) -> Result<(), LifeError> {
        let plugin = self.find(name)?;
        self.check_dependants(name, "disabled")?;
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        let was_on = is_active(&plugin);
        self.parts.rows.set_enabled(name, None, false).await?;
        self.stop_serving(&plugin, &life).await;
        self.note(
            actor,
            name,
            "disable",
            &json!({"enabled": was_on}),
            &json!({"enabled": false}),
        )
        .await;
        Ok(())
    }

    /// Loads a plugin anew: the new load first; the one before serves until then, and goes on where the
    /// new one fails.
    ///
    /// # Errors
    /// [`LifeError::ReloadFailed`].
    pub async fn reload(&self, name: &str, actor: &Actor) -> Result<(), LifeError> {
        let plugin = self.find(name)?;
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        let enabled = !matches!(plugin.state(), PluginState::Disabled);
        let before = life
            .state
            .lock()
            .load
            .as_ref()
            .map(|load| load.generation.id().0);
        self.load_anew(&plugin, &life, enabled).await?;
        let after = life
            .state
            .lock()
            .load
            .as_ref()
            .map(|load| load.generation.id().0);
        let (before, after) = (json!({"generation": before}), json!({"generation": after}));
        self.note(actor, name, "reload", &before, &after).await;
        self.publish("plugin_reloaded", json!({"plugin": name}));
        Ok(())
    }

    /// Unloads a plugin and marks it as removed; its files and its data stay.
    ///
    /// # Errors
    /// `CONFLICT` for a plugin that comes with the gateway, or that another needs.
    pub async fn remove(&self, name: &str, actor: &Actor) -> Result<(), LifeError> {
        let plugin = self.find(name)?;
        if plugin.manifest().kind == PluginKind::Static {
            return Err(LifeError::Conflict {
                message: format!("{name} comes with the gateway and cannot be removed"),
                list: Vec::new(),
            });
        }
        self.check_dependants(name, "removed")?;
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        self.parts.rows.set_removed(name, true).await?;
        self.stop_serving(&plugin, &life).await;
        let load = life.state.lock().load.take();
        if let Some(load) = load {
            self.unload(&load).await;
        }
        self.parts.registry.remove(name);
        self.lives.write().remove(name);
        self.note(actor, name, "remove", &json!({}), &Value::Null)
            .await;
        Ok(())
    }

    /// Looks for plugins that are new, and for removed ones whose files are there; loads them and gives
    /// their names.
    ///
    /// # Errors
    /// What the directory or the database says.
    pub async fn discover(&self, actor: &Actor) -> Result<Vec<String>, LifeError> {
        let (found, _) = self
            .parts
            .registry
            .discover()
            .map_err(|error| LifeError::invalid(format!("the plugins directory: {error}")))?;
        let rows = self.parts.rows.all().await?;
        let mut names = Vec::new();
        for found in found {
            if self.parts.registry.find(&found.name).is_some() {
                continue;
            }
            let row = rows.iter().find(|row| row.name == found.name);
            if row.is_some_and(|row| row.removed) {
                self.parts.rows.set_removed(&found.name, false).await?;
            }
            let enabled = row.map_or(self.config.enable_new, |row| row.enabled);
            names.push(found.name.clone());
            // A failure is in the plugin's state, and told.
            self.bring_up(&found, enabled).await.ok();
            self.note(actor, &found.name, "discover", &Value::Null, &json!({}))
                .await;
        }
        Ok(names)
    }

    /// Sets values of a plugin's configuration and tells the plugin.
    ///
    /// # Errors
    /// [`LifeError::Invalid`] where they do not fit.
    pub async fn set_config(
        self: &Arc<Self>,
        name: &str,
        values: &serde_json::Map<String, Value>,
        actor: &Actor,
    ) -> Result<serde_json::Map<String, Value>, LifeError> {
        let plugin = self.find(name)?;
        let manifest = plugin.manifest();
        let declared = Declared {
            defaults: &manifest.config,
            schema: manifest.config_schema.as_ref(),
        };
        let before = self
            .parts
            .configs
            .effective(&actor.app_id, name, &manifest.config);
        let (after, changed) = self
            .parts
            .configs
            .merge(
                &actor.app_id,
                name,
                declared,
                values,
                actor.user_id.as_deref(),
            )
            .await?;
        let (old, new) = (Value::Object(before), Value::Object(after.clone()));
        self.note(actor, name, "config", &old, &new).await;
        if !changed.is_empty() {
            self.tell_config(&actor.app_id, name, changed).await;
        }
        Ok(after)
    }

    /// Tells a plugin which keys of its configuration have changed.
    pub async fn tell_config(&self, app_id: &Arc<str>, name: &str, changed: Vec<String>) {
        let data = json!({"plugin": name, "changed": changed});
        self.publish_in(app_id, "plugin_config_updated", data);
        let load = self.lives.read().get(name).cloned();
        let load = load.and_then(|life| life.state.lock().load.clone());
        if let Some(load) = load.filter(|load| has_hook(load, "on_config_change")) {
            let step = json!({"name": "on_config_change", "changed": changed});
            if let Err(failure) = self.step(&load, step, Some(Arc::clone(app_id))).await {
                self.tell_failure(name, &failure);
            }
        }
    }

    pub(super) fn check_dependants(&self, name: &str, what: &str) -> Result<(), LifeError> {
        let list: Vec<String> = self
            .parts
            .registry
            .list()
            .iter()
            .filter(|other| is_active(other) && other.manifest().dependencies.contains_key(name))
            .map(|other| other.name.to_string())
            .collect();
        if list.is_empty() {
            return Ok(());
        }
        Err(LifeError::Conflict {
            message: format!("{name} cannot be {what}: {} need it", list.join(", ")),
            list,
        })
    }
}
