//! What one transaction has written so far, in temporary tables of its own connection.

use std::{collections::HashMap, sync::Arc};

use bson::{Document, RawDocument};

use super::{TransactionKey, open::Lock};
use crate::{
    bail,
    error::Result,
    storage::{
        catalog::{Collection, Index},
        keys,
        sql::overlay as sql,
        writer::WriteTxn,
    },
};

/// Bytes that a lock or an index entry takes beside its key, roughly.
const ENTRY_BYTES: u64 = 96;

/// The private writes of a transaction.
#[derive(Debug)]
pub(in crate::storage) struct Overlay {
    pub(super) id: u64,
    pub(super) key: TransactionKey,
    /// Collections of the file that were written to, as the transaction sees them, by number.
    written: HashMap<i64, Arc<Collection>>,
    /// Collections that the transaction made, in order.
    pub(super) made: Vec<i64>,
    /// Change events, in order: namespace and event.
    pub(super) events: Vec<(String, Document)>,
    /// Locks that the running statement took, with what it must find unchanged in the file.
    pub(super) fresh: Vec<Arc<Lock>>,
    /// What it all takes, roughly.
    bytes: u64,
    max_bytes: u64,
}

impl Overlay {
    pub(super) fn new(id: u64, key: TransactionKey, max_bytes: u64) -> Self {
        Self {
            id,
            key,
            written: HashMap::new(),
            made: Vec::new(),
            events: Vec::new(),
            fresh: Vec::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// Whether nothing was written.
    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty() && self.made.is_empty()
    }

    /// Whether the transaction made the collection itself.
    pub(in crate::storage) fn has_made(&self, collection: i64) -> bool {
        self.made.contains(&collection)
    }

    pub(in crate::storage) fn note_made(&mut self, collection: i64) {
        self.made.push(collection);
    }

    /// A collection of the file that was written to, as the transaction sees it.
    pub(in crate::storage) fn written(&self, collection: i64) -> Option<&Collection> {
        self.written
            .get(&collection)
            .map(|collection| &**collection)
    }

    /// The numbers of the collections of the file that were written to.
    pub(super) fn written_ids(&self) -> impl Iterator<Item = i64> {
        self.written.keys().copied()
    }

    /// Counts bytes against the limit.
    fn grow(&mut self, bytes: u64) -> Result<()> {
        self.bytes += bytes;
        if self.bytes > self.max_bytes {
            bail!(
                TransactionTooLarge,
                "Total size of all transaction operations must be less than {}",
                self.max_bytes
            );
        }
        Ok(())
    }

    /// Keeps a change event until the commit.
    pub(in crate::storage) fn keep_event(&mut self, ns: &str, event: &Document) -> Result<()> {
        self.grow(event.to_vec().map_or(0, |bytes| bytes.len() as u64) + ENTRY_BYTES)?;
        self.events.push((ns.to_owned(), event.clone()));
        Ok(())
    }
}

impl WriteTxn<'_> {
    /// The collection as it is to be written to: in a transaction, with its own tables.
    pub(in crate::storage) fn target(
        &mut self,
        collection: &Arc<Collection>,
    ) -> Result<Arc<Collection>> {
        let Some(overlay) = &self.overlay else {
            return Ok(Arc::clone(collection));
        };
        if overlay.has_made(collection.id) {
            return Ok(Arc::clone(collection));
        }
        if let Some(target) = overlay.written.get(&collection.id) {
            return Ok(Arc::clone(target));
        }
        let target = Arc::new(collection.overlaid()?);
        self.execute(&target.sql.create, [])?;
        for index in &target.indexes {
            self.execute(&index.sql.create, [])?;
        }
        let mut catalog = (*self.catalog()).clone();
        if let Some(shown) = catalog.by_id(collection.id).cloned() {
            // Whoever bypasses the validator holds a collection without it.
            catalog.put(Arc::new(shown.overlaid()?));
        }
        self.set_catalog(catalog);
        if let Some(overlay) = &mut self.overlay {
            overlay.written.insert(collection.id, Arc::clone(&target));
        }
        Ok(target)
    }

    /// Takes a row of the snapshot over into the transaction's own tables, if it was not yet.
    pub(in crate::storage) fn adopt(
        &mut self,
        target: &Collection,
        rid: i64,
        before: &RawDocument,
    ) -> Result<()> {
        let Some(overlay) = &mut self.overlay else {
            return Ok(());
        };
        overlay.grow(before.as_bytes().len() as u64)?;
        if overlay.has_made(target.id) || self.execute(&sql::adopt(target.id), [rid])? == 0 {
            return Ok(());
        }
        for index in &target.indexes {
            for key in keys::keys_of(index, before)?.keys {
                self.execute(&index.sql.insert, (key, rid))?;
            }
        }
        Ok(())
    }

    /// Claims keys of a unique index for a write. In a transaction they are locked until it ends;
    /// outside, a lock of a transaction ends this run of the write: it waits and runs again.
    pub(in crate::storage) fn claim(
        &mut self,
        collection: &Collection,
        index: &Index,
        keys: impl FnOnce() -> Vec<Vec<u8>>,
    ) -> Result<()> {
        if !self.claims(collection, index) {
            return Ok(());
        }
        for key in keys() {
            self.claim_lock(Lock::Key {
                collection: collection.id,
                index: index.id,
                key,
            })?;
        }
        Ok(())
    }

    /// Whether keys of the index are to be claimed at all.
    pub(in crate::storage) fn claims(&self, collection: &Collection, index: &Index) -> bool {
        index.unique
            && match &self.overlay {
                Some(overlay) => !overlay.has_made(collection.id),
                None => self.store.transactions.any_locks(),
            }
    }

    /// Claims the name of a collection that is made.
    pub(in crate::storage) fn claim_namespace(&mut self, ns: &str) -> Result<()> {
        self.claim_lock(Lock::Namespace(ns.to_owned()))
    }

    fn claim_lock(&mut self, lock: Lock) -> Result<()> {
        let Some(overlay) = &mut self.overlay else {
            return match self.store.transactions.owner(&lock) {
                Some(owner) => Err(self.blocked(owner)),
                None => Ok(()),
            };
        };
        let size = match &lock {
            Lock::Key { key, .. } => key.len() as u64,
            Lock::Namespace(_) => 0,
        };
        let lock = Arc::new(lock);
        if self.store.transactions.lock(overlay.id, &lock)? {
            overlay.grow(size + ENTRY_BYTES)?;
            overlay.fresh.push(lock);
        }
        Ok(())
    }

    /// Before a collection is changed as a whole: waits for transactions that wrote into it.
    pub(in crate::storage) fn claim_collection(&mut self, collection: &Collection) -> Result<()> {
        if self.overlay.is_some() {
            return Ok(());
        }
        match self.store.transactions.writer_of(collection.id) {
            Some(owner) => Err(self.blocked(owner)),
            None => Ok(()),
        }
    }

    /// Counts the bytes of a written document against the transaction's limit.
    pub(in crate::storage) fn count_written(&mut self, bytes: usize) -> Result<()> {
        match &mut self.overlay {
            Some(overlay) => overlay.grow(bytes as u64),
            None => Ok(()),
        }
    }
}
