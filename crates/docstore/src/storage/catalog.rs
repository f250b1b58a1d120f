//! What collections and indexes there are. A catalogue is never changed in place: the writer makes
//! a new one and publishes it at commit, so that a command works with one catalogue throughout.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use bson::{Bson, Document, RawDocument, doc};
use rusqlite::Connection;

use super::{
    entries::MULTIKEY,
    sql::{CollectionSql, IndexSql},
};
use crate::{
    error::{Code, CommandError, Result},
    query::Filter,
};

/// All collections by namespace (`database.collection`).
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    collections: BTreeMap<String, Arc<Collection>>,
}

impl Catalog {
    /// The collection of that namespace.
    pub fn get(&self, ns: &str) -> Option<&Arc<Collection>> {
        self.collections.get(ns)
    }

    /// All collections, ordered by namespace.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Collection>> {
        self.collections.values()
    }

    /// The collections of a database, ordered by name.
    pub fn database<'a>(&'a self, database: &'a str) -> impl Iterator<Item = &'a Arc<Collection>> {
        let prefix = format!("{database}.");
        self.collections
            .range(prefix.clone()..)
            .take_while(move |(ns, _)| ns.starts_with(&prefix))
            .map(|(_, collection)| collection)
    }

    /// The names of the databases that have collections.
    pub fn databases(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for collection in self.collections.values() {
            if names.last().map(String::as_str) != Some(collection.database()) {
                names.push(collection.database().to_owned());
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The collection with that number.
    pub fn by_id(&self, id: i64) -> Option<&Arc<Collection>> {
        self.iter().find(|collection| collection.id == id)
    }

    pub(super) fn put(&mut self, collection: Arc<Collection>) {
        self.collections.insert(collection.ns.clone(), collection);
    }

    pub(super) fn remove(&mut self, ns: &str) {
        self.collections.remove(ns);
    }
}

/// How many documents a collection has, and their bytes. Shared by all versions of it.
#[derive(Debug, Default)]
pub struct Stats {
    /// Committed documents.
    pub docs: AtomicI64,
    /// Their bytes.
    pub bytes: AtomicI64,
}

/// What a document must meet to be written.
#[derive(Debug)]
pub struct Validator {
    /// The parsed validator.
    pub filter: Filter,
    /// `validationAction: error` (or only `warn`).
    pub refuses: bool,
    /// `validationLevel: strict` (or `moderate`: documents that were invalid before are let pass).
    pub strict: bool,
}

/// A collection and its indexes.
#[derive(Debug)]
pub struct Collection {
    /// Its number, never reused.
    pub id: i64,
    /// `database.collection`.
    pub ns: String,
    /// Told to clients by `listCollections`.
    pub uuid: [u8; 16],
    /// The options of `create`, as told by `listCollections`.
    pub options: Document,
    /// From the options.
    pub validator: Option<Validator>,
    /// The `_id` index comes first.
    pub indexes: Vec<Arc<Index>>,
    /// Counters.
    pub stats: Arc<Stats>,
    /// Statements.
    pub sql: Arc<CollectionSql>,
}

impl Collection {
    /// The database's name.
    pub fn database(&self) -> &str {
        self.ns
            .split_once('.')
            .map_or(self.ns.as_str(), |(database, _)| database)
    }

    /// The collection's name.
    pub fn name(&self) -> &str {
        self.ns.split_once('.').map_or("", |(_, name)| name)
    }

    /// The name of its table.
    pub fn table(&self) -> String {
        format!("d{}", self.id)
    }

    /// The `_id` index.
    pub fn id_index(&self) -> &Arc<Index> {
        &self.indexes[0]
    }

    /// Committed documents.
    pub fn count(&self) -> i64 {
        self.stats.docs.load(Ordering::Relaxed)
    }

    pub(super) fn new(
        id: i64,
        ns: &str,
        uuid: [u8; 16],
        options: Document,
        indexes: Vec<Arc<Index>>,
    ) -> Result<Self> {
        Ok(Self {
            id,
            ns: ns.to_owned(),
            uuid,
            validator: parse_validator(&options)?,
            options,
            indexes,
            stats: Arc::default(),
            sql: Arc::new(CollectionSql::new(id)),
        })
    }

    /// The same collection without its validator.
    pub fn bypassing_validation(&self) -> Result<Self> {
        let mut options = self.options.clone();
        options.remove("validator");
        self.with(&self.ns, options, self.indexes.clone())
    }

    /// The same collection as a transaction sees it that wrote to it.
    pub(super) fn overlaid(&self) -> Result<Self> {
        let indexes = self.indexes.iter().map(|index| {
            let contents = Arc::clone(&index.contents);
            let mut index = Index::new(index.id, self.id, index.spec.clone(), contents)?;
            index.sql = IndexSql::overlay(index.id, self.id, index.unique);
            Ok(Arc::new(index))
        });
        let indexes = indexes.collect::<Result<_>>()?;
        Ok(Self {
            sql: Arc::new(CollectionSql::overlay(self.id)),
            ..self.with(&self.ns, self.options.clone(), indexes)?
        })
    }

    /// The same collection with other options, name or indexes.
    pub(super) fn with(
        &self,
        ns: &str,
        options: Document,
        indexes: Vec<Arc<Index>>,
    ) -> Result<Self> {
        Ok(Self {
            id: self.id,
            ns: ns.to_owned(),
            uuid: self.uuid,
            validator: parse_validator(&options)?,
            options,
            indexes,
            stats: Arc::clone(&self.stats),
            sql: Arc::clone(&self.sql),
        })
    }
}

fn parse_validator(options: &Document) -> Result<Option<Validator>> {
    let Ok(document) = options.get_document("validator") else {
        return Ok(None);
    };
    let level = options.get_str("validationLevel").unwrap_or("strict");
    if document.is_empty() || level == "off" {
        return Ok(None);
    }
    Ok(Some(Validator {
        filter: Filter::parse(document, &Document::new())?,
        refuses: options.get_str("validationAction").unwrap_or("error") == "error",
        strict: level == "strict",
    }))
}

/// One field of an index: its dotted path, and whether it descends.
pub type IndexField = (String, bool);

/// What an index has held so far: whether some document has several keys, and the forms of values
/// ([`entries`](super::entries)). Shared by all versions of the index.
#[derive(Debug, Default)]
pub struct Contents {
    /// Set before the commit that makes it so and never unset: a reader may know of something too
    /// early, never too late.
    pub seen: AtomicU64,
    /// Set once the catalogue in the file says so too.
    pub saved: AtomicU64,
}

impl Contents {
    /// As the catalogue in the file says.
    pub fn new(saved: u64) -> Arc<Self> {
        Arc::new(Self {
            seen: AtomicU64::new(saved),
            saved: AtomicU64::new(saved),
        })
    }
}

/// An index.
#[derive(Debug)]
pub struct Index {
    /// Its number, never reused.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The spec as `listIndexes` tells it.
    pub spec: Document,
    /// Path and direction of each field.
    pub fields: Vec<IndexField>,
    /// No two documents have the same key.
    pub unique: bool,
    /// Documents without any of the fields are left out.
    pub sparse: bool,
    /// Documents that do not match are left out.
    pub partial: Option<Filter>,
    /// Documents go this long after the field's date.
    pub expire_after_seconds: Option<i64>,
    /// Not used by the planner.
    pub hidden: bool,
    /// What it has held so far.
    pub contents: Arc<Contents>,
    /// How often it was used.
    pub uses: Uses,
    /// Statements.
    pub sql: IndexSql,
}

/// How often an index served a query since the store was opened or the index was made or changed.
#[derive(Debug)]
pub struct Uses {
    /// Queries.
    pub count: AtomicU64,
    /// Since when.
    pub since: bson::DateTime,
}

impl Index {
    /// From a checked spec.
    pub(super) fn new(
        id: i64,
        collection: i64,
        spec: Document,
        contents: Arc<Contents>,
    ) -> Result<Self> {
        let key = spec.get_document("key").map_err(invalid)?;
        let fields: Vec<IndexField> = key
            .iter()
            .map(|(path, direction)| (path.clone(), is_negative(direction)))
            .collect();
        let flag = |name: &str| spec.get(name).is_some_and(is_true);
        let is_id = fields.len() == 1 && fields[0].0 == "_id" && id_name(&spec);
        let unique = flag("unique") || is_id;
        let partial = match spec.get_document("partialFilterExpression") {
            Ok(filter) => Some(Filter::parse(filter, &Document::new())?),
            Err(_) => None,
        };
        Ok(Self {
            id,
            name: spec.get_str("name").map_err(invalid)?.to_owned(),
            unique,
            sparse: flag("sparse"),
            hidden: flag("hidden"),
            expire_after_seconds: spec.get("expireAfterSeconds").and_then(as_seconds),
            partial,
            fields,
            contents,
            uses: Uses {
                count: AtomicU64::new(0),
                since: bson::DateTime::now(),
            },
            sql: IndexSql::new(id, collection, unique),
            spec,
        })
    }

    /// Whether some document has several keys.
    pub fn is_multikey(&self) -> bool {
        self.seen() & MULTIKEY != 0
    }

    /// What it has held so far, as bits of [`entries`](super::entries).
    pub fn seen(&self) -> u64 {
        self.contents.seen.load(Ordering::Acquire)
    }

    /// Whether this is the `_id` index.
    pub fn is_id(&self) -> bool {
        self.name == "_id_"
    }

    /// The name of its table.
    pub fn table(&self) -> String {
        format!("i{}", self.id)
    }

    /// The key pattern.
    pub fn key(&self) -> Document {
        self.spec.get_document("key").cloned().unwrap_or_default()
    }

    /// The spec of every collection's first index.
    pub fn id_spec() -> Document {
        doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" }
    }
}

fn id_name(spec: &Document) -> bool {
    spec.get_str("name").is_ok_and(|name| name == "_id_")
}

fn is_negative(direction: &Bson) -> bool {
    match direction {
        Bson::Int32(n) => *n < 0,
        Bson::Int64(n) => *n < 0,
        Bson::Double(n) => *n < 0.0,
        _ => false,
    }
}

fn is_true(value: &Bson) -> bool {
    match value {
        Bson::Boolean(flag) => *flag,
        Bson::Int32(n) => *n != 0,
        Bson::Int64(n) => *n != 0,
        Bson::Double(n) => *n != 0.0,
        _ => false,
    }
}

fn as_seconds(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(n) => Some(i64::from(*n)),
        Bson::Int64(n) => Some(*n),
        // Out of range saturates, which is what is meant: never.
        #[allow(clippy::cast_possible_truncation, reason = "saturates")]
        Bson::Double(n) => Some(*n as i64),
        _ => None,
    }
}

fn invalid(error: impl std::fmt::Display) -> CommandError {
    CommandError::new(
        Code::InternalError,
        format!("the catalogue is damaged: {error}"),
    )
}

/// Reads the catalogue of a file; also gives the next free number.
pub(super) fn load(connection: &Connection) -> Result<(Catalog, i64)> {
    let mut next_id: i64 = connection
        .query_row("SELECT value FROM meta WHERE name = 'next_id'", [], |row| {
            row.get(0)
        })
        .unwrap_or(1);
    let mut indexes: BTreeMap<i64, Vec<Arc<Index>>> = BTreeMap::new();
    let mut statement =
        connection.prepare("SELECT id, collection, spec, multikey FROM indexes ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, collection): (i64, i64) = (row.get(0)?, row.get(1)?);
        next_id = next_id.max(id + 1);
        let spec = decode(row.get_ref(2)?.as_blob().map_err(invalid)?)?;
        let contents = Contents::new(row.get::<_, i64>(3)? as u64);
        let index = Index::new(id, collection, spec, contents)?;
        indexes.entry(collection).or_default().push(Arc::new(index));
    }
    let mut catalog = Catalog::default();
    let mut statement = connection.prepare(
        "SELECT c.id, c.ns, c.uuid, c.options, coalesce(s.docs, 0), coalesce(s.bytes, 0) \
         FROM collections c LEFT JOIN stats s ON s.collection = c.id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        next_id = next_id.max(id + 1);
        let ns: String = row.get(1)?;
        let options = decode(row.get_ref(3)?.as_blob().map_err(invalid)?)?;
        let of_collection = indexes.remove(&id).unwrap_or_default();
        if of_collection.is_empty() {
            return Err(invalid(format!("{ns} has no _id index")));
        }
        let collection = Collection::new(id, &ns, row.get(2)?, options, of_collection)?;
        collection.stats.docs.store(row.get(4)?, Ordering::Relaxed);
        collection.stats.bytes.store(row.get(5)?, Ordering::Relaxed);
        catalog.put(Arc::new(collection));
    }
    Ok((catalog, next_id))
}

/// Decodes some top-level fields of stored bytes.
pub fn decode_fields(bytes: &[u8], fields: &[String]) -> Result<Document> {
    let mut document = Document::new();
    let raw = RawDocument::from_bytes(bytes).map_err(invalid)?;
    for element in raw.iter_elements() {
        if document.len() == fields.len() {
            break;
        }
        let element = element.map_err(invalid)?;
        let name = element.key().as_str();
        if fields.iter().any(|field| field == name) {
            let value = element.value().map_err(invalid)?;
            document.insert(name, Bson::try_from(value).map_err(invalid)?);
        }
    }
    Ok(document)
}

/// Decodes stored bytes.
pub fn decode(bytes: &[u8]) -> Result<Document> {
    RawDocument::from_bytes(bytes)
        .and_then(Document::try_from)
        .map_err(invalid)
}
