//! `$jsonSchema` (MongoDB's dialect: draft 4 plus `bsonType`), as filter and as validator.

use bson::Document;

use crate::error::Result;

/// A parsed `$jsonSchema`.
#[derive(Debug, Clone)]
pub struct Schema {}

impl Schema {
    /// Parses the schema; unknown keywords are refused (9 FailedToParse).
    pub fn parse(_schema: &Document) -> Result<Self> {
        todo!()
    }

    /// Whether the document is valid.
    pub fn is_valid(&self, _doc: &Document) -> bool {
        todo!()
    }

    /// `details` of a validation error (121): which rules were not satisfied.
    pub fn explain(&self, _doc: &Document) -> Document {
        todo!()
    }
}
