use bson::{Bson, Document, doc};

use super::{check, code, filter, regex};

#[test]
fn patterns_have_pcre_meaning() {
    check(
        doc! {"a": regex("^ab$", "i")},
        &[
            doc! {"a": "AB"},
            doc! {"a": "ab\n"},
            doc! {"a": ["x", "aB"]},
            doc! {"a": regex("^ab$", "i")},
        ],
        &[
            doc! {"a": "abc"},
            doc! {"a": 1},
            doc! {"a": regex("^ab$", "")},
        ],
    );
    check(
        doc! {"a": {"$regex": "a b", "$options": "x"}},
        &[doc! {"a": "ab"}],
        &[doc! {"a": "a b"}],
    );
    check(
        doc! {"a": {"$regex": "^b", "$options": "m"}},
        &[doc! {"a": "a\nb"}],
        &[],
    );
    check(
        doc! {"a": {"$regex": "a.b", "$options": "s"}},
        &[doc! {"a": "a\nb"}],
        &[],
    );
    check(
        doc! {"a": {"$regex": "a.b"}},
        &[doc! {"a": "axb"}],
        &[doc! {"a": "a\nb"}],
    );
    check(
        doc! {"a": {"$regex": "(?=ab)a"}},
        &[doc! {"a": "ab"}],
        &[doc! {"a": "ac"}],
    );
    check(
        doc! {"a": {"$regex": r"(.)\1"}},
        &[doc! {"a": "xx"}],
        &[doc! {"a": "xy"}],
    );
    check(
        doc! {"a": {"$regex": r"^\w+$"}},
        &[doc! {"a": "abc"}],
        &[doc! {"a": "é"}],
    );
    check(
        doc! {"a": {"$regex": "[[&&]x{"}},
        &[doc! {"a": "&x{"}, doc! {"a": "[x{"}],
        &[doc! {"a": "x{"}],
    );
    check(
        doc! {"a": {"$regex": "[]a]{2}"}},
        &[doc! {"a": "]a"}],
        &[doc! {"a": "a"}],
    );
    check(
        doc! {"a": {"$regex": r"\<b\>"}},
        &[doc! {"a": "<b>"}],
        &[doc! {"a": "b"}],
    );
    check(
        doc! {"a": {"$regex": regex("x", ""), "$options": "i"}},
        &[doc! {"a": "X"}],
        &[],
    );
    check(
        doc! {"a": {"$not": {"$regex": "x"}}},
        &[doc! {"a": "y"}],
        &[doc! {"a": "x"}],
    );
    assert_eq!(code(doc! {"a": {"$regex": "("}}), 51091);
    assert_eq!(code(doc! {"a": {"$regex": "x", "$options": "q"}}), 51108);
    assert_eq!(
        code(doc! {"a": {"$regex": regex("x", "i"), "$options": "m"}}),
        51075
    );
    assert_eq!(code(doc! {"a": {"$options": "i"}}), 2);
    assert_eq!(code(doc! {"a": {"$regex": 1}}), 2);
}

#[test]
fn a_runaway_pattern_is_an_error_not_an_answer() {
    let runaway = filter(doc! {"a": {"$regex": r"^(?:(a+)+)+\1$"}});
    let subject = doc! {"a": format!("{}b", "a".repeat(40))};
    assert_eq!(
        runaway.matches(&subject).expect_err("too many steps").code,
        51156
    );
}

#[test]
fn array_operators() {
    check(
        doc! {"a": {"$all": [1, 2]}},
        &[doc! {"a": [2, 1, 3]}],
        &[doc! {"a": [1]}, doc! {"a": 1}, doc! {}],
    );
    check(
        doc! {"a": {"$all": [1]}},
        &[doc! {"a": 1}],
        &[doc! {"a": 2}],
    );
    check(doc! {"a": {"$all": []}}, &[], &[doc! {"a": []}, doc! {}]);
    check(
        doc! {"a": {"$all": [regex("^x", ""), 1]}},
        &[doc! {"a": ["xy", 1]}],
        &[doc! {"a": [1]}],
    );
    check(
        doc! {"a": {"$all": [{"$elemMatch": {"b": 1}}, {"$elemMatch": {"b": 2}}]}},
        &[doc! {"a": [{"b": 2}, {"b": 1}]}],
        &[doc! {"a": [{"b": 1}]}],
    );
    check(
        doc! {"a": {"$size": 2}},
        &[doc! {"a": [1, [2]]}],
        &[doc! {"a": [1]}, doc! {"a": 2}],
    );
    check(
        doc! {"a": {"$elemMatch": {"b": 1, "c": {"$gt": 1}}}},
        &[doc! {"a": [{"b": 1, "c": 1}, {"b": 1, "c": 2}]}],
        &[
            doc! {"a": [{"b": 1, "c": 1}, {"b": 2, "c": 2}]},
            doc! {"a": {"b": 1, "c": 2}},
        ],
    );
    check(
        doc! {"a": {"$elemMatch": {"$gt": 3, "$lt": 5}}},
        &[doc! {"a": [1, 4]}],
        &[doc! {"a": [1, 9]}, doc! {"a": 4}, doc! {"a": [[4]]}],
    );
    check(
        doc! {"a": {"$elemMatch": {"$elemMatch": {"$eq": 4}}}},
        &[doc! {"a": [[1, 4]]}],
        &[doc! {"a": [4]}],
    );
    check(
        doc! {"a": {"$elemMatch": {"0": 7}}},
        &[doc! {"a": [[7]]}],
        &[doc! {"a": [7]}],
    );
    check(
        doc! {"a": {"$elemMatch": {"$or": [{"b": 1}, {"b": 2}]}}},
        &[doc! {"a": [{"b": 2}]}],
        &[],
    );
    check(
        doc! {"a": {"$elemMatch": {"$not": {"$gt": 3}}}},
        &[doc! {"a": [9, 1]}],
        &[doc! {"a": [9]}],
    );
    for bad in [
        doc! {"a": {"$all": 1}},
        doc! {"a": {"$all": [{"$gt": 1}]}},
        doc! {"a": {"$all": [{"$elemMatch": {}}, 1]}},
        doc! {"a": {"$size": -1}},
        doc! {"a": {"$size": "x"}},
        doc! {"a": {"$size": 1.5}},
        doc! {"a": {"$elemMatch": 1}},
        doc! {"a": {"$elemMatch": {"$expr": true}}},
    ] {
        assert_eq!(code(bad.clone()), 2, "{bad}");
    }
}

