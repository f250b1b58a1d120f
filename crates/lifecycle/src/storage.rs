//! What plugins keep under keys of their own: values of JSON for one plugin in one app.

mod repository;

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::error::LifeError;
use mozaiks_store::{CollectionSpec, Store};
use repository::Repository;

/// Bytes of a key.
const MAX_KEY_BYTES: usize = 512;
/// Bytes of a value, as JSON.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;
/// Entries of one answer of a list.
const MAX_LISTED: usize = 1000;
/// The longest time that a value may be kept for, where it has an end.
const MAX_TTL: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// The collection and its indexes, for [`Store::open`].
pub const COLLECTION: CollectionSpec = repository::COLLECTION;

/// Whose values.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The app.
    pub app_id: &'a str,
    /// The plugin.
    pub plugin: &'a str,
}

/// One value under its key.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Value,
    /// When it goes, in ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// Some entries, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// The entries.
    pub items: Vec<Entry>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Reads and writes values.
pub struct PluginStorage {
    repository: Repository,
}

impl PluginStorage {
    /// Over the gateway's database.
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            repository: Repository::new(store),
        }
    }

    /// The value under a key; `None` where there is none, or it has expired.
    ///
    /// # Errors
    /// For a bad key, and what the database says.
    pub async fn get(&self, owner: Owner<'_>, key: &str) -> Result<Option<Value>, LifeError> {
        check_key(key)?;
        self.repository.find(owner, key).await
    }

    /// Keeps a value.
    ///
    /// # Errors
    /// For a bad key, a value that is too large, a time that is none, and what the database says.
    pub async fn set(
        &self,
        owner: Owner<'_>,
        key: &str,
        value: &Value,
        ttl_seconds: Option<f64>,
    ) -> Result<(), LifeError> {
        check_key(key)?;
        let text = value.to_string();
        if text.len() > MAX_VALUE_BYTES {
            return Err(LifeError::invalid(format!(
                "the value of {key:?} has {} bytes; {MAX_VALUE_BYTES} are allowed",
                text.len()
            )));
        }
        let ttl = ttl_seconds.map(ttl).transpose()?;
        self.repository.save(owner, key, value, &text, ttl).await
    }

    /// Takes a value away; whether there was one.
    ///
    /// # Errors
    /// For a bad key, and what the database says.
    pub async fn delete(&self, owner: Owner<'_>, key: &str) -> Result<bool, LifeError> {
        check_key(key)?;
        self.repository.delete(owner, key).await
    }

    /// The entries whose keys begin with `prefix`, after `cursor`.
    ///
    /// # Errors
    /// For a bad prefix or cursor, and what the database says.
    pub async fn list(
        &self,
        owner: Owner<'_>,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page, LifeError> {
        if prefix.len() > MAX_KEY_BYTES || prefix.contains('\0') {
            return Err(LifeError::invalid("the prefix cannot begin a key"));
        }
        if limit == 0 {
            return Err(LifeError::invalid("limit must be at least 1"));
        }
        let limit = limit.min(MAX_LISTED);
        let mut items = self
            .repository
            .list(owner, prefix, limit + 1, cursor)
            .await?;
        let next_cursor = (items.len() > limit).then(|| {
            items.truncate(limit);
            items.last().map(|entry| entry.key.clone())
        });
        Ok(Page {
            items,
            next_cursor: next_cursor.flatten(),
        })
    }

    /// Adds to the number under a key, in one step; a missing one counts as 0.
    ///
    /// # Errors
    /// Where the value is no number, and as [`Self::set`].
    pub async fn increment(
        &self,
        owner: Owner<'_>,
        key: &str,
        by: &serde_json::Number,
    ) -> Result<Value, LifeError> {
        check_key(key)?;
        self.repository.increment(owner, key, by).await
    }

    /// How many values there are and how many bytes they take, about.
    ///
    /// # Errors
    /// What the database says.
    pub async fn usage(&self, owner: Owner<'_>) -> Result<(u64, u64), LifeError> {
        self.repository.usage(owner).await
    }

    /// Takes away everything of a plugin in an app; how many values there were.
    ///
    /// # Errors
    /// What the database says.
    pub async fn clear(&self, owner: Owner<'_>) -> Result<u64, LifeError> {
        self.repository.clear(owner).await
    }
}

fn check_key(key: &str) -> Result<(), LifeError> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES || key.contains('\0') {
        return Err(LifeError::Invalid {
            message: format!("a key has 1 to {MAX_KEY_BYTES} bytes and no NUL"),
            path: Some("key".into()),
        });
    }
    Ok(())
}

fn ttl(seconds: f64) -> Result<Duration, LifeError> {
    if seconds > 0.0 && seconds <= MAX_TTL.as_secs_f64() {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(LifeError::Invalid {
        message: format!(
            "ttl must be more than 0 and at most {} seconds, not {seconds}",
            MAX_TTL.as_secs()
        ),
        path: Some("ttl".into()),
    })
}

#[cfg(test)]
mod tests;
