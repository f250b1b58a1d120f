//! What admins do: switch on and off, load anew, remove, discover, configure.
//!
//! What they decide is written into the database first and then followed here as every gateway follows
//! it, so that all do the same.

use std::sync::Arc;

use mozaiks_plugins::{
    manifest::PluginKind,
    registry::{Plugin, PluginState},
};
use serde_json::{Value, json};

use futures_util::StreamExt as _;

use super::{Life, PluginManager, is_active, steps::has_hook};
use crate::{
    audit::Actor,
    configs::{Declared, EVERY_APP},
    error::LifeError,
    order,
    rows::Scope,
};

/// Apps in which a plugin is told something at the same time.
const APPS_AT_A_TIME: usize = 8;

impl PluginManager {
    /// Switches a plugin on or off: off, what it registered rests and running calls finish. An admin of
    /// one app of many cannot switch on what is off for the whole gateway.
    ///
    /// # Errors
    /// [`LifeError`] where there is no such plugin, where it is needed and to be off, and where its
    /// lifecycle functions fail; then it is off.
    pub async fn set_enabled(
        &self,
        name: &str,
        enabled: bool,
        scope: Scope<'_>,
        actor: &Actor,
    ) -> Result<(), LifeError> {
        let plugin = self.find(name)?;
        if !enabled {
            self.check_dependants(name, "disabled", scope)?;
        }
        let life = self.life(name);
        {
            let _turn = life.turn.lock().await;
            let was_on = is_on(&plugin, scope);
            self.write_enabled(&plugin, &life, enabled, scope).await?;
            life.forgive(scope);
            self.follow_own(&plugin, &life).await?;
            let (before, after) = (json!({"enabled": was_on}), json!({"enabled": enabled}));
            let action = if enabled { "enable" } else { "disable" };
            self.note(actor, name, action, &before, &after).await;
            if let Some(failure) = life.failure_in(scope).filter(|_| enabled) {
                return Err(failure);
            }
        }
        if enabled {
            self.follow_up(name, false).await;
        }
        Ok(())
    }

    async fn write_enabled(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        enabled: bool,
        scope: Scope<'_>,
    ) -> Result<(), LifeError> {
        let rows = &self.parts.rows;
        // Of one that an app has stored that app is the whole.
        let scope = if self.is_stored(&plugin.name) {
            Scope::Gateway
        } else {
            scope
        };
        if enabled
            && let Scope::App(_) = scope
            && let Some(Ok(row)) = rows.one(&plugin.name).await?
            && !row.enabled
        {
            return Err(LifeError::Conflict {
                message: format!(
                    "{} is switched off for the whole gateway; a superadmin may switch it on",
                    plugin.name
                ),
                list: Vec::new(),
            });
        }
        if !rows.set_enabled(&plugin.name, scope, enabled).await? {
            // The database was away when it was loaded.
            self.report(plugin, life).await;
            rows.set_enabled(&plugin.name, scope, enabled).await?;
        }
        Ok(())
    }

    /// Follows what was just written of a plugin.
    pub(super) async fn follow_own(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
    ) -> Result<(), LifeError> {
        let row = match self.parts.rows.one(&plugin.name).await? {
            Some(Ok(row)) => row,
            Some(Err(odd)) => {
                let message = format!("its row in the database makes no sense: {}", odd.reason);
                self.note_odd_row(life, odd);
                return Err(LifeError::invalid(message));
            }
            None => return Err(LifeError::NotFound("its row was deleted meanwhile".into())),
        };
        let before = life.state.lock().row.clone();
        let fields = before.map(|before| row.differences(&before));
        let followed = self.obey(plugin, life, row).await;
        if followed.is_ok() {
            self.report(plugin, life).await;
        }
        self.publish_changed("update", &plugin.name, &fields.unwrap_or_default());
        followed
    }

    /// Loads a plugin anew, here and on every other gateway: the new load first; the one before serves
    /// until then, and goes on where the new one fails. What needs it follows.
    ///
    /// # Errors
    /// [`LifeError::ReloadFailed`].
    pub async fn reload(&self, name: &str, actor: &Actor) -> Result<(), LifeError> {
        let plugin = self.find(name)?;
        let life = self.life(name);
        {
            let _turn = life.turn.lock().await;
            let on = !matches!(plugin.state(), PluginState::Disabled);
            let before = life.generation();
            self.load_anew(&plugin, &life, on).await?;
            self.ask_others_to_reload(&plugin, &life).await;
            let (before, after) = (
                json!({"generation": before}),
                json!({"generation": life.generation()}),
            );
            self.note(actor, name, "reload", &before, &after).await;
        }
        self.publish("plugin_reloaded", json!({"plugin": name}));
        self.follow_up(name, true).await;
        Ok(())
    }

