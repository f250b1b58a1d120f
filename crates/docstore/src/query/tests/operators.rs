use bson::{Bson, Document, RawDocumentBuf, bson, doc};

use crate::query::Filter;

fn filter(filter: Document) -> Filter {
    Filter::parse(&filter, &Document::new()).expect("a valid filter")
}

fn code(filter: Document) -> i32 {
    Filter::parse(&filter, &Document::new())
        .expect_err("an invalid filter")
        .code
}

fn matches(condition: &Document, doc: &Document) -> bool {
    let parsed = filter(condition.clone());
    let answer = parsed.matches(doc).expect("evaluation");
    let raw = RawDocumentBuf::try_from(doc).expect("encodable");
    assert_eq!(
        parsed.matches_raw(&raw).expect("raw evaluation"),
        answer,
        "{condition} {doc}"
    );
    answer
}

/// Each document that should match, then each that should not.
fn check(condition: Document, yes: &[Document], no: &[Document]) {
    for doc in yes {
        assert!(matches(&condition, doc), "{condition} should match {doc}");
    }
    for doc in no {
        assert!(
            !matches(&condition, doc),
            "{condition} should not match {doc}"
        );
    }
}

fn regex(pattern: &str, options: &str) -> Bson {
    Bson::RegularExpression(bson::Regex {
        pattern: pattern.try_into().expect("no NUL"),
        options: options.try_into().expect("no NUL"),
    })
}

#[test]
fn equality_compares_numbers_by_value_and_looks_into_arrays() {
    check(
        doc! {"a": 1},
        &[
            doc! {"a": 1},
            doc! {"a": 1.0},
            doc! {"a": 1_i64},
            doc! {"a": [3, 1]},
        ],
        &[
            doc! {"a": 2},
            doc! {"a": "1"},
            doc! {"a": [[1]]},
            doc! {"b": 1},
            doc! {"a": true},
        ],
    );
    check(
        doc! {"a": [1, 2]},
        &[doc! {"a": [1, 2]}, doc! {"a": [[1, 2], 5]}],
        &[doc! {"a": [2, 1]}, doc! {"a": 1}, doc! {"a": [1, 2, 3]}],
    );
    check(
        doc! {"a": {"b": 1, "c": 2}},
        &[doc! {"a": {"b": 1, "c": 2}}],
        &[doc! {"a": {"c": 2, "b": 1}}, doc! {"a": {"b": 1}}],
    );
    check(
        doc! {"a": f64::NAN},
        &[doc! {"a": f64::NAN}],
        &[doc! {"a": 0}],
    );
    check(doc! {}, &[doc! {}, doc! {"a": 1}], &[]);
}

#[test]
fn null_stands_for_missing() {
    check(
        doc! {"a": null},
        &[doc! {}, doc! {"a": null}, doc! {"a": [null]}],
        &[doc! {"a": 1}, doc! {"a": []}, doc! {"a": [1]}],
    );
    check(
        doc! {"a.b": null},
        &[
            doc! {},
            doc! {"a": 1},
            doc! {"a": {}},
            doc! {"a": [{"b": 1}, {}]},
        ],
        &[doc! {"a": [1]}, doc! {"a": []}, doc! {"a": [{"b": 1}]}],
    );
    check(
        doc! {"a": {"$ne": null}},
        &[doc! {"a": 1}, doc! {"a": []}],
        &[doc! {}, doc! {"a": null}, doc! {"a": [1, null]}],
    );
    check(
        doc! {"a": {"$gte": null}},
        &[doc! {}, doc! {"a": null}],
        &[doc! {"a": 0}],
    );
    check(
        doc! {"a": {"$gt": null}},
        &[],
        &[doc! {}, doc! {"a": null}, doc! {"a": 0}],
    );
    check(
        doc! {"a": {"$in": [null, 3]}},
        &[doc! {}, doc! {"a": 3}],
        &[doc! {"a": 4}],
    );
}

