//! Which collection is whose entity's.

use bson::{Bson, DateTime, Document, Uuid, doc};
use futures_util::TryStreamExt as _;

use super::{ENTITIES, Owner, Repository};
use crate::{
    commands::Change,
    definition::{Entity, EntityStatus},
    error::EntityError,
    migration::to_text,
    rows::{Definition, EntityRow},
    tree::EntityFile,
};
use mozaiks_store::StoreErrorKind;

/// Entities of all plugins that are read.
const MAX_ENTITIES: i64 = 20_000;

impl Repository {
    fn entities(&self) -> Result<mongodb::Collection<Document>, EntityError> {
        Ok(self.store.own_database()?.collection(ENTITIES))
    }

    /// Entities of a plugin in an app, or all there are.
    pub(crate) async fn entity_rows(
        &self,
        owner: Option<&Owner>,
    ) -> Result<Vec<EntityRow>, EntityError> {
        let filter = owner.map(Owner::filter).unwrap_or_default();
        let found = self.entities()?.find(filter).limit(MAX_ENTITIES).await;
        let found: Vec<Document> = match found {
            Ok(found) => found
                .try_collect()
                .await
                .map_err(|error| self.failed(error))?,
            Err(error) => return Err(self.failed(error)),
        };
        Ok(found.iter().filter_map(EntityRow::of).collect())
    }

    /// How many there are, and when one was changed last.
    pub(crate) async fn entities_state(&self) -> Result<(u64, Option<DateTime>), EntityError> {
        let entities = self.entities()?;
        let latest = entities
            .find_one(doc! {})
            .sort(doc! { "updated_at": -1 })
            .await;
        let latest = latest.map_err(|error| self.failed(error))?;
        let count = entities.estimated_document_count().await;
        let count = count.map_err(|error| self.failed(error))?;
        Ok((
            count,
            latest.and_then(|row| row.get_datetime("updated_at").ok().copied()),
        ))
    }

    /// Makes a table an entity's, or finds that it is. In one app a table is one entity's.
    pub(crate) async fn claim_table(
        &self,
        owner: &Owner,
        file: &EntityFile,
        more: &Document,
    ) -> Result<(), EntityError> {
        let entity = &file.entity;
        let now = DateTime::now();
        let mut filter = owner.filter();
        filter.insert("entity_name", &entity.entity_name);
        let change = Change::between(None, entity);
        let mut new = doc! {
            "_id": Uuid::new().to_string(),
            "table_name": &entity.table_name,
            "migration_status": EntityStatus::Pending.as_str(),
            "is_enabled": true,
            "created_at": now,
        };
        new.extend(more.clone());
        let change = doc! {
            "$setOnInsert": new,
            "$set": {
                "description": entity.description.as_deref(),
                "schema_definition": file.written.to_string(),
                "model_code": entity.model_code.as_deref(),
                "create_commands": to_text(&change.up),
                "drop_commands": to_text(&change.down),
                "updated_at": now,
            },
            "$inc": { "revision": 1 },
        };
        let made = self
            .entities()?
            .update_one(filter, change)
            .upsert(true)
            .await;
        match made.map_err(|error| self.store.failed(error)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind == StoreErrorKind::Conflict => Err(taken(entity)),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down what has become of an entity's collection.
    pub(crate) async fn settle_entity(
        &self,
        owner: &Owner,
        entity_name: &str,
        status: EntityStatus,
        version: &str,
        is_as: Option<&Definition>,
    ) -> Result<(), EntityError> {
        let mut filter = owner.filter();
        filter.insert("entity_name", entity_name);
        let mut set = doc! {
            "migration_status": status.as_str(),
            "migration_version": version,
            "updated_at": DateTime::now(),
        };
        match (status, is_as) {
            (EntityStatus::Migrated, Some(definition)) => {
                set.insert("migrated_at", DateTime::now());
                set.insert("migrated_definition", &definition.written);
                set.insert("checksum", &definition.checksum);
            }
            (EntityStatus::Pending, None) => {
                set.insert("migrated_at", Bson::Null);
                set.insert("migrated_definition", Bson::Null);
                set.insert("checksum", Bson::Null);
            }
            _ => {}
        }
        let changed = self
            .entities()?
            .update_one(filter, doc! { "$set": set })
            .await;
        changed.map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// Whether a collection is there, in an app's database.
    pub(crate) async fn has_collection(
        &self,
        app_id: &str,
        name: &str,
    ) -> Result<bool, EntityError> {
        let database = self.store.database(app_id)?;
        let named = database
            .list_collection_names()
            .filter(doc! { "name": name })
            .await;
        Ok(!named.map_err(|error| self.failed(error))?.is_empty())
    }

    /// Documents of a collection that fit a filter.
    pub(crate) async fn count(
        &self,
        app_id: &str,
        collection: &str,
        filter: Document,
    ) -> Result<u64, EntityError> {
        let collection = self
            .store
            .database(app_id)?
            .collection::<Document>(collection);
        let counted = collection.count_documents(filter).await;
        counted.map_err(|error| self.failed(error))
    }
}

/// The refusal of a table that is another's.
pub(crate) fn taken(entity: &Entity) -> EntityError {
    EntityError::Conflict(format!(
        "the table {:?} of {} is there already, and not its own",
        entity.table_name, entity.entity_name
    ))
}
