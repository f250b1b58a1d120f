//! Writing documents with their index entries, and making and dropping collections and indexes,
//! within a [`WriteTxn`].

use std::sync::{Arc, atomic::Ordering};

use bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc, oid::ObjectId};

use super::{
    catalog::{Collection, Index, decode},
    changes::Change,
    keys::{self, Keys},
    writer::WriteTxn,
};
use crate::{
    bail,
    error::{Code, CommandError, Result},
    value::encode_key,
};

/// A document may have this many bytes.
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// The document with `_id` first, a new one if it has none. `None`: it is so already.
pub fn with_id_first(raw: &RawDocument) -> Result<Option<RawDocumentBuf>> {
    let mut elements = raw.iter();
    match elements.next() {
        Some(Ok((name, value))) if name.as_str() == "_id" => {
            check_id(value)?;
            return Ok(None);
        }
        _ => {}
    }
    let mut ordered = RawDocumentBuf::new();
    match raw.get("_id").map_err(invalid)? {
        Some(id) => {
            check_id(id)?;
            ordered.append(bson::raw::cstr!("_id"), id);
        }
        None => ordered.append(bson::raw::cstr!("_id"), ObjectId::new()),
    }
    for element in raw.iter() {
        let (name, value) = element.map_err(invalid)?;
        if name.as_str() != "_id" {
            ordered.append(name, value);
        }
    }
    Ok(Some(ordered))
}

fn check_id(id: RawBsonRef<'_>) -> Result<()> {
    let what = match id {
        RawBsonRef::Array(_) => "array",
        RawBsonRef::RegularExpression(_) => "regex",
        RawBsonRef::Undefined => "undefined",
        RawBsonRef::Document(document) => {
            for element in document.iter() {
                let (name, _) = element.map_err(invalid)?;
                if name.as_str().starts_with('$') {
                    bail!(
                        DollarPrefixedFieldName,
                        "_id fields may not contain '$'-prefixed fields: {} is not valid for storage.",
                        name.as_str()
                    );
                }
            }
            return Ok(());
        }
        _ => return Ok(()),
    };
    bail!(InvalidIdField, "The '_id' value cannot be of type {what}")
}

fn invalid(error: impl std::fmt::Display) -> CommandError {
    CommandError::new(Code::InvalidBSON, error.to_string())
}

