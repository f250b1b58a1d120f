//! What users have set for each plugin: read, checked, written, announced.
//!
//! One document a user of an app; one plugin's settings are written without touching another's.
//! Knows neither HTTP nor Python; who may ask is decided by the caller, everything here is keyed by
//! app and user.

mod numbers;
mod repository;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use mozaiks_auth::Principal;
use mozaiks_events::{EventBus, EventDraft};
use mozaiks_plugins::{names::is_plugin_name, schema};
use mozaiks_store::{CollectionSpec, Moved, Store, StoreError};
use repository::Repository;

/// Something in the settings that cannot be kept, or that the plugin's schema does not allow.
pub use mozaiks_plugins::schema::Misfit as Problem;

/// The settings of one plugin.
pub type PluginSettings = Map<String, Value>;

/// Bytes of one plugin's settings of one user, as JSON.
const MAX_SETTINGS_BYTES: usize = 64 * 1024;
/// What does not fit is listed up to here.
const MAX_PROBLEMS: usize = 20;

/// The collection and its indexes, for [`Store::open`].
pub const COLLECTION: CollectionSpec = repository::COLLECTION;

/// What earlier versions kept among the plugins' data.
pub const MOVED: Moved = repository::MOVED;

/// Tells what settings a plugin takes.
pub trait SettingsSchemas: Send + Sync + 'static {
    /// The plugin's JSON Schema, where it has one.
    fn settings_schema(&self, plugin: &str) -> Option<Value>;
}

/// Why settings were not read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SettingsError {
    /// No name of a plugin.
    #[error("`{0}` cannot be the name of a plugin")]
    BadPluginName(String),
    /// The plugin's schema does not allow it, or it could not be kept as it is.
    #[error("the settings cannot be saved: {}", first(.0))]
    Invalid(Vec<Problem>),
    /// Too much.
    #[error("the settings have {found_bytes} bytes; {limit_bytes} are allowed")]
    TooLarge {
        /// How large they are.
        found_bytes: usize,
        /// How large they may be.
        limit_bytes: usize,
    },
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn first(problems: &[Problem]) -> String {
    match problems.first() {
        Some(problem) if problem.path.is_empty() => problem.message.clone(),
        Some(problem) => format!("{}: {}", problem.path, problem.message),
        None => String::new(),
    }
}

/// Reads and writes settings.
pub struct SettingsManager {
    repository: Repository,
    schemas: Arc<dyn SettingsSchemas>,
    events: Arc<EventBus>,
}

/// Whose settings.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// The app.
    pub app_id: &'a str,
    /// The user.
    pub user_id: &'a str,
}

impl SettingsManager {
    /// A manager over the gateway's database.
    pub fn new(
        store: Arc<Store>,
        schemas: Arc<dyn SettingsSchemas>,
        events: Arc<EventBus>,
    ) -> Arc<Self> {
        Arc::new(Self {
            repository: Repository::new(store),
            schemas,
            events,
        })
    }

    /// The settings of a user for a plugin; empty where there are none.
    ///
    /// # Errors
    /// [`SettingsError::BadPluginName`], and what the database says.
    pub async fn get(
        &self,
        whose: Whose<'_>,
        plugin: &str,
    ) -> Result<PluginSettings, SettingsError> {
        check_name(plugin)?;
        Ok(self.repository.find_plugin(whose, plugin).await?)
    }

    /// All settings of a user, by plugin.
    ///
    /// # Errors
    /// What the database says.
    pub async fn get_all(&self, whose: Whose<'_>) -> Result<Map<String, Value>, SettingsError> {
        Ok(self.repository.find_all(whose).await?)
    }

    /// Replaces the settings of a user for a plugin and publishes `settings_updated`.
    ///
    /// # Errors
    /// As [`SettingsError`] says; then nothing was changed.
    pub async fn save(
        &self,
        whose: Whose<'_>,
        plugin: &str,
        settings: &PluginSettings,
        by: Option<Arc<Principal>>,
        request_id: Option<Arc<str>>,
    ) -> Result<(), SettingsError> {
        check_name(plugin)?;
        let inexact = numbers::inexact(settings, MAX_PROBLEMS);
        if !inexact.is_empty() {
            return Err(SettingsError::Invalid(inexact));
        }
        let text = Value::Object(settings.clone()).to_string();
        if text.len() > MAX_SETTINGS_BYTES {
            return Err(SettingsError::TooLarge {
                found_bytes: text.len(),
                limit_bytes: MAX_SETTINGS_BYTES,
            });
        }
        if let Some(schema) = self.schemas.settings_schema(plugin) {
            check(plugin, &schema, &Value::Object(settings.clone()))?;
        }
        self.repository.save_plugin(whose, plugin, &text).await?;
        let data = json!({ "user_id": whose.user_id, "plugin": plugin, "settings": settings });
        let draft = EventDraft {
            app_id: whose.app_id.into(),
            principal: by,
            request_id,
            name: "settings_updated".into(),
            data: data.to_string().into(),
        };
        if let Err(error) = self.events.publish(draft) {
            tracing::error!(error = %error, "settings_updated could not be published");
        }
        Ok(())
    }
}

/// What the rule allows is also safe as a part of a field's path.
fn check_name(plugin: &str) -> Result<(), SettingsError> {
    if is_plugin_name(plugin) {
        Ok(())
    } else {
        Err(SettingsError::BadPluginName(
            plugin.chars().take(80).collect(),
        ))
    }
}

fn check(plugin: &str, schema: &Value, settings: &Value) -> Result<(), SettingsError> {
    // A list describes a form for people; it says nothing that could be checked.
    if !schema.is_object() {
        return Ok(());
    }
    let problems = schema::check(plugin, "settings_schema", schema, settings, MAX_PROBLEMS);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(SettingsError::Invalid(problems))
    }
}
