//! What counts as stored by a plugin in an app: the documents of its own collections, its values, its files.

use std::sync::Arc;

use bson::{RawBsonRef, RawDocument};
use futures_util::future::BoxFuture;
use mozaiks_entities::tables::Tables;
use mozaiks_files::{FilesError, Owner, PluginFiles};
use mozaiks_lifecycle::{
    error::LifeError,
    quotas::Meter,
    storage::{Owner as ValuesOwner, PluginStorage},
};
use mozaiks_plugins::limits::DEFAULT_STORAGE_BYTES;
use mozaiks_store::{Store, StoreError, StoreErrorKind};

use super::RegistrySlot;

/// Counts it all.
pub struct StorageMeter {
    store: Arc<Store>,
    values: Arc<PluginStorage>,
    files: Arc<PluginFiles>,
    registry: RegistrySlot,
    tables: Arc<Tables>,
}

impl StorageMeter {
    /// Over the parts that keep it.
    pub fn new(
        store: &Arc<Store>,
        values: &Arc<PluginStorage>,
        files: &Arc<PluginFiles>,
        registry: &RegistrySlot,
        tables: &Arc<Tables>,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            values: Arc::clone(values),
            files: Arc::clone(files),
            registry: Arc::clone(registry),
            tables: Arc::clone(tables),
        }
    }
}

impl Meter for StorageMeter {
    fn measure(
        &self,
        plugin: Arc<str>,
        app_id: Arc<str>,
    ) -> BoxFuture<'static, Result<u64, LifeError>> {
        let (store, values) = (Arc::clone(&self.store), Arc::clone(&self.values));
        let (files, registry) = (Arc::clone(&self.files), Arc::clone(&self.registry));
        let tables = Arc::clone(&self.tables);
        Box::pin(async move {
            let is_own = |collection: &str| match tables.owner(&app_id, collection) {
                Some(owner) => owner == plugin,
                None => (registry.get())
                    .is_some_and(|registry| registry.owns_collection(&plugin, collection)),
            };
            let of_entities = tables.of_plugin(&app_id, &plugin);
            let documents = store
                .collections_bytes(&app_id, &format!("{plugin}_"), &of_entities, is_own)
                .await?;
            let owner = ValuesOwner {
                app_id: &app_id,
                plugin: &plugin,
            };
            let (_, values) = values.usage(owner).await?;
            let owner = Owner {
                plugin: Arc::clone(&plugin),
                app_id: Arc::clone(&app_id),
            };
            let files = files.bytes(&owner).await.map_err(not_counted)?;
            Ok(documents.saturating_add(values).saturating_add(files))
        })
    }

    fn limit(&self, plugin: &str) -> u64 {
        let plugin = self.registry.get().and_then(|all| all.find(plugin));
        plugin
            .and_then(|plugin| {
                let word = plugin.operator_word();
                word.limits.storage.or(plugin.manifest().limits.storage)
            })
            .unwrap_or(DEFAULT_STORAGE_BYTES)
    }
}

fn not_counted(error: FilesError) -> LifeError {
    let what = format!("the files were not counted: {error}");
    StoreError::new(StoreErrorKind::Other, what).into()
}

/// The bytes that a command may add to a collection which `is_own`: those of the command, as an estimate.
/// What it removes is removed whatever is stored.
pub(super) fn added_bytes(command: &[u8], is_own: impl Fn(&str) -> bool) -> Option<u64> {
    let document = RawDocument::from_bytes(command).ok()?;
    let (name, value) = document.iter().next()?.ok()?;
    let RawBsonRef::String(collection) = value else {
        return None;
    };
    let target = match name.as_str() {
        "insert" | "update" => collection,
        "findAndModify" | "findandmodify" => {
            if matches!(document.get("remove"), Ok(Some(RawBsonRef::Boolean(true)))) {
                return None;
            }
            collection
        }
        "aggregate" => written_by(document)?,
        _ => return None,
    };
    is_own(target).then_some(command.len() as u64)
}

/// The collection that a pipeline writes, where it does.
fn written_by(command: &RawDocument) -> Option<&str> {
    let stages = command.get_array("pipeline").ok()?;
    let RawBsonRef::Document(last) = stages.into_iter().last()?.ok()? else {
        return None;
    };
    let (stage, value) = last.iter().next()?.ok()?;
    let key = match stage.as_str() {
        "$out" => "coll",
        "$merge" => "into",
        _ => return None,
    };
    match value {
        RawBsonRef::String(name) => Some(name),
        RawBsonRef::Document(into) => match into.get(key).ok()?? {
            RawBsonRef::String(name) => Some(name),
            RawBsonRef::Document(full) => full.get_str("coll").ok(),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn what_adds_to_own_collections_is_charged_and_what_removes_is_not() {
        let adds = |command: bson::Document| {
            let bytes = bson::serialize_to_vec(&command).expect("BSON");
            added_bytes(&bytes, |name| name.starts_with("shop_"))
        };
        for command in [
            doc! { "insert": "shop_a", "documents": [{}] },
            doc! { "update": "shop_a", "updates": [] },
            doc! { "findAndModify": "shop_a", "update": {} },
            doc! { "aggregate": "orders", "pipeline": [{ "$match": {} }, { "$out": "shop_a" }] },
            doc! { "aggregate": "orders", "pipeline": [{ "$out": { "db": "x", "coll": "shop_a" } }] },
            doc! { "aggregate": "orders", "pipeline": [{ "$merge": "shop_a" }] },
            doc! { "aggregate": "orders", "pipeline": [{ "$merge": { "into": "shop_a" } }] },
            doc! { "aggregate": "orders", "pipeline": [{ "$merge": { "into": { "db": "x", "coll": "shop_a" } } }] },
        ] {
            let bytes = bson::serialize_to_vec(&command).expect("BSON").len() as u64;
            assert_eq!(adds(command.clone()), Some(bytes), "{command}");
        }
        for command in [
            doc! { "find": "shop_a" },
            doc! { "delete": "shop_a", "deletes": [] },
            doc! { "drop": "shop_a" },
            doc! { "findAndModify": "shop_a", "remove": true },
            doc! { "insert": "orders", "documents": [{}] },
            doc! { "aggregate": "shop_a", "pipeline": [{ "$match": {} }] },
            doc! { "aggregate": "shop_a", "pipeline": [{ "$out": "orders" }] },
            doc! { "aggregate": 1, "pipeline": [] },
            doc! {},
        ] {
            assert_eq!(adds(command.clone()), None, "{command}");
        }
    }
}
