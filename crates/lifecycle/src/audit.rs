//! Who did what to a plugin: one document an act, never changed.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, doc},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::error::LifeError;
use mozaiks_auth::Principal;
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError};

/// The collection and its indexes, for [`Store::open`].
pub const COLLECTION: CollectionSpec = CollectionSpec {
    name: "plugin_audit",
    indexes: &[IndexSpec {
        name: "app_plugin_at",
        keys: &[("app_id", 1), ("plugin", 1), ("at", -1)],
        unique: false,
        expire_after: None,
        only_where_present: None,
    }],
};

/// Bytes of what was before or after; more is cut to its length.
const MAX_SIDE_BYTES: usize = 16 * 1024;

/// Who acts, and from where.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The app.
    pub app_id: Arc<str>,
    /// The user; `None` where the gateway itself acts.
    pub user_id: Option<String>,
    /// The client's address, or `file`, `database`, `start`.
    pub from: String,
    /// The request.
    pub request_id: Option<Arc<str>>,
}

impl Actor {
    /// Somebody with a token.
    pub fn of(principal: &Principal, from: impl Into<String>, request_id: &Arc<str>) -> Self {
        Self {
            app_id: principal.app_id.clone(),
            user_id: Some(principal.user_id.to_string()),
            from: from.into(),
            request_id: Some(request_id.clone()),
        }
    }

    /// The gateway itself.
    pub fn gateway(app_id: &str, from: &str) -> Self {
        Self {
            app_id: app_id.into(),
            user_id: None,
            from: from.into(),
            request_id: None,
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Act {
    /// `enable`, `disable`, `reload`, `config`, `remove`, …
    pub action: String,
    /// The plugin.
    pub plugin: String,
    /// Who.
    pub by: Option<String>,
    /// From where.
    pub from: String,
    /// When, in ISO 8601.
    pub at: String,
    /// The request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// As it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// As it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Writes and reads acts.
pub struct AuditLog {
    store: Arc<Store>,
}

impl AuditLog {
    /// Over the gateway's database.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Writes an act down. One that cannot be written is logged whole: it happened all the same.
    pub async fn write(
        &self,
        actor: &Actor,
        plugin: &str,
        action: &str,
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        let document = doc! {
            "app_id": &*actor.app_id,
            "plugin": plugin,
            "action": action,
            "by": actor.user_id.as_deref(),
            "from": &actor.from,
            "request_id": actor.request_id.as_deref(),
            "before": side(before),
            "after": side(after),
            "at": DateTime::now(),
        };
        let written = async {
            self.collection()?
                .insert_one(document)
                .await
                .map_err(|error| self.store.failed(error))
        };
        if let Err(error) = written.await {
            tracing::error!(
                plugin.name = plugin,
                action,
                user.id = actor.user_id.as_deref(),
                request.id = actor.request_id.as_deref(),
                error = %error,
                "audit.not_written"
            );
        }
    }

    /// The latest acts on a plugin in an app, newest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn latest(
        &self,
        app_id: &str,
        plugin: &str,
        limit: usize,
    ) -> Result<Vec<Act>, LifeError> {
        let documents: Vec<Document> = self
            .collection()?
            .find(doc! { "app_id": app_id, "plugin": plugin })
            .sort(doc! { "at": -1, "_id": -1 })
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(documents.iter().map(act).collect())
    }

    fn collection(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(COLLECTION.name))
    }
}

fn side(value: Option<&Value>) -> Bson {
    match value.map(Value::to_string) {
        None => Bson::Null,
        Some(text) if text.len() > MAX_SIDE_BYTES => {
            Bson::String(format!("\"({} bytes)\"", text.len()))
        }
        Some(text) => Bson::String(text),
    }
}

fn act(document: &Document) -> Act {
    let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
    let json = |name: &str| {
        let text = document.get_str(name).ok()?;
        serde_json::from_str(text).ok()
    };
    Act {
        action: text("action").unwrap_or_default(),
        plugin: text("plugin").unwrap_or_default(),
        by: text("by"),
        from: text("from").unwrap_or_default(),
        at: document
            .get_datetime("at")
            .ok()
            .and_then(|at| at.try_to_rfc3339_string().ok())
            .unwrap_or_default(),
        request_id: text("request_id"),
        before: json("before"),
        after: json("after"),
    }
}
