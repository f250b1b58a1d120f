//! Plugins whose files are rows: a revision of one is laid down as a directory, and from there on it has
//! the life of all others.

use std::sync::Arc;

use mozaiks_plugins::{discovery::Found, registry::Plugin};
use serde_json::{Value, json};

use super::{Life, PluginManager};
use crate::{audit::Actor, error::LifeError, rows::Row};

impl PluginManager {
    /// Lets a revision of a stored plugin serve, the new load first, here and then on every gateway. Where
    /// it fails the one before serves on, and nothing is written. `switch_on` is an admin's word; without
    /// it the plugin stays on or off, and does not get to want more than it was granted.
    ///
    /// # Errors
    /// [`LifeError`]; a `Conflict` names permissions that are not granted.
    pub async fn serve_stored(
        &self,
        name: &str,
        digest: &str,
        switch_on: bool,
        actor: &Actor,
    ) -> Result<(), LifeError> {
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        let mut row = match self.parts.rows.one(name).await? {
            Some(Ok(row)) if row.stored.is_some() => row,
            Some(Err(odd)) => return Err(LifeError::invalid(odd.reason)),
            Some(Ok(_)) | None => {
                return Err(LifeError::NotFound("there is no such plugin".into()));
            }
        };
        let found = self
            .lay_down(name, digest)
            .await
            .map_err(LifeError::invalid)?;
        let by = actor.user_id.as_deref();
        let before = json!({ "digest": row.stored.as_ref().and_then(|it| it.digest.as_deref()) });
        if switch_on {
            (row.enabled, row.removed) = (true, false);
            row.apps.except.clear();
            row.apps.only = row.stored.as_ref().map(|it| [it.app_id.clone()].into());
        }
        let wanted = self.wants(&row);
        let was_listed = self.parts.registry.find(name).is_some();
        let plugin = self.entry_of(&found, &row);
        let previous = life.state.lock().row.replace(row);
        let unconsented = self.check_consent(&life, &found);
        if let Some((manifest, list)) = unconsented {
            if switch_on {
                // It waits for the grant, which then finds it.
                self.parts.rows.set_artifact(name, digest, true, by).await?;
                self.know_row(&life, name).await;
                return Err(self.withhold(&plugin, &life, manifest, list).await);
            }
            life.state.lock().row = previous;
            return Err(LifeError::Conflict {
                message: format!("PERMISSIONS_CHANGED: not granted: {}", list.join(", ")),
                list,
            });
        }
        let error_before = life.state.lock().error.clone();
        if let Err(error) = self.load_found(&plugin, &life, &found, wanted).await {
            let mut state = life.state.lock();
            (state.row, state.error) = (previous, error_before);
            drop(state);
            if !was_listed {
                self.parts.registry.remove(name);
            }
            return Err(error);
        }
        (self.parts.rows)
            .set_artifact(name, digest, switch_on, by)
            .await?;
        self.know_row(&life, name).await;
        let after = json!({ "digest": digest });
        self.note(actor, name, "activate", &before, &after).await;
        self.publish_changed("update", name, &["artifact"]);
        Ok(())
    }

    /// Takes a stored plugin off the list, before its rows go.
    ///
    /// # Errors
    /// `CONFLICT` where another plugin needs it.
    pub async fn forget_stored(&self, name: &str, actor: &Actor) -> Result<(), LifeError> {
        self.check_dependants(name, "removed", crate::rows::Scope::Gateway)?;
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        // So that nobody loads it again who reads its row before that is gone.
        self.parts.rows.set_removed(name, true).await?;
        self.drop_stored(&life, name).await;
        self.note(actor, name, "remove", &json!({}), &Value::Null)
            .await;
        Ok(())
    }

    /// The rows of a stored plugin are gone, or go: nothing is left that remembers it.
    pub(super) async fn drop_stored(&self, life: &Life, name: &str) {
        if let Some(plugin) = self.parts.registry.find(name) {
            self.take_away(&plugin, life).await;
        }
        {
            let mut state = life.state.lock();
            (state.row, state.has_row, state.row_error) = (None, false, None);
        }
        if let Some(trees) = &self.parts.stored {
            trees.forget(name);
        }
        self.publish_changed("delete", name, &[]);
    }

    /// A stored plugin that was not there.
    pub(super) async fn appear_stored(&self, life: &Life, name: &str, row: Row) {
        let digest = row.stored.as_ref().and_then(|it| it.digest.clone());
        let (Some(digest), true) = (digest, self.parts.stored.is_some()) else {
            // Nobody has activated it yet, or stored plugins are not wanted here.
            life.state.lock().row = Some(row);
            return;
        };
        match self.lay_down(name, &digest).await {
            // A failure is in the plugin's state, and told.
            Ok(found) => drop(self.bring_up(life, &found, row).await),
            Err(reason) => {
                let plugin = self.parts.registry.entry_without_files(name);
                settle_entry(&plugin, &row);
                life.state.lock().row = Some(row);
                self.miss_source(&plugin, life, &format!("SOURCE_MISSING: {reason}"));
            }
        }
    }

    /// Where the files of a plugin are: those of a stored one are laid down.
    pub(super) async fn locate(&self, plugin: &Plugin, life: &Life) -> Result<Found, String> {
        let stored = {
            let state = life.state.lock();
            state.row.as_ref().and_then(|row| row.stored.clone())
        };
        match stored {
            None => self.parts.registry.locate(plugin),
            Some(stored) => {
                let digest = stored.digest.ok_or("it was never activated")?;
                self.lay_down(&plugin.name, &digest).await
            }
        }
    }

    async fn lay_down(&self, name: &str, digest: &str) -> Result<Found, String> {
        let trees = self.parts.stored.as_ref();
        let trees = trees.ok_or("plugins stored in the database are switched off here")?;
        let dir = trees.lay_down(name, digest).await?;
        Found::stored(&dir, name)
    }

    /// The entry of a plugin that is found, with what its row says of it.
    pub(super) fn entry_of(&self, found: &Found, row: &Row) -> Arc<Plugin> {
        let plugin = self.parts.registry.entry(found);
        settle_entry(&plugin, row);
        plugin
    }

    /// What was just written is known, so that it is not followed again.
    async fn know_row(&self, life: &Life, name: &str) {
        match self.parts.rows.one(name).await {
            Ok(Some(Ok(row))) => {
                let mut state = life.state.lock();
                (state.row, state.has_row) = (Some(row), true);
            }
            Ok(_) => {}
            // The next look at the rows sees to it.
            Err(error) => tracing::warn!(plugin.name = name, %error, "plugins.rows_unread"),
        }
    }
}

fn settle_entry(plugin: &Plugin, row: &Row) {
    if let Some(stored) = &row.stored {
        plugin.set_owner(&stored.app_id);
    }
    plugin.apps().set(row.apps.clone());
    plugin.set_operator_word(row.word.clone());
}
