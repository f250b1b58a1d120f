use bson::{Document, bson, doc};
use proptest::prelude::*;

use super::Projection;
use crate::{error::CommandError, query::Filter, value::arbitrary};

fn project(projection: Document, doc: &Document) -> Result<Document, CommandError> {
    Projection::parse(&projection, &Document::new())?.apply(doc, None)
}

/// The text shows the order of fields.
fn check(projection: Document, before: Document, after: Document) {
    let result = project(projection.clone(), &before).expect("projects");
    assert_eq!(
        result.to_string(),
        after.to_string(),
        "{projection} of {before}"
    );
}

fn code(projection: Document) -> i32 {
    match project(projection.clone(), &doc! {"_id": 1, "a": [1]}) {
        Ok(result) => panic!("{projection} gave {result}"),
        Err(error) => error.code,
    }
}

#[test]
fn inclusion_keeps_named_fields_in_document_order() {
    let before = doc! {"_id": 1, "a": 2, "b": {"c": 3, "d": 4}, "e": 5};
    check(doc! {}, before.clone(), before.clone());
    check(
        doc! {"e": 1, "a": true},
        before.clone(),
        doc! {"_id": 1, "a": 2, "e": 5},
    );
    check(doc! {"a": 1, "_id": 0}, before.clone(), doc! {"a": 2});
    check(doc! {"_id": 1}, before.clone(), doc! {"_id": 1});
    check(
        doc! {"b.c": 1},
        before.clone(),
        doc! {"_id": 1, "b": {"c": 3}},
    );
    check(
        doc! {"b": {"c": 1}},
        before.clone(),
        doc! {"_id": 1, "b": {"c": 3}},
    );
    check(doc! {"a.x": 1}, before.clone(), doc! {"_id": 1});
    check(doc! {"none": 1}, before, doc! {"_id": 1});
    check(
        doc! {"l.x": 1},
        doc! {"l": [{"x": 1, "y": 2}, 5, [{"x": 3, "y": 1}], {}]},
        doc! {"l": [{"x": 1}, [{"x": 3}], {}]},
    );
}

#[test]
fn exclusion_drops_named_fields() {
    let before = doc! {"_id": 1, "a": 2, "b": {"c": 3, "d": 4}};
    check(
        doc! {"a": 0},
        before.clone(),
        doc! {"_id": 1, "b": {"c": 3, "d": 4}},
    );
    check(
        doc! {"_id": 0},
        before.clone(),
        doc! {"a": 2, "b": {"c": 3, "d": 4}},
    );
    check(
        doc! {"a": 0, "_id": 1},
        before.clone(),
        doc! {"_id": 1, "b": {"c": 3, "d": 4}},
    );
    check(
        doc! {"b.c": false, "_id": 0},
        before,
        doc! {"a": 2, "b": {"d": 4}},
    );
    check(
        doc! {"l.x": 0},
        doc! {"l": [{"x": 1, "y": 2}, 5, [{"x": 3}]]},
        doc! {"l": [{"y": 2}, 5, [{}]]},
    );
}

#[test]
fn slices() {
    let before = doc! {"_id": 1, "a": [1, 2, 3, 4], "b": 5};
    let sliced = |slice: bson::Bson, rest: bson::Bson| {
        check(
            doc! {"a": {"$slice": slice}},
            before.clone(),
            doc! {"_id": 1, "a": rest, "b": 5},
        );
    };
    sliced(bson!(2), bson!([1, 2]));
    sliced(bson!(-1), bson!([4]));
    sliced(bson!(0), bson!([]));
    sliced(bson!(99), bson!([1, 2, 3, 4]));
    sliced(bson!([1, 2]), bson!([2, 3]));
    sliced(bson!([-3, 2]), bson!([2, 3]));
    sliced(bson!([9, 2]), bson!([]));
    sliced(bson!([-9, 1]), bson!([1]));
    check(
        doc! {"a": {"$slice": 1}, "b": 1},
        before.clone(),
        doc! {"_id": 1, "a": [1], "b": 5},
    );
    check(
        doc! {"a": {"$slice": 1}, "b": 0},
        before.clone(),
        doc! {"_id": 1, "a": [1]},
    );
    check(doc! {"b": {"$slice": 1}}, before.clone(), before);
    check(
        doc! {"o.a": {"$slice": 1}},
        doc! {"o": [{"a": [1, 2]}]},
        doc! {"o": [{"a": [1]}]},
    );
    check(
        doc! {"_id": 1, "a": {"$slice": 1}},
        doc! {"_id": 1, "a": [1, 2], "b": 5},
        doc! {"_id": 1, "a": [1]},
    );
    check(
        doc! {"a": {"$slice": 1}, "c": {"$elemMatch": {"$gt": 1}}},
        doc! {"a": [1, 2], "b": 5, "c": [1, 2]},
        doc! {"a": [1], "b": 5, "c": [2]},
    );
    for (bad, expected) in [
        (bson!("x"), 28667),
        (bson!([1]), 28667),
        (bson!([1, 0]), 28724),
        (bson!([1, -1]), 28724),
    ] {
        assert_eq!(code(doc! {"a": {"$slice": bad}}), expected);
    }
}

