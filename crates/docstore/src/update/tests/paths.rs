use bson::{Document, bson, doc};

use super::{code, parse};
use crate::update::ApplyContext;

fn at(position: Option<usize>) -> ApplyContext {
    ApplyContext {
        position,
        inserting: false,
    }
}

fn check(
    update: Document,
    filters: &[Document],
    position: Option<usize>,
    mut doc: Document,
    after: Document,
) {
    parse(update, filters)
        .expect("valid")
        .apply(&mut doc, at(position))
        .expect("applies");
    assert_eq!(doc.to_string(), after.to_string());
}

#[test]
fn dollar_is_the_matched_position() {
    check(
        doc! {"$set": {"a.$": 9}},
        &[],
        Some(1),
        doc! {"a": [1, 2]},
        doc! {"a": [1, 9]},
    );
    check(
        doc! {"$inc": {"a.$.b": 1}},
        &[],
        Some(0),
        doc! {"a": [{"b": 1}, {"b": 5}]},
        doc! {"a": [{"b": 2}, {"b": 5}]},
    );
    assert_eq!(code(doc! {"$set": {"a.$": 1}}, doc! {"a": [1]}), 2);
    assert_eq!(code(doc! {"$set": {"$": 1}}, doc! {}), 2);
    assert_eq!(code(doc! {"$set": {"a.$.b.$": 1}}, doc! {}), 2);
}

#[test]
fn all_positions() {
    check(
        doc! {"$inc": {"a.$[]": 1}},
        &[],
        None,
        doc! {"a": [1, 2]},
        doc! {"a": [2, 3]},
    );
    check(
        doc! {"$set": {"a.$[].b.$[]": 0}},
        &[],
        None,
        doc! {"a": [{"b": [1]}, {"b": [2, 3]}]},
        doc! {"a": [{"b": [0]}, {"b": [0, 0]}]},
    );
    check(
        doc! {"$set": {"a.$[]": 1}},
        &[],
        None,
        doc! {"a": []},
        doc! {"a": []},
    );
    assert_eq!(code(doc! {"$set": {"a.$[]": 1}}, doc! {}), 2);
    assert_eq!(code(doc! {"$set": {"a.$[]": 1}}, doc! {"a": 5}), 2);
}

#[test]
fn filtered_positions() {
    check(
        doc! {"$set": {"a.$[i]": 0}},
        &[doc! {"i": {"$gte": 2}}],
        None,
        doc! {"a": [1, 2, 3]},
        doc! {"a": [1, 0, 0]},
    );
    check(
        doc! {"$set": {"a.$[i].b.$[j].c": 0}},
        &[doc! {"i.x": 1}, doc! {"$or": [{"j.c": 5}, {"j.d": 1}]}],
        None,
        doc! {"a": [{"x": 1, "b": [{"c": 5}, {"c": 6}]}, {"x": 2, "b": [{"c": 5}]}]},
        doc! {"a": [{"x": 1, "b": [{"c": 0}, {"c": 6}]}, {"x": 2, "b": [{"c": 5}]}]},
    );
}

#[test]
fn array_filters_are_checked() {
    let refused =
        |update: Document, filters: &[Document]| parse(update, filters).expect_err("refused").code;
    let set = || doc! {"$set": {"a.$[i]": 0}};
    assert_eq!(refused(set(), &[]), 2);
    assert_eq!(refused(set(), &[doc! {"i": 1}, doc! {"j": 1}]), 9);
    assert_eq!(refused(set(), &[doc! {"i": 1}, doc! {"i": 2}]), 9);
    assert_eq!(refused(set(), &[doc! {"i": 1, "j": 2}]), 9);
    assert_eq!(refused(set(), &[doc! {}]), 9);
    assert_eq!(refused(doc! {"$set": {"a.$[I]": 0}}, &[doc! {"I": 1}]), 2);
    assert_eq!(refused(set(), &[doc! {"i": {"$nope": 1}}]), 2);
    assert_eq!(refused(doc! {"a": 1}, &[doc! {"i": 1}]), 9);
    let pipeline = bson!([{"$set": {"a": 1}}]);
    let error = crate::update::Update::parse(&pipeline, &[doc! {"i": 1}], &Document::new());
    assert_eq!(error.expect_err("refused").code, 9);
}

#[test]
fn conflicts_are_refused() {
    for update in [
        doc! {"$set": {"a": 1}, "$inc": {"a": 1}},
        doc! {"$set": {"a": 1, "a.b": 1}},
        doc! {"$set": {"a.b.c": 1}, "$unset": {"a.b": 1}},
        doc! {"$set": {"a-b": 1, "a": 1, "a.b": 1}},
        doc! {"$rename": {"a": "b", "b": "c"}},
    ] {
        assert_eq!(
            parse(update.clone(), &[]).expect_err("conflict").code,
            40,
            "{update}"
        );
    }
    assert!(parse(doc! {"$set": {"a.b": 1, "a.c": 1, "ab": 1}}, &[]).is_ok());
    let update = parse(doc! {"$set": {"a.$": 1, "a.0": 2}}, &[]).expect("may differ");
    let mut doc = doc! {"a": [1, 2]};
    assert_eq!(
        update
            .apply(&mut doc, at(Some(0)))
            .expect_err("same place")
            .code,
        40
    );
    update
        .apply(&mut doc, at(Some(1)))
        .expect("different places");
    assert_eq!(doc, doc! {"a": [2, 1]});
}

#[test]
fn long_paths_are_refused() {
    let path = vec!["a"; 500].join(".");
    assert_eq!(code(doc! {"$set": {path: 1}}, doc! {}), 15);
}

#[test]
fn names_with_a_dollar_are_taken_below_the_top() {
    check(
        doc! {"$set": {"a.$b": 1, "r.$id": 7, "c.$x.$y": {"$z": 2}}},
        &[],
        None,
        doc! {"a": {}, "r": {"$ref": "others", "$id": 6}},
        doc! {
            "a": {"$b": 1},
            "r": {"$ref": "others", "$id": 7},
            "c": {"$x": {"$y": {"$z": 2}}},
        },
    );
    check(
        doc! {"$unset": {"a.$b": ""}, "$inc": {"a.$n": 1}},
        &[],
        None,
        doc! {"a": {"$b": 1, "$n": 1}},
        doc! {"a": {"$n": 2}},
    );
    assert_eq!(code(doc! {"$set": {"$b": 1}}, doc! {}), 52);
    assert_eq!(code(doc! {"$set": {"$b.c": 1}}, doc! {}), 52);
    assert_eq!(code(doc! {"$set": {"_id.$b": 1}}, doc! {}), 52);
}
