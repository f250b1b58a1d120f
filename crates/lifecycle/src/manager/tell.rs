//! What others hear of a plugin's life: the log, events, rows, the audit.

use std::sync::Arc;

use mozaiks_events::EventDraft;
use mozaiks_plugins::registry::{Plugin, PluginState, Prepared};
use serde_json::{Value, json};

use super::{Failure, Life, PluginManager};
use crate::{
    audit::Actor,
    endpoints,
    rows::{OddRow, Report, Row},
};

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

    /// As [`Self::tell_failure`], of one app of many.
    pub(super) fn tell_failure_in(&self, app_id: &Arc<str>, plugin: &str, failure: &Failure) {
        tracing::error!(
            plugin.name = plugin,
            app.id = &**app_id,
            step = failure.step,
            reason = failure.traceback,
            "plugin.not_enabled"
        );
        let data = json!({"plugin": plugin, "step": failure.step, "error": failure.summary});
        self.publish_in(app_id, "plugin_failed", data);
    }

    /// Says where a plugin's routes are not those that its manifest declares.
    pub(super) fn check_endpoints(&self, plugin: &Plugin, life: &Life, load: &Prepared) {
        let routes = self.parts.routes.of(load.generation.id());
        let routes = routes.map(|routes| routes.list()).unwrap_or_default();
        let odd = endpoints::differences(&load.manifest.endpoints, &routes);
        for warning in &odd {
            tracing::warn!(plugin.name = &*plugin.name, warning, "plugin.manifest_odd");
        }
        life.state.lock().odd_endpoints = odd;
    }

    /// Writes down how a plugin is; what the database has decided of it is noted where nothing was
    /// known, and otherwise left to [`Self::reconcile`].
    pub(super) async fn report(&self, plugin: &Plugin, life: &Life) {
        let (load, error, checksum, row, missing) = {
            let state = life.state.lock();
            (
                state.load.clone(),
                state.error.clone(),
                state.checksum.clone(),
                state.row.clone(),
                state.source_missing,
            )
        };
        let status = match plugin.state() {
            _ if missing => "error",
            PluginState::Active(_) => "active",
            PluginState::Disabled => "disabled",
            PluginState::Loading => "loading",
            PluginState::Failed(_) => "error",
        };
        let manifest = plugin.manifest();
        let dir = plugin.dir();
        let source_path = dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let report = Report {
            name: &plugin.name,
            manifest: &manifest,
            source_path: source_path.as_deref().unwrap_or_default(),
            checksum: checksum.as_deref(),
            status,
            error: (error.as_ref())
                .map(|failure| (failure.summary.as_str(), failure.traceback.as_str())),
            stored: row.as_ref().is_some_and(|row| row.stored.is_some()),
        };
        if missing && load.is_none() {
            // Another gateway may have them, and tells how they are.
            let reason = error.as_ref().map_or("", |failure| &failure.summary);
            if let Err(error) = self.parts.rows.report_missing(&plugin.name, reason).await {
                tracing::warn!(plugin.name = &*plugin.name, %error, "plugin.row_not_written");
            }
            return;
        }
        let new = row.unwrap_or_else(|| self.new_row(&plugin.name));
        match self.parts.rows.report(report, &new).await {
            Ok(Ok(read)) => {
                let mut state = life.state.lock();
                state.has_row = true;
                state.row.get_or_insert(read);
            }
            Ok(Err(odd)) => self.note_odd_row(life, odd),
            Err(error) => {
                tracing::warn!(plugin.name = &*plugin.name, %error, "plugin.row_not_written");
            }
        }
        let Some(load) = load else {
            return;
        };
        let routes = self.parts.routes.of(load.generation.id());
        let routes = routes.map(|routes| routes.list()).unwrap_or_default();
        if let Err(error) = self.parts.endpoints.write(&plugin.name, &routes).await {
            tracing::warn!(plugin.name = &*plugin.name, %error, "plugin.endpoints_not_written");
        }
    }

    /// A row that makes no sense changes nothing: it is told once, and shown.
    pub(super) fn note_odd_row(&self, life: &Life, odd: OddRow) {
        let mut state = life.state.lock();
        state.has_row = true;
        if state.row_error.as_ref() != Some(&odd.reason) {
            tracing::error!(
                plugin.name = odd.name,
                reason = odd.reason,
                "plugin.row_odd"
            );
            state.row_error = Some(odd.reason);
        }
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

    /// The database says something else of a plugin than before.
    pub(super) fn publish_changed(&self, operation: &str, plugin: &str, fields: &[&str]) {
        let data = json!({"operation": operation, "plugin": plugin, "fields": fields});
        self.publish("plugin_changed", data);
    }

    /// Tells each app of many in which a plugin is on or off now and was not.
    pub(super) fn tell_apps(&self, plugin: &Plugin, before: Option<&Row>, after: &Row) {
        let (None, Some(before)) = (&self.config.app_id, before) else {
            return;
        };
        let named = [&before.apps, &after.apps].into_iter().flat_map(|rules| {
            let only = rules.only.iter().flatten();
            only.chain(&rules.except)
        });
        let is_on = |row: &Row, app_id: &str| row.enabled && !row.removed && row.apps.allow(app_id);
        for app_id in named.collect::<std::collections::BTreeSet<_>>() {
            let now = is_on(after, app_id);
            if now == is_on(before, app_id) {
                continue;
            }
            let event = if now {
                "plugin_enabled"
            } else {
                "plugin_disabled"
            };
            let app_id: Arc<str> = Arc::from(&**app_id);
            self.publish_in(&app_id, event, json!({"plugin": &*plugin.name}));
            let fields = after.differences(before);
            let data = json!({"operation": "update", "plugin": &*plugin.name, "fields": fields});
            self.publish_in(&app_id, "plugin_changed", data);
        }
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
