//! What requests about stored plugins carry, and what they are answered with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Fields;
use crate::http::{
    error::ApiError,
    json_body::{FromObject, read},
    plugin_life::nothing_else,
};
use mozaiks_catalog::{
    DependencyView, FileView, PartView, PluginView, RevisionView, Saved, SourceFile, package,
};
use mozaiks_plugins::source_check::Problem;

/// Bytes of a body with one file: its text, as JSON may write it.
const MAX_FILE_BODY: usize = 4 * 1024 * 1024;

fn refuse(message: String) -> ApiError {
    ApiError::invalid(&message, "")
}

/// Which plugins are listed.
#[derive(Deserialize, JsonSchema)]
pub(in crate::http) struct Filter {
    /// Only the caller's own.
    pub(super) mine: Option<bool>,
    /// Only templates, or only what is none.
    pub(super) template: Option<bool>,
}

/// Stored plugins.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct StoredList {
    pub(super) plugins: Vec<PluginView>,
    pub(super) count: usize,
}

/// A plugin that is to be stored.
#[derive(JsonSchema)]
pub(in crate::http) struct NewPlugin {
    /// In addresses; no other plugin of the gateway has it.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,63}$"))]
    pub(super) name: String,
    /// For lists.
    pub(super) category: Option<String>,
    /// Keys of `plugin.json`: `display_name`, `description`, `version`, `permissions`, …; any other key of
    /// the body is one too.
    #[serde(default)]
    pub(super) manifest: Map<String, Value>,
}

impl FromObject for NewPlugin {
    fn from_object(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        let slug = body.remove("slug");
        let name = match (body.remove("name"), slug) {
            (_, Some(Value::String(slug))) => slug,
            (Some(Value::String(name)), None) => name,
            _ => return Err(ApiError::invalid("name must be a plugin's name", "/name")),
        };
        let category = take_text(&mut body, "category")?;
        let manifest = take_manifest(body)?;
        Ok(Self {
            name,
            category,
            manifest,
        })
    }
}

/// What is to be said of a plugin.
#[derive(JsonSchema)]
pub(in crate::http) struct PluginChange {
    /// That of `plugin.json` that the caller has seen.
    pub(super) revision: Option<i64>,
    /// For lists.
    pub(super) category: Option<String>,
    /// Whether others may copy it.
    pub(super) is_template: Option<bool>,
    /// Keys of `plugin.json` to set, null takes one away; any other key of the body is one too.
    #[serde(default)]
    pub(super) manifest: Map<String, Value>,
}

impl FromObject for PluginChange {
    fn from_object(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        let revision = take(&mut body, "revision", Value::as_i64, "a number")?;
        let is_template = take(&mut body, "is_template", Value::as_bool, "true or false")?;
        let category = take_text(&mut body, "category")?;
        Ok(Self {
            revision,
            category,
            is_template,
            manifest: take_manifest(body)?,
        })
    }
}

fn take_manifest(mut body: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let mut manifest = match body.remove("manifest") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(manifest)) => manifest,
        Some(_) => return Err(ApiError::invalid("manifest must be an object", "/manifest")),
    };
    manifest.extend(body);
    Ok(manifest)
}

pub(super) fn take<T>(
    body: &mut Map<String, Value>,
    key: &str,
    read: impl Fn(&Value) -> Option<T>,
    what: &str,
) -> Result<Option<T>, ApiError> {
    match body.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match read(&value) {
            Some(value) => Ok(Some(value)),
            None => Err(ApiError::invalid(
                &format!("{key} must be {what}"),
                &format!("/{key}"),
            )),
        },
    }
}

fn take_text(body: &mut Map<String, Value>, key: &str) -> Result<Option<String>, ApiError> {
    take(
        body,
        key,
        |value| value.as_str().map(str::to_owned),
        "a text",
    )
}

/// A stored plugin with all its files.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct WholeStored {
    #[serde(flatten)]
    pub(super) plugin: PluginView,
    /// By path.
    pub(super) source_code: Vec<SourceFile>,
}

/// A plugin is gone.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Gone {
    pub(super) name: String,
    pub(super) removed: bool,
}

/// A plugin that serves from here on.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Activated {
    #[serde(flatten)]
    pub(super) plugin: PluginView,
    #[serde(flatten)]
    pub(super) saved: Served,
}

/// That it does, beside what the plugin says itself.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Served {
    active: bool,
}

impl From<Saved> for Served {
    fn from(saved: Saved) -> Self {
        Self {
            active: saved.active,
        }
    }
}

/// What is wrong with a plugin.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Problems {
    pub(super) valid: bool,
    pub(super) problems: Vec<Problem>,
    pub(super) count: usize,
}

/// A file to be saved.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct FileContent {
    /// Below the plugin's directory; the folder says what the file is.
    pub(super) path: String,
    #[serde(
        alias = "file_content",
        alias = "handler_code",
        alias = "handler_function",
        alias = "listener_function",
        alias = "listener_code",
        alias = "listenerCode",
        alias = "component_code"
    )]
    pub(super) content: String,
    /// `base64` of what is no text.
    pub(super) encoding: Option<String>,
    /// That which the caller has seen; none of a file that is new.
    pub(super) revision: Option<i64>,
    /// What is said of the file beside its content; null takes back, what is missing stays.
    #[serde(default)]
    pub(super) metadata: Map<String, Value>,
    /// Whether it counts.
    pub(super) is_enabled: Option<bool>,
}

impl FromObject for FileContent {
    const MAX_BYTES: usize = MAX_FILE_BODY;

    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        read(body, refuse)
    }
}

/// Which file goes.
#[derive(Deserialize, JsonSchema)]
pub(in crate::http) struct WhichFile {
    /// Below the plugin's directory.
    pub(super) path: String,
    /// That which the caller has seen.
    pub(super) revision: Option<i64>,
}