#[test]
fn ranges_stay_within_their_type() {
    check(
        doc! {"a": {"$gt": 3}},
        &[doc! {"a": 4}, doc! {"a": 3.5}, doc! {"a": [1, 9]}],
        &[
            doc! {"a": 3},
            doc! {"a": "9"},
            doc! {"a": null},
            doc! {},
            doc! {"a": f64::NAN},
        ],
    );
    check(
        doc! {"a": {"$lt": 3}},
        &[doc! {"a": 2}],
        &[doc! {"a": f64::NAN}, doc! {"a": null}],
    );
    check(
        doc! {"a": {"$gte": f64::NAN}},
        &[doc! {"a": f64::NAN}],
        &[doc! {"a": 1}],
    );
    check(
        doc! {"a": {"$gt": 3, "$lt": 5}},
        &[doc! {"a": 4}, doc! {"a": [1, 9]}],
        &[doc! {"a": 6}],
    );
    check(
        doc! {"a": {"$lt": "b"}},
        &[doc! {"a": "a"}],
        &[doc! {"a": 1}, doc! {"a": "b"}],
    );
    check(
        doc! {"a": {"$gte": [1, 2]}},
        &[doc! {"a": [1, 2]}, doc! {"a": [2]}],
        &[doc! {"a": [1]}],
    );
    check(
        doc! {"a": {"$lte": Bson::MaxKey}},
        &[doc! {"a": 1}, doc! {"a": "x"}, doc! {}],
        &[],
    );
    check(
        doc! {"a": {"$gt": Bson::MinKey}},
        &[doc! {"a": 1}, doc! {}],
        &[doc! {"a": Bson::MinKey}],
    );
    assert_eq!(code(doc! {"a": {"$gt": regex("x", "")}}), 2);
    assert_eq!(code(doc! {"a": {"$lt": Bson::Undefined}}), 2);
}

#[test]
fn membership_takes_values_and_patterns() {
    check(
        doc! {"a": {"$in": [1, "x", regex("^y", "")]}},
        &[
            doc! {"a": 1.0},
            doc! {"a": "x"},
            doc! {"a": "yes"},
            doc! {"a": [9, "x"]},
        ],
        &[doc! {"a": 2}, doc! {"a": "no"}, doc! {}],
    );
    check(
        doc! {"a": {"$nin": [1, 2]}},
        &[doc! {}, doc! {"a": 3}],
        &[doc! {"a": [3, 2]}],
    );
    check(doc! {"a": {"$in": []}}, &[], &[doc! {}, doc! {"a": 1}]);
    check(
        doc! {"a": {"$in": [[1]]}},
        &[doc! {"a": [1]}, doc! {"a": [[1]]}],
        &[doc! {"a": 1}],
    );
    assert_eq!(code(doc! {"a": {"$in": 1}}), 2);
    assert_eq!(code(doc! {"a": {"$in": [{"$gt": 1}]}}), 2);
    assert_eq!(code(doc! {"a": {"$nin": null}}), 2);
}

#[test]
fn logic_combines() {
    check(
        doc! {"$or": [{"a": 1}, {"b": 2}], "c": 3},
        &[doc! {"a": 1, "c": 3}, doc! {"b": 2, "c": 3}],
        &[doc! {"a": 1}, doc! {"c": 3}],
    );
    check(
        doc! {"$nor": [{"a": 1}, {"b": 2}]},
        &[doc! {}],
        &[doc! {"a": 1}, doc! {"b": 2}],
    );
    check(
        doc! {"$and": [{"a": 1}, {"a": 2}]},
        &[doc! {"a": [1, 2]}],
        &[doc! {"a": 1}],
    );
    check(
        doc! {"a": {"$not": {"$gt": 3}}},
        &[doc! {}, doc! {"a": "x"}],
        &[doc! {"a": [1, 4]}],
    );
    check(
        doc! {"a": {"$not": regex("x", "")}},
        &[doc! {"a": "y"}, doc! {}],
        &[doc! {"a": "x"}],
    );
    check(doc! {"$alwaysFalse": 1}, &[], &[doc! {}]);
    check(doc! {"$alwaysTrue": 1, "$comment": "why"}, &[doc! {}], &[]);
    check(doc! {"$sampleRate": 1.0}, &[doc! {}], &[]);
    check(doc! {"$sampleRate": 0}, &[], &[doc! {}]);
    for bad in [
        doc! {"$or": []},
        doc! {"$or": 1},
        doc! {"$and": [1]},
        doc! {"a": {"$not": {}}},
        doc! {"a": {"$not": 1}},
        doc! {"$sampleRate": 2},
        doc! {"$nothing": 1},
        doc! {"a": {"$gt": 1, "b": 2}},
        doc! {"a": {"$nothing": 1}},
    ] {
        assert_eq!(code(bad.clone()), 2, "{bad}");
    }
}

