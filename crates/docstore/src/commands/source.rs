//! How aggregation reaches collections: through the planner, a piece at a time.

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use bson::{Bson, Document};
use rusqlite::{CachedStatement, Connection};

use super::read::{ReadQuery, ReadSpec};
use crate::{
    error::Result,
    expr::Vars,
    pipeline::Source,
    spill::Memory,
    storage::{
        catalog::{Catalog, Index, decode, decode_fields},
        documents::only_id,
        scan::Flow,
    },
    value::encode_key,
};

/// Documents that are read ahead.
const CHUNK_DOCUMENTS: usize = 256;

/// The collections as one snapshot has them.
pub struct StoreSource<'a> {
    /// Where to read.
    pub connection: &'a Connection,
    /// What there is.
    pub catalog: &'a Catalog,
    /// Fails when the time is over.
    pub check: &'a dyn Fn() -> Result<()>,
    /// What a sort may take.
    pub memory: &'a Memory,
    /// The collection that was looked into by `_id` last: a join asks for many of its documents.
    joined: RefCell<Option<Joined<'a>>>,
}

/// A collection that is looked into by `_id`.
struct Joined<'a> {
    database: String,
    collection: String,
    index: Arc<Index>,
    statement: CachedStatement<'a>,
    /// Room for the key that is looked for.
    key: Vec<u8>,
}

impl<'a> StoreSource<'a> {
    /// The collections as `connection` and `catalog` have them.
    pub fn new(
        connection: &'a Connection,
        catalog: &'a Catalog,
        check: &'a dyn Fn() -> Result<()>,
        memory: &'a Memory,
    ) -> Self {
        Self {
            connection,
            catalog,
            check,
            memory,
            joined: RefCell::default(),
        }
    }

    /// The documents of a read, lazily; only some of their fields if that is enough.
    pub fn documents(&self, spec: &ReadSpec, fields: Option<Vec<String>>) -> Result<Documents<'a>> {
        Ok(Documents {
            query: ReadQuery::new(self.connection, self.catalog, spec)?,
            connection: self.connection,
            catalog: self.catalog,
            check: self.check,
            fields,
            ahead: VecDeque::new(),
            // The first look takes little: often it is enough.
            chunk: 16,
        })
    }
}

impl Source for StoreSource<'_> {
    fn find(
        &self,
        database: &str,
        collection: &str,
        filter: &Document,
        vars: &Vars,
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + '_>> {
        let ns = format!("{database}.{collection}");
        if let Some(id) = only_id(filter) {
            let found = self.find_by_id(database, collection, id)?;
            return Ok(Box::new(found.into_iter().map(Ok)));
        }
        let spec = ReadSpec {
            ns,
            filter: filter.clone(),
            variables: vars.user.clone(),
            memory: self.memory.clone(),
            ..ReadSpec::default()
        };
        Ok(Box::new(self.documents(&spec, None)?))
    }

    fn find_by_id(&self, database: &str, collection: &str, id: &Bson) -> Result<Option<Document>> {
        (self.check)()?;
        let mut joined = self.joined.borrow_mut();
        let known = joined
            .as_ref()
            .is_some_and(|known| known.collection == collection && known.database == database);
        if !known {
            *joined = match self.catalog.get(&format!("{database}.{collection}")) {
                None => None,
                Some(found) => Some(Joined {
                    database: database.to_owned(),
                    collection: collection.to_owned(),
                    statement: self
                        .connection
                        .prepare_cached(&found.id_index().sql.point)?,
                    index: Arc::clone(found.id_index()),
                    key: Vec::new(),
                }),
            };
        }
        let Some(Joined {
            index,
            statement,
            key,
            ..
        }) = &mut *joined
        else {
            return Ok(None);
        };
        index.uses.count.fetch_add(1, Ordering::Relaxed);
        key.clear();
        encode_key(id, false, key);
        let mut rows = statement.query([key.as_slice()])?;
        match rows.next()? {
            Some(row) => {
                let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
                decode(bytes).map(Some)
            }
            None => Ok(None),
        }
    }
}

/// An iterator over a read.
pub struct Documents<'a> {
    query: ReadQuery,
    connection: &'a Connection,
    catalog: &'a Catalog,
    check: &'a dyn Fn() -> Result<()>,
    fields: Option<Vec<String>>,
    ahead: VecDeque<Document>,
    chunk: usize,
}

impl Iterator for Documents<'_> {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ahead.is_empty() && !self.query.is_done() {
            let Self {
                query,
                fields,
                ahead,
                chunk,
                ..
            } = self;
            let filled = query.fill(self.connection, self.catalog, self.check, &mut |bytes| {
                ahead.push_back(match fields {
                    Some(fields) => decode_fields(bytes, fields)?,
                    None => decode(bytes)?,
                });
                Ok(if ahead.len() >= *chunk {
                    Flow::Stop
                } else {
                    Flow::Continue
                })
            });
            self.chunk = CHUNK_DOCUMENTS;
            if let Err(error) = filled {
                return Some(Err(error));
            }
        }
        self.ahead.pop_front().map(Ok)
    }
}
