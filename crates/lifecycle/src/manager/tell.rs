//! What others hear of a plugin's life: the log, events, rows, the audit.

use std::sync::Arc;

use mozaiks_events::EventDraft;
use mozaiks_plugins::{
    discovery::Found,
    registry::{Plugin, PluginState},
};
use serde_json::{Value, json};

use super::{Failure, PluginManager};
use crate::{audit::Actor, rows::Report};

impl PluginManager {
    pub(super) fn tell_failure(&self, plugin: &str, failure: &Failure) {
        tracing::error!(
            plugin.name = plugin,
            step = failure.step,
            reason = failure.traceback,
            "plugin.not_loaded"
        );
        let data = json!({"plugin": plugin, "step": failure.step, "error": failure.summary});
        self.publish("plugin_failed", data);
    }

    pub(super) async fn report(&self, plugin: &Plugin, found: &Found, error: Option<(&str, &str)>) {
        let manifest = plugin.manifest();
        let status = match plugin.state() {
            PluginState::Active(_) => "active",
            PluginState::Disabled => "disabled",
            PluginState::Loading => "loading",
            PluginState::Failed(_) => "error",
        };
        let source_path = found
            .dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let report = Report {
            name: &plugin.name,
            manifest: &manifest,
            source_path: source_path.as_deref().unwrap_or_default(),
            status,
            error,
        };
        if let Err(error) = self.parts.rows.report(report, self.config.enable_new).await {
            tracing::warn!(plugin.name = &*plugin.name, %error, "plugin.row_not_written");
        }
    }

    pub(super) async fn report_failure(&self, plugin: &Plugin, failure: &Failure) {
        let found = Found {
            name: plugin.name.to_string(),
            dir: plugin.dir.clone(),
            entry: None,
        };
        let error = (failure.summary.as_str(), failure.traceback.as_str());
        self.report(plugin, &found, Some(error)).await;
    }

    pub(super) async fn note(
        &self,
        actor: &Actor,
        name: &str,
        action: &str,
        before: &Value,
        after: &Value,
    ) {
        self.parts
            .audit
            .write(actor, name, action, Some(before), Some(after))
            .await;
    }

    pub(super) fn publish(&self, event: &str, data: Value) {
        // With many apps a step belongs to none of them, and nobody hears of it but the log.
        if let Some(app_id) = &self.config.app_id {
            self.publish_in(app_id, event, data);
        }
    }

    pub(super) fn publish_in(&self, app_id: &Arc<str>, event: &str, data: Value) {
        let draft = EventDraft {
            app_id: Arc::clone(app_id),
            principal: None,
            request_id: None,
            name: event.into(),
            data: data.to_string().into(),
        };
        if let Err(error) = self.parts.events.publish(draft) {
            tracing::error!(error = %error, event, "plugin.event_not_published");
        }
    }
}
