//! Writes bound to a user: what is new belongs to the user, and whose a document is does not change.

use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::{Bound, OWNER, simple_collation};
use crate::{
    StoreError,
    access::of_others,
    query::{invalid, malformed},
};

impl Bound<'_> {
    /// New documents, each the user's.
    pub(super) fn insert(
        &self,
        mut command: Document,
        collection: &str,
    ) -> Result<RawDocumentBuf, StoreError> {
        let Ok(documents) = command.get_array_mut("documents") else {
            return Err(invalid("`documents` must be an array"));
        };
        for document in documents {
            let Bson::Document(document) = document else {
                return Err(invalid("`documents` must be an array of documents"));
            };
            self.own(document, collection)?;
        }
        RawDocumentBuf::try_from(&command).map_err(malformed)
    }

    /// The parts of an `update` or a `delete`.
    pub(super) fn statements(
        &self,
        mut command: Document,
        field: &str,
        collection: &str,
    ) -> Result<RawDocumentBuf, StoreError> {
        let Ok(statements) = command.get_array_mut(field) else {
            return Err(invalid(format!("`{field}` must be an array")));
        };
        for statement in statements {
            let Bson::Document(statement) = statement else {
                return Err(invalid(format!("`{field}` must be an array of documents")));
            };
            self.filter_of(statement, "q")?;
            simple_collation(statement)?;
            if let Some(update) = statement.remove("u") {
                let upserts = is_set(statement, "upsert");
                statement.insert("u", self.update(update, upserts, collection)?);
            }
        }
        RawDocumentBuf::try_from(&command).map_err(malformed)
    }

    /// `findAndModify`.
    pub(super) fn modify(
        &self,
        command: &mut Document,
        collection: &str,
    ) -> Result<(), StoreError> {
        self.filter_of(command, "query")?;
        if let Some(update) = command.remove("update") {
            let upserts = is_set(command, "upsert");
            command.insert("update", self.update(update, upserts, collection)?);
        }
        Ok(())
    }

    /// What a document becomes: another one, by operators, or by stages.
    fn update(&self, update: Bson, upserts: bool, collection: &str) -> Result<Bson, StoreError> {
        match update {
            Bson::Array(mut stages) => {
                // Whatever they make of it.
                stages.push(doc! { "$set": { OWNER: { "$literal": self.user_id } } }.into());
                Ok(stages.into())
            }
            Bson::Document(update) if update.keys().any(|key| key.starts_with('$')) => {
                self.operators(update, upserts, collection).map(Bson::from)
            }
            Bson::Document(mut document) => {
                self.own(&mut document, collection)?;
                Ok(document.into())
            }
            _ => Err(invalid("an update is a document or an array of stages")),
        }
    }

    fn operators(
        &self,
        mut update: Document,
        upserts: bool,
        collection: &str,
    ) -> Result<Document, StoreError> {
        let mut says_owner = false;
        for (operator, fields) in &update {
            let Bson::Document(fields) = fields else {
                return Err(invalid(format!("`{operator}` takes a document")));
            };
            for (path, value) in fields {
                let renames = operator == "$rename" && (value.as_str()).is_some_and(concerns_owner);
                if !concerns_owner(path) && !renames {
                    continue;
                }
                let says_same = matches!(operator.as_str(), "$set" | "$setOnInsert")
                    && path == OWNER
                    && value.as_str() == Some(self.user_id);
                if !says_same {
                    return Err(of_others(collection, "`user_id` cannot be changed"));
                }
                says_owner = true;
            }
        }
        if upserts && !says_owner {
            match update.get_document_mut("$setOnInsert") {
                Ok(fields) => {
                    fields.insert(OWNER, self.user_id);
                }
                Err(_) => {
                    update.insert("$setOnInsert", doc! { OWNER: self.user_id });
                }
            }
        }
        Ok(update)
    }

    /// Makes a document the user's; one that says that it is another's is refused.
    fn own(&self, document: &mut Document, collection: &str) -> Result<(), StoreError> {
        match document.get(OWNER) {
            Some(owner) if owner.as_str() != Some(self.user_id) => Err(of_others(
                collection,
                "a document of another user cannot be written",
            )),
            Some(_) => Ok(()),
            None => {
                document.insert(OWNER, self.user_id);
                Ok(())
            }
        }
    }
}

fn concerns_owner(path: &str) -> bool {
    path.split('.').next() == Some(OWNER)
}

fn is_set(statement: &Document, field: &str) -> bool {
    // Servers take numbers too.
    !matches!(
        statement.get(field),
        None | Some(Bson::Null | Bson::Boolean(false) | Bson::Int32(0) | Bson::Int64(0))
    )
}
