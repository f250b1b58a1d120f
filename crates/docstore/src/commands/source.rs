//! How aggregation reaches collections: through the planner, a piece at a time.

use std::{collections::VecDeque, sync::atomic::Ordering};

use bson::{Bson, Document};
use rusqlite::Connection;

use super::read::{ReadQuery, ReadSpec};
use crate::{
    error::Result,
    expr::Vars,
    pipeline::Source,
    spill::Memory,
    storage::{
        catalog::{Catalog, decode, decode_fields},
        documents::id_key,
        scan::Flow,
    },
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
}

impl<'a> StoreSource<'a> {
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

/// The value of `{_id: {$eq: value}}` where at most one document has it: what a join mostly asks.
fn wanted_id(filter: &Document) -> Option<&Bson> {
    let mut conditions = filter.iter();
    let (Some((path, Bson::Document(operators))), None) = (conditions.next(), conditions.next())
    else {
        return None;
    };
    let plain = |value: &&Bson| {
        matches!(
            value,
            Bson::ObjectId(_)
                | Bson::String(_)
                | Bson::Int32(_)
                | Bson::Int64(_)
                | Bson::Binary(_)
                | Bson::DateTime(_)
        )
    };
    let value = operators.get("$eq").filter(plain)?;
    (path == "_id" && operators.len() == 1).then_some(value)
}

impl StoreSource<'_> {
    /// The document with that `_id`, without planning.
    fn by_id(&self, ns: &str, id: &Bson) -> Result<Option<Document>> {
        (self.check)()?;
        let Some(collection) = self.catalog.get(ns) else {
            return Ok(None);
        };
        let index = collection.id_index();
        index.uses.count.fetch_add(1, Ordering::Relaxed);
        let mut statement = self.connection.prepare_cached(&index.sql.point)?;
        let mut rows = statement.query([id_key(id)])?;
        match rows.next()? {
            Some(row) => {
                let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
                decode(bytes).map(Some)
            }
            None => Ok(None),
        }
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
        if let Some(id) = wanted_id(filter) {
            return Ok(Box::new(self.by_id(&ns, id)?.into_iter().map(Ok)));
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
