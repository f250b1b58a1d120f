//! The fields of a command, with MongoDB's messages for wrong types and unknown names.

use bson::{Bson, Document, RawBsonRef, RawDocument};

use crate::{
    bail,
    error::{Code, CommandError, Result},
};

/// Fields that any command may have.
const GENERIC: &[&str] = &[
    "$db",
    "lsid",
    "$readPreference",
    "comment",
    "maxTimeMS",
    "readConcern",
    "writeConcern",
    "txnNumber",
    "autocommit",
    "startTransaction",
    "stmtId",
    "stmtIds",
    "apiVersion",
    "apiStrict",
    "apiDeprecationErrors",
    "$clusterTime",
    "$client",
    "$audit",
    "maxTimeMSOpOnly",
    "$configServerState",
    "allowImplicitCollectionCreation",
    "help",
    "clientOperationKey",
    "databaseVersion",
    "shardVersion",
    "coordinator",
];

/// A command's fields.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    command: &'a str,
    body: &'a RawDocument,
}

impl<'a> Args<'a> {
    /// The fields of `body`; `command` appears in messages.
    pub fn new(command: &'a str, body: &'a RawDocument) -> Self {
        Self { command, body }
    }

    /// The command's name.
    pub fn command(&self) -> &'a str {
        self.command
    }

    /// Refuses fields that are neither generic nor among `fields`.
    pub fn check_known(&self, fields: &[&str]) -> Result<()> {
        for element in self.body.iter() {
            let (name, _) = element.map_err(malformed)?;
            let name = name.as_str();
            if !fields.contains(&name) && !GENERIC.contains(&name) && name != self.command {
                return Err(self.unknown(name));
            }
        }
        Ok(())
    }

    /// The error for a field that the command does not know.
    pub fn unknown(&self, name: &str) -> CommandError {
        CommandError::new(
            Code::IDLUnknownField,
            format!("BSON field '{}.{name}' is an unknown field.", self.command),
        )
    }

    /// A field's value; null counts as not given.
    pub fn get(&self, name: &str) -> Result<Option<RawBsonRef<'a>>> {
        match self.body.get(name).map_err(malformed)? {
            Some(RawBsonRef::Null | RawBsonRef::Undefined) | None => Ok(None),
            value => Ok(value),
        }
    }

    /// The command's own fields but the first, decoded.
    pub fn all(&self) -> Result<Document> {
        let mut fields = Document::new();
        for element in self.body.iter().skip(1) {
            let (name, value) = element.map_err(malformed)?;
            if !GENERIC.contains(&name.as_str()) {
                fields.insert(name.as_str(), Bson::try_from(value).map_err(malformed)?);
            }
        }
        Ok(fields)
    }

    /// Whether the field is given and not null.
    pub fn has(&self, name: &str) -> Result<bool> {
        Ok(self.get(name)?.is_some())
    }

    /// A field's value, decoded.
    pub fn value(&self, name: &str) -> Result<Option<Bson>> {
        self.get(name)?
            .map(|value| Bson::try_from(value).map_err(malformed))
            .transpose()
    }

    /// A string.
    pub fn string(&self, name: &str) -> Result<Option<&'a str>> {
        match self.get(name)? {
            None => Ok(None),
            Some(RawBsonRef::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(name, other, "string")),
        }
    }

    /// The string that names the command's collection (the first field's value).
    pub fn collection(&self) -> Result<&'a str> {
        match self.body.get(self.command).map_err(malformed)? {
            Some(RawBsonRef::String(text)) => Ok(text),
            Some(other) => bail!(
                InvalidNamespace,
                "collection name has invalid type {}",
                type_name(other)
            ),
            None => bail!(BadValue, "the command names no collection"),
        }
    }

    /// A document, as it came.
    pub fn raw_document(&self, name: &str) -> Result<Option<&'a RawDocument>> {
        match self.get(name)? {
            None => Ok(None),
            Some(RawBsonRef::Document(document)) => Ok(Some(document)),
            Some(other) => Err(self.wrong_type(name, other, "object")),
        }
    }

    /// A document.
    pub fn document(&self, name: &str) -> Result<Option<Document>> {
        self.raw_document(name)?
            .map(|document| Document::try_from(document).map_err(malformed))
            .transpose()
    }

    /// A document; empty where it is not given.
    pub fn document_or_empty(&self, name: &str) -> Result<Document> {
        Ok(self.document(name)?.unwrap_or_default())
    }

    /// An array.
    pub fn array(&self, name: &str) -> Result<Option<Vec<Bson>>> {
        match self.get(name)? {
            None => Ok(None),
            Some(RawBsonRef::Array(items)) => items
                .into_iter()
                .map(|item| item.and_then(Bson::try_from).map_err(malformed))
                .collect::<Result<_>>()
                .map(Some),
            Some(other) => Err(self.wrong_type(name, other, "array")),
        }
    }

    /// An array of documents.
    pub fn documents(&self, name: &str) -> Result<Option<Vec<Document>>> {
        let Some(items) = self.array(name)? else {
            return Ok(None);
        };
        items
            .into_iter()
            .enumerate()
            .map(|(at, item)| match item {
                Bson::Document(document) => Ok(document),
                _ => bail!(
                    TypeMismatch,
                    "BSON field '{}.{name}.{at}' is the wrong type, expected type 'object'",
                    self.command
                ),
            })
            .collect::<Result<_>>()
            .map(Some)
    }

    /// A flag; numbers count as in MongoDB.
    pub fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.optional_flag(name)?.unwrap_or(false))
    }

    /// A flag that may be left out.
    pub fn optional_flag(&self, name: &str) -> Result<Option<bool>> {
        match self.get(name)? {
            None => Ok(None),
            Some(RawBsonRef::Boolean(flag)) => Ok(Some(flag)),
            Some(RawBsonRef::Int32(n)) => Ok(Some(n != 0)),
            Some(RawBsonRef::Int64(n)) => Ok(Some(n != 0)),
            Some(RawBsonRef::Double(n)) => Ok(Some(n != 0.0)),
            Some(other) => Err(self.wrong_types(name, other, "[bool, long, int, decimal, double]")),
        }
    }

    /// A whole number of any number type.
    pub fn integer(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.get(name)? else {
            return Ok(None);
        };
        match value {
            RawBsonRef::Int32(n) => Ok(Some(i64::from(n))),
            RawBsonRef::Int64(n) => Ok(Some(n)),
            #[allow(
                clippy::cast_possible_truncation,
                reason = "saturates; fractions are cut off"
            )]
            RawBsonRef::Double(n) => Ok(Some(n as i64)),
            RawBsonRef::Decimal128(n) => {
                let value = n.to_string().parse::<f64>().unwrap_or_default();
                #[allow(clippy::cast_possible_truncation, reason = "saturates")]
                Ok(Some(value as i64))
            }
            other => Err(self.wrong_types(name, other, "[long, int, decimal, double]")),
        }
    }

    /// A whole number that is not negative.
    pub fn unsigned(&self, name: &str) -> Result<Option<u64>> {
        match self.integer(name)? {
            None => Ok(None),
            Some(value) => match u64::try_from(value) {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(CommandError::location(
                    51024,
                    format!("BSON field '{name}' value must be >= 0, actual value '{value}'"),
                )),
            },
        }
    }

    fn wrong_type(&self, name: &str, value: RawBsonRef<'_>, expected: &str) -> CommandError {
        CommandError::new(
            Code::TypeMismatch,
            format!(
                "BSON field '{}.{name}' is the wrong type '{}', expected type '{expected}'",
                self.command,
                type_name(value)
            ),
        )
    }

    fn wrong_types(&self, name: &str, value: RawBsonRef<'_>, expected: &str) -> CommandError {
        CommandError::new(
            Code::TypeMismatch,
            format!(
                "BSON field '{}.{name}' is the wrong type '{}', expected types '{expected}'",
                self.command,
                type_name(value)
            ),
        )
    }
}

fn malformed(error: impl std::fmt::Display) -> CommandError {
    CommandError::new(Code::InvalidBSON, error.to_string())
}

/// MongoDB's name of a value's type.
pub fn type_name(value: RawBsonRef<'_>) -> &'static str {
    Bson::try_from(value).map_or("unknown", |value| crate::value::type_name(&value))
}

/// Accepts version 1 of the stable API only.
pub fn check_api(args: &Args<'_>) -> Result<()> {
    match args.string("apiVersion")? {
        Some("1") => Ok(()),
        Some(_) => bail!(APIVersionError, "API version must be \"1\""),
        None if args.has("apiStrict")? || args.has("apiDeprecationErrors")? => bail!(
            APIVersionError,
            "Provided apiStrict or apiDeprecationErrors without passing apiVersion"
        ),
        None => Ok(()),
    }
}