#[test]
fn elem_match_keeps_the_first_match() {
    let before = doc! {"_id": 1, "a": [{"b": 1}, {"b": 2, "c": 1}, {"b": 2, "c": 2}], "z": 3};
    check(
        doc! {"a": {"$elemMatch": {"b": 2}}},
        before.clone(),
        doc! {"_id": 1, "a": [{"b": 2, "c": 1}]},
    );
    check(
        doc! {"a": {"$elemMatch": {"b": 2}}, "z": 1},
        before.clone(),
        doc! {"_id": 1, "z": 3, "a": [{"b": 2, "c": 1}]},
    );
    check(
        doc! {"a": {"$elemMatch": {"b": 9}}},
        before.clone(),
        doc! {"_id": 1},
    );
    check(
        doc! {"z": {"$elemMatch": {"$gt": 1}}},
        before,
        doc! {"_id": 1},
    );
    check(
        doc! {"a": {"$elemMatch": {"$gt": 1}}, "b": 0},
        doc! {"a": [1, 2, 3], "b": 1, "c": 1},
        doc! {"a": [2], "c": 1},
    );
    assert_eq!(code(doc! {"a.b": {"$elemMatch": {}}}), 31275);
    assert_eq!(code(doc! {"a": {"$elemMatch": 1}}), 31274);
    assert_eq!(code(doc! {"a": {"$elemMatch": {"$nope": 1}}}), 2);
}

#[test]
fn positional_keeps_what_the_filter_matched() {
    let positional = |projection: Document, filter: Document, doc: &Document| {
        let filter = Filter::parse(&filter, &Document::new()).expect("a valid filter");
        Projection::parse(&projection, &Document::new())?.apply(doc, Some(&filter))
    };
    let before = doc! {"_id": 1, "a": [1, 5, 7], "b": {"c": [{"d": 1}, {"d": 2}]}, "e": 1};
    assert_eq!(
        positional(doc! {"a.$": 1}, doc! {"a": {"$gt": 3}}, &before).expect("projects"),
        doc! {"_id": 1, "a": [5]}
    );
    assert_eq!(
        positional(doc! {"b.c.$": 1, "e": 1}, doc! {"b.c.d": 2}, &before).expect("projects"),
        doc! {"_id": 1, "b": {"c": [{"d": 2}]}, "e": 1}
    );
    let none = positional(doc! {"a.$": 1}, doc! {"e": 1}, &before);
    assert_eq!(none.expect_err("nothing matched").code, 51246);
    let other = doc! {"a": [1], "f": [2, 3]};
    assert_eq!(
        positional(doc! {"a.$": 1}, doc! {"f": 3}, &other)
            .expect_err("beyond")
            .code,
        51247
    );
    assert_eq!(code(doc! {"a.$": 1}), 51246);
    assert_eq!(code(doc! {"a.$": 0}), 31395);
    assert_eq!(code(doc! {"b": 0, "a.$": 1}), 31395);
    assert_eq!(code(doc! {"a.$": 1, "b.$": 1}), 31276);
    assert_eq!(code(doc! {"a.$.b": 1}), 31394);
    assert_eq!(code(doc! {"a.$": 1, "b": {"$elemMatch": {}}}), 31255);
    assert_eq!(code(doc! {"b": {"$elemMatch": {}}, "a.$": 1}), 31256);
    assert_eq!(code(doc! {"a.$": {"b": 1}}), 31271);
    assert_eq!(code(doc! {"a.$": "x"}), 31308);
}

