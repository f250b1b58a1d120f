//! Making, changing and dropping collections and indexes, within a [`WriteTxn`].

use std::sync::{Arc, atomic::Ordering};

use bson::{Bson, Document, RawDocument, doc};

use super::{
    catalog::{Catalog, Collection, Contents, Index},
    entries::TRACKED,
    keys,
    scan::{self, Access, Counters, Flow, Position},
    writer::WriteTxn,
};
use crate::{
    bail,
    error::{Code, CommandError, Result},
};

/// Documents whose keys are made at a time while an index is built.
const BUILD_BATCH_DOCUMENTS: usize = 512;

fn encode(document: &Document) -> Result<Vec<u8>> {
    document
        .to_vec()
        .map_err(|error| CommandError::new(Code::InternalError, error.to_string()))
}

impl WriteTxn<'_> {
    fn with_catalog(&mut self, change: impl FnOnce(&mut Catalog)) {
        let mut catalog = (*self.work.catalog).clone();
        change(&mut catalog);
        self.set_catalog(catalog);
    }

    /// The collection; made if it does not exist.
    pub fn collection_or_new(&mut self, ns: &str) -> Result<Arc<Collection>> {
        match self.work.catalog.get(ns) {
            Some(collection) => Ok(Arc::clone(collection)),
            None => self.create_collection(ns, Document::new()),
        }
    }

    /// Makes a collection with its `_id` index.
    pub fn create_collection(&mut self, ns: &str, options: Document) -> Result<Arc<Collection>> {
        if self.work.catalog.get(ns).is_some() {
            bail!(NamespaceExists, "Collection {ns} already exists.");
        }
        self.atomically(|txn| {
            let (id, index_id) = (txn.next_id(), txn.next_id());
            let index = Index::new(index_id, id, Index::id_spec(), Contents::new(TRACKED))?;
            let uuid = bson::Uuid::new().bytes();
            let collection = Arc::new(Collection::new(
                id,
                ns,
                uuid,
                options,
                vec![Arc::new(index)],
            )?);
            txn.claim_namespace(ns)?;
            txn.make_collection(&collection)?;
            let mut description = collection.options.clone();
            description.insert("idIndex", Index::id_spec());
            let details = doc! { "operationDescription": description };
            txn.record_definition(&collection, "create", details)?;
            Ok(collection)
        })
    }

    /// Makes the tables of a collection and enters it into the catalogue.
    pub(super) fn make_collection(
        &mut self,
        collection: &Arc<Collection>,
    ) -> Result<Arc<Collection>> {
        self.create_table(&collection.sql.create)?;
        for index in &collection.indexes {
            self.create_table(&index.sql.create)?;
        }
        if let Some(overlay) = &mut self.overlay {
            overlay.note_made(collection.id);
        } else {
            self.execute(
                "INSERT INTO collections (id, ns, uuid, options) VALUES (?1, ?2, ?3, ?4)",
                (
                    collection.id,
                    &collection.ns,
                    collection.uuid,
                    encode(&collection.options)?,
                ),
            )?;
            for index in &collection.indexes {
                self.save_index(collection, index)?;
            }
        }
        self.with_catalog(|catalog| catalog.put(Arc::clone(collection)));
        Ok(Arc::clone(collection))
    }

    /// Makes a table: in the file, or among the private ones of a multi-document transaction.
    fn create_table(&mut self, sql: &str) -> Result<()> {
        match self.overlay {
            Some(_) => self.execute(&sql.replacen("CREATE TABLE", "CREATE TEMP TABLE", 1), [])?,
            None => self.execute(sql, [])?,
        };
        Ok(())
    }

    fn save_index(&mut self, collection: &Collection, index: &Index) -> Result<()> {
        self.execute(
            "INSERT INTO indexes (id, collection, spec, multikey) VALUES (?1, ?2, ?3, ?4)",
            (
                index.id,
                collection.id,
                encode(&index.spec)?,
                index.seen() as i64,
            ),
        )?;
        Ok(())
    }

    /// Drops a collection with its documents and indexes.
    pub fn drop_collection(&mut self, collection: &Collection) -> Result<()> {
        self.atomically(|txn| {
            txn.claim_collection(collection)?;
            txn.execute(&collection.sql.drop, [])?;
            for index in &collection.indexes {
                txn.execute(&index.sql.drop, [])?;
            }
            txn.execute("DELETE FROM collections WHERE id = ?1", [collection.id])?;
            txn.execute("DELETE FROM indexes WHERE collection = ?1", [collection.id])?;
            txn.execute("DELETE FROM stats WHERE collection = ?1", [collection.id])?;
            txn.forget_counts(collection.id);
            txn.with_catalog(|catalog| catalog.remove(&collection.ns));
            txn.record_definition(collection, "drop", Document::new())
        })
    }

    /// Logs that a database is gone.
    pub fn record_drop_database(&mut self, database: &str) -> Result<()> {
        self.record_event(
            &format!("{database}."),
            &doc! { "operationType": "dropDatabase" },
        )
    }

    /// Gives a collection another name. The target must not exist.
    pub fn rename_collection(&mut self, collection: &Collection, to: &str) -> Result<()> {
        self.atomically(|txn| {
            txn.claim_collection(collection)?;
            txn.claim_namespace(to)?;
            txn.execute(
                "UPDATE collections SET ns = ?1 WHERE id = ?2",
                (to, collection.id),
            )?;
            let renamed =
                collection.with(to, collection.options.clone(), collection.indexes.clone())?;
            txn.with_catalog(|catalog| {
                catalog.remove(&collection.ns);
                catalog.put(Arc::new(renamed));
            });
            let (database, name) = to.split_once('.').unwrap_or((to, ""));
            let to = doc! { "db": database, "coll": name };
            let details = doc! { "operationDescription": { "to": to.clone() }, "to": to };
            txn.record_definition(collection, "rename", details)
        })
    }

    /// Replaces a collection's options (validator and the like).
    pub fn set_options(&mut self, collection: &Collection, options: Document) -> Result<()> {
        let changed = collection.with(&collection.ns, options, collection.indexes.clone())?;
        self.atomically(|txn| {
            txn.claim_collection(collection)?;
            txn.execute(
                "UPDATE collections SET options = ?1 WHERE id = ?2",
                (encode(&changed.options)?, collection.id),
            )?;
            txn.with_catalog(|catalog| catalog.put(Arc::new(changed)));
            Ok(())
        })
    }

    /// Builds an index over what is there. `spec` has been checked.
    pub fn create_index(&mut self, collection: &Collection, spec: Document) -> Result<()> {
        let private = match &self.overlay {
            Some(overlay) if !overlay.has_made(collection.id) => bail!(
                OperationNotSupportedInTransaction,
                "Cannot create new indexes on existing collection {} in a multi-document transaction.",
                collection.ns
            ),
            overlay => overlay.is_some(),
        };
        self.atomically(|txn| {
            txn.claim_collection(collection)?;
            let id = txn.next_id();
            let index = Arc::new(Index::new(id, collection.id, spec, Contents::new(TRACKED))?);
            txn.create_table(&index.sql.create)?;
            txn.fill_index(collection, &index)?;
            if !private {
                txn.save_index(collection, &index)?;
            }
            let mut indexes = collection.indexes.clone();
            indexes.push(index);
            txn.put_indexes(collection, indexes)
        })
    }

    fn put_indexes(&mut self, collection: &Collection, indexes: Vec<Arc<Index>>) -> Result<()> {
        let changed = collection.with(&collection.ns, collection.options.clone(), indexes)?;
        self.with_catalog(|catalog| catalog.put(Arc::new(changed)));
        Ok(())
    }

    fn fill_index(&mut self, collection: &Collection, index: &Index) -> Result<()> {
        let access = Access::Collection { reverse: false };
        let mut position = Position::default();
        let mut batch: Vec<(i64, Vec<u8>)> = Vec::with_capacity(BUILD_BATCH_DOCUMENTS);
        while !position.done {
            batch.clear();
            scan::scan(
                self.connection(),
                collection,
                &access,
                &mut position,
                &mut Counters::default(),
                &mut |rid, bytes| {
                    batch.push((rid, bytes.to_vec()));
                    let full = batch.len() == BUILD_BATCH_DOCUMENTS;
                    Ok(if full { Flow::Stop } else { Flow::Continue })
                },
            )?;
            for (rid, bytes) in &batch {
                let raw = RawDocument::from_bytes(bytes)
                    .map_err(|error| CommandError::new(Code::InvalidBSON, error.to_string()))?;
                let keys = keys::keys_of(index, raw)?;
                // It is not saved yet, and will be with this.
                index.contents.seen.fetch_or(keys.bits(), Ordering::Release);
                index
                    .contents
                    .saved
                    .fetch_or(keys.bits(), Ordering::Release);
                for key in &keys.keys {
                    self.add_key(collection, index, key, *rid, raw)?;
                }
            }
        }
        Ok(())
    }

    /// Drops an index of a collection.
    pub fn drop_index(&mut self, collection: &Collection, index: &Index) -> Result<()> {
        self.atomically(|txn| {
            txn.claim_collection(collection)?;
            txn.execute(&index.sql.drop, [])?;
            txn.execute("DELETE FROM indexes WHERE id = ?1", [index.id])?;
            let kept = collection
                .indexes
                .iter()
                .filter(|other| other.id != index.id)
                .cloned()
                .collect();
            txn.put_indexes(collection, kept)
        })
    }

    /// Changes fields of an index's spec that do not change its entries (`expireAfterSeconds`,
    /// `hidden`).
    pub fn change_index(
        &mut self,
        collection: &Collection,
        index: &Index,
        changes: &[(&str, Bson)],
    ) -> Result<()> {
        let mut spec = index.spec.clone();
        for (name, value) in changes {
            spec.insert(*name, value.clone());
        }
        let changed = Index::new(index.id, collection.id, spec, Arc::clone(&index.contents))?;
        self.atomically(|txn| {
            txn.claim_collection(collection)?;
            txn.execute(
                "UPDATE indexes SET spec = ?1 WHERE id = ?2",
                (encode(&changed.spec)?, index.id),
            )?;
            let changed = Arc::new(changed);
            let indexes = collection
                .indexes
                .iter()
                .map(|other| {
                    if other.id == changed.id {
                        Arc::clone(&changed)
                    } else {
                        Arc::clone(other)
                    }
                })
                .collect();
            txn.put_indexes(collection, indexes)
        })
    }
}
