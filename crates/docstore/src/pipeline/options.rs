//! Reading the option documents of stages.

use bson::{Bson, Document};

use crate::{
    bail,
    error::{CommandError, Result},
    expr::{number::Number, types},
};

/// The argument as a document, or an error with MongoDB's number.
pub(super) fn object<'b>(stage: &str, argument: &'b Bson, code: i32) -> Result<&'b Document> {
    match argument {
        Bson::Document(document) => Ok(document),
        other => Err(CommandError::location(
            code,
            format!(
                "the {stage} stage specification must be an object, but found {}",
                types::name(Some(other))
            ),
        )),
    }
}

/// A string option that must be there.
pub(super) fn string<'b>(stage: &str, options: &'b Document, name: &str) -> Result<&'b str> {
    match options.get(name) {
        Some(Bson::String(text)) => Ok(text),
        None => bail!(FailedToParse, "must specify '{name}' field for a {stage}"),
        other => bail!(
            FailedToParse,
            "{stage} argument '{name}' must be a string, found {}",
            types::name(other)
        ),
    }
}

/// Refuses options that are not among `known`.
pub(super) fn check_known(
    stage: &str,
    options: &Document,
    known: &[&str],
    code: i32,
) -> Result<()> {
    match options.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let message = format!("unrecognized option to {stage}: '{key}'");
            Err(if code == 9 {
                CommandError::new(crate::error::Code::FailedToParse, message)
            } else {
                CommandError::location(code, message)
            })
        }
    }
}

/// A whole number.
pub(super) fn whole(value: &Bson) -> Option<i64> {
    Number::from_bson(value).and_then(Number::to_whole)
}
