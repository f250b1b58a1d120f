use bson::{Bson, Document, bson, doc};

use super::{check, code, parse};
use crate::{
    query::Filter,
    update::{ApplyContext, Update},
};

#[test]
fn replacements_keep_the_id() {
    check(
        doc! {"b": 2},
        doc! {"_id": 1, "a": 1},
        doc! {"_id": 1, "b": 2},
    );
    check(
        doc! {"b": 2, "_id": 1},
        doc! {"_id": 1},
        doc! {"_id": 1, "b": 2},
    );
    check(doc! {}, doc! {"_id": 1, "a": 1}, doc! {"_id": 1});
    check(
        doc! {"a": 1},
        doc! {"_id": 1, "a": 1},
        doc! {"_id": 1, "a": 1},
    );
    assert_eq!(code(doc! {"_id": 2}, doc! {"_id": 1}), 66);
    assert_eq!(code(doc! {"a": 1, "$set": 1}, doc! {"_id": 1}), 52);
    assert!(parse(doc! {"a": 1}, &[]).expect("valid").is_replacement());
    assert!(
        !parse(doc! {"$set": {"a": 1}}, &[])
            .expect("valid")
            .is_replacement()
    );
    let neither = Update::parse(&bson!(1), &[], &Document::new());
    assert_eq!(neither.expect_err("refused").code, 9);
}

#[test]
fn operators_may_not_touch_the_id() {
    check(doc! {"$set": {"_id": 1}}, doc! {"_id": 1}, doc! {"_id": 1});
    assert_eq!(code(doc! {"$set": {"_id": 2}}, doc! {"_id": 1}), 66);
    assert_eq!(code(doc! {"$unset": {"_id": 1}}, doc! {"_id": 1}), 66);
    assert_eq!(
        code(doc! {"$set": {"_id.x": 1}}, doc! {"_id": {"x": 2}}),
        66
    );
    assert_eq!(code(doc! {"$rename": {"_id": "b"}}, doc! {"_id": 1}), 66);
}

fn upsert(filter: Document, update: Bson) -> Result<Document, i32> {
    let filter = Filter::parse(&filter, &Document::new()).expect("a valid filter");
    let update = Update::parse(&update, &[], &Document::new()).expect("a valid update");
    update.upsert_document(&filter).map_err(|error| error.code)
}

#[test]
fn upserts_start_from_the_filter() {
    assert_eq!(
        upsert(
            doc! {"a": 1, "b.c": 2, "d": {"$gt": 3}, "_id": 7},
            bson!({"$set": {"e": 4}, "$setOnInsert": {"f": 5}, "$inc": {"a": 1}}),
        ),
        Ok(doc! {"_id": 7, "a": 2, "b": {"c": 2}, "e": 4, "f": 5})
    );
    assert_eq!(
        upsert(doc! {"_id": 7, "a": 1}, bson!({"b": 2})),
        Ok(doc! {"_id": 7, "b": 2})
    );
    assert_eq!(
        upsert(doc! {"a": 1}, bson!({"_id": 3})),
        Ok(doc! {"_id": 3})
    );
    let made = upsert(doc! {"a": 1}, bson!({"$set": {"b": 2}})).expect("applies");
    assert!(made.get_object_id("_id").is_ok());
    assert_eq!(made.keys().collect::<Vec<_>>(), ["_id", "a", "b"]);
    let set_id = upsert(doc! {"a": 1}, bson!({"$set": {"_id": 9}})).expect("applies");
    assert_eq!(set_id.keys().next().map(String::as_str), Some("_id"));
    assert_eq!(upsert(doc! {"_id": 1}, bson!({"_id": 2})), Err(66));
    assert_eq!(
        upsert(doc! {"_id": 1}, bson!({"$set": {"_id": 2}})),
        Err(66)
    );
    assert_eq!(
        upsert(doc! {"a": 1, "$and": [{"a": 2}]}, bson!({"$set": {"b": 1}})),
        Err(54)
    );
    assert_eq!(
        upsert(doc! {"a": {"$all": [1, 2]}}, bson!({"$set": {"b": 1}})),
        Err(54)
    );
    assert_eq!(
        upsert(doc! {"_id.x": 1}, bson!({"$set": {"b": 1}})),
        Ok(doc! {"_id": {"x": 1}, "b": 1})
    );
}

#[test]
fn pipelines_of_other_stages_are_refused() {
    let refused = |u: Bson| {
        Update::parse(&u, &[], &Document::new())
            .expect_err("refused")
            .code
    };
    assert_eq!(refused(bson!([{"$match": {}}])), 72);
    assert_eq!(refused(bson!([{"$out": "x"}])), 72);
    assert_eq!(refused(bson!([{}])), 40323);
    assert_eq!(refused(bson!([1])), 14);
}

#[test]
fn pipelines_make_one_document_of_one() {
    let update = Update::parse(
        &bson!([{"$set": {"sum": {"$add": ["$a", "$$by"]}}}, {"$unset": "a"}]),
        &[],
        &doc! {"by": 5},
    )
    .expect("a valid pipeline");
    let mut doc = doc! {"_id": 1, "a": 2};
    assert!(
        update
            .apply(&mut doc, ApplyContext::default())
            .expect("applies")
    );
    assert_eq!(doc, doc! {"_id": 1, "sum": 7});
    let same = Update::parse(&bson!([{"$set": {"sum": 7}}]), &[], &Document::new()).expect("valid");
    assert!(
        !same
            .apply(&mut doc, ApplyContext::default())
            .expect("applies")
    );
    let other_id = bson!([{"$replaceWith": {"_id": 2}}]);
    let other_id = Update::parse(&other_id, &[], &Document::new()).expect("valid");
    assert_eq!(
        other_id
            .apply(&mut doc, ApplyContext::default())
            .expect_err("immutable")
            .code,
        66
    );
}

#[test]
fn documents_cannot_be_grown_too_deep() {
    let update = Update::parse(
        &bson!([{"$replaceWith": {"a": "$$ROOT"}}]),
        &[],
        &Document::new(),
    );
    let update = update.expect("valid");
    let mut doc = doc! {};
    let refused = (0..400).find_map(|_| update.apply(&mut doc, ApplyContext::default()).err());
    assert_eq!(refused.expect("refused at some depth").code, 15);
}
