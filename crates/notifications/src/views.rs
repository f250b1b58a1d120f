//! What clients see of notifications, as types: what is sent is what is described to them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// A notification.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct NotificationView {
    /// Its id.
    pub id: String,
    /// One of the declared types.
    pub r#type: String,
    /// The headline.
    pub title: String,
    /// The text.
    pub message: String,
    /// Whatever the frontend needs.
    pub metadata: Map<String, Value>,
    /// Whether the user has read it.
    pub read: bool,
    /// When it was created, in ISO 8601.
    pub created_at: String,
}

/// What a user wishes.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PreferencesView {
    /// Channels on or off for every type.
    pub channels: BTreeMap<&'static str, bool>,
    /// What the user has said of single types.
    pub types: BTreeMap<String, TypePreferenceView>,
    /// `off`, `daily` or `weekly`.
    pub digest: &'static str,
    /// Where mail goes.
    pub email: Option<String>,
    /// Where text messages go.
    pub phone: Option<String>,
}

/// What a user wishes of one type.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TypePreferenceView {
    /// On or off; null is the type's default.
    pub enabled: Option<bool>,
    /// Its channels; null is the type's default.
    pub channels: Option<Vec<&'static str>>,
}

/// An address of a user.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ContactView {
    /// The address, where there is one.
    pub address: Option<String>,
    /// Whether it is the user's.
    pub confirmed: bool,
}

/// Which types and channels there are.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct OfferView {
    /// The declared types.
    pub types: Vec<TypeView>,
    /// All channels.
    pub channels: Vec<ChannelView>,
    /// How mail can be gathered.
    pub digests: [&'static str; 3],
}

/// A declared type.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TypeView {
    /// What callers name it.
    pub id: String,
    /// For a settings page.
    pub label: String,
    /// For a settings page.
    pub description: String,
    /// Whether users get it who said nothing.
    pub default_enabled: bool,
    /// The channels it goes to where nobody says otherwise.
    pub channels: Vec<&'static str>,
    /// The plugin that declares it; empty for the configuration's own.
    pub source: String,
}

/// A channel.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ChannelView {
    /// `in_app`, `email`, …
    pub id: &'static str,
    /// Whether it can be used.
    pub configured: bool,
}

/// A delivery, or a notification for later.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// Its queue: a channel, or `scheduled`.
    pub channel: String,
    /// Whom it is for.
    pub user_id: Option<String>,
    /// Which notification it delivers.
    pub notification_id: Option<String>,
    /// `queued`, `sent`, `failed`, `cancelled`.
    pub status: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it did not work.
    pub reason: Option<String>,
    /// When it was asked for.
    pub created_at: Option<String>,
    /// When it came to its end.
    pub ended_at: Option<String>,
    /// When it is due.
    pub run_at: Option<String>,
}

/// A notification for later that has just been taken.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ScheduledView {
    /// Its id.
    pub id: String,
    /// Whom it is for.
    pub user_id: String,
    /// When it goes out, in ISO 8601.
    pub scheduled_for: String,
    /// `queued`.
    pub status: &'static str,
}

/// As JSON, for plugins. These types hold nothing that JSON has not.
pub(super) fn to_json(view: impl Serialize) -> Value {
    serde_json::to_value(view).unwrap_or_default()
}
