//! `$out` and `$merge`, parsed and checked; the command layer writes.

use bson::{Bson, Document};

use super::{
    Sink,
    options::{check_known, string},
    parse_variables,
};
use crate::{
    bail,
    error::{CommandError, Result},
    expr::{parse::split_path, types},
};

/// Stages that a `whenMatched` pipeline may have.
const UPDATE_STAGES: [&str; 6] = [
    "$addFields",
    "$set",
    "$project",
    "$unset",
    "$replaceRoot",
    "$replaceWith",
];

/// Parses `$out`.
pub(super) fn parse_out(argument: &Bson) -> Result<Sink> {
    let (database, collection) = match argument {
        Bson::String(collection) => ("", collection.as_str()),
        Bson::Document(options) => {
            if options.contains_key("timeseries") {
                bail!(
                    CommandNotSupported,
                    "$out to a time-series collection is not supported"
                );
            }
            check_known("$out", options, &["db", "coll"], 16994)?;
            (
                string("$out", options, "db")?,
                string("$out", options, "coll")?,
            )
        }
        other => {
            return Err(CommandError::location(
                16990,
                format!(
                    "$out only supports a string or object argument, but found {}",
                    types::name(Some(other))
                ),
            ));
        }
    };
    check_collection("$out", collection)?;
    Ok(Sink::Out {
        database: database.to_owned(),
        collection: collection.to_owned(),
    })
}

fn check_collection(stage: &str, collection: &str) -> Result<()> {
    if collection.is_empty() || collection.contains('$') || collection.contains('\0') {
        bail!(
            InvalidNamespace,
            "Invalid {stage} target namespace, '{collection}'"
        );
    }
    if collection.starts_with("system.") {
        return Err(CommandError::location(
            17385,
            format!("Can't {stage} to special collection: {collection}"),
        ));
    }
    Ok(())
}

/// Parses `$merge`.
pub(super) fn parse_merge(argument: &Bson) -> Result<Sink> {
    let empty = Document::new();
    let (options, into) = match argument {
        Bson::String(_) => (&empty, Some(argument)),
        Bson::Document(options) => (options, options.get("into")),
        other => {
            return Err(CommandError::location(
                51182,
                format!(
                    "$merge requires a string or object argument, but found {}",
                    types::name(Some(other))
                ),
            ));
        }
    };
    if let Some(key) = options
        .keys()
        .find(|key| !["into", "on", "let", "whenMatched", "whenNotMatched"].contains(&key.as_str()))
    {
        return Err(CommandError::location(
            40415,
            format!("BSON field '$merge.{key}' is an unknown field."),
        ));
    }
    let (database, collection) = match into {
        Some(Bson::String(collection)) => (String::new(), collection.clone()),
        Some(Bson::Document(target)) => {
            check_known("$merge 'into'", target, &["db", "coll"], 40415)?;
            let database = match target.get("db") {
                None => String::new(),
                Some(_) => string("$merge", target, "db")?.to_owned(),
            };
            (database, string("$merge", target, "coll")?.to_owned())
        }
        None => {
            return Err(CommandError::location(
                40414,
                "BSON field '$merge.into' is missing but a required field",
            ));
        }
        other => {
            return Err(CommandError::location(
                51178,
                format!(
                    "$merge 'into' field  must be either a string or an object, but found {}",
                    types::name(other)
                ),
            ));
        }
    };
    check_collection("$merge", &collection)?;
    let when_matched = when_matched(options)?;
    let when_not_matched = match options.get("whenNotMatched") {
        None => "insert".to_owned(),
        Some(Bson::String(mode)) if ["insert", "discard", "fail"].contains(&mode.as_str()) => {
            mode.clone()
        }
        Some(Bson::String(mode)) => bail!(
            BadValue,
            "Enumeration value '{mode}' for field '$merge.whenNotMatched' is not a valid value."
        ),
        other => bail!(
            TypeMismatch,
            "BSON field '$merge.whenNotMatched' is the wrong type '{}', expected type 'string'",
            types::name(other)
        ),
    };
    let let_vars = match options.get("let") {
        None => Document::new(),
        Some(Bson::Document(definitions)) => {
            if !matches!(when_matched, Bson::Array(_)) {
                return Err(CommandError::location(
                    51199,
                    "Cannot use 'let' variables with 'whenMatched' modes other than a pipeline",
                ));
            }
            parse_variables(definitions)?;
            definitions.clone()
        }
        other => bail!(
            TypeMismatch,
            "BSON field '$merge.let' is the wrong type '{}', expected type 'object'",
            types::name(other)
        ),
    };
    Ok(Sink::Merge {
        database,
        collection,
        on: on_fields(options)?,
        when_matched,
        when_not_matched,
        let_vars,
    })
}

fn when_matched(options: &Document) -> Result<Bson> {
    const MODES: [&str; 4] = ["replace", "keepExisting", "merge", "fail"];
    match options.get("whenMatched") {
        None => Ok(Bson::String("merge".to_owned())),
        Some(Bson::String(mode)) if MODES.contains(&mode.as_str()) => {
            Ok(Bson::String(mode.clone()))
        }
        Some(Bson::String(mode)) => bail!(
            BadValue,
            "Enumeration value '{mode}' for field '$merge.whenMatched' is not a valid value."
        ),
        Some(Bson::Array(stages)) => {
            for stage in stages {
                let name = match stage {
                    Bson::Document(stage) => stage.keys().next().map_or("", String::as_str),
                    _ => "",
                };
                if !UPDATE_STAGES.contains(&name) {
                    bail!(
                        InvalidOptions,
                        "{name} is not allowed to be used within an update"
                    );
                }
            }
            Ok(Bson::Array(stages.clone()))
        }
        other => Err(CommandError::location(
            51191,
            format!(
                "$merge 'whenMatched' field  must be either a string or an array, but found {}",
                types::name(other)
            ),
        )),
    }
}

fn on_fields(options: &Document) -> Result<Vec<String>> {
    let fields = match options.get("on") {
        None => vec!["_id".to_owned()],
        Some(Bson::String(field)) => vec![field.clone()],
        Some(Bson::Array(items)) if items.is_empty() => {
            return Err(CommandError::location(
                51187,
                "If explicitly specifying $merge 'on', must include at least one field",
            ));
        }
        Some(Bson::Array(items)) => {
            let mut fields = Vec::with_capacity(items.len());
            for item in items {
                let Bson::String(field) = item else {
                    return Err(CommandError::location(
                        51134,
                        format!(
                            "$merge 'on' array elements must be strings, but found {}",
                            types::name(Some(item))
                        ),
                    ));
                };
                if fields.contains(field) {
                    return Err(CommandError::location(
                        31465,
                        format!("Found a duplicate field '{field}'"),
                    ));
                }
                fields.push(field.clone());
            }
            fields
        }
        other => {
            return Err(CommandError::location(
                51186,
                format!(
                    "$merge 'on' field  must be either a string or an array of strings, but found {}",
                    types::name(other)
                ),
            ));
        }
    };
    for field in &fields {
        split_path(field)?;
    }
    Ok(fields)
}