/// A file's new path.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Rename {
    #[serde(alias = "path", alias = "old_path")]
    pub(super) from: String,
    #[serde(alias = "new_path")]
    pub(super) to: String,
    /// That which the caller has seen.
    pub(super) revision: Option<i64>,
}

impl FromObject for Rename {
    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        read(body, refuse)
    }
}

/// Which revision is to be there again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Restore {
    pub(super) revision: i64,
}

impl FromObject for Restore {
    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        read(body, refuse)
    }
}

/// What a file was.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct RevisionList {
    /// Newest first.
    pub(super) revisions: Vec<RevisionView>,
    pub(super) count: usize,
}

/// What a row says: `file_name` or what the kind is named by, the code under the kind's own name, and the
/// fields of its kind.
#[derive(JsonSchema)]
pub(in crate::http) struct RowBody {
    /// The file's name in its folder.
    #[schemars(rename = "file_name")]
    _file_name: Option<String>,
    /// Whether it counts.
    #[schemars(rename = "is_enabled")]
    _is_enabled: Option<bool>,
    /// Of a row that is changed: that which the caller has seen.
    #[schemars(rename = "revision")]
    _revision: Option<i64>,
    /// The fields of its kind.
    #[schemars(flatten)]
    pub(super) fields: Fields,
}

impl FromObject for RowBody {
    const MAX_BYTES: usize = MAX_FILE_BODY;

    fn from_object(fields: Map<String, Value>) -> Result<Self, ApiError> {
        Ok(Self {
            _file_name: None,
            _is_enabled: None,
            _revision: None,
            fields,
        })
    }
}

/// Rows of one kind.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct PartList {
    pub(super) rows: Vec<PartView>,
    pub(super) count: usize,
}

/// A row that was saved, and what became of that.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct SavedPart {
    #[serde(flatten)]
    pub(super) row: PartView,
    #[serde(flatten)]
    pub(super) saved: Saved,
}

/// What an event's listener is to hear.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Remap {
    #[serde(alias = "eventName")]
    pub(super) event_name: String,
    /// That which the caller has seen.
    pub(super) revision: Option<i64>,
}

impl FromObject for Remap {
    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        read(body, refuse)
    }
}

/// A package as it was exported.
#[derive(JsonSchema)]
pub(in crate::http) struct PackageBody {
    /// `1.1.0` or `1.0.0`.
    #[schemars(rename = "packageVersion")]
    _version: String,
    /// Everything of it.
    #[schemars(flatten)]
    pub(super) package: Map<String, Value>,
}

impl FromObject for PackageBody {
    const MAX_BYTES: usize = package::MAX_PACKAGE_BYTES;

    fn from_object(package: Map<String, Value>) -> Result<Self, ApiError> {
        Ok(Self {
            _version: String::new(),
            package,
        })
    }
}

/// A plugin that came with a package.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Imported {
    #[serde(flatten)]
    pub(super) plugin: PluginView,
    /// What seems odd about the package.
    pub(super) warnings: Vec<String>,
}

/// What a copy is to be called.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CopyName {
    /// The name of what is copied where it is missing; with a number behind it where that is taken.
    pub(super) name: Option<String>,
}

impl FromObject for CopyName {
    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        read(body, refuse)
    }
}

/// All files of a plugin.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewTree {
    pub(super) files: Vec<package::PackageFile>,
    /// The digest of what was pulled: refused where something else is there by now.
    pub(super) digest: Option<String>,
}

impl FromObject for NewTree {
    const MAX_BYTES: usize = package::MAX_PACKAGE_BYTES;

    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        read(body, refuse)
    }
}

/// What became of a tree.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Pushed {
    pub(super) plugin: PluginView,
    /// Files that are others now, or gone.
    pub(super) changed: usize,
    #[serde(flatten)]
    pub(super) saved: Saved,
}

/// Packages that a plugin wants.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct DependencyList {
    pub(super) dependencies: Vec<DependencyView>,
    pub(super) count: usize,
}

/// A package that a plugin is to want.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewDependency {
    pub(super) package_name: String,
    /// Which versions, as pip has it.
    #[serde(default)]
    pub(super) version_spec: String,
}

impl FromObject for NewDependency {
    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        read(body, refuse)
    }
}

/// What an admin says of a package.
#[derive(JsonSchema)]
pub(in crate::http) struct Approval {
    /// `approved` or `pending`.
    #[schemars(rename = "status")]
    _status: String,
    #[schemars(skip)]
    pub(super) approved: bool,
}

impl FromObject for Approval {
    fn from_object(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        let status = take_text(&mut body, "status")?.unwrap_or_default();
        let approved = match &*status {
            "approved" => true,
            "pending" => false,
            _ => {
                return Err(ApiError::invalid(
                    "status is approved or pending",
                    "/status",
                ));
            }
        };
        nothing_else(&body)?;
        Ok(Self {
            _status: status,
            approved,
        })
    }
}

/// What a plugin keeps under a key.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct StoredValue {
    pub(super) key: String,
    pub(super) value: Value,
}

/// A value to be kept.
#[derive(JsonSchema)]
pub(in crate::http) struct NewValue {
    pub(super) value: Value,
}

impl FromObject for NewValue {
    fn from_object(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        let Some(value) = body.remove("value") else {
            return Err(ApiError::invalid("value is missing", "/value"));
        };
        nothing_else(&body)?;
        Ok(Self { value })
    }
}

/// What a plugin keeps.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ValueList {
    pub(super) data: Vec<mozaiks_lifecycle::storage::Entry>,
    pub(super) count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

/// A file was taken away, or saved.
pub(in crate::http) type File = FileView;
