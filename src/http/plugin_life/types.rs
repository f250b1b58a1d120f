//! What requests about plugins' life carry, and what they are answered with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::http::{error::ApiError, json_body::FromObject};
use mozaiks_lifecycle::{audit::Act, storage::Entry};

/// Entries of an answer where the client does not say.
const DEFAULT_LIMIT: usize = 100;
/// Entries of an answer at most.
const MAX_LIMIT: usize = 1000;

/// For which apps an act is meant.
#[derive(Clone, Copy, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum ActScope {
    /// The admin's.
    App,
    /// All, which is for superadmins to say.
    Gateway,
}

impl ActScope {
    fn take(body: &mut Map<String, Value>) -> Result<Option<Self>, ApiError> {
        match body.remove("scope").as_ref().map(Value::as_str) {
            None => Ok(None),
            Some(Some("app")) => Ok(Some(Self::App)),
            Some(Some("gateway")) => Ok(Some(Self::Gateway)),
            Some(_) => Err(ApiError::invalid("scope must be app or gateway", "/scope")),
        }
    }
}

/// Whether a plugin is on.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::http) struct Switch {
    pub(super) enabled: bool,
    pub(super) scope: Option<ActScope>,
}

impl FromObject for Switch {
    fn from_object(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        let Some(Value::Bool(enabled)) = body.remove("enabled") else {
            let what = "enabled must be true or false";
            return Err(ApiError::invalid(what, "/enabled"));
        };
        let scope = ActScope::take(&mut body)?;
        nothing_else(&body)?;
        Ok(Self { enabled, scope })
    }
}

/// Keys of a configuration to set.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::http) struct NewConfig {
    pub(super) config: Map<String, Value>,
    pub(super) scope: Option<ActScope>,
}

impl FromObject for NewConfig {
    fn from_object(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        let Some(Value::Object(config)) = body.remove("config") else {
            return Err(ApiError::invalid("config must be an object", "/config"));
        };
        let scope = ActScope::take(&mut body)?;
        nothing_else(&body)?;
        Ok(Self { config, scope })
    }
}

pub(in crate::http) fn nothing_else(body: &Map<String, Value>) -> Result<(), ApiError> {
    match body.keys().next() {
        Some(key) => Err(ApiError::invalid(&format!("{key} is not known here"), key)),
        None => Ok(()),
    }
}

/// A plugin was removed.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Removed {
    pub(super) name: String,
    pub(super) removed: bool,
}

/// A plugin's configuration in the admin's app.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct PluginConfig {
    pub(super) plugin: String,
    pub(super) config: Map<String, Value>,
    /// Goes up with each change; 0 where nobody has set anything.
    pub(super) revision: i64,
}

/// Plugins that were new.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Discovered {
    pub(super) count: usize,
    /// Their names.
    pub(super) plugins: Vec<String>,
}

/// Routes that a plugin has registered.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct EndpointList {
    pub(super) count: usize,
    pub(super) endpoints: Vec<EndpointView>,
}

/// A route of a plugin.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct EndpointView {
    pub(super) method: String,
    /// Below the plugin's own.
    pub(super) path: String,
    pub(super) url: String,
    /// Who declared it.
    pub(super) origin: &'static str,
    pub(super) requires_auth: bool,
    /// Roles of which the caller must have one.
    pub(super) roles: Vec<String>,
    /// Calls a minute of one caller, its own or what all routes have.
    pub(super) rate_limit: Option<u32>,
    pub(super) request_schema: Option<Value>,
    pub(super) response_schema: Option<Value>,
}

/// Who did what to a plugin.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct AuditList {
    pub(super) count: usize,
    /// Newest first.
    pub(super) audit: Vec<Act>,
}

/// What a plugin keeps.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct StorageList {
    pub(super) count: usize,
    pub(super) storage: Vec<Entry>,
    /// How many values there are altogether.
    pub(super) total: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

/// How many entries, and from where on.
#[derive(Deserialize, JsonSchema)]
pub(in crate::http) struct Window {
    /// How many at most.
    pub(super) limit: Option<usize>,
    /// Only keys that begin so.
    pub(in crate::http) prefix: Option<String>,
    /// `next_cursor` of the answer before.
    pub(in crate::http) cursor: Option<String>,
}

impl Window {
    pub(in crate::http) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT)
    }
}