#[test]
fn expressions_compute_fields() {
    let before = doc! {"_id": 1, "a": 2, "b": [{"c": 1}, 4]};
    check(
        doc! {"x": {"$add": ["$a", 1]}},
        before.clone(),
        doc! {"_id": 1, "x": 3},
    );
    check(doc! {"a": "$_id", "_id": 0}, before.clone(), doc! {"a": 1});
    check(
        doc! {"x": "text", "a": 1},
        before.clone(),
        doc! {"_id": 1, "a": 2, "x": "text"},
    );
    check(doc! {"x": "$missing"}, before.clone(), doc! {"_id": 1});
    check(
        doc! {"o.x": "$a"},
        before.clone(),
        doc! {"_id": 1, "o": {"x": 2}},
    );
    check(
        doc! {"b.c": 1, "b.d": "$a"},
        before,
        doc! {"_id": 1, "b": [{"c": 1, "d": 2}]},
    );
    assert_eq!(code(doc! {"a": 0, "x": "$a"}), 31310);
    assert_eq!(code(doc! {"a": 0, "x": {"$add": [1]}}), 31252);
}

#[test]
fn variables_reach_expressions() {
    let projection = Projection::parse(&doc! {"x": "$$v"}, &doc! {"v": 7}).expect("valid");
    assert_eq!(
        projection.apply(&doc! {"_id": 1}, None).expect("projects"),
        doc! {"_id": 1, "x": 7}
    );
}

#[test]
fn contradictions_are_refused() {
    assert_eq!(code(doc! {"a": 1, "b": 0}), 31254);
    assert_eq!(code(doc! {"a": 0, "b": 1}), 31253);
    assert_eq!(code(doc! {"a": 1, "a.b": 1}), 31249);
    assert_eq!(code(doc! {"a.b": 1, "a": 1}), 31250);
    assert_eq!(code(doc! {"a": {}}), 51270);
    assert_eq!(code(doc! {"$a": 1}), 16410);
    assert_eq!(code(doc! {"$": 1}), 16410);
    assert_eq!(code(doc! {"": 1}), 40352);
    assert_eq!(code(doc! {"a.": 1}), 40353);
    assert_eq!(code(doc! {"a..b": 1}), 15998);
    assert_eq!(code(doc! {"a": {"$meta": "textScore"}}), 40218);
    assert_eq!(code(doc! {"a": {"$meta": "x"}}), 17308);
    assert_eq!(code(doc! {"a": {"$slice": 1, "x": 1}}), 15983);
    let deep = vec!["a"; 300].join(".");
    assert_eq!(code(doc! {deep: 1}), 31324);
}

#[test]
fn what_a_projection_needs_is_told() {
    let parse = |projection: Document| Projection::parse(&projection, &Document::new());
    assert!(parse(doc! {}).expect("valid").is_identity());
    assert!(!parse(doc! {"a": 0}).expect("valid").is_identity());
    assert!(parse(doc! {"a.$": 1}).expect("valid").is_positional());
}

proptest! {
    #![proptest_config(arbitrary::config(1000))]

    #[test]
    fn inclusion_and_exclusion_share_out_the_top_level(
        doc in arbitrary::document(), names in prop::collection::btree_set("[abc01]{1,2}", 1..3)
    ) {
        let all = |flag: i32| names.iter().map(|name| (name.clone(), bson!(flag))).collect();
        let kept = project(all(1), &doc).expect("projects");
        let left = project(all(0), &doc).expect("projects");
        for (name, value) in &doc {
            let (here, there) = if names.contains(name) { (&kept, &left) } else { (&left, &kept) };
            prop_assert!(here.get(name).is_some_and(|v| crate::value::identical(v, value)));
            prop_assert!(!there.contains_key(name));
        }
        prop_assert_eq!(kept.len() + left.len(), doc.len());
    }

    #[test]
    fn any_bson_is_parsed_or_refused(projection in arbitrary::document(), doc in arbitrary::document()) {
        if let Ok(parsed) = Projection::parse(&projection, &Document::new()) {
            parsed.apply(&doc, None).ok();
        }
    }
}
