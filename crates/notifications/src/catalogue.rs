//! The types of notifications that exist: those that plugins declare in their manifests and those
//! of `notifications_config.json`.

use std::collections::BTreeMap;

use parking_lot::RwLock;
use serde_json::Value;

use super::model::{Channel, NotificationError, at_path};
use super::views::TypeView;

/// Types that one source may declare.
const MAX_TYPES_PER_SOURCE: usize = 500;

/// A declared type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationType {
    /// What callers name it.
    pub id: String,
    /// For a settings page.
    pub label: String,
    /// For a settings page.
    pub description: String,
    /// Whether users get it who said nothing.
    pub default_enabled: bool,
    /// The channels it goes to where neither the call nor the user says otherwise.
    pub channels: Vec<Channel>,
}

impl NotificationType {
    /// Reads one declaration; `path` says where it stands.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] with the path of what is wrong.
    pub fn from_json(value: &Value, path: &str) -> Result<Self, NotificationError> {
        let invalid =
            |key: &str, message: &str| NotificationError::invalid(format!("{path}.{key}"), message);
        let Some(fields) = value.as_object() else {
            return Err(NotificationError::invalid(path, "must be an object"));
        };
        let text = |keys: &[&str]| {
            keys.iter()
                .find_map(|key| fields.get(*key).map(|value| (*key, value)))
                .map(|(key, value)| {
                    let text = value
                        .as_str()
                        .ok_or_else(|| invalid(key, "must be a string"));
                    text.map(str::to_owned)
                })
                .transpose()
        };
        let id = text(&["id", "type"])?
            .filter(|id| !id.is_empty() && id.len() <= 128)
            .ok_or_else(|| invalid("id", "must be a string of 1 to 128 bytes"))?;
        let default_enabled = match ["default_enabled", "defaultEnabled"]
            .iter()
            .find_map(|key| fields.get(*key))
        {
            None => true,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => return Err(invalid("default_enabled", "must be true or false")),
        };
        let channels = match fields.get("channels") {
            None => vec![Channel::InApp],
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| {
                    item.as_str()
                        .ok_or_else(|| invalid("channels", "must be a list of strings"))?
                        .parse()
                        .map_err(|error| at_path(error, &format!("{path}.channels")))
                })
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(invalid("channels", "must be a list of strings")),
        };
        Ok(Self {
            label: text(&["label", "name"])?.unwrap_or_else(|| id.clone()),
            description: text(&["description"])?.unwrap_or_default(),
            id,
            default_enabled,
            channels,
        })
    }

    fn view(&self, source: &str) -> TypeView {
        TypeView {
            id: self.id.clone(),
            label: self.label.clone(),
            description: self.description.clone(),
            default_enabled: self.default_enabled,
            channels: self
                .channels
                .iter()
                .map(|channel| channel.as_str())
                .collect(),
            source: source.to_owned(),
        }
    }
}

/// All declared types by source: a plugin's name, or `""` for the configuration file.
#[derive(Debug, Default)]
pub struct Catalogue {
    // Read on every creation, written when a plugin is loaded.
    by_source: RwLock<BTreeMap<String, Vec<NotificationType>>>,
}

impl Catalogue {
    /// Replaces what a source declares; an empty list removes it.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] with the path of what is wrong; nothing changes then.
    pub fn declare(&self, source: &str, list: &[Value]) -> Result<(), NotificationError> {
        if list.len() > MAX_TYPES_PER_SOURCE {
            return Err(NotificationError::invalid(
                "notifications",
                format!("{} types are more than {MAX_TYPES_PER_SOURCE}", list.len()),
            ));
        }
        let types = list
            .iter()
            .enumerate()
            .map(|(index, value)| {
                NotificationType::from_json(value, &format!("notifications[{index}]"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut by_source = self.by_source.write();
        if types.is_empty() {
            by_source.remove(source);
        } else {
            by_source.insert(source.to_owned(), types);
        }
        Ok(())
    }

    /// Takes what `notifications_config.json` holds: `{"notifications": [...]}` or the list alone, or
    /// as existing apps have it, `{"categories": [{"types": [...]}], "plugins": {"name":
    /// {"notifications": [...]}}}`.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] with the path of what is wrong.
    pub fn declare_all(&self, value: &Value) -> Result<(), NotificationError> {
        let list = value
            .as_array()
            .or_else(|| value.get("notifications").and_then(Value::as_array));
        if let Some(list) = list {
            return self.declare("", list);
        }
        let categories = value.get("categories").and_then(Value::as_array);
        let plugins = value.get("plugins").and_then(Value::as_object);
        if categories.is_none() && plugins.is_none() {
            let message = "must be a list of notification types";
            return Err(NotificationError::invalid("notifications", message));
        }
        let of_categories = categories.into_iter().flatten();
        let of_categories = of_categories.filter_map(|category| category.get("types"));
        let of_plugins = plugins.into_iter().flat_map(serde_json::Map::values);
        let of_plugins = of_plugins.filter_map(|plugin| plugin.get("notifications"));
        let types = of_categories.chain(of_plugins).filter_map(Value::as_array);
        let types: Vec<Value> = types.flatten().cloned().collect();
        self.declare("", &types)
    }

    /// The declared type of that id. The configuration file goes before the plugins.
    pub fn find(&self, id: &str) -> Option<NotificationType> {
        let by_source = self.by_source.read();
        let mut types = by_source.values().flatten();
        types.find(|declared| declared.id == id).cloned()
    }

    /// What `GET /api/notifications/config` lists.
    pub fn view(&self) -> Vec<TypeView> {
        let by_source = self.by_source.read();
        by_source
            .iter()
            .flat_map(|(source, types)| types.iter().map(move |declared| declared.view(source)))
            .collect()
    }
}
