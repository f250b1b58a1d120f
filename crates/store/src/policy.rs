//! What plugins may say to the database: an allow-list of commands and of stages, and no way to
//! name another database, code that the server would run, or what the server keeps for itself.
//!
//! Every filter, expression, stage and update of a command is looked through, at any depth.
//! Documents that are only stored are not: there, such names are data.

mod known;

use std::cell::Cell;

use mongodb::bson::{RawArray, RawBsonRef, RawDocument};

use super::{
    StoreError, StoreErrorKind,
    access::{DatabaseAccess, Use, denied, denied_collection},
    query::{invalid, malformed},
};
pub(super) use known::Kind;
use known::{HOST_FIELDS, STAGES, Subject, known};

/// `Unauthorized` and the code for an unknown stage, as the server has them.
const UNAUTHORIZED: i32 = 13;
const UNKNOWN_STAGE: i32 = 40324;

/// Documents nested deeper are refused; the server itself ends at 100 for what it stores.
const MAX_DEPTH: usize = 200;

/// What the host is told beside a command, see [`super::sessions`]. Never sent to the server.
pub(super) const HOST_FIELD: &str = "$gateway";
/// Where a command is read from; the driver sets it.
pub(super) const READ_PREFERENCE: &str = "$readPreference";

/// A command that was let through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    /// Whether it has fields that are the host's to read and not the server's.
    pub(super) speaks_to_host: bool,
    /// Whether it names a collection of which only a user's documents are there.
    pub(super) of_user: bool,
}

/// Checks a command that somebody of this access wants to run in `database`.
///
/// # Errors
/// [`StoreErrorKind::Invalid`] with what is not allowed, and the permission that is missing where that
/// is why.
pub(super) fn check<'a>(
    command: &'a RawDocument,
    database: &str,
    access: &dyn DatabaseAccess,
) -> Result<Checked<'a>, StoreError> {
    let of_user = Cell::new(false);
    let walk = Walk {
        database,
        access,
        of_user: &of_user,
        depth: 0,
    };
    let mut checked = walk.command(command, true)?;
    checked.of_user = of_user.get();
    Ok(checked)
}

/// A refusal as the server would say it.
pub(super) fn refused(message: impl Into<String>) -> StoreError {
    StoreError {
        code: Some(UNAUTHORIZED),
        ..StoreError::new(StoreErrorKind::Invalid, message)
    }
}

#[derive(Clone, Copy)]
struct Walk<'d> {
    database: &'d str,
    access: &'d dyn DatabaseAccess,
    /// Set where a collection is met of which only a user's documents are there.
    of_user: &'d Cell<bool>,
    depth: usize,
}