impl WriteTxn<'_> {
    /// Inserts a document whose `_id` comes first ([`with_id_first`]). Either it is inserted with
    /// all its index entries or nothing is.
    pub fn insert(&mut self, collection: &Arc<Collection>, raw: &RawDocument) -> Result<()> {
        if raw.as_bytes().len() > MAX_DOCUMENT_BYTES {
            bail!(
                BSONObjectTooLarge,
                "object to insert too large. size in bytes: {}, max size: {MAX_DOCUMENT_BYTES}",
                raw.as_bytes().len()
            );
        }
        self.check_valid(collection, raw, None)?;
        self.atomically(|txn| {
            let collection = &txn.target(collection)?;
            txn.count_written(raw.as_bytes().len())?;
            txn.put_row_claiming(collection, raw, true)?;
            txn.record(collection, &Change::Insert(raw))
        })
    }

    /// Adds a document with its index entries, and nothing else.
    pub(super) fn put_row(&mut self, collection: &Collection, raw: &RawDocument) -> Result<()> {
        self.put_row_claiming(collection, raw, false)
    }

    fn put_row_claiming(
        &mut self,
        collection: &Collection,
        raw: &RawDocument,
        claims: bool,
    ) -> Result<()> {
        let mut keys = Vec::with_capacity(collection.indexes.len());
        for index in &collection.indexes {
            let of_index = keys::keys_of(index, raw)?;
            if claims {
                self.claim(collection, index, || of_index.keys.clone())?;
            }
            keys.push(of_index);
        }
        let rid = {
            let mut statement = self.connection().prepare_cached(&collection.sql.insert)?;
            statement.insert([raw.as_bytes()])
        };
        let rid = self.check(rid)?;
        for (index, keys) in collection.indexes.iter().zip(&keys) {
            self.note_contents(index, keys)?;
            for key in &keys.keys {
                self.add_key(collection, index, key, rid, raw)?;
            }
        }
        self.count(collection.id, 1, raw.as_bytes().len() as i64);
        Ok(())
    }

    /// Replaces the document of `rid` by `new` (same `_id`). `before` is what is stored now.
    pub fn replace(
        &mut self,
        collection: &Arc<Collection>,
        rid: i64,
        before: &RawDocument,
        new: &RawDocument,
        is_replacement: bool,
    ) -> Result<()> {
        if new.as_bytes().len() > MAX_DOCUMENT_BYTES {
            bail!(
                BSONObjectTooLarge,
                "Resulting document after update is larger than {MAX_DOCUMENT_BYTES}"
            );
        }
        self.check_valid(collection, new, Some(before))?;
        self.atomically(|txn| {
            let collection = &txn.target(collection)?;
            txn.count_written(new.as_bytes().len())?;
            txn.replace_row(collection, rid, before, new)?;
            txn.record(
                collection,
                &if is_replacement {
                    Change::Replace(new)
                } else {
                    Change::Update { before, after: new }
                },
            )
        })
    }

    fn replace_row(
        &mut self,
        collection: &Collection,
        rid: i64,
        before: &RawDocument,
        new: &RawDocument,
    ) -> Result<()> {
        self.claim_document(collection, before)?;
        let mut changed = Vec::new();
        let id_type = |document: &RawDocument| {
            document
                .get("_id")
                .ok()
                .flatten()
                .map(|id| id.element_type())
        };
        if id_type(before) != id_type(new) {
            self.note_contents(
                collection.id_index(),
                &keys::keys_of(collection.id_index(), new)?,
            )?;
        }
        // The `_id` index comes first and its key does not change.
        for index in collection.indexes.iter().skip(1) {
            let (old, new) = (keys::keys_of(index, before)?, keys::keys_of(index, new)?);
            self.note_contents(index, &new)?;
            if old.keys != new.keys {
                changed.push((index, old, new));
            }
        }
        for (index, old, new) in &changed {
            self.claim(collection, index, || {
                let both = old.keys.iter().chain(&new.keys);
                both.filter(|key| old.keys.contains(key) != new.keys.contains(key))
                    .cloned()
                    .collect()
            })?;
        }
        self.adopt(collection, rid, before)?;
        for (index, old, new) in &changed {
            for key in &old.keys {
                if new.keys.binary_search(key).is_err() {
                    self.execute(&index.sql.delete, (key, rid))?;
                }
            }
        }
        for (index, old, new_keys) in &changed {
            for key in &new_keys.keys {
                if old.keys.binary_search(key).is_err() {
                    self.add_key(collection, index, key, rid, new)?;
                }
            }
        }
        self.execute(&collection.sql.update, (new.as_bytes(), rid))?;
        let grown = new.as_bytes().len() as i64 - before.as_bytes().len() as i64;
        self.count(collection.id, 0, grown);
        Ok(())
    }

    /// Claims a document by its `_id`.
    fn claim_document(&mut self, collection: &Collection, document: &RawDocument) -> Result<()> {
        let index = collection.id_index();
        if !self.claims(collection, index) {
            return Ok(());
        }
        let key = keys::keys_of(index, document)?;
        self.claim(collection, index, || key.keys)
    }

    /// Deletes the document of `rid`; `before` is what is stored now.
    pub fn delete(
        &mut self,
        collection: &Arc<Collection>,
        rid: i64,
        before: &RawDocument,
    ) -> Result<()> {
        let mut keys = Vec::with_capacity(collection.indexes.len());
        for index in &collection.indexes {
            keys.push(keys::keys_of(index, before)?);
        }
        self.atomically(|txn| {
            let collection = &txn.target(collection)?;
            for (index, keys) in collection.indexes.iter().zip(&keys) {
                txn.claim(collection, index, || keys.keys.clone())?;
            }
            txn.adopt(collection, rid, before)?;
            for (index, keys) in collection.indexes.iter().zip(&keys) {
                for key in &keys.keys {
                    txn.execute(&index.sql.delete, (key, rid))?;
                }
            }
            txn.execute(&collection.sql.delete, [rid])?;
            txn.count(collection.id, -1, -(before.as_bytes().len() as i64));
            txn.record(collection, &Change::Delete(before))
        })
    }

    /// The stored bytes of `rid`.
    pub fn document(&self, collection: &Collection, rid: i64) -> Result<Option<RawDocumentBuf>> {
        // A statement may hold the collection as it was before its transaction wrote to it.
        let current = self
            .overlay
            .as_ref()
            .and_then(|overlay| overlay.written(collection.id));
        let collection = current.unwrap_or(collection);
        let mut statement = self.connection().prepare_cached(&collection.sql.get)?;
        let mut rows = statement.query([rid])?;
        match rows.next()? {
            Some(row) => {
                let bytes = row.get_ref(0)?.as_blob().map_err(invalid)?.to_vec();
                Ok(Some(RawDocumentBuf::from_bytes(bytes).map_err(invalid)?))
            }
            None => Ok(None),
        }
    }

    pub(super) fn execute<P: rusqlite::Params>(&mut self, sql: &str, params: P) -> Result<usize> {
        let done = self
            .connection()
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params));
        self.check(done)
    }

    /// Adds one entry; a taken key of a unique index is MongoDB's 11000.
    pub(super) fn add_key(
        &mut self,
        collection: &Collection,
        index: &Index,
        key: &[u8],
        rid: i64,
        raw: &RawDocument,
    ) -> Result<()> {
        if let Some(taken) = &index.sql.taken
            && self.connection().prepare_cached(taken)?.exists([key])?
        {
            return Err(duplicate_key(collection, index, key, raw));
        }
        let done = {
            let mut statement = self.connection().prepare_cached(&index.sql.insert)?;
            statement.execute((key, rid))
        };
        match done {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
            {
                Err(duplicate_key(collection, index, key, raw))
            }
            done => self.check(done).map(|_| ()),
        }
    }

    /// Notes what an index holds from now on, before it does.
    pub(super) fn note_contents(&mut self, index: &Index, keys: &Keys) -> Result<()> {
        let bits = keys.bits();
        let contents = &index.contents;
        if contents.saved.load(Ordering::Acquire) & bits == bits {
            return Ok(());
        }
        contents.seen.fetch_or(bits, Ordering::Release);
        let mut noted = self.work.noted.iter();
        if self.overlay.is_some()
            || noted.any(|(other, of)| Arc::ptr_eq(other, contents) && of & bits == bits)
        {
            // The file is told at the commit, or was told already.
            return Ok(());
        }
        self.execute(
            "UPDATE indexes SET multikey = multikey | ?2 WHERE id = ?1",
            (index.id, bits as i64),
        )?;
        self.work.noted.push((Arc::clone(contents), bits));
        Ok(())
    }

    /// Applies the collection's validator. `before` is the document that is replaced.
    fn check_valid(
        &self,
        collection: &Collection,
        raw: &RawDocument,
        before: Option<&RawDocument>,
    ) -> Result<()> {
        let Some(validator) = &collection.validator else {
            return Ok(());
        };
        let document = decode(raw.as_bytes())?;
        if validator.filter.matches(&document)? {
            return Ok(());
        }
        if let Some(before) = before
            && !validator.strict
            && !validator.filter.matches(&decode(before.as_bytes())?)?
        {
            return Ok(());
        }
        if !validator.refuses {
            tracing::warn!(collection = %collection.ns, "a document fails its collection's validator");
            return Ok(());
        }
        let id = document.get("_id").cloned().unwrap_or(Bson::Null);
        let mut details = doc! { "operatorName": "validator" };
        if let Ok(rules) = collection.options.get_document("validator") {
            if let Ok(schema) = rules.get_document("$jsonSchema") {
                details = crate::schema::Schema::parse(schema)?.explain(&document);
            } else {
                details.insert("specifiedAs", rules.clone());
                details.insert("reason", "expression did not match");
            }
        }
        let info = doc! { "failingDocumentId": id, "details": details };
        Err(CommandError::new(
            Code::DocumentValidationFailure,
            "Document failed validation",
        )
        .with("errInfo", info))
    }
}

