//! What plugins want to do beyond their own, and what admins have granted. More than granted is not run,
//! and its code not even imported, until an admin says so.

use std::sync::Arc;

use mozaiks_plugins::{
    discovery::Found,
    manifest::Manifest,
    origin::Origin,
    permissions::{Declared, Permissions, missing},
    registry::{Plugin, PluginState},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Failure, Life, PluginManager};
use crate::{audit::Actor, error::LifeError, rows::Row};

/// What a plugin wants, and what was granted to it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PermissionsView {
    /// What it wants, in the object form; without a word of its manifest what its source gives it.
    pub declared: Value,
    /// What an admin has granted.
    pub granted: Option<GrantView>,
    /// What it wants and was not granted.
    pub missing: Vec<String>,
    /// Whether it runs with an admin's consent only.
    pub consent: bool,
}

/// An admin's consent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GrantView {
    /// To what, in the object form.
    pub permissions: Value,
    /// Whose.
    pub by: Option<String>,
    /// When, in ISO 8601.
    pub at: Option<String>,
}

impl PluginManager {
    /// What a plugin wants, and what was granted to it.
    pub fn permissions(&self, plugin: &Plugin) -> PermissionsView {
        let manifest = plugin.manifest();
        let granted = {
            let life = self.life(&plugin.name);
            let state = life.state.lock();
            state.row.as_ref().and_then(|row| row.granted.clone())
        };
        let registry = &self.parts.registry;
        let consent = registry
            .consent_policy()
            .needs_consent(Origin::of(&manifest));
        let wanted = registry.wanted(&manifest);
        let missing = match (&granted, consent) {
            (_, false) => Vec::new(),
            (Some(grant), true) => missing(&wanted, &grant.permissions),
            (None, true) => missing(&wanted, &Permissions::own()),
        };
        PermissionsView {
            declared: wanted.to_value(),
            granted: granted.map(|grant| GrantView {
                permissions: grant.permissions.to_value(),
                by: grant.by,
                at: grant.at.try_to_rfc3339_string().ok(),
            }),
            missing,
            consent,
        }
    }

    /// Grants a plugin what an admin says, and no more; it runs once that covers what it wants.
    ///
    /// # Errors
    /// [`LifeError`] where there is no such plugin, and what the database or its load says.
    pub async fn grant(&self, name: &str, granted: Value, actor: &Actor) -> Result<(), LifeError> {
        let granted = Declared::read(granted)
            .map_err(|why| LifeError::invalid_at("/granted", format!("granted: {why}")))?;
        if let Some(unknown) = granted.unknown.first() {
            let message = format!("granted: {unknown} is no permission");
            return Err(LifeError::invalid_at("/granted", message));
        }
        let plugin = self.find(name)?;
        let life = self.life(name);
        {
            let _turn = life.turn.lock().await;
            let before = self.permissions(&plugin).granted;
            let (rows, by) = (&self.parts.rows, actor.user_id.as_deref());
            if !rows.set_granted(name, &granted.permissions, by).await? {
                // The database was away when it was loaded.
                self.report(&plugin, &life).await;
                rows.set_granted(name, &granted.permissions, by).await?;
            }
            let before = json!({ "granted": before.map(|grant| grant.permissions) });
            let after = json!({ "granted": granted.permissions.to_value() });
            self.note(actor, name, "permissions", &before, &after).await;
            match self.follow_own(&plugin, &life).await {
                // It wants more still, which is in its state.
                Ok(()) | Err(LifeError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.follow_up(name, false).await;
        Ok(())
    }

    /// Why a plugin of this manifest may not run, where that is for want of consent.
    pub(super) fn unconsented(
        &self,
        manifest: &Manifest,
        row: Option<&Row>,
    ) -> Option<Vec<String>> {
        let registry = &self.parts.registry;
        if !registry
            .consent_policy()
            .needs_consent(Origin::of(manifest))
        {
            return None;
        }
        let unknown = manifest
            .permissions
            .as_ref()
            .map(|declared| &declared.unknown);
        let mut list: Vec<String> = (unknown.into_iter().flatten())
            .map(|entry| format!("{entry} (unknown)"))
            .collect();
        let granted = row.and_then(|row| row.granted.as_ref());
        let none = Permissions::own();
        let granted = granted.map_or(&none, |grant| &grant.permissions);
        list.extend(missing(&registry.wanted(manifest), granted));
        (!list.is_empty()).then_some(list)
    }

    /// As [`Self::unconsented`], of files that are about to be loaded; what cannot be read is for the
    /// load to tell.
    pub(super) fn check_consent(
        &self,
        life: &Life,
        found: &Found,
    ) -> Option<(Arc<Manifest>, Vec<String>)> {
        let read = found.manifest().ok()?;
        let row = life.state.lock().row.clone();
        let list = self.unconsented(&read.manifest, row.as_ref())?;
        Some((Arc::new(read.manifest), list))
    }

    /// Ends whatever runs of a plugin that wants more than was granted.
    pub(super) async fn withhold(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        manifest: Arc<Manifest>,
        list: Vec<String>,
    ) -> LifeError {
        // From here on: also what it does about being disabled.
        plugin.permit(|_| Permissions::own());
        self.stop_serving(plugin, life).await;
        let load = life.state.lock().load.take();
        if let Some(load) = load {
            self.unload(&load).await;
        }
        drop(plugin.replace(PluginState::Disabled));
        plugin.describe_as(manifest);
        let summary = format!("PERMISSIONS_CHANGED: not granted: {}", list.join(", "));
        tracing::warn!(
            plugin.name = &*plugin.name,
            missing = list.join(", "),
            "plugin.permissions_not_granted"
        );
        life.state.lock().error = Some(Failure {
            step: "permissions".into(),
            traceback: summary.clone(),
            summary: summary.clone(),
        });
        self.report(plugin, life).await;
        LifeError::Conflict {
            message: summary,
            list,
        }
    }
}
