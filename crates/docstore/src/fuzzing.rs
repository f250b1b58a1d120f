//! Entry points for fuzzing: each takes bytes as a client could send them. What is wrong with the
//! bytes must come back as an error; a panic, or an assertion that does not hold, is a defect of the
//! store. `cargo fuzz` calls them, and so do property tests on the stable toolchain.

#[cfg(test)]
mod tests;

use bson::{Bson, Document, RawDocument};

use crate::{
    commands::args,
    query::Filter,
    storage::catalog::decode,
    update::{ApplyContext, Update},
    value::{compare, encode_key},
    wire::{
        frame::{self, HEADER_BYTES, Header, Message},
        validate,
    },
};

/// A frame: header, sections, and the fields that every command may have.
pub fn frame(bytes: &[u8]) {
    let Some(Ok(header)) = bytes.first_chunk::<HEADER_BYTES>().map(Header::parse) else {
        return;
    };
    let Some(whole) = bytes.get(..header.length) else {
        return;
    };
    if let Ok(Message::Command { request, .. } | Message::LegacyCommand { request, .. }) =
        frame::parse(&header, whole)
    {
        // What was let in can be decoded in whole.
        let decoded = decode(request.body.as_bytes());
        assert!(decoded.is_ok(), "a checked document cannot be decoded");
        if let Ok(name) = request.command() {
            drop(args::check_api(&args::Args::new(name, request.body)));
        }
    }
}

/// The document that a client would have sent, if it is well-formed.
fn document(bytes: &[u8]) -> Option<Document> {
    let length = validate::check_document(bytes, validate::MAX_DEPTH).ok()?;
    decode(&bytes[..length]).ok()
}

fn part(whole: &Document, name: &str) -> Document {
    whole.get_document(name).cloned().unwrap_or_default()
}

/// `{f: filter, d: document}`: both ways of matching say the same.
pub fn filter(bytes: &[u8]) {
    let Some(case) = document(bytes) else { return };
    let Ok(filter) = Filter::parse(&part(&case, "f"), &Document::new()) else {
        return;
    };
    let document = part(&case, "d");
    let plain = filter.matches(&document);
    let Ok(encoded) = document.to_vec() else {
        return;
    };
    let Ok(raw) = RawDocument::from_bytes(&encoded) else {
        return;
    };
    if let (Ok(plain), Ok(raw)) = (&plain, filter.matches_raw(raw)) {
        assert_eq!(*plain, raw, "two ways of matching differ");
    }
}

/// `{u: update, a: [array filters], d: document}`: a failed update changes nothing.
pub fn update(bytes: &[u8]) {
    let Some(case) = document(bytes) else { return };
    let Some(update) = case.get("u") else { return };
    let filters: Vec<Document> = match case.get("a") {
        Some(Bson::Array(filters)) => filters
            .iter()
            .filter_map(Bson::as_document)
            .cloned()
            .collect(),
        _ => Vec::new(),
    };
    let Ok(update) = Update::parse(update, &filters, &Document::new()) else {
        return;
    };
    let before = part(&case, "d");
    let mut after = before.clone();
    let context = ApplyContext {
        position: Some(0),
        inserting: false,
    };
    if update.apply(&mut after, context).is_err() && !update.is_replacement() {
        assert!(
            crate::value::identical_documents(&before, &after),
            "a failed update changed the document"
        );
    }
}

/// `{a: value, b: value}`: keys are in the order of the values, in both directions.
pub fn key_order(bytes: &[u8]) {
    let Some(case) = document(bytes) else { return };
    let (Some(a), Some(b)) = (case.get("a"), case.get("b")) else {
        return;
    };
    let key = |value: &Bson, descending| {
        let mut key = Vec::new();
        encode_key(value, descending, &mut key);
        key
    };
    let order = compare(a, b);
    assert_eq!(key(a, false).cmp(&key(b, false)), order, "ascending keys");
    assert_eq!(key(b, true).cmp(&key(a, true)), order, "descending keys");
}
