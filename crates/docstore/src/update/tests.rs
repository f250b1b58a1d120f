mod differential;
mod names;
mod operators;
mod paths;
mod whole;

use bson::{Bson, Document};

use super::{ApplyContext, Update};
use crate::error::CommandError;

fn parse(update: Document, filters: &[Document]) -> Result<Update, CommandError> {
    Update::parse(&Bson::Document(update), filters, &Document::new())
}

/// Applies to a document: what it became and whether that was a change.
fn try_apply(update: Document, doc: Document) -> Result<(Document, bool), CommandError> {
    let mut doc = doc;
    let before = doc.clone();
    match parse(update, &[])?.apply(&mut doc, ApplyContext::default()) {
        Ok(changed) => Ok((doc, changed)),
        Err(error) => {
            assert_eq!(
                doc.to_string(),
                before.to_string(),
                "a failed update changes nothing"
            );
            Err(error)
        }
    }
}

/// The text shows types and the order of fields.
fn check(update: Document, before: Document, after: Document) {
    let (result, changed) = try_apply(update.clone(), before.clone()).expect("applies");
    assert_eq!(
        format!("{result:?}"),
        format!("{after:?}"),
        "{update} on {before}"
    );
    assert_eq!(
        changed,
        format!("{before:?}") != format!("{after:?}"),
        "{update} on {before}"
    );
}

fn code(update: Document, doc: Document) -> i32 {
    match try_apply(update.clone(), doc) {
        Ok((result, _)) => panic!("{update} gave {result}"),
        Err(error) => error.code,
    }
}
