//! Plugins whose workers have died too often: they stand still until an admin, or new code, releases
//! them. And where plugins run, as the operator says.

use mozaiks_plugins::{limits::ResourceLimits, manifest::Isolation};
use serde_json::{Map, Value, json};

use super::{Life, PluginManager};
use crate::{audit::Actor, error::LifeError};

impl PluginManager {
    /// A plugin's workers have died too often.
    pub async fn quarantine(&self, name: &str, reason: &str, crashes: usize) {
        let Ok(plugin) = self.find(name) else { return };
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        self.stand_still(&plugin, &life, reason);
        if let Some(row) = &mut life.state.lock().row {
            row.quarantine = Some(reason.to_owned());
        }
        let written = self
            .parts
            .rows
            .set_quarantine(name, Some((reason, crashes)));
        if let Err(error) = written.await {
            tracing::warn!(plugin.name = name, %error, "plugin.quarantine_not_written");
        }
        self.report(&plugin, &life).await;
        let data = json!({"plugin": name, "reason": reason, "crashes": crashes});
        self.publish("plugin_quarantined", data);
        self.publish_changed("update", name, &["quarantine"]);
    }

    /// Lets a plugin run again.
    ///
    /// # Errors
    /// [`LifeError`] where there is no such plugin, where it is not in quarantine, and where it cannot be
    /// loaded.
    pub async fn release(&self, name: &str, actor: &Actor) -> Result<(), LifeError> {
        let plugin = self.find(name)?;
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        let before = life.quarantine();
        if before.is_none() {
            return Err(LifeError::Conflict {
                message: format!("{name} is not in quarantine"),
                list: Vec::new(),
            });
        }
        self.parts.rows.set_quarantine(name, None).await?;
        let followed = self.follow_own(&plugin, &life).await;
        let (before, after) = (json!({"quarantine": before}), json!({"quarantine": null}));
        self.note(actor, name, "release", &before, &after).await;
        followed
    }

    /// Says where a plugin runs and what it may use, and loads it anew there: what is `None` stays as it
    /// is said, what is null is taken back.
    ///
    /// # Errors
    /// [`LifeError`] where a limit is none, and where the plugin cannot be loaded so.
    pub async fn set_placement(
        &self,
        name: &str,
        isolation: Option<Option<Isolation>>,
        limits: Option<Option<Map<String, Value>>>,
        actor: &Actor,
    ) -> Result<(), LifeError> {
        let plugin = self.find(name)?;
        if let Some(Some(limits)) = &limits {
            let (_, unknown) = ResourceLimits::parse(limits).map_err(LifeError::invalid)?;
            if let Some(key) = unknown.first() {
                let message = format!("resource_limits.{key}: there is no such limit");
                return Err(LifeError::invalid(message));
            }
        }
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        let limits = limits.as_ref().map(Option::as_ref);
        if !self
            .parts
            .rows
            .set_placement(name, isolation, limits)
            .await?
        {
            self.report(&plugin, &life).await;
            self.parts
                .rows
                .set_placement(name, isolation, limits)
                .await?;
        }
        let followed = self.follow_own(&plugin, &life).await;
        let after = json!({"isolation": isolation.flatten(), "limits": limits.flatten()});
        self.note(actor, name, "limits", &Value::Null, &after).await;
        followed
    }

    /// It runs again, by new code or an admin's word.
    pub(super) async fn let_go(&self, life: &Life, name: &str) {
        let was = (life.state.lock().row.as_mut()).and_then(|row| row.quarantine.take());
        if was.is_some()
            && let Err(error) = self.parts.rows.set_quarantine(name, None).await
        {
            tracing::warn!(plugin.name = name, %error, "plugin.quarantine_not_written");
        }
    }
}

impl Life {
    /// Why it stands still, where it does.
    pub(super) fn quarantine(&self) -> Option<String> {
        let state = self.state.lock();
        state.row.as_ref().and_then(|row| row.quarantine.clone())
    }
}