    async fn ask_others_to_reload(&self, plugin: &Plugin, life: &Life) {
        let asked = async {
            self.parts.rows.ask_reload(&plugin.name).await?;
            self.parts.rows.one(&plugin.name).await
        };
        match asked.await {
            Ok(Some(Ok(row))) => {
                if let Some(known) = &mut life.state.lock().row {
                    // This gateway has done so; whatever else the row says is followed on its own.
                    known.reload = row.reload;
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(plugin.name = &*plugin.name, %error, "plugin.reload_not_told");
            }
        }
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
        self.check_dependants(name, "removed", Scope::Gateway)?;
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        if !self.parts.rows.set_removed(name, true).await? {
            self.parts.rows.bury(name).await?;
        }
        self.take_away(&plugin, &life).await;
        if let Some(Ok(row)) = self.parts.rows.one(name).await? {
            let mut state = life.state.lock();
            (state.row, state.has_row) = (Some(row), true);
        }
        self.note(actor, name, "remove", &json!({}), &Value::Null)
            .await;
        self.publish_changed("update", name, &["removed_at"]);
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
        let mut names = Vec::new();
        for found in order::levels(found).into_iter().flatten() {
            if self.parts.registry.find(&found.name).is_some() {
                continue;
            }
            let life = self.life(&found.name);
            let _turn = life.turn.lock().await;
            if self.parts.registry.find(&found.name).is_some() {
                // Another was quicker.
                continue;
            }
            if self.is_stored(&found.name) {
                continue;
            }
            self.parts.rows.set_removed(&found.name, false).await?;
            let row = match self.parts.rows.one(&found.name).await? {
                Some(Ok(row)) => row,
                Some(Err(odd)) => {
                    self.note_odd_row(&life, odd);
                    continue;
                }
                None => self.new_row(&found.name),
            };
            names.push(found.name.clone());
            // A failure is in the plugin's state, and told.
            self.bring_up(&life, &found, row).await.ok();
            self.note(actor, &found.name, "discover", &Value::Null, &json!({}))
                .await;
        }
        for name in &names {
            self.follow_up(name, false).await;
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Sets values of a plugin's configuration, in an app or in all, and tells the plugin.
    ///
    /// # Errors
    /// [`LifeError::Invalid`] where they do not fit.
    pub async fn set_config(
        &self,
        name: &str,
        values: &serde_json::Map<String, Value>,
        whole_gateway: bool,
        actor: &Actor,
    ) -> Result<serde_json::Map<String, Value>, LifeError> {
        let plugin = self.find(name)?;
        let manifest = plugin.manifest();
        let declared = Declared {
            defaults: &manifest.config,
            schema: manifest.config_schema.as_ref(),
        };
        let app_id: Arc<str> = if whole_gateway {
            EVERY_APP.into()
        } else {
            Arc::clone(&actor.app_id)
        };
        let configs = &self.parts.configs;
        let before = configs.effective(&app_id, name, &manifest.config);
        let by = actor.user_id.as_deref();
        let merged = configs.merge(&app_id, name, declared, values, by).await;
        let (after, changed) = merged?;
        let (old, new) = (Value::Object(before), Value::Object(after.clone()));
        self.note(actor, name, "config", &old, &new).await;
        if !changed.is_empty() {
            self.tell_config(&app_id, name, changed).await;
            self.publish_changed("update", name, &["config"]);
        }
        Ok(after)
    }

    /// Tells a plugin which keys of its configuration have changed, in an app or in all.
    pub async fn tell_config(&self, app_id: &Arc<str>, name: &str, changed: Vec<String>) {
        let of_all = &**app_id == EVERY_APP;
        let one_app = match &self.config.app_id {
            Some(only) if of_all => Some(only),
            None if of_all => None,
            _ => Some(app_id),
        };
        if let Some(app_id) = one_app {
            let data = json!({"plugin": name, "changed": changed});
            self.publish_in(app_id, "plugin_config_updated", data);
        }
        let load = self.lives.read().get(name).cloned();
        let load = load.and_then(|life| life.state.lock().load.clone());
        let Some(load) = load.filter(|load| has_hook(load, "on_config_change")) else {
            return;
        };
        let mut apps = match one_app {
            Some(app_id) => vec![Arc::clone(app_id)],
            // Each has a configuration of its own, of which this is a part.
            None => {
                let mut apps = self.parts.apps.all();
                apps.retain(|app_id| load.generation.is_on_for(app_id));
                apps
            }
        };
        // Where it is enabled later it reads the configuration then.
        let gate = load.generation.gate();
        apps.retain(|app_id| gate.is_none_or(|gate| gate.is_open(app_id)));
        let step = &json!({"name": "on_config_change", "changed": changed});
        futures_util::stream::iter(apps)
            .for_each_concurrent(APPS_AT_A_TIME, |app_id| {
                let load = Arc::clone(&load);
                async move {
                    if let Err(failure) = self.step(&load, step.clone(), Some(app_id)).await {
                        self.tell_failure(name, &failure);
                    }
                }
            })
            .await;
    }

    pub(super) fn check_dependants(
        &self,
        name: &str,
        what: &str,
        scope: Scope<'_>,
    ) -> Result<(), LifeError> {
        let list: Vec<String> = self
            .parts
            .registry
            .list()
            .iter()
            .filter(|other| {
                is_active(other)
                    && is_on(other, scope)
                    && other.manifest().dependencies.contains_key(name)
            })
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

/// Whether a plugin is on, for those of whom somebody speaks.
fn is_on(plugin: &Plugin, scope: Scope<'_>) -> bool {
    let on_for = match scope {
        Scope::Gateway => true,
        Scope::App(app_id) => plugin.apps().is_on_for(app_id),
    };
    is_active(plugin) && on_for
}