#[test]
fn existence_and_types() {
    check(
        doc! {"a": {"$exists": true}},
        &[doc! {"a": null}, doc! {"a": []}],
        &[doc! {}],
    );
    check(doc! {"a": {"$exists": 0}}, &[doc! {}], &[doc! {"a": null}]);
    check(
        doc! {"a.b": {"$exists": false}},
        &[doc! {"a": [1]}, doc! {"a": []}],
        &[doc! {"a": {"b": 1}}],
    );
    check(
        doc! {"a": {"$type": "number"}},
        &[doc! {"a": 1}, doc! {"a": 1.5}, doc! {"a": ["x", 1]}],
        &[doc! {"a": "x"}, doc! {}],
    );
    check(
        doc! {"a": {"$type": "array"}},
        &[doc! {"a": []}],
        &[doc! {"a": 1}],
    );
    check(
        doc! {"a": {"$type": [2, "null"]}},
        &[doc! {"a": "x"}, doc! {"a": null}],
        &[doc! {}],
    );
    assert_eq!(code(doc! {"a": {"$type": "nope"}}), 2);
    assert_eq!(code(doc! {"a": {"$type": []}}), 9);
}

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
fn remainders() {
    check(
        doc! {"a": {"$mod": [4, 1]}},
        &[
            doc! {"a": 5},
            doc! {"a": 5.9},
            doc! {"a": 9_i64},
            doc! {"a": [2, 1]},
        ],
        &[
            doc! {"a": 4},
            doc! {"a": "5"},
            doc! {"a": f64::INFINITY},
            doc! {"a": -5},
            doc! {},
        ],
    );
    check(doc! {"a": {"$mod": [-1, 0]}}, &[doc! {"a": i64::MIN}], &[]);
    for bad in [
        bson!([4]),
        bson!([4, 1, 2]),
        bson!([0, 1]),
        bson!(["x", 1]),
        bson!([1, "x"]),
        bson!(4),
    ] {
        assert_eq!(code(doc! {"a": {"$mod": bad}}), 2);
    }
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
fn references_are_values() {
    let reference = doc! {"$ref": "c", "$id": 1};
    check(
        doc! {"a": reference.clone()},
        &[doc! {"a": reference}],
        &[doc! {"a": 1}],
    );
    check(
        doc! {"a.$id": 1},
        &[doc! {"a": {"$ref": "c", "$id": 1}}],
        &[doc! {"a": {"$ref": "c", "$id": 2}}],
    );
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    for (condition, expected) in [
        (doc! {"a": {"$near": [1, 1]}}, 291),
        (doc! {"a": {"$geoWithin": {}}}, 2),
        (doc! {"$text": {"$search": "x"}}, 27),
        (doc! {"$where": "true"}, 2),
        (doc! {"a": {"$where": "true"}}, 2),
        (doc! {"$jsonSchema": 1}, 14),
    ] {
        let error = Filter::parse(&condition, &Document::new()).expect_err("refused");
        assert_eq!(error.code, expected, "{condition}");
        let operator = condition.to_string();
        let name = operator
            .split('"')
            .find(|part| part.starts_with('$'))
            .expect("an operator");
        assert!(
            error.message.contains(name),
            "{} names {name}",
            error.message
        );
    }
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
fn deep_filters_work_or_are_refused() {
    let nested = |depth: usize| {
        let mut condition = doc! {"a": 1};
        for _ in 0..depth {
            condition = doc! {"$and": [condition]};
        }
        condition
    };
    assert!(matches(&nested(100), &doc! {"a": 1}));
    assert_eq!(code(nested(400)), 2);
    let mut value = bson!(1);
    for _ in 0..100 {
        value = bson!({"a": [value]});
    }
    assert!(matches(&doc! {"v": value.clone()}, &doc! {"v": value}));
    let long = vec!["a"; 100].join(".");
    assert!(!matches(&doc! {long: 1}, &doc! {"a": {"a": [{"a": 1}]}}));
}

#[test]
fn expressions_read_fields_and_variables() {
    check(
        doc! {"$expr": {"$gt": ["$a", "$b"]}},
        &[doc! {"a": 2, "b": 1}],
        &[doc! {"a": 1, "b": 2}, doc! {}],
    );
    check(
        doc! {"$expr": "$a", "b": 1},
        &[doc! {"a": true, "b": 1}],
        &[doc! {"a": 0, "b": 1}],
    );
    let with_vars = Filter::parse(&doc! {"$expr": {"$eq": ["$a", "$$v"]}}, &doc! {"v": 3});
    let with_vars = with_vars.expect("a valid filter");
    assert!(with_vars.matches(&doc! {"a": 3}).expect("evaluation"));
    assert!(!with_vars.matches(&doc! {"a": 4}).expect("evaluation"));
    let failing = filter(doc! {"$expr": {"$divide": [1, "$a"]}});
    assert!(failing.matches(&doc! {"a": 0}).is_err());
}
