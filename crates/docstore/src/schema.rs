//! `$jsonSchema` (MongoDB's dialect: draft 4 plus `bsonType`), as filter and as validator.

mod explain;
mod parse;
mod rules;

#[cfg(test)]
mod tests;

use bson::{Bson, Document};

use crate::{error::Result, query::Pattern, value::TypeSet};

/// A parsed `$jsonSchema`.
#[derive(Debug, Clone)]
pub struct Schema {
    title: Option<String>,
    description: Option<String>,
    rules: Vec<Rule>,
}

/// One keyword with its argument as it was given, which explanations repeat.
#[derive(Debug, Clone)]
struct Rule {
    keyword: &'static str,
    /// The keyword and those that modify it.
    specified_as: Document,
    check: Check,
}

/// What a keyword asks of a value. Values of another type than the keyword is about pass.
#[derive(Debug, Clone)]
enum Check {
    Type(TypeSet),
    Enum(Vec<Bson>),
    Minimum {
        bound: Bson,
        exclusive: bool,
    },
    Maximum {
        bound: Bson,
        exclusive: bool,
    },
    MultipleOf(Bson),
    MinLength(usize),
    MaxLength(usize),
    Pattern(Pattern),
    Properties(Vec<(String, Schema)>),
    PatternProperties(Vec<(Pattern, String, Schema)>),
    AdditionalProperties(Box<Others>),
    Required(Vec<String>),
    MinProperties(usize),
    MaxProperties(usize),
    Dependencies(Vec<(String, Dependency)>),
    /// One schema for all items.
    Items(Box<Schema>),
    /// One schema a position.
    ItemList(Vec<Schema>),
    /// For positions past the item list; `None` allows none.
    AdditionalItems {
        after: usize,
        schema: Option<Box<Schema>>,
    },
    MinItems(usize),
    MaxItems(usize),
    UniqueItems,
    AllOf(Vec<Schema>),
    AnyOf(Vec<Schema>),
    OneOf(Vec<Schema>),
    Not(Box<Schema>),
}

/// Properties that neither `properties` nor `patternProperties` is about.
#[derive(Debug, Clone)]
struct Others {
    names: Vec<String>,
    patterns: Vec<Pattern>,
    /// `None` allows none.
    schema: Option<Schema>,
}

/// What the presence of a property asks for.
#[derive(Debug, Clone)]
enum Dependency {
    Names(Vec<String>),
    Schema(Schema),
}

impl Schema {
    /// Parses the schema; unknown keywords are refused (9 FailedToParse).
    pub fn parse(schema: &Document) -> Result<Self> {
        parse::parse_schema(schema, 0)
    }

    /// Whether the document is valid.
    pub fn is_valid(&self, doc: &Document) -> bool {
        self.rules
            .iter()
            .all(|rule| rule.holds(rules::Subject::Document(doc)))
    }

    /// `details` of a validation error (121): which rules were not satisfied.
    pub fn explain(&self, doc: &Document) -> Document {
        explain::explain_root(self, doc)
    }

    fn accepts(&self, value: &Bson) -> bool {
        self.rules
            .iter()
            .all(|rule| rule.holds(rules::Subject::Value(value)))
    }
}
