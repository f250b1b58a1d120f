use super::*;
use crate::expr::sort_key::SortPattern;

#[track_caller]
fn key(sort: Document, document: Document, expected: Bson) {
    let pattern = SortPattern::parse(&sort).expect("a sort");
    assert_eq!(
        Bson::Array(pattern.key(&document).expect("a key")),
        expected,
        "{sort} {document}"
    );
}

#[test]
fn arrays_sort_by_their_least_or_greatest_element() {
    key(doc! { "a": 1 }, doc! { "a": [3, 1, 2] }, bson!([1]));
    key(doc! { "a": -1 }, doc! { "a": [3, 1, 2] }, bson!([3]));
    key(doc! { "a": 1 }, doc! { "a": [] }, bson!([Bson::Undefined]));
    key(doc! { "a": 1 }, doc! {}, bson!([Bson::Null]));
    key(
        doc! { "a.b": 1 },
        doc! { "a": [{ "b": 2 }, { "b": 1 }] },
        bson!([1]),
    );
    key(
        doc! { "a.b": 1 },
        doc! { "a": [{ "b": 2 }, { "c": 1 }] },
        bson!([Bson::Null]),
    );
    key(
        doc! { "a.b": -1 },
        doc! { "a": [{ "b": [5, 9] }, 7] },
        bson!([9]),
    );
    key(doc! { "a.1": 1 }, doc! { "a": [5, 6] }, bson!([6]));
    key(doc! { "a": 1 }, doc! { "a": [[4], [3]] }, bson!([[3]]));
    key(
        doc! { "a.b": 1, "x": 1 },
        doc! { "a": { "b": 1 } },
        bson!([1, Bson::Null]),
    );
}

#[test]
fn keys_of_one_array_stay_together() {
    let document = doc! { "a": [{ "b": 2, "c": 1 }, { "b": 1, "c": 9 }] };
    key(doc! { "a.b": 1, "a.c": 1 }, document.clone(), bson!([1, 9]));
    key(doc! { "a.b": -1, "a.c": 1 }, document, bson!([2, 1]));
}

#[test]
fn bad_sorts_are_refused() {
    for (sort, code) in [
        (doc! {}, 15976),
        (doc! { "a": 2 }, 15975),
        (doc! { "a": "x" }, 15974),
        (doc! { "a": { "$meta": "textScore" } }, 115),
        (doc! { "a.": 1 }, 40353),
    ] {
        assert_eq!(
            SortPattern::parse(&sort).expect_err("refused").code,
            code,
            "{sort}"
        );
    }
    let parallel = SortPattern::parse(&doc! { "a": 1, "b": 1 }).expect("a sort");
    assert_eq!(
        parallel
            .key(&doc! { "a": [1], "b": [1] })
            .expect_err("refused")
            .code,
        2
    );
}
