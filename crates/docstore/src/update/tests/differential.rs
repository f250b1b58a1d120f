//! Random updates against a second evaluation on a flat map of paths, and against any BSON.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};
use proptest::{collection::vec, prelude::*};

use super::parse;
use crate::{
    update::{ApplyContext, Update},
    value::{arbitrary, identical_documents},
};

const FIELDS: [&str; 4] = ["a", "b", "o.x", "o.y"];

/// A document whose leaves are integers at some of [`FIELDS`].
fn flat() -> impl Strategy<Value = BTreeMap<String, i32>> {
    vec((prop::sample::select(FIELDS.to_vec()), 0..5_i32), 0..5)
        .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

/// One operator for each of some paths.
fn operations() -> impl Strategy<Value = BTreeMap<&'static str, (&'static str, i32)>> {
    let operator = prop::sample::select(vec!["$set", "$inc", "$mul", "$min", "$max", "$unset"]);
    prop::collection::btree_map(
        prop::sample::select(FIELDS.to_vec()),
        (operator, 0..5_i32),
        0..4,
    )
}

fn nested(flat: &BTreeMap<String, i32>) -> Document {
    let mut doc = doc! {"_id": 1, "o": {}};
    for (path, value) in flat {
        crate::value::set_path(&mut doc, path, Bson::Int32(*value));
    }
    doc
}

proptest! {
    #![proptest_config(arbitrary::config(2000))]

    #[test]
    fn operators_do_what_a_map_would(fields in flat(), operations in operations()) {
        let mut update = Document::new();
        let mut expected = fields.clone();
        for (path, (operator, operand)) in &operations {
            let entry = update.entry(*operator).or_insert_with(|| Bson::Document(doc! {}));
            entry.as_document_mut().expect("an operator").insert(*path, *operand);
            let old = expected.get(*path).copied();
            let new = match *operator {
                "$set" => Some(*operand),
                "$inc" => Some(old.unwrap_or(0) + operand),
                "$mul" => Some(old.unwrap_or(0) * operand),
                "$min" => Some(old.unwrap_or(*operand).min(*operand)),
                "$max" => Some(old.unwrap_or(*operand).max(*operand)),
                _ => None,
            };
            match new {
                Some(new) => expected.insert((*path).to_owned(), new),
                None => expected.remove(*path),
            };
        }
        if update.is_empty() {
            return Ok(());
        }
        let mut doc = nested(&fields);
        let changed =
            parse(update, &[]).expect("valid").apply(&mut doc, ApplyContext::default()).expect("applies");
        prop_assert_eq!(changed, fields != expected);
        // Documents of the bson crate are equal whatever the order of their fields.
        prop_assert_eq!(doc, nested(&expected));
    }

    #[test]
    fn change_is_told_truly(update in arbitrary::document(), doc in arbitrary::document()) {
        for operator in ["$set", "$unset", "$push", "$addToSet", "$pull", "$min", "$max", "$inc", "$pop"] {
            let Ok(update) = parse(doc! {operator: update.clone()}, &[]) else { continue };
            let mut after = doc.clone();
            match update.apply(&mut after, ApplyContext { position: Some(0), inserting: false }) {
                Ok(changed) => prop_assert_eq!(changed, !identical_documents(&doc, &after)),
                Err(_) => prop_assert!(identical_documents(&doc, &after)),
            }
        }
    }

    #[test]
    fn any_bson_is_parsed_or_refused(
        update in arbitrary::value(), filter in arbitrary::document(), doc in arbitrary::document()
    ) {
        if matches!(update, Bson::Array(_)) {
            return Ok(());
        }
        let mut doc = doc;
        for filters in [vec![], vec![filter]] {
            if let Ok(update) = Update::parse(&update, &filters, &Document::new()) {
                update.apply(&mut doc, ApplyContext::default()).ok();
            }
        }
    }
}