#[test]
fn bits() {
    let binary = |bytes: &[u8]| {
        Bson::Binary(bson::Binary {
            subtype: 0.into(),
            bytes: bytes.to_vec(),
        })
    };
    check(
        doc! {"a": {"$bitsAllSet": [0, 2]}},
        &[
            doc! {"a": 5},
            doc! {"a": 7.0},
            doc! {"a": binary(&[5])},
            doc! {"a": -1},
        ],
        &[doc! {"a": 4}, doc! {"a": 5.5}, doc! {"a": "x"}, doc! {}],
    );
    check(
        doc! {"a": {"$bitsAllClear": 5}},
        &[doc! {"a": 2}],
        &[doc! {"a": 4}],
    );
    check(
        doc! {"a": {"$bitsAnySet": binary(&[0, 1])}},
        &[doc! {"a": 256}],
        &[doc! {"a": 255}],
    );
    check(
        doc! {"a": {"$bitsAnyClear": 3}},
        &[doc! {"a": 1}],
        &[doc! {"a": 3}],
    );
    check(
        doc! {"a": {"$bitsAllSet": [200]}},
        &[doc! {"a": -1}],
        &[doc! {"a": 1}, doc! {"a": binary(&[255])}],
    );
    assert_eq!(code(doc! {"a": {"$bitsAllSet": -1}}), 9);
    assert_eq!(code(doc! {"a": {"$bitsAllSet": "x"}}), 2);
    assert_eq!(code(doc! {"a": {"$bitsAllSet": [-1]}}), 2);
}

#[test]
fn paths_go_through_arrays() {
    check(
        doc! {"a.b": 2},
        &[
            doc! {"a": [{"b": 1}, {"b": 2}]},
            doc! {"a": {"b": [2]}},
            doc! {"a": [{"b": [1, 2]}]},
        ],
        &[doc! {"a": [[{"b": 2}]]}, doc! {"a": 2}],
    );
    check(
        doc! {"a.1": 2},
        &[doc! {"a": [1, 2]}, doc! {"a": {"1": 2}}],
        &[doc! {"a": [2, 1]}],
    );
    check(
        doc! {"a.1.b": 2},
        &[doc! {"a": [1, {"b": 2}]}],
        &[doc! {"a": [{"b": 2}]}],
    );
    check(doc! {"a.0": [1]}, &[doc! {"a": [[1]]}], &[doc! {"a": [1]}]);
    check(doc! {"a.0": 1}, &[doc! {"a": [1]}], &[doc! {"a": [[1]]}]);
}

#[test]
fn positions_of_matches() {
    let position = |condition: Document, doc: Document| {
        filter(condition)
            .matches_position(&doc)
            .expect("evaluation")
    };
    assert_eq!(position(doc! {"a": 5}, doc! {"a": [1, 5]}), Some(Some(1)));
    assert_eq!(position(doc! {"a": 5}, doc! {"a": 5}), Some(None));
    assert_eq!(position(doc! {"a": 5}, doc! {"a": 6}), None);
    assert_eq!(
        position(doc! {"a.b": 5}, doc! {"a": [{"b": 1}, {"b": [2, 5]}]}),
        Some(Some(1))
    );
    assert_eq!(
        position(
            doc! {"a": {"$elemMatch": {"b": 2}}},
            doc! {"a": [{"b": 1}, {"b": 2}]}
        ),
        Some(Some(1))
    );
    assert_eq!(
        position(doc! {"a": {"$gt": 1}, "c": 3}, doc! {"a": [1, 2], "c": 3}),
        Some(Some(1))
    );
    assert_eq!(
        position(doc! {"$or": [{"a": 9}, {"a": 2}]}, doc! {"a": [1, 2]}),
        Some(Some(1))
    );
    assert_eq!(
        position(doc! {"a": {"$ne": 9}}, doc! {"a": [1, 2]}),
        Some(None)
    );
    assert_eq!(position(doc! {"a.1": 2}, doc! {"a": [1, 2]}), Some(None));
}

#[test]
fn elem_match_takes_the_fields_of_a_reference() {
    let stored = doc! {"links": [
        {"$ref": "people", "$id": 1, "$db": "one"},
        {"$ref": "places", "$id": 2},
    ]};
    check(
        doc! {"links": {"$elemMatch": {"$id": 1}}},
        std::slice::from_ref(&stored),
        &[doc! {"links": [{"$id": 2}]}, doc! {"links": []}],
    );
    check(
        doc! {"links": {"$elemMatch": {"$ref": "places", "$id": {"$gte": 2}}}},
        std::slice::from_ref(&stored),
        &[doc! {"links": [{"$ref": "places", "$id": 1}, {"$ref": "people", "$id": 2}]}],
    );
    check(
        doc! {"links.$id": {"$in": [2, 3]}},
        std::slice::from_ref(&stored),
        &[doc! {"links": [{"$id": 4}]}],
    );
    assert_eq!(code(doc! {"$id": 1}), 2);
    assert_eq!(code(doc! {"a": {"$id": 1}}), 2);
}