impl Walk<'_> {
    fn command<'a>(
        self,
        command: &'a RawDocument,
        is_outer: bool,
    ) -> Result<Checked<'a>, StoreError> {
        let mut checked: Option<Checked<'a>> = None;
        for field in command {
            let (key, value) = field.map_err(malformed)?;
            let key = key.as_str();
            let Some(checked) = checked.as_mut() else {
                let (kind, subject) = known(key).ok_or_else(|| {
                    refused(format!(
                        "the command `{key}` is not among those that plugins may send"
                    ))
                })?;
                checked = Some(Checked {
                    name: key,
                    kind,
                    speaks_to_host: false,
                    of_user: false,
                });
                self.subject(key, (kind, subject), value, is_outer)?;
                let is_database_wide = matches!(key, "dbStats" | "dbstats")
                    || (key == "aggregate"
                        && !matches!(value, RawBsonRef::String(_))
                        && !begins_with_documents(command));
                if is_database_wide && !self.access.is_whole() {
                    return Err(denied(
                        "database:*:read".into(),
                        format!(
                            "`{key}` of a whole database needs the permission to read all of it"
                        ),
                    ));
                }
                continue;
            };
            if is_outer && (key == HOST_FIELD || key == READ_PREFERENCE) {
                checked.speaks_to_host = true;
                continue;
            }
            if key.starts_with('$') || HOST_FIELDS.contains(&key) {
                return Err(refused(format!("the field `{key}` is set by the gateway")));
            }
            self.field(checked.name, key, value)?;
        }
        checked.ok_or_else(|| invalid("the command is empty"))
    }

    fn subject(
        self,
        name: &str,
        (kind, subject): (Kind, Subject),
        value: RawBsonRef<'_>,
        is_outer: bool,
    ) -> Result<(), StoreError> {
        match (subject, value) {
            (Subject::None, RawBsonRef::Document(_) | RawBsonRef::Array(_)) => {
                Err(invalid(format!("`{name}` takes no document")))
            }
            (Subject::None, _) => Ok(()),
            (Subject::Collection | Subject::Any, RawBsonRef::String(collection)) => {
                self.collection(collection, kind.used())
            }
            (Subject::Any, RawBsonRef::Int32(1) | RawBsonRef::Int64(1)) => Ok(()),
            (Subject::Any, RawBsonRef::Double(number)) if number.to_bits() == 1f64.to_bits() => {
                Ok(())
            }
            (Subject::Command, RawBsonRef::Document(inner)) if is_outer => {
                let inner = self.command(inner, false)?;
                match (inner.kind, inner.name) {
                    (Kind::Read | Kind::Write, _) | (Kind::Ask, "count" | "distinct") => Ok(()),
                    _ => Err(invalid(format!("`{}` cannot be explained", inner.name))),
                }
            }
            _ => Err(invalid(format!("`{name}` does not name a collection"))),
        }
    }

    /// A field of a command.
    fn field(self, command: &str, key: &str, value: RawBsonRef<'_>) -> Result<(), StoreError> {
        match (command, key, value) {
            // Stored as they are.
            ("insert", "documents", RawBsonRef::Array(_)) => Ok(()),
            ("aggregate" | "create" | "collMod", "pipeline", RawBsonRef::Array(stages)) => {
                self.pipeline(stages)
            }
            ("aggregate" | "create" | "collMod", "pipeline", _) => {
                Err(invalid("`pipeline` must be an array of stages"))
            }
            ("create" | "collMod", "viewOn", RawBsonRef::String(name)) => {
                self.collection(name, Use::Read)
            }
            ("create" | "collMod", "viewOn", _) => Err(invalid("`viewOn` must be a collection")),
            ("renameCollection", "to", RawBsonRef::String(name)) => {
                self.collection(name, Use::Write)
            }
            ("renameCollection", "to", _) => Err(invalid("`to` must be a collection")),
            ("update", "updates", RawBsonRef::Array(statements)) => {
                for statement in statements {
                    let RawBsonRef::Document(statement) = statement.map_err(malformed)? else {
                        return Err(invalid("`updates` must be an array of documents"));
                    };
                    for part in statement {
                        let (key, value) = part.map_err(malformed)?;
                        match key.as_str() {
                            "u" => self.update(value)?,
                            _ => self.value(value)?,
                        }
                    }
                }
                Ok(())
            }
            ("findAndModify" | "findandmodify", "update", update) => self.update(update),
            _ => self.value(value),
        }
    }

    /// The new document, operators or a pipeline: only the last, and what `$pull` compares with, is
    /// looked at by the server as more than data.
    fn update(self, update: RawBsonRef<'_>) -> Result<(), StoreError> {
        match update {
            RawBsonRef::Array(stages) => self.pipeline(stages),
            RawBsonRef::Document(operators) => {
                for operator in operators {
                    let (key, value) = operator.map_err(malformed)?;
                    if key.as_str() == "$pull" {
                        self.value(value)?;
                    }
                }
                Ok(())
            }
            _ => Err(invalid("an update is a document or an array of stages")),
        }
    }

    fn pipeline(self, stages: &RawArray) -> Result<(), StoreError> {
        let inner = self.deeper()?;
        for stage in stages {
            let RawBsonRef::Document(stage) = stage.map_err(malformed)? else {
                return Err(invalid("a stage is a document"));
            };
            for part in stage {
                let (key, value) = part.map_err(malformed)?;
                let key = key.as_str();
                if !STAGES.contains(&key) {
                    return Err(StoreError {
                        code: Some(UNKNOWN_STAGE),
                        ..invalid(format!(
                            "`{key}` is not among the stages that plugins may use"
                        ))
                    });
                }
                inner.named(key, value)?;
            }
        }
        Ok(())
    }

    /// A filter, an expression, options: anything that may hold more of them.
    fn value(self, value: RawBsonRef<'_>) -> Result<(), StoreError> {
        match value {
            RawBsonRef::Document(document) => {
                let inner = self.deeper()?;
                for field in document {
                    let (key, value) = field.map_err(malformed)?;
                    inner.named(key.as_str(), value)?;
                }
                Ok(())
            }
            RawBsonRef::Array(items) => {
                let inner = self.deeper()?;
                for item in items {
                    inner.value(item.map_err(malformed)?)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What stands under a name. Stages are recognised wherever they stand.
    fn named(self, key: &str, value: RawBsonRef<'_>) -> Result<(), StoreError> {
        if !key.starts_with('$') {
            return self.value(value);
        }
        match key {
            "$where" | "$function" | "$accumulator" => Err(refused(format!(
                "`{key}` is not allowed: the server runs no code of plugins"
            ))),
            "$lookup" | "$graphLookup" => self.options(value, "from", Use::Read),
            "$merge" => self.reference(value, "into", Use::Write),
            "$unionWith" => self.reference(value, "coll", Use::Read),
            "$out" => self.target(value, Use::Write),
            "$facet" => {
                let RawBsonRef::Document(facets) = value else {
                    return Err(invalid("`$facet` takes a document"));
                };
                for facet in facets {
                    match facet.map_err(malformed)?.1 {
                        RawBsonRef::Array(stages) => self.pipeline(stages)?,
                        _ => return Err(invalid("a facet is an array of stages")),
                    }
                }
                Ok(())
            }
            "$changeStream" => {
                if let RawBsonRef::Document(options) = value {
                    for option in options {
                        let (key, value) = option.map_err(malformed)?;
                        let key = key.as_str();
                        let all = key == "allChangesForCluster" || key.starts_with("allowToRunOn");
                        if all && value != RawBsonRef::Boolean(false) {
                            return Err(refused(format!("`{key}` is not allowed")));
                        }
                    }
                }
                self.value(value)
            }
            _ if key.starts_with("$_") => Err(refused(format!("`{key}` is the server's own"))),
            _ => self.value(value),
        }
    }

    /// A collection's name, or options in which it has a field.
    fn reference(self, value: RawBsonRef<'_>, field: &str, used: Use) -> Result<(), StoreError> {
        match value {
            RawBsonRef::String(name) => self.collection(name, used),
            _ => self.options(value, field, used),
        }
    }

    fn options(self, value: RawBsonRef<'_>, field: &str, used: Use) -> Result<(), StoreError> {
        let RawBsonRef::Document(options) = value else {
            return Err(invalid("a stage that names a collection takes a document"));
        };
        for option in options {
            let (key, value) = option.map_err(malformed)?;
            match (key.as_str(), value) {
                (key, value) if key == field => self.target(value, used)?,
                ("db", value) => self.own_database(value)?,
                ("pipeline" | "whenMatched", RawBsonRef::Array(stages)) => self.pipeline(stages)?,
                (_, value) => self.value(value)?,
            }
        }
        Ok(())
    }

    /// What a stage reads or writes: a collection, or one with its database.
    fn target(self, value: RawBsonRef<'_>, used: Use) -> Result<(), StoreError> {
        match value {
            RawBsonRef::String(name) => self.collection(name, used),
            RawBsonRef::Document(target) => {
                for part in target {
                    let (key, value) = part.map_err(malformed)?;
                    match (key.as_str(), value) {
                        ("db", value) => self.own_database(value)?,
                        ("coll", RawBsonRef::String(name)) => self.collection(name, used)?,
                        ("coll", _) => return Err(invalid("a collection's name is a text")),
                        (_, value) => self.value(value)?,
                    }
                }
                Ok(())
            }
            _ => Err(invalid("a collection's name is a text")),
        }
    }

    fn own_database(self, value: RawBsonRef<'_>) -> Result<(), StoreError> {
        if value == RawBsonRef::String(self.database) {
            return Ok(());
        }
        Err(refused("another database cannot be named"))
    }

    /// A collection that is named, and what is done with it.
    fn collection(self, name: &str, used: Use) -> Result<(), StoreError> {
        check_collection(name)?;
        let rule = self.access.rule(name);
        let may = match used {
            Use::Read => rule.read,
            Use::Write => rule.write,
        };
        if !may {
            return Err(denied_collection(name, used));
        }
        if rule.of_user {
            self.of_user.set(true);
        }
        Ok(())
    }

    fn deeper(self) -> Result<Self, StoreError> {
        if self.depth >= MAX_DEPTH {
            return Err(invalid(format!("nested over {MAX_DEPTH} levels")));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

/// Whether a pipeline reads no collection, but documents that it brings.
fn begins_with_documents(command: &RawDocument) -> bool {
    let first = (command.get_array("pipeline").ok()).and_then(|stages| stages.into_iter().next());
    let Some(Ok(RawBsonRef::Document(stage))) = first else {
        return false;
    };
    let name = stage.into_iter().next();
    matches!(name, Some(Ok((key, _))) if key.as_str() == "$documents")
}

/// Names that the server reads as something else than a collection of documents are refused.
fn check_collection(name: &str) -> Result<(), StoreError> {
    if name.starts_with("system.") || name.contains('$') {
        return Err(refused(format!(
            "the collection `{name}` is the server's own"
        )));
    }
    if name.is_empty() || name.contains('\0') {
        return Err(invalid("a collection's name is a text without NUL"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