fn duplicate_key(
    collection: &Collection,
    index: &Index,
    key: &[u8],
    raw: &RawDocument,
) -> CommandError {
    let values = decode(raw.as_bytes())
        .map(|document| keys::values_of_key(&document, &index.fields, key))
        .unwrap_or_default();
    let shown: Vec<String> = values
        .iter()
        .map(|(path, value)| format!("{path}: {}", display(value)))
        .collect();
    CommandError::new(
        Code::DuplicateKey,
        format!(
            "E11000 duplicate key error collection: {} index: {} dup key: {{ {} }}",
            collection.ns,
            index.name,
            shown.join(", ")
        ),
    )
    .with("keyPattern", index.key())
    .with("keyValue", values)
}

/// A value as MongoDB writes it into messages.
pub fn display(value: &Bson) -> String {
    match value {
        Bson::String(text) => format!("\"{text}\""),
        Bson::ObjectId(id) => format!("ObjectId('{id}')"),
        Bson::Double(n) if n.fract() == 0.0 && n.abs() < 1e15 => format!("{n:.1}"),
        Bson::Double(n) => format!("{n}"),
        Bson::Int32(n) => n.to_string(),
        Bson::Int64(n) => n.to_string(),
        Bson::Boolean(flag) => flag.to_string(),
        Bson::Null => "null".to_owned(),
        Bson::Undefined => "undefined".to_owned(),
        Bson::DateTime(date) => format!("new Date({})", date.timestamp_millis()),
        Bson::Document(document) => {
            let fields: Vec<String> = document
                .iter()
                .map(|(name, value)| format!("{name}: {}", display(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Bson::Array(items) => {
            let items: Vec<String> = items.iter().map(display).collect();
            format!("[ {} ]", items.join(", "))
        }
        Bson::Binary(binary) => {
            let hex: String = binary
                .bytes
                .iter()
                .map(|byte| format!("{byte:02X}"))
                .collect();
            format!("BinData({}, {hex})", u8::from(binary.subtype))
        }
        other => other.to_string(),
    }
}

/// Whether a filter for this `_id` asks for one key of the index and no more.
pub fn is_plain_id(id: &Bson) -> bool {
    matches!(
        id,
        Bson::ObjectId(_)
            | Bson::String(_)
            | Bson::Int32(_)
            | Bson::Int64(_)
            | Bson::Binary(_)
            | Bson::DateTime(_)
    )
}

/// The value of `{_id: value}` or `{_id: {$eq: value}}` where it [is plain](is_plain_id): at most one
/// document has it.
pub fn only_id(filter: &Document) -> Option<&Bson> {
    let mut conditions = filter.iter();
    let (Some((path, condition)), None) = (conditions.next(), conditions.next()) else {
        return None;
    };
    let value = match condition {
        Bson::Document(operators) if operators.len() == 1 => operators.get("$eq")?,
        value => value,
    };
    (path == "_id" && is_plain_id(value)).then_some(value)
}

/// The `_id` index's key of a value.
pub fn id_key(id: &Bson) -> Vec<u8> {
    let mut key = Vec::with_capacity(16);
    encode_key(id, false, &mut key);
    key
}
